// The HTTP API with brokers over one Redis: what it sends, asks and does reaches the clients of all of them.
import assert from "node:assert/strict";
import { redisHealth, testRedis, until } from "./lib/redis.mjs";

const headers = { Authorization: "Bearer key-of-the-tests" };
const CONFIG = {
  "http.api_keys": ["key-of-the-tests"],
  "debug.user_query": "user",
  "presence.offline_delay": "100ms",
  "cluster.heartbeat_interval": "200ms",
  "cluster.dead_instance_threshold": "5s",
  namespace: [{ name: "room", presence: true }],
};
const call = async (broker, path, body) => {
  const answer = await broker.get(`/api/${path}`, { method: body === undefined ? "GET" : "POST", headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return { status: answer.status, ...JSON.parse(answer.body) };
};

testRedis("what one broker's API sends reaches the clients of the other", { brokers: 2, workers: 2, config: CONFIG }, async ({ brokers: [a, b] }) => {
  const [one, two] = [await a.connect(), await b.connect()];
  await one.subscribe("x");
  await two.subscribe("x");
  assert.equal((await call(a, "publish", { channel: "x", data: 1 })).status, 200);
  for (const client of [one, two]) assert.equal((await client.next("message")).data, 1);
  assert.equal((await call(a, "broadcast", { data: 2, exclude: [two.id] })).status, 200);
  assert.equal((await one.next("message")).data, 2);
  assert.deepEqual((await call(a, "direct", { client: two.id, data: 3 })).status, 200);
  assert.equal((await two.next()).data, 3);
  assert.equal(two.inbox.length, 0);
});

testRedis("presence of channels and users, and the instances", { brokers: 3, config: CONFIG, timeout: 60000 }, async ({ brokers: [a, b, c], redis }) => {
  const clients = [await a.connect({ path: "/ws?user=u1" }), await b.connect({ path: "/ws?user=u1" }), await b.connect({ path: "/ws?user=u2" }), await c.connect()];
  for (const client of clients) await client.subscribe("room:1");
  const sorted = (answer) => ({ ...answer, instances: answer.instances.toSorted() });
  await until("all are there", async () => (await call(c, "presence?channel=room:1")).clients === 4);
  const { members, ...rest } = await call(c, "presence?channel=room:1");
  assert.deepEqual(rest, { status: 200, channel: "room:1", clients: 4, users: 2, more: false });
  assert.deepEqual(sorted(members.find(({ user }) => user === "u1")), { user: "u1", clients: 2, instances: ["node-0", "node-1"] });
  assert.deepEqual(sorted(await call(c, "presence?user=u1")), { status: 200, user: "u1", online: true, instances: ["node-0", "node-1"] });
  assert.deepEqual(await call(c, "presence"), { status: 200, users: 2 });
  await clients[2].close();
  await until("u2 is offline", async () => !(await call(a, "presence?user=u2")).online);

  const instances = await until("all are known with their start", async () => {
    const answer = await call(b, "instances");
    return answer.instances.length === 3 && answer.instances.every(({ started, connections }) => started !== null && connections >= 1) && answer;
  }, { timeout: 15000 });
  assert.equal(instances.scope, undefined);
  assert.deepEqual(instances.instances.map(({ instance, self }) => [instance, self]).sort(), [["node-0", false], ["node-1", true], ["node-2", false]]);
  assert.equal(instances.instances[0].self, true, "this one is the first");
  for (const { instance, started, uptime_s: uptime, heard_ms: heard, local_only: local } of instances.instances) {
    assert.ok(Math.abs(Date.now() - started) < 60000 && uptime < 60, instance);
    assert.ok(instance === "node-1" ? local === false : heard < 5000, instance);
  }

  await redis.kill();
  await redisHealth(b, 503);
  const alone = await call(b, "instances");
  assert.deepEqual([alone.scope, alone.instances[0].local_only], ["local", true]);
  assert.deepEqual(await call(b, "presence?user=u1"), { status: 200, user: "u1", online: true, instances: ["node-1"], scope: "local" });
  assert.deepEqual(await call(c, "presence?user=u1"), { status: 200, user: "u1", online: false, instances: [], scope: "local" });
  await redis.start();
  await redisHealth(b, 200, 10000);
});
