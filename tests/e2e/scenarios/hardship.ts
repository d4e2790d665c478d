/**
 * What comes at a bad time: a pause, a second edit, a broken member, a full disk, a deletion of what is half gone.
 * @module
 */
import process from "node:process";
import { until } from "../../within.ts";
import { conditionOf, database, leader, members, ready, sql } from "../database.ts";
import { Kubectl, type KubeObject, runProgram } from "../kubectl.ts";
import { secondNamespace } from "../local.ts";
import { bar, check, discard, ensure, type Run, type Scenario, underWrites } from "../scenario.ts";

const name = "hard";
/** Longest time without an acknowledged row that a planned change may cost. */
const plannedGapMs = 5_000;
/** Long enough for three passes of the operator, which looks again every 5 s while it waits. */
const watchedMs = 15_000;

async function patch(run: Run, of: string, spec: Record<string, unknown>): Promise<void> {
  await run.kubectl.run(["patch", "databases", of, "--type=merge", "--patch", JSON.stringify({ spec })]);
}

async function annotate(run: Run, annotation: string): Promise<void> {
  await run.kubectl.run(["annotate", "--overwrite", "databases", name, `app.example.com/${annotation}`]);
}

/** Throws as soon as the claim does not hold any more within {@link watchedMs}. */
async function stays(what: string, holds: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + watchedMs;
  let broken = false;
  await until(2 * watchedMs, what, async () => {
    broken ||= !await holds();
    return broken || Date.now() >= endMs;
  }, 1_000);
  check(!broken, `it did not stay so: ${what}`);
}

async function notReady(run: Run, of: string, reason: RegExp): Promise<string> {
  return await until(bar.ready, `Database ${of} to be not Ready with reason ${reason}`, async () => {
    const found = await run.kubectl.get("databases", of);
    const condition = conditionOf(found, "Ready");
    const isNew = condition?.["observedGeneration"] === found?.metadata.generation;
    if (isNew && condition?.["status"] === "False" && reason.test(String(condition["reason"]))) {
      return String(condition["message"]);
    }
    throw new Error(`${condition?.["status"]} ${condition?.["reason"]}: ${condition?.["message"]}`);
  }, 300);
}

const memoryOf = (pod: KubeObject): string => pod["spec"].containers[0].resources.requests.memory;
const requests = (memory: string) => ({ requests: { cpu: "100m", memory } });

async function paused(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const versions = async () => {
    const [set, config, pods] = await Promise.all([
      kubectl.get("statefulset", name),
      kubectl.get("configmap", `${name}-config`),
      members(kubectl, name),
    ]);
    return JSON.stringify([
      set?.["spec"],
      config?.metadata.annotations?.["config"],
      pods.map(({ metadata }) => metadata.uid),
    ]);
  };
  const before = await versions();
  const outcome = await underWrites(run, name, 3, async () => {
    await annotate(run, "paused=true");
    await notReady(run, name, /^Paused$/);
    await patch(run, name, { resources: requests("300Mi"), size: 2, parameters: { work_mem: "6MB" } });
    await kubectl.delete("service", `${name}-ro`);
    await notReady(run, name, /^Paused$/);
    await stays("a paused Database is left alone", async () => {
      return await versions() === before && !await kubectl.get("service", `${name}-ro`);
    });
    await annotate(run, "paused-");
  });
  run.figure("paused and changed, resumed: to Ready", outcome.readyMs, "ms", 180_000);
  run.figure("longest time without a row", outcome.gapMs, "ms", plannedGapMs);
  const pods = await members(kubectl, name);
  check(pods.length === 2 && pods.every((pod) => memoryOf(pod) === "300Mi"), "what was changed is not there");
  check(await kubectl.get("service", `${name}-ro`), "the deleted Service is not back");
  await patch(run, name, { parameters: null });
}

async function askedOnce(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  const before = await leader(kubectl, name);
  const asked = `any@${Date.now().toString(36)}`;
  await annotate(run, `switchover=${asked}`);
  await until(bar.ready, "the switchover", async () => {
    const now = await leader(kubectl, name);
    return now !== undefined && now !== before;
  }, 300);
  const done = await ready(kubectl, name, bar.ready);
  const { operations } = done["status"];
  check(operations?.switchover === asked && !operations?.switchoverTo, JSON.stringify(operations));
  const first = (await leader(kubectl, name))!;
  await kubectl.delete("pod", first);
  await until(bar.ready, "the failover", async () => {
    const now = await leader(kubectl, name);
    return now !== undefined && now !== first;
  }, 300);
  await ready(kubectl, name, bar.ready);
  await run.operator.kill();
  await annotate(run, `switchover=${asked}`);
  const lock = async () => (await kubectl.get("configmap", `${name}-leader`))?.metadata.annotations ?? {};
  const { leader: now, transitions } = await lock();
  await stays("a request that was done is not done again", async () => {
    const { leader: then, transitions: changes } = await lock();
    return then === now && changes === transitions;
  });
  await ready(kubectl, name, bar.ready);
}

async function editedAgain(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  let fewest = Infinity;
  const outcome = await underWrites(run, name, 3, async () => {
    await patch(run, name, { resources: requests("301Mi") });
    await until(bar.ready, "a first member with the new template", async () => {
      return (await members(kubectl, name)).some((pod) => memoryOf(pod) === "301Mi");
    }, 300);
    await patch(run, name, { resources: requests("302Mi") });
    await until(240_000, "all members to have the last template", async () => {
      const pods = await members(kubectl, name);
      const isReady = (pod: KubeObject) =>
        pod["status"]?.conditions?.some(({ type, status }: Record<string, string>) =>
          type === "Ready" && status === "True"
        );
      fewest = Math.min(fewest, pods.filter(isReady).length);
      return pods.length === 3 && pods.every((pod) => memoryOf(pod) === "302Mi");
    }, 300);
  }, { readyTimeoutMs: 240_000 });
  run.figure("edited again in mid-roll: to Ready", outcome.readyMs, "ms", 240_000);
  run.figure("longest time without a row", outcome.gapMs, "ms", plannedGapMs);
  run.figure("fewest members ready", fewest, "members");
  check(fewest >= 2, "two members were down at a time");
}

async function lowBroken(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name);
  if (await leader(kubectl, name) !== `${name}-2`) {
    await annotate(run, `switchover=${name}-2@${Date.now().toString(36)}`);
    await until(bar.ready, "the highest member to lead", async () => {
      return await leader(kubectl, name) === `${name}-2`;
    }, 300);
    await ready(kubectl, name, bar.ready);
  }
  const setImage = async (image: string) => {
    await kubectl.run(["set", "image", `pod/${name}-0`, `postgres=${image}`]);
  };
  const { image } = (await kubectl.get("pod", `${name}-0`))!["spec"].containers[0] as { image: string };
  const outcome = await underWrites(run, name, 3, async () => {
    await setImage("localhost/missing:17");
    try {
      await notReady(run, name, /Image/);
      await kubectl.run(["scale", "databases", name, "--replicas=2"]);
      const told = await notReady(run, name, /^Degraded$/);
      check(told.includes(`${name}-0`) && told.includes("Not scaling down"), told);
      await stays("nothing is removed while a low member is broken", async () => {
        return (await members(kubectl, name)).length === 3 && await leader(kubectl, name) === `${name}-2`;
      });
    } finally {
      await setImage(image);
    }
  }, { readyTimeoutMs: 180_000 });
  run.figure("a low member broken while scaled down, healed: to Ready", outcome.readyMs, "ms", 180_000);
  run.figure("longest time without a row", outcome.gapMs, "ms", plannedGapMs);
  const left = (await members(kubectl, name)).map((pod) => pod.metadata.name);
  check(left.join() === `${name}-0,${name}-1`, `members left: ${left.join(" ")}`);
  await discard(run, name);
}

const owned =
  "statefulsets,services,configmaps,secrets,roles,rolebindings,serviceaccounts,poddisruptionbudgets";

/** Waits until nothing of a Database is left. */
async function gone(kubectl: Kubectl, of: string): Promise<void> {
  await until(90_000, `everything of ${of} to be gone`, async () => {
    const selector = `app.example.com/database=${of}`;
    const left = await kubectl.list(`${owned},pods,persistentvolumeclaims`, selector);
    const asked = await kubectl.get("databases", of);
    if (left.length > 0 || asked) {
      throw new Error(
        [...left, ...asked ? [asked] : []].map((one) => `${one.kind} ${one.metadata.name}`).join(),
      );
    }
    return true;
  }, 500);
}

async function halfGone(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, "half", { size: 2, deletionPolicy: "Delete" });
  const startedMs = Date.now();
  await kubectl.delete("databases", "half");
  for (const kind of ["statefulsets", "secrets", "roles", "configmaps"]) {
    await kubectl.run([
      ...["delete", kind, "--selector=app.example.com/database=half", "--cascade=orphan", "--wait=false"],
    ]);
  }
  await gone(kubectl, "half");
  run.figure("deleted with half of its objects missing", Date.now() - startedMs, "ms", 90_000);
}

async function wrongSpec(run: Run): Promise<void> {
  const { kubectl } = run;
  const spec = {
    deletionPolicy: "Delete",
    image: "localhost/missing:17",
    storage: { storageClassName: "missing" },
    parameters: { max_connections: "0", no_such_parameter: "1" },
  };
  await kubectl.apply(database("wrong", spec), database("lost", { restoreFrom: { database: "nobody" } }));
  for (const target of ["wrong", "lost"]) await notReady(run, target, /./);
  const startedMs = Date.now();
  for (const target of ["wrong", "lost"]) {
    await kubectl.delete("databases", target);
    await until(
      60_000,
      `Database ${target} to be gone`,
      async () => !await kubectl.get("databases", target),
      300,
    );
  }
  run.figure("two with a wrong spec deleted", Date.now() - startedMs, "ms", 60_000);
  await gone(kubectl, "wrong");
}

/**
 * Kubernetes' namespace controller deletes the pods first and looks again after half of their grace period of 300 s,
 * however soon they are gone; then it deletes the rest.
 */
const namespaceMs = 300_000;

async function namespaceGone(run: Run): Promise<void> {
  const second = new Kubectl(secondNamespace(run.kubectl.namespace));
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  await second.apply({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: second.namespace, labels },
  });
  try {
    await second.apply(database("brief", { size: 2 }));
    await ready(second, "brief", bar.ready);
  } finally {
    await second.delete("namespace", second.namespace);
  }
  const startedMs = Date.now();
  await until(namespaceMs, "the namespace to be gone", async () => {
    return !await second.get("namespace", second.namespace);
  }, 500);
  run.figure("namespace with a Database deleted", Date.now() - startedMs, "ms", namespaceMs);
}

/**
 * The volume of a member is really full. The cluster's own volumes may not enforce a size: E2E_DISK_LIMIT is a command
 * that takes the folder of a hostPath volume and a size in MiB, and makes the folder a file system of that size, or
 * changes its size; with size 0 it undoes that. It stands in for the storage provider. With tmpfs, on the node:
 *
 *     if mountpoint -q "$1"; then
 *       [ "$2" = 0 ] && exec umount "$1"
 *       exec mount -o "remount,size=$2m" "$1"
 *     fi
 *     [ "$2" = 0 ] || exec mount -t tmpfs -o "size=$2m,mode=0777" tmpfs "$1"
 */
async function diskFull(run: Run): Promise<void> {
  const { kubectl } = run;
  const command = process.env.E2E_DISK_LIMIT;
  check(
    command,
    "E2E_DISK_LIMIT is a command that limits the size of a folder, see tests/e2e/scenarios/hardship.ts",
  );
  const of = "full", claim = `data-${of}-0`;
  await kubectl.apply({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      name: claim,
      labels: { "app.example.com/database": of, "app.example.com/component": "postgres" },
    },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  });
  const folder = await until(30_000, "a volume", async () => {
    const volume = (await kubectl.get("persistentvolumeclaim", claim))?.["spec"].volumeName as
      | string
      | undefined;
    return volume && (await kubectl.get("persistentvolume", volume))?.["spec"].hostPath?.path as string;
  }, 300);
  const limit = async (mebibytes: number) => {
    const ended = await runProgram("sh", ["-c", `${command} "$0" "$1"`, folder, String(mebibytes)]);
    check(ended.code === 0, `E2E_DISK_LIMIT ended with ${ended.code}: ${ended.stderr}`);
  };
  await limit(300);
  try {
    await ensure(run, of, { size: 1, storage: { size: "1Gi" } });
    const outcome = await underWrites(run, of, 1, async () => {
      const fill = "dd if=/dev/zero of=/pgdata/ballast bs=1M 2>&1 | grep -q 'No space left'";
      await kubectl.exec(`${of}-0`, ["sh", "-c", fill], { timeoutMs: 60_000 });
      await until(60_000, "the server to stop for want of space", async () => {
        // Each needs a new segment of WAL.
        await sql(kubectl, `${of}-0`, "SELECT pg_switch_wal(); CREATE TABLE IF NOT EXISTS filler ()").catch(
          () => {},
        );
        await sql(kubectl, `${of}-0`, "SELECT pg_switch_wal(); DROP TABLE IF EXISTS filler").catch(() => {});
        const log = await kubectl.logs(`${of}-0`, "--container=postgres", "--tail=200");
        return /PANIC: .*No space left on device/.test(log);
      }, 500);
      const told = await notReady(run, of, /./);
      console.log(`    ${told}`);
      await patch(run, of, { storage: { size: "2Gi" } });
      await until(30_000, "the claim to ask for more", async () => {
        const asked = (await kubectl.get("persistentvolumeclaim", claim))?.["spec"].resources.requests
          .storage;
        return asked === "2Gi";
      }, 300);
      await limit(900);
    });
    run.figure("disk full, grown: to Ready", outcome.readyMs, "ms", bar.ready);
    run.figure("acknowledged rows, none lost", outcome.written.acknowledged.length, "rows");
    await discard(run, of);
  } finally {
    await kubectl.try(["delete", "pod", `${of}-0`, "--ignore-not-found", "--timeout=60s"], {
      timeoutMs: 70_000,
    });
    await limit(0);
  }
}

export const hardship: Scenario[] = [
  { name: "pause", what: "a paused Database is left alone, and catches up", run: paused },
  { name: "once", what: "a switchover that was done is never done again", run: askedOnce },
  { name: "again", what: "a spec that is edited again in mid-roll converges to the last", run: editedAgain },
  {
    name: "low",
    what: "nothing is removed while a low member is broken; it goes on when healed",
    run: lowBroken,
  },
  {
    name: "half",
    what: "a Database is deleted although half of its objects are missing",
    mayRefuse: true,
    run: halfGone,
  },
  { name: "wrong", what: "a Database with a wrong spec can be deleted", run: wrongSpec },
  { name: "namespace", what: "a Database goes with its namespace", optional: true, run: namespaceGone },
  { name: "full", what: "a full disk grows, and no row is lost", optional: true, run: diskFull },
];
