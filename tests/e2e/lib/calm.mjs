// A client of its own thread that sends itself one message after the other: what others notice of what the test's main thread does to a broker, however
// busy that thread is. calmOn(host) resolves with { p99(): of those since it was asked last, in ms; end() }.
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { fileURLToPath } from "node:url";
import { connect } from "./client.mjs";

export async function calmOn(host) {
  const thread = new Worker(fileURLToPath(import.meta.url), { workerData: { calm: host } });
  const told = () => new Promise((done, failed) => thread.once("message", done).once("error", failed));
  await told();
  return {
    p99() {
      thread.postMessage("p99");
      return told();
    },
    end: () => thread.terminate(),
  };
}

async function stayCalm(host) {
  const client = await connect(`ws://${host}/ws`);
  await client.subscribe("calm");
  let took = [];
  let arrived;
  client.ondelivery = () => arrived();
  parentPort.on("message", () => {
    parentPort.postMessage(took.sort((a, b) => a - b)[Math.floor(took.length * 0.99)] ?? Infinity);
    took = [];
  });
  parentPort.postMessage("there");
  for (;;) {
    const began = performance.now();
    const there = new Promise((done) => (arrived = done));
    client.send({ type: "publish", channel: "calm", data: 1 });
    await there;
    took.push(performance.now() - began);
  }
}

if (!isMainThread && workerData?.calm) stayCalm(workerData.calm);
