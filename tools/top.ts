/**
 * A live view of all Databases of a cluster, from the kubeconfig alone: `npm run top`, `deno task top`.
 *
 * It reads Databases and, where it may, their members' pods, with the operator's own caches, and writes nothing. On a
 * terminal it takes the alternate screen and gives it back at the end, whatever ends it; with --once, or when its output
 * is not a terminal, it prints the table and ends.
 * @module
 */
import process from "node:process";
import {
  ApiError,
  Client,
  ConfigurationError,
  connect,
  type Connection,
  createLogger,
  createManager,
  type Informer,
  type Invocation,
  isForbidden,
  isNotFound,
  runCommand,
  systemClock,
} from "../runtime/mod.ts";
import { label } from "../postgres/mod.ts";
import { databases, type StoredDatabase } from "../types/app.example.com/v1.ts";
import { pods, type StoredPod } from "../types/core/v1.ts";
import { render, type Scene, summary } from "./view.ts";

/** Where the picture goes; the process's own terminal, or a test's. */
export interface Screen {
  readonly isTerminal: boolean;
  size(): { columns: number; rows: number };
  write(text: string): void;
}

/** Members have both labels; nothing else is watched. */
const labelSelector = `${label.database},${label.component}=postgres`;
/** Changes within this time are one picture, in milliseconds. */
const pauseMs = 200;
/** Ages go on when nothing else does, in milliseconds. */
const tickMs = 1000;

/** Shows until the signal is aborted, or once. */
export async function top(
  rest: Connection,
  screen: Screen,
  { namespace, once, color, signal }: {
    namespace?: string | undefined;
    once: boolean;
    color: boolean;
    signal: AbortSignal;
  },
): Promise<void> {
  const client = new Client(rest, { fieldManager: "top" });
  const where = namespace === undefined ? {} : { namespace };
  const place = namespace === undefined ? "any namespace" : `namespace "${namespace}"`;
  const found = await client.list(databases, where).catch((cause) => {
    throw explain(cause, rest.server, place);
  });
  const members = await client.list(pods, { ...where, labelSelector }).catch((error) => {
    if (isForbidden(error)) return undefined;
    throw error;
  });
  const columns = () => screen.isTerminal ? screen.size().columns : Infinity;
  if (once || !screen.isTerminal) {
    const scene = {
      databases: found.items,
      pods: members?.items,
      nowMs: systemClock.now(),
      columns: columns(),
      color,
    };
    screen.write(found.items.length === 0 ? `No Databases in ${place}\n` : `${render(scene).join("\n")}\n`);
    return;
  }
  const manager = createManager({
    rest,
    name: "top",
    log: createLogger({ sink: () => {} }), // what goes wrong is on the screen
    watchNamespaces: namespace === undefined ? [] : [namespace],
  });
  const seen = manager.informer(databases);
  const seenPods = members && manager.informer(pods, { labelSelector });
  const view = new View(screen, () => pictureOf(seen, seenPods, { columns: columns(), color, rest, place }));
  const changed = () => view.changed();
  const handler = { add: changed, update: changed, delete: changed };
  seen.on(handler);
  seenPods?.on(handler);
  const ended = new AbortController();
  const running = manager.start(AbortSignal.any([signal, ended.signal]));
  try {
    await view.show(AbortSignal.any([signal, ended.signal]), running, () => ended.abort(new Error("Quit")));
  } finally {
    ended.abort(new Error("The view is over"));
    await running;
  }
}

/** The title, the head of the table, and all of its lines. */
interface Picture {
  readonly title: string;
  readonly head: string;
  readonly lines: readonly string[];
}

/** The whole picture, not yet cut to the height. */
function pictureOf(
  seen: Informer<StoredDatabase>,
  seenPods: Informer<StoredPod> | undefined,
  { columns, color, rest, place }: { columns: number; color: boolean; rest: Connection; place: string },
): Picture {
  const scene: Scene = {
    databases: seen.list(),
    pods: seenPods?.list(),
    nowMs: systemClock.now(),
    columns,
    color,
  };
  const state = !seen.hasSynced
    ? "reading ..."
    : seen.lastError === undefined
    ? summary(scene.databases)
    : `not current for ${Math.round((seen.ageMs() ?? 0) / 1000)} s: ${seen.lastError}`;
  const members = seenPods ? "" : " · pods may not be read: no lag";
  const [head = "", ...lines] = render(scene);
  const none = seen.hasSynced && scene.databases.length === 0 ? [`No Databases in ${place}`] : [];
  return { title: `${state}${members} · ${rest.server} · q quits`, head, lines: [...lines, ...none] };
}

/** Draws on a terminal, at most five times a second, and scrolls. */
class View {
  readonly #screen: Screen;
  readonly #picture: () => Picture;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #offset = 0;
  #isOn = false;

  constructor(screen: Screen, picture: () => Picture) {
    this.#screen = screen;
    this.#picture = picture;
  }

  /** Draws soon; changes that come together are one picture. */
  changed(): void {
    if (!this.#isOn) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#draw();
    }, pauseMs);
  }

  /** Shows until the signal is aborted or `running` fails; the terminal is as before then. */
  async show(signal: AbortSignal, running: Promise<void>, quit: () => void): Promise<void> {
    const redraw = () => this.#draw();
    const ticks = setInterval(redraw, tickMs);
    const { stdin, stdout } = process;
    const onKey = (text: string) => {
      if (text === "q" || text === "\x03") return quit();
      const page = Math.max(1, this.#screen.size().rows - 3);
      const moves: Record<string, number> = {
        "\x1b[A": -1,
        k: -1,
        "\x1b[B": 1,
        j: 1,
        "\x1b[5~": -page,
        "\x1b[6~": page,
        " ": page,
        g: -Infinity,
      };
      if (moves[text] === undefined) return;
      this.#offset = Math.max(0, this.#offset + moves[text]);
      this.#draw();
    };
    const hasKeys = stdin.isTTY;
    this.#isOn = true;
    this.#screen.write("\x1b[?1049h\x1b[?25l");
    try {
      stdout.on("resize", redraw);
      if (hasKeys) stdin.setRawMode(true).setEncoding("utf8").on("data", onKey).resume();
      this.#draw();
      await Promise.race([
        running,
        new Promise<void>((settle) => {
          if (signal.aborted) settle();
          signal.addEventListener("abort", () => settle(), { once: true });
        }),
      ]);
    } finally {
      this.#isOn = false;
      clearInterval(ticks);
      clearTimeout(this.#timer);
      stdout.off("resize", redraw);
      if (hasKeys) stdin.off("data", onKey).setRawMode(false).pause();
      this.#screen.write("\x1b[?25h\x1b[?1049l");
    }
  }

  /** Line by line over what is there: nothing flickers. */
  #draw(): void {
    const { columns, rows } = this.#screen.size();
    const { title, head, lines } = this.#picture();
    const room = Math.max(1, rows - 3);
    this.#offset = Math.min(this.#offset, Math.max(0, lines.length - room));
    const shown = lines.slice(this.#offset, this.#offset + room);
    const rest = lines.length - this.#offset - shown.length;
    const more = rest > 0 || this.#offset > 0 ? `${rest} more lines below, ${this.#offset} above` : "";
    const all = [title.slice(0, columns), head, ...shown, more.slice(0, columns)].slice(0, rows);
    this.#screen.write(`\x1b[H${all.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J`);
  }
}

/** One line for what people run into. */
function explain(cause: unknown, server: string, place: string): Error {
  if (isNotFound(cause)) {
    return new ConfigurationError(`Cannot find Databases at ${server}: install crd.yaml first`, { cause });
  }
  if (isForbidden(cause)) {
    return new ConfigurationError(
      `May not list Databases in ${place} at ${server}: name a namespace that you may read with --namespace`,
    );
  }
  return cause instanceof ApiError
    ? new Error(`Cannot list Databases at ${server}`, { cause })
    : cause instanceof Error
    ? cause
    : new Error(String(cause));
}

async function main({ flags, env, signal }: Invocation): Promise<void> {
  const rest = await connect({
    kubeconfig: flags.kubeconfig?.toString(),
    context: flags.context?.toString(),
    userAgent: "database-top",
  });
  const { stdout } = process;
  const isTerminal = stdout.isTTY;
  try {
    await top(rest, {
      isTerminal,
      size: () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 }),
      write: (text) => {
        stdout.write(text);
      },
    }, {
      namespace: flags.namespace?.toString(),
      once: flags.once === true,
      color: isTerminal && !env("NO_COLOR"),
      signal,
    });
  } finally {
    rest.close();
  }
}

if (import.meta.main) {
  await runCommand(
    `Shows all Databases of a cluster with their members, live.

Usage: npm run top [-- --once] [-- --namespace NS]

  --namespace NS      only this namespace; default: all
  --once              print the table and end; so it does when the output is not a terminal
  --kubeconfig FILE   which cluster; default: KUBECONFIG, ~/.kube/config
  --context NAME      context of the kubeconfig
  -h, --help

Keys: q quits, arrows, j, k, space and page keys scroll. NO_COLOR switches colours off.`,
    {
      "namespace": { type: "string" },
      "once": { type: "boolean" },
      "kubeconfig": { type: "string" },
      "context": { type: "string" },
    },
    main,
  );
}
