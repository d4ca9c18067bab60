// What an instance has to give up while it cannot reach Redis is told to the clients of the other instances: a gap for each channel that
// lost something, before what comes behind the hole, and none for others.
import assert from "node:assert/strict";
import { confirmed, redisHealth, startCluster, startRedisAndWire, testRedis, until } from "./lib/redis.mjs";

const TEXT = "x".repeat(1000);
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
const dropped = async (broker) => (await broker.metrics())("ringcast_redis_outbox_dropped_total");
const waiting = async (broker) => (await broker.metrics())("ringcast_redis_outbox_messages");
const heard = async (broker) => (await broker.metrics())("ringcast_redis_losses_heard_total");

/* Broker 0 loses Redis when the wire is cut, the others do not. */
const wired = (brokers, config) => ({
  brokers,
  start: startRedisAndWire,
  url: (redis) => [redis.wire.url, redis.url, redis.url],
  config: { "redis.outbox": "64KiB", ...config },
  timeout: 60000,
});

/* More than fits into the outbox, in much less than the second after which a silent Redis is given up: few and large, for a machine that is busy. */
const LARGE = "x".repeat(8000);
const publishMany = (publisher, channel) => Promise.all(Array.from({ length: 24 }, (_, i) => publisher.publish(channel, [i, LARGE])));

async function cut(redis, broker) {
  redis.wire.cut();
  await redisHealth(broker, 503);
}

async function mend(redis, broker) {
  redis.wire.mend();
  await redisHealth(broker, 200);
  await until("the outbox is empty", async () => (await waiting(broker)) === 0);
}

/* A client that is in these channels, and in the one where the end is said. */
async function listen(broker, channels) {
  const client = await broker.connect();
  for (const channel of [...channels, "done"]) await confirmed(client, channel);
  return client;
}

/* Everything that came up to the "end" on channel "done", which is published behind all else. */
async function upToEnd(client) {
  const list = [];
  for (;;) {
    const message = await client.next(undefined, 10000);
    if (message.channel === "done" && message.type === "message") break;
    list.push(message);
  }
  await client.ping();
  assert.deepEqual(client.inbox, [], "nothing behind the end");
  return list;
}
// Gaps of different channels have no order among each other.
const sorted = (list) => [...list].sort((x, y) => (x.channel < y.channel ? -1 : 1));
const gaps = (list) => sorted(list.filter(({ type }) => type === "gap"));
const gapsOf = (...channels) => channels.map((channel) => ({ type: "gap", channel }));

testRedis("what did not fit the outbox is a gap of its channels for clients elsewhere, once, before the rest", wired(3), async ({ brokers: [a, b, c], redis }) => {
  const rooms = [1, 2, 3, 4].map((i) => `room:${i}`);
  const publisher = await a.connect();
  const [here, all, quiet, outside] = [await listen(a, rooms), await listen(b, rooms), await listen(b, ["room:4"]), await listen(c, ["room:2"])];
  await cut(redis, a);
  for (const channel of ["room:1", "room:2"]) for (let i = 0; i < 10; i++) await publisher.publish(channel, [i, TEXT]);
  for (let i = 0; i < 100; i++) await publisher.publish("room:3", [i, TEXT]);
  await publisher.publish("room:4", "kept");
  const kept = (await waiting(a)) - 1;
  assert.ok(kept > 20 && kept < 70, `${kept} of room:3 wait`);
  assert.equal(await dropped(a), 120 - kept);
  await mend(redis, a);
  await publisher.publish("done", "end");
  const got = await upToEnd(all);
  assert.deepEqual(gaps(got.slice(0, 3)), gapsOf("room:1", "room:2", "room:3"), "before what was kept");
  assert.deepEqual(got.slice(3).map(({ channel, data }) => (channel === "room:3" ? data[0] : data)), [...numbers(100 - kept, 100), "kept"], "and once");
  assert.deepEqual(await upToEnd(quiet), [{ type: "message", channel: "room:4", data: "kept" }], "its channel lost nothing");
  assert.deepEqual(await upToEnd(outside), gapsOf("room:2"));
  for (const broker of [b, c]) await until("three are heard of", async () => (await heard(broker)) === 3);
  const metrics = await a.metrics();
  assert.equal(metrics("ringcast_redis_losses_told_total"), 3);
  assert.equal(metrics("ringcast_redis_losses_heard_total"), 0, "its own");
  // This host lost nothing; what its clients are told is that it did not hear the others for a while.
  const local = await upToEnd(here);
  assert.deepEqual(gaps(local), [{ type: "gap" }]);
  assert.equal(local.length, 122);
});

testRedis("what waited too long is a gap too; broadcasts are everybody's, directs and opted-out namespaces nobody's", wired(2, {
  "redis.outbox_max_age": "1s",
  namespace: [{ name: "prices", outbox: false }],
}), async ({ brokers: [a, b], redis }) => {
  const publisher = await a.connect();
  const [there, other] = [await listen(b, ["room:1", "prices:1"]), await listen(b, [])];
  await cut(redis, a);
  await publisher.publish("room:1", 1);
  await publisher.publish("prices:1", 1);
  await publisher.broadcast("to all");
  await publisher.direct(there.id, "to one");
  await until("they are too old", async () => (await waiting(a)) === 0);
  assert.equal(await dropped(a), 4);
  await mend(redis, a);
  await publisher.publish("done", "end");
  assert.deepEqual(sorted(await upToEnd(there)), gapsOf("*", "room:1"));
  assert.deepEqual(await upToEnd(other), gapsOf("*"));
});

/* Redis stops, more is published than the outbox has room for, and it goes on: gives how long ago that began, in seconds. */
async function overflow(server, broker, channel) {
  const publisher = await broker.connect();
  const since = performance.now();
  server.signal("SIGSTOP");
  await publishMany(publisher, channel);
  assert.ok((await dropped(broker)) > 10);
  server.signal("SIGCONT");
  await until("all is sent", async () => (await waiting(broker)) === 0);
  return () => (performance.now() - since) / 1000;
}
/* What was lost is told once a second at the most, as long as whoever listens waited; and of a Redis that says nothing for five, whose connections are
 * given up, everybody is told. */
function toldOnce(list, channel, seconds) {
  const own = list.filter((gap) => gap.channel === channel);
  assert.ok(own.length >= 1 && own.length <= 1 + Math.floor(seconds), `${JSON.stringify(list)} in ${seconds} s`);
  withoutAway(list.filter((gap) => gap.channel !== channel), seconds);
}
const withoutAway = (list, seconds, expected = []) => assert.deepEqual(seconds < 4.9 ? list : list.filter(({ type, channel }) => type !== "gap" || channel !== undefined), expected);

testRedis("a Redis that stops for a moment: what overflows meanwhile is told when it goes on", { ...wired(2), url: undefined }, async ({ brokers: [a, b], redis }) => {
  const publisher = await a.connect();
  const [there, quiet] = [await listen(b, ["room:1", "room:2"]), await listen(b, ["room:2"])];
  const since = await overflow(redis, a, "room:1");
  await publisher.publish("room:2", "kept");
  await publisher.publish("done", "end");
  toldOnce(gaps(await upToEnd(there)), "room:1", since());
  withoutAway(await upToEnd(quiet), since(), [{ type: "message", channel: "room:2", data: "kept" }]);
});

testRedis("a shard that stops for a moment: its channels' losses are told, others' clients hear nothing", {
  brokers: 2,
  start: startCluster,
  config: { "redis.outbox": "64KiB", "redis.sharded": true },
  timeout: 90000,
}, async ({ brokers: [a, b], redis }) => {
  const homes = [a, b].map((broker) => Number(broker.log.filter((line) => line.includes("redis_cluster_home")).at(-1).match(/:(\d+)"/)[1]));
  const ownerOf = async (room) => redis.ownerOf(await redis.nodes[0].command("CLUSTER", "KEYSLOT", `ws:channel:${room}`));
  const rooms = new Map(); // port of a master -> a channel of its shard
  for (let i = 0; rooms.size < 3; i++) rooms.set((await ownerOf(`room:${i}`)).port, `room:${i}`);
  const [port, lost] = [...rooms].find(([port]) => !homes.includes(port));
  const [, kept] = [...rooms].find(([other]) => other !== port);
  const publisher = await a.connect();
  const [there, quiet] = [await b.connect(), await b.connect()];
  for (const [client, room] of [[there, lost], [quiet, kept]]) await confirmed(client, room);
  const shard = redis.nodes.find((node) => node.port === port);
  const since = await overflow(shard, a, lost);
  assert.deepEqual(await there.next("gap", 10000), { type: "gap", channel: lost });
  await publisher.publish(kept, "end");
  // However long it took: of a shard that was away, its own channels are told one by one, and it is nobody's home. So no gap of all may be left out here.
  assert.equal((await quiet.next()).data, "end", "and nothing before it");
  await publisher.publish(lost, "end");
  await there.next(({ data }) => data === "end", 10000);
  const seconds = since();
  assert.ok(gaps(there.inbox).length <= Math.floor(seconds), `once a second: ${JSON.stringify(gaps(there.inbox))} behind the first in ${seconds} s`);
});

testRedis("more channels than are remembered: one gap for all", wired(2, { "limits.max_channels": 5000 }), async ({ brokers: [a, b], redis }) => {
  const publisher = await a.connect();
  const there = await listen(b, ["room:1"]);
  await cut(redis, a);
  for (let from = 0; from < 5000; from += 100) {
    publisher.send(numbers(from, from + 100).map((i) => ({ type: "publish", channel: `lost:${i}`, data: TEXT })));
    await publisher.ping();
  }
  await until("they are dropped", async () => (await dropped(a)) > 4500);
  await mend(redis, a);
  await publisher.publish("done", "end");
  assert.deepEqual(await upToEnd(there), [{ type: "gap" }]);
  await until("one is heard of", async () => (await heard(b)) === 1);
});

testRedis("a relay that dies with messages in its outbox: everybody elsewhere is told", wired(2), async ({ brokers: [a, b], redis }) => {
  const publisher = await a.connect();
  const there = await listen(b, ["room:1"]);
  await cut(redis, a);
  for (let i = 0; i < 3; i++) await publisher.publish("room:1", i);
  assert.ok((await waiting(a)) >= 3); // and what the relay itself had to say, if it was late
  a.kill("SIGKILL", "relay");
  await until("what its predecessor had is counted", async () => (await dropped(a)) >= 3);
  assert.equal(await waiting(a), 0);
  await mend(redis, a);
  await publisher.publish("done", "end");
  assert.deepEqual(await upToEnd(there), [{ type: "gap" }]);
});

testRedis("announcements that make no sense are counted, those seen before and one's own are skipped", { brokers: 2 }, async ({ brokers: [a, b], redis }) => {
  const client = await listen(a, ["room:1", "room:2"]);
  const malformed = async () => (await a.metrics())("ringcast_redis_malformed_total");
  const bad = ["", "{}", '{"all":true}', '{"from":"x y","boot":1,"seq":1,"all":true}', '{"from":"x","boot":1,"seq":1,"channels":[]}',
    '{"from":"x","boot":1,"seq":1,"channels":["room:1",7]}', '{"from":"x","boot":1,"seq":0,"all":true}', Buffer.from([0xff, 0xfe])];
  for (const message of bad) await redis.publish("ws:instances:gap", message);
  await until("counted", async () => (await malformed()) === bad.length);
  const say = (more) => redis.publish("ws:instances:gap", { from: "x", boot: 1, seq: 1, ...more });
  await say({ channels: ["room:1", "nobody:1"] });
  await say({ channels: ["room:1"] });
  await say({ seq: 2, channels: ["room:2"] });
  await say({ from: "node-0", seq: 3, all: true });
  await say({ boot: 2, channels: ["user:7"] });
  await redis.publish("ws:channel:done", { payload: "end" });
  assert.deepEqual(sorted(await upToEnd(client)), gapsOf("room:1", "room:2"));
  assert.equal(await malformed(), bad.length);
  assert.equal(await heard(a), 4);
  await until("of node-0 as well", async () => (await heard(b)) === 5); // another relay, which comes to it in its time
});
