// Socket.IO clients whose connection breaks, and comes back: what the tests of connection state recovery share.
import { once } from "node:events";
import { io } from "socket.io-client";
import parser from "socket.io-msgpack-parser";
import { until, within } from "./util.mjs";

/* What a server does, as [[event]] rows: the same on Node (node_socketio.mjs). */
export const ROWS = [
  { on: "join", join: ["{args.0}"], ack: ["joined"] },
  { on: "leave", leave: ["{args.0}"], ack: ["left"] },
  { on: "say", emit: [{ to: "{args.0}", event: "said", args: ["{args.1..}"] }], ack: ["done"] },
  { on: "say others", emit: [{ to: "{args.0}", others: true, event: "said", args: ["{args.1..}"] }], ack: ["done"] },
  { on: "say except", emit: [{ to: "{args.0}", except: ["{args.1}"], event: "said", args: ["{args.2..}"] }], ack: ["done"] },
  { on: "shout", emit: [{ to: "*", event: "shouted", args: ["{args}"] }], ack: ["done"] },
  { on: "me", emit: [{ event: "you", args: ["{args}"] }], ack: ["done"] },
  { on: "murmur", emit: [{ to: "{args.0}", volatile: true, event: "said", args: ["{args.1..}"] }], ack: ["done"] },
  { on: "who", ack: ["{sid}"] },
  { on: "disconnect", emit: [{ to: "watchers", event: "left", args: ["{sid}", "{args.0}"] }] },
];

/* A client that writes down what comes: { socket, heard: [[event, ...args]] without offsets, offsets }. */
export class Member {
  constructor(server, { nsp = "/", transports = ["websocket"], msgpack = false, auth, ...options } = {}) {
    this.socket = io(`http://${server.host}${nsp}`, { path: server.path, transports, auth, forceNew: true, reconnection: false, ...(msgpack ? { parser } : {}), ...options });
    this.heard = [];
    this.offsets = [];
    this.connects = [];
    this.pids = [];
    this.socket.on("connect", () => {
      this.pids.push(this.socket._pid);
      this.connects.push({ id: this.socket.id, recovered: Boolean(this.socket.recovered) });
    });
    this.socket.onAny((event, ...args) => this.take(event, args));
  }

  /* An offset is a word of its own kind: what tests say has spaces, or is no text. */
  take(event, args) {
    const last = args.at(-1);
    if (this.socket._pid && typeof last === "string" && args.length > 1 && /^[\w.-]{6,16}$/.test(last)) this.offsets.push(args.pop());
    this.heard.push([event, ...args]);
  }

  /* Until it is connected, for the `count`th time. */
  async connected(count = 1) {
    await until(`connected ${count} times`, () => this.connects.length >= count);
    return this.connects[count - 1];
  }

  ask(...args) {
    return within(10000, this.socket.emitWithAck(...args), `the answer to ${args[0]}`);
  }

  /* The connection breaks, and the server knows it. */
  async breaks(watcher) {
    const id = this.socket.id;
    const gone = once(this.socket, "disconnect");
    this.socket.io.engine.close();
    await gone;
    if (watcher) await watcher.hears((all) => all.some(([event, sid]) => event === "left" && sid === id), `that ${id} left`);
  }

  async comesBack() {
    const before = this.connects.length;
    this.socket.connect();
    return this.connected(before + 1);
  }

  async hears(fits, what) {
    await until(what, () => fits(this.heard));
  }

  /* What it heard since, of the event. */
  takeAll(event) {
    const found = this.heard.filter(([name]) => name === event).map(([, ...args]) => (args.length === 1 ? args[0] : args));
    this.heard = this.heard.filter(([name]) => name !== event);
    return found;
  }

  close() {
    this.socket.disconnect();
  }
}
