// Presence channels of the Pusher protocol: who is there, who comes and goes, over workers and their deaths; and Laravel Echo.
import assert from "node:assert/strict";
import Echo from "laravel-echo";
import { run, testBroker } from "./lib/broker.mjs";
import { APP, OTHER, connectPusher, connectPusherTo, event, makeClient, pusherConfig, refused, sdk, subscribe, workerOf } from "./lib/pusher.mjs";
import { until, within } from "./lib/util.mjs";

const ids = (channel) => Object.keys(channel.members.members).sort();
const changes = (channel) => channel.got.filter(([name]) => /^pusher:member_/.test(name)).map(([name, data]) => `${name.slice(14)} ${data.id}`);

testBroker("members: who is there, who comes, who goes; a user with two connections is one member", { workers: 2, config: pusherConfig() }, async (broker) => {
  const one = await connectPusherTo(broker, 0, { user: "1", info: { name: "Ann \"A\" \u00e4" } });
  const first = await subscribe(one, "presence-room");
  assert.deepEqual([first.members.count, first.members.myID, first.members.me.info], [1, "1", { name: "Ann \"A\" \u00e4" }]);
  const two = await connectPusherTo(broker, 1, { user: "2", info: { name: "Bob" } });
  const second = await subscribe(two, "presence-room");
  assert.deepEqual(ids(second), ["1", "2"]);
  assert.deepEqual(second.members.get("1").info, { name: "Ann \"A\" \u00e4" });
  assert.deepEqual(await event(first, "pusher:member_added"), { id: "2", info: { name: "Bob" } });
  // The same user once more: nobody hears of it, neither when it comes nor when it goes.
  const again = await connectPusherTo(broker, 0, { user: "2" });
  const third = await subscribe(again, "presence-room");
  assert.deepEqual([third.members.count, ids(third)], [2, ["1", "2"]]);
  assert.deepEqual(third.members.get("2").info, { name: "Bob" });
  two.disconnect();
  const last = await connectPusherTo(broker, 1, { user: "9" });
  await subscribe(last, "presence-room");
  last.unsubscribe("presence-room");
  await until("9 has gone", () => [first, third].every((channel) => changes(channel).includes("removed 9")));
  assert.deepEqual(changes(first), ["added 2", "added 9", "removed 9"]);
  assert.deepEqual(changes(third), ["added 9", "removed 9"]);
  again.disconnect();
  await until("2 has gone", () => changes(first).includes("removed 2"));
  assert.deepEqual(ids(first), ["1"]);
  assert.ok(!changes(second).length && first.got.every(([name, data]) => !(name === "pusher:member_added" && data.id === "1")), "nobody hears of itself");
});

testBroker("as many members as there may be, and data that makes no sense", { config: pusherConfig([{ ...APP, max_members: 2 }]) }, async (broker) => {
  const first = await subscribe(await connectPusher(broker, { user: "1" }), "presence-room");
  await subscribe(await connectPusher(broker, { user: "2" }), "presence-room");
  await subscribe(await connectPusher(broker, { user: "2" }), "presence-room"); // no member more
  const error = await refused(await connectPusher(broker, { user: "3" }), "presence-room");
  assert.deepEqual([error.type, error.status], ["LimitReached", 429]);
  await until("it has gone again", () => ids(first).length === 2);
  for (const data of [{}, { user_id: "" }, { user_id: "x".repeat(129) }, { user_id: [1] }, { user_id: "1", user_info: "x".repeat(2100) }]) {
    const client = await connectPusher(broker, { channelAuthorization: { customHandler: ({ socketId, channelName }, done) => done(null, sdk(broker).authorizeChannel(socketId, channelName, data)) } });
    assert.equal((await refused(client, "presence-other")).status, 400, JSON.stringify(data));
    client.disconnect();
  }
  const numbered = await connectPusher(broker, { user: 7, info: { list: [1, { a: null }], text: "\u2028\u0001" } });
  const channel = await subscribe(numbered, "presence-other");
  assert.deepEqual([ids(channel), channel.members.get("7").info], [["7"], { list: [1, { a: null }], text: "\u2028\u0001" }]);
});

testBroker("the worker of some members dies with them: the others hear that they went", { workers: 2, config: pusherConfig(undefined, { "server.keep": "none" }) }, async (broker) => {
  const stays = await connectPusherTo(broker, 0, { user: "stays" });
  const channel = await subscribe(stays, "presence-room");
  const goes = await connectPusherTo(broker, 1, { user: "goes" });
  await subscribe(goes, "presence-room");
  await until("it came", () => ids(channel).length === 2);
  goes.connection.strategy = { connect: () => ({ abort() {} }), isSupported: () => true }; // it does not come back
  broker.kill("SIGKILL", 1);
  await until("it is gone", () => changes(channel).includes("removed goes"));
  assert.deepEqual(ids(channel), ["stays"]);
});

/* What a signed in client is told of whom it watches: ["online 1", …] as it comes. */
async function watcher(broker, worker, user, watchlist) {
  const client = await connectPusherTo(broker, worker, { user, info: { watchlist } });
  client.watched = [];
  for (const name of ["online", "offline"]) client.user.watchlist.bind(name, ({ user_ids: ids }) => client.watched.push(...ids.map((id) => `${name} ${id}`)));
  client.signin();
  await within(10000, client.user.signinDonePromise, "signed in");
  return client;
}
const WATCHING = { ...APP, watchlists: true };

testBroker("watchlists: who is online at sign-in, then who comes and goes, over workers and their deaths", { workers: 2, config: pusherConfig([WATCHING, { ...OTHER, watchlists: true }]) }, async (broker) => {
  const strange = "a b:c/\u00e4+=";
  const two = await watcher(broker, 1, "2", []);
  const one = await watcher(broker, 0, "1", ["2", "3", 4, "1", strange, ""]);
  await until("it is told of all", () => one.watched.length === 5);
  assert.deepEqual([...one.watched].sort(), ["offline 3", "offline 4", `offline ${strange}`, "online 1", "online 2"]);
  one.watched.length = 0;
  const three = await watcher(broker, 1, "3", ["1"]);
  await until("3 comes", () => one.watched.length === 1);
  await until("1 is here", () => three.watched.length === 1);
  const again = await watcher(broker, 0, "3", []);
  three.disconnect();
  const odd = await watcher(broker, 1, strange, []);
  await until("who has an odd name comes", () => one.watched.length === 2);
  again.disconnect();
  odd.disconnect();
  await until("both go", () => one.watched.length === 4);
  assert.deepEqual([one.watched.slice(0, 2), one.watched.slice(2).sort()], [["online 3", `online ${strange}`], ["offline 3", `offline ${strange}`]]);
  assert.deepEqual([three.watched, two.watched], [["online 1"], []]);
  one.watched.length = 0;
  // Users of another app with the same id are others; and none of it is a channel that anybody sees, or may be in.
  const other = await connectPusherTo(broker, 1, { app: OTHER, user: "3" });
  other.signin();
  await within(10000, other.user.signinDonePromise, "signed in");
  assert.deepEqual(JSON.parse(await (await sdk(broker).get({ path: "/channels" })).text()).channels, {});
  const answer = within(10000, new Promise((done) => two.connection.bind("message", (message) => message.event === "pusher:subscription_error" && done(message))), "it is refused");
  two.connection.send_event("pusher:subscribe", { channel: "#watch-1" });
  assert.deepEqual([(await answer).channel, (await answer).data.status], ["#watch-1", 400]);
  // Processes come and go: who stays is told nothing.
  await broker.killRelay();
  broker.kill("SIGKILL", 1);
  await until("another worker", () => broker.pids().workers[1]);
  await watcher(broker, 0, "4", []);
  await until("4 comes", () => one.watched.includes("online 4"));
  assert.ok(!one.watched.some((text) => / [13]$/.test(text)), one.watched.join());
});

testBroker("watchlists are off unless the app has them", { config: pusherConfig() }, async (broker) => {
  const client = await watcher(broker, 0, "1", ["1", "2"]);
  await subscribe(client, "presence-room");
  assert.deepEqual([client.watched, (await run(["channels", "-c", broker.configPath], { env: broker.env })).stdout.includes("#watch-")], [[], false]);
});

testBroker("the relay dies: nobody hears of those who stayed", { workers: 2, config: pusherConfig() }, async (broker) => {
  const one = await subscribe(await connectPusherTo(broker, 0, { user: "1" }), "presence-room");
  const leaving = await connectPusherTo(broker, 1, { user: "2" });
  await subscribe(leaving, "presence-room");
  await until("it came", () => ids(one).length === 2);
  await broker.killRelay();
  const late = await subscribe(await connectPusherTo(broker, 1, { user: "3" }), "presence-room");
  await until("3 came", () => ids(one).length === 3);
  await until("all are there", () => ids(late).length === 3);
  leaving.disconnect();
  await until("2 went", () => changes(one).includes("removed 2"));
  assert.deepEqual(changes(one), ["added 2", "added 3", "removed 2"]);
});

testBroker("workers are handed over: clients stay, and so does who is there", { workers: 2, config: pusherConfig() }, async (broker) => {
  const one = await connectPusherTo(broker, 0, { user: "1" });
  const two = await connectPusherTo(broker, 1, { user: "2" });
  const [first, second] = [await subscribe(one, "presence-room"), await subscribe(two, "presence-room")];
  await until("both", () => ids(first).length === 2);
  const before = [one, two].map((client) => client.connection.socket_id);
  const pids = broker.pids().workers;
  const { run } = await import("./lib/broker.mjs");
  const done = await run(["handover", "-c", broker.configPath], { env: broker.env, timeout: 30000 });
  assert.equal(done.code, 0, done.stderr + done.stdout);
  await until("other workers", () => broker.pids().workers.every((pid, index) => pid && pid !== pids[index]));
  assert.deepEqual([one, two].map((client) => client.connection.socket_id), before);
  await sdk(broker).trigger("presence-room", "still", 1);
  await event(first, "still");
  await event(second, "still");
  const third = await subscribe(await connectPusher(broker, { user: "3" }), "presence-room");
  assert.deepEqual(ids(third), ["1", "2", "3"]);
  two.disconnect();
  await until("2 went", () => changes(first).includes("removed 2"));
  assert.deepEqual(changes(first), ["added 2", "added 3", "removed 2"]);
});

testBroker("how many are subscribed, told as it changes", { config: pusherConfig([{ ...APP, subscription_count: true }]) }, async (broker) => {
  const channel = await subscribe(await connectPusherTo(broker, 0), "room");
  const other = await connectPusherTo(broker, 1);
  await subscribe(other, "room");
  await until("two", () => channel.subscriptionCount === 2);
  other.disconnect();
  await until("one", () => channel.subscriptionCount === 1);
});

testBroker("a crowd that comes is counted once a second, and the last count is told, also before a hand-over", { config: pusherConfig([{ ...APP, subscription_count: true }]) }, async (broker) => {
  const CROWD = 30;
  const channel = await subscribe(await connectPusherTo(broker, 0), "room");
  let told = 0;
  channel.bind("pusher:subscription_count", () => told++);
  const began = performance.now();
  await Promise.all(Array.from({ length: CROWD }, async () => subscribe(await connectPusher(broker), "room")));
  await until("all are counted", () => channel.subscriptionCount === CROWD + 1);
  const most = Math.ceil((performance.now() - began) / 1000) + 2; // and that of the first one
  assert.ok(told <= most, `told ${told} times, and not ${most} at the most`);
  // Two in a second, and the worker goes in between: what waits is told before, not lost.
  const late = await Promise.all([0, 1].map(() => connectPusher(broker)));
  for (const one of late) await subscribe(one, "room");
  const { code, stderr } = await run(["handover", "-c", broker.configPath], { env: broker.env, timeout: 60000 });
  assert.equal(code, 0, stderr);
  await until("the last is counted", () => channel.subscriptionCount === CROWD + 3);
});

testBroker("Laravel Echo, unchanged", { workers: 2, config: pusherConfig() }, async (broker) => {
  const echo = (user, name) => new Echo({ broadcaster: "pusher", client: makeClient(broker, { user, info: { id: user, name } }), key: APP.key, cluster: "" });
  const [ann, bob] = [echo(1, "Ann"), echo(2, "Bob")];
  const seen = [];
  const whisper = new Promise((done) => ann.private("room.1").listenForWhisper("typing", done));
  ann.channel("orders").listen(".shipped", (data) => seen.push(["shipped", data]));
  ann.channel("orders").listen("OrderPaid", (data) => seen.push(["paid", data]));
  const here = new Promise((done) => ann.join("chat").here((users) => (seen.push(["here", users]), done())).joining((user) => seen.push(["joining", user])).leaving((user) => seen.push(["leaving", user])));
  await within(10000, here, "here");
  const bobs = bob.join("chat");
  await until("joining", () => seen.some(([what]) => what === "joining"));
  const channel = bob.private("room.1");
  await new Promise((done) => channel.subscribed(done));
  await until("both of the room", () => ann.private("room.1").subscription.subscribed);
  channel.whisper("typing", { who: "Bob" });
  assert.deepEqual(await within(10000, whisper, "whisper"), { who: "Bob" });
  await sdk(broker).trigger("orders", "shipped", { id: 5 });
  await sdk(broker).trigger("orders", "App\\Events\\OrderPaid", { id: 6 }, { socket_id: bob.socketId() });
  await until("both events", () => seen.filter(([what]) => /shipped|paid/.test(what)).length === 2);
  bob.leave("chat");
  await until("leaving", () => seen.some(([what]) => what === "leaving"));
  void bobs;
  assert.deepEqual(seen, [["here", [{ id: 1, name: "Ann" }]], ["joining", { id: 2, name: "Bob" }], ["shipped", { id: 5 }], ["paid", { id: 6 }], ["leaving", { id: 2, name: "Bob" }]]);
  ann.disconnect();
  bob.disconnect();
  assert.ok(workerOf("1.4294967296") === 1);
});
