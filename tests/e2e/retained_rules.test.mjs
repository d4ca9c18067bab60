// Retained values of [[event]] rows, hook replies and bridges, with real Socket.IO clients: S3.2 (leaderboard:subscribe is answered by
// leaderboard:initial, then comes what is newer).
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { io } from "socket.io-client";
import { startBackend, table } from "./lib/backend.mjs";
import { startBroker, testBroker } from "./lib/broker.mjs";
import { subscribers, testRedis } from "./lib/redis.mjs";
import { until, within } from "./lib/util.mjs";

async function connect(broker, options = {}) {
  const socket = io(`http://${broker.host}${options.nsp ?? "/"}`, { transports: ["websocket"], forceNew: true, reconnection: false, ...options });
  socket.heard = [];
  socket.onAny((...event) => socket.heard.push(event));
  await within(5000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "it connects");
  return socket;
}

const ask = (socket, ...event) => within(5000, new Promise((done) => socket.emit(...event, (...answer) => done(answer))), `an answer to ${event[0]}`);

const leaderboard = [
  { on: "leaderboard:subscribe", join: ["leaderboard:global"], emit: [{ event: "leaderboard:initial", args: ["{retained:leaderboard:global}"] }] },
  { on: "leaderboard:unsubscribe", leave: ["leaderboard:global"], ack: ["bye"] },
];

testRedis("S3.2: who subscribes gets the leaderboard first, and then exactly what is newer", {
  brokers: 1, workers: 2, timeout: 90000,
  config: { "socketio.path": "/socket.io/", event: leaderboard, bridge: [{ redis: "lb", room: "leaderboard:global", event: "leaderboard:update", retain: true }] },
}, async ({ brokers: [broker], redis }) => {
  const early = await connect(broker);
  early.emit("leaderboard:subscribe");
  await until("it has the first answer", () => early.heard.length === 1);
  assert.deepEqual(early.heard, [["leaderboard:initial", null]]);
  let running = true;
  let n = 0;
  const pump = (async () => {
    while (running) await redis.publish("lb", { n: ++n });
  })();
  const all = [];
  for (let round = 0; round < 60; round++) {
    const socket = await connect(broker, round % 3 === 0 ? { transports: ["polling"] } : {});
    socket.emit("leaderboard:subscribe");
    all.push(socket);
    await until("a few updates", () => socket.heard.length >= 4);
  }
  running = false;
  await pump;
  const last = n;
  for (const socket of all) {
    await until("all of it has come", () => socket.heard.at(-1)[1].n === last);
    const [first, ...later] = socket.heard;
    assert.equal(first[0], "leaderboard:initial", JSON.stringify(socket.heard.slice(0, 4)));
    assert.ok(later.every(([name]) => name === "leaderboard:update"));
    assert.deepEqual(later.map(([, { n: number }]) => number), Array.from({ length: last - first[1].n }, (_, i) => first[1].n + 1 + i));
    socket.close();
  }
  early.close();
});

testBroker("rows keep what was said, and tell it by room", {
  workers: 2,
  config: {
    "socketio.path": "/socket.io/",
    namespace: [{ name: "open", retain: "anyone" }],
    event: [
      { on: "draw", join: ["board:{args.0}"], retain: "board:{args.0}", emit: [{ to: "board:{args.0}", others: true, event: "drawn" }], ack: ["kept"] },
      { on: "clear", retain: "board:clear", ack: ["cleared"] },
      { on: "enter", join: ["board:{args.0}"], ack: ["{retained:board:{args.0}}"] },
      { on: "look", ack: [{ board: "{retained:board:{args.0}}", other: "{retained:board:none}" }] },
      { on: "keep", retain: "{args.0}", ack: ["kept"] },
      { on: "peek", ack: ["{retained:{args.0}}"] },
    ],
  },
}, async (broker) => {
  const [one, two] = [await connect(broker), await connect(broker)];
  /* What one said the relay may hear after a question of two, who is on another worker: only one's own words come in order. */
  const sees = (wanted, ...asked) => until(`${asked} gives ${JSON.stringify(wanted)}`, async () => isDeepStrictEqual(await ask(two, ...asked), wanted));
  assert.deepEqual(await ask(two, "look", "7"), [{ board: null, other: null }]);
  assert.deepEqual(await ask(one, "draw", "7", { line: [1, 2.50] }), ["kept"]);
  await sees([{ board: ["7", { line: [1, 2.5] }], other: null }], "look", "7");
  assert.deepEqual(await ask(two, "enter", "7"), [["7", { line: [1, 2.5] }]]);
  assert.deepEqual(await ask(two, "enter", "7"), [["7", { line: [1, 2.5] }]], "who is in it already is told again");
  // A single argument is itself; what is binary is no JSON.
  assert.deepEqual(await ask(one, "clear", { single: true }), ["cleared"]);
  await sees([{ board: { single: true }, other: null }], "look", "clear");
  await ask(one, "draw", "7", Buffer.from([1, 2]));
  await sees([{ board: null, other: null }], "look", "7");
  // Where the client names the channel namespace its policy decides.
  assert.equal((await ask(one, "keep", "closed:1"))[0].error.code, 403);
  assert.deepEqual(await ask(one, "keep", "open:1"), ["kept"]);
  await sees(["open:1"], "peek", "open:1");
  assert.deepEqual(await ask(two, "peek", "board:7"), [{ error: { code: 403, message: "you may not see the value of this room" } }]);
  // A native client meets the same values.
  const native = await broker.connect();
  await native.expect("subscribed", { type: "subscribe", channel: "open:1", retained: true });
  assert.deepEqual(await native.next("message"), { type: "message", channel: "open:1", retained: true, event: "keep", args: ["open:1"] });
  one.close();
  two.close();
});

testBroker("what a backend keeps, with keys", {
  workers: 1,
  config: async () => {
    backend = await startBackend();
    backend.answer = (call) => ({ retain: call.args[0], ack: ["done"] });
    return { "socketio.path": "/socket.io/", backend: [table(backend)], event: [{ on: "set", ask: "app" }, { on: "get", ack: ["{retained:prices:all}"] }] };
  },
}, async (broker) => {
  try {
    const socket = await connect(broker);
    await ask(socket, "set", [{ room: "prices:all", key: "BTC", data: 1 }, { room: "prices:all", key: "ETH", data: { p: 2 } }]);
    assert.deepEqual(await ask(socket, "get"), [{ BTC: 1, ETH: { p: 2 } }]);
    await ask(socket, "set", { room: "prices:all", key: "BTC", data: null });
    assert.deepEqual(await ask(socket, "get"), [{ ETH: { p: 2 } }]);
    await ask(socket, "set", { room: "prices:all", data: "whole" });
    assert.deepEqual(await ask(socket, "get"), ["whole"]);
    socket.close();
  } finally {
    await backend.stop();
  }
});
let backend;

testRedis("what a bridge keeps is there for an instance that comes later", {
  brokers: 2, timeout: 60000, config: { bridge: [{ redis: "lb", room: "board:{json.id}", retain: true }] },
}, async ({ brokers, redis }) => {
  await until("both hear it", async () => (await subscribers(redis, "lb")) === 2);
  for (let n = 1; n <= 100; n++) await redis.publish("lb", { id: n % 3, n });
  const late = await startBroker({ config: { "redis.url": redis.url, "server.instance_id": "late" } });
  try {
    for (const broker of [...brokers, late]) {
      for (const [id, n] of [[0, 99], [1, 100], [2, 98]]) {
        await until(`board:${id} is ${n}`, async () => {
          const client = await broker.connect();
          await client.expect("subscribed", { type: "subscribe", channel: `board:${id}`, retained: true });
          await client.ping();
          client.terminate();
          return client.inbox.length === 1 && client.inbox[0].data.n === n;
        });
      }
    }
  } finally {
    await late.stop();
    await late.destroy();
  }
});
