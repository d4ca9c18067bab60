// Recovery in full size: hundreds of clients that drop at random, over STRESS_SECONDS, while workers and the relay are killed in turn; then
// thousands that come back at once, each missing 50 messages of its channel. Asserted: every stream is complete and in order, or it was said
// that it is not, exactly where the history had been exceeded; what the workers hold meanwhile is bounded. Then as many come back to a broker that was
// started anew, whose history is shared: it knows nothing yet, and asks Redis once a channel, not once a client (asserted); how long it took, and what
// those who were there noticed of it, is printed, and judged where RECOVER_JUDGE is set (5 s, twice the p99 of before).
// Environment: RINGCAST_BIN_DIR, STRESS_SECONDS (0: no storm before), RECOVER_CLIENTS (300), RECOVER_MASS (5000), RECOVER_JUDGE.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { startBroker } from "../e2e/lib/broker.mjs";
import { startBrokers, startRedis } from "../e2e/lib/redis.mjs";
import { connect } from "../e2e/lib/client.mjs";
import { dropStorm, killInTurn, overseen } from "../e2e/lib/recover.mjs";
import { SEED, delay } from "../e2e/lib/util.mjs";
import { calmOn } from "../e2e/lib/calm.mjs";

const HISTORY = 2000;
const MISSED = 50;
const clients = Number(process.env.RECOVER_CLIENTS ?? 300);
const files = Number(/Max open files\s+(\d+)/.exec(readFileSync("/proc/self/limits", "latin1"))[1]);
const mass = Math.min(Number(process.env.RECOVER_MASS ?? 5000), files - 300); // each is a socket of this process
const seconds = process.env.STRESS_SECONDS === "0" ? 0 : Math.max(10, Number(process.env.STRESS_SECONDS ?? 600) - 60);
const EACH = 50; // clients of a channel that come back to a new broker
const GROWTH = 256 << 20;

const rss = (broker) => broker.pids().workers.reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) * 1024, 0);
/* CPU time of the workers so far, in ms: what the broker did, however slow this process is. */
const cpu = (broker) => broker.pids().workers.reduce((sum, pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /, "").split(" ");
  return sum + (Number(fields[11]) + Number(fields[12])) * 10;
}, 0);
const config = { namespace: [{ name: "log", history: HISTORY, slow_consumer: "skip" }] };

async function massReturn(broker) {
  const publisher = await broker.connect();
  const { epoch } = await publisher.expect("subscribed", { type: "subscribe", channel: "log:mass" });
  for (let n = 1; n <= MISSED; n++) await publisher.publish("log:mass", "x".repeat(200));
  const back = [];
  while (back.length < mass) back.push(...await Promise.all(Array.from({ length: Math.min(200, mass - back.length) }, () => connect(`ws://${broker.host}/ws`))));
  const before = rss(broker);
  const spent = cpu(broker);
  const began = performance.now();
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, rss(broker))), 50);
  await Promise.all(back.map(async (client) => {
    let offset = 0;
    const all = new Promise((done) => {
      client.ondelivery = (message) => {
        assert.equal(message.offset, ++offset);
        if (offset === MISSED) done();
      };
    });
    const answer = await client.expect("subscribed", { type: "subscribe", channel: "log:mass", recover: { epoch, offset: 0 } }, { timeout: 60000 });
    assert.equal(answer.recovered, true);
    await all;
  }));
  clearInterval(watch);
  console.log(`recover: ${mass} clients, ${MISSED} messages each, in ${Math.round(performance.now() - began)} ms, ${cpu(broker) - spent} ms of the workers' CPU; workers grew by ${((most - before) / 1048576).toFixed(1)} MiB`);
  assert.ok(most - before < GROWTH, `${most - before} bytes`);
  for (const client of back) client.terminate();
}

/* How often Redis was asked by scripts that are no messages: histories are read so. */
async function asked(redis) {
  return Number(/cmdstat_eval:calls=(\d+)/.exec(String(await redis.command("INFO", "commandstats")))?.[1] ?? 0);
}

async function massRestart() {
  const redis = await startRedis();
  const channels = Array.from({ length: Math.max(1, Math.round(mass / EACH)) }, (_, i) => `log:${i}`);
  const settings = { workers: 2, config: { ...config, "redis.history_wait": "60s", "limits.max_channels": 4096 } };
  const brokers = [];
  await overseen(brokers, [redis], async () => {
    brokers.push(...await startBrokers(2, redis.url, settings));
    const [first, other] = brokers;
    const publisher = await other.connect();
    const epochs = new Map();
    for (const channel of channels) {
      const answers = await Promise.all(Array.from({ length: MISSED }, () => publisher.publish(channel, "x".repeat(200))));
      epochs.set(channel, answers[0].epoch);
    }
    const former = await first.connect();
    for (const channel of channels) await former.subscribe(channel);
    await first.stop();
    await first.destroy();
    const [restarted] = await startBrokers(1, redis.url, settings); // of its name
    brokers[0] = restarted;
    const back = [];
    while (back.length < mass) back.push(...await Promise.all(Array.from({ length: Math.min(200, mass - back.length) }, () => connect(`ws://${restarted.host}/ws`))));
    const calm = await calmOn(restarted.host);
    await delay(2000); // so long it is looked at
    const before = await calm.p99();
    const held = rss(restarted);
    const reads = await asked(redis);
    const spent = cpu(restarted);
    const began = performance.now();
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, rss(restarted))), 50);
    await Promise.all(back.map(async (client, i) => {
      const channel = channels[i % channels.length];
      let offset = 0;
      const all = new Promise((done) => {
        client.ondelivery = (message) => {
          assert.equal(message.offset, ++offset, channel);
          if (offset === MISSED) done();
        };
      });
      const answer = await client.expect("subscribed", { type: "subscribe", channel, recover: { epoch: epochs.get(channel), offset: 0 } }, { timeout: 60000 });
      assert.equal(answer.recovered, true, JSON.stringify(answer));
      await all;
    }));
    const took = performance.now() - began;
    clearInterval(watch);
    const [during, times] = [await calm.p99(), await asked(redis) - reads];
    await calm.end();
    console.log(`recover: ${mass} clients of ${channels.length} channels, ${MISSED} messages each, from a broker that was started anew, in ${Math.round(took)} ms, ${cpu(restarted) - spent} ms of the workers' CPU; Redis was asked ${times} times; workers grew by ${((most - held) / 1048576).toFixed(1)} MiB; p99 of others ${before.toFixed(2)} ms before, ${during.toFixed(2)} ms meanwhile`);
    assert.ok(times >= channels.length && times <= 2 * channels.length + 10, `${times} times for ${channels.length} channels`);
    assert.ok(most - held < GROWTH, `${most - held} bytes`);
    if (process.env.RECOVER_JUDGE) assert.ok(took < 5000 && during <= 2 * before, "within 5 s, and twice the p99");
    for (const client of back) client.terminate();
  });
}

async function storm() {
  const sums = await dropStorm(broker, { prefix: "log", clients, channels: Math.max(10, clients / 5), publishers: 8, pauseMs: 1, seconds, awayMs: 4000, history: HISTORY, kill: killInTurn(broker, 2), killEveryMs: 2000, seed: SEED });
  console.log(`recover: RINGCAST_SEED=${SEED} ${JSON.stringify(sums)}`);
  assert.ok(sums.recovered > clients && sums.messages > 0);
}

const broker = await startBroker({ workers: 2, config });
await overseen([broker], [], async () => {
  if (seconds > 0) await storm();
  await massReturn(broker);
});
await massRestart();
