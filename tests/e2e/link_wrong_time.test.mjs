// Frames that are right by themselves, and come at the wrong time: before the verdict on a handshake, behind the end of a connection, twice, behind
// DETACH (docs/link.md). They mean nothing, or end their own link; clients get nothing but what they should, and the others' are as they were.
import assert from "node:assert/strict";
import { Application, FLAGS, client, list, messages, testLink, text, u32 } from "./lib/application.mjs";
import { hasLinks } from "./lib/link.mjs";
import { until } from "./lib/util.mjs";

const metric = async (broker, name) => (await broker.metrics())(name);
const bytes = (json) => Buffer.concat([u32(json.length), Buffer.from(json)]);
const said = (rooms, message) => Buffer.concat([text("/"), list(rooms), list([]), text(""), messages([message])]);
const u64 = (value) => { const out = Buffer.alloc(8); out.writeBigUInt64LE(BigInt(value)); return out; };

/* Each frame of one connection. */
const OF_CONNECTION = {
  ACCEPT: { payload: Buffer.from("{}") },
  REJECT: { payload: Buffer.from("{}") },
  TEXT: { payload: Buffer.from("wrong") },
  BINARY: { payload: Buffer.from("wrong") },
  "TEXT that does not end": { type: "TEXT", flags: FLAGS.MORE, payload: Buffer.from("wrong") },
  CLOSE: {},
  "CLOSE at once": { type: "CLOSE", flags: FLAGS.DISCARD },
  JOIN: (sid) => ({ payload: Buffer.concat([text("/"), text(sid), list(["sroom"])]) }),
  LEAVE: (sid) => ({ payload: Buffer.concat([text("/"), text(sid), list(["sroom"])]) }),
  "LEAVE all": (sid) => ({ type: "LEAVE", flags: FLAGS.ALL, payload: Buffer.concat([text("/"), text(sid), list([])]) }),
  SESSION: (sid) => ({ payload: Buffer.concat([text("/"), text(sid), text("pid"), bytes("{}"), bytes("{}")]) }),
  RESUMED: {},
};
function say({ link, id, open }, name) {
  const how = typeof OF_CONNECTION[name] === "function" ? OF_CONNECTION[name](open.sid) : OF_CONNECTION[name];
  link.send(how.type ?? name, { connection: id, ...how });
}

for (const transport of ["polling", "websocket"]) {
  testLink(`before the verdict on a handshake: ${transport}`, { application: { asks: true }, timeout: 60000 }, async (broker, application) => {
    await application.linked(1);
    const socket = client(broker, [transport]);
    const [connection] = await application.connected(1);
    assert.ok(connection.held);
    for (const name of ["JOIN", "SESSION", "RESUMED", "LEAVE", "JOIN"]) say(connection, name);
    application.broadcast("/", {}, "to all, before it");
    application.broadcast("/", { rooms: ["sroom"] }, "to the room, before it");
    application.broadcast("/", { rooms: ["sroom", "sother"] }, "to rooms, before it");
    application.broadcast("/", { rooms: ["sroom"], flags: FLAGS.VOLATILE }, "volatile, before it");
    connection.accept([]);
    connection.text("right behind it");
    application.broadcast("/", { rooms: ["sroom"] }, "the last");
    await socket.opening;
    await until("it has the last", () => socket.heard.includes("the last"));
    assert.deepEqual(socket.heard.filter((message) => !/volatile/.test(message)), ["to all, before it", "to the room, before it", "to rooms, before it", "right behind it", "the last"], "in order, behind the open packet");
    assert.equal(application.all.length, 1, "the link goes on");
    assert.equal(socket.closed, undefined);
  });

  testLink(`behind a verdict, and behind the end of a connection: ${transport}`, { application: { asks: true }, timeout: 90000 }, async (broker, application) => {
    await application.linked(1);
    let count = 0;
    const come = async () => {
      const socket = client(broker, [transport]);
      socket.opening.catch(() => {}); // some are refused
      const connection = (await application.connected(++count))[count - 1];
      return { socket, connection };
    };
    // Given up, refused, or closed before it was accepted: whatever follows is for nobody.
    for (const end of ["CLOSE", "CLOSE at once", "REJECT"]) {
      const { socket, connection } = await come();
      say(connection, end);
      for (const name of Object.keys(OF_CONNECTION)) say(connection, name), say(connection, name);
      await until(`${end}: it was refused`, () => socket.closed);
      assert.equal(application.all.length, 1, end);
    }
    const other = await come();
    other.connection.accept([]);
    await other.socket.opening;
    other.connection.join("/", other.connection.open.sid, ["sroom"]);
    for (const end of ["CLOSE", "CLOSE at once"]) {
      const { socket, connection } = await come();
      connection.accept([]);
      await socket.opening;
      connection.join("/", connection.open.sid, ["sroom"]);
      connection.text("the last");
      if (end === "CLOSE at once") await until("it has it", () => socket.heard.includes("the last"));
      say(connection, end);
      for (const name of Object.keys(OF_CONNECTION)) if (name !== "CLOSE at once") say(connection, name), say(connection, name);
      application.broadcast("/", { rooms: ["sroom"] }, `behind ${end}`);
      await until(`${end}: it is closed`, () => socket.closed);
      await until("the application is told", () => connection.closed);
      assert.deepEqual(socket.heard, ["the last"], `${end}: nothing comes behind it`);
      assert.equal(connection.link.of("CLOSED", connection.id).length, 1, "once");
      for (const name of Object.keys(OF_CONNECTION)) say(connection, name), say(connection, name);
    }
    other.connection.text("still there");
    await until("the other one has heard all", () => other.socket.heard.length === 3);
    assert.deepEqual(other.socket.heard, ["behind CLOSE", "behind CLOSE at once", "still there"]);
    assert.equal(application.all.length, 1);
    assert.equal(await metric(broker, "ringcast_link_broken_total"), 0);
    // A second verdict on one that is there is no frame of this protocol: its own link ends, and says why.
    say(other.connection, "ACCEPT");
    await until("the link ends", () => other.connection.link.ended);
    assert.match(other.connection.link.of("ERROR")[0].payload.toString(), /verdict/);
  });
}

const resumes = (link) => link.ready({ resume: true, frames: 0 });
for (const [how, greet] of [["resumes", resumes], ["does not resume", (link) => link.ready({})]]) {
  testLink(`behind DETACH of a process that ${how}`, { backend: { grace: "1h" }, application: { greet }, timeout: 90000 }, async (broker, application) => {
    const other = await new Application({ greet }).listen();
    other.heard = (connection, message) => connection.text(message);
    try {
      const [link] = await application.linked(1);
      const socket = client(broker, ["websocket"]);
      await socket.opening;
      const [connection] = await application.connected(1);
      connection.join("/", connection.open.sid, ["sroom"]);
      connection.text("before");
      await until("it is heard", () => socket.heard.length === 1);
      const before = await metric(broker, "ringcast_link_frames_in_total");
      for (const flags of [1, 1, 0, 0, 1]) link.send("DETACH", { flags });
      const names = Object.keys(OF_CONNECTION).filter((name) => how === "resumes" || !/ACCEPT|REJECT/.test(name)); // what it has ends with the link
      for (const name of names) say(connection, name), say(connection, name);
      link.send("RECEIPT", { payload: u64(0) });
      link.send("RECEIPT", { payload: u64(1000) });
      link.send("ASKS", { payload: Buffer.from([1]) });
      link.send("ASKS", { payload: Buffer.from([0]) });
      link.send("ENTER", { payload: Buffer.concat([text("/"), text("uid")]) });
      link.send("CLUSTER", { payload: Buffer.concat([text("/"), text("uid"), text(""), Buffer.from("x")]) });
      link.send("EXIT", { payload: Buffer.concat([text("/"), text("uid")]) });
      link.send("EXIT", { payload: Buffer.concat([text("/"), text("uid")]) });
      link.send("REQUEST", { payload: Buffer.concat([u32(1), text("/"), text("pid"), text("offset")]) });
      link.send("KEEP", { payload: Buffer.concat([text("/"), text("sid"), text("pid"), bytes("{}"), bytes("{}"), list([])]) });
      link.send("BROADCAST", { payload: said([], "a broadcast of it") });
      link.send("PONG", { payload: Buffer.from("?") });
      await until("all is carried out", async () => await metric(broker, "ringcast_link_frames_in_total") >= before + 5 + 2 * names.length + 12); // and PONGs, as they come; the last one is such
      assert.equal(link.ended, false);
      broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], url: [other.url] }] });
      broker.child.kill("SIGHUP");
      if (how === "resumes") {
        const [again] = await other.connected(1);
        assert.deepEqual(again.open.resume.map(({ nsp, sid, rooms }) => ({ nsp, sid, rooms })), [{ nsp: "/", sid: connection.open.sid, rooms: ["sroom"] }], "as it was before DETACH");
        again.link.send("RESUMED", { connection: again.id });
        again.link.send("RESUMED", { connection: again.id });
        socket.send("hello");
        await until("it is answered by the next one", () => socket.heard.includes("hello"));
        assert.deepEqual(socket.heard, ["before", "a broadcast of it", "hello"]);
        assert.equal(socket.closed, undefined);
      }
      await hasLinks(broker, 2);
      const next = client(broker, ["websocket"]);
      await next.opening;
      next.send("hello");
      await until("who comes is answered", () => next.heard.includes("hello"));
      assert.equal(application.conns.length, 1, "and comes to the other one");
      assert.equal(broker.log.filter((line) => /child_died/.test(line)).length, 0);
    } finally {
      await other.close();
    }
  });
}
