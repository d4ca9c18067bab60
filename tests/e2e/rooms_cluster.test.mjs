// {count:}, {members:}, {users:} and `when` across instances: the rooms of a cluster are one.
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { io } from "socket.io-client";
import { ROOMS_LATE } from "./lib/broker.mjs";
import { redisHealth, startRedisAndWire, testRedis } from "./lib/redis.mjs";
import { SLOWER, until, within } from "./lib/util.mjs";

const event = [
  { on: "join", join: ["{args.0}"], ack: ["{count:{args.0}}"] },
  { on: "who", ack: ["{count:{args.0}}", "{members:{args.0}}", "{users:{args.0}}"] },
  { on: "all", ack: ["{count:*}"] },
  { on: "first", join: ["{args.0}"], ack: [], emit: [{ when: "alone:{args.0}", event: "alone", args: [] }, { when: "company:{args.0}", event: "company", args: [] }] },
  { on: "disconnect", each: "team-{x}", emit: [{ to: "*", event: "left", args: ["{room}", "{count:{room}}", "{members:{room}}"] }] },
];
const config = {
  "socketio.path": "/socket.io/", "permissions.direct": "anyone", "presence.users": true,
  namespace: [{ name: "default", subscribe: "anyone", publish: "anyone", presence_who: "anyone" }], event,
};

async function come(broker) {
  const socket = io(`http://127.0.0.1:${broker.port}`, { forceNew: true, reconnection: false, transports: ["websocket"] });
  socket.got = [];
  socket.onAny((...all) => socket.got.push(all));
  await within(20000, new Promise((done, fail) => socket.once("connect", done).once("connect_error", fail)), "it connects");
  socket.asks = (...args) => within(20000, new Promise((done) => socket.emit(...args, (...answer) => done(answer))), args[0]);
  return socket;
}

/* It is answered this in the end: an instance that had no time for half a second is left out of an answer. */
async function answers(socket, wanted, ...args) {
  let last;
  await until(`${args} is answered`, async () => {
    last = (await socket.asks(...args)).map((value) => (Array.isArray(value) ? [...value].sort() : value));
    return isDeepStrictEqual(last, wanted);
  }).catch(() => assert.deepEqual(last, wanted, String(args)));
}

const known = (brokers) => until("the instances know each other", async () => (await Promise.all(brokers.map((broker) => broker.metrics()))).every((read) => read("ringcast_instances") === brokers.length - 1));

testRedis("counts and members of three instances", { brokers: 3, workers: 2, config, timeout: 60000, late: ROOMS_LATE }, async ({ brokers }) => {
  await known(brokers);
  const sockets = await Promise.all([0, 0, 1, 1, 2].map((i) => come(brokers[i])));
  for (const [i, socket] of sockets.slice(0, 4).entries()) await answers(socket, [i + 1], "join", "team-a");
  const native = await brokers[2].connect();
  await native.subscribe("team-a");
  const ids = sockets.slice(0, 4).map(({ id }) => id).sort();
  for (const socket of sockets) {
    await answers(socket, [5, ids, []], "who", "team-a"); // native clients count, and have no id
    assert.deepEqual(await socket.asks("who", "team-nobody"), [0, [], []]);
    await answers(socket, [5], "all");
  }
  sockets[0].close();
  await until("they are told", () => sockets.slice(1).every(({ got }) => got.length === 1));
  for (const socket of sockets.slice(1)) {
    const [name, room, count, members] = socket.got[0];
    assert.deepEqual([name, room, count, [...members].sort()], ["left", "team-a", 4, ids.filter((id) => sockets.slice(1).some((one) => one.id === id))]);
  }
  assert.deepEqual(await sockets[2].asks("first", "team-b"), []);
  assert.deepEqual(await sockets[4].asks("first", "team-b"), []);
  await until("both are told", () => sockets[2].got.length === 2 && sockets[4].got.length === 2);
  assert.deepEqual([sockets[2].got[1], sockets[4].got[1]], [["alone"], ["company"]]);
});

testRedis("a room of 1,500 on another instance is told whole", { brokers: 2, workers: 2, config, timeout: 120000, late: ROOMS_LATE }, async ({ brokers }) => {
  await known(brokers);
  const COUNT = 1500;
  const sockets = [];
  for (let i = 0; i < COUNT; i += 50) sockets.push(...await Promise.all(Array.from({ length: 50 }, () => come(brokers[1]))));
  await Promise.all(sockets.map((socket) => socket.asks("first", "big")));
  await answers(await come(brokers[0]), [COUNT, sockets.map(({ id }) => id).sort(), []], "who", "big");
  for (const socket of sockets) socket.close();
});

testRedis("users, each once", {
  brokers: 2, workers: 1, config: { ...config, "debug.user_query": "user" }, late: ROOMS_LATE,
}, async ({ brokers }) => {
  await known(brokers);
  for (const [i, user] of [[0, "ann"], [1, "ann"], [1, "bob"]]) await (await brokers[i].connect({ path: `/ws?user=${user}` })).subscribe("team-u");
  const socket = await come(brokers[0]);
  await answers(socket, [3, [], ["ann", "bob"]], "who", "team-u");
});

testRedis("an instance that hangs or a Redis that is away: what is known, after half a second at most, counted", {
  start: startRedisAndWire, brokers: 2, workers: 2, url: (redis) => redis.wire.url, config, timeout: 60000,
}, async ({ brokers: [one, other], redis }) => {
  await known([one, other]);
  const [here, there] = [await come(one), await come(other)];
  await answers(here, [1], "join", "team-a");
  await answers(there, [2], "join", "team-a");
  other.kill("SIGSTOP", "relay");
  try {
    const began = Date.now();
    assert.deepEqual((await here.asks("who", "team-a"))[0], 1);
    assert.ok(Date.now() - began < 500 + 2500 * SLOWER, `${Date.now() - began} ms`);
    assert.ok((await one.metrics())("ringcast_socketio_rooms_local_total") >= 1);
  } finally {
    other.kill("SIGCONT", "relay");
  }
  await until("it answers again", async () => (await here.asks("who", "team-a"))[0] === 2);
  redis.wire.cut();
  await redisHealth(one, 503);
  const before = (await one.metrics())("ringcast_socketio_rooms_local_total");
  assert.deepEqual((await here.asks("who", "team-a"))[0], 1);
  assert.ok((await one.metrics())("ringcast_socketio_rooms_local_total") > before);
  redis.wire.mend();
  await until("it is back", async () => (await here.asks("who", "team-a"))[0] === 2, { timeout: 20000 });
});
