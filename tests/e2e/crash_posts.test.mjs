// Workers that are killed at every place of a POST of a client that polls, while its packets are carried out and its answer is written: each packet
// is carried out once, and the client notices nothing. Builds with the address sanitizer can be told where (RINGCAST_DIES_FILE).
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testBroker } from "./lib/broker.mjs";
import { openPolling, SEPARATOR } from "./lib/socketio.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { CROWD_ROWS } from "./lib/socketio_crowd.mjs";
import { SANITIZED, until } from "./lib/util.mjs";

const folder = mkdtempSync(join(tmpdir(), "ringcast-dies-"));
const file = join(folder, "steps");
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const CONFIG = { "debug.adopt_verify": true, "socketio.path": "/socket.io/", "socketio.ping_interval": "1h", "socketio.ping_timeout": "1h", event: CROWD_ROWS };
const MARK = "dies here"; // from this packet on so many steps are counted

async function joined(broker) {
  const session = await openPolling({ port: broker.port, path: "/socket.io/" });
  await session.send("40", '421["join","room"]');
  const [connected, joins] = await session.packets(2);
  assert.match(connected, /^40\{"sid":/);
  assert.equal(joins, '431["joined"]');
  return session;
}

/* `pad`: bytes of a packet, so that the POST does not come in one piece. */
async function sweep(broker, pad) {
  const stride = Number(process.env.CRASH_STRIDE ?? 3);
  const [speaker, listener] = [await joined(broker), await joined(broker)];
  const raw = await broker.raw();
  const heard = { speaker: [], listener: [] };
  const worker = () => broker.pids().workers[0];
  let over = false;
  let kills = 0;
  for (let n = 0; !over; n++) {
    const at = `killed after ${1 + n * stride} steps`;
    writeFileSync(file, String(1 + n * stride));
    const body = [`42["say","room","${MARK}",${n}]`, `427["echo",${n},"${"x".repeat(pad)}"]`, `42["say","room","b",${n}]`, `429["say","room","c",${n}]`].join(SEPARATOR);
    const before = worker();
    raw.write(`POST ${speaker.url()} HTTP/1.1\r\nHost: a\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    const answer = await raw.response(60000).catch((error) => assert.fail(`${at}: ${error.message}`));
    assert.deepEqual([answer.status, answer.body], [200, "ok"], at);
    // Who dies of a request of ours (which is asked once more), or not even then, had no such step in the POST.
    const metrics = await broker.metrics().catch(() => undefined);
    over = worker() === before || metrics?.("ringcast_not_adopted_sockets_total") !== 0;
    if (worker() === before) await killWorker(broker, 0);
    await until("a successor serves", async () => ![undefined, before].includes(worker()) && (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 60000 });
    kills++;
    heard.speaker.push(`437[${n},"${"x".repeat(pad)}"]`, `42["echo",${n},"${"x".repeat(pad)}"]`, `439[${n}]`);
    heard.listener.push(...[MARK, "b", "c"].map((what) => `42["said","${what}",${n}]`));
    assert.deepEqual((await speaker.packets(3)).map((packet) => packet.slice(0, 30)).sort(), heard.speaker.splice(0).map((packet) => packet.slice(0, 30)).sort(), at);
    assert.deepEqual(await listener.packets(3), heard.listener.splice(0), at);
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), kills);
  assert.ok(metrics("ringcast_not_adopted_sockets_total") <= 1, "none but that request");
  assert.equal(metrics("ringcast_adopt_differences_total"), 0);
  assert.ok(kills > 15, `${kills} kills`);
}

const skip = SANITIZED ? false : "only builds with the address sanitizer can do it";
for (const [name, pad] of [["comes in one piece", 10], ["comes in pieces", 20000]]) {
  testBroker(`a POST that ${name}`, { workers: 1, config: CONFIG, env: { RINGCAST_DIES_FILE: file }, timeout: 400000, skip }, async (broker) => {
    await sweep(broker, pad);
  });
}
