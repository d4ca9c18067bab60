// socketio.adapter = "classic", "sharded", "streams": in a cluster of Node servers ringcast is one more of them. What three Nodes do, two Nodes
// and ringcast do.
import assert from "node:assert/strict";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient, createCluster } from "redis";
import { io as connectClient } from "socket.io-client";
import { heardEverywhere, MEMBER_CONFIG, memberClient, settled, startMember } from "./lib/members.mjs";
import { redisHealth, startCluster, startRedis, startRedisAndWire, testRedis, until } from "./lib/redis.mjs";
import { within } from "./lib/util.mjs";

const quiet = (client) => client.on("error", () => {});
const single = async (redis) => quiet(createClient({ url: redis.url })).connect();
async function cluster(redis) {
  const client = quiet(createCluster({ rootNodes: redis.nodes.map((node) => ({ url: `redis://127.0.0.1:${node.port}` })) }));
  await client.connect();
  // The library throws when two subscriptions that are given back at a time were the last ones of a master: some stay on every one.
  for (let i = 0; i < 32; i++) await client.sSubscribe(`kept ${i}`, () => {});
  return client;
}

/* What a Node is given: two connections, or one that the adapter makes others from. */
const KINDS = {
  classic: { config: "classic", start: startRedis, connect: single, connections: 2, adapter: createAdapter },
  sharded: { config: "sharded", start: startRedis, connect: single, connections: 2, adapter: createShardedAdapter },
  "sharded over a Cluster": { config: "sharded", start: startCluster, connect: cluster, connections: 2, adapter: createShardedAdapter },
  streams: { config: "streams", start: startRedis, connect: single, connections: 1, adapter: createStreamsAdapter },
};

async function startNode(kind, redis) {
  const connections = [];
  for (let i = 0; i < kind.connections; i++) connections.push(await kind.connect(redis));
  const member = await startMember(kind.adapter(...connections));
  return {
    ...member,
    async stop() {
      await member.stop();
      for (const connection of connections) await connection.close();
    },
  };
}

/* What two runs are compared by: names of clients in place of their ids, in the order of the text. */
function comparable(clients, list) {
  const named = (text) => Object.entries(clients).reduce((all, [name, { sid }]) => all.replaceAll(sid, name), text);
  return list.map((one) => named(JSON.stringify(one))).sort();
}

/* Every call, from two Nodes and from clients of the third server. What came of it. */
async function story(nodes, thirdPort) {
  const [a, b] = nodes.map(({ io }) => io);
  const names = { a: [nodes[0].port], b: [nodes[1].port], c: [thirdPort], d: [thirdPort], adminA: [nodes[0].port, "/admin"], adminC: [thirdPort, "/admin"] };
  const clients = {};
  const results = {};
  try {
    for (const [name, where] of Object.entries(names)) {
      clients[name] = await memberClient(...where);
      clients[name].nsp = where[1] ?? "/";
      clients[name].on("question", (...args) => args.pop()({ by: name, args }));
      clients[name].sid = clients[name].id; // it has none any more when it is away
    }
    const all = Object.values(clients);
    for (const [name, rooms] of Object.entries({ a: ["red"], b: ["red", "blue"], c: ["red", "a room of its own é"], d: ["blue"], adminA: ["red"], adminC: ["red"] })) {
      for (const room of rooms) await clients[name].joined(room);
    }
    await heardEverywhere(nodes, all);
    const { c, d } = clients;

    // Events, from a Node.
    for (const [i, io] of [a, b].entries()) {
      io.emit("1 all", i, "é\n", { a: [1.5, null, true, -7, 2 ** 40, 0.1, { b: {} }] });
      io.to("red").emit("2 red", i);
      io.to("red").to("blue").emit("3 red and blue", i);
      io.except("red").emit("4 not red", i);
      io.to(["red", "nobody"]).except(["blue", c.id]).emit("5 red, not blue, not c", i);
      io.to(d.id).emit("6 d", i);
      io.to("red").emit("7 binary", i, Buffer.from([1, 2, 3]), { deep: [Buffer.alloc(0)] });
      io.emit("8 binary", i, Buffer.from([4]));
      io.of("/admin").emit("9 admin", i);
      io.of("/admin").to("red").emit("10 admin red", i);
      io.emit("11 odd", i, new Date(0), undefined, { left: undefined, kept: NaN });
      io.local.emit("12 local", i);
      io.to("a room of its own é").emit("14 only c", i);
    }
    // From a socket of the third server, and of a Node.
    for (const name of ["c", "a"]) {
      const socket = clients[name];
      socket.emit("say", "red", "15 said in red", name, { x: [0.1, 2 ** 52, "\u2028"] });
      socket.emit("say", "red", "16 binary", name, Buffer.from([9, 8]), [Buffer.from([7])]);
      socket.emit("shout", "17 shouted", name);
      socket.emit("say", clients.b.id, "18 to b alone", name);
      socket.emit("say", d.id, "19 to d alone", name);
      socket.emit("say", "nobody", "20 to nobody", name);
    }
    for (const name of ["adminC", "adminA"]) clients[name].emit("shout", "21 shouted in admin", name);
    await until("the last of all", () => [...all].every((client) => client.got.filter((got) => String(got[1]).startsWith(client.nsp === "/" ? "17" : "21")).length === 2));

    // Requests.
    const sockets = async (operator) => comparable(clients, (await operator.fetchSockets()).map(({ id, rooms }) => [id, comparable(clients, [...rooms])]));
    for (const [i, io] of [a, b].entries()) {
      results[`fetch ${i}`] = [await sockets(io), await sockets(io.in("red").except("blue")), await sockets(io.in(c.id)), await sockets(io.of("/admin")), await sockets(io.in("nobody"))];
      results[`ack ${i}`] = comparable(clients, await within(4000, io.serverSideEmitWithAck("tell", c.id, { x: i }), "all servers' answers"));
      const bytes = Buffer.from([5, i]);
      const asked = async (operator, ...args) => comparable(clients, await within(6000, operator.timeout(5000).emitWithAck("question", ...args), "all clients' answers"));
      results[`clients ${i}`] = [
        await asked(io, i, "é"), await asked(io.in("red").except("blue"), bytes, { deep: [bytes] }), await asked(io.to(c.id), i),
        await asked(io.of("/admin"), i), await asked(io.to("nobody"), i),
      ];
      io.serverSideEmit("tell", clients.b.id, `22 told by ${i}`, [i]);
    }
    results.remote = comparable(clients, await Promise.all((await a.in(d.id).fetchSockets()).map(async (remote) => {
      remote.emit("23 remote", 1);
      remote.join("joined by remote");
      await until("d has joined", async () => (await a.in("joined by remote").fetchSockets()).length === 1);
      return [remote.id, comparable(clients, [...remote.rooms])];
    })));
    b.in("blue").socketsJoin(["green", "lime"]);
    await until("both are in green", async () => (await a.in("green").fetchSockets()).length === 2);
    for (const name of ["b", "d"]) clients[name].rooms.push("green");
    await heardEverywhere(nodes, all);
    a.to("green").emit("24 green", 1);
    results.green = await sockets(a.in("lime"));
    a.in("blue").socketsLeave("green");
    await until("nobody is in green", async () => (await b.in("green").fetchSockets()).length === 0);
    for (const name of ["b", "d"]) clients[name].rooms.splice(clients[name].rooms.indexOf("green"), 1);
    a.to("green").to("red").emit("25 red, green is empty", 1);
    await settled(nodes, all, "end");
    a.to("red").volatile.emit("26 volatile", 1); // behind the rest: a Node drops it while it has something else to write
    await until("it has arrived", () => ["a", "b", "c"].every((name) => clients[name].got.some(([event]) => event === "26 volatile")));
    a.of("/admin").in("red").disconnectSockets();
    b.in("blue").disconnectSockets(true);
    await until("they are away", () => ["b", "d", "adminA", "adminC"].every((name) => clients[name].disconnected));
    await until("nobody else is there", async () => (await a.fetchSockets()).length === 2);
    results.left = await sockets(b);
    for (const [name, client] of Object.entries(clients)) results[name] = comparable(clients, client.got.filter(([event]) => !event.startsWith("warm")));
    return results;
  } finally {
    for (const client of Object.values(clients)) client.disconnect();
  }
}

for (const [name, kind] of Object.entries(KINDS)) {
  testRedis(`two Nodes and ringcast do what three Nodes do: ${name}`, { brokers: 1, workers: 2, start: kind.start, config: { ...MEMBER_CONFIG, "socketio.adapter": kind.config }, timeout: 90000 }, async ({ brokers: [broker], redis }) => {
    const nodes = [];
    try {
      for (let i = 0; i < 2; i++) nodes.push(await startNode(kind, redis));
      const together = await story(nodes, broker.port);
      await broker.stop();
      const third = await startNode(kind, redis);
      nodes.push(third);
      const alone = await story(nodes.slice(0, 2), third.port);
      assert.deepEqual(together, alone);
    } finally {
      for (const node of nodes) await node.stop();
    }
  });
}

const config = (adapter, more = {}) => ({ ...MEMBER_CONFIG, "socketio.adapter": adapter, ...more });
const count = async (redis, channel) => (await redis.command("PUBSUB", "SHARDNUMSUB", channel))[1];

/* A client of a broker and a Node that hear each other. */
async function withNode(kind, { broker, redis, rooms = ["red"] }, body) {
  const node = await startNode(KINDS[kind], redis);
  const socket = await memberClient(broker.port);
  try {
    for (const room of rooms) await socket.joined(room);
    await heardEverywhere([node], [socket]);
    socket.got.splice(0);
    await body(node, socket);
  } finally {
    socket.disconnect();
    await node.stop();
  }
}

testRedis("sharded: a room is subscribed while somebody is in it, a namespace always, and instances hear one another once", { brokers: 2, workers: 2, config: config("sharded") }, async ({ brokers, redis }) => {
  await until("the namespaces are heard", async () => (await count(redis, "socket.io#/#")) === 2 && (await count(redis, "socket.io#/admin#")) === 2);
  assert.equal(await count(redis, "socket.io#/#red#"), 0);
  await withNode("sharded", { broker: brokers[0], redis }, async (node, here) => {
    assert.equal(await count(redis, "socket.io#/#red#"), 1);
    const there = await memberClient(brokers[1].port);
    await there.joined("red");
    await heardEverywhere([node], [here, there]);
    for (const socket of [here, there]) socket.got.splice(0);
    here.emit("say", "red", 1, Buffer.from([1]));
    await settled([node], [here, there], "said");
    for (const socket of [here, there]) assert.deepEqual(socket.got.filter(([event]) => event === "said"), [["said", 1, Buffer.from([1])]]);
    there.disconnect();
    here.disconnect();
    await until("the room is given back", async () => (await count(redis, "socket.io#/#red#")) === 0);
    assert.equal(await count(redis, "socket.io#/#"), 3);
  });
});

for (const [kind, send] of [
  ["sharded", (redis, bytes) => redis.command("SPUBLISH", "socket.io#/#", bytes)],
  ["streams", (redis, bytes) => redis.command("PUBLISH", "socket.io#/#", bytes)],
  ["streams", (redis, bytes) => redis.command("XADD", "socket.io", "*", "uid", "u", "nsp", "/", "type", "3", "data", bytes)],
]) {
  testRedis(`what is no message of a ${kind} adapter is counted and ignored: ${send.toString().match(/"([A-Z]+)"/)[1]}`, { brokers: 1, config: config(kind) }, async ({ brokers: [broker], redis }) => {
    const socket = await memberClient(broker.port);
    const wrong = ["[]", "{", "{\"type\":3}", "\xc1", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\x91".repeat(200000), "{\"packet\":{\"type\":2}}"];
    const before = (await broker.metrics())("ringcast_redis_malformed_total");
    for (const bytes of wrong) await send(redis, Buffer.from(bytes, "latin1"));
    await until("all are counted", async () => (await broker.metrics())("ringcast_redis_malformed_total") === before + wrong.length);
    assert.deepEqual(socket.got, []);
    socket.disconnect();
  });
}

testRedis("streams: what was added while Redis was out of reach arrives afterwards, once and in order", { brokers: 1, start: startRedisAndWire, url: (redis) => redis.wire.url, config: config("streams") }, async ({ brokers: [broker], redis }) => {
  await withNode("streams", { broker, redis }, async (node, socket) => {
    redis.wire.cut();
    await redisHealth(broker, 503);
    for (let i = 0; i < 250; i++) node.io.to("red").emit("away", i); // more than one reading has
    socket.emit("say", "red", "from here"); // and the other way: it waits in the outbox
    redis.wire.mend();
    await redisHealth(broker, 200, 15000);
    node.io.to("red").emit("away", "end");
    await until("the last one", () => socket.got.some((got) => got[1] === "end"));
    assert.deepEqual(socket.got.filter(([event]) => event === "away"), [...Array(250).keys(), "end"].map((i) => ["away", i]));
    assert.ok(!broker.log.some((line) => line.includes("redis_stream_missed")), "nothing of the stream was lost");
    const entries = await until("what was said is in the stream", async () => {
      const found = (await redis.command("XRANGE", "socket.io", "-", "+")).filter(([, values]) => values.includes("/") && values.at(-1).includes("from here"));
      return found.length > 0 && found;
    });
    assert.equal(entries.length, 1);
  });
});

testRedis("streams: entries that may have gone unread are told", { brokers: 1, start: startRedisAndWire, url: (redis) => redis.wire.url, config: config("streams") }, async ({ brokers: [broker], redis }) => {
  await withNode("streams", { broker, redis }, async (node, socket) => {
    redis.wire.cut();
    await redisHealth(broker, 503);
    for (let i = 0; i < 3; i++) await redis.command("XADD", "socket.io", "*", "uid", "u", "nsp", "/", "type", "3", "data", JSON.stringify({ packet: { type: 2, data: ["kept", i] }, opts: { rooms: ["red"], except: [], flags: {} } }));
    await redis.command("XTRIM", "socket.io", "MAXLEN", "2");
    redis.wire.mend();
    await until("what is left was read", () => socket.got.filter(([event]) => event === "kept").length === 2);
    assert.ok(broker.log.some((line) => line.includes("redis_stream_missed")));
    assert.ok(socket.got.findIndex(([event]) => event === "gap") < socket.got.findIndex(([event]) => event === "kept"), "told before what comes behind the hole");
    await redis.command("DEL", "socket.io");
    node.io.to("red").emit("anew", 1);
    await until("the stream goes on", () => socket.got.some(([event]) => event === "anew"));
  });
});

testRedis("sharded: a shard that dies is told to whom it concerns, and heard again from its heir", { brokers: 1, start: startCluster, config: config("sharded"), timeout: 90000 }, async ({ brokers: [broker], redis }) => {
  const socket = await memberClient(broker.port);
  await socket.joined("red");
  const channel = "socket.io#/#red#";
  const slot = await redis.nodes[0].command("CLUSTER", "KEYSLOT", channel);
  const owner = await redis.ownerOf(slot);
  await until("the room is heard", async () => (await count(owner, channel)) === 1);
  await owner.kill();
  const heir = await until("an heir", async () => {
    const found = await redis.ownerOf(slot);
    return found !== owner && found;
  }, { timeout: 30000, every: 200 });
  await until("the room is heard there", async () => (await count(heir, channel)) === 1, { timeout: 30000, every: 100 });
  await heir.command("SPUBLISH", channel, JSON.stringify({ uid: "u", nsp: "/", type: 3, data: { packet: { type: 2, data: ["again", 1] }, opts: { rooms: ["red"], except: [], flags: {} } } }));
  await until("it is heard again", () => socket.got.some(([event]) => event === "again"));
  assert.ok(socket.got.some(([event]) => event === "gap"), JSON.stringify(socket.got));
  socket.disconnect();
});

testRedis("fetchSockets tells where a socket comes from and what it said who it is", { brokers: 1, config: config("sharded", { event: [...MEMBER_CONFIG.event, { on: "who", ack: ["{auth}"] }] }) }, async ({ brokers: [broker], redis }) => {
  const node = await startNode(KINDS.sharded, redis);
  const socket = connectClient(`http://127.0.0.1:${broker.port}/`, { transports: ["websocket"], reconnection: false, auth: { token: "t", deep: [1] } });
  try {
    await within(5000, new Promise((done) => socket.once("connect", done)), "connected");
    await until("it is heard of", async () => (await count(redis, "socket.io#/#")) === 2);
    const [remote] = await until("it is there", async () => {
      const all = await node.io.fetchSockets();
      return all.length > 0 && all;
    });
    assert.equal(remote.id, socket.id);
    assert.deepEqual(remote.handshake, { headers: {}, time: "", address: "127.0.0.1", xdomain: false, secure: false, issued: 0, url: "", query: {}, auth: { token: "t", deep: [1] } });
    assert.deepEqual(remote.data, {});
    assert.deepEqual([...remote.rooms], [socket.id]);
  } finally {
    socket.disconnect();
    await node.stop();
  }
});
