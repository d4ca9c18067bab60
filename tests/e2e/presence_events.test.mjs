// Presence events: who is there comes first, then exactly who comes and goes, over workers, instances, and deaths of any of the processes.
import assert from "node:assert/strict";
import test from "node:test";
import { run, startBroker } from "./lib/broker.mjs";
import { startBrokers, startRedis } from "./lib/redis.mjs";
import { WebSocket } from "ws";
import Ringcast from "../../worker/http/ringcast.js";
import { until } from "./lib/util.mjs";

const WORKERS = 2;
const namespace = [{ name: "room", presence_events: true, presence_interval: "100ms" }, { name: "big", presence_events: true, presence_interval: "100ms", presence_members: 8 }, { name: "quiet", presence: true }];
const identity = [{ kind: "proxy", from: ["header.X-User"], required: false }];
const config = { namespace, identity, "http.trusted_proxies": ["127.0.0.1"], "permissions.direct": "anyone" };
const as = (broker, user) => broker.connect(user ? { headers: { "x-user": user } } : {});

/* A client that follows a channel, and what it knows of who is there: every message has to fit what it knew. */
async function follow(client, channel) {
  const view = { channel, members: null, clients: 0, users: 0, many: false, states: 0, diffs: 0, gaps: [], said: [] };
  const before = client.ondelivery;
  client.ondelivery = (message) => {
    if (message.channel !== channel || !message.type.startsWith("presence_")) return before?.(message);
    view.said.push(message);
    if (message.type === "presence_gap") return view.gaps.push(message);
    if (message.type === "presence_state") {
      view.states++;
      view.healed = view.gaps.length;
      view.many = message.more;
      view.members = new Set(message.members.map(({ user }) => user));
      assert.equal(view.members.size, message.members.length);
    } else if (view.healed === view.gaps.length) { // else it need not fit
      assert.equal(message.type, "presence_diff", JSON.stringify(message));
      assert.ok(view.members, "a difference before the list");
      view.diffs++;
      for (const { user } of message.joined) {
        assert.ok(!view.members.has(user), `${user} came twice`);
        view.members.add(user);
      }
      for (const { user } of message.left) assert.ok(view.members.delete(user), `${user} left and was not there`);
    }
    view.clients = message.clients;
    view.users = message.users;
  };
  await client.expect("subscribed", { type: "subscribe", channel, presence: true });
  await until("the list is there", () => view.members);
  return view;
}
const sees = (view, ...users) => until(`${users} are seen`, () => view.members?.size === users.length && users.every((user) => view.members.has(user)), { timeout: 30000 }).catch((error) => {
  error.message += ` ${JSON.stringify([...view.members ?? []])} ${JSON.stringify(view.said)}`;
  throw error;
});

test("who is there comes first, then who comes and goes, on any worker", async () => {
  const broker = await startBroker({ workers: WORKERS, config });
  try {
    const [a, b, c] = [await as(broker, "a"), await as(broker, "b"), await as(broker, "c")];
    await b.subscribe("room:1");
    const view = await follow(a, "room:1");
    await sees(view, "a", "b");
    await c.subscribe("room:1");
    await sees(view, "a", "b", "c");
    const c2 = await as(broker, "c");
    await c2.subscribe("room:1");
    await until("four connections, three users", () => view.clients === 4 && view.users === 3);
    await c.close();
    await until("three connections", () => view.clients === 3);
    assert.ok(view.members.has("c"), "a second connection holds a user");
    c2.terminate();
    await sees(view, "a", "b");
    const nobody = await as(broker);
    await nobody.subscribe("room:1");
    await sees(view, "a", "b", null);
    assert.equal(view.users, 2);
    await nobody.expect("unsubscribed", { type: "unsubscribe", channel: "room:1" });
    await sees(view, "a", "b");
    // A list at any time, in place of what was known.
    const states = view.states;
    await a.expect("subscribed", { type: "subscribe", channel: "room:1", presence: true });
    await until("the list came again", () => view.states > states);
    await sees(view, "a", "b");
    // Nothing comes behind `unsubscribed`.
    await a.expect("unsubscribed", { type: "unsubscribe", channel: "room:1" });
    const said = view.said.length;
    const other = await follow(b, "room:1");
    await sees(other, "b");
    assert.equal(view.said.length, said);
    assert.equal((await broker.metrics())("ringcast_presence_channels"), 1);
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});

test("binary connections get them as JSON; who may not see is refused; where it is off, too", async () => {
  const broker = await startBroker({ workers: 1, config: { ...config, namespace: [...namespace, { name: "closed", presence_events: true, presence_who: "none" }] } });
  try {
    const binary = await broker.connect({ protocols: ["ringcast.v1.binary"], headers: { "x-user": "x" } });
    await sees(await follow(binary, "room:1"), "x");
    const a = await as(broker, "a");
    assert.equal((await a.request({ type: "subscribe", channel: "quiet:1", presence: true })).code, 501);
    assert.equal((await a.request({ type: "subscribe", channel: "closed:1", presence: true })).code, 403);
    assert.equal((await a.request({ type: "subscribe", channel: "room:1", presence: 1 })).code, 400);
    assert.equal((await a.request({ type: "subscribe", channel: "\u0002room:1" })).code, 400);
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});

test("of many only how many they are is told, until they are fewer again", async () => {
  const broker = await startBroker({ workers: WORKERS, config });
  try {
    const view = await follow(await as(broker, "u0"), "big:1");
    const others = [];
    for (let i = 1; i <= 12; i++) {
      others.push(await as(broker, `u${i}`));
      await others.at(-1).subscribe("big:1");
    }
    await until("it says that it names nobody", () => view.many && view.members.size === 0 && view.users === 13 && view.clients === 13);
    const late = await follow(await as(broker, "u13"), "big:1");
    assert.ok(late.many && late.members.size === 0);
    for (const other of others.splice(5)) await other.close();
    await until("names again", () => !view.many && !late.many && view.users === 7);
    await sees(view, "u0", "u1", "u2", "u3", "u4", "u5", "u13");
    await sees(late, "u0", "u1", "u2", "u3", "u4", "u5", "u13");
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});

test("many who come at once come in few messages", async () => {
  const broker = await startBroker({ workers: WORKERS, config: { ...config, namespace: [{ name: "slow", presence_events: true, presence_interval: "3s" }] } });
  try {
    const view = await follow(await as(broker, "u0"), "slow:1");
    const clients = await Promise.all(Array.from({ length: 60 }, (_, i) => as(broker, `v${i}`)));
    const diffs = view.diffs;
    const began = performance.now();
    await Promise.all(clients.map((client) => client.subscribe("slow:1")));
    await until("all are there", () => view.users === 61, { timeout: 30000 });
    assert.ok(view.diffs - diffs <= 2 + (performance.now() - began) / 3000, `${view.diffs - diffs} messages`);
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});

test("who comes while a full ring swallows it is told as a gap, and the list heals it", async () => {
  const rings = { "limits.max_message_size": "16KiB", "server.ring_size": "64KiB", "server.overflow_size": "64KiB", "server.stuck_timeout": "30s", "server.stuck_kill_timeout": "60s" };
  const broker = await startBroker({ workers: WORKERS, config: { ...config, ...rings, namespace: [...namespace, { name: "load", publish: "anyone" }] } });
  try {
    const on = (worker, user) => broker.connectToWorker(worker, { headers: { "x-user": user } });
    const a = await on(0, "a");
    const view = await follow(a, "room:1");
    for (const channel of ["load:1", "load:2"]) await a.subscribe(channel);
    const stays = await on(1, "stays");
    await stays.subscribe("room:1");
    await sees(view, "a", "stays");
    const [noise, late, b] = [await on(1, "noise"), await on(1, "late"), await on(1, "b")];
    const before = (await broker.metrics())("ringcast_relay_gaps_total"); // whose connection may be the stopped one's for as long as that is not known
    broker.kill("SIGSTOP", 0);
    for (let n = 0; n < 60; n++) await noise.publish("load:1", "x".repeat(8000));
    for (let n = 0; n < 400; n++) noise.send({ type: "publish", channel: "load:2", data: "y" }); // and the rest of the room is theirs
    await noise.publish("load:2", "z");
    await late.subscribe("room:1");
    await stays.close();
    // The relay has told it: a subscriber on the other worker has it.
    await sees(await follow(b, "room:1"), "a", "late", "b");
    broker.kill("SIGCONT", 0);
    await until("a gap is told", () => view.gaps.length > 0, { timeout: 20000 });
    assert.deepEqual(view.gaps[0], { type: "presence_gap", channel: "room:1" });
    assert.ok((await broker.metrics())("ringcast_relay_gaps_total") > before);
    await a.expect("subscribed", { type: "subscribe", channel: "room:1", presence: true });
    await sees(view, "a", "late", "b");
    // And from there on differences fit again.
    await late.close();
    await sees(view, "a", "b");
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});

test("nobody leaves who is there when a worker or the relay dies; who went meanwhile has left", async () => {
  const broker = await startBroker({ workers: WORKERS, config });
  try {
    const watchers = await Promise.all(Array.from({ length: 6 }, (_, i) => as(broker, `w${i}`)));
    const views = [];
    for (const watcher of watchers) views.push(await follow(watcher, "room:1"));
    const all = watchers.map((_, i) => `w${i}`);
    for (const view of views) await sees(view, ...all);
    const ghost = await as(broker, "ghost");
    await ghost.subscribe("room:1");
    for (const view of views) await sees(view, ...all, "ghost");
    const left = () => views.flatMap((view) => view.said.flatMap(({ left }) => left ?? [])).map(({ user }) => user);
      for (let round = 0; round < 2; round++) {
      const pid = broker.kill("SIGKILL", "relay");
      await until("another relay", () => broker.pids().relay && broker.pids().relay !== pid, { timeout: 30000 });
      await until("it tells everything anew", () => views.every((view) => view.states >= round + 2), { timeout: 30000 });
    }
    for (const view of views) await sees(view, ...all, "ghost");
    for (const view of views) assert.equal(view.said.findLast(({ type }) => type === "presence_state").members.length, 7);
    assert.deepEqual(left(), []);
    ghost.terminate();
    for (const view of views) await sees(view, ...all);
    const pid = broker.kill("SIGKILL", 0);
    await until("another worker", () => broker.pids().workers[0] && broker.pids().workers[0] !== pid, { timeout: 30000 });
    const late = await follow(await as(broker, "late"), "room:1");
    await until("the late one is seen by who still is there", () => watchers.every((watcher, i) => watcher.isClosed || views[i].members.has("late")), { timeout: 30000 });
    const there = watchers.flatMap((watcher, i) => (watcher.isClosed ? [] : [`w${i}`]));
    await sees(late, ...there, "late");
    assert.ok(left().every((user) => user === "ghost" || !there.includes(user)), JSON.stringify(left()));
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});

test("ringcast.js: who came and went, also while it was away", async () => {
  const broker = await startBroker({ workers: 1, config: { ...config, "server.adopt_crashed": false } });
  const User = class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { headers: { "x-user": "me" } });
    }
  };
  const client = new Ringcast(broker.url, { WebSocket: User, reconnectMin: 50, reconnectMax: 100 });
  try {
    const a = await as(broker, "a");
    await a.subscribe("room:1");
    let last = null;
    const all = [];
    client.on("presence", (channel, change) => {
      assert.equal(channel, "room:1");
      all.push((last = change));
    });
    await client.subscribe("room:1", null, { presence: true });
    await until("both are there", () => last?.members.includes("a") && last.members.includes("me") && last.users === 2);
    assert.equal(all.flatMap(({ joined }) => joined).sort().join(), "a,me");
    broker.kill("SIGKILL", 0);
    const b = await (async () => {
      for (;;) {
        try {
          return await as(broker, "b");
        } catch {
          await new Promise((done) => setTimeout(done, 50));
        }
      }
    })();
    await b.subscribe("room:1");
    await until("it knows who is there", () => last.members.includes("b") && last.members.includes("me") && !last.members.includes("a"), { timeout: 30000 });
    assert.ok(all.flatMap(({ left }) => left).includes("a") && all.flatMap(({ joined }) => joined).includes("b"));
    const count = all.length;
    await client.unsubscribe("room:1");
    await b.unsubscribe("room:1");
    assert.equal(all.slice(count).length, 0);
    await broker.stop();
  } finally {
    client.close();
    await broker.destroy();
  }
});

test("hand-over: nobody leaves", async () => {
  const broker = await startBroker({ workers: WORKERS, config });
  try {
    const a = await as(broker, "a");
    const b = await as(broker, "b");
    const view = await follow(a, "room:1");
    await b.subscribe("room:1");
    await sees(view, "a", "b");
    const handed = await run(["handover", "-c", broker.configPath], { env: broker.env, timeout: 60000 });
    assert.equal(handed.code, 0, handed.stderr);
    const c = await as(broker, "c");
    await c.subscribe("room:1");
    await sees(view, "a", "b", "c");
    assert.deepEqual(view.said.flatMap(({ left }) => left ?? []), []);
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});

test("several instances: who comes and goes anywhere, a dead one's have left, and nobody does when Redis loses its data", async () => {
  const redis = await startRedis();
  let brokers = [];
  try {
    brokers = await startBrokers(3, redis.url, { workers: WORKERS, config: { ...config, "cluster.heartbeat_interval": "200ms", "cluster.dead_instance_threshold": "8s" } }); // none is dead that only waits for a processor
    const clients = [];
    for (const [i, broker] of brokers.entries()) {
      clients.push(await as(broker, `u${i}`));
      await clients[i].subscribe("room:1");
    }
    const views = [];
    for (const client of clients) views.push(await follow(client, "room:1"));
    for (const view of views) await sees(view, "u0", "u1", "u2");
    // The same user elsewhere is no other one.
    const again = await as(brokers[1], "u0");
    await again.subscribe("room:1");
    for (const view of views) await until("four connections", () => view.clients === 4 && view.users === 3, { timeout: 30000 });
    await again.close();
    for (const view of views) await until("three connections", () => view.clients === 3, { timeout: 30000 });
    // Redis without its data.
    await redis.kill();
    await redis.start();
    const x = await as(brokers[0], "x");
    await x.subscribe("room:1");
    for (const view of views) await sees(view, "u0", "u1", "u2", "x");
    assert.deepEqual(views.flatMap((view) => view.said.flatMap(({ left }) => left ?? [])), []);
    // A relay.
    const pid = brokers[1].kill("SIGKILL", "relay");
    await until("another relay", () => brokers[1].pids().relay && brokers[1].pids().relay !== pid, { timeout: 30000 });
    await until("it tells everything anew", () => views[1].states > 1, { timeout: 30000 });
    await sees(views[1], "u0", "u1", "u2", "x");
    assert.deepEqual(views.flatMap((view) => view.said.flatMap(({ left }) => left ?? [])), []);
    // A whole instance.
    brokers[2].killAll();
    for (const view of views.slice(0, 2)) await until("its user has left", () => !view.members.has("u2"), { timeout: 60000 });
    for (const view of views.slice(0, 2)) await sees(view, "u0", "u1", "x");
    for (const broker of brokers.slice(0, 2)) await broker.stop();
  } finally {
    for (const broker of brokers) await broker.destroy();
    await redis.destroy();
  }
});
