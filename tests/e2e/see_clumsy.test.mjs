// The operator's commands in clumsy hands, and before names that clients chose to be a nuisance.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { run, testBroker } from "./lib/broker.mjs";
import { BIN_DIR, program, until, within } from "./lib/util.mjs";

const config = { "debug.user_query": "user", "limits.notsent_lowat": "16KiB", "limits.send_buffer": "16KiB" };

/* A command's standard output as bytes: what is cut in the middle of a character is not seen in a text. */
async function bytesOf(broker, ...args) {
  const child = spawn(join(BIN_DIR, "ringcast"), [...args, "-c", broker.configPath], { env: { ...process.env, ...broker.env }, stdio: ["ignore", "pipe", "inherit"] });
  const parts = [];
  child.stdout.on("data", (part) => parts.push(part));
  const [code] = await within(20000, once(child, "close"), `ringcast ${args.join(" ")} ends`);
  assert.equal(code, 0, args.join(" "));
  return Buffer.concat(parts);
}

testBroker("names that clients chose stay text, whole characters and columns in what people read", { config, workers: 1, timeout: 60000 }, async (broker) => {
  const pictures = "😀".repeat(20);
  const turned = "\u202egnp.exe";
  const behind = await broker.connect({ path: `/ws?user=${encodeURIComponent(pictures)}` });
  const other = await broker.connect({ path: `/ws?user=${encodeURIComponent("李明")}` });
  const liar = await broker.connect({ path: `/ws?user=${encodeURIComponent(turned)}` });
  const channel = `room:${pictures}${"x".repeat(30)}`;
  for (const client of [behind, other, liar]) client.ondelivery = () => {};
  for (const client of [behind, other]) await client.subscribe(channel);
  // The longest first: it is what `top` and `memory` cut, also among those that do not read.
  behind.socket.pause();
  const data = "x".repeat(30000);
  await until("it is behind", async () => {
    await other.publish(channel, data);
    return /😀/.test(await bytesOf(broker, "clients", "--behind", "1"));
  });
  const commands = [["top", "--once", "--interval", "0.1"], ["memory", "--interval", "0.1"], ["clients"], ["clients", "--by", "user"], ["channels"], ["channels", "--sort", "rate"]];
  for (const args of commands) {
    const bytes = await bytesOf(broker, ...args);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes); // throws at half a character
    assert.ok(args[0] === "memory" || args[0] === "top" || args[0] === "channels" || text.includes("\ufffdgnp.exe"), `${args.join(" ")}: ${text}`);
    assert.ok(!text.includes("\u202e"), `${args.join(" ")}: the line is not turned around`);
  }
  // A user of two wide characters takes the same columns as any other one.
  const table = (await bytesOf(broker, "clients")).toString().split("\n");
  const line = table.find((row) => row.includes("李明"));
  assert.equal(line.indexOf("127.0.0.1") + 2, table[0].indexOf("ADDRESS"), table.join("\n"));
  // Programs get what it is.
  const { clients } = JSON.parse(await bytesOf(broker, "clients", "--json"));
  assert.deepEqual(clients.map(({ user }) => user).sort(), [pictures, turned, "李明"].sort());
  behind.socket.resume();
});

testBroker("what somebody publishes does not move the cursor of who listens", { config, workers: 1 }, async (broker) => {
  const client = await broker.connect();
  const child = spawn(join(BIN_DIR, "ringcast"), ["sub", "room:1", "--count", "1", "-c", broker.configPath], { env: { ...process.env, ...broker.env }, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.on("data", (part) => (out += part));
  child.stderr.on("data", (part) => (err += part));
  const closed = once(child, "close");
  await until("it listens", () => err.includes("listening"));
  await client.publish("room:1", "a\u009b2Jb\u007f\u202ec é");
  assert.deepEqual(await within(10000, closed, "it has heard it"), [0, null]);
  assert.equal(out, 'room:1\n  "a\ufffd2Jb\ufffd\ufffdc é"\n');
});

testBroker("what cannot be meant is refused before anything is asked, and said", { config, workers: 1 }, async (broker) => {
  const file = ["-c", broker.configPath];
  const long = "y".repeat(70000);
  for (const value of ["nan", "inf", "-1", "0", "", "1e400", "1e30", "x"]) {
    const { code, stderr } = await run(["trace", "--channel", "x", "--seconds", value, ...file], { env: broker.env });
    assert.deepEqual([value, code], [value, 2]);
    assert.match(stderr, value === "" ? /a value is missing after: --seconds/ : /--seconds is a number above 0/);
  }
  for (const option of ["--client", "--user", "--channel", "--event"]) {
    const { code, stderr } = await run(["trace", option, long, ...file], { env: broker.env });
    assert.deepEqual([code, stderr], [1, "ringcast: what is to be traced is too long\n"], option);
  }
  for (const value of ["-1", "0", "x", ""]) assert.equal((await run(["sub", "room:1", "--count", value, ...file], { env: broker.env })).code, 2, value);
  for (const value of ["x", "0", "-1", ""]) {
    const { code, stderr } = await run(["memory", "--limit", value, ...file], { env: broker.env });
    assert.deepEqual([value, code], [value, 2]);
    assert.match(stderr, value === "" ? /a value is missing after: --limit/ : /--limit is a number/);
  }
  // A script may have put there what somebody else chose: it is shown, as text, and not all of it.
  const odd = await run(["clients", "--limit", `\x1b[31m${long}`, ...file], { env: broker.env });
  assert.equal(odd.code, 2);
  assert.ok(odd.stderr.length < 400 && odd.stderr.includes("\ufffd[31my") && !odd.stderr.includes("\x1b"), odd.stderr.slice(0, 200));
});

testBroker("as many as want to trace at once: one does, each other one is told why not", { config, workers: 1, timeout: 60000 }, async (broker) => {
  const args = ["trace", "--channel", "x", "-c", broker.configPath];
  const traces = spawn(join(BIN_DIR, "ringcast"), args, { env: { ...process.env, ...broker.env }, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  traces.stderr.on("data", (part) => (said += part));
  const ended = once(traces, "close");
  try {
    await until("it traces", () => said === "ringcast: tracing\n");
    // It reads what is traced all the time, and is turned away as others are while these ask: that is not its end.
    const all = await Promise.all(Array.from({ length: 39 }, () => run(args, { env: broker.env, timeout: 40000 })));
    for (const { code, stderr } of all) {
      assert.equal(code, 1);
      assert.match(stderr, /^ringcast: (another trace runs|the broker is answering as many commands as it can at a time: try again)/);
    }
    const { code, stderr } = await run(args, { env: broker.env, timeout: 40000 });
    assert.deepEqual([code, /^ringcast: another trace runs/.test(stderr), said, traces.exitCode], [1, true, "ringcast: tracing\n", null], stderr);
    traces.kill("SIGINT");
    assert.deepEqual(await within(20000, ended, "who traced ends"), [0, null], said);
  } finally {
    traces.kill("SIGKILL");
  }
  assert.equal((await run([...args, "--seconds", "0.1"], { env: broker.env, timeout: 40000 })).code, 0, "and the next one may");
});

testBroker("a trace goes on behind a moment in which all sessions of the control socket were somebody else's", { config, workers: 1, timeout: 60000 }, async (broker) => {
  const args = ["trace", "--channel", "x", "-c", broker.configPath];
  const traces = spawn(join(BIN_DIR, "ringcast"), args, { env: { ...process.env, ...broker.env }, stdio: ["ignore", "pipe", "pipe"] });
  const said = { out: "", err: "" };
  traces.stdout.on("data", (part) => (said.out += part));
  traces.stderr.on("data", (part) => (said.err += part));
  const ended = once(traces, "close");
  // Whose place was just another one's comes again.
  let held = 0;
  const sockets = new Set();
  const hold = () => {
    if (sockets.size >= held) return;
    const socket = connect(broker.config["server.control_socket"]).on("error", () => {}).resume(); // else who is turned away never closes
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket) && setTimeout(hold, 20));
  };
  const release = () => {
    held = 0;
    for (const socket of sockets) socket.destroy();
  };
  try {
    await until("it traces", () => said.err === "ringcast: tracing\n");
    for (held = 16; sockets.size < held;) hold();
    let since;
    await until("all are turned away for longer than it takes until it reads again", async () => {
      const answer = await broker.ask("version").catch((error) => error.message);
      if (/^ok/.test(answer)) since = undefined;
      else since ??= performance.now();
      return performance.now() - since > 700;
    }, { every: 50 });
    release();
    const client = await broker.connect();
    await until("what is published is traced", async () => {
      await client.publish("x", 1);
      return /channel=x/.test(said.out) || traces.exitCode !== null;
    }, { every: 100 });
    assert.match(said.out, /channel=x/, said.err);
    traces.kill("SIGINT");
    assert.deepEqual([await within(20000, ended, "it ends"), said.err], [[0, null], "ringcast: tracing\n"]);
  } finally {
    release();
    traces.kill("SIGKILL");
  }
});

/* A control socket that answers each request of a trace so; what it was asked, with what the trace said and its end. */
async function traceOf(answer, body) {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-e2e-trace-"));
  const path = join(folder, "control.sock");
  const asked = [];
  const server = createServer((socket) => socket.on("error", () => {}).once("data", (data) => {
    asked.push(String(data).trim());
    socket.end(answer(asked.at(-1)));
  }));
  await new Promise((done) => server.listen(path, done));
  const child = spawn(join(BIN_DIR, "ringcast"), ["trace", "--channel", "x", "--socket", path], { stdio: ["ignore", "ignore", "pipe"] });
  const traces = { child, asked, said: "", ended: once(child, "close"), ends: () => asked.filter((line) => line === "trace end 7").length };
  child.stderr.on("data", (part) => (traces.said += part));
  try {
    await body(traces);
  } finally {
    child.kill("SIGKILL");
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a trace that cannot say that it ends: who interrupts it once more does not wait for that", () => traceOf(
  (request) => /end/.test(request) ? "error\nthe broker is answering as many commands as it can at a time: try again\n" : /begin/.test(request) ? "ok\n7\n" : "ok\n",
  async ({ child, asked, ended, ends }) => {
    await until("it traces", () => asked.includes("trace read 7"));
    child.kill("SIGINT");
    await until("it is to end", () => ends() > 0);
    const before = ends();
    child.kill("SIGINT");
    assert.deepEqual(await within(20000, ended, "it ends"), [0, null]);
    assert.ok(ends() <= before + 2, `${ends()} times, ${before} before`);
  },
));

test("a trace that fails says so once", () => traceOf(
  (request) => /begin/.test(request) ? "ok\n7\n" : "error\nthis trace has ended\n",
  async (traces) => {
    assert.deepEqual(await within(20000, traces.ended, "it ends"), [1, null]);
    assert.equal(traces.said, "ringcast: tracing\nringcast: this trace has ended\n");
    assert.equal(traces.ends(), 1);
  },
));

testBroker("who holds all sessions of the control socket is told of, and holds them for seconds", { config, workers: 1 }, async (broker) => {
  const socket = broker.config["server.control_socket"];
  // What is let go of is taken again, until a line says that it is enough: three commands may take longer than the seconds that one is held.
  const held = spawn(process.execPath, ["-e", `
    const { connect } = require("node:net");
    let [open, enough] = [0, false];
    const hold = () => {
      let is = false;
      connect(${JSON.stringify(socket)}, () => ((is = true), ++open === 16 && console.log("held"))).on("error", () => {}).on("close", () => {
        if (is) open--;
        if (!enough) setImmediate(hold);
        else if (open === 0) console.log("all were let go of");
      }).resume();
    };
    for (let i = 0; i < 16; i++) hold();
    const tell = () => (open === 0 ? setImmediate(tell) : (enough = true, console.log("enough, with " + open))); // all may just have been let go of
    process.stdin.once("data", tell);
  `], { stdio: ["pipe", "pipe", "inherit"] });
  let said = "";
  held.stdout.on("data", (part) => (said += part));
  try {
    await until("they are held", () => said.includes("held"));
    for (const args of [["status"], ["status", "--json"], ["clients"]]) {
      const { code, stdout, stderr } = await until("it is turned away", async () => {
        const answer = await run([...args, "--socket", socket], { env: broker.env });
        return answer.code !== 0 && answer; // else not all were accepted yet
      });
      assert.deepEqual([code, stdout], [1, ""], "not on standard output");
      assert.match(stderr, /as many commands as it can at a time: try again/);
    }
    held.stdin.write("enough\n");
    await until("it takes no more", () => said.includes("enough, with "));
    await until("and then answered, though they hold on", async () => (await run(["status", "--socket", socket], { env: broker.env })).code === 0, { timeout: 20000 });
    await until("the broker has let go of all", () => said.includes("all were let go of"), { timeout: 20000 });
  } finally {
    held.kill("SIGKILL");
  }
});

testBroker("who is to listen and gets no answer is told so", { workers: 1 }, async (broker) => {
  const path = join(broker.folder, "hangs.sock");
  // As a worker that has just begun to hang: the acceptor has handed the connection over, and nothing comes.
  const hangs = createServer((socket) => socket.on("error", () => {}).once("data", () => socket.write("ok\n"))).listen(path);
  const ends = join(broker.folder, "ends.sock");
  const ended = createServer((socket) => socket.on("error", () => {}).once("data", () => {
    socket.write("ok\n");
    socket.once("data", () => socket.end());
  })).listen(ends);
  try {
    await Promise.all([once(hangs, "listening"), once(ended, "listening")]);
    const both = await Promise.all([path, ends].map((one) => run(["sub", "room:1", "--socket", one], { env: broker.env, timeout: 30000 })));
    assert.deepEqual(both.map(({ code }) => code), [1, 1]);
    assert.match(both[0].stderr, /^ringcast: no answer in 10 s: the broker, or the worker that was to answer, hangs/);
    assert.match(both[1].stderr, /^ringcast: the broker has closed the connection without an answer/);
  } finally {
    hangs.close();
    ended.close();
  }
});

testBroker("who is stopped while it waits for an answer, as by Ctrl-Z, waits on when it is continued", { workers: 1 }, async (broker) => {
  const path = join(broker.folder, "late.sock");
  let answer;
  const late = createServer((socket) => socket.on("error", () => {}).once("data", () => {
    socket.write("ok\n");
    socket.once("data", () => (answer = (text) => socket.write(text)));
  })).listen(path);
  const child = spawn(join(BIN_DIR, "ringcast"), ["sub", "room:1", "--count", "1", "--socket", path], { env: { ...process.env, ...broker.env }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (said += part));
  const closed = once(child, "close");
  const state = () => /^\d+ \(.*\) (\S)/.exec(readFileSync(`/proc/${child.pid}/stat`, "latin1"))[1];
  try {
    await until("it has asked, and waits", () => answer && state() === "S");
    child.kill("SIGSTOP");
    await until("it is stopped", () => state() === "T");
    child.kill("SIGCONT");
    await until("it goes on, or has ended", () => state() !== "T");
    answer('HTTP/1.1 200 OK\r\n\r\ndata: {"type":"message","channel":"room:1","data":1}\n\n');
    assert.deepEqual(await within(10000, closed, "it has heard it"), [0, null], said);
    assert.match(said, /listening[^]*room:1\n {2}1\n/);
  } finally {
    child.kill("SIGKILL");
    late.close();
  }
});

testBroker("an answer ends with its last byte, and not with its connection, which a busy worker closes later", { workers: 1 }, async (broker) => {
  const path = join(broker.folder, "stays.sock");
  const body = '{"clients":[],"next":null,"more":false}';
  const stays = createServer((socket) => {
    let text = "";
    socket.on("error", () => {}).on("data", (part) => {
      text += part;
      if (text === "api\n") socket.write("ok\n");
      else if (text.endsWith("\r\n\r\n")) socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
    });
  }).listen(path);
  try {
    await once(stays, "listening");
    const { code, stdout, stderr } = await run(["clients", "--json", "--socket", path], { env: broker.env, timeout: 30000 });
    assert.deepEqual([code, stderr], [0, ""]);
    assert.deepEqual(JSON.parse(stdout), { clients: [], more: false });
  } finally {
    stays.close();
  }
});

testBroker("of messages that cannot be taken it is said why, and of lines which", { config: { "limits.max_message_size": "1KB" }, workers: 1 }, async (broker) => {
  const pub = (input, ...args) => program("bash", ["-c", `cat "${input}" | "${join(BIN_DIR, "ringcast")}" pub room:1 ${args.join(" ")} -c "${broker.configPath}"`], { timeout: 30000 });
  const file = join(broker.folder, "input");
  writeFileSync(file, "x".repeat(8 << 20));
  const large = await pub(file);
  assert.equal(large.code, 1);
  assert.match(large.stderr, /\(413\)/, "and not that the connection broke");
  writeFileSync(file, Buffer.concat([Buffer.from("1\n{\n"), Buffer.from([0xff, 0x0a]), Buffer.from("2\n")]));
  const lines = await pub(file, "--lines");
  assert.deepEqual([lines.code, lines.stdout.match(/^published/gm).length], [1, 2]);
  assert.equal(lines.stderr, "ringcast: the message is not UTF-8\nringcast: that was line 3: those before it were sent\n");
});
