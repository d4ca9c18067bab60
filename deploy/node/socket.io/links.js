"use strict";
// All links of this process: one to each worker of ringcast. Takes them where the application listens, or dials them; hands frames to
// the engine's connections and to the adapters; writes broadcasts on every link, so that each client gets everything in the order in
// which the application said it. Events: `attach` and `detach` (link, error), for who wants to watch.
const { EventEmitter } = require("node:events");
const { performance } = require("node:perf_hooks");
const { createHash, randomBytes } = require("node:crypto");
const http = require("node:http");
const https = require("node:https");
const { Bus } = require("./bus.js");
const { CLUSTER, FLAGS, Broken, application, isKept } = require("./frames.js");
const { Line } = require("./line.js");
const { Link, NONCE, makeNonce } = require("./link.js");

const RETRY_MS = 100;
const RETRY_MS_MAX = 5000;
const ANSWER_MS = 10000;
const QUESTIONS_MAX = 4096;
const QUESTION_MS = 5000;
const ELSEWHERE = JSON.stringify({ code: 3, message: "clients connect to ringcast, not to this port" });
const NOBODYS = "attach"; // no namespace has such a name: ENTERed where the application has an adapter of its own, so that something is said to it
const HEARD_MS = 15000; // ringcast says something each ten seconds
const BACK_MS = 2000; // a worker that is replaced or adopted is back long before
const STOOD_MS = 500; // a timer that is so late was held up with all else

/* A name as the link carries it: clients may choose names, and a long one must not be what breaks the link. */
function short(name, max) {
  return Buffer.byteLength(name) <= max ? name : `h${createHash("sha256").update(name).digest("hex")}`;
}
const nspKey = (name) => short(name, 255);

class Links extends EventEmitter {
  /* `settings`: { secrets, path, resume, drain, recovery }. `links`: lines that have a link now; `lines`: the others, too. `primary`: the one that speaks
   * for the whole process (elect), if there is any. */
  constructor(settings) {
    super();
    Object.assign(this, { settings, engine: null, adapters: new Map(), links: new Set(), lines: new Map(), primary: undefined, absence: undefined, backMs: BACK_MS, answering: 0, unsaid: new Set(), judged: new Map(), questions: new Map(), asked: 0, blindUntil: 0, detached: false, stopped: false });
    this.uid = randomBytes(8).toString("hex");
    this.bus = new Bus(this);
  }

  /* Who speaks for the whole process: the line that has had a link for longest, and the same one as long as it lives, also while it has none for a moment
   * (`absence`). Its worker has what others have yet to take, and another one would be heard before it. */
  elect() {
    const was = this.primary;
    if (was && !was.over && (was.link || this.absence || this.links.size === 0)) return;
    this.primary = this.links.values().next().value ?? this.lines.values().next().value;
    if (this.primary === was) return;
    clearTimeout(this.absence);
    this.absence = undefined;
    if (!this.primary) this.bus.onNobody();
    for (const adapter of this.adapters.values()) this.peersOf(adapter, was);
    this.bus.onPrimary();
  }

  /* The link of who speaks has ended, and it may have another one at once. */
  awaitPrimary() {
    clearTimeout(this.absence);
    const due = performance.now() + this.backMs;
    this.absence = setTimeout(() => {
      // This process may have stood still, with what that worker says in front of it: timers come first.
      if (performance.now() > due + STOOD_MS) return this.awaitPrimary();
      this.absence = undefined;
      this.elect();
    }, this.backMs);
    this.absence.unref?.();
  }

  /* The one by which all is said that the broker keeps for clients that come back, in the order in which clients get it: the same one as long as it
   * lives, also while it has no link. One that is only expected may never come: it is that only until another one has a link. */
  get keeper() {
    if (this.keeps && !this.keeps.over) return this.keeps;
    const [first = [...this.lines.values()].find(({ expected }) => !expected)] = this.links;
    this.keeps = first;
    return first ?? this.primary;
  }

  /* Something was said that the broker will not have kept: whoever may have missed it is somebody new. */
  blind() {
    this.blindUntil = Date.now() + this.settings.recovery;
  }

  /* --- how links begin ------------------------------------------------------------------------------------------------- */

  /* Takes ringcast's upgrades from the server before any other listener can refuse them. */
  listen(server) {
    const { emit } = server;
    server.emit = (name, request, socket, ...rest) => {
      const ours = name === "upgrade" && !this.stopped && this.accept(request, socket, ...rest);
      return ours || emit.call(server, name, request, socket, ...rest);
    };
    // Node emits `upgrade` only if somebody listens; who else comes must not hang.
    server.on("upgrade", (request, socket) => {
      if (server.listenerCount("upgrade") === 1) socket.destroy();
    });
    if (server.listenerCount("request") > 0) return;
    server.on("request", (_, response) => {
      if (server.listenerCount("request") === 1) response.writeHead(400, { "content-type": "application/json" }).end(ELSEWHERE);
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
      let over = false; // once: an answer that is cut off is said to have come and to have failed
      const again = (error) => {
        if (over) return;
        over = true;
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
        if (response.statusCode === 404 && worker !== undefined && dialled.delete(worker) && dialled.size > 0) return void (over = true);
        if (dialled.size === 0) worker = undefined;
        again(new Error(`refused: ${response.statusCode}`));
      });
      request.on("upgrade", (response, socket, head) => {
        nonces.broker = response.headers["ringcast-nonce"];
        if (!NONCE.test(nonces.broker ?? "")) return socket.destroy(), again(new Error("an answer without a nonce"));
        let mine = worker;
        let since = Infinity;
        this.take(socket, nonces, head, (link) => {
          const reachOthers = (workers) => {
            for (let other = 0; other < workers; other++) if (!dialled.has(other)) dialled.add(other), reach(other, RETRY_MS);
          };
          link.on("workers", reachOthers);
          link.once("up", () => {
            since = Date.now();
            mine = link.hello.worker;
            dialled.add(mine);
            reachOthers(link.hello.workers);
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
    link.asks = asks;
    const plain = Object.entries(opts).filter(([, value]) => ["string", "number", "boolean"].includes(typeof value) || Array.isArray(value));
    return { version: 1, process: this.uid, group: "", asks, resume, paced: true, ...(line && { frames: line.received }), recovery_ms: recovery, options: Object.fromEntries(plain) };
  }

  /* --- their life ------------------------------------------------------------------------------------------------------ */

  /* Where both ends resume, the worker's first word says what becomes of what was before. Which of two links lives is its to say, too: two of its
   * addresses may lead to this process, and the second one is refused. */
  onUp(link) {
    const former = this.lines.get(keyOf(link.hello))?.link;
    link.resumes = this.settings.resume && link.has("resume");
    if (former) this.judge(link, former);
    if (!link.resumes) return void (former || this.begin(link)); // else when the former has ended
    // Clients of the other workers hear what is said before these have their links.
    for (let worker = 0; worker < link.hello.workers; worker++) this.expect({ ...link.hello, worker });
  }

  /* READY has said how many frames were handed on: until one of the two is over those of the former link wait. */
  judge(link, former) {
    const timer = setTimeout(() => link.end(new Broken("nothing came behind READY")), HEARD_MS);
    this.judged.set(link, former);
    if (link.resumes) former.hold();
    link.once("taken", () => (clearTimeout(timer), former.end()));
    link.once("end", () => {
      clearTimeout(timer);
      this.judged.delete(link);
      if (link.resumes && !link.taken) former.release();
    });
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
    line.on("again", (frames) => this.bus.again(line, frames));
    line.once("over", (unsaid) => {
      if (this.lines.get(key) === line) this.lines.delete(key);
      this.links.delete(line);
      this.elect();
      if (unsaid.some(isKept)) this.blind();
      const clusters = unsaid.filter((frame) => frame[4] === CLUSTER).length;
      if (clusters > 0) this.report(`${line.name} is gone, and has not said that it has carried out ${clusters} messages to other servers: they may not have heard them`);
    });
    this.lines.set(key, line);
    this.elect();
    return line;
  }

  /* The first RECEIPT. */
  onBegin(link, continues, carriedOut) {
    const former = this.lines.get(keyOf(link.hello));
    if (!former || !(continues || former.expected)) return this.begin(link, true);
    former.expected = false;
    former.attach(link, carriedOut);
    this.onAttached(former, true);
  }

  begin(link, heard = false) {
    this.lines.get(keyOf(link.hello))?.end();
    const line = this.make(link.hello, link.resumes);
    line.attach(link);
    this.onAttached(line, heard);
  }

  /* `attach` is said when ringcast has said something behind READY: from then on it gives clients to this process. To ENTER it says PEERS at once. */
  onAttached(line, heard) {
    const { primary } = this;
    if (this.links.size === 0 && primary && primary !== line && !primary.over && !primary.expected) this.awaitPrimary(); // all were away: it is about to be back, too
    this.links.add(line);
    this.elect();
    line.entered.clear();
    this.sayAsks(line); // it may have changed since READY
    for (const adapter of this.adapters.values()) this.enterOn(line, adapter);
    line.unheard = !heard;
    if (!line.unheard) this.emit("attach", line);
    else if (this.adapters.size === 0) for (const name of ["ENTER", "EXIT"]) line.send(name, 0, 0, NOBODYS, this.uid);
  }

  onEnd(link, error) {
    const { line } = link;
    if (!line) {
      if (error) this.report(`a link was refused: ${error.message}`);
      return;
    }
    if (error && !this.stopped) this.report(`the link to ${line.name} ended: ${error.message}`);
    this.links.delete(line);
    if (line.resumes && !line.detached && !this.stopped) line.cut();
    else line.end();
    if (this.primary === line) this.awaitPrimary();
    if (!line.unheard) this.emit("detach", line, error);
    for (const [other, former] of this.judged) {
      if (former === link && this.judged.delete(other) && !other.resumes) this.begin(other);
    }
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
    if (name === "TAKEN") return this.bus.onTaken(line, ...values);
    if (line.detached && connection !== 0) return; // it is the next process's
    line.onNumbered(type);
    if (line.unheard) {
      line.unheard = false;
      this.emit("attach", line);
    }
    if (name === "OPEN" && line.connections.has(connection)) throw new Broken("OPEN of a connection that is there already");
    if (name === "OPEN") return this.engine.onOpen(line, connection, value, (flags & FLAGS.HELD) !== 0);
    if (name === "FAILED") return this.engine.onFailed(value);
    if (name === "PEERS") return this.onPeers(line, ...values);
    if (name === "CLUSTER") return this.adapters.get(value)?.onCluster(values[1], values[3]);
    if (name === "REPLY") return this.answer(value, values[1] === 1 ? values[2] : null);
    line.connections.get(connection)?.onFrame(name, value);
  }

  /* --- what adapters say ----------------------------------------------------------------------------------------------- */

  enter(adapter) {
    const former = this.adapters.get(adapter.key);
    if (former) this.bus.ends(former); // it speaks no more
    this.adapters.set(adapter.key, adapter);
    for (const line of this.lines.values()) this.enterOn(line, adapter);
  }

  /* Clients may choose the names of namespaces: it is said of the first one, until there is room again. */
  enterOn(line, adapter) {
    if (line.enter(adapter) || line.crowded) return;
    line.crowded = true;
    this.report(`namespace ${adapter.nsp.name}: ringcast takes ${line.hello.namespaces_max} namespaces of a process; in this one and those that come behind it, `
      + "fetchSockets, serverSideEmit, socketsJoin and the like of other processes are not heard (emit is). Let namespaces end that nobody is in: cleanupEmptyChildNamespaces");
  }

  exit(adapter) {
    if (this.adapters.get(adapter.key) === adapter) this.adapters.delete(adapter.key);
    this.bus.ends(adapter);
    const next = (entered) => (this.adapters.size > entered.size ? [...this.adapters.values()].find((other) => !entered.has(other)) : undefined);
    for (const line of this.lines.values()) line.exit(adapter, next);
  }

  /* Each link says who is there; the primary's word counts, because it carries what is said to them. */
  onPeers(link, key, uids) {
    const adapter = this.adapters.get(key);
    if (!adapter) return; // it was on its way when that namespace ended
    link.peers.set(key, uids);
    if (link !== this.primary) return;
    adapter.onPeers(uids);
    this.bus.onPeers(adapter);
  }

  /* Another line speaks than `was`: where its worker has not said yet who is there, that is about to come. Where none is left and the others would have
   * been kept they may be back with the next one. */
  peersOf(adapter, was) {
    const uids = this.primary ? this.primary.peers.get(adapter.key) : !was.resumes && [];
    if (uids) adapter.onPeers(uids);
  }

  /* One frame for all links; of those one, `home`, is the one by which the broker keeps it, and takes it elsewhere. False: too large. */
  broadcast({ key, rooms, except, offset, messages, flags, home = this.keeper, only = this.lines.values() }) {
    if (this.detached || !home) return true;
    const first = application.encode("BROADCAST", flags | FLAGS.PRIMARY, 0, key, rooms, except, offset, messages);
    let frame; // what the others get
    let carried = true;
    for (const line of only) {
      if (line !== home && !frame) {
        frame = Buffer.from(first);
        frame[5] = flags;
      }
      carried = line.write(line === home ? first : frame) && carried;
    }
    return carried;
  }

  /* What the broker kept of a session: { sid, data, rooms, missed }, or null. */
  restore(key, pid, offset) {
    const { keeper } = this;
    if (Date.now() < this.blindUntil || !keeper?.has("recovery") || this.questions.size >= QUESTIONS_MAX || Buffer.byteLength(pid) > 128 || Buffer.byteLength(offset) > 128) return Promise.resolve(null);
    const question = (this.asked = (this.asked + 1) >>> 0);
    keeper.send("REQUEST", 0, 0, question, key, pid, offset);
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
    for (const line of this.links) this.sayAsks(line);
  }

  /* What the worker was told last is what holds. */
  sayAsks({ link }) {
    const { asks } = this.engine;
    if (link.asks !== asks) link.send("ASKS", 0, 0, (link.asks = asks) ? 1 : 0);
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
