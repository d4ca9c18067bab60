// The native protocol and raw end points across two workers: every operation, answer and delivery once.
import assert from "node:assert/strict";
import { encode, encodeBatch } from "./lib/binary.mjs";
import { testBroker } from "./lib/broker.mjs";

testBroker("a message crosses from worker 1 to worker 0", {}, async (broker) => {
  const a = await broker.connectToWorker(0);
  const b = await broker.connectToWorker(1);
  assert.deepEqual(await a.subscribe("prices:BTC"), { type: "subscribed", id: 1, channel: "prices:BTC" });
  assert.deepEqual(await b.publish("prices:BTC", { p: 1 }), { type: "published", id: 1 });
  assert.deepEqual(await a.next(), { type: "message", channel: "prices:BTC", data: { p: 1 } });
});

testBroker("welcome says who and where we are", { config: { "limits.max_message_size": "64KiB", "limits.ping_interval": "7s" } }, async (broker) => {
  const a = await broker.connect();
  const { client, ...rest } = a.welcome;
  assert.deepEqual(rest, { type: "welcome", protocol: 1, instance: "test", user: null, ping_interval: 7000, max_message_size: 65536 });
  assert.match(client, /^test~[A-Za-z0-9_-]{24}$/);
  const b = await broker.connect({ protocols: ["nonsense", "ringcast.v1"] });
  assert.equal(b.socket.protocol, "ringcast.v1");
  assert.notEqual(b.id, a.id);
});

testBroker("requests with an id get exactly one answer, with the id as it was written", {}, async (broker) => {
  const raw = await broker.frames("/ws");
  for (const id of ["7", "1.0", "-0", "1e3", "12345678901234567890", '"abc"', '"\\u0061\\n"', '"é😀"']) {
    raw.send({ payload: `{"type":"ping","id":${id}}` });
    const { payload } = await raw.frame();
    assert.ok(payload.toString().includes(`"id":${id}`), `${payload} has "id":${id}`);
  }
  // Without one: pong, errors, and nothing else.
  raw.json({ type: "subscribe", channel: "a" });
  raw.json({ type: "publish", channel: "b", data: 1 });
  raw.json({ type: "unsubscribe", channel: "a" });
  raw.json({ type: "nonsense" });
  raw.json({ type: "ping" });
  assert.equal((await raw.message()).code, 400);
  assert.deepEqual(await raw.message(), { type: "pong" });
});

testBroker("the publisher hears itself unless it says echo false; excluded clients do not hear", {}, async (broker) => {
  const [a, b, c] = [await broker.connectToWorker(0), await broker.connectToWorker(0), await broker.connectToWorker(1)];
  for (const client of [a, b, c]) await client.subscribe("room:1");
  await a.publish("room:1", "all");
  await a.publish("room:1", "others", { echo: false });
  await a.publish("room:1", "not c", { exclude: [c.id, "test~nobody", "elsewhere~AAAAAAAAAAAAAAAAAAAAAAAA"] });
  await a.publish("room:1", "only b", { echo: false, exclude: [c.id] });
  await a.publish("room:1", "end");
  const got = async (client) => {
    const list = [];
    while (list.at(-1) !== "end") list.push((await client.next("message")).data);
    return list;
  };
  assert.deepEqual(await got(a), ["all", "not c", "end"]);
  assert.deepEqual(await got(b), ["all", "others", "not c", "only b", "end"]);
  assert.deepEqual(await got(c), ["all", "others", "end"]);
});

testBroker("broadcast reaches everybody, without subscribing", {}, async (broker) => {
  const clients = await broker.connectMany([2, 2]);
  const [a, , , d] = clients;
  assert.deepEqual(await a.broadcast({ hello: 1 }), { type: "broadcasted", id: 1 });
  for (const client of clients) assert.deepEqual(await client.next(), { type: "message", channel: "*", data: { hello: 1 } });
  await a.broadcast("2", { echo: false, exclude: [d.id] });
  await a.broadcast("3");
  for (const client of clients) {
    const wanted = client === a || client === d ? ["3"] : ["2", "3"];
    for (const data of wanted) assert.deepEqual(await client.next(), { type: "message", channel: "*", data });
  }
});

testBroker("direct reaches one client, on any worker", {}, async (broker) => {
  const [a, b, c] = [await broker.connectToWorker(0), await broker.connectToWorker(1), await broker.connectToWorker(1)];
  assert.deepEqual(await a.direct(b.id, [1, 2]), { type: "sent", id: 1 });
  assert.deepEqual(await b.next(), { type: "direct", data: [1, 2] });
  await c.direct(a.id, "back");
  assert.deepEqual(await a.next(), { type: "direct", data: "back" });
  await a.direct(a.id, "self");
  assert.deepEqual(await a.next(), { type: "direct", data: "self" });
  await a.refused(404, { type: "direct", to: "nobody", data: 1 });
  await a.refused(404, { type: "direct", to: `test~${"A".repeat(24)}`, data: 1 });
  await c.close();
  // The id is well formed and its host the right one: it is taken, and reaches nobody.
  await a.expect("sent", { type: "direct", to: c.id, data: 1 });
  await b.direct(a.id, "end");
  assert.deepEqual(await a.next(), { type: "direct", data: "end" });
  assert.deepEqual(b.inbox, []);
});

testBroker("unsubscribed is the last word on a channel", {}, async (broker) => {
  const a = await broker.connectToWorker(0);
  const b = await broker.connectToWorker(1);
  await a.subscribe("x");
  await a.subscribe("y");
  await a.subscribe("x"); // again: answered again, delivered once
  await b.publish("x", 1);
  assert.equal((await a.next()).data, 1);
  assert.deepEqual(await a.unsubscribe("x"), { type: "unsubscribed", id: 4, channel: "x" });
  await a.unsubscribe("x");
  await a.unsubscribe("never");
  await b.publish("x", 2);
  await b.publish("y", 3);
  assert.deepEqual(await a.next(), { type: "message", channel: "y", data: 3 });
  await a.subscribe("x");
  await b.publish("x", 4);
  assert.deepEqual(await a.next(), { type: "message", channel: "x", data: 4 });
  assert.deepEqual(a.inbox, []);
});

testBroker("what is wrong is answered with its error and the connection stays", {}, async (broker) => {
  const a = await broker.connect();
  const wrong = [
    ["not json", /./],
    ["", /./],
    ["17", /./],
    ["[1]", /./],
    ['{"type":"ping","type":"ping"}', /./],
    ['{"type":"ping"} x', /./],
    ['{"type":"nonsense"}', /./],
    ['{"channel":"a"}', /./],
    ['{"type":"subscribe"}', /channel/],
    ['{"type":"subscribe","channel":""}', /channel/],
    ['{"type":"subscribe","channel":7}', /channel/],
    ['{"type":"subscribe","channel":"a\\u0007b"}', /channel/],
    [`{"type":"subscribe","channel":"${"x".repeat(256)}"}`, /channel/],
    ['{"type":"publish","channel":"a"}', /data/],
    ['{"type":"publish","channel":"a","data":01}', /./],
    [`{"type":"ping","id":"${"x".repeat(65)}"}`, /id/],
    ['{"type":"ping","id":{}}', /id/],
    ['{"type":"publish","channel":"a","data":1,"echo":"no"}', /echo/],
    ['{"type":"publish","channel":"a","data":1,"exclude":"x"}', /exclude/],
    [`${"[".repeat(70)}${"]".repeat(70)}`, /./],
  ];
  for (const [text, message] of wrong) {
    a.send(text);
    const answer = await a.next("error");
    assert.equal(answer.code, 400, `${text}: ${JSON.stringify(answer)}`);
    assert.equal(answer.reason, "bad_request");
    assert.match(answer.message, message);
  }
  // The id where it could be read.
  assert.equal((await a.refused(400, { type: "subscribe", channel: "" })).id, 1);
  for (const channel of ["*", "user:42"]) {
    const answer = await a.refused(403, { type: "subscribe", channel });
    assert.equal(answer.reason, "forbidden");
    assert.equal(answer.channel, channel);
    await a.refused(403, { type: "publish", channel, data: 1 });
  }
  await a.refused(501, { type: "presence", channel: "a" });
  await a.refused(501, { type: "history", channel: "a" });
  a.send(JSON.stringify({ type: "publish", channel: "a", data: 1, exclude: Array(65).fill("x~y"), id: "many" }));
  assert.equal((await a.next("error")).code, 413);
  a.send(JSON.stringify(Array(129).fill({ type: "ping" })));
  assert.equal((await a.next("error")).code, 413);
  await a.ping();
  assert.deepEqual(a.inbox, []);
});

testBroker("an array is carried out in order, each operation for itself", {}, async (broker) => {
  const a = await broker.connect();
  a.send(JSON.stringify([{ type: "ping", id: "p1" }, { type: "nonsense", id: "bad" }, { type: "subscribe", channel: "a", id: "s" }, { type: "publish", channel: "a", data: 1, id: "pub" }]));
  const answers = new Map();
  while (answers.size < 4) {
    const answer = await a.next((message) => message.id !== undefined);
    answers.set(answer.id, answer.type);
  }
  assert.deepEqual(Object.fromEntries(answers), { p1: "pong", bad: "error", s: "subscribed", pub: "published" });
});

testBroker("bytes go through as bytes, in both forms", {}, async (broker) => {
  const json = await broker.connectToWorker(0);
  const binary = await broker.connectToWorker(1, { protocols: ["ringcast.v1.binary"] });
  assert.equal(binary.welcome.binary, true);
  assert.equal(binary.welcome.protocol, 1);
  const bytes = Buffer.from([0, 1, 2, 255, 0x81, 0x22]);
  await json.subscribe("cam:1");
  const answer = await binary.expect("subscribed", { type: "subscribe", channel: "cam:1" }, { encode });
  assert.equal(answer.binary, true);
  // From either, in either form.
  await json.expect("published", { type: "publish", channel: "cam:1", data: bytes }, { encode });
  await binary.expect("published", { type: "publish", channel: "cam:1", data: bytes }, { encode });
  await binary.expect("published", { type: "publish", channel: "cam:1", data: { json: '{"p": 1.50}' } }, { encode });
  await json.publish("cam:1", ["text"]);
  for (const client of [json, binary]) {
    for (let i = 0; i < 2; i++) {
      const message = await client.next();
      assert.equal(message.binary, true);
      assert.deepEqual([message.channel, Buffer.compare(message.data, bytes)], ["cam:1", 0]);
    }
    const third = await client.next();
    assert.equal(third.raw, '{"p": 1.50}');
    assert.equal(third.binary ?? false, client === binary);
    assert.deepEqual((await client.next()).data, ["text"]);
  }
  await json.expect("sent", { type: "direct", to: binary.id, data: bytes }, { encode });
  assert.deepEqual(await binary.next(), { type: "direct", data: bytes, binary: true });
  await binary.expect("broadcasted", { type: "broadcast", data: bytes, echo: false }, { encode });
  assert.deepEqual(await json.next(), { type: "message", channel: "*", data: bytes, binary: true });
  const error = await binary.refused(403, { type: "subscribe", channel: "*" }, { encode });
  assert.deepEqual([error.reason, error.channel, error.binary], ["forbidden", "*", true]);
  binary.send(Buffer.from([0x77, 0]));
  assert.equal((await binary.next("error")).code, 400);
  binary.send(encodeBatch([{ type: "unsubscribe", channel: "cam:1", id: "u" }, { type: "ping", id: 300 }]));
  assert.deepEqual(await binary.next("unsubscribed"), { type: "unsubscribed", id: "u", channel: "cam:1", binary: true });
  assert.deepEqual(await binary.next("pong"), { type: "pong", id: 300, binary: true });
});

testBroker("a raw end point carries nothing but the data", {
  config: {
    endpoint: [
      { path: "/live", protocol: "raw", join: ["*", "news:all"] },
      { path: "/chat", protocol: "raw", join: ["chat:1"], incoming: "publish:chat:1" },
      { path: "/all", protocol: "raw", join: ["*"], incoming: "broadcast" },
    ],
  },
}, async (broker) => {
  const native = await broker.connectToWorker(0);
  const open = (path) => broker.connect({ path, welcome: false });
  const [live, chat1, chat2, all] = [await open("/live"), await open("/chat"), await open("/chat"), await open("/all")];
  await native.subscribe("chat:1");
  // Joining is not answered: the first message shows that it has happened.
  const text = '{ "a" : 1.0, "b":"\\u00e9" }';
  native.send(`{"type":"publish","channel":"news:all","data":${text}}`);
  assert.equal((await live.next()).text, text);
  await native.broadcast([1]);
  for (const client of [live, all]) assert.equal((await client.next()).text, "[1]");
  assert.deepEqual((await native.next()).data, [1]);
  const bytes = Buffer.from([1, 2, 3]);
  await native.expect("published", { type: "publish", channel: "news:all", data: bytes }, { encode });
  assert.deepEqual((await live.next()).bytes, bytes);
  // What a raw client sends.
  chat1.send("not json");
  chat1.send('{"from":"chat1"}');
  for (const client of [chat1, chat2]) assert.equal((await client.next()).text, '{"from":"chat1"}');
  assert.deepEqual(await native.next(), { type: "message", channel: "chat:1", data: { from: "chat1" } });
  chat2.send(bytes);
  for (const client of [chat1, chat2]) assert.deepEqual((await client.next()).bytes, bytes);
  assert.deepEqual((await native.next()).data, bytes);
  live.send('"ignored"');
  all.send('"to all"');
  for (const client of [live, all]) assert.equal((await client.next()).text, '"to all"');
  assert.deepEqual(await native.next(), { type: "message", channel: "*", data: "to all" });
  for (const client of [native, live, chat1, chat2, all]) assert.deepEqual(client.inbox, []);
});
