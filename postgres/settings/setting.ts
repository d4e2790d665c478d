/**
 * One setting of PostgreSQL, and how PostgreSQL reads the text of its value.
 *
 * Follows parse_int, parse_real and convert_to_base_unit in PostgreSQL's src/backend/utils/misc/guc.c and parse_bool in
 * src/backend/utils/adt/bool.c: what they refuse keeps a server from starting.
 * @module
 */

/** Type of a setting, its bounds in its unit, its words; `fixed`: a configuration file may not hold it. */
export type Setting =
  | readonly ["fixed"]
  | readonly ["bool"]
  | readonly ["string"]
  | readonly ["enum", ...words: string[]]
  | readonly ["integer" | "real", min: number, max: number, unit?: string];

/** All settings of a major version, by name in lower case. */
export type Settings = Readonly<Record<string, Setting>>;

/**
 * A value as PostgreSQL reads it.
 *
 * `text` is the same value in the words that Patroni 4.0 understands too: it drops `t` and hexadecimal reals, which
 * PostgreSQL takes. `number` is in the setting's unit. Or `problem`: what is wrong, and what would be right.
 */
export type Reading =
  | { readonly text: string; readonly number?: number; readonly problem?: undefined }
  | { readonly problem: string };

/**
 * Reads a value of a setting.
 *
 * @param least a bound above the setting's own, in its unit; for what Patroni or the number of members wants
 */
export function readSetting(setting: Setting, value: string, least = -Infinity): Reading {
  switch (setting[0]) {
    case "fixed":
      return { problem: "it cannot be set" };
    case "string":
      return { text: value };
    case "bool": {
      const is = readBool(value);
      return is === undefined
        ? { problem: `${quoted(value)} is not on or off` }
        : { text: is ? "on" : "off" };
    }
    case "enum": {
      const [, ...words] = setting;
      if (words.some((word) => word.toLowerCase() === value.toLowerCase())) return { text: value };
      return { problem: `${quoted(value)} is not one of ${words.filter(isShown).join(", ")}` };
    }
    default:
      return readNumber(setting, value, least);
  }
}

/** Other words for on and off are not worth telling. */
function isShown(word: string, _index: number, words: readonly string[]): boolean {
  return word !== "" && !(words.includes("on") && /^(0|1|true|false|yes|no)$/.test(word));
}

/** PostgreSQL's parse_bool: any beginning of the words that says which one it is, in either case, without spaces. */
export function readBool(value: string): boolean | undefined {
  const word = value.toLowerCase();
  if (word === "1" || word === "on") return true;
  if (word === "0" || word === "of" || word === "off") return false;
  if (word === "") return undefined;
  if ("true".startsWith(word) || "yes".startsWith(word)) return true;
  return "false".startsWith(word) || "no".startsWith(word) ? false : undefined;
}

/** Multiples of the smallest unit, largest first. */
const sizes = { TB: 2 ** 40, GB: 2 ** 30, MB: 2 ** 20, kB: 2 ** 10, B: 1 };
const times = { d: 86_400_000_000, h: 3_600_000_000, min: 60_000_000, s: 1_000_000, ms: 1_000, us: 1 };

/** The units that a setting can be given in: `8kB` counts in blocks of that size, and any size will do. */
function unitsOf(unit: string): { table: Record<string, number>; base: number } {
  const [, count, word = ""] = /^(\d*)(\D+)$/.exec(unit) ?? [];
  const table: Record<string, number> = word in sizes ? sizes : times;
  return { table, base: Number(count || 1) * (table[word] ?? 1) };
}

function readNumber(
  [type, min, max, unit]: readonly ["integer" | "real", min: number, max: number, unit?: string],
  value: string,
  least: number,
): Reading {
  const found = type === "integer" ? beginningInteger(value) : beginningReal(value);
  const word = /^[ \t\n\v\f\r]*([^ \t\n\v\f\r]*)[ \t\n\v\f\r]*$/.exec(found?.rest ?? "")?.[1];
  const number = found && (word === "" ? found.number : toUnit(found.number, word, unit));
  if (found === undefined || number === undefined) {
    return {
      problem: `${quoted(value)} is not ${type === "integer" ? "a whole number" : "a number"}${
        inUnits(unit)
      }`,
    };
  }
  const is = type === "integer" ? roundHalfEven(number) : number;
  const from = Math.max(min, least);
  if (!(is >= from && is <= max)) {
    return { problem: `${quoted(value)} is not between ${withUnit(from, unit)} and ${withUnit(max, unit)}` };
  }
  return { text: type === "real" && found.hexadecimal ? `${found.number}${word}` : value, number: is };
}

function inUnits(unit: string | undefined): string {
  if (unit === undefined) return "";
  const words = Object.keys(unitsOf(unit).table);
  return ` with or without a unit (${words.toReversed().join(", ")})`;
}

/** PostgreSQL's convert_to_base_unit: "30.1GB" is first rounded to whole MB. */
function toUnit(number: number, word: string | undefined, unit: string | undefined): number | undefined {
  if (word === undefined || unit === undefined) return undefined;
  const { table, base } = unitsOf(unit);
  const multiplier = Object.hasOwn(table, word) ? table[word] : undefined;
  if (multiplier === undefined) return undefined;
  const units = Object.values(table);
  const smaller = units[units.indexOf(multiplier) + 1];
  const converted = number * (multiplier / base);
  if (smaller === undefined) return converted;
  return roundHalfEven(converted / (smaller / base)) * (smaller / base);
}

/** A bound with the largest unit that shows it whole: 131072 blocks of 8kB are 1GB. */
function withUnit(bound: number, unit: string | undefined): string {
  if (unit === undefined || bound <= 0) return String(bound);
  const { table, base } = unitsOf(unit);
  const [word, size] = Object.entries(table).find(([, size]) => (bound * base) % size === 0) ?? [unit, base];
  return `${(bound * base) / size}${word}`;
}

interface Beginning {
  readonly number: number;
  readonly rest: string;
  readonly hexadecimal?: boolean;
}

/** The C library's strtol with base 0 - "0x1F", "017" - and where a point or an exponent follows, its strtod. */
function beginningInteger(text: string): Beginning | undefined {
  const match = /^[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)/.exec(text);
  const rest = match ? text.slice(match[0].length) : text.replace(/^[ \t\n\v\f\r]*[+-]?/, "");
  if (/^[.eE]/.test(rest)) return beginningReal(text);
  if (!match) return undefined;
  const [, sign, digits = ""] = match;
  const octal = /^0[0-7]+$/.test(digits);
  const number = octal ? parseInt(digits, 8) : Number(digits);
  // strtol gives up beyond 64 bits, and strtod reads the digits as decimal ones.
  if (number >= 2 ** 63) return beginningReal(text);
  return { number: sign === "-" ? -number : number, rest };
}

/** The C library's strtod, without its words for infinity, which no setting takes, and not-a-number. */
function beginningReal(text: string): Beginning | undefined {
  const hexadecimal = /^[ \t\n\v\f\r]*([+-]?)0[xX]([0-9a-fA-F]+)(?![0-9a-fA-F.pP])/.exec(text);
  if (hexadecimal) {
    const number = Number(`0x${hexadecimal[2]}`) * (hexadecimal[1] === "-" ? -1 : 1);
    return { number, rest: text.slice(hexadecimal[0].length), hexadecimal: true };
  }
  const match = /^[ \t\n\v\f\r]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/.exec(text);
  if (!match) return undefined;
  const number = Number(match[1]);
  return Number.isFinite(number) ? { number, rest: text.slice(match[0].length) } : undefined;
}

/** The C library's rint. */
function roundHalfEven(number: number): number {
  const floor = Math.floor(number);
  const above = number - floor;
  if (above !== 0.5) return above < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** A value in a message: in quotes, and short. */
function quoted(value: string): string {
  return JSON.stringify(value.length > 64 ? `${value.slice(0, 63)}…` : value);
}
