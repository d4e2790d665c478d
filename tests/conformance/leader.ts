/**
 * A process that writes its name into ConfigMap `journal` twenty times a second while it leads. For leaders.ts.
 * @module
 */

import process from "node:process";
import { connect, createManager, runProcess } from "../../runtime/mod.ts";
import { configMaps } from "../../types/core/v1.ts";

const { NAMESPACE: namespace = "", IDENTITY: identity = "", LEASE: lease = "{}" } = process.env;

await runProcess(async (signal) => {
  const rest = await connect({ userAgent: `conformance-${identity}` });
  const manager = createManager({
    rest,
    name: "leader",
    leaderElection: { namespace, name: "leader", identity, ...JSON.parse(lease) as object },
  });
  let count = 0;
  manager.controller({
    name: "journal",
    for: configMaps,
    forOptions: { namespace, fieldSelector: "metadata.name=journal" },
    predicate: { update: () => false },
    reconcile: async (key, { client }) => {
      await client.patch(configMaps, key, { data: { writer: identity, count: String(++count) } });
      return { requeueAfterMs: 50 };
    },
  });
  await manager.start(signal);
  rest.close();
});
