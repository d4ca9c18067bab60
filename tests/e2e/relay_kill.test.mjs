// kill -9 of the relay under load, 20 times: nobody is disconnected, what was answered arrived exactly once, order holds.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { SEED, delay, random, until } from "./lib/util.mjs";

const KILLS = 20;
const RATE = 10000; // messages a second, all publishers together
const PUBLISHERS = 8;
const SUBSCRIBERS = 8;
const CHANNELS = 4;
const ANSWER_LIMIT = 10000; // ms after the relay is back, on a machine that is busy with other things

testBroker(`20 kills under ${RATE} messages/s`, {
  workers: 4,
  timeout: 240000,
  config: { "limits.channel_log": "64MiB", "limits.worker_log": "256MiB" },
}, async (broker) => {
  const next = random();
  const publishers = await broker.connectMany(Array(4).fill(PUBLISHERS / 4));
  const subscribers = await broker.connectMany(Array(4).fill(SUBSCRIBERS / 4));
  const all = [...publishers, ...subscribers];
  const got = subscribers.map(() => Array.from({ length: CHANNELS }, () => [])); // [subscriber][channel] -> [publisher, n] as one number
  for (const [index, client] of subscribers.entries()) {
    for (let channel = 0; channel < CHANNELS; channel++) await client.subscribe(`load:${channel}`);
    client.ondelivery = (message) => {
      if (message.type === "message") got[index][Number(message.channel.slice(5))].push(message.data);
      else others.push(message);
    };
  }
  const others = []; // deliveries that are no messages: gaps
  const sent = []; // key -> channel; the key tells its publisher: key % PUBLISHERS
  const answeredAt = []; // key -> time, or undefined
  const wrongAnswers = [];
  for (const client of publishers) {
    client.ondelivery = (message) => {
      if (message.type === "published") {
        if (answeredAt[message.id] !== undefined) wrongAnswers.push({ twice: message.id });
        answeredAt[message.id] = performance.now();
      } else {
        wrongAnswers.push(message);
      }
    };
  }

  // A publisher each sends what is due by the clock; what the broker does not read waits in its socket.
  const counters = Array(PUBLISHERS).fill(0);
  const started = performance.now();
  let running = true;
  const pump = async () => {
    while (running && !broker.exit && !publishers.some((client) => client.isClosed)) {
      const due = Math.floor(((performance.now() - started) / 1000) * (RATE / PUBLISHERS));
      for (const [index, client] of publishers.entries()) {
        // Bounded: a machine that is too slow for the rate sends less, not more and more at once.
        const until = Math.min(due, counters[index] + 500);
        if (client.socket.bufferedAmount > 4 << 20) continue;
        let batch = [];
        for (; counters[index] < until; counters[index]++) {
          const key = counters[index] * PUBLISHERS + index;
          const channel = next.below(CHANNELS);
          sent[key] = channel;
          batch.push(`{"type":"publish","channel":"load:${channel}","data":${key},"id":${key}}`);
          if (batch.length === 32) batch = (client.send(`[${batch.join(",")}]`), []);
        }
        if (batch.length > 0) client.send(`[${batch.join(",")}]`);
      }
      await delay(2);
    }
  };
  const pumping = pump();

  const answers = () => answeredAt.reduce((count, at) => count + (at !== undefined), 0);
  await until("answers flow", () => answers() > 100);
  for (let i = 0; i < KILLS; i++) {
    await delay(50 + next() * 400); // a random moment is what is tested here
    const before = sent.length;
    await until("more is sent", () => sent.length > before, { every: 1 });
    const pid = broker.kill("SIGKILL", "relay");
    await until("a new relay is there", () => {
      const { relay } = broker.pids();
      return relay && relay !== pid;
    }, { timeout: 10000, every: 2 });
    await until("it is ready", async () => (await broker.status()).processes.find((row) => row.process === "relay").state === "ready", { timeout: 10000, every: 5 });
    // What was asked before and during the outage is answered soon after it.
    const asked = sent.length;
    const back = performance.now();
    await until("all that was sent meanwhile is answered", () => {
      for (let key = 0; key < asked; key++) if (sent[key] !== undefined && answeredAt[key] === undefined) return false;
      return true;
    }, { timeout: ANSWER_LIMIT, every: 20 }).catch((error) => {
      let missing = 0;
      for (let key = 0; key < asked; key++) if (sent[key] !== undefined && answeredAt[key] === undefined) missing++;
      throw new Error(`kill ${i}: ${missing} of ${asked} not answered ${(performance.now() - back).toFixed(0)} ms after the relay's return; ${error.message}`);
    });
  }
  running = false;
  await pumping;
  await until("everything is answered", () => sent.every((channel, key) => answeredAt[key] !== undefined), { timeout: 10000, every: 50 });
  const audience = Array.from({ length: CHANNELS }, (_, channel) => sent.filter((other) => other === channel).length);
  await until("everything answered has arrived", () => got.every((channels) => channels.every((keys, channel) => keys.length >= audience[channel])), { timeout: 20000, every: 50 })
    .catch(() => {}); // told in detail below

  for (const client of all) assert.equal(client.isClosed, false, "no client is disconnected");
  assert.deepEqual(wrongAnswers.slice(0, 10), []);
  assert.deepEqual(others.slice(0, 10), [], "no gaps");
  for (let channel = 0; channel < CHANNELS; channel++) {
    const first = got[0][channel];
    for (const [index, channels] of got.entries()) {
      const keys = channels[channel];
      const unique = new Set(keys);
      assert.equal(unique.size, keys.length, `subscriber ${index} gets nothing twice (seed ${SEED})`);
      const lost = [];
      for (const [key, where] of sent.entries()) if (where === channel && answeredAt[key] !== undefined && !unique.has(key)) lost.push(key);
      assert.deepEqual(lost.slice(0, 20), [], `subscriber ${index} lost ${lost.length} answered messages of load:${channel}`);
      const last = Array(PUBLISHERS).fill(-1);
      for (const key of keys) {
        assert.ok(key > last[key % PUBLISHERS], `order of publisher ${key % PUBLISHERS}: ${last[key % PUBLISHERS]} before ${key}`);
        last[key % PUBLISHERS] = key;
      }
      assert.deepEqual(keys, first, `subscriber ${index} sees the order of subscriber 0`);
    }
  }
  console.log(`# ${(sent.length / ((performance.now() - started) / 1000)).toFixed(0)} messages/s`); // as many as the machine has time for
  assert.ok(sent.length > 50 * KILLS, `${sent.length} messages are a load`);
  const metrics = await broker.metrics();
  assert.equal(metrics('ringcast_restarts_total{process="relay"}'), KILLS);
  // A number that was given twice would show as a message that a worker dropped as seen, and so as lost above.
  assert.equal(metrics("ringcast_relay_dropped_total"), 0);
});
