// What an instance asks of the Node servers beside it: events of backends that their clients are to answer, and who is in a room.
import assert from "node:assert/strict";
import { createClient } from "redis";
import { startBackend, table } from "./lib/backend.mjs";
import { ask, come } from "./lib/hook.mjs";
import { KINDS, startNode } from "./lib/member_kinds.mjs";
import { memberClient } from "./lib/members.mjs";
import { testRedis, until } from "./lib/redis.mjs";

const KEY = "key-of-the-tests";

/* Instances that know one backend, and a Node server with a client in the room of its own name; `body` is given all of it. */
function testAsks(name, kind, { config = {}, brokers = 2, ...options }, body) {
  let backend;
  testRedis(`${name}: ${kind}`, {
    brokers, workers: 2, timeout: 90000,
    start: async () => {
      backend = await startBackend();
      return KINDS[kind].start();
    },
    config: {
      "socketio.path": "/socket.io/", "socketio.namespaces": ["/", "/admin"], "socketio.adapter": KINDS[kind].config, "http.api_keys": [KEY], "socketio.ack_timeout": "30s",
      event: ["/", "/admin"].flatMap((nsp) => [
        { on: "ask", nsp, ask: "app" }, { on: "join", nsp, join: ["{args.0}"], ack: [] },
        { on: "who", nsp, ack: ["{count:{args.0}}", "{members:{args.0}}"] }, { on: "users", nsp, ack: ["{users:{args.0}}"] },
      ]),
      get backend() {
        return [table(backend, { breaker: "" })];
      },
      ...config,
    },
    ...options,
  }, async (cluster) => {
    const nodes = [];
    try {
      for (let i = 0; i < 2; i++) nodes.push(await startNode(KINDS[kind], cluster.redis));
      await body({ ...cluster, backend, nodes });
    } finally {
      for (const node of nodes) await node.stop();
      await backend.stop();
    }
  });
}

const sorted = (list) => [...list].sort();
/* Until what a question is answered with is this: servers are subscribed a moment after they are started. */
const becomes = (what, question, wanted) => until(what, async () => JSON.stringify(await question()) === JSON.stringify(wanted), { every: 50, timeout: 15000 });
const room = async (socket, name) => {
  const [count, members] = await ask(socket, "who", name);
  return [count, sorted(members)];
};

for (const kind of Object.keys(KINDS)) {
  testAsks("{count:} and {members:} know of clients of Node servers", kind, {}, async ({ brokers, nodes }) => {
    const here = await Promise.all(brokers.map((broker) => come(broker)));
    const there = await Promise.all(nodes.map(({ port }) => memberClient(port)));
    const admin = await memberClient(nodes[0].port, "/admin");
    for (const socket of [...here, ...there, admin]) await (socket.joined ? socket.joined("red") : ask(socket, "join", "red"));
    await there[1].joined("r\u00e9d \"quoted\"");
    for (const socket of here) {
      await becomes("all are counted", () => room(socket, "red"), [4, sorted([...here, ...there].map(({ id }) => id))]);
      await becomes("one at a Node is found", () => room(socket, "r\u00e9d \"quoted\""), [1, [there[1].id]]);
      await becomes("nobody is nobody", () => room(socket, "nowhere"), [0, []]);
    }
    const elsewhere = await come(brokers[1], { nsp: "/admin" });
    await becomes("of another namespace it is that one's", () => room(elsewhere, "red"), [1, [admin.id]]);
    there[0].disconnect();
    await becomes("who is gone is counted no more", () => room(here[0], "red"), [3, sorted([...here, there[1]].map(({ id }) => id))]);
    const metrics = await brokers[0].metrics();
    assert.ok(metrics("ringcast_socketio_adapter_asked_total") > 0);
    assert.equal(metrics("ringcast_socketio_adapter_asks_refused_total"), 0);
    for (const socket of [...here, ...there, admin, elsewhere]) socket.disconnect();
  });

  testAsks("an emit with ack asks clients of Node servers, too, and their answers come to the backend", kind, {}, async ({ brokers, nodes, backend }) => {
    const bytes = Buffer.from([0, 255]);
    const emit = { event: "question", to: ["chat", "more"], except: ["mute"], args: [2, { _placeholder: true, num: 0 }], attachments: [bytes.toString("base64")], ack: "theirs", timeout: 20000 };
    backend.answer = (call) => {
      if (call.call !== "ack") return { emit: [emit] };
      return call.sid === null && call.args ? { join: ["never"], emit: [{ event: "thanks", args: [call.args[0]] }, { event: "heard", to: "chat", args: [call.args[0]] }] } : {};
    };
    const here = await Promise.all(brokers.map((broker) => come(broker)));
    const there = await Promise.all(nodes.map(({ port }) => memberClient(port)));
    const muted = await memberClient(nodes[0].port);
    const admin = await memberClient(nodes[1].port, "/admin");
    for (const socket of [...here, ...there, muted, admin]) await (socket.joined ? socket.joined("chat") : ask(socket, "join", "chat"));
    await there[0].joined("more");
    await muted.joined("mute");
    await becomes("servers know each other", () => room(here[0], "chat"), [5, sorted([...here, ...there, muted].map(({ id }) => id))]);
    for (const [i, socket] of [...here, ...there].entries()) socket.on("question", (n, binary, done) => done(`${i}: ${n} ${Buffer.from(binary).toString("hex")}`, Buffer.from("not told")));
    here[0].emit("ask", "all");
    const acks = await backend.asked("ack", 4);
    assert.deepEqual(sorted(acks.map(({ args }) => args[0])), [0, 1, 2, 3].map((i) => `${i}: 2 00ff`));
    for (const call of acks) {
      const own = here.findIndex(({ id }) => id === call.sid);
      assert.deepEqual([call.token, call.nsp, call.user], ["theirs", "/", null]);
      if (own < 0) assert.deepEqual([call.sid, call.client, call.instance, call.args.length], [null, {}, brokers[0].config["server.instance_id"], 1]);
    }
    // What a reply for nobody wants done of a room is done, and nothing else.
    for (const socket of [...here, ...there]) await until("the room hears of both", () => (socket.heard ?? socket.got).filter(([event]) => event === "heard").length === 2);
    for (const socket of [...here, ...there]) assert.ok(!(socket.heard ?? socket.got).some(([event]) => event === "thanks"));
    for (const socket of [muted, admin]) assert.ok(!socket.got.some(([event]) => event === "question"), "it is not for them");
    assert.equal(there[0].got.filter(([event]) => event === "question").length, 1, "once, in whatever rooms it is");
    for (const socket of [...here, ...there, muted, admin]) socket.disconnect();
  });
}

// As docs/socketio.md has it, "Who is counted": a Node server does not tell who is whom, so presence and the API are of ringcast's clients.
testAsks("users, presence and the API's counts are of clients of ringcast, on all instances", "classic", {
  config: { "debug.user_query": "user", namespace: [{ name: "default", subscribe: "anyone", presence: true, presence_who: "anyone" }] },
}, async ({ brokers, nodes }) => {
  const here = await Promise.all(brokers.map((broker, i) => come(broker, { query: { user: `u${i}` } })));
  const there = await Promise.all(nodes.map(({ port }) => memberClient(port)));
  for (const socket of [...here, ...there]) await (socket.joined ? socket.joined("red") : ask(socket, "join", "red"));
  await there[0].joined("theirs");
  const get = async (broker, path) => JSON.parse((await broker.get(path, { headers: { authorization: `Bearer ${KEY}` } })).body);
  for (const [i, broker] of brokers.entries()) {
    await becomes("all are counted by rows", () => room(here[i], "red"), [4, sorted([...here, ...there].map(({ id }) => id))]);
    await becomes("users are ringcast's", () => ask(here[i], "users", "red").then(([users]) => sorted(users)), ["u0", "u1"]);
    await becomes("so are subscribers", () => get(broker, "/api/channels?prefix=red").then(({ channels }) => channels), [{ channel: "red", subscribers: 2 }]);
    assert.deepEqual((await get(broker, "/api/channels?prefix=theirs")).channels, []);
    const { clients, users, members } = await get(broker, "/api/presence?channel=red");
    assert.deepEqual([clients, users, sorted(members.map(({ user }) => user))], [2, 2, ["u0", "u1"]]);
  }
  assert.equal((await nodes[0].io.in("red").fetchSockets()).length, 4, "and a Node server counts all");
  for (const socket of [...here, ...there]) socket.disconnect();
});

testAsks("who does not answer is counted when the time is up, binary answers come whole", "classic", { brokers: 1 }, async ({ brokers: [broker], nodes, backend }) => {
  backend.answer = (call) => (call.call === "ack" ? {} : { emit: [{ event: "question", to: "chat", args: [], ack: "t", timeout: 3000 }] });
  const here = await come(broker);
  const there = await Promise.all([...nodes, ...nodes].map(({ port }) => memberClient(port)));
  for (const socket of there) await socket.joined("chat");
  await becomes("they are counted", () => ask(here, "who", "chat").then(([count]) => count), 4);
  there[0].on("question", (done) => done({ bytes: Buffer.from([1, 2]) }));
  there[1].on("question", (done) => done());
  there[2].on("question", () => there[2].disconnect());
  const since = performance.now();
  here.emit("ask");
  const acks = await backend.asked("ack", 3);
  const [answers, silent] = [acks.filter(({ timeout }) => !timeout), acks.filter(({ timeout }) => timeout)];
  assert.deepEqual(sorted(answers.map(({ args, attachments }) => JSON.stringify([args, attachments ?? []]))), ['[[],[]]', '[[{"bytes":{"_placeholder":true,"num":0}}],["AQI="]]']);
  assert.deepEqual(silent.map(({ sid, missing, args }) => [sid, missing, args]), [[null, 2, undefined]]);
  assert.ok(performance.now() - since >= 2990, "when its time was up");
  for (const socket of [here, ...there]) socket.disconnect();
});

testAsks("servers that say nothing are waited for no longer than a row waits", "classic", { brokers: 1 }, async ({ brokers: [broker], nodes, redis }) => {
  const here = await come(broker);
  const there = await memberClient(nodes[0].port);
  await there.joined("chat");
  await becomes("it is counted", () => ask(here, "who", "chat").then(([count]) => count), 1);
  const silent = await createClient({ url: redis.url }).connect();
  await silent.subscribe("socket.io-request#/#", () => {}); // it counts as a server
  try {
    const before = (await broker.metrics())("ringcast_socketio_rooms_local_total");
    assert.equal((await ask(here, "who", "chat"))[0], 1, "what is known has to do");
    await until("and it is counted", async () => (await broker.metrics())("ringcast_socketio_rooms_local_total") > before);
  } finally {
    await silent.close();
  }
  for (const socket of [here, there]) socket.disconnect();
});
