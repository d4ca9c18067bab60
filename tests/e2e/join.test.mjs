// What the server joins for a client is joined before the client's handshake is answered: nothing published after it is missed.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { OP, frame } from "./lib/raw.mjs";

const KEY = "a-key-of-the-join-tests";
const headers = { Authorization: `Bearer ${KEY}` };
const config = {
  "http.api_keys": [KEY],
  "debug.user_query": "user",
  endpoint: [{ path: "/live", protocol: "raw", join: ["prices:A", "prices:B"], incoming: "publish:orders:all" }],
};
const upgrade = (path) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;

const publish = async (broker, channel, data) => {
  const answer = await broker.get("/api/publish", { method: "POST", headers, body: JSON.stringify({ channel, data }) });
  assert.equal(answer.status, 200, answer.body);
};

testBroker("the handshake waits for the relay, and then misses nothing", { workers: 1, config }, async (broker) => {
  broker.kill("SIGSTOP", "relay");
  const user = await broker.raw();
  const raw = await broker.raw();
  user.write(Buffer.concat([Buffer.from(upgrade("/ws?user=u1")), frame({ opcode: OP.TEXT, payload: '{"type":"ping","id":7}' })]));
  raw.write(Buffer.concat([Buffer.from(upgrade("/live")), frame({ opcode: OP.TEXT, payload: "first" })]));
  const gone = await broker.raw();
  gone.write(upgrade("/ws?user=gone"));
  // The one worker has read all three when it answers what was sent later.
  const plain = await broker.connect();
  assert.equal(plain.welcome.user, null, "who needs nothing of the relay does not wait");
  assert.equal((await broker.get("/health")).status, 200);
  assert.equal(user.buffer.length + raw.buffer.length, 0, "no answer before the channels are joined");
  gone.end();
  broker.kill("SIGCONT", "relay");
  assert.equal((await user.response()).status, 101);
  assert.equal((await raw.response()).status, 101);
  await publish(broker, "user:u1", "for the user");
  await publish(broker, "prices:A", 1);
  await publish(broker, "prices:B", 2);
  const texts = [];
  while (texts.length < 3) texts.push(JSON.parse((await user.frame()).payload.toString()));
  assert.equal(texts[0].type, "welcome", "the welcome is the first message");
  assert.deepEqual(texts[1], { type: "pong", id: 7 }, "what came with the request is answered");
  assert.deepEqual(texts[2], { type: "message", channel: "user:u1", data: "for the user" });
  assert.equal((await raw.frame()).payload.toString(), "1");
  assert.equal((await raw.frame()).payload.toString(), "2");
  user.end();
  raw.end();
});

testBroker("200 users each hear what is published on their welcome", { workers: 4, config, timeout: 60000 }, async (broker) => {
  for (let i = 0; i < 200; i++) {
    const client = await broker.connect({ path: `/ws?user=u${i}` });
    const heard = client.next((message) => message.type === "message");
    await publish(broker, `user:u${i}`, i);
    assert.equal((await heard).data, i);
    client.terminate();
  }
});

testBroker("a handshake that the relay never hears of is given up in time", { workers: 1, config: { ...config, "limits.handshake_timeout": "500ms" } }, async (broker) => {
  broker.kill("SIGSTOP", "relay");
  const user = await broker.raw();
  user.write(upgrade("/ws?user=u1"));
  assert.equal((await user.rest()).length, 0);
  const metric = await broker.metrics();
  assert.equal(metric('ringcast_timeouts_total{reason="handshake"}'), 1);
  assert.equal(metric("ws_connections_total"), 0);
  broker.kill("SIGCONT", "relay");
});
