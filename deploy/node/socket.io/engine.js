"use strict";
// The engine that socket.io is bound to in place of engine.io. Its connections are clients of ringcast: transports, upgrades, heartbeats
// and slow readers are there, messages are here. What engine.io's Server and Socket offer to applications is offered under its name.
const { EventEmitter } = require("node:events");
const { IncomingMessage, ServerResponse } = require("node:http");
const { Broken, FLAGS, toBuffer } = require("./frames.js");

const CONNECT = 0;
const CONNECT_ERROR = 4;
const DEFAULTS = {
  pingTimeout: 20000, pingInterval: 25000, upgradeTimeout: 10000, maxHttpBufferSize: 1e6,
  transports: ["polling", "websocket"], allowUpgrades: true, httpCompression: { threshold: 1024 }, cors: false, allowEIO3: false,
};
const ERRORS = ["Transport unknown", "Session ID unknown", "Bad handshake method", "Bad request", "Forbidden", "Unsupported protocol version"];
const [BAD_REQUEST, FORBIDDEN] = [3, 4];

const JSON_MAX = 64 * 1024; // bytes of ACCEPT and of REJECT

const isText = (value) => typeof value === "string";

/* What ringcast says of a request, looked at before anything is made of it. */
function checked(open, what) {
  const { url, method, headers, resume = [] } = open;
  const sound = isText(url) && isText(method) && Array.isArray(headers) && headers.every(isText) && Array.isArray(resume)
    && resume.every((entry) => isText(entry?.nsp) && isText(entry.sid) && Array.isArray(entry.rooms) && entry.rooms.every(isText));
  if (!sound || (what === "OPEN" && !isText(open.sid))) throw new Broken(`${what} without what belongs to it`);
  return open;
}

/* Whatever stands before it: clients choose what they ask for, and some of that is no URL. */
function queryOf(url) {
  const [target] = url.split("#", 1);
  const at = target.indexOf("?");
  return Object.fromEntries(new URLSearchParams(at < 0 ? "" : target.slice(at + 1)));
}

/* The client's request, as middlewares and socket.request know it. Its socket is only a description. */
function requestOf({ method, url, headers, address, port, secure }) {
  const peer = Object.assign(new EventEmitter(), { remoteAddress: address, remotePort: port, encrypted: secure, readable: false, writable: false, destroy() {}, setTimeout() {} });
  const request = new IncomingMessage(peer);
  Object.assign(request, { method, url, rawHeaders: headers, httpVersion: "1.1", httpVersionMajor: 1, httpVersionMinor: 1, complete: true });
  const known = {};
  for (let i = 0; i + 1 < headers.length; i += 2) request._addHeaderLine(headers[i].toLowerCase(), headers[i + 1], known);
  request.headers = known;
  request._query = queryOf(url);
  request.push(null);
  return request;
}

/* What middlewares write to: kept, and sent with ACCEPT or REJECT. */
class Answer extends ServerResponse {
  constructor(request, ended) {
    super(request);
    this.body = [];
    this.ended = ended;
  }

  writeHead(status, message, headers = message) {
    this.statusCode = status;
    const pairs = Array.isArray(headers) ? headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1]]] : [])) : Object.entries(typeof headers === "object" ? headers : {});
    for (const [name, value] of pairs) this.setHeader(name, value);
    return this;
  }

  write(chunk) {
    this.body.push(Buffer.from(chunk));
    return true;
  }

  end(chunk) {
    if (chunk && typeof chunk !== "function") this.write(chunk);
    this.writeHead(this.statusCode); // where express-session and others set their cookies
    this.ended();
    return this;
  }

  get pairs() {
    return this.getHeaderNames().flatMap((name) => [this.getHeader(name)].flat().flatMap((value) => [name, String(value)]));
  }
}

class Transport extends EventEmitter {
  constructor(engine, name, sid, writable = true) {
    super();
    Object.assign(this, { name, sid, writable, readyState: "open", supportsBinary: true });
    Object.defineProperties(this, { engine: { value: engine }, lookedFor: { value: null, writable: true } });
  }

  /* Socket.IO before 4.1 looks at it before it writes a packet that is volatile, and says it in no other way. */
  get writable() {
    this.lookedFor = this.engine.frames;
    return this.isWritable;
  }

  set writable(writable) {
    this.isWritable = writable;
  }

  /* Did it look for the packet that this is a frame of? */
  wasLookedFor(data) {
    return this.lookedFor === this.engine.frames && this.lookedFor.includes(data);
  }

  discard() {}
  close() {}
}

/* One client, in the shape of engine.io's Socket. */
class Connection extends EventEmitter {
  constructor(engine, link, number, open, request) {
    super();
    Object.assign(this, { server: engine, link, number, request, id: open.sid, protocol: open.protocol, remoteAddress: open.address });
    Object.assign(this, { readyState: "open", upgraded: false, upgrading: false, writeBuffer: [], transport: new Transport(engine, open.transport, open.sid) });
    // Namespaces that the client is in already, and does not know of another process (docs/link.md): name -> what SESSION said.
    this.resuming = new Map(open.resume?.map((entry) => [entry.nsp, entry]));
    this.cameAgain = Boolean(open.resume);
    this.silent = false;
  }

  /* Who looks at packets as they are made (admin-ui does) is to see those of broadcasts, too. */
  on(name, listener) {
    if (name === "packetCreate") this.server.watched = true;
    return super.on(name, listener);
  }

  onFrame(name, value) {
    // A message with nothing in it is none to parsers, as engine.io has it; to socket.io's an empty text would be a CONNECT.
    if (name === "TEXT" || name === "BINARY") this.onData(value === "" ? undefined : value);
    else if (name === "CLOSED") this.onClosed(value);
    else if (name === "UPGRADED") this.onUpgraded(value);
    else if (name === "WRITABLE") this.onWritable(value === 1);
  }

  onData(data) {
    if (this.readyState !== "open") return;
    this.emit("packet", { type: "message", data });
    this.emit("data", data);
    this.emit("message", data);
  }

  onUpgraded(name) {
    this.transport = new Transport(this.server, name, this.id, this.transport.isWritable);
    this.upgraded = true;
    this.emit("upgrade", this.transport);
  }

  onWritable(writable) {
    this.transport.writable = writable;
    if (writable) this.transport.emit("drain");
  }

  /* Packets need two ticks to reach their listeners: what the client said before it went is heard before its end. */
  onClosed(reason, description) {
    this.link.connections.delete(this.number);
    this.over ??= setImmediate(() => this.end(reason, description));
  }

  /* The same with its line: whoever comes next may be this client once more. */
  onLost(reason) {
    clearImmediate(this.over);
    this.over = true;
    this.link.connections.delete(this.number);
    this.end(reason);
  }

  end(reason, description) {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.transport.writable = false;
    this.server.forget(this);
    this.emit("close", reason, description);
  }

  write(data, options = {}, callback) {
    if (typeof options === "function") [options, callback] = [{}, options];
    if (this.readyState !== "open") return this;
    data ||= "";
    const more = this.server.hasMore(data);
    if (this.isSilent(more)) return this;
    if (this.listenerCount("packetCreate") > 0) this.emit("packetCreate", { type: "message", data, options });
    const isVolatile = options.volatile || this.transport.wasLookedFor(data);
    if (isVolatile && !more) this.transport.lookedFor = null;
    const flags = (isVolatile ? FLAGS.VOLATILE : 0) | (options.compress === false ? FLAGS.PLAIN : 0) | (more ? FLAGS.MORE : 0);
    const sent = typeof data === "string" ? this.link.send("TEXT", flags, this.number, data) : this.link.send("BINARY", flags, this.number, toBuffer(data));
    if (!sent) {
      this.server.links.report(`a message that is larger than a link carries: ${this.id} is closed`);
      this.close(true);
    }
    if (typeof callback === "function") this.link.once("flush", () => callback(this.transport));
    return this;
  }

  send(data, options, callback) {
    return this.write(data, options, callback);
  }

  /* The answers to CONNECTs that the client did not send are not for it. A refusal is: it was in that namespace. */
  isSilent(more) {
    if (this.silent) {
      this.silent = more;
      return true;
    }
    if (this.resuming.size === 0) return false;
    const { type, nsp } = this.server.packet;
    if ((type !== CONNECT && type !== CONNECT_ERROR) || !this.resuming.delete(nsp)) return false;
    this.silent = type === CONNECT && more;
    if (this.resuming.size === 0) this.resumed();
    return type === CONNECT;
  }

  /* The application's connection handlers run right behind the CONNECT's answer: what the client sent meanwhile comes after them. */
  resumed() {
    setImmediate(() => this.link.send("RESUMED", 0, this.number));
  }

  close(discard = false) {
    if (this.readyState !== "open") return;
    this.readyState = "closing";
    if (!this.server.links.detached) this.link.send("CLOSE", discard ? FLAGS.DISCARD : 0, this.number);
    this.onClosed("forced close");
  }
}

class Engine extends EventEmitter {
  constructor(io, links, opts) {
    super();
    Object.assign(this, { io, links, opts: { ...DEFAULTS, ...opts }, clients: {}, clientsCount: 0, middlewares: [], watched: false, resumes: true });
    // Who asks for the headers of handshakes has to be asked.
    this.on("newListener", (name) => /^(initial_headers|headers)$/.test(name) && setImmediate(() => this.reconsider()));
    this.watch(io.encoder);
    this.told = this.asks;
  }

  /* Must this process see handshakes before they are answered? */
  get asks() {
    return Boolean(this.opts.allowRequest || this.opts.cookie || this.middlewares.length > 0 || this.listenerCount("initial_headers") > 0 || this.listenerCount("headers") > 0);
  }

  reconsider() {
    if (this.told === this.asks) return;
    this.told = this.asks;
    this.links.announce();
  }

  use(middleware) {
    this.middlewares.push(middleware);
    this.reconsider();
  }

  /* Which frames belong to one packet: what the encoder makes of it is written, at once and in order, to one connection after the other. */
  watch(encoder) {
    const { encode } = encoder;
    this.packet = {};
    this.frames = [];
    this.at = 0;
    encoder.encode = (packet) => {
      this.packet = packet;
      this.frames = encode.call(encoder, packet);
      this.at = 0;
      return this.frames;
    };
  }

  hasMore(data) {
    const { frames, at } = this;
    if (frames[at] !== data) return false;
    this.at = (at + 1) % frames.length;
    return this.at !== 0;
  }

  /* --- handshakes ------------------------------------------------------------------------------------------------------ */

  onOpen(link, number, open, held) {
    const request = requestOf(checked(open, "OPEN"));
    if (!held) return this.connect(link, number, open, request);
    let over = false;
    const once = (act) => (...values) => {
      if (over) return;
      over = true;
      link.connections.delete(number);
      act(...values);
    };
    const reject = once((status, headers, body, type) => this.decide(link, "REJECT", number, { status, headers, body, type }, { status, headers }, { status }));
    const answer = new Answer(request, () => {
      reject(answer.statusCode < 400 ? 403 : answer.statusCode, answer.pairs, Buffer.concat(answer.body).toString(), String(answer.getHeader("content-type") ?? "text/plain"));
    });
    request.res = answer;
    const fail = (code, context) => {
      if (over) return;
      this.emit("connection_error", { req: request, code, message: ERRORS[code], context });
      const message = context.message ?? ERRORS[code];
      if (open.transport === "websocket") reject(400, answer.pairs, message, "text/html");
      else reject(code === FORBIDDEN ? 403 : 400, answer.pairs, JSON.stringify({ code, message }), "application/json");
    };
    const accept = once(() => {
      const headers = {};
      if (this.opts.cookie && open.transport === "polling") headers["Set-Cookie"] = [cookieOf(this.opts.cookie, open.sid)];
      this.emit("initial_headers", headers, request);
      this.emit("headers", headers, request);
      answer.writeHead(200, headers);
      this.decide(link, "ACCEPT", number, { headers: answer.pairs }, {});
      if (open.transport === "polling") answer.end(); // where sessions are saved, as behind any answer
      this.connect(link, number, open, request);
    });
    // The client may go while middlewares think.
    link.connections.set(number, { onFrame: once(() => {}), onLost: once(() => {}), onClosed: once(() => {}) });
    this.run(request, answer, (error) => {
      if (error) return fail(BAD_REQUEST, { name: "MIDDLEWARE_FAILURE" });
      if (!this.opts.allowRequest) return accept();
      this.opts.allowRequest(request, (message, success) => (success ? accept() : fail(FORBIDDEN, { message: message ?? undefined })));
    });
  }

  /* The first of these that the link carries: what is too large would end it, for everybody. */
  decide(link, name, number, ...answers) {
    const texts = answers.map((answer) => JSON.stringify(answer));
    const at = texts.findIndex((text) => Buffer.byteLength(text) <= JSON_MAX);
    if (at > 0) this.links.report(`an answer to a handshake of ${Buffer.byteLength(texts[0])} bytes, more than a link carries: the client gets ${Object.keys(answers[at]).join(" and ") || "nothing"} of it`);
    link.send(name, 0, number, texts[at]);
  }

  run(request, answer, done) {
    const list = this.middlewares.slice();
    const next = (i) => (i === list.length ? done() : list[i](request, answer, (error) => (error ? done(error) : next(i + 1))));
    next(0);
  }

  /* Who was another process's before comes once more, as somebody new: also who has come already, from a process that said of nobody what he is in. */
  neverResume() {
    this.resumes = false;
    for (const connection of Object.values(this.clients)) if (connection.cameAgain) connection.close(true);
  }

  connect(link, number, open, request) {
    if (open.resume && !this.resumes) return link.send("CLOSE", FLAGS.DISCARD, number);
    const connection = new Connection(this, link, number, open, request);
    link.connections.set(number, connection);
    this.clients[connection.id] = connection;
    this.clientsCount++;
    this.emit("connection", connection);
    if (!open.resume) return;
    if (open.resume.length === 0) connection.resumed();
    // Namespaces are joined as clients join them, whatever the parser.
    for (const { nsp, auth } of open.resume) {
      if (connection.protocol === 3 && nsp === "/") continue; // is connected with the connection
      // Clients of Socket.IO 2 say it in the query of the namespace.
      const packet = connection.protocol === 3 ? { nsp: auth ? `${nsp}?${new URLSearchParams(auth)}` : nsp } : { nsp, data: auth ?? {} };
      for (const data of this.io.encoder.encode({ type: CONNECT, ...packet })) connection.onData(data);
    }
  }

  forget(connection) {
    if (this.clients[connection.id] !== connection) return;
    delete this.clients[connection.id];
    this.clientsCount--;
  }

  /* Refused by ringcast. */
  onFailed({ code, message, ...open }) {
    this.emit("connection_error", { req: requestOf(checked(open, "FAILED")), code, message, context: {} });
  }

  close() {
    for (const connection of Object.values(this.clients)) connection.close(true);
    this.links.close();
    return this;
  }
}

function cookieOf({ name = "io", path = "/", httpOnly = true, sameSite = "lax", secure, domain, maxAge }, value) {
  const same = sameSite && sameSite !== true ? sameSite : sameSite && "strict";
  const parts = [`${name}=${encodeURIComponent(value)}`, maxAge !== undefined && `Max-Age=${Math.floor(maxAge)}`, domain && `Domain=${domain}`, path && `Path=${path}`];
  return [...parts, httpOnly && "HttpOnly", secure && "Secure", same && `SameSite=${same[0].toUpperCase()}${same.slice(1)}`].filter(Boolean).join("; ");
}

module.exports = { Engine, queryOf };
