// Redis confirms a subscription when it likes, also while the worker that asked stands still and the relay has no room left for it.
import assert from "node:assert/strict";
import { testRedis, until } from "./lib/redis.mjs";

const CONFIG = {
  // Small enough that what is published meanwhile fills the stopped worker's ring and overflow.
  "limits.max_message_size": "16KiB",
  "server.ring_size": "64KiB",
  "server.overflow_size": "64KiB",
};

testRedis("a confirmation that meets a full overflow comes later, and whoever waits is subscribed", { brokers: 1, workers: 2, config: CONFIG, timeout: 60000 }, async ({ brokers: [broker], redis }) => {
  const victim = await broker.connectToWorker(1);
  const publisher = await broker.connectToWorker(0);
  await broker.closeSpares();
  await victim.subscribe("feed");
  const records = (await broker.metrics())("ringcast_up_records_total", 1);
  redis.signal("SIGSTOP"); // it confirms nothing; after 100 ms the relay says "local"
  broker.kill("SIGSTOP", "relay");
  const answer = victim.request({ type: "subscribe", channel: "late" }, { timeout: 30000 });
  await until("worker 1 has asked", async () => (await broker.metrics())("ringcast_up_records_total", 1) > records);
  broker.kill("SIGSTOP", 1);
  const pad = "x".repeat(1000);
  for (let n = 0; n < 1000; n++) publisher.send({ type: "publish", channel: "feed", data: pad });
  for (let n = 0; n < 1000; n++) publisher.send({ type: "publish", channel: "feed", data: 0 }); // what room the large ones leave, however large a record is
  await until("worker 0 has published", async () => (await broker.metrics())("ringcast_up_ring_full_total", 0) > 0);
  broker.kill("SIGCONT", "relay");
  await until("the overflow is full and the confirmation waits", async () => {
    const metrics = await broker.metrics();
    return metrics("ringcast_relay_dropped_total") > 0 && metrics("ringcast_relay_acknowledgements_late_total") > 0;
  });
  broker.kill("SIGCONT", 1);
  assert.deepEqual({ ...(await answer), id: 0 }, { type: "subscribed", id: 0, channel: "late", scope: "local" });
  redis.signal("SIGCONT");
  await publisher.publish("late", 1);
  assert.equal((await victim.next((message) => message.channel === "late")).data, 1);
  assert.equal((await broker.metrics())("ringcast_relay_acknowledgements_dropped_total"), 0);
});
