// The attacks of tests/e2e/lib/abuse.mjs in full size, each against a broker with 1,000 good clients. What is asserted: good clients lose
// nothing, and nothing is left in use. What is printed, not judged: their p99 before and during in milliseconds, and the ratio,
// whose target is at most 2 on a machine where attacker, clients and broker do not share their CPUs; and of the broker's own
// measurements the longest pass of a worker's loop and the p99 of publish to send, during the attack.
// Environment: RINGCAST_BIN_DIR, STRESS_SECONDS (shared by the attacks; at most 10 s each, at least 4), ABUSE=part of an attack's name.
import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { startBroker } from "../e2e/lib/broker.mjs";
import { ATTACKS } from "../e2e/lib/abuse.mjs";
import { GoodClients } from "../e2e/lib/good_clients.mjs";
import { abuseConfig, underAbuse } from "../e2e/lib/under_abuse.mjs";

const COUNTS = { half_open: 10000, slow_loris: 1000, fragments: 100, pings: 100, tiny_frames: 100, lengths: 200, resets: 300, tls_garbage: 200 };
const GOOD = 1000;
const RATE = 10; // messages a second, each to all good clients
const GROWTH = 12 * 1024 * 1024;
const attacks = ATTACKS.filter((name) => name.includes(process.env.ABUSE ?? ""));
const ms = Math.max(4000, Math.min(10000, (Number(process.env.STRESS_SECONDS ?? 600) * 1000) / attacks.length - 5000));

let status = 0;
const broker = await startBroker({ workers: 2, config: await abuseConfig() });
console.log(`abuse: ${GOOD} good clients, ${RATE} messages/s to all of them, ${ms / 1000} s an attack, ${availableParallelism()} CPUs`);
console.log(`${"attack".padEnd(12)} ${["conns", "writes", "p99 before", "p99 during", "ratio", "max", "pass", "to send", "grew KiB", "log lines"].map((text) => text.padStart(10)).join(" ")}`);
try {
  const good = await new GoodClients().start({ port: broker.port, count: GOOD, rate: RATE });
  for (const attack of attacks) {
    const { before, during, did, lines, grew, pass, publishToSend } = await underAbuse(broker, good, attack, { count: COUNTS[attack], ms, growth: GROWTH });
    const row = [did.connections, did.writes, before.p99.toFixed(2), during.p99.toFixed(2), (during.p99 / before.p99).toFixed(1), during.max.toFixed(1), `<${pass}`, `<${publishToSend}`, Math.round(grew / 1024), lines];
    console.log(`${attack.padEnd(12)} ${row.map((value) => String(value).padStart(10)).join(" ")}`);
  }
  const end = await good.stop();
  assert.deepEqual([end.missing, end.disordered, end.gone], [0, 0, 0], "good clients lost nothing");
  await broker.stop();
  console.log(`abuse: ok, ${end.published} messages published, none of ${end.published * GOOD} deliveries lost`);
} catch (error) {
  status = 1;
  console.error(error);
  console.error(`--- the broker's log\n${broker.log.slice(-40).join("\n")}`);
} finally {
  await broker.destroy();
}
process.exit(status);
