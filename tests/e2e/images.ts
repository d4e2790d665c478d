/**
 * Makes the images on a test cluster that has no registry: the same content as deploy/images says.
 *
 * E2E_IMAGE_COMMAND is a command that makes an image from Debian packages and files and loads it into the node:
 * `COMMAND NAME:TAG --packages a,b [--also SUITE:c,d] [--copy SOURCE:TARGET]... [--user UID:GID] [--cmd JSON]`. Without it the images
 * are expected to be there.
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runProgram } from "./kubectl.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What each image of the members holds: both majors, so that pg_upgrade can go from one to the other. */
const members: readonly string[] = [
  "--packages",
  "ca-certificates,postgresql-17,patroni,pgbackrest",
  // Installed after postgresql-17, whose user is then 100:102.
  "--also",
  "bookworm:postgresql-15,prometheus-postgres-exporter",
  "--user",
  "100:102",
  "--cmd",
  '["patroni","--help"]',
];

/** The images. */
const images: readonly (readonly [name: string, ...args: readonly string[]])[] = [
  ["localhost/database:17", ...members],
  ["localhost/database:15", ...members],
  // The minor version that Debian trixie has.
  ["localhost/database:17.12", ...members],
  [
    "localhost/operator:dev",
    "--packages",
    "ca-certificates",
    "--copy",
    "node_modules/deno/deno:/usr/local/bin/deno",
    "--copy",
    "dist/operator.js:/app/operator.js",
    "--user",
    "1993:1993",
    "--cmd",
    '["deno","run","--no-prompt","--cached-only","--no-remote","--v8-flags=--optimize-for-size,--max-semi-space-size=1","/app/operator.js"]',
  ],
];

/** Makes the images; the operator's needs dist/operator.js (`npm run bundle`). Says what it does. */
export async function makeImages(command = process.env.E2E_IMAGE_COMMAND): Promise<void> {
  if (!command) return;
  const [program, ...first] = command.split(" ").filter(Boolean);
  for (const image of images) {
    const startedMs = Date.now();
    const ended = await runProgram(program!, [...first, ...image], { cwd: root, timeoutMs: 15 * 60_000 });
    if (ended.code !== 0) {
      throw new Error(`Cannot make image ${image[0]}: ${ended.stderr.trim().slice(-500)}`);
    }
    console.log(`image ${image[0]} made in ${Math.round((Date.now() - startedMs) / 1000)} s`);
  }
}
