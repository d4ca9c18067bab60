// SIGTERM: clients are sent away, each with its own delay, everything is flushed, exit code 0. A second one: now.
import assert from "node:assert/strict";
import { connect as connectSocket } from "node:net";
import { isAlive, run, testBroker } from "./lib/broker.mjs";
import { SLOWER, until, within } from "./lib/util.mjs";

/* Is a new connection taken? */
function isOpen(port) {
  return new Promise((done) => {
    const socket = connectSocket({ host: "127.0.0.1", port });
    socket.once("connect", () => (socket.destroy(), done(true)));
    socket.once("error", () => done(false));
  });
}

testBroker("who is not read while an operation waits is sent away like everybody else", { workers: 1, timeout: 60000, config: { "limits.close_timeout": "1m", "limits.message_rate": 1 } }, async (broker) => {
  const subscriber = await broker.connect();
  const talker = await broker.connect();
  broker.kill("SIGSTOP", "relay");
  subscriber.send([{ type: "subscribe", channel: "c" }, { type: "unsubscribe", channel: "c" }]);
  for (let i = 0; i < 20; i++) talker.send({ type: "ping" });
  await until("neither is read", async () => {
    const metrics = await broker.metrics();
    return metrics("ringcast_read_pauses_total") > 0 && metrics("ringcast_rate_delays_total") > 0;
  });
  process.kill(broker.pid, "SIGTERM");
  const closes = await within(10000, Promise.all([subscriber.closed, talker.closed]), "both are closed");
  assert.deepEqual(closes.map(({ code }) => code), [1012, 1012]);
  broker.kill("SIGCONT", "relay");
  assert.deepEqual(await broker.exited, { code: 0, signal: null });
});

testBroker("1012 with delays spread over drain_timeout, everything flushed, exit 0", { workers: 3, timeout: 60000, config: { "server.drain_timeout": "3s" } }, async (broker) => {
  const clients = await broker.connectMany([30, 30, 30]);
  await Promise.all(clients.map((client) => client.subscribe("news")));
  const health = await broker.raw();
  health.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  assert.equal((await health.response()).status, 200);
  // What was answered before is delivered before the close.
  const count = 200;
  for (let n = 0; n < count - 1; n++) clients[0].send({ type: "publish", channel: "news", data: n, id: `n${n}` });
  await clients[0].publish("news", count - 1); // what another worker's client says before that may come first
  await clients[1].publish("news", "last");
  const { all } = broker.pids();
  const start = performance.now();
  process.kill(broker.pid, "SIGTERM");
  const closedAt = [];
  const closes = await within(10000, Promise.all(clients.map((client) => client.closed.then((close) => (closedAt.push(performance.now() - start), close)))), "all are closed");
  const delays = closes.map(({ code, reason }) => {
    assert.equal(code, 1012, reason);
    const parsed = JSON.parse(reason);
    assert.deepEqual(Object.keys(parsed), ["reconnect_ms"]);
    assert.ok(Number.isInteger(parsed.reconnect_ms) && parsed.reconnect_ms >= 0 && parsed.reconnect_ms <= 60000, reason);
    return parsed.reconnect_ms;
  });
  assert.ok(new Set(delays).size > clients.length / 3, `delays differ: ${delays}`);
  assert.ok(Math.max(...delays) - Math.min(...delays) > 1000, `and are spread over drain_timeout: ${Math.min(...delays)} to ${Math.max(...delays)}`);
  for (const client of clients) {
    const got = client.inbox.filter(({ type }) => type === "message").map(({ data }) => data);
    assert.equal(got.at(-1), "last");
    assert.equal(got.length, count + 1);
  }
  const exit = await within(8000, broker.exited, "the broker ends");
  assert.deepEqual(exit, { code: 0, signal: null });
  assert.ok(performance.now() - start < (3000 + 4500) * SLOWER, `drain took ${(performance.now() - start).toFixed(0)} ms of 3000`);
  assert.deepEqual(all.filter(isAlive), []);
});

testBroker("while it drains nobody new is taken and a second SIGTERM ends it now", { workers: 2, timeout: 60000, config: { "server.drain_timeout": "10m", "limits.close_timeout": "10m" } }, async (broker) => {
  // Clients that are sent away and do not go.
  const raws = [];
  for (let i = 0; i < 6; i++) raws.push(await broker.frames("/ws"));
  process.kill(broker.pid, "SIGTERM");
  await until("it drains", async () => (await broker.status()).state === "draining");
  await until("nobody new is taken", async () => {
    if (!(await isOpen(broker.port))) return true;
    const raw = await broker.raw();
    raw.write("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    return (await raw.response({ timeout: 1000 })).status === 503;
  });
  assert.ok(!broker.exit, "it waits for its clients");
  const start = performance.now();
  process.kill(broker.pid, "SIGTERM");
  const exit = await within(20000, broker.exited, "the broker ends");
  assert.ok(performance.now() - start < 10000 * SLOWER, `it took ${(performance.now() - start).toFixed(0)} ms`);
  assert.equal(exit.signal, null);
  assert.equal(exit.code, 0);
});

testBroker("ringcast stop does the same and tells when it has ended", { config: { "server.drain_timeout": "200ms" } }, async (broker) => {
  const client = await broker.connect();
  const result = await run(["stop", "-c", broker.configPath]);
  assert.equal(result.code, 0, result.stderr);
  assert.equal((await client.closed).code, 1012);
  assert.deepEqual(await within(5000, broker.exited, "the broker ends"), { code: 0, signal: null });
});

testBroker("the reference client's view: it comes back after the delay that it was told", { workers: 1, config: { "server.drain_timeout": "1s" } }, async (broker) => {
  const { default: Ringcast } = await import("../../worker/http/ringcast.js");
  const { WebSocket } = await import("ws");
  const client = new Ringcast(broker.url, { WebSocket });
  const got = [];
  await client.subscribe("a", (data) => got.push(data));
  await client.publish("a", new Uint8Array([1, 2]));
  const closed = new Promise((done) => client.on("close", done));
  try {
    process.kill(broker.pid, "SIGTERM");
    const { code, reconnectMs, reason } = await within(8000, closed, "it is sent away");
    assert.deepEqual([code, reconnectMs], [1012, JSON.parse(reason).reconnect_ms]);
    assert.equal(client.state, "waiting");
    await assert.rejects(client.publish("a", 1, { timeout: 50 }), { reason: "timeout" });
  } finally {
    client.close();
  }
  assert.deepEqual(got.map((data) => [...data]), [[1, 2]]);
  await within(8000, broker.exited, "the broker ends");
});
