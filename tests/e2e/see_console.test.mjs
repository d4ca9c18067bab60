// The commands that see and do over the control socket: no key, no listener that the command could reach, rules for clients do not hold.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { run, testBroker } from "./lib/broker.mjs";
import { BIN_DIR, ROOT, program, until, within } from "./lib/util.mjs";

const config = { "debug.user_query": "user", namespace: [{ name: "closed", subscribe: "none", publish: "none" }] };

/* A command about this broker: its output; it must have ended well. */
async function ringcast(broker, ...args) {
  const result = await run([...args, "-c", broker.configPath], { env: broker.env });
  assert.equal(result.code, 0, `ringcast ${args.join(" ")}: ${result.stderr}`);
  return result.stdout;
}

const json = async (broker, ...args) => JSON.parse(await ringcast(broker, ...args, "--json"));

/* A command with standard input. */
async function piped(broker, input, ...args) {
  const child = spawn(join(BIN_DIR, "ringcast"), [...args, "-c", broker.configPath], { env: { ...process.env, ...broker.env } });
  let text = "";
  child.stdout.on("data", (bytes) => (text += bytes));
  child.stderr.on("data", (bytes) => (text += bytes));
  child.stdin.end(input);
  const code = await within(10000, new Promise((done) => child.once("close", done)), `ringcast ${args.join(" ")} ends`);
  return { code, text };
}

testBroker("clients and channels are listed without a key", { config }, async (broker) => {
  const clients = await broker.connectMany([2, 1], { path: "/ws?user=42" });
  for (const client of clients) await client.subscribe("room:1");
  const { clients: rows, more } = await json(broker, "clients", "--user", "42");
  assert.equal(more, false);
  assert.deepEqual(rows.map((row) => row.client).sort(), clients.map((client) => client.id).sort());
  const table = await ringcast(broker, "clients", "--user=42", "--channels");
  for (const client of clients) assert.ok(table.includes(client.id), table);
  assert.match(table, /room:1/);
  assert.equal((await json(broker, "clients", "--limit", "2")).clients.length, 2);
  assert.equal((await json(broker, "clients", "--limit", "2")).more, true);
  assert.deepEqual((await json(broker, "clients", "--channel", "room:none")).clients, []);
  await clients[0].publish("room:1", "x".repeat(100));
  const hot = await until("the rate is there", async () => {
    const [first] = (await json(broker, "channels", "--sort", "rate", "--limit", "1")).channels;
    return first?.rate > 0 && first;
  });
  assert.equal(hot.channel, "room:1");
  assert.match(await ringcast(broker, "channels", "--sort", "subscribers"), / room:1\n/);
  assert.match(await ringcast(broker, "channels"), /^ *3 room:1$/m);
  for (const args of [["clients", "--limit", "0"], ["clients", "--by", "code"], ["clients", "--closed", "--by", "transport"], ["kick"], ["pub"], ["sub"], ["kick", "x", "--code", "1"]]) {
    assert.equal((await run([...args, "-c", broker.configPath], { env: broker.env })).code, 2, args.join(" "));
  }
  const wrong = await run(["clients", "--address", "x", "-c", broker.configPath], { env: broker.env });
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /address/);
});

testBroker("pub, direct, retain and kick do what the API does, also where clients may not", { config }, async (broker) => {
  const [a, b] = await broker.connectMany([1, 1], { path: "/ws?user=7" });
  await a.subscribe("room:1");
  await b.subscribe("room:1");
  assert.match(await ringcast(broker, "pub", "room:1", '{"n": 1e400}'), /^published 1$/m);
  assert.equal((await a.next("message")).raw, '{"n": 1e400}');
  await ringcast(broker, "pub", "room:1", "no json", "--event", "said");
  await b.next("message");
  assert.deepEqual(await b.next("message").then(({ data, event }) => [data, event]), ["no json", "said"]);
  await a.next("message");
  assert.equal((await piped(broker, '{"from":\n"stdin"}\n', "pub", "room:1")).code, 0);
  assert.deepEqual((await a.next("message")).data, { from: "stdin" });
  assert.equal((await piped(broker, "1\ntwo\n[3]\n", "pub", "room:1", "--lines")).code, 0);
  assert.deepEqual([(await a.next("message")).data, (await a.next("message")).data, (await a.next("message")).data], [1, "two", [3]]);
  await ringcast(broker, "pub", "*", '"all"');
  assert.equal((await a.next((message) => message.data === "all")).data, "all");
  await ringcast(broker, "direct", b.id, "{}");
  assert.deepEqual((await b.next("direct")).data, {});
  const nobody = await run(["direct", "test~AAAAAAAAAAAAAAAAAAAAAAAA", "1", "-c", broker.configPath], { env: broker.env });
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /no such client/);
  assert.equal(await ringcast(broker, "retain", "room:1", "7"), "retained 1\n");
  assert.equal(await ringcast(broker, "retain", "room:1", "--delete"), "removed 1\n");
  assert.equal((await piped(broker, "\xff", "pub", "room:1")).code, 0, "node writes it as UTF-8");
  assert.equal((await piped(broker, Buffer.from([0xff]), "pub", "room:1")).code, 1);
  assert.match(await ringcast(broker, "kick", a.id, "--code", "4002", "--reason", "enough"), /^disconnected 1$/m);
  assert.deepEqual(await within(5000, a.closed, "a is closed"), { code: 4002, reason: "enough" });
  assert.match(await ringcast(broker, "kick", "--user", "7"), /^disconnected 1$/m);
  assert.equal((await within(5000, b.closed, "b is closed")).code, 4501);
});

testBroker("what was asked wrongly is answered with what to do", { config }, async (broker) => {
  const file = ["-c", broker.configPath];
  const nowhere = join(broker.folder, "nowhere.toml");
  for (const [words, code, told] of [
    [["pub", "", "x", ...file], 2, /^ringcast: it may not be empty: CHANNEL; `ringcast help pub` lists what there is\n$/],
    [["help", "frobnicate"], 2, /^ringcast: there is no command: frobnicate; `ringcast help` lists what there is\n$/],
    [["status", "-c", nowhere], 2, /^\S+nowhere\.toml: cannot read the configuration: No such file or directory\n$/],
    [["direct", "nobody", "1", ...file], 1, /no such client \(404\)\nringcast: `ringcast clients` lists who is here/],
    [["kick", "nobody", ...file], 1, /no such client \(404\)\nringcast: `ringcast clients` lists who is here/],
    [["token", "make", ...file], 2, /^ringcast token: \S+ has no \[\[identity\]\] of kind "jwt": give --secret-file or --key, or add one\n$/],
    [["token", "make"], 2, /give -c FILE, --secret-file, or --key with a private key/],
  ]) {
    const result = await run(words, { env: broker.env });
    assert.equal(result.code, code, words.join(" "));
    assert.match(result.stderr, told);
  }
  for (const input of ["", "\n"]) {
    const { code, text } = await piped(broker, input, "pub", "room:1");
    assert.equal(code, 1);
    assert.match(text, /^ringcast: standard input is empty: there is no message/);
  }
});

testBroker("a trace ends with who reads it, and the next one need not wait", { config }, async (broker) => {
  const client = await broker.connect();
  const traced = program("bash", ["-c", `"${join(BIN_DIR, "ringcast")}" trace --channel room:1 -c "${broker.configPath}" | head -n 1`], { timeout: 30000 });
  await until("it is over", async () => {
    await client.publish("room:1", 1);
    return broker.log.some((line) => /trace_ended .*why="its reader ended it"/.test(line));
  }, { timeout: 20000 });
  assert.equal((await traced).code, 0);
  assert.equal((await run(["trace", "--channel", "room:1", "--seconds", "0.1", "-c", broker.configPath], { env: broker.env })).code, 0);
});

testBroker("who is to type a message is told so", { config }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("room:1");
  for (const [words, typed, told] of [["", "typed", "the message is what is typed here, until Ctrl-D"], ["--lines", "one", "each message is what is typed here, until Ctrl-D"]]) {
    const { stdout } = await program("bash", ["-c", `printf '${typed}\\n\\004' | script -qec '"${join(BIN_DIR, "ringcast")}" pub room:1 ${words} -c "${broker.configPath}"' /dev/null`], { timeout: 30000 });
    assert.ok(stdout.includes(`ringcast: ${told}`), stdout);
    assert.equal((await client.next("message")).data, typed);
  }
  assert.doesNotMatch((await piped(broker, "piped", "pub", "room:1")).text, /typed here/);
});

testBroker("sub hears any channel and its retained value", { config }, async (broker) => {
  await ringcast(broker, "retain", "closed:1", '"kept"');
  const child = spawn(join(BIN_DIR, "ringcast"), ["sub", "closed:1", "--count", "3", "--json", "--retained", "-c", broker.configPath], { env: { ...process.env, ...broker.env } });
  let out = "";
  let err = "";
  child.stdout.on("data", (bytes) => (out += bytes));
  child.stderr.on("data", (bytes) => (err += bytes));
  const ended = new Promise((done) => child.once("close", done));
  await until("it listens", () => err.includes("listening"));
  await ringcast(broker, "pub", "closed:1", '{"a":1}');
  await ringcast(broker, "pub", "closed:1", "2");
  assert.equal(await within(10000, ended, "three messages have come"), 0, err);
  const messages = out.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(messages.map((message) => message.data), ["kept", { a: 1 }, 2]);
  assert.ok(messages.every((message) => message.channel === "closed:1"));
});

testBroker("the way over the control socket needs no listener without TLS and outlives a worker", { config, workers: 2 }, async (broker) => {
  const pid = broker.kill("SIGKILL", 0);
  await until("another worker", () => broker.pids().workers[0] && broker.pids().workers[0] !== pid);
  await until("every worker answers", async () => {
    for (let i = 0; i < 4; i++) await json(broker, "clients");
    return true;
  });
  // Whoever comes over a listener needs a key as before.
  assert.equal((await broker.get("/api/clients")).status, 403);
});

testBroker("every command has --help with exit codes, and --json but for the one that runs", {}, async (broker) => {
  const listed = (await run(["help"])).stdout;
  const names = [...listed.matchAll(/^ {2}ringcast ([a-z][a-z-]+) /gm)].map(([, name]) => name);
  assert.ok(names.includes("memory") && names.length > 15, names.join());
  for (const name of names) {
    const { code, stdout } = await run([name, "--help"]);
    assert.equal(code, 0, name);
    assert.match(stdout, /exit codes/i, name);
    if (name !== "run") assert.match(stdout, /--json/, name);
  }
  // Exit codes as the pages say: 2 for words that mean nothing, with the page that has those that do; 1 without a broker.
  const needed = { pub: ["x", "1"], sub: ["x"], direct: ["x", "1"], retain: ["x", "1"], kick: ["x"], trace: ["--channel", "x"] };
  for (const name of names) {
    const wrong = await run([name, "--no-such-option"]);
    assert.equal(wrong.code, 2, name);
    assert.match(wrong.stderr, name === "token" ? /`ringcast token --help`/ : new RegExp(`\`ringcast help ${name}\``), name);
    assert.equal(wrong.stdout, "", name);
    if (!(await run(["help", name])).stdout.includes("--socket")) continue;
    const alone = await run([name, ...(needed[name] ?? []), "--socket", "/nobody/listens.sock"]);
    assert.equal(alone.code, 1, name);
    assert.match(alone.stderr, /^ringcast: .*\/nobody\/listens\.sock/, name);
  }
  const json = async (words, wanted = 0) => {
    const { code, stdout, stderr } = await run([...words, "--json"], { env: broker.env, timeout: 60000 });
    assert.equal(code, wanted, `${words.join(" ")}: ${stderr}`);
    return JSON.parse(stdout);
  };
  const file = ["-c", broker.configPath];
  assert.match((await json(["version"])).version, /^\d+\.\d+/);
  assert.deepEqual(await json(["check", broker.configPath]), { file: broker.configPath, correct: true, warnings: [] });
  const help = await json(["help"]);
  assert.deepEqual(help.commands.map(({ name }) => name), names);
  assert.deepEqual((await json(["help", "pub"])).commands.map(({ name }) => name), ["pub"]);
  assert.ok(help.commands.find(({ name }) => name === "pub").options.some(({ value, required }) => value === "CHANNEL" && required));
  const { sections, environment } = await json(["help-config"]);
  const keysOf = (wanted) => Object.fromEntries(sections.find(({ section }) => section === wanted).keys.map((key) => [key.key, key]));
  assert.deepEqual(keysOf("[limits]").ping_interval.default, "25s");
  assert.deepEqual(keysOf("[server]").listen.default, ["127.0.0.1:8080"]);
  assert.equal(keysOf("[[namespace]]").name.required, true);
  assert.ok(environment.some(({ name }) => name === "REDIS_URL"));
  const tuned = JSON.parse((await run(["tune", "--json", ...file], { env: broker.env })).stdout);
  assert.ok(tuned, "whether it is short is this machine's affair");
  assert.equal((await json(["reload", ...file])).ok, true);
  assert.ok((await json(["workers", ...file])).lines.length > 0);
  const handed = await json(["handover", "0", ...file]);
  assert.ok(handed.ok && handed.lines.some((line) => /worker 0 was handed over/.test(line)), JSON.stringify(handed));
  const refused = await json(["handover", "77", ...file], 1);
  assert.ok(!refused.ok && refused.lines.length > 0, JSON.stringify(refused));
  const stopped = await json(["stop", "--now", ...file]);
  assert.ok(stopped.ok && stopped.lines.at(-1) === "ended", JSON.stringify(stopped));
});

testBroker("a file that is wrong by now does not hide the broker that runs with an earlier one", { config: { "server.control_socket": "" } }, async (broker) => {
  broker.writeConfig({ ...broker.config, "limits.max_channels": "many" });
  const { code, stdout, stderr } = await run(["status", "-c", broker.configPath], { env: broker.env });
  assert.equal(code, 0, stderr);
  assert.match(stderr, /max_channels: expected/);
  assert.match(stderr, /looking for the broker that runs with an earlier/);
  assert.match(stdout, /^ringcast \S+, instance test, running/);
  broker.writeConfig(broker.config);
  // Where there is none it stays a wrong configuration.
  const nowhere = await run(["status", "-c", join(ROOT, "Makefile")], { env: broker.env });
  assert.equal(nowhere.code, 2);
  assert.match(nowhere.stderr, /no running broker found that runs with/);
});

testBroker("what could not be written is a failure, who may not ask is told whom to be, and a narrow screen cuts lines", { config }, async (broker) => {
  const ringcast = `"${join(BIN_DIR, "ringcast")}"`;
  const shell = (command) => program("bash", ["-c", command], { timeout: 30000 });
  for (const words of ["status", "clients --json", "channels", "postmortem --json", "pub room:1 1"]) {
    const { code, stderr } = await shell(`${ringcast} ${words} -c "${broker.configPath}" >/dev/full`);
    assert.deepEqual([code, stderr], [1, "ringcast: standard output could not be written (is the disk full?)\n"], words);
  }
  const nobody = `setpriv --reuid=65534 --regid=65534 --clear-groups ${ringcast}`;
  if ((await shell(`${nobody} version`)).code === 0) {
    const { code, stderr } = await shell(`${nobody} status --socket "${broker.config["server.control_socket"]}"`);
    assert.equal(code, 1);
    assert.match(stderr, /Permission denied: ask as the broker's user, or as root/);
  }
  const { stdout } = await shell(`script -qec 'stty cols 40 rows 12; timeout -s INT 5 ${ringcast} top --interval 0.2 -c "${broker.configPath}"' /dev/null`);
  const pictures = stdout.split("\x1b[H\x1b[2J\x1b[?7l").slice(1);
  assert.ok(pictures.length > 0, stdout);
  for (const picture of pictures) assert.ok(picture.includes("\x1b[?7h"), "lines go on in the next again after each");
});

/* Has the process a socket open, but for its standard ones (pipes of Node are sockets)? Between two requests `ringcast top` has none. */
function asks(pid) {
  return readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return fd > 2 && readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:");
    } catch {
      return false; // it has just been closed
    }
  });
}

/* Does a signal end the process at once? It is neither blocked nor ignored, and nobody handles it: proc(5). */
function endsBy(pid, number) {
  const text = readFileSync(`/proc/${pid}/status`, "latin1");
  return ["SigBlk", "SigIgn", "SigCgt"].every((name) => ((BigInt(`0x${new RegExp(`^${name}:\\s*(\\w+)`, "m").exec(text)[1]}`) >> BigInt(number - 1)) & 1n) === 0n);
}

/* A command that goes on, with all that it writes. */
function follow(broker, ...args) {
  const child = spawn(join(BIN_DIR, "ringcast"), args, { env: { ...process.env, ...broker.env }, stdio: ["ignore", "pipe", "pipe"] });
  const told = { child, out: "", err: "", ended: new Promise((done) => child.once("close", (code, signal) => done(code ?? signal))) };
  child.stdout.on("data", (bytes) => (told.out += bytes));
  child.stderr.on("data", (bytes) => (told.err += bytes));
  return told;
}

testBroker("what goes on until it is interrupted goes on over a restart of the broker, and says that there is no answer", { config }, async (broker) => {
  const socket = join(broker.folder, "between.sock");
  // The control socket, so that it can be away for a while.
  const open = async () => {
    const between = createServer((asked) => {
      const upstream = connect(broker.config["server.control_socket"]);
      asked.on("error", () => upstream.destroy()).pipe(upstream);
      upstream.on("error", () => asked.destroy()).pipe(asked);
    }).listen(socket);
    await new Promise((done) => between.once("listening", done));
    return () => new Promise((done) => between.close(done)); // and its path is gone
  };
  const pictures = ({ out }, mark) => out.split(mark).length - 1;
  let close = await open();
  const commands = [
    { told: follow(broker, "top", "--interval", "0.1", "--socket", socket), mark: "\x1b[H\x1b[2J", where: "out" },
    { told: follow(broker, "top", "--json", "--interval", "0.1", "--socket", socket), mark: "\n}\n", where: "err" },
    { told: follow(broker, "status", "--watch", "--socket", socket), mark: "\x1b[H\x1b[2J", where: "out" },
    { told: follow(broker, "status", "--watch", "--json", "--socket", socket), mark: "\n}\n", where: "err" },
  ];
  try {
    for (const { told, mark } of commands) await until("a picture", () => pictures(told, mark) > 1, { timeout: 20000 });
    await close();
    for (const { told, where } of commands) {
      await until("it is said", () => /ringcast: no answer for \d+ s: cannot reach a broker at .*between\.sock: No such file or directory; asked again, for \d+ s more/.test(told[where]) || (told.child.exitCode !== null && assert.fail(told.err)));
    }
    const seen = commands.map(({ told, mark }) => pictures(told, mark));
    close = await open();
    for (const [i, { told, mark }] of commands.entries()) await until("and goes on", () => pictures(told, mark) > seen[i] + 1, { timeout: 20000 });
    for (const { told } of commands) told.child.kill("SIGINT");
    // Between two questions it ends well; while it asks, by the signal.
    for (const { told } of commands) assert.ok([0, "SIGINT"].includes(await within(10000, told.ended, "it ends")), told.err);
    // Where there was no answer to begin with there is nothing to be waited for, and one picture is one.
    await close();
    for (const words of [["top"], ["status", "--watch"], ["top", "--once", "--interval", "0.1"]]) {
      const { code, stderr } = await run([...words, "--socket", socket]);
      assert.equal(code, 1, words.join(" "));
      assert.match(stderr, /^ringcast: cannot reach a broker at .*between\.sock/);
    }
  } finally {
    for (const { told } of commands) told.child.kill("SIGKILL");
  }
});

testBroker("`ringcast top` ends at once when it is interrupted, also while the broker hangs", {}, async (broker) => {
  const child = spawn(join(BIN_DIR, "ringcast"), ["top", "--json", "--interval", "0.1", "-c", broker.configPath], { env: { ...process.env, ...broker.env }, stdio: ["ignore", "pipe", "ignore"] });
  const ended = new Promise((done) => child.once("exit", (code, signal) => done(signal)));
  try {
    await new Promise((done) => child.stdout.once("data", done));
    child.stdout.resume();
    broker.kill("SIGSTOP", "acceptor");
    await until("it waits for an answer, and nothing holds the signal", () => asks(child.pid) && endsBy(child.pid, 2), { every: 5 });
    child.kill("SIGINT");
    assert.equal(await within(10000, ended, "it ends"), "SIGINT");
  } finally {
    broker.kill("SIGCONT", "acceptor");
    child.kill("SIGKILL");
  }
});
