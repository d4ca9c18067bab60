// A Redis subscription that was lost: what was published meanwhile is lost too, and that is said (gap), once, to those concerned, and
// not before everything that comes from then on arrives.
import assert from "node:assert/strict";
import { confirmed, redisHealth, startCluster, testRedis, until } from "./lib/redis.mjs";

const gapsOf = (client) => client.inbox.filter(({ type }) => type === "gap").length;
const missed = async (broker) => (await broker.metrics())("ringcast_redis_missed_total");

testRedis("a killed subscription connection is a gap, told once when everything arrives again", {
  brokers: 2,
  workers: 2,
  config: { endpoint: [{ path: "/live", protocol: "raw", join: ["*"], incoming: "ignore" }] },
  timeout: 60000,
}, async ({ brokers: [a, b], redis }) => {
  const clients = await a.connectMany([2, 2]);
  const [first, , , idle] = clients;
  for (const client of clients) if (client !== idle) for (const channel of ["room:1", "room:2"]) await confirmed(client, channel);
  const raw = await a.connect({ path: "/live", welcome: false });
  const elsewhere = await b.connect();
  await confirmed(elsewhere, "room:1");
  assert.equal(await missed(a), 0, "connecting for the first time loses nothing");
  for (let round = 1; round <= 3; round++) {
    // The backend goes on publishing: after its gap nobody may miss anything.
    const got = [];
    let gapAt = -1;
    first.ondelivery = (message) => {
      if (message.type === "gap") gapAt = got.length;
      else got.push(message.data);
    };
    let next = 0;
    let going = true;
    const load = (async () => {
      while (going) await redis.publish("ws:channel:room:1", { payload: next++ });
    })();
    await until("something arrives", () => got.length > 0);
    const killer = await redis.connect();
    await killer.command("CLIENT", "KILL", "TYPE", "pubsub");
    killer.end();
    await until("the gap is told", () => gapAt >= 0);
    await until("and messages behind it", () => got.length > gapAt + 20);
    going = false;
    await load;
    await until("the last one is there", () => got.at(-1) === next - 1);
    const behind = got.slice(gapAt);
    assert.deepEqual(behind, Array.from({ length: behind.length }, (_, i) => behind[0] + i), "complete behind the gap");
    first.ondelivery = null;
    for (const client of clients) {
      if (client === first) continue;
      const gap = await client.next("gap");
      assert.deepEqual(gap, { type: "gap" }, "broadcasts and direct messages may be missing too");
    }
    for (const broker of [a, b]) await until("counted", async () => (await missed(broker)) === round);
    await first.publish("room:1", "end");
    for (const client of clients) {
      if (client !== idle) await client.next(({ data }) => data === "end");
      await client.ping();
      assert.equal(gapsOf(client), 0, "once");
    }
  }
  await elsewhere.next("gap");
  assert.deepEqual(raw.inbox, [], "raw clients know no gaps");
});

testRedis("a restarted Redis is one gap, a lost command connection is none", { brokers: 1, timeout: 60000 }, async ({ brokers: [a], redis }) => {
  const [early, late] = [await a.connect(), await a.connect()];
  await confirmed(early, "room:1");
  await redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  await redisHealth(a, 200);
  await until("reconnected", async () => (await a.metrics())("ringcast_redis_reconnects_total") > 0);
  await early.ping();
  assert.equal(early.inbox.length, 0);
  assert.equal(await missed(a), 0);
  await redis.kill();
  await redisHealth(a, 503);
  await late.subscribe("room:2");
  await early.publish("room:1", "local");
  assert.equal((await early.next()).data, "local");
  await early.ping();
  assert.equal(early.inbox.length, 0, "not before Redis is back");
  await redis.start();
  assert.deepEqual(await early.next("gap", 10000), { type: "gap" });
  await redis.publish("ws:channel:room:1", { payload: "after" });
  assert.equal((await early.next()).data, "after");
  await until("counted, once", async () => (await missed(a)) === 1);
});

testRedis("a relay that is killed missed what other hosts said meanwhile", { brokers: 1, workers: 2, timeout: 60000 }, async ({ brokers: [a], redis }) => {
  const clients = await a.connectMany([1, 1]);
  for (const client of clients) await confirmed(client, "room:1");
  a.kill("SIGKILL", "relay");
  for (const client of clients) assert.deepEqual(await client.next("gap", 10000), { type: "gap" });
  await redis.publish("ws:channel:room:1", { payload: "after" });
  for (const client of clients) {
    assert.equal((await client.next()).data, "after");
    assert.equal(client.inbox.length, 0);
  }
});

testRedis("a channel's own connection, a slot that moves, another home: only who is concerned is told", {
  brokers: 1,
  start: startCluster,
  config: { "redis.sharded": true },
  timeout: 120000,
}, async ({ brokers: [a], redis }) => {
  const home = () => Number(a.log.filter((line) => line.includes("redis_cluster_home")).at(-1).match(/:(\d+)"/)[1]);
  const slotOf = (channel) => redis.nodes[0].command("CLUSTER", "KEYSLOT", `ws:channel:${channel}`);
  // One channel whose shard is not home, one whose shard is.
  let [there, here] = [null, null];
  for (let i = 0; !there || !here; i++) {
    const owner = await redis.ownerOf(await slotOf(`room:${i}`));
    if (owner.port === home()) here ??= `room:${i}`;
    else there ??= `room:${i}`;
  }
  const [one, two] = [await a.connect(), await a.connect()];
  await confirmed(one, there);
  await confirmed(two, here);
  let owner = await redis.ownerOf(await slotOf(there));
  await owner.command("CLIENT", "KILL", "TYPE", "pubsub");
  assert.deepEqual(await one.next("gap", 10000), { type: "gap", channel: there });
  // Its slot goes to home.
  const target = redis.nodes.find((node) => node.port === home());
  const slot = await slotOf(there);
  const [ownerId, targetId] = [await owner.command("CLUSTER", "MYID"), await target.command("CLUSTER", "MYID")];
  await target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ownerId);
  await owner.command("CLUSTER", "SETSLOT", slot, "MIGRATING", targetId);
  for (const node of [target, owner]) await node.command("CLUSTER", "SETSLOT", slot, "NODE", targetId);
  assert.deepEqual(await one.next("gap", 30000), { type: "gap", channel: there });
  await target.command("SPUBLISH", `ws:channel:${there}`, '{"payload":"moved"}');
  assert.equal((await one.next()).data, "moved");
  await two.ping();
  assert.deepEqual(two.inbox, [], "the other shard lost nothing");
  // Home's command connection is lost: another node is home, and the former one must not be listened to as well.
  const before = home();
  const commands = (await target.command("CLIENT", "LIST", "TYPE", "normal")).split("\n").filter((line) => line.includes("name=ringcast:"));
  assert.equal(commands.length, 1);
  await target.command("CLIENT", "KILL", "ID", /id=(\d+)/.exec(commands[0])[1]);
  await until("another home", () => home() !== before);
  for (const client of [one, two]) assert.deepEqual(await client.next("gap", 10000), { type: "gap" });
  await redisHealth(a, 200);
  for (const node of [redis.nodes[0], redis.nodes[1], redis.nodes[2]]) await node.publish("ws:broadcast", { payload: `by ${node.port}` });
  for (const client of [one, two]) {
    for (let i = 0; i < 3; i++) assert.match((await client.next()).data, /^by/);
  }
  // A second copy would come over the other connection, on which the sharded channel is, once the Cluster's bus has brought it there.
  const bus = await target.connect();
  await bus.command("SUBSCRIBE", "fence");
  for (const node of redis.nodes.slice(0, 3)) await node.publish("fence", "");
  await until("what was published elsewhere has come by", () => bus.messages.length === 3);
  await target.command("SPUBLISH", `ws:channel:${there}`, '{"payload":"behind"}');
  assert.equal((await one.next()).data, "behind");
  for (const client of [one, two]) {
    await client.ping();
    assert.deepEqual(client.inbox, [], "once");
  }
});
