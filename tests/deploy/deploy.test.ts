import { readdirSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseAllDocuments } from "yaml";
import { desiredRole } from "../../postgres/rbac.ts";

interface Rule {
  apiGroups: string[];
  resources: string[];
  resourceNames?: string[];
  verbs: string[];
}
interface Manifest {
  kind: string;
  metadata: { name: string; namespace?: string };
  rules?: Rule[];
  // deno-lint-ignore no-explicit-any
  spec?: any;
}

const folder = new URL("../../deploy/", import.meta.url);
const read = (file: string) => readFileSync(new URL(file, folder), "utf8");
const documents = readdirSync(folder).filter((file) =>
  file.endsWith(".yaml") && file !== "kustomization.yaml"
)
  .flatMap((file) => parseAllDocuments(read(file)).map((document) => document.toJS() as Manifest));
const named = (kind: string, name = "database-operator") => {
  const found = documents.find((document) => document.kind === kind && document.metadata.name === name);
  if (!found) throw new Error(`deploy/ has no ${kind} "${name}"`);
  return found;
};
const clusterRules = named("ClusterRole").rules ?? [];

test("deploy/crd.yaml is crd.yaml: kustomize reads no file outside its folder (cp crd.yaml deploy/crd.yaml)", () => {
  assert.is(read("crd.yaml"), read("../crd.yaml"));
});

test("kustomization.yaml lists every manifest", () => {
  const listed =
    (parseAllDocuments(read("kustomization.yaml"))[0]!.toJS() as { resources: string[] }).resources;
  const files = readdirSync(folder).filter((file) => file.endsWith(".yaml") && file !== "kustomization.yaml");
  assert.equal(listed.toSorted(), files.toSorted());
});

test("examples/one-namespace makes Roles of all that is the cluster's, and watches its own namespace", () => {
  const { patches } = parseAllDocuments(read("../examples/one-namespace/kustomization.yaml"))[0]!.toJS() as {
    patches: { target: { kind: string; name: string }; patch: string }[];
  };
  const wide = documents.filter(({ kind }) => kind.startsWith("Cluster")).map(({ kind, metadata }) =>
    `${kind} ${metadata.name}`
  );
  const narrowed = patches.map(({ target }) => `${target.kind} ${target.name}`);
  for (const one of wide) assert.ok(narrowed.includes(one), one);
  const [, watched] = named("Deployment").spec.template.spec.containers[0].env;
  assert.is(watched.name, "WATCH_NAMESPACE", "the patch replaces the second variable");
});

test("examples/some-namespaces grants a Role in each namespace that the operator watches, and nothing in all", () => {
  interface Kustomization {
    namespace?: string;
    resources: string[];
    patches: { target?: { kind?: string; name?: string }; patch: string }[];
  }
  const kustomization = (path: string) =>
    parseAllDocuments(read(`../examples/some-namespaces/${path}kustomization.yaml`))[0]!
      .toJS() as Kustomization;
  const [home, ...namespaces] = kustomization("").resources;
  const operator = kustomization(`${home}/`);
  const watched = operator.patches.find(({ target }) => target?.kind === "Deployment")!.patch;
  assert.match(watched, new RegExp(`env/1,.* WATCH_NAMESPACE, value: "${namespaces.join()}"`));
  const wide = documents.filter(({ kind }) => kind.startsWith("Cluster")).map(({ kind }) => kind);
  for (const kind of wide) {
    assert.ok(
      operator.patches.some(({ patch }) => new RegExp(`patch: delete.* kind: ${kind},`).test(patch)),
      kind,
    );
  }
  for (const namespace of namespaces) {
    const { namespace: own, resources } = kustomization(`${namespace}/`);
    assert.equal([own, resources], [namespace, ["../rights", "namespace.yaml"]]);
  }
  // Everything else of deploy/ is left out there: what is the cluster's becomes a Role, the rest is not a right.
  const { patches } = kustomization("rights/");
  const left = documents.filter(({ kind, metadata }) =>
    !patches.some(({ target }) =>
      new RegExp(`^${target?.kind ?? ".*"}$`).test(kind) && (target?.name ?? metadata.name) === metadata.name
    )
  );
  assert.equal(left.map(({ kind, metadata }) => `${kind} ${metadata.name}`), []);
});

test("the operator may not list or watch Secrets", () => {
  const verbs = clusterRules.filter(({ resources }) => resources.includes("secrets")).flatMap(({ verbs }) =>
    verbs
  );
  assert.equal(verbs.toSorted(), ["create", "delete", "get", "patch"]);
});

test("no rule uses a wildcard, and no rule lets the operator raise its own rights", () => {
  for (const { apiGroups, resources, verbs } of documents.flatMap(({ rules }) => rules ?? [])) {
    assert.not.ok([...apiGroups, ...resources, ...verbs].some((word) => word.includes("*")));
    assert.not.ok(
      verbs.some((verb) => ["escalate", "bind", "impersonate", "deletecollection"].includes(verb)),
    );
  }
});

test("the operator holds everything that it grants to members: Kubernetes refuses the grant otherwise", () => {
  const { rules } = desiredRole({
    metadata: { name: "orders", namespace: "shop" },
    spec: { size: 3, version: "17" },
  }, []);
  for (const granted of rules) {
    for (const resource of granted.resources) {
      for (const verb of granted.verbs) {
        const held = clusterRules.some((rule) =>
          rule.resources.includes(resource) && rule.verbs.includes(verb) && rule.apiGroups.includes("")
        );
        assert.ok(held, `${verb} ${resource}`);
      }
    }
  }
});

test("leader election is one Lease, in the operator's own namespace", () => {
  assert.equal(named("Role", "database-operator-leader-election").rules, [
    { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["create"] },
    {
      apiGroups: ["coordination.k8s.io"],
      resources: ["leases"],
      resourceNames: ["database-operator"],
      verbs: ["get", "update"],
    },
  ]);
});

test("Deno gets its permissions by name: none is given whole, none beyond net, read, env and sys", () => {
  const { command, args } = named("Deployment").spec.template.spec.containers[0] as Record<string, string[]>;
  const words = [...command![2]!.split(/\s/), ...args!];
  const allowed = words.filter((word) => word.startsWith("--allow"));
  assert.equal(allowed.map((word) => word.split("=")[0]), [
    "--allow-net",
    "--allow-read",
    "--allow-env",
    "--allow-sys",
  ]);
  for (const word of allowed) assert.ok((word.split("=")[1] ?? "").length > 0, word);
  assert.not.ok(words.includes("-A"));
  for (const flag of ["--no-prompt", "--cached-only", "--no-remote"]) assert.ok(words.includes(flag), flag);
});

test("every variable of the container that the operator reads is one that Deno lets it read", () => {
  const { args, env } = named("Deployment").spec.template.spec.containers[0] as {
    args: string[];
    env: { name: string }[];
  };
  const readable = args.find((word) => word.startsWith("--allow-env="))!.split("=")[1]!.split(",");
  // The others are read by Deno and by its C library.
  for (const { name } of env.filter(({ name }) => !/^(DENO|MALLOC)_/.test(name))) {
    assert.ok(readable.includes(name), name);
  }
});

test("the operator's pod passes the Pod Security level restricted, with a read-only root", () => {
  const { securityContext, containers } = named("Deployment").spec.template.spec;
  assert.is(securityContext.runAsNonRoot, true);
  assert.equal(securityContext.seccompProfile, { type: "RuntimeDefault" });
  assert.equal(containers[0].securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  });
});

test("the Dockerfiles and the pods agree on users", () => {
  assert.ok(
    read("images/operator/Dockerfile").includes(
      `USER ${named("Deployment").spec.template.spec.securityContext.runAsUser}:`,
    ),
  );
  assert.ok(read("images/database/Dockerfile").includes("USER 100:102"));
});

test.run();
