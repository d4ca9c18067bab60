// The hook with backends that do everything wrong, and with a storm of reconnects: bounded memory, clients that are told, others that do
// not notice. tests/stress/hook.mjs has the same in full size.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { io as connectClient } from "socket.io-client";
import { BAD, startBadBackend } from "./lib/bad_backends.mjs";
import { startBackend, table } from "./lib/backend.mjs";
import { testBroker } from "./lib/broker.mjs";
import { until, within } from "./lib/util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const GROWTH = 160 << 20; // of a worker, with the sanitizer's quarantine

const rss = (broker) => broker.pids().workers.reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) * 1024, 0);
const failures = async (broker) => Object.fromEntries(
  [...(await broker.get("/metrics")).body.matchAll(/^ringcast_backend_failures_total\{.*reason="(\w+)"\} (\d+)$/gm)].map(([, reason, count]) => [reason, Number(count)]));

async function client(port) {
  const socket = connectClient(`http://127.0.0.1:${port}/`, { transports: ["websocket"], forceNew: true, reconnection: false });
  await within(5000, new Promise((done, failed) => (socket.once("connect", done), socket.once("connect_error", failed))), "connect");
  return socket;
}

const ask = (socket, ...args) => within(15000, new Promise((done) => socket.emit(...args, (its) => done(its))), `an answer to ${args[0]}`);
const state = {};

testBroker("a backend that does everything wrong costs bounded memory, its clients are told, others do not wait", {
  workers: 1, timeout: 120000,
  config: async () => {
    state.backend = await startBadBackend();
    return {
      "socketio.path": "/socket.io/", event: [{ on: "ask", ask: "app" }, { on: "here", ack: ["{args.0}"] }],
      backend: [{ name: "app", url: [`http://127.0.0.1:${state.backend.port}/`], timeout: "2s", connections: 4, breaker: "" }],
    };
  },
}, async (broker) => {
  const { backend } = state;
  const askers = await Promise.all(Array.from({ length: 12 }, () => client(broker.port)));
  const other = await client(broker.port);
  backend.how = "good";
  assert.equal(await ask(askers[0], "ask", 7), 7);
  const before = rss(broker);
  for (const [how, { code, reason }] of Object.entries(BAD)) {
    const [asked, counted] = [backend.asked, await failures(broker)];
    backend.how = how;
    const answers = Promise.all(askers.map((socket) => ask(socket, "ask", 1)));
    let waits = 0;
    for (let done = false; !done; waits++) {
      assert.equal(await ask(other, "here", waits), waits);
      done = await Promise.race([answers.then(() => true), new Promise((go) => setTimeout(go, 20, false))]);
    }
    for (const { error } of await answers) assert.equal(error.code, code, how);
    assert.ok(backend.asked - asked <= askers.length, `${how}: each is asked once`);
    assert.ok(((await failures(broker))[reason] ?? 0) > (counted[reason] ?? 0), `${how} counts as ${reason}`);
    assert.ok(rss(broker) < before + GROWTH, `${how}: memory was ${before}, is ${rss(broker)}`);
  }
  backend.how = "good";
  for (const socket of askers) assert.equal(await ask(socket, "ask", 8), 8);
  const { port } = backend;
  await backend.stop();
  for (const { error } of await Promise.all(askers.map((socket) => ask(socket, "ask", 1)))) assert.equal(error.code, 503);
  assert.ok((await failures(broker)).unreachable > 0);
  state.backend = await startBadBackend(port);
  state.backend.how = "good";
  assert.equal(await ask(askers[0], "ask", 9), 9);
  for (const socket of [...askers, other]) socket.close();
  await state.backend.stop();
});

testBroker("a storm of 2,000 reconnects is one call a user and worker", {
  workers: 2, timeout: 180000,
  config: async () => {
    state.hook = await startBackend({ answer: ({ user }) => ({ ttl: 600, client: { seen: user.id } }) });
    return { backend: [table(state.hook, { calls: ["connect"], breaker: "" })], identity: [{ from: ["query.token"], secret: "a-secret-of-at-least-thirty-two-bytes" }] };
  },
}, async (broker) => {
  const USERS = 4;
  const tokens = Array.from({ length: USERS }, (_, i) => jwt.sign({ sub: `u${i}` }, "a-secret-of-at-least-thirty-two-bytes", { algorithm: "HS256", expiresIn: "1h" }));
  let clients = [];
  for (let round = 0; round < 2; round++) {
    for (const each of clients) each.terminate();
    await until("the former ones are gone", async () => (await broker.metrics())("ws_connections_total") === 0);
    clients = [];
    for (let i = 0; i < 1000; i += 250) {
      clients.push(...await Promise.all(Array.from({ length: 250 }, (_, n) => broker.connect({ path: `/ws?token=${tokens[(i + n) % USERS]}` }))));
    }
    for (const [i, each] of clients.entries()) assert.equal(each.welcome.user, `u${i % USERS}`);
    assert.ok(state.hook.calls.length <= USERS * 2, `${state.hook.calls.length} calls`);
  }
  for (const each of clients) each.terminate();
  await state.hook.stop();
});
