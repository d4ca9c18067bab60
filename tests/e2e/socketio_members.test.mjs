// socketio.adapter = "classic", "sharded", "streams": in a cluster of Node servers instances of ringcast are more of them. What four Nodes do,
// two Nodes and two instances do.
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import { KINDS, startNode } from "./lib/member_kinds.mjs";
import { story } from "./lib/member_story.mjs";
import { heardEverywhere, MEMBER_CONFIG, memberClient, settled } from "./lib/members.mjs";
import { redisHealth, startCluster, startRedisAndWire, testRedis, until } from "./lib/redis.mjs";
import { within } from "./lib/util.mjs";

for (const [name, kind] of Object.entries(KINDS)) {
  testRedis(`two Nodes and two instances do what four Nodes do: ${name}`, { brokers: 2, workers: 2, start: kind.start, config: { ...MEMBER_CONFIG, "socketio.adapter": kind.config }, timeout: 90000 }, async ({ brokers, redis }) => {
    const nodes = [];
    try {
      for (let i = 0; i < 2; i++) nodes.push(await startNode(kind, redis));
      const together = await story(nodes, ...brokers.map(({ port }) => port));
      for (const broker of brokers) await broker.stop();
      for (let i = 0; i < 2; i++) nodes.push(await startNode(kind, redis));
      const alone = await story(nodes.slice(0, 2), ...nodes.slice(2).map(({ port }) => port));
      assert.deepEqual(together, alone);
    } finally {
      for (const node of nodes) await node.stop();
    }
  });
}

// With no adapter, and before the first interval of heartbeats is over.
testRedis("a socket of another instance is reached by its id, in every namespace, and it alone", { brokers: 2, workers: 2, config: { ...MEMBER_CONFIG, "http.api_keys": ["key-of-the-tests"] } }, async ({ brokers }) => {
  const sockets = [];
  try {
    for (const nsp of ["/", "/admin"]) for (const { port } of brokers) sockets.push(await memberClient(port, nsp));
    const [a, b, adminA, adminB] = sockets;
    const gone = adminB.id;
    for (const [from, to] of [[a, b], [b, a], [adminA, adminB], [adminB, adminA], [a, a]]) {
      from.emit("say", to.id, 1, { x: "\u00e9" }, Buffer.from([7]));
      assert.deepEqual(await until("it is heard", () => to.got.shift()), ["said", 1, { x: "\u00e9" }, Buffer.from([7])]);
    }
    const answer = await brokers[0].get("/api/publish", { method: "POST", headers: { authorization: "Bearer key-of-the-tests" }, body: JSON.stringify({ channel: b.id, event: "from the API", data: 2 }) });
    assert.equal(answer.status, 200, answer.body);
    assert.deepEqual(await until("it is heard", () => b.got.shift()), ["from the API", 2]);
    // Of another namespace it is nobody's id, nor when it is gone.
    a.emit("say", adminB.id, "wrong");
    adminA.emit("say", b.id, "wrong");
    adminB.disconnect();
    adminA.emit("say", gone, "wrong");
    a.emit("shout", "end");
    adminA.emit("shout", "end");
    for (const socket of [a, b, adminA]) assert.deepEqual(await until("the end", () => socket.got.shift()), ["said", "end"]);
    await until("who was not found is counted", async () => (await brokers[1].metrics())("ringcast_failed_deliveries_total") >= 1);
  } finally {
    for (const socket of sockets) socket.disconnect();
  }
});

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
    await until("it hears", async () => Number((await redis.command("PUBSUB", kind === "sharded" ? "SHARDNUMSUB" : "NUMSUB", "socket.io#/#"))[1]) === 1);
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
    await until("the log says so", () => broker.log.some((line) => line.includes("redis_stream_missed")));
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
