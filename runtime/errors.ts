/**
 * The errors that a caller is expected to catch, and the questions to ask of them.
 *
 * Expected outcomes of reads are values (`get` answers `undefined`); these are for the rest.
 * @module
 */

/** The `Status` object with which the API server refuses a request. */
export interface Status {
  kind?: "Status";
  status?: string;
  message?: string;
  reason?: string;
  code?: number;
  details?: StatusDetails;
}

/** What exactly the API server refused. */
export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: { reason?: string; message?: string; field?: string }[];
  retryAfterSeconds?: number;
}

/** The API server answered, and the answer was no. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** The HTTP status, or the `code` of a Status that came inside a watch. */
  readonly status: number;
  /** Kubernetes' one-word reason (`NotFound`, `Conflict`, `Expired`), `""` where the server gave none. */
  readonly reason: string;
  readonly details: StatusDetails | undefined;
  /** How long the server asked to wait before the next try. */
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    message: string,
    more: { reason?: string; details?: StatusDetails; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.status = status;
    this.reason = more.reason ?? "";
    this.details = more.details;
    this.retryAfterMs = more.retryAfterMs ??
      (more.details?.retryAfterSeconds ? more.details.retryAfterSeconds * 1000 : undefined);
  }
}

/**
 * Retrying cannot help: the user must change something. Thrown from `reconcile` it is counted and logged, and the
 * key waits for the next change. Tell the user in a condition first.
 */
export class TerminalError extends Error {
  override readonly name: string = "TerminalError";
}

/** Another process holds the lease now, or ours could not be renewed in time. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
}

/** The first list of a source did not arrive in time; the message names the source and what stopped it. */
export class CacheSyncError extends Error {
  override readonly name = "CacheSyncError";
}

/** Something did not answer in the time it was given. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/** What the process was told (flags, environment, kubeconfig) cannot be used; the message says which and why. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}

/** True for the API server's 404. */
export function isNotFound(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 404;
}

/** True when somebody else wrote first, or when another field manager owns a field. */
export function isConflict(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 409 && error.reason !== "AlreadyExists";
}

/** True when an object of that name was there already. */
export function isAlreadyExists(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 409 && error.reason === "AlreadyExists";
}

/** True when the operator's role does not allow the request. */
export function isForbidden(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 403;
}

/** True when the credentials were not accepted. */
export function isUnauthorized(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 401;
}

/** True when the API server refused the object itself (422, or 400 for a malformed one). */
export function isInvalid(error: unknown): error is ApiError {
  return error instanceof ApiError && (error.status === 422 || error.status === 400);
}

/** True when the server no longer has the resourceVersion that was asked for. */
export function isExpired(error: unknown): error is ApiError {
  return error instanceof ApiError &&
    (error.status === 410 || error.reason === "Expired" || error.reason === "Gone");
}

/** True when the resourceVersion asked for is newer than anything the server knows. */
export function isTooLargeResourceVersion(error: unknown): error is ApiError {
  return error instanceof ApiError && (error.status === 504 || error.status === 500) &&
    ((error.details?.causes?.some((cause) => cause.reason === "ResourceVersionTooLarge") ?? false) ||
      error.message.includes("Too large resource version"));
}

/** True when the server asked to slow down. */
export function isTooManyRequests(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 429;
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message || error.name;
  return typeof error === "string"
    ? error
    : `a thrown ${error === null ? "null" : typeof error}: ${textOf(error)}`;
}

/** Any value as text. `String` itself throws for an object without a prototype. */
export function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}
