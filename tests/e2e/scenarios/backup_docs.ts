/**
 * The commands of docs/backups.md, run as written and in order, and how long a backup takes beside pgBackRest by hand.
 * @module
 */
import process from "node:process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "../kubectl.ts";
import { sql } from "../database.ts";
import {
  backedUp,
  begin,
  ended,
  get,
  health,
  pgbackrest,
  Repository,
  storeOf,
  unready,
} from "../repositories.ts";
import { check, discard, ensure, type Run, type Scenario } from "../scenario.ts";

/** The indented commands of a page, each with the lines that belong to it. */
function commandsOf(page: string): string[] {
  const indented = page.split("\n").map((line) => line.startsWith("    ") ? line.slice(4) : "");
  return indented.join("\n").split(/\n(?=kubectl )|\n{2,}/).map((command) => command.trim())
    .filter((command) => command.startsWith("kubectl "));
}

/** What the page cannot know: the reader's own store, and how small this cluster is. */
function substituted(command: string): string {
  const { endpoint, bucket, accessKey, secretKey } = storeOf();
  return command
    .replace("accessKey=...", `accessKey=${accessKey}`)
    .replace("secretKey=...", `secretKey=${secretKey}`)
    .replaceAll("https://s3.example.com", endpoint)
    .replaceAll('"bucket": "backups"', `"bucket": "${bucket}"`)
    .replace(', "storageClassName": "shared"', "")
    .replace("size: 3", "size: 1")
    .replace('"20Gi"', '"2Gi"');
}

async function asWritten(run: Run): Promise<void> {
  const { kubectl } = run;
  const page = readFileSync(new URL("../../../docs/backups.md", import.meta.url), "utf8");
  const commands = commandsOf(page);
  check(commands.length >= 16, `only ${commands.length} commands on the page`);
  await ensure(run, "orders", { size: 1 });
  const folder = mkdtempSync(join(tmpdir(), "e2e-docs-"));
  const shell = async (command: string) => {
    const startedMs = Date.now();
    const { code, stdout, stderr } = await runProgram("bash", ["-ec", substituted(command)], {
      cwd: folder,
      timeoutMs: 300_000,
    });
    const first = command.split("\n")[0]!;
    check(code === 0, `${command} ended with ${code}: ${stdout}${stderr}`);
    console.log(`    $ ${first.slice(0, 90)}: ${Math.round((Date.now() - startedMs) / 1000)} s`);
  };
  const { KUBECONFIG } = process.env;
  try {
    writeFileSync(join(folder, "ca.crt"), readFileSync(storeOf().ca));
    // The reader's own configuration, with this namespace as the present one.
    writeFileSync(join(folder, "config"), await kubectl.run(["config", "view", "--raw", "--flatten"]), {
      mode: 0o600,
    });
    process.env["KUBECONFIG"] = join(folder, "config");
    await kubectl.run(["config", "set-context", "--current", `--namespace=${kubectl.namespace}`]);
    // The time in the page is before this Database was: the restore fails, which the page then corrects.
    const waits = /^kubectl wait database\/orders-restored/;
    let later: string | undefined;
    for (const command of commands) {
      if (waits.test(command)) later = command;
      else {
        if (command.includes("restoreFrom") && later) await unready(run, "orders-restored", "RestoreFailed");
        await shell(command);
      }
      if (later && command.startsWith("kubectl delete pod")) await shell(later);
    }
    check(later, "the page waits for no restore");
    const { backup } = (await get(run, "orders"))["status"];
    check(backup.verify?.passed && backup.drill?.passed, JSON.stringify(backup));
  } finally {
    if (KUBECONFIG === undefined) delete process.env["KUBECONFIG"];
    else process.env["KUBECONFIG"] = KUBECONFIG;
    rmSync(folder, { recursive: true });
  }
  for (const name of ["orders-restored", "orders"]) await discard(run, name);
  await kubectl.run(["delete", "secret", "store"]);
  await kubectl.try(["delete", "job", "by-hand", "verify-now", "drill-now"]);
  await kubectl.try(["delete", "persistentvolumeclaim", "orders-backup", "--wait=false"]);
}

/** How much slower than by hand a backup may be. */
const ratioMax = 1.3;

async function speed(run: Run): Promise<void> {
  const { kubectl } = run;
  const name = "big", job = `${name}-timed`;
  const repository = new Repository("s3", name);
  await backedUp(run, repository, { storage: { size: "4Gi" } }, { retention: { count: 1 } });
  // 1 GB as pgbench has it: rows of a number and text, which compress.
  await sql(kubectl, `${name}-0`, "CREATE TABLE big AS SELECT 1 AS id, repeat(' ', 0) AS text LIMIT 0");
  for (let i = 0; i < 10; i++) {
    const rows =
      `SELECT ${i} * 100000 + id, (SELECT string_agg(md5(id::text || n), '') FROM generate_series(1, 30) n)`;
    await kubectl.run([
      "exec",
      `${name}-0`,
      "--",
      "psql",
      "-qc",
      `INSERT INTO big ${rows} FROM generate_series(1, 100000) id`,
      "app",
    ], { timeoutMs: 300_000 });
  }
  const bytes = Number(
    await sql(kubectl, `${name}-0`, "CHECKPOINT; SELECT sum(pg_database_size(oid))::bigint FROM pg_database"),
  );
  run.figure("size of the databases", Math.round(bytes / 1e6), "MB");
  check(bytes >= 1e9, "less than 1 GB");
  const byHand: number[] = [], byJob: number[] = [];
  const timed = async (times: number[], what: string, work: () => Promise<unknown>) => {
    const startedMs = Date.now();
    await work();
    times.push(Date.now() - startedMs);
    run.figure(what, times.at(-1)!, "ms");
  };
  for (let i = 0; i < 3; i++) {
    await timed(
      byHand,
      "1 GB by hand",
      () => pgbackrest(run, name, ["backup", "--type=full"], { timeoutMs: 600_000 }),
    );
    await timed(byJob, "1 GB by a Job", async () => {
      await begin(run, name, "backup-full", job);
      await ended(run, job, 600_000);
    });
    await kubectl.delete("job", job);
    await health(run, name, "Healthy", 60_000);
  }
  const sum = (times: number[]) => times.reduce((a, b) => a + b);
  const ratio = sum(byJob) / sum(byHand);
  run.figure("by a Job to by hand", Math.round(ratio * 100) / 100, "times", ratioMax);
  check(ratio <= ratioMax, `a backup by a Job takes ${ratio.toFixed(2)} times as long as by hand`);
  await discard(run, name);
  await repository.remove(run);
}

export const backupDocs: readonly Scenario[] = [
  {
    name: "backup-docs",
    what: "every command of docs/backups.md, as written and in order",
    needs: ["E2E_S3"],
    run: asWritten,
  },
  {
    name: "backup-speed",
    what: "a full backup of 1 GB takes no more than 1.3 times as long as the same command by hand",
    optional: true,
    needs: ["E2E_S3"],
    run: speed,
  },
];
