/**
 * A real Prometheus that scrapes the operator and the members as deploy/monitoring/prometheus.yml says. E2E_PROMETHEUS is
 * its program; it runs beside the tests, with their KUBECONFIG, and must reach the pods.
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parse, stringify } from "yaml";
import { until } from "../within.ts";

const monitoring = (file: string) => new URL(`../../deploy/monitoring/${file}`, import.meta.url);

interface Scrape {
  kubernetes_sd_configs?: Record<string, unknown>[];
  static_configs?: { targets: string[] }[];
  relabel_configs?: unknown[];
}

/** One that runs. */
export interface Prometheus {
  /** Its address: `http://127.0.0.1:1234`. */
  readonly server: string;
  stop(): Promise<void>;
}

/**
 * Starts it and waits until it answers.
 *
 * @param namespace whose pods it scrapes, beside the operator's
 * @param operator address of an operator that is no pod
 */
export async function startPrometheus(
  namespace: string,
  operator: string | undefined,
): Promise<Prometheus> {
  const program = process.env.E2E_PROMETHEUS;
  if (!program) throw new Error("E2E_PROMETHEUS is not set: it names the program of Prometheus");
  const folder = mkdtempSync(join(tmpdir(), "prometheus-"));
  const config = parse(readFileSync(monitoring("prometheus.yml"), "utf8")) as {
    global: Record<string, string>;
    scrape_configs: Scrape[];
  };
  config.global["scrape_interval"] = "5s"; // so that rates over two minutes are there soon
  for (const scrape of config.scrape_configs) {
    for (const discovery of scrape.kubernetes_sd_configs ?? []) {
      discovery["kubeconfig_file"] = process.env.KUBECONFIG;
      discovery["namespaces"] = { names: [namespace, "database-operator"] };
    }
  }
  const [ofOperator] = config.scrape_configs;
  if (operator && ofOperator) {
    delete ofOperator.kubernetes_sd_configs;
    delete ofOperator.relabel_configs;
    ofOperator.static_configs = [{ targets: [operator] }];
  }
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
    return { server, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
