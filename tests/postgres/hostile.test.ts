/**
 * Every string of the spec, as crd.yaml has it, takes every hostile text: the API server refuses it, or what is rendered
 * differs from what a harmless text gives in that one value only, wherever it ends: in a field, in JSON, in a line of a
 * configuration file. A new field takes part by itself.
 */
import { readFileSync } from "node:fs";
import { Buffer } from "node:buffer";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { EmbeddedApi } from "../../embedded/mod.ts";
import { wait } from "../../postgres/decide.ts";
import { dynamicConfig } from "../../postgres/dynamic_config.ts";
import { observe } from "../../postgres/observe.ts";
import { planOf } from "../../postgres/plan.ts";
import { secretsOf } from "../../postgres/repository.ts";
import type { Sight } from "../../postgres/sight.ts";
import type { StoredDatabase } from "../../types/app.example.com/v1.ts";
import type { StoredSecret } from "../../types/core/v1.ts";
import { oversized, quotable, unquotable } from "./hostile.ts";
import { fakeCertificates } from "./fake_certificates.ts";

interface Schema {
  readonly type?: string;
  readonly pattern?: string;
  readonly enum?: readonly string[];
  readonly minLength?: number;
  readonly format?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly default?: unknown;
  readonly "x-kubernetes-int-or-string"?: boolean;
}

const crd = parse(readFileSync(new URL("../../crd.yaml", import.meta.url), "utf8"));
const specSchema: Schema = crd.spec.versions[0].schema.openAPIV3Schema.properties.spec;
const isText = (schema: Schema) => schema.type === "string" || schema["x-kubernetes-int-or-string"] === true;

/** One step into a value: a field, any key of a map, the first item of a list; the key of a map itself is "key". */
type Step = string | { readonly any: "value" | "key" } | 0;

/** The way to each text in a value of this schema. */
function texts(schema: Schema): Step[][] {
  if (isText(schema)) return [[]];
  const below = (step: Step, inner: Schema) => texts(inner).map((path) => [step, ...path]);
  return [
    ...Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => below(name, inner)),
    ...(schema.additionalProperties
      ? [[{ any: "key" } as const], ...below({ any: "value" }, schema.additionalProperties)]
      : []),
    ...(schema.items ? below(0, schema.items) : []),
  ];
}

/** Harmless texts, one of which fits any pattern. */
const harmless = [
  "sample",
  "17",
  "1Gi",
  "https://store.example",
  "0 1 * * *",
  "/shop/orders",
  "20261123-100000F",
  "2026-11-23T10:00:00Z",
  "100m",
  "app.example.com/sample",
];

function fitting(schema: Schema, path: string): unknown {
  if (schema.enum) return schema.enum[0];
  if (schema.format === "date-time") return "2026-11-23T10:00:00Z";
  const found = harmless.find((text) =>
    text.length >= (schema.minLength ?? 0) && new RegExp(schema.pattern ?? "", "u").test(text)
  );
  if (found === undefined) {
    throw new Error(`No harmless text fits ${path}, pattern ${schema.pattern}: add one`);
  }
  return found;
}

/** The smallest value of this schema that has a text at the end of the path. */
function holding(schema: Schema, path: readonly Step[], text: string, where = "spec"): unknown {
  if (schema.default !== undefined && path.length === 0 && text === "") return schema.default;
  if (isText(schema)) return path.length === 0 && text !== "" ? text : fitting(schema, where);
  if (schema.type === "integer" || schema.type === "number") return 1;
  if (schema.type === "boolean") return true;
  const [step, ...rest] = path;
  if (schema.type === "array") {
    return step === undefined ? [] : [holding(schema.items!, rest, text, `${where}[0]`)];
  }
  const object: Record<string, unknown> = {};
  const put = (name: string, value: unknown) =>
    Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
  for (const name of schema.required ?? []) {
    put(name, holding(schema.properties![name]!, [], "", `${where}.${name}`));
  }
  if (typeof step === "string") {
    put(step, holding(schema.properties![step]!, rest, text, `${where}.${step}`));
  } else if (typeof step === "object") {
    const inner = schema.additionalProperties!;
    if (step.any === "key") put(text, holding(inner, [], "", `${where}.*`));
    else put(mapKey(where), holding(inner, rest, text, `${where}.*`));
  }
  return object;
}

const mapKey = (where: string) =>
  where.endsWith("parameters")
    ? "application_name"
    : where.includes("resources")
    ? "memory"
    : "example.com/sample";

const pathText = (path: readonly Step[]) =>
  ["spec", ...path.map((step) => typeof step === "object" ? `(${step.any})` : step)].join(".");

/** What CEL wants beside a field. */
const beside: Readonly<Record<string, object>> = {
  users: { secretName: "of-user" },
};

function specWith(path: readonly Step[], text: string): Record<string, unknown> {
  const spec = holding(specSchema, path, text) as Record<string, unknown>;
  const [first] = path;
  if (typeof first === "string" && Array.isArray(spec[first])) {
    spec[first] = (spec[first] as object[]).map((item) =>
      typeof item === "object" && !Array.isArray(item) ? { ...beside[first], ...item } : item
    );
  }
  if (first !== "version") spec["version"] = "17";
  return spec;
}

const api = new EmbeddedApi({ crds: [crd], namespaces: ["shop"] });

/** What the API server answers to its creation. */
async function refusal(spec: unknown): Promise<string | undefined> {
  const body = JSON.stringify({
    apiVersion: "app.example.com/v1",
    kind: "Database",
    metadata: { name: "orders" },
    spec,
  });
  const url =
    "http://api/apis/app.example.com/v1/namespaces/shop/databases?dryRun=All&fieldValidation=Strict";
  const response = await api.fetch(
    new Request(url, { method: "POST", headers: { "content-type": "application/json" }, body }),
  );
  const answer = await response.json() as { message: string };
  return response.ok ? undefined : answer.message;
}

const encoded = (text: string) => Buffer.from(text).toString("base64");

/** Everything that is rendered from a spec, as objects, and what the operator refuses in it. */
function rendered(spec: unknown): { objects: unknown; problems: string[] } {
  const metadata = { name: "orders", namespace: "shop", uid: "u-1", generation: 1 };
  const database = { metadata, spec } as unknown as StoredDatabase;
  const empty: Sight = {
    database,
    statefulSet: undefined,
    pods: [],
    claims: [],
    storeClaims: new Map(),
    configMaps: new Map(),
    backupPods: [],
    jobs: [],
    upgradePods: [],
    imageTemplate: "localhost/database:{version}",
    patroni: observe("orders", { pods: [] }, 0),
    secrets: new Map(),
    source: undefined,
  };
  const own = { "app.example.com/database": "orders", "app.kubernetes.io/managed-by": "database-operator" };
  const data = Object.fromEntries(
    ["password", "accessKey", "secretKey", "encryptionKey"].map((key) => [key, encoded(`${key}-value`)]),
  );
  const secrets = new Map(
    secretsOf(empty).filter((name) => !/-(credentials|backup|roles|tls|ca|authority)$/.test(name)).map(
      (name) => [name, { metadata: { name, labels: own }, data } as unknown as StoredSecret],
    ),
  );
  const plan = planOf({ ...empty, secrets }, wait("Creating", ""), {
    owner: [],
    imageTemplate: "localhost/database:{major}",
    password: () => "test-password-000000000000",
    certificates: fakeCertificates(),
    nowMs: Date.UTC(2026, 10, 25),
  });
  const objects = {
    wanted: plan.wanted.map(({ desired }) => desired),
    unwanted: plan.unwanted.map(({ name }) => name),
    dynamic: dynamicConfig(plan.effective, { size: 1 }),
  };
  return { objects, problems: plan.problems.map(({ message }) => message) };
}

/** Where two values differ by more than one text in place of another. */
function difference(
  given: unknown,
  hostile: unknown,
  [from, to]: readonly [string, string],
  path = "",
): string[] {
  if (given === hostile) return [];
  if (typeof given === "string" && typeof hostile === "string") {
    if (swapped(given, hostile, from, to)) return [];
    for (const decode of [asJson, asBase64, asLines]) {
      const [a, b] = [decode(given), decode(hostile)];
      if (a !== undefined && b !== undefined) return difference(a, b, [from, to], `${path}|${decode.name}`);
    }
    return [`${path}: ${given.slice(0, 200)} became ${hostile.slice(0, 200)}`];
  }
  if (typeof given !== "object" || typeof hostile !== "object" || given === null || hostile === null) {
    return [`${path}: ${JSON.stringify(given)} became ${JSON.stringify(hostile)}`];
  }
  const key = (name: string) => name === from ? to : name;
  const names = Object.keys(given).map(key).toSorted(), found = Object.keys(hostile).toSorted();
  if (names.join("\n") !== found.join("\n")) {
    return [`${path}: ${names.length} fields became ${found.join()}`];
  }
  return Object.keys(given).flatMap((name) =>
    difference(
      (given as Record<string, unknown>)[name],
      Object.getOwnPropertyDescriptor(hostile, key(name))?.value,
      [from, to],
      `${path}.${name}`,
    )
  );
}

/** The text itself, with what the operator puts before and after it, or as an exact word of a reference. */
function swapped(given: string, hostile: string, from: string, to: string): boolean {
  if (given === from && hostile === to) return true;
  if (/[\p{Cc}'"\\$`;{}<>|&*#%\s]/u.test(to)) return false;
  return given.replaceAll(from, to) === hostile;
}

function asJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" ? value : undefined;
  } catch {
    return undefined;
  }
}

function asBase64(text: string): string | undefined {
  return text.length >= 8 && text.length % 4 === 0 && /^[A-Za-z0-9+/]+=*$/.test(text)
    ? Buffer.from(text, "base64").toString()
    : undefined;
}

/** `key=value` lines, as pgBackRest reads them. */
function asLines(text: string): Record<string, string> | undefined {
  if (!text.startsWith("[global]\n")) return undefined;
  return Object.fromEntries(
    text.split("\n").map((line, at) => {
      const end = line.indexOf("=");
      return end < 0 ? [`line ${at}`, line] : [`line ${at} ${line.slice(0, end)}`, line.slice(end + 1)];
    }),
  );
}

/** Paths whose text decides what is rendered, not only a value in it: the API server must take no hostile text. */
const deciding = /^spec\.(version|durability|deletionPolicy)/;

const corpus = [...quotable, ...unquotable, ...oversized];

for (const path of texts(specSchema)) {
  const where = pathText(path);
  test(`${where}: a hostile text is refused, or changes nothing but that value`, async () => {
    const schemaText = specWith(path, "");
    // The harmless text of this place, as the smallest value has it.
    const base = path.reduce<unknown>(
      (value, step) =>
        typeof step === "object"
          ? step.any === "key" ? undefined : (value as Record<string, unknown>)[mapKey(where)] ??
            Object.values(value as object)[0]
          : (value as Record<string | number, unknown>)[step],
      schemaText,
    );
    const from = typeof base === "string" ? base : "sample";
    const given = rendered(specWith(path, from));
    for (const text of corpus) {
      const spec = specWith(path, text);
      const refused = await refusal(spec);
      if (refused !== undefined) {
        assert.match(refused, /spec/);
        continue;
      }
      assert.not.ok(deciding.test(where), `${where} takes ${JSON.stringify(text)}`);
      const { objects, problems } = rendered(spec);
      const what = `${where} = ${JSON.stringify(text.slice(0, 80))}`;
      if (problems.length > given.problems.length) {
        // Refused by the operator, with the name of the field: rendered as if it were not there.
        assert.match(problems.join(), where.replace(/\.\(.*/, ""));
        assert.equal(objects, rendered({ version: "17" }).objects, what);
      } else {
        assert.equal(difference(given.objects, objects, [from, text]), [], what);
      }
      assert.is(({} as Record<string, unknown>)["state"], undefined);
    }
  });
}

test("the corpus reaches fields that take any text, so that something is really rendered", async () => {
  const texts = quotable.filter((text) => !text.includes("\t") && text.length < 64);
  for (const name of texts) {
    assert.is(await refusal({ version: "17", users: [{ name, secretName: "x" }] }), undefined, name);
  }
});

test.run();
