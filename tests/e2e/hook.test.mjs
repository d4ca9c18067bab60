// The HTTP hook: events that a backend decides on, over real sockets, with real Socket.IO clients.
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test from "node:test";
import { startBackend, table } from "./lib/backend.mjs";
import { encode } from "./lib/binary.mjs";
import { run, testBroker } from "./lib/broker.mjs";
import { ask, come, testHook as testHooked } from "./lib/hook.mjs";
import { CA_FILE, FOLDER, certificate } from "./lib/tls.mjs";
import { delay, freePort, until, within } from "./lib/util.mjs";

const ASK = [{ on: "ask", ask: "app" }, { on: "both", ask: "app", emit: [{ event: "row", args: ["{args}"] }] }, { on: "local", emit: [{ event: "here", args: ["{args}"] }] }];

/* A client that is connected. */
async function client(port, options) {
  const socket = await come({ port }, options);
  assert.equal(socket.outcome, "connected");
  return socket;
}

/* A test whose rows are those, unless it has its own. */
const testHook = (name, options, body) => testHooked(name, { ...options, config: { event: ASK, ...options.config } }, body);

const failed = async (broker) => Object.fromEntries(
  [...(await broker.get("/metrics")).body.matchAll(/^ringcast_backend_failures_total\{.*reason="(\w+)"\} (\d+)$/gm)].map(([, reason, count]) => [reason, Number(count)]).filter(([, count]) => count > 0));

testHook("an event is asked about, and what the reply says is done", {}, async (broker, backend) => {
  backend.answer = (call) => ({
    join: ["room:1"], set: { color: "red" }, ack: [{ ok: true }, call.args[0]], unknown: 1,
    emit: [{ event: "mine", args: [call.sid] }, { event: "theirs", to: "room:1", args: [1, "zwei"] }, { event: "everybody", to: "*", others: true }],
  });
  const [one, other] = [await client(broker.port), await client(broker.port)];
  const acked = new Promise((done) => one.emit("ask", "x", { y: [1, 2.5] }, (...args) => done(args)));
  assert.deepEqual(await within(5000, acked, "ack"), [{ ok: true }, "x"]);
  await until("all was heard", () => one.heard.length >= 2 && other.heard.length >= 1);
  assert.deepEqual(one.heard, [["mine", one.id], ["theirs", 1, "zwei"]]);
  assert.deepEqual(other.heard, [["everybody"]]);
  const [call] = await backend.asked("event");
  assert.equal(call.event, "ask");
  assert.deepEqual(call.args, ["x", { y: [1, 2.5] }]);
  assert.deepEqual([call.nsp, call.sid, call.user, call.client, call.ack], ["/", one.id, null, {}, true]);
  assert.ok(call.id.startsWith(`${call.instance}~`));
  one.emit("ask", "again");
  const [, second] = await backend.asked("event", 2);
  assert.deepEqual(second.client, { color: "red" });
  assert.equal(second.ack, false);
  assert.notEqual(second.id, call.id);
  const { body } = await broker.get("/metrics");
  assert.match(body, /^ringcast_backend_calls_total\{backend="app",call="event"\} [12]$/m);
  assert.match(body, /^ringcast_backend_seconds_count\{backend="app",call="event"\} [12]$/m);
  one.close(), other.close();
});

testHook("a row that asks is counted when it is over: answered, or not", {}, async (broker, backend) => {
  let release;
  const held = new Promise((done) => (release = done));
  backend.answer = async (call) => (call.args[0] === "slow" && (await held), call.args[0] === "nonsense" ? { body: "what?" } : { ack: call.args });
  const rows = async () => {
    const { text } = await broker.metrics();
    return ["done", "refused"].map((result) => Number(new RegExp(`^ringcast_event_rows_total\\{row="1",nsp="/",on="ask",result="${result}"\\} (\\d+)$`, "m").exec(text)?.[1] ?? 0));
  };
  const socket = await client(broker.port);
  const ask = (...args) => within(10000, new Promise((done) => socket.emit("ask", ...args, done)), `ack of ${args}`);
  const slow = ask("slow");
  const are = (...wanted) => until(`the rows are ${wanted}`, async () => (assert.deepEqual(await rows(), wanted), true));
  await backend.asked("event");
  assert.deepEqual(await rows(), [0, 0], "it waits");
  release();
  assert.equal(await slow, "slow");
  await are(1, 0);
  assert.equal((await ask("nonsense")).error.code, 502);
  await are(1, 1);
  await backend.stop();
  assert.equal((await ask("x")).error.code, 503);
  await are(1, 2);
  socket.close();
});

testHook("a row does its own first, and an unknown event may be the backend's", { config: { "socketio.unknown_event": "backend:app" } }, async (broker, backend) => {
  backend.answer = (call) => ({ emit: { event: `answer to ${call.event}`, args: call.args } });
  for (const transports of [["websocket"], ["polling"]]) {
    const socket = await client(broker.port, { transports });
    socket.emit("both", 1);
    socket.emit("never heard of", 2);
    await until("three events", () => socket.heard.length >= 3);
    assert.deepEqual(socket.heard, [["row", 1], ["answer to both", 1], ["answer to never heard of", 2]]);
    socket.close();
  }
});

testHook("`do` has its own order; user, leave, error and disconnect", {}, async (broker, backend) => {
  const replies = {
    order: { do: [{ emit: [{ event: "first" }] }, { join: ["r"] }, { emit: [{ event: "second", to: "r" }] }], ack: ["done"] },
    leave: { do: [{ leave: ["r"] }, { emit: [{ event: "unheard", to: "r" }] }], ack: ["left"] },
    login: { user: { id: "42", name: "Ada" }, ack: [] },
    two: { body: '{"user":{"id":"7","id":7}}' },
    fail: { error: { code: 4711, message: "not \"today\"" } },
    off: { disconnect: true },
    close: { disconnect: "close" },
  };
  backend.answer = (call) => replies[call.args[0]] ?? {};
  const socket = await client(broker.port);
  const ask = (...args) => within(5000, new Promise((done) => socket.emit("ask", ...args, (...its) => done(its))), `ack of ${args}`);
  assert.equal((await ask("two"))[0].error.code, 503, "the last of two ids counts, as in rows, and is no text");
  assert.deepEqual(await ask("order"), ["done"]);
  await until("the second", () => socket.heard.length === 2);
  assert.deepEqual(await ask("leave"), ["left"]);
  assert.deepEqual(await ask("login"), []);
  assert.deepEqual(socket.heard, [["first"], ["second"]]);
  assert.deepEqual(await ask("fail"), [{ error: { code: 4711, message: 'not "today"' } }]);
  socket.emit("ask", "fail");
  await until("the error", () => socket.heard.length >= 3);
  assert.deepEqual(socket.heard[2], ["error", { code: 4711, message: 'not "today"' }]);
  socket.emit("ask", "nothing");
  assert.deepEqual((await backend.asked("event", 7)).at(-1).user, { id: "42", name: "Ada" });
  const gone = new Promise((done) => socket.once("disconnect", done));
  socket.emit("ask", "off");
  assert.equal(await within(5000, gone, "disconnect"), "io server disconnect");
  const other = await client(broker.port);
  const closed = new Promise((done) => other.once("disconnect", done));
  other.emit("ask", "close");
  await within(5000, closed, "close");
  socket.close(), other.close();
});

testHook("attachments go and come as base64", {}, async (broker, backend) => {
  backend.answer = (call) => ({ ack: call.args, attachments: call.attachments, emit: [{ event: "back", args: [{ _placeholder: true, num: 0 }], attachments: [call.attachments[1]] }] });
  const socket = await client(broker.port);
  const bytes = [Buffer.from([0, 1, 254, 255]), Buffer.from("abcde")];
  const answer = await within(5000, new Promise((done) => socket.emit("ask", bytes[0], "x", { deep: bytes[1] }, (...args) => done(args))), "ack");
  assert.deepEqual(answer, [bytes[0], "x", { deep: bytes[1] }]);
  await until("the event", () => socket.heard.length > 0);
  assert.deepEqual(socket.heard, [["back", bytes[1]]]);
  assert.deepEqual((await backend.asked("event"))[0].attachments, ["AAH+/w==", "YWJjZGU="]);
  socket.close();
});

testHook("the next packets of a client wait for the answer, those of others do not", {}, async (broker, backend) => {
  let release;
  const held = new Promise((done) => (release = done));
  backend.answer = async (call) => (call.args[0] === "slow" && (await held), { emit: [{ event: "answer", args: call.args }] });
  const [one, other] = [await client(broker.port), await client(broker.port)];
  one.emit("ask", "slow");
  one.emit("ask", "fast");
  for (let i = 0; i < 20; i++) one.emit("local", i);
  await backend.asked("event");
  other.emit("ask", "other");
  await until("the other's answer", () => other.heard.length > 0);
  assert.equal(backend.calls.length, 2);
  assert.deepEqual(one.heard, []);
  release();
  await until("all", () => one.heard.length >= 22);
  assert.deepEqual(one.heard, [["answer", "slow"], ["answer", "fast"], ...Array.from({ length: 20 }, (_, i) => ["here", i])]);
  one.close(), other.close();
});

testHook("a client may have more in flight if the backend says so", { table: { per_client: 2 } }, async (broker, backend) => {
  let release;
  const held = new Promise((done) => (release = done));
  backend.answer = async () => (await held, { ack: [] });
  const socket = await client(broker.port);
  for (let i = 0; i < 3; i++) socket.emit("ask", i, () => {});
  await backend.asked("event", 2);
  await delay(100);
  assert.equal(backend.calls.length, 2);
  release();
  await backend.asked("event", 3);
  socket.close();
});

testHook("what a join of the reply promises holds for what follows it", { workers: 2, timeout: 60000 }, async (broker, backend) => {
  backend.answer = (call) => ({ join: [`room:${call.args[0]}`], emit: [{ event: "in", to: `room:${call.args[0]}`, args: [call.args[0]] }] });
  const sockets = await Promise.all(Array.from({ length: 20 }, () => client(broker.port)));
  sockets.forEach((socket, i) => socket.emit("ask", i));
  await until("each has heard its room", () => sockets.every((socket) => socket.heard.length === 1));
  assert.deepEqual(sockets.map((socket) => socket.heard[0]), sockets.map((_, i) => ["in", i]));
  for (const socket of sockets) socket.close();
});

testHook("a backend that answers no reply at all is told apart, and the client hears of it", { table: { timeout: "5s", breaker: "" } }, async (broker, backend) => {
  const socket = await client(broker.port);
  const ask = () => within(20000, new Promise((done) => socket.emit("ask", (answer) => done(answer.error.code))), "ack");
  const cases = [
    [() => ({ status: 500, body: "no" }), 503, "status"],
    [() => ({ status: 302, body: "" }), 503, "status"],
    [() => ({ status: 404, body: "" }), 503, "status"],
    [() => ({ body: "not JSON" }), 502, "reply"],
    [() => ({ join: "room" }), 502, "reply"],
    [() => ({ emit: [{ event: 5 }] }), 502, "reply"],
    [() => ({ join: Array.from({ length: 300 }, (_, i) => `r${i}`) }), 502, "reply"],
    [() => ({ body: `{"ack":["${"x".repeat(300000)}"]}` }), 503, "size"],
    [(call, request) => void request.socket.destroy(), 503, "lost"],
    [(call, request) => void request.socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), 503, "lost"],
    [(call, request) => void request.socket.end("what?\r\n\r\n"), 503, "garbage"],
    [() => void 0, 503, "timeout"],
  ];
  const before = { status: 0, reply: 0, size: 0, lost: 0, garbage: 0, timeout: 0 };
  for (const [answer, code, reason] of cases) {
    backend.answer = answer;
    assert.equal(await ask(), code, String(answer));
    const wanted = Object.fromEntries(Object.entries({ ...before, [reason]: ++before[reason] }).filter(([, n]) => n));
    await until(`it is counted as ${reason}`, async () => (assert.deepEqual(await failed(broker), wanted), true));
  }
  backend.answer = () => ({ status: 204, body: "" });
  socket.emit("ask");
  socket.emit("local", 1);
  await until("it goes on", () => socket.heard.length > 0);
  assert.deepEqual(socket.heard, [["here", 1]]);
  socket.close();
});

/* A server that never stops sending. */
testBroker("an endless answer costs no memory, and others are served meanwhile", {
  workers: 1,
  config: async () => {
    const port = await freePort();
    endless.server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        const more = () => {
          while (!socket.destroyed && socket.write("x".repeat(65536)));
        };
        socket.on("drain", more);
        more();
      });
    });
    await new Promise((done) => endless.server.listen(port, "127.0.0.1", done));
    return { "socketio.path": "/socket.io/", event: ASK, backend: [{ name: "app", url: [`http://127.0.0.1:${port}/`] }] };
  },
}, async (broker) => {
  const [one, other] = [await client(broker.port), await client(broker.port)];
  const answer = within(10000, new Promise((done) => one.emit("ask", (its) => done(its))), "ack");
  other.emit("local", 1);
  await until("the other's answer", () => other.heard.length > 0);
  assert.equal((await answer).error.code, 503);
  one.close(), other.close();
  endless.server.close();
});
const endless = {};

testHook("a breaker opens, and closes when the backend is back", { table: { breaker: "2/30s", timeout: "5s" } }, async (broker, backend) => {
  const socket = await client(broker.port);
  const ask = () => within(20000, new Promise((done) => socket.emit("ask", (answer) => done(answer))), "ack");
  backend.answer = () => ({ status: 503, body: "" });
  const began = performance.now();
  for (let i = 0; i < 2; i++) assert.equal((await ask()).error.code, 503);
  const asked = backend.calls.length;
  for (const { error } of await Promise.all(Array.from({ length: 10 }, ask))) assert.equal(error.code, 503);
  // A second behind each refusal one goes through (RC_BREAKER_PROBE_MS).
  const probes = Math.floor((performance.now() - began) / 1000);
  assert.ok(backend.calls.length <= asked + probes, `it is left alone, but for ${probes} times: ${backend.calls.length - asked}`);
  assert.match((await broker.get("/metrics")).body, /^ringcast_backend_breaker_open\{.*\} 1$/m);
  backend.answer = () => ({ ack: ["back"] });
  await until("it is back", async () => (await ask()) === "back", { every: 100 });
  assert.match((await broker.get("/metrics")).body, /^ringcast_backend_breaker_open\{.*\} 0$/m);
  await until("the log says so", () => broker.log.some((line) => line.includes("backend_breaker_opened")) && broker.log.some((line) => line.includes("backend_breaker_closed")));
  socket.close();
});

const server = certificate("hook");
const stranger = certificate("elsewhere", { names: ["DNS:elsewhere.example"] });

testHook("TLS: a backend that proves who it is", { backend: { tls: server }, table: { tls_ca: CA_FILE } }, async (broker, backend) => {
  backend.answer = (call) => ({ ack: [call.args[0].length, "y".repeat(100000)] });
  const socket = await client(broker.port);
  for (const bytes of [1, 200000, 3]) {
    const answer = await within(10000, new Promise((done) => socket.emit("ask", "x".repeat(bytes), (...args) => done(args))), "ack");
    assert.deepEqual([answer[0], answer[1].length], [bytes, 100000]);
  }
  assert.equal(backend.connections, 1);
  socket.close();
});

const authorities = join(mkdtempSync(join(tmpdir(), "ringcast-hook-ca-")), "ca.pem");
process.on("exit", () => rmSync(dirname(authorities), { recursive: true, force: true }));
copyFileSync(join(FOLDER, "hook.crt"), authorities); // an authority of nobody

testHook("TLS: a reload reads the authorities again, for the next connection", { backend: { tls: server }, table: { tls_ca: authorities } }, async (broker, backend) => {
  const socket = await client(broker.port);
  const ask = () => within(10000, new Promise((done) => socket.emit("ask", "x", (its) => done(its))), "ack");
  backend.answer = () => ({ ack: ["taken"] });
  const reload = async () => {
    const { code, stdout, stderr } = await run(["reload", "-c", broker.configPath]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  assert.equal((await ask()).error.code, 503);
  copyFileSync(CA_FILE, authorities);
  assert.match(await reload(), /changed files, read again: \S*ca\.pem/);
  await until("it is asked", async () => (await ask()) === "taken");
  assert.match(await reload(), /changed: nothing/);
  assert.equal(await ask(), "taken");
  socket.close();
});

for (const [what, how] of [["whose certificate is another's", { backend: { tls: stranger }, table: { tls_ca: CA_FILE } }], ["whose authority is not known", { backend: { tls: server } }]]) {
  testHook(`TLS: a backend ${what} is not asked`, how, async (broker, backend) => {
    const socket = await client(broker.port);
    const answer = await within(10000, new Promise((done) => socket.emit("ask", "secret", (its) => done(its))), "ack");
    assert.equal(answer.error.code, 503);
    assert.deepEqual(backend.calls, []);
    await until("it is counted", async () => (assert.deepEqual(await failed(broker), { unreachable: 1 }), true));
    socket.close();
  });
}

test("TLS: authorities that cannot be read are told before the start", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-hook-"));
  const file = join(folder, "ringcast.toml");
  writeFileSync(file, `[[backend]]\nname = "app"\nurl = ["https://localhost/"]\ntls_ca = "${join(folder, "none.pem")}"\n`);
  const { code, stdout, stderr } = await run(["check", file]);
  rmSync(folder, { recursive: true });
  assert.notEqual(code, 0);
  assert.match(stdout + stderr, /\[\[backend\]\] tls_ca: cannot read .*none\.pem/);
});

testHook("a Unix socket", { backend: { path: join(tmpdir(), `ringcast-hook-${process.pid}.sock`) } }, async (broker, backend) => {
  backend.answer = (call) => ({ ack: call.args });
  const socket = await client(broker.port);
  assert.equal(await within(5000, new Promise((done) => socket.emit("ask", 7, done)), "ack"), 7);
  socket.close();
});

testHook("a name is resolved by the acceptor", { table: (backend) => ({ url: [`http://localhost:${backend.port}/ringcast`] }) }, async (broker, backend) => {
  backend.answer = (call) => ({ ack: call.args });
  const socket = await client(broker.port);
  await until("the name has its address", async () => (await within(5000, new Promise((done) => socket.emit("ask", 7, done)), "ack")) === 7, { every: 100 });
  socket.close();
});

testHook("a backend decides who subscribes and publishes", { table: { calls: ["subscribe", "publish"], breaker: "" }, config: { namespace: [{ name: "closed", subscribe: "none", publish: "none" }], "debug.user_query": "user" } }, async (broker, backend) => {
  backend.answer = (call) => (call.channel.endsWith("no") ? { allow: false } : call.call === "publish" && call.data?.replace === true ? { allow: true, data: { by: "backend" } } : { allow: true, ttl: 60 });
  const one = await broker.connect({ path: "/ws?user=7" });
  const other = await broker.connect({ path: "/ws?user=7" });
  await one.subscribe("closed:yes");
  await other.subscribe("closed:yes");
  assert.equal((await one.request({ type: "subscribe", channel: "closed:no" })).code, 403);
  assert.equal((await backend.asked("subscribe")).filter((call) => call.channel === "closed:yes").length, 1, "the same for all clients of a user, for its ttl");
  assert.deepEqual((await backend.asked("subscribe"))[0].user, { id: "7" });
  await one.expect("published", { type: "publish", channel: "closed:yes", data: { x: 1.50 } });
  await one.expect("published", { type: "publish", channel: "closed:yes", data: { replace: true } });
  assert.equal((await one.request({ type: "publish", channel: "closed:no", data: 1 })).code, 403);
  assert.deepEqual([(await other.next("message")).data, (await other.next("message")).data], [{ x: 1.5 }, { by: "backend" }]);
  // It is told all that others would hear.
  const told = () => Object.fromEntries(["event", "key", "retain", "data", "args", "attachments"].map((name) => [name, backend.calls.at(-1)[name]]).filter(([, value]) => value !== undefined));
  await one.expect("published", { type: "publish", channel: "closed:yes", event: "chat", key: "k", args: ["hi", { n: 1.5 }] });
  assert.deepEqual(told(), { event: "chat", key: "k", args: ["hi", { n: 1.5 }] });
  assert.deepEqual((await other.next("message")).args, ["hi", { n: 1.5 }]);
  await one.refused(403, { type: "publish", channel: "closed:yes", event: "kept", data: 7, retain: true }); // granted, but [[namespace]] retain says no
  assert.deepEqual(told(), { event: "kept", retain: true, data: 7 });
  const bytes = await broker.connect({ path: "/ws?user=7", protocols: ["ringcast.v1.binary"] });
  await bytes.expect("published", { type: "publish", channel: "closed:yes", data: Buffer.from([1, 2, 255]) }, { encode });
  assert.deepEqual(told(), { attachments: ["AQL/"] });
  one.send([{ type: "subscribe", channel: "a:1", id: 100 }, { type: "publish", channel: "a:1", data: "order", id: 101 }]);
  await one.next((message) => message.type === "message" && message.data === "order");
  backend.answer = () => ({ status: 500, body: "" });
  assert.equal((await one.request({ type: "subscribe", channel: "open:x" })).code, 503);
  const gone = await broker.connect({});
  let release;
  const held = new Promise((done) => (release = done));
  backend.answer = async () => (await held, { allow: true });
  gone.send({ type: "subscribe", channel: "late:1", id: 1 });
  await until("it was asked", () => backend.calls.some((call) => call.channel === "late:1"));
  gone.terminate();
  await delay(50);
  release();
  await one.subscribe("late:2");
});

/* What is read or said in a channel by another request than the one that the backend is asked about. */
testHook("where a backend decides who subscribes and publishes, no other way leads into a channel, over any protocol", {
  table: { calls: ["subscribe", "publish"], breaker: "" }, workers: 2,
  config: {
    "debug.user_query": "user", "http.api_keys": ["key-of-the-tests"],
    namespace: [{ name: "vault", history: 10, presence: true }, { name: "plain", subscribe: "anyone", publish: "anyone", presence: true, history: 10 }],
    event: [
      { on: "join", join: ["{args.0}"], ack: ["in"] }, { on: "say", emit: [{ to: "{args.0}", event: "said", args: ["forged"] }], ack: ["sent"] },
      { on: "keep", retain: "{args.0}", ack: ["kept"] }, { on: "look", ack: ["{count:{args.0}}", "{members:{args.0}}"] }, { on: "remember", ack: ["{retained:{args.0}}"] },
      { on: "lobby", join: ["lobby"], emit: [{ to: "lobby", event: "hello", args: [] }], ack: ["in"] }, { on: "enter", ask: "app" },
    ],
  },
}, async (broker, backend) => {
  backend.answer = ({ call, user, channel, args }) => (call === "event" ? { join: args, ack: ["in"] } : { allow: channel.endsWith(`:${user?.id}`) });
  const [ann, bob] = [await broker.connect({ path: "/ws?user=ann" }), await broker.connect({ path: "/ws?user=bob" })];
  const binary = await broker.connect({ path: "/ws?user=bob", protocols: ["ringcast.v1.binary"] });
  const sockets = [await come(broker, { query: { user: "bob" } }), await come(broker, { query: { user: "bob" }, transports: ["polling"] })];
  for (const room of ["vault:ann", "plain:ann"]) {
    const answer = await broker.get("/api/publish", { method: "POST", headers: { authorization: "Bearer key-of-the-tests" }, body: JSON.stringify({ channel: room, data: "hers", retain: true }) });
    assert.equal(answer.status, 200);
    for (const type of ["subscribe", "publish", "history", "presence"]) {
      await bob.refused(403, { type, channel: room, ...(type === "publish" && { data: "forged" }) });
      await binary.refused(403, { type, channel: room, ...(type === "publish" && { data: "forged" }) }, { encode });
    }
    await bob.refused(403, { type: "subscribe", channel: room, retained: true });
    await bob.refused(403, { type: "subscribe", channel: room, since: "last 10" });
    for (const socket of sockets) {
      for (const event of ["join", "say", "keep", "look", "remember"]) assert.equal((await ask(socket, event, room))[0].error?.code, 403, `${event} ${room}`);
    }
  }
  // Whom it lets in may do it all, and what a row's author names, and what the backend itself wants, is done.
  await ann.subscribe("vault:ann");
  assert.deepEqual((await ann.request({ type: "history", channel: "vault:ann", limit: 10 })).messages.map(({ data }) => data), ["hers"]);
  assert.equal((await ann.presence("vault:ann")).clients, 1);
  const again = await broker.connect({ path: "/ws?user=ann" });
  again.send({ type: "subscribe", channel: "vault:ann", since: "last 10", id: 1 });
  assert.equal((await again.next("message")).data, "hers");
  for (const socket of sockets) {
    assert.deepEqual(await ask(socket, "lobby"), ["in"]);
    assert.deepEqual(await ask(socket, "enter", "vault:ann"), ["in"]);
  }
  await ann.publish("vault:ann", "for all who are in");
  for (const socket of sockets) await until("it hears what is said there", () => socket.heard.some(([, data]) => data === "for all who are in"));
  assert.ok(!sockets.some(({ heard }) => JSON.stringify(heard).includes("forged")));
  for (const socket of sockets) socket.close();
});

testHook("without a backend the rules may decide", { table: { calls: ["subscribe", "publish"], on_failure: "allow", breaker: "" }, config: { namespace: [{ name: "closed", subscribe: "none" }] } }, async (broker, backend) => {
  backend.answer = () => ({ status: 500, body: "" });
  const one = await broker.connect();
  await one.subscribe("open:x");
  assert.equal((await one.request({ type: "subscribe", channel: "closed:x" })).code, 403);
  assert.ok(backend.calls.length >= 2);
});

testHook("those who went are told of together, once the backend can be told", { config: { "socketio.namespaces": ["/", "/admin"], event: [{ on: "join", join: ["{args.0}"], ack: [] }] }, table: { calls: ["disconnect"], breaker: "" } }, async (broker, backend) => {
  backend.answer = (call) => (call.calls ? {} : { status: 500, body: "" });
  const told = () => backend.calls.flatMap((call) => call.calls ?? []);
  const one = await client(broker.port);
  const admin = await client(broker.port, { nsp: "/admin" });
  const sids = [one.id, admin.id];
  await within(5000, new Promise((done) => one.emit("join", "room", done)), "join");
  const native = await broker.connect();
  await native.subscribe("prices:x");
  one.close(), admin.close(), native.terminate();
  await until("three were told", () => told().length >= 3);
  const by = Object.fromEntries(told().map((call) => [call.sid, call]));
  assert.deepEqual([by[sids[0]].call, by[sids[0]].nsp, by[sids[0]].reason, by[sids[0]].rooms], ["disconnect", "/", "client namespace disconnect", ["room"]]);
  assert.deepEqual([by[sids[1]].nsp, by[sids[1]].rooms], ["/admin", []]);
  assert.deepEqual(told().find((call) => !call.nsp).rooms, ["prices:x"]);
  assert.ok(backend.calls.length <= 3);
  let refused = 0;
  backend.answer = () => (refused++ === 0 ? { status: 503, body: "" } : {});
  const before = told().length;
  const late = await client(broker.port);
  late.close();
  await until("told again", () => told().length >= before + 2);
  assert.equal(told().at(-1).id, told().at(-2).id);
  const many = await Promise.all(Array.from({ length: 30 }, () => client(broker.port)));
  const calls = backend.calls.length;
  // The first call is under way until all have gone.
  let open;
  const gate = new Promise((done) => (open = done));
  backend.answer = async () => (await gate, {});
  for (const socket of many) socket.close();
  await until("all have gone", async () => (await broker.metrics())("ws_connections_total") === 0);
  open();
  await until("all were told", () => told().length >= before + 2 + many.length);
  assert.equal(new Set(told().slice(-many.length).map((call) => call.sid)).size, many.length);
  assert.ok(backend.calls.length - calls < many.length / 2, "together");
});

testHook("clients that are sent away by a stop are told of, too", { table: { calls: ["disconnect"] } }, async (broker, backend) => {
  const sockets = await Promise.all(Array.from({ length: 5 }, () => client(broker.port)));
  await broker.stop();
  assert.equal(backend.calls.flatMap((call) => call.calls ?? []).length, 5);
  for (const socket of sockets) socket.close();
});

testHook("a call that is in flight when the broker is stopped is answered", { config: { "server.drain_timeout": "5s" } }, async (broker, backend) => {
  let release;
  const held = new Promise((done) => (release = done));
  let answered = false;
  backend.answer = async (call, request, response) => (await held, response.on("finish", () => (answered = true)), { ack: [] });
  const socket = await client(broker.port);
  socket.emit("ask", 1, () => {});
  await backend.asked("event");
  const stopped = broker.stop();
  await delay(200);
  release();
  await stopped;
  assert.ok(answered);
  socket.close();
});
