/**
 * A simulated node: pods are scheduled, start, become ready, and end when they are deleted.
 *
 * An image whose name contains `does-not-exist` cannot be pulled; a pod whose claims are not bound
 * stays Pending; pods that may end (restartPolicy other than Always) succeed after a while, or fail
 * when they carry the annotation `embedded.example.com/fails: "true"`.
 * @module
 */
import type { Backend } from "./backend.ts";
import { claimsOf } from "./controllers/claims.ts";
import { Loop } from "./controllers/loop.ts";
import { Writes } from "./controllers/writes.ts";
import type { Change } from "./storage.ts";
import type { Json, KubeObject } from "./types.ts";

/** How fast the node is; milliseconds. */
export interface NodeDelays {
  /** From creation to being scheduled; default 20. */
  scheduleMs: number;
  /** From being scheduled to running containers; default 300. */
  startMs: number;
  /** From running to ready; default 200. */
  readyMs: number;
  /** From deletion to being gone; default 300. */
  stopMs: number;
  /** How long a pod that may end runs; default 500. */
  runMs: number;
}

/** Whether the application in the pod is ready; undefined: as soon as it has run for readyMs. */
export type Readiness = (pod: KubeObject) => boolean | undefined;

/** How the program of a pod that may end has ended, if not simply well. */
export type Ending = (pod: KubeObject) => { exitCode: number; message: string } | undefined;

const pods = "/pods";
const name = "embedded-node";

export class NodeSimulator {
  readonly #backend: Backend;
  readonly #scheduler: Writes;
  readonly #kubelet: Writes;
  readonly #loop: Loop;
  readonly #delays: NodeDelays;
  readonly #readiness: Readiness;
  readonly #ending: Ending;
  #addresses = 0;
  /** When each pod was scheduled, started running, began to stop: objects only hold whole seconds. */
  readonly #times = new Map<
    string,
    { scheduledMs?: number; startedMs?: number; stoppedMs?: number; pulledMs?: number }
  >();

  constructor(backend: Backend, delays: NodeDelays, readiness: Readiness, ending: Ending = () => undefined) {
    this.#backend = backend;
    this.#scheduler = new Writes(backend, "kube-scheduler");
    this.#kubelet = new Writes(backend, "kubelet");
    this.#delays = delays;
    this.#readiness = readiness;
    this.#ending = ending;
    this.#loop = new Loop(backend.clock, delays.scheduleMs, (key) => this.#reconcile(key));
  }

  /** Registers the node. */
  start(): void {
    const time = this.#backend.time;
    const capacity = { cpu: "8", memory: "32Gi", pods: "110" };
    const node = this.#kubelet.create("/nodes", {
      metadata: { name, labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" } },
    });
    this.#kubelet.status("/nodes", node, {
      capacity,
      allocatable: capacity,
      addresses: [{ type: "InternalIP", address: "192.0.2.1" }, { type: "Hostname", address: name }],
      conditions: [{
        type: "Ready",
        status: "True",
        lastHeartbeatTime: time,
        lastTransitionTime: time,
        reason: "KubeletReady",
        message: "the node is simulated",
      }],
      nodeInfo: {
        architecture: "amd64",
        bootID: "",
        containerRuntimeVersion: "embedded://1",
        kernelVersion: "",
        kubeProxyVersion: "",
        kubeletVersion: "v1.36.3-embedded",
        machineID: "",
        operatingSystem: "linux",
        osImage: "none",
        systemUUID: "",
      },
    });
  }

  see({ table, type, object }: Change): void {
    const { namespace } = object.metadata;
    if (table === pods && type === "DELETED") this.#times.delete(object.metadata.uid);
    else if (table === pods) {
      this.#loop.add(`${namespace}/${object.metadata.name}`, type === "ADDED" ? undefined : 0);
    } else if (table === "/persistentvolumeclaims" && type === "MODIFIED") {
      for (const pod of this.#backend.list("", "pods", namespace)) {
        if (!pod.spec.nodeName && claimsOf(pod).includes(object.metadata.name)) {
          this.#loop.add(`${namespace}/${pod.metadata.name}`);
        }
      }
    }
  }

  close(): void {
    this.#loop.close();
  }

  /** Have `ms` passed since the pod got to this point? If not, it gets another turn when they have. */
  #hasPassed(
    pod: KubeObject,
    point: "scheduledMs" | "startedMs" | "stoppedMs" | "pulledMs",
    ms: number,
  ): boolean {
    const { uid, namespace, name: podName } = pod.metadata;
    let times = this.#times.get(uid);
    if (!times) this.#times.set(uid, times = {});
    const now = this.#backend.clock.now();
    const left = (times[point] ??= now) + ms - now;
    if (left > 0) this.#loop.add(`${namespace}/${podName}`, left);
    return left <= 0;
  }

  #reconcile(key: string): void {
    const [namespace = "", podName = ""] = key.split("/");
    const pod = this.#backend.storage.get(pods, namespace, podName);
    if (!pod) return;
    if (pod.metadata.deletionTimestamp) return this.#stop(pod);
    if (!pod.spec.nodeName) return this.#schedule(pod);
    if (["Succeeded", "Failed"].includes(pod.status?.phase)) return;
    if (pod.status?.phase === "Pending") return this.#start(pod);
    if (pod.status?.phase === "Running") this.#run(pod);
  }

  #schedule(pod: KubeObject): void {
    const missing = claimsOf(pod).filter((claim) =>
      this.#backend.get("", "persistentvolumeclaims", pod.metadata.namespace, claim)?.status?.phase !==
        "Bound"
    );
    if (missing.length > 0) {
      const message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
      return this.#setConditions(pod, [
        this.#condition(pod, "PodScheduled", "False", "Unschedulable", message),
      ]);
    }
    this.#scheduler.change(pods, pod, (next) => void (next.spec.nodeName = name));
    const bound = this.#backend.storage.get(pods, pod.metadata.namespace, pod.metadata.name);
    if (bound) this.#setConditions(bound, [this.#condition(pod, "PodScheduled", "True")]);
  }

  #start(pod: KubeObject): void {
    if (!this.#hasPassed(pod, "scheduledMs", this.#delays.startMs)) return;
    const isBad = (container: Json) => /does-not-exist/.test(container.image);
    const bad = [...pod.spec.initContainers ?? [], ...pod.spec.containers].filter(isBad);
    if (bad.length > 0) return this.#cannotPull(pod, bad.map((container: Json) => container.name));
    const time = this.#backend.time;
    const podIP = pod.status?.podIP ?? this.#address();
    const running = (container: Json) => ({
      ...this.#container(container, { running: { startedAt: time } }),
      started: true,
    });
    this.#kubelet.status(pods, pod, {
      ...pod.status,
      observedGeneration: pod.metadata.generation,
      phase: "Running",
      hostIP: "192.0.2.1",
      hostIPs: [{ ip: "192.0.2.1" }],
      podIP,
      podIPs: [{ ip: podIP }],
      startTime: time,
      conditions: this.#conditions(pod, false),
      ...(pod.spec.initContainers?.length
        ? {
          initContainerStatuses: pod.spec.initContainers.map((container: Json) => ({
            ...this.#container(container, {
              terminated: { exitCode: 0, reason: "Completed", startedAt: time, finishedAt: time },
            }),
            ready: true,
            started: false,
          })),
        }
        : {}),
      containerStatuses: pod.spec.containers.map(running),
    });
  }

  #container(container: Json, state: Json): Json {
    return {
      name: container.name,
      image: container.image,
      imageID: state.waiting ? "" : `embedded://${container.image}`,
      ready: false,
      restartCount: 0,
      started: false,
      state,
      lastState: {},
      ...(state.waiting ? {} : { containerID: `embedded://${container.name}` }),
    };
  }

  #cannotPull(pod: KubeObject, names: string[]): void {
    const before = pod.status?.containerStatuses?.find((one: Json) => one.state?.waiting)?.state.waiting
      .reason;
    if (before && !this.#hasPassed(pod, "pulledMs", this.#delays.startMs)) return;
    const reason = before === "ErrImagePull" ? "ImagePullBackOff" : before ?? "ErrImagePull";
    const statuses = (list: Json[] | undefined) =>
      (list ?? []).map((container) => {
        const message = reason === "ErrImagePull"
          ? `failed to pull and unpack image "${container.image}": not found`
          : `Back-off pulling image "${container.image}"`;
        const waiting = names.includes(container.name)
          ? { reason, message }
          : { reason: "ContainerCreating" };
        return this.#container(container, { waiting });
      });
    const podIP = pod.status?.podIP ?? this.#address();
    this.#kubelet.status(pods, pod, {
      ...pod.status,
      hostIP: "192.0.2.1",
      hostIPs: [{ ip: "192.0.2.1" }],
      podIP,
      podIPs: [{ ip: podIP }],
      startTime: pod.status?.startTime ?? this.#backend.time,
      conditions: this.#conditions(pod, false),
      ...(pod.spec.initContainers?.length
        ? { initContainerStatuses: statuses(pod.spec.initContainers) }
        : {}),
      containerStatuses: statuses(pod.spec.containers),
    });
  }

  #run(pod: KubeObject): void {
    if (pod.spec.restartPolicy !== "Always" && !isService(pod)) return this.#finish(pod);
    const isReady = this.#readiness(pod) ?? this.#hasPassed(pod, "startedMs", this.#delays.readyMs);
    this.#kubelet.status(pods, pod, {
      ...pod.status,
      conditions: this.#conditions(pod, isReady),
      containerStatuses: pod.status.containerStatuses.map((one: Json) => ({ ...one, ready: isReady })),
    });
  }

  #finish(pod: KubeObject): void {
    if (!this.#hasPassed(pod, "startedMs", this.#delays.runMs)) return;
    const ending = this.#ending(pod);
    const hasFailed = pod.metadata.annotations?.["embedded.example.com/fails"] === "true" ||
      (ending?.exitCode ?? 0) !== 0;
    const time = this.#backend.time;
    const terminated = {
      exitCode: hasFailed ? ending?.exitCode || 1 : 0,
      ...(ending ? { message: ending.message } : {}),
      reason: hasFailed ? "Error" : "Completed",
      startedAt: pod.status.startTime,
      finishedAt: time,
    };
    this.#kubelet.status(pods, pod, {
      ...pod.status,
      phase: hasFailed ? "Failed" : "Succeeded",
      conditions: this.#conditions(pod, false),
      containerStatuses: pod.status.containerStatuses.map((one: Json) => ({
        ...one,
        ready: false,
        started: false,
        state: { terminated },
      })),
    });
  }

  #stop(pod: KubeObject): void {
    if (!this.#hasPassed(pod, "stoppedMs", this.#delays.stopMs)) return;
    this.#kubelet.delete(pods, pod, { gracePeriodSeconds: 0 });
  }

  #conditions(pod: KubeObject, isReady: boolean): Json[] {
    const ready = isReady ? "True" : "False";
    const reason = isReady ? undefined : "ContainersNotReady";
    const message = isReady
      ? undefined
      : `containers with unready status: [${pod.spec.containers.map((one: Json) => one.name).join(" ")}]`;
    return [
      this.#condition(pod, "PodReadyToStartContainers", "True"),
      this.#condition(pod, "Initialized", "True"),
      this.#condition(pod, "Ready", ready, reason, message),
      this.#condition(pod, "ContainersReady", ready, reason, message),
      this.#condition(pod, "PodScheduled", "True"),
    ];
  }

  #condition(pod: KubeObject, type: string, status: string, reason?: string, message?: string): Json {
    const old = conditionOf(pod, type);
    return {
      type,
      observedGeneration: pod.metadata.generation,
      status,
      lastProbeTime: null,
      lastTransitionTime: old?.status === status ? old.lastTransitionTime : this.#backend.time,
      ...(reason ? { reason } : {}),
      ...(message ? { message } : {}),
    };
  }

  #setConditions(pod: KubeObject, conditions: Json[]): void {
    this.#kubelet.status(pods, pod, { ...pod.status, conditions });
  }

  #address(): string {
    const host = ++this.#addresses + 1;
    return `10.244.${(host >> 8) & 255}.${host & 255}`;
  }
}

const conditionOf = (pod: KubeObject, type: string): Json =>
  (pod.status?.conditions ?? []).find((one: Json) => one.type === type);

/** Pods of a StatefulSet run for ever, whatever they say. */
const isService = (pod: KubeObject) =>
  pod.metadata.ownerReferences?.some((one) => one.kind === "StatefulSet") ?? false;
