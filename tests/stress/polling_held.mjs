// What a Socket.IO session that polls takes while none of its requests is there: it has a namespace, and no connection. Sessions are begun over a few kept
// connections, with ping_interval so long that none has to come back; the difference of all processes' PSS between half of them and all of them
// is what they take. Asserted: 512 bytes each at most, of sessions; a request of each is answered afterwards.
// Environment: RINGCAST_BIN_DIR, STRESS_CLIENTS (of all, 30000), RINGCAST_SEED.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { startBroker } from "../e2e/lib/broker.mjs";
import { within } from "../e2e/lib/util.mjs";

const CLIENTS = Number(process.env.STRESS_CLIENTS ?? 30000);
const WORKERS = 2;
const AT_ONCE = 64;
const MOST = 512;

const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

/* A body is POSTed. */
const http = (broker, query, body) => within(60000, new Promise((done, failed) => {
  const sent = request({ agent, host: "127.0.0.1", port: broker.port, path: `/socket.io/?EIO=4&transport=polling${query}`, method: body === undefined ? "GET" : "POST" }, (answer) => {
    const pieces = [];
    answer.on("data", (piece) => pieces.push(piece)).on("error", failed);
    answer.on("end", () => done(Buffer.concat(pieces).toString()));
  });
  sent.on("error", failed);
  sent.end(body);
}), "an answer");

async function begin(broker) {
  const { sid } = JSON.parse((await http(broker, "")).slice(1));
  assert.equal(await http(broker, `&sid=${sid}`, "40"), "ok");
  assert.match(await http(broker, `&sid=${sid}`), /^40\{"sid":"/);
  return sid;
}

/* Some at a time, until all are there. */
async function each(count, step) {
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < count) await step(next++);
  }));
}

const pss = (broker) => [broker.pid, ...broker.pids().workers, broker.pids().relay].reduce((sum, pid) => sum + 1024 * Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))[1]), 0);

const broker = await startBroker({
  workers: WORKERS,
  config: { "socketio.path": "/socket.io/", "socketio.ping_interval": "1h", "socketio.ping_timeout": "1h", "server.max_connections": CLIENTS + 4096 * WORKERS, event: [{ on: "here", ack: ["{args.0}"] }] },
});
let status = 0;
try {
  const sids = [];
  const held = [];
  await each(1000, () => begin(broker)); // buffers and rings have been used then, and are not counted
  for (const all of [CLIENTS / 2, CLIENTS]) {
    const from = sids.length;
    await each(all - from, async () => sids.push(await begin(broker)));
    held.push(pss(broker));
  }
  const bytes = (held[1] - held[0]) / (CLIENTS / 2);
  console.log(`polling_held: ${sids.length} sessions without a request; of one more ${bytes.toFixed(0)} bytes of all processes' PSS`);
  assert.ok(bytes <= MOST, `${bytes} bytes, not ${MOST}`);
  await each(1000, async (i) => {
    const sid = sids[Math.floor((i * sids.length) / 1000)];
    assert.equal(await http(broker, `&sid=${sid}`, `420["here",${i}]`), "ok");
    assert.equal(await http(broker, `&sid=${sid}`), `430[${i}]`);
  });
} catch (error) {
  status = 1;
  console.error(error);
  console.error(broker.log.slice(-20).join("\n"));
} finally {
  agent.destroy();
  await broker.destroy();
}
process.exit(status);
