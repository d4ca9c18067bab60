// deploy/examples/s0.toml to s3.toml as they stand there, driven by the calls of the source documents' own clients and backends.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import test from "node:test";
import { join } from "node:path";
import jsonwebtoken from "jsonwebtoken";
import { createClient } from "redis";
import { Server } from "socket.io";
import { createAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import WebSocket from "ws";
import { run } from "./lib/broker.mjs";
import { FOLDER, example, hears, publishUntilHeard, refusal, testExample, told, valueOf } from "./lib/examples.mjs";
import { upgraded } from "./lib/raw.mjs";
import { confirmed, subscribers } from "./lib/redis.mjs";
import { until, within } from "./lib/util.mjs";

const require = createRequire(import.meta.url);
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith(".toml"));

test("`ringcast check` finds every file correct, and says of nothing but secrets that they are to be changed", async () => {
  assert.ok(FILES.length >= 9, FILES.join(" "));
  const readme = example("README.md");
  for (const name of FILES) {
    const { code, stdout, stderr } = await run(["check", join(FOLDER, name)]);
    assert.equal(code, 0, `${name}: ${stderr}`);
    assert.match(stdout, new RegExp(`${name}: correct`));
    const lines = stderr.split("\n").filter((line) => line && !/it would not start here/.test(line));
    const secrets = [...example(name).matchAll(/^\w+ = .*"change-me/gm)].length;
    assert.equal(lines.length, secrets, `${name}: ${stderr}`);
    for (const line of lines) assert.match(line, /warning: .*"change-me…" is what examples have/);
    assert.ok(readme.includes(`\`${name}\``), `README.md tells of ${name}`);
    for (const word of ["Start it:", "Change:", "Variables:"]) assert.ok(example(name).includes(`# ${word}`), `${name} says ${word}`);
  }
});

/* A page's `new WebSocket(url)` with an onmessage that parses JSON, and the session's cookie that the browser sends along. */
async function page(url, headers = {}) {
  const ws = new WebSocket(url, { headers });
  ws.heard = [];
  ws.onmessage = (event) => ws.heard.push(JSON.parse(event.data));
  await within(10000, new Promise((done, failed) => {
    ws.onopen = done;
    ws.onerror = failed;
  }), "it opens");
  return ws;
}

testExample("s0.toml: prices and chat of several servers, by the channels, sets and heartbeats of the source", { file: "s0.toml", brokers: 2, env: () => ({ WS_HEARTBEAT_INTERVAL: "200", WS_DEAD_INSTANCE_THRESHOLD: "10000" }) }, async ({ brokers: [one, two], redis }) => {
  const clients = [];
  for (const broker of [one, two, two]) clients.push(await broker.connect({ path: "/" }));
  const [a, b, c] = clients;
  for (const client of [a, b]) assert.equal((await client.subscribe("prices:BTC")).type, "subscribed");
  await until("subs:BTC has both", async () => (await redis.command("SMEMBERS", "subs:BTC")).length === 2);
  assert.deepEqual((await redis.command("SMEMBERS", "subs:BTC")).sort(), [`server-1:${a.id}`, `server-2:${b.id}`].sort());
  // A backend's price, and a client's chat, which another server's clients get and those in excludeIds do not.
  await until("a price comes to both", async () => {
    await redis.publish("ws:channel:prices:BTC", { payload: { price: 97000.5 } });
    return [a, b].every((client) => client.inbox.some(({ channel }) => channel === "prices:BTC"));
  });
  await a.refused(403, { type: "publish", channel: "prices:BTC", data: { price: 1 } });
  await a.broadcast({ type: "chat", message: "hello" }, { exclude: [c.id] });
  for (const client of [a, b]) assert.deepEqual((await client.next(({ channel }) => channel === "*")).data, { type: "chat", message: "hello" });
  await redis.publish("ws:broadcast", { sourceInstance: "instance-9", payload: { type: "chat", message: "from elsewhere" }, excludeIds: [b.id] });
  for (const client of [a, c]) assert.deepEqual((await client.next(({ channel }) => channel === "*")).data, { type: "chat", message: "from elsewhere" });
  await redis.publish("ws:broadcast", { sourceInstance: "server-1", payload: "an instance skips its own" });
  assert.equal((await b.next(({ channel }) => channel === "*")).data, "an instance skips its own");
  await redis.publish(`ws:direct:${a.id}`, { payload: { only: "a" } });
  assert.deepEqual((await a.next("direct")).data, { only: "a" });
  assert.deepEqual(a.inbox.filter(({ channel }) => channel === "*"), [], "its own broadcast came once, server-1's not at all");
  assert.deepEqual(c.inbox.filter(({ data }) => data?.message === "hello"), [], "who is excluded");
  const watcher = await redis.connect();
  await watcher.command("PSUBSCRIBE", "ws:instance:*:heartbeat");
  await until("both say that they live", () => new Set(watcher.messages.map(({ channel }) => channel)).size === 2);
  const { timestamp, clientCount } = JSON.parse(watcher.messages.find(({ channel }) => channel === "ws:instance:server-2:heartbeat").message);
  assert.ok(Math.abs(timestamp - Date.now()) < 60000 && clientCount === 2);
  await b.unsubscribe("prices:BTC");
  await until("the set has one less", async () => (await redis.command("SMEMBERS", "subs:BTC")).length === 1);
  // chat:lobby is for who is in it.
  await a.refused(403, { type: "publish", channel: "chat:lobby", data: "hi" });
  for (const client of [a, b]) await confirmed(client, "chat:lobby");
  await a.publish("chat:lobby", "hi");
  assert.equal((await b.next(({ channel }) => channel === "chat:lobby")).data, "hi");
});

/* The web application: express-session with connect-redis, as the source's. */
async function webApplication(redis, secret) {
  const session = require("express-session");
  const { RedisStore } = require("connect-redis");
  const client = createClient({ url: redis.url });
  await client.connect();
  const middleware = session({ store: new RedisStore({ client }), secret, resave: false, saveUninitialized: false, cookie: { maxAge: 3600_000 } });
  const server = createServer((request, response) => middleware(request, response, () => {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname === "/login") request.session.userId = url.searchParams.get("user");
    if (url.pathname === "/logout") return request.session.destroy(() => response.end());
    response.end();
  }));
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const get = (path, headers) => fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers });
  return {
    login: async (user) => (await get(`/login?user=${user}`)).headers.get("set-cookie").split(";")[0],
    logout: (cookie) => get("/logout", { cookie }),
    // server/websocket.ts
    sendToUser: (userId, data) => client.publish("websocket:notifications", JSON.stringify({ userId, data, timestamp: Date.now() })),
    broadcastToAll: (data) => client.publish("websocket:notifications", JSON.stringify({ type: "broadcast", data, timestamp: Date.now() })),
    close() {
      server.closeAllConnections();
      server.close();
      client.destroy();
    },
  };
}

testExample("s1.toml: a web application's session lets its user in, and its notifications reach that user everywhere", { file: "s1.toml", brokers: 2 }, async ({ brokers: [one, two], redis, connect }) => {
  const application = await webApplication(redis, valueOf("s1.toml", "secrets"));
  const pages = [];
  try {
    const [ann, bob] = [await application.login("42"), await application.login("43")];
    pages.push(await page(`ws://${one.host}/ws`, { cookie: ann }), await page(`ws://${two.host}/ws`, { cookie: ann }), await page(`ws://${two.host}/ws`, { cookie: bob }));
    const sockets = [await connect(two, { extraHeaders: { cookie: ann } }), await connect(one, { extraHeaders: { cookie: bob }, transports: ["websocket"] })];
    await until("both of Ann's pages hear it", async () => {
      await application.sendToUser("42", { type: "batch", updates: [1, 2] });
      return pages[0].heard.length > 0 && pages[1].heard.length > 0 && sockets[0].heard.length > 0;
    }, { every: 20 });
    assert.deepEqual([pages[0].heard[0], pages[1].heard[0]], Array(2).fill({ type: "batch", updates: [1, 2] }));
    assert.deepEqual(await hears(sockets[0], "notification"), [{ type: "batch", updates: [1, 2] }]);
    assert.deepEqual([pages[2].heard, sockets[1].heard], [[], []], "and nobody else does");
    await application.broadcastToAll({ text: "for all" });
    for (const one of pages) await until("everybody hears it", () => one.heard.some(({ text }) => text === "for all"));
    for (const one of sockets) await until("everybody hears it", () => one.heard.some(([name, { text }]) => name === "notification" && text === "for all"));
    // Who has no session, or one that is signed with something else.
    const forged = `connect.sid=${encodeURIComponent(`s:x.${createHmac("sha256", "another").update("x").digest("base64").replace(/=+$/, "")}`)}`;
    for (const headers of [{}, { Cookie: forged }]) {
      if (headers.Cookie) assert.equal(await upgraded(one, "/ws", headers), 401);
      for (const transports of [["polling"], ["websocket"]]) {
        assert.equal((await refusal(connect(one, { transports, extraHeaders: headers }))).message, "Unauthorized");
      }
    }
    const silent = new WebSocket(`ws://${one.host}/ws`);
    const ended = await within(10000, new Promise((done) => {
      silent.on("unexpected-response", (_, response) => done(response.statusCode));
      silent.on("close", (code) => done(code));
      silent.on("error", () => {});
    }), "it is refused");
    assert.equal(ended, 401);
    // The page of another site, a client that talks.
    assert.equal(await upgraded(one, "/ws", { Cookie: ann, Origin: "https://evil.example" }), 403);
    pages[0].send('{"type":"publish","channel":"user:43","data":"forged"}');
    sockets[0].emit("message", "forged");
    await application.sendToUser(43, "a fence");
    await until("Bob's page hears it", () => pages[2].heard.includes("a fence"));
    assert.deepEqual(pages[2].heard.map((data) => data.text ?? data), ["for all", "a fence"]);
    // Logged out: gone.
    const gone = pages.slice(0, 2).map((ws) => new Promise((done) => ws.on("close", done)));
    await application.logout(ann);
    for (const code of await within(10000, Promise.all(gone), "Ann's pages are closed")) assert.equal(code, 4401);
    const health = JSON.parse((await one.get("/health/websocket")).body);
    assert.equal(health.healthy, true);
    assert.deepEqual(Object.keys(health), ["healthy", "connections", "timestamp"]);
    assert.deepEqual([JSON.parse((await two.get("/health/redis")).body).redis, (await one.get("/metrics")).status], ["connected", 403]);
  } finally {
    for (const ws of pages) ws.terminate();
    application.close();
  }
});

testExample("s2.toml: refusals, CORS, and the emits of a Node server and an emitter", { file: "s2.toml", brokers: 2, env: (i) => ({ INSTANCE_ID: "", SERVER_ID: `app-${i}`, CORS_ORIGIN: "http://localhost:5173" }) }, async ({ brokers: [one, two], redis, connect }) => {
  assert.match((await two.get("/health")).body, /"instance":"app-1"/);
  const token = (claims, secret = valueOf("s2.toml", "secret")) => jsonwebtoken.sign(claims, secret, { algorithm: "HS256", expiresIn: 60 });
  for (const transports of [["polling"], ["websocket"]]) {
    for (const auth of [undefined, { token: "nonsense" }, { token: token({ sub: "42" }, "another secret of thirty-two bytes") }, { token: jsonwebtoken.sign({ sub: "42" }, valueOf("s2.toml", "secret"), { expiresIn: -120 }) }]) {
      assert.equal((await refusal(connect(one, { transports, auth }))).message, "Authentication failed", JSON.stringify(auth));
    }
  }
  // cors: { origin, methods }
  const poll = (origin) => one.get("/socket.io/?EIO=4&transport=polling", { headers: { Origin: origin } });
  for (const origin of ["https://app.example.com", "http://localhost:5173"]) {
    const answer = await poll(origin);
    assert.deepEqual([answer.status, answer.headers["access-control-allow-origin"]], [200, origin]);
    const preflight = await one.get("/socket.io/?EIO=4&transport=polling", { method: "OPTIONS", headers: { Origin: origin, "Access-Control-Request-Method": "POST" } });
    assert.equal(preflight.status, 204);
    assert.match(preflight.headers["access-control-allow-methods"], /GET, (HEAD, )?POST/);
  }
  const evil = await poll("https://evil.example");
  assert.equal(evil.headers["access-control-allow-origin"], undefined);
  assert.equal(await upgraded(one, "/socket.io/?EIO=4&transport=websocket", { Origin: "https://evil.example" }), 403);

  // The application's Node server, which has no clients any more, and a worker with an emitter.
  const [pub, sub] = [createClient({ url: redis.url }), createClient({ url: redis.url })];
  await Promise.all([pub.connect(), sub.connect()]);
  const io = new Server({ adapter: createAdapter(pub, sub) });
  try {
    const ann = [await connect(one, { auth: { token: token({ sub: "42" }) } }), await connect(two, { query: { token: token({ sub: "42" }) }, transports: ["websocket"] })];
    const bob = await connect(two, { auth: { token: token({ sub: "43" }) } });
    await until("both know each other", async () => (await io.fetchSockets()).length === 3);
    io.to("user:42").emit("message", { text: "from Node" });
    for (const socket of ann) assert.deepEqual(await hears(socket, "message"), [{ text: "from Node" }]);
    new Emitter(pub).emit("broadcast", { text: "for all" });
    for (const socket of [...ann, bob]) assert.deepEqual(await hears(socket, "broadcast"), [{ text: "for all" }]);
    assert.ok(!bob.heard.some(([name]) => name === "message"));
    const [, [value]] = [await redis.publish("websocket:notifications", { userId: 43, data: "without a Node server" }), await hears(bob, "message")];
    assert.equal(value, "without a Node server");
    bob.emit("broadcast", "forged");
    io.emit("broadcast", "a fence");
    await until("the fence", () => ann[0].heard.some(([, data]) => data === "a fence"));
    assert.ok(!ann[0].heard.some(([, data]) => data === "forged"));
  } finally {
    await Promise.all([pub.close(), sub.close()]);
  }
});

testExample("s2.toml: ENABLE_WEBSOCKET_CLUSTERING=false is one server without Redis", { file: "s2.toml", redis: false, env: () => ({ ENABLE_WEBSOCKET_CLUSTERING: "false" }) }, async ({ brokers: [one], connect }) => {
  assert.equal(JSON.parse((await one.get("/health/redis")).body).redis, "disabled");
  await connect(one, { auth: { token: jsonwebtoken.sign({ sub: "42" }, valueOf("s2.toml", "secret"), { expiresIn: 60 }) } });
});

/* --- S3 ------------------------------------------------------------------------------------------------------------------ */

const s3Token = (sub) => jsonwebtoken.sign({ sub, name: sub.toUpperCase() }, valueOf("s3.toml", "secret"), { expiresIn: 60 });
/* hooks/useWebSocketSync.ts and useLeaderboardSync.ts, without React. */
const leaderboardHook = async (connect, broker, sub) => {
  const socket = await connect(broker, { auth: { token: s3Token(sub) }, transports: ["websocket", "polling"] });
  socket.leaderboard = [];
  socket.emit("leaderboard:subscribe");
  socket.on("leaderboard:initial", (data) => (socket.leaderboard = data));
  socket.on("leaderboard:update", (update) => (socket.leaderboard = socket.leaderboard.map((row) => (row.playerId === update.playerId ? { ...row, ...update } : row))));
  return socket;
};

const LEADERBOARD = [{ playerId: "p1", elo: 1600.5 }, { playerId: "p2", elo: 1500 }];
testExample("s3.toml: token, subscribe, initial, update, match events and presence, on two servers", {
  file: "s3.toml",
  brokers: 2,
}, async ({ brokers: [one, two], redis, connect }) => {
  // "Authentication middleware"
  for (const transports of [["polling"], ["websocket"]]) {
    for (const auth of [{}, { token: null }, { token: `${s3Token("p1")}x` }]) assert.equal((await refusal(connect(one, { auth, transports }))).message, "Authentication failed");
  }
  // The backend publishes the leaderboard once; who comes later has it at once.
  await until("both servers listen", async () => (await subscribers(redis, "leaderboard:initial")) === 2);
  await redis.publish("leaderboard:initial", LEADERBOARD);
  const [p1, p2] = [await leaderboardHook(connect, one, "p1"), await leaderboardHook(connect, two, "p2")];
  const onlooker = await connect(two, { auth: { token: s3Token("p3") } });
  for (const socket of [p1, p2]) await until("it has the leaderboard", () => JSON.stringify(socket.leaderboard) === JSON.stringify(LEADERBOARD));
  // publishEvent(CHANNELS.LEADERBOARD_UPDATE, …), and what is said of matches and players.
  const subscribed = [p1, p2];
  await publishUntilHeard(redis, "leaderboard:update", { playerId: "p2", elo: 1700 }, () => subscribed.every((socket) => socket.leaderboard[1].elo === 1700));
  for (const event of ["match:created", "match:started", "match:result", "match:cancelled", "player:stats_update"]) {
    const data = { matchId: event, winnerId: "p1", eloChanges: { p1: 25, p2: -25 } };
    await publishUntilHeard(redis, event, data, () => subscribed.every((socket) => socket.heard.some(([name]) => name === event)));
    for (const socket of subscribed) assert.deepEqual(await hears(socket, event), [data]);
  }
  await publishUntilHeard(redis, "leaderboard:player_rank", { playerId: "p1", rank: 1 }, () => p1.heard.some(([name]) => name === "leaderboard:player_rank"));
  // Presence, once each, in the room and on Redis.
  const watcher = await redis.connect();
  await watcher.command("SUBSCRIBE", "ws:presence");
  const newcomers = [await connect(one, { auth: { token: s3Token("p4") } }), await connect(two, { auth: { token: s3Token("p4") } })];
  for (const socket of subscribed) {
    const [, online] = await until("p4 is online", () => socket.heard.find(([name, { userId }]) => name === "player:online" && userId === "p4"));
    assert.deepEqual([Object.keys(online), online.event], [["event", "userId", "timestamp"], "player:online"]);
  }
  for (const socket of newcomers) socket.close();
  for (const socket of subscribed) await until("p4 is offline", () => socket.heard.some(([name, { userId }]) => name === "player:offline" && userId === "p4"), { timeout: 20000 });
  await until("it was told on Redis, too", () => watcher.messages.some(({ message }) => /"player:offline".*"p4"/.test(message)));
  for (const name of ["player:online", "player:offline"]) {
    assert.equal(p2.heard.filter(([event, { userId }]) => event === name && userId === "p4").length, 1, name);
    assert.equal(watcher.messages.map(({ message }) => JSON.parse(message)).filter(({ event, userId }) => event === name && userId === "p4").length, 1, name);
  }
  // What does not keep its schema goes nowhere; who is not subscribed hears nothing; nobody gets in another way.
  assert.deepEqual((await told(onlooker, "error", () => onlooker.emit("leaderboard:subscribe", { room: "x" })))[0].code, 400);
  const native = await one.connect();
  assert.equal((await native.request({ type: "auth", token: s3Token("p5") })).user, "p5");
  await native.refused(403, { type: "subscribe", channel: "leaderboard:global" });
  await native.refused(403, { type: "publish", channel: "leaderboard:global", data: "forged" });
  p1.emit("leaderboard:unsubscribe");
  await until("it is unsubscribed", async () => {
    const before = p1.heard.length;
    await redis.publish("match:created", { fence: before });
    await until("p2 hears it", () => p2.heard.some(([name, data]) => name === "match:created" && data.fence === before));
    return !p1.heard.some(([name, data]) => name === "match:created" && data.fence === before);
  });
  assert.deepEqual(onlooker.heard.map(([name]) => name), ["error"]);
  assert.ok(!p2.heard.some(([name]) => name === "leaderboard:player_rank"), "somebody else's rank");
});

/* "handles 1000 concurrent connections" of the source, all with one token. */
testExample("s3.toml: a load of connections with one token", {
  file: "s3.toml",
}, async ({ brokers: [one], connect }) => {
  const token = s3Token("p1");
  const clients = await Promise.all(Array.from({ length: 300 }, () => connect(one, { auth: { token }, transports: ["websocket"] })));
  assert.ok(clients.every((client) => client.connected));
});
