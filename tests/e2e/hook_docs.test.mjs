// The backends of docs/hook.md, as they stand there.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { io as connectClient } from "socket.io-client";
import { testBroker } from "./lib/broker.mjs";
import { ROOT, freePort, until, within } from "./lib/util.mjs";

const TEXT = readFileSync(join(ROOT, "docs/hook.md"), "utf8");
const block = (language) => TEXT.split(`\`\`\`${language}\n`)[1].split("\n```")[0] + "\n";
const SECRET = "change-me-please";

const listens = (port) => new Promise((done) => {
  const socket = connect(port, "127.0.0.1", () => (socket.destroy(), done(true)));
  socket.on("error", () => done(false));
});

const BACKENDS = [
  ["Node", "js", "backend.mjs", (file, port) => [process.execPath, file, port, SECRET]],
  ["Python", "python", "backend.py", (file, port) => ["python3", file, port, SECRET]],
  ["PHP", "php", "backend.php", (file, port) => ["php", "-S", `127.0.0.1:${port}`, file]],
];

test("a backend takes at most forty lines in each language", () => {
  for (const [name, language] of BACKENDS) {
    const lines = block(language).trimEnd().split("\n").length;
    assert.ok(lines > 20 && lines <= 40, `${name}: ${lines} lines`);
  }
});

for (const [name, language, file, command] of BACKENDS) {
  const state = {};
  testBroker(`the backend in ${name}`, {
    workers: 1,
    config: async () => {
      state.port = await freePort();
      return {
        "socketio.path": "/socket.io/", "socketio.unknown_event": "backend:app",
        backend: [{ name: "app", url: [`http://127.0.0.1:${state.port}/ringcast`], secrets: [SECRET] }],
        event: [{ on: "add to cart", ask: "app" }],
      };
    },
  }, async (broker) => {
    const folder = mkdtempSync(join(tmpdir(), "ringcast-hook-"));
    writeFileSync(join(folder, file), block(language));
    const [program, ...args] = command(join(folder, file), String(state.port));
    const backend = spawn(program, args, { stdio: ["ignore", "inherit", "pipe"], env: { ...process.env, SECRET, TMPDIR: folder } });
    let errors = "";
    backend.stderr.on("data", (bytes) => (errors += bytes));
    const ended = new Promise((done) => backend.once("close", done));
    try {
      await until("the backend listens", () => listens(state.port));
      const clients = [];
      for (let i = 0; i < 2; i++) {
        const socket = connectClient(`http://127.0.0.1:${broker.port}/`, { transports: ["websocket"], forceNew: true, reconnection: false });
        socket.heard = [];
        socket.onAny((...args) => socket.heard.push(args));
        await within(5000, new Promise((done) => socket.once("connect", done)), "connect");
        clients.push(socket);
      }
      const [one, other] = clients;
      const ask = (socket, ...args) => within(5000, new Promise((done) => socket.emit(...args, (answer) => done(answer))), `an answer to ${args[0]}`);
      assert.equal(await ask(one, "add to cart", { sku: 7 }), 1);
      assert.equal(await ask(one, "add to cart", { sku: 8 }), 2);
      await until("both carts", () => one.heard.length >= 2);
      assert.deepEqual(one.heard, [["cart", [{ sku: 7 }]], ["cart", [{ sku: 7 }, { sku: 8 }]]]);
      assert.equal(await ask(one, "join table", 3), "welcome");
      assert.equal(await ask(other, "join table", 3), "welcome");
      await until("who joined", () => one.heard.length >= 3);
      assert.deepEqual(one.heard[2], ["joined", "somebody", 3]);
      assert.deepEqual(await ask(other, "nonsense"), { error: { code: 404, message: 'no event "nonsense"' } });
      const forged = await fetch(`http://127.0.0.1:${state.port}/`, { method: "POST", body: "{}", headers: { "ringcast-time": String(Math.floor(Date.now() / 1000)), "ringcast-signature": "v1=00" } });
      assert.equal(forged.status, 401);
      for (const socket of clients) socket.close();
    } catch (error) {
      console.error(errors);
      throw error;
    } finally {
      backend.kill("SIGKILL");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
