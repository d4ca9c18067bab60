// kill -STOP of a worker: the others go on at full rate; after -CONT its clients see a gap where something was dropped.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const MESSAGES = 4000;
const WINDOW = 100; // published and not yet seen by the readers on running workers
const CONFIG = {
  // Small enough that the stopped worker's ring and overflow cannot hold it all.
  "limits.max_message_size": "16KiB",
  "server.ring_size": "64KiB",
  "server.overflow_size": "128KiB",
  "limits.channel_log": "8MiB",
};

/* Checks that n counts up, and that there was a gap notice before every jump. Returns what is missing. */
function assertNoSilence(deliveries) {
  let last = -1;
  let gap = false;
  let missing = 0;
  for (const delivery of deliveries) {
    if (delivery.type === "gap") {
      gap = true;
      continue;
    }
    const { n } = delivery.data;
    assert.ok(n > last, `${n} after ${last}`);
    if (n !== last + 1) assert.ok(gap, `from ${last} to ${n} without a gap notice`);
    missing += n - last - 1;
    last = n;
    gap = false;
  }
  return missing;
}

testBroker("others keep delivering, its own clients see a gap", { workers: 3, timeout: 60000, config: CONFIG }, async (broker) => {
  const stopped = 1;
  const readers = [await broker.connectToWorker(0), await broker.connectToWorker(2)];
  const victims = [await broker.connectToWorker(stopped), await broker.connectToWorker(stopped)];
  const quiet = await broker.connectToWorker(stopped);
  const publisher = await broker.connectToWorker(0);
  await broker.closeSpares();
  for (const client of [...readers, ...victims]) await client.subscribe("feed");
  await quiet.subscribe("other");
  let seen = 0;
  const alsoBy = (clients) => Math.min(seen, ...clients.map((client) => client.inbox.length));
  const seenBy = readers.map(() => 0);
  for (const [i, client] of readers.entries()) {
    client.ondelivery = (message) => {
      assert.deepEqual([message.type, message.data.n], ["message", seenBy[i]]);
      seenBy[i]++;
      seen = Math.min(...seenBy);
    };
  }
  const pad = "x".repeat(1000);
  /* `others`: who is waited for besides the readers, so that nothing is dropped. */
  const publishAll = async (from, to, others = []) => {
    const start = performance.now();
    for (let n = from; n < to; n++) {
      if (n - alsoBy(others) >= WINDOW) await until("the readers go on", () => n - alsoBy(others) < WINDOW, { every: 0 });
      publisher.send({ type: "publish", channel: "feed", data: { n, pad } });
    }
    await until("the readers have all", () => seen === to, { every: 1 });
    return performance.now() - start;
  };
  const calm = await publishAll(0, MESSAGES, victims);
  await until("the victims have the first part", () => victims.every((client) => client.inbox.length === MESSAGES));

  broker.kill("SIGSTOP", stopped);
  const during = await publishAll(MESSAGES, 2 * MESSAGES);
  // If anybody waited for it that would be a moment for each of them.
  assert.ok(during < 10 * calm + 5000, `full rate: ${during.toFixed(0)} ms with a stopped worker, ${calm.toFixed(0)} ms without`);
  const metrics = await broker.metrics();
  assert.ok(metrics("ringcast_relay_dropped_total") > 0, "the overflow was full, or this test shows nothing");

  broker.kill("SIGCONT", stopped);
  // Right after the signal its ring is still full: what is published then may be part of the gap.
  let n = 2 * MESSAGES;
  await until("the victims get new messages again", async () => {
    await publisher.publish("feed", { n: n++, pad: "end" });
    return victims.every((client) => client.inbox.at(-1)?.data?.pad === "end");
  });
  for (const client of victims) {
    const missing = assertNoSilence(client.inbox);
    assert.ok(missing > 0, "something was dropped");
    assert.ok(missing < MESSAGES, "what the rings held was not");
    assert.equal(client.isClosed, false, "loss inside the host is a gap, never a disconnect");
  }
  // Who missed nothing is told of nothing, or at most of a gap that may concern it.
  await publisher.publish("other", "hello");
  const told = await quiet.next((message) => message.type === "message");
  assert.equal(told.data, "hello");
  for (const message of quiet.inbox) assert.equal(message.type, "gap");
  assert.ok((await broker.metrics())("ringcast_relay_gaps_total") > 0);
});

testBroker("a stuck worker gets no new connections until it moves again", { workers: 3, timeout: 60000, config: { "server.stuck_timeout": "1500ms" } }, async (broker) => {
  const state = async () => (await broker.status()).processes.find((row) => row.process === "worker 1");
  if ((await broker.status()).steering.mode !== "bpf") return; // without steering the kernel chooses
  broker.kill("SIGSTOP", 1);
  await until("it is known to be stuck", async () => (await state()).live === false, { every: 50 });
  for (let i = 0; i < 30; i++) assert.notEqual((await broker.connect()).worker, 1);
  broker.kill("SIGCONT", 1);
  await until("it is known to move", async () => (await state()).live === true, { every: 50 });
  await broker.connectToWorker(1);
});
