// A process that writes rubbish into its own shared memory harms itself: everybody else goes on, and its successor works.
// RINGCAST_STRAY=N: N times as many writes (make stress T=stray_writes), RINGCAST_SEED=N: other ones.
import assert from "node:assert/strict";
import test from "node:test";
import { testBroker } from "./lib/broker.mjs";
import { damage, openSegments, sharedMappings, writableSegments } from "./lib/stray.mjs";
import { SEED } from "./lib/util.mjs";

const TIMES = Number(process.env.RINGCAST_STRAY ?? 1);

testBroker("no child can write what is not its own", { workers: 3 }, async (broker) => {
  const pids = broker.pids();
  const own = (name, who) => (who === "relay" ? /^ringcast-(report-relay|keep|history|port-\d+)$/ : new RegExp(`^(ringcast-(report-worker-${who}|port-${who}|truth-${who}|io-${who}|limits)|steering)$`)).test(name);
  for (const [who, pid] of [["relay", pids.relay], ...pids.workers.entries()]) {
    const mappings = sharedMappings(pid);
    for (const name of ["ringcast-core", "ringcast-config", "ringcast-report-acceptor", "ringcast-report-worker-0"]) {
      assert.ok(mappings.some((one) => one.name === name), `${who} has ${name}`);
    }
    for (const { name, writable, mayWrite } of mappings) {
      if (!own(name, who)) assert.deepEqual({ name, writable, mayWrite }, { name, writable: false, mayWrite: false }, `of ${who}`);
    }
    /* What one relay leaves to the next is a file to it: written behind its end, and read with bounds (relay/redis/overlap). */
    const left = openSegments(pid).filter((name) => !/^ringcast-(truth|port)/.test(name) && !(who === "relay" && name === "ringcast-pass"));
    assert.deepEqual(left, [], `${who} keeps no descriptor that it could map anew`);
  }
});

testBroker("a core dump holds what is used, no messages and no passwords", { workers: 2 }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("c");
  await client.publish("c", "x".repeat(10000));
  const pids = broker.pids();
  const of = (name) => [broker.pid, pids.relay, ...pids.workers].flatMap((pid) => sharedMappings(pid).filter((one) => one.name.startsWith(`ringcast-${name}`)));
  assert.equal(of("config").length, 4);
  for (const { dumped } of of("config")) assert.equal(dumped, 0);
  assert.equal(of("port").length, 6);
  for (const { bytes, dumped } of of("port")) assert.ok(bytes > 1e6 && dumped === 4096, `${dumped} of ${bytes}`);
  assert.equal(of("truth").length, 2);
  for (const { bytes, dumped } of of("truth")) assert.ok(bytes > 1e9 && dumped > 1e6 && dumped < 64e6, `${dumped} of ${bytes}`);
});

/* Heads word by word (they hold the bounds), the rest at random. */
const HEADS = { "ringcast-control": 16, steering: 4 };
for (const who of [1, "relay"]) {
  test(`stray writes of ${who === "relay" ? "the relay" : "a worker"}`, async (t) => {
    const segments = (await writableSegments(who)).filter((name, at, all) => all.indexOf(name) === at && !(who === "relay" && /port-[02]/.test(name)));
    assert.ok(segments.length >= 3, segments.join());
    for (const segment of segments) {
      await t.test(segment, () => damage(who, segment, { heads: (HEADS[segment] ?? 10) * TIMES, count: 30 * TIMES, seed: SEED + segment.length }));
    }
  });
}

/* Entries of the receive buffers lay in the segment: one that was damaged ended every client of the worker from then on, one after the other. */
test("stray writes of a worker that every receive failed after", () => damage(1, "ringcast-io-1", { heads: 10, count: 30, seed: 93596634 }));
