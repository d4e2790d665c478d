/**
 * Writes dist/operator.js: the operator as one file that runs under `deno run` and `node` in a cluster, without
 * node_modules. `npm run bundle`, `deno task bundle`.
 *
 * @kubernetes/client-node is left out: in a cluster the service account's token is all the configuration there
 * is, and the operator loads that package only to read a kubeconfig file.
 * @module
 */

import { dirname, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build, stop } from "esbuild";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

/** Largest size of a ConfigMap's content, so that the bundle can be mounted from one (Kubernetes: 1 MiB). */
const bytesMax = 1024 * 1024;

const result = await build({
  entryPoints: [resolve(root, "operator.ts")],
  outfile: resolve(root, "dist/operator.js"),
  bundle: true,
  format: "esm",
  platform: "node",
  target: "es2024",
  external: ["@kubernetes/client-node"],
  legalComments: "inline",
  banner: { js: "// Generated from operator.ts by deploy/bundle.ts: do not edit." },
  metafile: true,
});
await stop();
const bytes = Object.values(result.metafile.outputs)[0]!.bytes;
console.log(`dist/operator.js: ${(bytes / 1024).toFixed(0)} KiB`);
if (bytes > bytesMax) {
  console.error(`dist/operator.js has ${bytes} bytes, more than the ${bytesMax} that fit in a ConfigMap`);
  process.exitCode = 1;
}
