/**
 * docs/write-your-own.md for somebody who follows it: the code of each step is taken from the page, put together as it says,
 * checked by the compiler and run on the embedded API.
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { main as codegen } from "../../codegen/main.ts";
import { type EmbeddedServer, startEmbedded } from "../../embedded/serve.ts";
import { Client, connect, type Connection, type KubernetesObject, type Resource } from "../../runtime/mod.ts";
import { configMaps } from "../../types/core/v1.ts";
import { events } from "../../types/events.k8s.io/v1.ts";
import { crdOf } from "../codegen/crd_of.ts";
import { runtimeFlags } from "../this_runtime.ts";
import { until, within } from "../within.ts";
import { complaints, makeFolder, Page, replaced, root } from "./page.ts";

const page = new Page("docs/write-your-own.md");
const block = (text: string) => page.block(text);

interface Certificate extends KubernetesObject {
  spec: { dnsNames: string[] };
}
const certificates: Resource<Certificate> = {
  group: "cert-manager.io",
  version: "v1",
  kind: "Certificate",
  plural: "certificates",
  scope: "Namespaced",
};
const definition = crdOf({
  group: certificates.group,
  kind: certificates.kind,
  schema: {
    type: "object",
    properties: {
      spec: {
        type: "object",
        properties: {
          secretName: { type: "string" },
          dnsNames: { type: "array", items: { type: "string" } },
          issuerRef: { type: "object", properties: { name: { type: "string" } } },
        },
      },
      status: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
    },
  },
});

const told = block('log.info("Reconciling Certificate"');
/** Step 4: another controller in the program of step 3, and more imports. */
const keeps = block("import { changed, controllerReference") +
  replaced(told, /manager\.controller\(\{[^]*?^ {2}\}\);/m, block("const labels = {").trimEnd());
/** Step 5: after `found` is read. */
const spares = replaced(
  replaced(keeps, "{ client, log }", "{ client, events, log }"),
  /(?<=const found = .*;\n)/,
  block("events.record(certificate, {\n"),
).replace("isBeingDeleted,", "isBeingDeleted, isControlledBy,");
/** Step 6: in place of what step 4 does with one that is being deleted. */
const cleans = 'import { hasFinalizer, withFinalizer, withoutFinalizer } from "../runtime/mod.ts";\n' +
  "const removeTheRecord = async (certificate: object) => await Promise.resolve(certificate);\n" +
  replaced(
    keeps,
    "if (!certificate || isBeingDeleted(certificate)) return;",
    `if (!certificate) return;\n${block("await removeTheRecord(certificate)")}`,
  );
/** Of step 5, what it says of a resource of one's own. */
const conditions = `
import { type Condition, connect, Client, deepEqual, setCondition, type Resource } from "../runtime/mod.ts";
declare const widget: { status?: { conditions?: Condition[] } }, namespace: string, name: string, reason: string;
declare const message: string, widgets: Resource<{ status?: { conditions?: Condition[] } }>, now: () => number;
const client = new Client(await connect(), { fieldManager: "widgets" });
${block("setCondition(widget.status")}`;

const programs = {
  reads: block("for (const { metadata, spec } of items)"),
  told,
  keeps,
  spares,
  cleans,
  conditions,
  /** The page's port may be taken on this machine. */
  whole: replaced(block("http: { port: 8080 },\n  });\n\n  manager.controller"), "port: 8080", "port: 0"),
};

const test = suite("write your own");
let folder: string, server: EmbeddedServer, connection: Connection, client: Client;

test.before(async () => {
  // The page's folder is names/.
  folder = makeFolder("names");
  server = await startEmbedded({ crds: [definition] });
  connection = await connect({ kubeconfig: server.kubeconfig });
  client = new Client(connection, { fieldManager: "test" });
  const { log } = console;
  console.log = () => {};
  try {
    const flags = "--from-cluster --crd certificates.cert-manager.io --kind ConfigMap --out";
    assert.match(page.text, `node codegen/main.ts ${flags} names/types\n`);
    const args = [...flags.split(" "), join(folder, "types"), "--kubeconfig", server.kubeconfig];
    assert.is(await codegen(args), 0);
  } finally {
    console.log = log;
  }
  for (const [name, code] of Object.entries(programs)) {
    writeFileSync(join(folder, `${name}.ts`), code.replaceAll('"../runtime/', '"../../runtime/'));
  }
});

test.after(async () => {
  connection.close();
  await server.close();
  rmSync(folder, { recursive: true });
});

/** Runs a program of the page until `work` is done, then stops it unless it has ended; it must end in good order. */
async function running(
  name: keyof typeof programs,
  work: (said: () => string, ended: Promise<unknown>) => Promise<unknown>,
): Promise<string> {
  const child = spawn(process.execPath, [...runtimeFlags, join(folder, `${name}.ts`)], {
    cwd: root,
    env: { ...process.env, KUBECONFIG: server.kubeconfig },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => said += text);
  }
  let hasEnded = false;
  const ended = new Promise<number | null>((settle) => child.once("close", settle));
  void ended.then(() => hasEnded = true);
  try {
    await work(() => said, ended);
  } catch (error) {
    throw new Error(`${(error as Error).message}; it said: ${said}`, { cause: error });
  } finally {
    if (!hasEnded) process.kill(child.pid!, "SIGINT");
    assert.is(await within(20_000, ended, `${name} to end`), 0, said);
  }
  return said;
}

const shop = { namespace: "default", name: "shop" };
const names = { namespace: "default", name: "shop-names" };
/** The Certificate of the page. */
const make = (dnsNames: string[]) =>
  client.apply(certificates, {
    apiVersion: "cert-manager.io/v1",
    kind: "Certificate",
    metadata: shop,
    spec: { dnsNames },
  });
/** Waits until the ConfigMap has this text; answers its uid. */
const kept = (text: string) =>
  until(20_000, `the ConfigMap with ${text}`, async () => {
    const found = await client.get(configMaps, names);
    return found?.data?.names === text && found.metadata.uid;
  });
const gone = () =>
  until(20_000, "the ConfigMap to go", async () => await client.get(configMaps, names) === undefined);

test("the programs of all steps pass the compiler", () => {
  assert.equal(complaints(Object.keys(programs).map((name) => join(folder, `${name}.ts`))), []);
});

test("step 2 reads what is there", async () => {
  await make(["shop.example.com"]);
  const said = await running("reads", (_, ended) => within(20_000, ended, "the list to be read"));
  assert.match(said, /^default shop .*shop\.example\.com/m);
});

test("step 3 is told of the start and of each change", async () => {
  await running("told", async (said) => {
    const times = (text: string) => said().split(text).length - 1;
    await until(20_000, "the first", () => times('"Reconciling Certificate"') === 1);
    await make(["shop.example.com", "www.shop.example.com"]);
    await until(20_000, "the change", () => times("www.shop.example.com") === 1);
  });
});

for (const step of ["keeps", "spares", "whole"] as const) {
  test(`program "${step}" makes the ConfigMap, repairs it, and it goes with its owner`, async () => {
    await make(["a", "b"]);
    await running(step, async () => {
      const uid = await kept("a\nb");
      await client.delete(configMaps, names);
      await until(20_000, "another one", async () => await kept("a\nb") !== uid);
      await client.patch(configMaps, names, { data: { names: "x" } });
      await kept("a\nb");
      await make(["a"]);
      await kept("a");
      await client.delete(certificates, shop);
      await gone();
    });
  });
}

for (const step of ["spares", "whole"] as const) {
  test(`program "${step}" leaves a ConfigMap of somebody else alone, says so and goes on when it is gone`, async () => {
    await client.create(configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: names,
      data: { names: "mine" },
    });
    await make(["a"]);
    await running(step, async () => {
      await until(20_000, "the event", async () => {
        const { items } = await client.list(events, { namespace: "default" });
        return items.some(({ reason, regarding }) => reason === "NameConflict" && regarding?.name === "shop");
      });
      assert.is((await client.get(configMaps, names))?.data?.names, "mine");
      await client.delete(configMaps, names);
      await kept("a");
      await client.delete(certificates, shop);
      await gone();
    });
  });
}

test("step 6 holds the Certificate until what is elsewhere is cleaned up", async () => {
  await make(["a"]);
  const finalizers = async () => (await client.get(certificates, shop))?.metadata?.finalizers ?? [];
  await running("cleans", async () => {
    await until(20_000, "the finalizer", async () => (await finalizers()).includes("example.com/names"));
    await kept("a");
    await client.delete(certificates, shop);
    await until(20_000, "the Certificate to go", async () => !await client.get(certificates, shop));
    await gone();
  });
});

test("what it names is there", () => {
  for (const [, path] of page.text.matchAll(/`((?:examples|tests|embedded|deploy|codegen)\/[\w./-]*)`/g)) {
    assert.ok(existsSync(join(root, path!)), path);
  }
});

test.run();
