// Clients of an application behind a link who notice everything: what ends, what is lost, what comes twice. For tests of what goes, and comes again.
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import { until, within } from "./util.mjs";

export const CLIENTS = 12;
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

export function setup({ io, state }) {
  Object.assign(state, { connections: 0, middlewares: 0, reasons: [], recovered: 0 });
  io.use((socket, next) => (state.middlewares++, next()));
  const serve = (socket) => {
    state.connections++;
    if (socket.recovered) state.recovered++;
    else {
      socket.data.visits = 0;
      socket.join(["all", 42, socket.handshake.auth.name]);
    }
    socket.on("visit", (answer) => answer(++socket.data.visits));
    socket.on("echo", (bytes, n, answer) => answer(bytes, n));
    socket.on("last visit", (answer) => (answer(++socket.data.visits), setImmediate(() => process.kill(process.pid, "SIGKILL"))));
    socket.on("rooms", (answer) => answer([...socket.rooms].map((room) => (room === socket.id ? "itself" : room)).sort(), socket.handshake.auth.name, process.pid));
    socket.on("say", (n) => io.to("all").emit("said", socket.handshake.auth.name, n));
    socket.on("disconnect", (reason) => state.reasons.push(reason));
  };
  io.on("connection", serve);
  io.of("/second").on("connection", serve);
}

export class Client {
  constructor(broker, i) {
    this.name = `client ${i}`;
    this.events = [];
    this.said = [];
    const options = { transports: TRANSPORTS[i % 3], forceNew: true, reconnectionDelay: 100, auth: { name: this.name } };
    this.socket = connectClient(`http://${broker.host}`, options);
    this.second = this.socket.io.socket("/second", options);
    for (const socket of [this.socket, this.second]) {
      socket.on("disconnect", (reason) => this.events.push(`disconnect: ${reason}`));
      socket.on("connect_error", (error) => this.events.push(`connect_error: ${error.message}`));
    }
    this.socket.on("said", (who, n) => this.said.push(`${who} ${n}`));
  }

  async come() {
    await within(20000, Promise.all([this.socket, this.second].map((socket) => new Promise((done) => socket.once("connect", done)))), `${this.name} comes`);
    if (this.socket.io.opts.transports.length === 2) await until("the upgrade", () => this.socket.io.engine.transport.name === "websocket");
    this.ids = [this.socket.id, this.second.id];
    return this;
  }

  ask(event, socket = this.socket) {
    return within(20000, new Promise((done) => socket.emit(event, (...answer) => done(answer))), `${this.name} is answered ${event}`);
  }

  end() {
    this.socket.io._close();
  }
}

export const comeAll = (broker) => Promise.all(Array.from({ length: CLIENTS }, (_, i) => new Client(broker, i).come()));
export const stateOf = (app) => app.call(({ state }) => state);

/* Nobody noticed, and all is as it was: ids, rooms, data, the second namespace; `visits` so far. */
export async function asBefore(clients, visits) {
  for (const client of clients) {
    assert.deepEqual(client.events, [], client.name);
    assert.deepEqual([client.socket.id, client.second.id], client.ids);
    assert.deepEqual((await client.ask("rooms")).slice(0, 2), [[42, "all", client.name, "itself"], client.name]);
    assert.deepEqual(await client.ask("visit"), [visits]);
    assert.deepEqual(await client.ask("visit", client.second), [visits]);
  }
}

/* What all say is heard by all, once each, in the order of each. */
export async function sayAll(clients, from, count, during = () => {}) {
  for (const client of clients) client.said.length = 0;
  for (let n = from; n < from + count; n++) {
    for (const client of clients) client.socket.emit("say", n);
    if (n === from) await during();
  }
  const wanted = clients.length * count;
  await until("all have heard all", () => clients.every(({ said }) => said.length >= wanted));
  for (const { said } of clients) {
    assert.equal(new Set(said).size, said.length, "nothing comes twice");
    for (const { name } of clients) assert.deepEqual(said.filter((line) => line.startsWith(`${name} `)), Array.from({ length: count }, (_, i) => `${name} ${from + i}`));
  }
}

/*
 * The same where what somebody was just doing may be lost: all talk until that is settled, and on until all have heard something of all that was said
 * behind it. Nothing comes twice, and in the order of each.
 */
export async function talkWhile(clients, during) {
  const heard = (client, { name }) => client.said.filter((line) => line.startsWith(`${name} `)).map((line) => Number(line.slice(name.length + 1)));
  let behind = Infinity;
  let said = 0;
  const settled = during.finally(() => (behind = said));
  settled.catch(() => {}); // it is looked at below
  for (const client of clients) client.said.length = 0;
  await until("all have heard of all what was said behind it", () => {
    for (const client of clients) client.socket.emit("say", said);
    said++;
    return clients.every((client) => clients.every((other) => heard(client, other).at(-1) >= behind));
  }, { every: 30, timeout: 20000 });
  await settled;
  for (const client of clients) {
    for (const other of clients) heard(client, other).forEach((n, i, all) => assert.ok(i === 0 || n > all[i - 1], `${other.name}: ${all}`));
  }
}

/* All say one thing after the other until that is settled, at most AHEAD of what all have heard: each is heard by all once, in the order of each. */
const AHEAD = 4;
export async function sayWhile(clients, during) {
  let over = false;
  const settled = during.finally(() => (over = true));
  settled.catch(() => {}); // it is looked at below
  for (const client of clients) client.said.length = 0;
  let said = 0;
  const heard = () => clients.every((client) => client.said.length >= (said - AHEAD) * clients.length);
  while (!over) {
    for (const client of clients) client.socket.emit("say", said);
    said++;
    await until("what was said is heard", heard);
  }
  await settled;
  await until("all have heard all", () => clients.every((client) => client.said.length >= said * clients.length));
  for (const client of clients) {
    assert.equal(client.said.length, said * clients.length, "nothing comes twice");
    for (const { name } of clients) assert.deepEqual(client.said.filter((line) => line.startsWith(`${name} `)), Array.from({ length: said }, (_, i) => `${name} ${i}`));
  }
}
