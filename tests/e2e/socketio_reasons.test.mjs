// Why a socket ended, as it is told to both sides: to the rows of "disconnect" in a Node server's words, and to the client in those of its
// library. Against Node and ringcast.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { testBroker } from "./lib/broker.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { Relay, describeCases, openPolling, openSocketIo, targetsOf, until } from "./lib/socketio.mjs";

const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"] };
const rows = [
  { on: "disconnect", emit: [{ to: "*", event: "gone", args: ["{sid}", "{args.0}"] }] },
];

/* Reads on, so that its pings are answered: what the rows were told, by sid. */
async function watch(server) {
  const socket = await openSocketIo(server);
  const told = new Map();
  (async () => {
    for (let message; (message = await socket.next(60000)) !== null; ) {
      const [event, sid, reason] = JSON.parse(message.slice(2));
      if (event === "gone") told.set(sid, reason);
    }
  })().catch(() => {}); // it was ended
  return { row: (sid) => until("the row is told", () => told.get(sid)), end: () => socket.end() };
}

/* body({ client, ended(): what the client was told, row(sid): what the row was }), each with a watcher of its own. */
const withClient = (transports, body, { through } = {}) => async (server) => {
  const relay = through ? await new Relay().start(server) : undefined;
  const watcher = await watch(server);
  const client = io(`http://127.0.0.1:${relay?.port ?? server.port}`, { transports, forceNew: true, reconnection: false });
  let reason;
  client.on("disconnect", (why) => (reason = why));
  try {
    await until("the client is connected", () => client.connected);
    const sid = client.id;
    await body({ client, relay, server, ended: () => until("the client is told", () => reason), row: () => watcher.row(sid) });
  } finally {
    client.disconnect();
    watcher.end();
    await relay?.stop();
  }
};

const both = (name, body, options) => Object.entries(TRANSPORTS).map(([transport, transports]) => [`${name}, ${transport}`, withClient(transports, body, options)]);

describeCases("reasons", targetsOf("socketio"), { rows, pingInterval: 300, pingTimeout: 2000, timeout: 20000 }, [
  ...both("the client leaves", async ({ client, ended, row }) => {
    client.disconnect();
    assert.deepEqual([await ended(), await row()], ["io client disconnect", "client namespace disconnect"]);
  }),

  ...both("the client closes its engine", async ({ client, ended, row }) => {
    client.io.engine.close();
    assert.deepEqual([await ended(), await row()], ["forced close", "transport close"]);
  }),

  ...both("the client says what is no packet", async ({ client, ended, row }) => {
    client.io.engine.write("2{}");
    const why = await ended();
    assert.ok(["transport close", "transport error"].includes(why), why);
    assert.equal(await row(), "forced close");
  }),

  ["the way is cut", withClient(TRANSPORTS.websocket, async ({ relay, ended, row }) => {
    relay.cut();
    assert.equal(await ended(), "transport close");
    const told = await row();
    assert.ok(["transport close", "transport error"].includes(told), told);
  }, { through: true })],

  ...both("nothing comes any more", async ({ relay, ended, row }) => {
    relay.hold();
    assert.deepEqual([await ended(), await row()], ["ping timeout", "ping timeout"]);
  }, { through: true }),

  ["what is no packet of Engine.IO, and two GETs at once", async (server) => {
    const watcher = await watch(server);
    const joined = async () => {
      const polling = await openPolling(server);
      await polling.send("40");
      return { polling, sid: JSON.parse((await polling.packet()).slice(2)).sid };
    };
    const broken = await joined();
    await broken.polling.post("9").catch(() => {});
    assert.equal(await watcher.row(broken.sid), "parse error");
    let twice;
    await until("they meet", async () => { // the first one may have been answered by a ping before the second one is there
      twice = await joined();
      return (await Promise.all([twice.polling.get(), twice.polling.get()])).some(({ status }) => status === 400);
    });
    assert.equal(await watcher.row(twice.sid), "transport error");
    watcher.end();
  }],
]);

/* A Node server has no such end: it keeps all for a client that does not take it. */
testBroker("a client that is too slow is told what its library has a name for", {
  workers: 1,
  config: { "socketio.path": "/socket.io/", "limits.channel_log": "256KiB", event: [{ on: "join", join: ["{args.0}"], ack: [] }, ...rows], namespace: [{ name: "default", slow_consumer: "disconnect", subscribe: "anyone", publish: "anyone" }] },
}, async (broker) => {
  const native = await broker.connect();
  const watcher = await watch({ port: broker.port, path: "/socket.io/" });
  for (const transports of Object.values(TRANSPORTS)) {
    const relay = await new Relay().start({ port: broker.port });
    const client = io(`http://127.0.0.1:${relay.port}`, { transports, forceNew: true, reconnection: false });
    const got = [];
    let reason;
    client.on("disconnect", (why) => (reason = why));
    client.on("message", (data) => got.push(data.n));
    await until("the client is connected", () => client.connected);
    const sid = client.id;
    await new Promise((done) => client.emit("join", "room", done));
    relay.hold();
    const before = (await broker.metrics())("ringcast_slow_disconnected_total");
    for (let n = 0; (await broker.metrics())("ringcast_slow_disconnected_total") === before; n++) {
      assert.ok(n < 2000, "it is cut off");
      for (let i = 0; i < 10; i++) native.send({ type: "publish", channel: "room", data: { n, text: "x".repeat(10000) } });
      await native.ping();
    }
    relay.release();
    await until("the client is told", () => reason);
    assert.equal(reason, "transport close");
    const told = await watcher.row(sid); // who is closed says so itself, too: which comes first is open
    assert.ok(["forced close", "transport close"].includes(told), told);
    await relay.stop();
  }
  watcher.end();
});

testBroker("sessions that join no namespace are bounded: of an address those that come, in all the oldest", {
  workers: 1, config: { "socketio.path": "/socket.io/", "socketio.max_unjoined": 6, "socketio.max_unjoined_per_address": 4, "http.trusted_proxies": ["127.0.0.1"] },
}, async (broker) => {
  const metric = async (name) => (await broker.metrics())(`ringcast_engineio_unjoined${name}`);
  const from = (address) => openPolling({ port: broker.port, path: "/socket.io/" }, { headers: { "x-forwarded-for": address } });
  const sessions = [];
  for (let i = 0; i < 4; i++) sessions.push(await from("192.0.2.1"));
  const again = async () => (await broker.get("/socket.io/?EIO=4&transport=polling", { headers: { "x-forwarded-for": "192.0.2.1" } })).status;
  assert.equal(await again(), 429);
  const raw = await broker.raw();
  raw.write(upgradeRequest("/socket.io/?EIO=4&transport=websocket", { "x-forwarded-for": "192.0.2.1" }));
  assert.equal((await raw.response()).status, 429);
  raw.end();
  assert.equal(await metric("_refused_total"), 2);
  await sessions[0].send("40");
  assert.match(await sessions[0].packet(), /^40/);
  assert.equal(await again(), 200, "who has joined does not count");
  assert.equal(await again(), 429);
  for (let i = 0; i < 4; i++) sessions.push(await from(`192.0.2.${i + 2}`));
  await until("the oldest are closed", async () => (await metric("_ended_total")) === 2);
  assert.equal(await metric(""), 6);
  assert.equal((await sessions[1].get().catch((error) => ({ status: error.message }))).status, 400, "unknown now");
  await sessions.at(-1).send("40");
  assert.match(await sessions.at(-1).packet(), /^40/);
});
