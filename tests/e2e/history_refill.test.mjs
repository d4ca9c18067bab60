// The copy of a shared history loses its older messages for want of memory: who comes back gets them all the same, from the stream, or is told at once that
// it cannot.
import assert from "node:assert/strict";
import { run } from "./lib/broker.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { redisHealth, startRedisAndWire, testRedis, until } from "./lib/redis.mjs";

const TEXT = "x".repeat(2000);
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const figure = async (broker, name) => (await broker.metrics())(`ringcast_history_${name}`);
const crossings = async (broker) => (await broker.metrics())("ws_cross_instance_messages_total");
const evals = async (redis) => Number(/cmdstat_eval:calls=(\d+)/.exec(await redis.command("INFO", "commandstats"))?.[1] ?? 0);
async function reload(broker, config) {
  broker.writeConfig({ ...broker.config, ...config });
  const { code, stderr } = await run(["reload", "-c", broker.configPath]);
  assert.equal(code, 0, stderr);
}
const refetched = (broker) => figure(broker, "repaired_messages_total");

/* A machine that stands still for a while is not a Redis that is away. */
const small = (more) => ({
  brokers: 1,
  config: { "limits.history_memory": "1MiB", "redis.history_wait": "60s", namespace: [{ name: "log", history: 1000, history_who: "anyone" }, { name: "flood", history: 1000 }], ...more?.config },
  timeout: 90000,
  ...more?.options,
});
const wired = (more) => small({ ...more, options: { start: startRedisAndWire, url: (redis) => redis.wire.url } });

/* So many messages of the channel; what they have is their number, and the rest of a few KB. */
async function fill(broker, channel, from, to) {
  const publisher = await broker.connect();
  let answer;
  for (const n of numbers(from, to)) answer = await publisher.publish(channel, [n, TEXT]);
  publisher.terminate();
  return answer;
}
/* Others take all of the memory. */
async function flood(broker, channel = "flood:1") {
  const listener = await broker.connect();
  await listener.subscribe(channel);
  const before = await figure(broker, 'evicted_pages_total{reason="memory"}');
  await fill(broker, channel, 1, 700);
  assert.ok(await figure(broker, 'evicted_pages_total{reason="memory"}') > before);
  listener.terminate();
}

async function back(broker, channel, epoch, offset) {
  const client = await broker.connect();
  const seen = [];
  client.ondelivery = (message) => {
    if (message.channel === channel || message.channel === undefined) seen.push(message.type === "message" ? message.offset : message.type);
  };
  const answer = await client.expect("subscribed", { type: "subscribe", channel, recover: { epoch, offset } }, { timeout: 20000 });
  return { client, seen, answer };
}
async function whole({ seen, answer }, from, to) {
  assert.equal(answer.recovered, true, JSON.stringify(answer));
  await until("all of them", () => seen.length >= to - from + 1).catch((error) => {
    error.message += ` ${JSON.stringify(seen)}`;
    throw error;
  });
  assert.deepEqual(seen, numbers(from, to));
}

testRedis("what the memory had no room for comes from the stream, once for all who come back", small(), async ({ brokers: [broker] }) => {
  const stays = await broker.connect();
  const heard = [];
  stays.ondelivery = ({ type, offset }) => heard.push(type === "message" ? offset : type);
  await stays.subscribe("log:a");
  const { epoch } = await fill(broker, "log:a", 1, 40);
  await flood(broker);
  const before = await refetched(broker); // what was late on a busy machine is read from the stream, too
  const several = await Promise.all(numbers(1, 20).map((n) => back(broker, "log:a", epoch, n)));
  for (const [i, one] of several.entries()) await whole(one, i + 2, 40);
  assert.equal(await refetched(broker), before + 40, "it was read once");
  await whole(await back(broker, "log:a", epoch, 0), 1, 40);
  assert.equal(await refetched(broker), before + 40, "it is there now");
  await fill(broker, "log:a", 41, 45);
  for (const [i, one] of several.entries()) await whole(one, i + 2, 45);
  await until("all", () => heard.length === 45);
  assert.deepEqual(heard, numbers(1, 45));
});

testRedis("the same where nobody was subscribed meanwhile, also of what is longer ago than one piece", small(), async ({ brokers: [broker], redis }) => {
  const publisher = await broker.connect();
  let epoch;
  for (const n of numbers(1, 700)) ({ epoch } = await publisher.publish("log:a", n));
  const first = await back(broker, "log:a", epoch, 699);
  await whole(first, 700, 700);
  first.client.terminate();
  await until("it is given back", async () => (await redis.command("PUBSUB", "NUMSUB", "ws:channel:log:a"))[1] === 0, { timeout: 20000 });
  await flood(broker);
  await whole(await back(broker, "log:a", epoch, 5), 6, 700);
});

testRedis("what the stream has not either is told, and so is what its memory is too small for, at once", small(), async ({ brokers: [broker], redis }) => {
  const stays = await broker.connect();
  for (const channel of ["log:a", "log:large"]) await stays.subscribe(channel);
  const { epoch } = await fill(broker, "log:a", 1, 40);
  const large = await fill(broker, "log:large", 1, 400);
  await flood(broker);
  await redis.command("XTRIM", "ws:history:{ws:channel:log:a}", "MINID", "21-0");
  assert.equal((await back(broker, "log:a", epoch, 10)).answer.recovered, false);
  await whole(await back(broker, "log:a", epoch, 20), 21, 40);
  assert.equal((await back(broker, "log:large", large.epoch, 0)).answer.recovered, false);
  await whole(await back(broker, "log:large", large.epoch, 399), 400, 400);
});

testRedis("many channels that take the memory from each other: everybody is answered, with all or with the truth", small(), async ({ brokers: [broker] }) => {
  const stays = await broker.connect();
  const channels = numbers(1, 16).map((n) => `log:${n}`);
  const epochs = new Map();
  for (const channel of channels) {
    await stays.subscribe(channel);
    epochs.set(channel, (await fill(broker, channel, 1, 30)).epoch);
  }
  let recovered = 0;
  for (let round = 0; round < 3; round++) {
    const all = await Promise.all(channels.map((channel) => back(broker, channel, epochs.get(channel), 0)));
    for (const one of all) {
      if (one.answer.recovered) recovered++;
      if (one.answer.recovered) await until("the end of it", () => one.seen.includes(30) || one.seen.includes("gap"));
      if (!one.seen.includes("gap")) assert.deepEqual(one.seen, one.answer.recovered ? numbers(1, 30) : []);
    }
    for (const { client } of all) client.terminate();
  }
  assert.ok(recovered > 0, "some were read");
});

testRedis("Redis is away: it is told at once that it cannot; and it can when Redis is there again", wired(), async ({ brokers: [broker], redis }) => {
  const stays = await broker.connect();
  await stays.subscribe("log:a");
  const { epoch } = await fill(broker, "log:a", 1, 40);
  await flood(broker);
  redis.wire.cut();
  await redisHealth(broker, 503);
  assert.equal((await back(broker, "log:a", epoch, 10)).answer.recovered, false);
  redis.wire.mend();
  await redisHealth(broker, 200);
  await until("it can", async () => {
    const one = await back(broker, "log:a", epoch, 10);
    if (one.answer.recovered) await whole(one, 11, 40);
    return one.answer.recovered;
  }, { timeout: 20000 });
});

testRedis("a Redis that says nothing: history_wait is the end of it", wired(), async ({ brokers: [broker], redis }) => {
  const stays = await broker.connect();
  await stays.subscribe("log:a");
  const { epoch } = await fill(broker, "log:a", 1, 40);
  await flood(broker);
  await reload(broker, { "redis.history_wait": "500ms" }); // what was published until then may have waited for longer
  redis.wire.mute();
  assert.equal((await back(broker, "log:a", epoch, 10)).answer.recovered, false);
  await reload(broker, { "redis.history_wait": "60s" });
  redis.wire.cut(); // what was not heard is not to come in the place of what is asked next
  redis.wire.mend();
  await redisHealth(broker, 200, 20000);
  await until("it is read", async () => {
    const one = await back(broker, "log:a", epoch, 10);
    if (one.answer.recovered) await whole(one, 11, 40);
    return one.answer.recovered;
  }, { timeout: 20000 });
});

testRedis("Redis is away for a moment while the stream is asked: it is asked again", wired(), async ({ brokers: [broker], redis }) => {
  const stays = await broker.connect();
  await stays.subscribe("log:a");
  const { epoch } = await fill(broker, "log:a", 1, 40);
  await flood(broker);
  redis.wire.mute();
  const asked = await evals(redis);
  const waiting = numbers(1, 3).map((n) => back(broker, "log:a", epoch, n));
  await until("it is asked", async () => await evals(redis) > asked);
  redis.wire.cut();
  redis.wire.mend();
  for (const [i, one] of (await Promise.all(waiting)).entries()) await whole(one, i + 2, 40);
});

testRedis("history_bytes that are less than the stream: what there is room for is read, and stays when messages come", small({ config: {
  "limits.history_memory": "8MiB", "redis.history_wait": "60s",
  namespace: [{ name: "log", history: 1000, history_bytes: "64KiB", history_who: "anyone" }, { name: "flood", history: 10000 }],
} }), async ({ brokers: [broker] }) => {
  const stays = await broker.connect();
  await stays.subscribe("log:a");
  const { epoch } = await fill(broker, "log:a", 1, 500);
  const listener = await broker.connect();
  await listener.subscribe("flood:1");
  await fill(broker, "flood:1", 1, 5000);
  assert.ok(await figure(broker, 'evicted_pages_total{reason="memory"}') > 0);
  const crossed = await crossings(broker);
  await whole(await back(broker, "log:a", epoch, 497), 498, 500);
  assert.ok(await refetched(broker) >= 20, "as much as there is room for");
  assert.equal(await crossings(broker), crossed, "it was delivered long ago");
  await fill(broker, "log:a", 501, 502);
  await whole(await back(broker, "log:a", epoch, 485), 486, 502);
  assert.equal((await back(broker, "log:a", epoch, 100)).answer.recovered, false, "that is more than it may have");
});

testRedis("messages that are large beside the memory are read once, not sixteen for each that finds room", small(), async ({ brokers: [broker], redis }) => {
  const sent = async () => Number(/total_net_output_bytes:(\d+)/.exec(await redis.command("INFO", "stats"))[1]);
  const stays = await broker.connect();
  await stays.subscribe("log:a");
  const publisher = await broker.connect();
  let epoch;
  for (const n of numbers(1, 10)) ({ epoch } = await publisher.publish("log:a", [n, "x".repeat(20000)]));
  await flood(broker);
  const before = await sent();
  await whole(await back(broker, "log:a", epoch, 1), 2, 10);
  assert.equal(await refetched(broker) >= 9, true);
  const bytes = await sent() - before;
  assert.ok(bytes < 300000, `${bytes} for 200,000`);
});

testRedis("messages come while the stream is asked: in order, each once", wired(), async ({ brokers: [broker], redis }) => {
  const stays = await broker.connect();
  await stays.subscribe("log:a");
  const { epoch } = await fill(broker, "log:a", 1, 40);
  await flood(broker);
  redis.wire.narrow(2000); // what is asked for takes two seconds
  const waiting = numbers(1, 5).map((n) => back(broker, "log:a", epoch, n));
  const publisher = await broker.connect();
  const published = numbers(41, 44).map((n) => publisher.publish("log:a", [n, TEXT]));
  await Promise.all(published);
  for (const [i, one] of (await Promise.all(waiting)).entries()) await whole(one, i + 2, 44);
});

testRedis("a worker dies while its clients wait for the stream, and so does a relay: they are answered", wired(), async ({ brokers: [broker], redis }) => {
  for (const kill of ["worker", "relay"]) {
    const channel = `log:${kill}`;
    const stays = await broker.connect();
    await stays.subscribe(channel);
    const { epoch } = await fill(broker, channel, 1, 40);
    await flood(broker, `flood:${kill}`);
    redis.wire.narrow(2000);
    const client = await broker.connect();
    const seen = [];
    client.ondelivery = (message) => message.channel === channel && seen.push(message.type === "message" ? message.offset : message.type);
    const waiting = client.expect("subscribed", { type: "subscribe", channel, recover: { epoch, offset: 10 } }, { timeout: 60000 });
    await client.ping();
    await (kill === "relay" ? broker.killRelay() : killWorker(broker, 0));
    redis.wire.narrow(Infinity);
    const answer = await waiting;
    if (answer.recovered) await whole({ seen, answer }, 11, 40);
    await until("it goes on", async () => {
      await fill(broker, channel, 41, 41);
      return seen.length > 0;
    }, { timeout: 20000 });
    for (const [i, offset] of seen.entries()) if (i > 0) assert.equal(offset, seen[i - 1] + 1, JSON.stringify(seen));
  }
});
