// The files of deploy/ for several hosts of Socket.IO clients, with the real nginx and HAProxy in front of two instances and real
// clients: sticky by the session's id and cookie, and a plain round robin with cluster.advertise.
import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { io } from "socket.io-client";
import { startBroker } from "./lib/broker.mjs";
import { PROXY, adapt, haproxy, nginx, shipped, withHaproxy, withNginx } from "./lib/proxy.mjs";
import { NO_REDIS, startRedis } from "./lib/redis.mjs";
import { ask, openPolling } from "./lib/socketio.mjs";
import { FOLDER, certificate } from "./lib/tls.mjs";
import { SLOWER, freePort, until, within } from "./lib/util.mjs";

const PATH = "/socket.io/";
const server = certificate("sticky");
const CLIENTS = 12;
const rows = [
  { on: "join", join: ["{args.0}"], ack: ["joined"] },
  { on: "say", emit: [{ to: "{args.0}", event: "said", args: ["{args.1..}"] }], ack: ["{args}"] },
];

const configOf = (id, redis, advertise) => (host) => ({
  "redis.url": redis.url,
  "server.instance_id": id,
  "socketio.path": PATH,
  "socketio.cookie": "io",
  "http.trusted_proxies": [PROXY, "127.0.0.1"],
  "cluster.heartbeat_interval": "200ms",
  ...(advertise ? { "cluster.advertise": host } : {}),
  event: rows,
  namespace: [{ name: "default", publish: "anyone" }],
});

const sidsOf = (broker) => broker.log.map((line) => / running .* sids=(\S{5})/.exec(line)?.[1]).find(Boolean);

const nginxText = ([one, two], port, home) => adapt(shipped("nginx/ringcast-socketio.conf"), [
  ["10.0.0.1:8080 ", `${one.host} `], ["10.0.0.2:8080 ", `${two.host} `],
  ["~^AbCdE ", `~^${sidsOf(one)} `], ["~^FgHiJ ", `~^${sidsOf(two)} `],
  ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl; proxy_bind ${PROXY};`],
  ["/etc/nginx/ringcast.crt", join(FOLDER, "sticky.crt")], ["/etc/nginx/ringcast.key", join(FOLDER, "sticky.key")],
  ["proxy_pass http://$ringcast_home;", `proxy_pass http://${home};`],
]);

const haproxyText = ([one, two], port, home) => adapt(shipped("haproxy/ringcast-socketio.cfg"), [
  ["10.0.0.1:8080 check inter 2s", `${one.host} check inter 2s source ${PROXY}`], ["10.0.0.2:8080 check inter 2s", `${two.host} check inter 2s source ${PROXY}`],
  ["bind :443 ssl", `bind 127.0.0.1:${port} ssl`], ["/etc/haproxy/ringcast.pem", server.path],
  ["maxconn 100000", "maxconn 1000"], ["    use_backend ringcast_sessions", `    use_backend ${home}`],
]);

const ways = {
  nginx: { program: nginx, through: (brokers, port, sticky, body) => withNginx("http", nginxText(brokers, port, sticky ? "$ringcast_home" : "ringcast_any"), port, body) },
  HAProxy: { program: haproxy, through: (brokers, port, sticky, body) => withHaproxy(haproxyText(brokers, port, sticky ? "ringcast_sessions" : "ringcast_any"), port, body) },
};

const total = async (brokers, name) => (await Promise.all(brokers.map((broker) => broker.metrics()))).reduce((sum, metrics) => sum + metrics(name), 0);

/* Clients that poll, upgrade, or begin as WebSockets, in one room: each hears all of them, nobody is sent away. */
async function converse(port) {
  const faults = [];
  const clients = Array.from({ length: CLIENTS }, (_, i) => {
    const transports = [["polling"], ["polling", "websocket"], ["websocket"]][i % 3];
    const socket = io(`https://127.0.0.1:${port}`, { transports, forceNew: true, reconnection: false, rejectUnauthorized: false, timeout: 20000 * SLOWER });
    socket.heard = new Set();
    socket.on("said", (who) => socket.heard.add(who));
    socket.on("disconnect", (reason) => socket.ending || faults.push(`client ${i}: ${reason}`));
    socket.on("connect_error", (error) => faults.push(`client ${i}: ${error.message}`));
    return socket;
  });
  try {
    const asked = (socket, ...args) => within(20000, new Promise((done) => socket.emit(...args, done)), args[0]);
    await until("all are connected", () => faults.length > 0 || clients.every(({ connected }) => connected), { timeout: 20000, every: 50 });
    assert.deepEqual(faults, []);
    await Promise.all(clients.map((socket) => asked(socket, "join", "room")));
    for (let round = 0; round < 5; round++) await Promise.all(clients.map((socket, i) => asked(socket, "say", "room", `${i} ${round}`)));
    await until("all have heard all", () => faults.length > 0 || clients.every(({ heard }) => heard.size === 5 * CLIENTS), { timeout: 20000, every: 50 });
    assert.deepEqual(faults, []);
    await until("who may upgrade has", () => clients.every(({ io: { engine } }, i) => engine.transport.name === (i % 3 === 0 ? "polling" : "websocket")), { every: 50 });
    return clients.map(({ io: { engine } }) => engine.id.slice(0, 5));
  } finally {
    for (const socket of clients) {
      socket.ending = true;
      socket.disconnect();
    }
  }
}

for (const [name, { program, through }] of Object.entries(ways)) {
  for (const sticky of [true, false]) {
    const title = `${name}, ${sticky ? "sticky by the session" : "a round robin with cluster.advertise"}`;
    test(title, { skip: NO_REDIS || (program ? false : `${name} is not installed`) }, async () => {
      const redis = await startRedis();
      const brokers = [];
      try {
        for (const id of ["one", "two"]) brokers.push(await startBroker({ workers: 2, config: configOf(id, redis, !sticky) }));
        if (!sticky) {
          const serverOf = ({ port }) => ({ port, path: PATH });
          for (const [i, broker] of brokers.entries()) {
            const session = await openPolling(serverOf(brokers[1 - i]));
            await until("the other instance is reached", async () => (await ask(serverOf(broker), "POST", session.url(), { body: "3" })).status === 200, { every: 50 });
          }
        }
        const port = await freePort();
        const before = await total(brokers, "ringcast_crossings_total");
        await through(brokers, port, sticky, async () => {
          const sids = await converse(port);
          assert.deepEqual([...new Set(sids)].sort(), brokers.map(sidsOf).sort(), "both instances have sessions, which say whose they are");
        });
        const crossed = (await total(brokers, "ringcast_crossings_total")) - before;
        assert.ok(sticky ? crossed === 0 : crossed > 0, `${crossed} requests crossed`);
        for (const broker of brokers) await broker.stop();
      } catch (error) {
        for (const broker of brokers) console.error(`--- ${title} failed. A broker's log:\n${broker.log.slice(-20).join("\n")}\n---`);
        throw error;
      } finally {
        for (const broker of brokers) await broker.destroy();
        await redis.destroy();
      }
    });
  }
}
