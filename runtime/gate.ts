/**
 * The gate in front of the API server: counts requests, hears its warnings, and refuses writes of a process that does
 * not lead.
 *
 * Leader election does not fence: a process that was frozen for a minute wakes up in the middle of a reconcile. Looking
 * at the lease's age before each write stops it there.
 * @module
 */

import { ApiError, LeaseLostError } from "./errors.ts";
import type { RequestOptions, RestClient } from "./types.ts";

/** What the gate asks and tells. */
export interface Gate {
  mayWrite(): boolean;
  onRequest(labels: { code: string; method: string }): void;
  onWarning(text: string): void;
}

/** The same connection, behind the gate. */
export function gatedRest(rest: RestClient, gate: Gate): RestClient {
  const onWarning = (text: string) => gate.onWarning(text);
  const performRequest = async (options: RequestOptions): Promise<unknown> => {
    const { method, path } = options;
    const beforeSend = () => {
      if (gate.mayWrite()) return;
      throw new LeaseLostError(`Cannot ${method} ${path}: this process does not lead`);
    };
    const writes = method !== "GET";
    if (writes) beforeSend();
    try {
      // Asked again when its turn has come: the process may have been frozen while it waited.
      const answer: unknown = await rest.performRequest({
        ...options,
        onWarning,
        ...(writes ? { beforeSend } : {}),
      });
      gate.onRequest({ code: method === "POST" ? "201" : "200", method });
      return answer;
    } catch (error) {
      if (error instanceof LeaseLostError) throw error;
      gate.onRequest({
        code: error instanceof ApiError && error.status ? String(error.status) : "<error>",
        method,
      });
      throw error;
    }
  };
  return {
    get defaultNamespace() {
      return rest.defaultNamespace;
    },
    performRequest: performRequest as RestClient["performRequest"],
  };
}
