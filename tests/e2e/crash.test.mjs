// Workers that are killed: their clients stay connected, and what they get is right to the byte.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { CROWD_CONFIG, Crowd, killWorker } from "./lib/crowd.mjs";
import { random, until } from "./lib/util.mjs";

testBroker("clients that are quiet stay, with their ids and subscriptions", { workers: 2, timeout: 60000 }, async (broker) => {
  const clients = await broker.connectMany([4, 4]);
  for (const client of clients) await client.subscribe("news");
  const ids = clients.map((client) => client.id);
  await killWorker(broker, 0);
  await clients[7].publish("news", 1);
  for (const client of clients) assert.equal((await client.next("message")).data, 1);
  await clients[0].publish("news", 2);
  for (const client of clients) assert.equal((await client.next("message")).data, 2);
  await clients[7].direct(ids[0], "by its old id");
  assert.equal((await clients[0].next("direct")).data, "by its old id");
  for (const client of clients) {
    assert.equal(client.isClosed, false);
    assert.deepEqual(client.inbox, []);
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), 1);
  assert.equal(metrics("ringcast_worker_adoptions_failed_total"), 0);
  assert.equal(metrics("ringcast_not_adopted_sockets_total"), 0);
  assert.equal(metrics("ringcast_quarantined_total"), 0);
  assert.equal(metrics("ws_connections_total"), 8);
  assert.ok(broker.log.some((line) => /worker_adopted/.test(line)));
});

testBroker("any worker, again and again, in the middle of traffic: every stream is right to the byte", { workers: 2, config: CROWD_CONFIG, timeout: 120000 }, async (broker) => {
  const chance = random();
  const crowd = new Crowd(broker, { listeners: 10, publishers: 4, window: 5, random: chance });
  await crowd.begin();
  const kills = 6;
  for (let i = 0; i < kills; i++) {
    await crowd.more(20 + chance.below(60));
    await killWorker(broker, chance.below(2));
  }
  await crowd.more(50);
  const closed = await crowd.end();
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), kills);
  assert.equal(metrics("ringcast_worker_adoptions_failed_total"), 0);
  assert.ok(closed + crowd.closedPublishers <= metrics("ringcast_not_adopted_sockets_total"), "whoever was closed is counted");
  assert.ok(closed + crowd.closedPublishers <= 2 * kills, `${closed} listeners and ${crowd.closedPublishers} publishers were closed by ${kills} kills`);
});

testBroker("all workers at once, and the relay with them", { workers: 2, config: CROWD_CONFIG, timeout: 120000 }, async (broker) => {
  const chance = random();
  const crowd = new Crowd(broker, { listeners: 8, publishers: 3, random: chance });
  await crowd.begin();
  await crowd.more(50);
  await Promise.all([killWorker(broker, 0), killWorker(broker, 1)]);
  await crowd.more(50);
  const relay = broker.kill("SIGKILL", "relay");
  await killWorker(broker, 1);
  await until("there is a relay", () => ![0, undefined, relay].includes(broker.pids().relay));
  await crowd.more(50);
  await crowd.end();
  assert.equal((await broker.metrics())("ringcast_worker_adoptions_failed_total"), 0);
});

testBroker("one that is killed while it adopts leaves the clients to the next one", { workers: 1, config: CROWD_CONFIG, timeout: 120000 }, async (broker) => {
  const chance = random();
  const crowd = new Crowd(broker, { listeners: 6, publishers: 2, random: chance });
  await crowd.begin();
  for (let round = 0; round < 3; round++) {
    await crowd.more(30);
    const pid = broker.kill("SIGKILL", 0);
    const next = await until("there is a successor", () => [undefined, pid].includes(broker.pids().workers[0]) ? 0 : broker.pids().workers[0], { timeout: 20000, every: 1 });
    process.kill(next, "SIGKILL"); // wherever it is
    await until("another one serves", async () => {
      const rows = (await broker.status()).processes;
      return ![undefined, pid, next].includes(broker.pids().workers[0]) && rows.every((row) => row.state === "ready");
    }, { timeout: 30000 });
  }
  await crowd.more(30);
  await crowd.end();
  assert.equal((await broker.metrics())("ringcast_worker_adoptions_failed_total"), 0);
});

testBroker("without server.adopt_crashed a worker takes its clients with it", { workers: 1, config: { "server.adopt_crashed": false } }, async (broker) => {
  const client = await broker.connect();
  await killWorker(broker, 0);
  await client.closed;
  assert.equal((await broker.metrics())("ringcast_worker_adoptions_total"), 0);
});
