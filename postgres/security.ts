/**
 * What every pod of a Database says about its rights: the Pod Security level `restricted`, as the user of the data.
 * @module
 */
import type { PodSecurityContext, SecurityContext } from "../types/core/v1.ts";

/** User and group `postgres` of Debian's packages; an image of one's own must have the same. */
export const postgresUser = { uid: 100, gid: 102 } as const;

/** Of each container. */
export const containerSecurity: SecurityContext = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  privileged: false,
  readOnlyRootFilesystem: true,
};

/** Of each pod. */
export const podSecurity: PodSecurityContext = {
  runAsNonRoot: true,
  runAsUser: postgresUser.uid,
  runAsGroup: postgresUser.gid,
  fsGroup: postgresUser.gid,
  fsGroupChangePolicy: "OnRootMismatch",
  seccompProfile: { type: "RuntimeDefault" },
};
