/**
 * `npm start` as somebody with kubectl meets it: the embedded API, the operator and the sample in a process of their own.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { Kubectl } from "../e2e/kubectl.ts";
import { runtimeFlags } from "../this_runtime.ts";
import { until } from "../within.ts";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const kubectl = new Kubectl("default");
const test = suite("kubectl on npm start");

let start: ChildProcess;
let said = "";
let exitCode: number | null | undefined;

/** A Database of one member, in YAML as a user writes it. */
const yaml = (name: string, field = "size: 1") =>
  `apiVersion: app.example.com/v1\nkind: Database\nmetadata: {name: ${name}}\nspec: {${field}, version: "17"}\n`;
const apply = (text: string, ...flags: string[]) =>
  kubectl.try(["apply", ...flags, "--filename=-"], { input: text });
const ready = (name: string, members: number) =>
  kubectl.run([
    ...["wait", `database/${name}`, "--timeout=20s", "--for=condition=Ready"],
    `--for=jsonpath={.status.readyReplicas}=${members}`,
  ]);
const field = (name: string, path: string) =>
  kubectl.run(["get", "database", name, `--output=jsonpath={${path}}`]);

test.before(async () => {
  start = spawn(process.execPath, [...runtimeFlags, resolve(root, "examples/start.ts")], { cwd: root });
  for (const stream of [start.stdout!, start.stderr!]) {
    stream.setEncoding("utf8").on("data", (text: string) => said += text);
  }
  start.on("close", (code) => exitCode = code);
  await until(
    60_000,
    "the operator to stay up",
    () => said.includes("The operator stays up") || exitCode !== undefined,
  );
  assert.is(exitCode, undefined, said);
  const file = /export KUBECONFIG=(\S+)/.exec(said)?.[1];
  process.env.KUBECONFIG = resolve(root, file ?? "no kubeconfig was named");
});

test.after(async () => {
  // Not its own kill(), after which Deno gives the signal as the outcome, whatever the process made of it.
  process.kill(start.pid!, "SIGINT");
  await until(20_000, "npm start to end", () => exitCode !== undefined);
  assert.is(exitCode, 0, said.slice(-2_000));
});

test("get shows the columns of a Database, by its short name and among all", async () => {
  assert.match(
    await kubectl.run(["get", "db"]),
    /^NAME +VERSION +SIZE +READY +PRIMARY +STATUS +AGE\norders +17 +3 +3 +orders-\d +Ready +\d+s\n$/,
  );
  const all = await kubectl.run(["get", "all", "--output=name"]);
  for (const name of ["database.app.example.com", "statefulset.apps", "service"]) {
    assert.match(all, `${name}/orders\n`);
  }
  assert.match(await kubectl.run(["get", "pods"]), /^orders-0 +2\/2 +Running/m);
  const primaries = ["get", "pods", "--selector=app.example.com/role=primary", "--output=name"];
  assert.match(await kubectl.run(primaries), /^pod\/orders-\d\n$/);
});

test("describe shows the events, explain the description of a field", async () => {
  // Events are written in the background.
  await until(20_000, "the event", async () => {
    const described = await kubectl.run(["describe", "database", "orders"]);
    return /Events:[^]*Normal +Ready .* database-operator/.test(described);
  });
  const explained = await kubectl.run(["explain", "database.spec.size"]);
  assert.match(explained, /FIELD: size <integer>[^]*Number of members/);
});

test("apply creates, sees what is unchanged and changes, and diff tells before", async () => {
  assert.match((await apply(yaml("applied"))).stdout, "applied created");
  assert.match((await apply(yaml("applied"))).stdout, "applied unchanged");
  await ready("applied", 1);
  const diff = ["diff", "--filename=-"];
  const told = await kubectl.try(diff, { input: yaml("applied", "size: 2") });
  assert.is(told.code, 1);
  assert.match(told.stdout, /^- {2}size: 1\n\+ {2}size: 2$/m);
  assert.match((await apply(yaml("applied", "size: 2"))).stdout, "applied configured");
  await ready("applied", 2);
  assert.is((await kubectl.try(diff, { input: yaml("applied", "size: 2") })).code, 0);
});

test("server-side apply goes on with what apply began, and another manager meets the conflict", async () => {
  await apply(yaml("served"));
  const served = await apply(yaml("served", "size: 2"), "--server-side");
  assert.match(served.stdout, "served serverside-applied", served.stderr);
  const other = await apply(yaml("served"), "--server-side", "--field-manager=other");
  assert.is(other.code, 1);
  assert.match(other.stderr, 'conflict with "kubectl": .spec.size');
  assert.is(await field("served", ".spec.size"), "2");
  await apply(yaml("served"), "--server-side", "--field-manager=other", "--force-conflicts");
  assert.is(await field("served", ".spec.size"), "1");
});

test("edit, patch, scale, label and annotate change a Database, and it follows", async () => {
  await apply(yaml("edited"));
  process.env.KUBE_EDITOR = "sed -i 's/size: 1/size: 2/'";
  assert.match(await kubectl.run(["edit", "database", "edited"]), "edited edited");
  await ready("edited", 2);
  const replace = JSON.stringify([{ op: "replace", path: "/spec/size", value: 1 }]);
  await kubectl.run(["patch", "database", "edited", "--type=json", `--patch=${replace}`]);
  assert.is(await field("edited", ".spec.size"), "1");
  await kubectl.run(["patch", "database", "edited", "--type=merge", '--patch={"spec":{"size":2}}']);
  await kubectl.run(["label", "database", "edited", "team=a"]);
  await kubectl.run(["scale", "database", "edited", "--replicas=3"]);
  await ready("edited", 3);
  const primary = await field("edited", ".status.primary");
  await kubectl.run(["annotate", "database", "edited", "app.example.com/switchover=any@1"]);
  await until(20_000, "another primary", async () => {
    const now = await field("edited", ".status.primary");
    return now !== "" && now !== primary;
  });
  assert.is(await field("edited", ".metadata.labels.team"), "a");
});

test("get --watch shows a Database as it changes", async () => {
  await apply(yaml("watched"));
  const child = spawn("kubectl", ["get", "database", "watched", "--watch"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let table = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => table += text);
  const closed = new Promise((settle) => child.once("close", settle));
  try {
    await kubectl.run(["scale", "database", "watched", "--replicas=2"]);
    await until(20_000, "the row of two members", () => /^watched +17 +2 +2 +watched-0 +Ready/m.test(table));
  } finally {
    child.kill();
    await closed;
  }
});

test("a pod that is deleted comes back, and another leads meanwhile", async () => {
  const primary = await field("orders", ".status.primary");
  const before = (await kubectl.get("pod", primary))?.metadata.uid;
  await kubectl.run(["delete", "pod", primary]);
  await until(20_000, "another primary", async () => {
    const now = await field("orders", ".status.primary");
    return now !== "" && now !== primary;
  });
  await until(20_000, "the pod to be back", async () => {
    const uid = (await kubectl.get("pod", primary))?.metadata.uid;
    return uid !== undefined && uid !== before;
  });
  await ready("orders", 3);
});

test("what the API refuses is told with its field, and changes nothing", async () => {
  const large = await apply(yaml("refused", "size: 99"));
  assert.is(large.code, 1);
  assert.match(large.stderr, "spec.size: Invalid value: 99");
  const mistyped = await apply(yaml("refused", "sise: 1"));
  assert.is(mistyped.code, 1);
  assert.match(mistyped.stderr, 'unknown field "spec.sise"');
  const dry = await apply(yaml("refused"), "--dry-run=server");
  assert.match(dry.stdout, "refused created (server dry run)");
  assert.is(await kubectl.get("database", "refused"), undefined);
});

test("delete takes the members and Services away, and keeps claims and the Secret", async () => {
  await apply(yaml("deleted"));
  await ready("deleted", 1);
  await kubectl.run(["delete", "database", "deleted"]);
  const left = async () => {
    const names = await kubectl.run([
      ...["get", "databases,pods,services,statefulsets,persistentvolumeclaims,secrets", "--output=name"],
    ]);
    return names.split("\n").filter((name) => name.includes("deleted")).sort();
  };
  const kept = ["persistentvolumeclaim/data-deleted-0", "secret/deleted-credentials"];
  await until(20_000, "the rest to go", async () => String(await left()) === String(kept));
});

test.run();
