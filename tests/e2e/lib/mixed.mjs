// A cluster of Node servers and instances of ringcast under traffic: who said what, who heard it, and what was lost or came twice.
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { memberClient } from "./members.mjs";
import { until, within } from "./util.mjs";

/* A Node server that can be killed. */
export class NodeProcess {
  async start(kind, redis, name) {
    this.name = name;
    this.calls = new Map();
    const settings = { kind, name, redis: { url: redis.url, nodes: redis.nodes?.map(({ port }) => ({ port })) } };
    this.child = fork(fileURLToPath(new URL("member_process.mjs", import.meta.url)), [JSON.stringify(settings)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.exited = new Promise((done) => this.child.once("exit", done));
    this.port = await within(20000, new Promise((done, failed) => {
      this.child.on("message", ({ id, port, result, error }) => {
        if (port) return done(port);
        const call = this.calls.get(id);
        this.calls.delete(id);
        if (error) call.reject(new Error(`${name}: ${error}`));
        else call.resolve(result);
      });
      this.exited.then((code) => failed(new Error(`${name} ended with ${code}`)));
    }), `${name} listens`);
    return this;
  }

  does(what, given = {}) {
    const id = this.calls.size === 0 ? (this.id = 1) : ++this.id;
    const answered = new Promise((resolve, reject) => this.calls.set(id, { resolve, reject }));
    this.child.send({ id, does: what, ...given });
    return within(15000, answered, `${this.name} does ${what}`);
  }

  kill() {
    this.child.kill("SIGKILL");
    return this.exited;
  }
}

/* Clients of a server: one hears and says, another only hears. */
export class Place {
  constructor(server, name) {
    Object.assign(this, { server, name, sockets: [], sent: 0 });
  }

  async connect(record) {
    for (let i = 0; i < 2; i++) {
      const socket = await memberClient(this.server.port);
      socket.place = this.name;
      socket.label = `${this.name}/${i}`;
      socket.on("said", (from, n) => record(socket, from, n));
      socket.on("gap", () => record(socket, "gap", 0));
      socket.on("question", (...args) => args.pop()(socket.label));
      await socket.joined("red");
      this.sockets.push(socket);
    }
  }

  talk(every) {
    this.timer = setInterval(() => this.sockets[0].connected && this.sockets[0].emit("say", "red", this.name, ++this.sent), every);
  }

  stop() {
    clearInterval(this.timer);
    return this.sent;
  }

  close() {
    clearInterval(this.timer);
    for (const socket of this.sockets) socket.disconnect();
  }
}

/* Who heard what. */
export class Record {
  heard = new Map(); // "listener from" -> [n, ...]
  gaps = new Map(); // listener -> count

  take = (socket, from, n) => {
    if (from === "gap") return this.gaps.set(socket.label, (this.gaps.get(socket.label) ?? 0) + 1);
    const key = `${socket.label} ${from}`;
    if (!this.heard.has(key)) this.heard.set(key, []);
    this.heard.get(key).push(n);
  };

  of(socket, from) {
    return this.heard.get(`${socket.label} ${from}`) ?? [];
  }

  /* Of messages `first` to `last` of a sender: { lost, doubled, disordered } at this client. */
  judge(socket, from, first, last) {
    const list = this.of(socket, from).filter((n) => n >= first && n <= last);
    const once = new Set(list);
    let disordered = 0;
    for (let i = 1; i < list.length; i++) disordered += list[i] < list[i - 1];
    return { lost: last - first + 1 - once.size, doubled: list.length - once.size, disordered };
  }
}

/* From each of these everybody hears something new. */
export async function allHear(record, places, senders) {
  const before = new Map();
  for (const place of places) for (const socket of place.sockets) for (const from of senders) before.set(`${socket.label} ${from}`, record.of(socket, from).length);
  const deaf = () => [...before].filter(([key, count]) => (record.heard.get(key)?.length ?? 0) <= count + 2).map(([key]) => key);
  await until("everybody hears everybody", () => {
    if (deaf().length > 0) throw new Error(`not yet: ${deaf()}`);
    return true;
  }, { timeout: 15000, every: 20 });
}

/* Every kind of call from one Node, answered by all that are there. */
export async function allCalls(node, places) {
  const sockets = places.flatMap((place) => place.sockets);
  const ids = sockets.map(({ id }) => id).sort();
  const labels = sockets.map(({ label }) => label).sort();
  await until(`${node.name} knows of all sockets`, async () => assert.deepEqual(await node.does("fetch"), ids) === undefined, { timeout: 15000, every: 50 });
  assert.deepEqual(await node.does("fetch", { rooms: ["red"] }), ids);
  assert.deepEqual((await node.does("ask", { rooms: ["red"] })).sort(), labels);
  assert.deepEqual(await node.does("ask", { rooms: [sockets.at(-1).id] }), [sockets.at(-1).label]);
  assert.deepEqual(await node.does("askServers", { args: ["nobody", node.name] }), Array.from({ length: new Set(places.map(({ server }) => server)).size - 1 }, () => node.name));
  await node.does("join", { from: "red", room: "green" });
  await until("all are in green", async () => (await node.does("fetch", { rooms: ["green"] })).length === ids.length, { timeout: 10000, every: 20 });
  await node.does("leave", { from: "red", room: "green" });
  await until("nobody is in green", async () => (await node.does("fetch", { rooms: ["green"] })).length === 0, { timeout: 10000, every: 20 });
  const marks = new Map(sockets.map((socket) => [socket, socket.got.length]));
  const [one, another] = [sockets[0], sockets.at(-1)];
  await node.does("emit", { event: "to all" });
  await node.does("emit", { rooms: ["red", "nobody"], except: [one.id], event: "to red but one" });
  await node.does("emit", { rooms: [another.id], event: "to another" });
  await node.does("emit", { event: "end" });
  await until("all have heard", () => sockets.every((socket) => socket.got.slice(marks.get(socket)).some(([event]) => event === "end")));
  for (const socket of sockets) {
    const heard = socket.got.slice(marks.get(socket)).map(([event]) => event).filter((event) => event !== "said" && event !== "question").sort();
    const wanted = ["end", "to all", ...(socket === another ? ["to another"] : []), ...(socket === one ? [] : ["to red but one"])].sort();
    assert.deepEqual(heard, wanted, `${socket.label}, from ${node.name}`);
  }
}
