/**
 * Runs a script in this process and prints, when it ends, the CPU seconds that it took.
 * @module
 */
import process from "node:process";
import { pathToFileURL } from "node:url";

const [script, ...args] = process.argv.slice(2);
process.argv = [process.argv[0]!, script!, ...args];
process.on("exit", () => {
  const { user, system } = process.cpuUsage();
  process.exitCode = 0;
  console.log((user + system) / 1e6);
});
await import(pathToFileURL(script!).href);
