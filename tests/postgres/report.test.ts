/** The program that Patroni calls in a member's pod, against a stand-in for Patroni, the API server and psql. */
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test as uvuTest } from "uvu";
import * as assert from "uvu/assert";
import { annotation } from "../../postgres/names.ts";
import { dataFolder, folder, report, tokenFolder } from "../../postgres/scripts.ts";
import { trial } from "../../postgres/trial.ts";
import { within } from "../within.ts";
import { python, pythonFlags, pythonTest as test } from "./stand_ins.ts";

type Changes = Record<string, [from: number | string, to: number | string]>;

interface Scene {
  role: "primary" | "replica";
  /** What waits on this member, and on the others. */
  own: Changes;
  /** What Patroni says of this member the first times, as it is of before the reload. */
  stale?: Changes;
  /** How often the others are seen; for ever unless told. */
  othersSeen?: number;
  others?: Changes[];
  /** State of the others. */
  replication?: string;
  refused?: Record<string, string>;
  /** How many requests of the API server and Patroni fail at first. */
  failures?: number;
  /** The server has ended. */
  stopped?: boolean;
  /** How often it is called; twice: with what the first run left behind. */
  runs?: number;
  /** The runs are at the same time, as those of a start and a reload are. */
  together?: boolean;
}

interface Seen {
  restarts: { authorization: string | undefined; body: unknown }[];
  notes: Record<string, unknown>[];
  selectors: (string | null)[];
}

const reasons = (changes: Changes) =>
  Object.fromEntries(
    Object.entries(changes).map(([name, [from, to]]) => [name, { old_value: from, new_value: to }]),
  );

/** Runs the program in a pod called orders-0 and returns what it asked for. */
async function play(
  {
    role,
    own,
    stale,
    others = [],
    othersSeen = Infinity,
    together = false,
    replication = "streaming",
    refused = {},
    runs = 1,
    failures = 0,
    stopped = false,
  }: Scene,
): Promise<Seen> {
  const root = mkdtempSync(join(tmpdir(), "report-")), gone = mkdtempSync(join(tmpdir(), "report-"));
  const seen: Seen = { restarts: [], notes: [], selectors: [] };
  let left = failures, asked = 0;
  const server = createServer((request, response) => {
    let body = "";
    if (left-- > 0) return response.writeHead(503).end();
    request.setEncoding("utf8").on("data", (chunk: string) => body += chunk).on("end", () => {
      const url = new URL(request.url ?? "", "http://localhost");
      if (url.pathname === "/patroni") {
        const waits = stale && asked++ < 3 ? stale : own;
        response.end(
          JSON.stringify(Object.keys(waits).length > 0 ? { pending_restart_reason: reasons(waits) } : {}),
        );
      } else if (url.pathname === "/restart") {
        seen.restarts.push({ authorization: request.headers.authorization, body: JSON.parse(body) });
        response.end("restarted successfully");
      } else if (request.method === "PATCH" && url.pathname === "/api/v1/namespaces/shop/pods/orders-0") {
        const { metadata } = JSON.parse(body) as { metadata: { annotations: Record<string, string> } };
        seen.notes.push(JSON.parse(metadata.annotations[annotation.server]!) as Record<string, unknown>);
        response.end("{}");
      } else if (url.pathname === "/api/v1/namespaces/shop/pods") {
        seen.selectors.push(url.searchParams.get("labelSelector"));
        const items = (seen.selectors.length > othersSeen ? [] : others).map((changes, index) => ({
          metadata: {
            name: `orders-${index + 1}`,
            annotations: {
              status: JSON.stringify({
                replication_state: replication,
                pending_restart_reason: reasons(changes),
              }),
            },
          },
        }));
        response.end(JSON.stringify({ items: [{ metadata: { name: "orders-0" } }, ...items] }));
      } else {
        response.writeHead(404).end();
      }
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  try {
    const found = { runs: { max_connections: "100" }, refused };
    const programs = {
      // Nobody's search_path decides what the superuser's query calls.
      psql: `[ "$PGOPTIONS" = "-c search_path=" ] || exit 9
      case "$*" in
        *"context = 'postmaster'"*) echo '{"shared_buffers": "128MB", "max_connections": "100"}' ;;
        *) echo '${JSON.stringify(found)}' ;;
      esac`,
      // Two trials at a time would take each other's data away.
      initdb:
        `mkdir "${root}/one-at-a-time" || exit 1; mkdir -p "$2"; sleep 0.3; rmdir "${root}/one-at-a-time"`,
      // As PostgreSQL says it.
      postgres: `case "$*" in
        *shared_buffers=256GB*) echo "FATAL:  could not map anonymous shared memory: Cannot allocate memory" >&2; exit 1 ;;
        *shared_buffers=900MB*max_connections=900*) echo "FATAL:  too much together" >&2; exit 1 ;;
      esac`,
    };
    for (const [name, text] of Object.entries(programs)) {
      writeFileSync(join(root, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(root, name), 0o755);
    }
    writeFileSync(join(root, "trial.py"), trial.replace('"/tmp/trial"', JSON.stringify(join(root, "trial"))));
    writeFileSync(join(root, "token"), "token-of-the-pod");
    if (!stopped) writeFileSync(join(root, "postmaster.pid"), `${process.pid}\n`);
    writeFileSync(join(root, "patroni-password"), "secret");
    const config = {
      kubernetes: { namespace: "shop", labels: { "app.example.com/component": "postgres" } },
      postgresql: { bin_dir: root },
    };
    writeFileSync(join(root, "patroni.yml"), JSON.stringify(config));
    const program = report.replaceAll(tokenFolder, root).replaceAll(folder.config, root)
      .replaceAll(folder.credentials, root).replaceAll(folder.run, root).replaceAll(dataFolder, root)
      .replaceAll("http://localhost:8008", `http://127.0.0.1:${port}`)
      .replaceAll("https://%s", "http://%s").replace("range(100)", "range(30)").replaceAll(
        /time\.sleep\([^)]*\)/g,
        "pass",
      );
    const runOnce = async () => {
      const env = {
        PATH: process.env["PATH"] ?? "",
        HOSTNAME: "orders-0",
        KUBERNETES_SERVICE_HOST: "127.0.0.1",
        KUBERNETES_SERVICE_PORT: String(port),
        http_proxy: "http://127.0.0.1:1",
      };
      // What it imports is not beside it: when the ConfigMap changes, the folder that it was started from goes.
      writeFileSync(join(gone, "report.py"), program);
      const child = spawn(python, [...pythonFlags, join(gone, "report.py"), "on_reload", role, "orders"], {
        env,
      });
      let text = "";
      child.stderr.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
      const code = await within(20_000, new Promise((done) => child.on("close", done)), "the program");
      assert.is(code, 0, text);
      assert.not.ok(text.includes("secret") || text.includes("token-of-the-pod"), "a secret was printed");
      if (failures === 0) assert.not.match(text, /Error/);
    };
    if (together) await Promise.all(Array.from({ length: runs }, runOnce));
    else for (let run = 0; run < runs; run++) await runOnce();
    assert.is(existsSync(join(root, "server.json")), !stopped);
    assert.not.ok(existsSync(join(root, "trial")), "the data of the trial is left");
  } finally {
    server.closeAllConnections();
    server.close();
    for (const folder of [root, gone]) rmSync(folder, { recursive: true });
  }
  return seen;
}

const down: Changes = { max_connections: [200, "100"] };
const up: Changes = { max_connections: ["100", "200"] };
const buffers: Changes = { shared_buffers: ["128MB", "256MB"] };
const beyond: Changes = { shared_buffers: ["128MB", "256GB"] };

for (
  const [what, scene, restarts] of [
    [
      "a primary whose parameter was lowered restarts",
      { role: "primary", own: down, others: [down, down] },
      1,
    ],
    ["a replica never does", { role: "replica", own: down }, 0],
    ["nothing waits: nothing restarts", { role: "primary", own: {} }, 0],
    [
      "a raised parameter is not for the primary to begin with",
      { role: "primary", own: up, others: [up] },
      0,
    ],
    ["another parameter neither", { role: "primary", own: buffers, others: [buffers] }, 0],
    [
      "with another one, it restarts once the standbys run with that",
      { role: "primary", own: { ...down, ...buffers }, others: [down, down] },
      1,
    ],
    ["an only member restarts for a lowered one when what waits with it fits", {
      role: "primary",
      own: { ...down, ...buffers },
    }, 1],
    ["an only member does not restart with what it does not start with", {
      role: "primary",
      own: { ...down, ...beyond },
    }, 0],
    ["what fails at first is tried again", { role: "primary", own: down, others: [down], failures: 5 }, 1],
    ["a value that is not a number is nobody's to judge", {
      role: "primary",
      own: { max_connections: ["?", "1"] },
    }, 0],
  ] as [string, Scene, number][]
) {
  test(`report: ${what}`, async () => {
    const { restarts: seen } = await play(scene);
    assert.equal(
      seen,
      Array.from({ length: restarts }, () => ({
        authorization: `Basic ${btoa("patroni:secret")}`,
        body: { restart_pending: true, role: "primary" },
      })),
    );
  });
}

test("report: the pod says what its server runs with and what it refused, once", async () => {
  const { notes } = await play({ role: "replica", own: {}, refused: { timezone: "Mars" }, runs: 2 });
  assert.equal(notes, [{ runs: { max_connections: "100" }, refused: { timezone: "Mars" }, tries: true }]);
});

const words = "could not map anonymous shared memory: Cannot allocate memory";

for (
  const [what, own, want] of [
    ["what fits", buffers, { fits: { shared_buffers: "256MB" }, refused: {} }],
    ["what does not, with PostgreSQL's words and what runs", { ...beyond, max_wal_senders: ["10", 20] }, {
      fits: { max_wal_senders: "20" },
      refused: { shared_buffers: { value: "256GB", runs: "128MB", words } },
    }],
    ["what fits alone and not together: all of it", {
      max_connections: ["100", "900"],
      shared_buffers: ["128MB", "900MB"],
    }, {
      fits: {},
      refused: {
        max_connections: { value: "900", runs: "100", words: "too much together" },
        shared_buffers: { value: "900MB", runs: "128MB", words: "too much together" },
      },
    }],
  ] as [string, Changes, unknown][]
) {
  test(`report: an only member tries on empty data, and tells ${what}`, async () => {
    const { notes, restarts } = await play({ role: "primary", own });
    assert.equal(notes.at(-1)?.["trial"], want);
    assert.equal(restarts, []);
  });
}

const fine = { fits: { shared_buffers: "256MB" }, refused: {} };

test("report: what waits is tried also when Patroni tells at first what waited before the reload", async () => {
  const stale: Changes = { shared_preload_libraries: ["", "missing"], ...beyond };
  const { notes } = await play({ role: "primary", own: buffers, stale });
  const last = notes.at(-1)?.["trial"] as { fits: unknown } | undefined;
  assert.equal(last?.fits, fine.fits);
});

test("report: the last member tries what waits once the others are gone", async () => {
  const { notes } = await play({ role: "primary", own: buffers, others: [buffers], othersSeen: 5 });
  assert.equal(notes.at(-1)?.["trial"], fine);
});

test("report: of two runs at the same time one tries, and both know what came of it", async () => {
  const { notes } = await play({ role: "primary", own: buffers, runs: 2, together: true });
  assert.equal(notes.filter((note) => "trial" in note).map((note) => note["trial"]), [fine]);
});

test("report: it ends with the server, as Patroni waits for it when the pod is to end", async () => {
  assert.equal(await play({ role: "primary", own: down, stopped: true }), {
    restarts: [],
    notes: [],
    selectors: [],
  });
});

test("report: with others a replica tries it, and nothing else is tried", async () => {
  const { notes } = await play({ role: "primary", own: beyond, others: [{}] });
  assert.equal(notes.filter((note) => "trial" in note), []);
});

test("report: the password and the token are in no argument and not printed", () => {
  assert.not.ok(/environ\[".*(PASS|TOKEN)/.test(report));
  assert.ok(report.includes(`"${folder.credentials}/patroni-password"`));
});

uvuTest.run();
