// kill -9 of a worker: its own clients are closed, nobody else notices, and a new one serves within a second.
import assert from "node:assert/strict";
import { isAlive, testBroker } from "./lib/broker.mjs";
import { connect } from "./lib/client.mjs";
import { SLOWER, delay, until } from "./lib/util.mjs";

testBroker("only its own clients are closed, and counters and interest are right afterwards", { workers: 4, config: { "server.adopt_crashed": false }, timeout: 60000 }, async (broker) => {
  const clients = await broker.connectMany([10, 10, 10, 10]);
  for (const [i, client] of clients.entries()) {
    await client.subscribe("all");
    await client.subscribe(`own:${i}`);
  }
  const victims = clients.filter((client) => client.worker === 2);
  const others = clients.filter((client) => client.worker !== 2);
  const pid = broker.kill("SIGKILL", 2);
  const killed = performance.now();

  // A message right then reaches everybody else.
  await others[0].publish("all", "now");
  for (const client of others) assert.equal((await client.next("message")).data, "now");
  await Promise.all(victims.map((client) => client.closed));
  for (const client of others) assert.equal(client.isClosed, false);

  const successor = await until("a new worker 2 is there", () => {
    const now = broker.pids().workers[2];
    return now !== pid && now;
  }, { timeout: 2000 });
  assert.equal(isAlive(pid), false);
  const back = await broker.connectToWorker(2);
  const took = performance.now() - killed;
  assert.ok(took < 1000 * SLOWER, `a new worker serves within 1 s, this one after ${took.toFixed(0)} ms`);
  assert.equal(broker.pids().workers[2], successor, "and stays");
  await broker.closeSpares();

  await back.subscribe("all");
  await back.subscribe("own:20");
  await others[5].publish("all", "again");
  for (const client of [...others, back]) assert.equal((await client.next("message")).data, "again");
  await back.publish("own:0", "to 0");
  assert.equal((await clients[0].next("message")).data, "to 0");
  // What only the dead one's clients wanted, nobody wants now.
  const wanted = clients.findIndex((client) => client.worker === 2 && client !== clients[20]);
  const before = (await broker.metrics())("ringcast_relay_unrouted_total");
  await others[0].publish(`own:${wanted}`, "nobody");
  await until("it is counted as wanted by nobody", async () => (await broker.metrics())("ringcast_relay_unrouted_total") === before + 1);

  await until("the gauges are those of who is there", async () => {
    const metrics = await broker.metrics();
    return metrics("ws_connections_total") === 31 && metrics("ringcast_subscriptions") === 62 && metrics("ringcast_connections", 2) === 1;
  });
  const metrics = await broker.metrics();
  assert.equal(metrics('ringcast_restarts_total{process="worker"}'), 1);
  // A direct to a client of the dead worker reaches nobody: its successor does not answer to old ids.
  await others[0].expect("sent", { type: "direct", to: victims[0].id, data: "old" });
  await others[0].direct(back.id, "new");
  assert.equal((await back.next("direct")).data, "new");
  assert.deepEqual(back.inbox, []);
});

testBroker("no connection is refused or reset while workers die, ten times", { workers: 4, config: { "server.adopt_crashed": false }, timeout: 90000 }, async (broker) => {
  const failures = [];
  let stop = false;
  let connected = 0;
  // The handshake of one that was with the dying worker already may break: what must not happen is that connecting fails
  // for reasons of the listener, over and over. A reset is only one where the client was not accepted by a worker yet.
  const visitor = async () => {
    while (!stop) {
      try {
        const client = await connect(broker.url, { timeout: 5000 });
        connected++;
        await client.close().catch(() => {});
      } catch (error) {
        failures.push({ message: error.message, code: error.code, at: performance.now() });
      }
    }
  };
  const visitors = Array.from({ length: 8 }, visitor);
  const kills = [];
  try {
    for (let i = 0; i < 10; i++) {
      const worker = i % 4;
      const before = connected;
      await until("visitors come through", () => connected > before + 20);
      const pid = broker.kill("SIGKILL", worker);
      kills.push(performance.now());
      await until(`worker ${worker} is back`, async () => {
        const now = broker.pids().workers[worker];
        if (!now || now === pid) return false;
        return (await broker.status()).processes.find((row) => row.process === `worker ${worker}`).state === "ready";
      }, { timeout: 5000, every: 20 });
    }
  } finally {
    stop = true;
    await Promise.all(visitors);
  }
  // Those that the dead worker held when it was killed, nothing later: 8 visitors, each at most once a kill.
  assert.deepEqual(failures.filter((failure) => failure.code === "ECONNREFUSED"), [], "nobody is refused");
  for (const failure of failures) {
    const near = kills.some((at) => failure.at >= at - 5 && failure.at < at + 1000 * SLOWER);
    assert.ok(near && /socket hang up|ECONNRESET|closed with 1006/.test(failure.message), `only what the dead worker had accepted breaks: ${JSON.stringify(failure)}`);
  }
  assert.ok(failures.length <= 80, `${failures.length} failures`);
  await delay(0);
});
