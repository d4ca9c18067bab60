// Clients that lose their connections at random and come back with what they have, while publishers go on and processes are killed: each
// message of each stream is looked at.
import assert from "node:assert/strict";
import { connect } from "./client.mjs";
import { delay, random, until } from "./util.mjs";

const EACH = 3; // channels of a client

/* One client of some channels, over its connections. `seen`: what all clients together got at each place. */
class Returning {
  constructor(pick, names, seen, history) {
    Object.assign(this, { pick, seen, history, lost: 0, recovered: 0, gaps: 0, messages: 0, connections: 0 });
    this.channels = new Map(names.map((name) => [name, { epoch: null, offset: 0 }]));
  }

  async connect() {
    this.client = await connect(`ws://${this.pick().host}/ws`, this.connections++ % 2 ? { protocols: ["ringcast.v1.binary"] } : {});
    const client = this.client;
    client.ondelivery = (message) => this.client === client && this.got(message);
    client.subscribedTo = new Set();
    const operations = [...this.channels].map(([channel, { epoch, offset }]) => ({ type: "subscribe", channel, ...(epoch && { recover: { epoch, offset } }) }));
    await Promise.all(operations.map(async (operation) => {
      // Behind the answer comes what was missed, maybe in the same segment: looked at where it is received, not where it is awaited.
      const id = client.nextId++;
      const answered = new Promise((done, failed) => client.answers.set(id, { reject: failed, resolve: (answer) => done(this.subscribed(client, operation, answer)) }));
      client.send({ ...operation, id });
      await answered;
    }));
  }

  subscribed(client, { channel, recover }, answer) {
    assert.equal(answer.type, "subscribed", JSON.stringify(answer));
    const place = this.channels.get(channel);
    assert.ok(answer.epoch && answer.offset >= 0, JSON.stringify(answer));
    if (recover) {
      assert.equal(typeof answer.recovered, "boolean");
      if (answer.recovered) {
        assert.equal(answer.epoch, recover.epoch);
        this.recovered++;
      } else {
        // Only where the history had been exceeded; what was taken in meanwhile may count.
        assert.ok(answer.epoch !== recover.epoch || answer.offset - recover.offset > this.history / 2, `${channel}: ${JSON.stringify(recover)} was answered ${JSON.stringify(answer)}`);
        this.lost++;
      }
    }
    if (!answer.recovered) Object.assign(place, { epoch: answer.epoch, offset: answer.offset });
    client.subscribedTo.add(channel);
  }

  got(message) {
    if (message.type === "gap") {
      this.gaps++;
      for (const [name, place] of this.channels) if (!message.channel || message.channel === name) place.gap = true;
      return;
    }
    const place = this.channels.get(message.channel);
    assert.ok(place && this.client.subscribedTo.has(message.channel), `${message.channel} was not subscribed`);
    if (message.epoch) Object.assign(place, { epoch: message.epoch, gap: true });
    if (place.gap) assert.ok(message.epoch || message.offset > place.offset, JSON.stringify(message));
    else assert.equal(message.offset, place.offset + 1, `${message.channel}: ${JSON.stringify(message)} behind ${place.offset}`);
    place.gap = false;
    place.offset = message.offset;
    const key = `${message.channel} ${place.epoch} ${message.offset}`;
    const data = message.data;
    if (this.seen.has(key)) assert.equal(this.seen.get(key), data, key);
    this.seen.set(key, data);
    this.messages++;
  }
}

async function publish(broker, names, worker, pause, run) {
  let client = null;
  let n = 0;
  while (run.running) {
    try {
      client ??= await connect(`ws://${broker.host}/ws`);
      const channel = names[n % names.length];
      const { epoch, offset } = await client.publish(channel, `${worker}-${++n}`);
      run.last.set(channel, Math.max(offset, run.last.get(channel) ?? 0));
      run.epochs.add(`${channel} ${epoch}`);
      if (pause > 0) await delay(pause);
    } catch (error) {
      if (error instanceof assert.AssertionError && !/closed with/.test(error.message)) throw error;
      client?.terminate();
      client = null;
      await delay(50);
    }
  }
  client?.terminate();
}

async function comeAndGo(returning, draw, awayMs, run) {
  while (run.running) {
    try {
      await returning.connect();
      await Promise.race([returning.client.closed, delay(draw() * awayMs), run.over]);
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error;
      await delay(50); // a handshake or an answer that a kill has cut off
    }
    const { client } = returning;
    if (client && run.running) {
      if (draw() < 0.5) client.terminate();
      else client.close().catch(() => {});
      returning.client = null;
      await Promise.race([delay(draw() * awayMs), run.over]);
    }
  }
}

/* Of one broker, or of several that are one: clients come back on any. kill(round): what is killed in that round, or nothing. Resolves with sums. */
export async function dropStorm(brokers, { prefix, clients, channels, publishers, pauseMs, seconds, awayMs, history, kill, killEveryMs, seed }) {
  const draw = random(seed);
  const hosts = [brokers].flat();
  const pick = () => hosts[Math.floor(draw() * hosts.length)];
  const names = Array.from({ length: channels }, (_, i) => `${prefix}:${i}`);
  const run = { running: true, last: new Map(), epochs: new Set() };
  run.over = new Promise((done) => (run.end = done));
  const seen = new Map();
  const all = Array.from({ length: clients }, (_, i) => new Returning(pick, Array.from({ length: EACH }, (_, k) => names[(i + k * 7) % channels]), seen, history));
  const pumps = Array.from({ length: publishers }, (_, i) => publish(hosts[i % hosts.length], names, i, pauseMs, run));
  const lives = all.map((returning) => comeAndGo(returning, draw, awayMs, run));
  const failed = Promise.all([...pumps, ...lives]);
  failed.catch(() => (run.running = false));
  const until1 = performance.now() + seconds * 1000;
  for (let round = 0; run.running && performance.now() < until1; round++) {
    await Promise.race([delay(killEveryMs), failed]);
    await kill?.(round);
  }
  run.running = false;
  run.end();
  await failed;
  // In the end all are there, and have what there is.
  for (const returning of all) {
    const { client } = returning;
    await until("it is connected", async () => {
      try {
        if (!returning.client || returning.client.isClosed) await returning.connect();
        return true;
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        return false;
      }
    }, { timeout: 20000 });
    await until("it has all", () => [...returning.channels].every(([name, place]) => place.offset >= (run.last.get(name) ?? 0)), { timeout: 20000 }).catch((error) => {
      error.message += `: ${JSON.stringify([...returning.channels].map(([name, place]) => [name, place, run.last.get(name)]))} ${client?.isClosed}`;
      throw error;
    });
    returning.client.terminate();
  }
  const sum = (name) => all.reduce((total, returning) => total + returning[name], 0);
  return { recovered: sum("recovered"), lost: sum("lost"), gaps: sum("gaps"), messages: sum("messages"), connections: sum("connections"), published: [...run.last.values()].reduce((a, b) => a + b, 0) };
}

/* Kills workers and the relay in turn; each is there again before the next. */
export function killInTurn(broker, workers) {
  return async (round) => {
    const who = [...Array(workers).keys(), "relay"][round % (workers + 1)];
    const pid = broker.kill("SIGKILL", who);
    await until(`another ${who}`, () => {
      const pids = broker.pids();
      const now = who === "relay" ? pids.relay : pids.workers[who];
      return now && now !== pid;
    }, { timeout: 20000 });
  };
}
