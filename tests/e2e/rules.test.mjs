// [[event]] rows as socketio.md means them, with socket.io-client: what selects and guards a row, what it keeps and closes, values of the
// moment, and that no protocol leads round a guard.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { startBackend, table } from "./lib/backend.mjs";
import parser from "socket.io-msgpack-parser";
import { encode, encodeBatch } from "./lib/binary.mjs";
import { ROOMS_LATE, run, testBroker } from "./lib/broker.mjs";
import { until, within } from "./lib/util.mjs";

const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"] };

/* A client with what it has heard so far: [name, ...args] each. Closed by the caller's `sockets`. */
async function connect(broker, sockets, { user, nsp = "/", ...options } = {}) {
  const socket = io(`http://${broker.host}${nsp}`, { transports: ["websocket"], query: user ? { user } : {}, forceNew: true, reconnection: false, ...options });
  sockets.push(socket);
  socket.heard = [];
  socket.onAny((...event) => socket.heard.push(event));
  await within(5000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "it connects");
  return socket;
}

/* Clients name their rooms. */
const excalidrawRows = () => ({ event: [{ on: "join", join: ["{args.0}"], ack: ["in"] }, { on: "say", emit: [{ to: "{args.0}", others: true, event: "said", args: ["{args.1}"] }], ack: ["sent"] }] });

const ask = (socket, ...event) => within(5000, new Promise((done) => socket.emit(...event, (...answer) => done(answer))), `an answer to ${event[0]}`);
const hears = (socket, name) => until(`it hears ${name}`, () => socket.heard.find((event) => event[0] === name)?.slice(1), { every: 2 });

function testRules(name, config, body, workers = 2) {
  const whole = typeof config === "function" ? config : { "socketio.path": "/socket.io/", "debug.user_query": "user", ...config };
  testBroker(name, { workers, config: whole, late: ROOMS_LATE }, async (broker) => {
    const sockets = [];
    try {
      await body(broker, (options) => connect(broker, sockets, options));
    } finally {
      for (const socket of sockets) socket.close();
    }
  });
}

/* --- selecting and guarding --------------------------------------------------------------------------------------------- */

const guards = {
  event: [
    { on: "follow", match: { "args.0.action": "FOLLOW" }, join: ["followers"], ack: ["followed"] },
    { on: "follow", match: { "args.0.action": ["UNFOLLOW", 7, false] }, leave: ["followers"], ack: ["unfollowed"] },
    { on: "chat:*", ack: ["chat", "{event}"] },
    { on: "mine", who: "user", join: ["mine:{user.id}"], ack: [{ id: "{user.id}" }] },
    { on: "only alice", who: { id: ["alice", "anna"] }, ack: ["alice it is"], refuse: { code: "NOT_YOU", who: "Alice only" } },
    { on: "say", inside: "followers", emit: [{ to: "followers", event: "said" }], refuse: { inside: "Follow first", event: "oops" } },
    { on: "ask", who: "user", refuse: { ack: [{ ok: false, why: "{error.message}", code: "{error.code}", was: "{args.0}" }] } },
    { on: "*", nsp: "/any", ack: ["any", "{event}"] },
  ],
  "socketio.namespaces": ["/", "/any"],
};

for (const [transport, transports] of Object.entries(TRANSPORTS)) {
  testRules(`rows are chosen by name, pattern and value, and guarded (${transport})`, guards, async (broker, client) => {
    const nobody = await client({ transports });
    const alice = await client({ transports, user: "alice" });
    assert.deepEqual(await ask(nobody, "follow", { action: "FOLLOW" }), ["followed"]);
    assert.deepEqual(await ask(nobody, "chat:anything", 1), ["chat", "chat:anything"]);
    assert.deepEqual(await ask(await client({ transports, nsp: "/any" }), "whatever"), ["any", "whatever"]);
    assert.deepEqual(await ask(nobody, "mine"), [{ error: { code: 401, message: "only users may do this, and you are anonymous" } }]);
    assert.deepEqual(await ask(alice, "mine"), [{ id: "alice" }]);
    assert.deepEqual(await ask(alice, "only alice"), ["alice it is"]);
    assert.deepEqual(await ask(await client({ transports, user: "bob" }), "only alice"), [{ error: { code: "NOT_YOU", message: "Alice only" } }]);
    assert.deepEqual(await ask(nobody, "ask", [1.50]), [{ ok: false, why: "only users may do this, and you are anonymous", code: 401, was: [1.5] }]);
    alice.emit("say", "hello");
    assert.deepEqual(await hears(alice, "oops"), [{ code: 403, message: "Follow first" }]);
    nobody.emit("say", "hello");
    assert.deepEqual(await hears(nobody, "said"), ["hello"]);
    // A joiner that does not wait for an answer is in the room all the same when its next event is looked at.
    const quick = await client({ transports });
    quick.emit("follow", { action: "FOLLOW" });
    quick.emit("say", "at once");
    assert.deepEqual(await hears(quick, "said"), ["at once"]);
    assert.deepEqual(await ask(quick, "follow", { action: 7 }), ["unfollowed"]);
    quick.emit("say", "gone");
    assert.deepEqual(await hears(quick, "oops"), [{ code: 403, message: "Follow first" }]);
    // No row matches: as Node, silent.
    quick.emit("follow", { action: "7" });
    assert.deepEqual(await ask(quick, "chat:fence"), ["chat", "chat:fence"]);
    assert.ok(!quick.heard.some(([name]) => name === "error"));
  });
}

/* --- what is kept, values of the moment, the end ------------------------------------------------------------------------- */

const kept = {
  "server.instance_id": "web-1",
  event: [
    { on: "add user", set: { username: "{args.0}" }, join: ["#chat"], emit: [{ event: "login", args: ["{client.username}"] }] },
    { on: "new message", inside: "#chat", emit: [{ to: "*", others: true, args: [{ username: "{client.username}", message: "{args.0}" }] }] },
    { on: "moment", ack: ["{now}", "{now_ms}", "{uuid}", "{uuid}", "{instance}", "{address}"], emit: [{ event: "moment", args: ["{now}", "{uuid}"] }] },
    // What follows the join waits for the relay: the moment is still the one of the event.
    { on: "joined at", join: ["at"], ack: ["{now_ms}", "{uuid}"], emit: [{ event: "at", args: ["{now_ms}", "{uuid}"] }] },
    { on: "leave us", ack: ["bye"], close: "enough" },
    { on: "disconnect", emit: [{ to: "*", event: "left", args: ["{client.username}", "{args.0}"] }] },
  ],
};

testRules("the official chat without its count: attributes of a connection", kept, async (broker, client) => {
  const [a, b] = [await client(), await client({ transports: ["polling"], parser })];
  a.emit("add user", "Zoë \"Z\"");
  assert.deepEqual(await hears(a, "login"), ["Zoë \"Z\""]);
  b.emit("add user", { not: ["text"] });
  assert.deepEqual(await hears(b, "login"), [{ not: ["text"] }]);
  a.emit("new message", "hi");
  assert.deepEqual(await hears(b, "new message"), [{ username: "Zoë \"Z\"", message: "hi" }]);
  b.emit("new message", "oh");
  assert.deepEqual(await hears(a, "new message"), [{ username: { not: ["text"] }, message: "oh" }]);
  b.emit("add user", "x".repeat(1024));
  assert.deepEqual(await hears(b, "error"), [{ code: 413, message: "more than is kept of a connection" }]);
  a.close();
  assert.deepEqual(await hears(b, "left"), ["Zoë \"Z\"", "client namespace disconnect"]);
});

testRules("values of the moment are one in all of an event", kept, async (broker, client) => {
  const socket = await client();
  const before = Date.now();
  const [now, ms, uuid, again, instance, address] = await ask(socket, "moment");
  assert.match(now, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(new Date(now).getTime(), ms);
  assert.ok(ms >= before && ms <= Date.now(), `${before} ${ms}`);
  assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(again, uuid);
  assert.deepEqual([instance, address], ["web-1", "127.0.0.1"]);
  assert.deepEqual(await hears(socket, "moment"), [now, uuid]);
  assert.notEqual((await ask(socket, "moment"))[2], uuid, "another event, another id");
  const joined = await ask(socket, "joined at");
  assert.deepEqual(await hears(socket, "at"), joined);
});

testRules("a row closes its connection once all else is done", kept, async (broker, client) => {
  for (const transports of Object.values(TRANSPORTS)) {
    const socket = await client({ transports });
    const gone = new Promise((done) => socket.once("disconnect", done));
    assert.deepEqual(await ask(socket, "leave us"), ["bye"]);
    assert.equal(await within(5000, gone, "it is closed"), "io server disconnect");
  }
});

// What a guard or a question asks of the request is kept from the handshake on, as what is done asks of it.
testRules("guards and questions see what the client's request said", {
  event: [
    { on: "join", join: ["{args.0}"], ack: ["in"] },
    { on: "plan", match: { "query.plan": "gold" }, ack: ["gold"] },
    { on: "plan", match: { "header.x-plan": ["silver", "bronze"] }, ack: ["metal"] },
    { on: "plan", match: { "cookie.plan": "tin" }, ack: ["tin"] },
    { on: "plan", ack: ["none"] },
    { on: "speak", inside: "lobby:{query.lobby}", ack: ["spoken"] },
    { on: "count", ack: ["{count:lobby:{header.x-lobby}}"] },
    { on: "other", who: "user", refuse: { ack: ["{cookie.why}"] } },
  ],
}, async (broker, client) => {
  for (const [lobby, transports] of Object.entries(TRANSPORTS)) {
    assert.deepEqual(await ask(await client({ transports, query: { plan: "gold" } }), "plan"), ["gold"]);
    assert.deepEqual(await ask(await client({ transports, extraHeaders: { "X-Plan": "bronze" } }), "plan"), ["metal"]);
    assert.deepEqual(await ask(await client({ transports, extraHeaders: { cookie: "a=b; plan=tin" } }), "plan"), ["tin"]);
    assert.deepEqual(await ask(await client({ transports, query: { plan: "lead" } }), "plan"), ["none"]);
    const socket = await client({ transports, query: { lobby }, extraHeaders: { "x-lobby": lobby, cookie: "why=because" } });
    assert.equal((await ask(socket, "speak"))[0].error.code, 403);
    assert.deepEqual(await ask(socket, "join", `lobby:${lobby}`), ["in"]);
    assert.deepEqual(await ask(socket, "speak"), ["spoken"]);
    assert.deepEqual(await ask(socket, "count"), [1]);
    assert.deepEqual(await ask(socket, "other"), ["because"]);
  }
});

/* --- no way round a guard (S4.6) ----------------------------------------------------------------------------------------- */

const guarded = {
  "socketio.namespaces": ["/", "/admin"],
  event: [
    { on: "subscribe:portfolio", who: "user", join: ["portfolio:{user.id}"], ack: ["in"] },
    { on: "subscribe:watchlist", who: "user", join: ["watchlist:{args.0.symbol}"], ack: ["in"] },
    { on: "vip", who: "user", join: ["vip"], ack: ["in"] },
    // What a careless author may have beside it.
    { on: "join", join: ["{args.0}"], ack: ["in"] },
    { on: "join", nsp: "/admin", join: ["{args.0}"], ack: ["in"] },
    { on: "say", emit: [{ to: "{args.0}", event: "said", args: ["{args.1}"] }], ack: ["sent"] },
    { on: "say", nsp: "/admin", emit: [{ to: "{args.0}", event: "said", args: ["{args.1}"] }], ack: ["sent"] },
    { on: "public", emit: [{ to: "public", event: "said", args: ["{args.0}"] }] },
  ],
  namespace: [{ name: "portfolio", presence: true }],
  endpoint: [{ path: "/raw", protocol: "raw", join: ["public"], incoming: "publish:portfolio:alice" }],
};

testRules("nobody gets into a room that a row guards, or says anything in it", guarded, async (broker, client) => {
  const alice = await client({ user: "alice" });
  for (const event of [["subscribe:portfolio"], ["subscribe:watchlist", { symbol: "X" }], ["vip"]]) assert.deepEqual(await ask(alice, ...event), ["in"]);
  const bobs = [await client({ user: "bob" }), await client({ user: "bob", transports: ["polling"] }), await client({ user: "bob", parser })];
  const admin = await client({ user: "bob", nsp: "/admin" });
  const native = await broker.connect({ path: "/ws?user=bob" });
  const binary = await broker.connect({ path: "/ws?user=bob", protocols: ["ringcast.v1.binary"] });
  const raw = await broker.connect({ path: "/raw", welcome: false });
  const foreign = [];
  for (const socket of [...bobs, admin]) socket.onAny((...event) => foreign.push(event));
  for (const [name, ws] of Object.entries({ native, binary })) ws.received = ((before) => (bytes, isBinary) => {
    if (bytes.includes("secret")) foreign.push([name, bytes.toString()]);
    before.call(ws, bytes, isBinary);
  })(ws.received);
  const rooms = ["portfolio:alice", "portfolio:", "portfolio:alice:x", "watchlist:X", "vip"];
  for (const channel of rooms) {
    for (const bob of bobs) {
      assert.equal((await ask(bob, "join", channel))[0].error?.code, 403, `join ${channel}`);
      assert.equal((await ask(bob, "say", channel, "forged"))[0].error?.code, 403, `say ${channel}`);
    }
    assert.equal((await ask(admin, "join", channel))[0].error?.code, 403, `join ${channel} in /admin`);
    assert.equal((await ask(admin, "say", channel, "forged"))[0].error?.code, 403, `say ${channel} in /admin`);
    for (const operation of [{ type: "subscribe", channel }, { type: "publish", channel, data: "forged" }]) {
      await native.refused(403, operation);
      await binary.refused(403, operation, { encode });
    }
    for (const spelled of [`/#${channel}`, `/admin#${channel}`]) {
      await native.refused(403, { type: "subscribe", channel: spelled });
      await native.refused(403, { type: "publish", channel: spelled, data: "forged" });
      assert.equal((await ask(bobs[0], "join", spelled))[0].error?.code, 403, spelled);
      assert.equal((await ask(admin, "join", spelled))[0].error?.code, 403, spelled);
    }
  }
  await native.refused(403, { type: "presence", channel: "portfolio:alice" });
  await binary.refused(403, { type: "presence", channel: "portfolio:alice" }, { encode });
  // Batches of both forms: each of them is judged by itself.
  const batch = rooms.flatMap((channel, i) => [{ type: "subscribe", channel, id: 100 + 2 * i }, { type: "publish", channel, data: "forged", id: 101 + 2 * i }]);
  for (const [ws, frame] of [[native, JSON.stringify(batch)], [binary, encodeBatch(batch)]]) {
    ws.send(frame);
    for (const { id } of batch) {
      const answer = await ws.next((message) => message.id === id);
      assert.deepEqual([answer.type, answer.code], ["error", 403], `${id} of a batch`);
    }
  }
  // Odd names that become such a room once they are read: escapes, a number, an object.
  for (const room of ["*", "user:alice", "user:", ["portfolio:alice"], { toString: "vip" }, null]) {
    assert.ok([400, 403].includes((await ask(bobs[0], "join", room))[0].error?.code), JSON.stringify(room));
  }
  raw.send('"forged by raw"');
  // What is said in them still reaches who may be there, and nobody else.
  assert.equal((await ask(await client({ user: "carol" }), "subscribe:watchlist", { symbol: "Y" }))[0], "in");
  for (const socket of bobs) socket.emit("public", "fence");
  const backend = await broker.get("/health");
  assert.equal(backend.status, 200);
  alice.emit("public", "done");
  assert.deepEqual(await ask(alice, "vip"), ["in"]);
  assert.deepEqual(alice.heard.filter(([name]) => name !== "error"), [], "nothing forged arrived");
  assert.deepEqual(foreign.filter(([name]) => name !== "error"), []);
});

// Whatever a name is made of: the client's word before the first colon leads to the policy of what it named.
testRules("what a room is called by the event, the namespace or another room is the client's word", {
  "permissions.direct": "none",
  "socketio.namespaces": ["/", "/say"],
  event: [
    { on: "mine", who: "user", join: ["mine:{user.id}"], ack: ["in"] },
    { on: "join", join: ["{args.0}"], ack: ["in"] },
    { on: "fence", ack: ["fence"] },
    { on: "room:*", who: "user", join: ["{event}"], ack: ["in"] },
    { on: "*", join: ["{event}"], ack: ["in"] },
    { on: "*", nsp: "/say", emit: [{ to: "{event}", event: "said", args: ["{args.0}"] }], ack: ["sent"] },
    { on: "disconnect", each: "follow@{target}", emit: [{ to: "{room.target}", event: "said", args: ["forged"] }] },
    { on: "disconnect", each: "spy@{target}", emit: [{ to: "lobby", event: "spied", args: ["{users:{room.target}}"] }] },
    { on: "disconnect", each: "{any}", emit: [{ to: "{room}:alice", event: "said", args: ["forged"] }] },
  ],
}, async (broker, client) => {
  const alice = await client({ user: "alice" });
  assert.deepEqual(await ask(alice, "mine"), ["in"]);
  const say = await client({ user: "bob", nsp: "/say" });
  const lobby = await client();
  assert.deepEqual(await ask(lobby, "join", "lobby"), ["in"]);
  for (const transports of Object.values(TRANSPORTS)) {
    const bob = await client({ user: "bob", transports });
    for (const event of ["mine:alice", "user:alice", alice.id]) assert.equal((await ask(bob, event))[0].error?.code, 403, event);
    for (const event of ["mine:alice", "user:alice", "*", alice.id]) assert.equal((await ask(say, event, "forged"))[0].error?.code, 403, event);
    assert.deepEqual(await ask(bob, "room:1"), ["in"], "its beginning is the row's own");
    assert.deepEqual(await ask(bob, "elsewhere"), ["in"]);
    for (const room of ["follow@mine:alice", "spy@mine:alice", `follow@${alice.id}`, "follow@user:alice", "mine"]) assert.deepEqual(await ask(bob, "join", room), ["in"], room);
    bob.close();
  }
  const native = await broker.connect({ path: "/ws?user=bob" });
  await native.refused(403, { type: "subscribe", channel: "room:1" });
  await until("all have gone", async () => (await broker.metrics())("ws_connections_total") === 4);
  assert.deepEqual(await ask(alice, "fence"), ["fence"]);
  assert.deepEqual(await ask(lobby, "fence"), ["fence"]);
  assert.deepEqual([alice.heard, lobby.heard.filter(([name]) => name !== "error")], [[], []]);
});

// A session's id has 20 characters, and so have rooms of applications: excalidraw's are of hexadecimal digits.
testRules("rooms with the length of a session's id, and the rooms of sockets", { ...excalidrawRows(), "permissions.direct": "none" }, async (broker, client) => {
  const [a, b] = [await client(), await client()];
  for (const room of ["0123456789abcdef0123", "AAAAAAAAAAAAAAAAAAAA"]) {
    for (const socket of [a, b]) assert.deepEqual(await ask(socket, "join", room), ["in"]);
    assert.deepEqual(await ask(a, "say", room, 1), ["sent"]);
    assert.deepEqual(await hears(b, "said"), [1]);
    b.heard.splice(0);
  }
  const native = await broker.connect();
  await native.subscribe("0123456789abcdef0123");
  assert.equal((await ask(a, "join", b.id))[0].error.code, 403);
  assert.equal((await ask(a, "say", b.id, "forged"))[0].error.code, 403);
  for (const type of ["subscribe", "publish", "presence"]) assert.ok([403, 501].includes((await native.request({ type, channel: b.id, data: "forged" })).code), type);
  await native.refused(403, { type: "subscribe", channel: b.id });
  assert.deepEqual(b.heard, []);
});

/* --- who is in a room ---------------------------------------------------------------------------------------------------- */

// The official chat example's index.js, row by row.
const chat = {
  event: [
    { on: "add user", set: { username: "{args.0}" }, join: ["#chat"], emit: [
      { event: "login", args: [{ numUsers: "{count:#chat}" }] },
      { to: "*", others: true, event: "user joined", args: [{ username: "{client.username}", numUsers: "{count:#chat}" }] }] },
    { on: "new message", inside: "#chat", emit: [{ to: "*", others: true, args: [{ username: "{client.username}", message: "{args.0}" }] }] },
    { on: "typing", emit: [{ to: "*", others: true, args: [{ username: "{client.username}" }] }] },
    { on: "disconnect", each: "#chat", emit: [{ to: "*", event: "user left", args: [{ username: "{client.username}", numUsers: "{count:#chat}" }] }] },
  ],
};

for (const workers of [1, 4]) {
  testRules(`the official chat counts its users, on ${workers} workers`, chat, async (broker, client) => {
    const sockets = [];
    const onlooker = await client();
    for (let i = 0; i < 16; i++) {
      const socket = await client({ transports: [["websocket"], ["polling"]][i % 2], ...(i % 3 ? {} : { parser }) });
      socket.emit("add user", `u${i}`);
      assert.deepEqual(await hears(socket, "login"), [{ numUsers: i + 1 }]);
      sockets.push(socket);
      assert.deepEqual(await until("the onlooker hears of it", () => onlooker.heard.find(([name, told]) => name === "user joined" && told.username === `u${i}`)),
        ["user joined", { username: `u${i}`, numUsers: i + 1 }]);
    }
    sockets[3].emit("typing");
    assert.deepEqual(await hears(onlooker, "typing"), [{ username: "u3" }]);
    for (let left = 15; left >= 0; left--) {
      sockets[left].close();
      assert.deepEqual(await until("the onlooker hears that it left", () => onlooker.heard.find(([name, told]) => name === "user left" && told.username === `u${left}`)),
        ["user left", { username: `u${left}`, numUsers: left }]);
    }
  }, workers);
}

/* However a client ends, its rows of "disconnect" know its rooms, and so does a backend: with a close frame, too, after which it is in none. */
const WAYS = {
  "of its own namespace": (socket) => socket.close(),
  "by Engine.IO's close": (socket) => socket.io.engine.close(),
  "by a close frame": (socket) => socket.io.engine.transport.ws.close(),
  "by a close frame behind its last words": (socket) => {
    for (const event of ["say", "say", "say"]) socket.emit(event, "bye");
    socket.io.engine.transport.ws.close();
  },
  "without a word": (socket) => socket.io.engine.transport.ws.terminate(),
  "by a packet that is none": (socket) => socket.io.engine.transport.ws.send("zzz"),
  "by the API": (socket, broker) => broker.get("/api/disconnect", { method: "POST", headers: { authorization: "Bearer key-of-the-tests" }, body: JSON.stringify({ user: socket.user }) }),
  "by its row": (socket) => socket.emit("send me away"),
};
const REASONS = /^(transport close|client namespace disconnect|server namespace disconnect|parse error|forced close)$/;

for (const workers of [1, 2]) {
  let backend;
  testRules(`what it was in is known when a client has gone, whichever way, on ${workers} workers`, async () => {
    backend = await startBackend({});
    return {
      "debug.user_query": "user", "socketio.path": "/socket.io/", "http.api_keys": ["key-of-the-tests"],
      backend: [table(backend, { calls: ["disconnect"] })],
      event: [
        { on: "enter", join: ["doc-{args.0}", "hall"], ack: ["in"] },
        { on: "say", inside: "hall", emit: [{ to: "hall", others: true }] },
        { on: "send me away", close: true },
        { on: "disconnect", each: "doc-{id}", emit: [{ to: "*", event: "left", args: ["{room.id}", "{user.id}", "{count:{room}}", "{args.0}"] }] },
        { on: "disconnect", emit: [{ to: "*", event: "gone", args: ["{user.id}"] }] },
      ],
    };
  }, async (broker, client) => {
    try {
      const onlooker = await client({ user: "onlooker" });
      assert.deepEqual(await ask(onlooker, "enter", 7), ["in"]);
      for (const [how, end] of Object.entries(WAYS)) {
        const socket = await client({ user: how });
        socket.user = how;
        assert.deepEqual(await ask(socket, "enter", 7), ["in"]);
        const sid = socket.id;
        await end(socket, broker);
        const [, id, , count, reason] = await until(`they hear that it left ${how}`, () => onlooker.heard.find(([name, , user]) => name === "left" && user === how));
        assert.deepEqual([id, count], ["7", 1], how);
        assert.match(reason, REASONS, how);
        await until(`they hear that it went ${how}`, () => onlooker.heard.some(([name, user]) => name === "gone" && user === how));
        const call = await until(`the backend hears of it ${how}`, () => backend.calls.flatMap(({ calls }) => calls ?? []).find((one) => one.sid === sid));
        assert.deepEqual(call.rooms.filter((room) => !room.startsWith("user:")).sort(), ["doc-7", "hall"], how);
      }
      // A native client that says good-bye.
      const native = await broker.connect({ path: "/ws?user=native" });
      await native.subscribe("prices:x");
      await native.close();
      const call = await until("the backend hears of it", () => backend.calls.flatMap(({ calls }) => calls ?? []).find(({ user }) => user?.id === "native"));
      assert.ok(call.rooms.includes("prices:x"), JSON.stringify(call));
      const told = backend.calls.flatMap(({ calls }) => calls ?? []);
      assert.equal(told.filter(({ user }) => user?.id === "native").length, 1);
      for (const how of Object.keys(WAYS)) {
        assert.equal(told.filter(({ user }) => user?.id === how).length, 1, `once ${how}`);
        assert.equal(onlooker.heard.filter(([name, , user]) => name === "left" && user === how).length, 1, `once ${how}`);
      }
    } finally {
      await backend.stop();
    }
  }, workers);
}

// excalidraw-room's, but for its volatile and binary events.
const excalidraw = {
  "permissions.direct": "anyone",
  namespace: [{ name: "default", publish: "member", presence: true }],
  event: [
    { on: "connect", emit: [{ event: "init-room" }] },
    { on: "join-room", join: ["{args.0}"], emit: [
      { event: "first-in-room", args: [], when: "alone:{args.0}" },
      { to: "{args.0}", others: true, event: "new-user", args: ["{sid}"], when: "company:{args.0}" },
      { to: "{args.0}", event: "room-user-change", args: ["{members:{args.0}}"] }] },
    { on: "server-broadcast", emit: [{ to: "{args.0}", others: true, event: "client-broadcast", args: ["{args.1}", "{args.2}"] }] },
    { on: "user-follow", match: { "args.0.action": "FOLLOW" }, join: ["follow@{args.0.userToFollow.socketId}"],
      emit: [{ to: "{args.0.userToFollow.socketId}", event: "user-follow-room-change", args: ["{members:follow@{args.0.userToFollow.socketId}}"] }] },
    { on: "disconnect", each: "follow@{target}", emit: [{ to: "{room.target}", event: "broadcast-unfollow", when: "alone:{room}" }] },
    { on: "disconnect", each: "{any}", emit: [{ to: "{room}", event: "room-user-change", args: ["{members:{room}}"] }] },
  ],
};

testRules("excalidraw-room: first, members, followers, and who is left, on four workers", excalidraw, async (broker, client) => {
  const sockets = [];
  const members = () => sockets.map(({ id }) => id).sort();
  const change = (socket, ids, name = "room-user-change") => until(`it hears of ${ids.length} in ${name}`, () =>
    socket.heard.some(([event, list]) => event === name && JSON.stringify([...list].sort()) === JSON.stringify(ids)));
  for (let i = 0; i < 8; i++) {
    const socket = await client();
    await hears(socket, "init-room");
    sockets.push(socket);
    socket.emit("join-room", "secret-room");
    for (const one of sockets) await change(one, members());
    if (i > 0) assert.deepEqual(await hears(sockets[0], "new-user") && sockets[0].heard.filter(([name]) => name === "new-user").at(-1)[1], socket.id);
  }
  assert.deepEqual(sockets.map(({ heard }) => heard.filter(([name]) => name === "first-in-room").length), [1, 0, 0, 0, 0, 0, 0, 0]);
  const [a, b, c] = sockets;
  const outsider = await client();
  assert.ok(!outsider.heard.some(([name]) => name === "room-user-change"));
  b.emit("user-follow", { action: "FOLLOW", userToFollow: { socketId: a.id, username: "a" } });
  await change(a, [b.id], "user-follow-room-change");
  c.emit("user-follow", { action: "FOLLOW", userToFollow: { socketId: a.id, username: "a" } });
  await change(a, [b.id, c.id].sort(), "user-follow-room-change");
  a.emit("server-broadcast", "secret-room", { big: 1 }, "iv");
  assert.deepEqual(await hears(b, "client-broadcast"), [{ big: 1 }, "iv"]);
  outsider.emit("server-broadcast", "secret-room", "forged", "iv");
  assert.deepEqual(await hears(outsider, "error"), [{ code: 403, message: "you may not use this room" }]);
  b.close();
  sockets.splice(1, 1);
  await change(a, members());
  assert.ok(!a.heard.some(([name]) => name === "broadcast-unfollow"), "c still follows");
  c.close();
  sockets.splice(1, 1);
  await change(a, members());
  await hears(a, "broadcast-unfollow");
}, 4);

// Several rows of connect, each of which waits for an answer, and one behind them that needs what they did not.
testRules("rows of connect ask one after the other", {
  event: [
    { on: "connect", join: ["lobby"], emit: [{ event: "first", args: ["{count:lobby}", "{user.id}"] }] },
    { on: "connect", set: { n: "{now_ms}" }, emit: [{ event: "second", args: ["{users:lobby}", "{client.n}"] }] },
    { on: "connect", emit: [{ event: "third", args: ["{client.n}", "{count:*}"] }] },
  ],
}, async (broker, client) => {
  for (let i = 1; i <= 6; i++) {
    const socket = await client({ user: `u${i}`, transports: [["websocket"], ["polling"]][i % 2] });
    assert.deepEqual(await hears(socket, "first"), [i, `u${i}`]);
    const [users, n] = await hears(socket, "second");
    assert.deepEqual(users, Array.from({ length: i }, (_, j) => `u${j + 1}`));
    assert.deepEqual(await hears(socket, "third"), [n, i]);
    assert.deepEqual(socket.heard.map(([name]) => name), ["first", "second", "third"]);
  }
}, 4);

testRules("who names a room sees who is in it as its namespace says; users are told once each", {
  namespace: [{ name: "closed", subscribe: "user", presence_who: "none" }, { name: "own", presence_who: "member" }],
  event: [
    { on: "join", join: ["{args.0}"], ack: ["in"] },
    { on: "look", ack: ["{count:{args.0}}", "{users:{args.0}}"] },
    { on: "all", ack: ["{count:*}", "there are {count:*}", { list: ["{users:lobby}"] }] },
  ],
}, async (broker, client) => {
  const sockets = [await client({ user: "b" }), await client({ user: "a" }), await client({ user: "b" }), await client()];
  for (const socket of sockets) for (const room of ["lobby", "own:x"]) assert.deepEqual(await ask(socket, "join", room), ["in"]);
  assert.deepEqual(await ask(sockets[0], "join", "closed:x"), ["in"]);
  const outsider = await client({ user: "c" });
  assert.deepEqual(await ask(outsider, "look", "lobby"), [4, ["a", "b"]]);
  assert.deepEqual(await ask(outsider, "look", "nowhere"), [0, []]);
  assert.deepEqual(await ask(sockets[3], "look", "own:x"), [4, ["a", "b"]]);
  assert.equal((await ask(outsider, "look", "own:x"))[0].error.code, 403);
  assert.equal((await ask(sockets[0], "look", "closed:x"))[0].error.code, 403);
  assert.equal((await ask(outsider, "look", "user:a"))[0].error.code, 403);
  assert.deepEqual(await ask(outsider, "all"), [5, "there are 5", { list: [["a", "b"]] }]);
  const native = await broker.connect();
  await native.subscribe("lobby");
  assert.deepEqual(await ask(outsider, "look", "lobby"), [5, ["a", "b"]], "clients of other protocols count");
}, 4);

testRules("rows are changed by a reload under clients, who stay; a wrong file changes nothing, and is told with its line and column", {
  event: [{ on: "which", ack: ["before"] }, { on: "join", join: ["{args.0}"], ack: ["in"] }], namespace: [{ name: "vault" }],
}, async (broker, client) => {
  const reload = async (config) => {
    broker.writeConfig(config);
    return run(["reload", "-c", broker.configPath], { env: broker.env });
  };
  const sockets = [await client({ user: "alice" }), await client({ user: "bob", transports: ["polling"] })];
  const native = await broker.connect();
  await native.subscribe("vault:1");
  for (const socket of sockets) {
    assert.deepEqual(await ask(socket, "join", "vault:2"), ["in"]);
    assert.deepEqual(await ask(socket, "which"), ["before"]);
  }
  const wrong = await reload('[socketio]\n\n[[event]]\non = "which"\nack = ["{arg.0}"]\n');
  assert.notEqual(wrong.code, 0);
  assert.match(wrong.stderr, /:5:8: .*no such value: \{arg\.0\}/);
  for (const socket of sockets) assert.deepEqual(await ask(socket, "which"), ["before"]);

  // Another answer; a row that is new; one that guards a namespace, which was anybody's; one that is no more.
  const event = [{ on: "which", ack: ["after"] }, { on: "open", who: { id: "alice" }, join: ["vault:{user.id}"], ack: ["opened"] }];
  const right = await reload({ ...broker.config, event });
  assert.equal(right.code, 0, right.stderr);
  for (const [i, socket] of sockets.entries()) {
    assert.deepEqual(await ask(socket, "which"), ["after"]);
    const [answer] = await ask(socket, "open");
    assert.equal(i === 0 ? answer : answer.error.code, i === 0 ? "opened" : 403);
    socket.emit("join", "vault:alice", () => assert.fail("no row takes it"));
  }
  await native.refused(403, { type: "subscribe", channel: "vault:alice" });
  await native.refused(403, { type: "publish", channel: "vault:1", data: "forged" });
  for (const socket of sockets) assert.deepEqual(await ask(socket, "which"), ["after"]);
  assert.ok(sockets.every(({ connected }) => connected) && !native.isClosed);
  const metrics = await broker.metrics();
  assert.equal(metrics('ringcast_reloads_total{result="applied"}'), 1);
  const counted = (row, on, result) => metrics(`ringcast_event_rows_total{row="${row}",nsp="/",on="${on}",result="${result}"}`);
  assert.deepEqual([counted(1, "which", "done"), counted(2, "open", "done"), counted(2, "open", "who")], [8, 1, 1], "a row keeps its numbers");
  assert.ok(!/ringcast_event_rows_total\{.*on="join"/.test(metrics.text));
});
