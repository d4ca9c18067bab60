// Several brokers on one host: `ringcast status|reload|stop` ask the one that is meant, or none.
import assert from "node:assert/strict";
import { chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import test from "node:test";
import { isAlive, run, startBroker } from "./lib/broker.mjs";
import { until, within } from "./lib/util.mjs";

/* Brokers whose sockets lie in one folder, as those of one user do. */
async function together(names, body) {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-e2e-which-"));
  const env = { RUNTIME_DIRECTORY: folder };
  const brokers = [];
  try {
    for (const name of names) brokers.push(await startBroker({ workers: 1, env, config: { "server.control_socket": "", "server.instance_id": name } }));
    await body((...args) => run(args, { env, cwd: folder }), brokers, folder);
    for (const broker of brokers) if (!broker.exit) await broker.stop();
  } finally {
    for (const broker of brokers) await broker.destroy();
    rmSync(folder, { recursive: true, force: true });
  }
}

test("-c names one broker, and none is taken in its stead when that one is down", () => together(["", "b", "c"], async (ask, [a, b, c], folder) => {
  for (const broker of [a, b, c]) {
    const { code, stdout, stderr } = await ask("status", "--json", "-c", broker.configPath);
    assert.equal(code, 0, stderr);
    const status = JSON.parse(stdout);
    assert.equal(status.processes[0].pid, broker.pid);
    assert.equal(status.config, broker.configPath);
  }
  // Written otherwise it is still that file.
  const byRelative = await ask("stop", "-c", relative(folder, b.configPath));
  assert.equal(byRelative.code, 0, byRelative.stderr);
  assert.deepEqual(await b.exited, { code: 0, signal: null });

  // b is down, the others run.
  for (const word of ["status", "reload", "stop"]) {
    const { code, stdout, stderr } = await ask(word, "-c", b.configPath);
    assert.equal(code, 1, `${word}: ${stdout}${stderr}`);
    assert.match(stderr, /no running broker found that runs with .*ringcast\.toml/);
    assert.equal(stdout, "");
  }
  // So it is with a file that nobody runs with, although its instance id is that of one.
  const other = join(folder, "other.toml");
  writeFileSync(other, '[server]\ninstance_id = "c"\n');
  assert.equal((await ask("stop", "-c", other)).code, 1);
  assert.equal((await ask("stop", "-c", join(folder, "none.toml"))).code, 2);
  for (const broker of [a, c]) assert.ok(isAlive(broker.pid) && !broker.exit);
  assert.equal((await ask("reload", "-c", c.configPath)).code, 0);
}));

test("a socket that another user put into /tmp is not asked, and that is said", { skip: process.getuid() !== 0 && "only root can make one" }, async () => {
  const path = `/tmp/ringcast-e2e-${process.pid}.sock`;
  let asked = 0;
  const impostor = createServer((socket) => { asked++; socket.end("ok\n"); });
  await new Promise((done) => impostor.listen(path, done));
  try {
    chownSync(path, 65534, 65534);
    const { stderr } = await run(["reload", "-c", "/dev/null"], { env: { RUNTIME_DIRECTORY: "/nonexistent" } });
    assert.match(stderr, /in \/tmp of another user not asked/);
    assert.equal(asked, 0);
  } finally {
    impostor.close();
  }
});

test("a control_socket in the file is that broker's and no other's", () => together(["a"], async (ask, [a], folder) => {
  const file = join(folder, "named.toml");
  writeFileSync(file, `[server]\ncontrol_socket = "${folder}/named.sock"\n`);
  const { code, stderr } = await ask("stop", "-c", file);
  assert.equal(code, 1);
  assert.match(stderr, /named\.sock/);
  assert.ok(!a.exit);
}));

test("without -c several brokers are an error that lists them", () => together(["a", "b"], async (ask, [a, b], folder) => {
  for (const word of ["status", "stop", "reload"]) {
    const { code, stderr } = await ask(word);
    assert.equal(code, 1, stderr);
    assert.match(stderr, /brokers are running; name one with -c FILE or --socket PATH/);
    for (const [broker, name] of [[a, "a"], [b, "b"]]) {
      assert.ok(stderr.includes(`pid ${broker.pid}, instance ${name}, configuration ${broker.configPath}: --socket ${folder}/ringcast-${name}.sock`), stderr);
    }
  }
  assert.equal((await ask("stop", "--socket", join(folder, "ringcast-a.sock"))).code, 0);
  assert.deepEqual(await a.exited, { code: 0, signal: null });
  assert.ok(!b.exit);
}));

test("a broker that does not answer is said to be there", () => together(["a", "b"], async (ask, [a, b], folder) => {
  process.kill(a.pid, "SIGSTOP");
  const { code, stderr } = await ask("status", "-c", a.configPath);
  const listed = await ask("status");
  const other = await ask("status", "-c", b.configPath);
  const named = await within(20000, Promise.all(["status", "stop", "reload"].map((word) => ask(word, "--socket", join(folder, "ringcast-a.sock")))), "they give it up");
  process.kill(a.pid, "SIGCONT");
  assert.equal(code, 1);
  assert.match(stderr, /1 that may be it did not answer/);
  assert.match(listed.stderr, new RegExp(`pid ${a.pid}, which does not answer`));
  assert.equal(other.code, 0, other.stderr);
  for (const { code: failed, stderr: why } of named) {
    assert.equal(failed, 1);
    assert.ok(why.includes(`ringcast-a.sock (pid ${a.pid}) does not answer: it hangs, or is stopped`), why);
  }
  assert.deepEqual(await a.exited, { code: 0, signal: null }, "what it was asked it does once it can");
}));

/* Its control socket, where all sessions are others': so many are turned away, and whoever comes then is told what `status` is. */
async function busyFor(path, turns, status, body) {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    if (turns-- > 0) return socket.end("error\nthe broker is answering as many commands as it can at a time: try again\n");
    socket.once("data", () => socket.end(`ok\n${JSON.stringify(status)}`));
  });
  await new Promise((done) => server.listen(path, done));
  try {
    return await body();
  } finally {
    server.close();
  }
}

test("a broker whose sessions are all taken is waited for, and then said to be there", () => together(["b"], async (ask, [b], folder) => {
  const file = join(folder, "a.toml");
  const path = join(folder, "ringcast-a.sock");
  writeFileSync(file, '[server]\ninstance_id = "a"\n');
  // Who says nothing for two seconds is silent, not busy; and this process, which is who is busy, may stand still for so long.
  await until("it is waited for", () => busyFor(path, 3, { instance: "a", config: file, processes: [] }, async () => {
    const { code, stdout, stderr } = await ask("status", "--json", "-c", file);
    return assert.deepEqual([code, stderr, JSON.parse(stdout).instance], [0, "", "a"]) ?? true;
  }), { timeout: 20000 });
  await busyFor(path, Infinity, {}, async () => {
    await until("it is said to be there", async () => {
      const named = await ask("status", "-c", file);
      return assert.deepEqual([named.code, named.stderr], [1, `ringcast: 1 that may be the broker of ${file} is answering as many commands as can be: try again\n`]) ?? true;
    }, { timeout: 20000 });
    await until("it is listed so", async () => {
      const any = await ask("status");
      assert.equal(any.code, 1);
      return assert.match(any.stderr, /2 brokers are running[^]*pid \d+, which is answering as many commands as it can: --socket .*ringcast-a\.sock/) ?? true;
    }, { timeout: 20000 });
    assert.equal((await ask("status", "-c", b.configPath)).code, 0);
  });
}));

test("a file that is wrong by now still says where its broker's control socket is", async () => {
  const broker = await startBroker({ workers: 1 });
  try {
    const text = readFileSync(broker.configPath, "utf8");
    assert.match(text, /control_socket = "/);
    const ask = (word) => run([word, "-c", broker.configPath], { env: { RUNTIME_DIRECTORY: broker.folder } });
    writeFileSync(broker.configPath, `${text}\n[nonsense]\n`);
    const { code, stdout, stderr } = await ask("status");
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`\\b${broker.pid}\\b`));
    assert.match(stderr, /nonsense[^]*an earlier .*ringcast\.toml, at .*\.sock as it says/);
    // Where it cannot be read it cannot be looked at, and that is said.
    writeFileSync(broker.configPath, text.replace(/control_socket = .*/, "control_socket = 7"));
    const odd = await ask("status");
    assert.equal(odd.code, 2, odd.stderr);
    assert.match(odd.stderr, /control_socket: expected a text in quotes, found 7[^]*no running broker found[^]*a server\.control_socket that could be read in .*ringcast\.toml would have been tried/);
    writeFileSync(broker.configPath, text);
  } finally {
    await broker.destroy();
  }
});
