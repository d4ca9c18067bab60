// Wrong input to `ringcast` itself: each mistake gets one clear line and the right exit code.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { run, testBroker } from "./lib/broker.mjs";
import { BIN_DIR, freePort, within } from "./lib/util.mjs";

let folder;
let path;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ringcast-e2e-"));
  path = join(folder, "wrong.toml");
});
after(() => rmSync(folder, { recursive: true, force: true }));

/* Both `check` and `run` say all of these lines and end with 2. */
async function refuses(text, ...lines) {
  writeFileSync(path, text);
  for (const args of [["check", path], ["run", "-c", path]]) {
    const { code, stderr, stdout } = await run(args, { cwd: folder });
    assert.equal(code, 2, `${args[0]} of ${JSON.stringify(text)}: exit code ${code}: ${stderr}${stdout}`);
    for (const line of lines) assert.match(stderr, line, `${args[0]} of ${JSON.stringify(text)}`);
  }
}

test("syntax, types, unknown keys and ranges have a file, a line and a column", async () => {
  const at = (line, column, rest) => new RegExp(`^${path.replace(/[.]/g, "\\.")}:${line}:${column}: .*${rest}`, "m");
  await refuses("[server\n", at(1, "\\d+", ""));
  await refuses("[server]\nlisten = \n", at("[23]", "\\d+", ""));
  await refuses("x = 1\n", at(1, 1, '"x"'));
  await refuses("[server]\nwrokers = 2\n", at(2, 1, '"wrokers".*"workers"'));
  await refuses("[sevrer]\nworkers = 2\n", at(1, "\\d+", '"sevrer"'));
  await refuses("[server]\nworkers = 0\n", at(2, 11, "from 1 to"));
  await refuses('[server]\nworkers = "two"\n', at(2, 11, "two"));
  await refuses("[server]\nlisten = 5\n", at(2, 10, "list"));
  await refuses('[server]\nlisten = ["nonsense:x"]\n', at(2, "\\d+", "nonsense"));
  await refuses('[limits]\nping_interval = "25 parsecs"\n', at(2, 17, "parsecs"));
  await refuses('[limits]\nmax_message_size = "1TB"\n', at(2, 20, "1TB"));
  await refuses("[limits]\nmax_channels = 1.5\n", at(2, 16, ""));
  await refuses('[[namespace]]\nname = "a"\nsubscribe = "everyone"\n', at(3, 13, "everyone"));
  await refuses('[namespace]\nname = "a"\n', at(1, "\\d+", "\\[\\[namespace\\]\\]"));
  await refuses('[[endpoint]]\nprotocol = "raw"\n', at("\\d+", "\\d+", "path"));
  await refuses('[server]\ninstance_id = "a b"\n', at(2, 15, ""));
  await refuses('[server]\npath = "/ws"\npath = "/x"\n', at(3, "\\d+", ""));
  await refuses('[socketio]\ntransports = ["webtransport"]\n', at(2, 15, "polling"));
  await refuses('[[event]]\non = "a"\njoin = ["ok",\n  "{arg.0}"]\n', at(4, 3, "no such value: \\{arg\\.0\\}"));
  await refuses('[[event]]\non = "a"\n[[event.emit]]\nto = "*"\nargs = [{ a = [1, "{usr.id}"] }]\n', at(5, 19, "usr\\.id"));
  // All at once, one line each.
  await refuses("[server]\nworkers = 0\n[limits]\nmax_channels = 0\n[log]\nlevel = \"loud\"\n", at(2, 11, ""), at(4, 16, ""), at(6, 9, ""));
});

test("what a file cannot mean is refused with a remedy", async () => {
  await refuses('[socketio]\n[limits]\nmax_message_size = "64KiB"\n', /socketio\.max_payload.*limits\.max_message_size/);
  await refuses('[limits]\nmax_message_size = "8KiB"\n[[pusher_app]]\nid = "7"\nkey = "k"\nsecret = "change-this-secret"\n', /"7": max_event_size is above limits\.max_message_size.*lower it/);
  await refuses('[socketio]\n[[endpoint]]\npath = "/socket.io"\n', /\/socket\.io\/ is used twice/);
  await refuses('[socketio]\n[[event]]\non = "a"\nnsp = "/admin"\n', /"\/admin" is none of socketio\.namespaces/);
  await refuses('[server]\nring_size = "1MiB"\n[limits]\nmax_message_size = "1MiB"\n', /ring_size/);
  await refuses('[server]\nring_size = "100KiB"\n', /ring_size.*power of two/);
  await refuses('[server]\nlisten = ["0.0.0.0:8080"]\n[debug]\nuser_query = "user"\n', /debug\.user_query.*loopback/);
  await refuses('[[namespace]]\nname = "a"\n[[namespace]]\nname = "a"\n', /"?a"?/);
  await refuses("\xff\xfe", /wrong\.toml/);
  await refuses("[server]\0", /wrong\.toml/);
  await refuses(`[server]\npath = "/${"x".repeat(300)}"\n`, /server\.path/);
});

test("users and files that are not there are refused by `check` as by `run`", async () => {
  await refuses('[server]\nuser = "no-such-user-here"\n', /wrong\.toml: server\.user: there is no user "no-such-user-here"/);
  await refuses('[http]\nadmin_listen = "0.0.0.0:8081"\n[debug]\nuser_query = "user"\n', /debug\.user_query.*loopback/);
});

test("Redis is not required to start: files of its TLS that cannot be read are a warning", async () => {
  writeFileSync(path, '[redis]\nurl = "rediss://127.0.0.1"\ntls_ca = "/nonexistent/ca.pem"\n');
  const { code, stderr } = await run(["check", path]);
  assert.equal(code, 0, stderr);
  assert.match(stderr, /warning: redis\.tls_ca: cannot read \/nonexistent\/ca\.pem.*local-only/);
});

test("`check` says that a listener for administrators brings others too", async () => {
  const permissions = async (admin) => {
    writeFileSync(path, `[server]\nlisten = ["127.0.0.1:1"]\n[http]\nadmin_listen = "${admin}"\n`);
    const { code, stdout } = await run(["check", path]);
    assert.equal(code, 0);
    return stdout;
  };
  assert.match(await permissions("127.0.0.1:2"), /"auto" permissions are anyone: every listener is loopback/);
  const others = await permissions("0.0.0.0:2");
  assert.match(others, /"auto" permissions are none: other hosts can reach a listener .*http\.admin_listen/);
  assert.match(others, /broadcast: none; direct: none; publish: none in default/);
});

test("`check` warns of what `run` warns of, and of what would keep it from starting here", async () => {
  writeFileSync(path, '[limits]\nhistory_memory = "0B"\n[[namespace]]\nname = "news"\nhistory = 100\n');
  const noEffect = /warning: \[\[namespace\]\] news: history has no effect with limits\.history_memory/;
  const misspelt = /warning: environment variable RINGCAST_APIKEY is not known and sets nothing: did you mean RINGCAST_API_KEY\?/;
  const { code, stdout, stderr } = await run(["check", path], { env: { RINGCAST_APIKEY: "a-secret-value" } });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /correct/);
  assert.match(stderr, noEffect);
  assert.match(stderr, misspelt);
  assert.doesNotMatch(stderr, /a-secret-value/);
  writeFileSync(path, "");
  assert.equal((await run(["check", path])).stderr, "");
  // Rows that guard nothing, and such as will be refused.
  const rows = '[socketio]\n[[event]]\non = "a"\njoin = ["inbox-{user.id}"]\n[[event]]\non = "b"\njoin = ["inbox:{user.id}", "lobby"]\n[[event]]\non = "c"\njoin = ["{args.0}"]\nemit = [{ to = "{args.0}" }]\n[[event]]\non = "d"\nleave = ["{args.0}"]\nemit = [{ to = "{args.0}" }]\n';
  const warned = async (text) => {
    writeFileSync(path, text);
    return [...(await run(["check", path])).stderr.matchAll(/warning: line (\d+): \[\[event\]\] on = "(\w)": (\[\[namespace\]\] default lets others in|clients name where it joins|clients name where it sends)/g)].map(([, line, row, what]) => `${line} ${row} ${what.split(" ").at(-1)}`);
  };
  const backend = (call) => `[[backend]]\nname = "app"\nurl = ["http://127.0.0.1:1/"]\ncalls = ["${call}"]\n`;
  assert.deepEqual(await warned(rows), ["2 a in"]);
  assert.deepEqual(await warned(`${rows}[[namespace]]\nname = "default"\nsubscribe = "none"\n`), []);
  assert.deepEqual(await warned(rows + backend("subscribe")), ["8 c joins"]);
  assert.deepEqual(await warned(rows + backend("publish")), ["2 a in", "8 c sends", "12 d sends"]);
  writeFileSync(path, "[server]\nmax_connections = 100000000\nworkers = 1\n");
  assert.match((await run(["check", path])).stderr, /warning: it would not start here, now and by this user: .*server\.max_connections/);
});

testBroker("warnings are in the start-up log, and told by a reload", {
  env: { RINGCAST_APIKEY: "a-secret-value" }, config: { "limits.history_memory": "0B", namespace: [{ name: "news", history: 100 }] },
}, async (broker) => {
  const warned = (pattern) => broker.log.filter((line) => /WARN acceptor config_warning/.test(line) && pattern.test(line)).length;
  assert.equal(warned(/news: history has no effect/), 1);
  assert.equal(warned(/RINGCAST_APIKEY.*did you mean RINGCAST_API_KEY/), 1);
  broker.writeConfig({ ...broker.config, namespace: [{ name: "news", history: 100 }, { name: "more", history: 5 }] });
  const { stdout } = await run(["reload", "-c", broker.configPath]);
  assert.match(stdout, /warning: \[\[namespace\]\] more: history has no effect/);
  assert.equal(warned(/more: history/), 1);
  broker.writeConfig({ ...broker.config, "server.user": "no-such-user-here" });
  const refused = await run(["reload", "-c", broker.configPath]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stdout, /there is no user "no-such-user-here"/);
});

test("a file that is not there, a folder, wrong usage", async () => {
  for (const args of [["check", join(folder, "none.toml")], ["run", "-c", join(folder, "none.toml")], ["check", folder]]) {
    const { code, stderr } = await run(args);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /none\.toml|ringcast-e2e/);
  }
  for (const args of [["nonsense"], ["run", "-c"], ["check"], ["run", "--nonsense"]]) {
    const { code, stderr } = await run(args);
    assert.equal(code, 2, `${args}: ${stderr}`);
    assert.notEqual(stderr, "");
  }
  const { code, stdout, stderr } = await run(["status", "--socket", join(folder, "none.sock")]);
  assert.equal(code, 1);
  assert.notEqual(stderr + stdout, "");
});

test("wrong usage is 2 before anybody is asked, and names the page of the command", async () => {
  const page = (name) => `\`ringcast help${name && ` ${name}`}\``;
  for (const [name, text, ...args] of [
    ["", "there is no command: nonsense", "nonsense"], ["", "unknown argument: --nonsense", "--nonsense"],
    ["clients", "unknown argument: --sort", "clients", "--sort", "rate"], ["clients", "a value is missing after: --user", "clients", "--user"],
    ["clients", "--limit is a number from 1 to 1000000, and not: x", "clients", "--limit", "x"], ["clients", "--behind is a number of bytes, and not: x", "clients", "--behind", "x"],
    ["channels", "--sort is name, rate, subscribers, bytes or memory, and not: x", "channels", "--sort=x"],
    ["memory", "--interval is a number of seconds", "memory", "--interval", "x"], ["top", "--interval is a number of seconds", "top", "--interval", "0"],
    ["trace", "one of --client, --user, --channel and --event is needed", "trace"], ["kick", "one of CLIENT and --user is needed", "kick"],
    ["pub", "a CHANNEL is needed", "pub"], ["sub", "a CHANNEL is needed", "sub"], ["direct", "a CLIENT is needed", "direct"],
    ["workers", "how many workers is a number, and not: x", "workers", "x"], ["handover", "a worker is a number, or all, and not: x", "handover", "x"],
  ]) {
    const { code, stdout, stderr } = await run(args);
    assert.deepEqual([code, stdout], [2, ""], args.join(" "));
    assert.ok(stderr.startsWith(`ringcast: ${text}`) && stderr.endsWith(`; ${page(name)} lists what there is\n`), stderr);
  }
});

test("`check --json` says what is wrong, too, to programs", async () => {
  writeFileSync(path, "[server]\nworkers = 0\nlissten = 1\n");
  const wrong = await run(["check", path, "--json"]);
  assert.deepEqual([wrong.code, wrong.stderr], [2, ""]);
  const { file, correct, errors } = JSON.parse(wrong.stdout);
  assert.deepEqual([file, correct], [path, false]);
  assert.ok(errors.some((line) => line.startsWith(`${path}:3:1: unknown key "lissten"`)), errors.join("\n"));
  writeFileSync(path, "");
  assert.deepEqual(JSON.parse((await run(["check", path, "--json"])).stdout), { file: path, correct: true, warnings: [] });
  const none = await run(["check", join(folder, "none.toml"), "--json"]);
  assert.deepEqual([none.code, JSON.parse(none.stdout).correct], [2, false]);
});

test("good files are good", async () => {
  writeFileSync(path, "");
  assert.equal((await run(["check", path])).code, 0);
  const help = await run(["--help-config"]);
  assert.equal(help.code, 0);
  for (const key of ["listen", "max_message_size", "slow_consumer"]) assert.match(help.stdout, new RegExp(`^ *${key} = `, "m"));
  assert.equal((await run(["version"])).code, 0);
});

test("each command says what it is for, and the file may be named by the environment", async () => {
  const help = await run(["help"]);
  assert.equal(help.code, 0);
  const commands = [...help.stdout.matchAll(/^ {2}ringcast ([a-z-]+) /gm)].map((match) => match[1]);
  assert.ok(commands.includes("run") && commands.includes("token") && commands.length >= 10, help.stdout);
  for (const command of commands) {
    const page = await run([command, "--help"]);
    assert.equal(page.code, 0, `${command}: ${page.stderr}`);
    assert.match(page.stdout, /^ringcast [\s\S]*\bexit codes?\b/i, command);
    assert.equal((await run(["help", command])).stdout, page.stdout);
    // What a command needs stands without brackets, and whoever has an answer has one for programs.
    if (["pub", "retain"].includes(command)) assert.match(page.stdout, new RegExp(`^ringcast ${command} CHANNEL \\[DATA\\] \\[OPTION\\]\\.\\.\\.\n`));
    if (!["run", "help", "help-config"].includes(command)) assert.match(page.stdout, /--json\b/, command);
  }
  for (const manual of [["help", "--man"], ["help-config", "--man"]]) assert.match((await run(manual)).stdout, /^\.TH RINGCAST/);

  writeFileSync(path, "[server]\nworkers = 0\n");
  const wrong = await run(["check"], { env: { RINGCAST_CONFIG: path } });
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, new RegExp(`${path}:2:`));
  writeFileSync(path, "");
  assert.equal((await run(["check"], { env: { RINGCAST_CONFIG: path } })).code, 0);
});

test("a port that is taken is one clear line with a remedy", async () => {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    const { port } = server.address();
    writeFileSync(path, `[server]\nlisten = ["127.0.0.1:${port}"]\nworkers = 1\ncontrol_socket = "${folder}/c.sock"\n`);
    const { code, stderr } = await run(["run", "-c", path]);
    assert.equal(code, 1, stderr);
    const lines = stderr.split("\n").filter((line) => line.includes(`127.0.0.1:${port}`));
    assert.equal(lines.length, 1, stderr);
    assert.match(lines[0], /in use/);
    assert.match(lines[0], /server\.listen/);
  } finally {
    server.close();
  }
});

test("too few descriptors are one clear line with a remedy", async () => {
  const port = await freePort();
  writeFileSync(path, `[server]\nlisten = ["127.0.0.1:${port}"]\nworkers = 1\ncontrol_socket = "${folder}/c.sock"\n`);
  // -H too: root could raise the hard limit again where it has the capability; then it starts, and that is fine as well.
  const child = spawn("bash", ["-c", `ulimit -n 60; exec "${join(BIN_DIR, "ringcast")}" run -c "${path}"`], { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (bytes) => {
    stderr += bytes;
    if (/ running /.test(stderr)) child.kill("SIGTERM");
  });
  try {
    const [code] = await within(30000, once(child, "close"), "it ends");
    if (/ running /.test(stderr)) return;
    assert.equal(code, 1, stderr);
    assert.match(stderr, /RLIMIT_NOFILE is 60.*ulimit -n/);
  } finally {
    child.kill("SIGTERM");
  }
});

testBroker("a second broker of the same name or port does not disturb the first", {}, async (broker) => {
  const { code, stderr } = await run(["run", "-c", broker.configPath], { env: { RUNTIME_DIRECTORY: broker.folder } });
  assert.equal(code, 1, stderr);
  const client = await broker.connect();
  await client.ping();
  assert.equal((await broker.status()).state, "running");
});
