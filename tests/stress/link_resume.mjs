// Everything behind an application's clients goes and comes again while they talk: the application (kill -9, SIGTERM, stopped, three of them deployed
// one after the other), workers, the relay, the network between (in a namespace of its own, where that may be had). With resume nobody is disconnected,
// nothing comes twice or out of order; what is lost was in a process that was killed, and is counted. Without it everybody is told once, as by an ordinary
// server, which is looked at beside it.
// A third of the clients polls, a third is by WebSocket, a third goes over to it. 5,000 of them, on four workers, at 2,000 events a second each way, run
// on two cores if nothing else does: clients, which are Node's, take one of them (so they are in processes of their own), and what takes a second on an
// idle machine takes some on a busy one. No time is looked at but that of clients whose application does not stand still.
// Environment: RINGCAST_BIN_DIR, LINK_CLIENTS (5000), LINK_CROWDS (2, processes of clients), LINK_WORKERS (4), LINK_RATE (2000 a second, each way),
// LINK_TIMES (5, of each death), LINK_STOP_SECONDS (30), LINK_SILENT_SECONDS (70: longer than ringcast waits for a link that says nothing),
// LINK_STORIES (a part of their names), STRESS_SEED.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { startBroker } from "../e2e/lib/broker.mjs";
import { killWorker } from "../e2e/lib/crowd.mjs";
import { Application, linkConfig } from "../e2e/lib/link.mjs";
import { Crowd, setup } from "../e2e/lib/link_crowd.mjs";
import { NO_NETWORK, UNSHARE } from "../e2e/lib/network.mjs";
import { SEED, random, until } from "../e2e/lib/util.mjs";

// Rules of a packet filter, and sockets that are destroyed, are nobody else's business.
if (!NO_NETWORK && !process.env.LINK_INSIDE) {
  const inside = ["bash", "-c", "ip link set lo up && exec \"$@\"", "bash", ...process.argv];
  const { status } = spawnSync(UNSHARE[0], [...UNSHARE.slice(1), ...inside], { stdio: "inherit", env: { ...process.env, LINK_INSIDE: "1" } });
  process.exit(status ?? 1);
}

const number = (name, or) => Number(process.env[name] ?? or);
const CLIENTS = number("LINK_CLIENTS", 5000);
const CROWDS = number("LINK_CROWDS", 2);
const WORKERS = number("LINK_WORKERS", 4);
const RATE = number("LINK_RATE", 2000);
const TIMES = number("LINK_TIMES", 5);
const STOP_MS = number("LINK_STOP_SECONDS", 30) * 1000;
const SILENT_MS = number("LINK_SILENT_SECONDS", 70) * 1000;
const STORIES = process.env.LINK_STORIES ?? "";
const ALL_TICK_MS = 500; // how often everybody is told something, by one process or another
const LOST_MS = 1000; // of all that is said: what may be lost with a process that is killed
const MORE_MAX = 64 << 20; // bytes that a process may have more while others do not take what is for them
const LINKED_MS = 60000;

const residentOf = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;
const rowsOf = async (broker) => (await broker.status()).processes;

/* What waits while body() runs is bounded, in the workers and in applications that run, and is said. */
async function bounded({ broker, apps }, seconds, runs, body) {
  const sizes = async () => {
    const workers = (await rowsOf(broker)).filter(({ process: name }) => name.startsWith("worker"));
    return [...workers.map(({ process: name, pid }) => [name, residentOf(pid)]), ...runs.map((app) => [`application ${apps.indexOf(app)}`, residentOf(app.child.pid)])];
  };
  const before = await sizes();
  const result = await body();
  const more = (await sizes()).map(([name, bytes], i) => [name, bytes - before[i][1]]);
  console.log(`   after ${seconds / 1000} s more memory: ${more.map(([name, bytes]) => `${name} ${(bytes / 2 ** 20).toFixed(1)}`).join(", ")} MiB`);
  for (const [name, bytes] of more) assert.ok(bytes < MORE_MAX, `what waits in ${name} is bounded`);
  return result;
}

const isLinked = (app) => !app.config.link || until(`${WORKERS} links are up`, async () => (await app.call(({ links }) => [...links.links].filter(({ unheard }) => !unheard).length)) === WORKERS, { timeout: LINKED_MS });
const again = async (app) => {
  await app.start();
  await isLinked(app);
};
async function dies(app) {
  await app.kill();
  await delay(300); // its clients talk on
  await again(app);
}
async function deploys(app) {
  assert.deepEqual(await app.kill("SIGTERM"), { code: 0, signal: null });
  await again(app);
}

const filter = (how, port) => ["--dport", "--sport"].forEach((side) => execFileSync("iptables", [how, "INPUT", "-i", "lo", "-p", "tcp", side, String(port), "-j", "DROP"]));
const saidOf = (broker, event) => broker.log.filter((line) => line.includes(` ${event} `)).length;
const NETWORK = [
  ["the network resets the links", { times: TIMES }, async ({ broker, apps: [app] }) => {
    const before = saidOf(broker, "link_lost");
    execFileSync("ss", ["-K", "state", "established", "sport", "=", `:${app.port}`], { stdio: "ignore" });
    await until("each worker says that its link is lost", () => saidOf(broker, "link_lost") >= before + WORKERS);
    await isLinked(app);
  }],
  ["the network carries nothing", {}, async (all) => {
    const { broker, apps: [app] } = all;
    const before = saidOf(broker, "link_lost");
    await bounded(all, SILENT_MS, [app], async () => {
      filter("-I", app.port);
      try {
        await delay(SILENT_MS);
      } finally {
        filter("-D", app.port);
      }
    });
    await isLinked(app);
    assert.ok(saidOf(broker, "link_lost") >= before + WORKERS, "that links were lost is said");
  }],
];

/* Stories of one application: how often something dies, how many events may be lost each time, and what dies. */
const ONE = [
  // Whether it has said of all that it was handed that it has is chance (`unread`): it is printed.
  ["kill -9 of the application", { times: TIMES, most: (RATE * LOST_MS) / 1000, counts: ["held", "resumed"] }, async ({ apps: [app] }) => dies(app)],
  ["SIGTERM of the application", { times: TIMES }, async ({ apps: [app] }) => deploys(app)],
  ["a worker killed, once a second", { times: TIMES, most: CLIENTS / 10 + 20 }, async ({ broker, chance }) => {
    await killWorker(broker, chance.below(WORKERS));
    await delay(1000);
  }],
  ["the relay killed", { times: TIMES }, async ({ broker }) => {
    const row = async () => (await rowsOf(broker)).find(({ process: name }) => name === "relay");
    const { pid } = await row();
    process.kill(pid, "SIGKILL");
    await until("another relay is there", async () => {
      const now = await row();
      return now.pid !== pid && now.state === "ready";
    });
  }],
  ["the application stands still", {}, async (all) => {
    const { broker, apps: [app] } = all;
    await bounded(all, STOP_MS, [], async () => {
      app.child.kill("SIGSTOP");
      await delay(STOP_MS);
      const { links } = await broker.status();
      app.child.kill("SIGCONT");
      assert.ok(links.receipt_lag_ms >= STOP_MS / 2 && links.unhanded > 0, `that it hands on nothing is said: ${JSON.stringify(links)}`);
      assert.ok(saidOf(broker, "link_slow") > 0, "in the log, too");
    });
  }],
  ...(NO_NETWORK ? [] : NETWORK),
];
const OTHERS_MS = 10000; // that a client of another application waits at the most
const THREE = [
  ["three applications deployed one after the other", { times: TIMES }, async ({ apps }) => {
    for (const app of apps) await deploys(app);
  }],
  ["kill -9 of one of three applications", { times: TIMES, most: (RATE * LOST_MS) / 1000 }, async ({ apps }) => {
    const counts = await Promise.all(apps.map((app) => app.call(({ io }) => io.engine.clientsCount)));
    await dies(apps[counts.indexOf(Math.max(...counts))]); // who was deployed last has none
  }],
  ["one of three applications stands still", {}, async (all) => {
    const { apps, crowd } = all;
    await crowd.settle(0);
    const pid = await crowd.mostOf();
    const app = apps.find(({ child }) => child.pid === pid);
    await crowd.begin();
    const waits = await bounded(all, STOP_MS, apps.filter((other) => other !== app), async () => {
      app.child.kill("SIGSTOP");
      try {
        return await crowd.others(pid, STOP_MS);
      } finally {
        app.child.kill("SIGCONT");
      }
    });
    const [half, most] = [waits[Math.floor(waits.length / 2)], waits.at(-1)];
    console.log(`   clients of the others are answered: ${waits.length} times, p50 ${half.toFixed(1)} ms, at most ${most.toFixed(0)} ms`);
    assert.ok(waits.length > 0 && most < OTHERS_MS, `others wait for ${most} ms`);
  }],
];
const UNKNOWN_MS = 10000; // of all that is said: what may be lost before its client knows that it is
const TOLD = { times: 1, disconnects: 1, most: (RATE * UNKNOWN_MS) / 1000 };
const TELLS = [
  ["without resume: kill -9 of the application", { ...TOLD, counts: ["lost_connections"] }, async ({ apps: [app] }) => dies(app)],
  ["without resume: SIGTERM of the application", TOLD, async ({ apps: [app] }) => deploys(app)],
];
const COUNTS = ["resumed", "continued", "lost_connections", "unread", "held"];

/* Stories of so many applications; `link` false: of ordinary servers, to which clients come without a broker. */
async function tell({ count = 1, options = { connectionStateRecovery: {} }, link = {} }, stories) {
  const wanted = stories.filter(([name]) => name.includes(STORIES));
  if (wanted.length === 0) return;
  const apps = Array.from({ length: count }, () => new Application({ setup, options, link, env: { LINK_TICK_MS: String(ALL_TICK_MS * count) } }));
  const chance = random(SEED);
  for (const app of apps) await app.start();
  const broker = link && (await startBroker({ workers: WORKERS, config: { ...linkConfig(apps, {}, { grace: "60s" }), "log.level": "info" } }));
  const counted = async () => (broker ? broker.metrics().then((metrics) => COUNTS.map((what) => metrics(`ringcast_link_${what}_total`))) : COUNTS.map(() => 0));
  const crowd = new Crowd({ clients: CLIENTS, processes: CROWDS, rate: RATE });
  try {
    for (const app of apps) await isLinked(app);
    await crowd.come(broker ? broker.port : apps[0].port);
    for (const [name, { times = 1, most = 0, disconnects = 0, counts = [] }, happens] of wanted) {
      await crowd.begin();
      const before = await counted();
      for (let i = 0; i < times; i++) {
        await delay(1000);
        await happens({ broker, apps, chance, crowd });
      }
      const { said, lost, reasons, ids, recovered } = await crowd.settle(disconnects * times);
      const of = Object.fromEntries((await counted()).map((value, i) => [COUNTS[i], value - before[i]]));
      console.log(`${name}${broker ? "" : " (an ordinary server)"}: ${times} times, ${CLIENTS} clients, ${said} events so far, ${lost} lost, `
        + `disconnected ${JSON.stringify(reasons)}, 0 doubled; ${JSON.stringify(of)}`);
      assert.ok(lost >= 0 && lost <= most * times, `${lost} were lost, at most ${most * times} may be`);
      if (broker) for (const what of counts) assert.ok(of[what] > 0, `${what} is counted`);
      if (disconnects === 0) continue;
      // "transport error": of who polls, and was just saying something.
      const told = (reasons["transport close"] ?? 0) + (reasons["transport error"] ?? 0);
      assert.deepEqual([told, Object.keys(reasons).length <= 2, ids, recovered], [CLIENTS * times, true, 2 * CLIENTS, 0], "each is told once, and comes back as somebody new");
    }
    await crowd.end();
    if (broker) await broker.stop();
  } catch (error) {
    if (broker) console.error(broker.log.slice(-60).join("\n"));
    for (const { output } of apps) console.error(output.slice(-2000));
    throw error;
  } finally {
    await crowd.end();
    if (broker) await broker.destroy();
    for (const app of apps) await app.stop();
  }
}

console.log(`${CLIENTS} clients, ${WORKERS} workers, ${RATE} events a second each way, seed ${SEED}`);
if (NO_NETWORK) console.log(`not cut: the network (${NO_NETWORK})`);
await tell({}, ONE);
await tell({ count: 3 }, THREE);
for (const link of [{}, false]) await tell({ options: {}, link }, TELLS);
