// Connection state recovery of Socket.IO with real clients: the same cases against a Node server with connectionStateRecovery, then what only
// ringcast has: several workers, their death and the relay's, bounds, users.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import { isAlive, testBroker } from "./lib/broker.mjs";
import { Member, ROWS } from "./lib/recovery.mjs";
import { describeCases, targetsOf } from "./lib/socketio.mjs";
import { testRedis } from "./lib/redis.mjs";
import { until, within } from "./lib/util.mjs";

/* A member in the lobby that has got one event, a watcher, and what follows. */
async function meet(server, options, body) {
  const watcher = new Member(server);
  const one = new Member(server, options);
  try {
    await watcher.connected();
    await watcher.ask("join", "watchers");
    const first = await one.connected();
    assert.equal(first.recovered, false);
    await one.ask("join", "lobby");
    await one.ask("me", "before all", 0);
    await one.hears((all) => all.length === 1, "the first event");
    one.takeAll("you");
    await body({ watcher, one, id: first.id, pid: one.socket._pid });
  } finally {
    watcher.close();
    one.close();
  }
}

/* What was missed comes, then what is live; each once. */
async function misses({ watcher, one, id, pid }) {
  await one.breaks(watcher);
  for (let i = 1; i <= 20; i++) await watcher.ask("say", "lobby", i);
  await watcher.ask("say", "elsewhere", "not for it");
  await watcher.ask("shout", "to all", { deep: [1, null] });
  assert.deepEqual(await one.comesBack(), { id, recovered: true });
  assert.equal(one.socket._pid, pid);
  await watcher.ask("say", "lobby", 21);
  await one.hears((all) => all.some(([, number]) => number === 21), "the live one");
  assert.deepEqual(one.takeAll("said"), Array.from({ length: 21 }, (_, i) => i + 1));
  assert.deepEqual(one.takeAll("shouted"), [["to all", { deep: [1, null] }]]);
  assert.deepEqual(one.heard, []);
}

const CASES = [
  ["a client comes back with its id and its rooms, and gets what it missed", (server) => meet(server, {}, misses)],
  ["over polling", (server) => meet(server, { transports: ["polling"] }, misses)],
  ["over polling that upgrades", (server) => meet(server, { transports: ["polling", "websocket"] }, misses)],
  ["in another namespace", (server) => meet(server, {}, async () => {
    const watcher = new Member(server, { nsp: "/admin" });
    const one = new Member(server, { nsp: "/admin" });
    await watcher.connected();
    const { id } = await one.connected();
    await Promise.all([watcher.ask("join", "watchers"), one.ask("join", "lobby"), one.ask("me", "a word")]);
    await one.hears((all) => all.length === 1, "the first event");
    one.heard = [];
    await misses({ watcher, one, id, pid: one.socket._pid });
    watcher.close();
    one.close();
  })],
  ["binary arguments", (server) => meet(server, {}, async ({ watcher, one, id }) => {
    await one.breaks(watcher);
    await watcher.ask("say", "lobby", Buffer.from([1, 2, 3]), { of: [Buffer.from("four")] });
    assert.deepEqual(await one.comesBack(), { id, recovered: true });
    await one.hears((all) => all.length === 1, "the event");
    assert.deepEqual(one.takeAll("said"), [[Buffer.from([1, 2, 3]), { of: [Buffer.from("four")] }]]);
    await watcher.ask("say", "lobby", Buffer.alloc(3));
    await one.hears((all) => all.length === 1, "the live one");
    assert.deepEqual(one.takeAll("said"), [Buffer.alloc(3)]);
  })],
  ["again and again, and what was told to it alone", (server) => meet(server, {}, async ({ watcher, one, id }) => {
    for (let round = 1; round <= 4; round++) {
      await one.breaks(watcher);
      await watcher.ask("say", id, "to it alone", round);
      assert.deepEqual(await one.comesBack(), { id, recovered: true });
      await watcher.ask("say", id, "live to it", round);
      await one.ask("me", "of itself", round);
      await one.hears((all) => all.length === 3, "three events");
      assert.deepEqual(one.heard.map(([, text, number]) => [text, number]), [["to it alone", round], ["live to it", round], ["of itself", round]]);
      one.heard = [];
      assert.equal(await one.ask("who"), id);
    }
  })],
  ["rooms that it left, those it is excepted from, and what it said itself", (server) => meet(server, {}, async ({ watcher, one, id }) => {
    await one.ask("join", "another room");
    await one.ask("leave", "another room");
    await one.ask("say others", "lobby", "its own word");
    await one.breaks(watcher);
    await watcher.ask("say", "another room", "it has left");
    await watcher.ask("say except", "lobby", "lobby", "for nobody");
    await watcher.ask("say except", "lobby", id, "not for it");
    await watcher.ask("say except", "lobby", "others", "for it");
    await watcher.ask("murmur", "lobby", "a volatile word");
    assert.deepEqual(await one.comesBack(), { id, recovered: true });
    await watcher.ask("say", "lobby", "the end");
    await one.hears((all) => all.some(([, text]) => text === "the end"), "the end");
    assert.deepEqual(one.takeAll("said"), ["for it", "the end"]);
  })],
  ["acknowledgements work on, and who is asked for them", (server) => meet(server, {}, async ({ watcher, one }) => {
    await one.breaks(watcher);
    await one.comesBack();
    assert.equal(await one.ask("join", "one more"), "joined");
    await watcher.ask("say", "one more", "a word");
    await one.hears((all) => all.length === 1, "the event of a room joined since");
  })],
  ["who says good-bye does not come back", (server) => meet(server, {}, async ({ watcher, one, id }) => {
    one.socket.disconnect();
    await watcher.hears((all) => all.some(([, sid]) => sid === id), "that it left");
    await watcher.ask("say", "lobby", "missed for good");
    const second = await one.comesBack();
    assert.equal(second.recovered, false);
    assert.notEqual(second.id, id);
    assert.deepEqual(one.takeAll("said"), []);
  })],
  ["a pid comes back once", (server) => meet(server, {}, async ({ watcher, one, id, pid }) => {
    const offset = one.socket._lastOffset;
    await one.breaks(watcher);
    await one.comesBack();
    const thief = new Member(server, { auth: { pid, offset } });
    const { id: other } = await thief.connected();
    assert.notEqual(other, id);
    assert.notEqual(thief.socket._pid, pid);
    thief.close();
  }), "ringcast"], // a Node server gives it to both
  ["forged pids and offsets are nobody's", (server) => meet(server, {}, async ({ watcher, one, id, pid }) => {
    const offset = one.socket._lastOffset;
    await one.breaks(watcher);
    const forged = [
      { pid: "x", offset }, { pid: `${pid.slice(0, -1)}_`, offset }, { pid: "\u0000".repeat(20), offset }, { pid: "p".repeat(300), offset }, { pid, offset: "x" },
      { pid, offset: `${offset}AAAAAAAAAAAAAAAA` }, { pid, offset: "" }, { pid, offset: 17 }, { pid: 17, offset }, { pid: {}, offset: [] }, { pid: null, offset: null },
      { pid, offset: "é".repeat(100) }, { pid, offset: "o".repeat(5000) },
    ];
    for (const auth of forged) {
      const someone = new Member(server, { auth });
      const { id: other } = await someone.connected();
      assert.notEqual(other, id, JSON.stringify(auth).slice(0, 80));
      someone.close();
    }
    assert.deepEqual(await one.comesBack(), { id, recovered: true });
  })],
];

const OPTIONS = { rows: [...ROWS, ...ROWS.map((row) => ({ nsp: "/admin", ...row }))], recovery: 60000, workers: 1, namespaces: ["/", "/admin"], timeout: 30000 };
describeCases("recovery", targetsOf("socketio"), OPTIONS, CASES);
describeCases("recovery, socket.io-msgpack-parser", targetsOf("socketio"), { ...OPTIONS, msgpack: true },
  [["a client comes back and gets what it missed", async (server) => {
    const watcher = new Member(server, { msgpack: true });
    const one = new Member(server, { msgpack: true });
    await watcher.connected();
    await watcher.ask("join", "watchers");
    const { id } = await one.connected();
    await Promise.all([one.ask("join", "lobby"), one.ask("me", "a word")]);
    await one.hears((all) => all.length === 1, "the first event");
    one.heard = [];
    await misses({ watcher, one, id, pid: one.socket._pid });
    watcher.close();
    one.close();
  }]]);

/* --- ringcast alone ------------------------------------------------------------------------------------------------------ */

const options = (config = {}, more = {}) => ({ workers: 1, config: { "socketio.path": "/socket.io/", "socketio.recovery": "1m", event: ROWS, ...config }, ...more });
const serverOf = (broker) => ({ host: broker.host, path: "/socket.io/" });

async function metric(broker, name) {
  const { body } = await broker.get("/metrics");
  return String(body).split("\n").filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`)).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

testBroker("on any worker: ids lead to where their sockets are", options({}, { workers: 3 }), async (broker) => {
  const server = serverOf(broker);
  await meet(server, {}, async ({ watcher, one, id }) => {
    for (let round = 1; round <= 12; round++) {
      await one.breaks(watcher);
      await watcher.ask("say", "lobby", "missed it", round);
      assert.deepEqual(await one.comesBack(), { id, recovered: true });
      await watcher.ask("say", id, "to it alone", round);
      await watcher.ask("say except", "lobby", id, "not for it");
      await watcher.ask("say", "lobby", "for it again", round);
      await one.ask("me", "of itself", round);
      await one.hears((all) => all.length === 4, "four events");
      assert.equal(one.heard[0][1], "missed it");
      assert.deepEqual(one.heard.map(([, text]) => text).sort(), ["for it again", "missed it", "of itself", "to it alone"]); // of several workers
      one.heard = [];
      assert.equal(await one.ask("who"), id);
    }
  });
});

for (const transports of [["websocket"], ["polling"]]) {
  testBroker(`sixty times over ${transports}, in rooms that are empty meanwhile`, options(), async (broker) => {
    await meet(serverOf(broker), { transports }, async ({ watcher, one, id }) => {
      for (let round = 0; round < 60; round++) {
        await one.breaks(watcher);
        await watcher.ask("say", "lobby", round);
        assert.deepEqual(await one.comesBack(), { id, recovered: true }, `round ${round}`);
      }
      await one.hears((all) => all.length === 60, "all sixty");
      assert.deepEqual(one.takeAll("said"), Array.from({ length: 60 }, (_, i) => i));
    });
  });
}

testBroker("a client without an offset has got nothing, and gets all", options(), async (broker) => {
  const server = serverOf(broker);
  const watcher = new Member(server);
  await watcher.connected();
  await Promise.all([watcher.ask("join", "watchers"), watcher.ask("say", "lobby", "before it came")]);
  const one = new Member(server);
  const { id } = await one.connected();
  await one.ask("join", "lobby");
  await one.breaks(watcher);
  await watcher.ask("say", "lobby", "the first word");
  assert.deepEqual(await one.comesBack(), { id, recovered: true });
  await watcher.ask("say", "lobby", "the second");
  await one.hears((all) => all.length >= 2, "both");
  assert.deepEqual(one.takeAll("said"), ["the first word", "the second"]);
  watcher.close();
  one.close();
});

const NAMES = [...ROWS, { on: "name", set: { name: "{args.0}" }, ack: ["named"] }, { on: "name?", ack: ["{client.name}"] }];
testBroker("what was set on the connection is there again", options({ event: NAMES }), async (broker) => {
  await meet(serverOf(broker), {}, async ({ watcher, one }) => {
    await one.ask("name", "Ann of Cleves");
    await one.breaks(watcher);
    assert.equal((await one.comesBack()).recovered, true);
    assert.equal(await one.ask("name?"), "Ann of Cleves");
  });
});

testBroker("after its worker was killed", options({ "server.adopt_crashed": false }, { workers: 2 }), async (broker) => {
  const server = serverOf(broker);
  await meet(server, {}, async ({ watcher, one, id }) => {
    const killed = [broker.kill("SIGKILL", 0), broker.kill("SIGKILL", 1)];
    await until("both clients notice", () => !one.socket.connected && !watcher.socket.connected);
    await until("the workers are dead", () => !killed.some(isAlive));
    await broker.isReady();
    watcher.socket.connect();
    await watcher.connected(2);
    assert.equal(watcher.socket.recovered, true);
    await watcher.ask("say", "lobby", "after it died");
    assert.deepEqual(await one.comesBack(), { id, recovered: true });
    await watcher.ask("say", "lobby", "the end");
    await one.hears((all) => all.some(([, text]) => text === "the end"), "the end");
    assert.deepEqual(one.takeAll("said"), ["after it died", "the end"]);
  });
});

testBroker("after the relay was killed", options({}, { workers: 2 }), async (broker) => {
  const server = serverOf(broker);
  await meet(server, {}, async ({ watcher, one, id }) => {
    await one.breaks(watcher);
    await watcher.ask("say", "lobby", "before it died");
    const killed = broker.kill("SIGKILL", "relay");
    await until("the relay is dead", () => !isAlive(killed));
    await broker.isReady();
    await watcher.ask("say", "lobby", "after it died");
    assert.deepEqual(await one.comesBack(), { id, recovered: true });
    await one.hears((all) => all.length >= 2, "both");
    assert.deepEqual(one.takeAll("said"), ["before it died", "after it died"]);
  });
});

testBroker("too late, too much: somebody new, truly", options({ "socketio.recovery": "4s", "socketio.recovery_max": "4KiB" }), async (broker) => {
  const server = serverOf(broker);
  await meet(server, {}, async ({ watcher, one, id }) => {
    await one.breaks(watcher);
    await watcher.ask("say", "lobby", "y".repeat(5000));
    const second = await one.comesBack();
    assert.equal(second.recovered, false);
    assert.notEqual(second.id, id);
    assert.equal(await metric(broker, 'ringcast_socketio_not_recovered_total{reason="much"}'), 1);
    await one.ask("join", "lobby");
    await one.ask("me", "a word");
    await one.hears((all) => all.length === 1, "the event");
    await one.breaks(watcher);
    await until("the lost one is given up", async () => (await metric(broker, "ringcast_socketio_recovery_sessions_lost")) === 0);
    assert.equal((await one.comesBack()).recovered, false);
    assert.deepEqual(one.takeAll("said"), []);
  });
});

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
const token = (user, expiresIn = "1h") => jwt.sign({ sub: user }, SECRET, { algorithm: "HS256", expiresIn });
const IDENTITY = [{ from: ["auth.token"], secret: SECRET, required: false }];
testBroker("who it is, is asked again: another user, or nobody any more, gets nothing of it", options({ identity: IDENTITY }), async (broker) => {
  const server = serverOf(broker);
  await meet(server, { auth: { token: token("ann") } }, async ({ watcher, one, id, pid }) => {
    const offset = one.offsets.at(-1);
    await one.breaks(watcher);
    await watcher.ask("say", "lobby", "for ann alone");
    for (const auth of [{ token: token("bob") }, {}]) {
      const other = new Member(server, { auth: { ...auth, pid, offset } });
      const { id: its } = await other.connected();
      assert.notEqual(its, id);
      assert.deepEqual(other.heard, []);
      other.close();
    }
    const late = new Member(server, { auth: { token: token("ann", "-1h"), pid, offset } });
    const [error] = await within(10000, once(late.socket, "connect_error"), "that an expired token is refused");
    assert.notEqual(error.message, "");
    late.close();
    assert.deepEqual(await one.comesBack(), { id, recovered: true });
    await one.hears((all) => all.length === 1, "what ann missed");
    assert.deepEqual(one.takeAll("said"), ["for ann alone"]);
  });
});

testBroker("without the option nothing of it is there", options({ "socketio.recovery": "0s" }), async (broker) => {
  const one = new Member(serverOf(broker), { auth: { pid: "p".repeat(20), offset: "whatever" } });
  await one.connected();
  assert.equal(one.socket._pid, undefined);
  await one.ask("me", "a word");
  await one.hears((all) => all.length === 1, "the event");
  assert.deepEqual(one.heard, [["you", "a word"]]);
  one.close();
});

testRedis("rooms whose history all instances share: what comes by way of Redis is not missed either", { brokers: 2, config: options({ namespace: [{ name: "default", history: 100 }] }).config }, async ({ brokers }) => {
  await meet(serverOf(brokers[0]), {}, misses);
  assert.ok((await metric(brokers[0], "ringcast_socketio_recovered_total")) > 0);
});
