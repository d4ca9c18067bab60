// What clients of an existing application see, step by step, as lines: the same story is played to an ordinary server and to one whose
// clients ringcast holds, and must read the same. Whatever differs from run to run (ids, ports, times) is left out or named.
import { setTimeout as pause } from "node:timers/promises";
import { io as connectClient } from "socket.io-client";
import { until, within } from "./util.mjs";

export const MODES = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

/* The application of the story. It runs in a process of its own (link_application.mjs). */
export function setup({ io, state }) {
  state.reasons = [];
  io.use((socket, next) => {
    const { token } = socket.handshake.auth;
    if (token === "good" || token === "slow") return token === "slow" ? setTimeout(next, 50) : next();
    next(Object.assign(new Error("not you"), { data: { code: 7, token: token ?? null } }));
  });
  io.use((socket, next) => {
    socket.join("from a middleware");
    next();
  });
  io.on("connection", (socket) => {
    socket.emit("welcome", socket.handshake.query.name, Buffer.from([1, 2, 3]));
    socket.join(["all", socket.handshake.query.name]);
    socket.to("all").emit("joined", socket.handshake.query.name);
    socket.use(([event], next) => (event === "forbidden" ? next(new Error("no such thing")) : next()));
    socket.on("error", (error) => socket.emit("went wrong", error.message));
    socket.on("handshake", (answer) => {
      const { auth, query, headers, secure, xdomain, url, address } = socket.handshake;
      const { sid, t, b64, EIO, ...own } = query;
      answer({ auth, own, custom: headers["x-custom"] ?? null, agent: typeof headers["user-agent"], secure, xdomain, path: url.split("?")[0], address: typeof address, transport: socket.conn.transport.name, protocol: socket.conn.protocol });
    });
    socket.on("echo", (...args) => args.pop()(...args));
    socket.on("reply", (...args) => socket.emit("reply", ...args));
    socket.on("ask me", (...question) => socket.emit("question", ...question, (...answer) => socket.emit("answered", ...answer)));
    socket.on("in order", () => {
      for (let i = 0; i < 20; i++) {
        const room = `room ${i}`;
        socket.join(room);
        io.to(room).emit("step", i, "to the room");
        socket.emit("step", i, "to itself");
        io.emit("step", i, "to all");
        socket.emit("step", i, Buffer.from([i]), { deep: [Buffer.from([i, i])] });
        socket.leave(room);
        io.to(room).emit("step", i, "never");
      }
    });
    socket.on("join", (room, done) => (socket.join(room), done([...socket.rooms].filter((name) => name !== socket.id))));
    socket.on("leave", (room, done) => (socket.leave(room), done()));
    socket.on("to", (room, ...args) => socket.to(room).emit(...args));
    socket.on("all to", (rooms, ...args) => (rooms.length === 0 ? io : rooms.reduce((to, room) => to.to(room), io)).emit(...args));
    socket.on("compressed", (flag, ...args) => io.compress(flag).emit(...args));
    socket.on("volatile", (...args) => io.volatile.emit(...args));
    socket.on("local", (...args) => io.local.emit(...args));
    socket.on("except", (room, ...args) => io.of("/").except(room).emit(...args));
    socket.on("who", async (room, answer) => answer((await (room ? io.in(room) : io).allSockets()).size));
    socket.on("leave me", (close) => socket.disconnect(close));
    socket.on("disconnecting", (reason) => state.reasons.push(["disconnecting", reason, socket.rooms.size]));
    socket.on("disconnect", (reason) => {
      state.reasons.push(["disconnect", reason, socket.rooms.size]);
      io.to("all").emit("left", socket.handshake.query.name, reason);
    });
  });
  io.of("/admin").on("connection", (socket) => {
    socket.emit("admin", socket.nsp.name);
    io.of("/admin").emit("to admins");
    socket.on("echo", (value, done) => done(value));
  });
  io.of(/^\/table-\d+$/).on("connection", (socket) => {
    socket.emit("table", socket.nsp.name, socket.nsp.sockets.size);
    socket.on("hit", (what) => socket.nsp.emit("hit", what));
  });
}

const shown = (value) => JSON.stringify(value, (_, part) => (part?.type === "Buffer" ? `bytes ${Buffer.from(part.data).toString("hex")}` : part));

class Client {
  constructor(story, name, nsp, options) {
    this.story = story;
    this.name = name;
    this.heard = [];
    this.socket = connectClient(`${story.url}${nsp}`, { transports: story.transports, forceNew: true, reconnection: false, query: { name }, auth: { token: "good" }, ...options });
    this.socket.onAny((...args) => this.heard.push(shown(args)));
    this.socket.on("disconnect", (reason) => this.heard.push(`disconnect: ${reason}`));
  }

  async come() {
    const outcome = await within(15000, new Promise((done) => {
      this.socket.once("connect", () => done("connected"));
      this.socket.once("connect_error", (error) => done(`connect_error: ${error.message} ${JSON.stringify(error.data)}`));
    }), `${this.name} connects`);
    this.story.say(`${this.name}: ${outcome}`);
    return this;
  }

  ask(...args) {
    return within(15000, new Promise((done) => this.socket.emit(...args, (...answer) => done(answer))), `${this.name} is answered ${args[0]}`);
  }
}

class Story {
  constructor(url, mode) {
    Object.assign(this, { url, transports: MODES[mode], lines: [], clients: [] });
  }

  say(line) {
    this.lines.push(line);
  }

  async client(name, nsp = "/", options = {}) {
    const client = new Client(this, name, nsp, options);
    this.clients.push(client);
    return client.come();
  }

  /* What everybody has heard by now: one after the other is asked, so that all before it has come. */
  async chapter(title, ...clients) {
    this.say(`-- ${title}`);
    for (const client of clients) {
      if (client.socket.connected) for (let i = 0; i < 2; i++) await client.ask("echo", i);
      for (const line of client.heard.splice(0)) this.say(`${client.name}: ${line}`);
    }
  }
}

/* Plays it; the lines. `reasons`: what the application has noted (a function). */
export async function play(url, mode, { except = true, reasons }) {
  const story = new Story(url, mode);
  await story.client("nobody", "/", { auth: {} });
  await story.client("mallory", "/", { auth: { token: "bad" } });
  await story.client("nowhere", "/nowhere");
  const ann = await story.client("ann", "/", { extraHeaders: { "x-custom": "yes" }, auth: { token: "good", more: [1, { two: "ü" }] } });
  await story.chapter("ann is welcome", ann);
  const bob = await story.client("bob", "/", { auth: { token: "slow" } });
  await story.chapter("bob is welcome", ann, bob);
  const [{ transport, ...handshake }] = await ann.ask("handshake");
  story.say(shown(handshake));
  if (mode === "upgrade") await until("the upgrade is seen", async () => (await ann.ask("handshake"))[0].transport === "websocket");
  else story.say(transport);

  const values = [0, -1, 1.5, 2 ** 53 - 1, "", "ü€😀\u2028", null, true, [], {}, [[1], { a: { b: [null] } }], Buffer.alloc(0), Buffer.from("bytes"), { deep: [Buffer.from([0, 255])] }];
  for (const value of values) story.say(shown(await ann.ask("echo", value, "and", value)));
  ann.socket.emit("reply", ...values);
  await story.chapter("as events", ann);
  bob.socket.on("question", (...args) => args.pop()("my answer", args.length, Buffer.from("!")));
  bob.socket.emit("ask me", 1, Buffer.from("2"));
  await until("bob's answer is answered", () => bob.heard.some((line) => line.includes("answered")));
  await story.chapter("acknowledgements of clients", bob);
  bob.socket.emit("forbidden");
  await story.chapter("a middleware of the socket", bob);
  ann.socket.emit("in order");
  await story.chapter("joins, broadcasts, messages and leaves keep their order", ann, bob);

  story.say(shown([await ann.ask("join", "x"), await ann.ask("join", 42), await bob.ask("join", "42"), await bob.ask("join", ["x", "y"])]));
  ann.socket.emit("all to", ["42"], "to the text 42");
  ann.socket.emit("all to", [42], "to the number 42");
  ann.socket.emit("all to", ["x", "y", 42], "once to each");
  ann.socket.emit("to", "x", "to others in x");
  ann.socket.emit("all to", ["from a middleware"], "to all that came through");
  ann.socket.emit("all to", ["nobody is here"], "to nobody");
  if (except) ann.socket.emit("except", "y", "to all but those in y");
  for (const flags of [["compressed", true], ["compressed", false], ["local"]]) ann.socket.emit(...flags, `by ${flags}`, Buffer.from("b"));
  await story.chapter("rooms", ann, bob);
  // Who is not idle does not get it, on either side: until it comes.
  const isVolatile = (line) => line.includes("volatile");
  await until("a volatile one comes", () => ann.socket.emit("volatile", "volatile", 1) && [ann, bob].every(({ heard }) => heard.some(isVolatile)), { every: 50 });
  for (const client of [ann, bob, ann, bob]) await client.ask("echo");
  for (const client of [ann, bob]) client.heard = client.heard.filter((line) => !isVolatile(line));
  story.say(shown([await ann.ask("who", null), await ann.ask("who", "x"), await ann.ask("who", "y")]));
  await ann.ask("leave", "x");
  bob.socket.emit("all to", ["x"], "who is left in x");
  await story.chapter("leaving", ann, bob);

  const admin = await story.client("admin", "/admin");
  const table = await story.client("table", "/table-7");
  const other = await story.client("other", "/table-8");
  table.socket.emit("hit", "it");
  await until("the table is hit", () => table.heard.some((line) => line.includes("hit")));
  story.say(shown(await admin.ask("echo", Buffer.from("n"))));
  for (const { name, heard } of [admin, table, other]) story.say(`${name}: ${heard.join(" ")}`);
  await story.chapter("others heard nothing of it", ann, bob);
  for (const client of [admin, table, other]) client.socket.disconnect();

  const dave = await story.client("dave");
  const erin = await story.client("erin");
  const fred = await story.client("fred");
  const gina = await story.client("gina");
  const seen = async (count) => {
    await until(`${count} have gone`, async () => (await reasons()).filter(([what]) => what === "disconnect").length === count);
    await until("ann heard it", () => ann.heard.filter((line) => line.includes('"left"')).length >= 1);
    await story.chapter(`${count} have gone`, ann);
  };
  dave.socket.disconnect();
  await seen(1);
  erin.socket.emit("leave me", false);
  await seen(2);
  fred.socket.emit("leave me", true);
  await seen(3);
  gina.socket.io.engine.close();
  await seen(4);
  await until("they know", () => [dave, erin, fred, gina].every(({ heard }) => heard.some((line) => line.startsWith("disconnect"))));
  for (const { name, heard } of [dave, erin, fred, gina]) story.say(`${name}: ${heard.filter((line) => line.startsWith("disconnect"))}`);
  bob.socket.io.engine.transport.ws?.terminate?.();
  if (mode === "polling") bob.socket.io.engine.close();
  await seen(5);
  story.say(shown(await reasons()));
  for (const { socket } of story.clients) socket.disconnect();
  await pause(0);
  return story.lines;
}
