// Socket.IO clients that talk to themselves and to each other in rooms, half of them by polling alone, and what must come of it: nothing
// is lost, doubled or out of order, and nobody is sent away.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { SANITIZED, delay, until, within } from "./util.mjs";

export const FULL = process.env.RINGCAST_SCALE === "full";
export const SECONDS = FULL ? Math.min(60, Number(process.env.STRESS_SECONDS ?? 60)) : 3;
export const PER_KIND = FULL ? Number(process.env.STRESS_CLIENTS ?? 1000) : SANITIZED ? 20 : 40;
const ROOM = 10; // clients of both kinds
const ECHO_MS = FULL ? 5000 : 500;
const SAY_MS = FULL ? 10000 : 500;
const AT_A_TIME = 25; // that connect

export const rows = [
  { on: "join", join: ["{args.0}"], ack: ["joined"] },
  { on: "echo", emit: [{ event: "echo", args: ["{args}"] }], ack: ["{args}"] },
  { on: "say", emit: [{ to: "{args.0}", others: true, event: "said", args: ["{args.1..}"] }] },
];

class Talker {
  constructor(index, port) {
    this.index = index;
    this.room = `room ${Math.floor(index / ROOM)}`;
    this.polls = index % 2 === 0;
    this.echoes = { sent: 0, acknowledged: 0, heard: 0 };
    this.said = 0;
    this.heard = new Map(); // of whom -> its last number
    this.faults = [];
    this.socket = io(`http://127.0.0.1:${port}`, { forceNew: true, reconnection: false, timeout: 60000, ...(this.polls ? { transports: ["polling"] } : {}) });
    this.socket.on("disconnect", (reason) => this.ending || this.faults.push(`${this.socket.id} was disconnected: ${reason}`));
    this.socket.on("echo", (n) => n === ++this.echoes.heard || this.faults.push(`echo ${n} in place of ${this.echoes.heard}`));
    this.socket.on("said", (who, n) => {
      const last = this.heard.get(who) ?? 0;
      if (n !== last + 1) this.faults.push(`from ${who} came ${n} after ${last}`);
      this.heard.set(who, n);
    });
  }

  async ready() {
    await within(60000, new Promise((done, failed) => {
      this.socket.once("connect", done);
      this.socket.once("connect_error", failed);
    }), "a client connects");
    await within(60000, new Promise((done) => this.socket.emit("join", this.room, done)), "a client joins");
  }

  get hasUpgraded() {
    return this.polls || this.socket.io.engine.transport.name === "websocket";
  }

  /* Events from now on, begun at a moment of its own, until stop(). */
  start() {
    const every = (ms, act) => {
      const first = setTimeout(() => {
        act();
        this.timers.push(setInterval(act, ms));
      }, Math.random() * ms);
      this.timers.push(first);
    };
    this.timers = [];
    every(ECHO_MS, () => {
      const n = ++this.echoes.sent;
      this.socket.emit("echo", n, (answer) => answer === n && this.echoes.acknowledged++);
    });
    every(SAY_MS, () => this.socket.emit("say", this.room, this.index, ++this.said));
  }

  stop() {
    for (const timer of this.timers) clearTimeout(timer), clearInterval(timer);
  }
}

/* All that, to a port: who connects, which way, is nobody's business here. */
export async function talk(port) {
  const talkers = [];
  const missing = () => talkers.reduce((sum, talker) => {
    const own = 2 * talker.echoes.sent - talker.echoes.acknowledged - talker.echoes.heard;
    const others = talkers.filter(({ room, index }) => room === talker.room && index !== talker.index);
    return sum + own + others.reduce((more, { index, said }) => more + said - (talker.heard.get(index) ?? 0), 0);
  }, 0);
  try {
    for (let at = 0; at < 2 * PER_KIND; at += AT_A_TIME) {
      const more = Array.from({ length: Math.min(AT_A_TIME, 2 * PER_KIND - at) }, (_, i) => new Talker(at + i, port));
      talkers.push(...more);
      await Promise.all(more.map((talker) => talker.ready()));
    }
    for (const talker of talkers) talker.start(); // some upgrade while they talk
    await delay(SECONDS * 1000);
    for (const talker of talkers) talker.stop();
    await until("everything has come", () => missing() <= 0 || talkers.some(({ faults }) => faults.length > 0), { timeout: FULL ? 30000 : 10000, every: 50 });
    assert.deepEqual(talkers.flatMap(({ faults }) => faults).slice(0, 10), []);
    assert.equal(missing(), 0, "nothing is lost or doubled");
    await until("who may upgrade has", () => talkers.every((talker) => talker.hasUpgraded));
    assert.ok(talkers.every(({ echoes, said }) => echoes.sent > 0 && said > 0));
    const total = talkers.reduce((sum, { echoes, said }) => sum + echoes.sent + said, 0);
    console.log(`${talkers.length} clients, ${total} events in ${SECONDS} s`);
  } finally {
    for (const talker of talkers) {
      talker.ending = true;
      talker.socket.disconnect();
    }
  }
}
