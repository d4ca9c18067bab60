// Everything behind an application's clients goes and comes again while they talk: the application (kill -9, SIGTERM, stopped, three of them deployed
// one after the other), workers, the relay, the network between (in a namespace of its own, where that may be had). Nobody is disconnected, nothing comes twice or out of order; what is lost was in a process that was
// killed, and is counted.
// Environment: RINGCAST_BIN_DIR, LINK_CLIENTS (5000), LINK_WORKERS (4), LINK_RATE (2000 a second, each way), LINK_TIMES (5, of each death),
// LINK_STOP_SECONDS (30), LINK_SILENT_SECONDS (70: longer than ringcast waits for a link that says nothing), LINK_STORIES (a part of their names), STRESS_SEED.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { io as connectClient } from "socket.io-client";
import { startBroker } from "../e2e/lib/broker.mjs";
import { killWorker } from "../e2e/lib/crowd.mjs";
import { Application, linkConfig } from "../e2e/lib/link.mjs";
import { NO_NETWORK, UNSHARE } from "../e2e/lib/network.mjs";
import { SEED, random, until, within } from "../e2e/lib/util.mjs";

// Rules of a packet filter, and sockets that are destroyed, are nobody else's business.
if (!NO_NETWORK && !process.env.LINK_INSIDE) {
  const { status } = spawnSync(UNSHARE[0], [...UNSHARE.slice(1), "bash", "-c", "ip link set lo up && exec \"$@\"", "bash", ...process.argv], { stdio: "inherit", env: { ...process.env, LINK_INSIDE: "1" } });
  process.exit(status ?? 1);
}

const number = (name, or) => Number(process.env[name] ?? or);
const CLIENTS = number("LINK_CLIENTS", 5000);
const WORKERS = number("LINK_WORKERS", 4);
const RATE = number("LINK_RATE", 2000);
const TIMES = number("LINK_TIMES", 5);
const STOP_MS = number("LINK_STOP_SECONDS", 30) * 1000;
const SILENT_MS = number("LINK_SILENT_SECONDS", 70) * 1000;
const STORIES = process.env.LINK_STORIES ?? "";
const TICK_MS = 20;
const ALL_TICK_MS = 500; // how often everybody is told something, by one process or another
const TOGETHER = 100; // clients that come at once
const LOST_MS = 1000; // of all that is said: what may be lost with a process that is killed
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

function setup({ io, state }) {
  Object.assign(state, { connections: 0, recovered: 0 });
  io.on("connection", (socket) => {
    state.connections++;
    state.recovered += socket.recovered;
    if (!socket.recovered) socket.join("all");
    socket.on("up", (n) => socket.emit("down", n));
    socket.on("sync", (answer) => answer(process.pid));
  });
  let tick = 0;
  setInterval(() => io.to("all").emit("tick", process.pid, tick++), Number(process.env.LINK_TICK_MS));
  process.on("SIGTERM", () => io.close().then(() => process.exit()));
}

class Client {
  constructor(port, i) {
    Object.assign(this, { name: `client ${i}`, said: 0, heard: 0, last: -1, wrong: [], ticks: new Map() });
    this.socket = connectClient(`http://127.0.0.1:${port}`, { transports: TRANSPORTS[i % 3], forceNew: true, timeout: 60000 });
    this.socket.on("disconnect", (reason) => this.wrong.push(`disconnect: ${reason}`));
    this.socket.on("down", (n) => this.hears("what it said", this.last, n, () => (this.heard++, (this.last = n))));
    this.socket.on("tick", (pid, n) => this.hears(`a tick of ${pid}`, this.ticks.get(pid) ?? -1, n, () => this.ticks.set(pid, n)));
  }

  hears(what, last, n, then) {
    if (n <= last) this.wrong.push(`${what}: ${n} behind ${last}`);
    else then();
  }

  comes() {
    return within(120000, new Promise((done) => (this.socket.connected ? done() : this.socket.once("connect", done))), `${this.name} comes`);
  }

  say() {
    this.socket.emit("up", this.said++);
  }

  sync() {
    return within(120000, new Promise((done) => this.socket.emit("sync", done)), `${this.name} is answered`);
  }
}

/* All clients, who talk all the time: so many events a second, one after the other. */
class Crowd {
  async comes(port) {
    this.clients = [];
    while (this.clients.length < CLIENTS) {
      const some = Array.from({ length: Math.min(TOGETHER, CLIENTS - this.clients.length) }, (_, i) => new Client(port, this.clients.length + i));
      await Promise.all(some.map((client) => client.comes()));
      this.clients.push(...some);
    }
    this.next = 0;
    this.lost = 0;
  }

  begins() {
    let due = 0;
    let before = performance.now();
    this.timer = setInterval(() => {
      const now = performance.now();
      for (due += (Math.min(now - before, 1000) * RATE) / 1000; due >= 1; due--) this.clients[this.next++ % this.clients.length].say();
      before = now;
    }, TICK_MS);
  }

  /* Everybody is silent, and has heard what there is to hear. How many things that were said since the last time nobody has answered. */
  async settles() {
    clearInterval(this.timer);
    await Promise.all(this.clients.map((client) => client.sync()));
    const sum = (name) => this.clients.reduce((all, client) => all + client[name], 0);
    const lost = sum("said") - sum("heard") - this.lost;
    this.lost += lost;
    const wrong = this.clients.flatMap((client) => client.wrong.map((text) => `${client.name}: ${text}`));
    assert.deepEqual(wrong.slice(0, 20), [], `${wrong.length} times something was wrong`);
    return { said: sum("said"), lost };
  }

  ends() {
    clearInterval(this.timer);
    for (const { socket } of this.clients ?? []) socket.disconnect();
  }
}

const residentOf = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;
const rowsOf = async (broker) => (await broker.status()).processes;
const workerBytes = async (broker) => (await rowsOf(broker)).filter(({ process: name }) => name.startsWith("worker")).reduce((sum, { pid }) => sum + residentOf(pid), 0);

const filter = (how, port) => ["--dport", "--sport"].forEach((side) => execFileSync("iptables", [how, "INPUT", "-i", "lo", "-p", "tcp", side, String(port), "-j", "DROP"]));
const NETWORK = [
  ["the network resets the links", TIMES, 0, async ({ apps: [app] }) => {
    execFileSync("ss", ["-K", "state", "established", "sport", "=", `:${app.port}`], { stdio: "ignore" });
    await app.isLinked(WORKERS);
  }],
  ["the network carries nothing", 1, 0, async ({ broker, apps: [app] }) => {
    const before = await workerBytes(broker);
    filter("-I", app.port);
    try {
      await delay(SILENT_MS);
    } finally {
      filter("-D", app.port);
    }
    const more = (await workerBytes(broker)) - before;
    console.log(`   workers have ${(more / 2 ** 20).toFixed(1)} MiB more after ${SILENT_MS / 1000} s`);
    assert.ok(more < WORKERS * 64 * 2 ** 20, "what waits is bounded");
    await app.isLinked(WORKERS);
  }],
];

/* What dies, how often, and how much may be lost each time. */
const STORIES_ONE = [
  ["kill -9 of the application", TIMES, (RATE * LOST_MS) / 1000, async ({ apps: [app] }) => {
    await app.kill();
    await delay(300);
    await app.start();
    await app.isLinked(WORKERS);
  }],
  ["SIGTERM of the application", TIMES, 0, async ({ apps: [app] }) => {
    assert.deepEqual(await app.kill("SIGTERM"), { code: 0, signal: null });
    await app.start();
    await app.isLinked(WORKERS);
  }],
  ["a worker killed, once a second", TIMES, CLIENTS / 10 + 20, async ({ broker, chance }) => {
    await killWorker(broker, chance.below(WORKERS));
    await delay(1000);
  }],
  ["the relay killed", TIMES, 0, async ({ broker }) => {
    const row = async () => (await rowsOf(broker)).find(({ process: name }) => name === "relay");
    const { pid } = await row();
    process.kill(pid, "SIGKILL");
    await until("another relay is there", async () => {
      const now = await row();
      return now.pid !== pid && now.state === "ready";
    });
  }],
  ["the application stands still", 1, 0, async ({ broker, apps: [app] }) => {
    const before = await workerBytes(broker);
    app.child.kill("SIGSTOP");
    await delay(STOP_MS);
    const more = (await workerBytes(broker)) - before;
    app.child.kill("SIGCONT");
    console.log(`   workers have ${(more / 2 ** 20).toFixed(1)} MiB more after ${STOP_MS / 1000} s`);
    assert.ok(more < WORKERS * 64 * 2 ** 20, "what waits is bounded");
  }],
  ...(NO_NETWORK ? [] : NETWORK),
];
const STORIES_THREE = [
  ["three applications deployed one after the other", TIMES, 0, async ({ apps }) => {
    for (const app of apps) {
      assert.deepEqual(await app.kill("SIGTERM"), { code: 0, signal: null });
      await app.start();
      await app.isLinked(WORKERS);
    }
  }],
  ["kill -9 of one of three applications", TIMES, (RATE * LOST_MS) / 1000, async ({ apps }) => {
    const counts = await Promise.all(apps.map((app) => app.call(({ io }) => io.engine.clientsCount)));
    const app = apps[counts.indexOf(Math.max(...counts))]; // who was deployed last has none
    await app.kill();
    await delay(300);
    await app.start();
    await app.isLinked(WORKERS);
  }],
];

async function tell(count, stories) {
  const wanted = stories.filter(([name]) => name.includes(STORIES));
  if (wanted.length === 0) return;
  const apps = Array.from({ length: count }, () => new Application({ setup, options: { connectionStateRecovery: {} }, env: { LINK_TICK_MS: String(ALL_TICK_MS * count) } }));
  const chance = random(SEED);
  for (const app of apps) await app.start();
  const broker = await startBroker({ workers: WORKERS, config: { ...linkConfig(apps, {}, { grace: "60s" }), "log.level": "info" } });
  const crowd = new Crowd();
  try {
    for (const app of apps) await app.isLinked(WORKERS);
    await crowd.comes(broker.port);
    for (const [name, times, most, dies] of wanted) {
      crowd.begins();
      for (let i = 0; i < times; i++) {
        await delay(1000);
        await dies({ broker, apps, chance });
      }
      const { said, lost } = await crowd.settles();
      const metrics = await broker.metrics();
      const of = (what) => metrics(`ringcast_link_${what}_total`);
      console.log(`${name}: ${times} times, ${CLIENTS} clients, ${said} events so far, ${lost} lost, 0 disconnected, 0 doubled; resumed ${of("resumed")}, continued ${of("continued")}, unread ${of("unread")}, held ${of("held")}`);
      assert.ok(lost >= 0 && lost <= most * times, `${lost} were lost, at most ${most * times} may be`);
    }
    crowd.ends();
    await broker.stop();
  } catch (error) {
    console.error(broker.log.slice(-60).join("\n"));
    for (const { output } of apps) console.error(output.slice(-2000));
    throw error;
  } finally {
    crowd.ends();
    await broker.destroy();
    for (const app of apps) await app.stop();
  }
}

console.log(`${CLIENTS} clients, ${WORKERS} workers, ${RATE} events a second each way, seed ${SEED}`);
if (NO_NETWORK) console.log(`not cut: the network (${NO_NETWORK})`);
await tell(1, STORIES_ONE);
await tell(3, STORIES_THREE);
