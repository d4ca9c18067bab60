// Engine.IO and Socket.IO for tests, at the level of bytes: polling over node:http and WebSockets over raw.mjs; and the three servers
// that every case runs against, the real one (Node), ringcast, and the real one behind ringcast (docs/link.md), started from one description:
//
//   { pingInterval, pingTimeout, upgradeTimeout, connectTimeout   in milliseconds
//     maxPayload, transports, httpCompression, cookie, cors: { origin, credentials }
//     recovery: in milliseconds, how long a client may come back
//     namespaces, rows: the [[event]] rows, msgpack: clients use socket.io-msgpack-parser, redis: a URL, workers }
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { Agent, request as httpRequest } from "node:http";
import { connect as connectSocket, createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startBroker } from "./broker.mjs";
import { SECRET, SKIP as NO_LINKS, folderOf, hasLinks, linkConfig } from "./link.mjs";
import { OP, connectRaw, frame, upgradeRequest } from "./raw.mjs";
import { ROOT, delay, freePort, until, within } from "./util.mjs";

export const SEPARATOR = "\x1e";
export const CLIENT_FILES = `${ROOT}tests/node_modules/socket.io-client/dist`;
/* The key that turns the bare Engine.IO echo on. */
const ENGINEIO_ECHO = "debug.engineio_echo";

/* The worker that a sid names: 5 characters of the instance, then worker (8 bits), slot and token in the URL-safe alphabet. */
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
export const workerOfSid = (sid) => [...sid.slice(5, 7)].reduce((bits, c) => bits * 64 + ALPHABET.indexOf(c), 0) >> 4;

/* --- servers ------------------------------------------------------------------------------------------------------------ */

const PATHS = { engineio: "/engine.io/", socketio: "/socket.io/" };

class NodeServer {
  late = 30; // its timers, two in a row, may be so many milliseconds late when the machine is busy

  async start(kind, options) {
    this.port = await freePort();
    this.host = `127.0.0.1:${this.port}`;
    this.path = PATHS[kind];
    this.options = options;
    const settings = { ...options, kind, path: this.path, port: this.port };
    this.child = fork(fileURLToPath(new URL("node_socketio.mjs", import.meta.url)), [JSON.stringify(settings)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.exited = new Promise((done) => this.child.once("exit", done));
    const listening = new Promise((done, failed) => {
      this.child.once("message", done);
      this.exited.then((code) => failed(new Error(`the Node server ended with ${code}`)));
    });
    await within(20000, listening, "the Node server listens");
    return this;
  }

  async stop() {
    this.child.kill("SIGTERM");
    await within(10000, this.exited, "the Node server ends");
  }

  destroy() {
    this.child.kill("SIGKILL");
    return this.exited;
  }
}

/* The configuration file's keys for a description. */
function brokerConfig(kind, options) {
  const keys = {
    "ping_interval": options.pingInterval && `${options.pingInterval}ms`,
    "ping_timeout": options.pingTimeout && `${options.pingTimeout}ms`,
    "upgrade_timeout": options.upgradeTimeout && `${options.upgradeTimeout}ms`,
    "connect_timeout": options.connectTimeout && `${options.connectTimeout}ms`,
    "recovery": options.recovery && `${options.recovery}ms`,
    "max_payload": options.maxPayload && `${options.maxPayload}B`,
    "transports": options.transports,
    "http_compression": options.httpCompression,
    "cookie": options.cookie?.name,
    "namespaces": options.namespaces,
    "adapter": options.redis && "classic",
    "client_files": CLIENT_FILES,
  };
  const config = { "socketio.path": PATHS.socketio };
  for (const [name, value] of Object.entries(keys)) if (value !== undefined) config[`socketio.${name}`] = value;
  if (kind === "engineio") config[ENGINEIO_ECHO] = PATHS.engineio;
  if (options.maxPayload > 1000000) Object.assign(config, { "limits.max_message_size": `${options.maxPayload}B`, "server.ring_size": "16MiB" });
  if (options.rows) config.event = options.rows;
  if (options.redis) config["redis.url"] = options.redis;
  if (options.cors) Object.assign(config, { "http.allowed_origins": [options.cors.origin], "http.cors_credentials": options.cors.credentials === true });
  return config;
}

class RingcastServer {
  late = 0;

  async start(kind, options) {
    this.broker = await startBroker({ workers: options.workers ?? 2, config: { ...brokerConfig(kind, options), ...options.config } });
    this.path = PATHS[kind];
    this.port = this.broker.port;
    this.host = this.broker.host;
    this.options = options;
    return this;
  }

  stop() {
    return this.broker.stop().finally(() => this.destroy());
  }

  destroy() {
    return this.broker.destroy();
  }
}

/* The Node server behind ringcast: what is said is Node's, how it travels is ringcast's. */
class LinkedServer extends RingcastServer {
  late = 30; // Node works beside it when it is to be in time

  async start(kind, options) {
    const { cookie, rows, namespaces, recovery, redis, ...transports } = options; // the others are the application's
    this.node = await new NodeServer().start(kind, { ...options, link: { folder: await folderOf(), secret: SECRET } });
    const links = linkConfig([{ url: `http://${this.node.host}` }], { "socketio.path": PATHS[kind] });
    try {
      await super.start("socketio", { ...transports, config: { ...links, ...options.config } });
      await hasLinks(this.broker, this.broker.workers);
    } catch (error) {
      await this.destroy();
      throw error;
    }
    return Object.assign(this, { path: PATHS[kind], options });
  }

  async destroy() {
    await this.broker?.destroy();
    await this.node.destroy();
  }
}

/* What cases run against: [{ name, start(options) -> { host, port, path, stop(), destroy() } }]. */
export function targetsOf(kind) {
  const all = [
    { name: kind === "engineio" ? "engine.io of Node" : "socket.io of Node", start: (options = {}) => new NodeServer().start(kind, options) },
    { name: "ringcast", start: (options = {}) => new RingcastServer().start(kind, options) },
    ...(NO_LINKS ? [] : [{ name: "a linked application", start: (options = {}) => new LinkedServer().start(kind, options) }]),
  ];
  return all.filter(({ name }) => !process.env.RINGCAST_TARGET || name.includes(process.env.RINGCAST_TARGET));
}

/* Something came too late: of the server, or of a machine that stood still for a moment. A server that is late is so each time: the case is tried again. */
export class Late extends Error {}
async function inTime(body, server) {
  for (let more = 5; ; more--) {
    try {
      return await body(server);
    } catch (error) {
      if (!(error instanceof Late) || more === 0) throw error;
    }
  }
}

/* It took so long: not less than the one, and not as long as the other, in milliseconds. */
export function tookBetween(took, from, to, what) {
  assert.ok(took >= from, `${what} after ${took} ms`);
  if (took >= to) throw new Late(`${what} after ${took} ms`);
}

/*
 * Each case of [name, body(server)] against each target, one server for all cases of a call; { timeout } for one case. A
 * case with a third member, a target's name, is for that target alone. `beside`: the cases of a server, each of which has clients of its own and
 * waits for a time to be over, run at once.
 */
export function describeCases(title, targets, options, cases, { beside = false } = {}) {
  for (const target of targets) {
    describe(`${title}, ${target.name}`, { concurrency: beside ? Math.max(1, cases.length) : 1 }, () => {
      let server;
      before(async () => {
        server = await target.start(options);
      });
      after(async () => {
        await server?.stop();
      });
      for (const [name, body, only] of cases) {
        if (only && only !== target.name) continue;
        test(name, () => within(options.timeout ?? 10000, inTime(body, server), `the whole case "${name}"`));
      }
    });
  }
}

/* --- time --------------------------------------------------------------------------------------------------------------- */

/* Until so many milliseconds after `since`, and not a tick earlier: where time itself is what is tested. */
export async function passed(since, milliseconds) {
  for (let left; (left = since + milliseconds - performance.now()) > 0; ) await delay(Math.max(1, left));
}

/* --- a way that can be cut ------------------------------------------------------------------------------------------------ */

/* TCP passed on to a server's port, until it is cut (every connection ends) or held (nothing is passed on, and nothing ends). */
export class Relay {
  async start(server) {
    this.target = server.port;
    this.path = server.path;
    this.pairs = new Set();
    this.isHeld = false;
    this.listener = createServer((near) => {
      const far = connectSocket({ host: "127.0.0.1", port: this.target });
      const pair = [near, far];
      this.pairs.add(pair);
      for (const [one, other] of [[near, far], [far, near]]) {
        one.setNoDelay(true);
        one.on("data", (bytes) => other.write(bytes));
        one.on("end", () => !this.isHeld && other.end());
        one.on("error", () => other.destroy());
        one.on("close", () => {
          if (!this.isHeld) other.destroy();
          if (other.destroyed) this.pairs.delete(pair); // else cut() has to find it
        });
        if (this.isHeld) one.pause();
      }
    });
    this.port = await freePort();
    await new Promise((done) => this.listener.listen(this.port, "127.0.0.1", done));
    return this;
  }

  cut() {
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
  }

  hold() {
    this.isHeld = true;
    for (const pair of this.pairs) for (const socket of pair) socket.pause();
  }

  /* It goes on where it was held. */
  release() {
    this.isHeld = false;
    for (const pair of this.pairs) for (const socket of pair) socket.resume();
  }

  stop() {
    this.isHeld = false;
    this.cut();
    return new Promise((done) => this.listener.close(done));
  }
}

/* --- HTTP --------------------------------------------------------------------------------------------------------------- */

/* An HTTP request, over a new TCP connection unless an agent is given: { status, headers, body, bytes }. */
export function ask(server, method, path, { headers = {}, body, agent = false, timeout = 10000, signal, localAddress } = {}) {
  const answered = new Promise((done, failed) => {
    const close = agent ? {} : { Connection: "close" };
    const out = httpRequest({ host: "127.0.0.1", port: server.port, path, method, agent, signal, localAddress, headers: { ...close, ...headers } }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => {
        const bytes = Buffer.concat(parts);
        done({ status: response.statusCode, headers: response.headers, bytes, body: bytes.toString() });
      });
      response.on("error", failed);
    });
    out.on("error", failed);
    out.end(body);
  });
  return within(timeout, answered, `${method} ${path}`);
}

export const keepAliveAgent = () => new Agent({ keepAlive: true, maxSockets: 1 });

/* A polling session. `agent`: one of node:http; without one, every request has a TCP connection of its own. */
export class Polling {
  constructor(server, { agent, headers = {}, query = {} } = {}) {
    this.server = server;
    this.settings = { agent, headers };
    this.query = query;
    this.sending = Promise.resolve();
  }

  url(more = {}) {
    const sid = this.sid === undefined ? {} : { sid: this.sid };
    return `${this.server.path}?${new URLSearchParams({ EIO: "4", transport: "polling", ...this.query, ...sid, ...more })}`;
  }

  request(method, { query, headers, ...more } = {}) {
    return ask(this.server, method, this.url(query), { ...this.settings, ...more, headers: { ...this.settings.headers, ...headers } });
  }

  /* The handshake: its answer, the packet's text and members kept. */
  async open() {
    this.opening = performance.now();
    const answer = await this.request("GET");
    this.opened = performance.now();
    assert.equal(answer.status, 200, answer.body);
    const [first, ...rest] = answer.body.split(SEPARATOR);
    assert.equal(first[0], "0", answer.body);
    this.handshake = JSON.parse(first.slice(1));
    this.sid = this.handshake.sid;
    this.early = rest;
    return answer;
  }

  get(options) {
    return this.request("GET", options);
  }

  post(body, options) {
    return this.request("POST", { body, ...options });
  }

  /* A POST that must be taken; one after the other, since two at once close the session. */
  send(...packets) {
    const post = async () => {
      const answer = await this.post(packets.join(SEPARATOR));
      assert.deepEqual([answer.status, answer.body], [200, "ok"]);
    };
    this.sending = this.sending.then(post, post);
    return this.sending;
  }

  /* Packets of the next answers until there are `count` besides pings, which are answered. */
  async packets(count) {
    const seen = this.early.splice(0);
    while (seen.length < count) {
      const answer = await this.get();
      assert.equal(answer.status, 200, answer.body);
      for (const packet of answer.body.split(SEPARATOR)) {
        if (packet === "2") await this.send("3");
        else seen.push(packet);
      }
    }
    return seen;
  }

  async packet() {
    const seen = await this.packets(1);
    assert.equal(seen.length, 1, `one packet: ${seen}`);
    return seen[0];
  }

  /* The session must be gone. */
  async isGone() {
    const answer = await this.get();
    assert.deepEqual([answer.status, answer.body], [400, '{"code":1,"message":"Session ID unknown"}']);
  }
}

export async function openPolling(server, options) {
  const polling = new Polling(server, options);
  await polling.open();
  return polling;
}

/* --- WebSocket ---------------------------------------------------------------------------------------------------------- */

/* A WebSocket of Engine.IO whose messages are text (strings) or bytes. */
export class EngineSocket {
  constructor(server, raw, response) {
    this.server = server;
    this.raw = raw;
    this.response = response;
    this.pings = 0; // answered by themselves
    this.answerPings = false;
  }

  send(...messages) {
    for (const message of messages) this.raw.send({ opcode: typeof message === "string" ? OP.TEXT : OP.BINARY, payload: message });
  }

  /* The next message; null when the connection ends instead, by a close frame or by itself. */
  async next(timeout = 5000) {
    const parts = [];
    let kind;
    for (;;) {
      let got;
      try {
        got = await this.raw.frame(timeout);
      } catch (error) {
        if (this.raw.ended && /the connection ended/.test(error.message)) return null;
        throw error;
      }
      if (got.opcode === OP.CLOSE) {
        this.closeCode = got.code;
        this.raw.write(frame({ opcode: OP.CLOSE, payload: got.payload }));
        this.raw.socket.end();
        return null;
      }
      if (got.opcode === OP.PING) {
        this.raw.send({ opcode: OP.PONG, payload: got.payload });
        continue;
      }
      if (got.opcode === OP.PONG) continue;
      kind ??= got.opcode;
      parts.push(got.payload);
      if (!got.fin) continue;
      const payload = Buffer.concat(parts);
      if (kind === OP.TEXT && this.answerPings && payload.toString() === "2") {
        this.pings++;
        this.send("3");
        return this.next(timeout);
      }
      return kind === OP.TEXT ? payload.toString() : Buffer.from(payload);
    }
  }

  async expect(...wanted) {
    for (const message of wanted) assert.deepEqual(await this.next(), message);
  }

  /* The server must end it; messages before the end are returned. */
  async closed(timeout = 5000) {
    const before = [];
    for (let message; (message = await this.next(timeout)) !== null; ) before.push(message);
    return before;
  }

  end() {
    this.raw.end();
  }
}

/* The upgrade request: { raw, response }; response is undefined if the server hung up. */
export async function askUpgrade(server, query, headers = {}) {
  const raw = await connectRaw({ host: "127.0.0.1", port: server.port });
  raw.write(upgradeRequest(`${server.path}?${new URLSearchParams(query)}`, { Host: server.host, ...headers }));
  let response;
  try {
    response = await raw.response();
  } catch (error) {
    if (!raw.ended) throw error;
  }
  return { raw, response };
}

/* A WebSocket to a session that is there already, before its probe. */
export async function openUpgrade(server, sid, headers) {
  const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "websocket", sid }, headers);
  assert.equal(response?.status, 101, response?.body);
  return new EngineSocket(server, raw, response);
}

/* A session that begins as a WebSocket; its handshake is read. */
export async function openSocket(server, { query = {}, headers } = {}) {
  const opening = performance.now();
  const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "websocket", ...query }, headers);
  assert.equal(response?.status, 101, response?.body);
  const socket = new EngineSocket(server, raw, response);
  socket.open = await socket.next();
  socket.opening = opening;
  socket.opened = performance.now();
  assert.equal(socket.open?.[0], "0", socket.open);
  socket.handshake = JSON.parse(socket.open.slice(1));
  return socket;
}

/* One that has joined a Socket.IO namespace; pings are answered from then on. `greeting`: what connecting sends, besides the 40. */
export async function openSocketIo(server, { nsp = "/", auth, greeting = [], ...options } = {}) {
  const socket = await openSocket(server, options);
  socket.answerPings = true;
  socket.sid = await joinNamespace(socket, nsp, auth);
  await socket.expect(...greeting);
  return socket;
}

/* Joins a namespace: its sid. */
export async function joinNamespace(socket, nsp = "/", auth) {
  const prefix = nsp === "/" ? "" : `${nsp},`;
  socket.send(`40${prefix}${auth === undefined ? "" : JSON.stringify(auth)}`);
  const answer = await socket.next();
  assert.ok(answer?.startsWith(`40${prefix}{`), `CONNECT was answered ${answer}`);
  const data = JSON.parse(answer.slice(2 + prefix.length));
  assert.deepEqual(Object.keys(data), ["sid"]);
  assert.match(data.sid, /^[A-Za-z0-9_-]{20}$/);
  return data.sid;
}

export { assert, delay, until, within };
