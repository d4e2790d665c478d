#!/usr/bin/env node
/**
 * The command of the package `crd-codegen`: `main()` with this process's arguments.
 * @module
 */
import process from "node:process";

// Older ones fail on the imports of main.ts, with words of their own.
const oldest = 24;
if (!("deno" in process.versions) && Number.parseInt(process.versions.node, 10) < oldest) {
  console.error(`codegen: Node ${oldest} or later is needed, or Deno; this is Node ${process.versions.node}`);
  process.exitCode = 2;
} else {
  const { main } = await import("./main.ts");
  process.exitCode = await main(process.argv.slice(2));
}
