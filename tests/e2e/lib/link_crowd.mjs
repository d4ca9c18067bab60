// Thousands of Socket.IO clients of an application behind a link (setup), by polling, by WebSocket and going over to it, that talk all the time: what
// they said and were not answered, what came twice or out of order, who was disconnected. They are in processes of their own.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const PROCESS = fileURLToPath(new URL("link_crowd_process.mjs", import.meta.url));

/* What such an application does. LINK_TICK_MS: how often everybody is told something. */
export function setup({ io, state }) {
  Object.assign(state, { connections: 0, recovered: 0 });
  io.on("connection", (socket) => {
    state.connections++;
    state.recovered += socket.recovered ?? 0;
    if (!socket.recovered) socket.join("all");
    socket.on("up", (n) => socket.emit("down", n));
    socket.on("sync", (answer) => answer(process.pid));
  });
  let tick = 0;
  setInterval(() => io.to("all").emit("tick", process.pid, tick++), Number(process.env.LINK_TICK_MS));
  process.on("SIGTERM", () => io.close().then(() => process.exit()));
}

class Part {
  constructor(args) {
    this.child = fork(PROCESS, args.map(String), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.asked = new Map();
    this.id = 0;
    this.child.on("message", ([id, result, why]) => {
      const { done, failed } = this.asked.get(id);
      this.asked.delete(id);
      if (why === undefined) done(result);
      else failed(new Error(why));
    });
    this.child.on("exit", (code, signal) => this.asked.forEach(({ failed }) => failed(new Error(`clients ended: ${code ?? signal}`))));
  }

  ask(...what) {
    return new Promise((done, failed) => {
      this.asked.set(++this.id, { done, failed });
      this.child.send([this.id, ...what], (error) => error && failed(error));
    });
  }
}

export class Crowd {
  /* `rate`: events a second that all say together. */
  constructor({ clients, processes, rate }) {
    Object.assign(this, { clients, processes, rate, parts: [], lost: 0 });
  }

  all(...what) {
    return Promise.all(this.parts.map((part) => part.ask(...what)));
  }

  async come(port) {
    const each = Math.ceil(this.clients / this.processes);
    for (let from = 0; from < this.clients; from += each) this.parts.push(new Part([port, from, Math.min(each, this.clients - from), this.rate / this.processes]));
    await this.all("come");
    await this.settle(0);
  }

  begin() {
    return this.all("begin");
  }

  /* All are silent, and nobody was disconnected more than `times` since the last time. How many things that were said since the last time nobody has answered. */
  async settle(times) {
    await this.all("here");
    const some = await this.all("settle");
    const ends = await this.all("ends");
    const sum = (list, of) => list.reduce((all, one) => all + of(one), 0);
    assert.deepEqual(some.flatMap((one) => one.some), [], `${sum(some, ({ wrong }) => wrong)} times something was wrong`);
    const reasons = {};
    for (const part of ends) for (const [reason, count] of Object.entries(part.reasons)) reasons[reason] = (reasons[reason] ?? 0) + count;
    const most = Math.max(...ends.map((part) => part.most));
    assert.ok(most <= times, `somebody was disconnected ${most} times, ${JSON.stringify(reasons)}`);
    const said = sum(some, (one) => one.said);
    const lost = said - sum(some, (one) => one.heard) - this.lost;
    this.lost += lost;
    return { said, lost, reasons, ids: sum(ends, ({ ids }) => ids), recovered: sum(ends, ({ recovered }) => recovered) };
  }

  /* The process that has most of them, as they knew when they were last asked. */
  async mostOf() {
    const counts = new Map();
    for (const pid of (await this.all("homes")).flat()) counts.set(pid, (counts.get(pid) ?? 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1])[0][0];
  }

  /* How long clients of other processes than this one wait for an answer, in milliseconds, sorted; asked for `ms`. */
  async others(pid, ms) {
    return (await this.all("others", pid, ms)).flat().sort((a, b) => a - b);
  }

  async end() {
    const ends = this.parts.filter(({ child }) => child.exitCode === null && child.signalCode === null).map(({ child }) => new Promise((done) => child.once("exit", done)));
    for (const { child } of this.parts) if (child.connected) child.disconnect();
    this.parts = [];
    await Promise.all(ends);
  }
}
