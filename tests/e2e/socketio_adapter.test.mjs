// socketio.adapter = "classic": ringcast beside Node servers with @socket.io/redis-adapter and backends with @socket.io/redis-emitter.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io as connectClient } from "socket.io-client";
import { subscribers, testRedis, until } from "./lib/redis.mjs";
import { freePort, within } from "./lib/util.mjs";

const CONFIG = {
  "socketio.adapter": "classic",
  "socketio.namespaces": ["/", "/admin"],
  event: ["/", "/admin"].flatMap((nsp) => [
    { on: "join", nsp, join: ["{args.0}"], ack: [] },
    { on: "say", nsp, emit: [{ to: "{args.0}", event: "said", args: ["{args.1..}"] }] },
    { on: "shout", nsp, emit: [{ to: "*", event: "said", args: ["{args}"] }] },
  ]),
};

/* A Node server as an application writes it, in this process. */
async function startNode(redis, options = {}) {
  const clients = [createClient({ url: redis.url }), createClient({ url: redis.url })];
  for (const client of clients) client.on("error", () => {});
  await Promise.all(clients.map((client) => client.connect()));
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(...clients, options) });
  for (const nsp of ["/", "/admin"]) {
    io.of(nsp).on("connection", (socket) => {
      socket.on("join", async (room, done) => {
        await socket.join(room);
        done();
      });
      socket.on("say", (room, ...args) => io.of(nsp).to(room).emit("said", ...args));
    });
  }
  const port = await freePort();
  await new Promise((done) => http.listen(port, "127.0.0.1", done));
  return {
    io,
    port,
    async stop() {
      await io.close();
      for (const client of clients) await client.close(); // what the adapter gives back is awaited
    },
  };
}

/* A client that is connected and keeps what it is told. */
async function client(port, nsp = "/") {
  const socket = connectClient(`http://127.0.0.1:${port}${nsp}`, { transports: ["websocket"], forceNew: true, reconnection: false });
  socket.got = [];
  socket.onAny((...all) => socket.got.push(all));
  await within(5000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "connected");
  socket.joined = (room) => within(5000, new Promise((done) => socket.emit("join", room, done)), `joined ${room}`);
  socket.next = async (what) => {
    await until(what ?? "the next event", () => socket.got.length > 0);
    return socket.got.shift();
  };
  return socket;
}

/* Everything before it has been delivered when this event has: messages of one channel keep their order, and it is to all. */
async function quiet(node, sockets, expected = []) {
  node.io.emit("mark", 1);
  for (const socket of sockets) {
    await until("the mark", () => socket.got.some(([event]) => event === "mark"));
    assert.deepEqual(socket.got.splice(0), [...expected, ["mark", 1]]);
  }
}

async function both(redis, broker, body, options) {
  const node = await startNode(redis, options);
  const sockets = [];
  const connect = async (...args) => {
    const socket = await client(...args);
    sockets.push(socket);
    return socket;
  };
  try {
    await body(node, connect);
  } finally {
    for (const socket of sockets) socket.disconnect();
    await node.stop();
  }
}

testRedis("a Node's broadcasts reach clients of ringcast once, with every kind of argument", { brokers: 1, workers: 2, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    const [a, b] = [await connect(broker.port), await connect(broker.port)];
    await a.joined("red");
    await b.joined("blue");
    node.io.to("red").emit("one", 1, "é\n", { a: [1.5, null, true, -7, 2 ** 40, 0.1, { b: {} }] });
    assert.deepEqual(await a.next(), ["one", 1, "é\n", { a: [1.5, null, true, -7, 2 ** 40, 0.1, { b: {} }] }]);
    node.io.emit("all", new Date(0), undefined, { left: undefined, kept: NaN });
    for (const socket of [a, b]) assert.deepEqual(await socket.next(), ["all", "1970-01-01T00:00:00.000Z", null, { kept: null }]);
    node.io.to("blue").emit("binary", Buffer.from([1, 2, 3]), { deep: [Buffer.alloc(0)] });
    assert.deepEqual(await b.next(), ["binary", Buffer.from([1, 2, 3]), { deep: [Buffer.alloc(0)] }]);
    await quiet(node, [a, b]);
  });
});

testRedis("what clients of ringcast emit reaches a Node's clients, once", { brokers: 2, workers: 2, config: CONFIG }, async ({ brokers, redis }) => {
  await both(redis, brokers[0], async (node, connect) => {
    const [here, there, far] = [await connect(brokers[0].port), await connect(brokers[1].port), await connect(node.port)];
    for (const socket of [here, there, far]) await socket.joined("red");
    here.emit("say", "red", 1, { a: "é" }, Buffer.from([9]));
    for (const socket of [here, there, far]) assert.deepEqual(await socket.next(), ["said", 1, { a: "é" }, Buffer.from([9])]);
    far.emit("say", "red", "from Node");
    for (const socket of [here, there, far]) assert.deepEqual(await socket.next(), ["said", "from Node"]);
    there.emit("shout", "everybody");
    for (const socket of [here, there, far]) assert.deepEqual(await socket.next(), ["said", "everybody"]);
    await quiet(node, [here, there, far]);
  });
});

testRedis("an emitter's calls reach one client, a room, everybody and namespaces", { brokers: 1, workers: 2, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    const publisher = createClient({ url: redis.url });
    await publisher.connect();
    const emitter = new Emitter(publisher);
    const [a, b] = [await connect(broker.port), await connect(broker.port)];
    const admin = await connect(broker.port, "/admin");
    await a.joined("red");
    await admin.joined("red");
    emitter.to("red").emit("room", 1);
    assert.deepEqual(await a.next(), ["room", 1]);
    emitter.to(b.id).emit("direct", 2);
    assert.deepEqual(await b.next(), ["direct", 2]);
    emitter.of("/admin").to("red").emit("room", 3);
    assert.deepEqual(await admin.next(), ["room", 3]);
    emitter.of("/admin").emit("all", 4);
    assert.deepEqual(await admin.next(), ["all", 4]);
    emitter.emit("all", 5);
    for (const socket of [a, b]) assert.deepEqual(await socket.next(), ["all", 5]);
    emitter.except(a.id).emit("others", 6);
    assert.deepEqual(await b.next(), ["others", 6]);
    await quiet(node, [a, b]);
    publisher.destroy();
  });
});

testRedis("rooms are subscribed in Redis while somebody is in them", { brokers: 1, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    assert.equal(await subscribers(redis, "socket.io#/#red#"), 0);
    const a = await connect(broker.port);
    await a.joined("red");
    assert.equal(await subscribers(redis, "socket.io#/#red#"), 1);
    assert.equal(await subscribers(redis, "socket.io#/#"), 1);
    a.disconnect();
    await until("the room is given back", async () => (await subscribers(redis, "socket.io#/#red#")) === 0);
    await until("the namespace is given back", async () => (await subscribers(redis, "socket.io#/#")) === 0);
  });
});

testRedis("several rooms and exceptions reach each socket once", { brokers: 2, workers: 2, config: CONFIG }, async ({ brokers, redis }) => {
  await both(redis, brokers[0], async (node, connect) => {
    const sockets = [];
    for (const broker of [...brokers, ...brokers]) sockets.push(await connect(broker.port));
    const [a, b, c, d] = sockets;
    for (const socket of [a, b]) await socket.joined("red");
    for (const socket of [b, c]) await socket.joined("blue");
    const expect = async (list, ...args) => {
      for (const socket of list) assert.deepEqual(await socket.next(), args);
      await quiet(node, sockets);
    };
    node.io.to("red").to("blue").emit("both", 1, Buffer.from([1]));
    await expect([a, b, c], "both", 1, Buffer.from([1]));
    node.io.except("red").emit("not red", 2);
    await expect([c, d], "not red", 2);
    node.io.to("red").except("blue").emit("red alone", 3);
    await expect([a], "red alone", 3);
    node.io.to("red").to(d.id).except(a.id).emit("mixed", 4);
    await expect([b, d], "mixed", 4);
    node.io.to(["red", "nobody"]).emit("one left", 5);
    await expect([a, b], "one left", 5);
  });
});

const ids = (sockets) => sockets.map(({ id }) => id).sort();

testRedis("a Node's requests are answered for all sockets of ringcast, exactly once", { brokers: 2, workers: 2, config: CONFIG }, async ({ brokers, redis }) => {
  await both(redis, brokers[0], async (node, connect) => {
    await Promise.all(brokers.map((broker) => until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === brokers.length + 1)));
    const [a, b, far] = [await connect(brokers[0].port), await connect(brokers[1].port), await connect(node.port)];
    const admin = await connect(brokers[0].port, "/admin");
    for (const socket of [a, b, far, admin]) await socket.joined("red");
    await b.joined("blue");

    const started = Date.now();
    assert.deepEqual(ids(await node.io.fetchSockets()), ids([a, b, far]));
    assert.deepEqual(ids(await node.io.in("red").except("blue").fetchSockets()), ids([a, far]));
    assert.deepEqual(ids(await node.io.in(b.id).fetchSockets()), [b.id]);
    assert.deepEqual(ids(await node.io.of("/admin").fetchSockets()), [admin.id]);
    assert.deepEqual(await node.io.in("nobody").fetchSockets(), []);
    assert.ok(Date.now() - started < 4000, "nobody was waited for");
    const [remote] = await node.io.in(b.id).fetchSockets();
    assert.deepEqual([...remote.rooms].sort(), [b.id, "blue", "red"].sort());
    assert.deepEqual([...(await node.io.of("/").adapter.allRooms())].sort(), [a.id, b.id, far.id, "red", "blue"].sort());

    node.io.in("blue").socketsJoin(["green"]);
    await until("b is in green", async () => (await node.io.in("green").fetchSockets()).length === 1);
    node.io.to("green").emit("hello", 1);
    assert.deepEqual(await b.next(), ["hello", 1]);
    node.io.in(b.id).socketsLeave("green");
    await until("b has left green", async () => (await node.io.in("green").fetchSockets()).length === 0);

    const reasons = [];
    for (const socket of [a, b, admin]) socket.on("disconnect", (reason) => reasons.push(reason));
    node.io.of("/admin").disconnectSockets();
    await until("admin is away", () => reasons.length === 1);
    node.io.in("red").disconnectSockets(true);
    await until("all are away", () => reasons.length === 3);
    assert.deepEqual(reasons, Array(3).fill("io server disconnect"));
    assert.deepEqual(await node.io.fetchSockets(), []);
  });
});

testRedis("an event between servers and a broadcast with acknowledgements do not wait for ringcast", { brokers: 1, workers: 2, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    const a = await connect(broker.port);
    await a.joined("red");
    const responses = await within(4000, node.io.serverSideEmitWithAck("ping", 1), "the answer of ringcast");
    assert.deepEqual(responses, [null]);
    assert.deepEqual(await within(4000, node.io.to("red").timeout(4500).emitWithAck("question", 1), "nobody to wait for"), []);
    assert.deepEqual(await a.next(), ["question", 1]);
  });
});

const SERVER_ROWS = [
  { on: "tell", nsp: "/", from: "server", ack: ["{args.1}"], emit: [{ to: "{args.0}", event: "told", args: ["{args.1..}", "{nsp}"] }, { to: "*", event: "all", args: ["{args}"] }] },
  { on: "mute", nsp: "/", from: "server", emit: [{ to: "*" }] },
];

testRedis("an event of a server is carried out by its row, once", { brokers: 1, workers: 2, config: { ...CONFIG, event: [...CONFIG.event, ...SERVER_ROWS] } }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    const a = await connect(broker.port);
    const b = await connect(broker.port);
    await a.joined("red");
    node.io.serverSideEmit("tell", "red", 7, { deep: [1] });
    assert.deepEqual(await a.next(), ["told", 7, { deep: [1] }, "/"]);
    assert.deepEqual(await a.next(), ["all", "red", 7, { deep: [1] }]);
    assert.deepEqual(await b.next(), ["all", "red", 7, { deep: [1] }]);
    assert.deepEqual(await within(4000, node.io.serverSideEmitWithAck("tell", b.id, { x: "y" }), "the answer of the row"), [{ x: "y" }]);
    assert.deepEqual(await b.next(), ["told", { x: "y" }, "/"]);
    assert.deepEqual(await b.next(), ["all", b.id, { x: "y" }]);
    assert.deepEqual(await a.next(), ["all", b.id, { x: "y" }]);
    assert.deepEqual(await within(4000, node.io.serverSideEmitWithAck("mute", 1), "a row without ack"), [null]);
    assert.deepEqual(await a.next(), ["mute", 1]);
    assert.deepEqual(await b.next(), ["mute", 1]);
    assert.deepEqual(await within(4000, node.io.serverSideEmitWithAck("tell", ["no room"], 1), "what cannot be worked out"), [null]);
    assert.deepEqual([a.got, b.got], [[], []]);
  });
});

testRedis("what is no broadcast is counted and ignored", { brokers: 1, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    const a = await connect(broker.port);
    await a.joined("red");
    const wrong = ["", "{}", "\xc1", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\x91".repeat(200000), "\x93\xa1a\x80\x80", "\x93\xa1a\x81\xa4type\xa11\x80"];
    const name = "socket.io#/#red#";
    const before = (await broker.metrics())("ringcast_redis_malformed_total");
    const publisher = await redis.connect();
    // Node's own server would die of these: it hears of rooms by a pattern, so it must not be there.
    await node.io.of("/").adapter.close();
    for (const bytes of wrong) await publisher.command("PUBLISH", name, Buffer.from(bytes, "latin1"));
    await until("all are counted", async () => (await broker.metrics())("ringcast_redis_malformed_total") === before + wrong.length);
    assert.deepEqual(a.got, []);
    publisher.end();
  });
});
