// ringcast upgrade to programs that fail: what runs goes on, says why, and can be upgraded afterwards. And what is left of a broker
// after an upgrade: reload, signals, the end, the service manager's socket.
import assert from "node:assert/strict";
import { copyFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { run, testBroker } from "./lib/broker.mjs";
import { buildCopy, startManager, upgrade, upgraded } from "./lib/upgrade.mjs";
import { BIN_DIR, SANITIZED, until, within } from "./lib/util.mjs";

/* In place of systemd. */
const NOTIFIED = await startManager();
after(() => NOTIFIED.end());

const programOf = (pid) => readlinkSync(`/proc/${pid}/exe`);
/* Only debug builds fail on purpose. */
const skip = SANITIZED ? false : "needs programs with RC_DEBUG";

/* Numbered messages to a client of each worker. Nothing may be missing, and nobody disconnected. */
async function stream(broker) {
  const clients = await broker.connectMany([3, 3]);
  for (const client of clients) await client.subscribe("news");
  const state = { ending: false, sent: 0 };
  const publishing = (async () => {
    while (!state.ending) await clients[0].publish("news", state.sent++);
  })();
  return async () => {
    state.ending = true;
    await publishing;
    for (const client of clients) {
      for (let i = 0; i < state.sent; i++) assert.equal((await client.next("message")).data, i);
      assert.equal(client.isClosed, false);
      assert.deepEqual(client.inbox, []);
    }
  };
}

const failures = [
  { fails: "check", says: /acceptor +refused +it is to fail here\nnothing has changed/, acceptor: "old", relay: "old", workers: "old" },
  { fails: "exec", says: /the new program could not go on: it is to fail here\nthe old one does/, acceptor: "old", relay: "old", workers: "old" },
  { fails: "exec late", says: /the new program could not go on: it is to fail here/, acceptor: "old", relay: "old", workers: "old" },
  { fails: "relay standby", says: /relay: .*relay_not_changed.*\nit goes on; the upgrade is not complete/, acceptor: "new", relay: "old", workers: "old" },
  { fails: "standby", says: /the successor of worker 0 has ended.*\nit goes on with its clients\nthe upgrade is not complete/, acceptor: "new", relay: "new", workers: "old" },
  { fails: "adopting", says: /the successor of worker 0 has ended.*\nit goes on with its clients\nthe upgrade is not complete/, acceptor: "new", relay: "new", workers: "old" },
];
for (const { fails, says, ...who } of failures) {
  testBroker(`programs that fail at "${fails}": the old ones go on, and what failed is upgraded afterwards`, { workers: 2, timeout: 120000, skip }, async (broker) => {
    const end = await stream(broker);
    const folder = buildCopy({ fails });
    const before = broker.pids();
    const result = await upgrade(broker, folder);
    assert.equal(result.code, 1, result.stdout);
    assert.match(result.stdout, says);
    const now = broker.pids();
    const place = (which) => (which === "new" ? folder : BIN_DIR);
    assert.equal(programOf(broker.pid), join(place(who.acceptor), "ringcast"));
    assert.equal(programOf(now.relay), join(place(who.relay), "ringcast-relay"));
    for (const pid of now.workers) assert.equal(programOf(pid), join(place(who.workers), "ringcast-worker"));
    assert.deepEqual(now.workers, before.workers);
    await until("nobody but them", () => broker.pids().all.length === 3);
    // A reload reaches all of them, whichever build they are.
    broker.writeConfig({ ...broker.config, "limits.max_channels": 77 });
    const reloaded = await run(["reload", "-c", broker.configPath], { env: broker.env });
    assert.match(reloaded.stdout, /changed: limits.max_channels/);
    rmSync(join(folder, "fails"));
    await upgraded(broker, folder);
    for (const pid of broker.pids().all) assert.ok(programOf(pid).startsWith(folder), programOf(pid));
    await end();
  });
}

testBroker("what is no build, or is put together of two, is refused, and nothing changes", { workers: 1, timeout: 60000 }, async (broker) => {
  const client = await broker.connect();
  const before = broker.pids();
  const refused = async (folder, says) => {
    const result = await upgrade(broker, folder);
    assert.equal(result.code, 1, result.stdout);
    assert.match(result.stdout, says);
    assert.match(result.stdout, /nothing has changed/);
    assert.deepEqual(broker.pids(), before);
  };
  const empty = buildCopy();
  rmSync(join(empty, "ringcast"));
  await refused(empty, /ringcast: No such file or directory/);
  const without = buildCopy();
  rmSync(join(without, "ringcast-relay"));
  await refused(without, /^relay +refused .*ringcast-relay: No such file/m);
  const wrong = buildCopy();
  copyFileSync("/bin/true", join(wrong, "ringcast-worker"));
  await refused(wrong, /^worker +refused /m);
  const none = buildCopy();
  copyFileSync("/bin/true", join(none, "ringcast"));
  await refused(none, /it is no ringcast/);
  assert.equal(client.isClosed, false);
});

testBroker("a file that is wrong by now is told, and nothing changes", { workers: 1, timeout: 60000 }, async (broker) => {
  const client = await broker.connect();
  broker.writeConfig("[limits]\nmax_channels = \"many\"\n");
  const result = await run(["upgrade", "--binary-dir", buildCopy(), "--socket", broker.config["server.control_socket"]], { env: broker.env, timeout: 60000 });
  assert.equal(result.code, 1);
  assert.match(result.stdout, /^configuration +refused/m);
  assert.equal(client.isClosed, false);
});

testBroker("afterwards signals, reload, a second caller and the end work as before; the service manager hears of it", { workers: 2, timeout: 60000, env: NOTIFIED.env }, async (broker) => {
  const client = await broker.connect();
  await upgraded(broker, buildCopy());
  await until("it was told", () => NOTIFIED.text.includes("RELOADING=1") && NOTIFIED.text.lastIndexOf("READY=1") > NOTIFIED.text.lastIndexOf("RELOADING=1"));
  broker.writeConfig({ ...broker.config, "limits.max_channels": 5 });
  process.kill(broker.pid, "SIGHUP");
  await until("it was read again", () => broker.log.some((line) => /reloaded .*limits.max_channels/.test(line)));
  const status = await broker.status();
  assert.equal(status.state, "running");
  await client.publish("news", 1);
  const stopping = run(["stop", "-c", broker.configPath], { env: broker.env, timeout: 30000 });
  assert.equal((await within(20000, client.closed, "it is sent away")).code, 1012);
  assert.match((await stopping).stdout, /ended/);
  assert.deepEqual(await broker.exited, { code: 0, signal: null });
});

const hanging = buildCopy({ fails: "adopting hangs" });
testBroker("a worker that was to go on when its successor hung, and does not, is noticed: it is killed, and there is another", {
  workers: 1,
  timeout: 90000,
  skip,
  prefix: ["sh", "-c", 'shift; exec "$0" "$@"', join(hanging, "ringcast")],
}, async (broker) => {
  const worker = broker.pids().workers[0];
  const running = run(["handover", "0", "-c", broker.configPath], { env: broker.env, timeout: 60000 });
  await until("it stands still", async () => (await broker.status()).processes.find((row) => row.process === "worker 0").state === "parked");
  process.kill(worker, "SIGSTOP");
  const result = await running;
  assert.equal(result.code, 1, result.stdout);
  assert.match(result.stdout, /takes too long\nworker 0 does not go on, and is killed/);
  await until("another worker is there", async () => ![undefined, worker].includes(broker.pids().workers[0]) && (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 20000 });
  const client = await broker.connect();
  await client.publish("news", 1);
});
