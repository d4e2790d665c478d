/**
 * The API server's RBAC, as far as deploy/rbac.yaml uses it: which rule allows a request.
 *
 * Source: kubernetes/kubernetes pkg/apis/rbac/v1/evaluation_helpers.go and
 * apiserver pkg/endpoints/request/requestinfo.go, by behaviour.
 * @module
 */
import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";
import { ApiError, type RequestOptions, type RestClient } from "../../runtime/mod.ts";

/** A rule of a Role or ClusterRole. */
export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

/** What a request asks for. */
export interface Attributes {
  readonly verb: string;
  readonly group: string;
  /** With the subresource, as rules write it: `databases/status`. */
  readonly resource: string;
  readonly name: string | undefined;
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly rules?: readonly Rule[];
}

/** The rules that deploy/rbac.yaml gives the operator, with those of its Lease. */
export function shippedRules(): Rule[] {
  const text = readFileSync(new URL("../../deploy/rbac.yaml", import.meta.url), "utf8");
  return parseAllDocuments(text).flatMap((document) => (document.toJS() as Manifest).rules ?? []);
}

/** A request in RBAC's words; `undefined` for what is no resource, such as discovery. */
export function attributesOf({ method, path, querystring }: RequestOptions): Attributes | undefined {
  const [, root, ...parts] = path.split("?")[0]!.split("/");
  const group = root === "apis" ? parts.shift() ?? "" : "";
  parts.shift(); // the version
  if (parts[0] === "namespaces" && parts.length > 2) parts.splice(0, 2);
  const [resource, name, subresource] = parts;
  if (resource === undefined) return undefined;
  const reads = name === undefined ? (querystring?.get("watch") ? "watch" : "list") : "get";
  const deletes = name === undefined ? "deletecollection" : "delete";
  const verbs: Record<string, string> = {
    GET: reads,
    POST: "create",
    PUT: "update",
    PATCH: "patch",
    DELETE: deletes,
  };
  return {
    verb: verbs[method] ?? method.toLowerCase(),
    group,
    resource: subresource === undefined ? resource : `${resource}/${subresource}`,
    name,
  };
}

/** Whether a rule allows it. A rule with names allows no request that has none. */
export function allows(rule: Rule, { verb, group, resource, name }: Attributes): boolean {
  return rule.verbs.includes(verb) && rule.apiGroups.includes(group) && rule.resources.includes(resource) &&
    (rule.resourceNames === undefined || (name !== undefined && rule.resourceNames.includes(name)));
}

/** One word of a rule's verbs for one of its resources: the smallest thing that can be taken away. */
export interface Grant extends Omit<Rule, "resources" | "verbs"> {
  readonly resource: string;
  readonly verb: string;
}

/** The grants that rules consist of. */
export function grantsOf(rules: readonly Rule[]): Grant[] {
  return rules.flatMap(({ resources, verbs, ...rest }) =>
    resources.flatMap((resource) => verbs.map((verb) => ({ ...rest, resource, verb })))
  );
}

/** The grant in a few words. */
export const worded = ({ verb, resource }: Grant): string => `${verb} ${resource}`;

/**
 * The API server behind its RBAC: a request that no grant allows is Forbidden, as the operator's ServiceAccount would see it.
 *
 * Server-side apply needs patch, and create too when the object is not there; which of both was needed is told by `exists`.
 * A Role is written by those alone who hold all that it grants (pkg/registry/rbac/role/policybased/storage.go).
 */
export function authorized(
  rest: RestClient,
  grants: readonly Grant[],
  { used, refused, exists }: {
    used: { add(grant: Grant): void };
    refused: { add(words: string): void };
    exists(path: string): Promise<boolean>;
  },
): RestClient {
  const permit = (asked: Attributes, why = "") => {
    const rule = grants.find(({ resource, verb, ...rest }) =>
      allows({ ...rest, resources: [resource], verbs: [verb] }, asked)
    );
    if (rule) used.add(rule);
    else {
      refused.add(`${why}${asked.verb} ${asked.resource}`);
      const message =
        `${asked.resource} is forbidden: User "operator" cannot ${asked.verb} resource "${asked.resource}"`;
      throw new ApiError(403, message, { reason: "Forbidden" });
    }
  };
  const performRequest = async (options: RequestOptions): Promise<unknown> => {
    const asked = attributesOf(options);
    if (asked) {
      permit(asked);
      const applies = options.contentType?.includes("apply-patch") ?? false;
      if (applies && !asked.resource.includes("/") && !await exists(options.path)) {
        permit({ ...asked, verb: "create", name: undefined });
      }
      if (asked.resource === "roles" && options.bodyJson) {
        for (const granted of grantsOf((options.bodyJson as unknown as Manifest).rules ?? [])) {
          const { verb, resource, apiGroups: [group = ""], resourceNames: [name] = [] } = granted;
          permit({ verb, resource, group, name }, "grant ");
        }
      }
    }
    return await rest.performRequest(options as never);
  };
  return { ...rest, performRequest: performRequest as RestClient["performRequest"] };
}
