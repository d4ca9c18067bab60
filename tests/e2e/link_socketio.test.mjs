// An existing Socket.IO server behind a link: its clients see what they see of an ordinary one, line by line, over each transport and
// with each version of socket.io that the package is for.
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import { Application, testLink } from "./lib/link.mjs";
import { MODES, play, setup } from "./lib/link_story.mjs";
import { until, within } from "./lib/util.mjs";

const VERSIONS = [["4.8", "socket.io"], ["4.0", "socket.io-4.0"], ["3.1", "socket.io-3.1"]];
const reasonsOf = (app) => () => app.call(({ state }) => state.reasons);

for (const [number, version] of VERSIONS) {
  for (const mode of Object.keys(MODES)) {
    testLink(`socket.io ${number}, ${mode}: the same story as without ringcast`, { application: { version, setup }, timeout: 120000 }, async ({ broker, app }) => {
      const plain = await new Application({ version, setup, link: false }).start();
      try {
        const how = { except: number !== "3.1" };
        const expected = await play(plain.url, mode, { ...how, reasons: reasonsOf(plain) });
        const seen = await play(`http://${broker.host}`, mode, { ...how, reasons: reasonsOf(app) });
        assert.ok(expected.length > 100, "the story was played");
        assert.deepEqual(seen, expected);
      } finally {
        await plain.stop();
      }
    });
  }
}

/* The second and the third one come when the first has not left yet. */
function drops({ io }) {
  io.on("connection", (socket) => {
    socket.on("burst", (done) => {
      socket.emit("said", 1);
      socket.volatile.emit("said", 2);
      socket.volatile.emit("said", Buffer.from("3"));
      done();
    });
    socket.on("alone", () => socket.volatile.emit("said", 4));
  });
}
for (const [number, version] of VERSIONS) {
  testLink(`socket.io ${number}: what is volatile is dropped behind what waits, and comes alone`, { application: { version, setup: drops }, timeout: 60000 }, async ({ broker }) => {
    for (const transport of ["polling", "websocket"]) {
      const socket = connectClient(`http://${broker.host}`, { transports: [transport], forceNew: true, reconnection: false });
      const heard = [];
      socket.on("said", (what) => heard.push(what));
      await within(15000, new Promise((done) => socket.emit("burst", done)), "an answer");
      assert.deepEqual(heard, [1], transport);
      await until("one comes alone", () => socket.emit("alone") && heard.length > 1, { every: 50 });
      assert.ok(heard.slice(1).every((what) => what === 4), transport);
      socket.disconnect();
    }
  });
}

/* Clients choose names: none may be what breaks the link. */
function bounds({ io, state }) {
  state.warnings = [];
  process.on("warning", ({ name, message }) => state.warnings.push(`${name}: ${message}`));
  const serve = (socket) => {
    socket.on("join", (rooms, done) => (socket.join(rooms), done(socket.rooms.size)));
    socket.on("leave", (room, done) => (socket.leave(room), done(socket.rooms.size)));
    socket.on("to", (rooms, what) => socket.nsp.to(rooms).emit("to", what));
    socket.on("except", (rooms, what) => socket.nsp.except(rooms).emit("to", what));
    socket.on("huge", (size) => socket.nsp.emit("to", "x".repeat(size)));
    socket.on("echo", (value, done) => done(value));
  };
  io.on("connection", serve);
  io.of(/^\/n+$/).on("connection", serve);
}

testLink("names, lists and messages beyond the link's bounds do what they do without it, or are said", { application: { setup: bounds }, timeout: 90000 }, async ({ broker, app }) => {
  const come = async (nsp = "/") => {
    const socket = connectClient(`http://${broker.host}${nsp}`, { transports: ["websocket"], forceNew: true, reconnection: false });
    const heard = [];
    socket.on("to", (what) => heard.push(what));
    const ask = (...args) => within(15000, new Promise((done) => socket.emit(...args, done)), `an answer to ${args[0]}`);
    await ask("echo", "I am there");
    return { socket, ask, heard: async () => (await ask("echo", 1), await ask("echo", 2), heard.splice(0)) };
  };
  const [ann, bob] = [await come(), await come()];
  const [long, longer] = [`${"ü".repeat(3000)}a`, `${"ü".repeat(3000)}b`];
  await ann.ask("join", long);
  await bob.ask("join", longer);
  ann.socket.emit("to", long, "long");
  ann.socket.emit("to", longer, "longer");
  ann.socket.emit("except", longer, "but longer");
  assert.deepEqual([await ann.heard(), await bob.heard()], [["long", "but longer"], ["longer"]]);
  await ann.ask("leave", long);
  ann.socket.emit("to", long, "nobody");
  assert.deepEqual(await ann.heard(), []);

  const many = Array.from({ length: 5000 }, (_, i) => `many ${i}`);
  assert.equal(await bob.ask("join", many), 5002);
  ann.socket.emit("to", "many 4999", "the last of many");
  ann.socket.emit("to", many, "once");
  assert.deepEqual(await ann.heard(), []);
  assert.deepEqual(await bob.heard(), ["the last of many", "once"]);
  ann.socket.emit("except", [...many, "none"], "but many");
  assert.deepEqual([await ann.heard(), await bob.heard()], [["but many"], []]);

  const nsp = `/${"n".repeat(400)}`;
  const [cem, dee] = [await come(nsp), await come("/nnn")];
  assert.equal(await cem.ask("join", "r"), 2);
  cem.socket.emit("to", "r", "in a long namespace");
  cem.socket.emit("to", [], "to all there");
  assert.deepEqual([await cem.heard(), await dee.heard()], [["in a long namespace", "to all there"], []]);

  ann.socket.emit("huge", 17 << 20);
  assert.deepEqual(await ann.heard(), [], "it was not sent");
  const warnings = await app.call(({ state }) => state.warnings);
  assert.match(warnings.join(), /RingcastLink: a broadcast that is larger than a link carries was not sent/);
  assert.equal(await app.call(({ links }) => links.links.size), 2, "no link was broken");
  for (const { socket } of [ann, bob, cem, dee]) socket.disconnect();
});
