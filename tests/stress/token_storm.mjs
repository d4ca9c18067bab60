// 5,000 reconnects with one token, as fast as this process makes them, beside the same number of tokens that are all different: what the
// verified ones that are kept save. Then as many within a second, by ringcast-bench. None is refused.
// Environment: RINGCAST_BIN_DIR, STRESS_RECONNECTS (5000).
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { readFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBroker } from "../e2e/lib/broker.mjs";
import { storm } from "../e2e/lib/storm.mjs";
import { BIN_DIR } from "../e2e/lib/util.mjs";

const jwt = createRequire(new URL("../package.json", import.meta.url))("jsonwebtoken");
const COUNT = Number(process.env.STRESS_RECONNECTS ?? 5000);
const folder = mkdtempSync(join(tmpdir(), "ringcast-storm-"));
const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
writeFileSync(join(folder, "key.pem"), publicKey.export({ type: "spki", format: "pem" }));
const sign = (more = { jti: randomUUID() }) => jwt.sign({ sub: "42", ...more }, privateKey, { algorithm: "RS256", expiresIn: "1h" });

/* User and system time of the workers, in milliseconds. */
const cpu = (broker) => broker.pids().workers.reduce((sum, pid) => sum + readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1].split(" ").slice(11, 13).reduce((all, ticks) => all + 10 * Number(ticks), 0), 0);

let status = 0;
const broker = await startBroker({ workers: 2, config: { identity: [{ from: ["query.token"], key_file: [join(folder, "key.pem")] }] } });
try {
  const [one, all] = [sign(), Array.from({ length: COUNT }, () => sign())];
  for (const [what, path] of [["one token", () => one], ["a token each", () => all.pop()]]) {
    const before = cpu(broker);
    const { count, statuses, ms } = await storm(broker, { count: COUNT, lanes: 64, path: () => `/ws?token=${path()}` });
    assert.deepEqual(statuses, { 101: COUNT });
    console.log(`token_storm: ${what}: ${count} reconnects in ${ms.toFixed(0)} ms, ${((cpu(broker) - before) / count).toFixed(3)} ms of the workers' CPU each`);
  }
  // A client that is no bottleneck: so many within one second, and none later or not at all.
  let best = 0;
  for (let attempt = 0; attempt < 5 && best < COUNT * 0.98; attempt++) {
    const args = ["connect", "--url", `ws://${broker.host}/ws?token=${sign({})}`, "--rate", String(COUNT), "--connections", "500", "--duration", "1s", "--cpu", "none", "--quiet", "--json", "-"];
    const { stdout, stderr, status: code } = spawnSync(join(BIN_DIR, "ringcast-bench"), args, { encoding: "utf8" });
    assert.equal(code, 0, stderr);
    const [result] = JSON.parse(stdout.slice(stdout.indexOf("\n{") + 1)).results;
    assert.equal(result.connections_failed, 0);
    best = Math.max(best, result.connections_per_second);
    console.log(`token_storm: in one second: ${result.connections_per_second.toFixed(0)} reconnects with one token, p99 ${(result.handshake_p99_ns / 1e6).toFixed(1)} ms`);
  }
  assert.ok(best >= COUNT * 0.98, `${best} in a second`);
  assert.equal((await broker.metrics())("ringcast_identity_refused_total"), 0);
  await broker.stop();
} catch (error) {
  status = 1;
  console.error(error);
  console.error(`--- the broker's log\n${broker.log.slice(-40).join("\n")}`);
} finally {
  await broker.destroy();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(status);
