// Pages in a real browser that talk while something happens to the broker: the reference client, and npm's socket.io-client over polling, over
// WebSocket, and from the one to the other. Each says numbers to all pages and waits for its acknowledgement; everybody's are heard once and in order.
import assert from "node:assert/strict";
import { Chromium } from "./chromium.mjs";
import { workerOf } from "./client.mjs";
import { CLIENT_FILES } from "./socketio.mjs";
import { until } from "./util.mjs";

export const PAGES_CONFIG = {
  "limits.ping_interval": "1h",
  "limits.pong_timeout": "1h",
  "socketio.path": "/socket.io/",
  "socketio.client_files": CLIENT_FILES,
  "socketio.ping_interval": "10m",
  "socketio.ping_timeout": "10m",
  event: [
    { on: "join", join: ["{args.0}"], ack: ["joined"] },
    { on: "say", emit: [{ to: "{args.0}", event: "said", args: ["{args.1..}"] }], ack: ["{args.2}"] },
  ],
};

const TALKERS = { native: null, polling: { transports: ["polling"] }, websocket: { transports: ["websocket"] }, upgrade: {} };

/* Runs in the page. */
async function talk(page, kinds) {
  const state = (globalThis.talking = { faults: [], ended: [], talkers: [], stopped: false });
  const heardBy = (talker) => (who, n) => {
    const last = talker.heard[who] ?? 0;
    if (n !== last + 1) state.faults.push(`${talker.who} heard ${n} of ${who} behind ${last}`);
    talker.heard[who] = n;
  };
  const script = document.createElement("script");
  script.src = "/socket.io/socket.io.js";
  await new Promise((done, failed) => {
    Object.assign(script, { onload: done, onerror: () => failed(new Error("no socket.io.js")) });
    document.head.append(script);
  });
  for (const [kind, options] of Object.entries(kinds)) {
    const talker = { who: `${page}:${kind}`, said: 0, acknowledged: 0, heard: {} };
    const heard = heardBy(talker);
    if (options === null) {
      const client = new globalThis.Ringcast();
      talker.id = () => client.client;
      client.on("close", (why) => state.ended.push(`${talker.who}: ${JSON.stringify(why)}`));
      client.on("gap", (channel) => state.faults.push(`${talker.who}: a gap in ${channel}`));
      client.on("error", (error) => state.faults.push(`${talker.who}: ${error}`));
      await client.subscribe("talk:native", ({ who, n }) => heard(who, n));
      talker.say = (n) => client.publish("talk:native", { who: talker.who, n });
    } else {
      const socket = globalThis.io({ forceNew: true, ...options });
      talker.id = () => socket.io.engine.transport.name;
      await new Promise((done) => socket.once("connect", done));
      socket.on("disconnect", (reason, details) => state.ended.push(`${talker.who}: ${reason} ${details?.description?.message ?? ""}`));
      socket.on("said", heard);
      await new Promise((done) => socket.emit("join", "talk", done));
      talker.say = (n) => new Promise((done) => socket.emit("say", "talk", talker.who, n, (answer) => {
        if (answer !== n) state.faults.push(`${talker.who}: ${answer} acknowledges ${n}`);
        done();
      }));
    }
    state.talkers.push(talker);
  }
  state.hold = () => (state.held = new Promise((done) => (state.release = done)));
  state.begin = () => {
    state.done = Promise.all(state.talkers.map(async (talker) => {
      while (!state.stopped && state.ended.length === 0) {
        await state.held;
        const ended = new Promise((done) => (talker.timer = setInterval(() => state.ended.length > 0 && done(), 100)));
        await Promise.race([talker.say(++talker.said), ended]);
        clearInterval(talker.timer);
        talker.acknowledged = talker.said;
      }
    })).catch((error) => state.faults.push(String(error)));
  };
}

/* Runs in the page, too. */
const told = () => ({
  faults: globalThis.talking.faults,
  ended: globalThis.talking.ended,
  talkers: globalThis.talking.talkers.map(({ who, said, acknowledged, heard, id }) => ({ who, said, acknowledged, heard, id: id() })),
});

export class Pages {
  constructor(broker, count = 2) {
    Object.assign(this, { broker, count, chromium: new Chromium(), pages: [] });
  }

  async begin(program) {
    await this.chromium.start(program);
    for (let i = 0; i < this.count; i++) {
      const page = await this.chromium.open(`http://${this.broker.host}/`);
      this.pages.push(page);
      await page.evaluate(`(${talk})("page${i}", ${JSON.stringify(TALKERS)})`);
    }
    await until("who began with polling has changed over", async () => (await this.#all()).talkers.every(({ who, id }) => !who.endsWith(":upgrade") || id === "websocket"));
    for (const page of this.pages) await page.evaluate("talking.begin()");
  }

  async #all() {
    const each = [];
    for (const page of this.pages) each.push(await page.evaluate(`(${told})()`));
    return { faults: each.flatMap(({ faults }) => faults), ended: each.flatMap(({ ended }) => ended), talkers: each.flatMap(({ talkers }) => talkers) };
  }

  /* Which worker has each page's client of the native protocol. */
  async workers() {
    return (await this.#all()).talkers.filter(({ who }) => who.endsWith(":native")).map(({ id }) => workerOf(id));
  }

  /* It happens while nobody has said anything that is not acknowledged: a client of which a killed worker was just handling an event ends
   * (docs/outlive.md). */
  async quietly(happens) {
    for (const page of this.pages) await page.evaluate("void talking.hold()");
    await until("all is acknowledged", async () => {
      const { faults, ended, talkers } = await this.#all();
      return faults.length > 0 || ended.length > 0 || talkers.every(({ said, acknowledged }) => said === acknowledged);
    }, { timeout: 30000, every: 20 });
    await happens();
    for (const page of this.pages) await page.evaluate("talking.release()");
  }

  /* Nobody was disconnected, and each has been acknowledged so many more since. */
  async more(count) {
    const before = new Map((await this.#all()).talkers.map(({ who, acknowledged }) => [who, acknowledged]));
    await until(`${count} more of each are acknowledged`, async () => {
      const { faults, ended, talkers } = await this.#all();
      return faults.length > 0 || ended.length > 0 || talkers.every(({ who, acknowledged }) => acknowledged >= before.get(who) + count);
    }, { timeout: 30000, every: 20 });
    await this.check();
  }

  async check() {
    const { faults, ended } = await this.#all();
    assert.deepEqual({ ended, faults }, { ended: [], faults: [] });
  }

  /* All of them stop, and have heard all. How much was said. */
  async end() {
    for (const page of this.pages) await page.evaluate("talking.stopped = true; talking.done");
    const lacks = ({ talkers }) => talkers.flatMap((talker) => talkers
      .filter(({ who }) => who.endsWith(":native") === talker.who.endsWith(":native"))
      .filter(({ who, said }) => talker.heard[who] !== said)
      .map(({ who, said }) => `${talker.who} has heard ${talker.heard[who]} of ${said} of ${who}`));
    await until("everybody has heard all", async () => lacks(await this.#all()).length === 0, { every: 20 }).catch(() => {});
    const all = await this.#all();
    assert.deepEqual(lacks(all), []);
    await this.check();
    for (const page of this.pages) assert.deepEqual(page.errors, []);
    return all.talkers.reduce((sum, { said }) => sum + said, 0);
  }

  stop() {
    return this.chromium.stop();
  }
}
