/**
 * docs/codegen.md for somebody who follows it: its code is taken from the page, checked by the compiler and run.
 * @module
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { main as codegen } from "../../codegen/main.ts";
import { startEmbedded } from "../../embedded/serve.ts";
import { runProgram } from "../e2e/kubectl.ts";
import { crdOf } from "../codegen/crd_of.ts";
import { runtimeFlags } from "../this_runtime.ts";
import { complaints, makeFolder, Page, replaced, root } from "./page.ts";

const page = new Page("docs/codegen.md");
const text = { type: "string" };
/** As much of a Certificate as the page has. */
const definition = crdOf({
  group: "cert-manager.io",
  kind: "Certificate",
  version: { subresources: { status: {} } },
  schema: {
    type: "object",
    required: ["spec"],
    properties: {
      spec: {
        type: "object",
        required: ["issuerRef", "secretName"],
        properties: {
          secretName: text,
          issuerRef: { type: "object", required: ["name"], properties: { name: text } },
          dnsNames: { type: "array", items: text },
          privateKey: {
            type: "object",
            properties: {
              algorithm: { ...text, enum: ["RSA", "ECDSA", "Ed25519"] },
              rotationPolicy: { ...text, enum: ["Never", "Always"] },
              size: { type: "integer" },
            },
          },
        },
      },
      status: { type: "object", properties: { conditions: { type: "array", items: { type: "object" } } } },
    },
  },
});

const writes = page.block("export const shop: Certificate");
const calls = page.block("new CertManagerIoV1Api(client)");
const validates = page.block("validateCertificate(JSON.parse(input))");
const asLibrary = page.block("generate(documentsOf(");

let folder: string;
test.before(async () => {
  folder = makeFolder("codegen");
  const file = join(folder, "cert-manager.crds.yaml");
  writeFileSync(file, JSON.stringify(definition));
  const flags = ["--validator", "--quiet", "--out", join(folder, "cert-manager")];
  assert.is(await codegen([file, ...flags]), 0);
});
test.after(() => rmSync(folder, { recursive: true }));

/** Writes a program into the page's folder. */
function write(name: string, code: string): string {
  const file = join(folder, name);
  writeFileSync(file, code.replace('"./codegen/mod.ts"', '"../../codegen/mod.ts"'));
  return file;
}

/** What a program prints. */
async function printed(file: string): Promise<string> {
  const { code, stdout, stderr } = await runProgram(process.execPath, [...runtimeFlags, file], { cwd: root });
  assert.is(code, 0, stderr);
  return stdout;
}

test("the Certificate is one, and what the page calls an error is one", () => {
  const bad = {
    misspelt: replaced(writes, "dnsNames:", "dnsName:"),
    algorithm: replaced(writes, '"ECDSA"', '"ecdsa"'),
    missing: replaced(writes, /^ {4}secretName.*\n/m, ""),
    status: replaced(writes, "  spec: {", "  status: {},\n  spec: {"),
  };
  assert.equal(complaints([write("shop.ts", writes)]), []);
  for (const [name, code] of Object.entries(bad)) {
    assert.is(complaints([write(`${name}.ts`, code)]).length, 1, name);
  }
});

test("the client creates it and reads it back, on the contract of this project's connect()", async () => {
  const program = `${writes}
import { connect } from "../../runtime/mod.ts";
const client = await connect();
${calls}
const uid: string = stored.metadata.uid;
console.log(uid, stored.status?.conditions, stored.spec.dnsNames?.length);
client.close();
`;
  const file = write("calls.ts", program);
  assert.equal(complaints([file]), []);
  const server = await startEmbedded({ crds: [definition], namespaces: ["shop"] });
  try {
    process.env.KUBECONFIG = server.kubeconfig;
    assert.match(await printed(file), /^[\w-]{36} undefined 1\n$/);
  } finally {
    await server.close();
  }
});

test("the validator says what the page says", async () => {
  const input = JSON.stringify({
    apiVersion: "cert-manager.io/v1",
    kind: "Certificate",
    metadata: { name: "shop" },
    spec: { issuerRef: { name: "a" }, privateKey: { size: "large" } },
  });
  const file = write("validates.ts", `const input = ${JSON.stringify(input)};\n${validates}`);
  assert.equal(complaints([file]), []);
  const comments = [...validates.matchAll(/^\/\/ (.*)$/gm)].map(([, said]) => said);
  assert.equal((await printed(file)).trimEnd().split("\n"), comments);
});

test("as a library it makes what the command makes", async () => {
  const file = write("library.ts", asLibrary);
  assert.equal(complaints([file]), []);
  const { length } = readFileSync(join(root, "types/app.example.com/v1.ts"), "utf8");
  assert.match(await printed(file), `app.example.com/v1.ts ${length}\n`);
});

test.run();
