/**
 * Tables in Markdown.
 * @module
 */

/** One row. */
export function row(cells: string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** Three digits; nothing for what was not measured. */
export function digits(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "";
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
