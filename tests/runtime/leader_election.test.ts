import { test } from "uvu";
import * as assert from "uvu/assert";
import { Client } from "../../runtime/client.ts";
import { ApiError, DeadlineError, LeaseLostError } from "../../runtime/errors.ts";
import { LeaderElection, type Lease } from "../../runtime/leader_election.ts";
import { createLogger } from "../../runtime/logger.ts";
import type { LeaderElectionOptions } from "../../runtime/options.ts";
import { within } from "../within.ts";
import { FakeClock, seeded, settle } from "./fake_clock.ts";
import { conflict, hang, ScriptedServer } from "./scripted_server.ts";

function candidate(
  identity: string,
  server: ScriptedServer,
  clock: FakeClock,
  options: Partial<LeaderElectionOptions> = {},
) {
  const stop = new AbortController();
  const lines: string[] = [];
  const election = new LeaderElection({ namespace: "default", name: "lock", identity, ...options }, {
    client: new Client(server, { fieldManager: "test", clock }),
    clock,
    random: seeded(3),
    log: createLogger({ sink: (line) => lines.push(line) }),
  });
  let acquired = false;
  let lost: unknown;
  const run = (async () => {
    await election.acquire(stop.signal);
    acquired = true;
    await election.keep(stop.signal);
  })().catch((error: unknown) => {
    lost = error;
  });
  return {
    election,
    lines,
    get acquired() {
      return acquired;
    },
    get lost() {
      return lost;
    },
    async end() {
      stop.abort(new Error("Stopped"));
      await within(1_000, run, "the candidate to stop");
    },
  };
}

const lease = (server: ScriptedServer) => server.find("leases", "lock") as Lease;
const setUp = () => ({ server: new ScriptedServer(), clock: new FakeClock() });

test("rule 33: a configuration is refused unless lease > renew > retry x 1.2", () => {
  const { server, clock } = setUp();
  const refused: Partial<LeaderElectionOptions>[] = [
    { leaseDurationMs: 10_000 },
    { renewDeadlineMs: 2_400 },
    { retryPeriodMs: 0 },
    { leaseDurationMs: 500, renewDeadlineMs: 400, retryPeriodMs: 100 },
  ];
  for (const options of refused) {
    const environment = {
      client: new Client(server, { fieldManager: "test", clock }),
      clock,
      random: seeded(1),
      log: createLogger({ sink: () => {} }),
    };
    assert.throws(
      () =>
        new LeaderElection({ namespace: "default", name: "lock", identity: "a", ...options }, environment),
      (error: Error) => error instanceof RangeError && error.message.startsWith("Cannot elect a leader"),
    );
  }
});

test("rule 34: another's lease is taken a full duration after its last change was seen here, whatever its clock says", async () => {
  const { server, clock } = setUp();
  server.put("leases", {
    metadata: { name: "lock" },
    spec: {
      holderIdentity: "dead",
      leaseDurationSeconds: 15,
      renewTime: "1999-01-01T00:00:00.000000Z",
      leaseTransitions: 4,
    },
  });
  const b = candidate("b", server, clock);
  await clock.advance(14_000);
  assert.not.ok(b.acquired, "its renewTime is long ago, but it was seen to change 14 s ago");
  server.put("leases", {
    ...lease(server),
    spec: { ...lease(server).spec, renewTime: "1999-01-01T00:00:01.000000Z" },
  });
  await clock.advance(14_000);
  assert.not.ok(b.acquired);
  await clock.advance(4_000);
  assert.ok(b.acquired);
  assert.is(lease(server).spec?.leaseTransitions, 5);
  await b.end();
  assert.is(clock.pending, 0);
});

test("rule 34: a takeover after a killed leader takes at most 16 s", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await settle();
  const b = candidate("b", server, clock);
  await clock.advance(20_001);
  await a.end(); // As SIGKILL: without a release.
  const killedMs = clock.monotonic();
  while (!b.acquired && clock.monotonic() - killedMs < 60_000) await clock.advance(100);
  assert.ok(clock.monotonic() - killedMs <= 16_000, String(clock.monotonic() - killedMs));
  await b.end();
});

test("rule 35: a renewal that fails for the renew deadline ends the leadership at that moment", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(5_000);
  assert.ok(a.election.holds());
  server.intercept = () => hang();
  const lastRenewalMs = clock.monotonic() - 1_000;
  await clock.advance(8_900);
  assert.is(a.lost, undefined);
  await clock.advance(1_200);
  assert.instance(a.lost, LeaseLostError);
  assert.not.ok(a.election.holds());
  assert.ok(clock.monotonic() - lastRenewalMs <= 11_200);
  server.intercept = undefined;
  await a.end();
  assert.is(clock.pending, 0);
});

test("rule 35: one renewal that meets silence costs one try, not the lease", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(1_000);
  const aborted: unknown[] = [];
  let tries = 0;
  server.intercept = ({ method }, signal) => {
    if (method !== "PUT" || tries++ > 0) return undefined;
    signal?.addEventListener("abort", () => aborted.push(signal.reason));
    return hang(signal);
  };
  await clock.advance(15_000);
  assert.is(a.lost, undefined);
  assert.ok(a.election.holds());
  assert.ok(tries >= 4, `${tries} tries`);
  assert.instance(aborted[0], DeadlineError, "the transport drops its idle connections for it");
  await a.end();
  assert.is(clock.pending, 0);
});

test("rule 35: within the deadline a renewal that meets silence is tried three times", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(1_000);
  const tries: number[] = [];
  server.intercept = () => {
    tries.push(clock.monotonic());
    return hang(); // heeds no signal
  };
  await clock.advance(8_999);
  assert.is(a.lost, undefined);
  await clock.advance(1);
  assert.instance(a.lost, LeaseLostError);
  assert.equal(tries.map(Math.round), [2_000, 6_000, 8_500]);
  await a.end();
  assert.is(clock.pending, 0);
});

test("rule 35: a renewal counts from when it was sent, and one that comes after its time not at all", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(1_000);
  let answer = () => {};
  server.intercept = ({ method }) =>
    method === "PUT" ? new Promise<void>((resolve) => answer = resolve) : undefined;
  await clock.advance(1_000); // sent at 2 s
  await clock.advance(3_000);
  server.intercept = () => hang();
  answer(); // at 5 s
  await clock.advance(6_999);
  assert.ok(a.election.holds(), "until 12 s");
  await clock.advance(1);
  assert.not.ok(a.election.holds());
  await a.end();

  const late = setUp();
  const b = candidate("b", late.server, late.clock);
  await late.clock.advance(1_000);
  const answers: (() => void)[] = [];
  late.server.intercept = ({ method }) =>
    method === "PUT" ? new Promise<void>((resolve) => answers.push(resolve)) : undefined;
  await late.clock.advance(5_400); // sent at 2 s, given up at 6 s
  late.server.intercept = () => hang();
  assert.is(answers.length, 2);
  answers[0]!();
  await late.clock.advance(3_600);
  assert.not.ok(b.election.holds(), "the answer to a try that was given up renews nothing");
  await b.end();
});

test("rule 34: a try to acquire that meets silence is given up, too: a takeover then takes at most 22 s", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await settle();
  const b = candidate("b", server, clock);
  await clock.advance(20_001);
  await a.end(); // As SIGKILL.
  let hung = 0;
  server.intercept = (_request, signal) => hung++ === 0 ? hang(signal) : undefined;
  await clock.advance(22_000);
  assert.ok(hung > 1 && b.acquired);
  await b.end();
});

test("rule 34: how long another's lease lasts is what it says itself", async () => {
  const { server, clock } = setUp();
  const spec = { holderIdentity: "other", leaseDurationSeconds: 40 };
  server.put("leases", { metadata: { name: "lock" }, spec });
  const b = candidate("b", server, clock);
  await clock.advance(39_000);
  assert.not.ok(b.acquired);
  await clock.advance(2_000);
  assert.ok(b.acquired);
  await b.end();
});

test("rule 36: a conflict on renewal is followed by a read, and until it is settled nobody leads here", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(1_000);
  let refused = 0;
  server.intercept = (request) => {
    if (request.method === "PUT" && refused++ === 0) throw conflict("lock");
    if (request.method === "GET") return hang();
  };
  await clock.advance(1_500);
  assert.is(refused, 1);
  assert.is(server.requests.at(-1)?.method, "GET");
  assert.not.ok(a.election.holds());
  server.intercept = undefined;
  await a.end();

  const c = setUp();
  const d = candidate("d", c.server, c.clock);
  await c.clock.advance(1_000);
  c.server.put("leases", {
    ...lease(c.server),
    spec: { ...lease(c.server).spec, renewTime: "2026-01-01T00:00:09.000000Z" },
  });
  await c.clock.advance(5_000);
  assert.ok(d.election.holds(), "still ours after the read: renewed again");
  c.server.put("leases", { ...lease(c.server), spec: { ...lease(c.server).spec, holderIdentity: "other" } });
  await c.clock.advance(3_000);
  assert.instance(d.lost, LeaseLostError);
  assert.match((d.lost as Error).message, /"other" leads now/);
  await d.end();
});

test("rule 37: a release sets an empty holder and a lease of 1 s, and is tried again on a conflict; the next leads at once", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(1_000);
  const b = candidate("b", server, clock);
  await clock.advance(1_000);
  await a.end();
  let refused = 0;
  server.intercept = (request) => {
    const holder = (request.body as Lease | undefined)?.spec?.holderIdentity;
    if (request.method === "PUT" && holder === "" && refused++ === 0) throw conflict("lock");
  };
  await a.election.release(new AbortController().signal);
  server.intercept = undefined;
  assert.is(refused, 2);
  assert.equal([lease(server).spec?.holderIdentity, lease(server).spec?.leaseDurationSeconds], ["", 1]);
  await clock.advance(1_000);
  assert.ok(b.acquired);
  await b.end();
});

test("rule 37: a lease that another took meanwhile is not given back", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(1_000);
  await a.end();
  server.put("leases", { ...lease(server), spec: { ...lease(server).spec, holderIdentity: "other" } });
  await a.election.release(new AbortController().signal);
  assert.is(lease(server).spec?.holderIdentity, "other");
});

test("rule 37: one that does not lead releases nothing", async () => {
  const { server, clock } = setUp();
  server.put("leases", {
    metadata: { name: "lock" },
    spec: { holderIdentity: "other", leaseDurationSeconds: 15 },
  });
  const b = candidate("b", server, clock);
  await clock.advance(1_000);
  await b.end();
  await b.election.release(new AbortController().signal);
  assert.is(lease(server).spec?.holderIdentity, "other");
});

test("rule 38: transitions and the time of acquiring change only with the holder", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(1_000);
  const first = lease(server).spec;
  await clock.advance(10_000);
  const later = lease(server).spec;
  assert.equal([later?.acquireTime, later?.leaseTransitions], [first?.acquireTime, 0]);
  assert.ok(later!.renewTime! > first!.renewTime!);
  await a.end();
  const b = candidate("b", server, clock);
  await clock.advance(20_000);
  assert.is(lease(server).spec?.leaseTransitions, 1);
  assert.ok(lease(server).spec!.acquireTime! > first!.acquireTime!);
  await b.end();
});

test("rule 39: a leader whose lease is older than its duration and the grace is stale", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(1_000);
  assert.not.ok(a.election.isStale);
  clock.freeze(36_000);
  assert.ok(a.election.isStale);
  await a.end();
});

test("rule 40: a leader that was frozen may not write when it wakes: the clock is asked before each write", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(1_000);
  assert.ok(a.election.holds());
  clock.freeze(60_000);
  assert.not.ok(a.election.holds(), "at once, before any timer has fired");
  await clock.advance(1);
  assert.instance(a.lost, LeaseLostError);
  await a.end();
});

test("a lease that may not be written is told of once a minute, with what is not allowed", async () => {
  const { server, clock } = setUp();
  server.intercept = ({ method }) => {
    if (method === "POST") throw new ApiError(403, "cannot create resource leases", { reason: "Forbidden" });
  };
  const one = candidate("one", server, clock);
  const told = () => one.lines.filter((line) => line.includes("cannot create resource leases")).length;
  await clock.advance(59_000);
  assert.is(told(), 1);
  await clock.advance(59_000);
  assert.is(told(), 2);
  server.intercept = undefined;
  await clock.advance(2_000);
  assert.ok(one.acquired);
  await one.end();
});

test("of five candidates one leads at any time, through kills, thaws and conflicts", async () => {
  const { server, clock } = setUp();
  const all = Array.from({ length: 5 }, (_, index) => candidate(`c${index}`, server, clock));
  const random = seeded(11);
  let flaky = 0;
  server.intercept = (request) => {
    if (request.method === "PUT" && random() < 0.2) {
      flaky += 1;
      throw conflict("lock");
    }
  };
  let leading = 0;
  for (let second = 0; second < 300; second++) {
    await clock.advance(1_000);
    const holders = all.filter((each) => each.election.holds());
    assert.ok(holders.length <= 1, holders.map((each) => each.election.identity).join());
    leading += holders.length;
    if (second % 100 === 99) await holders[0]?.end();
  }
  assert.ok(flaky > 10 && leading > 150, `${flaky} conflicts, ${leading} s with a leader`);
  server.intercept = undefined;
  for (const each of all) await each.end();
  assert.is(clock.pending, 0);
});

test("a lease that somebody deletes is made again by its holder", async () => {
  const { server, clock } = setUp();
  const a = candidate("a", server, clock);
  await clock.advance(1_000);
  server.drop("leases", "lock");
  await clock.advance(5_000);
  assert.is(lease(server).spec?.holderIdentity, "a");
  assert.ok(a.election.holds());
  await a.end();
});

test.run();
