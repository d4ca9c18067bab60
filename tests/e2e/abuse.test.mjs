// Hostile clients cost themselves, not others: each attack against a broker that serves good clients meanwhile. The full size is
// tests/stress/abuse.mjs.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { ATTACKS } from "./lib/abuse.mjs";
import { GoodClients } from "./lib/good_clients.mjs";
import { abuseConfig, underAbuse } from "./lib/under_abuse.mjs";
import { SANITIZED } from "./lib/util.mjs";

const COUNTS = { half_open: 1500, slow_loris: 200, fragments: 20, pings: 20, tiny_frames: 20, lengths: 30, resets: 60, tls_garbage: 30 };
// What the broker must have noticed of each.
const NOTICED = {
  half_open: "ringcast_connections_accepted_total", slow_loris: 'ringcast_timeouts_total{reason="handshake"}', fragments: "ringcast_received_bytes_total",
  pings: "ringcast_read_pauses_total", tiny_frames: "ringcast_request_errors_total", lengths: "ringcast_protocol_errors_total",
  resets: "ringcast_connection_resets_total", tls_garbage: "ringcast_tls_errors_total",
};
const MIB = 1024 * 1024;

for (const attack of ATTACKS) {
  testBroker(`good clients lose nothing, and nothing is left, under abuse: ${attack}`, {
    workers: 2, timeout: 120000, config: await abuseConfig(),
    // Freed memory that ASan keeps would look like a leak.
    env: SANITIZED ? { ASAN_OPTIONS: "detect_leaks=1:abort_on_error=1:disable_coredump=1:quarantine_size_mb=4" } : {},
  }, async (broker) => {
    const good = await new GoodClients().start({ port: broker.port, count: 60, rate: 20 });
    const { counted, did } = await underAbuse(broker, good, attack, { count: COUNTS[attack], ms: 2500, growth: 64 * MIB, calm: 200 });
    assert.ok(counted(NOTICED[attack]) >= 10, `${attack} was noticed: ${NOTICED[attack]} rose by ${counted(NOTICED[attack])}, ${JSON.stringify(did)}`);
    const end = await good.stop();
    assert.deepEqual([end.missing, end.disordered, end.gone], [0, 0, 0]);
    assert.ok(end.published > 20, `${end.published} published`);
  });
}
