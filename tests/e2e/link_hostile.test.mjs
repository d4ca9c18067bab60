// Links with processes that are broken, hostile, or stand still: they harm themselves alone (docs/link.md).
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Application, SECRET, TYPES, client, frame, list, messages, testLink, text, u32 } from "./lib/application.mjs";
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
  await application.connected(2);
  link.write(frame(200));
  await until("it ends", () => link.ended);
  const again = await until("both are opened at the next one", () => application.conns.length === 4 && application.conns.slice(2));
  assert.deepEqual(again[0].link.of("RECEIPT").map(({ flags }) => flags), [0], "nothing goes on");
  const [stays, goes] = sockets.map(({ id }) => again.find(({ open }) => open.sid === id));
  assert.ok(stays.open.resume && goes.open.resume);
  again[0].link.send("RESUMED", { connection: stays.id });
  sockets[0].send("still here");
  await until("it is heard", () => stays.heard.includes("still here"));
  await until("the other one is closed", () => sockets[1].closed, 20000);
  assert.equal(goes.closed, "forced close");
  assert.equal(sockets[0].closed, undefined);
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
