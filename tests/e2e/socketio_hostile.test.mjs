// Wrong packets, payloads, polls, session ids, probes and msgpack over TCP, and adapters' messages over Redis: nobody else notices, nothing
// breaks, nothing is left.
// tests/stress/socketio_hostile.mjs is the same a million times.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { CONFIG, hostile } from "./lib/hostile.mjs";
import { testRedis } from "./lib/redis.mjs";
import { SANITIZED } from "./lib/util.mjs";

const MIB = 1024 * 1024;
// Freed memory that ASan keeps would look like a leak.
const options = { workers: 2, timeout: 120000, env: SANITIZED ? { ASAN_OPTIONS: "detect_leaks=1:abort_on_error=1:disable_coredump=1:quarantine_size_mb=4" } : {} };

testBroker("hostile inputs cost those who send them", { ...options, config: CONFIG }, async (broker) => {
  const before = await broker.metrics();
  const { inputs, answers, served } = await hostile(broker, 2000, { growth: 32 * MIB });
  const after = await broker.metrics();
  const rose = (name) => after(name) - before(name);
  assert.ok(inputs >= 2000 && answers > 500, `${inputs} inputs, ${answers} answers`);
  assert.ok(served.every((count) => count > 10), `good clients were answered ${served} times`);
  assert.ok(rose("ringcast_protocol_errors_total") > 100, "packets were refused");
  assert.ok(rose("ringcast_socketio_events_total") > 50, "and others carried out");
});

for (const adapter of ["classic", "sharded", "streams"]) {
  testRedis(`hostile servers beside it: ${adapter}`, { ...options, brokers: 1, config: { ...CONFIG, "socketio.adapter": adapter } }, async ({ brokers: [broker], redis }) => {
    const before = await broker.metrics();
    const { kinds, served } = await hostile(broker, 1500, { growth: 32 * MIB, redis, adapter });
    const after = await broker.metrics();
    assert.ok(served.every((count) => count > 0), `good clients were answered ${served} times`);
    assert.ok(Object.keys(kinds).length >= 10, Object.keys(kinds).join(", "));
    assert.ok(after("ringcast_redis_malformed_total") - before("ringcast_redis_malformed_total") > 100, "messages were refused");
    assert.equal(after("ringcast_ring_corrupt_total"), 0);
  });
}
