// What monitoring reads: /metrics as JSON, /health/database, and the rules and the dashboard in deploy/prometheus.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const config = {
  "http.api_keys": [KEY], "debug.user_query": "user",
  namespace: [{ name: "portfolio" }, { name: "trades" }, { name: "watchlist" }],
};
const json = async (broker) => {
  const { status, headers, body } = await broker.get("/metrics", { headers: { Accept: "application/json" } });
  assert.equal(status, 200);
  assert.match(headers["content-type"], /^application\/json/);
  return JSON.parse(body);
};

testBroker("S4.8: /metrics as JSON is the source's object, true to the second, of all processes", { config, workers: 3 }, async (broker) => {
  const before = await json(broker);
  assert.deepEqual(Object.keys(before), ["websocket", "performance", "resources"]);
  assert.deepEqual(before.websocket.subscriptions, { default: 0, portfolio: 0, trades: 0, watchlist: 0 });
  // Three clients of two users on each worker.
  const clients = [...(await broker.connectMany([1, 1, 1], { path: "/ws?user=1" })), ...(await broker.connectMany([1, 1, 1], { path: "/ws?user=2" })), ...(await broker.connectMany([1, 1, 1]))];
  for (const [i, client] of clients.entries()) {
    await client.subscribe(`portfolio:${i}`);
    await client.subscribe("trades:all");
    if (i < 4) await client.subscribe("watchlist:AAPL");
  }
  await clients[0].unsubscribe("watchlist:AAPL");
  const { websocket: sent } = await json(broker);
  assert.deepEqual(sent.subscriptions, { default: 6 /* user:1 and user:2 */, portfolio: 9, trades: 9, watchlist: 3 });
  assert.deepEqual([sent.totalConnections, sent.userConnections, sent.uniqueUsers, sent.totalSubscriptions], [9, 6, 2, 27]);
  // Counts are exact at once: each publish is one message in and nine out.
  const start = performance.now();
  for (let i = 0; i < 40; i++) await clients[i % 9].publish("trades:all", i);
  await Promise.all(clients.map(async (client) => {
    for (let i = 0; i < 40; i++) await client.next("message");
  }));
  for (let i = 0; i < 5; i++) await clients[i].refused(400, { type: "subscribe", channel: "" });
  const { websocket: now } = await json(broker);
  assert.equal(now.events.received - sent.events.received, 45);
  assert.ok(now.events.emitted - sent.events.emitted >= 360, "the nine got forty each");
  // What is counted over a time follows within a second or two.
  const seen = await until("the last seconds say so", async () => {
    const { performance: last } = await json(broker);
    return last.errorRate === 5 && last.throughput * 10 >= 400 && last.latency.p50 > 0 && last;
  }, { every: 100, timeout: 3000 });
  assert.ok(performance.now() - start < 60000, "within the minute that it is about");
  assert.ok(seen.latency.p50 <= seen.latency.p95 && seen.latency.p95 <= seen.latency.p99 && seen.latency.p99 < 5000, JSON.stringify(seen));
  const { resources } = await json(broker);
  for (const size of Object.values(resources.memory)) assert.match(size, /^\d+\.\d MB$/);
  assert.deepEqual(Object.keys(resources.memory), ["heapUsed", "heapTotal", "rss"]);
  assert.ok(parseFloat(resources.memory.rss) > 5 && resources.cpu >= 0 && resources.cpu < 100 * 64 && resources.uptime < 120);
  // Every worker says the same.
  for (let i = 0; i < 6; i++) assert.deepEqual((await json(broker)).websocket.subscriptions, sent.subscriptions);
  clients[3].terminate();
  await until("who is gone is not counted", async () => {
    const { websocket } = await json(broker);
    return websocket.totalConnections === 8 && websocket.subscriptions.watchlist === 2;
  });
  // Namespaces of another order: the same subscriptions, under the same names.
  broker.writeConfig({ ...broker.config, namespace: [{ name: "watchlist" }, { name: "portfolio" }] });
  process.kill(broker.pid, "SIGHUP");
  await until("the kinds are those of the new file", async () => {
    const { subscriptions } = (await json(broker)).websocket;
    assert.deepEqual(subscriptions, { default: 5 + 8, watchlist: 2, portfolio: 8 });
    return true;
  });
  const metrics = await broker.metrics();
  assert.match(metrics.text, /^ringcast_namespace_subscriptions\{instance="test",namespace="portfolio"\} 8$/m);
  // A worker that dies takes its own along and nothing else.
  const died = clients.filter((client, i) => client.worker === 1 && i !== 3).length;
  broker.kill("SIGKILL", 1);
  await until("its subscriptions are gone", async () => (await json(broker)).websocket.subscriptions.portfolio === 8 - died);
  await broker.isReady();
});

testBroker("S4.8: an instance without session backends says so", { config, workers: 1 }, async (broker) => {
  const { status, headers, body } = await broker.get("/health/database");
  assert.equal(status, 200);
  assert.match(headers["content-type"], /^application\/json/);
  const { timestamp, ...rest } = JSON.parse(body);
  assert.deepEqual(rest, { healthy: true, status: "not_configured", backends: [] });
  assert.ok(Math.abs(Date.now() - timestamp) < 60000);
});
