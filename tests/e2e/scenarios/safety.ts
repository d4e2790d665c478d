/**
 * What must never happen, and what a person is told: deletion, drift, conflicts, an operator that is killed.
 * @module
 */
import process from "node:process";
import { until } from "../../within.ts";
import { conditionOf, database, leader, members, ready, sql } from "../database.ts";
import { shell } from "../kubectl.ts";
import { bar, check, discard, ensure, type Run, type Scenario, underWrites } from "../scenario.ts";
import { Writer } from "../writer.ts";

const name = "safety";

/** Waits until condition Ready is False with this reason; returns its message. */
async function notReady(run: Run, database: string, reason: RegExp, timeoutMs = 60_000): Promise<string> {
  return await until(timeoutMs, `Database ${database} to be not Ready with reason ${reason}`, async () => {
    const condition = conditionOf(await run.kubectl.get("databases", database), "Ready");
    if (condition?.["status"] === "False" && reason.test(String(condition["reason"]))) {
      return String(condition["message"]);
    }
    throw new Error(`${condition?.["status"]} ${condition?.["reason"]}: ${condition?.["message"]}`);
  }, 500);
}

async function deletePolicy(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { size: 2, deletionPolicy: "Delete" });
  const startedMs = Date.now();
  await kubectl.run(["delete", "databases", name, "--timeout=120s"], { timeoutMs: 130_000 });
  const kinds =
    "pods,statefulsets,services,persistentvolumeclaims,secrets,configmaps,roles,rolebindings,serviceaccounts,poddisruptionbudgets";
  await until(60_000, "everything to be gone", async () => {
    const left = await kubectl.list(kinds, `app.example.com/database=${name}`);
    if (left.length > 0) throw new Error(left.map((one) => `${one.kind} ${one.metadata.name}`).join(", "));
    return true;
  }, 500);
  run.figure("deleted with all its data", Date.now() - startedMs, "ms", bar.ready);
}

async function drift(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const outcome = await underWrites(run, name, 3, async () => {
    await kubectl.run([
      "patch",
      "service",
      name,
      "--type=merge",
      "--patch",
      '{"spec":{"selector":{"app.example.com/role":"replica"}}}',
    ]);
    await kubectl.delete("poddisruptionbudget", name);
    await kubectl.delete("role", name);
    await kubectl.delete("configmap", `${name}-patroni`);
    await kubectl.delete("service", `${name}-ro`);
    await until(30_000, "what was deleted or changed to be back", async () => {
      const [service, budget, role, config, readOnly] = await Promise.all([
        kubectl.get("service", name),
        kubectl.get("poddisruptionbudget", name),
        kubectl.get("role", name),
        kubectl.get("configmap", `${name}-patroni`),
        kubectl.get("service", `${name}-ro`),
      ]);
      const selector = service?.["spec"].selector["app.example.com/role"];
      if (budget && role && config && readOnly && selector === "primary") return true;
      throw new Error(
        `selector ${selector}, budget ${!!budget}, role ${!!role}, config ${!!config}, ro ${!!readOnly}`,
      );
    }, 300);
  });
  run.figure("longest time without an acknowledged row", outcome.gapMs, "ms", 5_000);
}

async function statefulSetLost(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const before = (await members(kubectl, name)).map((pod) => pod.metadata.uid).join();
  const outcome = await underWrites(run, name, 3, async () => {
    await kubectl.run(["delete", "statefulset", name, "--cascade=orphan"]);
    await until(
      30_000,
      "the StatefulSet to be back",
      async () => await kubectl.get("statefulset", name),
      300,
    );
  });
  run.figure("longest time without an acknowledged row", outcome.gapMs, "ms", 3_000);
  check(
    (await members(kubectl, name)).map((pod) => pod.metadata.uid).join() === before,
    "members were restarted",
  );
}

async function secretLost(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const secret = (await kubectl.get("secret", `${name}-credentials`))!;
  await kubectl.delete("secret", `${name}-credentials`);
  await kubectl.run(["annotate", "--overwrite", "databases", name, `e2e/poke=${Date.now()}`]);
  await kubectl.run([
    "patch",
    "databases",
    name,
    "--type=merge",
    "--patch",
    `{"spec":{"parameters":{"work_mem":"${5 + Date.now() % 9}MB"}}}`,
  ]);
  await notReady(run, name, /CredentialsLost|Blocked/);
  check(
    await kubectl.get("secret", `${name}-credentials`) === undefined,
    "new passwords were made while there is data",
  );
  const { name: secretName, labels } = secret.metadata;
  await kubectl.apply({ ...secret, metadata: { name: secretName, labels } });
  await ready(kubectl, name, bar.ready);
}

/** The kubelet mounts a changed Secret after 60 to 90 s, the agent looks each 30 s; in milliseconds. */
const mountedMs = 150_000;

async function secretEdited(run: Run): Promise<void> {
  const { kubectl } = run;
  const of = "edited";
  await ensure(run, of);
  const secretName = `${of}-credentials`;
  const read = async () => (await kubectl.get("secret", secretName))!["data"] as Record<string, string>;
  const patch = async (what: string, target: string, body: unknown) => {
    await kubectl.run(["patch", what, target, "--type=merge", "--patch", JSON.stringify(body)]);
  };
  const before = await read();
  const data = { password: btoa("edited by hand"), "replication-password": btoa("also edited") };
  const pods = async () => (await members(kubectl, of)).map(({ metadata }) => metadata.uid).join();
  const started = await pods();
  const outcome = await underWrites(run, of, 3, async () => {
    const editedMs = Date.now();
    await patch("secret", secretName, { data });
    const message = await notReady(run, of, /^CredentialsChanged$/, mountedMs);
    run.figure("passwords edited by hand: told after", Date.now() - editedMs, "ms", mountedMs);
    check(message.includes("role app") && message.includes("role replicator"), message);
    check(conditionOf(await kubectl.get("databases", of), "Blocked")?.status === "True", "not Blocked");
    await kubectl.run(["annotate", "databases", of, `app.example.com/restart=${Date.now().toString(36)}`]);
    const endMs = Date.now() + 15_000;
    await until(30_000, "15 s with a restart that is asked for", async () => {
      check(await pods() === started, "a member was restarted that could not replicate");
      return Date.now() > endMs;
    }, 1_000);
    const edited = await read();
    check(
      edited["password"] === data.password && edited["superuser-password"] === before["superuser-password"],
      "the operator wrote passwords",
    );
    await patch("secret", secretName, {
      data: { "replication-password": before["replication-password"] },
    });
    await patch("databases", of, { spec: { users: [{ name: "app" }] } });
    await ready(kubectl, of, mountedMs + bar.ready);
  }, { readyTimeoutMs: mountedMs + bar.ready });
  run.figure("acknowledged rows, none lost", outcome.written.acknowledged.length, "rows");
  check(await pods() !== started, "the restart that was asked for was forgotten");
  await discard(run, of);
}

async function conflict(run: Run): Promise<void> {
  const { kubectl } = run;
  const foreign = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "taken-ro" },
    spec: { ports: [{ port: 80 }] },
  };
  await kubectl.apply(foreign);
  const before = JSON.stringify(await kubectl.get("service", "taken-ro"));
  await kubectl.apply(database("taken", { size: 1 }));
  const message = await notReady(run, "taken", /^NameConflict$/);
  check(message.includes("taken-ro"), `the message does not name the object: ${message}`);
  check(
    JSON.stringify(await kubectl.get("service", "taken-ro")) === before,
    "the foreign Service was touched",
  );
  await kubectl.delete("service", "taken-ro");
  await ready(kubectl, "taken", bar.ready);
  await discard(run, "taken");
}

async function noSuchImage(run: Run): Promise<void> {
  const { kubectl } = run;
  await kubectl.apply(database("imageless", { size: 1, image: "localhost/missing:17" }));
  const message = await notReady(run, "imageless", /Image/);
  check(message.includes("localhost/missing:17"), `the message does not name the image: ${message}`);
  await kubectl.run([
    "patch",
    "databases",
    "imageless",
    "--type=merge",
    "--patch",
    '{"spec":{"image":null}}',
  ]);
  await ready(kubectl, "imageless", bar.ready);
  await discard(run, "imageless");
}

async function operatorKilled(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const memory = `${257 + Date.now() % 50}Mi`;
  const outcome = await underWrites(run, name, 3, async () => {
    await kubectl.run([
      "patch",
      "databases",
      name,
      "--type=merge",
      "--patch",
      JSON.stringify({ spec: { resources: { requests: { cpu: "100m", memory } } } }),
    ]);
    for (let time = 0; time < 3; time++) await run.operator.kill();
    await ready(kubectl, name, 240_000);
  });
  run.figure("roll with the operator killed three times: to Ready", outcome.readyMs, "ms", 240_000);
  run.figure("longest time without an acknowledged row", outcome.gapMs, "ms", 5_000);
  for (const pod of await members(kubectl, name)) {
    check(
      pod["spec"].containers[0].resources.requests.memory === memory,
      `${pod.metadata.name} has the old template`,
    );
  }
}

async function idle(run: Run): Promise<void> {
  const { kubectl, image } = run;
  await ensure(run, name);
  const seconds = 60 * run.times;
  const writer = await Writer.start(kubectl, name, { image, firstId: Date.now() });
  const kinds =
    "databases,statefulsets,services,roles,rolebindings,serviceaccounts,poddisruptionbudgets,persistentvolumeclaims";
  const versions = async () => {
    const objects = [
      ...await kubectl.list(kinds),
      (await kubectl.get("configmap", `${name}-patroni`))!,
      (await kubectl.get("configmap", `${name}-config`))!,
    ];
    return new Map(
      objects.map(({ kind, metadata }) => [`${kind} ${metadata.name}`, metadata.resourceVersion]),
    );
  };
  await ready(kubectl, name, bar.ready);
  const before = await versions();
  const endMs = Date.now() + seconds * 1000;
  await writer.writesAfter(endMs, seconds * 1000 + bar.writes);
  const changed = [...await versions()].filter(([what, version]) => before.get(what) !== version).map((
    [what],
  ) => what);
  const { acknowledged } = await writer.stop();
  run.figure(
    `objects written in ${seconds} s with ${acknowledged.length} rows`,
    changed.length,
    "objects",
    0,
  );
  check(changed.length === 0, `written at rest: ${changed.join(", ")}`);
}

/** Seconds that the API server is away. */
const apiAwayS = 60;

async function apiServerAway(run: Run): Promise<void> {
  const { kubectl } = run;
  const [stop, start] = [process.env.E2E_API_STOP, process.env.E2E_API_START];
  check(stop && start, "E2E_API_STOP and E2E_API_START are commands that stop and start the API server");
  await ensure(run, name);
  const lock = async () => (await kubectl.get("configmap", `${name}-leader`))?.metadata.annotations ?? {};
  const before = await lock();
  const starts = async () => (await members(kubectl, name)).map((pod) => pod.metadata.uid).join();
  const started = await starts();
  const outcome = await underWrites(run, name, 3, async () => {
    await shell(stop);
    try {
      const endMs = Date.now() + apiAwayS * 1000;
      let answers = 0;
      await until(apiAwayS * 2_000, `${apiAwayS} s without the API server`, async () => {
        const { code } = await kubectl.try(["get", "--raw", "/readyz", "--request-timeout=2s"]);
        if (code === 0) answers++;
        return Date.now() >= endMs;
      }, 2_000);
      check(answers === 0, `the API server answered ${answers} times: it was not stopped`);
    } finally {
      await until(120_000, "the API server to be started and to answer", async () => {
        await shell(start).catch(() => {}); // running already is as good
        return (await kubectl.try(["get", "--raw", "/readyz", "--request-timeout=5s"])).code === 0;
      }, 2_000);
    }
  });
  run.figure(
    `API server away for ${apiAwayS} s: longest time without an acknowledged row`,
    outcome.gapMs,
    "ms",
    3_000,
  );
  run.figure("acknowledged rows, none lost", outcome.written.acknowledged.length, "rows");
  const after = await lock();
  check(
    after["leader"] === before["leader"] && after["transitions"] === before["transitions"],
    `the primary changed: ${JSON.stringify([before, after])}`,
  );
  check(await starts() === started, "members were restarted");
}

async function restricted(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const events = await kubectl.list("events");
  const refused = events.filter((event) => event["reason"] === "FailedCreate").map((event) =>
    event["message"]
  );
  check(refused.length === 0, `pods were refused: ${refused.join("; ")}`);
  const primary = (await leader(kubectl, name))!;
  const secret = (await kubectl.get("secret", `${name}-credentials`))!["data"] as Record<string, string>;
  const environment = await kubectl.exec(primary, [
    "sh",
    "-c",
    'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" "\\n"',
  ]);
  const texts = {
    "environments and arguments of the primary's processes": environment,
    "the members' logs":
      (await Promise.all((await members(kubectl, name)).map((pod) => kubectl.logs(pod.metadata.name)))).join(
        "\n",
      ),
    "the operator's log": await run.operator.logs(),
    events: JSON.stringify(events),
    "the Database": JSON.stringify(await kubectl.get("databases", name)),
    "the ConfigMaps": JSON.stringify(await kubectl.list("configmaps")),
    "the pods": JSON.stringify(await members(kubectl, name)),
  };
  for (const [key, encoded] of Object.entries(secret)) {
    if (!key.endsWith("password")) continue;
    const password = atob(encoded);
    for (const [where, text] of Object.entries(texts)) {
      check(!text.includes(password), `${key} is in ${where}`);
    }
  }
  check(
    await sql(kubectl, primary, "SELECT rolsuper FROM pg_roles WHERE rolname = 'app'") === "f",
    "app is a superuser",
  );
  run.figure("places searched for passwords, none found", Object.keys(texts).length, "places");
}

async function strictStorage(run: Run): Promise<void> {
  await discard(run, name);
  await until(30_000, "the claims to be gone", async () => {
    const left = await run.kubectl.list("persistentvolumeclaims", `app.example.com/database=${name}`);
    if (left.length > 0) throw new Error(left.map(({ metadata }) => metadata.name).join(" "));
    return true;
  }, 500);
}

export const safety: Scenario[] = [
  { name: "delete", what: "deletionPolicy Delete leaves nothing", run: deletePolicy },
  { name: "drift", what: "owned objects that were deleted or edited come back", run: drift },
  { name: "statefulset", what: "a lost StatefulSet comes back without a restart", run: statefulSetLost },
  { name: "secret", what: "lost credentials are never made anew while there is data", run: secretLost },
  {
    name: "edited",
    what: "a password edited by hand is told, restarts nobody, and is taken over when asked for",
    run: secretEdited,
  },
  { name: "secrets", what: "no password in logs, events, status, environment or arguments", run: restricted },
  { name: "operator", what: "the operator is killed during a roll: same end", run: operatorKilled },
  {
    name: "apiserver",
    what: "the API server is away for a minute: no failover, no lost row",
    optional: true,
    mayRefuse: true,
    run: apiServerAway,
  },
  { name: "idle", what: "nothing is written at rest, although rows are", run: idle },
  { name: "conflict", what: "an object of somebody else is never touched", run: conflict },
  { name: "image", what: "an image that does not exist is named in the status", run: noSuchImage },
  { name: "discard", what: "a used Database is deleted with its data", run: strictStorage },
];
