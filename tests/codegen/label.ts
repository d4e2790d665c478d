/**
 * Makes labelled examples: objects changed in one place along their schema, and what a real API server says of each.
 *
 *     KUBECONFIG=... node tests/codegen/label.ts FOLDER OUTPUT.json [objects of each CustomResourceDefinition] [changes of each object]
 *
 * FOLDER is as in crds.ts; the output can be given to crds.ts after it. The objects are the accepted examples of the
 * folder and, for each version, two made from the schema.
 * @module
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { gunzipSync } from "node:zlib";
import { type Crd, type CrdVersion, documentsOf, readCrd } from "../../codegen/mod.ts";
import type { JsonObject } from "../../codegen/json.ts";
import { Judge } from "./api_server.ts";
import { mutantsOf, sample } from "./mutants.ts";

/** An object and what the API server said of it. */
export interface Example {
  crd: string;
  version: string;
  object: JsonObject;
  accepted: boolean;
  message: string | null;
  what?: string;
  stored?: undefined;
}

const [folder, output, objectsMax = "6", mutantsMax = "60"] = process.argv.slice(2);
if (folder === undefined || output === undefined) {
  console.error("Usage: label.ts FOLDER OUTPUT.json [OBJECTS] [CHANGES]");
  process.exit(2);
}
const judge = await Judge.connect();
const documents = [];
let known: Example[] = [];
for (const file of (await readdir(folder, { recursive: true })).sort()) {
  const path = join(folder, file);
  if (file.endsWith("examples.json.gz")) {
    known = JSON.parse(gunzipSync(await readFile(path)).toString()) as Example[];
  } else if (/\.ya?ml$/.test(file)) documents.push(...documentsOf(await readFile(path, "utf8"), path));
}
const labelled: Example[][] = [];
const waiting = [...documents.entries()];
await Promise.all(Array.from({ length: 6 }, async () => {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const [index, { value, place }] = next;
    labelled[index] = await labelCrd(value as JsonObject, place);
    console.log(place[0], labelled[index].length);
  }
}));
await writeFile(output, JSON.stringify(labelled.flat()));

/** Installs one CustomResourceDefinition, labels its objects, and removes it again. */
async function labelCrd(document: JsonObject, place: readonly string[]): Promise<Example[]> {
  const labelled: Example[] = [];
  const crd = readCrd(document, place);
  const name = `${crd.plural}.${crd.group}`;
  await judge.install(document);
  for (const version of crd.versions) {
    if (!version.served) continue;
    const address = { group: crd.group, version: version.name, plural: crd.plural, scope: crd.scope };
    const seen = new Set<string>();
    for (const base of basesOf(name, crd, version)) {
      const first = await judge.label(address, base);
      labelled.push({
        crd: name,
        version: version.name,
        object: base,
        accepted: first.accepted,
        message: first.message,
        what: "base",
      });
      if (!first.accepted) continue;
      const mutants = [...mutantsOf(base, version.schema)].filter(({ what }) =>
        !what.startsWith(".status") && !seen.has(what)
      );
      const stride = Math.max(1, mutants.length / Number(mutantsMax));
      const chosen = mutants.filter((_, index) =>
        Math.floor(index / stride) !== Math.floor((index - 1) / stride)
      );
      for (const { what, object } of chosen) {
        seen.add(what);
        labelled.push({
          crd: name,
          version: version.name,
          object: object as JsonObject,
          ...(await judge.label(address, object)),
          stored: undefined,
          what,
        });
      }
    }
  }
  await judge.remove(name);
  return labelled;
}

/** Two objects made from the schema, and accepted examples, the longest first. */
function basesOf(name: string, crd: Crd, version: CrdVersion): JsonObject[] {
  const head = { apiVersion: `${crd.group}/${version.name}`, kind: crd.kind, metadata: { name: "example" } };
  const made = [false, true].map((isFull): JsonObject => ({
    ...(sample(withoutStatus(version.schema), isFull) as JsonObject),
    ...head,
  }));
  const real = known.filter((one) => one.crd === name && one.version === version.name && one.accepted)
    .sort((a, b) => JSON.stringify(b.object).length - JSON.stringify(a.object).length)
    .map((one) => one.object);
  const step = Math.max(1, Math.floor(real.length / Number(objectsMax)));
  return [...made, ...real.filter((_, index) => index % step === 0).slice(0, Number(objectsMax))];
}

function withoutStatus(schema: JsonObject): JsonObject {
  const { status: _, apiVersion: __, kind: ___, metadata: ____, ...properties } =
    (schema.properties ?? {}) as JsonObject;
  return { ...schema, properties };
}
