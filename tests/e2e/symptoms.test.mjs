// docs/troubleshooting.md, row by row: the trouble is made, and what the row has one look at says so. Each row here names what stands in the
// first column of one there; those of a bad night (a worker that hangs or dies, memory, Redis) are in see_trouble.test.mjs and redis_*.test.mjs.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { run, startBroker, testBroker } from "./lib/broker.mjs";
import { upgradeRequest, upgraded } from "./lib/raw.mjs";
import { ROOT, SLOWER, freePort, until, within } from "./lib/util.mjs";

const page = readFileSync(join(ROOT, "docs/troubleshooting.md"), "utf8");
const firstCells = [...page.matchAll(/^\| ([^|]+) \|/gm)].map(([, cell]) => cell);
const KEY = "key-of-the-symptoms";
const SECRET = "a-secret-of-the-symptoms-32-bytes-or-more";

/* The row is there; what is said of it is watched in body(). */
async function row(symptom, body) {
  assert.ok(firstCells.some((cell) => cell.includes(symptom)), `the page has a row "${symptom}"`);
  try {
    await body();
  } catch (error) {
    error.message = `${symptom}: ${error.message}`;
    throw error;
  }
}

async function says(broker, args, wanted, { code = 0, stream = "stdout" } = {}) {
  const all = await run([...args, ...(args.includes("-c") ? [] : ["-c", broker.configPath])], { env: broker.env, timeout: 20000 });
  assert.equal(all.code, code, `ringcast ${args.join(" ")}: ${all.stderr}`);
  assert.match(all[stream], wanted, `ringcast ${args.join(" ")}`);
}

const handshake = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==" };

testBroker("a client cannot connect, is disconnected, or gets nothing", {
  config: {
    "http.api_keys": [KEY], "http.allowed_origins": ["https://app.example"], "debug.user_query": "user", "limits.message_rate": 50, "limits.rate_policy": "close", "limits.max_message_size": "200KB", "socketio.max_payload": "100KB",
    "limits.max_connections_per_user": 3, "http.trusted_proxies": [], "limits.notsent_lowat": "16KiB", "limits.send_buffer": "16KiB",
    namespace: [{ name: "room", history: 10 }, { name: "closed", publish: "none" }],
    identity: [{ kind: "jwt", from: ["query.token"], secret: SECRET, required: false }], "socketio.path": "/socket.io/",
  }, workers: 1, timeout: 90000,
}, async (broker) => {
  await row("403 in the handshake, from a page", async () => {
    assert.equal((await broker.get("/ws", { headers: { ...handshake, Origin: "https://evil.example" } })).status, 403);
    assert.equal(await upgraded(broker, "/ws", { Origin: "https://app.example" }), 101);
  });
  await row("401, or close code 4401", async () => {
    const { stdout: token } = await run(["token", "make", "-c", broker.configPath, "--user", "ada", "--ttl", "1h"], { env: broker.env });
    await says(broker, ["token", "verify", token.trim()], /ada/);
    const wrong = `${token.trim().slice(0, -6)}AAAAAA`;
    assert.equal((await broker.get(`/ws?token=${wrong}`, { headers: handshake })).status, 401);
    await says(broker, ["token", "verify", wrong], /signature is wrong/, { code: 1, stream: "stderr" });
  });
  await row("404", async () => {
    assert.equal((await broker.get("/wss", { headers: handshake })).status, 404);
    assert.match((await broker.get("/api/config", { headers: { Authorization: `Bearer ${KEY}` } })).body, /path = \\"\/ws\\"/);
  });
  await row("426", async () => assert.equal((await broker.get("/ws")).status, 426));
  await row("429", async () => {
    for (let i = 0; i < 3; i++) await broker.connect({ path: "/ws?user=many" });
    assert.equal((await broker.get("/ws?user=many", { headers: handshake })).status, 429);
    await says(broker, ["clients", "--by", "user"], /^ +3 .* many$/m);
    await says(broker, ["clients", "--by", "address"], /127\.0\.0\.1$/m);
  });
  await row("404 of a Socket.IO client whose `path` is right", async () => {
    assert.equal((await broker.get("/ws/?EIO=4&transport=polling")).status, 404);
    const answer = await broker.get("/socket.io/", { headers: handshake });
    assert.deepEqual([answer.status, /Transport unknown/.test(answer.body)], [400, true], answer.body);
    await says(broker, ["clients"], / json /);
  });
  await row("everybody has the proxy's address", async () => {
    const client = await broker.connect({ headers: { "X-Forwarded-For": "203.0.113.7" }, path: "/ws?user=behind-a-proxy" });
    await says(broker, ["clients", "--user", "behind-a-proxy", "--by", "address"], /127\.0\.0\.1$/m);
    client.socket.close();
  });
  await row("the same few come again and again", async () => {
    for (let i = 0; i < 3; i++) (await broker.connect({ path: "/ws?user=flaps" })).socket.terminate();
    await until("they are known", async () => /^ +3 .* flaps$/m.test((await run(["clients", "--closed", "--by", "user", "-c", broker.configPath], { env: broker.env })).stdout));
    await says(broker, ["clients", "--closed", "--by", "reason"], /connection_lost$/m);
  });

  const closes = async (symptom, cause, code, look) => row(symptom, async () => {
    const client = await broker.connect({ path: `/ws?user=of-${code}` });
    await cause(client);
    const { code: got, reason } = await within(20000, client.closed, "it is closed");
    assert.equal(got, code);
    await look(client, reason);
    await until("its end is known", async () => new RegExp(`${code} .*of-${code}`).test((await run(["clients", "--closed", "--user", `of-${code}`, "-c", broker.configPath], { env: broker.env })).stdout));
  });
  const logged = (event) => until(`the log has ${event}`, () => broker.log.some((line) => line.includes(` ${event} `)));
  await closes("1008", async (client) => {
    for (let i = 0; i < 300; i++) client.send({ type: "ping", id: i });
  }, 1008, () => logged("rate_closed"));
  await closes("1009", (client) => client.socket.send("x".repeat(300000)), 1009, () => {});
  await closes("1002", (client) => client.socket._socket.write(Buffer.from([0xff, 0x80, 1, 2, 3, 4])), 1002, (_, reason) => assert.ok(reason.length > 0));
  await closes("1007", (client) => client.socket.send(Buffer.from([0xff, 0xfe]), { binary: false }), 1007, (_, reason) => assert.ok(reason.length > 0));
  await closes("4501", (client) => says(broker, ["kick", client.id], /disconnected/), 4501, () => {});
  assert.ok((await broker.metrics())('ringcast_closes_sent_total{code="4501"}') >= 1);

  // "A client is connected and gets nothing", its list in order.
  const x = await broker.connect({ path: "/ws?user=42" });
  await x.subscribe("room:1");
  await says(broker, ["clients", "--user", "42", "--channels"], /^ {4}room:1$/m);
  await says(broker, ["pub", "room:1", "1"], /./);
  await until("it is among the channels", async () => /room:1$/m.test((await run(["channels", "--sort", "rate", "-c", broker.configPath], { env: broker.env })).stdout));
  assert.match((await broker.get("/api/history?channel=room:1", { headers: { Authorization: `Bearer ${KEY}` } })).body, /"data":1/);
  await x.refused(403, { type: "publish", channel: "closed:1", data: 1 });
  await says(broker, ["check"], /publish: .*in closed/s);
  const lags = await broker.connect({ path: "/ws?user=lags" });
  await lags.subscribe("room:2");
  lags.socket.pause();
  const behind = () => run(["clients", "--behind", "100000", "-c", broker.configPath], { env: broker.env });
  await until("it is behind", async () => {
    const told = await broker.get("/api/publish", { method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${KEY}` }, body: JSON.stringify({ channel: "room:2", data: "x".repeat(50000) }) });
    assert.equal(told.status, 200, told.body);
    return (await behind()).stdout.includes(lags.id);
  });
  await x.subscribe("room:2"); // it reads
  const { code, stdout } = await behind();
  assert.deepEqual([code, stdout.split("\n").slice(1).map((line) => line.split(/ +/).slice(0, 2))], [0, [[lags.id, "lags"], [""]]], stdout);
  lags.terminate();
});

// Connections that do not do in time what they should: one is `made`, and its end has its code and reason among the closed ones, in the log and counted.
const NARROW = { "limits.send_buffer": "4KiB", "limits.notsent_lowat": "1KiB", "limits.channel_log": "64KiB" };
const readsNothing = async (broker) => {
  const client = await broker.connect();
  await client.subscribe("news:1");
  client.socket.pause();
  const publisher = await broker.connect();
  await until("it has ended", async () => {
    await publisher.publish("news:1", "x".repeat(20000));
    return (await broker.metrics())("ws_connections_total") === 1;
  }, { timeout: 20000 });
};
for (const { symptom, reason, event, timeout, config, made } of [
  { symptom: "4000", reason: "slow_consumer", event: "slow_consumer_disconnected", config: { ...NARROW, "limits.ping_interval": "1h", namespace: [{ name: "news", slow_consumer: "disconnect" }] }, made: readsNothing },
  { symptom: "4001", reason: "write_stalled", event: "write_timeout", timeout: "write", config: { ...NARROW, "limits.ping_interval": "0s", "limits.write_timeout": "300ms", namespace: [{ name: "news", slow_consumer: "skip" }] }, made: readsNothing },
  { symptom: "4002", reason: "pong_timeout", event: "pong_timeout", timeout: "pong", config: { "limits.ping_interval": "200ms", "limits.pong_timeout": "200ms" }, made: (broker) => broker.frames("/ws") },
  { symptom: "4003", reason: "idle_timeout", event: "idle_timeout", timeout: "idle", config: { "limits.idle_timeout": "300ms" }, made: (broker) => broker.connect() },
]) testBroker(`a client is disconnected with ${symptom}`, { workers: 1, config: { "limits.close_timeout": "300ms", ...config }, timeout: 60000 }, (broker) => row(symptom, async () => {
  const counted = async () => (await broker.metrics())(`ringcast_closes_sent_total{code="${symptom}"}`);
  await made(broker);
  await until("it is among those that have ended", async () => new RegExp(` ${symptom} `).test((await run(["clients", "--closed", "-c", broker.configPath], { env: broker.env })).stdout));
  await says(broker, ["clients", "--closed", "--by", "reason"], new RegExp(`${reason}$`, "m"));
  await until("it is logged", () => broker.log.some((line) => line.includes(` ${event} `)));
  await until("it is counted", async () => (await counted()) >= 1);
  if (timeout !== undefined) assert.ok((await broker.metrics())(`ringcast_timeouts_total{reason="${timeout}"}`) >= 1);
}));

testBroker("the broker stops: 1012 for who is there, 503 for who comes", { workers: 1, config: { "server.drain_timeout": "10m", "limits.close_timeout": "10m" }, timeout: 60000 }, async (broker) => {
  const [client, stays] = [await broker.connect(), await broker.frames("/ws")]; // who does not answer the close frame
  const comes = await broker.raw(); // before nobody is taken any more
  process.kill(broker.pid, "SIGTERM");
  await until("it drains", async () => (await broker.status()).state === "draining");
  await row("503 with `Retry-After`", async () => {
    comes.write(upgradeRequest());
    const answer = await comes.response();
    assert.deepEqual([answer.status, Number(answer.headers["retry-after"]) > 0], [503, true], answer.body);
    assert.equal((await broker.status()).state, "draining");
  });
  await row("1012", async () => {
    process.kill(broker.pid, "SIGTERM"); // now
    assert.equal((await within(20000, client.closed, "it is told")).code, 1012);
    await within(20000, broker.exited, "it has ended");
    stays.end();
  });
});

test("it does not start: what is said, and where one looks", { timeout: 60000 }, async () => {
  const broker = await startBroker({ workers: 1 });
  try {
    const file = join(broker.folder, "wrong.toml");
    const write = (text) => writeFileSync(file, text);
    await row("exit code 2, a file with line and column", async () => {
      write("[server]\nworkrs = 1\n");
      assert.equal((await run(["run", "-c", file], { env: broker.env })).code, 2);
      const { code, stderr } = await run(["check", file], { env: broker.env });
      assert.deepEqual([code, /:2:1: unknown key "workrs"/.test(stderr)], [2, true], stderr);
    });
    await row("exit code 1: address in use", async () => {
      const other = createServer().listen(0, "127.0.0.1");
      await once(other, "listening");
      write(`[server]\nlisten = ["127.0.0.1:${other.address().port}"]\ninstance_id = "second"\ncontrol_socket = "${join(broker.folder, "second.sock")}"\n`);
      const { code, stderr } = await run(["run", "-c", file], { env: broker.env });
      other.close();
      assert.deepEqual([code, /the port is in use: stop the other program \(`ss -ltnp/.test(stderr)], [1, true], stderr);
    });
    await row("exit code 1: a limit is too low for `server.max_connections`", async () => {
      write(`[server]\nlisten = ["127.0.0.1:${await freePort()}"]\nworkers = 1\nmax_connections = 100000000\ninstance_id = "second"\ncontrol_socket = "${join(broker.folder, "second.sock")}"\n`);
      const { code, stderr } = await run(["run", "-c", file], { env: broker.env });
      assert.deepEqual([code, /max_connections/.test(stderr)], [1, true], stderr);
      const tuned = await run(["tune", "-c", file], { env: broker.env });
      assert.match(tuned.stdout, /RLIMIT_NOFILE/);
    });
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});

test("`ringcast status` where there is no broker, or are several", { timeout: 60000 * SLOWER }, () => row("`ringcast status` finds no broker, or several", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-e2e-symptoms-"));
  const [empty, full] = ["empty", "full"].map((name) => join(folder, name));
  const brokers = [];
  try {
    for (const one of [empty, full]) mkdirSync(one);
    for (const name of ["one", "two"]) brokers.push(await startBroker({ workers: 1, env: { RUNTIME_DIRECTORY: full }, config: { "server.control_socket": "", "server.instance_id": name } }));
    const [one, two] = brokers;
    const status = (directory, ...args) => run(["status", ...args], { env: { ...one.env, RUNTIME_DIRECTORY: directory }, cwd: folder, timeout: 20000 });
    // With the file, as a broker of somebody else's may run on this machine.
    const none = await status(empty, "-c", one.configPath);
    assert.deepEqual([none.code, none.stdout], [1, ""]);
    assert.match(none.stderr, /^ringcast: no running broker found that runs with .*: start one, or name its socket with --socket PATH$/m);
    const several = await status(full);
    assert.deepEqual([several.code, several.stdout], [1, ""]);
    assert.match(several.stderr, /^ringcast: \d+ brokers are running; name one with -c FILE or --socket PATH:$/m);
    for (const { pid, configPath } of brokers) assert.ok(several.stderr.includes(`pid ${pid}, `) && several.stderr.includes(configPath), several.stderr);
    const named = await status(full, "-c", two.configPath);
    assert.deepEqual([named.code, named.stdout.includes(`${two.pid}`)], [0, true], named.stderr);
    for (const broker of brokers) await broker.stop();
  } finally {
    for (const broker of brokers) await broker.destroy();
    rmSync(folder, { recursive: true, force: true });
  }
}));

test("monitoring: what a public listener does not tell; who sends too fast is read more slowly", { timeout: 60000 }, async () => {
  const broker = await startBroker({ workers: 1, config: { "http.trusted_proxies": ["127.0.0.1"], "limits.message_rate": 20 } });
  try {
    await row("one client's messages come late, the others' do not", async () => {
      const other = await broker.connect();
      await other.ping();
      assert.equal((await broker.metrics())("ringcast_rate_delays_total"), 0, "who does as it may is not read more slowly");
      const client = await broker.connect();
      const PADDED = 3000; // bytes
      for (let i = 0; i < 60; i++) client.send({ type: "ping", id: i, padding: "x".repeat(PADDED) });
      await until("it is counted", async () => (await broker.metrics())("ringcast_rate_delays_total") >= 1);
      const { stdout } = await run(["clients", "-c", broker.configPath], { env: broker.env });
      const [head, ...rows] = stdout.trimEnd().split("\n").map((line) => line.split(/ +/));
      assert.equal(head.at(-1), "RECEIVED");
      // As people read it: 123, 61.2K.
      const received = (one) => rows.filter(([id]) => id === one.id).map((row) => parseFloat(row.at(-1)) * (/k/i.test(row.at(-1)) ? 1000 : 1));
      assert.equal(received(client).length, 1, stdout);
      assert.ok(received(client)[0] > 10 * PADDED && received(other)[0] < PADDED, stdout);
      client.socket.terminate();
    });
    const from = { headers: { "X-Forwarded-For": "203.0.113.9" } };
    await row("`/metrics` is 403", async () => assert.equal((await broker.get("/metrics", from)).status, 403));
    await row("`/admin` is 404", async () => assert.equal((await broker.get("/admin", from)).status, 404));
    await row("`/` is 404", async () => assert.equal((await broker.get("/", from)).status, 404));
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});
