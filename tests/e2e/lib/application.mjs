// The application's end of links (docs/link.md), written from that page and from nothing else: a server that takes upgrades to ringcast-link
// and says frames, for tests that look at each of them. Applications with npm's socket.io are tested with its own package.
import { createHmac, randomBytes } from "node:crypto";
import { createServer, request as httpRequest } from "node:http";
import { createServer as createSecureServer, request as httpsRequest } from "node:https";
import { Socket } from "engine.io-client";
import { testBroker } from "./broker.mjs";
import { hasLinks } from "./link.mjs";
import { freePort, until, within } from "./util.mjs";

export const TYPES = {
  HELLO: 1, READY: 2, PING: 3, PONG: 4, ERROR: 5, ASKS: 6, TAKEN: 7, OPEN: 16, ACCEPT: 17, REJECT: 18, TEXT: 19, BINARY: 20, CLOSE: 21, CLOSED: 22, UPGRADED: 23, WRITABLE: 24,
  FAILED: 25, JOIN: 32, LEAVE: 33, PEERS: 34, CLUSTER: 35, BROADCAST: 36, ENTER: 37, EXIT: 38, SESSION: 40, RESUMED: 41, DETACH: 42, RECEIPT: 43, REPLY: 44, REQUEST: 45, KEEP: 46,
};
const NAMES = Object.fromEntries(Object.entries(TYPES).map(([name, type]) => [type, name]));
export const FLAGS = { HELD: 1, VOLATILE: 1, PLAIN: 2, MORE: 4, LOCAL: 8, PRIMARY: 16, DISCARD: 1, ALL: 1 };
export const SECRET = "a-secret-of-the-two-ends";

/* --- fields ------------------------------------------------------------------------------------------------------------ */

export const u16 = (value) => { const bytes = Buffer.alloc(2); bytes.writeUInt16LE(value); return bytes; };
export const u32 = (value) => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes; };
export const text = (value) => { const bytes = Buffer.from(value); return Buffer.concat([u16(bytes.length), bytes]); };
export const list = (values) => Buffer.concat([u16(values.length), ...values.map(text)]);
/* One packet: strings are text, all else binary. */
export const messages = (parts) => Buffer.concat([u16(parts.length), ...parts.flatMap((part) => {
  const bytes = Buffer.from(part);
  return [Buffer.from([typeof part === "string" ? 0 : 1]), u32(bytes.length), bytes];
})]);

export function frame(type, { flags = 0, connection = 0n, payload = Buffer.alloc(0), reserved = 0 } = {}) {
  const head = Buffer.alloc(16);
  head.writeUInt32LE(payload.length, 0);
  head.writeUInt8(type, 4);
  head.writeUInt8(flags, 5);
  head.writeUInt16LE(reserved, 6);
  head.writeBigUInt64LE(BigInt(connection), 8);
  return Buffer.concat([head, payload]);
}

export function sign(what, secret, nonces, json) {
  return createHmac("sha256", secret).update(`ringcast-link/1 ${what}\n${nonces.broker}\n${nonces.application}\n${json}`).digest("hex");
}

/* --- a link ------------------------------------------------------------------------------------------------------------ */

class Link {
  constructor(application, socket, nonces) {
    this.application = application;
    this.socket = socket;
    this.nonces = nonces;
    this.frames = []; // all that came, in order
    this.ended = false;
    this.rest = Buffer.alloc(0);
    socket.on("data", (bytes) => this.received(bytes));
    socket.on("error", () => {});
    socket.on("end", () => socket.end()); // sockets of a server of HTTP stay half open by themselves
    socket.on("close", () => { this.ended = true; application.links.delete(this); });
  }

  received(bytes) {
    this.rest = Buffer.concat([this.rest, bytes]);
    while (this.rest.length >= 16 && this.rest.length >= 16 + this.rest.readUInt32LE(0)) {
      const length = this.rest.readUInt32LE(0);
      const frame = { type: NAMES[this.rest.readUInt8(4)], flags: this.rest.readUInt8(5), reserved: this.rest.readUInt16LE(6), connection: this.rest.readBigUInt64LE(8), payload: this.rest.subarray(16, 16 + length) };
      this.rest = this.rest.subarray(16 + length);
      this.frames.push(frame);
      this.application.frame(this, frame);
    }
  }

  write(bytes) { this.socket.write(bytes); }
  send(type, options) { this.write(frame(TYPES[type], options)); }

  ready({ secret = this.application.secret, ...rest } = {}) {
    const json = JSON.stringify({ version: 1, process: this.application.process, group: "", asks: false, resume: false, recovery_ms: 0, options: {}, ...rest });
    this.send("READY", { payload: Buffer.from(sign("ready", secret, this.nonces, json) + json) });
  }

  of(type, connection) { return this.frames.filter((frame) => frame.type === type && (connection === undefined || frame.connection === connection)); }
}

/* A connection of a client, as the application has it. */
export class Connection {
  constructor(link, id, open) {
    this.link = link;
    this.id = id;
    this.open = open; // OPEN's JSON
    this.heard = []; // messages: strings and buffers
    this.closed = undefined; // the reason
    this.transport = open.transport;
    this.writable = [];
  }

  text(message, flags = 0) { this.link.send("TEXT", { connection: this.id, flags, payload: Buffer.from(message) }); }
  binary(message, flags = 0) { this.link.send("BINARY", { connection: this.id, flags, payload: Buffer.from(message) }); }
  close(flags = 0) { this.link.send("CLOSE", { connection: this.id, flags }); }
  accept(headers) { this.link.send("ACCEPT", { connection: this.id, payload: Buffer.from(JSON.stringify({ headers })) }); }
  reject(how) { this.link.send("REJECT", { connection: this.id, payload: Buffer.from(JSON.stringify(how)) }); }
  join(nsp, sid, rooms) { this.link.send("JOIN", { connection: this.id, payload: Buffer.concat([text(nsp), text(sid), list(rooms)]) }); }
  leave(nsp, sid, rooms) { this.link.send("LEAVE", { connection: this.id, flags: rooms ? 0 : FLAGS.ALL, payload: Buffer.concat([text(nsp), text(sid), list(rooms ?? [])]) }); }
}

/*
 * An application. `asks`: handshakes are held; `opened(connection)`, `heard(connection, message)` are called with what comes; `greet(link, hello)`
 * replaces the answer to HELLO.
 */
export class Application {
  constructor(options = {}) {
    Object.assign(this, { secret: SECRET, asks: false, opened: () => {}, heard: () => {}, ...options });
    this.process = randomBytes(8).toString("hex");
    this.links = new Set();
    this.all = []; // links, those that have ended too
    this.connections = new Map(); // by link and id
    this.requests = [];
  }

  async listen({ port, path, tls } = {}) {
    this.port = path ? undefined : port ?? await freePort();
    this.path = path;
    this.server = tls ? createSecureServer(tls) : createServer();
    this.server.on("request", (request, response) => response.writeHead(404).end());
    this.server.on("upgrade", (request, socket) => this.upgrade(request, socket));
    await new Promise((done, failed) => this.server.once("error", failed).listen(path ?? this.port, path ? undefined : "127.0.0.1", done));
    return this;
  }

  get url() { return this.path ? `unix:${this.path}` : `${this.server.setSecureContext ? "https://localhost" : "http://127.0.0.1"}:${this.port}`; }

  upgrade(request, socket) {
    this.requests.push(request);
    socket.on("error", () => {});
    if (this.answer) return this.answer(request, socket);
    const nonces = { broker: request.headers["ringcast-nonce"], application: randomBytes(16).toString("hex") };
    socket.setNoDelay(true);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ringcast-link\r\nRingcast-Nonce: ${nonces.application}\r\n\r\n`);
    const link = new Link(this, socket, nonces);
    this.links.add(link);
    this.all.push(link);
  }

  /* Dials a listener of [link]: `at` is what node:http is told of it, `tls` what node:https is told beside it. The link, or a refusal: { status, body }. */
  async dial(at, { worker, backend, tls, path = "/.ringcast", headers = {} } = {}) {
    const nonce = randomBytes(16).toString("hex");
    const query = new URLSearchParams({ ...(worker !== undefined && { worker }), ...(backend && { backend }) }).toString();
    const asked = (tls ? httpsRequest : httpRequest)({
      ...at, ...tls, path: query ? `${path}?${query}` : path, agent: false,
      headers: { Connection: "Upgrade", Upgrade: "ringcast-link", "Ringcast-Link": "1", "Ringcast-Nonce": nonce, ...headers },
    });
    asked.end();
    return within(20000, new Promise((done, failed) => {
      asked.on("error", failed);
      asked.on("response", (response) => {
        let body = "";
        response.on("data", (bytes) => (body += bytes));
        response.on("end", () => done({ status: response.statusCode, body }));
      });
      asked.on("upgrade", (response, socket, first) => {
        const link = new Link(this, socket, { broker: response.headers["ringcast-nonce"], application: nonce });
        this.links.add(link);
        this.all.push(link);
        if (first.length > 0) link.received(first);
        done(link);
      });
    }), "the broker answers");
  }

  frame(link, { type, connection: id, payload, flags }) {
    const key = `${this.all.indexOf(link)}:${id}`;
    const connection = this.connections.get(key);
    if (type === "HELLO") {
      const signature = payload.subarray(0, 64).toString();
      const json = payload.subarray(64).toString();
      link.hello = JSON.parse(json);
      link.proved = signature === sign("hello", this.secret, link.nonces, json);
      if (this.greet) this.greet(link);
      else link.ready({ asks: this.asks });
    } else if (type === "PING") link.send("PONG", { payload });
    else if (type === "OPEN") {
      const opened = new Connection(link, id, JSON.parse(payload.toString()));
      opened.held = (flags & FLAGS.HELD) !== 0;
      this.connections.set(key, opened);
      this.opened(opened);
    } else if (type === "TEXT" || type === "BINARY") {
      const message = type === "TEXT" ? payload.toString() : Buffer.from(payload);
      connection.heard.push(message);
      this.heard(connection, message);
    } else if (type === "CLOSED") connection.closed = payload.toString();
    else if (type === "UPGRADED") connection.transport = payload.toString();
    else if (type === "WRITABLE") connection.writable.push(payload[0] === 1);
  }

  /* Links that are ready, `count` of them. */
  async linked(count) {
    return until(`${count} links`, () => [...this.links].filter((link) => link.hello).length === count && [...this.links]);
  }

  /* Connections by the order in which they came. */
  get conns() { return [...this.connections.values()]; }

  async connected(count) {
    return until(`${count} connections`, () => this.conns.length >= count && this.conns);
  }

  broadcast(nsp, { rooms = [], except = [], flags = 0, offset = "" } = {}, ...parts) {
    const payload = Buffer.concat([text(nsp), list(rooms), list(except), text(offset), messages(parts)]);
    for (const link of this.links) link.send("BROADCAST", { flags, payload });
  }

  async close() {
    for (const link of this.links) link.socket.destroy();
    if (!this.server?.listening) return;
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}

/* The configuration of a broker whose Socket.IO clients are the application's. */
export const linkConfig = (application, more = {}) => ({
  "socketio.link": "app",
  "backend": [{ name: "app", kind: "link", ...(application.server && { url: [application.url] }), secrets: [application.secret], ...more }],
});

/* --- tests ------------------------------------------------------------------------------------------------------------- */

/* A test with a broker of `workers` whose clients are those of an application. */
export function testLink(name, { application: how = {}, listen, backend, config = {}, ...options }, body) {
  const state = {};
  testBroker(name, {
    workers: 1,
    ...options,
    config: async () => {
      state.application = new Application(how);
      if (listen !== false) await state.application.listen(listen); // false: it dials
      return { "socketio.path": "/socket.io/", ...linkConfig(state.application, backend), ...(typeof config === "function" ? await config() : config) };
    },
  }, async (broker) => {
    broker.path = "/socket.io/";
    try {
      // Who comes before the link is there is sent away.
      if (listen !== false && !how.secret && !how.answer) await hasLinks(broker, broker.workers);
      await body(broker, state.application);
    } finally {
      await state.application.close();
    }
  });
}

/* A client of Engine.IO that keeps what it is told. */
export function client(broker, transports = ["websocket"], options = {}) {
  const socket = new Socket(`http://${broker.host}`, { path: "/socket.io/", transports, ...options });
  socket.heard = [];
  socket.binaryType = "nodebuffer";
  socket.on("message", (message) => socket.heard.push(typeof message === "string" ? message : Buffer.from(message)));
  socket.on("close", (reason) => (socket.closed = reason));
  socket.on("error", () => {});
  socket.opening = within(10000, new Promise((done) => socket.once("open", done)), "the client opens");
  return socket;
}
