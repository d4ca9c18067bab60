// What the application and operators see of links: refused requests (FAILED), options that count for nothing, `ringcast status` (docs/link.md).
import assert from "node:assert/strict";
import { FLAGS, TYPES, client, frame, list, messages, testLink, text } from "./lib/application.mjs";
import { run } from "./lib/broker.mjs";
import { ask, openPolling } from "./lib/socketio.mjs";
import { connectRaw } from "./lib/raw.mjs";
import { until } from "./lib/util.mjs";

const metric = async (broker, name) => (await broker.metrics())(name);

testLink("a process is told of requests that are refused, as engine.io tells of connection errors", {}, async (broker, application) => {
  const [link] = await application.linked(1);
  await ask(broker, "GET", "/socket.io/?EIO=4&transport=none"); // right behind READY
  await until("the first", () => link.of("FAILED").length > 0 || ask(broker, "GET", "/socket.io/?EIO=4&transport=none").then(() => false));
  const before = await metric(broker, "ringcast_link_failed_total");
  await until("those before", () => link.of("FAILED").length === before);
  const { sid } = await openPolling(broker);
  const refusals = [
    [0, "Transport unknown", "GET", "/socket.io/?EIO=4&transport=tls"],
    [1, "Session ID unknown", "GET", "/socket.io/?EIO=4&transport=polling&sid=abcdefghijklmnopqrst"],
    [2, "Bad handshake method", "POST", "/socket.io/?EIO=4&transport=polling"],
    [3, "Bad request", "GET", `/socket.io/?EIO=3&transport=polling&sid=${sid}`],
    [5, "Unsupported protocol version", "GET", "/socket.io/?EIO=3&transport=polling"],
  ];
  for (const [code, message, method, path] of refusals) {
    const { status, body } = await ask(broker, method, path, { headers: { "x-name": "välue" } });
    assert.deepEqual([status, body], [400, JSON.stringify({ code, message })]);
  }
  await until("all have come", () => link.of("FAILED").length === before + refusals.length);
  for (const [i, { connection, payload }] of link.of("FAILED").slice(before).entries()) {
    const [code, message, method, path] = refusals[i];
    const told = JSON.parse(payload.toString());
    assert.equal(connection, 0n);
    assert.deepEqual([told.code, told.message, told.method, told.url, told.address], [code, message, method, path, "127.0.0.1"]);
    assert.equal(told.headers[told.headers.findIndex((name) => name.toLowerCase() === "x-name") + 1], "välue");
  }
  assert.equal(await metric(broker, "ringcast_link_failed_total"), before + refusals.length);
  assert.equal(link.ended, false);
});

testLink("a flood of refused requests is told of a hundred times a second at most", {}, async (broker, application) => {
  const [link] = await application.linked(1);
  await until("it is ready", async () => await metric(broker, "ringcast_links") === 1);
  const COUNT = 5000;
  const raw = await connectRaw(broker.address);
  const from = Date.now();
  for (let i = 0; i < COUNT; i += 50) raw.write("GET /socket.io/?EIO=4&transport=none HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50));
  await until("all are refused", async () => await metric(broker, "ringcast_link_failed_total") === COUNT, { timeout: 30000 });
  const seconds = Math.ceil((Date.now() - from) / 1000) + 1;
  raw.destroy?.();
  const socket = client(broker);
  await socket.opening; // its OPEN comes behind them
  await application.connected(1);
  const told = link.of("FAILED").length;
  assert.ok(told >= 100 && told <= 100 * seconds, `${told} in ${seconds} s`);
});

testLink("what an application has set for its engine and ringcast has otherwise is logged, once for each link", { config: { "socketio.ping_interval": "10s" } }, async (broker, application) => {
  application.greet = (link) => link.ready({ options: { pingInterval: 25000, pingTimeout: 20000, maxHttpBufferSize: 1e8, transports: ["websocket"], allowEIO3: true, path: "/x" } });
  const readies = () => broker.log.filter((text) => /link_ready/.test(text)).length;
  const first = readies();
  for (const link of application.links) link.socket.destroy();
  const line = await until("a line", () => broker.log.find((text) => /link_options/.test(text)));
  assert.match(line, /differ="pingInterval=25000 \(here 10000\), maxHttpBufferSize=100000000 \(here 1000000\), polling=off \(here on\), allowEIO3=true \(here false\)"/);
  application.greet = (link) => link.ready({ options: { pingInterval: 10000, pingTimeout: 20000, upgradeTimeout: 10000, maxHttpBufferSize: 1e6, transports: ["websocket", "polling"] } });
  await until("it is linked", () => readies() > first);
  const lines = () => broker.log.filter((text) => /link_options/.test(text)).length;
  const before = lines();
  const ready = readies();
  for (const link of application.links) link.socket.destroy();
  await until("it is linked again", () => readies() > ready);
  const socket = client(broker);
  await socket.opening;
  assert.equal(lines(), before, "the same options are not worth a line");
});

testLink("ringcast status says how it stands with the application", { workers: 2 }, async (broker, application) => {
  await until("both links are ready", async () => await metric(broker, "ringcast_links") === 2);
  const sockets = [];
  for (let i = 0; i < 3; i++) {
    sockets.push(client(broker));
    await sockets[i].opening;
  }
  const { links } = await until("its connections", async () => {
    const status = await broker.status();
    return status.links.connections === 3 && status;
  });
  assert.deepEqual([links.backend, links.ready, links.waiting, links.broken, links.lost_connections, links.refused], ["app", 2, 0, 0, 0, 0]);
  assert.ok(links.frames_out >= 5, "HELLOs and OPENs");
  const text = await run(["status", "-c", broker.configPath], { env: broker.env });
  assert.match(text.stdout, /^backend +app: 2 links, 3 connections, 0 clients wait/m);
  assert.match((await broker.get("/health/database")).body, /"backend":"app","status":"healthy"/);
  await application.close();
  await until("/health/database says so", async () => (await broker.get("/health/database")).status === 503);
  await until("the log says so of both", () => broker.log.filter((line) => /link_lost .*process="\w+" connections=\d+ reason="/.test(line)).length === 2);
  await until("it is gone", async () => {
    const status = await broker.status();
    return status.links.ready === 0 && status.links.lost_connections === 3;
  });
  await until("it cannot be dialled", () => broker.log.some((line) => /link_not_made /.test(line)));
});

/* What `status --json` has of an address. */
const rowOf = async (broker, url) => (await broker.status()).links.urls.find((row) => row.url === url);

testLink("what is counted of the application is counted by its address, and what becomes of its connections", { workers: 2, application: { greet: (link) => link.ready({ resume: true, frames: 0 }) }, backend: { grace: "10s" } }, async (broker, application) => {
  await until("both links are ready", async () => (await rowOf(broker, application.url)).ready === 2);
  assert.deepEqual((await broker.status()).links.urls.map(({ url }) => url), [application.url], "none has dialled");
  const sockets = [client(broker), client(broker)];
  for (const socket of sockets) await socket.opening;
  await application.connected(2);
  for (const connection of application.conns) connection.text("hello");
  await until("they hear", () => sockets.every(({ heard }) => heard.length === 1));
  const row = await until("their connections", async () => {
    const now = await rowOf(broker, application.url);
    return now.connections === 2 && now.frames_in >= 4 && now;
  });
  assert.deepEqual([row.opened, row.waiting, row.lost, row.broken, row.left, row.resumed, row.continued], [2, 0, 0, 0, 0, 0, 0]);
  assert.ok(row.unhanded >= 2 && row.unhanded_bytes > 32 && row.frames_out >= 4, JSON.stringify(row));
  const metrics = await broker.metrics();
  assert.equal(metrics(`ringcast_link_url_opened_total{backend="app",url="${application.url}"}`), 2);
  const text = await run(["status", "-c", broker.configPath], { env: broker.env });
  assert.ok(text.stdout.includes(`            ${application.url}: ready 2 connections 2 unhanded `), text.stdout);
  // Another process is at that address, which resumes them: from there to there.
  application.process = "another";
  for (const link of [...application.links]) link.socket.destroy();
  const after = await until("both went on", async () => {
    const now = await rowOf(broker, application.url);
    return now.resumed === 2 && now.ready === 2 && now;
  });
  assert.deepEqual([after.left, after.lost, after.opened, after.lost_connections, after.connections], [2, 2, 2, 0, 2]);
});

testLink("a process that hands on nothing of what it was sent is seen, and said", { application: { greet: (link) => link.ready({ resume: true, frames: 0 }) }, backend: { grace: "10s" } }, async (broker, application) => {
  const [link] = await application.linked(1);
  const socket = client(broker);
  await socket.opening;
  await application.connected(1);
  for (let i = 0; i < 3; i++) socket.send(`hello ${i}`);
  const { links } = await until("it is behind", async () => {
    const status = await broker.status();
    return status.links.unhanded >= 4 && status.links.receipt_lag_ms >= 2000 && status;
  });
  assert.ok(links.unhanded_bytes >= 4 * 16);
  await until("the log says who", () => broker.log.some((line) => /link_slow process="\w+" unhanded=\d+ bytes=\d+ for_ms=\d+/.test(line)));
  const text = await run(["status", "-c", broker.configPath], { env: broker.env });
  assert.match(text.stdout, /^ +\d+ frames not handed on, for \d+ ms; 0 connections have no process now, 0 resumed, 0 continued$/m);
  const frames = Buffer.alloc(8);
  frames.writeBigUInt64LE(BigInt(links.unhanded));
  link.write(frame(TYPES.RECEIPT, { payload: frames }));
  await until("it is not any more", async () => {
    const metrics = await broker.metrics();
    return metrics("ringcast_link_unhanded") === 0 && metrics("ringcast_link_receipt_lag_seconds") === 0;
  });
});

testLink("a volatile broadcast right behind another one to the same room is dropped, and one that comes later is not", {}, async (broker, application) => {
  const sockets = [];
  for (const name of ["one", "two"]) {
    const socket = client(broker);
    await socket.opening;
    sockets.push(socket);
    const connection = (await application.connected(sockets.length)).at(-1);
    connection.join("/", name, ["sroom"]);
  }
  const [link] = application.links;
  const broadcast = (rooms, flags, what) => frame(TYPES.BROADCAST, { flags, payload: Buffer.concat([text("/"), list(rooms), list([]), text(""), messages([what])]) });
  // In one read of the link, so that nothing has left in between.
  link.write(Buffer.concat([broadcast([], 0, "all"), broadcast([], FLAGS.VOLATILE, "never"), broadcast(["sroom"], FLAGS.VOLATILE, "room"), broadcast(["sroom"], FLAGS.VOLATILE, "never")]));
  await until("they hear", () => sockets.every(({ heard }) => heard.length === 2));
  link.write(broadcast([], FLAGS.VOLATILE, "later"));
  await until("they hear it", () => sockets.every(({ heard }) => heard.length === 3));
  for (const { heard } of sockets) assert.deepEqual(heard, ["all", "room", "later"]);
  assert.equal(await metric(broker, "ringcast_volatile_dropped_total"), 4);
});
