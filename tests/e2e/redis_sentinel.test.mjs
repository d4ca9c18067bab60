// Sentinel: the master is found, a failover is followed, and what was lost is counted (S1.9).
import assert from "node:assert/strict";
import { confirmed, delay, loseConnections, redisHealth, startSentinels, subscribers, testRedis, until } from "./lib/redis.mjs";

testRedis("a failover is followed", { brokers: 2, start: startSentinels, timeout: 90000 }, async ({ brokers: [a, b], redis }) => {
  const [there, publisher] = [await b.connect(), await a.connect()];
  await confirmed(there, "room:1");
  const first = await redis.master();
  assert.equal(await subscribers(first, "ws:channel:room:1"), 1);
  let sent = 0;
  let going = true;
  const load = (async () => {
    while (going) {
      for (let i = 0; i < 10; i++) await publisher.publish("room:1", sent++);
      await delay(10);
    }
  })();
  await delay(300);
  await loseConnections([a, b], 1, () => first.kill()); // however soon there is another one
  const second = await until("the sentinels have a new master", async () => {
    const master = await redis.master();
    return master !== first && master;
  }, { timeout: 30000, every: 50 });
  await Promise.all([a, b].map((broker) => redisHealth(broker, 200, 20000)));
  const recovered = sent;
  await delay(500);
  going = false;
  await load;
  await publisher.publish("room:1", "end");
  const got = [];
  while (got.at(-1) !== "end") got.push((await there.next("message", 15000)).data);
  got.pop();
  assert.equal(new Set(got).size, got.length, "nothing twice");
  for (let i = 1; i < got.length; i++) assert.ok(got[i] > got[i - 1], "in order");
  const lost = sent - got.length;
  console.log(`# failover: ${sent} published, ${lost} lost`);
  assert.deepEqual(got.filter((i) => i >= recovered).length, sent - recovered, "nothing is lost after the recovery");
  assert.equal(await subscribers(second, "ws:channel:room:1"), 1);
});
