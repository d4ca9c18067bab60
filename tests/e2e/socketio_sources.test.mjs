// What the source documents' backends say to Socket.IO clients, and the settings that they name (S1.1, S2.2, S3.1, S3.3, S4.5, S4.7).
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { testBroker } from "./lib/broker.mjs";
import { testRedis } from "./lib/redis.mjs";
import { ask } from "./lib/socketio.mjs";
import { until, within } from "./lib/util.mjs";

const config = {
  "debug.user_query": "user",
  "socketio.path": "/socket.io/",
  "socketio.notification_event": "notification",
  "presence.events_channel": "leaderboard:global",
  "presence.offline_delay": "0s",
  event: [{ on: "leaderboard:subscribe", join: ["leaderboard:global"], ack: [{ subscribed: true }] }],
  bridge: [
    { redis: "match:result", room: "leaderboard:global", event: "match:result" },
    { redis: "portfolio:update", room: "user:{json.userId}", event: "portfolio:update" },
  ],
};

/* A client with what it has heard so far: [name, ...args] each. */
async function connect(broker, user, transports) {
  const socket = io(`http://${broker.host}`, { transports, query: { user }, forceNew: true, reconnection: false });
  socket.heard = [];
  socket.onAny((...event) => socket.heard.push(event));
  await within(5000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "it connects");
  return socket;
}

const hears = (socket, name) => until(`it hears ${name}`, () => socket.heard.find((event) => event[0] === name)?.slice(1));

testRedis("bridges, notifications, presence and broadcasts reach Socket.IO clients by name, on every instance and transport", { brokers: 2, workers: 2, config, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const clients = [await connect(a, "42", ["websocket"]), await connect(b, "42", ["polling"])];
  const other = await connect(b, "43", ["websocket"]);
  try {
    for (const client of [...clients, other]) {
      assert.deepEqual(await within(5000, new Promise((done) => client.emit("leaderboard:subscribe", done)), "it is subscribed"), { subscribed: true });
    }
    // A subscription reaches Redis after its acknowledgement's 100 ms at the latest: said until everybody hears it.
    await until("everybody hears the bridge", async () => {
      await redis.publish("match:result", '{"matchId":7,"score":1.50}');
      return [...clients, other].every((client) => client.heard.some(([name]) => name === "match:result"));
    });
    for (const client of [...clients, other]) assert.deepEqual(await hears(client, "match:result"), [{ matchId: 7, score: 1.5 }]);
    await until("the user's clients hear a notification", async () => {
      await redis.publish("websocket:notifications", { userId: "42", data: { title: "é" } });
      return clients.every((client) => client.heard.some(([name]) => name === "notification"));
    });
    for (const client of clients) assert.deepEqual(await hears(client, "notification"), [{ title: "é" }]);
    await redis.publish("portfolio:update", { userId: "42", value: 1 });
    for (const client of clients) assert.deepEqual(await hears(client, "portfolio:update"), [{ userId: "42", value: 1 }]);
    assert.ok(!other.heard.some(([name]) => name === "notification" || name === "portfolio:update"), "what is a user's own is nobody else's");
    await redis.publish("ws:broadcast", { payload: ["all"], event: "announcement" });
    for (const client of [...clients, other]) assert.deepEqual(await hears(client, "announcement"), [["all"]]);
    const newcomer = await connect(a, "44", ["websocket"]);
    // Those who came before may be told of a moment later.
    const isTold = (name) => until(`it hears ${name} of the newcomer`, () => clients[1].heard.some(([event, data]) => event === name && data.userId === "44"));
    await isTold("player:online");
    newcomer.close();
    await isTold("player:offline");
  } finally {
    for (const client of [...clients, other]) client.close();
  }
});

testBroker("the settings of the sources are those that clients are told", { config: { "socketio.path": "/socket.io/", "socketio.ping_timeout": "60s" } }, async (broker) => {
  const server = { host: broker.host.split(":")[0], port: broker.port, path: "/socket.io/" };
  const { status, body } = await ask(server, "GET", "/socket.io/?EIO=4&transport=polling");
  assert.equal(status, 200);
  const { sid, ...rest } = JSON.parse(body.slice(1));
  assert.match(sid, /^[A-Za-z0-9_-]{20}$/);
  assert.deepEqual(rest, { upgrades: ["websocket"], pingInterval: 25000, pingTimeout: 60000, maxPayload: 1000000 });
});
