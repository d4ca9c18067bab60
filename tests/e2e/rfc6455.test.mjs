// RFC 6455 case by case, over bare sockets against the echo end point. Numbered after the groups that everybody who has
// tested a WebSocket server knows (Autobahn's 1 to 7, 9 and 10); judged strictly: where a case says "fails at once", the
// rest of the message is never sent.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { testBroker } from "./lib/broker.mjs";
import { OP, acceptOf, closeFrame, frame, upgradeRequest } from "./lib/raw.mjs";
import { SANITIZED, SLOWER, within } from "./lib/util.mjs";

const MIB = 1024 * 1024;
const AT_ONCE = 32; // connections of a group side by side
const CONFIG = { "debug.echo": "/echo", "limits.max_message_size": "16MiB", "server.ring_size": "64MiB", "server.overflow_size": "64MiB", "limits.max_replies": "64MiB", "limits.worker_log": "512MiB", "limits.close_timeout": "2s", "limits.ping_interval": "0s" };

const text = (payload, more) => frame({ opcode: OP.TEXT, payload, ...more });
const binary = (payload, more) => frame({ opcode: OP.BINARY, payload, ...more });
const rest = (payload, more) => frame({ opcode: OP.CONTINUATION, payload, ...more });
const ping = (payload = "", more) => frame({ opcode: OP.PING, payload, ...more });
const pong = (payload = "", more) => frame({ opcode: OP.PONG, payload, ...more });
const open = { fin: false };
const hex = (digits) => Buffer.from(digits.replaceAll(" ", ""), "hex");

const TEXT = (payload) => [OP.TEXT, Buffer.from(payload)];
const BINARY = (payload) => [OP.BINARY, Buffer.from(payload)];
const PONG = (payload = "") => [OP.PONG, Buffer.from(payload)];

/* How the bytes of a list of frames are written. */
const frames = (list) => list; // each frame by itself
const together = (list) => [Buffer.concat(list)];
const chopped = (size) => (list) => {
  const all = Buffer.concat(list);
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.subarray(i * size, (i + 1) * size));
};
const bytewise = chopped(1);

async function echo(broker) {
  const raw = await broker.raw();
  raw.write(upgradeRequest("/echo"));
  assert.equal((await raw.response()).status, 101);
  return raw;
}

function sameFrame(got, [opcode, payload], what) {
  assert.deepEqual([got.opcode, got.fin, got.rsv], [opcode, true, 0], `${what}: ${got.opcode} ${got.code ?? ""} ${got.reason ?? ""}`);
  assert.ok(got.payload.equals(payload), `${what}: ${got.payload.length} bytes of payload, expected ${payload.length}`);
}

/*
 * One case: [id, what, pieces, answers, end]. The pieces are written, then the answers must come, in order. end:
 *   undefined    all is well: our close frame is answered with the same code
 *   a number     the server fails the connection with this code
 *   { echo }     the pieces hold our close frame: the answer's payload is this
 * Nothing comes behind the server's close frame but the end of the TCP connection.
 */
async function run(broker, [id, what, pieces, answers, end], timeout) {
  const name = `${id} ${what}`;
  const raw = await echo(broker);
  for (const piece of pieces) raw.write(piece);
  for (const [i, answer] of answers.entries()) sameFrame(await raw.frame(timeout), answer, `${name}, answer ${i + 1}`);
  if (end === undefined) raw.write(closeFrame(1000, "done"));
  const close = await raw.frame(timeout);
  assert.equal(close.opcode, OP.CLOSE, `${name}: the last frame`);
  assert.deepEqual([close.fin, close.rsv], [true, 0], name);
  if (typeof end === "number") {
    assert.equal(close.code, end, `${name}: ${close.reason}`);
    raw.write(closeFrame(end));
  } else if (end === undefined) {
    assert.equal(close.code, 1000, name);
  } else {
    assert.ok(close.payload.subarray(0, 2).equals(end.echo), `${name}: closed with ${close.payload.toString("hex")}`);
  }
  assert.equal((await raw.rest(timeout)).length, 0, `${name}: nothing behind the close frame`);
  raw.end();
}

function group(title, list, { config = {}, timeout = 10000, atOnce = AT_ONCE } = {}) {
  testBroker(`${title} (${list.length} cases)`, { config: { ...CONFIG, ...config }, timeout: 120000 }, async (broker) => {
    const waiting = [...list];
    const worker = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await run(broker, next, timeout);
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    const metrics = await broker.metrics();
    assert.equal(metrics("ringcast_protocol_errors_total"), list.filter(([, , , , end]) => typeof end === "number").length);
  });
}

// --- the opening handshake (4.1, 4.2) ------------------------------------------------------------------------------------

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
/* [expected status, what, headers over those of a good request, more lines] */
const handshakes = [
  [101, "as it should be", {}],
  [101, "tokens in other letters", { Upgrade: "WebSocket", Connection: "UPGRADE" }],
  [101, "lists", { Upgrade: "h2c, websocket", Connection: "keep-alive ,upgrade" }],
  [101, "lists over two lines", { Connection: "keep-alive" }, "Connection: Upgrade\r\nUpgrade: h2c\r\n"],
  [101, "a key whose last bits count for nothing", { "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAA/==" }],
  [101, "protocols and extensions that are not known", { "Sec-WebSocket-Protocol": "chat, superchat", "Sec-WebSocket-Extensions": 'foo; bar=1; baz="x", bar' }],
  [101, "empty lists", { "Sec-WebSocket-Protocol": "", "Sec-WebSocket-Extensions": "" }],
  [101, "a length of nothing", { "Content-Length": "0" }],
  [426, "no Upgrade", { Upgrade: null }],
  [426, "another Upgrade", { Upgrade: "websockets" }],
  [400, "no Connection", { Connection: null }],
  [400, "another Connection", { Connection: "Upgraded, keep-alive" }],
  [426, "no version", { "Sec-WebSocket-Version": null }],
  [426, "version 0", { "Sec-WebSocket-Version": "0" }],
  [426, "version 12", { "Sec-WebSocket-Version": "12" }],
  [426, "version 013", { "Sec-WebSocket-Version": "013" }],
  [426, "a list of versions", { "Sec-WebSocket-Version": "13, 8" }],
  [426, "a version of a draft with its key", { "Sec-WebSocket-Version": null, "Sec-WebSocket-Key1": "1 2", "Sec-WebSocket-Key2": "3 4" }],
  [400, "two versions", {}, "Sec-WebSocket-Version: 13\r\n"],
  [400, "no key", { "Sec-WebSocket-Key": null }],
  [400, "an empty key", { "Sec-WebSocket-Key": "" }],
  [400, "a key of 15 bytes", { "Sec-WebSocket-Key": Buffer.alloc(15).toString("base64") }],
  [400, "a key of 17 bytes", { "Sec-WebSocket-Key": Buffer.alloc(17).toString("base64") }],
  [400, "a key that is no base64", { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25j*Q==" }],
  [400, "a key without its end", { "Sec-WebSocket-Key": KEY.slice(0, -2) }],
  [400, "two keys", {}, `Sec-WebSocket-Key: ${KEY}\r\n`],
  [400, "no Host", { Host: null }],
  [400, "a protocol that is no token", { "Sec-WebSocket-Protocol": "a b" }],
  [400, "an extension that is no token", { "Sec-WebSocket-Extensions": "a b" }],
  [400, "a parameter without its value", { "Sec-WebSocket-Extensions": "a; b=" }],
  [400, "a body", { "Content-Length": "5" }],
  [400, "a body in chunks", { "Transfer-Encoding": "chunked" }],
  [400, "two Origins", { Origin: "null" }, "Origin: null\r\n"],
];

testBroker(`4 the opening handshake (${handshakes.length + 1} cases)`, { config: CONFIG }, async (broker) => {
  for (const [status, what, headers, more = ""] of handshakes) {
    const raw = await broker.raw();
    raw.write(upgradeRequest("/echo", headers).replace("\r\n\r\n", `\r\n${more}\r\n`));
    const answer = await raw.response();
    assert.equal(answer.status, status, `${what}: ${answer.status} ${answer.body}`);
    if (status === 101) {
      assert.equal(answer.headers["sec-websocket-accept"], acceptOf(headers["Sec-WebSocket-Key"] ?? KEY), what);
      assert.deepEqual([answer.headers.upgrade.toLowerCase(), answer.headers.connection.toLowerCase()], ["websocket", "upgrade"], what);
      for (const name of ["sec-websocket-protocol", "sec-websocket-extensions", "content-length", "transfer-encoding"]) assert.equal(answer.headers[name], undefined, `${what}: ${name}`);
      raw.send({ payload: what });
      sameFrame(await raw.frame(), TEXT(what), what);
    } else {
      assert.equal(answer.headers["sec-websocket-accept"], undefined, what);
      assert.equal(answer.headers["sec-websocket-version"], status === 426 || what === "two versions" ? "13" : undefined, what);
    }
    raw.end();
  }
  const posted = await broker.raw();
  posted.write(upgradeRequest("/echo").replace("GET", "POST"));
  const answer = await posted.response();
  assert.deepEqual([answer.status, answer.headers.allow], [405, "GET"]);
});

// --- 1: lengths -------------------------------------------------------------------------------------------------------

const lengths = [0, 1, 125, 126, 127, 128, 255, 65535, 65536, 65537];
group("1 messages of every form of length", [
  ...lengths.flatMap((length, i) => {
    const payload = Buffer.alloc(length, "*");
    return [
      [`1.1.${i + 1}`, `text of ${length}`, [text(payload)], [TEXT(payload)]],
      [`1.2.${i + 1}`, `binary of ${length}`, [binary(payload.fill(0xfe))], [BINARY(payload)]],
    ].map((one) => (one[0].startsWith("1.1") ? [one[0], one[1], [text("*".repeat(length))], [TEXT("*".repeat(length))]] : one));
  }),
  ["1.1.11", "text of 65536 in chops of 997", chopped(997)([text("*".repeat(65536))]), [TEXT("*".repeat(65536))]],
  ["1.2.11", "binary of 65536 in chops of 997", chopped(997)([binary(Buffer.alloc(65536, 0xfe))]), [BINARY(Buffer.alloc(65536, 0xfe))]],
  ["1.1.12", "text of 200, byte by byte", bytewise([text("*".repeat(200))]), [TEXT("*".repeat(200))]],
  ["1.3.1", "length 0 in 16 bits", [text("", { length: 16 })], [], 1002],
  ["1.3.2", "length 125 in 16 bits", [text("*".repeat(125), { length: 16 })], [], 1002],
  ["1.3.3", "length 125 in 64 bits", [text("*".repeat(125), { length: 64 })], [], 1002],
  ["1.3.4", "length 65535 in 64 bits", [Buffer.concat([hex("82ff000000000000ffff"), Buffer.alloc(4)])], [], 1002],
  ["1.3.5", "length with its top bit set", [Buffer.concat([hex("82ff8000000000010000"), Buffer.alloc(4)])], [], 1002],
  ["1.3.6", "a top bit is seen before the length is complete", [hex("82ff80")], [], 1002],
  ["1.3.7", "2^63 - 1 bytes", [hex("82ff7fffffffffffffff00000000")], [], 1009],
  ["1.3.8", "one byte more than allowed", [binary("", { declared: 16 * MIB + 1 })], [], 1009],
  ["1.4.1", "not masked", [text("Hello", { masked: false })], [], 1002],
  ["1.4.2", "masked with 0", [text("Hello", { mask: Buffer.alloc(4) })], [TEXT("Hello")]],
  ["1.4.3", "the second frame of a message not masked", [text("a", open), rest("b", { masked: false })], [], 1002],
  ["1.4.4", "a ping not masked", [ping("a", { masked: false })], [], 1002],
]);

// --- 2: pings and pongs -----------------------------------------------------------------------------------------------

const tenPings = Array.from({ length: 10 }, (_, i) => ping(`payload-${i}`));
const tenPongs = Array.from({ length: 10 }, (_, i) => PONG(`payload-${i}`));
const odd = hex("00 ff fe fd fc fb 00 ff");
group("2 pings and pongs", [
  ["2.1", "ping without payload", [ping()], [PONG()]],
  ["2.2", "ping with text", [ping("Hello, world!")], [PONG("Hello, world!")]],
  ["2.3", "ping with bytes that are no text", [ping(odd)], [PONG(odd)]],
  ["2.4", "ping of 125", [ping(Buffer.alloc(125, 0xfe))], [PONG(Buffer.alloc(125, 0xfe))]],
  ["2.5", "ping of 126", [ping(Buffer.alloc(126, 0xfe))], [], 1002],
  ["2.6", "ping of 125, byte by byte", bytewise([ping(Buffer.alloc(125, 0xfe))]), [PONG(Buffer.alloc(125, 0xfe))]],
  ["2.7", "pong that nobody asked for", [pong()], []],
  ["2.8", "the same with payload", [pong("unsolicited")], []],
  ["2.9", "pong, then ping", [pong("unsolicited"), ping("our ping")], [PONG("our ping")]],
  ["2.10", "10 pings", tenPings, tenPongs],
  ["2.11", "10 pings, byte by byte", bytewise(tenPings), tenPongs],
  ["2.12", "10 pings in one packet", together(tenPings), tenPongs],
  ["2.13", "pong of 126", [pong(Buffer.alloc(126))], [], 1002],
]);

// --- 3: reserved bits -------------------------------------------------------------------------------------------------

group("3 reserved bits", [
  ...[1, 2, 3, 4, 5, 6, 7].flatMap((rsv) => [
    [`3.1.${rsv}`, `text with ${rsv}`, [text("Hello", { rsv })], [], 1002],
    [`3.2.${rsv}`, `text, text with ${rsv}, ping`, together([text("Hello"), text("Hello", { rsv }), ping()]), [TEXT("Hello")], 1002],
    [`3.3.${rsv}`, "the same, frame by frame", frames([text("Hello"), text("Hello", { rsv }), ping()]), [TEXT("Hello")], 1002],
    [`3.4.${rsv}`, "the same, byte by byte", bytewise([text("Hello"), text("Hello", { rsv }), ping()]), [TEXT("Hello")], 1002],
    [`3.5.${rsv}`, `binary with ${rsv}`, [binary(odd, { rsv })], [], 1002],
    [`3.6.${rsv}`, `ping with ${rsv}`, [ping("Hello", { rsv })], [], 1002],
    [`3.7.${rsv}`, `close with ${rsv}`, [frame({ opcode: OP.CLOSE, payload: hex("03e8"), rsv })], [], 1002],
    [`3.8.${rsv}`, `continuation with ${rsv}`, [text("a", open), rest("b", { rsv })], [], 1002],
  ]),
]);

// --- 4: reserved opcodes ----------------------------------------------------------------------------------------------

group("4 reserved opcodes", [
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap((opcode) => [
    [`4.${opcode}.1`, "empty", [frame({ opcode })], [], 1002],
    [`4.${opcode}.2`, "with payload", [frame({ opcode, payload: "reserved" })], [], 1002],
    [`4.${opcode}.3`, "behind a text, before a ping", together([text("Hello"), frame({ opcode }), ping()]), [TEXT("Hello")], 1002],
    [`4.${opcode}.4`, "the same, frame by frame", frames([text("Hello"), frame({ opcode, payload: "x" }), ping()]), [TEXT("Hello")], 1002],
    [`4.${opcode}.5`, "the same, byte by byte", bytewise([text("Hello"), frame({ opcode, payload: "x" }), ping()]), [TEXT("Hello")], 1002],
    [`4.${opcode}.6`, "within a message", frames([text("Hel", open), frame({ opcode, payload: "x" }), rest("lo")]), [], 1002],
    [`4.${opcode}.7`, "not final", [frame({ opcode, payload: "x", fin: false })], [], 1002],
  ]),
]);

// --- 5: fragments -----------------------------------------------------------------------------------------------------

const two = [text("fragment1", open), rest("fragment2")];
const withPing = [text("fragment1", open), ping("ping"), rest("fragment2")];
const five = [text("fragment1", open), rest("fragment2", open), ping("pongme 1"), rest("fragment3", open), rest("fragment4", open), ping("pongme 2"), rest("fragment5")];
const whole = TEXT("fragment1fragment2");
const stray = (more) => [rest("non-continuation payload", more), text("Hello, world!")];
group("5 fragments", [
  ["5.1", "ping in two", together([ping("fragment1", open), rest("fragment2")]), [], 1002],
  ["5.2", "pong in two", together([pong("fragment1", open), rest("fragment2")]), [], 1002],
  ["5.2.1", "close in two", [frame({ opcode: OP.CLOSE, payload: hex("03e8"), fin: false })], [], 1002],
  ["5.3", "text in two", together(two), [whole]],
  ["5.4", "frame by frame", frames(two), [whole]],
  ["5.5", "byte by byte", bytewise(two), [whole]],
  ["5.6", "with a ping between", together(withPing), [PONG("ping"), whole]],
  ["5.7", "frame by frame", frames(withPing), [PONG("ping"), whole]],
  ["5.8", "byte by byte", bytewise(withPing), [PONG("ping"), whole]],
  ...[["5.9", {}], ["5.12", open]].flatMap(([id, more]) => [
    [`${id}.1`, "continuation of nothing", together(stray(more)), [], 1002],
    [`${id}.2`, "frame by frame", frames(stray(more)), [], 1002],
    [`${id}.3`, "byte by byte", bytewise(stray(more)), [], 1002],
  ]),
  ["5.15", "a message in two, then a continuation of nothing", together([...two, rest("fragment3", open), text("fragment4")]), [whole], 1002],
  ["5.16", "continuation of nothing, then a text in two", together([rest("fragment1", open), text("fragment2", open), rest("fragment3")]), [], 1002],
  ["5.17", "the same, the first final", together([rest("fragment1"), text("fragment2", open), rest("fragment3")]), [], 1002],
  ["5.18", "text within a text", together([text("fragment1", open), text("fragment2")]), [], 1002],
  ["5.18.1", "binary within a text", together([text("fragment1", open), binary("fragment2")]), [], 1002],
  ["5.18.2", "open binary within a binary", frames([binary("fragment1", open), binary("fragment2", open)]), [], 1002],
  ["5.19", "five fragments, two pings", together(five), [PONG("pongme 1"), PONG("pongme 2"), TEXT("fragment1fragment2fragment3fragment4fragment5")]],
  ["5.20", "frame by frame", frames(five), [PONG("pongme 1"), PONG("pongme 2"), TEXT("fragment1fragment2fragment3fragment4fragment5")]],
  ["5.20.1", "byte by byte", bytewise(five), [PONG("pongme 1"), PONG("pongme 2"), TEXT("fragment1fragment2fragment3fragment4fragment5")]],
  ["5.21", "empty fragments around", together([text("", open), rest("", open), rest("x", open), rest("")]), [TEXT("x")]],
  ["5.22", "binary in 1,000 of one byte", together(Array.from({ length: 1000 }, (_, i) => frame({ opcode: i ? 0 : 2, payload: [i & 255], fin: i === 999 }))), [BINARY(Array.from({ length: 1000 }, (_, i) => i & 255))]],
  ["5.23", "closed within a message", together([text("fragment1", open), closeFrame(1000)]), [], { echo: hex("03e8") }],
]);

testBroker("5.19 a ping within a message is answered before the message goes on, and so is one that comes cut", { config: CONFIG }, async (broker) => {
  const raw = await echo(broker);
  for (const cut of [(bytes) => [bytes], (bytes) => [bytes.subarray(0, 1), bytes.subarray(1)], (bytes) => [...bytes].map((byte) => Buffer.from([byte]))]) {
    const parts = ["fragment1", "fragment2", "fragment3", ""];
    for (const [i, part] of parts.entries()) {
      raw.send({ opcode: i ? OP.CONTINUATION : OP.TEXT, payload: part, fin: i === parts.length - 1 });
      if (i === parts.length - 1) break;
      for (const piece of cut(ping(`pongme ${i}`))) raw.write(piece);
      sameFrame(await raw.frame(), PONG(`pongme ${i}`), `behind ${part}`);
    }
    sameFrame(await raw.frame(), TEXT(parts.join("")), "the message");
  }
});

// --- 6: UTF-8 ---------------------------------------------------------------------------------------------------------

const kosme = Buffer.from("κόσμε");
const sentence = Buffer.from("Hello-µ@ßöäüàá-UTF-8!!");
const valid = {
  "6.5": [Buffer.from("Hello-µ@ßöäüàá-UTF-8!!"), kosme, Buffer.from("\u0000\u0001\u001f\u007f")],
  "6.6": Array.from({ length: kosme.length }, (_, i) => kosme.subarray(0, i + 1)).filter((part) => isUtf8(part)),
  "6.7": [hex("00"), hex("c280"), hex("e0a080"), hex("f0908080")], // first of each length
  "6.9": [hex("7f"), hex("dfbf"), hex("efbfbf"), hex("f48fbfbf")], // last of each length
  "6.11": [hex("ed9fbf"), hex("ee8080"), hex("efbfbd"), hex("f48fbfbf")], // around the surrogates and at the end
  "6.22": Array.from({ length: 17 }, (_, plane) => ["e", "f"].map((low) => Buffer.from(String.fromCodePoint(plane * 0x10000 + 0xfff0 + parseInt(low, 16))))).flat(), // noncharacters
  "6.23": [0xfdd0, 0xfdef, 0xfeff, 0xfff9, 0xfffa, 0xfffb, 0xfffc, 0xfffd].map((point) => Buffer.from(String.fromCodePoint(point))),
};
const invalid = {
  "6.3": [hex("cebae1bdb9cf83cebcceb5eda080656469746564")],
  "6.6": Array.from({ length: kosme.length }, (_, i) => kosme.subarray(0, i + 1)).filter((part) => !isUtf8(part)),
  "6.8": [hex("f888808080"), hex("fc8480808080"), hex("f4908080")],
  "6.10": [hex("f7bfbfbf"), hex("fbbfbfbfbf"), hex("fdbfbfbfbfbf")],
  "6.12": [hex("80"), hex("bf"), hex("80bf"), hex("80bf80"), hex("80bf80bf"), hex("80bf80bf80"), hex("80bf80bf80bf"), Buffer.from(Array.from({ length: 64 }, (_, i) => 0x80 + i))],
  "6.13": [[0xc0, 32], [0xe0, 16], [0xf0, 8], [0xf8, 4], [0xfc, 2]].map(([first, count]) => Buffer.from(Array.from({ length: count }, (_, i) => [first + i, 0x20]).flat())), // lonely starts
  "6.14": ["c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf", "c3", "e282", "f09f98"].map(hex),
  "6.15": [hex("c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf")],
  "6.16": [hex("fe"), hex("ff"), hex("fefeffff")],
  "6.17": [hex("c0af"), hex("e080af"), hex("f08080af"), hex("f8808080af"), hex("fc80808080af")],
  "6.18": [hex("c1bf"), hex("e09fbf"), hex("f08fbfbf"), hex("f887bfbfbf"), hex("fc83bfbfbfbf")],
  "6.19": [hex("c080"), hex("e08080"), hex("f0808080"), hex("f880808080"), hex("fc8080808080")],
  "6.20": ["eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf"].map(hex),
  "6.21": ["eda080edb080", "eda080edbfbf", "edadbfedb080", "edadbfedbfbf", "edae80edb080", "edae80edbfbf", "edafbfedb080", "edafbfedbfbf"].map(hex),
};
function isUtf8(bytes) {
  return Buffer.from(bytes.toString("utf8")).equals(bytes) && !bytes.toString("utf8").includes("\ufffd");
}
/* One frame for each byte. */
const oneByteFrames = (bytes) => Array.from(bytes, (byte, i) => frame({ opcode: i ? OP.CONTINUATION : OP.TEXT, payload: [byte], fin: i === bytes.length - 1 }));
group("6 valid UTF-8", [
  ["6.1.1", "empty", [text("")], [TEXT("")]],
  ["6.1.2", "empty in three", [text("", open), rest("", open), rest("")], [TEXT("")]],
  ["6.1.3", "three, the middle one not empty", [text("", open), rest("middle frame payload", open), rest("")], [TEXT("middle frame payload")]],
  ["6.2.1", "whole", [text(sentence)], [TEXT(sentence)]],
  ["6.2.2", "cut between characters", [text(sentence.subarray(0, 8), open), rest(sentence.subarray(8))], [TEXT(sentence)]],
  ["6.2.3", "a frame for each byte", oneByteFrames(sentence), [TEXT(sentence)]],
  ["6.2.4", "κόσμε, a frame for each byte", oneByteFrames(kosme), [TEXT(kosme)]],
  ...Object.entries(valid).flatMap(([id, list]) => list.flatMap((bytes, i) => [
    [`${id}.${i + 1}`, bytes.toString("hex"), [text(bytes)], [TEXT(bytes)]],
    [`${id}.${i + 1}b`, "byte by byte", bytewise([text(bytes)]), [TEXT(bytes)]],
    [`${id}.${i + 1}f`, "a frame for each byte", oneByteFrames(bytes), [TEXT(bytes)]],
  ])),
  ["6.24.1", "what is no UTF-8 is fine in binary", [binary(hex("fffe80c0"))], [BINARY(hex("fffe80c0"))]],
]);
group("6 invalid UTF-8", Object.entries(invalid).flatMap(([id, list]) => list.flatMap((bytes, i) => [
  [`${id}.${i + 1}`, bytes.toString("hex"), [text(bytes)], [], 1007],
  [`${id}.${i + 1}b`, "byte by byte", bytewise([text(bytes)]), [], 1007],
  [`${id}.${i + 1}f`, "a frame for each byte", oneByteFrames(bytes), [], 1007],
  [`${id}.${i + 1}l`, "behind much that is valid", [text(Buffer.concat([Buffer.alloc(5000, "é"), bytes]))], [], 1007],
])));

/* The first byte that can not go on, as its index; sequences that only end too early have none. */
const failFast = [
  ["f4 90", 1], ["f4 8f bf 41", 3], ["c3 28", 1], ["e2 28", 1], ["e2 82 28", 2], ["ed a0", 1], ["e0 9f", 1], ["f0 8f", 1], ["80", 0], ["c0", 0], ["c1", 0], ["f5", 0], ["fe", 0], ["ff", 0],
];
group("6.4 UTF-8 fails at the very byte, the rest never comes", failFast.flatMap(([digits, bad], i) => {
  const bytes = hex(digits);
  const upTo = Buffer.concat([kosme, bytes.subarray(0, bad + 1)]);
  const before = upTo.subarray(0, upTo.length - 1);
  const last = upTo.subarray(upTo.length - 1);
  const declared = 100;
  const mask = hex("01020304");
  const oneFrame = frame({ payload: upTo, declared, mask });
  return [
    [`6.4.${i + 1}.1`, `${digits}: in the second of three fragments`, [text(before, open), rest(last, open)], [], 1007],
    [`6.4.${i + 1}.2`, "in a frame that is not complete", [oneFrame], [], 1007],
    [`6.4.${i + 1}.3`, "the same, byte by byte", chopped(1)([oneFrame]), [], 1007],
    [`6.4.${i + 1}.4`, "the bad byte alone in a packet", [oneFrame.subarray(0, oneFrame.length - 1), oneFrame.subarray(oneFrame.length - 1)], [], 1007],
    [`6.4.${i + 1}.5`, "in a later frame that is not complete", [text(before, open), frame({ opcode: OP.CONTINUATION, payload: last, declared, mask })], [], 1007],
  ];
}));

// --- 7: closing -------------------------------------------------------------------------------------------------------

const code = (number) => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(number);
  return bytes;
};
const longest = "*".repeat(123);
const big = "x".repeat(256 * 1024);
group("7 closing", [
  ["7.1.1", "text, then close", together([text("Hello World!"), closeFrame(1000)]), [TEXT("Hello World!")], { echo: code(1000) }],
  ["7.1.2", "two close frames", together([closeFrame(1000), closeFrame(1001)]), [], { echo: code(1000) }],
  ["7.1.3", "ping behind a close frame", together([closeFrame(1000), ping()]), [], { echo: code(1000) }],
  ["7.1.4", "text behind a close frame", together([closeFrame(1000), text("Hello World!")]), [], { echo: code(1000) }],
  ["7.1.5", "the rest of a message behind a close frame", together([text("fragment1", open), closeFrame(1000), rest("fragment2")]), [], { echo: code(1000) }],
  ["7.1.6", "256 KiB, close, ping", together([text(big), closeFrame(1000), ping()]), [TEXT(big)], { echo: code(1000) }],
  ["7.1.7", "garbage behind a close frame", together([closeFrame(1000), randomBytes(5000)]), [], { echo: code(1000) }],
  ["7.3.1", "no payload", [closeFrame()], [], { echo: Buffer.alloc(0) }],
  ["7.3.2", "half a code", [frame({ opcode: OP.CLOSE, payload: "*" })], [], 1002],
  ["7.3.3", "a code", [closeFrame(1000)], [], { echo: code(1000) }],
  ["7.3.4", "code and reason", [closeFrame(1000, "Hello World!")], [], { echo: code(1000) }],
  ["7.3.5", "the longest reason", [closeFrame(1000, longest)], [], { echo: code(1000) }],
  ["7.3.6", "a longer one", [closeFrame(1000, `${longest}*`)], [], 1002],
  ["7.3.7", "byte by byte", bytewise([closeFrame(1000, longest)]), [], { echo: code(1000) }],
  ["7.5.1", "the reason is not UTF-8", [frame({ opcode: OP.CLOSE, payload: Buffer.concat([code(1000), invalid["6.3"][0]]) })], [], 1007],
  ["7.5.2", "the reason ends within a character", [frame({ opcode: OP.CLOSE, payload: Buffer.concat([code(1000), hex("c3")]) })], [], 1007],
  ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999].map((number) => [`7.7.${number}`, "may be sent", [closeFrame(number)], [], { echo: code(number) }]),
  ...[0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32768, 65535].map((number) => [`7.9.${number}`, "may not be sent", [closeFrame(number)], [], 1002]),
], { config: { "limits.max_message_size": "1MiB" } });

// The server has the last word, and then closes first.
testBroker("7.1.1 a closing handshake that the client began is over at once", { config: { ...CONFIG, "limits.close_timeout": "10m" } }, async (broker) => {
  const polite = await echo(broker);
  polite.write(closeFrame(1000));
  assert.equal((await polite.frame()).opcode, OP.CLOSE);
  await within(10000, polite.rest(), "the server closes");
  assert.equal(polite.error, undefined, "no reset");
});

testBroker("7 the server ends the TCP connection, with or without the client's help", { config: { ...CONFIG, "limits.close_timeout": "700ms" } }, async (broker) => {
  // The server failed the connection and the client does not answer.
  const deaf = await echo(broker);
  const began = performance.now();
  deaf.write(text(hex("ff")));
  assert.equal((await deaf.frame()).code, 1007);
  await deaf.rest();
  assert.ok(performance.now() - began < 6000 * SLOWER, "bounded by limits.close_timeout");
  // The client ends its half within a message, within a header, and after nothing.
  for (const bytes of [text("half", open), frame({ payload: "x", declared: 50 }), Buffer.from([0x81]), Buffer.alloc(0)]) {
    const gone = await echo(broker);
    gone.write(bytes);
    gone.socket.end();
    await within(10000, gone.rest(), "the server closes when the client is gone");
  }
  // What is in flight when the client closes does not bring a reset about: its answer arrives.
  const busy = await echo(broker);
  busy.write(Buffer.concat([text(hex("ff")), randomBytes(200000)]));
  assert.equal((await busy.frame()).code, 1007);
  await busy.rest();
  assert.equal(busy.error, undefined, "no reset");
});

// --- 9 and 10: large, many, chopped ------------------------------------------------------------------------------------

const sizes = SANITIZED ? [64 * 1024, 256 * 1024, MIB] : [64 * 1024, 256 * 1024, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
const bulk = { timeout: 60000, atOnce: 2 };
const pattern = (size) => Buffer.alloc(size, "BAsd7&jh23");
const fragmented = (opcode, payload, size) => {
  const list = [];
  for (let at = 0; at < payload.length; at += size) list.push(frame({ opcode: at ? OP.CONTINUATION : opcode, payload: payload.subarray(at, at + size), fin: at + size >= payload.length }));
  return Buffer.concat(list);
};
group("9.1-2 large messages", sizes.flatMap((size) => [
  [`9.1 ${size}`, "text", [text(pattern(size))], [TEXT(pattern(size))]],
  [`9.2 ${size}`, "binary", [binary(pattern(size))], [BINARY(pattern(size))]],
]), bulk);
const message = SANITIZED ? MIB : 4 * MIB;
group("9.3-4 large messages in fragments", [64, 256, 1024, 4096, 16384, 65536, 262144, MIB, 4 * MIB].flatMap((size) => [
  [`9.3 ${size}`, "text", [fragmented(OP.TEXT, pattern(message), size)], [TEXT(pattern(message))]],
  [`9.4 ${size}`, "binary", [fragmented(OP.BINARY, pattern(message), size)], [BINARY(pattern(message))]],
]), bulk);
group("9.5-6 1 MiB in chops", [64, 128, 256, 512, 1024, 2048].flatMap((size) => [
  [`9.5 ${size}`, "text", chopped(size)([text(pattern(MIB))]), [TEXT(pattern(MIB))]],
  [`9.6 ${size}`, "binary", chopped(size)([binary(pattern(MIB))]), [BINARY(pattern(MIB))]],
]), bulk);
testBroker("9.7-8 1,000 messages one after the other", { config: CONFIG, timeout: 60000 }, async (broker) => {
  for (const opcode of [OP.TEXT, OP.BINARY]) {
    const raw = await echo(broker);
    for (const size of [0, 16, 64, 256, 1024, 4096]) {
      const payload = pattern(size);
      for (let i = 0; i < 170; i++) {
        raw.send({ opcode, payload });
        sameFrame(await raw.frame(), [opcode, payload], `message ${i} of ${size}`);
      }
    }
  }
});
group("10 fragments of 1,300 bytes", [
  ["10.1.1", "text of 65,536", [fragmented(OP.TEXT, pattern(65536), 1300)], [TEXT(pattern(65536))]],
  ["10.1.2", "in chops of 7", chopped(7)([fragmented(OP.TEXT, pattern(65536), 1300)]), [TEXT(pattern(65536))]],
], bulk);
testBroker("9.9 more fragments than allowed", { config: { ...CONFIG, "limits.max_frames_per_message": 100 } }, async (broker) => {
  const list = (count) => Array.from({ length: count }, (_, i) => frame({ opcode: i ? 0 : 1, payload: "a", fin: i === count - 1 }));
  await run(broker, ["9.9.1", "as many as allowed", together(list(100)), [TEXT("a".repeat(100))]]);
  await run(broker, ["9.9.2", "one more", together(list(101)), [], 1008]);
});
