/**
 * From documents to the files of the output.
 * @module
 */
import type { ApiKind } from "./api.ts";
import { type Crd, type CrdVersion, isCrd, readCrd } from "./crd.ts";
import { InputError } from "./errors.ts";
import { byCodeUnit, type Json, type JsonObject } from "./json.ts";
import { deprecationOf, kindShapes, kindTypes } from "./kind.ts";
import { header, type KindNames, type ModuleKind, modulePath, moduleText } from "./module.ts";
import { isOpenApi, OpenApi } from "./openapi.ts";
import metaDocument from "./openapi/meta_v1.json" with { type: "json" };
import type { Printable } from "./print.ts";
import { Declarations, type ObjectShape, type Shape, stringShape } from "./schema/shape.ts";
import { requestsText, resourceText, supportText } from "./support.ts";
import { type ValidatedVersion, validationText, validatorText } from "./validator.ts";

/** A document, and where it was found. */
export interface SourceDocument {
  place: readonly string[];
  value: Json;
}

/** How to generate. */
export interface GenerateOptions {
  /** The built-in kinds to take from OpenAPI documents, as `Pod` or `apps/v1/StatefulSet`. @default all */
  kinds?: readonly string[];
  /** Whether to add the typed clients. @default true */
  client?: boolean;
  /** Whether to add a validator of untrusted input to each module. @default false */
  validator?: boolean;
  /** Whether a document that cannot be read only ends up in `failures`. @default false */
  keepGoing?: boolean;
  /** Told before each module which one it is, and how many there are. */
  progress?: (module: string, number: number, of: number) => void;
}

/** What came of it. */
export interface Generated {
  /** The text of each file by its path in the output folder. */
  files: Map<string, string>;
  /** What was generated from. */
  crds: Crd[];
  /** Kinds, each version counted. */
  kinds: number;
  /** Documents that are neither a CustomResourceDefinition nor OpenAPI. */
  skipped: number;
  /** What could not be generated, with `keepGoing`. */
  failures: InputError[];
}

/**
 * Generates types from CustomResourceDefinitions and OpenAPI v3 documents.
 *
 * @throws {InputError} naming file, document, CustomResourceDefinition and schema path
 */
export function generate(documents: readonly SourceDocument[], options: GenerateOptions = {}): Generated {
  const { client = true, validator = false, keepGoing = false, progress = () => {} } = options;
  const failures: InputError[] = [];
  const openApi = new OpenApi();
  openApi.add(metaDocument as unknown as JsonObject, ["openapi/meta_v1.json"]);
  const read: Crd[] = [];
  let skipped = 0;
  for (const { place, value } of documents) {
    attempt(() => {
      if (isOpenApi(value)) openApi.add(value, place);
      else if (isCrd(value)) read.push(readCrd(value, place));
      else skipped++;
    });
  }
  // In a fixed order, whatever the order of the files: numbers in names depend on it.
  read.sort((a, b) => byCodeUnit(`${a.group}/${a.kind}`, `${b.group}/${b.kind}`));

  const modules = new Modules(client, validator);
  attempt(() => addBuiltIn(openApi, options.kinds, read, modules));
  const crds: Crd[] = [];
  for (const crd of read) {
    attempt(() => {
      refuseDouble(crd, crds);
      const made = crd.versions.map((version): [string, ModuleKind] => {
        const declarations = modules.declarations(crd.group, version.name);
        return [version.name, bounded(crd, () => crdKind(crd, version, declarations))];
      });
      for (const [version, kind] of made) modules.addKind(crd.group, version, kind);
      for (const version of crd.versions) modules.addValidated({ crd, version });
      crds.push(crd);
    });
  }
  if (failures.length === 1 && !keepGoing) throw failures[0]!;
  if (failures.length > 1 && !keepGoing) {
    throw new InputError(failures.map(({ message }) => message).join("\n"));
  }
  return { files: modules.files(progress), crds, kinds: modules.kinds, skipped, failures };

  function attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      failures.push(error);
    }
  }
}

/** An anchor of YAML can hold itself, and JSON can be nested without end: both end with the stack. */
function bounded<Result>(crd: Crd, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError("Cannot read the schema: it is nested too deeply, or holds itself", crd.place, {
      cause: error,
    });
  }
}

function refuseDouble(crd: Crd, before: readonly Crd[]): void {
  const other = before.find(({ group, kind, plural }) =>
    group === crd.group && (kind === crd.kind || plural === crd.plural)
  );
  if (other === undefined) return;
  throw new InputError(
    `Group ${JSON.stringify(crd.group)} has kind ${JSON.stringify(crd.kind)} already, from ${
      other.place.join(": ")
    }`,
    crd.place,
  );
}

function crdKind(crd: Crd, version: CrdVersion, declarations: Declarations): ModuleKind {
  const { group, kind, listKind, plural, scope } = crd;
  const shapes = kindShapes(crd, version, declarations);
  const [deprecation] = deprecationOf(version);
  return {
    group,
    version: version.name,
    kind,
    listKind,
    plural,
    scope,
    hasStatus: version.hasStatus,
    hasScale: version.hasScale,
    isServed: version.served,
    ...(deprecation !== undefined && { deprecation }),
    types: (kindNames, names) => kindTypes(crd, version, shapes, kindNames, names),
  };
}

/**
 * The kinds asked for, and everything they and each module reach. A cluster's OpenAPI documents hold its custom
 * resources too: what a CustomResourceDefinition gives is taken from there, by its rules.
 */
function addBuiltIn(
  openApi: OpenApi,
  wanted: readonly string[] | undefined,
  crds: readonly Crd[],
  modules: Modules,
): void {
  const named = openApi.kinds().filter((kind) =>
    wanted === undefined || wanted.some((name) => isNamed(kind, name))
  );
  const missing = wanted?.find((name) => !named.some((kind) => isNamed(kind, name)));
  if (missing !== undefined) {
    throw new InputError(`Cannot generate kind ${JSON.stringify(missing)}: no OpenAPI document has it`);
  }
  const kinds = named.filter(({ group, kind }) =>
    !crds.some((crd) => crd.group === group && crd.kind === kind)
  );
  const meta = ["ObjectMeta", "ListMeta", "Status", "Condition", "LabelSelector", "DeleteOptions"]
    .map((name) => `io.k8s.apimachinery.pkg.apis.meta.v1.${name}`);
  const reached = openApi.modules([...kinds.map((kind) => kind.schema), ...meta]);
  for (const type of metaTypes) reached.get("meta/v1")!.set(type.name, type);
  for (const kind of kinds) {
    const { module, local } = openApi.place(kind.schema);
    const own = reached.get(module)?.get(local);
    if (own === undefined) continue;
    reached.get(module)!.delete(local);
    modules.addKind(kind.group, kind.version, { ...kind, types: (names) => builtInTypes(kind, own, names) });
  }
  for (const [module, types] of reached) modules.addTypes(module, [...types.values()]);
}

/** Whether an option means this built-in kind: `Pod`, `apps/StatefulSet`, `core/v1/Pod`. */
export function isNamed({ group, version, kind }: ModuleKindName, name: string): boolean {
  return name === kind || name === `${group}/${kind}` || name === `${group}/${version}/${kind}` ||
    group === "" &&
      (name === `core/${kind}` || name === `${version}/${kind}` || name === `core/${version}/${kind}`);
}

type ModuleKindName = Pick<ModuleKind, "group" | "version" | "kind">;

const imported = (name: string): Shape & { type: "imported" } => ({
  type: "imported",
  name,
  module: "meta/v1",
});

function present(keys: { [key: string]: Shape }): ObjectShape {
  return {
    type: "object",
    fields: Object.entries(keys).map(([key, shape]) => ({ key, shape, required: true, doc: "" })),
  };
}

const metaTypes: Printable[] = [
  {
    name: "PrunedValue",
    shape: {
      type: "union",
      anyOf: [
        stringShape,
        { type: "number" },
        { type: "boolean" },
        { type: "null" },
        { type: "object", fields: [] },
        { type: "array", items: imported("PrunedValue") },
      ],
    },
    doc:
      "A value under `additionalProperties: true`: the API server keeps scalars and lists, and prunes what is in objects.",
  },
  {
    name: "NamedObjectMeta",
    shape: {
      type: "intersection",
      allOf: [
        imported("ObjectMeta"),
        { type: "union", anyOf: [present({ name: stringShape }), present({ generateName: stringShape })] },
      ],
    },
    doc: "The metadata of an object to write: it has a name, or asks for one.",
  },
  {
    name: "StoredObjectMeta",
    base: imported("ObjectMeta"),
    shape: present({
      name: stringShape,
      uid: stringShape,
      resourceVersion: stringShape,
      creationTimestamp: stringShape,
    }),
    doc: "The metadata of an object that the API server returned.",
  },
  {
    name: "StoredNamespacedObjectMeta",
    base: imported("StoredObjectMeta"),
    shape: present({ namespace: stringShape }),
    doc: "The metadata of an object in a namespace that the API server returned.",
  },
  {
    name: "StoredCustomObjectMeta",
    base: imported("StoredObjectMeta"),
    shape: present({ generation: { type: "number" } }),
    doc: "The metadata of a custom resource that the API server returned.",
  },
  {
    name: "StoredNamespacedCustomObjectMeta",
    base: imported("StoredNamespacedObjectMeta"),
    shape: present({ generation: { type: "number" } }),
    doc: "The metadata of a custom resource in a namespace that the API server returned.",
  },
];

/** A built-in kind: what is read is what is written, with the metadata that the API server adds. */
function builtInTypes(kind: ApiKind, own: Printable, names: KindNames): Printable[] {
  const metadata = imported(kind.scope === "Namespaced" ? "StoredNamespacedObjectMeta" : "StoredObjectMeta");
  const write: Printable["base"] = { type: "reference", to: { id: -1, shape: own.shape, name: names.write } };
  const read: Shape = { type: "reference", to: { id: -2, shape: own.shape, name: names.read } };
  const literal = (value: string): Shape => ({ type: "literal", values: [value] });
  return [
    { ...own, name: names.write },
    {
      name: names.read,
      base: write,
      shape: present({ metadata }),
      doc: `${kind.kind} as the API server returns it.`,
    },
    {
      name: names.list,
      shape: present({
        apiVersion: literal(kind.group === "" ? kind.version : `${kind.group}/${kind.version}`),
        kind: literal(kind.listKind),
        metadata: imported("ListMeta"),
        items: { type: "array", items: read },
      }),
      doc: `A list of ${kind.kind} objects.`,
    },
  ];
}

/** The modules of the output, while they are filled. */
class Modules {
  readonly #client: boolean;
  readonly #validator: boolean;
  readonly #declarations = new Map<string, Declarations>();
  readonly #validated = new Map<string, ValidatedVersion[]>();
  readonly #byPath = new Map<
    string,
    { group: string; version: string; kinds: ModuleKind[]; types: Printable[] }
  >();

  constructor(client: boolean, validator: boolean) {
    this.#client = client;
    this.#validator = validator;
  }

  addKind(group: string, version: string, kind: ModuleKind): void {
    this.#module(modulePath(group, version), group, version).kinds.push(kind);
  }

  /** The declarations that the kinds of a module share. */
  declarations(group: string, version: string): Declarations {
    const path = modulePath(group, version);
    let declarations = this.#declarations.get(path);
    if (declarations === undefined) this.#declarations.set(path, declarations = new Declarations());
    return declarations;
  }

  addValidated(validated: ValidatedVersion): void {
    if (!this.#validator) return;
    const path = modulePath(validated.crd.group, validated.version.name);
    this.#validated.set(path, [...this.#validated.get(path) ?? [], validated]);
  }

  addTypes(path: string, types: readonly Printable[]): void {
    const [folder, version] = path.split("/");
    const sorted = [...types].sort((a, b) => byCodeUnit(a.name, b.name));
    this.#module(path, folder === "core" ? "" : folder!, version!).types.push(...sorted);
  }

  get kinds(): number {
    return [...this.#byPath.values()].reduce((sum, { kinds }) => sum + kinds.length, 0);
  }

  files(progress: NonNullable<GenerateOptions["progress"]>): Map<string, string> {
    const files = new Map<string, string>([
      ["client.ts", `${header}\n${supportText}`],
      ["resource.ts", `${header}\n${resourceText}`],
    ]);
    if (this.#client) files.set("requests.ts", `${header}${requestsText}`);
    const sorted = [...this.#byPath].sort(([a], [b]) => byCodeUnit(a, b));
    for (const [index, [path, module]] of sorted.entries()) {
      progress(path, index + 1, sorted.length);
      const { types, client, typeNames } = moduleText({ ...module, hasClient: this.#client });
      files.set(`${path}.ts`, types);
      if (client !== undefined) files.set(`${path}.client.ts`, client);
      const validated = this.#validated.get(path);
      if (validated !== undefined) {
        files.set(`${path}.validate.ts`, `${header}${validatorText(validated, typeNames)}`);
      }
    }
    if (this.#validated.size > 0) files.set("validation.ts", `${header}\n${validationText()}`);
    return files;
  }

  #module(path: string, group: string, version: string) {
    let module = this.#byPath.get(path);
    if (module === undefined) this.#byPath.set(path, module = { group, version, kinds: [], types: [] });
    return module;
  }
}
