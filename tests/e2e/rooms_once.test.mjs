// An emit to several rooms is one message: whoever is in several of them gets it once, as of io.to(a).to(b).emit(). Of rows, replies of backends and
// POST /api/do, for Socket.IO and native clients of all workers and instances, and of Node servers beside them.
import assert from "node:assert/strict";
import { startBackend, table } from "./lib/backend.mjs";
import { testBroker } from "./lib/broker.mjs";
import { ask, come } from "./lib/hook.mjs";
import { KINDS, startNode } from "./lib/member_kinds.mjs";
import { memberClient } from "./lib/members.mjs";
import { subscribers, testRedis } from "./lib/redis.mjs";
import { until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const BOTH = { to: ["{args.0}", "{args.1}"], event: "said", args: ["{args.2..}"] };
const ENDS = [{ event: "end", to: "red" }, { event: "end", to: "blue" }, { event: "the end", to: "*" }];
const CONFIG = {
  "socketio.path": "/socket.io/", "http.api_keys": [KEY], "permissions.direct": "anyone", "debug.user_query": "user",
  namespace: [{ name: "default", publish: "anyone" }, { name: "log", publish: "anyone", subscribe: "anyone", history: 10, history_scope: "host" }],
  event: [
    { on: "join", join: ["{args.0}"], ack: [] },
    { on: "both", emit: [BOTH] },
    { on: "others", emit: [{ ...BOTH, others: true }] },
    { on: "except", emit: [{ ...BOTH, except: ["muted"] }] },
    { on: "one except", emit: [{ to: "{args.0}", event: "said", args: ["{args.1..}"], except: ["muted"] }] },
    { on: "and me", emit: [{ to: ["{sid}", "{args.0}"], event: "said", args: ["{args.1..}"] }] },
    { on: "end", emit: ENDS },
  ],
};

/* What each of them has been told of `said` when all that was sent before has come. `natives` are in both rooms. No speaker: it was sent with ENDS. */
async function told(speaker, sockets, natives) {
  speaker?.emit("end");
  const heard = (socket) => socket.heard ?? socket.got;
  for (const socket of sockets) await until("the end", () => heard(socket).some(([event]) => event === "the end"));
  const lists = sockets.map((socket) => heard(socket).splice(0).filter(([event]) => event === "said").map(([, ...args]) => args));
  for (const native of natives) {
    const list = [];
    for (let ends = 0; ends < 2;) {
      const message = await native.next("message");
      if (message.event === "end") ends++;
      else list.push(message.args ?? [message.data]);
    }
    lists.push(list);
  }
  return lists;
}

async function api(broker, body) {
  const answer = await broker.get("/api/do", { method: "POST", headers: { authorization: `Bearer ${KEY}` }, body: JSON.stringify(body) });
  assert.equal(answer.status, 200, answer.body);
}

const once = [[1, "é"]];

/* Everybody is in "red" and "blue" but the last of the sockets, which is in "red" and "muted", and who speaks is the first. */
async function tell(broker, sockets, natives, backend) {
  const [first] = sockets;
  const muted = sockets.length - 1;
  const all = [...sockets, ...natives].map(() => once);
  const but = (left) => all.map((list, i) => (left.includes(i) ? [] : list));
  const check = async (what, expected, speaker = first) => assert.deepEqual(await told(speaker, sockets, natives), expected, what);
  first.emit("both", "red", "blue", 1, "é");
  await check("a row", all);
  first.emit("both", "blue", "nobody is there", 1, "é");
  await check("one of the rooms is empty", but([muted]));
  first.emit("others", "red", "blue", 1, "é");
  await check("others", but([0]));
  first.emit("except", "red", "blue", 1, "é");
  await check("except", but([muted]));
  first.emit("both", "blue", sockets[muted].id, 1, "é");
  await check("a room and a socket that is not in it", all);
  first.emit("both", sockets[1].id, "red", 1, "é");
  await check("a room and a socket that is in it", all);
  first.emit("and me", "red", 1, "é");
  await check("who says it, and a room that it is in", all);
  first.emit("except", sockets[1].id, sockets[muted].id, 1, "é");
  await check("two sockets, of which one is in a room that is left out", all.map((list, i) => (i === 1 ? list : [])));
  first.emit("one except", sockets[muted].id, 1, "é");
  first.emit("one except", sockets[1].id, 1, "é");
  await check("one socket, which is in such a room, and one that is not", all.map((list, i) => (i === 1 ? list : [])));
  // They keep their order with what goes to one of the rooms, to a socket and to everybody.
  const many = Array.from({ length: 60 }, (_, i) => [i]);
  for (const [i] of many) first.emit(...[["both", "red", "blue"], ["one except", "red"], ["both", "red", sockets[1].id]][i % 3], i);
  assert.deepEqual((await told(first, sockets, natives)).map((list, i) => [i, list]), all.map((_, i) => [i, i === muted ? many.filter(([n]) => n % 3 !== 1) : many]), "in order");
  const bytes = Buffer.from([0, 255]);
  first.emit("both", "red", "blue", bytes);
  const binary = (await told(first, sockets, natives)).slice(0, sockets.length);
  assert.deepEqual(binary, sockets.map(() => [[bytes]]), "binary");
  for (const [how, emits] of [["a reply", (emit) => backend && ((backend.answer = () => ({ emit: [emit] })), first.emit("ask"), backend.asked("event", ++backend.count))], ["POST /api/do", (emit) => api(broker, { emit: [emit, ...ENDS] })]]) { // another worker's, to which the socket's end has no order
    if (how === "a reply" && !backend) continue;
    const emit = { event: "said", to: ["red", "blue"], args: once[0] };
    const says = async (more, expected, what) => {
      await emits({ ...emit, ...more });
      await check(`${how}: ${what}`, expected, how === "a reply" ? first : null);
    };
    await says({}, all, "rooms");
    await says({ to: ["red", "*", "blue"] }, [...sockets.map(() => once), ...natives.map(() => [])], "everybody");
    await says({ except: ["muted"] }, but([muted]), "except");
    await says({ except: [sockets[1].id] }, but([1]), "except a socket");
    await says({ to: [sockets[1].id, "blue"] }, but([muted]), "a socket and a room");
    await says({ to: sockets[muted].id, except: ["muted"] }, all.map(() => []), "a socket in a room that is left out");
    await says({ to: sockets[muted].id, except: ["blue"] }, all.map((_, i) => (i === muted ? once : [])), "a socket that is not");
    if (how === "a reply") await says({ others: true }, but([0]), "others");
  }
}

async function join(sockets, natives) {
  for (const [i, socket] of sockets.entries()) {
    assert.ok(socket.connected);
    for (const room of ["red", i === sockets.length - 1 ? "muted" : "blue"]) await ask(socket, "join", room);
  }
  for (const native of natives) for (const room of ["red", "blue"]) await native.subscribe(room);
}

const state = {};
const config = async () => {
  state.backend = Object.assign(await startBackend(), { count: 0 });
  return { ...CONFIG, event: [...CONFIG.event, { on: "ask", ask: "app" }], backend: [table(state.backend)] };
};

testBroker("an emit to several rooms reaches each client once, on all workers", { workers: 2, config, timeout: 60000 }, async (broker) => {
  const sockets = await Promise.all([["websocket"], ["polling"], ["websocket"], ["websocket"], ["polling"]].map((transports) => come(broker, { transports })));
  const natives = await Promise.all([0, 1, 2].map(() => broker.connect()));
  try {
    await join(sockets, natives);
    await tell(broker, sockets, natives, state.backend);
    // What has a place in a channel's history is told by it, in each channel.
    for (const room of ["log:a", "log:b"]) await natives[0].subscribe(room);
    await ask(sockets[1], "join", "log:a");
    sockets[0].emit("both", "log:a", "red", 1, "é");
    const [, kept] = await told(sockets[0], sockets, natives.slice(1));
    assert.deepEqual(kept, [...once, ...once]);
    assert.deepEqual((await natives[0].request({ type: "history", channel: "log:a" })).messages.map(({ event }) => event), ["said"]);
  } finally {
    for (const socket of sockets) socket.close();
    await state.backend.stop();
  }
});

const known = (brokers) => until("they know each other", async () => (await Promise.all(brokers.map(async (broker) => (await broker.metrics())("ringcast_instances")))).every((count) => count === brokers.length - 1));

testRedis("an emit to several rooms reaches each client of all instances once", { brokers: 2, workers: 2, config: CONFIG, timeout: 60000 }, async ({ brokers, redis }) => {
  const sockets = await Promise.all([0, 0, 1, 1, 1].map((at) => come(brokers[at])));
  const natives = await Promise.all(brokers.map((broker) => broker.connect()));
  try {
    await known(brokers);
    await join(sockets, natives);
    for (const room of ["red", "blue"]) await until(`Redis has confirmed ${room} to both`, async () => (await subscribers(redis, `ws:channel:${room}`)) === 2);
    await tell(brokers[0], sockets, natives);
    await tell(brokers[1], [...sockets].reverse().slice(1).concat(sockets[4]), natives);
  } finally {
    for (const socket of sockets) socket.close();
  }
});

for (const name of ["classic", "sharded", "streams"]) {
  const kind = KINDS[name];
  testRedis(`and once each of a Node's clients beside them: ${name}`, { brokers: 2, workers: 2, start: kind.start, config: { ...CONFIG, "socketio.adapter": kind.config }, timeout: 60000 }, async ({ brokers, redis }) => {
    const node = await startNode(kind, redis);
    const ours = await Promise.all([0, 1].map((at) => come(brokers[at])));
    const theirs = await Promise.all([0, 1].map(() => memberClient(node.port)));
    try {
      await known(brokers);
      await join(ours, []);
      for (const socket of ours) await ask(socket, "join", "blue");
      for (const socket of theirs) for (const room of ["red", "blue"]) await socket.joined(room);
      const all = [...ours, ...theirs];
      const check = async (what, expected) => assert.deepEqual(await told(ours[0], all, []), expected, what);
      ours[0].emit("both", "red", "blue", 1, "é");
      await check("rooms", all.map(() => once));
      ours[0].emit("except", "red", "blue", 1, "é");
      await check("except", all.map((socket) => (socket === ours[1] ? [] : once)));
      ours[0].emit("both", theirs[0].id, "red", 1, "é");
      await check("a Node's socket and a room", all.map(() => once));
      ours[1].emit("both", ours[0].id, theirs[1].id, 1, "é");
      await until("it has come", () => [ours[0].heard, theirs[1].got].every((list) => list.length > 0));
      await check("sockets of both", all.map((socket) => ([ours[0], theirs[1]].includes(socket) ? once : [])));
    } finally {
      for (const socket of [...ours, ...theirs]) socket.close();
      await node.stop();
    }
  });
}
