/**
 * The settings of the major versions that are known; each table is made by generate.sql from a server of that version.
 * @module
 */
import { settings15 } from "./15.ts";
import { settings17 } from "./17.ts";
import type { Settings } from "./setting.ts";

const known: ReadonlyMap<number, Settings> = new Map([[15, settings15], [17, settings17]]);

/** The settings of a major version; `undefined` when there is no table of it: names and values can only be checked in form. */
export function settingsOf(major: number): Settings | undefined {
  return known.get(major);
}
