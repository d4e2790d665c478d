/**
 * NetworkPolicies as a network that enforces them would: which connections they allow.
 *
 * Rules of networking.k8s.io/v1: a pod that no policy selects for a direction is open in it; otherwise one rule of one of
 * them has to allow the connection. Addresses (ipBlock) are not read: no policy of ours names any.
 * @module
 */
import type { KubeObject } from "./kubectl.ts";

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
}

interface Peer {
  readonly podSelector?: Selector;
  readonly namespaceSelector?: Selector;
}

interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly port: number; readonly protocol?: string }[];
}

interface Spec {
  readonly podSelector: Selector;
  readonly policyTypes?: readonly string[];
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
}

/** One end: a pod, or something outside of the cluster's pods. */
export interface End {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** From whom to whom; an end that is no pod (the API server, a node) is `undefined`. */
export interface Connection {
  readonly from: End | undefined;
  readonly to: End | undefined;
  readonly port: number;
}

/** Why a connection would not come about; `undefined` when it would. */
export function refusal(
  policies: readonly KubeObject[],
  namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>,
  { from, to, port }: Connection,
): string | undefined {
  const blocked = (direction: "Ingress" | "Egress", self: End | undefined, other: End | undefined) => {
    if (!self) return undefined;
    const mine = policies.filter(({ metadata, spec }) => {
      const { podSelector, policyTypes = ["Ingress"] } = spec as Spec;
      return metadata.namespace === self.namespace && policyTypes.includes(direction) &&
        selects(podSelector, self.labels);
    });
    const isAllowed = mine.some(({ metadata, spec }) => {
      const rules = (direction === "Ingress" ? (spec as Spec).ingress : (spec as Spec).egress) ?? [];
      return rules.some((rule) =>
        admits(rule.from ?? rule.to, other, metadata.namespace!, namespaces) &&
        (!rule.ports || rule.ports.some((one) => one.port === port && (one.protocol ?? "TCP") === "TCP"))
      );
    });
    return mine.length === 0 || isAllowed
      ? undefined
      : `${direction} of ${mine.map(({ metadata }) => metadata.name).join()}`;
  };
  // A kubelet's probe comes from the pod's own node, which no policy keeps out.
  return (from && blocked("Ingress", to, from)) ?? blocked("Egress", from, to);
}

function admits(
  peers: readonly Peer[] | undefined,
  other: End | undefined,
  home: string,
  namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>,
): boolean {
  if (!peers) return true;
  if (!other) return false;
  return peers.some(({ podSelector, namespaceSelector }) =>
    (namespaceSelector
      ? selects(namespaceSelector, namespaces.get(other.namespace) ?? {})
      : other.namespace === home) &&
    (!podSelector || selects(podSelector, other.labels))
  );
}

function selects({ matchLabels = {} }: Selector, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(matchLabels).every(([key, value]) => labels[key] === value);
}

/** A socket of /proc/net/tcp. */
export interface Socket {
  readonly local: string;
  readonly localPort: number;
  readonly remote: string;
  readonly remotePort: number;
  readonly isListening: boolean;
}

/** Reads /proc/net/tcp and tcp6, one after the other: addresses are little-endian words of four bytes. */
export function parseSockets(text: string): Socket[] {
  return text.split("\n").flatMap((line) => {
    const found = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]{2}) /.exec(line);
    if (!found) return [];
    const [, local = "", localPort = "", remote = "", remotePort = "", state] = found;
    return [{
      local: addressOf(local),
      localPort: parseInt(localPort, 16),
      remote: addressOf(remote),
      remotePort: parseInt(remotePort, 16),
      isListening: state === "0A",
    }];
  });
}

function addressOf(hex: string): string {
  const bytes = hex.match(/.{8}/g)!.flatMap((word) =>
    word.match(/../g)!.reverse().map((byte) => parseInt(byte, 16))
  );
  const v4 = bytes.slice(-4).join(".");
  // An IPv4 peer of a socket that listens on both.
  if (bytes.length === 4 || hex.startsWith(`${"0".repeat(16)}FFFF0000`)) return v4;
  const groups = bytes.flatMap((byte, at) => at % 2 ? [] : [((byte << 8) | bytes[at + 1]!).toString(16)]);
  return groups.join(":");
}
