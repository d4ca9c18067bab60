// The Pusher Channels protocol with the real clients and server SDK: channels, authorisation, events, what is refused.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { startBackend, table } from "./lib/backend.mjs";
import { run, testBroker } from "./lib/broker.mjs";
import { ask, come } from "./lib/hook.mjs";
import { APP, OTHER, nacl, connectPusher, connectPusherTo, event, makeClient, pusherConfig, refused, sdk, subscribe } from "./lib/pusher.mjs";
import { connect } from "./lib/client.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { until, within } from "./lib/util.mjs";
import WebSocket from "ws";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
let backend;

/* A bare connection that speaks the protocol: {say, next}. */
async function bare(broker, path) {
  const ws = new WebSocket(`ws://${broker.host}${path}`);
  const got = [];
  const closed = new Promise((done) => ws.on("close", (code, reason) => done({ code, reason: String(reason) })));
  ws.on("message", (text) => got.push(JSON.parse(text)));
  broker.keep({ closed, terminate: () => ws.terminate() });
  await within(5000, new Promise((done, failed) => ws.on("open", done).on("error", failed)), "open");
  let at = 0;
  return { ws, closed, say: (message) => ws.send(typeof message === "string" ? message : JSON.stringify(message)), next: () => until("a message", () => got[at] && got[at++]), got };
}

testBroker("closing: the client's own code comes back as it was, the server's are the protocol's, also in the list of who has gone", {
  workers: 1, config: pusherConfig([APP], { "limits.byte_rate": "10KiB", "limits.rate_policy": "close" }),
}, async (broker) => {
  const codes = async () => JSON.parse((await run(["clients", "--closed", "--json", "-c", broker.configPath], { env: broker.env })).stdout).closed.map(({ code }) => code);
  const expected = [];
  for (const code of [1000, 1008, 1011, 1012, 1013, 3000, 4000, 4401, 4500]) {
    const client = await bare(broker, "/app/app-key?protocol=7");
    client.ws.close(code, "mine");
    assert.equal((await client.closed).code, code, "as RFC 6455 5.5.1 says");
    expected.push(code);
  }
  const fast = await bare(broker, "/app/app-key?protocol=7");
  for (let i = 0; i < 20; i++) fast.say({ event: "pusher:ping", data: "x".repeat(2000) });
  assert.equal((await fast.closed).code, 4009, "too many bytes: it does not come back");
  const stranger = await bare(broker, "/app/app-key?protocol=7");
  stranger.say({ event: "pusher:signin", data: { auth: "app-key:00", user_data: "{}" } });
  assert.equal((await stranger.closed).code, 4009);
  expected.push(4009, 4009);
  await until("all are in the list", async () => (await codes()).length === expected.length);
  assert.deepEqual((await codes()).sort((a, b) => a - b), expected.sort((a, b) => a - b));
});

testBroker("a public channel: events of the server SDK, left out by socket id", { config: pusherConfig() }, async (broker) => {
  const server = sdk(broker);
  const one = await connectPusherTo(broker, 0);
  const two = await connectPusherTo(broker, 1);
  assert.match(one.connection.socket_id, /^\d+\.\d+$/);
  const [first, second] = [await subscribe(one, "news"), await subscribe(two, "news")];
  await server.trigger("news", "posted", { title: "hello \u00e4 \"quoted\"" });
  assert.deepEqual(await event(first, "posted"), { title: "hello \u00e4 \"quoted\"" });
  assert.deepEqual(await event(second, "posted"), { title: "hello \u00e4 \"quoted\"" });
  await server.trigger("news", "others", 1, { socket_id: one.connection.socket_id });
  await server.trigger(["news", "else"], "all", "text");
  assert.equal(await event(first, "all"), "text");
  assert.equal(await event(second, "others"), 1);
  assert.ok(!first.got.some(([name]) => name === "others"), "it was left out");
  two.unsubscribe("news");
  await server.triggerBatch([{ channel: "news", name: "b1", data: { n: 1 } }, { channel: "news", name: "b2", data: "x", socket_id: two.connection.socket_id }]);
  await event(first, "b2");
  assert.deepEqual(first.got.map(([name]) => name).filter((name) => name.startsWith("b")), ["b1", "b2"]);
  assert.ok(!second.got.some(([name]) => name === "b1"), "it has left the channel");
});

testBroker("handshake: what is refused, with which code", { config: pusherConfig() }, async (broker) => {
  for (const [path, code] of [["/app/nobody?protocol=7", 4001], ["/app/app-key", 4008], ["/app/app-key?protocol=x", 4006], ["/app/app-key?protocol=3", 4007], ["/app/?protocol=7", 4001]]) {
    const client = await bare(broker, path);
    const message = await client.next();
    assert.deepEqual([message.event, message.data.code, typeof message.data.message], ["pusher:error", code, "string"], path);
    assert.equal((await client.closed).code, code, path);
  }
  const client = await bare(broker, "/app/app-key?protocol=7&client=js&version=8");
  const welcome = await client.next();
  assert.equal(welcome.event, "pusher:connection_established");
  assert.deepEqual(Object.keys(JSON.parse(welcome.data)), ["socket_id", "activity_timeout"]);
  assert.equal(JSON.parse(welcome.data).activity_timeout, 120);
  client.say({ event: "pusher:ping", data: {} });
  assert.deepEqual(await client.next(), { event: "pusher:pong", data: "{}" });
  // What makes no sense is answered, and the connection stays.
  for (const text of ["nonsense", "[]", "{}", '{"event":1}', '{"event":"pusher:subscribe"}', '{"event":"pusher:subscribe","data":{}}', '{"event":"pusher:what"}', '{"event":"client-x","data":{}}', '{"event":"pusher:signin","data":"{"}']) {
    client.say(text);
    const answer = await client.next();
    assert.deepEqual([answer.event, answer.data.code], ["pusher:error", null], text);
  }
  client.ws.send(Buffer.from([1, 2]));
  assert.equal((await client.next()).event, "pusher:error");
  for (const name of ["with space", "a:b", "x".repeat(165), "ä"]) {
    client.say({ event: "pusher:subscribe", data: { channel: name } });
    const answer = await client.next();
    assert.deepEqual([answer.event, answer.data.status], ["pusher:subscription_error", 400], name);
  }
  client.say({ event: "pusher:subscribe", data: { channel: "x".repeat(164) } });
  assert.deepEqual(await client.next(), { event: "pusher_internal:subscription_succeeded", channel: "x".repeat(164), data: "{}" });
  client.say({ event: "pusher:subscribe", data: { channel: "x".repeat(164) } });
  assert.match((await client.next()).data.message, /Existing subscription/);
});

testBroker("private channels need the app's signature", { config: pusherConfig([{ ...APP, client_events: true }, { ...OTHER }]) }, async (broker) => {
  const client = await connectPusher(broker);
  await subscribe(client, "private-a");
  // A signature of another secret, of another socket, of another channel, none.
  const socketId = client.connection.socket_id;
  const forged = [sdk(broker, { ...APP, secret: "another-secret" }).authorizeChannel(socketId, "private-b").auth, sdk(broker).authorizeChannel("1.2", "private-b").auth, sdk(broker).authorizeChannel(socketId, "private-c").auth, `other-key:${sdk(broker, OTHER).authorizeChannel(socketId, "private-b").auth.split(":")[1]}`, "", "app-key:", "x"];
  for (const auth of forged) {
    const stranger = await connectPusher(broker, { channelAuthorization: { customHandler: (_, done) => done(null, { auth }) } });
    stranger.connection.socket_id = socketId;
    const error = await refused(stranger, "private-b");
    assert.deepEqual([error.type, error.status], ["AuthError", 401]);
    stranger.disconnect();
  }
  const broken = await connectPusher(broker, { channelAuthorization: { customHandler: ({ socketId: id, channelName }, done) => done(null, { ...sdk(broker).authorizeChannel(id, channelName, { user_id: "1" }), channel_data: '{"user_id":"2"}' }) } });
  assert.equal((await refused(broken, "presence-x")).status, 401);
  assert.equal((await broker.metrics())("ringcast_pusher_unauthorized_total"), forged.length + 1);
});

testBroker("client events: to the others alone, bounded, and only where they may be", { config: pusherConfig([{ ...APP, client_events: true, client_event_rate: "3/60s", max_event_size: "1KiB" }]) }, async (broker) => {
  const [one, two] = [await connectPusherTo(broker, 0, { user: "u1" }), await connectPusherTo(broker, 1, { user: "u2" })];
  const [first, second] = [await subscribe(one, "private-room"), await subscribe(two, "private-room")];
  assert.ok(first.trigger("client-typing", { on: true }));
  assert.deepEqual(await event(second, "client-typing"), { on: true });
  const [p1, p2] = [await subscribe(one, "presence-room"), await subscribe(two, "presence-room")];
  const metadata = new Promise((done) => p2.bind("client-hi", (data, meta) => done([data, meta])));
  p1.trigger("client-hi", "text");
  assert.deepEqual(await within(5000, metadata, "client-hi"), ["text", { user_id: "u1" }]);
  assert.ok(![...first.got, ...p1.got].some(([name]) => name.startsWith("client-")), "never to who sent it");
  // Of three in a minute one is left.
  first.trigger("client-typing", 3);
  first.trigger("client-typing", 4);
  const error = await until("an error", () => one.errors.find((found) => found.data?.code === 4301 || found.error?.data?.code === 4301));
  assert.ok(error);
  await until("the third came", () => second.got.filter(([name]) => name === "client-typing").length === 2);
  // Refused: too large, a public channel, not subscribed.
  const other = await connectPusher(broker);
  const sends = [["private-room", "client-x", "x"], ["public", "client-x", "x"]];
  const own = await subscribe(other, "public");
  for (const [channel, name, data] of sends) other.send_event(name, data, channel);
  const third = await subscribe(other, "private-room");
  other.send_event("client-big", "x".repeat(2000), "private-room");
  await until("three errors", () => other.errors.length === 3);
  assert.deepEqual([own.got.length, third.got.filter(([name]) => name !== "pusher:subscription_succeeded").length], [1, 0]);
});

testBroker("client events are off unless the app has them", { config: pusherConfig([{ ...APP }]) }, async (broker) => {
  const client = await connectPusher(broker);
  const channel = await subscribe(client, "private-room");
  channel.trigger("client-x", 1);
  await until("an error", () => client.errors.length === 1);
});

testBroker("cache channels: the last event first, or a miss", { config: pusherConfig() }, async (broker) => {
  const server = sdk(broker);
  for (const name of ["cache-c", "private-cache-c", "presence-cache-c"]) {
    const early = await connectPusher(broker, { user: "e" });
    const missed = await subscribe(early, name);
    await event(missed, "pusher:cache_miss");
    await server.trigger(name, "score", { n: 1 });
    await server.trigger(name, "score", { n: 2 });
    await until("both came", () => missed.got.filter(([found]) => found === "score").length === 2);
    const late = await connectPusherTo(broker, 1, { user: "l" });
    const channel = await subscribe(late, name);
    assert.deepEqual(await event(channel, "score"), { n: 2 });
    assert.ok(!channel.got.some(([found]) => found === "pusher:cache_miss"));
    const told = await (await server.get({ path: `/channels/${name}`, params: { info: "cache" } })).json();
    assert.deepEqual(told, { occupied: true, cache: { event: "score", data: '{"n":2}' } });
    early.disconnect();
    late.disconnect();
  }
  const of = async (name) => (await server.get({ path: `/channels/${name}`, params: { info: "subscription_count,cache" } })).json();
  assert.deepEqual(await of("cache-none"), { occupied: false, subscription_count: 0 }, "it has none");
  await server.trigger("cache-text", "said", "it \"is\" text");
  assert.deepEqual((await of("cache-text")).cache, { event: "said", data: 'it "is" text' });
  // Of others there is no such thing, nor of many at once.
  for (const [path, params] of [["/channels/room", { info: "cache" }], ["/channels", { info: "cache" }]]) {
    await assert.rejects(server.get({ path, params }), ({ status }) => status === 400, path);
  }
});

testBroker("authorized connections: who neither signs in nor joins a private channel in time is sent away", { workers: 2, timeout: 60000, config: pusherConfig([{ ...APP, authorize_within: "5s" }, { ...OTHER }]) }, async (broker) => {
  const silent = async () => {
    const client = await bare(broker, "/app/app-key?protocol=7");
    await client.next();
    client.say({ event: "pusher:subscribe", data: { channel: "news" } });
    assert.equal((await client.next()).event, "pusher_internal:subscription_succeeded", "what is public is no authorisation");
    return client;
  };
  const ends = async (client) => {
    assert.deepEqual((await until("an error", () => client.got.find(({ event }) => event === "pusher:error"))).data, { code: 4009, message: "connection not authorized within timeout" });
    assert.equal((await client.closed).code, 4009);
  };
  const member = await connectPusher(broker);
  await subscribe(member, "private-room");
  const user = await connectPusher(broker, { user: "42" });
  user.signin();
  await within(10000, user.user.signinDonePromise, "signed in");
  const elsewhere = await bare(broker, "/app/other-key?protocol=7");
  await elsewhere.next();
  // They came before: their time was over first.
  await ends(await silent());
  const wrong = await silent();
  wrong.say({ event: "pusher:subscribe", data: { channel: "private-room", auth: "app-key:00" } });
  assert.equal((await wrong.next()).event, "pusher:subscription_error");
  await ends(wrong);
  // Another process goes on with the time that it has left.
  const [before, kept] = [await silent(), await connectPusher(broker)];
  await subscribe(kept, "private-room");
  const { code, stderr } = await run(["handover", "-c", broker.configPath], { env: broker.env, timeout: 30000 });
  assert.equal(code, 0, stderr);
  await ends(before);
  await until("the log has all", () => broker.log.filter((line) => line.includes("pusher_unauthorized")).length === 3);
  assert.equal((await broker.metrics())("ringcast_pusher_unauthorized_total"), 4, "and the wrong signature");
  for (const client of [member, user, kept]) assert.equal(client.connection.state, "connected");
  assert.equal(elsewhere.ws.readyState, WebSocket.OPEN);
});

testBroker("encrypted channels: what the server cannot read goes through", { config: pusherConfig() }, async (broker) => {
  const encryptionMasterKeyBase64 = Buffer.alloc(32, 7).toString("base64");
  const client = await connectPusher(broker, { nacl, server: { encryptionMasterKeyBase64 } });
  const channel = await subscribe(client, "private-encrypted-a");
  await sdk(broker, APP, { encryptionMasterKeyBase64 }).trigger("private-encrypted-a", "secret", { n: 1 });
  assert.deepEqual(await event(channel, "secret"), { n: 1 });
});

testBroker("signing in: events for a user, terminated by the server", { config: pusherConfig([{ ...APP }, { ...OTHER }]) }, async (broker) => {
  const server = sdk(broker);
  const one = await connectPusherTo(broker, 0, { user: "42", info: { name: "x" } });
  const two = await connectPusherTo(broker, 1, { user: "42" });
  const other = await connectPusher(broker, { user: "42", app: OTHER });
  const got = [];
  for (const [index, client] of [one, two, other].entries()) {
    const done = new Promise((ready) => client.user.bind_global(() => {}) && ready);
    client.user.bind("news", (data) => got.push([index, data]));
    client.signin();
    await until("signed in", () => client.seen.some(([name]) => name === "pusher:signin_success"));
    void done;
  }
  assert.equal(one.user.user_data.name, "x");
  await server.sendToUser("42", "news", { n: 1 });
  await until("both of this app", () => got.length === 2);
  assert.deepEqual(got.map(([index]) => index).sort(), [0, 1]);
  // Names that cannot be: it is told of the name that was asked for.
  const invalid = await bare(broker, "/app/app-key?protocol=7");
  await invalid.next();
  for (const channel of ["a:b", "user:42", "a b"]) {
    invalid.say({ event: "pusher:subscribe", data: { channel } });
    const told = await invalid.next();
    assert.deepEqual([told.event, told.channel], ["pusher:subscription_error", channel]);
  }
  // Not that user's channel, whoever asks for it.
  const stranger = await bare(broker, "/app/app-key?protocol=7");
  await stranger.next();
  stranger.say({ event: "pusher:subscribe", data: { channel: "#server-to-user-42" } });
  assert.equal((await stranger.next()).event, "pusher:subscription_error");
  stranger.say({ event: "pusher:signin", data: { auth: "app-key:00", user_data: '{"id":"42"}' } });
  assert.equal((await stranger.next()).data.code, 4009);
  assert.equal((await stranger.closed).code, 4009);
  const closes = [one, two].map((client) => new Promise((done) => client.connection.bind("state_change", ({ current }) => current !== "connected" && done(current))));
  await server.terminateUserConnections("42");
  for (const close of closes) await within(5000, close, "it is sent away");
  assert.equal(other.connection.state, "connected");
  // An id may have whatever a JSON string may: the SDK signs the path before it is escaped on its way, who escapes it first signs that.
  const path = (id) => server.post({ path: `/users/${encodeURIComponent(id)}/terminate_connections`, body: {} });
  for (const [id, end] of [["org/42 %2F", path], ["zoë k.", path], ["zoë k.", (name) => server.terminateUserConnections(name)]]) {
    const client = await connectPusher(broker, { user: id });
    client.signin();
    await until("signed in", () => client.seen.some(([name]) => name === "pusher:signin_success"));
    const closed = new Promise((done) => client.connection.bind("state_change", ({ current }) => current !== "connected" && done(current)));
    assert.equal((await end(id)).status, 200, id);
    await within(5000, closed, "it is sent away");
  }
});

testBroker("apps are apart from each other, and from other clients", { config: pusherConfig([{ ...APP }, { ...OTHER, channels: "plain" }]) }, async (broker) => {
  const mine = await subscribe(await connectPusher(broker), "room");
  const plain = await subscribe(await connectPusher(broker, { app: OTHER }), "room");
  const native = broker.keep(await connect(`ws://${broker.host}/ws`));
  await native.refused(403, { type: "subscribe", channel: "pusher-7:room" });
  await native.refused(403, { type: "publish", channel: "pusher-7:room", data: 1 });
  await native.refused(403, { type: "subscribe", channel: "private-room" });
  // What the library of Pusher's clients carries out by itself is not for other clients to say.
  for (const name of ["pusher:signin_success", "pusher_internal:member_added", "disconnect"]) await native.refused(400, { type: "publish", channel: "room", event: name, data: 1 });
  await native.subscribe("room");
  await sdk(broker, OTHER).trigger("room", "e", { n: 1 });
  assert.deepEqual(await native.next("message"), { type: "message", channel: "room", event: "e", data: '{"n":1}' });
  assert.deepEqual(await event(plain, "e"), { n: 1 });
  await native.publish("room", { n: 2 }, { event: "native" });
  assert.deepEqual(await event(plain, "native"), { n: 2 });
  await native.publish("room", { n: 3 });
  assert.deepEqual(await event(plain, "message"), { n: 3 });
  await sdk(broker).trigger("room", "e", 9);
  assert.equal(await event(mine, "e"), 9);
  assert.deepEqual(mine.got.map(([name]) => name), ["pusher:subscription_succeeded", "e"]);
});

testBroker("a room that rows guard is no public channel of an app with plain channels", {
  workers: 2, config: pusherConfig([{ ...OTHER, channels: "plain" }], {
    "http.api_keys": ["key-of-the-tests"], "debug.user_query": "user", "socketio.path": "/socket.io/",
    event: [{ on: "enter", who: { id: "ann" }, join: ["vip", "cache-vip"], ack: ["in"] }, { on: "open", join: ["open"], ack: ["in"] }],
  }),
}, async (broker) => {
  const ann = await come(broker, { query: { user: "ann" } });
  for (const name of ["enter", "open"]) assert.deepEqual(await ask(ann, name), ["in"]);
  const client = await connectPusher(broker, { app: OTHER });
  for (const name of ["vip", "cache-vip"]) assert.equal((await refused(client, name)).status, 403, name);
  const open = await subscribe(client, "open");
  for (const channel of ["vip", "cache-vip", "open"]) {
    assert.equal((await broker.get("/api/publish", { method: "POST", headers: { authorization: "Bearer key-of-the-tests" }, body: JSON.stringify({ channel, event: "told", data: { of: channel }, retain: true }) })).status, 200);
  }
  assert.deepEqual(await event(open, "told"), { of: "open" });
  await until("ann hears all", () => ann.heard.filter(([name]) => name === "told").length === 3);
  assert.deepEqual(client.seen.filter(([name]) => name === "told"), [["told", { of: "open" }]]);
  ann.close();
});

testBroker("a connection that is given up comes back by itself", { workers: 2, config: pusherConfig([{ ...APP }], { "server.keep": "none" }) }, async (broker) => {
  const client = makeClient(broker);
  const channel = await subscribe(client, "room");
  const worker = Number((BigInt(client.connection.socket_id.split(".")[1]) >> 32n) & 0xffffn);
  const before = client.connection.socket_id;
  broker.kill("SIGKILL", worker);
  await until("another connection", () => client.connection.state === "connected" && client.connection.socket_id !== before);
  await until("it hears the channel again", async () => {
    await sdk(broker).trigger("room", "again", 1);
    return channel.got.some(([name]) => name === "again");
  });
});

// Whatever says it: a token, a proxy, an application's answer.
testBroker("nobody but an app names its users", {
  workers: 1,
  config: async () => pusherConfig([{ ...APP }], {
    "http.trusted_proxies": ["127.0.0.1"], "auth.user_header": "X-User", "debug.user_query": "user", "socketio.path": "/socket.io/",
    identity: [{ from: ["query.token", "auth.token"], secret: SECRET, required: false }],
    backend: [table(backend = await startBackend({ answer: () => ({ user: { id: "pusher-7/42" } }) }))],
    event: [{ on: "become", ask: "app" }],
  }),
}, async (broker) => {
  try {
    const user = await connectPusher(broker, { user: "42" });
    await within(5000, new Promise((done) => (user.user.bind("signed_in", done), user.user.signin(), user.bind("pusher:signin_success", done))), "signed in");
    const named = async (path, headers) => (await broker.connect({ path, headers })).welcome.user;
    const token = (sub) => jwt.sign({ sub }, SECRET, { expiresIn: "1h" });
    assert.equal(await named("/ws", { "X-User": "pusher-7/42" }), null);
    assert.equal(await named("/ws?user=pusher-7/42"), null);
    assert.equal(await named("/ws", { "X-User": "pusher-8/42" }), "pusher-8/42", "there is no such app");
    assert.equal(await named(`/ws?token=${token("42")}`), "42");
    const raw = await broker.raw();
    raw.write(upgradeRequest(`/ws?token=${token("pusher-7/42")}`));
    assert.equal((await raw.response()).status, 401);
    raw.end();
    const socket = await come(broker);
    assert.equal((await ask(socket, "become"))[0].error.code, 503);
    socket.close();
    await sdk(broker).sendToUser("42", "for", "one");
    await until("it is told", () => user.seen.some(([event]) => event === "for"));
    await until("the log says so", () => broker.log.some((line) => line.includes("a user of a Pusher app")));
  } finally {
    await backend.stop();
  }
});
