/**
 * Names: legal, and each given once.
 * @module
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { constantName, Names, pascalCase, typeName } from "../../codegen/names.ts";

test("pascalCase() joins the words of anything into one", () => {
  const cases: [string, string][] = [
    ["storage", "Storage"],
    ["foo-bar.baz", "FooBarBaz"],
    ["foo_bar", "FooBar"],
    ["cert-manager.io-v1", "CertManagerIoV1"],
    ["$ref", "Ref"],
    ["__proto__", "Proto"],
    ["日本", "日本"],
    ["😀", "U1f600"],
    ["", "Empty"],
    ["1", "1"],
  ];
  for (const [given, want] of cases) assert.is(pascalCase(given), want, given);
});

test("typeName() is the kind wherever TypeScript can say it", () => {
  const cases: [string, string][] = [["Database", "Database"], ["string", "String"], ["class", "Class"], [
    "my-kind",
    "MyKind",
  ], ["Promise", "Promise"]];
  for (const [given, want] of cases) assert.is(typeName(given), want, given);
});

test("constantName() is the plural with the kind's capitals", () => {
  const cases: [kind: string, plural: string, want: string][] = [
    ["Database", "databases", "databases"],
    ["ConfigMap", "configmaps", "configMaps"],
    ["NetworkPolicy", "networkpolicies", "networkPolicies"],
    ["HTTPRoute", "httproutes", "httpRoutes"],
    ["Endpoints", "endpoints", "endpoints"],
    ["PodMetrics", "pods", "pods"],
    ["CRD", "crds", "crds"],
    ["Class", "class", "classResource"],
    ["Odd", "my-odds", "myOdds"],
  ];
  for (const [kind, plural, want] of cases) assert.is(constantName(kind, plural), want, plural);
});

test("Names gives each name once, and no reserved word", () => {
  const names = new Names();
  assert.equal([names.take("A"), names.take("A"), names.take("A"), names.take("default")], [
    "A",
    "A2",
    "A3",
    "default2",
  ]);
});

test.run();
