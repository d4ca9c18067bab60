// ringcast-bench counts what it is here to count: against servers that lose nothing it finds nothing lost. Small runs; what a
// figure is worth is not the question.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { testBroker } from "./lib/broker.mjs";
import { NO_REDIS, startRedis, testRedis } from "./lib/redis.mjs";
import { certificate } from "./lib/tls.mjs";
import { BIN_DIR, ROOT, freePort, program, until } from "./lib/util.mjs";

/* The results of a run, which must have gone well: a scenario and its options. */
async function bench(...words) {
  const timing = ["--duration", "0.5", "--warmup", "0.2", "--cpu", "none", "--server-cpu", "none", "--quiet"];
  const first = words.findIndex((word) => word.startsWith("--"));
  const args = [...words.slice(0, first), ...timing, ...words.slice(first)]; // of an option that is there twice the last counts
  const { code, stdout, stderr } = await program(join(BIN_DIR, "ringcast-bench"), [...args, "--json", "-"], { timeout: 60000 });
  assert.equal(code, 0, `${args.join(" ")}\n${stdout}\n${stderr}`);
  const { results } = JSON.parse(stdout.slice(stdout.indexOf("\n{") + 1));
  for (const result of results) {
    for (const what of ["lost", "duplicated", "reordered", "corrupted", "connections_failed", "connections_closed"]) {
      assert.equal(result[what], 0, `${args.join(" ")}: ${what}`);
    }
    assert.ok((result.deliveries > 0 || words[0] === "idle") && !result.broken_off, JSON.stringify(result));
  }
  return results;
}

// Thousands of answers in one go, more than a submission queue takes (test_bench_conn proves it with certainty).
for (const engine of ["uring", "epoll"]) {
  test(`floor echo, 3,000 connections, ${engine}: what was sent comes back`, async () => {
    const [result] = await bench("floor", "echo", "--connections", "3000", "--engine", engine, "--duration", "4"); // for a machine that is busy with other things
    assert.equal(result.connections, 3000);
    assert.ok(result.deliveries >= 3000, "each has had one at least");
  });
}

async function withRedis(body) {
  // Clients come from many loopback addresses, which protected mode takes for foreign ones.
  const options = { args: ["--protected-mode", "no"] };
  const servers = [await startRedis(options)];
  try {
    servers.push(await startRedis({ args: [...options.args, "--replicaof", "127.0.0.1", String(servers[0].port)] }));
    await until("the replica follows", async () => (await servers[1].command("INFO", "replication")).includes("master_link_status:up"));
    await body(...servers.map(({ port }) => `ws://127.0.0.1:${port}`));
  } finally {
    for (const server of servers) await server.destroy();
  }
}

test("fanout and cross over a bare Redis", { skip: NO_REDIS }, () => withRedis(async (first, replica) => {
  const common = ["--protocol", "redis", "--url", first];
  const [fanout] = await bench("fanout", ...common, "--connections", "60", "--channels", "6", "--publishers", "3", "--window", "16", "--payload", "300");
  assert.equal(fanout.connections, 63);
  assert.equal(fanout.deliveries, fanout.published * 10, "ten subscribers to each channel");
  // Publishers here, subscribers at its replica.
  const [cross] = await bench("cross", ...common, "--subscribe-url", replica, "--connections", "20", "--rate", "2000", "--payload", "64");
  assert.equal(cross.deliveries, cross.published * 20);
}));

testRedis("cross over two brokers", { brokers: 2, workers: 1, timeout: 60000 }, async ({ brokers: [a, b] }) => {
  const [cross] = await bench("cross", "--url", `ws://${a.host}`, "--subscribe-url", `ws://${b.host}`, "--connections", "40", "--channels", "4", "--rate", "400");
  assert.equal(cross.deliveries, cross.published * 10);
});

testRedis("many come back at once to a broker that knows nothing, and have what they missed", { brokers: 2, workers: 2, config: { namespace: [{ name: "log", history: 50 }] }, timeout: 60000 }, async ({ brokers: [a, b] }) => {
  const common = ["recover", "--prefix", "log:", "--channels", "7", "--missed", "30", "--calm", "20", "--rate", "50"];
  const [there] = await bench(...common, "--url", `ws://${a.host}`, "--subscribe-url", `ws://${b.host}`, "--connections", "300");
  assert.equal(there.returned, 300);
  assert.ok(there.before_p99_ns > 0 && there.latency_p99_ns > 0 && there.storm_seconds > 0, JSON.stringify(there));
  const [processes] = await bench(...common, "--url", `ws://${a.host}`, "--connections", "100", "--processes", "4", "--prefix", "log:more-");
  assert.equal(processes.returned, 100);
  // Of a channel without a history nothing can be had, which is said.
  const { code, stdout, stderr } = await program(join(BIN_DIR, "ringcast-bench"), ["recover", "--url", `ws://${a.host}`, "--connections", "10", "--cpu", "none", "--quiet"], { timeout: 60000 });
  assert.equal(code, 2);
  assert.match(stdout + stderr, /the channels have no history/);
});

const tlsPort = await freePort();
const all = {
  workers: 1,
  timeout: 60000,
  config: { "tls.listen": [`127.0.0.1:${tlsPort}`], "tls.certificates": [certificate("server").path], "compression.enabled": true, "socketio.path": "/socket.io/", event: presetEvents() },
};
testBroker("messages over TLS, compressed, large, and from every member of a room", all, async (broker) => {
  const plain = `ws://${broker.host}`, secure = `wss://127.0.0.1:${tlsPort}`;
  const [tls] = await bench("fanout", "--url", secure, "--connections", "30", "--window", "3", "--payload", "20000");
  assert.equal(tls.connections, 33, "a publisher for each message in flight");
  assert.equal(tls.deliveries, tls.published * 30);
  const [packed] = await bench("fanout", "--url", plain, "--connections", "30", "--payload", "2000", "--deflate");
  assert.ok(packed.compressed_percent > 99 && packed.received_bytes_per_delivery < 1000, JSON.stringify(packed));
  const [rooms] = await bench("rooms", "--url", plain, "--connections", "40", "--channels", "4");
  assert.equal(rooms.connections, 40, "members publish over their own connections");
  assert.equal(rooms.deliveries, rooms.published * 10);
  const [both] = await bench("rooms", "--url", secure, "--connections", "40", "--channels", "4", "--deflate", "--payload", "700");
  assert.equal(both.deliveries, both.published * 10);
  for (const protocol of ["socketio-polling", "socketio-upgrade"]) {
    const [result] = await bench("fanout", "--url", secure, "--protocol", protocol, "--connections", "30", "--payload", "3000");
    assert.equal(result.deliveries, result.published * 30, protocol);
  }
  const [large] = await bench("fanout", "--url", plain, "--connections", "5", "--payload", "256KiB", "--window", "1");
  assert.equal(large.deliveries, large.published * 5);
});

testBroker("server-sent events: every message to every listener, and listeners that are quiet", { workers: 1, timeout: 60000 }, async (broker) => {
  const common = ["--url", `ws://${broker.host}`, "--protocol", "ringcast-sse", "--connections", "30"];
  const [fanout] = await bench("fanout", ...common, "--channels", "3", "--payload", "9000");
  assert.equal(fanout.deliveries, fanout.published * 10);
  const [idle] = await bench("idle", ...common, "--subscriptions", "1");
  assert.equal(idle.connections, 30);
});

testBroker("an order book as deltas: the same messages, in a fraction of the bytes", { workers: 1, timeout: 60000, config: { namespace: [{ name: "bench", delta: "fossil" }] } }, async (broker) => {
  // One in flight: of two publishers each has a number of its own, and how far one is ahead of the other says how much changes.
  const common = ["--url", `ws://${broker.host}`, "--connections", "20", "--payload", "2080", "--window", "1", "--book"];
  const [deltas] = await bench("fanout", ...common, "--protocol", "ringcast-delta");
  const [whole] = await bench("fanout", ...common);
  for (const result of [deltas, whole]) assert.equal(result.deliveries, result.published * 20);
  assert.ok(deltas.delta_percent > 99 && deltas.received_bytes_per_delivery * 5 < whole.received_bytes_per_delivery, JSON.stringify(deltas));
});

// What a figure of a fan-out means hangs on it.
testBroker("two in flight do not leave in one send, and what was sent is counted", { workers: 1, timeout: 60000 }, async (broker) => {
  const url = ["--url", `ws://${broker.host}`, "--server-pid", String(broker.pid), "--connections", "300", "--duration", "1"];
  // Pauses long enough that also a machine that is busy with other things lets few meet, if need be longer ones; without pauses all do.
  let apart;
  for (const think of ["0.02", "0.1", "0.3"]) {
    [apart] = await bench("fanout", ...url, "--window", "2", "--think", think);
    if (apart.deliveries_per_receive < 1.6) break;
  }
  const [together] = await bench("fanout", ...url, "--window", "2", "--publishers", "1", "--think", "0");
  assert.ok(together.deliveries_per_receive > 1.9, `together: ${together.deliveries_per_receive}`);
  assert.ok(apart.deliveries_per_receive < 1.6, `apart: ${apart.deliveries_per_receive} deliveries per receive`);
  for (const run of [apart, together]) {
    assert.ok(run.deliveries_per_send > 0, "the kernel counts segments with data");
    assert.ok(run.cost_ns_per_delivery >= run.server_cpu_ns_per_delivery, "ksoftirqd is added");
  }
  const { processes } = await broker.status();
  const [part] = await bench("fanout", ...url, "--part-pid", String(processes.find(({ process: name }) => name.startsWith("worker")).pid), "--window", "2");
  assert.ok(part.part_cpu_ns_per_delivery > 0 && part.part_cpu_ns_per_delivery < part.server_cpu_ns_per_delivery, JSON.stringify(part));
});

/* The [[event]] rows with which bench/run starts ringcast: the application of bench/compare/socketio.mjs. */
function presetEvents() {
  const [, text] = readFileSync(join(ROOT, "bench/compare/ringcast.toml.in"), "utf8").split("[socketio]\n");
  const rows = [];
  let table;
  for (const line of text.split("\n").filter(Boolean)) {
    const [key, value] = line.split(" = ");
    if (line === "[[event]]") rows.push((table = {}));
    else if (line === "[[event.emit]]") (rows.at(-1).emit ??= []).push((table = {}));
    else table[key] = JSON.parse(value);
  }
  return rows;
}

/* What the presets do, on a server that has this application, by every transport. */
async function socketioRuns(url) {
  for (const protocol of ["socketio", "socketio-polling", "socketio-upgrade"]) {
    const common = ["--url", url, "--protocol", protocol];
    const [fanout] = await bench("fanout", ...common, "--connections", "40", "--channels", "2", "--window", "4");
    assert.equal(fanout.connections, 44, "openers do not count");
    assert.equal(fanout.deliveries, fanout.published * 20, `${protocol}: everybody in the room got every event, once`);
    const [connects] = await bench("connect", ...common, "--connections", "8", "--warmup-rounds", "1");
    assert.ok(connects.connections_per_second > 0);
  }
  const polling = ["--url", url, "--protocol", "socketio-polling"];
  const [rate] = await bench("fanout", ...polling, "--connections", "10", "--rate", "300", "--payload", "20000");
  assert.equal(rate.deliveries, rate.published * 10, "payloads that come in several reads");
  const [direct] = await bench("unicast", ...polling, "--connections", "20");
  assert.equal(direct.deliveries, direct.published);
  const [acks] = await bench("echo", "--url", url, "--protocol", "socketio-ack", "--connections", "20", "--window", "4");
  assert.ok(acks.published > 0 && acks.deliveries === acks.published, "each event was acknowledged with what it said");
}

testBroker("Socket.IO clients of ringcast: WebSocket, polling, upgrade; native publishers", { workers: 2, timeout: 120000, config: { "socketio.path": "/socket.io/", event: presetEvents() } }, async (broker) => {
  const url = `ws://${broker.host}`;
  await socketioRuns(url);
  const [native] = await bench("fanout", "--url", url, "--protocol", "socketio-native", "--connections", "40", "--window", "4");
  assert.equal(native.deliveries, native.published * 40);
  // Every connect of this one is an upgrade that the broker has made, none is cut off before.
  const upgrades = async () => (await broker.metrics())("ringcast_engineio_upgrades_total");
  const before = await upgrades();
  const [connects] = await bench("connect", "--url", url, "--protocol", "socketio-upgrade", "--connections", "16", "--warmup-rounds", "1");
  assert.ok((await upgrades()) - before >= connects.deliveries, "connects that were counted had upgraded");
  const [idle] = await bench("idle", "--url", url, "--protocol", "socketio", "--connections", "300");
  assert.equal(idle.connections, 300);
});

test("Socket.IO clients of the Node server that ringcast is compared with", { timeout: 120000 }, async (t) => {
  // It looks for its packages below its working directory, as bench/run starts it.
  const folder = mkdtempSync(join(tmpdir(), "ringcast-bench-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "build/bench"), { recursive: true });
  symlinkSync(join(ROOT, "tests/node_modules"), join(folder, "build/bench/node_modules"));
  const port = await freePort();
  const server = spawn(process.execPath, [join(ROOT, "bench/compare/socketio.mjs"), String(port)], { cwd: folder, stdio: "inherit" });
  const ended = once(server, "exit");
  try {
    await until("it listens", () => new Promise((done) => {
      const socket = connect(port, "127.0.0.1", () => done(Boolean(socket.destroy())));
      socket.on("error", () => done(false));
    }));
    await socketioRuns(`ws://127.0.0.1:${port}`);
  } finally {
    server.kill("SIGKILL");
    await ended;
  }
});

test("what polling clients cannot be asked for is said", async () => {
  const refused = async (...args) => (await program(join(BIN_DIR, "ringcast-bench"), [...args, "--protocol", "socketio-polling", "--quiet"])).stderr;
  assert.match(await refused("echo"), /all connections send/);
  assert.match(await refused("rooms"), /all connections send/);
  assert.match(await refused("fanout", "--url", "ws://127.0.0.1:1/x"), /without one/);
});

test("a server that does not compress is told, not measured", async () => {
  const { code, stderr } = await program(join(BIN_DIR, "ringcast-bench"), ["floor", "fanout", "--deflate", "--connections", "3", "--quiet"]);
  assert.equal(code, 2);
  assert.match(stderr, /does not agree to permessage-deflate/);
});

test("every preset is a command line that ringcast-bench takes", async () => {
  const run = (...args) => program(join(ROOT, "bench/run"), args);
  const list = (await run("list")).stdout.trim().split("\n").map((line) => line.split(" ")[0]);
  const names = ["fanout1k", "fanout1k-single", "fanout-16k", "fanout-256k", "fanout-tls", "fanout-deflate", "rooms", "cross1", "socketio", "socketio-polling", "socketio-connect"];
  for (const wanted of names) {
    assert.ok(list.includes(wanted), wanted);
  }
  const tried = async (preset) => {
    // Its last two before the options are of a runner of its own: namespaces.
    const [, scenario, floor, , peers, , , ...options] = (await run("show", preset)).stdout.trimEnd().split("\n");
    for (const peer of peers.split(" ").filter(Boolean)) assert.match(peer, /^(nchan|ws|Socket\.IO|Bun|uWebSockets)$/);
    const command = floor === "floor" ? ["compare-floor", scenario] : [scenario];
    const nobody = ["--url", "ws://127.0.0.1:1", ...(scenario === "cross" ? ["--subscribe-url", "ws://127.0.0.1:1"] : []), "--repeat", "1", "--quiet", "--cpu", "none"];
    const { code, stderr } = await program(join(BIN_DIR, "ringcast-bench"), [...command, ...options, ...nobody], { timeout: 60000 });
    assert.equal(code, 2, `${preset}: ${stderr}`);
    assert.match(stderr, /is the server running/, preset);
  };
  await Promise.all([0, 1].map(async (half) => {
    for (const [at, preset] of list.entries()) if (at % 2 === half) await tried(preset);
  }));
});
