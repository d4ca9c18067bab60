// ringcast workers: how many workers there are is changed while the broker runs.
import assert from "node:assert/strict";
import { run, isAlive, testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const workers = (broker, ...words) => run(["workers", ...words, "-c", broker.configPath], { env: broker.env, timeout: 60000 });

async function changed(broker, ...words) {
  const result = await workers(broker, ...words.map(String));
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}\n${broker.log.slice(-20).join("\n")}`);
  return result.stdout;
}

testBroker("places are shown, filled and emptied; newcomers go to who is there", { workers: 2, timeout: 120000, config: { "server.max_workers": 6 } }, async (broker) => {
  assert.match((await workers(broker)).stdout, /^2 of 6 places for workers are in use\nworker 0 +ready +pid \d+ +0 connections.*\nworker 1 +ready/);
  const two = broker.pids().workers;
  assert.match(await changed(broker, 6), /^6 of 6 places/);
  const six = broker.pids().workers;
  assert.deepEqual([six.length, six.slice(0, 2)], [6, two], "those that ran go on");
  const clients = await broker.connectMany([1, 1, 1, 1, 1, 1]);
  for (const client of clients) await client.subscribe("news");
  await clients[5].publish("news", "from the last one");
  for (const client of clients) assert.equal((await client.next("message")).data, "from the last one");
  await clients[0].direct(clients[4].id, "to another one");
  assert.equal((await clients[4].next("direct")).data, "to another one");
  for (const client of clients) await client.close();
  assert.match(await changed(broker, 3), /^3 of 6 places/);
  for (const pid of six.slice(3)) assert.equal(isAlive(pid), false);
  assert.deepEqual(broker.pids().workers.filter(Boolean), six.slice(0, 3));
  const status = await broker.status();
  assert.deepEqual(status.processes.map((row) => row.process), ["acceptor", "relay", "worker 0", "worker 1", "worker 2"]);
  assert.equal(JSON.parse((await broker.get("/health")).body).workers, 3);
  const metrics = await broker.metrics();
  assert.equal(metrics('ringcast_restarts_total{process="worker"}'), 0, "none of it is a restart");
  // A place is used again, under another generation.
  await changed(broker, 4);
  const again = await broker.connectToWorker(3);
  await again.subscribe("news");
  await again.publish("news", 4);
  assert.equal((await again.next("message")).data, 4);
  await broker.closeSpares();
});

testBroker("what cannot be is refused with a reason", { workers: 2, timeout: 60000, config: { "server.max_workers": 3 } }, async (broker) => {
  for (const wanted of ["0", "4", "9999"]) {
    const result = await workers(broker, wanted);
    assert.equal(result.code, 1);
    assert.match(result.stdout, /there can be 1 to 3 workers: server\.max_workers/);
  }
  assert.equal((await workers(broker, "many")).code, 2);
  assert.match((await run(["workers", "--help"])).stdout, /clients stay/);
  assert.match((await workers(broker)).stdout, /^2 of 3/);
  assert.match(await changed(broker, 2), /^2 of 3/, "as it is");
});

testBroker("an upgrade keeps the number, and a worker that is killed comes back in its place", { workers: 1, timeout: 120000, config: { "server.max_workers": 3 } }, async (broker) => {
  await changed(broker, 3);
  const client = await broker.connectToWorker(2);
  await client.subscribe("news");
  const result = await run(["upgrade", "-c", broker.configPath], { env: broker.env, timeout: 60000 });
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}`);
  assert.match((await workers(broker)).stdout, /^3 of 3/);
  const pid = broker.kill("SIGKILL", 2);
  await until("another process", () => broker.pids().workers[2] && broker.pids().workers[2] !== pid);
  await client.publish("news", "still here");
  assert.equal((await client.next("message")).data, "still here");
  assert.match(await changed(broker, 3), /^3 of 3/);
  await broker.closeSpares();
});
