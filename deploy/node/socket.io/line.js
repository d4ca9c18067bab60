"use strict";
// What this process and a worker of ringcast have said to each other, whatever link it went over (docs/link.md, "When a link ends"). Where both
// ends resume, it outlives its link: what the worker has not said that it has carried out is kept, and sent again by the next link; nobody
// notices. Else it ends with its link. Connections and adapters speak by it.
const { EventEmitter } = require("node:events");
const { FRAME_MAX, HEAD, OPEN, RECEIPT, application } = require("./frames.js");

const KEPT_MAX = 64 << 20; // bytes that may wait for a worker that does not come back

/* Counted, kept and sent again: all frames but those of the link itself. */
const isNumbered = (type) => type >= OPEN && type !== RECEIPT;

class Line extends EventEmitter {
  constructor(hello, resumes) {
    super();
    this.setMaxListeners(0); // each callback of a write is one
    Object.assign(this, { hello, resumes, link: null, connections: new Map(), peers: new Map() });
    Object.assign(this, { kept: [], keptBytes: 0, carriedOut: 0, received: 0, told: 0, expected: false, detached: false, over: false });
  }

  get name() {
    return `${this.hello.instance}/${this.hello.worker}`;
  }

  has(feature) {
    return this.hello.features?.includes(feature) ?? false;
  }

  /* By this link from here on; `carriedOut`: how many frames of ours the worker has. */
  attach(link, carriedOut = 0) {
    Object.assign(this, { hello: link.hello, link });
    clearTimeout(this.timer);
    link.line = this;
    this.onReceipt(carriedOut);
    for (const frame of this.kept) link.write(frame);
  }

  /* Encodes a frame and lets it go with those of this turn; false: it is larger than a link carries, and was not sent. */
  send(name, flags, connection, ...values) {
    return this.write(application.encode(name, flags, connection, ...values));
  }

  write(frame) {
    if (frame.length > HEAD + (this.hello.frame_max ?? FRAME_MAX)) return false;
    if (this.resumes && !this.over && isNumbered(frame[4])) {
      this.kept.push(frame);
      this.keptBytes += frame.length;
      if (!this.link && this.keptBytes > KEPT_MAX) setImmediate(() => this.link || this.end());
    }
    this.link?.write(frame);
    return true;
  }

  /* A frame of the worker's was handed on, or is just being. */
  onNumbered(type) {
    if (isNumbered(type)) this.received++;
  }

  /* So many frames of ours were carried out. */
  onReceipt(frames) {
    const count = Math.min(Math.max(frames - this.carriedOut, 0), this.kept.length);
    for (const frame of this.kept.splice(0, count)) this.keptBytes -= frame.length;
    this.carriedOut += count;
  }

  /* What is to be said of what was handed on; undefined: nothing. */
  receipt() {
    if (!this.resumes || this.detached || this.told === this.received) return undefined;
    return (this.told = this.received);
  }

  /* Its link has ended; `end` follows unless another one comes in time. */
  cut() {
    this.link = null;
    this.timer = setTimeout(() => this.end(), this.hello.grace ?? 0);
    this.timer.unref?.();
  }

  /* Its connections are over. */
  end() {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    this.kept = [];
    this.emit("over");
    // Who resumes may come again at once, as somebody that this process does not know.
    for (const connection of [...this.connections.values()]) connection[this.resumes ? "onLost" : "onClosed"]("transport close");
  }
}

module.exports = { Line };
