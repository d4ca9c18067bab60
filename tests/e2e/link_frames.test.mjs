// Frames of the link, the application's side: bytes and back, and what is no frame. And a link whose other end is not ringcast.
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { dirname, join } from "node:path";
import test from "node:test";
import { requireIn } from "./lib/link.mjs";
import { SEED, random, until, within } from "./lib/util.mjs";

const require = await requireIn();
const { FRAME_MAX, HEAD, Broken, application, broker, toBuffer } = require(join(dirname(require.resolve("ringcast-socket.io")), "frames.js"));
const { adapterOf, pack, unpack, roomKey, roomOf } = require(join(dirname(require.resolve("ringcast-socket.io")), "adapter.js"));
const { queryOf } = require(join(dirname(require.resolve("ringcast-socket.io")), "engine.js"));
const { Links } = require(join(dirname(require.resolve("ringcast-socket.io")), "links.js"));
const { Line } = require(join(dirname(require.resolve("ringcast-socket.io")), "line.js"));
const { Server } = require("socket.io");
const { attach } = require("ringcast-socket.io");
const signature = "0123456789abcdef".repeat(4);
const bytes = Buffer.from([0, 1, 254, 255]);

/* name, flags, connection, fields */
const FROM_BROKER = [
  ["HELLO", 0, 0, signature, Buffer.from("{}")], ["PING", 0, 0, bytes], ["ERROR", 0, 0, "why"], ["OPEN", 1, 7, { sid: "a", headers: ["Host", "ä"] }],
  ["TEXT", 0, 2 ** 53 - 1, "42[\"ä€😀\"]"], ["TEXT", 0, 1, ""], ["BINARY", 0, 2 ** 32, bytes], ["CLOSED", 0, 3, "transport close"], ["UPGRADED", 0, 3, "websocket"], ["WRITABLE", 0, 3, 1],
  ["TAKEN", 0, 0, 2 ** 40 + 1, ["one", "two"]],
  ["FAILED", 0, 0, { code: 1 }], ["PEERS", 0, 0, "/", ["a", "b"]], ["PEERS", 0, 0, "/", []], ["CLUSTER", 0, 0, "/ü", "from", "", bytes],
  ["REPLY", 0, 0, 4294967295, 0, null], ["REPLY", 0, 0, 1, 1, { sid: "s", data: "{\"a\":1}", rooms: ["sx", "n1"], missed: [["2[1]"], ["51-", bytes], []] }],
];
const FROM_APPLICATION = [
  ["READY", 0, 0, signature, Buffer.from("{}")], ["PONG", 0, 0, bytes], ["ERROR", 0, 0, "why"], ["ASKS", 0, 0, 1], ["ACCEPT", 0, 9, { headers: [] }], ["REJECT", 0, 9, { status: 401 }],
  ["TEXT", 7, 9, "2[]"], ["BINARY", 4, 9, bytes], ["CLOSE", 1, 9], ["JOIN", 0, 9, "/", "sid", ["sroom", "n42", "j{}"]], ["LEAVE", 1, 9, "/", "sid", []],
  ["CLUSTER", 0, 0, "/", "from", "to", bytes], ["BROADCAST", 27, 0, "/", ["sroom"], [], "offset", ["2[1]", bytes]], ["ENTER", 0, 0, "/", "uid"], ["EXIT", 0, 0, "/", "uid"],
  ["SESSION", 0, 9, "/", "sid", "pid", Buffer.from("{}"), Buffer.alloc(0)], ["RESUMED", 0, 9], ["DETACH", 0, 0], ["RECEIPT", 0, 0, 2 ** 40 + 5], ["REQUEST", 0, 0, 7, "/", "pid", "offset"],
  ["KEEP", 0, 0, "/", "sid", "pid", Buffer.alloc(0), Buffer.from("{}"), ["sroom"]],
];
const SIDES = [["ringcast", broker, FROM_BROKER], ["the application", application, FROM_APPLICATION]];
/* Objects travel as the texts that JSON.stringify makes. */
const encode = (side, [name, flags, connection, ...values]) => side.encode(name, flags, connection, ...values.map((value, i) => (i === 0 && value?.constructor === Object ? JSON.stringify(value) : value)));
const read = (side, ...chunks) => {
  const reader = new side.Reader();
  return chunks.flatMap((chunk) => [...reader.read(chunk)]).map(({ name, flags, connection, values }) => [name, flags, connection, ...values]);
};

for (const [who, side, frames] of SIDES) {
  test(`frames of ${who}: all come back as they were, whole, byte by byte and cut anywhere`, () => {
    const stream = Buffer.concat(frames.map((frame) => encode(side, frame)));
    assert.deepEqual(read(side, stream), frames);
    assert.deepEqual(read(side, ...Array.from(stream, (byte) => Buffer.from([byte]))), frames);
    for (let at = 0; at <= stream.length; at++) assert.deepEqual(read(side, stream.subarray(0, at), stream.subarray(at)), frames);
  });

  test(`frames of ${who}: those that are written behind each other are the same, of any size, whenever they are taken`, () => {
    const writer = new side.Writer();
    const next = random();
    const written = [];
    const taken = [];
    for (let n = 0; n < 3000; n++) {
      const frame = frames[next.below(frames.length)];
      const some = [frame, ["BINARY", 0, n, Buffer.alloc(next.below(8) === 0 ? 3000 + next.below(3000) : next.below(200), n)]][next.below(2)];
      const whole = encode(side, some);
      if (next.below(20) === 0) writer.add(whole);
      else assert.ok(writer.put(FRAME_MAX, ...some.slice(0, 3), some.slice(3).map((value, i) => (i === 0 && value?.constructor === Object ? JSON.stringify(value) : value))));
      written.push(whole);
      assert.equal(writer.bytes + taken.reduce((sum, { length }) => sum + length, 0), written.reduce((sum, { length }) => sum + length, 0));
      if (next.below(100) === 0) taken.push(...writer.take());
    }
    assert.equal(writer.put(3, "BINARY", 0, 1, [bytes]), false, "larger than it may be");
    taken.push(...writer.take());
    assert.ok(Buffer.concat(taken).equals(Buffer.concat(written)));
    assert.deepEqual([writer.bytes, writer.take()], [0, []]);
    assert.ok(taken.length < written.length / 2, `${taken.length} buffers of ${written.length} frames`);
  });

  test(`frames of ${who}: whatever is cut out of a frame is no frame`, () => {
    for (const frame of frames) {
      const whole = encode(side, frame);
      for (let length = HEAD; length < whole.length; length++) {
        const cut = Buffer.from(whole.subarray(0, length));
        cut.writeUInt32LE(length - HEAD, 0);
        try {
          const [[name]] = read(side, cut);
          assert.equal(name, frame[0]);
        } catch (error) {
          assert.ok(error instanceof Broken, `${frame[0]} cut to ${length}: ${error.stack}`);
        }
      }
      const longer = Buffer.concat([whole, Buffer.from([0])]);
      longer.writeUInt32LE(longer.length - HEAD, 0);
      if (typeof frame.at(-1) === "object" && Buffer.isBuffer(frame.at(-1)) && !/SESSION/.test(frame[0])) continue; // "the rest" takes it
      if (/^(ERROR|TEXT|CLOSED|UPGRADED|OPEN|FAILED|ACCEPT|REJECT)$/.test(frame[0])) continue;
      assert.throws(() => read(side, longer), Broken, `${frame[0]} with a byte behind it`);
    }
  });

  test(`frames of ${who}: random changes end in frames or in Broken, never in anything else`, () => {
    const next = random();
    const stream = Buffer.concat(frames.map((frame) => encode(side, frame)));
    for (let round = 0; round < 4000; round++) {
      const broken = Buffer.from(stream);
      for (let n = 1 + next.below(4); n > 0; n--) broken[next.below(broken.length)] = next.below(256);
      try {
        read(side, broken);
      } catch (error) {
        assert.ok(error instanceof Broken, `RINGCAST_SEED=${SEED}: ${error.stack}`);
      }
    }
  });
}

test("frames: what is bounded, and what is reserved", () => {
  const frame = (change) => {
    const made = encode(broker, FROM_BROKER[4]);
    change(made);
    return made;
  };
  const refused = [
    [(made) => made.writeUInt32LE(FRAME_MAX + 1, 0), /16777217 bytes/], [(made) => (made[4] = 2), /type 2/], [(made) => (made[4] = 0), /type 0/], [(made) => (made[5] = 1), /flags 1 of TEXT/],
    [(made) => (made[6] = 1), /flags/], [(made) => made.writeUInt32LE(1 << 21, 12), /53 bits/],
  ];
  for (const [change, why] of refused) assert.throws(() => read(broker, frame(change)), (error) => error instanceof Broken && why.test(error.message));
  // The length is looked at before the payload is waited for.
  const head = Buffer.alloc(HEAD);
  head.writeUInt32LE(0xffffffff, 0);
  assert.throws(() => read(broker, head), Broken);
  const list = broker.encode("PEERS", 0, 0, "/", []);
  list.writeUInt16LE(4097, list.length - 2);
  assert.throws(() => read(broker, list), /a list of 4097/);
  for (const json of ["", "null", "1", "{", "[1,"]) assert.throws(() => read(broker, broker.encode("OPEN", 0, 1, json)), Broken, json);
  const message = broker.encode("REPLY", 0, 0, 1, 1, { sid: "", data: "", rooms: [], missed: [["x"]] });
  message[message.length - 6] = 2;
  assert.throws(() => read(broker, message), /a message of kind 2/);
});

test("frames: to the byte as docs/link.md has them", () => {
  assert.equal(application.encode("JOIN", 0, 0x1_0000_0002, "/", "ab", ["sr"]).toString("hex"), "0d000000" + "20" + "00" + "0000" + "0200000001000000" + "01002f" + "02006162" + "0100" + "02007372");
  assert.equal(application.encode("BROADCAST", 17, 0, "/", [], [], "o", ["é", bytes]).toString("hex"), "1c000000" + "24" + "11" + "0000" + "0000000000000000" + "01002f" + "0000" + "0000" + "01006f" + "0200" + "00" + "02000000" + "c3a9" + "01" + "04000000" + "0001feff");
});

test("frames: binary data of any kind is taken as its own bytes", () => {
  const words = new Uint16Array([1, 2, 3, 4]);
  assert.equal(toBuffer(words.subarray(1, 3)).toString("hex"), "02000300");
  assert.equal(toBuffer(words.buffer).length, 8);
  assert.equal(toBuffer(new DataView(words.buffer, 2, 2)).toString("hex"), "0200");
});

test("rooms and messages between servers come back as what they were", () => {
  const rooms = ["", "room", "42", 42, -1.5, "n42", "ü", true, null, { a: 1 }];
  assert.deepEqual(rooms.map(roomKey).map(roomOf), rooms);
  assert.equal(new Set(rooms.map(roomKey)).size, rooms.length);
  for (const odd of [undefined, Symbol("s"), () => {}, 2n ** 70n]) assert.equal(typeof roomKey(odd), "string");
  assert.equal(roomKey("x".repeat(1023)).length, 1024);
  assert.match(roomKey("x".repeat(1024)), /^h[0-9a-f]{64}$/);
  assert.notEqual(roomKey("x".repeat(2000)), roomKey("x".repeat(2001)));
  const message = { type: 3, data: [bytes, new Uint8Array([5]), "\0", "\0b", "b", { deep: [new Uint16Array([258]).buffer] }, new Date(0), null] };
  assert.deepEqual(unpack(pack(message)), { type: 3, data: [bytes, Buffer.from([5]), "\0", "\0b", "b", { deep: [Buffer.from([2, 1])] }, "1970-01-01T00:00:00.000Z", null] });
});

/* --- the other end is not ringcast ----------------------------------------------------------------------------------- */

const sign = (secret, nonces, json) => createHmac("sha256", secret).update(`ringcast-link/1 hello\n${nonces.broker}\n${nonces.application}\n`).update(json).digest("hex");

/* A server with a link, and somebody who has come by its upgrade: { server, links, socket, nonces, errors, warnings }. */
async function strangerAt(body, options = {}) {
  const { Server } = require("socket.io");
  const { attach } = require("ringcast-socket.io");
  const server = createServer((_, response) => response.end("still here"));
  const io = new Server();
  const links = attach(io, server, { secret: ["new", "the secret"], ...options });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address();
  const come = async (headers = {}) => {
    const nonces = { broker: randomBytes(16).toString("hex") };
    const out = request({ port, path: "/.ringcast", agent: false, headers: { Connection: "Upgrade", Upgrade: "ringcast-link", "Ringcast-Link": "1", "Ringcast-Nonce": nonces.broker, ...headers } });
    out.end();
    const [response, socket] = await Promise.race([once(out, "upgrade"), once(out, "response")]);
    if (response.statusCode !== 101) return response.resume() && { status: response.statusCode };
    nonces.application = response.headers["ringcast-nonce"];
    const frames = [];
    const reader = new application.Reader();
    socket.on("data", (chunk) => frames.push(...reader.read(chunk)));
    socket.on("error", () => {});
    const ended = once(socket, "close");
    return { socket, nonces, frames, ended };
  };
  try {
    await within(20000, body({ come, links, io, port }), "the strangers are dealt with");
    const [response] = await once(request({ port, path: "/", agent: false }).end(), "response");
    assert.equal(response.statusCode, 200, "the application goes on");
    response.resume();
  } finally {
    await io.close();
  }
}

test("a link: who does not prove to be ringcast is told so and sent away, and nothing of it is carried out", () => strangerAt(async ({ come, links, io }) => {
  io.on("connection", () => assert.fail("nobody connects"));
  const json = JSON.stringify({ version: 1, instance: "x", worker: 0, workers: 1, features: [] });
  const open = broker.encode("OPEN", 0, 1, JSON.stringify({ sid: "a", method: "GET", url: "/", headers: [], protocol: 4, transport: "websocket" }));
  const hello = (secret, nonces, text = json) => broker.encode("HELLO", 0, 0, sign(secret, nonces, text), Buffer.from(text));
  const cases = [
    ["garbage", () => randomBytes(4096), /./],
    ["a frame before HELLO", () => open, /OPEN before HELLO/],
    ["another secret", ({ nonces }) => hello("other", nonces), /not signed/],
    ["another's nonce", ({ nonces }) => hello("the secret", { ...nonces, application: "0".repeat(32) }), /not signed/],
    ["a HELLO that is too long", () => { const head = Buffer.alloc(HEAD); head.writeUInt32LE(70000, 0); head[4] = 1; return head; }, /70000 bytes/],
    ["another version", ({ nonces }) => hello("the secret", nonces, JSON.stringify({ version: 2 })), /version 2/],
    ["no JSON", ({ nonces }) => hello("the secret", nonces, "{"), /without JSON/],
    ["two HELLOs", ({ nonces }) => Buffer.concat([hello("the secret", nonces), hello("the secret", nonces)]), /second HELLO/],
    ["garbage behind HELLO", ({ nonces }) => Buffer.concat([hello("the secret", nonces), Buffer.alloc(64, 0xee)]), /bytes|type/],
  ];
  for (const [what, bytesFor, why] of cases) {
    const stranger = await come();
    stranger.socket.write(bytesFor(stranger));
    await within(10000, stranger.ended, `${what}: the end`);
    const error = stranger.frames.find(({ name }) => name === "ERROR");
    assert.ok(error && why.test(error.values[0]), `${what}: ${JSON.stringify(stranger.frames)}`);
    await until(`${what}: no link is left`, () => links.links.size === 0);
  }
  const half = await come();
  half.socket.end(hello("the secret", half.nonces).subarray(0, 40));
  await half.ended;
  // A connection that there never was, and one with a request that is none.
  const good = await come();
  good.socket.write(Buffer.concat([hello("the secret", good.nonces), ...["TEXT", "CLOSED", "UPGRADED"].map((name) => broker.encode(name, 0, 99, "x")), broker.encode("PEERS", 0, 0, "/none", ["a"]), broker.encode("CLUSTER", 0, 0, "/", "a", "", Buffer.from("{"))]));
  good.socket.write(broker.encode("PING", 0, 0, Buffer.from("still?")));
  await until("what is of nobody is passed over, and the link goes on", () => good.frames.some(({ name }) => name === "PONG"));
  assert.equal(good.frames[0].name, "READY");
  assert.ok(good.frames.some(({ name, values }) => name === "ENTER" && values[0] === "/"));
  assert.equal(links.links.size, 1);
  good.socket.destroy();
  for (const headers of [{ "Ringcast-Nonce": "x" }, { "Ringcast-Link": "2" }]) assert.equal((await come(headers)).status, 400);
}));

test("a link: who begins to ask, or ends it, between READY and the worker's first word says so behind that, once", () => strangerAt(async ({ come, io }) => {
  const json = JSON.stringify({ version: 1, instance: "x", worker: 0, workers: 1, features: ["resume"], grace: 60000, generation: 1 });
  const { socket, nonces, frames } = await come();
  const has = (name) => frames.filter((frame) => frame.name === name);
  socket.write(broker.encode("HELLO", 0, 0, sign("new", nonces, json), Buffer.from(json)));
  await until("READY comes", () => has("READY").length === 1);
  assert.equal(JSON.parse(has("READY")[0].values[1]).asks, false);
  io.engine.use((req, res, next) => next());
  socket.write(Buffer.concat([broker.encode("RECEIPT", 0, 0, 0), broker.encode("PING", 0, 0, Buffer.from("1"))]));
  await until("what it says behind that", () => has("PONG").length === 1 && has("ENTER").length > 0);
  assert.deepEqual(has("ASKS").map(({ values }) => values[0]), [1]);
  io.engine.on("initial_headers", () => {}); // it asks already
  io.engine.middlewares.length = 0;
  io.engine.removeAllListeners("initial_headers");
  io.engine.reconsider();
  await until("it asks no more", () => has("ASKS").length === 2);
  assert.deepEqual(has("ASKS").map(({ values }) => values[0]), [1, 0]);
}, { resume: true }));

test("a link: requests of clients that are none end the link, not the application", () => strangerAt(async ({ come, links }) => {
  const json = JSON.stringify({ version: 1, instance: "x", worker: 0, workers: 1, features: [] });
  const sound = { sid: "a", method: "GET", url: "/socket.io/?EIO=4", headers: ["a", "b"], address: "::1", protocol: 4, transport: "websocket" };
  for (const open of [{}, { ...sound, url: 7 }, { ...sound, headers: "x" }, { ...sound, headers: [1, 2] }, { ...sound, sid: 5 }, { ...sound, resume: [null] }, { ...sound, resume: 3 }, []]) {
    for (const held of [0, 1]) {
      const peer = await come();
      peer.socket.write(Buffer.concat([broker.encode("HELLO", 0, 0, sign("new", peer.nonces, json), Buffer.from(json)), broker.encode("OPEN", held, 1, JSON.stringify(open))]));
      await within(10000, peer.ended, `${JSON.stringify(open)}: the end`);
      assert.match(peer.frames.find(({ name }) => name === "ERROR")?.values[0] ?? "", /OPEN/);
      assert.equal(links.links.size, 0);
    }
  }
}));

test("a link: frames at the wrong time mean nothing, and a connection is opened once", () => strangerAt(async ({ come, links, io }) => {
  const json = JSON.stringify({ version: 1, instance: "x", worker: 0, workers: 1, features: [] });
  const open = (sid) => JSON.stringify({ sid, method: "GET", url: "/socket.io/?EIO=4", headers: [], address: "::1", protocol: 4, transport: "websocket" });
  const heard = [];
  io.engine.on("connection", (connection) => {
    for (const name of ["message", "close", "upgrade"]) connection.on(name, (what) => heard.push(`${connection.id} ${name} ${what?.name ?? what}`));
  });
  const peer = await come();
  const say = (...frame) => peer.socket.write(broker.encode(...frame));
  peer.socket.write(broker.encode("HELLO", 0, 0, sign("new", peer.nonces, json), Buffer.from(json)));
  for (const connection of [7, 1]) { // of one that is not there, and of one that has ended
    for (const frame of [["TEXT", "0"], ["BINARY", bytes], ["UPGRADED", "websocket"], ["WRITABLE", 0], ["CLOSED", "transport close"], ["CLOSED", "transport close"]]) say(frame[0], 0, connection, frame[1]);
    if (connection === 7) say("OPEN", 0, 1, open("a")), say("TEXT", 0, 1, "0"), say("CLOSED", 0, 1, "transport error"), await until("it has ended", () => heard.length === 2);
  }
  say("REPLY", 0, 0, 77, 0, null);
  say("PEERS", 0, 0, "/nobody", ["x"]);
  say("CLUSTER", 0, 0, "/nobody", "x", "", bytes);
  say("OPEN", 0, 2, open("b"));
  say("UPGRADED", 0, 2, "websocket");
  await until("the next one is there, and heard", () => heard.at(-1) === "b upgrade websocket");
  assert.deepEqual(heard, ["a message 0", "a close transport error", "b upgrade websocket"]);
  assert.equal(io.engine.clientsCount, 1);
  assert.equal(links.links.size, 1);
  say("OPEN", 1, 2, open("c"));
  await within(10000, peer.ended, "the end");
  assert.match(peer.frames.find(({ name }) => name === "ERROR").values[0], /OPEN of a connection that is there/);
  await until("with what it had", () => io.engine.clientsCount === 0);
}));

test("a message between servers that is none, or another one's, ends nothing and reaches nobody", () => strangerAt(async ({ come, io }) => {
  const json = JSON.stringify({ version: 1, instance: "x", worker: 0, workers: 1, features: [] });
  const peer = await come();
  const warnings = [];
  const heard = [];
  const onWarning = ({ message }) => warnings.push(message);
  process.on("warning", onWarning);
  io.on("told", (what) => heard.push(what));
  peer.socket.write(broker.encode("HELLO", 0, 0, sign("new", peer.nonces, json), Buffer.from(json)));
  const say = (message) => peer.socket.write(broker.encode("CLUSTER", 0, 0, "/", "them", "", Buffer.isBuffer(message) ? message : pack(message)));
  const opts = { rooms: [], except: [], flags: {} };
  const sound = { uid: "them", nsp: "/", type: 9, data: { packet: ["told", "by them"] } };
  for (const junk of [null, 1, "x", [], {}, true]) {
    say(junk);
    for (let type = 0; type < 15; type++) {
      say({ uid: "them", nsp: "/", type, data: junk });
      for (const name of ["opts", "packet", "rooms", "sockets"]) say({ uid: "them", nsp: "/", type, data: { requestId: "1", opts, packet: ["told", "wrongly"], rooms: [], sockets: [], [name]: junk } });
      for (const name of ["rooms", "except"]) say({ uid: "them", nsp: "/", type, data: { requestId: "1", rooms: [], opts: { ...opts, [name]: junk } } });
    }
  }
  say({ ...sound, uid: "somebody else", data: { packet: ["told", "by somebody else"] } });
  say({ ...sound, uid: undefined, data: { packet: ["told", "by nobody"] } });
  say({ ...sound, nsp: "/other", data: { packet: ["told", "in another namespace"] } });
  say(bytes);
  say(sound);
  await until("the last is heard", () => heard.includes("by them"));
  assert.deepEqual([...new Set(heard)], ["wrongly", "by them"], "what is one");
  process.off("warning", onWarning);
  assert.ok(warnings.some((message) => /is none/.test(message)));
}));

test("a link that is dialled: one to each worker, again when it ends, over TCP and a Unix socket; who answers otherwise is tried again", async () => {
  const { Server } = require("socket.io");
  const { attach } = require("ringcast-socket.io");
  for (const unix of [false, true]) {
    const asked = []; // requests, in order
    const up = new Map(); // worker: its socket
    let refuse = 1;
    const other = createServer();
    other.on("upgrade", (incoming, socket) => {
      socket.on("error", () => {});
      asked.push(incoming);
      if (refuse-- > 0) return socket.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      const nonces = { application: incoming.headers["ringcast-nonce"], broker: randomBytes(16).toString("hex") };
      const worker = Number(new URL(incoming.url, "http://x").searchParams.get("worker") ?? 1);
      const json = JSON.stringify({ version: 1, instance: "x", worker, workers: 3, features: [] });
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ringcast-link\r\nRingcast-Nonce: ${nonces.broker}\r\n\r\n`);
      socket.write(broker.encode("HELLO", 0, 0, sign("the secret", nonces, json), Buffer.from(json)));
      socket.on("data", () => up.set(worker, socket));
      socket.on("end", () => socket.end());
      socket.on("close", () => up.delete(worker));
    });
    const path = join(dirname(require.resolve("ringcast-socket.io")), `${process.pid}.sock`);
    await once(unix ? other.listen(path) : other.listen(0, "127.0.0.1"), "listening");
    const io = new Server();
    const links = attach(io, null, { secret: "the secret", backend: "shop", dial: unix ? `unix:${path}` : `127.0.0.1:${other.address().port}` });
    try {
      await until("all three workers have one", () => links.links.size === 3 && up.size === 3);
      assert.equal(asked[0].headers.upgrade, "ringcast-link");
      assert.deepEqual(asked.map(({ url }) => url).sort(), ["/.ringcast?backend=shop", "/.ringcast?backend=shop", "/.ringcast?worker=0&backend=shop", "/.ringcast?worker=2&backend=shop"]);
      up.get(2).destroy();
      await until("it is dialled again", () => asked.length === 5 && links.links.size === 3);
      assert.equal(asked[4].url, "/.ringcast?worker=2&backend=shop");
    } finally {
      await io.close();
      await until("nothing is left", () => up.size === 0);
      other.close();
    }
  }
});

test("an answer that is cut off is asked for again once", async () => {
  const asked = [];
  const held = [];
  const other = createServer();
  other.on("upgrade", (incoming, socket) => {
    socket.on("error", () => {});
    asked.push(incoming);
    held.push(socket);
    if (asked.length <= 4) socket.write("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nhalf of it");
  });
  await once(other.listen(0, "127.0.0.1"), "listening");
  const links = new Links({ secrets: ["x"] });
  links.report = () => held.at(-1).resetAndDestroy(); // it has been read that far
  try {
    links.dial(`127.0.0.1:${other.address().port}`);
    await until("it was asked five times", () => asked.length >= 5);
    assert.equal(asked.length, 5);
  } finally {
    links.stopped = true;
    for (const socket of held) socket.destroy();
    other.close();
  }
});

/* A line whose link is cut, with one connection. */
function cutLine() {
  const line = new Line({ instance: "a", worker: 0, grace: 600000 }, true);
  const lost = [];
  line.connections.set(1, { onLost: (reason) => lost.push(reason) });
  line.cut();
  return { line, lost };
}
const turn = () => new Promise((done) => setImmediate(done));

test("what is kept for a worker is sent again, in order, but what it has carried out", () => {
  const { line, lost } = cutLine();
  for (let i = 0; i < 5; i++) line.send("TEXT", 0, 1, String(i));
  line.send("RECEIPT", 0, 0, 7);
  const sent = [];
  line.attach({ hello: line.hello, write: (frame) => sent.push(frame) }, 2);
  line.send("TEXT", 0, 1, "5");
  assert.deepEqual(sent.map((frame) => frame.subarray(HEAD).toString()), ["2", "3", "4", "5"]);
  line.onReceipt(6);
  assert.deepEqual([line.kept.length, line.keptBytes, lost], [0, 0, []]);
});

test("a line that is cut twice and then goes on does not end", async () => {
  const line = new Line({ instance: "a", worker: 0, grace: 5 }, true);
  line.cut();
  line.cut();
  line.attach({ hello: line.hello, write() {} });
  await new Promise((done) => setTimeout(done, 5)); // behind those of the same length
  assert.equal(line.over, false);
});

test("what is kept for a worker that does not come back has a bound: beyond it its connections end", async () => {
  const { line, lost } = cutLine();
  const piece = Buffer.alloc(8 << 20);
  for (let i = 0; i < 7; i++) assert.ok(line.send("BINARY", 0, 1, piece));
  await turn();
  assert.deepEqual([line.over, line.kept.length, lost], [false, 7, []]);
  assert.ok(line.send("BINARY", 0, 1, piece), "with their heads they are more than 64 MiB");
  await turn();
  assert.deepEqual([line.over, line.kept.length, lost], [true, 0, ["transport close"]]);
  assert.ok(line.send("BINARY", 0, 1, piece));
  assert.equal(line.kept.length, 0);
});

test("the query of whatever a client asks for", () => {
  assert.deepEqual(queryOf("/socket.io/?EIO=4&a=%C3%BC+b&a=c#?d=1"), { EIO: "4", a: "c" });
  for (const url of ["http://a:99999/socket.io/?EIO=4", "//a:99999/?EIO=4", "http://[/?EIO=4", "?EIO=4"]) assert.deepEqual(queryOf(url), { EIO: "4" });
  for (const url of ["", "/", "*", "http://a:99999/", "/#?a=b"]) assert.deepEqual(queryOf(url), {});
});

test("what is kept for who comes back goes by a line that has had a link; when it ends with some of that, nobody comes back for a while", async () => {
  const links = new Links({ secrets: ["x"], recovery: 60000, resume: true });
  const hello = (worker) => ({ instance: "a", name: "x", worker, grace: 600000, features: ["resume", "recovery"] });
  const say = (offset) => links.broadcast({ key: "/", rooms: [], except: [], offset, messages: ["2[1]"], flags: 0 });
  links.expect(hello(0));
  const expected = links.lines.values().next().value;
  assert.equal(links.keeper, expected, "for want of another one");
  const line = links.make(hello(1), true);
  line.attach({ hello: line.hello, write() {} });
  assert.equal(links.keeper, line);
  links.links.delete(line);
  line.cut();
  assert.equal(links.keeper, line, "as long as it lives");
  assert.ok(say(""));
  const asked = () => {
    const session = links.restore("/", "pid", "offset");
    for (const question of [...links.questions.keys()]) links.answer(question, "found");
    return session;
  };
  assert.equal(await asked(), "found");
  expected.end();
  assert.equal(await asked(), "found", "what it had was not the one that is kept");
  links.expect(hello(0));
  assert.ok(say("1"));
  line.end();
  assert.equal(links.keeper.has("recovery"), true);
  assert.equal(await asked(), null);
  links.blindUntil = Date.now() - 1;
  assert.equal(await asked(), "found");
  for (const one of [...links.lines.values()]) one.end();
});

test("a session that is none is nobody's, and one of too many rooms is not kept", async () => {
  const parser = require("socket.io-parser");
  const kept = [];
  let session;
  const reports = [];
  const links = { settings: { recovery: 1000 }, bus: {}, enter() {}, exit() {}, keeper: { send: (...frame) => kept.push(frame) }, restore: async () => session, report: (why) => reports.push(why) };
  const adapter = new (adapterOf(links))({ name: "/", sockets: new Map(), server: { encoder: new parser.Encoder(), _parser: parser, opts: {} } });
  for (session of [null, { sid: "s", rooms: [], data: "", missed: [["no packet"]] }, { sid: "s", rooms: [], data: "{", missed: [] }]) {
    assert.equal(await adapter.restoreSession("pid", "offset"), null);
    assert.equal(adapter.returning.size, 0);
  }
  assert.equal(reports.length, 2);
  session = { sid: "s", rooms: ["sroom"], data: "", missed: [['2["said",1,"offset"]']] };
  assert.deepEqual(await adapter.restoreSession("pid", "offset"), { sid: "s", pid: "pid", rooms: ["room"], data: {}, missedPackets: [["said", 1, "offset"]] });
  for (const count of [4096, 4097]) adapter.persistSession({ sid: "s", pid: "p", rooms: Array.from({ length: count }, (_, i) => i), data: {} });
  assert.deepEqual(kept.map((frame) => frame.at(-1).length), [4096]);
  adapter.close();
});

test("who comes back before the end of his former connection is known is not ended by it", async () => {
  const io = new Server({ connectionStateRecovery: {} });
  const links = attach(io, null, { secret: "x" });
  const line = links.make({ instance: "a", worker: 0, name: "app", features: ["recovery"] }, false);
  const reasons = [];
  io.on("connection", (socket) => socket.on("disconnect", (reason) => reasons.push([socket.id, socket.recovered, reason])));
  const comes = (number, auth) => {
    io.eio.onOpen(line, number, { sid: `engine ${number}`, url: "/socket.io/?EIO=4&transport=websocket", method: "GET", headers: [], protocol: 4, transport: "websocket" }, false);
    line.connections.get(number).onFrame("TEXT", `0${JSON.stringify(auth)}`);
  };
  comes(1, {});
  const former = await until("it is there", () => [...io.sockets.sockets.values()][0]);
  const kept = [];
  Object.defineProperty(links, "keeper", { value: { send: (name) => kept.push(name) } });
  links.restore = async () => ({ sid: former.id, data: "", rooms: [`s${former.id}`], missed: [] });
  comes(2, { pid: "pid", offset: "offset" });
  const socket = await until("it is back", () => [...io.sockets.sockets.values()].find(({ recovered }) => recovered));
  line.connections.get(1)?.onFrame("CLOSED", "transport close");
  await turn();
  await turn();
  assert.deepEqual([socket.id, io.sockets.sockets.get(socket.id) === socket, socket.connected], [former.id, true, true]);
  assert.ok(io.of("/").adapter.rooms.get(socket.id).has(socket.id), "it is in its room");
  assert.deepEqual(reasons, [[former.id, false, "transport close"]]);
  assert.deepEqual(kept.filter((name) => name === "KEEP"), [], "its session is had: nobody has it another time");
  await io.close();
});

/* A link that takes everything, of which `unwritten` bytes have not left. */
const openLink = (line, refused, unwritten = 0) => ({ hello: line.hello, unwritten, write() {}, refuse: (error) => refused.push(error) });

test("what a worker has read and does not say that it has carried out has a bound: beyond it the link ends, and its connections", async () => {
  const { line, lost } = cutLine();
  const refused = [];
  line.attach(openLink(line, refused));
  const piece = Buffer.alloc(8 << 20);
  for (let i = 0; i < 8; i++) assert.ok(line.send("BINARY", 0, 1, piece));
  line.onReceipt(4);
  await turn();
  assert.deepEqual([line.over, refused, lost], [false, [], []], "some of it was carried out meanwhile");
  for (let i = 0; i < 4; i++) assert.ok(line.send("BINARY", 0, 1, piece));
  await turn();
  assert.match(refused[0].message, /RECEIPT/);
  assert.deepEqual([line.over, line.kept.length, refused.length, lost], [true, 0, 1, ["transport close"]]);
});

test("what a worker has not read yet is not held against it", async () => {
  const { line } = cutLine();
  const refused = [];
  line.attach(openLink(line, refused, 32 << 20));
  for (let i = 0; i < 9; i++) assert.ok(line.send("BINARY", 0, 1, Buffer.alloc(8 << 20)));
  await turn();
  assert.deepEqual([line.over, refused], [false, []]);
});

test("namespaces beyond those that the broker takes wait for a place, and are said to, once", async () => {
  const links = new Links({ secrets: ["x"] });
  links.engine = { asks: false };
  const said = [];
  links.report = (message) => said.push(message);
  const line = links.make({ instance: "a", worker: 0, name: "app", namespaces_max: 2 }, false);
  const sent = [];
  line.send = (name, flags, connection, key) => sent.push([name, key]);
  const adapters = ["/a", "/b", "/c", "/d"].map((name) => ({ key: name, uid: `uid ${name}`, nsp: { name }, nodesMap: new Map(), onPeers() {} }));
  for (const adapter of adapters) links.enter(adapter);
  assert.deepEqual(sent.splice(0), [["ENTER", "/a"], ["ENTER", "/b"]]);
  assert.deepEqual([said.length, /^namespace \/c: ringcast takes 2 .*cleanupEmptyChildNamespaces/.test(said[0])], [1, true]);
  links.onPeers(line, "/a", ["another"]);
  links.exit(adapters[0]);
  assert.equal(line.peers.size, 0);
  links.exit(adapters[2]);
  assert.deepEqual(sent.splice(0), [["EXIT", "/a"], ["ENTER", "/c"], ["EXIT", "/c"], ["ENTER", "/d"]]);
  // On the next link of that worker the same ones, in their order.
  line.link = { asks: false };
  links.onAttached(line, true);
  assert.deepEqual(sent, [["ENTER", "/b"], ["ENTER", "/d"]]);
  assert.deepEqual([said.length, [...line.entered].length], [1, 2]);
});

test("`attach` is said when ringcast has taken the process, also where it has no adapter to speak of", () => {
  const links = new Links({ secrets: ["x"] });
  links.engine = { asks: false };
  const line = links.make({ instance: "a", worker: 0, name: "app" }, false);
  line.link = { asks: false };
  const [sent, said] = [[], []];
  line.send = (name) => sent.push(name);
  links.on("attach", () => said.push("attach"));
  links.onAttached(line, false);
  assert.deepEqual([sent, said], [["ENTER", "EXIT"], []]);
  links.onFrame({ line }, { type: 34, name: "PEERS", flags: 0, connection: 0, values: ["attach", []] });
  assert.deepEqual([said, line.peers.size], [["attach"], 0]);
});

test("what socket.io takes by itself is no adapter of the application's own, whatever a bundler calls it, nor in a server that it derives", async () => {
  const plain = new Server();
  const classes = [plain.adapter(), new Server({ connectionStateRecovery: {} }).adapter()];
  const names = classes.map(({ name }) => name);
  class Derived extends Server {
    constructor({ recovery }) {
      super({ ...(recovery && { connectionStateRecovery: {} }) });
    }
    adapter(...args) {
      return super.adapter(...args);
    }
  }
  try {
    for (const one of classes) Object.defineProperty(one, "name", { value: "d" });
    for (const recovery of [false, true]) {
      const io = new Derived({ recovery });
      const links = attach(io, null, { secret: "x" });
      assert.deepEqual([...links.adapters.keys()], ["/"]);
      assert.equal(links.settings.resume, recovery);
      await io.close();
    }
  } finally {
    for (const [i, one] of classes.entries()) Object.defineProperty(one, "name", { value: names[i] });
  }
});

class OwnAdapter extends require("socket.io-adapter").Adapter {}
test("where Server's constructor is not to be had, as under Bun, its adapters are known by name", async () => {
  const { constructor } = Server.prototype;
  Server.prototype.constructor = function () {
    throw new TypeError("this.sockets is undefined");
  };
  try {
    for (const options of [{}, { connectionStateRecovery: {} }]) {
      const io = new Server(options);
      const links = attach(io, null, { secret: "x" });
      io.of("/");
      assert.deepEqual([...links.adapters.keys()], ["/"]);
      await io.close();
    }
    class Own extends require("socket.io-adapter").Adapter {}
    const io = new Server();
    io.adapter(Own);
    const links = attach(io, null, { secret: "x" });
    assert.deepEqual([...links.adapters.keys()], []);
    await io.close();
  } finally {
    Server.prototype.constructor = constructor;
  }
});

test("an adapter of the application's own has its namespaces, chosen before attach() or behind it", async () => {
  const ends = [];
  for (const recovery of [{}, { connectionStateRecovery: {} }]) {
    const choices = {
      options: () => { const io = new Server({ ...recovery, adapter: OwnAdapter }); return [io, attach(io, null, { secret: "x" })]; },
      before: () => { const io = new Server(recovery); io.adapter(OwnAdapter); return [io, attach(io, null, { secret: "x" })]; },
      behind: () => { const io = new Server(recovery); const links = attach(io, null, { secret: "x" }); io.of("/other"); io.adapter(OwnAdapter); return [io, links]; },
      none: () => { const io = new Server(recovery); return [io, attach(io, null, { secret: "x" })]; },
    };
    for (const [what, choose] of Object.entries(choices)) {
      const [io, links] = choose();
      ends.push(io);
      assert.equal(io.of("/").adapter instanceof OwnAdapter, what !== "none", what);
      assert.equal(io.of("/late").adapter instanceof OwnAdapter, what !== "none", what);
      assert.deepEqual([...links.adapters.keys()], what === "none" ? ["/", "/late"] : [], `${what}: nobody waits for ours`);
    }
  }
  for (const io of ends) await io.close();
});
