// The HTTP hook in full size: 20,000 clients reconnect at once, and each kind of bad backend of tests/e2e/lib/bad_backends.mjs for some
// seconds beside 200 good clients. Asserted: a storm is one call a user and worker; memory is bounded; the breaker opens and closes; good
// clients lose nothing, and their p99 is at most 1.5 times that of before, when the backend was good and was asked by the same clients at the same
// pace, in one of three tries: what else runs on this machine counts, too.
// Environment: RINGCAST_BIN_DIR, STRESS_SECONDS (shared by the kinds; at most 10 s each, at least 4), HOOK_CLIENTS, HOOK=part of a kind's name.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { io as connectClient } from "socket.io-client";
import { BAD, startBadBackend } from "../e2e/lib/bad_backends.mjs";
import { startBackend, table } from "../e2e/lib/backend.mjs";
import { startBroker } from "../e2e/lib/broker.mjs";
import { GoodClients } from "../e2e/lib/good_clients.mjs";
import { connectFrames } from "../e2e/lib/raw.mjs";
import { delay, until, within } from "../e2e/lib/util.mjs";
import { fileURLToPath } from "node:url";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
const CLIENTS = Number(process.env.HOOK_CLIENTS ?? 20000);
const USERS = 10;
const GROWTH = 64 << 20;
const CROWDS = 4; // processes that hold the storm's clients: one may not have so many descriptors
const TRIES = 3;
const kinds = Object.keys(BAD).filter((name) => name.includes(process.env.HOOK ?? ""));
const ms = Math.max(4000, Math.min(10000, (Number(process.env.STRESS_SECONDS ?? 600) * 1000) / kinds.length - 3000));

const rss = (broker) => broker.pids().workers.reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) * 1024, 0);
const metric = async (broker, pattern) => Number(pattern.exec((await broker.get("/metrics")).body)?.[1] ?? 0);

/* A process of the storm: says when its clients are there, and ends, with all of them, when it is told to. */
async function crowd({ port, count, tokens }) {
  const clients = [];
  while (clients.length < count) {
    clients.push(...await Promise.all(Array.from({ length: Math.min(250, count - clients.length) }, (_, i) => connectFrames(port, `/ws?token=${tokens[i % tokens.length]}`, {}, { timeout: 60000 }))));
  }
  process.send(clients.length);
}

async function storm() {
  const backend = await startBackend({ answer: ({ user }) => ({ ttl: 600, client: { seen: user.id } }) });
  const broker = await startBroker({ workers: 2, config: { backend: [table(backend, { calls: ["connect"] })], identity: [{ from: ["query.token"], secret: SECRET }] } });
  try {
    const tokens = Array.from({ length: USERS }, (_, i) => jwt.sign({ sub: `u${i}` }, SECRET, { algorithm: "HS256", expiresIn: "1h" }));
    const began = Date.now();
    const crowds = Array.from({ length: CROWDS }, () => fork(fileURLToPath(import.meta.url), ["crowd"]));
    process.on("exit", () => crowds.forEach((one) => one.kill("SIGKILL")));
    const counts = await within(300000, Promise.all(crowds.map((one, i) => new Promise((done, failed) => {
      one.once("message", done).once("exit", (code) => failed(new Error(`a crowd ended with ${code}`)));
      one.send({ port: broker.port, count: Math.floor(CLIENTS / CROWDS) + (i < CLIENTS % CROWDS ? 1 : 0), tokens });
    }))), "all crowds are there");
    assert.equal(counts.reduce((sum, count) => sum + count), CLIENTS);
    await until("all are there", async () => (await broker.metrics())("ws_connections_total") === CLIENTS, { timeout: 60000 });
    console.log(`hook: ${CLIENTS} clients of ${USERS} users in ${Date.now() - began} ms, ${backend.calls.length} calls`);
    assert.ok(backend.calls.length <= USERS * 2, "one call a user and worker");
    for (const one of crowds) one.removeAllListeners("exit").kill("SIGKILL");
  } finally {
    await broker.destroy();
    await backend.stop();
  }
}

async function client(port) {
  const socket = connectClient(`http://127.0.0.1:${port}/`, { transports: ["websocket"], forceNew: true, reconnection: false });
  await within(10000, new Promise((done, failed) => (socket.once("connect", done), socket.once("connect_error", failed))), "connect");
  return socket;
}

async function bad() {
  const backend = await startBadBackend();
  backend.how = "good";
  const broker = await startBroker({ workers: 2, config: {
    "socketio.path": "/socket.io/", event: [{ on: "ask", ask: "app" }],
    backend: [{ name: "app", url: [`http://127.0.0.1:${backend.port}/`], timeout: "1s" }],
  } });
  try {
    const good = await new GoodClients().start({ port: broker.port, count: 200, rate: 50 });
    const askers = await Promise.all(Array.from({ length: 100 }, () => client(broker.port)));
    const ask = (socket) => within(20000, new Promise((done) => socket.emit("ask", 1, (its) => done(its))), "an answer");
    console.log(`hook: 100 askers, ${ms / 1000} s a kind, ${availableParallelism()} CPUs`);
    console.log(`${"backend".padEnd(24)} ${["answers", "calls", "p99 before", "p99 during", "ratio", "grew KiB", "opened"].map((text) => text.padStart(10)).join(" ")}`);
    const opened = () => metric(broker, /^ringcast_backend_breaker_opened_total\{.*\} (\d+)$/m);
    /* All ask one question after another for a kind's time; how many were answered. */
    const askAll = async (check) => {
      const end = Date.now() + ms;
      let answers = 0;
      await Promise.all(askers.map(async (socket) => {
        while (Date.now() < end) {
          check(await ask(socket));
          answers++;
          await delay(20);
        }
      }));
      return answers;
    };
    /* A kind for its time; how many times as long the good clients wait meanwhile. */
    const ratioOf = async (kind) => {
      backend.how = "good";
      await until("each worker's breaker is closed", async () => (await Promise.all(askers.map(ask))).every((its) => its === 1), { every: 100, timeout: 30000 });
      await good.report();
      await askAll((its) => assert.equal(its, 1, "a good backend's answer"));
      const before = await good.report();
      const [held, asked, openedBefore] = [rss(broker), backend.asked, await opened()];
      backend.how = kind;
      const answers = await askAll((its) => assert.equal(its.error.code, BAD[kind].code, kind));
      const during = await good.report();
      const grew = rss(broker) - held;
      const row = [answers, backend.asked - asked, before.p99.toFixed(2), during.p99.toFixed(2), (during.p99 / before.p99).toFixed(2), Math.round(grew / 1024), (await opened()) - openedBefore];
      console.log(`${kind.padEnd(24)} ${row.map((value) => String(value).padStart(10)).join(" ")}`);
      assert.ok(grew < GROWTH, `${kind}: memory grew by ${grew}`);
      assert.deepEqual([during.disordered, during.gone], [0, 0], "good clients stay, and in order");
      return during.p99 / before.p99;
    };
    for (const kind of kinds) {
      let ratio = Infinity;
      for (let i = 0; i < TRIES && ratio > 1.5; i++) ratio = await ratioOf(kind);
      assert.ok(ratio <= 1.5, `${kind}: p99 is ${ratio} times that of before`);
    }
    for (const socket of askers) socket.close();
    const end = await good.stop();
    assert.deepEqual([end.missing, end.disordered, end.gone], [0, 0, 0], "good clients lost nothing");
  } finally {
    await broker.destroy();
    await backend.stop();
  }
}

if (process.argv[2] === "crowd") {
  process.once("message", crowd);
} else {
  let status = 0;
  try {
    await storm();
    await bad();
    console.log("hook: ok");
  } catch (error) {
    status = 1;
    console.error(error);
  }
  process.exit(status);
}
