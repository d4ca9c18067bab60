// Retained values on one host: kept by native clients, the API and rows, given to who subscribes before anything newer, and there after the
// relay's death.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { delay, until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const config = { "http.api_keys": [KEY], namespace: [{ name: "state", retain: "anyone" }, { name: "mine", publish: "owner", retain: "auto" }, { name: "other" }], "debug.user_query": "user" };

async function api(broker, path, body, status = 200) {
  const answer = await broker.get(`/api/${path}`, { method: "POST", headers: { Authorization: `Bearer ${KEY}` }, body: JSON.stringify(body) });
  assert.equal(answer.status, status, answer.body);
  return JSON.parse(answer.body);
}

const arrive = (client, channel, more) => client.expect("subscribed", { type: "subscribe", channel, retained: true, ...more });

/* A client of that worker. */
const on = (broker, worker) => broker.connectToWorker(worker);

/* What a fresh client of that worker gets for subscribing: the values, in their order. */
async function values(broker, channel, count, worker = 0) {
  const client = await on(broker, worker);
  await arrive(client, channel);
  const got = [];
  while (got.length < count) got.push(await client.next("message"));
  await client.ping(); // whatever leaves with the values is before the pong
  assert.deepEqual(client.inbox, []);
  client.terminate();
  return got;
}

testBroker("a retained value comes first, and only to who asks for it", { workers: 2, config }, async (broker) => {
  const [publisher, plain] = await broker.connectMany([2]);
  assert.deepEqual(await values(broker, "state:a", 0), []);
  await plain.subscribe("state:a");
  await publisher.publish("state:a", { n: 1 }, { retain: true });
  assert.deepEqual(await plain.next("message"), { type: "message", channel: "state:a", data: { n: 1 } });
  for (const worker of [0, 1]) {
    assert.deepEqual(await values(broker, "state:a", 1, worker), [{ type: "message", channel: "state:a", retained: true, data: { n: 1 } }]);
  }
  // What is published without `retain` leaves it as it is.
  await publisher.publish("state:a", { n: 2 });
  assert.deepEqual((await values(broker, "state:a", 1))[0].data, { n: 1 });
  await publisher.publish("state:a", null, { retain: true });
  assert.deepEqual(await values(broker, "state:a", 0), []);
});

testBroker("events, arguments and keys", { workers: 2, config }, async (broker) => {
  const publisher = await on(broker, 1);
  await publisher.publish("state:k", "one", { retain: true, key: "a" });
  await publisher.publish("state:k", "two", { retain: true, key: "b", event: "named" });
  await publisher.publish("state:k", "three", { retain: true, key: "a" });
  await publisher.expect("published", { type: "publish", channel: "state:k", event: "e", args: ["x", 2], retain: true });
  assert.deepEqual(await values(broker, "state:k", 3), [
    { type: "message", channel: "state:k", retained: true, event: "named", data: "two" },
    { type: "message", channel: "state:k", retained: true, data: "three" },
    { type: "message", channel: "state:k", retained: true, event: "e", args: ["x", 2] },
  ]);
});

testBroker("who may set it, and what makes no sense", { config }, async (broker) => {
  const client = await broker.connect({ path: "/ws?user=7" });
  await client.refused(403, { type: "publish", channel: "other:a", data: 1, retain: true });
  await client.refused(403, { type: "publish", channel: "default", data: 1, retain: true });
  await client.refused(403, { type: "publish", channel: "mine:8", data: 1, retain: true });
  await client.publish("mine:7", 1, { retain: true });
  await client.publish("other:a", 1);
  await client.refused(400, { type: "publish", channel: "state:a", data: 1, retain: "yes" });
  await client.refused(400, { type: "subscribe", channel: "state:a", retained: 1 });
  await api(broker, "publish", { channel: "state:a", data: 1, retain: 1 }, 400);
  await api(broker, "retain", { channel: "*", data: 1 }, 403);
  await api(broker, "retain", { data: 1 }, 400);
  await api(broker, "retain", { channel: "state:a" }, 400);
  assert.deepEqual(await values(broker, "state:a", 0), []);
});

testBroker("the API keeps with and without sending", { workers: 2, config }, async (broker) => {
  const listener = await on(broker, 1);
  await listener.subscribe("other:a");
  assert.equal((await api(broker, "retain", { channel: "other:a", data: { kept: true } })).retained, 1);
  assert.deepEqual((await values(broker, "other:a", 1))[0].data, { kept: true });
  await api(broker, "publish", { messages: [{ channel: "other:a", data: 5, retain: true }, { channel: "other:a", data: 6 }] });
  assert.deepEqual((await values(broker, "other:a", 1))[0].data, 5);
  assert.deepEqual([(await listener.next("message")).data, (await listener.next("message")).data], [5, 6]);
  await api(broker, "retain", { channel: "other:a", data: null });
  assert.deepEqual(await values(broker, "other:a", 0), []);
  assert.deepEqual(listener.inbox, []);
});

testBroker("memory that keeps nothing says so", { config: { ...config, "limits.history_memory": "0B" } }, async (broker) => {
  const client = await broker.connect();
  await client.refused(501, { type: "publish", channel: "state:a", data: 1, retain: true });
  await api(broker, "retain", { channel: "state:a", data: 1 }, 501);
  await api(broker, "publish", { channel: "state:a", data: 1, retain: true }, 501);
  await arrive(client, "state:a");
});

testBroker("the relay's death loses none and doubles none", { workers: 2, config, timeout: 60000 }, async (broker) => {
  const publisher = await broker.connect();
  for (let i = 0; i < 50; i++) await publisher.publish(`state:${i % 10}`, i, { retain: true, key: `k${i % 5}` });
  for (let round = 0; round < 3; round++) {
    await broker.killRelay();
    for (let i = 0; i < 10; i++) {
      const got = await values(broker, `state:${i}`, 1, i % 2);
      assert.deepEqual(got.map((message) => message.data), [40 + i + round * 100], `state:${i} in round ${round}`);
      await publisher.publish(`state:${i}`, 40 + i + (round + 1) * 100, { retain: true, key: `k${i % 5}` });
    }
  }
});

/* Publishers in a loop, subscribers that come all the time: the value first, then exactly what came after it. */
testBroker("every subscriber sees the value first and then exactly the later ones", { workers: 2, config, timeout: 120000 }, async (broker) => {
  const publishers = await broker.connectMany([1, 1]);
  let running = true;
  const pumps = publishers.map(async (publisher, index) => {
    for (let n = 1; running; n++) await publisher.publish(`state:loop${index}`, n, { retain: true });
  });
  const seen = [];
  for (let round = 0; round < 150; round++) {
    if (round === 50 || round === 100) await broker.killRelay();
    const client = await on(broker, round % 2);
    const channel = `state:loop${round % 3 === 0 ? 0 : 1}`;
    const numbers = [];
    let first;
    client.ondelivery = (message) => {
      assert.equal(message.type, "message");
      first ??= message;
      assert.equal(message.retained ?? false, message === first && numbers.length === 0 && first.retained === true);
      numbers.push(message.data);
    };
    // Half of them come to a channel that others of their worker have already.
    await arrive(client, channel);
    seen.push({ client, numbers });
    if (seen.length > 10) seen.shift().client.terminate();
    await until("a few messages", () => numbers.length >= 5);
    if (round > 2) assert.equal(first.retained, true, `round ${round}`);
    for (let i = 1; i < numbers.length; i++) assert.equal(numbers[i], numbers[i - 1] + 1, `round ${round}: ${numbers.slice(0, 8)}`);
  }
  running = false;
  await Promise.all(pumps);
  await delay(0);
  for (const { numbers } of seen) for (let i = 1; i < numbers.length; i++) assert.equal(numbers[i], numbers[i - 1] + 1);
});

testBroker("who is in the channel already gets the value in order", { config }, async (broker) => {
  const client = await broker.connect();
  const publisher = await broker.connect();
  await client.subscribe("state:a");
  let running = true;
  const pump = (async () => {
    for (let n = 1; running; n++) await publisher.publish("state:a", n, { retain: true });
  })();
  const got = [];
  client.ondelivery = (message) => got.push(message);
  await until("there is a value", () => got.length > 0);
  for (let i = 0; i < 50; i++) await arrive(client, "state:a");
  running = false;
  await pump;
  await client.ping();
  let last = 0;
  for (const message of got) {
    if (message.retained) assert.equal(message.data, last, "the newest that came before it");
    else assert.equal(message.data, ++last);
  }
  assert.equal(got.filter((message) => message.retained).length, 50);
});
