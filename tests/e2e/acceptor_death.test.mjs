// kill -9 of the acceptor: its children end by themselves, and their clients are sent away.
import assert from "node:assert/strict";
import { isAlive, testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

testBroker("workers and relay end when the acceptor is gone", { workers: 3 }, async (broker) => {
  const clients = await broker.connectMany([2, 2, 2]);
  const { all } = broker.pids();
  assert.equal(all.length, 4);
  broker.kill("SIGKILL", "acceptor");
  await until("the children have ended", () => !all.some(isAlive), { timeout: 10000, every: 20 });
  for (const client of clients) {
    const { code } = await client.closed;
    assert.ok([1001, 1006, 1012].includes(code), `closed with ${code}`);
  }
  assert.deepEqual(await broker.exited, { code: null, signal: "SIGKILL" });
});
