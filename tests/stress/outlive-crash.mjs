// kill -9 of a random worker, OUTLIVE_KILLS times (1000), while publishers count and listeners keep every byte: nothing that was acknowledged
// is lost, nothing is twice or out of order, no stream has a wrong byte; who was closed is counted, and few are.
// Environment: RINGCAST_BIN_DIR, OUTLIVE_KILLS, OUTLIVE_WORKERS (2), OUTLIVE_LISTENERS (24), OUTLIVE_PUBLISHERS (6), OUTLIVE_WINDOW (8), STRESS_SEED.
import assert from "node:assert/strict";
import { startBroker } from "../e2e/lib/broker.mjs";
import { CROWD_CONFIG, Crowd, killWorker } from "../e2e/lib/crowd.mjs";
import { SEED, random } from "../e2e/lib/util.mjs";

const number = (name, or) => Number(process.env[name] ?? or);
const kills = number("OUTLIVE_KILLS", 1000);
const workers = number("OUTLIVE_WORKERS", 2);
const ROUND = 25; // kills between two comparisons of all streams

const chance = random(SEED);
const broker = await startBroker({ workers, config: { ...CROWD_CONFIG, "log.level": "info" } });
let closed = 0;
try {
  console.log(`${kills} kills, seed ${SEED}`);
  for (let done = 0; done < kills;) {
    const crowd = new Crowd(broker, { listeners: number("OUTLIVE_LISTENERS", 24), publishers: number("OUTLIVE_PUBLISHERS", 6), random: chance, window: number("OUTLIVE_WINDOW", 8), channel: `crowd${done}` });
    await crowd.begin();
    for (let i = 0; i < ROUND && done < kills; i++, done++) {
      await crowd.more(1 + chance.below(200));
      await killWorker(broker, chance.below(workers));
    }
    await crowd.more(20);
    closed += (await crowd.end()) + crowd.closedPublishers;
    crowd.leave();
    const metrics = await broker.metrics();
    const [adoptions, lost, ended] = ["ringcast_worker_adoptions_total", "ringcast_worker_adoptions_failed_total", "ringcast_not_adopted_sockets_total"].map((name) => metrics(name));
    const told = broker.log.filter((line) => line.includes("worker_adopted"));
    const sum = (name) => told.reduce((all, line) => all + Number(new RegExp(`${name}=(\\d+)`).exec(line)?.[1] ?? 0), 0);
    console.log(`${done} kills (packets that had not left: ${sum("unsent")}, receives that were not handled: ${sum("unread")}): ${adoptions} adoptions, ${lost} failed, ${closed} clients closed, ${ended} connections ended`);
    assert.equal(lost, 0, "no worker lost all its clients");
    assert.equal(adoptions, done);
    assert.ok(closed <= ended && closed <= done, "who was closed is counted, and few are");
  }
} finally {
  await broker.stop();
  await broker.destroy();
}
