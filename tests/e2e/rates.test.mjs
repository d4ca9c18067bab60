// Rates that connections, workers and instances share: publish_rate, subscribe_rate, unsubscribe_rate and socketio.event_rate. Exact on a
// host and over Redis; each host alone while Redis is away or silent, counted; nothing of it stands in the way of a message for long.
import assert from "node:assert/strict";
import { io as connectSocketIo } from "socket.io-client";
import { testBroker } from "./lib/broker.mjs";
import { redisHealth, startCluster, testRedis } from "./lib/redis.mjs";
import { until, within } from "./lib/util.mjs";

const USER = { "debug.user_query": "user" };
/* An hour: no test sees its end. */
const NAMESPACES = { namespace: [{ name: "a", publish_rate: "100/1h", subscribe_rate: "100/1h", unsubscribe_rate: "100/1h" }] };
const metric = async (broker, name) => (await broker.metrics())(name);

/* Connections of one user, one after the other to each of these brokers. */
async function connections(brokers, user, count) {
  const clients = [];
  for (let i = 0; i < count; i++) clients.push(await brokers[i % brokers.length].connect({ path: user ? `/ws?user=${user}` : "/ws" }));
  return clients;
}

/* How many of `count` requests, spread over the clients and all under way at once, were done; the others were refused with 429. */
async function passed(clients, count, operation) {
  const answers = await Promise.all(Array.from({ length: count }, (_, i) => clients[i % clients.length].request(operation(i))));
  const errors = answers.filter(({ type }) => type === "error");
  for (const error of errors) {
    assert.equal(error.code, 429, JSON.stringify(error));
    assert.match(error.message, /^too many (messages|subscribe requests|unsubscribe requests): try again in \d+ (ms|s)$/);
  }
  return count - errors.length;
}
/* So many on all instances together, and what these let pass alone, which they count: where Redis, or a process on the way to it, said nothing for 250 ms. */
async function shared(brokers, count, wanted, what) {
  let alone = 0;
  for (const broker of brokers) alone += await metric(broker, "ringcast_rate_fail_open_total");
  assert.ok(count >= wanted && count <= wanted + alone, `${what ?? ""} ${count} passed, and not ${wanted}, ${alone} of them alone`);
}
const publish = (i) => ({ type: "publish", channel: `a:${i % 3}`, data: i });
const subscribe = (i) => ({ type: "subscribe", channel: `a:${i}` });
const unsubscribe = (i) => ({ type: "unsubscribe", channel: `a:${i}` });

/* A Socket.IO client that counts what it is told. */
async function socketIo(broker, user) {
  const socket = connectSocketIo(`http://${broker.host}/`, { transports: ["websocket"], forceNew: true, reconnection: false, query: { user } });
  await within(5000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "connected");
  return socket;
}

/* How many of `count` events were acknowledged by their row, the others with 429. */
async function eventsPassed(sockets, count) {
  const answers = await Promise.all(Array.from({ length: count }, (_, i) => new Promise((done) => sockets[i % sockets.length].emit("say", i, done))));
  const errors = answers.filter((answer) => answer?.error !== undefined);
  for (const { error } of errors) {
    assert.equal(error.code, 429);
    assert.match(error.message, /^too many events: try again in \d+ (ms|s)$/);
  }
  return count - errors.length;
}

testBroker("a user's connections on all workers share a rate, anonymous ones have their own", { workers: 3, config: { ...USER, ...NAMESPACES } }, async (broker) => {
  const clients = await connections([broker], "u1", 9);
  assert.equal(await passed(clients, 300, publish), 100);
  assert.equal(await passed(clients, 300, subscribe), 100);
  assert.equal(await passed(clients, 300, unsubscribe), 100);
  assert.equal(await passed(await connections([broker], "u2", 2), 150, publish), 100, "another user");
  assert.equal(await passed(await connections([broker], undefined, 2), 240, publish), 200, "100 for each connection");
  assert.equal(await passed([clients[0]], 10, (i) => ({ type: "publish", channel: `b:${i}`, data: 1 })), 10, "another namespace has no rate");
  assert.equal(await metric(broker, "ringcast_rate_asked_total"), 0, "there is nobody to ask");
  assert.equal(await metric(broker, "ringcast_rate_fail_open_total"), 0);
  assert.equal(await metric(broker, "ringcast_rate_exceeded_total"), 200 + 200 + 200 + 50 + 40);
});

testBroker("what a worker has counted outlives it", { workers: 2, config: { ...USER, ...NAMESPACES, "server.adopt_crashed": false } }, async (broker) => {
  assert.equal(await passed(await connections([broker], "u1", 4), 60, publish), 60);
  for (const pid of broker.pids().workers) process.kill(pid, "SIGKILL");
  await until("both were replaced", async () => (await metric(broker, 'ringcast_restarts_total{process="worker"}')) === 2);
  assert.equal(await passed(await connections([broker], "u1", 4), 100, publish), 40);
});

testBroker("a user has so many connections on all workers together", {
  workers: 3,
  config: { ...USER, "limits.max_connections_per_user": 10, "socketio.path": "/socket.io/", "server.adopt_crashed": false },
}, async (broker) => {
  const tries = async (count) => (await Promise.allSettled(Array.from({ length: count }, () => broker.connect({ path: "/ws?user=u1" })))).filter(({ status }) => status === "fulfilled").map(({ value }) => value);
  const clients = await tries(40);
  assert.equal(clients.length, 10);
  assert.equal(await metric(broker, 'ringcast_connections_refused_total{reason="user"}'), 30);
  await assert.rejects(broker.connect({ path: "/ws?user=u1" }), /429/);
  const polling = await broker.get("/socket.io/?EIO=4&transport=polling&user=u1");
  assert.equal(polling.status, 429);
  assert.match(polling.body, /you have too many connections: close one/);
  await broker.connect({ path: "/ws?user=u2" });
  await broker.connect();
  await Promise.all(clients.slice(0, 4).map((client) => client.close()));
  await until("they are gone", async () => (await metric(broker, "ws_connections_total")) === 8);
  assert.equal((await tries(20)).length, 4);
  for (const pid of broker.pids().workers) process.kill(pid, "SIGKILL");
  await until("all were replaced", async () => (await metric(broker, 'ringcast_restarts_total{process="worker"}')) === 3);
  await broker.isReady(); // a successor takes out what its predecessor had counted
  assert.equal((await tries(30)).length, 10, "those of dead workers do not count");
});

testBroker("the window slides", { workers: 1, config: { ...USER, namespace: [{ name: "a", publish_rate: "10/1s" }] } }, async (broker) => {
  const [client] = await connections([broker], "u1", 1);
  const times = [];
  while (times.length < 35) { // room comes back, or it never ends
    const sent = performance.now();
    if ((await client.request(publish(0))).type === "published") times.push([sent, performance.now()]);
  }
  for (let i = 10; i < times.length; i++) {
    // The server took the one after it was sent, and the other before it was answered; it reads its clock in whole milliseconds.
    assert.ok(times[i][1] - times[i - 10][0] >= 999, `11 messages within ${times[i][1] - times[i - 10][0]} ms`);
  }
});

testRedis("two instances share what a user may do; each goes on alone without Redis", { brokers: 2, workers: 2, config: { ...USER, ...NAMESPACES }, timeout: 90000 }, async ({ brokers, redis }) => {
  const clients = await connections(brokers, "u1", 8);
  await shared(brokers, await passed(clients, 300, subscribe), 100);
  await shared(brokers, await passed(clients, 300, unsubscribe), 100);
  const together = await passed(clients, 300, publish);
  await shared(brokers, together, 100);
  const keys = await redis.command("KEYS", "*rate:*");
  assert.equal(keys.length, 3, keys.join(" "));
  for (const key of keys) assert.ok((await redis.command("PTTL", key)) > 3500000, key);

  await redis.kill();
  await Promise.all(brokers.map((broker) => redisHealth(broker, 503)));
  assert.equal(await passed(await connections(brokers, "u2", 8), 400, publish), 200, "100 on each host");
  for (const broker of brokers) assert.ok((await metric(broker, "ringcast_rate_fail_open_total")) >= 100);
  assert.equal(await passed(clients, 300, publish), 200 - together, "a host remembers what passed through it while Redis was there");

  await redis.start();
  await Promise.all(brokers.map((broker) => redisHealth(broker, 200, 20000)));
  const before = await Promise.all(brokers.map((broker) => metric(broker, "ringcast_rate_fail_open_total")));
  const again = await passed(await connections(brokers, "u3", 8), 300, publish);
  const alone = (await Promise.all(brokers.map((broker) => metric(broker, "ringcast_rate_fail_open_total")))).reduce((sum, now, i) => sum + now - before[i], 0);
  assert.ok(again >= 100 && again <= 100 + alone, `the script is loaded again, and both are one: ${again}, ${alone} of them alone`);
});

testRedis("a Redis that says nothing holds nobody up for long", { brokers: 2, config: { ...USER, ...NAMESPACES }, timeout: 60000 }, async ({ brokers, redis }) => {
  const clients = await connections(brokers, "u1", 4);
  assert.equal(await passed(clients, 20, publish), 20);
  redis.signal("SIGSTOP");
  assert.equal(await within(10000, passed(clients, 8, publish), "two questions of each, 250 ms for each"), 8);
  redis.signal("SIGCONT");
  for (const broker of brokers) assert.ok((await metric(broker, "ringcast_rate_fail_open_total")) > 0);
});

testRedis("questions under way when the relay dies are answered", { brokers: 2, config: { ...USER, ...NAMESPACES }, timeout: 60000 }, async ({ brokers }) => {
  const clients = await connections(brokers, "u1", 8);
  const requests = passed(clients, 400, publish);
  for (const broker of brokers) process.kill(broker.pids().relay, "SIGKILL");
  const count = await requests;
  // What Redis let pass, and whose answer died with the relay, no host knows of: each may let 100 pass alone.
  assert.ok(count >= 100 && count <= 300, `${count}: 100 on all, and what the hosts let pass alone`);
});

testRedis("the rate of events of Socket.IO clients over two instances", {
  brokers: 2,
  config: { ...USER, "socketio.path": "/socket.io/", "socketio.event_rate": "1000/1h", event: [{ on: "say", ack: ["{args.0}"] }] },
  timeout: 60000,
}, async ({ brokers }) => {
  const sockets = [];
  try {
    for (let i = 0; i < 4; i++) sockets.push(await socketIo(brokers[i % 2], "u1"));
    await shared(brokers, await within(40000, eventsPassed(sockets, 1100), "all answers"), 1000);
  } finally {
    for (const socket of sockets) socket.close();
  }
});

testRedis("in a Cluster each user's rate is where its key is", { brokers: 2, start: () => startCluster({ replicas: 0 }), config: { ...USER, ...NAMESPACES }, timeout: 90000 }, async ({ brokers, redis }) => {
  for (const user of ["u1", "u2", "u3", "u4"]) {
    await shared(brokers, await passed(await connections(brokers, user, 4), 150, publish), 100, user);
  }
  let nodes = 0;
  for (const node of redis.nodes) nodes += (await node.command("KEYS", "*rate:*")).length > 0;
  assert.ok(nodes > 1, "on more than one node");
});


testBroker("a row's rate is its own, or its group's, whatever the event is called", {
  workers: 2,
  config: {
    ...USER, "socketio.path": "/socket.io/",
    event: [
      { on: "sub:one", rate: "3/1h", rate_group: "g", ack: [1] }, { on: "sub:two", rate: "3/1h", rate_group: "g", ack: [1] },
      { on: "own*", rate: "2/1h", ack: [1], refuse: { code: "SUBSCRIPTION_ERROR", rate: "Rate limit exceeded" } },
    ],
  },
}, async (broker) => {
  const sockets = [await socketIo(broker, "u1"), await socketIo(broker, "u1"), await socketIo(broker, "u2")];
  const ask = (socket, name) => within(5000, socket.emitWithAck(name), name);
  try {
    for (const [i, name] of ["sub:one", "sub:two", "sub:one"].entries()) assert.equal(await ask(sockets[i % 2], name), 1);
    for (const name of ["sub:one", "sub:two"]) assert.equal((await ask(sockets[1], name)).error.code, 429);
    for (const name of ["own:a", "own:b"]) assert.equal(await ask(sockets[0], name), 1);
    assert.deepEqual(await ask(sockets[1], "own:c"), { error: { code: "SUBSCRIPTION_ERROR", message: "Rate limit exceeded" } });
    for (const name of ["sub:one", "own:a"]) assert.equal(await ask(sockets[2], name), 1, "another user");
  } finally {
    for (const socket of sockets) socket.close();
  }
});

/* Data of so many bytes as JSON. */
const data = (bytes) => "d".repeat(bytes - 2);
const BYTES = { namespace: [{ name: "a", subscribe: "anyone", publish: "anyone", publish_rate_bytes: "100KB/1h" }] };

testBroker("bytes have a rate of their own, on all workers together; what is larger than all of it never passes", {
  workers: 3, config: { ...USER, namespace: [{ ...BYTES.namespace[0], publish_rate: "300/1h" }] },
}, async (broker) => {
  const clients = await connections([broker], "u1", 9);
  const refused = await clients[0].refused(429, { type: "publish", channel: "a:1", data: data(100001) });
  assert.equal(refused.message, "too many bytes of messages: never so many at once");
  let sum = 0;
  let most = 0;
  const sizes = Array.from({ length: 200 }, (_, i) => 100 + ((i * 7919) % 2000));
  const answers = await Promise.all(sizes.map((bytes, i) => clients[i % 9].request({ type: "publish", channel: "a:1", data: data(bytes) })));
  for (const [i, answer] of answers.entries()) {
    if (answer.type === "published") sum += sizes[i];
    else assert.match(answer.message, /^too many bytes of messages: try again in \d+ s$/), (most = Math.max(most, sizes[i]));
  }
  assert.ok(sum <= 100000 && sum > 100000 - 2100, `${sum} bytes`);
  assert.ok(most > 0);
  assert.equal((await clients[1].request({ type: "publish", channel: "b:1", data: data(5000) })).type, "published", "another namespace");
  assert.equal(await passed([(await connections([broker], "u2", 1))[0]], 150, () => ({ type: "publish", channel: "a:1", data: data(10) })), 150, "another user");
});

testRedis("bytes over two instances: native messages, and events whose rooms or rows have a rate; binary counts", {
  brokers: 2, workers: 2, timeout: 60000,
  config: {
    ...USER, ...BYTES, "socketio.path": "/socket.io/",
    event: [
      { on: "say", emit: [{ to: "{args.0}" }], ack: [true] },
      { on: "own", rate_bytes: "50KB/1h", ack: [true] }, { on: "one", rate_bytes: "20KB/1h", rate_group: "g", ack: [true] }, { on: "two", rate_bytes: "20KB/1h", rate_group: "g", ack: [true] },
    ],
  },
}, async ({ brokers, redis }) => {
  const clients = await connections(brokers, "u1", 4);
  const sockets = [];
  for (let i = 0; i < 4; i++) sockets.push(await socketIo(brokers[i % 2], "u1"));
  const done = async (count, ...event) => {
    const answers = await Promise.all(Array.from({ length: count }, (_, i) => new Promise((end) => sockets[i % 4].emit(...event.map((arg) => (typeof arg === "function" ? arg(i) : arg)), end))));
    for (const { error } of answers.filter((answer) => answer !== true)) assert.ok(error.code === 429 && /^too many bytes of (messages|events of this kind): /.test(error.message), JSON.stringify(error));
    return answers.filter((answer) => answer === true).length;
  };
  try {
    const sent = await Promise.all(Array.from({ length: 60 }, (_, i) => clients[i % 4].request({ type: "publish", channel: "a:1", data: data(1000) })));
    assert.equal(sent.filter(({ type }) => type === "published").length, 60);
    await shared(brokers, await done(60, "say", "a:1", data(992)), 40, "of what native messages have left: [\"a:1\",\"…\"] is 1,000 bytes");
    await shared(brokers, await done(80, "own", data(998)), 50);
    await shared(brokers, await done(20, (i) => ["one", "two"][i % 2], Buffer.alloc(1964)), 10, "with its placeholder 2,000 bytes");
    assert.equal((await redis.command("KEYS", "*rate:*bytes*")).length, 3);
  } finally {
    for (const socket of sockets) socket.close();
  }
});

testRedis("rooms that Socket.IO clients name count as channels of native clients do, those of a row's author do not", {
  brokers: 2, workers: 2, timeout: 60000,
  config: {
    ...USER, "socketio.path": "/socket.io/",
    namespace: [{ name: "a", subscribe: "anyone", publish: "anyone", publish_rate: "50/1h", subscribe_rate: "30/1h", unsubscribe_rate: "20/1h" }],
    event: [
      { on: "join", join: ["{args.0}"], ack: [true] }, { on: "leave", leave: ["{args.0}"], ack: [true] }, { on: "say", emit: [{ to: "{args.0}" }, { to: "a:{args.0}" }], ack: [true] },
      { on: "own", join: ["a:own"], emit: [{ to: "a:own" }], ack: [true] }, { on: "twice", rate: "5/1h", emit: [{ to: "{args.0}" }], ack: [true] },
    ],
  },
}, async ({ brokers }) => {
  const sockets = [];
  for (let i = 0; i < 4; i++) sockets.push(await socketIo(brokers[i % 2], "u1"));
  const done = async (name, count, room, what) => {
    const answers = await Promise.all(Array.from({ length: count }, (_, i) => new Promise((end) => sockets[i % 4].emit(name, room(i), end))));
    const errors = answers.filter((answer) => answer?.error !== undefined);
    for (const { error } of errors) assert.ok(error.code === 429 && error.message.startsWith(`too many ${what}: try again in `), JSON.stringify(error));
    return count - errors.length;
  };
  await shared(brokers, await done("join", 60, (i) => `a:${i}`, "subscribe requests"), 30);
  await shared(brokers, await done("leave", 60, (i) => `a:${i}`, "unsubscribe requests"), 20);
  assert.equal(await passed(await connections(brokers, "u1", 2), 20, publish), 20);
  await shared(brokers, await done("twice", 20, () => "a:1", "events of this kind"), 5, "the row's own rate, and the namespace's");
  await shared(brokers, await done("say", 60, (i) => `a:${i}`, "messages"), 25, "what native clients have used is gone");
  assert.equal(await done("own", 100, () => "x", ""), 100);
  assert.equal(await done("say", 20, (i) => `b:${i}`, ""), 20, "another namespace");
});
