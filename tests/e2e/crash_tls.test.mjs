// Workers that are killed at every place of input that comes by TLS 1.3: while one record's message is carried out, and the next record is opened. Each
// message is carried out once, and nobody notices anything. Builds with the address sanitizer can be told where (RINGCAST_DIES_FILE, RINGCAST_DIES_WITHIN).
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { testBroker } from "./lib/broker.mjs";
import { killSteps, killWorker } from "./lib/crowd.mjs";
import { openPolling } from "./lib/socketio.mjs";
import { CA, certificate } from "./lib/tls.mjs";
import { SANITIZED, freePort, until } from "./lib/util.mjs";

const folder = mkdtempSync(join(tmpdir(), "ringcast-dies-"));
const file = join(folder, "steps");
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const MARK = "dies here"; // from this message on so many steps are counted
const server = certificate("server");
const port = await freePort();
const config = { "debug.adopt_verify": true, "tls.listen": [`127.0.0.1:${port}`], "tls.certificates": [server.path], "limits.ping_interval": "1h" };
const connectWss = (broker, options = {}) => broker.connect({ url: `wss://localhost:${port}/ws`, ca: CA, lookup: undefined, family: 4, ...options });
const skip = SANITIZED ? false : "only builds with the address sanitizer can do it";
const died = (broker, pid) => broker.log.some((line) => line.includes("child_died") && line.includes(`pid=${pid} `));
const worker = (broker) => broker.pids().workers[0];
const serves = (broker, not) => until("a successor serves", async () => ![undefined, not].includes(worker(broker)) && (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 60000 });

/* What clients send comes to the broker through here, and between hold() and go() at once: their records come in one piece. */
async function startHolder() {
  let held;
  let upstream;
  const listener = createServer((socket) => {
    upstream = connectSocket(port, "127.0.0.1");
    upstream.pipe(socket);
    socket.on("error", () => {}).on("close", () => upstream.destroy());
    upstream.on("error", () => {}).on("close", () => socket.destroy());
    socket.on("data", (bytes) => (held ? held.push(bytes) : upstream.write(bytes)));
  });
  await new Promise((done) => listener.listen(0, "127.0.0.1", done));
  return {
    port: listener.address().port,
    hold: () => (held = []),
    async go() {
      const bytes = Buffer.concat(held);
      held = undefined;
      upstream.write(bytes);
    },
    /* So many records have come. */
    async has(records) {
      const count = () => {
        const bytes = Buffer.concat(held);
        let found = 0;
        for (let at = 0; at + 5 <= bytes.length && at + 5 + bytes.readUInt16BE(at + 3) <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) found++;
        return found;
      };
      await until("a record is there", () => count() >= records, { every: 1 });
    },
    stop: () => listener.close(),
  };
}

/* say(n): some messages, one of which has the mark; when it has returned all of them are answered. */
async function sweep(broker, say) {
  const stride = Number(process.env.CRASH_STRIDE ?? 7);
  let kills = 0;
  let over = false;
  for (const n of killSteps(stride)) {
    if (over) break;
    const before = worker(broker);
    writeFileSync(file, String(n));
    await say(n, `killed after ${n} steps`);
    await broker.metrics().catch(() => undefined); // what comes next
    over = worker(broker) === before && !died(broker, before);
    if (over) await killWorker(broker, 0); // who outlives it dies of nothing later
    await serves(broker, before);
    kills++;
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), kills);
  assert.equal(metrics("ringcast_not_adopted_sockets_total"), 0);
  assert.equal(metrics("ringcast_adopt_differences_total"), 0);
  assert.equal(metrics("ringcast_tls_errors_total"), 0);
  assert.ok(kills > 1, "nobody died of a step");
}

const suites = ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"];
for (const [i, suite] of suites.entries()) testBroker(`messages in records of their own, ${suite}, the ${["first", "second"][i]} of three`, { workers: 1, config, env: { RINGCAST_DIES_FILE: file }, timeout: 400000, skip }, async (broker) => {
  const holder = await startHolder();
  const speaker = await connectWss(broker, { url: `wss://localhost:${holder.port}/ws`, ciphers: suite });
  const listener = await connectWss(broker, { ciphers: suites[1 - i] });
  await listener.subscribe("news");
  await sweep(broker, async (n, at) => {
    const said = ["a", "b", "c"].map((what, at) => ({ what: at === i ? MARK : what, n }));
    holder.hold();
    const failed = [];
    const published = [];
    for (const data of said) {
      published.push(speaker.publish("news", data, { timeout: 60000 }).catch((error) => failed.push(error.message)));
      await holder.has(published.length);
    }
    await holder.go();
    await Promise.all(published);
    assert.deepEqual(failed, [], at);
    for (const data of said) assert.deepEqual((await listener.next("message", 60000)).data, data, at);
  });
  holder.stop();
});

testBroker("POSTs of a client that polls, in records of their own", { workers: 1, config: { ...config, "socketio.path": "/socket.io/", "socketio.ping_interval": "1h", "socketio.ping_timeout": "1h", event: [{ on: "echo", ack: ["{args.0}"] }] }, env: { RINGCAST_DIES_FILE: file }, timeout: 400000, skip }, async (broker) => {
  const session = await openPolling({ port: broker.port, path: "/socket.io/" });
  const holder = await startHolder();
  const socket = connectTls({ host: "127.0.0.1", port: holder.port, servername: "localhost", ca: CA, minVersion: "TLSv1.3" });
  let text = "";
  socket.on("error", () => {}).on("data", (bytes) => (text += bytes)).on("close", () => (text += "closed"));
  const posts = async (at, ...bodies) => {
    text = "";
    if (bodies.length > 1) holder.hold();
    for (const [i, body] of bodies.entries()) {
      socket.write(`POST ${session.url()} HTTP/1.1\r\nHost: a\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      if (bodies.length > 1) await holder.has(i + 1);
    }
    if (bodies.length > 1) await holder.go();
    const answers = () => text.match(/\r\n\r\nok/g) ?? [];
    await until("all are answered", () => text.includes("closed") || answers().length >= bodies.length, { timeout: 60000 });
    assert.equal(answers().length, bodies.length, `${at}: ${text}`);
  };
  await posts("first", "40");
  assert.match((await session.packets(1))[0], /^40/);
  await sweep(broker, async (n, at) => {
    await posts(at, `421["echo","${n}"]`, `422["echo","${MARK}"]`, `423["echo","last"]`);
    assert.deepEqual(await session.packets(3), [`431["${n}"]`, `432["${MARK}"]`, '433["last"]'], at);
  });
  socket.destroy();
  holder.stop();
});

testBroker("at any place, also while records are sealed: who publishes and hears stays unless a record was just being made", { workers: 1, config, env: { RINGCAST_DIES_WITHIN: "1500" }, timeout: 400000, skip }, async (broker) => {
  const adoptions = async () => (await until("it answers", () => broker.metrics().catch(() => undefined), { timeout: 60000 }))("ringcast_worker_adoptions_total");
  let closed = 0;
  let rounds = 0;
  while ((await adoptions()) < Number(process.env.CRASH_TLS_DEATHS ?? 20)) {
    const [speaker, listener] = await Promise.all([0, 1].map(() => until("a client comes", () => connectWss(broker).catch(() => undefined), { timeout: 60000 })));
    await listener.subscribe("news", { timeout: 60000 }).catch(() => undefined);
    let next = 0;
    for (let n = 0; n < 60 && !speaker.isClosed && !listener.isClosed; n++, rounds++) {
      const done = await speaker.publish("news", n, { timeout: 60000 }).then(() => true, () => false);
      if (done) {
        const message = await listener.next("message", 60000).catch(() => undefined);
        if (message === undefined) break;
        assert.equal(message.data, next++, `in order, each once: ${n}; listener ${listener.id}, speaker ${speaker.id}`);
      }
    }
    closed += speaker.isClosed + listener.isClosed;
    speaker.terminate();
    listener.terminate();
  }
  const metrics = await until("it answers", () => broker.metrics().catch(() => undefined), { timeout: 60000 });
  assert.equal(metrics("ringcast_tls_errors_total"), 0, "no record was wrong");
  assert.equal(metrics("ringcast_worker_adoptions_failed_total"), 0);
  const deaths = metrics("ringcast_worker_adoptions_total");
  assert.ok(rounds > 0 && closed <= deaths / 2, `${closed} were closed by ${deaths} deaths`);
});
