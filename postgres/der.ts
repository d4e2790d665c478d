/**
 * The little of DER (ITU-T X.690) that X.509 certificates need: values are written as bytes, and read as a tree.
 * @module
 */

/** Tags of X.690 with their class and form, as they stand in the first byte of a value. */
export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The tag of a context's field `[number]`: of parts, when its own tag is kept (EXPLICIT); otherwise of a plain value. */
export function field(number: number, form: "parts" | "plain"): number {
  return 0x80 | (form === "parts" ? 0x20 : 0) | number;
}

/** A value: its tag, its length, and its content, which may be other values. */
export function write(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest >>>= 8) digits.unshift(rest & 0xff);
  const size = length < 0x80 ? [length] : [0x80 | digits.length, ...digits];
  return concatenate([Uint8Array.of(tag, ...size), ...content]);
}

/** An object identifier, in dots and decimal numbers. */
export function writeObjectIdentifier(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...others] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second, ...others].flatMap((number) => {
    const digits = [number & 0x7f];
    for (let rest = number >>> 7; rest > 0; rest >>>= 7) digits.unshift(0x80 | rest & 0x7f);
    return digits;
  });
  return write(tag.objectIdentifier, Uint8Array.from(bytes));
}

/** A time to the second, in the form that RFC 5280 (4.1.2.5) wants of its year. */
export function writeTime(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/\.\d+|[-:T]/g, "");
  const isLate = Number(digits.slice(0, 4)) >= 2050;
  return write(isLate ? tag.generalizedTime : tag.utcTime, writeText(isLate ? digits : digits.slice(2)));
}

/** The bytes of a text, without a tag. */
export function writeText(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A value that was read. */
export interface Value {
  readonly tag: number;
  readonly content: Uint8Array;
  /** The whole of it, with its tag and length. */
  readonly bytes: Uint8Array;
}

/**
 * The values that stand one after the other.
 *
 * @throws {SyntaxError} when that is not all there is
 */
export function read(bytes: Uint8Array): Value[] {
  const values: Value[] = [];
  for (let at = 0; at < bytes.length;) {
    const [tag = 0, size = 0] = bytes.subarray(at);
    // A length of up to 127 is that byte; otherwise the byte counts those of the length.
    const digits = size < 0x80 ? 0 : size & 0x7f;
    const start = at + 2 + digits;
    const length = size < 0x80
      ? size
      : bytes.subarray(at + 2, start).reduce((sum, digit) => sum * 256 + digit, 0);
    const end = start + length;
    if ((tag & 0x1f) === 0x1f || size === 0x80 || digits > 4 || end > bytes.length) {
      throw new SyntaxError(`Cannot read the value at byte ${at}: expected DER`);
    }
    values.push({ tag, content: bytes.subarray(start, end), bytes: bytes.subarray(at, end) });
    at = end;
  }
  return values;
}

/** An object identifier that was read, in dots and decimal numbers. */
export function readObjectIdentifier({ content }: Value): string {
  const numbers: number[] = [];
  let number = 0;
  for (const byte of content) {
    number = number * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      numbers.push(number);
      number = 0;
    }
  }
  const [both = 0, ...others] = numbers;
  const first = Math.min(2, Math.floor(both / 40));
  return [first, both - first * 40, ...others].join(".");
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
