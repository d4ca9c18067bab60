// What is published while a worker is dead, much more than a channel's log holds, comes to all who read, and none of them is taken for slow.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { until } from "./lib/util.mjs";

const MESSAGES = 3000;
const PAD = "p".repeat(1000);

for (const policy of ["disconnect", "skip"]) {
  testBroker(`${MESSAGES} messages of 1 KB that waited for a worker's successor come to all who read (${policy})`, {
    workers: 2, timeout: 90000,
    config: { namespace: [{ name: "room", slow_consumer: policy }], "limits.channel_log": "64KiB", "limits.channel_log_messages": 0, "limits.send_buffer": "16KiB", "server.ring_size": "8MiB", "debug.adopt_verify": true },
  }, async (broker) => {
    const publisher = await broker.connectToWorker(1);
    const readers = [await broker.connectToWorker(0), await broker.connectToWorker(0)];
    const stopped = await broker.connectToWorker(0);
    await broker.closeSpares();
    const heard = readers.map((reader) => {
      const all = [];
      reader.ondelivery = ({ type, data }) => all.push(type === "gap" ? "gap" : data.n);
      return all;
    });
    for (const client of [...readers, stopped]) await client.subscribe("room:1");
    stopped.socket.pause();
    broker.kill("SIGSTOP", 0); // as one that is stuck until it is killed
    for (let n = 0; n < MESSAGES; ) {
      const some = [];
      for (const end = n + 100; n < end; n++) some.push(publisher.publish("room:1", { n, pad: PAD }));
      await Promise.all(some);
    }
    await killWorker(broker, 0);
    await until("all have the last one", () => heard.every((all) => all.at(-1) === MESSAGES - 1), { timeout: 20000 });
    for (const all of heard) assert.deepEqual(all, Array.from({ length: MESSAGES }, (_, n) => n));
    for (const reader of readers) assert.equal(reader.isClosed, false);
    const metrics = await broker.metrics();
    assert.equal(metrics("ringcast_worker_adoptions_total"), 1);
    assert.ok(metrics("ringcast_catch_up_waits_total") > 0);
    if (policy === "disconnect") {
      stopped.socket.resume();
      assert.equal((await stopped.closed).code, 4000, "who reads nothing is slow all the same");
    }
  });
}
