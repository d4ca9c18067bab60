// ringcast handover: workers become other processes, and their clients notice nothing.
import assert from "node:assert/strict";
import { run, isAlive, testBroker } from "./lib/broker.mjs";
import { handedOver, handover, heardInOrder } from "./lib/outlive.mjs";
import { frame } from "./lib/raw.mjs";
import { openStream } from "./lib/sse.mjs";
import { until } from "./lib/util.mjs";

testBroker("all workers, again and again, while everybody publishes: nobody is disconnected, nothing lost, twice or out of order", { workers: 2, timeout: 120000 }, async (broker) => {
  const clients = await broker.connectMany([8, 8]);
  for (const client of clients) await client.subscribe("news");
  const ids = clients.map((client) => client.id);
  const publishers = [clients.find((client) => client.worker === 0), clients.find((client) => client.worker === 1)];
  const sent = [0, 0];
  let ending = false;
  const publishing = publishers.map(async (client, who) => {
    while (!ending) await client.publish("news", { who, i: sent[who]++ });
  });
  const first = broker.pids().workers;
  let before = first;
  try {
    for (let round = 0; round < 4; round++) {
      const text = await handedOver(broker, ...(round === 3 ? [] : ["all"]));
      assert.match(text, /worker 0 was handed over: pid \d+, \d+ connections/);
      assert.match(text, /worker 1 was handed over/);
      // All clients, and what asks for metrics meanwhile.
      const told = [...text.matchAll(/(\d+) connections/g)].reduce((sum, [, count]) => sum + Number(count), 0);
      assert.ok(told >= 16, text);
      const now = broker.pids().workers;
      for (const worker of [0, 1]) {
        assert.notEqual(now[worker], before[worker], "another process");
        await until("the former one has ended", () => !isAlive(before[worker]));
      }
      before = now;
    }
  } finally {
    ending = true;
  }
  await Promise.all(publishing);
  await heardInOrder(clients, sent);
  // Ids go on being theirs, new ones come, subscriptions change, and the numbers are right.
  await clients[0].direct(ids[15], "by its old id");
  assert.equal((await clients[15].next("direct")).data, "by its old id");
  const late = await broker.connectMany([1, 1]);
  await late[0].subscribe("news");
  await clients[1].unsubscribe("news");
  await late[1].publish("news", "late");
  for (const client of [clients[0], ...clients.slice(2), late[0]]) assert.equal((await client.next("message")).data, "late");
  assert.deepEqual(clients[1].inbox, []);
  const metrics = await broker.metrics();
  await until("18 are counted", async () => (await broker.metrics())("ws_connections_total") === 18); // those that came to the wrong worker have gone
  assert.equal(metrics("ringcast_worker_takeovers_total"), 8);
  assert.equal(metrics("ringcast_worker_takeovers_failed_total"), 0);
  assert.equal(metrics('ringcast_restarts_total{process="worker"}'), 0);
  await clients[2].close();
});

testBroker("frames that were cut, and messages in parts, are put together by the successor", { workers: 1, timeout: 60000 }, async (broker) => {
  const raw = await broker.frames("/ws");
  const reader = await broker.connect();
  await reader.subscribe("cut");
  const payload = JSON.stringify({ type: "publish", channel: "cut", data: "x".repeat(3000) });
  const bytes = Buffer.concat([frame({ payload: payload.slice(0, 1000), fin: false }), frame({ payload: payload.slice(1000), opcode: 0 })]);
  for (let at = 0; at < bytes.length; at += 700) {
    raw.write(bytes.subarray(at, at + 700));
    await handedOver(broker, "0");
  }
  assert.equal((await reader.next("message")).data.length, 3000);
});

testBroker("a stream of server-sent events goes on in the successor, and ends there", { workers: 1, timeout: 60000 }, async (broker) => {
  const publisher = await broker.connect();
  const streams = [await openStream(broker, "/sse?channel=news"), await openStream(broker, "/sse?channel=news")];
  await handedOver(broker, "0");
  const worker = broker.pids().workers[0];
  await publisher.publish("news", 1);
  for (const stream of streams) assert.equal((await stream.message()).data, 1);
  const open = async () => (await broker.metrics())("ringcast_sse_connections");
  assert.equal(await open(), 2);
  streams[0].terminate();
  await until("it is gone", async () => (await open()) === 1);
  await publisher.publish("news", 2);
  assert.equal((await streams[1].message()).data, 2);
  streams[1].terminate();
  await until("the last is gone", async () => (await open()) === 0);
  assert.equal(broker.pids().workers[0], worker, "it has survived that");
  assert.equal(publisher.isClosed, false);
});

testBroker("a successor that dies before it has taken over: the worker goes on, and says so", { workers: 1, timeout: 60000 }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("news");
  const worker = broker.pids().workers[0];
  // Killed as soon as it is seen, whatever it is doing: the worker goes on, or it has been handed over already.
  for (let i = 0; i < 5; i++) {
    const running = handover(broker, "0");
    const successor = await until("there is a successor", () => broker.pids().all.find((pid) => ![worker, broker.pids().relay].includes(pid)), { every: 1 });
    try {
      process.kill(successor, "SIGKILL");
    } catch {
      // it was not even a worker any more
    }
    const result = await running;
    if (result.code === 0) break;
    assert.equal(result.code, 1);
    if (/ended when it had just been handed over/.test(result.stdout)) break;
    assert.match(result.stdout, /goes on with its clients/);
  }
  if (!client.isClosed) {
    await client.publish("news", 1);
    assert.equal((await client.next("message")).data, 1);
  }
});

testBroker("what is not there is refused with a reason", { workers: 1, config: { "server.keep": "none" } }, async (broker) => {
  const nothing = await handover(broker, "7");
  assert.deepEqual([nothing.code, nothing.stdout], [1, "there is no such worker\n"]);
  const kept = await handover(broker, "0");
  assert.equal(kept.code, 1);
  assert.match(kept.stdout, /connections are not kept/);
  assert.equal((await handover(broker, "both")).code, 2);
  assert.match((await run(["handover", "--help"])).stdout, /their clients stay/);
});
