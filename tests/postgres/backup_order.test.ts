/** The program of a backup's Job, against a stand-in for the agent beside the primary. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test as uvuTest } from "uvu";
import * as assert from "uvu/assert";
import { backupFolder, backupOrder } from "../../postgres/backup_scripts.ts";
import { backupPort } from "../../postgres/names.ts";
import { pythonTest as test, StandIns } from "./stand_ins.ts";

interface Asked {
  readonly authorization: string | undefined;
  readonly body: unknown;
}

/** Runs the Job's program; the agent gives these answers in turn, the last for ever. */
async function play(answers: readonly [status: number, body: string][]) {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (part: string) => text += part).on("end", () => {
      const [status, body] = answers[Math.min(asked.length, answers.length - 1)]!;
      asked.push({ authorization: request.headers.authorization, body: JSON.parse(text) });
      response.writeHead(status, { "Content-Type": "application/json" }).end(body);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const stand = new StandIns([], {});
  try {
    stand.write("etc/pgbackrest/token", "the-token");
    stand.write("dev/termination-log", "");
    const program = stand.moved(backupOrder, [backupFolder, "/dev/termination-log"])
      .replace(`:${backupPort}/`, `:${(server.address() as AddressInfo).port}/`)
      .replace("PATIENCE = 300", "PATIENCE = 1");
    const { code, output } = await stand.run(program, ["127.0.0.1", "full"]);
    assert.not.match(output, /the-token/);
    return { code, asked, told: stand.read("dev/termination-log") };
  } finally {
    server.closeAllConnections();
    server.close();
    stand.close();
  }
}

const state = (state: string, message = ""): [number, string] => [200, JSON.stringify({ state, message })];

test("a Job asks for one backup, under the name of its pod, until it is done", async () => {
  const { code, told, asked } = await play([
    state("waiting"),
    state("running"),
    state("running"),
    state("done"),
  ]);
  assert.equal([code, told, asked.length], [0, "done", 4]);
  for (const { authorization, body } of asked) {
    assert.is(authorization, "Bearer the-token");
    assert.equal(body, { id: "orders-0", type: "full" });
  }
});

test("a backup that failed, or is refused, ends the attempt with the reason", async () => {
  const failed = await play([state("running"), state("failed", "[082]: WAL was not archived")]);
  assert.equal([failed.code, failed.told, failed.asked.length], [1, "[082]: WAL was not archived", 2]);
  const refused = await play([[401, JSON.stringify({ state: "refused", message: "wrong token" })]]);
  assert.equal([refused.code, refused.told, refused.asked.length], [1, "wrong token", 1]);
});

test("a primary that goes is waited for; the next one, which knows of no order, is asked for the same", async () => {
  const elsewhere: [number, string] = [409, JSON.stringify({ state: "elsewhere", message: "does not lead" })];
  const { code, asked } = await play([
    state("running"),
    elsewhere,
    [500, "no JSON"],
    state("running"),
    state("done"),
  ]);
  assert.equal([code, asked.length], [0, 5]);
});

test("nobody that takes the order ends the attempt after a while, with what was said last", async () => {
  const { code, told } = await play([state("unready", "the repository is not set up on this member")]);
  assert.equal([code, told], [1, "the repository is not set up on this member"]);
});

uvuTest.run();
