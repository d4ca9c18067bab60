// SIGHUP and `ringcast reload`: the whole new file is checked before anything changes.
import assert from "node:assert/strict";
import { run, testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

testBroker("a reload changes what can be changed, for connections that are there too", {
  config: { "limits.max_channels": 5, namespace: [{ name: "news", publish: "anyone" }] },
}, async (broker) => {
  const [a, b] = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
  await a.subscribe("news:1");
  await b.publish("news:1", 1);
  await a.next("message");
  const next = { ...broker.config, "limits.max_channels": 2, "log.level": "debug", namespace: [{ name: "news", publish: "none" }, { name: "secret", subscribe: "none" }] };
  broker.writeConfig(next);
  process.kill(broker.pid, "SIGHUP");
  await until("the reload is counted", async () => (await broker.metrics())('ringcast_reloads_total{result="applied"}') === 1);
  for (const client of [a, b]) {
    await until("the new rule is in force", async () => (await client.request({ type: "publish", channel: "news:1", data: 2 })).code === 403);
    await client.refused(403, { type: "subscribe", channel: "secret:1" });
  }
  await a.subscribe("more:1");
  await a.refused(429, { type: "subscribe", channel: "more:2" });
  assert.equal((await broker.status()).config_generation, 1);
  for (const client of [a, b]) assert.equal(client.isClosed, false);
});

testBroker("ringcast reload answers when it is in force, and names what needs a restart", {}, async (broker) => {
  broker.writeConfig({ ...broker.config, "limits.max_channels": 1, "server.workers": 3 });
  const { pids } = broker;
  const before = pids.call(broker);
  const result = await run(["reload", "-c", broker.configPath]);
  assert.equal(result.code, 0, result.stderr);
  const said = result.stdout + result.stderr;
  assert.match(said, /limits\.max_channels/);
  assert.match(said, /server\.workers.*restart|restart.*server\.workers/);
  const a = await broker.connect();
  await a.subscribe("one");
  await a.refused(429, { type: "subscribe", channel: "two" });
  assert.deepEqual(broker.pids(), before, "the processes are the same");
});

testBroker("a wrong file changes nothing", {}, async (broker) => {
  const good = { ...broker.config };
  for (const [wrong, expected] of [
    [{ ...good, "limits.max_channels": 0 }, /:\d+:\d+: limits\.max_channels/],
    ["[server\n", /:1:\d+:/],
    [{ ...good, "limits.nonsense": 1, "limits.max_channels": 1 }, /unknown key "nonsense"/],
  ]) {
    broker.writeConfig(wrong);
    const result = await run(["reload", "-c", broker.configPath, "--socket", broker.config["server.control_socket"]]);
    assert.notEqual(result.code, 0);
    assert.match(result.stdout + result.stderr, expected);
  }
  process.kill(broker.pid, "SIGHUP");
  await until("it is counted", async () => (await broker.metrics())('ringcast_reloads_total{result="refused"}') === 4);
  assert.equal((await broker.metrics())('ringcast_reloads_total{result="applied"}'), 0);
  await until("the log says why", () => broker.log.some((line) => /reload_refused/.test(line) && /unknown key/.test(line)));
  const a = await broker.connect();
  for (let i = 0; i < 10; i++) await a.subscribe(`c:${i}`);
  broker.writeConfig(good);
});

testBroker("many reloads under traffic", { timeout: 60000 }, async (broker) => {
  const [a, b] = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
  await a.subscribe("x");
  for (let i = 1; i <= 30; i++) {
    broker.writeConfig({ ...broker.config, "limits.max_channels": 10 + i, namespace: Array.from({ length: i % 7 + 1 }, (_, k) => ({ name: `n${k}`, publish: i % 2 ? "none" : "anyone" })) });
    const reload = run(["reload", "-c", broker.configPath]);
    for (let n = 0; n < 20; n++) {
      await b.publish("x", n);
      assert.equal((await a.next("message")).data, n);
    }
    const { code, stderr } = await reload;
    assert.equal(code, 0, stderr);
    const { type } = await b.request({ type: "publish", channel: "n0:a", data: 1 });
    assert.equal(type, i % 2 ? "error" : "published");
  }
});
