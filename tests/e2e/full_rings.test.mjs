// Full rings: publishers far faster than a stopped relay, a stopped worker behind a busy relay. Nobody deadlocks, nothing
// that was accepted is lost, everything resumes by itself.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const CONFIG = {
  "limits.max_message_size": "16KiB",
  "server.ring_size": "64KiB",
  // Downwards a full ring overflows; what happens when that is full as well is in worker_stop.test.mjs.
  "server.overflow_size": "64MiB",
  "limits.channel_log": "64MiB",
  "limits.worker_log": "256MiB",
};
const PUBLISHERS = 8;
const EACH = 1500; // messages of a publisher, about 1 KiB each: some 12 MiB against 64 KiB of ring

/* Publishers that send all they have as fast as they can, with ids; who got what. */
async function setUp(broker, { workers }) {
  const publishers = [];
  for (let i = 0; i < PUBLISHERS; i++) publishers.push(await broker.connectToWorker(i % workers));
  const readers = [];
  for (let i = 0; i < workers; i++) readers.push(await broker.connectToWorker(i));
  const bystanders = [];
  for (let i = 0; i < workers; i++) bystanders.push(await broker.connectToWorker(i));
  await broker.closeSpares();
  for (const client of readers) {
    await client.subscribe("load");
    client.got = [];
    client.ondelivery = (message) => client.got.push(message);
  }
  const answered = new Set();
  const refused = [];
  for (const client of publishers) {
    client.ondelivery = (message) => (message.type === "published" ? answered.add(message.id) : refused.push(message));
  }
  const pad = "x".repeat(1000);
  const publishAll = () => {
    for (let n = 0; n < EACH; n++) {
      for (const [p, client] of publishers.entries()) client.send({ type: "publish", channel: "load", data: [p, n, pad], id: p * EACH + n });
    }
  };
  return { publishers, readers, bystanders, answered, refused, publishAll };
}

function assertComplete(reader) {
  const last = Array(PUBLISHERS).fill(-1);
  for (const message of reader.got) {
    assert.equal(message.type, "message");
    const [p, n] = message.data;
    assert.equal(n, last[p] + 1, `${reader.name}: publisher ${p}'s next message`);
    last[p] = n;
  }
  assert.deepEqual(last, Array(PUBLISHERS).fill(EACH - 1));
}

testBroker("a stopped relay: publishers are held back, and nothing is lost", { workers: 2, timeout: 90000, config: CONFIG }, async (broker) => {
  const { publishers, readers, bystanders, answered, refused, publishAll } = await setUp(broker, { workers: 2 });
  broker.kill("SIGSTOP", "relay");
  publishAll();
  await until("both up rings were full", async () => {
    const metrics = await broker.metrics();
    return metrics("ringcast_up_ring_full_total", 0) > 0 && metrics("ringcast_up_ring_full_total", 1) > 0;
  });
  // The workers do all that needs no relay.
  for (const client of bystanders) await client.ping();
  await broker.connect();
  // What they hold is bounded: the rest waits in the publishers' sockets.
  const metrics = await broker.metrics();
  assert.ok(metrics("ringcast_input_bytes") < 8 << 20, `${metrics("ringcast_input_bytes")} bytes of input`);
  assert.ok(metrics("ringcast_publishes_total") < PUBLISHERS * EACH / 2, "most was not taken");
  assert.equal(answered.size, 0);
  broker.kill("SIGCONT", "relay");
  await until("everything is answered", () => answered.size === PUBLISHERS * EACH, { timeout: 20000 });
  await until("everything has arrived", () => readers.every((client) => client.got.length >= PUBLISHERS * EACH), { timeout: 20000 });
  assert.deepEqual(refused, []);
  for (const client of readers) assertComplete(client);
  for (const client of [...publishers, ...readers, ...bystanders]) assert.equal(client.isClosed, false);
});

testBroker("who waits for room is served first come, first served", { workers: 1, timeout: 60000, config: CONFIG }, async (broker) => {
  const reader = await broker.connect();
  const filler = await broker.connect();
  const publishers = [];
  for (let i = 0; i < 20; i++) publishers.push(await broker.connect());
  await reader.subscribe("turn");
  const order = [];
  reader.ondelivery = ({ data: [who] }) => order.push(who);
  const pauses = async () => (await broker.metrics())("ringcast_read_pauses_total");
  const pad = "x".repeat(4000);
  broker.kill("SIGSTOP", "relay");
  for (let i = 0; i < 30; i++) filler.send({ type: "publish", channel: "turn", data: ["filler", pad] });
  await until("the filler waits", async () => (await pauses()) === 1);
  for (const [i, client] of publishers.entries()) {
    client.send({ type: "publish", channel: "turn", data: [i, pad] });
    await until(`publisher ${i} waits`, async () => (await pauses()) === 2 + i);
  }
  broker.kill("SIGCONT", "relay");
  await until("all is there", () => order.length === 30 + publishers.length);
  assert.deepEqual(order.filter((who) => who !== "filler"), publishers.map((_, i) => i));
});

testBroker("both at once: a stopped worker behind a relay that stops too", { workers: 3, timeout: 90000, config: CONFIG }, async (broker) => {
  const { readers, bystanders, answered, refused, publishAll } = await setUp(broker, { workers: 3 });
  broker.kill("SIGSTOP", 2);
  broker.kill("SIGSTOP", "relay");
  publishAll();
  await until("the up rings of the running workers were full", async () => {
    // Whichever worker takes the request; the stopped one's listener may get it, so it is asked again.
    const metrics = await broker.metrics();
    return metrics("ringcast_up_ring_full_total", 0) > 0 && metrics("ringcast_up_ring_full_total", 1) > 0;
  }, { timeout: 20000 });
  broker.kill("SIGCONT", "relay");
  const running = new Set([0, 1]);
  const expected = (worker) => [...Array(PUBLISHERS).keys()].filter((p) => p % 3 === worker).length * EACH;
  const soon = expected(0) + expected(1);
  await until("what running workers took is answered although worker 2 stands still", () => answered.size >= soon, { timeout: 20000 });
  await until("and has arrived on them", () => readers.filter((client) => running.has(client.worker)).every((client) => client.got.length >= soon), { timeout: 20000 });
  broker.kill("SIGCONT", 2);
  await until("everything is answered", () => answered.size === PUBLISHERS * EACH, { timeout: 20000 });
  await until("everything has arrived, on the woken worker too", () => readers.every((client) => client.got.length >= PUBLISHERS * EACH), { timeout: 20000 });
  assert.deepEqual(refused, []);
  for (const client of readers) assertComplete(client);
  for (const client of [...readers, ...bystanders]) assert.equal(client.isClosed, false);
});
