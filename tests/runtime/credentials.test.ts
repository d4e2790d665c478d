/** What happens when credentials are refused: each is read anew once, however many requests met the refusal. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ApiError } from "../../runtime/errors.ts";
import type { Credentials } from "../../runtime/platform/authentication.ts";
import { Connections } from "../../runtime/platform/connections.ts";
import {
  kubeConfigCredentials,
  staticCredentials,
  tokenFileCredentials,
} from "../../runtime/platform/credentials.ts";
import { until } from "../within.ts";
import { failure, get, json, noTls, serve, withServer, type Write } from "./byte_server.ts";
import { FakeClock } from "./fake_clock.ts";

/** A token that rotates, and how often it was asked for. */
class Token {
  value = "one";
  reads = 0;

  read = (): string => {
    this.reads += 1;
    return this.value;
  };
}

/** Each kind of credentials on such a token; `file` is where the token is written as well. */
const kinds: Record<string, (token: Token, file: string, clock: FakeClock) => Promise<Credentials>> = {
  "a token file": (_token, file, clock) => Promise.resolve(tokenFileCredentials(() => noTls, file, clock)),
  "the token of a kubeconfig": (token) =>
    Promise.resolve(
      staticCredentials(noTls, token.read(), () => Promise.resolve(staticCredentials(noTls, token.read()))),
    ),
  "a plugin": (token, _file, clock) => {
    // It keeps what it got, as one whose token has no end does.
    const load = () => {
      let kept: string | undefined;
      return Promise.resolve({
        async applyToHTTPSOptions(options: object) {
          await new Promise((resolve) => setImmediate(resolve));
          kept ??= token.read();
          Object.assign(options, { headers: { Authorization: `Bearer ${kept}` } });
        },
      });
    };
    return kubeConfigCredentials(load, clock);
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`rule 45: ${kind}: of five requests that meet a rotated token at once, each succeeds, after one reading`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "token-"));
    const file = join(folder, "token");
    const token = new Token();
    const refused: Write[] = [];
    const clock = new FakeClock();
    writeFileSync(file, token.value);
    try {
      await withServer((request, write) => {
        if (request.includes(`authorization: Bearer ${token.value}\r\n`)) write(json({ ok: true }));
        else refused.push(write);
      }, async ({ transport }) => {
        await transport.performRequest(get);
        token.value = "two";
        writeFileSync(file, "two");
        clock.freeze(10_000);
        const reads = token.reads;
        const all = Array.from({ length: 5 }, () => transport.performRequest(get));
        await until(2_000, "all to be refused", () => refused.length === 5, 2);
        // One after the other: the later ones are refused when the first has read the new token already.
        for (const write of refused.splice(0)) {
          write(json({ kind: "Status" }, "401 Unauthorized"));
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        assert.equal(await Promise.all(all), all.map(() => ({ ok: true })));
        if (kind !== "a token file") assert.is(token.reads - reads, 1);
      }, await make(token, file, clock));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test(`rule 45: ${kind}: one that stays refused is not read for each request`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "token-"));
    const file = join(folder, "token");
    const token = new Token();
    const clock = new FakeClock();
    clock.freeze(10_000);
    writeFileSync(file, token.value);
    let asked = 0;
    try {
      await withServer((_request, write) => {
        asked += 1;
        write(json({ kind: "Status" }, "401 Unauthorized"));
      }, async ({ transport }) => {
        const all = await Promise.all(
          Array.from({ length: 20 }, () => failure(transport.performRequest(get))),
        );
        assert.ok(all.every((error) => (error as ApiError).status === 401));
        assert.is(asked, 20, "the same token is not sent twice");
        if (kind === "a plugin") assert.ok(token.reads <= 2, `${token.reads} runs of the plugin`);
      }, await make(token, file, clock));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test("rule 45: a token file is not read again for a refusal within a second of the last reading", async () => {
  const folder = mkdtempSync(join(tmpdir(), "token-"));
  const file = join(folder, "token");
  const clock = new FakeClock();
  writeFileSync(file, "one");
  try {
    const credentials = tokenFileCredentials(() => noTls, file, clock);
    const sent = { headers: await credentials.headers(), tls: noTls };
    writeFileSync(file, "two");
    clock.freeze(999);
    assert.is(await credentials.refresh(sent), false);
    clock.freeze(1);
    assert.is(await credentials.refresh(sent), true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("rule 45: a plugin that gives no end of its token runs once for requests that are sent together", async () => {
  let runs = 0;
  const credentials = await kubeConfigCredentials(() =>
    Promise.resolve({
      async applyToHTTPSOptions(options: object) {
        await new Promise((resolve) => setImmediate(resolve));
        Object.assign(options, { headers: { authorization: `Bearer ${++runs}` } });
      },
    }), new FakeClock());
  const all = await Promise.all(Array.from({ length: 20 }, async () => await credentials.headers()));
  assert.equal([runs, all.every(({ authorization }) => authorization === "Bearer 2")], [2, true]);
});

test("rule 45: a 401 that follows a read sent anew is answered by reading the token, too", async () => {
  let isClosing = false, valid = "one";
  await withServer((request, write, socket) => {
    if (isClosing) {
      isClosing = false;
      socket.destroy();
    } else if (request.includes(`authorization: Bearer ${valid}\r\n`)) write(json({ ok: true }));
    else write(json({ kind: "Status" }, "401 Unauthorized"));
  }, async ({ transport }) => {
    await transport.performRequest(get);
    [isClosing, valid] = [true, "two"];
    assert.equal(await transport.performRequest(get), { ok: true });
  }, staticCredentials(noTls, "one", () => Promise.resolve(staticCredentials(noTls, "two"))));
});

test("rule 45: a connection made with other TLS material is not used again", async () => {
  const server = await serve(() => {});
  const connections = new Connections({
    url: new URL(`http://127.0.0.1:${server.port}`),
    plainMax: 5,
    clock: new FakeClock(),
  });
  const [old, fresh] = [{ ca: "one" }, { ca: "two" }];
  const first = connections.take(old);
  connections.give(first, old);
  assert.is(connections.take(old), first);
  connections.give(first, old);
  assert.is.not(connections.take(fresh), first);
  assert.not.ok(first.isFree, "it is closed");
  connections.close(new Error("The test is over"));
  await server.close();
});

test.run();
