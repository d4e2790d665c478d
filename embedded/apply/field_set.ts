/**
 * Sets of fields, as metadata.managedFields holds them (FieldsV1), and their algebra.
 *
 * A path element is `f:name`, `k:{"key":...}`, `v:value` or `i:index`. Written after the behaviour of
 * sigs.k8s.io/structured-merge-diff fieldpath.Set.
 * @module
 */
import type { Json } from "../types.ts";
import { itemSchema, propertySchema, type Schema } from "../schema/model.ts";

/** The way to a field. */
export type FieldPath = readonly string[];

export class FieldSet {
  readonly members = new Set<string>();
  readonly children = new Map<string, FieldSet>();

  get isEmpty(): boolean {
    return this.members.size === 0 && this.children.size === 0;
  }

  insert([first, ...rest]: FieldPath): void {
    if (first === undefined) return;
    if (rest.length === 0) {
      this.members.add(first);
      return;
    }
    let child = this.children.get(first);
    if (!child) this.children.set(first, child = new FieldSet());
    child.insert(rest);
  }

  union(other: FieldSet): FieldSet {
    const result = new FieldSet();
    for (const set of [this, other]) {
      for (const member of set.members) result.members.add(member);
      for (const [element, child] of set.children) {
        const known = result.children.get(element);
        result.children.set(element, known ? known.union(child) : child);
      }
    }
    return result;
  }

  intersection(other: FieldSet): FieldSet {
    const result = new FieldSet();
    for (const member of this.members) if (other.members.has(member)) result.members.add(member);
    for (const [element, child] of this.children) {
      const theirs = other.children.get(element);
      if (theirs) result.#keep(element, child.intersection(theirs));
    }
    return result;
  }

  /** Fields of this set that are not in the other; a field does not take its children with it. */
  difference(other: FieldSet): FieldSet {
    const result = new FieldSet();
    for (const member of this.members) if (!other.members.has(member)) result.members.add(member);
    for (const [element, child] of this.children) {
      const theirs = other.children.get(element);
      result.#keep(element, theirs ? child.difference(theirs) : child);
    }
    return result;
  }

  /** As {@link difference}, but a field in the other set takes everything below it. */
  recursiveDifference(other: FieldSet): FieldSet {
    const result = new FieldSet();
    for (const member of this.members) if (!other.members.has(member)) result.members.add(member);
    for (const [element, child] of this.children) {
      if (other.members.has(element)) continue;
      const theirs = other.children.get(element);
      result.#keep(element, theirs ? child.recursiveDifference(theirs) : child);
    }
    return result;
  }

  #keep(element: string, child: FieldSet): void {
    if (!child.isEmpty) this.children.set(element, child);
  }

  /** Makes every struct field that leads to a member a member itself, so that it goes with its last child. */
  withNamedFields(schema: Schema | undefined): FieldSet {
    const result = new FieldSet();
    for (const member of this.members) result.members.add(member);
    for (const [element, child] of this.children) {
      const name = element.startsWith("f:") ? element.slice(2) : undefined;
      if (name !== undefined && Object.hasOwn(schema?.properties ?? {}, name)) result.members.add(element);
      const below = name === undefined ? itemSchema(schema) : propertySchema(schema, name);
      result.children.set(element, child.withNamedFields(below));
    }
    return result;
  }

  /** Every path in the set: members in order, then what is below them. */
  *paths(prefix: FieldPath = []): Generator<FieldPath> {
    for (const element of this.#elements()) if (this.members.has(element)) yield [...prefix, element];
    for (const element of this.#elements()) {
      const child = this.children.get(element);
      if (child) yield* child.paths([...prefix, element]);
    }
  }

  #elements(): string[] {
    return [...new Set([...this.members, ...this.children.keys()])].sort();
  }

  equals(other: FieldSet): boolean {
    return JSON.stringify(this.toJson()) === JSON.stringify(other.toJson());
  }

  /** FieldsV1. */
  toJson(): Json {
    const json: Record<string, Json> = {};
    for (const element of this.#elements()) {
      const child = this.children.get(element);
      if (!child) json[element] = {};
      else json[element] = this.members.has(element) ? { ".": {}, ...child.toJson() } : child.toJson();
    }
    return json;
  }

  static fromJson(json: Json): FieldSet {
    const set = new FieldSet();
    for (const [element, below] of Object.entries((json ?? {}) as Record<string, Json>)) {
      if (element === ".") continue;
      const keys = Object.keys(below ?? {});
      if (keys.length === 0 || keys.includes(".")) set.members.add(element);
      const child = FieldSet.fromJson(below);
      if (!child.isEmpty) set.children.set(element, child);
    }
    return set;
  }
}

/** A path as people read it: `.spec.containers[name="app"].image`. */
export function pathText(path: FieldPath): string {
  return path.map((element) => {
    const text = element.slice(2);
    if (element.startsWith("f:")) return `.${text}`;
    if (element.startsWith("v:")) return `[=${text}]`;
    if (element.startsWith("i:")) return `[${text}]`;
    const key = JSON.parse(text) as Record<string, Json>;
    return `[${Object.entries(key).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(",")}]`;
  }).join("");
}
