/**
 * Looks for passwords where none may be: in logs, events, every object but Secrets, metrics, and what processes were
 * started with.
 *
 * What is found is told by Secret, key and place, never by value.
 * @module
 */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Kubectl, KubeObject } from "./kubectl.ts";
import type { RunningOperator } from "./local.ts";

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
async function placesOf(kubectl: Kubectl): Promise<Place[]> {
  const places: Place[] = [];
  const kinds = (await kubectl.run(["api-resources", "--namespaced", "--verbs=list", "--output=name"])).split(
    "\n",
  )
    // Endpoints are deprecated, with a warning, and say what EndpointSlices do.
    .filter((kind) => !["", "secrets", "endpoints"].includes(kind));
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

/** What of the operator can be read without access to Secrets. */
async function placesOfOperator(operator: RunningOperator): Promise<Place[]> {
  const [logs, metrics, processes] = await Promise.all([
    operator.logs(),
    operator.metrics(),
    operator.processes(),
  ]);
  const pods = operator.pods ? await operator.pods.kubectl.list("all,events") : [];
  return [
    { name: "the operator's log", text: logs },
    { name: "the operator's metrics", text: metrics },
    { name: "arguments and environment of the operator", text: processes },
    { name: "the operator's objects", text: JSON.stringify(pods) },
  ];
}

/**
 * Looks for leaks during a run. It watches the namespace's Secrets, so that a password which was changed or deleted since
 * is looked for too.
 */
export class LeakSearch {
  readonly #kubectl: Kubectl;
  readonly #operator: RunningOperator;
  readonly #needles = new Map<string, Needle>();
  readonly #watch: ReturnType<typeof spawn>;
  readonly leaks = new Set<string>();
  places = 0;

  constructor(kubectl: Kubectl, operator: RunningOperator) {
    this.#kubectl = kubectl;
    this.#operator = operator;
    this.#watch = spawn("kubectl", [
      ...["--namespace", kubectl.namespace, "get", "secrets", "--watch"],
      ...["--output", 'jsonpath={.metadata.name}{" "}{.data}{"\\n"}'],
    ], { stdio: ["ignore", "pipe", "ignore"] });
    createInterface(this.#watch.stdout!).on("line", (line) => {
      const at = line.indexOf(" ");
      const data = at > 0 && line.length > at + 1 ? JSON.parse(line.slice(at)) as Record<string, string> : {};
      this.#learn([{ metadata: { name: line.slice(0, at) }, data }]);
    });
  }

  /** How many texts are looked for. */
  get needles(): number {
    return this.#needles.size;
  }

  #learn(secrets: readonly KubeObject[]): void {
    for (const needle of needlesOf(secrets)) this.#needles.set(needle.forms.join(), needle);
  }

  /** Looks everywhere, now. */
  async look(): Promise<void> {
    this.#learn(await this.#kubectl.list("secrets"));
    const places = [...await placesOf(this.#kubectl), ...await placesOfOperator(this.#operator)];
    this.places += places.length;
    for (const leak of leaksIn(places, [...this.#needles.values()])) this.leaks.add(leak);
  }

  /** Ends the watch. */
  end(): void {
    this.#watch.kill();
  }
}
