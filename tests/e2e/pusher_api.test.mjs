// The HTTP API of the Pusher protocol, as server SDKs call it, and webhooks: signatures, lists, counts, bounds.
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { SECRET, checkSignature } from "./lib/backend.mjs";
import { testBroker } from "./lib/broker.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { handedOver } from "./lib/outlive.mjs";
import { APP, OTHER, connectPusher, connectPusherTo, event, pusherConfig, sdk, subscribe } from "./lib/pusher.mjs";
import { until, within } from "./lib/util.mjs";

const json = async (response) => {
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
};
/* A request signed by hand, with whatever is to be wrong with it. */
function request(broker, { method = "POST", path = "/apps/7/events", body = "", secret = APP.secret, key = APP.key, time = Math.floor(Date.now() / 1000), version = "1.0", md5, signed = (text) => text, query = {} } = {}) {
  const params = { auth_key: key, auth_timestamp: time, auth_version: version, ...query };
  if (body && md5 !== null) params.body_md5 = md5 ?? createHash("md5").update(body).digest("hex");
  const text = Object.entries(params).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `${name}=${value}`).join("&");
  const signature = createHmac("sha256", secret).update(signed(`${method}\n${path}\n${text}`)).digest("hex");
  return broker.get(`${path}?${text}&auth_signature=${signature}`, { method, headers: { "Content-Type": "application/json" }, body });
}
const good = JSON.stringify({ name: "e", channel: "room", data: "x" });

testBroker("who may not, and what makes no sense", { config: pusherConfig([{ ...APP, max_event_channels: 3, max_batch: 2, max_event_size: "1KiB" }, { ...OTHER }]) }, async (broker) => {
  const now = Math.floor(Date.now() / 1000);
  assert.deepEqual([(await request(broker, { body: good })).status, (await request(broker, { body: good })).body], [200, "{}"]);
  const unauthorized = [{ secret: OTHER.secret }, { key: OTHER.key }, { key: "nobody" }, { time: now - 700 }, { time: now + 700 }, { time: "x" }, { version: "2.0" }, { md5: "0".repeat(32) }, { md5: null }, { md5: "x" }, { signed: (text) => text.replace("POST", "GET") }, { signed: (text) => `${text}x` }, { path: "/apps/8/events" }];
  for (const wrong of unauthorized) {
    const { status, body } = await request(broker, { body: good, ...wrong });
    assert.equal(status, 401, JSON.stringify(wrong) + body);
    assert.ok(JSON.parse(body).error.message.length > 10);
  }
  assert.equal((await broker.get("/apps/7/events", { method: "POST", body: good })).status, 401);
  assert.equal((await request(broker, { body: good, time: now - 500 })).status, 200);
  for (const path of ["/apps/9/events", "/apps/7/nothing", "/apps/7", "/apps/7/events/x", "/apps//events"]) assert.equal((await request(broker, { body: good, path })).status, 404, path);
  assert.equal((await request(broker, { body: good, method: "PUT" })).status, 405);
  const bad = ["", "x", "[]", "{}", '{"name":"e"}', '{"name":"e","data":"x"}', '{"name":"e","channels":[],"data":"x"}', '{"name":"e","channels":"room","data":"x"}', '{"name":"e","channels":[1],"data":"x"}', '{"name":"","channel":"room","data":"x"}', `{"name":"${"n".repeat(201)}","channel":"room","data":"x"}`, '{"name":"e","channel":"a:b","data":"x"}', `{"name":"e","channel":"${"c".repeat(165)}","data":"x"}`, '{"name":"e","channel":"room"}', '{"name":"e","channels":["a","b","c","d"],"data":"x"}', '{"name":"e","channel":"room","data":"x","socket_id":"1"}', '{"name":"e","channel":"room","data":"x","info":"what"}', '{"name":"e","channel":"#server-to-user-","data":"x"}'];
  for (const body of bad) assert.equal((await request(broker, { body })).status, 400, body);
  const batches = ['{"batch":[]}', '{"batch":[1]}', '{"batch":{}}', "{}", JSON.stringify({ batch: Array(3).fill({ name: "e", channel: "a", data: "x" }) })];
  for (const body of batches) assert.equal((await request(broker, { body, path: "/apps/7/batch_events" })).status, 400, body);
  assert.equal((await request(broker, { body: JSON.stringify({ name: "e", channel: "room", data: "x".repeat(1025) }) })).status, 413);
  assert.equal((await request(broker, { body: JSON.stringify({ name: "e", channel: "room", data: '"'.repeat(1024) }) })).status, 200);
  for (const query of [{ info: "what" }, { info: "user_count" }]) assert.equal((await request(broker, { method: "GET", path: "/apps/7/channels", query })).status, 400);
  assert.equal((await request(broker, { method: "GET", path: "/apps/7/channels/room", query: { info: "user_count" } })).status, 400);
  assert.equal((await request(broker, { method: "GET", path: "/apps/7/channels/room/users" })).status, 400);
  assert.equal((await request(broker, { method: "GET", path: "/apps/7/channels/a%20b" })).status, 400);
  const metrics = await broker.metrics();
  assert.ok(metrics("ringcast_pusher_unauthorized_total") >= unauthorized.length);
});

testBroker("an event that no other instance would take is taken by none, nor is any of its batch", { config: pusherConfig([{ ...APP, max_event_size: "16KiB" }], { "limits.max_message_size": "16KiB" }) }, async (broker) => {
  const room = await subscribe(await connectPusher(broker), "room");
  const big = '"'.repeat(10000); // within max_event_size, and twice as long in a message
  assert.equal((await request(broker, { body: JSON.stringify({ name: "big", channel: "room", data: big }) })).status, 413);
  const batch = [{ name: "small", channel: "room", data: "1" }, { name: "big", channel: "room", data: big }];
  assert.equal((await request(broker, { path: "/apps/7/batch_events", body: JSON.stringify({ batch }) })).status, 413);
  await sdk(broker).trigger("room", "last", "2");
  await event(room, "last");
  assert.deepEqual(room.got.map(([name]) => name).filter((name) => !name.startsWith("pusher")), ["last"]);
});

testBroker("channels, how many are there, and who", { workers: 2, config: pusherConfig([{ ...APP }, { ...OTHER }]) }, async (broker) => {
  const server = sdk(broker);
  const [one, two] = [await connectPusherTo(broker, 0, { user: "u1" }), await connectPusherTo(broker, 1, { user: "u2" })];
  for (const client of [one, two]) for (const name of ["news", "presence-a"]) await subscribe(client, name);
  await subscribe(two, "private-b");
  await subscribe(await connectPusher(broker, { user: "u2" }), "presence-a");
  await subscribe(await connectPusher(broker, { app: OTHER }), "elsewhere");
  const get = async (path, params) => json(await server.get({ path, params }));
  // What a client of one worker was told the relay may hear behind a question of the other one.
  await until("all channels are known", async () => isDeepStrictEqual(await get("/channels"), { channels: { news: {}, "presence-a": {}, "private-b": {} } }));
  await until("the other app's is", async () => isDeepStrictEqual(await json(await sdk(broker, OTHER).get({ path: "/channels" })), { channels: { elsewhere: {} } }));
  // Of a worker that does not answer within a second nothing is counted.
  const tells = (wanted, ask) => until(JSON.stringify(wanted), async () => isDeepStrictEqual(await ask(), wanted));
  await tells({ channels: { "presence-a": { user_count: 2 } } }, () => get("/channels", { filter_by_prefix: "presence-", info: "user_count" }));
  await tells({ channels: { news: { subscription_count: 2 } } }, () => get("/channels", { filter_by_prefix: "n", info: "subscription_count" }));
  await tells({ occupied: true, subscription_count: 2 }, () => get("/channels/news", { info: "subscription_count" }));
  await tells({ occupied: true, user_count: 2, subscription_count: 3 }, () => get("/channels/presence-a", { info: "user_count,subscription_count" }));
  await tells({ occupied: false, subscription_count: 0 }, () => get("/channels/nobody", { info: "subscription_count" }));
  assert.deepEqual(await get("/channels/presence-nobody/users"), { users: [] });
  await tells(["u1", "u2"], async () => (await get("/channels/presence-a/users")).users?.map(({ id }) => id).sort());
  // With the answer to an event.
  await tells({ channels: { news: { subscription_count: 2 }, "presence-a": { user_count: 2, subscription_count: 3 }, nobody: { subscription_count: 0 } } },
    async () => json(await server.trigger(["news", "presence-a", "nobody"], "e", 1, { info: "user_count,subscription_count" })));
  const batch = [{ channel: "news", name: "e", data: 1, info: "subscription_count" }, { channel: "presence-a", name: "e", data: 1, info: "user_count" }];
  await tells({ batch: [{ subscription_count: 2 }, { user_count: 2 }] }, async () => json(await server.triggerBatch(batch)));
  assert.deepEqual(await json(await sdk(broker, OTHER).get({ path: "/channels" })), { channels: { elsewhere: {} } });
});

testBroker("what was published is answered as published, also where nobody can say how many there are", { workers: 2, config: pusherConfig([{ ...APP }], { "server.stuck_kill_timeout": "10m" }) }, async (broker) => {
  const rooms = [];
  for (const worker of [0, 1]) rooms.push(await subscribe(await connectPusherTo(broker, worker, { user: `u${worker}` }), "presence-a"));
  const ask = (name, more) => request(broker, { body: JSON.stringify({ name, channels: ["presence-a", "room"], data: "x", ...more }) });
  const stopped = broker.kill("SIGSTOP", 1);
  try {
    // Connections that come to the worker that stands still are not answered at all: of several that ask at a time others are.
    const late = await until("an answer without counts", async () => {
      const asked = [1, 2, 3, 4].map(async () => {
        const answer = await ask("late", { info: "subscription_count,user_count" });
        return answer.status === 200 ? answer : assert.fail(`${answer.status} ${answer.body}`);
      });
      return within(5000, Promise.any(asked), "the other worker answers").catch(() => null);
    }, { timeout: 60000 });
    const { channels } = JSON.parse(late.body);
    assert.ok(!("subscription_count" in (channels["presence-a"] ?? {})), late.body);
    await event(rooms[0], "late");
  } finally {
    process.kill(stopped, "SIGCONT");
  }
  await event(rooms[1], "late");
  const again = async () => JSON.parse((await ask("then", { info: "subscription_count,user_count" })).body).channels["presence-a"];
  await until("both are counted again", async () => isDeepStrictEqual(await again(), { subscription_count: 2, user_count: 2 }));
});

testBroker("more channels than one page has", { workers: 2, config: pusherConfig([{ ...APP }], { "limits.max_channels": 2000 }) }, async (broker) => {
  const clients = [await connectPusherTo(broker, 0), await connectPusherTo(broker, 1)];
  const names = Array.from({ length: 1300 }, (_, i) => `c-${String(i).padStart(4, "0")}`);
  names.forEach((name, i) => clients[i % 2].subscribe(name));
  await until("all are subscribed", () => clients.flatMap((client) => client.channels.all()).filter(({ subscribed }) => subscribed).length === names.length, { timeout: 20000 });
  const all = async () => Object.keys((await json(await sdk(broker).get({ path: "/channels" }))).channels);
  await until("all are known", async () => (await all()).length >= names.length);
  assert.deepEqual(await all(), names);
});

/* Takes webhooks as an application would: checks them with the SDK. `status` of its answers may change. */
async function startReceiver(secrets = APP) {
  const receiver = { events: [], bodies: [], status: 200, problems: [] };
  receiver.server = createServer((incoming, response) => {
    let body = "";
    incoming.on("data", (part) => (body += part));
    incoming.on("end", () => {
      try {
        checkSignature(incoming, body, SECRET);
      } catch (error) {
        receiver.problems.push(error);
      }
      if (incoming.headers["ringcast-call"] === "health") return void response.end(); // who is told nothing for a while is looked for
      const webhook = sdk({ port: 1 }, secrets).webhook({ headers: incoming.headers, rawBody: body });
      if (!webhook.isValid()) receiver.problems.push(body);
      receiver.bodies.push(body);
      if (receiver.status === 200) receiver.events.push(...webhook.getEvents());
      if (receiver.holds) return; // the answer never comes
      response.writeHead(receiver.status);
      response.end();
    });
  });
  await new Promise((done) => receiver.server.listen(0, "127.0.0.1", done));
  receiver.url = `http://127.0.0.1:${receiver.server.address().port}/webhooks`;
  receiver.stop = () => {
    receiver.server.closeAllConnections();
    receiver.server.close();
    assert.deepEqual(receiver.problems, []);
  };
  return receiver;
}

let receiver;
const hooked = (more = {}) => async () => {
  receiver = await startReceiver();
  return pusherConfig([{ ...APP, client_events: true, webhook_backend: "hooks", ...more }], { backend: [{ name: "hooks", url: [receiver.url], secrets: [SECRET], breaker: "" }] });
};

testBroker("webhooks: signed, together, and again until they are taken", { workers: 2, config: hooked() }, async (broker) => {
  try {
    const one = await connectPusherTo(broker, 0, { user: "1" });
    const [room, presence] = [await subscribe(one, "private-room"), await subscribe(one, "presence-a")];
    const two = await connectPusherTo(broker, 1, { user: "2" });
    await subscribe(two, "presence-a");
    await subscribe(two, "cache-c");
    await event(presence, "pusher:member_added");
    room.trigger("client-x", { n: 1 });
    presence.trigger("client-y", "text");
    await until("client events", () => receiver.events.filter(({ name }) => name === "client_event").length === 2);
    receiver.status = 500; // they wait, and come again
    const tried = receiver.bodies.length;
    two.disconnect();
    await until("it was tried", () => receiver.bodies.length > tried);
    receiver.status = 200;
    one.disconnect();
    const names = () => receiver.events.map(({ name, channel, user_id: user }) => [name, channel, user].filter(Boolean).join(" ")).sort();
    const expected = ["cache_miss cache-c", "channel_occupied cache-c", "channel_occupied presence-a", "channel_occupied private-room", "channel_vacated cache-c", "channel_vacated presence-a", "channel_vacated private-room", "client_event presence-a 1", "client_event private-room", "member_added presence-a 1", "member_added presence-a 2", "member_removed presence-a 1", "member_removed presence-a 2"];
    await until("all of them", () => names().length >= expected.length, { timeout: 20000 });
    assert.deepEqual(names(), expected);
    assert.deepEqual(receiver.problems, [], "all are signed by the app");
    const event_ = receiver.events.find(({ name, channel }) => name === "client_event" && channel === "private-room");
    assert.deepEqual([event_.event, JSON.parse(event_.data), typeof event_.socket_id], ["client-x", { n: 1 }, "string"]);
    await until("all are counted, when they are answered", async () => (await broker.metrics())("ringcast_pusher_webhooks_total") === expected.length);
  } finally {
    receiver.stop();
  }
});

testBroker("webhooks: a broker that stops tells of its last member, and of its channel", { workers: 1, config: hooked() }, async (broker) => {
  try {
    const one = await connectPusherTo(broker, 0, { user: "1" });
    await subscribe(one, "presence-a");
    await until("it is there", () => receiver.events.some(({ name }) => name === "member_added"));
    broker.kill("SIGSTOP", "relay"); // it hears of the end later than everybody
    const stopped = broker.stop();
    await until("it was sent away", () => one.connection.state !== "connected");
    one.disconnect();
    await delay(300); // in which a worker that waits for nobody would have ended
    broker.kill("SIGCONT", "relay");
    await stopped;
    const told = receiver.events.map(({ name, channel }) => `${name} ${channel}`);
    assert.ok(told.includes("member_removed presence-a") && told.includes("channel_vacated presence-a"), `${told}`);
  } finally {
    receiver.stop();
  }
});

testBroker("webhooks: of a worker that is killed, or handed over, its successor tells what was not taken, in its order", { workers: 1, timeout: 60000, config: hooked() }, async (broker) => {
  try {
    const one = await connectPusherTo(broker, 0, { user: "1" });
    const room = await subscribe(one, "private-room");
    await until("it is told", () => receiver.events.length === 1);
    receiver.status = 500;
    const expected = [];
    const trigger = async (count) => {
      const tried = receiver.bodies.length;
      for (let i = 0; i < count; i++) {
        expected.push(expected.length);
        room.trigger("client-x", { n: expected.length - 1 });
      }
      await until("it was tried", () => receiver.bodies.length > tried);
    };
    await trigger(3);
    await killWorker(broker, 0);
    await trigger(3);
    await handedOver(broker, "0");
    await trigger(1);
    await killWorker(broker, 0);
    receiver.status = 200;
    const told = () => receiver.events.filter(({ name }) => name === "client_event").map(({ data }) => JSON.parse(data).n);
    await until("all are told", () => told().length >= expected.length, { timeout: 30000 });
    assert.deepEqual(told(), expected, "in their order, none twice, as none was taken before");
    assert.deepEqual(receiver.problems, []);
    assert.equal((await broker.metrics())("ringcast_pusher_webhooks_dropped_total"), 0);
    one.disconnect();
  } finally {
    receiver.stop();
  }
});

testBroker("webhooks: no hand-over waits for one that is not answered, however many there are to tell", { workers: 1, timeout: 60000, config: hooked() }, async (broker) => {
  try {
    const one = await connectPusherTo(broker, 0, { user: "1" });
    const room = await subscribe(one, "private-room");
    await until("it is told", () => receiver.events.length === 1);
    const told = () => receiver.events.filter(({ name }) => name === "client_event").map(({ data }) => JSON.parse(data).n);
    receiver.holds = true;
    const expected = Array.from({ length: 9 }, (_, i) => i); // a client says ten in a second
    room.trigger("client-x", { n: 0 });
    await until("one is being told", () => told().length === 1);
    for (const n of expected.slice(1)) room.trigger("client-x", { n });
    await handedOver(broker, "0");
    assert.doesNotMatch(broker.log.join("\n"), /worker_not_parked/);
    receiver.holds = false;
    await until("all are told", () => new Set(told()).size === expected.length, { timeout: 20000 });
    // What was on its way when the worker was replaced comes again, before what is behind it.
    assert.deepEqual([...new Set(told())], expected);
    assert.equal((await broker.metrics())("ringcast_pusher_webhooks_dropped_total"), 0);
    one.disconnect();
  } finally {
    receiver.stop();
  }
});

testBroker("webhooks: only those that the app wants", { workers: 1, config: hooked({ webhooks: ["member_added", "subscription_count"] }) }, async (broker) => {
  try {
    const client = await connectPusher(broker, { user: "1" });
    await subscribe(client, "presence-a");
    await subscribe(client, "room");
    await until("both", () => receiver.events.length >= 2);
    client.unsubscribe("room");
    await until("the last count", () => receiver.events.some((told) => told.subscription_count === 0));
    assert.deepEqual(receiver.events.map(({ name, subscription_count: count }) => [name, count]), [["member_added", undefined], ["subscription_count", 1], ["subscription_count", 0]]);
  } finally {
    receiver.stop();
  }
});
