// Subscription sets of clients (S0.5), who is in a channel, users' first and last connections (S3.4, S2.2).
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { confirmed, redisHealth, testRedis, until } from "./lib/redis.mjs";

const CONFIG = {
  "server.adopt_crashed": false, // what becomes of clients that are lost with their worker
  "debug.user_query": "user",
  "presence.offline_delay": "300ms",
  "presence.events_channel": "players",
  namespace: [
    { name: "prices", subscription_set: "{name}" },
    { name: "other", subscription_set: "{name}" },
    { name: "room", presence: true },
    { name: "secret", subscription_set: "" },
  ],
};
const members = async (redis, key) => (await redis.command("SMEMBERS", key)).sort();
const member = (client) => `${client.id.split("~")[0]}:${client.id}`;
const settled = (redis, key, clients) => until(`${key} has ${clients.length}`, async () => JSON.stringify(await members(redis, key)) === JSON.stringify(clients.map(member).sort()), { timeout: 10000 });

testRedis("a set holds each client while it is subscribed", { brokers: 2, workers: 2, config: CONFIG, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const clients = [await a.connect(), await a.connect(), await b.connect(), await b.connect()];
  for (const client of clients) await client.subscribe("prices:BTC");
  await settled(redis, "subs:BTC", clients);
  await clients[0].subscribe("secret:x");
  await clients[0].subscribe("plain");
  await settled(redis, "subs:plain", [clients[0]]);
  assert.deepEqual(await redis.command("KEYS", "subs:*secret*"), []);
  await clients[0].unsubscribe("prices:BTC");
  await settled(redis, "subs:BTC", clients.slice(1));
  await clients[1].close();
  await clients[2].terminate();
  await settled(redis, "subs:BTC", [clients[3]]);
  // Two channels whose set is one: the member stays until both are left.
  await clients[3].subscribe("other:BTC");
  await clients[3].unsubscribe("prices:BTC");
  await clients[3].subscribe("fence"); // written after what the unsubscribing might have removed
  await settled(redis, "subs:fence", [clients[3]]);
  await settled(redis, "subs:BTC", [clients[3]]);
  await clients[3].unsubscribe("other:BTC");
  await until("the set is gone", async () => (await redis.command("EXISTS", "subs:BTC")) === 0);
});

testRedis("sets are right after the death of a worker, of the relay, and of Redis", { brokers: 1, workers: 2, config: CONFIG, timeout: 90000 }, async ({ brokers: [a], redis }) => {
  const clients = await a.connectMany([10, 10]);
  for (const [i, client] of clients.entries()) await client.subscribe(`prices:${i % 3}`);
  const expected = (alive, left = []) => Promise.all([0, 1, 2].map((i) => settled(redis, `subs:${i}`, alive.filter((client) => clients.indexOf(client) % 3 === i && !left.includes(client)))));
  await expected(clients);
  a.kill("SIGKILL", "relay");
  await clients[0].unsubscribe("prices:0");
  await until("the relay is back", async () => (await a.metrics())("ringcast_instance_owned") === 1, { timeout: 10000 });
  await expected(clients, [clients[0]]);
  a.kill("SIGKILL", 1);
  const alive = clients.filter((client) => client.worker === 0);
  await expected(alive, [clients[0]]);
  await redis.kill();
  await redisHealth(a, 503);
  await alive[1].unsubscribe(`prices:${clients.indexOf(alive[1]) % 3}`);
  await redis.start();
  await redisHealth(a, 200, 10000);
  await expected(alive, [clients[0], alive[1]]);
  await Promise.all(alive.map((client) => client.close()));
  await until("nothing is left", async () => (await redis.command("KEYS", "subs:*")).length === 0, { timeout: 10000 });
  await until("the relay knows that", async () => (await a.metrics())("ringcast_redis_entries") === 0);
});

testRedis("who is in a channel, on which instance, as which user", { brokers: 2, config: CONFIG }, async ({ brokers: [a, b], redis }) => {
  const [one, two, three] = [await a.connect({ path: "/ws?user=u1" }), await b.connect({ path: "/ws?user=u2" }), await b.connect()];
  for (const client of [one, two, three]) await client.subscribe("room:1");
  const key = "ws:presence:channel:room:1";
  await until("all three are there", async () => (await redis.command("HLEN", key)) === 3);
  assert.deepEqual(await Promise.all([one, two, three].map((client) => redis.command("HGET", key, client.id))), ["u1", "u2", ""]);
  await two.close();
  await three.unsubscribe("room:1");
  await until("two have left", async () => (await redis.command("HLEN", key)) === 1);
  assert.deepEqual(await redis.command("KEYS", "ws:presence:channel:*"), [key], "only where presence is on");
});

for (const mode of ["clients", "instances"]) {
  testRedis(`a reload gives sets of ${mode} their new names`, { brokers: 1, workers: 2, config: { "cluster.subscription_sets": mode, namespace: [{ name: "prices", subscription_set: "{name}" }] } }, async ({ brokers: [a], redis }) => {
    const clients = await a.connectMany([2, 2]);
    for (const client of clients) await client.subscribe("prices:BTC");
    await clients[0].subscribe("plain");
    const head = mode === "clients" ? "subs:" : "subs-instances:";
    const names = async () => (await redis.command("KEYS", "subs*")).sort().map((key) => key.slice(head.length));
    const are = (...expected) => until(`the sets are ${expected}`, async () => isDeepStrictEqual(await names(), expected), { timeout: 10000 });
    const whole = async (name) => assert.equal(await redis.command("SCARD", head + name), mode === "clients" ? 4 : 1);
    await are("BTC", "plain");
    for (const [namespaces, expected, set] of [
      [[{ name: "prices", subscription_set: "price-of-{name}" }], ["plain", "price-of-BTC"], "price-of-BTC"],
      [[{ name: "other", subscription_set: "{name}" }], ["plain", "prices:BTC"], "prices:BTC"],
      [[{ name: "prices", subscription_set: "" }], ["plain"]],
      [[{ name: "prices", subscription_set: "{name}" }], ["BTC", "plain"], "BTC"],
    ]) {
      a.writeConfig({ ...a.config, namespace: namespaces });
      process.kill(a.pid, "SIGHUP");
      await are(...expected);
      if (set) await until("it is whole", async () => whole(set).then(() => true, () => false));
    }
    for (const client of clients) await client.close();
    await are();
    await until("the relay knows that", async () => (await a.metrics())("ringcast_redis_entries") === 0);
  });
}

const byUser = (members) => members.map((one) => ({ ...one, instances: [...one.instances].sort() })).sort((a, b) => String(a.user).localeCompare(String(b.user)));

testRedis("clients ask who is in a channel, on whichever instance", { brokers: 3, config: CONFIG, timeout: 60000 }, async ({ brokers: [a, b, c], redis }) => {
  const clients = [
    await a.connect({ path: "/ws?user=u1" }), await a.connect({ path: "/ws?user=u1" }), await b.connect({ path: "/ws?user=u1" }),
    await b.connect({ path: "/ws?user=q%22%2C%3A%C3%A9" }), await b.connect(), await c.connect(), await c.connect(),
  ];
  for (const client of clients) await client.subscribe("room:1");
  const whole = {
    clients: 7, users: 2, more: false, scope: undefined,
    members: [
      { user: null, clients: 3, instances: ["node-1", "node-2"] },
      { user: 'q",:é', clients: 1, instances: ["node-1"] },
      { user: "u1", clients: 3, instances: ["node-0", "node-1"] },
    ],
  };
  const ask = async (client, more) => {
    for (;;) {
      const { clients: total, users, members, more: cut, scope } = await client.presence("room:1", more);
      if (scope === undefined) return { clients: total, users, more: cut, scope, members: byUser(members) }; // else Redis had no time for it
    }
  };
  for (const client of [clients[0], clients[3], clients[6]]) {
    // Clients and users are two keys, and each instance writes its own.
    let last;
    await until("all are known", async () => isDeepStrictEqual((last = await ask(client)), whole)).catch(() => assert.deepEqual(last, whole));
  }
  const cut = await ask(clients[0], { limit: 1 });
  assert.deepEqual([cut.clients, cut.users, cut.members.length, cut.more], [7, 2, 1, true]);
  // Whoever has just come sees itself.
  const more = [];
  for (let i = 0; i < 20; i++) {
    more.push(await c.connect());
    await more[i].subscribe("room:1");
    assert.equal((await ask(more[i])).clients, 8 + i);
  }
  await Promise.all(more.map((client) => client.close()));
  await until("they have left again", async () => (await ask(clients[6])).clients === 7);
  await clients[1].unsubscribe("room:1");
  await clients[2].terminate();
  await until("they are gone", async () => {
    const { clients: total, members } = await ask(clients[0]);
    return total === 5 && isDeepStrictEqual(members[2], { user: "u1", clients: 1, instances: ["node-0"] });
  });
  // A relay that is replaced counts again.
  a.kill("SIGKILL", "relay");
  await clients[0].unsubscribe("room:1");
  await until("the last one of u1 is gone", async () => (await ask(clients[3])).users === 1, { timeout: 15000 });
  assert.deepEqual(await redis.command("KEYS", "ws:presence:members:*"), ["ws:presence:members:room:1"]);
  for (const client of clients) await client.terminate();
  await until("nothing is left", async () => (await redis.command("KEYS", "ws:presence:[mc]*")).length === 0, { timeout: 10000 });
});

testRedis("while Redis is away, or silent, the answer is of this host and says so", { brokers: 2, config: CONFIG, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const [one, two] = [await a.connect({ path: "/ws?user=u1" }), await b.connect({ path: "/ws?user=u2" })];
  for (const client of [one, two]) await client.subscribe("room:1");
  await until("both are known", async () => (await one.presence("room:1")).clients === 2);
  const local = async () => {
    const answer = await one.presence("room:1");
    return [answer.clients, answer.members, answer.scope];
  };
  const own = [1, [{ user: "u1", clients: 1, instances: ["node-0"] }], "local"];
  redis.signal("SIGSTOP");
  assert.deepEqual(await local(), own, "after a second");
  const many = await Promise.all(Array.from({ length: 600 }, () => one.request({ type: "presence", channel: "room:1" })));
  assert.deepEqual(many.filter(({ type, scope, code }) => !(type === "presence" ? scope === "local" : code === 503)), []);
  redis.signal("SIGCONT");
  await until("whole again", async () => (await one.presence("room:1")).scope === undefined, { timeout: 10000 });
  await redis.kill();
  await redisHealth(a, 503);
  assert.deepEqual(await local(), own, "at once");
  await redis.start();
  await until("whole again", async () => (await one.presence("room:1")).clients === 2, { timeout: 15000 });
  assert.equal((await one.presence("room:1")).scope, undefined);
  const metrics = await a.metrics();
  assert.ok(metrics("ringcast_queries_local_total") >= 2);
  assert.equal(metrics("ringcast_queries"), 0);
});

testRedis("what others write into presence harms nobody", { brokers: 1, config: CONFIG }, async ({ brokers: [a], redis }) => {
  const one = await a.connect({ path: "/ws?user=u1" });
  await one.subscribe("room:1");
  await until("it is there", async () => (await one.presence("room:1")).clients === 1);
  const key = "ws:presence:members:room:1";
  const bad = ["nonsense", ":1", "x", "a:b", `${"i".repeat(65)}:1`, "a:99999999999999999999999", ","];
  for (const [i, value] of bad.entries()) await redis.command("HSET", key, `bad${i}`, value);
  await redis.command("HSET", key, Buffer.from([0xff, 0xfe]), "node-0:1");
  await redis.command("HSET", key, "x".repeat(1000), "node-0:1");
  const answer = await one.presence("room:1");
  assert.deepEqual(answer.members.find(({ user }) => user === "u1"), { user: "u1", clients: 1, instances: ["node-0"] });
  assert.ok(answer.members.every(({ user, clients }) => user.length < 256 && Number.isSafeInteger(clients)), JSON.stringify(answer.members).slice(0, 500));
  assert.ok((await a.metrics())("ringcast_redis_malformed_total") > 0);
  await redis.command("SET", "ws:presence:channel:room:2", "a string");
  await one.subscribe("room:2");
  assert.equal((await one.presence("room:2")).scope, "local");
  assert.equal((await one.presence("room:2")).clients, 1);
});

testRedis("a user's first and last connection of the cluster are told once", { brokers: 3, config: { ...CONFIG, "presence.offline_delay": "3s" }, timeout: 90000 }, async ({ brokers: [a, b, c], redis }) => {
  const listeners = [];
  for (const broker of [a, b, c]) {
    const client = await broker.connect();
    await confirmed(client, "players");
    listeners.push(client);
  }
  const expectAll = async (event, userId) => {
    for (const client of listeners) {
      const { channel, data } = await client.next();
      assert.equal(channel, "players");
      assert.deepEqual(Object.keys(data), ["event", "userId", "timestamp"]);
      assert.deepEqual([data.event, data.userId], [event, userId]);
      assert.ok(Number.isInteger(data.timestamp) && Math.abs(data.timestamp - Date.now()) < 10000);
    }
  };
  // Nothing more comes of what was done before: on each instance somebody comes and goes behind it, which is told after the same delay.
  let probes = 0;
  const silence = async () => {
    const users = [a, b, c].map(() => `probe${probes++}`);
    const connected = await Promise.all([a, b, c].map((broker, i) => broker.connect({ path: `/ws?user=${users[i]}` })));
    for (const client of connected) await client.close();
    const told = (client) => client.inbox.filter(({ data }) => users.includes(data.userId) && data.event === "player:offline").length;
    await until("the probes are offline", () => listeners.every((client) => told(client) === users.length));
    for (const client of listeners) {
      await client.ping();
      const others = client.inbox.splice(0).filter(({ data }) => !users.includes(data.userId));
      assert.deepEqual(others, []);
    }
  };
  const one = await a.connect({ path: "/ws?user=u%22%C3%A9" });
  await expectAll("player:online", 'u"é');
  const two = await b.connect({ path: "/ws?user=u%22%C3%A9" });
  const three = await a.connect({ path: "/ws?user=u%22%C3%A9" });
  await until("both instances have the user", async () => (await redis.command("HGET", "ws:presence:users", 'u"é')).split(",").length === 2);
  await one.close();
  await three.close();
  await silence();
  assert.equal(await redis.command("HGET", "ws:presence:users", 'u"é'), "node-1");
  // Reconnecting in time is no event, on the same instance or another.
  await two.close();
  const again = await b.connect({ path: "/ws?user=u%22%C3%A9" });
  await silence();
  await again.close();
  const elsewhere = await c.connect({ path: "/ws?user=u%22%C3%A9" });
  await silence();
  await elsewhere.close();
  await expectAll("player:offline", 'u"é');
  await silence();
  await until("nobody is left", async () => (await redis.command("HLEN", "ws:presence:users")) === 0);
});

testRedis("a relay that is replaced tells nothing of users who stayed", { brokers: 1, config: CONFIG, timeout: 60000 }, async ({ brokers: [a], redis }) => {
  const watcher = await redis.connect();
  await watcher.command("SUBSCRIBE", "ws:presence");
  const [stays, goes] = [await a.connect({ path: "/ws?user=stays" }), await a.connect({ path: "/ws?user=goes" })];
  await until("both are online", () => watcher.messages.length === 2);
  const relay = a.kill("SIGSTOP", "relay");
  await goes.terminate();
  process.kill(relay, "SIGKILL");
  await until("the one who left is told", () => watcher.messages.length === 3, { timeout: 15000 });
  assert.deepEqual(JSON.parse(watcher.messages[2].message).userId, "goes");
  // Behind it somebody else comes and goes.
  await (await a.connect({ path: "/ws?user=probe" })).close();
  const told = () => watcher.messages.slice(3).map(({ message }) => JSON.parse(message)).map(({ event, userId }) => `${event} ${userId}`);
  await until("the probe is offline", () => told().includes("player:offline probe"));
  await stays.ping();
  assert.deepEqual(told(), ["player:online probe", "player:offline probe"]);
  assert.equal(await redis.command("HGET", "ws:presence:users", "stays"), "node-0");
});

testRedis("who was on a broker that died is not in its channels any more", { brokers: 2, config: { ...CONFIG, "cluster.heartbeat_interval": "200ms", "cluster.dead_instance_threshold": "1500ms" }, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const [stays, ...rest] = [await b.connect({ path: "/ws?user=both" }), await a.connect({ path: "/ws?user=both" }), await a.connect({ path: "/ws?user=gone" }), await a.connect()];
  for (let i = 0; i < 300; i++) rest.push(await a.connect({ path: `/ws?user=many${i}` }));
  await stays.subscribe("room:1");
  for (const client of rest) await client.subscribe("room:1");
  await until("all are there", async () => {
    const { clients, users, members } = await stays.presence("room:1", { limit: 1000 });
    return clients === 304 && users === 302 && members.length === 303;
  }, { timeout: 15000 });
  a.killAll();
  await a.exited;
  await until("one is left", async () => (await stays.presence("room:1")).clients === 1, { timeout: 20000 });
  const { users, members } = await until("and its user", async () => {
    const answer = await stays.presence("room:1");
    return answer.members.length === 1 && answer;
  });
  assert.deepEqual([users, members], [1, [{ user: "both", clients: 1, instances: ["node-1"] }]]);
  assert.equal(await redis.command("HGET", "ws:presence:members:room:1", "both"), "node-1:1");
});
