// Several processes of one application behind one broker, without an adapter of their own and without sticky sessions: each reaches the
// clients of all, and knows at once who of the others is there.
import assert from "node:assert/strict";
import { io as connectClient } from "socket.io-client";
import { killWorker } from "./lib/crowd.mjs";
import { testLink } from "./lib/link.mjs";
import { until, within } from "./lib/util.mjs";

const CLIENTS = 8;

function setup({ io, state }) {
  state.heard = [];
  io.on("connection", (socket) => {
    socket.data.name = socket.handshake.auth.name;
    socket.join(["all", socket.data.name]);
  });
  io.on("news", (what, answer) => {
    state.heard.push(what);
    answer?.(`${process.pid} heard ${what}`);
  });
}

/* CLIENTS of them over both transports, and a function that brings what each has heard since: all that these processes have said until it is called. */
async function comeAll(broker, apps) {
  const sockets = Array.from({ length: CLIENTS }, (_, i) => {
    const transports = i % 2 === 0 ? ["websocket"] : ["polling"];
    const socket = connectClient(`http://${broker.host}`, { transports, forceNew: true, reconnection: false, auth: { name: `client ${i}` } });
    socket.heard = [];
    socket.onAny((...args) => socket.heard.push(args.map((arg) => (typeof arg === "function" ? arg(i) : arg))));
    socket.on("disconnect", (reason) => socket.heard.push(["disconnect", reason]));
    return socket;
  });
  await within(20000, Promise.all(sockets.map((socket) => new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)))), "all have come");
  let marks = 0;
  const heard = async () => {
    const mark = ++marks; // what a process says is in order; what two say is not
    const there = apps.filter(({ child }) => child.exitCode === null && child.signalCode === null);
    for (const [i, app] of there.entries()) await app.call(({ io }, ...its) => void io.emit("mark", ...its), mark, i);
    const has = (socket, i) => socket.heard.some(([name, its, from]) => name === "mark" && its === mark && from === i);
    await until("all have heard all of it", () => sockets.every((socket) => !socket.connected || there.every((_, i) => has(socket, i))));
    return sockets.map((socket) => socket.heard.splice(0).filter(([name]) => name !== "mark"));
  };
  return { sockets, heard, end: () => sockets.forEach((socket) => socket.disconnect()) };
}

const counts = (apps) => Promise.all(apps.map((app) => app.call(({ io }) => io.sockets.sockets.size)));
const fetched = (app, room) => app.call(async ({ io }, name) => (await (name ? io.in(name) : io).fetchSockets()).map(({ id, data, rooms, handshake }) => ({ id, name: data.name, auth: handshake.auth.name, rooms: [...rooms].filter((other) => other !== id).sort() })).sort((a, b) => (a.name < b.name ? -1 : 1)), room);

for (const [number, version] of [["4.8", "socket.io"], ["4.0", "socket.io-4.0"]]) {
  testLink(`socket.io ${number}: two processes are one server`, { applications: 2, application: { version, setup }, timeout: 90000 }, async ({ broker, apps }) => {
    const { sockets, heard, end } = await comeAll(broker, apps);
    const own = await counts(apps);
    assert.equal(own[0] + own[1], CLIENTS);
    assert.ok(own[0] > 0 && own[1] > 0, `both have clients: ${own}`);
    const all = sockets.map(({ id }, i) => ({ id, name: `client ${i}`, auth: `client ${i}`, rooms: ["all", `client ${i}`] }));
    for (const app of apps) await until("each knows all clients", async () => (await fetched(app)).length === CLIENTS);
    for (const app of apps) {
      assert.deepEqual(await fetched(app), all);
      assert.deepEqual(await fetched(app, "client 3"), [all[3]]);
      assert.deepEqual((await app.call(async ({ io }) => [...(await io.allSockets())])).sort(), sockets.map(({ id }) => id).sort());
    }

    await heard();
    for (const [from, app] of apps.entries()) {
      await app.call(({ io }, who) => {
        io.emit("to all", who, Buffer.from("b"));
        io.to("client 2").to("client 3").to("all").emit("once", who);
        io.to("client 2").to("client 3").emit("two", who);
        io.of("/").except("client 0").emit("but one", who);
        io.of("/").local.emit("own", who);
      }, from);
      const lists = await heard();
      for (const [i, list] of lists.entries()) {
        const names = list.map(([name, who]) => (assert.equal(who, from), name)).filter((name) => name !== "own");
        assert.deepEqual(names, ["to all", "once", ...(i === 2 || i === 3 ? ["two"] : []), ...(i === 0 ? [] : ["but one"])], `client ${i}`);
      }
      assert.equal(lists.filter((list) => list.some(([name]) => name === "own")).length, own[from]);
    }

    await apps[0].call(({ io }) => io.in("all").socketsJoin(["late", 7]));
    await until("all are in it", async () => (await fetched(apps[1], "late")).length === CLIENTS);
    await apps[1].call(({ io }) => io.in("client 1").socketsLeave("late"));
    await until("one has left", async () => (await fetched(apps[0], "late")).length === CLIENTS - 1);
    await heard(); // that is what the processes know: behind what both say now, so do the workers
    await apps[1].call(({ io }) => io.to("late").emit("late"));
    assert.deepEqual(await heard(), sockets.map((_, i) => (i === 1 ? [] : [["late"]])));

    if (number === "4.8") {
      await apps[0].call(({ io }) => io.serverSideEmit("news", "first"));
      await until("the other heard it", async () => (await apps[1].call(({ state }) => state.heard)).length === 1);
      assert.deepEqual(await apps[0].call(({ state }) => state.heard), [], "not who said it");
      const answers = await apps[1].call(({ io }) => new Promise((done, failed) => io.serverSideEmit("news", "second", (error, list) => (error ? failed(error) : done(list)))));
      assert.deepEqual(answers, [`${apps[0].child.pid} heard second`]);
      for (const app of apps) assert.deepEqual((await app.call(({ io }) => io.timeout(20000).emitWithAck("who are you"))).sort(), sockets.map((_, i) => i));
      await heard();
      await apps[0].call(async ({ io }) => { for (const socket of await io.in("client 5").fetchSockets()) socket.emit("to one", socket.id); });
      await apps[1].call(async ({ io }) => { for (const socket of await io.in("client 5").fetchSockets()) socket.emit("to one", socket.id); });
      assert.deepEqual((await heard())[5], [["to one", sockets[5].id], ["to one", sockets[5].id]]);
    }
    await apps[0].call(({ io }) => (io.in("client 6").disconnectSockets(), io.in("client 7").disconnectSockets(true)));
    await until("they know", () => sockets[6].disconnected && sockets[7].disconnected);
    assert.deepEqual((await heard()).slice(6), [[["disconnect", "io server disconnect"]], [["disconnect", sockets[7].io.engine.transport ? "io server disconnect" : ""]]]);
    end();
  });
}

testLink("a process that is killed: its clients are told, the others stay, nobody waits for it, and it comes back", { applications: 2, application: { setup }, timeout: 90000 }, async ({ broker, apps }) => {
  const { sockets, heard, end } = await comeAll(broker, apps);
  const ids = await Promise.all(apps.map((app) => app.call(({ io }) => [...io.sockets.sockets.keys()])));
  await until("they know each other", async () => (await fetched(apps[0])).length === CLIENTS);
  // Between two polls a session that is closed is unknown to the next one, which is another reason.
  await until("those who poll wait", async () => (await broker.metrics())("ringcast_http_waiting") === CLIENTS / 2);
  await apps[1].kill();
  await until("its clients know", () => sockets.filter(({ disconnected }) => disconnected).length === ids[1].length);
  const reasons = (await heard()).flat().filter(([what]) => what === "disconnect");
  assert.deepEqual(reasons, ids[1].map(() => ["disconnect", "transport close"]));
  assert.deepEqual((await until("it is known to be gone", async () => {
    const list = await fetched(apps[0]);
    return list.length === ids[0].length && list;
  })).map(({ id }) => id).sort(), [...ids[0]].sort());
  assert.deepEqual(await apps[0].call(({ io }) => io.serverSideEmitWithAck("news", "anybody?")), []);
  await apps[1].start();
  await apps[1].isLinked(2);
  await until("they hear each other again", async () => (await apps[0].call(({ io }) => io.serverSideEmitWithAck("news", "back?"))).length === 1);
  for (const socket of sockets) if (socket.disconnected) socket.connect();
  await until("all are there again", async () => (await fetched(apps[1])).length === CLIENTS);
  await until("they know that", () => sockets.every(({ connected }) => connected));
  await apps[1].call(({ io }) => io.emit("to all"));
  assert.deepEqual(await heard(), sockets.map(() => [["to all"]]));
  end();
});

testLink("a process of an older socket.io goes on when another one's serverSideEmit() comes", { applications: 2, application: (i) => ({ version: i === 0 ? "socket.io" : "socket.io-4.0", setup }), timeout: 60000 }, async ({ broker, apps }) => {
  const { sockets, heard, end } = await comeAll(broker, apps);
  await until("each knows the other", async () => (await fetched(apps[0])).length === CLIENTS);
  await apps[0].call(({ io }) => io.serverSideEmit("news", "old"));
  await apps[0].call(({ io }) => io.emit("still", "here")); // behind it, to the clients of both
  await until("it is said", () => apps[1].output.includes("needs socket.io 4.1"));
  const said = await heard();
  assert.deepEqual(said, sockets.map(() => [["still", "here"]]));
  end();
});

/* What one process says to two others, of which the second one stands still meanwhile: MESSAGES, of which ringcast keeps a small part. The first one is
 * more than what the kernel holds of a connection, 4 MiB of its sender's and 6 of its reader's: a worker that is killed has not said all of it. */
const MESSAGES = 40;
const burst = (app, from, count) => app.call(({ io }, first, many) => {
  for (let i = first; i < first + many; i++) io.serverSideEmit("burst", i, "x".repeat(i === 0 ? 12 << 20 : 1 << 20));
}, from, count);
const heardOf = (app) => app.call(({ state }) => state.burst);
const listens = ({ io, state }) => {
  state.burst = [];
  io.on("burst", (i) => state.burst.push(i));
  io.on("news", (what, answer) => answer(what));
  io.on("large", (length, answer) => answer("x".repeat(length)));
  io.on("connection", () => {});
};
const numbers = (count) => Array.from({ length: count }, (_, i) => i);

for (const killed of [[], [0, 1], [0], [1]]) {
  const resume = killed.length > 0;
  const options = { applications: 3, application: { setup: listens, link: { resume } }, table: { max_unsent: "64KiB" }, timeout: 120000 };
  testLink(`more than another process takes waits for it, and for nobody else${resume ? `; also when worker ${killed} is killed` : ""}`, options, async ({ broker, apps: [says, stands, reads] }) => {
    const knows = (app) => until("it knows the others", async () => (await app.call(({ io }) => io.of("/").adapter.nodesMap.size)) === 2);
    for (const app of [says, stands, reads]) await knows(app);
    stands.child.kill("SIGSTOP");
    await burst(says, 0, MESSAGES);
    await until("who reads has all of it", async () => (await heardOf(reads)).length === MESSAGES, { timeout: 30000 });
    for (const worker of killed) await killWorker(broker, worker); // one of them is who speaks
    assert.ok((await broker.metrics())("ringcast_reply_bytes") < 30e6, "what waits in ringcast is bounded");
    stands.child.kill("SIGCONT");
    await until("who stood still has it, too", async () => (await heardOf(stands)).length >= MESSAGES, { timeout: 30000 });
    await burst(says, MESSAGES, 1);
    for (const app of [reads, stands]) {
      await until("and what came behind", async () => (await heardOf(app)).at(-1) === MESSAGES, { timeout: 30000 });
      assert.deepEqual(await heardOf(app), numbers(MESSAGES + 1), "once, and in order");
    }
    assert.equal((await broker.metrics())("ringcast_link_cluster_dropped_total"), 0);
  });
}

testLink("a namespace that ends in one process keeps nothing from its others", { applications: 2, application: { setup: listens, link: { resume: true } }, table: { grace: "120s" }, timeout: 90000 }, async ({ apps }) => {
  const [says, other] = apps;
  for (const app of apps) await app.call(({ io }) => void io.of("/dyn"));
  const knows = (nsp, count) => until(`${count} there`, async () => (await says.call(({ io }, name) => io.of(name).adapter.nodesMap.size, nsp)) === count);
  for (const nsp of ["/", "/dyn"]) await knows(nsp, 1);
  await other.call(({ io }) => io.of("/dyn").adapter.close());
  await knows("/dyn", 0);
  await says.call(({ io }) => (io.of("/dyn").serverSideEmit("burst", 0), io.serverSideEmit("burst", 1)));
  await until("it is heard", async () => (await heardOf(other)).length > 0);
  assert.deepEqual(await heardOf(other), [1]);
  assert.deepEqual(await says.call(({ io }) => io.serverSideEmitWithAck("news", "there?")), ["there?"]);
});

testLink("who asks a process for which too much waits is told so, and does not wait for its time-out", { applications: 2, application: { setup: listens }, table: { max_unsent: "64KiB" }, timeout: 120000 }, async ({ apps: [says, stands] }) => {
  await until("they know each other", async () => (await says.call(({ io }) => io.of("/").adapter.nodesMap.size)) === 1);
  stands.child.kill("SIGSTOP");
  await burst(says, 0, 80);
  const errors = await says.call(async ({ io }) => {
    const told = (promise) => promise.then(() => "an answer", ({ message }) => message);
    const long = "x".repeat(2 ** 20);
    return [await told(io.serverSideEmitWithAck("news", long)), await told(io.in(long).fetchSockets())];
  });
  for (const error of errors) assert.match(error, /does not take what is said to it/);
  const large = await says.call(({ io }) => io.serverSideEmitWithAck("news", "x".repeat(17 << 20)).catch(({ message }) => message));
  assert.match(large, /takes?|more than a link carries/);
  await until("its operator is told, too", () => /does not take what is said to it/.test(says.output)); // a pipe; the answer came another way
  stands.child.kill("SIGCONT");
  const heard = await until("it goes on with what waited", async () => {
    const list = await heardOf(stands);
    return list.length > 0 && (await says.call(({ io }) => io.serverSideEmitWithAck("news", "again").catch(() => []))).includes("again") && list;
  }, { timeout: 30000 });
  assert.deepEqual(heard, numbers(heard.length), "in order");
  const largest = await says.call(({ io }) => io.serverSideEmitWithAck("news", "x".repeat(17 << 20)).catch(({ message }) => message));
  assert.match(largest, /more than a link carries/);
});

/* Its own sockets are so large that the list of them is larger than a frame. */
const grow = (app, bytes) => app.call(({ io }, length) => [...io.sockets.sockets.values()].map((socket) => {
  socket.data.large = "x".repeat(length);
  return socket.id;
}), bytes);

testLink("an answer that is larger than a frame comes in parts; who cannot be answered is told so at once", { applications: 2, application: { setup: listens }, table: { max_frame: "64KiB" }, timeout: 90000 }, async ({ broker, apps }) => {
  const { end } = await comeAll(broker, apps);
  const ids = [await grow(apps[0], 50000), await grow(apps[1], 50000)];
  assert.ok(ids.every(({ length }) => length > 1), `both have clients: ${ids}`);
  for (const app of apps) await until("they know each other", async () => (await app.call(({ io }) => io.of("/").adapter.nodesMap.size)) === 1);
  for (const app of apps) {
    const all = await app.call(async ({ io }) => (await io.fetchSockets()).map(({ id, data }) => [id, data.large.length]));
    assert.deepEqual(all.sort(), ids.flat().sort().map((id) => [id, 50000]));
  }
  const errors = () => apps[0].call(async ({ io }) => {
    const told = (promise) => promise.then(() => "an answer", ({ message }) => message);
    return [await told(io.fetchSockets()), await told(io.serverSideEmitWithAck("large", 70000))];
  });
  await grow(apps[1], 70000);
  for (const error of await errors()) assert.match(error, /of 7\d{4} bytes is more than a link carries/);
  await until("its operator is told", () => /is more than a link carries: it is not answered/.test(apps[1].output));
  await apps[1].call(({ io }) => io.sockets.sockets.forEach((socket) => (socket.data = { self: socket.data }) && (socket.data.self.again = socket.data)));
  assert.match((await errors())[0], /cannot be said: Converting circular structure/);
  const circle = await apps[0].call(({ io }) => io.serverSideEmitWithAck("news", io.sockets.adapter).catch(({ message }) => message));
  assert.match(circle, /cannot be said: Converting circular structure/);
  end();
});
