/**
 * The picture that `top` shows: from Databases and pods to lines of text. Pure, so that it can be tried without a terminal.
 *
 * Whatever comes from the cluster is shown without control characters: a message must not steer the terminal.
 * @module
 */
import { isOfDatabase, observe, sizeOf, volumeOf } from "../postgres/mod.ts";
import { findCondition } from "../runtime/mod.ts";
import type { StoredDatabase } from "../types/app.example.com/v1.ts";
import type { StoredPod } from "../types/core/v1.ts";

/** What is shown, and how. */
export interface Scene {
  readonly databases: readonly StoredDatabase[];
  /** The members; `undefined` when they may not be read, then lag and volumes are not known. */
  readonly pods: readonly StoredPod[] | undefined;
  readonly nowMs: number;
  /** Longest line in characters; Infinity: nothing is cut or left out. */
  readonly columns: number;
  readonly color: boolean;
}

type Tone = "good" | "busy" | "bad" | "quiet" | "head" | "plain";
const codes: Record<Tone, string> = { good: "32", busy: "33", bad: "31", quiet: "2", head: "1", plain: "" };

interface Cell {
  readonly text: string;
  readonly tone: Tone;
}
type Column = "name" | "version" | "ready" | "primary" | "lag" | "volume" | "backup" | "age" | "status";
type Cells = Readonly<Record<Column, Cell>>;
type Row = Cells | { readonly note: string; readonly tone: Tone };

const heads: Record<Column, string> = {
  name: "NAMESPACE/NAME",
  version: "VERSION",
  ready: "READY",
  primary: "PRIMARY",
  lag: "LAG",
  volume: "VOLUME",
  backup: "BACKUP",
  age: "AGE",
  status: "STATUS",
};
/** What goes first when the terminal is narrow. */
const dispensable: readonly Column[] = ["age", "volume", "version", "backup", "lag", "primary"];
const gap = "  ";

/** The lines of the table, the head first; each is cut to the columns. */
export function render({ columns, color, ...scene }: Scene): string[] {
  const rows = scene.databases.toSorted(byName).flatMap((database) => rowsOf(database, scene));
  const cells = rows.filter((row): row is Cells => !("note" in row));
  let shown = Object.keys(heads) as Column[];
  const widthOf = (column: Column) =>
    Math.max(heads[column].length, ...cells.map((row) => lengthOf(row[column].text)));
  const width = () => shown.reduce((sum, column) => sum + widthOf(column) + gap.length, -gap.length);
  for (const column of dispensable) if (width() > columns) shown = shown.filter((other) => other !== column);
  const line = (texts: Cells) =>
    paintedLine(shown.map((column) => ({ ...texts[column], width: widthOf(column) })), columns, color);
  const head = Object.fromEntries(
    Object.entries(heads).map(([column, text]) => [column, { text, tone: "head" }]),
  ) as Cells;
  return [
    line(head),
    ...rows.map((row) => "note" in row ? paint(cut(`  ${row.note}`, columns), row.tone, color) : line(row)),
  ];
}

/** One line about all of them. */
export function summary(databases: readonly StoredDatabase[]): string {
  const ready = databases.filter((database) => isTrue(database, "Ready")).length;
  const down = databases.filter((database) => sizeOf(database) > 0 && !isTrue(database, "Available")).length;
  const blocked = databases.filter((database) => isTrue(database, "Blocked")).length;
  return [
    `${databases.length} ${databases.length === 1 ? "Database" : "Databases"}`,
    `${ready} ready`,
    ...(down > 0 ? [`${down} without primary`] : []),
    ...(blocked > 0 ? [`${blocked} blocked`] : []),
  ].join(" · ");
}

function rowsOf(database: StoredDatabase, { pods, nowMs }: Omit<Scene, "columns" | "color">): Row[] {
  const { metadata: { name, namespace, creationTimestamp }, spec, status } = database;
  const own = pods?.filter((pod) => pod.metadata.namespace === namespace && isOfDatabase(pod, name));
  const seen = observe(name, { pods: own ?? [] }, nowMs).members;
  const head = seen.find((member) => member.name === status?.primary)?.position;
  const lagOf = (member: string) => {
    const position = seen.find((one) => one.name === member)?.position;
    return head === undefined || position === undefined ? undefined : Math.max(0, head - position);
  };
  const members = (status?.members ?? []).map((member): Row => {
    const pod = own?.find((pod) => pod.metadata.name === member.name);
    const words = [
      member.state ?? "unknown",
      member.synchronous ? "synchronous" : "",
      member.pendingRestart ? "pending restart" : "",
      member.upToDate === false ? "to be restarted" : "",
    ];
    const isPrimary = member.name === status?.primary;
    return {
      name: { text: `  ${clean(member.name)}`, tone: "quiet" },
      version: quiet(""),
      ready: member.ready ? { text: "yes", tone: "good" } : { text: "no", tone: "bad" },
      primary: quiet(isPrimary ? "primary" : member.role ?? ""),
      lag: isPrimary ? quiet("") : lagCell(lagOf(member.name)),
      volume: volumeCell(pod ? volumeOf(pod) : {}),
      backup: quiet(""),
      age: quiet(since(pod?.metadata.creationTimestamp, nowMs)),
      status: { text: clean(words.filter(Boolean).join(", ")), tone: member.ready ? "quiet" : "busy" },
    };
  });
  const lags = (status?.members ?? []).flatMap((member) =>
    member.name === status?.primary ? [] : lagOf(member.name) ?? []
  );
  const ready = findCondition(status?.conditions, "Ready");
  const size = sizeOf(database), count = status?.readyReplicas ?? 0;
  return [
    {
      name: plain(`${namespace}/${name}`),
      version: plain(status?.version ?? spec.version),
      ready: { text: `${count}/${size}`, tone: count === size ? "good" : count === 0 ? "bad" : "busy" },
      primary: status?.primary ? plain(status.primary) : size > 0 ? { text: "none", tone: "bad" } : plain(""),
      lag: lags.length > 0 ? lagCell(Math.max(...lags)) : plain(""),
      volume: plain(""),
      backup: backupCell(database, nowMs),
      age: plain(since(creationTimestamp, nowMs)),
      status: { text: clean(ready?.reason ?? "Unknown"), tone: toneOf(database) },
    },
    ...notesOf(database),
    ...members,
  ];
}

/** What a person should read: what is being done, what stands in the way. */
function notesOf(database: StoredDatabase): Row[] {
  const { conditions, operations, upgrade } = database.status ?? {};
  const ready = findCondition(conditions, "Ready"), backups = findCondition(conditions, "BackupHealthy");
  const notes: Row[] = [];
  if (ready && ready.status !== "True") notes.push({ note: clean(ready.message), tone: toneOf(database) });
  if (upgrade) {
    notes.push({
      note: clean(`Upgrade: ${upgrade.phase}`),
      tone: upgrade.phase === "Failed" ? "bad" : "busy",
    });
  }
  if (operations?.switchoverTo) {
    notes.push({ note: clean(`Switchover to ${operations.switchoverTo}`), tone: "busy" });
  }
  if (backups?.status === "False") notes.push({ note: clean(`Backups: ${backups.message}`), tone: "bad" });
  return notes;
}

function toneOf(database: StoredDatabase): Tone {
  if (isTrue(database, "Ready")) return "good";
  if (sizeOf(database) === 0) return "quiet";
  const isNew = findCondition(database.status?.conditions, "Ready")?.reason === "Creating";
  return isTrue(database, "Blocked") || (!isNew && !isTrue(database, "Available")) ? "bad" : "busy";
}

function isTrue(database: StoredDatabase, type: string): boolean {
  return findCondition(database.status?.conditions, type)?.status === "True";
}

function backupCell({ spec, status }: StoredDatabase, nowMs: number): Cell {
  if (!spec.backups) return plain("");
  const failing = findCondition(status?.conditions, "BackupHealthy")?.status === "False";
  const text = status?.backup?.lastSuccessTime ? since(status.backup.lastSuccessTime, nowMs) : "none";
  return { text, tone: failing ? "bad" : text === "none" ? "busy" : "good" };
}

/** A standby that is behind by more than this could not take over without loss; Patroni's maximum_lag_on_failover. */
const lagMax = 1_048_576;

function lagCell(lag: number | undefined): Cell {
  if (lag === undefined) return quiet("?");
  return { text: bytes(lag), tone: lag > lagMax ? "busy" : "quiet" };
}

function volumeCell({ size, available }: { size?: number; available?: number }): Cell {
  if (size === undefined || available === undefined || size === 0) return quiet("");
  const used = 100 * (1 - available / size);
  return { text: `${Math.round(used)}%`, tone: used > 90 ? "bad" : used > 75 ? "busy" : "quiet" };
}

function byName({ metadata: a }: StoredDatabase, { metadata: b }: StoredDatabase): number {
  const [one, other] = [`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`];
  return one < other ? -1 : one > other ? 1 : 0;
}

function plain(text: string): Cell {
  return { text: clean(text), tone: "plain" };
}

function quiet(text: string): Cell {
  return { text: clean(text), tone: "quiet" };
}

/** In binary units, three digits: "16 MiB". */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  const at = Math.min(units.length - 1, count < 1 ? 0 : Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** at;
  return `${at > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[at]}`;
}

/** How long ago, as kubectl says it: "40s", "5m", "2h", "3d"; empty when not known. */
export function since(time: string | undefined, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(time ?? "")) / 1000));
  if (Number.isNaN(seconds)) return "";
  const steps: [limit: number, unit: number, letter: string][] = [
    [120, 1, "s"],
    [7200, 60, "m"],
    [172_800, 3600, "h"],
    [Infinity, 86_400, "d"],
  ];
  const [, unit, letter] = steps.find(([limit]) => seconds < limit)!;
  return `${Math.floor(seconds / unit)}${letter}`;
}

/** One line without anything that steers a terminal: control characters, and marks that change the direction of writing. */
export function clean(text: string): string {
  return text.replace(/\s+/g, " ").replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");
}

function lengthOf(text: string): number {
  return Array.from(text).length;
}

function cut(text: string, columns: number): string {
  const letters = Array.from(text);
  return letters.length <= columns ? text : `${letters.slice(0, Math.max(0, columns - 1)).join("")}…`;
}

function paint(text: string, tone: Tone, color: boolean): string {
  return color && codes[tone] && text ? `\x1b[${codes[tone]}m${text}\x1b[0m` : text;
}

/** Pads and cuts first, then colours: codes take no room. */
function paintedLine(cells: (Cell & { width: number })[], columns: number, color: boolean): string {
  let left = columns, line = "";
  for (const [at, { text, tone, width }] of cells.entries()) {
    if (left <= 0) break;
    const isLast = at === cells.length - 1;
    const shown = cut(text, left);
    line += paint(shown, tone, color);
    left -= lengthOf(shown);
    const padding = isLast ? 0 : Math.min(left, width - lengthOf(text) + gap.length);
    if (padding > 0) line += " ".repeat(padding);
    left -= Math.max(0, padding);
  }
  return color ? line : line.trimEnd();
}
