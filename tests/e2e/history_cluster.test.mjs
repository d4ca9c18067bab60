// A history that all instances share: the same offsets everywhere, what is lost on the way is read from Redis, and what cannot be is told.
import assert from "node:assert/strict";
import test from "node:test";
import { NO_REDIS, redisHealth, startBrokers, startCluster, startRedis, startRedisAndWire, startSentinels, testRedis } from "./lib/redis.mjs";
import { SLOWER, until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
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

const places = (answer) => answer.messages.map(({ offset, data }) => [offset, data]);

/* Waits until every listener has so many; says what is missing where. */
async function complete(listeners, count) {
  await until("all of them", () => listeners.every(({ seen }) => seen.length >= count), { timeout: 15000 }).catch((error) => {
    for (const [i, { seen, gaps }] of listeners.entries()) error.message += `\nlistener ${i}: ${seen.length} of ${count}, gaps ${JSON.stringify(gaps)}, ${JSON.stringify(seen.slice(-5))}; holes ${JSON.stringify(seen.filter(([offset], at) => at > 0 && offset !== seen[at - 1][0] + 1))}`;
    throw error;
  });
}

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
  await complete(listeners, 150);
  for (const { seen, gaps } of listeners) {
    whole(seen, 150);
    assert.deepEqual(seen, listeners[0].seen, "one order everywhere");
    assert.deepEqual(gaps, []);
  }
  const answers = await Promise.all(brokers.map((broker) => told(broker, "log:a")));
  for (const answer of answers) {
    assert.equal(answer.epoch, answers[0].epoch);
    assert.deepEqual(places(answer), listeners[0].seen);
  }
  // Nobody is subscribed there: what is published is counted all the same, and who comes finds it.
  const publisher = await brokers[0].connect();
  for (let n = 0; n < 20; n++) await publisher.publish("log:b", n);
  const late = await listen(brokers[2], "log:b");
  const found = await told(brokers[2], "log:b");
  assert.deepEqual(places(found), Array.from({ length: 20 }, (_, n) => [n + 1, n]));
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
  await complete(listeners, count);
  for (const { seen, gaps } of listeners) {
    whole(seen, count);
    assert.deepEqual(seen, listeners[0].seen, "one order everywhere");
    assert.deepEqual(gaps, []);
  }
  const repairs = await Promise.all(brokers.map(async (broker) => (await broker.metrics())("ringcast_history_repairs_total")));
  assert.ok(repairs.some((repaired) => repaired > 0), `${repairs}`);
});

testRedis("Redis restarts inside of history: nothing is lost, and nobody is told of a gap", { brokers: 2, config: { ...config, "redis.history_wait": "20s", "redis.outbox_max_age": "30s" }, timeout: 90000, start: () => startRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] }) }, async ({ brokers, redis }) => {
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
  await complete(listeners, count);
  for (const { seen, gaps } of listeners) {
    whole(seen, count);
    assert.deepEqual(seen, listeners[0].seen, "one order everywhere");
    assert.deepEqual(gaps, []);
  }
});

testRedis("an outbox that is full, or too small for a message, costs this host nothing: what it cannot keep is delivered alone", { brokers: 2, config: { ...config, "redis.outbox": "64KiB", "redis.history_wait": "30s", "redis.outbox_max_age": "60s" }, timeout: 90000, start: startRedisAndWire, url: (redis) => [redis.wire.url, redis.url] }, async ({ brokers, redis }) => {
  const listeners = await Promise.all(brokers.map((broker) => listen(broker, "log:a")));
  const publisher = await brokers[0].connect();
  await publisher.publish("log:a", "before");
  await complete(listeners, 1);
  const { relay } = brokers[0].pids();
  redis.wire.cut();
  await redisHealth(brokers[0], 503);
  const numbers = Array.from({ length: 200 }, (_, n) => n);
  await Promise.all(numbers.map((n) => publisher.publish("log:a", `${n} ${"x".repeat(1000)}`)));
  await publisher.publish("log:a", `200 ${"x".repeat(200000)}`);
  const [{ seen, gaps }] = listeners;
  await until("all of them", () => seen.length === 202);
  assert.deepEqual(seen.slice(1).map(([, data]) => Number(data.split(" ")[0])), [...numbers, 200]);
  assert.equal(gaps.filter(({ channel }) => channel === "log:a").length, 1, "the epoch of this host");
  redis.wire.mend();
  await redisHealth(brokers[0], 200);
  await until("both are in one epoch again", async () => {
    const [here, there] = await Promise.all(brokers.map((broker) => told(broker, "log:a")));
    return here.epoch === there.epoch;
  }, { timeout: 15000 });
  await publisher.publish("log:a", "after");
  await until("it is heard everywhere", () => listeners.every((one) => one.seen.at(-1)[1] === "after"));
  assert.equal(brokers[0].pids().relay, relay, "the same process");
});

testRedis("the very first message, missed by a subscriber, is delivered", { brokers: 2, config, timeout: 60000 }, async ({ brokers: [one, two], redis }) => {
  const { seen, gaps } = await listen(two, "log:first");
  // Nobody of node-1 hears what comes now: its subscription goes, and may not come back before the message is there.
  await redis.command("CLIENT", "PAUSE", "300", "WRITE");
  const publisher = await one.connect();
  const published = publisher.publish("log:first", "x");
  await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
  await published;
  await until("it is there", () => seen.length === 1);
  assert.deepEqual([seen, gaps], [[[1, "x"]], []]);
});

testRedis("Redis is away for longer than history_wait: each host goes on alone, is told so, and all agree again when it is back", { brokers: 2, config: { ...config, "redis.history_wait": "4s" }, timeout: 60000 }, async ({ brokers, redis }) => {
  const listeners = await Promise.all(brokers.map((broker) => listen(broker, "log:a")));
  const publishers = await Promise.all(brokers.map((broker) => broker.connect()));
  await publishers[0].publish("log:a", "before");
  await complete(listeners, 1);
  const shared = (await told(brokers[0], "log:a")).epoch;
  await redis.kill();
  for (const broker of brokers) await redisHealth(broker, 503);
  for (const [p, publisher] of publishers.entries()) for (const n of [1, 2]) await publisher.publish("log:a", `alone ${p}.${n}`);
  for (const [i, { seen, gaps }] of listeners.entries()) {
    await until("both", () => seen.length === 3);
    assert.deepEqual(seen.slice(1), [[1, `alone ${i}.1`], [2, `alone ${i}.2`]]);
    assert.equal(gaps.length, 1);
  }
  const epochs = await Promise.all(brokers.map(async (broker) => (await told(broker, "log:a")).epoch));
  assert.equal(new Set([shared, ...epochs]).size, 3, "each in an epoch of its own");
  await redis.start();
  for (const broker of brokers) await redisHealth(broker, 200, 10000);
  for (const { gaps } of listeners) await until("the shared epoch holds again", () => gaps.length === 2, { timeout: 10000 });
  await publishers[1].publish("log:a", "after");
  for (const { seen } of listeners) await until("it arrives", () => seen.at(-1)[1] === "after");
  const kept = await Promise.all(brokers.map((broker) => told(broker, "log:a")));
  assert.equal(kept[0].epoch, kept[1].epoch);
  assert.deepEqual(places(kept[0]), places(kept[1]));
  assert.deepEqual(kept[0].messages.map(({ data }) => data).sort(), ["after", "alone 0.1", "alone 0.2", "alone 1.1", "alone 1.2"], "what was said alone is everybody's");
  for (const { seen } of listeners) assert.equal(new Set(seen.map(([, data]) => data)).size, seen.length, "and came once");
});

testRedis("Redis that lost what was delivered ends the epoch, which is told", { brokers: 2, config: { ...config, "redis.history_wait": "20s" }, timeout: 60000 }, async ({ brokers, redis }) => {
  const listeners = await Promise.all(brokers.map((broker) => listen(broker, "log:a")));
  const publisher = await brokers[0].connect();
  for (let n = 0; n < 5; n++) await publisher.publish("log:a", n);
  await complete(listeners, 5);
  const { epoch } = await told(brokers[1], "log:a");
  // As after a failover that lost writes: the newest two are gone, and others take their offsets.
  const [key] = await redis.command("KEYS", "ws:offsets:*");
  const stream = key.replace("offsets", "history");
  await redis.command("XTRIM", stream, "MAXLEN", "0");
  await redis.command("DEL", stream);
  await redis.command("HSET", key, "offset", "3");
  await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
  for (const { gaps } of listeners) await until("the end of the epoch is told", () => gaps.length > 0);
  await publisher.publish("log:a", "new");
  for (const { seen } of listeners) await until("it goes on", () => seen.at(-1)[1] === "new");
  const after = await Promise.all(brokers.map((broker) => told(broker, "log:a")));
  assert.notEqual(after[0].epoch, epoch);
  assert.equal(after[0].epoch, after[1].epoch);
  assert.deepEqual(places(after[0]), places(after[1]));
  // And when it lost everything.
  await redis.command("FLUSHALL");
  await publisher.publish("log:a", "newer");
  for (const { seen } of listeners) await until("it goes on", () => seen.at(-1)[1] === "newer");
  assert.deepEqual(listeners[1].seen.at(-1), [1, "newer"]);
  assert.ok(listeners.every(({ gaps }) => gaps.length >= 2));
});

/* Another epoch begins in Redis, as an instance begins it that finds writes lost; in it somebody published the last message once more. */
async function another(redis, name, epoch) {
  const [offsets, stream] = [`ws:offsets:{ws:channel:${name}}`, `ws:history:{ws:channel:${name}}`];
  const [[id, fields]] = await redis.command("XREVRANGE", stream, "+", "-", "COUNT", "1");
  const next = parseInt(id) + 1;
  await redis.command("XADD", stream, `${next}-0`, ...fields);
  await redis.command("HSET", offsets, "epoch", epoch, "offset", String(next));
}

testRedis("who had the last message of an epoch that has ended is not told that nothing was missed", { brokers: 1, config, timeout: 60000 }, async ({ brokers: [broker], redis }) => {
  const { gaps } = await listen(broker, "log:a");
  const publisher = await broker.connect();
  for (let n = 1; n <= 3; n++) await publisher.publish("log:a", n);
  const { epoch } = await told(broker, "log:a");
  await another(redis, "log:a", "8000000000000000000"); // later than all that have begun
  await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
  await until("the end of the epoch is told", () => gaps.length > 0);
  // Nothing was published here since: this worker's subscribers are where they were.
  const back = await broker.connect();
  const answer = await back.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch, offset: 3 } });
  assert.equal(answer.recovered, false, JSON.stringify(answer));
  // It is told the new epoch at once, and may have what there is of it.
  const now = await told(broker, "log:a");
  assert.notEqual(now.epoch, epoch);
  assert.deepEqual([answer.epoch, answer.offset], [now.epoch, 4]);
  const since = await broker.connect();
  assert.equal((await since.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch, offset: 3 }, since: "last 2" })).recovered, false);
  const heard = async (client) => {
    const message = await client.next("message");
    return [message.offset, message.data];
  };
  assert.deepEqual([await heard(since), await heard(since)], [[3, 3], [4, 3]]);
  await publisher.publish("log:a", "next");
  assert.deepEqual([await heard(since), await heard(back)], [[5, "next"], [5, "next"]]);
});

/* As after a failover that lost the newest writes, of which no connection of ours knows: a Cluster's subscriptions lead to any node. */
async function lose(redis, name, count) {
  const [offsets, stream] = [`ws:offsets:{ws:channel:${name}}`, `ws:history:{ws:channel:${name}}`];
  const left = (await redis.command("XRANGE", stream, "-", "+")).slice(0, -count);
  await redis.command("DEL", stream);
  for (const [id, fields] of left) await redis.command("XADD", stream, id, ...fields);
  await redis.command("HSET", offsets, "offset", String(parseInt(left.at(-1)[0])));
}

for (const [who, knows] of [["by who had them", 0], ["by who knows nothing of the channel", 1]]) {
  testRedis(`lost writes whose offsets are given again, ${who}: a new epoch, told, though no connection broke`, { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
    const { seen, gaps } = await listen(brokers[0], "log:a");
    const publishers = await Promise.all(brokers.map((broker) => broker.connect()));
    const places = new Map(); // "epoch offset" to what was published there
    const publish = async (from, data) => {
      const { epoch, offset } = await publishers[from].expect("published", { type: "publish", channel: "log:a", data });
      const place = `${epoch} ${offset}`;
      if (from === 0) assert.ok(!places.has(place), `${place} is that of ${places.get(place)} and of ${data}`);
      places.set(place, data);
      return epoch;
    };
    let epoch;
    for (let n = 1; n <= 5; n++) epoch = await publish(0, n);
    await until("they came", () => seen.length === 5);
    for (const round of [1, 2]) {
      await lose(redis, "log:a", 2);
      await publish(knows, `in its place ${round}`);
      await until("it is told", () => gaps.length === round);
      const now = await until("another epoch", async () => {
        const answer = await told(brokers[0], "log:a");
        return answer.epoch !== epoch && answer.messages.at(-1).data === `in its place ${round}` && answer;
      });
      epoch = now.epoch;
      for (let n = 1; n <= 3; n++) assert.equal(await publish(n % 2, `${round} after ${n}`), epoch);
      await until("it goes on", () => seen.at(-1)[1] === `${round} after 3`);
    }
    assert.equal(gaps.length, 2);
    assert.equal(new Set(seen.map(([, data]) => data)).size, seen.length, "each once");
  });
}

for (const [who, from] of [["by who knows that", 0], ["by who knows nothing of the channel", 1]]) {
  testRedis(`an epoch that has ended does not come back where Redis loses that it has: something is published ${who}`, { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
    const { seen, gaps } = await listen(brokers[0], "log:a");
    const publishers = await Promise.all(brokers.map((broker) => broker.connect()));
    const publish = async (by, data) => (await publishers[by].expect("published", { type: "publish", channel: "log:a", data })).epoch;
    let first;
    for (let n = 1; n <= 3; n++) first = await publish(0, n);
    await until("they came", () => seen.length === 3);
    // A failover that lost a message: a second epoch; then one more, to a replica that has not heard of that.
    await lose(redis, "log:a", 1);
    const [offsets, stream] = ["ws:offsets:{ws:channel:log:a}", "ws:history:{ws:channel:log:a}"];
    const [fields, entries] = [await redis.command("HGETALL", offsets), await redis.command("XRANGE", stream, "-", "+")];
    const second = await publish(0, "in its place");
    assert.notEqual(second, first);
    await until("it is told", () => gaps.length === 1);
    await redis.command("DEL", offsets, stream);
    await redis.command("HSET", offsets, ...fields);
    for (const [id, its] of entries) await redis.command("XADD", stream, id, ...its);
    const answered = await publish(from, "in its place again");
    if (from === 0) assert.ok(![first, second].includes(answered), "who knows of the second one gives no place in the first");
    await until("it is told, too", () => gaps.length === 2);
    const now = await until("a third epoch", async () => {
      const answer = await told(brokers[0], "log:a");
      return ![first, second].includes(answer.epoch) && answer.messages.at(-1).data === "in its place again" && answer;
    });
    for (let n = 1; n <= 4; n++) assert.equal(await publish(n % 2, `after it ${n}`), now.epoch);
    await until("it goes on", () => seen.at(-1)[1] === "after it 4");
    for (const broker of brokers) {
      const back = await broker.connect();
      const answer = await back.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch: first, offset: 3 } });
      assert.deepEqual([answer.recovered, answer.epoch], [false, now.epoch]);
    }
    assert.equal(gaps.length, 2);
    assert.equal(new Set(seen.map(([, data]) => data)).size, seen.length, "each once");
  });
}

testRedis("what an earlier subscription left is compared with what Redis has in its place", { brokers: 2, config, timeout: 90000 }, async ({ brokers: [broker, other], redis }) => {
  const publisher = await other.connect();
  const own = await broker.connect();
  const gone = () => until("nobody is subscribed", async () => (await redis.command("PUBSUB", "NUMSUB", "ws:channel:log:a"))[1] === 0, { timeout: 20000 });
  const { client, seen } = await listen(broker, "log:a");
  const { epoch } = await told(broker, "log:a");
  client.terminate();
  // Of every form, own and others': what is the same is known as the same.
  const forms = [{ data: { a: [1, "\u00e9\u2028"] } }, { event: "chat", data: "x" }, { key: "k", data: 1.50 }, { data: 3 }];
  let offset = 0;
  for (const form of forms) {
    for (const from of [publisher, own]) {
      const back = await broker.connect();
      const answer = await back.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch, offset } });
      assert.deepEqual([answer.recovered, answer.epoch, answer.offset], [true, epoch, offset]);
      await from.expect("published", { type: "publish", channel: "log:a", ...form });
      await until("it came", () => back.inbox.some((message) => message.offset === offset + 1));
      offset++;
      back.terminate();
      await gone();
    }
  }
  assert.equal(seen.length, 0);
  // A failover that lost the newest one, in whose place others have said something else meanwhile.
  const [offsets, stream] = ["ws:offsets:{ws:channel:log:a}", "ws:history:{ws:channel:log:a}"];
  const entries = await redis.command("XRANGE", stream, "-", "+");
  const fields = entries.pop()[1];
  await redis.command("DEL", stream);
  for (const [id, its] of entries) await redis.command("XADD", stream, id, ...its);
  const text = fields[5].replace('"payload":3', '"payload":4');
  assert.notEqual(text, fields[5]);
  for (const id of [offset, offset + 1]) await redis.command("XADD", stream, `${id}-0`, "p", "x:1:1", "t", fields[3], "m", text);
  await redis.command("HSET", offsets, "offset", String(offset + 1));
  const back = await broker.connect();
  const answer = await back.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch, offset } });
  assert.equal(answer.recovered, false, JSON.stringify(answer));
  assert.notEqual(answer.epoch, epoch);
});

testRedis("the script is told again after SCRIPT FLUSH, and a relay's successor repairs", { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
  const listeners = await Promise.all(brokers.map((broker) => listen(broker, "log:a")));
  const publisher = await brokers[0].connect();
  await publisher.publish("log:a", 0);
  await redis.command("SCRIPT", "FLUSH");
  for (let n = 1; n < 20; n++) await publisher.publish("log:a", n);
  await complete(listeners, 20);
  brokers[1].kill("SIGKILL", "relay");
  for (let n = 20; n < 40; n++) await publisher.publish("log:a", n);
  await complete(listeners, 40);
  for (const { seen, gaps } of listeners) {
    whole(seen, 40);
    assert.deepEqual(gaps, []);
  }
});

testRedis("who asks on an instance that is not subscribed is told what there is, and what is deleted is gone everywhere", { brokers: 3, config: { ...config, "http.api_keys": [KEY] }, timeout: 60000 }, async ({ brokers }) => {
  const [one, two, three] = brokers;
  const publisher = await one.connect();
  for (let n = 1; n <= 5; n++) await publisher.publish("log:a", n);
  assert.deepEqual(places(await told(two, "log:a")), [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]);
  for (let n = 6; n <= 9; n++) await publisher.publish("log:a", n);
  const before = await told(two, "log:a", 5);
  assert.deepEqual(places(before), [[6, 6], [7, 7], [8, 8], [9, 9]], "also when it was asked before");
  const { seen, gaps } = await listen(three, "log:a");
  const answer = await two.get("/api/history?channel=log:a", { method: "DELETE", headers: { authorization: `Bearer ${KEY}` } });
  assert.equal(answer.status, 200, answer.body);
  for (const broker of brokers) {
    const after = await until("it is gone", async () => {
      const now = await told(broker, "log:a");
      return now.messages.length === 0 && now;
    });
    assert.notEqual(after.epoch, before.epoch);
  }
  await publisher.publish("log:a", 10);
  await until("it goes on", () => seen.length === 1);
  assert.deepEqual(seen, [[10, 10]]);
  assert.equal(gaps.length, 1, "who is subscribed is told that another epoch has begun");
});

/* A channel that is in the slots of a Cluster's every master is not to be had: three of them are three masters most of the time. */
const spread = async (brokers, listeners, publishers, channels, rounds, between) => {
  let count = 0;
  for (let round = 0; round < rounds; round++) {
    const flow = publishers.map(async (publisher, p) => {
      for (let n = 0; n < 20; n++) for (const channel of channels) await publisher.expect("published", { type: "publish", channel, data: `${round}.${p}.${n}` }, { timeout: 30000 });
    });
    await between(round);
    await Promise.all(flow);
    count += 20 * publishers.length;
  }
  for (const channel of channels) {
    await complete(listeners[channel], count);
    for (const { seen, gaps } of listeners[channel]) {
      whole(seen, count);
      assert.deepEqual(seen, listeners[channel][0].seen, "one order everywhere");
      assert.deepEqual(gaps, []);
    }
  }
};

for (const sharded of [false, true]) {
  testRedis(`a Cluster${sharded ? " with sharded channels" : ""}: one order and no gap while subscriptions are killed`, { brokers: 2, start: () => startCluster(), config: { ...config, "redis.sharded": sharded }, timeout: 120000 }, async ({ brokers, redis }) => {
    const channels = ["log:a", "log:b", "log:{c}"];
    const listeners = {};
    for (const channel of channels) listeners[channel] = await Promise.all(brokers.map((broker) => listen(broker, channel)));
    const publishers = await Promise.all(brokers.map((broker) => broker.connect()));
    await spread(brokers, listeners, publishers, channels, 3, async () => {
      for (const node of redis.nodes) await node.command("CLIENT", "KILL", "TYPE", "pubsub");
    });
  });
}

testRedis("a failover by Sentinel that loses nothing is a pause", { brokers: 2, start: () => startSentinels(), config: { ...config, "redis.history_wait": "30s", "redis.outbox_max_age": "60s" }, timeout: 120000 }, async ({ brokers, redis }) => {
  const channels = ["log:a"];
  const listeners = { "log:a": await Promise.all(brokers.map((broker) => listen(broker, "log:a"))) };
  const publishers = await Promise.all(brokers.map((broker) => broker.connect()));
  await spread(brokers, listeners, publishers, channels, 2, async (round) => {
    if (round === 1) await redis.sentinels[0].command("SENTINEL", "FAILOVER", "mymaster");
  });
});

testRedis("a client that comes back on another host gets exactly what it missed", { brokers: 2, config, timeout: 60000 }, async ({ brokers: [one, two] }) => {
  const first = await one.connect();
  const { epoch, offset } = await first.subscribe("log:a");
  assert.equal(offset, 0);
  const publisher = await one.connect();
  for (let n = 1; n <= 3; n++) await publisher.publish("log:a", n);
  first.terminate();
  for (let n = 4; n <= 8; n++) await publisher.publish("log:a", n);
  for (const [from, expected] of [[3, [4, 5, 6, 7, 8]], [0, [1, 2, 3, 4, 5, 6, 7, 8]]]) {
    const back = await two.connect();
    const answer = await back.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch, offset: from } });
    assert.deepEqual([answer.recovered, answer.epoch, answer.offset], [true, epoch, 8]);
    await until("all that was missed", () => back.inbox.length === expected.length);
    assert.deepEqual(back.inbox.map(({ data }) => data), expected);
    back.terminate();
  }
  const stranger = await two.connect();
  const answer = await stranger.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch: "7", offset: 3 } });
  assert.equal(answer.recovered, false);
});

const asHex = (text) => text && BigInt(text).toString(16);

testRedis("a Redis that is slow to confirm a channel makes nobody lose its place", { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
  const publisher = await brokers[1].connect();
  const { epoch } = await publisher.publish("log:a", 1);
  for (let n = 2; n <= 10; n++) await publisher.publish("log:a", n);
  const { client, seen } = await listen(brokers[0], "calm");
  client.ondelivery = (message) => message.type === "message" && seen.push([message.offset, message.data]);
  const unconfirmed = async () => (await brokers[0].metrics())("ringcast_redis_scope_local_total");
  const before = await unconfirmed();
  redis.signal("SIGSTOP");
  const answer = client.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch, offset: 4 } });
  try {
    await until("it is not waited for any more", async () => (await unconfirmed()) > before, { every: 5 });
  } finally {
    redis.signal("SIGCONT");
  }
  const { recovered, scope } = await answer;
  assert.deepEqual({ recovered, scope }, { recovered: true, scope: undefined });
  await until("what it missed", () => seen.length === 6);
  assert.deepEqual(seen, Array.from({ length: 6 }, (_, i) => [i + 5, i + 5]));
});

testRedis("who comes back with many others waits for its turn, as long as Redis gets on", { brokers: 1, config, timeout: 90000 }, async ({ brokers: [other], redis: { port } }) => {
  const redis = await startRedisAndWire();
  redis.wire.lead(port);
  const brokers = [];
  try {
    brokers.push(...await startBrokers(1, redis.wire.url, { config: { ...config, "redis.history_wait": "60s" } }));
    const channels = Array.from({ length: 12 }, (_, i) => `log:turn-${i}`);
    const publisher = await other.connect();
    const epochs = new Map();
    for (const channel of channels) epochs.set(channel, (await publisher.publish(channel, "x".repeat(3000))).epoch);
    const back = await brokers[0].connect();
    redis.wire.narrow(1000); // a history takes some 150 ms, all of them nearly two seconds
    const answers = await Promise.all(channels.map((channel) => back.expect("subscribed", { type: "subscribe", channel, recover: { epoch: epochs.get(channel), offset: 0 } }, { timeout: 60000 })));
    assert.deepEqual(answers.map(({ recovered, scope }) => [recovered, scope]), channels.map(() => [true, undefined]));
    await until("what it missed", () => back.inbox.length === channels.length);
    back.terminate();
    for (const broker of brokers) await broker.stop();
  } finally {
    for (const broker of brokers) await broker.destroy();
    await redis.destroy();
  }
});

test("what Redis had when its answer was lost is sent again, is there once, and its publisher is told where", { timeout: 60000 * SLOWER, skip: NO_REDIS }, async () => {
  const redis = await startRedisAndWire();
  const brokers = [];
  try {
    brokers.push(...await startBrokers(1, redis.wire.url, { config: { ...config, "redis.history_wait": "60s" } }));
    const publisher = await brokers[0].connect();
    const listener = await listen(brokers[0], "log:heard");
    const channels = ["log:heard", "log:unheard"];
    for (const channel of channels) assert.equal((await publisher.publish(channel, "first")).offset, 1);
    redis.wire.mute();
    const published = Promise.all(channels.flatMap((channel) => [2, 3, 4].map((n) => publisher.publish(channel, n))));
    for (const channel of channels) await until("Redis has them", async () => await redis.command("XLEN", `ws:history:{ws:channel:${channel}}`) === 4);
    redis.wire.cut();
    redis.wire.mend();
    const answers = await published;
    assert.deepEqual(answers.map(({ offset, epoch }) => [offset, typeof epoch]), [2, 3, 4, 2, 3, 4].map((offset) => [offset, "string"]));
    for (const channel of channels) assert.deepEqual(places(await told(brokers[0], channel)).map(([offset]) => offset), [1, 2, 3, 4]);
    await complete([listener], 4);
    assert.deepEqual([listener.seen.map(([offset]) => offset), listener.gaps], [[1, 2, 3, 4], []]);
    for (const broker of brokers) await broker.stop();
  } finally {
    for (const broker of brokers) await broker.destroy();
    await redis.destroy();
  }
});

testRedis("names that strangers ask for or subscribe to leave nothing lasting in Redis", { brokers: 2, config, timeout: 120000 }, async ({ brokers: [one, two], redis }) => {
  const offsets = "ws:offsets:{ws:channel:log:quiet}";
  for (let n = 0; n < 10; n++) assert.deepEqual((await told(one, `log:asked-${n}`)).messages, []);
  assert.deepEqual(await redis.command("KEYS", "ws:*:{ws:channel:log:*"), [], "who asks makes nothing");
  // Who subscribes does, for as long as somebody may have been told of it.
  const { seen, gaps } = await listen(one, "log:quiet");
  const { epoch } = await told(one, "log:quiet");
  assert.equal(asHex(await redis.command("HGET", offsets, "epoch")), epoch);
  const left = Number(await redis.command("PTTL", offsets));
  assert.ok(left > 0 && left <= 60000, `${left}`);
  // While it is subscribed the epoch holds, for all, also for whoever comes later, or publishes, on another instance.
  await redis.command("DEL", offsets);
  await until("it is kept on", async () => asHex(await redis.command("HGET", offsets, "epoch")) === epoch, { timeout: 60000 });
  const late = await listen(two, "log:quiet");
  await redis.command("DEL", offsets);
  const publisher = await one.connect();
  await publisher.publish("log:quiet", "first");
  await complete([{ seen, gaps }, late], 1);
  assert.deepEqual([seen, late.seen, gaps, late.gaps], [[[1, "first"]], [[1, "first"]], [], []]);
  assert.equal((await told(two, "log:quiet")).epoch, epoch, "its first message is no new epoch");
  assert.ok(Number(await redis.command("PTTL", offsets)) > 60000, "with a message it lasts");
});

testRedis("a Redis that refuses to end an epoch is asked ever more seldom", { brokers: 1, config: { ...config, "redis.history_wait": "60s" }, timeout: 90000 }, async ({ brokers: [broker], redis }) => {
  const { seen, gaps } = await listen(broker, "log:a");
  const publisher = await broker.connect();
  for (let n = 0; n < 5; n++) await publisher.publish("log:a", n);
  await until("all", () => seen.length === 5);
  await redis.command("HSET", "ws:offsets:{ws:channel:log:a}", "offset", "3");
  await redis.command("CONFIG", "SET", "maxmemory", "1");
  const before = (await broker.metrics())("ringcast_history_script_errors_total");
  const begun = Date.now();
  await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
  await until("refused eight times", async () => (await broker.metrics())("ringcast_history_script_errors_total") >= before + 8, { timeout: 60000 });
  assert.ok(Date.now() - begun >= 2500, `20 + 40 + … + 1280 ms lie between eight of them, not ${Date.now() - begun}`);
  await redis.command("CONFIG", "SET", "maxmemory", "0");
  await until("it ends", () => gaps.length > 0, { timeout: 30000 });
});

testRedis("a history that an ACL refuses is asked for ever more seldom, with a line that says what helps, and comes when it is allowed", { brokers: 1, config: { ...config, "redis.history_wait": "60s" }, timeout: 90000 }, async ({ brokers: [broker], redis }) => {
  const publisher = await broker.connect();
  for (let n = 0; n < 5; n++) await publisher.publish("log:a", n);
  await redis.command("ACL", "SETUSER", "default", "-eval");
  const errors = async () => (await broker.metrics())("ringcast_history_script_errors_total");
  const before = await errors();
  const begun = Date.now();
  const { seen, client } = await listen(broker, "log:a");
  await until("refused five times", async () => (await errors()) >= before + 5, { timeout: 60000 });
  assert.ok(Date.now() - begun >= 3500, `250 + 500 + 1000 + 2000 ms lie between five of them, not ${Date.now() - begun}`);
  const lines = await until("the log says so", () => ((all) => all.length > 0 && all)(broker.log.filter((line) => /history_not_read/.test(line))));
  assert.ok(lines.every((line) => /channel="log:a" reason="NOPERM.*again_in_ms=\d+ remedy="the user of redis.url lacks a right/.test(line)), lines.join("\n"));
  await redis.command("ACL", "SETUSER", "default", "+eval");
  await client.publish("log:a", 5);
  await until("it is there", async () => seen.some(([, data]) => data === 5), { timeout: 30000 });
  await until("all of it", async () => (await told(broker, "log:a")).messages.length === 6, { timeout: 30000 });
});

testRedis("what waited for Redis in a relay that died waits no more, also where it is counted", { brokers: 1, config: { ...config, "redis.history_wait": "60s" }, timeout: 60000 }, async ({ brokers: [broker], redis }) => {
  const waiting = async () => (await broker.metrics())("ringcast_history_shared_waiting");
  const { client } = await listen(broker, "log:waits");
  await client.publish("log:waits", "before");
  await redis.kill();
  await redisHealth(broker, 503);
  for (let n = 0; n < 3; n++) client.send({ type: "publish", channel: "log:waits", data: n });
  await until("three wait", async () => (await waiting()) === 3);
  await broker.killRelay();
  await until("none does", async () => (await waiting()) === 0);
  await redis.start();
  await redisHealth(broker, 200, 30000);
  assert.equal((await client.publish("log:waits", "after")).type, "published");
});

/* Two brokers with one Redis; of the second one subscriptions can be held back, while everything else goes on. */
async function withHeld(config, body, workers = 1) {
  const redis = await startRedisAndWire();
  const brokers = [];
  try {
    brokers.push(...await startBrokers(1, redis.url, { config }));
    brokers.push(...await startBrokers(1, redis.wire.url, { workers, config: { ...config, "server.instance_id": "held" } }));
    await body({ one: brokers[0], two: brokers[1], redis, wire: redis.wire });
    for (const broker of brokers) await broker.stop();
  } finally {
    redis.wire.release();
    for (const broker of brokers) await broker.destroy();
    await redis.destroy();
  }
}

test("a relay's successor whose subscriptions are not there yet: who publishes there takes nothing from who is subscribed", { timeout: 60000 * SLOWER, skip: NO_REDIS }, async () => {
  await withHeld(config, async ({ one, two, wire }) => {
    const listener = await listen(two, "log:a");
    const others = await one.connect();
    const own = await two.connect();
    for (let n = 1; n <= 3; n++) await others.publish("log:a", n);
    await complete([listener], 3);
    wire.hold();
    await two.killRelay();
    for (let n = 4; n <= 6; n++) await others.publish("log:a", n);
    const { epoch, offset } = await own.publish("log:a", 7);
    assert.equal(offset, 7);
    await complete([listener], 7);
    const back = await two.connect();
    const answer = await back.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch, offset: 5 } });
    assert.deepEqual([answer.recovered, answer.epoch, answer.offset], [true, epoch, 7]);
    await until("what it lacks", () => back.inbox.length === 2);
    assert.deepEqual(back.inbox.map(({ type, offset: its, data }) => [type, its, data]), [["message", 6, 6], ["message", 7, 7]]);
    await others.publish("log:a", 8);
    wire.release();
    await complete([listener], 8);
    whole(listener.seen, 8);
    assert.deepEqual(listener.gaps, []);
  });
});

test("the same, while the worker of who is subscribed has not told the successor so yet", { timeout: 60000 * SLOWER, skip: NO_REDIS }, async () => {
  await withHeld(config, async ({ one, two, wire }) => {
    const others = await one.connect();
    const [own, listener] = await two.connectMany([1, 1]);
    const seen = [];
    const gaps = [];
    listener.ondelivery = (message) => (message.type === "gap" ? gaps.push(message) : seen.push([message.offset, message.data]));
    await listener.subscribe("log:a");
    for (let n = 1; n <= 3; n++) await others.publish("log:a", n);
    await until("three", () => seen.length === 3);
    const [, stopped] = two.pids().workers;
    wire.hold();
    process.kill(stopped, "SIGSTOP");
    try {
      await two.killRelay();
      for (let n = 4; n <= 6; n++) await others.publish("log:a", n);
      assert.equal((await own.publish("log:a", 7)).offset, 7);
    } finally {
      process.kill(stopped, "SIGCONT");
    }
    await until("seven", () => seen.length === 7);
    wire.release();
    whole(seen, 7);
    assert.deepEqual(gaps, []);
  }, 2);
});

test("a channel that Redis does not confirm: who was told its first message there recovers", { timeout: 60000 * SLOWER, skip: NO_REDIS }, async () => {
  await withHeld(config, async ({ one, two, wire }) => {
    await listen(two, "log:other"); // the channel has a place of its own in memory
    wire.hold();
    const own = await two.connect();
    const { client, seen, gaps } = await listen(two, "log:a");
    const { epoch } = await own.publish("log:a", 1);
    await until("it came", () => seen.length === 1);
    client.terminate();
    for (let n = 2; n <= 4; n++) await own.publish("log:a", n);
    const back = await two.connect();
    const answer = await back.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch, offset: 1 } });
    assert.deepEqual([answer.recovered, answer.epoch], [true, epoch], JSON.stringify(answer));
    // Nothing else is said: what others say meanwhile comes as soon as Redis has confirmed the channel.
    const others = await one.connect();
    await others.publish("log:a", 5);
    wire.release();
    await until("what it lacks", () => back.inbox.length === 4);
    assert.deepEqual(back.inbox.map(({ offset, data }) => [offset, data]), [[2, 2], [3, 3], [4, 4], [5, 5]]);
    assert.deepEqual(gaps, []);
  });
});

test("a channel that everybody left while Redis was away is forgotten, and who publishes there later waits for no subscription", { timeout: 60000 * SLOWER, skip: NO_REDIS }, async () => {
  await withHeld(config, async ({ two, wire }) => {
    const own = await two.connect();
    const { client, seen } = await listen(two, "log:a");
    await own.publish("log:a", 1);
    await until("it came", () => seen.length === 1);
    const channels = async () => (await two.metrics())("ringcast_history_shared_channels");
    assert.equal(await channels(), 1);
    wire.cut();
    await redisHealth(two, 503);
    client.terminate();
    await until("it is forgotten", async () => (await channels()) === 0, { timeout: 20000 });
    wire.mend();
    await redisHealth(two, 200, 20000);
    assert.equal((await own.publish("log:a", 2)).offset, 2);
    assert.deepEqual(places(await told(two, "log:a")), [[1, 1], [2, 2]]);
    assert.equal((await two.metrics())("ringcast_history_repairs_total"), 0, "no echo was waited for");
  });
});

test("what is on its way of a channel that was given back does not take it up again", { timeout: 60000 * SLOWER, skip: NO_REDIS }, async () => {
  await withHeld(config, async ({ one, two, redis, wire }) => {
    const others = await one.connect();
    const own = await two.connect();
    const { client, seen } = await listen(two, "log:a");
    await others.publish("log:a", 1);
    await until("it came", () => seen.length === 1);
    const figure = async (name) => (await two.metrics())(`ringcast_history_${name}`);
    client.terminate();
    wire.hold();
    await others.publish("log:a", 2); // still subscribed, and heard later
    await until("it is given back", async () => (await redis.command("PUBSUB", "NUMSUB", "ws:channel:log:a"))[1] === 0, { timeout: 20000 });
    const heard = async () => (await two.metrics())("ringcast_redis_received_total");
    const before = await heard();
    wire.release();
    await until("it is heard", async () => (await heard()) > before);
    await redisHealth(two, 200, 20000);
    assert.equal((await own.publish("log:a", 3)).offset, 3);
    assert.equal(await figure("shared_channels"), 0);
    assert.equal(await figure("repairs_total"), 0, "no echo was waited for");
  });
});

test("what the stream has no more when it is looked for is told once, and the rest comes", { timeout: 60000 * SLOWER, skip: NO_REDIS }, async () => {
  await withHeld(config, async ({ one, two, redis, wire }) => {
    const { seen, gaps } = await listen(two, "log:a");
    const others = await one.connect();
    await others.publish("log:a", 1);
    await until("it came", () => seen.length === 1);
    wire.hold();
    wire.cut();
    for (let n = 2; n <= 10; n++) await others.publish("log:a", n);
    await redis.command("XTRIM", "ws:history:{ws:channel:log:a}", "MINID", "8-0");
    wire.release();
    wire.mend();
    await until("the rest", () => seen.length === 4, { timeout: 30000 });
    await others.publish("log:a", 11);
    await until("the next one", () => seen.length === 5);
    assert.deepEqual(seen.map(([offset, data]) => [offset, data]), [1, 8, 9, 10, 11].map((n) => [n, n]));
    assert.equal(gaps.length, 1, JSON.stringify(gaps));
  });
});
