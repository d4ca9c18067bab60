// socketio.client_files: npm's scripts for browsers, byte for byte.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { run, startBroker, testBroker, toToml } from "./lib/broker.mjs";
import { CLIENT_FILES } from "./lib/socketio.mjs";

const FAMILY = /^socket\.io(\.esm|\.msgpack)?(\.min)?\.js(\.map)?$/;

testBroker("every file of npm's dist is there, with its version", { config: { "socketio.client_files": CLIENT_FILES } }, async (broker) => {
  const names = readdirSync(CLIENT_FILES).filter((name) => FAMILY.test(name));
  assert.ok(names.length >= 8, `${names}`);
  for (const name of names) {
    const path = `/socket.io/${name}`;
    const answer = await broker.get(path);
    assert.equal(answer.status, 200, path);
    assert.ok(answer.body === readFileSync(join(CLIENT_FILES, name), "utf8"), path);
    assert.match(answer.headers["content-type"], name.endsWith(".map") ? /^application\/json/ : /^application\/javascript/);
    assert.equal(answer.headers["cache-control"], "public, max-age=0");
    assert.match(answer.headers.etag, /^"[0-9a-f]+"$/);
    for (const known of [answer.headers.etag, `W/${answer.headers.etag}`, `"x", W/${answer.headers.etag}`, "*"]) {
      const again = await broker.get(path, { headers: { "If-None-Match": known } });
      assert.deepEqual([again.status, again.body, again.headers.etag, again.headers["cache-control"]], [304, "", answer.headers.etag, "public, max-age=0"], known);
      assert.equal(again.headers["content-length"], undefined);
    }
    assert.equal((await broker.get(path, { headers: { "If-None-Match": '"other"' } })).status, 200);
    const head = await broker.get(path, { method: "HEAD" });
    assert.deepEqual([head.status, head.body, Number(head.headers["content-length"])], [200, "", Buffer.byteLength(answer.body)]);
  }
  assert.equal((await broker.get("/socket.io/socket.io.js", { method: "POST", body: "x" })).status, 405);
  for (const path of ["/socket.io/package.json", "/socket.io/../package.json", "/socket.io/%2e%2e/package.json", "/socket.io/socket.io.js/..", "/socket.io/socket.io.js%2f..%2f..%2fpackage.json", "/socket.io.js"]) {
    assert.notEqual((await broker.get(path)).status, 200, path);
  }
});

testBroker("pages of allowed origins may read them", { config: { "socketio.client_files": CLIENT_FILES, "http.allowed_origins": ["https://app.example"] } }, async (broker) => {
  const answer = await broker.get("/socket.io/socket.io.min.js", { headers: { Origin: "https://app.example" } });
  assert.equal(answer.headers["access-control-allow-origin"], "https://app.example");
});

test("a folder that cannot be served is said before anything starts; one that goes later costs nobody a connection", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-client-files-"));
  const dist = join(folder, "dist");
  const file = join(folder, "ringcast.toml");
  writeFileSync(file, toToml({ "socketio.client_files": dist }));
  let broker;
  try {
    const missing = await run(["check", file]);
    assert.equal(missing.code, 2);
    assert.match(missing.stdout + missing.stderr, /socketio\.client_files: .*dist has no socket\.io\.js/);
    symlinkSync(CLIENT_FILES, dist); // as npm's own folders may be
    assert.equal((await run(["check", file])).code, 0);
    broker = await startBroker({ workers: 1, config: { "socketio.client_files": dist, "server.adopt_crashed": false } });
    assert.equal((await broker.get("/socket.io/socket.io.js")).status, 200);
    rmSync(dist);
    broker.kill("SIGKILL", 0);
    await broker.isReady();
    assert.notEqual((await broker.get("/socket.io/socket.io.js")).status, 200);
    assert.equal((await broker.get("/health")).status, 200);
    await broker.stop();
  } finally {
    await broker?.destroy();
    rmSync(folder, { recursive: true });
  }
});
