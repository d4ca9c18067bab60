// Whatever the one who starts ringcast leaves to it (signals, descriptors, modes, environment), it runs the same.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { isAlive, run, testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

async function works(broker) {
  const [a, b] = [await broker.connect(), await broker.connect()];
  await a.subscribe("x");
  await b.publish("x", 1);
  assert.equal((await a.next("message")).data, 1);
  await a.close();
  await b.close();
}

async function replaces(broker, who) {
  const pid = broker.kill("SIGKILL", who);
  await until("it is replaced", () => {
    const { relay, workers } = broker.pids();
    const now = who === "relay" ? relay : workers[who];
    return now && now !== pid;
  });
  await broker.isReady();
}

// In the end testBroker sends SIGTERM, which must end it with 0.
testBroker("ignored and blocked signals do not stay so: a killed child is replaced, SIGTERM ends it", {
  prefix: ["env", "--ignore-signal=CHLD,TERM,HUP,INT,QUIT", "--block-signal=CHLD,TERM,HUP"], timeout: 60000,
}, async (broker) => {
  await replaces(broker, 0);
  await replaces(broker, "relay");
  await works(broker);
  process.kill(broker.pid, "SIGHUP");
  await until("the reload is counted", async () => (await broker.metrics())('ringcast_reloads_total{result="applied"}') === 1);
});

for (const [what, redirections] of [["0 to 2", "0<&- 1>&- 2>&-"], ["2", "2>&-"], ["0 and 1", "0<&- 1>&-"]]) {
  testBroker(`started with closed descriptors ${what} it runs`, {
    prefix: ["bash", "-c", `exec "$@" ${redirections}`, "bash"], timeout: 60000, env: { RINGCAST_QUICKSTART: "1" },
  }, async (broker) => {
    await works(broker);
    await replaces(broker, 0);
    await works(broker);
    const { acceptor, relay, workers } = broker.pids();
    for (const pid of [acceptor, relay, ...workers]) {
      for (const fd of [0, 1, 2]) assert.doesNotMatch(readlinkSync(`/proc/${pid}/fd/${fd}`), /anon_inode|memfd/);
    }
  });
}

testBroker("signals that mean nothing to a broker do nothing, to none of its processes", {}, async (broker) => {
  const before = broker.pids();
  const client = await broker.connect();
  for (const pid of [before.acceptor, before.relay, ...before.workers]) {
    for (const signal of ["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGPIPE", "SIGXFSZ", "SIGTTIN", "SIGTTOU"]) {
      process.kill(pid, signal);
    }
  }
  for (const pid of [before.relay, ...before.workers]) {
    for (const signal of ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"]) process.kill(pid, signal);
  }
  for (let i = 0; i < 20; i++) await client.ping();
  await works(broker);
  assert.deepEqual(broker.pids(), before, "nobody ended");
  await until("the relay says that it was not the acceptor's", () => broker.log.some((line) => /relay signal_ignored signal=SIGTERM/.test(line)));
});

testBroker("SIGQUIT is a SIGTERM", {}, async (broker) => {
  process.kill(broker.pid, "SIGQUIT");
  assert.deepEqual(await broker.exited, { code: 0, signal: null });
  assert.ok(broker.log.some((line) => /draining reason="SIGQUIT"/.test(line)));
});

testBroker("descriptors that somebody forgot stay out of the children, and modes do not depend on the umask", {
  prefix: ["bash", "-c", 'umask 0; exec "$@" 9</dev/zero', "bash"],
}, async (broker) => {
  const { relay, workers } = broker.pids();
  // The number may be in use there, but not for that.
  const held = (pid) => readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  assert.ok(held(broker.pid).includes("/dev/zero"), "the acceptor has it: it may be its configuration");
  for (const pid of [relay, ...workers]) assert.ok(!held(pid).includes("/dev/zero"), "a child does not");
  assert.match(readFileSync(`/proc/${broker.pid}/status`, "latin1"), /^Umask:\s*0022$/m);
  assert.equal(statSync(join(broker.folder, "control.sock")).mode & 0o777, 0o600);
});

testBroker("secrets of the environment are not in that of the children", { env: { RINGCAST_API_KEY: "a-secret-key-of-24-bytes", SOMETHING: "else" } }, async (broker) => {
  const { relay, workers } = broker.pids();
  for (const pid of [relay, ...workers]) {
    const environment = readFileSync(`/proc/${pid}/environ`, "latin1");
    assert.doesNotMatch(environment, /a-secret-key/);
    assert.match(environment, /SOMETHING=else/);
  }
  assert.ok(isAlive(broker.pid));
  assert.equal((await run(["status", "-c", broker.configPath])).code, 0);
});
