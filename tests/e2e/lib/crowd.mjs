// Listeners that keep every byte they get, and publishers that count, while something happens to the broker.
import assert from "node:assert/strict";
import { OP } from "./raw.mjs";
import { SEED, until } from "./util.mjs";

// Everybody is in one process, which may stand still for a moment: nobody is slow for that, however much a worker has to catch up with meanwhile.
export const CROWD_CONFIG = {
  "debug.adopt_verify": true, "limits.ping_interval": "1h", "limits.pong_timeout": "1h", "limits.channel_log": "64MiB", "limits.worker_log": "256MiB",
};

/* All whole frames of the bytes, and how many bytes those are. */
function framesOf(bytes) {
  const frames = [];
  let at = 0;
  for (;;) {
    if (bytes.length < at + 2) break;
    let length = bytes[at + 1] & 127;
    let head = 2;
    if (length === 126) {
      if (bytes.length < at + 4) break;
      [length, head] = [bytes.readUInt16BE(at + 2), 4];
    } else if (length === 127) {
      if (bytes.length < at + 10) break;
      [length, head] = [Number(bytes.readBigUInt64BE(at + 2)), 10];
    }
    if (bytes.length < at + head + length) break;
    frames.push({ first: bytes[at], payload: bytes.subarray(at + head, at + head + length) });
    at += head + length;
  }
  return { frames, whole: at };
}

/* A raw WebSocket in the channel. */
class Listener {
  constructor(raw) {
    this.raw = raw;
    this.chunks = [];
    this.bytes = 0;
  }

  async begin(channel) {
    this.raw.json({ type: "subscribe", channel, id: 1 });
    const answer = await this.raw.message(20000);
    assert.equal(answer.type, "subscribed");
    assert.equal(this.raw.buffer.length, 0, "nothing is published yet");
    this.raw.socket.removeAllListeners("data");
    this.raw.socket.on("data", (bytes) => {
      this.chunks.push(bytes);
      this.bytes += bytes.length;
    });
  }

  get ended() {
    return this.raw.ended;
  }

  stream() {
    if (this.chunks.length > 1) this.chunks = [Buffer.concat(this.chunks)];
    return this.chunks[0] ?? Buffer.alloc(0);
  }
}

/*
 * `listeners` raw clients and `publishers` in one channel. Published is {who, i, pad} with i from 0 on; a publisher that is closed comes
 * back and goes on with the next one, as nobody knows of the last.
 */
export class Crowd {
  constructor(broker, { listeners = 8, publishers = 3, channel = "crowd", pad = 200, window = 1, mayGap = false, random }) {
    Object.assign(this, { broker, channel, pad, random, window, mayGap, wanted: { listeners, publishers } });
    this.listeners = [];
    this.publishers = [];
    this.closedPublishers = 0;
    this.acknowledged = 0;
    this.ending = false;
  }

  async begin() {
    for (let i = 0; i < this.wanted.listeners; i++) {
      this.listeners.push(await until("a listener is in the channel", async () => {
        const listener = new Listener(await this.broker.frames("/ws"));
        await listener.begin(this.channel);
        return listener;
      }, { timeout: 60000 }));
    }
    for (let who = 0; who < this.wanted.publishers; who++) {
      const publisher = { who, next: 0, acknowledged: new Set() };
      publisher.done = this.#publish(publisher);
      publisher.done.catch((error) => {
        this.error ??= error;
        this.ending = true;
      });
      this.publishers.push(publisher);
    }
  }

  async #publish(publisher) {
    const { who } = publisher;
    const come = () => until("a publisher comes", () => this.broker.connect(), { timeout: 60000 });
    let client = await come();
    const publish = async (i) => {
      const pad = "p".repeat(this.random.below(4) === 0 ? this.random.below(20 * this.pad) : this.random.below(this.pad));
      await client.publish(this.channel, { who, i, pad });
      publisher.acknowledged.add(i);
      this.acknowledged++;
    };
    while (!this.ending) {
      // All at once: several messages in one receive, and in flight when it happens.
      const all = await Promise.allSettled(Array.from({ length: this.window }, () => publish(publisher.next++)));
      const failed = all.find(({ status }) => status === "rejected");
      if (failed && !client.isClosed) throw failed.reason;
      if (failed) {
        this.closedPublishers++;
        client = await come();
      }
    }
  }

  /* Each listener reads on, or stops reading, by chance; all of them read. */
  hesitate() {
    for (const { raw } of this.listeners) this.random.below(2) === 0 ? raw.socket.pause() : raw.socket.resume();
  }

  readAll() {
    for (const { raw } of this.listeners) raw.socket.resume();
  }

  /* Until so many more messages were published. */
  async more(count) {
    const from = this.acknowledged;
    await until(`${count} more messages are published`, () => this.acknowledged >= from + count || this.error, { timeout: 60000, every: 2 });
    if (this.error) throw this.error;
  }

  /* Ends, and checks everything; which listeners were closed. */
  async end() {
    this.ending = true;
    this.readAll();
    await Promise.all(this.publishers.map((publisher) => publisher.done));
    if (this.error) throw this.error;
    await until("the end is published", async () => (await this.broker.connect()).publish(this.channel, "the end"), { timeout: 60000 });
    const marker = Buffer.from('"the end"');
    const living = () => this.listeners.filter((listener) => !listener.ended);
    await until("everybody has heard of the end", () => living().every((listener) => listener.stream().subarray(-400).includes(marker)), { timeout: 30000 });
    for (const listener of living()) this.#check(listener);
    const whole = living().filter(({ gap }) => !gap);
    if (whole.length === 0) return this.listeners.filter(({ ended }) => ended).length;
    const reference = whole[0].stream();
    for (const listener of whole) {
      const stream = listener.stream();
      assert.equal(Buffer.compare(stream, reference), 0, "all streams are the same, byte by byte");
    }
    // Those that were closed have the beginning of it.
    for (const listener of this.listeners.filter(({ ended, gap }) => ended && !gap)) {
      const stream = listener.stream();
      const { frames, whole: bytes } = framesOf(stream);
      const same = Buffer.compare(stream.subarray(0, bytes), reference.subarray(0, bytes)) === 0;
      const fault = () => {
        const at = stream.findIndex((byte, i) => byte !== reference[i]);
        return `from byte ${at} of ${bytes} on it is ${stream.subarray(at - 100, at + 200).toString("latin1")}, and not ${reference.subarray(at - 100, at + 200).toString("latin1")}; its end: ${frames.slice(-2).map(({ first, payload }) => `${first} ${payload.subarray(0, 200)}`)}`;
      };
      assert.ok(same || frames.some(({ payload }) => this.mayGap && payload.includes('"gap"')) || stream[bytes - 4] === (0x80 | OP.CLOSE), same || `the stream of one that was closed is right as far as it goes: ${fault()}`);
    }
    return this.listeners.filter(({ ended }) => ended).length;
  }

  leave() {
    for (const { raw } of this.listeners) raw.end();
  }

  #check(listener) {
    const stream = listener.stream();
    const { frames, whole } = framesOf(stream);
    assert.equal(whole, stream.length, "the stream ends with a frame");
    const next = this.publishers.map(() => 0);
    for (const { first, payload } of frames) {
      assert.equal(first, 0x80 | OP.TEXT, "nothing but whole text frames");
      const message = JSON.parse(payload.toString());
      if (this.mayGap && message.type === "gap") {
        listener.gap = true; // what was in a log that was just being moved is lost, and that is said
        continue;
      }
      assert.equal(message.type, "message", payload.toString().slice(0, 200));
      if (message.data === "the end") continue;
      const { who, i, pad } = message.data;
      assert.match(pad, /^p*$/);
      for (let missing = next[who]; missing < i; missing++) {
        assert.ok(listener.gap || !this.publishers[who].acknowledged.has(missing), `${who}/${missing} was acknowledged, and is missing before ${i}`);
      }
      assert.ok(i >= next[who], `${who}/${i} came behind ${next[who] - 1}: twice, or out of order`);
      next[who] = i + 1;
    }
    for (const [who, publisher] of this.publishers.entries()) {
      for (const i of publisher.acknowledged) assert.ok(listener.gap || i < next[who], `${who}/${i} was acknowledged, and is missing at the end`);
    }
    return stream;
  }
}

/* Kills worker `index` and waits until the next one serves. */
export async function killWorker(broker, index, signal = "SIGKILL") {
  const pid = broker.kill(signal, index);
  await adopted(broker, index, pid);
  return pid;
}

/* The worker that was `pid` has a successor, and all are ready. */
export async function adopted(broker, index, pid) {
  await until("there is a successor", () => ![undefined, pid].includes(broker.pids().workers[index]), { timeout: 20000, every: 2 });
  await until("it is ready", async () => (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 20000, every: 5 });
}

/*
 * After how many steps a worker is to die (RINGCAST_DIES_FILE): of the first one somebody always does, so that a test shows something; then of every stride-th,
 * from where the seed says. How many there are until nobody dies is the machine's matter: what comes in one piece is fewer of them.
 */
export function* killSteps(stride) {
  yield 1;
  for (let steps = 2 + (SEED % stride); ; steps += stride) yield steps;
}
