// [[consumer]]: entries that a backend adds to a Redis stream reach clients, each once and in order, whoever of the instances reads, and dies.
import assert from "node:assert/strict";
import { confirmed, startCluster, startRedis, testRedis } from "./lib/redis.mjs";
import { until } from "./lib/util.mjs";

const config = {
  namespace: [{ name: "orders", history: 10000, history_who: "anyone" }],
  consumer: [{ stream: "orders", from: "oldest", room: "orders:{json.customer}", event: "{json.type}", key: "{json.symbol}" }],
};
const options = { config: { ...config, "redis.history_wait": "30s", "redis.outbox_max_age": "60s" } };

const add = (redis, data, { customer = "a", type = "created", symbol = "S" } = {}) =>
  redis.command("XADD", "orders", "*", "customer", customer, "type", type, "symbol", symbol, "data", typeof data === "string" ? data : JSON.stringify(data));

async function listen(broker, channel = "orders:a") {
  const client = await broker.connect();
  const seen = [];
  const gaps = [];
  client.ondelivery = (message) => (message.type === "gap" ? gaps : seen).push(message);
  await confirmed(client, channel);
  return { client, seen, gaps };
}

const reader = async (brokers) => {
  const led = await Promise.all(brokers.map(async (broker) => (await broker.metrics())("ringcast_consumers_led")));
  return led.reduce((sum, one) => sum + one, 0) === 1 ? led.indexOf(1) : -1;
};

/* Which one reads, once one does. */
const whoReads = async (brokers) => {
  let index = -1;
  await until("one reads", async () => (index = await reader(brokers)) >= 0, { timeout: 15000 });
  return index;
};

/* All numbers up to count, once each, in their order, without a hole in the offsets. */
function whole(seen, count, what) {
  assert.deepEqual(seen.map(({ data }) => data.n), Array.from({ length: count }, (_, n) => n), what);
  for (let i = 1; i < seen.length; i++) assert.equal(seen[i].offset, seen[i - 1].offset + 1, what);
}

const kept = async (broker, count) => {
  const client = await broker.connect();
  const messages = [];
  while (messages.length < count) {
    const answer = await client.expect("history", { type: "history", channel: "orders:a", since: messages.at(-1)?.offset ?? 0, limit: 1000 });
    if (answer.messages.length === 0) break;
    messages.push(...answer.messages);
  }
  client.terminate();
  return messages;
};

/* Adds entries, at most 20 ahead of what has arrived, until its end is asked for: how many then. */
function flow(redis, { seen }) {
  let count = 0;
  let going = true;
  const done = (async () => {
    for (; going; count++) {
      await add(redis, { n: count });
      await until("they arrive", () => !going || count < seen.length + 20, { timeout: 60000 });
    }
  })();
  return async () => {
    going = false;
    await done;
    return count;
  };
}

testRedis("an entry is a message for clients of all instances, by its fields", { brokers: 2, timeout: 60000, ...options }, async ({ brokers, redis }) => {
  await whoReads(brokers);
  const listeners = await Promise.all(brokers.map((broker) => listen(broker)));
  await add(redis, { price: 17 }, { type: "sold", symbol: "BTC" });
  await add(redis, "plain text");
  await add(redis, "for another", { customer: "b" });
  await redis.command("XADD", "orders", "*", "customer", "a", "type", "bare", "symbol", "");
  for (const { seen } of listeners) {
    await until("three messages", () => seen.length === 3);
    assert.deepEqual(seen.map(({ event, data, offset }) => [event, data, offset]), [["sold", { price: 17 }, 1], ["created", "plain text", 2], ["bare", null, 3]]);
  }
  assert.deepEqual((await kept(brokers[0], 3)).map(({ key }) => key), ["BTC", "S", undefined]);
  // What is no message is passed over, counted, and holds nothing up.
  await redis.command("XADD", "orders", "*", "no", "customer");
  await redis.command("XADD", "orders", "*", "customer", "a", "type", "x", "symbol", "s", "data", Buffer.from([0xff, 0xfe]));
  await add(redis, "after them");
  await until("it goes on", () => listeners[1].seen.at(-1).data === "after them");
  const index = await whoReads(brokers);
  const metrics = await brokers[index].metrics();
  assert.equal(metrics("ringcast_consumed_refused_total"), 2);
  await until("all is acknowledged", async () => Number((await redis.command("XPENDING", "orders", "ringcast"))[0]) === 0);
  await until("no lag", async () => (await brokers[index].metrics())("ringcast_consumers_lag") === 0);
});

testRedis("an entry for a channel without history reaches all instances, and stays as its value", { brokers: 2, timeout: 60000, config: { consumer: [{ stream: "states", from: "oldest", room: "state:{json.id}", data: "{json}", retain: true }] } }, async ({ brokers, redis }) => {
  const listeners = await Promise.all(brokers.map((broker) => listen(broker, "state:one")));
  await redis.command("XADD", "states", "*", "id", "one", "n", "1");
  await redis.command("XADD", "states", "*", "id", "two", "n", "2");
  for (const { seen } of listeners) {
    await until("it is there", () => seen.length === 1);
    assert.deepEqual(seen[0].data, { id: "one", n: 1 });
  }
  for (const broker of brokers) {
    await until("its value is everywhere", async () => {
      const client = await broker.connect();
      await client.expect("subscribed", { type: "subscribe", channel: "state:two", retained: true });
      await client.ping();
      client.terminate();
      return client.inbox.length === 1 && client.inbox[0].data.n === 2;
    });
  }
});

testRedis("the reader dies, in turn its relay and all of it: each entry once, in order", { brokers: 3, timeout: 170000, ...options }, async ({ brokers, redis }) => {
  const watch = await listen(brokers[2]);
  let alive = [...brokers];
  const end = flow(redis, watch);
  const grown = async (more) => {
    const before = watch.seen.length;
    await until("entries arrive", () => watch.seen.length >= before + more, { timeout: 30000 });
  };
  await grown(20);
  for (let i = 0; i < 3; i++) {
    await until("its relay is killed", async () => { // a relay that was killed has left its gauge behind until the next one is there
      try {
        alive[await whoReads(alive)].kill("SIGKILL", "relay");
        return true;
      } catch {
        return false;
      }
    });
    await grown(20);
  }
  const victim = alive[await whoReads(alive)];
  if (victim !== brokers[2]) {
    alive = alive.filter((broker) => broker !== victim);
    await victim.destroy();
    await grown(20);
  }
  const count = await end();
  await until("all have arrived", () => watch.seen.length >= count, { timeout: 60000 });
  whole(watch.seen, count, "what the subscriber got");
  /* A relay's death is a gap of what nobody keeps, broadcasts to everybody; where the one that reads is the subscriber's own it hears of it. */
  assert.deepEqual(watch.gaps.filter(({ channel }) => channel !== "*"), []);
  whole(await kept(brokers[2], count), count, "what is kept");
});

testRedis("Redis restarts: nothing is lost, nothing comes twice", { brokers: 2, timeout: 120000, ...options, start: () => startRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] }) }, async ({ brokers, redis }) => {
  const watch = await listen(brokers[1]);
  let count = 0;
  for (let round = 0; round < 3; round++) {
    await whoReads(brokers);
    for (let i = 0; i < 50; i++) await add(redis, { n: count++ });
    await redis.kill();
    await redis.start();
  }
  for (let i = 0; i < 20; i++) await add(redis, { n: count++ });
  await until("all have arrived", () => watch.seen.length >= count, { timeout: 60000 });
  whole(watch.seen, count, "what the subscriber got");
  whole(await kept(brokers[0], count), count, "what is kept");
});

testRedis("an entry that a dead reader had published, but not acknowledged, is published once", { brokers: 1, timeout: 60000, ...options }, async ({ brokers: [broker], redis }) => {
  const watch = await listen(broker);
  await whoReads([broker]);
  for (let n = 0; n < 10; n++) await add(redis, { n });
  await until("all", () => watch.seen.length === 10);
  // As if it had died before XACK: they are pending again for whoever reads next.
  await until("all is acknowledged", async () => Number((await redis.command("XPENDING", "orders", "ringcast"))[0]) === 0);
  const consumed = async () => (await broker.metrics())("ringcast_consumed_total");
  await until("all is counted", async () => (await consumed()) === 10);
  await redis.command("XGROUP", "SETID", "orders", "ringcast", "0");
  await until("they are read again", async () => (await consumed()) === 20);
  await add(redis, { n: 10 });
  await until("the next one", () => watch.seen.length >= 11);
  whole(watch.seen, 11, "what the subscriber got");
  assert.equal((await kept(broker, 11)).length, 11);
});

testRedis("a batch that is larger than redis.outbox comes whole, in order", { brokers: 1, timeout: 90000, config: { ...options.config, "redis.outbox": "64KiB" } }, async ({ brokers: [broker], redis }) => {
  await whoReads([broker]);
  const watch = await listen(broker);
  const { relay } = broker.pids();
  process.kill(relay, "SIGSTOP"); // so that it reads as many at a time as it takes
  await Promise.all(Array.from({ length: 150 }, (_, n) => add(redis, { n, text: "x".repeat(4000) })));
  process.kill(relay, "SIGCONT");
  await until("all of them", () => watch.seen.length >= 150, { timeout: 20000 });
  whole(watch.seen, 150, "what the subscriber got");
  assert.deepEqual(watch.gaps, []);
  assert.equal(broker.pids().relay, relay, "the same process");
});

testRedis("an entry that redis.outbox can never have is passed over, said so, and holds nothing up", { brokers: 1, timeout: 60000, config: { ...options.config, "redis.outbox": "64KiB" } }, async ({ brokers: [broker], redis }) => {
  await whoReads([broker]);
  const odd = await listen(broker, "orders:a}b"); // without a shared history: it would be delivered here, and nowhere else
  const watch = await listen(broker);
  await add(redis, { n: 0 });
  await add(redis, { n: "huge", text: "x".repeat(100000) });
  await add(redis, { n: "huge", text: "x".repeat(100000) }, { customer: "a}b" });
  await add(redis, { n: "small" }, { customer: "a}b" });
  await add(redis, { n: 1 });
  await until("it goes on", () => watch.seen.length === 2, { timeout: 20000 });
  whole(watch.seen, 2, "what the subscriber got");
  await until("all is acknowledged", async () => Number((await redis.command("XPENDING", "orders", "ringcast"))[0]) === 0);
  await until("the small one", () => odd.seen.length > 0);
  assert.deepEqual(odd.seen.map(({ data }) => data.n), ["small"]);
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_consumed_refused_total"), 2);
  assert.equal(metrics("ringcast_redis_outbox_dropped_total"), 0);
  await until("the log says so", () => broker.log.some((line) => /consumer_entry_dropped.*larger than redis.outbox/.test(line)));
});

testRedis("an entry for a channel whose name has no place in a shared history is published, and holds nothing up", { brokers: 2, timeout: 60000, ...options }, async ({ brokers, redis }) => {
  await whoReads(brokers);
  const odd = await Promise.all(brokers.map((broker) => listen(broker, "orders:a}b")));
  const watch = await listen(brokers[0]);
  await add(redis, { n: 0 });
  await add(redis, { n: "odd" }, { customer: "a}b" });
  await add(redis, { n: 1 });
  await until("it goes on", () => watch.seen.length === 2, { timeout: 20000 });
  whole(watch.seen, 2, "what the subscriber got");
  for (const one of odd) {
    await until("it is everywhere", () => one.seen.length === 1, { timeout: 20000 });
    assert.deepEqual(one.seen[0].data, { n: "odd" });
  }
  await until("all is acknowledged", async () => Number((await redis.command("XPENDING", "orders", "ringcast"))[0]) === 0);
});

testRedis("in a Cluster", { brokers: 2, timeout: 120000, ...options, start: () => startCluster() }, async ({ brokers, redis }) => {
  const watch = await listen(brokers[1]);
  await whoReads(brokers);
  const owner = await redis.ownerOf(await redis.nodes[0].command("CLUSTER", "KEYSLOT", "orders"));
  for (let n = 0; n < 100; n++) await add(owner, { n });
  await until("all", () => watch.seen.length >= 100, { timeout: 30000 });
  whole(watch.seen, 100, "what the subscriber got");
});

testRedis("a stream that is another type, cut, deleted, or loses its group: what is left comes once, in order; a history that ends takes nothing with it", { brokers: 2, timeout: 90000, ...options }, async ({ brokers, redis }) => {
  await redis.command("SET", "orders", "no stream");
  const listeners = await Promise.all(brokers.map((broker) => listen(broker)));
  const [{ seen, gaps }] = listeners;
  const refused = async () => {
    const lines = brokers.flatMap((broker) => broker.log.filter((line) => /consumer_refused/.test(line)));
    return lines.length > 0 && lines;
  };
  assert.match((await until("it is told", refused, { timeout: 15000 }))[0], /WRONGTYPE/);
  await redis.command("DEL", "orders");
  const has = (count) => until(`${count} came`, () => listeners.every((one) => one.seen.length >= count), { timeout: 20000 });
  for (let n = 0; n < 3; n++) await add(redis, { n });
  await has(3);
  // Somebody cuts what nobody has read, and deletes single ones, while the reader stands still; what is left of the batch goes on.
  const index = await whoReads(brokers);
  const { relay } = brokers[index].pids();
  process.kill(relay, "SIGSTOP");
  const ids = [];
  for (const n of ["cut", "cut", 3, "deleted", 4]) ids.push(await add(redis, { n }));
  await redis.command("XTRIM", "orders", "MINID", ids[2]);
  await redis.command("XDEL", "orders", ids[3]);
  process.kill(relay, "SIGCONT");
  await has(5);
  // The whole stream goes, with its group; then the group alone.
  await redis.command("DEL", "orders");
  for (let n = 5; n < 8; n++) await add(redis, { n });
  await has(8);
  await redis.command("XGROUP", "DESTROY", "orders", "ringcast");
  await add(redis, { n: 8 });
  await has(9);
  for (const one of listeners) whole(one.seen, 9, "what is left");
  assert.deepEqual(gaps, []);
  // The channel's own history is lost: a new epoch, and the next entry is in it.
  await redis.command("DEL", "ws:offsets:{ws:channel:orders:a}", "ws:history:{ws:channel:orders:a}");
  await add(redis, { n: 9 });
  await has(10);
  await add(redis, { n: 10 });
  await has(11);
  assert.deepEqual(seen.map(({ data }) => data.n), Array.from({ length: 11 }, (_, n) => n));
  assert.deepEqual(listeners[1].seen.map(({ data }) => data.n), Array.from({ length: 11 }, (_, n) => n));
});
