// [[identity]] kind = "session": web applications' sessions in Redis, written by express-session and connect-redis themselves. Rows S1.3,
// S4.1, S4.14.
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { io } from "socket.io-client";
import { createClient, createCluster } from "redis";
import { startBackend, table } from "./lib/backend.mjs";
import { startCluster, startRedis, startRedisAndWire, testRedis } from "./lib/redis.mjs";
import { upgraded } from "./lib/raw.mjs";
import { SLOWER, until, within } from "./lib/util.mjs";

const require = createRequire(import.meta.url);
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const SECRET = "keyboard cat, é";
const LATE = 4000 * SLOWER; // ms that a machine which is busy with other things may need to carry out what is due
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];
const sign = (id, secret = SECRET) => `connect.sid=${encodeURIComponent(`s:${id}.${createHmac("sha256", secret).update(id).digest("base64").replace(/=+$/, "")}`)}`;

/* The web application: an express-session server. Gives sessions as browsers get them. */
async function startApplication(redis, { secret = SECRET, ...cookie } = {}) {
  const client = createClient({ url: redis.url });
  await client.connect();
  const middleware = session({ store: new RedisStore({ client }), secret, resave: false, saveUninitialized: false, cookie: { maxAge: 3600_000, ...cookie } });
  const server = createServer((request, response) => middleware(request, response, (error) => {
    const url = new URL(request.url, "http://localhost");
    if (error) return response.writeHead(500).end(String(error));
    if (url.pathname === "/login") Object.assign(request.session, JSON.parse(url.searchParams.get("session")));
    if (url.pathname === "/logout") return request.session.destroy(() => response.end());
    response.end(request.sessionID);
  }));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const get = (path, headers) => fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers });
  return {
    async login(values) {
      const answer = await get(`/login?session=${encodeURIComponent(JSON.stringify(values))}`);
      return { cookie: answer.headers.get("set-cookie").split(";")[0], id: await answer.text() };
    },
    touch: (cookie) => get("/", { cookie }),
    logout: (cookie) => get("/logout", { cookie }),
    async close() {
      server.closeAllConnections();
      server.close();
      client.destroy();
    },
  };
}

async function come(broker, options) {
  const socket = io(`http://127.0.0.1:${broker.port}`, { forceNew: true, reconnection: false, ...options });
  const outcome = await within(10000, new Promise((done) => {
    socket.once("connect", () => done({ connected: true }));
    socket.once("connect_error", (error) => done({ refused: error.message }));
  }), "the connect ends");
  return { socket, ...outcome };
}

const row = (more) => ({ kind: "session", from: ["cookie.connect.sid"], secrets: [SECRET], refused: "Unauthorized", ...more });
const who = [{ on: "who", ack: ["{user}"] }];

async function withApplication(redis, options, test) {
  const application = await startApplication(redis, options);
  try {
    await test(application);
  } finally {
    await application.close();
  }
}

testRedis("the cookie of a web application's session says who a client is, over every protocol", {
  brokers: 1,
  config: { "socketio.path": "/socket.io/", identity: [row({ secrets: ["a-newer-one", SECRET], attributes: { name: "{session.name}" } })], event: who, endpoint: [{ path: "/live", protocol: "raw" }] },
}, async ({ brokers: [broker], redis }) => withApplication(redis, {}, async (application) => {
  const ann = await application.login({ userId: 42, name: "Ann" });
  for (const transports of TRANSPORTS) {
    const { socket, connected } = await come(broker, { transports, extraHeaders: { cookie: `a=b; ${ann.cookie}` } });
    assert.ok(connected);
    assert.deepEqual(await socket.emitWithAck("who"), { id: "42", name: "Ann" });
    socket.close();
  }
  assert.equal((await broker.connect({ headers: { Cookie: ann.cookie } })).welcome.user, "42");
  assert.equal(await upgraded(broker, "/live", { Cookie: ann.cookie }), 101);
  const newer = await application.login({ userId: 43 });
  assert.equal((await broker.connect({ headers: { Cookie: sign(newer.id, "a-newer-one") } })).welcome.user, "43", "secrets can be changed");

  const anonymous = await application.login({ cart: 1 });
  for (const [cookie, why] of [
    [sign(ann.id, "another secret"), "another secret"], [`connect.sid=${ann.id}`, "not signed"], [`${ann.cookie}x`, "a longer signature"],
    [ann.cookie.slice(0, -1), "a shorter one"], ["connect.sid=s%3A.x", "no id"], [sign(`${ann.id}x`), "no such session"], [sign("../x"), "no id of a session"],
    [sign("a".repeat(129)), "too long"], [anonymous.cookie, "a session of nobody"], ["a=b", "none"],
  ]) {
    assert.equal(await upgraded(broker, "/ws", { Cookie: cookie }), 401, why);
    for (const transports of TRANSPORTS.slice(0, 2)) {
      const refused = await come(broker, { transports, extraHeaders: { cookie } });
      assert.equal(refused.refused, "Unauthorized", why);
      refused.socket.close();
    }
  }
  for (const [value, why] of [["no json", "no JSON"], ["[1]", "no object"], [JSON.stringify({ userId: "1", text: "x".repeat(40000) }), "too large"], ["", "empty"],
    [JSON.stringify({ userId: "1", cookie: { expires: "2020-01-01T00:00:00.000Z" } }), "expired"], [JSON.stringify({ userId: { a: 1 } }), "a user that is none"]]) {
    await redis.command("SET", "sess:odd", value);
    await until("what was known of it is old", async () => (await upgraded(broker, "/ws", { Cookie: sign("odd") })) === 401 || assert.fail(why));
    await redis.command("DEL", "sess:odd");
    const client = await broker.connect({ headers: { Cookie: ann.cookie } });
    assert.equal(client.welcome.user, "42");
    client.socket.close();
  }
  await redis.command("HSET", "sess:hash", "userId", "1");
  assert.equal(await upgraded(broker, "/ws", { Cookie: sign("hash") }), 401);
  await until("the log says so", () => broker.log.some((line) => line.includes("identity_refused") && /reason="the cookie's signature is of none of the secrets"/.test(line)));
  for (const line of broker.log) assert.ok(!line.includes(ann.id) && !line.includes(SECRET), line);
}));

testRedis("ids that the client sends, its user compared, attributes, anonymous ones: the calls of S4", {
  brokers: 1,
  config: {
    "socketio.path": "/socket.io/",
    identity: [{
      kind: "session", from: ["auth.sessionID"], user: "{session.userId}", same: { "auth.userId": "{session.userId}" }, required: false,
      attributes: { name: "{session.name}", email: "{session.email}", admin: "{session.isAdmin}", tier: "{session.tier}" },
    }],
    event: who,
  },
}, async ({ brokers: [broker], redis }) => withApplication(redis, {}, async (application) => {
  const { id } = await application.login({ userId: "u1", name: "Ann", email: "ann@example.com", isAdmin: true, tier: "premium" });
  for (const transports of TRANSPORTS) {
    const { socket } = await come(broker, { transports, auth: { sessionID: id, userId: "u1" } });
    assert.deepEqual(await socket.emitWithAck("who"), { id: "u1", name: "Ann", email: "ann@example.com", admin: true, tier: "premium" });
    socket.close();
    assert.equal((await come(broker, { transports, auth: { sessionID: id, userId: "u2" } })).refused, "Authentication failed", "somebody else's session");
    assert.equal((await come(broker, { transports, auth: { sessionID: id } })).refused, "Authentication failed");
    assert.equal((await come(broker, { transports, auth: { sessionID: "no-such-session", userId: "u1" } })).refused, "Authentication failed");
    const nobody = await come(broker, { transports });
    assert.equal(await nobody.socket.emitWithAck("who"), null);
    nobody.socket.close();
  }
  const native = await broker.connect();
  assert.equal((await native.request({ type: "auth", sessionID: id, userId: "u1" })).user, "u1");
  await native.refused(401, { type: "auth", sessionID: "other", userId: "u1" });
}));

testRedis("who logs out is sent away within two seconds, on every instance", {
  brokers: 2,
  workers: 2, config: { "http.api_keys": ["key-of-the-tests"], "socketio.path": "/socket.io/", identity: [row()], event: who },
}, async ({ brokers, redis }) => withApplication(redis, {}, async (application) => {
  const [ann, bob] = [await application.login({ userId: "ann" }), await application.login({ userId: "bob" })];
  const gone = [];
  const stay = [];
  for (const broker of brokers) {
    for (const transports of TRANSPORTS) {
      const { socket } = await come(broker, { transports, extraHeaders: { cookie: ann.cookie } });
      // Who is ended in the midst of an upgrade hears no more than that its transport has.
      await until("it has upgraded", () => socket.io.engine.transport.name === transports.at(-1));
      gone.push(new Promise((done) => socket.once("disconnect", (reason) => done([reason, Date.now()]))));
    }
    for (let i = 0; i < 4; i++) gone.push((await broker.connect({ headers: { Cookie: ann.cookie } })).closed.then((how) => [how, Date.now()]));
    stay.push(await broker.connect({ headers: { Cookie: bob.cookie } }));
  }
  const at = Date.now();
  await application.logout(ann.cookie);
  for (const one of gone) {
    const [how, when] = await within(5000, one, "it is closed");
    assert.ok(how === "io server disconnect" || (how.code === 4401 && how.reason === "unauthorized"), JSON.stringify(how));
    assert.ok(when - at < LATE, `${when - at} ms after`);
  }
  for (const broker of brokers) await until("it is over there, too", async () => (await upgraded(broker, "/ws", { Cookie: ann.cookie })) === 401);
  for (const client of stay) await client.request({ type: "ping" });
  assert.equal((await Promise.all(brokers.map(async (broker) => (await broker.metrics())("ringcast_identity_logged_out_total")))).reduce((a, b) => a + b), 14);
  // And by an explicit call, on every instance.
  const answer = await brokers[0].get("/api/disconnect", { method: "POST", headers: { authorization: "Bearer key-of-the-tests", "content-type": "application/json" }, body: JSON.stringify({ user: "bob" }) });
  assert.equal(answer.status, 200, answer.body);
  for (const client of stay) await within(10000, client.closed, "it is closed");
}));

testRedis("a session ends to the second, unless the application makes it longer", {
  brokers: 1, config: { identity: [row()] },
}, async ({ brokers: [broker], redis }) => {
  const at = Date.now() + 6000; // of the first one, at the earliest
  const value = JSON.stringify({ userId: "1", cookie: { expires: new Date(Date.now() + 5000).toISOString() } });
  for (const id of ["ends", "longer"]) await redis.command("SET", `sess:${id}`, value, "PX", 6000);
  await redis.command("SET", "sess:says", JSON.stringify({ userId: "1", cookie: { expires: new Date(Date.now() + 6000).toISOString() } }));
  await redis.command("SET", "sess:ever", JSON.stringify({ userId: "1", cookie: { expires: null } }));
  const latest = Date.now() + 6000;
  const [ends, longer, says, ever] = await Promise.all(["ends", "longer", "says", "ever"].map((id) => broker.connect({ headers: { Cookie: sign(id) } })));
  await redis.command("PEXPIRE", "sess:longer", 60000);
  for (const client of [ends, says]) {
    assert.equal((await within(20000, client.closed, "it is closed")).code, 4401);
    const now = Date.now();
    assert.ok(now > at - 1000 && now < latest + LATE, `${now - at} ms after`);
  }
  for (const client of [longer, ever]) await client.request({ type: "ping" });
});

let backend;
let end; // in seconds
testRedis("a session that goes on does not outlast the end that a backend sets", {
  brokers: 1,
  start: async () => {
    backend = await startBackend({ answer: () => ({ expire_at: (end = Math.floor(Date.now() / 1000) + 7) }) });
    return startRedis();
  },
  config: {
    identity: [row()],
    get backend() {
      return [table(backend, { calls: ["connect"] })];
    },
  },
}, async ({ brokers: [broker], redis }) => {
  try {
    await redis.command("SET", "sess:bound", JSON.stringify({ userId: "1" }), "EX", 60);
    const client = await broker.connect({ headers: { Cookie: sign("bound") } });
    assert.equal(client.welcome.user, "1");
    assert.equal((await within(20000, client.closed, "it is closed")).code, 4401);
    const late = Date.now() - end * 1000;
    assert.ok(late > -1500 && late < LATE, `${late} ms after`);
  } finally {
    await backend.stop();
  }
});

testRedis("2,000 reconnects with one session are a few reads of it", {
  brokers: 1, workers: 2, config: { identity: [row()] },
}, async ({ brokers: [broker], redis }) => withApplication(redis, {}, async (application) => {
  const { cookie } = await application.login({ userId: "1" });
  const gets = async () => Number((await redis.command("INFO", "commandstats")).match(/cmdstat_get:calls=(\d+)/)?.[1] ?? 0);
  const before = await gets();
  const began = Date.now();
  for (let i = 0; i < 40; i++) {
    const clients = await Promise.all(Array.from({ length: 50 }, () => broker.connect({ headers: { Cookie: cookie } })));
    for (const client of clients) client.socket.terminate();
  }
  const seconds = Math.ceil((Date.now() - began) / 1000);
  const reads = (await gets()) - before;
  assert.ok(reads > 0 && reads <= 2 * (seconds + 1), `${reads} reads in ${seconds} s by 2 workers`);
}));

testRedis("without Redis nobody new comes and who is there stays; when it is back they come", {
  start: startRedisAndWire, brokers: 1, url: (redis) => redis.wire.url,
  config: { "socketio.path": "/socket.io/", identity: [row({ required: false, name: "app" })] },
}, async ({ brokers: [broker], redis }) => {
  await redis.command("SET", "sess:a", JSON.stringify({ userId: "1" }));
  const health = async () => JSON.parse((await broker.get("/health/database")).body);
  const here = await broker.connect({ headers: { Cookie: sign("a") } });
  assert.deepEqual([(await health()).status, (await health()).backends[0].backend], ["healthy", "app"]);
  redis.wire.cut();
  await until("it is noticed", async () => (await upgraded(broker, "/ws", { Cookie: sign("b") })) === 503);
  assert.equal((await come(broker, { transports: ["websocket"], extraHeaders: { cookie: sign("c") } })).refused, "Service unavailable");
  assert.equal(await upgraded(broker, "/ws", {}), 101, "anonymous");
  await until("it is told", async () => (await health()).status === "unhealthy");
  await here.request({ type: "ping" });
  redis.wire.mend();
  await until("it comes", async () => (await upgraded(broker, "/ws", { Cookie: sign("a") })) === 101, { timeout: 20000 });
  await until("it is told", async () => (await health()).status === "healthy");
  await here.request({ type: "ping" });
});

testRedis("/health/database says how Redis stands though nobody comes", {
  start: startRedisAndWire, brokers: 1, url: (redis) => redis.wire.url, config: { identity: [row()] },
}, async ({ brokers: [broker], redis }) => {
  const says = (status) => until(`it says ${status}`, async () => (await broker.get("/health/database")).status === status, { timeout: 15000 });
  const asked = async () => Number(/cmdstat_exists:calls=(\d+)/.exec(await redis.command("INFO", "commandstats"))?.[1] ?? 0);
  await until("it has looked", async () => (await asked()) > 0, { timeout: 15000 });
  for (const end of [() => redis.wire.cut(), () => redis.wire.mute()]) {
    await says(200);
    end();
    await says(503);
    redis.wire.mend();
  }
  await says(200);
  redis.wire.cut();
  await says(503);
  broker.kill("SIGKILL", 0); // its successor knows nothing of it
  redis.wire.mend();
  await says(200);
});

testRedis("a restart of the relay loses no question", {
  brokers: 1, config: { identity: [row()] },
}, async ({ brokers: [broker], redis }) => {
  for (let i = 0; i < 20; i++) await redis.command("SET", `sess:${i}`, JSON.stringify({ userId: `u${i}` }));
  redis.signal("SIGSTOP");
  const asked = Array.from({ length: 20 }, (_, i) => broker.connect({ headers: { Cookie: sign(String(i)) } }));
  await until("they wait", async () => (await broker.metrics())("ringcast_identity_waiting") === 20);
  broker.kill("SIGKILL", "relay");
  redis.signal("SIGCONT");
  const outcomes = await Promise.allSettled(asked);
  assert.ok(outcomes.every(({ status, value, reason }, i) => (status === "fulfilled" ? value.welcome.user === `u${i}` : /503/.test(String(reason)))), JSON.stringify(outcomes.map(({ reason }) => String(reason))));
  await until("they come", async () => (await upgraded(broker, "/ws", { Cookie: sign("1") })) === 101);
});

testRedis("sessions in a Cluster, each by its slot", {
  start: () => startCluster({ replicas: 0 }), brokers: 1, config: { identity: [row()] },
}, async ({ brokers: [broker], redis: cluster }) => {
  const store = createCluster({ rootNodes: cluster.nodes.map(({ url }) => ({ url })) });
  await store.connect();
  const ids = Array.from({ length: 12 }, () => randomBytes(12).toString("hex"));
  for (const id of ids) await store.set(`sess:${id}`, JSON.stringify({ userId: id }));
  const clients = await Promise.all(ids.map((id) => broker.connect({ headers: { Cookie: sign(id) } })));
  clients.forEach((client, i) => assert.equal(client.welcome.user, ids[i]));
  await store.del(`sess:${ids[5]}`);
  assert.equal((await within(10000, clients[5].closed, "it is closed")).code, 4401);
  for (const [i, client] of clients.entries()) if (i !== 5) await client.request({ type: "ping" });
  store.destroy();
});
