// The network between a broker and Redis is cut so that packets vanish: no reset, no refusal. In network namespaces of the test's own:
// this file runs itself again in one, Redis is in another, and each broker has its own pair of interfaces between the two.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { NO_REDIS, delay, redisHealth, startRedis, subscribers, testRedis, until } from "./lib/redis.mjs";

const INSIDE = process.env.RINGCAST_NETWORK_OF_ITS_OWN === "1";
// Where a user may not, a user namespace may help.
const WAYS = [["unshare", "--net"], ["unshare", "--map-root-user", "--net"]];

function whyNot() {
  if (NO_REDIS) return NO_REDIS;
  for (const way of WAYS) {
    const [program, ...args] = [...way, "sh", "-c", "ip link set lo up && ip link add rc0 type veth peer name rc1 && unshare --net true"];
    if (spawnSync(program, args, { stdio: "ignore" }).status === 0) {
      whyNot.way = way;
      return false;
    }
  }
  return "no network namespaces with veth interfaces: not permitted, or no ip or unshare here";
}

if (!INSIDE) {
  test("Redis behind a cut network", { skip: whyNot() }, () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const [program, ...args] = [...whyNot.way, process.execPath, fileURLToPath(import.meta.url)];
    const run = spawnSync(program, args, { env: { ...env, RINGCAST_NETWORK_OF_ITS_OWN: "1" }, encoding: "utf8", maxBuffer: 64 << 20, timeout: 200000 });
    assert.equal(run.status, 0, `${run.stdout}\n${run.stderr}`);
    assert.match(run.stdout, /# pass [1-9]/);
  });
} else {
  const ip = (...args) => execFileSync("ip", args, { stdio: "pipe" });
  ip("link", "set", "lo", "up");
  const other = spawn("unshare", ["--net", "sleep", "infinity"], { stdio: "ignore" });
  other.unref(); // it is no reason to wait
  process.on("exit", () => other.kill("SIGKILL"));
  const there = ["nsenter", "--target", String(other.pid), "--net"];
  const ipThere = (...args) => execFileSync(there[0], [...there.slice(1), "ip", ...args], { stdio: "pipe" });
  const own = execFileSync("readlink", ["/proc/self/ns/net"]).toString();
  await until("another namespace", () => execFileSync("readlink", [`/proc/${other.pid}/ns/net`]).toString() !== own);
  ipThere("link", "set", "lo", "up");
  for (const i of [0, 1]) {
    ip("link", "add", `here${i}`, "type", "veth", "peer", "name", `there${i}`);
    ip("link", "set", `there${i}`, "netns", String(other.pid));
    ip("address", "add", `10.99.${i}.1/24`, "dev", `here${i}`);
    ip("link", "set", `here${i}`, "up");
    ipThere("address", "add", `10.99.${i}.2/24`, "dev", `there${i}`);
    ipThere("link", "set", `there${i}`, "up");
  }
  // From here the far end is what a pulled plug behind a switch is: sending works, nothing comes.
  const cut = (i) => ipThere("link", "set", `there${i}`, "down");
  const mend = (i) => ipThere("link", "set", `there${i}`, "up");

  testRedis("the cut is noticed, local delivery goes on, everything comes back", {
    brokers: 2,
    start: () => startRedis({ hosts: ["10.99.1.2", "10.99.0.2"], wrap: there, args: ["--protected-mode", "no"] }),
    url: (redis) => [0, 1].map((i) => `redis://10.99.${i}.2:${redis.port}`),
    timeout: 90000,
  }, async ({ brokers: [a, b], redis }) => {
    const [here, away, publisher, back] = [await a.connect(), await b.connect(), await a.connect(), await b.connect()];
    for (const client of [here, away]) await client.subscribe("room:1");
    const got = new Map([here, away].map((client) => [client, { local: [], remote: [], gaps: 0 }]));
    for (const [client, seen] of got) {
      client.ondelivery = ({ type, data }) => {
        if (type === "gap") seen.gaps++;
        else seen[data.from === (client === here ? "a" : "b") ? "local" : "remote"].push(data.number);
      };
    }
    let [fromA, fromB] = [0, 0];
    const say = async () => {
      await publisher.publish("room:1", { from: "a", number: fromA++ });
      await back.publish("room:1", { from: "b", number: fromB++ });
    };
    const numbers = (to) => Array.from({ length: to }, (_, i) => i);
    for (const seconds of [3, 8]) {
      const heardBefore = got.get(here).remote.length;
      await say();
      await until("it arrives", () => got.get(here).remote.length === heardBefore + 1 && got.get(away).remote.length === fromA);
      cut(0);
      const begun = performance.now();
      await redisHealth(a, 503);
      console.log(`# /health/redis said 503 after ${Math.round(performance.now() - begun)} ms`);
      // Looked at before: how long it is cut is what makes the difference, and not how busy this machine is.
      assert.equal((await a.get("/health")).status, 200);
      await redisHealth(b, 200);
      let slowest = 0;
      while (performance.now() - begun < 1000 * seconds) {
        const before = performance.now();
        await publisher.publish("room:1", { from: "a", number: fromA++ });
        slowest = Math.max(slowest, performance.now() - before);
        await back.publish("room:1", { from: "b", number: fromB++ });
        await delay(10);
      }
      console.log(`# ${seconds} s: slowest local publish ${slowest.toFixed(1)} ms`);
      const isLocal = () => until("local delivery is complete", () => got.get(here).local.length === fromA && got.get(away).local.length === fromB);
      if (seconds >= 5) await isLocal();
      mend(0);
      await isLocal();
      await redisHealth(a, 200, 15000);
      await until("everything of the cut-off broker arrives", () => got.get(away).remote.length === fromA, { timeout: 15000 });
      const { gaps, remote } = got.get(here);
      if (seconds < 5) {
        await until("TCP repaired it", () => remote.length === fromB);
        assert.equal(gaps, 0);
      } else {
        await until("the others' messages were missed, and that is told", () => got.get(here).gaps === 1);
      }
      const heard = remote.length;
      await say();
      await until("the next one arrives", () => remote.length === heard + 1 && remote.at(-1) === fromB - 1);
    }
    await until("it arrives", () => got.get(away).remote.length === fromA && got.get(here).local.length === fromA && got.get(away).local.length === fromB);
    assert.deepEqual(got.get(away).remote, numbers(fromA), "in order, once");
    assert.deepEqual(got.get(here).local, numbers(fromA));
    assert.deepEqual(got.get(away).local, numbers(fromB));
    const heard = got.get(here).remote;
    assert.equal(new Set(heard).size, heard.length, "nothing twice");
    assert.equal(got.get(away).gaps, 0, "the other broker lost nothing");
    // Redis notices the dead connections when it writes to them.
    await until("no stale subscription", async () => {
      await say();
      return (await subscribers(redis, "ws:channel:room:1")) === 2;
    });
  });
}
