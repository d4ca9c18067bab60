// Engine.IO v4, case by case, at the level of bytes: messages by polling.
// Against engine.io itself and ringcast; what is sent is echoed.
import { randomBytes } from "node:crypto";
import { gunzipSync, inflateSync } from "node:zlib";
import { MAX_PAYLOAD, patient, settle, targets } from "./lib/engineio.mjs";
import { connectRaw } from "./lib/raw.mjs";
import { Late, SEPARATOR, assert, describeCases, keepAliveAgent, openPolling } from "./lib/socketio.mjs";

/* A connection with a request whose body is not whole; the session's owner ends it. */
async function unfinishedPost(polling, { bytes = "4abc", length = 100 } = {}) {
  const raw = await connectRaw({ host: "127.0.0.1", port: polling.server.port });
  raw.write(`POST ${polling.url()} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\n\r\n${bytes}`);
  return raw;
}

/* A GET that the server has got, and which waits. */
async function waitingGet(polling) {
  const raw = await connectRaw({ host: "127.0.0.1", port: polling.server.port });
  raw.write(`GET ${polling.url()} HTTP/1.1\r\nHost: x\r\n\r\n`);
  return raw;
}

/* Gone by what has just ended, if the server has seen that: no answer tells. */
async function isGoneBy(session, what) {
  try {
    await session.isGone();
  } catch (error) {
    throw new Late(`the server has not seen ${what}: ${error.message}`);
  }
}

/* A POST that closes the session. What it is answered is left open: the published suite wants 400, engine.io says 200 or hangs up. */
async function lastPost(session, body) {
  try {
    const { status } = await session.post(body);
    assert.ok([200, 400].includes(status), `${status}`);
  } catch (error) {
    assert.equal(error.code, "ECONNRESET");
  }
}

const polling = [
  ["one text packet", async (server) => {
    const session = await openPolling(server);
    const posted = await session.post("4hello");
    assert.deepEqual([posted.status, posted.body], [200, "ok"]);
    assert.match(posted.headers["content-type"], /^text\/html/);
    assert.equal(posted.headers["content-length"], "2");
    assert.equal(posted.headers["cache-control"], "no-store");
    const answer = await session.get();
    assert.deepEqual([answer.status, answer.body], [200, "4hello"]);
    assert.match(answer.headers["content-type"], /^text\/plain; charset=utf-8$/i);
    assert.equal(answer.headers["content-length"], "6");
    assert.equal(answer.headers["cache-control"], "no-store");
  }],

  ["several text packets", async (server) => {
    const session = await openPolling(server);
    await session.send("4test1", "4test2", "4test3");
    assert.equal((await session.get()).body, ["4test1", "4test2", "4test3"].join(SEPARATOR));
  }],

  ["text and binary packets", async (server) => {
    const session = await openPolling(server);
    await session.send("4hello", "bAQIDBA==");
    assert.equal((await session.get()).body, ["4hello", "bAQIDBA=="].join(SEPARATOR));
  }],

  ["binary of every length and octet", async (server) => {
    const session = await openPolling(server);
    const packets = [];
    for (let length = 0; length < 20; length++) packets.push(`b${randomBytes(length).toString("base64")}`);
    packets.push(`b${Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString("base64")}`);
    await session.send(...packets);
    assert.equal((await session.get()).body, packets.join(SEPARATOR));
  }],

  ["binary whose base64 is in lines, as clients for Java and Android write it", async (server) => {
    const session = await openPolling(server);
    for (const end of ["\n", "\r\n"]) {
      for (const length of [1, 2, 3, 56, 57, 58, 1000]) {
        const base64 = randomBytes(length).toString("base64");
        await session.send("4before", `b${base64.match(/.{1,76}/g).join(end)}${end}`, "4behind");
        assert.deepEqual(await session.packets(3), ["4before", `b${base64}`, "4behind"], `${length} bytes`);
      }
    }
  }],

  ["empty messages", async (server) => {
    const session = await openPolling(server);
    await session.send("4", "b", "4x");
    assert.deepEqual(await session.packets(3), ["4", "b", "4x"]);
  }],

  ["text of every kind", async (server) => {
    const session = await openPolling(server);
    for (const text of ["é€😀", "\u0000\u0001\u001d\u001f\u007f", "\u2028\u2029\ufeff", "a\r\n\r\nb", "\\n\\x1e", "2probe", " ", "4"]) {
      await session.send(`4${text}`);
      const answer = await session.get();
      assert.equal(answer.body, `4${text}`);
      assert.equal(Number(answer.headers["content-length"]), Buffer.byteLength(`4${text}`));
    }
  }],

  ["several posts are collected until the next poll", async (server) => {
    const session = await openPolling(server);
    for (const n of [1, 2, 3]) await session.send(`4${n}`);
    assert.equal((await session.get()).body, ["41", "42", "43"].join(SEPARATOR));
  }],

  ["a poll that waits is answered by what comes", async (server) => {
    const session = await openPolling(server);
    for (let i = 0; i < 5; i++) {
      const waiting = session.get();
      await session.send(`4${i}`);
      assert.equal((await waiting).body, `4${i}`);
    }
  }],

  ["order is kept over many posts and polls", async (server) => {
    const session = await openPolling(server);
    const wanted = Array.from({ length: 200 }, (_, i) => `4${i}`);
    const reading = session.packets(wanted.length);
    for (let at = 0; at < wanted.length; ) {
      const count = 1 + (at % 7);
      await session.send(...wanted.slice(at, at + count));
      at += count;
    }
    assert.deepEqual(await reading, wanted);
  }],

  ["over one connection that is kept alive", async (server) => {
    const agent = keepAliveAgent();
    const one = await openPolling(server, { agent });
    const two = await openPolling(server, { agent }); // as behind a proxy, two sessions take turns on it
    for (let i = 0; i < 4; i++) {
      await one.send(`4one${i}`);
      await two.send(`4two${i}`);
      assert.equal((await two.get()).body, `4two${i}`);
      assert.equal((await one.get()).body, `4one${i}`);
    }
    agent.destroy();
  }],

  ["a body in pieces, and one in chunks", async (server) => {
    const session = await openPolling(server);
    for (const head of ["Content-Length: 14\r\n", "Transfer-Encoding: chunked\r\n"]) {
      const raw = await connectRaw({ host: "127.0.0.1", port: server.port });
      raw.write(`POST ${session.url()} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain;charset=UTF-8\r\n${head}\r\n`);
      const body = Buffer.from("4h€llo\x1ebAQID");
      for (let at = 0; at < body.length; at += 3) {
        const part = body.subarray(at, at + 3);
        raw.write(head.startsWith("C") ? part : Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")]));
        await new Promise(setImmediate);
      }
      if (!head.startsWith("C")) raw.write("0\r\n\r\n");
      const response = await raw.response();
      assert.deepEqual([response.status, response.body], [200, "ok"]);
      raw.end();
      assert.equal((await session.get()).body, "4h€llo\x1ebAQID");
    }
  }],

  ["content types of old and new clients", async (server) => {
    const session = await openPolling(server);
    for (const type of ["text/plain;charset=UTF-8", "text/plain", "application/x-www-form-urlencoded", "application/json"]) {
      const answer = await session.post("4x", { headers: { "Content-Type": type } });
      assert.equal(answer.body, "ok", type);
      assert.equal((await session.get()).body, "4x");
    }
  }],

  ["half a megabyte each way, text and binary", async (server) => {
    const session = await openPolling(server);
    const text = `4${"é".repeat(250000)}`;
    await session.send(text);
    assert.ok((await session.get()).body === text);
    const binary = `b${randomBytes(500000).toString("base64")}`;
    await session.send(binary);
    assert.ok((await session.packet()) === binary);
  }],

  ["compression only for who asks for it", async (server) => {
    const session = await openPolling(server);
    const text = `4${"abc ".repeat(2000)}`;
    await session.send(text);
    const plain = await session.get();
    assert.equal(plain.headers["content-encoding"], undefined);
    assert.equal(plain.body, text);
    for (const encoding of ["gzip", "deflate", "identity", "br"]) {
      await session.send(text);
      const answer = await session.get({ headers: { "Accept-Encoding": encoding } });
      const used = answer.headers["content-encoding"];
      assert.equal(used, encoding === "gzip" || encoding === "deflate" ? encoding : undefined);
      const bytes = used === "gzip" ? gunzipSync(answer.bytes) : used === "deflate" ? inflateSync(answer.bytes) : answer.bytes;
      assert.equal(bytes.toString(), text);
    }
  }],

  ["Accept-Encoding as RFC 9110 weighs it, and who accepts none", async (server) => {
    const session = await openPolling(server);
    const text = `4${"abc ".repeat(2000)}`;
    for (const [accepts, encoding] of [
      ["gzip, deflate", "gzip"], ["gzip;q=0, deflate", "deflate"], ["gzip;q=0", undefined], ["deflate;q=0.5, gzip;q=0.4", "deflate"],
      ["br", undefined], ["*;q=0", undefined], ["*", "gzip"], ["", undefined],
    ]) {
      await session.send(text);
      const answer = await session.get({ headers: { "Accept-Encoding": accepts } });
      assert.equal(answer.headers["content-encoding"], encoding, accepts);
    }
  }],

  ["answers below 1024 bytes leave as they are, and so do those of POSTs", async (server) => {
    const session = await openPolling(server);
    const headers = { "Accept-Encoding": "gzip" };
    for (const [bytes, encoding] of [[1023, undefined], [1024, "gzip"]]) {
      const posted = await session.post(`4${"x".repeat(bytes - 1)}`, { headers });
      assert.equal(posted.headers["content-encoding"], undefined);
      const answer = await session.get({ headers });
      assert.equal(answer.headers["content-encoding"], encoding, `${bytes} bytes`);
    }
  }],

  ["what does not become smaller leaves as it is", async (server) => {
    const session = await openPolling(server);
    const text = `b${randomBytes(30000).toString("base64")}`;
    await session.send(text); // six bits in each byte: it does become smaller
    const smaller = await session.get({ headers: { "Accept-Encoding": "gzip" } });
    assert.equal(smaller.headers["content-encoding"], "gzip");
    assert.equal(gunzipSync(smaller.bytes).toString(), text);
    const noise = `4${String.fromCodePoint(...Array.from({ length: 1000 }, () => 0x10000 + Math.floor(Math.random() * 0xfffff)))}`;
    await session.send(noise);
    const answer = await session.get({ headers: { "Accept-Encoding": "gzip" } });
    const bytes = answer.headers["content-encoding"] === "gzip" ? gunzipSync(answer.bytes) : answer.bytes;
    assert.equal(bytes.toString(), noise);
    assert.ok(answer.bytes.length <= Buffer.byteLength(noise));
  }, "ringcast"],

  ["what is no packet closes the session", async (server) => {
    for (const body of ["abc", "", SEPARATOR, "4ok\x1e", "\x1e4ok", "4ok\x1e9", "7", "é", "{}", " 4x"]) {
      const session = await openPolling(server);
      await lastPost(session, body);
      await session.isGone();
    }
  }],

  ["a client's ping closes the session", async (server) => {
    const session = await openPolling(server);
    await lastPost(session, "2");
    await session.isGone();
  }],

  ["packets without a meaning here change nothing", async (server) => {
    const session = await openPolling(server);
    await session.send("6", "5", "0", "4x");
    assert.equal(await session.packet(), "4x");
  }],

  ["a second poll while one waits: the first gets a close, the second 400", async (server) => {
    const session = await openPolling(server);
    const first = session.get();
    await settle();
    const second = await session.get();
    if (second.status === 200 && (await first).status === 400) throw new Late("the second poll came first");
    assert.equal(second.status, 400);
    const { status, body } = await first;
    assert.deepEqual([status, body], [200, "1"]);
    await session.isGone();
  }],

  ["a second post while one arrives: 400, and the session is gone", async (server) => {
    const session = await openPolling(server);
    const raw = await unfinishedPost(session);
    await settle();
    const { status } = await session.post("4x");
    if (status === 200) {
      raw.end();
      throw new Late("the unfinished post came behind it");
    }
    assert.equal(status, 400);
    await session.isGone();
    raw.end();
  }],

  ["a poll that the client aborts ends the session", async (server) => {
    const session = await openPolling(server);
    const raw = await waitingGet(session);
    await settle();
    raw.end();
    await settle();
    await isGoneBy(session, "the end of the poll");
  }],

  ["a post that the client aborts ends the session", async (server) => {
    const session = await openPolling(server);
    const raw = await unfinishedPost(session);
    await settle();
    raw.end();
    await settle();
    await isGoneBy(session, "the end of the post");
  }],

  ["a post of the largest size is taken, one octet more is 413", async (server) => {
    const session = await openPolling(server);
    const largest = `4${"x".repeat(MAX_PAYLOAD - 1)}`;
    await session.send(largest);
    assert.ok((await session.packet()) === largest);
    const raw = await unfinishedPost(session, { bytes: `${largest}x`, length: MAX_PAYLOAD + 1 });
    assert.equal((await raw.response()).status, 413);
    raw.end();
  }],

  ["a post of application/octet-stream: 400, and the session is gone", async (server) => {
    const session = await openPolling(server);
    assert.equal((await session.post("4x", { headers: { "Content-Type": "application/octet-stream" } })).status, 400);
    await session.isGone();
  }],
];

describeCases("polling", targets, patient, polling);
