// Instances: heartbeats (S0.3), ownership of the id, detection and clean-up of the dead (S0.4), subscription sets (S0.5).
import assert from "node:assert/strict";
import { run, startBroker } from "./lib/broker.mjs";
import { execFileSync } from "node:child_process";
import { heartbeats, redisHealth, startCluster, testRedis, until } from "./lib/redis.mjs";
import { SLOWER } from "./lib/util.mjs";

const FAST = { "cluster.heartbeat_interval": "200ms", "cluster.dead_instance_threshold": "4s", "debug.user_query": "user", "presence.offline_delay": "100ms" };
const members = async (redis, key) => (await redis.command("SMEMBERS", key)).sort();

testRedis("heartbeats tell the instance's time and clients", { brokers: 1, config: FAST }, async ({ brokers: [a], redis }) => {
  const clients = [await a.connect(), await a.connect()];
  const watcher = await redis.connect();
  await watcher.command("SUBSCRIBE", "ws:instance:node-0:heartbeat");
  await until("eleven heartbeats", () => watcher.messages.length >= 11);
  const beats = watcher.messages.map(({ message }) => JSON.parse(message));
  const last = beats.at(-1);
  // By the instance's own clock: who watches may be late for one and in time for the next.
  const took = beats[10].timestamp - beats[0].timestamp;
  assert.ok(took > 600 && took < 10000 * SLOWER, `ten intervals of 200 ms took ${took} ms`); // the first one may have been late
  assert.deepEqual(Object.keys(last), ["timestamp", "clientCount"]);
  assert.equal(last.clientCount, clients.length);
  assert.ok(Math.abs(last.timestamp - Date.now()) < 5000);
  assert.deepEqual(await members(redis, "ws:instances"), ["node-0"]);
});

testRedis("a killed broker is cleaned up after by one survivor, exactly once", { brokers: 3, config: FAST, timeout: 60000 }, async ({ brokers: [a, b, c], redis }) => {
  const watcher = await redis.connect();
  await watcher.command("SUBSCRIBE", "ws:presence");
  const users = [];
  for (let i = 0; i < 20; i++) {
    users.push(await a.connect({ path: `/ws?user=u${i}` }));
    await users[i].subscribe(`room:${i % 5}`);
  }
  const everywhere = [await a.connect({ path: "/ws?user=both" }), await b.connect({ path: "/ws?user=both" })];
  await until("everybody is known", async () => (await redis.command("HLEN", "ws:presence:users")) === 21
    && (await redis.command("HGET", "ws:presence:users", "both")).split(",").sort().join() === "node-0,node-1");
  a.killAll();
  await a.exited;
  await until("the registry has no trace of it", async () => (await members(redis, "ws:instances")).join() === "node-1,node-2", { timeout: 10000 });
  assert.equal(await redis.command("HLEN", "ws:presence:users"), 1);
  assert.equal(await redis.command("HGET", "ws:presence:users", "both"), "node-1");
  // Its lock goes last, a moment after the registry's entry.
  await until("no key of it is left", async () => (await redis.command("KEYS", "*")).filter((key) => key.includes("node-0") || (key.startsWith("subs") && key !== "subs:user:both")).length === 0);
  await until("all are announced", () => watcher.messages.length >= 41);
  const events = watcher.messages.map(({ message }) => JSON.parse(message));
  assert.deepEqual(Object.keys(events[0]), ["event", "userId", "timestamp"]);
  assert.equal(events.filter(({ event }) => event === "player:online").length, 21);
  const offline = events.filter(({ event }) => event === "player:offline").map(({ userId }) => userId);
  assert.deepEqual(offline.sort(), users.map((_, i) => `u${i}`).sort(), "each once");
  const counted = async () => [(await b.metrics())("ringcast_instance_cleanups_total"), (await c.metrics())("ringcast_instance_cleanups_total")];
  await until("it is counted", async () => (await counted()).some((count) => count > 0));
  const cleanups = await counted();
  assert.equal(cleanups[0] + cleanups[1], 1, `one of them did it: ${cleanups}`);
});

testRedis("one that is only slow is not cleaned up after, or registers everything again", { brokers: 2, config: FAST, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const one = await a.connect({ path: "/ws?user=u1" });
  await until("it is known", async () => (await redis.command("HGET", "ws:presence:users", "u1")) === "node-0");
  const relay = a.kill("SIGSTOP", "relay");
  await until("it counts as dead", async () => !(await members(redis, "ws:instances")).includes("node-0"), { timeout: 10000 });
  assert.equal(await redis.command("HGET", "ws:presence:users", "u1"), null);
  process.kill(relay, "SIGCONT");
  await until("it is back", async () => (await members(redis, "ws:instances")).includes("node-0") && (await redis.command("HGET", "ws:presence:users", "u1")) === "node-0");
  await one.ping();
  await heartbeats(redis, ["node-0", "node-1"], 25); // longer than the threshold
  assert.equal(await redis.command("HGET", "ws:presence:users", "u1"), "node-0", "and stays");
  assert.equal((await b.metrics())("ringcast_instance_cleanups_total"), 1);
});

testRedis("a second live broker of the same id stays local-only and says so", { brokers: 1, config: FAST, timeout: 60000 }, async ({ brokers: [a], redis }) => {
  const second = await startBroker({ config: { ...FAST, "redis.url": redis.url, "server.instance_id": "node-0" }, workers: 1 });
  try {
    await until("it says so", () => second.log.some((line) => line.includes("instance_id_taken") && line.includes("node-0")), { timeout: 10000 });
    assert.equal((await second.metrics())("ringcast_instance_owned"), 0);
    assert.equal((await a.metrics())("ringcast_instance_owned"), 1);
    // Whoever asks it is told, though Redis answers.
    const told = async (broker) => {
      const { status: code, body } = await broker.get("/health/redis");
      const { redis: state, error } = JSON.parse(body);
      const text = (await run(["status", "-c", broker.configPath], { env: broker.env })).stdout;
      const top = (await run(["top", "--once", "-c", broker.configPath], { env: broker.env })).stdout;
      return [(await broker.metrics())("ringcast_instance_id_taken"), code, state, /instance id/.test(error), /^redis +refused for .*instance id.*local-only/m.test(text), /^state: running; redis refused: /m.test(top)];
    };
    assert.deepEqual(await told(second), [1, 503, "refused", true, true, true]);
    assert.deepEqual(await told(a), [0, 200, "connected", false, false, false]);
    const [one, two] = [await a.connect(), await second.connect()];
    await one.subscribe("room");
    assert.equal((await two.subscribe("room")).scope, "local");
    await two.publish("room", "local");
    assert.equal((await two.next()).data, "local", "complete on its own host");
    await one.publish("room", "of the owner");
    assert.equal((await one.next()).data, "of the owner", "the first it gets");
    await two.ping();
    assert.equal(two.inbox.length, 0);
    // The owner goes: the other one takes over.
    await one.close();
    await a.stop();
    await until("it takes over", async () => (await second.metrics())("ringcast_instance_owned") === 1, { timeout: 10000 });
    assert.deepEqual(await told(second), [0, 200, "connected", false, false, false]);
    await second.stop();
  } finally {
    await second.destroy();
  }
});

testRedis("a restarted owner cleans up its predecessor's entries at once", { brokers: 1, config: { ...FAST, "cluster.heartbeat_interval": "30s", "cluster.dead_instance_threshold": "90s" }, timeout: 60000 }, async ({ brokers: [a], redis }) => {
  await (await a.connect({ path: "/ws?user=u1" })).subscribe("room:1");
  await until("it is known", async () => (await redis.command("HGET", "ws:presence:users", "u1")) === "node-0");
  a.killAll();
  await a.exited;
  const again = await startBroker({ config: { ...FAST, "redis.url": redis.url, "server.instance_id": "node-0" }, workers: 1 });
  try {
    const from = Date.now();
    await until("it owns the id", async () => (await again.metrics())("ringcast_instance_owned") === 1, { timeout: 10000 });
    await until("nothing of the predecessor is left", async () => (await redis.command("KEYS", "subs*")).length === 0 && (await redis.command("HLEN", "ws:presence:users")) === 0, { timeout: 10000 });
    assert.ok(Date.now() - from < 60000, "long before the threshold");
    await again.stop();
  } finally {
    await again.destroy();
  }
});

testRedis("who stops leaves nothing behind", { brokers: 2, config: FAST }, async ({ brokers: [a], redis }) => {
  const one = await a.connect({ path: "/ws?user=u1" });
  await one.subscribe("room:1");
  await until("it is known", async () => (await redis.command("HGET", "ws:presence:users", "u1")) === "node-0");
  await a.stop();
  assert.deepEqual((await redis.command("KEYS", "*")).filter((key) => key.includes("node-0") || key.startsWith("subs") || key.startsWith("ws:presence")), []);
  assert.deepEqual(await members(redis, "ws:instances"), ["node-1"]);
  a.stop = async () => {};
});

testRedis("what Redis forgot is registered again", { brokers: 1, config: { ...FAST, "cluster.subscription_sets": "instances" }, timeout: 60000 }, async ({ brokers: [a], redis }) => {
  const one = await a.connect({ path: "/ws?user=u1" });
  await one.subscribe("prices:BTC");
  const known = async () => (await redis.command("SISMEMBER", "subs-instances:prices:BTC", "node-0")) === 1 && (await redis.command("HGET", "ws:presence:users", "u1")) === "node-0";
  await until("it is known", known);
  await redis.kill();
  await redisHealth(a, 503);
  await redis.start();
  await redisHealth(a, 200, 10000);
  await until("it is known again", known, { timeout: 10000 });
  await one.unsubscribe("prices:BTC");
  await until("it goes", async () => (await redis.command("EXISTS", "subs-instances:prices:BTC")) === 0);
});

testRedis("in a Cluster, where the keys lie on several nodes, the dead are cleaned up after as well", { brokers: 2, start: () => startCluster({ replicas: 0 }), config: { ...FAST, "redis.prefix": "app:" }, timeout: 90000 }, async ({ brokers: [a, b], redis }) => {
  const cli = (...args) => execFileSync("redis-cli", ["-c", "-p", String(redis.nodes[0].port), ...args]).toString().trim();
  for (let i = 0; i < 10; i++) await (await a.connect({ path: `/ws?user=u${i}` })).subscribe(`room:${i}`);
  await (await b.connect({ path: "/ws?user=b" })).subscribe("room:0");
  await until("everybody is known", () => cli("HLEN", "app:ws:presence:users") === "11" && cli("SCARD", "app:subs:room:0") === "2" && cli("SCARD", "app:subs:room:9") === "1", { timeout: 10000, every: 100 });
  a.killAll();
  await a.exited;
  await until("it is cleaned up after", async () => (await b.metrics())("ringcast_instance_cleanups_total") === 1, { timeout: 15000 });
  await until("nothing of it is left", () => cli("SMEMBERS", "app:ws:instances") === "node-1" && cli("EXISTS", "app:subs:room:9") === "0");
  assert.deepEqual([cli("HGETALL", "app:ws:presence:users"), cli("SCARD", "app:subs:room:0")], ["b\nnode-1", "1"]);
});
