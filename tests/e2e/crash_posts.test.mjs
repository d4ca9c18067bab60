// Workers that are killed at every place of a POST or GET of a client that polls, while it is received, its packets are carried out and its answer is
// written: each packet is carried out once, and the client notices nothing. Builds with the address sanitizer can be told where (RINGCAST_DIES_FILE).
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testBroker } from "./lib/broker.mjs";
import { openPolling, SEPARATOR } from "./lib/socketio.mjs";
import { killSteps, killWorker } from "./lib/crowd.mjs";
import { CROWD_ROWS } from "./lib/socketio_crowd.mjs";
import { SANITIZED, until } from "./lib/util.mjs";

const folder = mkdtempSync(join(tmpdir(), "ringcast-dies-"));
const file = join(folder, "steps");
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const CONFIG = { "debug.adopt_verify": true, "socketio.path": "/socket.io/", "socketio.ping_interval": "1h", "socketio.ping_timeout": "1h", event: CROWD_ROWS };
const MARK = "dies here"; // from this packet on so many steps are counted
const COMES = "dies-as-it-comes"; // the same from the moment on in which it is received

async function joined(broker) {
  const session = await openPolling({ port: broker.port, path: "/socket.io/" });
  await session.send("40", '421["join","room"]');
  const [connected, joins] = await session.packets(2);
  assert.match(connected, /^40\{"sid":/);
  assert.equal(joins, '431["joined"]');
  return session;
}

/* `pad`: bytes of a packet, so that the POST does not come in one piece. */
async function sweep(broker, pad, mark) {
  const stride = Number(process.env.CRASH_STRIDE ?? 3);
  const [speaker, listener] = [await joined(broker), await joined(broker)];
  const raw = await broker.raw();
  const heard = { speaker: [], listener: [] };
  const worker = () => broker.pids().workers[0];
  let over = false;
  let kills = 0;
  for (const n of killSteps(stride)) {
    if (over) break;
    const at = `killed after ${n} steps`;
    writeFileSync(file, String(n));
    const body = [`42["say","room","${mark}",${n}]`, `427["echo",${n},"${"x".repeat(pad)}"]`, `42["say","room","b",${n}]`, `429["say","room","c",${n}]`].join(SEPARATOR);
    const before = worker();
    raw.write(`POST ${speaker.url()} HTTP/1.1\r\nHost: a\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    const answer = await raw.response(60000).catch((error) => assert.fail(`${at}: ${error.message}`));
    assert.deepEqual([answer.status, answer.body], [200, "ok"], at);
    await broker.metrics().catch(() => undefined); // what comes next: who outlives that had no such step in the POST
    over = worker() === before && !died(broker, before);
    if (over) await killWorker(broker, 0);
    await until("a successor serves", async () => ![undefined, before].includes(worker()) && (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 60000 });
    kills++;
    heard.speaker.push(`437[${n},"${"x".repeat(pad)}"]`, `42["echo",${n},"${"x".repeat(pad)}"]`, `439[${n}]`);
    heard.listener.push(...[mark, "b", "c"].map((what) => `42["said","${what}",${n}]`));
    assert.deepEqual((await speaker.packets(3)).map((packet) => packet.slice(0, 30)).sort(), heard.speaker.splice(0).map((packet) => packet.slice(0, 30)).sort(), at);
    assert.deepEqual(await listener.packets(3), heard.listener.splice(0), at);
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), kills);
  assert.equal(metrics("ringcast_not_adopted_sockets_total"), 0);
  assert.equal(metrics("ringcast_adopt_differences_total"), 0);
  assert.ok(kills > 1, "nobody died of a step");
}

const died = (broker, pid) => broker.log.some((line) => line.includes("child_died") && line.includes(`pid=${pid} `));

const skip = SANITIZED ? false : "only builds with the address sanitizer can do it";
for (const [name, pad, mark] of [["comes in one piece", 10, MARK], ["comes in pieces", 20000, MARK], ["is just coming", 10, COMES]]) {
  testBroker(`a POST that ${name}`, { workers: 1, config: CONFIG, env: { RINGCAST_DIES_FILE: file }, timeout: 400000, skip }, async (broker) => {
    await sweep(broker, pad, mark);
  });
}

/* `early`: there is something for it when it comes, and the worker dies from that moment on. Else it waits, and the worker dies from the packet on
 * that the other one's POST ends with. The steps end behind its answer. */
async function getSweep(broker, early) {
  const stride = Number(process.env.CRASH_STRIDE ?? 3);
  const [speaker, listener] = [await joined(broker), await joined(broker)];
  await listener.send('423["join","b"]');
  assert.deepEqual(await listener.packets(1), ['433["joined"]']);
  const worker = () => broker.pids().workers[0];
  const last = `${early ? "" : MARK}${"x".repeat(300)}`;
  const says = (n) => [`42["say","room","to all",${n}]`, `42["say","b","to b",${n}]`, `42["say","room","${last}",${n}]`].join(SEPARATOR);
  const heard = (n) => [`42["said","to all",${n}]`, `42["said","to b",${n}]`, `42["said","${last}",${n}]`];
  let kills = 0;
  let over = false;
  for (const n of killSteps(stride)) {
    if (over) break;
    const at = `killed after ${n} steps`;
    const before = worker();
    const raw = await broker.raw(); // each is somebody who has just come
    if (early) await speaker.send(says(n));
    writeFileSync(file, String(n));
    raw.write(`GET ${listener.url({ t: `${early ? COMES : "waits"}${n}` })} HTTP/1.1\r\nHost: a\r\n\r\n`);
    if (!early) {
      await until("it waits", async () => (await broker.metrics())("ringcast_http_waiting") === 1);
      await speaker.send(says(n)).catch((error) => assert.fail(`${at}: the POST: ${error.message}`));
    }
    const answer = await raw.response(60000).catch((error) => assert.fail(`${at}: ${error.message}`));
    assert.equal(answer.status, 200, at);
    const packets = answer.body.split(SEPARATOR);
    // Who waits is answered as soon as there is one of them.
    if (packets.length < 3) packets.push(...(await listener.packets(3 - packets.length).catch((error) => assert.fail(`${at}: the next GET: ${error.message}`))));
    assert.deepEqual(packets, heard(n), at);
    await broker.metrics().catch(() => undefined); // what comes next
    over = worker() === before && !died(broker, before);
    raw.end();
    if (over) await killWorker(broker, 0); // who outlives it dies of nothing later
    await until("a successor serves", async () => ![undefined, before].includes(worker()) && (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 60000 });
    kills++;
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), kills);
  assert.equal(metrics("ringcast_not_adopted_sockets_total"), 0);
  assert.equal(metrics("ringcast_adopt_differences_total"), 0);
  assert.ok(kills > 1, "nobody died of a step");
}

for (const [name, early] of [["that waits", false], ["that is answered at once", true]]) {
  testBroker(`a GET ${name}`, { workers: 1, config: CONFIG, env: { RINGCAST_DIES_FILE: file }, timeout: 400000, skip }, async (broker) => {
    await getSweep(broker, early);
  });
}
