// The Node servers that ringcast is compared with, in a process of its own (see socketio.mjs): engine.io with an echo, or socket.io with
// what [[event]] rows say (docs/socketio.md), carried out the way an application would write it. With `link`, { folder, secret }, its clients
// are ringcast's.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { Server as EngineServer } from "engine.io";
import { Server } from "socket.io";
import parser from "socket.io-msgpack-parser";

const options = JSON.parse(process.argv[2]);
const { pingInterval, pingTimeout, upgradeTimeout, connectTimeout, maxPayload, transports, httpCompression, cookie, cors } = options;
const settings = { pingInterval, pingTimeout, upgradeTimeout, connectTimeout, maxHttpBufferSize: maxPayload, transports, httpCompression, cookie, cors };
for (const [name, value] of Object.entries(settings)) if (value === undefined) delete settings[name];

/* --- the values of templates ------------------------------------------------------------------------------------------- */

function lookUp(path, scope) {
  return path.split(".").reduce((value, name) => (value === null || value === undefined ? undefined : value[name]), scope);
}

function text(value) {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/* A template filled in: a string that is one placeholder becomes the value, in a list "{args}" and "{args.1..}" are spliced. */
function fill(template, scope) {
  if (typeof template === "string") {
    const whole = /^\{([^{}]+)\}$/.exec(template);
    if (whole) return lookUp(whole[1], scope) ?? null;
    return template.replace(/\{([^{}]+)\}/g, (_, path) => text(lookUp(path, scope)));
  }
  if (Array.isArray(template)) {
    return template.flatMap((part) => {
      if (part === "{args}") return scope.args;
      const rest = /^\{args\.(\d+)\.\.\}$/.exec(part);
      return rest ? scope.args.slice(Number(rest[1])) : [fill(part, scope)];
    });
  }
  if (template !== null && typeof template === "object") {
    return Object.fromEntries(Object.entries(template).map(([name, part]) => [name, fill(part, scope)]));
  }
  return template;
}

const rooms = (list, scope) => [list ?? []].flat().map((name) => text(fill(name, scope)));

/* --- the rows ---------------------------------------------------------------------------------------------------------- */

function emit(socket, row, action, scope) {
  const { to = "{sid}", others = false, event = row.on, args = ["{args}"], except, volatile = false } = action;
  let target = others ? socket.broadcast : socket.nsp;
  if (to === "{sid}") target = socket;
  else if (to !== "*") target = target.to(rooms(to, scope));
  if (except) target = target.except(rooms(except, scope));
  (volatile ? target.volatile : target).emit(event, ...fill(args, scope));
}

async function carryOut(socket, row, args, acknowledge) {
  const scope = { args, sid: socket.id, nsp: socket.nsp.name, event: row.on, auth: socket.handshake.auth };
  for (const room of rooms(row.leave, scope)) await socket.leave(room);
  for (const room of rooms(row.join, scope)) await socket.join(room);
  if (row.ack && acknowledge) acknowledge(...fill(row.ack, scope));
  for (const action of [row.emit ?? []].flat()) emit(socket, row, action, scope);
}

const pattern = (name) => (name.includes("*") ? new RegExp(`^${name.replace(/[.+?^${}()|[\]\\/-]/g, "\\$&").replace("*", ".*")}$`) : name);
const fits = (name, value) => name === value || (name.includes("*") && pattern(name).test(value));

function serve(io) {
  for (const name of options.namespaces ?? ["/"]) {
    io.of(pattern(name)).on("connection", (socket) => {
      const rows = (options.rows ?? []).filter((row) => fits(row.nsp ?? "/", socket.nsp.name));
      for (const row of rows) {
        if (row.on === "connect") carryOut(socket, row, []);
        else if (row.on === "disconnect") socket.on("disconnect", (reason) => carryOut(socket, row, [reason]));
        else socket.on(row.on, (...args) => carryOut(socket, row, args, typeof args.at(-1) === "function" ? args.pop() : undefined));
      }
    });
  }
}

/* --- the server -------------------------------------------------------------------------------------------------------- */

const http = createServer((request, response) => {
  response.writeHead(request.url.startsWith("/health") ? 200 : 404, { "Content-Type": "application/json" });
  response.end("{}\n");
});
http.keepAliveTimeout = 60000; // the five seconds of old are no part of the protocol, and race with clients

/* The server is its engine's, or ringcast's. */
function serverOf(more) {
  if (!options.link) return new Server(http, { ...settings, path: options.path, ...more });
  const io = new Server({ ...settings, path: options.path, ...more });
  createRequire(`${options.link.folder}/`)("ringcast-socket.io").attach(io, http, { secret: options.link.secret });
  return io;
}

/* The engine alone: what a linked one has of Socket.IO is taken off. */
function engineOf() {
  if (!options.link) {
    const engine = new EngineServer(settings);
    engine.attach(http, { path: options.path });
    return engine;
  }
  return serverOf().engine.removeAllListeners("connection");
}

if (options.kind === "engineio") {
  engineOf().on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
} else {
  const recovery = options.recovery ? { connectionStateRecovery: { maxDisconnectionDuration: options.recovery } } : {};
  const io = serverOf({ ...recovery, ...(options.msgpack ? { parser } : {}) });
  if (options.redis) {
    const { createAdapter } = await import("@socket.io/redis-adapter");
    const { createClient } = await import("redis");
    const clients = [createClient({ url: options.redis }), createClient({ url: options.redis })];
    for (const client of clients) client.on("error", () => {});
    await Promise.all(clients.map((client) => client.connect()));
    io.adapter(createAdapter(...clients));
  }
  serve(io);
}
http.listen({ port: options.port, host: "127.0.0.1", backlog: 4096 }, () => process.send("listening"));
process.on("disconnect", () => process.exit(0));
process.on("SIGTERM", () => process.exit(0));
