// FLAVOUR=asan
// tests/e2e/lib/hostile.mjs in full size: a million hostile inputs over TCP and Redis against brokers under ASan, one after the other with each
// of the adapters; fewer where twice STRESS_SECONDS are over before: two cores that do nothing else make 1,300 inputs a second, and a million of
// them is what this is for. Prints what they were, and how fast. Environment: RINGCAST_BIN_DIR, STRESS_INPUTS (1000000), STRESS_SECONDS,
// RINGCAST_SEED.
import { startBroker } from "../e2e/lib/broker.mjs";
import { CONFIG, hostile } from "../e2e/lib/hostile.mjs";
import { redisHealth, startRedis } from "../e2e/lib/redis.mjs";
import { SEED } from "../e2e/lib/util.mjs";

const INPUTS = Number(process.env.STRESS_INPUTS ?? 1000000);
const SECONDS = 2 * Number(process.env.STRESS_SECONDS ?? Infinity);
const ADAPTERS = ["classic", "sharded", "streams"];
const ROUND = 50000;
const GROWTH = 64 * 1024 * 1024;
const ASAN_OPTIONS = "detect_leaks=1:abort_on_error=1:disable_coredump=1:quarantine_size_mb=4";

const begun = performance.now();
const kinds = {};
let status = 0;
let done = 0;
for (const [i, adapter] of ADAPTERS.entries()) {
  const share = (of) => (of * (i + 1)) / ADAPTERS.length;
  const redis = await startRedis();
  const broker = await startBroker({ workers: 2, config: { ...CONFIG, "redis.url": redis.url, "socketio.adapter": adapter }, env: { ASAN_OPTIONS } });
  try {
    await redisHealth(broker, 200, 10000);
    for (let round = 0; done < share(INPUTS) && performance.now() - begun < 1000 * share(SECONDS); round++) {
      const since = performance.now();
      const count = Math.min(ROUND, Math.ceil(share(INPUTS) - done));
      const result = await hostile(broker, count, { growth: GROWTH, seed: SEED + 1000000 * i + 10000 * round, redis, adapter });
      done += result.inputs;
      for (const [kind, number] of Object.entries(result.kinds)) kinds[kind] = (kinds[kind] ?? 0) + number;
      console.log(`socketio_hostile: ${adapter}: ${done} inputs; this round ${Math.round((1000 * result.inputs) / (performance.now() - since))} a second, ${result.answers} answers, good clients answered ${result.served.join(" and ")} times, ${Math.round(result.grew / 1024)} KiB more`);
    }
    await broker.stop();
  } catch (error) {
    status = 1;
    console.error(error);
    console.error(`--- RINGCAST_SEED=${SEED}. The broker's log\n${broker.log.slice(-40).join("\n")}`);
  } finally {
    await broker.destroy();
    await redis.destroy();
  }
}
const seconds = (performance.now() - begun) / 1000;
for (const [kind, number] of Object.entries(kinds).sort(([, one], [, other]) => other - one)) console.log(`  ${String(number).padStart(9)} ${kind}`);
console.log(`socketio_hostile: ${status === 0 ? "ok" : "FAILED"}, ${done} inputs in ${seconds.toFixed(0)} s, ${Math.round(done / seconds)} a second (RINGCAST_SEED=${SEED})`);
process.exit(status);
