// [[bridge]] (S3.3): bare JSON on an application's own Redis channels reaches rooms, once on every instance.
import assert from "node:assert/strict";
import { run } from "./lib/broker.mjs";
import { startCluster, subscribers, testRedis, until } from "./lib/redis.mjs";
import { io } from "socket.io-client";
import { within } from "./lib/util.mjs";
import test from "node:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";

const CONFIG = {
  "debug.user_query": "user",
  bridge: [
    { redis: "match:result", room: "leaderboard:global", event: "match:result" },
    { redis: "match:result", room: "match:{json.matchId}", event: "match:result" },
    { redis: "portfolio:update", room: "user:{json.user.id}", event: "{json.event}" },
    { redis: "announce", room: "*" },
  ],
};

const count = (metrics, name, bridge) => Number(new RegExp(`^${name}\\{.*bridge="${bridge}".*\\} (\\d+)$`, "m").exec(metrics.text)[1]);

testRedis("bare JSON reaches its rooms on every instance once and is not published again", { brokers: 2, workers: 2, config: CONFIG, timeout: 60000 }, async ({ brokers, redis }) => {
  const clients = [];
  for (const broker of brokers) {
    const client = await broker.connect({ path: "/ws?user=u1" });
    await client.subscribe("leaderboard:global");
    await client.subscribe("match:7");
    clients.push(client);
  }
  for (const channel of ["match:result", "portfolio:update", "announce"]) await until(`both hear ${channel}`, async () => (await subscribers(redis, channel)) === 2);
  const watcher = await redis.connect();
  await watcher.command("PSUBSCRIBE", "*");
  await redis.publish("match:result", '{"matchId":7,"winnerId":"é","eloChanges":{"a":+25}}'); // as the source writes it: no JSON
  await redis.publish("match:result", '{"matchId":7,"winnerId":"é", "eloChanges":{"a":25}}');
  for (const client of clients) {
    const got = [await client.next(), await client.next()].sort((a, b) => a.channel.localeCompare(b.channel));
    assert.deepEqual(got.map((message) => message.channel), ["leaderboard:global", "match:7"]);
    for (const message of got) assert.equal(message.raw, '{"matchId":7,"winnerId":"é", "eloChanges":{"a":25}}');
  }
  await redis.publish("portfolio:update", { user: { id: "u1" }, event: "portfolio:update", total: 5 });
  for (const client of clients) assert.equal((await client.next()).channel, "user:u1");
  await redis.publish("portfolio:update", { user: { id: "u1" }, total: 6 }); // no event
  await redis.publish("announce", "7");
  for (const client of clients) {
    assert.deepEqual(await client.next(), { type: "message", channel: "*", data: 7 });
    await client.ping();
    assert.equal(client.inbox.length, 0);
  }
  for (const broker of brokers) {
    const metrics = await broker.metrics();
    assert.deepEqual([0, 1, 2, 3].map((i) => count(metrics, "ringcast_bridge_messages_total", i)), [1, 1, 1, 1]);
    assert.deepEqual([0, 1, 2, 3].map((i) => count(metrics, "ringcast_bridge_errors_total", i)), [1, 1, 1, 0]);
  }
  await until("the watcher has seen the last", () => watcher.messages.some(({ channel }) => channel === "announce"));
  assert.deepEqual(watcher.messages.map(({ channel }) => channel).filter((name) => !/^ws:(instance|presence)/.test(name)), ["match:result", "match:result", "portfolio:update", "portfolio:update", "announce"]);
});

test("a template that nothing fills is an error of the configuration", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-e2e-"));
  try {
    const file = join(folder, "ringcast.toml");
    writeFileSync(file, '[[bridge]]\nredis = "a"\nroom = "b:{field}"\n');
    const result = await run(["check", file]);
    assert.equal(result.code, 2, result.stderr);
    assert.match(result.stderr, /ringcast\.toml:3:8: \[\[bridge\]\] room: no such field: \{field\}; write \{json\.field\}/);
    for (const [text, message] of [
      ['[[bridge]]\nroom = "b"\n', /:1:1: this \[\[bridge\]\] needs a redis or a pattern/],
      ['\n[[bridge]]\nredis = "a"\npattern = "a*"\nroom = "b"\n', /:2:1: this \[\[bridge\]\] has redis and pattern/],
      ['[[bridge]]\npattern = "a*"\nroom = "{match.2}"\n', /:1:1: \{match\.2\} of this \[\[bridge\]\]: its pattern has 1 star/],
      ['[[bridge]]\nredis = "a"\nroom = "b"\nargs = ["{json.a}", "{args.0}"]\n', /:4:21: \[\[bridge\]\] args: no such field: \{args\.0\}/],
      ['[[bridge]]\nredis = "a"\nroom = "b"\nnsp = 5\n', /:4:7: /],
    ]) {
      writeFileSync(file, text);
      const wrong = await run(["check", file]);
      assert.equal(wrong.code, 2, wrong.stdout);
      assert.match(wrong.stderr, message);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/* The rows of frappe (realtime/index.js) and of laravel-echo-server, as docs/redis.md has them. */
const FRAPPE = { redis: "events", nsp: "/{json.namespace}", room: "{json.room}", event: "{json.event}", args: ["{json.message}"] };
const LARAVEL = { pattern: "*", room: "{match.1}", event: "{json.event}", args: ["{match.1}", "{json.data}"], except: "{json.socket}" };

async function socketOf(broker, nsp = "/") {
  const socket = io(`http://127.0.0.1:${broker.port}${nsp}`, { forceNew: true, reconnection: false, transports: ["websocket"] });
  const heard = [];
  socket.onAny((...event) => heard.push(event));
  await within(5000, new Promise((done, fail) => {
    socket.once("connect", done);
    socket.once("connect_error", fail);
  }), "it connects");
  assert.equal(await within(5000, socket.emitWithAck("join"), "it joins"), "in");
  return { socket, heard };
}
/* How many connections have subscribed to a pattern. */
const patterns = async (redis) => (await redis.command("CLIENT", "LIST")).split("\n").filter((line) => /\bpsub=[1-9]/.test(line)).length;
const join_ = (nsp, room) => ({ nsp, on: "join", join: [room], ack: ["in"] });

testRedis("frappe's and Laravel's rows, on both instances, and who it came from excepted", {
  brokers: 2, workers: 2, timeout: 60000,
  config: { "socketio.path": "/socket.io/", "socketio.namespaces": ["/", "/site1.local"], bridge: [FRAPPE, LARAVEL], event: [join_("/", "orders.1"), join_("/site1.local", "doc:ToDo/1")] },
}, async ({ brokers, redis }) => {
  const orders = [await socketOf(brokers[0]), await socketOf(brokers[0]), await socketOf(brokers[1])];
  const todos = [await socketOf(brokers[0], "/site1.local"), await socketOf(brokers[1], "/site1.local")];
  const native = await brokers[1].connect();
  await native.subscribe("orders.1");
  await until("both hear both", async () => (await subscribers(redis, "events")) === 2 && (await patterns(redis)) === 2);
  await redis.publish("events", '{"event":"doc_update","message":{"doctype":"ToDo","n":1.0},"room":"doc:ToDo/1","namespace":"site1.local"}');
  await redis.publish("orders.1", JSON.stringify({ event: "OrderShipped", data: { id: 7 }, socket: null }));
  await redis.publish("orders.1", JSON.stringify({ event: "OrderShipped", data: { id: 8 }, socket: orders[0].socket.id }));
  await redis.publish("orders.1", "no JSON");
  await redis.publish("events", JSON.stringify({ event: "all", message: 1, namespace: "site1.local" })); // no room
  await redis.publish("events", JSON.stringify({ event: "last", message: [2], room: "*", namespace: "site1.local" }));
  await redis.publish("orders.1", JSON.stringify({ event: "last", data: 9 }));
  await until("everybody has the last", () => [...orders, ...todos].every(({ heard }) => heard.at(-1)?.[0] === "last"));
  for (const { heard } of todos) assert.deepEqual(heard, [["doc_update", { doctype: "ToDo", n: 1 }], ["last", [2]]]);
  const shipped = [["OrderShipped", "orders.1", { id: 7 }], ["OrderShipped", "orders.1", { id: 8 }], ["last", "orders.1", 9]];
  assert.deepEqual(orders.map(({ heard }) => heard), [[shipped[0], shipped[2]], shipped, shipped]);
  const got = await native.next();
  assert.deepEqual([got.channel, got.event, got.args], ["orders.1", "OrderShipped", ["orders.1", { id: 7 }]]);
  for (const broker of brokers) {
    const metrics = await broker.metrics();
    // Laravel's pattern hears what is published on "events" too, which has no rooms of that name here.
    assert.deepEqual([0, 1].map((i) => count(metrics, "ringcast_bridge_messages_total", i)), [2, 6]);
    assert.deepEqual([0, 1].map((i) => count(metrics, "ringcast_bridge_errors_total", i)), [1, 1]);
  }
});

testRedis("a pattern under a prefix, in a Cluster", {
  start: () => startCluster({ replicas: 0 }), brokers: 2, timeout: 60000,
  config: { "redis.prefix": "app_", bridge: [{ pattern: "price.*.*", room: "{match.1}:{match.2}" }] },
}, async ({ brokers, redis: cluster }) => {
  const clients = await Promise.all(brokers.map((broker) => broker.connect()));
  for (const client of clients) await client.subscribe("eu:BTC");
  await until("both hear the pattern", async () => (await Promise.all(cluster.nodes.map(patterns))).reduce((sum, count) => sum + count, 0) === 2);
  await cluster.nodes[2].publish("app_price.eu.BTC", { n: 1 });
  for (const client of clients) {
    const got = await client.next();
    assert.deepEqual([got.channel, got.data], ["eu:BTC", { n: 1 }]);
  }
  await cluster.nodes[2].publish("price.eu.BTC", { n: 2 });
  await cluster.nodes[2].publish("app_price.eu.BTC", { n: 3 });
  for (const client of clients) assert.deepEqual((await client.next()).data, { n: 3 });
});
