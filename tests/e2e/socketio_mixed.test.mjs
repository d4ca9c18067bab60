// Two instances and two Node servers in one cluster, under traffic from all sides, while one of each is killed and Redis is restarted: what is
// lost is counted and is what docs/socketio.md says, nothing comes twice, and everything works afterwards.
import assert from "node:assert/strict";
import { startBroker } from "./lib/broker.mjs";
import { KINDS } from "./lib/member_kinds.mjs";
import { MEMBER_CONFIG } from "./lib/members.mjs";
import { NodeProcess, Place, Record, allCalls, allHear } from "./lib/mixed.mjs";
import { redisHealth, testRedis, until } from "./lib/redis.mjs";

const EVERY = 20; // milliseconds between two messages of a sender

/* The cluster: servers, their clients, and what was said and heard. */
class Cluster {
  record = new Record();
  nodes = [];
  places = [];

  senders() {
    return [...this.nodes, ...this.places].map(({ name }) => name);
  }

  async node(kind, redis, name) {
    this.nodes.push(await new NodeProcess().start(kind, redis, name));
    return this.nodes.at(-1);
  }

  async place(server, name) {
    this.places.push(new Place(server, name));
    await this.places.at(-1).connect(this.record.take);
  }

  /* Whose server it was is here no more. */
  leave(server) {
    const [place] = this.places.splice(this.places.findIndex((one) => one.server === server), 1);
    place.stop();
    return place;
  }

  async counts(what) {
    const counts = new Map(this.places.map((place) => [place.name, what === "stop" ? place.stop() : place.sent]));
    for (const node of this.nodes) counts.set(node.name, await node.does(what));
    return counts;
  }

  /* Of what each of these senders has said between two counts, at the clients of these places: lost, doubled and out of order. */
  judged(before, after, { senders = this.senders(), places = this.places } = {}) {
    return Object.fromEntries(senders.map((from) => {
      const sums = { lost: 0, doubled: 0, disordered: 0 };
      for (const socket of places.flatMap(({ sockets }) => sockets)) {
        for (const [what, count] of Object.entries(this.record.judge(socket, from, before.get(from) + 1, after.get(from)))) sums[what] += count;
      }
      return [from, sums];
    }));
  }

  /* Those on instances of ringcast, and what their clients say. */
  instances() {
    const places = this.places.filter(({ server }) => !(server instanceof NodeProcess));
    return { places, senders: places.map(({ name }) => name) };
  }

  /* Traffic from all sides while `body` does what it does; at the end `those()` must hear each other. `whole`: nothing may be lost, nor come
   * twice, of those who are here at its end. */
  async traffic(what, body, { whole = true, those = () => ({ places: this.places, senders: this.senders() }) } = {}) {
    for (const node of this.nodes) await node.does("talk", { room: "red", every: EVERY });
    for (const place of this.places) place.talk(EVERY);
    await allHear(this.record, this.places, this.senders());
    const before = await this.counts("count");
    const begun = performance.now();
    await body(before);
    const { places, senders } = those();
    await allHear(this.record, places, senders);
    const ms = performance.now() - begun;
    const after = await this.counts("stop");
    const last = (from) => places.every(({ sockets }) => sockets.every((socket) => this.record.of(socket, from).includes(after.get(from))));
    await until(`${what}: the last of all are there`, () => senders.every(last), { timeout: 15000 });
    if (whole) {
      const good = Object.fromEntries(this.senders().map((from) => [from, { lost: 0, doubled: 0, disordered: 0 }]));
      await until(`${what}: all of it is there`, () => Object.values(this.judged(before, after)).every(({ lost }) => lost === 0), { timeout: 15000 }).catch(() => {});
      assert.deepEqual(this.judged(before, after), good, what);
    }
    return { ms, before, after };
  }

  /* Of who is gone: what was heard since then, once and in order, without a hole. */
  heardWhole(from, before) {
    for (const socket of this.places.flatMap(({ sockets }) => sockets)) {
      const list = this.record.of(socket, from).filter((n) => n > before.get(from));
      assert.deepEqual(list, list.map((_, i) => list[0] + i), `${socket.label} hears ${from}`);
    }
  }
}

/* Restarts Redis; of a Cluster the master that has most to do with it: its replica takes over, and it comes back as one. */
async function restartRedis(redis) {
  if (!redis.nodes) {
    await redis.kill();
    await redis.start();
    return;
  }
  const slot = await redis.nodes[0].command("CLUSTER", "KEYSLOT", "socket.io#/#red#");
  const owner = await redis.ownerOf(slot);
  const heirBy = async (node) => (await node.command("CLUSTER", "SLOTS")).find(([from, to]) => slot >= from && slot <= to)?.[2][1];
  await owner.kill();
  const heir = await until("an heir", async () => {
    const port = await heirBy(redis.nodes.find((node) => node !== owner));
    return port !== owner.port && port;
  }, { timeout: 30000, every: 100 });
  await owner.start();
  // Who asks the one that has just come back is sent to itself, until the others have told it.
  await until("all nodes know the heir", async () => {
    for (const node of redis.nodes) if ((await heirBy(node)) !== heir) return false;
    return true;
  }, { timeout: 30000, every: 100 });
}

/* Each server of a Cluster with the sharded adapter is subscribed where a channel's slot is now. */
async function subscribedAnew(redis, servers) {
  for (const channel of ["socket.io#/#", "socket.io#/admin#", "socket.io#/#red#"]) {
    await until(`all are subscribed to ${channel}`, async () => {
      const owner = await redis.ownerOf(await redis.nodes[0].command("CLUSTER", "KEYSLOT", channel));
      return (await owner.command("PUBSUB", "SHARDNUMSUB", channel))[1] === servers;
    }, { timeout: 30000, every: 50 });
  }
}

for (const [name, kind] of Object.entries(KINDS)) {
  const options = { workers: 2, config: { ...MEMBER_CONFIG, "socketio.adapter": kind.config, "cluster.dead_instance_threshold": "5s", "cluster.heartbeat_interval": "500ms" } };
  testRedis(`two instances and two Nodes under traffic: ${name}`, { brokers: 2, ...options, start: kind.start, timeout: 120000 }, async ({ brokers, redis }) => {
    const cluster = new Cluster();
    const calls = async () => {
      for (const node of cluster.nodes) await allCalls(node, cluster.places);
    };
    let another;
    try {
      for (let i = 0; i < 2; i++) await cluster.node(name, redis, `node ${i}`);
      for (const [i, server] of [...cluster.nodes, ...brokers].entries()) await cluster.place(server, `place ${i}`);
      await cluster.traffic("all there", calls);

      await cluster.traffic("beside a Node that was killed", async (before) => {
        const dead = cluster.nodes.pop();
        const place = cluster.leave(dead);
        await dead.kill();
        await allHear(cluster.record, cluster.places, cluster.senders());
        for (const from of [dead.name, place.name]) cluster.heardWhole(from, before);
        place.close();
      });
      await cluster.place(await cluster.node(name, redis, "node 2"), "place 4");
      await cluster.traffic("with another Node", calls);

      await cluster.traffic("beside an instance that was killed", async (before) => {
        const place = cluster.leave(brokers[1]);
        brokers[1].killAll();
        await brokers[1].exited;
        await allHear(cluster.record, cluster.places, cluster.senders());
        cluster.heardWhole(place.name, before);
        place.close();
      });
      another = await startBroker({ workers: 2, config: { "redis.url": redis.url, "server.instance_id": "node-2", ...options.config } });
      await redisHealth(another, 200, 15000);
      await cluster.place(another, "place 5");
      await cluster.traffic("with another instance", calls);

      // Node's library may never find out that a Cluster has another master, and of one Redis in ten its commands waited for ever: the instances
      // are looked at, and the Nodes are started anew.
      const single = !redis.nodes;
      const { ms, before, after } = await cluster.traffic("Redis restarted", async () => {
        await restartRedis(redis);
        for (const broker of [brokers[0], another]) await redisHealth(broker, 200, 30000);
      }, { whole: false, those: () => cluster.instances() });
      const among = cluster.judged(before, after, cluster.instances());
      assert.deepEqual(Object.values(among), Object.values(among).map(() => ({ lost: 0, doubled: 0, disordered: 0 })), "instances lose nothing of each other");
      const isNode = (place) => place.server instanceof NodeProcess;
      for (const place of single ? cluster.places : cluster.instances().places) {
        // What an instance has to send again after a reconnect has no number by which a Node could know it (docs/redis.md).
        const senders = isNode(place) ? cluster.senders().filter((from) => !cluster.instances().senders.includes(from)) : cluster.senders();
        for (const [from, { doubled, disordered }] of Object.entries(cluster.judged(before, after, { senders, places: [place] }))) {
          assert.deepEqual([doubled, disordered], [0, 0], `${place.name} hears ${from} once and in order`);
        }
      }
      for (const [what, from, to] of [["Nodes of Nodes", isNode, isNode], ["Nodes of instances", (place) => !isNode(place), isNode], ["instances of Nodes", isNode, (place) => !isNode(place)]]) {
        const senders = [...cluster.places.filter(from).map(({ name: sender }) => sender), ...(from === isNode ? cluster.nodes.map(({ name: sender }) => sender) : [])];
        const places = cluster.places.filter(to);
        const lost = Object.values(cluster.judged(before, after, { senders, places })).reduce((sum, one) => sum + one.lost, 0);
        const all = senders.reduce((sum, sender) => sum + after.get(sender) - before.get(sender), 0) * places.length * 2;
        console.log(`# ${name}: Redis restarted, ${Math.round(ms)} ms: clients of ${what}: ${lost} of ${all} lost`);
      }
      for (const node of cluster.nodes.splice(0)) {
        cluster.leave(node).close();
        await node.kill();
      }
      for (const i of [3, 4]) await cluster.place(await cluster.node(name, redis, `node ${i}`), `place ${i + 3}`);
      if (!single && kind.config === "sharded") await subscribedAnew(redis, 4);
      await cluster.traffic("after a restart of Redis", calls);
      for (const place of cluster.places) place.close();
      await another.stop();
    } finally {
      for (const place of cluster.places) place.close();
      for (const node of cluster.nodes) await node.kill();
      await another?.destroy();
      for (const broker of brokers.splice(1, 1)) await broker.destroy(); // it was killed
    }
  });
}
