// Every number that a reload may change (config.def: RELOAD) has its whole effect then. The table below says for each how that is
// seen, from one value to another that is far away; a key without an entry, and an entry without a key, fails the first test.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import test from "node:test";
import { startBackend } from "./lib/backend.mjs";
import { io as connectSocketIo } from "socket.io-client";
import { run, startBroker } from "./lib/broker.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { APP, connectPusher, pusherConfig, refused as pusherRefused, sdk, subscribe } from "./lib/pusher.mjs";
import { NO_REDIS, startRedis } from "./lib/redis.mjs";
import { openStream } from "./lib/sse.mjs";
import { ROOT, until, within } from "./lib/util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const IDENTITY_SECRET = "a-secret-of-at-least-thirty-two-bytes";
const API_KEY = "key-of-the-tests";
const NEVER = "24h";

const open = (broker) => broker.connect();
const closedWith = async (client, code) => assert.equal((await within(5000, client.closed, "the server closes")).code, code);
const status = async (broker, path, options) => (await broker.get(path, options)).status;
const metric = async (broker, name) => (await broker.metrics())(name);
const grown = (broker, name, from = 0) => until(`${name} grows`, async () => (await metric(broker, name)) > from);
const upgraded = async (broker, headers) => {
  const raw = await broker.raw();
  raw.write(upgradeRequest("/ws", headers));
  const answer = await raw.response();
  raw.end();
  return answer;
};
const extensions = async (broker) => (await upgraded(broker, { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits; server_max_window_bits=15" })).headers["sec-websocket-extensions"] ?? "";

/* A connection that takes nothing any more, with little room in the kernel. */
async function stopped(broker, channel) {
  const raw = await broker.frames("/ws");
  if (channel) {
    raw.json({ type: "subscribe", channel, id: 1 });
    assert.equal((await raw.message()).type, "subscribed");
  }
  raw.socket.pause();
  return raw;
}
const NARROW = { "limits.send_buffer": "4KiB", "limits.notsent_lowat": "1KiB" };

/* Bytes that can be published to a channel with a stopped subscriber before it falls off. */
async function bytesUntilOff(broker) {
  const before = await metric(broker, "ringcast_slow_disconnected_total");
  const publisher = await open(broker);
  await stopped(broker, "log:1");
  const data = "x".repeat(20000);
  for (let bytes = 0; ; bytes += 20 * data.length) {
    if ((await metric(broker, "ringcast_slow_disconnected_total")) > before) return bytes;
    assert.ok(bytes < 50e6, "it falls off some time");
    for (let i = 0; i < 20; i++) await publisher.publish("log:1", data);
  }
}

const HISTORY = { history_who: "anyone" };
const remembered = async (client) => (await client.expect("history", { type: "history", channel: "ns:1", since: 0, limit: 1000 })).messages;

/* How many messages of 100 bytes are remembered, before the reload and after it. */
/* A client that follows who comes and goes in ns:1. */
async function followed(broker) {
  const client = await broker.connect({ path: "/ws?user=a" });
  const said = [];
  client.ondelivery = (message) => said.push(message);
  await client.expect("subscribed", { type: "subscribe", channel: "ns:1", presence: true });
  return { last: () => said.at(-1), told: (user) => said.some(({ joined, members }) => [...(joined ?? []), ...(members ?? [])].some((one) => one.user === user)) };
}

async function kept(broker, reload, count, more, check) {
  const client = await open(broker);
  const publish = async (n) => { for (let i = 0; i < n; i++) await client.publish("ns:1", "x".repeat(100)); };
  await publish(count);
  const before = (await remembered(client)).length;
  await reload();
  await publish(more);
  check(before, (await remembered(client)).length);
}

/* The status that answers a connection of the user. */
async function refused(broker, user) {
  const raw = await broker.raw();
  raw.write(upgradeRequest(`/ws?user=${user}`, {}));
  const answer = await raw.response();
  raw.end();
  return answer.status;
}

/* Five pass before the reload, fifty after it. */
async function rated(broker, reload, operation) {
  const client = await open(broker);
  const passed = async () => {
    const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => client.request(operation(i))));
    return answers.filter(({ type, code }) => type !== "error" || code !== 429).length;
  };
  assert.equal(await passed(), 5);
  await reload();
  assert.equal(await passed(), 50);
}

/* The most bytes of answers that wait for a connection that takes none, before it is not read any more. */
async function repliesUntilPaused(broker) {
  const raw = await stopped(broker);
  const before = await metric(broker, "ringcast_read_pauses_total");
  const others = await metric(broker, "ringcast_reply_bytes"); // of one that was stopped earlier
  for (let id = 1; (await metric(broker, "ringcast_read_pauses_total")) === before; id++) {
    assert.ok(id < 4000, "it is not read any more some time");
    for (let i = 0; i < 50; i++) raw.json({ type: "ping", id: `${id}-${i}-${"p".repeat(40)}` });
  }
  return (await metric(broker, "ringcast_reply_bytes")) - others;
}

const KEYS = {
  "sse.retry": { from: "10s", to: "100ms", see: async (broker, reload) => {
    const told = async () => {
      const stream = await openStream(broker, "/sse?channel=a");
      await until("it begins", () => stream.retry !== null);
      return stream.retry;
    };
    assert.ok((await told()) >= 5000);
    await reload();
    assert.ok((await told()) < 150);
  } },
  "server.drain_timeout": { from: NEVER, to: "300ms", see: async (broker, reload) => {
    const raw = await broker.frames("/ws"); // never answers a close
    await reload();
    process.kill(broker.pid, "SIGTERM");
    await within(10000, broker.exited, "the broker ends");
    raw.end();
  } },
  "server.stuck_timeout": { from: "1h", to: "1500ms", config: { "server.stuck_kill_timeout": "0s" }, see: async (broker, reload) => {
    await reload();
    broker.kill("SIGSTOP", 0);
    await until("it is found stuck", () => broker.log.some((line) => /child_stuck/.test(line)), { timeout: 20000 });
    broker.kill("SIGCONT", 0);
  } },
  "server.stuck_kill_timeout": { from: "0s", to: "1600ms", config: { "server.stuck_timeout": "1500ms" }, see: async (broker, reload) => {
    await reload();
    const pid = broker.kill("SIGSTOP", 0);
    await until("it is replaced", () => broker.pids().workers[0] && broker.pids().workers[0] !== pid, { timeout: 20000 });
  } },
  "limits.handshake_timeout": { from: "1h", to: "200ms", see: async (broker, reload) => {
    await reload();
    await (await broker.raw()).rest(5000);
    assert.ok((await metric(broker, 'ringcast_timeouts_total{reason="handshake"}')) >= 1);
  } },
  "limits.idle_timeout": { from: "0s", to: "300ms", see: async (broker, reload) => {
    const client = await open(broker); // there already
    await reload();
    await within(5000, client.closed, "it is closed as idle");
    assert.equal(await metric(broker, 'ringcast_timeouts_total{reason="idle"}'), 1);
  } },
  "limits.ping_interval": { from: "0s", to: "200ms", see: async (broker, reload) => {
    const client = await open(broker);
    const pinged = new Promise((done) => client.socket.once("ping", done));
    await reload();
    await within(5000, pinged, "one that was there is pinged");
  } },
  "limits.pong_timeout": { from: "4s", to: "100s", config: { "limits.ping_interval": "300ms" }, see: async (broker, reload) => {
    const clients = [await open(broker), await open(broker)];
    await grown(broker, "ringcast_pings_sent_total", 1); // their pongs are looked at a second later
    await reload();
    const over = performance.now() + 5500;
    await until("the former time is over", async () => performance.now() > over && (await metric(broker, "ringcast_pongs_received_total")) > 0);
    assert.deepEqual(clients.map((client) => client.closeCode), [undefined, undefined], "who answered stays");
    const raw = await broker.frames("/ws"); // answers no ping
    await until("it is pinged", async () => (await raw.frame(8000)).opcode === 9);
    broker.writeConfig({ ...broker.config, "limits.pong_timeout": "200ms" });
    assert.equal((await run(["reload", "-c", broker.configPath])).code, 0);
    await raw.rest(8000);
    assert.ok((await metric(broker, 'ringcast_timeouts_total{reason="pong"}')) >= 1);
  } },
  "limits.close_timeout": { from: "1h", to: "200ms", see: async (broker, reload) => {
    const raw = await broker.frames("/ws");
    await reload();
    raw.send({ opcode: 3, payload: "" }); // there is no such opcode: 1002, and no answer from here
    await raw.rest(5000);
  } },
  "limits.max_channels": { from: 10, to: 1000, config: { "server.max_connections": 8 }, see: async (broker, reload) => {
    const clients = [await open(broker), await open(broker), await open(broker)];
    const [first] = clients;
    for (let i = 0; i < 10; i++) await first.subscribe(`a:${i}`);
    await first.refused(429, { type: "subscribe", channel: "a:10" });
    await reload();
    for (const [i, client] of clients.entries()) {
      const count = i === 0 ? 990 : 1000;
      await Promise.all(Array.from({ length: count }, (_, n) => client.subscribe(`b${i}:${n}`)));
      await client.refused(429, { type: "subscribe", channel: "one:more" });
    }
  } },
  "limits.max_channel_name": { from: 2, to: 200, see: async (broker, reload) => {
    const client = await open(broker);
    await client.refused(400, { type: "subscribe", channel: "abc" });
    await reload();
    await client.subscribe("c".repeat(200));
    await client.refused(400, { type: "subscribe", channel: "c".repeat(201) });
  } },
  "limits.max_frames_per_message": { from: 2, to: 200, see: async (broker, reload) => {
    const [one, other] = [await broker.frames("/ws"), await broker.frames("/ws")];
    const fragments = (raw, count) => {
      const text = JSON.stringify({ type: "ping", id: 1 }).padEnd(count, " ");
      for (let i = 0; i < count; i++) raw.send({ opcode: i === 0 ? 1 : 0, payload: i === count - 1 ? text.slice(i) : text[i], fin: i === count - 1 });
    };
    fragments(one, 3);
    assert.equal((await one.frame()).opcode, 8);
    await reload();
    fragments(other, 200);
    assert.equal((await other.message()).type, "pong");
    fragments(other, 201);
    assert.equal((await other.frame()).opcode, 8);
  } },
  ...Object.fromEntries(["address", "network"].map((what) => [`limits.max_connections_per_${what}`, { from: 0, to: 2, see: async (broker, reload) => {
    const there = [await open(broker), await open(broker)];
    await reload();
    assert.equal((await upgraded(broker)).status, 429, "those that are there count");
    await there[0].close();
    await until("there is room for one", async () => (await upgraded(broker)).status === 101);
    broker.writeConfig({ ...broker.config, [`limits.max_connections_per_${what}`]: 200 });
    assert.equal((await run(["reload", "-c", broker.configPath])).code, 0);
    await Promise.all(Array.from({ length: 150 }, () => open(broker)));
  } }])),
  "limits.max_connections_per_user": { from: 0, to: 3, config: { "debug.user_query": "user" }, see: async (broker, reload) => {
    for (let i = 0; i < 2; i++) await broker.connect({ path: "/ws?user=u1" });
    await reload();
    await broker.connect({ path: "/ws?user=u1" });
    assert.equal(await refused(broker, "u1"), 429, "those of before count");
    await broker.connect({ path: "/ws?user=u2" });
  } },
  "limits.accept_rate": { from: 0, to: 1, see: async (broker, reload) => {
    const many = async () => (await Promise.all(Array.from({ length: 20 }, () => status(broker, "/health")))).filter((code) => code === 200).length;
    assert.equal(await many(), 20);
    await reload();
    assert.ok((await many()) < 15);
    broker.writeConfig({ ...broker.config, "limits.accept_rate": 100 });
    assert.equal((await run(["reload", "-c", broker.configPath])).code, 0);
    await until("a burst of 20 passes", async () => (await many()) === 20);
  } },
  "limits.message_rate": { from: 1, to: 1000, config: { "limits.rate_policy": "close" }, see: async (broker, reload) => {
    const [one, other] = [await open(broker), await open(broker)];
    for (let i = 0; i < 20; i++) one.send({ type: "ping" });
    await closedWith(one, 1008);
    await reload();
    await Promise.all(Array.from({ length: 100 }, () => other.ping()));
  } },
  "limits.byte_rate": { from: "200B", to: "1MB", config: { "limits.rate_policy": "close" }, see: async (broker, reload) => {
    const [one, other] = [await open(broker), await open(broker)];
    const data = "d".repeat(5000);
    for (let i = 0; i < 3; i++) one.send({ type: "publish", channel: "a", data });
    await closedWith(one, 1008);
    await reload();
    for (let i = 0; i < 10; i++) await other.publish("a", data);
  } },
  "limits.write_timeout": { from: "0s", to: "300ms", config: { "limits.ping_interval": "0s", namespace: [{ name: "log", slow_consumer: "skip" }], ...NARROW }, see: async (broker, reload) => {
    await stopped(broker, "log:1");
    const publisher = await open(broker);
    const data = "x".repeat(20000);
    await until("it takes nothing any more", async () => {
      for (let i = 0; i < 20; i++) await publisher.publish("log:1", data);
      return (await metric(broker, "ringcast_slow_skipped_total")) > 0;
    });
    assert.equal(await metric(broker, 'ringcast_timeouts_total{reason="write"}'), 0);
    await reload();
    await grown(broker, 'ringcast_timeouts_total{reason="write"}');
  } },
  "limits.max_request": { from: "1KiB", to: "64KiB", see: async (broker, reload) => {
    const headers = { "X-Much": "m".repeat(15000), "X-More": "m".repeat(15000), "X-Most": "m".repeat(15000), "X-All": "m".repeat(15000) };
    const ask = async () => {
      const raw = await broker.raw();
      raw.write(`GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`);
      return (await raw.response()).status;
    };
    assert.equal(await ask(), 431);
    await reload();
    assert.equal(await ask(), 200);
  } },
  "limits.max_request_headers": { from: 8, to: 128, see: async (broker, reload) => {
    const headers = Object.fromEntries(Array.from({ length: 120 }, (_, i) => [`X-${i}`, "1"]));
    assert.equal(await status(broker, "/health", { headers }), 431);
    await reload();
    assert.equal(await status(broker, "/health", { headers }), 200);
  } },
  "limits.max_body": { from: "50B", to: "5000B", config: { "http.api_keys": [API_KEY] }, see: async (broker, reload) => {
    const call = () => status(broker, "/api/publish", { method: "POST", headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" }, body: JSON.stringify({ channel: "a", data: "b".repeat(4000) }) });
    assert.equal(await call(), 413);
    await reload();
    assert.equal(await call(), 200);
  } },
  "limits.channel_log": { from: "20KiB", to: "2MiB", config: { "limits.channel_log_messages": 0, "limits.ping_interval": "0s", namespace: [{ name: "log", slow_consumer: "disconnect" }], ...NARROW }, see: async (broker, reload) => {
    const before = await bytesUntilOff(broker);
    await reload();
    const after = await bytesUntilOff(broker);
    assert.ok(after > before + 1.5e6, `${before} bytes before, ${after} after`);
  } },
  "limits.channel_log_messages": { from: 0, to: 2000, config: { "limits.channel_log": "20KiB", "limits.ping_interval": "0s", namespace: [{ name: "log", slow_consumer: "disconnect" }], ...NARROW }, see: async (broker, reload) => {
    const before = await bytesUntilOff(broker);
    await reload();
    const after = await bytesUntilOff(broker);
    assert.ok(after > before + 1.5e6, `${before} bytes before, ${after} after`);
  } },
  "limits.max_replies": { from: "1KiB", to: "100KiB", config: { "limits.ping_interval": "0s", ...NARROW }, see: async (broker, reload) => {
    const before = await repliesUntilPaused(broker);
    await reload();
    const after = await repliesUntilPaused(broker);
    assert.ok(before < 50000 && after > 100000 && after < 250000, `${before} bytes before, ${after} after`);
  } },
  "overload.max_turn": { from: "0s", to: "1ms", see: async (broker, reload) => {
    const audience = await Promise.all(Array.from({ length: 50 }, () => open(broker)));
    await Promise.all(audience.map((client) => client.subscribe("hog")));
    await reload();
    const data = "x".repeat(20000);
    await until("its passes are too long", async () => {
      await Promise.all(Array.from({ length: 16 }, () => audience[0].publish("hog", data)));
      for (const client of audience) client.inbox.length = 0;
      return broker.log.some((line) => / overload .*because="long turns"/.test(line));
    });
  } },
  "overload.max_memory": { from: "0", to: "1MiB", see: async (broker, reload) => {
    await reload();
    await until("it sheds", async () => (await upgraded(broker)).status === 503);
  } },
  "overload.min_available": { from: "0", to: "4TiB", see: async (broker, reload) => {
    await reload();
    await until("it sheds", async () => (await upgraded(broker)).status === 503);
  } },
  "overload.max_handshakes": { from: 0, to: 3, see: async (broker, reload) => {
    for (let i = 0; i < 3; i++) (await broker.raw()).write("GET / HTTP/1.1\r\n");
    assert.equal(await status(broker, "/health"), 200);
    await reload();
    assert.equal(await status(broker, "/health"), 503, "those that are there count");
    broker.writeConfig({ ...broker.config, "overload.max_handshakes": 300 });
    assert.equal((await run(["reload", "-c", broker.configPath])).code, 0);
    for (let i = 0; i < 200; i++) (await broker.raw()).write("GET / HTTP/1.1\r\n");
    assert.equal(await status(broker, "/health"), 200);
  } },
  "redis.outbox_max_age": { from: "1h", to: "100ms", redis: true, see: async (broker, reload, redis) => {
    const client = await open(broker);
    await redis.kill();
    await until("Redis is away", async () => (await status(broker, "/health/redis")) === 503);
    await client.publish("a", 1);
    assert.ok((await metric(broker, "ringcast_redis_outbox_messages")) >= 1);
    await reload();
    await until("what waits is too old", async () => (await metric(broker, "ringcast_redis_outbox_messages")) === 0);
    assert.ok((await metric(broker, "ringcast_redis_outbox_dropped_total")) >= 1);
  } },
  "redis.history_wait": { from: "60s", to: "100ms", redis: true, config: { namespace: [{ name: "ns", history: 10 }] }, see: async (broker, reload, redis) => {
    const client = await open(broker);
    await redis.kill();
    await until("Redis is away", async () => (await status(broker, "/health/redis")) === 503);
    const published = client.publish("ns:1", 1, { timeout: 20000 });
    await until("it waits", async () => (await metric(broker, "ringcast_history_shared_waiting")) === 1);
    await reload();
    await published;
    assert.equal(await metric(broker, "ringcast_history_alone_total"), 1);
  } },
  "cluster.heartbeat_interval": { from: "1h", to: "200ms", redis: true, config: { "cluster.dead_instance_threshold": NEVER }, see: async (broker, reload, redis) => {
    const watcher = await redis.connect();
    await watcher.command("PSUBSCRIBE", "ws:instance:*:heartbeat");
    await reload();
    await until("three heartbeats", () => watcher.messages.length >= 3);
  } },
  "cluster.dead_instance_threshold": { from: NEVER, to: "1s", redis: true, config: { "cluster.heartbeat_interval": "200ms" }, see: async (broker, reload, redis) => {
    const other = await startBroker({ workers: 1, config: { "server.instance_id": "other", "redis.url": redis.url, "cluster.heartbeat_interval": "200ms", "cluster.dead_instance_threshold": "1s" } });
    try {
      await until("they know each other", async () => (await metric(broker, "ringcast_instances")) === 1);
      other.killAll();
      await reload();
      await grown(broker, "ringcast_instance_cleanups_total");
    } finally {
      await other.destroy();
    }
  } },
  "presence.offline_delay": { from: "1h", to: "0s", redis: true, config: { "debug.user_query": "user", "presence.events_channel": "players" }, see: async (broker, reload) => {
    const [watcher, user] = [await open(broker), await broker.connect({ path: "/ws?user=u" })];
    await watcher.subscribe("players");
    await reload();
    await user.close();
    await watcher.next((message) => JSON.stringify(message).includes("player:offline"), 8000);
  } },
  "compression.threshold": { from: "1MiB", to: "100B", config: { "compression.enabled": true }, see: async (broker, reload) => {
    const client = await broker.connect({ perMessageDeflate: true });
    await client.subscribe("a");
    const send = async () => {
      await client.publish("a", "z".repeat(5000));
      await client.next("message");
      return metric(broker, "ringcast_deflated_messages_total");
    };
    assert.equal(await send(), 0);
    await reload();
    assert.ok((await send()) > 0);
  } },
  "compression.server_window_bits": { from: 9, to: 15, config: { "compression.enabled": true }, see: async (broker, reload) => {
    assert.match(await extensions(broker), /server_max_window_bits=9/);
    await reload();
    assert.match(await extensions(broker), /server_max_window_bits=15/);
  } },
  "compression.client_window_bits": { from: 0, to: 15, config: { "compression.enabled": true }, see: async (broker, reload) => {
    assert.match(await extensions(broker), /client_no_context_takeover/);
    await reload();
    assert.doesNotMatch(await extensions(broker), /client_no_context_takeover/);
  } },
  "socketio.event_rate": { from: "5/1h", to: "50/1h", config: { "socketio.path": "/socket.io/", event: [{ on: "say", ack: ["done"] }] }, see: async (broker, reload) => {
    const socket = connectSocketIo(`http://${broker.host}/`, { transports: ["websocket"], forceNew: true, reconnection: false });
    const passed = async () => {
      const answers = await Promise.all(Array.from({ length: 60 }, () => new Promise((done) => socket.emit("say", done))));
      return answers.filter((answer) => answer === "done").length;
    };
    try {
      assert.equal(await passed(), 5);
      await reload();
      assert.equal(await passed(), 50);
    } finally {
      socket.close();
    }
  } },
  "http.cors_max_age": { from: "10s", to: "1000s", config: { "http.allowed_origins": ["https://a.example"] }, see: async (broker, reload) => {
    const age = async () => (await broker.get("/health", { method: "OPTIONS", headers: { Origin: "https://a.example", "Access-Control-Request-Method": "GET" } })).headers["access-control-max-age"];
    assert.equal(await age(), "10");
    await reload();
    assert.equal(await age(), "1000");
  } },
  "socketio.recovery_max": { from: "1KiB", to: "100KiB", config: { "socketio.path": "/socket.io/", "socketio.recovery": "1m", event: [
    { on: "join", join: ["room"], ack: ["ok"] }, { on: "say", ack: ["ok"], emit: [{ to: "room", event: "said", args: ["{args.0}"] }] },
  ] }, see: async (broker, reload) => {
    const connected = async (options) => {
      const socket = connectSocketIo(`http://${broker.host}/`, { transports: ["websocket"], forceNew: true, ...options });
      await once(socket, "connect");
      return socket;
    };
    const once = (socket, event) => new Promise((done) => socket.once(event, done));
    const speaker = await connected({ reconnection: false });
    const recovers = async () => {
      const socket = await connected({ reconnectionDelay: 300, randomizationFactor: 0 });
      try {
        await socket.emitWithAck("join");
        const said = once(socket, "said");
        await speaker.emitWithAck("say", "first");
        await said;
        const gone = once(socket, "disconnect");
        socket.io.engine.close();
        await gone;
        await speaker.emitWithAck("say", "x".repeat(10000));
        await once(socket, "connect");
        return socket.recovered;
      } finally {
        socket.close();
      }
    };
    try {
      assert.equal(await recovers(), false, "it missed more than that");
      await reload();
      assert.equal(await recovers(), true);
    } finally {
      speaker.close();
    }
  } },
  "socketio.ack_timeout": { not: "seen here, where no Node server asks: tests/unit/worker/engine/test_acks.c has a clock of its own" },
  "identity.leeway": { from: "10m", to: "0s", see: async (broker, reload) => {
    const token = jwt.sign({ sub: "1", nbf: Math.floor(Date.now() / 1000) + 300 }, IDENTITY_SECRET, { algorithm: "HS256", expiresIn: "1h" });
    const answer = () => upgraded(broker, { Authorization: `Bearer ${token}` });
    assert.equal((await answer()).status, 101);
    await reload();
    assert.equal((await answer()).status, 401, "it is not valid yet");
  } },
  "identity.jwks_refresh": { not: "seen here, where nobody waits for a minute: tests/unit/acceptor/keys/test_keyring.c has a clock of its own" },
  "backend.timeout": { from: "1h", to: "200ms", see: async (broker, reload, redis, backend) => {
    backend.answer = () => new Promise(() => {});
    await reload();
    assert.equal((await (await open(broker)).request({ type: "subscribe", channel: "a" })).code, 503);
  } },
  "backend.connections": { from: 1, to: 8, see: async (broker, reload, redis, backend) => {
    backend.answer = () => new Promise(() => {});
    const asked = async (count, channels) => {
      for (const channel of channels) (await open(broker)).send({ type: "subscribe", channel, id: 1 });
      await until(`${count} were asked`, () => backend.calls.length >= count);
    };
    await asked(1, ["a", "b"]);
    assert.equal(backend.calls.length, 1, "the other one waits");
    await reload();
    await asked(3, ["c", "d"]);
  } },
  "backend.max_waiting": { from: 1024, to: 1, backend: { connections: 1 }, see: async (broker, reload, redis, backend) => {
    backend.answer = () => new Promise(() => {});
    await reload();
    const clients = await Promise.all(["a", "b", "c"].map(() => open(broker)));
    const codes = [];
    clients.forEach((client, i) => client.request({ type: "subscribe", channel: `c${i}` }).then((answer) => codes.push(answer.code), () => {}));
    await until("one is refused", () => codes.length === 1);
    assert.deepEqual(codes, [503]);
  } },
  "backend.max_body": { from: "1MiB", to: "128B", see: async (broker, reload, redis, backend) => {
    backend.answer = () => ({ allow: true, padding: "x".repeat(1000) });
    const client = await open(broker);
    await client.subscribe("a");
    await reload();
    assert.equal((await client.request({ type: "subscribe", channel: "b" })).code, 503);
  } },
  "backend.max_frame": { not: "here, where the backend is asked call by call: tests/e2e/link.test.mjs has a link" },
  "backend.grace": { not: "here, where the backend is asked call by call: tests/e2e/link_resume_broker.test.mjs has links" },
  "backend.max_held": { not: "by itself: a link whose table has changed is made anew as a whole" },
  "backend.max_held_all": { not: "by itself: likewise" },
  "backend.max_unsent": { not: "by itself: a link whose table has changed is made anew as a whole, as max_frame shows" },
  "backend.per_client": { not: "by itself: a table that has changed is opened anew as a whole, as the other numbers show" },
  "namespace.history": { from: 1, to: 100, namespace: HISTORY, see: (broker, reload) => kept(broker, reload, 5, 90, (before, after) => assert.deepEqual([before, after], [1, 91])) },
  "namespace.history_bytes": { from: "512B", to: "1MiB", namespace: { ...HISTORY, history: 100 }, see: (broker, reload) => kept(broker, reload, 20, 60, (before, after) => {
    assert.ok(before < 10, `${before} of 20`);
    assert.equal(after, before + 60);
  }) },
  "namespace.history_ttl": { from: "1ms", to: "1h", namespace: { ...HISTORY, history: 100 }, see: async (broker, reload) => {
    const client = await open(broker);
    await client.publish("ns:1", 1);
    await until("it is too old", async () => (await remembered(client)).length === 0, { every: 2 });
    await reload();
    await client.publish("ns:1", 2);
    for (let i = 0; i < 20; i++) await client.ping();
    assert.equal((await remembered(client)).length, 1);
  } },
  "namespace.retained_keys": { from: 1, to: 100, namespace: { retain: "anyone" }, see: async (broker, reload) => {
    const values = async () => {
      const client = await open(broker);
      await client.expect("subscribed", { type: "subscribe", channel: "ns:1", retained: true });
      await client.ping();
      return client.inbox.length;
    };
    const client = await open(broker);
    for (let i = 0; i < 5; i++) await client.publish("ns:1", i, { key: `a${i}`, retain: true });
    assert.equal(await values(), 1);
    await reload();
    for (let i = 0; i < 90; i++) await client.publish("ns:1", i, { key: `b${i}`, retain: true });
    assert.equal(await values(), 91);
  } },
  "pusher_app.client_event_rate": { from: "2/24h", to: "500/24h", see: async (broker, reload) => {
    const [one, two] = [await connectPusher(broker), await connectPusher(broker)];
    const [from, to] = [await subscribe(one, "private-a"), await subscribe(two, "private-a")];
    for (let i = 0; i < 4; i++) from.trigger("client-x", i);
    await until("two are refused", () => one.errors.length === 2);
    await reload();
    for (let i = 0; i < 50; i++) from.trigger("client-y", i);
    await until("they come", () => to.got.filter(([name]) => name === "client-y").length === 50);
  } },
  "pusher_app.max_members": { from: 1, to: 2, see: async (broker, reload) => {
    await subscribe(await connectPusher(broker, { user: "1" }), "presence-a");
    await pusherRefused(await connectPusher(broker, { user: "2" }), "presence-a");
    await reload();
    await subscribe(await connectPusher(broker, { user: "3" }), "presence-a");
  } },
  "pusher_app.max_event_channels": { from: 1, to: 2, see: async (broker, reload) => {
    await assert.rejects(sdk(broker).trigger(["a", "b"], "e", 1), (error) => error.status === 400);
    await reload();
    assert.equal((await sdk(broker).trigger(["a", "b"], "e", 1)).status, 200);
  } },
  "pusher_app.max_batch": { from: 1, to: 2, see: async (broker, reload) => {
    const batch = () => sdk(broker).triggerBatch([{ channel: "a", name: "e", data: 1 }, { channel: "b", name: "e", data: 1 }]);
    await assert.rejects(batch(), (error) => error.status === 400);
    await reload();
    assert.equal((await batch()).status, 200);
  } },
  "pusher_app.max_event_size": { from: 10, to: 1000, see: async (broker, reload) => {
    await assert.rejects(sdk(broker).trigger("a", "e", "x".repeat(100)), (error) => error.status === 413);
    await reload();
    assert.equal((await sdk(broker).trigger("a", "e", "x".repeat(100))).status, 200);
  } },
  "pusher_app.activity_timeout": { from: "120s", to: "7s", see: async (broker, reload) => {
    const told = async () => (await connectPusher(broker)).connection.activityTimeout;
    assert.equal(await told(), 120000);
    await reload();
    assert.equal(await told(), 7000);
  } },
  "pusher_app.authorize_within": { from: "1h", to: "1s", see: async (broker, reload) => {
    const stays = await connectPusher(broker);
    await reload();
    const ends = await connectPusher(broker);
    const error = await within(10000, new Promise((done) => ends.connection.bind("error", done)), "it is told that its time is over");
    assert.equal(error.data?.code ?? error.error?.data?.code, 4009);
    assert.equal(stays.connection.state, "connected");
  } },
  "namespace.min_interval": { from: "0s", to: "1h", see: async (broker, reload) => {
    const client = await open(broker);
    await client.subscribe("ns:1");
    for (let i = 0; i < 2; i++) {
      await client.publish("ns:1", i);
      await client.next("message");
    }
    await reload();
    for (let i = 0; i < 5; i++) await client.publish("ns:1", i);
    assert.equal((await client.next("message")).data, 0);
    await client.ping();
    assert.deepEqual(client.inbox, [], "the others wait for their hour");
  } },
  "namespace.publish_rate": { from: "5/1h", to: "50/1h", see: (broker, reload) => rated(broker, reload, (i) => ({ type: "publish", channel: "ns:1", data: i })) },
  "namespace.publish_rate_bytes": { from: "1000B/1h", to: "10000B/1h", see: (broker, reload) => rated(broker, reload, () => ({ type: "publish", channel: "ns:1", data: "d".repeat(198) })) },
  "namespace.subscribe_rate": { from: "5/1h", to: "50/1h", see: (broker, reload) => rated(broker, reload, (i) => ({ type: "subscribe", channel: `ns:${i}` })) },
  "namespace.unsubscribe_rate": { from: "5/1h", to: "50/1h", see: (broker, reload) => rated(broker, reload, (i) => ({ type: "unsubscribe", channel: `ns:${i}` })) },
  "namespace.presence_interval": { from: "1h", to: "50ms", namespace: { presence_events: true }, config: { "debug.user_query": "user" }, see: async (broker, reload) => {
    const { told } = await followed(broker);
    await (await broker.connect({ path: "/ws?user=b" })).subscribe("ns:1");
    const c = await broker.connect({ path: "/ws?user=c" });
    for (let i = 0; i < 20; i++) await c.ping();
    assert.ok(!told("b"));
    await reload();
    await c.subscribe("ns:1");
    await until("it is told of both", () => told("b") && told("c"));
  } },
  "namespace.presence_members": { from: 1, to: 100, namespace: { presence_events: true, presence_interval: "50ms" }, config: { "debug.user_query": "user" }, see: async (broker, reload) => {
    const { last } = await followed(broker);
    await (await broker.connect({ path: "/ws?user=b" })).subscribe("ns:1");
    await until("they are too many", () => last()?.more === true && last().users === 2);
    await reload();
    await (await broker.connect({ path: "/ws?user=c" })).subscribe("ns:1");
    await until("they are named", () => last().more === false && last().members.length === 3);
  } },
  "namespace.max_keys": { from: 1, to: 100, namespace: { min_interval: "1h" }, see: async (broker, reload) => {
    const client = await open(broker);
    await client.subscribe("ns:1");
    for (let i = 0; i < 5; i++) await client.publish("ns:1", i, { key: `a${i}` });
    await client.ping();
    assert.equal(client.inbox.length, 2, "its one key, and the first of all others");
    client.inbox.length = 0;
    await reload();
    for (let i = 0; i < 90; i++) await client.publish("ns:1", i, { key: `b${i}` });
    await client.ping();
    assert.equal(client.inbox.length, 90);
  } },
};

test("every number that a reload changes has an entry", () => {
  const table = readFileSync(join(ROOT, "common/config/config.def"), "utf8");
  const found = [...table.matchAll(/^RC_CONFIG_KEY\((\w+), (\w+), (UINT|SIZE|DURATION|RATE|RATE_BYTES|WORKERS), .*, (RELOAD|RESTART),$/gm)];
  assert.ok(found.length > 40, "the table is read");
  const wanted = found.filter(([, , , , when]) => when === "RELOAD").map(([, section, key]) => `${section}.${key}`);
  assert.deepEqual(Object.keys(KEYS).sort(), wanted.sort());
});

for (const [key, entry] of Object.entries(KEYS)) {
  if (entry.not) continue;
  test(`${key}: ${entry.from} to ${entry.to}`, { skip: entry.redis && NO_REDIS }, async () => {
    const redis = entry.redis ? await startRedis() : null;
    const own = key.startsWith("namespace.");
    const identity = key.startsWith("identity.");
    const backend = key.startsWith("backend.") ? await startBackend({ secret: "" }) : null;
    const app = (what) => ({ name: "app", url: [backend.url], calls: ["subscribe"], breaker: "", ...entry.backend, [key.split(".")[1]]: what });
    const value = (what) => (key.startsWith("pusher_app.") ? pusherConfig([{ ...APP, client_events: true, [key.split(".")[1]]: what }]) : backend ? { backend: [app(what)] } : identity ? { identity: [{ from: ["header.authorization"], secret: IDENTITY_SECRET, [key.split(".")[1]]: what }] } : own ? { namespace: [{ name: "ns", ...entry.namespace, [key.split(".")[1]]: what }] } : { [key]: what });
    let broker;
    try {
      broker = await startBroker({ workers: 1, config: { ...(redis ? { "redis.url": redis.url } : {}), ...entry.config, ...value(entry.from) } });
      if (redis) await until("Redis is there", async () => (await status(broker, "/health/redis")) === 200);
      const reload = async () => {
        broker.writeConfig({ ...broker.config, ...value(entry.to) });
        const result = await run(["reload", "-c", broker.configPath]);
        assert.equal(result.code, 0, result.stderr);
        assert.doesNotMatch(result.stdout, /restart/);
      };
      await within(30000, entry.see(broker, reload, redis, backend), `the effect of ${key}`);
      broker.killAll();
    } catch (error) {
      console.error(`--- ${key} failed. The broker's log:\n${broker?.log.slice(-30).join("\n")}\n---`);
      throw error;
    } finally {
      await broker?.destroy();
      await redis?.destroy?.();
      await backend?.stop();
    }
  });
}
