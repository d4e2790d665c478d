/**
 * The fixtures: CustomResourceDefinitions written for the purpose, with objects that the API server accepts and
 * refuses.
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { parse } from "yaml";
import { type Crd, documentsOf, generate, type JsonObject, readCrd } from "../../codegen/mod.ts";

/** A folder of fixtures/. */
export interface Fixture {
  name: string;
  documents: JsonObject[];
  crds: Crd[];
  examples: FixtureExample[];
}

/** An object, and whether the API server accepts it. */
export interface FixtureExample {
  crd: Crd;
  /** The first version of the CustomResourceDefinition. */
  version: string;
  object: JsonObject;
  accepted: boolean;
  /** For messages. */
  what: string;
}

export const folder = new URL("./fixtures/", import.meta.url);

/** All fixtures, by name. */
export function readFixtures(): Fixture[] {
  return readdirSync(folder).sort().map((name) => {
    const text = readFileSync(new URL(`${name}/crd.yaml`, folder), "utf8");
    const documents = documentsOf(text, `${name}/crd.yaml`).map(({ value }) => value as JsonObject);
    const crds = documents.map((document) => readCrd(document, [name]));
    const listed = parse(readFileSync(new URL(`${name}/examples.yaml`, folder), "utf8")) as {
      accepted: JsonObject[];
      broken: JsonObject[];
    };
    const examples = crds.flatMap((crd) =>
      (["accepted", "broken"] as const).flatMap((list) =>
        listed[list].map((body, index): FixtureExample => ({
          crd,
          version: crd.versions[0]!.name,
          object: {
            apiVersion: `${crd.group}/${crd.versions[0]!.name}`,
            kind: crd.kind,
            metadata: { name: "example" },
            ...body,
          },
          accepted: list === "accepted",
          what: `${name} ${crd.kind} ${list}[${index}]`,
        }))
      )
    );
    return { name, documents, crds, examples };
  });
}

/** The generated files of a fixture. */
export function generateFixture(
  fixture: Fixture,
  options: { client?: boolean; validator?: boolean } = {},
): Map<string, string> {
  const documents = fixture.documents.map((value, index) => ({
    place: [fixture.name, `document ${index + 1}`],
    value,
  }));
  return generate(documents, options).files;
}
