// Real Redis servers for tests (single, replica with sentinels, Cluster, TLS, ACL) on free ports, a small client to look into
// them with, and tests with several brokers over one Redis. Everything is gone afterwards.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream";
import test from "node:test";
import { connect as connectTls } from "node:tls";
import { attempts, isAlive, startBroker } from "./broker.mjs";
import { SEED, delay, freePort, until, within } from "./util.mjs";

const running = new Set();
process.on("exit", () => {
  for (const server of running) server.killNow();
});

export const NO_REDIS = (() => {
  try {
    execFileSync("redis-server", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "redis-server is not installed";
  }
})();

/* --- a client of RESP2, whole replies only ------------------------------------------------------------------------------ */

function parse(buffer, at) {
  const end = buffer.indexOf("\r\n", at);
  if (end < 0) return null;
  const line = buffer.toString("utf8", at + 1, end);
  const next = end + 2;
  switch (buffer[at]) {
    case 0x2b: // +
      return { value: line, next };
    case 0x2d: // -
      return { value: new Error(line), next };
    case 0x3a: // :
      return { value: Number(line), next };
    case 0x24: { // $
      const count = Number(line);
      if (count < 0) return { value: null, next };
      if (buffer.length < next + count + 2) return null;
      return { value: buffer.subarray(next, next + count), next: next + count + 2 };
    }
    case 0x2a: { // *
      const items = [];
      let place = next;
      for (let i = 0; i < Number(line); i++) {
        const item = parse(buffer, place);
        if (!item) return null;
        items.push(item.value);
        place = item.next;
      }
      return { value: Number(line) < 0 ? null : items, next: place };
    }
    default:
      throw new Error(`not RESP: ${line}`);
  }
}

const plain = (value) => (Buffer.isBuffer(value) ? value.toString() : Array.isArray(value) ? value.map(plain) : value);

export class RedisClient {
  constructor(socket) {
    this.socket = socket;
    this.buffer = Buffer.alloc(0);
    this.waiting = [];
    this.messages = []; // { channel, message: Buffer } of subscriptions
    this.onmessage = null;
    socket.on("data", (bytes) => {
      this.buffer = this.buffer.length > 0 ? Buffer.concat([this.buffer, bytes]) : bytes;
      for (let found; this.buffer.length > 0 && (found = parse(this.buffer, 0)); this.buffer = this.buffer.subarray(found.next)) this.reply(found.value);
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.waiting.splice(0)) reject(new Error("the connection to Redis ended"));
    });
  }

  reply(value) {
    const kind = Array.isArray(value) && Buffer.isBuffer(value[0]) ? value[0].toString() : "";
    if (kind === "message" || kind === "smessage" || kind === "pmessage") {
      const message = { channel: value[kind === "pmessage" ? 2 : 1].toString(), message: value.at(-1) };
      if (this.onmessage) this.onmessage(message);
      else this.messages.push(message);
      return;
    }
    const { resolve, reject } = this.waiting.shift();
    if (value instanceof Error) reject(value);
    else resolve(value);
  }

  /* The reply as strings, numbers, null and arrays of them. An error reply rejects. */
  async command(...args) {
    return plain(await this.send(args));
  }

  send(args) {
    const parts = [Buffer.from(`*${args.length}\r\n`)];
    for (const arg of args) {
      const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg));
      parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
    }
    const answer = new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
    this.socket.write(Buffer.concat(parts));
    return within(10000, answer, `Redis answers ${String(args[0])}`);
  }

  end() {
    this.socket.destroy();
  }
}

/* --- one server --------------------------------------------------------------------------------------------------------- */

export class RedisServer {
  /* args: further arguments of redis-server; tls: { cert, key, ca } files; sentinel: a configuration file's text; hosts: addresses to
   * bind, wrap: what the command begins with, for one in another network namespace. */
  constructor({ args = [], tls, sentinel, port, password, user, hosts = ["127.0.0.1"], wrap = [], program = "redis-server" } = {}) {
    Object.assign(this, { args, tls, sentinel, port, password, user, hosts, wrap, program });
    this.clients = new Set();
    this.log = "";
  }

  async start() {
    this.port ??= await freePort();
    this.folder ??= mkdtempSync(join(tmpdir(), "ringcast-redis-"));
    const base = ["--bind", this.hosts.join(" "), "--dir", this.folder, "--save", "", "--appendonly", "no", "--loglevel", "notice", "--repl-diskless-sync-delay", "0"];
    const ports = this.tls
      ? ["--port", "0", "--tls-port", String(this.port), "--tls-cert-file", this.tls.cert, "--tls-key-file", this.tls.key, "--tls-ca-cert-file", this.tls.ca]
      : ["--port", String(this.port)];
    let args = [...base, ...ports, ...this.args];
    if (this.sentinel !== undefined) {
      const file = join(this.folder, "sentinel.conf");
      writeFileSync(file, this.sentinel);
      args = [file, "--sentinel", ...base.slice(0, 4), ...ports, ...this.args];
    }
    const [program, ...rest] = [...this.wrap, this.program, ...args];
    this.child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] });
    running.add(this);
    this.exited = new Promise((done) => this.child.once("close", done));
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (bytes) => (this.log = (this.log + bytes).slice(-20000)));
    await until(`redis-server on ${this.port} answers`, async () => {
      const client = await this.connect();
      try {
        return (await client.command("PING")) === "PONG";
      } finally {
        client.end();
      }
    }).catch((error) => {
      error.message += `\n${this.log}`;
      throw error;
    });
    return this;
  }

  get url() {
    return `redis${this.tls ? "s" : ""}://${this.hosts[0]}:${this.port}`;
  }

  async connect() {
    const socket = this.tls
      ? connectTls({ host: this.hosts[0], port: this.port, ca: this.tls.caText, cert: this.tls.certText, key: this.tls.keyText, servername: "localhost" })
      : connectSocket({ host: this.hosts[0], port: this.port, noDelay: true });
    const client = new RedisClient(socket);
    this.clients.add(client);
    await within(5000, new Promise((done, failed) => {
      socket.once(this.tls ? "secureConnect" : "connect", done);
      socket.once("error", failed);
    }), `connecting to Redis on ${this.port}`);
    if (this.password) await client.command("AUTH", ...(this.user ? [this.user] : []), this.password);
    return client;
  }

  /* One command on a connection that is kept for this. */
  async command(...args) {
    if (!this.own || this.own.socket.destroyed) this.own = await this.connect();
    return this.own.command(...args);
  }

  publish(channel, message) {
    return this.command("PUBLISH", channel, Buffer.isBuffer(message) || typeof message === "string" ? message : JSON.stringify(message));
  }

  signal(name) {
    process.kill(this.child.pid, name);
  }

  /* SIGKILL, or another, and wait. The port stays for the next start(). */
  async kill(signal = "SIGKILL") {
    for (const client of this.clients) client.end();
    this.clients.clear();
    if (isAlive(this.child.pid)) {
      this.signal("SIGCONT");
      this.signal(signal);
    }
    await this.exited;
    running.delete(this);
  }

  killNow() {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // gone already
    }
    if (this.folder) rmSync(this.folder, { recursive: true, force: true });
  }

  async destroy() {
    if (this.child) await this.kill();
    if (this.folder) rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function startRedis(options) {
  const server = new RedisServer(options);
  await server.start();
  return server;
}

/* A Redis and a wire to it that can be cut and mended while Redis goes on: `wire.url` for a broker that is to lose it. New connections go
 * to another server after `wire.lead(port)`, as behind the address of a managed Redis; those that are there stay. `wire.narrow(bytes)`: what Redis
 * answers comes over each connection in so many bytes every 50 ms; `wire.mute()`: it does not come at all, until it is mended; `wire.hold()`: what it says to
 * connections that subscribe waits until `wire.release()`. */
export async function startRedisAndWire(options) {
  const redis = await startRedis(options);
  const pairs = new Set();
  let whole = true;
  let port = redis.port;
  let piece = Infinity;
  let mute = false;
  let held = null;
  let release = () => {};
  async function* inPieces(source) {
    for await (const bytes of source) {
      if (mute) continue;
      if (source.subscribes) await held;
      for (let at = 0; at < bytes.length; ) {
        const part = bytes.subarray(at, at + piece);
        yield part;
        at += part.length;
        if (piece < Infinity) await delay(50);
      }
    }
  }
  const server = createServer((near) => {
    if (!whole) return near.destroy();
    const far = connectSocket({ host: "127.0.0.1", port, noDelay: true });
    near.setNoDelay(true);
    pairs.add(near).add(far);
    near.on("data", (bytes) => (far.subscribes ||= bytes.includes("SUBSCRIBE")));
    near.pipe(far);
    pipeline(far, inPieces, near, () => {});
    for (const [one, other] of [[near, far], [far, near]]) {
      one.on("error", () => {});
      one.on("close", () => {
        pairs.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const cut = () => {
    whole = false;
    for (const socket of pairs) socket.destroy();
  };
  redis.wire = { url: `redis://127.0.0.1:${server.address().port}`, cut, mute: () => (mute = true), mend: () => {
    whole = true;
    mute = false;
  }, lead: (to) => (port = to), narrow: (bytes) => (piece = bytes), hold: () => {
    held = new Promise((done) => (release = done));
  }, release: () => release() };
  const destroy = redis.destroy.bind(redis);
  redis.destroy = async () => {
    redis.wire.release();
    cut();
    server.close();
    await destroy();
  };
  return redis;
}

/* A replica that never was in sync does not become master. */
async function inSync(servers) {
  for (const server of servers) {
    const info = await server.command("INFO", "replication");
    if (info.includes("role:slave") && !info.includes("master_link_status:up")) return false;
  }
  return true;
}

/* A master with replicas and sentinels that watch it as "mymaster"; with `tls` all of them speak nothing else. */
export async function startSentinels({ sentinels = 3, replicas = 1, downAfter = 1000, tls } = {}) {
  const encrypted = tls ? ["--tls-replication", "yes"] : [];
  const master = await startRedis({ tls, args: encrypted });
  const all = [master];
  for (let i = 0; i < replicas; i++) all.push(await startRedis({ tls, args: [...encrypted, "--replicaof", "127.0.0.1", String(master.port)] }));
  const watchers = [];
  for (let i = 0; i < sentinels; i++) {
    watchers.push(await startRedis({
      tls,
      args: encrypted,
      sentinel: [
        `sentinel monitor mymaster 127.0.0.1 ${master.port} ${Math.floor(sentinels / 2) + 1}`,
        `sentinel down-after-milliseconds mymaster ${downAfter}`,
        "sentinel failover-timeout mymaster 5000",
        "sentinel parallel-syncs mymaster 1",
        "",
      ].join("\n"),
    }));
  }
  await until("the sentinels know each other and the replicas", async () => {
    for (const watcher of watchers) {
      const fields = await watcher.command("SENTINEL", "MASTER", "mymaster");
      const value = (name) => Number(fields[fields.indexOf(name) + 1]);
      if (value("num-other-sentinels") !== sentinels - 1 || value("num-slaves") !== replicas) return false;
    }
    return inSync(all);
  }, { timeout: 30000, every: 100 });
  return {
    servers: all,
    sentinels: watchers,
    url: `redis${tls ? "s" : ""}+sentinel://${watchers.map((watcher) => `127.0.0.1:${watcher.port}`).join(",")}/mymaster`,
    /* The server that the sentinels call master. */
    async master() {
      const [, port] = await watchers[0].command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster");
      return all.find((server) => server.port === Number(port));
    },
    async destroy() {
      for (const server of [...watchers, ...all]) await server.destroy();
    },
  };
}

/* A Cluster of `masters` masters with one replica each; with `tls` it speaks nothing else. */
export async function startCluster({ masters = 3, replicas = 1, tls, program } = {}) {
  const encrypted = tls ? ["--tls-cluster", "yes", "--tls-replication", "yes"] : [];
  const files = tls ? ["--tls", "--cacert", tls.ca, "--cert", tls.cert, "--key", tls.key] : [];
  const cli = (...args) => execFileSync("redis-cli", [...files, "--cluster", ...args], { stdio: "pipe" });
  const nodes = [];
  for (let i = 0; i < masters * (1 + replicas); i++) {
    const port = await freePort();
    nodes.push(await startRedis({
      port,
      tls,
      program,
      args: [...encrypted, "--cluster-enabled", "yes", "--cluster-config-file", `nodes-${port}.conf`, "--cluster-node-timeout", "1500", "--cluster-require-full-coverage", "no"],
    }));
  }
  const addresses = nodes.map((node) => `127.0.0.1:${node.port}`);
  cli("create", ...addresses, "--cluster-replicas", String(replicas), "--cluster-yes");
  await until("the Cluster is there", async () => {
    for (const node of nodes) if (!(await node.command("CLUSTER", "INFO")).includes("cluster_state:ok")) return false;
    return inSync(nodes);
  }, { timeout: 30000, every: 100 });
  return {
    nodes,
    url: `redis${tls ? "s" : ""}+cluster://${addresses.slice(0, 3).join(",")}`,
    /* Moves this many of a master's slots, the lowest ones, to another, as an operator does it. Resolves when it is done. */
    async reshard(from, to, slots) {
      // All nodes have to know of the move before.
      await until("the nodes agree", () => !String(cli("check", addresses[0])).includes("[ERR]"), { timeout: 30000, every: 200 });
      const [fromId, toId] = [await from.command("CLUSTER", "MYID"), await to.command("CLUSTER", "MYID")];
      const words = [...files, "--cluster", "reshard", addresses[0], "--cluster-from", fromId, "--cluster-to", toId, "--cluster-slots", String(slots), "--cluster-yes"];
      const child = spawn("redis-cli", words, { stdio: ["ignore", "pipe", "pipe"] });
      let said = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (said += bytes));
      const code = await within(60000, new Promise((done) => child.once("close", done)), "resharding");
      assert.equal(code, 0, said.slice(-2000));
    },
    /* The master that has this slot now. */
    async ownerOf(slot) {
      for (const node of nodes) {
        if (!isAlive(node.child.pid)) continue;
        for (const [from, to, [, port]] of await node.command("CLUSTER", "SLOTS")) {
          if (slot >= from && slot <= to) return nodes.find((one) => one.port === port);
        }
      }
      return undefined;
    },
    async destroy() {
      for (const node of nodes) await node.destroy();
    },
  };
}

/* A throw-away authority with a server and a client certificate, as files and as text. */
export function makeCertificates({ names = "DNS:localhost,IP:127.0.0.1" } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-tls-"));
  const openssl = (...args) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ringcast test authority", "-days", "2");
  for (const who of ["server", "client"]) {
    openssl("req", ...key, "-keyout", `${who}.key`, "-out", `${who}.csr`, "-subj", `/CN=${who}`);
    writeFileSync(join(folder, "ext"), who === "server" ? `subjectAltName=${names}` : "extendedKeyUsage=clientAuth");
    openssl("x509", "-req", "-in", `${who}.csr`, "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", `${who}.crt`, "-days", "2", "-extfile", "ext");
  }
  const path = (name) => join(folder, name);
  const text = (name) => readFileSync(path(name));
  return {
    ca: path("ca.crt"),
    server: { cert: path("server.crt"), key: path("server.key"), ca: path("ca.crt"), caText: text("ca.crt"), certText: text("client.crt"), keyText: text("client.key") },
    client: { cert: path("client.crt"), key: path("client.key") },
    destroy: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/* --- several brokers over one Redis --------------------------------------------------------------------------------------- */

/* What a test needs to know of a broker's Redis: waits until /health/redis says so. */
export async function redisHealth(broker, status, timeout = 5000) {
  return until(`/health/redis of ${broker.config["server.instance_id"]} says ${status}`, async () => {
    const answer = await broker.get("/health/redis");
    return answer.status === status && JSON.parse(answer.body);
  }, { timeout, every: 20 });
}

/* Ends connections by `end` and waits until each of these brokers has noticed that it lost so many: right after it, /health/redis still
 * tells of before. */
export async function loseConnections(brokers, count, end) {
  const failures = async (broker) => (await broker.metrics())("ringcast_redis_failures_total");
  const before = await Promise.all(brokers.map(failures));
  await end();
  for (const [i, broker] of brokers.entries()) {
    await until(`${broker.config["server.instance_id"]} has noticed`, async () => (await failures(broker)) >= before[i] + count, { timeout: 15000 });
  }
}

export async function startBrokers(count, url, { config = {}, workers = 1, env, ready = true } = {}) {
  const brokers = [];
  try {
    for (let i = 0; i < count; i++) {
      brokers.push(await startBroker({ workers, env, config: { "redis.url": Array.isArray(url) ? url[i] : url, "server.instance_id": `node-${i}`, ...config } }));
    }
    if (ready) await Promise.all(brokers.map((broker) => redisHealth(broker, 200, 10000)));
    return brokers;
  } catch (error) {
    for (const broker of brokers) {
      error.message += `\n--- the log\n${broker.log.slice(-40).join("\n")}`;
      await broker.destroy();
    }
    throw error;
  }
}

/*
 * testRedis(name, { brokers: 2, start: () => server, config, workers, timeout, late }, async ({ brokers, redis }) => { ... })
 * `start` gives whatever has a url and destroy(); a single server unless given. `late`: attempts() of broker.mjs.
 */
export function testRedis(name, options, body) {
  test(name, { skip: options.skip || NO_REDIS }, (t) => attempts(options.late, async (failed) => {
    const redis = await (options.start ?? startRedis)();
    let brokers = [];
    try {
      brokers = await startBrokers(options.brokers ?? 2, options.url ? options.url(redis) : redis.url, options);
      await within(options.timeout ?? 30000, Promise.resolve(body({ brokers, redis, t })), `the whole test "${name}"`);
      for (const broker of brokers) await broker.stop();
    } catch (error) {
      await failed(error, brokers, () => {
        for (const broker of brokers) {
          console.error(`--- ${name} failed (RINGCAST_SEED=${SEED}). The log of ${broker.config["server.instance_id"]}:\n${broker.log.slice(-60).join("\n")}\n---`);
        }
      });
    } finally {
      for (const broker of brokers) await broker.destroy();
      await redis.destroy();
    }
  }));
}

/* Since when an instance is asked for a channel by whom it has not answered yet: the first one's answer is all others', too. */
const asked = new Map();

async function askedOnce(client, channel) {
  const key = `${client.id.split("~")[0]} ${channel}`;
  const all = asked.get(key) ?? new Set();
  asked.set(key, all);
  const one = { since: Math.min(performance.now(), ...[...all].map(({ since }) => since)) };
  all.add(one);
  try {
    const { scope } = await client.subscribe(channel);
    return { scope, took: performance.now() - one.since };
  } finally {
    all.delete(one);
    if (all.size === 0) asked.delete(key);
  }
}

/* Subscribed, and Redis has confirmed it. An answer waits 100 ms for that, and says "local" where it takes longer, as on a machine that has much else
 * to do: then nothing is promised of other instances, and the client asks again. How often it was told "local", each time after it was waited for. */
export async function confirmed(client, channel) {
  const locals = [];
  await until(`Redis has confirmed ${channel}`, async () => {
    const { scope, took } = await askedOnce(client, channel);
    if (scope === undefined) return true;
    locals.push({ scope, took });
    return false;
  });
  for (const { scope } of locals) assert.equal(scope, "local");
  // It is said at once by who holds Redis to be away alone, as where that or a relay has stood still for a second; the log has it then.
  const quick = locals.filter(({ took }) => took < 95);
  if (quick.length > 0 && client.broker !== undefined) await until(`the log says why nobody waited for Redis: ${channel}, ${JSON.stringify(quick)}`, () => client.broker.log.some((line) => / redis_(away|unreachable|connection_lost) /.test(line)));
  return locals.length;
}

/* How many Redis subscribers a channel has. */
export async function subscribers(redis, channel) {
  const [, count] = await redis.command("PUBSUB", "NUMSUB", channel);
  return count;
}

/* Waits until each of these instances has sent so many heartbeats from now on: what it does once an interval it has done by then. */
export async function heartbeats(redis, ids, count = 3) {
  const watcher = await redis.connect();
  await watcher.command("PSUBSCRIBE", "ws:instance:*:heartbeat");
  const beats = (id) => watcher.messages.filter(({ channel }) => channel === `ws:instance:${id}:heartbeat`).length;
  await until(`${count} heartbeats of ${ids.join(", ")}`, () => ids.every((id) => beats(id) >= count), { timeout: 20000 });
  watcher.end();
}

export { assert, delay, until, within };
