// Applications that dial the broker with the package ringcast-socket.io (docs/link.md): a process that nobody can reach has all its clients.
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import { run } from "./lib/broker.mjs";
import { testLink } from "./lib/link.mjs";
import { CA_FILE, certificate } from "./lib/tls.mjs";
import { freePort, until, within } from "./lib/util.mjs";

const server = certificate("link");
const ports = { tcp: await freePort(), tls: await freePort() };
const config = { "link.listen": [`127.0.0.1:${ports.tcp}`], "link.tls_listen": [`127.0.0.1:${ports.tls}`], "tls.certificates": [server.path] };

function setup({ io, state }) {
  state.heard = [];
  io.on("connection", (socket) => {
    socket.join("all");
    socket.on("am I in?", (answer) => answer());
    socket.on("say", (what, answer) => {
      io.to("all").emit("said", what);
      answer(`heard ${what}`);
    });
  });
}

async function comes(broker, transports) {
  const socket = connectClient(`http://${broker.host}`, { transports, forceNew: true, reconnection: false });
  await within(20000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "a client comes");
  // What its process says behind that it has joined comes behind it; what another process says may come before.
  await within(10000, new Promise((done) => socket.emit("am I in?", done)), "it has joined");
  return socket;
}

/* Clients on both workers hear each other. */
async function talk(broker) {
  const sockets = [];
  for (let i = 0; i < 8; i++) sockets.push(await comes(broker, [i % 2 === 0 ? "websocket" : "polling"]));
  const said = sockets.map((socket) => within(10000, new Promise((done) => socket.once("said", done)), "all hear it"));
  assert.equal(await within(10000, new Promise((done) => sockets[0].emit("say", "hello", done)), "an answer"), "heard hello");
  assert.deepEqual(await Promise.all(said), sockets.map(() => "hello"));
  for (const socket of sockets) socket.disconnect();
}

for (const [name, dial, env] of [["tcp", `tcp://127.0.0.1:${ports.tcp}`], ["TLS", `tls://localhost:${ports.tls}`, { NODE_EXTRA_CA_CERTS: CA_FILE }]]) {
  testLink(`over ${name}: a link to each worker, and again to one that comes after a crash`, { application: { setup, link: { dial }, env }, config, workers: 2, timeout: 90000 }, async ({ broker, app }) => {
    await talk(broker);
    for (const worker of [0, 1]) {
      await app.call(({ links }) => [...links.links].forEach((link) => (link.was = true)));
      broker.kill("SIGKILL", worker);
      await until("its link is gone, or made again", async () => (await app.call(({ links }, index) => [...links.links].every(({ hello, was }) => hello.worker !== index || !was), worker)));
      await app.isLinked(2);
      await until("both workers have it", async () => (await broker.metrics())("ringcast_links") === 2);
      await talk(broker);
    }
    const names = await app.call(({ links }) => [...links.links].filter(({ unheard }) => !unheard).map(({ name }) => name).sort());
    assert.deepEqual(names, ["test/0", "test/1"]);
  });
}

testLink("processes that dial and processes that are dialled are one application", { applications: 2, application: (i) => ({ setup, ...(i === 0 && { link: { dial: `tcp://127.0.0.1:${ports.tcp}` } }) }), config, workers: 2, timeout: 90000 }, async ({ broker, apps }) => {
  await until("all links are ready", async () => (await broker.metrics())("ringcast_links") === 4);
  await talk(broker);
  const sockets = await Promise.all(Array.from({ length: 6 }, () => comes(broker, ["websocket"])));
  for (const app of apps) await until("each knows all", async () => (await app.call(async ({ io }) => (await io.fetchSockets()).length)) === 6);
  for (const socket of sockets) socket.disconnect();
});

for (const [what, options] of [["that resumes", { connectionStateRecovery: {} }], ["that does not resume", {}]]) {
  const two = [ports.tcp, await freePort()];
  const counts = ({ links, state }) => {
    state.ended = 0;
    links.on("detach", () => state.ended++);
  };
  const application = { setup: `(context) => ((${setup})(context), (${counts})(context))`, options, link: { dial: two.map((port) => `tcp://127.0.0.1:${port}`) } };
  testLink(`two addresses of one broker, and a process ${what}: the second link is refused, and the first one lives`, { application, config: { "link.listen": two.map((port) => `127.0.0.1:${port}`) }, workers: 2, timeout: 90000 }, async ({ broker, app }) => {
    const sockets = await Promise.all(Array.from({ length: 6 }, (_, i) => comes(broker, [i % 2 === 0 ? "websocket" : "polling"])));
    const refused = async () => (await broker.metrics())("ringcast_link_broken_total");
    const before = await refused();
    await until("second ones are refused", async () => (await refused()) >= before + 4, { timeout: 30000 });
    await talk(broker);
    // One more may just be asked for, and was not heard of yet.
    assert.deepEqual(await app.call(({ links, state }) => [[...links.links].filter(({ unheard }) => !unheard).length, state.ended]), [2, 0]);
    assert.deepEqual(sockets.map(({ connected }) => connected), sockets.map(() => true));
    for (const socket of sockets) socket.disconnect();
  });
}

testLink("a process that dials has a link to workers that come later, too, and to those that come again", { application: { setup, link: { dial: `tcp://127.0.0.1:${ports.tcp}` } }, config: { ...config, "server.max_workers": 4 }, workers: 2, timeout: 120000 }, async ({ broker, app }) => {
  const socket = await comes(broker, ["websocket"]);
  for (const count of [3, 2, 4]) {
    const result = await run(["workers", String(count), "-c", broker.configPath], { env: broker.env, timeout: 60000 });
    assert.equal(result.code, 0, result.stdout + result.stderr);
    await app.isLinked(count);
    const linked = await app.call(({ links }) => [...links.links].filter(({ unheard }) => !unheard).map(({ hello }) => hello.worker).sort());
    assert.deepEqual(linked, Array.from({ length: count }, (_, i) => i));
    await until("who has left has none", async () => (await broker.metrics())("ringcast_links") === count);
    await talk(broker);
  }
  assert.equal((await broker.metrics())("ringcast_worker_adoptions_failed_total"), 0);
  assert.ok(!broker.log.some((line) => /clients_lost/.test(line)), "a worker that leaves loses nobody");
  assert.ok(socket.connected);
  socket.disconnect();
});
