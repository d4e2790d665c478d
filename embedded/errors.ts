/**
 * Failures as the API server words them: Status objects with reason, details and causes.
 *
 * The texts follow k8s.io/apimachinery pkg/api/errors and pkg/util/validation/field, because
 * clients show them to people and some even look for words in them.
 * @module
 */
import type { Json } from "./types.ts";

/** One of details.causes. */
export interface StatusCause {
  reason?: string;
  message: string;
  field?: string;
}

/** Status.details. */
export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: StatusCause[];
  retryAfterSeconds?: number;
}

/** A request that failed: carries the Status object to answer with. */
export class StatusError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.name = "StatusError";
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  /** The metav1.Status to send. */
  get status(): Json {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      ...(this.reason ? { reason: this.reason } : {}),
      ...(this.details ? { details: this.details } : {}),
      code: this.code,
    };
  }

  /** The answer that carries it. */
  response(): Response {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (this.details?.retryAfterSeconds) headers["retry-after"] = String(this.details.retryAfterSeconds);
    return new Response(JSON.stringify(this.status) + "\n", { status: this.code, headers });
  }
}

/** What an error is about: a resource by group and plural, or a kind. */
export interface Subject {
  group: string;
  plural: string;
  kind: string;
}

const qualified = (group: string, word: string) => (group ? `${word}.${group}` : word);
const about = (of: Subject, name: string): StatusDetails => ({
  name,
  ...(of.group ? { group: of.group } : {}),
  kind: of.plural,
});

export const notFound = (of: Subject, name: string) =>
  new StatusError(404, "NotFound", `${qualified(of.group, of.plural)} "${name}" not found`, about(of, name));

export const alreadyExists = (of: Subject, name: string) =>
  new StatusError(
    409,
    "AlreadyExists",
    `${qualified(of.group, of.plural)} "${name}" already exists`,
    about(of, name),
  );

export const conflict = (of: Subject, name: string, what: string) =>
  new StatusError(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${qualified(of.group, of.plural)} "${name}": ${what}`,
    about(of, name),
  );

export const modified = (of: Subject, name: string) =>
  conflict(
    of,
    name,
    "the object has been modified; please apply your changes to the latest version and try again",
  );

export const forbidden = (of: Subject, name: string, what: string, causes?: StatusCause[]) =>
  new StatusError(
    403,
    "Forbidden",
    name
      ? `${qualified(of.group, of.plural)} "${name}" is forbidden: ${what}`
      : `${qualified(of.group, of.plural)} is forbidden: ${what}`,
    { ...about(of, name), ...(causes ? { causes } : {}) },
  );

export const badRequest = (message: string) => new StatusError(400, "BadRequest", message);

export const methodNotAllowed = () =>
  new StatusError(
    405,
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
    {},
  );

export const unsupportedMediaType = (accepted: readonly string[]) =>
  new StatusError(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
  );

export const expired = (message: string) => new StatusError(410, "Expired", message);

export const tooLargeResourceVersion = (asked: number, current: number) =>
  new StatusError(504, "Timeout", `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });

/** A field that is wrong (field.Error). */
export interface FieldError {
  type: FieldErrorType;
  field: string;
  /** Missing for the types that do not show the value. */
  value?: Json;
  /** The value is not shown although errors of this type show it. */
  isValueOmitted?: boolean;
  detail?: string;
}

export type FieldErrorType =
  | "Required"
  | "Invalid"
  | "TypeInvalid"
  | "NotSupported"
  | "Forbidden"
  | "TooLong"
  | "TooMany"
  | "Duplicate"
  | "NotFound"
  | "Internal";

const words: Record<FieldErrorType, [text: string, reason: string, showsValue: boolean]> = {
  Required: ["Required value", "FieldValueRequired", false],
  Invalid: ["Invalid value", "FieldValueInvalid", true],
  TypeInvalid: ["Invalid value", "FieldValueTypeInvalid", true],
  NotSupported: ["Unsupported value", "FieldValueNotSupported", true],
  Forbidden: ["Forbidden", "FieldValueForbidden", false],
  TooLong: ["Too long", "FieldValueTooLong", false],
  TooMany: ["Too many", "FieldValueTooMany", true],
  Duplicate: ["Duplicate value", "FieldValueDuplicate", true],
  NotFound: ["Not found", "FieldValueNotFound", true],
  Internal: ["Internal error", "InternalError", false],
};

/** The text of a field error after the field's path (field.Error.ErrorBody). */
export function errorBody(error: FieldError): string {
  const [text, , showsValue] = words[error.type];
  let body = text;
  if (showsValue && !error.isValueOmitted) body += `: ${shown(error.value)}`;
  if (error.detail) body += `: ${error.detail}`;
  return body;
}

function shown(value: Json): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "string") return goQuote(value);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Go's %q. */
export function goQuote(text: string): string {
  return JSON.stringify(text).replace(/\\u00([0-1][0-9a-f])/g, (_all, hex: string) => `\\x${hex}`);
}

/** 422 with one cause a field error. */
export function invalid(of: Subject, name: string, errors: readonly FieldError[]): StatusError {
  const texts = [...new Set(errors.map((error) => `${error.field}: ${errorBody(error)}`))];
  const list = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return new StatusError(
    422,
    "Invalid",
    `${qualified(of.group, of.kind)} "${name}" is invalid: ${list}`,
    {
      ...(name ? { name } : {}),
      ...(of.group ? { group: of.group } : {}),
      kind: of.kind,
      causes: errors.map((error) => ({
        reason: words[error.type][1],
        message: errorBody(error),
        field: error.field,
      })),
    },
  );
}
