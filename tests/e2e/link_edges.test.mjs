// What the package ringcast-socket.io does where applications do what is rare, and their clients what is odd (docs/link.md).
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import { testLink } from "./lib/link.mjs";
import { until, within } from "./lib/util.mjs";

async function comes(broker, options = {}) {
  const socket = connectClient(`http://${broker.host}`, { transports: ["websocket"], forceNew: true, reconnection: false, ...options });
  await within(20000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "a client comes");
  return socket;
}

function joins({ io }) {
  io.on("connection", (socket) => {
    socket.on("join", (room, done) => (socket.join(room), done()));
    socket.on("say", (room, what) => io.to(room).emit("said", what));
    socket.on("mark", () => io.emit("marked"));
    socket.on("echo", (done) => done());
  });
}

for (const applications of [1, 2]) {
  for (const [recovery, options] of [["with", { connectionStateRecovery: {} }], ["without", {}]]) {
    testLink(`whoever joins the room of another one's socket hears what is said there: ${applications} processes, ${recovery} recovery`, { applications, application: { setup: joins, options }, workers: 2, timeout: 60000 }, async ({ broker }) => {
      const sockets = await Promise.all(Array.from({ length: 8 }, () => comes(broker)));
      const heard = sockets.map((socket) => {
        const list = [];
        socket.on("said", (what) => list.push(what));
        return list;
      });
      const marked = sockets.map((socket) => new Promise((done) => socket.once("marked", done)));
      const ask = (socket, ...args) => within(15000, new Promise((done) => socket.emit(...args, done)), `an answer to ${args[0]}`);
      sockets[0].emit("say", sockets[0].id, "alone");
      await until("it hears", () => heard[0].length === 1);
      // A worker that has yet to come to "alone" would give it to whoever joins there meanwhile: all have come past it.
      sockets[0].emit("mark");
      await within(15000, Promise.all(marked), "what was said to all");
      for (const socket of sockets.slice(1, 7)) await ask(socket, "join", sockets[0].id);
      sockets[0].emit("say", sockets[0].id, "with others");
      sockets[7].emit("say", sockets[0].id, "from one who is not there");
      await until("all who are there have heard", () => heard.slice(0, 7).every((list) => list.filter((what) => what !== "alone").length === 2));
      for (const socket of sockets) await ask(socket, "echo");
      const both = ["from one who is not there", "with others"];
      assert.deepEqual(heard.map((list) => [...list].sort()), [["alone", ...both], ...Array(6).fill(both), []]);
      for (const socket of sockets) socket.disconnect();
    });
  }
}

function decides({ io, state }) {
  state.warnings = [];
  process.on("warning", ({ message }) => state.warnings.push(message));
  io.engine.use((request, response, next) => {
    const { what } = request._query;
    if (what === "cookies") response.setHeader("Set-Cookie", Array.from({ length: 100 }, (_, i) => `c${i}=${"x".repeat(1000)}`));
    if (what === "body") return response.writeHead(451, { "X-Why": "much" }).end("x".repeat(100000));
    if (what === "all") return response.writeHead(451, { "X-Why": "much".repeat(20000) }).end("x".repeat(100000));
    next();
  });
  io.on("connection", (socket) => socket.on("echo", (done) => done()));
}

testLink("a refusal or headers that are larger than a link carries are answered without what is too much, and break nothing", { application: { setup: decides }, workers: 1, timeout: 60000 }, async ({ broker, app }) => {
  const stays = await comes(broker);
  const answerTo = async (what) => {
    const response = await fetch(`http://${broker.host}/socket.io/?EIO=4&transport=polling&what=${what}`);
    return { status: response.status, why: response.headers.get("x-why"), cookies: response.headers.getSetCookie().length, text: await response.text() };
  };
  const forbidden = JSON.stringify({ code: 4, message: "Forbidden" });
  assert.deepEqual(await answerTo("body"), { status: 451, why: "much", cookies: 0, text: forbidden });
  assert.deepEqual(await answerTo("all"), { status: 451, why: null, cookies: 0, text: forbidden });
  const { status, cookies, text } = await answerTo("cookies");
  assert.deepEqual([status, cookies, text[0]], [200, 0, "0"]);
  await within(15000, new Promise((done) => stays.emit("echo", done)), "an answer");
  assert.equal((await broker.metrics())("ringcast_link_broken_total"), 0);
  const warnings = await app.call(({ state }) => state.warnings);
  assert.deepEqual(warnings.map((text) => /the client gets (.*) of it/.exec(text)[1]), ["status and headers", "status", "nothing"]);
  stays.disconnect();
});

// Whose rooms are on a worker is nobody else's business: `limits.max_channels_per_worker` is shared out.
const ROOMS = 64;
testLink("a process that makes rooms without end takes no other process's", {
  applications: 2, workers: 1, timeout: 60000, config: { "limits.max_channels_per_worker": ROOMS },
  application: { setup: ({ io }) => io.on("connection", (socket) => socket.on("who", (answer) => answer(process.pid))) },
}, async ({ broker, apps: [greedy, other] }) => {
  const clients = Array.from({ length: 20 }, () => connectClient(`http://${broker.host}`, { transports: ["websocket"], forceNew: true, reconnection: false }));
  await Promise.all(clients.map((socket) => within(20000, new Promise((done) => socket.once("connect", done)), "it comes")));
  const homes = await Promise.all(clients.map((socket) => within(20000, new Promise((done) => socket.emit("who", done)), "it is answered")));
  const modest = clients.filter((_, i) => homes[i] === other.child.pid);
  assert.equal(modest.length, 10);
  // As many as there are places ("*" has one, too), so that nothing is left, and nobody has given any back.
  const free = ROOMS - 1 - (await broker.metrics())("ringcast_channels");
  await greedy.call(({ io }, count) => {
    const sockets = [...io.sockets.sockets.values()];
    for (let i = 0; i < count; i++) sockets[i % sockets.length].join(`greedy ${i}`);
  }, free);
  await Promise.all(clients.map((socket) => within(20000, new Promise((done) => socket.once("disconnect", done).emit("who", done)), "its rooms are settled")));
  await other.call(({ io }) => [...io.sockets.sockets.values()].slice(0, 6).forEach((socket, i) => socket.join(`modest ${i}`)));
  let heard = 0;
  for (const socket of modest) socket.on("heard", () => heard++);
  await other.call(({ io }) => [0, 1, 2, 3, 4, 5].forEach((i) => io.to(`modest ${i}`).emit("heard", i)));
  await until("all six hear", () => heard === 6);
  assert.ok(modest.every(({ connected }) => connected), "none of its clients was closed");
  assert.ok((await broker.metrics())("ringcast_link_rooms_refused_total") > 0);
  // What is given back may be had again.
  for (const socket of clients) if (!modest.includes(socket)) socket.disconnect();
  await until("they have gone", async () => (await greedy.call(({ io }) => io.sockets.sockets.size)) === 0);
  await other.call(({ io }) => {
    for (const socket of io.sockets.sockets.values()) for (let i = 0; i < 3; i++) socket.join(`${socket.id} ${i}`);
  });
  await until("its rooms", async () => (await broker.metrics())("ringcast_channels") >= 32);
  assert.ok(modest.every(({ connected }) => connected));
  for (const socket of modest) socket.disconnect();
});
