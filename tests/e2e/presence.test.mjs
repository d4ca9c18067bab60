// Who is in a channel, asked by clients and over HTTP, on one host without Redis.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { encode } from "./lib/binary.mjs";
import { testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const CONFIG = {
  "server.adopt_crashed": false, // what becomes of clients that are lost with their worker
  "debug.user_query": "user",
  "http.api_keys": ["key-of-the-tests"],
  namespace: [
    { name: "room", presence: true },
    { name: "mine", presence: true, subscribe: "anyone", presence_who: "owner" },
    { name: "users", presence: true, presence_who: "user" },
    { name: "secret", presence: true, presence_who: "none" },
  ],
};
const byUser = (members) => [...members].sort((a, b) => String(a.user).localeCompare(String(b.user)));

testBroker("users with their clients, on all workers, and counts of all", { config: CONFIG, workers: 2 }, async (broker) => {
  const [ann, anonymous] = await broker.connectMany([1, 1]);
  const [one] = await broker.connectMany([1, 0], { path: "/ws?user=u1" });
  const [again] = await broker.connectMany([0, 1], { path: "/ws?user=u1" });
  const [quoted] = await broker.connectMany([0, 1], { path: "/ws?user=u%22%C3%A9" });
  for (const client of [ann, anonymous, one, again, quoted]) await client.subscribe("room:1");
  const whole = {
    type: "presence", channel: "room:1", clients: 5, users: 2, more: false,
    members: [
      { user: null, clients: 2, instances: ["test"] },
      { user: 'u"é', clients: 1, instances: ["test"] },
      { user: "u1", clients: 2, instances: ["test"] },
    ],
  };
  // Those on the other worker are told to the relay in its time.
  const found = await until("all are there", async () => {
    const answer = await one.presence("room:1");
    return answer.clients === 5 && answer;
  });
  const { id, ...rest } = found;
  assert.equal(typeof id, "number");
  assert.deepEqual({ ...rest, members: byUser(rest.members) }, { ...whole, members: byUser(whole.members) });
  // The same in binary form, asked in either.
  const binary = await broker.connect({ protocols: ["ringcast.v1.binary"], path: "/ws?user=u1" });
  await binary.subscribe("room:1");
  for (const options of [{}, { encode }]) {
    const answer = await binary.request({ type: "presence", channel: "room:1", id: `p${options.encode ? 1 : 2}` }, options);
    assert.deepEqual([answer.clients, answer.users, answer.more, answer.scope], [6, 2, false, undefined]);
    assert.deepEqual(byUser(answer.members)[2], { user: "u1", clients: 3, instances: ["test"] });
  }
  const cut = await one.presence("room:1", { limit: 2 });
  assert.deepEqual([cut.clients, cut.users, cut.members.length, cut.more], [6, 2, 2, true]);
  assert.equal((await one.presence("room:1", { limit: 4294967295 })).members.length, 3);
  // Who leaves is not there any more, however.
  await binary.close();
  await again.unsubscribe("room:1");
  await quoted.terminate();
  await anonymous.close();
  await until("they are gone", async () => (await one.presence("room:1")).clients === 2);
  assert.deepEqual((await one.presence("room:1")).users, 1);
});

testBroker("without an id it is answered all the same, and many at once each once", { config: CONFIG, workers: 1 }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("room:1");
  client.send({ type: "presence", channel: "room:1" });
  assert.deepEqual(await client.next("presence"), { type: "presence", channel: "room:1", clients: 1, users: 0, members: [{ user: null, clients: 1, instances: ["test"] }], more: false });
  const asked = Array.from({ length: 300 }, (_, i) => client.presence("room:1", { id: `n${i}` }));
  for (const answer of await Promise.all(asked)) assert.equal(answer.clients, 1);
});

testBroker("who may ask", { config: CONFIG, workers: 1 }, async (broker) => {
  const [anonymous, user] = [await broker.connect(), await broker.connect({ path: "/ws?user=42" })];
  for (const channel of ["room:1", "mine:42", "mine:43", "users:1", "secret:1", "off:1"]) {
    await anonymous.subscribe(channel);
    await user.subscribe(channel);
  }
  await anonymous.refused(501, { type: "presence", channel: "off:1" });
  const unsubscribed = await anonymous.refused(403, { type: "presence", channel: "room:2" });
  assert.match(unsubscribed.message, /subscribe/);
  await anonymous.refused(401, { type: "presence", channel: "users:1" });
  await anonymous.refused(401, { type: "presence", channel: "mine:42" });
  await user.refused(403, { type: "presence", channel: "mine:43" });
  await user.refused(403, { type: "presence", channel: "secret:1" });
  await anonymous.refused(400, { type: "presence", channel: "room:1", limit: 0 });
  await anonymous.refused(400, { type: "presence" });
  assert.equal((await user.presence("mine:42")).users, 1);
  assert.equal((await user.presence("users:1")).clients, 2);
});

testBroker("a new relay and a new worker are told everything again, and a reload switches it", { config: CONFIG, workers: 2, timeout: 60000 }, async (broker) => {
  const clients = await broker.connectMany([3, 3], { path: "/ws?user=u" });
  for (const client of clients) await client.subscribe("room:1");
  const count = (wanted) => until(`${wanted} are there`, async () => (await clients[0].presence("room:1")).clients === wanted, { timeout: 10000 });
  await count(6);
  broker.kill("SIGKILL", "relay");
  await clients[1].unsubscribe("room:1");
  await count(5);
  broker.kill("SIGKILL", 1);
  await count(2);
  broker.writeConfig({ ...broker.config, namespace: [{ name: "room", presence: false }] });
  process.kill(broker.pid, "SIGHUP");
  await until("it is off", async () => (await clients[0].request({ type: "presence", channel: "room:1" })).code === 501);
  await until("nothing is kept", async () => (await broker.metrics())("ringcast_presence_members") === 0);
  broker.writeConfig(broker.config);
  process.kill(broker.pid, "SIGHUP");
  await until("it is on again", async () => (await clients[0].request({ type: "presence", channel: "room:1" })).clients === 2);
});

testBroker("presence() of the reference client", { config: CONFIG, workers: 1 }, async (broker) => {
  const { body } = await broker.get("/ringcast.js");
  const module = { exports: {} };
  new Function("module", body)(module);
  const client = new module.exports(broker.url, { WebSocket: createRequire(import.meta.url)("ws") });
  try {
    await client.subscribe("room:1");
    const answer = await client.presence("room:1", { limit: 5 });
    assert.deepEqual([answer.clients, answer.users, answer.members], [1, 0, [{ user: null, clients: 1, instances: ["test"] }]]);
    await assert.rejects(client.presence("off:1"), { code: 501, reason: "not_enabled" });
  } finally {
    client.close();
  }
});

testBroker("the API answers for channels and users", { config: CONFIG, workers: 2 }, async (broker) => {
  const ask = async (query, status = 200) => {
    const answer = await broker.get(`/api/presence${query}`, { headers: { Authorization: "Bearer key-of-the-tests" } });
    assert.equal(answer.status, status, answer.body);
    return JSON.parse(answer.body);
  };
  assert.deepEqual(await ask("?channel=room:1"), { channel: "room:1", clients: 0, users: 0, members: [], more: false });
  assert.deepEqual(await ask("?user=u%22%C3%A9"), { user: 'u"é', online: false, instances: [] });
  assert.deepEqual(await ask(""), { users: 0 });
  const clients = [await broker.connect({ path: "/ws?user=u%22%C3%A9" }), await broker.connect({ path: "/ws?user=u2" }), await broker.connect()];
  for (const client of clients) await client.subscribe("room:1");
  await until("all are there", async () => (await ask("?channel=room:1")).clients === 3);
  const { members, ...rest } = await ask("?channel=room:1");
  assert.deepEqual(rest, { channel: "room:1", clients: 3, users: 2, more: false });
  assert.deepEqual(byUser(members), [null, 'u"é', "u2"].map((user) => ({ user, clients: 1, instances: ["test"] })));
  assert.equal((await ask("?channel=room:1&limit=2")).more, true);
  assert.deepEqual(await ask("?user=u%22%C3%A9"), { user: 'u"é', online: true, instances: ["test"] });
  assert.deepEqual(await ask(""), { users: 2 });
  await clients[1].close();
  await until("u2 is gone", async () => (await ask("?user=u2")).online === false);
  assert.match((await ask("?channel=off:1", 501)).error.message, /presence is off/);
  for (const query of ["?channel=room:1&user=u", "?channel=%00", "?channel=room:1&limit=0", "?channel=room:1&limit=1001", `?user=${"u".repeat(251)}`, "?user=%ff", `?channel=room:${"c".repeat(256)}`]) await ask(query, 400);
  assert.equal((await ask(`?user=${"u".repeat(250)}`)).online, false);
  // Nobody else could have the user: a message for nobody is a failed delivery.
  const publish = (channel) => broker.get("/api/publish", { method: "POST", headers: { Authorization: "Bearer key-of-the-tests" }, body: JSON.stringify({ channel, data: 1 }) });
  for (const channel of ["user:nowhere", 'user:u"é', "room:nobody"]) assert.equal((await publish(channel)).status, 200);
  await until("it is counted", async () => (await broker.metrics())("ringcast_failed_deliveries_total") === 1);
  assert.deepEqual((await broker.status()).redis, { state: "none", since_ms: null, error: null, latest_error: null });
});

testBroker("every question has exactly one answer, though relays die", { config: CONFIG, workers: 1, timeout: 60000 }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("room:1");
  let asked = 0;
  const answers = [];
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 50; i++) answers.push(client.request({ type: "presence", channel: "room:1", id: `q${asked++}` }));
    broker.kill("SIGKILL", "relay");
    for (let i = 0; i < 50; i++) answers.push(client.request({ type: "presence", channel: "room:1", id: `q${asked++}` }));
    await until("the relay is back", () => broker.pids().relay !== 0);
    await until("it answers again", async () => (await client.request({ type: "presence", channel: "room:1" })).clients === 1, { timeout: 15000 });
  }
  for (const answer of await Promise.all(answers)) assert.ok(answer.type === "presence" || answer.code === 503, JSON.stringify(answer));
  await client.ping();
  assert.deepEqual(client.inbox, [], "no answer came twice");
});
