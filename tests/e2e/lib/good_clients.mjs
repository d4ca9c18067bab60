// Many well-behaved clients on a thread of their own: all are subscribed to one channel, some of them publish at a steady
// rate, and each checks that nothing is missing, repeated or out of order, and that nobody is sent away.
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { fileURLToPath } from "node:url";
import { connectFrames } from "./raw.mjs";
import { within } from "./util.mjs";

const CHANNEL = "good:1";
const PUBLISHERS = 4;

/* The side of the test. */
export class GoodClients {
  /* `rate`: messages a second, each to all `count` clients. */
  async start({ port, count, rate }) {
    this.worker = new Worker(fileURLToPath(import.meta.url), { workerData: { port, count, rate } });
    this.failed = new Promise((_, reject) => this.worker.once("error", reject));
    this.failed.catch(() => {});
    await this.#answer("ready", 60000);
    return this;
  }

  #answer(kind, timeout) {
    const answered = new Promise((done) => {
      const listen = (message) => {
        if (message.kind !== kind) return;
        this.worker.off("message", listen);
        done(message);
      };
      this.worker.on("message", listen);
    });
    return within(timeout, Promise.race([answered, this.failed]), `good clients: ${kind}`);
  }

  /* Since the last call: { deliveries, p50, p99, max } of milliseconds, { missing, disordered, gone } since the start. */
  async report() {
    const answer = this.#answer("report", 30000);
    this.worker.postMessage("report");
    return answer;
  }

  /* Stops publishing, waits until everything has arrived; the same report, with missing told for certain. */
  async stop() {
    const answer = this.#answer("stopped", 30000);
    this.worker.postMessage("stop");
    const report = await answer;
    await this.worker.terminate();
    return report;
  }
}

function quantiles(values) {
  const sorted = Float64Array.from(values).sort();
  const at = (share) => (sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]);
  return { deliveries: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

async function main({ port, count, rate }) {
  const clients = [];
  const sent = new Array(PUBLISHERS).fill(0);
  let latencies = [];
  let disordered = 0;
  let gone = 0;
  let ending = false;
  const take = (client) => {
    const { raw } = client;
    let { buffer } = raw;
    // Small text frames only; parsed by hand, since this is done ten thousand times a second.
    while (buffer.length >= 2) {
      const short = buffer[1];
      const start = short === 126 ? 4 : 2;
      if (buffer.length < start) break;
      const end = start + (short === 126 ? buffer.readUInt16BE(2) : short);
      if (buffer.length < end) break;
      if ((buffer[0] & 15) === 1) {
        const match = /"data":"(\d+) (\d+) ([\d.]+)"/.exec(buffer.latin1Slice(start, end));
        if (match) {
          const publisher = Number(match[1]);
          latencies.push(performance.now() - Number(match[3]));
          client.seen[publisher]++;
          if (Number(match[2]) !== client.seen[publisher]) disordered++;
        }
      } else if ((buffer[0] & 15) === 9) {
        raw.send({ opcode: 10, payload: buffer.subarray(start, end) });
      } else if ((buffer[0] & 15) === 8) {
        gone++;
      }
      buffer = buffer.subarray(end);
    }
    raw.buffer = buffer;
  };
  for (let begun = 0; begun < count; begun += 50) {
    await Promise.all(Array.from({ length: Math.min(50, count - begun) }, async () => {
      const raw = await connectFrames({ host: "127.0.0.1", port });
      raw.json({ type: "subscribe", channel: CHANNEL, id: 1 });
      let answer = await raw.frame();
      for (; answer.opcode === 9; answer = await raw.frame()) raw.send({ opcode: 10, payload: answer.payload });
      answer = JSON.parse(answer.payload);
      if (answer.type !== "subscribed") throw new Error(`a good client was answered ${JSON.stringify(answer)}`);
      const client = { raw, seen: new Array(PUBLISHERS).fill(0) };
      raw.socket.on("data", () => take(client));
      raw.socket.on("close", () => (gone += ending ? 0 : 1));
      clients.push(client);
    }));
  }
  let turn = 0;
  const began = performance.now();
  const timer = setInterval(() => {
    for (const due = (performance.now() - began) / 1000 * rate; turn < due; turn++) {
      const publisher = turn % PUBLISHERS;
      clients[publisher].raw.json({ type: "publish", channel: CHANNEL, data: `${publisher} ${++sent[publisher]} ${performance.now()}` });
    }
  }, 5);
  const missing = () => clients.reduce((sum, { seen }) => sum + sent.reduce((more, wanted, i) => more + wanted - seen[i], 0), 0);
  const report = (kind) => {
    parentPort.postMessage({ kind, ...quantiles(latencies), published: turn, missing: missing(), disordered, gone });
    latencies = [];
  };
  parentPort.on("message", async (command) => {
    if (command === "report") return report("report");
    clearInterval(timer);
    for (let i = 0; i < 400 && missing() > 0 && gone === 0; i++) await new Promise((done) => setTimeout(done, 25));
    ending = true;
    report("stopped");
    for (const { raw } of clients) raw.end();
    return undefined;
  });
  parentPort.postMessage({ kind: "ready" });
}

if (!isMainThread && workerData?.rate) await main(workerData);
