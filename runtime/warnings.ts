/**
 * Warnings of the API server: a deprecated version, a pod that the Pod Security level would refuse, an unknown field.
 *
 * They come as `Warning` headers of an answer (RFC 2616, 14.46). As in client-go (rest/warnings.go and apimachinery
 * pkg/util/net/http.go) only those with code 299 and a text count, and each text is told once, however often it comes.
 * @module
 */

import type { Counter } from "./metrics.ts";
import type { Logger } from "./logger.ts";

/** How many texts are remembered: they name objects, so there is no end to them. */
const TEXTS_MAX = 1_000;

/** `code agent "text" "date"`; the date is optional. Quotes and backslashes in the text follow a backslash. */
const warning = /^\s*(\d{3}) \S+ "((?:[^"\\]|\\.)*)"(?: "[^"]*")?\s*(?:,|$)/;

/**
 * The texts of a `Warning` header, or of several joined by commas. What cannot be read ends the reading.
 *
 * @example
 * parseWarnings('299 - "v1 Endpoints is deprecated"'); // ["v1 Endpoints is deprecated"]
 */
export function parseWarnings(header: string): string[] {
  const texts: string[] = [];
  let rest = header;
  for (let found = warning.exec(rest); found; found = warning.exec(rest)) {
    const [whole, code, quoted = ""] = found;
    const text = utf8(quoted.replaceAll(/\\(.)/g, "$1"));
    if (code === "299" && text !== "") texts.push(text);
    rest = rest.slice(whole.length);
  }
  return texts;
}

/** Headers are read byte by byte, but the API server writes its texts in UTF-8. */
function utf8(bytes: string): string {
  return new TextDecoder().decode(Uint8Array.from(bytes, (letter) => letter.charCodeAt(0)));
}

/** Counts every warning and logs each text once. */
export class WarningHandler {
  readonly #log: Logger;
  readonly #count: Counter;
  readonly #told = new Set<string>();

  constructor(log: Logger, count: Counter) {
    this.#log = log;
    this.#count = count;
    count.inc({}, 0); // so that there is a 0 to be seen
  }

  /** Takes one in. */
  handle(text: string): void {
    this.#count.inc();
    if (this.#told.has(text)) return;
    if (this.#told.size >= TEXTS_MAX) this.#told.clear();
    this.#told.add(text);
    this.#log.warn(text);
  }
}
