// The HTTP API: who may call, every call over two workers, what is wrong with bodies, and what happens when a process dies meanwhile.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { SLOWER, delay, until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const OTHER_KEY = "another-key-of-the-tests";
const config = { "http.api_keys": [KEY, OTHER_KEY], "debug.user_query": "user" };

/* A call: { status, headers, body } with the body parsed. */
async function call(broker, path, body, { key = KEY, headers = {}, method, timeout } = {}) {
  const answer = await broker.get(`/api/${path}`, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: { ...(key === null ? {} : { Authorization: `Bearer ${key}` }), ...headers },
    body: body === undefined || typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body),
    timeout,
  });
  return { ...answer, body: answer.body === "" ? undefined : JSON.parse(answer.body) };
}

async function ok(broker, path, body, options) {
  const answer = await call(broker, path, body, options);
  assert.equal(answer.status, 200, `${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

async function refused(broker, status, path, body, options) {
  const answer = await call(broker, path, body, options);
  assert.equal(answer.status, status, `${path} ${JSON.stringify(body)?.slice(0, 200)}: ${answer.status} ${JSON.stringify(answer.body)}`);
  assert.equal(answer.body.error.code, status);
  assert.equal(typeof answer.body.error.reason, "string");
  assert.ok(answer.body.error.message.length > 0);
  return answer;
}

const post = (path, body, more = "") => {
  const bytes = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  return Buffer.concat([Buffer.from(`POST /api/${path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${KEY}\r\nContent-Length: ${bytes.length}\r\n${more}\r\n`), bytes]);
};
const read = (path, more = "") => `GET /api/${path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${KEY}\r\n${more}\r\n`;

/* A connection of its own on which calls follow each other. */
async function connection(broker) {
  const raw = await broker.raw();
  raw.answer = async (options) => {
    const answer = await raw.response(options);
    return { ...answer, json: answer.body === "" ? undefined : JSON.parse(answer.body) };
  };
  return raw;
}

/* A call ends a moment behind its answer. */
const nothingLeft = (broker) => until("nothing is left of calls", async () => {
  const metrics = await broker.metrics();
  return metrics("ringcast_api_calls") === 0 && metrics("ringcast_api_bytes") === 0;
});

testBroker("only callers with a configured key are heard", { config }, async (broker) => {
  for (const key of [KEY, OTHER_KEY]) await ok(broker, "instances", undefined, { key });
  for (const headers of [
    {}, { Authorization: KEY }, { Authorization: "Basic a2V5" }, { Authorization: "Bearer" }, { Authorization: "Bearer " },
    { Authorization: `Bearer ${KEY}x` }, { Authorization: `Bearer ${KEY.slice(1)}` }, { Authorization: `Bearer ${KEY}, Bearer ${OTHER_KEY}` },
    { Authorization: `Bearer ${"k".repeat(4000)}` },
  ]) {
    for (const path of ["instances", "publish", "none"]) {
      const answer = await refused(broker, 401, path, path === "publish" ? { channel: "a", data: 1 } : undefined, { key: null, headers });
      assert.match(answer.headers["www-authenticate"], /^Bearer realm=/);
    }
  }
  // The scheme's name has no case; more spaces are allowed.
  await ok(broker, "instances", undefined, { key: null, headers: { Authorization: `bearer   ${KEY}` } });
  await refused(broker, 404, "none");
  await refused(broker, 404, "");
  const wrong = await refused(broker, 405, "publish");
  assert.equal(wrong.headers.allow, "POST");
  assert.equal((await refused(broker, 405, "stats", "{}")).headers.allow, "GET, HEAD");
  // Keys can be changed while it runs.
  broker.writeConfig({ ...broker.config, "http.api_keys": ["a-third-key-of-the-tests"] });
  broker.child.kill("SIGHUP");
  await until("the new key counts", async () => (await call(broker, "instances", undefined, { key: "a-third-key-of-the-tests" })).status === 200);
  await until("the old key does not on any worker", async () => {
    for (let i = 0; i < 6; i++) if ((await call(broker, "instances")).status !== 401) return false;
    return true;
  });
  const metrics = await broker.metrics();
  assert.ok(metrics('ringcast_api_calls_total{result="unauthorized"}') >= 27);
});

testBroker("without a key the API says what to configure", { config: {} }, async (broker) => {
  for (const path of ["publish", "stats", "x"]) {
    const answer = await refused(broker, 403, path, path === "publish" ? {} : undefined);
    assert.match(answer.body.error.message, /http\.api_keys/);
  }
});

testBroker("publish, broadcast and direct reach clients of every worker, in order", { config }, async (broker) => {
  const clients = await broker.connectMany([2, 2]);
  for (const client of clients) await client.subscribe("room:1");
  for (let i = 0; i < 20; i++) {
    const answer = await ok(broker, "publish", `{"channel":"room:1", "data": {"n":${i}, "x": 1e400}}`);
    assert.equal(answer.published, 1);
    assert.equal(answer.sequences.length, 1);
  }
  for (const client of clients) {
    for (let i = 0; i < 20; i++) {
      const message = await client.next("message");
      assert.equal(message.raw, `{"n":${i}, "x": 1e400}`, "data arrives as it was written");
      assert.equal(message.from, undefined);
    }
  }
  // Excluded clients, binary data, several channels, a batch.
  await ok(broker, "publish", { channel: "room:1", data: "some", exclude: [clients[0].id, clients[2].id, "elsewhere~AAAAAAAAAAAAAAAAAAAAAAAA", "nonsense"] });
  await ok(broker, "publish", { channel: "room:1", data_base64: Buffer.from([0, 1, 2, 255]).toString("base64") });
  for (const [i, client] of clients.entries()) {
    if (i % 2 === 1) assert.equal((await client.next("message")).data, "some");
    assert.deepEqual([...(await client.next("message")).data], [0, 1, 2, 255]);
  }
  await clients[3].subscribe("room:2");
  const several = await ok(broker, "publish", { channels: ["room:1", "room:2", "room:\u00e9\ud83d\ude00"], data: null });
  assert.equal(several.published, 3);
  assert.deepEqual([...several.sequences].sort((a, b) => a - b), several.sequences);
  const batch = await ok(broker, "publish", { messages: Array.from({ length: 1000 }, (_, n) => ({ channel: n % 2 ? "room:1" : "room:2", data: n })) });
  assert.equal(batch.published, 1000);
  const got = [];
  while (got.length < 1002) got.push(await clients[3].next("message"));
  assert.deepEqual(got.slice(0, 2).map(({ channel, data }) => [channel, data]), [["room:1", null], ["room:2", null]]);
  assert.deepEqual(got.slice(2).map(({ data }) => data), Array.from({ length: 1000 }, (_, n) => n));

  const broadcast = await ok(broker, "broadcast", { data: { all: true }, exclude: [clients[1].id] });
  assert.equal(broadcast.published, 1);
  for (const client of clients) if (client !== clients[1]) assert.deepEqual((await client.next((m) => m.channel === "*")).data, { all: true });

  for (const client of clients) {
    const answer = await ok(broker, "direct", { client: client.id, data: client.id });
    assert.equal(answer.sent, 1);
    assert.equal((await client.next("direct")).data, client.id);
  }
  const gone = clients[1].id;
  await clients[1].close();
  await until("the client is gone", async () => (await broker.metrics())("ws_connections_total") === 3);
  await refused(broker, 404, "direct", { client: gone, data: 1 });
  await refused(broker, 404, "direct", { client: "test~AAAAAAAAAAAAAAAAAAAAAAAA", data: 1 });
  await refused(broker, 404, "direct", { client: "elsewhere~AAAAAAAAAAAAAAAAAAAAAAAA", data: 1 });

  const user = await broker.connectToWorker(0, { path: "/ws?user=42" });
  await ok(broker, "publish", { channel: "user:42", data: "you" });
  assert.deepEqual((await user.next("message")).data, "you");
  await nothingLeft(broker);
  assert.equal((await broker.metrics())("ws_messages_broadcast_total"), 1);
});

testBroker("a body that is wrong is told what is wrong", { config: { ...config, "limits.max_body": "20KB", "limits.max_message_size": "8KB", "server.ring_size": "64KiB" } }, async (broker) => {
  const cases = [
    [400, "publish", ""],
    [400, "publish", "["],
    [400, "publish", "[]"],
    [400, "publish", "null"],
    [400, "publish", '{"channel":"a","data":1'],
    [400, "publish", '{"channel":"a","data":1}x'],
    [400, "publish", '{"channel":"a","channel":"b","data":1}'],
    [400, "publish", Buffer.from([...Buffer.from('{"channel":"a","data":"'), 0xff, ...Buffer.from('"}')])],
    [400, "publish", `{"channel":"a","data":${"[".repeat(100)}${"]".repeat(100)}}`],
    [400, "publish", { data: 1 }],
    [400, "publish", { channel: "a" }],
    [400, "publish", { channel: "a", data: 1, data_base64: "AA==" }],
    [400, "publish", { channel: 1, data: 1 }],
    [400, "publish", { channel: null, data: 1 }],
    [400, "publish", { channel: "", data: 1 }],
    [400, "publish", { channel: "a\n", data: 1 }],
    [400, "publish", { channel: "a".repeat(256), data: 1 }],
    [400, "publish", '{"channel":"\\ud800","data":1}'],
    [403, "publish", { channel: "*", data: 1 }],
    [400, "publish", { channel: "a", channels: ["b"], data: 1 }],
    [400, "publish", { channels: [], data: 1 }],
    [400, "publish", { channels: "a", data: 1 }],
    [400, "publish", { channels: ["a", 1], data: 1 }],
    [400, "publish", { channels: ["a", "*\n"], data: 1 }],
    [413, "publish", { channels: Array(1001).fill("a"), data: 1 }],
    [400, "publish", { messages: [] }],
    [400, "publish", { messages: {} }],
    [400, "publish", { messages: [1] }],
    [400, "publish", { messages: [{ channel: "a", data: 1 }, { channel: "a" }] }],
    [400, "publish", { channel: "a", data_base64: 1 }],
    ...["A", "AA", "AAA", "AA=A", "A===", "====", "AB==", "AAB=", "A A=", "AA==AA==", "-_==", "é==="].map((text) => [400, "publish", { channel: "a", data_base64: text }]),
    [400, "publish", { channel: "a", data: 1, exclude: "x" }],
    [400, "publish", { channel: "a", data: 1, exclude: [1] }],
    [400, "publish", { channel: "a", data: 1, exclude: ["x".repeat(129)] }],
    [413, "publish", { channel: "a", data: 1, exclude: Array(65).fill("x") }],
    [413, "publish", { channel: "a", data: "x".repeat(8000) }],
    [413, "publish", { channel: "a", data: "x".repeat(30000) }],
    [400, "publish", { channel: "a", data: 1, idempotency_key: "" }],
    [400, "publish", { channel: "a", data: 1, idempotency_key: 7 }],
    [400, "publish", { channel: "a", data: 1, idempotency_key: "k".repeat(65) }],
    [400, "broadcast", {}],
    [400, "direct", { data: 1 }],
    [400, "direct", { client: 1, data: 1 }],
    [400, "direct", { client: "test~x" }],
    [404, "direct", { client: "test~x", data: 1 }],
    [400, "subscribe", { channel: "a" }],
    [400, "subscribe", { channel: "a", user: "u", client: "test~x" }],
    [400, "subscribe", { user: "u" }],
    [400, "subscribe", { user: true, channel: "a" }],
    [400, "subscribe", { user: -1, channel: "a" }],
    [403, "subscribe", { user: "u", channel: "user:7" }],
    [403, "unsubscribe", { user: "u", channel: "*" }],
    [404, "subscribe", { client: "test~x", channel: "a" }],
    [404, "disconnect", { client: "elsewhere~AAAAAAAAAAAAAAAAAAAAAAAA" }],
    [400, "disconnect", { user: "u", code: 1006 }],
    [400, "disconnect", { user: "u", code: "4500" }],
    [400, "disconnect", { user: "u", code: 5000 }],
    [400, "disconnect", { user: "u", reason: "r".repeat(124) }],
    [400, "disconnect", {}],
    [400, "channels?limit=0", undefined],
    [400, "channels?limit=1001", undefined],
    [400, "channels?limit=x", undefined],
    [400, `channels?prefix=${"a".repeat(300)}`, undefined],
    [400, "channels?cursor=%ff", undefined],
    [501, "presence?channel=a", undefined],
  ];
  for (const [status, path, body] of cases) await refused(broker, status, path, body);
  await refused(broker, 400, "publish", { channel: "a", data: 1, idempotency_key: "a" }, { headers: { "Idempotency-Key": "b" } });
  await refused(broker, 400, "publish", { channel: "a", data: 1 }, { headers: { "Idempotency-Key": "b".repeat(65) } });
  // What is not known is ignored, and all of that has published nothing.
  await ok(broker, "publish", { channel: "a", data: 1, unknown: [1, { a: 2 }] });
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_api_messages_total"), 1 + 1 /* the direct to a client that no worker has */ - 1);
  await nothingLeft(broker);
});

testBroker("an idempotency key publishes once, over all workers and over the relay's death", { config }, async (broker) => {
  const [a, b] = await broker.connectMany([1, 1]);
  await a.subscribe("once");
  await b.subscribe("once");
  const first = await ok(broker, "publish", { channel: "once", data: 1, idempotency_key: "one" });
  assert.equal(first.duplicate, undefined);
  for (let i = 0; i < 8; i++) {
    const again = await ok(broker, "publish", { channel: "once", data: 1 }, { headers: { "Idempotency-Key": "one" } });
    assert.deepEqual(again, { published: 0, duplicate: true, duplicates: 1, sequences: first.sequences });
  }
  broker.kill("SIGKILL", "relay");
  await until("it is known to the next relay", async () => {
    const answer = await call(broker, "publish", { channel: "once", data: 1, idempotency_key: "one" });
    assert.notEqual(answer.body.published, 1);
    return answer.status === 200 && answer.body.duplicate;
  });
  // A batch: each of its messages for itself, in the place that it has in the batch.
  const messages = [1, 2, 3].map((n) => ({ channel: "once", data: `batch ${n}` }));
  const begun = await ok(broker, "publish", { messages: messages.slice(0, 2), idempotency_key: "batch" });
  const rest = await ok(broker, "publish", { messages, idempotency_key: "batch" });
  assert.deepEqual([rest.published, rest.duplicate, rest.duplicates], [1, false, 2]);
  assert.deepEqual(rest.sequences.slice(0, 2), begun.sequences);
  await ok(broker, "publish", { channel: "once", data: "end" });
  for (const client of [a, b]) {
    const got = [];
    do got.push((await client.next("message")).data); while (got.at(-1) !== "end");
    assert.deepEqual(got, [1, "batch 1", "batch 2", "batch 3", "end"]);
  }
  // The same text is another key to another caller, for another call, channel or client.
  const texts = { idempotency_key: "1", data: "scoped" };
  const [mine, theirs] = [{ key: KEY }, { key: OTHER_KEY }];
  const scopes = [["publish", { channel: "once" }, mine], ["publish", { channel: "once" }, theirs], ["publish", { channel: "twice" }, mine], ["broadcast", {}, mine],
    ["broadcast", {}, theirs], ["direct", { client: a.id }, mine], ["direct", { client: b.id }, mine], ["publish", { channels: ["thrice", "once"] }, mine]];
  for (const [path, where, who] of scopes) {
    const answer = await ok(broker, path, { ...texts, ...where }, who);
    assert.equal(answer.duplicate, undefined, `${path} ${JSON.stringify(where)} is not swallowed by another's: ${JSON.stringify(answer)}`);
  }
  for (const [path, where, who] of scopes) assert.equal((await ok(broker, path, { ...texts, ...where }, who)).duplicate, true, `${path} ${JSON.stringify(where)} again`);
  for (const client of [a, b]) {
    for (let i = 0; i < 6; i++) assert.equal((await client.next()).data, "scoped"); // three on its channel, two to everybody, one to it alone
    assert.deepEqual(client.inbox, []);
  }
  // Many at once, from many connections: one of each is published.
  const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => ok(broker, "publish", { channel: "once", data: n % 3, idempotency_key: `race ${n % 3}` })));
  assert.equal(answers.reduce((sum, { published }) => sum + published, 0), 3);
  assert.equal((await broker.metrics())("ringcast_relay_duplicates_total") >= 60, true);
});

testBroker("backends subscribe, unsubscribe and disconnect clients and users, wherever they are", { config }, async (broker) => {
  const [a, b] = await broker.connectMany([1, 1]);
  const users = [...(await broker.connectMany([2, 1], { path: "/ws?user=7" }))];
  for (const client of [a, b]) assert.deepEqual(await ok(broker, "subscribe", { client: client.id, channel: "made" }), { subscribed: 1 });
  assert.deepEqual(await ok(broker, "subscribe", { user: 7, channel: "made" }), { subscribed: 3 });
  assert.deepEqual(await ok(broker, "subscribe", { user: "7", channel: "made" }), { subscribed: 3 }, "again");
  assert.deepEqual(await ok(broker, "subscribe", { user: "nobody", channel: "made" }), { subscribed: 0 });
  await ok(broker, "publish", { channel: "made", data: 1 });
  for (const client of [a, b, ...users]) assert.equal((await client.next("message")).data, 1);
  // Whatever is published after the answer is delivered: new channels, alternating workers.
  for (let i = 0; i < 200; i++) {
    const client = i % 2 ? a : b;
    await ok(broker, "subscribe", { client: client.id, channel: `new:${i}` });
    await ok(broker, "publish", { channel: `new:${i}`, data: i });
    assert.equal((await client.next("message")).data, i);
    await ok(broker, "unsubscribe", { client: client.id, channel: `new:${i}` });
  }
  assert.deepEqual(await ok(broker, "unsubscribe", { user: 7, channel: "made" }), { unsubscribed: 3 });
  assert.deepEqual(await ok(broker, "unsubscribe", { user: 7, channel: "made" }), { unsubscribed: 0 });
  assert.deepEqual(await ok(broker, "unsubscribe", { client: a.id, channel: "made" }), { unsubscribed: 1 });
  await ok(broker, "publish", { channel: "made", data: 2 });
  assert.equal((await b.next("message")).data, 2);
  await users[0].ping();
  assert.deepEqual([a.inbox.length, users[0].inbox.length], [0, 0]);
  // What was sent before arrives before the close frame.
  await ok(broker, "direct", { client: b.id, data: "goodbye" });
  assert.deepEqual(await ok(broker, "disconnect", { client: b.id }), { disconnected: 1 });
  assert.equal((await b.next("direct")).data, "goodbye");
  assert.deepEqual(await b.closed, { code: 4501, reason: "disconnected" });
  await until("it is gone", async () => (await call(broker, "disconnect", { client: b.id })).status === 404);
  assert.deepEqual(await ok(broker, "disconnect", { user: 7, code: 4321, reason: "logged out" }), { disconnected: 3 });
  for (const user of users) assert.deepEqual(await user.closed, { code: 4321, reason: "logged out" });
  await until("the users are gone", async () => (await ok(broker, "stats")).users === 0);
  assert.equal(a.isClosed, false);
});

testBroker("channels are listed with their subscribers, page by page", { config }, async (broker) => {
  const [a, b] = await broker.connectMany([1, 1], {});
  const names = Array.from({ length: 90 }, (_, i) => `list:${String(i).padStart(3, "0")}`);
  for (const [i, name] of names.entries()) {
    if (i % 3 !== 1) await a.subscribe(name);
    if (i % 3 !== 2) await b.subscribe(name);
  }
  await a.subscribe("li\"st\u00e9 &");
  const all = await ok(broker, "channels?limit=1000");
  assert.deepEqual(all.channels.map(({ channel }) => channel), [...names, "li\"st\u00e9 &"].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y))));
  assert.equal(all.next, null);
  for (const [i, name] of names.entries()) assert.equal(all.channels.find(({ channel }) => channel === name).subscribers, i % 3 === 0 ? 2 : 1);
  for (const limit of [1, 7, 30, 91]) {
    const got = [];
    let cursor = "";
    for (let pages = 0; pages < 100; pages++) {
      const page = await ok(broker, `channels?limit=${limit}${cursor}`);
      got.push(...page.channels);
      assert.ok(page.channels.length <= limit);
      if (page.next === null) break;
      cursor = `&cursor=${encodeURIComponent(page.next)}`;
    }
    assert.deepEqual(got, all.channels, `pages of ${limit}`);
  }
  assert.equal((await ok(broker, "channels?prefix=list:01")).channels.length, 10);
  assert.deepEqual(await ok(broker, "channels?prefix=none"), { channels: [], next: null });
  assert.equal((await ok(broker, `channels?prefix=${encodeURIComponent('li"st')}`)).channels.length, 1);
});

testBroker("a long list does not stop the loop and fits replies of small rings", { config: { ...config, "limits.max_message_size": "4KB", "server.ring_size": "64KiB", "server.overflow_size": "64KiB", "limits.max_channels": 30000 }, timeout: 60000 }, async (broker) => {
  const [a, b] = await broker.connectMany([1, 1]);
  const name = (i) => `many:${String(i).padStart(5, "0")}:${"x".repeat(i % 200)}`;
  for (const [client, from] of [[a, 0], [b, 5000]]) {
    for (let i = from; i < from + 10000; i += 10) {
      client.send(JSON.stringify(Array.from({ length: 10 }, (_, k) => ({ type: "subscribe", channel: name(i + k) }))));
    }
    await client.ping();
  }
  await until("they are subscribed", async () => (await ok(broker, "stats")).subscriptions === 20000);
  let cursor = "";
  let count = 0;
  for (;;) {
    const page = await ok(broker, `channels?limit=1000${cursor}`);
    for (const { channel, subscribers } of page.channels) {
      assert.equal(channel, name(count));
      assert.equal(subscribers, count >= 5000 && count < 10000 ? 2 : 1);
      count++;
    }
    if (page.next === null) break;
    cursor = `&cursor=${encodeURIComponent(page.next)}`;
  }
  assert.equal(count, 15000);
});

testBroker("figures: stats, instances, and who gets /metrics as JSON", { config }, async (broker) => {
  const [a] = await broker.connectMany([1, 1]);
  await broker.connectMany([1, 1], { path: "/ws?user=9" });
  await a.subscribe("s:1");
  for (let i = 0; i < 10; i++) await a.publish("s:1", i);
  // The last seconds are counted once a second.
  const stats = await until("the last seconds have been counted", async () => {
    const now = await ok(broker, "stats");
    return now.latency_ms.p50 > 0 && now;
  });
  assert.equal(stats.instance, "test");
  assert.deepEqual(stats.connections, { total: 4, users: 2 });
  assert.equal(stats.users, 1);
  assert.equal(stats.channels, 2);
  assert.equal(stats.subscriptions, 3);
  assert.equal(stats.messages.published, 10);
  assert.equal(stats.messages.delivered >= 10, true);
  for (const name of ["p50", "p95", "p99"]) assert.equal(typeof stats.latency_ms[name], "number");
  assert.ok(stats.latency_ms.p50 > 0 && stats.latency_ms.p50 <= stats.latency_ms.p99);
  assert.deepEqual(stats.processes.map(({ process }) => process), ["acceptor", "relay", "worker", "worker"]);
  for (const process of stats.processes) {
    assert.ok(process.memory_bytes > 100000, JSON.stringify(process));
    assert.ok(process.cpu_seconds >= 0 && process.pid > 1 && process.starts === 1);
  }
  const { instances } = await ok(broker, "instances");
  assert.equal(instances.length, 1);
  assert.equal(instances[0].instance, "test");
  assert.equal(instances[0].workers, 2);
  assert.equal(instances[0].connections, 4);
  assert.deepEqual([instances[0].self, instances[0].local_only], [true, false]);
  assert.ok(Math.abs(Date.now() - instances[0].started) < 60000 && instances[0].uptime_s < 60);

  for (const accept of ["text/plain", "*/*", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text/html, application/jsonx"]) {
    assert.match((await broker.get("/metrics", { headers: { Accept: accept } })).headers["content-type"], /^text\/plain/);
  }
  assert.match((await broker.get("/metrics", { headers: { Accept: "text/html, application/json;q=0.9" } })).headers["content-type"], /json/);
  // RFC 9110 12.5.5: whoever keeps an answer must know that another Accept may get another; and by Origin, as everywhere.
  for (const accept of ["text/plain", "application/json"]) assert.deepEqual((await broker.get("/metrics", { headers: { Accept: accept } })).headers.vary.split(", ").sort(), ["Accept", "Origin"]);
  const head = await call(broker, "stats", undefined, { method: "HEAD" });
  assert.deepEqual([head.status, head.body], [200, undefined]);
});

testBroker("bodies come whole, in pieces, in chunks, slowly or not at all", { config: { ...config, "limits.max_body": "100KB", "limits.handshake_timeout": "3s" } }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("b");
  const raw = await connection(broker);
  const authorization = `Host: test\r\nAuthorization: Bearer ${KEY}\r\n`;
  // Byte by byte, on a connection that stays.
  for (const byte of post("publish", { channel: "b", data: "slow" })) raw.write(Buffer.from([byte]));
  assert.equal((await raw.answer()).json.published, 1);
  // Chunks: of one byte, with extensions and trailers, cut anywhere.
  const body = JSON.stringify({ channel: "b", data: "chunked" });
  const chunks = [...body].map((c) => `1;x=y\r\n${c}\r\n`).join("");
  const chunked = `POST /api/publish HTTP/1.1\r\n${authorization}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\nTrailer: 1\r\n\r\n`;
  raw.write(chunked + chunked);
  for (let at = 0; at < chunked.length; at += 11) raw.write(chunked.slice(at, at + 11));
  for (let i = 0; i < 3; i++) assert.equal((await raw.answer()).json.published, 1);
  // A large body.
  raw.write(post("publish", { channel: "b", data: "x".repeat(90000) }));
  assert.equal((await raw.answer()).json.published, 1);
  // Expect: 100-continue.
  raw.write(`POST /api/publish HTTP/1.1\r\n${authorization}Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
  assert.equal((await raw.response()).status, 100);
  raw.write(body);
  assert.equal((await raw.answer()).json.published, 1);
  assert.equal((await client.next("message")).data, "slow");
  for (let i = 0; i < 3; i++) assert.equal((await client.next("message")).data, "chunked");
  assert.equal((await client.next("message")).data.length, 90000);
  assert.equal((await client.next("message")).data, "chunked");

  // Refused, each on a connection that is closed afterwards.
  for (const [status, text] of [
    [413, `POST /api/publish HTTP/1.1\r\n${authorization}Content-Length: 100001\r\n\r\n`],
    [413, `POST /api/publish HTTP/1.1\r\n${authorization}Content-Length: 100001\r\nExpect: 100-continue\r\n\r\n`],
    [413, `POST /api/publish HTTP/1.1\r\n${authorization}Transfer-Encoding: chunked\r\n\r\n20000\r\n`],
    [400, `POST /api/publish HTTP/1.1\r\n${authorization}Transfer-Encoding: chunked\r\n\r\nx\r\n`],
    [401, `POST /api/publish HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n`],
    [404, `POST /api/none HTTP/1.1\r\n${authorization}Content-Length: 10\r\n\r\n`],
    [408, `POST /api/publish HTTP/1.1\r\n${authorization}Content-Length: 10\r\n\r\n{`],
    [408, `POST /api/publish HTTP/1.1\r\n${authorization}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`],
  ]) {
    const one = await connection(broker);
    one.write(text);
    const answer = await one.answer();
    assert.deepEqual([answer.status, answer.json.error.code, answer.headers.connection], [status, status, "close"], text);
    await one.rest();
  }
  // Sent by half: the client goes away.
  for (let i = 0; i < 50; i++) {
    const one = await broker.raw();
    one.write(post("publish", { channel: "b", data: "never" }).subarray(0, -1 - (i % 30)));
    one.socket.destroy();
  }
  await nothingLeft(broker);
  await client.ping();
  assert.equal(client.inbox.length, 0);
});

testBroker("calls on one connection are answered in their order, also when pipelined", { config }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("p");
  const raw = await connection(broker);
  const health = "GET /health HTTP/1.1\r\nHost: test\r\n\r\n";
  const round = Buffer.concat([
    post("publish", { channel: "p", data: 1 }), Buffer.from(health), post("direct", { client: client.id, data: 2 }),
    Buffer.from(read("channels")), post("publish", "{"), Buffer.from(read("stats")), post("subscribe", { client: client.id, channel: "q" }),
  ]);
  const statuses = [200, 200, 200, 200, 400, 200, 200];
  const rounds = 40;
  raw.write(Buffer.concat(Array(rounds).fill(round)));
  for (let i = 0; i < rounds; i++) {
    for (const status of statuses) assert.equal((await raw.answer()).status, status);
  }
  // The same in small pieces.
  for (let at = 0; at < round.length; at += 13) raw.write(round.subarray(at, at + 13));
  for (const status of statuses) assert.equal((await raw.answer()).status, status);
  // Half closed behind the requests: everything is answered, then it ends.
  const half = await connection(broker);
  half.socket.end(Buffer.concat([post("publish", { channel: "p", data: 1 }), Buffer.from(read("channels")), Buffer.from(health)]));
  for (let i = 0; i < 3; i++) assert.equal((await half.answer()).status, 200);
  await half.rest();
  // An upgrade behind a call.
  const upgraded = await connection(broker);
  upgraded.write(Buffer.concat([post("publish", { channel: "p", data: 1 }), Buffer.from(upgradeRequest("/ws"))]));
  assert.equal((await upgraded.answer()).status, 200);
  assert.equal((await upgraded.response()).status, 101);
  assert.equal((await upgraded.message()).type, "welcome");
  // Connection: close is kept, HTTP/1.0 closes.
  const last = await connection(broker);
  last.write(post("publish", { channel: "p", data: 1 }, "Connection: close\r\n"));
  assert.equal((await last.answer()).headers.connection, "close");
  await last.rest();
  // Many that leave before their answer.
  for (let i = 0; i < 100; i++) {
    const one = await broker.raw();
    one.write(Buffer.concat([post("publish", { channel: "p", data: 1 }), post("subscribe", { user: "x", channel: "y" })]));
    one.socket.destroy();
  }
  await until("nothing is left of them", async () => (await broker.metrics())("ringcast_api_calls") === 0);
});

testBroker("while the relay is away calls wait for it, or are told that they took too long", { config: { ...config, "server.stuck_kill_timeout": "30s" } }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("r");
  broker.kill("SIGSTOP", "relay");
  const raw = await connection(broker);
  const began = performance.now();
  raw.write(Buffer.concat([post("publish", { channel: "r", data: 1 }), Buffer.from("GET /health HTTP/1.1\r\nHost: test\r\n\r\n")]));
  const others = [];
  for (let i = 0; i < 5; i++) others.push(call(broker, i % 2 ? "publish" : "channels", i % 2 ? { channel: "r", data: i } : undefined));
  // Others go on meanwhile: who waited for the relay would be answered 504.
  await client.ping();
  await ok(broker, "stats");
  const answer = await raw.answer();
  assert.equal(answer.status, 504);
  assert.ok(performance.now() - began > 1500);
  assert.equal((await raw.answer()).status, 200, "what was pipelined behind it");
  for (const other of await Promise.all(others)) assert.equal(other.status, 504);
  broker.kill("SIGCONT", "relay");
  for (let i = 0; i < 3; i++) assert.equal((await client.next("message")).type, "message");
  await ok(broker, "publish", { channel: "r", data: "after" });
  // Killed in the middle of many: every call is answered, what was answered is delivered, nothing twice.
  let killed;
  const published = [];
  for (let i = 0; i < 300; i++) {
    if (i === 100) {
      killed = broker.kill("SIGKILL", "relay");
    }
    published.push(call(broker, "publish", { channel: "r", data: `k${i}`, idempotency_key: `k${i}` }));
    if (i % 10 === 0) await delay(5);
  }
  assert.ok(killed);
  const results = await Promise.all(published);
  for (const [i, { status, body }] of results.entries()) {
    assert.ok(status === 200 || status === 504 || status === 503, `${status}`);
    if (status !== 200) assert.equal((await ok(broker, "publish", { channel: "r", data: `k${i}`, idempotency_key: `k${i}` })).sequences.length, 1);
    else assert.equal(body.published, 1);
  }
  await ok(broker, "publish", { channel: "r", data: "end" });
  const got = [];
  do got.push((await client.next("message")).data); while (got.at(-1) !== "end");
  const mine = got.filter((data) => /^k/.test(data));
  assert.equal(mine.length, 300, "each of them once");
  assert.equal(new Set(mine).size, 300);
  await nothingLeft(broker);
});

testBroker("a worker that dies or hangs is told of, and the next call is right again", { config: { ...config, "server.adopt_crashed": false, "server.stuck_timeout": "1500ms", "server.stuck_kill_timeout": "3s" } }, async (broker) => {
  const [a, b] = await broker.connectMany([1, 1]);
  await a.subscribe("w");
  await b.subscribe("w");
  const raws = [await connection(broker), await connection(broker), await connection(broker), await connection(broker)];
  for (const raw of raws) {
    raw.write(read("instances")); // so that a worker has it, and it does not wait for the next one
    await raw.answer();
  }
  broker.kill("SIGSTOP", 1);
  for (const raw of raws) raw.write(read("channels"));
  // Those on the stopped worker get nothing before it is killed.
  const answers = await Promise.allSettled(raws.map((raw) => raw.answer({ timeout: 6000 })));
  for (const answer of answers) {
    if (answer.status === "fulfilled") assert.deepEqual(JSON.parse(answer.value.body), { channels: [{ channel: "w", subscribers: 1 }], next: null, incomplete: true, silent: [1] });
  }
  await broker.isReady();
  const list = await until("the list is right", async () => {
    const answer = await call(broker, "channels");
    return answer.status === 200 && !answer.body.incomplete && answer.body;
  });
  assert.deepEqual(list, { channels: [{ channel: "w", subscribers: 1 }], next: null });
  assert.deepEqual(await ok(broker, "subscribe", { client: a.id, channel: "w2" }), { subscribed: 1 });
  await refused(broker, 404, "subscribe", { client: b.id, channel: "w2" });
  await refused(broker, 404, "direct", { client: b.id, data: 1 });
});

testBroker("full rings: a single message is refused, a batch goes on when there is room", { config: { ...config, "limits.max_message_size": "16KB", "limits.max_body": "1MB", "server.ring_size": "64KiB", "server.overflow_size": "1MiB", "server.stuck_timeout": "20s", "server.stuck_kill_timeout": "30s" }, workers: 1 }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("f");
  broker.kill("SIGSTOP", "relay");
  const data = "x".repeat(8000);
  const batch = { messages: Array.from({ length: 60 }, (_, n) => ({ channel: "f", data: [n, data] })), idempotency_key: "all" };
  const waiting = call(broker, "publish", batch);
  const full = await until("the up ring is full", async () => {
    const answer = await call(broker, "publish", { channel: "f", data }, { timeout: 4000 });
    return answer.status === 503 && answer;
  });
  assert.equal(full.headers["retry-after"], "1");
  await client.ping();
  broker.kill("SIGCONT", "relay");
  const first = await waiting;
  assert.ok([200, 504].includes(first.status), JSON.stringify(first.body).slice(0, 300));
  // The relay may be busy still with what was sent: "try again" is an answer, as above.
  const again = await until("there is room for the batch", async () => {
    const answer = await call(broker, "publish", batch);
    assert.ok([200, 503].includes(answer.status), JSON.stringify(answer.body).slice(0, 300));
    return answer.status === 200 && answer.body;
  });
  assert.equal(again.published + again.duplicates, 60);
  await until("there is room for one more", async () => {
    const answer = await call(broker, "publish", { channel: "f", data: "end" });
    assert.ok([200, 503].includes(answer.status), JSON.stringify(answer.body));
    return answer.status === 200;
  });
  const got = [];
  do got.push((await client.next("message")).data); while (got.at(-1) !== "end");
  assert.deepEqual(got.filter(Array.isArray).map(([n]) => n).sort((a, b) => a - b), Array.from({ length: 60 }, (_, n) => n), "each of them once");
  // The same with room coming in time: one call publishes all.
  broker.kill("SIGSTOP", "relay");
  const later = call(broker, "publish", { ...batch, idempotency_key: "later" });
  await until("it waits", async () => (await broker.metrics())("ringcast_up_ring_full_total") > 0 && (await broker.metrics())("ringcast_api_calls") === 1);
  broker.kill("SIGCONT", "relay");
  const answer = await later;
  assert.deepEqual([answer.status, answer.body.published], [200, 60]);
  await nothingLeft(broker);
});

testBroker("a call that was given up waits for room no more, and what comes behind it on the connection goes on", { config: { ...config, "limits.max_message_size": "16KB", "limits.max_body": "1MB", "server.ring_size": "64KiB", "server.stuck_timeout": "20s", "server.stuck_kill_timeout": "30s" }, workers: 1 }, async (broker) => {
  const raw = await connection(broker);
  broker.kill("SIGSTOP", "relay");
  raw.write(post("publish", { messages: Array.from({ length: 60 }, () => ({ channel: "f", data: "x".repeat(8000) })) }));
  assert.equal((await raw.response({ timeout: 20000 })).status, 504);
  raw.write(upgradeRequest("/ws"));
  assert.equal((await raw.response()).status, 101);
  assert.equal((await raw.message()).type, "welcome");
  raw.json({ type: "ping", id: 1 });
  assert.equal((await raw.message()).type, "pong");
  broker.kill("SIGCONT", "relay");
});

testBroker("a call in progress is still answered when the broker drains", { config, logLines: 30 }, async (broker) => {
  const clients = await broker.connectMany([1, 1]); // by their end we know that both workers drain
  for (const client of clients) await client.subscribe("d");
  const raws = [await connection(broker), await connection(broker)];
  broker.kill("SIGSTOP", "relay");
  for (const raw of raws) raw.write(post("publish", { channel: "d", data: 1 }));
  await until("they wait", async () => (await broker.metrics())("ringcast_api_calls") === 2);
  process.kill(broker.pid, "SIGTERM");
  for (const client of clients) assert.equal((await client.closed).code, 1012);
  broker.kill("SIGCONT", "relay");
  for (const raw of raws) {
    const answer = await raw.answer();
    assert.deepEqual([answer.status, answer.json.published, answer.headers.connection], [200, 1, "close"]);
    await raw.rest();
  }
  assert.deepEqual(await broker.exited, { code: 0, signal: null });
});
