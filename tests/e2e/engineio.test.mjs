// Engine.IO v4, case by case, at the level of bytes: against engine.io itself, and against ringcast. The messages are echoed.
import { randomBytes } from "node:crypto";
import { gunzipSync, inflateSync } from "node:zlib";
import { OP, connectRaw, frame } from "./lib/raw.mjs";
import {
  EngineSocket, Late, Polling, SEPARATOR, ask, askUpgrade, assert, delay, describeCases, keepAliveAgent, openPolling, openSocket, openUpgrade, passed,
  targetsOf, tookBetween, until,
} from "./lib/socketio.mjs";

const PING_INTERVAL = 300;
const PING_TIMEOUT = 200;
const LIFE = PING_INTERVAL + PING_TIMEOUT; // of who answers no ping
const UPGRADE_TIMEOUT = 700;
const MAX_PAYLOAD = 1000000;
const options = { pingInterval: PING_INTERVAL, pingTimeout: PING_TIMEOUT, upgradeTimeout: UPGRADE_TIMEOUT };
const targets = targetsOf("engineio");

const MESSAGES = [
  "Transport unknown", "Session ID unknown", "Bad handshake method", "Bad request", "Forbidden", "Unsupported protocol version",
];
const KEYS = ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"];

/* An answer that is an error of this code. */
function isError(answer, code) {
  assert.equal(answer.status, code === 4 ? 403 : 400, answer.body);
  assert.match(answer.headers["content-type"], /^application\/json/);
  assert.deepEqual(JSON.parse(answer.body), { code, message: MESSAGES[code] });
}

/* A refused upgrade: 400 with the message as its body, and no connection any more. */
async function isRefused(server, query, code) {
  const { raw, response } = await askUpgrade(server, query);
  assert.equal(response.status, 400);
  assert.equal(response.body, MESSAGES[code]);
  await raw.rest();
}

const get = (server, query, more) => ask(server, "GET", `${server.path}?${query}`, more);

/* A session whose probe was answered, the waiting poll ended, and which is a WebSocket now. */
async function upgraded(server) {
  const polling = await openPolling(server);
  const socket = await openUpgrade(server, polling.sid);
  socket.send("2probe");
  await socket.expect("3probe");
  socket.send("5");
  return { polling, socket };
}

/* The next message that is no ping; pings are answered. */
async function echo(socket, message) {
  socket.answerPings = true;
  socket.send(message);
  assert.deepEqual(await socket.next(), message);
}

/* --- handshake ----------------------------------------------------------------------------------------------------------- */

const handshake = [
  ["polling: a GET opens a session", async (server) => {
    const polling = new Polling(server);
    const answer = await polling.open();
    assert.match(answer.headers["content-type"], /^text\/plain; charset=utf-8$/i);
    assert.equal(Number(answer.headers["content-length"]), answer.bytes.length);
    assert.equal(answer.headers["cache-control"], "no-store");
    assert.equal(answer.headers["set-cookie"], undefined);
    const { handshake: value } = polling;
    assert.deepEqual(Object.keys(value).sort(), KEYS);
    assert.match(value.sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual(value, { sid: value.sid, upgrades: ["websocket"], pingInterval: PING_INTERVAL, pingTimeout: PING_TIMEOUT, maxPayload: MAX_PAYLOAD });
    assert.doesNotMatch(answer.body.replace(value.sid, ""), /[.\s]/, "whole numbers, no white space");
    assert.deepEqual(polling.early, []);
  }],

  ["polling: every session has an id of its own", async (server) => {
    const sids = await Promise.all(Array.from({ length: 20 }, async () => (await openPolling(server)).sid));
    assert.equal(new Set(sids).size, 20);
  }],

  ["polling: EIO is missing or another", async (server) => {
    for (const eio of ["", "EIO=abc&", "EIO=3&", "EIO=5&", "EIO=&", "EIO=44&", "eio=4&"]) isError(await get(server, `${eio}transport=polling`), 5);
  }],

  ["polling: transport is missing or another", async (server) => {
    for (const transport of ["", "&transport=", "&transport=abc", "&transport=webtransport", "&transport=Polling", "&transport=__proto__"]) {
      isError(await get(server, `EIO=4${transport}`), 0);
    }
    isError(await get(server, "EIO=3&transport=abc"), 0); // looked at first
  }],

  ["polling: other methods than GET without a sid", async (server) => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) isError(await ask(server, method, `${server.path}?EIO=4&transport=polling`), 2);
    isError(await ask(server, "POST", `${server.path}?EIO=4&transport=polling`, { body: "4hello" }), 2);
  }],

  ["polling: transport=websocket by a plain GET", async (server) => {
    isError(await get(server, "EIO=4&transport=websocket"), 3);
  }],

  ["polling: sids that are none", async (server) => {
    const unknown = ["abc", "__proto__", "constructor", "toString", "hasOwnProperty", "A".repeat(20), "A".repeat(2000), "%00", "..%2f", "%c3%a9", "%zz"];
    for (const sid of unknown) isError(await get(server, `EIO=4&transport=polling&sid=${sid}`), 1);
    isError(await ask(server, "POST", `${server.path}?EIO=4&transport=polling&sid=__proto__`, { body: "4x" }), 1);
    isError(await get(server, "EIO=4&transport=websocket&sid=abc"), 1);
  }],

  ["polling: a sid with one character changed is unknown", async (server) => {
    const { sid } = await openPolling(server);
    for (const at of [0, 5, 10, 19]) {
      const other = sid.slice(0, at) + (sid[at] === "A" ? "B" : "A") + sid.slice(at + 1);
      isError(await get(server, `EIO=4&transport=polling&sid=${other}`), 1);
    }
  }],

  ["polling: an empty sid is none", async (server) => {
    const answer = await get(server, "EIO=4&transport=polling&sid=");
    assert.equal(answer.status, 200);
    assert.match(answer.body, /^0\{/);
  }],

  ["polling: with a sid, another protocol or transport", async (server) => {
    const polling = await openPolling(server);
    isError(await get(server, `transport=polling&sid=${polling.sid}`), 3);
    isError(await get(server, `EIO=3&transport=polling&sid=${polling.sid}`), 3);
    isError(await get(server, `EIO=4&transport=abc&sid=${polling.sid}`), 0);
    isError(await get(server, `EIO=4&transport=websocket&sid=${polling.sid}`), 3);
    await polling.send("4still here");
    assert.equal(await polling.packet(), "4still here");
  }],

  ["polling: parameters in any order, encoded, with others among them", async (server) => {
    const answer = await get(server, "t=abc&transport=%70olling&b64=1&EIO=%34&x=%zz&flag");
    assert.match(answer.body, /^0\{/);
    const { sid } = JSON.parse(answer.body.slice(1));
    const posted = await ask(server, "POST", `${server.path}?sid=${sid}&t=1&transport=polling&EIO=4`, { body: "4ok" });
    assert.equal(posted.body, "ok");
    assert.equal((await get(server, `sid=${sid}&EIO=4&transport=polling&t=2`)).body, "4ok");
  }],

  ["polling: other methods with a sid are answered 500 and harm nothing", async (server) => {
    const polling = await openPolling(server);
    assert.equal((await polling.request("PUT", { body: "4x" })).status, 500);
    assert.equal((await polling.request("DELETE")).status, 500);
    await polling.send("4y");
    assert.equal(await polling.packet(), "4y");
  }],

  ["the slash at the end of the path makes no difference", async (server) => {
    const answer = await ask(server, "GET", `${server.path.slice(0, -1)}?EIO=4&transport=polling`);
    assert.match(answer.body, /^0\{/);
    const { sid } = JSON.parse(answer.body.slice(1));
    assert.equal((await ask(server, "POST", `${server.path.slice(0, -1)}?EIO=4&transport=polling&sid=${sid}`, { body: "4x" })).body, "ok");
    assert.equal((await get(server, `EIO=4&transport=polling&sid=${sid}`)).body, "4x");
  }, "ringcast"],

  ["WebSocket: opens a session", async (server) => {
    const socket = await openSocket(server);
    assert.deepEqual(Object.keys(socket.handshake).sort(), KEYS);
    const { sid } = socket.handshake;
    assert.match(sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual(socket.handshake, { sid, upgrades: [], pingInterval: PING_INTERVAL, pingTimeout: PING_TIMEOUT, maxPayload: MAX_PAYLOAD });
    assert.doesNotMatch(socket.open.replace(sid, ""), /[.\s]/);
    isError(await get(server, `EIO=4&transport=polling&sid=${sid}`), 3);
    socket.end();
  }],

  ["WebSocket: EIO is missing or another", async (server) => {
    for (const query of [{}, { EIO: "abc" }, { EIO: "3" }]) {
      // The reference has accepted the WebSocket by then, and ends it in an unclean way.
      const { raw, response } = await askUpgrade(server, { ...query, transport: "websocket" });
      assert.ok([101, 400].includes(response?.status));
      assert.doesNotMatch((await raw.rest()).toString(), /"sid"/);
    }
  }],

  ["WebSocket: transport is missing or another", async (server) => {
    await isRefused(server, { EIO: "4" }, 0);
    await isRefused(server, { EIO: "4", transport: "abc" }, 0);
    await isRefused(server, { EIO: "4", transport: "webtransport" }, 0);
  }],

  ["WebSocket: an unknown sid", async (server) => {
    for (const sid of ["abc", "__proto__", "B".repeat(20)]) await isRefused(server, { EIO: "4", transport: "websocket", sid }, 1);
  }],

  ["WebSocket: an upgrade request for transport=polling opens nothing", async (server) => {
    const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "polling" });
    assert.ok([101, 400].includes(response?.status));
    if (response.status === 101) assert.deepEqual(await new EngineSocket(server, raw, response).closed(), []);
    else await raw.rest();
  }],
];

/* --- messages by polling -------------------------------------------------------------------------------------------------- */

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

/* By now the server has what another connection sent, or that it ended: there is no answer that would tell. */
const settle = () => delay(30);

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
    assert.equal(second.status, 400);
    const { status, body } = await first;
    assert.deepEqual([status, body], [200, "1"]);
    await session.isGone();
  }],

  ["a second post while one arrives: 400, and the session is gone", async (server) => {
    const session = await openPolling(server);
    const raw = await unfinishedPost(session);
    await settle();
    assert.equal((await session.post("4x")).status, 400);
    await session.isGone();
    raw.end();
  }],

  ["a poll that the client aborts ends the session", async (server) => {
    const session = await openPolling(server);
    const raw = await waitingGet(session);
    await settle();
    raw.end();
    await settle();
    await session.isGone();
  }],

  ["a post that the client aborts ends the session", async (server) => {
    const session = await openPolling(server);
    const raw = await unfinishedPost(session);
    await settle();
    raw.end();
    await settle();
    await session.isGone();
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

/* --- messages by WebSocket ------------------------------------------------------------------------------------------------ */

const websocket = [
  ["a text packet", async (server) => {
    const socket = await openSocket(server);
    socket.send("4hello");
    await socket.expect("4hello");
    socket.end();
  }],

  ["a binary packet", async (server) => {
    const socket = await openSocket(server);
    socket.send(Buffer.from([1, 2, 3, 4]));
    await socket.expect(Buffer.from([1, 2, 3, 4]));
    socket.end();
  }],

  ["many packets, one message each, in order", async (server) => {
    const socket = await openSocket(server);
    socket.answerPings = true;
    const messages = Array.from({ length: 300 }, (_, i) => (i % 3 ? `4${"é".repeat(i)}` : randomBytes(i)));
    socket.send(...messages);
    await socket.expect(...messages);
    socket.end();
  }],

  ["empty messages, and the separator within one", async (server) => {
    const socket = await openSocket(server);
    const messages = ["4", Buffer.alloc(0), `4a${SEPARATOR}4b`, `4${SEPARATOR}`];
    socket.send(...messages);
    await socket.expect(...messages);
    socket.end();
  }],

  ["a message in fragments, pings of RFC 6455 among them", async (server) => {
    const socket = await openSocket(server);
    socket.raw.send({ payload: "4hel", fin: false });
    socket.raw.send({ opcode: OP.PING, payload: "p" });
    socket.raw.send({ opcode: OP.CONTINUATION, payload: "lo", fin: false });
    socket.raw.send({ opcode: OP.CONTINUATION, payload: " you" });
    const pong = await socket.raw.frame();
    assert.deepEqual([pong.opcode, pong.payload.toString()], [OP.PONG, "p"]);
    await socket.expect("4hello you");
    socket.end();
  }],

  ["almost a megabyte each way", async (server) => {
    const socket = await openSocket(server);
    socket.answerPings = true;
    for (const message of [`4${"z".repeat(MAX_PAYLOAD - 1)}`, randomBytes(MAX_PAYLOAD)]) {
      socket.send(message);
      assert.ok(Buffer.from(await socket.next()).equals(Buffer.from(message)));
    }
    socket.end();
  }],

  ["a message over the largest size closes", async (server) => {
    const socket = await openSocket(server);
    socket.send(`4${"z".repeat(MAX_PAYLOAD)}`);
    assert.deepEqual(await socket.closed(), []);
  }],

  ["what is no packet closes", async (server) => {
    for (const text of ["abc", "", "7", " 4", "b", "bAQID", "é", "{}"]) {
      const socket = await openSocket(server);
      socket.send(text);
      // "b..." is a binary packet's form for polling: the reference takes it here as well.
      if (text.startsWith("b")) await socket.expect(Buffer.from(text.slice(1), "base64"));
      else assert.deepEqual(await socket.closed(), [], text);
      socket.end();
    }
  }],

  ["a client's ping closes", async (server) => {
    for (const text of ["2", "2probe"]) {
      const socket = await openSocket(server);
      socket.send(text);
      assert.deepEqual(await socket.closed(), []);
    }
  }],

  ["packets without a meaning here change nothing", async (server) => {
    const socket = await openSocket(server);
    socket.send("6", "5", "0", "4x");
    await socket.expect("4x");
    socket.end();
  }],

  ["frames that are not masked close, as RFC 6455 wants", async (server) => {
    const socket = await openSocket(server);
    socket.raw.write(frame({ payload: "4x", masked: false }));
    assert.deepEqual(await socket.closed(), []);
  }],
];

/* --- heartbeat ------------------------------------------------------------------------------------------------------------ */

/* Its time is over. What timers of Node are late by is no fault of it; ringcast looks at the time itself when it is asked. */
async function isOver(server, session) {
  await session.isGone().catch((error) => {
    throw server.late > 0 ? new Late(error.message) : error;
  });
}

const heartbeat = [
  ["polling: pings come every interval, pongs keep the session", async (server) => {
    const session = await openPolling(server);
    let since = session.opened;
    for (let i = 0; i < 3; i++) {
      const answer = await session.get();
      assert.deepEqual([answer.status, answer.body], [200, "2"]);
      tookBetween(performance.now() - since, PING_INTERVAL - 50, PING_INTERVAL + 150, `ping ${i}`);
      since = performance.now();
      await session.send("3");
    }
  }],

  ["polling: a session that is not polled has its ping waiting, and lives until the time is over", async (server) => {
    const session = await openPolling(server);
    await passed(session.opening, LIFE - 80);
    const answer = await session.get();
    if (performance.now() - session.opening >= LIFE) throw new Late("its ping is asked for");
    assert.equal(answer.body, "2");
    await session.send("3");
    await passed(session.opening, LIFE + 60);
    await session.send("4alive");
    assert.equal(await session.packet(), "4alive");
  }],

  ["polling: closed at interval and timeout, not a tick later", async (server) => {
    const sessions = await Promise.all(Array.from({ length: 5 }, () => openPolling(server)));
    for (const session of sessions) {
      await passed(session.opened, LIFE + server.late);
      await isOver(server, session);
    }
  }],

  ["polling: a pong after an answered ping counts from then on", async (server) => {
    const session = await openPolling(server);
    assert.equal((await session.get()).body, "2");
    await session.send("3");
    const answered = performance.now();
    await passed(answered, LIFE + server.late);
    await isOver(server, session);
  }],

  ["polling: the poll that waits when the time is over gets a close", async (server) => {
    const session = await openPolling(server);
    assert.equal((await session.get()).body, "2");
    const answer = await session.get();
    assert.deepEqual([answer.status, answer.body], [200, "1"]);
    tookBetween(performance.now() - session.opened, LIFE - 50, LIFE + 150, "a close");
    await session.isGone();
  }],

  ["polling: messages are no pongs", async (server) => {
    const session = await openPolling(server);
    assert.equal((await session.get()).body, "2");
    // One packet may lengthen the wait once (newer references do so): never for ever.
    const sending = (async () => {
      for (;;) {
        const answer = await session.post("4x").catch(() => ({ status: 0 }));
        if (answer.status !== 200) return;
        await delay(50);
      }
    })();
    await sending;
    tookBetween(performance.now() - session.opened, 0, LIFE + PING_TIMEOUT + 200, "an end");
    await session.isGone();
  }],

  ["WebSocket: pings come every interval, pongs keep the session", async (server) => {
    const socket = await openSocket(server);
    let since = socket.opened;
    for (let i = 0; i < 3; i++) {
      await socket.expect("2");
      tookBetween(performance.now() - since, PING_INTERVAL - 50, PING_INTERVAL + 150, `ping ${i}`);
      since = performance.now();
      socket.send("3");
    }
    socket.end();
  }],

  ["WebSocket: closed at interval and timeout", async (server) => {
    const sockets = await Promise.all(Array.from({ length: 5 }, () => openSocket(server)));
    await Promise.all(sockets.map(async (socket) => {
      assert.deepEqual(await socket.closed(), ["2"]);
      tookBetween(performance.now() - socket.opened, LIFE - 50, LIFE + 150, "an end");
    }));
  }],

  ["WebSocket: pongs of RFC 6455 are none of Engine.IO", async (server) => {
    const socket = await openSocket(server);
    await socket.expect("2");
    socket.raw.send({ opcode: OP.PONG, payload: "" });
    assert.deepEqual(await socket.closed(), []);
  }],
];

/* --- close ---------------------------------------------------------------------------------------------------------------- */

/* The session of a WebSocket that has ended is gone, as soon as the server has seen that. */
const isForgotten = (server, socket) => until("the session is gone", async () => {
  const answer = await get(server, `EIO=4&transport=polling&sid=${socket.handshake.sid}`);
  isError(answer, 1);
  return true;
}, { timeout: 250 });

const close = [
  ["polling: a close packet ends the poll that waits with a noop, and the session", async (server) => {
    const session = await openPolling(server);
    const waiting = session.get();
    await settle();
    const posted = await session.post("1");
    assert.deepEqual([posted.status, posted.body], [200, "ok"]);
    const answer = await waiting;
    assert.deepEqual([answer.status, answer.body], [200, "6"]);
    await session.isGone();
  }],

  ["polling: a close packet without a poll", async (server) => {
    const session = await openPolling(server);
    await session.send("1");
    await session.isGone();
  }],

  ["WebSocket: a close packet", async (server) => {
    const socket = await openSocket(server);
    socket.send("1");
    // The reference does so when no pong comes: nothing but the ping is heard until then.
    assert.deepEqual((await socket.closed()).filter((message) => message !== "2"), []);
    await isForgotten(server, socket);
  }],

  ["WebSocket: the closing handshake of RFC 6455", async (server) => {
    const socket = await openSocket(server);
    socket.raw.send({ opcode: OP.CLOSE, payload: Buffer.from([3, 232]) });
    assert.deepEqual(await socket.closed(), []);
    await isForgotten(server, socket);
  }],

  ["WebSocket: a connection that just ends", async (server) => {
    const socket = await openSocket(server);
    socket.end();
    await isForgotten(server, socket);
  }],
];

/* --- upgrade -------------------------------------------------------------------------------------------------------------- */

const upgrade = [
  ["from polling to WebSocket, the next poll is ended by a noop", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    const answer = await session.get();
    assert.deepEqual([answer.status, answer.body], [200, "6"]);
    socket.send("5", "4hello");
    await socket.expect("4hello");
    socket.end();
  }],

  ["a poll that waits is ended by a noop", async (server) => {
    const session = await openPolling(server);
    const waiting = session.get();
    await settle();
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    const answer = await waiting;
    assert.deepEqual([answer.status, answer.body], [200, "6"]);
    socket.send("5");
    await echo(socket, "4hello");
    socket.end();
  }],

  ["polls and posts are refused after it", async (server) => {
    const { polling: session, socket } = await upgraded(server);
    await echo(socket, "4first"); // the 5 has been seen
    isError(await session.get(), 3);
    isError(await session.post("4x"), 3);
    await echo(socket, "4hello");
    socket.end();
  }],

  ["probe and upgrade in one go", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe", "5", "4hello");
    await socket.expect("3probe", "4hello");
    assert.equal((await session.get()).status, 400);
    socket.end();
  }],

  ["another WebSocket with the sid is closed, the first one unharmed", async (server) => {
    const { polling: session, socket } = await upgraded(server);
    await echo(socket, "4first");
    const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "websocket", sid: session.sid });
    if (response?.status === 101) assert.deepEqual(await new EngineSocket(server, raw, response).closed(), []);
    else await raw.rest();
    await echo(socket, "4hello");
    socket.end();
  }],

  ["a second probe while one is there is closed, the first one upgrades", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "websocket", sid: session.sid });
    if (response?.status === 101) assert.deepEqual(await new EngineSocket(server, raw, response).closed(), []);
    else await raw.rest();
    socket.send("5");
    await echo(socket, "4hello");
    socket.end();
  }],

  ["a session that began as a WebSocket has none to upgrade to", async (server) => {
    const socket = await openSocket(server);
    const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "websocket", sid: socket.handshake.sid });
    // The reference keeps that one open and mute until the time for upgrades is over.
    if (response?.status === 101) assert.deepEqual(await new EngineSocket(server, raw, response).closed(), []);
    else await raw.rest();
    socket.end();
  }],

  ["messages before it come by polling, those that wait by WebSocket, none twice, in order", async (server) => {
    const session = await openPolling(server);
    await session.send("41", "42");
    assert.equal((await session.get()).body, "41\x1e42");
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    assert.equal((await session.get()).body, "6");
    await session.send("43", "44");
    await session.send("bAQID");
    socket.send("5", "45");
    await socket.expect("43", "44", Buffer.from([1, 2, 3]), "45");
    socket.end();
  }],

  ["polling goes on while the probe is there", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    await session.send("41");
    assert.equal((await session.get()).body, "41");
    socket.send("2probe");
    await socket.expect("3probe");
    await session.send("42");
    assert.deepEqual((await session.packets(1)).at(-1), "42");
    socket.send("5");
    await echo(socket, "43");
    socket.end();
  }],

  ["not completed in time: the probe's socket is closed, polling goes on", async (server) => {
    for (const probe of [["2probe"], []]) {
      const session = await openPolling(server);
      const socket = await openUpgrade(server, session.sid);
      const since = performance.now();
      socket.send(...probe);
      let ended = false;
      const closing = socket.closed().then((messages) => {
        ended = true;
        return messages;
      });
      while (!ended) {
        const { body } = await session.get();
        if (body === "2") await session.send("3");
        else assert.equal(body, "6");
      }
      assert.deepEqual(await closing, probe.length ? ["3probe"] : []);
      tookBetween(performance.now() - since, UPGRADE_TIMEOUT - 50, UPGRADE_TIMEOUT + PING_INTERVAL + 200, "an end");
      await session.send("4on");
      assert.equal((await session.packets(1)).at(-1), "4on");
    }
  }],

  ["a probe's socket that says something else is closed, polling goes on", async (server) => {
    for (const wrong of ["4hello", "2", "2prob", "1", "3probe", "abc", Buffer.from([1])]) {
      const session = await openPolling(server);
      const socket = await openUpgrade(server, session.sid);
      socket.send(wrong);
      assert.deepEqual(await socket.closed(), [], `after ${wrong}`);
      await session.send("4on");
      assert.equal((await session.packets(1)).at(-1), "4on");
    }
  }],

  ["a probe's socket that ends leaves polling as it was, and another may come", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    socket.end();
    await settle();
    await session.send("4on");
    assert.equal((await session.packets(1)).at(-1), "4on");
    const again = await openUpgrade(server, session.sid);
    again.send("2probe");
    await again.expect("3probe");
    again.send("5");
    await echo(again, "4hello");
    again.end();
  }],

  ["the heartbeat goes on over the WebSocket", async (server) => {
    const { socket } = await upgraded(server);
    for (let i = 0; i < 3; i++) {
      await socket.expect("2");
      socket.send("3");
    }
    assert.deepEqual(await socket.closed(), ["2"]);
  }],

  ["a session that is closed by POST takes its probe along", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    await session.send("1");
    assert.deepEqual(await socket.closed(), []);
    await session.isGone();
  }],
];

for (const [title, cases] of Object.entries({ handshake, polling, websocket, heartbeat, close, upgrade })) describeCases(title, targets, options, cases, { beside: cases === heartbeat });

/* --- options -------------------------------------------------------------------------------------------------------------- */

describeCases("no compression of polls", targets, { ...options, httpCompression: false }, [
  ["answers leave as they are", async (server) => {
    const session = await openPolling(server);
    const text = `4${"abc ".repeat(2000)}`;
    await session.send(text);
    const answer = await session.get({ headers: { "Accept-Encoding": "gzip" } });
    assert.equal(answer.headers["content-encoding"], undefined);
    assert.equal(answer.body, text);
  }],
]);

describeCases("cookie", targets, { ...options, cookie: { name: "io" } }, [
  ["the handshake sets it, and nothing else does", async (server) => {
    const session = new Polling(server);
    const answer = await session.open();
    assert.deepEqual(answer.headers["set-cookie"], [`io=${session.sid}; Path=/; HttpOnly; SameSite=Lax`]);
    const posted = await session.post("4x");
    assert.equal(posted.headers["set-cookie"], undefined);
    assert.equal((await session.get()).headers["set-cookie"], undefined);
  }],
]);

const PAGE = "https://app.example";
describeCases("CORS", targets, { ...options, cors: { origin: PAGE, credentials: true } }, [
  ["pages of the origin may read, with credentials; pages of others may not", async (server) => {
    const session = new Polling(server, { headers: { Origin: PAGE } });
    const opened = await session.open();
    const posted = await session.post("4x");
    for (const answer of [opened, posted, await session.get(), await get(server, "EIO=4&transport=abc", { headers: { Origin: PAGE } })]) {
      assert.equal(answer.headers["access-control-allow-origin"], PAGE);
      assert.equal(answer.headers["access-control-allow-credentials"], "true");
    }
    const other = await get(server, "EIO=4&transport=polling", { headers: { Origin: "https://evil.example" } });
    assert.notEqual(other.headers["access-control-allow-origin"], "https://evil.example");
    assert.notEqual(other.headers["access-control-allow-origin"], "*");
  }],
  ["preflight", async (server) => {
    const answer = await ask(server, "OPTIONS", `${server.path}?EIO=4&transport=polling`, {
      headers: { Origin: PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type" },
    });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers["access-control-allow-origin"], PAGE);
    assert.equal(answer.headers["access-control-allow-credentials"], "true");
    assert.match(answer.headers["access-control-allow-methods"], /\bPOST\b/);
    assert.match(answer.headers["access-control-allow-headers"], /content-type/i);
  }],
]);

describeCases("only WebSocket", targets, { ...options, transports: ["websocket"] }, [
  ["polling is an unknown transport", async (server) => {
    isError(await get(server, "EIO=4&transport=polling"), 0);
    const socket = await openSocket(server);
    await echo(socket, "4x");
    socket.end();
  }],
]);

describeCases("only polling", targets, { ...options, transports: ["polling"] }, [
  ["nothing to upgrade to, and no WebSocket", async (server) => {
    const session = await openPolling(server);
    assert.deepEqual(session.handshake.upgrades, []);
    await session.send("4x");
    assert.equal(await session.packet(), "4x");
    const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "websocket" });
    assert.notEqual(response?.status, 101);
    raw.end();
  }],
]);

describeCases("a small max_payload", targets, { ...options, maxPayload: 1000 }, [
  ["is told, and kept", async (server) => {
    const session = await openPolling(server);
    assert.equal(session.handshake.maxPayload, 1000);
    await session.send(`4${"x".repeat(999)}`);
    assert.equal((await session.packet()).length, 1000);
    assert.equal((await session.post(`4${"x".repeat(1000)}`)).status, 413);
    const socket = await openSocket(server);
    await echo(socket, `4${"x".repeat(999)}`);
    socket.send(`4${"x".repeat(1000)}`);
    assert.deepEqual((await socket.closed()).filter((message) => message !== "2"), []);
  }],
]);
