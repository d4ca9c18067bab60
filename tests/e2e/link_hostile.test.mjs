// Links with processes that are broken, hostile, or stand still: they harm themselves alone (docs/link.md).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Application, FLAGS, SECRET, TYPES, client, frame, list, messages, testLink, text, u32 } from "./lib/application.mjs";
import { ask } from "./lib/socketio.mjs";
import { until } from "./lib/util.mjs";

const metric = async (broker, name) => (await broker.metrics())(name);
const refused = async (broker) => (await ask(broker, "GET", "/socket.io/?EIO=4&transport=polling")).status;

testLink("nobody is let in without the secret, and each side finds out", { application: { secret: "another-secret-of-somebody" }, backend: { secrets: [SECRET] } }, async (broker, application) => {
  await until("it was refused", () => application.all.some((link) => link.ended));
  const [link] = application.all;
  assert.equal(link.proved, false, "the application would not have taken this HELLO");
  assert.match(link.of("ERROR")[0].payload.toString(), /not signed by a secret/);
  assert.equal(await refused(broker), 503);
  assert.ok(await metric(broker, "ringcast_link_broken_total") >= 1);
  application.secret = SECRET;
  await until("a right one is taken", async () => await refused(broker) === 200);
});

const head = (bytes) => Buffer.concat([bytes, Buffer.alloc(16)]).subarray(0, 16);
const BROKEN = [
  ["no frame", (link) => link.write(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))],
  ["random bytes", (link) => link.write(randomBytes(4096))],
  ["a huge frame", (link) => link.write(head(Buffer.concat([u32(0xffffffff), Buffer.from([TYPES.BROADCAST])])))],
  ["an unknown type", (link) => link.write(frame(200))],
  ["the other side's type", (link) => link.send("OPEN", { connection: 1n, payload: Buffer.from("{}") })],
  ["an unknown flag", (link) => link.send("TEXT", { connection: 1n, flags: 128 })],
  ["READY again", (link) => link.ready()],
  ["bytes that are to be 0", (link) => link.write(frame(TYPES.PONG, { reserved: 1 }))],
  ["a room list that ends early", (link) => link.send("BROADCAST", { payload: Buffer.concat([text("/"), Buffer.from([255, 15])]) })],
  ["messages that are none", (link) => link.send("BROADCAST", { payload: Buffer.concat([text("/"), list([]), list([]), text(""), Buffer.from([1, 0, 7, 1, 0, 0, 0, 1])]) })],
  ["text that is not UTF-8", (link) => link.send("BROADCAST", { payload: Buffer.concat([text("/"), list([]), list([]), text(""), Buffer.from([1, 0, 0, 1, 0, 0, 0, 0xff])]) })],
];
testLink("whatever a process sends, its link alone ends, and says why", { timeout: 120000 }, async (broker, application) => {
  for (const [i, [name, send]] of BROKEN.entries()) {
    const [link] = await until("a link", () => application.links.size === 1 && [...application.links].every((one) => one.hello) && [...application.links]);
    const socket = client(broker, ["websocket"], { reconnection: false });
    await socket.opening;
    send(link);
    await until(`${name}: it ends`, () => link.ended);
    assert.equal(link.of("ERROR").length, 1, `${name}: it is told why`);
    await until(`${name}: its client is closed`, () => socket.closed);
    assert.equal(await metric(broker, "ringcast_link_broken_total"), i + 1, name);
  }
  await application.linked(1);
  assert.equal(await refused(broker), 200);
  assert.equal(broker.log.filter((line) => /child_died/.test(line)).length, 0);
});

const resumes = (link) => link.ready({ resume: true, frames: 0 });
testLink("a link that resumes and is broken begins anew; of whom no RESUMED comes is closed", { backend: { grace: "5s" }, application: { greet: resumes }, timeout: 60000 }, async (broker, application) => {
  const [link] = await application.linked(1);
  await until("it is ready", () => link.of("RECEIPT").length === 1);
  const sockets = [client(broker), client(broker)];
  for (const socket of sockets) await socket.opening;
  for (const { id, open } of await application.connected(2)) {
    link.send("JOIN", { connection: id, payload: Buffer.concat([text("/"), text(open.sid), list([`s${open.sid}`])]) });
    link.send("SESSION", { connection: id, payload: Buffer.concat([text("/"), text(open.sid), text(`pid ${open.sid}`), u32(0), u32(0)]) });
  }
  link.write(frame(200));
  await until("it ends", () => link.ended);
  const again = await until("both are opened at the next one", () => application.conns.length === 4 && application.conns.slice(2));
  assert.deepEqual(again[0].link.of("RECEIPT").map(({ flags }) => flags), [0], "nothing goes on");
  const [stays, goes] = sockets.map(({ id }) => again.find(({ open }) => open.sid === id));
  assert.ok(stays.open.resume && goes.open.resume);
  again[0].link.send("RESUMED", { connection: stays.id });
  sockets[0].send("still here");
  await until("it is heard", () => stays.heard.includes("still here"));
  await until("the other one is closed", () => sockets[1].closed && goes.closed, { timeout: 20000 });
  assert.equal(goes.closed, "forced close");
  assert.equal(sockets[0].closed, undefined);
  await until("it may come back as who it was", async () => await metric(broker, "ringcast_socketio_recovery_sessions_lost") === 1);
});

const joins = (link, { id, open }, nsp) => link.send("JOIN", { connection: id, payload: Buffer.concat([text(nsp), text(open.sid), list([`s${open.sid}`])]) });
const saysOf = (link, { id, open }, nsp, data) => link.send("SESSION", { connection: id, payload: Buffer.concat([text(nsp), text(open.sid), text(""), u32(0), u32(data.length), Buffer.from(data)]) });
const lostClients = (broker) => metric(broker, "ringcast_link_lost_connections_total");

testLink("a client whose namespaces and data are larger together than a frame is closed with its process, and nobody else", { backend: { max_frame: "64KiB", grace: "1h" }, application: { greet: resumes }, timeout: 60000 }, async (broker, application) => {
  const [link] = await application.linked(1);
  const sockets = [client(broker), client(broker)];
  for (const socket of sockets) await socket.opening;
  const [small, large] = await application.connected(2);
  const [stays, goes] = [small, large].map(({ open }) => sockets.find(({ id }) => id === open.sid));
  joins(link, small, "/");
  saysOf(link, small, "/", JSON.stringify("x".repeat(60000)));
  for (const nsp of ["/", "/a", "/b"]) {
    joins(link, large, nsp);
    saysOf(link, large, nsp, JSON.stringify("x".repeat(30000)));
  }
  link.write(frame(200));
  const [, , opened] = await application.connected(3);
  assert.equal(opened.open.sid, stays.id);
  assert.equal(opened.open.resume[0].data.length, 60000);
  opened.link.send("RESUMED", { connection: opened.id });
  await until("the other one is closed", () => goes.closed);
  stays.send("still here");
  await until("it is heard", () => opened.heard.includes("still here"));
  assert.deepEqual([stays.closed, application.conns.length, opened.link.ended], [undefined, 3, false]);
  assert.deepEqual([await metric(broker, "ringcast_link_broken_total"), await lostClients(broker)], [1, 1]);
  await until("the log says so", () => broker.log.some((line) => /link_resume_refused/.test(line)));
});

testLink("a client that each process ends over, before RESUMED, is closed when grace is over, however many of them come", { backend: { grace: "5s" }, application: { greet: resumes }, timeout: 90000 }, async (broker, application) => {
  const [link] = await application.linked(1);
  const socket = client(broker);
  await socket.opening;
  const [connection] = await application.connected(1);
  joins(link, connection, "/");
  application.opened = (opened) => opened.link.write(frame(200));
  link.write(frame(200));
  await until("it is closed", () => socket.closed, { timeout: 45000 });
  assert.ok(application.conns.length > 1, "it was given to another one");
  application.opened = () => {};
  await until("a link that nothing breaks", async () => await metric(broker, "ringcast_links") === 1, { timeout: 20000 });
});

testLink("what is kept of all sockets of a connection has a bound", { backend: { max_frame: "16MiB", grace: "1h" }, application: { greet: resumes }, timeout: 60000 }, async (broker, application) => {
  const [link] = await application.linked(1);
  const socket = client(broker);
  await socket.opening;
  const [connection] = await application.connected(1);
  for (let i = 0; i < 100; i++) {
    joins(link, connection, `/${i}`);
    saysOf(link, connection, `/${i}`, JSON.stringify("x".repeat(60000)));
  }
  link.write(frame(200));
  const [, { open }] = await application.connected(2);
  const known = open.resume.filter(({ data }) => data !== null);
  assert.deepEqual([open.resume.length, known.length], [100, Math.floor((4 << 20) / 60015)]);
  await until("the log says so", () => broker.log.some((line) => /link_session_not_kept .*4 MiB/.test(line)));
});

testLink("what cannot be carried to a client ends that client alone", { backend: { max_frame: "64KiB" } }, async (broker, application) => {
  const TORN = "x\x1eb!";
  const [link] = await application.linked(1);
  const come = async (transports) => {
    const socket = client(broker, transports, { reconnection: false });
    await socket.opening;
    const connection = await until("it is there", () => application.conns.find(({ open }) => open.sid === socket.id));
    connection.join("/", socket.id, ["sall"]);
    return { socket, connection };
  };
  const stays = await come(["websocket"]);
  const cases = [
    ["a text that polling would tear", ["polling"], ({ connection }) => connection.text(TORN)],
    ["the same in a packet", ["polling"], ({ connection }) => (connection.text("begins", FLAGS.MORE), connection.text(TORN, FLAGS.MORE), connection.binary("rest", FLAGS.MORE), connection.binary("end"))],
    ["the same to all", ["polling"], () => application.broadcast("/", {}, TORN, Buffer.from("x"))],
    ["the same to a room", ["polling"], () => application.broadcast("/", { rooms: ["sall", "snobody"] }, TORN, Buffer.from("x"))],
    ["a packet of too many frames", ["websocket"], ({ connection }) => {
      for (let i = 0; i < 1100; i++) connection.binary("", FLAGS.MORE);
      connection.binary("");
    }],
    ["a packet that is too large", ["websocket"], ({ connection }) => {
      for (let i = 0; i < 3; i++) connection.binary(Buffer.alloc(30000), i < 2 ? FLAGS.MORE : 0);
    }],
  ];
  for (const [what, transports, say] of cases) {
    const goes = await come(transports);
    say(goes);
    await until(`${what}: it is closed`, () => goes.connection.closed);
    assert.equal(goes.connection.closed, "forced close", what);
    assert.deepEqual(goes.socket.heard, [], what);
  }
  stays.connection.text(TORN);
  await until("who does not poll has it all", () => stays.socket.heard.length === 5);
  assert.deepEqual(stays.socket.heard, [TORN, Buffer.from("x"), TORN, Buffer.from("x"), TORN]);
  assert.equal(link.ended, false);
  await until("the log says so", () => broker.log.some((line) => /link_message_refused/.test(line)));
  assert.equal(broker.log.filter((line) => /child_died/.test(line)).length, 0);
});

testLink("packets that begin and do not end have the room of one frame, of all clients together", { backend: { max_frame: "64KiB" } }, async (broker, application) => {
  const [link] = await application.linked(1);
  const sockets = [];
  for (let i = 0; i < 4; i++) {
    sockets.push(client(broker, ["websocket"], { reconnection: false }));
    await sockets.at(-1).opening;
  }
  const connections = await application.connected(4);
  const its = new Map(connections.map((connection) => [connection, sockets.find(({ id }) => id === connection.open.sid)])); // who is closed has no id
  const of = (connection) => its.get(connection);
  const part = "x".repeat(30000);
  for (const connection of connections) connection.text(part, FLAGS.MORE);
  await until("the others are closed", () => connections.slice(2).every(({ closed }) => closed === "forced close"));
  for (const connection of connections.slice(0, 2)) connection.text("end");
  for (const connection of connections.slice(0, 2)) {
    await until("who came first has all of it", () => of(connection).heard.length === 2);
    assert.deepEqual(of(connection).heard, [part, "end"]);
  }
  // What was closed, or has ended, is no part of it any more.
  for (const connection of connections.slice(0, 2)) connection.text(part, FLAGS.MORE), connection.text("end");
  for (const connection of connections.slice(0, 2)) await until("and again", () => of(connection).heard.length === 4);
  assert.ok(connections.slice(2).every((connection) => of(connection).heard.length === 0));
  assert.equal(link.ended, false);
});

testLink("a connection with more sockets than it may have is closed, and no other one", {}, async (broker, application) => {
  const [link] = await application.linked(1);
  const sockets = [client(broker), client(broker)];
  for (const socket of sockets) await socket.opening;
  const [stays, goes] = await application.connected(2);
  stays.join("/", "its own", ["sroom"]);
  link.write(Buffer.concat(Array.from({ length: 3000 }, (_, i) => frame(TYPES.JOIN, { connection: goes.id, payload: Buffer.concat([text("/"), text(`socket ${i}`), list(["sroom"])]) }))));
  await until("it is closed", () => goes.closed);
  application.broadcast("/", { rooms: ["sroom"] }, "still here");
  await until("the other one hears", () => sockets.some(({ heard }) => heard.length === 1));
  assert.deepEqual([stays.closed, link.ended], [undefined, false]);
  await until("the log says so", () => broker.log.some((line) => /link_room_refused .*namespaces/.test(line)));
  assert.equal(await metric(broker, "ringcast_link_rooms_refused_total"), 1);
});

// Of each kind so many bytes at once; DETACH last: it has no clients then.
const FLOOD = 1 << 20;
const json = (bytes) => Buffer.concat([u32(bytes), Buffer.from(`"${"x".repeat(bytes - 2)}"`)]);
const FLOODS = [
  ["broadcasts in a room where nobody is", () => frame(TYPES.BROADCAST, { payload: Buffer.concat([text("/"), list(["snobody"]), list([]), text(""), messages(["x"])]) })],
  ["broadcasts to 4,096 rooms", () => frame(TYPES.BROADCAST, { payload: Buffer.concat([text("/"), list(Array.from({ length: 4096 }, (_, i) => `s${i}`)), list(["sothers"]), text(""), messages(["x"])]) })],
  ["broadcasts that are kept", (i) => frame(TYPES.BROADCAST, { flags: FLAGS.PRIMARY, payload: Buffer.concat([text("/"), list(["snobody"]), list([]), text(`offset ${i}`), messages(["x".repeat(200)])]) })],
  ["a room, in and out", (i, { id, open }) => frame(i % 2 ? TYPES.LEAVE : TYPES.JOIN, { connection: id, payload: Buffer.concat([text("/"), text(open.sid), list(["sroom"])]) })],
  ["rooms with long names, in and out", (i, { id, open }) => frame(i % 2 ? TYPES.LEAVE : TYPES.JOIN, { connection: id, payload: Buffer.concat([text("/"), text(open.sid), list(Array.from({ length: 100 }, (_, n) => `s${i >> 1} ${n} ${"x".repeat(1000)}`))]) })],
  ["sessions", (i, { id, open }) => frame(TYPES.SESSION, { connection: id, payload: Buffer.concat([text("/"), text(open.sid), text("pid"), json(10), json(60000)]) })],
  ["ends of sessions", (i) => frame(TYPES.KEEP, { payload: Buffer.concat([text("/"), text(`sid ${i}`), text(`pid ${i}`), json(10), json(100), list(["sroom"])]) })],
  ["questions", (i) => frame(TYPES.REQUEST, { payload: Buffer.concat([u32(i), text("/"), text(`pid ${i}`), text("offset")]) })],
  ["questions about nobody", (i) => frame(TYPES.REQUEST, { payload: Buffer.concat([u32(i), text("/"), text(""), text("")]) })],
  ["messages between servers", () => frame(TYPES.CLUSTER, { payload: Buffer.concat([text("/"), text("its uid"), text(""), Buffer.alloc(100)]) })],
  ["ends of adapters", (i) => frame(TYPES.EXIT, { payload: Buffer.concat([text(`/${i}`), text("its uid")]) })],
  ["messages for connections that there are not", (i) => frame(TYPES.TEXT, { connection: BigInt(i + 1) << 21n, payload: Buffer.from("x") })],
  ["asking and not asking", (i) => frame(TYPES.ASKS, { payload: Buffer.from([i % 2]) })],
  ["receipts", () => frame(TYPES.RECEIPT, { payload: Buffer.alloc(8) })],
  ["that it will be gone", () => frame(TYPES.DETACH, { flags: 1 })],
];
testLink("a process that floods ringcast with frames and reads nothing grows nothing, and others are answered meanwhile", { backend: { grace: "10s", max_unsent: "64KiB" }, application: { greet: resumes }, timeout: 240000 }, async (broker, application) => {
  const other = await new Application({ greet: resumes }).listen();
  other.heard = (connection, message) => connection.text(message);
  try {
    const handed = (count) => other.conns.length === count;
    broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], url: [application.url, other.url] }] });
    broker.child.kill("SIGHUP");
    await until("both are there", async () => await metric(broker, "ringcast_links") === 2 && application.links.size === 1 && other.links.size === 1);
    const sockets = [client(broker), client(broker)];
    for (const socket of sockets) await socket.opening;
    await until("each has one", () => handed(1) && application.conns.length >= 1);
    const [flooder] = application.links;
    const its = application.conns.find(({ link }) => link === flooder);
    const socket = sockets.find(({ id }) => id === other.conns[0].open.sid);
    its.join("/", its.open.sid, [`s${its.open.sid}`]);
    flooder.socket.pause();
    for (const [what, make] of FLOODS) {
      const before = await metric(broker, 'ringcast_link_url_frames_in_total{backend="app",url="' + application.url + '"}');
      const frames = [];
      for (let i = 0, bytes = 0; bytes < FLOOD; i++) {
        frames.push(make(i, its));
        bytes += frames.at(-1).length;
      }
      flooder.write(Buffer.concat(frames));
      socket.send(what);
      await until(`others are answered while it says ${what}`, () => socket.heard.at(-1) === what, { timeout: 20000 });
      await until(`all is carried out: ${what}`, async () => await metric(broker, 'ringcast_link_url_frames_in_total{backend="app",url="' + application.url + '"}') >= before + frames.length, { timeout: 60000 });
      assert.ok(await metric(broker, "ringcast_reply_bytes") < 1 << 20, `${what}: what waits is bounded`);
      assert.equal(flooder.ended, false, what);
    }
    assert.equal(socket.closed, undefined);
    assert.equal(broker.log.filter((line) => /child_died/.test(line)).length, 0);
  } finally {
    await other.close();
  }
});

testLink("a process that says more to another one than that takes ends nothing: neither the other one's link nor what a third one says to it", { backend: { max_unsent: "64KiB" }, timeout: 90000 }, async (broker, application) => {
  const [stands, third] = [await new Application().listen(), await new Application().listen()];
  const all = [application, stands, third];
  try {
    broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], url: all.map(({ url }) => url) }] });
    broker.child.kill("SIGHUP");
    await until("all are there", async () => await metric(broker, "ringcast_links") === 3 && all.every(({ links }) => links.size === 1));
    for (const [i, one] of all.entries()) [...one.links][0].send("ENTER", { payload: Buffer.concat([text("/"), text(`uid ${i}`)]) });
    await until("they know each other", () => all.every((one) => [...one.links][0].of("PEERS").at(-1)?.payload.toString().match(/uid \d/g)?.length === 2));
    const sockets = [client(broker), client(broker), client(broker)];
    for (const socket of sockets) await socket.opening;
    await until("each has a client", () => all.every(({ conns }) => conns.length === 1));
    const say = (from, i, what) => [...from.links][0].send("CLUSTER", { payload: Buffer.concat([text("/"), text(`uid ${i}`), text(""), Buffer.from(what)]) });
    [...stands.links][0].socket.pause();
    const big = "x".repeat(65536);
    const COUNT = 200; // 13 MB: beyond what sockets and the bound hold
    for (let i = 1; i <= COUNT; i++) {
      say(application, 0, `${i} ${big}`);
      if (i % 4 === 0) await until("the third one, who reads, has all of it", () => [...third.links][0].of("CLUSTER").length === i, { every: 1 });
    }
    assert.ok(await metric(broker, "ringcast_link_cluster_dropped_total") > 0);
    say(third, 2, "of the third one");
    await until("it is heard by who reads", () => [...application.links][0].of("CLUSTER").length === 1);
    assert.ok(await metric(broker, "ringcast_reply_bytes") < 3e6, "what waits is bounded");
    [...stands.links][0].socket.resume();
    const heard = await until("who stood still has what the third one said", () => {
      const messages = [...stands.links][0].of("CLUSTER").map(({ payload }) => payload.subarray(12).toString("latin1", 0, 24));
      return messages.some((message) => message.endsWith("of the third one")) && messages;
    });
    assert.equal(heard.length - 1 + await metric(broker, "ringcast_link_cluster_dropped_total"), COUNT, "what is not there is counted");
    assert.deepEqual([await metric(broker, "ringcast_link_broken_total"), ...all.map((one) => one.all.filter(({ ended }) => !ended).length)], [0, 1, 1, 1]);
    assert.ok(sockets.every(({ closed }) => closed === undefined));
  } finally {
    for (const one of [stands, third]) await one.close();
  }
});

const paced = (link) => link.ready({ paced: true });
testLink("who says CLUSTER at that pace is told what others have taken, and of one that stands still nothing before it goes on", { backend: { max_unsent: "64KiB" }, application: { greet: paced } }, async (broker, application) => {
  const other = await new Application().listen(); // says nothing of a pace, and is told nothing
  try {
    broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], url: [application.url, other.url] }] });
    broker.child.kill("SIGHUP");
    await until("both are there", async () => await metric(broker, "ringcast_links") === 2 && application.links.size === 1 && other.links.size === 1);
    const [[link], [its]] = [application, other].map(({ links }) => [...links]);
    const window = link.hello.cluster_window;
    assert.equal(window, 8192);
    for (const [i, one] of [link, its].entries()) one.send("ENTER", { payload: Buffer.concat([text("/"), text(`uid ${i}`)]) });
    await until("they know each other", () => /uid 1/.test(link.of("PEERS").at(-1)?.payload));
    let said = 0;
    const say = (from, i, bytes) => from.send("CLUSTER", { payload: Buffer.concat([text("/"), text(`uid ${i}`), text(""), Buffer.alloc(bytes)]) });
    const says = (bytes) => (said++, say(link, 0, bytes));
    const isTaken = (frames) => until(`${frames} are taken`, () => {
      const payload = link.of("TAKEN").at(-1)?.payload;
      return payload?.readUInt32LE(0) === frames && payload.subarray(8).equals(list([other.process]));
    });
    says(window / 2);
    await isTaken(1);
    for (let i = 0; i < 100; i++) say(its, 1, window);
    await until("it hears all of it", () => link.of("CLUSTER").length === 100);
    assert.equal(its.of("TAKEN").length, 0);

    its.socket.pause();
    const taken = () => link.of("TAKEN").at(-1).payload.readUInt32LE(0);
    // What the sockets between take is full when nothing is told any more; each of these would be, as the first one above was.
    for (let round = 101, before = 0, still = 0; still < 10; round++) {
      before = taken();
      says(still === 0 ? 65536 : window / 2);
      say(its, 1, 1);
      await until("it has been carried out", () => link.of("CLUSTER").length === round);
      still = taken() === before ? still + 1 : 0;
    }
    const before = taken();
    assert.ok(before <= said - 10, `${before} of ${said}`);
    assert.ok(await metric(broker, "ringcast_reply_bytes") > 0, "it waits in ringcast");
    assert.deepEqual([taken(), its.of("CLUSTER").length < said], [before, true], "nothing before it goes on");
    its.socket.resume();
    await isTaken(said);
    await until("all is heard", () => its.of("CLUSTER").length === said);
    assert.equal(await metric(broker, "ringcast_link_cluster_dropped_total"), 0);
  } finally {
    await other.close();
  }
});

testLink("names that are said twice are one; what is said of who is gone means nothing", {}, async (broker, application) => {
  await application.linked(1);
  const sockets = [client(broker), client(broker, ["polling"])];
  for (const s of sockets) await s.opening;
  const conns = await application.connected(2);
  for (const c of conns) c.join("/", c.open.sid, ["sr", "sr", `s${c.open.sid}`, "sr", `s${c.open.sid}`]);
  for (const c of conns) c.join("/", c.open.sid, ["sr", "sr"]);
  application.broadcast("/", { rooms: ["sr", "sr", "sr"], except: ["sx", "sx"] }, "once");
  await until("heard", () => sockets.every((s) => s.heard.includes("once")));
  conns[0].leave("/", conns[0].open.sid, ["sr", "sr", "sr"]);
  conns[0].leave("/", conns[0].open.sid, ["sr"]);
  application.broadcast("/", { rooms: ["sr"] }, "other");
  application.broadcast("/", {}, "all");
  await until("heard", () => sockets.every((s) => s.heard.at(-1) === "all"));
  const of = (c) => sockets.find(({ id }) => id === c.open.sid);
  assert.deepEqual(of(conns[0]).heard, ["once", "all"]);
  assert.deepEqual(of(conns[1]).heard, ["once", "other", "all"]);
  of(conns[0]).close();
  await until("closed", () => conns[0].closed);
  const [{ link, id, open: { sid } }] = conns;
  conns[0].text("x");
  conns[0].accept([]);
  conns[0].reject({ status: 403 });
  conns[0].join("/", sid, ["sr"]);
  conns[0].leave("/", sid);
  conns[0].close();
  conns[0].close(FLAGS.DISCARD);
  link.send("RESUMED", { connection: id });
  link.send("SESSION", { connection: id, payload: Buffer.concat([text("/"), text(sid), text("pid"), u32(0), u32(0)]) });
  application.broadcast("/", {}, "end");
  await until("heard", () => of(conns[1]).heard.at(-1) === "end");
  assert.equal(await metric(broker, "ringcast_link_broken_total"), 0);
});
testLink("many questions at once are all answered", {}, async (broker, application) => {
  const [link] = await application.linked(1);
  await until("it is ready", async () => await metric(broker, "ringcast_links") === 1);
  for (let i = 0; i < 200; i++) link.send("REQUEST", { payload: Buffer.concat([u32(i), text("/"), text(`nobody ${i}`), text("offset")]) });
  const replies = await until("all replies", () => link.of("REPLY").length === 200 && link.of("REPLY"), { timeout: 4000 });
  const found = replies.map(({ payload }) => [payload.readUInt32LE(0), payload[4]]).sort(([a], [b]) => a - b);
  assert.deepEqual(found, Array.from({ length: 200 }, (_, i) => [i, 0]));
});

testLink("a session that nobody knows yet, because KEEP is on its way by another link, is had", { workers: 2, timeout: 60000, application: { greet: (link) => link.ready({ recovery_ms: 60000 }) } }, async (broker, application) => {
  const [link, other] = await application.linked(2);
  await until("both are ready", async () => await metric(broker, "ringcast_links") === 2);
  const keep = (to, pid) => to.send("KEEP", { payload: Buffer.concat([text("/"), text(`sid ${pid}`), text(pid), u32(0), u32(2), Buffer.from("{}"), list(["sroom"])]) });
  const ask = (n, pid) => link.send("REQUEST", { payload: Buffer.concat([u32(n), text("/"), text(pid), text("o")]) });
  const reply = (n) => link.of("REPLY").find(({ payload }) => payload.readUInt32LE(0) === n);
  link.send("BROADCAST", { flags: FLAGS.PRIMARY, payload: Buffer.concat([text("/"), list([]), list([]), text("o"), messages(["said"])]) });
  let found = 0;
  let late = -1;
  // A fifth of a second is long, but not for a machine that is busy with something else: one of several.
  for (let n = 1; n < 40 && found === 0; n += 2, late++) {
    keep(link, `known ${n}`);
    ask(n, `on its way ${n}`);
    ask(n + 1, `known ${n}`);
    await until("the second one's answer, which comes behind what the relay has said to the first", () => reply(n + 1));
    assert.equal(reply(n + 1).payload[4], 1);
    if (!reply(n)) keep(other, `on its way ${n}`); // else it was answered meanwhile
    found = (await until("the first one's answer", () => reply(n))).payload[4];
  }
  assert.equal(found, 1);
  ask(99, "nobody");
  assert.equal((await until("who is not there is answered, too", () => reply(99))).payload[4], 0);
  assert.equal(await metric(broker, 'ringcast_socketio_not_recovered_total{reason="unknown"}'), late + 1, "and counted once");
});

testLink("half a frame, half an answer, and an end in the middle", { application: { answer: (request, socket) => socket.end("HTTP/1.1 101 Switching Pro") } }, async (broker, application) => {
  await until("it is dialled again", () => application.requests.length >= 3);
  assert.equal(await refused(broker), 503);
  application.answer = (request, socket) => socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  const before = application.requests.length;
  await until("and again", () => application.requests.length >= before + 2);
  application.answer = undefined;
  const [link] = await application.linked(1);
  await until("it is ready", async () => await refused(broker) === 200);
  link.socket.end(frame(TYPES.BROADCAST, { payload: Buffer.alloc(100) }).subarray(0, 50));
  await until("it has ended", () => link.ended);
  await application.linked(1);
  await until("the next one is ready", async () => await refused(broker) === 200);
  assert.equal(await metric(broker, "ringcast_link_broken_total"), 0);
});

testLink("a second link of the same process is refused", {}, async (broker, application) => {
  const [link] = await application.linked(1);
  await until("it is ready", async () => await metric(broker, "ringcast_links") === 1);
  const second = await new Application({ process: application.process }).listen();
  second.process = application.process;
  try {
    broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], url: [second.url, application.url] }] });
    broker.child.kill("SIGHUP");
    await until("one of them is refused", () => [...application.all, ...second.all].some((one) => one.of("ERROR").some(({ payload }) => /already linked/.test(payload.toString()))));
    await until("the other one is there", async () => await metric(broker, "ringcast_links") === 1);
    assert.ok(link.ended, "the former configuration's link has ended");
  } finally {
    await second.close();
  }
});

// A Unix socket takes little: what waits, waits in the broker.
const folder = mkdtempSync(join(tmpdir(), "ringcast-link-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
testLink("a process that does not read stops its own clients, and gets all of it later, in order", { listen: { path: join(folder, "app.sock") }, backend: { max_unsent: "64KiB" }, timeout: 60000 }, async (broker, application) => {
  const other = await new Application().listen();
  try {
    broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], url: [application.url, other.url] }] });
    broker.child.kill("SIGHUP");
    await until("both are there", async () => await metric(broker, "ringcast_links") === 2);
    const sockets = [client(broker), client(broker, ["polling"]), client(broker), client(broker)];
    for (const socket of sockets) await socket.opening;
    await application.connected(2), await other.connected(2);
    const [stopped, going] = [application, other].map((of) => of.conns.map((connection) => sockets.find(({ id }) => id === connection.open.sid)));
    for (const link of application.links) link.socket.pause();
    const big = "x".repeat(20000);
    const COUNT = 40;
    for (let i = 0; i < COUNT; i++) for (const socket of stopped) socket.send(`${i} ${big}`);
    await until("they wait", async () => await metric(broker, "ringcast_link_waits_total") > 0);
    for (const socket of going) socket.send("hello");
    await until("others do not", () => other.conns.every((connection) => connection.heard.includes("hello")));
    assert.ok(await metric(broker, "ringcast_reply_bytes") < 4e6, "what waits is bounded");
    for (const link of application.links) link.socket.resume();
    for (const connection of application.conns) {
      await until("all of it has come", () => connection.heard.length === COUNT);
      assert.deepEqual(connection.heard.map((message) => Number(message.split(" ")[0])), Array.from({ length: COUNT }, (_, i) => i));
    }
    assert.ok(sockets.every((socket) => !socket.closed));
  } finally {
    await other.close();
  }
});

testLink("a client that does not read is reported, misses what is volatile, and gets the rest", { config: { "limits.channel_log": "64MiB" } }, async (broker, application) => {
  await application.linked(1);
  const socket = client(broker, ["polling"]);
  await socket.opening;
  const [connection] = await application.connected(1);
  connection.text("begins");
  await until("it polls", () => socket.heard.length === 1);
  const big = "y".repeat(200000);
  for (let i = 0; i < 20; i++) connection.text(`${i} ${big}`);
  connection.text("volatile", 1);
  await until("it is not writable", () => connection.writable.includes(false));
  await until("it has it all", () => socket.heard.length === 21);
  await until("it is writable again", () => connection.writable.at(-1) === true);
  assert.ok(!socket.heard.includes("volatile"));
  connection.text("last");
  await until("it goes on", () => socket.heard.at(-1) === "last");
});

testLink("processes hear each other, and who is there", { workers: 2 }, async (broker, application) => {
  const others = [await new Application().listen(), await new Application().listen()];
  const all = [application, ...others];
  try {
    broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], url: all.map(({ url }) => url) }] });
    broker.child.kill("SIGHUP");
    for (const one of all) {
      await until("it is linked", () => one.links.size === 2 && [...one.links].every((link) => link.hello && !link.ended));
      one.uid = `uid-${one.process}`;
    }
    await until("all are ready", async () => await metric(broker, "ringcast_links") === 6);
    for (const one of all) for (const link of one.links) link.send("ENTER", { payload: Buffer.concat([text("/"), text(one.uid)]) });
    const peers = (link) => { // the last list
      const payload = link.of("PEERS").at(-1)?.payload;
      const uids = [];
      for (let at = 5; payload && at < payload.length; at += 2 + payload.readUInt16LE(at)) uids.push(payload.subarray(at + 2, at + 2 + payload.readUInt16LE(at)).toString());
      return uids.sort();
    };
    const uids = (list) => list.map(({ uid }) => uid).sort();
    for (const one of all) for (const link of one.links) await until("it knows the others", () => assert.deepEqual(peers(link), uids(all.filter((other) => other !== one))) ?? true);
    const say = (from, to, rest) => [...from.links][0].send("CLUSTER", { payload: Buffer.concat([text("/"), text(from.uid), text(to), Buffer.from(rest)]) });
    for (let i = 0; i < 50; i++) say(application, "", `all ${i}`);
    say(application, others[1].uid, "one");
    say(application, "nobody", "none");
    say(others[0], "", "end");
    const rest = (payload) => { // behind nsp, from and to
      for (let i = 0; i < 3; i++) payload = payload.subarray(2 + payload.readUInt16LE(0));
      return payload.toString();
    };
    const heard = (of) => of.all.flatMap((link) => link.of("CLUSTER")).map(({ payload }) => rest(payload));
    const wanted = Array.from({ length: 50 }, (_, i) => `all ${i}`);
    await until("all have heard", () => heard(application).length === 1 && heard(others[0]).length === 50 && heard(others[1]).length === 52);
    assert.deepEqual(heard(others[0]), wanted);
    assert.deepEqual(heard(others[1]).filter((message) => message !== "end"), [...wanted, "one"]);
    await others[0].close();
    for (const one of [application, others[1]]) for (const link of one.links) await until("it is told at once", () => assert.deepEqual(peers(link), uids([application, others[1]].filter((other) => other !== one))) ?? true);
  } finally {
    for (const one of others) await one.close();
  }
});
