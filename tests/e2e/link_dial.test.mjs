// Applications that dial: links that begin at a listener of [link] (docs/link.md, "How a link begins").
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Application, TYPES, client, frame, list, messages, testLink, text, u32 } from "./lib/application.mjs";
import { run } from "./lib/broker.mjs";
import { ask } from "./lib/socketio.mjs";
import { CA, CA_FILE, certificate } from "./lib/tls.mjs";
import { SANITIZED, freePort, until, within } from "./lib/util.mjs";

const server = certificate("link");
const folder = mkdtempSync(join(tmpdir(), "ringcast-dial-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const ports = { tcp: await freePort(), tls: await freePort() };
const unix = join(folder, "link.sock");

const config = { "link.listen": [`127.0.0.1:${ports.tcp}`, `unix:${unix}`], "link.tls_listen": [`127.0.0.1:${ports.tls}`], "tls.certificates": [server.path] };
const WAYS = [
  ["TCP", { host: "127.0.0.1", port: ports.tcp }],
  ["a Unix socket", { socketPath: unix }],
  ["TLS", { host: "127.0.0.1", port: ports.tls }, { ca: CA, servername: "localhost" }],
];
const metric = async (broker, name) => (await broker.metrics())(name);

/* A client whose session is that worker's: another one each time, until it is. */
async function clientOf(broker, application, worker) {
  return until(`a client of worker ${worker}`, async () => {
    const socket = client(broker);
    await socket.opening;
    const connection = await until("its connection", () => application.conns.find(({ open }) => open.sid === socket.id));
    if (connection.link.hello.worker === worker) return { socket, connection };
    socket.close();
    return false;
  });
}

/* The first message each way is that one, and whole. */
async function bothWays(socket, connection, message) {
  socket.send(message);
  await until("it hears", () => connection.heard.length === 1);
  assert.equal(connection.heard[0], message);
  connection.text(message);
  await until("it is heard", () => socket.heard.length === 1);
  assert.equal(socket.heard[0], message);
}

for (const [name, at, tls] of WAYS) {
  testLink(`a link to each worker, dialled over ${name}`, { listen: false, workers: 2, config, timeout: 90000 }, async (broker, application) => {
    assert.equal((await ask(broker, "GET", "/socket.io/?EIO=4&transport=polling")).status, 503);
    // More often than there are workers: whichever accepts, the one that is asked for has it.
    for (const worker of [1, 0]) {
      const link = await application.dial(at, { worker, tls, backend: "app" });
      await until("HELLO", () => link.hello);
      assert.ok(link.proved, "HELLO is signed");
      assert.deepEqual([link.hello.worker, link.hello.workers, link.hello.name], [worker, 2, "app"]);
      application.process = randomBytes(8).toString("hex"); // another process would have another one
    }
    const [one, zero] = application.all;
    await until("the broker says so", async () => await metric(broker, "ringcast_links") === 2);
    for (const link of [zero, one]) {
      const { socket, connection } = await clientOf(broker, application, link.hello.worker);
      assert.equal(connection.link, link);
      await bothWays(socket, connection, "x".repeat(300000));
      socket.close();
      await until("it is told", () => connection.closed);
    }
    one.socket.destroy();
    await until("one link less", async () => await metric(broker, "ringcast_links") === 1);
    await until("it is said", () => broker.log.some((line) => /link_lost .*url="from /.test(line)));
    const again = await application.dial(at, { worker: 1, tls });
    await until("HELLO once more", () => again.hello);
    await until("two again", async () => await metric(broker, "ringcast_links") === 2);
    assert.equal(await metric(broker, "ringcast_link_broken_total"), 0);
  });
}

testLink("nothing but links is answered there, and what is wrong is said", { listen: false, workers: 2, config }, async (broker, application) => {
  const at = WAYS[0][1];
  const refusals = [
    [404, /nothing but links/, { path: "/metrics", headers: { Connection: "close" } }],
    [404, /nothing but links/, { path: "/socket.io/" }],
    [404, /nothing but links/, { path: "/ws", headers: { Upgrade: "websocket" } }],
    [400, /upgrade to ringcast-link/, { headers: { Upgrade: "websocket" } }],
    [400, /another version/, { headers: { "Ringcast-Link": "2" } }],
    [400, /32 hex digits/, { headers: { "Ringcast-Nonce": "abc" } }],
    [404, /no such worker/, { worker: 2 }],
    [404, /no such worker/, { worker: "one" }],
    [404, /no \[\[backend\]\]/, { backend: "another" }],
  ];
  for (const [status, why, options] of refusals) {
    const answer = await application.dial(at, options);
    assert.equal(answer.status, status, JSON.stringify(options));
    assert.match(answer.body, why);
  }
  assert.equal(await metric(broker, "ringcast_link_not_taken_total"), refusals.length);
  // Nor are links taken where clients come.
  assert.equal((await application.dial({ host: broker.host.split(":")[0], port: broker.host.split(":")[1] })).status, 404);
});

testLink("who does not know the secret is told, and what was there goes on", { listen: false, config, backend: { secrets: ["the-secret-of-the-broker"] } }, async (broker, application) => {
  const at = WAYS[0][1];
  const right = new Application({ secret: "the-secret-of-the-broker" });
  try {
    await right.dial(at);
    await until("one link", async () => await metric(broker, "ringcast_links") === 1);
    const link = await application.dial(at);
    await until("it ends", () => link.ended);
    assert.equal(link.proved, false);
    assert.match(link.of("ERROR")[0].payload.toString(), /not signed by a secret/);
    const socket = client(broker);
    await socket.opening;
    socket.send("still");
    await until("it hears", () => right.conns[0]?.heard.includes("still"));
    const { status, database } = JSON.parse((await ask(broker, "GET", "/health")).body);
    assert.equal(status, "ok", JSON.stringify(database));
  } finally {
    await right.close();
  }
});

testLink("strangers have a bounded number of places, and cannot keep them", { listen: false, config, timeout: 90000 }, async (broker, application) => {
  const at = WAYS[0][1];
  application.greet = () => {}; // they never say READY
  const silent = [];
  for (let i = 0; i < 16; i++) {
    const link = await application.dial(at);
    assert.ok(link.nonces, `stranger ${i}: ${link.status}`);
    silent.push(link);
  }
  // One more has a place: the oldest gives way.
  const another = await application.dial(at);
  assert.ok(another.nonces, `one more: ${another.status}`);
  await until("the oldest gives way", () => silent[0].ended);
  assert.deepEqual(silent.map((one) => one.ended), [true, ...Array(15).fill(false)]);
  // Those who say something else than a request, or half of one, take none.
  const sockets = [randomBytes(2000), Buffer.from("GET /.ringcast HTTP/1.1\r\nUpgrade: ringc")].map((bytes) => {
    const socket = connectTcp(at.port, at.host, () => socket.write(bytes));
    socket.on("error", () => {});
    socket.resume();
    return socket;
  });
  application.greet = undefined;
  await until("they had their ten seconds", () => silent.every((link) => link.ended), { timeout: 60000 });
  const link = await application.dial(at);
  await until("one that speaks", () => link.hello);
  await until("is taken", async () => await metric(broker, "ringcast_links") === 1);
  for (const socket of sockets) socket.destroy();
});

testLink("an application whose URL and dialled links are there at once has one link of each worker and process", { workers: 1, config }, async (broker, application) => {
  await application.linked(1);
  const second = await application.dial(WAYS[0][1]);
  await until("it ends", () => second.ended);
  assert.match(second.of("ERROR")[0].payload.toString(), /already linked/);
  await until("the first goes on", async () => await metric(broker, "ringcast_links") === 1);
});

testLink("a reload of its table ends what was dialled, and takes it again", { listen: false, config, backend: { max_frame: "64KiB" } }, async (broker, application) => {
  const at = WAYS[0][1];
  const first = await application.dial(at);
  await until("HELLO", () => first.hello);
  broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], max_frame: "6MiB" }] });
  const result = await run(["reload", "-c", broker.configPath]);
  assert.equal(result.code, 0, result.stderr);
  await until("it ends", () => first.ended);
  const second = await application.dial(at);
  await until("HELLO again", () => second.hello);
  assert.equal(second.hello.frame_max, 6 << 20);
});

testLink("a worker that ends takes its links with it, and the next one takes them again", { listen: false, workers: 2, config, timeout: 90000 }, async (broker, application) => {
  const at = WAYS[0][1];
  const links = [];
  for (const worker of [0, 1]) {
    links.push(await application.dial(at, { worker }));
    application.process = randomBytes(8).toString("hex");
    await until("HELLO", () => links[worker].hello);
  }
  broker.kill("SIGKILL", 1);
  await until("its link ends", () => links[1].ended);
  assert.equal(links[0].ended, false);
  const again = await until("the next worker takes one", async () => {
    const link = await application.dial(at, { worker: 1 }).catch(() => false);
    return link && link.nonces ? link : false;
  });
  await until("HELLO", () => again.hello);
  assert.equal(again.hello.worker, 1);
  await within(20000, clientOf(broker, application, 1), "a client of it");
});

const BROKEN = [
  ["no frame", (link) => link.write(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))],
  ["random bytes", (link) => link.write(randomBytes(4096))],
  ["a huge frame", (link) => link.write(Buffer.concat([u32(0xffffffff), Buffer.from([TYPES.BROADCAST]), Buffer.alloc(11)]))],
  ["the other side's type", (link) => link.send("OPEN", { connection: 1n, payload: Buffer.from("{}") })],
  ["READY again", (link) => link.ready()],
  ["half a frame, and an end", (link) => { link.write(frame(TYPES.TEXT, { connection: 1n, payload: Buffer.alloc(1000) }).subarray(0, 500)); link.socket.end(); }],
  ["an end at once", (link) => link.socket.destroy()],
];
for (const [name, at, tls] of [WAYS[0], WAYS[2]]) {
  testLink(`whatever a process that has dialled over ${name} sends, its link alone ends`, { listen: false, workers: 1, config, timeout: 90000 }, async (broker, good) => {
    const [worker] = broker.pids().workers;
    await good.dial(at, { tls });
    await until("a good one is there", async () => await metric(broker, "ringcast_links") === 1);
    const socket = client(broker);
    await socket.opening;
    for (const [what, send] of BROKEN) {
      const bad = new Application();
      try {
        const link = await bad.dial(at, { tls });
        await until(`${what}: it is linked`, async () => await metric(broker, "ringcast_links") === 2);
        const lost = client(broker); // the fewest: it is the bad one's
        await lost.opening;
        await bad.connected(1);
        send(link);
        await until(`${what}: it ends`, () => link.ended);
        await until(`${what}: its client is closed`, () => lost.closed);
        await until(`${what}: it is forgotten`, async () => await metric(broker, "ringcast_links") === 1);
      } finally {
        await bad.close();
      }
    }
    socket.send("still");
    await until("the good one hears", () => good.conns[0].heard.includes("still"));
    assert.equal(good.all[0].ended, false);
    assert.equal(broker.pids().workers[0], worker, "the worker lives");
  });
}

/* What processes that know the secret send, and one that does not: again and again, beside a good one. */
const FRAME_MAX = 16 << 20;
const HOSTILE = [
  ["most of a frame as large as may be", async (link) => {
    link.write(frame(TYPES.BROADCAST, { payload: Buffer.alloc(FRAME_MAX) }).subarray(0, FRAME_MAX - 1024));
    await until("it is taken", () => link.socket.writableLength === 0, { timeout: 20000 });
    assert.deepEqual([link.ended, link.of("ERROR").length], [false, 0]);
  }],
  ["frames of connections that are none, one by one", async (link) => {
    const some = Buffer.concat(Array.from({ length: 1000 }, (_, i) => frame(TYPES.TEXT, { connection: BigInt(i + 1000), payload: Buffer.from("x") })));
    for (let i = 0; i < 20; i++) link.write(some);
    await until("they are taken", () => link.socket.writableLength === 0, { timeout: 20000 });
  }],
  ["a broadcast to a room that nobody is in, and random bytes", async (link) => {
    link.send("BROADCAST", { payload: Buffer.concat([text("/"), list(["snowhere"]), list([]), text(""), messages(["x".repeat(1 << 20)])]) });
    link.write(randomBytes(100000));
    await until("it ends", () => link.ended);
  }],
  ["the wrong secret", async (link) => {
    await until("it ends", () => link.ended);
    assert.equal(link.of("ERROR").length, 1);
  }, "the-secret-of-nobody"],
];
const ROUNDS = 8;
const GROWTH = SANITIZED ? 400 << 20 : 96 << 20; // a sanitizer keeps what is freed for a while
testLink("however often hostile processes come, the worker does not grow, and others are not kept waiting", { listen: false, workers: 1, config, timeout: 120000 }, async (broker, good) => {
  const [worker] = broker.pids().workers;
  const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${worker}/status`, "latin1"))[1]) * 1024;
  await good.dial(WAYS[0][1]);
  await until("a good one is there", async () => await metric(broker, "ringcast_links") === 1);
  const socket = client(broker);
  await socket.opening;
  const [connection] = await good.connected(1);
  good.heard = (of, message) => of.text(message);
  let before;
  for (let round = 0; round < ROUNDS; round++) {
    for (const [what, send, secret] of HOSTILE) {
      const bad = new Application(secret && { secret });
      try {
        const link = await bad.dial(WAYS[round % 2][1]);
        await until(`${what}: HELLO`, () => link.hello);
        const sent = send(link);
        socket.send(`${round} ${what}`);
        await until(`beside ${what}: the good one is heard`, () => socket.heard.at(-1) === `${round} ${what}`);
        await sent;
      } finally {
        await bad.close();
      }
    }
    before ??= rss();
  }
  await until("all but the good one are forgotten", async () => await metric(broker, "ringcast_links") === 1);
  const more = rss() - before;
  assert.ok(more < GROWTH, `it has ${more} bytes more`);
  assert.equal(socket.heard.length, ROUNDS * HOSTILE.length);
  assert.deepEqual([connection.closed, socket.closed, good.all[0].ended, broker.pids().workers[0]], [undefined, undefined, false, worker]);
});

testLink("ringcast dials an application over TLS, and only one whose certificate is right", { listen: { tls: { cert: server.cert, key: server.key } }, backend: { tls_ca: CA_FILE }, timeout: 60000 }, async (broker, application) => {
  await until("it is linked", async () => await metric(broker, "ringcast_links") === 1);
  const socket = client(broker);
  await socket.opening;
  const [connection] = await application.connected(1);
  await bothWays(socket, connection, "x".repeat(500000));
  // One of another name is not it.
  const other = certificate("other", { names: ["DNS:elsewhere.example"] });
  application.server.setSecureContext({ cert: other.cert, key: other.key });
  for (const link of application.links) link.socket.destroy();
  await until("it is refused", () => broker.log.some((line) => /link_not_made .*TLS handshake failed/.test(line)), { timeout: 20000 });
  assert.equal(await metric(broker, "ringcast_links"), 0);
  application.server.setSecureContext({ cert: server.cert, key: server.key });
  await until("the right one is linked again", async () => await metric(broker, "ringcast_links") === 1, { timeout: 20000 });
});
