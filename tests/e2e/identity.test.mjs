// [[identity]]: who clients are, by token, proxy and certificate, over every protocol. Rows S1.3, S2.5, S3.1, S4.6, S4.14.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";
import { Socket as EngineSocket } from "engine.io-client";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { testBroker } from "./lib/broker.mjs";
import { APP, pusherConfig } from "./lib/pusher.mjs";
import { upgradeRequest, upgraded } from "./lib/raw.mjs";
import { openStream } from "./lib/sse.mjs";
import { CA, CA_FILE, certificate } from "./lib/tls.mjs";
import { SLOWER, freePort, until, within } from "./lib/util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
const token = (user, { expiresIn = "1h", secret = SECRET, ...claims } = {}) => jwt.sign({ sub: user, ...claims }, secret, { algorithm: "HS256", expiresIn });
const row = (more) => ({ from: ["auth.token", "query.token", "header.authorization", "cookie.token"], secret: SECRET, ...more });
const LATE = 4000 * SLOWER; // ms that a machine which is busy with other things may need to carry out what is due
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

/* A socket.io client of a broker or an address, and how its connect ended. */
async function come(broker, options, nsp = "/") {
  const socket = io(`${broker.origin ?? `http://127.0.0.1:${broker.port}`}${nsp}`, { forceNew: true, reconnection: false, ...options });
  const outcome = await within(10000, new Promise((done) => {
    socket.once("connect", () => done({ connected: true }));
    socket.once("connect_error", (error) => done({ refused: error.message, data: error.data }));
  }), "the connect ends");
  return { socket, ...outcome };
}

const heard = (socket, event) => within(5000, new Promise((done) => socket.once(event, (...args) => done(args))), event);

const KEY = "key-of-the-tests";
const call = async (broker, path, body) => assert.equal((await broker.get(path, { method: "POST", headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" }, body: JSON.stringify(body) })).status, 200);

/* A WebSocket that is open: how it ends. */
async function endOf(broker, path) {
  const socket = new WebSocket(`ws://${broker.host}${path}`);
  const ended = new Promise((done) => socket.once("close", (code) => done(code)));
  await within(10000, new Promise((done, failed) => socket.once("open", done).once("error", failed)), "it opens");
  return { ended };
}

testBroker("who is refused is told why, and data with it, in every encoding", {
  workers: 1, config: { "socketio.path": "/socket.io/", identity: [row({ refused: "Please log in", refused_data: '{"content":"again","after":[1.50,"\u00e9"]}' })] },
}, async (broker) => {
  for (const parser of [undefined, createRequire(import.meta.url)("socket.io-msgpack-parser")]) {
    for (const transports of TRANSPORTS) {
      const { socket, refused, data } = await come(broker, { transports, parser, auth: { token: "nonsense" } });
      assert.deepEqual([refused, data], ["Please log in", { content: "again", after: [1.5, "\u00e9"] }]);
      socket.close();
    }
  }
});

testBroker("Socket.IO clients say who they are when they connect", {
  workers: 2,
  config: {
    "http.api_keys": [KEY], "socketio.path": "/socket.io/", "socketio.namespaces": ["/", "/admin"],
    identity: [row({ attributes: { name: "{claims.name}", tier: "{claims.tier}" } })],
    event: [
      { on: "who", ack: ["{user}", "{user.id}", "{user.tier}"] },
      { on: "who", nsp: "/admin", ack: ["{user.id}"] },
    ],
  },
}, async (broker) => {
  for (const transports of TRANSPORTS) {
    const { socket, connected } = await come(broker, { transports, auth: { token: token("42", { name: "Ann", tier: { level: 2 } }) } });
    assert.ok(connected);
    const answer = await within(5000, new Promise((done) => socket.emit("who", (...args) => done(args))), "an answer");
    assert.deepEqual(answer, [{ id: "42", name: "Ann", tier: { level: 2 } }, "42", { level: 2 }]);
    const message = heard(socket, "message");
    await call(broker, "/api/publish", { channel: "user:42", data: { n: 1 } });
    assert.deepEqual(await message, [{ n: 1 }]);
    socket.close();

    for (const [auth, why] of [
      [{}, "nothing"], [{ token: "" }, "an empty one"], [{ token: "nonsense" }, "no token"], [{ token: 7 }, "a number"], [{ token: { a: 1 } }, "an object"],
      [{ token: token("42", { secret: "another-secret-of-thirty-two-bytes!!" }) }, "another secret"],
      [{ token: token("42", { expiresIn: -3600 }) }, "expired"],
      [{ token: jwt.sign({ sub: "42" }, SECRET, { algorithm: "HS256" }) }, "without exp"],
      [{ token: `${token("42").split(".").slice(0, 2).join(".")}.` }, "without a signature"],
      [{ token: token("a\u0000b") }, "a user that can be none"],
    ]) {
      const refused = await come(broker, { transports, auth });
      assert.equal(refused.refused, "Authentication failed", why);
      refused.socket.close();
    }
  }
  const query = await come(broker, { transports: ["polling"], query: { token: token("7") } });
  assert.equal((await query.socket.emitWithAck("who")).id, "7", "of its first request");
  query.socket.close();

  // One connection is one user's, in all its namespaces.
  const { socket } = await come(broker, { auth: { token: token("42") } });
  const other = socket.io.socket("/admin", { auth: { token: token("43") } });
  assert.equal((await heard(other, "connect_error"))[0].message, "another user on this connection");
  other.auth = { token: token("42") };
  other.connect();
  await heard(other, "connect");
  assert.equal(await other.emitWithAck("who"), "42");
  socket.io.engine.close();
});

testBroker("at the handshake a request is answered 401", {
  workers: 1,
  config: { "socketio.path": "/socket.io/", identity: [row({ from: ["query.token", "header.authorization", "cookie.token"], at: "handshake", refused: "Unauthorized" })] },
}, async (broker) => {
  const polled = async (headers, query = "") => {
    const answer = await fetch(`http://127.0.0.1:${broker.port}/socket.io/?EIO=4&transport=polling${query}`, { headers });
    return [answer.status, await answer.text()];
  };
  assert.equal((await polled({}))[0], 401);
  assert.match((await polled({}))[1], /Unauthorized/);
  assert.equal((await polled({ authorization: "Bearer nonsense" }))[0], 401);
  assert.equal((await polled({ authorization: `Bearer ${token("1")}` }))[0], 200);
  assert.equal((await polled({ cookie: `a=b; token=${encodeURIComponent(token("1"))}; token=x` }))[0], 200);
  assert.equal((await polled({ cookie: "token=x" }, `&token=${token("1")}`))[0], 200, "the first of `from` counts");
  assert.equal((await polled({ cookie: `token=${token("1")}` }, "&token=x"))[0], 401, "and decides");
  const { connected, socket } = await come(broker, { transports: ["websocket"], extraHeaders: { authorization: `bearer ${token("9")}` } });
  assert.ok(connected);
  socket.close();
  assert.equal((await come(broker, { transports: ["websocket"] })).connected, undefined);
});

testBroker("native and raw clients say it with their upgrade, or native ones in their first message", {
  workers: 2,
  config: { "http.api_keys": [KEY], identity: [row()], "limits.handshake_timeout": "6s", endpoint: [{ path: "/live", protocol: "raw", join: ["*"] }] },
}, async (broker) => {
  assert.equal((await broker.connect({ path: `/ws?token=${token("42")}` })).welcome.user, "42");
  assert.equal((await broker.connect({ headers: { Authorization: `Bearer ${token("42")}` } })).welcome.user, "42");
  assert.equal(await upgraded(broker, "/ws?token=nonsense", {}), 401);
  assert.equal(await upgraded(broker, "/live", {}), 401, "a raw client can say it no later");
  assert.equal(await upgraded(broker, `/live?token=${token("1")}`, {}), 101);

  const client = await broker.connect();
  assert.equal(client.welcome.user, null);
  for (const operation of [{ type: "subscribe", channel: "a" }, { type: "publish", channel: "a", data: 1 }, { type: "broadcast", data: 1 }, { type: "presence", channel: "a" }]) await client.refused(401, operation);
  const watcher = await broker.connect({ path: `/ws?token=${token("1")}` });
  await call(broker, "/api/broadcast", { data: "before" });
  await watcher.next("message");
  const answer = await client.request({ type: "auth", token: token("42") });
  assert.deepEqual([answer.type, answer.user], ["authenticated", "42"]);
  await call(broker, "/api/broadcast", { data: "after" });
  assert.equal((await client.next("message")).data, "after", "nothing was heard before");
  await call(broker, "/api/publish", { channel: "user:42", data: "yours" });
  assert.equal((await client.next("message")).data, "yours");
  assert.equal((await client.request({ type: "auth", token: token("42") })).type, "authenticated", "again");
  await client.refused(409, { type: "auth", token: token("43") });
  await client.refused(401, { type: "auth", token: "nonsense" });
  await client.refused(401, { type: "auth" });
  assert.equal(client.isClosed, false);

  const wrong = await broker.connect();
  wrong.send({ type: "auth", token: "nonsense", id: 1 });
  assert.deepEqual(await within(5000, wrong.closed, "it is closed"), { code: 4401, reason: "unauthorized" });
  const silent = await broker.connect();
  assert.deepEqual(await within(20000, silent.closed, "it is closed"), { code: 4401, reason: "unauthorized" });
});

testBroker("a browser's native client says it by a subprotocol: nothing else goes with its upgrade", {
  workers: 1, config: { "log.level": "debug", identity: [row({ from: ["header.sec-websocket-protocol"] })] },
}, async (broker) => {
  const open = (...protocols) => new Promise((done) => {
    const socket = new WebSocket(`ws://${broker.host}/ws`, protocols);
    broker.keep(Object.assign(socket, { closed: new Promise((end) => socket.once("close", end)) }));
    socket.once("message", (message) => done([socket.protocol, JSON.parse(message).user]));
    socket.once("unexpected-response", (request, response) => (response.resume(), done(response.statusCode)));
    socket.once("error", () => {});
  });
  const [good, other] = [token("42"), token("43")];
  assert.deepEqual(await open("ringcast.v1", `bearer.${good}`), ["ringcast.v1", "42"]);
  assert.deepEqual(await open(`bearer.${good}`, "ringcast.v1"), ["ringcast.v1", "42"]);
  assert.equal(await open("ringcast.v1"), 401);
  assert.equal(await open("ringcast.v1", `bearer.${good}`, `bearer.${other}`), 401, "which of them?");
  assert.equal(await open("ringcast.v1", `bearer.${token("42", { secret: "another-secret-of-thirty-two-bytes!!" })}`), 401);
  const raw = await broker.raw();
  raw.write(upgradeRequest("/ws", { "Sec-WebSocket-Protocol": `bearer.${good}` }));
  const { status, headers } = await raw.response();
  assert.deepEqual([status, headers["sec-websocket-protocol"]], [101, undefined], "the token is not said back");
});

testBroker("without `required` who says nothing is anonymous, and a wrong credential is refused all the same", {
  workers: 1, config: { "http.api_keys": [KEY], "socketio.path": "/socket.io/", identity: [row({ required: false })] },
}, async (broker) => {
  const client = await broker.connect();
  assert.equal(client.welcome.user, null);
  await client.subscribe("a");
  assert.equal((await client.request({ type: "auth", token: token("5") })).user, "5");
  await call(broker, "/api/publish", { channel: "user:5", data: 1 });
  assert.equal((await client.next("message")).channel, "user:5");
  assert.equal(await upgraded(broker, "/ws?token=x", {}), 401);
  assert.ok((await come(broker, {})).connected);
  assert.equal((await come(broker, { auth: { token: "x" } })).refused, "Authentication failed");
});

testBroker("a credential ends to the second, and can be renewed before", {
  workers: 2,
  config: { "socketio.path": "/socket.io/", identity: [row({ leeway: "0s" })] },
}, async (broker) => {
  const seconds = (n) => Math.ceil(Date.now() / 1000) + n;
  const until_ = (user, exp) => jwt.sign({ sub: user, exp }, SECRET, { algorithm: "HS256" });
  const ends = seconds(7); // before which all of them are there, and one has renewed
  const native = await broker.connect({ path: `/ws?token=${until_("1", ends)}` });
  const renewed = await broker.connect({ path: `/ws?token=${until_("1", ends)}` });
  const sockets = await Promise.all(TRANSPORTS.map((transports) => come(broker, { transports, auth: { token: until_("2", ends) } })));
  const left = sockets.map(({ socket }) => new Promise((done) => socket.once("disconnect", (reason) => done([reason, Date.now()]))));
  assert.equal((await renewed.request({ type: "auth", token: until_("1", seconds(3600)) })).type, "authenticated");
  assert.deepEqual(await within(20000, native.closed, "it is closed"), { code: 4401, reason: "unauthorized" });
  const late = Date.now() - ends * 1000;
  assert.ok(late >= 0 && late < LATE, `closed ${late} ms after`);
  for (const one of left) {
    const [reason, at] = await within(20000, one, "it is closed");
    assert.equal(reason, "io server disconnect");
    assert.ok(at - ends * 1000 >= 0 && at - ends * 1000 < LATE, `${at - ends * 1000} ms after`);
  }
  await renewed.request({ type: "ping" });
  await until("counted", async () => (await broker.metrics())("ringcast_identity_expired_total") === 4);
});

testBroker("a credential ends to the second over every other protocol, too, for those who wait for nothing and those who are just being told something", {
  workers: 2,
  config: {
    "http.api_keys": [KEY], "socketio.path": "/socket.io/", identity: [row({ from: ["query.token"], leeway: "0s", at: "handshake" })], ...pusherConfig(),
    endpoint: [{ path: "/raw", protocol: "raw" }, { path: "/eio/", protocol: "engineio" }, { path: "/app", protocol: "pusher" }],
  },
}, async (broker) => {
  const ends = Math.ceil(Date.now() / 1000) + 8;
  const said = jwt.sign({ sub: "1", exp: ends }, SECRET, { algorithm: "HS256" });
  const query = `token=${said}`;
  const at = {};
  const notes = (name, how) => (at[name] = how.then((told) => [told, Date.now()]));
  notes("raw", (await endOf(broker, `/raw?${query}`)).ended);
  notes("Pusher", (await endOf(broker, `/app/${APP.key}?protocol=7&${query}`)).ended);
  const stream = await openStream(broker, `/sse?channel=a&${query}`);
  notes("SSE", stream.next("close", 20000).then(({ data }) => JSON.parse(data)).then(async ({ code }) => [code, (await stream.closed).whole]));
  for (const transport of ["polling", "websocket"]) {
    const engine = new EngineSocket(`http://${broker.host}`, { path: "/eio/", transports: [transport], query: { token: said } });
    notes(`bare Engine.IO, ${transport}`, new Promise((done) => engine.once("close", done)));
    await within(10000, new Promise((done) => engine.once("open", done)), "it opens");
  }
  notes("native, in the middle of messages", (await broker.connect({ path: `/ws?${query}` })).closed.then(({ code }) => code));
  // One polling client has no request waiting when the time comes: its next one is told so.
  const { sid } = JSON.parse((await broker.get(`/socket.io/?EIO=4&transport=polling&${query}`)).body.slice(1));
  const url = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  await broker.get(url, { method: "POST", body: "40" });
  assert.match((await broker.get(url)).body, /^40/);
  assert.ok(Date.now() < ends * 1000, "all are there before it ends");
  let going = true;
  const telling = (async () => {
    while (going) await call(broker, "/api/publish", { channel: "user:1", data: Date.now() });
  })();
  for (const [name, how] of Object.entries({ raw: 4401, SSE: [4401, true], Pusher: 4009, "bare Engine.IO, polling": "transport close", "bare Engine.IO, websocket": "transport close", "native, in the middle of messages": 4401 })) {
    const [told, when] = await within(20000, at[name], name);
    assert.deepEqual(told, how, name);
    assert.ok(when >= ends * 1000 && when - ends * 1000 < LATE, `${name}: ${when - ends * 1000} ms after`);
  }
  going = false;
  await telling;
  // What was said to it before that, then the news, and nothing of what was said meanwhile: or its time to ask is over.
  const { status, body } = await broker.get(url);
  const packets = body.split("\u001e");
  const late = packets.filter((packet) => Number(/^42\["message",(\d+)\]$/.exec(packet)?.[1]) > ends * 1000 + LATE);
  assert.ok(status === 400 || (packets.at(-1) === "41" && late.length === 0), `${status} ${body.slice(-300)}`);
  await until("the session is gone", async () => (await broker.get(url)).status === 400);
});

testBroker("a header that trusted proxies write", {
  workers: 1, config: { "http.trusted_proxies": ["127.0.0.1"], identity: [{ kind: "proxy", from: ["header.X-User"], attributes: { groups: "{header.x-groups}" } }, row()] },
}, async (broker) => {
  assert.equal((await broker.connect({ headers: { "x-user": "u1" } })).welcome.user, "u1");
  assert.equal((await broker.connect({ path: `/ws?token=${token("t")}` })).welcome.user, "t", "the next table is asked");
  assert.equal(await upgraded(broker, "/ws?token=x", {}), 401);
});

const WHO = [{ on: "who", ack: ["{user}"] }];

for (const at of ["connect", "handshake"]) {
  testBroker(`a header that trusted proxies write, for Socket.IO clients, at = "${at}"`, {
    workers: 2, config: { "http.trusted_proxies": ["127.0.0.1"], "socketio.path": "/socket.io/", event: WHO, identity: [{ kind: "proxy", from: ["header.X-User"], attributes: { groups: "{header.x-groups}" }, at }, row({ required: false })] },
  }, async (broker) => {
    for (const transports of TRANSPORTS) {
      const { socket, connected } = await come(broker, { transports, extraHeaders: { "X-User": "u1", "x-groups": "a,b" }, auth: at === "connect" ? { token: token("t") } : {} });
      assert.ok(connected, `the first table decides: ${transports}`);
      assert.deepEqual(await socket.emitWithAck("who"), { id: "u1", groups: "a,b" });
      socket.close();
      const { refused } = await come(broker, { transports });
      assert.ok(at === "connect" ? refused === "Authentication failed" : /401|websocket error|xhr poll error/.test(refused), refused);
    }
  });
}

testBroker("nobody else's header counts", {
  workers: 1, config: { "http.trusted_proxies": ["10.0.0.1"], "socketio.path": "/socket.io/", identity: [{ kind: "proxy", from: ["header.X-User"] }] },
}, async (broker) => {
  assert.equal(await upgraded(broker, "/ws", { "X-User": "u1" }), 401);
  for (const transports of TRANSPORTS) assert.equal((await come(broker, { transports, extraHeaders: { "X-User": "u1" } })).refused, "Authentication failed");
});

const server = certificate("server");
const alice = certificate("alice", { names: [] });
const odd = certificate("odd", { names: [], subject: "/CN=a\u0085b" });
const tlsPort = await freePort();
const shows = ({ cert, key } = {}) => ({ ca: CA, cert, key });
const tables = (...all) => ({
  "tls.listen": [`127.0.0.1:${tlsPort}`], "tls.certificates": [server.path], "tls.client_ca": CA_FILE,
  "socketio.path": "/socket.io/", endpoint: [{ path: "/live", protocol: "raw" }], event: WHO, identity: all,
});
/* How an upgrade over TLS is answered; who it is, as native clients are told. */
const secure = async (path, files) => {
  const socket = new WebSocket(`wss://localhost:${tlsPort}${path}`, { ...shows(files), family: 4 });
  return within(10000, new Promise((done) => {
    socket.once("unexpected-response", (_, { statusCode }) => done(statusCode));
    socket.once("error", (error) => done(error.message));
    socket.once("message", (text) => done(JSON.parse(text)));
    if (path.startsWith("/live")) socket.once("open", () => done(101));
  }).finally(() => socket.terminate()), "the upgrade ends");
};
const comeSecurely = (files, options) => come({ origin: `https://localhost:${tlsPort}` }, { ...shows(files), ...options });

testBroker("the name in a client's certificate, in the order of the tables, with attributes, over every protocol", {
  workers: 2, timeout: 60000, config: tables(row({ required: false }), { kind: "certificate", attributes: { by: "certificate", agent: "{header.x-agent}" }, required: false }),
}, async (broker) => {
  assert.equal((await secure("/ws", alice)).user, "alice");
  assert.equal((await secure("/ws")).user, null, "nobody");
  assert.equal((await secure(`/ws?token=${token("t")}`, alice)).user, "t", "the token's table is the first");
  assert.equal(await secure("/ws?token=x", alice), 401, "and decides");
  assert.equal(await secure("/ws", odd), 401, "no user can be called so");
  assert.equal((await broker.connect()).welcome.user, null, "of a plain connection nothing is known");
  for (const transports of TRANSPORTS) {
    const { socket, connected } = await comeSecurely(alice, { transports, extraHeaders: { "X-Agent": "7" } });
    assert.ok(connected, String(transports));
    assert.deepEqual(await socket.emitWithAck("who"), { id: "alice", by: "certificate", agent: "7" });
    socket.close();
    const named = await comeSecurely(alice, { transports, auth: { token: token("t") } });
    assert.deepEqual(await named.socket.emitWithAck("who"), { id: "t" }, "the token's table is the first");
    named.socket.close();
    const anonymous = await comeSecurely(undefined, { transports, extraHeaders: { certificate: "alice" }, query: { certificate: "alice", proxied: "true" } });
    assert.equal(await anonymous.socket.emitWithAck("who"), null);
    anonymous.socket.close();
  }
});

testBroker("a certificate that has to be there, and one that a table before it compares", {
  workers: 1, config: tables({ kind: "certificate", same: { "query.user": "{query.user}" }, refused: "A certificate, please" }),
}, async (broker) => {
  assert.equal((await secure("/ws?user=alice", alice)).user, "alice");
  assert.equal(await secure("/ws?user=alice"), 401);
  assert.equal(await secure("/ws", alice), 401, "what is missing is like nothing");
  assert.deepEqual([await secure("/live?user=alice", alice), await secure("/live?user=alice")].map(String), ["101", "401"]);
  for (const transports of TRANSPORTS) assert.equal((await comeSecurely(undefined, { transports })).refused, "A certificate, please");
});

testBroker("a credential is in no log", {
  workers: 1, config: { "log.level": "debug", identity: [row()] },
}, async (broker) => {
  const secret = token("42", { secret: "another-secret-of-thirty-two-bytes!!" });
  assert.equal(await upgraded(broker, `/ws?token=${secret}`, {}), 401);
  await until("it is logged", () => broker.log.some((line) => line.includes("identity_refused")));
  for (const line of broker.log) assert.ok(!line.includes(secret) && !line.includes(secret.split(".")[2]) && !line.includes(SECRET), line);
  assert.match(broker.log.find((line) => line.includes("identity_refused")), /reason="signature is wrong"/);
});

test("the token library is the real one", () => assert.equal(jwt.verify(token("1"), SECRET).sub, "1"));
