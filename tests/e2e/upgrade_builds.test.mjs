// ringcast upgrade to builds with other configuration keys and other metrics, and back: everything goes over by its name.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { readlinkSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";
import { after } from "node:test";
import { run, testBroker } from "./lib/broker.mjs";
import { CROWD_CONFIG, Crowd, killWorker } from "./lib/crowd.mjs";
import { CA_FILE, certificate } from "./lib/tls.mjs";
import { buildCopy, buildVariant } from "./lib/upgrade.mjs";
import { BIN_DIR, delay, random, until } from "./lib/util.mjs";

const programOf = (pid) => readlinkSync(`/proc/${pid}/exe`);
const NAMESPACES = { namespace: [{ name: "news", publish: "anyone", min_interval: "1ms" }, { name: "crowd", publish: "anyone" }] };

/* Reads /metrics all the time, from whichever worker it comes to: no counter may ever go back. What the kernel counts of a process begins anew
 * with each process. */
class Watcher {
  constructor(broker) {
    this.broker = broker;
    this.seen = new Map();
    this.rounds = 0;
    this.wrong = [];
    this.done = this.#watch();
  }

  async #watch() {
    while (!this.ending) {
      const { text } = await this.broker.metrics();
      const counts = new Set([...text.matchAll(/^# TYPE (\S+) (?:counter|histogram)$/gm)].map(([, name]) => name));
      for (const [, series, name, value] of text.matchAll(/^(([a-zA-Z_:][\w:]*)(?:\{.*\})?) (\S+)$/gm)) {
        if (name.startsWith("process_") || !counts.has(name.replace(/_(bucket|sum|count)$/, "")) && !counts.has(name)) continue;
        const before = this.seen.get(series) ?? 0;
        if (Number(value) < before) this.wrong.push(`${series}: ${value} after ${before}`);
        this.seen.set(series, Number(value));
      }
      this.rounds++;
      await delay(20);
    }
  }

  async more() {
    const from = this.rounds;
    await until("two more rounds", () => this.rounds >= from + 2, { timeout: 30000 });
  }

  async end() {
    this.ending = true;
    await this.done;
    assert.deepEqual(this.wrong, []);
    assert.ok(this.seen.size > 100, `${this.seen.size} series were looked at`);
  }
}

async function begin(broker, options = {}) {
  const crowd = new Crowd(broker, { random: random(), channel: "crowd:all", ...options });
  await crowd.begin();
  await crowd.more(50);
  return { crowd, watcher: new Watcher(broker) };
}

async function end(crowd, watcher) {
  await crowd.more(50);
  await watcher.more();
  await watcher.end();
  assert.equal(await crowd.end(), 0, "nobody was disconnected");
  assert.equal(crowd.closedPublishers, 0);
}

/* By its socket: the file may have keys that the caller's program does not know. */
const ask = (broker, ...words) => run([...words, "--socket", broker.config["server.control_socket"]], { env: broker.env, timeout: 60000 });
const reload = (broker) => ask(broker, "reload");
const upgrade = (broker, folder) => ask(broker, "upgrade", "--binary-dir", folder);

async function upgraded(broker, folder) {
  const result = await upgrade(broker, folder);
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}\n${broker.log.slice(-30).join("\n")}`);
  return result.stdout;
}

testBroker("to a build with other keys and metrics and back: nobody is disconnected, nothing lost or twice, counters go on, and so does the configuration in force", { workers: 2, timeout: 240000, config: { ...CROWD_CONFIG, ...NAMESPACES } }, async (broker) => {
  const { crowd, watcher } = await begin(broker);
  const client = await broker.connect();
  await client.subscribe("news:1");
  // What needs a restart waits for it, in whichever build.
  const file = { ...broker.config, "server.ring_size": "8MiB", "limits.max_channels": 321 };
  broker.writeConfig(file);
  assert.match((await reload(broker)).stdout, /changed: limits\.max_channels\n[^]*server\.ring_size changed: restart to apply/);
  const accepted = async () => (await broker.metrics())("ringcast_publishes_total");
  let before = await accepted();
  const variant = buildVariant();

  const text = await upgraded(broker, variant);
  assert.match(text, /^build +in place +configuration, keys, metrics: of another version, go over by their names$/m);
  assert.match(text, /acceptor was changed/);
  for (const pid of [broker.pid, ...broker.pids().all]) assert.ok(programOf(pid).startsWith(variant), programOf(pid));
  await crowd.more(50);
  let metrics = await broker.metrics();
  assert.match(metrics.text, /^ringcast_variant_total/m);
  assert.equal(metrics("ringcast_upgrades_total"), 1);
  assert.ok(metrics("ringcast_publishes_total") >= before + 50, "it goes on from what it was");
  before = metrics("ringcast_publishes_total");
  // The same file changes nothing, and one with a key of the new build that key.
  assert.match((await reload(broker)).stdout, /changed: nothing\n[^]*server\.ring_size changed: restart to apply/);
  broker.writeConfig({ ...file, "limits.variant_only": 9, "limits.max_channels": 322 });
  assert.match((await reload(broker)).stdout, /changed: limits\.variant_only, limits\.max_channels\n/);
  await client.publish("news:1", "there");
  assert.equal((await client.next("message")).data, "there", "indices of namespaces mean the same");

  // Back: the file must be right for the old one; what is in force of the new one's keys is let go.
  const refused = await upgrade(broker, BIN_DIR);
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /^configuration +refused[^]*nothing has changed/m);
  broker.writeConfig({ ...file, "limits.max_channels": 323 });
  await upgraded(broker, BIN_DIR);
  for (const pid of [broker.pid, ...broker.pids().all]) assert.ok(programOf(pid).startsWith(BIN_DIR), programOf(pid));
  await crowd.more(50);
  metrics = await broker.metrics();
  assert.doesNotMatch(metrics.text, /ringcast_variant_total/);
  assert.equal(metrics("ringcast_upgrades_total"), 2);
  assert.equal(metrics("ringcast_upgrades_failed_total"), 1);
  assert.ok(metrics("ringcast_publishes_total") >= before + 50);
  assert.match((await reload(broker)).stdout, /changed: limits\.max_channels\n/);
  await client.publish("news:1", "and back");
  assert.equal((await client.next("message")).data, "and back");
  assert.equal((await broker.status()).processes.reduce((sum, row) => sum + (row.restarts ?? 0), 0), 0);
  await end(crowd, watcher);
  assert.equal(client.isClosed, false);
});

testBroker("an upgrade that stops half way: both builds run beside each other, a worker and the relay that die come back as the new one, and it is repeated", { workers: 2, timeout: 240000, config: { ...CROWD_CONFIG, ...NAMESPACES } }, async (broker) => {
  // Publishers that are being served when their worker dies may end.
  const { crowd, watcher } = await begin(broker, { publishers: 2 });
  const variant = buildVariant({ fails: "standby" });
  const result = await upgrade(broker, variant);
  assert.equal(result.code, 1);
  assert.match(result.stdout, /the successor of worker 0 has ended[^]*the upgrade is not complete/);
  const mixed = broker.pids();
  assert.ok(programOf(broker.pid).startsWith(variant) && programOf(mixed.relay).startsWith(variant));
  for (const pid of mixed.workers) assert.ok(programOf(pid).startsWith(BIN_DIR), programOf(pid));
  await crowd.more(50);
  await watcher.more();
  // Old workers could not read what a reload says.
  broker.writeConfig({ ...broker.config, "limits.max_channels": 55 });
  const reloaded = await reload(broker);
  assert.equal(reloaded.code, 1);
  assert.match(reloaded.stdout + reloaded.stderr, /worker 0 still runs with the configuration of another version: repeat `ringcast upgrade`/);
  await broker.killRelay();
  await crowd.more(50);
  rmSync(join(variant, "fails"));
  await killWorker(broker, 0);
  assert.ok(programOf(broker.pids().workers[0]).startsWith(variant));
  assert.ok(programOf(broker.pids().workers[1]).startsWith(BIN_DIR));
  assert.equal((await broker.metrics())("ringcast_worker_adoptions_total"), 1);
  assert.equal((await broker.metrics())("ringcast_worker_adoptions_failed_total"), 0);
  await crowd.more(50);
  await watcher.more();
  await upgraded(broker, variant);
  for (const pid of broker.pids().all) assert.ok(programOf(pid).startsWith(variant), programOf(pid));
  assert.match((await reload(broker)).stdout, /changed: limits\.max_channels/);
  await crowd.more(50);
  await watcher.more();
  await watcher.end();
  assert.equal(await crowd.end(), 0, "no listener was disconnected");
});

for (const fails of ["check", "exec", "exec late", "relay standby", "adopting"]) {
  testBroker(`programs of another build that fail at "${fails}": the old ones go on, though they could not read the file`, { workers: 2, timeout: 180000, config: { ...CROWD_CONFIG, ...NAMESPACES } }, async (broker) => {
    const { crowd, watcher } = await begin(broker, { listeners: 4, publishers: 2 });
    const variant = buildVariant({ fails });
    const workers = broker.pids().workers;
    broker.writeConfig({ ...broker.config, "limits.variant_only": 9 });
    const result = await upgrade(broker, variant);
    assert.equal(result.code, 1, result.stdout);
    const gone = ["relay standby", "adopting"].includes(fails);
    assert.equal(programOf(broker.pid), join(gone ? variant : BIN_DIR, "ringcast"));
    assert.deepEqual(broker.pids().workers, workers);
    await crowd.more(50);
    await watcher.more();
    rmSync(join(variant, "fails"));
    await upgraded(broker, variant);
    for (const pid of broker.pids().all) assert.ok(programOf(pid).startsWith(variant), programOf(pid));
    assert.match((await reload(broker)).stdout, /changed: limits\.variant_only/);
    await end(crowd, watcher);
  });
}

testBroker("three builds in a row without an end in between: what one could not hand over the next one does", { workers: 2, timeout: 240000, config: { ...CROWD_CONFIG, ...NAMESPACES } }, async (broker) => {
  const { crowd, watcher } = await begin(broker, { listeners: 4, publishers: 2 });
  const half = await upgrade(broker, buildVariant({ fails: "standby" }));
  assert.equal(half.code, 1, half.stdout);
  const other = buildCopy();
  await upgraded(broker, other); // back over a broker of two builds
  for (const pid of broker.pids().all) assert.ok(programOf(pid).startsWith(other), programOf(pid));
  broker.writeConfig({ ...broker.config, "limits.max_channels": 66 });
  assert.match((await reload(broker)).stdout, /changed: limits\.max_channels/);
  await end(crowd, watcher);
});

testBroker("places for workers that are not in use hold nothing up, and are there afterwards", { workers: 2, timeout: 120000, config: { ...CROWD_CONFIG, ...NAMESPACES, "server.max_workers": 3 } }, async (broker) => {
  const { crowd, watcher } = await begin(broker, { listeners: 4, publishers: 2 });
  await upgraded(broker, buildVariant());
  const more = await ask(broker, "workers", "3");
  assert.equal(more.code, 0, more.stdout + more.stderr);
  await until("three workers", () => broker.pids().workers.filter(Boolean).length === 3);
  await upgraded(broker, BIN_DIR);
  for (const pid of broker.pids().all) assert.ok(programOf(pid).startsWith(BIN_DIR), programOf(pid));
  await end(crowd, watcher);
});

/* RFC 7515, ES256. */
function tokenOf(privateKey, claims) {
  const text = [{ alg: "ES256", typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const jwks = createServer(certificate("localhost"), (request, response) => response.end(JSON.stringify({ keys: [publicKey.export({ format: "jwk" })] })));
jwks.listen(0, "127.0.0.1");
await once(jwks, "listening");
after(() => jwks.close());

testBroker("what limits have counted, and keys that were fetched, go over as well", {
  workers: 2,
  timeout: 120000,
  config: {
    "debug.user_query": "user",
    "limits.max_connections_per_user": 3,
    namespace: [{ name: "a", publish_rate: "100/24h" }],
    identity: [{ name: "url", kind: "jwt", from: ["query.token"], jwks_url: `https://localhost:${jwks.address().port}/`, jwks_ca: CA_FILE }],
  },
}, async (broker) => {
  const clients = [];
  for (let i = 0; i < 3; i++) clients.push(await broker.connect({ path: "/ws?user=u1" }));
  const passed = async (count) => {
    const answers = await Promise.all(Array.from({ length: count }, (_, i) => clients[i % 3].request({ type: "publish", channel: "a:1", data: i })));
    return answers.filter(({ type }) => type !== "error").length;
  };
  const full = () => assert.rejects(broker.connect({ path: "/ws?user=u1" }), /429/);
  await until("keys are there", () => broker.log.some((line) => /jwks_fetched .*keys=1/.test(line)), { timeout: 20000 });
  jwks.closeAllConnections();
  jwks.close(); // from here on there is nobody to ask
  const token = tokenOf(privateKey, { sub: "somebody", exp: Math.floor(Date.now() / 1000) + 3600 });
  await (await broker.connect({ path: `/ws?token=${token}` })).close();
  assert.equal(await passed(60), 60);
  await full();
  for (const folder of [buildVariant(), BIN_DIR]) {
    await upgraded(broker, folder);
    await full();
    await (await broker.connect({ path: `/ws?token=${token}` })).close();
    await assert.rejects(broker.connect({ path: `/ws?token=${token}x` }), /401/);
  }
  assert.equal(await passed(100), 40);
  for (const client of clients) assert.equal(client.isClosed, false);
});
