// A relay that stands still (SIGSTOP) until the rings are full and publishers wait, workers that are killed meanwhile, for STRESS_SECONDS: nothing
// that was acknowledged is lost, twice or out of order.
// Environment: RINGCAST_BIN_DIR, and as in tests/e2e/lib/trials.mjs.
import { killWorker } from "../e2e/lib/crowd.mjs";
import { trials } from "../e2e/lib/trials.mjs";
import { delay, until } from "../e2e/lib/util.mjs";

const workers = 2;
const config = { "server.ring_size": "64KiB", "server.overflow_size": "16MiB", "limits.max_message_size": "16KiB", "limits.channel_log": "64MiB", "limits.channel_log_messages": 10000, "limits.worker_log": "256MiB" };
await trials({ workers, config, crowd: { pad: 600, window: 100, publishers: 12, mayGap: true } }, async (broker, chance, crowd) => {
  broker.kill("SIGSTOP", "relay");
  try {
    let before = -1;
    await until("nobody is answered any more", () => before === (before = crowd.acknowledged), { every: 100 });
    const pid = broker.kill("SIGKILL", chance.below(workers));
    await until("it is gone", () => !broker.pids().workers.includes(pid), { every: 1 });
    await delay(chance.below(50));
  } finally {
    broker.kill("SIGCONT", "relay");
  }
  await until("all serve", async () => (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 30000, every: 5 });
  if (chance.below(4) === 0) await killWorker(broker, chance.below(workers));
  return { what: "relay stopped, a worker killed", closes: 4 };
});
