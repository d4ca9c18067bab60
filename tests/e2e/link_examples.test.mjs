// The applications of deploy/node/examples: their clients see the same, line by line, of an ordinary server and of one behind a link, which
// two of them do not know of (node -r, node --import).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { io as connectClient } from "socket.io-client";
import { startBroker } from "./lib/broker.mjs";
import { SECRET, SKIP, folderOf, hasLinks, linkConfig } from "./lib/link.mjs";
import { ROOT, freePort, until, within } from "./lib/util.mjs";

const TRANSPORTS = [["polling"], ["websocket"]];

/* One of the examples, running: { url, end() }. */
async function startExample(name, { linked, flag }) {
  const folder = await folderOf();
  copyFileSync(join(ROOT, "deploy/node/examples", `${name}.mjs`), join(folder, `${name}.mjs`));
  const port = await freePort();
  const { RINGCAST_LINK_SECRET, ...env } = process.env;
  const args = [...(linked && flag ? [flag, "ringcast-socket.io/register"] : []), `${name}.mjs`];
  const child = spawn(process.execPath, args, { cwd: folder, env: { ...env, PORT: String(port), ...(linked && { RINGCAST_LINK_SECRET: SECRET }) }, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "close");
  await within(20000, Promise.race([once(child.stdout, "data"), exited.then(([code]) => assert.fail(`${name} ended with ${code}`))]), `${name} listens`);
  return { url: `http://127.0.0.1:${port}`, end: () => (child.kill("SIGKILL"), exited) };
}

const shown = (value) => JSON.stringify(value, (_, part) => (part?.type === "Buffer" ? `bytes ${Buffer.from(part.data).toString("hex")}` : part));

/* Clients of one run, and what they have seen, in order of each. */
class Run {
  constructor(url, applicationUrl, transports) {
    Object.assign(this, { url, applicationUrl, transports, lines: [], clients: [] });
  }

  async come(name, options = {}) {
    const socket = connectClient(this.url, { transports: this.transports, forceNew: true, reconnection: false, query: { who: name }, ...options });
    const client = { name, socket, heard: [], ask: (...args) => within(15000, new Promise((done) => socket.emit(...args, (...answer) => done(answer))), `${name}: ${args[0]}`) };
    // What is volatile may come or not. With recovery each event has its offset behind its arguments, another one in each run.
    socket.onAny((...args) => args[0] !== "typing" && client.heard.push(shown(socket._pid && typeof args.at(-1) === "string" ? args.slice(0, -1) : args)));
    socket.on("disconnect", (reason) => client.heard.push(`disconnect: ${reason}`));
    this.clients.push(client);
    this.lines.push(`${name}: ${await within(15000, new Promise((done) => socket.once("connect", () => done("connected")).once("connect_error", ({ message }) => done(message))), `${name} comes`)}`);
    return client;
  }

  /* The answer as a line; what the others were told before it is there when `count` lines are. */
  async asks(client, ...args) {
    this.lines.push(`${client.name} ${args[0]}: ${shown(await client.ask(...args))}`);
  }

  async heard(client, count) {
    await until(`${client.name} has heard ${count}: ${client.heard}`, () => client.heard.length >= count);
    this.lines.push(...client.heard.splice(0).map((line) => `${client.name} hears ${line}`));
  }

  end() {
    for (const { socket } of this.clients) socket.disconnect();
  }
}

const STORIES = {
  async chat(run) {
    const [ann, bob, eve] = [await run.come("ann"), await run.come("bob"), await run.come("eve")];
    await run.asks(ann, "enter", "Ann");
    await run.asks(bob, "enter", "Bob");
    await run.asks(bob, "enter", "Bobby");
    await run.heard(ann, 1);
    bob.socket.emit("typing", true);
    bob.socket.emit("say", "hello, ü€😀");
    eve.socket.emit("say", "nobody hears me");
    await run.heard(ann, 1);
    ann.socket.emit("say", "hello Bob");
    await run.heard(bob, 2);
    bob.socket.disconnect();
    await run.heard(ann, 1);
    await run.heard(eve, 5);
    ann.socket.disconnect();
    await run.heard(eve, 1);
  },
  async whiteboard(run) {
    const token = { auth: { token: "let me in" } };
    await run.come("mallory", { auth: { token: "hm" } });
    const [ann, bob, eve] = [await run.come("ann", token), await run.come("bob", token), await run.come("eve", token)];
    await run.asks(ann, "open", "plan");
    ann.socket.emit("draw", "plan", { from: [0, 0], to: [1, 1.5], color: "#f00" });
    ann.socket.emit("draw", "another", { from: [0, 0] });
    await run.asks(ann, "picture", "plan", Buffer.from("picture nobody sees"));
    await run.asks(bob, "open", "plan");
    await run.heard(ann, 1);
    await run.asks(eve, "open", "another");
    bob.socket.emit("draw", "plan", { from: [2, 2], to: [3, 3] });
    await run.asks(bob, "picture", "plan", Buffer.from([0, 255, 1]));
    await run.heard(ann, 2);
    ann.socket.emit("wipe", "plan");
    await run.heard(bob, 1);
    await run.heard(ann, 1);
    bob.socket.disconnect();
    await run.heard(ann, 1);
    run.lines.push(`eve heard ${eve.heard.length}`);
  },
  async session(run) {
    await run.come("nobody");
    const logIn = async (user) => {
      const response = await fetch(`${run.applicationUrl}/login?user=${user}`);
      return { extraHeaders: { cookie: response.headers.get("set-cookie").split(";")[0] } };
    };
    const [his, hers] = [await logIn("bob"), await logIn("ann")];
    const bob = await run.come("bob", his);
    const ann = await run.come("ann", hers);
    const tab = await run.come("bob's second", his);
    await run.asks(bob, "whoami");
    await run.asks(ann, "whoami");
    for (const client of [bob, tab, ann, bob]) await run.asks(client, "count");
    const response = await fetch(`${run.applicationUrl}/`, { headers: his.extraHeaders });
    run.lines.push(await response.text());
    tab.socket.emit("log out");
    await run.heard(bob, 1);
    await run.heard(tab, 1);
    run.lines.push(`ann is there: ${ann.socket.connected}`);
  },
};
const FLAGS = { chat: "--import", session: "-r" };

for (const [name, story] of Object.entries(STORIES)) {
  test(`${name}: the same lines, with ringcast and without`, { skip: SKIP }, async () => {
    const runs = [];
    for (const linked of [false, true]) {
      const example = await startExample(name, { linked, flag: FLAGS[name] });
      const broker = linked ? await startBroker({ workers: 2, config: linkConfig([example]) }) : undefined;
      try {
        if (broker) await hasLinks(broker, 2);
        for (const transports of TRANSPORTS) {
          const run = new Run(broker ? `http://${broker.host}` : example.url, example.url, transports);
          try {
            await within(60000, story(run), `${name} over ${transports}`);
          } finally {
            run.end();
          }
          runs.push(run.lines);
        }
        if (broker) await broker.stop();
      } finally {
        await broker?.destroy();
        await example.end();
      }
    }
    const [polling, websocket, linkedPolling, linkedWebsocket] = runs;
    assert.ok(polling.length > 8, "there was something to see");
    assert.deepEqual([linkedPolling, linkedWebsocket], [polling, websocket]);
  });
}
