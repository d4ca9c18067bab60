// Rounds of traffic while something happens to the broker, again and again, for STRESS_SECONDS: what tests/stress/outlive-*.mjs are made of.
import assert from "node:assert/strict";
import { startBroker } from "./broker.mjs";
import { CROWD_CONFIG, Crowd } from "./crowd.mjs";
import { SEED, random } from "./util.mjs";

export const SECONDS = Number(process.env.STRESS_SECONDS ?? 600);
const number = (name, or) => Number(process.env[name] ?? or);
const ROUND = 10; // times that something happens between two comparisons of all streams, unless `round` says another number

/* Metrics of which none may be counted. */
const NEVER = ["ringcast_worker_adoptions_failed_total", "ringcast_keep_failed_total", "ringcast_clients_not_taken_total", "ringcast_adopt_differences_total"];

/*
 * `happens(broker, chance, crowd)` is done again and again; resolves with `what` it was, and how many clients it may have closed (`closes`). With
 * `crashes` workers may do that. `ends` is called when it is over, with everybody there.
 * Environment: STRESS_SECONDS, OUTLIVE_LISTENERS (24), OUTLIVE_PUBLISHERS (6), OUTLIVE_WINDOW (8), RINGCAST_SEED.
 */
export async function trials({ workers = 2, config = {}, env, crowd: kind = {}, crashes = false, round: each = ROUND }, happens, ends = () => {}) {
  const deadline = performance.now() + SECONDS * 1000;
  const chance = random(SEED);
  const broker = await startBroker({ workers, env, config: { ...CROWD_CONFIG, "log.level": "info", ...config } });
  const counts = new Map();
  let [closed, may] = [0, 0];
  try {
    console.log(`${SECONDS} seconds, seed ${SEED}`);
    for (let round = 0; performance.now() < deadline || round === 0; round++) {
      const crowd = new Crowd(broker, { listeners: number("OUTLIVE_LISTENERS", 24), publishers: number("OUTLIVE_PUBLISHERS", 6), window: number("OUTLIVE_WINDOW", 8), random: chance, channel: `crowd${round}`, ...kind });
      await crowd.begin();
      for (let i = 0; i < each && (performance.now() < deadline || i === 0); i++) {
        await crowd.more(1 + chance.below(200));
        const { what, closes = 0 } = await happens(broker, chance, crowd);
        counts.set(what, (counts.get(what) ?? 0) + 1);
        may += closes;
      }
      await crowd.more(20);
      closed += (await crowd.end()) + crowd.closedPublishers;
      crowd.leave();
      const metrics = await broker.metrics();
      console.log(`${[...counts].map(([what, count]) => `${count} × ${what}`).join(", ")}: ${metrics("ringcast_worker_adoptions_total")} adoptions, ${closed} clients closed, ${metrics("ringcast_not_adopted_sockets_total")} connections ended`);
      const givenUp = broker.log.some((line) => /worker_adopted.* logs_given_up=[1-9]/.test(line));
      assert.ok(givenUp || !crowd.listeners.some(({ gap }) => gap), "a gap is told where a log was just being moved, and nowhere else");
      for (const name of NEVER) assert.equal(metrics(name), 0, name);
      assert.ok(closed <= may, `${closed} clients were closed, and ${may} may have been`);
      assert.ok(closed <= metrics("ringcast_not_adopted_sockets_total"), "who was closed is counted");
      assert.ok(!broker.log.some((line) => /clients_lost/.test(line)));
    }
    await ends();
  } catch (error) {
    console.error(`--- the broker's log:\n${broker.log.slice(-200).join("\n")}\n---`);
    throw error;
  } finally {
    if (!crashes) await broker.stop(); // which looks at the log
    await broker.destroy();
  }
}

/* One of a table by chance. */
export const oneOf = (table, chance) => Object.entries(table)[chance.below(Object.keys(table).length)];
