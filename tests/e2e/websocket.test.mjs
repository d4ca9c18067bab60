// RFC 6455 over bare sockets, byte by byte where it matters. The echo end point sends back what it understood.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { testBroker } from "./lib/broker.mjs";
import { OP, acceptOf, closeFrame, frame, upgradeRequest } from "./lib/raw.mjs";
import { until } from "./lib/util.mjs";

const MAX = 65536;
const CONFIG = { "debug.echo": "/echo", "limits.max_message_size": "64KiB", "limits.close_timeout": "500ms" };

/* A connection to the echo end point. */
async function echo(broker) {
  const raw = await broker.raw();
  raw.write(upgradeRequest("/echo"));
  assert.equal((await raw.response()).status, 101);
  return raw;
}

/* The server closes with this code and then the connection. */
async function closesWith(raw, code, what) {
  const answer = await raw.frame();
  assert.deepEqual([answer.opcode, answer.code], [OP.CLOSE, code], `${what}: ${answer.opcode} ${answer.code} ${answer.reason}`);
  raw.write(closeFrame(code));
  assert.equal((await raw.rest()).length, 0, `${what}: nothing after the close frame`);
}

testBroker("the handshake", { config: CONFIG }, async (broker) => {
  const raw = await broker.raw();
  raw.write(upgradeRequest("/ws"));
  const answer = await raw.response();
  assert.equal(answer.status, 101);
  assert.equal(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  assert.match(answer.headers.upgrade, /^websocket$/i);
  assert.match(answer.headers.connection, /upgrade/i);
  assert.equal(answer.headers["sec-websocket-protocol"], undefined);
  const key = randomBytes(16).toString("base64");
  const lower = await broker.raw();
  lower.write(`get /ws http/1.1\r\n`.toUpperCase().replace("/WS", "/ws") +
    `host:x\r\nupgrade: WebSocket\r\nconnection: keep-alive, UPGRADE\r\nsec-websocket-key: ${key}\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: chat, ringcast.v1\r\n\r\n`);
  const second = await lower.response();
  assert.deepEqual([second.status, second.headers["sec-websocket-accept"], second.headers["sec-websocket-protocol"]], [101, acceptOf(key), "ringcast.v1"]);
  const wrong = [
    [400, { "Sec-WebSocket-Key": null }],
    [400, { "Sec-WebSocket-Key": "dG9vIHNob3J0" }],
    [400, { Connection: "keep-alive" }],
    [426, { "Sec-WebSocket-Version": "8" }],
    [426, { Upgrade: "h2c" }],
  ];
  for (const [status, headers] of wrong) {
    const refused = await broker.raw();
    refused.write(upgradeRequest("/ws", headers));
    const { status: got, headers: back } = await refused.response();
    assert.equal(got, status, JSON.stringify(headers));
    if (headers["Sec-WebSocket-Version"]) assert.equal(back["sec-websocket-version"], "13");
  }
  const elsewhere = await broker.raw();
  elsewhere.write(upgradeRequest("/nowhere"));
  assert.equal((await elsewhere.response()).status, 404);
});

testBroker("messages of every length, whole and in pieces", { config: CONFIG }, async (broker) => {
  const raw = await echo(broker);
  for (const opcode of [OP.TEXT, OP.BINARY]) {
    for (const length of [0, 1, 125, 126, 127, 128, 65535, MAX]) {
      const payload = Buffer.alloc(length, "aé".slice(0, 1));
      raw.send({ opcode, payload });
      const answer = await raw.frame();
      assert.deepEqual([answer.fin, answer.rsv, answer.opcode, answer.payload.equals(payload)], [true, 0, opcode, true], `length ${length}`);
    }
  }
  // Fragments, with pings between them; a character cut in the middle.
  const text = Buffer.from("grüße 😀");
  for (let cut = 1; cut < text.length; cut++) {
    raw.send({ opcode: OP.TEXT, payload: text.subarray(0, cut), fin: false });
    raw.send({ opcode: OP.PING, payload: `p${cut}` });
    raw.send({ opcode: OP.CONTINUATION, payload: "", fin: false });
    raw.send({ opcode: OP.CONTINUATION, payload: text.subarray(cut) });
    const pong = await raw.frame();
    assert.deepEqual([pong.opcode, pong.payload.toString()], [OP.PONG, `p${cut}`]);
    assert.equal((await raw.frame()).payload.toString(), text.toString());
  }
  for (let i = 0; i < 100; i++) raw.send({ opcode: i === 0 ? OP.BINARY : OP.CONTINUATION, payload: [i], fin: i === 99 });
  assert.deepEqual([...(await raw.frame()).payload], Array.from({ length: 100 }, (_, i) => i));
  raw.send({ opcode: OP.PONG, payload: "unasked" }); // ignored
  raw.send({ opcode: OP.PING, payload: "x".repeat(125) });
  const pong = await raw.frame();
  assert.deepEqual([pong.opcode, pong.payload.length], [OP.PONG, 125]);
});

testBroker("one byte at a time, and many frames in one packet", { config: CONFIG }, async (broker) => {
  const raw = await echo(broker);
  const stream = Buffer.concat([
    frame({ payload: "a".repeat(300) }),
    frame({ opcode: OP.BINARY, payload: "", fin: false }),
    frame({ opcode: OP.PING, payload: "ping" }),
    frame({ opcode: OP.CONTINUATION, payload: Buffer.alloc(3, 7) }),
    frame({ payload: "ü€😀", mask: Buffer.from([0, 0, 0, 0]) }),
  ]);
  for (let round = 0; round < 2; round++) {
    if (round === 0) raw.write(stream);
    else for (const byte of stream) raw.write(Buffer.from([byte]));
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await raw.frame());
    assert.deepEqual(answers.map(({ opcode, payload }) => [opcode, payload.length]), [[OP.TEXT, 300], [OP.PONG, 4], [OP.BINARY, 3], [OP.TEXT, 9]]);
  }
  const many = Array.from({ length: 1000 }, (_, i) => frame({ payload: String(i) }));
  raw.write(Buffer.concat(many));
  for (let i = 0; i < 1000; i++) assert.equal((await raw.frame()).payload.toString(), String(i));
  // The handshake and frames in one packet, cut anywhere.
  const hello = Buffer.concat([Buffer.from(upgradeRequest("/echo")), frame({ payload: "first" })]);
  for (const cut of [1, 40, hello.length - 12, hello.length - 5, hello.length - 1]) {
    const early = await broker.raw();
    early.write(hello.subarray(0, cut));
    await until("the first part has left", () => early.socket.writableLength === 0, { every: 0 });
    early.write(hello.subarray(cut));
    assert.equal((await early.response()).status, 101);
    assert.equal((await early.frame()).payload.toString(), "first");
  }
});

testBroker("what breaks the protocol closes with the right code", { config: CONFIG }, async (broker) => {
  const f = frame;
  const cases = [
    [1002, "not masked", f({ payload: "x", masked: false })],
    [1002, "reserved bit 1", f({ payload: "x", rsv: 4 })],
    [1002, "reserved bit 3", f({ payload: "x", rsv: 1 })],
    [1002, "reserved opcode 3", f({ opcode: 3, payload: "x" })],
    [1002, "reserved opcode 11", f({ opcode: 11, payload: "x" })],
    [1002, "fragmented ping", f({ opcode: OP.PING, payload: "x", fin: false })],
    [1002, "ping of 126 bytes", f({ opcode: OP.PING, payload: "x".repeat(126) })],
    [1002, "continuation of nothing", f({ opcode: OP.CONTINUATION, payload: "x" })],
    [1002, "text within a message", Buffer.concat([f({ payload: "x", fin: false }), f({ payload: "y" })])],
    [1002, "length 5 in 16 bits", f({ payload: "hello", length: 16 })],
    [1002, "length 200 in 64 bits", f({ payload: "x".repeat(200), length: 64 })],
    [1002, "length with the highest bit", Buffer.concat([Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1]), Buffer.alloc(4)])],
    [1002, "close of one byte", f({ opcode: OP.CLOSE, payload: "x" })],
    [1007, "close reason not UTF-8", f({ opcode: OP.CLOSE, payload: Buffer.from([3, 0xe8, 0xff]) })],
    [1007, "not UTF-8", f({ payload: Buffer.from([0xff]) })],
    [1007, "a surrogate", f({ payload: Buffer.from([0xed, 0xa0, 0x80]) })],
    [1007, "overlong", f({ payload: Buffer.from([0xc0, 0xaf]) })],
    [1007, "cut character", f({ payload: Buffer.from([0x61, 0xc3]) })],
    [1007, "broken across fragments", Buffer.concat([f({ payload: Buffer.from([0xf0, 0x9f]), fin: false }), f({ opcode: OP.CONTINUATION, payload: Buffer.from([0x41, 0x41]) })])],
    [1009, "too big by its header", f({ opcode: OP.BINARY, payload: "", declared: MAX + 1 })],
    [1009, "too big by 4 GiB", f({ opcode: OP.BINARY, payload: "", declared: 2 ** 32 + 5 })],
    [1009, "too big in pieces", Buffer.concat([f({ payload: "x".repeat(MAX), fin: false }), f({ opcode: OP.CONTINUATION, payload: "x" })])],
  ];
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000]) cases.push([1002, `close code ${code}`, closeFrame(code)]);
  await Promise.all(cases.map(async ([code, what, bytes]) => {
    const raw = await echo(broker);
    raw.write(bytes);
    await closesWith(raw, code, what);
  }));
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_protocol_errors_total"), cases.length);
});

testBroker("the closing handshake", { config: CONFIG }, async (broker) => {
  for (const [code, reason] of [[1000, "bye"], [1001, ""], [1011, "é"], [3000, "x"], [4999, "y".repeat(123)]]) {
    const raw = await echo(broker);
    raw.write(closeFrame(code, reason));
    const answer = await raw.frame();
    assert.deepEqual([answer.opcode, answer.code], [OP.CLOSE, code]);
    assert.equal((await raw.rest()).length, 0);
  }
  const empty = await echo(broker);
  empty.write(closeFrame());
  const answer = await empty.frame();
  assert.deepEqual([answer.opcode, answer.payload.length], [OP.CLOSE, 0]);
  await empty.rest();
  // Nothing after a close counts any more.
  const late = await echo(broker);
  late.write(Buffer.concat([closeFrame(1000), frame({ payload: "late" })]));
  assert.equal((await late.frame()).opcode, OP.CLOSE);
  assert.equal((await late.rest()).length, 0);
  // Without an answer to its close the server does not wait for ever.
  const deaf = await echo(broker);
  deaf.write(frame({ payload: Buffer.from([0xff]) }));
  assert.equal((await deaf.frame()).code, 1007);
  await deaf.rest(3000);
  await until("no connection is left", async () => (await broker.metrics())("ws_connections_total") === 0);
});

testBroker("quiet connections are pinged, dead ones closed, idle ones too", {
  config: { ...CONFIG, "limits.ping_interval": "300ms", "limits.pong_timeout": "4s" },
}, async (broker) => {
  const raw = await echo(broker);
  for (let i = 0; i < 3; i++) {
    const ping = await raw.frame();
    assert.equal(ping.opcode, OP.PING);
    raw.send({ opcode: OP.PONG, payload: ping.payload });
  }
  assert.equal((await raw.frame()).opcode, OP.PING);
  // Now no answer: 4002.
  let next;
  do next = await raw.frame(20000); while (next.opcode === OP.PING);
  assert.deepEqual([next.opcode, next.code], [OP.CLOSE, 4002]);
  assert.ok((await broker.metrics())('ringcast_timeouts_total{reason="pong"}') >= 1);
});

testBroker("one that never said anything is found dead too, also of the broker's first second", {
  config: { "limits.ping_interval": "300ms", "limits.pong_timeout": "400ms" },
}, async (broker) => {
  const raw = await broker.frames("/ws");
  let next;
  do next = await raw.frame(20000); while (next.opcode === OP.PING);
  assert.deepEqual([next.opcode, next.code], [OP.CLOSE, 4002]);
});

testBroker("an idle connection is closed with 4003", { config: { ...CONFIG, "limits.idle_timeout": "4s" } }, async (broker) => {
  const raw = await echo(broker);
  raw.send({ payload: "x" });
  assert.equal((await raw.frame()).payload.toString(), "x");
  const close = await raw.frame(20000);
  assert.deepEqual([close.opcode, close.code], [OP.CLOSE, 4003]);
});

testBroker("random messages in random pieces come back unchanged", { config: CONFIG, timeout: 60000 }, async (broker) => {
  const raw = await echo(broker);
  for (let round = 0; round < 300; round++) {
    const payload = randomBytes(Math.floor(Math.random() ** 3 * 20000));
    const parts = [];
    for (let at = 0; at < payload.length || parts.length === 0; ) {
      const count = Math.floor(Math.random() * 3000);
      parts.push(payload.subarray(at, at + count));
      at += count;
    }
    const bytes = Buffer.concat(parts.map((part, i) => frame({ opcode: i === 0 ? OP.BINARY : OP.CONTINUATION, payload: part, fin: i === parts.length - 1 })));
    for (let at = 0; at < bytes.length; ) {
      const count = 1 + Math.floor(Math.random() * 4000);
      raw.write(bytes.subarray(at, at + count));
      at += count;
    }
    const answer = await raw.frame();
    const digest = (data) => createHash("sha1").update(data).digest("hex");
    assert.equal(digest(answer.payload), digest(payload));
  }
});
