/**
 * The smallest complete operator: each Database gets a ConfigMap `<name>-config` that says its size and version.
 *
 *     node examples/config-map.ts        or        deno run -A examples/config-map.ts
 *
 * It talks to the cluster of the present kubeconfig. Edit or delete such a ConfigMap, and it comes back.
 * @module
 */

import { configMaps } from "../types/core/v1.ts";
import { databases } from "../types/app.example.com/v1.ts";
import {
  changed,
  connect,
  controllerReference,
  createManager,
  generationChanged,
  isControlledBy,
  owns,
  runProcess,
} from "../runtime/mod.ts";

await runProcess(async (signal) => {
  const rest = await connect({ userAgent: "config-map-example" });
  const manager = createManager({ rest, name: "config-map-example" });

  manager.controller({
    name: "config-map-controller",
    for: databases,
    predicate: generationChanged(),
    owns: [owns(configMaps, { predicate: changed((map) => [map.data, map.metadata?.ownerReferences]) })],

    async reconcile({ namespace, name }, { client }) {
      const database = await client.get(databases, { namespace, name });
      // Gone, or going: the garbage collector takes the ConfigMap with it.
      if (!database || database.metadata.deletionTimestamp) return;

      const key = { namespace, name: `${name}-config` };
      const data = { size: String(database.spec.size), version: String(database.spec.version) };
      const found = await client.get(configMaps, key);
      if (found && !isControlledBy(found, database)) {
        // Tried again: who takes the owner reference away, or deletes it then, changes nothing that wakes us.
        throw new Error(`ConfigMap "${namespace}/${key.name}" belongs to somebody else`);
      }
      if (found?.data?.size !== data.size || found.data.version !== data.version) {
        await client.apply(configMaps, {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { ...key, ownerReferences: [controllerReference(database)] },
          data,
        });
      }

      const observedGeneration = database.metadata.generation;
      if (database.status?.observedGeneration !== observedGeneration) {
        await client.patch(databases, { namespace, name }, { status: { observedGeneration } }, {
          subresource: "status",
        });
      }
    },
  });

  await manager.start(signal);
  rest.close();
});
