// Why a socket ended, as it is told to both sides: to the rows of "disconnect" in a Node server's words, and to the client in those of its
// library. Against Node and ringcast.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
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

describeCases("reasons", targetsOf("socketio"), { rows, pingInterval: 300, pingTimeout: 700, timeout: 20000 }, [
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
    const twice = await joined();
    await Promise.all([twice.polling.get(), twice.polling.get()]);
    assert.equal(await watcher.row(twice.sid), "transport error");
    watcher.end();
  }],
]);
