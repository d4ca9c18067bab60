// Retained values of several instances: the newest wins everywhere, what was missed is caught up with, and Redis may end and begin again.
import assert from "node:assert/strict";
import { startBroker } from "./lib/broker.mjs";
import { NO_FAKE_CLOCK, fakeClock } from "./lib/clock.mjs";
import { confirmed, redisHealth, startCluster, testRedis } from "./lib/redis.mjs";
import { until } from "./lib/util.mjs";

const config = { namespace: [{ name: "state", retain: "anyone" }] };

/* What a fresh client of the broker gets for subscribing. */
async function values(broker, channel) {
  const client = await broker.connect();
  await client.expect("subscribed", { type: "subscribe", channel, retained: true });
  await client.ping();
  client.terminate();
  return client.inbox.map((message) => message.data);
}

const holds = (broker, channel, ...expected) => until(`${channel} is ${JSON.stringify(expected)} on ${broker.config["server.instance_id"]}`, async () => JSON.stringify(await values(broker, channel)) === JSON.stringify(expected), { every: 30 });

const keep = async (broker, channel, data, more) => {
  const client = await broker.connect();
  await client.publish(channel, data, { retain: true, ...more });
  client.terminate();
};

testRedis("a value is the same on all instances, also on one that comes later, and is taken away on all", { brokers: 2, config, timeout: 60000 }, async ({ brokers: [one, two], redis }) => {
  await keep(one, "state:a", { n: 1 });
  await holds(two, "state:a", { n: 1 });
  await keep(two, "state:a", { n: 2 }, { event: "named" });
  await holds(one, "state:a", { n: 2 });
  await keep(one, "state:k", 1, { key: "x" });
  await keep(two, "state:k", 2, { key: "y" });
  for (const broker of [one, two]) await until("both keys", async () => JSON.stringify((await values(broker, "state:k")).sort()) === "[1,2]");
  const late = await startBroker({ config: { "redis.url": redis.url, "server.instance_id": "late", ...config } });
  try {
    await holds(late, "state:a", { n: 2 });
    await until("both keys", async () => (await values(late, "state:k")).length === 2);
    await keep(late, "state:a", null);
    for (const broker of [one, two, late]) await holds(broker, "state:a");
    // Bytes and arguments go the same way.
    const client = await late.connect();
    await client.expect("published", { type: "publish", channel: "state:args", event: "e", args: ["x", { y: 2 }], retain: true });
    client.terminate();
    await until("arguments arrive", async () => {
      const reader = await one.connect();
      await reader.expect("subscribed", { type: "subscribe", channel: "state:args", retained: true });
      await reader.ping();
      reader.terminate();
      return JSON.stringify(reader.inbox) === '[{"type":"message","channel":"state:args","retained":true,"event":"e","args":["x",{"y":2}]}]';
    });
  } finally {
    await late.stop();
    await late.destroy();
  }
});

/* Subscribers of the second instance, a publisher on the first. */
testRedis("on another instance, too, the value comes first and then exactly what is newer", { brokers: 2, config, timeout: 90000 }, async ({ brokers: [one, two] }) => {
  const publisher = await one.connect();
  const listener = await two.connect(); // the channel is wanted there all the time
  await confirmed(listener, "state:loop");
  let running = true;
  const pump = (async () => {
    for (let n = 1; running; n++) await publisher.publish("state:loop", n, { retain: true });
  })();
  for (let round = 0; round < 40; round++) {
    const client = await two.connect();
    const numbers = [];
    client.ondelivery = (message) => numbers.push(message.data);
    await client.expect("subscribed", { type: "subscribe", channel: "state:loop", retained: true });
    await until("a few messages", () => numbers.length >= 5);
    for (let i = 1; i < numbers.length; i++) assert.equal(numbers[i], numbers[i - 1] + 1, `round ${round}: ${numbers.slice(0, 8)}`);
    client.terminate();
  }
  running = false;
  await pump;
});

testRedis("while Redis is away values stand, and the newest is everywhere when it is back", { brokers: 2, config, timeout: 90000 }, async ({ brokers: [one, two], redis }) => {
  await keep(one, "state:a", "before");
  await keep(one, "state:gone", "before");
  await holds(two, "state:a", "before");
  await holds(two, "state:gone", "before");
  await redis.kill();
  await Promise.all([one, two].map((broker) => redisHealth(broker, 503, 15000)));
  await keep(one, "state:a", "one, while it was away");
  await keep(two, "state:b", "two, while it was away");
  await keep(two, "state:gone", null);
  await holds(one, "state:a", "one, while it was away");
  await holds(two, "state:a", "before");
  await keep(two, "state:a", "two, later");
  await redis.start(); // with nothing in it
  for (const broker of [one, two]) {
    await holds(broker, "state:a", "two, later");
    await holds(broker, "state:b", "two, while it was away");
    await holds(broker, "state:gone");
  }
});

testRedis("a whole broker ends and begins again: its values are those of Redis", { brokers: 1, config, timeout: 60000 }, async ({ brokers: [one], redis }) => {
  await keep(one, "state:a", [1, 2]);
  await until("it is in Redis", async () => (await redis.command("HLEN", "retained")) === 1);
  const again = await startBroker({ config: { "redis.url": redis.url, "server.instance_id": "again", ...config } });
  try {
    await one.stop();
    await holds(again, "state:a", [1, 2]);
    await redis.command("PUBLISH", "ws:retained", "state:a\n\n1 5 x 0 0\n\"too old\"");
    await redis.command("PUBLISH", "ws:retained", "state:a\n\n1 99999999999999 x 0 0\nno json");
    await redis.command("PUBLISH", "ws:retained", "nonsense");
    await redis.command("PUBLISH", "ws:retained", "state:b\nkey\n1 5 x 0 2\nev7");
    await holds(again, "state:b", 7);
    await holds(again, "state:a", [1, 2]);
  } finally {
    await again.stop();
    await again.destroy();
  }
});

testRedis("a value whose time is years ahead is kept by nobody, and the next one takes its place", { brokers: 2, config, timeout: 60000 }, async ({ brokers: [one, two], redis }) => {
  const mad = `1 ${Date.now() + 10 * 365 * 86400000} zzz 0 0\n"mad"`;
  await keep(one, "state:a", "good");
  await holds(two, "state:a", "good");
  // As an instance with such a clock writes and tells it.
  await redis.command("HSET", "retained", "state:a\n", mad);
  await redis.command("PUBLISH", "ws:retained", `state:a\n\n${mad}`);
  await until("both have refused it", async () => (await Promise.all([one, two].map((broker) => broker.metrics()))).every((metrics) => metrics("ringcast_redis_malformed_total") > 0));
  for (const broker of [one, two]) assert.deepEqual(await values(broker, "state:a"), ["good"]);
  await keep(two, "state:a", "better");
  await holds(one, "state:a", "better");
  assert.match(await redis.command("HGET", "retained", "state:a\n"), /"better"$/);
});

testRedis("in a Cluster", { brokers: 2, config, start: () => startCluster(), timeout: 120000 }, async ({ brokers: [one, two] }) => {
  await keep(one, "state:a", { n: 1 });
  await keep(two, "state:b", { n: 2 });
  await holds(two, "state:a", { n: 1 });
  await holds(one, "state:b", { n: 2 });
});

/* An hour apart: whose clock is behind is not passed over, and neither relay forgets which one was newer. */
const ahead = fakeClock(3600);
testRedis("clocks that differ: what is kept later is what holds, on whichever instance, also behind a relay's end", {
  brokers: 1, config, skip: NO_FAKE_CLOCK, timeout: 90000,
}, async ({ brokers: [behind], redis }) => {
  const before = await startBroker({ config: { "redis.url": redis.url, "server.instance_id": "ahead", ...config }, env: ahead.env });
  const both = [behind, before];
  const everywhere = async (data) => {
    for (const broker of both) await holds(broker, "state:a", ...(data === null ? [] : [data]));
  };
  try {
    for (const end of [() => {}, (broker) => broker.killRelay()]) {
      for (const broker of [before, behind, before, behind]) {
        const data = `by ${broker.config["server.instance_id"]}`;
        await keep(broker, "state:a", data);
        await everywhere(data);
        for (const each of both) await end(each);
        await everywhere(data);
      }
    }
    await keep(before, "state:a", null);
    await everywhere(null);
    await keep(behind, "state:a", "again");
    await everywhere("again");
    await keep(behind, "state:a", null);
    await behind.killRelay();
    await everywhere(null);
  } finally {
    await before.stop();
    await before.destroy();
  }
});
