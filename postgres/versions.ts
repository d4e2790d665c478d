/**
 * PostgreSQL's versions as a Database names them: "17" for the newest 17 of the image, "17.6" for one release.
 * @module
 */
import type { Database } from "./database.ts";

/** A version, taken apart. */
export interface Version {
  readonly text: string;
  readonly major: number;
  /** Absent when only the major version was asked for. */
  readonly minor?: number;
}

/** Image of a Database that names none: one for each version, as the operator's installation provides it. */
export const defaultImageTemplate = "localhost/database:{version}";

/**
 * Takes a version apart.
 *
 * @throws {SyntaxError} for anything that the CRD's pattern refuses; majors before 10 count otherwise
 */
export function parseVersion(text: string): Version {
  const version = readVersion(text);
  if (!version) throw new SyntaxError(`Cannot read version ${JSON.stringify(text)}: expected "17" or "17.6"`);
  return version;
}

/** The same for what may come from a Database that an earlier crd.yaml let in: `undefined` for what is no version. */
export function readVersion(text: string): Version | undefined {
  const match = /^([1-9][0-9])(?:\.(0|[1-9][0-9]{0,2}))?$/.exec(text);
  if (!match) return undefined;
  return { text, major: Number(match[1]), ...(match[2] === undefined ? {} : { minor: Number(match[2]) }) };
}

/** The major version: what decides whether data and binaries fit each other. */
export function majorOf(database: Database): number {
  return parseVersion(database.spec.version).major;
}

/**
 * The image of the members: spec.image, else the template with `{version}` and `{major}` filled in.
 *
 * @param template a reference such as `registry.example/postgres:{version}`
 */
export function imageOf(database: Database, template = defaultImageTemplate): string {
  if (database.spec.image) return database.spec.image;
  const version = parseVersion(database.spec.version);
  return template.replaceAll("{version}", version.text).replaceAll("{major}", String(version.major));
}

/** Folder of PostgreSQL's programs in the image: Debian's layout, which holds several majors side by side. */
export function binaryFolder(major: number): string {
  return `/usr/lib/postgresql/${major}/bin`;
}
