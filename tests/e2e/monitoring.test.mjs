// What monitoring reads: /metrics as JSON, /health/database, and the rules and the dashboard in deploy/prometheus.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { testBroker } from "./lib/broker.mjs";
import { certificate } from "./lib/tls.mjs";
import { ROOT, freePort, program, until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const config = {
  "server.adopt_crashed": false, // what becomes of clients that are lost with their worker
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
  const { websocket: sent } = await until("those that came to the wrong worker have gone", async () => {
    const now = await json(broker);
    return now.websocket.totalConnections === 9 && now;
  });
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
  }, { every: 100 });
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
  assert.match(metrics.text, /^ringcast_namespace_subscriptions\{namespace="portfolio"\} 8$/m);
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

/* --- deploy/prometheus --- */

const RULES = join(ROOT, "deploy/prometheus/ringcast.rules.yml");
const RULE_TESTS = join(ROOT, "tests/prometheus/rules.test.yml");
const rules = readFileSync(RULES, "utf8");
const dashboard = JSON.parse(readFileSync(join(ROOT, "deploy/prometheus/dashboard.json"), "utf8"));
const named = (text, word) => [...text.matchAll(new RegExp(`^ *-? *${word}: (\\S+)$`, "gm"))].map(([, name]) => name);

/* The expressions of the rules: on the line itself, or indented below a "|". */
const ruleExpressions = () => [...rules.matchAll(/^( *)expr: (?:\|\n((?:\1 +.*\n)+)|(.*)$)/gm)].map(([, , block, line]) => block ?? line);
/* Those of the dashboard as Prometheus gets them: Grafana fills its variables in. */
const panelExpressions = () => dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*")));

const WORDS = new Set(["and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"]);
/* The metrics that an expression names: words that are no function, keyword or label. */
const metricsOf = (expression) => [...expression
  .replace(/\{[^}]*\}/g, " ").replace(/\[[^\]]*\]/g, " ").replace(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, " ")
  .matchAll(/(?<![\w.:])[a-zA-Z_:][\w:]*(?!\w|:|\s*\()/g)].map(([name]) => name).filter((name) => !WORDS.has(name));

const promtool = async (...args) => {
  const { code, stdout, stderr } = await program("promtool", args);
  assert.equal(code, 0, `promtool ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
};

test("S4.13: promtool finds rules and configuration right, and each alert fires when it should and only then", async () => {
  await promtool("check", "config", join(ROOT, "deploy/prometheus/prometheus.yml"));
  await promtool("check", "rules", RULES);
  await promtool("test", "rules", RULE_TESTS);
  // Every alert is seen to fire, and seen not to.
  const cases = readFileSync(RULE_TESTS, "utf8");
  const alerts = named(rules, "alert");
  assert.ok(alerts.length >= 14);
  for (const alert of alerts) {
    assert.match(cases, new RegExp(`alertname: ${alert}\\n *exp_alerts:\\n`), `${alert} fires in a test`);
    assert.match(cases, new RegExp(`alertname: ${alert}\\n *exp_alerts: \\[\\]`), `${alert} does not fire in a test`);
  }
});

test("S4.13: every critical and warning threshold of the source has its alert", () => {
  const alert = (name) => {
    const [, block] = rules.split(`- alert: ${name}\n`);
    assert.ok(block, name);
    const [, threshold] = /expr: .*?([<>=]+ [\d.]+)$/m.exec(block);
    const [, severity] = /severity: (\w+)/.exec(block);
    return `${severity} ${threshold}`;
  };
  const wanted = {
    RingcastErrorRateCritical: "critical > 0.05", RingcastMemoryCritical: "critical > 0.9", RingcastCpuCritical: "critical > 0.9",
    RingcastRedisConnectionFailing: "critical > 0", RingcastSessionBackendFailing: "critical > 0",
    RingcastErrorRateHigh: "warning > 0.01", RingcastMemoryHigh: "warning > 0.8", RingcastCpuHigh: "warning > 0.7", RingcastLatencyHigh: "warning > 0.5",
    RingcastDown: "critical == 0",
  };
  for (const [name, threshold] of Object.entries(wanted)) assert.equal(alert(name), threshold, name);
});

test("S4.13: the dashboard is one, and promtool finds each of its expressions right", async () => {
  assert.ok(dashboard.panels.length >= 12 && dashboard.schemaVersion > 30 && dashboard.uid === "ringcast");
  assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
  const expressions = panelExpressions();
  for (const expression of expressions) assert.ok(!expression.includes("$"), `only known variables: ${expression}`);
  const folder = mkdtempSync(join(tmpdir(), "ringcast-e2e-rules-"));
  const check = async (list) => {
    const path = join(folder, "dashboard.yml");
    const records = list.map((expr, i) => `      - record: panel:${i}\n        expr: ${JSON.stringify(expr)}\n`).join("");
    writeFileSync(path, `groups:\n  - name: dashboard\n    rules:\n${records}`);
    return promtool("check", "rules", path);
  };
  try {
    assert.match(await check(expressions), new RegExp(`${expressions.length} rules found`));
    await assert.rejects(check([...expressions, "rate(ws_connections_total)"]), /expected type range vector/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/* Rows of metrics.def: [id, who counts]. */
function rowsOfMetrics() {
  const table = readFileSync(join(ROOT, "common/metrics/metrics.def"), "utf8");
  const ids = [...table.matchAll(/^RC_(?:COUNTER|GAUGE)\(\s*(\w+),/gm)].map(([, id]) => id);
  const writers = new Map(ids.map((id) => [id, "WORKERS"]));
  for (const [, writer, first, last] of table.matchAll(/^RC_WRITTEN_BY\((\w+), (\w+), (\w+)\)$/gm)) {
    assert.ok(ids.includes(first) && ids.includes(last) && ids.indexOf(first) <= ids.indexOf(last), `${first} to ${last}`);
    for (const id of ids.slice(ids.indexOf(first), ids.indexOf(last) + 1)) writers.set(id, writer);
  }
  return [...writers];
}

test("who counts what is as metrics.def says: each row is named in the sources of those processes", () => {
  const sources = (folder) => readdirSync(join(ROOT, folder), { recursive: true }).filter((name) => /\.[ch]$/.test(name)).map((name) => readFileSync(join(ROOT, folder, name), "utf8")).join("\n");
  const text = { WORKERS: sources("worker"), RELAY: sources("relay"), ACCEPTOR: sources("acceptor"), common: sources("common") };
  for (const [id, writer] of rowsOfMetrics()) {
    const named = (process) => new RegExp(`\\bRC_METRIC_${id}\\b`).test(text[process]);
    if (writer === "ALL") assert.ok(["WORKERS", "RELAY", "ACCEPTOR", "common"].filter(named).length >= 1, `${id} is counted`);
    else assert.ok(named(writer) || named("common"), `${id}: RC_WRITTEN_BY says ${writer}, and they do not name it`);
  }
});

testBroker("S4.13: every metric that a rule or the dashboard names is one of a real broker", {
  workers: 2, config: async () => ({ ...config, "tls.listen": [`127.0.0.1:${await freePort()}`], "tls.certificates": [certificate("localhost").path] }),
}, async (broker) => {
  assert.deepEqual(metricsOf('sum by (a, b) (rate(x_total{c="d"}[5m])) / clamp_min(y:z, 1e-9) > 0.5 and z'), ["x_total", "y:z", "z"], "what is looked for");
  const { text } = await broker.metrics();
  const there = new Set([...text.matchAll(/^([a-zA-Z_:][\w:]*)[{ ]/gm)].map(([, name]) => name));
  const recorded = new Set(named(rules, "record"));
  const expressions = [...ruleExpressions(), ...panelExpressions()];
  assert.equal(ruleExpressions().length, named(rules, "alert").length + recorded.size, "every rule's expression was found");
  const names = new Set(expressions.flatMap(metricsOf));
  assert.ok(names.size > 30);
  // `up` is Prometheus' own.
  assert.deepEqual([...names].filter((name) => name !== "up" && !there.has(name) && !recorded.has(name)), []);
  for (const record of recorded) assert.ok(names.has(record), `${record} is used`);
  // And Prometheus reads all of it: names, types, labels, units as it likes them.
  const lint = await program("promtool", ["check", "metrics"], { input: text });
  const known = /^(ws_connections_total|ws_redis_latency_ms) /; // the names of requirements.md
  const findings = (lint.stdout + lint.stderr).split("\n").filter(Boolean);
  assert.deepEqual(findings.filter((line) => !known.test(line)), [], "nothing but advice about names");
});
