// A message that makes its worker crash: who sent it is ended, and nobody else. Debug builds have such a message (RINGCAST_POISON).
import assert from "node:assert/strict";
import test from "node:test";
import { startBroker } from "./lib/broker.mjs";
import { SANITIZED, until } from "./lib/util.mjs";

const POISON = "this kills the worker";

test("who sends it is ended and named, everybody else stays", { skip: SANITIZED ? false : "only debug builds can be poisoned" }, async () => {
  const broker = await startBroker({ workers: 1, env: { RINGCAST_POISON: POISON, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ""}:handle_abort=0` } });
  try {
    const clients = await broker.connectMany([5]);
    for (const client of clients) await client.subscribe("news");
    const culprit = await broker.connect();
    const before = broker.pids().workers[0];
    culprit.send({ type: "publish", channel: "news", data: POISON });
    await culprit.closed;
    await until("a successor serves", async () => ![undefined, before].includes(broker.pids().workers[0]) && (await broker.status()).processes.every((row) => row.state === "ready"));
    await clients[0].publish("news", 1);
    for (const client of clients) {
      assert.equal((await client.next("message")).data, 1);
      assert.equal(client.isClosed, false);
    }
    const metrics = await broker.metrics();
    assert.equal(metrics("ringcast_quarantined_total"), 1);
    assert.equal(metrics("ringcast_worker_adoptions_total"), 1);
    await until("its address is in the log", () => broker.log.some((line) => /client_quarantined/.test(line) && line.includes("127.0.0.1")));
  } finally {
    await broker.destroy();
  }
});
