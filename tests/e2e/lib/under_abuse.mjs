// A broker with good clients is abused; afterwards nothing may be left of it. For abuse.test.mjs and tests/stress/abuse.mjs.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { setPriority } from "node:os";
import { PROGRAM } from "./abuse.mjs";
import { certificate } from "./tls.mjs";
import { SEED, delay, freePort, until, within } from "./util.mjs";

const GAUGES = [
  "ringcast_sockets", "ringcast_handshakes", "ringcast_tls_connections", "ws_connections_total", "ringcast_subscriptions", "ringcast_channels",
  "ringcast_reply_bytes", "ringcast_input_bytes", "ringcast_log_bytes", "ringcast_subscriptions_behind", "ringcast_api_calls",
];
const LINES_PER_SECOND = 8; // each kind of line comes at most once a second from each process

const server = certificate("localhost"); // once: a broker that starts must not find half of another one

export async function abuseConfig() {
  return {
    "tls.listen": [`127.0.0.1:${await freePort()}`],
    "tls.certificates": [server.path],
    "limits.handshake_timeout": "2s",
    "limits.close_timeout": "1s",
  };
}

/* A quantile of what a histogram of seconds took in between two /metrics, in milliseconds: its bucket's upper end. */
function quantileOf(name, share, before, after) {
  const counts = [...after.text.matchAll(new RegExp(`^${name}_bucket\\{.*le="([^"]+)"\\} `, "gm"))].map(([, le]) => le);
  const since = (le) => after(`${name}_bucket<${le}`) - before(`${name}_bucket<${le}`);
  const all = since("+Inf");
  return Number(counts.find((le) => since(le) >= share * all).replace("+Inf", "Infinity")) * 1000;
}

/* What the broker holds: gauges, descriptors and memory of its processes. */
async function holdings(broker) {
  const metrics = await broker.metrics();
  const { relay, workers } = broker.pids();
  const pids = [broker.pid, relay, ...workers];
  return {
    // The connection that asks is among the sockets.
    gauges: Object.fromEntries(GAUGES.map((name) => [name, metrics(name)])),
    descriptors: Object.fromEntries(pids.map((pid) => [pid, readdirSync(`/proc/${pid}/fd`).length])),
    rss: pids.reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) * 1024, 0),
    metrics,
  };
}

/*
 * One attack: { before, during } reports of the good clients, what the attacker `did`, how the broker's own p99s were, what `grew` in memory. Fails if a good client
 * lost anything or was sent away, if a slot, descriptor or byte of a budget stays in use, if memory grew by more than `growth`
 * bytes for good, or if the log is flooded.
 */
export async function underAbuse(broker, good, attack, { count, ms, growth, calm = 2000 }) {
  await good.report();
  await delay(calm);
  const before = await good.report();
  const held = await holdings(broker);
  const lines = broker.log.length;
  const began = performance.now();
  const settings = { host: "127.0.0.1", port: broker.port, tlsPort: Number(broker.config["tls.listen"][0].split(":")[1]), count, ms, seed: SEED % 2 ** 31 };
  const child = spawn(process.execPath, [PROGRAM, attack, JSON.stringify(settings)], { stdio: ["ignore", "pipe", "inherit"] });
  setPriority(child.pid, 10); // it stands for other machines: it must not take the time of those who measure
  let output = "";
  child.stdout.on("data", (bytes) => (output += bytes));
  const exited = new Promise((done) => child.once("close", done));
  try {
    assert.equal(await within(ms + 60000, exited, `${attack} ends`), 0);
  } finally {
    child.kill("SIGKILL");
  }
  const during = await good.report();
  const did = JSON.parse(output);
  assert.ok(did.connections > 0, `${attack} connected`);
  assert.deepEqual([during.gone, during.disordered], [0, 0], `${attack}: good clients were sent away, or got messages out of order`);
  const after = await until(`${attack}: everything is given back`, async () => {
    const now = await holdings(broker);
    for (const name of GAUGES) assert.ok(now.gauges[name] <= held.gauges[name] || /_bytes|behind/.test(name) && now.gauges[name] === 0, `${name} was ${held.gauges[name]}, is ${now.gauges[name]}`);
    assert.deepEqual(now.descriptors, held.descriptors, "open descriptors");
    assert.ok(now.rss <= held.rss + growth, `memory was ${held.rss}, is ${now.rss}`);
    return now;
  }, { timeout: 20000, every: 200 });
  const seconds = (performance.now() - began) / 1000;
  const written = broker.log.length - lines;
  assert.ok(written <= 20 + seconds * LINES_PER_SECOND * (broker.workers + 1), `${attack}: ${written} log lines in ${seconds} s`);
  return {
    before, during, did, lines: written, grew: after.rss - held.rss, counted: (name) => after.metrics(name) - held.metrics(name),
    pass: quantileOf("ringcast_pass_seconds", 1, held.metrics, after.metrics), publishToSend: quantileOf("ringcast_publish_to_send_seconds", 0.99, held.metrics, after.metrics),
  };
}
