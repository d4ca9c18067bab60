// Clients of Socket.IO 2 (Engine.IO 3) behind a link, beside those of today: what socket.io-client 2.5 sees is what it sees of an ordinary server
// with allowEIO3, over each transport; and its heartbeat, which is the client's, and its payloads, at the level of bytes.
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import connectOldClient from "socket.io-client-2";
import { Application, testLink } from "./lib/link.mjs";
import { MODES } from "./lib/link_story.mjs";
import { until, within } from "./lib/util.mjs";
import { WebSocket } from "ws";

const ALLOWED = { "socketio.allow_eio3": true };
const options = { allowEIO3: true };
const TEXT = "hello, ü€😀 \u2028";

function setup({ io, state }) {
  state.seen = [];
  const serve = (socket) => {
    socket.emit("welcome", { nsp: socket.nsp.name, protocol: socket.conn.protocol });
    socket.on("echo", (...values) => {
      const done = values.pop();
      done(...values);
    });
    socket.on("join", (room, done) => (socket.join(room), done(room)));
    socket.on("say", (room, ...values) => socket.nsp.to(room).emit("said", ...values));
    socket.on("leave me", () => socket.disconnect());
    socket.on("disconnect", (reason) => state.seen.push(reason));
  };
  io.on("connection", serve);
  io.of("/second").on("connection", serve);
}

/* A client, and what it has heard. */
class Guest {
  constructor(connect, url, transports) {
    this.socket = connect(url, { transports, forceNew: true, reconnection: false, query: { a: "ü" } });
    this.heard = [];
    for (const name of ["welcome", "said"]) this.socket.on(name, (...values) => this.heard.push(JSON.stringify([name, ...values])));
    for (const name of ["disconnect", "connect_error", "error"]) this.socket.on(name, (reason) => this.heard.push(`${name}: ${reason?.message ?? reason}`));
    this.came = within(15000, new Promise((done) => this.socket.once("welcome", done)), "it comes");
  }

  ask(...args) {
    return within(15000, new Promise((done) => this.socket.emit(...args, (...answer) => done(answer))), `an answer to ${args[0]}`);
  }

  hears(count) {
    return until(`${count} are heard: ${this.heard}`, () => this.heard.length >= count);
  }
}

async function story(url, transports) {
  const old = new Guest(connectOldClient, url, transports);
  const other = new Guest(connectOldClient, url, transports);
  const young = new Guest(connectClient, url, transports);
  const second = new Guest(connectOldClient, `${url}/second`, transports);
  const all = [old, other, young, second];
  await Promise.all(all.map(({ came }) => came));
  const bytes = Buffer.from([0, 4, 0x1e, 255, 1]);
  assert.deepEqual(await old.ask("echo", TEXT, 1, null), [TEXT, 1, null]);
  const [answer] = await old.ask("echo", { bytes, text: TEXT, none: Buffer.alloc(0) });
  assert.deepEqual([Buffer.from(answer.bytes), answer.text, answer.none.byteLength ?? answer.none.length], [bytes, TEXT, 0]);
  const large = "ü😀".repeat(20000);
  assert.deepEqual(await old.ask("echo", large, Buffer.alloc(100000, 7)).then(([text, its]) => [text, Buffer.from(its).equals(Buffer.alloc(100000, 7))]), [large, true]);
  for (const guest of all) await guest.ask("join", "room");
  // One broadcast, whose frames are other ones for either kind of client; several packets in one payload.
  for (let i = 0; i < 5; i++) young.socket.emit("say", "room", i, TEXT);
  for (const guest of [old, other, young]) await guest.hears(6);
  old.socket.emit("say", "room", bytes, TEXT, { more: bytes });
  second.socket.emit("say", "room", "in the second namespace");
  for (const guest of [old, other, young]) await guest.hears(7);
  await second.hears(2);
  other.socket.emit("leave me");
  await other.hears(8);
  old.socket.disconnect();
  assert.deepEqual(await young.ask("echo", "still there"), ["still there"]);
  const heard = all.map((guest) => guest.heard);
  for (const { socket } of all) socket.disconnect();
  return heard;
}

for (const [mode, transports] of Object.entries(MODES)) {
  testLink(`socket.io-client 2.5, ${mode}: it sees what it sees without ringcast`, { config: ALLOWED, application: { setup, options }, timeout: 90000 }, async ({ broker, app }) => {
    const plain = await new Application({ setup, options, link: false }).start();
    try {
      const expected = await story(plain.url, transports);
      assert.deepEqual(expected[0][0], '["welcome",{"nsp":"/","protocol":3}]');
      assert.deepEqual(await story(`http://${broker.host}`, transports), expected);
      await until("all are gone", async () => (await app.call(({ state }) => state.seen)).length === 5); // one of them in two namespaces
    } finally {
      await plain.stop();
    }
  });
}

testLink("without allow_eio3 such clients are told so", { application: { setup, options } }, async ({ broker, app }) => {
  const url = `http://${broker.host}/socket.io/?EIO=3&transport=polling`;
  const refused = await fetch(url);
  assert.deepEqual([refused.status, await refused.json()], [400, { code: 5, message: "Unsupported protocol version" }]);
  await until("the log says that the application allows more", () => broker.log.some((line) => /link_options.*allowEIO3/.test(line)));
  assert.equal(await app.call(({ io }) => io.engine.clientsCount), 0);
});

/* At the level of bytes. */
const engine = (broker, more) => `http://${broker.host}/socket.io/?EIO=3&transport=polling${more}`;

async function open(broker, more = "") {
  const [length, packet] = (await (await fetch(engine(broker, more))).text()).split(/:(.*)/);
  assert.equal(packet.length, Number(length));
  const { sid, upgrades } = JSON.parse(packet.slice(1));
  assert.deepEqual(upgrades, ["websocket"]);
  return { sid, get: async () => Buffer.from(await (await fetch(engine(broker, `&sid=${sid}`))).arrayBuffer()), post: (body, type = "text/plain;charset=UTF-8") => fetch(engine(broker, `&sid=${sid}`), { method: "POST", body, headers: { "content-type": type } }) };
}

testLink("payloads: lengths in units of UTF-16, in bytes, or base64 for who takes text alone", { config: ALLOWED, application: { setup, options } }, async ({ broker }) => {
  const welcome = '42["welcome",{"nsp":"/","protocol":3}]';
  const first = await open(broker);
  let text = "";
  await until("it is welcome", async () => (text += await first.get()).includes("welcome"));
  assert.equal(text, `2:40${welcome.length}:${welcome}`);
  // With an acknowledgement each; 😀 is two units, and four bytes.
  assert.equal(await (await first.post('16:420["echo","😀"]1:2')).text(), "ok");
  let seen = "";
  await until("both are answered", async () => (seen += await first.get()).includes("1:3") && seen.includes('430["😀"]'));
  assert.ok(seen.includes('9:430["😀"]'), seen);
  const event = Buffer.from('451-7["echo",{"_placeholder":true,"num":0}]');
  const body = Buffer.concat([Buffer.from([0, ...String(event.length).split("").map(Number), 255]), event, Buffer.from([1, 3, 255, 4, 9, 255])]);
  assert.equal(await (await first.post(body, "application/octet-stream")).text(), "ok");
  const answer = await first.get();
  const ack = Buffer.from('461-7[{"_placeholder":true,"num":0}]');
  assert.deepEqual(answer, Buffer.concat([Buffer.from([0, ...String(ack.length).split("").map(Number), 255]), ack, Buffer.from([1, 3, 255, 4, 9, 255])]));

  const second = await open(broker, "&b64=1");
  await until("it is welcome", async () => (await second.get()).includes("welcome"));
  assert.equal(await (await second.post(`${event.length}:${event}6:b4Cf8=`)).text(), "ok");
  assert.equal((await second.get()).toString(), `${ack.length}:${ack}6:b4Cf8=`);

  for (const broken of ["", "4hello", "2:4", "0:", "99999999999:4", "2:4😀", "x", "1:3"]) {
    const third = await open(broker);
    await third.get();
    const { status } = await third.post(broken);
    assert.equal(status, 400, JSON.stringify(broken));
    assert.match((await third.get()).toString(), /"code":1/);
  }
  // Each revision has sessions of its own.
  assert.equal((await fetch(`http://${broker.host}/socket.io/?EIO=4&transport=polling&sid=${first.sid}`)).status, 400);
});

testLink("the heartbeat is the client's: who pings stays, who is silent is given up", {
  config: { ...ALLOWED, "socketio.ping_interval": "500ms", "socketio.ping_timeout": "3s" }, application: { setup, options },
}, async ({ broker, app }) => {
  const old = new Guest(connectOldClient, `http://${broker.host}`, ["websocket"]);
  const polling = new Guest(connectOldClient, `http://${broker.host}`, ["polling"]);
  await Promise.all([old.came, polling.came]);
  const silent = new WebSocket(`ws://${broker.host}/socket.io/?EIO=3&transport=websocket`);
  const texts = [];
  silent.on("message", (data) => texts.push(String(data)));
  await within(10000, new Promise((done) => silent.once("close", done)), "the silent one is given up");
  assert.ok(!texts.includes("2"), "it was not asked");
  await until("the application knows why", async () => (await app.call(({ state }) => state.seen)).includes("ping timeout"));
  let pongs = 0;
  old.socket.io.engine.on("pong", () => pongs++);
  await until("it has been answered", () => pongs >= 4);
  for (const guest of [old, polling]) assert.deepEqual(await guest.ask("echo", 1), [1]);
  assert.deepEqual([old.heard.length, polling.heard.length], [1, 1]);
  for (const { socket } of [old, polling]) socket.disconnect();
});

testLink("such a client outlives its application, too", { needs: "resume", config: ALLOWED, application: { setup, options, link: { resume: true } }, timeout: 60000 }, async ({ broker, app }) => {
  const guests = Object.values(MODES).map((transports) => new Guest(connectOldClient, `http://${broker.host}`, transports));
  await Promise.all(guests.map(({ came }) => came));
  for (const guest of guests) await guest.ask("join", "room");
  await app.kill();
  const asked = guests.map((guest) => guest.ask("echo", TEXT));
  await app.start();
  assert.deepEqual(await Promise.all(asked), guests.map(() => [TEXT]));
  guests[0].socket.emit("say", "room", "again");
  for (const guest of guests) await until(`it is heard: ${guest.heard}`, () => guest.heard.at(-1) === '["said","again"]');
  for (const guest of guests) assert.ok(!guest.heard.some((line) => /disconnect/.test(line)), guest.heard.join());
  for (const { socket } of guests) socket.disconnect();
});

function remembers({ io }) {
  const serve = (socket) => {
    socket.emit("welcome");
    socket.on("who", (done) => done(socket.id, socket.handshake.auth, socket.recovered));
  };
  io.of("/second").on("connection", serve);
  io.of((name, auth, next) => next(null, auth.token === "right, ü&=")).on("connection", serve);
}

testLink("and has in each namespace what it said there", { needs: "resume", config: ALLOWED, application: { setup: remembers, options, link: { resume: true } }, timeout: 60000 }, async ({ broker, app }) => {
  const query = new URLSearchParams({ token: "right, ü&=", name: "old" });
  const guests = ["/second", "/chosen"].map((name) => new Guest(connectOldClient, `http://${broker.host}${name}?${query}`, ["websocket"]));
  await Promise.all(guests.map(({ came }) => came));
  const before = await Promise.all(guests.map((guest) => guest.ask("who")));
  for (const [, auth] of before) assert.deepEqual([auth.token, auth.name], ["right, ü&=", "old"]);
  await app.kill();
  const asked = guests.map((guest) => guest.ask("who"));
  await app.start();
  assert.deepEqual(await Promise.all(asked), before.map(([id, auth]) => [id, auth, true]));
  for (const { socket } of guests) socket.disconnect();
});
