// The keys of [[identity]] tables in a running broker: fetched without being waited for, kept while the server is away, read again and
// refused when wrong at a reload, checked before anything starts.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";
import { run, startBroker, toToml } from "./lib/broker.mjs";
import { CA_FILE, certificate } from "./lib/tls.mjs";
import { SLOWER, freePort, until } from "./lib/util.mjs";

const folder = mkdtempSync(join(tmpdir(), "ringcast-identity-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const secretFile = join(folder, "secret");
const good = "a secret of this test with more than 32 bytes\n";

const logged = (broker, text, from = 0) => until(`the log says ${text}`, () => broker.log.slice(from).some((line) => text.test(line)));

test("a JWK Set is fetched, and fetched again after a failure; a reload reads files and refuses wrong ones", { timeout: 60000 * SLOWER }, async () => {
  const port = await freePort();
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(secretFile, good);
  const config = {
    identity: [
      { name: "url", kind: "jwt", from: ["query.token"], jwks_url: `https://localhost:${port}/`, jwks_ca: CA_FILE },
      { name: "file", kind: "jwt", from: ["query.other"], secret_file: secretFile },
    ],
  };
  const broker = await startBroker({ config });
  const server = createServer(certificate("localhost"), (request, response) => response.end(JSON.stringify({ keys: [publicKey.export({ format: "jwk" })] })));
  try {
    // Why every token is refused is told to whoever asks how the broker is.
    const say = async (...args) => (await run([...args, "-c", broker.configPath], { env: broker.env })).stdout;
    await logged(broker, /jwks_failed .*cannot connect/);
    assert.match(await say("status"), new RegExp(`^keys {8}https://localhost:${port}/, 0 known; not fetched \\d+ times: cannot connect .*$`, "m"));
    assert.match(await say("top", "--once"), new RegExp(`^state: running; keys of https://localhost:${port}/ not fetched: cannot connect `, "m"));
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    await logged(broker, /jwks_fetched .*keys=1 changed=yes/);
    assert.deepEqual(JSON.parse(await say("status", "--json")).keys, [{ url: `https://localhost:${port}/`, known: 1, failures: 0, error: null }]);
    assert.match(await say("top", "--once"), /^state: running$/m);
    // The same URL: nothing is fetched anew.
    let from = broker.log.length;
    writeFileSync(secretFile, `another ${good}`);
    process.kill(broker.pid, "SIGHUP");
    await logged(broker, /files_read_again .*secret/, from);
    from = broker.log.length;
    writeFileSync(secretFile, "short\n");
    process.kill(broker.pid, "SIGHUP");
    await logged(broker, /reload_refused .*file: secret_file: .*the secret has 5 bytes/, from);
    assert.ok(!broker.log.some((line) => line.includes("another a secret")), "no secret is logged");
    const metric = await broker.metrics();
    assert.equal(metric("ringcast_jwks_fetches_total"), 1);
    assert.ok(metric("ringcast_jwks_failures_total") >= 1);
    await broker.stop();
  } finally {
    server.closeAllConnections();
    server.close();
    await broker.destroy();
  }
});

test("check finds keys that are missing or wrong", async () => {
  const check = async (identity) => {
    const path = join(folder, "check.toml");
    writeFileSync(path, toToml({ identity: [{ name: "app", kind: "jwt", from: ["query.token"], ...identity }] }));
    const { code, stderr } = await run(["check", path]);
    assert.equal(code, 2, stderr);
    return stderr;
  };
  assert.match(await check({}), /secret, secret_file, key_file, jwks_file or jwks_url/);
  assert.match(await check({ secret_file: "/nonexistent" }), /app: secret_file: \/nonexistent: cannot be read/);
  assert.match(await check({ secret: "too-short" }), /app: secret: the secret has 9 bytes/);
  assert.match(await check({ jwks_url: "http://a.example/" }), /https:\/\//);
});
