/**
 * The least operator that elects a leader, at the default times: it says in the status of each Database which generation
 * it saw. For bench/runtime/recovery.ts.
 * @module
 */

import { connect, createManager, generationChanged, runProcess } from "../../runtime/mod.ts";
import { databases } from "../../types/app.example.com/v1.ts";

await runProcess(async (signal) => {
  const rest = await connect({ userAgent: "bench-elected" });
  const manager = createManager({
    rest,
    name: "bench-elected",
    leaderElection: { namespace: "bench-runtime", name: "bench" },
  });
  manager.controller({
    name: "elected-controller",
    for: databases,
    predicate: generationChanged(),
    async reconcile(key, { client }) {
      const database = await client.get(databases, key);
      const observedGeneration = database?.metadata.generation;
      if (!database || database.status?.observedGeneration === observedGeneration) return;
      await client.patch(databases, key, { status: { observedGeneration } }, { subresource: "status" });
    },
  });
  await manager.start(signal);
  rest.close();
});
