// Redis Cluster: classic and sharded pub/sub, slots that move, a master that dies (S1.9).
import assert from "node:assert/strict";
import { confirmed, delay, loseConnections, redisHealth, startCluster, subscribers, testRedis, until } from "./lib/redis.mjs";

const hashSlot = async (redis, key) => redis.nodes[0].command("CLUSTER", "KEYSLOT", key);

async function cross([one, two], channel) {
  await confirmed(one, channel);
  await confirmed(two, channel);
  await two.publish(channel, { on: channel });
  for (const client of [one, two]) assert.deepEqual((await client.next("message")).data, { on: channel });
}

testRedis("classic pub/sub over a Cluster", { brokers: 2, start: startCluster, timeout: 90000 }, async ({ brokers: [a, b], redis }) => {
  const [one, two] = [await a.connect(), await b.connect()];
  for (let i = 0; i < 20; i++) await cross([one, two], `room:${i}`);
  await one.direct(two.id, 1);
  assert.equal((await two.next("direct")).data, 1);
  await redis.nodes.at(-1).publish("ws:broadcast", { payload: "from any node" });
  for (const client of [one, two]) assert.equal((await client.next("message")).data, "from any node");
  // The node that a broker talks to dies: another one is home, nothing is missed after that.
  const home = () => a.log.filter((line) => line.includes("redis_cluster_home")).at(-1).match(/:(\d+)"/)[1];
  const before = home();
  await redis.nodes.find((node) => node.port === Number(before)).kill();
  await until("another home", () => home() !== before, { timeout: 15000 });
  await Promise.all([a, b].map((broker) => redisHealth(broker, 200, 15000)));
  const living = redis.nodes.filter((node) => node.port !== Number(before));
  await until("both are subscribed again", async () => (await Promise.all(living.map((node) => subscribers(node, "ws:channel:room:1")))).reduce((sum, count) => sum + count, 0) === 2);
  for (let i = 0; i < 20; i++) {
    await two.publish("room:1", i);
    assert.equal((await one.next("message", 10000)).data, i);
    assert.equal((await two.next("message")).data, i);
  }
});

testRedis("sharded pub/sub, slots that move and a master that dies", {
  brokers: 2,
  start: startCluster,
  config: { "redis.sharded": true },
  timeout: 120000,
}, async ({ brokers: [a, b], redis }) => {
  const [one, two] = [await a.connect(), await b.connect()];
  for (let i = 0; i < 20; i++) await cross([one, two], `room:${i}`);
  const channel = "ws:channel:room:1";
  const slot = await hashSlot(redis, channel);
  const owner = await redis.ownerOf(slot);
  assert.deepEqual(await owner.command("PUBSUB", "SHARDNUMSUB", channel), [channel, 2]);
  // A backend with SPUBLISH.
  await owner.command("SPUBLISH", channel, '{"payload":"sharded"}');
  for (const client of [one, two]) assert.equal((await client.next("message")).data, "sharded");
  // The slot goes to another master.
  const slots = await owner.command("CLUSTER", "SLOTS");
  const target = await redis.ownerOf((slot + 6000) % 16384);
  assert.notEqual(target, owner);
  assert.ok(slots.length >= 3);
  const [ownerId, targetId] = [await owner.command("CLUSTER", "MYID"), await target.command("CLUSTER", "MYID")];
  await target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ownerId);
  await owner.command("CLUSTER", "SETSLOT", slot, "MIGRATING", targetId);
  for (const node of [target, owner]) await node.command("CLUSTER", "SETSLOT", slot, "NODE", targetId);
  await until("both are subscribed at the new owner", async () => (await target.command("PUBSUB", "SHARDNUMSUB", channel))[1] === 2, { timeout: 15000 });
  for (let i = 0; i < 50; i++) {
    await two.publish("room:1", i);
    assert.equal((await one.next("message", 10000)).data, i);
    assert.equal((await two.next("message")).data, i);
  }
  // A master dies, its replica takes over: it must have heard of the new slot, or the others refuse it.
  await until("every node knows the new owner", async () => {
    for (const node of redis.nodes) {
      const range = (await node.command("CLUSTER", "SLOTS")).find(([from, to]) => slot >= from && slot <= to);
      if (range?.[2][1] !== target.port) return false;
    }
    return true;
  }, { timeout: 15000, every: 100 });
  await delay(1500);
  await target.kill();
  const heir = await until("a new owner", async () => {
    for (const node of redis.nodes) {
      if (node === target) continue;
      for (const [from, to, [, port]] of await node.command("CLUSTER", "SLOTS")) {
        if (slot >= from && slot <= to && port !== target.port) return redis.nodes.find((one) => one.port === port);
      }
    }
    return false;
  }, { timeout: 30000, every: 100 });
  await until("both are subscribed there", async () => (await heir.command("PUBSUB", "SHARDNUMSUB", channel))[1] === 2, { timeout: 30000 });
  await Promise.all([a, b].map((broker) => redisHealth(broker, 200, 15000)));
  for (let i = 0; i < 50; i++) {
    await two.publish("room:1", i);
    assert.equal((await one.next("message", 10000)).data, i);
    assert.equal((await two.next("message")).data, i);
  }
});

for (const sharded of [false, true]) {
  testRedis(`a master is lost under 1,000 messages a second, ${sharded ? "sharded" : "classic"}`, {
    brokers: 2,
    start: startCluster,
    config: { "redis.sharded": sharded },
    timeout: 90000,
  }, async ({ brokers: [a, b], redis }) => {
    const [there, publisher] = [await a.connect(), await b.connect()];
    await confirmed(there, "room:1");
    const got = [];
    const gaps = [];
    there.ondelivery = ({ type, data }) => (type === "gap" ? gaps.push(got.length) : got.push(data));
    let sent = 0;
    let going = true;
    const load = (async () => {
      const begun = performance.now();
      for (; going; await delay(2)) while (sent < performance.now() - begun) publisher.send({ type: "publish", channel: "room:1", data: sent++ });
    })();
    await delay(500);
    const home = Number(a.log.filter((line) => line.includes("redis_cluster_home")).at(-1).match(/:(\d+)"/)[1]);
    const victim = sharded ? await redis.ownerOf(await hashSlot(redis, "ws:channel:room:1")) : redis.nodes.find((node) => node.port === home);
    await loseConnections([a, b], 1, () => victim.kill()); // each talks to every master
    await Promise.all([a, b].map((broker) => redisHealth(broker, 200, 30000)));
    const recovered = sent;
    await delay(1000);
    going = false;
    await load;
    await until("the last one is there", () => got.at(-1) === sent - 1, { timeout: 15000 });
    console.log(`# master loss, ${sharded ? "sharded" : "classic"}: ${sent} published, ${sent - got.length} lost`);
    for (let i = 1; i < got.length; i++) {
      assert.ok(got[i] > got[i - 1], `in order and once: ${got[i - 1]}, ${got[i]}`);
      assert.ok(got[i] === got[i - 1] + 1 || gaps.includes(i), `${got[i]} follows ${got[i - 1]} without a gap in between; gaps before ${gaps.map((at) => got[at])}`);
    }
    assert.equal(got.filter((number) => number >= recovered).length, sent - recovered, "nothing is lost after the recovery");
  });
}

testRedis("presence and calls between instances over a Cluster", {
  brokers: 2,
  start: startCluster,
  config: { "debug.user_query": "user", "http.api_keys": ["key-of-the-tests"], "cluster.heartbeat_interval": "200ms", namespace: [{ name: "room", presence: true }] },
  timeout: 90000,
}, async ({ brokers: [a, b] }) => {
  const api = async (broker, path, body) => {
    const answer = await broker.get(`/api/${path}`, { method: body ? "POST" : "GET", headers: { Authorization: "Bearer key-of-the-tests" }, body: body && JSON.stringify(body) });
    return { status: answer.status, ...JSON.parse(answer.body) };
  };
  const [one, two] = [await a.connect({ path: "/ws?user=u1" }), await b.connect({ path: "/ws?user=u1" })];
  for (let i = 0; i < 10; i++) {
    for (const client of [one, two]) await client.subscribe(`room:${i}`);
    const answer = await until("both are there", async () => {
      const list = await one.presence(`room:${i}`);
      return list.clients === 2 && list.members[0].clients === 2 && list;
    });
    assert.deepEqual([answer.users, answer.scope, [...answer.members[0].instances].sort()], [1, undefined, ["node-0", "node-1"]]);
  }
  assert.deepEqual((await api(a, "presence?user=u1")).instances.sort(), ["node-0", "node-1"]);
  await until("they know each other", async () => (await api(a, "instances")).instances.length === 2 && (await api(b, "instances")).instances.length === 2);
  assert.deepEqual(await api(a, "subscribe", { user: "u1", channel: "room:new" }), { status: 200, subscribed: 2 });
  await until("both subscriptions are registered", async () => (await api(b, "channels?prefix=room:new")).channels[0]?.subscribers === 2);
  assert.equal((await api(a, "disconnect", { client: two.id })).disconnected, 1);
  assert.equal((await two.closed).code, 4501);
  assert.equal((await api(a, "disconnect", { client: two.id })).status, 404);
});

/* CRC16 (XMODEM) of a name without braces, modulo the number of slots, as the Cluster specification has it. */
function slotOfName(name) {
  let crc = 0;
  for (const byte of Buffer.from(name)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc % 16384;
}

/* The first name of a room whose Redis channel is in one of these slots. */
function roomIn(from, to, beginning = 0) {
  for (let i = beginning; ; i++) {
    const slot = slotOfName(`ws:channel:room:${i}`);
    if (slot >= from && slot <= to) return `room:${i}`;
  }
}

for (const sharded of [false, true]) {
  testRedis(`slots move under 1,000 messages a second, ${sharded ? "sharded" : "classic"}`, {
    brokers: 2,
    start: startCluster,
    config: { "redis.sharded": sharded },
    timeout: 120000,
  }, async ({ brokers: [a, b], redis }) => {
    const MOVED = 400;
    const masters = redis.nodes.slice(0, 3); // redis-cli gives them ranges in this order
    assert.equal(await redis.ownerOf(0), masters[0]);
    // Four channels in slots that move, two that stay.
    const rooms = [0, 100, 200, 300].map((slot) => roomIn(slot, slot + 99));
    rooms.push(roomIn(6000, 9000), roomIn(12000, 16383));
    const [there, here, publisher] = [await a.connect(), await b.connect(), await b.connect()];
    const seen = new Map();
    for (const client of [there, here]) {
      for (const room of rooms) {
        await confirmed(client, room);
        seen.set(`${client.name} ${client.id} ${room}`, { got: [], gaps: [] });
      }
      const of = (room) => seen.get(`${client.name} ${client.id} ${room}`);
      client.ondelivery = ({ type, channel, data }) => {
        if (type === "message") of(channel).got.push(data);
        else for (const room of channel ? [channel] : rooms) of(room).gaps.push(of(room).got.length);
      };
    }
    const sent = new Map(rooms.map((room) => [room, 0]));
    let total = 0;
    let going = true;
    const load = (async () => {
      const begun = performance.now();
      for (; going; await delay(2)) {
        while (total < performance.now() - begun) {
          const room = rooms[total++ % rooms.length];
          publisher.send({ type: "publish", channel: room, data: sent.get(room) });
          sent.set(room, sent.get(room) + 1);
        }
      }
    })();
    await delay(300);
    // There, and back again.
    await redis.reshard(masters[0], masters[1], MOVED);
    await redis.reshard(masters[1], masters[0], MOVED);
    if (sharded) {
      await until("every channel is subscribed at its owner", async () => {
        for (const room of rooms) {
          const owner = await redis.ownerOf(slotOfName(`ws:channel:${room}`));
          if ((await owner.command("PUBSUB", "SHARDNUMSUB", `ws:channel:${room}`))[1] !== 2) return false;
        }
        return true;
      }, { timeout: 20000, every: 50 });
    }
    await Promise.all([a, b].map((broker) => redisHealth(broker, 200, 15000)));
    const recovered = new Map(sent);
    await delay(1000);
    going = false;
    await load;
    let lost = 0;
    let gaps = 0;
    for (const [key, { got, gaps: told }] of seen) {
      const room = key.split(" ").at(-1);
      const all = sent.get(room);
      await until(`${key}: the last one is there`, () => got.at(-1) === all - 1, { timeout: 15000 });
      for (let i = 0; i < got.length; i++) {
        const before = i > 0 ? got[i - 1] : -1;
        assert.ok(got[i] > before, `${key}: in order and once: ${before}, ${got[i]}`);
        assert.ok(got[i] === before + 1 || told.includes(i), `${key}: ${got[i]} follows ${before} without a gap in between; gaps before ${told}`);
      }
      assert.equal(got.filter((number) => number >= recovered.get(room)).length, all - recovered.get(room), `${key}: nothing is lost afterwards`);
      lost += all - got.length;
      gaps += told.length;
    }
    console.log(`# ${2 * MOVED} slots moved, ${sharded ? "sharded" : "classic"}: ${total} published to 2 subscribers, ${lost} deliveries lost, ${gaps} gaps told`);
  });
}
