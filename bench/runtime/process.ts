/**
 * What a process costs, read from /proc.
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";

/** Clock ticks a second: 100 on every Linux that Node and Deno run on. */
const TICKS = 100;

/** A running contestant. */
export class Contender {
  readonly startedAtMs = performance.now();
  said = "";
  #exit: string | undefined;
  readonly #process: ChildProcess;

  /** @param env added to the environment of this process */
  constructor([command, ...args]: string[], env: Record<string, string> = {}) {
    this.#process = spawn(command!, args, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...env },
    });
    this.#process.stderr!.on("data", (chunk) => this.said = (this.said + String(chunk)).slice(-2_000));
    this.#process.on("error", (error) => this.#exit = error.message);
    this.#process.on("exit", (code, signal) => this.#exit = `it ended with ${code ?? signal}`);
  }

  /** @throws {Error} when it has ended */
  check(): void {
    if (this.#exit !== undefined) throw new Error(`${this.#exit}; it said ${this.said}`);
  }

  /** Processor time so far, user and system. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.#process.pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  }

  /** Resident memory in MiB. */
  residentMiB(): number {
    return this.#mebibytes("VmRSS");
  }

  /** The most of it so far. */
  peakMiB(): number {
    return this.#mebibytes("VmHWM");
  }

  #mebibytes(field: string): number {
    const status = readFileSync(`/proc/${this.#process.pid}/status`, "utf8");
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1]) / 1024;
  }

  /** TCP connections that are established to a port. */
  connections(port: number): number {
    const folder = `/proc/${this.#process.pid}/fd`;
    const inodes = new Set<string>();
    for (const name of readdirSync(folder)) {
      try {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${name}`))?.[1];
        if (inode) inodes.add(inode);
      } catch {
        // Closed between the two calls.
      }
    }
    const hex = port.toString(16).toUpperCase().padStart(4, "0");
    const rows = ["tcp", "tcp6"].flatMap((name) =>
      readFileSync(`/proc/${this.#process.pid}/net/${name}`, "utf8").split("\n").slice(1)
    );
    return rows.map((row) => row.trim().split(/\s+/)).filter((row) =>
      row[3] === "01" && row[2]?.endsWith(`:${hex}`) && inodes.has(row[9] ?? "")
    ).length;
  }

  /** Sends a signal. */
  signal(name: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#process.kill(name);
  }

  /** True once it has ended. */
  get hasEnded(): boolean {
    return this.#exit !== undefined;
  }

  /** Ends it, with SIGKILL when it does not within 10 s. */
  async stop(): Promise<void> {
    if (this.#exit !== undefined) return;
    const ended = new Promise<void>((resolve) => this.#process.once("exit", () => resolve()));
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 10_000);
    await ended;
    clearTimeout(timer);
  }
}
