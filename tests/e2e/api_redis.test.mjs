// The HTTP API with brokers over one Redis: what it sends, asks and does reaches the clients of all of them.
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { confirmed, redisHealth, testRedis, until } from "./lib/redis.mjs";

const headers = { Authorization: "Bearer key-of-the-tests" };
const CONFIG = {
  "http.api_keys": ["key-of-the-tests"],
  "debug.user_query": "user",
  "presence.offline_delay": "100ms",
  "cluster.heartbeat_interval": "200ms",
  "cluster.dead_instance_threshold": "20s", // none is dead that only waits for a processor, or is stopped here
  namespace: [{ name: "room", presence: true }],
};
/* Other instances have a second to answer: docs/api.md. */
const LATE = ["ringcast_instance_calls_incomplete_total"];
const call = async (broker, path, body) => {
  const answer = await broker.get(`/api/${path}`, { method: body === undefined ? "GET" : "POST", headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return { status: answer.status, ...JSON.parse(answer.body) };
};

// For those who look at something else: asked again when Redis took longer than the 100 ms that an answer waits for it.
const subscribe = (broker, body) => until("Redis has confirmed", async () => {
  const answer = await call(broker, "subscribe", body);
  return answer.scope === undefined && answer;
});

testRedis("what one broker's API sends reaches the clients of the other", { brokers: 2, workers: 2, config: CONFIG }, async ({ brokers: [a, b] }) => {
  const [one, two] = [await a.connect(), await b.connect()];
  for (const client of [one, two]) await confirmed(client, "x");
  assert.equal((await call(a, "publish", { channel: "x", data: 1 })).status, 200);
  for (const client of [one, two]) assert.equal((await client.next("message")).data, 1);
  assert.equal((await call(a, "broadcast", { data: 2, exclude: [two.id] })).status, 200);
  assert.equal((await one.next("message")).data, 2);
  assert.deepEqual((await call(a, "direct", { client: two.id, data: 3 })).status, 200);
  assert.equal((await two.next()).data, 3);
  assert.equal(two.inbox.length, 0);
});

testRedis("presence of channels and users, and the instances", { brokers: 3, config: CONFIG, timeout: 60000 }, async ({ brokers: [a, b, c], redis }) => {
  const clients = [await a.connect({ path: "/ws?user=u1" }), await b.connect({ path: "/ws?user=u1" }), await b.connect({ path: "/ws?user=u2" }), await c.connect()];
  for (const client of clients) await client.subscribe("room:1");
  const sorted = (answer) => ({ ...answer, instances: [...answer.instances].sort() });
  // Clients of a channel, its users and all users are keys of their own, and each instance writes what is its own.
  const becomes = async (path, part, expected) => {
    let last;
    await until(`${path} is whole`, async () => isDeepStrictEqual((last = part(await call(c, path))), expected)).catch(() => assert.deepEqual(last, expected));
  };
  await becomes("presence?channel=room:1", ({ members, ...rest }) => ({ ...rest, u1: sorted(members.find(({ user }) => user === "u1")) }), {
    status: 200, channel: "room:1", clients: 4, users: 2, more: false, u1: { user: "u1", clients: 2, instances: ["node-0", "node-1"] },
  });
  await becomes("presence?user=u1", sorted, { status: 200, user: "u1", online: true, instances: ["node-0", "node-1"] });
  await becomes("presence", (answer) => answer, { status: 200, users: 2 });
  await clients[2].close();
  await until("u2 is offline", async () => !(await call(a, "presence?user=u2")).online);

  const instances = await until("all are known with their start", async () => {
    const answer = await call(b, "instances");
    return answer.instances.length === 3 && answer.instances.every(({ started, connections }) => started !== null && connections >= 1) && answer;
  }, { timeout: 15000 });
  assert.equal(instances.scope, undefined);
  assert.deepEqual(instances.instances.map(({ instance, self }) => [instance, self]).sort(), [["node-0", false], ["node-1", true], ["node-2", false]]);
  assert.equal(instances.instances[0].self, true, "this one is the first");
  for (const { instance, started, uptime_s: uptime, heard_ms: heard, local_only: local } of instances.instances) {
    assert.ok(Math.abs(Date.now() - started) < 60000 && uptime < 60, instance);
    assert.ok(instance === "node-1" ? local === false : heard < 5000, instance);
  }

  await redis.kill();
  for (const broker of [b, c]) await redisHealth(broker, 503);
  const alone = await call(b, "instances");
  assert.deepEqual([alone.scope, alone.instances[0].local_only], ["local", true]);
  assert.deepEqual(await call(b, "presence?user=u1"), { status: 200, user: "u1", online: true, instances: ["node-1"], scope: "local" });
  assert.deepEqual(await call(c, "presence?user=u1"), { status: 200, user: "u1", online: false, instances: [], scope: "local" });
  await redis.start();
  await redisHealth(b, 200, 10000);
});

testRedis("clients of any instance are subscribed, unsubscribed and disconnected by any other", { brokers: 3, workers: 2, config: CONFIG, timeout: 60000, late: LATE }, async ({ brokers: [a, b, c] }) => {
  const client = await b.connect({ path: "/ws?user=u1" });
  assert.deepEqual(await subscribe(a, { client: client.id, channel: "room:1" }), { status: 200, subscribed: 1 });
  await until("it is in the room", async () => (await call(c, "presence?channel=room:1")).clients === 1);
  await call(b, "publish", { channel: "room:1", data: 1 });
  assert.equal((await client.next("message")).data, 1);
  assert.deepEqual(await call(c, "unsubscribe", { client: client.id, channel: "room:1" }), { status: 200, unsubscribed: 1 });
  assert.deepEqual(await call(c, "unsubscribe", { client: client.id, channel: "room:1" }), { status: 200, unsubscribed: 0 });
  assert.deepEqual(await call(a, "disconnect", { client: client.id, code: 4400, reason: 'say "é"' }), { status: 200, disconnected: 1 });
  assert.deepEqual(await client.closed, { code: 4400, reason: 'say "é"' });
  const gone = await call(a, "disconnect", { client: client.id });
  assert.deepEqual([gone.status, gone.error.message], [404, "no such client"]);
  assert.equal((await subscribe(a, { client: client.id.replace("node-1", "node-9"), channel: "room:1" })).status, 404, "no such instance");
  assert.equal((await call(a, "disconnect", { client: `node-1~${"A".repeat(24)}` })).status, 404, "no client at all");
  const earlier = Buffer.from(client.id.split("~")[1], "base64url");
  earlier[0] ^= 1; // the boot's nonce
  assert.equal((await call(a, "disconnect", { client: `node-1~${earlier.toString("base64url")}` })).status, 404, "of an earlier boot");

  // All connections of a user.
  const many = [];
  for (const broker of [a, b, c]) for (let i = 0; i < 4; i++) many.push(await broker.connect({ path: "/ws?user=42" }));
  const other = await b.connect({ path: "/ws?user=43" });
  await until("the user is known everywhere", async () => (await call(a, "presence?user=42")).instances.length === 3);
  assert.deepEqual(await subscribe(b, { user: 42, channel: "room:2" }), { status: 200, subscribed: 12 });
  assert.deepEqual(await call(c, "unsubscribe", { user: "42", channel: "room:2" }), { status: 200, unsubscribed: 12 });
  assert.deepEqual(await call(c, "disconnect", { user: "42" }), { status: 200, disconnected: 12 });
  for (const one of many) assert.deepEqual(await one.closed, { code: 4501, reason: "disconnected" });
  assert.deepEqual(await call(a, "disconnect", { user: "42" }), { status: 200, disconnected: 0 });
  await other.ping();
  // Many at once.
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => call([a, b, c][i % 3], "subscribe", { client: other.id, channel: `room:${i}` })));
  assert.ok(answers.every(({ status, subscribed }) => status === 200 && subscribed === 1));
  assert.ok((await a.metrics())("ringcast_instance_calls_sent_total") > 0 && (await b.metrics())("ringcast_instance_calls_served_total") > 0);
});

testRedis("what is published anywhere after the answer to a subscribe arrives", { brokers: 2, workers: 2, config: CONFIG, timeout: 90000, late: LATE }, async ({ brokers: [a, b], redis }) => {
  const [one, two] = await b.connectMany([1, 1], { path: "/ws?user=7" });
  for (let [i, promised] = [0, 0]; promised < 300; i++) {
    const channel = `now:${i}`;
    // Asked here or there, for one client or for a user with connections on both workers; published by a backend or by the other broker.
    const answer = await call(i % 2 ? a : b, "subscribe", { ...(i % 3 ? { client: one.id } : { user: 7 }), channel });
    assert.deepEqual([answer.status, answer.subscribed, answer.incomplete], [200, i % 3 ? 1 : 2, undefined]);
    if (answer.scope) continue; // Redis took longer than 100 ms: nothing was promised
    promised++;
    if (i % 5) await redis.publish(`ws:channel:${channel}`, { payload: i });
    else await call(a, "publish", { channel, data: i });
    for (const client of i % 3 ? [one] : [one, two]) assert.deepEqual(await client.next(), { type: "message", channel, data: i });
    await call(a, "unsubscribe", { user: 7, channel });
  }
});

testRedis("a subscribe that Redis does not confirm says so, on whichever instance", { brokers: 2, workers: 2, config: CONFIG, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const [client, there] = [await a.connect({ path: "/ws?user=7" }), await b.connect({ path: "/ws?user=7" })];
  const local = async () => (await a.metrics())("ringcast_redis_scope_local_total");
  await until("both are subscribed", async () => isDeepStrictEqual(await subscribe(a, { user: 7, channel: "before" }), { status: 200, subscribed: 2 }));
  redis.signal("SIGSTOP");
  assert.deepEqual(await call(a, "subscribe", { client: client.id, channel: "slow" }), { status: 200, subscribed: 1, scope: "local" });
  assert.ok((await local()) > 0);
  // As it says to the client itself; and whoever comes later to the channel is promised no more than the first.
  assert.equal((await client.subscribe("slower")).scope, "local");
  assert.deepEqual(await call(a, "subscribe", { client: client.id, channel: "slower" }), { status: 200, subscribed: 1, scope: "local" });
  assert.deepEqual(await call(a, "publish", { channel: "slow", data: 1 }).then(({ published }) => published), 1);
  assert.equal((await client.next("message")).data, 1, "this host is complete");
  redis.signal("SIGCONT");
  await redisHealth(a, 200, 10000);
  await until("confirmed", async () => (await call(a, "subscribe", { client: client.id, channel: "slow" })).scope === undefined);
  await redis.publish("ws:channel:slow", { payload: 2 });
  assert.equal((await client.next("message")).data, 2);
  // Another instance that may not subscribe tells it, too.
  const held = [...(await redis.command("PUBSUB", "CHANNELS")), "ws:direct:node-0~*", "ws:direct:node-1~*"];
  await redis.command("ACL", "SETUSER", "default", "resetchannels", ...held.map((name) => `&${name}`));
  // Redis ends the connections of a user whose rights become less: they come back.
  const answer = await until("both hear each other again", async () => {
    const got = await call(a, "subscribe", { client: there.id, channel: "refused" });
    return got.status === 200 && !got.incomplete && got;
  });
  assert.deepEqual(answer, { status: 200, subscribed: 1, scope: "local" });
  await redis.command("ACL", "SETUSER", "default", "allchannels");
});

testRedis("channels are listed over all instances, page by page", { brokers: 3, workers: 2, config: CONFIG, timeout: 60000, late: LATE }, async ({ brokers }) => {
  const expected = new Map();
  for (const [i, broker] of brokers.entries()) {
    const clients = [await broker.connect(), await broker.connect()];
    for (let n = 0; n < 40; n++) {
      const name = `list:${String(n * (i + 1)).padStart(3, "0")}"é`;
      for (const client of clients.slice(0, 1 + (n % 2))) {
        await client.subscribe(name);
        expected.set(name, (expected.get(name) ?? 0) + 1);
      }
    }
  }
  const sorted = [...expected].map(([channel, subscribers]) => ({ channel, subscribers })).sort((x, y) => Buffer.compare(Buffer.from(x.channel), Buffer.from(y.channel)));
  for (const limit of [7, 1000]) {
    for (const broker of brokers) {
      const all = [];
      for (let cursor = ""; cursor !== null;) {
        const page = await call(broker, `channels?prefix=list:&limit=${limit}&cursor=${encodeURIComponent(cursor)}`);
        assert.equal(page.status, 200);
        assert.deepEqual([page.scope, page.incomplete], [undefined, undefined]);
        assert.ok(page.channels.length <= limit);
        all.push(...page.channels);
        cursor = page.next;
      }
      assert.deepEqual(all, sorted, `limit ${limit}`);
    }
  }
});

testRedis("an instance that hangs or is gone, and Redis away: the answer says what is missing", { brokers: 3, config: CONFIG, timeout: 60000 }, async ({ brokers: [a, b, c], redis }) => {
  const [one, two] = [await a.connect({ path: "/ws?user=u" }), await b.connect({ path: "/ws?user=u" })];
  await until("a knows the others", async () => (await call(a, "instances")).instances.length === 3);
  const relay = b.kill("SIGSTOP", "relay");
  assert.deepEqual(await subscribe(a, { user: "u", channel: "room:1" }), { status: 200, subscribed: 1, incomplete: true });
  assert.equal((await call(a, "disconnect", { client: two.id })).status, 504);
  assert.equal((await call(a, "channels")).incomplete, true);
  process.kill(relay, "SIGCONT");
  await two.closed; // it was done, late
  const complete = (what) => until(what, async () => isDeepStrictEqual(await subscribe(a, { user: "u", channel: "room:1" }), { status: 200, subscribed: 1 }));
  await complete("complete again");
  // Whoever listens in is waited for only shortly and does not make it incomplete.
  const watcher = await redis.connect();
  await watcher.command("PSUBSCRIBE", "ws:*");
  await complete("complete with somebody who listens in");
  watcher.end();
  // A killed one is not waited for.
  c.killAll();
  await c.exited;
  await until("Redis has noticed", async () => (await redis.command("PUBSUB", "NUMSUB", "ws:instances:call"))[1] === 2);
  await complete("complete without the one that is gone");
  await redis.kill();
  await redisHealth(a, 503);
  const three = await b.connect({ path: "/ws?user=u" });
  assert.deepEqual(await call(a, "unsubscribe", { user: "u", channel: "room:1" }), { status: 200, unsubscribed: 1, scope: "local" });
  assert.equal((await call(a, "disconnect", { client: three.id })).status, 503);
  assert.equal((await call(a, "channels")).scope, "local");
  assert.deepEqual(await call(a, "disconnect", { client: one.id }), { status: 200, disconnected: 1 }, "its own");
  await redis.start();
  await redisHealth(a, 200, 10000);
  await redisHealth(b, 200, 10000);
  await until("whole again", async () => (await call(a, "disconnect", { client: three.id })).disconnected === 1, { timeout: 10000 });
});

testRedis("calls of backends over Redis, and nonsense on those channels", { brokers: 2, config: CONFIG, timeout: 60000 }, async ({ brokers: [a, b], redis }) => {
  const clients = [await a.connect({ path: "/ws?user=42" }), await b.connect({ path: "/ws?user=42" })];
  const watcher = await redis.connect();
  await watcher.command("SUBSCRIBE", "ws:instance:backend:reply");
  const bad = [
    "", "x", "[]", "{}", '{"operation":"explode","user":"42"}', '{"operation":"disconnect"}', '{"operation":"disconnect","user":""}',
    '{"operation":"disconnect","user":"42","client":"a~b"}', '{"operation":"disconnect","user":"42","code":4999999}', '{"operation":"disconnect","user":"42","code":1006}',
    '{"operation":"disconnect","user":"42","from":"backend"}', '{"operation":"disconnect","user":"42","from":"a b","call":"1"}', '{"operation":"subscribe","user":"42"}',
    '{"operation":"subscribe","user":"42","channel":"*"}', '{"operation":"subscribe","user":"42","channel":"user:1"}', '{"operation":"subscribe","user":"42","channel":"a\\u0000"}',
    '{"operation":"channels"}', '{"operation":"channels","from":"backend","call":"1","limit":0}', `{"operation":"disconnect","user":"${"u".repeat(300)}"}`,
    `{"operation":"disconnect","user":"42","reason":"${"r".repeat(124)}"}`, Buffer.from([0xff, 0xfe]), "[".repeat(100), '{"operation":"disconnect","user":{"a":1}}',
  ];
  const before = (await a.metrics())("ringcast_redis_malformed_total");
  for (const message of bad) await redis.publish("ws:instances:call", message);
  const replies = ["", "{}", '{"call":"1"}', '{"call":"1","from":"x","count":-1}', '{"call":"1","from":"x","channels":1}', '{"call":"1","from":"x","channels":[["a"]]}', '{"call":"1","from":"x","channels":[[1,2]]}', '{"call":"","from":"x","last":true}'];
  for (const message of replies) await redis.publish("ws:instance:node-0:reply", message);
  await redis.publish("ws:instance:node-0:reply", '{"call":"0000000000000000","from":"x","last":true,"count":5}');
  await until("all are counted", async () => (await a.metrics())("ringcast_redis_malformed_total") - before === bad.length + replies.length);
  for (const client of clients) await client.ping();
  await redis.publish("ws:instances:call", '{"operation":"subscribe","user":42,"channel":"room:1"}');
  await until("both are in the room", async () => (await call(a, "presence?channel=room:1")).clients === 2);
  await redis.publish("ws:instances:call", '{"operation":"channels","prefix":"room:","call":"c1","from":"backend"}');
  const lists = await until("two last replies", () => {
    const all = watcher.messages.map(({ message }) => JSON.parse(message));
    return all.filter(({ last }) => last).length === 2 && all;
  });
  assert.ok(lists.every(({ call: id }) => id === "c1"));
  assert.deepEqual(lists.filter(({ channels }) => channels).map(({ from, channels }) => [from, channels]).sort(), [["node-0", [["room:1", 1]]], ["node-1", [["room:1", 1]]]]);
  watcher.messages.length = 0;
  await redis.publish(`ws:instance:node-1:call`, JSON.stringify({ operation: "disconnect", client: clients[1].id, call: "c2", from: "backend" }));
  assert.equal((await clients[1].closed).code, 4501);
  const [reply] = await until("a reply", () => watcher.messages.length === 1 && watcher.messages.map(({ message }) => JSON.parse(message)));
  assert.deepEqual(reply, { call: "c2", from: "node-1", count: 1, found: true, last: true });
  await redis.publish("ws:instances:call", '{"operation":"disconnect","user":"42"}');
  assert.equal((await clients[0].closed).code, 4501);
});
