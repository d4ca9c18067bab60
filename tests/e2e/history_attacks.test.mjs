// A history that all instances share, while somebody does to its keys in Redis what nobody should: what is lost is told, nothing comes twice, and it goes on.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { NO_FAKE_CLOCK, fakeClock } from "./lib/clock.mjs";
import { NO_REDIS, redisHealth, startBrokers, startRedis, startRedisAndWire, testRedis } from "./lib/redis.mjs";
import { SLOWER, delay, until } from "./lib/util.mjs";

const config = { namespace: [{ name: "log", history: 1000, history_who: "anyone" }] };

/* A channel's keys. */
const keysOf = (channel) => ({ offsets: `ws:offsets:{ws:channel:${channel}}`, stream: `ws:history:{ws:channel:${channel}}` });

/* What a client knows of a channel, in the order in which it came: its messages, and "gap". */
async function listen(broker, channel) {
  const client = await broker.connect();
  const all = [];
  client.ondelivery = (message) => {
    if (message.type === "gap" && (message.channel === channel || message.channel === undefined)) all.push("gap");
    if (message.type === "message" && message.channel === channel) all.push([message.offset, message.data]);
  };
  await client.subscribe(channel);
  return { client, all, seen: () => all.filter((one) => one !== "gap"), gaps: () => all.filter((one) => one === "gap").length };
}

/* Somebody comes back with this place: what he is told, and what he then gets. */
async function comeBack(broker, channel, epoch, offset) {
  const client = await broker.connect();
  const answer = await client.expect("subscribed", { type: "subscribe", channel, recover: { epoch, offset } });
  return { client, answer };
}

/* A channel with subscribers and publishers on all instances, and three messages, "first 1" to "first 3". */
async function busyChannel(brokers, channel) {
  const publishers = await Promise.all(brokers.map((broker) => broker.connect()));
  const listeners = await Promise.all(brokers.map((broker) => listen(broker, channel)));
  const publish = (by, data) => publishers[by].expect("published", { type: "publish", channel, data }, { timeout: 20000 });
  let epoch;
  for (let n = 1; n <= 3; n++) ({ epoch } = await publish(n % brokers.length, `first ${n}`));
  for (const { all } of listeners) await until("three", () => all.length === 3);
  const heard = (data) => until(`${data} is heard on ${channel}`, () => listeners.every(({ seen }) => seen().at(-1)?.[1] === data), { timeout: 20000 }).catch((error) => {
    error.message += `\n${listeners.map(({ all }) => JSON.stringify(all)).join("\n")}`;
    throw error;
  });
  return { publish, listeners, epoch, heard, ...keysOf(channel) };
}

const linesOf = (brokers, wanted) => brokers.flatMap(({ log }) => log.filter((line) => wanted.test(line)));

/* What was done with the keys of a channel that has three messages; the offset that the next one has; is the epoch another one, of which subscribers are told? */
const STRANGERS = [
  ["the stream's last id is a little ahead", 4, false, ({ stream }) => [["XSETID", stream, "50-0"]]],
  ["it is far ahead", 4, false, ({ stream }) => [["XSETID", stream, "9223372036854775808-0"]]],
  ["it is the last that there is", 4, false, ({ stream }) => [["XSETID", stream, "18446744073709551615-18446744073709551615"]]],
  ["it is further back", 4, false, ({ stream }) => [["XDEL", stream, "3-0"], ["XSETID", stream, "3-0", "ENTRIESADDED", 3, "MAXDELETEDID", "0-0"], ["XSETID", stream, "2-0"]]],
  ["entries in the middle are deleted", 4, false, ({ stream }) => [["XDEL", stream, "2-0"]]],
  ["all entries are trimmed", 4, false, ({ stream }) => [["XTRIM", stream, "MAXLEN", "0"]]],
  ["the stream is deleted", 4, false, ({ stream }) => [["DEL", stream]]],
  ["somebody's entry stands in the next place", 4, true, ({ stream }) => [["XADD", stream, "4-0", "x", "y"]]],
  ["somebody's entry is ahead", 4, true, ({ stream }) => [["XADD", stream, "1000-0", "p", "x:1:1", "t", "1", "m", '{"sourceInstance":"x","payload":1}']]],
  ["somebody's entry is the last that there can be", 4, true, ({ stream }) => [["XADD", stream, "18446744073709551615-18446744073709551615", "x", "y"]]],
  ["twenty of them are at the end", 4, true, ({ stream }) => Array.from({ length: 20 }, (_, i) => ["XADD", stream, `18446744073709551615-${i}`, "x", "y"])],
  ["the offset is no number", 1, true, ({ offsets }) => [["HSET", offsets, "offset", "abc"]]],
  ["the offset is empty", 1, true, ({ offsets }) => [["HSET", offsets, "offset", ""]]],
  ["the offset is gone", 1, true, ({ offsets }) => [["HDEL", offsets, "offset"]]],
  ["the offset is negative", 1, true, ({ offsets }) => [["HSET", offsets, "offset", "-5"]]],
  ["the offset is huge", 1, true, ({ offsets }) => [["HSET", offsets, "offset", "9223372036854775807"]]],
  ["the offset is beyond what a script can count", 1, true, ({ offsets }) => [["HSET", offsets, "offset", "1152921504606846976"]]],
  ["the offset is lower", 2, true, ({ offsets }) => [["HSET", offsets, "offset", "1"]]],
  ["the epoch is no number", 1, true, ({ offsets }) => [["HSET", offsets, "epoch", "abc"]]],
  ["the epoch is empty", 1, true, ({ offsets }) => [["HSET", offsets, "epoch", ""]]],
  ["the epoch is gone", 1, true, ({ offsets }) => [["HDEL", offsets, "epoch"]]],
  ["the epoch is 0", 1, true, ({ offsets }) => [["HSET", offsets, "epoch", "0"]]],
  ["the epoch is an old one", 4, true, ({ offsets }) => [["HSET", offsets, "epoch", "5"]]],
  ["the epoch is the last that there is", 1, true, ({ offsets }) => [["HSET", offsets, "epoch", "9223372036854775807"]]],
  ["the epoch is larger than any", 1, true, ({ offsets }) => [["HSET", offsets, "epoch", "9".repeat(40)]]],
  ["the hash is deleted", 1, true, ({ offsets }) => [["DEL", offsets]]],
  ["both are deleted", 1, true, ({ offsets, stream }) => [["DEL", offsets, stream]]],
];

testRedis("keys that strangers wrote to: the next messages have a place for everybody, and who cannot go on is told", { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
  await Promise.all(STRANGERS.map(async ([what, next, ends, commands], i) => {
    const channel = `log:stranger-${i}`;
    const { publish, listeners, epoch, heard, ...keys } = await busyChannel(brokers, channel);
    for (const command of commands(keys)) await redis.command(...command);
    const places = [];
    for (const [by, data] of [[0, "a"], [1, "b"], [0, "c"]]) places.push(await publish(by, data));
    assert.deepEqual(places.map(({ offset }) => offset), [next, next + 1, next + 2], what);
    assert.equal(new Set(places.map((place) => place.epoch)).size, 1, what);
    assert.equal(places[0].epoch !== epoch, ends, what);
    await heard("c");
    for (const { all } of listeners) assert.deepEqual(all.slice(3), [...(ends ? ["gap"] : []), [next, "a"], [next + 1, "b"], [next + 2, "c"]], what);
    for (const broker of brokers) {
      const { answer, client } = await comeBack(broker, channel, epoch, 2);
      assert.deepEqual([answer.recovered, answer.epoch, answer.offset], [!ends, places[0].epoch, next + 2], what);
      if (ends) continue;
      await until("what it missed", () => client.inbox.length === 4);
      assert.deepEqual(client.inbox.map(({ data }) => data), ["first 3", "a", "b", "c"], what);
    }
    for (const [data, offset] of [["last", next + 3]]) assert.equal((await publish(1, data)).offset, offset);
    await heard("last");
  }));
  assert.deepEqual(linesOf(brokers, /history_alone|history_not_read|outbox_dropped/), []);
});

testRedis("the same, found when a subscription is back: it is told before anything is published", { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
  const channels = await Promise.all(STRANGERS.map(async (row, i) => ({ row, name: `log:stranger-${i}`, ...await busyChannel(brokers, `log:stranger-${i}`) })));
  for (const { row: [, , , commands], offsets, stream } of channels) for (const command of commands({ offsets, stream })) await redis.command(...command);
  await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
  const there = async () => (await redis.command("PUBSUB", "NUMSUB", ...channels.map(({ name }) => `ws:channel:${name}`))).every((one) => typeof one === "string" || one === 2);
  await until("both are subscribed again", there); // else what is published is in the history alone, behind the gap
  await Promise.all(channels.map(async ({ row: [what, next, ends], name, listeners, epoch, publish, heard }) => {
    const atOnce = ends && !what.startsWith("somebody's") && !what.startsWith("twenty");
    if (atOnce) for (const { all, gaps } of listeners) await until(`${what}: it is told`, () => gaps() === 1, { timeout: 15000 }).catch((error) => assert.fail(`${error.message} ${JSON.stringify(all)}`));
    const first = await publish(1, "a");
    assert.deepEqual([first.offset, first.epoch !== epoch], [next, ends], what);
    await heard("a");
    for (const { all } of listeners) assert.deepEqual(all.slice(3), [...(ends ? ["gap"] : []), [next, "a"]], what);
    const { answer } = await comeBack(brokers[0], name, epoch, 3);
    assert.deepEqual([answer.recovered, answer.epoch], [!ends, first.epoch], what);
  }));
  assert.deepEqual(linesOf(brokers, /history_alone|history_not_read|outbox_dropped/), []);
});

testRedis("a stream of another type: nothing is counted that is not stored, who does not get it is told, and it goes on when the key is gone", { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
  const channel = "log:type";
  const { publish, listeners: [here, there], epoch, heard, offsets, stream } = await busyChannel(brokers, channel);
  await redis.command("SET", stream, "mine");
  for (let n = 1; n <= 50; n++) {
    const place = await publish(0, `alone ${n}`);
    assert.notEqual(place.epoch, epoch);
    assert.equal(place.offset, n, "in the epoch of this host");
  }
  assert.equal(await redis.command("HGET", offsets, "offset"), "3");
  await until("it came", () => here.all.length === 54);
  assert.deepEqual(here.all.slice(3, 5), ["gap", [1, "alone 1"]]);
  await until("the others are told", () => there.gaps() > 0);
  assert.equal(there.seen().length, 3);
  assert.ok(linesOf(brokers, /history_alone|outbox_dropped/).length <= 12, "no storm of lines");
  await until("all are counted", async () => (await brokers[0].metrics())("ringcast_history_script_errors_total") === 50);
  // Who comes there meanwhile gets what that instance has of it.
  const { client, answer } = await comeBack(brokers[1], channel, epoch, 1);
  assert.equal(answer.recovered, true);
  await until("what it missed", () => client.inbox.length === 2);
  assert.equal(await redis.command("GET", stream), "mine", "it is left alone");
  await redis.command("DEL", stream);
  const { length } = here.all;
  await publish(0, "first again");
  await heard("first again");
  await until("the shared epoch holds again", () => here.all.slice(length).includes("gap"));
  const place = await publish(0, "after");
  assert.deepEqual([place.epoch, place.offset], [epoch, 5]);
  await heard("after");
  assert.deepEqual(there.seen().slice(3), [[4, "first again"], [5, "after"]]);
  assert.equal(new Set(here.seen().map(([, data]) => data)).size, here.seen().length, "each once");
});

testRedis("a right to write that is taken away, and given again: alone once, not once a second", { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
  const { publish, listeners: [here, there], epoch, heard } = await busyChannel(brokers, "log:right");
  await redis.command("ACL", "SETUSER", "default", "-xadd");
  for (let n = 1; n <= 30; n++) {
    await publish(0, `alone ${n}`);
    await delay(100); // as applications do, for longer than a host that is alone waits until it looks whether it still is
  }
  await until("they came", () => here.seen().length === 33);
  assert.deepEqual(here.all.slice(3, 5), ["gap", [1, "alone 1"]]);
  assert.equal(here.gaps(), 1, JSON.stringify(here.all));
  await until("the others are told", () => there.gaps() > 0);
  await redis.command("ACL", "SETUSER", "default", "+xadd");
  await publish(0, "again");
  await until("the shared epoch holds again", () => here.gaps() === 2);
  assert.deepEqual((({ epoch: its, offset }) => [its, offset])(await publish(1, "after")), [epoch, 5]);
  await heard("after");
});

testRedis("a hash of another type: both hosts alone, told so, and together again when the key is gone", { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
  const { publish, listeners, epoch, heard, offsets } = await busyChannel(brokers, "log:type");
  await redis.command("SET", offsets, "mine");
  for (const by of [0, 1]) assert.notEqual((await publish(by, `alone ${by}`)).epoch, epoch);
  for (const [by, { all }] of listeners.entries()) {
    await until("it came", () => all.some((one) => one[1] === `alone ${by}`));
    assert.equal(all[3], "gap");
  }
  await redis.command("DEL", offsets);
  for (const by of [0, 1]) await publish(by, `again ${by}`);
  const shared = await until("one epoch for both", async () => {
    const places = [await publish(0, "who"), await publish(1, "knows")];
    return places[0].epoch === places[1].epoch && places[0].epoch;
  });
  assert.notEqual(shared, epoch);
  await publish(0, "after");
  await heard("after");
  const { answer } = await comeBack(brokers[0], "log:type", epoch, 3);
  assert.deepEqual([answer.recovered, answer.epoch], [false, shared]);
});

/* Each once, and offsets go up, but behind a gap. */
function inOrder(all) {
  const seen = all.filter((one) => one !== "gap");
  assert.equal(new Set(seen.map(([, data]) => data)).size, seen.length, `each once: ${JSON.stringify(all)}`);
  for (let i = 1; i < all.length; i++) {
    if (all[i] !== "gap" && all[i - 1] !== "gap") assert.equal(all[i][0], all[i - 1][0] + 1, `behind ${all[i - 1]} comes ${all[i]}`);
  }
}

testRedis("a stream that is deleted and trimmed while messages flow costs nobody a message; when Redis loses everything it is told", { brokers: 2, config: { ...config, "redis.history_wait": "20s" }, timeout: 60000 }, async ({ brokers, redis }) => {
  const { publish, listeners, heard, stream, epoch } = await busyChannel(brokers, "log:flow");
  let count = 0;
  const flow = (round) => Promise.all(brokers.map(async (_, by) => {
    for (let n = 0; n < 40; n++) await publish(by, `${round}.${by}.${n}`);
    count += 40;
  }));
  for (const command of [["DEL", stream], ["XTRIM", stream, "MAXLEN", "0"], ["XSETID", stream, "5000-0"], ["DEL", stream]]) {
    const flowing = flow(command[0] + count);
    await redis.command(...command);
    await flowing;
  }
  await publish(0, "in between");
  await heard("in between");
  for (const { all } of listeners) {
    inOrder(all);
    assert.deepEqual([all.length, all.includes("gap")], [count + 4, false]);
  }
  const flowing = flow("flushed");
  await redis.command("FLUSHALL");
  await flowing;
  const place = await publish(1, "after");
  assert.notEqual(place.epoch, epoch);
  await heard("after");
  for (const { all, gaps } of listeners) {
    inOrder(all);
    assert.equal(gaps(), 1);
  }
  assert.deepEqual(listeners.map(({ all }) => all.slice(all.indexOf("gap")))[0].at(-1), [place.offset, "after"]);
});

testRedis("a new epoch that both begin at once, and a Redis that was restored from an older dump", { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
  const { publish, listeners, epoch, heard, offsets, stream } = await busyChannel(brokers, "log:dump");
  await redis.command("DEL", offsets, stream);
  const both = await Promise.all([publish(0, "left"), publish(1, "right")]);
  const { epoch: second } = await publish(0, "one");
  await heard("one");
  assert.notEqual(second, epoch);
  for (const { all } of listeners) {
    inOrder(all);
    assert.ok(all.includes("gap") && all.indexOf("gap") === 3, JSON.stringify(all));
  }
  assert.equal(new Set(both.map(({ epoch: its, offset }) => `${its} ${offset}`)).size, 2, "no place twice");
  for (const [from, to] of [[offsets, "dump:{ws:channel:log:dump}o"], [stream, "dump:{ws:channel:log:dump}s"]]) await redis.command("COPY", from, to);
  for (const data of ["lost 1", "lost 2"]) await publish(1, data);
  await heard("lost 2");
  for (const [to, from] of [[offsets, "dump:{ws:channel:log:dump}o"], [stream, "dump:{ws:channel:log:dump}s"]]) await redis.command("COPY", from, to, "REPLACE");
  const third = await publish(0, "in their place");
  assert.notEqual(third.epoch, second);
  await heard("in their place");
  for (const { all } of listeners) assert.deepEqual(all.slice(-2), ["gap", [third.offset, "in their place"]]);
  for (const broker of brokers) assert.equal((await comeBack(broker, "log:dump", second, 5)).answer.recovered, false);
});

test("an epoch that went while an instance was away", { timeout: 60000 * SLOWER, skip: NO_REDIS }, async () => {
  const redis = await startRedisAndWire();
  const brokers = [];
  try {
    brokers.push(...await startBrokers(2, [redis.url, redis.wire.url], { config: { ...config, "redis.history_wait": "20s" } }));
    for (const [i, commands] of [(keys) => [["DEL", keys.offsets]], (keys) => [["HSET", keys.offsets, "epoch", "rubbish"]], (keys) => [["DEL", keys.offsets, keys.stream]]].entries()) {
      const channel = `log:away-${i}`;
      const { publish, listeners, epoch, heard, ...keys } = await busyChannel(brokers, channel);
      redis.wire.cut();
      await redisHealth(brokers[1], 503);
      for (const command of commands(keys)) await redis.command(...command);
      const place = await publish(0, "meanwhile");
      assert.notEqual(place.epoch, epoch);
      const waiting = publish(1, "waits");
      redis.wire.mend();
      await redisHealth(brokers[1], 200, 20000);
      assert.equal((await waiting).epoch, place.epoch);
      await publish(0, "after");
      await heard("after");
      for (const { all, gaps } of listeners) {
        inOrder(all);
        assert.equal(gaps(), 1);
        assert.ok(all.some((one) => one[1] === "waits"));
      }
      const { answer } = await comeBack(brokers[1], channel, epoch, 3);
      assert.deepEqual([answer.recovered, answer.epoch], [false, place.epoch]);
    }
    for (const broker of brokers) await broker.stop();
  } finally {
    for (const broker of brokers) await broker.destroy();
    await redis.destroy();
  }
});

/* Entries that are counted, in the place of the next message; what subscribers get of it: a gap, or these data. */
const json = (more) => JSON.stringify({ sourceInstance: "x", boot: 1, seq: 1, ...more });
const ENTRIES = [
  ["no field of ours", ["x", "y"], "gap"],
  ["fields in another order", ["t", "1", "p", "x:1:1", "m", json({ payload: "another order" })], "gap"],
  ["a field is missing", ["p", "x:1:1", "t", "1"], "gap"],
  ["a field is there twice", ["p", "x:1:1", "t", "1", "m", json({ payload: "first" }), "m", json({ payload: "second" })], "gap"],
  ["all are empty", ["p", "", "t", "", "m", ""], "gap"],
  ["rubbish", ["p", "x:1:1", "t", "1", "m", "{{{{"], "gap"],
  ["no UTF-8", ["p", "x:1:1", "t", "1", "m", Buffer.from([0x7b, 0xff, 0xfe, 0x7d])], "gap"],
  ["binary rubbish", ["p", "x:1:1", "t", "1", "m", Buffer.from([1, 0xff, 0xff, 0, 1, 2])], "gap"],
  ["a time from the future", ["p", "x:1:1", "t", "9000000000000000000", "m", json({ payload: "future" })], "future"],
  ["no time", ["p", "x:1:1", "t", "yesterday", "m", json({ payload: "timeless" })], "gap"],
  ["another place and channel within", ["p", "x:1:1", "t", "1", "m", json({ payload: "elsewhere", epoch: "77", offset: 1, channel: "log:other" })], "elsewhere"],
  ["too large for a client's message", ["p", "x:1:1", "t", "1", "m", json({ payload: "x".repeat(100000) })], "gap"],
];

testRedis("entries that are counted and that nobody of ours wrote: what is no message is told, and the rest goes on", { brokers: 2, config: { ...config, "limits.max_message_size": "16KiB" }, timeout: 60000 }, async ({ brokers, redis }) => {
  await Promise.all(ENTRIES.map(async ([what, fields, expected], i) => {
    const channel = `log:entry-${i}`;
    const { publish, listeners, epoch, heard, offsets, stream } = await busyChannel(brokers, channel);
    await redis.command("XADD", stream, "4-0", ...fields);
    await redis.command("HSET", offsets, "offset", "4");
    assert.deepEqual((({ epoch: its, offset }) => [its, offset])(await publish(0, "next")), [epoch, 5], what);
    await heard("next");
    const last = expected === "gap" ? "gap" : [4, expected];
    for (const { all } of listeners) assert.deepEqual(all.slice(3), [last, [5, "next"]], what);
    for (const broker of brokers) {
      const { answer, client } = await comeBack(broker, channel, epoch, 4);
      assert.equal(answer.recovered, true, what);
      await until("what it missed", () => client.inbox.length === 1);
    }
  }));
  assert.deepEqual(linesOf(brokers, /history_alone|history_not_read|outbox_dropped/), []);
});

testRedis("places that strangers publish: what is none of the channel's is dropped, and hides nothing", { brokers: 2, config, timeout: 60000 }, async ({ brokers, redis }) => {
  const { publish, listeners, epoch, heard } = await busyChannel(brokers, "log:forged");
  const its = BigInt(`0x${epoch}`).toString();
  const forged = (place, offset) => redis.publish("ws:channel:log:forged", `{"epoch":"${place}","offset":${offset},${json({ payload: "forged" }).slice(1)}`);
  for (const [place, offset] of [[its, "9007199254740992"], [its, 1000], ["9223372036854775807", 1], ["1", 1], [String(BigInt(its) + 1n), 4]]) await forged(place, offset);
  await publish(0, "next");
  await heard("next");
  await publish(1, "more");
  await heard("more");
  for (const { all } of listeners) assert.deepEqual(all.slice(3), [[4, "next"], [5, "more"]]);
});

testRedis("a Redis that is slow, full, a replica, or cannot save: messages wait, and nobody misses one", { brokers: 2, config: { ...config, "redis.history_wait": "20s" }, timeout: 90000 }, async ({ brokers, redis }) => {
  const { publish, listeners, epoch, heard } = await busyChannel(brokers, "log:slow");
  const troubles = [
    [["CLIENT", "PAUSE", "1000", "WRITE"]],
    [["CLIENT", "PAUSE", "1000", "ALL"]],
    [["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]],
    [["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]],
    [["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]],
    [["PING"], ["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]],
  ];
  const waits = async () => (await Promise.all(brokers.map((broker) => broker.metrics()))).map((metrics) => metrics("ringcast_history_shared_waiting"));
  for (const [i, [begin, end]] of troubles.entries()) {
    if (begin[0] === "PING") { // it cannot save, and says so to every write
      mkdirSync(join(redis.folder, "dump.rdb", "in the way"), { recursive: true });
      await redis.command("CONFIG", "SET", "save", "3600 1");
      await redis.command("BGSAVE");
      await until("it cannot save", async () => (await redis.command("INFO", "persistence")).includes("rdb_last_bgsave_status:err"));
      await assert.rejects(redis.command(...begin), /^Error: MISCONF/);
    } else {
      await redis.command(...begin);
    }
    const waiting = Promise.all([0, 1].flatMap((by) => [1, 2].map((n) => publish(by, `${i}.${by}.${n}`))));
    if (end) {
      await until("they wait", async () => (await waits()).every((count) => count === 2));
      await redis.command(...end);
    }
    for (const { epoch: its } of await waiting) assert.equal(its, epoch, begin.join(" "));
  }
  await publish(0, "after");
  await heard("after");
  for (const { all } of listeners) {
    inOrder(all);
    assert.deepEqual([all.length, all.includes("gap")], [3 + 4 * troubles.length + 1, false]);
  }
  assert.deepEqual(linesOf(brokers, /history_alone/), []);
});

testRedis("a Redis that answers no write for longer than history_wait: alone, and then each message once, for everybody, in the shared history", { brokers: 2, config: { ...config, "redis.history_wait": "4s" }, timeout: 60000 }, async ({ brokers, redis }) => {
  const { publish, listeners, epoch, heard } = await busyChannel(brokers, "log:silent");
  await redis.command("CLIENT", "PAUSE", "60000", "WRITE");
  for (const [by, n] of [[0, 1], [1, 1], [0, 2], [1, 2]]) assert.notEqual((await publish(by, `alone ${by}.${n}`)).epoch, epoch);
  await redis.command("CLIENT", "UNPAUSE");
  for (const { gaps } of listeners) await until("the shared epoch holds again", () => gaps() === 2);
  const place = await publish(0, "after");
  assert.deepEqual([place.epoch, place.offset], [epoch, 8]);
  await heard("after");
  for (const { all } of listeners) {
    const data = all.filter((one) => one !== "gap").map(([, its]) => its);
    assert.equal(new Set(data).size, data.length, `each once: ${JSON.stringify(all)}`);
  }
  for (const broker of brokers) {
    const { client, answer } = await comeBack(broker, "log:silent", epoch, 3);
    assert.equal(answer.recovered, true);
    await until("all that was said alone", () => client.inbox.length === 5);
    assert.deepEqual(client.inbox.map(({ data }) => data).sort(), ["after", "alone 0.1", "alone 0.2", "alone 1.1", "alone 1.2"]);
  }
});

const clock = NO_FAKE_CLOCK ? null : fakeClock();
test("hosts whose clocks are days apart, and are set: one order, one epoch, and nothing is too old", { timeout: 60000 * SLOWER, skip: NO_REDIS || NO_FAKE_CLOCK }, async () => {
  const redis = await startRedis();
  const brokers = [];
  const its = { namespace: [{ ...config.namespace[0], history_ttl: "10m" }] };
  try {
    brokers.push(...await startBrokers(1, redis.url, { config: its }));
    brokers.push(...await startBrokers(1, redis.url, { config: { ...its, "server.instance_id": "mad" }, env: clock.env }));
    const { publish, listeners, epoch, heard, offsets } = await busyChannel(brokers, "log:clock");
    let known = epoch;
    let count = 3;
    for (const [n, days] of [1, -2, 3, 0].entries()) {
      clock.set(days * 86400);
      for (const by of [1, 0, 1]) assert.deepEqual((({ epoch: one, offset }) => [one, offset])(await publish(by, `${n}.${count}`)), [known, ++count]);
      await heard(`${n}.${count - 1}`);
      const { answer, client } = await comeBack(brokers[n % 2], "log:clock", known, count - 3);
      assert.equal(answer.recovered, true);
      await until("what it missed", () => client.inbox.length === 3);
      client.terminate();
      if (n % 2 === 1) { // whoever begins the next epoch, and whatever its clock says: it is later than this one
        await redis.command("DEL", offsets);
        const before = known;
        ({ epoch: known } = await publish(n > 1 ? 0 : 1, `epoch ${n}`));
        assert.ok(BigInt(`0x${known}`) > BigInt(`0x${before}`));
        await heard(`epoch ${n}`);
        count = 1;
      }
    }
    for (const { all, gaps } of listeners) {
      inOrder(all);
      assert.equal(gaps(), 2);
    }
    for (const broker of brokers) await broker.stop();
  } finally {
    for (const broker of brokers) await broker.destroy();
    await redis.destroy();
  }
});
