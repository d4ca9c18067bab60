// TLS 1.3 connections outlive their worker: what a handshake agreed on goes to the successor, with records that are half in or half out.
import assert from "node:assert/strict";
import { createServer, connect as connectSocket } from "node:net";
import { testBroker } from "./lib/broker.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { handedOver, heardInOrder } from "./lib/outlive.mjs";
import { CA, certificate } from "./lib/tls.mjs";
import { freePort, random, until, within } from "./lib/util.mjs";

const server = certificate("server");
const port = await freePort();
const secure = (config = {}) => ({ "tls.listen": [`127.0.0.1:${port}`], "tls.certificates": [server.path], ...config });
const connectWss = (broker, options = {}) => broker.connect({ url: `wss://localhost:${port}/ws`, ca: CA, lookup: undefined, family: 4, ...options });

testBroker("every suite, again and again, while everybody publishes: nothing is lost, twice or out of order", { workers: 2, config: secure(), timeout: 120000 }, async (broker) => {
  const suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
  const clients = await Promise.all(Array.from({ length: 12 }, (_, i) => connectWss(broker, { ciphers: suites[i % 3] })));
  clients.push(await broker.connect());
  for (const client of clients) await client.subscribe("news");
  const sent = [0, 0];
  let ending = false;
  const publishing = [clients[0], clients[1]].map(async (client, who) => {
    while (!ending) await client.publish("news", { who, i: sent[who]++, pad: "x".repeat(300) });
  });
  try {
    for (let round = 1; round <= 4; round++) {
      await until("both publish", () => sent.every((count) => count > 3 * round));
      await handedOver(broker, "all");
    }
  } finally {
    ending = true;
  }
  await Promise.all(publishing);
  await heardInOrder(clients, sent);
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_tls_connections"), 12);
  assert.equal(metrics("ringcast_tls_errors_total"), 0);
  for (const client of clients) client.terminate();
  await until("they are gone", async () => (await broker.metrics())("ringcast_tls_connections") === 0);
});

/* What a client sends comes to the broker through here; hold() keeps all but `bytes` of what comes next, go() sends the rest. */
async function startHolder() {
  let left = Infinity;
  let held = [];
  let upstream;
  let told;
  const listener = createServer((socket) => {
    upstream = connectSocket(port, "127.0.0.1");
    upstream.pipe(socket);
    socket.on("error", () => {}).on("close", () => upstream.destroy());
    upstream.on("error", () => {}).on("close", () => socket.destroy());
    socket.on("data", (bytes) => {
      const now = bytes.subarray(0, Math.min(left, bytes.length));
      if (now.length > 0) upstream.write(now);
      if (now.length < bytes.length) {
        held.push(bytes.subarray(now.length));
        told?.();
      }
      left -= now.length;
    });
  });
  await new Promise((done) => listener.listen(0, "127.0.0.1", done));
  return {
    port: listener.address().port,
    hold(bytes) {
      left = bytes;
      return new Promise((done) => (told = done));
    },
    go() {
      left = Infinity;
      for (const bytes of held.splice(0)) upstream.write(bytes);
    },
    stop: () => listener.close(),
  };
}

const ways = { "a planned hand-over": (broker) => handedOver(broker, "all"), "kill -9": (broker) => killWorker(broker, 0) };

for (const [way, replace] of Object.entries(ways)) testBroker(`a record that had come in part is put together by the successor, wherever it was cut: ${way}`, { workers: 1, config: secure({ "limits.max_message_size": "64KiB" }), timeout: 120000 }, async (broker) => {
  const holder = await startHolder();
  const client = await broker.connect({ url: `wss://localhost:${holder.port}/ws`, ca: CA, lookup: undefined, family: 4 });
  await client.subscribe("news");
  const data = "y".repeat(15000);
  for (const cut of [1, 4, 5, 6, 21, 22, 500, 14000]) {
    const holding = holder.hold(cut);
    const published = client.publish("news", `${cut}${data}`, { timeout: 30000 });
    await within(10000, holding, "a part is held");
    for (let i = 0; i < 2; i++) await broker.metrics(); // of the same worker: what came before it asks has been read
    await replace(broker);
    holder.go();
    await published;
    assert.equal((await client.next("message")).data, `${cut}${data}`);
  }
  assert.equal((await broker.metrics())("ringcast_tls_errors_total"), 0);
  client.terminate();
  holder.stop();
});

for (const [way, replace] of Object.entries(ways)) testBroker(`a client that does not read keeps nobody, and gets the rest of its record from the successor: ${way}`, {
  workers: 1, config: secure({ "limits.channel_log": "8MiB" }), timeout: 120000,
}, async (broker) => {
  const slow = await connectWss(broker);
  await slow.subscribe("news");
  slow.socket.pause();
  const publisher = await broker.connect();
  let sent = 0;
  const publish = () => publisher.publish("news", { i: sent++, pad: "z".repeat(8000) });
  await until("it is behind", async () => {
    for (let i = 0; i < 20; i++) await publish();
    return (await broker.metrics())("ringcast_subscriptions_behind") === 1;
  }, { timeout: 20000 });
  await replace(broker);
  await replace(broker);
  for (let i = 0; i < 5; i++) await publish();
  slow.socket.resume();
  for (let i = 0; i < sent; i++) assert.equal((await slow.next("message")).data.i, i);
  await slow.ping();
});

testBroker("clients of TLS 1.2 are told to come again, others stay", { workers: 1, config: secure(), timeout: 60000 }, async (broker) => {
  const old = await connectWss(broker, { maxVersion: "TLSv1.2" });
  const current = await connectWss(broker, { minVersion: "TLSv1.3" });
  await handedOver(broker, "all");
  const closed = await within(10000, old.closed, "the one of TLS 1.2 is closed");
  assert.equal(closed.code, 1012);
  await current.ping();
  const said = () => broker.log.filter((line) => /tls_clients_sent_away count=1/.test(line)).length;
  await until("the log says so", () => said() > 0);
  const again = await connectWss(broker, { maxVersion: "TLSv1.2" });
  await again.ping();
  assert.equal(said(), 1);
});

testBroker("kill -9, again and again, while everybody publishes: few are closed, no stream is wrong, and nothing that was acknowledged is lost", { workers: 2, config: secure(), timeout: 180000 }, async (broker) => {
  const chance = random();
  const suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
  const listeners = await Promise.all(Array.from({ length: 9 }, (_, i) => connectWss(broker, { ciphers: suites[i % 3] })));
  for (const client of listeners) await client.subscribe("news");
  const acknowledged = [];
  let ending = false;
  let closed = 0;
  let done = 0;
  // Who is closed does not know whether its last one has come: it goes on as another one.
  const publishing = Array.from({ length: 3 }, async () => {
    while (!ending) {
      const client = await until("a publisher comes", () => connectWss(broker), { timeout: 30000 });
      const who = acknowledged.push(0) - 1;
      while (!ending && !client.isClosed) {
        try {
          await client.publish("news", { who, i: acknowledged[who], pad: "x".repeat(chance.below(3000)) }, { timeout: 30000 });
        } catch (error) {
          if (!client.isClosed) throw error;
          closed++;
          break;
        }
        acknowledged[who]++;
        done++;
      }
    }
  });
  const failed = Promise.all(publishing);
  failed.catch(() => {});
  const kills = 8;
  for (let i = 0; i < kills; i++) {
    const from = done;
    const more = 10 + chance.below(30);
    await Promise.race([failed, until("there is traffic", () => done >= from + more, { timeout: 60000 })]);
    await killWorker(broker, chance.below(2));
  }
  ending = true;
  await failed;
  const last = await broker.connect();
  await last.publish("news", "the end");
  const living = listeners.filter((client) => !client.isClosed);
  for (const client of living) {
    const next = acknowledged.map(() => 0);
    for (;;) {
      const { data } = await client.next("message", 20000);
      if (data === "the end") break;
      assert.equal(data.i, next[data.who]++, "in order, each once");
    }
    for (const [who, count] of acknowledged.entries()) assert.ok(next[who] === count || next[who] === count + 1, `of ${who} came ${next[who]}, and ${count} were acknowledged`);
  }
  closed += listeners.length - living.length;
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), kills);
  assert.equal(metrics("ringcast_worker_adoptions_failed_total"), 0);
  assert.ok(closed <= 2 * kills, `${closed} were closed by ${kills} kills`);
  assert.equal(metrics("ringcast_tls_errors_total"), 0, "no record was wrong");
});

testBroker("a worker that is killed: its quiet clients of TLS 1.3 stay, again and again, those of TLS 1.2 do not", { workers: 1, config: secure(), timeout: 90000 }, async (broker) => {
  const old = await connectWss(broker, { maxVersion: "TLSv1.2" });
  const over = await connectWss(broker);
  const plain = await broker.connect();
  await over.subscribe("news");
  for (let i = 0; i < 3; i++) {
    await plain.ping(); // quiet: what the worker was doing for the one of TLS is over
    await killWorker(broker, 0);
    await plain.publish("news", i);
    assert.equal((await over.next("message")).data, i);
    await over.ping();
  }
  await within(10000, old.closed, "the one of TLS 1.2 ends");
  await handedOver(broker, "all");
  await plain.ping();
  await killWorker(broker, 0);
  await over.ping();
  assert.equal(plain.isClosed, false);
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_tls_connections"), 1);
  assert.equal(metrics("ringcast_tls_errors_total"), 0);
});
