// A worker is killed, and the acceptor cannot start another one at once: descriptors (memory, processes) are short just then. Its clients stay.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testBroker } from "./lib/broker.mjs";
import { handedOver } from "./lib/outlive.mjs";
import { buildCopy } from "./lib/upgrade.mjs";
import { SANITIZED, until } from "./lib/util.mjs";

/* The acceptor can open nothing more. What it has it keeps, and it has all that serving needs. Returns what ends it. */
function noDescriptors(broker) {
  const limit = (value) => execFileSync("prlimit", ["--pid", broker.pid, `--nofile=${value}`]);
  const before = execFileSync("prlimit", ["--pid", broker.pid, "--nofile", "--raw", "--noheadings", "--output", "SOFT"], { encoding: "utf8" }).trim();
  const open = new Set(readdirSync(`/proc/${broker.pid}/fd`).map(Number));
  let free = 0;
  while (open.has(free)) free++;
  limit(`${free}:`);
  return () => limit(`${before}:`);
}

/* It can start processes; what these need for themselves they cannot have. */
function fewDescriptors(broker) {
  const before = execFileSync("prlimit", ["--pid", broker.pid, "--nofile", "--raw", "--noheadings", "--output", "SOFT"], { encoding: "utf8" }).trim();
  const highest = Math.max(...readdirSync(`/proc/${broker.pid}/fd`).map(Number));
  execFileSync("prlimit", ["--pid", broker.pid, `--nofile=${highest + 50}:`]);
  return () => execFileSync("prlimit", ["--pid", broker.pid, `--nofile=${before}:`]);
}

const short = (broker) => broker.log.filter((line) => /child_died .*how="exit code 75"/.test(line)).length;
const starts = (broker) => broker.log.filter((line) => /child_start_failed/.test(line)).length;
const ready = (broker) => until("all serve", async () => (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 30000 });

/* Line by line: when, in milliseconds. */
const times = (broker, pattern) => broker.log.filter((line) => pattern.test(line)).map((line) => Date.parse(line.split(" ")[0]));

/*
 * Worker 0 is killed while something is short, until two of its successors have come to nothing; then there is enough again, and the clients are still
 * there. They wait for RC_WATCH_ADOPTER_MS and are given up by whoever comes to nothing behind that: on a machine on which two starts take as long
 * it is done again, with others.
 */
async function waits(broker, take, failure) {
  for (let lost = 0; ; lost++) {
    assert.ok(lost < 5, "two starts within five seconds");
    const clients = await broker.connectMany([4, 4]);
    for (const client of clients) await client.subscribe("news");
    const before = times(broker, failure).length;
    const deaths = times(broker, /child_died .*how="signal 9/).length;
    const enough = take(broker);
    broker.kill("SIGKILL", 0);
    await until("successors come to nothing", () => times(broker, failure).length >= before + 2, { every: 1 });
    enough();
    await ready(broker);
    const metrics = await broker.metrics();
    const [killed, last] = [times(broker, /child_died .*how="signal 9/)[deaths], times(broker, failure).at(-1)];
    assert.equal(metrics("ringcast_not_adopted_sockets_total"), 0);
    if (metrics("ringcast_worker_adoptions_failed_total") === lost + 1 && last - killed >= 4990) {
      for (const client of clients) client.terminate();
      continue;
    }
    assert.equal(metrics("ringcast_worker_adoptions_failed_total"), lost, `${last - killed} ms`);
    assert.equal(metrics("ringcast_worker_adoptions_total"), 1);
    await clients[7].publish("news", 1);
    for (const client of clients) assert.equal((await client.next("message")).data, 1);
    return;
  }
}

testBroker("a successor that cannot be started for a moment: the clients wait for the next try", { workers: 2, timeout: 120000 }, async (broker) => {
  await waits(broker, noDescriptors, /child_start_failed/);
});

testBroker("a successor that is started and has not enough for itself: the same", { workers: 2, timeout: 120000 }, async (broker) => {
  broker.mayDieBy = /signal 9|exit code 75/;
  await waits(broker, fewDescriptors, /child_died .*how="exit code 75/);
});

testBroker("that for long: the clients are given up, and counted; the broker goes on, and so does the worker's place when there is enough", { workers: 2, timeout: 90000 }, async (broker) => {
  const clients = await broker.connectMany([1, 1]);
  broker.mayDieBy = /signal 9|exit code 75/;
  const enough = fewDescriptors(broker);
  broker.kill("SIGKILL", 0);
  await clients[0].closed;
  const before = short(broker);
  await until("one that has no clients to take ends, too", () => short(broker) > before, { timeout: 30000 });
  await clients[1].ping();
  enough();
  await ready(broker);
  assert.equal((await broker.metrics())("ringcast_worker_adoptions_failed_total"), 1);
  assert.equal(clients[1].isClosed, false);
  await (await broker.connectToWorker(0)).ping();
});

/* Without that one its clients could neither be handed over nor outlive it, until it ends. */
testBroker("a worker that begins empty waits for what keeps its connections", { workers: 2, timeout: 60000, config: { "server.adopt_crashed": false } }, async (broker) => {
  broker.mayDieBy = /signal 9|exit code 75/;
  const enough = fewDescriptors(broker);
  broker.kill("SIGKILL", 0);
  await until("it cannot be started, or without that", () => starts(broker) + broker.log.filter((line) => /connections_not_kept/.test(line)).length >= 2, { every: 1 });
  enough();
  await ready(broker);
  assert.deepEqual(broker.log.filter((line) => /connections_not_kept/.test(line)), []);
  const client = await broker.connectToWorker(0);
  await client.subscribe("news");
  await handedOver(broker, "0");
  await client.publish("news", 1);
  assert.equal((await client.next("message")).data, 1);
});

testBroker("nobody can be started for long: the clients are given up, and counted", { workers: 1, timeout: 90000 }, async (broker) => {
  const client = await broker.connect();
  const enough = noDescriptors(broker);
  broker.kill("SIGKILL", 0);
  await client.closed;
  await until("it was tried over and over", () => starts(broker) > 2);
  enough();
  await ready(broker);
  await until("the log says so", () => broker.log.some((line) => /clients_lost/.test(line)));
  assert.equal((await broker.metrics())("ringcast_worker_adoptions_failed_total"), 1);
  await (await broker.connect()).ping();
});

/* It needs less than would show in a limit, so its program says that something is short (common/base/fail.h). */
const folder = buildCopy();
const prefix = ["sh", "-c", `shift; exec ${join(folder, "ringcast")} "$@"`, "sh"];

testBroker("a relay that has not enough for itself: it is tried again, and nobody is disconnected", { workers: 2, prefix, timeout: 90000, skip: SANITIZED ? false : "only debug builds fail so" }, async (broker) => {
  broker.mayDieBy = /signal 9|exit code 75/;
  const clients = await broker.connectMany([2, 2]);
  for (const client of clients) await client.subscribe("news");
  writeFileSync(join(folder, "fails"), "relay short");
  broker.kill("SIGKILL", "relay");
  await until("it comes to nothing again and again", () => short(broker) >= 4, { timeout: 60000 });
  for (const client of clients) await client.ping();
  rmSync(join(folder, "fails"));
  await ready(broker);
  await clients[0].publish("news", 1);
  for (const client of clients) {
    assert.equal((await client.next("message")).data, 1);
    assert.equal(client.isClosed, false);
  }
});
