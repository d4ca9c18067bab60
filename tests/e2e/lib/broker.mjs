// Starts the real broker for a test, watches what it writes, and leaves nothing behind.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { connect, workerOf } from "./client.mjs";
import { connectFrames, connectRaw } from "./raw.mjs";
import { BIN_DIR, SEED, SLOWER, delay, freePort, until, within } from "./util.mjs";

const LOG_LINES_MAX = 20000;
const SANITIZER = /(ERROR|WARNING|SUMMARY): [A-Za-z]+Sanitizer|: runtime error: |assertion failed/i;
const running = new Set();

/* The processes below a pid that are ours to end: {relay: pid, workers: [pid by index]}; from /proc, so at any moment. */
function childrenOf(pid) {
  const found = { relay: 0, workers: [], all: [] };
  let tasks;
  try {
    tasks = readdirSync(`/proc/${pid}/task`);
  } catch {
    return found;
  }
  for (const task of tasks) {
    let children;
    try {
      children = readFileSync(`/proc/${pid}/task/${task}/children`, "latin1").trim().split(" ").filter(Boolean).map(Number);
    } catch {
      continue;
    }
    for (const child of children) {
      const args = commandOf(child);
      found.all.push(child);
      if (args[0]?.endsWith("ringcast-relay")) found.relay = child;
      if (args[0]?.endsWith("ringcast-worker")) found.workers[Number(args[args.indexOf("--index") + 1])] = child;
    }
  }
  return found;
}

function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
  } catch {
    return [];
  }
}

/* Is the process there, and not only as a zombie? */
export function isAlive(pid) {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return false;
  }
}

function signalQuietly(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // gone already
  }
}

// However this process ends, what it started ends: stopped processes would not notice that their acceptor is gone.
process.on("exit", () => {
  for (const broker of running) broker.killAll();
});
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => process.exit(1));

/* Runs one of the programs to its end: { code, signal, stdout, stderr }. */
export function run(args, { env = {}, program = "ringcast", timeout = 10000, cwd } = {}) {
  const child = spawn(join(BIN_DIR, program), args, { env: environment(env), stdio: ["ignore", "pipe", "pipe"], cwd });
  const result = { stdout: "", stderr: "" };
  child.stdout.on("data", (bytes) => (result.stdout += bytes));
  child.stderr.on("data", (bytes) => (result.stderr += bytes));
  const ended = new Promise((done, failed) => {
    child.once("error", failed);
    child.once("close", (code, signal) => done({ ...result, code, signal }));
  });
  return within(timeout, ended, `ringcast ${args.join(" ")} ends`).catch((error) => {
    for (const pid of childrenOf(child.pid).all) signalQuietly(pid, "SIGKILL");
    child.kill("SIGKILL");
    error.message += `\n${result.stderr}`;
    throw error;
  });
}

function environment(env) {
  const base = { ...process.env };
  // Settings of the person who runs the tests must not become the broker's.
  for (const name of Object.keys(base)) {
    if (/^(PORT|HOST|REDIS_|INSTANCE_ID|SERVER_ID|CORS_ORIGIN|CLIENT_URL|LOG_LEVEL|RINGCAST_|WS_|PUSHER_|API_KEY|JWT_|NOTIFY_SOCKET|RUNTIME_DIRECTORY)/.test(name)) delete base[name];
  }
  base.ASAN_OPTIONS ??= "detect_leaks=1:abort_on_error=1:disable_coredump=1";
  base.UBSAN_OPTIONS ??= "print_stacktrace=1:halt_on_error=1";
  return { ...base, ...env };
}

/* TOML out of { "server.workers": 2, "namespace": [{ name: "x" }], ... }; objects within become inline tables. */
export function toToml(config) {
  const key = (name) => (/^[\w-]+$/.test(name) ? name : JSON.stringify(name));
  const literal = (value) => {
    if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
    if (typeof value !== "object") return JSON.stringify(value);
    return `{ ${Object.entries(value).map(([name, part]) => `${key(name)} = ${literal(part)}`).join(", ")} }`;
  };
  const sections = {};
  let tables = "";
  for (const [path, value] of Object.entries(config)) {
    if (Array.isArray(value) && typeof value[0] === "object") {
      for (const entry of value) tables += `[[${path}]]\n${Object.entries(entry).map(([name, part]) => `${key(name)} = ${literal(part)}\n`).join("")}`;
    } else {
      const [section, name] = path.split(".");
      (sections[section] ??= []).push(`${name} = ${literal(value)}\n`);
    }
  }
  return Object.entries(sections).map(([section, lines]) => `[${section}]\n${lines.join("")}`).join("") + tables;
}

/* What of a configuration nobody may read in a log: its secrets, and a password within a URL. Short ones might be part of any word. */
function secretsOf(value, name = "") {
  if (typeof value === "object" && value !== null) return Object.entries(value).flatMap(([key, part]) => secretsOf(part, Array.isArray(value) ? name : key));
  if (typeof value !== "string") return [];
  const secret = /(^|\.)(secrets?|api_keys|redact_key|sentinel_password)$/.test(name) ? value : /^[\w+]+:\/\/[^@/]*:([^@/]+)@/.exec(value)?.[1];
  return secret?.length >= 8 ? [secret] : [];
}
/* A token, whoever's; a cookie, an Authorization. */
const CREDENTIAL = /eyJ[\w-]{10,}\.eyJ[\w-]{5,}|\bBearer [\w.-]{8,}|connect\.sid=/;

export class Broker {
  constructor() {
    this.mayDieBy = /signal 9/; // children, by a test's hand
    this.log = []; // lines of standard error
    this.output = ""; // standard output
    this.connections = new Set(); // what cleanup closes
  }

  /* `text`: a whole configuration file in place of `config`; only its port is another one, by the environment. */
  async start({ config = {}, text, workers = 2, env = {}, ready = true, args = [], listen = "127.0.0.1", prefix = [], stdio = ["ignore", "pipe", "pipe"] } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), "ringcast-e2e-"));
    this.configPath = join(this.folder, "ringcast.toml");
    this.port = await freePort();
    this.env = { RUNTIME_DIRECTORY: this.folder, ...(text === undefined ? {} : { PORT: String(this.port) }), ...env };
    this.host = `127.0.0.1:${this.port}`;
    this.workers = workers;
    this.config = {
      "server.listen": [`${listen}:${this.port}`],
      "server.workers": workers,
      "server.instance_id": "test",
      "server.control_socket": join(this.folder, "control.sock"),
      ...(typeof config === "function" ? await config(this.host) : config),
    };
    // The broker names its control socket itself; `ringcast status` finds it.
    this.asksProgram = text !== undefined || !this.config["server.control_socket"];
    this.secrets = secretsOf(this.config);
    this.writeConfig(text ?? this.config);
    // `prefix`: a program that executes the rest of its arguments in its own place, as env(1).
    const [program, ...words] = [...prefix, join(BIN_DIR, "ringcast"), "run", "-c", this.configPath, ...args];
    this.child = spawn(program, words, { env: environment(this.env), stdio });
    running.add(this);
    this.pid = this.child.pid;
    this.exited = new Promise((done) => {
      this.child.once("error", (error) => done({ code: null, signal: null, error }));
      // `close`: all the output was read as well, that of the children included.
      this.child.once("close", (code, signal) => done({ code, signal }));
    });
    this.acceptorExited = new Promise((done) => this.child.once("exit", (code, signal) => done({ code, signal })));
    this.exited.then((exit) => (this.exit = exit));
    this.child.stdout?.on("data", (bytes) => (this.output += bytes));
    let rest = "";
    this.child.stderr?.on("data", (bytes) => {
      const lines = (rest + bytes).split("\n");
      rest = lines.pop();
      this.log.push(...lines);
      if (this.log.length > LOG_LINES_MAX) this.log.splice(0, this.log.length - LOG_LINES_MAX);
    });
    if (ready) await this.isReady();
    return this;
  }

  get url() {
    return `ws://${this.host}/ws`;
  }

  get address() {
    return { host: "127.0.0.1", port: this.port };
  }

  writeConfig(config) {
    writeFileSync(this.configPath, typeof config === "string" ? config : toToml(config));
  }

  /* Every worker there and /health good. */
  async isReady() {
    await until("the broker is ready", async () => {
      if (this.exit) return true; // nothing to wait for any more
      const { workers, relay } = this.pids();
      if (!relay || workers.filter(Boolean).length !== this.workers) return false;
      const status = await this.status();
      return status.state === "running" && status.processes.every((row) => row.state === "ready") && (await this.get("/health")).status === 200;
    }, { every: 20 });
    assert.ok(!this.exit, `the broker did not start: ${JSON.stringify(this.exit)}`);
  }

  pids() {
    return { acceptor: this.pid, ...childrenOf(this.pid) };
  }

  /* who: "acceptor", "relay" or a worker's index. Returns the pid that got the signal. */
  kill(signal, who) {
    const pids = this.pids();
    const pid = who === "acceptor" ? this.pid : who === "relay" ? pids.relay : pids.workers[who];
    assert.ok(pid, `there is a ${who}`);
    process.kill(pid, signal);
    return pid;
  }

  /* SIGKILL; another relay has taken over when it resolves. */
  async killRelay() {
    const pid = this.kill("SIGKILL", "relay");
    await until("another relay", () => {
      const { relay } = this.pids();
      return relay && relay !== pid;
    });
    await until("it is ready", async () => (await this.status()).processes.find((row) => row.process === "relay").state === "ready");
  }

  /* One request of the configured control socket ("park 0"); its whole answer: "ok" or "error" and what follows. */
  ask(line) {
    return within(10000, new Promise((done, failed) => {
      const socket = connectSocket(this.config["server.control_socket"]);
      let text = "";
      socket.setEncoding("utf8").on("data", (part) => (text += part)).on("end", () => done(text)).on("error", failed);
      socket.write(`${line}\n`);
    }), `an answer to "${line}"`);
  }

  /* What `ringcast status --json` says. Asked without the program where it can be: tests ask over and over until something is so. */
  async status() {
    if (this.asksProgram) {
      const result = await run(["status", "--json", "-c", this.configPath], { env: this.env });
      assert.equal(result.code, 0, `ringcast status: ${result.stderr}`);
      return JSON.parse(result.stdout);
    }
    const answer = await this.ask("status json");
    assert.match(answer, /^ok\n/, answer);
    return JSON.parse(answer.slice(3));
  }

  /* An HTTP request: { status, headers, body }. */
  get(path, { method = "GET", headers = {}, body, timeout = 5000 } = {}) {
    const answered = new Promise((done, failed) => {
      const out = request({ host: "127.0.0.1", port: this.port, path, method, agent: false, headers: { Connection: "close", ...headers } }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part) => (text += part));
        response.on("end", () => done({ status: response.statusCode, headers: response.headers, body: text }));
        response.on("error", failed);
      });
      out.on("error", failed);
      out.end(body);
    });
    return within(timeout, answered, `${method} ${path}`);
  }

  /* /metrics: a function of a metric's name, with labels or without ('x_total{reason="full"}'), and, for one worker's share, its index: the
   * sum of the series that have those labels. Of a histogram's bucket: "name_bucket<0.1". */
  async metrics() {
    // A worker that a test has stopped takes connections, and never answers.
    const { status, body } = await until("/metrics answers", () => this.get("/metrics", { timeout: 1000 }));
    assert.equal(status, 200, body);
    const labelsOf = (text) => Object.fromEntries([...(text ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
    const families = new Map();
    for (const line of body.split("\n")) {
      const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (!match) continue;
      if (!families.has(match[1])) families.set(match[1], []);
      families.get(match[1]).push({ labels: labelsOf(match[2]), value: Number(match[3]) });
    }
    const value = (wanted, worker) => {
      const [, name, labels, le] = /^([\w:]+)(?:\{(.*)\})?(?:<(.*))?$/.exec(wanted);
      const filter = Object.entries({ ...labelsOf(labels), ...(le === undefined ? {} : { le }), ...(worker === undefined ? {} : { worker: String(worker) }) });
      const found = (families.get(name) ?? []).filter((series) => filter.every(([label, text]) => series.labels[label] === text));
      assert.ok(found.length > 0, `/metrics has ${wanted}${worker === undefined ? "" : ` of worker ${worker}`}`);
      return found.reduce((sum, series) => sum + series.value, 0);
    };
    value.text = body;
    return value;
  }

  keep(client) {
    this.connections.add(client);
    client.closed.then(() => this.connections.delete(client));
    return client;
  }

  /* A client on whichever worker it comes to. */
  async connect(options = {}) {
    const client = await connect(options.url ?? `ws://${this.host}${options.path ?? "/ws"}`, options);
    client.broker = this;
    return this.keep(client);
  }

  /* A client on this worker. The ones that came to others meanwhile are kept open until then, or the least loaded worker
   * would get all of them, and go to later calls (given the same options) or to closeSpares(). */
  async connectToWorker(worker, options = {}) {
    const key = JSON.stringify(options);
    this.spares ??= new Map();
    if (!this.spares.has(key)) this.spares.set(key, []);
    const spares = this.spares.get(key);
    const at = spares.findIndex((client) => client.worker === worker && !client.isClosed);
    if (at >= 0) return spares.splice(at, 1)[0];
    const deadline = performance.now() + 20000 * SLOWER;
    for (;;) {
      const client = await this.connect(options);
      if (client.worker === worker) return client;
      spares.push(client);
      assert.ok(performance.now() < deadline, `some connection comes to worker ${worker}; ${spares.length} came to others`);
    }
  }

  async closeSpares() {
    const spares = [...(this.spares?.values() ?? [])].flat();
    this.spares = new Map();
    await Promise.all(spares.map((client) => client.close()));
  }

  /* `counts[i]` clients on worker i, spares closed. */
  async connectMany(counts, options = {}) {
    const clients = [];
    for (const [worker, count] of counts.entries()) {
      for (let i = 0; i < count; i++) clients.push(await this.connectToWorker(worker, options));
    }
    await this.closeSpares();
    return clients;
  }

  /* Bare sockets, see raw.mjs. */
  async raw() {
    const raw = await connectRaw(this.address);
    this.connections.add({ terminate: () => raw.end() });
    return raw;
  }

  async frames(path, headers) {
    const raw = await connectFrames(this.address, path, headers);
    raw.worker = workerOf(raw.welcome.client);
    this.connections.add({ terminate: () => raw.end() });
    return raw;
  }

  /* Ends it politely and checks that it did: exit code 0, nothing left running, no sanitizer report. */
  async stop() {
    for (const client of this.connections) client.terminate();
    if (!this.exit) {
      const { all } = this.pids();
      process.kill(this.pid, "SIGTERM");
      const exit = await within(15000, this.exited, "the broker ends after SIGTERM");
      assert.deepEqual(exit, { code: 0, signal: null }, "the broker ends with 0 after SIGTERM");
      assert.deepEqual(all.filter(isAlive), [], "no child outlives the acceptor");
    }
    this.checkLog();
  }

  checkLog() {
    const at = this.log.findIndex((line) => SANITIZER.test(line));
    assert.equal(at, -1, `a sanitizer or an assertion spoke up:\n${this.log.slice(Math.max(0, at - 2), at + 60).join("\n")}`);
    const died = this.log.filter((line) => /\bchild_died\b/.test(line) && !this.mayDieBy.test(line));
    assert.deepEqual(died, [], "no child dies by itself");
    const told = this.log.filter((line) => CREDENTIAL.test(line) || this.secrets.some((secret) => line.includes(secret)));
    assert.deepEqual(told, [], "no credential is in the log");
  }

  /* As when its machine goes: none of its processes notices that another one is gone. A relay that does leaves the cluster politely, within a
   * millisecond; an acceptor that does starts the next one. It has ended, and stop() has nothing left to do, when `exited` resolves. */
  killAll() {
    if (this.pid === undefined) return;
    if (!this.exit) signalQuietly(this.pid, "SIGSTOP");
    const { all } = childrenOf(this.pid);
    for (const pid of all) signalQuietly(pid, "SIGKILL");
    if (!this.exit) signalQuietly(this.pid, "SIGKILL");
  }

  /* Whatever state it is in: gone afterwards. */
  async destroy() {
    for (const client of this.connections) client.terminate();
    this.killAll();
    if (!this.exit && this.exited) await Promise.race([this.exited, delay(5000)]);
    running.delete(this);
    if (this.folder && existsSync(this.folder)) rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function startBroker(options) {
  const broker = new Broker();
  try {
    return await broker.start(options);
  } catch (error) {
    // Not into the message: an assertion's stack, which is what is printed, was made before.
    console.error(`--- the broker did not start. Its log:\n${broker.log.slice(-60).join("\n")}\n---`);
    await broker.destroy();
    throw error;
  }
}

/* Has one of these counters of the brokers counted anything? Not where nobody is left to say so. */
async function counted(brokers, names) {
  const sums = await Promise.all(brokers.map((broker) => broker.metrics().then((metrics) => names.reduce((sum, name) => sum + metrics(name), 0)).catch(() => 0)));
  return sums.some((sum) => sum > 0);
}

/* What is wrong with a log is so whoever had no time, and is no reason to try again. */
function isClean(broker) {
  try {
    broker.checkLog();
    return true;
  } catch {
    return false;
  }
}

/*
 * Runs attempt(failed) until it holds; what it fails with goes to failed(error, brokers, tell). `late`: counters of answers that were given without somebody who had no time (docs/metrics.md).
 * Such an answer is not all, says so, and is what is promised: of a run that fails and has counted one nobody knows what it would have been, and it is made
 * again, three times at the most. Where nothing was counted it has failed.
 */
export async function attempts(late = [], attempt) {
  for (let left = 2; ; left--) {
    let again = false;
    await attempt(async (error, brokers, tell) => {
      again = left > 0 && late.length > 0 && brokers.every(isClean) && await counted(brokers, late);
      if (again) return console.error(`# once more, since ${late.join(" or ")} has counted: ${error.message.split("\n")[0]}`);
      tell();
      throw error;
    });
    if (!again) return;
  }
}

/* Counters of what rows ask about rooms: workers have a second for their answer, other instances half of one. */
export const ROOMS_LATE = ["ringcast_socketio_rooms_local_total", "ringcast_socketio_rooms_unanswered_total"];

/*
 * A test with a broker of its own: testBroker(name, { config, workers, timeout, skip, late ... }, async (broker) => { ... }). After the body
 * it is stopped with SIGTERM and must end well. When anything fails its log is printed. `late`: attempts().
 */
export function testBroker(name, options, body) {
  test(name, { skip: options.skip }, (t) => attempts(options.late, async (failed) => {
    const broker = await startBroker(options);
    try {
      await within(options.timeout ?? 30000, Promise.resolve(body(broker, t)), `the whole test "${name}"`);
      await broker.stop();
    } catch (error) {
      await failed(error, [broker], () => {
        const lines = broker.log.slice(-(options.logLines ?? 80));
        const report = broker.log.findIndex((line) => SANITIZER.test(line));
        if (report >= 0) lines.unshift(...broker.log.slice(report, report + 60), "...");
        console.error(`--- ${name} failed (RINGCAST_SEED=${SEED}). The broker's log, the last ${lines.length} of ${broker.log.length} lines:\n${lines.join("\n")}\n---`);
      });
    } finally {
      await broker.destroy();
    }
  }));
}
