// What one client may cost: every limit is answered, none is exceeded.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { until } from "./lib/util.mjs";

testBroker("channels of a connection, names and message sizes", {
  config: { "limits.max_channels": 10, "limits.max_channel_name": 20, "limits.max_message_size": "4KiB" },
}, async (broker) => {
  const a = await broker.connect();
  for (let i = 0; i < 10; i++) await a.subscribe(`c:${i}`);
  const answer = await a.refused(429, { type: "subscribe", channel: "c:10" });
  assert.deepEqual([answer.reason, answer.channel], ["limited", "c:10"]);
  await a.subscribe("c:3"); // has it already
  await a.unsubscribe("c:3");
  await a.subscribe("c:10");
  await a.refused(429, { type: "subscribe", channel: "c:3" });
  await a.refused(400, { type: "publish", channel: "x".repeat(21), data: 1 });
  await a.publish("x".repeat(20), 1);
  await a.refused(400, { type: "publish", channel: "é".repeat(11), data: 1 });
  // Many at once: the waiting ones count too.
  const b = await broker.connect();
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => b.request({ type: "subscribe", channel: `d:${i}` })));
  assert.deepEqual([answers.filter(({ type }) => type === "subscribed").length, answers.filter(({ code }) => code === 429).length], [10, 10]);
  // The largest message that is taken, and one byte more.
  const text = (bytes) => '{"type":"publish","channel":"big","id":7,"data":""}'.replace('""', `"${"x".repeat(bytes - 51)}"`);
  assert.equal(text(4096).length, 4096);
  b.send(text(4096));
  assert.equal((await b.next("published")).id, 7);
  b.send(text(4097));
  assert.equal((await b.closed).code, 1009);
  await a.ping();
});

testBroker("the longest channel name, the biggest message, the deepest data", {}, async (broker) => {
  const [a, b] = [await broker.connectToWorker(0), await broker.connectToWorker(1)];
  const name = "n".repeat(255);
  await a.subscribe(name);
  const limit = a.welcome.max_message_size;
  const head = `{"type":"publish","channel":"${name}","id":1,"data":"`;
  const data = "d".repeat(limit - head.length - 2);
  b.send(`${head}${data}"}`);
  const message = await a.next("message");
  assert.deepEqual([message.channel, message.data.length], [name, data.length]);
  assert.equal((await b.next("published")).id, 1);
  // 64 levels, the message's own object included.
  const deep = (levels) => `{"type":"publish","channel":"${name}","data":${"[".repeat(levels)}${"]".repeat(levels)},"id":"deep"}`;
  b.send(deep(63));
  assert.equal((await b.next()).type, "published");
  assert.equal((await a.next("message")).raw.length, 126);
  b.send(deep(64));
  assert.equal((await b.next()).code, 400);
});

testBroker("more connections than allowed are answered 503", { workers: 1, config: { "server.max_connections": 5 } }, async (broker) => {
  const clients = [];
  for (let i = 0; i < 5; i++) clients.push(await broker.connect());
  const raw = await broker.raw();
  raw.write(upgradeRequest("/ws"));
  const answer = await raw.response();
  assert.equal(answer.status, 503);
  assert.ok(Number(answer.headers["retry-after"]) > 0);
  await raw.rest();
  await clients[0].close();
  await until("there is room again", async () => {
    const client = await broker.connect({ timeout: 1000 });
    return client.ping();
  });
  for (const client of clients.slice(1)) await client.ping();
});

testBroker("a client that sends and does not read its answers is not read from, and loses nothing", { timeout: 60000 }, async (broker) => {
  const client = await broker.connect();
  const other = await broker.connect();
  let answers = 0;
  client.ondelivery = ({ id }) => {
    assert.equal(id, answers);
    answers++;
  };
  client.socket.pause();
  const count = 400000;
  const batch = [];
  for (let id = 0; id < count; id++) {
    batch.push(`{"type":"ping","id":${id}}`);
    if (batch.length === 100) client.send(`[${batch.splice(0).join(",")}]`);
  }
  await until("it is not read from", async () => (await broker.metrics())("ringcast_read_pauses_total") > 0);
  await other.ping();
  const metrics = await broker.metrics();
  assert.ok(metrics("ringcast_reply_bytes") < 4 << 20, `${metrics("ringcast_reply_bytes")} bytes of replies`);
  client.socket.resume();
  await until("all is answered", () => answers === count, { timeout: 30000 });
});
