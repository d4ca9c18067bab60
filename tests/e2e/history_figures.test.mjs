// What is counted of histories, recoveries and retained values, and what the API says of them: each figure is seen to move when what it counts happens.
import assert from "node:assert/strict";
import test from "node:test";
import { testBroker } from "./lib/broker.mjs";
import { NO_REDIS, confirmed, redisHealth, startBrokers, startRedisAndWire } from "./lib/redis.mjs";
import { SLOWER, until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const small = {
  "http.api_keys": [KEY],
  "limits.history_memory": "1MiB",
  namespace: [
    { name: "log", history: 1000, history_who: "anyone" },
    { name: "few", history: 1000, history_bytes: "16KiB", history_who: "anyone" },
    { name: "state", retain: "anyone", retained_keys: 2 },
    { name: "plain" },
  ],
};

async function api(broker, method, path, body, status = 200) {
  const answer = await broker.get(`/api/${path}`, { method, headers: { Authorization: `Bearer ${KEY}` }, ...(body && { body: JSON.stringify(body) }) });
  assert.equal(answer.status, status, answer.body);
  return JSON.parse(answer.body);
}

testBroker("messages, channels, bytes, and what goes before its time, by reason", { workers: 2, config: small }, async (broker) => {
  const client = await broker.connect();
  const figure = async (name) => (await broker.metrics())(`ringcast_history_${name}`);
  assert.deepEqual([await figure("messages_total"), await figure("channels"), await figure("bytes")], [0, 0, 0]);
  for (let n = 0; n < 10; n++) await client.publish("log:a", n);
  await client.publish("plain:a", 1);
  await until("counted", async () => await figure("messages_total") === 10 && await figure("channels") === 1 && await figure("bytes") > 0);
  // Over the channel's own bound, then over that of all.
  assert.equal(await figure('evicted_pages_total{reason="bytes"}'), 0);
  for (let n = 0; n < 40; n++) await client.publish("few:a", "x".repeat(1000));
  assert.ok(await figure('evicted_pages_total{reason="bytes"}') > 0);
  assert.equal(await figure('evicted_pages_total{reason="memory"}'), 0);
  for (let n = 0; n < 30; n++) await client.publish("log:b", "x".repeat(50000));
  assert.ok(await figure('evicted_pages_total{reason="memory"}') > 0);
  await until("within its bound", async () => await figure("bytes") > 500000 && await figure("bytes") <= 1 << 20);
  // Deleted by the API, as many as it says.
  const { messages } = await api(broker, "GET", "history?channel=log:b&limit=1000");
  const { deleted } = await api(broker, "DELETE", "history?channel=log:b");
  assert.equal(deleted, messages.length);
  assert.equal(await figure("deleted_total"), deleted);
  // More channels than there are places.
  assert.equal(await figure("evicted_channels_total"), 0);
  await api(broker, "POST", "publish", { channels: Array.from({ length: 1000 }, (_, i) => `log:many-${i}`), data: 1 });
  assert.ok(await figure("evicted_channels_total") > 0);
  // One that nothing has room for is delivered, has its offset, and is not kept.
  const listener = await broker.connect();
  await client.publish("log:large", 1);
  await listener.subscribe("log:large");
  assert.equal(await figure("refused_total"), 0);
  assert.equal((await client.publish("log:large", "x".repeat(950000))).offset, 2);
  assert.equal((await listener.next("message")).offset, 2);
  assert.equal(await figure("refused_total"), 1);
  const left = await api(broker, "GET", "history?channel=log:large");
  assert.deepEqual([left.messages, left.offset, left.first], [[], 2, 3], "nor is what was before it: it would not be contiguous");
});

testBroker("retained values: how many, their bytes, given, evicted, refused", { workers: 2, config: small }, async (broker) => {
  const figure = async (name) => (await broker.metrics())(`ringcast_retained_${name}`);
  await api(broker, "POST", "retain", { channel: "state:a", data: 1, key: "one" });
  await api(broker, "POST", "retain", { channel: "state:a", data: 2, key: "two" });
  await until("both", async () => await figure("values") === 2 && await figure("bytes") > 0);
  await api(broker, "POST", "retain", { channel: "state:a", data: 3, key: "three" });
  assert.deepEqual([await figure("evicted_total"), await figure("delivered_total")], [1, 0]);
  const client = await broker.connect();
  await client.expect("subscribed", { type: "subscribe", channel: "state:a", retained: true });
  assert.deepEqual([(await client.next("message")).data, (await client.next("message")).data], [2, 3]);
  assert.equal(await figure("delivered_total"), 2);
  // A quarter of the memory is theirs: then there is no room, which is said and counted.
  let full = null;
  for (let i = 0; i < 20 && !full; i++) {
    const answer = await broker.get("/api/retain", { method: "POST", headers: { Authorization: `Bearer ${KEY}` }, body: JSON.stringify({ channel: `state:full-${i}`, data: "x".repeat(40000) }) });
    full = answer.status !== 200 && answer;
  }
  assert.equal(full.status, 503, full.body);
  assert.equal(await figure("refused_total"), 1);
  for (const key of ["two", "three"]) await api(broker, "POST", "retain", { channel: "state:a", data: null, key });
  const late = await broker.connect();
  await late.expect("subscribed", { type: "subscribe", channel: "state:a", retained: true });
  await late.ping();
  assert.deepEqual(late.inbox, []);
});

testBroker("GET /api/history: since, limit, first, more, time; what is asked wrong is refused", { workers: 2, config: small }, async (broker) => {
  const client = await broker.connect();
  for (let n = 1; n <= 30; n++) await client.publish("log:a", n);
  const get = (query, status) => api(broker, "GET", `history?channel=log:a${query}`, undefined, status);
  const all = await get("&limit=1000");
  assert.deepEqual(Object.keys(all).sort(), ["channel", "epoch", "first", "messages", "more", "offset"]);
  assert.deepEqual([all.channel, all.first, all.offset, all.more, all.messages.length], ["log:a", 1, 30, false, 30]);
  assert.ok(all.messages.every(({ time }, i) => Math.abs(time - Date.now()) < 60000 && (i === 0 || time >= all.messages[i - 1].time)));
  const part = await get("&since=10&limit=5");
  assert.deepEqual([part.messages.map(({ data }) => data), part.more], [[11, 12, 13, 14, 15], true]);
  const end = await get("&since=28");
  assert.deepEqual([end.messages.map(({ data }) => data), end.more], [[29, 30], false]);
  for (let n = 31; n <= 150; n++) await client.publish("log:a", n);
  assert.equal((await get("")).messages.length, 100, "100 unless given");
  for (const query of ["&limit=0", "&limit=1001", "&limit=x", "&since=-1"]) await get(query, 400);
});

testBroker("recoveries by their result, and how long those took that got all", { workers: 1, config: small }, async (broker) => {
  const publisher = await broker.connect();
  const { epoch } = await publisher.publish("log:a", 1);
  for (let n = 2; n <= 20; n++) await publisher.publish("log:a", n);
  const back = async (channel, recover) => {
    const client = await broker.connect();
    const { recovered } = await client.expect("subscribed", { type: "subscribe", channel, recover });
    return recovered;
  };
  const figures = async () => {
    const metrics = await broker.metrics();
    return [...["recovered", "gone", "epoch", "no_history"].map((result) => metrics(`ringcast_recoveries_total{result="${result}"}`)), metrics("ringcast_recovery_seconds_count")];
  };
  assert.deepEqual(await figures(), [0, 0, 0, 0, 0]);
  assert.equal(await back("log:a", { epoch, offset: 20 }), true);
  assert.equal(await back("log:a", { epoch, offset: 3 }), true);
  await until("two got all", async () => (await figures())[4] === 2);
  assert.deepEqual(await figures(), [2, 0, 0, 0, 2]);
  const sum = (await broker.metrics())("ringcast_recovery_seconds_sum");
  assert.ok(sum >= 0 && sum < 60, `${sum}`);
  assert.equal(await back("log:a", { epoch: "7", offset: 3 }), false);
  assert.equal(await back("plain:a", { epoch, offset: 3 }), false);
  for (let n = 0; n < 40; n++) await publisher.publish("few:a", "x".repeat(1000));
  const { epoch: its } = await publisher.publish("few:a", 1);
  assert.equal(await back("few:a", { epoch: its, offset: 1 }), false);
  assert.deepEqual(await figures(), [2, 1, 1, 1, 2]);
});

test("shared histories: repairs, their time, what could not be repaired, what went alone", { timeout: 60000 * SLOWER, skip: NO_REDIS }, async () => {
  const config = { namespace: [{ name: "log", history: 20, history_who: "anyone" }], "redis.history_wait": "2s" };
  const redis = await startRedisAndWire();
  const brokers = [];
  try {
    brokers.push(...await startBrokers(1, redis.url, { config }));
    brokers.push(...await startBrokers(1, redis.wire.url, { config: { ...config, "server.instance_id": "wired" } }));
    const [one, two] = brokers;
    const figure = async (name) => (await two.metrics())(`ringcast_history_${name}`);
    const listener = await two.connect();
    const publisher = await one.connect();
    const offsets = [];
    const gaps = [];
    listener.ondelivery = (message) => (message.type === "gap" ? message.channel === "log:a" && gaps.push(message) : offsets.push(message.offset));
    await confirmed(listener, "log:a");
    for (let n = 1; n <= 3; n++) await publisher.publish("log:a", n);
    await until("three", () => offsets.length === 3);
    assert.deepEqual([await figure("repairs_total"), await figure("repaired_messages_total"), await figure("repairs_failed_total")], [0, 0, 0]);
    // Its subscription is away, and five are missed: they are read.
    const missed = async (count) => {
      redis.wire.cut();
      await redisHealth(two, 503);
      for (let n = 0; n < count; n++) await publisher.publish("log:a", n);
      redis.wire.mend();
      await redisHealth(two, 200, 20000);
    };
    await missed(5);
    await until("eight", () => offsets.length === 8);
    await until("counted", async () => await figure("repairs_total") === 1 && await figure("repair_seconds_count") === 1);
    assert.deepEqual([await figure("repaired_messages_total"), await figure("repairs_failed_total"), gaps], [5, 0, []]);
    // More than the stream keeps: told.
    await missed(300);
    await until("it is told", () => gaps.length > 0);
    await until("and counted", async () => await figure("repairs_failed_total") === 1);
    // Away for longer than it waits: alone.
    redis.wire.cut();
    await redisHealth(two, 503);
    assert.equal(await figure("alone_total"), 0);
    await (await two.connect()).publish("log:a", "alone");
    await until("counted", async () => await figure("alone_total") === 1);
  } finally {
    for (const broker of brokers) await broker.destroy();
    await redis.destroy();
  }
});
