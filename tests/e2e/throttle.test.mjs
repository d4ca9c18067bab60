// min_interval, keys and priority: what is held back, what takes whose place, and what goes first (S3.7, S4.10).
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import Ringcast from "../../worker/http/ringcast.js";
import { encode } from "./lib/binary.mjs";
import { run, testBroker } from "./lib/broker.mjs";
import { confirmed, startRedis, testRedis } from "./lib/redis.mjs";
import { SLOWER, until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const held = { namespace: [{ name: "tick", min_interval: "1h" }], "http.api_keys": [KEY] };

/* What is held is let go: a reload takes min_interval away. */
async function letGo(broker) {
  broker.writeConfig({ ...broker.config, namespace: [{ name: "tick", min_interval: "0s" }] });
  const result = await run(["reload", "-c", broker.configPath]);
  assert.equal(result.code, 0, result.stderr);
}

const batch = (client, channel, values) =>
  client.send(values.map(([key, data]) => ({ type: "publish", channel, data, ...(key ? { key } : {}) })));

async function numbers(client, count) {
  const got = [];
  while (got.length < count) got.push((await client.next("message", 10000)).data);
  return got;
}

testBroker("the first goes at once, the last when the time is up, on every worker", {
  config: { namespace: [{ name: "tick", min_interval: "1500ms" }] },
}, async (broker) => {
  const [a, b] = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
  for (const client of [a, b]) await client.subscribe("tick:1");
  const began = Date.now();
  batch(a, "tick:1", Array.from({ length: 20 }, (_, i) => [null, i + 1]));
  for (const client of [a, b]) assert.deepEqual(await numbers(client, 2), [1, 20]);
  assert.ok(Date.now() - began >= 1490, `${Date.now() - began} ms`);
  await a.publish("tick:1", 21);
  assert.equal((await broker.metrics())("ringcast_throttled_total"), 2 * 18);
  for (const client of [a, b]) assert.deepEqual(await numbers(client, 1), [21]);
  await until("nothing is held", async () => (await broker.metrics())("ringcast_held_bytes") === 0);
  for (const client of [a, b]) assert.equal(client.inbox.length, 0);
});

testBroker("every publish is answered, keys wait for themselves alone, in JSON, binary and through the API", {
  workers: 1, config: held,
}, async (broker) => {
  const [a, b] = [await broker.connect(), await broker.connect()];
  await a.subscribe("tick:1");
  await a.subscribe("free");
  await b.publish("tick:1", 1, { key: "BTC" });
  await b.expect("published", { type: "publish", channel: "tick:1", data: 2, key: "ETH" }, { encode });
  await b.publish("tick:1", 3, { key: "BTC" });
  await b.expect("published", { type: "publish", channel: "tick:1", data: 4, key: "BTC" }, { encode });
  const call = (body) => broker.get("/api/publish", { method: "POST", headers: { Authorization: `Bearer ${KEY}` }, body: JSON.stringify(body) });
  assert.equal((await call({ channel: "tick:1", data: 5, key: "ETH" })).status, 200);
  assert.equal((await call({ messages: [{ channel: "tick:1", data: 6, key: "new" }, { channel: "tick:1", data: 7, key: "new" }] })).status, 200);
  const wrong = await call({ channel: "tick:1", data: 5, key: "x".repeat(65) });
  assert.equal(wrong.status, 400);
  assert.match(wrong.body, /key is longer than 64 bytes/);
  await b.refused(400, { type: "publish", channel: "tick:1", data: 1, key: 5 });
  assert.equal((await broker.get("/api/broadcast", { method: "POST", headers: { Authorization: `Bearer ${KEY}` }, body: '{"data":0,"key":5}' })).status, 200, "of a publish only");
  assert.deepEqual(await a.next((message) => message.channel === "*"), { type: "message", channel: "*", data: 0 });
  const client = new Ringcast(broker.url, { WebSocket });
  await client.publish("tick:1", 8, { key: "js" });
  await client.publish("tick:1", new Uint8Array([9]), { key: "js" });
  client.close();
  // An unthrottled channel is not delayed, whatever keys its messages have.
  await b.publish("free", 10, { key: "BTC" });
  await b.publish("free", 11, { key: "BTC" });
  assert.deepEqual(await numbers(a, 6), [1, 2, 6, 8, 10, 11]);
  await a.ping();
  assert.equal(a.inbox.length, 0);
  await letGo(broker);
  const rest = await numbers(a, 4);
  assert.deepEqual(rest.map((data) => (Buffer.isBuffer(data) ? data[0] : data)).sort(), [4, 5, 7, 9]);
  assert.equal((await broker.metrics())("ringcast_throttled_total"), 1);
});

testBroker("what was held goes before the good-bye", { workers: 1, config: held }, async (broker) => {
  const [a, b] = [await broker.connect(), await broker.connect()];
  await a.subscribe("tick:1");
  await b.publish("tick:1", 1);
  await b.publish("tick:1", 2);
  await b.publish("tick:1", 3, { echo: false, exclude: [b.id] });
  assert.deepEqual(await numbers(a, 1), [1]);
  process.kill(broker.pid, "SIGTERM");
  assert.deepEqual(await numbers(a, 1), [3]);
  assert.equal((await a.closed).code, 1012);
});

testBroker("subscribed keeps its promise; leaving drops what is held", { workers: 1, config: held }, async (broker) => {
  const [a, b, c] = [await broker.connect(), await broker.connect(), await broker.connect()];
  await a.subscribe("tick:1");
  await c.publish("tick:1", 1);
  await b.subscribe("tick:1");
  await c.publish("tick:1", 2);
  await a.unsubscribe("tick:1");
  assert.deepEqual(await numbers(a, 1), [1]);
  await letGo(broker);
  assert.deepEqual(await numbers(b, 1), [2]);
  await a.ping();
  assert.equal(a.inbox.length, 0);
});

testRedis("a key crosses instances, and comes from backends", { brokers: 2, workers: 1, config: held, start: startRedis }, async ({ brokers: [one, two], redis }) => {
  const [a, b] = [await one.connect(), await two.connect()];
  for (const client of [b, a]) await confirmed(client, "tick:1");
  const publish = (payload, key) => redis.publish("ws:channel:tick:1", { payload, key });
  await publish(1, "a");
  await publish(2, "b");
  await publish(3, "a");
  await publish(4, "a");
  await publish("dropped", 7);
  await a.publish("tick:1", 5, { key: "b" });
  await a.expect("published", { type: "publish", channel: "tick:1", data: Buffer.from([6]), key: "c" }, { encode });
  assert.deepEqual(await numbers(b, 3), [1, 2, Buffer.from([6])]);
  await until("the malformed one is counted", async () => (await two.metrics())("ringcast_redis_malformed_total") === 1);
  await letGo(two);
  assert.deepEqual((await numbers(b, 2)).sort(), [4, 5]);
  assert.equal((await two.metrics())("ringcast_throttled_total"), 1);
});

testBroker("latest: a reader that stopped gets the newest of each key, and all the rest is counted", {
  workers: 1,
  timeout: 120000,
  config: { namespace: [{ name: "feed", slow_consumer: "latest" }], "limits.channel_log": "512KiB", "limits.close_timeout": "10m" },
}, async (broker) => {
  const [slow, fast, publisher] = [await broker.connect(), await broker.connect(), await broker.connect()];
  const got = [];
  let fastCount = 0;
  slow.ondelivery = ({ data }) => got.push(data);
  fast.ondelivery = () => fastCount++;
  for (const client of [slow, fast]) await client.subscribe("feed:1");
  slow.socket.pause();
  const fill = "x".repeat(8000);
  const count = 1500 / SLOWER + 600;
  const last = {};
  for (let n = 0; n < count; n++) {
    // "rare" changed once, before everything else; the others take turns.
    const key = n === 0 ? "rare" : `k${n % 10}`;
    last[key] = n;
    publisher.send({ type: "publish", channel: "feed:1", key, data: { n, key, fill } });
    if (n % 20 === 19) await until("the fast reader goes on", () => fastCount > n - 20, { every: 0 });
  }
  await until("the fast reader has all", () => fastCount === count);
  slow.socket.resume();
  await until("the newest of each key is there", () => Object.values(last).every((n) => got.some((data) => data.n === n)));
  await slow.ping();
  const conflated = (await broker.metrics())("ringcast_slow_conflated_total");
  assert.ok(conflated > 0, "it fell behind");
  assert.equal(got.length + conflated, count);
  for (const [i, { n }] of got.entries()) assert.ok(i === 0 || n > got[i - 1].n, "in order");
});

testBroker("critical channels overtake bulk ones and lose nothing", {
  workers: 1,
  timeout: 60000,
  config: { namespace: [{ name: "alarm", priority: "critical" }] },
}, async (broker) => {
  const clients = [];
  for (let i = 0; i < 300; i++) clients.push(await broker.connect());
  const publisher = await broker.connect();
  for (const client of clients) {
    await client.subscribe("bulk:1");
    await client.subscribe("alarm:1");
  }
  const rounds = 6;
  for (let round = 0; round < rounds; round++) {
    publisher.send([
      ...Array.from({ length: 60 }, (_, i) => ({ type: "publish", channel: "bulk:1", data: round * 60 + i })),
      { type: "publish", channel: "alarm:1", data: round },
    ]);
  }
  let overtaken = 0;
  for (const client of clients) {
    const bulk = [];
    const alarms = [];
    while (bulk.length < rounds * 60 || alarms.length < rounds) {
      const { channel, data } = await client.next("message", 20000);
      (channel === "bulk:1" ? bulk : alarms).push(data);
      if (channel === "alarm:1" && bulk.length < (data + 1) * 60) overtaken++;
    }
    assert.deepEqual(bulk, Array.from({ length: rounds * 60 }, (_, i) => i));
    assert.deepEqual(alarms, Array.from({ length: rounds }, (_, i) => i));
  }
  assert.ok(overtaken > 0, "no alarm came before a bulk message that was published earlier");
});
