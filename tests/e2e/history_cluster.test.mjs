// A history that all instances share: the same offsets everywhere, what is lost on the way is read from Redis, and what cannot be is told.
import assert from "node:assert/strict";
import { redisHealth, testRedis } from "./lib/redis.mjs";
import { until } from "./lib/util.mjs";

const config = { namespace: [{ name: "log", history: 1000, history_who: "anyone" }] };

/* What a client knows of a channel, in the order in which it came. */
async function listen(broker, channel) {
  const client = await broker.connect();
  const seen = [];
  const gaps = [];
  client.ondelivery = (message) => {
    if (message.type === "gap" && (message.channel === channel || message.channel === undefined)) gaps.push(message);
    if (message.type === "message" && message.channel === channel) seen.push([message.offset, message.data]);
  };
  await client.subscribe(channel);
  return { client, seen, gaps };
}

const told = async (broker, channel, since = 0) => {
  const client = await broker.connect();
  const answer = await client.expect("history", { type: "history", channel, since, limit: 1000 });
  client.terminate();
  return answer;
};

/* Offsets without a hole, data without a second copy. */
function whole(seen, count) {
  assert.equal(seen.length, count);
  for (let i = 1; i < seen.length; i++) assert.equal(seen[i][0], seen[i - 1][0] + 1, `behind ${seen[i - 1]} comes ${seen[i]}`);
  assert.equal(new Set(seen.map(([, data]) => data)).size, count, "each once");
}

testRedis("a message has the same offset and epoch on all instances, also for who comes later on another", { brokers: 3, config, timeout: 60000 }, async ({ brokers }) => {
  const listeners = await Promise.all(brokers.map((broker) => listen(broker, "log:a")));
  await Promise.all(brokers.map(async (broker, b) => {
    const publisher = await broker.connect();
    for (let n = 0; n < 50; n++) await publisher.publish("log:a", `${b}.${n}`);
    publisher.terminate();
  }));
  for (const { seen } of listeners) await until("all of them", () => seen.length >= 150);
  for (const { seen, gaps } of listeners) {
    whole(seen, 150);
    assert.deepEqual(seen, listeners[0].seen, "one order everywhere");
    assert.deepEqual(gaps, []);
  }
  const answers = await Promise.all(brokers.map((broker) => told(broker, "log:a")));
  for (const answer of answers) {
    assert.equal(answer.epoch, answers[0].epoch);
    assert.deepEqual(answer.messages.map(({ offset, data }) => [offset, data]), listeners[0].seen);
  }
  // Nobody is subscribed there: what is published is counted all the same, and who comes finds it.
  const publisher = await brokers[0].connect();
  for (let n = 0; n < 20; n++) await publisher.publish("log:b", n);
  const late = await listen(brokers[2], "log:b");
  const found = await told(brokers[2], "log:b");
  assert.deepEqual(found.messages.map(({ offset, data }) => [offset, data]), Array.from({ length: 20 }, (_, n) => [n + 1, n]));
  await publisher.publish("log:b", "next");
  await until("it goes on", () => late.seen.length === 1);
  assert.deepEqual(late.seen, [[21, "next"]]);
});

testRedis("a subscription that is killed while messages flow costs nobody a message", { brokers: 2, config, timeout: 90000 }, async ({ brokers, redis }) => {
  const listeners = await Promise.all(brokers.map((broker) => listen(broker, "log:a")));
  const publishers = await Promise.all(brokers.map((broker) => broker.connect()));
  let count = 0;
  for (let round = 0; round < 10; round++) {
    const flow = publishers.map(async (publisher, p) => {
      for (let n = 0; n < 60; n++) {
        await publisher.publish("log:a", `${round}.${p}.${n}`);
        count++;
      }
    });
    await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
    await Promise.all(flow);
  }
  for (const { seen } of listeners) await until("all of them", () => seen.length >= count, { timeout: 15000 });
  for (const { seen, gaps } of listeners) {
    whole(seen, count);
    assert.deepEqual(seen, listeners[0].seen, "one order everywhere");
    assert.deepEqual(gaps, []);
  }
  const repairs = await Promise.all(brokers.map(async (broker) => (await broker.metrics())("ringcast_history_repairs_total")));
  assert.ok(repairs.every((repaired) => repaired > 0), `${repairs}`);
});

testRedis("Redis restarts inside of history: nothing is lost, and nobody is told of a gap", { brokers: 2, config: { ...config, "redis.history_wait": "20s", "redis.outbox_max_age": "30s" }, timeout: 90000, start: async () => {
  const { startRedis } = await import("./lib/redis.mjs");
  return startRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
} }, async ({ brokers, redis }) => {
  const listeners = await Promise.all(brokers.map((broker) => listen(broker, "log:a")));
  const publishers = await Promise.all(brokers.map((broker) => broker.connect()));
  let count = 0;
  for (let round = 0; round < 3; round++) {
    const flow = publishers.map(async (publisher, p) => {
      for (let n = 0; n < 40; n++) {
        await publisher.publish("log:a", `${round}.${p}.${n}`);
        count++;
      }
    });
    await redis.kill();
    await redis.start();
    await Promise.all(flow);
  }
  for (const { seen } of listeners) await until("all of them", () => seen.length >= count, { timeout: 15000 });
  for (const { seen, gaps } of listeners) {
    whole(seen, count);
    assert.deepEqual(seen, listeners[0].seen, "one order everywhere");
    assert.deepEqual(gaps, []);
  }
});
