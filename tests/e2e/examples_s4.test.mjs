// deploy/examples/s4.toml and s4-backend.toml as they stand there, on two servers: all six events of the source's table with their exact
// answers and errors, its limits, premium and admin events, emitters, monitoring (rows S4.1 to S4.11).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createClient } from "redis";
import { Emitter } from "@socket.io/redis-emitter";
import { startBackend } from "./lib/backend.mjs";
import { hears, publishUntilHeard, refusal, testExample, told, valueOf } from "./lib/examples.mjs";
import { until, within } from "./lib/util.mjs";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const KINDS = ["portfolio", "trades", "watchlist"];
const API_KEY = valueOf("s4.toml", "api_keys");
const PEOPLE = {
  ann: { userId: "u1", name: "Ann Secret", email: "ann@example.com", isAdmin: false, tier: "premium" },
  bob: { userId: "u2", name: "Bob Secret", email: "bob@example.com", isAdmin: false, tier: "free" },
  root: { userId: "u3", name: "Root Secret", email: "root@example.com", isAdmin: true, tier: "enterprise" },
};

/* --- sessions: in Redis, and in a store like the source's MongoDB, which the application is asked about ------------------------ */

/* connect-redis. */
const inRedis = {
  file: "s4.toml",
  async login(context, who, { ttl = 3600 } = {}) {
    const id = randomBytes(16).toString("hex");
    await context.redis.command("SET", `sess:${id}`, JSON.stringify({ cookie: { expires: new Date(Date.now() + ttl * 1000).toISOString() }, ...PEOPLE[who] }), "EX", ttl);
    return id;
  },
};

/* connect-mongo's documents: { _id, expires, session: JSON }, looked up as the source's middleware/auth.js does. */
const collection = new Map();
let application;
const inStore = {
  file: "s4-backend.toml",
  async login(context, who, { ttl = 3600 } = {}) {
    const id = randomBytes(16).toString("hex");
    collection.set(id, { _id: id, expires: new Date(Date.now() + ttl * 1000), session: JSON.stringify(PEOPLE[who]) });
    return id;
  },
  before: async () => (application = await startBackend({
    secret: valueOf("s4-backend.toml", "secrets"),
    answer: ({ auth: { sessionID, userId } }) => {
      const document = collection.get(sessionID);
      if (!document || document.expires < new Date()) return { status: 401, body: JSON.stringify({ message: "Authentication failed" }) };
      const session = JSON.parse(document.session);
      if (session.userId !== userId) return { status: 401, body: JSON.stringify({ message: "Authentication failed" }) };
      return { user: { id: session.userId, name: session.name, email: session.email, admin: session.isAdmin, tier: session.tier }, expire_at: Math.floor(document.expires / 1000) };
    },
  })),
  after: () => application.stop(),
  changes: (text) => text.replace("http://127.0.0.1:4000/ringcast", application.url),
};

/* The source's client. */
const come = (context, broker, sessionID, userId, more) => context.connect(broker, { auth: { sessionID, userId }, transports: ["websocket", "polling"], ...more });

/* Nothing of an error, and the rest exactly, but for the moment. */
function assertAnswer([answer], wanted) {
  const { timestamp, ...rest } = answer;
  assert.deepEqual(rest, wanted);
  assert.match(timestamp, ISO);
  assert.ok(Math.abs(new Date(timestamp) - Date.now()) < 30000, timestamp);
}

for (const sessions of [inRedis, inStore]) {
  const options = { ...sessions, brokers: 2, timeout: 90000 };
  const { file } = sessions;

  testExample(`${file}: who comes in, and what the six events answer`, options, async (context) => {
    const { brokers: [one, two], redis } = context;
    const id = { ann: await sessions.login(context, "ann"), bob: await sessions.login(context, "bob"), root: await sessions.login(context, "root") };
    for (const transports of [["polling"], ["websocket"], ["websocket", "polling"]]) {
      for (const auth of [undefined, {}, { sessionID: "nonsense", userId: "u1" }, { sessionID: id.ann, userId: "u2" }, { sessionID: id.ann }]) {
        assert.deepEqual(await refusal(context.connect(one, { transports, auth })), { message: "Authentication failed", data: undefined }, JSON.stringify(auth));
      }
    }
    const ann = await come(context, one, id.ann, "u1");
    const bob = await come(context, two, id.bob, "u2");
    const root = await come(context, two, id.root, "u3", { transports: ["polling"] });

    // handlers/: the table of the source, row by row.
    for (const [socket, userId] of [[ann, "u1"], [bob, "u2"], [root, "u3"]]) {
      for (const kind of ["portfolio", "trades"]) {
        assertAnswer(await told(socket, `subscribed:${kind}`, () => socket.emit(`subscribe:${kind}`)), { success: true, userId });
        assertAnswer(await told(socket, `unsubscribed:${kind}`, () => socket.emit(`unsubscribe:${kind}`)), { success: true, userId });
        assertAnswer(await told(socket, `subscribed:${kind}`, () => socket.emit(`subscribe:${kind}`, { userId: "u1" })), { success: true, userId });
      }
    }
    for (const [socket, userId] of [[ann, "u1"], [root, "u3"]]) {
      for (const [event, word] of [["subscribe", "subscribed"], ["unsubscribe", "unsubscribed"], ["subscribe", "subscribed"]]) {
        assertAnswer(await told(socket, `${word}:watchlist`, () => socket.emit(`${event}:watchlist`, { symbol: "AAPL" })), { success: true, symbol: "AAPL", userId });
      }
      for (const event of ["subscribe", "unsubscribe"]) {
        for (const args of [[], [{}], [{ symbol: "" }], [{ symbol: 7 }], [null], ["AAPL"]]) {
          assert.deepEqual(await told(socket, "error", () => socket.emit(`${event}:watchlist`, ...args)), [{ code: "SUBSCRIPTION_ERROR", message: "Symbol required" }], `${event} ${JSON.stringify(args)}`);
        }
      }
    }
    assert.deepEqual(await told(bob, "error", () => bob.emit("subscribe:watchlist", { symbol: "AAPL" })), [{ code: "SUBSCRIPTION_ERROR", message: "Premium required" }]);
    for (const socket of [ann, bob]) {
      assert.deepEqual(await told(socket, "error", () => socket.emit("admin:broadcast", "forged")), [{ code: "FORBIDDEN", message: "Admin required" }]);
    }
    root.emit("admin:broadcast", { text: "maintenance at 22:00" }, 2);
    for (const socket of [ann, bob, root]) assert.deepEqual(await hears(socket, "admin:broadcast"), [{ text: "maintenance at 22:00" }, 2]);

    // emitters/: each to its room, on whichever server its sockets are; from another language (PUBLISH) and from Node (the emitter).
    const quiet = [ann, bob, root].map((socket) => socket.heard.length);
    const heardBy = (name) => Object.entries({ ann, bob, root }).filter(([, socket]) => socket.heard.some(([event]) => event === name)).map(([who]) => who);
    for (const [channel, message, who] of [
      ["portfolio:update", { userId: "u1", portfolio: { value: 1000.5 }, timestamp: "now" }, ["ann"]],
      ["trade:executed", { userId: "u2", trade: 7 }, ["bob"]],
      ["trade:failed", { userId: "u2", failure: "margin" }, ["bob"]],
      ["watchlist:quote", { symbol: "AAPL", price: 200.5 }, ["ann", "root"]],
      ["position:closed", { userId: "u1", position: 9 }, ["ann"]],
      ["notification", { userId: "u3", text: "hello" }, ["root"]],
      ["market:status", { open: true }, ["ann", "bob", "root"]],
    ]) {
      await publishUntilHeard(redis, channel, message, () => who.every((one) => heardBy(channel).includes(one)));
      for (const one of who) assert.deepEqual(await hears({ ann, bob, root }[one], channel), [message]);
    }
    const node = createClient({ url: redis.url });
    await node.connect();
    const emitter = new Emitter(node);
    emitter.to("portfolio:u1").emit("portfolio:update", { userId: "u1", portfolio: "from Node" });
    emitter.to("user:u2").emit("notification", { text: "from Node" });
    await until("Ann hears Node", () => ann.heard.some(([name, data]) => name === "portfolio:update" && data.portfolio === "from Node"));
    assert.deepEqual(await hears(bob, "notification"), [{ text: "from Node" }]);
    await node.close();
    assert.deepEqual([heardBy("portfolio:update"), heardBy("trade:executed"), heardBy("trade:failed"), heardBy("watchlist:quote"), heardBy("position:closed")], [["ann"], ["bob"], ["bob"], ["ann", "root"], ["ann"]], "nobody hears what is another's");
    assert.ok(quiet.every((count) => count > 0));
  });

  testExample(`${file}: 100 subscriptions, 100 unsubscriptions and 1000 events a minute of a user, on two servers together`, options, async (context) => {
    const { brokers: [one, two] } = context;
    const id = await sessions.login(context, "ann");
    const sockets = [await come(context, one, id, "u1"), await come(context, two, id, "u1"), await come(context, one, id, "u1", { transports: ["polling"] })];
    const count = (name) => sockets.reduce((sum, socket) => sum + socket.heard.filter(([event]) => event === name).length, 0);
    for (const [word, answer] of [["subscribe", "subscribed"], ["unsubscribe", "unsubscribed"]]) {
      const before = count("error");
      // The three kinds of subscription share the limit.
      for (let i = 0; i < 120; i++) sockets[i % 3].emit(`${word}:${KINDS[(i + Math.floor(i / 3)) % 3]}`, { symbol: `S${i}` });
      await until("all are answered", () => KINDS.reduce((sum, kind) => sum + count(`${answer}:${kind}`), 0) + count("error") - before === 120);
      assert.equal(count("error") - before, 20, `${word}: 100 a minute`);
    }
    for (const socket of sockets) for (const [name, error] of socket.heard) if (name === "error") assert.deepEqual(error, { code: "SUBSCRIPTION_ERROR", message: "Rate limit exceeded" });
    // Another user has limits of its own.
    const bob = await come(context, two, await sessions.login(context, "bob"), "u2");
    assertAnswer(await told(bob, "subscribed:portfolio", () => bob.emit("subscribe:portfolio")), { success: true, userId: "u2" });

    // Of Bob's 1000 events one is used up. A client's packets are taken in order: when the last is answered, all were counted.
    const bobs = [bob, await come(context, one, await sessions.login(context, "bob"), "u2")];
    for (let i = 0; i < 997; i++) bobs[i % 2].emit("whatever", i);
    for (const socket of bobs) assertAnswer(await told(socket, "subscribed:trades", () => socket.emit("subscribe:trades")), { success: true, userId: "u2" });
    for (const socket of bobs) {
      const [error] = await told(socket, "error", () => socket.emit("subscribe:trades"));
      assert.equal(error.code, 429);
      assert.match(error.message, /^too many events: try again in \d+ s$/);
    }
    const keys = await context.redis.command("KEYS", "*rate:*");
    assert.ok(keys.length >= 4, keys.join(" "));
  });

  testExample(`${file}: health, metrics and the calls of its monitoring`, options, async (context) => {
    const { brokers: [one, two], redis } = context;
    const ids = { ann: await sessions.login(context, "ann"), bob: await sessions.login(context, "bob") };
    const ann = [await come(context, one, ids.ann, "u1"), await come(context, one, ids.ann, "u1", { transports: ["polling"] }), await come(context, two, ids.ann, "u1")];
    const bob = await come(context, one, ids.bob, "u2");
    for (const socket of [...ann, bob]) await told(socket, "subscribed:portfolio", () => socket.emit("subscribe:portfolio"));
    await told(bob, "subscribed:trades", () => bob.emit("subscribe:trades"));
    await told(ann[0], "subscribed:watchlist", () => ann[0].emit("subscribe:watchlist", { symbol: "AAPL" }));
    await told(bob, "error", () => bob.emit("subscribe:watchlist", { symbol: "AAPL" }));

    const json = async (broker, path, headers) => {
      const answer = await broker.get(path, { headers });
      assert.equal(answer.status, 200, `${path}: ${answer.body}`);
      return JSON.parse(answer.body);
    };
    assert.equal((await json(one, "/health")).healthy, true);
    assert.equal((await json(one, "/health/redis")).redis, "connected");
    const database = await json(one, "/health/database");
    assert.deepEqual([database.healthy, database.status, database.backends[0].backend], [true, "healthy", "sessions"]);

    const metrics = await json(one, "/metrics", { Accept: "application/json" });
    assert.deepEqual(Object.keys(metrics), ["websocket", "performance", "resources"]);
    const { websocket, performance: speed, resources } = metrics;
    assert.deepEqual([websocket.totalConnections, websocket.uniqueUsers], [3, 2]);
    const { portfolio, trades, watchlist } = websocket.subscriptions;
    assert.deepEqual({ portfolio, trades, watchlist }, { portfolio: 3, trades: 1, watchlist: 1 });
    assert.ok(websocket.events.received >= 6 && websocket.events.emitted >= 5, JSON.stringify(websocket.events));
    assert.deepEqual(Object.keys(speed), ["latency", "throughput", "errorRate"]);
    assert.deepEqual(Object.keys(speed.latency), ["p50", "p95", "p99"]);
    await until("the error is counted", async () => (await json(one, "/metrics", { Accept: "application/json" })).performance.errorRate >= 1);
    assert.deepEqual(Object.keys(resources.memory), ["heapUsed", "heapTotal", "rss"]);
    assert.ok(resources.uptime >= 0 && resources.cpu >= 0);
    const { text } = await one.metrics();
    for (const [kind, value] of Object.entries({ portfolio: 3, trades: 1, watchlist: 1 })) {
      assert.match(text, new RegExp(`^ringcast_namespace_subscriptions\\{namespace="${kind}"\\} ${value}$`, "m"));
    }
    // Whoever keeps answers on the way must know that there are two.
    for (const headers of [{}, { Accept: "application/json" }]) assert.match((await one.get("/metrics", { headers })).headers.vary ?? "", /\bAccept\b/);

    // getTotalConnectionCount, getUserConnectionCount, getStats.
    const key = { Authorization: `Bearer ${API_KEY}` };
    assert.equal((await json(one, "/api/stats", key)).connections.total, 3);
    await until("both servers say that they have Ann", async () => (await json(one, "/api/presence?user=u1", key)).instances.sort().join() === "server-1,server-2");
    const instances = await json(two, "/api/instances", key);
    assert.deepEqual(instances.instances.map(({ instance }) => instance).sort(), ["server-1", "server-2"]);
    assert.equal((await one.get("/api/stats")).status, 401);

    // Structured logs, without credentials and personal data.
    await refusal(come(context, one, ids.ann, "u2"));
    for (const broker of [one, two]) {
      for (const line of broker.log) {
        assert.equal(typeof JSON.parse(line), "object");
        for (const secret of [...Object.values(ids), "ann@example.com", "Secret", '"u1"', "127.0.0.1:4"]) assert.ok(!line.includes(secret), `${secret} in ${line}`);
      }
    }
    await redis.kill();
    await until("Redis is seen to be away", async () => (await one.get("/health/redis")).status === 503);
    assert.equal((await one.get("/health")).status, 200);
  });
}

testExample("s4.toml: a log-out and a session's end close what is connected with it, on every server", { ...inRedis, brokers: 2 }, async (context) => {
  const { brokers: [one, two], redis } = context;
  const [out, ends] = [await inRedis.login(context, "ann"), await inRedis.login(context, "bob", { ttl: 8 })];
  const closed = (socket) => new Promise((done) => socket.once("disconnect", done));
  const anns = [await come(context, one, out, "u1"), await come(context, two, out, "u1")];
  const bob = await come(context, one, ends, "u2");
  const all = [...anns, bob].map(closed);
  await redis.command("DEL", `sess:${out}`);
  for (const reason of await within(4000, Promise.all(all.slice(0, 2)), "Ann is out")) assert.equal(reason, "io server disconnect");
  assert.equal(await within(20000, all[2], "Bob's session ends"), "io server disconnect");
  assert.equal((await refusal(come(context, one, out, "u1"))).message, "Authentication failed");
});

testExample("s4-backend.toml: a session that ends closes its connection; without the application nobody comes in", { ...inStore }, async (context) => {
  const { brokers: [one] } = context;
  const bob = await come(context, one, await inStore.login(context, "bob", { ttl: 6 }), "u2");
  assert.equal(await within(20000, new Promise((done) => bob.once("disconnect", done)), "Bob's session ends"), "io server disconnect");
  const id = await inStore.login(context, "ann");
  application.answer = () => ({ status: 500, body: "" });
  assert.equal((await refusal(come(context, one, id, "u1"))).message, "Service unavailable");
  await until("/health/database says so", async () => (await one.get("/health/database")).status === 503);
});
