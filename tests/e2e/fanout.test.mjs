// 200 clients on 4 workers, 50 channels, publishers of every kind: everybody gets everything once, in one order, unchanged.
import assert from "node:assert/strict";
import { encode } from "./lib/binary.mjs";
import { testBroker } from "./lib/broker.mjs";
import { random, until } from "./lib/util.mjs";

const CLIENTS = 200;
const WORKERS = 4;
const CHANNELS = 50;
const MESSAGES = 4000;
const IN_FLIGHT = 200; // publishes without an answer yet

// JSON texts as a publisher may write them. What comes out must be these bytes.
const TEXTS = [
  "null", "true", "0", "-0", "1e400", "-1E-400", "1.0", "1.10", "123456789012345678901234567890.00", '""', '"é"',
  '"\\u00e9\\u000a\\n\\/\\\\ \\"\\b\\f\\r\\t"', '"😀🇩🇪👩‍👩‍👧"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\uDFFF\\u0000"', '"\u2028\u2029\u200f\ufeff\uffff\u{10ffff}"',
  '{"a" : [ 1 , 2,\t3 ],\n"b":{}}', '{"a":1,"a":2}', '[[[[[[[[[[{"deep":[{"er":null}]}]]]]]]]]]]', '{"":{"":{"":""}}}', '["日本語","العربية","עברית","ไทย"]',
  '{"type":"subscribe","channel":"x","data":"}]"}', " 7", '[ ]', JSON.stringify("x".repeat(3000)),
];
const BIG = JSON.stringify("ü".repeat(70000)); // frames of 64-bit length, every 200th message

const channelName = (index) => ["room:", "preise:€", "", "a b/c?d#", "ns:with:colons:"][index % 5] + index;

testBroker("every subscriber gets every message once, all in the same order, byte for byte", {
  workers: WORKERS,
  timeout: 60000,
  // Nobody may be cut for being slow: on a busy machine 200 readers in one process are.
  config: { "limits.channel_log": "64MiB", "limits.worker_log": "256MiB" },
}, async (broker) => {
  const next = random();
  const clients = await broker.connectMany(Array(WORKERS).fill(CLIENTS / WORKERS), {});
  const subscribers = Array.from({ length: CHANNELS }, () => new Set());
  const seen = clients.map(() => Array.from({ length: CHANNELS }, () => [])); // [client][channel] -> keys in order
  const sent = Array.from({ length: CHANNELS }, () => new Map()); // key -> who must get it
  const channelOf = new Map(Array.from({ length: CHANNELS }, (_, i) => [channelName(i), i]));
  let missing = 0;
  let ends = 0;
  const wrong = [];

  // In the message: which one it is. Its publisher counts, so that order per publisher is seen too.
  const keyOf = (message) => {
    if (Buffer.isBuffer(message.data)) return message.data.readUInt32BE(0);
    return Number(/^\[(\d+),/.exec(message.raw)?.[1]);
  };
  const contents = new Map(); // key -> text or bytes

  for (const [index, client] of clients.entries()) {
    client.ondelivery = (message) => {
      if (message.channel === "*") {
        ends++;
        return;
      }
      const channel = channelOf.get(message.channel);
      const key = keyOf(message);
      const content = contents.get(key);
      const same = Buffer.isBuffer(content) ? Buffer.isBuffer(message.data) && content.equals(message.data) : message.raw === content;
      if (message.type !== "message" || !same) wrong.push(`client ${index}: ${message.type} ${message.channel} ${String(message.raw).slice(0, 100)}`);
      seen[index][channel].push(key);
      missing--;
    };
  }
  const subscribing = [];
  for (const [index, client] of clients.entries()) {
    for (let i = 0; i < 10; i++) {
      const channel = next.below(CHANNELS);
      if (subscribers[channel].has(index)) continue;
      subscribers[channel].add(index);
      subscribing.push(client.subscribe(channelName(channel)));
    }
  }
  await Promise.all(subscribing);

  const publishOne = (key) => {
    const publisher = next.below(CLIENTS);
    const channel = next.below(CHANNELS);
    const audience = new Set(subscribers[channel]);
    const operation = { type: "publish", channel: channelName(channel) };
    if (next.below(4) === 0) {
      operation.echo = false;
      audience.delete(publisher);
    }
    if (next.below(4) === 0) {
      operation.exclude = [];
      for (let i = next.below(8); i >= 0; i--) {
        const excluded = next.below(CLIENTS);
        operation.exclude.push(clients[excluded].id);
        audience.delete(excluded);
      }
    }
    const kind = next.below(6);
    let how;
    if (kind === 0) {
      const bytes = Buffer.alloc(4 + next.below(300), key & 255);
      bytes.writeUInt32BE(key);
      contents.set(key, bytes);
      operation.data = bytes;
      how = { encode };
    } else {
      const text = `[${key},${key % 200 === 0 ? BIG : next.pick(TEXTS)}]`;
      contents.set(key, text);
      operation.data = { json: text };
      how = kind === 1 ? { encode } : { encode: ({ data, ...rest }) => `{"data":${data.json},${JSON.stringify(rest).slice(1)}` };
    }
    sent[channel].set(key, { audience, publisher });
    missing += audience.size;
    return clients[publisher].expect("published", operation, { ...how, timeout: 30000 });
  };
  let key = 0;
  const lane = async () => {
    while (key < MESSAGES) await publishOne(key++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  await until("every delivery is there", () => missing <= 0, { timeout: 30000 }).catch((error) => {
    throw new Error(`${missing} deliveries are missing; ${error.message}`);
  });
  // On each connection a broadcast comes behind all that was published before it: what is too much is there by then.
  await clients[0].broadcast("end");
  await until("the broadcast is everywhere", () => ends === CLIENTS);

  assert.deepEqual(wrong, []);
  assert.equal(missing, 0);
  for (let channel = 0; channel < CHANNELS; channel++) {
    for (const index of subscribers[channel]) {
      const keys = seen[index][channel];
      assert.equal(new Set(keys).size, keys.length, `client ${index} gets nothing twice on ${channelName(channel)}`);
      const expected = [...sent[channel]].filter(([, { audience }]) => audience.has(index)).map(([key]) => key);
      assert.deepEqual([...keys].sort((a, b) => a - b), expected, `client ${index} gets all of ${channelName(channel)}, and nothing it is excluded from`);
    }
    // Everybody's view is one global order with parts left out: no cycles between neighbours of any two views.
    assertAcyclic([...subscribers[channel]].map((index) => seen[index][channel]));
    // And each publisher's own order holds.
    for (const index of subscribers[channel]) {
      const last = new Map();
      for (const key of seen[index][channel]) {
        const { publisher } = sent[channel].get(key);
        assert.ok(key > (last.get(publisher) ?? -1), `publisher ${publisher}'s order on ${channelName(channel)}`);
        last.set(publisher, key);
      }
    }
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_publishes_total"), MESSAGES);
  assert.equal(metrics("ws_connections_total"), CLIENTS);
  assert.equal(metrics("ringcast_relay_dropped_total"), 0);
});

/* Fails unless all sequences are parts of one order (topological sort of "comes right before"). */
function assertAcyclic(sequences) {
  const after = new Map();
  const incoming = new Map();
  for (const keys of sequences) {
    for (const [i, key] of keys.entries()) {
      if (!incoming.has(key)) incoming.set(key, 0);
      if (i === 0) continue;
      if (!after.has(keys[i - 1])) after.set(keys[i - 1], new Set());
      if (!after.get(keys[i - 1]).has(key)) {
        after.get(keys[i - 1]).add(key);
        incoming.set(key, incoming.get(key) + 1);
      }
    }
  }
  const free = [...incoming].filter(([, count]) => count === 0).map(([key]) => key);
  let placed = 0;
  for (; free.length > 0; placed++) {
    for (const key of after.get(free.pop()) ?? []) {
      incoming.set(key, incoming.get(key) - 1);
      if (incoming.get(key) === 0) free.push(key);
    }
  }
  assert.equal(placed, incoming.size, "all subscribers see one order");
}
