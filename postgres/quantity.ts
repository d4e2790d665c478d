/**
 * Kubernetes quantities as numbers: to compare sizes of volumes and to derive settings from them.
 * @module
 */

const factors: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/**
 * The value of a quantity, for example 1073741824 for "1Gi".
 *
 * Doubles carry 53 bits: exact for every whole number of bytes up to 8 PiB.
 *
 * @throws {SyntaxError} when it is not a quantity
 */
export function parseQuantity(text: string | number): number {
  const match = /^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,3}))?$/
    .exec(String(text));
  if (!match) {
    throw new SyntaxError(`Cannot read quantity ${JSON.stringify(text)}: expected a number such as "10Gi"`);
  }
  const value = Number(match[1]);
  return match[3] === undefined ? value * factors[match[2] ?? ""]! : value * 10 ** Number(match[3]);
}

/** Negative, zero or positive, as the first quantity is smaller than, equal to or larger than the second. */
export function compareQuantities(a: string | number, b: string | number): number {
  return parseQuantity(a) - parseQuantity(b);
}
