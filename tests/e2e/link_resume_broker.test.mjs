// What clients of an application behind a link notice when it does not come back, and when it is the broker that goes: docs/link.md, "When a process goes".
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { run } from "./lib/broker.mjs";
import { testLink } from "./lib/link.mjs";
import { handedOver, quiet } from "./lib/outlive.mjs";
import { asBefore, comeAll, sayAll, sayWhile, setup, stateOf, talkWhile } from "./lib/resumed.mjs";
import { freePort, until, within } from "./lib/util.mjs";

const application = { setup, options: { connectionStateRecovery: {} } };
const metric = async (broker, name) => (await broker.metrics())(name);

async function reload(broker, changes) {
  broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], ...changes }] });
  const result = await run(["reload", "-c", broker.configPath]);
  assert.equal(result.code, 0, result.stderr);
}

/* Connections whose process is known to be gone, as the log says. */
const away = (broker) => broker.log.reduce((sum, line) => sum + Number(/\blink_process_gone\b.* connections=(\d+)/.exec(line)?.[1] ?? 0), 0);

const knowOf = (clients, count) => until("all are told", () => clients.every(({ events }) => events.filter((event) => event.startsWith("disconnect")).length === count));

testLink("grace is over: by a reload that shortens it, then by itself: clients are closed, and come back as somebody new", { needs: "resume", application, table: { grace: "1h" }, timeout: 90000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  for (const round of [1, 2]) {
    await app.kill();
    if (round === 1) {
      await until("no process has them", () => away(broker) === clients.length);
      await until("they are counted", async () => (await metric(broker, "ringcast_link_apart")) === clients.length); // the log may be before it
      for (const { events } of clients) assert.deepEqual(events, []);
      await reload(broker, { grace: "100ms" });
    }
    await knowOf(clients, 2 * round);
    for (const { events } of clients) assert.deepEqual(events.slice(0, 2), ["disconnect: transport close", "disconnect: transport close"]);
    await until("they are counted", async () => (await metric(broker, "ringcast_link_lost_connections_total")) === round * clients.length);
    await app.start();
    await until("all are back", () => clients.every(({ socket, second }) => socket.connected && second.connected));
    for (const client of clients) {
      assert.ok(!client.ids.includes(client.socket.id), "as somebody new");
      assert.deepEqual(await client.ask("visit"), [1]);
    }
    const { connections, recovered } = await stateOf(app);
    assert.deepEqual([connections, recovered], [2 * clients.length, 0]);
  }
  for (const client of clients) client.end();
});

/* What the broker counted, of both workers. */
const counted = async (broker, ...names) => {
  const metrics = await broker.metrics();
  return names.map((name) => metrics(`ringcast_link_${name}_total`));
};

/* The one process went on: it has seen nobody come again, and nobody go. */
async function wentOn(app, clients) {
  const { connections, recovered, reasons } = await stateOf(app);
  assert.deepEqual({ connections, recovered, reasons }, { connections: 2 * clients.length, recovered: 0, reasons: [] });
}

testLink("hand-over of all workers while everybody talks: neither clients nor the application notice", { needs: "resume", application, timeout: 120000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  for (let round = 2; round < 4; round++) {
    await sayWhile(clients, handedOver(broker));
    await app.isLinked(2);
    await asBefore(clients, round);
    await wentOn(app, clients);
  }
  assert.deepEqual(await counted(broker, "continued", "resumed", "lost_connections"), [2 * clients.length, 0, 0]);
  for (const client of clients) client.end();
});

const port = await freePort();
testLink("the same with an application that dials; then it dies, and another one dials: no client notices", {
  needs: "resume", application: { ...application, link: { dial: `tcp://127.0.0.1:${port}` } }, config: { "link.listen": [`127.0.0.1:${port}`] }, table: { grace: "1h" }, timeout: 120000,
}, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  await sayWhile(clients, handedOver(broker));
  await app.isLinked(2);
  await asBefore(clients, 2);
  for (let round = 3; round < 5; round++) {
    await app.kill();
    await sayAll(clients, 0, 3, () => app.start());
    await asBefore(clients, round);
  }
  const { connections, recovered } = await stateOf(app);
  assert.deepEqual([connections, recovered], [2 * clients.length, 2 * clients.length]);
  for (const client of clients) client.end();
});

/* Asks for large bytes back, one time after the other, until that is settled: each answer is what was asked. */
async function echoWhile(clients, during) {
  let over = false;
  const settled = during.finally(() => (over = true));
  settled.catch(() => {}); // it is looked at below
  await Promise.all(clients.map(async (client, i) => {
    for (let n = 0; n === 0 || !over; n++) {
      const bytes = Buffer.alloc(60000 + i, n);
      const [answer, again] = await within(20000, new Promise((done) => client.socket.emit("echo", bytes, n, (...answer) => done(answer))), `${client.name} has its bytes back`);
      assert.equal(again, n);
      assert.ok(bytes.equals(Buffer.from(answer)), client.name);
    }
  }));
  await settled;
}

testLink("large binary packets both ways, cut off in the middle by hand-overs: whole, each once", { needs: "resume", application, timeout: 120000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  for (let round = 2; round < 5; round++) {
    await echoWhile(clients, handedOver(broker));
    await asBefore(clients, round);
  }
  await wentOn(app, clients);
  for (const client of clients) client.end();
});

testLink("clients that go while no process has them: the next one hears of the others only; whoever goes while links are cut is heard of", { needs: "resume", application, table: { grace: "1h" }, timeout: 120000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  await app.kill();
  await until("no process has them", () => away(broker) === clients.length);
  const gone = clients.splice(0, 4);
  for (const client of gone) client.end();
  await until("they have gone", async () => (await metric(broker, "ringcast_link_apart")) === clients.length);
  await app.start();
  await asBefore(clients, 2);
  assert.equal((await stateOf(app)).connections, 2 * clients.length);
  app.child.kill("SIGSTOP");
  await handedOver(broker);
  const late = clients.splice(0, 4);
  for (const client of late) client.end();
  app.child.kill("SIGCONT");
  await until("it is told", async () => (await stateOf(app)).reasons.length === 2 * late.length);
  assert.deepEqual([...new Set((await stateOf(app)).reasons)], ["transport close"]);
  await asBefore(clients, 3);
  for (const client of clients) client.end();
});

testLink("kill -9 of a worker while nobody talks: neither clients nor the application notice", { needs: "resume", application, timeout: 120000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  for (let round = 2; round < 4; round++) {
    await quiet(broker, clients.filter(({ socket }) => socket.io.engine.transport.name === "polling").length);
    const pid = broker.kill("SIGKILL", round % 2);
    await until("another worker", () => broker.pids().workers[round % 2] && broker.pids().workers[round % 2] !== pid);
    await sayAll(clients, 0, 3);
    await app.isLinked(2);
    await asBefore(clients, round);
    await wentOn(app, clients);
  }
  for (const client of clients) client.end();
});

testLink("the application goes, then all workers, and another application comes: no client notices", { needs: "resume", application, table: { grace: "1h" }, timeout: 120000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  await app.kill();
  await sayAll(clients, 0, 3, async () => {
    await until("no process has them", () => away(broker) === clients.length);
    await handedOver(broker);
    for (const { events } of clients) assert.deepEqual(events, []);
    await app.start();
  });
  await asBefore(clients, 2);
  const { connections, recovered } = await stateOf(app);
  assert.deepEqual([connections, recovered], [2 * clients.length, 2 * clients.length]);
  for (const client of clients) client.end();
});

testLink("kill -9 of a worker while everybody talks, and of another one while the application is away: nothing comes twice, all go on", { needs: "resume", application, table: { grace: "1h" }, timeout: 120000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  const other = async (worker) => {
    const pid = broker.kill("SIGKILL", worker);
    await until("another worker", () => broker.pids().workers[worker] && broker.pids().workers[worker] !== pid);
    await until("it is ready", async () => (await broker.status()).processes.every((row) => row.state === "ready"));
  };
  await talkWhile(clients, other(0));
  // Whoever was being handled in that moment may have been ended (docs/outlive.md).
  const stayed = clients.filter(({ events }) => events.length === 0);
  assert.ok(clients.length - stayed.length <= await metric(broker, "ringcast_not_adopted_sockets_total"));
  await asBefore(stayed, 2);
  await app.kill();
  await sayAll(clients, 0, 3, async () => {
    await until("no process has them", () => away(broker) === clients.length);
    await other(1);
    await app.start();
  });
  await asBefore(stayed, 3);
  for (const client of clients) client.end();
});

/* Ways to the application that can be cut. */
async function cuttable(port) {
  const pairs = new Set();
  const server = createServer((from) => {
    const to = connect(port, "127.0.0.1");
    const pair = [from, to];
    pairs.add(pair);
    for (const [one, other] of [pair, [to, from]]) {
      one.on("error", () => {});
      one.on("close", () => (other.destroy(), pairs.delete(pair)));
      one.on("data", (bytes) => other.write(bytes));
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, cut: () => pairs.forEach(([from, to]) => (from.destroy(), to.destroy())), end: () => server.close() };
}

testLink("a network that is cut again and again while everybody talks: nobody notices", { needs: "resume", application, table: { grace: "1h" }, timeout: 120000 }, async ({ broker, app }) => {
  const way = await cuttable(app.port);
  await reload(broker, { url: [way.url] });
  const moved = () => broker.log.filter((line) => /\blink_ready\b/.test(line) && line.includes(way.url)).length;
  await until("the links go that way", () => moved() === 2);
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  for (let round = 2; round < 6; round++) {
    const again = async () => {
      await until("links are there again", () => moved() === 2 * round);
    };
    way.cut();
    await Promise.all([sayWhile(clients, again()), echoWhile(clients, again())]);
    await asBefore(clients, round);
    await wentOn(app, clients);
  }
  assert.deepEqual(await counted(broker, "continued", "resumed", "lost_connections"), [4 * clients.length, 0, 0]);
  for (const client of clients) client.end();
  way.cut();
  way.end();
});

testLink("an application that stands still: what clients say waits, and nobody notices", { needs: "resume", application, config: { "limits.channel_log": "64MiB" }, table: { max_unsent: "64KiB" }, timeout: 120000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  const large = "x".repeat(20000);
  app.child.kill("SIGSTOP");
  for (const client of clients) for (let n = 0; n < 10; n++) client.socket.emit("say", `${n} ${large}`);
  await until("clients wait", async () => (await metric(broker, "ringcast_link_waiting")) > 0);
  app.child.kill("SIGCONT");
  await until("all have heard all", () => clients.every(({ said }) => said.length === 10 * clients.length));
  for (const { said } of clients) {
    for (const { name } of clients) assert.deepEqual(said.filter((line) => line.startsWith(`${name} `)), Array.from({ length: 10 }, (_, n) => `${name} ${n} ${large}`));
  }
  await asBefore(clients, 2);
  await wentOn(app, clients);
  for (const client of clients) client.end();
});

testLink("max_held bounds what is held of a client and max_held_all of all; who says more is not read, and loses nothing", { needs: "resume", application, table: { grace: "1h", max_held: "16KiB", max_held_all: "64KiB" }, workers: 1, timeout: 120000 }, async ({ broker, app }) => {
  const COUNT = 64;
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  const text = "x".repeat(1000);
  await app.kill();
  await until("no process has them", () => away(broker) === clients.length);
  const held = () => metric(broker, "ringcast_link_held_bytes");
  for (let n = 0; n < COUNT; n++) clients[1].socket.emit("say", `${n} ${text}`);
  await until("it waits", async () => (await metric(broker, "ringcast_link_waiting")) === 1);
  assert.ok((await held()) <= 16384, "by max_held");
  assert.equal(await metric(broker, "ringcast_link_held_total"), 15);
  for (const client of clients.filter((_, i) => i !== 1)) for (let n = 0; n < COUNT; n++) client.socket.emit("say", `${n} ${text}`);
  await until("all wait", async () => (await metric(broker, "ringcast_link_waiting")) === clients.length);
  assert.ok((await held()) <= 65536 && (await held()) > 49152, "by max_held_all");
  for (const { events } of clients) assert.deepEqual(events, []);
  await app.start();
  await until("all have heard all", () => clients.every(({ said }) => said.length === COUNT * clients.length));
  for (const { said } of clients) {
    for (const { name } of clients) assert.deepEqual(said.filter((line) => line.startsWith(`${name} `)), Array.from({ length: COUNT }, (_, n) => `${name} ${n} ${text}`));
  }
  assert.equal(await held(), 0);
  await asBefore(clients, 2);
  for (const client of clients) client.end();
});
