/**
 * Kubernetes quantities such as `500m`, `1Gi` and `1e3`: reading, comparing, writing canonically.
 * @module
 */

/** A quantity in thousand-millionths, so that every allowed value is exact. */
export interface Quantity {
  nano: bigint;
}

const binary: Record<string, bigint> = {
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
  Pi: 1n << 50n,
  Ei: 1n << 60n,
};
const decimal: Record<string, number> = { n: -9, u: -6, m: -3, "": 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };

/** Reads a quantity; undefined when the text is none. */
export function parseQuantity(text: string): Quantity | undefined {
  const m = /^([+-]?)(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$/.exec(text);
  if (!m) return undefined;
  const [, sign, digits = "0", suffix = ""] = m;
  const [whole = "0", fraction = ""] = digits.split(".");
  const mantissa = BigInt((whole || "0") + fraction);
  let numerator = mantissa;
  let exponent = 9 - fraction.length;
  const scale = binary[suffix];
  if (scale) numerator *= scale;
  else if (/^[eE][+-]?\d/.test(suffix)) exponent += Number(suffix.slice(1));
  else exponent += decimal[suffix] ?? 0;
  const nano = exponent >= 0
    ? numerator * 10n ** BigInt(Math.min(exponent, 60))
    : (numerator + 10n ** BigInt(-exponent) - 1n) / 10n ** BigInt(-exponent);
  return { nano: sign === "-" ? -nano : nano };
}

/** Negative, zero or positive as a is less than, equal to or greater than b. */
export function compareQuantity(a: Quantity, b: Quantity): number {
  return a.nano < b.nano ? -1 : a.nano > b.nano ? 1 : 0;
}

/** The form in which the API server stores a quantity of a built-in kind: 1024Mi becomes 1Gi, 1000m becomes 1. */
export function canonicalQuantity(value: string | number): string {
  const text = String(value);
  const quantity = parseQuantity(text);
  if (!quantity) return text;
  if (quantity.nano === 0n) return "0";
  const isBinary = text.endsWith("i");
  const sign = quantity.nano < 0n ? "-" : "";
  const nano = quantity.nano < 0n ? -quantity.nano : quantity.nano;
  if (isBinary && nano % 1_000_000_000n === 0n) {
    const units = nano / 1_000_000_000n;
    for (const [suffix, scale] of Object.entries(binary).reverse()) {
      if (units % scale === 0n) return `${sign}${units / scale}${suffix}`;
    }
    return `${sign}${units}`;
  }
  const exponentForm = /[eE][+-]?\d+$/.test(text);
  let exponent = -9;
  let mantissa = nano;
  while (mantissa % 1000n === 0n && exponent < 18) {
    mantissa /= 1000n;
    exponent += 3;
  }
  if (exponentForm) return `${sign}${mantissa}${exponent === 0 ? "" : `e${exponent}`}`;
  const suffix = Object.entries(decimal).find(([, power]) => power === exponent)?.[0] ?? "";
  return `${sign}${mantissa}${suffix}`;
}
