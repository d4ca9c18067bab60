// Messages as deltas: who asks for them gets what was published, in a fraction of its bytes, in both forms, with and without the reference client.
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import Ringcast from "../../worker/http/ringcast.js";
import { encode } from "./lib/binary.mjs";
import { testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const config = {
  namespace: [
    { name: "book", delta: "fossil" },
    { name: "kept", delta: "fossil", history: 100, history_who: "anyone" },
    { name: "slow", delta: "fossil", min_interval: "10ms" },
    { name: "plain" },
  ],
};

/* A book of about 2 KB of which each call changes a few of its levels. */
function book(state) {
  for (let i = 0; i < 4; i++) state[(state.n = (state.n * 48271 + 11) % 2147483647) % 64] = state.n % 100000;
  return { symbol: "BTC-USD", bids: Array.from({ length: 64 }, (_, i) => [`${97000 - 3 * i}.50`, `1.${state[i] ?? 10000}`]) };
}

testBroker("the reference client gets what was published", { workers: 2, config }, async (broker) => {
  const publisher = await broker.connectToWorker(0);
  const client = new Ringcast(broker.url, { WebSocket, delta: true, reconnectMin: 50 });
  const got = [];
  const errors = [];
  let bytes = 0;
  client.on("error", (error) => errors.push(error)).on("gap", (channel) => errors.push(`gap ${channel}`));
  try {
    assert.equal((await client.subscribe("book:a", (data, message) => got.push([data, message.version]))).delta, "fossil");
    client.socket.addEventListener("message", ({ data }) => (bytes += data.length));
    const state = { n: 1 };
    let published = 0;
    const expected = [];
    for (let n = 1; n <= 100; n++) {
      const data = book(state);
      published += JSON.stringify(data).length;
      expected.push([data, n]);
      await publisher.publish("book:a", data);
    }
    await until("all have come", () => got.length === 100);
    assert.deepEqual(got, expected);
    assert.ok(bytes * 5 < published, `${bytes} of ${published}`);
    // Behind a loss of the base the next one comes whole, and so does what comes after a reconnect.
    client.bases.get("book:a").get("").version += 1;
    await publisher.publish("book:a", book(state));
    await until("it is said", () => errors.length === 1);
    assert.deepEqual(errors.splice(0), ["gap book:a"]);
    await client.ping();
    const next = book(state);
    await publisher.publish("book:a", next);
    await until("it has come", () => got.length === 101);
    assert.deepEqual(got.at(-1)[0], next);
    const bytesOf = Uint8Array.from({ length: 500 }, (_, i) => i);
    for (let n = 0; n < 3; n++) {
      bytesOf[100] = n;
      await publisher.expect("published", { type: "publish", channel: "book:a", data: Buffer.from(bytesOf) }, { encode });
      await until("bytes have come", () => got.length === 102 + n);
      assert.deepEqual([...got.at(-1)[0]], [...bytesOf]);
    }
    const keyed = { a: { n: 1 }, b: { n: 2 } };
    for (let n = 0; n < 20; n++) {
      const key = n % 2 ? "a" : "b";
      const data = book(keyed[key]);
      await publisher.publish("book:a", data, { key });
      await until("it has come", () => got.length === 105 + n);
      assert.deepEqual(got.at(-1)[0], data);
    }
    const [pid] = broker.pids().workers;
    assert.deepEqual(errors, []);
    client.socket.close();
    await new Promise((done) => client.on("reconnect", done));
    const again = book(state);
    await publisher.publish("book:a", again);
    await until("it has come", () => got.length === 125);
    assert.deepEqual([got.at(-1)[0], errors, typeof pid], [again, [], "number"]);
  } finally {
    client.close();
  }
});

testBroker("what it looks like, and where there is none", { workers: 2, config }, async (broker) => {
  const publisher = await broker.connectToWorker(0);
  const client = await broker.connectToWorker(1);
  const plain = await broker.connectToWorker(1);
  const ask = (channel, more) => client.expect("subscribed", { type: "subscribe", channel, delta: "fossil", ...more });
  const first = { text: "a text that is long enough to be compared with what comes behind it", n: 1 };
  const second = { ...first, n: 2 };
  assert.equal((await ask("book:b")).delta, "fossil");
  await plain.subscribe("book:b");
  await publisher.publish("book:b", first, { event: "e" });
  await publisher.publish("book:b", second);
  assert.deepEqual(await client.next("message"), { type: "message", channel: "book:b", version: 1, event: "e", full: JSON.stringify(first) });
  const { delta, ...head } = await client.next("message");
  assert.deepEqual(head, { type: "message", channel: "book:b", base: 1 });
  const bytes = (text) => new TextEncoder().encode(text);
  assert.equal(new TextDecoder().decode(Ringcast.applyDelta(bytes(JSON.stringify(first)), bytes(delta))), JSON.stringify(second));
  assert.deepEqual([(await plain.next("message")).data, (await plain.next("message")).data], [first, second]);
  // Arguments come as ever, and leave what deltas are against as it is.
  await publisher.expect("published", { type: "publish", channel: "book:b", event: "x", args: [1, 2] });
  assert.deepEqual(await client.next("message"), { type: "message", channel: "book:b", event: "x", args: [1, 2] });
  await publisher.publish("book:b", first);
  assert.equal((await client.next("message")).base, 2);
  // Who is left out of one gets the next one whole.
  await publisher.publish("book:b", second, { exclude: [client.id] });
  await publisher.publish("book:b", first);
  assert.deepEqual(await client.next("message"), { type: "message", channel: "book:b", version: 5, full: JSON.stringify(first) });
  // Who asks again, too.
  assert.equal((await ask("book:b")).delta, "fossil");
  await publisher.publish("book:b", second);
  assert.equal((await client.next("message")).full, JSON.stringify(second));
  assert.equal((await ask("kept:b")).delta, "fossil");
  await publisher.publish("kept:b", first, { key: "k" });
  await publisher.publish("kept:b", second, { key: "k" });
  assert.deepEqual(await client.next("message"), { type: "message", channel: "kept:b", offset: 1, version: 1, key: "k", full: JSON.stringify(first) });
  const { offset, base, key } = await client.next("message");
  assert.deepEqual([offset, base, key], [2, 1, "k"]);
  assert.equal((await ask("slow:b")).delta, undefined);
  assert.equal((await ask("plain:b")).delta, undefined);
  await publisher.publish("slow:b", first);
  assert.deepEqual((await client.next("message")).data, first);
  await client.refused(400, { type: "subscribe", channel: "book:b", delta: "bsdiff" });
  await client.refused(400, { type: "subscribe", channel: "book:b", delta: true });
  const metric = await broker.metrics();
  assert.ok(metric("ringcast_delta_messages_total") > 0 && metric("ringcast_delta_saved_bytes_total") > 0);
});
