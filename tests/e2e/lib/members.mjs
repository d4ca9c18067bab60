// Servers of a Socket.IO cluster as an application writes them, in this process: Node servers with any adapter, and clients of any server.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { io as connectClient } from "socket.io-client";
import { freePort, until, within } from "./util.mjs";

export const NAMESPACES = ["/", "/admin"];

/* What a server does with what clients and servers say: as [[event]] rows, and as code. */
export const MEMBER_CONFIG = {
  "socketio.namespaces": NAMESPACES,
  event: NAMESPACES.flatMap((nsp) => [
    { on: "join", nsp, join: ["{args.0}"], ack: [] },
    { on: "say", nsp, emit: [{ to: "{args.0}", event: "said", args: ["{args.1..}"] }] },
    { on: "shout", nsp, emit: [{ to: "*", event: "said", args: ["{args}"] }] },
    { on: "tell", nsp, from: "server", ack: ["{args.1}"], emit: [{ to: "{args.0}", event: "told", args: ["{args.1..}"] }] },
  ]),
};

export async function startMember(adapter, options = {}) {
  const http = createServer();
  const io = new Server(http, { adapter, ...options });
  for (const name of NAMESPACES) {
    const nsp = io.of(name);
    nsp.on("connection", (socket) => {
      socket.on("join", async (room, done) => {
        await socket.join(room);
        done();
      });
      socket.on("say", (room, ...args) => nsp.to(room).emit("said", ...args));
      socket.on("shout", (...args) => nsp.emit("said", ...args));
    });
    nsp.on("tell", (room, ...args) => {
      const done = typeof args.at(-1) === "function" ? args.pop() : () => {};
      nsp.to(room).emit("told", ...args);
      done(args[0]);
    });
  }
  const port = await freePort();
  await new Promise((done) => http.listen(port, "127.0.0.1", done));
  return { io, port, stop: () => io.close() };
}

/* A client that is connected and keeps what it is told. */
export async function memberClient(port, nsp = "/") {
  const socket = connectClient(`http://127.0.0.1:${port}${nsp}`, { transports: ["websocket"], forceNew: true, reconnection: false });
  socket.got = [];
  socket.rooms = [];
  socket.onAny((...all) => socket.got.push(all));
  socket.on("disconnect", (reason) => socket.got.push(["disconnect", reason]));
  await within(5000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "connected");
  socket.joined = async (room) => {
    await within(5000, new Promise((done) => socket.emit("join", room, done)), `joined ${room}`);
    socket.rooms.push(room);
  };
  return socket;
}

/* Servers hear of one another, and of a room's members, a moment after these are there: from each of them something arrives everywhere. */
export async function heardEverywhere(servers, clients) {
  let count = 0;
  for (const { io } of servers) {
    for (const nsp of NAMESPACES) {
      const here = clients.filter((client) => client.nsp === nsp);
      for (const room of [undefined, ...new Set(here.flatMap((client) => client.rooms))]) {
        const members = here.filter((client) => room === undefined || client.rooms.includes(room));
        const name = `warm ${++count}`;
        await until(`${name}: ${nsp} ${room} is heard everywhere`, () => {
          (room === undefined ? io.of(nsp) : io.of(nsp).to(room)).emit(name);
          return members.every((client) => client.got.some(([event]) => event === name));
        }, { every: 50 });
      }
    }
  }
}

/* Behind what was sent to everybody and to each room before: everything has arrived, and would have arrived twice if it did. */
export async function settled(servers, clients, mark) {
  for (const [index, { io }] of servers.entries()) {
    for (const nsp of NAMESPACES) {
      const here = clients.filter((client) => client.nsp === nsp && client.connected);
      for (const room of [undefined, ...new Set(here.flatMap((client) => client.rooms))]) {
        const name = `warm ${mark} ${index} ${nsp} ${room}`;
        (room === undefined ? io.of(nsp) : io.of(nsp).to(room)).emit(name);
        for (const client of here) {
          if (room === undefined || client.rooms.includes(room)) await until(name, () => client.got.some(([event]) => event === name));
        }
      }
    }
  }
}
