// kill -9 of workers, and hand-overs, for STRESS_SECONDS, while socket.io-clients say events that a backend is asked about, which drops what it has
// carried out already by its id: each is answered, carried out once and in order; or, where it may not be asked again, its client is told.
// Environment: RINGCAST_BIN_DIR, STRESS_SECONDS (600), OUTLIVE_CLIENTS (12), STRESS_SEED.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { startBackend, table } from "../e2e/lib/backend.mjs";
import { startBroker } from "../e2e/lib/broker.mjs";
import { killWorker } from "../e2e/lib/crowd.mjs";
import { handover } from "../e2e/lib/outlive.mjs";
import { SEED, delay, random, until, within } from "../e2e/lib/util.mjs";

const seconds = Number(process.env.STRESS_SECONDS ?? 600);
const count = Number(process.env.OUTLIVE_CLIENTS ?? 12);
const workers = 2;
const KINDS = [["websocket"], ["polling"]];

const chance = random(SEED);
const done = new Map(); // id of a call -> its answer
const order = new Map(); // sid -> the last number that was carried out
const faults = [];
let repeats = 0;
const backend = await startBackend({
  answer: async ({ id, sid, event, args }) => {
    repeats += done.has(id) ? 1 : 0;
    if (!done.has(id)) {
      const last = order.get(sid) ?? 0;
      if (args[0] <= last) faults.push(`${event} ${args[0]} of ${sid} behind ${last}`);
      order.set(sid, args[0]);
      done.set(id, { join: [`room:${args[0] % 3}`], ack: [args[0]], emit: [{ event: "did", args: [args[0]] }] });
    }
    await delay(chance.below(30));
    return done.get(id);
  },
});
const broker = await startBroker({
  workers,
  config: { "socketio.path": "/socket.io/", "socketio.ping_timeout": "60s", backend: [table(backend, { name: "again", ask_again: true, timeout: "20s", breaker: "" }), table(backend, { name: "once", timeout: "20s", breaker: "" })], event: [{ on: "again", ask: "again" }, { on: "once", ask: "once" }] },
});
const counts = { answered: 0, told: 0, disconnected: 0 };
let ending = false;
let kills = 0;
const asking = new Set(); // { since } of each event that is not answered: how many kills there were when it was said

/* One client after the other: its events in turn, until it is disconnected. */
async function talk(transports, event) {
  while (!ending) {
    const socket = io(`http://127.0.0.1:${broker.port}`, { transports, forceNew: true, reconnection: false, timeout: 60000 });
    const ended = new Promise((over) => socket.once("disconnect", over));
    const begun = await new Promise((over) => {
      socket.once("connect", () => over(true));
      socket.once("connect_error", () => over(false));
    });
    for (let n = 1; begun && !ending && socket.connected; n++) {
      const said = { since: kills };
      asking.add(said);
      const answer = await within(60000, Promise.race([new Promise((over) => socket.emit(event, n, over)), ended.then(() => undefined)]), `an answer to ${event} ${n}`);
      asking.delete(said);
      if (answer === undefined) {
        counts.disconnected++;
      } else if (answer === n) {
        counts.answered++;
      } else {
        assert.equal(answer.error?.code, 503, JSON.stringify(answer));
        if (event === "again" && !/could not be asked/.test(answer.error.message)) faults.push(`${event} ${n}: ${answer.error.message}`);
        counts.told++;
      }
    }
    socket.disconnect();
  }
}

try {
  console.log(`${seconds} seconds, seed ${SEED}`);
  const talking = Array.from({ length: count }, (_, i) => talk(KINDS[i % 2], i % 4 < 2 ? "again" : "once"));
  for (const talk of talking) talk.catch((error) => (faults.push(error.stack), (ending = true)));
  let handed = 0;
  for (const ends = performance.now() + seconds * 1000; performance.now() < ends && !ending;) {
    await until("more is answered", ((from) => () => counts.answered > from + chance.below(40) || ending)(counts.answered), { timeout: 60000 });
    if (chance.below(3) > 0) {
      // Three that die under an event may be its doing: it is given up.
      await until("no event has seen two die", () => [...asking].every(({ since }) => since > kills - 2) || ending, { timeout: 60000 });
      await killWorker(broker, chance.below(workers));
      kills++;
    } else if ((await handover(broker, String(chance.below(workers)))).code === 0) {
      handed++;
    }
    if (kills % 10 === 0) console.log(`${kills} kills, ${handed} hand-overs: ${JSON.stringify(counts)}, ${repeats} calls came again`);
    assert.deepEqual(faults, []);
  }
  ending = true;
  await Promise.all(talking);
  const metrics = await broker.metrics();
  assert.deepEqual(faults, []);
  assert.equal(metrics("ringcast_worker_adoptions_failed_total"), 0);
  assert.ok(counts.disconnected <= 3 * kills, `${counts.disconnected} were disconnected by ${kills} kills`);
  console.log(`${kills} kills, ${handed} hand-overs: ${JSON.stringify(counts)}, ${repeats} calls came again, ${metrics("ringcast_backend_asked_again_total")} were asked again`);
} catch (error) {
  console.log(broker.log.filter((line) => /backend_answer_lost|client_not_adopted/.test(line)).join("\n"));
  throw error;
} finally {
  await broker.stop();
  await broker.destroy();
  await backend.stop();
}
