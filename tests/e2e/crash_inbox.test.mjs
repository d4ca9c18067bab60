// Workers that are killed while connections of other workers come out of their inbox: each is there once, and answered by the successor.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { adopted } from "./lib/crowd.mjs";
import { random, until } from "./lib/util.mjs";

const CONNECTIONS = 48;
const ROUNDS = 16;

/* A connection of worker 0, on which the next request is worker 1's. */
async function openTo(broker) {
  for (;;) {
    const raw = await broker.raw();
    raw.write("POST /at/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    if ((await raw.response({ timeout: 20000 })).headers["x-worker"] === "0") return raw;
    raw.end();
  }
}

/* How many connections worker 0 has given away, asked over one that stays there. */
async function handedOut(raw) {
  raw.write("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  const { body } = await raw.response({ timeout: 20000 });
  return Number(/ringcast_connections_handed_out_total\{[^}]*worker="0"[^}]*\} (\d+)/.exec(body)[1]);
}

testBroker("whoever waits in an inbox, or has just come out of it, is answered, but for the one that was just being answered", {
  workers: 2, timeout: 240000, config: { "debug.handover": "/at" },
}, async (broker) => {
  const chance = random();
  const watcher = await openTo(broker);
  let ended = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const raws = await Promise.all(Array.from({ length: CONNECTIONS }, () => openTo(broker)));
    const before = await handedOut(watcher);
    const pid = broker.kill("SIGSTOP", 1);
    for (const [i, raw] of raws.entries()) raw.write(`POST /at/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n${1000 + i}`);
    await until("all lie in its inbox", async () => await handedOut(watcher) === before + CONNECTIONS, { timeout: 20000, every: 2 });
    const till = performance.now() + chance.below(3000) / 1000;
    process.kill(pid, "SIGCONT");
    while (performance.now() < till);
    process.kill(pid, "SIGKILL");
    await adopted(broker, 1, pid);
    const answers = await Promise.all(raws.map((raw) => raw.response({ timeout: 20000 }).catch((error) => error)));
    for (const [i, answer] of answers.entries()) {
      if (!(answer instanceof Error)) assert.deepEqual([answer.status, answer.headers["x-worker"], answer.body], [200, "1", String(1000 + i)]);
    }
    const lost = answers.filter((answer) => answer instanceof Error);
    assert.ok(lost.length <= 1, `round ${round}: ${lost.length} were ended: ${lost[0]}`);
    ended += lost.length;
    for (const raw of raws) raw.end();
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), ROUNDS);
  assert.equal(metrics("ringcast_not_adopted_sockets_total"), ended);
  assert.equal(metrics("ringcast_handovers_lost_total"), 0);
  await until("the vault has them no more", async () => (await broker.metrics())("ringcast_kept_sockets") <= 2, { timeout: 10000 });
  assert.equal((await broker.metrics())("ringcast_kept_leaked_total"), 0);
});
