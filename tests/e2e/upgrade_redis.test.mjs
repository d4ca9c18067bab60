// ringcast upgrade with Redis: while the relay is changed nothing that others publish is missed, twice or out of order, and no gap is told.
import assert from "node:assert/strict";
import { confirmed, testRedis, until } from "./lib/redis.mjs";
import { buildCopy, upgrade, upgraded } from "./lib/upgrade.mjs";

const metric = async (broker, name) => (await broker.metrics())(name);

testRedis("all the time messages of a backend, of another instance and of our own clients: each once, in order, no gap", { brokers: 2, workers: 2, timeout: 180000 }, async ({ brokers: [a, b], redis }) => {
  const clients = await a.connectMany([5, 5]);
  const far = await b.connect();
  const near = clients[9];
  const counts = { backend: 0, far: 0, near: 0 };
  for (const client of clients) for (const who of Object.keys(counts)) await confirmed(client, who);
  for (const who of Object.keys(counts)) await confirmed(far, who);
  let ending = false;
  const load = [
    (async () => {
      while (!ending) await redis.publish("ws:channel:backend", { payload: counts.backend++ });
    })(),
    (async () => {
      while (!ending) await far.publish("far", counts.far++);
    })(),
    (async () => {
      while (!ending) await near.publish("near", counts.near++);
    })(),
  ];
  const late = [];
  try {
    for (let round = 0; round < 3; round++) {
      const text = await upgraded(a, buildCopy());
      assert.match(text, /relay was changed/);
      // Whoever subscribes is told when it is true everywhere, also right behind a change.
      const client = await a.connect();
      await confirmed(client, `late:${round}`);
      late.push(client);
      await far.publish(`late:${round}`, round);
      assert.equal((await client.next("message")).data, round);
    }
  } finally {
    ending = true;
  }
  await Promise.all(load);
  for (const client of [...clients, far]) {
    const next = { backend: 0, far: 0, near: 0 };
    const left = () => Object.keys(counts).some((who) => next[who] < counts[who]);
    while (left()) {
      const { channel, data } = await client.next("message");
      assert.equal(data, next[channel]++, `${channel} of ${client.id}`);
    }
    assert.deepEqual(client.inbox, [], "no gap, nothing twice");
    assert.equal(client.isClosed, false);
  }
  assert.ok(Math.min(...Object.values(counts)) > 3, JSON.stringify(counts)); // in each round somebody spoke
  assert.equal(await metric(a, "ringcast_redis_missed_total"), 0);
  assert.equal(await metric(b, "ringcast_redis_missed_total"), 0);
  await until("both heard, three times", () => a.log.filter((line) => /redis_overlapped/.test(line)).length === 3);
  assert.equal(a.log.some((line) => /redis_overlap_lost|redis_outbox_(lost|dropped)/.test(line)), false);
});

testRedis("a worker that stands still while the relay is changed holds nobody else up for longer than the other relay forwards", { brokers: 2, workers: 2, config: { "server.stuck_kill_timeout": "0s" }, timeout: 120000 }, async ({ brokers: [a, b] }) => {
  const [client] = await a.connectMany([1]);
  const far = await b.connect();
  await confirmed(client, "x");
  await confirmed(far, "x");
  const stuck = a.kill("SIGSTOP", 1);
  const changed = upgrade(a, buildCopy()); // its workers' part waits for the one that stands still
  try {
    await until("the relay is changed", () => a.log.some((line) => /relay_changed/.test(line)), { timeout: 20000 });
    await far.publish("x", 1);
    assert.equal((await client.next("message", 15000)).data, 1);
    await far.publish("x", 2);
    assert.equal((await client.next("message")).data, 2);
  } finally {
    process.kill(stuck, "SIGCONT");
  }
  await changed; // done or not: that is another test's
});
