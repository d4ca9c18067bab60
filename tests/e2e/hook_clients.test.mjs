// What backends decide of clients as a whole: the calls connect, refresh and ack, identify of [[event]], except of emits. Over real sockets.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { Socket as Engine } from "engine.io-client";
import { Manager } from "socket.io-client";
import WebSocket from "ws";
import { testBroker } from "./lib/broker.mjs";
import { ask, come, testHook } from "./lib/hook.mjs";
import { SLOWER, until, within } from "./lib/util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
const token = (user, claims = {}, expiresIn = "1h") => jwt.sign({ sub: user, ...claims }, SECRET, { algorithm: "HS256", expiresIn });
const TRANSPORTS = [["websocket"], ["polling"]];
const seconds = () => Math.floor(Date.now() / 1000);

const identity = (more = {}) => ({ name: "app", from: ["auth.token", "query.token"], secret: SECRET, attributes: { tier: "{claims.tier}" }, ...more });

testHook("connect: the backend has a say of every connection, whoever told who it is", {
  table: { calls: ["connect"], breaker: "" },
  config: { identity: [identity({ required: false })], "socketio.namespaces": ["/", "/admin"], event: [{ on: "who", ack: ["{user}", "{client.mark}"] }] },
}, async (broker, backend) => {
  backend.answer = ({ user, nsp, sid }) => (user?.tier === "banned" ? { deny: { message: "not you", data: { code: 7 } } }
    : { client: { mark: nsp ?? "none" }, join: ["lobby"], emit: [{ event: "welcome", args: [user?.id ?? null, sid ?? null] }, { event: "in", to: "lobby", args: [nsp ?? ""] }] });
  for (const transports of TRANSPORTS) {
    const socket = await come(broker, { transports, auth: { token: token("42", { tier: "gold" }) } });
    assert.equal(socket.outcome, "connected");
    await until("what the reply says is done", () => socket.heard.length >= 2);
    assert.deepEqual(socket.heard, [["welcome", "42", null], ["in", "/"]]);
    assert.deepEqual(await ask(socket, "who"), [{ id: "42", tier: "gold" }, "/"]);
    const call = backend.calls.at(-1);
    assert.deepEqual([call.call, call.nsp, call.user, call.transport], ["connect", "/", { id: "42", tier: "gold" }, transports[0]]);
    assert.equal((await come(broker, { transports, auth: { token: token("43", { tier: "banned" }) } })).outcome, "not you");
    const nobody = await come(broker, { transports });
    assert.equal(nobody.outcome, "connected");
    assert.equal(backend.calls.at(-1).user, null);
    const admin = await come(broker, { transports, nsp: "/admin", auth: { token: token("42") } });
    await until("in its own namespace", () => admin.heard.length >= 2);
    assert.deepEqual(admin.heard[1], ["in", "/admin"]);
    socket.close(), nobody.close(), admin.close();
  }
  const native = await broker.connect({ path: `/ws?token=${token("42", { tier: "gold" })}` });
  const told = [await native.next("direct"), await native.next("message")];
  assert.deepEqual(told.map(({ event, args, channel }) => [event, args, channel]), [["welcome", ["42", null], undefined], ["in", [""], "lobby"]]);
  assert.equal(backend.calls.at(-1).nsp, undefined);
  await assert.rejects(broker.connect({ path: `/ws?token=${token("43", { tier: "banned" })}` }), /401/);
});

testHook("connect: the same of a first message; a backend that is away; another user than the credential's", {
  table: { calls: ["connect"], breaker: "", timeout: "1500ms" },
  config: { identity: [identity({ from: ["auth.token"] })] },
}, async (broker, backend) => {
  backend.answer = ({ user }) => ({ join: ["lobby"], emit: [{ event: "hi", to: "lobby", args: [user.id] }], ...(user.id === "44" && { user: { id: "45" } }), ...(user.id === "46" && { user: { id: "46", tier: "backend's" } }) });
  const native = await broker.connect();
  const before = backend.calls.length;
  assert.equal(before, 0, "it may still say who it is: nobody is asked");
  assert.equal((await native.request({ type: "auth", token: token("42") })).type, "authenticated");
  assert.deepEqual((await native.next("message")).args, ["42"]);
  assert.equal((await native.request({ type: "auth", token: token("42") })).type, "authenticated");
  assert.equal(backend.calls.length, 1, "a connection begins once");
  const other = await broker.connect();
  assert.equal((await other.request({ type: "auth", token: token("44") })).code, 401);
  const attributes = await come(broker, { auth: { token: token("46") } });
  assert.equal(attributes.outcome, "connected");
  backend.answer = () => void 0;
  assert.equal((await come(broker, { auth: { token: token("42") } })).outcome, "Service unavailable");
  const late = await broker.connect();
  assert.equal((await late.request({ type: "auth", token: token("42") })).code, 503);
  attributes.close();
});

testHook("connect: operations of a row at the handshake wait for the first namespace", {
  table: { breaker: "", forward: ["cookie"] },
  config: { identity: [{ kind: "backend", backend: "app", from: ["cookie.sid"], at: "handshake" }] },
}, async (broker, backend) => {
  backend.answer = () => ({ user: { id: "7" }, join: ["mine"], emit: [{ event: "first", to: "mine" }] });
  for (const transports of TRANSPORTS) {
    const socket = await come(broker, { transports, extraHeaders: { cookie: "sid=1" } });
    await until("it is done", () => socket.heard.length > 0);
    assert.deepEqual(socket.heard, [["first"]]);
    socket.close();
  }
  const native = await broker.connect({ headers: { cookie: "sid=1" } });
  assert.equal((await native.next("message")).event, "first");
});

testHook("connect: a storm of reconnects is one call a user", {
  table: { calls: ["connect"], breaker: "" }, config: { identity: [identity()] }, timeout: 60000,
}, async (broker, backend) => {
  backend.answer = () => ({ ttl: 60 });
  const credential = token("42");
  const clients = await Promise.all(Array.from({ length: 200 }, () => broker.connect({ path: `/ws?token=${credential}` })));
  assert.equal(backend.calls.length, 1);
  for (const client of clients) assert.equal(client.welcome.user, "42");
});

/* Clients that are nobody, over every protocol: how each ended, and when. */
async function strangers(broker) {
  const closed = (socket) => new Promise((done) => socket.once("close", (code) => done([code, Date.now()])));
  const ends = { native: (await broker.connect()).closed.then(({ code }) => [code, Date.now()]) };
  const raw = new WebSocket(`ws://127.0.0.1:${broker.port}/live`);
  ends.raw = closed(raw);
  const engine = new Engine(`http://127.0.0.1:${broker.port}`, { path: "/eio/", transports: ["websocket"] });
  ends.engine = closed(engine);
  await within(10000, Promise.all([raw, engine].map((socket) => new Promise((done) => socket.once("open", done)))), "both are open");
  for (const transports of TRANSPORTS) {
    const socket = await come(broker, { transports });
    assert.equal(socket.outcome, "connected");
    ends[transports[0]] = new Promise((done) => socket.once("disconnect", (reason) => done([reason, Date.now()])));
  }
  return ends;
}

testHook("connect: an end that the backend sets holds for the anonymous, over every protocol", {
  table: { calls: ["connect"], breaker: "" },
  config: { endpoint: [{ path: "/live", protocol: "raw" }, { path: "/eio/", protocol: "engineio" }] },
}, async (broker, backend) => {
  const at = seconds() + 8;
  backend.answer = () => ({ expire_at: at, client: { a: 1 } });
  const ends = await strangers(broker);
  assert.ok(Date.now() < at * 1000, "all are there before it");
  const told = { native: 4401, raw: 4401, engine: "transport close", websocket: "io server disconnect", polling: "io server disconnect" };
  for (const [which, ended] of Object.entries(ends)) {
    const [how, when] = await within(20000, ended, which);
    assert.equal(how, told[which], which);
    assert.ok(when - at * 1000 > -1000 && when - at * 1000 < 4000 * SLOWER, `${which}: ${when - at * 1000} ms after`);
  }
});

testHook("connect: an end that the backend sets holds whatever the credential's own is, and refresh renews it alone", {
  table: { calls: ["connect", "refresh"], breaker: "" },
  config: { identity: [identity({ required: false, leeway: "0s" })], "socketio.namespaces": ["/", "/admin"] },
  timeout: 60000,
}, async (broker, backend) => {
  const at = seconds() + 8;
  const refreshed = [];
  backend.answer = (call) => {
    const who = call.user?.id ?? "nobody";
    if (call.call === "connect") return call.nsp === "/admin" ? {} : { expire_at: at };
    refreshed.push(who);
    return who === "ends" ? { expired: true } : { expire_at: seconds() + 60 };
  };
  const renewed = await broker.connect({ path: `/ws?token=${token("renewed")}` });
  const stranger = await broker.connect();
  const ends = await broker.connect({ path: `/ws?token=${token("ends")}` });
  const short = await broker.connect({ path: `/ws?token=${token("short", {}, 5)}` });
  assert.equal((await renewed.request({ type: "refresh", token: token("renewed") })).type, "refreshed", "a new credential does not take the bound away");
  assert.equal((await within(20000, ends.closed, "the one that is not renewed")).code, 4401);
  assert.equal((await within(20000, short.closed, "the one whose credential ends first")).code, 4401);
  await until("the others were renewed", () => refreshed.includes("renewed") && refreshed.includes("nobody"));
  await until("its time has passed", () => seconds() > at + 1);
  for (const client of [renewed, stranger]) assert.equal((await client.request({ type: "ping" })).type, "pong");
  assert.equal((await broker.get("/metrics")).body.match(/^ringcast_identity_expired_total\{[^}]*\} (\d+)$/m)[1], "2");
});

testHook("connect: of the bounds of two namespaces the earlier counts", {
  table: { calls: ["connect"], breaker: "" },
  config: { "socketio.namespaces": ["/", "/admin"] },
}, async (broker, backend) => {
  const at = seconds() + 6;
  backend.answer = ({ nsp }) => (nsp === "/" ? { expire_at: at } : { expire_at: at + 60 });
  const manager = new Manager(`http://127.0.0.1:${broker.port}`, { transports: ["websocket"], reconnection: false });
  const ended = ["/", "/admin"].map((nsp) => {
    const socket = manager.socket(nsp);
    return new Promise((done) => socket.once("disconnect", done));
  });
  assert.deepEqual(await within(10000, Promise.all(ended), "both end"), ["io server disconnect", "io server disconnect"]);
  assert.ok(Date.now() - at * 1000 > -1000 && Date.now() - at * 1000 < 4000 * SLOWER, `${Date.now() - at * 1000} ms after`);
});

testHook("refresh: before its end the backend says how a credential goes on", {
  table: { calls: ["refresh"], breaker: "" },
  config: { identity: [{ kind: "backend", backend: "app", from: ["auth.token", "query.token"] }], event: [{ on: "who", ack: ["{user}", "{client.mark}"] }] },
  timeout: 60000,
}, async (broker, backend) => {
  const ends = {};
  const until_ = {}; // when whose credential ends, in ms
  backend.answer = (call) => {
    const user = call.user?.id ?? call.auth?.token ?? call.query.token;
    if (call.call === "connect") {
      // Long enough for who is asked about at half of it; those that are never answered are waited for.
      const at = seconds() + (["silent", "vague"].includes(user) ? 3 : 12);
      until_[user] = at * 1000;
      return { user: { id: user, times: 0 }, expire_at: at };
    }
    if (user === "ended") return { expired: true };
    if (user === "denied") return { status: 403, body: "" };
    if (user === "silent") return { status: 500, body: "" };
    if (user === "vague") return {};
    if (user === "other") return { expire_at: seconds() + 60, user: { id: "somebody" } };
    ends[user] = (ends[user] ?? 0) + 1;
    return { expire_at: ends[user] < 2 ? seconds() + 6 : 0, user: { id: user, times: ends[user] }, client: { mark: ends[user] } };
  };
  const native = await broker.connect({ path: "/ws?token=42" });
  const sockets = await Promise.all(TRANSPORTS.map((transports, i) => come(broker, { transports, auth: { token: `s${i}` } })));
  const ending = [];
  for (const user of ["ended", "denied", "silent", "vague", "other"]) {
    const client = await broker.connect({ path: `/ws?token=${user}` });
    ending.push([user, within(20000, client.closed, user).then(({ code }) => [code, Date.now() - until_[user]])]);
  }
  for (const [user, closed] of ending) {
    const [code, after] = await closed;
    assert.equal(code, 4401, user);
    // A refusal ends it at once, half of its time before its end; no answer leaves it until then.
    assert.ok(["silent", "vague"].includes(user) === after > -100, `${user} ${after} ms after its end`);
  }
  await until("each was renewed twice", () => ends["42"] === 2 && ends.s0 === 2 && ends.s1 === 2, { timeout: 20000 });
  assert.equal((await native.request({ type: "ping" })).type, "pong");
  for (const socket of sockets) {
    assert.deepEqual(await ask(socket, "who"), [{ id: socket.auth.token, times: 2 }, 2]);
    assert.equal(backend.calls.find((call) => call.call === "refresh" && call.user.id === socket.auth.token).sid, socket.id);
  }
  const { body } = await broker.get("/metrics");
  assert.match(body, /^ringcast_identity_refreshed_total\{[^}]*\} 6$/m);
  assert.match(body, /^ringcast_identity_expired_total\{[^}]*\} 5$/m);
  for (const socket of sockets) socket.close();
});

testHook("refresh: what was asked about one credential does not end the next", {
  table: { calls: ["refresh"], breaker: "" },
  config: { identity: [{ kind: "backend", backend: "app", from: ["auth.token", "query.token"] }] },
  timeout: 60000,
}, async (broker, backend) => {
  let release;
  const held = new Promise((done) => (release = done));
  backend.answer = async (call) => {
    if (call.call === "connect") return { user: { id: "42" }, expire_at: seconds() + ((call.auth?.token ?? call.query.token) === "first" ? 12 : 3600) };
    return (await held, { expired: true });
  };
  const client = await broker.connect({ path: "/ws?token=first" });
  const other = await broker.connect({ path: "/ws?token=first" });
  await backend.asked("refresh", 2);
  assert.equal((await client.request({ type: "refresh", token: "second" })).type, "refreshed");
  release();
  assert.equal((await within(10000, other.closed, "the one that did not renew")).code, 4401);
  for (let i = 0; i < 3; i++) assert.equal((await client.request({ type: "ping" })).type, "pong");
  await until("both answers have come", async () => (await broker.metrics())("ringcast_backend_seconds_count") >= backend.calls.length);
  assert.equal((await client.request({ type: "ping" })).type, "pong");
});

testBroker("refresh: a client renews its credential itself, in place", {
  workers: 1,
  config: { "socketio.path": "/socket.io/", identity: [identity({ leeway: "0s", required: false })], event: [{ on: "renew", identify: "app", ack: ["{user.id}", "{user.tier}"] }] },
  timeout: 60000,
}, async (broker) => {
  const native = await broker.connect({ path: `/ws?token=${token("42", {}, 8)}` });
  const socket = await come(broker, { auth: { token: token("42", {}, 8) } });
  const forgetful = await broker.connect({ path: `/ws?token=${token("42", {}, 8)}` });
  assert.deepEqual(await native.request({ type: "refresh", token: token("42") }), { type: "refreshed", id: 1, user: "42" });
  assert.equal((await native.request({ type: "refresh", token: token("43") })).code, 409);
  assert.equal((await native.request({ type: "refresh", token: "x" })).code, 401);
  assert.equal((await (await broker.connect()).request({ type: "refresh", token: token("42") })).code, 401);
  assert.deepEqual(await ask(socket, "renew", token("42", { tier: "gold" })), ["42", "gold"]);
  assert.equal((await within(20000, forgetful.closed, "the one that did not")).code, 4401);
  assert.equal((await native.request({ type: "ping" })).type, "pong");
  assert.deepEqual(await ask(socket, "renew", { token: token("42") }), ["42", null]);
  socket.close();
});

testHook("identify: an event says who its sender is", {
  table: { breaker: "" },
  config: {
    identity: [identity({ required: false }), { name: "hook", kind: "backend", backend: "app", from: ["auth.key"], required: false }],
    event: [
      { on: "login", identify: "app", join: ["room:{user.id}"], emit: [{ to: "room:{user.id}", event: "hello", args: ["{user.id}", "{user.tier}"] }], ack: ["{user.id}"], refuse: { identify: "go away", code: "NO" } },
      { on: "hook", identify: "hook", ack: ["{user}", "{client.mark}"] },
      { on: "plain", identify: "app", ack: ["{user.id}"] },
      { on: "who", ack: ["{user.id}"] },
    ],
    "http.api_keys": ["key-of-the-tests"],
  },
}, async (broker, backend) => {
  backend.answer = ({ auth }) => (auth.key === "good" || auth === "good" ? { user: { id: "9", via: "hook" }, client: { mark: 1 }, emit: [{ event: "from hook" }] } : { status: 401, body: JSON.stringify({ message: "no such key" }) });
  for (const transports of TRANSPORTS) {
    const socket = await come(broker, { transports });
    assert.deepEqual(await ask(socket, "who"), [null]);
    assert.deepEqual(await ask(socket, "login", "nonsense"), [{ error: { code: "NO", message: "go away" } }]);
    assert.deepEqual((await ask(socket, "plain"))[0].error.code, 401);
    assert.deepEqual((await ask(socket, "plain", { other: 1 }))[0].error.code, 401);
    assert.deepEqual(await ask(socket, "who"), [null]);
    socket.emit("login", { token: token("42", { tier: "gold" }) });
    await until("it is in its room", () => socket.heard.length > 0);
    assert.deepEqual(socket.heard, [["hello", "42", "gold"]]);
    assert.deepEqual(await ask(socket, "who"), ["42"]);
    const sent = await broker.get("/api/publish", { method: "POST", headers: { authorization: "Bearer key-of-the-tests" }, body: JSON.stringify({ channel: "user:42", data: "to the user", event: "news" }) });
    assert.equal(sent.status, 200);
    await until("it hears its user's channel", () => socket.heard.some(([event]) => event === "news"));
    assert.equal((await ask(socket, "plain", token("43")))[0].error.code, 409);
    const hooked = await come(broker, { transports });
    assert.deepEqual(await ask(hooked, "hook", { key: "bad" }), [{ error: { code: 401, message: "no such key" } }]);
    assert.deepEqual(await ask(hooked, "hook", { key: "good" }), [{ id: "9", via: "hook" }, 1]);
    await until("what the hook wants done", () => hooked.heard.some(([event]) => event === "from hook"));
    assert.deepEqual(await ask(await come(broker, { transports }), "hook", "good"), [{ id: "9", via: "hook" }, 1]);
    socket.close(), hooked.close();
  }
});

testHook("except: rooms and sockets that an emit is not for, by row and by reply, on all workers", {
  workers: 2,
  config: {
    "socketio.namespaces": ["/", "/admin"],
    event: ["/", "/admin"].flatMap((nsp) => [
      { on: "join", nsp, join: ["{args.0}"], ack: [] },
      { on: "say", nsp, emit: [{ to: "chat", except: ["muted", "{args.0}"], event: "said", args: ["row"] }, { to: "*", except: "muted", others: true, event: "all", args: ["row"] }] },
      { on: "ask", nsp, ask: "app" },
    ]),
  },
}, async (broker, backend) => {
  for (const nsp of ["/", "/admin"]) {
    const sockets = {};
    for (const [name, rooms] of [["one", ["chat"]], ["two", ["chat"]], ["muted", ["chat", "muted"]], ["out", ["chat"]], ["elsewhere", []]]) {
      sockets[name] = await come(broker, { nsp });
      for (const room of rooms) await ask(sockets[name], "join", room);
    }
    const told = () => Object.fromEntries(Object.entries(sockets).map(([name, { heard }]) => [name, heard.map(([event, by]) => `${event} ${by}`)]));
    sockets.one.emit("say", sockets.out.id);
    backend.answer = () => ({ emit: [
      { event: "said", to: "chat", except: ["muted", sockets.out.id], args: ["reply"] }, { event: "all", to: "*", others: true, except: "muted", args: ["reply"] },
      { event: "said", to: ["chat"], except: sockets.muted.id, args: ["socket"] }, { event: "end", to: "*" }] });
    sockets.one.emit("ask");
    await until("all have heard the end", () => Object.values(sockets).every(({ heard }) => heard.some(([event]) => event === "end")));
    assert.deepEqual(told(), {
      one: ["said row", "said reply", "said socket", "end undefined"],
      two: ["said row", "all row", "said reply", "all reply", "said socket", "end undefined"],
      muted: ["end undefined"],
      out: ["all row", "all reply", "said socket", "end undefined"],
      elsewhere: ["all row", "all reply", "end undefined"],
    });
    for (const socket of Object.values(sockets)) socket.close();
  }
});

testHook("ack: what clients answer to an emit is handed to the backend, or that they did not", {
  workers: 2, table: { breaker: "" },
  config: { event: [{ on: "ask", ask: "app" }, { on: "join", join: ["{args.0}"], ack: [] }], "socketio.ack_timeout": "10s" },
}, async (broker, backend) => {
  const bytes = Buffer.from([0, 255]);
  backend.answer = (call) => {
    if (call.call === "ack") return call.token === "mine" ? { emit: [{ event: "thanks", args: call.args }], set: { acked: true } } : {};
    return call.args[0] === "room" ? { emit: [{ event: "question", to: "chat", args: [2], ack: "theirs", timeout: 3000 }] } : { emit: [{ event: "question", args: [1], ack: "mine", timeout: 5000 }] };
  };
  for (const transports of TRANSPORTS) {
    backend.calls.length = 0;
    const [one, deaf, other] = await Promise.all([1, 2, 3].map(() => come(broker, { transports })));
    one.on("question", (n, done) => done(n, "yes", bytes));
    other.on("question", (n, done) => done(n, "no"));
    one.emit("ask", "self");
    await until("the reply to the ack is done", () => one.heard.some(([event]) => event === "thanks"));
    assert.deepEqual(one.heard.find(([event]) => event === "thanks").slice(1, 3), [1, "yes"]);
    const [mine] = await backend.asked("ack");
    assert.deepEqual([mine.token, mine.sid, mine.nsp, mine.args[1], mine.attachments, mine.timeout], ["mine", one.id, "/", "yes", ["AP8="], undefined]);
    for (const socket of [one, deaf, other]) await ask(socket, "join", "chat");
    one.emit("ask", "room");
    const acks = (await backend.asked("ack", 4)).slice(1);
    const by = Object.fromEntries(acks.map((call) => [call.sid, call]));
    assert.deepEqual(Object.keys(by).sort(), [one.id, deaf.id, other.id].sort());
    assert.deepEqual([by[one.id].args[1], by[other.id].args[1], by[deaf.id].timeout, by[deaf.id].args], ["yes", "no", true, undefined]);
    assert.deepEqual(by[one.id].client, { acked: true });
    one.emit("ask", "room");
    await until("they are asked again", () => deaf.heard.filter(([event]) => event === "question").length === 2);
    deaf.close();
    const gone = (await backend.asked("ack", 7)).slice(4).find((call) => call.timeout);
    assert.equal(gone.token, "theirs", "one that left is told of at once");
    one.close(), other.close();
  }
});
