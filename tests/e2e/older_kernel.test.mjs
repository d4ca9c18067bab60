// What the broker does without on kernels older than this one: Linux 6.1 has none of what is left out here.
import assert from "node:assert/strict";
import { release } from "node:os";
import { run, testBroker } from "./lib/broker.mjs";
import { handedOver, heardInOrder } from "./lib/outlive.mjs";
import { connectRaw } from "./lib/raw.mjs";
import { buildCopy, upgraded } from "./lib/upgrade.mjs";
import { BIN_DIR, freePort, until } from "./lib/util.mjs";

const env = { RINGCAST_KERNEL_WITHOUT: "no_mmap,socket_getsockopt" };

testBroker("the start-up log says what is missing, and the broker works", { env, config: { "server.adopt_crashed": false } }, async (broker) => {
  const line = await until("the line", () => broker.log.find((text) => text.includes("kernel_features_missing")));
  assert.match(line, /6\.5/);
  assert.match(line, /6\.7/);
  const clients = await Promise.all([...Array(200)].map(() => broker.connect()));
  await Promise.all(clients.map((client) => client.subscribe("news")));
  await clients[0].publish("news", "x".repeat(50000));
  for (const client of clients) assert.equal((await client.next("message")).data.length, 50000);
  for (const client of clients) client.terminate();
  const worker = broker.kill("SIGKILL", 0);
  await until("a new worker 0 is there", () => ![undefined, worker].includes(broker.pids().workers[0]));
  const client = await broker.connect();
  await client.subscribe("news");
  await client.publish("news", 1);
  assert.equal((await client.next("message")).data, 1);
});

const trusting = { "http.trusted_proxies": ["127.0.0.1", "::1"], "auth.user_header": "x-user", "limits.max_connections_per_address": 3 };

testBroker("a peer's address is known: header of a trusted proxy, forwarded address, limits", { workers: 1, env, config: trusting }, async (broker) => {
  const headers = (address) => ({ "X-User": "u1", "X-Forwarded-For": address });
  assert.equal((await broker.connect({ headers: headers("192.0.2.1") })).welcome.user, "u1");
  assert.equal((await broker.connect({ headers: headers("192.0.2.1"), localAddress: "127.0.0.2" })).welcome.user, null, "no trusted one");
  // 127.0.0.2 has one; each address is counted for itself.
  for (let i = 0; i < 2; i++) await broker.connect({ localAddress: "127.0.0.2" });
  await assert.rejects(broker.connect({ localAddress: "127.0.0.2" }), /429/);
  for (let i = 0; i < 3; i++) await broker.connect({ localAddress: "127.0.0.3" });
  await assert.rejects(broker.connect({ localAddress: "127.0.0.3" }), /429/);
  for (let i = 0; i < 2; i++) await broker.connect({ headers: headers("192.0.2.1") });
  await assert.rejects(broker.connect({ headers: headers("192.0.2.1") }), /429/);
  await broker.connect({ headers: headers("192.0.2.2") });
});

const port6 = await freePort();
testBroker("PROXY headers are believed by the peer's address, on IPv6 too", {
  workers: 1, env, config: { "http.trusted_proxies": ["127.0.0.9", "::1"], "server.proxy_protocol": true, "server.listen": [`[::1]:${port6}`] }, ready: false,
}, async (broker) => {
  await until("it listens", () => broker.log.some((text) => text.includes("worker_ready")));
  const raw = await connectRaw({ host: "::1", port: port6 });
  raw.write("PROXY TCP6 2001:db8::1 2001:db8::2 4660 80\r\nGET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  assert.equal((await raw.response()).status, 200);
});

testBroker("sockets that cannot be kept: one line says what is lost, and all else is as it was", { env: { RINGCAST_KERNEL_WITHOUT: "vault" } }, async (broker) => {
  const lines = await until("the line", () => ((all) => all.length > 0 && all)(broker.log.filter((text) => text.includes("connections_not_kept"))));
  assert.equal(lines.length, 1, lines.join("\n"));
  assert.match(lines[0], /lost="connections cannot outlive their worker"/);
  const clients = await broker.connectMany([3, 3]);
  for (const client of clients) await client.subscribe("news");
  assert.equal((await broker.metrics())("ringcast_kept_sockets"), 0);
  const worker = broker.kill("SIGKILL", 0);
  for (const client of clients) if (client.worker === 0) await client.closed;
  await until("a new worker 0 is there", () => ![undefined, worker].includes(broker.pids().workers[0]));
  await crashIsARestart(broker);
  await clients[3].publish("news", 1);
  for (const client of clients.slice(3)) assert.equal((await client.next("message")).data, 1);
});

/* Once at start it was said what a crash costs; each one is a restart, and no adoption that has failed. */
async function crashIsARestart(broker) {
  const metrics = await until("a restart is counted", async () => ((now) => now('ringcast_restarts_total{process="worker"}') > 0 && now)(await broker.metrics()));
  assert.equal(metrics('ringcast_restarts_total{process="worker"}'), 1);
  assert.equal(metrics("ringcast_worker_adoptions_total"), 0);
  assert.equal(metrics("ringcast_worker_adoptions_failed_total"), 0);
  assert.deepEqual(broker.log.filter((text) => text.includes("clients_lost")), []);
}

testBroker("a reload that asks for adopting is told what this kernel cannot do", { workers: 1, env: { RINGCAST_KERNEL_WITHOUT: "no_mmap" }, config: { "server.adopt_crashed": false } }, async (broker) => {
  const lines = () => broker.log.filter((text) => text.includes("crashes_not_outlived"));
  assert.deepEqual(lines(), [], "nobody has asked for it");
  broker.writeConfig({ ...broker.config, "server.adopt_crashed": true });
  for (let i = 0; i < 2; i++) assert.equal((await run(["reload", "-c", broker.configPath])).code, 0);
  await until("it is told", () => lines().length > 0);
  await broker.metrics(); // what was written before that has been read
  assert.equal(lines().length, 1);
});

// All that Linux 6.1 lacks and that can be refused here; where it is what this runs on (tests/stress/kernel_6_1.mjs), nothing is pretended.
const [major, minor] = release().split(".").map(Number);
const IS_OLD = major === 6 && minor < 5;
const old = IS_OLD ? {} : { RINGCAST_KERNEL_WITHOUT: "no_mmap,socket_getsockopt,accept_dontwait,fd_install" };

testBroker("like Linux 6.1, with the defaults: each loss is one line; who is killed loses its own clients, and whoever makes way nobody", { env: old, timeout: 120000 }, async (broker) => {
  const lines = (event) => broker.log.filter((text) => text.includes(event));
  const missing = await until("the line", () => lines("kernel_features_missing")[0]);
  for (const since of ["6.5", "6.7", "6.8", "6.10", ...(IS_OLD ? ["6.6"] : [])]) assert.ok(missing.includes(since), `${since} in ${missing}`);
  const lost = await until("that crashes are not outlived", () => ((all) => all.length > 0 && all)(lines("crashes_not_outlived")));
  assert.equal(lost.length, 1, lost.join("\n"));
  assert.match(lost[0], /lost="clients of a worker that dies are disconnected"/);
  assert.deepEqual(lines("connections_not_kept"), [], "the second references are there");

  const clients = await broker.connectMany([20, 20]);
  await Promise.all(clients.map((client) => client.subscribe("news")));
  const ids = clients.map((client) => client.id);
  await until("they are kept", async () => (await broker.metrics())("ringcast_kept_sockets") >= 40);
  const publishers = [0, 1].map((worker) => clients.find((client) => client.worker === worker));
  const sent = [0, 0];
  let ending = false;
  const publishing = Promise.all(publishers.map(async (client, who) => {
    while (!ending) await client.publish("news", { who, i: sent[who]++ });
  }));
  try {
    // In a machine so slow a new program is silent for longer than the command waits; there tests/support/kernel_core looks at the log.
    const upgrades = process.env.RINGCAST_SLOWER ? [] : [() => upgraded(broker, buildCopy()), () => upgraded(broker, BIN_DIR)];
    for (const goes of [() => handedOver(broker, "all"), ...upgrades]) {
      const from = sent.map((count) => count);
      await until("both publish", () => sent.every((count, who) => count > from[who] + 20));
      const before = broker.pids();
      await goes();
      const now = broker.pids();
      assert.ok([0, 1].every((worker) => now.workers[worker] !== before.workers[worker]), "they are others");
    }
  } finally {
    ending = true;
    await publishing;
  }
  await heardInOrder(clients, sent);
  assert.deepEqual(clients.map((client) => client.id), ids);

  const worker = broker.kill("SIGKILL", 0);
  await Promise.all(clients.filter((client) => client.worker === 0).map((client) => client.closed));
  const others = clients.filter((client) => client.worker === 1);
  await others[0].publish("news", "meanwhile");
  for (const client of others) assert.equal((await client.next("message")).data, "meanwhile");
  await until("a new worker 0 is there", () => ![undefined, worker].includes(broker.pids().workers[0]));
  const back = await broker.connectToWorker(0);
  await back.subscribe("news");
  await back.publish("news", "again");
  for (const client of [...others, back]) {
    assert.equal((await client.next("message")).data, "again");
    assert.equal(client.isClosed, false);
  }
  await crashIsARestart(broker);
  assert.equal(lines("crashes_not_outlived").length, 1, "it is said once");
});
