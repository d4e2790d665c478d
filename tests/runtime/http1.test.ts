/** Which connections are used again, and what is no answer: the parser against bytes. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Buffer } from "node:buffer";
import type net from "node:net";
import { LeaseLostError } from "../../runtime/errors.ts";
import { Http1Connection } from "../../runtime/platform/http1.ts";
import { gatedRest } from "../../runtime/gate.ts";
import { until } from "../within.ts";
import { chunk, chunkedHead, failure, get, json, withServer, type Write } from "./byte_server.ts";

/** Sends two requests, of which `first` answers the first; answers how many connections that took. */
async function connectionsFor(first: (write: Write, socket: net.Socket) => void): Promise<number> {
  let count = 0, requests = 0;
  await withServer((_request, write, socket) => {
    requests += 1;
    if (requests === 1) first(write, socket);
    else write(json({ second: true }));
  }, async ({ transport, server }) => {
    await transport.performRequest({ method: "PUT", path: "/x" });
    assert.equal(await transport.performRequest({ ...get, method: "PUT" }), { second: true });
    count = server.connections.length;
  });
  return count;
}

const evil = json({ evil: true });

test("HTTP/1.1: a connection is used again after a whole answer, by length, in chunks or without a body", async () => {
  for (
    const answer of [
      json({}),
      json({}, "200 OK", "connection: keep-alive\r\n"),
      `${chunkedHead}${chunk("{}")}0\r\n\r\n`,
      "HTTP/1.1 204 No Content\r\n\r\n",
    ]
  ) assert.is(await connectionsFor((write) => write(answer)), 1, answer);
});

test("HTTP/1.1: a connection is not used again when the server says close, in whatever list", async () => {
  for (const value of ["close", "Close", "keep-alive, close", "close , x"]) {
    const answer = json({}, "200 OK", `connection: ${value}\r\n`);
    assert.is(await connectionsFor((write) => write(answer)), 2, value);
  }
  assert.is(
    await connectionsFor((write) => write("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}")),
    2,
    "1.0",
  );
});

test("HTTP/1.1: bytes beyond an answer are no answer to the next request", async () => {
  const answers = {
    "after a length": `${json({})}${evil}`,
    "after chunks": `${chunkedHead}${chunk("{}")}0\r\n\r\n${evil}`,
    "after a 204": `HTTP/1.1 204 No Content\r\n\r\n${evil}`,
    "after no length": `HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n${evil}`,
  };
  for (const [what, answer] of Object.entries(answers)) {
    assert.is(await connectionsFor((write) => write(answer)), 2, what);
  }
});

test("HTTP/1.1: what a server says unasked closes the connection", async () => {
  let say = () => {};
  await withServer((_request, write) => {
    write(json({}));
    say = () => write(evil);
  }, async ({ transport, server }) => {
    await transport.performRequest(get);
    say();
    await until(2_000, "the connection to end", () => server.connections[0]!.socket.destroyed, 2);
    assert.equal(await transport.performRequest({ ...get, method: "PUT" }), {});
    assert.is(server.connections.length, 2);
  });
});

test("HTTP/1.1: a chunk longer than it says and a head without an end are errors", async () => {
  const answers = [`${chunkedHead}2\r\n{}}\r\n0\r\n\r\n`, `HTTP/1.1 200 OK\r\nx: ${"y".repeat(70_000)}`];
  await withServer((_request, write) => write(answers.shift()!), async ({ transport }) => {
    const causes: string[] = [];
    for (let count = answers.length; count > 0; count--) {
      const error = await failure(transport.performRequest({ ...get, method: "PUT" }));
      causes.push(String((error.cause as Error | undefined)?.message));
    }
    assert.equal(causes, [
      "A chunk of the answer is longer than it says",
      "The head of the answer is over 65536 bytes",
    ]);
  });
});

/** A socket that a test opens when it likes. */
function fakeSocket() {
  const listeners = new Map<string, (() => void)[]>();
  const written: string[] = [];
  const on = (event: string, listener: () => void) => {
    listeners.set(event, [...listeners.get(event) ?? [], listener]);
  };
  const socket = {
    on,
    once: on,
    write: (bytes: Uint8Array) => written.push(new TextDecoder().decode(bytes)),
    destroy: () => {},
  };
  return {
    socket: socket as unknown as net.Socket,
    written,
    emit: (event: string) => listeners.get(event)?.forEach((each) => each()),
  };
}

test("rule 40: what is sent on a new connection is asked for when its handshake is over, and not before", () => {
  for (const opened of ["connect", "secureConnect"] as const) {
    const { socket, written, emit } = fakeSocket();
    const connection = new Http1Connection(socket, opened, () => {});
    const lost = new LeaseLostError("lost meanwhile");
    let leads = true;
    const errors: Error[] = [];
    const sink = { onHead() {}, onData() {}, onEnd() {}, onError: (error: Error) => errors.push(error) };
    connection.send(() => {
      if (!leads) throw lost;
      return Buffer.from("DELETE");
    }, sink);
    if (opened === "secureConnect") emit("connect");
    assert.equal(written, [], "nothing is in a buffer that the fence cannot reach");
    leads = false;
    emit(opened);
    assert.equal([written, errors], [[], [lost]]);
    assert.not.ok(connection.isFree);
  }
});

test("rule 40: a write whose lease is lost while its connection is made does not leave, and says why", async () => {
  await withServer((_request, write) => write(json({})), async ({ transport, server }) => {
    let leads = true;
    const rest = gatedRest(transport, { mayWrite: () => leads, onRequest: () => {}, onWarning: () => {} });
    const refused = failure(rest.performRequest({ method: "DELETE", path: "/x", expectJson: true }));
    for (let turn = 0; turn < 10; turn++) await Promise.resolve(); // the connection is begun, not there yet
    leads = false;
    assert.instance(await refused, LeaseLostError);
    assert.equal(server.requests, []);
    leads = true;
    await rest.performRequest({ method: "DELETE", path: "/x", expectJson: true });
    assert.is(server.requests.length, 1);
  });
});

test.run();
