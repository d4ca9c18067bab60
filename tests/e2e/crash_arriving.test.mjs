// Workers that are killed while connections come to them: whoever the kernel has let in stays connected, whether the worker had looked at it or not.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { testBroker } from "./lib/broker.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { random, until } from "./lib/util.mjs";

const CONNECTIONS = 40;
const ROUNDS = 6;

/* A connection that has sent nothing yet. */
class Newcomer {
  constructor(address) {
    this.text = "";
    this.socket = connect(address);
    this.socket.on("data", (bytes) => (this.text += bytes));
    this.socket.on("error", (error) => (this.error = error.code));
    this.socket.on("close", () => (this.closed = true));
    this.connected = new Promise((done) => this.socket.once("connect", done));
  }

  ask() {
    this.socket.write("GET /health HTTP/1.1\r\nHost: here\r\n\r\n");
  }
}

for (const workers of [1, 2]) {
  testBroker(`everybody who has connected is answered by whoever is there then, with ${workers} workers`, { workers, timeout: 120000 }, async (broker) => {
    const chance = random();
    for (let round = 0; round < ROUNDS; round++) {
      const newcomers = Array.from({ length: CONNECTIONS }, () => new Newcomer(broker.address));
      const enough = 1 + chance.below(CONNECTIONS);
      await Promise.all(newcomers.slice(0, enough).map(({ connected }) => connected));
      await killWorker(broker, chance.below(workers));
      for (const newcomer of newcomers) newcomer.ask();
      await until("all are answered, or ended", () => newcomers.every(({ text, closed }) => closed || /^HTTP\/1.1 200 /.test(text)), { timeout: 30000 });
      assert.deepEqual(newcomers.filter(({ closed }) => closed).map(({ error }) => error ?? "end"), [], `round ${round}`);
      for (const { socket } of newcomers) socket.destroy();
    }
    const metrics = await broker.metrics();
    assert.equal(metrics("ringcast_worker_adoptions_total"), ROUNDS);
    assert.equal(metrics("ringcast_not_adopted_sockets_total"), 0);
    await until("the vault has them no more", async () => (await broker.metrics())("ringcast_kept_sockets") <= 1, { timeout: 10000 });
    assert.equal((await broker.metrics())("ringcast_kept_leaked_total"), 0);
  });
}
