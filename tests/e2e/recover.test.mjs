// Recovery on one host: who comes back says where it was, and gets what it missed before anything newer, or is told that it cannot.
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import Ringcast from "../../worker/http/ringcast.js";
import { encode } from "./lib/binary.mjs";
import { testBroker } from "./lib/broker.mjs";
import { dropStorm, killInTurn } from "./lib/recover.mjs";
import { SEED, SLOWER, until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const config = {
  "http.api_keys": [KEY],
  "limits.max_channels": 256,
  namespace: [
    { name: "log", history: 100, retain: "anyone" },
    { name: "closed", history: 100, history_who: "none" },
    { name: "calm", history: 100, min_interval: "200ms" },
    { name: "plain" },
  ],
};

const recover = (client, channel, epoch, offset, more) => client.expect("subscribed", { type: "subscribe", channel, recover: { epoch, offset, ...more?.recover }, ...more?.with });
const offsets = async (client, count) => {
  const got = [];
  while (got.length < count) got.push((await client.next("message")).offset);
  return got;
};
const upTo = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
async function nothingMore(client) {
  await client.ping(); // whatever was to come is before the pong
  assert.deepEqual(client.inbox, []);
}

testBroker("what was missed comes before what is new, once, in both forms", { workers: 2, config }, async (broker) => {
  const publisher = await broker.connectToWorker(0);
  const first = await publisher.subscribe("log:a");
  assert.match(first.epoch, /^[0-9a-f]{1,16}$/);
  assert.equal(first.offset, 0, "before its first message a channel has a place");
  for (let n = 1; n <= 20; n++) await publisher.publish("log:a", n);
  for (const worker of [0, 1]) {
    for (const protocols of [["ringcast.v1"], ["ringcast.v1.binary"]]) {
      const client = await broker.connectToWorker(worker, { protocols });
      const answer = await client.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch: first.epoch, offset: 15 } }, { encode: protocols[0] === "ringcast.v1" ? JSON.stringify : encode });
      assert.deepEqual([answer.recovered, answer.epoch, answer.offset], [true, first.epoch, 20]);
      assert.deepEqual(await offsets(client, 5), upTo(16, 20));
      await nothingMore(client);
      client.terminate();
    }
  }
  // All that there ever was, of a channel that was empty when it was subscribed.
  const back = await broker.connectToWorker(1);
  assert.equal((await recover(back, "log:a", first.epoch, 0)).recovered, true);
  await publisher.publish("log:a", 21);
  assert.deepEqual(await offsets(back, 21), upTo(1, 21));
  // Again, while it is in: from there on once more.
  assert.equal((await recover(back, "log:a", first.epoch, 19)).recovered, true);
  assert.deepEqual(await offsets(back, 2), [20, 21]);
  await nothingMore(back);
});

testBroker("what cannot be had is said, with what there is instead", { workers: 2, config }, async (broker) => {
  const publisher = await broker.connectToWorker(0);
  const { epoch } = await publisher.subscribe("log:b");
  for (let n = 1; n <= 120; n++) await publisher.publish("log:b", n, { retain: n === 120 });
  const client = await broker.connectToWorker(1);
  const asked = async (channel, itsEpoch, offset, more) => {
    const answer = await recover(client, channel, itsEpoch, offset, more);
    await client.ping();
    const got = client.inbox.splice(0).map((message) => (message.retained ? "retained" : message.offset));
    await client.unsubscribe(channel);
    return [answer.recovered, got];
  };
  assert.deepEqual(await asked("log:b", epoch, 19), [false, []]);
  assert.deepEqual(await asked("log:b", epoch, 20), [true, upTo(21, 120)]);
  assert.deepEqual(await asked("log:b", epoch, 121), [false, []], "there was no such message");
  assert.deepEqual(await asked("log:b", "another", 119), [false, []]);
  assert.deepEqual(await asked("log:b", "another", 119, { with: { retained: true } }), [false, ["retained"]]);
  assert.deepEqual(await asked("log:b", epoch, 119, { with: { retained: true } }), [true, [120]], "its state is what it missed");
  assert.deepEqual(await asked("log:b", "another", 119, { with: { since: "last 2" } }), [false, [119, 120]]);
  assert.deepEqual(await asked("log:b", epoch, 119, { with: { since: "last 50" } }), [true, [120]]);
  assert.deepEqual(await asked("plain:b", epoch, 1), [false, []]);
  const rewind = await client.expect("subscribed", { type: "subscribe", channel: "log:b", since: "last 3" });
  assert.deepEqual(["recovered" in rewind, rewind.offset, await offsets(client, 3)], [false, 120, [118, 119, 120]]);
  const closed = await publisher.subscribe("closed:b");
  await publisher.publish("closed:b", 1);
  assert.deepEqual(await asked("closed:b", closed.epoch, 0), [false, []], "history_who");
  await client.refused(403, { type: "subscribe", channel: "closed:b", since: "last 1" });
  await client.refused(501, { type: "subscribe", channel: "plain:b", since: "last 1" });
  for (const since of [5, "last", "last 0", "last -1", "last 4294967296", "first 5", null]) await client.refused(400, { type: "subscribe", channel: "log:c", since });
  for (const wrong of [null, 5, {}, { epoch, offset: -1 }, { epoch }, { offset: 1 }, { epoch: "", offset: 1 }, { epoch: 5, offset: 1 }, { epoch: "x".repeat(65), offset: 1 }]) {
    await client.refused(400, { type: "subscribe", channel: "log:c", recover: wrong });
  }
  // Where messages are held back offsets would tell nobody anything.
  const calm = await publisher.subscribe("calm:b");
  assert.deepEqual(["epoch" in calm, "offset" in calm], [false, false]);
  const metrics = await broker.metrics();
  assert.ok(metrics('ringcast_recoveries_total{result="recovered"}') === 3);
  assert.equal(metrics('ringcast_recoveries_total{result="gone"}'), 1);
  assert.ok(metrics('ringcast_recoveries_total{result="epoch"}') >= 4 && metrics('ringcast_recoveries_total{result="no_history"}') >= 1);
  assert.ok(metrics("ringcast_replayed_total") >= 100 && metrics("ringcast_replayed_bytes_total") > 0);
});

testBroker("who was left out of a message is left out when it comes back", { workers: 2, config }, async (broker) => {
  const [writer, other] = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
  const { epoch } = await writer.subscribe("log:c");
  await other.subscribe("log:c");
  await writer.publish("log:c", 1, { echo: false });
  await other.publish("log:c", 2, { exclude: [writer.id] });
  await other.publish("log:c", 3);
  const again = async (client) => {
    const back = await broker.connectToWorker(0);
    assert.equal((await recover(back, "log:c", epoch, 0, { recover: client && { client } })).recovered, true);
    await back.ping();
    return back.inbox.map((message) => message.offset);
  };
  assert.deepEqual(await again(writer.id), [3]);
  assert.deepEqual(await again(other.id), [1, 2, 3]);
  assert.deepEqual(await again(undefined), [1, 2, 3]);
  assert.deepEqual(await again("nobody"), [1, 2, 3]);
});

testBroker("a deleted history begins a new epoch, of which subscribers hear", { workers: 2, config }, async (broker) => {
  const client = await broker.connectToWorker(1);
  const { epoch } = await client.subscribe("log:d");
  await client.publish("log:d", 1);
  const answer = await broker.get("/api/history?channel=log:d", { method: "DELETE", headers: { Authorization: `Bearer ${KEY}` } });
  assert.equal(answer.status, 200);
  for (const n of [2, 3]) await client.publish("log:d", n);
  assert.deepEqual([await client.next("message"), await client.next("message")].map((message) => message.epoch), [undefined, JSON.parse(answer.body).epoch]);
  assert.equal("epoch" in await client.next("message"), false, "once");
  const back = await broker.connect();
  assert.equal((await recover(back, "log:d", epoch, 1)).recovered, false);
  await back.unsubscribe("log:d");
  assert.equal((await recover(back, "log:d", JSON.parse(answer.body).epoch, 1)).recovered, true);
  assert.deepEqual(await offsets(back, 2), [2, 3]);
});

testBroker("many channels in a batch, a large past, and leaving in the middle of it", { workers: 1, config: { ...config, namespace: [{ name: "log", history: 2000 }] }, timeout: 60000 * SLOWER }, async (broker) => {
  const publisher = await broker.connect();
  const names = Array.from({ length: 100 }, (_, i) => `log:m${i}`);
  const epochs = new Map();
  for (const name of names) epochs.set(name, (await publisher.publish(name, 0)).epoch);
  for (let n = 1; n < 5; n++) await Promise.all(names.map((name) => publisher.publish(name, n)));
  const client = await broker.connect();
  const seen = new Map(names.map((name) => [name, []]));
  let answered = 0;
  client.ondelivery = (message) => (message.type === "subscribed" ? (answered += message.recovered) : seen.get(message.channel).push(message.offset));
  client.send(names.map((channel, i) => ({ type: "subscribe", channel, id: `b${i}`, recover: { epoch: epochs.get(channel), offset: 1 } })));
  await until("all have come", () => names.every((name) => seen.get(name).length === 4));
  assert.equal(answered, names.length);
  for (const name of names) assert.deepEqual(seen.get(name), [2, 3, 4, 5]);
  // 16 MiB of past: more than sockets hold.
  const { epoch } = await publisher.publish("log:big", "x".repeat(16384));
  for (let n = 2; n <= 1000; n++) await publisher.publish("log:big", "x".repeat(16384), { key: `${n}` });
  const slow = await broker.connect();
  slow.socket.pause();
  slow.send({ type: "subscribe", channel: "log:big", id: 1, recover: { epoch, offset: 0 } });
  await until("it is in the history", async () => (await broker.metrics())("ringcast_replays") === 1);
  const before = (await broker.metrics())("ringcast_reply_bytes");
  assert.ok(before < 1 << 20, `${before} bytes are held for it`);
  slow.send({ type: "unsubscribe", channel: "log:big", id: 2 });
  slow.send({ type: "subscribe", channel: "log:big", id: 3, recover: { epoch, offset: 990 } });
  const trail = [];
  slow.ondelivery = (message) => trail.push(message.offset ?? message.type);
  for (const id of [1, 2, 3]) slow.answers.set(id, { resolve: (message) => trail.push(`${message.type} ${message.recovered ?? ""}`), reject: () => {} });
  slow.socket.resume();
  await until("it has the end", () => trail.at(-1) === 1000 && trail.includes("unsubscribed "), { timeout: 20000 });
  const left = trail.indexOf("unsubscribed ");
  assert.equal(trail[0], "subscribed true");
  assert.deepEqual(trail.slice(1, left), upTo(1, left - 1));
  assert.deepEqual(trail.slice(left + 1), ["subscribed true", ...upTo(991, 1000)]);
});

testBroker("who falls off its channel goes on in the history; nobody is told a gap", { workers: 1, config: { namespace: [{ name: "log", history: 20000, slow_consumer: "skip" }], "limits.channel_log": "64KiB", "limits.channel_log_messages": 16 }, timeout: 60000 * SLOWER }, async (broker) => {
  const slow = await broker.connect();
  const publisher = await broker.connect();
  await slow.subscribe("log:s");
  const got = [];
  slow.ondelivery = (message) => got.push(message.offset ?? message.type);
  slow.socket.pause();
  for (let n = 1; n <= 1500; n++) await publisher.publish("log:s", "y".repeat(8192));
  await until("it has fallen off", async () => (await broker.metrics())("ringcast_slow_healed_total") >= 1);
  slow.socket.resume();
  await until("it has all", () => got.length >= 1500, { timeout: 30000 });
  assert.deepEqual(got, upTo(1, 1500));
  assert.equal((await broker.metrics())("ringcast_gaps_total"), 0);
});

testBroker("the reference client recovers by itself", { workers: 2, config }, async (broker) => {
  const publisher = await broker.connectToWorker(1);
  const client = new Ringcast(broker.url, { WebSocket, reconnectMin: 300, reconnectMax: 300 });
  const got = [];
  const told = [];
  client.on("recover", (channel, complete) => told.push([channel, complete]));
  const loses = async () => {
    const gone = new Promise((done) => client.on("close", done)); // it may be back before anybody has looked at its state
    client.socket.terminate();
    await gone;
  };
  try {
    const answer = await client.subscribe("log:r", (data) => got.push(data));
    await client.subscribe("plain:r", () => {});
    await client.publish("log:r", 1);
    await publisher.publish("log:r", 2);
    await until("they have come", () => got.length === 2);
    for (let round = 0; round < 3; round++) {
      const before = got.length;
      await loses();
      for (let n = 1; n <= 10; n++) await publisher.publish("log:r", before + n);
      if (round === 1) await publisher.expect("published", { type: "publish", channel: "log:r", data: Buffer.from([7]) }, { encode });
      await until("it is back", () => client.state === "open" && told.length === 2 * (round + 1));
      await until("it has what it missed", () => got.length === (round + 1) * 10 + 2 + (round >= 1 ? 1 : 0));
    }
    const of = (channel) => told.filter(([its]) => its === channel).map(([, complete]) => complete);
    assert.deepEqual([of("log:r"), of("plain:r")], [[true, true, true], [false, false, false]]);
    assert.deepEqual(got.filter((data) => typeof data === "number"), got.map((_, i) => i + 1).filter((n) => n !== 23));
    assert.deepEqual(got.filter((data) => data instanceof Uint8Array), [new Uint8Array([7])]);
    // Its own, which it did not want to get, it does not get as what it missed.
    await client.publish("log:r", "mine", { echo: false });
    client.options.reconnectMin = client.options.reconnectMax = 3600000; // however long the publishing takes
    await loses();
    for (let n = 0; n < 101; n++) await publisher.publish("log:r", "lost");
    client.connect();
    await until("it is back", () => told.length === 8);
    assert.deepEqual(of("log:r").at(-1), false, "too long away");
    await publisher.publish("log:r", "new");
    await until("it goes on", () => got.at(-1) === "new");
    assert.ok(!got.includes("lost") && !got.includes("mine"));
    const late = [];
    const other = new Ringcast(broker.url, { WebSocket });
    await other.subscribe("log:r", (data) => late.push(data), { last: 2 });
    await until("the newest come", () => late.length === 2);
    assert.deepEqual(late, ["lost", "new"]);
    other.close();
    assert.equal(typeof answer.epoch, "string");
  } finally {
    client.close();
  }
});

testBroker("60 clients drop at random while workers and the relay are killed in turn", { workers: 2, config: { namespace: [{ name: "log", history: 400, slow_consumer: "skip" }] }, timeout: 120000 * SLOWER }, async (broker) => {
  const sums = await dropStorm(broker, { prefix: "log", clients: 60, channels: 20, publishers: 4, pauseMs: 2, seconds: 10, awayMs: 1500, history: 400, kill: killInTurn(broker, 2), killEveryMs: 1000, seed: SEED });
  assert.ok(sums.recovered > 10 && sums.messages > 100, JSON.stringify(sums));
  assert.equal(sums.gaps, 0, JSON.stringify(sums));
});
