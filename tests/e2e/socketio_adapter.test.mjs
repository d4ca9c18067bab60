// socketio.adapter = "classic": ringcast beside Node servers with @socket.io/redis-adapter and backends with @socket.io/redis-emitter.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io as connectClient } from "socket.io-client";
import parser from "socket.io-msgpack-parser";
import { subscribers, testRedis, until } from "./lib/redis.mjs";
import { CA, certificate } from "./lib/tls.mjs";
import { freePort, within } from "./lib/util.mjs";

const tlsPort = await freePort();
const CONFIG = {
  "socketio.adapter": "classic",
  "socketio.namespaces": ["/", "/admin"],
  event: ["/", "/admin"].flatMap((nsp) => [
    { on: "join", nsp, join: ["{args.0}"], ack: [] },
    { on: "say", nsp, emit: [{ to: "{args.0}", event: "said", args: ["{args.1..}"] }] },
    { on: "shout", nsp, emit: [{ to: "*", event: "said", args: ["{args}"] }] },
  ]),
};

/* A Node server as an application writes it, in this process. Its requests are answered, or fail: late is not seen. */
const nodes = new Set(); // ports
async function startNode(redis, { requestsTimeout = 20000, ...options } = {}) {
  const clients = [createClient({ url: redis.url }), createClient({ url: redis.url })];
  for (const client of clients) client.on("error", () => {});
  await Promise.all(clients.map((client) => client.connect()));
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(...clients, { requestsTimeout, ...options }) });
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
  nodes.add(port);
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
async function client(port, nsp = "/", options = {}) {
  const socket = connectClient(`${options.ca ? "https" : "http"}://127.0.0.1:${port}${nsp}`, { transports: ["websocket"], forceNew: true, reconnection: false, ...options });
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
  // An instance asks Redis for a namespace and a room when the first one comes to it, and answers after 100 ms though Redis has not: what is published
  // there in the meantime is not for it.
  const instances = new Map(); // channel -> ports of the instances that want it
  const isHeard = async (port, channel) => {
    if (nodes.has(port)) return;
    const its = instances.get(channel) ?? new Set();
    instances.set(channel, its.add(port === tlsPort ? broker.port : port));
    await until(`Redis has ${channel}`, async () => (await subscribers(redis, channel)) >= its.size);
  };
  const connect = async (port, nsp = "/", ...more) => {
    const socket = await client(port, nsp, ...more);
    sockets.push(socket);
    const channel = `${options?.key ?? "socket.io"}#${nsp}#`;
    await isHeard(port, channel);
    const { joined } = socket;
    socket.joined = async (room) => {
      await joined(room);
      await isHeard(port, `${channel}${room}#`);
    };
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

testRedis("every other call of an emitter: rooms, exceptions and flags together, sockets that join, leave and are sent away, events between servers", {
  brokers: 2, workers: 2, config: { ...CONFIG, event: [...CONFIG.event, { on: "tell", nsp: "/admin", from: "server", emit: [{ to: "{args.0}", event: "told", args: ["{args.1..}"] }] }] },
}, async ({ brokers, redis }) => {
  await both(redis, brokers[0], async (node, connect) => {
    const publisher = createClient({ url: redis.url });
    await publisher.connect();
    const emitter = new Emitter(publisher);
    const admins = emitter.of("admin"); // the slash is the emitter's
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 3 && (await subscribers(redis, "socket.io-request#/admin#")) === 3);
    const [a, b, c] = await Promise.all([brokers[0], brokers[1], node].map(({ port }) => connect(port)));
    const [adminA, adminB] = await Promise.all(brokers.map(({ port }) => connect(port, "/admin")));
    const sockets = [a, b, c];
    for (const socket of [a, c]) await socket.joined("red");
    await b.joined("blue");
    await adminA.joined("red");
    const expect = async (list, ...event) => {
      for (const socket of list) assert.deepEqual(await socket.next(`${event[0]}`), event);
    };
    const members = (operator, wanted) => until(`${wanted.length} sockets`, async () => JSON.stringify(ids(await operator.fetchSockets())) === JSON.stringify(ids(wanted)), { every: 20 });

    emitter.in(["red", "blue"]).except(c.id).emit("arrays", 1, [Buffer.from([1])]);
    await expect([a, b], "arrays", 1, [Buffer.from([1])]);
    emitter.to("red").to("blue").volatile.emit("volatile", 2);
    await expect(sockets, "volatile", 2);
    emitter.compress(false).except(["red"]).emit("compress", "x".repeat(5000));
    await expect([b], "compress", "x".repeat(5000));
    emitter.volatile.to(a.id).emit("all flags", null, new Date(0));
    await expect([a], "all flags", null, "1970-01-01T00:00:00.000Z");
    admins.in("red").volatile.compress(true).emit("admins", { é: [] });
    await expect([adminA], "admins", { é: [] });
    assert.throws(() => emitter.emit("disconnect"), /reserved/);

    emitter.in("red").socketsJoin(["one", "two"]);
    emitter.to(b.id).except("red").socketsJoin("one");
    await members(node.io.in("one"), [a, b, c]);
    await until("both instances hear it", async () => (await subscribers(redis, "socket.io#/#one#")) === 2);
    emitter.to("one").emit("joined", 3);
    await expect(sockets, "joined", 3);
    emitter.in("two").except(a.id).socketsLeave("one");
    await members(node.io.in("one"), [a, b]);
    emitter.socketsJoin("everybody");
    await members(node.io.in("everybody"), sockets);
    emitter.socketsLeave(["everybody", "two"]);
    await members(node.io.in("everybody"), []);
    admins.socketsJoin("everybody");
    await members(node.io.of("/admin").in("everybody"), [adminA, adminB]);
    for (const socket of [adminA, adminB]) await socket.joined("everybody"); // it is there; answered when it is heard by the other instance
    admins.serverSideEmit("tell", "everybody", 4, { deep: [null] });
    for (const socket of [adminA, adminB]) await expect([socket, socket], "told", 4, { deep: [null] }); // once of each instance: both have the row
    await quiet(node, sockets);

    const reasons = new Map();
    for (const socket of [...sockets, adminA, adminB]) socket.on("disconnect", (reason) => reasons.set(socket, reason));
    admins.in("red").disconnectSockets();
    await until("one admin is away", () => reasons.size === 1 && reasons.has(adminA));
    emitter.except("blue").disconnectSockets(true);
    await until("two more are", () => reasons.size === 3 && reasons.has(a) && reasons.has(c));
    await members(node.io, [b]);
    emitter.disconnectSockets();
    await until("all are", () => reasons.size === 4);
    assert.deepEqual([...new Set(reasons.values())], ["io server disconnect"]);
    assert.deepEqual(adminB.got, []);
    publisher.destroy();
  });
});

testRedis("servers with another key, which answer each on the asker's own channel", {
  brokers: 2, workers: 2, config: { ...CONFIG, "socketio.adapter_key": "my*app", event: [...CONFIG.event, { on: "who", ack: ["{count:{args.0}}", "{members:{args.0}}"] }, { on: "tell", from: "server", ack: ["{args.0}"] }] },
}, async ({ brokers, redis }) => {
  await both(redis, brokers[0], async (node, connect) => {
    node.io.on("tell", (value, done) => done(value));
    await until("requests are heard", async () => (await subscribers(redis, "my*app-request#/#")) === 3);
    const sockets = await Promise.all([...brokers, node].map(({ port }) => connect(port)));
    for (const socket of sockets) await socket.joined("red");
    const [a, b, far] = sockets;
    for (const [from, n] of [[a, 1], [far, 2]]) {
      from.emit("say", "red", n);
      for (const socket of sockets) assert.deepEqual(await socket.next(), ["said", n]);
    }
    node.io.to(b.id).emit("to one", 3);
    assert.deepEqual(await b.next(), ["to one", 3]);
    assert.deepEqual(ids(await node.io.in("red").fetchSockets()), ids(sockets));
    assert.deepEqual(await within(4000, node.io.serverSideEmitWithAck("tell", 4), "the answers of both"), [4, 4]);
    for (const socket of sockets) questioned(socket);
    assert.deepEqual(answered(await node.io.to("red").timeout(15000).emitWithAck("question", 5)), ids(sockets).map((by) => ({ by, args: [5] })));
    for (const socket of sockets) assert.deepEqual((await socket.next()).slice(0, 2), ["question", 5]);
    // And the other way round: what an instance asks, the Node answers on its channel.
    await until("the Node's client is counted", async () => {
      const [count, members] = await within(5000, new Promise((done) => a.emit("who", "red", (...answer) => done(answer))), "who");
      return count === 3 && JSON.stringify([...members].sort()) === JSON.stringify(ids(sockets));
    }, { every: 20 });
    await quiet(node, sockets);
    assert.equal(await subscribers(redis, "socket.io-request#/#"), 0);
  }, { key: "my*app", publishOnSpecificResponseChannel: true });
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

    assert.deepEqual(ids(await node.io.fetchSockets()), ids([a, b, far]));
    assert.deepEqual(ids(await node.io.in("red").except("blue").fetchSockets()), ids([a, far]));
    assert.deepEqual(ids(await node.io.in(b.id).fetchSockets()), [b.id]);
    assert.deepEqual(ids(await node.io.of("/admin").fetchSockets()), [admin.id]);
    assert.deepEqual(await node.io.in("nobody").fetchSockets(), []);
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

testRedis("a Node is told who came over TLS, whatever carries them and whichever worker has them", {
  brokers: 1, workers: 3, config: { ...CONFIG, "tls.listen": [`127.0.0.1:${tlsPort}`], "tls.certificates": [certificate("adapter").path] },
}, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    const ways = [["polling"], ["websocket"], ["polling", "websocket"], ["polling", "websocket"], ["polling", "websocket"], ["polling", "websocket"]];
    const wanted = new Map();
    for (const transports of ways) {
      for (const secure of [true, false]) {
        const socket = secure ? await connect(tlsPort, "/", { transports, ca: CA }) : await connect(broker.port, "/", { transports });
        await until("it has upgraded", () => socket.io.engine.transport.name === transports.at(-1));
        wanted.set(socket.id, secure);
      }
    }
    assert.deepEqual(new Map((await node.io.fetchSockets()).map(({ id, handshake }) => [id, handshake.secure]).sort()), new Map([...wanted].sort()));
  });
});

testRedis("an event between servers does not wait for ringcast", { brokers: 1, workers: 2, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node) => {
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    const responses = await within(4000, node.io.serverSideEmitWithAck("ping", 1), "the answer of ringcast");
    assert.deepEqual(responses, [null]);
  });
});

/* A Node that asks, another one, two brokers of two workers each, and clients of every kind at all of them, in "red" and "asked". */
async function asking({ brokers, redis }, body) {
  const other = await startNode(redis);
  try {
    await both(redis, brokers[0], async (node, connect) => {
      await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === brokers.length + 2);
      const kinds = [{}, { transports: ["polling"] }, { parser }, { parser, transports: ["polling"] }];
      const sockets = await Promise.all([
        ...brokers.flatMap(({ port }) => kinds.map((options) => connect(port, "/", options))),
        connect(node.port), connect(other.port),
      ]);
      for (const socket of sockets) await socket.joined("red");
      await body(node, sockets, connect);
    });
  } finally {
    await other.stop();
  }
}

const questioned = (socket) => socket.on("question", (...args) => args.pop()({ by: socket.id, args }));
const answered = (answers) => answers.sort((one, two) => (one.by < two.by ? -1 : 1));

testRedis("a Node asks all, a room, one socket, and hears every client's answer once", { brokers: 2, workers: 2, config: CONFIG }, async (setting) => {
  await asking(setting, async (node, sockets, connect) => {
    const [first, second] = sockets;
    const all = sockets.map((socket) => socket.id).sort();
    for (const socket of sockets) questioned(socket);
    const bytes = Buffer.from([1, 2, 3]);
    const expected = (list, ...args) => [...list].sort().map((by) => ({ by, args }));
    // Binary both ways: the argument goes out to each parser and comes back in its answer.
    assert.deepEqual(answered(await node.io.timeout(15000).emitWithAck("question", "é", bytes, { deep: [bytes] })), expected(all, "é", bytes, { deep: [bytes] }));
    assert.deepEqual(answered(await node.io.to("red").except(first.id).timeout(15000).emitWithAck("question", 1)), expected(all.filter((id) => id !== first.id), 1));
    await second.joined("blue");
    assert.deepEqual(answered(await node.io.to(["blue", first.id]).timeout(15000).emitWithAck("question", 2)), expected([first.id, second.id], 2));
    assert.deepEqual(answered(await node.io.to("red").except("blue").timeout(15000).emitWithAck("question", 3)), expected(all.filter((id) => id !== second.id), 3));
    for (const { id } of sockets) assert.deepEqual(await node.io.to(id).timeout(15000).emitWithAck("question", 4), [{ by: id, args: [4] }]);
    for (const remote of await node.io.fetchSockets()) {
      assert.deepEqual(await remote.timeout(15000).emitWithAck("question", bytes), { by: remote.id, args: [bytes] });
    }
    assert.deepEqual(await node.io.to("nobody").timeout(15000).emitWithAck("question", 5), [], "who is waited for in vain is an error");
    // A callback, and a namespace of its own.
    const admin = await connect(setting.brokers[0].port, "/admin", { parser });
    admin.on("question", (answer) => answer());
    const [error, answers] = await within(20000, new Promise((done) => node.io.of("/admin").timeout(15000).emit("question", (...what) => done(what))), "the callback");
    assert.deepEqual([error, answers], [null, [undefined]]);
    for (const { metrics } of [{ metrics: await setting.brokers[0].metrics() }, { metrics: await setting.brokers[1].metrics() }]) {
      assert.equal(metrics("ringcast_socketio_acks_waiting"), 0);
      assert.ok(metrics("ringcast_socketio_adapter_answers_total") >= 12);
    }
  });
});

testRedis("many questions at once, each heard by the one who asked", { brokers: 1, workers: 2, config: CONFIG }, async (setting) => {
  await asking(setting, async (node, sockets) => {
    for (const socket of sockets) questioned(socket);
    const asked = Array.from({ length: 300 }, (_, n) => node.io.to(sockets[n % sockets.length].id).timeout(10000).emitWithAck("question", n));
    (await Promise.all(asked)).forEach((answers, n) => assert.deepEqual(answers, [{ by: sockets[n % sockets.length].id, args: [n] }]));
    const large = "x".repeat(300000);
    assert.deepEqual((await node.io.to("red").timeout(10000).emitWithAck("question", large)).map(({ args }) => args[0] === large), sockets.map(() => true));
  });
});

testRedis("a question comes behind the broadcasts before it", { brokers: 1, workers: 2, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    const a = await connect(broker.port);
    await a.joined("red");
    a.on("question", (n, answer) => answer(a.got.length));
    for (let i = 0; i < 50; i++) {
      node.io.to("red").emit("before", i);
      assert.deepEqual(await node.io.to("red").timeout(15000).emitWithAck("question", i), [2 * i + 2], "itself among them");
    }
  });
});

testRedis("native clients in the room hear a question, and are not waited for", { brokers: 1, workers: 2, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    const a = await connect(broker.port);
    await a.joined("red");
    questioned(a);
    const native = await broker.connect();
    await native.subscribe("red");
    assert.deepEqual(await node.io.to("red").timeout(15000).emitWithAck("question", 1), [{ by: a.id, args: [1] }]);
    const { channel, event, args } = await native.next("message");
    assert.deepEqual([channel, event, args], ["red", "question", [1]]);
    native.close();
  });
});

testRedis("who answers twice, wrongly, late, or leaves instead harms nobody and is counted", { brokers: 1, workers: 1, config: { ...CONFIG, "socketio.ack_timeout": "5s" } }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    const sockets = await Promise.all([1, 2, 3, 4].map(() => connect(broker.port)));
    const [good, twice, wrong, leaves] = sockets;
    for (const socket of sockets) await socket.joined("red");
    let late; // how the client that leaves would have answered
    const ACK = 3;
    questioned(good);
    const idOf = (socket) => within(5000, new Promise((done) => {
      const taken = socket.onevent.bind(socket);
      socket.onevent = (packet) => {
        if (packet.data[0] === "question") done(packet.id);
        taken(packet);
      };
    }), "the question's id");
    const ids = [twice, wrong, leaves].map(idOf);
    const asked = node.io.to("red").timeout(7000).emitWithAck("question", 1);
    asked.catch(() => {}); // awaited below
    const [id, , its] = await Promise.all(ids);
    assert.ok(id >= 2 ** 30 && id < 2 ** 31, `${id} is one that clients with 32 bits can keep`);
    twice.packet({ type: ACK, id, data: [{ by: "twice" }] });
    twice.packet({ type: ACK, id, data: [{ by: "doubled" }] });
    wrong.packet({ type: ACK, id: id + 1, data: [{ by: "wrong" }] });
    wrong.packet({ type: ACK, id: 7, data: [{ by: "wrong" }] });
    wrong.packet({ type: ACK, data: [{ by: "wrong" }] });
    leaves.disconnect();
    await assert.rejects(asked, (error) => {
      assert.deepEqual(error.responses.map(({ by }) => by).sort(), [good.id, "twice"].sort());
      return true;
    });
    await until("ringcast waits no more either", async () => (await broker.metrics())('ringcast_socketio_acks_total{result="expired"}') === 1);
    wrong.packet({ type: ACK, id, data: [{ by: "late" }] });
    await wrong.joined("blue"); // it is still there, and what it said before was looked at
    const metrics = await broker.metrics();
    assert.deepEqual(
      ["acks_waiting", "acks_asked_total", ...["answered", "late", "unknown", "gone", "expired", "refused", "dropped"].map((result) => `acks_total{result="${result}"}`)].map((name) => metrics(`ringcast_socketio_${name}`)),
      [0, 4, 2, 2, 3, 1, 1, 0, 0],
    );
    assert.equal(its, id, "one emit is one id");
  });
});

testRedis("of one client no more answers are waited for than it may owe", { brokers: 1, workers: 1, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    const a = await connect(broker.port);
    const answers = [];
    a.on("question", (n, answer) => answers.push([n, answer]));
    const asked = Array.from({ length: 70 }, (_, n) => node.io.to(a.id).timeout(7000).emitWithAck("question", n).then(([answer]) => answer, () => "timeout"));
    await until("all were asked", () => a.got.length === 70);
    for (const [n, answer] of answers) if (answer) answer(n);
    const heard = await Promise.all(asked);
    assert.deepEqual(heard.slice(0, 64), Array.from({ length: 64 }, (_, n) => n));
    assert.deepEqual(heard.slice(64), Array(6).fill("timeout"), "who asks in vain is not told that nobody is there");
    assert.equal((await broker.metrics())('ringcast_socketio_acks_total{result="refused"}'), 6);
  });
});

testRedis("answers find their way through another relay", { brokers: 1, workers: 1, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await both(redis, broker, async (node, connect) => {
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    const a = await connect(broker.port);
    let answer;
    const told = within(5000, new Promise((done) => a.on("question", (its) => done((answer = its)))), "the question");
    const counted = within(5000, new Promise((done) => {
      const adapter = node.io.of("/").adapter;
      const taken = adapter.onresponse.bind(adapter);
      adapter.onresponse = (...what) => {
        done();
        taken(...what);
      };
    }), "how many were asked");
    const asked = node.io.to(a.id).timeout(20000).emitWithAck("question");
    await Promise.all([told, counted]);
    const before = broker.kill("SIGKILL", "relay");
    await until("another relay", () => (broker.pids().relay ?? before) !== before);
    await until("it hears requests", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    answer("after all");
    assert.deepEqual(await asked, ["after all"]);
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
    const large = "y".repeat(50000);
    assert.deepEqual(await within(4000, node.io.serverSideEmitWithAck("tell", "nobody", large), "a large answer"), [large]);
    for (const socket of [a, b]) assert.deepEqual(await socket.next(), ["all", "nobody", large]);
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
    await until("requests are heard", async () => (await subscribers(redis, "socket.io-request#/#")) === 2);
    const wrong = ["", "{}", "\xc1", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\x91".repeat(200000), "\x93\xa1a\x80\x80", "\x93\xa1a\x81\xa4type\xa11\x80"];
    const name = "socket.io#/#red#";
    const before = (await broker.metrics())("ringcast_redis_malformed_total");
    const publisher = await redis.connect();
    // Node's own server would die of these: it hears of rooms by a pattern, so it must not be there.
    await node.io.of("/").adapter.close();
    for (const bytes of wrong) await publisher.command("PUBLISH", name, Buffer.from(bytes, "latin1"));
    // Requests that do not say who is meant, or not as a list, mean nobody: a Node server ignores them, or fails at them.
    const requests = ['{"type":4}', '{"type":4,"close":true,"sid":7}', '{"type":4,"opts":{"rooms":"blue"}}', '{"type":4,"opts":{"rooms":["blue"],"except":1}}', '{"type":2,"rooms":["red"]}', '{"type":3,"opts":null,"rooms":["red"]}', '{"type":5,"requestId":"r"}'];
    for (const text of requests) await publisher.command("PUBLISH", "socket.io-request#/#", text);
    await until("all are counted", async () => (await broker.metrics())("ringcast_redis_malformed_total") === before + wrong.length + requests.length);
    await a.joined("red"); // what was asked of its connection before has been carried out
    assert.deepEqual([a.connected, a.got], [true, []]);
    publisher.end();
  });
});
