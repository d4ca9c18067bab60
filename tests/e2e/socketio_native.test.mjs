// Native clients, raw ones, Socket.IO clients of both parsers and the HTTP API in one room: what each says, and what the others hear.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import parser from "socket.io-msgpack-parser";
import { WebSocket } from "ws";
import Ringcast from "../../worker/http/ringcast.js";
import { testBroker } from "./lib/broker.mjs";
import { until, within } from "./lib/util.mjs";

// More than one where sessions that poll reach their worker from another one.
const workers = Number(process.env.SIO_WORKERS ?? 0) || 1;
const KEY = "key-of-the-tests";
const config = {
  "http.api_keys": [KEY],
  "socketio.path": "/socket.io/",
  event: [
    { on: "join", join: ["{args.0}"], ack: ["joined"] },
    { on: "say", emit: [{ to: "room", event: "said", args: ["{args}"] }] },
    { on: "twice", emit: [{ to: "room", event: "said", args: ["{args.0}", "{args.0}"] }] },
  ],
  endpoint: [{ path: "/raw", protocol: "raw", join: ["room"] }],
};

const plain = (value) => {
  if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
  if (ArrayBuffer.isView(value)) return { bytes: [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
  return value;
};

/* A Socket.IO client in the room: { socket, next(): the next event as [name, ...args] }. */
async function inRoom(broker, options) {
  const socket = io(`http://${broker.host}`, { forceNew: true, reconnection: false, transports: ["websocket"], ...options });
  const heard = [];
  socket.onAny((...event) => heard.push(event));
  await within(5000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "it connects");
  await within(5000, new Promise((done) => socket.emit("join", "room", done)), "it is in the room");
  return { socket, next: async () => plain(await until("it hears an event", () => heard.shift(), { every: 2 })) };
}

async function everybody(broker, body) {
  const sockets = await Promise.all([inRoom(broker), inRoom(broker, { parser }), inRoom(broker, { parser, transports: ["polling"] })]);
  const [json, binary] = [await broker.connect(), await broker.connect({ protocols: ["ringcast.v1.binary"] })];
  const raw = await broker.connect({ path: "/raw", welcome: false });
  const raws = [];
  raw.received = (bytes) => raws.push(bytes.toString());
  for (const client of [json, binary]) await client.subscribe("room");
  try {
    await body({
      sockets,
      json,
      binary,
      /* The next message of the room, as each kind of client has it. */
      async hears(event, native, text) {
        for (const { next } of sockets) assert.deepEqual(await next(), event);
        for (const client of [json, binary]) {
          const { raw: unused, binary: form, ...message } = await client.next("message");
          assert.deepEqual(message, { type: "message", channel: "room", ...native });
        }
        assert.equal(await until("the raw one hears it", () => raws.shift(), { every: 2 }), text);
      },
    });
  } finally {
    for (const { socket } of sockets) socket.disconnect();
  }
}

testBroker("what Socket.IO clients say", { workers, config }, (broker) => everybody(broker, async ({ sockets, hears }) => {
  const placeholder = { _placeholder: true, num: 0 };
  for (const { socket } of sockets) {
    socket.emit("say", "text \u00e9", { a: [1, null] });
    await hears(["said", "text \u00e9", { a: [1, null] }], { event: "said", args: ["text \u00e9", { a: [1, null] }] }, '["text \u00e9",{"a":[1,null]}]');
    socket.emit("say", 1.5);
    await hears(["said", 1.5], { event: "said", args: [1.5] }, "1.5");
    socket.emit("say");
    await hears(["said"], { event: "said", args: [] }, "[]");
    socket.emit("say", "photo", { of: Buffer.from([1, 2, 255]) });
    await hears(["said", "photo", { of: { bytes: [1, 2, 255] } }], { event: "said", args: ["photo", { of: placeholder }], attachments: ["AQL/"] }, `["photo",{"of":${JSON.stringify(placeholder)}}]`);
  }
}));

testBroker("one attachment that a row gives twice", { workers: 1, config }, (broker) => everybody(broker, async ({ sockets }) => {
  const bytes = Buffer.alloc(100000, 7);
  sockets[0].socket.emit("twice", bytes);
  for (const { next } of sockets) {
    const [name, ...args] = await next();
    assert.equal(name, "said");
    assert.deepEqual(args.map((arg) => [arg.bytes.length, arg.bytes[99999]]), [[100000, 7], [100000, 7]]);
  }
}));

testBroker("what native clients and the API say", { workers, config }, (broker) => everybody(broker, async ({ json, hears }) => {
  const api = async (path, body) => {
    const answer = await broker.get(`/api/${path}`, { method: "POST", headers: { Authorization: `Bearer ${KEY}` }, body: JSON.stringify(body) });
    return [answer.status, JSON.parse(answer.body)];
  };
  const says = [
    (message) => json.request({ type: "publish", channel: "room", ...message }),
    async (message) => assert.equal((await api("publish", { channel: "room", ...message }))[0], 200),
  ];
  for (const say of says) {
    await say({ data: { n: 1 } });
    await hears(["message", { n: 1 }], { data: { n: 1 } }, '{"n":1}');
    await say({ event: "chat", data: "hi" });
    await hears(["chat", "hi"], { event: "chat", data: "hi" }, '"hi"');
    await say({ event: "chat", args: ["hi", 2] });
    await hears(["chat", "hi", 2], { event: "chat", args: ["hi", 2] }, '["hi",2]');
    await say({ args: [] });
    await hears(["message"], { args: [] }, "[]");
  }
  assert.equal((await api("publish", { messages: [{ channel: "room", event: "a", args: [1] }, { channel: "room", event: "b", data: 2 }] }))[0], 200);
  await hears(["a", 1], { event: "a", args: [1] }, "1");
  await hears(["b", 2], { event: "b", data: 2 }, "2");

  assert.equal((await api("direct", { client: json.id, event: "you", args: [{}, 1] }))[0], 200);
  assert.deepEqual(await json.next("direct"), { type: "direct", event: "you", args: [{}, 1] });
  for (const wrong of [{ event: "", data: 1 }, { event: "connect", data: 1 }, { event: "x".repeat(256), data: 1 }, { event: 1, data: 1 }, { args: 1 }, { args: [], data: 1 }, { event: "x" }]) {
    assert.equal((await api("publish", { channel: "room", ...wrong }))[0], 400, JSON.stringify(wrong));
    const answer = await json.request({ type: "publish", channel: "room", ...wrong });
    assert.deepEqual([answer.type, answer.code], ["error", 400], JSON.stringify(wrong));
  }
}));

testBroker("the reference client", { workers: 1, config }, async (broker) => {
  const client = new Ringcast(broker.url, { WebSocket });
  const binary = new Ringcast(broker.url, { WebSocket, protocols: ["ringcast.v1.binary"] });
  const { socket, next } = await inRoom(broker);
  const got = [];
  try {
    await client.subscribe("room", (data, { event, args }) => got.push(plain({ data, event, args })));
    await client.emit("room", "chat", "hi", { deep: [new Uint8Array([1, 2])] }, null);
    const args = ["hi", { deep: [{ bytes: [1, 2] }] }, null];
    assert.deepEqual(await next(), ["chat", ...args]);
    await client.publish("room", 7, { event: "seven" });
    assert.deepEqual(await next(), ["seven", 7]);
    socket.emit("say", Buffer.from([9]));
    assert.deepEqual(await next(), ["said", { bytes: [9] }]);
    await until("all have come", () => got.length === 3);
    assert.deepEqual(got, [
      { data: args, event: "chat", args },
      { data: 7, event: "seven", args: undefined },
      { data: { bytes: [9] }, event: "said", args: [{ bytes: [9] }] },
    ]);
  } finally {
    socket.disconnect();
    client.close();
    binary.close();
  }
});
