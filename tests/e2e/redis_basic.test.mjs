// Two brokers over one Redis act as one; backends reach every client with one PUBLISH (S0.1, S0.2).
import assert from "node:assert/strict";
import { run } from "./lib/broker.mjs";
import { confirmed, redisHealth, subscribers, testRedis, until } from "./lib/redis.mjs";

testRedis("publish anywhere, receive everywhere", { brokers: 2, workers: 2 }, async ({ brokers: [a, b], redis }) => {
  const [one, two, three] = [await a.connect(), await b.connect(), await b.connect()];
  for (const client of [one, two]) {
    await confirmed(client, "prices:BTC");
    const { id, ...answer } = await client.subscribe("prices:BTC");
    assert.deepEqual([typeof id, answer], ["number", { type: "subscribed", channel: "prices:BTC" }]);
  }
  await three.publish("prices:BTC", { p: 1 });
  for (const client of [one, two]) assert.deepEqual(await client.next(), { type: "message", channel: "prices:BTC", data: { p: 1 } });
  // Binary crosses as it is.
  await three.expect("published", { type: "publish", channel: "prices:BTC", data: Buffer.from([0, 255, 1]) }, { encode: (await import("./lib/binary.mjs")).encode });
  for (const client of [one, two]) assert.deepEqual((await client.next()).data, Buffer.from([0, 255, 1]));
  // A backend.
  await redis.publish("ws:channel:prices:BTC", { payload: [1, { x: "é" }], other: "ignored" });
  for (const client of [one, two]) assert.deepEqual((await client.next()).data, [1, { x: "é" }]);
  await one.ping();
  assert.equal(one.inbox.length, 0, "nothing comes twice");
});

testRedis("a broadcast reaches everybody but the excluded; its JSON is S0.1's", { brokers: 2 }, async ({ brokers: [a, b], redis }) => {
  const [one, two, three] = [await a.connect(), await b.connect(), await b.connect()];
  const watcher = await redis.connect();
  await watcher.command("SUBSCRIBE", "ws:broadcast");
  await one.broadcast({ type: "chat", message: "hello" }, { exclude: [three.id] });
  assert.deepEqual(await two.next(), { type: "message", channel: "*", data: { type: "chat", message: "hello" } });
  assert.deepEqual((await one.next()).data, { type: "chat", message: "hello" });
  const { sourceInstance, payload, excludeIds } = JSON.parse((await until("the broadcast is in Redis", () => watcher.messages.shift())).message);
  assert.deepEqual({ sourceInstance, payload, excludeIds }, { sourceInstance: "node-0", payload: { type: "chat", message: "hello" }, excludeIds: [three.id] });
  await redis.publish("ws:broadcast", { sourceInstance: "elsewhere", payload: "x", excludeIds: [two.id] });
  assert.equal((await one.next()).data, "x");
  assert.equal((await three.next()).data, "x", "the first it gets");
  await redis.publish("ws:broadcast", { payload: "end" });
  assert.equal((await two.next()).data, "end", "x was not for it");
});

testRedis("a direct message finds its client on whichever instance", { brokers: 2, workers: 2 }, async ({ brokers: [a, b], redis }) => {
  const [one, two] = [await a.connect(), await b.connect()];
  assert.equal((await one.direct(two.id, { hi: 1 })).type, "sent");
  assert.deepEqual(await two.next(), { type: "direct", data: { hi: 1 } });
  await redis.publish(`ws:direct:${one.id}`, { payload: "from a backend" });
  assert.deepEqual(await one.next(), { type: "direct", data: "from a backend" });
  // Nobody: of this instance, and of no instance's form.
  await one.refused(404, { type: "direct", to: "nonsense", data: 1 });
  await redis.publish(`ws:direct:node-0~AAAAAAAAAAAAAAAAAAAAAAAB`, { payload: 1 });
  await until("the failed delivery is counted", async () => (await a.metrics())("ringcast_failed_deliveries_total") === 2);
  await one.direct("nowhere~AAAAAAAAAAAAAAAAAAAAAAAB", "an instance that does not exist");
  await until("that one as well", async () => (await a.metrics())("ringcast_failed_deliveries_total") === 3);
});

testRedis("Redis has a subscription exactly while somebody wants the channel", { brokers: 2 }, async ({ brokers: [a, b], redis }) => {
  const [one, two] = [await a.connect(), await a.connect()];
  await confirmed(one, "room:1");
  assert.equal(await subscribers(redis, "ws:channel:room:1"), 1);
  await two.subscribe("room:1");
  assert.equal(await subscribers(redis, "ws:channel:room:1"), 1);
  const three = await b.connect();
  await confirmed(three, "room:1");
  assert.equal(await subscribers(redis, "ws:channel:room:1"), 2);
  await one.unsubscribe("room:1");
  await two.close();
  await until("it is given back", async () => (await subscribers(redis, "ws:channel:room:1")) === 1);
  // Damping: off and on again, in one message so that nothing comes between, asks nothing of Redis, and nothing is missed.
  const before = (await b.metrics())("ringcast_redis_subscribes_total");
  for (let i = 0; i < 20; i++) {
    three.send([{ type: "unsubscribe", channel: "room:1", id: "off" }, { type: "subscribe", channel: "room:1", id: "on" }]);
    for (const type of ["unsubscribed", "subscribed"]) await three.next(type);
  }
  assert.equal((await b.metrics())("ringcast_redis_subscribes_total"), before);
  await redis.publish("ws:channel:room:1", { payload: 1 });
  assert.equal((await three.next()).data, 1);
});

testRedis("what makes no sense is counted and dropped", { brokers: 1, config: { "limits.max_message_size": "64KiB" } }, async ({ brokers: [a], redis }) => {
  const client = await a.connect();
  await confirmed(client, "room:1");
  const bad = [
    "", "{", "null", "[]", "1", '"payload"', "{}", '{"payload":}', '{"payload":1}x', '{"sourceInstance":7,"payload":1}', '{"payload":1,"excludeIds":"x"}', '{"payload":1,"excludeIds":[1]}',
    Buffer.from([0x7b, 0x22, 0x70, 0x61, 0x79, 0x6c, 0x6f, 0x61, 0x64, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]), Buffer.from([1]), Buffer.from([1, 0x80, 0]), Buffer.from([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7b]),
    `{"payload":${"[".repeat(100)}${"]".repeat(100)}}`,
  ];
  for (const message of bad) await redis.publish("ws:channel:room:1", message);
  await redis.publish("ws:channel:room:1", { payload: "x".repeat(70000) });
  await redis.publish("ws:channel:room:1", { payload: "x".repeat(3000000) });
  await redis.publish("ws:channel:room:1", { payload: "good", excludeIds: null, sourceInstance: null, more: {} });
  assert.equal((await client.next()).data, "good");
  const metrics = await a.metrics();
  assert.equal(metrics("ringcast_redis_malformed_total"), bad.length);
  assert.equal(metrics("ringcast_redis_too_large_total"), 2);
});

testRedis("/health/redis and the metrics tell the state", { brokers: 1 }, async ({ brokers: [a], redis }) => {
  const good = await redisHealth(a, 200);
  assert.deepEqual({ ...good, timestamp: 0 }, { healthy: true, redis: "connected", timestamp: 0 });
  const table = async () => (await run(["status", "-c", a.configPath])).stdout;
  const { since_ms: since, ...rest } = (await a.status()).redis;
  assert.deepEqual(rest, { state: "connected", error: null, latest_error: null });
  assert.ok(since >= 0 && since < 60000);
  assert.match(await table(), /^redis +connected( for \S+)?$/m);
  await redis.kill();
  const bad = await redisHealth(a, 503);
  assert.equal(bad.healthy, false);
  assert.equal(bad.redis, "disconnected");
  assert.match(bad.error, /closed|reset/i, "why it was lost");
  assert.equal((await a.get("/health")).status, 200, "local-only mode is healthy");
  const retried = await until("a new attempt failed", async () => {
    const now = await redisHealth(a, 503);
    return now.latest_error?.includes("refused") && now;
  });
  assert.equal(retried.error, bad.error, "it stays the reason, whatever the attempts say");
  const lost = (await a.status()).redis;
  assert.deepEqual([lost.state, lost.error], ["disconnected", bad.error]);
  assert.match(lost.latest_error, /refused/);
  assert.match(await table(), /^redis +disconnected.*: .+; latest: .+ \(local-only mode\)$/m);
  await redis.start();
  await redisHealth(a, 200);
  assert.deepEqual([(await a.status()).redis.error, (await a.status()).redis.latest_error], [null, null]);
  const metrics = await a.metrics();
  assert.equal(metrics("ringcast_redis_connected"), 1);
  assert.equal(metrics("ringcast_redis_reconnects_total"), 2);
  assert.ok(metrics("ws_redis_latency_ms_count") > 0);
});
