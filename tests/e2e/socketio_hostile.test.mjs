// Wrong packets, payloads, polls, session ids, probes and msgpack over TCP: nobody else notices, nothing breaks, nothing is left.
// tests/stress/socketio_hostile.mjs is the same a million times.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { CONFIG, hostile } from "./lib/hostile.mjs";
import { SANITIZED } from "./lib/util.mjs";

const MIB = 1024 * 1024;

testBroker("hostile inputs cost those who send them", {
  workers: 2, timeout: 120000, config: CONFIG,
  // Freed memory that ASan keeps would look like a leak.
  env: SANITIZED ? { ASAN_OPTIONS: "detect_leaks=1:abort_on_error=1:disable_coredump=1:quarantine_size_mb=4" } : {},
}, async (broker) => {
  const before = await broker.metrics();
  const { inputs, answers, served } = await hostile(broker, 2000, { growth: 32 * MIB });
  const after = await broker.metrics();
  const rose = (name) => after(name) - before(name);
  assert.ok(inputs >= 2000 && answers > 500, `${inputs} inputs, ${answers} answers`);
  assert.ok(served.every((count) => count > 10), `good clients were answered ${served} times`);
  assert.ok(rose("ringcast_protocol_errors_total") > 100, "packets were refused");
  assert.ok(rose("ringcast_socketio_events_total") > 50, "and others carried out");
});
