// HTTP beside the WebSocket: the page, the client, health, metrics, and what is refused.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startBroker, testBroker } from "./lib/broker.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { ROOT, until } from "./lib/util.mjs";

testBroker("the page, the client, health and metrics are served", {}, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("a:1");
  await client.publish("a:1", 1);
  await client.next("message");
  for (const [path, file, type] of [["/", "page.html", /^text\/html/], ["/ringcast.js", "ringcast.js", /^(text|application)\/javascript/]]) {
    const answer = await broker.get(path);
    assert.equal(answer.status, 200);
    assert.match(answer.headers["content-type"], type);
    assert.equal(answer.body, readFileSync(join(ROOT, "worker/http", file), "utf8"));
    assert.ok(answer.headers.date);
  }
  const health = await broker.get("/health");
  assert.equal(health.status, 200);
  assert.match(health.headers["content-type"], /^application\/json/);
  assert.equal(JSON.parse(health.body).instance, "test");
  for (const path of ["/health/websocket", "/health/redis"]) {
    const answer = await broker.get(path);
    assert.equal(answer.status, 200);
    JSON.parse(answer.body);
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ws_connections_total"), 1);
  assert.equal(metrics("ringcast_publishes_total"), 1);
  assert.equal(metrics("ringcast_subscriptions"), 1);
  assert.equal(metrics("ringcast_publishes_total", 0) + metrics("ringcast_publishes_total", 1), 1);
  assert.match(metrics.text, /^ws_connections_total\{instance="test"\} 1$/m);
  assert.match(metrics.text, /^# TYPE ringcast_publish_to_send_seconds histogram$/m);
  for (const line of metrics.text.split("\n")) assert.match(line, /^(#.*|[a-z_]+(\{[^}]*\})? [0-9.e+-]+(Inf)?|)$/i, line);
  const head = await broker.get("/", { method: "HEAD" });
  assert.deepEqual([head.status, head.body, Number(head.headers["content-length"]) > 1000], [200, "", true]);
});

testBroker("what is not there, not allowed or too large is answered so", {
  config: { "limits.max_request": "4KiB", "limits.max_body": "1KiB", "limits.max_request_headers": 20 },
}, async (broker) => {
  const cases = [
    [404, "/nothing", {}],
    [404, "/ringcast.js/", {}],
    [405, "/health", { method: "DELETE" }],
    [405, "/", { method: "POST", body: "x=1" }],
    [413, "/health", { method: "POST", body: "x".repeat(2000) }],
    [431, "/health", { headers: { "X-Big": "x".repeat(5000) } }],
    [431, "/health", { headers: Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`X-${i}`, "1"])) }],
    [403, "/api/connections", {}],
    [426, "/ws", {}],
    [404, "/wsx", {}],
  ];
  for (const [status, path, options] of cases) {
    const answer = await broker.get(path, options);
    assert.equal(answer.status, status, `${options.method ?? "GET"} ${path}: ${answer.status} ${answer.body}`);
    assert.equal(JSON.parse(answer.body).error.code, status);
    if (status === 405) assert.match(answer.headers.allow, /GET/);
    if (status === 426) assert.match(answer.headers.upgrade, /websocket/);
  }
  for (const [status, text] of [
    [400, "GET / HTTP/1.1\r\n\r\n"], // no Host
    [400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
    [400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
    [400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"],
    [400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"], // a TLS greeting
    [505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"],
  ]) {
    const raw = await broker.raw();
    raw.write(Buffer.from(text, "latin1"));
    assert.equal((await raw.response()).status, status, JSON.stringify(text));
    await raw.rest(); // and the connection ends
  }
  const metrics = await broker.metrics();
  assert.ok(metrics("ringcast_http_errors_total") >= cases.length);
});

testBroker("a connection carries several requests, one after the other and all at once", {}, async (broker) => {
  const raw = await broker.raw();
  const request = (path, more = "") => `GET ${path} HTTP/1.1\r\nHost: test\r\n${more}\r\n`;
  for (let i = 0; i < 3; i++) {
    raw.write(request("/health"));
    const answer = await raw.response();
    assert.equal(answer.status, 200);
    assert.notEqual(answer.headers.connection, "close");
  }
  // Pipelined, in order, an error among them, and cut into pieces.
  const pipeline = request("/ringcast.js") + request("/none") + request("/health") + request("/", "Connection: close\r\n");
  for (let at = 0; at < pipeline.length; at += 7) raw.write(pipeline.slice(at, at + 7));
  const answers = [];
  for (let i = 0; i < 4; i++) answers.push(await raw.response());
  assert.deepEqual(answers.map(({ status }) => status), [200, 404, 200, 200]);
  assert.match(answers[0].headers["content-type"], /javascript/);
  assert.equal(answers[3].headers.connection, "close");
  assert.equal((await raw.rest()).length, 0);
  // The upgrade behind a request of the same connection, with the first frame in the same packet.
  const upgraded = await broker.raw();
  upgraded.write(request("/health") + upgradeRequest("/ws"));
  assert.equal((await upgraded.response()).status, 200);
  assert.equal((await upgraded.response()).status, 101);
  assert.equal((await upgraded.message()).type, "welcome");
  // HTTP/1.0 closes unless asked not to.
  const old = await broker.raw();
  old.write("GET /health HTTP/1.0\r\n\r\n");
  assert.equal((await old.response()).status, 200);
  await old.rest();
});

testBroker("a request that trickles in is answered, one that does not end in time is not waited for", { config: { "limits.handshake_timeout": "600ms" } }, async (broker) => {
  const raw = await broker.raw();
  for (const character of "GET /health HTTP/1.1\r\nHost: x\r\n\r\n") raw.write(character);
  assert.equal((await raw.response()).status, 200);
  const slow = await broker.raw();
  slow.write("GET /health HTTP/1.1\r\nHost: x\r\n");
  await slow.rest();
  const silent = await broker.raw();
  assert.equal((await silent.rest()).length, 0);
  await until("they are counted", async () => (await broker.metrics())("ringcast_handshake_timeouts_total") >= 2);
});

testBroker("pages of other origins may not connect unless allowed", { config: { "http.allowed_origins": ["https://app.example"] } }, async (broker) => {
  const status = async (origin) => {
    const raw = await broker.raw();
    raw.write(upgradeRequest("/ws", { Origin: origin }));
    return (await raw.response()).status;
  };
  assert.equal(await status("https://app.example"), 101);
  assert.equal(await status("https://evil.example"), 403);
  assert.equal(await status(null), 101);
  const own = await startBroker();
  try {
    for (const [origin, wanted] of [[`http://${own.host}`, 101], ["http://evil.example", 403], [null, 101]]) {
      const raw = await own.raw();
      raw.write(upgradeRequest("/ws", { Origin: origin, Host: own.host }));
      assert.equal((await raw.response()).status, wanted, `${origin}`);
    }
    await own.stop();
  } finally {
    await own.destroy();
  }
});
