// HTTP beside the WebSocket: the page, the client, health, metrics, and what is refused.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { run, startBroker, testBroker } from "./lib/broker.mjs";
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
  for (const line of metrics.text.split("\n")) assert.match(line, /^(#.*|[a-z_][a-z0-9_]*(\{[^}]*\})? [0-9.e+-]+(Inf)?|)$/i, line);
  const head = await broker.get("/", { method: "HEAD" });
  assert.deepEqual([head.status, head.body, Number(head.headers["content-length"]) > 1000], [200, "", true]);
});

testBroker("the client is kept by caches and compressed", {}, async (broker) => {
  const ask = (path, headers) => broker.raw().then(async (raw) => {
    raw.write(`GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`);
    return raw.response();
  });
  for (const [path, file, age] of [["/ringcast.js", "ringcast.js", /^public, max-age=[1-9]\d*$/], ["/", "page.html", /^public, max-age=0$/]]) {
    const source = readFileSync(join(ROOT, "worker/http", file));
    const plain = await ask(path, {});
    const packed = await ask(path, { "Accept-Encoding": "gzip, deflate, br" });
    assert.deepEqual([plain.status, packed.status, packed.headers["content-encoding"], plain.headers["content-encoding"]], [200, 200, "gzip", undefined]);
    assert.deepEqual(gunzipSync(packed.bytes), source);
    assert.ok(packed.bytes.length * 2 < source.length, `${packed.bytes.length} of ${source.length} bytes`);
    for (const { headers } of [plain, packed]) {
      assert.match(headers["cache-control"], age);
      assert.match(headers.vary, /Accept-Encoding/);
      assert.match(headers.etag, /^"[0-9a-f]{16}(-gzip)?"$/);
    }
    assert.notEqual(plain.headers.etag, packed.headers.etag);
    for (const [etag, more, status] of [[plain.headers.etag, {}, 304], [packed.headers.etag, { "Accept-Encoding": "gzip" }, 304], [packed.headers.etag, {}, 200], [`"x", W/${plain.headers.etag}`, {}, 304]]) {
      const again = await ask(path, { "If-None-Match": etag, ...more });
      assert.equal(again.status, status, `${path} ${etag}`);
      if (status === 304) assert.deepEqual([again.body.length, again.headers["content-length"], again.headers.etag], [0, undefined, etag.replace(/^.*W\//, "")]);
    }
  }
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

testBroker("a request that trickles in is answered, one that does not end in time is not waited for", { config: { "limits.handshake_timeout": "3s" } }, async (broker) => {
  const raw = await broker.raw();
  for (const character of "GET /health HTTP/1.1\r\nHost: x\r\n\r\n") raw.write(character);
  assert.equal((await raw.response()).status, 200);
  const slow = await broker.raw();
  slow.write("GET /health HTTP/1.1\r\nHost: x\r\n");
  await slow.rest();
  const silent = await broker.raw();
  assert.equal((await silent.rest()).length, 0);
  await until("they are counted", async () => (await broker.metrics())('ringcast_timeouts_total{reason="handshake"}') >= 2);
});

testBroker("pages of other origins may not connect unless allowed", { config: { "http.allowed_origins": ["https://app.example", "file://", "capacitor://localhost"] } }, async (broker) => {
  const status = async (origin) => {
    const raw = await broker.raw();
    raw.write(upgradeRequest("/ws", { Origin: origin }));
    return (await raw.response()).status;
  };
  for (const origin of ["https://app.example", "https://APP.example:443", "wss://app.example", "file://", "capacitor://localhost"]) assert.equal(await status(origin), 101, origin);
  for (const origin of ["null", "ionic://localhost", "http://app.example"]) assert.equal(await status(origin), 403, origin);
  assert.equal(await status("https://evil.example"), 403);
  assert.equal(await status(null), 101);
  const own = await startBroker();
  try {
    for (const [origin, wanted] of [[`http://${own.host}`, 101], [`ws://${own.host}`, 101], ["ws://evil.example", 403], ["file://", 403], ["http://evil.example", 403], [null, 101]]) {
      const raw = await own.raw();
      raw.write(upgradeRequest("/ws", { Origin: origin, Host: own.host }));
      assert.equal((await raw.response()).status, wanted, `${origin}`);
    }
    await own.stop();
  } finally {
    await own.destroy();
  }
});

const KEY = "cors-key-1";
const PAGE = "https://app.example";

/* The answer's CORS lines, as [allow-origin, methods, headers, credentials, max-age], and its Vary. */
function corsOf({ headers }) {
  const of = (name) => headers[`access-control-${name}`];
  return [of("allow-origin"), of("allow-methods"), of("allow-headers"), of("allow-credentials"), of("max-age")];
}

testBroker("pages of allowed origins may use the API, those of others may not", {
  config: {
    "http.allowed_origins": [PAGE, "https://*.shop.example"], "http.api_keys": [KEY],
    "http.cors_credentials": true, "http.cors_max_age": "1m",
  },
}, async (broker) => {
  const preflight = (path, origin, method, headers) => broker.get(path, {
    method: "OPTIONS",
    headers: { Origin: origin, "Access-Control-Request-Method": method, ...(headers ? { "Access-Control-Request-Headers": headers } : {}) },
  });
  const asked = await preflight("/api/publish", PAGE, "POST", "authorization,content-type");
  assert.equal(asked.status, 204);
  assert.deepEqual(corsOf(asked), [PAGE, "POST", "authorization, content-type, idempotency-key", "true", "60"]);
  assert.match(asked.headers.vary, /Origin/);
  assert.equal(asked.headers["content-length"], undefined);
  assert.deepEqual(corsOf(await preflight("/api/stats", "https://a.shop.example", "GET", "authorization")).slice(0, 2), ["https://a.shop.example", "GET, HEAD"]);
  for (const path of ["/health", "/metrics", "/ringcast.js"]) assert.equal((await preflight(path, PAGE, "GET")).status, 204, path);
  for (const [status, ...wrong] of [
    [403, "/api/publish", "https://evil.example", "POST"],
    [403, "/api/publish", "null", "POST"],
    [403, "/api/publish", PAGE, "GET"], // it is a POST
    [403, "/health", PAGE, "DELETE"],
    [403, "/api/publish", PAGE, "POST", "authorization, x-other"],
    [404, "/api/none", PAGE, "POST"],
    [404, "/none", PAGE, "GET"],
  ]) {
    const answer = await preflight(...wrong);
    assert.equal(answer.status, status, wrong.join(" "));
    if (status === 403) assert.deepEqual(corsOf(answer), [undefined, undefined, undefined, undefined, undefined]);
    assert.match(answer.headers.vary, /Origin/);
  }

  const client = await broker.connect();
  await client.subscribe("a:1");
  const publish = (origin, data, key = KEY) => broker.get("/api/publish", {
    method: "POST", headers: { Authorization: `Bearer ${key}`, ...(origin ? { Origin: origin } : {}) }, body: JSON.stringify({ channel: "a:1", data }),
  });
  assert.equal((await publish("https://evil.example", "never")).status, 403);
  const good = await publish(PAGE, "from a page");
  assert.equal(good.status, 200, good.body);
  assert.deepEqual(corsOf(good), [PAGE, undefined, undefined, "true", undefined]);
  assert.equal((await publish(null, "from a backend")).status, 200);
  assert.equal((await client.next("message")).data, "from a page");
  assert.equal((await client.next("message")).data, "from a backend");
  // The page must be able to read what failed, too.
  const wrong = await publish(PAGE, 1, "another-key");
  assert.equal(wrong.status, 401);
  assert.equal(corsOf(wrong)[0], PAGE);
  assert.ok(wrong.headers["www-authenticate"]);
  // Reading changes nothing: it is answered, and the browser hides it.
  for (const [origin, leave] of [[PAGE, PAGE], ["https://evil.example", undefined]]) {
    for (const path of ["/health", "/metrics", "/api/stats", "/ws", "/none"]) {
      const answer = await broker.get(path, { headers: { Origin: origin, Authorization: `Bearer ${KEY}` } });
      assert.equal(corsOf(answer)[0], leave, `${path} for ${origin}`);
      assert.match(answer.headers.vary, /Origin/, path);
    }
  }
});

testBroker("OPTIONS says what a resource can be asked with", {}, async (broker) => {
  for (const [path, allow] of [
    ["/health", "GET, HEAD, OPTIONS"], ["/api/publish", "POST, OPTIONS"], ["/api/stats", "GET, HEAD, OPTIONS"], ["/ws", "GET, OPTIONS"],
    ["*", "GET, HEAD, POST, OPTIONS"],
  ]) {
    const raw = await broker.raw();
    // Twice: the connection stays.
    for (let i = 0; i < 2; i++) raw.write(`OPTIONS ${path} HTTP/1.1\r\nHost: test\r\n\r\n`);
    for (let i = 0; i < 2; i++) {
      const answer = await raw.response();
      assert.deepEqual([answer.status, answer.headers.allow], [204, allow], path);
      assert.equal(answer.headers["access-control-allow-origin"], undefined);
    }
    raw.end();
  }
  assert.equal((await broker.get("/none", { method: "OPTIONS" })).status, 404);
  // Its own pages may; a foreign one may not.
  const page = (origin) => broker.get("/api/publish", { method: "OPTIONS", headers: { Origin: origin, "Access-Control-Request-Method": "POST" } });
  assert.equal((await page(`http://${broker.host}`)).status, 204);
  assert.equal((await page("http://other.example")).status, 403);
});

testBroker("a reload changes who may, and a star with credentials is refused", { config: { "http.allowed_origins": ["*"], "http.api_keys": [KEY] } }, async (broker) => {
  const answer = await broker.get("/health", { headers: { Origin: "https://whoever.example" } });
  assert.equal(corsOf(answer)[0], "*");
  assert.equal(answer.headers.vary, undefined);
  broker.writeConfig({ ...broker.config, "http.cors_credentials": true });
  const refused = await run(["reload", "-c", broker.configPath]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr + refused.stdout, /http\.allowed_origins together with http\.cors_credentials/);
  broker.writeConfig({ ...broker.config, "http.allowed_origins": [PAGE], "http.cors_credentials": true, "http.cors_methods": ["GET"] });
  assert.equal((await run(["reload", "-c", broker.configPath])).code, 0);
  await until("the new origins are in force", async () => corsOf(await broker.get("/health", { headers: { Origin: PAGE } }))[0] === PAGE);
  assert.equal(corsOf(await broker.get("/health", { headers: { Origin: "https://whoever.example" } }))[0], undefined);
  const post = await broker.get("/api/publish", { method: "OPTIONS", headers: { Origin: PAGE, "Access-Control-Request-Method": "POST" } });
  assert.equal(post.status, 403);
});
