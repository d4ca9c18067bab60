"use strict";
// One link: a stream of frames between a worker of ringcast and this process (docs/link.md). It proves both ends to each other by the
// shared secret, and writes what a turn of the loop has to say in one go. Events: `up` (HELLO was good, READY is sent), `taken` (the worker has said
// something behind it, and no refusal), `frame` ({ name, flags, connection, values }) for each, `flush` (what a turn has to say leaves) in each turn,
// `workers` (there are so many now), `end` (error or null). What outlives it is its line (line.js).
const { EventEmitter } = require("node:events");
const { createHmac, randomBytes, timingSafeEqual } = require("node:crypto");
const { Broken, FRAME_MAX, HEAD, application, broker } = require("./frames.js");

const HELLO_MAX = 64 * 1024; // bytes of the first frame
const HELLO_MS = 10000;
const UNREAD_MAX = 256 << 20; // bytes that may wait for a worker that stands still
const NONCE = /^[0-9a-f]{32}$/;

const makeNonce = () => randomBytes(16).toString("hex");

function sign(secret, what, nonces, json) {
  return createHmac("sha256", secret).update(`ringcast-link/1 ${what}\n${nonces.broker}\n${nonces.application}\n`).update(json).digest("hex");
}

const same = (a, b) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

const open = new Set();
// What the last turn had to say still leaves when the application calls process.exit().
process.on("exit", () => open.forEach((link) => link.flush()));

class Link extends EventEmitter {
  /* `nonces`: { broker, application }; `ready`: (HELLO) => what READY says. The socket is this link's from here on. */
  constructor(socket, { secrets, nonces, ready }) {
    super();
    Object.assign(this, { socket, secrets, nonces, ready, hello: null, heard: 0, frameMax: HELLO_MAX, line: null, writer: new application.Writer(), scheduled: false, taken: false, holds: 0, ended: false });
    this.reader = new broker.Reader(HELLO_MAX);
    this.deadline = setTimeout(() => this.end(new Broken("no HELLO came")), HELLO_MS);
    open.add(this);
    socket.setTimeout(0);
    socket.setNoDelay?.(true);
    socket.setKeepAlive?.(true, 15000);
    socket.on("data", (chunk) => this.onData(chunk));
    socket.on("error", (error) => this.end(error));
    socket.on("end", () => this.end(null));
    socket.on("close", () => this.end(null));
  }

  get name() {
    return this.hello ? `${this.hello.instance}/${this.hello.worker}` : "?";
  }

  has(feature) {
    return this.hello?.features?.includes(feature) ?? false;
  }

  /* Nothing that comes is looked at before `release`. */
  hold() {
    if (this.holds++ === 0) this.socket.pause();
  }

  release() {
    if (--this.holds > 0 || this.ended) return;
    this.onData(Buffer.alloc(0));
    this.socket.resume();
  }

  onData(chunk) {
    if (this.holds > 0) return void (chunk.length > 0 && this.socket.unshift(chunk));
    this.heard = Date.now();
    try {
      for (const frame of this.reader.read(chunk)) {
        if (this.ended) return;
        this.onFrame(frame);
      }
    } catch (error) {
      if (!(error instanceof Broken)) {
        // The application's own: it is thrown where Node looks for it, and what came behind is still read.
        setImmediate(() => this.onData(Buffer.alloc(0)));
        throw error;
      }
      this.refuse(error);
    }
    this.schedule();
  }

  onFrame(frame) {
    const [value] = frame.values;
    if (!this.hello) return this.onHello(frame);
    if (!this.taken && frame.name !== "ERROR") {
      this.taken = true;
      this.emit("taken");
    }
    if (frame.name === "PING") this.onPing(value);
    else if (frame.name === "ERROR") this.end(new Broken(value));
    else if (frame.name === "HELLO") throw new Broken("a second HELLO");
    else this.emit("frame", frame);
  }

  onPing(bytes) {
    this.send("PONG", 0, 0, bytes);
    const workers = Number(/^\{"workers":(\d+)\}$/.exec(bytes)?.[1]);
    if (workers > 0) this.emit("workers", (this.hello.workers = workers));
  }

  onHello({ name, values: [signature, json] }) {
    if (name === "ERROR") return this.end(new Broken(signature));
    if (name !== "HELLO") throw new Broken(`${name} before HELLO`);
    const secret = this.secrets.find((candidate) => same(signature, sign(candidate, "hello", this.nonces, json)));
    if (!secret) throw new Broken("HELLO is not signed with this secret");
    let hello;
    try {
      hello = JSON.parse(json);
    } catch {
      throw new Broken("HELLO without JSON");
    }
    if (hello.version !== 1) throw new Broken(`version ${hello.version} of the link`);
    clearTimeout(this.deadline);
    this.hello = hello;
    this.reader.max = Math.max(FRAME_MAX, hello.frame_max ?? 0, hello.max_payload ?? 0); // what clients say is as large as max_payload allows
    this.frameMax = hello.frame_max ?? FRAME_MAX;
    const ready = JSON.stringify(this.ready(hello));
    this.send("READY", 0, 0, sign(secret, "ready", this.nonces, ready), Buffer.from(ready));
    this.emit("up");
  }

  /* Encodes a frame and lets it go with those of this turn; false: it is larger than a link carries, and was not sent. */
  send(name, flags, connection, ...values) {
    if (this.ended) return true;
    if (!this.writer.put(this.frameMax, name, flags, connection, values)) return false;
    this.schedule();
    return true;
  }

  /* The same of a frame that is made already. */
  write(frame) {
    if (frame.length > HEAD + this.frameMax) return false;
    if (!this.ended) this.writer.add(frame);
    this.schedule();
    return true;
  }

  /* Bytes that the other end has not taken. */
  get unwritten() {
    return this.socket.writableLength + this.writer.bytes;
  }

  schedule() {
    if (this.scheduled || this.ended) return;
    this.scheduled = true;
    setImmediate(() => this.flush());
  }

  /* By now what was read has reached its listeners: packets take two ticks, and this is another phase of the loop. */
  flush() {
    if (this.ended) return;
    this.emit("flush"); // what is written now leaves, too
    this.scheduled = false;
    // Before what came of it: half of a write is better without its end than said twice.
    const receipt = this.line?.receipt();
    const parts = this.writer.take();
    if (receipt !== undefined) parts.unshift(application.encode("RECEIPT", 0, 0, receipt));
    if (parts.length === 0) return;
    this.socket.write(parts.length === 1 ? parts[0] : Buffer.concat(parts));
    this.line?.emit("flush");
    if (this.socket.writableLength > UNREAD_MAX) this.end(new Broken("ringcast does not read any more"));
  }

  refuse(error) {
    this.send("ERROR", 0, 0, error.message.slice(0, 200));
    this.end(error);
  }

  /* What was sent before still leaves. */
  end(error = null) {
    if (this.ended) return;
    this.flush();
    if (this.ended) return; // by what was flushed
    this.ended = true;
    clearTimeout(this.deadline);
    open.delete(this);
    this.socket.end();
    this.socket.destroySoon?.();
    this.emit("end", error);
  }
}

module.exports = { Link, NONCE, makeNonce };
