// Several brokers of one cluster in front of one application of several processes: rooms, fetchSockets, serverSideEmit and broadcasts reach
// everybody, whichever instance holds the client and whichever process has it (docs/link.md).
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import { Application, linkConfig } from "./lib/link.mjs";
import { startRedis, testRedis, until, within } from "./lib/redis.mjs";

const CLIENTS = 12;

function setup({ io, state }) {
  state.heard = [];
  io.on("connection", (socket) => {
    socket.data.name = socket.handshake.auth.name;
    socket.join(["all", socket.data.name]);
  });
  io.on("news", (what, answer) => {
    state.heard.push(what);
    answer?.(what);
  });
}

const apps = [new Application({ setup }), new Application({ setup })];

const options = {
  brokers: 2,
  workers: 2,
  timeout: 120000,
  start: async () => {
    for (const app of apps) await app.start();
    options.config = linkConfig(apps); // their addresses are known
    return startRedis();
  },
};
testRedis("two instances, two processes: one server", options, async ({ brokers }) => {
  const sockets = [];
  try {
    for (const app of apps) await app.isLinked(4); // two workers of two instances
    for (let i = 0; i < CLIENTS; i++) {
      const socket = connectClient(`http://${brokers[i % 2].host}`, { transports: [i % 4 < 2 ? "websocket" : "polling"], forceNew: true, reconnection: false, auth: { name: `client ${i}` } });
      socket.heard = [];
      socket.onAny((...args) => socket.heard.push(args));
      await within(20000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "a client comes");
      sockets.push(socket);
    }
    const own = await Promise.all(apps.map((app) => app.call(({ io }) => io.sockets.sockets.size)));
    assert.equal(own[0] + own[1], CLIENTS);
    assert.ok(own[0] > 0 && own[1] > 0, `both have clients: ${own}`);
    const names = async (app, room) => (await app.call(async ({ io }, name) => (await (name ? io.in(name) : io).fetchSockets()).map(({ data }) => data.name), room)).sort();
    const expected = sockets.map((_, i) => `client ${i}`).sort();
    let marks = 0;
    /* What each has heard since, of all that both processes have said until now: what one of them says is in order, what two say is not. */
    const heard = async () => {
      const mark = ++marks;
      for (const [from, app] of apps.entries()) await app.call(({ io }, ...its) => void io.emit("mark", ...its), mark, from);
      const has = (socket, from) => socket.heard.some(([name, its, whose]) => name === "mark" && its === mark && whose === from);
      await until("all have heard all of it", () => sockets.every((socket) => apps.every((_, from) => has(socket, from))));
      return sockets.map((socket) => socket.heard.splice(0).filter(([name]) => name !== "mark"));
    };
    for (const [at, app] of apps.entries()) {
      await until("it knows all", async () => (await names(app)).length === CLIENTS);
      assert.deepEqual(await names(app), expected);
      assert.deepEqual(await names(app, "client 5"), ["client 5"]);
      await app.call(({ io }, from) => {
        io.emit("to all", from);
        io.to("client 4").to("client 7").emit("to two", from);
        io.except("all").emit("to nobody", from);
        io.to("all").except("client 0").emit("to all but one", from);
      }, at);
      assert.deepEqual(await heard(), sockets.map((_, i) => [["to all", at], ...(i === 4 || i === 7 ? [["to two", at]] : []), ...(i === 0 ? [] : [["to all but one", at]])]));
      // A room of sockets of both processes, joined from one of them.
      await app.call(({ io }) => io.in(["client 1", "client 2", "client 3"]).socketsJoin("some"));
      await until("they are in it", async () => (await names(app, "some")).length === 3);
      await heard(); // the workers have come past it, too
      await app.call(({ io }) => io.to("some").emit("to some"));
      assert.deepEqual(await heard(), sockets.map((_, i) => (i >= 1 && i <= 3 ? [["to some"]] : [])));
      await app.call(({ io }) => io.in("all").socketsLeave("some"));
      await until("they are not", async () => (await names(app, "some")).length === 0);
    }
    const answers = await apps[0].call(({ io }) => new Promise((done, failed) => io.serverSideEmit("news", "first", (error, values) => (error ? failed(error) : done(values)))));
    assert.deepEqual(answers, ["first"], "each other process once, however many instances carry it");
    assert.deepEqual(await apps[1].call(({ state }) => state.heard), ["first"]);
    assert.deepEqual(await apps[0].call(({ state }) => state.heard), []);
    // An instance that goes takes its own clients alone.
    brokers[1].killAll();
    await brokers[1].exited;
    await until("its clients are gone", () => sockets.every((socket, i) => socket.connected === (i % 2 === 0)));
    for (const app of apps) await until("each knows it", async () => (await names(app)).length === CLIENTS / 2);
    await apps[1].call(({ io }) => io.emit("still"));
    await until("the others hear", () => sockets.every((socket, i) => i % 2 === 1 || socket.heard.some(([event]) => event === "still")));
  } finally {
    for (const socket of sockets) socket.disconnect();
    for (const app of apps) await app.stop();
  }
});
