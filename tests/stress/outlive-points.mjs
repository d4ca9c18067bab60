// FLAVOUR=asan
// As tests/e2e/crash_points.test.mjs, for STRESS_SECONDS: workers die at places between two stores, about twenty times a second.
// Environment: RINGCAST_BIN_DIR, STRESS_SECONDS (600), OUTLIVE_WITHIN (1500 places until the next death, at most), STRESS_SEED.
import assert from "node:assert/strict";
import { startBroker } from "../e2e/lib/broker.mjs";
import { CROWD_CONFIG, Crowd } from "../e2e/lib/crowd.mjs";
import { SEED, random } from "../e2e/lib/util.mjs";

const ends = performance.now() + Number(process.env.STRESS_SECONDS ?? 600) * 1000;
const chance = random(SEED);
const broker = await startBroker({ workers: 2, config: CROWD_CONFIG, env: { RINGCAST_DIES_WITHIN: process.env.OUTLIVE_WITHIN ?? "1500" } });
const sums = { adoptions: 0, unsent: 0, unread: 0, ended: 0 };
let read = 0;
try {
  for (let round = 0; performance.now() < ends; round++) {
    const crowd = new Crowd(broker, { listeners: 12, publishers: 4, window: 6, mayGap: true, random: chance, channel: `round${round}` });
    await crowd.begin();
    await crowd.more(400);
    const closed = (await crowd.end()) + crowd.closedPublishers;
    crowd.leave();
    for (; read < broker.log.length; read++) {
      const line = broker.log[read];
      assert.ok(!/clients_lost|not_started/.test(line), line);
      if (!line.includes("worker_adopted")) continue;
      sums.adoptions++;
      for (const name of ["unsent", "unread", "ended"]) sums[name] += Number(new RegExp(`${name}=(\\d+)`).exec(line)[1]);
    }
    console.log(`${sums.adoptions} adoptions, ${sums.unsent} packets that had not left, ${sums.unread} receives that were not handled, ${sums.ended} connections ended; this round: ${closed} clients closed`);
  }
} finally {
  await broker.destroy();
}
