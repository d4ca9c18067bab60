// A Redis that is busy with scripts refuses what comes meanwhile: no channel's order breaks, and what could not be delivered in order is
// told.
import assert from "node:assert/strict";
import { confirmed, delay, redisHealth, startRedis, testRedis, until } from "./lib/redis.mjs";

// 10 ms. Redis looks up from a script every 100,000 of its instructions: what counts must be cheap ones.
const SCRIPT = "local function now() local t = redis.call('TIME') return t[1] * 1000000 + t[2] end local till = now() + 10000 repeat for i = 1, 10000 do end until now() >= till";
const TEXT = "x".repeat(20000);
const ROOMS = ["room:1", "room:2", "room:3", "room:4"];
const refusals = async (broker) => (await broker.metrics())("ringcast_redis_errors_total");

testRedis("refused while a script runs: every channel stays in order, and what is missing is a gap of its channel", {
  brokers: 2,
  // 80 MB for a reader whose process may stand still for a moment: it is not slow for that.
  config: { "limits.channel_log": "64MiB", "limits.channel_log_messages": 10000, "limits.worker_log": "256MiB" },
  start: () => startRedis({ args: ["--lua-time-limit", "1"] }), // an alias of busy-reply-threshold
  timeout: 60000,
}, async ({ brokers: [a, b], redis }) => {
  const [there, publisher] = [await b.connect(), await a.connect()];
  for (const room of [...ROOMS, "done"]) await confirmed(there, room);
  const scripts = await redis.connect();
  const before = await refusals(a);
  const empty = () => until("the outbox is empty", async () => (await a.metrics())("ringcast_redis_outbox_messages") === 0, { timeout: 15000 });
  let sent = 0;
  let going = true;
  const busy = (async () => {
    while (going) {
      await scripts.command("EVAL", SCRIPT, "0");
      await delay(3);
    }
  })();
  // Large ones in large bursts: while Redis reads them a script begins or ends.
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 200; i++) publisher.send({ type: "publish", channel: ROOMS[sent % ROOMS.length], data: [sent++, TEXT] });
    await publisher.ping();
    await empty();
  }
  going = false;
  await busy;
  assert.ok((await refusals(a)) > before, "some were refused");
  await redisHealth(a, 200);
  await empty();
  const dropped = (await a.metrics())("ringcast_redis_outbox_dropped_total");
  // What was given up is told at most once a second, before what comes then.
  if (dropped > 0) await until("all is told", async () => (await a.metrics())("ringcast_redis_losses_told_total") > 0);
  for (const room of ROOMS) await publisher.publish(room, [sent++]);
  await empty();
  await publisher.publish("done", "end");
  const last = new Map();
  const told = new Set();
  const missing = new Map(ROOMS.map((room) => [room, 0]));
  let got = 0;
  for (;;) {
    const message = await there.next(undefined, 10000);
    if (message.channel === "done") break;
    if (message.type === "gap") {
      told.add(message.channel);
      continue;
    }
    const previous = last.get(message.channel) ?? ROOMS.indexOf(message.channel) - ROOMS.length;
    const [number] = message.data;
    assert.ok(number > previous, `${message.channel}: ${number} behind ${previous}`);
    missing.set(message.channel, missing.get(message.channel) + (number - previous) / ROOMS.length - 1);
    last.set(message.channel, number);
    got++;
  }
  console.log(`# ${sent} published, ${(await refusals(a)) - before} refusals, ${dropped} given up`);
  assert.equal(got, sent - dropped, "nothing else is missing");
  for (const [room, count] of missing) assert.ok(count === 0 || told.has(room), `${room} misses ${count} and was told nothing`);
});
