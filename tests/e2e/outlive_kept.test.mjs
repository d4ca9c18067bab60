// server.keep: which connections the broker has a second reference of, and that nothing of it is left when they end.
import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const rings = (pid) => readdirSync(`/proc/${pid}/fd`).filter((fd) => {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`) === "anon_inode:[io_uring]";
  } catch {
    return false; // closed meanwhile
  }
}).length;
const kept = async (broker, worker) => (await broker.metrics())("ringcast_kept_sockets", worker);
// The request that asks is a connection, too.
const keptIs = (broker, count) => until(`${count} are kept`, async () => (await kept(broker)) === count, { every: 20 });

testBroker("all: from the accept to the close, whoever ends it, and a dead worker's clients hear of it", { workers: 2, config: { "server.adopt_crashed": false }, timeout: 60000 }, async (broker) => {
  assert.equal(rings(broker.pid), 2, "the acceptor has one for each worker");
  const clients = await broker.connectMany([5, 5]);
  const raw = await broker.raw();
  await keptIs(broker, 12);
  raw.end();
  await clients[0].close();
  clients[1].terminate();
  await keptIs(broker, 9);
  const before = broker.kill("SIGKILL", 0);
  const gone = clients.filter((client) => client.worker === 0);
  await Promise.all(gone.map((client) => client.closed));
  await until("a new worker 0 is there", () => ![undefined, before].includes(broker.pids().workers[0]));
  await keptIs(broker, 6);
  await until("there is none of the former worker", () => rings(broker.pid) === 2);
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_keep_failed_total"), 0);
  assert.equal(metrics("ringcast_kept_leaked_total"), 0);
});

testBroker("websocket: from the upgrade on", { workers: 1, config: { "server.keep": "websocket" } }, async (broker) => {
  const raw = await broker.raw();
  const client = await broker.connect();
  await keptIs(broker, 1);
  raw.end();
  await client.close();
  await keptIs(broker, 0);
});

testBroker("none: nobody, and no ring for it", { workers: 1, config: { "server.keep": "none" } }, async (broker) => {
  await broker.connect();
  assert.equal(await kept(broker), 0);
  assert.equal(rings(broker.pid), 0);
  assert.equal(broker.log.some((line) => line.includes("connections_not_kept")), false, "nobody asked for it");
});

testBroker("connections that move between workers are kept where they are", { workers: 2, config: { "debug.handover": "/debug/at" }, timeout: 60000 }, async (broker) => {
  const raw = await broker.raw();
  for (let i = 0; i < 10; i++) {
    for (const worker of [0, 1]) {
      raw.write(`GET /debug/at/${worker} HTTP/1.1\r\nHost: x\r\n\r\n`);
      const response = await raw.response();
      assert.ok(response.status < 500, `${response.status}`);
    }
  }
  await keptIs(broker, 2);
  raw.end();
  await keptIs(broker, 1);
  assert.equal((await broker.metrics())("ringcast_kept_leaked_total"), 0);
});

/* Workers put their connections into the vault by themselves, each has a slot of its own there, and nothing says so to anybody: the acceptor takes
 * nothing, and nothing can be full. */
testBroker("while the acceptor stands still connections are kept as always, however many come and go", { workers: 2, timeout: 120000 }, async (broker) => {
  broker.kill("SIGSTOP", "acceptor");
  const clients = await broker.connectMany([3, 3]);
  for (const client of clients) await client.subscribe("news");
  await Promise.all(Array.from({ length: 40 }, async () => {
    for (let i = 0; i < 60; i++) {
      const raw = await broker.raw(); // more than the queue of a vault has entries, of each worker
      raw.end();
    }
  }));
  await keptIs(broker, clients.length + 1);
  broker.kill("SIGKILL", 0);
  broker.kill("SIGCONT", "acceptor");
  await until("it is adopted", async () => (await broker.metrics())("ringcast_worker_adoptions_total") === 1);
  await clients[5].publish("news", 1);
  for (const client of clients) assert.equal((await client.next("message")).data, 1);
  const metrics = await broker.metrics();
  for (const name of ["ringcast_keep_failed_total", "ringcast_kept_leaked_total", "ringcast_not_adopted_sockets_total"]) assert.equal(metrics(name), 0, name);
});
