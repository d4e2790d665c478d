/**
 * Runs a script in this process and prints, when it ends, what it took, as JSON: CPU seconds of all threads, and MB.
 * @module
 */
import process from "node:process";
import { pathToFileURL } from "node:url";

const [script, ...args] = process.argv.slice(2);
process.argv = [process.argv[0]!, script!, ...args];
process.on("exit", () => {
  const { user, system } = process.cpuUsage();
  process.exitCode = 0;
  console.log(
    JSON.stringify({ cpuSeconds: (user + system) / 1e6, memoryMb: process.resourceUsage().maxRSS / 1e3 }),
  );
});
await import(pathToFileURL(script!).href);
