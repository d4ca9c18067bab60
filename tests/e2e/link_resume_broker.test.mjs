// What clients of an application behind a link notice when it does not come back, and when it is the broker that goes: docs/link.md, "When a process goes".
import assert from "node:assert/strict";
import { run } from "./lib/broker.mjs";
import { testLink } from "./lib/link.mjs";
import { asBefore, comeAll, setup, stateOf } from "./lib/resumed.mjs";
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
