// Some of a crowd of Socket.IO clients that talk all the time (link_crowd.mjs), in a process of their own: whoever watches the broker is not kept waiting
// by them. Told over IPC what to do: [id, what, ...values]; says [id, result] or [id, null, why].
import { setTimeout as delay } from "node:timers/promises";
import { io as connectClient } from "socket.io-client";
import { until, within } from "./util.mjs";

const [port, from, count, rate] = process.argv.slice(2).map(Number);
const TICK_MS = 20;
const TOGETHER = 50; // clients that come at once
const PATIENCE_MS = 120000;
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

class Client {
  constructor(i) {
    Object.assign(this, { name: `client ${i}`, said: 0, heard: 0, last: -1, wrong: [], ends: [], ids: new Set(), recovered: 0, ticks: new Map(), home: 0 });
    this.socket = connectClient(`http://127.0.0.1:${port}`, { transports: TRANSPORTS[i % 3], forceNew: true, timeout: 60000 });
    this.socket.on("connect", () => {
      this.ids.add(this.socket.id);
      this.recovered += this.socket.recovered;
    });
    this.socket.on("disconnect", (reason) => this.ends.push(reason));
    this.socket.on("down", (n) => this.hears("what it said", this.last, n, () => (this.heard++, (this.last = n))));
    this.socket.on("tick", (pid, n) => this.hears(`a tick of ${pid}`, this.ticks.get(pid) ?? -1, n, () => this.ticks.set(pid, n)));
  }

  hears(what, last, n, then) {
    if (n <= last) this.wrong.push(`${what}: ${n} behind ${last}`);
    else then();
  }

  comes() {
    return until(`${this.name} is there`, () => this.socket.connected, { timeout: PATIENCE_MS, every: 50 });
  }

  say() {
    this.socket.emit("up", this.said++);
  }

  /* Its application has answered all that it has said before. */
  async sync() {
    this.home = await within(PATIENCE_MS, new Promise((done) => this.socket.emit("sync", done)), `${this.name} is answered`);
  }
}

const clients = [];
const sum = (of) => clients.reduce((all, client) => all + of(client), 0);
let timer;
let next = 0;

const ACTS = {
  async come() {
    while (clients.length < count) {
      const some = Array.from({ length: Math.min(TOGETHER, count - clients.length) }, (_, i) => new Client(from + clients.length + i));
      await Promise.all(some.map((client) => client.comes()));
      clients.push(...some);
    }
  },

  /* Everybody talks: so many events a second, one client after the other. */
  begin() {
    let due = 0;
    let before = performance.now();
    timer = setInterval(() => {
      const now = performance.now();
      for (due += (Math.min(now - before, 1000) * rate) / 1000; due >= 1; due--) clients[next++ % clients.length].say();
      before = now;
    }, TICK_MS);
  },

  /* Everybody is silent, and has heard what there is to hear. */
  async settle() {
    clearInterval(timer);
    await Promise.all(clients.map((client) => client.sync()));
    const wrong = clients.flatMap((client) => client.wrong.splice(0).map((text) => `${client.name}: ${text}`));
    return { said: sum(({ said }) => said), heard: sum(({ heard }) => heard), wrong: wrong.length, some: wrong.slice(0, 20) };
  },

  /* All are connected (again). */
  async here() {
    await Promise.all(clients.map((client) => client.comes()));
  },

  /* How often which reason for a disconnect was told, and to one of them at the most; what they became. */
  ends() {
    const reasons = {};
    for (const { ends } of clients) for (const reason of ends) reasons[reason] = (reasons[reason] ?? 0) + 1;
    const most = clients.reduce((all, { ends }) => Math.max(all, ends.length), 0);
    const told = { reasons, most, ids: sum(({ ids }) => ids.size), recovered: sum(({ recovered }) => recovered) };
    for (const client of clients) Object.assign(client, { ends: [], recovered: 0, ids: new Set([client.socket.id]) });
    return told;
  },

  /* How long those wait who are not of this process, one after the other for so long: in milliseconds, sorted. */
  async others(pid, ms) {
    const those = clients.filter(({ home }) => home !== pid);
    const waits = [];
    for (const end = performance.now() + ms; performance.now() < end; await delay(10)) {
      const client = those[waits.length % those.length];
      const begun = performance.now();
      await client.sync();
      waits.push(performance.now() - begun);
    }
    return waits;
  },

  homes: () => clients.map(({ home }) => home),

  leave() {
    clearInterval(timer);
    for (const { socket } of clients) socket.disconnect();
  },
};

process.on("message", async ([id, what, ...values]) => {
  try {
    process.send([id, (await ACTS[what](...values)) ?? null]);
  } catch (error) {
    process.send([id, null, error.stack]);
  }
});
process.on("disconnect", () => process.exit());
