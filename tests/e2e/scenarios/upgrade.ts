/**
 * Upgrades to another major version, while rows are written: one that works, and one that cannot.
 * @module
 */
import process from "node:process";
import { until } from "../../within.ts";
import { conditionOf, leader, members, sql, systemIdentifier } from "../database.ts";
import { bar, check, discard, ensure, type Run, type Scenario, underWrites } from "../scenario.ts";

const name = "upgrade";
/** Longest time without an acknowledged row; and until all members serve with the new version. */
const goal = { gapMs: 90_000, readyMs: 240_000, backMs: 120_000 } as const;
/** Size of the data, 1 GB unless told. */
const megabytes = Number(process.env.E2E_UPGRADE_MEGABYTES ?? 1000);

/** Everything that must be the same afterwards, as the superuser sees it. */
const sameAfterwards = `SELECT json_build_object(
  'rows', (SELECT json_build_array(count(*), sum(id), sum(hashtextextended(note, 0)::numeric)) FROM bulk),
  'roles', (SELECT json_agg(json_build_array(rolname, rolsuper, rolcanlogin, md5(rolpassword)) ORDER BY rolname)
    FROM pg_authid WHERE oid >= 16384 OR rolname = 'postgres'),
  'extensions', (SELECT json_agg(json_build_array(extname, extversion) ORDER BY extname) FROM pg_extension WHERE extname <> 'plpgsql'),
  'databases', (SELECT json_agg(json_build_array(datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate)
    ORDER BY datname) FROM pg_database WHERE datname NOT LIKE 'template%'),
  'checksums', current_setting('data_checksums'))`;

async function fill(run: Run): Promise<void> {
  const { kubectl } = run;
  const primary = (await leader(kubectl, name))!;
  const statements = [
    "CREATE TABLE bulk (id bigint PRIMARY KEY, note text)",
    `ALTER TABLE bulk OWNER TO app`,
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION pg_stat_statements",
    "CREATE ROLE report LOGIN PASSWORD 'of-a-test'",
    "GRANT SELECT ON bulk TO report",
    "CREATE DATABASE second OWNER app",
  ];
  for (const statement of statements) await sql(kubectl, primary, statement);
  // A row is about 1 kB.
  for (let done = 0; done < megabytes; done += 50) {
    await sql(
      kubectl,
      primary,
      `INSERT INTO bulk SELECT id, repeat(md5(id::text), 29)
        FROM generate_series(${done * 1000 + 1}, ${Math.min(megabytes, done + 50) * 1000}) AS id`,
    );
  }
}

async function patchVersion(run: Run, version: string): Promise<void> {
  const patch = JSON.stringify({ spec: { version } });
  await run.kubectl.run(["patch", "databases", name, "--type=merge", "--patch", patch]);
}

/** Waits until the pod runs that works on the data; resolves to its name. */
async function upgrading({ kubectl }: Run): Promise<string> {
  const selector = `app.example.com/database=${name},app.example.com/component=upgrade`;
  return await until(goal.readyMs, "the pod of the upgrade to run", async () => {
    const [one] = await kubectl.list("pods", selector);
    return one?.["status"]?.phase === "Running" ? one.metadata.name : undefined;
  }, 100);
}

async function upgrade(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, {
    version: "15",
    size: 3,
    storage: { size: "4Gi" },
    parameters: { shared_preload_libraries: "pg_stat_statements", work_mem: "5MB" },
  });
  await fill(run);
  const first = (await leader(kubectl, name))!;
  // The library was there from the first start on, and 15 counts these statements with their text.
  const counted =
    "SELECT count(*) FROM pg_stat_statements WHERE query ~* '\\mpassword\\M' AND query !~ 'of-a-test|query'";
  check(await sql(kubectl, first, counted) === "0", "pg_stat_statements shows statements with passwords");
  const before = await sql(kubectl, first, sameAfterwards);
  const identifier = await systemIdentifier(kubectl, first);
  const secret = (await kubectl.get("secret", `${name}-credentials`))?.metadata;
  const outcome = await underWrites(run, name, 3, () => patchVersion(run, "17"), {
    readyTimeoutMs: goal.readyMs,
  });
  run.figure(`15 to 17, ${megabytes} MB: longest time without a row`, outcome.gapMs, "ms", goal.gapMs);
  run.figure(`15 to 17, ${megabytes} MB: to Ready`, outcome.readyMs, "ms", goal.readyMs);
  check(outcome.gapMs < goal.gapMs, `no row was written for ${outcome.gapMs} ms`);
  const primary = (await leader(kubectl, name))!;
  check(
    await sql(kubectl, primary, sameAfterwards) === before,
    "rows, roles, extensions or databases differ",
  );
  check(await systemIdentifier(kubectl, primary) !== identifier, "the data was not upgraded");
  check(
    (await kubectl.get("secret", `${name}-credentials`))?.metadata.resourceVersion ===
      secret?.resourceVersion,
    "the credentials were changed",
  );
  for (const pod of await members(kubectl, name)) {
    const version = await sql(kubectl, pod.metadata.name, "SHOW server_version_num");
    check(version.startsWith("17"), `${pod.metadata.name} runs ${version}`);
    const rows = await sql(kubectl, pod.metadata.name, "SELECT count(*) FROM bulk");
    check(Number(rows) === megabytes * 1000, `${pod.metadata.name} has ${rows} rows`);
  }
  const found = await kubectl.get("databases", name);
  check(String(found?.status.version).startsWith("17."), `status.version is ${found?.status.version}`);
  await until(bar.ready, "statistics, and the old data and the Jobs to be gone", async () => {
    const left = await kubectl.exec(`${name}-0`, ["ls", "/pgdata"]);
    const jobs = await kubectl.list("jobs", `app.example.com/database=${name}`);
    const analyzed = await sql(kubectl, primary, "SELECT count(*) FROM pg_stats WHERE tablename = 'bulk'");
    if (!/data\.|upgrade/.test(left) && jobs.length === 0 && analyzed !== "0") return true;
    throw new Error(`${left.trim().split("\n").join(" ")}; ${jobs.length} Jobs; ${analyzed} statistics`);
  }, 1000);
  await takeOverStatistics(run, primary);
  const again = await kubectl.get("databases", name);
  check(again?.status.upgrade === undefined, `status.upgrade is ${JSON.stringify(again?.status.upgrade)}`);
  const refused = await kubectl.try([
    "patch",
    "databases",
    name,
    "--type=merge",
    "--patch",
    '{"spec":{"version":"15"}}',
  ]);
  check(refused.code !== 0 && /cannot go down/.test(refused.stderr), "a downgrade was taken");
}

/** As if the primary had been lost before the statistics were there: the next one gathers them. */
async function takeOverStatistics(run: Run, primary: string): Promise<void> {
  const { kubectl } = run;
  await sql(kubectl, primary, "ALTER DATABASE postgres RESET database_operator.statistics");
  await sql(kubectl, primary, "DELETE FROM pg_statistic WHERE starelid = 'bulk'::regclass");
  await kubectl.run(["delete", "pod", primary]);
  await until(bar.ready, "statistics by another primary", async () => {
    const next = await leader(kubectl, name);
    if (next === undefined || next === primary) throw new Error(`${next} leads`);
    const found = await sql(
      kubectl,
      next,
      `SELECT (SELECT count(*) FROM pg_stats WHERE tablename = 'bulk') || ' statistics, kept '
        || (SELECT count(*) FROM pg_db_role_setting WHERE 'database_operator.statistics='
          || (SELECT system_identifier FROM pg_control_system()) = ANY (setconfig))`,
    );
    if (/^[1-9]\d* statistics, kept 1$/.test(found)) return true;
    throw new Error(found);
  }, 1000);
}

async function upgradeFails(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { version: "15", size: 2 });
  const primary = (await leader(kubectl, name))!;
  const uids = async () => (await members(kubectl, name)).map(({ metadata }) => metadata.uid).join();
  const before = await uids();
  // PostgreSQL 17 has no adminpack any more, which is seen beside the members.
  await sql(kubectl, primary, "CREATE EXTENSION adminpack");
  await until(
    120_000,
    "the members to tell of the extension",
    async () =>
      (await members(kubectl, name)).every(({ metadata }) =>
        metadata.annotations?.["app.example.com/used"]?.includes("adminpack")
      ),
    500,
  );
  await patchVersion(run, "17");
  await until(goal.readyMs, "the missing extension to be told", async () => {
    const { reason, message } = conditionOf(await kubectl.get("databases", name), "Blocked") ?? {};
    if (
      reason === "UpgradeFailed" && /spec\.version: .*lacks .*extension "adminpack"/.test(String(message))
    ) return true;
    throw new Error(`${reason}: ${message}`);
  }, 500);
  check(await uids() === before, "a member was stopped for an extension that is missing");
  await patchVersion(run, "15");
  await sql(kubectl, primary, "DROP EXTENSION adminpack");
  // And this is what only pg_upgrade finds, with the members stopped.
  await sql(kubectl, primary, "CREATE TABLE told_by_pg_upgrade (what regproc)");
  const identifier = await systemIdentifier(kubectl, primary);
  const failed = async () => {
    const found = await kubectl.get("databases", name);
    const condition = conditionOf(found, "Ready");
    if (condition?.["reason"] !== "UpgradeFailed" || found?.status.upgrade?.phase !== "Failed") {
      throw new Error(`${condition?.["reason"]}: ${condition?.["message"]}`);
    }
    const message = String(condition["message"]);
    // What the check said before may still stand there.
    return found?.status.readyReplicas === 2 && !message.includes("adminpack") ? message : undefined;
  };
  const outcome = await underWrites(run, name, 2, async () => {
    await patchVersion(run, "17");
    const message = await until(
      goal.readyMs,
      "the upgrade to fail, and the old version to serve",
      failed,
      500,
    );
    check(/reg\*|regproc|told_by_pg_upgrade/.test(message!), `the reason is not told: ${message}`);
    const job = await kubectl.get("job", `${name}-upgrade-17`);
    await patchVersion(run, "15");
    check(job?.status.failed === 1, `the Job has tried ${job?.status.failed} times`);
  });
  run.figure("15 to 17 that fails: longest time without a row", outcome.gapMs, "ms", goal.backMs);
  check(outcome.gapMs < goal.backMs, `no row was written for ${outcome.gapMs} ms`);
  const now = (await leader(kubectl, name))!;
  check(await systemIdentifier(kubectl, now) === identifier, "the data is another one");
  check((await sql(kubectl, now, "SHOW server_version_num")).startsWith("15"), "another version serves");
  check(
    (await kubectl.list("jobs", `app.example.com/database=${name}`)).length === 0,
    "a Job of the upgrade is left",
  );
}

/** Nobody may make a pod of an upgrade, as a quota or a policy of the cluster has it. */
function refusal(namespace: string) {
  const apiVersion = "admissionregistration.k8s.io/v1", metadata = { name: `no-upgrade-in-${namespace}` };
  const labels = "object.metadata.labels", key = "'app.example.com/component'";
  const matchConstraints = {
    namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
    resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
  };
  const validations = [{
    expression: `!has(${labels}) || !(${key} in ${labels}) || ${labels}[${key}] != 'upgrade'`,
    message: "no upgrade today",
  }];
  return [
    { apiVersion, kind: "ValidatingAdmissionPolicy", metadata, spec: { matchConstraints, validations } },
    {
      apiVersion,
      kind: "ValidatingAdmissionPolicyBinding",
      metadata,
      spec: { policyName: metadata.name, validationActions: ["Deny"] },
    },
  ];
}

/** The Job's pod is refused: given up, and 15 serves again. It is killed: tried again. */
async function upgradeBroken(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { version: "15", size: 1 });
  const policies = refusal(kubectl.namespace);
  try {
    await kubectl.apply(...policies);
    await until(30_000, "the policy to be in force", async () => {
      // A pod that nothing else refuses.
      const [member] = await members(kubectl, name);
      const metadata = { name: "refused", labels: { "app.example.com/component": "upgrade" } };
      const pod = JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata, spec: member!["spec"] });
      const ended = await kubectl.try(["create", "--dry-run=server", "--filename=-"], { input: pod });
      if (ended.stderr.includes("no upgrade today")) return true;
      throw new Error(ended.stdout + ended.stderr);
    }, 500);
    const refused = await underWrites(run, name, 1, async () => {
      await patchVersion(run, "17");
      await until(goal.readyMs, "the upgrade to be given up", async () => {
        const found = await kubectl.get("databases", name);
        const { reason, message } = conditionOf(found, "Ready") ?? {};
        const told = reason === "UpgradeFailed" && /no pod of Job .* could be made/.test(String(message));
        if (told && found?.status.readyReplicas === 1) return true;
        throw new Error(`${reason}: ${message}`);
      }, 500);
      await patchVersion(run, "15");
    });
    run.figure(
      "no pod of the upgrade can be made: longest time without a row",
      refused.gapMs,
      "ms",
      goal.backMs,
    );
    check(refused.gapMs < goal.backMs, `no row was written for ${refused.gapMs} ms`);
  } finally {
    for (const { kind, metadata } of policies) await kubectl.try(["delete", kind, metadata.name]);
  }
  const killed = await underWrites(run, name, 1, async () => {
    await patchVersion(run, "17");
    const pod = await upgrading(run);
    await kubectl.run(["delete", "pod", pod, "--grace-period=0", "--force"]);
  }, { readyTimeoutMs: goal.readyMs });
  run.figure("the pod of the upgrade is killed: longest time without a row", killed.gapMs, "ms", goal.backMs);
  check(killed.gapMs < goal.backMs, `no row was written for ${killed.gapMs} ms`);
  check((await sql(kubectl, `${name}-0`, "SHOW server_version_num")).startsWith("17"), "17 does not serve");
}

/**
 * 17 cannot start with the upgraded data: a library of 15's alone is asked for when the check is over. 15 serves again, and
 * goes on until the upgrade is asked for again.
 */
async function upgradeBack(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { version: "15", size: 2 });
  const primary = (await leader(kubectl, name))!;
  await sql(
    kubectl,
    primary,
    "CREATE TABLE kept AS SELECT id, 'row ' || id AS note FROM generate_series(1, 100000) AS id",
  );
  const kept = "SELECT json_build_array(count(*), sum(hashtextextended(note, 0)::numeric)) FROM kept";
  const rows = await sql(kubectl, primary, kept);
  const identifier = await systemIdentifier(kubectl, primary);
  const patch = (change: object) =>
    kubectl.run(["patch", "databases", name, "--type=merge", "--patch", JSON.stringify(change)]);
  let backMs = 0;
  const outcome = await underWrites(run, name, 2, async () => {
    await patchVersion(run, "17");
    // What pg_upgrade is started with is read by now.
    await upgrading(run);
    const startedMs = Date.now();
    await patch({ spec: { parameters: { shared_preload_libraries: "adminpack" } } });
    await until(goal.readyMs, "the upgrade to be taken back, and the old version to serve", async () => {
      const found = await kubectl.get("databases", name);
      const { reason, message } = conditionOf(found, "Ready") ?? {};
      const told = reason === "UpgradeFailed" && /15 goes on.* failed: .*adminpack/.test(String(message));
      if (told && found?.status.readyReplicas === 2 && found.status.upgrade?.phase === "Failed") return true;
      throw new Error(`${reason}: ${message}`);
    }, 500);
    backMs = Date.now() - startedMs;
    const now = (await leader(kubectl, name))!;
    check((await sql(kubectl, now, "SHOW server_version_num")).startsWith("15"), "another version serves");
    check(await systemIdentifier(kubectl, now) === identifier, "the data is another one");
    check(await sql(kubectl, now, kept) === rows, "rows differ");
    const job = await kubectl.get("job", `${name}-upgrade-17`);
    check(job?.status.succeeded === 1 && !job.status.active, "the upgrade was tried again by itself");
    check(
      (await kubectl.get("databases", name))?.status.version.startsWith("15"),
      "status.version is not 15",
    );
    // Mended, and asked for again.
    await patch({
      metadata: { annotations: { "app.example.com/upgrade": "2" } },
      spec: { parameters: { shared_preload_libraries: null } },
    });
  }, { readyTimeoutMs: goal.readyMs });
  run.figure("17 does not start: until all serve with 15 again", backMs, "ms", goal.backMs);
  run.figure("17 does not start: longest time without a row", outcome.gapMs, "ms", goal.backMs);
  check(outcome.gapMs < goal.backMs, `no row was written for ${outcome.gapMs} ms`);
  const now = (await leader(kubectl, name))!;
  check((await sql(kubectl, now, "SHOW server_version_num")).startsWith("17"), "17 does not serve");
  check(await sql(kubectl, now, kept) === rows, "rows differ after the upgrade");
}

/** Versions that cannot be: refused, or told with the field, and never a member is touched. */
async function badVersions(run: Run): Promise<void> {
  const { kubectl } = run;
  const uids = async () => (await members(kubectl, name)).map(({ metadata }) => metadata.uid).join();
  for (const size of [3, 1]) {
    await ensure(run, name, { size });
    const before = await uids();
    const outcome = await underWrites(run, name, size, async () => {
      for (const version of ["9", "17.01"]) {
        const patch = JSON.stringify({ spec: { version } });
        const tried = await kubectl.try(["patch", "databases", name, "--type=merge", "--patch", patch]);
        check(tried.code !== 0 && tried.stderr.includes("spec.version"), `version ${version} was taken`);
      }
      for (
        const [version, words] of [["17.99", "the members keep image"], [
          "99",
          "PostgreSQL 17 goes on",
        ]] as const
      ) {
        await patchVersion(run, version);
        await until(bar.ready, `version ${version} to be told`, async () => {
          const { status, reason, message } = conditionOf(await kubectl.get("databases", name), "Ready") ??
            {};
          const text = String(message);
          if (status === "False" && text.includes(`spec.version: ${words}`) && text.includes(version)) {
            return true;
          }
          throw new Error(`${reason}: ${text}`);
        }, 500);
        check(await uids() === before, `a member was restarted for version ${version}`);
      }
      await patchVersion(run, "17");
    });
    run.figure(`${size} members, bad versions: longest time without a row`, outcome.gapMs, "ms", 1_500);
    check(await uids() === before, "a member was restarted");
    // It can be deleted while it says so, too.
    await patchVersion(run, "17.99");
    await discard(run, name);
  }
}

/** A minor version by the operator's image template. */
async function minor(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { size: 3 });
  const before = (await leader(kubectl, name))!;
  const wanted = String((await kubectl.get("databases", name))?.status.version);
  check(/^17\.\d+$/.test(wanted), `status.version is ${wanted}`);
  const outcome = await underWrites(run, name, 3, () => patchVersion(run, wanted), {
    readyTimeoutMs: 180_000,
  });
  run.figure("another minor version: to Ready", outcome.readyMs, "ms", 180_000);
  run.figure("another minor version: longest time without a row", outcome.gapMs, "ms", 5_000);
  const found = await kubectl.get("databases", name);
  check(found?.status.version === wanted, `status.version is ${found?.status.version}`);
  for (const pod of await members(kubectl, name)) {
    const { image } = pod["spec"].containers[0];
    check(image.endsWith(`:${wanted}`), `${pod.metadata.name} has image ${image}`);
    check(
      (await sql(kubectl, pod.metadata.name, "SHOW server_version")).startsWith(wanted),
      "another version runs",
    );
  }
  check(await leader(kubectl, name) !== before, "the primary was restarted without a switchover");
  const jobs = await kubectl.list("jobs", `app.example.com/database=${name}`);
  check(jobs.length === 0, "the Job of the trial is left");
}

/** One after the other: each begins without the Database of the one before. */
const anew = (scenario: (run: Run) => Promise<void>) => async (run: Run) => {
  await discard(run, name);
  await scenario(run);
  await discard(run, name);
};

export const upgrades: readonly Scenario[] = [
  {
    name: "badversion",
    what: "versions that cannot be, with three members and with one: refused or told, no member is touched",
    run: anew(badVersions),
  },
  {
    name: "minor",
    what:
      "another minor version by the image template: tried first, then one member after the other, the primary last",
    run: anew(minor),
  },
  {
    name: "upgrade",
    what: "PostgreSQL 15 to 17 while rows are written: nothing is lost, nothing differs",
    run: anew(upgrade),
  },
  {
    name: "upgradefails",
    what:
      "an extension that the new version lacks is told beforehand; what pg_upgrade refuses lets the old version go on",
    run: anew(upgradeFails),
  },
  {
    name: "upgradebroken",
    what:
      "the pod of the upgrade's Job is refused: the old version serves again; it is killed: the new one serves",
    run: anew(upgradeBroken),
  },
  {
    name: "upgradeback",
    what: "the new version does not start with the upgraded data: the old one serves again, with all rows",
    run: anew(upgradeBack),
  },
];
