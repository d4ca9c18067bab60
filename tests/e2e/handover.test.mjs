// Connections that go from worker to worker, request by request: nothing of what was sent is lost, doubled or answered by somebody else.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { testBroker } from "./lib/broker.mjs";
import { OP, connectRaw, upgradeRequest } from "./lib/raw.mjs";
import { certificate, connectRawTls } from "./lib/tls.mjs";
import { freePort, random, until } from "./lib/util.mjs";

const WORKERS = 4;
const server = certificate("server");
// Who reads them one after the other is long in coming to the last: requests behind an answer that is not read are not complete until then.
const config = { "debug.handover": "/at", "server.adopt_crashed": false, "limits.handshake_timeout": "2m" };
/* A port of its own for each broker: the ring of a killed worker keeps its listeners for some milliseconds more. */
const secure = async () => ({ ...config, "tls.listen": [`127.0.0.1:${await freePort()}`], "tls.certificates": [server.path] });
const openTls = (broker) => connectRawTls(Number(broker.config["tls.listen"][0].split(":")[1]));

const { below } = random();
const some = (bytes) => Buffer.alloc(bytes, "0123456789abcdefghijklmnopqrstuvwxyz".slice(below(30)));
const bodySize = () => [0, 1, below(300), below(5000), 4096, below(40000)][below(6)];

/* A request that worker `to` is to answer with `body`. */
function post(to, body, headers = "") {
  return Buffer.concat([Buffer.from(`POST /at/${to} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${body.length}\r\n\r\n`), body]);
}

async function expectAnswer(raw, to, body, timeout = 20000) {
  const answer = await raw.response({ timeout });
  assert.equal(answer.status, 200, `${answer.status} ${answer.body.slice(0, 200)}`);
  assert.equal(answer.headers["x-worker"], String(to));
  assert.equal(answer.body, body.toString());
  assert.equal(answer.headers["x-peer"], `127.0.0.1 ${raw.socket.localPort}`);
  assert.equal(answer.headers["x-local"], "1");
}

/* `rounds` times: a few requests to anybody, written together or in pieces, then their answers. */
async function converse(raw, rounds) {
  for (let round = 0; round < rounds; round++) {
    const requests = Array.from({ length: 1 + below(4) }, () => ({ to: below(WORKERS), body: some(bodySize()) }));
    const bytes = Buffer.concat(requests.map(({ to, body }) => post(to, body)));
    if (below(2)) {
      raw.write(bytes);
    } else {
      for (let at = 0; at < bytes.length;) {
        const end = at + 1 + below(bytes.length);
        raw.write(bytes.subarray(at, end));
        await new Promise(setImmediate);
        at = end;
      }
    }
    for (const { to, body } of requests) await expectAnswer(raw, to, body);
  }
}

/* Descriptors of each process but for the log's and such that come and go at any time. */
function descriptors(broker) {
  const { relay, workers } = broker.pids();
  return [broker.pid, relay, ...workers].map((pid) => readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return /^(socket|anon_inode|\/memfd)/.test(readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return false;
    }
  }).length);
}

/* Every connection but that of the question is gone, what came has gone, and so have the descriptors. */
async function expectSettled(broker, before) {
  // Numbers of several workers are not read at one instant: they agree when nothing moves any more.
  const metrics = await until("every connection is gone, and was counted", async () => {
    const now = await broker.metrics();
    const [accepted, closed, out, come, pipes] = ["connections_accepted", "connections_closed", "connections_handed_out", "connections_handed_in", "pipes_opened"]
      .map((name) => now(`ringcast_${name}_total`));
    if (accepted + come + pipes - closed - out !== 1) throw new Error(`accepted ${accepted}, in ${come}, pipes ${pipes}, closed ${closed}, out ${out}`);
    return now("ringcast_sockets") === 1 && now("ringcast_pipes") === 0 && now;
  }, { every: 50 });
  assert.equal(metrics("ringcast_handovers_lost_total"), 0);
  await until("no descriptor is left", () => {
    const now = descriptors(broker);
    return now.every((count, i) => count <= before[i]) || Promise.reject(new Error(`${now} where there were ${before}`));
  }, { every: 50 });
  return metrics;
}

const ways = [
  { name: "plain", config: () => config, open: (broker) => connectRaw(broker.address) },
  { name: "plain, on a kernel that makes no descriptors of direct ones", config: () => config, env: { RINGCAST_KERNEL_WITHOUT: "fd_install" }, open: (broker) => connectRaw(broker.address), pipes: true },
  { name: "TLS", config: secure, open: openTls, pipes: true },
  { name: "TLS, on such a kernel", config: secure, env: { RINGCAST_KERNEL_WITHOUT: "fd_install,socket_getsockopt" }, open: openTls, pipes: true },
];

for (const way of ways) {
  testBroker(`${way.name}: many requests of each connection, to any worker, pipelined and in pieces`, { workers: WORKERS, config: await way.config(), env: way.env, timeout: 60000 }, async (broker) => {
    const before = descriptors(broker);
    await Promise.all(Array.from({ length: 24 }, async () => {
      const raw = await way.open(broker);
      await converse(raw, 40);
      raw.end();
    }));
    const metrics = await expectSettled(broker, before);
    assert.ok(metrics("ringcast_connections_handed_in_total") > 500, "connections moved");
    assert.equal(metrics("ringcast_pipes_opened_total") > 0, way.pipes ?? false);
    assert.equal(metrics("ringcast_handovers_failed_total"), 0);
  });

  testBroker(`${way.name}: a client that shuts its writing end gets its answer, one that does not read is waited for`, { workers: WORKERS, config: await way.config(), env: way.env }, async (broker) => {
    const before = descriptors(broker);
    const large = some(900000);
    for (let to = 0; to < WORKERS; to++) {
      const raw = await way.open(broker);
      raw.write(post(to, Buffer.from("half")));
      raw.socket.end();
      await expectAnswer(raw, to, Buffer.from("half"));
      assert.equal((await raw.rest()).length, 0);
      raw.end();
    }
    // Answers that do not fit into the socket: what comes behind goes to another worker, after they have left.
    const raws = await Promise.all(Array.from({ length: 8 }, () => way.open(broker)));
    const lists = raws.map((raw) => {
      raw.socket.pause();
      const list = [0, 1, 2, 3, 1].map((by) => (by + below(WORKERS)) % WORKERS);
      for (const to of list) raw.write(post(to, large));
      return list;
    });
    await broker.get("/health");
    for (const [i, raw] of raws.entries()) {
      raw.socket.resume();
      for (const to of lists[i]) await expectAnswer(raw, to, large);
      raw.write("GET /at/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      await expectAnswer(raw, 1, Buffer.alloc(0));
      assert.equal((await raw.rest()).length, 0);
      raw.end();
    }
    // Those that go away in the middle.
    const gone = await Promise.all(Array.from({ length: 30 }, () => way.open(broker)));
    for (const raw of gone) {
      raw.write(post(below(WORKERS), large).subarray(0, 1 + below(2000)));
      await new Promise(setImmediate);
      if (below(2) && !raw.socket.encrypted) raw.socket.resetAndDestroy();
      else raw.end();
    }
    await expectSettled(broker, before);
  });

  testBroker(`${way.name}: what becomes a WebSocket after it has moved is one like any other`, { workers: WORKERS, config: await way.config(), env: way.env }, async (broker) => {
    const raws = [];
    for (let to = 0; to < WORKERS; to++) {
      const raw = await way.open(broker);
      raw.write(Buffer.concat([post((to + 1) % WORKERS, Buffer.from("x")), post(to, Buffer.from("y")), Buffer.from(upgradeRequest("/ws"))]));
      await expectAnswer(raw, (to + 1) % WORKERS, Buffer.from("x"));
      await expectAnswer(raw, to, Buffer.from("y"));
      assert.equal((await raw.response()).status, 101);
      const welcome = await raw.message();
      assert.equal(welcome.type, "welcome");
      raw.json({ type: "subscribe", channel: `c${to}`, id: 1 });
      assert.equal((await raw.message()).type, "subscribed");
      const data = "z".repeat(150000);
      raw.json({ type: "publish", channel: `c${to}`, data });
      assert.equal((await raw.message()).data, data);
      raws.push(raw);
    }
    // They are sent away politely, through whatever carries them, before anybody ends.
    process.kill(broker.pid, "SIGTERM");
    for (const raw of raws) {
      const close = await raw.frame(10000);
      assert.equal(close.code, 1012);
      raw.send({ opcode: OP.CLOSE, payload: close.payload });
      assert.equal((await raw.rest()).length, 0);
    }
    assert.deepEqual(await broker.exited, { code: 0, signal: null });
  });

  testBroker(`${way.name}: workers are killed while connections go back and forth`, { workers: WORKERS, config: await way.config(), env: way.env, timeout: 90000 }, async (broker) => {
    let ends = 0;
    let running = true;
    let answered = 0;
    const talkers = Array.from({ length: 12 }, async () => {
      while (running) {
        const raw = await way.open(broker).catch(() => undefined);
        if (!raw) continue;
        try {
          for (let i = 0; i < 50 && running; i++, answered++) {
            const [to, body] = [below(WORKERS), some(below(3000))];
            raw.write(post(to, body));
            await expectAnswer(raw, to, body);
          }
        } catch (error) {
          if (!/the connection ended|^503 .*No such process/.test(error.message)) {
            running = false;
            throw error;
          }
          ends++; // it was with the one that died, or was to go there
        }
        raw.end();
      }
    });
    for (let i = 0; i < 4; i++) {
      const from = answered;
      await until("there is traffic", () => answered > from + 200 || !running);
      const pid = broker.kill("SIGKILL", i);
      await until("there is a successor", () => ![undefined, pid].includes(broker.pids().workers[i]) || !running);
      await until("it is ready", async () => (await broker.status()).processes.every((row) => row.state === "ready") || !running);
    }
    const from = answered;
    await until("there is traffic again", () => answered > from + 500 || !running);
    running = false;
    await Promise.all(talkers);
    assert.ok(ends > 0, "some connections were with those that died");
    await until("every connection is gone", async () => (await broker.metrics())("ringcast_sockets") === 1, { every: 50 });
  });
}

testBroker("what a pipe holds is bounded while its client does not read, or the other worker does not", { workers: WORKERS, config: await secure() }, async (broker) => {
  const [count, bound] = [8, 2 * 131072]; // each way 64 KiB and one receive, in blocks of a power of two
  const before = descriptors(broker);
  const raws = await Promise.all(Array.from({ length: count }, () => openTls(broker)));
  for (const raw of raws) {
    raw.socket.pause();
    for (let i = 0; i < 4; i++) raw.write(post(0, some(900000)));
  }
  // Worker 0 has the answers; the others have pipes to it, and some of the clients are its own.
  const metrics = await until("worker 0 is held up", async () => {
    const now = await broker.metrics();
    return now("ringcast_reply_bytes", 0) > 900000 && now("ringcast_pipes") > 0 && now;
  }, { every: 50 });
  for (const worker of [1, 2, 3]) {
    assert.ok(metrics("ringcast_reply_bytes", worker) <= bound * metrics("ringcast_pipes", worker), `worker ${worker} holds ${metrics("ringcast_reply_bytes", worker)}`);
  }
  const pid = await stopped(broker, 0);
  const asked = raws.map((raw) => raw.write(post(0, some(900000))));
  assert.equal(asked.length, count);
  process.kill(pid, "SIGCONT");
  for (const raw of raws) {
    raw.socket.resume();
    for (let i = 0; i < 5; i++) assert.equal((await raw.response({ timeout: 20000 })).body.length, 900000);
    raw.end();
  }
  await expectSettled(broker, before);
});

const stopped = async (broker, worker) => {
  const pid = broker.kill("SIGSTOP", worker);
  await until("it is stopped", () => /State:\s+T/.test(readStatus(pid)));
  return pid;
};
const readStatus = (pid) => readFileSync(`/proc/${pid}/status`, "latin1");

/* Connections that are not with worker `not`: a request has been answered by another one. */
async function connectionsBeside(broker, not, count) {
  return Promise.all(Array.from({ length: count }, async () => {
    const raw = await connectRaw(broker.address);
    const to = (not + 1) % WORKERS;
    raw.write(post(to, Buffer.from("a")));
    await expectAnswer(raw, to, Buffer.from("a"));
    return raw;
  }));
}

testBroker("what waits in the inbox of a worker that dies is answered by its successor", { workers: WORKERS, config }, async (broker) => {
  const raws = await connectionsBeside(broker, 2, 20);
  const before = (await broker.metrics())("ringcast_connections_handed_out_total");
  await stopped(broker, 2);
  for (const raw of raws) raw.write(post(2, Buffer.from("for the successor")));
  const out = async () => {
    // The question may come to the stopped worker.
    const metrics = await broker.metrics();
    return metrics("ringcast_connections_handed_out_total") >= before + raws.length;
  };
  await until("they wait in its inbox", out, { every: 50 });
  broker.kill("SIGKILL", 2);
  for (const raw of raws) {
    await expectAnswer(raw, 2, Buffer.from("for the successor"));
    raw.end();
  }
});

testBroker("a full inbox: 503 after a second of trying, and the others go on", { workers: WORKERS, config: { ...config, "server.stuck_kill_timeout": "60s" }, timeout: 60000 }, async (broker) => {
  const raws = await connectionsBeside(broker, 2, 400);
  const beside = raws.splice(-3);
  const pid = await stopped(broker, 2);
  for (const raw of raws) raw.write(post(2, some(6000)));
  const answers = raws.map((raw) => raw.response({ timeout: 25000 }));
  const refused = await Promise.race(answers);
  assert.equal(refused.status, 503);
  assert.equal(refused.headers["retry-after"], "1");
  for (const raw of beside) {
    raw.write(post(0, Buffer.from("b")));
    await expectAnswer(raw, 0, Buffer.from("b"));
    raw.end();
  }
  process.kill(pid, "SIGCONT");
  await Promise.all(answers);
  const metrics = await broker.metrics();
  assert.ok(metrics("ringcast_handovers_failed_total") > 0);
  assert.equal(metrics("ringcast_handovers_lost_total"), 0);
  for (const raw of raws) raw.end();
});
