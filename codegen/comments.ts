/**
 * Text as a JSDoc comment: whatever it says, it can neither end the comment nor start a tag.
 * @module
 */

/** Line ends of all systems; U+2028 and U+2029 end a line in JavaScript as well. */
const lineEnd = /\r\n|[\n\r\u2028\u2029\v\f\u0085]/;
// deno-lint-ignore no-control-regex
const control = /[\u0000-\u0008\u000e-\u001f\u007f]/g;

/** The text between `/*` and the end mark. */
export function commentText(text: string): string {
  const lines = text.split(lineEnd).map(safeLine);
  while (lines[0] === "") lines.shift();
  while (lines.at(-1) === "") lines.pop();
  if (lines.length <= 1) return `* ${lines[0] ?? ""} `;
  return `*\n${lines.map((line) => line === "" ? " *" : ` * ${line}`).join("\n")}\n `;
}

/** A whole comment with its line end, not indented. */
export function blockComment(text: string, indent = ""): string {
  return `${indent}/*${commentText(text).replaceAll("\n", `\n${indent}`)}*/\n`;
}

/** A tag of ours, which {@link commentText} leaves alone. */
export function tag(name: "deprecated", text = ""): string {
  return `\u0000@${name} ${text}`.trimEnd();
}

function safeLine(line: string): string {
  const isTag = line.startsWith("\u0000@");
  const safe = line
    .replaceAll("*/", "*\\/")
    .replace(
      control,
      (char) => isTag && char === "\u0000" ? "" : `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
    )
    .trimEnd();
  return isTag ? safe : safe.replace(/^(\s*)@/, "$1\\@").replace(/\{@/g, "{\\@");
}
