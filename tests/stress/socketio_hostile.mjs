// tests/e2e/lib/hostile.mjs in full size: a million hostile inputs over TCP, fewer where STRESS_SECONDS is over before. Best against the
// ASan build: RINGCAST_BIN_DIR=build/asan node tests/stress/socketio_hostile.mjs. Environment: RINGCAST_BIN_DIR, STRESS_INPUTS (1000000),
// STRESS_SECONDS, RINGCAST_SEED.
import { startBroker } from "../e2e/lib/broker.mjs";
import { CONFIG, hostile } from "../e2e/lib/hostile.mjs";
import { SEED } from "../e2e/lib/util.mjs";

const INPUTS = Number(process.env.STRESS_INPUTS ?? 1000000);
const ROUND = 20000;
const GROWTH = 64 * 1024 * 1024;
const end = performance.now() + Number(process.env.STRESS_SECONDS ?? Infinity) * 1000;

let status = 0;
let done = 0;
const broker = await startBroker({ workers: 2, config: CONFIG, env: { ASAN_OPTIONS: "detect_leaks=1:abort_on_error=1:disable_coredump=1:quarantine_size_mb=4" } });
try {
  for (let round = 0; done < INPUTS && performance.now() < end; round++) {
    const { inputs, answers, served, grew } = await hostile(broker, Math.min(ROUND, INPUTS - done), { growth: GROWTH, seed: SEED + 10000 * round });
    done += inputs;
    console.log(`socketio_hostile: ${done} inputs; this round ${answers} answers, good clients answered ${served.join(" and ")} times, ${Math.round(grew / 1024)} KiB more`);
  }
  await broker.stop();
  console.log(`socketio_hostile: ok, ${done} inputs (RINGCAST_SEED=${SEED})`);
} catch (error) {
  status = 1;
  console.error(error);
  console.error(`--- RINGCAST_SEED=${SEED}. The broker's log\n${broker.log.slice(-40).join("\n")}`);
} finally {
  await broker.destroy();
}
process.exit(status);
