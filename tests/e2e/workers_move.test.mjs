// Clients that are moved to other workers when there are fewer of them: nobody is disconnected, nothing lost, twice or out of order.
import assert from "node:assert/strict";
import { run, testBroker } from "./lib/broker.mjs";
import { frame } from "./lib/raw.mjs";
import { connectMoved } from "./lib/moved.mjs";
import { until } from "./lib/util.mjs";

const workers = (broker, ...words) => run(["workers", ...words.map(String), "-c", broker.configPath], { env: broker.env, timeout: 90000 });

async function changed(broker, ...words) {
  const result = await workers(broker, ...words);
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}\n${broker.log.slice(-30).join("\n")}`);
  return result.stdout;
}

testBroker("2, 6, 3, 1 and 4 workers while everybody publishes", { workers: 2, timeout: 240000, config: { "server.max_workers": 6, "namespace": [{ name: "room", presence: true }] } }, async (broker) => {
  const clients = await broker.connectMany([6, 6]);
  for (const [i, client] of clients.entries()) {
    await client.subscribe("news");
    await client.subscribe(`own:${i}`);
  }
  const streams = [];
  for (let i = 0; i < 6; i++) streams.push(await connectMoved(broker, "news"));
  const publishers = clients.slice(4, 8);
  const sent = publishers.map(() => 0);
  let ending = false;
  const publishing = publishers.map(async (client, who) => {
    while (!ending) await client.publish("news", { who, i: sent[who]++ });
  });
  try {
    await changed(broker, 6);
    const late = await broker.connectMany([0, 0, 2, 2, 2, 2]);
    for (const client of late) await client.subscribe("late");
    await changed(broker, 3);
    await changed(broker, 1);
    assert.equal((await broker.status()).processes.filter((row) => row.process.startsWith("worker")).length, 1);
    for (const client of late) await client.publish("late", client.id);
    for (const client of late) for (const { id } of late) assert.equal((await client.next("message")).data, id);
    await changed(broker, 4);
    await changed(broker, 2);
  } finally {
    ending = true;
  }
  await Promise.all(publishing);
  const count = sent.reduce((sum, one) => sum + one, 0);
  for (const client of clients) {
    const next = sent.map(() => 0);
    for (let i = 0; i < count; i++) {
      const { data } = await client.next((message) => message.type === "message" && message.channel === "news");
      assert.equal(data.i, next[data.who]++, "in order, each once");
    }
    assert.equal(client.isClosed, false);
  }
  // Bare connections have got the same bytes, from their first message on, as any of the others to the end.
  const last = JSON.stringify({ type: "message", channel: "news", data: "the end" });
  await clients[0].publish("news", "the end");
  const whole = await Promise.all(streams.map((stream) => stream.until(last)));
  const longest = whole.reduce((a, b) => (a.length >= b.length ? a : b));
  for (const bytes of whole) assert.ok(longest.subarray(longest.length - bytes.length).equals(bytes), "the streams end alike");
  for (const client of clients) await client.next((message) => message.data === "the end");
  // By their old ids, in their old channels, and out of them.
  for (const [i, client] of clients.entries()) {
    const other = clients[(i + 5) % clients.length];
    await client.direct(other.id, `from ${i}`);
    assert.equal((await other.next("direct")).data, `from ${i}`);
    await other.publish(`own:${i}`, i);
    assert.equal((await client.next("message")).data, i);
    await client.unsubscribe(`own:${i}`);
    await other.publish(`own:${i}`, "to nobody");
    await client.publish("news", "not to me", { echo: false });
    for (const one of clients) if (one !== client) assert.equal((await one.next("message")).data, "not to me");
    assert.deepEqual(client.inbox, []);
  }
  const metrics = await broker.metrics();
  assert.ok(metrics("ringcast_clients_moved_total") >= 16, metrics.text);
  assert.equal(metrics("ringcast_clients_taken_total"), metrics("ringcast_clients_moved_total"));
  assert.equal(metrics("ringcast_clients_not_taken_total"), 0);
  for (const client of clients) await client.close();
});

testBroker("who is in the middle of a message is moved when it is whole, and the answer says who stays", { workers: 2, timeout: 120000 }, async (broker) => {
  const client = await broker.connectToWorker(0);
  await broker.closeSpares();
  const raw = await connectMoved(broker, "half", 1);
  await client.subscribe("half");
  const payload = JSON.stringify({ type: "publish", channel: "half", data: "x".repeat(100) });
  const bytes = frame({ payload });
  raw.write(bytes.subarray(0, 50));
  const leaving = workers(broker, 1);
  await until("it says who stays", () => broker.log.some((line) => /connections_stay.*in the middle of a message/.test(line)));
  raw.write(bytes.subarray(50));
  assert.equal((await client.next("message")).data.length, 100);
  const result = await leaving;
  assert.equal(result.code, 0, result.stdout);
  await client.publish("half", "the end");
  await raw.until(JSON.stringify({ type: "message", channel: "half", data: "the end" }));
});

testBroker("people are present all the while", { workers: 2, timeout: 120000, config: { "namespace": [{ name: "room", presence: true }] } }, async (broker) => {
  const [here, there] = await broker.connectMany([1, 1]);
  await here.subscribe("room:1");
  await there.subscribe("room:1");
  const count = async () => (await here.presence("room:1")).clients;
  await until("both are there", async () => (await count()) === 2); // each worker tells by itself
  await changed(broker, 1);
  assert.equal(await count(), 2);
  await broker.killRelay();
  await until("they are told again", async () => (await count()) === 2);
  await there.direct(here.id, "by its id");
  await here.next("direct");
  await here.direct(there.id, "by the id of one that moved, to a relay that has just come");
  await there.next("direct");
  await there.close();
  await until("it is gone", async () => (await count()) === 1);
});

testBroker("connections are spread again when one worker has many more than the others", { workers: 1, timeout: 120000, config: { "server.max_workers": 2, "server.rebalance": 20 } }, async (broker) => {
  // All are there before the other worker is: of those that end one by one, 15 more than the average may be left, below which nothing is moved.
  const clients = await Promise.all(Array.from({ length: 50 }, () => broker.connect()));
  for (const client of clients) await client.subscribe("news");
  const on = async (worker) => (await broker.metrics())("ringcast_connections", worker);
  await changed(broker, 2);
  await until("it is over", () => broker.log.some((line) => /rebalanced/.test(line)), { timeout: 60000 });
  // It ends at a quarter of 20 % more than the average of 25, counted with the connections that ask for metrics.
  const [here, there] = [await on(0), await on(1)];
  assert.equal(here + there, 50);
  assert.ok(Math.abs(here - there) <= 6, `${here} and ${there}`);
  await clients[0].publish("news", 1);
  for (const client of clients) assert.equal((await client.next("message")).data, 1);
  assert.ok((await broker.metrics())("ringcast_clients_moved_total") >= 10);
});

testBroker("a worker that is killed while it gives: at most the client whose message was just being sent is lost", { workers: 2, timeout: 240000 }, async (broker) => {
  const clients = await broker.connectMany([2, 60]);
  for (const client of clients) await client.subscribe("news");
  const [publisher] = clients;
  let sent = 0;
  let ending = false;
  const publishing = (async () => {
    while (!ending) await publisher.publish("news", sent++);
  })();
  const leaving = workers(broker, 1);
  await until("it gives", async () => broker.log.some((line) => /clients_taken/.test(line)) || (await broker.metrics())("ringcast_clients_taken_total") > 0, { every: 1 });
  if (broker.pids().workers[1]) broker.kill("SIGKILL", 1);
  const result = await leaving;
  assert.equal(result.code, 0, result.stdout);
  ending = true;
  await publishing;
  const closed = clients.filter((client) => client.isClosed);
  assert.ok(closed.length <= 1, `${closed.length} clients were disconnected`);
  for (const client of clients.filter((one) => !one.isClosed)) {
    for (let i = 0; i < sent; i++) assert.equal((await client.next("message")).data, i);
  }
  for (const client of clients.slice(1).filter((one) => !one.isClosed)) {
    await publisher.direct(client.id, "still by your id");
    await client.next("direct");
  }
});

testBroker("a worker that is killed while it takes: its successor goes on with those who came", { workers: 2, timeout: 240000 }, async (broker) => {
  const clients = await broker.connectMany([2, 60]);
  for (const client of clients) await client.subscribe("news");
  const publisher = clients[2];
  let sent = 0; // that were acknowledged
  let ending = false;
  // It comes to the worker that is killed, and may be who that one is just working for.
  const publishing = (async () => {
    while (!ending && !publisher.isClosed) {
      try {
        await publisher.publish("news", sent);
        sent++;
      } catch (error) {
        if (!publisher.isClosed) throw error;
      }
    }
  })();
  await until("it publishes", () => sent > 0);
  const leaving = workers(broker, 1);
  await until("it takes", async () => broker.log.some((line) => /clients_(taken|moved)/.test(line)), { every: 1 });
  broker.kill("SIGKILL", 0);
  const result = await leaving;
  assert.equal(result.code, 0, result.stdout);
  ending = true;
  await publishing;
  const open = clients.filter((client) => !client.isClosed);
  assert.ok(open.length >= clients.length - 1, `${clients.length - open.length} clients were disconnected`);
  for (const client of open) for (let i = 0; i < sent; i++) assert.equal((await client.next("message")).data, i);
});

testBroker("who has moved counts once, where it is", { workers: 2, timeout: 120000, config: { "limits.max_connections_per_user": 1, "debug.user_query": "user" } }, async (broker) => {
  const ada = await until("ada is on worker 1", async () => {
    const client = await broker.connect({ path: "/ws?user=ada" }).catch(() => null); // the one before may still be ending
    if (client === null || client.worker === 1) return client;
    await client.close();
    await broker.connect({}); // there the next one goes elsewhere
    return null;
  });
  await changed(broker, 1);
  await assert.rejects(broker.connect({ path: "/ws?user=ada" }), /429|409|403|503/);
  await ada.close();
  await until("it is not counted any more", () => broker.connect({ path: "/ws?user=ada" }).then(() => true, () => false));
});

testBroker("who waits for the first message of an epoch is moved, and gets what comes once", {
  workers: 2, timeout: 120000, config: { "http.api_keys": ["key-of-the-tests"], namespace: [{ name: "log", history: 100, history_who: "anyone" }] },
}, async (broker) => {
  const clients = await broker.connectMany([3, 3]);
  for (const client of clients) await client.subscribe("log:a");
  for (let n = 1; n <= 3; n++) await clients[0].publish("log:a", n);
  for (const client of clients) for (let n = 1; n <= 3; n++) assert.equal((await client.next("message")).data, n);
  const gone = await broker.get("/api/history?channel=log:a", { method: "DELETE", headers: { Authorization: "Bearer key-of-the-tests" } });
  assert.equal(gone.status, 200);
  const late = await broker.connectToWorker(1);
  const waits = [clients[0], ...clients.filter((client) => client.worker === 1), late];
  for (const client of waits) {
    const { epoch } = await client.expect("subscribed", { type: "subscribe", channel: "log:a", since: "last 5" });
    assert.equal(epoch, JSON.parse(gone.body).epoch, "that of which nothing has come");
  }
  const said = await changed(broker, 1);
  assert.doesNotMatch(said, /behind/);
  for (let n = 4; n <= 5; n++) await clients[0].publish("log:a", n);
  for (const client of new Set([...clients, late])) {
    for (let n = 4; n <= 5; n++) {
      const { data, offset } = await client.next("message");
      assert.deepEqual([data, offset], [n, n]);
    }
  }
});

testBroker("a worker that is stopped at its barrier holds up nobody for long", { workers: 2, timeout: 120000, config: { "log.level": "debug" } }, async (broker) => {
  const clients = await broker.connectMany([2, 20]);
  for (const client of clients) await client.subscribe("news");
  broker.kill("SIGSTOP", "relay");
  const leaving = workers(broker, 1);
  await until("the barrier is asked for", () => broker.log.some((line) => /clients_moving/.test(line)));
  broker.kill("SIGSTOP", 1);
  broker.kill("SIGCONT", "relay");
  await clients[0].publish("news", 1);
  await until("it does not wait any more", () => broker.log.some((line) => /taking_given_up/.test(line)));
  for (const client of clients.slice(0, 2)) assert.equal((await client.next("message")).data, 1);
  broker.kill("SIGCONT", 1);
  const result = await leaving;
  assert.equal(result.code, 0, result.stdout);
  await clients[0].publish("news", 2);
  for (const client of clients.slice(2)) assert.equal((await client.next("message")).data, 1);
  for (const client of clients) assert.equal((await client.next("message")).data, 2);
  await clients[0].direct(clients[5].id, "by its id");
  assert.equal((await clients[5].next("direct")).data, "by its id");
});

testBroker("server.max_connections is that of all workers, however many there are", { workers: 3, timeout: 120000, config: { "server.max_workers": 3, "server.max_connections": 30 } }, async (broker) => {
  const clients = [];
  const fill = async () => {
    for (let refused = 0; refused < 10;) {
      await broker.connect().then((client) => clients.push(client), (error) => assert.match(error.message, /503/, `${refused++}`));
    }
  };
  clients.push(...(await Promise.all(Array.from({ length: 20 }, () => broker.connect()))));
  await changed(broker, 1); // which has more than a third of them now
  assert.ok(clients.every((client) => !client.isClosed));
  await fill();
  assert.ok(clients.length >= 26 && clients.length <= 30, `${clients.length} on one worker`);
  await changed(broker, 3);
  for (const client of clients.splice(0, 12)) await client.close();
  await fill();
  assert.ok(clients.length <= 30, `${clients.length} on three workers`);
  await clients[0].subscribe("news");
});
