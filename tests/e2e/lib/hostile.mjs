// Hostile clients of Engine.IO and Socket.IO over TCP, and hostile servers beside them over Redis: packets, payloads, polls, session ids,
// probes, msgpack and adapters' messages that are wrong in some way, many at a time, beside clients that must not notice. Repeatable by its
// seed but for the order in which connections are served.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { io } from "socket.io-client";
import { OP, connectRaw, frame, upgradeRequest } from "./raw.mjs";
import { ROOT, SEED, delay, random, until, within } from "./util.mjs";

export const PATH = "/socket.io/";
/* Where clients are that must not notice: what servers say to everybody in the others is what it is. */
const QUIET = "/good";
export const rows = [
  { on: "echo", emit: [{ event: "echo", args: ["{args}"] }], ack: ["{args}"] },
  { on: "echo", nsp: QUIET, emit: [{ event: "echo", args: ["{args}"] }], ack: ["{args}"] },
  { on: "join", join: ["{args.0}"], ack: [] },
  { on: "say", emit: [{ to: "{args.0}", event: "said", args: ["{args.1..}"] }] },
];
const SEPARATOR = "\x1e";
const LANES = 12;
const PATIENCE_MS = 30000;

/* What nearly is a packet, and what is one. */
const SEEDS = [
  "40", "40/admin,", '40{"a":1}', "40/x?y=1,", "41", "41/admin,", '42["echo",1]', '4212["echo",{"a":[1,"é"]}]', '42["join","r"]', '42["say","r",1]',
  "43", '4312["x"]', '451-["echo",{"_placeholder":true,"num":0}]', '4510-["echo"]', '461-3[{"_placeholder":true,"num":0}]', "2", "3", "5", "6", "1",
  "2probe", "3probe", '44{"message":"no"}', '42{"a":1}', "42[]", '42["connect"]', "42[1,2]", '42["echo",{"_placeholder":true,"num":7}]', "bAQID", "b====", "0{}", "",
  "4", "42", '42["', '42["echo",', `42["echo",${"[".repeat(200)}`, '42["\\ud800"]', '429007199254740993["echo"]', '40{"__proto__":1}', '42["toString"]',
];
const MSGPACK = [
  "84a474797065 00a36e7370a12fa46461746180", "83a4747970 6502a36e7370a12fa46461746192a46563686f01", "83a47479706502a36e7370a12fa464617461dcffff", "c1", "df ffffffff", "dd7fffffff",
  "83a47479706500a36e7370a12fa2696401", "81a474797065cbfff8000000000000", "83a4747970 65d9ff",
].map((hex) => Buffer.from(hex.replaceAll(" ", ""), "hex"));

function mutated(next, bytes) {
  const out = Buffer.from(bytes);
  for (let i = next.below(3); i > 0 && out.length > 0; i--) out[next.below(out.length)] = next.below(256);
  const cut = next.below(6) === 0 ? next.below(out.length + 1) : out.length;
  return next.below(12) === 0 ? Buffer.concat([out.subarray(0, cut), out]) : out.subarray(0, cut);
}

const packet = (next) => mutated(next, Buffer.from(next.pick(SEEDS)));
const binary = (next) => (next.below(3) === 0 ? Buffer.from(Array.from({ length: next.below(64) }, () => next.below(256))) : mutated(next, next.pick(MSGPACK)));

class Lane {
  constructor(port, count, next, did) {
    Object.assign(this, { to: { host: "127.0.0.1", port }, left: count, next, did });
  }

  took(kind, number = 1) {
    this.left -= number;
    this.did.inputs += number;
    this.did.kinds[kind] = (this.did.kinds[kind] ?? 0) + number;
  }

  async connect() {
    if (!this.raw || this.raw.ended) this.raw = await connectRaw(this.to);
    return this.raw;
  }

  leave() {
    this.raw?.end();
    this.raw = undefined;
  }

  /* A request's answer; undefined: the connection ended instead. Who never polls and is sent much has his POST of several packets held until the
   * session ends by a ping that is not answered, after 20.2 s. */
  async ask(text, body = Buffer.alloc(0)) {
    const raw = await this.connect();
    raw.write(Buffer.concat([Buffer.from(`${text} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`), body]));
    const answer = await raw.response({ timeout: PATIENCE_MS }).catch((error) => {
      if (!raw.ended) throw error;
      return undefined;
    });
    this.did.answers += answer !== undefined;
    if (!answer || answer.headers.connection === "close") this.leave();
    return answer;
  }

  async session() {
    const answer = await this.ask(`GET ${PATH}?EIO=4&transport=polling`);
    assert.equal(answer?.status, 200, "a session begins");
    return JSON.parse(answer.body.slice(1)).sid;
  }

  /* POSTs until the session has ended by one, at most some. */
  async posts() {
    const { next } = this;
    const url = `${PATH}?EIO=4&transport=polling&sid=${await this.session()}`;
    if (next.below(3) > 0) await this.ask(`POST ${url}`, Buffer.from("40"));
    for (let i = next.below(6); i >= 0; i--) {
      const packets = Array.from({ length: 1 + next.below(4) }, () => packet(next));
      this.took("packets in payloads", packets.length);
      const body = Buffer.concat(packets.flatMap((one, at) => (at === 0 ? [one] : [Buffer.from(SEPARATOR), one])));
      const answer = await this.ask(`POST ${url}`, body);
      if (answer?.status !== 200) break; // what has closed it, or only the request
    }
    await this.ask(`POST ${url}`, Buffer.from("1"));
  }

  /* Session ids, methods, queries and overlaps that are wrong. */
  async polls() {
    const { next } = this;
    const sid = await this.session();
    const sids = [sid.slice(0, -1), `${sid}x`, sid.toLowerCase(), `${sid.slice(0, 5)}${"A".repeat(15)}`, `${sid.slice(0, 7)}____________A`, "__proto__", "%00", "%zz", "é"];
    for (let i = 0; i < 4; i++) {
      this.took("polls and session ids");
      const query = next.pick([`EIO=4&transport=polling&sid=${next.pick(sids)}`, `EIO=3&transport=polling&sid=${sid}`, `EIO=4&transport=websocket&sid=${sid}`, "EIO=4", `EIO=4&transport=polling&sid=${sid}&sid=x`]);
      await this.ask(`${next.pick(["GET", "POST", "PUT", "OPTIONS"])} ${PATH}?${query}`);
    }
    const url = `${PATH}?EIO=4&transport=polling&sid=${sid}`;
    const other = await connectRaw(this.to); // two GETs at once, one of them given up
    other.write(`GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`);
    this.took("overlapping polls", 2);
    if (next.below(2) === 0) await this.ask(`POST ${url}`, packet(next));
    await this.ask(`POST ${url}`, Buffer.from("1")); // or it would be there until a ping is not answered
    other.end();
  }

  /* A WebSocket, of a new session or as the probe of one, that says anything. */
  async socket() {
    const { next } = this;
    const sid = next.below(2) === 0 ? `&sid=${await this.session()}` : "";
    this.leave();
    const raw = await this.connect();
    raw.write(upgradeRequest(`${PATH}?EIO=4&transport=websocket${sid}`));
    const answer = await raw.response({ timeout: PATIENCE_MS });
    this.did.answers++;
    if (sid !== "" && answer.status === 400) return this.leave(); // its time was up before it came: connect_timeout
    assert.equal(answer.status, 101);
    const frames = [];
    if (sid !== "" && next.below(2) === 0) frames.push(frame({ payload: "2probe" }), ...(next.below(2) === 0 ? [frame({ payload: "5" })] : []));
    if (next.below(3) > 0) frames.push(next.below(3) === 0 ? frame({ opcode: OP.BINARY, payload: MSGPACK[0] }) : frame({ payload: "40" }));
    for (let count = 1 + next.below(8); count > 0; count--) {
      const packed = next.below(3) === 0;
      this.took(`${packed ? "binary and msgpack" : "packets"} in ${sid === "" ? "WebSockets" : "probes"}`);
      frames.push(packed ? frame({ opcode: OP.BINARY, payload: binary(next) }) : frame({ payload: packet(next) }));
    }
    raw.write(Buffer.concat(frames));
    raw.write(frame({ payload: '42["' })); // ends it, if nothing has
    const told = () => raw.frame(PATIENCE_MS).catch((error) => {
      if (!raw.ended) throw error;
      return undefined;
    });
    for (let got = await told(); got && got.opcode !== OP.CLOSE; ) got = await told();
    this.leave();
  }

  async run() {
    while (this.left > 0) await this.next.pick([() => this.posts(), () => this.polls(), () => this.socket()])();
    this.leave();
  }
}

/* --- servers and backends beside it ---------------------------------------------------------------------------------------- */

const corpus = (name) => readdirSync(`${ROOT}tests/fuzz/${name}/corpus`).map((file) => readFileSync(`${ROOT}tests/fuzz/${name}/corpus/${file}`));

/* By adapter: how a message of each kind is sent, and what it nearly is. */
const FOREIGN = {
  classic: [["classic broadcasts", ["PUBLISH", "socket.io#/#"], "socketio_adapter"], ["classic broadcasts", ["PUBLISH", "socket.io#/#r#"], "socketio_adapter"], ["classic requests", ["PUBLISH", "socket.io-request#/#"], "socketio_adapter"]],
  sharded: [["sharded messages", ["SPUBLISH", "socket.io#/#"], "socketio_cluster"], ["sharded messages", ["SPUBLISH", "socket.io#/#r#"], "socketio_cluster"]],
  streams: [["streams' messages", ["PUBLISH", "socket.io#/#"], "socketio_cluster"], ["streams' entries", ["XADD", "socket.io", "MAXLEN", "~", "100", "*", "uid", "u", "nsp", "/", "type"], "socketio_cluster"]],
};
const BACKENDS = [["python-socketio", ["PUBLISH", "socketio"], "python_socketio"], ["messages", ["PUBLISH", "ws:channel:r"], "envelope"], ["messages", ["PUBLISH", "ws:broadcast"], "envelope"], ["notifications", ["PUBLISH", "websocket:notifications"], "notifications"]];
const AT_ONCE = 200;

class ForeignLane {
  constructor(redis, adapter, count, next, did) {
    Object.assign(this, { redis, left: count, next, did });
    this.kinds = [...FOREIGN[adapter], ...BACKENDS].map(([kind, command, name]) => ({ kind, command, seeds: corpus(name) }));
  }

  async run() {
    const client = await this.redis.connect();
    while (this.left > 0) {
      const answers = [];
      for (let i = 0; i < AT_ONCE && this.left > 0; i++) {
        const { kind, command, seeds } = this.next.pick(this.kinds);
        const bytes = mutated(this.next, this.next.pick(seeds));
        const type = command[0] === "XADD" ? [String(this.next.below(16)), "data"] : [];
        answers.push(client.command(...command, ...type, bytes));
        Lane.prototype.took.call(this, kind);
      }
      await Promise.all(answers);
    }
    client.end();
  }
}

/* Clients that are served meanwhile: each emits again a moment after it was answered, until it is told to stop. At once they would be
 * most of what broker and test have to do. */
const GOOD_EVERY_MS = 10;
class Good {
  constructor(port, transports) {
    this.answered = 0;
    this.begun = performance.now();
    this.faults = [];
    this.socket = io(`http://127.0.0.1:${port}${QUIET}`, { transports, forceNew: true, reconnection: false, timeout: 60000 });
    // With what its library knows of it, for whoever looks for the cause: the answer of the request that failed, and how long it was there.
    this.socket.on("disconnect", (reason, { description, context } = {}) => this.ending || this.faults.push([
      `${transports}: disconnected: ${reason}`, description?.message ?? description, context?.status, context?.responseText, `${this.answered} answers`, `${Math.round(performance.now() - this.begun)} ms`].join(", ")));
    this.socket.on("connect_error", (error) => this.faults.push(error.message));
    this.socket.on("said", (...args) => this.faults.push(`it is in no room, and heard ${args}`));
  }

  connected() {
    return until("a good client connects", () => this.socket.connected || this.faults.length > 0, { timeout: 30000 });
  }

  async run() {
    while (!this.ending && this.faults.length === 0) {
      const n = this.answered + 1;
      const answer = await within(30000, new Promise((done) => this.socket.emit("echo", n, done)), "a good client's answer");
      if (answer !== n) this.faults.push(`${answer} in place of ${n}`);
      this.answered = n;
      await delay(GOOD_EVERY_MS);
    }
    this.socket.disconnect();
  }
}

const GAUGES = ["ringcast_sockets", "ws_connections_total", "ringcast_http_waiting", "ringcast_subscriptions", "ringcast_reply_bytes", "ringcast_input_bytes", "ringcast_log_bytes", "ringcast_api_bytes", "ringcast_pipes"];

async function holdings(broker) {
  const metrics = await broker.metrics();
  const rss = broker.pids().workers.reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) * 1024, 0);
  return { gauges: Object.fromEntries(GAUGES.map((name) => [name, metrics(name)])), rss };
}

/*
 * `inputs` of them against a broker: what was done. Fails if anybody else notices, or anything stays in use; memory may grow by `growth`.
 * With `redis` a third of them comes by it, as from servers with the broker's `adapter` and from backends.
 */
export async function hostile(broker, inputs, { growth, redis, adapter, seed = SEED, warm = 500 }) {
  const did = { inputs: 0, answers: 0, kinds: {} };
  const attack = (count, from) => {
    const foreign = redis ? Math.ceil(count / 3) : 0;
    const lanes = Array.from({ length: LANES }, (_, lane) => new Lane(broker.port, (count - foreign) / LANES, random(from + lane), did));
    if (redis) lanes.push(new ForeignLane(redis, adapter, foreign, random(from + LANES), did));
    return Promise.all(lanes.map((lane) => lane.run()));
  };
  await attack(warm, seed + 1000); // buffers have their sizes
  const before = await holdings(broker);
  const good = [["polling"], ["websocket"]].map((transports) => new Good(broker.port, transports));
  // Before it begins: they have no more time to connect than those that leave sessions half begun (CONFIG's connect_timeout), which a machine
  // with much else to do may need.
  for (const client of good) await client.connected();
  const served = Promise.all(good.map((client) => client.run()));
  await attack(inputs, seed);
  for (const client of good) client.ending = true;
  await served;
  assert.deepEqual(good.flatMap(({ faults }) => faults), []);
  const after = await until("everything is given back", async () => {
    const now = await holdings(broker);
    for (const name of GAUGES) assert.ok(now.gauges[name] <= before.gauges[name] || now.gauges[name] === 0, `${name} was ${before.gauges[name]}, is ${now.gauges[name]}`);
    assert.ok(now.rss <= before.rss + growth, `memory was ${before.rss}, is ${now.rss}`);
    return now;
  }, { timeout: 30000, every: 200 });
  return { ...did, served: good.map(({ answered }) => answered), grew: after.rss - before.rss };
}

/* Nothing of a client is kept for long: half-begun sessions end soon. */
export const CONFIG = {
  "socketio.path": PATH, "socketio.ping_interval": "200ms", "socketio.namespaces": ["/", "/admin", QUIET], "socketio.python_channel": "socketio", "socketio.connect_timeout": "1s", "socketio.upgrade_timeout": "1s", "limits.handshake_timeout": "5s",
  "limits.max_connections_per_address": 0, event: rows,
};
