"use strict";
// What this process says to the other ones (CLUSTER), at the pace at which each of them takes it: ringcast says who has taken what (TAKEN), and what is
// beyond a window (`cluster_window` of HELLO) waits here, in order, for that adapter of that process alone; the others hear it at once.
const { performance } = require("node:perf_hooks");
const { FRAME_MAX, HEAD, application } = require("./frames.js");

const HELD_MAX = 64 << 20; // bytes that wait for one process, and as many for those of its adapters that are not there
const SPENT_MAX = 1024; // messages of a queue that have left it and are still in its array
const GRACE_MS = 10000; // what is for an adapter of which ringcast has said nothing waits so long, where ringcast does not say how long it waits itself

/* Uids of this package's adapters begin with their process. Of another one's nothing is known: what ringcast says of processes is not of it, and it is told
 * all at once. */
const SPLIT = ".";
const NOTHING = Buffer.alloc(0);
const processOf = (uid) => uid.split(SPLIT, 1)[0];
const isPaced = (uid) => uid.includes(SPLIT);

/* What the worker of a line has been told, and has not said of a process that it has taken: frames by their number among all CLUSTERs of the link. */
class Pace {
  constructor() {
    Object.assign(this, { said: 0, untaken: new Map() });
  }

  takes(process, window = Infinity) {
    return (this.untaken.get(process)?.bytes ?? 0) < window;
  }

  /* The next frame, of so many bytes, is for these. */
  say(uids, bytes) {
    this.said++;
    for (const uid of uids) {
      if (!isPaced(uid)) continue;
      const process = processOf(uid);
      let its = this.untaken.get(process);
      if (!its) this.untaken.set(process, (its = { frames: [], bytes: 0 }));
      its.frames.push({ number: this.said, bytes });
      its.bytes += bytes;
    }
  }

  taken(process, number) {
    const its = this.untaken.get(process);
    if (!its) return;
    let count = 0;
    while (count < its.frames.length && its.frames[count].number <= number) its.bytes -= its.frames[count++].bytes;
    its.frames.splice(0, count);
    if (its.frames.length === 0) this.untaken.delete(process);
  }

  /* The next link counts from 0. What its worker was told was carried out, and nothing comes of that any more; the rest is said anew (Bus.again). */
  begin() {
    this.said = 0;
    this.untaken.clear();
  }
}

/* An adapter of another process that one of this process's speaks to, and what waits for it. */
class Hearer {
  constructor(adapter, uid, other) {
    Object.assign(this, { adapter, uid, other, there: false, until: 0, messages: [], at: 0, bytes: 0 });
  }

  get waits() {
    return this.messages.length > this.at;
  }

  push(bytes) {
    this.messages.push(bytes);
    this.bytes += bytes.length;
    this.other.bytes += bytes.length;
  }

  /* Before all that waits. */
  unshift(list) {
    const bytes = list.reduce((sum, { length }) => sum + length, 0);
    this.messages = [...list, ...this.messages.slice(this.at)];
    this.at = 0;
    this.bytes += bytes;
    this.other.bytes += bytes;
  }

  shift() {
    const bytes = this.messages[this.at];
    this.messages[this.at++] = undefined;
    if (!this.waits || (this.at > SPENT_MAX && this.at * 2 > this.messages.length)) this.messages.splice(0, this.at), (this.at = 0);
    this.bytes -= bytes.length;
    this.other.bytes -= bytes.length;
    return bytes;
  }
}

/* Another process. Of what waits for its adapters `ready` has those that nothing but its window keeps from hearing it, as far as is known. */
class Other {
  constructor(name) {
    Object.assign(this, { name, hearers: 0, there: 0, away: new Set(), ready: new Set(), bytes: 0, timer: undefined });
  }

  /* Bytes that wait for adapters of it that are there, or for the others: who is not there uses up nothing of what may wait for who is. */
  bytesOf(there) {
    const apart = [...this.away].reduce((sum, { bytes }) => sum + bytes, 0);
    return there ? this.bytes - apart : apart;
  }
}

class Bus {
  constructor(links) {
    Object.assign(this, { links, made: 0, hearers: new Map(), others: new Map() }); // adapter -> uid -> Hearer; process -> Other
    this.meant = new WeakMap(); // frame that a line keeps -> { adapter, uids, bytes }
    this.unheard = new Map(); // adapter -> { messages, bytes }: to all, of when nobody was known; to be said again to whoever is there by PEERS
  }

  /* Of an adapter that is made now. */
  get uid() {
    return `${this.links.uid}${SPLIT}${this.made++}`;
  }

  /* Says it to the adapter `to`, or to all that are there (""). Why somebody does not hear it; undefined: all do, sooner or later. */
  say(adapter, to, bytes) {
    const all = to ? [to] : [...new Set([...adapter.nodesMap.keys(), ...(this.hearers.get(adapter)?.keys() ?? [])])];
    const longest = all.reduce((most, uid) => Math.max(most, Buffer.byteLength(uid)), 0);
    if (bytes.length > this.most(adapter, longest)) return tooLarge(bytes); // also where it waits first
    const unheard = all.length === 0 ? this.unheard.get(adapter) : undefined;
    if (unheard) return this.keep(unheard, bytes); // behind that
    const waits = new Set(all.filter((uid) => !this.takes(adapter, uid)));
    if (waits.size === 0) return this.write(adapter, to, all, bytes);
    let refused;
    for (const uid of all) refused = (waits.has(uid) ? this.hold(adapter, uid, bytes) : this.write(adapter, uid, [uid], bytes)) ?? refused;
    return refused;
  }

  /* Bytes that a message may have for somebody whose uid is so long. */
  most(adapter, to) {
    return HEAD + (this.links.primary?.hello.frame_max ?? FRAME_MAX) - frameBytes(adapter, to, NOTHING);
  }

  takes(adapter, uid) {
    const line = this.links.primary;
    const its = this.hearers.get(adapter)?.get(uid);
    if (!line || (its && (!its.there || its.waits))) return false;
    return !isPaced(uid) || (this.hears(adapter, line) && line.pace.takes(processOf(uid), line.hello.cluster_window));
  }

  /* Has the worker said who is there, over the link that there is now? What is said to one who is not linked there yet would be lost. */
  hears(adapter, line) {
    return line.link !== null && line.peers.has(adapter.key);
  }

  write(adapter, to, uids, bytes) {
    const line = this.links.primary;
    if (!line) return undefined; // then nobody is there: who is waits
    const values = [adapter.key, adapter.uid, to, bytes];
    const frame = line.resumes ? application.encode("CLUSTER", 0, 0, ...values) : undefined;
    if ((frame ? line.write(frame) : line.send("CLUSTER", 0, 0, ...values)) === false) return tooLarge(bytes);
    if (frame) this.meant.set(frame, { adapter, uids, bytes: frame.subarray(frame.length - bytes.length) });
    // Of a process of which nothing is known to be there nobody would say that it has gone.
    // An older broker says nothing of what is taken.
    if (line.hello.cluster_window !== undefined) line.pace.say(uids.filter((uid) => this.others.get(processOf(uid))?.there > 0), frameBytes(adapter, Buffer.byteLength(to), bytes));
    return undefined;
  }

  hold(adapter, uid, bytes) {
    const its = this.hearer(adapter, uid);
    const { other } = its;
    this.expect(its);
    if (other.bytes + bytes.length > HELD_MAX && other.bytesOf(its.there) + bytes.length > HELD_MAX) {
      return `another server (${other.name}) does not take what is said to it, and ${other.bytes} bytes wait for it already`;
    }
    its.push(bytes);
    other.ready.add(its);
    return undefined;
  }

  /* For whoever is there: it is not known yet. */
  keep(unheard, bytes) {
    if (unheard.bytes + bytes.length > HELD_MAX) return `nobody has said yet which other servers there are, and ${unheard.bytes} bytes wait for that already`;
    unheard.messages.push(bytes);
    unheard.bytes += bytes.length;
    return undefined;
  }

  /* Frames of a line that has another link, which its worker has not carried out. Who was linked there may not be yet, and then nobody would hear them: they
   * are said when it is known who is there, before all that waits. */
  again(line, frames) {
    const lists = new Map(); // Hearer -> what it has not heard
    for (const frame of frames) {
      const { adapter, uids, bytes } = this.meant.get(frame);
      if (this.links.adapters.get(adapter.key) !== adapter) continue;
      const all = uids.length > 0 ? uids : [...adapter.nodesMap.keys()]; // it was for all, whoever that is
      if (all.length === 0 && line.entered.has(adapter)) { // else nobody will say who is there
        if (!this.unheard.has(adapter)) this.unheard.set(adapter, { messages: [], bytes: 0 });
        this.keep(this.unheard.get(adapter), bytes); // a line keeps no more than that
      }
      for (const uid of all) {
        const its = this.hearer(adapter, uid);
        if (!lists.has(its)) lists.set(its, []);
        lists.get(its).push(bytes);
      }
    }
    for (const [its, list] of lists) {
      its.unshift(list);
      this.expect(its);
      this.wake(its);
    }
  }

  onTaken(line, number, processes) {
    for (const process of processes) {
      line.pace.taken(process, number);
      this.goOn(this.others.get(process));
    }
  }

  /* Who speaks for this process is another line, or has another link: what waits goes there. */
  onPrimary() {
    for (const adapter of this.hearers.keys()) this.onPeers(adapter);
  }

  /* The worker of that line has said who is there. */
  onPeers(adapter) {
    const line = this.links.primary;
    if (line && this.hears(adapter, line)) this.unheard.delete(adapter); // all that are there have come
    for (const its of this.hearers.get(adapter)?.values() ?? []) this.wake(its);
  }

  wake(its) {
    if (!its.waits) return;
    its.other.ready.add(its);
    this.goOn(its.other);
  }

  /* One message of each of its adapters after the other, so that none has to wait for all that is for another one. */
  goOn(other) {
    const line = this.links.primary;
    if (!other || !line) return;
    for (const its of other.ready) {
      if (!its.there || !this.hears(its.adapter, line)) {
        other.ready.delete(its); // until that has changed
        continue;
      }
      if (!line.pace.takes(other.name, line.hello.cluster_window)) return;
      const refused = this.write(its.adapter, its.uid, [its.uid], its.shift());
      if (refused) this.links.report(refused);
      other.ready.delete(its);
      if (its.waits) other.ready.add(its);
    }
  }

  hearer(adapter, uid) {
    let hearers = this.hearers.get(adapter);
    if (!hearers) this.hearers.set(adapter, (hearers = new Map()));
    let its = hearers.get(uid);
    if (its) return its;
    const name = processOf(uid);
    let other = this.others.get(name);
    if (!other) this.others.set(name, (other = new Other(name)));
    hearers.set(uid, (its = new Hearer(adapter, uid, other)));
    other.hearers++;
    return its;
  }

  /* That worker has no link with the process of `uid`, or that adapter is no more: which of them is not known. Where links resume it may be back at once, and
   * has missed nothing then: what is said to it waits for as long as ringcast waits for it. */
  leaves(adapter, uid) {
    const its = this.hearers.get(adapter)?.get(uid);
    if (!its?.there) return;
    const { resumes, hello } = this.links.primary ?? {};
    this.goes(its);
    if (resumes && isPaced(uid)) this.expect(its, hello.grace ?? 0);
    else this.forget(its);
  }

  comes(adapter, uid) {
    const its = this.hearer(adapter, uid);
    if (its.there) return;
    its.there = true;
    its.other.there++;
    this.expectNoMore(its);
    if (this.unheard.has(adapter)) its.unshift(this.unheard.get(adapter).messages);
    this.wake(its);
  }

  /* Of a process that is not there nothing is said to be taken. */
  goes(its) {
    if (!its.there) return;
    its.there = false;
    if (--its.other.there === 0) for (const { pace } of this.links.lines.values()) pace.untaken.delete(its.other.name);
  }

  /* If it does not come until then, nothing waits for it any more. */
  expect(its, ms = this.links.primary?.hello.grace || GRACE_MS) {
    const { away } = its.other;
    if (its.there || away.has(its)) return;
    its.until = performance.now() + ms;
    away.add(its);
    if (its.other.timer === undefined) this.arm(its.other, ms);
  }

  expectNoMore(its) {
    const { other } = its;
    if (!other.away.delete(its) || other.away.size > 0) return;
    clearTimeout(other.timer);
    other.timer = undefined;
  }

  arm(other, ms) {
    other.timer = setTimeout(() => {
      other.timer = undefined;
      const now = performance.now();
      for (const its of other.away) if (its.until <= now) this.forget(its);
      const next = [...other.away].reduce((first, { until }) => Math.min(first, until), Infinity);
      if (next < Infinity) this.arm(other, Math.max(1, next - now));
    }, ms);
    other.timer.unref?.();
  }

  /* An adapter is gone, here or there: nothing waits for it, or is its, any more. */
  forget(its) {
    const { adapter, uid, other, bytes } = its;
    const hearers = this.hearers.get(adapter);
    this.goes(its);
    hearers.delete(uid);
    if (hearers.size === 0) this.hearers.delete(adapter);
    this.expectNoMore(its);
    other.ready.delete(its);
    other.bytes -= bytes;
    if (--other.hearers === 0) this.others.delete(other.name);
  }

  /* No line is left: who is there is not known any more. What waits, and what is said, waits a while for a worker that says it. */
  onNobody() {
    for (const hearers of this.hearers.values()) {
      for (const its of hearers.values()) this.goes(its), this.expect(its);
    }
  }

  /* This process's adapter has ended. */
  ends(adapter) {
    this.unheard.delete(adapter);
    for (const its of [...(this.hearers.get(adapter)?.values() ?? [])]) {
      this.forget(its);
      this.goOn(its.other);
    }
  }
}

const frameBytes = (adapter, to, bytes) => HEAD + 6 + Buffer.byteLength(adapter.key) + Buffer.byteLength(adapter.uid) + to + bytes.length;
const tooLarge = (bytes) => `a message to other servers of ${bytes.length} bytes is more than a link carries`;

module.exports = { Bus, Pace };
