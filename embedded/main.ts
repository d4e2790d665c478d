/**
 * The embedded API as a program: `node embedded/main.ts --port 8001 --kubeconfig FILE --crd crd.yaml --simulate`.
 *
 * Ends cleanly on SIGTERM and SIGINT and removes its kubeconfig file.
 * @module
 */
import { readFile } from "node:fs/promises";
import process from "node:process";
import { parseArgs } from "node:util";
import { parseAllDocuments } from "yaml";
import { startEmbedded } from "./serve.ts";

const usage = `Usage: main.ts [--port N] [--kubeconfig FILE] [--crd FILE]... [--namespace NAME] [--simulate]

  --port N           port on 127.0.0.1; default: any free one
  --kubeconfig FILE  where to write the kubeconfig; default: a new temporary file
  --crd FILE         YAML with CustomResourceDefinitions to serve; may be repeated
  --namespace NAME   namespace to create and to use by default
  --simulate         play StatefulSets, nodes and Patroni`;

async function main(): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        port: { type: "string", default: "0" },
        kubeconfig: { type: "string" },
        crd: { type: "string", multiple: true, default: [] },
        namespace: { type: "string" },
        simulate: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    console.error(`Cannot listen on port "${values.port}": not a number from 0 to 65535`);
    return 2;
  }
  // Before anything is told to anybody who might then send a signal.
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
  try {
    const crds: unknown[] = [];
    for (const path of values.crd) crds.push(...await readDefinitions(path));
    const server = await startEmbedded({
      port,
      crds,
      simulate: values.simulate,
      ...(values.kubeconfig ? { kubeconfigPath: values.kubeconfig } : {}),
      ...(values.namespace ? { namespace: values.namespace, namespaces: extra(values.namespace) } : {}),
    });
    console.log(`Kubernetes API (embedded) at ${server.url}\nexport KUBECONFIG=${server.kubeconfig}`);
    await stopped;
    await server.close();
    return 0;
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
}

/** Namespaces that are not there anyway. */
const extra = (name: string) => (["default", "kube-system", "kube-public"].includes(name) ? [] : [name]);

async function readDefinitions(path: string): Promise<unknown[]> {
  const documents = parseAllDocuments(await readFile(path, "utf8"));
  return documents.map((document) => {
    const [error] = document.errors;
    if (error) throw new SyntaxError(`Cannot read "${path}": ${error.message}`);
    return document.toJS() as { kind?: string } | null;
  }).filter((object) => object?.kind === "CustomResourceDefinition");
}

process.exit(await main());
