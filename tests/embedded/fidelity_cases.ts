/**
 * Requests whose answers an operator leans on, one list a subject.
 * @module
 */
import type { Json, Step } from "./fidelity.ts";
import { widgetDefinition } from "./widget.ts";

const merge = "application/merge-patch+json";
const jsonPatch = "application/json-patch+json";
const strategic = "application/strategic-merge-patch+json";
const applyType = "application/apply-patch+yaml";

const get = (path: string): Step => ({ method: "GET", path });
const post = (path: string, body: Json): Step => ({ method: "POST", path, body });
const put = (path: string, body: Json): Step => ({ method: "PUT", path, body });
const patch = (path: string, body: Json, type = merge): Step => ({ method: "PATCH", path, body, type });
const del = (path: string, body?: Json): Step => ({ method: "DELETE", path, ...(body ? { body } : {}) });
const apply = (path: string, body: Json, manager: string, more = ""): Step =>
  patch(`${path}?fieldManager=${manager}${more}`, body, applyType);
/** With the annotation that `kubectl apply` leaves. */
const annotated = (object: Json, lastApplied = `${JSON.stringify(object)}\n`): Json => {
  const annotations = { "kubectl.kubernetes.io/last-applied-configuration": lastApplied };
  return { ...object, metadata: { ...object.metadata, annotations } };
};
const byKubectl = (path: string, object: Json): Step =>
  post(`${path}?fieldManager=kubectl-client-side-apply`, object);
const setup = (step: Step): Step => ({ ...step, isSetup: true });

/** The controller writes the status whenever it gets to it. */
const withoutStatus = (steps: Step[]): Step[] => steps.map((step) => ({ ...step, omit: ["status"] }));

/** What has to be there before the cases: the namespace and the widgets' definition, served and writable. */
export function prepare(ns: string, group: string): Step[] {
  const widgets = `/apis/${group}/v1/namespaces/${ns}/widgets`;
  const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const probe = { apiVersion: `${group}/v1`, kind: "Widget", metadata: { name: "probe" }, spec: { size: 1 } };
  return [
    post("/api/v1/namespaces", { metadata: { name: ns } }),
    post(definitions, widgetDefinition(group)),
    { ...get(widgets), until: { status: 200 } },
    { ...post(`${widgets}?dryRun=All`, probe), until: { status: 201 } },
  ];
}

/** All subjects; `ns` is an empty namespace, `group` that of the widgets. */
export function cases(ns: string, group: string): Record<string, Step[]> {
  const core = `/api/v1/namespaces/${ns}`;
  const maps = `${core}/configmaps`;
  const widgets = `/apis/${group}/v1/namespaces/${ns}/widgets`;
  const sets = `/apis/apps/v1/namespaces/${ns}/statefulsets`;
  const widget = (name: string, spec: Json, more: Json = {}): Json => ({
    apiVersion: `${group}/v1`,
    kind: "Widget",
    metadata: { name, ...more },
    spec,
  });
  const map = (name: string, data: Json, more: Json = {}): Json => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, ...more },
    data,
  });
  const labels = { app: "x" };
  const set = (name: string, more: Json = {}): Json => ({
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name },
    spec: {
      replicas: 0,
      serviceName: name,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          containers: [{
            name: "c",
            image: "localhost/none:1",
            ports: [{ containerPort: 80 }],
            env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
            readinessProbe: { httpGet: { port: 80 } },
            resources: { limits: { cpu: "1000m", memory: "1024Mi" } },
            volumeMounts: [{ name: "data", mountPath: "/d" }, { name: "s", mountPath: "/s" }],
          }],
          volumes: [{ name: "s", secret: { secretName: "s" } }],
        },
      },
      volumeClaimTemplates: [{
        metadata: { name: "data" },
        spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1024Mi" } } },
      }],
      ...more,
    },
  });
  return {
    "create and read": [
      post(maps, map("a", { x: "1" })),
      get(`${maps}/a`),
      post(maps, map("a", { x: "1" })),
      get(`${maps}/none`),
      del(`${maps}/none`),
      post(maps, { ...map("rv", {}), metadata: { name: "rv", resourceVersion: "5" } }),
      post(maps, map("A_b", {})),
      post(maps, { metadata: {} }),
      post(maps, { kind: "Secret", apiVersion: "v1", metadata: { name: "k" } }),
      post(maps, { kind: "ConfigMap", apiVersion: "v2", metadata: { name: "k" } }),
      post(maps, map("elsewhere", {}, { namespace: "default" })),
      post("/api/v1/namespaces/no-such-namespace/configmaps", map("a", {})),
      post(maps, map("badlabel", {}, { labels: { "a b": "c", d: "e f" } })),
      post(maps, map("badkey", { "a b": "c" })),
      post(`${maps}?dryRun=All`, map("dry", { a: "1" })),
      get(`${maps}/dry`),
      post(maps, "{not json"),
    ],
    "update": [
      put(`${maps}/a`, map("a", { x: "2" })),
      put(`${maps}/a`, map("a", { x: "3" }, { resourceVersion: "1" })),
      put(`${maps}/a`, map("b", { x: "3" })),
      put(`${maps}/a`, map("a", { x: "3" }, { uid: "00000000-0000-0000-0000-000000000000" })),
      put(`${maps}/none`, map("none", { x: "3" })),
      put(`${maps}/a`, { ...map("a", { x: "2" }), unknown: 1 }),
      put(`${maps}/a?fieldValidation=Strict`, { ...map("a", { x: "2" }), unknown: 1 }),
      put(`${maps}/a?fieldValidation=Strict`, { ...map("a", { x: 5 }) }),
      put(`${maps}/a`, { ...map("a", { x: "2" }), immutable: true }),
      put(`${maps}/a`, { ...map("a", { x: "4" }), immutable: true }),
      setup(del(`${maps}/a`)),
    ],
    "patches of built-in kinds": [
      post(maps, map("p", { x: "1", y: "2" })),
      patch(`${maps}/p`, { data: { x: null, z: "3" }, metadata: { labels: { l: "1" } } }),
      patch(`${maps}/p`, [{ op: "replace", path: "/data/y", value: "9" }, {
        op: "add",
        path: "/data/n",
        value: "1",
      }], jsonPatch),
      patch(`${maps}/p`, [{ op: "remove", path: "/data/none" }], jsonPatch),
      patch(`${maps}/p`, [{ op: "test", path: "/data/y", value: "0" }], jsonPatch),
      patch(`${maps}/p`, { data: { s: "1" } }, strategic),
      patch(`${maps}/p`, { data: { s: "1" } }, "text/plain"),
      patch(`${maps}/p`, { metadata: { resourceVersion: "1" } }),
      patch(`${maps}/none`, { data: {} }),
      patch(`${maps}/p`, { metadata: { name: "q" } }),
      setup(del(`${maps}/p`)),
    ],
    "server-side apply": [
      apply(`${maps}/s`, map("s", { a: "1", b: "2" }), "one"),
      apply(`${maps}/s`, map("s", { a: "1", b: "2" }), "one"),
      apply(`${maps}/s`, map("s", { b: "3", c: "3" }), "two"),
      apply(`${maps}/s`, map("s", { a: "3", b: "3" }), "two"),
      apply(`${maps}/s`, map("s", { b: "3", c: "3" }), "two", "&force=true"),
      apply(`${maps}/s`, map("s", { a: "1" }), "one"),
      apply(`${maps}/s`, map("s", {}), "two"),
      patch(`${maps}/s?fieldManager=three`, { data: { a: "7", d: "1" } }),
      apply(`${maps}/s`, map("s", { a: "1" }), "one"),
      patch(`${maps}/s`, map("s", { a: "1" }), applyType),
      apply(`${maps}/s`, map("s", { a: "1" }, { managedFields: [] }), "one"),
      apply(`${maps}/other`, map("s", { a: "1" }), "one"),
      apply(`${maps}/s`, map("s", {}, { resourceVersion: "1" }), "one", "&force=true"),
      apply(`${maps}/s`, map("s", { a: "1" }), "x".repeat(129)),
      setup(del(`${maps}/s`)),
    ],
    "kubectl's apply on its own side, then on the server's": [
      byKubectl(maps, annotated(map("l", { a: "1", b: "1" }))),
      apply(`${maps}/l`, map("l", { a: "2" }), "one"),
      apply(`${maps}/l`, map("l", { b: "1", a: "2" }), "kubectl"),
      patch(`${maps}/l?fieldManager=three`, { data: { a: "7" } }),
      apply(`${maps}/l`, map("l", { a: "3" }), "kubectl"),
      apply(
        `${maps}/l`,
        map("l", { a: "3" }, { annotations: { x: "<&>\u2028" }, labels: {} }),
        "kubectl",
        "&force=true",
      ),
      apply(`${maps}/l`, map("l", { a: "4" }), "one", "&force=true"),
      byKubectl(maps, annotated(map("m", { a: "1", b: "1" }))),
      patch(`${maps}/m?fieldManager=three`, { data: { b: "2" } }),
      apply(`${maps}/m`, map("m", { a: "5", b: "5" }), "kubectl"),
      apply(`${maps}/m`, annotated(map("m", { a: "6", b: "2" })), "kubectl"),
      byKubectl(maps, annotated(map("broken", { a: "1" }), "{")),
      apply(`${maps}/broken`, map("broken", { a: "2" }), "kubectl"),
      byKubectl(maps, annotated(map("old", { a: "1" }), '{"apiVersion":"v0","data":{"a":"1"}}')),
      apply(`${maps}/old`, map("old", { a: "2" }), "kubectl"),
      byKubectl(widgets, annotated(widget("l", { size: 1, items: [{ name: "a", note: "n" }], tags: ["x"] }))),
      apply(
        `${widgets}/l`,
        widget("l", { size: 2, items: [{ name: "a", note: "m" }], tags: ["y"] }),
        "kubectl",
      ),
      setup(del(maps)),
      setup(del(`${widgets}/l`)),
    ],
    "apply to custom resources": [
      apply(
        `${widgets}/s`,
        widget("s", {
          size: 1,
          items: [{ name: "a" }, { name: "b", note: "n" }],
          tags: ["x", "y"],
          labels: { k: "v" },
          plain: ["p"],
        }),
        "one",
      ),
      apply(
        `${widgets}/s`,
        widget("s", { size: 2, items: [{ name: "b", note: "m" }, { name: "c" }], tags: ["z"] }),
        "two",
      ),
      apply(
        `${widgets}/s`,
        widget("s", { size: 2, items: [{ name: "b", note: "m" }, { name: "c" }], tags: ["z"] }),
        "two",
        "&force=true",
      ),
      apply(`${widgets}/s`, widget("s", { size: 2, items: [{ name: "a", value: 1 }] }), "one"),
      apply(`${widgets}/s`, widget("s", { size: 2 }), "two"),
      apply(`${widgets}/s`, widget("s", { size: 2, atom: { a: "1" } }), "two"),
      apply(`${widgets}/s`, widget("s", { size: 2, atom: { b: "1" } }), "one"),
      apply(`${widgets}/s/status`, {
        ...widget("s", { size: 9 }),
        status: { phase: "P", conditions: [{ type: "Ready", status: "True" }] },
      }, "ctl"),
      apply(`${widgets}/s/status`, {
        ...widget("s", { size: 9 }),
        status: { conditions: [{ type: "Other", status: "True" }] },
      }, "ctl2"),
      patch(`${widgets}/s/status?fieldManager=m`, {
        status: { conditions: [{ type: "Ready", status: "False" }] },
        spec: { size: 8 },
        metadata: { labels: { a: "b" } },
      }),
      patch(`${widgets}/s/scale?fieldManager=sc`, { spec: { replicas: 5 } }),
      apply(`${widgets}/s`, widget("s", { size: 2 }), "two"),
      apply(`${widgets}/s`, widget("s", { size: 2, items: [{ value: 3 }] }), "two", "&force=true"),
      get(`${widgets}/s`),
      setup(del(`${widgets}/s`)),
    ],
    "apply to a StatefulSet": withoutStatus([
      apply(`${sets}/web`, set("web"), "one"),
      apply(`${sets}/web`, set("web"), "one"),
      apply(`${sets}/web`, set("web", { serviceName: "other" }), "one"),
      apply(`${sets}/web`, set("web", { replicas: 0, updateStrategy: { type: "OnDelete" } }), "one"),
      patch(`${sets}/web?fieldManager=e`, {
        spec: { template: { spec: { containers: [{ name: "c", env: [{ name: "B", value: "1" }] }] } } },
      }, strategic),
      patch(`${sets}/web?fieldManager=e`, {
        spec: {
          template: { spec: { containers: [{ name: "d", image: "x" }], $setElementOrder: undefined } },
        },
      }, strategic),
      get(`${sets}/web/scale`),
      put(`${sets}/web/scale`, {
        apiVersion: "autoscaling/v1",
        kind: "Scale",
        metadata: { name: "web", namespace: ns },
        spec: { replicas: 0 },
      }),
      post(sets, set("bad", { selector: { matchLabels: { app: "y" } } })),
      post(sets, set("bad", { template: { metadata: { labels }, spec: { containers: [] } } })),
      setup(del(`${sets}/web`)),
    ]),
    "custom resources: validation": [
      post(widgets, widget("v", { size: 11 })),
      post(widgets, widget("v", { size: "x" })),
      post(widgets, widget("v", { size: 1.5 })),
      post(widgets, widget("v", {})),
      post(widgets, { apiVersion: `${group}/v1`, kind: "Widget", metadata: { name: "v" } }),
      post(widgets, widget("v", { size: 1, mode: "C" })),
      post(widgets, widget("v", { size: 1, name: "a" })),
      post(widgets, widget("v", { size: 1, name: "abcdef" })),
      post(widgets, widget("v", { size: 1, name: "AB" })),
      post(widgets, widget("v", { size: 1, name: "ABCDEFG", mode: "D" })),
      post(widgets, widget("v", { size: 1, low: 2 })),
      post(widgets, widget("v", { size: 11, low: 12 })),
      post(widgets, widget("v", { size: 1, quantity: "20Gi" })),
      post(widgets, widget("v", { size: 1, quantity: "bad" })),
      post(widgets, widget("v", { size: 1, quantity: 5, port: true })),
      post(widgets, widget("v", { size: 1, ratio: 0 })),
      post(widgets, widget("v", { size: 1, ratio: 0.7 })),
      post(widgets, widget("v", { size: 1, when: "yesterday" })),
      post(widgets, widget("v", { size: 1, labels: { a: "12345678901" } })),
      post(widgets, widget("v", { size: 1, labels: { a: "1", b: "2", c: "3", d: "4" } })),
      post(widgets, widget("v", { size: 1, tags: ["a", "a"] })),
      post(widgets, widget("v", { size: 1, tags: ["a", "b", "c", "d", "e"] })),
      post(widgets, widget("v", { size: 1, items: [{ name: "a" }, { name: "a" }] })),
      post(widgets, widget("v", { size: 1, items: [{}] })),
      post(widgets, widget("v", { size: 1, either: {} })),
      post(widgets, widget("v", { size: 1, either: { x: "1", y: "1" } })),
      post(widgets, widget("v", { size: 1, plain: "no" })),
      post(widgets, widget("v", { size: 1, nested: [] })),
      post(widgets, widget("Bad_Name", { size: 1 })),
      post(widgets, {
        kind: "Gadget",
        apiVersion: `${group}/v1`,
        metadata: { name: "v" },
        spec: { size: 1 },
      }),
      post(widgets, { apiVersion: `${group}/v1`, metadata: { name: "v" }, spec: { size: 1 } }),
    ],
    "custom resources: pruning and defaults": [
      post(
        widgets,
        widget("d", {
          size: 1,
          unknown: 1,
          free: { any: [1, { x: null }] },
          items: [{ name: "a", extra: 1 }],
          maybe: null,
          name: null,
        }),
      ),
      post(
        `${widgets}?fieldValidation=Strict`,
        widget("e", { size: 1, unknown: 1, items: [{ name: "a", extra: 1 }] }),
      ),
      post(`${widgets}?fieldValidation=Ignore`, widget("f", { size: 1, unknown: 1 })),
      post(`${widgets}?fieldValidation=Strict`, {
        ...widget("g", { size: 1 }),
        metadata: { name: "g", foo: "x" },
      }),
      patch(`${widgets}/d`, { spec: { nested: null } }),
      patch(`${widgets}/d`, { spec: { fixed: "a" } }),
      patch(`${widgets}/d`, { spec: { fixed: "b" } }),
      patch(`${widgets}/d`, { spec: { fixed: null } }),
      patch(`${widgets}/d`, { metadata: { labels: { a: "b" } }, status: { phase: "no" } }),
      patch(`${widgets}/d/status`, { status: { phase: "yes", unknown: 1 } }),
      patch(`${widgets}/d/status`, { status: { phase: 5 } }),
      patch(`${widgets}/d`, { spec: { size: 3 } }, strategic),
      put(`${widgets}/d`, widget("d", { size: 4 })),
      patch(`${widgets}/d`, { metadata: { annotations: { x: "y" } } }),
      get(`${widgets}/d/scale`),
      patch(`${widgets}/d/scale`, { spec: { replicas: 30 } }),
      patch(`${widgets}/d/scale`, { spec: { replicas: -1 } }),
      get(`${widgets}/d/unknown`),
      get(`${widgets}?fieldSelector=spec.mode%3DA`),
      get(`${widgets}?fieldSelector=spec.mode%3DB`),
      get(`${widgets}?fieldSelector=spec.size%3D1`),
      {
        method: "GET",
        path: widgets,
        accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
      },
      {
        method: "GET",
        path: `${widgets}/d`,
        accept: "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
      },
      del(widgets),
    ],
    "deletion": [
      post(maps, map("x", {}, { finalizers: ["example.com/hold"] })),
      del(`${maps}/x`, { preconditions: { uid: "00000000-0000-0000-0000-000000000000" } }),
      del(`${maps}/x`, { preconditions: { resourceVersion: "1" } }),
      del(`${maps}/x`, { propagationPolicy: "Sideways" }),
      del(`${maps}/x`),
      del(`${maps}/x`),
      patch(`${maps}/x`, { metadata: { finalizers: ["example.com/hold", "example.com/more"] } }),
      patch(`${maps}/x`, { metadata: { deletionTimestamp: null } }),
      patch(`${maps}/x`, { metadata: { finalizers: null } }),
      get(`${maps}/x`),
      post(widgets, widget("x", { size: 1 }, { finalizers: ["example.com/hold"] })),
      del(`${widgets}/x`),
      put(`${widgets}/x`, widget("x", { size: 1 })),
      patch(`${widgets}/x`, { metadata: { finalizers: [] } }),
      get(`${widgets}/x`),
      post(maps, map("plain", {})),
      del(`${maps}/plain?dryRun=All`),
      del(`${maps}/plain`),
    ],
    "lists": [
      ...["l1", "l2", "l3"].map((name) =>
        setup(post(maps, map(name, {}, { labels: { l: name, all: "yes" } })))
      ),
      get(`${maps}?labelSelector=all%3Dyes`),
      get(`${maps}?labelSelector=l+in+(l1,l3)`),
      get(`${maps}?labelSelector=all%3Dyes,l!%3Dl1`),
      get(`${maps}?labelSelector=all,!l`),
      get(`${maps}?fieldSelector=metadata.name%3Dl2`),
      get(`${maps}?fieldSelector=data.x%3Dl2`),
      get(`${maps}?labelSelector=%3D%3D`),
      get(`${maps}?labelSelector=all%3Dyes&limit=2`),
      get(`${maps}?resourceVersion=99999999999`),
      get(`${maps}?resourceVersion=abc`),
      get(`${maps}?continue=abc`),
      get(`${maps}?resourceVersionMatch=Exact`),
      {
        method: "GET",
        path: `${maps}?labelSelector=all%3Dyes`,
        accept: "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
      },
      get(`${core}/nothings`),
      get("/apis/no.such.group/v1/things"),
      get(`/apis/${group}/v1`),
      get(`/apis/${group}`),
      { method: "PUT", path: maps, body: {} },
      { method: "POST", path: `${maps}/l1`, body: {} },
      del(`${maps}?labelSelector=all%3Dyes`),
    ],
    "other built-in kinds": [
      post(`${core}/services`, {
        metadata: { name: "svc" },
        spec: { selector: { a: "b" }, ports: [{ port: 80 }] },
      }),
      post(`${core}/services`, {
        metadata: { name: "headless" },
        spec: { clusterIP: "None", ports: [{ port: 80, name: "a" }] },
      }),
      post(`${core}/services`, { metadata: { name: "2bad" }, spec: { ports: [{ port: 80 }] } }),
      patch(`${core}/services/svc`, { spec: { clusterIP: "10.0.0.250" } }),
      post(`${core}/secrets`, { metadata: { name: "sec" }, stringData: { a: "b" }, data: { c: "ZA==" } }),
      patch(`${core}/secrets/sec`, { type: "other" }),
      post(`${core}/persistentvolumeclaims`, {
        metadata: { name: "pvc" },
        spec: {
          accessModes: ["ReadWriteOnce"],
          storageClassName: "none",
          resources: { requests: { storage: "1Gi" } },
        },
      }),
      patch(`${core}/persistentvolumeclaims/pvc`, { spec: { accessModes: ["ReadWriteMany"] } }),
      patch(`${core}/persistentvolumeclaims/pvc`, { spec: { resources: { requests: { storage: "2Gi" } } } }),
      post(`/apis/policy/v1/namespaces/${ns}/poddisruptionbudgets`, {
        metadata: { name: "pdb" },
        spec: { maxUnavailable: 1, selector: { matchLabels: labels } },
      }),
      apply(`/apis/policy/v1/namespaces/${ns}/poddisruptionbudgets/pdb2`, {
        apiVersion: "policy/v1",
        kind: "PodDisruptionBudget",
        metadata: { name: "pdb2" },
        spec: { maxUnavailable: 1, selector: { matchLabels: labels } },
      }, "one"),
      post(`/apis/rbac.authorization.k8s.io/v1/namespaces/${ns}/roles`, {
        metadata: { name: "r" },
        rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }],
      }),
      post(`/apis/rbac.authorization.k8s.io/v1/namespaces/${ns}/rolebindings`, {
        metadata: { name: "rb" },
        roleRef: { kind: "Role", name: "r", apiGroup: "rbac.authorization.k8s.io" },
        subjects: [{ kind: "ServiceAccount", name: "default", namespace: ns }],
      }),
      patch(`/apis/rbac.authorization.k8s.io/v1/namespaces/${ns}/rolebindings/rb`, {
        roleRef: { name: "q" },
      }),
      post(`/apis/coordination.k8s.io/v1/namespaces/${ns}/leases`, {
        metadata: { name: "l" },
        spec: { holderIdentity: "me", leaseDurationSeconds: 15, acquireTime: "2026-01-01T00:00:00.000000Z" },
      }),
      post(`/apis/coordination.k8s.io/v1/namespaces/${ns}/leases`, {
        metadata: { name: "l2" },
        spec: { leaseDurationSeconds: 0 },
      }),
      put(`/apis/coordination.k8s.io/v1/namespaces/${ns}/leases/l`, {
        metadata: { name: "l" },
        spec: { holderIdentity: "you" },
      }),
      post(`/apis/batch/v1/namespaces/${ns}/cronjobs`, {
        metadata: { name: "cj" },
        spec: {
          schedule: "0 0 1 1 *",
          suspend: true,
          jobTemplate: {
            spec: {
              template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "x:1" }] } },
            },
          },
        },
      }),
      post(`/apis/networking.k8s.io/v1/namespaces/${ns}/networkpolicies`, {
        metadata: { name: "np" },
        spec: { podSelector: {}, ingress: [{ ports: [{ port: 80 }] }] },
      }),
      post(`/apis/events.k8s.io/v1/namespaces/${ns}/events`, {
        metadata: { name: "ev" },
        regarding: { kind: "ConfigMap", name: "a", namespace: ns, apiVersion: "v1" },
        reason: "Testing",
        type: "Normal",
        note: "hello",
        action: "Test",
        eventTime: "2026-01-01T00:00:00.000000Z",
        reportingController: "fidelity",
        reportingInstance: "one",
      }),
      get(`${core}/events/ev`),
      post(`${core}/serviceaccounts`, { metadata: { name: "sa" }, automountServiceAccountToken: false }),
    ],
    "watches": [
      { ...setup(get(maps)), save: { rv: "metadata.resourceVersion" } },
      setup(post(maps, map("w1", { a: "1" }, { labels: { w: "1" } }))),
      setup(post(maps, map("w2", { a: "1" }, { labels: { w: "2" } }))),
      setup(patch(`${maps}/w1`, { metadata: { labels: { w: "2" } } })),
      setup(patch(`${maps}/w2`, { metadata: { labels: { w: "1" } } })),
      setup(patch(`${maps}/w2`, { data: { a: "2" } })),
      setup(patch(`${maps}/w2`, { data: { a: "2" } })),
      setup(del(`${maps}/w1`)),
      setup(del(`${maps}/w2`)),
      get(`${maps}?watch=true&resourceVersion={rv}&timeoutSeconds=1`),
      get(`${maps}?watch=true&resourceVersion={rv}&timeoutSeconds=1&labelSelector=w%3D1`),
      get(`${maps}?watch=true&resourceVersion={rv}&timeoutSeconds=1&fieldSelector=metadata.name%3Dw2`),
      get(`${maps}/w2?watch=true&resourceVersion={rv}&timeoutSeconds=1`),
      get(
        `${widgets}?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
      ),
      get(`${widgets}?watch=true&timeoutSeconds=1&sendInitialEvents=true`),
      get(`${widgets}?watch=true&resourceVersion=x`),
      {
        ...get(`${maps}?watch=true&resourceVersion={rv}&timeoutSeconds=1&labelSelector=w%3D1`),
        accept: "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
      },
    ],
    "pages": [
      ...["p1", "p2", "p3", "p4", "p5"].map((name) =>
        setup(post(maps, map(name, {}, { labels: { page: "1" } })))
      ),
      {
        ...get(`${maps}?limit=2&labelSelector=page`),
        save: { token: "metadata.continue", rv: "metadata.resourceVersion" },
      },
      setup(del(`${maps}/p4`)),
      setup(patch(`${maps}/p3`, { data: { late: "1" } })),
      { ...get(`${maps}?limit=2&labelSelector=page&continue={token}`), save: { token: "metadata.continue" } },
      get(`${maps}?limit=2&labelSelector=page&continue={token}`),
      get(`${maps}?labelSelector=page&resourceVersion={rv}&resourceVersionMatch=Exact`),
      get(`${maps}?labelSelector=page&resourceVersion={rv}&resourceVersionMatch=NotOlderThan`),
      get(`${maps}?continue={token}&resourceVersion={rv}`),
      del(`${maps}?labelSelector=page`),
    ],
    "garbage collection": [
      { ...setup(post(maps, map("owner", {}))), save: { uid: "metadata.uid" } },
      setup(post(
        maps,
        map("child", {}, {
          ownerReferences: [{
            apiVersion: "v1",
            kind: "ConfigMap",
            name: "owner",
            uid: "{uid}",
            blockOwnerDeletion: true,
          }],
        }),
      )),
      setup(post(
        maps,
        map("held", {}, {
          finalizers: ["example.com/hold"],
          ownerReferences: [{
            apiVersion: "v1",
            kind: "ConfigMap",
            name: "owner",
            uid: "{uid}",
            blockOwnerDeletion: true,
          }],
        }),
      )),
      del(`${maps}/owner`, { propagationPolicy: "Foreground" }),
      { ...get(`${maps}/child`), until: { status: 404 } },
      get(`${maps}/owner`),
      patch(`${maps}/held`, { metadata: { finalizers: null } }),
      { ...get(`${maps}/owner`), until: { status: 404 } },
      { ...setup(post(maps, map("owner", {}))), save: { uid: "metadata.uid" } },
      setup(
        post(
          maps,
          map("child", {}, {
            ownerReferences: [{ apiVersion: "v1", kind: "ConfigMap", name: "owner", uid: "{uid}" }],
          }),
        ),
      ),
      del(`${maps}/owner`, { propagationPolicy: "Orphan" }),
      { ...get(`${maps}/owner`), until: { status: 404 } },
      get(`${maps}/child`),
      del(`${maps}/child`),
      setup(post(
        maps,
        map("child", {}, {
          ownerReferences: [{
            apiVersion: "v1",
            kind: "ConfigMap",
            name: "never",
            uid: "00000000-0000-0000-0000-000000000000",
          }],
        }),
      )),
      { ...get(`${maps}/child`), until: { status: 404 } },
    ],
    "namespace deletion": [
      setup(post("/api/v1/namespaces", { metadata: { name: `${ns}-x` } })),
      setup(
        post(`/api/v1/namespaces/${ns}-x/configmaps`, map("held", {}, { finalizers: ["example.com/hold"] })),
      ),
      setup(post(`/api/v1/namespaces/${ns}-x/configmaps`, map("free", {}))),
      del(`/api/v1/namespaces/${ns}-x`),
      post(`/api/v1/namespaces/${ns}-x/configmaps`, map("late", {})),
      { ...get(`/api/v1/namespaces/${ns}-x/configmaps/free`), until: { status: 404 } },
      patch(`/api/v1/namespaces/${ns}-x/configmaps/held`, { metadata: { finalizers: null } }),
      { ...get(`/api/v1/namespaces/${ns}-x`), until: { status: 404 } },
    ],
    "the StatefulSet controller": [
      setup(post(`${core}/serviceaccounts`, { metadata: { name: "default" } })),
      { ...setup(get(`${core}/serviceaccounts/default`)), until: { status: 200 } },
      setup(post(sets, {
        apiVersion: "apps/v1",
        kind: "StatefulSet",
        metadata: { name: "db", labels: { l: "m" } },
        spec: {
          replicas: 2,
          podManagementPolicy: "Parallel",
          serviceName: "db-pods",
          updateStrategy: { type: "OnDelete" },
          selector: { matchLabels: { app: "db" } },
          template: {
            metadata: { labels: { app: "db", more: "x" }, annotations: { a: "b" } },
            spec: {
              automountServiceAccountToken: false,
              terminationGracePeriodSeconds: 5,
              containers: [{
                name: "c",
                image: "localhost/none:1",
                resources: { limits: { memory: "64Mi" } },
                volumeMounts: [{ name: "data", mountPath: "/d" }],
              }],
              volumes: [{ name: "tmp", emptyDir: {} }],
            },
          },
          volumeClaimTemplates: [{
            metadata: { name: "data", labels: { claim: "yes" } },
            spec: {
              accessModes: ["ReadWriteOnce"],
              storageClassName: "none",
              resources: { requests: { storage: "1Gi" } },
            },
          }],
        },
      })),
      { ...get(`${sets}/db`), until: { path: "status.replicas", value: 2 } },
      get(`${core}/pods/db-0`),
      get(`${core}/persistentvolumeclaims/data-db-1`),
      get(`${sets}/db/scale`),
      setup(patch(`${sets}/db`, { spec: { template: { metadata: { annotations: { a: "c" } } } } })),
      { ...get(`${sets}/db`), until: { path: "status.observedGeneration", value: 2 } },
      setup(del(`${core}/pods/db-1`)),
      { ...get(`${sets}/db`), until: { path: "status.updatedReplicas", value: 1 } },
      setup(patch(`${sets}/db`, { spec: { replicas: 1 } })),
      { ...get(`${sets}/db`), until: { path: "status.replicas", value: 1 } },
      { ...get(`${core}/pods/db-1`), until: { status: 404 } },
      get(`${core}/persistentvolumeclaims/data-db-1`),
      del(`${sets}/db`, { propagationPolicy: "Background" }),
      { ...get(`${core}/pods/db-0`), until: { status: 404 } },
    ],
    "definitions": [
      get(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.${group}`),
      post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        ...widgetDefinition(group),
        metadata: { name: "wrong" },
      }),
      patch(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.${group}`, {
        spec: { scope: "Nowhere" },
      }),
    ],
  };
}
