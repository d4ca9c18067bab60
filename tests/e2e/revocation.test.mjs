// Tokens that are taken back before they expire: keys in Redis with a TTL, or POST /api/revoke. Row S4.14.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { io } from "socket.io-client";
import { startCluster, startRedisAndWire, testRedis } from "./lib/redis.mjs";
import { run } from "./lib/broker.mjs";
import { upgraded } from "./lib/raw.mjs";
import { SLOWER, until, within } from "./lib/util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
const KEY = "key-of-the-tests";
const LATE = 4000 * SLOWER; // ms: two seconds, and what a machine which is busy with other things needs
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];
const now = () => Math.floor(Date.now() / 1000);
const token = (user, jwtid, claims = {}) => jwt.sign({ sub: user, ...claims }, SECRET, { algorithm: "HS256", expiresIn: "1h", ...(jwtid === undefined ? {} : { jwtid }) });
const row = (revocation, more) => ({ from: ["auth.token", "header.authorization"], secret: SECRET, refused: "Unauthorized", revocation, ...more });
const config = (revocation) => ({ "http.api_keys": [KEY], "socketio.path": "/socket.io/", identity: [row(revocation)] });
const native = (broker, credential) => broker.connect({ headers: { Authorization: `Bearer ${credential}` } });

const upgradedBy = (broker, credential) => upgraded(broker, "/ws", { Authorization: `Bearer ${credential}` });

async function come(broker, transports, credential) {
  const socket = io(`http://127.0.0.1:${broker.port}`, { forceNew: true, reconnection: false, transports, auth: { token: credential } });
  const refused = await within(10000, new Promise((done) => {
    socket.once("connect", () => done(null));
    socket.once("connect_error", (error) => done(error.message));
  }), "the connect ends");
  // Who is ended in the midst of an upgrade hears no more than that its transport has.
  if (refused === null) await until("it has upgraded", () => socket.io.engine.transport.name === transports.at(-1));
  return { socket, refused };
}

async function revoke(broker, body) {
  const answer = await broker.get("/api/revoke", { method: "POST", headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" }, body: JSON.stringify(body) });
  return [answer.status, JSON.parse(answer.body)];
}

/* Everybody who is there with that token, on all instances and over all protocols; `ended` waits for them. */
async function everywhere(brokers, credential) {
  const clients = [];
  for (const broker of brokers) {
    for (const transports of TRANSPORTS) {
      const { socket, refused } = await come(broker, transports, credential);
      assert.equal(refused, null);
      clients.push(new Promise((done) => socket.once("disconnect", (reason) => done([reason, Date.now()]))));
    }
    for (let i = 0; i < 3; i++) clients.push((await native(broker, credential)).closed.then((how) => [how, Date.now()]));
  }
  return {
    async ended(at) {
      for (const one of clients) {
        const [how, when] = await within(5000, one, "it is closed");
        assert.ok(how === "io server disconnect" || (how.code === 4401 && how.reason === "unauthorized"), JSON.stringify(how));
        assert.ok(when - at < LATE, `${when - at} ms after`);
      }
      for (const broker of brokers) {
        await until("what was known a moment ago does not count any more", async () => (await upgradedBy(broker, credential)) === 401);
        for (const transports of TRANSPORTS.slice(0, 2)) assert.equal((await come(broker, transports, credential)).refused, "Unauthorized");
      }
    },
  };
}

testRedis("a token, a user's, and those issued before a time: ended within two seconds on every instance, and refused", {
  brokers: 2, workers: 2, config: { ...config("strict"), "redis.prefix": "app:" },
}, async ({ brokers, redis }) => {
  const stays = await Promise.all(brokers.map((broker) => native(broker, token("bob", "b1"))));
  const one = await everywhere(brokers, token("ann", "a1"));
  const other = token("ann", "a2");
  const others = await native(brokers[0], other);
  await redis.command("SET", "app:ws:revoked:jti:a1", "", "EX", 60);
  await one.ended(Date.now());
  await others.request({ type: "ping" });

  const all = await everywhere(brokers, other);
  await redis.command("SET", "app:ws:revoked:user:ann", "1", "EX", 60);
  await all.ended(Date.now());
  assert.equal(await upgradedBy(brokers[1], token("ann")), 401, "also one without a jti");

  const moment = now();
  const old = token("eve", "e1", { iat: moment - 10 });
  const young = token("eve", "e2", { iat: moment + 5 });
  const eves = await everywhere(brokers, old);
  const stayed = await native(brokers[1], young);
  await redis.command("SET", "app:ws:revoked:user:eve", String(moment), "EX", 60);
  await eves.ended(Date.now());
  await stayed.request({ type: "ping" });
  assert.equal(await upgradedBy(brokers[0], young), 101);

  await redis.command("DEL", "app:ws:revoked:user:ann");
  await until("what was taken back counts again", async () => (await upgradedBy(brokers[0], other)) === 101);
  for (const client of stays) await client.request({ type: "ping" });
  const metrics = await Promise.all(brokers.map((broker) => broker.metrics()));
  assert.ok(metrics.reduce((sum, read) => sum + read("ringcast_identity_revoked_total"), 0) >= 36);
  for (const read of metrics) assert.ok(read("ringcast_revocations_checked_total") > 0 && read("ringcast_revocations_unknown_total") === 0);
});

testRedis("POST /api/revoke writes the same, on whichever instance", { brokers: 2, config: config("strict") }, async ({ brokers, redis }) => {
  const one = await everywhere(brokers, token("ann", "a1"));
  assert.deepEqual(await revoke(brokers[0], { jti: "a1", ttl: 60 }), [200, { revoked: true }]);
  await one.ended(Date.now());
  assert.ok((await redis.command("TTL", "ws:revoked:jti:a1")) > 50);
  const old = token("ann", "a2", { iat: now() - 10 });
  const olds = await everywhere(brokers, old);
  assert.deepEqual(await revoke(brokers[1], { user: "ann", issued_before: now(), ttl: 3600 }), [200, { revoked: true }]);
  await olds.ended(Date.now());
  assert.equal(await upgradedBy(brokers[0], token("ann", "a3", { iat: now() + 5 })), 101);
  assert.deepEqual(await revoke(brokers[1], { user: "ann", ttl: 3600 }), [200, { revoked: true }]);
  assert.equal(await redis.command("GET", "ws:revoked:user:ann"), "1");
  await until("it is seen", async () => (await upgradedBy(brokers[0], token("ann", "a3"))) === 401);
  for (const [body, message] of [
    [{ ttl: 5 }, "one of jti and user, not both"], [{ jti: "a", user: "b", ttl: 5 }, "one of jti and user, not both"],
    [{ jti: "a" }, /^ttl must be a whole number/], [{ jti: "a", ttl: 0 }, /^ttl must/], [{ jti: "a", ttl: 1e9 }, /^ttl must/], [{ jti: 5, ttl: 5 }, "jti must be a string"],
    [{ jti: "a", ttl: 5, issued_before: now() }, /needs user$/], [{ user: "a", ttl: 5, issued_before: 7 }, /^issued_before must/], [{ user: "a", ttl: 5, issued_before: Date.now() }, /^issued_before must/],
    [{ jti: "x".repeat(256), ttl: 5 }, "jti is longer than 255 bytes"],
  ]) {
    const [status, answer] = await revoke(brokers[0], body);
    assert.equal(status, 400);
    assert.ok(typeof message === "string" ? answer.error.message === message : message.test(answer.error.message), answer.error.message);
  }
});

testRedis("a client that refreshes has the new token's name", { brokers: 1, config: config("strict") }, async ({ brokers: [broker], redis }) => {
  const client = await native(broker, token("ann", "first"));
  assert.equal((await client.request({ type: "auth", token: token("ann", "second") })).user, "ann");
  await redis.command("SET", "ws:revoked:jti:first", "1", "EX", 60);
  await until("it is seen", async () => (await upgradedBy(broker, token("ann", "first"))) === 401);
  await client.request({ type: "ping" });
  await redis.command("SET", "ws:revoked:jti:second", "1", "EX", 60);
  assert.equal((await within(10000, client.closed, "it is closed")).code, 4401);
});

testRedis("a restart of the relay loses no revocation", { brokers: 1, workers: 1, config: config("strict") }, async ({ brokers: [broker], redis }) => {
  const client = await native(broker, token("ann", "a1"));
  broker.kill("SIGKILL", "relay");
  await redis.command("SET", "ws:revoked:jti:a1", "1", "EX", 60);
  assert.equal((await within(10000, client.closed, "it is closed")).code, 4401);
});

testRedis("1,000 reconnects with one token are a few questions", { brokers: 1, workers: 2, config: config("strict") }, async ({ brokers: [broker], redis }) => {
  const credential = token("ann", "a1");
  const gets = async () => Number((await redis.command("INFO", "commandstats")).match(/cmdstat_mget:calls=(\d+)/)?.[1] ?? 0);
  const before = await gets();
  const began = Date.now();
  for (let i = 0; i < 20; i++) {
    const clients = await Promise.all(Array.from({ length: 50 }, () => native(broker, credential)));
    for (const client of clients) client.socket.terminate();
  }
  const seconds = Math.ceil((Date.now() - began) / 1000);
  const asked = (await gets()) - before; // a worker: four for who comes, and four looks at who is there
  assert.ok(asked > 0 && asked <= 2 * 8 * (seconds + 1), `${asked} questions in ${seconds} s by 2 workers`);
});

/* A second table whose tokens are always asked about: looking goes on when the first one's are not any more. */
const OTHER_SECRET = "another-secret-of-thirty-two-bytes-x";
const two = (revocation) => ({ identity: [row(revocation), { name: "other", from: ["query.other"], secret: OTHER_SECRET, revocation: "strict", required: false }] });

testRedis("a reload switches it on, makes it lenient, switches it off and on again: for whom which holds", {
  start: startRedisAndWire, brokers: 1, workers: 2, url: (redis) => redis.wire.url, config: { ...config("off"), ...two("off") }, timeout: 60000,
}, async ({ brokers: [broker], redis }) => {
  const reloaded = async (revocation) => {
    broker.writeConfig({ ...broker.config, ...two(revocation) });
    const result = await run(["reload", "-c", broker.configPath]);
    assert.deepEqual([result.code, result.stderr], [0, ""]);
    assert.doesNotMatch(result.stdout, /restart/);
  };
  const take = (jti) => redis.command("SET", `ws:revoked:jti:${jti}`, "1", "EX", 600);
  const ended = async (client) => assert.deepEqual(await within(10000, client.closed, "it is closed"), { code: 4401, reason: "unauthorized" });
  const stays = (clients) => Promise.all(clients.map((client) => client.request({ type: "ping" })));
  /* Somebody of the other table, connected and taken back: when that one has ended, all clients have been looked at. */
  let others = 0;
  const looked = async () => {
    const jti = `o${others++}`;
    const client = await broker.connect({ path: `/ws?other=${jwt.sign({ sub: "other" }, OTHER_SECRET, { expiresIn: "1h", jwtid: jti })}` });
    await take(jti);
    await ended(client);
  };

  const before = await native(broker, token("ann", "a1"));
  await take("a1");
  await looked();
  await stays([before]);
  assert.equal(await upgradedBy(broker, token("ann", "a1")), 101, "off: nobody is asked");

  await reloaded("strict");
  await until("off to strict: it is refused", async () => (await upgradedBy(broker, token("ann", "a1"))) === 401);
  await looked();
  await stays([before]);
  assert.equal((await before.request({ type: "refresh", token: token("ann", "a1") })).code, 401);
  assert.equal((await before.request({ type: "refresh", token: token("ann", "a2") })).type, "refreshed");
  await take("a2");
  await ended(before);

  const here = await native(broker, token("bob", "b1"));
  const socket = (await come(broker, ["polling"], token("bob", "b2"))).socket;
  const gone = new Promise((done) => socket.once("disconnect", done));
  await reloaded("lenient");
  await take("a3");
  redis.wire.cut();
  await until("strict to lenient: who comes while Redis is away comes in", async () => (await upgradedBy(broker, token("eve", "e1"))) === 101);
  redis.wire.mend();
  await until("Redis is back", async () => (await upgradedBy(broker, token("ann", "a3"))) === 401); // nobody asked for it before: no answer of before is it

  await reloaded("off");
  for (const jti of ["b1", "b2"]) await take(jti);
  await until("lenient to off: it comes in", async () => (await upgradedBy(broker, token("bob", "b1"))) === 101);
  await looked();
  await looked();
  await stays([here]);
  assert.ok(socket.connected, "and nobody of this table is ended, though clients are looked at");

  await reloaded("strict");
  await ended(here);
  assert.equal(await within(10000, gone, "it is sent away"), "io server disconnect");
  assert.equal(await upgradedBy(broker, token("bob", "b1")), 401);
});

testRedis("a table that a reload puts before it, or after it, changes nothing for whom a token has let in", {
  start: startRedisAndWire, brokers: 1, url: (redis) => redis.wire.url, config: config("strict"), timeout: 60000,
}, async ({ brokers: [broker], redis }) => {
  const another = { name: "another", from: ["query.another"], secret: OTHER_SECRET, required: false };
  const reloaded = async (identity) => {
    broker.writeConfig({ ...broker.config, identity });
    const { code, stderr } = await run(["reload", "-c", broker.configPath]);
    assert.deepEqual([code, stderr], [0, ""]);
  };
  const [before, between, stays] = await Promise.all(["a1", "a2", "a3"].map((jti) => native(broker, token("ann", jti))));
  const revoked = async (client, jti) => {
    await redis.command("SET", `ws:revoked:jti:${jti}`, "1", "EX", 600);
    assert.deepEqual(await within(5000, client.closed, `${jti} is closed`), { code: 4401, reason: "unauthorized" });
  };
  await reloaded([another, row("strict")]);
  await revoked(before, "a1");
  const late = await native(broker, token("bob", "b1"));
  await reloaded([row("strict"), another]);
  await revoked(between, "a2");
  await revoked(late, "b1");
  await stays.request({ type: "ping" });
});

for (const [revocation, status, refused] of [["strict", 503, "Service unavailable"], ["lenient", 101, null]]) {
  testRedis(`revocation = "${revocation}" while Redis is away: who is there stays, who comes gets ${status}; counted`, {
    start: startRedisAndWire, brokers: 1, url: (redis) => redis.wire.url, config: config(revocation),
  }, async ({ brokers: [broker], redis }) => {
    const here = await native(broker, token("ann", "a1"));
    redis.wire.cut();
    const unknown = async () => (await broker.metrics())("ringcast_revocations_unknown_total");
    await until("it is noticed", async () => ((await upgradedBy(broker, token("bob", "b1"))) === status) && (await unknown()) > 0);
    await until("Socket.IO clients are told the same", async () => (await come(broker, ["websocket"], token("bob", "b2"))).refused === refused);
    await here.request({ type: "ping" });
    redis.wire.mend();
    await redis.command("SET", "ws:revoked:user:ann", "1", "EX", 60);
    assert.equal((await within(20000, here.closed, "it is closed when Redis is back")).code, 4401);
    await until("it is asked again", async () => (await upgradedBy(broker, token("ann", "a1"))) === 401);
    await until("it comes", async () => (await upgradedBy(broker, token("bob", "b1"))) === 101);
  });
}

testRedis("in a Cluster, each key by its slot", {
  start: () => startCluster({ replicas: 0 }), brokers: 1, config: config("strict"),
}, async ({ brokers: [broker] }) => {
  const clients = await Promise.all(Array.from({ length: 8 }, (_, i) => native(broker, token(`u${i}`, `t${i}`))));
  assert.deepEqual(await revoke(broker, { jti: "t3", ttl: 60 }), [200, { revoked: true }]);
  assert.deepEqual(await revoke(broker, { user: "u5", ttl: 60 }), [200, { revoked: true }]);
  for (const i of [3, 5]) assert.equal((await within(10000, clients[i].closed, "it is closed")).code, 4401);
  for (const [i, client] of clients.entries()) if (i !== 3 && i !== 5) await client.request({ type: "ping" });
});
