/** The transport against a server on loopback that writes its answers byte by byte, as the test says. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiError, DeadlineError, LeaseLostError } from "../../runtime/errors.ts";
import { Client } from "../../runtime/client.ts";
import { gatedRest } from "../../runtime/gate.ts";
import { leases } from "../../runtime/leader_election.ts";
import { tokenFileCredentials } from "../../runtime/platform/credentials.ts";
import { HttpTransport } from "../../runtime/platform/transport.ts";
import { until } from "../within.ts";
import {
  chunk,
  chunkedHead,
  failure,
  get,
  json,
  noCredentials,
  noTls,
  serve,
  withServer,
  type Write,
} from "./byte_server.ts";
import { FakeClock } from "./fake_clock.ts";

test("a request is sent as it should be, and its answer read: by length, in chunks, or to the end", async () => {
  const answers = [
    json({ a: "ü" }),
    `${chunkedHead}${chunk('{"a"')}${chunk(":1}")}0\r\nx-trailer: 1\r\n\r\n`,
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{"a":2}',
    "HTTP/1.1 204 No Content\r\n\r\n",
  ];
  let index = 0;
  await withServer((_request, write, socket) => {
    const answer = answers[index++]!;
    if (index === 1) socket.write(answer.replace("length: 9", "length: 10"), "utf8");
    else write(answer);
    if (index === 3) socket.end();
  }, async ({ transport, server }) => {
    const querystring = new URLSearchParams({ limit: "5" });
    assert.equal(await transport.performRequest({ ...get, querystring }), { a: "ü" });
    assert.equal(await transport.performRequest({ ...get, method: "POST", bodyJson: { b: "ä" } }), { a: 1 });
    assert.equal(await transport.performRequest(get), { a: 2 });
    assert.is((await transport.performRequest({ method: "DELETE", path: "/x" })).length, 0);
    assert.match(
      server.requests[0]!,
      /^GET \/base\/x\?limit=5 HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\nuser-agent: test\/1\r\naccept: application\/json\r\n\r\n$/,
    );
    assert.match(
      server.requests[1]!,
      /content-type: application\/json\r\ncontent-length: 10\r\n\r\n\{"b":"\xc3\xa4"\}$/,
    );
    assert.is(server.connections.length, 2, "the first connection was used until the server closed it");
  });
});

test("a leader that lost its lease while a write waited for its turn does not send it", async () => {
  const waiting: Write[] = [];
  await withServer((request, write) => {
    if (request.startsWith("GET")) waiting.push(write);
    else write(json({}));
  }, async ({ transport, server }) => {
    let leads = true;
    const rest = gatedRest(transport, { mayWrite: () => leads, onRequest: () => {}, onWarning: () => {} });
    const send = (method: "GET" | "PATCH") => rest.performRequest({ method, path: "/x", expectJson: true });
    const reads = Array.from({ length: 5 }, () => send("GET")); // every connection is taken
    await until(2_000, "all connections to be in use", () => waiting.length === 5);
    const refused = failure(send("PATCH"));
    leads = false;
    for (const answer of waiting) answer(json({}));
    await Promise.all(reads);
    assert.instance(await refused, LeaseLostError);
    assert.ok(server.requests.every((request) => request.startsWith("GET")));
  });
});

test("rule 35: an urgent request does not wait for its turn: 60 writes, or five that hang, cost no lease", async () => {
  const waiting: Write[] = [];
  await withServer((request, write) => {
    if (request.includes("/leases/")) write(json({ renewed: true }));
    else waiting.push(write);
  }, async ({ transport, server }) => {
    const client = new Client(transport, { fieldManager: "test", isUrgent: true });
    const writes = Array.from({ length: 60 }, () => transport.performRequest({ ...get, method: "PATCH" }));
    await until(2_000, "all connections to be in use", () => waiting.length === 5);
    const renewed: unknown = await client.get(leases, { namespace: "n", name: "lock" });
    assert.equal(renewed, { renewed: true });
    assert.is(server.connections.length, 6);
    for (let left = 60; left > 0; left--) {
      await until(2_000, "the next write", () => waiting.length > 0, 1);
      waiting.shift()!(json({}));
    }
    await Promise.all(writes);
    assert.is(server.connections.length, 6, "no more for what came after");
  });
});

test("a request that its caller gives up for silence drops the idle connections, one that is stopped does not", async () => {
  let isSilent = false;
  for (
    const [reason, connections] of [[new DeadlineError("silent"), 3], [new Error("stopped"), 2]] as const
  ) {
    isSilent = false;
    await withServer((_request, write) => isSilent || write(json({})), async ({ transport, server }) => {
      await Promise.all([transport.performRequest(get), transport.performRequest(get)]);
      isSilent = true;
      const stop = new AbortController();
      const failing = failure(transport.performRequest({ ...get, abortSignal: stop.signal }));
      await until(2_000, "the request to arrive", () => server.requests.length === 3, 1);
      stop.abort(reason);
      assert.is(await failing, reason);
      isSilent = false;
      await transport.performRequest(get);
      assert.is(server.connections.length, connections);
    });
  }
});

test("answers in pieces of one byte are read like whole ones", async () => {
  await withServer((_request, _write, socket) => {
    socket.setNoDelay(true);
    const bytes = `${chunkedHead}${chunk('{"a":')}${chunk("1}")}0\r\n\r\n`.split("");
    const next = () => {
      socket.write(bytes.shift()!);
      if (bytes.length > 0) setImmediate(next);
    };
    next();
  }, async ({ transport }) => {
    assert.equal(await transport.performRequest(get), { a: 1 });
  });
});

test("few connections: 100 requests at once share five, each watch has its own, and idle ones are used again", async () => {
  await withServer((request, write) => {
    if (request.includes("watch")) write(`${chunkedHead}${chunk("{}\n")}`);
    else setImmediate(() => write(json({})));
  }, async ({ transport, server }) => {
    await Promise.all(Array.from({ length: 100 }, () => transport.performRequest(get)));
    assert.is(server.connections.length, 5);
    for (let time = 0; time < 3; time++) {
      const stream = await transport.performRequest({ method: "GET", path: "/watch", expectStream: true });
      assert.is((await stream.getReader().read()).value?.length, 3);
    }
    assert.is(server.connections.length, 5, "three of the idle ones carry watches now");
  });
});

test("an idle connection is not used after a minute: what lies between may have forgotten it", async () => {
  await withServer((_request, write) => write(json({})), async ({ transport, server, clock }) => {
    await transport.performRequest(get);
    clock.freeze(59_000);
    await transport.performRequest(get);
    assert.is(server.connections.length, 1);
    clock.freeze(61_000);
    await transport.performRequest(get);
    assert.is(server.connections.length, 2);
  });
});

test("no answer within 20 s, on reads and on writes: DeadlineError, and the other idle connections are dropped too", async () => {
  let isSilent = false;
  await withServer((_request, write) => isSilent || write(json({})), async ({ transport, server, clock }) => {
    await Promise.all(Array.from({ length: 3 }, () => transport.performRequest(get)));
    isSilent = true;
    for (const method of ["GET", "PATCH"] as const) {
      const before = server.requests.length;
      const failing = failure(transport.performRequest({ ...get, method }));
      await until(2_000, "the request to arrive", () => server.requests.length > before, 1);
      await clock.advance(19_999);
      await clock.advance(1);
      const error = await failing;
      assert.instance(error, DeadlineError);
      assert.is(error.message, `Cannot ${method} /x: no answer within 20000 ms`);
    }
    isSilent = false;
    const before = server.connections.length;
    await transport.performRequest(get);
    assert.is(server.connections.length, before + 1);
  });
});

test("a plain body that stops for 20 s, is cut off or is no JSON: an error each, never a half answer", async () => {
  const head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
  const answers: ((write: Write, socket: net.Socket) => void)[] = [
    (write) => write(head),
    (_write, socket) => socket.end(head),
    (write) => write(json({}).replace("{}", "{[")),
    (_write, socket) => socket.destroy(),
    (_write, socket) => socket.end("SSH-2.0-OpenSSH\r\n\r\n"),
    (_write, socket) => socket.end(`${chunkedHead}zz\r\n{}\r\n0\r\n\r\n`),
  ];
  let index = 0;
  await withServer(
    (_request, write, socket) => answers[index]!(write, socket),
    async ({ transport, clock, server }) => {
      const errors: string[] = [];
      for (index = 0; index < answers.length; index++) {
        const before = server.requests.length;
        const failing = failure(transport.performRequest({ ...get, method: "PUT" }));
        await until(2_000, "the request to arrive", () => server.requests.length > before, 1);
        if (index === 0) {
          await until(2_000, "the body's deadline", () => clock.pending === 1, 1);
          // The head may take a moment longer than the request: the deadline in force then starts anew.
          for (let time = 0; time < 4; time++) await clock.advance(20_000);
        }
        errors.push((await failing).message);
      }
      assert.match(errors[0]!, /Cannot PUT \/x: (the answer stopped for|no answer within) 20000 ms/);
      assert.match(errors[1]!, /the connection ended within the answer/);
      assert.match(errors[2]!, /Cannot read the answer to PUT \/x as JSON/);
      assert.match(errors[3]!, /Cannot PUT \/x on http:\/\/127\.0\.0\.1/);
      assert.match(errors[4]!, /does not begin like HTTP/);
      assert.match(errors[5]!, /the connection ended within the answer/);
    },
  );
});

test("a refusal is an ApiError with the server's own words; what is not a Status is not repeated", async () => {
  const status = {
    kind: "Status",
    status: "Failure",
    message: 'widgets "a" is forbidden',
    reason: "Forbidden",
    details: { name: "a" },
    code: 403,
  };
  const answers = [
    json(status, "403 Forbidden"),
    json({ secret: "x" }, "502 Bad Gateway"),
    json({}, "429 Slow", "retry-after: 3\r\n"),
  ];
  await withServer((_request, write) => write(answers.shift()!), async ({ transport }) => {
    const [forbidden, gateway, slow] = [
      await failure(transport.performRequest(get)),
      await failure(transport.performRequest(get)),
      await failure(transport.performRequest(get)),
    ] as ApiError[];
    assert.equal([forbidden!.status, forbidden!.reason, forbidden!.details], [403, "Forbidden", {
      name: "a",
    }]);
    assert.is(forbidden!.message, 'Cannot GET /x: widgets "a" is forbidden');
    assert.is(gateway!.message, "Cannot GET /x: the server answered 502");
    assert.is(slow!.retryAfterMs, 3_000);
  });
});

test("a read on a kept connection that the server just closed is sent once more; a write is not", async () => {
  let isClosing = false;
  await withServer((_request, write, socket) => {
    if (isClosing) {
      isClosing = false;
      socket.destroy();
    } else write(json({ ok: true }));
  }, async ({ transport }) => {
    await transport.performRequest(get);
    isClosing = true;
    assert.equal(await transport.performRequest(get), { ok: true });
    isClosing = true;
    assert.match(
      (await failure(transport.performRequest({ ...get, method: "PATCH" }))).message,
      /Cannot PATCH/,
    );
  });
});

test("an abort ends a request, a body and a stream at once, also one that waits for its turn", async () => {
  await withServer((request, write) => {
    if (request.includes("stream")) write(`${chunkedHead}${chunk("{}\n")}`);
  }, async ({ transport, server }) => {
    const stop = new AbortController();
    const waiting = Array.from(
      { length: 7 },
      () => failure(transport.performRequest({ ...get, abortSignal: stop.signal })),
    );
    const stream = await transport.performRequest({
      method: "GET",
      path: "/stream",
      expectStream: true,
      abortSignal: stop.signal,
    });
    const reader = stream.getReader();
    await reader.read();
    await until(2_000, "the requests to arrive", () => server.requests.length === 6, 1);
    stop.abort(new Error("Stopped by the test"));
    for (const failing of waiting) assert.is((await failing).message, "Stopped by the test");
    assert.is((await failure(reader.read())).message, "Stopped by the test");
    await until(
      2_000,
      "the connections to end",
      () => server.connections.every(({ socket }) => socket.destroyed),
      5,
    );
  });
});

test("a stream gives bytes as they come, ends in good order, and says when it was cut", async () => {
  let finish: (socket: net.Socket) => void = () => {};
  await withServer((_request, write, socket) => {
    write(`${chunkedHead}${chunk('{"a":1}\n{"b"')}`);
    finish(socket);
  }, async ({ transport }) => {
    finish = (socket) => setImmediate(() => socket.write(`${chunk(":2}\n")}0\r\n\r\n`));
    const lines: unknown[] = [];
    const stream = await transport.performRequest({
      method: "GET",
      path: "/w",
      expectStream: true,
      expectJson: true,
    });
    for await (const line of stream) lines.push(line);
    assert.equal(lines, [{ a: 1 }, { b: 2 }]);
    finish = (socket) => setImmediate(() => socket.destroy());
    const cut = await transport.performRequest({ method: "GET", path: "/w", expectStream: true });
    const reader = cut.getReader();
    await reader.read();
    assert.match((await failure(reader.read())).message, /the connection ended within the answer/);
  });
});

test("a reader that does not keep up holds the server back, and gets everything in the end", async () => {
  const line = `${"x".repeat(65_535)}\n`;
  const all = 1_000;
  let written = 0;
  await withServer((_request, write, socket) => {
    write(chunkedHead);
    const next = () => {
      while (written < all) {
        written += 1;
        if (!socket.write(chunk(line))) return void socket.once("drain", next);
      }
      write("0\r\n\r\n");
    };
    next();
  }, async ({ transport }) => {
    const stream = await transport.performRequest({ method: "GET", path: "/w", expectStream: true });
    let before = -1;
    await until(5_000, "the server to be held back", () => {
      const isHeld = written === before;
      before = written;
      return isHeld;
    }, 50);
    assert.ok(written < all, "the rest waits at the server");
    let bytes = 0;
    for await (const part of stream) bytes += part.length;
    assert.is(bytes, all * 65_536);
  });
});

test("rule 45: a token file is read again each minute, and at once on 401", async () => {
  const folder = mkdtempSync(join(tmpdir(), "token-"));
  const file = join(folder, "token");
  const write = (token: string) => writeFileSync(file, `${token}\n`);
  const clock = new FakeClock();
  let valid = "one";
  write("one");
  try {
    await withServer((request, send) => {
      send(
        request.includes(`authorization: Bearer ${valid}\r\n`)
          ? json({})
          : json({ kind: "Status" }, "401 Unauthorized"),
      );
    }, async ({ transport, server }) => {
      await transport.performRequest(get);
      write("two");
      clock.freeze(30_000);
      await transport.performRequest(get);
      assert.is(server.requests.length, 2, "still the first token");
      valid = "two";
      await transport.performRequest(get);
      assert.is(server.requests.length, 4, "refused once, read again, accepted");
      write("three");
      valid = "three";
      clock.freeze(60_000);
      await transport.performRequest(get);
      assert.is(server.requests.length, 5, "a minute later it is read without being refused");
      valid = "none";
      clock.freeze(10_000);
      assert.is((await failure(transport.performRequest(get)) as ApiError).status, 401);
      assert.is(server.requests.length, 6, "the same token is not tried twice");
      rmSync(file);
      clock.freeze(60_000);
      valid = "three";
      await transport.performRequest(get);
    }, tokenFileCredentials(() => noTls, file, clock));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("rule 45: a CA that was replaced is taken with the next reading of the token", async () => {
  const folder = mkdtempSync(join(tmpdir(), "token-"));
  const clock = new FakeClock();
  let ca = "one";
  writeFileSync(join(folder, "token"), "t");
  try {
    const credentials = tokenFileCredentials(() => ({ ca }), join(folder, "token"), clock);
    await credentials.headers();
    const first = credentials.tls();
    clock.freeze(60_000);
    await credentials.headers();
    assert.is(credentials.tls(), first, "the same object while nothing has changed: connections are kept");
    ca = "two";
    clock.freeze(60_000);
    await credentials.headers();
    assert.equal(credentials.tls(), { ca: "two" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a path or token with a line break is refused before anything is sent", async () => {
  await withServer((_request, write) => write(json({})), async ({ transport, server }) => {
    assert.instance(
      await failure(transport.performRequest({ ...get, path: "/x HTTP/1.1\r\nx: y\r\n\r\n" })),
      TypeError,
    );
    assert.is(server.requests.length, 0);
  });
});

test("nothing listens: the error names the server and the reason; after close every request is refused", async () => {
  const server = await serve(() => {});
  await server.close();
  const transport = new HttpTransport({
    server: `http://127.0.0.1:${server.port}`,
    defaultNamespace: "default",
    credentials: noCredentials,
    userAgent: "test/1",
  });
  assert.match(
    (await failure(transport.performRequest(get))).message,
    /^Cannot GET \/x on http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/,
  );
  transport.close();
  assert.match((await failure(transport.performRequest(get))).message, /the connection was closed/);
});

test("warnings are heard, on a refusal and on a watch too", async () => {
  const headers = 'warning: 299 - "one"\r\nWarning: 299 - "two"\r\n';
  await withServer((request, write) => {
    const watches = request.startsWith("GET /base/watch");
    if (watches) write(`HTTP/1.1 200 OK\r\n${headers}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`);
    else write(json({ kind: "Status" }, request.startsWith("GET") ? "200 OK" : "403 Forbidden", headers));
  }, async ({ transport }) => {
    const heard: string[] = [];
    const gate = { mayWrite: () => true, onRequest: () => {}, onWarning: (text: string) => heard.push(text) };
    const rest = gatedRest(transport, gate);
    await rest.performRequest({ method: "GET", path: "/a", expectJson: true });
    await rest.performRequest({ method: "POST", path: "/a", bodyJson: {}, expectJson: true }).catch(() => {});
    await rest.performRequest({ method: "GET", path: "/watch", expectStream: true });
    assert.equal(heard, ["one", "two", "one", "two", "one", "two"]);
  });
});

test.run();
