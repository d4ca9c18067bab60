// ringcast.js, the reference client, in Node: against the broker, and against a server that does what a broker rarely does.
import assert from "node:assert/strict";
import test from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import Ringcast from "../../worker/http/ringcast.js";
import { testBroker } from "./lib/broker.mjs";
import { until, within } from "./lib/util.mjs";

const event = (client, name) => new Promise((done) => {
  const handler = (...values) => {
    client.off(name, handler);
    done(values);
  };
  client.on(name, handler);
});

testBroker("it subscribes, publishes, pings, and comes back after its worker dies", { workers: 1, config: { "server.adopt_crashed": false } }, async (broker) => {
  const client = new Ringcast(broker.url, { WebSocket, reconnectMin: 50 });
  const other = await broker.connect();
  const got = [];
  const gone = [];
  try {
    // Before there is a connection everything waits for it.
    const first = client.publish("other", "first");
    await client.subscribe("a", (data, message) => got.push([message.channel, data]));
    await first;
    for (let i = 0; i < 100; i++) await client.subscribe(`b:${i}`, () => got.push(i));
    await other.subscribe("a");
    await client.publish("a", { n: 1 }, { echo: false });
    assert.deepEqual(await other.next("message"), { type: "message", channel: "a", data: { n: 1 } });
    await client.publish("a", 2, { exclude: [other.id] });
    await client.publish("a", 3, { ack: false });
    assert.equal((await other.next("message")).data, 3);
    await until("its own arrive", () => got.at(-1)?.[1] === 3);
    assert.deepEqual(got, [["a", 2], ["a", 3]]);
    assert.ok((await client.ping()) >= 0);
    assert.equal(client.client, client.welcome.client);
    const direct = event(client, "direct");
    await other.direct(client.client, "you");
    assert.equal((await direct)[0], "you");

    client.on("close", (close) => gone.push(close));
    const again = event(client, "reconnect");
    const id = client.client;
    broker.kill("SIGKILL", 0);
    await within(20000, again, "it connects again");
    // More than one where it was quicker than the next worker.
    assert.ok(gone.length > 0 && gone.every(({ code }) => code === 1006), JSON.stringify(gone));
    assert.notEqual(client.client, id);
    got.length = 0;
    const new1 = await broker.connect();
    await new1.publish("b:99", 1);
    await new1.publish("a", "again");
    await until("the subscriptions are there again", () => got.length === 2);
    assert.deepEqual(got, [99, ["a", "again"]]);

    await client.unsubscribe("a");
    await assert.rejects(client.subscribe("user:x"), { code: 403, reason: "forbidden", channel: "user:x" });
    await assert.rejects(client.direct("nobody", 1), { code: 404 });
    const failed = event(client, "error");
    await client.publish("*", 1, { ack: false });
    assert.equal((await failed)[0].code, 403);
  } finally {
    client.close();
  }
  await assert.rejects(client.ping(), { reason: "closed" });
});

/* A server of the protocol whose behaviour the channel of a publish chooses. */
async function testMock(name, body) {
  test(name, async () => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await new Promise((done) => server.once("listening", done));
    const subscribed = [];
    server.on("connection", (socket) => {
      const send = (message) => socket.send(JSON.stringify(message));
      subscribed.push([]);
      const mine = subscribed.at(-1);
      send({ type: "welcome", protocol: 1, client: `mock~${subscribed.length}`, instance: "mock", user: null, ping_interval: 25000, max_message_size: 2000, unknown: 1 });
      socket.on("message", (bytes) => {
        const operations = JSON.parse(bytes);
        for (const { type, id, channel, data } of Array.isArray(operations) ? operations : [operations]) {
          if (type === "subscribe") mine.push(channel), server.holds || send({ type: "subscribed", id, channel });
          else if (type === "ping" && server.isMute) continue;
          else if (channel === "silence") continue;
          else if (channel === "close") socket.close(...data);
          else if (channel === "die") socket.terminate();
          else if (channel === "say") socket.send(data);
          else send({ type: type === "ping" ? "pong" : "published", id });
        }
      });
    });
    const url = `ws://127.0.0.1:${server.address().port}`;
    const clients = [];
    const make = (options) => {
      clients.push(new Ringcast(url, { WebSocket, reconnectMin: 20, ...options }));
      return clients.at(-1);
    };
    try {
      await within(20000, body({ make, server, subscribed, url }), name);
    } finally {
      for (const client of clients) client.close();
      for (const socket of server.clients) socket.terminate();
      await new Promise((done) => server.close(done));
    }
  });
}

testMock("close() keeps the subscriptions, also those that a new connection has just asked for", async ({ make, server, subscribed }) => {
  const client = make();
  const got = [];
  await client.subscribe("a", (data) => got.push(data));
  server.holds = true;
  await assert.rejects(client.publish("die", 1), { reason: "disconnected" });
  await until("it asks for them again", () => subscribed[1]?.includes("a"));
  client.close();
  server.holds = false;
  client.connect();
  await until("and again", () => subscribed[2]?.includes("a"));
  await client.publish("say", '{"type":"message","channel":"a","data":7}', { ack: false });
  await until("its handler is there", () => got.length === 1);
});

testMock("a handler of a gap may close the client", async ({ make, subscribed }) => {
  const client = make({ delta: true });
  await client.subscribe("a");
  client.on("gap", () => client.close());
  const closed = event(client, "close");
  await client.publish("say", '{"type":"message","channel":"a","delta":"x","base":7}', { ack: false });
  await closed;
  await until("the message was asked for whole before", () => subscribed[0].length === 2);
  assert.deepEqual(subscribed[0], ["a", "a"]);
});

testMock("close codes decide whether it connects again, and when", async ({ make }) => {
  for (const [code, reason, again] of [
    [1001, "", true], [1011, "", true], [1012, '{"reconnect_ms":7}', 7], [1012, "nonsense", true], [1013, "", true], [3000, "", true], [4000, "slow_consumer", true], [4499, "", true],
    [1000, "", false], [1002, "", false], [1003, "", false], [1007, "", false], [1008, "", false], [1009, "", false], [4500, "not_allowed", false], [4999, "", false],
  ]) {
    const client = make();
    const closed = event(client, "close");
    const lost = client.publish("close", [code, reason]);
    await assert.rejects(lost, { name: "RingcastError", reason: "disconnected" });
    const [close] = await closed;
    assert.equal(close.code, code);
    assert.equal(client.state, again === false ? "closed" : "waiting", `after ${code}`);
    if (again === false) assert.equal(close.reconnectMs, null);
    if (again === 7) assert.equal(close.reconnectMs, 7);
    if (again === true) assert.ok(close.reconnectMs >= 10 && close.reconnectMs <= 20, `${close.reconnectMs}`);
    if (again !== false) await event(client, "open");
    client.close();
  }
});

testMock("requests on the way are rejected at a loss, what waits is sent afterwards, subscriptions in batches", async ({ make, subscribed }) => {
  const client = make();
  const channels = Array.from({ length: 300 }, (_, i) => `c:${i}`);
  await Promise.all(channels.map((channel) => client.subscribe(channel)));
  const lost = [client.publish("silence", 1), client.ping().then(() => client.publish("die", 1)), client.publish("silence", 2)];
  for (const result of await Promise.allSettled(lost)) assert.equal(result.reason?.reason, "disconnected");
  const [, waited] = await Promise.all([event(client, "reconnect"), client.publish("x", "waits")]);
  assert.equal(waited.type, "published");
  assert.deepEqual([...subscribed[1]].sort(), [...channels].sort());
});

testMock("delays grow by half up to the most, with jitter, and begin anew after a welcome", async ({ make, server, url }) => {
  const client = make({ connect: false, reconnectMin: 4, reconnectMax: 12 });
  client.url = "ws://127.0.0.1:1"; // nobody is there
  const delays = [];
  client.on("close", ({ reconnectMs }) => delays.push(reconnectMs));
  client.connect();
  await until("it tries often", () => delays.length >= 6);
  for (const [i, delay] of delays.entries()) {
    const most = Math.min(12, 4 * 1.5 ** i);
    assert.ok(delay >= most / 2 && delay <= most, `delay ${i}: ${delay} of ${most}`);
  }
  client.url = url;
  await event(client, "open");
  assert.equal(client.attempts, 0);
  assert.equal(server.clients.size, 1);
});

testMock("bounds: the queue, the time, the size", async ({ make }) => {
  const idle = make({ connect: false });
  await assert.rejects(idle.publish("x", 1), { reason: "closed" });
  const early = make({ queueMax: 2 });
  const results = await Promise.allSettled([1, 2, 3].map((n) => early.publish("x", n)));
  assert.deepEqual(results.map(({ status, reason }) => reason?.reason ?? status), ["fulfilled", "fulfilled", "queue_full"]);
  await assert.rejects(early.publish("silence", 1, { timeout: 20 }), { reason: "timeout" });
  await assert.rejects(early.publish("x", "ü".repeat(1000)), { code: 413 });
  await assert.rejects(early.publish("x", new Uint8Array(2001)), { code: 413 });
  for (const data of [undefined, () => {}, 10n]) await assert.rejects(early.publish("x", data), { code: 400 });
  const circular = {};
  circular.self = circular;
  await assert.rejects(early.publish("x", circular), { code: 400 });
  await early.publish("x", "still here");
});

testMock("what the server sends and it does not know is ignored, what cannot be read is an event", async ({ make }) => {
  const client = make();
  const errors = [];
  client.on("error", (error) => errors.push(error.reason));
  for (const text of ["{", '{"type":"news"}', "null", "[]", "7", '{"type":"message","channel":"nobody","data":1}', '{"type":"published","id":999}', '{"type":"error","code":503,"reason":"unavailable","message":"x"}']) {
    await client.publish("say", text, { ack: false });
  }
  const gap = event(client, "gap");
  await client.publish("say", '{"type":"gap","channel":"c"}', { ack: false });
  assert.deepEqual(await gap, ["c"]);
  await client.ping();
  assert.deepEqual(errors, ["bad_message", "unavailable"]);
});

testMock("a server that is silent for two heartbeats is given up", async ({ make, server }) => {
  const client = make({ heartbeat: 200 });
  await event(client, "open");
  await client.ping();
  server.isMute = true;
  const [{ code, reason }] = await event(client, "close");
  assert.deepEqual([code, reason], [1006, "no sign of life"]);
  server.isMute = false;
  await event(client, "open");
});
