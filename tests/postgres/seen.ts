/**
 * What a pass reads of Database "shop/orders", made from as little as a test cares about.
 * @module
 */
import { annotation, component, label, ownedLabels } from "../../postgres/names.ts";
import { sightOf } from "../../postgres/sight.ts";
import type { Sight } from "../../postgres/sight.ts";

/** The time of every pass here. */
export const nowMs = Date.parse("2026-11-23T12:00:00Z");

/** What is there. */
export interface Given {
  readonly spec?: Record<string, unknown>;
  readonly annotations?: Record<string, string>;
  readonly operations?: Record<string, string>;
  readonly deleting?: boolean;
  /** Patroni's word of each member, by ordinal: "running" unless told. */
  readonly members?: readonly {
    readonly ordinal: number;
    readonly state?: string;
    readonly server?: unknown;
  }[];
  readonly leader?: string;
  /** Annotations of Patroni's ConfigMaps, by the end of their names. */
  readonly state?: Readonly<Record<string, Record<string, string>>>;
  readonly statefulSet?: { readonly replicas: number; readonly version?: string };
  readonly claims?: readonly {
    readonly ordinal: number;
    readonly deleted?: boolean;
    readonly phase?: string;
    readonly asks?: string;
    readonly has?: string;
  }[];
  /** Jobs of upgrades, with the annotation that says what each was made for. */
  readonly jobs?: readonly { readonly name: string; readonly component: string; readonly order: string }[];
  /** Phases of pods of upgrades. */
  readonly upgradePods?: readonly string[];
}

/** The sight. */
export function seen(given: Given = {}): Sight {
  const { spec, annotations, operations, deleting, members = [], leader, state = {}, claims = [] } = given;
  const named = (name: string, more: object = {}) => ({
    metadata: { name, namespace: "shop", labels: ownedLabels("orders"), ...more },
  });
  const renewTime = new Date(nowMs).toISOString();
  const maps = { ...state, ...(leader ? { leader: { leader, renewTime, ttl: "20" } } : {}) };
  return sightOf(
    {
      database: {
        metadata: {
          name: "orders",
          namespace: "shop",
          uid: "1",
          annotations,
          ...(deleting ? { deletionTimestamp: renewTime } : {}),
        },
        spec: { version: "17", ...spec },
        status: { operations },
      },
      statefulSet: given.statefulSet && {
        ...named("orders"),
        spec: {
          replicas: given.statefulSet.replicas,
          template: {
            metadata: { annotations: { [annotation.version]: given.statefulSet.version ?? "17" } },
          },
        },
      },
      pods: [
        ...members.map(({ ordinal, state = "running", server }) => {
          const role = `orders-${ordinal}` === leader ? "primary" : "replica";
          const status = {
            state,
            role,
            timeline: 1,
            ...(role === "replica" ? { replication_state: "streaming" } : {}),
          };
          return {
            ...named(`orders-${ordinal}`, {
              labels: { ...ownedLabels("orders"), [label.component]: component.member },
              annotations: {
                status: JSON.stringify(status),
                ...(server === undefined ? {} : { [annotation.server]: JSON.stringify(server) }),
              },
            }),
            status: { conditions: [{ type: "Ready", status: state === "running" ? "True" : "False" }] },
          };
        }),
        ...(given.upgradePods ?? []).map((phase, index) => ({
          ...named(`upgrade-${index}`, {
            labels: { ...ownedLabels("orders"), [label.component]: component.upgrade },
          }),
          status: { phase },
        })),
      ],
      claims: claims.map(({ ordinal, deleted, phase, asks, has }) => ({
        ...named(`data-orders-${ordinal}`, deleted ? { deletionTimestamp: renewTime } : {}),
        spec: { resources: { requests: { storage: asks } } },
        status: { phase, ...(has ? { capacity: { storage: has } } : {}) },
      })),
      configMaps: Object.entries(maps).map(([end, annotations]) => named(`orders-${end}`, { annotations })),
      jobs: (given.jobs ?? []).map(({ name, component, order }) =>
        named(name, {
          labels: { ...ownedLabels("orders"), [label.component]: component },
          annotations: { [annotation.upgrade]: order },
        })
      ),
    } as unknown as Parameters<typeof sightOf>[0],
    nowMs,
  );
}
