// A history in a file: it is there again after a restart of the whole broker, orderly or killed, and one broker has it at a time.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { startBroker } from "./lib/broker.mjs";
import { NO_REDIS, startRedis } from "./lib/redis.mjs";
import { SLOWER, until } from "./lib/util.mjs";

const withFile = (name, body) =>
  test(name, async () => {
    const folder = mkdtempSync(join(tmpdir(), "ringcast-file-"));
    const file = join(folder, "history");
    const brokers = [];
    const start = async (more) => {
      const broker = await startBroker({ workers: 2, ...more, config: { "limits.history_file": file, "limits.history_memory": "1MiB", namespace: [{ name: "log", history: 100, history_who: "anyone", retain: "anyone" }], ...more?.config } });
      brokers.push(broker);
      return broker;
    };
    try {
      await body(start, file);
    } finally {
      for (const broker of brokers) await broker.destroy();
      rmSync(folder, { recursive: true });
    }
  });

const ask = (client, channel) => client.expect("history", { type: "history", channel, since: 0, limit: 1000 });
const numbers = (answer) => answer.messages.map(({ offset, data }) => [offset, data]);

withFile("it goes on where the last broker ended", async (start, file) => {
  let broker = await start();
  let client = await broker.connect();
  for (let n = 1; n <= 5; n++) await client.publish("log:a", n, { retain: true });
  const first = await ask(client, "log:a");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await broker.stop();
  for (const end of ["stop", "kill", "kill"]) {
    broker = await start();
    client = await broker.connect();
    const answer = await ask(client, "log:a");
    const last = answer.offset;
    assert.deepEqual([answer.epoch, answer.first, answer.messages.length], [first.epoch, 1, last]);
    assert.ok(Math.abs(answer.messages[0].time - first.messages[0].time) < 1000, "the same message, of about the same time");
    assert.equal((await client.publish("log:a", last + 1)).offset, last + 1);
    await client.expect("subscribed", { type: "subscribe", channel: "log:a", retained: true });
    assert.equal((await client.next((message) => message.retained)).data, 5);
    if (end === "kill") {
      broker.killAll();
      await broker.exited;
    } else {
      await broker.stop();
    }
  }
  broker = await start();
  client = await broker.connect();
  assert.deepEqual(numbers(await ask(client, "log:a")), Array.from({ length: 8 }, (_, i) => [i + 1, i + 1]));
  await broker.stop();
});

withFile("a relay's death in between, and a file of another size", async (start, file) => {
  let broker = await start();
  let client = await broker.connect();
  await client.publish("log:a", 1);
  broker.kill("SIGKILL", "relay");
  await client.publish("log:a", 2);
  const { epoch } = await ask(client, "log:a");
  await broker.stop();
  truncateSync(file, 700000);
  broker = await start();
  client = await broker.connect();
  const anew = await ask(client, "log:a");
  assert.deepEqual([anew.messages, anew.offset], [[], 0]);
  const { offset, epoch: next } = await client.publish("log:a", 3);
  assert.deepEqual([offset, next === epoch], [1, false]);
  await until("the log says so", () => broker.log.some((line) => line.includes("history_file_anew")));
  await broker.stop();
});

/* Comes back with what it has. */
async function recovers(broker, channel, recover) {
  const client = await broker.connect();
  const answer = await client.expect("subscribed", { type: "subscribe", channel, recover });
  await client.ping();
  client.terminate();
  return { ...answer, got: client.inbox.map(({ offset, data }) => [offset, data]) };
}

withFile("a torn file: what is not whole begins a new epoch, what is whole goes on", async (start, file) => {
  let broker = await start();
  let client = await broker.connect();
  const epochs = new Map();
  for (const channel of ["log:whole", "log:torn"]) {
    for (let n = 1; n <= 9; n++) epochs.set(channel, (await client.publish(channel, `${channel}-${n}`)).epoch);
  }
  await broker.stop();
  const bytes = readFileSync(file);
  bytes[bytes.indexOf("log:torn-7") + 9] ^= 1; // it says 6 now
  writeFileSync(file, bytes);
  broker = await start();
  const missed = Array.from({ length: 5 }, (_, i) => [i + 5, `log:whole-${i + 5}`]);
  const whole = await recovers(broker, "log:whole", { epoch: epochs.get("log:whole"), offset: 4 });
  assert.deepEqual([whole.recovered, whole.got], [true, missed]);
  const torn = await recovers(broker, "log:torn", { epoch: epochs.get("log:torn"), offset: 4 });
  assert.deepEqual([torn.recovered, torn.got, torn.epoch === epochs.get("log:torn")], [false, [], false]);
  assert.equal((await broker.metrics())("ringcast_history_damaged_total"), 1);
  await broker.stop();
  // The second half of it was never written.
  const half = readFileSync(file);
  half.fill(0, half.length / 2);
  writeFileSync(file, half);
  broker = await start();
  client = await broker.connect();
  for (const [channel, epoch] of [["log:whole", whole.epoch], ["log:torn", torn.epoch]]) {
    const { recovered, got } = await recovers(broker, channel, { epoch, offset: channel === "log:whole" ? 4 : 0 });
    assert.deepEqual(got, recovered && channel === "log:whole" ? missed : [], `${channel} recovered: ${recovered}`);
  }
  assert.ok((await client.publish("log:torn", "on")).offset > 0, "and it goes on");
  await broker.stop();
});

withFile("it is one broker's", async (start) => {
  const broker = await start();
  const second = await start({ ready: false });
  const { code } = await second.exited;
  assert.notEqual(code, 0);
  assert.ok(second.log.some((line) => line.includes("another broker has it")), second.log.join("\n"));
  await broker.stop();
  const nothing = await start({ ready: false, config: { "limits.history_memory": "0B", namespace: [] } });
  assert.notEqual((await nothing.exited).code, 0);
});

/* All at once, and as if the machine had gone down with them: the file is of another boot, and was not closed. */
async function machineDown(broker, file) {
  broker.killAll();
  await broker.exited;
  const bytes = readFileSync(file);
  bytes.fill(7, 32, 48);
  writeFileSync(file, bytes);
}

withFile("the machine went down: every channel begins a new epoch, in which what is there stays readable and offsets go on", async (start, file) => {
  let broker = await start();
  let client = await broker.connect();
  for (let n = 1; n <= 5; n++) await client.publish("log:a", n, { retain: true });
  const { epoch } = await ask(client, "log:a");
  await machineDown(broker, file);
  broker = await start();
  const back = await recovers(broker, "log:a", { epoch, offset: 3 });
  assert.deepEqual([back.recovered, back.got, back.offset], [false, [], 5]);
  assert.notEqual(back.epoch, epoch);
  client = await broker.connect();
  assert.deepEqual(numbers(await ask(client, "log:a")), [1, 2, 3, 4, 5].map((n) => [n, n]));
  assert.deepEqual(await client.publish("log:a", 6).then(({ offset, epoch: its }) => [offset, its]), [6, back.epoch]);
  await client.expect("subscribed", { type: "subscribe", channel: "log:a", retained: true });
  assert.equal((await client.next((message) => message.retained)).data, 5);
});

test("the machine of one of several instances went down: their shared epoch holds, and who comes back there recovers", { timeout: 60000 * SLOWER, skip: NO_REDIS }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-file-"));
  const file = join(folder, "history");
  const redis = await startRedis();
  const brokers = [];
  const start = async (name, more) => {
    const broker = await startBroker({ workers: 1, config: { "redis.url": redis.url, "server.instance_id": name, namespace: [{ name: "log", history: 100, history_who: "anyone" }], ...more } });
    brokers.push(broker);
    return broker;
  };
  try {
    const other = await start("other");
    const filed = { "limits.history_file": file, "limits.history_memory": "1MiB" };
    let broker = await start("filed", filed);
    const listener = await other.connect();
    const gaps = [];
    listener.ondelivery = (message) => message.type === "gap" && gaps.push(message);
    const { epoch } = await listener.subscribe("log:a");
    const here = await broker.connect();
    await here.subscribe("log:a");
    for (let n = 1; n <= 5; n++) await listener.publish("log:a", n);
    await until("its copy has them", () => here.inbox.length === 5);
    await machineDown(broker, file);
    for (let n = 6; n <= 7; n++) await listener.publish("log:a", n);
    broker = await start("filed", filed);
    const back = await broker.connect();
    const answer = await back.expect("subscribed", { type: "subscribe", channel: "log:a", recover: { epoch, offset: 3 } });
    assert.deepEqual([answer.recovered, answer.epoch, answer.offset], [true, epoch, 7]);
    await until("what it missed", () => back.inbox.length === 4);
    assert.deepEqual(back.inbox.map(({ offset, data }) => [offset, data]), [4, 5, 6, 7].map((n) => [n, n]));
    assert.equal((await listener.publish("log:a", 8)).epoch, epoch);
    assert.deepEqual(gaps, [], "nobody else is told anything");
  } finally {
    for (const broker of brokers) await broker.destroy();
    await redis.destroy();
    rmSync(folder, { recursive: true });
  }
});
