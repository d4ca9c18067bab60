// Clients of every protocol are moved to other workers while everybody talks: Socket.IO, server-sent events, Pusher, TLS.
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { startBackend, table } from "./lib/backend.mjs";
import { run, testBroker } from "./lib/broker.mjs";
import { APP, connectPusherTo, event as pusherEvent, pusherConfig, sdk, subscribe } from "./lib/pusher.mjs";
import { testRedis } from "./lib/redis.mjs";
import { Member, ROWS } from "./lib/recovery.mjs";
import { workerOfSid } from "./lib/socketio.mjs";
import { CROWD_SOCKETIO, SocketioCrowd } from "./lib/socketio_crowd.mjs";
import { openStream } from "./lib/sse.mjs";
import { CA, certificate } from "./lib/tls.mjs";
import { freePort, until, within } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const api = (broker, path, body) => broker.get(`/api/${path}`, { method: "POST", body: JSON.stringify(body), headers: { Authorization: `Bearer ${KEY}` } });

async function changed(broker, count) {
  const result = await run(["workers", String(count), "-c", broker.configPath], { env: broker.env, timeout: 90000 });
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}\n${broker.log.slice(-30).join("\n")}`);
}

/* All that went came: nobody is lost on the way. `atLeast`: who was on a worker that left, which is chance where clients come to any. */
async function allTaken(broker, atLeast) {
  const metrics = await until("who takes has counted, too", async () => {
    const now = await broker.metrics();
    return now("ringcast_clients_taken_total") === now("ringcast_clients_moved_total") && now;
  });
  const moved = metrics("ringcast_clients_moved_total");
  assert.ok(moved >= atLeast, `${moved} were moved\n${broker.log.filter((line) => /moved|stay/.test(line)).join("\n")}`);
  assert.equal(metrics("ringcast_clients_not_taken_total"), 0);
}

/* Members of which at least `each` came to each of the two workers. */
async function membersOn(broker, each, options = {}) {
  const members = [[], []];
  const server = { host: `127.0.0.1:${broker.port}`, path: "/socket.io/" };
  while (members.some((on) => on.length < each)) {
    const member = new Member(server, options);
    broker.connections.add({ terminate: () => member.close() });
    members[workerOfSid((await member.connected()).id)].push(member);
  }
  return members;
}

const socketio = (more = {}) => ({ "socketio.path": "/socket.io/", "socketio.namespaces": ["/", "/chat"], "http.api_keys": [KEY], event: [...ROWS, ...ROWS.map((row) => ({ ...row, nsp: "/chat" }))], ...more });

testBroker("Socket.IO: a crowd asks, echoes and talks while there are 2, 1, 4, 2 and 1 workers", { workers: 2, timeout: 240000, config: { ...CROWD_SOCKETIO, "server.max_workers": 4 } }, async (broker) => {
  const kinds = [{ transports: ["websocket"] }, { transports: ["websocket"] }, {}];
  const crowd = new SocketioCrowd(broker.port, Array.from({ length: 12 }, (_, i) => kinds[i % 3]));
  await crowd.begin();
  await until("who may upgrade has", () => crowd.members.every((life) => life.socket.io.engine.transport.name === "websocket"));
  const second = crowd.members.filter((life) => workerOfSid(life.socket.id) === 1).length; // none of them stays
  for (const count of [1, 4, 2, 1]) {
    await crowd.more(30);
    await changed(broker, count);
  }
  await crowd.more(60);
  await crowd.end();
  assert.deepEqual(crowd.disconnects, []);
  await allTaken(broker, second);
});

for (const recovery of [false, true]) {
  testBroker(`Socket.IO: sids, rooms, namespaces and pings of who was moved${recovery ? ", and it can come back" : ""}`, {
    workers: 2, timeout: 240000, config: socketio({ "socketio.ping_interval": "1s", ...(recovery ? { "socketio.recovery": "60s" } : {}) }),
  }, async (broker) => {
    const [stays, moves] = await membersOn(broker, 3);
    const chat = (member) => {
      const socket = member.socket.io.socket("/chat");
      socket.heard = [];
      socket.onAny((...all) => socket.heard.push(all));
      return new Promise((done) => (socket.connected ? done(socket) : socket.once("connect", () => done(socket))));
    };
    const [here, there] = [stays[0], moves[0]];
    const [chatHere, chatThere] = [await chat(here), await chat(there)];
    const ids = [here.socket.id, there.socket.id, chatHere.id, chatThere.id];
    for (const member of [...stays, ...moves]) await member.ask("join", "lobby");
    await chatThere.emitWithAck("join", "lobby");
    await changed(broker, 1);
    await allTaken(broker, moves.length);
    // By the ids that it had, in each of its namespaces, from clients and the API; not to who is left out.
    assert.deepEqual([here.socket.id, there.socket.id, chatHere.id, chatThere.id], ids);
    assert.equal(await there.ask("who"), there.socket.id);
    await here.ask("say", there.socket.id, "by sid");
    await there.hears((all) => all.some(([, word]) => word === "by sid"), "a word by its sid");
    await chatHere.emitWithAck("say", chatThere.id, "by sid in /chat");
    await until("a word by its sid in /chat", () => chatThere.heard.some(([, word]) => word === "by sid in /chat"));
    const answer = await api(broker, "do", { client: chatThere.id, nsp: "/chat", emit: [{ event: "said", args: ["by the API"] }] });
    assert.equal(answer.status, 200, answer.body);
    await until("a word of the API", () => chatThere.heard.some(([, word]) => word === "by the API"));
    for (const member of [...stays, ...moves]) member.heard = [];
    await here.ask("say except", "lobby", there.socket.id, "not to there");
    await there.ask("say others", "lobby", "not to me");
    await here.ask("say", "lobby", "to all");
    for (const member of [...stays, ...moves]) {
      await member.hears((all) => all.some(([, word]) => word === "to all"), "what all get");
      assert.deepEqual(member.takeAll("said"), member === there ? ["to all"] : member === here ? ["not to there", "not to me", "to all"] : ["not to there", "not to me", "to all"]);
    }
    // A namespace that it joins when it has moved has a sid that finds it, too; and one that it leaves finds nobody.
    const late = await chat(moves[1]);
    await chatHere.emitWithAck("say", late.id, "late");
    await until("a word by its new sid", () => late.heard.some(([, word]) => word === "late"));
    late.disconnect();
    await changed(broker, 2);
    await changed(broker, 1);
    await here.ask("say", there.socket.id, "again");
    await there.hears((all) => all.some(([, word]) => word === "again"), "a word by its sid, again");
    // Pings go on.
    const pongs = (await broker.metrics())("ringcast_pongs_received_total");
    await until("it is pinged", async () => (await broker.metrics())("ringcast_pongs_received_total") >= pongs + 12, { timeout: 20000, every: 50 });
    for (const member of [...stays, ...moves]) assert.equal(member.socket.connected, true);
    if (recovery) {
      const { id } = there.socket;
      there.takeAll("said");
      await there.breaks();
      await here.ask("say", "lobby", "missed");
      await here.ask("say", id, "missed, by its sid");
      assert.deepEqual(await there.comesBack(), { id, recovered: true });
      await there.hears((all) => all.length === 2, "what it missed");
      assert.deepEqual(there.takeAll("said"), ["missed", "missed, by its sid"]);
    }
    // Whoever goes is gone.
    await here.ask("join", "watchers");
    const gone = moves[1].socket.id;
    moves[1].socket.disconnect();
    await here.hears((all) => all.some(([event, sid]) => event === "left" && sid === gone), "that one left");
  });
}

/* A bare Socket.IO client on that worker. */
async function connectBare(broker, worker) {
  for (;;) {
    const socket = new WebSocket(`ws://127.0.0.1:${broker.port}/socket.io/?EIO=4&transport=websocket`);
    broker.connections.add({ terminate: () => socket.terminate() });
    const got = [];
    socket.on("message", (data, binary) => got.push(binary ? data : data.toString()));
    await until("it is open", () => got.some((text) => text[0] === "0"));
    socket.send("40");
    const connected = await until("it is connected", () => got.find((text) => String(text).startsWith("40{")));
    if (workerOfSid(JSON.parse(connected.slice(2)).sid) === worker) return { socket, got };
  }
}

const asking = {};
testBroker("Socket.IO: who is asked something, or is in the middle of a packet, goes when that is over", {
  workers: 2, timeout: 120000, config: async () => {
    asking.backend = await startBackend();
    return socketio({ backend: [table(asking.backend)] });
  },
}, async (broker) => {
  const [[here], [there]] = await membersOn(broker, 1);
  const bare = await connectBare(broker, 1);
  await here.ask("join", "lobby");
  let answer;
  there.socket.on("question", (_, done) => (answer = done));
  const asked = await api(broker, "do", { client: there.socket.id, emit: [{ event: "question", args: [1], ack: "token" }], backend: "app" });
  assert.equal(asked.status, 200, asked.body);
  await until("it is asked", () => answer);
  bare.socket.send('451-["say","lobby",{"_placeholder":true,"num":0}]');
  const leaving = changed(broker, 1);
  await until("they stay", () => broker.log.some((line) => /connections_stay count=2 reason="(something that it asked for|it is in the middle)/.test(line)), { timeout: 20000 });
  answer("yes");
  assert.deepEqual((await asking.backend.asked("ack", 1)).map(({ token, args }) => [token, args[0]]), [["token", "yes"]]);
  bare.socket.send(Buffer.from("attached"));
  await leaving;
  await here.hears((all) => all.some(([, word]) => Buffer.isBuffer(word) && word.toString() === "attached"), "the whole packet");
  await here.ask("say", there.socket.id, "there");
  await there.hears((all) => all.some(([, word]) => word === "there"), "a word by its sid");
  bare.socket.send('42["me",1]');
  await until("it is answered", () => bare.got.includes('42["you",1]'));
  await asking.backend.stop();
});

testBroker("Socket.IO: sids, rooms, namespaces and pings of who polls and was moved", {
  workers: 2, timeout: 240000, config: socketio({ "socketio.ping_interval": "1s" }),
}, async (broker) => {
  const [stays, moves] = await membersOn(broker, 3, { transports: ["polling"] });
  const [here, there] = [stays[0], moves[0]];
  const ids = [...stays, ...moves].map((member) => member.socket.id);
  for (const member of [...stays, ...moves]) await member.ask("join", "lobby");
  await changed(broker, 1);
  await allTaken(broker, moves.length);
  assert.equal((await broker.status()).processes.filter((row) => row.process.startsWith("worker")).length, 1);
  const talk = async () => {
    assert.equal(await there.ask("who"), there.socket.id);
    await here.ask("say", there.socket.id, "by sid");
    await there.hears((all) => all.some(([, word]) => word === "by sid"), "a word by its sid");
    const answer = await api(broker, "do", { client: there.socket.id, emit: [{ event: "said", args: ["by the API"] }] });
    assert.equal(answer.status, 200, answer.body);
    await there.hears((all) => all.some(([, word]) => word === "by the API"), "a word of the API");
    for (const member of [...stays, ...moves]) member.heard = [];
    await there.ask("say others", "lobby", "not to me");
    await here.ask("say", "lobby", "to all");
    for (const member of [...stays, ...moves]) {
      await member.hears((all) => all.some(([, word]) => word === "to all"), "what all get");
      assert.deepEqual(member.takeAll("said"), member === there ? ["to all"] : ["not to me", "to all"]);
    }
  };
  await talk();
  const pongs = (await broker.metrics())("ringcast_pongs_received_total");
  await until("they are pinged", async () => (await broker.metrics())("ringcast_pongs_received_total") >= pongs + 12, { timeout: 20000, every: 50 });
  await changed(broker, 2);
  await changed(broker, 1);
  await talk();
  assert.deepEqual([...stays, ...moves].map((member) => member.socket.id), ids);
  // Whoever goes is gone, and its sid is nobody's.
  await here.ask("join", "watchers");
  const gone = moves[1].socket.id;
  const { id: secret } = moves[1].socket.io.engine;
  moves[1].socket.disconnect();
  await here.hears((all) => all.some(([event, sid]) => event === "left" && sid === gone), "that one left");
  await until("its sid is unknown", async () => {
    const { status, body } = await broker.get(`/socket.io/?EIO=4&transport=polling&sid=${secret}`);
    return status === 400 && JSON.parse(body).code === 1;
  });
  assert.equal((await broker.metrics())("ringcast_sid_places_refused_total"), 0);
});

testBroker("Socket.IO: who polls and who upgrades asks, echoes and talks while there are 2, 1, 4, 2 and 1 workers", {
  workers: 2, timeout: 240000, config: { ...CROWD_SOCKETIO, "server.max_workers": 4 },
}, async (broker) => {
  const kinds = [{ transports: ["polling"] }, { transports: ["polling"] }, {}];
  const crowd = new SocketioCrowd(broker.port, Array.from({ length: 12 }, (_, i) => kinds[i % 3]));
  await crowd.begin();
  const second = crowd.members.filter((life) => workerOfSid(life.socket.id) === 1).length;
  for (const count of [1, 4, 2, 1]) {
    await crowd.more(10);
    await changed(broker, count);
  }
  await crowd.more(20);
  await crowd.end();
  assert.deepEqual(crowd.disconnects, []);
  await allTaken(broker, second);
});

testBroker("Socket.IO: who polls goes when its worker leaves, and stays with server.rebalance, which is for connections", {
  workers: 2, timeout: 240000, config: { ...CROWD_SOCKETIO, "server.rebalance": 25 },
}, async (broker) => {
  const crowd = new SocketioCrowd(broker.port, Array.from({ length: 48 }, () => ({ transports: ["polling"] })));
  await crowd.begin();
  const moved = async () => (await broker.metrics())("ringcast_clients_moved_total");
  for (let round = 0; round < 2; round++) {
    await changed(broker, 1);
    const before = await moved();
    await changed(broker, 2);
    await crowd.more(10);
    assert.equal(await moved(), before);
  }
  await crowd.end();
  assert.deepEqual(crowd.disconnects, []);
  await until("all that went came", async () => {
    const metrics = await broker.metrics();
    return metrics("ringcast_clients_moved_total") === metrics("ringcast_clients_taken_total");
  });
  assert.equal((await broker.metrics())("ringcast_clients_not_taken_total"), 0);
});

testBroker("server-sent events: what is published comes once and in order, by names and ids, while workers come and go", {
  workers: 2, timeout: 240000, config: { "server.max_workers": 4, namespace: [{ name: "log", history: 1000, history_who: "anyone" }] },
}, async (broker) => {
  const [publisher] = await broker.connectMany([1, 0]);
  const streams = await Promise.all(Array.from({ length: 12 }, () => openStream(broker, "/sse?channel=log:1&channel=room:1")));
  const second = (await broker.metrics())("ringcast_sse_connections", 1);
  let sent = 0;
  let ending = false;
  const publishing = (async () => {
    while (!ending) await publisher.publish("log:1", sent++);
  })();
  for (const count of [1, 4, 2, 1]) await changed(broker, count);
  ending = true;
  await publishing;
  for (const stream of streams) {
    for (let i = 0; i < sent; i++) {
      const { data, id } = await stream.next();
      assert.equal(JSON.parse(data).data, i);
      assert.match(id, new RegExp(`^[0-9a-f]{1,16}:${i + 1}$`));
    }
    assert.equal(stream.isClosed, false);
  }
  await allTaken(broker, second);
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_sse_connections"), 12);
  for (const stream of streams) stream.terminate();
  await until("they are gone", async () => (await broker.metrics())("ringcast_sse_connections") === 0);
});

testRedis("who has recovered, and waits for what another instance has given it already, is moved and goes on behind that", { brokers: 1, workers: 2, timeout: 120000, config: { namespace: [{ name: "log", history: 100 }] } }, async ({ brokers: [broker] }) => {
  const [publisher, waits] = await broker.connectMany([1, 1]);
  let place;
  for (let n = 1; n <= 3; n++) place = await publisher.publish("log:a", n);
  const answer = await waits.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch: place.epoch, offset: 5 } });
  assert.deepEqual([answer.recovered, answer.offset], [true, 5]);
  await changed(broker, 1);
  for (let n = 4; n <= 7; n++) await publisher.publish("log:a", n);
  for (const n of [6, 7]) {
    const { offset, data } = await waits.next("message");
    assert.deepEqual([offset, data], [n, n]);
  }
  await allTaken(broker, 1);
});

testBroker("Pusher: members, client events, users and socket ids of who was moved", { workers: 2, timeout: 240000, config: pusherConfig() }, async (broker) => {
  const stays = await connectPusherTo(broker, 0, { user: "stays" });
  const moves = await connectPusherTo(broker, 1, { user: "moves", info: { name: "M" } });
  const channels = [await subscribe(stays, "presence-room"), await subscribe(moves, "presence-room")];
  await pusherEvent(channels[0], "pusher:member_added");
  const talk = [await subscribe(stays, "private-talk"), await subscribe(moves, "private-talk")];
  const id = moves.connection.socket_id;
  await changed(broker, 1);
  await allTaken(broker, 1);
  assert.deepEqual([moves.connection.state, moves.connection.socket_id], ["connected", id]);
  assert.deepEqual(channels.map((channel) => Object.keys(channel.members.members).sort()), [["moves", "stays"], ["moves", "stays"]]);
  assert.deepEqual(channels[0].got.filter(([name]) => /member_/.test(name)).map(([name]) => name), ["pusher:member_added"], "nobody hears that it moved");
  talk[1].trigger("client-word", { n: 1 });
  assert.deepEqual(await pusherEvent(talk[0], "client-word"), { n: 1 });
  talk[0].trigger("client-word", { n: 2 });
  assert.deepEqual(await pusherEvent(talk[1], "client-word"), { n: 2 });
  channels[1].trigger("client-here", {});
  await pusherEvent(channels[0], "client-here");
  await sdk(broker).trigger("private-talk", "all-but", { n: 3 }, { socket_id: id });
  await sdk(broker).trigger("private-talk", "all", { n: 4 });
  await pusherEvent(talk[1], "all");
  assert.ok(!talk[1].got.some(([name]) => name === "all-but"));
  // Somebody who comes is told who is there; channels that it subscribes to now, and its end, are known as ever.
  const late = await connectPusherTo(broker, 0, { user: "late" });
  assert.deepEqual(Object.keys((await subscribe(late, "presence-room")).members.members).sort(), ["late", "moves", "stays"]);
  assert.deepEqual(Object.keys((await subscribe(moves, "presence-other")).members.members), ["moves"]);
  moves.disconnect();
  await until("it is gone", () => channels[0].got.some(([name, data]) => name === "pusher:member_removed" && data.id === "moves"));
});

const tlsPort = await freePort();
testBroker("TLS 1.3: every suite, while everybody publishes", {
  workers: 2, timeout: 240000, config: { "tls.listen": [`127.0.0.1:${tlsPort}`], "tls.certificates": [certificate("server").path], "server.max_workers": 4 },
}, async (broker) => {
  const suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
  const clients = await Promise.all(Array.from({ length: 12 }, (_, i) => broker.connect({ url: `wss://localhost:${tlsPort}/ws`, ca: CA, lookup: undefined, family: 4, ciphers: suites[i % 3] })));
  clients.push(await broker.connect());
  const second = clients.filter((client) => client.worker === 1).length;
  for (const client of clients) await client.subscribe("news");
  const sent = [0, 0];
  let ending = false;
  const publishing = [clients[0], clients[1]].map(async (client, who) => {
    while (!ending) await client.publish("news", { who, i: sent[who]++, pad: "x".repeat(300) });
  });
  for (const count of [1, 4, 2, 1]) await changed(broker, count);
  ending = true;
  await Promise.all(publishing);
  for (const client of clients) {
    const next = [0, 0];
    for (let i = 0; i < sent[0] + sent[1]; i++) {
      const { data } = await client.next("message");
      assert.equal(data.i, next[data.who]++);
    }
  }
  await allTaken(broker, second);
  const metrics = await broker.metrics();
  assert.deepEqual([metrics("ringcast_tls_connections"), metrics("ringcast_tls_errors_total")], [12, 0]);
  for (const client of clients) await client.close();
  await until("they are gone", async () => (await broker.metrics())("ringcast_tls_connections") === 0);
});

/* One of two workers leaves, and the victim is killed in the middle of that. */
async function killedWhileMoving(broker, victim) {
  const leaving = changed(broker, 1);
  await until("some are moved", () => broker.log.some((line) => /clients_(taken|moved)/.test(line)), { every: 1 });
  if (broker.pids().workers[victim]) broker.kill("SIGKILL", victim);
  await leaving;
}

const killPort = await freePort();
for (const [victim, what] of [[1, "gives"], [0, "takes"]]) {
  for (const transport of ["websocket", "polling"]) {
    testBroker(`Socket.IO by ${transport}: a worker that is killed while it ${what} loses one client at most, and who it was working for`, {
      workers: 2, timeout: 120000, config: { ...CROWD_SOCKETIO, ...(transport === "websocket" ? { "socketio.recovery": "60s" } : {}) },
    }, async (broker) => {
      const crowd = new SocketioCrowd(broker.port, Array.from({ length: 24 }, () => ({ transports: [transport] })));
      await crowd.begin();
      await crowd.more(transport === "websocket" ? 50 : 10);
      await killedWhileMoving(broker, victim);
      await crowd.more(transport === "websocket" ? 50 : 10);
      await crowd.end();
      // Of requests that were just coming to the killed worker the connections are lost, and socket.io-client gives up then; their sessions are not.
      const ended = crowd.disconnects.filter((reason) => !reason.endsWith("(HTTP 0)"));
      assert.ok(ended.length <= 2, `${crowd.disconnects.length} of 24 clients were disconnected: ${crowd.disconnects}\n${broker.log.slice(-40).join("\n")}`);
      assert.equal((await broker.metrics())("ringcast_clients_not_taken_total"), 0);
    });
  }

  testBroker(`TLS 1.3: a worker that is killed while it ${what} loses one client at most, and who it was working for; no record is wrong`, {
    workers: 2, timeout: 120000, config: { "tls.listen": [`127.0.0.1:${killPort}`], "tls.certificates": [certificate("server").path] },
  }, async (broker) => {
    const clients = await Promise.all(Array.from({ length: 40 }, () => broker.connect({ url: `wss://localhost:${killPort}/ws`, ca: CA, lookup: undefined, family: 4 })));
    for (const client of clients) await client.subscribe("news");
    const publisher = await broker.connect();
    let sent = 0;
    let ending = false;
    const publishing = (async () => {
      while (!ending && !publisher.isClosed) await publisher.publish("news", sent++).catch(() => {});
    })();
    await killedWhileMoving(broker, victim);
    ending = true;
    await publishing;
    await (await broker.connect()).publish("news", "the end");
    for (const client of clients) {
      for (let last = -1; ;) {
        const { data } = await client.next("message").catch((error) => (client.isClosed ? {} : assert.fail(error)));
        if (data === undefined || data === "the end") break;
        assert.ok(data > last, `${data} behind ${last}`);
        last = data;
      }
    }
    const ended = clients.filter((client) => client.isClosed).length;
    assert.ok(ended <= 2, `${ended} were disconnected`);
    assert.equal((await broker.metrics())("ringcast_tls_errors_total"), 0);
  });
}
