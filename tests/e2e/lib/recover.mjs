// Clients that lose their connections at random and come back with what they have, while publishers go on and processes are killed: each
// message of each stream is looked at.
import assert from "node:assert/strict";
import { connect } from "./client.mjs";
import { startCluster, startRedis, startSentinels } from "./redis.mjs";
import { delay, random, until } from "./util.mjs";

const EACH = 3; // channels of a client
const CUT_MAX = 200; // connections over networks that are cut
const ENDS_MS = 5000; // until it is told that an epoch has ended
/* So many turns of the event loop in a row are shorter than that when this process has read what there is. */
const CALM_TURNS = 20;
const CALM_TURN_MS = 200;
const CALM_WITHIN_MS = 120000;

/* What all clients together got at each place. Two messages at one place are wrong; but where Redis `loses` what it had said (a failover), an instance
 * that has not seen that gives the place once more, until one that has ends the epoch (docs/history.md), which is to be soon: nothing comes in it then. */
class Seen {
  constructor(loses) {
    Object.assign(this, { loses, places: new Map(), twice: new Map() });
  }

  got(channel, epoch, offset, data) {
    const place = `${channel} ${epoch} ${offset}`;
    const before = this.places.get(place);
    if (before !== undefined && before !== data) {
      assert.ok(this.loses, `${place}: ${before} and ${data}`);
      const of = `${channel} ${epoch}`;
      if (!this.twice.has(of)) this.twice.set(of, { by: performance.now() + ENDS_MS, why: `${place} stood for ${before} and ${data}, and the epoch goes on` });
    }
    this.places.set(place, data);
    const ends = this.twice.get(`${channel} ${epoch}`);
    assert.ok(!ends || performance.now() < ends.by, ends?.why);
  }
}

/* One client of some channels, over its connections. */
class Returning {
  /* fail(error): what came was wrong. */
  constructor(pick, names, seen, history, fail) {
    Object.assign(this, { pick, seen, history, fail, lost: 0, recovered: 0, gaps: 0, messages: 0, connections: 0 });
    this.channels = new Map(names.map((name) => [name, { epoch: null, offset: 0 }]));
  }

  async connect() {
    this.client = await connect(`ws://${this.pick().host}/ws`, this.connections++ % 2 ? { protocols: ["ringcast.v1.binary"] } : {});
    const client = this.client;
    client.ondelivery = (message) => this.check(() => this.client === client && this.got(message));
    client.subscribedTo = new Set();
    const operations = [...this.channels].map(([channel, { epoch, offset }]) => ({ type: "subscribe", channel, ...(epoch && { recover: { epoch, offset } }) }));
    await Promise.all(operations.map(async (operation) => {
      // Behind the answer comes what was missed, maybe in the same segment: looked at where it is received, not where it is awaited.
      const id = client.nextId++;
      // An answer that is wrong ends the wait, too: who waits on would call it a connection that does not come.
      const answered = new Promise((done, failed) => client.answers.set(id, { reject: failed, resolve: (answer) => this.check(() => {
        try {
          done(this.subscribed(client, operation, answer));
        } catch (error) {
          failed(error);
          throw error;
        }
      }) }));
      client.send({ ...operation, id });
      await answered;
    }));
  }

  check(body) {
    try {
      body();
    } catch (error) {
      this.fail(error);
    }
  }

  subscribed(client, { channel, recover }, answer) {
    assert.equal(answer.type, "subscribed", JSON.stringify(answer));
    const place = this.channels.get(channel);
    place.ends = null;
    assert.ok(answer.epoch && answer.offset >= 0, JSON.stringify(answer));
    if (recover) {
      assert.equal(typeof answer.recovered, "boolean");
      if (answer.recovered) {
        assert.equal(answer.epoch, recover.epoch);
        this.recovered++;
      } else {
        // Only where the history had been exceeded (what was taken in meanwhile may count), or in an epoch that has ended, though its end has not come
        // down to the worker yet: then it comes soon.
        if (answer.epoch === recover.epoch && answer.offset - recover.offset <= this.history / 2) place.ends = { by: performance.now() + ENDS_MS, why: `${channel}: ${JSON.stringify(recover)} was answered ${JSON.stringify(answer)} at ${new Date().toISOString()}` };
        this.lost++;
      }
    }
    if (!answer.recovered) Object.assign(place, { epoch: answer.epoch, offset: answer.offset });
    client.subscribedTo.add(channel);
  }

  got(message) {
    if (message.type === "gap") {
      this.gaps++;
      for (const [name, place] of this.channels) if (!message.channel || message.channel === name) Object.assign(place, { gap: true, ends: null });
      return;
    }
    const place = this.channels.get(message.channel);
    assert.ok(place && this.client.subscribedTo.has(message.channel), `${message.channel} was not subscribed`);
    if (message.epoch) Object.assign(place, { epoch: message.epoch, gap: true, ends: null });
    assert.ok(!place.ends || performance.now() < place.ends.by, place.ends?.why);
    if (place.gap) assert.ok(message.epoch || message.offset > place.offset, JSON.stringify(message));
    else assert.equal(message.offset, place.offset + 1, `${message.channel}: ${JSON.stringify(message)} behind ${place.offset}`);
    place.gap = false;
    place.offset = message.offset;
    this.seen.got(message.channel, place.epoch, message.offset, message.data);
    this.messages++;
  }
}

/* Who was told that it is to read the state afresh, since its epoch has ended, has what there is until something new comes. */
const has = (place, last) => !last || place.ends || (place.epoch === last.epoch && place.offset >= last.offset);

async function publish(broker, names, worker, pause, run) {
  let client = null;
  let n = 0;
  while (run.running) {
    try {
      client ??= await connect(`ws://${broker.host}/ws`);
      const channel = names[n % names.length];
      const { epoch, offset } = await client.publish(channel, `${worker}-${++n}`);
      if (epoch) run.told(channel, epoch, offset); // not known of one that was sent again behind hundreds of others
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
      const how = draw();
      if (how < 0.4) client.terminate();
      else if (how < 0.8) client.close().catch(() => {});
      else {
        client.socket.pause(); // a network that is cut: nothing comes, nothing ends
        run.cut.push(client);
        // What such a connection holds is read when it ends: of thousands, all at the end, that takes minutes.
        if (run.cut.length > CUT_MAX) run.cut.shift().terminate();
      }
      returning.client = null;
      await Promise.race([delay(draw() * awayMs), run.over]);
    }
  }
}

/* Waits until this process has read what was sent to it, or at least is by now no more behind with it than connections may take to be made: what thousands of
 * connections hold is read a piece of each in turn, and a handshake comes behind all of them each time. How long it took, in ms. */
async function caughtUp() {
  const begun = performance.now();
  for (let calm = 0; calm < CALM_TURNS && performance.now() - begun < CALM_WITHIN_MS;) {
    const before = performance.now();
    await new Promise((done) => setImmediate(() => setTimeout(done, 1)));
    calm = performance.now() - before < CALM_TURN_MS ? calm + 1 : 0;
  }
  return Math.round(performance.now() - begun);
}

/* What each host has of a channel, and Redis, as text: for who reads that something was wrong. */
async function toldOf(hosts, channel) {
  return (await Promise.all(hosts.map(async (host) => {
    try {
      const client = await connect(`ws://${host.host}/ws`);
      const { messages, ...state } = await client.expect("history", { type: "history", channel, since: 0, limit: 1 });
      client.terminate();
      return `${host.host}: ${JSON.stringify(state)}, oldest ${messages[0]?.offset}`;
    } catch (error) {
      return `${host.host}: ${error.message}`;
    }
  }))).join("\n");
}

/* Of one broker, or of several that are one: clients come back on any. kill(round): what is killed in that round, or nothing. Resolves with sums. */
export async function dropStorm(brokers, { prefix, clients, channels, publishers, pauseMs, seconds, awayMs, history, kill, killEveryMs, seed, loses = false }) {
  const draw = random(seed);
  const hosts = [brokers].flat();
  const pick = () => hosts[Math.floor(draw() * hosts.length)];
  const names = Array.from({ length: channels }, (_, i) => `${prefix}:${i}`);
  const run = { running: true, last: new Map(), epochs: new Set(), cut: [] };
  /* An answer of an epoch that has ended may come late. */
  run.told = (channel, epoch, offset) => {
    const last = run.last.get(channel);
    if (last?.epoch === epoch) last.offset = Math.max(last.offset, offset);
    else if (!run.epochs.has(`${channel} ${epoch}`)) run.last.set(channel, { epoch, offset });
    run.epochs.add(`${channel} ${epoch}`);
  };
  run.over = new Promise((done) => (run.end = done));
  const seen = new Seen(loses);
  const wrong = new Promise((_, fail) => (run.fail = fail));
  const all = Array.from({ length: clients }, (_, i) => new Returning(pick, Array.from({ length: EACH }, (_, k) => names[(i + k * 7) % channels]), seen, history, run.fail));
  const pumps = Array.from({ length: publishers }, (_, i) => publish(hosts[i % hosts.length], names, i, pauseMs, run));
  const lives = all.map((returning) => comeAndGo(returning, draw, awayMs, run));
  const failed = Promise.race([wrong, Promise.all([...pumps, ...lives])]).catch(async (error) => {
    const [, channel] = new RegExp(`(${prefix}:\\d+)`).exec(error.message) ?? [];
    if (channel) error.message += `\n${await toldOf(hosts, channel)}`;
    throw error;
  });
  failed.catch(() => (run.running = false));
  const until1 = performance.now() + seconds * 1000;
  for (let round = 0; run.running && performance.now() < until1; round++) {
    await Promise.race([delay(killEveryMs), failed]);
    await kill?.(round);
  }
  run.running = false;
  run.end();
  await failed;
  for (const client of run.cut) client.terminate();
  const behindMs = await Promise.race([wrong, caughtUp()]);
  let ender = null;
  const publishOne = async (channel) => {
    ender ??= await connect(`ws://${hosts[0].host}/ws`);
    const { epoch, offset } = await ender.publish(channel, `end-${seen.places.size}`);
    run.told(channel, epoch, offset);
  };
  // In the end all are there, and have what there is. Who was told a gap has what comes behind it; of two epochs only a message says which one is over: where Redis lost, last of all, what
  // publishers had been told, the new epoch has none.
  const close = async (returning) => {
    let why;
    await until("it is connected", async () => {
      try {
        if (!returning.client || returning.client.isClosed) await returning.connect();
        return true;
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        why = error;
        return false;
      }
    }, { timeout: 20000 }).catch((error) => {
      error.message += `: ${why}; ${returning.connections} connections, of ${returning.client?.isClosed}; this process was ${behindMs} ms behind`;
      throw error;
    });
    const { client } = returning;
    await until("it has all", async () => {
      const lacks = [...returning.channels].filter(([name, place]) => !has(place, run.last.get(name)));
      for (const [name, place] of lacks) if (place.gap || place.epoch !== run.last.get(name).epoch) await publishOne(name);
      return lacks.length === 0;
    }, { timeout: 20000, every: 100 }).catch((error) => {
      error.message += `: ${JSON.stringify([...returning.channels].map(([name, place]) => [name, place, run.last.get(name)]))} ${client?.isClosed}`;
      throw error;
    });
    returning.client.terminate();
  };
  // What was wrong is told as that, not as what somebody waits for in vain behind it.
  for (const returning of all) await Promise.race([wrong, close(returning)]);
  ender?.terminate();
  await Promise.race([wrong, Promise.resolve()]);
  const sum = (name) => all.reduce((total, returning) => total + returning[name], 0);
  return { recovered: sum("recovered"), lost: sum("lost"), gaps: sum("gaps"), messages: sum("messages"), connections: sum("connections"), behindMs, published: [...run.last.values()].reduce((sum, { offset }) => sum + offset, 0), twice: seen.twice.size };
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

/* Each round one process of one broker, or Redis; `only` "redis": that alone. */
export function killAllInTurn(brokers, workers, redis, only) {
  if (only === "redis") return (round) => redis.trouble(round);
  const kills = brokers.map((broker) => killInTurn(broker, workers));
  return async (round) => {
    const who = round % (brokers.length + 1);
    if (who < brokers.length) return kills[who](Math.floor(round / (brokers.length + 1)));
    await redis.trouble(Math.floor(round / (brokers.length + 1)));
  };
}

/* Each kind of Redis, and what happens to it: url, trouble(round), destroy(); loses: may it lose what it has said that it has? */
export const REDIS_TROUBLES = {
  async restart() {
    const redis = await startRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
    return { url: redis.url, destroy: () => redis.destroy(), trouble: async () => {
      await redis.kill();
      await redis.start();
    } };
  },
  async failover() {
    const redis = await startSentinels();
    return { url: redis.url, loses: true, destroy: () => redis.destroy(), trouble: async () => {
      const before = (await redis.master()).port;
      // Right behind the one before it there is no replica that is good enough yet, and one that is begun may be given up: it is asked for again.
      await until("another is the master", async () => {
        if ((await redis.master())?.port !== before) return true;
        await redis.sentinels[0].command("SENTINEL", "FAILOVER", "mymaster").catch(() => {});
        return false;
      }, { timeout: 60000, every: 250 });
    } };
  },
  async slots() {
    const redis = await startCluster({ replicas: 0 });
    return { url: redis.url, destroy: () => redis.destroy(), trouble: (round) => redis.reshard(redis.nodes[round % 3], redis.nodes[(round + 1) % 3], 1500) };
  },
};

/* Runs body(). All brokers are to end well behind it; where anything fails the ends of their logs are told. All are gone afterwards, and `others`.
 * `brokers` may change meanwhile. */
export async function overseen(brokers, others, body) {
  try {
    await body();
    for (const broker of brokers) await broker.stop();
  } catch (error) {
    for (const broker of brokers) console.error(broker.log.slice(-60).join("\n"));
    throw error;
  } finally {
    for (const one of [...brokers, ...others]) await one.destroy();
  }
}
