/**
 * Looks for passwords where none may be: in logs, events, every object but Secrets, metrics, and what processes were
 * started with.
 *
 * What is found is told by Secret, key and place, never by value.
 * @module
 */
import { Buffer } from "node:buffer";
import type { Kubectl, KubeObject } from "./kubectl.ts";

/** A text that may be in Secrets only. */
export interface Needle {
  /** Secret and key that hold it. */
  readonly of: string;
  /** The text as it is, in base64 and as part of a URL. */
  readonly forms: readonly string[];
}

/** Somewhere that people and programs without access to Secrets can read. */
export interface Place {
  readonly name: string;
  readonly text: string;
}

/** Keys whose value is secret as a whole. */
const secretKey = /^(.*-)?password$|^secretKey$|^encryptionKey$|^token$/;
/** Shorter values are in other texts by chance. */
const lengthMin = 8;

/** What may be in no other place than these Secrets. */
export function needlesOf(secrets: readonly KubeObject[]): Needle[] {
  return secrets.flatMap(({ metadata, data }) =>
    Object.entries((data ?? {}) as Record<string, string>).flatMap(([key, value]) => {
      const text = Buffer.from(value, "base64").toString();
      const of = `Secret ${metadata.name}, key ${key}`;
      if (secretKey.test(key)) return [{ of, forms: formsOf(text) }];
      // A private key may be broken into lines otherwise: any one of its lines gives it away.
      const lines = key.endsWith(".key")
        ? text.split("\n").filter((line) => /^[A-Za-z0-9+/=]{40,}$/.test(line))
        : [];
      return lines.length > 0 ? [{ of, forms: lines }] : [];
    })
  ).filter(({ forms }) => (forms[0]?.length ?? 0) >= lengthMin);
}

function formsOf(text: string): string[] {
  const quote = (text: string) => JSON.stringify(text).slice(1, -1);
  // Objects are looked at as JSON, and their annotations hold JSON themselves.
  const quoted = [quote(text), quote(quote(text))];
  // Base64 of a longer text that has it inside, at each of the three offsets.
  const inner = [0, 1, 2].map((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), Buffer.from(text)]).toString("base64");
    const from = Math.ceil(offset * 8 / 6);
    return encoded.slice(from, Math.floor((offset + Buffer.byteLength(text)) * 8 / 6));
  });
  return [...new Set([text, ...quoted, encodeURIComponent(text), ...inner])].filter((form) =>
    form.length >= lengthMin
  );
}

/** What was found where it may not be. */
export function leaksIn(places: readonly Place[], needles: readonly Needle[]): string[] {
  return places.flatMap(({ name, text }) =>
    needles.filter(({ forms }) => forms.some((form) => text.includes(form))).map(({ of }) =>
      `${of} in ${name}`
    )
  );
}

/** Arguments and environment of every process that a container's user may look at, and what the member exports. */
const processes = `import glob, urllib.request
for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
    try:
        with open(path, "rb") as file:
            print(path, file.read().replace(b"\\0", b" ").decode(errors="replace"))
    except OSError:
        pass
for port, path in ((8008, "metrics"), (8008, "patroni"), (8008, "config"), (9187, "metrics")):
    for scheme in ("http", "https"):
        try:
            print(urllib.request.urlopen("%s://localhost:%d/%s" % (scheme, port, path), timeout=3).read().decode())
        except Exception:
            pass
`;

/** Everything that can be read in a namespace without access to its Secrets. */
export async function placesOf(kubectl: Kubectl, operatorLog: string): Promise<Place[]> {
  const places: Place[] = [{ name: "the operator's log", text: operatorLog }];
  const kinds = (await kubectl.run(["api-resources", "--namespaced", "--verbs=list", "--output=name"])).split(
    "\n",
  )
    .filter((kind) => kind !== "" && kind !== "secrets");
  const objects = await kubectl.run(["get", kinds.join(), "--output=json", "--show-managed-fields"], {
    timeoutMs: 60_000,
  });
  places.push(
    ...(JSON.parse(objects) as { items: KubeObject[] }).items.map((object) => ({
      name: `${object.kind} ${object.metadata.name}`,
      text: JSON.stringify(object),
    })),
  );
  for (const pod of await kubectl.list("pods")) {
    const { name } = pod.metadata;
    const { initContainers = [], containers } = pod["spec"] as Record<string, { name: string }[]>;
    for (const container of [...initContainers, ...containers!].map((one) => one.name)) {
      for (const which of [[], ["--previous"]]) {
        const { stdout } = await kubectl.try(["logs", name, `--container=${container}`, ...which], {
          timeoutMs: 60_000,
        });
        places.push({ name: `log of ${name}/${container} ${which.join()}`, text: stdout });
      }
    }
    for (const container of containers!.map((one) => one.name)) {
      const command = ["exec", name, `--container=${container}`, "--", "python3", "-c", processes];
      const { stdout } = await kubectl.try(command, { timeoutMs: 60_000 });
      places.push({ name: `processes and metrics of ${name}/${container}`, text: stdout });
    }
  }
  return places;
}

/** Looks everywhere in a namespace; returns what was found, and how much was looked at. */
export async function findLeaks(
  kubectl: Kubectl,
  operatorLog: string,
): Promise<{ leaks: string[]; needles: number; places: number; characters: number }> {
  const needles = needlesOf(await kubectl.list("secrets"));
  const places = needles.length === 0 ? [] : await placesOf(kubectl, operatorLog);
  return {
    leaks: leaksIn(places, needles),
    needles: needles.length,
    places: places.length,
    characters: places.reduce((sum, { text }) => sum + text.length, 0),
  };
}
