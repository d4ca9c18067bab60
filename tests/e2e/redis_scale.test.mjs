// Three brokers over one Redis with many clients. `make test` runs it small, `make stress` at full size (RINGCAST_SCALE=full).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { WebSocket } from "ws";
import Ringcast from "../../worker/http/ringcast.js";
import { startBroker } from "./lib/broker.mjs";
import { confirmed, delay, heartbeats, redisHealth, subscribers, testRedis, until, within } from "./lib/redis.mjs";
import { SANITIZED, SLOWER, random } from "./lib/util.mjs";

const FULL = process.env.RINGCAST_SCALE === "full";
const TIMEOUT = FULL ? 300000 : 60000;
const KEY = "the-key-of-the-scale-tests";
const CONFIG = { "debug.user_query": "user", "http.api_keys": [KEY], "limits.channel_log": "16MiB", "log.level": "info" };

/* `count` clients, 50 at a time. `open(i)` connects the i-th. */
async function many(count, open) {
  const clients = [];
  for (let i = 0; i < count; i += 50) clients.push(...(await Promise.all(Array.from({ length: Math.min(50, count - i) }, (_, j) => open(i + j)))));
  return clients;
}

/* redis-cli, fed with commands. */
function redisCli(redis) {
  const child = spawn("redis-cli", ["-p", String(redis.port)], { stdio: ["pipe", "ignore", "inherit"] });
  return {
    publish: (channel, message) => child.stdin.write(`PUBLISH ${channel} ${JSON.stringify(JSON.stringify(message))}\n`),
    end: async () => {
      child.stdin.end();
      await within(10000, new Promise((done) => child.once("close", done)), "redis-cli ends");
    },
  };
}

testRedis(`${FULL ? 3000 : 300} clients: exactly once from everywhere, in each publisher's order, notifications on every instance`, {
  brokers: 3,
  workers: 2,
  config: CONFIG,
  timeout: TIMEOUT,
}, async ({ brokers, redis }) => {
  const CLIENTS = FULL ? 3000 : 300;
  const USERS = CLIENTS / 3; // a connection on each instance
  const ROOMS = 30;
  const ROUNDS = FULL ? 100 : 40; // messages of each publisher
  const next = random();
  // Publishers 0 to 5 are clients, two of each broker, 6 to 8 the HTTP API of each, 9 is redis-cli.
  const PUBLISHERS = 10;
  const expected = Array.from({ length: ROOMS }, () => new Uint32Array(PUBLISHERS)); // sent so far
  const audience = new Uint32Array(ROOMS);
  const wrong = [];
  let missing = 0;
  const notes = new Map(); // user -> texts of each connection
  const clients = await many(CLIENTS, (i) => brokers[i % 3].connect({ path: `/ws?user=u${Math.floor(i / 3)}` }));
  const workers = new Set(clients.map((client) => `${client.id.split("~")[0]} ${client.worker}`));
  assert.equal(workers.size, 6, "every worker has some");
  for (const [i, client] of clients.entries()) {
    client.rooms = [...new Set([0, 1 + next.below(ROOMS - 1), 1 + next.below(ROOMS - 1)])];
    client.heard = new Map(client.rooms.map((room) => [room, new Uint32Array(PUBLISHERS)]));
    client.notes = [];
    const user = `u${Math.floor(i / 3)}`;
    notes.set(user, [...(notes.get(user) ?? []), client.notes]);
    client.ondelivery = ({ type, channel, data }) => {
      if (type !== "message") return wrong.push(`${type} for ${user}`);
      if (channel.startsWith("user:") || channel === "*") return client.notes.push(data);
      const [publisher, number] = data;
      const heard = client.heard.get(Number(channel.slice(5)));
      if (!heard || heard[publisher] !== number) wrong.push(`${client.id} heard ${number} of ${publisher} on ${channel} instead of ${heard?.[publisher]}`);
      else heard[publisher]++;
      missing--;
      return undefined;
    };
  }
  // Redis may take its time for the first one of an instance who comes into a room; whoever comes behind its confirmation waits for nobody.
  const held = new Set();
  const lost = (broker) => broker.log.some((line) => / redis_(away|unreachable|connection_lost) /.test(line));
  for (let i = 0; i < CLIENTS; i += 50) {
    await Promise.all(clients.slice(i, i + 50).map(async (client) => {
      for (const room of client.rooms) {
        const key = `${client.id.split("~")[0]} ${room}`;
        const there = held.has(key);
        const locals = await confirmed(client, `room:${room}`);
        if (there && locals > 0) await until(`${key} was confirmed, and then ${locals} times not: its Redis was away`, () => lost(client.broker));
        held.add(key);
        audience[room]++;
      }
    }));
  }
  for (let room = 0; room < ROOMS; room++) assert.equal(await subscribers(redis, `ws:channel:room:${room}`), audience[room] > 0 ? new Set(clients.filter((client) => client.heard.has(room)).map((client) => client.id.split("~")[0])).size : 0);
  const cli = redisCli(redis);
  const publishers = [0, 1, 2, 0, 1, 2].map((broker, i) => clients[broker + 3 * i]);
  await Promise.all(Array.from({ length: PUBLISHERS }, async (_, publisher) => {
    for (let round = 0; round < ROUNDS; round++) {
      const room = round % 10 === 0 ? 0 : 1 + next.below(ROOMS - 1);
      const data = [publisher, expected[room][publisher]++];
      missing += audience[room];
      if (publisher < 6) await publishers[publisher].publish(`room:${room}`, data);
      else if (publisher < 9) {
        const { status, body } = await brokers[publisher - 6].get("/api/publish", {
          method: "POST",
          headers: { "Content-Type": "application/json", Authorization: `Bearer ${KEY}` },
          body: JSON.stringify({ channel: `room:${room}`, data }),
        });
        assert.equal(status, 200, body);
      } else {
        cli.publish(`ws:channel:room:${room}`, { payload: data });
        await delay(2);
      }
    }
  }));
  for (let user = 0; user < USERS; user += Math.ceil(USERS / 50)) {
    await redis.publish("websocket:notifications", { userId: `u${user}`, data: `for u${user}`, timestamp: 1 });
  }
  await redis.publish("websocket:notifications", { type: "broadcast", data: "for all", timestamp: 2 });
  await cli.end();
  await until("everything has arrived", () => missing <= 0 && clients.every((client) => client.notes.at(-1) === "for all"), { timeout: TIMEOUT / 3, every: 50 });
  await Promise.all(clients.slice(0, 30).map((client) => client.ping())); // what came twice comes before
  assert.deepEqual(wrong.slice(0, 5), [], `${wrong.length} wrong`);
  assert.equal(missing, 0, "nothing twice");
  for (const client of clients) for (const [room, heard] of client.heard) assert.deepEqual(heard, expected[room], `${client.id} in room ${room}`);
  for (let user = 0; user < USERS; user++) {
    const own = user % Math.ceil(USERS / 50) === 0 ? [`for u${user}`] : [];
    assert.deepEqual(notes.get(`u${user}`), Array(3).fill([...own, "for all"]), `the three connections of u${user}`);
  }
});

testRedis(`a killed broker with ${FULL ? 1000 : 100} clients leaves no trace, and each of its users is offline once`, {
  brokers: 3,
  workers: 2,
  config: { ...CONFIG, "cluster.heartbeat_interval": "1s", "cluster.dead_instance_threshold": "4s", "presence.offline_delay": "100ms", namespace: [{ name: "room", presence: true }] },
  timeout: TIMEOUT,
}, async ({ brokers: [a, b, c], redis }) => {
  const CLIENTS = FULL ? 1000 : 100;
  const watcher = await redis.connect();
  await watcher.command("SUBSCRIBE", "ws:presence");
  // Every tenth user is connected elsewhere as well: never offline.
  await many(CLIENTS, async (i) => {
    const client = await a.connect({ path: `/ws?user=u${i}` });
    for (const room of [`room:${i % 20}`, "room:all"]) await client.subscribe(room);
    return client;
  });
  const others = await many(CLIENTS / 10, async (i) => {
    const client = await b.connect({ path: `/ws?user=u${10 * i}` });
    await client.subscribe("room:all");
    return client;
  });
  await until("all are known", async () => (await redis.command("HLEN", "ws:presence:channel:room:all")) === CLIENTS + others.length
    && (await redis.command("SCARD", "subs:room:all")) === CLIENTS + others.length && (await redis.command("HLEN", "ws:presence:users")) === CLIENTS
    && (await redis.command("HVALS", "ws:presence:users")).filter((value) => value.includes(",")).length === others.length, { timeout: 20000, every: 50 });
  a.killAll();
  const killed = performance.now();
  await a.exited;
  const traces = async () => {
    const found = [];
    for (const key of await redis.command("KEYS", "*")) {
      if (key.includes("node-0")) found.push(key);
      const kind = await redis.command("TYPE", key);
      const list = kind === "set" ? await redis.command("SMEMBERS", key) : kind === "hash" ? await redis.command("HGETALL", key) : [];
      found.push(...list.filter((text) => text === "node-0" || text.startsWith("node-0:") || text.startsWith("node-0~") || text.split(",").includes("node-0")));
    }
    return found;
  };
  // The threshold and a minute.
  await until("no trace is left", async () => (await traces()).length === 0, { timeout: 64000, every: 200 });
  console.log(`# ${CLIENTS} clients of a killed broker: no trace after ${((performance.now() - killed) / 1000).toFixed(1)} s with a threshold of 4 s`);
  const offline = new Map();
  const count = () => {
    offline.clear();
    for (const { message } of watcher.messages) {
      const { event, userId } = JSON.parse(message);
      if (event === "player:offline") offline.set(userId, (offline.get(userId) ?? 0) + 1);
    }
    return offline.size;
  };
  await until("everybody else is offline", () => count() >= CLIENTS - others.length, { timeout: 20000 });
  await heartbeats(redis, ["node-1", "node-2"], 2); // another survivor would have announced them by now
  count();
  assert.deepEqual([...offline].filter(([, times]) => times !== 1), [], "once each");
  assert.equal(offline.size, CLIENTS - others.length);
  for (let i = 0; i < CLIENTS; i += 10) assert.ok(!offline.has(`u${i}`), `u${i} is still there`);
  assert.equal(await redis.command("HLEN", "ws:presence:users"), others.length);
  assert.equal(await redis.command("SCARD", "subs:room:all"), others.length);
  await others[0].publish("room:all", "on it goes");
  for (const client of others) assert.equal((await client.next(({ channel }) => channel === "room:all")).data, "on it goes");
  assert.equal((await b.metrics())("ringcast_instance_cleanups_total") + (await c.metrics())("ringcast_instance_cleanups_total"), 1);
});

testRedis("ten reconnect storms leave exactly the right subscriptions and no memory", {
  brokers: 2,
  workers: 2,
  config: CONFIG,
  timeout: TIMEOUT,
}, async ({ brokers, redis }) => {
  const CLIENTS = FULL ? 1000 : 150; // of each broker
  const ROOMS = 100;
  const relaySizes = []; // without the rings, whose pages are touched one by one
  let clients = [];
  for (let storm = 0; storm < 10; storm++) {
    for (const client of clients) client.socket.terminate();
    await Promise.all(clients.map((client) => client.closed));
    clients = await many(2 * CLIENTS, async (i) => {
      const client = await brokers[i % 2].connect();
      // Other rooms in each storm, half of them: some subscriptions go, some come.
      await Promise.all([0, 1, 2].map((j) => client.subscribe(`room:${(i * 3 + j + storm * 50) % ROOMS + (storm % 2) * ROOMS / 2}`)));
      return client;
    });
    relaySizes.push(Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${brokers[0].pids().relay}/status`, "utf8"))[1]));
  }
  const wanted = (room) => (room >= 50 && room < 150 ? 2 : 0); // the last storm's
  await until("PUBSUB NUMSUB is exact", async () => {
    for (let room = 0; room < 150; room++) if ((await subscribers(redis, `ws:channel:room:${room}`)) !== wanted(room)) return false;
    return true;
  }, { timeout: 15000, every: 200 });
  // What a broker believes is what Redis has.
  const listed = (await redis.command("PUBSUB", "CHANNELS", "ws:channel:*")).length;
  assert.equal(listed, 100);
  const [x, y] = await Promise.all(brokers.map((broker) => broker.metrics()));
  assert.equal(x("ringcast_redis_subscriptions"), y("ringcast_redis_subscriptions"));
  await until("those of the last storm are there alone", async () => (await brokers[0].metrics())("ws_connections_total") === CLIENTS);
  console.log(`# private memory of the relay after each storm, KiB: ${relaySizes.join(" ")}`);
  // Freed memory stays in quarantine with ASan, which finds leaks itself at the end.
  if (!SANITIZED) assert.ok(relaySizes.at(-1) - relaySizes[3] < 2048, "no memory is leaked from storm to storm");
});

testRedis(`${FULL ? "10,000" : "1,000"} rounds: subscribed here, then published there, is delivered`, { brokers: 2, workers: 2, config: CONFIG, timeout: TIMEOUT }, async ({ brokers: [a, b] }) => {
  const ROUNDS = FULL ? 10000 : 1000;
  const LANES = 8;
  let rounds = 0;
  await Promise.all(Array.from({ length: LANES }, async (_, lane) => {
    const [one, two] = [await (lane % 2 ? a : b).connect(), await (lane % 2 ? b : a).connect()];
    while (rounds < ROUNDS) {
      const round = rounds++;
      const { scope } = await one.subscribe(`room:${round}`);
      // Taking more than 100 ms to confirm is honest, and nothing is promised for other hosts then.
      if (scope === "local") {
        await one.unsubscribe(`room:${round}`);
        continue;
      }
      await two.publish(`room:${round}`, round);
      assert.equal((await one.next("message")).data, round);
      await one.unsubscribe(`room:${round}`);
    }
  }));
});

testRedis("a rolling restart of three brokers under load: every reference client is back and subscribed", {
  brokers: 3,
  workers: 2,
  config: { ...CONFIG, "server.drain_timeout": "3s" },
  timeout: TIMEOUT,
}, async ({ brokers, redis }) => {
  const CLIENTS = FULL ? 300 : 60;
  let turn = 0;
  const draining = new Set();
  // What a load balancer does: the next instance that is healthy.
  class Balanced extends WebSocket {
    constructor(url, ...rest) {
      const healthy = brokers.filter((broker) => !broker.exit && !draining.has(broker));
      super(`ws://${healthy[turn++ % healthy.length].host}${new URL(url).pathname}`, ...rest);
    }
  }
  const states = [];
  for (let i = 0; i < CLIENTS; i++) {
    const client = new Ringcast("ws://balancer/ws", { WebSocket: Balanced, reconnectMin: 50, reconnectMax: 1000 });
    const state = { client, got: new Set(), here: new Set(), twice: 0, returns: 0, closes: 0, late: 0 };
    let dueAt = 0;
    client.on("reconnect", () => {
      state.returns++;
      state.late = Math.max(state.late, performance.now() - dueAt);
    });
    client.on("close", ({ reconnectMs }) => {
      state.closes++;
      state.here.clear(); // the next instance may only be about to hear what this one has said
      dueAt = performance.now() + reconnectMs;
    });
    await client.subscribe("room:1", (number) => {
      state.twice += state.here.has(number);
      state.here.add(number);
      state.got.add(number);
    });
    states.push(state);
  }
  let number = 0;
  let going = true;
  const load = (async () => {
    for (; going; await delay(10)) await redis.publish("ws:channel:room:1", { payload: number++ });
  })();
  try {
    for (const [i, broker] of brokers.entries()) {
      draining.add(broker);
      await broker.stop();
      const again = await startBroker({ workers: 2, config: { ...CONFIG, "server.drain_timeout": "3s", "redis.url": redis.url, "server.instance_id": `node-${i}` } });
      await broker.destroy();
      brokers[i] = again;
      await redisHealth(again, 200, 10000);
      await until("every client is back", () => states.every((state) => state.returns === state.closes), { timeout: 30000 });
    }
    const instances = new Set(states.map(({ client }) => client.welcome.instance));
    await until("Redis has confirmed it to all who have some", async () => (await subscribers(redis, "ws:channel:room:1")) >= instances.size);
    const back = number;
    await until("twenty more", () => number >= back + 20);
    going = false;
    await load;
    for (const [i, state] of states.entries()) {
      await until(`client ${i} hears the last one`, () => state.got.has(number - 1), { timeout: 10000 });
      for (let n = back; n < number; n++) assert.ok(state.got.has(n), `client ${i} missed ${n} after it was back`);
      assert.equal(state.twice, 0);
      const missed = number - state.got.size;
      assert.ok(missed === 0 || state.closes > 0, "only who was away missed anything");
    }
    const late = Math.max(...states.map((state) => state.late));
    assert.ok(late < 5000 * SLOWER, `back and subscribed within its delay; the latest ${late} ms after it`);
    const missed = states.map((state) => number - state.got.size);
    console.log(`# rolling restart: ${number} published at 100/s, ${states.reduce((sum, { closes }) => sum + closes, 0)} reconnects of ${CLIENTS} clients, missed per client: mean ${(missed.reduce((x, y) => x + y, 0) / CLIENTS).toFixed(1)}, most ${Math.max(...missed)}; latest ${late.toFixed(0)} ms after its delay`);
  } finally {
    going = false;
    for (const { client } of states) client.close();
  }
});
