// Who is connected and which channel is hot: GET /api/clients and GET /api/channels?sort=, gathered from two workers.
import assert from "node:assert/strict";
import { run, testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const config = { "http.api_keys": [KEY], "debug.user_query": "user" };

async function api(broker, path, status = 200) {
  const answer = await broker.get(`/api/${path}`, { headers: { Authorization: `Bearer ${KEY}` } });
  assert.equal(answer.status, status, `${path}: ${answer.body}`);
  return JSON.parse(answer.body);
}

/* Every page of a list, each client once. */
async function everyClient(broker, query) {
  const found = [];
  let cursor = "";
  for (let pages = 0; ; pages++) {
    assert.ok(pages < 1000, "the list ends");
    const page = await api(broker, `clients?${query}${cursor}`);
    found.push(...page.clients);
    if (page.next === null) return { found, pages: pages + 1 };
    cursor = `&cursor=${page.next}`;
  }
}

testBroker("clients of all workers are listed page by page, each once, with who they are", { config }, async (broker) => {
  const clients = await broker.connectMany([12, 9], { path: "/ws?user=u1" });
  const other = await broker.connect({ path: "/ws?user=u%22%C3%A9" });
  await clients[0].subscribe("room:1");
  await clients[0].subscribe("room:\u00e9");
  const ids = [...clients, other].map((client) => client.id).sort();
  const { found, pages } = await until("all are listed, and those that came to the wrong worker have gone", async () => {
    const list = await everyClient(broker, "limit=5&names=true");
    assert.deepEqual(list.found.map((row) => row.client).sort(), ids);
    return list;
  });
  assert.ok(pages > 3);
  const first = found.find((row) => row.client === clients[0].id);
  assert.equal(first.user, "u1");
  assert.equal(first.address, "127.0.0.1");
  assert.equal(first.protocol, "json");
  assert.equal(first.transport, "websocket");
  assert.equal(first.worker, clients[0].worker);
  assert.equal(first.channels, first.names.length);
  for (const name of ["room:1", "room:\u00e9"]) assert.ok(first.names.includes(name), name);
  assert.equal(first.behind_bytes, 0);
  assert.ok(first.sent_bytes > 0 && first.received_bytes > 0);
  assert.ok(Number.isInteger(first.age_ms) && first.age_ms >= 0);
  assert.equal(found.find((row) => row.client === other.id).user, 'u"\u00e9');
});

testBroker("clients are found by user, channel, address and protocol", { config }, async (broker) => {
  const [a, b, c] = await broker.connectMany([2, 1], { path: "/ws?user=42" });
  const other = await broker.connect({ path: "/ws?user=43" });
  const binary = await broker.connect({ protocols: ["ringcast.v1.binary"], path: "/ws?user=44" }).catch(() => null);
  await a.subscribe("room:1");
  await c.subscribe("room:1");
  await other.subscribe("room:2");
  const ids = async (query) => (await everyClient(broker, query)).found.map((row) => row.client).sort();
  await until("those that came to the wrong worker have gone", async () => (assert.deepEqual(await ids("user=42"), [a.id, b.id, c.id].sort()), true));
  assert.deepEqual(await ids("user=4"), []);
  assert.deepEqual(await ids("channel=room:1"), [a.id, c.id].sort());
  assert.deepEqual(await ids("channel=room:1&user=43"), []);
  assert.deepEqual(await ids("channel=room:none"), []);
  assert.ok((await ids("address=127.0.0.1")).length >= 4);
  assert.ok((await ids("address=127.0.0.0/8")).includes(a.id));
  assert.deepEqual(await ids("address=192.0.2.0/24"), []);
  assert.ok((await ids("protocol=json")).includes(a.id));
  assert.deepEqual(await ids("protocol=socketio"), []);
  if (binary) assert.ok((await ids("")).includes(binary.id));
  for (const query of ["address=x", "protocol=none", "limit=0", "limit=1001", "cursor=zz", "behind=x", "names=1", "behind=1&cursor=100"]) {
    const answer = await api(broker, `clients?${query}`, 400);
    assert.equal(answer.error.reason, "bad_request", query);
  }
});

testBroker("who is behind comes first, with how much and for how long", {
  config: { ...config, namespace: [{ name: "feed", slow_consumer: "skip" }], "limits.send_buffer": "16KiB", "limits.notsent_lowat": "16KiB" },
  timeout: 60000,
}, async (broker) => {
  const [slow, fast] = await broker.connectMany([1, 1], { path: "/ws?user=slow" });
  for (const client of [slow, fast]) {
    client.ondelivery = () => {};
    await client.subscribe("feed:1");
  }
  slow.socket.pause();
  const data = "x".repeat(60000);
  const row = await until("the slow one is behind", async () => {
    for (let i = 0; i < 10; i++) await fast.publish("feed:1", data);
    const { clients } = await api(broker, "clients?behind=100000");
    return clients.find((client) => client.client === slow.id);
  });
  assert.ok(row.behind_bytes >= 100000);
  assert.equal(row.behind_channels, 1);
  assert.ok(row.blocked_ms >= 0);
  // The channel shows the same trouble: memory, and one that is behind.
  const { channels } = await until("it alone is behind", async () => {
    const answer = await api(broker, "channels?sort=memory&limit=1");
    return answer.channels[0]?.behind === 1 && answer; // the fast one reads in its time
  });
  assert.equal(channels[0].channel, "feed:1");
  assert.ok(channels[0].log_bytes > 100000);
  slow.socket.resume();
  await until("it has caught up", async () => (await api(broker, "clients?behind=1")).clients.length === 0);
});

testBroker("channels are sorted by rate, subscribers and bytes over all workers", { config }, async (broker) => {
  const clients = await broker.connectMany([2, 2]);
  for (const client of clients) client.ondelivery = () => {};
  for (const client of clients) await client.subscribe("many");
  await clients[0].subscribe("hot");
  await clients[3].subscribe("hot");
  await clients[0].subscribe("large");
  await clients[1].subscribe("quiet");
  for (let i = 0; i < 200; i++) await clients[2].publish("hot", i);
  for (let i = 0; i < 20; i++) await clients[2].publish("large", "x".repeat(20000));
  await clients[2].publish("many", 1);
  const by = async (sort, more = "") => (await api(broker, `channels?sort=${sort}${more}`)).channels;
  const rate = await until("the rates are there", async () => {
    // What is published counts for seconds.
    for (let i = 0; i < 20; i++) await clients[2].publish("hot", i);
    for (let i = 0; i < 2; i++) await clients[2].publish("large", "x".repeat(20000));
    const rows = await by("rate");
    return rows[0]?.channel === "hot" && rows[1]?.channel === "large" && rows[1].rate > 0 && rows;
  });
  assert.equal(rate[0].subscribers, 2);
  assert.ok(rate.some((row) => row.channel === "quiet" && row.rate === 0));
  assert.equal((await by("subscribers"))[0].channel, "many");
  assert.equal((await by("subscribers"))[0].subscribers, 4);
  const bytes = await by("bytes");
  assert.equal(bytes[0].channel, "large");
  assert.ok(bytes[0].bytes > 0 && bytes[0].out_bytes > 0);
  assert.deepEqual((await by("rate", "&limit=1")).map((row) => row.channel), ["hot"]);
  assert.deepEqual((await by("rate", "&prefix=la")).map((row) => row.channel), ["large"]);
  assert.equal((await api(broker, "channels?sort=none", 400)).error.reason, "bad_request");
  // Rates fade, and the list by name is what it was.
  const names = (await api(broker, "channels?sort=name")).channels.map((row) => row.channel);
  assert.deepEqual(names.filter((name) => !name.startsWith("user:")), ["hot", "large", "many", "quiet"]);
});

testBroker("a channel is counted while somebody has subscribed to it, also behind a hand-over", { config, workers: 1 }, async (broker) => {
  const client = await broker.connect();
  const counted = async () => (await broker.metrics())("ringcast_channels");
  assert.equal(await counted(), 0);
  await client.subscribe("room:1");
  await until("it is counted", async () => (await counted()) === 1);
  assert.equal((await run(["handover", "-c", broker.configPath], { env: broker.env })).code, 0);
  await until("it is counted", async () => (await counted()) === 1);
  await client.unsubscribe("room:1");
  await until("nobody has", async () => (await counted()) === 0);
});
