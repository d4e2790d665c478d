/**
 * A real Prometheus that scrapes the operator and the members as deploy/monitoring/prometheus.yml says. E2E_PROMETHEUS is
 * its program; it runs beside the tests and must reach the pods.
 *
 * Debian's is built without the discovery of Kubernetes: the tests tell it in a file what that would find, with the same
 * labels, so that the rules which pick and name the targets are the shipped ones.
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parse, stringify } from "yaml";
import { until } from "../within.ts";
import type { Kubectl, KubeObject } from "./kubectl.ts";

const monitoring = (file: string) => new URL(`../../deploy/monitoring/${file}`, import.meta.url);

/** What a discovery found: an address, and what is known about it. */
export interface Target {
  readonly targets: readonly [string];
  readonly labels: Readonly<Record<string, string>>;
}

/** Every port of every pod, as the discovery of role `pod` tells it. */
export async function discovered(...namespaces: readonly Kubectl[]): Promise<Target[]> {
  const pods = (await Promise.all(namespaces.map((kubectl) => kubectl.list("pods")))).flat();
  return pods.filter(({ status }) => status?.podIP).flatMap((pod) => portsOf(pod));
}

function portsOf({ metadata, spec, status }: KubeObject): Target[] {
  const containers = spec.containers as { ports?: { name: string; containerPort: number }[] }[];
  const labels = Object.entries(metadata.labels ?? {}).map(([key, value]) => [
    `__meta_kubernetes_pod_label_${key.replaceAll(/[^a-zA-Z0-9_]/g, "_")}`,
    value,
  ]);
  return containers.flatMap(({ ports = [] }) => ports).map(({ name, containerPort }) => ({
    targets: [`${status.podIP}:${containerPort}`],
    labels: {
      ...Object.fromEntries(labels) as Record<string, string>,
      __meta_kubernetes_namespace: metadata.namespace!,
      __meta_kubernetes_pod_name: metadata.name,
      __meta_kubernetes_pod_phase: status.phase,
      __meta_kubernetes_pod_container_port_name: name,
    },
  }));
}

/** An operator that is no pod, as if it were one. */
export function localOperator(address: string): Target {
  return {
    targets: [address],
    labels: {
      __meta_kubernetes_pod_label_app_kubernetes_io_name: "database-operator",
      __meta_kubernetes_pod_name: "local",
      __meta_kubernetes_pod_container_port_name: "http",
    },
  };
}

/** One that runs. */
export interface Prometheus {
  /** Its address: `http://127.0.0.1:1234`. */
  readonly server: string;
  /** Tells it what there is to scrape. */
  find(targets: readonly Target[]): void;
  stop(): Promise<void>;
}

/** Starts it and waits until it answers. */
export async function startPrometheus(): Promise<Prometheus> {
  const program = process.env.E2E_PROMETHEUS;
  if (!program) throw new Error("E2E_PROMETHEUS is not set: it names the program of Prometheus");
  const folder = mkdtempSync(join(tmpdir(), "prometheus-"));
  const config = parse(readFileSync(monitoring("prometheus.yml"), "utf8")) as {
    global: Record<string, string>;
    scrape_configs: Record<string, unknown>[];
  };
  config.global["scrape_interval"] = "5s"; // so that rates over two minutes are there soon
  for (const scrape of config.scrape_configs) {
    delete scrape["kubernetes_sd_configs"];
    scrape["file_sd_configs"] = [{ files: [join(folder, "targets.json")], refresh_interval: "5s" }];
  }
  const find = (targets: readonly Target[]) =>
    writeFileSync(join(folder, "targets.json"), JSON.stringify(targets));
  find([]);
  writeFileSync(join(folder, "prometheus.yml"), stringify(config));
  writeFileSync(join(folder, "alerts.yaml"), readFileSync(monitoring("alerts.yaml")));
  const child = spawn(program, [
    `--config.file=${join(folder, "prometheus.yml")}`,
    `--storage.tsdb.path=${join(folder, "data")}`,
    "--web.listen-address=127.0.0.1:0",
    "--log.level=info",
  ], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => log += text);
  const ended = new Promise<void>((settle) => child.once("close", () => settle()));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const server = await until(30_000, "Prometheus to answer", async () => {
      const address = /Listening on" address=(\S+)/.exec(log)?.[1];
      if (!address) throw new Error(log.slice(-500));
      return (await fetch(`http://${address}/-/ready`)).ok && `http://${address}`;
    }, 500);
    return { server, find, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
