// Recovery over three brokers and one Redis: clients drop at random and come back on any of the brokers, while workers, relays and Redis itself
// are killed in turn. Asserted, message by message: every stream is complete and in order, the same on all brokers, or it was said that it is not,
// exactly where the history had been exceeded. Then, printed, not judged: how many publishes a second one relay takes into a shared history.
// Environment: RINGCAST_BIN_DIR, STRESS_SECONDS, RECOVER_CLIENTS (300), RECOVER_CHANNELS (60), RECOVER_PUBLISHERS (9; each waits for its answers),
// RECOVER_AWAY (4: seconds that clients stay, and are away, at most), RECOVER_REDIS: "restart" (one Redis, killed and started again with its data),
// "failover" (Sentinel gives the master's place to its replica), "slots" (a Cluster's slots move); RECOVER_KILL=redis: nothing else is killed.
import assert from "node:assert/strict";
import { startBrokers } from "../e2e/lib/redis.mjs";
import { REDIS_TROUBLES, dropStorm, killAllInTurn, overseen } from "../e2e/lib/recover.mjs";
import { SEED, until } from "../e2e/lib/util.mjs";

const HISTORY = 2000;
const WORKERS = 2;
const clients = Number(process.env.RECOVER_CLIENTS ?? 300);
const channels = Number(process.env.RECOVER_CHANNELS ?? 60);
const publishers = Number(process.env.RECOVER_PUBLISHERS ?? 9);
const awayMs = Number(process.env.RECOVER_AWAY ?? 4) * 1000;
const seconds = Math.max(5, Number(process.env.STRESS_SECONDS ?? 600) - 30);

async function rate(broker) {
  const publishers = await Promise.all(Array.from({ length: 4 }, () => broker.connect()));
  const listener = await broker.connect();
  await listener.subscribe("log:rate");
  listener.ondelivery = () => {};
  const began = performance.now();
  let count = 0;
  await Promise.all(publishers.map(async (publisher) => {
    while (performance.now() - began < 3000) {
      await Promise.all(Array.from({ length: 250 }, () => publisher.publish("log:rate", "x".repeat(100))));
      count += 250;
    }
  }));
  console.log(`recover_cluster: ${Math.round(count / (performance.now() - began) * 1000)} publishes/s into a shared history, by one relay`);
}

const redis = await REDIS_TROUBLES[process.env.RECOVER_REDIS ?? "restart"]();
const brokers = [];
await overseen(brokers, [redis], async () => {
  brokers.push(...await startBrokers(3, redis.url, { workers: WORKERS, config: { namespace: [{ name: "log", history: HISTORY, slow_consumer: "skip" }], "redis.history_wait": "60s", "redis.outbox_max_age": "120s" } }));
  const sums = await dropStorm(brokers, { prefix: "log", clients, channels, publishers, pauseMs: 2, seconds, awayMs, history: HISTORY, kill: killAllInTurn(brokers, WORKERS, redis, process.env.RECOVER_KILL), killEveryMs: 2000, seed: SEED, loses: redis.loses });
  console.log(`recover_cluster: RINGCAST_SEED=${SEED} ${JSON.stringify(sums)}`);
  assert.ok(sums.recovered > clients && sums.messages > 0);
  await until("nothing waits for Redis", async () => (await brokers[0].metrics())("ringcast_history_shared_waiting") === 0, { timeout: 60000 });
  await rate(brokers[0]);
});
