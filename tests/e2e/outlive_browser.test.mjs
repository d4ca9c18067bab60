// A real browser's clients stay while their worker is killed, handed over, or the whole broker goes over to other programs.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { findChromium } from "./lib/chromium.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { handedOver } from "./lib/outlive.mjs";
import { PAGES_CONFIG, Pages } from "./lib/pages.mjs";
import { buildCopy, upgraded } from "./lib/upgrade.mjs";

const program = findChromium();

testBroker("pages that talk, by WebSocket and Socket.IO, over kill -9 of each worker, a hand-over and an upgrade: none is disconnected, nothing is lost or twice", {
  workers: 2, timeout: 120000, config: { ...PAGES_CONFIG, "debug.adopt_verify": true }, skip: program ? false : "Chromium is not installed",
}, async (broker) => {
  const pages = new Pages(broker);
  try {
    await pages.begin(program);
    const killed = (worker) => () => pages.quietly(() => killWorker(broker, worker));
    for (const happens of [killed(0), killed(1), () => handedOver(broker, "all"), () => upgraded(broker, buildCopy()), killed(0), killed(1)]) {
      await pages.more(5);
      await happens();
    }
    await pages.more(5);
    await pages.end();
  } finally {
    await pages.stop();
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), 4);
  for (const name of ["ringcast_worker_adoptions_failed_total", "ringcast_adopt_differences_total"]) assert.equal(metrics(name), 0, name);
});
