/**
 * The generators that are measured by their commands. They are installed for it, outside this project:
 *
 *     npm install @kubernetes-models/crd-generate@5.1.0 cdk8s-cli@2.207.60 crdtoapi@0.0.19 \\
 *       kubernetes-fluent-client@3.11.11 json-schema-to-typescript@16.0.0 \\
 *       cdk8s constructs @kubernetes-models/base @kubernetes-models/apimachinery @kubernetes-models/validate
 *
 * @module
 */
import { basename, join } from "node:path";

/** A command and its arguments; the first is a script below node_modules. */
type Command = readonly string[];

/** The commands that generate from all files of a folder, by the generator's npm package. */
export const others: {
  [name: string]: (files: readonly string[], folder: string, out: string) => Command[];
} = {
  "@kubernetes-models/crd-generate": (files, _, out) => [
    [
      "@kubernetes-models/crd-generate/bin/crd-generate.js",
      ...files.flatMap((file) => ["--input", file]),
      "--output",
      out,
    ],
  ],
  "cdk8s-cli": (files, _, out) =>
    files.map((file) => [
      "cdk8s-cli/bin/cdk8s",
      "import",
      file,
      "-l",
      "typescript",
      "--no-save",
      "--no-check-upgrade",
      "-o",
      join(out, basename(file)),
    ]),
  // One folder for each file: it names its output after the kind alone.
  "kubernetes-fluent-client": (files, _, out) =>
    files.map((file) => ["kubernetes-fluent-client/dist/cli.js", "crd", file, join(out, basename(file))]),
  "crdtoapi": (_, folder, out) => [
    ["crdtoapi/dist/index.js", "-i", folder, "-o", join(out, "api.yaml")],
    ["crdtoapi/dist/findInterfaces.js", "-i", join(out, "api.yaml"), "-o", join(out, "types")],
  ],
};
