/**
 * Runs a Python program of a member's or a Job's pod with stand-ins for pgbackrest, postgres, psql and other commands: its
 * folders are one temporary folder, and every command that it runs is answered by the scene and written down.
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { test as uvuTest } from "uvu";
import { within } from "../within.ts";

/** Python itself, as what is called python3 may be a script that looks for it; empty where there is none. */
export const python = String(spawnSync("python3", ["-c", "import sys; print(sys.executable)"]).stdout ?? "")
  .trim();

/**
 * Without what is installed beside Python: the programs use its own modules alone, and start in half the time. And no
 * compiled file is left beside a module.
 */
export const pythonFlags = ["-S", "-B"] as const;

/** Skips where there is no Python: the images have one. */
export const pythonTest = python === "" ? uvuTest.skip : uvuTest;

/** What a command answers. Of several, each is given once, in order, and the last for ever. */
export interface Answer {
  readonly out?: string;
  readonly err?: string;
  readonly code?: number;
  /** Runs on until SIGINT, as a server does. */
  readonly serves?: boolean;
  /** Answers only while there is such a server, else fails. */
  readonly asks?: boolean;
  /** Files made before it ends, below the stand-in's folder. */
  readonly files?: Readonly<Record<string, string>>;
}

/** By the words that the command line has to hold, all of them: the first that fits answers. */
export type Answers = Readonly<Record<string, Answer | readonly Answer[]>>;

/**
 * Answers every command; one program for all of them, by the name it is called by. Called some hundred times, it loads
 * little: the answers are read as Python, which JSON but for three words is.
 */
const standIn = `#!${python} -IS
import fcntl, os, sys, time
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
line = os.path.basename(__file__) + " " + " ".join(sys.argv[1:])
lock = open(root + "/lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
asked = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
with open(root + "/calls", "a", encoding="utf-8", errors="surrogateescape") as file:
    file.write("".join(part + "\\0" for part in (line, asked, os.environ.get("PGOPTIONS", ""))))
with open(root + "/answers.json") as file:
    answers = eval(file.read(), {"true": True, "false": False, "null": None})
key = next((key for key in answers if all(word in line + " " + asked for word in key.split())), None)
if key is None:
    sys.exit("no answer to " + line)
given = answers[key]
if isinstance(given, list):
    at = root + "/count-" + str(list(answers).index(key))
    count = int(open(at).read()) if os.path.exists(at) else 0
    with open(at, "w") as file:
        file.write(str(count + 1))
    given = given[min(count, len(given) - 1)]
for name, text in given.get("files", {}).items():
    os.makedirs(os.path.dirname(root + "/" + name), exist_ok=True)
    with open(root + "/" + name, "w") as file:
        file.write(text)
if given.get("asks") and not os.path.exists(root + "/serving"):
    sys.exit(2)
# A lone surrogate stands for a byte that is not UTF-8.
sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
sys.stdout.write(given.get("out", ""))
sys.stderr.write(given.get("err", ""))
sys.stdout.flush()
sys.stderr.flush()
lock.close()
if given.get("serves"):
    import signal
    ended = []
    signal.signal(signal.SIGINT, lambda *_: ended.append(1))
    open(root + "/serving", "w").close()
    deadline = time.monotonic() + 20
    while not ended and time.monotonic() < deadline:
        time.sleep(0.02)
    os.remove(root + "/serving")
sys.exit(given.get("code", 0))
`;

/** A folder with the stand-ins in it; `close` removes it. */
export class StandIns {
  readonly root = mkdtempSync(join(tmpdir(), "stand-ins-"));
  readonly bin = join(this.root, "bin");

  constructor(commands: readonly string[], answers: Answers) {
    for (const command of commands) this.write(`bin/${command}`, standIn);
    for (const command of commands) chmodSync(join(this.bin, command), 0o755);
    this.answer(answers);
  }

  /** What the commands answer from now on. */
  answer(answers: Answers): void {
    this.write("answers.json", JSON.stringify(answers));
  }

  write(name: string, text: string): void {
    const path = join(this.root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  /** The text of a file; `undefined` when it is not there. */
  read(name: string): string | undefined {
    const path = join(this.root, name);
    return existsSync(path) ? readFileSync(path, "utf8") : undefined;
  }

  /** The command lines so far, with what each was given to read and its PGOPTIONS. */
  calls(): { line: string; input: string; options: string }[] {
    const calls = (this.read("calls") ?? "").matchAll(/([^\0]*)\0([^\0]*)\0([^\0]*)\0/g);
    return [...calls].map(([, line = "", input = "", options = ""]) => ({ line, input, options }));
  }

  /** The program with /tmp and each of these folders here in place of the pod's, and pauses a tenth as long. */
  moved(program: string, folders: readonly string[]): string {
    const own = program.replaceAll('"/tmp/', `"${this.root}/`)
      .replace(/\btime\.sleep\(([\d.]+)\)/g, "time.sleep($1 / 10)");
    return folders.reduce((text, folder) => text.replaceAll(folder, join(this.root, folder)), own);
  }

  /** Runs a Python program to its end. */
  async run(program: string, args: readonly string[] = []): Promise<{ code: number | null; output: string }> {
    const env = { PATH: `${this.bin}:${process.env["PATH"]}`, HOSTNAME: "orders-0" };
    const child = spawn(python, [...pythonFlags, "-c", program, ...args], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    child.stderr.setEncoding("utf8").on("data", (text: string) => output += text);
    const code = await within(
      20_000,
      new Promise<number | null>((done) => child.on("close", done)),
      "the program",
    );
    return { code, output };
  }

  close(): void {
    // A command that outlives the program may still be writing.
    rmSync(this.root, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** What `pgbackrest info` answers: backups by the time they ended, in seconds since 1970, and the newest WAL. */
export function info(
  backups: readonly { label: string; stop: number; start?: string; error?: boolean }[],
  max = "000000010000000000000009",
): string {
  return JSON.stringify([{
    archive: [{ database: { id: 1 }, id: "17-1", min: "000000010000000000000001", max }],
    backup: backups.map(({ label, stop, start = "000000010000000000000002", error = false }) => ({
      label,
      error,
      archive: { start, stop: start },
      database: { id: 1 },
      info: { size: 1000 },
      timestamp: { start: stop - 5, stop },
    })),
    status: { code: 0, message: "ok" },
  }]);
}

/** What `pgbackrest repo-ls` answers: these segments, which arrived at these times. */
export function archived(segments: Readonly<Record<string, number>>, folder = ""): string {
  return JSON.stringify(Object.fromEntries(
    Object.entries(segments).map((
      [name, time],
    ) => [`${folder}${name}-${"a".repeat(40)}.zst`, { type: "file", time }]),
  ));
}
