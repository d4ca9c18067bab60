// Losses of which nobody can say which channels they were: what of a shared history is in no stream is told to its subscribers as to all others, and what
// is in the stream is read from there, though nothing tells of it.
import assert from "node:assert/strict";
import { redisHealth, startRedisAndWire, testRedis, until } from "./lib/redis.mjs";

const TEXT = "x".repeat(1000);
const dropped = async (broker) => (await broker.metrics())("ringcast_redis_outbox_dropped_total");
const waiting = async (broker) => (await broker.metrics())("ringcast_redis_outbox_messages");
const heard = async (broker) => (await broker.metrics())("ringcast_redis_losses_heard_total");
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
const stream = (channel) => `ws:history:{ws:channel:${channel}}`;
const offsets = (channel) => `ws:offsets:{ws:channel:${channel}}`;

/* Broker 0 loses Redis when the wire is cut, the other one does not. */
const wired = (config) => ({
  brokers: 2,
  start: startRedisAndWire,
  url: (redis) => [redis.wire.url, redis.url],
  config: { namespace: [{ name: "log", history: 100, history_who: "anyone" }, { name: "old", history: 100 }], ...config },
  timeout: 90000,
});

async function listen(broker, ...channels) {
  const client = await broker.connect();
  const seen = [];
  client.ondelivery = (message) => seen.push(message);
  for (const channel of channels) await client.subscribe(channel);
  const gaps = (channel) => seen.filter((message) => message.type === "gap" && (message.channel === channel || message.channel === undefined));
  const places = (channel) => seen.filter((message) => message.type === "message" && message.channel === channel).map(({ offset, data }) => [offset, data]);
  return { client, gaps, places };
}

async function cut(redis, broker) {
  redis.wire.cut();
  await redisHealth(broker, 503);
}

async function mend(redis, broker) {
  redis.wire.mend();
  await redisHealth(broker, 200);
  await until("the outbox is empty", async () => (await waiting(broker)) === 0, { timeout: 20000 });
}

testRedis("more channels than are remembered lose what this host delivered alone: subscribers elsewhere are told", wired({ "limits.max_channels": 5000, "redis.outbox": "64KiB" }), async ({ brokers: [a, b], redis }) => {
  const there = await listen(b, "log:1", "log:4999", "room");
  const publisher = await a.connect();
  await cut(redis, a);
  for (let from = 0; from < 5000; from += 100) {
    publisher.send(numbers(from, from + 100).map((i) => ({ type: "publish", channel: `log:${i}`, data: TEXT })));
    await publisher.ping();
  }
  await until("they are dropped", async () => (await dropped(a)) > 4500);
  await mend(redis, a);
  await until("it is heard of", async () => (await heard(b)) >= 1);
  await until("they are told", () => there.gaps("log:1").length > 0);
  await there.client.ping();
  assert.ok(there.gaps("room").length > 0, "who is to be told of all is");
});

testRedis("a relay dies with what it had delivered alone: subscribers elsewhere are told", wired({ "redis.history_wait": "50ms" }), async ({ brokers: [a, b], redis }) => {
  const here = await listen(a, "log:1");
  const there = await listen(b, "log:1");
  const publisher = await a.connect();
  await publisher.publish("log:1", "before");
  await until("it came", () => here.places("log:1").length === 1 && there.places("log:1").length === 1);
  await cut(redis, a);
  await publisher.publish("log:1", "alone");
  await until("it is delivered here", () => here.places("log:1").length === 2);
  assert.equal((await a.metrics())("ringcast_history_alone_waiting"), 1);
  await a.killRelay();
  await mend(redis, a);
  await until("it is heard of", async () => (await heard(b)) >= 1);
  await until("they are told", () => there.gaps("log:1").length > 0);
  assert.equal((await a.metrics())("ringcast_history_alone_waiting"), 0);
});

testRedis("a relay dies with what nobody had got yet: of a shared history nobody is told of anything", wired({ "redis.history_wait": "60s" }), async ({ brokers: [a, b], redis }) => {
  const here = await listen(a, "log:1");
  const there = await listen(b, "log:1", "room");
  const publisher = await a.connect();
  await publisher.publish("log:1", "before");
  await until("it came", () => here.places("log:1").length === 1 && there.places("log:1").length === 1);
  await cut(redis, a);
  publisher.send({ type: "publish", channel: "log:1", data: "nobody's" });
  publisher.send({ type: "publish", channel: "room", data: "given up" });
  await until("it waits", async () => (await a.metrics())("ringcast_history_shared_waiting") === 1);
  await a.killRelay();
  await mend(redis, a);
  await until("it is heard of", async () => (await heard(b)) >= 1);
  await until("the other channel is told", () => there.gaps("room").length > 0);
  assert.equal((await publisher.publish("log:1", "after")).offset, 2);
  await until("it goes on", () => [here, there].every(({ places }) => places("log:1").length === 2));
  for (const { places } of [here, there]) assert.deepEqual(places("log:1"), [[1, "before"], [2, "after"]]);
  assert.deepEqual(there.gaps("log:1"), []);
});

// What a master that is none any more had taken, and may have told nobody: an instance that sees it says so to all.
testRedis("losses that streams tell of: what is there and was not heard of comes, without a gap; what was cut is told; the rest hears nothing", { brokers: 2, config: { namespace: [{ name: "log", history: 100, history_who: "anyone" }] }, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const clients = [await listen(a, "log:more", "log:same", "log:cut"), await listen(b, "log:more", "log:same", "log:cut")];
  const publisher = await a.connect();
  for (const channel of ["log:more", "log:same", "log:cut"]) await publisher.publish(channel, 1);
  await until("it came", () => clients.every(({ places }) => ["log:more", "log:same", "log:cut"].every((channel) => places(channel).length === 1)));
  const add = async (channel, offset) => {
    const [, [, first]] = (await redis.command("XRANGE", stream(channel), "-", "+"))[0];
    assert.equal(typeof first, "string");
    const entry = (await redis.command("XRANGE", stream(channel), "1-0", "1-0"))[0][1];
    const fields = [...entry];
    fields[1] = `somebody:1:${offset}`;
    fields[5] = fields[5].replace('"payload":1', `"payload":${offset}`).replace(/"from":"[^"]*"/, '"from":"somebody"').replace(/"seq":\d+/, `"seq":${offset}`);
    await redis.command("XADD", stream(channel), `${offset}-0`, ...fields);
    await redis.command("HSET", offsets(channel), "offset", String(offset));
  };
  await add("log:more", 2);
  await add("log:cut", 3); // 2 is nowhere
  await redis.publish("ws:instances:gap", { from: "x", boot: 1, seq: 1, all: true });
  for (const { places, gaps } of clients) {
    await until("what was not heard of", () => places("log:more").length === 2);
    assert.deepEqual(places("log:more").map(([offset]) => offset), [1, 2]);
    await until("the rest of what was cut", () => places("log:cut").length === 2);
    assert.deepEqual(places("log:cut").map(([offset]) => offset), [1, 3]);
    assert.deepEqual([gaps("log:more").length, gaps("log:cut").length, gaps("log:same").length], [0, 1, 0]);
  }
});
