/**
 * The string formats that kube-apiserver checks (kube-openapi pkg/validation/strfmt); others pass.
 * @module
 */

const ipv4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/;
const ipv6 = /^(?=.*:)[0-9a-fA-F:]+(?:(?:\d{1,3}\.){3}\d{1,3})?$/;

const patterns: Record<string, (text: string) => boolean> = {
  "date": (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)),
  "date-time": (text) =>
    /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:?\d{2})$/.test(text) &&
    !Number.isNaN(Date.parse(text)),
  "duration": (text) =>
    /^[+-]?(\d+(\.\d+)?\s*(ns|us|µs|ms|s|m|h|d|w|nanoseconds?|microseconds?|milliseconds?|seconds?|minutes?|hours?|days?|weeks?)\s*)+$/
      .test(text) || text === "0",
  "byte": (text) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text),
  "email": (text) => /^[^@\s]+@[^@\s]+$/.test(text),
  "hostname": (text) =>
    text.length <= 255 &&
    /^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)*\.?$/
      .test(text),
  "ipv4": (text) => ipv4.test(text),
  "ipv6": (text) => ipv6.test(text),
  "cidr": (text) => {
    const [address = "", bits] = text.split("/");
    return bits !== undefined && /^\d+$/.test(bits) &&
      ((ipv4.test(address) && Number(bits) <= 32) || (ipv6.test(address) && Number(bits) <= 128));
  },
  "mac": (text) => /^([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}$/.test(text),
  "uri": (text) => /^[a-zA-Z][a-zA-Z0-9+.-]*:/.test(text) || text.startsWith("/"),
  "uuid": (text) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(text),
  "uuid3": (text) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(text),
  "uuid4": (text) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i.test(text),
  "uuid5": (text) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/i.test(text),
};

/** What is wrong with the text as a value of this format; undefined when nothing is, or the format is unknown. */
export function formatProblem(format: string, text: string): string | undefined {
  const test = Object.hasOwn(patterns, format) ? patterns[format] : undefined;
  return test && !test(text) ? `not a ${format}` : undefined;
}
