"use strict";
// What this process and a worker of ringcast have said to each other, whatever link it went over (docs/link.md, "When a link ends"). Where both
// ends resume, it outlives its link: what the worker has not said that it has carried out is kept, and sent again by the next link; nobody
// notices. Else it ends with its link. Connections and adapters speak by it.
const { EventEmitter } = require("node:events");
const { Pace } = require("./bus.js");
const { Broken, CLUSTER, FRAME_MAX, HEAD, OPEN, RECEIPT, application } = require("./frames.js");

const KEPT_MAX = 64 << 20; // bytes that may wait for a worker that does not come back, or does not say that it has carried them out

/* Counted, kept and sent again: all frames but those of the link itself. */
const isNumbered = (type) => type >= OPEN && type !== RECEIPT;

class Line extends EventEmitter {
  constructor(hello, resumes) {
    super();
    this.setMaxListeners(0); // each callback of a write is one
    Object.assign(this, { hello, resumes, link: null, connections: new Map(), peers: new Map(), pace: new Pace() });
    Object.assign(this, { kept: [], keptBytes: 0, carriedOut: 0, received: 0, told: 0, looking: false, entered: new Set(), crowded: false, expected: false, unheard: false, detached: false, over: false });
  }

  get name() {
    return `${this.hello.instance}/${this.hello.worker}`;
  }

  has(feature) {
    return this.hello.features?.includes(feature) ?? false;
  }

  /* By this link from here on; `carriedOut`: how many frames of ours the worker has. What is missing it is sent again at once, but CLUSTER (`again`). */
  attach(link, carriedOut = 0) {
    Object.assign(this, { hello: link.hello, link });
    clearTimeout(this.timer);
    link.line = this;
    this.onReceipt(carriedOut);
    this.pace.begin();
    this.peers.clear(); // of a worker that may be another one by now; its word comes at once
    const clusters = this.kept.filter((frame) => frame[4] === CLUSTER);
    this.kept = this.kept.filter((frame) => frame[4] !== CLUSTER);
    for (const frame of clusters) this.keptBytes -= frame.length;
    for (const frame of this.kept) link.write(frame);
    if (clusters.length > 0) this.emit("again", clusters);
  }

  /* Encodes a frame and lets it go with those of this turn; false: it is larger than a link carries, and was not sent. */
  send(name, flags, connection, ...values) {
    if (!this.resumes && this.link) return this.link.send(name, flags, connection, ...values);
    return this.write(application.encode(name, flags, connection, ...values));
  }

  write(frame) {
    if (frame.length > HEAD + (this.hello.frame_max ?? FRAME_MAX)) return false;
    if (this.resumes && !this.over && isNumbered(frame[4])) {
      this.kept.push(frame);
      this.keptBytes += frame.length;
      if (this.keptBytes > KEPT_MAX) this.look();
    }
    this.link?.write(frame);
    return true;
  }

  /* Too much is kept? What is still to be written waits for who reads slowly, and is bounded there. */
  look() {
    if (this.looking) return;
    this.looking = true;
    setImmediate(() => {
      this.looking = false;
      const { link } = this;
      if (this.keptBytes - (link?.unwritten ?? 0) <= KEPT_MAX || this.over) return;
      link?.refuse(new Broken(`no RECEIPT for ${this.keptBytes} bytes that were read: its connections are closed`));
      this.end();
    });
  }

  /* The adapter is told to the worker, unless others have taken all places; false: it waits for one. */
  enter(adapter) {
    if (!this.entered.has(adapter) && this.entered.size >= (this.hello.namespaces_max ?? Infinity)) return false;
    this.entered.add(adapter);
    this.send("ENTER", 0, 0, adapter.key, adapter.uid);
    return true;
  }

  /* It is no more; `next`, of those that wait, has its place. */
  exit(adapter, next) {
    this.peers.delete(adapter.key);
    if (!this.entered.delete(adapter)) return;
    this.send("EXIT", 0, 0, adapter.key, adapter.uid);
    const waiting = next(this.entered);
    if (waiting) this.enter(waiting);
    else this.crowded = false;
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
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.end(), this.hello.grace ?? 0);
    this.timer.unref?.();
  }

  /* Its connections are over. */
  end() {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.timer);
    this.emit("over", this.kept.splice(0)); // with what it was not said to have carried out
    // Who resumes may come again at once, as somebody that this process does not know.
    for (const connection of [...this.connections.values()]) connection[this.resumes ? "onLost" : "onClosed"]("transport close");
  }
}

module.exports = { Line };
