// Emits of backends that clients are to answer, over several instances: each asks its own sockets and tells their answers to the backend of that name.
import assert from "node:assert/strict";
import { startBackend, table } from "./lib/backend.mjs";
import { ask, come } from "./lib/hook.mjs";
import { redisHealth, startRedis, testRedis } from "./lib/redis.mjs";
import { until } from "./lib/util.mjs";

const KEY = "key-of-the-tests";
const metric = async (broker, name) => (await broker.metrics())(`ringcast_instance_emits_${name}_total`);

/* Two instances that know one backend. */
function testTwo(name, config, body) {
  let backend;
  testRedis(name, {
    brokers: 2, workers: 2, timeout: 60000,
    start: async () => {
      backend = await startBackend();
      return startRedis();
    },
    config: {
      "socketio.path": "/socket.io/", "http.api_keys": [KEY], "socketio.ack_timeout": "20s",
      event: [{ on: "ask", ask: "app" }, { on: "join", nsp: "/*", join: ["{args.0}"], ack: [] }],
      get backend() {
        return [table(backend, { breaker: "" })];
      },
      ...config,
    },
  }, async (cluster) => {
    try {
      await until("they know each other", async () => (await Promise.all(cluster.brokers.map(async (broker) => (await broker.metrics())("ringcast_instances")))).every((count) => count === 1));
      await body({ ...cluster, backend });
    } finally {
      await backend.stop();
    }
  });
}

/* Sockets of both instances, by both transports, in a room. */
async function everywhere(brokers, room, nsp = "/") {
  const sockets = await Promise.all(brokers.flatMap((broker) => [["websocket"], ["polling"]].map((transports) => come(broker, { transports, nsp }))));
  for (const socket of sockets) {
    assert.equal(socket.outcome, "connected");
    await ask(socket, "join", room);
  }
  return sockets;
}

testTwo("an emit with ack asks the sockets of all instances, once each, and each tells its answers", { "socketio.namespaces": ["/", "/admin"] }, async ({ brokers, backend }) => {
  const bytes = Buffer.from([0, 255]);
  const emit = { event: "question", to: ["chat", "more"], except: ["mute"], args: [2, { _placeholder: true, num: 0 }], attachments: [bytes.toString("base64")], ack: "theirs", timeout: 6000 };
  backend.answer = (call) => (call.call === "ack" ? (call.args ? { emit: [{ event: "thanks", args: [call.args[0]] }] } : {}) : { emit: [{ ...emit, others: call.args[0] === "others" }] });
  const sockets = await everywhere(brokers, "chat");
  const [one, , far, polls] = sockets;
  for (const socket of sockets) {
    await ask(socket, "join", "more");
    socket.on("question", (n, binary, done) => socket !== polls && done(`${n} ${binary.toString("hex")}`));
  }
  const muted = await come(brokers[1]);
  for (const room of ["chat", "mute"]) await ask(muted, "join", room);
  const elsewhere = await everywhere(brokers, "chat", "/admin");
  const native = await brokers[1].connect();
  await native.subscribe("chat");
  one.emit("ask", "all");
  const acks = await backend.asked("ack", 4);
  const by = Object.fromEntries(acks.map((call) => [call.sid, call]));
  assert.deepEqual(Object.keys(by).sort(), sockets.map(({ id }) => id).sort(), "those, and nobody else");
  for (const [i, socket] of sockets.entries()) {
    const call = by[socket.id];
    assert.deepEqual([call.token, call.nsp, call.instance], ["theirs", "/", brokers[i < 2 ? 0 : 1].config["server.instance_id"]]);
    assert.deepEqual([call.args, call.timeout], socket === polls ? [undefined, true] : [["2 00ff"], undefined]);
    if (socket !== polls) await until("what the reply wants done is done for it", () => socket.heard.some(([event, text]) => event === "thanks" && text === "2 00ff"));
    assert.equal(socket.heard.filter(([event]) => event === "question").length, 1);
  }
  for (const socket of [muted, ...elsewhere]) assert.ok(!socket.heard.some(([event]) => event === "question"));
  assert.deepEqual([await metric(brokers[0], "sent"), await metric(brokers[1], "served"), await metric(brokers[0], "served"), await metric(brokers[0], "local")], [1, 1, 0, 0]);

  far.emit("ask", "others"); // the other way round, and not its sender
  const others = (await backend.asked("ack", 7)).slice(4);
  assert.deepEqual(others.map((call) => call.sid).sort(), sockets.filter((socket) => socket !== far).map(({ id }) => id).sort());
  for (const socket of [...sockets, muted, ...elsewhere]) socket.close();
});

testTwo("a socket of another instance is asked by its id, through POST /api/do as well, and one that leaves is told of", {}, async ({ brokers, backend }) => {
  const far = await come(brokers[1]);
  const { id } = far;
  const answer = await brokers[0].get("/api/do", {
    method: "POST", headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ backend: "app", emit: [{ event: "question", to: id, args: [1], ack: "one", timeout: 15000 }] }),
  });
  assert.equal(answer.status, 200, answer.body);
  await until("it is asked", () => far.heard.some(([event]) => event === "question"));
  far.close();
  const [call] = await backend.asked("ack");
  assert.deepEqual([call.token, call.sid, call.timeout, call.instance], ["one", id, true, brokers[1].config["server.instance_id"]]);
});

testTwo("without Redis an instance asks its own sockets, and counts it", {}, async ({ brokers, redis, backend }) => {
  backend.answer = (call) => (call.call === "ack" ? {} : { emit: [{ event: "question", to: "chat", args: [], ack: "t", timeout: 10000 }] });
  const sockets = await everywhere(brokers, "chat");
  for (const socket of sockets) socket.on("question", (done) => done("yes"));
  await redis.kill();
  await Promise.all(brokers.map((broker) => redisHealth(broker, 503)));
  sockets[0].emit("ask");
  const acks = await backend.asked("ack", 2);
  assert.deepEqual(acks.map((call) => call.sid).sort(), sockets.slice(0, 2).map(({ id }) => id).sort());
  assert.equal(await metric(brokers[0], "local"), 1);
  await redis.start();
  await Promise.all(brokers.map((broker) => redisHealth(broker, 200, 20000)));
  await until("they know each other again", async () => (await brokers[0].metrics())("ringcast_instances") === 1);
  sockets[0].emit("ask");
  await backend.asked("ack", 6);
  for (const socket of sockets) socket.close();
});
