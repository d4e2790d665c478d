/**
 * F8: somebody deletes or edits what the operator owns; it must look as before in the end.
 * @module
 */

import type { KubeObject } from "../../embedded/mod.ts";
import type { Choice, Outcome } from "./explorer.ts";
import { type Simulation, UserRefused } from "./simulation.ts";

/** A field that the operator applied. */
interface Field {
  table: string;
  name: string;
  /** A JSON pointer. */
  pointer: string;
  /** It identifies an item of a list: edited, the item is somebody else's, and may stay beside ours. */
  isKey: boolean;
}

const manager = "database-operator";

/** Each object deleted, each applied field edited; one choice each. */
export function driftChoices({ commits }: Outcome): Choice[] {
  const last = new Map<string, { table: string; object: KubeObject }>();
  for (const { type, table, object } of commits) {
    const id = `${table} ${object.metadata.name}`;
    if (type === "DELETED") last.delete(id);
    else last.set(id, { table, object });
  }
  const owned = [...last.values()].filter(({ table, object }) =>
    // Secrets are not watched: a change of one is seen at the next look only, which may be ten minutes later.
    table !== "app.example.com/databases" && table !== "/secrets" && !/events/.test(table) &&
    object.metadata.managedFields?.some((entry) => entry.manager === manager && entry.operation === "Apply")
  );
  return [
    ...owned.map(({ table, object }) => deletion(table, object.metadata.name)),
    ...owned.flatMap(({ table, object }) => fieldsOf(table, object)).map(edit),
  ];
}

function deletion(table: string, name: string): Choice {
  return {
    label: `F8 ${table} ${name} deleted`,
    isDrift: true,
    onQuiet: async (simulation) => {
      if (!find(simulation, table, name)) return false;
      await simulation.user("DELETE", pathOf(table, name));
      return true;
    },
  };
}

function edit({ table, name, pointer, isKey }: Field): Choice {
  return {
    label: `F8 ${table} ${name}${pointer} edited`,
    isDrift: true,
    ...(isKey
      // Members are restarted for an item more, and another one leads in the end.
      ? {
        mayDiffer: new RegExp(
          `^P1: (${table} ${name}|/pods [^:]*|/configmaps [^:]*-(failover|config: /metadata/annotations/[^:]*/primary)):`,
        ),
      }
      : {}),
    // A member too many was there for a moment; its claim is kept. The first one was not there: another one leads.
    ...(pointer === "/spec/replicas" ? { mayDiffer: /^P1: \/persistentvolume/ } : {}),
    ...(pointer === "/spec/ordinals/start"
      ? { mayDiffer: /^P1: (\/persistentvolume|\/configmaps [^:]*-config: .*\/primary:)/ }
      : {}),
    onQuiet: async (simulation) => {
      const object = find(simulation, table, name);
      const value = object && at(object, pointer);
      const other = otherThan(value, pointer);
      if (other === undefined) return false;
      const patch = [{ op: "replace", path: pointer, value: other }];
      try {
        await simulation.user("PATCH", pathOf(table, name), patch, "application/json-patch+json");
        return true;
      } catch (error) {
        if (error instanceof UserRefused) return false; // The API server keeps that field as it is.
        throw error;
      }
    },
  };
}

function find(simulation: Simulation, table: string, name: string): KubeObject | undefined {
  return simulation.api.objects(table).find(({ metadata }) => metadata.name === name);
}

function pathOf(table: string, name: string): string {
  const [group = "", plural = ""] = table.split("/");
  return `${group ? `/apis/${group}/v1` : "/api/v1"}/namespaces/shop/${plural}/${name}`;
}

/** The leaves that the operator's field manager owns. */
function fieldsOf(table: string, object: KubeObject): Field[] {
  const { name } = object.metadata;
  return (object.metadata.managedFields ?? [])
    .filter((entry) => entry.manager === manager && entry.operation === "Apply")
    .flatMap((entry) => leaves(entry.fieldsV1, object, ""))
    .map(({ pointer, isKey }) => ({ table, name, pointer, isKey }));
}

interface Leaf {
  pointer: string;
  isKey: boolean;
}

/** @param keys fields that identify the item this is in */
function leaves(
  fields: Record<string, Record<string, unknown>>,
  value: unknown,
  pointer: string,
  keys: readonly string[] = [],
): Leaf[] {
  const names = Object.keys(fields).filter((name) => name !== ".");
  if (names.length === 0) {
    return [{ pointer, isKey: keys.includes(pointer.slice(pointer.lastIndexOf("/") + 1)) }];
  }
  return names.flatMap((name) => {
    const [part, child] = step(name, value);
    if (part === undefined) return [];
    const isItem = name.startsWith("k:");
    const isLeaf = Object.keys(fields[name]!).length === 0;
    const inner = isItem ? Object.keys(JSON.parse(name.slice(2)) as object) : isLeaf ? keys : [];
    const escaped = part.replaceAll("~", "~0").replaceAll("/", "~1");
    return leaves(fields[name] as never, child, `${pointer}/${escaped}`, inner);
  });
}

/** Where one step of a field path leads: `f:name`, `k:{"name":"x"}` or `v:"x"`. */
function step(path: string, value: unknown): [part: string | undefined, child: unknown] {
  const rest = path.slice(2);
  if (path.startsWith("f:")) return [rest, (value as Record<string, unknown> | undefined)?.[rest]];
  const items = Array.isArray(value) ? value as unknown[] : [];
  const wanted = JSON.parse(rest) as Record<string, unknown>;
  const index = items.findIndex((item) =>
    path.startsWith("v:")
      ? item === (wanted as unknown)
      : Object.entries(wanted).every(([key, one]) => (item as Record<string, unknown>)[key] === one)
  );
  return index < 0 ? [undefined, undefined] : [String(index), items[index]];
}

function at(object: unknown, pointer: string): unknown {
  return pointer.slice(1).split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((value, part) => (value as Record<string, unknown> | undefined)?.[part], object);
}

/** Another value of the same type; undefined when there is none to think of. */
function otherThan(value: unknown, pointer: string): unknown {
  if (typeof value === "boolean") return !value;
  if (typeof value === "number") return value + 1;
  if (typeof value !== "string") return undefined;
  if (/^\d+[A-Za-z]*$/.test(value)) return value.replace(/^\d+/, (digits) => String(Number(digits) + 1));
  return pointer.endsWith("/intent") ? "0" : `${value}-drifted`;
}
