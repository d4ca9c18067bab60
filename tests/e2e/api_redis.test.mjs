// The HTTP API with two brokers over one Redis: publishes, broadcasts and directs reach the clients of both.
import assert from "node:assert/strict";
import { testRedis } from "./lib/redis.mjs";
const headers = { Authorization: "Bearer key-of-the-tests" };
testRedis("what one broker's API sends reaches the clients of the other", { brokers: 2, workers: 2, config: { "http.api_keys": ["key-of-the-tests"] } }, async ({ brokers: [a, b] }) => {
  const [one, two] = [await a.connect(), await b.connect()];
  await one.subscribe("x"); await two.subscribe("x");
  const post = async (broker, path, body) => { const r = await broker.get(`/api/${path}`, { method: "POST", headers, body: JSON.stringify(body) }); return { status: r.status, body: JSON.parse(r.body) }; };
  assert.equal((await post(a, "publish", { channel: "x", data: 1 })).status, 200);
  for (const c of [one, two]) assert.equal((await c.next("message")).data, 1);
  assert.equal((await post(a, "broadcast", { data: 2, exclude: [two.id] })).status, 200);
  assert.equal((await one.next("message")).data, 2);
  assert.deepEqual((await post(a, "direct", { client: two.id, data: 3 })).status, 200);
  assert.equal((await two.next()).data, 3);
  assert.equal(two.inbox.length, 0);
});
