/**
 * Makes the two images on a test cluster that has no registry: the same content as deploy/images says.
 *
 * E2E_IMAGE_COMMAND is a command that makes an image from Debian packages and files and loads it into the node:
 * `COMMAND NAME:TAG --packages a,b [--copy SOURCE:TARGET]... [--user UID:GID] [--cmd JSON]`. Without it the images
 * are expected to be there.
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runProgram } from "./kubectl.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What each image holds. */
const images: Readonly<Record<"database" | "operator", readonly string[]>> = {
  database: [
    "localhost/database:17",
    "--packages",
    "ca-certificates,postgresql-17,patroni,pgbackrest",
    "--user",
    "100:102",
    "--cmd",
    '["patroni","--help"]',
  ],
  operator: [
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
    '["deno","run","--no-prompt","--cached-only","--no-remote","/app/operator.js"]',
  ],
};

/** Makes both images; the operator's needs dist/operator.js (`npm run bundle`). Says what it does. */
export async function makeImages(command = process.env.E2E_IMAGE_COMMAND): Promise<void> {
  if (!command) return;
  const [program, ...first] = command.split(" ").filter(Boolean);
  for (const [name, args] of Object.entries(images)) {
    const startedMs = Date.now();
    const ended = await runProgram(program!, [...first, ...args], { cwd: root, timeoutMs: 15 * 60_000 });
    if (ended.code !== 0) {
      throw new Error(`Cannot make the ${name} image: ${ended.stderr.trim().slice(-500)}`);
    }
    console.log(`image ${args[0]} made in ${Math.round((Date.now() - startedMs) / 1000)} s`);
  }
}
