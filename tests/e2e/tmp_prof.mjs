import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { delay, startRedis, startBrokers, until } from "./lib/redis.mjs";
const redis = await startRedis();
const [a, b] = await startBrokers(2, redis.url, { config: { "log.level": "warn" } });
const [one, two] = [await a.connect(), await b.connect()];
await two.subscribe("room:1");
await delay(500);
const who = { workerA: a.pids().workers ? a.pids().workers[0] : null, relayA: a.pids().relay, redis: redis.child.pid, relayB: b.pids().relay, workerB: b.pids().workers[0] };
const cpu = (pid) => { const s = readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ").map(Number); const st = readFileSync(`/proc/${pid}/status`, "utf8"); return { ns: s[0], vol: Number(/voluntary_ctxt_switches:\s+(\d+)/.exec(st)[1]) }; };
let got = 0;
const times = [];
two.ondelivery = ({ data }) => { got++; times.push(performance.now() - data); };
const N = 2000;
const run = async (n, gap) => {
  got = 0; times.length = 0;
  const begun = performance.now();
  for (let i = 0; i < n; i++) {
    while (performance.now() - begun < i * gap) await new Promise((d) => setImmediate(d));
    one.send({ type: "publish", channel: "room:1", data: performance.now() });
  }
  await until("all", () => got === n);
};
await run(500, 1);
const before = Object.fromEntries(Object.entries(who).map(([k, p]) => [k, cpu(p)]));
await run(N, 1);
for (const [k, p] of Object.entries(who)) { const x = cpu(p); console.log(k.padEnd(8), "us/msg", ((x.ns - before[k].ns) / N / 1000).toFixed(2), "sleeps/msg", ((x.vol - before[k].vol) / N).toFixed(2)); }
times.sort((x, y) => x - y);
console.log("p50", times[N >> 1].toFixed(3), "p99", times[Math.floor(N * 0.99)].toFixed(3));
if (process.argv[2] === "perf") { const k = ["relayA","relayB"].map((n) => spawn("perf", ["record", "-g", "-o", `/tmp/perf.${n}`, "-p", who[n]], { stdio: "ignore" })); await delay(1500); await run(4000, 1); for (const x of k) x.kill("SIGINT"); await delay(1500); }
else if (process.argv[2]) {
  const kids = Object.entries(who).map(([k, p]) => spawn("strace", ["-f", "-r", "-o", `/tmp/st.${k}`, "-p", p], { stdio: "ignore" }));
  await delay(1000);
  await run(300, 5);
  for (const k of kids) k.kill("SIGINT");
  await delay(300);
}
for (const x of [a, b]) await x.destroy();
await redis.destroy();
process.exit(0);
