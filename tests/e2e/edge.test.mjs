// Limits of the edge: connections per address and second, messages and bytes per client; compression shared by receivers.
import assert from "node:assert/strict";
import WebSocket from "ws";
import { run, testBroker } from "./lib/broker.mjs";
import { takesLittle } from "./lib/slow.mjs";
import { until, within } from "./lib/util.mjs";

const url = (broker) => `ws://127.0.0.1:${broker.port}/ws`;

/* Opens one, and says what became of it: "open", or the status of the refusal. */
function attempt(broker, options = {}) {
  return within(10000, new Promise((done) => {
    const socket = new WebSocket(url(broker), options);
    socket.got = [];
    socket.on("message", (bytes) => socket.got.push(JSON.parse(bytes.toString())));
    socket.on("open", () => done({ socket, status: "open" }));
    socket.on("unexpected-response", (request, response) => {
      response.resume();
      done({ socket, status: response.statusCode, retryAfter: response.headers["retry-after"] });
      request.destroy();
    });
    socket.on("error", (error) => done({ socket, status: error.code }));
    socket.closed = new Promise((gone) => socket.on("close", (code, reason) => gone({ code, reason: reason.toString() })));
  }), "an attempt to connect");
}

testBroker("an address has as many connections as it may, and room again when one ends", { workers: 1, config: { "limits.max_connections_per_address": 3 } }, async (broker) => {
  const open = [];
  for (let i = 0; i < 3; i++) open.push(await attempt(broker));
  assert.deepEqual(open.map(({ status }) => status), ["open", "open", "open"]);
  assert.equal((await attempt(broker)).status, 429);
  assert.equal((await attempt(broker, { localAddress: "127.0.0.7" })).status, "open", "another address is not concerned");
  open[0].socket.close();
  await open[0].socket.closed;
  await until("there is room again", async () => (await attempt(broker)).status === "open");
  const metrics = await broker.metrics();
  assert.ok(metrics('ringcast_connections_refused_total{reason="address"}') >= 1);
  for (const { socket } of open) socket.terminate();
});

testBroker("a network has as many as it may", { workers: 1, config: { "limits.max_connections_per_network": 2 } }, async (broker) => {
  const from = (address) => attempt(broker, { localAddress: address });
  assert.equal((await from("127.1.1.1")).status, "open");
  assert.equal((await from("127.1.1.2")).status, "open");
  assert.equal((await from("127.1.1.3")).status, 429);
  assert.equal((await from("127.1.2.3")).status, "open");
});

testBroker("more connections a second than allowed are told to come again", { workers: 1, config: { "limits.accept_rate": 5 } }, async (broker) => {
  const began = performance.now();
  const all = await Promise.all(Array.from({ length: 40 }, () => attempt(broker)));
  const seconds = (performance.now() - began) / 1000;
  const refused = all.filter(({ status }) => status === 503);
  assert.ok(refused.length > 0 && 40 - refused.length <= 10 + 5 * seconds, `${refused.length} of 40 refused in ${seconds} s`);
  assert.ok(refused.every(({ retryAfter }) => Number(retryAfter) >= 1));
  await until("it recovers by itself", async () => (await attempt(broker)).status === "open", { timeout: 10000 });
  // One line a second tells of it; those that would have been too many are counted. The scrape itself may be refused at first.
  const figures = await until("metrics are answered", () => broker.metrics().catch(() => null), { timeout: 10000 });
  assert.ok(figures("ringcast_log_suppressed_total") > 0);
});

testBroker("who sends too fast is read more slowly, and loses nothing", { workers: 1, config: { "limits.message_rate": 50 } }, async (broker) => {
  const fast = await broker.connect();
  const calm = await broker.connect();
  const start = performance.now();
  let answered = 0;
  const pongs = Array.from({ length: 300 }, () => fast.ping().then(() => answered++));
  await calm.ping();
  const before = answered;
  await Promise.all(pongs);
  const took = performance.now() - start;
  assert.ok(took > 4500, `300 messages at 50 a second, the first 50 at once: ${took.toFixed(0)} ms`);
  assert.ok(before < 300, "nobody else waits");
  assert.ok((await broker.metrics())("ringcast_rate_delays_total") > 0);
});

testBroker("or is sent away, when that is the policy", { workers: 1, config: { "limits.byte_rate": "10KiB", "limits.rate_policy": "close" } }, async (broker) => {
  const { socket } = await attempt(broker);
  const big = JSON.stringify({ type: "publish", channel: "x", data: "x".repeat(4000) });
  for (let i = 0; i < 10; i++) socket.send(big);
  const { code } = await within(5000, socket.closed, "the close");
  assert.equal(code, 1008);
  assert.equal((await broker.metrics())("ringcast_rate_closes_total"), 1);
});

testBroker("one compressed payload serves all with the same window, others get it as it is", {
  workers: 2,
  config: { "compression.enabled": true, namespace: [{ name: "plain", compression: false }] },
}, async (broker) => {
  const offers = [{ threshold: 0 }, { threshold: 0, serverMaxWindowBits: 10 }, { threshold: 0, clientMaxWindowBits: 9, clientNoContextTakeover: true }, false];
  const clients = [];
  for (const perMessageDeflate of [...offers, ...offers]) clients.push((await attempt(broker, { perMessageDeflate })).socket);
  assert.deepEqual(clients.map((client) => client.extensions), [...offers, ...offers].map((offer) => (offer ? "permessage-deflate" : "")));
  for (const client of clients) for (const channel of ["c", "plain:c"]) client.send(JSON.stringify({ type: "subscribe", channel, id: channel }));
  await until("all are subscribed", () => clients.every((client) => client.got.filter(({ type }) => type === "subscribed").length === 2));
  const data = { text: "häufig ".repeat(500), "𝄞": [1, null, "\\"] };
  const before = clients.map((client) => client._socket.bytesRead);
  for (const channel of ["c", "plain:c"]) {
    for (let i = 0; i < 20; i++) clients[i % clients.length].send(JSON.stringify({ type: "publish", channel, data: { i, data } }));
  }
  const messages = (client, channel) => client.got.filter((message) => message.type === "message" && message.channel === channel);
  await until("everything has arrived", () => clients.every((client) => messages(client, "c").length === 20 && messages(client, "plain:c").length === 20));
  for (const client of clients) {
    for (const channel of ["c", "plain:c"]) {
      assert.deepEqual(messages(client, channel).map((message) => message.data.i).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i));
      for (const message of messages(client, channel)) assert.deepEqual(message.data.data, data);
    }
  }
  const read = clients.map((client, i) => client._socket.bytesRead - before[i]);
  assert.ok(read[0] < read[3] * 0.6, `compressed ${read[0]} bytes, plain ${read[3]} bytes`);
  const metrics = await broker.metrics();
  // 20 messages, on each worker once for each window size in use there (15, 9 for the 10 asked for), not once a client.
  assert.ok(metrics("ringcast_deflated_messages_total") <= 20 * 2 * 2, `${metrics("ringcast_deflated_messages_total")} compressions`);
  assert.ok(metrics("ringcast_inflated_messages_total") > 0);
});

testBroker("a decompression bomb is stopped at the message limit", { workers: 1, config: { "compression.enabled": true, "limits.max_message_size": "64KiB" } }, async (broker) => {
  const { socket } = await attempt(broker, { perMessageDeflate: { threshold: 0 } });
  socket.send(JSON.stringify("x".repeat(50 << 20)));
  const { code } = await within(10000, socket.closed, "the close");
  assert.equal(code, 1009);
  assert.ok((await broker.connect()).id, "and nobody else noticed");
});

testBroker("only the forwarded headers that are named are believed", {
  workers: 1, config: { "http.trusted_proxies": ["127.0.0.1"], "log.level": "debug", "http.forwarded_headers": ["X-Real-IP"] },
}, async (broker) => {
  const headers = { "X-Forwarded-For": "203.0.113.1", Forwarded: "for=203.0.113.2", "X-Real-IP": "203.0.113.3" };
  const addressOf = async (sent) => {
    const from = broker.log.length;
    const client = await broker.connect({ headers: sent });
    const line = await until("the client is in the log", () => broker.log.slice(from).find((text) => / client slot=/.test(text)));
    await client.close();
    return /address=(\S+)/.exec(line)[1];
  };
  assert.equal(await addressOf(headers), "203.0.113.3");
  assert.equal(await addressOf({ ...headers, "X-Real-IP": [] }), "127.0.0.1");
  for (const [names, wanted] of [[["forwarded", "x-real-ip"], "203.0.113.2"], [["x-real-ip", "x-forwarded-for"], "203.0.113.1"], [[], "127.0.0.1"]]) {
    broker.writeConfig({ ...broker.config, "http.forwarded_headers": names });
    assert.equal((await run(["reload", "-c", broker.configPath])).code, 0);
    await until(`${names} is in force`, async () => (await addressOf(headers)) === wanted);
  }
});

testBroker("the write timeout ends a client that takes nothing, and not one that takes little", {
  config: { "limits.write_timeout": "3s", "limits.ping_interval": "200ms", "limits.pong_timeout": "7s", "limits.send_buffer": "256KiB", "limits.channel_log": "64MiB", "limits.worker_log": "256MiB", "limits.close_timeout": "300ms" },
  workers: 1, timeout: 90000,
}, async (broker) => {
  const publisher = await broker.connect();
  await takesLittle(broker, publisher, () => broker.connect());
  await until("their sockets are gone", async () => (await broker.metrics())("ws_connections_total") === 2);
});
