// POST /api/do: what replies of backends may say, for clients by id, user or room: over every protocol, workers and instances.
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import { startBackend, table } from "./lib/backend.mjs";
import { testBroker } from "./lib/broker.mjs";
import { subscribers, testRedis } from "./lib/redis.mjs";
import { until, within } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const CONFIG = { "http.api_keys": [KEY], "socketio.path": "/socket.io/", "socketio.namespaces": ["/", "/admin"], "debug.user_query": "user",
  event: ["/", "/admin"].flatMap((nsp) => [{ on: "who", nsp, ack: ["{user}", "{client}"] }, { on: "say", nsp, emit: [{ to: "{args.0}", event: "said" }] }]),
  namespace: [{ name: "default", publish: "anyone" }] };

async function come(broker, { nsp = "/", ...options } = {}) {
  const socket = connectClient(`http://127.0.0.1:${broker.port}${nsp}`, { transports: ["websocket"], forceNew: true, reconnection: false, ...options });
  socket.heard = [];
  socket.onAny((...args) => socket.heard.push(args));
  await within(10000, new Promise((done, failed) => (socket.once("connect", done), socket.once("connect_error", failed))), "connect");
  return socket;
}

const ask = (socket, ...args) => within(10000, new Promise((done) => socket.emit(...args, (...its) => done(its))), `an answer to ${args[0]}`);

async function does(broker, body, { key = KEY } = {}) {
  const answer = await broker.get("/api/do", { method: "POST", headers: { authorization: `Bearer ${key}` }, body: typeof body === "string" ? body : JSON.stringify(body) });
  return { status: answer.status, ...JSON.parse(answer.body) };
}

testBroker("operations for a client, a user's and those of a room, on all workers", { workers: 2, config: CONFIG, timeout: 60000 }, async (broker) => {
  const sockets = await Promise.all([["websocket"], ["polling"], ["websocket"], ["polling"]].map((transports, i) => come(broker, { transports, query: { user: i < 3 ? "42" : "43" } })));
  const native = await broker.connect({ path: "/ws?user=42" });
  const all = { targets: [{ user: "42", connections: 4 }], emitted: 1, retained: 0, status: 200 };
  assert.deepEqual(await does(broker, { user: "42", set: { color: "red" }, join: ["room:1"], emit: [{ event: "own", args: ["x"] }, { event: "in", to: "room:1", args: [1] }] }), all);
  await until("each has both", () => sockets.slice(0, 3).every(({ heard }) => heard.length === 2));
  for (const { heard } of sockets.slice(0, 3)) assert.deepEqual(heard, [["own", "x"], ["in", 1]]);
  assert.deepEqual([(await native.next("direct")).args, (await native.next("message")).args], [["x"], [1]]);
  assert.deepEqual(await ask(sockets[1], "who"), [{ id: "42" }, { color: "red" }]);
  assert.deepEqual(sockets[3].heard, []);

  const [one, two] = sockets;
  assert.deepEqual(await does(broker, { client: one.id, leave: ["room:1"], join: ["only"] }), { targets: [{ client: one.id, connections: 1 }], emitted: 0, retained: 0, status: 200 });
  const { client } = native.welcome;
  assert.deepEqual(await does(broker, { client: [two.id, client, "nobody~x"], user: 43, room: ["only", "room:1", "empty"], emit: [{ event: "all", args: [{ a: 1.50 }] }] }), {
    status: 200, emitted: 0, retained: 0,
    targets: [{ client: two.id, connections: 1 }, { client, connections: 1 }, { client: "nobody~x", connections: 0 }, { user: "43", connections: 1 }, { room: "only", connections: 1 }, { room: "room:1", connections: 3 }, { room: "empty", connections: 0 }],
  });
  await until("each got it as often as it was meant", () => one.heard.length === 3 && two.heard.length === 4 && sockets[3].heard.length === 1);
  assert.equal((await native.next("direct")).event, "all");

  // A join is a promise for what follows it; an order of its own; everybody; except.
  for (let i = 0; i < 10; i++) {
    await does(broker, { do: [{ emit: [{ event: "before", to: `promise:${i}` }] }, { join: [`promise:${i}`] }, { emit: [{ event: "after", to: `promise:${i}`, args: [i] }] }], client: one.id });
  }
  await does(broker, { emit: [{ event: "end", to: "*", except: two.id }] });
  await until("the end", () => [one, sockets[2], sockets[3]].every(({ heard }) => heard.at(-1)?.[0] === "end"));
  assert.deepEqual(one.heard.filter(([event]) => ["before", "after"].includes(event)), Array.from({ length: 10 }, (_, i) => ["after", i]));
  assert.ok(!two.heard.some(([event]) => event === "end"));

  // A retained value, and who comes after it.
  assert.deepEqual(await does(broker, { retain: [{ room: "board:1", data: { best: 7 } }] }), { targets: [], emitted: 0, retained: 1, status: 200 });
  const late = await broker.connect();
  await late.request({ type: "subscribe", channel: "board:1", retained: true });
  assert.deepEqual((await late.next("message")).data, { best: 7 });

  // Another namespace; becoming a user; being sent away.
  const admin = await come(broker, { nsp: "/admin" });
  assert.deepEqual((await does(broker, { nsp: "/admin", client: admin.id, user: { id: "9", name: "Ada" }, join: ["staff"], emit: [{ event: "hi", to: "staff" }] })).targets, [{ client: admin.id, connections: 1 }]);
  await until("it is in", () => admin.heard.length === 1);
  assert.deepEqual((await ask(admin, "who"))[0], { id: "9", name: "Ada" });
  assert.deepEqual((await does(broker, { nsp: "/admin", client: admin.id, user: { id: "8" } })).targets, [{ client: admin.id, connections: 0, partly: true }]);
  assert.deepEqual((await does(broker, { nsp: "/admin", room: "*", error: { code: 4711, message: "no" } })).targets, [{ room: "*", connections: 1 }]);
  await until("it was told", () => admin.heard.length === 2);
  assert.deepEqual(admin.heard[1], ["error", { code: 4711, message: "no" }]);
  const gone = within(5000, new Promise((done) => admin.once("disconnect", done)), "disconnect");
  await does(broker, { nsp: "/admin", client: admin.id, disconnect: true });
  assert.equal(await gone, "io server disconnect");
  assert.equal((await does(broker, { client, disconnect: "close" })).status, 200);
  await within(5000, native.closed, "the native one is closed");
  for (const socket of sockets) socket.close();
});

testBroker("what is wrong is told, and nothing is done", { workers: 1, config: CONFIG }, async (broker) => {
  const socket = await come(broker);
  const cases = [
    ["", /no body/], ["no JSON", /no JSON object/], [{}, /nothing to be done/], [{ client: socket.id }, /nothing to be done/],
    [{ join: ["r"] }, /for whom/], [{ emit: [{ event: "x" }] }, /for whom/], [{ client: 7, join: ["r"] }, /client must be a string/],
    [{ client: socket.id, join: "r" }, /join and leave are arrays/], [{ client: socket.id, ack: [1] }, /ack answers an event/],
    [{ client: socket.id, retain: "board" }, /retain is no array/], [{ client: socket.id, join: ["r"], nsp: "x y?" }, /nsp is no namespace/],
    [{ emit: [{ event: "x", to: "r", others: true }] }, /others/], [{ emit: [{ event: "x", to: "r", ack: "t" }] }, /needs backend/],
    [{ client: socket.id, join: ["r"], backend: "none" }, /backend is not the name/],
    [{ client: socket.id, join: ["r", 7] }, /a room is no text/], [{ client: socket.id, join: Array.from({ length: 257 }, (_, i) => `r${i}`) }, /more than 256 operations/],
  ];
  for (const [body, why] of cases) {
    const { status, error } = await does(broker, body);
    assert.equal(status, 400, JSON.stringify(body).slice(0, 100));
    assert.match(error.message, why);
  }
  assert.equal((await does(broker, { client: Array.from({ length: 65 }, () => socket.id), join: ["r"] })).status, 413);
  assert.equal((await does(broker, { client: socket.id, join: ["r"] }, { key: "another-key-of-tests" })).status, 401);
  assert.equal((await does(broker, { client: "test~AAAAAAAAAAAAAAAAAAAAAAAA", join: ["r"] })).status, 404);
  await does(broker, { room: "r", emit: [{ event: "unheard" }] });
  assert.deepEqual((await does(broker, { user: "nobody", join: ["r"] })).targets, [{ user: "nobody", connections: 0 }]);
  await does(broker, { client: socket.id, emit: [{ event: "heard" }] });
  await until("one is heard", () => socket.heard.length > 0);
  assert.deepEqual(socket.heard, [["heard"]]);
  socket.close();
});

const state = {};
testBroker("answers of clients go to a backend", {
  workers: 2,
  config: async () => {
    state.backend = await startBackend();
    return { ...CONFIG, backend: [table(state.backend)] };
  },
}, async (broker) => {
  const sockets = await Promise.all([1, 2, 3].map(() => come(broker, { query: { user: "42" } })));
  sockets.forEach((socket, i) => socket.on("q", (n, done) => done(n + i)));
  await does(broker, { user: "42", emit: [{ event: "q", args: [10], ack: "own" }] });
  const acks = await state.backend.asked("ack", 3);
  assert.deepEqual(acks.map(({ token, args }) => [token, args[0]]).sort(), [["own", 10], ["own", 11], ["own", 12]]);
  await does(broker, { emit: [{ event: "q", args: [20], ack: "all", to: "*", except: sockets[2].id }] });
  assert.deepEqual((await state.backend.asked("ack", 5)).slice(3).map(({ token, args }) => [token, args[0]]).sort(), [["all", 20], ["all", 21]]);
  for (const socket of sockets) socket.close();
  await state.backend.stop();
});

testRedis("clients of other instances, and exceptions there", { brokers: 2, workers: 2, config: CONFIG }, async ({ brokers: [web1, web2], redis }) => {
  const [here, there] = [await come(web1, { query: { user: "42" } }), await come(web2, { query: { user: "42" } })];
  const native = await web2.connect({ path: "/ws?user=42" });
  await until("they know of each other", async () => (await does(web1, { user: "42", set: { a: 1 } })).targets[0].connections === 3, { every: 100 });
  // Who joins is answered for after 100 ms though Redis has not answered yet.
  await does(web1, { user: "42", join: ["both"] });
  await until("both instances hear the room", async () => (await subscribers(redis, "ws:channel:both")) === 2);
  assert.deepEqual(await does(web1, { user: "42", join: ["both"], emit: [{ event: "in", to: "both" }] }), { status: 200, targets: [{ user: "42", connections: 3 }], emitted: 1, retained: 0 });
  await until("all have it", () => here.heard.length === 1 && there.heard.length === 1);
  assert.equal((await native.next("message")).event, "in");
  assert.deepEqual((await does(web1, { client: there.id, join: ["muted"] })).targets, [{ client: there.id, connections: 1 }]);
  assert.deepEqual((await does(web1, { client: native.welcome.client, set: { b: 2 } })).targets, [{ client: native.welcome.client, connections: 1 }]);
  assert.deepEqual((await does(web1, { room: "both", set: { c: 3 } })).targets, [{ room: "both", connections: 3 }]);
  await does(web1, { emit: [{ event: "quiet", to: "both", except: "muted" }, { event: "end", to: "both" }] });
  await until("the end", () => here.heard.at(-1)[0] === "end" && there.heard.at(-1)[0] === "end");
  assert.deepEqual([here.heard.map(([event]) => event), there.heard.map(([event]) => event)], [["in", "quiet", "end"], ["in", "end"]]);
  here.close(), there.close();
});
