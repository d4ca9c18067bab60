// Operations of a connection in the order in which they came, though a subscription is registered at the relay meanwhile.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const config = { namespace: [{ name: "room", presence: true }] };
const batch = (channel) => [
  { type: "subscribe", channel, id: "s" }, { type: "presence", channel, id: "p" }, { type: "publish", channel, data: channel, id: "q" }, { type: "ping", id: "x" },
];

/* All that a client gets until it has `count` messages. */
async function gets(client, count) {
  await until(`${count} messages`, () => client.inbox.length >= count);
  return client.inbox.splice(0, client.inbox.length);
}
const types = (messages) => messages.map(({ type, id }) => (id === undefined ? type : `${type} ${id}`)).sort();
const wanted = ["message", "pong x", "presence p", "published q", "subscribed s"];

testBroker("what comes behind a subscribe is carried out behind it, in one message or several", { workers: 2, config }, async (broker) => {
  const client = await broker.connect();
  for (let i = 0; i < 100; i++) {
    const operations = batch(`room:${i}`);
    if (i % 2) client.send(operations);
    else for (const operation of operations) client.send(operation);
    const got = await gets(client, 5);
    assert.deepEqual(types(got), wanted, JSON.stringify(got));
    const answer = got.find(({ type }) => type === "presence");
    assert.deepEqual([answer.clients, answer.members.length], [1, 1], "the one who asks is there");
    assert.equal(got.find(({ type }) => type === "message").data, `room:${i}`);
  }
  // The same from many at once, all on one new channel.
  const crowd = await Promise.all([...Array(40)].map(() => broker.connect()));
  for (const each of crowd) each.send(batch("room:crowd"));
  for (const each of crowd) {
    await until("its own message came", () => each.inbox.some(({ type }) => type === "message") && each.inbox.some(({ id }) => id === "x"));
    assert.ok(each.inbox.every(({ type }) => type !== "error"), JSON.stringify(each.inbox));
  }
});

testBroker("it waits as long as the relay does not answer, and then goes on", { workers: 1, config }, async (broker) => {
  const [client, leaver, other] = [await broker.connect(), await broker.connect(), await broker.connect()];
  await other.subscribe("room:old");
  broker.kill("SIGSTOP", "relay");
  client.send(batch("room:1"));
  client.send({ type: "ping", id: "y" });
  leaver.send([{ type: "subscribe", channel: "room:1", id: 1 }, { type: "unsubscribe", channel: "room:1", id: 2 }, { type: "ping", id: 3 }]);
  const gone = await broker.connect();
  gone.send([{ type: "subscribe", channel: "room:gone" }, { type: "publish", channel: "room:gone", data: 1 }]);
  // The one worker has read all of these when it answers what came later.
  await other.ping();
  await other.unsubscribe("room:old"); // does not depend on what is stopped
  assert.deepEqual([client.inbox, leaver.inbox], [[], []], "nothing overtakes");
  gone.terminate();
  broker.kill("SIGCONT", "relay");
  assert.deepEqual(types(await gets(client, 6)), ["message", "pong x", "pong y", "presence p", "published q", "subscribed s"]);
  const left = await gets(leaver, 3);
  assert.deepEqual(left.filter(({ type }) => type !== "message").map(({ type, id }) => `${type} ${id}`), ["subscribed 1", "unsubscribed 2", "pong 3"]);
  await client.publish("room:1", "later");
  assert.equal((await client.next("message")).data, "later");
  await leaver.ping();
  assert.deepEqual(leaver.inbox, [], "it is out of the channel");
  await until("who went away meanwhile is gone", async () => (await broker.get("/health/websocket")).body.includes('"total":3'));
});

testBroker("a relay that dies meanwhile is waited for", { workers: 2, config, timeout: 60000 }, async (broker) => {
  const client = await broker.connect();
  for (let i = 0; i < 3; i++) {
    const pid = broker.kill("SIGSTOP", "relay");
    client.send(batch(`room:${i}`));
    client.send({ type: "ping", id: "y" });
    process.kill(pid, "SIGKILL");
    assert.deepEqual(types(await gets(client, 6)), ["message", "pong x", "pong y", "presence p", "published q", "subscribed s"]);
  }
});
