// The ways to Redis: TLS with a client certificate, a Unix socket, an ACL user, a database, a prefix, old protocols.
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { confirmed, makeCertificates, redisHealth, startRedis, subscribers, testRedis, until } from "./lib/redis.mjs";
import { run, startBroker } from "./lib/broker.mjs";

async function cross(brokers) {
  const [one, two] = [await brokers[0].connect(), await brokers.at(-1).connect()];
  await confirmed(one, "room:1");
  await two.publish("room:1", "hello");
  assert.equal((await one.next()).data, "hello");
  await two.direct(one.id, "direct");
  assert.equal((await one.next("direct")).data, "direct");
}

const certificates = makeCertificates();
process.on("exit", () => certificates.destroy());
const tls = {
  "redis.tls_ca": certificates.ca,
  "redis.tls_certificate": certificates.client.cert,
  "redis.tls_key": certificates.client.key,
};

testRedis("rediss:// with our own authority, a client certificate and SNI", {
  start: () => startRedis({ tls: certificates.server }),
  url: (redis) => `rediss://localhost:${redis.port}`,
  config: tls,
}, async ({ brokers, redis }) => {
  await cross(brokers);
  await redis.kill();
  await Promise.all(brokers.map((broker) => redisHealth(broker, 503)));
  await redis.start();
  for (const broker of brokers) await redisHealth(broker, 200);
  await cross(brokers);
});

testRedis("an address is checked against the certificate as well", {
  brokers: 1,
  start: () => startRedis({ tls: certificates.server }),
  url: (redis) => `rediss://127.0.0.1:${redis.port}`,
  config: tls,
}, ({ brokers }) => cross(brokers));

for (const [what, config, reason] of [
  ["an unknown authority", { "redis.tls_certificate": tls["redis.tls_certificate"], "redis.tls_key": tls["redis.tls_key"] }, /certificate/],
  ["a name that the certificate does not carry", { ...tls, "redis.tls_server_name": "elsewhere.example" }, /certificate/],
  ["no client certificate", { "redis.tls_ca": certificates.ca }, /./],
]) {
  testRedis(`refused: ${what}`, {
    brokers: 1,
    ready: false,
    start: () => startRedis({ tls: certificates.server }),
    url: (redis) => `rediss://localhost:${redis.port}`,
    config,
  }, async ({ brokers: [a] }) => {
    await until("health tells why", async () => reason.test((await redisHealth(a, 503)).error ?? "")); // before that it only connects
    await new Promise((done) => setTimeout(done, 300));
    assert.equal((await a.get("/health/redis")).status, 503);
    const client = await a.connect();
    assert.equal((await client.subscribe("x")).scope, "local");
  });
}

const folder = mkdtempSync(join(tmpdir(), "ringcast-tls-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const renewable = join(folder, "client.pem");
const strangers = makeCertificates();
process.on("exit", () => strangers.destroy());

testRedis("a reload reads redis.tls_* again, for the next connection", {
  brokers: 1,
  start: () => {
    copyFileSync(certificates.client.cert, renewable);
    return startRedis({ tls: certificates.server });
  },
  url: (redis) => `rediss://localhost:${redis.port}`,
  config: { ...tls, "redis.tls_certificate": renewable },
}, async ({ brokers: [a], redis }) => {
  const lost = async () => {
    await redis.kill();
    await redisHealth(a, 503);
    await redis.start();
  };
  const reload = async (config, expected) => {
    a.writeConfig({ ...a.config, ...config });
    const { code, stdout, stderr } = await run(["reload", "-c", a.configPath]);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stdout, /restart/);
    assert.match(stdout, expected);
    assert.equal((await a.get("/health/redis")).status, 200, "the connection stays as it was");
  };
  // Who ends it depends on whose certificate is wrong; a server that refuses ours just closes, as the one did that was killed, and the
  // log says nothing twice. One that is not there yet is no answer.
  const refused = async (why) => {
    const failures = async () => (await a.metrics())("ringcast_redis_failures_total");
    const before = await failures();
    await until("connections fail", async () => {
      const { latest_error: error } = await redisHealth(a, 503);
      return (await failures()) >= before + 2 && !/refused/.test(error) && why.test(error);
    });
  };
  // That it expires within two weeks is told, as of the certificates of listeners.
  const soon = /client\.pem expires in 4[678] hours/;
  const left = async (file = renewable) => (await a.metrics())(`ringcast_certificate_not_after_seconds{certificate="${file}"}`) - Date.now() / 1000;
  assert.ok((await left(tls["redis.tls_ca"])) > 3600, "its authority's, too");
  assert.match((await run(["check", a.configPath])).stderr, /redis\.tls_certificate: \S*client\.pem expires in 4[678] hours: renew it/);
  await until("it was said at the start", () => a.log.some((line) => /config_warning/.test(line) && soon.test(line)));
  for (const command of [["status"], ["top", "--once", "--interval", "0.1"]]) assert.match((await run([...command, "-c", a.configPath], { env: a.env })).stdout, soon);
  assert.ok(Math.abs((await left()) - 2 * 86400) < 3600, String(await left()));
  // Keys: a name that the server's certificate does not carry, then no name again.
  await reload({ "redis.tls_server_name": "elsewhere.example" }, /changed: redis\.tls_server_name/);
  await lost();
  await refused(/certificate/);
  a.writeConfig(a.config);
  process.kill(a.pid, "SIGHUP");
  await redisHealth(a, 200);
  // What a file holds: the certificate and key of an authority that the server does not know, then the right ones again.
  copyFileSync(strangers.client.cert, renewable);
  await reload({ "redis.tls_key": strangers.client.key }, /changed files, read again: \S*client\.pem/);
  await lost();
  await refused(/./);
  copyFileSync(certificates.client.cert, renewable);
  a.writeConfig(a.config);
  process.kill(a.pid, "SIGHUP");
  await redisHealth(a, 200);
  // One that cannot be used: the former one stays in use.
  writeFileSync(renewable, "nothing of use");
  await reload({}, /read again/);
  await until("it is logged", () => a.log.some((line) => /redis_tls_refused .*tls_certificate/.test(line)));
  assert.ok(Math.abs((await left()) - 2 * 86400) < 3600, "of the one in use");
  await lost();
  await redisHealth(a, 200);
  await cross([a]);
});

testRedis("unix://, a database and a prefix", {
  start: async () => {
    const redis = await startRedis();
    await redis.kill();
    redis.args = ["--unixsocket", join(redis.folder, "redis.sock")];
    return redis.start();
  },
  url: (redis) => `unix://${redis.folder}/redis.sock?db=3`,
  config: { "redis.prefix": "app[1]:*:" },
}, async ({ brokers, redis }) => {
  await cross(brokers);
  assert.equal(await subscribers(redis, "app[1]:*:ws:channel:room:1"), 1);
  const client = await brokers[0].connect();
  await redis.publish("ws:broadcast", { payload: "without prefix" });
  await redis.publish("app[1]:*:ws:broadcast", { payload: "with" });
  assert.equal((await client.next()).data, "with");
  assert.match((await redis.command("CLIENT", "LIST")), /db=3.*name=ringcast:node-0|name=ringcast:node-0.*db=3/);
});

testRedis("an ACL user with exactly the rights that docs/redis.md names", {
  start: async () => {
    const redis = await startRedis();
    await redis.command("ACL", "SETUSER", "ring", "on", ">p%40ss:/w?rd", "allchannels", "~*", "+@connection", "+@pubsub", "+@read", "+@write", "+@scripting", "+@fast", "-@dangerous", "+role");
    return redis;
  },
  url: (redis) => `redis://ring:p%2540ss%3A%2Fw%3Frd@127.0.0.1:${redis.port}/0`,
}, ({ brokers }) => cross(brokers));

testRedis("a server without HELLO gets RESP2", {
  start: () => startRedis({ args: ["--rename-command", "HELLO", ""] }),
}, async ({ brokers, redis }) => {
  await until("the log says so", () => /redis_connected .*resp=2/.test(brokers[0].log.join("\n")));
  await cross(brokers);
  await redis.kill();
  await Promise.all(brokers.map((broker) => redisHealth(broker, 503)));
  await redis.start();
  for (const broker of brokers) await redisHealth(broker, 200);
  await cross(brokers);
});

testRedis("a TLS file that is not there leaves the broker in local-only mode and says so", { brokers: 0 }, async () => {
  const broker = await startBroker({ workers: 1, config: { "redis.url": "rediss://127.0.0.1:1", "redis.tls_ca": "/nonexistent/ca.pem" } });
  try {
    await until("health tells why", async () => /tls_ca/.test((await redisHealth(broker, 503)).error ?? ""));
    const client = await broker.connect();
    await client.subscribe("x");
    await client.publish("x", 1);
    assert.equal((await client.next()).data, 1);
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});
