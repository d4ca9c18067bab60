// websocket:notifications (S1.1): one PUBLISH of a backend reaches a user's connections, or everybody, on every instance.
import assert from "node:assert/strict";
import { testRedis, until } from "./lib/redis.mjs";

const CONFIG = {
  "debug.user_query": "user",
  endpoint: [{ path: "/live", protocol: "raw", join: ["*"] }],
};

testRedis("a user's connections on every instance get the data, others do not", { brokers: 3, workers: 2, config: CONFIG, timeout: 60000 }, async ({ brokers, redis }) => {
  const users = [];
  const raws = [];
  for (const broker of brokers) {
    users.push(await broker.connect({ path: "/ws?user=42" }), await broker.connect({ path: "/ws?user=42" }));
    raws.push(await broker.connect({ path: "/live?user=42", welcome: false }));
  }
  const other = await brokers[0].connect({ path: "/ws?user=43" });
  const data = { title: "é", list: [1, 2.50] };
  // A worker's interest in the user's channel reaches its relay after the welcome: said until every connection hears it.
  const heard = () => [...users, ...raws].every((client) => client.inbox.length > 0);
  await until("every connection is known by its user", async () => {
    await redis.publish("websocket:notifications", { userId: "42", data: "ready" });
    return heard();
  });
  await redis.publish("websocket:notifications", { userId: "42", data: "begin" });
  for (const client of users) await client.next(({ data }) => data === "begin");
  for (const raw of raws) while ((await raw.next()).text !== '"begin"');
  for (const client of users) client.inbox.length = 0;
  await redis.publish("websocket:notifications", `{"userId":"42","data":{"title":"é","list":[1, 2.50]},"timestamp":1}`);
  for (const client of users) assert.deepEqual(await client.next(), { type: "message", channel: "user:42", data });
  for (const raw of raws) assert.equal((await raw.next()).text, '{"title":"é","list":[1, 2.50]}', "byte for byte");
  await redis.publish("websocket:notifications", { userId: 42, data: "by number", timestamp: 2 });
  for (const client of users) assert.equal((await client.next()).data, "by number");
  for (const raw of raws) assert.equal((await raw.next()).text, '"by number"');
  await redis.publish("websocket:notifications", { type: "broadcast", userId: "42", data: "all", timestamp: 3 });
  for (const client of [...users, other]) assert.deepEqual(await client.next(), { type: "message", channel: "*", data: "all" });
  for (const raw of raws) assert.equal((await raw.next()).text, '"all"', "once, though it is the user's as well");
  for (const client of [...users, other]) {
    await client.ping();
    assert.equal(client.inbox.length, 0, "nothing comes twice");
  }
});

testRedis("what is no notification is counted and ignored", { brokers: 1, config: CONFIG }, async ({ brokers: [a], redis }) => {
  const one = await a.connect({ path: "/ws?user=42" });
  const bad = ["", "x", "[]", "{}", '{"userId":"42"}', '{"data":1}', '{"userId":{},"data":1}', '{"userId":1.5,"data":1}', Buffer.from([0x7b, 0xff, 0x7d]), Buffer.concat([Buffer.from('{"userId":"42","data":"'), Buffer.from([0xff]), Buffer.from('"}')])];
  for (const message of bad) await redis.publish("websocket:notifications", message);
  await redis.publish("websocket:notifications", `{"userId":"42","data":"${"x".repeat(3000000)}"}`);
  await redis.publish("websocket:notifications", { userId: "nowhere", data: 1 });
  await redis.publish("websocket:notifications", { type: "broadcast", data: "end" });
  assert.equal((await one.next()).data, "end");
  const metrics = await a.metrics();
  assert.equal(metrics("ringcast_redis_malformed_total"), bad.length);
  assert.equal(metrics("ringcast_redis_too_large_total"), 1);
});

testRedis("a message for a user who is nowhere is one failed delivery of the cluster", { brokers: 3, config: { ...CONFIG, "cluster.heartbeat_interval": "200ms", "http.api_keys": ["key-of-the-tests"] }, timeout: 60000 }, async ({ brokers, redis }) => {
  const failed = async () => {
    let sum = 0;
    for (const broker of brokers) sum += (await broker.metrics())("ringcast_failed_deliveries_total");
    return sum;
  };
  const here = await brokers[2].connect({ path: "/ws?user=here" });
  await until("the user is known", async () => (await redis.command("HGET", "ws:presence:users", "here")) === "node-2");
  await until("all know each other", async () => (await Promise.all(brokers.map((broker) => broker.metrics()))).every((metrics) => metrics("ringcast_instances") === 2));
  for (let i = 0; i < 5; i++) await redis.publish("websocket:notifications", { userId: "nowhere", data: i });
  await redis.publish("websocket:notifications", { userId: "here", data: "hello" });
  assert.equal((await here.next()).data, "hello");
  await until("five are counted", async () => (await failed()) === 5);
  const publish = (broker, channel) => broker.get("/api/publish", { method: "POST", headers: { Authorization: "Bearer key-of-the-tests" }, body: JSON.stringify({ channel, data: 1 }) });
  await publish(brokers[1], "user:nowhere");
  await publish(brokers[1], "user:here");
  await publish(brokers[1], "nobody:here");
  await here.next();
  await until("one more", async () => (await failed()) === 6);
  await here.ping();
  assert.equal(await failed(), 6, "who is on another instance is somewhere, and a channel without subscribers is no failure");
});
