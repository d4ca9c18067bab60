// Clients whose connection is lost and who come back to an application behind links, with connectionStateRecovery in it and nothing else: as who they
// were, on any worker, at another process, over what died in between; and what they missed, once and in order.
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import { testLink } from "./lib/link.mjs";
import { until, within } from "./lib/util.mjs";

function setup({ io, state, links }) {
  Object.assign(state, { connections: 0, recovered: 0, reasons: [] });
  io.on("connection", (socket) => {
    state.connections++;
    state.recovered += socket.recovered;
    if (!socket.recovered) {
      socket.join(["all", 42, socket.handshake.auth.name]);
      socket.data.since = socket.id;
    }
    socket.on("who", (answer) => answer(socket.data, [...socket.rooms].map((room) => (room === socket.id ? "itself" : room)), socket.conn.link.hello.worker, process.pid));
    socket.on("disconnect", (reason) => state.reasons.push(reason));
  });
}
const application = { setup, options: { connectionStateRecovery: {} } };
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

class Client {
  constructor(broker, i) {
    this.name = `client ${i}`;
    this.heard = [];
    this.socket = connectClient(`http://${broker.host}`, { transports: TRANSPORTS[i % 3], forceNew: true, reconnection: false, auth: { name: this.name } });
    for (const name of ["first", "said", "bytes"]) this.socket.on(name, (...args) => this.heard.push([name, ...args]));
  }

  comes() {
    return within(20000, new Promise((done, failed) => (this.socket.connected ? done() : this.socket.once("connect", done).once("connect_error", failed))), `${this.name} comes`);
  }

  ask() {
    return within(20000, new Promise((done) => this.socket.emit("who", (...answer) => done(answer))), `${this.name} is answered`);
  }

  /* Its connection breaks: without a word of Socket.IO. */
  async breaks() {
    this.id = this.socket.id;
    this.socket.io.engine.close();
    await until("it knows", () => !this.socket.connected);
  }

  async returns() {
    this.socket.connect();
    await this.comes();
    return Boolean(this.socket.recovered);
  }

  async isWho() {
    assert.equal(this.socket.recovered, true, this.name);
    assert.equal(this.socket.id, this.id);
    const [data, rooms, worker, pid] = await this.ask();
    assert.deepEqual([data, rooms.map(String).sort()], [{ since: this.id }, ["42", "all", this.name, "itself"].sort()]);
    assert.ok(rooms.includes(42), "a number is a number");
    return { worker, pid };
  }

  end() {
    this.socket.disconnect();
  }
}

/* Each has got something, and so has an offset. */
async function come(broker, app, count) {
  const clients = Array.from({ length: count }, (_, i) => new Client(broker, i));
  await Promise.all(clients.map((client) => client.comes()));
  await app.call(({ io }) => void io.emit("first"));
  await until("all have an offset", () => clients.every(({ heard }) => heard.length > 0));
  for (const client of clients) client.heard.length = 0;
  return clients;
}

const lost = (app, count) => until(`${count} are lost`, async () => (await app.call(({ state }) => state.reasons.length)) === count);
const totalOf = async (broker, name) => (await broker.metrics())(name);

testLink("they come back as who they were, each transport: what was for them, once, in order, before what is said now", { application, timeout: 90000 }, async ({ broker, app }) => {
  const clients = await come(broker, app, 6);
  const workers = new Set();
  let gone = 0;
  for (let round = 0; round < 4; round++) {
    for (const client of clients) await client.breaks();
    await lost(app, (gone += clients.length));
    await app.call(({ io }, ids) => {
      io.emit("said", 1);
      io.to("all").except("client 0").emit("said", 2);
      io.to(["client 0", "client 1", "nobody"]).emit("said", 3);
      io.to(42).emit("bytes", Buffer.from([0, 1, 255]), { deep: Buffer.from("x") });
      io.volatile.emit("said", "volatile");
      io.to("nobody").emit("said", "nobody");
      io.of("/other").emit("said", "of another namespace");
      io.local.to("all").emit("said", 4);
      for (const id of ids) io.to(id).emit("said", id);
      io.except(42).emit("said", "none");
      io.emit("said", 5);
    }, clients.map(({ id }) => id));
    for (const client of clients) assert.equal(await client.returns(), true, client.name);
    await app.call(({ io }) => void io.emit("said", "now"));
    for (const [i, client] of clients.entries()) {
      await until("it has heard all", () => client.heard.at(-1)?.[1] === "now");
      const heard = client.heard.splice(0).map(([name, value, more]) => (name === "bytes" ? [...new Uint8Array(value), String(new TextDecoder().decode(more.deep))] : value));
      assert.deepEqual(heard, [1, ...(i === 0 ? [] : [2]), ...(i < 2 ? [3] : []), [0, 1, 255, "x"], 4, client.id, 5, "now"], client.name);
      workers.add((await client.isWho()).worker);
    }
  }
  assert.equal(workers.size, 2, "on both workers");
  assert.equal(await totalOf(broker, "ringcast_socketio_recovered_total"), 4 * clients.length);
  for (const client of clients) client.end();
});

// However much is said while a machine that is busy with other things lets them come back.
testLink("what is said while a client comes back is heard once", { application, config: { "socketio.recovery_max": "64MiB" }, timeout: 90000 }, async ({ broker, app }) => {
  const clients = await come(broker, app, 4);
  await app.call(({ io, state }) => {
    state.said = 0;
    const say = () => {
      for (let i = 0; i < 3; i++) io.emit("said", state.said++);
      for (const { id } of io.sockets.sockets.values()) io.to(id).emit("said", `own ${id}`);
      if (state.over) return;
      setTimeout(say, 1);
    };
    say();
  });
  for (let round = 0; round < 5; round++) {
    await Promise.all(clients.map((client) => client.breaks()));
    await until("all are known to be lost", async () => await totalOf(broker, "ringcast_socketio_recovery_sessions_lost") === clients.length);
    await Promise.all(clients.map(async (client) => assert.equal(await client.returns(), true, client.name)));
  }
  const said = await app.call(({ state }) => ((state.over = true), state.said));
  for (const client of clients) {
    await until("the last", () => client.heard.filter(([, n]) => typeof n === "number").at(-1)?.[1] >= said - 1);
    const numbers = client.heard.map(([, n]) => n).filter((n) => typeof n === "number");
    assert.deepEqual(numbers, Array.from({ length: numbers.length }, (_, i) => numbers[0] + i), "each once, in order");
    client.end();
  }
});

testLink("the application is killed while they are away, and another process is there when they come: they are who they were", { application, applications: 2, timeout: 90000 }, async ({ broker, apps }) => {
  const [app, other] = apps;
  const clients = await come(broker, app, 6);
  const homes = new Map();
  for (const client of clients) {
    await client.breaks();
    homes.set(client, null);
  }
  await until("all are lost", async () => (await totalOf(broker, "ringcast_socketio_recovery_sessions_lost")) === clients.length);
  await other.call(({ io }) => void io.emit("said", "while away"));
  for (const one of apps) await one.kill();
  await app.start();
  await app.isLinked(2);
  for (const client of clients) {
    assert.equal(await client.returns(), true, client.name);
    assert.equal((await client.isWho()).pid, app.child.pid);
    await until("it has heard", () => client.heard.length > 0);
    assert.deepEqual(client.heard.splice(0).map(([, what]) => what), ["while away"]);
  }
  for (const client of clients) client.end();
});

testLink("they go while no process is there: ringcast keeps them by itself, and who was closed for grace", { application, table: { grace: "300ms" }, timeout: 90000 }, async ({ broker, app }) => {
  const clients = await come(broker, app, 6);
  await Promise.all(clients.map((client) => client.ask())); // what sockets are is told by now
  for (const client of clients) client.id = client.socket.id;
  await app.kill();
  // Whose end a worker hears of before it hears of the process' is still that one's to keep.
  await until("the workers know that it is gone", () => broker.log.filter((line) => /\blink_lost\b/.test(line)).length === 2);
  for (const client of clients.slice(0, 3)) client.socket.io.engine.close();
  await until("the grace of the others is over", () => clients.every(({ socket }) => !socket.connected));
  await until("all are kept", async () => (await totalOf(broker, "ringcast_socketio_recovery_sessions_lost")) === clients.length);
  await app.start();
  await app.isLinked(2);
  for (const client of clients) {
    assert.equal(await client.returns(), true, client.name);
    await client.isWho();
    assert.deepEqual(client.heard, []);
  }
  for (const client of clients) client.end();
});

testLink("the relay is killed, then a worker: who was away comes back all the same", { application, timeout: 90000 }, async ({ broker, app }) => {
  const clients = await come(broker, app, 6);
  for (const client of clients) await client.breaks();
  await lost(app, clients.length);
  await app.call(({ io }) => void io.emit("said", 1));
  await until("all are kept", async () => (await totalOf(broker, "ringcast_socketio_recovery_sessions_lost")) === clients.length);
  const rowOf = async (who) => (await broker.status()).processes.find((row) => row.process === who);
  for (const who of ["relay", "worker 0"]) {
    const { pid } = await rowOf(who);
    process.kill(pid, "SIGKILL");
    await until(`another ${who} is there`, async () => {
      const now = await rowOf(who);
      return now.pid !== pid && now.state === "ready";
    });
    await app.isLinked(2);
    await app.call(({ io }, what) => void io.emit("said", what), who);
  }
  for (const client of clients) {
    assert.equal(await client.returns(), true, client.name);
    await client.isWho();
    await until("it has heard all", () => client.heard.length >= 3);
    assert.deepEqual(client.heard.map(([, what]) => what), [1, "relay", "worker 0"]);
    client.end();
  }
});

testLink("who is not who they say, or missed too much, is somebody new; a session is had once", { application, config: { "socketio.recovery_max": "64KiB" }, timeout: 90000 }, async ({ broker, app }) => {
  const [one, two, three] = await come(broker, app, 3);
  for (const client of [one, two, three]) await client.breaks();
  await lost(app, 3);
  const { _pid: pid, _lastOffset: offset } = one.socket;
  two.socket._lastOffset = "none of ours";
  assert.equal(await two.returns(), false);
  assert.equal(await one.returns(), true);
  const again = new Client(broker, 4);
  await again.comes();
  await again.breaks();
  Object.assign(again.socket, { _pid: pid, _lastOffset: offset });
  assert.equal(await again.returns(), false, "it is there already");
  await app.call(({ io }) => {
    for (let i = 0; i < 9; i++) io.emit("said", "x".repeat(8192));
  });
  assert.equal(await three.returns(), false, "it missed too much");
  const metrics = await broker.metrics();
  assert.deepEqual(["unknown", "old", "much"].map((reason) => metrics(`ringcast_socketio_not_recovered_total{reason="${reason}"}`)), [1, 1, 1]);
  assert.equal(metrics("ringcast_socketio_recovered_total"), 1);
  for (const client of [one, two, three, again]) client.end();
});

testLink("without connectionStateRecovery nothing is kept, and who comes back is somebody new", { application: { setup }, timeout: 60000 }, async ({ broker, app }) => {
  const clients = await Promise.all(Array.from({ length: 3 }, (_, i) => new Client(broker, i)));
  for (const client of clients) await client.comes();
  await app.call(({ io }) => void io.emit("said", 1));
  for (const client of clients) {
    await client.breaks();
    assert.equal(await client.returns(), false);
    client.end();
  }
  const metrics = await broker.metrics();
  assert.deepEqual(["sessions", "log_bytes"].map((name) => metrics(`ringcast_socketio_recovery_${name}`)), [0, 0]);
});
