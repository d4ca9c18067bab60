// What is volatile is for whoever can take it when it comes: a client that polls and has no request waiting misses it, and gets the rest.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { testRedis } from "./lib/redis.mjs";
import { describeCases, openPolling, openSocketIo, targetsOf, until } from "./lib/socketio.mjs";
import { freePort } from "./lib/util.mjs";

const rows = [
  { on: "at", emit: [{ to: "*", event: "at", volatile: true }] },
  { on: "said", emit: [{ to: "*", event: "said" }] },
  { on: "back", emit: [{ event: "back", volatile: true }, { event: "sure" }] },
];

/* A session that polls and has joined "/". */
async function joined(server) {
  const polling = await openPolling(server);
  await polling.send("40");
  assert.match(await polling.packet(), /^40\{"sid":/);
  return polling;
}

/* While its GET waits, what is volatile reaches it: the GET is there some time after it was sent. */
async function heardWaiting(polling, emit) {
  let answer;
  polling.get().then((value) => (answer = value));
  await until("a volatile event comes to the GET that waits", () => {
    if (!answer) emit();
    return answer;
  }, { every: 20 });
  assert.equal(answer.status, 200);
  assert.ok(answer.body.startsWith('42["at",'), answer.body);
}

describeCases("volatile", targetsOf("socketio"), { rows, pingInterval: 60000 }, [
  ["nobody is kept what is outdated", async (server) => {
    const polling = await joined(server);
    const socket = await openSocketIo(server);
    for (let i = 0; i < 3; i++) {
      socket.send(`42["at",${i}]`, `42["said",${i}]`);
      await socket.expect(`42["at",${i}]`, `42["said",${i}]`);
    }
    assert.deepEqual(await polling.packets(3), ['42["said",0]', '42["said",1]', '42["said",2]']);
    await heardWaiting(polling, () => socket.send('42["at",9]'));
    socket.end();
  }],

  ["the sender too", async (server) => {
    const socket = await openSocketIo(server);
    const polling = await joined(server);
    await polling.send('42["back"]\x1e42["said",7]');
    await socket.expect('42["said",7]'); // by then what came before it was said, too: a GET that waited for it would get it
    assert.deepEqual(await polling.packets(2), ['42["sure"]', '42["said",7]']);
    socket.send('42["back"]');
    await socket.expect('42["back"]', '42["sure"]');
    socket.end();
  }],
]);

testRedis("a Node's volatile emits, and a row's at a Node's clients", { brokers: 1, workers: 2, config: { "socketio.adapter": "classic", "socketio.ping_interval": "60s", event: rows } }, async ({ brokers: [broker], redis }) => {
  const clients = [createClient({ url: redis.url }), createClient({ url: redis.url })];
  await Promise.all(clients.map((client) => client.connect()));
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(...clients), pingInterval: 60000 });
  const port = await freePort();
  await new Promise((done) => http.listen(port, "127.0.0.1", done));
  try {
    const here = { port: broker.port, host: broker.host, path: "/socket.io/" };
    const there = { port, host: `127.0.0.1:${port}`, path: "/socket.io/" };
    const polling = await joined(here);
    const socket = await openSocketIo(here);
    const far = await joined(there);
    const farSocket = await openSocketIo(there);
    for (let i = 0; i < 3; i++) {
      io.volatile.emit("at", i);
      io.emit("said", i);
      await socket.expect(`42["at",${i}]`, `42["said",${i}]`);
    }
    assert.deepEqual(await polling.packets(3), ['42["said",0]', '42["said",1]', '42["said",2]']);
    const metrics = await broker.metrics();
    assert.equal(metrics("ringcast_volatile_dropped_total"), 3);
    await heardWaiting(polling, () => io.volatile.emit("at", 9));
    assert.deepEqual(await far.packets(3), ['42["said",0]', '42["said",1]', '42["said",2]']);
    await until("what was to come has come", async () => (await farSocket.next()) === '42["said",2]');
    socket.answerPings = false;
    socket.send('42["at",10]', '42["said",10]');
    await until("the row's emits come to the Node", async () => (await farSocket.next()) === '42["said",10]');
    assert.deepEqual(await far.packets(1), ['42["said",10]']);
    for (const one of [socket, farSocket]) one.end();
  } finally {
    await io.close();
    for (const client of clients) await client.close();
  }
});
