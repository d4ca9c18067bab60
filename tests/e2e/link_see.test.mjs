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
  for (const link of application.links) link.socket.destroy();
  const line = await until("a line", () => broker.log.find((text) => /link_options/.test(text)));
  assert.match(line, /differ="pingInterval=25000 \(here 10000\), maxHttpBufferSize=100000000 \(here 1000000\), polling=off \(here on\), allowEIO3=true \(here false\)"/);
  application.greet = (link) => link.ready({ options: { pingInterval: 10000, pingTimeout: 20000, upgradeTimeout: 10000, maxHttpBufferSize: 1e6, transports: ["websocket", "polling"] } });
  const lines = () => broker.log.filter((text) => /link_options/.test(text)).length;
  const before = lines();
  const ready = broker.log.filter((text) => /link_ready/.test(text)).length;
  for (const link of application.links) link.socket.destroy();
  await until("it is linked again", () => broker.log.filter((text) => /link_ready/.test(text)).length > ready);
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
  await application.close();
  await until("it is gone", async () => {
    const status = await broker.status();
    return status.links.ready === 0 && status.links.lost_connections === 3;
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
