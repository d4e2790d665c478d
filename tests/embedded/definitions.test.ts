/** Custom resources of the embedded API: what the recorded answers do not cover. @module */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalQuantity, compareQuantity, parseQuantity } from "../../embedded/quantity.ts";
import { jsonPath } from "../../embedded/json_path.ts";
import { validateRules } from "../../embedded/schema/cel.ts";
import { type Json, TestApi, types } from "./client.ts";

const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const things = "/apis/example.com/v1/namespaces/default/things";

const version = (name: string, storage: boolean, properties: Json): Json => ({
  name,
  served: true,
  storage,
  subresources: { status: {} },
  schema: { openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties } } } },
});

const definition = (...versions: Json[]): Json => ({
  metadata: { name: "things.example.com" },
  spec: { group: "example.com", scope: "Namespaced", names: { plural: "things", kind: "Thing" }, versions },
});

const thing = (spec: Json, apiVersion = "example.com/v1"): Json => ({
  apiVersion,
  kind: "Thing",
  metadata: { name: "a" },
  spec,
});

test("a definition serves its kind at once, and takes its objects with it when it goes", async () => {
  const api = new TestApi();
  assert.is((await api.send("GET", things)).status, 404);
  await api.post(definitions, definition(version("v1", true, { a: { type: "string" } })));
  const crd = await api.get(`${definitions}/things.example.com`);
  assert.equal(crd.status.conditions.map((one: Json) => `${one.type}=${one.status}`), [
    "NamesAccepted=True",
    "Established=True",
  ]);
  await api.post(things, thing({ a: "1" }));
  await api.patch(`${things}/a`, { metadata: { finalizers: ["example.com/hold"] } });
  await api.delete(`${definitions}/things.example.com`);
  assert.is((await api.send("GET", `${things}/a`)).status, 200, "held by its finalizer");
  await api.patch(`${things}/a`, { metadata: { finalizers: null } });
  assert.is((await api.send("GET", `${definitions}/things.example.com`)).status, 404);
  assert.is((await api.send("GET", things)).status, 404);
  api.api.close();
});

test("several versions show one object, each with its own defaults, also on read", async () => {
  const api = new TestApi();
  const old = version("v1", true, { a: { type: "string" } });
  await api.post(definitions, definition(old));
  await api.post(things, thing({ a: "1" }));
  const next = version("v2", false, { a: { type: "string" }, b: { type: "string", default: "x" } });
  const crd = await api.get(`${definitions}/things.example.com`);
  await api.ok("PUT", `${definitions}/things.example.com`, {
    ...crd,
    spec: { ...crd.spec, versions: [old, next] },
  });
  const read = await api.get("/apis/example.com/v2/namespaces/default/things/a");
  assert.equal([read.apiVersion, read.spec], ["example.com/v2", { a: "1", b: "x" }]);
  assert.equal((await api.get(`${things}/a`)).spec, { a: "1" });
  const group = await api.get("/apis/example.com");
  assert.equal(group.preferredVersion.version, "v2");
  api.api.close();
});

test("a definition that is wrong is refused with the field's path", async () => {
  const api = new TestApi();
  const table: [Json, string][] = [
    [
      version("v1", true, { a: { type: "integer", "x-kubernetes-validations": [{ rule: "self.(" }] } }),
      "properties[a].x-kubernetes-validations[0].rule",
    ],
    [version("v1", true, { a: {} }), "properties[a].type"],
    [version("v1", false, {}), "spec.versions"],
  ];
  for (const [wrong, field] of table) {
    const { status, body } = await api.send("POST", definitions, definition(wrong));
    assert.is(status, 422);
    assert.ok(body.details.causes.some((cause: Json) => cause.field.endsWith(field)), JSON.stringify(body));
  }
  api.api.close();
});

test("strategic merge patch is 415 for custom resources", async () => {
  const api = new TestApi({ crds: [definition(version("v1", true, {}))] });
  await api.post(things, thing({}));
  assert.is((await api.send("PATCH", `${things}/a`, {}, types.strategic)).status, 415);
  api.api.close();
});

test("dropping a field from an applied configuration removes it; a change of somebody else's field is a conflict", async () => {
  const api = new TestApi({
    crds: [definition(version("v1", true, { a: { type: "string" }, b: { type: "string" } }))],
  });
  await api.apply(`${things}/a`, "one", thing({ a: "1", b: "1" }));
  const { body } = await api.apply(`${things}/a`, "one", thing({ b: "1" }));
  assert.equal(body.spec, { b: "1" });
  const conflict = await api.apply(`${things}/a`, "two", thing({ b: "2" }));
  assert.is(conflict.status, 409);
  assert.equal(conflict.body.details.causes, [
    { reason: "FieldManagerConflict", message: 'conflict with "one"', field: ".spec.b" },
  ]);
  const forced = await api.apply(`${things}/a`, "two", thing({ b: "2" }), "&force=true");
  assert.equal(forced.body.spec, { b: "2" });
  const again = await api.apply(`${things}/a`, "two", thing({ b: "2" }));
  assert.is(again.body.metadata.resourceVersion, forced.body.metadata.resourceVersion, "a no-op keeps it");
  api.api.close();
});

test("at most ten Update managers are told apart", async () => {
  const api = new TestApi();
  const path = "/api/v1/namespaces/default/configmaps";
  await api.post(path, { metadata: { name: "a" }, data: { a: "1" } });
  for (let i = 0; i < 15; i++) {
    api.clock.advance(1_000);
    await api.patch(`${path}/a?fieldManager=m${i}`, { data: { [`k${i}`]: "x" } });
  }
  const { metadata } = await api.get(`${path}/a`);
  const managers = metadata.managedFields.map((entry: Json) => entry.manager);
  assert.is(managers.length, 10);
  assert.ok(managers.includes("ancient-changes"));
  api.api.close();
});

test("validateRules() evaluates rules with Kubernetes' own functions", () => {
  const table: [rule: string, self: Json, passes: boolean][] = [
    ["self.a.matches('^[a-z]+$')", { a: "abc" }, true],
    ["self.a.split('-').size() == 2", { a: "a-b" }, true],
    ["quantity(self.a).compareTo(quantity('1Gi')) >= 0", { a: "1024Mi" }, true],
    ["quantity(self.a).isLessThan(quantity('1Gi'))", { a: "2Gi" }, false],
    ["!self.m.exists(k, k in ['port'])", { m: { port: "1" } }, false],
    ["self.l.all(x, x > 0) && self.l.sum() == 6", { l: [1, 2, 3] }, true],
    ["self.l.isSorted()", { l: [2, 1] }, false],
    ["self.a.find('[0-9]+') == '17'", { a: "v17.2" }, true],
    ["!has(self.b) || self.b == 'x'", { a: "1" }, true],
    ["self.?b.orValue('z') == 'z'", {}, true],
    ["isURL(self.a) && url(self.a).getHostname() == 'x'", { a: "https://x:1/y" }, true],
    ["sets.contains(['a', 'b'], ['a'])", {}, true],
    ["self.when < timestamp('2026-01-01T00:00:00Z')", { when: "2025-01-01T00:00:00Z" }, true],
    ["self.a.replace('a', 'b') == 'bb'", { a: "aa" }, true],
    ["duration('1h') > duration('30m')", {}, true],
  ];
  for (const [rule, self, passes] of table) {
    const schema = {
      type: "object",
      properties: {
        a: { type: "string" },
        b: { type: "string" },
        l: { type: "array", items: { type: "integer" } },
        m: { type: "object", additionalProperties: { type: "string" } },
        when: { type: "string", format: "date-time" },
      },
      "x-kubernetes-validations": [{ rule }],
    };
    const errors = validateRules(self, schema);
    assert.equal(errors.length === 0, passes, `${rule}: ${JSON.stringify(errors)}`);
    if (!passes) assert.is(errors[0]?.detail, `failed rule: ${rule}`);
  }
});

test("canonicalQuantity() writes what the server stores", () => {
  const table: Record<string, string> = {
    "1024Mi": "1Gi",
    "1000m": "1",
    "0.5": "500m",
    "1500m": "1500m",
    "1.5Gi": "1536Mi",
    "1000": "1k",
    "0": "0",
    "100000k": "100M",
    "1e3": "1e3",
    "2048": "2048",
  };
  for (const [given, want] of Object.entries(table)) assert.is(canonicalQuantity(given), want, given);
  assert.is(compareQuantity(parseQuantity("1Gi")!, parseQuantity("1G")!), 1);
  assert.is(parseQuantity("abc"), undefined);
});

test("jsonPath() reads what printer columns ask for", () => {
  const root = {
    status: { conditions: [{ type: "Ready", status: "True" }, { type: "Other", status: "False" }] },
    spec: { list: [1, 2, 3], "a.b": "dotted", nested: [{ x: 1 }, { x: 2 }] },
  };
  const table: [path: string, want: unknown[]][] = [
    ['.status.conditions[?(@.type=="Ready")].status', ["True"]],
    [".spec.list[0]", [1]],
    [".spec.list[-1]", [3]],
    [".spec.list[*]", [1, 2, 3]],
    [".spec.list[0:2]", [1, 2]],
    [".spec.a\\.b", ["dotted"]],
    [".spec['a.b']", ["dotted"]],
    [".spec.nested[*].x", [1, 2]],
    [".spec.none.x", []],
    ["..status", [root.status, "True", "False"]],
  ];
  for (const [path, want] of table) assert.equal(jsonPath(path, root), want, path);
});

test.run();
