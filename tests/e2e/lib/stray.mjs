// Stray writes: words of the segments that a process has mapped writable are changed under it, as a bug of its own would do it.
import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync, writeSync } from "node:fs";
import { startBroker, isAlive } from "./broker.mjs";
import { until } from "./util.mjs";

const DEATHS_MAX = 6; // of one broker's victim: the acceptor gives a child up that crashes ten times within a minute

/* Shared mappings of a process, each segment one, although the kernel may keep it in pieces: { name, from, bytes, writable, mayWrite,
 * dumped }; mayWrite: mprotect could make it writable; dumped: bytes of it that a core dump would hold. None of a process that dies
 * meanwhile. */
export function sharedMappings(pid) {
  const found = [];
  let smaps;
  try {
    smaps = readFileSync(`/proc/${pid}/smaps`, "latin1");
  } catch (error) {
    if (error.code === "ESRCH" || error.code === "ENOENT") return [];
    throw error;
  }
  let current = null;
  let piece = 0;
  for (const line of smaps.split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ \d+\s*(.*)$/.exec(line);
    if (match) {
      const name = /^\/memfd:(\S+)/.exec(match[4])?.[1] ?? (/bpf-map/.test(match[4]) ? "steering" : null);
      const from = parseInt(match[1], 16);
      const writable = match[3][1] === "w";
      piece = parseInt(match[2], 16) - from;
      if (match[3][3] !== "s" || !name) current = null;
      else if (current?.name === name && current.from + current.bytes === from && current.writable === writable) current.bytes += piece;
      else found.push(current = { name, from, bytes: piece, writable, mayWrite: false, dumped: 0 });
    } else if (current && line.startsWith("VmFlags:")) {
      current.mayWrite ||= / mw\b/.test(line);
      if (!/ dd\b/.test(line)) current.dumped += piece;
    }
  }
  return found;
}

/* Names of the memfds that a process has descriptors of. */
export function openSegments(pid) {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return /^\/memfd:(\S+)/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
    } catch {
      return undefined; // closed meanwhile
    }
  }).filter(Boolean);
}

/* A generator of numbers in [0, n), the same for the same seed. */
export function randomOf(seed) {
  let state = seed >>> 0 || 1;
  return (n) => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % n;
  };
}

const VALUES = [
  (old, random) => (old ^ (1 << random(32))) >>> 0,
  () => 0,
  () => 0xffffffff,
  (old, random) => random(0xffffffff),
  (old) => (old + 1) >>> 0,
];

/* Changes one 32-bit word through the process's own mapping: { at, old, value }, null when the process is gone. `next` gives
 * offsets; one where something is comes first, most of a segment being empty. */
function strayWrite(pid, mapping, next, random) {
  let fd;
  try {
    fd = openSync(`/proc/${pid}/mem`, "r+");
    const word = Buffer.alloc(4);
    let at;
    let old = 0;
    for (let tries = 0; tries < 50 && old === 0; tries++) {
      at = next();
      readSync(fd, word, 0, 4, mapping.from + at);
      old = word.readUInt32LE();
    }
    const value = VALUES[random(VALUES.length)](old, random);
    word.writeUInt32LE(value);
    writeSync(fd, word, 0, 4, mapping.from + at);
    return { at, old, value };
  } catch (error) {
    if (error.code !== "ESRCH" && isAlive(pid)) throw error; // who ends has no memory any more, and is there until it is waited for
    return null;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

const PAGE = 4096;

/* Pages of a process's mapping that it has touched, those beside each other in one: [{ from, bytes }], offsets in the mapping. Each pool and table of
 * a truth begins at a page, and most of what is reserved for it was never touched. */
export function touched(pid, mapping) {
  const fd = openSync(`/proc/${pid}/pagemap`, "r");
  const entries = Buffer.alloc(1 << 16);
  const found = [];
  try {
    const pages = mapping.bytes / PAGE;
    for (let page = 0; page < pages;) {
      const bytes = readSync(fd, entries, 0, Math.min(entries.length, (pages - page) * 8), (mapping.from / PAGE + page) * 8);
      for (let at = 0; at < bytes; at += 8, page++) {
        const last = found.at(-1);
        if (entries[at + 7] < 0x40) continue; // neither in memory nor swapped out
        if (last && last.from + last.bytes === page * PAGE) last.bytes += PAGE;
        else found.push({ from: page * PAGE, bytes: PAGE });
      }
    }
  } finally {
    closeSync(fd);
  }
  return found;
}

/* Changes a random word within `range` of the process's mapping, one where something is. */
export function scribble(pid, mapping, range, random) {
  return strayWrite(pid, mapping, () => range.from + random(range.bytes / 4) * 4, random);
}

/* Where to write to, a function for each time: the head word by word, then the first page, its neighbours, and anywhere. */
function offsets(bytes, heads, count, random) {
  const list = [];
  for (let at = 0; at < heads * 4 && at < bytes; at += 4) list.push(() => at);
  while (list.length < heads + count) {
    const within = Math.min(bytes, [4096, 65536, bytes][list.length % 3]);
    list.push(() => random(within / 4) * 4);
  }
  return list;
}

class Round {
  constructor(who, segment) {
    this.who = who;
    this.segment = segment;
    this.deaths = 0;
  }

  victim() {
    const pids = this.broker.pids();
    return this.who === "relay" ? pids.relay : pids.workers[this.who];
  }

  async open() {
    this.deaths = 0;
    this.broker = await startBroker({ workers: 3, config: { "server.stuck_timeout": "1500ms", "server.stuck_kill_timeout": "3s", "http.public_metrics": true } });
    this.broker.checkLog = () => {}; // the victim may have said what happened to it; who else died is seen by pid
    [this.a, this.b, this.own] = await this.broker.connectMany([1, 1, 1]);
    [this.a, this.own, this.b] = [this.a, this.b, this.own]; // own: on the victim, if that is worker 1
    await this.b.subscribe("x");
    await this.own.subscribe("x").catch(() => {});
    this.pids = this.broker.pids();
    this.number = 0;
  }

  /* Who must be the same process as before: everybody but the victim, and workers where the relay's rings were hit. */
  checkPids(after) {
    const now = this.broker.pids();
    for (const index of [0, 2]) {
      if (this.who === "relay" && /port/.test(this.segment)) continue; // its rings are the relay's too
      assert.equal(now.workers[index], this.pids.workers[index], `worker ${index} lives on after ${after}`);
    }
    if (this.who !== "relay") assert.equal(now.relay, this.pids.relay, `the relay lives on after ${after}`);
    assert.ok(!this.broker.exit, `the broker lives on after ${after}`);
  }

  /* A message from worker 0 to worker 2, /metrics and /health. The victim may take a request with it: then it is asked again. */
  async check(after) {
    if (!this.own.isClosed) this.own.request({ type: "publish", channel: "x", data: "own" }).catch(() => {});
    const rings = this.who === "relay"; // a relay that dies, or damages rings, may cost messages and connections
    await until(`a message passes after ${after}`, async () => {
      if (rings && (this.a.isClosed || this.b.isClosed)) {
        this.a = this.a.isClosed ? await this.broker.connect() : this.a;
        this.b = this.b.isClosed ? await this.broker.connect() : this.b;
        await this.b.subscribe("x");
      }
      const number = ++this.number;
      await Promise.race([this.a.publish("x", number), new Promise((_, late) => setTimeout(late, 2000, new Error("no answer")).unref())]);
      for (;;) {
        const message = await this.b.next("message", 1000);
        if (message.data === number) return true;
      }
    }, { timeout: 10000, every: 50 });
    for (const path of ["/metrics", "/health", "/metrics"]) {
      await until(`${path} answers after ${after}`, async () => (await this.broker.get(path, { timeout: 1000 })).status === 200, { timeout: 10000, every: 50 });
    }
    this.checkPids(after);
  }

  /* Ends what is damaged; what comes after it must be as good as new, and the broker must end well. */
  async close() {
    const pid = this.victim();
    if (pid) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // died by itself
      }
    }
    await until("the victim has a successor", () => this.victim() && this.victim() !== pid, { timeout: 15000 });
    await until("everybody is ready", async () => {
      const status = await this.broker.status();
      return status.state === "running" && status.processes.every((row) => row.state === "ready");
    }, { timeout: 15000, every: 50 });
    // A worker whose rings the relay damaged is still to be replaced, and takes its connections along.
    await until("the successor publishes and delivers", async () => {
      const again = this.who === "relay" ? await this.broker.connect() : await this.broker.connectToWorker(this.who);
      await again.subscribe("y");
      await again.publish("y", 1);
      return (await again.next("message", 2000)).data === 1;
    }, { timeout: 20000, every: 50 });
    this.checkPids("all of it");
    await this.broker.stop();
    await this.broker.destroy();
  }
}

/* Damages one segment of `who` (a worker's index or "relay") again and again: `heads` words from its start, `count` random ones. */
export async function damage(who, segment, { heads, count, seed }) {
  const random = randomOf(seed);
  const round = new Round(who, segment);
  const tell = (write) => `${segment} of ${who} + ${write.at}: ${write.old.toString(16)} -> ${write.value.toString(16)} (seed ${seed})`;
  await round.open();
  try {
    const size = sharedMappings(round.victim()).find((one) => one.name === segment && one.writable)?.bytes;
    assert.ok(size, `${who} can write ${segment}`);
    for (const next of offsets(size, heads, count, random)) {
      const pid = round.victim();
      const mapping = pid && sharedMappings(pid).find((one) => one.name === segment && one.writable);
      if (!mapping) {
        await until("the victim's successor has mapped it", () => round.victim() && sharedMappings(round.victim()).some((one) => one.name === segment && one.writable), { timeout: 15000 });
        continue;
      }
      const write = strayWrite(pid, mapping, next, random);
      if (!write) continue;
      await round.check(tell(write));
      if (!isAlive(pid) && ++round.deaths >= DEATHS_MAX) {
        await round.close();
        await round.open();
      }
    }
    await round.close();
  } catch (error) {
    console.error(round.broker.log.slice(-60).join("\n"));
    throw error;
  } finally {
    await round.broker.destroy();
  }
}

/* Names of what `who` may write, in a broker that was just started. */
export async function writableSegments(who) {
  const round = new Round(who, "");
  await round.open();
  try {
    return sharedMappings(round.victim()).filter((one) => one.writable).map((one) => one.name);
  } finally {
    await round.broker.destroy();
  }
}
