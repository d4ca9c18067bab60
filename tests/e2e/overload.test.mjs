// Overload: newcomers wait, then are told to come again; clients that are there stay; and it ends by itself.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect as connectTls } from "node:tls";
import { run, testBroker } from "./lib/broker.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { CA, certificate } from "./lib/tls.mjs";
import { delay, freePort, program, until, within } from "./lib/util.mjs";

async function reload(broker, changes) {
  broker.writeConfig({ ...broker.config, ...changes });
  const result = await run(["reload", "-c", broker.configPath]);
  assert.equal(result.code, 0, result.stderr);
}

const overloadOf = async (broker) => JSON.parse((await broker.get("/health")).body).overload;

/* The answer to an upgrade. */
async function upgrade(broker) {
  const raw = await broker.raw();
  raw.write(upgradeRequest("/ws"));
  const answer = await raw.response();
  if (answer.status !== 101) await raw.rest(); // and the connection ends
  raw.end();
  return answer;
}

const overloadLines = (broker) => broker.log.filter((line) => / overload /.test(line)).length;

testBroker("memory: new clients are refused while it is short, those that are there go on", { workers: 2, timeout: 60000 }, async (broker) => {
  const [a, b] = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
  await broker.closeSpares();
  await a.subscribe("room:1");
  assert.equal(await overloadOf(broker), "none");
  await reload(broker, { "overload.max_memory": "1MiB" });
  await until("both workers shed", async () => (await broker.metrics())("ringcast_overload_level") === 4);
  const refused = await upgrade(broker);
  assert.equal(refused.status, 503);
  assert.match(refused.headers["retry-after"], /^[1-5]$/);
  assert.equal(refused.headers.connection, "close");
  assert.match(JSON.parse(refused.body).error.message, /overloaded/);
  const health = await broker.get("/health");
  assert.deepEqual([health.status, JSON.parse(health.body).overload, JSON.parse(health.body).healthy], [200, "shedding", true]);
  await b.publish("room:1", "still here");
  assert.equal((await a.next("message")).data, "still here");
  const metrics = await broker.metrics();
  assert.ok(metrics('ringcast_connections_refused_total{reason="memory"}') >= 1);
  assert.equal(metrics('ringcast_connections_refused_total{reason="turn"}') + metrics('ringcast_connections_refused_total{reason="queue"}'), 0);
  assert.ok(metrics("ringcast_accept_pauses_total") >= 2);
  await until("the log says so", () => broker.log.some((line) => / overload .*level=shedding because="memory"/.test(line)));

  await reload(broker, { "overload.max_memory": "0" });
  await until("it is over", async () => (await overloadOf(broker)) === "none");
  const client = await broker.connect();
  await client.publish("room:1", "new");
  assert.equal((await a.next("message")).data, "new");
  await until("of both workers", async () => (await broker.metrics())("ringcast_overload_level") === 0);
  assert.ok(overloadLines(broker) <= 12, "the log stays readable");
});

testBroker("memory of the host, too", { workers: 1 }, async (broker) => {
  await reload(broker, { "overload.min_available": "4TiB" });
  await until("it sheds", async () => (await overloadOf(broker)) === "shedding");
  assert.equal((await upgrade(broker)).status, 503);
  await reload(broker, { "overload.min_available": "0" });
  await until("it is over", async () => (await overloadOf(broker)) === "none");
  assert.equal((await upgrade(broker)).status, 101);
});

testBroker("turns that take too long: newcomers are put off until the fan-out is through", { workers: 1, timeout: 90000, config: { "overload.max_turn": "4ms", "limits.ping_interval": "0s", namespace: [{ name: "hog", slow_consumer: "skip" }] } }, async (broker) => {
  const audience = await Promise.all(Array.from({ length: 400 }, async () => {
    const raw = await broker.frames("/ws");
    raw.json({ type: "subscribe", channel: "hog:1", id: 1 });
    assert.equal((await raw.message()).type, "subscribed");
    raw.socket.removeAllListeners("data");
    raw.socket.resume(); // read, and thrown away
    return raw;
  }));
  const publisher = await broker.connect();
  // Much for the worker, and little for those who read it in this process: a long turn at least every 200 ms is what is wanted.
  const data = "x".repeat(4096);
  let on = true;
  let published = 0;
  const hog = (async () => {
    while (on) {
      await Promise.all(Array.from({ length: 16 }, () => publisher.publish("hog:1", data)));
      published += 16;
    }
  })();
  let refused;
  try {
    refused = await until("a newcomer is refused", async () => {
      const answer = await upgrade(broker);
      return answer.status === 503 && answer;
    }, { timeout: 30000 });
  } finally {
    on = false;
    await hog;
  }
  assert.match(refused.headers["retry-after"], /^[1-5]$/);
  const metrics = await broker.metrics();
  assert.ok(metrics('ringcast_connections_refused_total{reason="turn"}') >= 1);
  await until("it is over", async () => (await overloadOf(broker)) === "none");
  assert.equal((await upgrade(broker)).status, 101);
  assert.deepEqual(audience.filter(({ ended }) => ended), [], "nobody who was there was sent away");
  assert.ok(published > 0);
});

testBroker("half-open handshakes have their bound, and the newest are refused", { workers: 1, config: { "overload.max_handshakes": 20, "limits.handshake_timeout": "60s" } }, async (broker) => {
  const good = await broker.connect();
  const metrics = await watch(broker);
  assert.equal((await metrics())("ringcast_handshakes"), 0);
  const halfOpen = [];
  for (let i = 0; i < 20; i++) {
    const raw = await broker.raw();
    raw.write("GET /ws HTTP/1.1\r\nHost: ");
    halfOpen.push(raw);
  }
  await until("they are counted", async () => (await metrics())("ringcast_handshakes") === 20);
  for (let i = 0; i < 5; i++) {
    const raw = await broker.raw();
    const answer = await raw.response();
    assert.deepEqual([answer.status, answer.headers["retry-after"]], [503, "1"]);
    await raw.rest();
  }
  assert.equal((await metrics())('ringcast_connections_refused_total{reason="handshakes"}'), 5);
  // A request makes room, a WebSocket too, and so does one that gives up.
  halfOpen[0].write("x\r\n\r\n");
  assert.equal((await halfOpen[0].response()).status, 426);
  halfOpen[1].end();
  halfOpen[2].write("x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  assert.equal((await halfOpen[2].response()).status, 101);
  await until("they are not counted any more", async () => (await metrics())("ringcast_handshakes") === 17);
  assert.equal((await upgrade(broker)).status, 101);
  await good.ping();
  for (const raw of halfOpen) raw.end();
  await until("nothing is left of them", async () => (await metrics())("ringcast_handshakes") === 0);
});

testBroker("many come at once while messages go out: a few at a time, and nobody is refused", { workers: 1, timeout: 60000, config: { "limits.ping_interval": "0s" } }, async (broker) => {
  const [reader, publisher] = [await broker.connect(), await broker.connect()];
  await reader.subscribe("room:1");
  // Whether messages go out is seen every 100 ms; so the first who come may be before that.
  for (let paced = 0, round = 0; paced === 0; round++) {
    assert.ok(round < 10, "they were never paced");
    await publisher.publish("room:1", round);
    assert.equal((await reader.next("message")).data, round);
    const worker = broker.kill("SIGSTOP", 0);
    const crowd = await Promise.all(Array.from({ length: 300 }, () => broker.raw()));
    for (const raw of crowd) raw.write(upgradeRequest("/ws"));
    publisher.send({ type: "publish", channel: "room:1", data: "meanwhile" });
    process.kill(worker, "SIGCONT");
    const answers = await Promise.all(crowd.map((raw) => raw.response({ timeout: 30000 })));
    assert.deepEqual(answers.filter(({ status }) => status !== 101), []);
    assert.equal((await reader.next("message")).data, "meanwhile");
    for (const raw of crowd) raw.end();
    paced = (await broker.metrics())("ringcast_accept_paced_total");
  }
});

// The queue is as long as net.core.somaxconn; where that was raised, more connections than a test should make.
const BACKLOG = Number(readFileSync("/proc/sys/net/core/somaxconn", "latin1"));
const tooLong = BACKLOG > 8192 ? `net.core.somaxconn is ${BACKLOG}` : false;
testBroker("the accept queue fills while the worker does not come to it: who waits in it is refused at once, and that is all", {
  workers: 1, timeout: 90000, skip: tooLong, config: { "server.stuck_timeout": "60s", "server.stuck_kill_timeout": "0s", "limits.ping_interval": "0s" },
}, async (broker) => {
  const [reader, publisher] = [await broker.connect(), await broker.connect()];
  await reader.subscribe("room:1");
  const before = await broker.metrics();
  const worker = broker.kill("SIGSTOP", 0); // anywhere: where it sleeps, or just before, when all who come are in its ring first
  const waiting = [];
  while (waiting.length < BACKLOG * 0.8) waiting.push(...await Promise.all(Array.from({ length: 64 }, () => broker.raw())));
  for (const raw of waiting) raw.write(upgradeRequest("/ws"));
  publisher.send({ type: "publish", channel: "room:1", data: "meanwhile" });
  process.kill(worker, "SIGCONT");
  const answers = await Promise.all(waiting.map((raw) => raw.response({ timeout: 30000 })));
  assert.equal((await reader.next("message")).data, "meanwhile", "who was there is served");
  const refused = answers.filter(({ status }) => status === 503);
  assert.deepEqual(answers.filter(({ status }) => status !== 503 && status !== 101), [], "nobody is forgotten");
  // On a slow machine it may be over, a second after the queue was worked off, before all of those have been read who were in it.
  assert.ok(refused.length > BACKLOG / 4, `${refused.length} of ${answers.length} were refused`);
  for (const { headers } of refused) assert.match(headers["retry-after"], /^[1-5]$/);
  assert.ok(new Set(refused.map(({ headers }) => headers["retry-after"])).size > 1, "they are not to come back together");
  await until("it is over by itself", async () => (await overloadOf(broker)) === "none");
  const metrics = await broker.metrics();
  assert.equal(metrics('ringcast_connections_refused_total{reason="queue"}'), refused.length);
  for (const cause of ["turn", "memory", "full"]) assert.equal(metrics(`ringcast_connections_refused_total{reason="${cause}"}`), 0, cause);
  for (const name of ["errors", "waits"]) assert.equal(metrics(`ringcast_accept_${name}_total`), 0, name);
  const lines = broker.log.filter((line) => / overload /.test(line));
  assert.ok(lines.length >= 1 && lines.length <= 4, lines.join("\n"));
  assert.match(lines[0], /level=shedding because="full accept queue" .*queued=\d{3,} backlog=\d{3,}/);
  for (const raw of waiting) raw.end();
  await until("nothing is left of them", async () => (await broker.metrics())("ringcast_sockets") <= before("ringcast_sockets"));
  assert.equal((await upgrade(broker)).status, 101, "newcomers are welcome again");
  await publisher.publish("room:1", "afterwards");
  assert.equal((await reader.next("message")).data, "afterwards");
});

/* Processor time that a process has had, in milliseconds (100 ticks a second on every Linux that matters here). */
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

// Direct descriptors are no descriptors of the process: RLIMIT_NOFILE cannot make an accept fail (EMFILE), once the ring has its
// table. The table can: it is full (ENFILE) when more connections linger with their 503 than there is room for beyond the last.
/* A standing accept fails where there is no place; one that is asked for leaves who comes in the listener's queue: that is told each
 * time that the table fills, and it fills again when some have gone who read their 503, half a second after it: as often as there are
 * newcomers at the most. */
const CROWD = 200;
for (const { how, env, counter, line, least, most } of [
  { how: "accepts that stand and fail are tried more and more seldom", env: { RINGCAST_KERNEL_WITHOUT: "accept_dontwait" }, counter: "ringcast_accept_errors_total", line: /WARN .* accept_failed listener=0 error="Too many open files in system" again_in_ms=\d+/, least: 1, most: (ms) => 8 + ms / 900 },
  { how: "where no place is free newcomers wait at the listener", env: {}, counter: "ringcast_accept_waits_total", line: /WARN .* accepts_wait listener=0 waiting=\d+ reason="every place of this worker is taken"/, least: 0, most: () => CROWD },
]) testBroker(`${how}, and come in when there is room`, {
  workers: 1, timeout: 90000, env, config: { "server.max_connections": 8, "limits.close_timeout": "60s", "limits.handshake_timeout": "60s", "limits.ping_interval": "0s" },
}, async (broker) => {
  const [reader, publisher] = [await broker.connect(), await broker.connect()];
  await reader.subscribe("room:1");
  const worker = broker.pids().workers[0];
  const descriptors = async (limits) => assert.equal((await program("prlimit", [`--pid=${worker}`, `--nofile=${limits}`])).code, 0);
  const [, ...limits] = /^Max open files +(\d+) +(\d+)/m.exec(readFileSync(`/proc/${worker}/limits`, "latin1"));
  await descriptors(`3:${limits[1]}`);
  assert.equal((await upgrade(broker)).status, 101, "too few descriptors for the process are no matter");
  await descriptors(limits.join(":"));
  const metrics = await watch(broker);
  // They read their 503, and stay.
  const came = performance.now();
  const crowd = [];
  for (let i = 0; i < CROWD; i++) crowd.push(await broker.raw());
  await until("the table is full", async () => (await metrics())(counter) > 0);
  const [errors, cpu] = [(await metrics())(counter), cpuOf(worker)];
  const began = performance.now();
  while (performance.now() - began < 4000) {
    await publisher.publish("room:1", "meanwhile"); // those that are there are served as ever
    assert.equal((await reader.next("message")).data, "meanwhile");
    await delay(100);
  }
  const elapsed = performance.now() - began;
  const failed = (await metrics())(counter) - errors;
  assert.ok(failed >= least && failed <= most(elapsed), `${failed} failed accepts in ${Math.round(elapsed)} ms`);
  assert.ok(cpuOf(worker) - cpu < elapsed / 4, `${cpuOf(worker) - cpu} ms of processor time in ${Math.round(elapsed)} ms`);
  assert.ok(acceptLines(broker).length <= 2 + (performance.now() - came) / 1000, "the log stays readable");
  assert.match(acceptLines(broker)[0], line);
  // There is room: the next ones come in, without anybody's help.
  for (const raw of crowd) raw.end();
  await until("newcomers are welcome again", async () => (await upgrade(broker)).status === 101);
  await until("nothing is left of the others", async () => (await metrics())("ringcast_sockets") <= 4);
  assert.equal((await upgrade(broker)).status, 101);
  await publisher.publish("room:1", "afterwards");
  assert.equal((await reader.next("message")).data, "afterwards");
});

const acceptLines = (broker) => broker.log.filter((line) => / (accept_failed|accepts_wait) /.test(line));

/* /metrics over one connection that stays: a function of a metric's name each time. */
async function watch(broker) {
  const raw = await broker.raw();
  return async () => {
    raw.write("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    const { body } = await raw.response();
    return (name) => Number(new RegExp(`^${name.replace("}", ",")}${name.includes("{") ? "" : "\\{"}worker="0"\\} (\\S+)$`, "m").exec(body)[1]);
  };
}

const tlsPort = await freePort();
testBroker("over TLS newcomers are closed before the handshake that nobody has time for", {
  workers: 1, config: { "tls.listen": [`127.0.0.1:${tlsPort}`], "tls.certificates": [certificate("localhost").path] },
}, async (broker) => {
  const handshake = () => within(10000, new Promise((done) => {
    const socket = connectTls({ host: "127.0.0.1", port: tlsPort, ca: CA, servername: "localhost" });
    socket.once("secureConnect", () => { done("secure"); socket.destroy(); });
    socket.once("error", () => done("closed"));
  }), "a TLS handshake, or its end");
  assert.equal(await handshake(), "secure");
  await reload(broker, { "overload.max_memory": "1MiB" });
  await until("it sheds", async () => (await overloadOf(broker)) === "shedding");
  assert.equal(await handshake(), "closed");
  assert.ok((await broker.metrics())('ringcast_connections_refused_total{reason="memory"}') >= 1);
  await reload(broker, { "overload.max_memory": "0" });
  await until("it is over", async () => (await overloadOf(broker)) === "none");
  assert.equal(await handshake(), "secure");
});
