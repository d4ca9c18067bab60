// A new relay that has no room for all channels of its predecessor: subscribers hear of it, and everything comes once there is room.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const CHANNELS = 8;
const KEPT = 3; // the relay's table then holds so many pairs of channel and worker

testBroker("channels that a new relay refuses get gap notices, newcomers an error, until there is room", { workers: 1, timeout: 60000 }, async (broker) => {
  const limit = async (count) => {
    const before = (await broker.metrics())("ringcast_reloads_total");
    broker.writeConfig({ ...broker.config, "limits.max_channels_per_worker": count });
    broker.kill("SIGHUP", "acceptor");
    await until("the reload is counted", async () => (await broker.metrics())("ringcast_reloads_total") === before + 1);
  };
  const names = Array.from({ length: CHANNELS }, (_, i) => `room:${i}`);
  const reader = await broker.connect();
  const other = await broker.connect();
  for (const name of names) await reader.subscribe(name);
  await limit(KEPT);
  broker.kill("SIGKILL", "relay");
  const told = new Set();
  await until("as many as have no room are told", async () => {
    for (const message of reader.inbox.splice(0)) {
      assert.equal(message.type, "gap");
      told.add(message.channel);
    }
    return told.size === CHANNELS - KEPT;
  });
  const refused = [...told];
  const kept = names.filter((name) => !told.has(name));
  assert.equal((await broker.metrics())("ringcast_interests_refused_total"), CHANNELS - KEPT);
  await other.refused(503, { type: "subscribe", channel: refused[0] });
  await reader.refused(503, { type: "subscribe", channel: refused[0] });
  await other.subscribe(kept[0]);
  for (const name of [...kept, ...refused]) await other.publish(name, name);
  for (const name of kept) assert.equal((await reader.next((message) => message.data === name)).channel, name);

  await limit(1000);
  await until("the reader is registered again", async () => (await broker.metrics())("ringcast_relay_interests") === CHANNELS);
  assert.deepEqual((({ type, scope }) => ({ type, scope }))(await reader.subscribe(refused[0])), { type: "subscribed", scope: undefined });
  for (const name of refused) {
    await other.publish(name, "again");
    const mine = (message) => message.channel === name;
    let gaps = 0;
    for (let message = await reader.next(mine); message.data !== "again"; message = await reader.next(mine)) {
      if (message.type === "gap") gaps++;
    }
    assert.ok(gaps > 0, "and is told before the first message");
  }
  assert.equal(reader.isClosed, false);
});
