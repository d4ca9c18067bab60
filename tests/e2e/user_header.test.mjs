// auth.user_header: believed from trusted proxies only.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { until } from "./lib/util.mjs";

const user = async (broker, headers) => (await broker.connect({ headers })).welcome.user;

testBroker("a trusted proxy says who the user is", { workers: 1, config: { "http.trusted_proxies": ["127.0.0.1"], "auth.user_header": "X-User" } }, async (broker) => {
  assert.equal(await user(broker, { "x-user": "u1" }), "u1");
  assert.equal(await user(broker, { "X-User": "u1", "X-Forwarded-For": "203.0.113.7" }), "u1", "the client's own address matters not");
  assert.equal(await user(broker, {}), null);
  assert.equal(await user(broker, { "X-User": "" }), null);
  assert.equal(await user(broker, { "X-User": ["u1", "u2"] }), null, "two say nothing");
  assert.equal(await user(broker, { "X-User": "u".repeat(250) }), "u".repeat(250));
  assert.equal(await user(broker, { "X-User": "u".repeat(251) }), null);
  const [one, two] = [await broker.connect({ headers: { "X-User": "u1" } }), await broker.connect({ headers: { "X-User": "u2" } })];
  await one.refused(403, { type: "subscribe", channel: "user:u2" });
  await two.refused(403, { type: "publish", channel: "user:u1", data: 1 });
});

testBroker("nobody else does", { workers: 1, config: { "http.trusted_proxies": ["10.0.0.0/8"], "auth.user_header": "X-User" } }, async (broker) => {
  assert.equal(await user(broker, { "X-User": "u1" }), null);
  assert.equal(await user(broker, { "X-User": "u1", "X-Forwarded-For": "10.0.0.1" }), null);
});

testBroker("without the key no header is looked at", { workers: 1, config: { "http.trusted_proxies": ["127.0.0.1"] } }, async (broker) => {
  assert.equal(await user(broker, { "X-User": "u1" }), null);
});

/* Every text that is sent on was checked where it came in: the welcome of such a client is well-formed, and it is nobody. */
testBroker("a user's id that is no channel name is none, in header and query", {
  workers: 1, config: { "http.trusted_proxies": ["127.0.0.1"], "auth.user_header": "X-User", "debug.user_query": "user" },
}, async (broker) => {
  const queried = async (query) => (await broker.connect({ path: `/ws?user=${query}` })).welcome.user;
  for (const text of ["%ff", "a%c3", "%ed%a0%80", "%c0%80", "a%00b", "%0a", "%7f", "a%c2%85b", "%f4%90%80%80"]) assert.equal(await queried(text), null, text);
  assert.equal(await queried("z%c3%bc%22%5c"), 'zü"\\');
  assert.equal(await queried("u".repeat(250)), "u".repeat(250));
  assert.equal(await queried("u".repeat(251)), null);
  for (const bytes of ["\xff", "a\xc3", "a\xc2\x85b"]) assert.equal(await user(broker, { "X-User": bytes }), null, "a header's bytes go out as they are");
  assert.equal(await user(broker, { "X-User": "z\xc3\xbc" }), "zü");
  await until("the log says so", () => broker.log.some((line) => line.includes("user_refused")));
});
