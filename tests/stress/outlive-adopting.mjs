// Workers that are killed at the worst of times, for STRESS_SECONDS, while publishers count and listeners keep every byte, some of them behind:
// while they adopt, at any tenth of that; twice in a row; with the relay; all at once. Those whose log was just being moved are told a gap.
// Environment: RINGCAST_BIN_DIR, OUTLIVE_WORKERS (3), and as in tests/e2e/lib/trials.mjs.
import { killWorker } from "../e2e/lib/crowd.mjs";
import { oneOf, trials } from "../e2e/lib/trials.mjs";
import { delay, until } from "../e2e/lib/util.mjs";

const workers = Number(process.env.OUTLIVE_WORKERS ?? 3);
const ADOPTION_MS = 20; // from the first sight of a successor until it serves, about

const successor = (broker, index, former) => until("there is a successor", () => {
  const pid = broker.pids().workers[index];
  return [undefined, ...former].includes(pid) ? 0 : pid;
}, { timeout: 30000, every: 1 });
const serves = (broker) => until("all serve", async () => (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 30000, every: 5 });

const EVENTS = {
  "while it adopts": async (broker, chance) => {
    const index = chance.below(workers);
    const first = broker.kill("SIGKILL", index);
    const next = await successor(broker, index, [first]);
    await delay((chance.below(11) * ADOPTION_MS) / 10);
    try {
      process.kill(next, "SIGKILL");
    } catch {
      // it has gone already
    }
    await successor(broker, index, [first, next]);
    await serves(broker);
    return 2;
  },
  "twice in a row": async (broker, chance) => {
    const index = chance.below(workers);
    await killWorker(broker, index);
    await killWorker(broker, index);
    return 2;
  },
  "with the relay": async (broker, chance) => {
    const relay = broker.kill("SIGKILL", "relay");
    await killWorker(broker, chance.below(workers));
    await until("there is a relay", () => ![0, undefined, relay].includes(broker.pids().relay));
    await serves(broker);
    return 1;
  },
  "all at once": async (broker) => {
    await Promise.all(Array.from({ length: workers }, (_, index) => killWorker(broker, index)));
    return workers;
  },
};

// A process that dies within ten seconds of adopting is one of three that lose the clients, unless another one has lived that long.
const config = { "limits.send_buffer": "8KiB", "limits.channel_log": "64MiB", "limits.channel_log_messages": 10000, "limits.worker_log": "256MiB", "limits.write_timeout": "1h" };
await trials({ workers, config, crowd: { pad: 2000, mayGap: true } }, async (broker, chance, crowd) => {
  crowd.hesitate();
  const [what, run] = oneOf(EVENTS, chance);
  const kills = await run(broker, chance);
  return { what, closes: 2 * kills };
});
