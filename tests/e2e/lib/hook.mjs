// Tests of the HTTP hook: a broker whose configuration knows a backend of the test's own, and Socket.IO clients that keep what they are told.
import { io as connectClient } from "socket.io-client";
import { startBackend, table } from "./backend.mjs";
import { testBroker } from "./broker.mjs";
import { within } from "./util.mjs";

/* A socket.io client that keeps what it is told (`heard`), and how its connect ended (`outcome`). */
export async function come(broker, { nsp = "/", ...options } = {}) {
  const socket = connectClient(`http://127.0.0.1:${broker.port}${nsp}`, { transports: ["websocket"], forceNew: true, reconnection: false, ...options });
  socket.heard = [];
  socket.onAny((...args) => socket.heard.push(args));
  socket.outcome = await within(10000, new Promise((done) => {
    socket.once("connect", () => done("connected"));
    socket.once("connect_error", (error) => done(error.message));
  }), "the connect ends");
  return socket;
}

/* What an event is acknowledged with. */
export const ask = (socket, ...args) => within(10000, new Promise((done) => socket.emit(...args, (...its) => done(its))), `an answer to ${args[0]}`);

/* A test with a broker that knows a backend; both are ended. `table`: more of its [[backend]], or a function of the backend. */
export function testHook(name, { backend: how = {}, table: more = {}, config = {}, ...options }, body) {
  const state = {};
  testBroker(name, {
    workers: 1,
    ...options,
    config: async () => {
      state.backend = await startBackend(how);
      return { "socketio.path": "/socket.io/", backend: [table(state.backend, typeof more === "function" ? more(state.backend) : more)], ...config };
    },
  }, async (broker) => {
    try {
      await body(broker, state.backend);
    } finally {
      await state.backend.stop();
    }
  });
}
