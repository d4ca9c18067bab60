// Links: an application's process has clients that the broker holds (docs/link.md). Its end is lib/application.mjs, which says each frame by hand.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Application, FLAGS, client, linkConfig, testLink } from "./lib/application.mjs";
import { run } from "./lib/broker.mjs";
import { ask, openPolling } from "./lib/socketio.mjs";
import { until } from "./lib/util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");

const hears = (of, ...messages) => until(`it hears ${messages}`, () => {
  assert.deepEqual(of.heard, messages);
  return true;
});

for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
  testLink(`messages go both ways, as they are: ${transports.join(", ")}`, {}, async (broker, application) => {
    const [link] = await application.linked(1);
    assert.ok(link.proved, "HELLO is signed");
    assert.deepEqual([link.hello.version, link.hello.instance, link.hello.worker, link.hello.workers, link.hello.name], [1, "test", 0, 1, "app"]);
    const socket = client(broker, transports, { query: { room: "a b" }, extraHeaders: { "x-name": "value" } });
    await socket.opening;
    const [connection] = await application.connected(1);
    const { open } = connection;
    assert.equal(connection.held, false);
    assert.deepEqual([open.sid, open.method, open.protocol, open.secure, open.resume], [socket.id, "GET", 4, false, undefined]);
    assert.equal(open.transport, transports[0]);
    assert.equal(open.address, "127.0.0.1");
    assert.equal(new URL(open.url, "http://x").searchParams.get("room"), "a b");
    assert.equal(open.headers[open.headers.findIndex((name) => name.toLowerCase() === "x-name") + 1], "value");
    if (transports.length > 1) await until("it is upgraded", () => connection.transport === "websocket");
    socket.send("hällo");
    socket.send(Buffer.from([0, 1, 255]));
    await hears(connection, "hällo", Buffer.from([0, 1, 255]));
    connection.text("wörld");
    connection.binary([4, 0, 30]);
    connection.text("attached", FLAGS.MORE);
    connection.binary("x");
    await hears(socket, "wörld", Buffer.from([4, 0, 30]), "attached", Buffer.from("x"));
    socket.close();
    await until("it is told", () => connection.closed);
    assert.equal(connection.closed, "transport close");
    connection.text("into nothing"); // means nothing, and breaks nothing
    const another = client(broker, transports);
    await another.opening;
    const [, second] = await application.connected(2);
    assert.notEqual(second.id, connection.id);
    second.text("last");
    second.close();
    await until("it is closed", () => another.closed);
    assert.deepEqual(another.heard, ["last"]);
    await until("it is told", () => second.closed);
    assert.equal(second.closed, "forced close");
    assert.equal((await application.linked(1))[0], link, "the link is still the first");
  });

  testLink(`the application decides who comes: ${transports.join(", ")}`, { application: { asks: true } }, async (broker, application) => {
    application.opened = (connection) => {
      const name = new URL(connection.open.url, "http://x").searchParams.get("name");
      if (name === "no") connection.reject({ status: 418, headers: ["X-Why", "tea"], body: "pöt", type: "text/plain" });
      else if (name === "never") connection.reject({});
      else {
        connection.accept(["Set-Cookie", "a=b; Path=/", "X-Kind", name, "Connection", "close", "Access-Control-Allow-Origin", "*", "bad name", "x"]);
        connection.text("first");
      }
    };
    const socket = client(broker, transports, { query: { name: "yes" } });
    await socket.opening;
    await hears(socket, "first");
    const [connection] = await application.connected(1);
    assert.equal(connection.held, true);
    if (transports[0] === "polling") {
      const query = (name) => `/socket.io/?EIO=4&transport=polling&name=${name}`;
      const accepted = await ask(broker, "GET", query("seen"));
      assert.equal(accepted.status, 200);
      assert.deepEqual([accepted.headers["set-cookie"], accepted.headers["x-kind"], accepted.headers["access-control-allow-origin"]], [["a=b; Path=/"], "seen", undefined]);
      const rejected = await ask(broker, "GET", query("no"));
      assert.deepEqual([rejected.status, rejected.headers["x-why"], rejected.headers["content-type"], rejected.body], [418, "tea", "text/plain", "pöt"]);
      const refused = await ask(broker, "GET", query("never"));
      assert.deepEqual([refused.status, refused.body], [403, '{"code":4,"message":"Forbidden"}']);
    } else {
      const refused = client(broker, transports, { query: { name: "no" } });
      refused.opening.catch(() => {});
      await until("it is refused", () => refused.closed);
    }
    socket.close();
    await until("it is told", () => connection.closed);
    assert.deepEqual(application.all.map((link) => link.ended), [false]);
  });
}

testLink("who is given up while the application decides is closed there, and its verdict means nothing", { application: { asks: true } }, async (broker, application) => {
  const giving = new AbortController();
  const gone = ask(broker, "GET", "/socket.io/?EIO=4&transport=polling", { signal: giving.signal }).catch(() => "gone");
  const [connection] = await application.connected(1);
  giving.abort();
  assert.equal(await gone, "gone");
  await until("it is told", () => connection.closed);
  connection.accept([]);
  application.opened = (next) => next.accept([]);
  const polling = await openPolling(broker);
  assert.ok(polling.sid);
  assert.equal(application.all.length, 1);
});

testLink("the application is told path and query, whatever form the target has", {}, async (broker, application) => {
  await until("it is ready", async () => (await broker.metrics())("ringcast_links") === 1);
  const answers = [];
  for (const [target, url] of [
    ["http://a:99999/socket.io/?EIO=4&transport=polling", "/socket.io/?EIO=4&transport=polling"],
    ["HTTP://b/socket.io/?EIO=4&transport=polling&n=//c:99999", "/socket.io/?EIO=4&transport=polling&n=//c:99999"],
    ["/socket.io/?EIO=4&transport=polling&x=%", "/socket.io/?EIO=4&transport=polling&x=%"],
  ]) {
    const socket = connect(...broker.host.split(":").reverse());
    socket.write(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    let answer = "";
    for await (const bytes of socket) answer += bytes;
    answers.push(answer.split("\r\n")[0]);
    const conns = await application.connected(answers.length);
    assert.equal(conns.at(-1).open.url, url);
  }
  assert.deepEqual(answers, answers.map(() => "HTTP/1.1 200 OK"));
});

testLink("a reload makes the link anew, with what its table says now", { backend: { max_frame: "64KiB" } }, async (broker, application) => {
  const [first] = await application.linked(1);
  assert.equal(first.hello.frame_max, 65536);
  broker.writeConfig({ ...broker.config, ...linkConfig(application, { max_frame: "6MiB" }) });
  const result = await run(["reload", "-c", broker.configPath]);
  assert.equal(result.code, 0, result.stderr);
  assert.doesNotMatch(result.stdout, /restart/);
  const second = await until("another link", async () => [...application.links].find((link) => link !== first && link.hello));
  assert.equal(second.hello.frame_max, 6 << 20);
  application.opened = (connection) => connection.text("x".repeat(200000));
  const socket = client(broker);
  await socket.opening;
  await until("a frame of its size comes", () => socket.heard[0]?.length === 200000);
});

const IDENTITY = { name: "app", kind: "jwt", from: ["query.token"], algorithms: ["HS256"], secret: "a-secret-of-at-least-thirty-two-bytes", at: "handshake", required: false };

testLink("a credential that ends while the application decides ends the handshake, and the worker goes on", { application: { asks: true }, config: { identity: [IDENTITY] } }, async (broker, application) => {
  const [worker] = broker.pids().workers;
  const token = jwt.sign({ sub: "ann" }, IDENTITY.secret, { expiresIn: 6 }); // long enough for it to come to the application
  const answer = ask(broker, "GET", `/socket.io/?EIO=4&transport=polling&token=${token}`, { timeout: 20000 });
  const [connection] = await application.connected(1);
  await until("it is told", () => connection.closed, { timeout: 20000 });
  assert.ok((await answer).status >= 400);
  connection.accept([]);
  application.opened = (next) => next.accept([]);
  const polling = await openPolling(broker);
  assert.ok(polling.sid);
  assert.deepEqual(broker.pids().workers, [worker]);
});

testLink("asking begins and ends with ASKS", {}, async (broker, application) => {
  const [link] = await application.linked(1);
  await openPolling(broker);
  link.send("ASKS", { payload: Buffer.from([1]) });
  application.opened = (next) => next.held && next.accept(["X-Held", "1"]);
  await until("handshakes are held", async () => (await ask(broker, "GET", "/socket.io/?EIO=4&transport=polling")).headers["x-held"] === "1");
  link.send("ASKS", { payload: Buffer.from([0]) });
  await until("they are not", async () => (await ask(broker, "GET", "/socket.io/?EIO=4&transport=polling")).headers["x-held"] === undefined);
});

for (const workers of [1, 3]) {
  testLink(`rooms, of ${workers} workers`, { workers }, async (broker, application) => {
    await application.linked(workers);
    const names = ["a", "b", "c", "d", "e", "f"];
    const sockets = {};
    const at = {};
    for (const name of names) {
      sockets[name] = client(broker, [name < "d" ? "websocket" : "polling"], { query: { name } });
      await sockets[name].opening;
    }
    for (const connection of await application.connected(names.length)) {
      const name = new URL(connection.open.url, "http://x").searchParams.get("name");
      at[name] = connection;
      connection.join("/", `sid-${name}`, [`ssid-${name}`, ...(name < "d" ? ["sfirst"] : ["n42"]), ...("bd".includes(name) ? ["smixed"] : [])]);
    }
    at.a.join("/other", "sid-a", []);
    const expected = Object.fromEntries(names.map((name) => [name, []]));
    const say = (to, options, ...parts) => {
      application.broadcast("/", options, ...parts);
      for (const name of to) expected[name].push(...parts.map((part) => (typeof part === "string" ? part : Buffer.from(part))));
    };
    say(names, {}, "everybody");
    say(["a", "b", "c"], { rooms: ["sfirst"] }, "one room", [1, 2]);
    say(["d", "e", "f"], { rooms: ["n42"] }, "a number");
    say([], { rooms: ["s42"] }, "not a text");
    say(["b", "d", "e", "f"], { rooms: ["n42", "smixed"] }, "two rooms, each once");
    say(["b", "c", "d", "e", "f"], { except: ["ssid-a"] }, "others");
    say(["b"], { rooms: ["sfirst"], except: ["ssid-a", "ssid-c"] }, "one is left");
    say(["a", "c"], { rooms: ["sfirst"], except: ["smixed"] }, "without a room");
    say(["e"], { rooms: ["ssid-e"] }, "itself");
    say([], { rooms: ["ssid-e"], except: ["n42"] }, "but not when left out");
    for (const name of names) {
      at[name].text("own");
      expected[name].push("own");
    }
    say(names, {}, "behind what each was told");
    application.broadcast("/other", {}, "another namespace");
    expected.a.push("another namespace");
    at.b.leave("/", "sid-b", ["sfirst"]);
    say(["a", "c"], { rooms: ["sfirst"] }, "left a room");
    at.c.leave("/", "sid-c");
    say(["a", "b", "d", "e", "f"], {}, "left the namespace");
    say(["a"], { rooms: ["sfirst", "ssid-c"] }, "and its rooms");
    for (const name of names) {
      at[name].text("end");
      expected[name].push("end");
    }
    for (const name of names) await until(`${name} has heard all`, () => sockets[name].heard.at(-1) === "end");
    for (const name of names) assert.deepEqual(sockets[name].heard, expected[name], name);
    const metrics = await broker.metrics();
    assert.deepEqual([metrics("ringcast_link_connections"), metrics("ringcast_links")], [6, workers]);
    for (const name of names) sockets[name].close();
    await until("all are told", () => names.every((name) => at[name].closed));
  });
}

testLink("names of any length, and bytes that mean something elsewhere", {}, async (broker, application) => {
  await application.linked(1);
  const nsps = ["/", "/a", `/${"n".repeat(250)}`, `/${"n".repeat(249)}m`, "/a\x01b"];
  const rooms = ["s", "sx", `s${"r".repeat(1000)}`, `s${"r".repeat(999)}q`, "j{\"a\":[1]}", "s\x02", "sä#:*"];
  const socket = client(broker);
  await socket.opening;
  const [connection] = await application.connected(1);
  const expected = [];
  for (const [i, nsp] of nsps.entries()) {
    connection.join(nsp, `sid${i}`, rooms);
    for (const room of rooms) {
      application.broadcast(nsp, { rooms: [room] }, `${i} ${room}`);
      expected.push(`${i} ${room}`);
    }
  }
  connection.leave(nsps[2], "sid2");
  for (const nsp of nsps) application.broadcast(nsp, { rooms: [rooms[2]] }, `again ${nsp}`);
  expected.push(...[0, 1, 3, 4].map((i) => `again ${nsps[i]}`));
  await hears(socket, ...expected);
});

testLink("a broadcast with LOCAL is for the process's own clients", { workers: 1 }, async (broker, application) => {
  const second = await new Application().listen();
  try {
    broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], url: [application.url, second.url] }] });
    broker.child.kill("SIGHUP");
    await application.linked(1), await second.linked(1);
    await until("the broker has the second one", () => broker.log.some((line) => /\blink_ready\b/.test(line) && line.includes(second.url))); // else all clients are the first one's
    const sockets = [];
    for (let i = 0; i < 4; i++) {
      sockets.push(client(broker));
      await sockets[i].opening;
    }
    await application.connected(2), await second.connected(2); // to who has the fewest
    for (const [i, connection] of [...application.conns, ...second.conns].entries()) connection.join("/", `sid${i}`, []);
    // Each on its own link: what says that all have joined is that each has heard.
    for (const connection of [...application.conns, ...second.conns]) connection.text("joined");
    await until("all have joined", () => sockets.every((socket) => socket.heard.length === 1));
    application.broadcast("/", { flags: FLAGS.LOCAL }, "mine");
    application.broadcast("/", {}, "all");
    for (const socket of sockets) await until("it hears", () => socket.heard.at(-1) === "all");
    assert.equal(sockets.filter((socket) => socket.heard.includes("mine")).length, 2);
    for (const connection of application.conns) {
      const socket = sockets.find(({ id }) => id === connection.open.sid);
      assert.deepEqual(socket.heard, ["joined", "mine", "all"]);
    }
  } finally {
    await second.close();
  }
});

const folder = mkdtempSync(join(tmpdir(), "ringcast-link-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
testLink("over a Unix socket", { listen: { path: join(folder, "app.sock") } }, async (broker, application) => {
  await application.linked(1);
  const socket = client(broker);
  await socket.opening;
  const [connection] = await application.connected(1);
  connection.text("hello");
  await hears(socket, "hello");
  assert.equal(application.requests[0].url, "/.ringcast");
  assert.equal(application.requests[0].headers["ringcast-worker"], "test/0");
});

testLink("without its process clients are closed, further ones are refused, and its return is noticed", {}, async (broker, application) => {
  await application.linked(1);
  const sockets = [client(broker), client(broker, ["polling"])];
  for (const socket of sockets) await socket.opening;
  await application.connected(2);
  const { port } = application;
  await application.close();
  for (const socket of sockets) await until("it is closed", () => socket.closed);
  const refused = await ask(broker, "GET", "/socket.io/?EIO=4&transport=polling");
  assert.equal(refused.status, 503);
  assert.equal(refused.headers["retry-after"], "1");
  await application.listen({ port });
  await application.linked(1);
  const socket = client(broker);
  await socket.opening;
  socket.send("again");
  await until("it is heard", () => application.conns.some((connection) => connection.heard.includes("again")));
  assert.equal((await broker.metrics())("ringcast_link_lost_connections_total"), 2);
});

testLink("with a killed worker its clients are closed, and its successor has links of its own", {}, async (broker, application) => {
  const [link] = await application.linked(1);
  const sockets = [client(broker), client(broker, ["polling"])];
  for (const socket of sockets) await socket.opening;
  await application.connected(2);
  broker.kill("SIGKILL", 0);
  for (const socket of sockets) await until("it is closed", () => socket.closed);
  await until("the link has ended", () => link.ended);
  await application.linked(1);
  const socket = client(broker, ["polling", "websocket"]);
  await socket.opening;
  socket.send("again");
  await until("it is heard", () => application.conns.some((connection) => connection.heard.includes("again")));
});
