// The questions of a bad night, each answered by one command: who is connected, why did X not get Y, which channel is hot, why does memory
// grow; and what happened before a process died.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { run, testBroker } from "./lib/broker.mjs";
import { BIN_DIR, until, within } from "./lib/util.mjs";

const config = { "debug.user_query": "user" };

async function json(broker, ...args) {
  const result = await run([...args, "--json", "-c", broker.configPath], { env: broker.env });
  assert.equal(result.code, 0, `ringcast ${args.join(" ")}: ${result.stderr}`);
  return JSON.parse(result.stdout);
}

/* A trace that runs: its stages as they come, and end(). */
async function trace(broker, ...args) {
  const child = spawn(join(BIN_DIR, "ringcast"), ["trace", ...args, "--json", "-c", broker.configPath], { env: { ...process.env, ...broker.env } });
  const stages = [];
  let rest = "";
  let err = "";
  child.stdout.on("data", (bytes) => {
    const lines = (rest + bytes).split("\n");
    rest = lines.pop();
    stages.push(...lines.map((line) => JSON.parse(line)));
  });
  child.stderr.on("data", (bytes) => (err += bytes));
  const closed = new Promise((done) => child.once("close", done));
  await until("it traces", () => err.includes("tracing"));
  // Every worker has told what it has: from now on nothing is missed.
  await until("each worker looks", () => stages.filter((row) => row.stage === "state" && row.why === "clients on this worker").length === broker.workers);
  return {
    stages,
    stage: (name, fits = () => true) => until(`a stage ${name}`, () => stages.find((row) => row.stage === name && fits(row)) ?? (child.exitCode !== null && assert.fail(err))),
    async end() {
      child.kill("SIGINT");
      assert.equal(await within(10000, closed, "the trace ends"), 0, err);
    },
  };
}

testBroker("the way of a message is told from socket to socket, with its times", { config }, async (broker) => {
  const [publisher, receiver] = await broker.connectMany([1, 1], { path: "/ws?user=1" });
  await receiver.subscribe("room:1");
  const traced = await trace(broker, "--channel", "room:1");
  await publisher.publish("room:1", "hello");
  await publisher.publish("room:2", "not this one");
  await receiver.next("message");
  const sent = await traced.stage("sent");
  const order = ["received", "up", "sequenced", "down", "sent"];
  const rows = order.map((name) => traced.stages.find((row) => row.stage === name));
  for (const [i, row] of rows.entries()) {
    assert.ok(row, order[i]);
    assert.equal(row.channel, "room:1");
    if (i > 0) assert.ok(row.time_ns >= rows[i - 1].time_ns, `${order[i]} comes behind ${order[i - 1]}`);
  }
  assert.equal(rows[0].client, publisher.id);
  assert.equal(rows[0].process, `worker/${publisher.worker}`);
  assert.equal(rows[2].process, "relay");
  assert.equal(rows[2].count, 1, "one worker has a subscriber");
  assert.equal(rows[3].process, `worker/${receiver.worker}`);
  assert.equal(rows[3].sequence, rows[2].sequence);
  assert.equal(sent.sequence, rows[2].sequence);
  assert.equal(sent.count, 1);
  assert.ok(!traced.stages.some((row) => row.channel === "room:2"));
  // One at a time; what another one asks for is refused and changes nothing.
  const other = await run(["trace", "--channel", "x", "--seconds", "1", "-c", broker.configPath], { env: broker.env });
  assert.equal(other.code, 1);
  assert.match(other.stderr, /another trace runs/);
  await traced.end();
  const again = await trace(broker, "--event", "said");
  await publisher.publish("room:1", 1, { event: "said" });
  assert.equal((await again.stage("sequenced")).event, "said");
  await again.end();
  for (const args of [["trace"], ["trace", "--channel", "x", "--seconds", "y"]]) {
    assert.equal((await run([...args, "-c", broker.configPath], { env: broker.env })).code, 2);
  }
  const unknown = await run(["trace", "--client", "nobody", "-c", broker.configPath], { env: broker.env });
  assert.match(unknown.stderr, /no client of this instance/);
});

testBroker("why did X not get Y: each reason is told", {
  config: { ...config, namespace: [{ name: "closed", publish: "none" }, { name: "feed", slow_consumer: "skip" }], "limits.send_buffer": "16KiB", "limits.notsent_lowat": "16KiB" },
  timeout: 60000,
}, async (broker) => {
  const [x, publisher] = await broker.connectMany([1, 1], { path: "/ws?user=x" });
  const listener = await broker.connectToWorker(x.worker);
  await broker.closeSpares();
  for (const client of [x, publisher, listener]) client.ondelivery = () => {};

  // It is not subscribed, though others on its worker are; and nobody is.
  await listener.subscribe("room:1");
  let traced = await trace(broker, "--client", x.id, "--channel", "room:1");
  assert.match((await traced.stage("state", (row) => row.client === x.id)).why, /not subscribed/);
  await publisher.publish("room:1", 1);
  const skipped = await traced.stage("skipped");
  assert.equal(skipped.client, x.id);
  assert.match(skipped.why, /not subscribed/);
  await listener.unsubscribe("room:1");
  await publisher.publish("room:1", 2);
  assert.match((await traced.stage("sequenced", (row) => row.count === 0)).why, /nobody/);

  // The publisher excluded it; without echo it does not hear itself.
  await x.subscribe("room:1");
  await publisher.publish("room:1", 3, { exclude: [x.id] });
  assert.ok(await traced.stage("skipped", (row) => /excluded/.test(row.why)));
  await x.publish("room:1", 4, { echo: false });
  assert.ok(await traced.stage("skipped", (row) => /without echo/.test(row.why)));
  await publisher.publish("room:1", 5);
  assert.ok(await traced.stage("sent", (row) => row.client === x.id));
  await traced.end();

  // It was refused before anybody could get it.
  traced = await trace(broker, "--user", "x", "--channel", "closed:1");
  await publisher.refused(403, { type: "publish", channel: "closed:1", data: 1 });
  const refused = await traced.stage("refused");
  assert.equal(refused.code, 403);
  assert.match(refused.why, /may not publish/);
  await traced.end();

  // It does not read.
  await x.subscribe("feed:1");
  traced = await trace(broker, "--client", x.id, "--channel", "feed:1");
  x.socket.pause();
  const data = "x".repeat(60000);
  await until("a message is kept for it", async () => {
    for (let i = 0; i < 5; i++) await publisher.publish("feed:1", data);
    return traced.stages.some((row) => row.stage === "kept" && row.client === x.id && row.behind > 0);
  });
  await traced.end();
  x.socket.resume();
});

testBroker("a trace that nobody reads ends by itself, and costs nothing then", { config }, async (broker) => {
  const child = spawn(join(BIN_DIR, "ringcast"), ["trace", "--channel", "a", "-c", broker.configPath], { env: { ...process.env, ...broker.env } });
  let err = "";
  child.stderr.on("data", (bytes) => (err += bytes));
  await until("it traces", () => err.includes("tracing"));
  child.kill("SIGKILL");
  await until("it is ended", () => broker.log.some((line) => /trace_ended .*nobody reads it/.test(line)), { timeout: 20000 });
  const next = await trace(broker, "--channel", "a");
  await next.end();
});

testBroker("who was connected, and why it ended", { config }, async (broker) => {
  const [a, b, c] = await broker.connectMany([2, 1], { path: "/ws?user=7" });
  await run(["kick", a.id, "--code", "4002", "-c", broker.configPath], { env: broker.env });
  await within(5000, a.closed, "a is closed");
  b.socket.close(3123, "bye");
  await within(5000, b.closed, "b is closed");
  c.socket.terminate();
  const closed = await until("all three are known", async () => {
    const rows = (await json(broker, "clients", "--closed", "--user", "7")).closed.filter((row) => [a.id, b.id, c.id].includes(row.client));
    return rows.length === 3 && Object.fromEntries(rows.map((row) => [row.client, row]));
  });
  assert.deepEqual([closed[a.id].code, closed[a.id].by], [4002, "server"]);
  assert.deepEqual([closed[b.id].code, closed[b.id].by], [3123, "client"]);
  assert.deepEqual([closed[c.id].code, closed[c.id].by, closed[c.id].reason], [1006, "nobody", "connection_lost"]);
  for (const row of Object.values(closed)) {
    assert.deepEqual([row.user, row.address, row.protocol], ["7", "127.0.0.1", "json"]);
    assert.ok(row.sent_bytes > 0 && row.closed_at > 1e12 && row.age_ms >= 0);
  }
  assert.deepEqual((await json(broker, "clients", "--closed", "--user", "8")).closed, []);
});

testBroker("what a process said and did last outlives it", { config }, async (broker) => {
  const client = await broker.connectToWorker(0, { path: "/ws?user=last" });
  client.send("{");
  client.socket.close(3001);
  await within(5000, client.closed, "it is closed");
  await until("its end is recorded", async () => (await json(broker, "postmortem")).closed.some((row) => row.user === "last" && row.code === 3001));
  const pid = broker.kill("SIGKILL", 0);
  await until("another worker", () => broker.pids().workers[0] && broker.pids().workers[0] !== pid);
  await until("the acceptor has logged its last lines", () => broker.log.some((line) => /child_last_line child="worker 0" .*worker_ready/.test(line)));
  const found = await json(broker, "postmortem");
  assert.ok(found.lines.some((row) => row.process === "worker 0" && /worker_ready/.test(row.line)));
  assert.ok(found.lines.some((row) => row.process === "relay"));
  assert.ok(found.lines.some((row) => row.process === "acceptor" && /child_died/.test(row.line)));
  assert.ok(found.closed.some((row) => row.user === "last" && row.code === 3001 && row.by === "client"), "also of the dead one");
  const text = await run(["postmortem", "-c", broker.configPath], { env: broker.env });
  assert.match(text.stdout, /code=3001 by=client user="last"/);
});

testBroker("top shows the four questions at once; status --watch goes on", { config, timeout: 60000 }, async (broker) => {
  const [a, b] = await broker.connectMany([1, 1], { path: "/ws?user=top" });
  for (const client of [a, b]) client.ondelivery = () => {};
  await a.subscribe("hot:1");
  b.socket.close(3456);
  await within(5000, b.closed, "b is closed");
  const publisher = await broker.connect();
  const seen = await until("top has the channel and the close", async () => {
    for (let i = 0; i < 20; i++) await publisher.publish("hot:1", i);
    const top = await json(broker, "top", "--once", "--interval", "0.2");
    return top.channels[0]?.channel === "hot:1" && top.channels[0].rate > 0 && top.closes["3456"] === 1 && top;
  });
  assert.equal(seen.processes.length, 4);
  for (const row of seen.processes) assert.ok(row.pid > 0 && row.cpu_percent >= 0 && row.memory_bytes > 0);
  for (const name of ["received", "published", "delivered", "bytes_in", "bytes_out"]) assert.ok(seen.rates[name] >= 0, name);
  assert.deepEqual(seen.behind, []);
  const text = await run(["top", "--once", "--interval", "0.1", "-c", broker.configPath], { env: broker.env });
  assert.equal(text.code, 0, text.stderr);
  for (const part of [/^ringcast test, up /m, /latency ms p50/, /3456 x1/, /^worker 1 /m, /hot:1$/m]) assert.match(text.stdout, part);
  assert.ok(!text.stdout.includes("\u001b"), "one picture clears nothing");
  const watch = spawn(join(BIN_DIR, "ringcast"), ["status", "--watch", "-c", broker.configPath], { env: { ...process.env, ...broker.env } });
  let out = "";
  watch.stdout.on("data", (bytes) => (out += bytes));
  await until("it is shown twice", () => out.split("\u001b[H\u001b[2J").length > 2);
  watch.kill("SIGINT");
});
