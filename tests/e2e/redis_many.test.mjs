// Three brokers with two workers each over one Redis: exactly once, in the publisher's order, and how long it takes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { confirmed, redisHealth, subscribers, testRedis, until } from "./lib/redis.mjs";
import { SANITIZED, random } from "./lib/util.mjs";

const CLIENTS = 20; // of each worker
const CHANNELS = 12;
const MESSAGES = SANITIZED ? 1500 : 4000;

testRedis("each message published anywhere arrives exactly once at every subscriber, in its publisher's order", {
  brokers: 3,
  workers: 2,
  config: { "limits.channel_log": "16MiB" },
  timeout: 90000,
}, async ({ brokers, redis }) => {
  const next = random();
  const clients = [];
  for (const broker of brokers) for (const worker of [0, 1]) clients.push(...(await Promise.all(Array.from({ length: CLIENTS }, () => broker.connectToWorker(worker)))));
  const backend = await redis.connect();
  const audience = Array.from({ length: CHANNELS }, () => new Set());
  const seen = clients.map(() => new Map());
  const fences = clients.map(() => 0);
  let missing = 0;
  for (const [index, client] of clients.entries()) {
    for (let i = 0; i < 3; i++) {
      const channel = next.below(CHANNELS);
      if (audience[channel].has(index)) continue;
      audience[channel].add(index);
      await confirmed(client, `room:${channel}`);
    }
    client.ondelivery = ({ channel, data }) => {
      if (channel === "*") return fences[index]++;
      const [publisher, number] = data;
      const key = `${channel} ${publisher}`;
      const list = seen[index].get(key) ?? [];
      list.push(number);
      seen[index].set(key, list);
      missing--;
    };
  }
  const sent = new Map(); // "channel publisher" -> numbers
  const publishers = Array.from({ length: 12 }, (_, i) => (i % 4 === 3 ? null : clients[next.below(clients.length)]));
  await Promise.all(publishers.map(async (client, publisher) => {
    for (let number = 0; number < MESSAGES / publishers.length; number++) {
      const channel = next.below(CHANNELS);
      const key = `room:${channel} ${publisher}`;
      sent.set(key, [...(sent.get(key) ?? []), number]);
      missing += audience[channel].size;
      if (client) await client.publish(`room:${channel}`, [publisher, number]);
      else await backend.command("PUBLISH", `ws:channel:room:${channel}`, JSON.stringify({ payload: [publisher, number] }));
    }
  }));
  await until("everything has arrived", () => missing <= 0, { timeout: 30000 });
  // A second copy would come before what is said last on each of the ways.
  for (const broker of brokers) await (await broker.connect()).broadcast("last");
  await backend.command("PUBLISH", "ws:broadcast", '{"payload":"last"}');
  await until("the last ones have arrived", () => fences.every((count) => count === brokers.length + 1));
  assert.equal(missing, 0, "nothing twice");
  for (const [index] of clients.entries()) {
    for (const [key, numbers] of sent) {
      const channel = Number(/^room:(\d+)/.exec(key)[1]);
      assert.deepEqual(seen[index].get(key) ?? [], audience[channel].has(index) ? numbers : [], `client ${index}, ${key}`);
    }
  }
  for (let channel = 0; channel < CHANNELS; channel++) {
    const holders = new Set([...audience[channel]].map((index) => Math.floor(index / (2 * CLIENTS))));
    assert.equal(await subscribers(redis, `ws:channel:room:${channel}`), holders.size);
  }
});

testRedis("a relay that is killed comes back with its subscriptions, and sends nothing twice", { brokers: 2, workers: 2, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const [one, two] = [await a.connect(), await b.connect()];
  for (let i = 0; i < 50; i++) {
    await one.subscribe(`room:${i}`);
    await two.subscribe(`room:${i}`);
  }
  const got = new Map();
  two.ondelivery = ({ data }) => got.set(data, (got.get(data) ?? 0) + 1);
  let number = 0;
  for (let round = 0; round < 3; round++) {
    const pid = a.kill("SIGKILL", "relay");
    for (let i = 0; i < 100; i++) await one.publish(`room:${number % 50}`, number++);
    await until("another relay", () => a.pids().relay && a.pids().relay !== pid);
    await redisHealth(a, 200);
    await until("its subscriptions are there", async () => {
      const counts = await redis.command("PUBSUB", "NUMSUB", ...Array.from({ length: 50 }, (_, i) => `ws:channel:room:${i}`));
      return counts.every((count, i) => i % 2 === 0 || count === 2);
    });
    await one.publish("room:1", `end ${round}`);
    await until("what comes now arrives", () => got.has(`end ${round}`));
  }
  assert.deepEqual([...got].filter(([, times]) => times !== 1), [], "nothing twice");
  const back = [];
  one.ondelivery = ({ data }) => back.push(data);
  await two.publish("room:7", "back");
  await until("the other way too", () => back.includes("back"));
});

testRedis("cross-instance latency at 1,000 messages a second", { brokers: 2, skip: SANITIZED, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const [here, there] = [await a.connect(), await b.connect()];
  await there.subscribe("room:1");
  const quantile = (list, q) => [...list].sort((x, y) => x - y)[Math.floor(list.length * q)];
  const measure = async (send, hook) => {
    const times = [];
    hook((started) => times.push(performance.now() - started));
    const begun = performance.now();
    for (let i = 0; i < 2000; i++) {
      while (performance.now() - begun < i) await new Promise((done) => setImmediate(done));
      send(performance.now());
    }
    await until("all are there", () => times.length === 2000);
    return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
  };
  const [publisher, subscriber] = [await redis.connect(), await redis.connect()];
  await subscriber.command("SUBSCRIBE", "bare");
  const bare = () => measure((now) => publisher.send(["PUBLISH", "bare", now]), (note) => (subscriber.onmessage = ({ message }) => note(Number(message))));
  const crossing = () => measure((now) => here.send({ type: "publish", channel: "room:1", data: now }), (note) => (there.ondelivery = ({ data }) => note(data)));
  await crossing();
  // Time on a CPU, which a busy machine disturbs least (proc(5), schedstat).
  const relayTimes = () => [a, b].map((broker) => Number(readFileSync(`/proc/${broker.pids().relay}/schedstat`, "utf8").split(" ")[0]));
  const floor = await bare();
  const before = relayTimes();
  const figure = await crossing();
  const costs = relayTimes().map((time, i) => ((time - before[i]) / 2000 / 1000).toFixed(1));
  const text = ({ p50, p99 }) => `p50 ${p50.toFixed(3)} ms, p99 ${p99.toFixed(3)} ms`;
  console.log(`# bare PUBLISH: ${text(floor)}; across instances: ${text(figure)}; relay CPU per message: ${costs[0]} us publishing, ${costs[1]} us receiving`);
  // The floor of the same moment says how busy the machine is; the figures themselves are what is of interest.
  assert.ok(figure.p50 < 3 * floor.p50 + 1 && figure.p99 < 3 * floor.p99 + 20, text(figure));
});
