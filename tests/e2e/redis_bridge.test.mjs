// [[bridge]] (S3.3): bare JSON on an application's own Redis channels reaches rooms, once on every instance.
import assert from "node:assert/strict";
import { run } from "./lib/broker.mjs";
import { testRedis, until } from "./lib/redis.mjs";
import test from "node:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";

const CONFIG = {
  "debug.user_query": "user",
  bridge: [
    { redis: "match:result", room: "leaderboard:global", event: "match:result" },
    { redis: "match:result", room: "match:{json.matchId}", event: "match:result" },
    { redis: "portfolio:update", room: "user:{json.user.id}", event: "{json.event}" },
    { redis: "announce", room: "*" },
  ],
};

const count = (metrics, name, bridge) => Number(new RegExp(`^${name}\\{.*bridge="${bridge}".*\\} (\\d+)$`, "m").exec(metrics.text)[1]);

testRedis("bare JSON reaches its rooms on every instance once and is not published again", { brokers: 2, workers: 2, config: CONFIG, timeout: 60000 }, async ({ brokers, redis }) => {
  const clients = [];
  for (const broker of brokers) {
    const client = await broker.connect({ path: "/ws?user=u1" });
    await client.subscribe("leaderboard:global");
    await client.subscribe("match:7");
    clients.push(client);
  }
  const watcher = await redis.connect();
  await watcher.command("PSUBSCRIBE", "*");
  await redis.publish("match:result", '{"matchId":7,"winnerId":"é","eloChanges":{"a":+25}}'); // as the source writes it: no JSON
  await redis.publish("match:result", '{"matchId":7,"winnerId":"é", "eloChanges":{"a":25}}');
  for (const client of clients) {
    const got = [await client.next(), await client.next()].sort((a, b) => a.channel.localeCompare(b.channel));
    assert.deepEqual(got.map((message) => message.channel), ["leaderboard:global", "match:7"]);
    for (const message of got) assert.equal(message.raw, '{"matchId":7,"winnerId":"é", "eloChanges":{"a":25}}');
  }
  await redis.publish("portfolio:update", { user: { id: "u1" }, event: "portfolio:update", total: 5 });
  for (const client of clients) assert.equal((await client.next()).channel, "user:u1");
  await redis.publish("portfolio:update", { user: { id: "u1" }, total: 6 }); // no event
  await redis.publish("announce", "7");
  for (const client of clients) {
    assert.deepEqual(await client.next(), { type: "message", channel: "*", data: 7 });
    await client.ping();
    assert.equal(client.inbox.length, 0);
  }
  for (const broker of brokers) {
    const metrics = await broker.metrics();
    assert.deepEqual([0, 1, 2, 3].map((i) => count(metrics, "ringcast_bridge_messages_total", i)), [1, 1, 1, 1]);
    assert.deepEqual([0, 1, 2, 3].map((i) => count(metrics, "ringcast_bridge_errors_total", i)), [1, 1, 1, 0]);
  }
  await until("the watcher has seen the last", () => watcher.messages.some(({ channel }) => channel === "announce"));
  assert.deepEqual(watcher.messages.map(({ channel }) => channel).filter((name) => !/^ws:(instance|presence)/.test(name)), ["match:result", "match:result", "portfolio:update", "portfolio:update", "announce"]);
});

test("a template that nothing fills is an error of the configuration", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-e2e-"));
  try {
    const file = join(folder, "ringcast.toml");
    writeFileSync(file, '[[bridge]]\nredis = "a"\nroom = "b:{field}"\n');
    const result = await run(["check", file]);
    assert.equal(result.code, 2, result.stderr);
    assert.match(result.stderr, /bridge "a": room: no such field: \{field\}; write \{json\.field\}/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
