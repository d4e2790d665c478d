/**
 * A manager on a scripted server under a fake clock: what the tests of controllers and managers share.
 * @module
 */

import * as assert from "uvu/assert";
import { createLogger } from "../../runtime/logger.ts";
import { createManager, type Manager } from "../../runtime/manager.ts";
import type { Context, ControllerOptions, ManagerOptions, Request, Result } from "../../runtime/options.ts";
import { within } from "../within.ts";
import { FakeClock, seeded, settle } from "./fake_clock.ts";
import { ScriptedServer, type Widget, widgets } from "./scripted_server.ts";

/** A log line. */
export type Line = Record<string, unknown> & { level: string; msg: string };

/** One manager and all that it touches. */
export class Harness {
  readonly server: ScriptedServer;
  readonly clock: FakeClock;
  readonly lines: Line[] = [];
  readonly manager: Manager;
  readonly stopping = new AbortController();
  /** Keys in the order in which they were reconciled. */
  readonly reconciled: string[] = [];
  /** How `start` ended: undefined while it runs. */
  outcome: { error?: unknown } | undefined;
  #run: Promise<void> = Promise.resolve();

  constructor(
    options: Partial<ManagerOptions> & { server?: ScriptedServer; clock?: FakeClock; seed?: number } = {},
  ) {
    const { server = new ScriptedServer(), clock = new FakeClock(), seed = 1, ...rest } = options;
    this.server = server;
    this.clock = clock;
    this.manager = createManager({
      rest: server,
      name: "test-operator",
      clock,
      random: seeded(seed),
      log: createLogger({ clock, sink: (line) => this.lines.push(JSON.parse(line) as Line) }),
      ...rest,
    });
  }

  /** Adds a controller of widgets. */
  control(
    reconcile: (request: Request, context: Context) => Promise<Result | void> | Result | void,
    options: Partial<ControllerOptions<Widget>> = {},
  ): this {
    this.manager.controller<Widget>({
      name: "widget-controller",
      for: widgets,
      ...options,
      reconcile: (request, context) => {
        this.reconciled.push(`${request.namespace}/${request.name}`);
        return reconcile(request, context);
      },
    });
    return this;
  }

  async start(): Promise<this> {
    this.#run = this.manager.start(this.stopping.signal).then(() => {
      this.outcome = {};
    }, (error) => {
      this.outcome = { error };
    });
    await settle();
    return this;
  }

  /** Stops and checks that nothing is left behind. */
  async stop(): Promise<void> {
    this.stopping.abort(new Error("The test is over"));
    await settle();
    if (!this.outcome) await this.clock.advance(10_000);
    await within(1_000, this.#run, "the manager to stop");
    await settle();
    assert.is(this.clock.pending, 0, "no timer is left");
    assert.is(this.server.openWatches.length, 0, "no stream is left");
  }

  metric(series: string): number | undefined {
    const line = this.manager.metrics.text().split("\n").find((each) => each.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }
}
