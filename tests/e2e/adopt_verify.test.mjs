// debug.adopt_verify: a successor asks the kernel what was sent and received on each connection that it goes on with, and nothing differs.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { CROWD_CONFIG, Crowd, killWorker } from "./lib/crowd.mjs";
import { handedOver } from "./lib/outlive.mjs";
import { random, until } from "./lib/util.mjs";

const ways = { "a planned hand-over": (broker, worker) => handedOver(broker, String(worker)), "kill -9": (broker, worker) => killWorker(broker, worker) };

for (const [name, replace] of Object.entries(ways)) {
  testBroker(`what a successor knows is what the kernel counts, in the middle of traffic: ${name}`, { workers: 2, timeout: 180000, config: CROWD_CONFIG }, async (broker) => {
    const chance = random();
    const crowd = new Crowd(broker, { listeners: 20, publishers: 4, window: 8, mayGap: true, random: chance });
    await crowd.begin();
    for (let i = 0; i < 8; i++) {
      await crowd.more(20 + chance.below(60));
      await replace(broker, chance.below(2));
    }
    await crowd.more(20);
    await crowd.end();
    crowd.leave();
    const lines = () => broker.log.filter((line) => / worker\/\d adopted_verified /.test(line) && !/child_last_line/.test(line));
    await until("all have looked", () => lines().length === 8);
    assert.deepEqual(lines().filter((line) => !/sockets=[1-9]\d* different=0 damaged=no/.test(line)), []);
    assert.deepEqual(broker.log.filter((line) => / adopted_(differs|damaged) /.test(line)), []);
    assert.equal((await broker.metrics())("ringcast_adopt_differences_total"), 0);
  });
}
