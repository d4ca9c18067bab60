// Recovery of Socket.IO's own clients over three brokers and one Redis: members that lose their connections at random and come back on any of the
// brokers, while workers, relays and Redis itself are killed in turn. Native clients publish into their rooms on all brokers. Asserted, message by message:
// what each member hears of each publisher in each room is complete, in order and once, but where it was told otherwise: by `gap`, or by a
// connection that is somebody new. A publisher that lost its connection without an answer does not know whether that message went.
// Environment: RINGCAST_BIN_DIR, STRESS_SECONDS, RECOVER_CLIENTS (60), RECOVER_REDIS and RECOVER_KILL as of recover_cluster.mjs, RECOVER_SHARED: histories are shared.
import assert from "node:assert/strict";
import { Member, ROWS } from "../e2e/lib/recovery.mjs";
import { connect } from "../e2e/lib/client.mjs";
import { startBrokers } from "../e2e/lib/redis.mjs";
import { REDIS_TROUBLES, killAllInTurn, overseen } from "../e2e/lib/recover.mjs";
import { SEED, delay, random, until } from "../e2e/lib/util.mjs";

const WORKERS = 2;
const AWAY_MS = 3000;
const TOLD_MS = 5000; // a gap is told when all that was lost is subscribed to again: what comes of the first channels is before it
const ROOMS = Array.from({ length: 12 }, (_, i) => `room-${i}`);
const clients = Number(process.env.RECOVER_CLIENTS ?? 60);
const seconds = Math.max(5, Number(process.env.STRESS_SECONDS ?? 600) - 30);
const draw = random(SEED);
const run = { running: true };

/* Of one broker, into all rooms in turn. `unsure`: by line the numbers that may have gone, or not; `last`: the one that went last. */
class Publisher {
  constructor(broker, name) {
    Object.assign(this, { broker, name, unsure: new Map(), last: new Map() });
  }

  async publish() {
    let client = null;
    for (let n = 1; run.running; n++) {
      for (const room of ROOMS) {
        const line = `${this.name} in ${room}`;
        try {
          client ??= await connect(`ws://${this.broker.host}/ws`);
          await client.publish(room, [line, n]);
          this.last.set(line, n);
        } catch (error) {
          if (!this.unsure.has(line)) this.unsure.set(line, new Set());
          this.unsure.get(line).add(n);
          client?.terminate();
          client = null;
          await delay(20);
        }
      }
      await delay(5);
    }
    client?.terminate();
  }
}

class Roaming extends Member {
  constructor(brokers, publishers, rooms, transports) {
    super({ host: brokers[0].host, path: "/socket.io/" }, { transports, autoConnect: false });
    Object.assign(this, { brokers, publishers, rooms, places: new Map(), hosts: [], lacks: [], counts: { recovered: 0, fresh: 0, gaps: 0, messages: 0 } });
    this.socket.on("connect", () => {
      if (this.socket.recovered) this.counts.recovered++;
      else this.somebodyNew();
    });
  }

  somebodyNew() {
    this.counts.fresh++;
    this.places.clear();
    this.lacks = [];
    this.joined = false;
  }

  take(event, args) {
    assert.ok(!this.lacks.some(({ by }) => by < performance.now()), this.lacks[0]?.why);
    if (event === "gap") {
      this.counts.gaps++;
      this.lastGap = `${new Date().toISOString()} ${JSON.stringify(args)}`;
      const told = (line) => !args[0]?.channel || line.endsWith(` in ${args[0].channel}`);
      for (const line of this.places.keys()) if (told(line)) this.places.delete(line);
      this.lacks = this.lacks.filter(({ line }) => !told(line));
    } else if (event === "message") {
      const [line, n] = args[0];
      const before = this.places.get(line);
      const unsure = this.publishers.get(line.split(" ")[0]).unsure.get(line);
      if (before !== undefined) {
        assert.ok(n > before, `${line}: ${n} behind ${before}`);
        for (let missing = before + 1; missing < n; missing++) if (!unsure?.has(missing)) this.lacks.push({ line, by: performance.now() + TOLD_MS, why: `${line}: ${missing} is missing between ${before} and ${n} at ${new Date().toISOString()}; ${this.where()}` });
      }
      this.places.set(line, n);
      this.counts.messages++;
    }
  }

  /* For who looks for what was missed. */
  where() {
    return `${this.socket.id}, recovered ${this.socket.recovered}, its hosts ${JSON.stringify(this.hosts.slice(-3))}, last gap ${this.lastGap}`;
  }

  /* It comes back on any broker, and is in its rooms. */
  async comes() {
    const broker = this.brokers[Math.floor(draw() * this.brokers.length)];
    this.socket.io.uri = `http://${broker.host}/`;
    Object.assign(this.socket.io.opts, { hostname: undefined, port: undefined });
    this.hosts.push([new Date().toISOString(), broker.config["server.instance_id"]]);
    const before = this.connects.length;
    for (let tries = 0; this.connects.length === before; tries++) {
      assert.ok(tries < 200, "it connects");
      if (!this.socket.active || this.socket.disconnected) this.socket.connect();
      await until("connected", () => this.connects.length > before || !this.socket.active, { timeout: 10000 }).catch(() => {});
      if (this.connects.length === before) await delay(50);
    }
    while (!this.joined && this.socket.connected) {
      const all = await Promise.all(this.rooms.map((room) => this.socket.timeout(8000).emitWithAck("join", room))).catch(() => null);
      this.joined = all !== null && this.socket.connected;
    }
  }

  async roams() {
    while (run.running) {
      await this.comes();
      await Promise.race([delay(draw() * AWAY_MS), run.over]);
      if (this.socket.connected) this.socket.io.engine.close();
      await until("it is away", () => !this.socket.connected);
      await Promise.race([delay(draw() * AWAY_MS), run.over]);
    }
    await this.comes();
  }
}

const redis = await REDIS_TROUBLES[process.env.RECOVER_REDIS ?? "restart"]();
const brokers = [];
await overseen(brokers, [redis], async () => {
  const space = process.env.RECOVER_SHARED ? { namespace: [{ name: "default", history: 2000 }], "redis.history_wait": "60s" } : {};
  brokers.push(...await startBrokers(3, redis.url, { workers: WORKERS, config: { "socketio.path": "/socket.io/", "socketio.recovery": "1m", "redis.outbox_max_age": "120s", event: ROWS, ...space } }));
  const publishers = new Map(brokers.map((broker, i) => [`p${i}`, new Publisher(broker, `p${i}`)]));
  run.over = new Promise((done) => (run.end = done));
  const members = Array.from({ length: clients }, (_, i) => new Roaming(brokers, publishers, [0, 1, 2].map((k) => ROOMS[(i + k * 5) % ROOMS.length]), [i % 4 === 3 ? "polling" : "websocket"]));
  let failure = null;
  process.on("uncaughtException", (error) => (failure ??= error)); // what a member hears is looked at where it comes
  const talk = [...publishers.values()].map((publisher) => publisher.publish());
  const lives = Promise.all(members.map((member) => member.roams()));
  lives.catch((error) => (failure ??= error));
  const kill = killAllInTurn(brokers, WORKERS, redis, process.env.RECOVER_KILL);
  const end = performance.now() + seconds * 1000;
  for (let round = 0; failure === null && performance.now() < end; round++) {
    await delay(2500);
    await kill(round);
  }
  run.running = false;
  run.end();
  if (failure) throw failure;
  await Promise.all(talk);
  await lives;
  for (const member of members) await until("it is told what it lacks", () => member.lacks.length === 0, { timeout: 2 * TOLD_MS }).catch(() => assert.fail(member.lacks[0].why));
  const sum = (name) => members.reduce((total, { counts }) => total + counts[name], 0);
  console.log(`recover_socketio: RINGCAST_SEED=${SEED} ${JSON.stringify(Object.fromEntries(["recovered", "fresh", "gaps", "messages"].map((name) => [name, sum(name)])))}`);
  for (const member of members) member.close();
  if (failure) throw failure;
  assert.ok(sum("recovered") > clients && sum("messages") > 0);
}).catch((error) => {
  console.error(error);
  process.exit(1);
});
process.exit(0);
