// A worker that was killed leaves a truth in which words are wrong, in every part of it. Whoever comes next goes on with it or refuses it, does not
// die of it over and over, harms nobody else, and gives no client what was another one's.
// RINGCAST_SEED=140695445 has found subscriptions whose groups were one too high: counts were made anew where they tell it (rc_truth_repair). Words that
// make up for each other nothing tells (docs/outlive.md): who is changed for another one hears what is that one's, and this may find it once.
// RINGCAST_STRAY=N: N times as many rounds (make stress T=scribbled_truth), RINGCAST_SEED=N: other words, RINGCAST_TELL=1: says each.
import assert from "node:assert/strict";
import test from "node:test";
import { startBroker } from "../e2e/lib/broker.mjs";
import { randomOf, scribble, sharedMappings, touched } from "../e2e/lib/stray.mjs";
import { SEED, until } from "../e2e/lib/util.mjs";

const TIMES = Number(process.env.RINGCAST_STRAY ?? 1);
const CLIENTS = 8; // on the worker that is killed; each has a channel of its own
const WORDS_MAX = 8; // in one part, each time
const ADOPTERS_MAX = 3; // RC_WATCH_ADOPTIONS_MAX
const CRASHES_MAX = 6; // of one broker: a child that crashes ten times within a minute is given up

/* What is said for client `i` has this in it, often enough that no wrong word takes it out of it. */
const mark = (i, bytes = 300) => `<${i}>`.repeat(Math.ceil(bytes / 3));

class Scribbled {
  constructor(random) {
    this.random = random;
    this.broker = null;
  }

  crashes() {
    return this.broker.log.filter((line) => /child_died .*child="worker 0"/.test(line) && !/signal 9/.test(line)).length;
  }

  async open() {
    this.broker = await startBroker({ workers: 2, config: { "limits.send_buffer": 8192, namespace: [{ name: "past", history: 20 }] } });
    this.broker.checkLog = () => {}; // the successors that die of it may say so
    this.clients = [];
    this.publisher = await this.broker.connectToWorker(1);
    this.pids = this.broker.pids();
  }

  async close() {
    await this.broker?.destroy();
    this.broker = null;
  }

  /* Whoever has gone comes again, and hears channels of its own and one of all. What comes is looked at as bytes: it need be no JSON any more. */
  async populate() {
    for (let i = 0; i < CLIENTS; i++) {
      if (this.clients[i]?.socket.readyState === 1) continue;
      const client = await this.broker.connectToWorker(0);
      for (const channel of [`own${i}`, `past:${i}`, "all"]) await client.subscribe(channel);
      client.heard = "";
      client.received = () => {};
      client.socket._socket.on("data", (bytes) => (client.heard = (client.heard + bytes.toString("latin1")).slice(-200000)));
      this.clients[i] = client;
    }
    await this.broker.closeSpares();
  }

  async say() {
    for (let i = 0; i < CLIENTS; i++) {
      await this.publisher.publish(`own${i}`, mark(i));
      await this.publisher.publish(`past:${i}`, mark(i));
      await this.publisher.request({ type: "direct", to: this.clients[i].id, data: mark(i) }).catch(() => {});
    }
    await this.publisher.publish("all", "to all");
  }

  /* Some have not read for long: their messages lie in logs and outputs when the worker is killed. */
  async lag() {
    for (const client of this.clients.slice(0, CLIENTS / 2)) client.socket._socket.pause();
    for (let n = 0; n < 40; n++) {
      for (let i = 0; i < CLIENTS / 2; i++) await this.publisher.publish(`own${i}`, mark(i, 3000));
    }
  }

  /* Wrong words in the part number `part` of what was touched, then the worker is killed. */
  damage(part) {
    const pid = this.broker.pids().workers[0];
    process.kill(pid, "SIGSTOP");
    const mapping = sharedMappings(pid).find((one) => one.name === "ringcast-truth-0" && one.writable);
    const parts = touched(pid, mapping);
    const range = parts[part % parts.length];
    const words = Array.from({ length: 1 + this.random(WORDS_MAX) }, () => scribble(pid, mapping, range, this.random));
    process.kill(pid, "SIGKILL");
    return { pid, parts: parts.length, what: `part ${part % parts.length} of ${parts.length} (${range.from} + ${range.bytes}): ${words.map((word) => `${word.at}: ${word.old.toString(16)} -> ${word.value.toString(16)}`).join(", ")} (seed ${SEED})` };
  }

  async check({ pid, what }, before) {
    await until(`worker 0 serves after ${what}`, async () => {
      const now = this.broker.pids().workers[0];
      return now && now !== pid && (await this.broker.status()).processes.every((row) => row.state === "ready");
    }, { timeout: 60000, every: 20 });
    for (const client of this.clients) client.socket._socket?.resume();
    await this.say();
    const fresh = await this.broker.connectToWorker(0);
    await fresh.subscribe("fresh");
    await this.publisher.publish("fresh", 1);
    await fresh.next("message");
    await fresh.close();
    assert.ok(!this.broker.exit, `the broker lives on after ${what}`);
    const now = this.broker.pids();
    assert.deepEqual([now.relay, now.workers[1]], [this.pids.relay, this.pids.workers[1]], `nobody else has died after ${what}`);
    assert.ok(this.crashes() - before <= ADOPTERS_MAX, `${this.crashes() - before} successors died of ${what}`);
    for (const [i, client] of this.clients.entries()) {
      for (const [, of] of client.heard.matchAll(/<(\d)>/g)) assert.equal(Number(of), i, `what was for ${of} came to ${i} after ${what}`);
    }
  }

  /* Of a client that was closed, what has come before that counts, too: it is looked at before another one takes its place. */
  async round(part) {
    if (this.broker && this.crashes() >= CRASHES_MAX - ADOPTERS_MAX) await this.close();
    if (!this.broker) await this.open();
    await this.populate();
    await this.say();
    await this.lag();
    const before = this.crashes();
    const damage = this.damage(part);
    await this.check(damage, before);
    if (process.env.RINGCAST_TELL) console.error(damage.what, `${this.crashes() - before} died`, this.clients.filter((client) => client.isClosed).length, "closed", Math.round(performance.now()));
    return damage.parts;
  }
}

test("wrong words in each part of a dead worker's truth", { timeout: 480000 * TIMES }, async () => {
  const scribbled = new Scribbled(randomOf(SEED));
  const began = scribbled.random(1000);
  try {
    for (let round = 0; round < 12 * TIMES; round++) await scribbled.round(began + round);
  } catch (error) {
    console.error(scribbled.broker?.log.slice(-80).join("\n"));
    throw error;
  } finally {
    await scribbled.close();
  }
});
