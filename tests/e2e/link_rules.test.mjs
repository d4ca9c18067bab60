// Rules beside a link: an end point of Socket.IO of its own, whose events rows carry out, and of which the application hears nothing (docs/link.md).
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import { testLink } from "./lib/link.mjs";
import { until, within } from "./lib/util.mjs";

const config = {
  endpoint: ["/relay/", "/socket.io/relay/"].map((path) => ({ path, protocol: "socketio" })),
  event: [{ on: "join", join: ["{args.0}"], ack: ["in"] }, { on: "cursor", emit: [{ to: "{args.0}", others: true, event: "cursor", args: ["{args.1}"] }] }],
};

function setup({ io, state }) {
  Object.assign(state, { heard: [], connections: 0 });
  io.on("connection", (socket) => {
    state.connections++;
    socket.join("room");
    socket.onAny((...event) => state.heard.push(event.filter((value) => typeof value !== "function")));
    socket.on("ask", (value, answer) => answer(`the application has ${value}`));
  });
}

const ask = (socket, ...event) => within(10000, new Promise((done) => socket.emit(...event, done)), `an answer to ${event[0]}`);

for (const [path, transports] of [["/relay/", ["websocket"]], ["/socket.io/relay/", ["polling"]]]) {
  testLink(`relays go by rules at a path of their own, and never reach the application: ${path}, ${transports}`, { application: { setup }, config, timeout: 60000 }, async ({ broker, app }) => {
    const sockets = [];
    const comes = async (at) => {
      const socket = connectClient(`http://${broker.host}`, { path: at, transports, forceNew: true, reconnection: false });
      sockets.push(socket);
      socket.heard = [];
      socket.onAny((...event) => socket.heard.push(event));
      await within(10000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), `a client of ${at}`);
      return socket;
    };
    try {
      const [own, one, two] = [await comes("/socket.io/"), await comes(path), await comes(path)];
      for (const socket of [one, two]) assert.equal(await ask(socket, "join", "room"), "in");
      for (let i = 0; i < 20; i++) one.emit("cursor", "room", i);
      await until("the other one has them", () => two.heard.length === 20);
      assert.deepEqual(two.heard, Array.from({ length: 20 }, (_, i) => ["cursor", i]));
      // Each side has its own: an event of that name is the application's there, and so is a room.
      own.emit("cursor", "room", "mine");
      assert.equal(await ask(own, "ask", 7), "the application has 7");
      await app.call(({ io }) => void io.emit("all", 1));
      await until("the application's own hears it", () => own.heard.length === 1);
      one.emit("cursor", "room", 20);
      await until("one more", () => two.heard.length === 21);
      assert.deepEqual([own.heard, two.heard.at(-1), one.heard], [[["all", 1]], ["cursor", 20], []]);
      assert.deepEqual(await app.call(({ state }) => [state.connections, state.heard]), [1, [["cursor", "room", "mine"], ["ask", 7]]]);
    } finally {
      for (const socket of sockets) socket.disconnect();
    }
  });
}
