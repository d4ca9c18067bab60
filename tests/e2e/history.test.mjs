// History on one host: what is published in namespaces that keep it has an offset, is told to who asks, is forgotten as configured, and
// survives the relay.
import assert from "node:assert/strict";
import { encode } from "./lib/binary.mjs";
import { testBroker } from "./lib/broker.mjs";
import { delay, until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const config = {
  "http.api_keys": [KEY],
  namespace: [
    { name: "log", history: 100, history_who: "anyone" },
    { name: "mine", history: 5, history_who: "member" },
    { name: "short", history: 100, history_ttl: "6s", history_who: "anyone" },
    { name: "closed", history: 5, history_who: "none" },
    { name: "plain", history_who: "anyone" },
  ],
};

async function api(broker, path, options = {}, status = 200) {
  const answer = await broker.get(`/api/${path}`, { ...options, headers: { Authorization: `Bearer ${KEY}` } });
  assert.equal(answer.status, status, answer.body);
  return JSON.parse(answer.body);
}

const ask = (client, channel, more) => client.expect("history", { type: "history", channel, ...more });
const numbers = (answer) => answer.messages.map((message) => [message.offset, message.data]);
const upTo = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => [from + i, from + i]);

testBroker("messages have offsets, and are told to who asks", { workers: 2, config }, async (broker) => {
  const publisher = await broker.connectToWorker(0);
  const subscriber = await broker.connectToWorker(1);
  const nothing = await ask(subscriber, "log:a");
  assert.deepEqual([nothing.messages, nothing.offset, nothing.first, nothing.more], [[], 0, 1, false]);
  await subscriber.subscribe("log:a");
  await subscriber.subscribe("plain:a");
  const before = Date.now();
  for (let n = 1; n <= 150; n++) await publisher.publish("log:a", n);
  await publisher.publish("plain:a", 1);
  for (let n = 1; n <= 150; n++) assert.deepEqual(await subscriber.next("message"), { type: "message", channel: "log:a", offset: n, data: n });
  assert.deepEqual(await subscriber.next("message"), { type: "message", channel: "plain:a", data: 1 });
  const newest = await ask(subscriber, "log:a", { limit: 10 });
  assert.deepEqual([newest.first, newest.offset, newest.more, newest.channel], [51, 150, false, "log:a"]);
  assert.deepEqual(numbers(newest), upTo(141, 150));
  assert.ok(newest.messages[0].time >= before - 1000 && newest.messages[0].time <= Date.now() + 1000, `${newest.messages[0].time}`);
  const behind = await ask(subscriber, "log:a", { since: 60, limit: 10 });
  assert.deepEqual([numbers(behind), behind.more], [upTo(61, 70), true]);
  assert.deepEqual(numbers(await ask(subscriber, "log:a", { since: 0, limit: 1000 })), upTo(51, 150), "the oldest that is there");
  assert.deepEqual(numbers(await ask(subscriber, "log:a", { since: 150 })), []);
  assert.deepEqual(numbers(await ask(subscriber, "log:a", { since: 151 })), []);
  const told = await api(broker, "history?channel=log:a&since=148");
  assert.deepEqual([numbers(told), told.epoch, told.channel], [upTo(149, 150), newest.epoch, "log:a"]);
  assert.deepEqual(numbers(await api(broker, "history?channel=log:a&limit=2")), upTo(149, 150));
});

testBroker("whom a message leaves out is not told it by the history, under the id that it has or had", { workers: 2, config }, async (broker) => {
  const publisher = await broker.connectToWorker(0);
  const other = await broker.connectToWorker(0);
  const one = await broker.connectToWorker(1);
  await one.subscribe("log:a");
  await publisher.publish("log:a", "for all");
  await publisher.publish("log:a", "not for it", { exclude: [one.id] });
  await publisher.publish("log:a", "for all again");
  assert.deepEqual((await ask(other, "log:a")).messages.map(({ data }) => data), ["for all", "not for it", "for all again"]);
  const shown = (answer) => answer.messages.map(({ offset, data, excluded }) => [offset, data, excluded]);
  const expected = [[1, "for all", undefined], [2, undefined, true], [3, "for all again", undefined]];
  assert.deepEqual(shown(await ask(one, "log:a")), expected);
  const back = await broker.connectToWorker(0);
  assert.deepEqual(shown(await ask(back, "log:a", { client: one.id })), expected, "under the id that it had");
  await back.expect("subscribed", { type: "subscribe", channel: "log:a", since: "last 3", client: one.id });
  assert.deepEqual([(await back.next("message")).data, (await back.next("message")).data], ["for all", "for all again"]);
  await back.refused(400, { type: "history", channel: "log:a", client: 7 });
});

testBroker("events, arguments, keys and bytes", { workers: 2, config }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("log:b");
  await client.publish("log:b", { n: 1 }, { event: "named", key: "k" });
  await client.expect("published", { type: "publish", channel: "log:b", event: "e", args: ["x", 2] });
  await api(broker, "publish", { method: "POST", body: JSON.stringify({ channel: "log:b", data_base64: "AQL/" }) });
  const { offset, data, binary } = await client.next((message) => message.offset === 3);
  assert.deepEqual([offset, data, binary], [3, Buffer.from([1, 2, 255]), true]);
  const { messages } = await ask(client, "log:b");
  const [second, ...others] = (await client.request({ type: "history", channel: "log:b", since: 1, limit: 1 }, { encode })).messages;
  assert.deepEqual([second.offset, second.args, others], [2, ["x", 2], []]);
  assert.deepEqual(messages.map(({ time, ...message }) => (assert.equal(typeof time, "number"), message)), [
    { offset: 1, key: "k", event: "named", data: { n: 1 } },
    { offset: 2, event: "e", args: ["x", 2] },
    { offset: 3, data_base64: "AQL/" },
  ]);
});

testBroker("who publishes is told where its message stands", { workers: 2, config }, async (broker) => {
  const publisher = await broker.connectToWorker(0);
  const subscriber = await broker.connectToWorker(1);
  const binary = await broker.connect({ protocol: "ringcast.v1.binary" });
  const first = await publisher.publish("log:p", 1); // nobody of the host is subscribed
  assert.equal(first.offset, 1);
  assert.match(first.epoch, /^[0-9a-f]{1,16}$/);
  await subscriber.subscribe("log:p");
  await publisher.subscribe("log:p");
  assert.deepEqual(await publisher.publish("log:p", 2), { type: "published", id: publisher.nextId - 1, epoch: first.epoch, offset: 2 });
  assert.deepEqual([await binary.publish("log:p", 3)].map(({ epoch, offset }) => [epoch, offset]), [[first.epoch, 3]]);
  assert.deepEqual(Object.keys(await publisher.publish("plain:p", 1)).sort(), ["id", "type"]);
  const publish = (body) => api(broker, "publish", { method: "POST", body: JSON.stringify(body) });
  const { sequences, ...alone } = await publish({ channel: "log:p", data: 4 });
  assert.deepEqual([alone, sequences.length], [{ published: 1, epoch: first.epoch, offset: 4 }, 1]);
  const batch = await publish({ messages: [{ channel: "log:p", data: 5 }, { channel: "plain:p", data: 1 }, { channel: "log:p", data: 6 }] });
  assert.deepEqual([batch.epochs, batch.offsets], [[first.epoch, null, first.epoch], [5, null, 6]]);
  const several = await publish({ channels: ["log:q", "log:p"], data: 7 });
  assert.deepEqual([several.offsets, several.epochs[1]], [[1, 7], first.epoch]);
  assert.deepEqual(Object.keys(await publish({ channels: ["plain:q", "plain:p"], data: 7 })), ["published", "sequences"]);
  const keyed = { channel: "log:p", data: 8, idempotency_key: "once" };
  assert.equal((await publish(keyed)).offset, 8);
  const again = await publish(keyed);
  assert.deepEqual([again.duplicate, "offset" in again], [true, false]);
});

testBroker("a history is deleted when it is answered; offsets go on in a new epoch", { workers: 2, config: { ...config, namespace: [...config.namespace, { name: "state", history: 5, retain: "anyone", history_who: "anyone" }] } }, async (broker) => {
  const client = await broker.connectToWorker(1);
  for (let n = 1; n <= 3; n++) await client.publish("state:a", n, { retain: n === 2 });
  const before = await ask(client, "state:a");
  const gone = await api(broker, "history?channel=state:a", { method: "DELETE" });
  assert.deepEqual([gone.channel, gone.deleted, gone.offset], ["state:a", 3, 3]);
  assert.notEqual(gone.epoch, before.epoch);
  const after = await ask(client, "state:a", { since: 0 });
  assert.deepEqual([after.messages, after.first, after.offset, after.epoch], [[], 4, 3, gone.epoch]);
  const next = await client.publish("state:a", 4);
  assert.deepEqual([next.offset, next.epoch], [4, gone.epoch]);
  await broker.killRelay();
  assert.deepEqual(numbers(await ask(client, "state:a", { since: 0 })), [[4, 4]]);
  await client.expect("subscribed", { type: "subscribe", channel: "state:a", retained: true });
  assert.equal((await client.next((message) => message.retained)).data, 2, "a retained value is no history");
  assert.deepEqual(await api(broker, "history?channel=state:none", { method: "DELETE" }), { channel: "state:none", epoch: "0", offset: 0, deleted: 0 });
  await api(broker, "history?channel=plain:a", { method: "DELETE" }, 501);
  await api(broker, "history", { method: "DELETE" }, 400);
  assert.equal((await broker.get("/api/history?channel=state:a", { method: "DELETE" })).status, 401);
  assert.equal((await broker.get("/api/history?channel=state:a", { method: "PUT", headers: { Authorization: `Bearer ${KEY}` } })).status, 405);
});

testBroker("who may ask, and what makes no sense", { config }, async (broker) => {
  const client = await broker.connect();
  await client.refused(403, { type: "history", channel: "mine:a" });
  await client.subscribe("mine:a");
  assert.deepEqual((await ask(client, "mine:a")).messages, []);
  await client.refused(403, { type: "history", channel: "closed:a" });
  await client.refused(501, { type: "history", channel: "plain:a" });
  await client.refused(400, { type: "history", channel: "log:a", since: -1 });
  await client.refused(400, { type: "history", channel: "log:a", limit: 0 });
  await api(broker, "history?channel=closed:a");
  await api(broker, "history?channel=plain:a", {}, 501);
  await api(broker, "history", {}, 400);
  await api(broker, "history?channel=log:a&since=x", {}, 400);
  assert.equal((await broker.get("/api/history?channel=log:a")).status, 401);
});

testBroker("what is too old is forgotten; offsets go on", { config }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("short:a");
  for (let n = 1; n <= 3; n++) await client.publish("short:a", n);
  assert.equal((await ask(client, "short:a")).messages.length, 3);
  const { messages, first, offset, epoch } = await until("they are forgotten", async () => {
    const answer = await ask(client, "short:a");
    return answer.messages.length === 0 && answer;
  }, { timeout: 20000 });
  assert.deepEqual([messages, first, offset], [[], 4, 3]);
  await client.publish("short:a", 4);
  const later = await ask(client, "short:a");
  assert.deepEqual([numbers(later), later.epoch], [[[4, 4]], epoch]);
});

testBroker("without memory there is none", { config: { ...config, "limits.history_memory": "0B" } }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("log:a");
  await client.publish("log:a", 1);
  assert.deepEqual(await client.next("message"), { type: "message", channel: "log:a", data: 1 });
  await client.refused(501, { type: "history", channel: "log:a" });
});

testBroker("the relay's death loses none, doubles none, and keeps the offsets", { workers: 2, config: { ...config, namespace: [{ name: "log", history: 100000, history_who: "anyone" }] }, timeout: 120000 }, async (broker) => {
  const subscriber = await broker.connectToWorker(1);
  await subscriber.subscribe("log:x");
  const live = [];
  subscriber.ondelivery = (message) => live.push([message.offset, message.data]);
  let running = true;
  const pumps = [];
  for (const worker of [0, 1]) {
    const publisher = await broker.connectToWorker(worker);
    pumps.push((async () => {
      let n = 0;
      while (running) await publisher.publish("log:x", `${worker}-${++n}`);
      return n;
    })());
  }
  for (let round = 0; round < 3; round++) {
    await delay(300);
    await broker.killRelay();
  }
  await delay(300);
  running = false;
  const total = (await Promise.all(pumps)).reduce((a, b) => a + b);
  await until("all is delivered", () => live.length >= total);
  assert.deepEqual(live.map(([offset]) => offset), Array.from({ length: total }, (_, i) => i + 1));
  assert.equal(new Set(live.map(([, data]) => data)).size, total);
  const kept = [];
  for (let more = true; more;) {
    const answer = await ask(subscriber, "log:x", { since: kept.length, limit: 1000 });
    kept.push(...numbers(answer));
    more = answer.more;
  }
  assert.deepEqual(kept, live);
});

testBroker("a snapshot is the newest message of each key before anything newer", { workers: 2, config: { namespace: [{ name: "book", history: 1000, max_keys: 3, history_who: "anyone" }, { name: "closed", history: 5, history_who: "none" }, { name: "plain" }] } }, async (broker) => {
  const publisher = await broker.connectToWorker(0);
  for (let round = 0; round < 5; round++) for (const key of ["a", "b", "c"]) await publisher.publish("book:x", { key, round }, { key });
  await publisher.publish("book:x", { key: "b", round: 9 }, { key: "b" });
  const arrive = async (worker, options = {}) => {
    const client = await broker.connectToWorker(worker);
    return { client, answer: await client.expect("subscribed", { type: "subscribe", channel: "book:x", snapshot: true, ...options }) };
  };
  const next = async (client, count) => {
    const all = [];
    for (let i = 0; i < count; i++) all.push(await client.next("message"));
    return all.map(({ offset, data }) => [offset, data.key, data.round]);
  };
  const state = [[13, "a", 4], [15, "c", 4], [16, "b", 9]];
  for (const worker of [0, 1, 1]) { // the second there is told from what the worker knows already
    const { client, answer } = await arrive(worker);
    assert.equal(answer.offset, 16);
    assert.deepEqual(await next(client, 3), state);
  }
  // While messages flow: each arrival has a state, and behind it all that is newer, without a hole.
  let going = true;
  const flow = (async () => {
    for (let n = 0; going; n++) await publisher.publish("book:x", { key: "abc"[n % 3], round: 100 + n }, { key: "abc"[n % 3] });
  })();
  for (let i = 0; i < 10; i++) {
    const { client, answer } = await arrive(i % 2);
    const seen = await next(client, 20);
    const old = seen.filter(([offset]) => offset <= answer.offset);
    assert.deepEqual(old.map(([, key]) => key).sort(), ["a", "b", "c"]);
    assert.ok(old.every(([offset], at) => at === 0 || offset > old[at - 1][0]));
    assert.deepEqual(seen.slice(3).map(([offset]) => offset), Array.from({ length: 17 }, (_, at) => answer.offset + 1 + at));
    client.terminate();
  }
  going = false;
  await flow;
  // A fourth key puts out the one that changed longest ago.
  await publisher.publish("book:x", { key: "d", round: 1 }, { key: "d" });
  const { client, answer } = await arrive(0);
  const seen = await next(client, 3);
  assert.deepEqual(seen.at(-1), [answer.offset, "d", 1]);
  // Who recovers needs none; who is there already gets it anew.
  await publisher.publish("book:x", { key: "d", round: 2 }, { key: "d" });
  assert.deepEqual(await next(client, 1), [[answer.offset + 1, "d", 2]]);
  const back = await arrive(1, { recover: { epoch: answer.epoch, offset: answer.offset } });
  assert.equal(back.answer.recovered, true);
  assert.deepEqual(await next(back.client, 1), [[answer.offset + 1, "d", 2]]);
  const lost = await arrive(1, { recover: { epoch: "1", offset: 1 } });
  assert.equal(lost.answer.recovered, false);
  assert.equal((await next(lost.client, 3)).at(-1)[2], 2);
  await client.expect("subscribed", { type: "subscribe", channel: "book:x", snapshot: true });
  assert.deepEqual((await next(client, 3)).at(-1), [answer.offset + 1, "d", 2]);
  await client.refused(403, { type: "subscribe", channel: "closed:x", snapshot: true });
  await client.refused(501, { type: "subscribe", channel: "plain:x", snapshot: true });
  await client.refused(400, { type: "subscribe", channel: "book:x", snapshot: true, since: "last 2" });
  await client.refused(400, { type: "subscribe", channel: "book:x", snapshot: 1 });
});

testBroker("a raw end point rewinds by its query", { workers: 2, config: { namespace: [{ name: "log", history: 100, history_who: "anyone" }, { name: "closed", history: 100, history_who: "none" }], endpoint: [{ path: "/live", protocol: "raw", join: ["log:a", "log:b", "closed:a", "plain"] }] } }, async (broker) => {
  const publisher = await broker.connect();
  const say = async (channel, n) => publisher.publish(channel, { channel, n });
  const watchers = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
  for (const watcher of watchers) await watcher.subscribe("plain");
  for (let n = 1; n <= 30; n++) for (const channel of ["log:a", "log:b", "closed:a", "plain"]) await say(channel, n);
  // A worker that has yet to come to them would give them to who comes meanwhile.
  for (const watcher of watchers) await watcher.next(({ data }) => data?.n === 30);
  const listen = async (query) => {
    const client = await broker.connect({ path: `/live${query}`, welcome: false });
    const seen = () => client.inbox.map(({ text }) => JSON.parse(text));
    return { seen, of: (channel) => seen().filter((one) => one.channel === channel).map(({ n }) => n) };
  };
  const clients = [];
  for (let i = 0; i < 6; i++) clients.push(await listen("?since=last%205")); // the first on each worker waits for the relay, later ones do not
  const others = [await listen(""), await listen("?since=last"), await listen("?since=yesterday"), await listen("?since=last+-1")];
  for (const channel of ["log:a", "log:b", "closed:a", "plain"]) await say(channel, 31);
  for (const { seen, of } of clients) {
    await until("all", () => seen().length >= 14);
    for (const channel of ["log:a", "log:b"]) assert.deepEqual(of(channel), [26, 27, 28, 29, 30, 31]);
    for (const channel of ["closed:a", "plain"]) assert.deepEqual(of(channel), [31]);
  }
  for (const { seen } of others) {
    await until("what is new", () => seen().length >= 4);
    assert.ok(seen().every(({ n }) => n === 31));
  }
});
