/** `top`: the picture, and the program on the embedded API with a terminal of the test's own. */
import { stripVTControlCharacters } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ApiError, type Connection, type RequestOptions } from "../../runtime/mod.ts";
import { type Screen, top } from "../../tools/top.ts";
import { bytes, clean, render, type Scene, since } from "../../tools/view.ts";
import { restOf, World } from "../operator/world.ts";
import { until, within } from "../within.ts";

const nowMs = Date.parse("2026-01-01T12:00:00Z");
const condition = (type: string, status: string, reason: string, message = "") => ({
  type,
  status,
  reason,
  message,
});
const scene = (overrides: Partial<Scene> = {}): Scene => ({
  databases: [
    {
      metadata: { namespace: "shop", name: "orders", creationTimestamp: "2025-12-30T12:00:00Z" },
      spec: { version: "17", size: 2, backups: {} },
      status: {
        version: "17",
        readyReplicas: 1,
        primary: "orders-1",
        members: [
          { name: "orders-0", role: "replica", state: "starting", ready: false },
          { name: "orders-1", role: "primary", state: "running", ready: true },
        ],
        conditions: [
          condition("Ready", "False", "Degraded", "orders-0 does not\n serve \x1b[31m"),
          condition("Available", "True", "PrimaryServes"),
          condition("BackupHealthy", "False", "BackupFailed", "no bucket"),
        ],
        backup: { lastSuccessTime: "2026-01-01T09:30:00Z" },
      },
    },
    { metadata: { namespace: "a", name: "asleep" }, spec: { version: "15", size: 0 } },
  ] as unknown as Scene["databases"],
  pods: [["orders-0", 5_000_000, 20], ["orders-1", 8_000_000, 60]].map(([name, position, available]) => ({
    metadata: {
      name,
      namespace: "shop",
      creationTimestamp: "2026-01-01T11:59:00Z",
      labels: { "app.example.com/database": "orders", "app.kubernetes.io/managed-by": "database-operator" },
      annotations: {
        status: JSON.stringify({ xlog_location: position }),
        "app.example.com/volume": JSON.stringify({ size: 100, available }),
      },
    },
  })) as unknown as Scene["pods"],
  nowMs,
  columns: Infinity,
  color: false,
  ...overrides,
});

test("a table of all Databases by name, each with what is wrong and its members", () => {
  assert.equal(render(scene()), [
    "NAMESPACE/NAME  VERSION  READY  PRIMARY   LAG      VOLUME  BACKUP  AGE  STATUS",
    "a/asleep        15       0/0                                            Unknown",
    "shop/orders     17       1/2    orders-1  2.9 MiB          2h      2d   Degraded",
    "  orders-0 does not serve �[31m",
    "  Backups: no bucket",
    "  orders-0               no     replica   2.9 MiB  80%             60s  starting",
    "  orders-1               yes    primary            40%             60s  running",
  ]);
});

test("a narrow terminal loses the columns that matter least, and no line is longer than it", () => {
  const heads = [100, 70, 50, 30, 10].map((columns) => {
    const lines = render(scene({ columns }));
    for (const line of lines) assert.ok(Array.from(line).length <= columns, `${columns}: ${line}`);
    return lines[0];
  });
  assert.equal(heads, [
    "NAMESPACE/NAME  VERSION  READY  PRIMARY   LAG      VOLUME  BACKUP  AGE  STATUS",
    "NAMESPACE/NAME  VERSION  READY  PRIMARY   LAG      BACKUP  STATUS",
    "NAMESPACE/NAME  READY  PRIMARY   LAG      STATUS",
    "NAMESPACE/NAME  READY  STATUS",
    "NAMESPACE…",
  ]);
});

test("colours take no room: without them the picture is the same", () => {
  for (const columns of [Infinity, 60, 20]) {
    const bare = render(scene({ columns, color: true })).map((line) =>
      stripVTControlCharacters(line).trimEnd()
    );
    assert.equal(bare, render(scene({ columns })));
  }
});

test("text of the cluster cannot steer the terminal", () => {
  for (const text of ["\x1b[2J", "\x07", "\u009b31m", "\u202eevil", "a\r\nb", "\0"]) {
    assert.not.match(clean(text), /[\p{Cc}\u202e]/u);
  }
});

test("sizes and ages are short", () => {
  assert.equal([0, 1023, 1024, 15_000_000, 2 ** 34].map(bytes), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "14 MiB",
    "16 GiB",
  ]);
  const ago = (seconds: number) => since(new Date(nowMs - seconds * 1000).toISOString(), nowMs);
  assert.equal([0, 119, 120, 7199, 7200, 172_800].map(ago), ["0s", "119s", "2m", "119m", "2h", "2d"]);
  assert.equal([since(undefined, nowMs), since("never", nowMs)], ["", ""]);
});

/** A terminal that remembers what was written. */
const terminal = (isTerminal: boolean): Screen & { text: () => string } => {
  let text = "";
  return {
    isTerminal,
    size: () => ({ columns: 100, rows: 20 }),
    write: (more) => text += more,
    text: () => text,
  };
};
const connection = (world: World, forbidden = ""): Connection => {
  const rest = restOf(world.api);
  return {
    server: "https://api",
    defaultNamespace: "default",
    close: () => {},
    performRequest:
      ((request: RequestOptions): Promise<unknown> =>
        forbidden && request.path.includes(forbidden)
          ? Promise.reject(new ApiError(403, "no", { reason: "Forbidden" }))
          : rest.performRequest(request)) as Connection["performRequest"],
  };
};
const options = { once: false, color: false, signal: new AbortController().signal };

test("once: the table, and nothing that only a terminal understands", async () => {
  const world = new World().start();
  try {
    await world.apply("orders", { size: 2 });
    await world.reason("orders", "Ready");
    const screen = terminal(false);
    await top(connection(world), screen, options);
    assert.match(
      screen.text(),
      /^NAMESPACE\/NAME .*\nshop\/orders +17 +2\/2 +orders-0 .* Ready\n {2}orders-0 /,
    );
    assert.not.ok(screen.text().includes("\x1b"));
    const empty = terminal(true);
    await top(connection(world), empty, { ...options, once: true, namespace: "none" });
    assert.is(empty.text(), 'No Databases in namespace "none"\n');
  } finally {
    await world.close();
  }
});

test("live: changes show by themselves, and the terminal is given back at the end", async () => {
  const world = new World().start();
  const stop = new AbortController(), screen = terminal(true);
  try {
    const shown = top(connection(world), screen, { ...options, signal: stop.signal });
    await until(4_000, "the first picture", () => screen.text().includes("No Databases"));
    await world.apply("orders", { size: 2 });
    await until(6_000, "it to be shown as Ready", () => /shop\/orders .* 2\/2 .* Ready/.test(screen.text()));
    stop.abort();
    await within(4_000, shown, "the end");
    assert.ok(screen.text().startsWith("\x1b[?1049h\x1b[?25l"));
    assert.ok(screen.text().endsWith("\x1b[?25h\x1b[?1049l"));
  } finally {
    stop.abort();
    await world.close();
  }
});

test("what may not be read: Databases end it with one line, pods only cost the lag", async () => {
  const world = new World().start();
  try {
    await world.apply("orders", { size: 2 });
    await world.reason("orders", "Ready");
    const screen = terminal(false);
    const refused = await top(connection(world, "databases"), screen, options).then(
      () => "",
      (error: Error) => error.message,
    );
    assert.is(
      refused,
      "May not list Databases in any namespace at https://api: name a namespace that you may read with --namespace",
    );
    await top(connection(world, "/pods"), screen, options);
    assert.match(screen.text(), /shop\/orders +17 +2\/2 /);
  } finally {
    await world.close();
  }
});

test.run();
