// A log that nobody reads holds nobody up: lines are dropped and counted.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, fstatSync, ftruncateSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { Broker, startBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

/* A pipe that is full: { fd } to give away, drain() reads what is in it. */
function fullPipe(folder) {
  const path = join(folder, "log");
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const fd = openSync(path, constants.O_WRONLY);
  const filler = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const block = Buffer.alloc(4096, "\n");
  const again = (error) => assert.equal(error.code, "EAGAIN");
  try {
    for (;;) writeSync(filler, block);
  } catch (error) {
    again(error);
  }
  closeSync(filler);
  return {
    fd,
    drain() {
      const buffer = Buffer.alloc(65536);
      let text = "";
      try {
        for (let bytes; (bytes = readSync(reader, buffer)) > 0; ) text += buffer.toString("latin1", 0, bytes);
      } catch (error) {
        again(error);
      }
      return text;
    },
    close() {
      closeSync(reader);
      closeSync(fd);
    },
  };
}

/* A broker with a full log pipe as standard error, and as standard output too. */
function testFullLog(name, options, body) {
  test(name, async () => {
    const folder = mkdtempSync(join(tmpdir(), "ringcast-e2e-log-"));
    const pipe = fullPipe(folder);
    let broker;
    try {
      broker = await startBroker({ ...options, stdio: ["ignore", pipe.fd, pipe.fd] });
      await body(broker, pipe);
      await broker.stop();
    } finally {
      await broker?.destroy();
      pipe.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

testFullLog("nobody reads the log: it starts, serves, restarts children, reloads and ends", {
  config: { "log.level": "debug" }, env: { RINGCAST_QUICKSTART: "1" },
}, async (broker, pipe) => {
  const [a, b] = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
  await a.subscribe("x");
  // What clients can have logged at this level.
  for (let i = 0; i < 200; i++) {
    const bad = await broker.raw();
    bad.write("nonsense\r\n\r\n");
    if (i % 50 === 49) {
      await b.publish("x", i);
      assert.equal((await a.next("message")).data, i);
    }
  }
  const dropped = async () => (await broker.metrics())("ringcast_log_dropped_total");
  const before = await until("lines are counted", dropped);
  broker.writeConfig({ ...broker.config, "limits.max_channels": 7 });
  process.kill(broker.pid, "SIGHUP");
  await until("the reload is counted", async () => (await broker.metrics())('ringcast_reloads_total{result="applied"}') === 1);
  const relay = broker.kill("SIGKILL", "relay");
  await until("there is another relay", () => ![0, relay].includes(broker.pids().relay));
  await broker.isReady();
  await b.publish("x", "after");
  assert.equal((await a.next("message")).data, "after");
  await until("more are dropped", async () => (await dropped()) > before);
  // What was given to it is still what it was: others who share it are not surprised.
  assert.equal(parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${pipe.fd}`, "latin1"))[1], 8) & constants.O_NONBLOCK, 0);

  // Somebody reads again: every process that lost lines says so, though it has nothing else to say.
  let text = "";
  for (const who of ["acceptor", "relay", "worker/0", "worker/1"]) {
    const told = new RegExp(`^\\S+ WARN ${who} log_dropped lines=[1-9]\\d*$`, "m");
    await until(`${who} says that lines were dropped`, () => told.test((text += pipe.drain())));
  }
});

test("under systemd each line begins with its priority for the journal, and nowhere else", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-journal-"));
  const journal = join(folder, "journal");
  const fd = openSync(journal, "w");
  const { dev, ino } = fstatSync(fd);
  for (const [stream, begins] of [[`${dev}:${ino}`, /^<[3467]>\d{4}-/], ["1:1", /^\d{4}-/]]) {
    ftruncateSync(fd);
    const broker = await new Broker().start({ workers: 1, env: { JOURNAL_STREAM: stream }, stdio: ["ignore", "pipe", openSync(journal, "a")] });
    await broker.stop();
    const lines = readFileSync(journal, "utf8").split("\n").filter(Boolean);
    assert.ok(lines.some((line) => line.includes(" worker_ready ")) && lines.some((line) => line.includes(" relay_started ")));
    for (const line of lines) assert.match(line, begins);
    if (begins.source.startsWith("^<")) assert.ok(lines.some((line) => /^<6>.* INFO /.test(line)));
  }
  closeSync(fd);
  rmSync(folder, { recursive: true });
});
