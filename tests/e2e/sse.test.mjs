// Server-sent events: what clients that only listen get, over bare HTTP, with EventSource in a real browser, with curl, and behind nginx.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { Agent, createServer } from "node:http";
import { join } from "node:path";
import { startBackend, table } from "./lib/backend.mjs";
import { run, testBroker } from "./lib/broker.mjs";
import { Chromium, findChromium } from "./lib/chromium.mjs";
import { adapt, haproxy, nginx, shipped, withHaproxy, withNginx } from "./lib/proxy.mjs";
import { openStream, refusedStream } from "./lib/sse.mjs";
import { CA, FOLDER, certificate } from "./lib/tls.mjs";
import { freePort, until, within } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const config = {
  "http.api_keys": [KEY],
  namespace: [
    { name: "log", history: 100, history_who: "anyone", retain: "anyone" },
    { name: "closed", subscribe: "none" },
    { name: "users", subscribe: "user" },
    { name: "skips", slow_consumer: "skip" },
    { name: "ends", slow_consumer: "disconnect" },
  ],
};
const api = (broker, path, body) => broker.get(`/api/${path}`, { method: "POST", body: JSON.stringify(body), headers: { Authorization: `Bearer ${KEY}` } });
const curl = spawnSync("curl", ["--version"]).status === 0;

testBroker("who listens gets what is published, on any worker", { config, workers: 2 }, async (broker) => {
  const publisher = await broker.connect();
  const streams = [];
  for (let i = 0; i < 8; i++) streams.push(await openStream(broker, "/sse?channel=room:1&channel=log%3A%C3%A9%201"));
  for (const { status, headers } of streams) {
    assert.deepEqual([status, headers["content-type"], headers["cache-control"], headers["x-accel-buffering"], headers.connection, headers["content-length"]],
      [200, "text/event-stream", "no-store", "no", "close", undefined]);
  }
  // Answered 200 is in all of its channels: nothing is missed from then on.
  await publisher.publish("room:1", { n: 1 });
  await publisher.publish("log:é 1", "two", { event: "named" });
  await publisher.publish("log:other", 0);
  await publisher.request({ type: "broadcast", data: 3 });
  for (const stream of streams) {
    const first = await stream.next();
    assert.deepEqual([first.type, first.data], ["message", '{"type":"message","channel":"room:1","data":{"n":1}}']);
    assert.match(first.id, /^[0-9a-f]{1,16}:0$/, "the place in log:é 1 when it began");
    const { type, data, id } = await stream.next();
    assert.deepEqual([type, JSON.parse(data)], ["named", { type: "message", channel: "log:é 1", offset: 1, event: "named", data: "two" }]);
    assert.match(id, /^[0-9a-f]{1,16}:1$/);
    assert.deepEqual(await stream.message(), { type: "message", channel: "*", data: 3 });
    assert.ok(stream.comments >= 1 && stream.retry >= 1500 && stream.retry < 4500, `${stream.retry}`);
  }
  const epoch = (await publisher.request({ type: "history", channel: "log:é 1" })).epoch;
  assert.equal(streams[0].lastEventId, `${epoch}:1`, "the id is the place in the channel's history");
  const metrics = await broker.metrics();
  assert.deepEqual([metrics("ringcast_sse_connections"), metrics("ringcast_sse_opened_total"), metrics("ws_connections_total")], [8, 8, 9]);
  for (const stream of streams) stream.terminate();
  await until("they are gone", async () => (await broker.metrics())("ringcast_sse_connections") === 0);
});

testBroker("data of any kind, in both forms", { config }, async (broker) => {
  const whole = await openStream(broker, "/sse?channel=room:1&format=message");
  const bare = await openStream(broker, "/sse?channel=room:1&format=data");
  const publisher = await broker.connect();
  await publisher.request({ type: "broadcast", data: "not for who cannot tell channels apart" });
  await whole.next();
  const pretty = '{\n  "a": [1,\r\n 2]\n}\n';
  await api(broker, "publish", { channel: "room:1", data: JSON.parse(pretty) });
  const spaced = { encode: (operation) => JSON.stringify(operation).replace('"data":null', `"data":${pretty}`) };
  await publisher.expect("published", { type: "publish", channel: "room:1", data: null }, spaced);
  await api(broker, "publish", { channel: "room:1", data_base64: "AQL/" });
  await publisher.expect("published", { type: "publish", channel: "room:1", event: "e", args: ["x", 2] });
  await publisher.expect("published", { type: "publish", channel: "room:1", event: "two\nlines", data: 5 });
  assert.deepEqual(await bare.next(), { type: "message", data: '{"a":[1,2]}', id: "" });
  assert.deepEqual(await bare.next(), { type: "message", data: pretty.replace("\r\n", "\n").trimEnd(), id: "" }, "line by line");
  assert.deepEqual(await bare.next(), { type: "message", data: "AQL/", id: "" });
  assert.deepEqual(await bare.next(), { type: "e", data: '["x",2]', id: "" });
  assert.deepEqual(await bare.next(), { type: "message", data: "5", id: "" }, "a name cannot end its line");
  await whole.next();
  assert.deepEqual((await whole.message()).data, { a: [1, 2] });
  assert.deepEqual(await whole.message(), { type: "message", channel: "room:1", data_base64: "AQL/" });
  assert.deepEqual(await whole.message(), { type: "message", channel: "room:1", event: "e", args: ["x", 2] });
  assert.deepEqual(await whole.message(), { type: "message", channel: "room:1", event: "two\nlines", data: 5 });
});

testBroker("retained values come first", { config }, async (broker) => {
  const publisher = await broker.connect();
  await publisher.publish("log:r", { score: 7 }, { retain: true });
  const stream = await openStream(broker, "/sse?channel=log:r&retained=true");
  await publisher.publish("log:r", { score: 8 });
  assert.deepEqual(await stream.message(), { type: "message", channel: "log:r", retained: true, data: { score: 7 } });
  assert.equal((await stream.message()).data.score, 8);
  const plain = await openStream(broker, "/sse?channel=log:r");
  await publisher.publish("log:r", 9);
  assert.equal((await plain.message()).data, 9);
});

testBroker("what is not for it is refused before anything is heard", { config: { ...config, "limits.max_channels": 3 } }, async (broker) => {
  const refused = async (path, status, message, options) => {
    const answer = await refusedStream(broker, path, options);
    assert.deepEqual([answer.status, answer.code], [status, status], path);
    assert.match(answer.message, message);
    return answer;
  };
  await refused("/sse?channel=room:1&channel=closed:1", 403, /may not subscribe/);
  await refused("/sse?channel=users:1", 401, /anonymous/);
  await refused("/sse?channel=user:7", 403, /joined by the server/);
  await refused("/sse?channel=*", 403, /joined by the server/);
  await refused("/sse?channel=", 400, /channel/);
  await refused("/sse?channel=%E2%82", 400, /not allowed/);
  await refused("/sse?channel=%zz", 400, /percent/);
  await refused(`/sse?channel=${"x".repeat(256)}`, 400, /too long/);
  await refused("/sse?channel=a&channel=b&channel=c&channel=d", 429, /too many channels/);
  await refused("/sse?channel=a&format=xml", 400, /format/);
  await refused("/sse?channel=a", 403, /origin/, { headers: { Origin: "https://evil.example" } });
  for (const method of ["POST", "HEAD", "PUT", "DELETE"]) {
    const stream = await openStream(broker, "/sse?channel=a", { method });
    assert.deepEqual([stream.status, stream.headers.allow], [405, "GET, OPTIONS"], method);
    stream.terminate();
  }
  const upgrade = await broker.raw();
  upgrade.write("GET /sse?channel=a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
  await until("it is refused", () => /^HTTP\/1\.1 400 /.test(String(upgrade.buffer)));
  assert.equal((await broker.metrics())("ringcast_sse_opened_total"), 0);
  await until("no channel is left", async () => (await broker.metrics())("ringcast_subscriptions") === 0);
});

testBroker("a refused request leaves its connection usable, and counts once in the limits of its address", { config: { ...config, "limits.max_connections_per_address": 2 }, workers: 1 }, async (broker) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < 5; i++) {
    assert.equal((await refusedStream(broker, "/sse?channel=closed:1", { agent })).status, 403);
  }
  const first = await openStream(broker, "/sse?channel=a", { agent });
  const second = await openStream(broker, "/sse?channel=a");
  assert.deepEqual([first.status, second.status], [200, 200]);
  assert.equal((await refusedStream(broker, "/sse?channel=a")).status, 429);
  first.terminate();
  await until("its place is free", async () => {
    const stream = await openStream(broker, "/sse?channel=a");
    const { status } = stream;
    stream.terminate();
    return status === 200;
  });
  agent.destroy();
});

testBroker("pages of allowed origins may listen", { config: { ...config, "http.allowed_origins": ["https://app.example"], "http.cors_credentials": true } }, async (broker) => {
  const stream = await openStream(broker, "/sse?channel=a", { headers: { Origin: "https://app.example" } });
  assert.deepEqual([stream.status, stream.headers["access-control-allow-origin"], stream.headers["access-control-allow-credentials"], stream.headers.vary],
    [200, "https://app.example", "true", "Origin"]);
});

/* --- as whom --------------------------------------------------------------------------------------------------------- */

const TOKEN_SECRET = "a-secret-of-at-least-thirty-two-bytes";
const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const tokenOf = (claims) => {
  const head = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${head}.${createHmac("sha256", TOKEN_SECRET).update(head).digest("base64url")}`;
};
const identity = [{ name: "jwt", kind: "jwt", secret: TOKEN_SECRET, from: ["query.token", "cookie.token", "header.authorization"] }];

testBroker("a token says who it is: by the query, a cookie, a header", { config: { ...config, identity } }, async (broker) => {
  const token = tokenOf({ sub: "42", exp: Math.floor(Date.now() / 1000) + 1000 });
  const ways = [
    ["/sse?channel=users:1&token=" + token, {}],
    ["/sse?channel=users:1", { Cookie: `token=${token}` }],
    ["/sse?channel=users:1", { Authorization: `Bearer ${token}` }],
  ];
  const streams = [];
  for (const [path, headers] of ways) {
    streams.push(await openStream(broker, path, { headers }));
    assert.equal(streams.at(-1).status, 200, JSON.stringify(headers));
  }
  await api(broker, "publish", { channel: "user:42", data: "yours" });
  for (const stream of streams) assert.deepEqual(await stream.message(), { type: "message", channel: "user:42", data: "yours" });
  assert.equal((await refusedStream(broker, "/sse?channel=users:1&token=wrong")).status, 401);
});

testBroker("its stream ends with its credential", { config: { ...config, identity } }, async (broker) => {
  const token = tokenOf({ sub: "42", exp: Math.floor(Date.now() / 1000) + 6 });
  const stream = await openStream(broker, `/sse?channel=users:1&token=${token}`);
  assert.deepEqual(await stream.message("close", 20000), { code: 4401, reason: "unauthorized" });
  await within(5000, stream.closed, "the end of the stream");
});

const asking = await startBackend({
  answer: ({ call, channel, query, transport }) => {
    if (call === "connect") return query.user === "7" ? { user: { id: query.user } } : { deny: {} };
    return { allow: channel !== "room:no" && transport !== "never" };
  },
});
testBroker("a backend says who it is and what it may", { config: { ...config, backend: [table(asking, { calls: ["subscribe"] })], identity: [{ name: "app", kind: "backend", backend: "app", from: ["query.user"] }] } }, async (broker, t) => {
  t.after(() => asking.stop());
  const asked = asking.calls.length;
  const stream = await openStream(broker, "/sse?user=7&channel=room:1&channel=room:2");
  assert.equal(stream.status, 200);
  const calls = asking.calls.slice(asked);
  assert.ok(calls.some(({ call, transport }) => call === "connect" && transport === "sse"), JSON.stringify(calls));
  await api(broker, "publish", { channel: "room:2", data: 1 });
  assert.equal((await stream.message()).channel, "room:2");
  assert.equal((await refusedStream(broker, "/sse?user=7&channel=room:1&channel=room:no")).status, 403);
  for (const path of ["/sse?channel=room:1", "/sse?user=8&channel=room:1"]) assert.equal((await refusedStream(broker, path)).status, 401, path);
});

/* --- how long, how much ---------------------------------------------------------------------------------------------- */

testBroker("comments show that a quiet stream lives, and nothing is expected of who listens", {
  config: { ...config, "limits.ping_interval": "1s", "limits.pong_timeout": "1s", "limits.idle_timeout": "2s" }, workers: 1,
}, async (broker) => {
  const stream = await openStream(broker, "/sse?channel=a");
  await until("four heartbeats", () => stream.comments >= 5, { timeout: 20000 });
  assert.equal(stream.isClosed, false);
  await api(broker, "publish", { channel: "a", data: 1 });
  assert.equal((await stream.message()).data, 1);
});

testBroker("what a listener sends is nobody's", { config, workers: 1 }, async (broker) => {
  const raw = await broker.raw();
  raw.write("GET /sse?channel=a HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n" + "x".repeat(100000));
  await until("it is answered", () => /retry: \d+\n\n/.test(String(raw.buffer)));
  for (let i = 0; i < 20; i++) raw.write("\x89\x80\0\0\0\0".repeat(1000));
  await api(broker, "publish", { channel: "a", data: "still" });
  await until("it goes on", () => /"data":"still"}\n\n$/.test(String(raw.buffer)));
  assert.equal(String(raw.buffer).split("HTTP/1.1 ").length, 2, "one answer");
});

testBroker("HTTP/1.0", { config, workers: 1 }, async (broker) => {
  const raw = await broker.raw();
  raw.write("GET /sse?channel=a HTTP/1.0\r\n\r\n");
  await until("it is answered", () => /retry: \d+\n\n/.test(String(raw.buffer)));
  await api(broker, "publish", { channel: "a", data: 1 });
  await until("it is told", () => /"data":1}\n\n$/.test(String(raw.buffer)));
});

/* Fills what lies between the broker and a client that does not read. */
async function flood(broker, channel, count, size) {
  const publisher = await broker.connect();
  const data = "x".repeat(size);
  for (let i = 0; i < count; i += 20) {
    await Promise.all(Array.from({ length: Math.min(20, count - i) }, (_, n) => publisher.publish(channel, `${i + n} ${data}`)));
  }
  await publisher.close();
}

testBroker("a slow listener is told of a gap, or sent away, as its namespace says", {
  config: { ...config, "limits.channel_log": "64KiB", "limits.channel_log_messages": 1, "limits.send_buffer": "32KiB" }, workers: 1, timeout: 60000,
}, async (broker) => {
  const skips = await openStream(broker, "/sse?channel=skips:1");
  const ends = await openStream(broker, "/sse?channel=ends:1");
  skips.response.pause();
  ends.response.pause();
  await flood(broker, "skips:1", 400, 20000);
  await flood(broker, "ends:1", 400, 20000);
  await until("one was sent away", async () => (await broker.metrics())("ringcast_slow_disconnected_total") === 1);
  skips.response.resume();
  ends.response.resume();
  assert.deepEqual(await skips.message("gap"), { type: "gap", channel: "skips:1" });
  assert.deepEqual(await ends.message("close"), { code: 4000, reason: "slow_consumer" });
  await within(10000, ends.closed, "its end");
  assert.equal(skips.isClosed, false);
  await api(broker, "publish", { channel: "skips:1", data: "on" });
  await until("it goes on", async () => (await skips.message()).data === "on");
});

testBroker("a stopping broker says when to come back, and ends the stream", { config: { ...config, "server.drain_timeout": "8s" } }, async (broker) => {
  const streams = [];
  for (let i = 0; i < 6; i++) streams.push(await openStream(broker, "/sse?channel=a"));
  const retry = streams.map((stream) => stream.retry);
  const stopped = broker.stop.bind(broker);
  process.kill(broker.pid, "SIGTERM");
  for (const [i, stream] of streams.entries()) {
    assert.deepEqual(await stream.message("close"), { code: 1012, reason: "service_restart" });
    assert.ok(stream.retry >= 0 && stream.retry < 8000 && stream.retry !== retry[i], `${stream.retry}`);
    assert.deepEqual(await within(10000, stream.closed, "the end"), { whole: true });
  }
  await within(15000, broker.exited, "the broker ends");
  await stopped();
});

testBroker("the API reaches who listens", { config: { ...config, "debug.user_query": "as" } }, async (broker) => {
  const stream = await openStream(broker, "/sse?channel=a&as=7");
  assert.equal((await api(broker, "subscribe", { user: "7", channel: "b" })).status, 200);
  await api(broker, "publish", { channel: "b", data: 1 });
  assert.equal((await stream.message()).channel, "b");
  assert.equal((await api(broker, "disconnect", { user: "7", reason: "bye" })).body.trim(), '{"disconnected":1}');
  assert.deepEqual(await stream.message("close"), { code: 4501, reason: "bye" });
  await within(5000, stream.closed, "the end");
});

testBroker("a reload changes what is told", { config: { ...config, "sse.retry": "10s" } }, async (broker) => {
  const before = await openStream(broker, "/sse?channel=a");
  assert.ok(before.retry >= 5000 && before.retry < 15000, `${before.retry}`);
  broker.writeConfig({ ...broker.config, "sse.retry": "100ms" });
  assert.equal((await run(["reload", "-c", broker.configPath])).code, 0);
  await until("it is in force", async () => (await openStream(broker, "/sse?channel=a")).retry < 150);
});

testBroker("other paths, and none", { config: { ...config, "sse.path": "", endpoint: [{ path: "/events", protocol: "sse", join: ["room:1"] }] } }, async (broker) => {
  assert.equal((await broker.get("/sse?channel=a")).status, 404);
  const stream = await openStream(broker, "/events?format=data");
  await api(broker, "publish", { channel: "room:1", data: "joined" });
  assert.equal((await stream.next()).data, '"joined"');
});

/* --- what was missed ------------------------------------------------------------------------------------------------- */

const comeBack = (broker, path, lastEventId) => openStream(broker, path, { headers: { "Last-Event-ID": lastEventId } });
const numbers = async (stream, count) => {
  const got = [];
  while (got.length < count) got.push((await stream.message()).data);
  return got;
};
const upTo = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

testBroker("who comes back gets what it missed, once and in order, on any worker", { config, workers: 2 }, async (broker) => {
  const publisher = await broker.connect();
  for (let round = 0, n = 0; round < 6; round++) {
    const channel = `log:${round}`;
    const first = await openStream(broker, `/sse?channel=${channel}`);
    await publisher.publish(channel, ++n);
    await publisher.publish(channel, ++n);
    assert.deepEqual(await numbers(first, 2), [n - 1, n]);
    const { lastEventId } = first;
    first.terminate();
    for (let i = 0; i < 20; i++) await publisher.publish(channel, ++n);
    const second = await comeBack(broker, `/sse?channel=${channel}`, lastEventId);
    await publisher.publish(channel, ++n);
    assert.deepEqual(await numbers(second, 21), upTo(n - 20, n));
    assert.equal(second.lastEventId, lastEventId.replace(/:.*/, ":23"));
    const third = await comeBack(broker, `/sse?channel=${channel}`, second.lastEventId);
    await publisher.publish(channel, ++n);
    assert.deepEqual(await numbers(third, 1), [n], "nothing was missed");
    assert.ok(![second, third].some((stream) => stream.text.includes("reset")));
  }
});

testBroker("who has heard nothing yet knows its place, too", { config }, async (broker) => {
  const publisher = await broker.connect();
  await publisher.publish("log:1", 1);
  for (const channel of ["log:1", "log:empty"]) {
    const first = await openStream(broker, `/sse?channel=${channel}`);
    await until("it knows its place", () => first.lastEventId !== "");
    assert.deepEqual(first.inbox, [], "which is no event");
    first.terminate();
    await publisher.publish(channel, 2);
    const second = await comeBack(broker, `/sse?channel=${channel}`, first.lastEventId);
    assert.deepEqual(await numbers(second, 1), [2], channel);
  }
});

testBroker("what cannot be recovered is told", { config: { ...config, namespace: [...config.namespace, { name: "short", history: 5, history_who: "anyone" }, { name: "secret", history: 5, history_who: "none" }] } }, async (broker) => {
  const publisher = await broker.connect();
  for (let n = 1; n <= 10; n++) await publisher.publish("short:1", n);
  const { epoch } = await publisher.request({ type: "history", channel: "short:1" });
  const whole = await comeBack(broker, "/sse?channel=short:1", `${epoch}:5`);
  assert.deepEqual(await numbers(whole, 5), upTo(6, 10));
  for (const [place, channel] of [[`${epoch}:4`, "short:1"], ["abc:5", "short:1"], ["another server's", "short:1"], [`${epoch}:11`, "short:1"], [`${epoch}:9`, "room:none"], [`${epoch}:9`, "secret:1"]]) {
    const stream = await comeBack(broker, `/sse?channel=${channel}`, place);
    const told = await stream.message("reset");
    assert.deepEqual([told.type, told.channel, told.recovered], ["subscribed", channel, false], place);
    if (channel === "short:1") assert.equal(stream.lastEventId, `${epoch}:10`);
    stream.terminate();
  }
  const stream = await comeBack(broker, "/sse?channel=short:1", "abc:5");
  await publisher.publish("short:1", "new");
  await stream.next("reset");
  assert.equal((await stream.message()).data, "new", "it goes on with what is published from now on");
});

testBroker("several channels: a place for each, or one of one of them", { config }, async (broker) => {
  const publisher = await broker.connect();
  const first = await openStream(broker, "/sse?channel=log:a&channel=log:b");
  const places = {};
  for (const [channel, data] of [["log:a", 1], ["log:b", 1]]) {
    await publisher.publish(channel, data);
    assert.equal((await first.message()).channel, channel);
    places[channel] = first.lastEventId;
  }
  first.terminate();
  await publisher.publish("log:a", 2);
  await publisher.publish("log:b", 2);
  const both = await openStream(broker, `/sse?channel=log:a&channel=log:b&lastEventId=${places["log:a"]},${places["log:b"]}`);
  const got = [await both.message(), await both.message()].map(({ channel, data }) => [channel, data]);
  assert.deepEqual(got.sort(), [["log:a", 2], ["log:b", 2]]);
  assert.ok(!both.text.includes("reset"));
  // EventSource knows the last one only.
  const one = await comeBack(broker, "/sse?channel=log:a&channel=log:b", places["log:b"]);
  assert.equal((await one.message("reset")).channel, "log:a");
  const { channel, data } = await one.message("message");
  assert.deepEqual([channel, data], ["log:b", 2]);
});

testBroker("the newest first; retained values only to who cannot go on", { config }, async (broker) => {
  const publisher = await broker.connect();
  for (let n = 1; n <= 10; n++) await publisher.publish("log:1", n, n === 5 ? { retain: true } : {});
  assert.deepEqual(await numbers(await openStream(broker, "/sse?channel=log:1&last=3"), 3), [8, 9, 10]);
  assert.equal((await refusedStream(broker, "/sse?channel=room:1&last=3")).status, 501);
  const { epoch } = await publisher.request({ type: "history", channel: "log:1" });
  const back = await comeBack(broker, "/sse?channel=log:1&last=3&retained=true", `${epoch}:8`);
  assert.deepEqual(await numbers(back, 2), [9, 10]);
  assert.ok(!back.text.includes("retained"));
  const fresh = await openStream(broker, "/sse?channel=log:1&retained=true");
  assert.deepEqual([(await fresh.message()).retained, fresh.lastEventId], [true, `${epoch}:10`]);
});

testBroker("much that was missed comes as fast as it is read", { config: { ...config, namespace: [{ name: "log", history: 5000, history_who: "anyone", publish: "anyone" }] }, workers: 1, timeout: 60000 }, async (broker) => {
  const publisher = await broker.connect();
  const data = "x".repeat(1000);
  for (let n = 0; n < 3000; n += 50) await Promise.all(Array.from({ length: 50 }, (_, i) => publisher.publish("log:1", `${n + i} ${data}`)));
  const { epoch } = await publisher.request({ type: "history", channel: "log:1", limit: 1 });
  const stream = await comeBack(broker, "/sse?channel=log:1", `${epoch}:0`);
  for (let n = 0; n < 3000; n++) assert.equal(Number.parseInt((await stream.message("message", 20000)).data), n);
  await publisher.publish("log:1", "live");
  assert.equal((await stream.message()).data, "live");
});

/* --- real clients ---------------------------------------------------------------------------------------------------- */

const server = certificate("sse");
const tlsPort = await freePort();
testBroker("over TLS", { config: { ...config, "tls.listen": [`127.0.0.1:${tlsPort}`], "tls.certificates": [server.path] }, workers: 1 }, async (broker) => {
  const stream = await openStream(broker, "/sse?channel=a", { tls: { ca: CA, servername: "localhost" }, port: tlsPort });
  await api(broker, "publish", { channel: "a", data: "secret" });
  assert.equal((await stream.message()).data, "secret");
  process.kill(broker.pid, "SIGTERM");
  await stream.next("close");
  assert.deepEqual(await within(10000, stream.closed, "the end"), { whole: true }, "it ends by close_notify");
  assert.equal(stream.error, undefined);
});

testBroker("curl -N", { config, workers: 1, skip: curl ? false : "curl is not installed" }, async (broker) => {
  const child = spawn("curl", ["-sSN", `http://${broker.host}/sse?channel=log:1&format=data`], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  child.stdout.on("data", (bytes) => (text += bytes));
  try {
    await until("it listens", () => text.includes("retry:"));
    await api(broker, "publish", { channel: "log:1", data: { a: 1 }, event: "e" });
    await until("it prints", () => /\nid: [0-9a-f]+:1\nevent: e\ndata: {"a":1}\n\n$/.test(text));
    const ended = new Promise((done) => child.once("exit", done));
    process.kill(broker.pid, "SIGTERM");
    assert.equal(await within(15000, ended, "curl ends"), 0, "an ended stream is no error");
  } finally {
    child.kill();
  }
});

const program = findChromium();
const allowing = { ...config, "http.allowed_origins": ["*"] };

/* A page of another origin, in a real browser, with `source` as its EventSource. */
async function withPage(body) {
  const pages = createServer((incoming, answer) => answer.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>x</title>"));
  await new Promise((done) => pages.listen(0, "127.0.0.1", done));
  const chromium = new Chromium();
  try {
    await chromium.start(program);
    await body(await chromium.open(`http://127.0.0.1:${pages.address().port}/`));
  } finally {
    await chromium.stop();
    pages.close();
  }
}

const listen = (page, url) => page.evaluate(`(() => {
  window.got = [];
  window.source = new EventSource(${JSON.stringify(url)});
  const note = (event) => got.push([event.type, event.data ?? null, event.lastEventId ?? null]);
  for (const type of ["open", "message", "named", "gap", "close", "reset"]) source.addEventListener(type, note);
  source.addEventListener("error", (event) => got.push(["error", source.readyState]));
})()`);
const got = (page) => page.evaluate("got");

testBroker("EventSource in a browser, of another origin", { config: allowing, workers: 2, timeout: 90000, skip: program ? false : "Chromium is not installed" }, async (broker) => {
  await withPage(async (page) => {
    await listen(page, `http://${broker.host}/sse?channel=log:1&channel=room:1`);
    await until("it is open", async () => (await got(page))[0]?.[0] === "open");
    await api(broker, "publish", { channel: "room:1", data: { n: 1 } });
    await api(broker, "publish", { channel: "log:1", data: "two", event: "named" });
    const [, first, second] = await until("both", async () => (await got(page)).length >= 3 && got(page));
    assert.deepEqual(first.slice(0, 2), ["message", '{"type":"message","channel":"room:1","data":{"n":1}}']);
    assert.match(first[2], /^[0-9a-f]+:0$/);
    assert.deepEqual([second[0], JSON.parse(second[1])], ["named", { type: "message", channel: "log:1", offset: 1, event: "named", data: "two" }]);
    assert.match(second[2], /^[0-9a-f]+:1$/);
    // A refused one is over: EventSource comes back only to what it was answered 200 by.
    await listen(page, `http://${broker.host}/sse?channel=closed:1`);
    assert.deepEqual(await until("it fails", async () => (await got(page))[0] && got(page)), [["error", 2]]);
    await page.evaluate("source.close()");
  });
});

testBroker("EventSource misses nothing when its worker dies", { config: { ...allowing, "sse.retry": "200ms", "server.adopt_crashed": false }, workers: 1, timeout: 90000, skip: program ? false : "Chromium is not installed" }, async (broker) => {
  await withPage(async (page) => {
    await listen(page, `http://${broker.host}/sse?channel=log:1`);
    await until("it is open", async () => (await got(page))[0]?.[0] === "open");
    await api(broker, "publish", { channel: "log:1", data: 1 });
    await until("it is told", async () => (await got(page)).some(([type]) => type === "message"));
    let n = 1;
    for (let round = 0; round < 3; round++) {
      const opened = (await got(page)).filter(([type]) => type === "open").length;
      broker.kill("SIGKILL", 0);
      await until("another worker", async () => (await api(broker, "publish", { channel: "log:1", data: n + 1 })).status === 200 && ++n, { timeout: 30000 });
      await until("it is open again", async () => (await got(page)).filter(([type]) => type === "open").length > opened, { timeout: 30000 });
    }
    await api(broker, "publish", { channel: "log:1", data: ++n });
    const told = async () => (await got(page)).filter(([type]) => type === "message").map(([, data]) => JSON.parse(data).data);
    await until("the last one", async () => (await told()).includes(n));
    assert.deepEqual(await told(), upTo(1, n));
    assert.ok(!(await got(page)).some(([type]) => type === "reset"));
    await page.evaluate("source.close()");
  });
});

testBroker("behind the shipped nginx each event comes at once", { config: { ...config, "http.trusted_proxies": ["127.0.0.1"] }, workers: 1, skip: nginx ? false : "nginx is not installed", timeout: 60000 }, async (broker) => {
  const port = await freePort();
  certificate("sse-proxy");
  const text = adapt(shipped("nginx/ringcast.conf"), [
    ["    server 127.0.0.1:8080 max_fails=3 fail_timeout=5s;", `    server ${broker.host};`],
    ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`],
    ["/etc/nginx/ringcast.crt", join(FOLDER, "sse-proxy.crt")],
    ["/etc/nginx/ringcast.key", join(FOLDER, "sse-proxy.key")],
  ]);
  await withNginx("http", text, port, async () => {
    const stream = await openStream(broker, "/sse?channel=room:1", { tls: { ca: CA, servername: "localhost" }, port });
    assert.deepEqual([stream.status, stream.headers["content-type"]], [200, "text/event-stream"]);
    for (let n = 0; n < 5; n++) {
      await api(broker, "publish", { channel: "room:1", data: n });
      assert.equal((await stream.message()).data, n);
    }
  });
});

testBroker("behind the shipped HAProxy each event comes at once, and a quiet stream may be as quiet as it is", { config: { ...config, "http.trusted_proxies": ["127.0.0.1"] }, workers: 1, skip: haproxy ? false : "HAProxy is not installed", timeout: 60000 }, async (broker) => {
  const port = await freePort();
  const passed = await freePort();
  const text = adapt(shipped("haproxy/ringcast.cfg"), [
    ["    server one 127.0.0.1:8080 check inter 2s", `    server one ${broker.host} check inter 2s`],
    ["bind :443 ssl", `bind 127.0.0.1:${port} ssl`],
    ["bind :8443", `bind 127.0.0.1:${passed}`],
    ["/etc/haproxy/ringcast.pem", certificate("sse-haproxy").path],
    ["maxconn 100000", "maxconn 1000"],
  ]);
  // The first comment comes within an interval and a quarter (limits.ping_interval, 25 s).
  for (const [, which, seconds] of text.matchAll(/timeout (client|server) +(\d+)s/g)) assert.ok(Number(seconds) >= 60, `timeout ${which} ${seconds}s`);
  await withHaproxy(text, port, async () => {
    const stream = await openStream(broker, "/sse?channel=room:1", { tls: { ca: CA, servername: "localhost" }, port });
    assert.deepEqual([stream.status, stream.headers["content-type"]], [200, "text/event-stream"]);
    for (let n = 0; n < 5; n++) {
      await api(broker, "publish", { channel: "room:1", data: n });
      assert.equal((await stream.message()).data, n);
    }
  });
});
