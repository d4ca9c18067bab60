"use strict";
// The adapter that socket.io gets in place of its in-memory one. Rooms of this process's sockets are here as always, and in ringcast; a
// broadcast is encoded once, is one frame, and is fanned out there. Calls that reach other processes are those of socket.io-adapter's
// ClusterAdapter, carried by ringcast, which also knows who is there.
const { Adapter, ClusterAdapterWithHeartbeat, MessageType } = require("socket.io-adapter");
const { FLAGS, LIST_MAX } = require("./frames.js");
const { nspKey, short } = require("./links.js");

const EVENT = 2;
const BINARY_EVENT = 5;
const ROOM_MAX = 1024; // bytes, its type included
const RETURNING_MAX = 4096; // broadcasts that are kept for one client that comes back, from when it asks until it is there
const RETURNING_MS = 60000;
const PARTS = "+"; // a question's id begins with it: who asks takes an answer in parts, and hears why there is none
const REFUSED = Symbol("refused"); // among the flags of what is asked, where JSON does not see it: who is told that it could not be said

/* `42` and "42" are two rooms. */
const roomKey = (room) => {
  if (typeof room === "string") return short(`s${room}`, ROOM_MAX);
  return short(typeof room === "number" ? `n${room}` : `j${typeof room === "object" ? JSON.stringify(room) : String(room)}`, ROOM_MAX);
};
/* The room of a key; undefined where the key does not tell. */
const roomOf = (key) => {
  try {
    return { s: String, n: Number, j: JSON.parse }[key[0]]?.(key.slice(1));
  } catch {
    return undefined;
  }
};
const NONE = [];
const keysOf = (rooms) => {
  if (!rooms || rooms.size === 0) return NONE;
  const keys = [];
  for (const room of rooms) keys.push(roomKey(room));
  return keys;
};

/* JSON that carries bytes as well, as texts that begin with NUL b; texts that begin with NUL get another one. */
const pack = (message) => Buffer.from(JSON.stringify(message, function (name, value) {
  const raw = this[name];
  if (ArrayBuffer.isView(raw) || raw instanceof ArrayBuffer) return `\0b${Buffer.from(raw.buffer ?? raw, raw.byteOffset, raw.byteLength).toString("base64")}`;
  return typeof value === "string" && value[0] === "\0" ? `\0${value}` : value;
}));
const unpack = (bytes) => JSON.parse(bytes.toString(), (_, value) => {
  if (typeof value !== "string" || value[0] !== "\0") return value;
  return value[1] === "b" ? Buffer.from(value.slice(2), "base64") : value.slice(1);
});

/* What a message of another process has to have, so that it reaches nothing here, and ends nothing, but what it is for. */
const isObject = (value) => value !== null && typeof value === "object";
const hasOpts = ({ opts }) => isObject(opts) && Array.isArray(opts.rooms) && Array.isArray(opts.except) && (opts.flags === undefined || isObject(opts.flags));
const SOUND = {
  [MessageType.BROADCAST]: (data) => hasOpts(data) && [EVENT, BINARY_EVENT].includes(data.packet?.type) && Array.isArray(data.packet.data),
  [MessageType.SOCKETS_JOIN]: (data) => hasOpts(data) && Array.isArray(data.rooms),
  [MessageType.SOCKETS_LEAVE]: (data) => hasOpts(data) && Array.isArray(data.rooms),
  [MessageType.DISCONNECT_SOCKETS]: hasOpts,
  [MessageType.FETCH_SOCKETS]: hasOpts,
  [MessageType.FETCH_SOCKETS_RESPONSE]: ({ sockets }) => Array.isArray(sockets) && sockets.every((socket) => Array.isArray(socket?.rooms)),
  [MessageType.SERVER_SIDE_EMIT]: ({ packet }) => Array.isArray(packet),
  [MessageType.SERVER_SIDE_EMIT_RESPONSE]: () => true,
  [MessageType.BROADCAST_CLIENT_COUNT]: ({ clientCount }) => Number.isInteger(clientCount),
  [MessageType.BROADCAST_ACK]: () => true,
};
const isSound = (message, from) => isObject(message) && message.uid === from && isObject(message.data) && Boolean(SOUND[message.type]?.(message.data));

const notJson = ({ message }) => `a message to other servers cannot be said: ${message.split("\n", 1)[0]}`;
const takesParts = (requestId) => typeof requestId === "string" && requestId.startsWith(PARTS);

/* Is it for who comes back, too? */
const isKept = (nsp, packet, flags) => nsp.server.opts.connectionStateRecovery && packet.type === EVENT && packet.id === undefined && flags?.volatile === undefined;

/* A client that comes back: from the question for its session until its socket is there, what is broadcast is neither in the answer nor sent to it. */
class Returning {
  constructor() {
    Object.assign(this, { heard: [], known: new Set(), lost: false });
  }

  hear(said) {
    if (this.sid !== undefined && !this.isFor(said)) return;
    if (this.heard.length >= RETURNING_MAX) this.lost = true;
    else this.heard.push(said);
  }

  /* `known`: offsets of what the answer has. */
  is(sid, rooms, known) {
    Object.assign(this, { sid, rooms: new Set([sid, ...rooms]), known });
  }

  isFor({ offset, rooms, except }) {
    const among = (names) => [...(names ?? [])].some((room) => this.rooms.has(room));
    return !this.known.has(offset) && (rooms.size === 0 || among(rooms)) && !among(except);
  }

  take() {
    return this.heard.splice(0).filter((said) => this.isFor(said));
  }
}

/* The class for one application: socket.io makes an instance of it for each namespace. */
const adapterOf = (links) => class LinkAdapter extends ClusterAdapterWithHeartbeat {
  constructor(nsp) {
    super(nsp);
    clearInterval(this.cleanupTimer); // nobody has to be guessed dead: ringcast says who is there
    this.uid = links.bus.uid;
    this.key = nspKey(nsp.name);
    this.members = new Set(); // ids of sockets that are connected
    this.direct = new Set(); // ids of sockets that are no clients of ringcast: of an engine.io beside it
    this.outgoing = false; // does anybody listen to what goes out?
    this.offsets = 0;
    this.dirty = new Set();
    this.returning = new Set(); // clients that come back: what is said meanwhile is for them, too
    if (links.settings.resume) this.prepareResume();
    links.enter(this);
  }

  init() {}

  close() {
    links.exit(this);
  }

  /* --- rooms ----------------------------------------------------------------------------------------------------------- */

  /* What ringcast is told of a socket: from the moment when it is in its own room, which is when it is connected. */
  tell(id, name, flags, rooms) {
    const connection = this.nsp.sockets.get(id)?.conn;
    if (!connection?.link || links.detached || connection.readyState === "closed") return;
    const keys = keysOf(rooms);
    for (let i = 0; i === 0 || i < keys.length; i += LIST_MAX) {
      connection.link.send(name, flags, connection.number, this.key, short(id, 128), keys.slice(i, i + LIST_MAX));
    }
  }

  /* Said before the adapter's own events, whose listeners may broadcast to the room. */
  addAll(id, rooms) {
    const socket = this.nsp.sockets.get(id);
    if (this.members.has(id)) this.tell(id, "JOIN", 0, rooms);
    else if (socket && rooms.has(id)) this.connected(socket, new Set([...(this.sids.get(id) ?? []), ...rooms]));
    super.addAll(id, rooms);
  }

  connected(socket, rooms) {
    this.members.add(socket.id);
    this.returned(socket);
    if (!socket.conn.link) return void this.direct.add(socket.id);
    this.tell(socket.id, "JOIN", 0, rooms);
    this.touch(socket);
    this.outgoing ||= (socket._anyOutgoingListeners?.length ?? 0) > 0;
    const type = Object.getPrototypeOf(socket);
    if (type.ringcastWatched || !type.onAnyOutgoing) return;
    Object.defineProperty(type, "ringcastWatched", { value: true });
    for (const name of ["onAnyOutgoing", "prependAnyOutgoing"]) {
      const listen = type[name];
      type[name] = function (listener) {
        this.adapter.outgoing = true;
        return listen.call(this, listener);
      };
    }
  }

  del(id, room) {
    if (this.members.has(id) && this.sids.get(id)?.has(room)) this.tell(id, "LEAVE", 0, [room]);
    super.del(id, room);
  }

  delAll(id) {
    if (this.members.delete(id)) this.tell(id, "LEAVE", FLAGS.ALL, []);
    this.direct.delete(id);
    this.dirty.delete(id);
    super.delAll(id);
  }

  /* --- broadcasts ------------------------------------------------------------------------------------------------------ */

  broadcast(packet, opts) {
    const { rooms, except, flags = {} } = opts;
    if (rooms.size > LIST_MAX || except?.size > LIST_MAX) return this.broadcastOneByOne(packet, opts);
    packet.nsp = this.nsp.name;
    let offset = "";
    if (isKept(this.nsp, packet, flags)) {
      packet.data.push((offset = this.nextOffset()));
    }
    const { data } = packet; // encoding takes bytes out of the packet
    const messages = this.encoder.encode(packet);
    if (offset) for (const one of this.returning) one.hear({ offset, data, messages, rooms, except });
    if (this.outgoing || links.engine.watched) this.show(packet, messages, opts);
    if (this.direct.size > 0) this.apply(opts, (socket) => this.direct.has(socket.id) && socket.client._packet(messages, { ...flags, preEncoded: true }));
    const own = this.aloneIn(rooms);
    const sent = links.broadcast({
      key: this.key, rooms: keysOf(rooms), except: keysOf(except), offset, messages,
      flags: (flags.volatile ? FLAGS.VOLATILE : 0) | (flags.compress === false ? FLAGS.PLAIN : 0) | (flags.local ? FLAGS.LOCAL : 0),
      ...(own && (offset ? { only: new Set([own, links.keeper]) } : { home: own, only: [own] })),
    });
    if (!sent) links.report("a broadcast that is larger than a link carries was not sent");
  }

  /* The line of a socket that these rooms are for and nobody else, as they are in all emits with recovery: the others need not look at it. Any other one
   * may join a socket's room, in any process. */
  aloneIn(rooms) {
    const [room] = rooms;
    if (rooms.size !== 1 || this.nodesMap.size > 0 || this.rooms.get(room)?.size !== 1) return undefined;
    return this.rooms.get(room).has(room) ? this.nsp.sockets.get(room)?.conn.link : undefined;
  }

  /* Each receiver's listeners are told, where there are any. */
  show(packet, messages, opts) {
    const options = { volatile: opts.flags?.volatile, compress: opts.flags?.compress !== false };
    this.apply(opts, (socket) => {
      socket.notifyOutgoingListeners?.(packet);
      if (socket.conn.link) for (const data of messages) socket.conn.emit("packetCreate", { type: "message", data, options });
    });
  }

  broadcastOneByOne(packet, opts) {
    if (isKept(this.nsp, packet, opts.flags)) links.blind();
    if (!opts.flags?.local) this.publish({ type: MessageType.BROADCAST, data: { packet, opts: plain(opts) } });
    Adapter.prototype.broadcast.call(this, packet, opts);
  }

  /* Unique, and later ones sort behind: not needed, but easy to read in a log. */
  nextOffset() {
    const now = Date.now();
    if (now !== this.offsetsOf) {
      this.offsetsOf = now;
      this.offsetBegins = `${now.toString(36)}${links.uid.slice(0, 6)}`;
    }
    return this.offsetBegins + (this.offsets++).toString(36);
  }

  /* --- other processes ------------------------------------------------------------------------------------------------- */

  scheduleHeartbeat() {}

  async doPublish(message) {
    const { requestId, opts } = message.data;
    const request = this.customRequests.get(requestId);
    if (request) Object.assign(request, { refuse: opts?.flags[REFUSED], parts: new Map() });
    const data = request ? { ...message.data, requestId: PARTS + requestId } : message.data;
    const refused = this.say("", { ...message, data });
    if (refused) this.refuse(requestId, refused);
    return "";
  }

  /* Why it cannot be said; undefined: it is. */
  say(to, message) {
    try {
      return links.bus.say(this, to, pack(message));
    } catch (error) {
      return notJson(error);
    }
  }

  async doPublishResponse(to, response) {
    const refused = this.answer(to, response);
    if (!refused) return;
    links.report(`${refused}: it is not answered`);
    const { requestId } = response.data;
    if (takesParts(requestId)) this.say(to, { ...response, data: { requestId, refused, sockets: [] } });
  }

  /* The same. A list of sockets that is larger than a link carries goes in parts, and then comes one without any. */
  answer(to, response) {
    const { data } = response;
    if (!takesParts(data.requestId) || !data.sockets || data.sockets.length < 2) return this.say(to, response);
    try {
      const bytes = pack(response);
      if (bytes.length <= links.bus.most(this, Buffer.byteLength(to))) return links.bus.say(this, to, bytes);
    } catch (error) {
      if (!(error instanceof RangeError)) return notJson(error); // else it is longer than a text can be
    }
    const half = data.sockets.length >> 1;
    for (const sockets of [data.sockets.slice(0, half), data.sockets.slice(half)]) {
      const refused = this.answer(to, { ...response, data: { ...data, sockets, more: true } });
      if (refused) return refused;
    }
    return data.more ? undefined : this.say(to, { ...response, data: { ...data, sockets: [] } });
  }

  /* What other processes say of what was asked here. */
  onResponse(response) {
    const { data } = response;
    if (takesParts(data.requestId)) data.requestId = data.requestId.slice(PARTS.length);
    const request = this.customRequests.get(data.requestId);
    if (request && !request.missingUids.has(response.uid)) return; // it is not asked any more, or has answered
    if (request && data.refused !== undefined) return this.refuse(data.requestId, String(data.refused));
    if (request && data.sockets) {
      const before = request.parts.get(response.uid) ?? [];
      for (const socket of data.sockets) before.push(socket);
      if (data.more) return void request.parts.set(response.uid, before);
      data.sockets = before;
    }
    super.onResponse(response);
  }

  /* Whoever asks is told so, and does not wait for an answer that cannot come. */
  refuse(requestId, why) {
    links.report(why);
    const request = this.customRequests.get(requestId);
    if (!request) return;
    this.customRequests.delete(requestId);
    clearTimeout(request.timeout);
    if (request.type === MessageType.SERVER_SIDE_EMIT) request.resolve(new Error(why), request.responses);
    else request.refuse(new Error(why));
  }

  /* `from`: the adapter that it is of, as ringcast has it. */
  onCluster(from, bytes) {
    let message;
    try {
      message = unpack(bytes);
    } catch {
      // it is none, as others are not
    }
    if (!isSound(message, from)) return links.report("a message of another server is none: are all of them of one version?");
    // Of socket.io before 4.1 there is nothing that it could reach, and its caller is not to end this process.
    if (message.type === MessageType.SERVER_SIDE_EMIT && typeof this.nsp._onServerSideEmit !== "function") return links.report("another server's serverSideEmit() needs socket.io 4.1 here");
    const known = this.nodesMap.has(message.uid);
    this.onMessage(message);
    if (!known) this.nodesMap.delete(message.uid); // PEERS says who is there
  }

  onPeers(uids) {
    const now = new Set(uids);
    const gone = [...this.nodesMap.keys()].filter((uid) => !now.has(uid));
    for (const uid of gone) {
      this.removeNode(uid);
      links.bus.leaves(this, uid);
    }
    now.delete(this.uid);
    for (const uid of now) this.nodesMap.set(uid, Date.now());
    for (const uid of now) links.bus.comes(this, uid);
  }

  /* At once for own sockets, as the in-memory adapter does. */
  addSockets(opts, rooms) {
    if (!opts.flags?.local) this.publish({ type: MessageType.SOCKETS_JOIN, data: { opts: plain(opts), rooms } });
    Adapter.prototype.addSockets.call(this, opts, rooms);
  }

  delSockets(opts, rooms) {
    if (!opts.flags?.local) this.publish({ type: MessageType.SOCKETS_LEAVE, data: { opts: plain(opts), rooms } });
    Adapter.prototype.delSockets.call(this, opts, rooms);
  }

  disconnectSockets(opts, close) {
    if (!opts.flags?.local) this.publish({ type: MessageType.DISCONNECT_SOCKETS, data: { opts: plain(opts), close } });
    Adapter.prototype.disconnectSockets.call(this, opts, close);
  }

  /* Older versions of socket.io give fewer members. */
  fetchSockets(opts) {
    return new Promise((done, failed) => {
      super.fetchSockets({ ...opts, except: opts.except ?? new Set(), flags: { ...opts.flags, [REFUSED]: failed } }).then(done, failed);
    });
  }

  async sockets(rooms) {
    const sockets = await this.fetchSockets({ rooms });
    return new Set(sockets.map(({ id }) => id));
  }

  /* --- clients that come back ------------------------------------------------------------------------------------------ */

  persistSession({ sid, pid, rooms, data }) {
    if (links.detached || !links.settings.recovery || sid === this.replacing) return;
    const keys = keysOf(rooms);
    // In more rooms than a frame has: with some of them it would be somebody else, so it is somebody new.
    if (keys.length <= LIST_MAX) links.keeper?.send("KEEP", 0, 0, this.key, short(sid, 128), pid, "", bytesOf(data), keys);
  }

  async restoreSession(pid, offset) {
    const one = new Returning();
    this.returning.add(one);
    try {
      const session = await links.restore(this.key, pid, offset);
      if (session) return this.restored(one, pid, session);
    } catch (error) {
      links.report(`a session that came back is none: ${error.message}`);
    }
    this.returning.delete(one);
    return null;
  }

  restored(one, pid, session) {
    const missedPackets = [];
    const decoder = new this.nsp.server._parser.Decoder();
    decoder.on("decoded", ({ data }) => missedPackets.push(data));
    for (const message of session.missed.flat()) decoder.add(message);
    const rooms = session.rooms.map(roomOf).filter((room) => room !== undefined);
    this.replace(session.sid);
    one.is(session.sid, rooms, new Set(missedPackets.map((data) => data.at(-1))));
    missedPackets.push(...one.take().map(({ data }) => data));
    setTimeout(() => this.returning.delete(one), RETURNING_MS).unref(); // it has gone again
    return { sid: session.sid, pid, rooms, data: session.data ? JSON.parse(session.data) : {}, missedPackets };
  }

  /* Whose session came back has lost the connection that it had, whether that was said here already or not: its end must not be that of the new one. */
  replace(sid) {
    const former = this.nsp.sockets.get(sid)?.conn;
    if (!former) return;
    this.replacing = sid; // its session is had: it is not kept for another time
    former.close(true);
    former.onLost?.("transport close");
    this.replacing = undefined;
  }

  /* It hears for itself from here on. */
  returned(socket) {
    for (const one of this.returning) {
      if (one.sid !== socket.id) continue;
      this.returning.delete(one);
      if (one.lost) setImmediate(() => socket.conn.close()); // it comes again, and is somebody new
      for (const { messages } of one.take()) socket.client._packet(messages, { preEncoded: true });
    }
  }

  /* --- clients of a process that is gone ------------------------------------------------------------------------------- */

  /* Sockets become what SESSION said of them; what changes on the top of their `data` is said, once a turn, and
   * leaves no later than what that turn answers: whoever has the answer counts on it. */
  prepareResume() {
    const { nsp } = this;
    if (nsp.ringcastResumes || typeof nsp._createSocket !== "function") return;
    nsp.ringcastResumes = true;
    // No question of a process before may be answered here.
    nsp._ids = Math.floor(Math.random() * 2 ** 40);
    const create = nsp._createSocket;
    // What a client has asked, and was not answered: io.close() waits for it.
    const watchAnswers = (socket) => {
      const { ack } = socket;
      if (typeof ack !== "function") return;
      socket.ack = function (id) {
        const answer = ack.call(this, id);
        const over = links.answers();
        return (...values) => (over(), answer(...values));
      };
    };
    nsp._createSocket = async (client, auth) => {
      const entry = client.conn.resuming?.get(nsp.name);
      const { pid, offset, ...rest } = auth ?? {};
      const socket = await create.call(nsp, client, entry ? rest : auth);
      if (entry) {
        Object.assign(socket, { id: entry.sid, recovered: true, ...(entry.pid && { pid: entry.pid }), data: entry.data ?? {} });
        socket.handshake.auth = auth;
        for (const room of entry.rooms.map(roomOf)) if (room !== undefined) socket.join(room);
      }
      watchAnswers(socket);
      nsp.adapter.follow?.(socket);
      return socket;
    };
  }

  follow(socket) {
    const watch = (data) => (data === null || typeof data !== "object" ? data : new Proxy(data, {
      set: (target, name, value) => (this.touch(socket), Reflect.set(target, name, value)),
      deleteProperty: (target, name) => (this.touch(socket), Reflect.deleteProperty(target, name)),
    }));
    let data = watch(socket.data);
    Object.defineProperty(socket, "data", { configurable: true, enumerable: true, get: () => data, set: (value) => (this.touch(socket), (data = watch(value))) });
  }

  touch(socket) {
    if (!links.settings.resume || !this.nsp.sockets.has(socket.id)) return;
    if (this.dirty.size === 0) setImmediate(() => this.sayDirty());
    this.dirty.add(socket.id);
    links.unsaid.add(this);
  }

  sayDirty() {
    const dirty = [...this.dirty].map((id) => this.nsp.sockets.get(id));
    this.dirty.clear();
    links.unsaid.delete(this);
    for (const socket of dirty) {
      const connection = socket?.conn;
      if (!connection?.link?.has("resume") || links.detached || connection.readyState !== "open") continue;
      connection.link.send("SESSION", 0, connection.number, this.key, short(socket.id, 128), socket.pid ?? "", bytesOf(socket.handshake.auth), bytesOf(socket.data));
    }
  }
};

const plain = ({ rooms, except, flags }) => ({ rooms: [...rooms], except: [...(except ?? [])], flags });

function bytesOf(value) {
  try {
    return Buffer.from(JSON.stringify(value) ?? "");
  } catch {
    return Buffer.alloc(0); // it has circles: nothing of it is kept
  }
}

module.exports = { adapterOf, pack, unpack, roomKey, roomOf };
