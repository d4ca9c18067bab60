// [[identity]]: who clients are, by token, proxy and certificate, over every protocol. Rows S1.3, S2.5, S3.1, S4.6, S4.14.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";
import { io } from "socket.io-client";
import { testBroker } from "./lib/broker.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { until, within } from "./lib/util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
const token = (user, { expiresIn = "1h", secret = SECRET, ...claims } = {}) => jwt.sign({ sub: user, ...claims }, secret, { algorithm: "HS256", expiresIn });
const row = (more) => ({ from: ["auth.token", "query.token", "header.authorization", "cookie.token"], secret: SECRET, ...more });
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

/* A socket.io client, and how its connect ended. */
async function come(broker, options, nsp = "/") {
  const socket = io(`http://127.0.0.1:${broker.port}${nsp}`, { forceNew: true, reconnection: false, ...options });
  const outcome = await within(10000, new Promise((done) => {
    socket.once("connect", () => done({ connected: true }));
    socket.once("connect_error", (error) => done({ refused: error.message, data: error.data }));
  }), "the connect ends");
  return { socket, ...outcome };
}

const heard = (socket, event) => within(5000, new Promise((done) => socket.once(event, (...args) => done(args))), event);

const KEY = "key-of-the-tests";
const call = async (broker, path, body) => assert.equal((await broker.get(path, { method: "POST", headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" }, body: JSON.stringify(body) })).status, 200);

/* The status of a native upgrade. */
async function upgraded(broker, path, headers) {
  const raw = await broker.raw();
  raw.write(upgradeRequest(path, headers));
  const answer = await raw.response();
  raw.end();
  return answer.status;
}

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
  config: { "http.api_keys": [KEY], identity: [row()], "limits.handshake_timeout": "2s", endpoint: [{ path: "/live", protocol: "raw", join: ["*"] }] },
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
  assert.deepEqual(await within(10000, silent.closed, "it is closed"), { code: 4401, reason: "unauthorized" });
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
  const ends = seconds(2);
  const native = await broker.connect({ path: `/ws?token=${until_("1", ends)}` });
  const renewed = await broker.connect({ path: `/ws?token=${until_("1", ends)}` });
  const sockets = await Promise.all(TRANSPORTS.map((transports) => come(broker, { transports, auth: { token: until_("2", ends) } })));
  const left = sockets.map(({ socket }) => new Promise((done) => socket.once("disconnect", (reason) => done([reason, Date.now()]))));
  assert.equal((await renewed.request({ type: "auth", token: until_("1", seconds(3600)) })).type, "authenticated");
  assert.deepEqual(await within(10000, native.closed, "it is closed"), { code: 4401, reason: "unauthorized" });
  const late = Date.now() - ends * 1000;
  assert.ok(late >= 0 && late < 1000, `closed ${late} ms after`);
  for (const one of left) {
    const [reason, at] = await within(10000, one, "it is closed");
    assert.equal(reason, "io server disconnect");
    assert.ok(at - ends * 1000 >= 0 && at - ends * 1000 < 1500, `${at - ends * 1000} ms after`);
  }
  await renewed.request({ type: "ping" });
  await until("counted", async () => (await broker.metrics())("ringcast_identity_expired_total") === 4);
});

testBroker("a header that trusted proxies write", {
  workers: 1, config: { "http.trusted_proxies": ["127.0.0.1"], identity: [{ kind: "proxy", from: ["header.X-User"], attributes: { groups: "{header.x-groups}" } }, row()] },
}, async (broker) => {
  assert.equal((await broker.connect({ headers: { "x-user": "u1" } })).welcome.user, "u1");
  assert.equal((await broker.connect({ path: `/ws?token=${token("t")}` })).welcome.user, "t", "the next table is asked");
  assert.equal(await upgraded(broker, "/ws?token=x", {}), 401);
});

testBroker("nobody else's header counts", {
  workers: 1, config: { "http.trusted_proxies": ["10.0.0.1"], identity: [{ kind: "proxy", from: ["header.X-User"] }] },
}, async (broker) => {
  assert.equal(await upgraded(broker, "/ws", { "X-User": "u1" }), 401);
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
