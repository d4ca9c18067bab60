// What clients notice when a process of the application dies or is deployed anew: with resume nothing, without it what Node's clients do.
import assert from "node:assert/strict";
import { testLink } from "./lib/link.mjs";
import { CLIENTS, Client, asBefore, comeAll, sayAll, setup, stateOf } from "./lib/resumed.mjs";
import { until, within } from "./lib/util.mjs";

for (const [title, options, link, recovered] of [
  ["recovery on", { connectionStateRecovery: {} }, {}, { middlewares: 0 }],
  ["recovery off", {}, { resume: true }, { middlewares: 1 }],
]) {
  testLink(`kill -9 with resume, ${title}: no client notices`, { needs: "resume", application: { setup, options, link }, timeout: 90000 }, async ({ broker, app }) => {
    const clients = await comeAll(broker);
    await asBefore(clients, 1);
    await sayAll(clients, 0, 3);
    for (let round = 2; round < 4; round++) {
      await app.kill();
      // While it is away: what they say waits.
      await sayAll(clients, round * 10, 5, () => app.start());
      await asBefore(clients, round);
      const { connections, middlewares, recovered: again } = await stateOf(app);
      assert.deepEqual([connections, again], [2 * CLIENTS, 2 * CLIENTS], "each socket was connected again, and told that it was");
      assert.equal(middlewares, recovered.middlewares * CLIENTS, "as skipMiddlewares says");
    }
    for (const client of clients) client.end();
    await until("they have gone", async () => (await stateOf(app)).reasons.length === 2 * CLIENTS);
    assert.deepEqual([...new Set((await stateOf(app)).reasons)], ["transport close"]);
  });
}

testLink("what a process was sent and had not handed on when it was killed is counted, and the next one's", { needs: "resume", application: { setup, options: { connectionStateRecovery: {} } }, timeout: 90000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  assert.equal((await broker.metrics())("ringcast_link_unread_total"), 0);
  app.child.kill("SIGSTOP");
  await sayAll(clients, 10, 3, async () => {
    await until("it has been sent some", async () => (await broker.status()).links.unhanded > 0);
    await app.kill();
    await app.start();
  });
  assert.ok((await broker.metrics())("ringcast_link_unread_total") > 0);
  await asBefore(clients, 2);
  for (const client of clients) client.end();
});

testLink("an answer that a client has counts: what the handler made of its socket's data is known to the next process", { needs: "resume", application: { setup, options: { connectionStateRecovery: {} } }, timeout: 90000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  let round = 1;
  for (const client of clients.slice(0, 3)) {
    assert.deepEqual(await client.ask("last visit"), [++round]);
    await within(15000, app.exited, "it has died");
    await app.start();
    for (const other of clients) if (other !== client) assert.deepEqual(await other.ask("visit"), [round]);
    assert.deepEqual(await client.ask("visit", client.second), [round]);
    for (const other of clients) if (other !== client) assert.deepEqual(await other.ask("visit", other.second), [round]);
    await asBefore(clients, ++round);
  }
  for (const client of clients) client.end();
});

testLink("a deploy: SIGTERM, io.close(), another process: no client notices, no handler speaks of an end to others", {
  needs: "resume",
  application: { setup: `(context) => {
    (${setup})(context);
    const { io } = context;
    io.on("connection", (socket) => socket.on("disconnect", () => io.emit("said", "somebody", "has gone")));
    process.on("SIGTERM", () => io.close().then(() => process.exit()));
  }`, options: { connectionStateRecovery: {} } }, timeout: 90000,
}, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  assert.deepEqual(await app.kill("SIGTERM"), { code: 0, signal: null });
  await sayAll(clients, 0, 5, () => app.start());
  await asBefore(clients, 2);
  for (const client of clients) client.end();
});

testLink("two processes, one is killed: its clients go on at the other at once", { needs: "resume", applications: 2, application: { setup, options: { connectionStateRecovery: {} } }, timeout: 90000 }, async ({ broker, apps }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  const own = await Promise.all(apps.map((app) => app.call(({ io }) => io.sockets.sockets.size)));
  assert.ok(own[0] > 0 && own[1] > 0, `both have clients: ${own}`);
  await apps[0].kill();
  await sayAll(clients, 0, 5);
  await asBefore(clients, 2);
  for (const client of clients) assert.equal((await client.ask("rooms"))[2], apps[1].child.pid);
  for (const client of clients) client.end();
});

testLink("kill -9 without resume: every client is told, and comes back as somebody new, as with Node", { application: { setup }, timeout: 90000 }, async ({ broker, app }) => {
  const clients = await comeAll(broker);
  await asBefore(clients, 1);
  await app.kill();
  await until("all know", () => clients.every(({ events }) => events.filter((event) => event.startsWith("disconnect")).length === 2));
  for (const { events } of clients) assert.deepEqual(events.slice(0, 2), ["disconnect: transport close", "disconnect: transport close"]);
  await app.start();
  await until("all are back", () => clients.every(({ socket, second }) => socket.connected && second.connected));
  for (const client of clients) {
    assert.ok(!client.ids.includes(client.socket.id), "as somebody new");
    assert.deepEqual(await client.ask("visit"), [1]);
  }
  const { connections, recovered } = await stateOf(app);
  assert.deepEqual([connections, recovered], [2 * CLIENTS, 0]);
  for (const client of clients) client.end();
});

testLink("a client whose connection breaks comes back to its session: what it missed, once, before anything else", { needs: "recovery", application: { setup, options: { connectionStateRecovery: {} } }, timeout: 60000 }, async ({ broker, app }) => {
  const clients = await Promise.all(Array.from({ length: 6 }, (_, i) => new Client(broker, i).come()));
  await sayAll(clients, 0, 1); // who has got nothing yet has no offset, and is somebody new
  for (const client of clients.slice(0, 3)) {
    const before = (await stateOf(app)).reasons.length;
    client.socket.io.reconnection(false);
    client.socket.io.engine.close();
    await until("it is lost", async () => (await stateOf(app)).reasons.length >= before + 2);
  }
  clients[3].socket.emit("say", 1);
  clients[3].socket.emit("say", 2);
  await until("the others heard it", () => clients.slice(3).every(({ said }) => said.length === clients.length + 2));
  for (const client of clients.slice(0, 3)) {
    client.socket.io.reconnection(true);
    client.socket.connect();
    await within(20000, new Promise((done) => (client.socket.connected ? done() : client.socket.once("connect", done))), "it is back");
    assert.equal(client.socket.recovered, true, client.name);
    assert.equal(client.socket.id, client.ids[0]);
    await until("what it missed has come", () => client.said.length >= clients.length + 2);
    assert.deepEqual(client.said.slice(-2), ["client 3 1", "client 3 2"]);
    assert.equal(client.said.length, clients.length + 2);
    assert.deepEqual((await client.ask("rooms")).slice(0, 2), [[42, "all", client.name, "itself"], client.name]);
  }
  for (const client of clients) client.end();
});

/* An adapter of the application's own: of nobody it is said what he is in. */
const ownAdapter = ({ require }) => ({ adapter: class OwnAdapter extends require("socket.io-adapter").Adapter {} });
const choosesLate = `(context) => {
  (${setup})(context);
  context.links.once("attach", () => context.io.adapter((${ownAdapter})(context).adapter));
}`;
for (const [when, application] of [["by an option", { setup, more: ownAdapter }], ["when links are there already", { setup: choosesLate }]]) {
  testLink(`an adapter of the application's own, chosen ${when}, and recovery: when a process goes its clients come back as somebody new`, { application: { ...application, options: { connectionStateRecovery: {}, connectTimeout: 3600000 } }, timeout: 90000 }, async ({ broker, app }) => {
    const clients = await comeAll(broker);
    await app.kill();
    await app.start();
    await until("all know", () => clients.every(({ events }) => events.length >= 2), { timeout: 30000 });
    await until("all are back", () => clients.every(({ socket, second }) => socket.connected && second.connected), { timeout: 30000 });
    for (const client of clients) {
      assert.ok(!client.ids.includes(client.socket.id), "as somebody new");
      assert.deepEqual(await client.ask("visit"), [1]);
    }
    for (const client of clients) client.end();
  });
}
