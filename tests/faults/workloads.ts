/**
 * What a user does with a Database, step by step. Faults strike from the first step of `act` on; `setup` brings the
 * cluster to where that begins.
 * @module
 */

import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { addDatabaseController } from "../../operator.ts";
import { fakeCertificates } from "../postgres/fake_certificates.ts";
import type { Install, Simulation } from "./simulation.ts";

/** One step; the cluster comes to rest after each. */
export type Action = (simulation: Simulation) => Promise<unknown>;

/** A user's story. */
export interface Workload {
  readonly name: string;
  readonly setup: readonly Action[];
  readonly act: readonly Action[];
  /** Members restart, so the primary is another one in the end: which one depends on when things happen. */
  readonly switches?: boolean;
  /** Another operator than ours, without nodes and Patroni. */
  readonly install?: Install;
}

/** crd.yaml. */
export const crd: unknown = parse(readFileSync(new URL("../../crd.yaml", import.meta.url), "utf8"));

/** The operator as operator.ts runs it, with passwords that are seen to be random. */
export const installOperator: Install = (manager, random) => {
  addDatabaseController(manager, {
    imageTemplate: "example.com/database:{major}",
    rollingMax: 5,
    certificates: fakeCertificates(),
    password: () => Array.from({ length: 24 }, () => Math.floor(random() * 36).toString(36)).join(""),
  });
};

const collection = "/apis/app.example.com/v1/namespaces/shop/databases";
const path = `${collection}/orders`;

/** A user makes the Database. */
export const create = (spec: Record<string, unknown>): Action => (simulation) =>
  simulation.user("POST", collection, {
    apiVersion: "app.example.com/v1",
    kind: "Database",
    metadata: { name: "orders" },
    spec: { version: "17", ...spec },
  }, "application/json");
const change = (patch: unknown): Action => (simulation) => simulation.user("PATCH", path, patch);
/** A user deletes it. */
export const remove: Action = (simulation) => simulation.user("DELETE", path);

/** Everything that is tried. */
export const workloads: readonly Workload[] = [
  { name: "create", setup: [], act: [create({ size: 3 })] },
  { name: "scale up", setup: [create({ size: 1 })], act: [change({ spec: { size: 3 } })] },
  { name: "scale down", setup: [create({ size: 3 })], act: [change({ spec: { size: 1 } })] },
  {
    name: "roll",
    switches: true,
    setup: [create({ size: 3 })],
    act: [change({ metadata: { annotations: { "app.example.com/restart": "1" } } })],
  },
  {
    name: "hibernate and wake",
    switches: true,
    setup: [create({ size: 3 })],
    act: [change({ spec: { size: 0 } }), change({ spec: { size: 3 } })],
  },
  {
    name: "parameters",
    switches: true,
    setup: [create({ size: 3 })],
    act: [change({ spec: { parameters: { work_mem: "8MB", max_connections: "200" } } })],
  },
  { name: "grow", setup: [create({ size: 2 })], act: [change({ spec: { storage: { size: "2Gi" } } })] },
  {
    name: "switch over",
    switches: true,
    setup: [create({ size: 3 })],
    act: [change({ metadata: { annotations: { "app.example.com/switchover": "any@1" } } })],
  },
  { name: "delete, Retain", setup: [create({ size: 3, deletionPolicy: "Retain" })], act: [remove] },
  { name: "delete, Delete", setup: [create({ size: 3, deletionPolicy: "Delete" })], act: [remove] },
  {
    name: "delete and make again",
    setup: [create({ size: 1, deletionPolicy: "Retain" })],
    act: [remove, create({ size: 1, deletionPolicy: "Retain" })],
  },
];
