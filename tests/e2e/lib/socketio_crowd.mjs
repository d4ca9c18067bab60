// Socket.IO clients that ask, echo and talk in a room while something happens to the broker: nothing that was acknowledged is lost, nothing
// comes twice or out of order. Who is disconnected comes back as somebody else, and is counted.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { until, within } from "./util.mjs";

export const CROWD_ROWS = [
  { on: "join", join: ["{args.0}"], ack: ["joined"] },
  { on: "echo", emit: [{ event: "echo", args: ["{args}"] }], ack: ["{args}"] },
  { on: "say", emit: [{ to: "{args.0}", others: true, event: "said", args: ["{args.1..}"] }], ack: ["{args.2}"] },
];
export const CROWD_SOCKETIO = { "socketio.path": "/socket.io/", "socketio.ping_interval": "5s", "socketio.ping_timeout": "60s", event: CROWD_ROWS };

const ROOM = "room";
let lives = 0;

/* One life of a member: from its connection to the end of that. */
class Life {
  constructor(url, options) {
    this.id = ++lives;
    this.room = [];
    this.socket = io(url, { forceNew: true, reconnection: false, timeout: 60000, ...options });
    this.sent = 0; // echoes
    this.acknowledged = 0;
    this.heard = 0;
    this.said = 0;
    this.saidAcknowledged = 0;
    this.others = new Map(); // life -> the last number heard of it
    this.faults = [];
    this.ended = new Promise((done) => this.socket.on("disconnect", (reason, details) => {
      const status = details?.context?.status; // of the request of polling that was its end; 0: it was not answered
      this.reason = status === undefined ? reason : `${reason} (HTTP ${status})`;
      done();
    }));
    this.socket.on("echo", (n) => n === ++this.heard || this.faults.push(`echo ${n} in place of ${this.heard}`));
    this.socket.on("said", (who, n) => {
      const last = this.others.get(who);
      if (last !== undefined && n !== last + 1) this.faults.push(`from ${who} came ${n} behind ${last}`);
      this.others.set(who, n);
    });
  }

  async begin() {
    await within(60000, new Promise((done, failed) => {
      this.socket.once("connect", done);
      this.socket.once("connect_error", failed);
    }), "a client connects");
    const joined = new Promise((done) => this.socket.emit("join", ROOM, done));
    await within(60000, Promise.race([joined, this.ended]), "a client joins");
  }

  /* One echo and one word to the others, until both are acknowledged, or it has ended. */
  async round() {
    const n = ++this.sent;
    const said = ++this.said;
    const echoed = new Promise((done) => this.socket.emit("echo", n, (answer) => {
      if (answer !== n || n !== ++this.acknowledged) this.faults.push(`the acknowledgement of ${n} was ${answer}`);
      done();
    }));
    const told = new Promise((done) => this.socket.emit("say", ROOM, this.id, said, (answer) => {
      if (answer !== said) this.faults.push(`the acknowledgement of word ${said} was ${answer}`);
      this.saidAcknowledged = said;
      done();
    }));
    await within(60000, Promise.race([Promise.all([echoed, told]), this.ended]), `round ${n} of client ${this.id} (${this.socket.io.engine?.transport.name})`);
  }
}

export class SocketioCrowd {
  /* `kinds`: options of socket.io-client, one for each member. */
  constructor(port, kinds) {
    Object.assign(this, { url: `http://127.0.0.1:${port}`, kinds, lives: [], rounds: 0, disconnects: [], ending: false });
  }

  async begin() {
    this.members = await Promise.all(this.kinds.map((options) => this.#come(options)));
    this.running = this.members.map((life, i) => this.#run(life, this.kinds[i]));
    for (const running of this.running) running.catch((error) => (this.error ??= error));
  }

  async #come(options) {
    for (;;) {
      const life = new Life(this.url, options);
      try {
        await life.begin();
      } catch (error) {
        if (!/xhr|websocket error|poll error|post error/.test(error.message)) throw error;
        this.disconnects.push(`while it connected: ${error.message}`);
        life.socket.disconnect();
        continue;
      }
      this.lives.push(life);
      if (!life.reason) return life;
      this.disconnects.push(life.reason);
    }
  }

  async #run(life, options) {
    while (!this.ending) {
      await life.round();
      this.rounds++;
      if (life.reason && !this.ending) {
        this.disconnects.push(life.reason);
        life = await this.#come(options);
      }
    }
  }

  async more(count) {
    const from = this.rounds;
    await until(`${count} more rounds`, () => this.rounds >= from + count || this.error, { timeout: 60000, every: 5 });
    if (this.error) throw this.error;
  }

  /* Ends it, and checks what everybody has heard. */
  async end() {
    this.ending = true;
    try {
      await Promise.all(this.running);
      const living = this.lives.filter((life) => !life.reason);
      const lacks = () => living.flatMap((life) => [
        ...(life.heard < life.sent ? [`${life.id} has heard ${life.heard} of ${life.sent} echoes`] : []),
        ...living.filter((other) => other !== life && other.said !== (life.others.get(other.id) ?? 0)).map((other) => `${life.id} has heard ${life.others.get(other.id)} of ${other.said} words of ${other.id}`),
      ]);
      await until("everybody has heard all", () => lacks().length === 0 || living.some((life) => life.reason), { timeout: 30000, every: 20 }).catch(() => {});
      assert.deepEqual(lacks().slice(0, 10), []);
      assert.deepEqual(this.lives.flatMap((life) => life.faults).slice(0, 10), []);
      // What was acknowledged to one that ended was heard by all who were there then, and still are.
      for (const gone of this.lives.filter((life) => life.reason)) {
        for (const life of living.filter((one) => one.others.has(gone.id))) {
          assert.ok(life.others.get(gone.id) >= gone.saidAcknowledged, `${life.id} has heard ${life.others.get(gone.id)} of ${gone.saidAcknowledged} acknowledged words of ${gone.id}`);
        }
      }
    } finally {
      for (const life of this.lives) life.socket.disconnect();
    }
  }
}
