// Sentinel and Cluster with nothing but TLS, and Valkey in Redis' place.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { confirmed, loseConnections, makeCertificates, redisHealth, startCluster, startRedis, startSentinels, subscribers, testRedis, until } from "./lib/redis.mjs";

const certificates = makeCertificates();
process.on("exit", () => certificates.destroy());
const tls = {
  "redis.tls_ca": certificates.ca,
  "redis.tls_certificate": certificates.client.cert,
  "redis.tls_key": certificates.client.key,
};

async function cross([a, b], channel) {
  const [one, two] = [await a.connect(), await b.connect()];
  for (const client of [one, two]) await confirmed(client, channel);
  await two.publish(channel, { on: channel });
  for (const client of [one, two]) assert.deepEqual((await client.next("message")).data, { on: channel });
  await one.direct(two.id, "direct");
  assert.equal((await two.next("direct")).data, "direct");
  await one.broadcast("all");
  assert.equal((await two.next("message")).data, "all");
  return [one, two];
}

testRedis("Sentinel over TLS: found, and followed when the master dies", {
  brokers: 2,
  start: () => startSentinels({ tls: certificates.server }),
  config: tls,
  timeout: 90000,
}, async ({ brokers: [a, b], redis }) => {
  const [one, two] = await cross([a, b], "room:1");
  const first = await redis.master();
  await until("the log says so", () => a.log.some((line) => /redis_connected role="commands".* tls=1/.test(line)));
  await loseConnections([a, b], 1, () => first.kill()); // however soon there is another one
  await Promise.all([a, b].map((broker) => redisHealth(broker, 200, 30000)));
  await until("a new master has the subscriptions", async () => {
    const master = await redis.master();
    return master !== first && (await subscribers(master, "ws:channel:room:1")) === 2;
  }, { timeout: 30000 });
  for (const client of [one, two]) await client.next("gap");
  await one.publish("room:1", "after");
  assert.equal((await two.next("message")).data, "after");
});

for (const sharded of [false, true]) {
  testRedis(`a Cluster over TLS, ${sharded ? "sharded" : "classic"}, one of whose masters dies`, {
    brokers: 2,
    start: () => startCluster({ tls: certificates.server }),
    config: { ...tls, "redis.sharded": sharded },
    timeout: 120000,
  }, async ({ brokers: [a, b], redis }) => {
    for (let i = 0; i < 6; i++) await cross([a, b], `room:${i}`);
    const [one, two] = await cross([a, b], "room:9");
    const homeOf = (broker) => Number(broker.log.filter((line) => line.includes("redis_cluster_home")).at(-1).match(/:(\d+)"/)[1]);
    const home = homeOf(a);
    // Whichever node answered first is home: it need not be the same one for both.
    const concerned = [one, ...(homeOf(b) === home ? [two] : [])];
    await loseConnections([a, b], 1, () => redis.nodes.find((node) => node.port === home).kill());
    for (const client of concerned) await client.next("gap", 30000);
    await Promise.all([a, b].map((broker) => redisHealth(broker, 200, 30000)));
    // The channel's own shard may have been that master: once the other one hears what is said there it hears all that follows.
    await until("it is heard again", async () => {
      await two.publish("room:9", "probe");
      return one.inbox.some(({ data }) => data === "probe");
    }, { timeout: 30000, every: 100 });
    for (let i = 0; i < 20; i++) {
      await two.publish("room:9", i);
      for (const client of [one, two]) assert.equal((await client.next(({ type, channel, data }) => type === "message" && channel === "room:9" && data !== "probe", 10000)).data, i);
    }
  });
}

const NO_VALKEY = (() => {
  try {
    execFileSync("valkey-server", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "valkey-server is not installed (Debian has it from 13 on)";
  }
})();

testRedis("Valkey works the same", { brokers: 2, skip: NO_VALKEY, start: () => startRedis({ program: "valkey-server" }), timeout: 60000 }, async ({ brokers, redis }) => {
  const [one, two] = await cross(brokers, "room:1");
  await redis.kill();
  await Promise.all(brokers.map((broker) => redisHealth(broker, 503)));
  await two.publish("room:1", "kept");
  await redis.start();
  await Promise.all(brokers.map((broker) => redisHealth(broker, 200)));
  assert.equal((await one.next(({ data }) => data === "kept")).data, "kept");
  await one.next("gap");
  await redis.publish("ws:channel:room:1", { payload: "from a backend" });
  for (const client of [one, two]) await client.next(({ data }) => data === "from a backend");
});

testRedis("a Valkey Cluster works the same, sharded", {
  brokers: 2,
  skip: NO_VALKEY,
  start: () => startCluster({ program: "valkey-server" }),
  config: { "redis.sharded": true },
  timeout: 90000,
}, async ({ brokers }) => {
  for (let i = 0; i < 6; i++) await cross(brokers, `room:${i}`);
});
