// A client of the native protocol over npm's ws that keeps what it gets, for tests.
import assert from "node:assert/strict";
import WebSocket from "ws";
import { decode } from "./binary.mjs";
import { rawMember, within } from "./util.mjs";

const ANSWERS = new Set(["authenticated", "subscribed", "unsubscribed", "published", "broadcasted", "sent", "pong", "presence", "refreshed", "history"]);

/* The worker that a connection is on, out of its client id: {instance}~base64url(nonce 4, worker 2, slot 4, random 8). */
export function workerOf(clientId) {
  return Buffer.from(clientId.slice(clientId.lastIndexOf("~") + 1), "base64url").readUInt16BE(4);
}

export class Client {
  constructor(socket) {
    this.socket = socket;
    this.inbox = []; // deliveries not taken by next(), in the order of arrival
    this.answers = new Map(); // id -> resolve
    this.waiting = null; // of next()
    this.ondelivery = null; // takes deliveries in place of the inbox
    this.nextId = 1;
    this.closed = new Promise((done) => {
      this.markClosed = done;
    });
    this.isClosed = false;
    socket.on("message", (bytes, isBinary) => this.received(bytes, isBinary));
    socket.on("error", (error) => {
      this.error = error;
    });
    socket.on("close", (code, reason) => {
      this.isClosed = true;
      this.closeCode = code;
      this.markClosed({ code, reason: reason.toString() });
      for (const { reject } of this.answers.values()) reject(new Error(`closed with ${code} ${reason} before the answer`));
      this.answers.clear();
      if (this.waiting) this.waiting();
    });
  }

  received(bytes, isBinary) {
    let message;
    if (isBinary) {
      message = decode(bytes);
      message.binary = true;
    } else {
      const text = bytes.toString();
      message = JSON.parse(text);
      // Only where a test asks for it: it costs more than parsing.
      Object.defineProperty(message, "raw", { get: () => rawMember(text, "data") });
    }
    if ((ANSWERS.has(message.type) || message.type === "error") && this.answers.has(message.id)) {
      const { resolve } = this.answers.get(message.id);
      this.answers.delete(message.id);
      resolve(message);
      return;
    }
    if (this.ondelivery) {
      this.ondelivery(message);
      return;
    }
    this.inbox.push(message);
    if (this.waiting) this.waiting();
  }

  /* The next delivery that `wanted` (a type, a predicate, or nothing = any) fits; those before it stay in the inbox. */
  async next(wanted, timeout = 5000) {
    const fits = typeof wanted === "function" ? wanted : (message) => wanted === undefined || message.type === wanted;
    const find = async () => {
      for (;;) {
        const at = this.inbox.findIndex(fits);
        if (at >= 0) return this.inbox.splice(at, 1)[0];
        if (this.isClosed) throw new Error(`closed with ${this.closeCode} while waiting for ${wanted ?? "a delivery"}`);
        await new Promise((done) => {
          this.waiting = done;
        });
      }
    };
    try {
      return await within(timeout, find(), `${this.name ?? "a client"} gets ${wanted ?? "a delivery"}`);
    } catch (error) {
      error.message += `; in the inbox: ${JSON.stringify(this.inbox.slice(0, 5))} (${this.inbox.length})`;
      throw error;
    }
  }

  send(message) {
    const isText = typeof message === "string";
    this.socket.send(isText || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  /* Sends an operation with an id and resolves with its answer, an error included. `encode` makes other bytes of it. */
  request(operation, { timeout = 10000, encode = JSON.stringify } = {}) {
    const id = operation.id ?? this.nextId++;
    const answer = new Promise((resolve, reject) => this.answers.set(id, { resolve, reject }));
    this.socket.send(encode({ ...operation, id }));
    const answered = within(timeout, answer, `an answer to ${operation.type} ${operation.channel ?? ""}`);
    answered.catch(() => {}); // who does not wait for it does not want to hear of it
    return answered;
  }

  async expect(type, operation, options) {
    const answer = await this.request(operation, options);
    assert.equal(answer.type, type, `${JSON.stringify(operation).slice(0, 200)} was answered ${JSON.stringify(answer)}`);
    return answer;
  }

  subscribe(channel) {
    return this.expect("subscribed", { type: "subscribe", channel });
  }

  unsubscribe(channel) {
    return this.expect("unsubscribed", { type: "unsubscribe", channel });
  }

  publish(channel, data, more) {
    return this.expect("published", { type: "publish", channel, data, ...more });
  }

  broadcast(data, more) {
    return this.expect("broadcasted", { type: "broadcast", data, ...more });
  }

  direct(to, data) {
    return this.expect("sent", { type: "direct", to, data });
  }

  presence(channel, more) {
    return this.expect("presence", { type: "presence", channel, ...more });
  }

  ping() {
    return this.expect("pong", { type: "ping" });
  }

  /* The request that must fail with this code. */
  async refused(code, operation, options) {
    const answer = await this.request(operation, options);
    assert.equal(answer.type, "error", `${JSON.stringify(operation).slice(0, 200)} was answered ${JSON.stringify(answer)}`);
    assert.equal(answer.code, code, JSON.stringify(answer));
    return answer;
  }

  close() {
    if (this.isClosed) return this.closed;
    this.socket.close(1000);
    return within(5000, this.closed, "the closing handshake");
  }

  /* Takes so many bytes once in `every` ms from now on, until what this gives is called: then all of it, as fast as it comes. */
  sips(bytes, every) {
    const transport = this.socket._socket;
    let left = 0;
    const take = (part) => {
      left -= part.length;
      if (left <= 0) this.socket.pause();
    };
    const timer = setInterval(() => {
      left = bytes;
      this.socket.resume();
    }, every);
    transport.on("data", take);
    this.socket.pause();
    return () => {
      clearInterval(timer);
      transport.off("data", take);
      this.socket.resume();
    };
  }

  /* Ends without a handshake. */
  terminate() {
    this.socket.terminate();
    return this.closed;
  }
}

/* Connects and resolves after welcome (or after the handshake with { welcome: false }, for raw end points). */
export async function connect(url, { protocols = [], welcome = true, timeout = 10000, ...options } = {}) {
  const socket = new WebSocket(url, protocols, { perMessageDeflate: false, skipUTF8Validation: false, ...options });
  const client = new Client(socket);
  if (!welcome) client.received = (bytes, isBinary) => {
    const message = { bytes, text: isBinary ? null : bytes.toString() };
    if (client.ondelivery) return client.ondelivery(message);
    client.inbox.push(message);
    if (client.waiting) client.waiting();
  };
  const opened = new Promise((done, failed) => {
    socket.once("open", done);
    socket.once("error", failed);
  });
  try {
    await within(timeout, opened, `connecting to ${url}`);
    if (!welcome) return client;
    client.welcome = await client.next(undefined, timeout);
  } catch (error) {
    socket.terminate();
    throw error;
  }
  assert.equal(client.welcome.type, "welcome", "the first message is welcome");
  client.id = client.welcome.client;
  client.worker = workerOf(client.id);
  client.name = `client on worker ${client.worker}`;
  return client;
}
