// A message of OUTLIVE_BYTES (1000000) in many parts, compressed with takeover, of which about half has come when its worker is killed: it is
// delivered once, and whole, or its connection ends, which is counted; for STRESS_SECONDS.
// Environment: RINGCAST_BIN_DIR, OUTLIVE_BYTES, OUTLIVE_PARTS (500; npm ws takes milliseconds for each), and as in tests/e2e/lib/trials.mjs.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import WebSocket from "ws";
import { killWorker } from "../e2e/lib/crowd.mjs";
import { trials } from "../e2e/lib/trials.mjs";
import { until } from "../e2e/lib/util.mjs";

const bytes = Number(process.env.OUTLIVE_BYTES ?? 1000000);
const parts = Number(process.env.OUTLIVE_PARTS ?? 500);
const config = { "limits.max_message_size": "4MiB", "server.ring_size": "16MiB", "server.overflow_size": "64MiB", "limits.channel_log": "64MiB", "limits.worker_log": "256MiB", "compression.enabled": true };

const sum = (text) => createHash("sha256").update(text).digest("hex");
let count = 0;
// A crowd of one publisher: it is to be there, not to keep the worker from the large message. And what has come of it is said each time.
const number = (name, or) => Number(process.env[name] ?? or);
const crowd = { publishers: number("OUTLIVE_PUBLISHERS", 1), window: number("OUTLIVE_WINDOW", 1) };
await trials({ workers: 1, config, crowd, round: 1 }, async (broker, chance) => {
  const reader = await broker.connect();
  const channel = `large${count++}`;
  await reader.subscribe(channel);
  const socket = new WebSocket(`ws://127.0.0.1:${broker.port}/ws`, { perMessageDeflate: { threshold: 0 } });
  let answered;
  const closed = new Promise((done) => socket.once("close", done));
  socket.on("error", () => {});
  await new Promise((done) => socket.once("open", done));
  socket.on("message", (data) => {
    const message = JSON.parse(data);
    if (message.type === "published" || message.type === "error") answered = message;
  });
  // Letters by chance: it stays large when it is compressed.
  const data = Array.from({ length: bytes / 8 }, () => (chance.below(2 ** 31) + 2 ** 31).toString(16).padStart(8, "0")).join("");
  const text = JSON.stringify({ type: "publish", channel, id: 1, data });
  const size = Math.ceil(text.length / parts);
  const send = (from, to) => {
    for (let at = from; at < to; at += size) socket.send(text.slice(at, at + size), { fin: at + size >= text.length, compress: true });
  };
  const half = size * Math.floor((parts * (30 + chance.below(40))) / 100);
  send(0, half);
  await new Promise((done) => socket.ping(undefined, true, done)); // behind it: it has left
  await killWorker(broker, 0);
  send(half, text.length);
  await until("it is published, or its connection has ended", () => answered || socket.readyState === WebSocket.CLOSED, { timeout: 60000 });
  const ended = !answered;
  assert.ok(ended || answered.type === "published", JSON.stringify(answered));
  if (!ended) assert.equal(sum((await reader.next("message")).data), sum(data), "it is whole");
  await reader.publish(channel, "the next");
  assert.equal((await reader.next("message")).data, "the next", "and came once");
  socket.terminate();
  await closed;
  await reader.close();
  return { what: ended ? "large message, whose connection ended" : "large message, whole", closes: 2 };
});
