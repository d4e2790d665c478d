/**
 * Long texts, such as the programs in a ConfigMap: the same ones in many objects and in every pass.
 *
 * Each is kept once, however many cached objects have it, and hashed once.
 * @module
 */

/** From `length` characters on a text is worth being known. The most that is held is `count` of at most `lengthMax`. */
const LONG = { length: 1_024, lengthMax: 65_536, count: 128 };

/** Those met last, the longest ago first. */
const known = new Map<string, { readonly text: string; hash?: string }>();

/** True for a text that {@linkcode sharedText} and {@linkcode hashOfLongText} are for. */
export function isLongText(text: string): boolean {
  return text.length >= LONG.length && text.length <= LONG.lengthMax;
}

function entryOf(text: string): { readonly text: string; hash?: string } {
  const entry = known.get(text) ?? { text };
  known.delete(text);
  known.set(entry.text, entry);
  if (known.size > LONG.count) known.delete(known.keys().next().value!);
  return entry;
}

/** The same text, in the place in memory where it was met first. */
export function sharedText(text: string): string {
  return entryOf(text).text;
}

/** {@linkcode hashOfText}, worked out once while the text is known. */
export function hashOfLongText(text: string): string {
  const entry = entryOf(text);
  return entry.hash ??= hashOfText(text);
}

/** 53 bits as 14 hexadecimal digits. (cyrb53, public domain.) */
export function hashOfText(text: string): string {
  let low = 0xdeadbeef, high = 0x41c6ce57;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    low = Math.imul(low ^ unit, 2654435761);
    high = Math.imul(high ^ unit, 1597334677);
  }
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  return (4294967296 * (2097151 & high) + (low >>> 0)).toString(16).padStart(14, "0");
}
