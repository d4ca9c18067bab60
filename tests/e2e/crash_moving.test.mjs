// A worker that is killed while it sends a client to another one, before, in and behind that: the client is in one of the two, and has noticed nothing.
// Builds with the address sanitizer can be told where (RINGCAST_DIES_FILE).
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, testBroker } from "./lib/broker.mjs";
import { killSteps } from "./lib/crowd.mjs";
import { openPolling, workerOfSid } from "./lib/socketio.mjs";
import { SANITIZED, until } from "./lib/util.mjs";

const folder = mkdtempSync(join(tmpdir(), "ringcast-dies-"));
const file = join(folder, "steps");
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const skip = SANITIZED ? false : "only builds with the address sanitizer can do it";
const CONFIG = { "debug.adopt_verify": true, "server.max_workers": 2, "socketio.path": "/socket.io/", "socketio.ping_interval": "1h", "socketio.ping_timeout": "1h", event: [{ on: "echo", emit: [{ event: "echo", args: ["{args}"] }] }] };
const STEPS = 14;

const workers = (broker, count) => run(["workers", String(count), "-c", broker.configPath], { env: broker.env, timeout: 120000 });
const all = (broker, count) => until(`${count} workers`, async () => (await workers(broker, count)).code === 0, { timeout: 60000, every: 20 });

/* Worker 1 leaves, and dies where `steps` says: whether it did. That is in the log, which may come behind the answer. */
async function dies(broker, steps) {
  const pid = broker.pids().workers[1];
  const removed = () => broker.log.filter((line) => line.includes("worker_removed")).length;
  const before = removed();
  writeFileSync(file, steps);
  const leaves = all(broker, 1);
  await until("it gives", () => !existsSync(file), { timeout: 60000 });
  await leaves;
  await until("its end is in the log", () => removed() > before);
  return broker.log.some((line) => line.includes("child_died") && line.includes(`pid=${pid} `));
}

/* `begin(broker)`: a client on worker 1; `goes(client, n)`: it is still the one, and has got all. */
async function sweep(broker, begin, goes) {
  let kills = 0;
  for (let n = 1; n <= STEPS; n++) {
    const client = await begin(broker); // one alone: what is done for the next one is none of its business
    kills += (await dies(broker, String(n))) ? 1 : 0;
    await goes(client, n);
    await all(broker, 2);
  }
  const metrics = await broker.metrics();
  assert.ok(kills > 0, "nobody died of a step");
  assert.equal(metrics("ringcast_clients_not_taken_total"), 0);
  assert.equal(metrics("ringcast_adopt_differences_total"), 0);
  assert.ok(!broker.log.some((line) => /client_not_moved/.test(line)));
}

testBroker("one that a connection carries", { workers: 2, config: CONFIG, env: { RINGCAST_DIES_FILE: file }, timeout: 400000, skip }, async (broker) => {
  const speaker = await broker.connectToWorker(0);
  let said = 0;
  await sweep(broker, async () => {
    const client = await broker.connectToWorker(1);
    await client.subscribe("news");
    return client;
  }, async (client, n) => {
    said++;
    await speaker.publish("news", said);
    await speaker.direct(client.id, -said);
    for (let next = 0; next !== said;) {
      const got = (await client.next("message")).data;
      assert.ok(got > next, `killed after ${n} steps: ${got} behind ${next}`);
      next = got;
    }
    assert.equal((await client.next("direct")).data, -said);
    assert.equal(client.isClosed, false);
  });
});

testBroker("one that polls", { workers: 2, config: CONFIG, env: { RINGCAST_DIES_FILE: file }, timeout: 400000, skip }, async (broker) => {
  await sweep(broker, async () => {
    for (;;) {
      const session = await openPolling({ port: broker.port, path: "/socket.io/" });
      if (workerOfSid(session.sid) !== 1) continue;
      await session.send("40");
      assert.match(await session.packet(), /^40\{"sid":/);
      return session;
    }
  }, async (session, n) => {
    await session.send(`42["echo",${n}]`).catch((error) => assert.fail(`killed after ${n} steps: ${error.message}`));
    assert.equal(await session.packet(), `42["echo",${n}]`, `killed after ${n} steps`);
  });
});

// What it has not got is taken out of the logs, and is nowhere but in the worker until it is replies: killed there its session ends, as that of whoever is
// being worked for. What it has got was so once and in order; one that is left has all.
testBroker("one that polls, while what it has not got is gathered", { workers: 2, config: { ...CONFIG, event: [{ on: "enter", join: ["room"], emit: [{ to: "room", event: "entered" }] }, { on: "say", emit: [{ to: "room", event: "said", args: ["{args.0}"] }] }] }, env: { RINGCAST_DIES_FILE: file }, timeout: 400000, skip }, async (broker) => {
  const opens = async (worker) => {
    for (;;) {
      const session = await openPolling({ port: broker.port, path: "/socket.io/" });
      if (workerOfSid(session.sid) !== worker) {
        await session.send("1"); // one that joins nothing is waited for by a worker that leaves, until connect_timeout is over
        continue;
      }
      await session.send("40");
      assert.match(await session.packet(), /^40\{"sid":/);
      // The POST is answered before the relay knows of the room: what another one says in it may overtake that. What it says itself does not.
      await session.send('42["enter"]');
      assert.equal(await session.packet(), '42["entered"]');
      return session;
    }
  };
  const speaker = await opens(0);
  let [kills, ended, over] = [0, 0, false];
  for (const n of killSteps(Number(process.env.CRASH_STRIDE ?? 7))) {
    if (over) break;
    const session = await opens(1);
    assert.equal(await speaker.packet(), '42["entered"]');
    for (let i = 0; i < 3; i++) {
      await speaker.send(`42["say","${n}.${i}"]`);
      assert.equal(await speaker.packet(), `42["said","${n}.${i}"]`);
    }
    over = !(await dies(broker, `${n} gather`));
    kills += over ? 0 : 1;
    const heard = await session.packets(3).catch((error) => (assert.match(error.message, /Session ID unknown/, `killed after ${n} steps`), []));
    ended += heard.length === 0 ? 1 : 0;
    assert.ok(heard.length > 0 || !over, "nothing ends without a death");
    if (heard.length > 0) assert.deepEqual(heard, [0, 1, 2].map((i) => `42["said","${n}.${i}"]`), `killed after ${n} steps`);
    await all(broker, 2);
  }
  const metrics = await broker.metrics();
  assert.ok(kills > 0 && ended <= kills, `${kills} kills, of which ${ended} ended a session`);
  assert.ok(ended <= metrics("ringcast_not_adopted_sockets_total"), "who was closed is counted");
  assert.equal(metrics("ringcast_clients_not_taken_total"), 0);
  assert.equal(metrics("ringcast_adopt_differences_total"), 0);
});
