// What clients of the applications of deploy/node/examples do, and what each sees of it, as lines: the same ones whoever holds the clients
// (link_examples.test.mjs).
import { io as connectClient } from "socket.io-client";
import connectOldClient from "socket.io-client-2";
import parser from "socket.io-msgpack-parser";
import { until, within } from "./util.mjs";

const shown = (value) => JSON.stringify(value, (_, part) => (part?.type === "Buffer" ? `bytes ${Buffer.from(part.data).toString("hex")}` : part));

/* What is volatile may come or not, and an administrator is told of much that changes by itself. */
const PASSED_OVER = /^(typing|pointer|cursor|config|server_stats|all_sockets)$/;

/* Clients of one run, and what they have seen, in order of each. */
export class Run {
  constructor(url, applicationUrl, transports) {
    Object.assign(this, { url, applicationUrl, transports, lines: [], clients: [] });
  }

  /* `old`: with the client of Socket.IO 2; `nsp`: a namespace; the rest are options of the client. */
  async come(name, { old, nsp = "", ...options } = {}) {
    const connect = old ? connectOldClient : connectClient;
    const socket = connect(`${this.url}${nsp}`, { transports: this.transports, forceNew: true, reconnection: false, query: { who: name }, ...options });
    const client = { name, socket, heard: [], ask: (...args) => within(15000, new Promise((done) => socket.emit(...args, (...answer) => done(answer))), `${name}: ${args[0]}`) };
    // With recovery each event has its offset behind its arguments, another one in each run.
    const hear = (...args) => PASSED_OVER.test(args[0]) || client.heard.push(shown(socket._pid && typeof args.at(-1) === "string" ? args.slice(0, -1) : args));
    if (old) socket.onevent = ({ data }) => hear(...data);
    else socket.onAny(hear);
    socket.on("disconnect", (reason) => client.heard.push(`disconnect: ${reason}`));
    this.clients.push(client);
    this.lines.push(`${name}: ${await within(15000, new Promise((done) => socket.once("connect", () => done("connected")).once("connect_error", ({ message }) => done(message))), `${name} comes`)}`);
    client.id = socket.id;
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

  /* Ids are others in each run: names stand for them. */
  named(line) {
    return this.clients.filter(({ id }) => id).reduce((text, { id, name }) => text.replaceAll(id, `<${name}>`), line);
  }

  get story() {
    return this.lines.map((line) => this.named(line));
  }

  end() {
    for (const { socket } of this.clients) socket.disconnect();
  }
}

/* `flag`: linked by it alone, without a changed line; `processes`: behind ringcast; `config`: more of the broker's. */
export const STORIES = {
  chat: { flag: "--import", async tell(run) {
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
  } },
  whiteboard: { async tell(run) {
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
  } },
  session: { flag: "-r", async tell(run) {
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
  } },
  token: { flag: "--import", async tell(run) {
    const tokenOf = async (user) => ({ extraHeaders: { authorization: `Bearer ${await (await fetch(`${run.applicationUrl}/?user=${user}`)).text()}` } });
    await run.come("nobody");
    await run.come("mallory", { extraHeaders: { authorization: "Bearer made.up.token" } });
    const [his, hers] = [await tokenOf("bob"), await tokenOf("ann")];
    const [bob, tab, ann] = [await run.come("bob", his), await run.come("bob's second", his), await run.come("ann", hers)];
    await run.asks(bob, "whoami");
    await run.asks(ann, "whoami");
    ann.socket.emit("tell", "bob", "hello, both of you");
    await run.heard(bob, 1);
    await run.heard(tab, 1);
    tab.socket.emit("tell", "ann", "hello");
    await run.heard(ann, 1);
    bob.socket.emit("log out");
    await run.heard(bob, 1);
    await run.heard(tab, 1);
    run.lines.push(`ann is there: ${ann.socket.connected}`);
  } },
  "drawing-room": { config: { "socketio.allow_eio3": true }, async tell(run) {
    const ann = await run.come("ann");
    await run.heard(ann, 1);
    ann.socket.emit("join", "room");
    await run.heard(ann, 2);
    const bob = await run.come("bob, of Socket.IO 2", { old: true });
    await run.heard(bob, 1);
    bob.socket.emit("join", "room");
    await run.heard(bob, 1);
    await run.heard(ann, 2);
    ann.socket.emit("scene", "room", Buffer.from([0, 1, 254, 255]), new Uint8Array([7, 8]));
    await run.heard(bob, 1);
    bob.socket.emit("scene", "room", Buffer.from("sealed"), Buffer.from("iv"));
    await run.heard(ann, 1);
    const eve = await run.come("eve");
    await run.heard(eve, 1);
    eve.socket.emit("join", "room");
    for (const [client, count] of [[eve, 1], [ann, 2], [bob, 2]]) await run.heard(client, count);
    eve.socket.emit("follow", ann.id, true);
    await run.heard(ann, 1);
    bob.socket.emit("follow", ann.id, true);
    await run.heard(ann, 1);
    eve.socket.emit("follow", ann.id, false);
    await run.heard(ann, 1);
    bob.socket.disconnect();
    for (const client of [bob, ann, eve]) await run.heard(client, 1);
    run.lines.push(await (await fetch(run.applicationUrl)).text());
  } },
  "private-messages": { processes: 2, async tell(run) {
    await run.come("nobody");
    await run.come("mallory", { auth: { session: "ann.0123456789abcdef" } });
    const ann = await run.come("ann", { auth: { user: "ann" } });
    await run.heard(ann, 2);
    const bob = await run.come("bob", { auth: { user: "bob" } });
    await run.heard(bob, 2);
    await run.heard(ann, 1);
    const session = run.lines.map((line) => /^bob hears \["session","(.*)"\]$/.exec(line)?.[1]).find(Boolean);
    const tab = await run.come("bob's second", { auth: { session } });
    await run.heard(tab, 2);
    await run.heard(ann, 1);
    await run.heard(bob, 1);
    ann.socket.emit("private message", "bob", "hello, ü€😀");
    for (const client of [bob, tab]) await run.heard(client, 1);
    bob.socket.emit("private message", "ann", "hello");
    for (const client of [ann, tab]) await run.heard(client, 1);
    const eve = await run.come("eve", { auth: { user: "eve" } });
    await run.heard(eve, 2);
    for (const client of [ann, bob, tab]) await run.heard(client, 1);
    bob.socket.disconnect();
    await run.heard(bob, 1);
    // By each process somebody comes, so that the one of bob has asked for his other socket, and was answered, before that goes, too.
    const others = [ann, tab, eve];
    for (const name of ["cyd", "dan"]) {
      const late = await run.come(name, { auth: { user: name } });
      await run.heard(late, 2);
      for (const client of others) await run.heard(client, 1);
      others.push(late);
    }
    ann.socket.emit("private message", "bob", "still there?");
    await run.heard(tab, 1);
    tab.socket.disconnect();
    for (const client of others.filter((one) => one !== tab)) await run.heard(client, 1);
    run.lines.push(`eve has heard ${eve.heard.length} more`);
  } },
  gateway: { flag: "-r", async tell(run) {
    await run.come("mallory", { nsp: "/shop" });
    const shop = (who) => ({ nsp: "/shop", query: { who, key: "a key" } });
    const ann = await run.come("ann", shop("ann"));
    await run.heard(ann, 1);
    const bob = await run.come("bob", shop("bob"));
    for (const client of [ann, bob]) await run.heard(client, 1);
    await run.asks(ann, "watch", "a chair");
    await run.asks(bob, "watch", "a chair");
    await run.asks(ann, "bid", { item: "a chair", amount: 10 });
    await run.heard(bob, 1);
    bob.socket.emit("bid", { item: "a chair", amount: 7 });
    await run.heard(bob, 1);
    await run.asks(bob, "bid", { item: "a chair", amount: 12 });
    await run.heard(ann, 1);
    ann.socket.emit("broken");
    await run.heard(ann, 1);
    ann.socket.emit("watch", "a chair"); // no acknowledgement is wanted
    await run.heard(ann, 1);
    bob.socket.disconnect();
    await run.heard(ann, 1);
  } },
  admin: { async tell(run) {
    const admin = await run.come("admin", { nsp: "/admin" });
    const sees = (what) => until(`the administrator sees ${what}: ${admin.heard}`, () => admin.heard.some((line) => line.includes(what)));
    const ann = await run.come("ann");
    await sees("socket_connected");
    await run.asks(ann, "join", "a room");
    await sees("room_joined");
    ann.socket.emit("say", "a room", "hello");
    await sees("event_received");
    await sees("event_sent");
    await run.heard(ann, 1);
    admin.socket.emit("emit", "/", ann.id, "from above", 1);
    await run.heard(ann, 1);
    admin.socket.emit("join", "/", "another room", ann.id);
    await sees('"another room"');
    admin.socket.emit("_disconnect", "/", false, ann.id);
    await run.heard(ann, 1);
    await sees("socket_disconnected");
    await until("and the rooms that it was in", () => admin.heard.filter((line) => line.startsWith('["room_left"')).length === 3);
    // Handshakes and moments are others each time, and some of it is said of each transport.
    const seen = admin.heard.splice(0).map((line) => (line.startsWith('["socket_connected"') ? '["socket_connected"' : run.named(line).replaceAll(/"\d{4}-[^"]*Z"/g, "time")));
    run.lines.push(...new Set(seen.sort()));
  } },
  feed: { async tell(run) {
    const [ann, bob] = [await run.come("ann", { parser }), await run.come("bob", { parser })];
    await run.asks(ann, "subscribe", ["sport"]);
    await run.asks(bob, "subscribe", ["sport", "weather"]);
    bob.socket.emit("publish", "sport", { goals: [1, 2], picture: Buffer.from([0, 255]) });
    for (const client of [ann, bob]) await run.heard(client, 1);
    bob.socket.io.engine.close();
    await run.heard(bob, 1);
    await run.heard(ann, 1);
    for (const [topic, news] of [["weather", { sun: true }], ["sport", { late: 1 }], ["nobody's", {}]]) ann.socket.emit("publish", topic, news);
    await run.heard(ann, 1);
    const back = new Promise((done) => bob.socket.once("connect", done));
    bob.socket.connect();
    await within(15000, back, "bob comes back");
    await run.heard(bob, 2);
    run.lines.push(`bob is the same: ${bob.socket.id === bob.id}, recovered: ${bob.socket.recovered}`);
    await run.asks(bob, "what do you know");
    ann.socket.emit("publish", "sport", { live: true });
    for (const client of [ann, bob]) await run.heard(client, 1);
  } },
};

/* The same of an application that is NestJS's (nest_gateway.mjs). */
export const NEST = { flag: "-r", async tell(run) {
  await run.come("mallory", { nsp: "/shop" });
  const shop = (who, member) => ({ nsp: "/shop", query: { who, key: "a key" }, auth: { member } });
  const ann = await run.come("ann", shop("ann", true));
  await run.heard(ann, 1);
  const bob = await run.come("bob", shop("bob", true));
  const eve = await run.come("eve", shop("eve", false));
  for (const [client, count] of [[ann, 2], [bob, 2], [eve, 1]]) await run.heard(client, count);
  for (const client of [ann, bob]) {
    client.socket.emit("watch", "a chair");
    await run.heard(client, 1);
  }
  await run.asks(ann, "bid", { item: "a chair", amount: 10 });
  await run.heard(bob, 1);
  bob.socket.emit("bid", { item: "a chair", amount: 7 });
  await run.heard(bob, 1);
  eve.socket.emit("bid", { item: "a chair", amount: 12 });
  await run.heard(eve, 1);
  await run.asks(eve, "double", "21");
  eve.socket.emit("double", "many");
  await run.heard(eve, 1);
  await run.asks(eve, "everybody");
  eve.socket.emit("bytes", Buffer.from([0, 1, 255]));
  await run.heard(eve, 1);
  ann.socket.emit("broken");
  await run.heard(ann, 1);
  const dan = await run.come("dan", { nsp: "/help" });
  await run.asks(dan, "ask", "not");
  dan.socket.emit("ask", "");
  await run.heard(dan, 1);
  bob.socket.disconnect();
  for (const client of [ann, eve]) await run.heard(client, 1);
} };
