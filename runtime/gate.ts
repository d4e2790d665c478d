/**
 * The gate in front of the API server: counts requests, and refuses writes of a process that does not lead.
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
}

/** The same connection, behind the gate. */
export function gatedRest(rest: RestClient, gate: Gate): RestClient {
  const performRequest = async (options: RequestOptions): Promise<unknown> => {
    const { method, path } = options;
    if (method !== "GET" && !gate.mayWrite()) {
      throw new LeaseLostError(`Cannot ${method} ${path}: this process does not lead`);
    }
    try {
      const answer: unknown = await rest.performRequest(options);
      gate.onRequest({ code: method === "POST" ? "201" : "200", method });
      return answer;
    } catch (error) {
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
