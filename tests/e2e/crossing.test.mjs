// Two hosts behind a balancer that knows no sessions: whoever is asked for a session of the other one pipes the connection there
// (cluster.advertise). Real Socket.IO clients through a round-robin relay, HAProxy and nginx, and requests by hand for the rest.
import assert from "node:assert/strict";
import { connect as connectSocket, createServer } from "node:net";
import test from "node:test";
import { startBroker } from "./lib/broker.mjs";
import { haproxy, nginx, withHaproxy, withNginx } from "./lib/proxy.mjs";
import { NO_REDIS, startRedis } from "./lib/redis.mjs";
import { ask, keepAliveAgent, openPolling, openUpgrade } from "./lib/socketio.mjs";
import { rows, talk } from "./lib/talk.mjs";
import { SLOWER, freePort, until, within } from "./lib/util.mjs";

const PATH = "/socket.io/";
const UNKNOWN = '{"code":1,"message":"Session ID unknown"}';

const configOf = (id, redis, more = {}) => (host) => ({
  "redis.url": redis.url,
  "server.instance_id": id,
  "socketio.path": PATH,
  "http.trusted_proxies": ["127.0.0.1"],
  "cluster.heartbeat_interval": "200ms",
  "cluster.dead_instance_threshold": "10s",
  "cluster.advertise": host,
  "log.level": "debug",
  event: rows,
  namespace: [{ name: "default", publish: "anyone" }], // which clients behind proxies may not by themselves
  ...more,
});

const serverOf = ({ port, host }) => ({ port, host, path: PATH });

/* Each of these brokers reaches the sessions of the next. */
async function know(...brokers) {
  for (const [i, broker] of brokers.entries()) {
    const session = await openPolling(serverOf(brokers[(i + 1) % brokers.length]));
    await until("the other instance is reached", async () => (await ask(serverOf(broker), "POST", session.url(), { body: "3" })).status === 200, { timeout: 10000, every: 50 });
    await session.post("1");
  }
}

/* testTwo(name, { one, two: configuration besides, unknown: they are not to know each other }, body({ one, two, redis })) */
function testTwo(name, options, body) {
  test(name, { skip: options.skip || NO_REDIS }, async () => {
    const redis = await startRedis();
    const brokers = [];
    try {
      for (const id of ["one", "two"]) brokers.push(await startBroker({ workers: 2, config: configOf(id, redis, options[id]), ready: options.ready?.[id] ?? true }));
      const [one, two] = brokers;
      if (!options.unknown) await know(one, two);
      await within(60000 * SLOWER, body({ one, two, redis }), `the whole test "${name}"`);
      for (const broker of brokers) if (!broker.exit) await broker.stop();
    } catch (error) {
      for (const broker of brokers) console.error(`--- ${name} failed. The log of ${broker.config["server.instance_id"]}:\n${broker.log.slice(-40).join("\n")}\n---`);
      throw error;
    } finally {
      for (const broker of brokers) await broker.destroy();
      await redis.destroy();
    }
  });
}

/* A balancer of TCP connections: the next server, or if it does not answer the one after it. */
async function withRoundRobin(ports, body) {
  const sockets = new Set();
  let next = 0;
  const listener = createServer((near) => {
    sockets.add(near);
    near.on("close", () => sockets.delete(near));
    const begin = (left) => {
      const far = connectSocket({ host: "127.0.0.1", port: ports[next++ % ports.length] });
      far.once("error", () => (left > 0 && far.connecting !== false && !far.bytesRead ? begin(left - 1) : near.destroy()));
      far.once("connect", () => {
        far.removeAllListeners("error");
        far.on("error", () => near.destroy());
        near.pipe(far).pipe(near);
      });
      near.once("error", () => far.destroy());
      near.once("close", () => far.destroy());
    };
    begin(ports.length - 1);
  });
  const port = await freePort();
  await new Promise((done) => listener.listen(port, "127.0.0.1", done));
  try {
    await body(port);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => listener.close(done));
  }
}

const total = async (brokers, name) => {
  const all = await Promise.all(brokers.map((broker) => broker.metrics()));
  return all.reduce((sum, metrics) => sum + metrics(name), 0);
};

async function expectTalk(brokers, port) {
  const before = await total(brokers, "ringcast_crossings_total");
  await talk(port);
  assert.ok((await total(brokers, "ringcast_crossings_total")) > before, "requests crossed");
  assert.equal(await total(brokers, "ringcast_crossings_failed_total"), 0);
  await until("no pipe is left", async () => (await total(brokers, "ringcast_pipes")) === 0, { timeout: 10000, every: 50 });
}

testTwo("real clients through a round robin of TCP connections", {}, ({ one, two }) =>
  withRoundRobin([one.port, two.port], (port) => expectTalk([one, two], port)));

const HAPROXY = (front, [one, two]) => `
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  http-reuse always
frontend clients
  bind 127.0.0.1:${front}
  option forwardfor
  default_backend servers
backend servers
  balance roundrobin
  server one 127.0.0.1:${one}
  server two 127.0.0.1:${two}
`;

testTwo("real clients through HAProxy without stickiness", { skip: !haproxy && "HAProxy is not installed" }, async ({ one, two }) => {
  const front = await freePort();
  await withHaproxy(HAPROXY(front, [one.port, two.port]), front, () => expectTalk([one, two], front));
});

const NGINX = (front, [one, two]) => `
map $http_upgrade $to_upgrade { default upgrade; '' ''; }
upstream servers { server 127.0.0.1:${one}; server 127.0.0.1:${two}; keepalive 16; }
server {
  listen 127.0.0.1:${front};
  location / {
    proxy_pass http://servers;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $to_upgrade;
  }
}`;

testTwo("real clients through nginx with kept connections and without stickiness", { skip: !nginx && "nginx is not installed" }, async ({ one, two }) => {
  const front = await freePort();
  await withNginx("http", NGINX(front, [one.port, two.port]), front, () => expectTalk([one, two], front));
});

testTwo("a kept connection goes back to whoever balances after each piped answer", {}, async ({ one, two }) => {
  const agent = keepAliveAgent();
  const theirs = await openPolling(serverOf(two));
  const ours = await openPolling(serverOf(one));
  for (let i = 0; i < 3; i++) {
    const far = await ask(serverOf(one), "POST", theirs.url(), { agent, body: "3" });
    assert.deepEqual([far.status, far.headers.connection], [200, "close"]);
    const near = await ask(serverOf(one), "POST", ours.url(), { agent, body: "3" });
    assert.deepEqual([near.status, near.headers.connection], [200, "keep-alive"]);
  }
  agent.destroy();
});

testTwo("an upgrade through the other host", {}, async ({ one, two }) => {
  const session = await openPolling(serverOf(two));
  const poll = session.get();
  const socket = await openUpgrade(serverOf(one), session.sid);
  socket.send("2probe");
  await socket.expect("3probe");
  assert.equal((await poll).body, "6", "the poll beside the probe is answered");
  socket.send("5", "40");
  assert.match(await socket.next(), /^40\{"sid":/);
  const long = "x".repeat(300000);
  socket.send(`421["echo","${long}"]`);
  const answers = [await socket.next(), await socket.next()].sort();
  assert.ok(answers[0] === `42["echo","${long}"]` && answers[1] === `431["${long}"]`, "the event comes back, and its acknowledgement");
  assert.equal((await one.metrics())("ringcast_pipes"), 1);
  socket.end();
  await until("the pipe has ended", async () => (await one.metrics())("ringcast_pipes") === 0, { every: 50 });
});

/* A proxy that begins each connection with a PROXY header, in front of a server. */
async function withProxyHeader(port, body) {
  const listener = createServer((near) => {
    const far = connectSocket({ host: "127.0.0.1", port });
    far.write("PROXY TCP4 192.0.2.7 192.0.2.1 1000 80\r\n");
    near.pipe(far).pipe(near);
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
    near.on("close", () => far.destroy());
  });
  const front = await freePort();
  await new Promise((done) => listener.listen(front, "127.0.0.1", done));
  try {
    await body(front);
  } finally {
    await new Promise((done) => listener.close(done));
  }
}

/* Whoever asks it directly must send a header, its own tests' readiness included: it is not waited for but asked through a proxy. */
testTwo("a listener that takes the PROXY protocol", { two: { "server.proxy_protocol": true }, unknown: true, ready: { two: false } }, ({ one, two }) =>
  withProxyHeader(two.port, async (port) => {
    const session = await until("two answers", () => openPolling({ port, path: PATH }).catch(() => undefined), { timeout: 20000, every: 50 });
    await until("two is reached", async () => (await ask(serverOf(one), "POST", session.url(), { body: "40" })).status === 200, { timeout: 10000, every: 50 });
    assert.match((await ask(serverOf(one), "GET", session.url())).body, /^40\{"sid":/);
  }));

testTwo("whoever is killed is lost with its sessions, the others' go on", {}, async ({ one, two }) => {
  const theirs = await openPolling(serverOf(two));
  const ours = await openPolling(serverOf(one));
  const waiting = ask(serverOf(one), "GET", theirs.url()).then(() => "answered", () => "ended");
  await until("it waits there", async () => (await one.metrics())("ringcast_pipes") === 1, { every: 20 });
  await two.destroy();
  assert.equal(await within(5000, waiting, "the waiting poll ends"), "ended");
  await until("two is not reached", async () => {
    const { status, body, headers } = await ask(serverOf(one), "POST", theirs.url(), { body: "3", agent: false });
    return status === 400 && body === UNKNOWN && headers.connection === "close";
  }, { every: 50 });
  assert.ok((await one.metrics())("ringcast_crossings_failed_total") > 0);
  assert.equal((await ours.post("3")).status, 200);
});

testTwo("a wrong address: as an unknown session, counted and told", { two: { "cluster.advertise": "127.0.0.1:1" }, unknown: true }, async ({ one, two }) => {
  const session = await openPolling(serverOf(two));
  const agent = keepAliveAgent();
  await until("the address has come", async () => {
    const answer = await ask(serverOf(one), "POST", session.url(), { body: "3", agent });
    assert.deepEqual([answer.status, answer.body], [400, UNKNOWN]);
    return (await one.metrics())("ringcast_crossings_failed_total") > 0;
  }, { timeout: 10000, every: 50 });
  agent.destroy();
  await until("the log tells", () => one.log.some((line) => /instance_unreachable.*127\.0\.0\.1:1"/.test(line)));
  assert.equal((await session.post("3")).status, 200, "its own host serves it");
});

/* An address that leads back: two's sessions are looked for at one, which asks nobody else. */
test("no loops", { skip: NO_REDIS }, async () => {
  const redis = await startRedis();
  const brokers = [];
  try {
    brokers.push(await startBroker({ workers: 2, config: configOf("one", redis) }));
    const [one] = brokers;
    brokers.push(await startBroker({ workers: 2, config: configOf("two", redis, { "cluster.advertise": one.host }) }));
    const session = await openPolling(serverOf(brokers[1]));
    await until("it was piped once", async () => {
      const answer = await ask(serverOf(one), "POST", session.url(), { body: "3" });
      assert.deepEqual([answer.status, answer.body], [400, UNKNOWN]);
      return (await one.metrics())("ringcast_crossings_total") > 0;
    }, { timeout: 10000, every: 50 });
    const { pipes_opened: opened, crossings } = Object.fromEntries(await Promise.all(["pipes_opened", "crossings"].map(async (name) => [name, (await one.metrics())(`ringcast_${name}_total`)])));
    assert.equal(opened, crossings);
    assert.equal(crossings, 1);
    for (const broker of brokers) await broker.stop();
  } finally {
    for (const broker of brokers) await broker.destroy();
    await redis.destroy();
  }
});
