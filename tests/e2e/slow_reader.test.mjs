// A client that stops reading while its channel carries 100 MB costs a bounded amount, and nobody else notices.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { encode } from "./lib/binary.mjs";
import { testBroker } from "./lib/broker.mjs";
import { SANITIZED, until } from "./lib/util.mjs";

const MESSAGE_BYTES = 64 * 1024;
const MESSAGES = 1600; // 100 MiB
const WINDOW = 6; // messages that the fast readers may be behind: less than the channel's log holds
const KERNEL_BYTES_MAX = 1 << 20; // unsent and unacknowledged, on the server's side
const MEMORY_GROWTH_MAX = 24 << 20; // of a worker

/* Bytes in the send queue of the server's end of a client's connection: not yet acknowledged, unsent ones included. */
function sendQueueBytes(serverPort, clientPort) {
  const hex = (port) => port.toString(16).toUpperCase().padStart(4, "0");
  for (const line of readFileSync("/proc/net/tcp", "latin1").split("\n")) {
    const [, local, remote, , queues] = line.trim().split(/\s+/);
    if (local?.endsWith(`:${hex(serverPort)}`) && remote?.endsWith(`:${hex(clientPort)}`)) return parseInt(queues.split(":")[0], 16);
  }
  return undefined;
}

function residentBytes(pid) {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) * 1024;
}

/* Runs the load; after(slow, deliveries) judges what the slow one got, having read again. */
function testPolicy(policy, after) {
  testBroker(`${policy}: bounded cost, others lose nothing`, {
    workers: 2,
    timeout: 120000,
    config: {
      namespace: [{ name: "feed", slow_consumer: policy }],
      // So that the close frame still finds its client when it reads again.
      "limits.close_timeout": "10m",
      "limits.ping_interval": "0s", // it answers none for as long as that takes
    },
  }, async (broker) => {
    const slow = await broker.connectToWorker(0);
    const fast = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
    const publisher = await broker.connectToWorker(1);
    await broker.closeSpares();
    const counts = fast.map(() => 0);
    for (const [i, client] of fast.entries()) {
      client.ondelivery = (message) => {
        assert.deepEqual([message.type, message.data.readUInt32BE(0), message.data.length], ["message", counts[i], MESSAGE_BYTES]);
        counts[i]++;
      };
    }
    const deliveries = [];
    slow.ondelivery = ({ type, data }) => deliveries.push(type === "gap" ? { gap: true } : { n: data.readUInt32BE(0), bytes: data.length });
    for (const client of [slow, ...fast]) await client.subscribe("feed:1");

    const slowPort = slow.socket._socket.localPort;
    const { workers } = broker.pids();
    slow.socket.pause();
    let kernelBytes = 0;
    let memoryBefore = 0;
    let memoryGrowth = 0;
    let logBytes = 0;
    for (let n = 0; n < MESSAGES; n++) {
      if (n - Math.min(...counts) >= WINDOW) await until("the fast readers go on", () => n - Math.min(...counts) < WINDOW, { every: 0 });
      const data = Buffer.alloc(MESSAGE_BYTES, n & 255);
      data.writeUInt32BE(n);
      publisher.send(encode({ type: "publish", channel: "feed:1", data }));
      if (n % 50 !== 49) continue;
      kernelBytes = Math.max(kernelBytes, sendQueueBytes(broker.port, slowPort) ?? 0);
      // Once everything was used for the first time.
      if (n === 249) memoryBefore = residentBytes(workers[0]);
      if (n > 249) memoryGrowth = Math.max(memoryGrowth, residentBytes(workers[0]) - memoryBefore);
      if (n % 400 === 399) logBytes = Math.max(logBytes, (await broker.metrics())("ringcast_log_bytes"));
    }
    await until("the fast readers have all", () => counts.every((count) => count === MESSAGES));
    assert.ok(kernelBytes > 0, "the slow one's send queue was seen");
    assert.ok(kernelBytes <= KERNEL_BYTES_MAX, `${kernelBytes} bytes in the kernel`);
    // The quarantine of a sanitizer is memory of its own.
    if (!SANITIZED) assert.ok(memoryGrowth <= MEMORY_GROWTH_MAX, `the worker grew by ${memoryGrowth} bytes`);
    assert.ok(logBytes <= 8 << 20, `${logBytes} bytes of logs`);
    assert.deepEqual(deliveries, [], "it did not read");
    const metrics = await broker.metrics();
    slow.socket.resume();
    await after({ broker, slow, deliveries, publisher, metrics });
    // And everybody is well afterwards.
    slow.ondelivery = () => {};
    for (const client of fast) {
      client.ondelivery = null;
      assert.equal(client.isClosed, false);
    }
    await publisher.publish("feed:1", "done");
    for (const client of fast) assert.equal((await client.next("message")).data, "done");
  });
}

/* The messages before the first that is not the next one: what was under way when it stopped reading. */
function prefixLength(deliveries) {
  const at = deliveries.findIndex((delivery, i) => delivery.n !== i);
  return at < 0 ? deliveries.length : at;
}

testPolicy("disconnect", async ({ slow, deliveries, metrics }) => {
  assert.equal(metrics("ringcast_slow_disconnected_total"), 1);
  assert.equal((await slow.closed).code, 4000);
  assert.equal(prefixLength(deliveries), deliveries.length, "nothing is left out before the end");
  assert.ok(deliveries.length < MESSAGES / 2);
});

testPolicy("skip", async ({ slow, deliveries, metrics }) => {
  assert.ok(metrics("ringcast_slow_skipped_total") > 0);
  await until("it has the newest", () => deliveries.at(-1)?.n === MESSAGES - 1);
  const prefix = prefixLength(deliveries);
  let last = -1;
  let gap = false;
  for (const delivery of deliveries) {
    if (delivery.gap) {
      gap = true;
      continue;
    }
    assert.ok(delivery.n === last + 1 || (delivery.n > last && gap), `${delivery.n} after ${last}${gap ? "" : " without a gap"}`);
    last = delivery.n;
    gap = false;
  }
  assert.ok(prefix < deliveries.length && deliveries.length < MESSAGES / 2, "something was skipped");
  assert.ok((metrics("ringcast_gaps_total") ?? 0) > 0);
  assert.equal(slow.isClosed, false);
});

testPolicy("latest", async ({ slow, deliveries, metrics }) => {
  assert.ok(metrics("ringcast_slow_conflated_total") > 0);
  await until("it has the newest", () => deliveries.at(-1)?.n === MESSAGES - 1);
  const prefix = prefixLength(deliveries);
  assert.deepEqual(deliveries.slice(prefix).map(({ n }) => n), [MESSAGES - 1], "after what was under way the next message is the newest");
  assert.ok(prefix < MESSAGES / 2);
  assert.equal(slow.isClosed, false);
});
