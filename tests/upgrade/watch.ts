/**
 * What the tests of an upgrade look at.
 * @module
 */
import type { World } from "../operator/world.ts";

/** The system identifier of the data of Database "orders". */
export const identifierOf = (world: World) =>
  world.find("/configmaps", "orders-config")?.metadata.annotations?.["initialize"];

/** What must hold at every moment: nobody runs beside the Job that works on the data, and none before the first leads. */
export function watchSafety(world: World): string[] {
  const found: string[] = [];
  const isThere = (component: string) =>
    world.api.objects("/pods").filter(({ metadata, status }) =>
      metadata.labels?.["app.example.com/component"] === component &&
      !["Succeeded", "Failed"].includes(status?.phase)
    ).map(({ metadata }) => metadata.name);
  let before: string | undefined;
  world.api.subscribe(({ table, type, object }) => {
    const members = isThere("postgres");
    const working = [...isThere("upgrade"), ...isThere("upgrade-back")];
    if (members.length > 0 && working.length > 0) found.push(`${members} run beside ${working}`);
    before ??= identifierOf(world);
    const isNew = identifierOf(world) !== before;
    const first = world.find("/persistentvolumeclaims", "data-orders-0")?.metadata.annotations;
    const proven = first?.["app.example.com/system-identifier"] === identifierOf(world);
    if (table === "/pods" && type === "ADDED" && isNew && !proven) {
      const leads = world.find("/configmaps", "orders-leader")?.metadata.annotations?.["leader"];
      if (/^orders-[1-9]$/.test(object.metadata.name) && leads !== "orders-0") {
        found.push(`${object.metadata.name} was started before the first member led`);
      }
    }
  });
  return found;
}

/** With it all goes well until the members are to start. */
export const imageThatCannotStart = "localhost/cannot-start:17";

/** The old version serves, with the data of before and the reason told. */
export function isBack(world: World): boolean {
  const { status } = world.find("app.example.com/databases", "orders")!;
  const config = world.find("/configmaps", "orders-config")?.metadata.annotations ?? {};
  return status?.readyReplicas === 2 && status.version === "15" && status.upgrade?.phase === "Failed" &&
    config["app.example.com/major"] === "15" && config["app.example.com/replaced"] === undefined &&
    world.names("batch/jobs", "orders").join() === "orders-upgrade-17,orders-upgrade-17-check";
}
