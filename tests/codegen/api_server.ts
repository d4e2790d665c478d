/**
 * A real API server as the judge: installs CustomResourceDefinitions, and says of objects whether it takes them.
 * @module
 */
import { type Connection, readKubeconfig, send } from "../../codegen/kubeconfig.ts";
import type { Json, JsonObject } from "../../codegen/json.ts";

/** What the server said of an object. */
export interface Label {
  accepted: boolean;
  message: string;
  /** The object as it would be stored, when it was accepted. */
  stored?: Json;
}

/** An address to create objects at. */
export interface Address {
  group: string;
  version: string;
  plural: string;
  scope: "Namespaced" | "Cluster";
}

/** The API server that KUBECONFIG names. */
export class Judge {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  static async connect(): Promise<Judge> {
    return new Judge(await readKubeconfig());
  }

  /** Creates a CustomResourceDefinition, replacing one of that name, and waits until its objects can be created. */
  async install(crd: JsonObject, waitMs = 30_000): Promise<void> {
    const { name, annotations } = crd.metadata as { name: string; annotations?: Json };
    const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    const manifest = {
      ...crd,
      metadata: { name, ...(annotations !== undefined && { annotations }) },
      status: undefined,
    } as unknown as Json;
    await this.remove(name);
    const created = await send(this.#connection, "POST", path, manifest);
    if (created.status !== 201) throw new Error(`Cannot install ${name}: ${created.body}`);
    const deadlineMs = Date.now() + waitMs;
    while (Date.now() < deadlineMs) {
      const { body } = await send(this.#connection, "GET", `${path}/${name}`);
      const conditions =
        (JSON.parse(body) as { status?: { conditions?: { type: string; status: string }[] } }).status
          ?.conditions ?? [];
      if (conditions.some(({ type, status }) => type === "Established" && status === "True")) return;
      await new Promise((wake) => setTimeout(wake, 50));
    }
    throw new Error(`${name} was not established within ${waitMs} ms`);
  }

  /** Deletes a CustomResourceDefinition and waits until it is gone. */
  async remove(name: string): Promise<void> {
    const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
    await send(this.#connection, "DELETE", path);
    while ((await send(this.#connection, "GET", path)).status !== 404) {
      await new Promise((wake) => setTimeout(wake, 50));
    }
  }

  /** Would the server create the object? Nothing is stored. */
  async label({ group, version, plural, scope }: Address, object: Json): Promise<Label> {
    const place = scope === "Namespaced" ? `namespaces/default/${plural}` : plural;
    const path = `/apis/${group}/${version}/${place}?dryRun=All&fieldValidation=Strict`;
    for (let attempt = 0;; attempt++) {
      const { status, body } = await send(this.#connection, "POST", path, object);
      // A fresh CustomResourceDefinition is established a moment before its objects are served.
      const isNotServed = status === 404 && !body.includes("namespaces");
      if ((isNotServed || status === 429 || status === 503) && attempt < 100) {
        await new Promise((wake) => setTimeout(wake, 100));
        continue;
      }
      if (status === 201) return { accepted: true, message: "", stored: JSON.parse(body) as Json };
      if (status === 400 || status === 422) {
        return { accepted: false, message: (JSON.parse(body) as { message: string }).message };
      }
      throw new Error(`Unexpected answer ${status} for ${path}: ${body.slice(0, 500)}`);
    }
  }
}
