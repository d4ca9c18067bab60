"use strict";
// All links of this process: one to each worker of ringcast. Takes them where the application listens, or dials them; hands frames to
// the engine's connections and to the adapters; writes broadcasts on every link, so that each client gets everything in the order in
// which the application said it. Events: `attach` and `detach` (link, error), for who wants to watch.
const { EventEmitter } = require("node:events");
const { createHash, randomBytes } = require("node:crypto");
const http = require("node:http");
const https = require("node:https");
const { FLAGS, Broken, application } = require("./frames.js");
const { Line } = require("./line.js");
const { Link, NONCE, makeNonce } = require("./link.js");

const RETRY_MS = 100;
const RETRY_MS_MAX = 5000;
const ANSWER_MS = 10000;
const QUESTIONS_MAX = 4096;
const QUESTION_MS = 5000;
const HEARD_MS = 15000; // ringcast says something each ten seconds

/* A name as the link carries it: clients may choose names, and a long one must not be what breaks the link. */
function short(name, max) {
  return Buffer.byteLength(name) <= max ? name : `h${createHash("sha256").update(name).digest("hex")}`;
}
const nspKey = (name) => short(name, 255);

class Links extends EventEmitter {
  /* `settings`: { secrets, path, resume, drain, recovery }. `links`: lines that have a link now; `lines`: the others, too. */
  constructor(settings) {
    super();
    Object.assign(this, { settings, engine: null, adapters: new Map(), links: new Set(), lines: new Map(), answering: 0, unsaid: new Set(), questions: new Map(), asked: 0, detached: false, stopped: false });
    this.uid = randomBytes(8).toString("hex");
  }

  /* The link that speaks for the whole process: the oldest. */
  get primary() {
    return this.links.values().next().value ?? this.lines.values().next().value;
  }

  /* --- how links begin ------------------------------------------------------------------------------------------------- */

  /* Takes ringcast's upgrades from the server before any other listener can refuse them. */
  listen(server) {
    const emit = server.emit;
    server.emit = (name, request, socket, ...rest) => {
      const ours = name === "upgrade" && !this.stopped && this.accept(request, socket, ...rest);
      return ours || emit.call(server, name, request, socket, ...rest);
    };
    // Node emits `upgrade` only if somebody listens; who else comes must not hang.
    server.on("upgrade", (request, socket) => {
      if (server.listenerCount("upgrade") === 1) socket.destroy();
    });
  }

  accept(request, socket, head) {
    if (request.headers.upgrade?.toLowerCase() !== "ringcast-link") return false;
    const { path } = this.settings;
    if (path && request.url.split("?")[0] !== path) return false;
    const nonces = { broker: request.headers["ringcast-nonce"], application: makeNonce() };
    socket.on("error", () => {});
    if (request.headers["ringcast-link"] !== "1" || !NONCE.test(nonces.broker ?? "")) {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return true;
    }
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ringcast-link\r\nRingcast-Nonce: ${nonces.application}\r\n\r\n`);
    this.take(socket, nonces, head);
    return true;
  }

  /* Keeps a link to each worker of the broker at `url` (tcp:, tls:, also as http:, https:; unix:/path), where it listens for links. */
  dial(url, backend) {
    const dialled = new Set(); // workers that have a link, or for which one is sought
    const reach = (worker, delay) => {
      if (this.stopped) return;
      const again = (error) => {
        this.report(`${url}${worker === undefined ? "" : ` (worker ${worker})`}: ${error?.message ?? "closed"}`);
        setTimeout(reach, delay, worker, Math.min(delay * 2, RETRY_MS_MAX));
      };
      const nonces = { application: makeNonce() };
      const query = new URLSearchParams({ ...(worker !== undefined && { worker }), ...(backend && { backend }) });
      const request = dialRequest(url, `/.ringcast?${query}`, nonces.application, this.settings.tls);
      request.on("error", again);
      request.setTimeout(ANSWER_MS, () => request.destroy(new Error("no answer")));
      request.on("response", (response) => {
        response.resume();
        // It has fewer workers now than it had; whichever it has is looked for when none is linked any more.
        if (response.statusCode === 404 && worker !== undefined && dialled.delete(worker) && dialled.size > 0) return;
        if (dialled.size === 0) worker = undefined;
        again(new Error(`refused: ${response.statusCode}`));
      });
      request.on("upgrade", (response, socket, head) => {
        nonces.broker = response.headers["ringcast-nonce"];
        if (!NONCE.test(nonces.broker ?? "")) return socket.destroy(), again(new Error("an answer without a nonce"));
        let mine = worker;
        let since = Infinity;
        this.take(socket, nonces, head, (link) => {
          link.once("up", () => {
            since = Date.now();
            mine = link.hello.worker;
            dialled.add(mine);
            for (let other = 0; other < link.hello.workers; other++) if (!dialled.has(other)) dialled.add(other), reach(other, RETRY_MS);
          });
          link.once("end", (error) => {
            worker = mine;
            if (Date.now() - since > RETRY_MS_MAX) delay = RETRY_MS; // one that is refused at once is not asked ten times a second
            again(error);
          });
        });
      });
      request.end();
    };
    reach(undefined, RETRY_MS);
  }

  /* `watch` sees the link before anything of it is read. */
  take(socket, nonces, head, watch) {
    const link = new Link(socket, { secrets: this.settings.secrets, nonces, ready: (hello) => this.ready(hello, link) });
    link.dialled = watch !== undefined;
    link.on("up", () => this.onUp(link));
    link.on("flush", () => this.saySessions());
    link.on("frame", (frame) => this.onFrame(link, frame));
    link.on("end", (error) => this.onEnd(link, error));
    watch?.(link);
    if (head?.length > 0) link.onData(head);
    return link;
  }

  ready(hello, link) {
    const { resume, recovery } = this.settings;
    const { asks, opts } = this.engine;
    const line = this.lines.get(keyOf(hello));
    const former = line?.link;
    // Who is dialled and dials has two ways to each worker: the second one must not be the end of the one that lives. By the same way comes
    // who has lost the former link, and that may be known there first.
    if (former && !former.ended && former.dialled !== link.dialled && former.hello.generation === hello.generation && Date.now() - former.heard < HEARD_MS) throw new Broken("already linked");
    const plain = Object.entries(opts).filter(([, value]) => ["string", "number", "boolean"].includes(typeof value) || Array.isArray(value));
    return { version: 1, process: this.uid, group: "", asks, resume, ...(line && { frames: line.received }), recovery_ms: recovery, options: Object.fromEntries(plain) };
  }

  /* --- their life ------------------------------------------------------------------------------------------------------ */

  /* Where both ends resume, the worker's first word says what becomes of what was before. */
  onUp(link) {
    const former = this.lines.get(keyOf(link.hello));
    if (former?.link) former.link.end();
    link.resumes = this.settings.resume && link.has("resume");
    if (!link.resumes) return this.begin(link);
    // Clients of the other workers hear what is said before these have their links.
    for (let worker = 0; worker < link.hello.workers; worker++) this.expect({ ...link.hello, worker });
  }

  expect(hello) {
    if (this.lines.has(keyOf(hello))) return;
    const line = this.make(hello, true);
    line.expected = true;
    line.cut();
  }

  make(hello, resumes) {
    const key = keyOf(hello);
    const line = new Line(hello, resumes);
    line.once("over", () => this.lines.get(key) === line && this.lines.delete(key));
    this.lines.set(key, line);
    return line;
  }

  /* The first RECEIPT. */
  onBegin(link, continues, carriedOut) {
    const former = this.lines.get(keyOf(link.hello));
    if (!former || !(continues || former.expected)) return this.begin(link);
    former.expected = false;
    former.attach(link, carriedOut);
    this.onAttached(former);
  }

  begin(link) {
    this.lines.get(keyOf(link.hello))?.end();
    const line = this.make(link.hello, link.resumes);
    line.attach(link);
    this.onAttached(line);
  }

  onAttached(line) {
    this.links.add(line);
    for (const adapter of this.adapters.values()) line.send("ENTER", 0, 0, adapter.key, adapter.uid);
    this.emit("attach", line);
  }

  onEnd(link, error) {
    const { line } = link;
    const was = this.primary;
    if (!line) {
      if (error) this.report(`a link was refused: ${error.message}`);
      return;
    }
    if (error && !this.stopped) this.report(`the link to ${line.name} ended: ${error.message}`);
    this.links.delete(line);
    if (line.resumes && !line.detached && !this.stopped) line.cut();
    else line.end();
    if (was === line) for (const adapter of this.adapters.values()) adapter.onPeers(this.primary?.peers.get(adapter.key) ?? []);
    this.emit("detach", line, error);
  }

  /* Said where somebody looks, once for each cause in a row. */
  report(message) {
    if (message !== this.reported && !this.stopped) process.emitWarning(message, "RingcastLink");
    this.reported = message;
  }

  onFrame(link, { type, name, flags, connection, values }) {
    const [value] = values;
    const { line } = link;
    if (name === "RECEIPT") return line ? line.onReceipt(value) : this.onBegin(link, (flags & FLAGS.CONTINUES) !== 0, value);
    if (!line) throw new Broken(`${name} before the first RECEIPT`);
    if (line.detached && connection !== 0) return; // it is the next process's
    line.onNumbered(type);
    if (name === "OPEN") return this.engine.onOpen(line, connection, value, (flags & FLAGS.HELD) !== 0);
    if (name === "FAILED") return this.engine.onFailed(value);
    if (name === "PEERS") return this.onPeers(line, ...values);
    if (name === "CLUSTER") return this.adapters.get(value)?.onCluster(values[3]);
    if (name === "REPLY") return this.answer(value, values[1] === 1 ? values[2] : null);
    line.connections.get(connection)?.onFrame(name, value);
  }

  /* --- what adapters say ----------------------------------------------------------------------------------------------- */

  enter(adapter) {
    this.adapters.set(adapter.key, adapter);
    for (const line of this.lines.values()) line.send("ENTER", 0, 0, adapter.key, adapter.uid);
  }

  exit(adapter) {
    if (this.adapters.get(adapter.key) === adapter) this.adapters.delete(adapter.key);
    for (const line of this.lines.values()) line.send("EXIT", 0, 0, adapter.key, adapter.uid);
  }

  /* Each link says who is there; the primary's word counts, because it carries what is said to them. */
  onPeers(link, key, uids) {
    link.peers.set(key, uids);
    if (link === this.primary) this.adapters.get(key)?.onPeers(uids);
  }

  cluster(adapter, to, bytes) {
    if (this.primary?.send("CLUSTER", 0, 0, adapter.key, adapter.uid, to, bytes) === false) this.report(`a message to other servers of ${bytes.length} bytes was not sent`);
  }

  /* One frame for all links; of those one, `home`, is the one from which the broker takes it elsewhere. False: too large. */
  broadcast({ key, rooms, except, offset, messages, flags, home = this.primary, only = this.lines.values() }) {
    if (this.detached || !home) return true;
    const frame = application.encode("BROADCAST", flags, 0, key, rooms, except, offset, messages);
    const first = Buffer.from(frame);
    if (!(flags & FLAGS.LOCAL)) first[5] |= FLAGS.PRIMARY;
    return [...only].every((link) => link.write(link === home ? first : frame));
  }

  /* What the broker kept of a session: { sid, data, rooms, missed }, or null. */
  restore(key, pid, offset) {
    const link = this.primary;
    if (!link?.has("recovery") || this.questions.size >= QUESTIONS_MAX || pid.length > 128 || offset.length > 128) return Promise.resolve(null);
    const question = (this.asked = (this.asked + 1) >>> 0);
    link.send("REQUEST", 0, 0, question, key, pid, offset);
    return new Promise((done) => this.questions.set(question, { done, timer: setTimeout(() => this.answer(question, null), QUESTION_MS) }));
  }

  answer(question, reply) {
    const asked = this.questions.get(question);
    if (!asked) return;
    this.questions.delete(question);
    clearTimeout(asked.timer);
    asked.done(reply);
  }

  /* What sockets have become in this turn. */
  saySessions() {
    for (const adapter of this.unsaid) adapter.sayDirty();
  }

  announce() {
    for (const line of this.links) line.send("ASKS", 0, 0, this.engine.asks ? 1 : 0);
  }

  /* --- the end --------------------------------------------------------------------------------------------------------- */

  /* An answer to a client is on its way; the function that is returned says that it is not any more. */
  answers() {
    this.answering++;
    let over = false;
    return () => {
      if (!over && --this.answering === 0) this.emit("answered");
      over = true;
    };
  }

  /* Nothing more comes of clients; what they have asked is still answered, for at most `drain` milliseconds. */
  async drain() {
    if (this.detached) return;
    for (const line of this.lines.values()) if (line.resumes) line.send("DETACH", FLAGS.HOLD, 0);
    for (const line of this.links) line.link.flush();
    if (this.answering > 0 && this.settings.drain > 0) {
      await new Promise((done) => {
        const timer = setTimeout(done, this.settings.drain);
        this.once("answered", () => (clearTimeout(timer), done()));
      });
    }
  }

  /* Connections stay where they are, for the next process; what is said of them from here on is not heard. */
  detach() {
    if (this.detached) return;
    this.saySessions();
    for (const line of this.lines.values()) {
      if (!line.resumes) continue;
      line.send("DETACH", 0, 0);
      line.link?.flush(); // with the last receipt
      line.detached = true;
    }
    this.detached = true;
  }

  close() {
    this.stopped = true;
    for (const line of [...this.lines.values()]) (line.link ? line.link.end() : line.end());
  }
}

/* Which worker of which broker it is, whatever process that is. */
const keyOf = ({ instance, worker, name }) => `${instance}/${worker}/${name}`;

function dialRequest(url, path, nonce, tls) {
  const headers = { Connection: "Upgrade", Upgrade: "ringcast-link", "Ringcast-Link": "1", "Ringcast-Nonce": nonce };
  if (url.startsWith("unix:")) return http.request({ socketPath: url.slice(5), path, headers, agent: false });
  const at = new URL(url.includes("://") ? url : `http://${url}`);
  const secure = /^(https|tls|wss):$/.test(at.protocol);
  return (secure ? https : http).request({ host: at.hostname.replace(/^\[|\]$/g, ""), port: at.port, path, headers, agent: false, ...(secure && tls) });
}

module.exports = { Links, nspKey, short };
