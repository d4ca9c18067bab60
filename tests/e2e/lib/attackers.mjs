// Clients that want what is another tenant's (tenants.mjs), over every protocol: each takes a list of requests, sends them at once, and
// gives what became of each: "done", the code of its refusal, or "cut" when the connection ended before the answer. Whatever bytes come to
// them are looked through for canaries.
import { encode, encodeBatch } from "./binary.mjs";
import { SEPARATOR, openPolling, openSocket } from "./socketio.mjs";
import { CROWD, DIARY, FEED, PUSHER_PRIVATE, canaryOf } from "./tenants.mjs";
import { within } from "./util.mjs";

/*
 * A name as an attacker writes it: { json: how it stands in JSON, exact: the private name that this is, if it is one }.
 * The same name in other words is the same name; what only looks like it is another one.
 */
export const written = (name) => ({ json: JSON.stringify(name), exact: name });
const escaped = (name) => ({ json: `"${[...name].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")}"`, exact: name });
const slashed = (name) => ({ json: JSON.stringify(name).replaceAll("/", "\\/"), exact: name });
const other = (value) => ({ json: typeof value === "object" && value?.json ? value.json : JSON.stringify(value) });

const ALTERED = [
  (name) => other(name.toUpperCase() === name ? name.toLowerCase() : name.toUpperCase()),
  (name) => other(name.normalize("NFD").replace("o", "o\u0300")),
  (name) => other(name.replace("o", "\u00f2")),
  (name) => other([...name].map((c) => (c > "!" && c < "~" ? String.fromCharCode(c.charCodeAt(0) + 0xfee0) : c)).join("")), // full width
  (name) => other(name.replace("b", "\u200db")),
  (name) => other(`\ufeff${name}`),
  (name) => other(`${name}\u0000`),
  (name) => other(`${name}\u0000:x`),
  (name) => other(`${name}\n`),
  (name) => other(`${name} `),
  (name) => other(` ${name}`),
  (name) => other(`${name}${"x".repeat(255 - Buffer.byteLength(name))}`),
  (name) => other(`${name}${"x".repeat(300)}`),
  (name) => other(name.replace(":", "\uff1a")),
  (name) => other(name.replace(":", "::")),
  (name) => other(name.replace(":", "%3a")),
  (name) => other(name.slice(0, -1)),
  (name) => other(`${name}:x`),
  (name) => other(`${name}#`),
  (name) => other(`#${name}`),
  (name) => other(`/${name}`),
  (name) => other(`//#${name}`),
  (name) => other(`/any#/any#${name}`),
  (name) => other(`/any#/#${name}`),
  (name) => other(`${name.split(":")[0]}:*`),
  (name) => other(`${name.split(":")[0]}:`),
  (name) => other(`${name.split(":")[0]}`),
  (name) => other(`:${name}`),
  (name) => other({ json: `"${name}\\ud800"` }),
  (name) => other([name]),
  (name) => other([[name]]),
  (name) => other({ json: JSON.stringify({ toString: name, 0: name, length: 1 }) }),
  (name) => other({ json: JSON.stringify({ symbol: name, key: name }) }),
];
const ODD = ["*", "**", "user:*", "user:", "USER:bob", "/#", "/any#", "/say#", "/#*", "/any#*", "#", "/", "", "\u0000", 42, 4.2e1, -0, true, null, { json: "1e400" }, { json: '"\\u002a"' }, { json: '"\\u0075ser:alice"' }];

/* Names for one of these places; `odd`: one that is no place of anybody, or nearly one. */
export function names(next, places) {
  const place = next.pick(places);
  switch (next.below(6)) {
    case 0:
      return written(place);
    case 1:
      return escaped(place);
    case 2:
      return slashed(place);
    case 3: {
      const value = next.pick(ODD);
      const name = other(value);
      return value === "*" || value?.json === '"\\u002a"' || value === "/#" || value === "/any#" || value === "/say#" ? { ...name, exact: "*" } : name;
    }
    default:
      return next.pick(ALTERED)(place);
  }
}

/* Reads and writes of somebody else's, by what the places are. `exact`: it must be refused. */
export class Attacker {
  constructor(broker, user, token) {
    this.broker = broker;
    this.user = user;
    this.token = token;
    this.wrongs = [];
    this.seen = { messages: 0, plaza: 0 };
    this.said = []; // to it, of its last requests: answers without their ids
  }

  get who() {
    return `${this.user ?? "nobody"} (${this.constructor.name})`;
  }

  /* All that comes to it. */
  look(bytes) {
    const text = Buffer.isBuffer(bytes) ? bytes.toString("latin1") : String(bytes);
    this.seen.messages++;
    if (text.includes("for all in the plaza")) this.seen.plaza++;
    const canary = canaryOf(text);
    if (canary && !(this.user !== null && text.includes("members:lobby"))) this.wrongs.push(`${this.who} got ${text.slice(0, 300)}`);
    // A row of the end tells the plaza of a room: nobody of whom an attacker should not know is in it.
    if (text.includes("peeked") && this.bobs?.some((sid) => text.includes(sid))) this.wrongs.push(`${this.who} was told who is where: ${text.slice(0, 300)}`);
  }
}

/* --- native ---------------------------------------------------------------------------------------------------------------- */

const path = (token) => `/ws${token ? `?token=${token}` : ""}`;

export class NativeAttacker extends Attacker {
  get options() {
    return {};
  }

  async connect() {
    this.client = await this.broker.connect({ path: path(this.token), ...this.options });
    const before = this.client.received.bind(this.client);
    this.client.received = (bytes, isBinary) => {
      this.look(bytes);
      before(bytes, isBinary);
    };
    this.client.ondelivery = () => {};
    this.answers = new Map();
  }

  /* { operation: { type, ... }, name: { json } of channel or to } as they are written. */
  write(requests) {
    return `[${requests.map(({ text }) => text).join(",")}]`;
  }

  async run(requests, { batch = false } = {}) {
    if (!this.client || this.client.isClosed) await this.connect();
    const { client } = this;
    const all = requests.map((request) => {
      const id = client.nextId++;
      const text = `{"type":"${request.type}","id":${id}${request.field ? `,"${request.field}":${request.name.json}` : ""}${request.more ?? ""}}`;
      const answered = new Promise((resolve, reject) => client.answers.set(id, { resolve, reject }));
      return {
        ...request, id, text,
        answered: answered.then((answer) => {
          this.said.push(JSON.stringify({ ...answer, id: undefined }));
          return answer.type === "error" ? answer.code : "done";
        }, () => "cut"),
      };
    });
    this.said = [];
    if (batch) client.send(this.write(all));
    else for (const one of all) client.send(this.write([one]));
    return within(20000, Promise.all(all.map(({ answered }) => answered)), `${this.who} is answered`);
  }

  close() {
    return this.client?.terminate();
  }
}

/* What has no text in JSON that is a string cannot be said in this form: then the JSON form says it. */
export class BinaryAttacker extends NativeAttacker {
  get options() {
    return { protocols: ["ringcast.v1.binary"] };
  }

  write(all) {
    const operations = all.map(({ type, id, field, name, more }) => ({ type, id, ...(field ? { [field]: JSON.parse(name.json) } : {}), ...JSON.parse(`{${(more ?? "").slice(1)}}`) }));
    const sayable = operations.every((operation, i) => !all[i].field || typeof operation[all[i].field] === "string") && !operations.some(({ args, event, snapshot, delta }) => args || event || snapshot || delta);
    if (!sayable) return super.write(all);
    return operations.length === 1 ? encode(operations[0]) : encodeBatch(operations);
  }
}

/* It can say nothing but what the end point publishes, and hears what it is subscribed to. */
export class RawAttacker extends Attacker {
  async run(requests) {
    if (!this.client || this.client.isClosed) {
      this.client = await this.broker.connect({ path: this.token ? `/raw?token=${this.token}` : "/raw", welcome: false });
      this.client.ondelivery = ({ bytes }) => this.look(bytes);
    }
    for (const { name } of requests) this.client.send(`{"type":"publish","channel":${name.json === "1e400" ? 1 : name.json},"data":"forged"}`);
    const ponged = new Promise((done) => this.client.socket.once("pong", done));
    this.client.socket.ping();
    await within(20000, Promise.race([ponged, this.client.closed]), `${this.who} is read`);
    return requests.map(() => "none");
  }

  close() {
    return this.client?.terminate();
  }
}

/* --- Socket.IO ------------------------------------------------------------------------------------------------------------- */

const NSPS = ["/", "/any", "/say"];
const prefixOf = (nsp) => (nsp === "/" ? "" : `${nsp},`);

/* A connection's packets: what is sent is written by hand, and answers find their requests by id. */
class SocketIoAttacker extends Attacker {
  nextId = 1;
  waiting = new Map();

  packetOf({ nsp = "/", event, args = [] }, id) {
    return `42${prefixOf(nsp)}${id}[${[JSON.stringify(event), ...args].join(",")}]`;
  }

  take(packet) {
    this.look(packet);
    const ack = /^43(?:\/[^,]*,)?(\d+)(.*)$/s.exec(packet);
    if (!ack) return;
    this.said.push(ack[2]);
    const [first] = JSON.parse(ack[2]);
    this.waiting.get(Number(ack[1]))?.(first?.error === undefined ? "done" : Number(first.error.code));
    this.waiting.delete(Number(ack[1]));
  }

  cut() {
    for (const answered of this.waiting.values()) answered("cut");
    this.waiting.clear();
  }

  begin(requests) {
    this.said = [];
    return requests.map((request) => {
      const id = this.nextId++;
      return { packet: this.packetOf(request, id), answered: new Promise((done) => this.waiting.set(id, done)) };
    });
  }

  /* Where it says a room when it connects. */
  handshake(room) {
    return {
      query: { ...(this.token ? { token: this.token } : {}), ...(room ? { room } : {}) },
      headers: room && /^[ -~]*$/.test(room) ? { "X-Room": room, Cookie: `room=${encodeURIComponent(room)}` } : {},
    };
  }

  connects(room) {
    const auth = JSON.stringify({ ...(this.token ? { token: this.token } : {}), ...(room ? { room } : {}) });
    return NSPS.map((nsp) => `40${prefixOf(nsp)}${auth}`);
  }
}

export class WebSocketAttacker extends SocketIoAttacker {
  async connect(room) {
    const { query, headers } = this.handshake(room);
    this.engine = await openSocket({ port: this.broker.port, host: this.broker.host, path: "/socket.io/" }, { query, headers });
    this.engine.answerPings = true;
    this.engine.send(...this.connects(room));
    const { engine } = this;
    let left = NSPS.length;
    const ready = new Promise((done, failed) => {
      const read = async () => {
        for (let message; (message = await engine.next(60000)) !== null; ) {
          const text = Buffer.isBuffer(message) ? message.toString("latin1") : message;
          if (text.startsWith("40") && --left === 0) done();
          this.take(text);
        }
      };
      read().catch(() => {}).finally(() => {
        if (this.engine === engine) this.engine = undefined;
        this.cut();
        failed(new Error("the connection ended"));
      });
    });
    await within(20000, ready, `${this.who} connects`);
  }

  async run(requests, { room } = {}) {
    if (room) this.close();
    if (!this.engine) await this.connect(room);
    const all = this.begin(requests);
    this.engine.send(...all.map(({ packet }) => packet));
    return within(20000, Promise.all(all.map(({ answered }) => answered)), `${this.who} is answered`);
  }

  close() {
    this.engine?.end();
    this.engine = undefined;
  }
}

export class PollingAttacker extends SocketIoAttacker {
  async connect(room) {
    const { query, headers } = this.handshake(room);
    this.session = await openPolling({ port: this.broker.port, path: "/socket.io/" }, { query, headers });
    await this.session.send(...this.connects(room));
    for (let left = NSPS.length; left > 0; ) left -= (await this.poll()).filter((packet) => packet.startsWith("40")).length;
  }

  async poll() {
    const answer = await this.session.get();
    if (answer.status !== 200) {
      this.session = undefined;
      this.cut();
      return [];
    }
    const packets = answer.body.split(SEPARATOR);
    for (const packet of packets) {
      if (packet === "2") await this.session.send("3");
      else this.take(packet);
    }
    return packets;
  }

  async run(requests, { room } = {}) {
    if (room) await this.close();
    if (!this.session) await this.connect(room);
    const all = this.begin(requests);
    await this.session.post(all.map(({ packet }) => packet).join(SEPARATOR));
    while (this.session && this.waiting.size > 0) await this.poll();
    return Promise.all(all.map(({ answered }) => answered));
  }

  async close() {
    await this.session?.post("1");
    this.session = undefined;
  }
}

export const ATTACKERS = { NativeAttacker, BinaryAttacker, RawAttacker, WebSocketAttacker, PollingAttacker };
export const isSocketIo = (attacker) => attacker instanceof SocketIoAttacker;

/* --- what they ask --------------------------------------------------------------------------------------------------------- */

const FORGED = ',"data":"forged"';
const NATIVE = [
  { type: "subscribe", field: "channel" },
  { type: "subscribe", field: "channel", more: ',"retained":true' },
  { type: "publish", field: "channel", more: FORGED },
  { type: "publish", field: "channel", more: `${FORGED},"retain":true` },
  { type: "publish", field: "channel", more: ',"event":"said","args":["forged"]' },
  { type: "publish", field: "channel", more: `${FORGED},"key":"k","echo":false,"exclude":["test~x"]` },
  { type: "presence", field: "channel" },
  { type: "presence", field: "channel", more: ',"limit":1000' },
  { type: "history", field: "channel" },
  { type: "history", field: "channel", more: ',"since":1,"limit":100' },
  { type: "subscribe", field: "channel", more: ',"since":"last 5"' },
  { type: "subscribe", field: "channel", more: ',"snapshot":true' },
  { type: "subscribe", field: "channel", more: ',"delta":"fossil"' },
  { type: "subscribe", field: "channel", more: ',"recover":{"epoch":"5f3a1c9e22d0b417","offset":0}' },
];
/* An event of these with a name as an argument. */
const EVENTS = [
  (name) => [{ event: "join", args: [name.json] }],
  (name) => [{ event: "join", args: [name.json, name.json] }],
  (name) => [{ event: "say", args: [name.json, '"forged"'] }],
  (name) => [{ event: "look", args: [name.json] }],
  (name) => [{ event: "remember", args: [name.json] }],
  (name) => [{ event: "keep", args: [name.json, '"forged"'] }],
  (name) => [{ event: "name", args: [name.json], harmless: true }, { event: "go" }, { event: "tell", args: ['"forged"'] }],
  (name) => [{ event: "watch", args: [`{"symbol":${name.json}}`] }],
  (name) => [{ event: "watch", args: [`{"symbol":"PUB1","symbol":${name.json}}`] }],
  (name) => [{ event: "gate", args: [`{"key":${name.json}}`] }],
  (name) => [{ event: "login", args: [name.json] }],
  (name) => [{ event: "leave", args: [name.json], harmless: true }],
];
const GUARDED = [{ event: "team" }, { event: "kept by the team" }, { event: "watch own" }, { event: "watch", args: ['{"symbol":"BOB"}'] }, { event: "lodge" }, { event: "gate", args: ['{"key":true}'] }, { event: "gate" }, { event: "vip" }, { event: "door" }, { event: "login", args: ['"bob"'] }];

/* A text that UTF-8 can say: no half of a surrogate pair. */
export const isName = (value) => typeof value === "string" && value !== "" && Buffer.from(value).toString() === value;

/* Requests to a place: as many as an attempt takes. `exact`: each must be refused. */
export function requestsFor(attacker, name, next) {
  const exact = name.exact !== undefined;
  if (attacker instanceof RawAttacker) return [{ name }];
  if (!isSocketIo(attacker)) {
    const request = next.pick(NATIVE);
    return [{ ...request, name, exact }];
  }
  const nsp = next.pick(NSPS);
  if (nsp !== "/" && next.below(3) === 0) { // its name is the room's
    const value = JSON.parse(name.json);
    const event = isName(value) && Buffer.byteLength(value) < 250 ? value : "x";
    return [{ nsp, event, args: ['"forged"'], exact: exact && event !== "x", place: name.exact }];
  }
  if (next.below(5) === 0) return [{ ...next.pick(GUARDED), nsp: nsp === "/say" ? "/" : nsp, exact: true }];
  return next.pick(EVENTS)(name).map((request) => ({ ...request, nsp: nsp === "/say" ? "/" : nsp, exact: exact && !request.harmless, place: name.exact }));
}

/* Everything once, as plainly as it can be said. */
export function sweepFor(attacker, places, { clientIds, sids }) {
  const all = [...places, "*", ...sids].map(written);
  if (attacker instanceof RawAttacker) return all.map((name) => ({ name }));
  if (!isSocketIo(attacker)) {
    return [
      ...[...all, ...PUSHER_PRIVATE.map(written)].flatMap((name) => NATIVE.map((request) => ({ ...request, name, exact: true }))),
      ...NATIVE.filter(({ type, more = "" }) => type === "history" || /since|snapshot/.test(more)).map((request) => ({ ...request, name: written(DIARY), exact: true })),
      ...[FEED, CROWD, "members:lobby"].map((channel) => ({ type: "publish", field: "channel", name: written(channel), more: FORGED, exact: true })),
      { type: "publish", field: "channel", name: written("board:bob"), more: `${FORGED},"retain":true`, exact: true },
      { type: "publish", field: "channel", name: written("board:bob"), more: ',"data":null,"retain":true', exact: true },
      { type: "subscribe", field: "channel", name: written(CROWD) },
      { type: "subscribe", field: "channel", name: written("members:lobby"), exact: attacker.user === null },
      { type: "presence", field: "channel", name: written(CROWD), exact: true },
      { type: "broadcast", more: FORGED, exact: true },
      ...clientIds.map((id) => ({ type: "direct", field: "to", name: written(id), more: FORGED, exact: true })),
    ];
  }
  return [
    ...["/", "/any"].flatMap((nsp) => [
      ...all.flatMap((name) => EVENTS.flatMap((make) => make(name).map((request) => ({ ...request, nsp, exact: !request.harmless })))),
      ...GUARDED.map((request) => ({ ...request, nsp, exact: true })),
      { nsp, event: "look", args: [JSON.stringify(CROWD)], exact: true },
      { nsp, event: "say", args: [JSON.stringify(FEED), '"forged"'], exact: true },
      { nsp, event: "keep", args: ['"board:bob"', '"forged"'], exact: true },
    ]),
    ...PUSHER_PRIVATE.flatMap((name) => EVENTS.flatMap((make) => make(written(name)).map((request) => ({ ...request, nsp: "/", exact: !request.harmless })))),
    ...all.flatMap(({ exact: name }) => ["/any", "/say"].map((nsp) => ({ nsp, event: name, args: ['"forged"'], exact: true }))),
    // What is said when it goes; the connection is closed behind it.
    ...places.flatMap((name) => ["follow@", "peek@"].map((head) => ({ nsp: "/", event: "join", args: [JSON.stringify(`${head}${name}`)] }))),
    ...["portfolio", "watch", "gate", "own"].map((name) => ({ nsp: "/", event: "join", args: [JSON.stringify(name)] })),
  ];
}
