// Who may do what: namespace rules, permissions, the server's own channels, safe defaults.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const RULES = ["anyone", "user", "owner", "none"];
const namespace = [];
for (const subscribe of RULES) for (const publish of RULES) namespace.push({ name: `${subscribe}-${publish}`, subscribe, publish });

testBroker("every rule of subscribing and publishing, for nobody, a user and the owner", { config: { namespace, "debug.user_query": "user" } }, async (broker) => {
  const anonymous = await broker.connect();
  const alice = await broker.connect({ path: "/ws?user=alice" });
  const bob = await broker.connect({ path: "/ws?user=bob%20%C3%A9" });
  assert.deepEqual([anonymous, alice, bob].map((client) => client.welcome.user), [null, "alice", "bob é"]);
  // 0 is allowed. Anonymous ones are told that being somebody could help.
  const expected = {
    anyone: { anonymous: 0, alice: 0, bob: 0 },
    user: { anonymous: 401, alice: 0, bob: 0 },
    owner: { anonymous: 401, alice: 0, bob: 403 },
    none: { anonymous: 403, alice: 403, bob: 403 },
  };
  for (const [who, client] of Object.entries({ anonymous, alice, bob })) {
    for (const { name, subscribe, publish } of namespace) {
      const channel = `${name}:alice`;
      for (const [rule, operation, done] of [[subscribe, { type: "subscribe", channel }, "subscribed"], [publish, { type: "publish", channel, data: 1 }, "published"]]) {
        const answer = await client.request(operation);
        const code = answer.type === done ? 0 : answer.code;
        assert.equal(code, expected[rule][who], `${who}: ${operation.type} under "${rule}": ${JSON.stringify(answer)}`);
      }
    }
  }
  // The owner of a whole name, not of a part of it.
  await alice.refused(403, { type: "subscribe", channel: "owner-none:alice2" });
  await alice.refused(403, { type: "subscribe", channel: "owner-none:alice:x" });
  await alice.subscribe("owner-none"); // without a colon it is a name of `default`
});

testBroker("the server's own channels are nobody's", { config: { "debug.user_query": "user" } }, async (broker) => {
  const alice = await broker.connect({ path: "/ws?user=alice" });
  for (const channel of ["*", "user:alice", "user:bob", "user:"]) {
    for (const type of ["subscribe", "publish"]) await alice.refused(403, { type, channel, data: 1 });
  }
  // Names that only look like them are not.
  for (const channel of ["**", "*:x", "users:alice", "user"]) await alice.subscribe(channel);
});

testBroker("broadcast and direct by permission", { config: { "permissions.broadcast": "user", "permissions.direct": "none", "debug.user_query": "user" } }, async (broker) => {
  const anonymous = await broker.connect();
  const alice = await broker.connect({ path: "/ws?user=alice" });
  await anonymous.refused(401, { type: "broadcast", data: 1 });
  await alice.broadcast(2);
  assert.equal((await anonymous.next("message")).data, 2);
  for (const client of [anonymous, alice]) await client.refused(403, { type: "direct", to: alice.id, data: 1 });
});

testBroker("a namespace can tell who published", { config: { namespace: [{ name: "open", reveal_publisher: true }] } }, async (broker) => {
  const [a, b] = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
  for (const channel of ["open:1", "closed:1"]) {
    await a.subscribe(channel);
    await b.publish(channel, 1);
  }
  assert.deepEqual(await a.next(), { type: "message", channel: "open:1", from: b.id, data: 1 });
  assert.deepEqual(await a.next(), { type: "message", channel: "closed:1", data: 1 });
});

testBroker("raw end points obey the same rules, silently", {
  config: {
    namespace: [{ name: "locked", publish: "none" }],
    endpoint: [{ path: "/in", protocol: "raw", join: ["locked:1", "*"], incoming: "publish:locked:1" }, { path: "/all", protocol: "raw", join: ["*"], incoming: "broadcast" }],
    "permissions.broadcast": "user",
    "debug.user_query": "user",
  },
}, async (broker) => {
  const raw = await broker.connect({ path: "/in", welcome: false });
  const nobody = await broker.connect({ path: "/all", welcome: false });
  const alice = await broker.connect({ path: "/all?user=alice", welcome: false });
  raw.send('"not allowed"');
  nobody.send('"not allowed either"');
  alice.send('"allowed"');
  for (const client of [raw, nobody, alice]) assert.equal((await client.next()).text, '"allowed"');
});

testBroker("a public listener lets nobody publish, broadcast or direct unless told so, and says it", {
  workers: 1,
  listen: "0.0.0.0",
  config: { namespace: [{ name: "open", publish: "anyone" }] },
}, async (broker) => {
  const a = await broker.connect();
  await a.subscribe("room:1");
  await a.refused(403, { type: "publish", channel: "room:1", data: 1 });
  await a.refused(403, { type: "broadcast", data: 1 });
  await a.refused(403, { type: "direct", to: a.id, data: 1 });
  await a.subscribe("open:1");
  await a.publish("open:1", 1);
  assert.equal((await a.next("message")).data, 1);
  assert.equal((await broker.get("/")).status, 404);
  assert.equal((await broker.get("/metrics")).status, 403);
  assert.equal((await broker.get("/health")).status, 200);
  await until("the log says so", () => broker.log.some((line) => /publish/.test(line) && /none/.test(line)));
});
