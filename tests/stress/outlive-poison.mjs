// FLAVOUR=asan
// A message that makes its worker crash, again and again for STRESS_SECONDS, while publishers count and listeners keep every byte: who sends it is
// ended and named, and nobody else.
// Environment: RINGCAST_BIN_DIR, and as in tests/e2e/lib/trials.mjs.
import assert from "node:assert/strict";
import { trials } from "../e2e/lib/trials.mjs";
import { delay, until } from "../e2e/lib/util.mjs";

const POISON = "this kills the worker";
const LIVED_WELL_MS = 10500; // three processes that crash sooner than that, one after the other, lose their clients: docs/outlive.md

const WORKERS = 2;

let poisoned = 0;
await trials({ workers: WORKERS, crashes: true, env: { RINGCAST_POISON: POISON, ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ""}:handle_abort=0` } }, async (broker) => {
  await delay(poisoned > 0 && poisoned % 2 === 0 ? LIVED_WELL_MS : 0);
  // Twice in a row, and then the other one: a worker that crashes ten times within a minute is given up (acceptor/watch/restart.h).
  const culprit = await broker.connectToWorker((poisoned >> 1) % WORKERS);
  await broker.closeSpares();
  const before = broker.pids().workers;
  culprit.send({ type: "publish", channel: "poison", data: POISON });
  await culprit.closed;
  await until("a successor serves", async () => broker.pids().workers.some((pid, i) => pid !== before[i]) && (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 30000 });
  poisoned++;
  assert.equal((await broker.metrics())("ringcast_quarantined_total"), poisoned);
  return { what: "poison", closes: 0 };
});
