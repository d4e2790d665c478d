/**
 * Who owns which field: metadata.managedFields kept through updates, and server-side apply.
 *
 * Entries are per manager, operation, version and subresource; times change only with their fields;
 * at most ten Update managers of one version are told apart. Written after the behaviour of
 * apimachinery pkg/util/managedfields and structured-merge-diff merge.Updater.
 * @module
 */
import { badRequest, type StatusCause, StatusError } from "../errors.ts";
import type { Schema } from "../schema/model.ts";
import { clone, type Json, type KubeObject, type ManagedFieldsEntry } from "../types.ts";
import { type FieldPath, FieldSet, pathText } from "./field_set.ts";
import { kubectl, lastAppliedFields, noteLastApplied } from "./last_applied.ts";
import {
  checkTypes,
  compare,
  type Comparison,
  fieldsOf,
  merge,
  removeFields,
  rootSchema,
  UnkeyedItem,
} from "./typed.ts";

/** Who writes, and how. */
export interface Writer {
  manager: string;
  apiVersion: string;
  /** "" for the main resource. */
  subresource: string;
  /** Fields that this endpoint resets, which nobody comes to own through it. */
  ignored: FieldSet;
  /** metav1.Time of the write; "" for writes that are recorded without one. */
  time: string;
  /** The writer only takes fields away from others. */
  ownsNothing?: boolean;
}

interface Manager {
  entry: ManagedFieldsEntry;
  set: FieldSet;
}

type Managers = Map<string, Manager>;

const stripped = new FieldSet();
for (
  const path of [
    ["apiVersion"],
    ["kind"],
    ["metadata"],
    ...[
      "name",
      "namespace",
      "creationTimestamp",
      "selfLink",
      "uid",
      "clusterName",
      "generation",
      "managedFields",
      "resourceVersion",
    ]
      .map((name) => ["metadata", name]),
  ]
) stripped.insert(path.map((name) => `f:${name}`));

const updateManagersMax = 10;

function identity(entry: ManagedFieldsEntry): string {
  return JSON.stringify([
    entry.manager ?? "",
    entry.operation,
    entry.operation === "Apply" ? "" : entry.apiVersion,
    entry.subresource ?? "",
  ]);
}

function decode(entries: readonly ManagedFieldsEntry[] | undefined): Managers {
  const managers: Managers = new Map();
  for (const entry of entries ?? []) {
    const known = managers.get(identity(entry));
    const set = FieldSet.fromJson(entry.fieldsV1);
    managers.set(identity(entry), { entry, set: known ? known.set.union(set) : set });
  }
  return managers;
}

/** Is every entry one that {@link decode} can read? Clients may send anything. */
function isReadable(entries: Json): boolean {
  return Array.isArray(entries) && entries.length > 0 &&
    entries.every((entry: Json) =>
      entry && ["Apply", "Update"].includes(entry.operation) && entry.apiVersion
    );
}

function encode(managers: Managers): ManagedFieldsEntry[] {
  const text = (value: string | undefined) => value ?? "";
  return [...managers.values()]
    .map(({ entry, set }) => ({
      ...(entry.manager ? { manager: entry.manager } : {}),
      operation: entry.operation ?? "Update",
      apiVersion: entry.apiVersion ?? "",
      ...(entry.time ? { time: entry.time } : {}),
      fieldsType: "FieldsV1",
      fieldsV1: set.toJson(),
      ...(entry.subresource ? { subresource: entry.subresource } : {}),
    }))
    .sort((a, b) => {
      const order = [
        [a.operation, b.operation],
        [text(a.time), text(b.time)],
        [text(a.manager), text(b.manager)],
        [a.apiVersion, b.apiVersion],
        [text(a.subresource), text(b.subresource)],
      ];
      for (const [x = "", y = ""] of order) if (x !== y) return x < y ? -1 : 1;
      return 0;
    });
}

function bare(object: KubeObject): Json {
  const { managedFields: _managedFields, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** Folds the oldest Update managers into one named ancient-changes. */
function capped(managers: Managers): Managers {
  const updates = [...managers].filter(([, { entry }]) => entry.operation === "Update" && !entry.subresource);
  if (updates.length <= updateManagersMax) return managers;
  updates.sort(([, a], [, b]) => ((a.entry.time ?? "") < (b.entry.time ?? "") ? -1 : 1));
  const old = updates.slice(0, updates.length - updateManagersMax + 1);
  const version = old[0]?.[1].entry.apiVersion ?? "";
  let set = new FieldSet();
  for (const [id, manager] of old) {
    set = set.union(manager.set);
    managers.delete(id);
  }
  const time = old.at(-1)?.[1].entry.time;
  const entry: ManagedFieldsEntry = { manager: "ancient-changes", operation: "Update", apiVersion: version };
  if (time) entry.time = time;
  managers.set(identity(entry), { entry, set });
  return managers;
}

function finish(managers: Managers): ManagedFieldsEntry[] {
  for (const [id, manager] of managers) {
    manager.set = manager.set.difference(stripped);
    if (manager.set.isEmpty) managers.delete(id);
  }
  return encode(capped(managers));
}

/**
 * managedFields after a write that is not an apply.
 *
 * @param live the object before; undefined on create
 * @param next the object as it is to be stored, still with the managedFields that the client sent
 */
export function afterUpdate(
  live: KubeObject | undefined,
  next: KubeObject,
  schema: Schema,
  writer: Writer,
): ManagedFieldsEntry[] | undefined {
  const sent = next.metadata.managedFields as Json;
  const isReset = Array.isArray(sent) && live !== undefined &&
    (sent.length === 0 || (sent.length === 1 && Object.keys(sent[0] ?? {}).length === 0));
  if (isReset) return undefined;
  if (live && !live.metadata.managedFields?.length && !isReadable(sent)) return undefined;
  try {
    return trackUpdate(
      live,
      next,
      rootSchema(schema),
      writer,
      isReadable(sent) ? sent : live?.metadata.managedFields,
    );
  } catch (error) {
    // Without its keys a list cannot be tracked; validation has the last word on such an object.
    if (error instanceof UnkeyedItem) return live?.metadata.managedFields;
    throw error;
  }
}

function trackUpdate(
  live: KubeObject | undefined,
  next: KubeObject,
  root: Schema,
  writer: Writer,
  known: readonly ManagedFieldsEntry[] | undefined,
): ManagedFieldsEntry[] {
  const managers = decode(known);
  const before = live ? bare(live) : { apiVersion: next.apiVersion, kind: next.kind, metadata: {} };
  const changes = visible(compare(before, bare(next), root), writer.ignored);
  const touched = changes.added.union(changes.modified).difference(stripped);
  take(managers, changes);
  const entry: ManagedFieldsEntry = {
    manager: writer.manager,
    operation: "Update",
    apiVersion: writer.apiVersion,
    time: writer.time,
    ...(writer.subresource ? { subresource: writer.subresource } : {}),
  };
  if (!touched.isEmpty && !writer.ownsNothing) {
    const own = managers.get(identity(entry));
    managers.set(identity(entry), { entry, set: own ? own.set.union(touched) : touched });
  }
  return finish(managers);
}

/** The changes that this endpoint lets through. */
const visible = ({ added, modified, removed }: Comparison, ignored: FieldSet): Comparison => ({
  added: added.recursiveDifference(ignored),
  modified: modified.recursiveDifference(ignored),
  removed: removed.recursiveDifference(ignored),
});

/** Nobody owns any longer what changed under them. */
function take(managers: Managers, changes: Comparison): void {
  const changed = changes.added.union(changes.modified).union(changes.removed);
  for (const manager of managers.values()) manager.set = manager.set.difference(changed);
}

/** The outcome of an apply. */
export interface Applied {
  object: KubeObject;
  managedFields: ManagedFieldsEntry[];
}

/**
 * Server-side apply.
 *
 * @param live the object before; an object of only apiVersion, kind and metadata when there is none
 * @param config the applied configuration
 * @throws {StatusError} 409 naming every field that another manager owns, unless forced
 */
export function apply(
  live: KubeObject,
  config: KubeObject,
  schema: Schema,
  writer: Writer,
  force: boolean,
): Applied {
  if (config.metadata?.managedFields !== undefined) throw badRequest("metadata.managedFields must be nil");
  const root = rootSchema(schema);
  const managers = decode(live.metadata.managedFields);
  const before = bare(live);
  if (managers.size === 0 && live.metadata.uid) adoptUnmanaged(managers, before, live, root, writer);
  const entry: ManagedFieldsEntry = {
    manager: writer.manager,
    operation: "Apply",
    apiVersion: writer.apiVersion,
    time: writer.time,
    ...(writer.subresource ? { subresource: writer.subresource } : {}),
  };
  const self = identity(entry);
  const last = managers.get(self);
  const set = appliedFields(config, root).recursiveDifference(writer.ignored);
  managers.set(self, { entry, set });
  const merged = merge(before, config, root);
  const object = last ? prune(merged, managers, last.set, root) : merged;
  const changes = visible(compare(before, object, root), writer.ignored);
  const conflicts = conflictsWith(managers, self, changes);
  const disputed = writer.manager === kubectl ? beyondLastApplied(conflicts, before, root) : conflicts;
  if (disputed.length > 0 && !force) throw conflictError(disputed);
  for (const { id, set: lost } of conflicts) {
    const manager = managers.get(id);
    if (manager) manager.set = manager.set.difference(lost);
  }
  for (const [id, manager] of managers) {
    if (id !== self) manager.set = manager.set.difference(changes.removed);
  }
  const isUnchanged = last?.set.equals(set.difference(stripped)) && isNothing(changes);
  if (isUnchanged && last?.entry.time) entry.time = last.entry.time;
  const metadata = { ...object.metadata };
  if (writer.manager === kubectl) noteLastApplied(metadata, config);
  return { object: { ...object, metadata }, managedFields: finish(managers) };
}

/** The conflicts about fields that are not as kubectl's client-side apply left them; its own may be taken over. */
function beyondLastApplied(conflicts: Conflict[], live: Json, root: Schema): Conflict[] {
  const mine = lastAppliedFields(live, root);
  return conflicts
    .map((conflict) => ({ ...conflict, set: conflict.set.difference(mine) }))
    .filter(({ set }) => !set.isEmpty);
}

function appliedFields(config: KubeObject, root: Schema): FieldSet {
  try {
    checkTypes(config, root);
    return fieldsOf(config, root);
  } catch (error) {
    if (!(error instanceof UnkeyedItem) && !(error instanceof TypeError)) throw error;
    const { name, namespace } = config.metadata;
    const version = config.apiVersion.includes("/") ? config.apiVersion : `/${config.apiVersion}`;
    const at = `${namespace ?? ""}/${name}; ${version}, Kind=${config.kind}`;
    throw new StatusError(500, "", `failed to create typed patch object (${at}): ${error.message}`);
  }
}

const isNothing = (changes: Comparison) =>
  changes.added.isEmpty && changes.modified.isEmpty && changes.removed.isEmpty;

/** An object that nobody manages yet keeps its fields under the name before-first-apply. */
function adoptUnmanaged(
  managers: Managers,
  before: Json,
  live: KubeObject,
  root: Schema,
  writer: Writer,
): void {
  const entry: ManagedFieldsEntry = {
    manager: "before-first-apply",
    operation: "Update",
    apiVersion: writer.apiVersion,
    time: live.metadata.creationTimestamp ?? writer.time,
  };
  const empty = { apiVersion: live.apiVersion, kind: live.kind, metadata: {} };
  const set = compare(empty, before, root).added.recursiveDifference(writer.ignored).difference(stripped);
  managers.set(identity(entry), { entry, set });
}

/** Removes what this manager applied before, applies no longer, and nobody else owns. */
function prune(merged: Json, managers: Managers, last: FieldSet, root: Schema): Json {
  const named = (set: FieldSet) => set.withNamedFields(root);
  const lastNamed = named(last);
  let pruned = removeFields(merged, lastNamed, root) ?? {};
  const mergedSet = named(fieldsOf(merged, root));
  let owned = new FieldSet();
  for (const { set } of managers.values()) owned = owned.union(set);
  const keep = named(fieldsOf(pruned, root)).union(named(owned));
  pruned = removeFields(merged, mergedSet.difference(keep), root) ?? {};
  const dangling = mergedSet.difference(named(fieldsOf(pruned, root))).intersection(lastNamed);
  return clone(removeFields(merged, dangling, root) ?? {});
}

interface Conflict {
  id: string;
  manager: Manager;
  set: FieldSet;
}

function conflictsWith(managers: Managers, self: string, changes: Comparison): Conflict[] {
  const changed = changes.modified.union(changes.added);
  const conflicts: Conflict[] = [];
  for (const [id, manager] of managers) {
    if (id === self) continue;
    const set = manager.set.intersection(changed);
    if (!set.isEmpty) conflicts.push({ id, manager, set });
  }
  return conflicts;
}

function managerText({ entry }: Manager): string {
  let text = JSON.stringify(entry.manager ?? "");
  if (entry.subresource) text += ` with subresource ${JSON.stringify(entry.subresource)}`;
  return entry.operation === "Update" ? `${text} using ${entry.apiVersion}` : text;
}

function conflictError(conflicts: Conflict[]): StatusError {
  const found: { manager: string; path: FieldPath }[] = [];
  for (const { manager, set } of conflicts) {
    for (const path of set.paths()) found.push({ manager: managerText(manager), path });
  }
  const causes: StatusCause[] = found.map(({ manager, path }) => ({
    reason: "FieldManagerConflict",
    message: `conflict with ${manager}`,
    field: pathText(path),
  }));
  const [first] = found;
  if (found.length === 1 && first) {
    const message = `Apply failed with 1 conflict: conflict with ${first.manager}: ${pathText(first.path)}`;
    return new StatusError(409, "Conflict", message, { causes });
  }
  const lines = [...new Set(found.map(({ manager }) => manager))].sort().flatMap((manager) => [
    `conflicts with ${manager}:`,
    ...found.filter((one) => one.manager === manager).map(({ path }) => `- ${pathText(path)}`),
  ]);
  const message = `Apply failed with ${found.length} conflicts: ${lines.join("\n")}`;
  return new StatusError(409, "Conflict", message, { causes });
}
