// permessage-deflate (RFC 7692) over bare sockets against the echo end point: negotiation, and messages of all sizes under
// all parameters, after the groups 12 and 13 that everybody who has tested a WebSocket server knows. An echo may come back
// compressed or not; that what the server sends is compressed is shown with channels, at the end.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { testBroker } from "./lib/broker.mjs";
import { OP, closeFrame, frame, upgradeRequest } from "./lib/raw.mjs";
import { SANITIZED, random } from "./lib/util.mjs";

const RSV1 = 4;
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
const MAX = 1024 * 1024;
const CONFIG = { "debug.echo": "/echo", "limits.max_message_size": "1MiB", "limits.ping_interval": "0s", "limits.max_replies": "8MiB", "compression.enabled": true, "compression.client_window_bits": 15, "compression.threshold": "32B" };

async function handshake(broker, offers) {
  const raw = await broker.raw();
  raw.write(upgradeRequest("/echo", { "Sec-WebSocket-Extensions": offers }));
  const response = await raw.response();
  assert.equal(response.status, 101, offers);
  raw.parameters = parametersOf(response.headers["sec-websocket-extensions"]);
  return raw;
}

/* The answer as { name: value or true }, or null; what RFC 7692 forbids in one fails. */
function parametersOf(answer) {
  if (answer === undefined) return null;
  const [name, ...rest] = answer.split(";").map((part) => part.trim());
  assert.equal(name, "permessage-deflate", answer);
  const parameters = {};
  for (const part of rest) {
    const [key, value = true] = part.split("=");
    assert.ok(!(key in parameters), `${key} once in ${answer}`);
    if (key.endsWith("_no_context_takeover")) assert.equal(value, true, answer);
    else assert.ok(/^(client|server)_max_window_bits$/.test(key) && /^([89]|1[0-5])$/.test(value), answer);
    parameters[key] = value;
  }
  return parameters;
}

const deflateTest = (name, options, body) => testBroker(name, { config: CONFIG, timeout: 60000, ...options }, body);

/* A client's compressor; with takeover it goes on where the message before it ended. */
class Compressor {
  constructor({ client_no_context_takeover: fresh, client_max_window_bits: bits }, level = 6) {
    this.windowBits = Math.max(9, Number(bits ?? 15)); // zlib's 9 refers back less than 256 bytes, so it is also 8
    this.fresh = fresh === true;
    this.level = level;
    this.window = Buffer.alloc(0);
  }

  message(bytes) {
    const { windowBits, level, window } = this;
    const dictionary = window.length > 0 ? { dictionary: window } : {};
    const packed = deflateRawSync(bytes, { windowBits, level, finishFlush: constants.Z_SYNC_FLUSH, ...dictionary });
    assert.ok(packed.subarray(-4).equals(TAIL));
    if (!this.fresh) this.window = Buffer.concat([window, bytes]).subarray(-(1 << windowBits));
    return packed.subarray(0, -4);
  }
}

/* The server never refers to an earlier message, and not further back than it promised. */
function unpack({ rsv, payload }, { server_max_window_bits: bits = 15 } = {}) {
  if (rsv === 0) return payload;
  assert.equal(rsv, RSV1);
  return inflateRawSync(Buffer.concat([payload, TAIL]), { windowBits: Number(bits), finishFlush: constants.Z_SYNC_FLUSH });
}

const words = "the quick brown fox jumps over a lazy dog prices bid ask volume exchange channel message".split(" ");
function sentences(size, seed = size) {
  const next = random(seed);
  let text = "";
  while (text.length < size) text += `${next.pick(words)}${next.below(1000)} `;
  return Buffer.from(text.slice(0, size));
}

async function expectEcho(raw, opcode, bytes, what) {
  const answer = await raw.frame(20000);
  assert.deepEqual([answer.fin, answer.opcode], [true, opcode], `${what}: ${answer.code ?? ""} ${answer.reason ?? ""}`);
  assert.ok(unpack(answer, raw.parameters).equals(bytes), what);
  return answer;
}

async function fails(raw, code, what) {
  const answer = await raw.frame();
  assert.deepEqual([answer.opcode, answer.rsv, answer.code], [OP.CLOSE, 0, code], `${what}: ${answer.reason ?? ""}`);
  raw.write(closeFrame(code));
  assert.equal((await raw.rest()).length, 0, what);
}

deflateTest("13 what is offered is answered within what was offered", {}, async (broker) => {
  const cases = [
    // offer, and what its answer must hold; null = declined
    ["permessage-deflate", {}],
    ["permessage-deflate; client_max_window_bits", {}],
    ["permessage-deflate; server_no_context_takeover", { server_no_context_takeover: true }],
    ["permessage-deflate; client_no_context_takeover", { client_no_context_takeover: true }],
    ["permessage-deflate; server_max_window_bits=9", { server_max_window_bits: 9 }],
    ["permessage-deflate; server_max_window_bits=15", { server_max_window_bits: 15 }],
    ['permessage-deflate; server_max_window_bits="12"', { server_max_window_bits: 12 }],
    ["permessage-deflate; server_max_window_bits=9; server_no_context_takeover", { server_max_window_bits: 9, server_no_context_takeover: true }],
    ["permessage-deflate; server_max_window_bits=15; server_no_context_takeover", { server_max_window_bits: 15, server_no_context_takeover: true }],
    ["permessage-deflate; client_max_window_bits=10; client_no_context_takeover", { client_no_context_takeover: true }],
    ["permessage-deflate; unknown", null],
    ["permessage-deflate; server_max_window_bits", null],
    ["permessage-deflate; server_max_window_bits=7", null],
    ["permessage-deflate; server_max_window_bits=16", null],
    ["permessage-deflate; server_max_window_bits=010", null],
    ["permessage-deflate; client_max_window_bits=16", null],
    ["permessage-deflate; server_no_context_takeover=1", null],
    ["permessage-deflate; client_no_context_takeover; client_no_context_takeover", null],
    ["permessage-deflate; client_max_window_bits; client_max_window_bits=9", null],
    ["x-webkit-deflate-frame", null],
    ["permessage-deflate; unknown, permessage-deflate; client_no_context_takeover", { client_no_context_takeover: true }],
    ["permessage-deflate; server_max_window_bits=16, permessage-deflate; server_max_window_bits=9, permessage-deflate", { server_max_window_bits: 9 }],
    ["permessage-foo, permessage-deflate; client_no_context_takeover, permessage-deflate", { client_no_context_takeover: true }],
    ["permessage-deflate; server_max_window_bits=8", { server_max_window_bits: 8 }],
    ["permessage-deflate; client_max_window_bits=8", {}],
    ["permessage-deflate; client_max_window_bits=8; server_max_window_bits=8; server_no_context_takeover; client_no_context_takeover", { server_max_window_bits: 8 }],
    ["Permessage-Deflate; Server_Max_Window_Bits=9", null], // names are taken as they are written
    ["permessage-deflate; client_max_window_bits=7", null],
    ["permessage-deflate; client_max_window_bits=", 400],
    ["permessage-deflate; client_max_window_bits=+9", null],
    ["permessage-deflate; server_max_window_bits=9.0", null],
    ["permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", null],
    ["permessage-deflate;", 400],
    ["permessage-deflate; server_no_context_takeover; server_max_window_bits=9, permessage-deflate; server_no_context_takeover, permessage-deflate", { server_no_context_takeover: true, server_max_window_bits: 9 }], // 13.7
    ["permessage-deflate\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover", {}], // two lines are one list
    ["foo\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover", { client_no_context_takeover: true }],
  ];
  for (const [offer, expected] of cases) {
    if (typeof expected === "number") {
      const refused = await broker.raw();
      refused.write(upgradeRequest("/echo", { "Sec-WebSocket-Extensions": offer }));
      assert.equal((await refused.response()).status, expected, offer);
      continue;
    }
    const raw = await handshake(broker, offer);
    const got = raw.parameters;
    assert.equal(got === null, expected === null, `${offer}: ${JSON.stringify(got)}`);
    if (expected === null) {
      raw.write(frame({ payload: "x", rsv: RSV1 }));
      await fails(raw, 1002, `${offer}: RSV1 without the extension`);
      continue;
    }
    for (const [key, value] of Object.entries(expected)) {
      if (key.endsWith("bits")) assert.ok(Number(got[key]) <= value, `${offer}: ${JSON.stringify(got)}`);
      else assert.equal(got[key], value, `${offer}: ${JSON.stringify(got)}`);
    }
    if (!offer.includes("server_no_context_takeover")) assert.ok(!("server_no_context_takeover" in got), `${offer}: not asked for`);
    if (!offer.includes("client_max_window_bits")) assert.equal(got.client_max_window_bits, undefined, offer);
    const bytes = sentences(5000);
    raw.send({ payload: new Compressor(got).message(bytes), rsv: RSV1 });
    await expectEcho(raw, OP.TEXT, bytes, offer);
    raw.end();
  }
});

const sizes = [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072];
const offers = [
  "permessage-deflate",
  "permessage-deflate; client_no_context_takeover",
  "permessage-deflate; client_max_window_bits",
  "permessage-deflate; client_max_window_bits=9",
  "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10",
  "permessage-deflate; server_max_window_bits=15; server_no_context_takeover; client_no_context_takeover",
];
for (const offer of offers) {
  deflateTest(`12 messages of all sizes: ${offer}`, {}, async (broker) => {
    const raw = await handshake(broker, offer);
    const compressor = new Compressor(raw.parameters);
    const fragment = random();
    for (const size of sizes) {
      for (let i = 0; i < (SANITIZED ? 5 : 40); i++) {
        // Text, JSON-like; every third binary; every fifth noise, which does not become smaller.
        const opcode = i % 3 === 2 ? OP.BINARY : OP.TEXT;
        const noise = i % 5 === 4 && opcode === OP.BINARY;
        const bytes = noise ? randomBytes(size) : sentences(size, size + i);
        const packed = compressor.message(bytes);
        // Whole, and cut into fragments with a ping between (12.1.x: auto-fragmentation); RSV1 only on the first.
        const cut = i % 2 ? packed.length : 1 + fragment.below(packed.length);
        raw.send({ opcode, payload: packed.subarray(0, cut), rsv: RSV1, fin: cut === packed.length });
        if (cut < packed.length) {
          raw.send({ opcode: OP.PING, payload: "between" });
          assert.equal((await raw.frame()).opcode, OP.PONG);
          raw.send({ opcode: OP.CONTINUATION, payload: packed.subarray(cut) });
        }
        const answer = await expectEcho(raw, opcode, bytes, `${size} bytes, message ${i}`);
        if (size >= 1024) assert.equal(answer.rsv, noise ? 0 : RSV1, `${size} bytes, message ${i}: what gets smaller is compressed`);
      }
    }
    // Cut into as many fragments as it takes (12.x.11 to 18), and each of them again into packets.
    for (const [size, cut] of [[8192, 256], [16384, 256], [32768, 1024], [65536, 4096], [131072, 4096]]) {
      const bytes = sentences(size, cut);
      const packed = compressor.message(bytes);
      const parts = [];
      for (let at = 0; at < packed.length; at += cut) parts.push(frame({ opcode: at ? OP.CONTINUATION : OP.TEXT, payload: packed.subarray(at, at + cut), rsv: at ? 0 : RSV1, fin: at + cut >= packed.length }));
      const stream = Buffer.concat(parts);
      for (let at = 0; at < stream.length; at += 997) raw.write(stream.subarray(at, at + 997));
      await expectEcho(raw, OP.TEXT, bytes, `${size} bytes in fragments of ${cut}`);
    }
    // What is not compressed may come between, whole or not, and does not enter the window.
    raw.send({ payload: "not compressed" });
    await expectEcho(raw, OP.TEXT, Buffer.from("not compressed"), "without RSV1");
    for (const [i, part] of ["not ", "", "compressed"].entries()) raw.send({ opcode: i ? OP.CONTINUATION : OP.BINARY, payload: part, fin: i === 2 });
    await expectEcho(raw, OP.BINARY, Buffer.from("not compressed"), "fragments without RSV1");
    const last = sentences(2000, 1);
    raw.send({ payload: compressor.message(last), rsv: RSV1 });
    await expectEcho(raw, OP.TEXT, last, "compressed again");
  });
}

deflateTest("messages in every form that deflate allows", {}, async (broker) => {
  const hex = (digits) => Buffer.from(digits, "hex");
  const forms = [
    ["fixed Huffman (7.2.3.1)", hex("f248cdc9c90700"), "Hello"],
    ["stored (7.2.3.3)", hex("000500faff48656c6c6f00"), "Hello"],
    ["final block (7.2.3.4)", hex("f348cdc9c9070000"), "Hello"],
    ["two blocks (7.2.3.5)", hex("f248050000 00ffffcac9c90700".replaceAll(" ", "")), "Hello"],
    ["empty (7.2.3.6)", hex("00"), ""],
  ];
  for (const [what, payload, expected] of forms) {
    const raw = await handshake(broker, "permessage-deflate; client_no_context_takeover");
    raw.send({ payload, rsv: RSV1 });
    await expectEcho(raw, OP.TEXT, Buffer.from(expected), what);
    // The same, a byte in each frame.
    for (const [i, byte] of payload.entries()) raw.send({ opcode: i ? OP.CONTINUATION : OP.TEXT, payload: [byte], rsv: i ? 0 : RSV1, fin: i === payload.length - 1 });
    await expectEcho(raw, OP.TEXT, Buffer.from(expected), `${what}, a byte in each frame`);
    raw.end();
  }
  // Empty fragments around, and a ping between them.
  const empty = await handshake(broker, "permessage-deflate");
  for (const [i, part] of ["", "f248cdc9c907", "", "00", ""].entries()) {
    empty.send({ opcode: i ? OP.CONTINUATION : OP.TEXT, payload: hex(part), rsv: i ? 0 : RSV1, fin: i === 4 });
    empty.send({ opcode: OP.PING, payload: String(i) });
    if (i < 4) assert.deepEqual([(await empty.frame()).opcode, i], [OP.PONG, i]);
  }
  await expectEcho(empty, OP.TEXT, Buffer.from("Hello"), "empty fragments around");
  assert.equal((await empty.frame()).opcode, OP.PONG);
  // Several blocks that each say they are the last are one message still, and the next may refer to all of it.
  const final = (text) => deflateRawSync(Buffer.from(text)); // BFINAL
  for (const offer of ["permessage-deflate", "permessage-deflate; client_no_context_takeover"]) {
    const several = await handshake(broker, offer);
    for (const parts of [["Hello, "], ["Hello, ", "hello, "], ["Hello, ", "", "hello, ", "hello"]]) {
      several.send({ payload: Buffer.concat([...parts.map(final), Buffer.from([0])]), rsv: RSV1 });
      await expectEcho(several, OP.TEXT, Buffer.from(parts.join("")), `${offer}: ${parts.length} final blocks`);
    }
    if (several.parameters.client_no_context_takeover) continue;
    const packed = deflateRawSync(Buffer.from("hello, hello"), { dictionary: Buffer.from("Hello, hello, hello"), finishFlush: constants.Z_SYNC_FLUSH });
    several.send({ payload: packed.subarray(0, -4), rsv: RSV1 });
    await expectEcho(several, OP.TEXT, Buffer.from("hello, hello"), "the window reaches over final blocks");
  }
  // 7.2.3.2: the second message refers to the first.
  const raw = await handshake(broker, "permessage-deflate; client_max_window_bits");
  if (!raw.parameters.client_no_context_takeover) {
    for (const payload of [hex("f248cdc9c90700"), hex("f200110000")]) {
      raw.send({ payload, rsv: RSV1 });
      await expectEcho(raw, OP.TEXT, Buffer.from("Hello"), "shared window");
    }
  }
});

deflateTest("what breaks compression closes with the right code", {}, async (broker) => {
  const packed = (bytes) => new Compressor({ client_no_context_takeover: true }, 9).message(bytes);
  const hello = packed(Buffer.from("Hello, hello, hello"));
  const cases = [
    [1007, "no deflate stream", [frame({ payload: Buffer.from([0x06]), rsv: RSV1 })]],
    [1007, "cut short", [frame({ payload: hello.subarray(0, 5), rsv: RSV1 })]],
    [1007, "refers to before the start", [frame({ payload: Buffer.from("0200110000", "hex"), rsv: RSV1 })]],
    [1007, "text that is not UTF-8 when inflated", [frame({ payload: packed(Buffer.from([0x61, 0xff, 0x61])), rsv: RSV1 })]],
    [1007, "text that ends within a character", [frame({ payload: packed(Buffer.from([0x61, 0xc3])), rsv: RSV1 })]],
    [1009, "a bomb", [frame({ opcode: OP.BINARY, payload: packed(Buffer.alloc(64 * MAX)), rsv: RSV1 })]],
    [1009, "one byte too many", [frame({ opcode: OP.BINARY, payload: packed(Buffer.alloc(MAX + 1)), rsv: RSV1 })]],
    [1002, "RSV1 on a continuation", [frame({ payload: hello.subarray(0, 3), rsv: RSV1, fin: false }), frame({ opcode: OP.CONTINUATION, payload: hello.subarray(3), rsv: RSV1 })]],
    [1002, "RSV1 on a ping between fragments", [frame({ payload: hello.subarray(0, 3), rsv: RSV1, fin: false }), frame({ opcode: OP.PING, payload: "x", rsv: RSV1 })]],
    [1002, "RSV1 on the last fragment of what began without", [frame({ payload: "abc", fin: false }), frame({ opcode: OP.CONTINUATION, payload: hello, rsv: RSV1 })]],
    [1002, "RSV1 on a pong", [frame({ opcode: OP.PONG, payload: "x", rsv: RSV1 })]],
    [1007, "a block of an unknown kind", [frame({ payload: Buffer.from([0x07, 0x00]), rsv: RSV1 })]],
    [1007, "a stored block whose length does not match", [frame({ payload: Buffer.from("000500fbff48656c6c6f00", "hex"), rsv: RSV1 })]],
    [1007, "garbage behind a whole message", [frame({ payload: Buffer.concat([hello, Buffer.from([0xff, 0xff])]), rsv: RSV1 })]],
    [1002, "RSV1 on a ping", [frame({ opcode: OP.PING, payload: "x", rsv: RSV1 })]],
    [1002, "RSV1 on a close frame", [frame({ opcode: OP.CLOSE, payload: Buffer.from([3, 0xe8]), rsv: RSV1 })]],
    [1002, "RSV2", [frame({ payload: hello, rsv: 2 })]],
    [1002, "RSV1 and RSV3", [frame({ payload: hello, rsv: 5 })]],
  ];
  for (const [code, what, pieces] of cases) {
    const raw = await handshake(broker, "permessage-deflate");
    for (const piece of pieces) raw.write(piece);
    await fails(raw, code, what);
  }
  const raw = await handshake(broker, "permessage-deflate");
  raw.send({ opcode: OP.BINARY, payload: packed(Buffer.alloc(MAX)), rsv: RSV1 });
  await expectEcho(raw, OP.BINARY, Buffer.alloc(MAX), "exactly as many as allowed");
});

deflateTest("what is published is compressed for each window that subscribers agreed to", { workers: 1 }, async (broker) => {
  const offers = [null, "permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=8"];
  const subscribers = [];
  for (const offer of offers) {
    const raw = await broker.raw();
    raw.write(upgradeRequest("/ws", offer === null ? {} : { "Sec-WebSocket-Extensions": offer }));
    raw.parameters = parametersOf((await raw.response()).headers["sec-websocket-extensions"]);
    assert.equal(raw.parameters === null, offer === null, offer);
    const next = async () => {
      const got = await raw.frame();
      return { rsv: got.rsv, payload: got.payload, value: JSON.parse(unpack(got, raw.parameters ?? {})) };
    };
    assert.equal((await next()).value.type, "welcome");
    raw.json({ type: "subscribe", channel: "news", id: 1 });
    assert.equal((await next()).value.type, "subscribed");
    subscribers.push({ offer, next });
  }
  const publisher = await broker.connect();
  const seen = new Map();
  for (const size of [1000, 30000, 10, 1000]) {
    const data = sentences(size, size).toString();
    await publisher.publish("news", data);
    for (const { offer, next } of subscribers) {
      const { rsv, payload, value } = await next();
      assert.deepEqual(value, { type: "message", channel: "news", data }, offer);
      // The same text again, 30,000 bytes later, is the same payload again: no message refers to an earlier one.
      const before = seen.get(`${offer} ${size}`);
      assert.ok(before === undefined || before.equals(payload), `${offer}, ${size} bytes`);
      seen.set(`${offer} ${size}`, payload);
      if (size >= 1000) assert.equal(rsv, offer === null ? 0 : RSV1, `${offer}, ${size} bytes`);
    }
  }
});
