// A failover that keeps connections open (FAILOVER TO, managed Redis): who talks to a replica then is told nothing by Redis, which takes
// every PUBLISH for its own subscribers.
import assert from "node:assert/strict";
import { confirmed, delay, redisHealth, startRedis, startRedisAndWire, subscribers, testRedis, until } from "./lib/redis.mjs";

const role = async (server) => (await server.command("ROLE"))[0];

/* A master behind a wire and its replica. */
async function startPair() {
  const redis = await startRedisAndWire();
  const replica = await startRedis({ args: ["--replicaof", "127.0.0.1", String(redis.port)] });
  await until("the replica is in sync", async () => (await redis.command("INFO", "replication")).includes("state=online"));
  const destroy = redis.destroy.bind(redis);
  redis.destroy = async () => {
    await replica.destroy();
    await destroy();
  };
  redis.replica = replica;
  redis.failOver = async (from, to) => {
    await from.command("FAILOVER", "TO", "127.0.0.1", String(to.port));
    await until("it failed over", async () => (await role(from)) === "slave" && (await role(to)) === "master", { timeout: 15000 });
  };
  return redis;
}

testRedis("a master that becomes a replica with its connections open: said in time, nothing lost in silence", {
  brokers: 2,
  start: startPair,
  url: (redis) => redis.wire.url,
  timeout: 60000,
}, async ({ brokers: [a, b], redis }) => {
  const [there, publisher] = [await b.connect(), await a.connect()];
  await confirmed(there, "room:1");
  let sent = 0;
  let going = true;
  const load = (async () => {
    while (going) {
      await publisher.publish("room:1", sent++);
      await delay(2);
    }
  })();
  await until("messages arrive", () => there.inbox.length > 10);
  await redis.failOver(redis, redis.replica);
  for (const broker of [a, b]) await until("it is said", async () => /replica/.test((await redisHealth(broker, 503)).error));
  assert.equal((await (await a.connect()).subscribe("room:2")).scope, "local");
  const away = sent;
  await until("messages wait", async () => (await a.metrics())("ringcast_redis_outbox_messages") > 50);
  await until("it is dialed again, and no better", async () => /not the master/.test((await redisHealth(a, 503)).latest_error));
  redis.wire.lead(redis.replica.port);
  for (const broker of [a, b]) await redisHealth(broker, 200, 10000);
  await until("it is subscribed there", async () => (await subscribers(redis.replica, "ws:channel:room:1")) === 1);
  going = false;
  await load;
  await publisher.publish("room:1", "end");
  const got = [];
  let gaps = 0;
  for (;;) {
    const { type, data } = await there.next(undefined, 10000);
    if (type === "gap") gaps++;
    else if (data === "end") break;
    else got.push(data);
  }
  for (let i = 1; i < got.length; i++) assert.ok(got[i] > got[i - 1], `${got[i]} behind ${got[i - 1]}`);
  assert.ok(gaps > 0);
  assert.equal(got.filter((i) => i >= away).length, sent - away, "what was published after it was said waited for the new master");
  console.log(`# ${sent} published, ${sent - got.length} lost, ${gaps} gaps`);
});

testRedis("a plain URL that leads to a replica: not connected, until it is a master", { brokers: 1, ready: false, start: startPair, url: (redis) => redis.replica.url }, async ({ brokers: [a], redis }) => {
  await until("it is said", async () => /not the master/.test((await redisHealth(a, 503)).error));
  await redis.failOver(redis, redis.replica);
  await redisHealth(a, 200, 10000);
});

testRedis("a server that does not let its role be asked is taken as it is", {
  brokers: 2,
  start: () => startRedis({ args: ["--rename-command", "HELLO", "", "--rename-command", "ROLE", ""] }),
}, async ({ brokers: [a, b] }) => {
  const there = await b.connect();
  await confirmed(there, "room:1");
  await (await a.connect()).publish("room:1", 1);
  assert.equal((await there.next()).data, 1);
});
