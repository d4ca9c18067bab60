// `ringcast handover` of one worker or all, again and again for STRESS_SECONDS, while publishers count and listeners keep every byte, some of them
// behind: nobody is disconnected, nothing is lost, twice or out of order.
// Environment: RINGCAST_BIN_DIR, OUTLIVE_WORKERS (2), and as in tests/e2e/lib/trials.mjs.
import { handedOver } from "../e2e/lib/outlive.mjs";
import { trials } from "../e2e/lib/trials.mjs";

const workers = Number(process.env.OUTLIVE_WORKERS ?? 2);
const config = { "limits.send_buffer": "8KiB", "limits.channel_log": "64MiB", "limits.channel_log_messages": 10000, "limits.worker_log": "256MiB", "limits.write_timeout": "1h" };
await trials({ workers, config, crowd: { pad: 2000 } }, async (broker, chance, crowd) => {
  crowd.hesitate();
  const which = chance.below(workers + 1);
  await handedOver(broker, which === workers ? "all" : String(which));
  return { what: which === workers ? "all" : "one" };
});
