// The questions of a bad night, each answered by one command: who is connected, why did X not get Y, which channel is hot, why does memory
// grow; and what happened before a process died.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { connect as connectSocket, createServer } from "node:net";
import { join } from "node:path";
import { io } from "socket.io-client";
import { run, testBroker } from "./lib/broker.mjs";
import { BIN_DIR, freePort, until, within } from "./lib/util.mjs";

const config = { "debug.user_query": "user" };

async function json(broker, ...args) {
  const result = await run([...args, "--json", "-c", broker.configPath], { env: broker.env });
  assert.equal(result.code, 0, `ringcast ${args.join(" ")}: ${result.stderr}`);
  return JSON.parse(result.stdout);
}

/* What each process says first, once it looks. */
const looks = ["clients on this worker", "the relay looks"];

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
  // Every worker has told what it has, and the relay that it looks: from now on nothing is missed.
  await until("each process looks", () => stages.filter((row) => row.stage === "state" && looks.includes(row.why)).length === broker.workers + 1);
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
  // Each process tells by itself.
  await until("all of it is told", () => order.every((name) => traced.stages.some((row) => row.stage === name)));
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
  assert.match(unknown.stderr, /^ringcast: no client .* has this id\n$/);
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
  // The relay reads one worker's ring after the other: it may have this message before it has read that the channel is left.
  const unheard = await until("nobody is there", async () => {
    await publisher.publish("room:1", 2);
    return traced.stages.find((row) => row.stage === "sequenced" && row.count === 0);
  });
  assert.match(unheard.why, /nobody/);

  // The publisher excluded it; without echo it does not hear itself.
  await x.subscribe("room:1");
  await publisher.publish("room:1", 3, { exclude: [x.id] });
  const not = [await traced.stage("skipped", (row) => /excluded/.test(row.why))];
  await x.publish("room:1", 4, { echo: false });
  not.push(await traced.stage("skipped", (row) => /without echo/.test(row.why)));
  await publisher.publish("room:1", 5);
  assert.ok(await traced.stage("sent", (row) => row.client === x.id && row.bytes === 1 && !not.some((one) => one.sequence === row.sequence)));
  assert.ok(!traced.stages.some((row) => row.stage === "sent" && not.some((one) => one.sequence === row.sequence)), "what it does not get is not told as sent");
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
  // Also of the one with which it fell behind it is told that it waits; and of each what became of it, once.
  const rows = (name) => traced.stages.filter((row) => row.stage === name && (name === "down" || row.client === x.id)).map(({ sequence }) => sequence);
  await until("each message was sent or is kept", () => rows("down").length > 0 && rows("down").length === rows("sent").length + rows("kept").length);
  assert.deepEqual([...rows("sent"), ...rows("kept")].sort((a, b) => a - b), rows("down"));
  await traced.end();
  x.socket.resume();
});

testBroker("of whom is not here a trace says so, once every worker has looked, and then shows who comes", { workers: 3, config }, async (broker) => {
  const other = await broker.connect({ path: "/ws?user=here" });
  const conclusions = ({ stages }) => stages.filter(({ stage }) => stage === "nobody");
  let traced = await trace(broker, "--user", "absent", "--channel", "room:1");
  assert.match((await traced.stage("nobody")).why, /no worker of this instance has such a client.*ringcast clients/);
  const late = await broker.connect({ path: "/ws?user=absent" });
  assert.equal((await traced.stage("state", ({ client }) => client === late.id)).why, "connected, but not subscribed to the channel");
  assert.equal(conclusions(traced).length, 1, "once");
  await traced.end();
  // Of one that is here, on whichever worker, and where nobody in particular is looked for, it is not said.
  for (const args of [["--user", "here"], ["--client", other.id], ["--channel", "room:1"]]) {
    traced = await trace(broker, ...args);
    await late.publish("room:1", 1);
    if (args[0] === "--channel") await traced.stage("sequenced");
    else assert.equal((await traced.stage("state", ({ client }) => client === other.id)).why, "connected");
    await traced.end();
    assert.deepEqual(conclusions(traced), [], args.join(" "));
  }
  late.socket.close();
  await within(5000, late.closed, "it is closed");
  const said = await run(["trace", "--client", late.id, "--seconds", "2", "-c", broker.configPath], { env: broker.env });
  assert.match(said.stdout, /^\.\.\. no worker of this instance has such a client/m);
});

testBroker("a worker that hangs is named, and what the others have is shown", {
  workers: 2, config: { ...config, "server.stuck_kill_timeout": "10m" }, timeout: 90000,
}, async (broker) => {
  const [here, there] = await broker.connectMany([1, 1], { path: "/ws?user=x" });
  for (const client of [here, there]) await client.subscribe("room:1");
  const hangs = there.worker;
  const said = new RegExp(`worker ${hangs} has not answered: what is there is missing here`);
  broker.kill("SIGSTOP", hangs);
  try {
    // At once, too, when nobody knows it yet: the command goes to one that moves, or says that it may have been this one.
    await until("it is known to hang", async () => (await json(broker, "status")).processes.find(({ process }) => process === `worker ${hangs}`).state === "stuck", { timeout: 20000 });
    const rest = await json(broker, "clients", "--user", "x");
    assert.deepEqual([rest.clients.map(({ client }) => client), rest.incomplete, rest.silent], [[here.id], true, [hangs]]);
    for (const args of [["channels", "--prefix", "room:"], ["channels", "--prefix", "room:", "--sort", "rate"]]) {
      const { channels, incomplete, silent } = await json(broker, ...args);
      assert.deepEqual([channels.map(({ channel, subscribers }) => [channel, subscribers]), incomplete, silent], [[["room:1", 1]], true, [hangs]], args.join(" "));
    }
    const memory = await json(broker, "memory", "--interval", "0.1");
    assert.deepEqual([memory.incomplete, memory.silent], [true, [hangs]]);
    const text = await run(["clients", "-c", broker.configPath], { env: broker.env });
    assert.equal(text.code, 0);
    assert.match(text.stderr, said);
    assert.match(text.stdout, new RegExp(here.id));
    const top = await run(["top", "--once", "--interval", "0.1", "-c", broker.configPath], { env: broker.env, timeout: 30000 });
    assert.match(top.stdout, new RegExp(`^state: .*; worker ${hangs} stuck; ${said.source}$`, "m"));
    const traced = await run(["trace", "--user", "x", "--seconds", "4", "-c", broker.configPath], { env: broker.env, timeout: 30000 });
    assert.match(traced.stdout, new RegExp(`^\\.\\.\\. worker/${hangs}: it has not begun to look: it hangs`, "m"));
    assert.match(traced.stdout, new RegExp(`worker/${here.worker} .*client=${here.id}`));
    assert.match((await run(["postmortem", "-c", broker.configPath], { env: broker.env })).stdout, new RegExp(`child_stuck child="worker ${hangs}"`));
  } finally {
    broker.kill("SIGCONT", hangs);
  }
  const all = await until("it answers again", async () => {
    const answer = await json(broker, "clients", "--user", "x");
    return answer.clients.length === 2 && answer;
  });
  assert.ok(!("incomplete" in all) && !("silent" in all));
});

testBroker("who is connected: one user with far too many connections, a host that comes and goes, those who are in a room", { config, timeout: 60000 }, async (broker) => {
  const quiet = [];
  for (let i = 0; i < 5; i++) quiet.push(await broker.connect({ path: `/ws?user=u${i}` }));
  await quiet[3].subscribe("room:1");
  const many = [];
  for (let i = 0; i < 12; i++) many.push(await broker.connect({ path: "/ws?user=runaway" }));
  // Another host whose client never stays.
  for (let i = 0; i < 6; i++) {
    const client = await broker.connect({ path: "/ws?user=flapping", localAddress: "127.0.0.9" });
    client.socket.close(3001, "again");
    await within(5000, client.closed, "it is closed");
  }
  const stays = await broker.connect({ path: "/ws?user=flapping", localAddress: "127.0.0.9" });
  const ids = (rows) => rows.map(({ client }) => client).sort();
  // Who it is that has so many, of however many there are: one command.
  const by = async (what, ...args) => {
    const { groups, by: named, more } = await json(broker, "clients", "--by", what, ...args);
    assert.deepEqual([named, more], [what, args.includes("--limit")]);
    for (const row of groups) if (!args.includes("--closed")) assert.ok(row.sent_bytes > 0 && row.received_bytes > 0 && row.behind_bytes === 0, JSON.stringify(row));
    return groups.map((row) => [row[what], row.clients]);
  };
  await until("those who went have gone", async () => (await json(broker, "clients")).clients.length === 18);
  assert.deepEqual(await by("user"), [["runaway", 12], ["flapping", 1], ["u0", 1], ["u1", 1], ["u2", 1], ["u3", 1], ["u4", 1]]);
  assert.deepEqual(await by("user", "--limit", "1"), [["runaway", 12]]);
  assert.deepEqual(await by("address"), [["127.0.0.1", 17], ["127.0.0.9", 1]]);
  assert.deepEqual(await by("address", "--user", "flapping"), [["127.0.0.9", 1]]);
  assert.deepEqual(await by("protocol"), [["json", 18]]);
  const workers = await by("worker");
  assert.deepEqual([workers.reduce((sum, [, clients]) => sum + clients, 0), workers.every(([worker]) => Number.isInteger(worker))], [18, true]);
  const table = await run(["clients", "--by", "user", "-c", broker.configPath], { env: broker.env });
  assert.match(table.stdout, /^ CLIENTS +BEHIND +SENT RECEIVED USER\n +12 +0 +\S+ +\S+ runaway\n/, table.stdout);
  assert.deepEqual(ids((await json(broker, "clients", "--user", "runaway")).clients), ids(many.map(({ id }) => ({ client: id }))));
  assert.deepEqual(ids((await json(broker, "clients", "--channel", "room:1")).clients), [quiet[3].id]);
  assert.deepEqual(ids((await json(broker, "clients", "--address", "127.0.0.8/31")).clients), [stays.id]);
  const gone = await until("those who went are known", async () => {
    const rows = (await json(broker, "clients", "--closed", "--address", "127.0.0.9")).closed;
    return rows.length === 6 && rows;
  });
  assert.deepEqual(await by("address", "--closed"), [["127.0.0.9", 6]]);
  assert.deepEqual(await by("code", "--closed"), [[3001, 6]]);
  for (const row of gone) assert.deepEqual([row.user, row.code, row.by, row.address], ["flapping", 3001, "client", "127.0.0.9"]);
  // What is then done about it.
  assert.match((await run(["kick", "--user", "runaway", "-c", broker.configPath], { env: broker.env })).stdout, /^disconnected 12$/m);
  for (const client of many) assert.equal((await within(5000, client.closed, "it is sent away")).code, 4501);
  await until("none of it is left", async () => (await json(broker, "clients", "--user", "runaway")).clients.length === 0);
});

testBroker("which channel is hot: by messages, by bytes that go out, by subscribers, by what it keeps", {
  config: { ...config, namespace: [{ name: "room" }, { name: "log", history: 1000 }] }, timeout: 60000,
}, async (broker) => {
  const clients = await broker.connectMany([3, 3]);
  for (const client of clients) client.ondelivery = () => {};
  const [publisher] = clients;
  for (let i = 0; i < 20; i++) await clients[i % clients.length].subscribe(`room:quiet${i}`);
  for (const client of clients) await client.subscribe("room:crowd");
  for (const client of clients.slice(0, 4)) await client.subscribe("room:heavy");
  for (const channel of ["room:chatty", "log:kept"]) await clients[1].subscribe(channel);
  for (let i = 0; i < 20; i++) await publisher.publish("log:kept", "x".repeat(20000));
  const heavy = "x".repeat(50000);
  const hottest = async (sort) => (await json(broker, "channels", "--sort", sort, "--limit", "1")).channels[0];
  const trouble = async () => {
    for (let i = 0; i < 20; i++) await publisher.publish("room:chatty", i);
    await publisher.publish("room:heavy", heavy);
    await publisher.publish("room:quiet7", 1);
  };
  const [rate] = await until("each question has its channel", async () => {
    await trouble();
    const found = [];
    for (const sort of ["rate", "bytes", "subscribers", "memory"]) found.push(await hottest(sort));
    return JSON.stringify(found.map((row) => row?.channel)) === JSON.stringify(["room:chatty", "room:heavy", "room:crowd", "log:kept"]) && found;
  }, { timeout: 30000 });
  assert.ok(rate.rate > 0 && rate.subscribers === 1);
  await until("people read the same", async () => {
    await trouble();
    const text = await run(["channels", "--sort", "bytes", "-c", broker.configPath], { env: broker.env });
    return / room:heavy$/.test(text.stdout.split("\n")[1]);
  }, { timeout: 30000 });
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
  const read = async () => (await run(["postmortem", "-c", broker.configPath], { env: broker.env })).stdout;
  assert.match(await read(), /\n\nno client has ended\n$/);
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
  assert.ok(found.closed.some((row) => row.client === client.id && row.user === "last" && row.code === 3001 && row.by === "client"), "also of the dead one");
  const text = await read();
  assert.ok(text.split("\n\nthe clients that ended last\n")[1]?.includes(`client=${client.id} code=3001 by=client user="last"`), text);
});

/* Looks again and again, while body() makes the trouble, until what `ringcast memory` says fits. */
async function memoryWhile(broker, body, fits) {
  return until("memory says who holds it", async () => {
    const looked = json(broker, "memory", "--interval", "0.3");
    let going = true;
    const trouble = (async () => {
      while (going) await body();
    })();
    const memory = await looked.finally(() => (going = false));
    await trouble;
    return fits(memory) && memory;
  }, { timeout: 30000 });
}

testBroker("why does memory grow: a client that does not read, and the channel whose messages wait for it", {
  config: { ...config, namespace: [{ name: "feed" }], "limits.notsent_lowat": "16KiB", "limits.channel_log": "64MiB", "limits.worker_log": "128MiB" }, timeout: 60000,
}, async (broker) => {
  const [slow, publisher] = await broker.connectMany([1, 1], { path: "/ws?user=slow" });
  for (const client of [slow, publisher]) client.ondelivery = () => {};
  await slow.subscribe("feed:1");
  slow.socket.pause();
  const data = "x".repeat(1000);
  const memory = await memoryWhile(broker, () => publisher.publish("feed:1", data),
    ({ holders, clients, channels }) => holders[0].what === "unread_messages" && holders[0].grown_bytes > 0 && clients.length > 0 && channels[0]?.log_bytes > 0);
  assert.equal(memory.clients[0].client, slow.id, "who it is: the furthest behind first");
  assert.ok(memory.clients[0].behind_bytes > 0);
  assert.equal(memory.channels[0].channel, "feed:1");
  assert.match(memory.holders[0].look, /^ringcast clients --behind/);
  const held = Object.fromEntries(memory.holders.map((row) => [row.what, row]));
  assert.ok(held.unread_messages.bytes <= held.unread_messages.bytes_max);
  assert.ok(held.clients.count >= 2);
  assert.equal(memory.processes.length, 4);
  for (const row of memory.processes) assert.ok(row.resident_bytes > 0, row.process);
  await until("people read the same", async () => {
    const [text] = await Promise.all([run(["memory", "--interval", "0.1", "--limit", "1", "-c", broker.configPath], { env: broker.env }), publisher.publish("feed:1", data)]);
    assert.equal(text.code, 0, text.stderr);
    return [/unread_messages .*have not read yet \(ringcast clients --behind 1\)/, /CHANNELS THAT KEEP MOST\n.*feed:1$/m, new RegExp(`slow .*${slow.id}`)].every((part) => part.test(text.stdout));
  }, { timeout: 30000 });
  slow.socket.resume();
});

testBroker("why does memory grow: histories, retained values, what the relay keeps of Socket.IO clients", {
  config: { ...config, namespace: [{ name: "log", history: 10000 }, { name: "kept", retain: "anyone" }] }, timeout: 60000,
}, async (broker) => {
  const publisher = await broker.connect();
  let n = 0;
  const data = "x".repeat(2000);
  const memory = await memoryWhile(broker, () => publisher.publish(`log:${n++ % 50}`, data), ({ holders }) => holders[0].what === "history" && holders[0].grown_bytes > 0);
  assert.ok(memory.holders[0].bytes_max > memory.holders[0].bytes);
  const retained = await memoryWhile(broker, () => publisher.publish(`kept:${n++}`, data, { retain: true }), ({ holders }) => holders[0].what === "retained" && holders[0].grown_bytes > 0);
  assert.ok(retained.holders[0].bytes > 0);
  for (const args of [["--interval", "0"], ["--interval", "x"]]) assert.equal((await run(["memory", ...args, "-c", broker.configPath], { env: broker.env })).code, 2);
});

testBroker("why does memory grow: connections of one user, who is named by the command that stands beside them", { config, timeout: 60000 }, async (broker) => {
  await broker.connect({ path: "/ws?user=quiet" });
  const memory = await memoryWhile(broker, async () => (await broker.connect({ path: "/ws?user=runaway" })).subscribe("room:1"),
    ({ holders }) => holders.some((row) => row.what === "clients" && row.grown_bytes > 0));
  const { look } = memory.holders.find(({ what }) => what === "clients");
  const [, ...args] = look.split(" ");
  const { groups: [most] } = await json(broker, ...args);
  assert.ok(most.user === "runaway" && most.clients > 1, `${look}: ${JSON.stringify(most)}`);
  // Beside each holder stands a command that there is.
  for (const { what, look: command } of memory.holders) {
    const [program, name, ...rest] = command.split(" ");
    assert.equal(program, "ringcast");
    const once = name === "top" ? ["--once"] : [];
    assert.equal((await run([name, ...rest, ...once, "-c", broker.configPath], { env: broker.env })).code, 0, `${what}: ${command}`);
  }
});

testBroker("why did X not get Y: which row took the event, what it does, and what the application said", {
  config: async () => ({
    "socketio.unknown_event": "error",
    backend: [{ name: "app", url: [`http://127.0.0.1:${await freePort()}/`] }],
    event: [
      { on: "join", schema: "room", join: ["{args.0}"], emit: [{ to: "{args.0}", event: "joined" }] },
      { on: "ask", ask: "app" },
    ],
    "schemas.room": '{"type":"array","prefixItems":[{"type":"string"}]}',
  }), workers: 1,
}, async (broker) => {
  const client = io(`http://${broker.host}`, { transports: ["websocket"], reconnection: false });
  try {
    await within(10000, new Promise((done, failed) => client.once("connect", done).once("connect_error", failed)), "it connects");
    const [{ client: id }] = (await json(broker, "clients", "--protocol", "socketio")).clients;
    const traced = await trace(broker, "--client", id);
    client.emit("join", "r1");
    const row = await traced.stage("rule", ({ event }) => event === "join");
    assert.equal(row.why, 'row 1, on "join": join, emit');
    assert.equal(row.client, id);
    client.emit("join", 1);
    const refused = await traced.stage("refused", ({ event }) => event === "join");
    assert.match(refused.why, /^row 1, schema: /);
    client.emit("nothing");
    assert.match((await traced.stage("rule", ({ event }) => event === "nothing")).why, /no \[\[event\]\] row takes it: socketio\.unknown_event = "error"/);
    client.emit("ask", 1);
    assert.equal((await traced.stage("rule", ({ event }) => event === "ask")).why, 'row 2, on "ask": ask');
    assert.match((await traced.stage("asked", ({ event }) => event === "ask")).why, /^backend "app", call ./);
    const answered = await traced.stage("answered", ({ event }) => event === "ask");
    assert.match(answered.why, /^backend "app" could not be asked/);
    const stages = traced.stages.filter(({ event }) => event === "ask").map(({ stage }) => stage);
    assert.ok(stages.indexOf("rule") < stages.indexOf("asked") && stages.indexOf("asked") < stages.indexOf("answered"), stages.join());
    await traced.end();
  } finally {
    client.close();
  }
});

testBroker("GET /api/trace is the same for who has HTTP alone, of any worker; one trace at a time", { config: { ...config, "http.api_keys": ["trace-key"] } }, async (broker) => {
  const [x, publisher] = await broker.connectMany([1, 1], { path: "/ws?user=x" });
  for (const client of [x, publisher]) client.ondelivery = () => {};
  const ask = async (query, method = "GET") => {
    const { status, body } = await broker.get(`/api/trace?${query}`, { method, headers: { Authorization: "Bearer trace-key" } });
    return { status, ...JSON.parse(body) };
  };
  assert.equal((await broker.get("/api/trace?user=x")).status, 401);
  assert.equal((await ask("")).status, 400);
  assert.equal((await ask("client=nobody")).status, 404);
  const query = "user=x&channel=room:1";
  const stages = [];
  let next = "";
  const read = async () => {
    const answer = await ask(`${query}&next=${next}`);
    assert.equal(answer.status, 200);
    next = answer.next;
    stages.push(...answer.stages);
    return answer;
  };
  await until("it runs, in each worker", async () => (await read()).state === "running" && stages.filter(({ why }) => looks.includes(why)).length === 3, { timeout: 20000 });
  await publisher.publish("room:1", 1);
  await until("it is said why", async () => (await read()) && stages.some(({ stage, count }) => stage === "sequenced" && count === 0));
  await x.subscribe("room:1");
  await publisher.publish("room:1", 2);
  await until("it is sent", async () => (await read()) && stages.some(({ stage, client }) => stage === "sent" && client === x.id));
  assert.equal(new Set(stages.map((row) => JSON.stringify(row))).size, stages.length, "each stage once");
  assert.equal((await ask("user=y")).status, 409);
  assert.equal((await ask("user=y", "DELETE")).status, 409);
  assert.match((await run(["trace", "--channel", "x", "--seconds", "1", "-c", broker.configPath], { env: broker.env })).stderr, /another trace runs/);
  for (const wrong of ["x", "."]) assert.equal((await ask(`${query}&next=${next}${wrong}`)).status, 400);
  assert.equal((await ask(query, "DELETE")).state, "ended");
  await until("it has ended", () => broker.log.some((line) => /trace_ended .*its reader ended it/.test(line)), { timeout: 20000 });
  // Nobody reads the next one: it ends as well.
  await until("another one runs", async () => (await ask("channel=room:2")).state === "running", { timeout: 20000 });
  await until("it ends by itself", () => broker.log.some((line) => /trace_ended .*nobody reads it/.test(line)), { timeout: 30000 });
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

testBroker("status and top say what a worker ended by, until when it is away, and that Redis is", { config: { ...config, "redis.url": "redis://127.0.0.1:1" }, workers: 1, timeout: 60000 }, async (broker) => {
  const worker = async () => (await json(broker, "status")).processes.find(({ process }) => process === "worker 0");
  const text = async (...args) => (await run([...args, "-c", broker.configPath], { env: broker.env })).stdout;
  assert.equal((await worker()).last_end, null);
  // The limit that alerts go by is the one that holds, also where nobody has configured one.
  assert.equal((await broker.metrics())("ringcast_connections_max"), (await json(broker, "status")).connections_max);
  await until("top says that Redis is away", async () => /^state: running; redis disconnected: .*refused/m.test(await text("top", "--once", "--interval", "0.1")));
  broker.mayDieBy = /signal 6/;
  // The pauses before it is started again grow: in one of them it is looked at.
  await until("it is away, and said to be", async () => {
    if (/^worker 0: its process ended by signal 6 \(ABRT\).*; the next one starts in \d+s/m.test(await text("status"))) return true;
    if ((await worker()).state === "ready") broker.kill("SIGABRT", 0);
    return false;
  }, { timeout: 40000 });
  await until("it is back", async () => (await worker()).state === "ready", { timeout: 30000 });
  assert.match(await text("status"), /^worker 0: restarts: \d+, the last after signal 6 \(ABRT\)/m);
  assert.match((await worker()).last_end, /^signal 6 \(ABRT\)/);
});

testBroker("who has died is not said to come back while the broker drains", { config: { ...config, "server.drain_timeout": "10m" }, workers: 3, timeout: 60000 }, async (broker) => {
  const worker = async (index) => (await json(broker, "status")).processes.find(({ process }) => process === `worker ${index}`);
  broker.mayDieBy = /signal (6|9)/;
  for (const index of [0, 1]) {
    broker.kill("SIGABRT", index);
    await until("it is back", async () => {
      const { state, restarts } = await worker(index);
      return state === "ready" && restarts === 1;
    }, { timeout: 30000 });
  }
  for (const index of [1, 2]) broker.kill("SIGSTOP", index); // the broker waits for them
  process.kill(broker.pid, "SIGTERM");
  await until("one has ended as it was told to", async () => (await worker(0)).pid === null);
  broker.kill("SIGKILL", 1);
  await until("one has died", async () => (await worker(1)).pid === null);
  assert.deepEqual([(await worker(0)).last_end, (await worker(1)).last_end], [null, "signal 9 (KILL)"]);
  const { stdout } = await run(["status", "-c", broker.configPath], { env: broker.env });
  assert.doesNotMatch(stdout, /^worker 0: its process ended/m);
  assert.match(stdout, /^worker 1: its process ended by signal 9 \(KILL\); no other one is started/m);
  broker.kill("SIGCONT", 2);
  assert.deepEqual(await within(20000, broker.exited, "the broker ends"), { code: 0, signal: null });
});

testBroker("top takes no older broker, which says less of itself, for one that is not well", { config }, async (broker) => {
  const path = join(broker.folder, "older.sock");
  const older = createServer((socket) => socket.once("data", (request) => {
    const upstream = connectSocket(broker.config["server.control_socket"], () => upstream.write(request));
    upstream.on("error", () => socket.destroy());
    socket.on("error", () => upstream.destroy());
    if (!String(request).startsWith("status")) {
      socket.pipe(upstream).pipe(socket);
      return;
    }
    let text = "";
    upstream.setEncoding("utf8").on("data", (part) => (text += part)).on("end", () => {
      const { redis, ...status } = JSON.parse(text.slice("ok\n".length));
      assert.ok(redis !== undefined && status.processes.every((row) => delete row.overload));
      socket.end(`ok\n${JSON.stringify(status)}`);
    });
  })).listen(path);
  await new Promise((done) => older.once("listening", done));
  try {
    const { code, stdout, stderr } = await run(["top", "--once", "--interval", "0.1", "--socket", path], { env: broker.env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^state: running$/m);
  } finally {
    older.close();
  }
});
