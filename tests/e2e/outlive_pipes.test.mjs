// Connections that are piped to the worker that has their session (TLS, or a kernel that makes no descriptor of them) outlive both workers.
import assert from "node:assert/strict";
import { run, testBroker } from "./lib/broker.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { handedOver } from "./lib/outlive.mjs";
import { connectRaw, upgradeRequest } from "./lib/raw.mjs";
import { EngineSocket, keepAliveAgent, openPolling, workerOfSid } from "./lib/socketio.mjs";
import { CROWD_SOCKETIO } from "./lib/socketio_crowd.mjs";
import { certificate, connectRawTls } from "./lib/tls.mjs";
import { freePort, until } from "./lib/util.mjs";

const PATH = "/socket.io/";
const PIPED = 3;
const port = await freePort();
const kinds = {
  "TLS 1.3": {
    config: { "tls.listen": [`127.0.0.1:${port}`], "tls.certificates": [certificate("server").path] },
    connect: () => connectRawTls(port),
  },
  "plain, on a kernel that makes no descriptor of them": {
    env: { RINGCAST_KERNEL_WITHOUT: "fd_install" },
    connect: (broker) => connectRaw({ host: "127.0.0.1", port: broker.port }),
  },
};

/* A session that began by polling, on one connection, and its WebSocket, which has been probed: { sid, socket, agent }. */
async function probed(broker, kind) {
  const agent = keepAliveAgent();
  const polling = await openPolling({ host: broker.host, port: broker.port, path: PATH }, { agent });
  await polling.send("40");
  const [connected] = await polling.packets(1);
  const raw = await kind.connect(broker);
  broker.connections.add({ terminate: () => raw.end() });
  raw.write(upgradeRequest(`${PATH}?EIO=4&transport=websocket&sid=${polling.sid}`, { Host: "localhost" }));
  const response = await raw.response();
  assert.equal(response.status, 101, response.body);
  const socket = new EngineSocket({}, raw, response);
  socket.answerPings = true;
  socket.send("2probe");
  await socket.expect("3probe");
  return { sid: JSON.parse(connected.slice(2)).sid, socket, agent };
}

/* Clients whose session is at worker 1 and whose WebSocket is at worker 0; nobody else is there. */
async function pipedClients(broker, kind) {
  const kept = [];
  const others = [];
  for (let pipes = 0; kept.length < PIPED; ) {
    const { sid, socket, agent } = await probed(broker, kind);
    const now = (await broker.metrics())("ringcast_pipes", 0);
    if (workerOfSid(sid) === 1 && now > pipes) {
      socket.send("5");
      kept.push(socket);
    } else {
      others.push(socket); // ended now, the next one would come to the same workers
    }
    pipes = now;
    agent.destroy();
  }
  for (const socket of others) socket.end();
  await until("others have gone", async () => (await broker.metrics())("ringcast_pipes") === PIPED);
  return kept;
}

/* All are there, and both ways go. */
let said = 0;
async function talk(clients) {
  for (const socket of clients) {
    socket.send(`420["echo",${++said}]`);
    assert.deepEqual([await socket.next(10000), await socket.next(10000)].sort(), [`42["echo",${said}]`, `430[${said}]`]);
  }
}

async function noneIsLeft(broker, clients) {
  for (const socket of clients) socket.end();
  await until("no pipe is left", async () => (await broker.metrics())("ringcast_pipes") === 0);
}

for (const [name, kind] of Object.entries(kinds)) {
  const options = { workers: 2, timeout: 120000, env: kind.env, config: { ...CROWD_SOCKETIO, ...kind.config } };

  testBroker(`${name}: planned hand-overs of both workers`, options, async (broker) => {
    const clients = await pipedClients(broker, kind);
    for (let round = 0; round < 2; round++) {
      await handedOver(broker, "all");
      await talk(clients);
    }
    const metrics = await broker.metrics();
    assert.deepEqual([metrics("ringcast_pipes", 0), metrics("ringcast_pipes", 1), metrics("ringcast_tls_errors_total")], [PIPED, 0, 0]);
    await noneIsLeft(broker, clients);
  });

  testBroker(`${name}: each worker is killed while they are quiet`, options, async (broker) => {
    const clients = await pipedClients(broker, kind);
    for (const worker of [0, 1, 0]) {
      await killWorker(broker, worker);
      await talk(clients);
    }
    assert.equal((await broker.metrics())("ringcast_not_adopted_sockets_total"), 0);
    await noneIsLeft(broker, clients);
  });
}

/* Echoes, one behind the other, until it is told to end; what is wrong of them ends it. */
async function talksOn(socket, told) {
  for (let n = 0; !told.ending; n++, told.rounds++) {
    socket.send(`42["echo",${n}]`);
    assert.equal(await socket.next(20000), `42["echo",${n}]`);
  }
}

for (const [name, kind] of Object.entries(kinds)) {
  testBroker(`${name}: the worker of the connections is killed while they talk: who it was working for ends at most`, {
    workers: 2, timeout: 120000, env: kind.env, config: { ...CROWD_SOCKETIO, ...kind.config },
  }, async (broker) => {
    const clients = await pipedClients(broker, kind);
    const told = { ending: false, rounds: 0 };
    const failed = [];
    const talking = clients.map((socket) => talksOn(socket, told).catch((error) => failed.push(error)));
    const kills = 5;
    for (let i = 0; i < kills && failed.length < PIPED; i++) {
      const from = told.rounds;
      await until("they talk", () => told.rounds > from + 20 || failed.length === PIPED);
      await killWorker(broker, 0);
    }
    told.ending = true;
    await Promise.all(talking);
    const metrics = await broker.metrics();
    // Seldom is it killed in the middle of one's bytes; each time it ends that one alone, and counts it.
    assert.ok(failed.length <= Math.min(kills, metrics("ringcast_not_adopted_sockets_total")), `${failed.length} of ${PIPED} ended by ${kills} kills: ${failed}`);
    assert.equal(metrics("ringcast_tls_errors_total"), 0);
  });
}

const secure = kinds["TLS 1.3"];
testBroker("TLS 1.3: the worker of the sessions leaves, and they move to where their connections are", {
  workers: 2, timeout: 120000, config: { ...CROWD_SOCKETIO, ...secure.config },
}, async (broker) => {
  const clients = await pipedClients(broker, secure);
  const result = await run(["workers", "1", "-c", broker.configPath], { env: broker.env, timeout: 60000 });
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}`);
  await talk(clients);
  await handedOver(broker, "all");
  await talk(clients);
  const metrics = await broker.metrics();
  // Sessions of those who came to other workers may be there yet, and move as well.
  assert.ok(metrics("ringcast_clients_moved_total") >= PIPED);
  assert.deepEqual([metrics("ringcast_clients_not_taken_total"), metrics("ringcast_pipes")], [0, PIPED]);
  await noneIsLeft(broker, clients);
});
