// A worker that is told to stand still takes nothing and loses nothing: what comes meanwhile waits, and is there when it goes on.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { heardInOrder } from "./lib/outlive.mjs";
import { frame } from "./lib/raw.mjs";
import { openPolling } from "./lib/socketio.mjs";
import { until } from "./lib/util.mjs";

async function park(broker, worker) {
  const answer = await broker.ask(`park ${worker}`);
  assert.match(answer, /^ok\nworker \d+ stood still/, answer);
}

testBroker("clients of a worker that stands still again and again miss nothing while everybody publishes", { workers: 2, timeout: 90000 }, async (broker) => {
  const MESSAGES = 600; // of each, and more until it has stood still so often
  const PARKS = 10;
  const clients = await broker.connectMany([6, 6]);
  for (const client of clients) await client.subscribe("news");
  const publishers = [clients.find((client) => client.worker === 0), clients.find((client) => client.worker === 1)];
  const sent = [0, 0];
  let parks = 0;
  const publishing = Promise.all(publishers.map(async (client, who) => {
    for (; sent[who] < MESSAGES || parks < PARKS; sent[who]++) await client.publish("news", { who, i: sent[who] });
  }));
  while (sent.some((count) => count < MESSAGES) || parks < PARKS) {
    await park(broker, parks % 2);
    parks++;
  }
  await publishing;
  await heardInOrder(clients, sent);
  // New ones come, and everybody goes on as before.
  const late = await broker.connectMany([2, 2]);
  for (const client of late) await client.subscribe("news");
  await late[0].publish("news", "late");
  for (const client of [...clients, ...late]) assert.equal((await client.next("message")).data, "late");
  assert.equal(broker.log.some((line) => /child_stuck|worker_not_parked/.test(line)), false);
});

testBroker("bytes of frames that were cut anywhere are put together after it", { workers: 1, timeout: 60000 }, async (broker) => {
  const raw = await broker.frames("/ws");
  const reader = await broker.connect();
  await reader.subscribe("cut");
  const bytes = frame({ payload: JSON.stringify({ type: "publish", channel: "cut", data: "x".repeat(9000) }) });
  for (let at = 0; at < bytes.length; at += 1000) {
    raw.write(bytes.subarray(at, at + 1000));
    await park(broker, 0);
  }
  assert.equal((await reader.next("message")).data.length, 9000);
});

testBroker("a session by polling whose request waits does not hinder it, and goes on", { workers: 1, timeout: 60000, config: { "socketio.path": "/socket.io/", "socketio.ping_interval": "2s" } }, async (broker) => {
  const session = await openPolling({ port: broker.port, path: "/socket.io/" });
  await session.send("40");
  assert.match(await session.packet(), /^40\{"sid":/);
  for (let i = 0; i < 2; i++) {
    let answered = false;
    const waits = session.get();
    waits.finally(() => (answered = true)).catch(() => {});
    while (!answered) await park(broker, 0);
    const { status, body } = await waits;
    assert.deepEqual([status, body], [200, "2"], "it waited on, and is pinged as before");
    await session.send("3");
  }
  assert.equal(broker.log.some((line) => /worker_not_parked/.test(line)), false);
});

testBroker("a call that waits for its answer hinders it for two seconds at most, then it goes on; requests are answered", { workers: 2, timeout: 60000, config: { namespace: [{ name: "room", presence: true }] } }, async (broker) => {
  const waits = await broker.connectToWorker(0);
  await waits.subscribe("news");
  await waits.subscribe("room:1");
  assert.match(await broker.ask("park 7"), /^error\nthere is no such worker/);
  assert.match(await broker.ask("park"), /^error\n/);
  // A stopped relay answers nobody: whoever has asked something waits.
  const relay = broker.kill("SIGSTOP", "relay");
  try {
    const asked = waits.refused(503, { type: "presence", channel: "room:1" }).catch(() => {}); // or answered, just in time
    await waits.ping(); // behind the question
    assert.match(await broker.ask("park 0"), /^error\nworker 0 cannot stand still now/);
    await until("it says why", () => broker.log.some((line) => /worker_not_parked .*the relay is being asked/.test(line)));
    process.kill(relay, "SIGCONT");
    await asked;
  } finally {
    process.kill(relay, "SIGCONT");
  }
  await until("it stands still again", async () => (await broker.ask("park 0")).startsWith("ok\n"), { every: 50 });
  await waits.publish("news", 1);
  assert.equal((await waits.next("message")).data, 1);
});

testBroker("a worker that dies while it stands still is replaced, and the broker stops while one does", { workers: 2, config: { "server.adopt_crashed": false }, timeout: 60000 }, async (broker) => {
  const client = await broker.connectToWorker(1);
  await broker.closeSpares();
  const asked = broker.ask("park 0");
  const before = broker.kill("SIGKILL", 0);
  assert.match(await asked, /^(ok|error)\n/);
  await until("a new worker 0 is there", () => ![undefined, before].includes(broker.pids().workers[0]));
  await until("it can stand still", async () => (await broker.ask("park 0")).startsWith("ok\n"), { every: 50 });
  assert.equal(client.isClosed, false);
  const last = broker.ask("park 1").catch(() => "");
  process.kill(broker.pid, "SIGTERM");
  await last;
});
