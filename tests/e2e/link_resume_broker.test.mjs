// What clients of an application behind a link notice when it does not come back, and when it is the broker that goes: docs/link.md, "When a process goes".
import assert from "node:assert/strict";
import { run } from "./lib/broker.mjs";
import { testLink } from "./lib/link.mjs";
import { handedOver } from "./lib/outlive.mjs";
import { asBefore, comeAll, sayAll, sayWhile, setup, stateOf } from "./lib/resumed.mjs";
import { until } from "./lib/util.mjs";

const application = { setup, options: { connectionStateRecovery: {} } };
const metric = async (broker, name) => (await broker.metrics())(name);

async function reload(broker, changes) {
  broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], ...changes }] });
  const result = await run(["reload", "-c", broker.configPath]);
  assert.equal(result.code, 0, result.stderr);
}

/* Connections whose process is known to be gone, as the log says. */
const away = (broker) => broker.log.reduce((sum, line) => sum + Number(/\blink_process_gone\b.* connections=(\d+)/.exec(line)?.[1] ?? 0), 0);

const knowOf = (clients, count) => until("all are told", () => clients.every(({ events }) => events.filter((event) => event.startsWith("disconnect")).length === count));

testLink("grace is over: by a reload that shortens it, then by itself: clients are closed, and come back as somebody new", { needs: "resume", application, table: { grace: "1h" }, timeout: 90000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  for (const round of [1, 2]) {
    await app.kill();
    if (round === 1) {
      await until("no process has them", () => away(broker) === clients.length);
      assert.equal(await metric(broker, "ringcast_link_apart"), clients.length);
      for (const { events } of clients) assert.deepEqual(events, []);
      await reload(broker, { grace: "100ms" });
    }
    await knowOf(clients, 2 * round);
    for (const { events } of clients) assert.deepEqual(events.slice(0, 2), ["disconnect: transport close", "disconnect: transport close"]);
    assert.equal(await metric(broker, "ringcast_link_lost_connections_total"), round * clients.length);
    await app.start();
    await until("all are back", () => clients.every(({ socket, second }) => socket.connected && second.connected));
    for (const client of clients) {
      assert.ok(!client.ids.includes(client.socket.id), "as somebody new");
      assert.deepEqual(await client.ask("visit"), [1]);
    }
    const { connections, recovered } = await stateOf(app);
    assert.deepEqual([connections, recovered], [2 * clients.length, 0]);
  }
  for (const client of clients) client.end();
});

/* What the broker counted, of both workers. */
const counted = async (broker, ...names) => {
  const metrics = await broker.metrics();
  return names.map((name) => metrics(`ringcast_link_${name}_total`));
};

/* The one process went on: it has seen nobody come again, and nobody go. */
async function wentOn(app, clients) {
  const { connections, recovered, reasons } = await stateOf(app);
  assert.deepEqual({ connections, recovered, reasons }, { connections: 2 * clients.length, recovered: 0, reasons: [] });
}

testLink("hand-over of all workers while everybody talks: neither clients nor the application notice", { needs: "resume", application, timeout: 120000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  for (let round = 2; round < 4; round++) {
    await sayWhile(clients, handedOver(broker));
    await app.isLinked(2);
    await asBefore(clients, round);
    await wentOn(app, clients);
  }
  assert.deepEqual(await counted(broker, "continued", "resumed", "lost_connections"), [2 * clients.length, 0, 0]);
  for (const client of clients) client.end();
});

testLink("kill -9 of a worker while nobody talks: neither clients nor the application notice", { needs: "resume", application, timeout: 120000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  for (let round = 2; round < 4; round++) {
    const pid = broker.kill("SIGKILL", round % 2);
    await until("another worker", () => broker.pids().workers[round % 2] && broker.pids().workers[round % 2] !== pid);
    await sayAll(clients, 0, 3);
    await app.isLinked(2);
    await asBefore(clients, round);
    await wentOn(app, clients);
  }
  for (const client of clients) client.end();
});

testLink("the application goes, then all workers, and another application comes: no client notices", { needs: "resume", application, table: { grace: "1h" }, timeout: 120000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  await app.kill();
  await sayAll(clients, 0, 3, async () => {
    await until("no process has them", () => away(broker) === clients.length);
    await handedOver(broker);
    for (const { events } of clients) assert.deepEqual(events, []);
    await app.start();
  });
  await asBefore(clients, 2);
  const { connections, recovered } = await stateOf(app);
  assert.deepEqual([connections, recovered], [2 * clients.length, 2 * clients.length]);
  for (const client of clients) client.end();
});
