/*
 * ringcast.js: the reference client, for browsers and Node. No dependencies, one file, served by every broker.
 *
 *   <script src="/ringcast.js"></script>                      makes a global Ringcast
 *   import "/ringcast.js"                                     the same, in a module
 *   import Ringcast from "ringcast"  or  require("ringcast")  in Node and with bundlers: the npm package (deploy/node/ringcast)
 *   import Ringcast from "./ringcast.js"  or  require(...)    in Node, the file alone; before Node 22 with { WebSocket: require("ws").WebSocket }
 *
 *   const broker = new Ringcast("wss://example.com/ws");
 *   await broker.subscribe("prices:BTC", (data, message) => show(data));
 *   await broker.publish("prices:BTC", { p: 1 });             // resolves when the broker has taken it
 *
 * Connects at once, again after a loss, and then subscribes again to all it was subscribed to. What it speaks is in
 * docs/protocol.md.
 *
 * Events, with on(name, handler) and off(name, handler):
 *   open       (welcome)           connected; also after every loss
 *   reconnect  (welcome)           after a loss: connected and subscribed again. Messages may have been missed meanwhile, but for
 *   recover    (channel, complete) the channel after a loss. true: all that was missed comes now, before anything newer, each message
 *                                  once; false: it cannot be had (no history, or it does not go back so far): read the state afresh
 *   close      ({ code, reason, reconnectMs })   the connection ended; reconnectMs is null if it stays so
 *   message    (message)           every message of every channel, "*" (broadcasts) and "user:…" included
 *   direct     (data, message)     for this client alone
 *   gap        (channel)           messages of this channel were left out; undefined: of any channel
 *   presence   (channel, change)   of channels subscribed to with { presence: true }: { joined, left, members, clients, users, more }:
 *                                  users who came and went, and all who are there now, as arrays of ids, null for those without one;
 *                                  more: there are too many to be named, and members is empty. Also after a loss, with what changed
 *   error      (error)             what no promise tells: failures of requests without acknowledgement, broken messages
 */
(function (root, make) {
  "use strict";
  const Ringcast = make();
  if (typeof module === "object" && module.exports) module.exports = Ringcast;
  else root.Ringcast = Ringcast;
})(typeof globalThis === "object" ? globalThis : this, function () {
  "use strict";

  const BASES_MAX = 10000; // keys of a channel whose last messages are kept for deltas (max_keys is at most this)
  const BATCH_MAX = 128; // operations in a message (docs/protocol.md)
  // The connection ended for a reason that a new one would meet again.
  const FINAL_CODES = new Set([1000, 1002, 1003, 1007, 1008, 1009, 1010]);
  const DEFAULTS = {
    protocols: ["ringcast.v1"],
    WebSocket: null, // a class with the browser's interface; null is the environment's own
    connect: true, // at once
    requestTimeout: 10000, // ms until a request without an answer is rejected
    connectTimeout: 15000, // ms until an attempt without a welcome is given up
    queueMax: 1000, // requests that wait for a connection
    reconnectMin: 1000, // ms before the first attempt ...
    reconnectMax: 30000, // ... and at most
    reconnectFactor: 1.5,
    delta: false, // true: of messages what they are more than the one before them, where the server has that
    heartbeat: 25000, // ms of silence before a ping asks whether anybody is there; 0 is never
  };
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();

  /* What promises are rejected with. code: that of an error answer (403 ...), or 0 for what happened on this side:
   * reason "disconnected" (it may or may not have happened), "timeout" (the same), "closed", "queue_full", "unsubscribed". */
  class RingcastError extends Error {
    constructor(code, reason, message, channel) {
      super(message || reason);
      this.name = "RingcastError";
      this.code = code;
      this.reason = reason;
      this.channel = channel;
    }
  }

  // --- the binary form, as far as a client of the JSON form needs it ---

  function putNumber(bytes, number) {
    for (; number > 127; number = Math.floor(number / 128)) bytes.push((number % 128) | 0x80);
    bytes.push(number);
  }

  function putText(bytes, text) {
    const encoded = encoder.encode(text);
    putNumber(bytes, encoded.length);
    for (const byte of encoded) bytes.push(byte);
  }

  /* Arguments as JSON can have them: bytes are put into `attachments`, and a placeholder where they were. */
  function detach(value, attachments) {
    const bytes = asBytes(value);
    if (bytes) return { _placeholder: true, num: attachments.push(bytes) - 1 };
    if (Array.isArray(value)) return value.map((part) => detach(part, attachments));
    if (value === null || typeof value !== "object" || typeof value.toJSON === "function") return value;
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, detach(part, attachments)]));
  }

  /* And back. */
  function attach(value, attachments) {
    if (Array.isArray(value)) return value.map((part) => attach(part, attachments));
    if (value === null || typeof value !== "object") return value;
    if (value._placeholder === true && attachments[value.num]) return attachments[value.num];
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, attach(part, attachments)]));
  }

  /* A publish, broadcast or direct whose data is bytes, or whose arguments have some as attachments. */
  function encodeBinary(request, data, attachments) {
    const type = { publish: 0x03, broadcast: 0x04, direct: 0x05 }[request.type];
    const exclude = request.exclude && request.exclude.length > 0 ? request.exclude : null;
    const flags = (attachments ? 0x20 : 0x04) | (request.event === undefined ? 0 : 0x80) | (request.id === undefined ? 0 : 0x01) | (request.echo === false ? 0x08 : 0) | (exclude ? 0x10 : 0) | (request.key ? 0x40 : 0);
    const head = [type, flags];
    if (request.id !== undefined) putNumber(head, request.id);
    if (request.type === "publish") putText(head, request.channel);
    if (request.type === "direct") putText(head, request.to);
    if (request.key) putText(head, request.key);
    if (exclude) {
      putNumber(head, exclude.length);
      for (const client of exclude) putText(head, client);
    }
    if (request.event !== undefined) putText(head, request.event);
    const parts = [head];
    if (attachments) {
      putNumber(head, attachments.length);
      for (const bytes of attachments) {
        const size = [];
        putNumber(size, bytes.length);
        parts.push(size, bytes);
      }
    }
    parts.push(data);
    const message = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      message.set(part, at);
      at += part.length;
    }
    return message;
  }

  /* A delivery in binary form, or null when it is of a type that we do not know. */
  function decodeBinary(bytes) {
    let at = 2;
    const readNumber = () => {
      let number = 0, scale = 1, byte;
      do {
        if (at >= bytes.length) throw new RangeError("a binary message is cut off");
        byte = bytes[at++];
        number += (byte & 127) * scale;
        scale *= 128;
      } while (byte > 127);
      return number;
    };
    const readText = () => {
      const count = readNumber();
      if (count > bytes.length - at) throw new RangeError("a binary message is cut off");
      return decoder.decode(bytes.subarray(at, (at += count)));
    };
    const [type, flags] = bytes;
    if (type === 0x85) return decodeVersion(bytes, flags, readNumber, readText, () => bytes.subarray(at));
    if (type !== 0x81 && type !== 0x82 && type !== 0x84) return null;
    const message = { type: type === 0x82 ? "direct" : "message" };
    if (type === 0x84) message.offset = readNumber();
    if (type === 0x84 && flags & 0x10) message.epoch = readText();
    if (type !== 0x82) message.channel = readText();
    if (flags & 0x20) message.from = readText();
    if (flags & 0x80) message.event = readText();
    if (flags & 0x40) {
      const attachments = [];
      for (let left = readNumber(); left > 0; left--) {
        const count = readNumber();
        if (count > bytes.length - at) throw new RangeError("a binary message is cut off");
        attachments.push(bytes.subarray(at, (at += count)));
      }
      message.args = attach(JSON.parse(decoder.decode(bytes.subarray(at))), attachments);
      return message;
    }
    const data = bytes.subarray(at);
    message.data = flags & 0x04 ? data : JSON.parse(decoder.decode(data));
    return message;
  }

  /* A message of a channel whose messages we get as deltas; `full` or `delta` are bytes. */
  function decodeVersion(bytes, flags, readNumber, readText, rest) {
    const message = { type: "message", binary: (flags & 0x04) !== 0 };
    message[flags & 0x02 ? "base" : "version"] = readNumber();
    if (flags & 0x01) message.offset = readNumber();
    if (flags & 0x40) message.epoch = readText();
    message.channel = readText();
    if (flags & 0x10) message.key = readText();
    if (flags & 0x20) message.from = readText();
    if (flags & 0x80) message.event = readText();
    message[flags & 0x02 ? "delta" : "full"] = rest();
    return message;
  }

  /* What a delta in Fossil's format makes of `base`; both and the result are Uint8Arrays. Throws a RangeError when it is none against it. */
  function applyDelta(base, delta) {
    const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
    const wrong = () => new RangeError("this delta is against another message");
    let at = 0, made = 0;
    const number = () => {
      let value = 0, digit;
      for (const first = at; (digit = digits.indexOf(String.fromCharCode(delta[at]))) >= 0; at++) {
        if (at - first > 5) throw wrong();
        value = value * 64 + digit;
      }
      at++;
      return value;
    };
    const bytes = number();
    if (bytes > 0x4000000 || delta[at - 1] !== 10) throw wrong();
    const target = new Uint8Array(bytes);
    while (at < delta.length) {
      const count = number();
      const kind = String.fromCharCode(delta[at - 1]);
      if (kind === ";") {
        let sum = 0;
        for (let i = 0; i < made; i++) sum = (sum + target[i] * [0x1000000, 0x10000, 0x100, 1][i & 3]) % 0x100000000;
        if (made !== bytes || sum !== count) throw wrong();
        return target;
      }
      const from = kind === "@" ? number() : at;
      const source = kind === "@" ? base : delta;
      if ((kind !== "@" && kind !== ":") || count > bytes - made || from + count > source.length) throw wrong();
      target.set(source.subarray(from, from + count), made);
      made += count;
      if (kind === ":") at += count;
    }
    throw wrong();
  }

  /* Data that is sent as bytes, as a Uint8Array; null for everything that is JSON. */
  function asBytes(data) {
    if (data instanceof ArrayBuffer) return new Uint8Array(data);
    if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return null;
  }

  /* Arguments have their attachments where they belong; what handlers get as data is the argument if there is one alone, else all. */
  function withArguments(message) {
    if (message.attachments) {
      const decode = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
      message.args = attach(message.args, message.attachments.map(decode));
      delete message.attachments;
    }
    if (message.args) message.data = message.args.length === 1 ? message.args[0] : message.args;
    return message;
  }

  function defaultUrl() {
    if (typeof location !== "object") throw new TypeError("Ringcast needs a URL here");
    return (location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/ws";
  }

  class Ringcast {
    constructor(url, options) {
      this.url = url || defaultUrl();
      this.options = Object.assign({}, DEFAULTS, options);
      this.state = "closed"; // "connecting", "open", "waiting" (for the next attempt) or "closed"
      this.welcome = null; // the server's welcome while open
      this.listeners = new Map(); // event -> handlers
      this.channels = new Map(); // name -> { handlers, confirmed: on this connection, waiters: of subscribe(), options: of subscribe(),
      //   known: it was confirmed before, epoch and offset: where we are in its history; epoch null: nowhere }
      this.former = null; // the client id that we had: who left it out of a message still does
      this.bases = new Map(); // channel -> key -> { version, bytes } of its last message, where we get deltas
      this.requests = new Map(); // id -> { resolve, reject, timer } of what was sent and not answered
      this.queue = []; // what waits for a connection
      this.nextId = 1;
      this.attempts = 0; // since the last welcome
      this.opened = false; // there was a connection before
      if (this.options.connect) this.connect();
    }

    /* This connection's client id, for others to send directs to or to exclude; null while there is none. */
    get client() {
      return this.welcome ? this.welcome.client : null;
    }

    on(event, handler) {
      if (!this.listeners.has(event)) this.listeners.set(event, []);
      this.listeners.get(event).push(handler);
      return this;
    }

    off(event, handler) {
      const rest = (this.listeners.get(event) || []).filter((other) => other !== handler);
      this.listeners.set(event, rest);
      return this;
    }

    /* Connects, after close() or with { connect: false }; at once, too, while it waits for its next attempt. */
    connect() {
      if (this.state === "connecting" || this.state === "open") return;
      const WebSocketClass = this.options.WebSocket || globalThis.WebSocket || Ringcast.WebSocket;
      if (!WebSocketClass) throw new TypeError("no WebSocket here: Node has one from version 22 on; before, npm install ws, or give a class as options.WebSocket");
      clearTimeout(this.reconnectTimer);
      this.state = "connecting";
      const socket = new WebSocketClass(this.url, this.options.protocols);
      socket.binaryType = "arraybuffer";
      this.socket = socket;
      this.connectTimer = setTimeout(() => this._lost(socket, 1006, "no answer"), this.options.connectTimeout);
      socket.onmessage = (event) => this._received(socket, event.data);
      socket.onclose = (event) => this._lost(socket, event.code, event.reason);
      socket.onerror = () => {}; // a close follows and says as much
    }

    /* Ends the connection for good: no reconnecting, everything unanswered is rejected. Subscriptions are kept for connect(). */
    close() {
      const socket = this.socket;
      const wasClosed = this.state === "closed";
      for (const entry of this.channels.values()) entry.confirmed = false;
      this._detach();
      this.state = "closed";
      clearTimeout(this.reconnectTimer);
      if (socket) socket.close(1000);
      this._rejectAll(new RingcastError(0, "closed", "this client was closed"));
      if (!wasClosed) this._emit("close", { code: 1000, reason: "", reconnectMs: null });
    }

    /* Calls handler(data, message) for each message of the channel. Resolves when the server has subscribed us: what is
     * published from then on arrives. It waits for a connection as long as it takes. After a loss we are subscribed again, and get what we
     * missed where the channel has a history ("recover"). options, of the channel's first subscribe(): last: so many of the newest messages
     * first; retained: true: the retained values first (message.retained), also when what was missed cannot be had; snapshot: true: likewise the
     * newest message of each key; recover: false: never what was missed; presence: true: who comes and goes ("presence"). */
    subscribe(channel, handler, options) {
      let entry = this.channels.get(channel);
      const isNew = !entry;
      if (isNew) {
        entry = { handlers: [], confirmed: false, waiters: [], options: options || {}, known: false, epoch: null, offset: 0, members: null };
        this.channels.set(channel, entry);
      }
      if (handler) entry.handlers.push(handler);
      if (entry.confirmed) return Promise.resolve({ channel });
      const promise = new Promise((resolve, reject) => entry.waiters.push({ resolve, reject }));
      if (isNew && this.state === "open") this._sendSubscriptions([channel]);
      return promise;
    }

    /* Takes one handler off the channel, or all; without handlers the channel is left. */
    unsubscribe(channel, handler) {
      const entry = this.channels.get(channel);
      if (!entry) return Promise.resolve({ channel });
      if (handler) entry.handlers = entry.handlers.filter((other) => other !== handler);
      if (handler && entry.handlers.length > 0) return Promise.resolve({ channel });
      this.channels.delete(channel);
      this.bases.delete(channel);
      for (const waiter of entry.waiters) waiter.reject(new RingcastError(0, "unsubscribed", "unsubscribed before the answer", channel));
      // Without a connection there is nothing to take back: only what is in `channels` is subscribed again.
      if (this.state !== "open") return Promise.resolve({ channel });
      return this._request({ type: "unsubscribe", channel }, {});
    }

    /* Sends data (JSON, or bytes as ArrayBuffer or a view of one) to the channel. Resolves when the server has taken it.
     * options: ack false: resolves as soon as it is handed to the connection, errors come as events; echo false: not to
     * ourselves; exclude: client ids that do not get it; key: up to 64 bytes, a newer message of the same key may replace this one
     * where the namespace throttles or conflates; timeout in ms; event: what the message is called, which Socket.IO clients and
     * handlers see (message.event); args: an array of arguments, with bytes anywhere in it, in the place of data. */
    publish(channel, data, options) {
      return this._request({ type: "publish", channel, data }, options);
    }

    /* An event with arguments, as Socket.IO has them. */
    emit(channel, event, ...args) {
      return this.publish(channel, undefined, { event, args });
    }

    /* The same to everybody who is connected; arrives as a message on channel "*". */
    broadcast(data, options) {
      return this._request({ type: "broadcast", data }, options);
    }

    /* To one client, by its client id. */
    direct(to, data, options) {
      return this._request({ type: "direct", to, data }, options);
    }

    /* Who is in a channel that we are subscribed to, where the server keeps that: resolves with { clients, users, members: [{ user,
     * clients, instances }], more, scope } (docs/protocol.md). options: limit: so many members at most; timeout in ms. */
    presence(channel, options) {
      const request = { type: "presence", channel };
      if (options && options.limit !== undefined) request.limit = options.limit;
      return this._request(request, { timeout: options && options.timeout });
    }

    /* Resolves with the milliseconds that an answer took. */
    ping(options) {
      const request = { type: "ping" };
      return this._request(request, options).then((answer) => answer.receivedAt - request.sentAt);
    }

    // --- inside ---

    _emit(event, ...values) {
      for (const handler of this.listeners.get(event) || []) this._call(handler, values);
    }

    /* A handler that throws must not harm the others: its error surfaces where uncaught ones do. */
    _call(handler, values) {
      try {
        handler(...values);
      } catch (error) {
        setTimeout(() => {
          throw error;
        });
      }
    }

    _request(request, options) {
      options = options || {};
      if (options.echo === false) request.echo = false;
      if (options.exclude) request.exclude = options.exclude;
      if (options.key && request.type === "publish") request.key = String(options.key);
      if (options.event !== undefined && "data" in request) request.event = String(options.event);
      const attachments = [];
      if (options.args && "data" in request && request.data === undefined) {
        delete request.data;
        request.args = detach(options.args, attachments);
      }
      const acknowledged = options.ack !== false || request.type === "ping";
      if (acknowledged) request.id = this.nextId++;
      const failed = (code, reason, message) => Promise.reject(new RingcastError(code, reason, message, request.channel));
      if (this.state === "closed") return failed(0, "closed", "this client is closed");
      const bytes = asBytes(request.data);
      let message;
      try {
        if ("data" in request && ["undefined", "function", "symbol"].includes(typeof request.data)) throw new TypeError("no value");
        if (bytes) message = encodeBinary(request, bytes);
        else if (attachments.length > 0) message = encodeBinary(request, encoder.encode(JSON.stringify(request.args)), attachments);
        else message = JSON.stringify(request);
      } catch (error) {
        return failed(400, "bad_request", "data is neither JSON nor bytes: " + error.message);
      }
      return new Promise((resolve, reject) => {
        const entry = { request, message, resolve, reject, acknowledged, timer: null };
        if (acknowledged) {
          const timeout = options.timeout || this.options.requestTimeout;
          entry.timer = setTimeout(() => this._timedOut(entry, timeout), timeout);
        }
        if (this.state === "open") this._send(entry);
        else if (this.queue.length < this.options.queueMax) this.queue.push(entry);
        else this._settle(entry, new RingcastError(0, "queue_full", "too many requests wait for a connection", request.channel));
      });
    }

    _timedOut(entry, timeout) {
      this.requests.delete(entry.request.id);
      this.queue = this.queue.filter((other) => other !== entry);
      this._settle(entry, new RingcastError(0, "timeout", "no answer within " + timeout + " ms", entry.request.channel));
    }

    _settle(entry, error, answer) {
      clearTimeout(entry.timer);
      if (error) entry.reject(error);
      else entry.resolve(answer);
    }

    _send(entry) {
      const { request, message } = entry;
      const max = this.welcome.max_message_size;
      // The server would close the connection over it, and the next one as well.
      if (message.length * 3 > max && (message.length > max || (typeof message === "string" && encoder.encode(message).length > max))) {
        this._settle(entry, new RingcastError(413, "too_large", "the server takes " + max + " bytes at most", request.channel));
        return;
      }
      if (entry.acknowledged) this.requests.set(request.id, entry);
      request.sentAt = now();
      this.socket.send(message);
      if (!entry.acknowledged) this._settle(entry, null);
    }

    /* Subscribes to these channels in as few messages as the server's limits allow; resolves when all are answered. */
    _sendSubscriptions(channels) {
      const max = this.welcome.max_message_size;
      let batch = [], characters = 0;
      const flush = () => {
        if (batch.length > 0) this.socket.send("[" + batch.join(",") + "]");
        batch = [];
        characters = 0;
      };
      const answers = channels.map((channel) => {
        const entry = this.channels.get(channel);
        const id = this.nextId++;
        const text = JSON.stringify(this._withDelta(this._subscription(channel, entry, id)));
        if (batch.length === BATCH_MAX || (characters + text.length) * 3 > max) flush();
        batch.push(text);
        characters += text.length + 1;
        return new Promise((resolve) => {
          const request = { request: { id, channel }, acknowledged: true, timer: null };
          request.resolve = (answer) => resolve(this._subscribed(channel, entry, null, answer));
          request.reject = (error) => resolve(this._subscribed(channel, entry, error));
          request.timer = setTimeout(() => this._timedOut(request, this.options.requestTimeout), this.options.requestTimeout);
          this.requests.set(id, request);
        });
      });
      flush();
      return Promise.all(answers);
    }

    _subscription(channel, entry, id) {
      const { last, retained, snapshot, recover, presence } = entry.options;
      const request = { type: "subscribe", channel, id };
      if (presence) request.presence = true;
      if (retained) request.retained = true;
      if (snapshot) request.snapshot = true;
      if (last > 0) request.since = "last " + last;
      if (entry.epoch !== null && recover !== false) {
        request.recover = { epoch: entry.epoch, offset: entry.offset };
        if (this.former) request.recover.client = this.former;
      }
      return request;
    }

    /* Where we are in the channel's history from the answer on; what was missed, or asked for, comes behind it. */
    _placed(channel, entry, answer) {
      if (answer.recovered !== true) {
        entry.epoch = answer.epoch === undefined ? null : answer.epoch;
        entry.offset = entry.options.snapshot ? 0 : Math.max(0, (answer.offset || 0) - (entry.options.last || 0));
      }
      const again = entry.known;
      entry.known = true;
      if (again) this._emit("recover", channel, answer.recovered === true);
    }

    /* Is the message new to us? */
    _isNew(entry, message) {
      if (message.offset === undefined || message.retained) return true;
      if (message.epoch !== undefined) entry.epoch = message.epoch;
      else if (message.offset <= entry.offset && entry.epoch !== null) return false;
      entry.offset = message.offset;
      return true;
    }

    _subscribed(channel, entry, error, answer) {
      if (this.channels.get(channel) !== entry) return; // given up meanwhile
      // Lost on the way: the next connection subscribes again, whoever waits goes on waiting. Closed by close(): the next connect() does,
      // whoever waits has been told.
      if (error && (error.reason === "disconnected" || error.reason === "closed")) return;
      const waiters = entry.waiters;
      entry.waiters = [];
      if (error) {
        this.channels.delete(channel);
        if (error.reason === "timeout" && this.state === "open") this.socket.send(JSON.stringify({ type: "unsubscribe", channel }));
        if (waiters.length === 0) this._emit("error", error);
      } else {
        entry.confirmed = true;
        this._placed(channel, entry, answer);
      }
      for (const waiter of waiters) error ? waiter.reject(error) : waiter.resolve(answer);
    }

    _received(socket, data) {
      if (socket !== this.socket) return;
      this._heard();
      let message;
      try {
        message = typeof data === "string" ? JSON.parse(data) : decodeBinary(new Uint8Array(data));
      } catch (error) {
        this._emit("error", new RingcastError(0, "bad_message", "the server sent what cannot be read: " + error.message));
        return;
      }
      if (message === null || typeof message !== "object") return;
      switch (message.type) {
        case "welcome":
          this._welcomed(message);
          break;
        case "message": {
          const entry = this.channels.get(message.channel);
          if (entry && !this._isNew(entry, message)) break;
          if (("base" in message || "version" in message) && !this._restored(message)) break;
          withArguments(message);
          this._emit("message", message);
          if (entry) for (const handler of entry.handlers.slice()) this._call(handler, [message.data, message]);
          break;
        }
        case "direct":
          withArguments(message);
          this._emit("direct", message.data, message);
          break;
        case "gap":
          this._emit("gap", message.channel);
          if (message.channel === undefined) for (const channel of this.channels.keys()) this._askPresence(channel);
          break;
        case "presence_state":
        case "presence_diff":
          this._present(message);
          break;
        case "presence_gap":
          this._askPresence(message.channel);
          break;
        default:
          this._answered(message);
      }
    }

    /* Who is there, anew: something of who came and went was missed. */
    _askPresence(channel) {
      const entry = this.channels.get(channel);
      if (entry && entry.confirmed && entry.options.presence) this.socket.send(JSON.stringify({ type: "subscribe", channel, presence: true }));
    }

    /* Who is there in place of what we knew, or who came and went. */
    _present({ type, channel, members, joined, left, clients, users, more }) {
      const entry = this.channels.get(channel);
      if (!entry || !entry.options.presence) return;
      const before = entry.members || new Set();
      const ids = (list) => list.map(({ user }) => user);
      if (type === "presence_state") {
        entry.members = new Set(ids(members));
      } else {
        entry.members = new Set(before);
        for (const user of ids(left)) entry.members.delete(user);
        for (const user of ids(joined)) entry.members.add(user);
      }
      const of = (some, others) => (more ? [] : [...some].filter((user) => !others.has(user)));
      this._emit("presence", channel, { joined: of(entry.members, before), left: of(before, entry.members), members: [...entry.members], clients, users, more: more === true });
    }

    _withDelta(request) {
      return this.options.delta ? Object.assign(request, { delta: "fossil" }) : request;
    }

    /* Gives a message that came whole, or as a delta, its data. False: it cannot be read, which is said, and the next one comes whole. */
    _restored(message) {
      const { channel, key = "", full, delta, base, version, binary } = message;
      const asBytesOf = (content) => (typeof content === "string" ? encoder.encode(content) : content);
      let bases = this.bases.get(channel);
      if (!bases) this.bases.set(channel, (bases = new Map()));
      const before = bases.get(key);
      let bytes;
      try {
        if (delta !== undefined && (!before || before.version !== base)) throw new RangeError("it is against another message");
        bytes = delta === undefined ? asBytesOf(full) : applyDelta(before.bytes, asBytesOf(delta));
      } catch (error) {
        bases.delete(key);
        this.socket.send(JSON.stringify(this._withDelta({ type: "subscribe", channel }))); // first: a handler may close()
        this._emit("gap", channel);
        return false;
      }
      message.version = delta === undefined ? version : base === 0xffffffff ? 1 : base + 1;
      bases.delete(key); // the one that changed longest ago is the first
      bases.set(key, { version: message.version, bytes });
      if (bases.size > BASES_MAX) bases.delete(bases.keys().next().value);
      message.data = binary ? bytes : JSON.parse(decoder.decode(bytes));
      for (const name of ["full", "delta", "base", "binary"]) delete message[name];
      return true;
    }

    _answered(message) {
      const entry = this.requests.get(message.id);
      const error = message.type === "error" ? new RingcastError(message.code, message.reason, message.message, message.channel) : null;
      if (entry) {
        this.requests.delete(message.id);
        message.receivedAt = now();
        this._settle(entry, error, message);
      } else if (error) {
        this._emit("error", error);
      }
    }

    _welcomed(welcome) {
      const isAgain = this.opened;
      clearTimeout(this.connectTimer);
      this.welcome = welcome;
      this.state = "open";
      this.opened = true;
      this.attempts = 0;
      const subscribed = this._sendSubscriptions([...this.channels.keys()]);
      for (const entry of this.queue.splice(0)) this._send(entry);
      this._emit("open", welcome);
      if (isAgain) {
        subscribed.then(() => {
          if (this.welcome === welcome) this._emit("reconnect", welcome);
        });
      }
    }

    /* Browsers do not show the server's pings: after silence we ask, and after silence again the connection is dead. */
    _heard() {
      clearTimeout(this.heartbeatTimer);
      if (!(this.options.heartbeat > 0)) return;
      const socket = this.socket;
      this.heartbeatTimer = setTimeout(() => {
        if (this.state === "open") socket.send('{"type":"ping"}');
        this.heartbeatTimer = setTimeout(() => this._lost(socket, 1006, "no sign of life"), this.options.heartbeat);
      }, this.options.heartbeat);
    }

    _detach() {
      const socket = this.socket;
      clearTimeout(this.connectTimer);
      clearTimeout(this.heartbeatTimer);
      this.socket = null;
      this.former = this.client || this.former;
      this.welcome = null;
      if (socket) socket.onmessage = socket.onclose = null;
    }

    _lost(socket, code, reason) {
      if (socket !== this.socket) return;
      this._detach();
      if (socket.readyState < 2) socket.close();
      const isFinal = FINAL_CODES.has(code) || (code >= 4500 && code <= 4999);
      const reconnectMs = isFinal ? null : this._reconnectDelay(code, reason);
      this.state = isFinal ? "closed" : "waiting";
      for (const entry of this.channels.values()) entry.confirmed = false;
      const error = new RingcastError(0, "disconnected", "the connection ended (" + code + (reason ? " " + reason : "") + ") before the answer came");
      if (isFinal) {
        this._rejectAll(error);
      } else {
        this._rejectSent(error);
        this.reconnectTimer = setTimeout(() => this.connect(), reconnectMs);
      }
      this._emit("close", { code, reason, reconnectMs });
    }

    _reconnectDelay(code, reason) {
      if (code === 1012) {
        try {
          const { reconnect_ms: delay } = JSON.parse(reason);
          if (delay >= 0 && delay < 86400000) return delay;
        } catch (error) {
          // Not from our server: wait as after any other loss.
        }
      }
      const { reconnectMin, reconnectMax, reconnectFactor } = this.options;
      const delay = Math.min(reconnectMax, reconnectMin * Math.pow(reconnectFactor, this.attempts++));
      return delay * (0.5 + Math.random() / 2);
    }

    _rejectSent(error) {
      const sent = [...this.requests.values()];
      this.requests.clear();
      for (const entry of sent) this._settle(entry, error);
    }

    _rejectAll(error) {
      this._rejectSent(error);
      for (const entry of this.queue.splice(0)) this._settle(entry, error);
      for (const entry of this.channels.values()) {
        for (const waiter of entry.waiters.splice(0)) waiter.reject(error);
      }
    }
  }

  function now() {
    return typeof performance === "object" ? performance.now() : Date.now();
  }

  Ringcast.WebSocket = null; // where the environment has none: what the package finds instead
  Ringcast.Error = RingcastError;
  Ringcast.applyDelta = applyDelta;
  return Ringcast;
});
