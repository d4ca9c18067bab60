// Connection state recovery of Socket.IO on another host than the one that was left: real clients, several brokers, one Redis or a Cluster.
import assert from "node:assert/strict";
import { KINDS, startNode } from "./lib/member_kinds.mjs";
import { Member, ROWS } from "./lib/recovery.mjs";
import { redisHealth, startBrokers, startCluster, startRedisAndWire, testRedis } from "./lib/redis.mjs";
import { until } from "./lib/util.mjs";

const options = (config = {}, more = {}) => ({ brokers: 2, timeout: 90000, config: { "socketio.path": "/socket.io/", "socketio.recovery": "1m", event: ROWS, ...config }, ...more });
const serverOf = (broker) => ({ host: broker.host, path: "/socket.io/" });
const sum = async (brokers, name) => (await Promise.all(brokers.map(async (broker) => (await broker.metrics())(name)))).reduce((a, b) => a + b, 0);

/* Its next connection goes to that broker. */
function goesTo(member, broker) {
  member.socket.io.uri = `http://${broker.host}/`;
  Object.assign(member.socket.io.opts, { hostname: undefined, port: undefined });
}

/* A watcher on each broker, and a member of the lobby that has got one event. */
async function meet(brokers, body, memberOptions = {}) {
  const watchers = brokers.map((broker) => new Member(serverOf(broker)));
  const one = new Member(serverOf(brokers[0]), memberOptions);
  try {
    for (const watcher of watchers) {
      await watcher.connected();
      await watcher.ask("join", "watchers");
    }
    const { id } = await one.connected();
    await one.ask("join", "lobby");
    await one.ask("me", "before all");
    await one.hears((all) => all.length === 1, "the first event");
    one.takeAll("you");
    await body({ watchers, one, id, pid: one.socket._pid });
  } finally {
    for (const member of [...watchers, one]) member.close();
  }
}

/* The same; and once more, with others, where somebody was told that he is somebody new because not all hosts had answered in time: this is counted. */
async function meetInTime(brokers, body, memberOptions) {
  const unanswered = () => sum(brokers, "ringcast_socketio_recovery_unanswered_total");
  for (let n = 1; ; n++) {
    const before = await unanswered();
    try {
      return await meet(brokers, body, memberOptions);
    } catch (error) {
      if (n === 5 || (await unanswered()) === before) throw error;
    }
  }
}

/* Rounds of leaving and coming back, until it was the same socket again so many times. Where nobody answers in time who comes back is told that it is
 * somebody new: on a machine that is busy beyond measure, and not as a rule. `round` breaks it, and says where it goes. */
async function comesBackTimes(times, one, rooms, round) {
  let recovered = 0;
  one.socket.on("connect", () => !one.socket.recovered && one.heard.push(["fresh"]));
  for (let n = 1; recovered < times; n++) {
    assert.ok(n <= times + 4, `${recovered} of ${n - 1} times`);
    const { id } = one.socket;
    await round(n);
    const back = await one.comesBack();
    recovered += back.recovered;
    if (back.recovered) assert.equal(back.id, id, `round ${n}`);
    else for (const room of rooms) await one.ask("join", room);
  }
}

/* Everybody's talking, until `body` is over: an error of it is the one that is told. */
async function talksWhile(talks, body) {
  try {
    await body();
  } catch (error) {
    for (const talk of talks) talk.catch(() => {}); // their sockets are closed now
    throw error;
  }
}

const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

for (const transports of [["websocket"], ["polling"]]) {
  testRedis(`there and back again, by ${transports}: its id, its rooms, and what it missed, each once`, options(), async ({ brokers }) => {
    await meetInTime(brokers, async ({ watchers, one, id, pid }) => {
      const before = await sum(brokers, "ringcast_socketio_recovered_total");
      for (let round = 1; round <= 4; round++) {
        const [from, to] = [brokers[(round - 1) % 2], brokers[round % 2]];
        await one.breaks(watchers[(round - 1) % 2]);
        for (const [i, watcher] of watchers.entries()) for (const n of numbers(1, 5)) await watcher.ask("say", "lobby", i * 5 + n);
        await watchers[0].ask("shout", "to all", round);
        await watchers[1].ask("say", "elsewhere", "not for it");
        assert.notEqual(from, to);
        goesTo(one, to);
        assert.deepEqual(await one.comesBack(), { id, recovered: true }, `round ${round}`);
        assert.equal(one.socket._pid, pid);
        for (const watcher of watchers) await watcher.ask("say", "lobby", 11);
        await one.hears((all) => all.filter(([, n]) => n === 11).length === 2, "the live ones");
        const said = one.takeAll("said");
        assert.equal(said.length, 12, `${said}`);
        assert.deepEqual(said.filter((n) => n <= 5), numbers(1, 5), `round ${round}`);
        assert.deepEqual(said.filter((n) => n > 5), [...numbers(6, 10), 11, 11], `round ${round}`);
        assert.deepEqual(one.takeAll("shouted"), [["to all", round]]);
        assert.deepEqual(one.heard, []);
        assert.equal(await one.ask("who"), id);
      }
      assert.equal(await sum(brokers, "ringcast_socketio_recovered_total"), before + 4);
    }, { transports });
  });
}

for (const history of [0, 200]) {
  testRedis(`while everybody goes on talking on both hosts${history ? ", in a room whose history is shared" : ""}: complete, in order, once`, options(history ? { namespace: [{ name: "default", history }] } : {}), async ({ brokers }) => {
    await meet(brokers, async ({ watchers, one }) => {
      let talking = true;
      const said = [0, 0];
      const talks = watchers.map(async (watcher, i) => {
        while (talking) await watcher.ask("say", "lobby", i, ++said[i]);
      });
      await talksWhile(talks, async () => {
        await one.hears((all) => all.length > 20, "it has begun");
        await comesBackTimes(10, one, ["lobby"], async (n) => {
          await one.breaks();
          const before = said[0];
          await until("they said something", () => said[0] > before + 10);
          goesTo(one, brokers[n % 2]);
        });
      }).finally(() => (talking = false));
      await Promise.all(talks);
      await one.hears((all) => [0, 1].every((i) => all.some(([, from, n]) => from === i && n === said[i])), "the last of each");
      complete(one.heard, brokers);
    });
  });
}

const streams = options({ "socketio.adapter": "streams" }, { brokers: 1 });
testRedis("what a Node server says by a stream, which the host that is left reads later than the other one", streams, async ({ brokers: [to], redis: { port } }) => {
  const redis = await startRedisAndWire();
  redis.wire.lead(port);
  const node = await startNode(KINDS.streams, { url: `redis://127.0.0.1:${port}` });
  const brokers = [];
  try {
    const [from] = await startBrokers(1, redis.wire.url, { config: { ...streams.config, "server.instance_id": "behind" } });
    brokers.push(from);
    await meetInTime([from, to], async ({ watchers, one, id }) => {
      redis.wire.narrow(Infinity);
      await watchers[1].ask("join", "lobby");
      const said = (all, n) => all.some(([event, first]) => event === "said" && first === n);
      for (let round = 0, n = 0; round < 3; round++) {
        if (round > 0) redis.wire.narrow(2000); // some 40 KB a second: what it hears right before it goes, its next host reads 300 ms later
        node.io.to("lobby").emit("said", ++n, "x".repeat(round > 0 ? 8000 : 1));
        await one.hears((all) => said(all, n), "it hears the Node server");
        goesTo(one, from);
        await one.breaks(round === 0 ? watchers[0] : undefined);
        if (round > 0) assert.deepEqual(await one.comesBack(), { id, recovered: true });
        if (round > 0) await one.breaks();
        redis.wire.narrow(2000);
        for (const last = n + 20; n < last; ) node.io.to("lobby").emit("said", ++n, "x".repeat(700));
        await watchers[1].hears((all) => said(all, n), "the other host has read all");
        goesTo(one, to);
        assert.deepEqual(await one.comesBack(), { id, recovered: true }, `round ${round}`);
        redis.wire.narrow(Infinity);
        await one.hears((all) => said(all, n), "the last one");
      }
      assert.deepEqual(one.heard.filter(([event]) => event === "said").map(([, n]) => n), numbers(1, 63));
    });
  } finally {
    for (const broker of brokers) await broker.destroy();
    await node.stop();
    await redis.destroy();
  }
});

testRedis("its id leads to it from every host, wherever it is", options({}, { brokers: 3 }), async ({ brokers }) => {
  await meetInTime(brokers, async ({ watchers, one, id }) => {
    const lost = await sum(brokers, "ringcast_socketio_recovery_sessions_lost");
    for (const to of [1, 2, 0, 2, 1, 0]) {
      const from = brokers.findIndex((broker) => one.socket.io.uri.includes(broker.host));
      await one.breaks(watchers[from < 0 ? 0 : from]);
      for (const [i, watcher] of watchers.entries()) await watcher.ask("say", id, "missed", i);
      await until("its host has them", async () => (await sum(brokers, "ringcast_socketio_recovery_sessions_lost")) === lost + 1);
      goesTo(one, brokers[to]);
      assert.deepEqual(await one.comesBack(), { id, recovered: true }, `to node-${to}`);
      for (const [i, watcher] of watchers.entries()) await watcher.ask("say", id, "live", i);
      await one.hears((all) => all.length >= 6, "what is for it alone");
      assert.deepEqual(one.takeAll("said").map(([what, i]) => `${what} ${i}`).sort(), ["live 0", "live 1", "live 2", "missed 0", "missed 1", "missed 2"]);
    }
  });
});

// Rooms whose channels have slots of all three masters.
const ROOMS = ["lobby", "r1", "r2", "r3", "r4", "r5"];
// Each instance begins at another node.
const seeds = ({ nodes }) => nodes.slice(0, 3).map(({ port }) => `redis+cluster://127.0.0.1:${port}`);
const homeOf = (broker) => broker.log.filter((line) => line.includes("redis_cluster_home")).at(-1)?.match(/address!?="([^"]*)"/)[1];

/* Both watchers talk in all rooms until `body` is over; returns what was said by each in each room. */
async function whileAllTalk({ watchers, one }, body) {
  let talking = true;
  const said = new Map();
  for (const room of ROOMS) await one.ask("join", room);
  const talks = watchers.flatMap((watcher, i) => ROOMS.map(async (room) => {
    for (let n = 1; talking; n++) {
      await watcher.ask("say", room, `${i} in ${room}`, n);
      said.set(`${i} in ${room}`, n);
    }
  }));
  await talksWhile(talks, () => body((line = "0 in lobby") => said.get(line) ?? 0)).finally(() => (talking = false));
  await Promise.all(talks);
  return said;
}

/* In order and once, and nothing is missing but where it was told: by a `gap`, or by a connection that is somebody new. */
function heardOrTold(heard) {
  const last = new Map();
  for (const [event, line, n] of heard) {
    if (event === "fresh" || event === "gap") {
      last.clear();
    } else if (event === "said") {
      assert.ok(!last.has(line) || n === last.get(line) + 1, `${line}: ${n} behind ${last.get(line)}`);
      last.set(line, n);
    }
  }
}

/* Without a gap, too; but where a host held Redis to be away, which on a machine that is busy beyond measure does not answer for a second. */
function complete(heard, brokers) {
  if (!brokers.some(({ log }) => log.some((line) => line.includes("redis_away")))) assert.deepEqual(heard.filter(([event]) => event === "gap"), []);
  heardOrTold(heard);
}

/* Complete, in order, once, to the last of each. */
async function heardAll(one, said, brokers) {
  await one.hears((all) => [...said].every(([line, n]) => all.some(([, from, m]) => from === line && m === n)), "the last of each");
  complete(one.heard, brokers);
}

for (const [name, config] of [["", {}], [", sharded", { "redis.sharded": true }], [", in rooms whose history is shared", { namespace: [{ name: "default", history: 500 }] }],
  [", sharded, in rooms whose history is shared", { "redis.sharded": true, namespace: [{ name: "default", history: 500 }] }]]) {
  testRedis(`in a Cluster${name}, while everybody goes on talking: complete, in order, once`, options(config, { start: () => startCluster({ replicas: 0 }), url: seeds, timeout: 120000 }), async ({ brokers }) => {
    await until("they agree on a home", () => homeOf(brokers[0]) !== undefined && homeOf(brokers[0]) === homeOf(brokers[1]));
    await meet(brokers, async (all) => {
      const { one } = all;
      const said = await whileAllTalk(all, async (count) => {
        await one.hears((heard) => heard.length > 20, "it has begun");
        await comesBackTimes(8, one, ROOMS, async (n) => {
          await one.breaks();
          const before = count();
          await until("they said something", () => count() > before + 5);
          goesTo(one, brokers[n % 2]);
        });
      });
      await heardAll(one, said, brokers);
    });
    assert.ok((await sum(brokers, "ringcast_socketio_recovery_went_total")) >= 8);
  });
}

for (const sharded of [false, true]) {
  testRedis(`in a Cluster${sharded ? ", sharded," : ""} whose slots move and whose masters die in between: complete, or told that it is not`, options({ "redis.sharded": sharded }, { start: () => startCluster({ replicas: 1 }), url: seeds, timeout: 180000 }), async ({ brokers, redis }) => {
    await until("they agree on a home", () => homeOf(brokers[0]) !== undefined && homeOf(brokers[0]) === homeOf(brokers[1]));
    const masterAt = (address) => redis.nodes.find(({ port }) => address.endsWith(`:${port}`));
    const other = (node) => redis.nodes.slice(0, 3).find((one) => one !== node);
    await meet(brokers, async (all) => {
      const { one } = all;
      let recovered = 0;
      one.socket.on("connect", () => !one.socket.recovered && one.heard.push(["fresh"]));
      await whileAllTalk(all, async (count) => {
        const round = async (n) => {
          await one.breaks();
          const before = count();
          await until("they said something", () => count() > before + 5);
          goesTo(one, brokers[n % 2]);
          const back = await one.comesBack();
          recovered += back.recovered;
          if (!back.recovered) for (const room of ROOMS) await one.ask("join", room);
        };
        const during = async (trouble) => {
          let over = false;
          const done = trouble().finally(() => (over = true));
          for (let n = 1; !over; n++) await round(n);
          await done;
        };
        const home = masterAt(homeOf(brokers[0]));
        await during(() => redis.reshard(other(home), home, 60));
        await during(() => redis.reshard(home, other(home), 60));
        await during(async () => {
          await home.kill();
          await until("another one is home of both", () => !homeOf(brokers[0]).endsWith(`:${home.port}`) && homeOf(brokers[0]) === homeOf(brokers[1]), { timeout: 20000 });
          await Promise.all(brokers.map((broker) => redisHealth(broker, 200, 20000)));
        });
        const before = recovered;
        for (let n = 1; recovered < before + 4; n++) {
          assert.ok(n < 20, "they come back again");
          await round(n);
        }
      });
      heardOrTold(one.heard);
    });
  });
}

testRedis("binary, and what was set on it", options({ event: [...ROWS, { on: "name", set: { name: "{args.0}" }, ack: ["named"] }, { on: "name?", ack: ["{client.name}"] }] }), async ({ brokers }) => {
  await meetInTime(brokers, async ({ watchers, one, id }) => {
    await one.ask("name", "Ann of Cleves");
    await one.breaks(watchers[0]);
    await watchers[1].ask("say", "lobby", Buffer.from([1, 2, 3]), { of: [Buffer.from("four")] });
    goesTo(one, brokers[1]);
    assert.deepEqual(await one.comesBack(), { id, recovered: true });
    await one.hears((all) => all.length === 1, "the event");
    assert.deepEqual(one.takeAll("said"), [[Buffer.from([1, 2, 3]), { of: [Buffer.from("four")] }]]);
    assert.equal(await one.ask("name?"), "Ann of Cleves");
  });
});

testRedis("a session goes once; who asks for what nobody has, or for what has gone with its host, is somebody new at once", options({}, { brokers: 3 }), async ({ brokers }) => {
  await meetInTime(brokers, async ({ watchers, one, id, pid }) => {
    const offset = one.socket._lastOffset;
    const claim = (broker, its = pid) => new Member(serverOf(broker), { auth: { pid: its, offset } });
    await one.breaks(watchers[0]);
    goesTo(one, brokers[1]);
    assert.deepEqual(await one.comesBack(), { id, recovered: true });
    await one.breaks(watchers[1]);
    const two = await Promise.all([brokers[0], brokers[2]].map(async (broker) => {
      const member = claim(broker);
      const { id: its } = await member.connected();
      return { member, its };
    }));
    assert.equal(two.filter(({ its }) => its === id).length, 1, "one of both");
    for (const { member } of two) member.close();
    // At once: when all others have said no, and not when the time to answer is up, which it may be on a machine that stands still for half a second.
    const unanswered = async () => (await brokers[1].metrics())("ringcast_socketio_recovery_unanswered_total");
    let answered = false;
    for (const letter of "vwxyz") {
      const before = await unanswered();
      const stranger = claim(brokers[1], letter.repeat(20));
      assert.notEqual((await stranger.connected()).id, id);
      stranger.close();
      if ((answered = (await unanswered()) === before)) break;
    }
    assert.ok(answered, "no question ran out of time");
  });
  await meet(brokers, async ({ watchers, one, id }) => {
    await one.breaks(watchers[0]);
    await brokers[0].stop();
    goesTo(one, brokers[1]);
    const back = await one.comesBack();
    assert.equal(back.recovered, false);
    assert.notEqual(back.id, id);
  });
});

