// Workers that are killed between two stores of their memory, again and again, also while they adopt: streams are right, and who cannot be
// gone on with is closed, alone. Builds with the address sanitizer kill themselves there (RINGCAST_DIES_WITHIN).
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { CROWD_CONFIG, Crowd } from "./lib/crowd.mjs";
import { SANITIZED, random } from "./lib/util.mjs";

testBroker("between two stores, wherever they are", {
  workers: 2, config: CROWD_CONFIG, env: { RINGCAST_DIES_WITHIN: "3000" }, timeout: 200000, skip: SANITIZED ? false : "only builds with the address sanitizer can do it",
}, async (broker) => {
  const adoptions = () => broker.log.filter((line) => line.includes("worker_adopted")).length;
  let closed = 0;
  for (let round = 0; adoptions() < 20; round++) {
    const crowd = new Crowd(broker, { listeners: 10, publishers: 3, window: 5, mayGap: true, random: random(), channel: `round${round}` });
    await crowd.begin();
    await crowd.more(200);
    closed += (await crowd.end()) + crowd.closedPublishers;
    crowd.leave();
  }
  assert.ok(closed <= adoptions(), `${closed} clients were closed by ${adoptions()} deaths`);
  assert.equal(broker.log.filter((line) => /clients_lost|not_started/.test(line)).length, 0);
});
