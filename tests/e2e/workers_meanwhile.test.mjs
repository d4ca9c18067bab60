// The number of workers changes, and clients move, while the broker goes over to other programs, its workers are handed over, and some are killed.
import assert from "node:assert/strict";
import { run, testBroker } from "./lib/broker.mjs";
import { CROWD_CONFIG, Crowd, adopted } from "./lib/crowd.mjs";
import { handover } from "./lib/outlive.mjs";
import { buildCopy, upgrade } from "./lib/upgrade.mjs";
import { BIN_DIR, random, until } from "./lib/util.mjs";

const workers = (broker, count) => run(["workers", String(count), "-c", broker.configPath], { env: broker.env, timeout: 120000 });

/* Everything in `meanwhile` begins anew until the numbers of workers were all there; each answers with a result, or nothing. */
async function changes(broker, counts, meanwhile) {
  let ending = false;
  const results = [];
  const running = meanwhile.map(async (what) => {
    while (!ending) results.push(await what());
  });
  try {
    for (const count of counts) {
      await until(`${count} workers`, async () => {
        const { code, stdout, stderr } = await workers(broker, count);
        if (code !== 0) assert.match(stdout + stderr, /try again|could not be started/); // which was killed, or others come first
        return code === 0;
      }, { timeout: 60000, every: 20 });
    }
  } finally {
    ending = true;
  }
  await Promise.all(running);
  for (const what of meanwhile) results.push(await what()); // and once more when nothing else is under way
  return results.filter((result) => result !== undefined);
}

async function story(broker, counts, meanwhile, closedMost) {
  const crowd = new Crowd(broker, { listeners: 40, publishers: 4, window: 6, random: random() });
  await crowd.begin();
  const results = await changes(broker, counts, meanwhile);
  await crowd.more(20);
  const closed = (await crowd.end()) + crowd.closedPublishers;
  crowd.leave();
  const metrics = await broker.metrics();
  assert.ok(closed <= closedMost(), `${closed} were closed`);
  assert.ok(metrics("ringcast_clients_moved_total") >= 10);
  assert.equal(metrics("ringcast_clients_not_taken_total"), 0);
  assert.equal(metrics("ringcast_adopt_differences_total"), 0, broker.log.filter((line) => /adopted_d/.test(line)).join("\n"));
  return results;
}

const COUNTS = [1, 3, 1, 2];
const config = { ...CROWD_CONFIG, "server.max_workers": 3 };

testBroker("while the broker is upgraded, again and again", { workers: 2, timeout: 240000, config }, async (broker) => {
  const folders = [buildCopy(), BIN_DIR];
  const results = await story(broker, COUNTS, [async () => upgrade(broker, folders[0] && (folders.push(folders.shift()), folders.at(-1)))], () => 0);
  assert.ok(results.some(({ code }) => code === 0), results.map(({ stdout, stderr }) => stdout + stderr).join("\n"));
});

testBroker("while workers are handed over, again and again", { workers: 2, timeout: 240000, config }, async (broker) => {
  const results = await story(broker, COUNTS, [async () => handover(broker, "all")], () => 0);
  assert.ok(results.some(({ code }) => code === 0), results.map(({ stdout, stderr }) => stdout + stderr).join("\n"));
});

testBroker("while workers are killed, again and again", { workers: 2, timeout: 240000, config }, async (broker) => {
  const chance = random();
  let kills = 0;
  await story(broker, COUNTS, [async () => {
    const there = broker.pids().workers.map((pid, index) => ({ pid, index })).filter(({ pid }) => pid);
    const { pid, index } = there[chance.below(there.length)];
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      return; // it has left just now
    }
    kills++;
    await adopted(broker, index, pid).catch(() => {}); // or its place is empty
    await new Promise((done) => setTimeout(done, chance.below(300)));
  }], () => kills);
});
