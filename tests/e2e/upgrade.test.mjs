// ringcast upgrade: the whole broker goes over to other programs, its pid stays, and its clients notice nothing.
import assert from "node:assert/strict";
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { isAlive, testBroker } from "./lib/broker.mjs";
import { heardInOrder } from "./lib/outlive.mjs";
import { buildCopy, upgraded } from "./lib/upgrade.mjs";
import { BIN_DIR, until } from "./lib/util.mjs";

const programOf = (pid) => readlinkSync(`/proc/${pid}/exe`);

testBroker("to another build, to a third and back, while everybody publishes: same pid, nobody is disconnected, nothing lost, twice or out of order", { workers: 2, timeout: 240000 }, async (broker) => {
  const clients = await broker.connectMany([110, 110]);
  await Promise.all(clients.map((client) => client.subscribe("news")));
  const ids = clients.map((client) => client.id);
  const publishers = [clients.find((client) => client.worker === 0), clients.find((client) => client.worker === 1)];
  const sent = [0, 0];
  let answers = 0;
  let ending = false;
  const publishing = publishers.map(async (client, who) => {
    while (!ending) {
      await client.publish("news", { who, i: sent[who]++ });
      answers++;
    }
  });
  let before = broker.pids();
  const folders = [buildCopy(), buildCopy(), BIN_DIR];
  try {
    for (const folder of folders) {
      const text = await upgraded(broker, folder);
      for (const part of ["core", "port", "records", "history", "build", "truth", "acceptor", "steering"]) assert.match(text, new RegExp(`^${part} +in place +\\S`, "m"));
      assert.match(text, /acceptor was changed/);
      assert.match(text, /relay was changed: pid \d+/);
      assert.match(text, /worker 0 was handed over: pid \d+, 11\d connections/);
      assert.match(text, /worker 1 was handed over: pid \d+/);
      const now = broker.pids();
      assert.equal(programOf(broker.pid), join(folder, "ringcast"));
      assert.equal(programOf(now.relay), join(folder, "ringcast-relay"));
      for (const worker of [0, 1]) {
        assert.equal(programOf(now.workers[worker]), join(folder, "ringcast-worker"));
        assert.notEqual(now.workers[worker], before.workers[worker]);
        await until("the former one has ended", () => !isAlive(before.workers[worker]));
      }
      assert.notEqual(now.relay, before.relay);
      await until("its children, and no others", () => isDeepStrictEqual([...broker.pids().all].sort(), [now.relay, ...now.workers].sort()));
      before = now;
    }
  } finally {
    ending = true;
  }
  await Promise.all(publishing);
  assert.equal(answers, sent[0] + sent[1], "each answered once");
  await heardInOrder(clients, sent);
  for (const client of clients) assert.deepEqual(client.inbox, []);
  await clients[0].direct(ids[219], "by its old id");
  assert.equal((await clients[219].next("direct")).data, "by its old id");
  const late = await broker.connectMany([1, 1]);
  await late[0].subscribe("news");
  await late[1].publish("news", "late");
  assert.equal((await late[0].next("message")).data, "late");
  assert.equal(broker.log.some((line) => / WARN .* steering /.test(line)), false, "the program of each build steers");
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_upgrades_total"), 3);
  assert.equal(metrics("ringcast_upgrades_failed_total"), 0);
  assert.equal((await broker.status()).processes.reduce((sum, row) => sum + (row.restarts ?? 0), 0), 0);
  // What dies is the acceptor's to start again, and comes from the programs that run now.
  const relay = before.relay;
  await broker.killRelay();
  assert.notEqual(broker.pids().relay, relay);
  assert.equal(programOf(broker.pids().relay), join(BIN_DIR, "ringcast-relay"));
  const worker = broker.kill("SIGKILL", 1);
  await until("another worker", async () => ![undefined, worker].includes(broker.pids().workers[1]) && (await broker.status()).processes.every((row) => row.state === "ready"));
  await late[0].publish("news", "after");
  assert.equal((await clients.find((client) => client.worker === 0).next("message")).data, "late");
});
