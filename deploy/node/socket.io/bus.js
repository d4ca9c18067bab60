"use strict";
// What this process says to the other ones (CLUSTER), at the pace at which each of them takes it: ringcast says who has taken what (TAKEN), and what is
// beyond a window (`cluster_window` of HELLO) waits here, in order, for that process alone; the others hear it at once.
const { HEAD } = require("./frames.js");

const HELD_MAX = 64 << 20; // bytes that wait for one process

/* Uids of this package's adapters begin with their process. Of another one's nothing is known: what ringcast says of processes is not of it, and it is told
 * all at once. */
const SPLIT = ".";
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

  /* The next link counts from 0, and is told the last `again` of them once more; the others were carried out. */
  again(again) {
    const before = this.said - again;
    this.said = again;
    for (const [process, { frames }] of [...this.untaken]) {
      this.taken(process, before);
      for (const frame of frames) frame.number -= before;
    }
  }
}

class Bus {
  constructor(links) {
    this.links = links;
    this.made = 0;
    this.held = new Map(); // process -> { messages: [{ adapter, uid, bytes }], at: of the next one, bytes }
  }

  /* Of an adapter that is made now. */
  get uid() {
    return `${this.links.uid}${SPLIT}${this.made++}`;
  }

  /* Says it to the adapter `to`, or to all that are there (""). Why somebody does not hear it; undefined: all do, sooner or later. */
  say(adapter, to, bytes) {
    const all = to ? [to] : [...adapter.nodesMap.keys(), ...adapter.away.keys()];
    const waits = all.filter((uid) => !this.takes(adapter, uid));
    if (waits.length === 0) return this.write(adapter, to, all, bytes);
    let refused;
    for (const uid of all) refused = (waits.includes(uid) ? this.hold(adapter, uid, bytes) : this.write(adapter, uid, [uid], bytes)) ?? refused;
    return refused;
  }

  takes(adapter, uid) {
    const process = processOf(uid);
    const line = this.links.primary;
    if (adapter.away.has(uid)) return false;
    return !isPaced(uid) || !line || (!this.held.has(process) && this.hears(adapter, line) && line.pace.takes(process, line.hello.cluster_window));
  }

  /* Has the worker said who is there, over the link that there is now? What is said to one who is not linked there yet would be lost. */
  hears(adapter, line) {
    return line.link !== null && line.peers.has(adapter.key);
  }

  write(adapter, to, uids, bytes) {
    const line = this.links.primary;
    if (line?.send("CLUSTER", 0, 0, adapter.key, adapter.uid, to, bytes) === false) return `a message to other servers of ${bytes.length} bytes is more than a link carries`;
    line?.pace.say(uids, HEAD + 6 + Buffer.byteLength(adapter.key) + Buffer.byteLength(adapter.uid) + Buffer.byteLength(to) + bytes.length);
    return undefined;
  }

  hold(adapter, uid, bytes) {
    const process = processOf(uid);
    const its = this.held.get(process) ?? { messages: [], at: 0, bytes: 0 };
    if (its.bytes + bytes.length > HELD_MAX) return `another server (${process}) does not take what is said to it, and ${its.bytes} bytes wait for it already`;
    this.held.set(process, its);
    its.messages.push({ adapter, uid, bytes });
    its.bytes += bytes.length;
    return undefined;
  }

  onTaken(line, number, processes) {
    for (const process of processes) {
      line.pace.taken(process, number);
      this.goOn(process);
    }
  }

  /* Who speaks for this process is another line, or has another link: what waits goes there. */
  onPrimary() {
    for (const process of [...this.held.keys()]) this.goOn(process);
  }

  goOn(process) {
    const its = this.held.get(process);
    const line = this.links.primary;
    if (!its || !line) return;
    while (its.at < its.messages.length && line.pace.takes(process, line.hello.cluster_window)) {
      const { adapter, uid, bytes } = its.messages[its.at];
      if (adapter.away.has(uid) || !this.hears(adapter, line)) return;
      its.messages[its.at++] = undefined;
      its.bytes -= bytes.length;
      this.write(adapter, uid, [uid], bytes);
    }
    if (its.at === its.messages.length) this.held.delete(process);
  }

  /* That worker has no link with the process of `uid`. Where links resume it may be back at once, and has missed nothing then: what is said to it waits for as
   * long as ringcast waits for it. */
  leaves(adapter, uid) {
    const { resumes, hello } = this.links.primary ?? {};
    if (!resumes || !isPaced(uid) || adapter.away.has(uid)) return;
    const timer = setTimeout(() => (adapter.away.delete(uid), this.forget(), this.goOn(processOf(uid))), hello.grace ?? 0);
    timer.unref?.();
    adapter.away.set(uid, timer);
  }

  comes(adapter, uid) {
    clearTimeout(adapter.away.get(uid));
    if (adapter.away.delete(uid)) this.goOn(processOf(uid));
  }

  /* Adapters are gone, here or there: nothing waits for them, or is theirs, any more. */
  forget() {
    const { adapters, lines } = this.links;
    for (const [process, its] of this.held) {
      const messages = its.messages.slice(its.at).filter(({ adapter, uid }) => adapters.get(adapter.key) === adapter && (adapter.nodesMap.has(uid) || adapter.away.has(uid)));
      if (messages.length === 0) this.held.delete(process);
      else Object.assign(its, { messages, at: 0, bytes: messages.reduce((sum, { bytes }) => sum + bytes.length, 0) });
    }
    const there = new Set([...adapters.values()].flatMap(({ nodesMap }) => [...nodesMap.keys()].map(processOf)));
    for (const { pace } of lines.values()) for (const process of pace.untaken.keys()) if (!there.has(process)) pace.untaken.delete(process);
  }
}

module.exports = { Bus, Pace };
