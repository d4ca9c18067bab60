// Redis killed, stopped, full, refusing: local delivery goes on, the outbox is bounded, and everything comes back (S0.6).
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { RedisServer, confirmed, delay, heartbeats, loseConnections, redisHealth, startRedis, subscribers, testRedis, until } from "./lib/redis.mjs";
import { freePort } from "./lib/util.mjs";

/* Takes `count` messages of a channel in order. */
async function take(client, count, timeout = 10000) {
  const list = [];
  while (list.length < count) list.push((await client.next("message", timeout)).data);
  return list;
}
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

testRedis("killed and back: local goes on, the outbox arrives in order and once", { brokers: 2, timeout: 40000 }, async ({ brokers: [a, b], redis }) => {
  const [here, there, publisher] = [await a.connect(), await b.connect(), await a.connect()];
  for (const client of [here, there]) await confirmed(client, "room:1");
  for (let i = 0; i < 100; i++) await publisher.publish("room:1", i);
  // What Redis itself has on the way when it is killed is lost with it: of that only the gap tells.
  assert.deepEqual(await take(there, 100), numbers(0, 100));
  await redis.kill();
  await Promise.all([a, b].map((broker) => redisHealth(broker, 503, 2000)));
  for (let i = 100; i < 600; i++) await publisher.publish("room:1", i);
  assert.deepEqual(await take(here, 600), numbers(0, 600), "local delivery goes on");
  const answer = await here.subscribe("room:2");
  assert.deepEqual({ ...answer, id: 0 }, { type: "subscribed", id: 0, channel: "room:2", scope: "local" });
  const metrics = await until("they wait", async () => ((now) => now("ringcast_redis_outbox_messages") >= 500 && now)(await a.metrics()));
  assert.ok(metrics("ringcast_redis_outbox_bytes") > 0);
  await redis.start();
  await Promise.all([a, b].map((broker) => redisHealth(broker, 200)));
  assert.deepEqual(await take(there, 500), numbers(100, 600));
  await until("the subscription made meanwhile is there", async () => (await subscribers(redis, "ws:channel:room:2")) === 1);
  assert.equal(await subscribers(redis, "ws:channel:room:1"), 2);
  await there.ping();
  assert.deepEqual(there.inbox, [{ type: "gap" }], "backends may have published meanwhile: told once");
  await until("the outbox is empty", async () => (await a.metrics())("ringcast_redis_outbox_messages") === 0);
});

testRedis("paused for longer than the ping's deadline: nothing is lost, nothing twice", { brokers: 2, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const [here, there, publisher] = [await a.connect(), await b.connect(), await a.connect()];
  for (const client of [here, there]) await confirmed(client, "room:1");
  let next = 0;
  const some = async (count) => {
    for (let i = 0; i < count; i++) await publisher.publish("room:1", next++);
  };
  for (const pause of [300, 2500, 7000]) {
    redis.signal("SIGSTOP");
    const before = performance.now();
    while (performance.now() - before < pause) {
      await some(5);
      await delay(10);
    }
    if (pause > 2000) await redisHealth(a, 503);
    redis.signal("SIGCONT");
    await some(5);
    await Promise.all([a, b].map((broker) => redisHealth(broker, 200)));
    await some(5);
  }
  assert.deepEqual(await take(here, next), numbers(0, next));
  const got = await take(there, next, 15000).catch((error) => {
    error.message += ` of ${next}`;
    throw error;
  });
  assert.deepEqual(got, numbers(0, next));
});

testRedis("the outbox drops its oldest when it is full or too old, and namespaces may opt out", {
  brokers: 2,
  config: { "redis.outbox": "64KiB", "redis.outbox_max_age": "8s", namespace: [{ name: "prices", outbox: false }] },
  timeout: 40000,
}, async ({ brokers: [a, b], redis }) => {
  const [there, publisher] = [await b.connect(), await a.connect()];
  for (const channel of ["room:1", "prices:1"]) await confirmed(there, channel);
  await redis.kill();
  await redisHealth(a, 503);
  for (let i = 0; i < 100; i++) await publisher.publish("room:1", "old");
  await until("they are too old", async () => (await a.metrics())("ringcast_redis_outbox_dropped_total") === 100, { timeout: 20000, every: 100 });
  assert.equal((await a.metrics())("ringcast_redis_outbox_messages"), 0);
  await publisher.publish("prices:1", 1);
  const text = "x".repeat(1000);
  for (let i = 0; i < 200; i++) await publisher.publish("room:1", [i, text]);
  await redis.start();
  await Promise.all([a, b].map((broker) => redisHealth(broker, 200)));
  await publisher.publish("prices:1", 2);
  await publisher.publish("room:1", ["end"]);
  const got = [];
  while (got.at(-1) !== "end") {
    const message = await there.next("message");
    if (message.channel === "room:1") got.push(message.data[0]);
    else assert.equal(message.data, 2, "the price was not kept");
  }
  got.pop();
  assert.ok(got.length > 20 && got.length < 70, `${got.length} fit`);
  assert.deepEqual(got, numbers(200 - got.length, 200), "the newest, in order");
  assert.equal((await a.metrics())("ringcast_redis_outbox_dropped_total"), 100 + 1 + 200 - got.length);
});

testRedis("Redis may come after the broker, and may refuse it for a while", {
  brokers: 1,
  ready: false,
  start: async () => {
    const server = new RedisServer({ args: ["--requirepass", "secret"], password: "secret" });
    server.port = await freePort();
    return server;
  },
  url: (redis) => `redis://:secret@127.0.0.1:${redis.port}`,
}, async ({ brokers: [a], redis }) => {
  const client = await a.connect();
  assert.equal((await client.subscribe("room:1")).scope, "local");
  await client.publish("room:1", 1);
  assert.equal((await client.next()).data, 1);
  await until("health tells why", async () => /refused/.test((await redisHealth(a, 503)).error ?? ""));
  await redis.start();
  await redisHealth(a, 200);
  await until("subscribed", async () => (await subscribers(redis, "ws:channel:room:1")) === 1);
  // The password changes under it.
  await redis.command("CONFIG", "SET", "requirepass", "other");
  await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
  await until("the refusal is told", async () => /WRONGPASS/.test((await redisHealth(a, 503)).latest_error));
  await client.publish("room:1", 2);
  assert.equal((await client.next()).data, 2);
  await redis.command("CONFIG", "SET", "requirepass", "secret");
  await redisHealth(a, 200, 8000);
});

testRedis("a full Redis, a read-only one, and one that ends connections", { brokers: 2, timeout: 40000 }, async ({ brokers: [a, b], redis }) => {
  const [there, publisher] = [await b.connect(), await a.connect()];
  await confirmed(there, "room:1");
  await redis.command("CONFIG", "SET", "maxmemory", "1");
  await publisher.publish("room:1", "full");
  assert.equal((await there.next()).data, "full", "PUBLISH needs no memory");
  await redis.command("CONFIG", "SET", "maxmemory", "0");
  await redis.command("REPLICAOF", "127.0.0.1", "1");
  await redis.command("REPLICAOF", "NO", "ONE");
  let next = 0;
  for (let round = 0; round < 10; round++) {
    await loseConnections([a, b], 2, async () => {
      for (const type of ["normal", "pubsub"]) await redis.command("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes").catch(() => {});
    });
    await Promise.all([a, b].map((broker) => redisHealth(broker, 200)));
    await publisher.publish("room:1", next);
    assert.deepEqual(await take(there, 1), [next++]); // what is on its way through a connection that is ended goes with it
  }
  await there.ping();
  assert.equal(there.inbox.filter(({ type }) => type === "message").length, 0, "nothing twice");
  assert.equal(await subscribers(redis, "ws:channel:room:1"), 1, "reconnect storms leave exactly the right number");
  await until("there are two connections each", async () => (await redis.command("CLIENT", "LIST")).split("\n").filter((line) => line.includes("name=ringcast:")).length === 4);
});

testRedis("subscribed is a promise across instances", { brokers: 2, workers: 2, timeout: 60000 }, async ({ brokers: [a, b] }) => {
  const [one, two] = [await a.connect(), await b.connect()];
  const ROUNDS = 500;
  let late = 0;
  for (let i = 0; i < ROUNDS; i++) {
    if (await confirmed(one, `room:${i}`) > 0) late++;
    await two.publish(`room:${i}`, i);
    assert.equal((await one.next()).data, i);
    await one.unsubscribe(`room:${i}`);
  }
  assert.ok(late < ROUNDS / 2, `Redis was not waited for long enough in ${late} of ${ROUNDS} rounds`);
});

testRedis("whoever comes later to a channel that Redis has not confirmed is not promised more", { brokers: 1, workers: 2, timeout: 60000 }, async ({ brokers: [a], redis }) => {
  const [one, two, three] = await a.connectMany([2, 1]);
  const scopes = async () => {
    const list = [];
    for (const client of [one, two, three, one]) list.push((await client.subscribe("room:1")).scope);
    return list;
  };
  redis.signal("SIGSTOP");
  assert.deepEqual(await scopes(), ["local", "local", "local", "local"]);
  redis.signal("SIGCONT");
  await until("confirmed", async () => (await two.subscribe("room:1")).scope === undefined);
  await until("everybody is promised it", async () => (await scopes()).every((scope) => scope === undefined));
  await redis.publish("ws:channel:room:1", { payload: "once" });
  await redis.publish("ws:broadcast", { payload: "end" });
  for (const client of [one, two, three]) assert.deepEqual(await take(client, 2), ["once", "end"]);
});

testRedis("a Redis that cannot save answers PING with an error and goes on carrying messages", {
  brokers: 2,
  config: { "cluster.heartbeat_interval": "200ms" },
  timeout: 60000,
}, async ({ brokers: [a, b], redis }) => {
  const [there, publisher] = [await b.connect(), await a.connect()];
  await confirmed(there, "room:1");
  mkdirSync(join(redis.folder, "dump.rdb", "in the way"), { recursive: true });
  await redis.command("CONFIG", "SET", "save", "3600 1");
  await redis.command("BGSAVE");
  await until("it cannot save", async () => (await redis.command("INFO", "persistence")).includes("rdb_last_bgsave_status:err"));
  await assert.rejects(redis.command("PING"), /^Error: MISCONF/);
  await heartbeats(redis, ["node-0", "node-1"], 30); // longer than a silent connection is kept
  const failures = async () => (await b.metrics())("ringcast_redis_failures_total");
  assert.equal(await failures(), 0);
  await redisHealth(b, 200);
  await publisher.publish("room:1", 1);
  assert.deepEqual(await there.next(), { type: "message", channel: "room:1", data: 1 }, "and no gap before it");
  await confirmed(there, "room:2");
  // New connections are as good.
  await loseConnections([a, b], 2, async () => {
    for (const type of ["normal", "pubsub"]) await redis.command("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes");
  });
  await Promise.all([a, b].map((broker) => redisHealth(broker, 200)));
  assert.deepEqual(await there.next("gap"), { type: "gap" });
  await publisher.publish("room:2", 2);
  assert.equal((await there.next("message")).data, 2);
});

testRedis("a message of 100 MB hurts nobody", {
  brokers: 1,
  timeout: 60000,
  start: () => startRedis({ args: ["--client-output-buffer-limit", "pubsub", "0", "0", "0"] }),
}, async ({ brokers: [a], redis }) => {
  const client = await a.connect();
  await confirmed(client, "room:1");
  await redis.publish("ws:channel:room:1", Buffer.alloc(100 << 20, 0x61));
  await redis.publish("ws:channel:room:1", { payload: "after" });
  assert.equal((await client.next("message", 20000)).data, "after");
  assert.equal((await a.metrics())("ringcast_redis_too_large_total"), 1);
  await redisHealth(a, 200);
});
