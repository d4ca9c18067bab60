// Recovery in full size: hundreds of clients that drop at random, over STRESS_SECONDS, while workers and the relay are killed in turn; then
// thousands that come back at once, each missing 50 messages of its channel. Asserted: every stream is complete and in order, or it was said
// that it is not, exactly where the history had been exceeded; what the workers hold meanwhile is bounded.
// Environment: RINGCAST_BIN_DIR, STRESS_SECONDS, RECOVER_CLIENTS (300), RECOVER_MASS (5000).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { startBroker } from "../e2e/lib/broker.mjs";
import { connect } from "../e2e/lib/client.mjs";
import { dropStorm, killInTurn } from "../e2e/lib/recover.mjs";
import { SEED } from "../e2e/lib/util.mjs";

const HISTORY = 2000;
const MISSED = 50;
const clients = Number(process.env.RECOVER_CLIENTS ?? 300);
const mass = Number(process.env.RECOVER_MASS ?? 5000);
const seconds = Math.max(10, Number(process.env.STRESS_SECONDS ?? 600) - 60);
const GROWTH = 256 << 20;

const rss = (broker) => broker.pids().workers.reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) * 1024, 0);
const config = { namespace: [{ name: "log", history: HISTORY, slow_consumer: "skip" }] };

async function massReturn(broker) {
  const publisher = await broker.connect();
  const { epoch } = await publisher.expect("subscribed", { type: "subscribe", channel: "log:mass" });
  for (let n = 1; n <= MISSED; n++) await publisher.publish("log:mass", "x".repeat(200));
  const back = [];
  while (back.length < mass) back.push(...await Promise.all(Array.from({ length: Math.min(200, mass - back.length) }, () => connect(`ws://${broker.host}/ws`))));
  const before = rss(broker);
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
  console.log(`recover: ${mass} clients, ${MISSED} messages each, in ${Math.round(performance.now() - began)} ms; workers grew by ${((most - before) / 1048576).toFixed(1)} MiB`);
  assert.ok(most - before < GROWTH, `${most - before} bytes`);
  for (const client of back) client.terminate();
}

const broker = await startBroker({ workers: 2, config });
try {
  const sums = await dropStorm(broker, { prefix: "log", clients, channels: Math.max(10, clients / 5), publishers: 8, pauseMs: 1, seconds, awayMs: 4000, history: HISTORY, kill: killInTurn(broker, 2), killEveryMs: 2000, seed: SEED });
  console.log(`recover: RINGCAST_SEED=${SEED} ${JSON.stringify(sums)}`);
  assert.ok(sums.recovered > clients && sums.messages > 0);
  await massReturn(broker);
  await broker.stop();
} catch (error) {
  console.error(broker.log.slice(-60).join("\n"));
  throw error;
} finally {
  await broker.destroy();
}
