/**
 * --from-cluster against an API server over HTTP: the embedded one, with its own discovery and OpenAPI documents.
 * @module
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { main } from "../../codegen/main.ts";
import type { JsonObject } from "../../codegen/mod.ts";
import { readOutput } from "../../codegen/output.ts";
import { type EmbeddedServer, startEmbedded } from "../../embedded/serve.ts";
import { crdOf } from "./crd_of.ts";

const test = suite<
  { folder: string; out: string; server: EmbeddedServer; said: string[]; restore: () => void }
>(
  "cluster",
);

const spec = (properties: JsonObject): JsonObject => ({
  type: "object",
  properties: { spec: { type: "object", properties } },
});
const size: JsonObject = { type: "integer", minimum: 0, default: 3 };
const shop = crdOf({ group: "shop.example.com", schema: spec({ size, name: { type: "string" } }) });
const cart = crdOf({ group: "shop.example.com", kind: "Cart", schema: spec({ size }) });
const other = crdOf({ group: "other.example.com", kind: "Other" });

test.before.each(async (context) => {
  context.server = await startEmbedded({ crds: [shop, cart, other] });
  context.folder = await mkdtemp(join(tmpdir(), "codegen-cluster-"));
  context.out = join(context.folder, "out");
  context.said = [];
  const { log, error } = console;
  console.log = console.error = (line: string) => void context.said.push(line);
  context.restore = () => Object.assign(console, { log, error });
});

test.after.each(async ({ server, folder, restore }) => {
  restore();
  await server.close();
  await rm(folder, { recursive: true });
});

/** Replaces the schema of a CustomResourceDefinition there. */
async function change(server: EmbeddedServer, name: string, schema: JsonObject): Promise<void> {
  const url = `${server.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
  const crd = await (await fetch(url)).json();
  crd.spec.versions[0].schema.openAPIV3Schema = schema;
  const answer = await fetch(url, { method: "PUT", body: JSON.stringify(crd) });
  assert.is(answer.status, 200, await answer.text());
}

test("a cluster gives the bytes that the files give", async ({ server, folder, out, said }) => {
  const files = join(folder, "crds.json");
  await writeFile(files, JSON.stringify({ apiVersion: "v1", kind: "List", items: [other, cart, shop] }));
  assert.is(await main([files, "--out", join(folder, "from-files"), "--quiet"]), 0);
  assert.is(await main(["--from-cluster", "--kubeconfig", server.kubeconfig, "--out", out, "--quiet"]), 0);
  assert.equal(await readOutput(out), await readOutput(join(folder, "from-files")));
  assert.is(await main([files, "--out", out, "--check", "--quiet"]), 0);
  assert.equal(said, []);
});

test("--group, --crd by name and by kind, and --kind say what is taken", async ({ server, out, said }) => {
  const kindsOf = async (...args: string[]) => {
    assert.is(
      await main(["--from-cluster", "--kubeconfig", server.kubeconfig, "--out", out, "--quiet", ...args]),
      0,
      said.join("\n"),
    );
    const modules = [...await readOutput(out) ?? []].filter(([path]) => path.endsWith("/v1.ts"));
    return modules.flatMap(([path, text]) =>
      [...text.matchAll(/^ {2}kind: "(\w+)",$/gm)].map(([, kind]) => `${path} ${kind}`)
    ).sort();
  };
  assert.equal(await kindsOf("--group", "shop.example.com"), [
    "shop.example.com/v1.ts Cart",
    "shop.example.com/v1.ts Thing",
  ]);
  assert.equal(await kindsOf("--crd", "carts.shop.example.com"), ["shop.example.com/v1.ts Cart"]);
  assert.equal(await kindsOf("--crd", "Other", "--kind", "Pod", "--kind", "apps/StatefulSet"), [
    "apps/v1.ts StatefulSet",
    "core/v1.ts Pod",
    "other.example.com/v1.ts Other",
  ]);
});

test("--check finds what changed in the cluster, also in a part of what the output holds", async ({ server, out, said }) => {
  const cluster = ["--from-cluster", "--kubeconfig", server.kubeconfig, "--out", out, "--quiet"];
  assert.is(await main([...cluster, "--kind", "Pod"]), 0);
  const before = await readFile(join(out, "shop.example.com/v1.ts"), "utf8");
  const parts = [["--kind", "Pod"], ["--group", "shop.example.com"], ["--crd", "things.shop.example.com"]];
  for (const part of parts) assert.is(await main([...cluster, "--check", ...part]), 0, said.join("\n"));
  await change(
    server,
    "things.shop.example.com",
    spec({ size: { ...size, minimum: 1 }, colour: { type: "string" } }),
  );
  for (const part of parts) {
    said.length = 0;
    assert.is(await main([...cluster, "--check", ...part]), 1);
    assert.equal(said, [
      "shop.example.com/v1 Thing .spec.name: removed (breaking)",
      'shop.example.com/v1 Thing .spec.size: says "Value: at least 1" in place of "Value: at least 0" (breaking)',
      "shop.example.com/v1 Thing .spec.colour: added, optional",
      `codegen: ${out} is not what the input gives; generate it again without --check`,
    ]);
  }
  assert.is(await main([...cluster, "--check", "--crd", "Cart"]), 0);
  assert.is(await readFile(join(out, "shop.example.com/v1.ts"), "utf8"), before);
});

test("--check tells a kind that is gone from the group that it is about", async ({ server, out, said }) => {
  const cluster = ["--from-cluster", "--kubeconfig", server.kubeconfig, "--out", out, "--quiet"];
  assert.is(await main(cluster), 0);
  const url = `${server.url}/apis/apiextensions.k8s.io/v1/customresourcedefinitions/carts.shop.example.com`;
  await (await fetch(url, { method: "DELETE" })).text();
  assert.is(await main([...cluster, "--check", "--group", "shop.example.com"]), 1);
  assert.is(said[0], "shop.example.com/v1 Cart: removed (breaking)");
  assert.is(await main([...cluster, "--check", "--group", "other.example.com"]), 0);
});

test.run();
