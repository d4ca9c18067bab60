// Two tenants on one broker, for attacks of one on the other: bob, whose clients of every protocol are in rooms and channels that rows and
// policies guard, and whose private messages (canaries) go on while attackers try to get at them; and attackers, who are users themselves,
// some with names that look like his, or nobody.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { io } from "socket.io-client";
import { connectPusher, sdk, subscribe as subscribePusher } from "./pusher.mjs";
import { until, within } from "./util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
export const API_KEY = "key-of-the-tests";
const GATE_KEY = "the key of bob's gate";
export const RINGS = 5; // so often may a user ring
export const PUSHER_APP = { id: "7", key: "app-key", secret: "app-secret-of-the-tests" };

export const tokenOf = (user, claims = {}, secret = SECRET) => jwt.sign({ sub: user, ...claims }, secret, { algorithm: "HS256", expiresIn: "1h" });

/* --- what guards what ------------------------------------------------------------------------------------------------------ */

const blue = { team: ["blue"] };
const inBoth = (row) => [row, { ...row, nsp: "/any" }];
const rows = [
  { on: "portfolio", who: "user", join: ["portfolio:{user.id}"], ack: ["in"] },
  { on: "watch", schema: "watch", join: ["watch:{args.0.symbol}"], ack: ["in"] },
  { on: "watch own", who: blue, join: ["watch:BOB"], ack: ["in"] },
  { on: "team", who: blue, join: ["team:blue"], ack: ["in"] },
  { on: "lodge", inside: "team:blue", join: ["lodge:main"], ack: ["in"] },
  { on: "gate", match: { "args.0.key": GATE_KEY }, join: ["gate:bob"], ack: ["in"] },
  { on: "gate", refuse: { code: 403 }, who: { team: "nobody's" }, ack: ["in"] },
  { on: "vip", who: blue, join: ["vip"], ack: ["in"] },
  // Who says who it is: as itself it may, as bob it may not.
  { on: "login", identify: "app", join: ["club:{user.id}"], ack: ["in"] },
  { on: "door", who: blue, join: ["door:bob", "bell:bob"], ack: ["in"] },
  { on: "ring", who: "user", rate: `${RINGS}/1h`, emit: [{ to: "door:bob", event: "rung", args: ["door of {user.id}"] }], ack: ["sent"] },
  // What a careless author has beside it.
  { on: "join", join: ["{args.0}"], ack: ["in"] },
  { on: "leave", leave: ["{args.0}"], ack: ["out"] },
  { on: "say", emit: [{ to: "{args.0}", event: "said", args: ["{args.1}"] }], ack: ["sent"] },
  { on: "look", ack: ["{count:{args.0}}", "{members:{args.0}}", "{users:{args.0}}"] },
  { on: "kept by the team", who: blue, ack: ["{retained:team:blue}"] },
  { on: "remember", ack: ["{retained:{args.0}}"] },
  { on: "keep", retain: "{args.0}", ack: ["kept"] },
  { on: "name", set: { room: "{args.0}" }, ack: ["named"] },
  { on: "go", join: ["{client.room}"], ack: ["in"] },
  { on: "tell", emit: [{ to: "{client.room}", event: "said", args: ["{args.0}"] }], ack: ["sent"] },
  { on: "by auth", join: ["{auth.room}"], ack: ["in"] },
  { on: "by query", join: ["{query.room}"], ack: ["in"] },
  { on: "by header", join: ["{header.x-room}"], ack: ["in"] },
  { on: "by cookie", join: ["{cookie.room}"], ack: ["in"] },
].flatMap(inBoth);

export const TENANTS_CONFIG = {
  "http.api_keys": [API_KEY],
  "socketio.path": "/socket.io/",
  "socketio.namespaces": ["/", "/any", "/say", "/vault"],
  "socketio.recovery": "2m",
  "limits.max_channels": 10000,
  "permissions.broadcast": "none",
  "permissions.direct": "none",
  identity: [
    { kind: "jwt", from: ["auth.session"], secret: SECRET, user: "{auth.userId}", same: { "auth.userId": "{claims.sub}" }, required: false },
    { name: "app", kind: "jwt", from: ["auth.token", "query.token", "header.authorization"], secret: SECRET, attributes: { team: "{claims.team}" }, required: false },
  ],
  namespace: [
    { name: "own", subscribe: "owner", publish: "owner", presence: true, retain: "owner", history: 20, delta: "fossil" },
    { name: "diary", publish: "none", history: 1000, history_who: "owner" },
    { name: "board", publish: "user", retain: "owner" },
    { name: "team", publish: "member", presence: true },
    { name: "gate", subscribe: "rules" },
    { name: "feed", publish: "none" },
    { name: "members", subscribe: "user", publish: "none" },
    { name: "crowd", publish: "none", presence: true, presence_who: "none" },
    { name: "bell", subscribe: "rules", publish: "user", publish_rate: `${RINGS}/1h` },
  ],
  "schemas.watch": '{"type":"object","required":["symbol"],"properties":{"symbol":{"enum":["PUB1","PUB2"]}}}',
  event: [
    ...rows,
    { on: "portfolio", nsp: "/say", who: "user", join: ["portfolio:{user.id}"], ack: ["in"] },
    { on: "*", nsp: "/any", join: ["{event}"], ack: ["in"] },
    { on: "*", nsp: "/say", emit: [{ to: "{event}", event: "said", args: ["{args.0}"] }], ack: ["sent"] },
    { on: "all", nsp: "/vault", who: blue, emit: [{ to: "*", event: "said", args: ["{args.0}"] }], ack: ["sent"] },
    { on: "disconnect", each: "follow@{target}", emit: [{ to: "{room.target}", event: "said", args: ["forged when it went"] }] },
    { on: "disconnect", each: "peek@{target}", emit: [{ to: "plaza", event: "peeked", args: ["{count:{room.target}}", "{members:{room.target}}", "{users:{room.target}}"] }] },
    { on: "disconnect", each: "{any}", emit: [{ to: "{room}:bob", event: "said", args: ["forged when it went"] }] },
  ],
  endpoint: [
    { path: "/raw", protocol: "raw", join: ["feed:news"], incoming: "publish:feed:news" },
    { path: "/diary", protocol: "raw", join: ["diary:bob"] },
    { path: "/app", protocol: "pusher" },
  ],
  pusher_app: [{ ...PUSHER_APP, client_events: true }],
};

/* Where bob's canaries are told; nobody else may subscribe, publish, see or count there. */
export const PRIVATE = ["portfolio:bob", "watch:BOB", "lodge:main", "team:blue", "gate:bob", "vip", "club:bob", "own:bob", "user:bob", "/any#portfolio:bob", "/say#portfolio:bob", "/vault#"];
/* What is an app's of the Pusher protocol, as others would call it. */
export const PUSHER_PRIVATE = ["pusher-7:private-bob", "pusher-7:presence-bob"];
/* Everybody hears it, and nobody else reads what it has had. */
export const DIARY = "diary:bob";
/* Who is there is nobody's business; messages are everybody's. */
export const CROWD = "crowd:x";
/* Everybody reads, nobody writes. */
export const FEED = "feed:news";
/* Users read. */
export const MEMBERS = "members:lobby";

export const canaryOf = (text) => /secret-[0-9a-f]{12}/.exec(text)?.[0];

/* --- the victim ------------------------------------------------------------------------------------------------------------ */

const ask = (socket, ...event) => within(10000, new Promise((done) => socket.emit(...event, (...answer) => done(answer))), `bob is answered ${event[0]}`);

export class Bob {
  constructor(broker) {
    this.broker = broker;
    this.wrongs = []; // what no attacker may bring about
    this.heard = new Map(); // canary -> how many of bob's clients heard it
    this.rings = new Map(); // user -> count
    this.hellos = 0; // in the plaza
    this.sockets = [];
    this.token = tokenOf("bob", { team: "blue" });
  }

  hears(who, text) {
    if (text.includes("forged")) this.wrongs.push(`bob's ${who} heard ${text.slice(0, 300)}`);
    const ring = /(?:door|bell) of [^"\\]*/.exec(text)?.[0];
    if (ring !== undefined) this.rings.set(`${who}: ${ring}`, (this.rings.get(`${who}: ${ring}`) ?? 0) + 1);
    if (text.includes("hello")) this.hellos++;
    const canary = canaryOf(text);
    if (canary) this.heard.set(canary, (this.heard.get(canary) ?? 0) + 1);
  }

  async socketIo(transports, nsps) {
    const sockets = {};
    let manager;
    for (const nsp of nsps) {
      const socket = manager ? manager.socket(nsp, { auth: { token: this.token } })
        : io(`http://127.0.0.1:${this.broker.port}${nsp}`, { transports, forceNew: true, reconnection: false, auth: { token: this.token } });
      manager ??= socket.io;
      socket.onAny((...all) => this.hears(`${transports} in ${nsp}`, JSON.stringify(all)));
      socket.on("disconnect", (reason) => this.ending || this.wrongs.push(`bob's ${transports} in ${nsp} was disconnected: ${reason}`));
      await within(10000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "bob connects");
      sockets[nsp] = socket;
      this.sockets.push(socket);
    }
    return sockets;
  }

  async native(name, options) {
    const client = await this.broker.connect({ path: `/ws?token=${this.token}`, ...options });
    client.ondelivery = ({ data, args, ...rest }) => this.hears(name, JSON.stringify({ ...rest, data: Buffer.isBuffer(data) ? data.toString("latin1") : data, args }));
    client.closed.then(({ code }) => this.ending || this.wrongs.push(`bob's ${name} was closed with ${code}`));
    if (options?.welcome === false) return client;
    for (const channel of ["own:bob", MEMBERS, FEED, CROWD, "plaza"]) await client.subscribe(channel);
    return client;
  }

  async start() {
    this.ws = await this.socketIo(["websocket"], ["/", "/any", "/say", "/vault"]);
    this.polling = await this.socketIo(["polling"], ["/"]);
    for (const socket of [this.ws["/"], this.ws["/any"], this.polling["/"]]) {
      for (const event of [["portfolio"], ["watch own"], ["team"], ["lodge"], ["gate", { key: GATE_KEY }], ["vip"], ["login", this.token], ["door"], ["join", "plaza"]]) assert.deepEqual(await ask(socket, ...event), ["in"], event[0]);
    }
    assert.deepEqual(await ask(this.ws["/say"], "portfolio"), ["in"]);
    this.json = await this.native("JSON client");
    this.binary = await this.native("binary client", { protocols: ["ringcast.v1.binary"] });
    this.raw = await this.native("raw client", { path: `/raw?token=${this.token}`, welcome: false });
    this.raw.ondelivery = ({ bytes }) => this.hears("raw client", bytes.toString("latin1"));
    await this.pusher();
    this.entry = `secret-${randomBytes(6).toString("hex")}`;
    await this.api("/api/publish", { channel: DIARY, data: { entry: this.entry } });
    await this.json.publish("board:bob", "what bob keeps there", { retain: true });
    this.sids = [this.ws["/"].id, this.ws["/any"].id, this.polling["/"].id];
    this.clientIds = [this.json.id, this.binary.id];
    return this;
  }

  /* His client of the app's, signed in and in its channels. */
  async pusher() {
    this.app = sdk(this.broker, PUSHER_APP);
    const client = await connectPusher(this.broker, { app: PUSHER_APP, user: "bob" });
    client.bind_global((event, data) => this.hears("Pusher client", JSON.stringify([event, data])));
    const signed = new Promise((done) => client.bind("pusher:signin_success", done));
    client.user.signin();
    await within(10000, signed, "bob signs in");
    for (const name of ["private-bob", "presence-bob"]) await subscribePusher(client, name);
  }

  async api(path, body) {
    const answer = await this.broker.get(path, { method: "POST", headers: { authorization: `Bearer ${API_KEY}` }, body: JSON.stringify(body) });
    assert.equal(answer.status, 200, answer.body);
  }

  /* One canary for each of the private places: those there are. */
  async canaries() {
    const made = [...PRIVATE.filter((name) => name !== "/vault#"), MEMBERS].map((channel) => [channel, `secret-${randomBytes(6).toString("hex")}`]);
    for (const [channel, canary] of made) await this.api("/api/publish", { channel, data: { canary }, retain: true });
    for (const client of this.clientIds) {
      made.push([client, `secret-${randomBytes(6).toString("hex")}`]);
      await this.api("/api/direct", { client, data: made.at(-1)[1] });
    }
    made.push(["private-bob", `secret-${randomBytes(6).toString("hex")}`]);
    await this.app.trigger("private-bob", "told", made.at(-1)[1]);
    made.push(["#server-to-user-bob", `secret-${randomBytes(6).toString("hex")}`]);
    await this.app.sendToUser("bob", "told", made.at(-1)[1]);
    made.push(["/vault#", `secret-${randomBytes(6).toString("hex")}`]);
    this.ws["/vault"].emit("all", made.at(-1)[1]);
    made.push(["own:bob", `secret-${randomBytes(6).toString("hex")}`]);
    await this.json.publish("own:bob", made.at(-1)[1]);
    return made;
  }

  /* Canaries until it is stopped. */
  async tell() {
    for (this.told = []; !this.quiet && !this.ending; ) {
      this.told.push(...(await this.canaries()));
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  /* What somebody who comes now is told of a channel. */
  async newcomer(channel) {
    const client = await this.broker.connect({ path: `/ws?token=${this.token}` });
    await client.expect("subscribed", { type: "subscribe", channel, retained: true });
    await client.ping();
    return { client, said: client.inbox.splice(0) };
  }

  stop() {
    this.quiet = true;
  }

  /* It is as it was: everybody heard all, nobody else is where bob is, his rates are his own. */
  async check() {
    for (const [channel, canary] of this.told) await until(`bob heard the canary of ${channel}`, () => this.heard.has(canary));
    const { client, said } = await this.newcomer("board:bob");
    assert.deepEqual(said.map(({ retained, data }) => [retained, data]), [[true, "what bob keeps there"]]);
    await client.close();
    const diary = await this.json.request({ type: "history", channel: DIARY, limit: 100 });
    assert.ok(JSON.stringify(diary).includes(this.entry), "bob reads his diary");
    const own = await this.json.presence("own:bob");
    assert.deepEqual([own.clients, own.users, own.members.map(({ user }) => user)], [2, 1, ["bob"]]);
    for (const [socket, sids] of [[this.ws["/"], [this.sids[0], this.sids[2]]], [this.ws["/any"], [this.sids[1]]]]) {
      const [count, members, users] = await ask(socket, "look", "team:blue");
      assert.deepEqual([count, [...members].sort(), users], [sids.length, [...sids].sort(), ["bob"]]);
    }
    const kept = JSON.stringify(await ask(this.ws["/"], "kept by the team"));
    assert.ok(canaryOf(kept) && !kept.includes("forged"), kept);
    for (const [who, count] of this.rings) assert.ok(count <= RINGS, `${who}: ${count} times`);
    for (let i = 0; i < RINGS; i++) assert.deepEqual(await ask(this.ws["/"], "ring"), ["sent"], "bob's rate is his own");
  }

  close() {
    this.ending = true;
    for (const socket of this.sockets) socket.disconnect();
  }
}
