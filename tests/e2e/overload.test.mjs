// Overload: newcomers wait, then are told to come again; clients that are there stay; and it ends by itself.
import assert from "node:assert/strict";
import { connect as connectTls } from "node:tls";
import { run, testBroker } from "./lib/broker.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { CA, certificate } from "./lib/tls.mjs";
import { freePort, until, within } from "./lib/util.mjs";

async function reload(broker, changes) {
  broker.writeConfig({ ...broker.config, ...changes });
  const result = await run(["reload", "-c", broker.configPath]);
  assert.equal(result.code, 0, result.stderr);
}

const overloadOf = async (broker) => JSON.parse((await broker.get("/health")).body).overload;

/* The answer to an upgrade. */
async function upgrade(broker) {
  const raw = await broker.raw();
  raw.write(upgradeRequest("/ws"));
  const answer = await raw.response();
  if (answer.status !== 101) await raw.rest(); // and the connection ends
  raw.end();
  return answer;
}

const overloadLines = (broker) => broker.log.filter((line) => / overload /.test(line)).length;

testBroker("memory: new clients are refused while it is short, those that are there go on", { workers: 2, timeout: 60000 }, async (broker) => {
  const [a, b] = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
  await broker.closeSpares();
  await a.subscribe("room:1");
  assert.equal(await overloadOf(broker), "none");
  await reload(broker, { "overload.max_memory": "1MiB" });
  await until("both workers shed", async () => (await broker.metrics())("ringcast_overload_level") === 4);
  const refused = await upgrade(broker);
  assert.equal(refused.status, 503);
  assert.match(refused.headers["retry-after"], /^[1-5]$/);
  assert.equal(refused.headers.connection, "close");
  assert.match(JSON.parse(refused.body).error.message, /overloaded/);
  const health = await broker.get("/health");
  assert.deepEqual([health.status, JSON.parse(health.body).overload, JSON.parse(health.body).healthy], [200, "shedding", true]);
  await b.publish("room:1", "still here");
  assert.equal((await a.next("message")).data, "still here");
  const metrics = await broker.metrics();
  assert.ok(metrics("ringcast_connections_refused_memory_total") >= 1);
  assert.equal(metrics("ringcast_connections_refused_turn_total") + metrics("ringcast_connections_refused_queue_total"), 0);
  assert.ok(metrics("ringcast_accept_pauses_total") >= 2);
  assert.ok(broker.log.some((line) => / overload .*level=shedding because="memory"/.test(line)), "the log says so");

  await reload(broker, { "overload.max_memory": "0" });
  await until("it is over", async () => (await overloadOf(broker)) === "none");
  const client = await broker.connect();
  await client.publish("room:1", "new");
  assert.equal((await a.next("message")).data, "new");
  assert.equal((await broker.metrics())("ringcast_overload_level"), 0);
  assert.ok(overloadLines(broker) <= 12, "the log stays readable");
});

testBroker("memory of the host, too", { workers: 1 }, async (broker) => {
  await reload(broker, { "overload.min_available": "4TiB" });
  await until("it sheds", async () => (await overloadOf(broker)) === "shedding");
  assert.equal((await upgrade(broker)).status, 503);
  await reload(broker, { "overload.min_available": "0" });
  await until("it is over", async () => (await overloadOf(broker)) === "none");
  assert.equal((await upgrade(broker)).status, 101);
});

testBroker("turns that take too long: newcomers are put off until the fan-out is through", { workers: 1, timeout: 90000, config: { "overload.max_turn": "10ms", "limits.ping_interval": "0s", namespace: [{ name: "hog", slow_consumer: "skip" }] } }, async (broker) => {
  const audience = await Promise.all(Array.from({ length: 400 }, async () => {
    const raw = await broker.frames("/ws");
    raw.json({ type: "subscribe", channel: "hog:1", id: 1 });
    assert.equal((await raw.message()).type, "subscribed");
    raw.socket.removeAllListeners("data");
    raw.socket.resume(); // read, and thrown away
    return raw;
  }));
  const publisher = await broker.connect();
  const data = "x".repeat(32768);
  let on = true;
  let published = 0;
  const hog = (async () => {
    while (on) {
      await Promise.all(Array.from({ length: 16 }, () => publisher.publish("hog:1", data)));
      published += 16;
    }
  })();
  const refused = await until("a newcomer is refused", async () => {
    const answer = await upgrade(broker);
    return answer.status === 503 && answer;
  }, { timeout: 30000 });
  assert.match(refused.headers["retry-after"], /^[1-5]$/);
  on = false;
  await hog;
  const metrics = await broker.metrics();
  assert.ok(metrics("ringcast_connections_refused_turn_total") >= 1);
  await until("it is over", async () => (await overloadOf(broker)) === "none");
  assert.equal((await upgrade(broker)).status, 101);
  assert.deepEqual(audience.filter(({ ended }) => ended), [], "nobody who was there was sent away");
  assert.ok(published > 0);
});

testBroker("half-open handshakes have their bound, and the newest are refused", { workers: 1, config: { "overload.max_handshakes": 20, "limits.handshake_timeout": "60s" } }, async (broker) => {
  const good = await broker.connect();
  assert.equal((await admin(broker))("ringcast_handshakes"), 0);
  const halfOpen = [];
  for (let i = 0; i < 20; i++) {
    const raw = await broker.raw();
    raw.write("GET /ws HTTP/1.1\r\nHost: ");
    halfOpen.push(raw);
  }
  await until("they are counted", async () => (await admin(broker))("ringcast_handshakes") === 20);
  for (let i = 0; i < 5; i++) {
    const raw = await broker.raw();
    const answer = await raw.response();
    assert.deepEqual([answer.status, answer.headers["retry-after"]], [503, "1"]);
    await raw.rest();
  }
  assert.equal((await admin(broker))("ringcast_connections_refused_handshakes_total"), 5);
  // A request makes room, a WebSocket too, and so does one that gives up.
  halfOpen[0].write("x\r\n\r\n");
  assert.equal((await halfOpen[0].response()).status, 426);
  halfOpen[1].end();
  halfOpen[2].write("x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  assert.equal((await halfOpen[2].response()).status, 101);
  await until("they are not counted any more", async () => (await admin(broker))("ringcast_handshakes") === 17);
  assert.equal((await upgrade(broker)).status, 101);
  await good.ping();
  for (const raw of halfOpen) raw.end();
  await until("nothing is left of them", async () => (await admin(broker))("ringcast_handshakes") === 0);
});

/* /metrics over a connection that is there already: a new one would be a handshake itself. */
async function admin(broker) {
  broker.watcher ??= await broker.raw();
  broker.watcher.write("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  const { body } = await broker.watcher.response();
  return (name) => Number(new RegExp(`^${name}\\{instance="test"\\} (\\S+)$`, "m").exec(body)[1]);
}

const tlsPort = await freePort();
testBroker("over TLS newcomers are closed before the handshake that nobody has time for", {
  workers: 1, config: { "tls.listen": [`127.0.0.1:${tlsPort}`], "tls.certificates": [certificate("localhost").path] },
}, async (broker) => {
  const handshake = () => within(10000, new Promise((done) => {
    const socket = connectTls({ host: "127.0.0.1", port: tlsPort, ca: CA, servername: "localhost" });
    socket.once("secureConnect", () => { done("secure"); socket.destroy(); });
    socket.once("error", () => done("closed"));
  }), "a TLS handshake, or its end");
  assert.equal(await handshake(), "secure");
  await reload(broker, { "overload.max_memory": "1MiB" });
  await until("it sheds", async () => (await overloadOf(broker)) === "shedding");
  assert.equal(await handshake(), "closed");
  assert.ok((await broker.metrics())("ringcast_connections_refused_memory_total") >= 1);
  await reload(broker, { "overload.max_memory": "0" });
  await until("it is over", async () => (await overloadOf(broker)) === "none");
  assert.equal(await handshake(), "secure");
});
