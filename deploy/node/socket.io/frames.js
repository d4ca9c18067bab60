"use strict";
// Frames of the link between ringcast and this process (docs/link.md), to bytes and back. What comes from the broker is bounded and
// checked here: whatever is not exactly a frame throws Broken, and the link ends.

const HEAD = 16;
const FRAME_MAX = 16 << 20; // bytes of a payload, unless HELLO says otherwise
const LIST_MAX = 4096; // entries of a list

const FLAGS = { HELD: 1, VOLATILE: 1, PLAIN: 2, MORE: 4, DISCARD: 1, ALL: 1, LOCAL: 8, PRIMARY: 16, CONTINUES: 1, HOLD: 1 };

/* type; flags that it may have when ringcast sends it, and when this process does (null: it does not); fields in order. */
const FRAMES = {
  HELLO: [1, 0, null, "signature", "rest"],
  READY: [2, null, 0, "signature", "rest"],
  PING: [3, 0, null, "rest"],
  PONG: [4, null, 0, "rest"],
  ERROR: [5, 0, 0, "string"],
  ASKS: [6, null, 0, "u8"],
  OPEN: [16, 1, null, "json"],
  ACCEPT: [17, null, 0, "json"],
  REJECT: [18, null, 0, "json"],
  TEXT: [19, 0, 7, "string"],
  BINARY: [20, 0, 7, "rest"],
  CLOSE: [21, null, 1],
  CLOSED: [22, 0, null, "string"],
  UPGRADED: [23, 0, null, "string"],
  WRITABLE: [24, 0, null, "u8"],
  FAILED: [25, 0, null, "json"],
  JOIN: [32, null, 0, "text", "text", "list"],
  LEAVE: [33, null, 1, "text", "text", "list"],
  PEERS: [34, 0, null, "text", "list"],
  CLUSTER: [35, 0, 0, "text", "text", "text", "rest"],
  BROADCAST: [36, null, 27, "text", "list", "list", "text", "messages"],
  ENTER: [37, null, 0, "text", "text"],
  EXIT: [38, null, 0, "text", "text"],
  SESSION: [40, null, 0, "text", "text", "text", "bytes", "bytes"],
  RESUMED: [41, null, 0],
  DETACH: [42, null, 1],
  RECEIPT: [43, 1, 0, "u64"],
  REPLY: [44, 0, null, "u32", "u8", "session"],
  REQUEST: [45, null, 0, "u32", "text", "text", "text"],
  KEEP: [46, null, 0, "text", "text", "text", "bytes", "bytes", "list"],
};

const OPEN = FRAMES.OPEN[0];
const RECEIPT = FRAMES.RECEIPT[0];

/* The link cannot go on: what came is not what docs/link.md says. */
class Broken extends Error {}

const bytesOf = (value) => (typeof value === "string" ? Buffer.byteLength(value) : value.byteLength);

/* Any of what parsers make of binary data, as one Buffer over the same bytes. */
function toBuffer(value) {
  if (Buffer.isBuffer(value)) return value;
  return ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.from(value);
}

/* Writes the text or bytes at `at`; returns the position behind. */
function put(out, at, value) {
  if (typeof value === "string") return at + out.write(value, at);
  out.set(value, at);
  return at + value.byteLength;
}

/* Reads fields of one payload; each read says how much it takes before it takes it. */
class Cursor {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(count) {
    const from = this.at;
    if (count > this.bytes.length - from) throw new Broken("a field is longer than its frame");
    this.at = from + count;
    return from;
  }

  slice(count) {
    const from = this.take(count);
    return this.bytes.subarray(from, from + count);
  }

  many(read) {
    const count = KINDS.u16.read(this);
    if (count > LIST_MAX) throw new Broken(`a list of ${count}`);
    return Array.from({ length: count }, read);
  }
}

const number = (size, write, read) => ({
  size: () => size,
  write: (out, at, value) => out[write](value, at),
  read: (cursor) => cursor.bytes[read](cursor.take(size)),
});
const prefixed = (length, text) => ({
  size: (value) => length.size() + bytesOf(value),
  write: (out, at, value) => put(out, length.write(out, at, bytesOf(value)), value),
  read: (cursor) => {
    const bytes = cursor.slice(length.read(cursor));
    return text ? bytes.toString() : bytes;
  },
});
const listed = (kind) => ({
  size: (values) => values.reduce((sum, value) => sum + kind.size(value), 2),
  write: (out, at, values) => values.reduce((to, value) => kind.write(out, to, value), out.writeUInt16LE(values.length, at)),
  read: (cursor) => cursor.many(() => kind.read(cursor)),
});
const last = (read) => ({ size: bytesOf, write: put, read: (cursor) => read(cursor.slice(cursor.bytes.length - cursor.at)) });

const KINDS = {
  u8: number(1, "writeUInt8", "readUInt8"),
  u16: number(2, "writeUInt16LE", "readUInt16LE"),
  u32: number(4, "writeUInt32LE", "readUInt32LE"),
  u64: {
    size: () => 8,
    write: (out, at, value) => out.writeUInt32LE(Math.floor(value / 2 ** 32), out.writeUInt32LE(value >>> 0, at)),
    read: (cursor) => {
      const at = cursor.take(8);
      const high = cursor.bytes.readUInt32LE(at + 4);
      if (high >= 1 << 21) throw new Broken("a number of more than 53 bits");
      return high * 2 ** 32 + cursor.bytes.readUInt32LE(at);
    },
  },
  signature: { size: () => 64, write: put, read: (cursor) => cursor.slice(64).toString("latin1") },
  rest: last((bytes) => bytes),
  string: last((bytes) => bytes.toString()),
};
KINDS.text = prefixed(KINDS.u16, true);
KINDS.bytes = prefixed(KINDS.u32, false);
KINDS.list = listed(KINDS.text);
/* One Engine.IO message: a string or bytes. */
KINDS.message = {
  size: (value) => 5 + bytesOf(value),
  write: (out, at, value) => KINDS.bytes.write(out, out.writeUInt8(typeof value === "string" ? 0 : 1, at), value),
  read: (cursor) => {
    const kind = KINDS.u8.read(cursor);
    if (kind > 1) throw new Broken(`a message of kind ${kind}`);
    const bytes = KINDS.bytes.read(cursor);
    return kind === 0 ? bytes.toString() : bytes;
  },
};
KINDS.messages = listed(KINDS.message);
KINDS.missed = listed(KINDS.messages);
KINDS.json = {
  ...KINDS.string,
  read: (cursor) => {
    let value;
    try {
      value = JSON.parse(KINDS.string.read(cursor));
    } catch {
      throw new Broken("JSON that is none");
    }
    if (value === null || typeof value !== "object") throw new Broken("JSON that is no object");
    return value;
  },
};
/* What REPLY has behind `found`. */
KINDS.session = {
  size: (value) => (value ? KINDS.text.size(value.sid) + KINDS.bytes.size(value.data) + KINDS.list.size(value.rooms) + KINDS.missed.size(value.missed) : 0),
  write: (out, at, value) => {
    if (!value) return at;
    const behind = KINDS.list.write(out, KINDS.bytes.write(out, KINDS.text.write(out, at, value.sid), value.data), value.rooms);
    return KINDS.missed.write(out, behind, value.missed);
  },
  read: (cursor) => {
    if (cursor.at === cursor.bytes.length) return null;
    const [sid, data, rooms] = [KINDS.text, KINDS.bytes, KINDS.list].map((kind) => kind.read(cursor));
    return { sid, data: data.toString(), rooms, missed: KINDS.missed.read(cursor) };
  },
};

/* A coder of one direction, whose flags are in that column: encode() makes frames of its own, Reader reads them. */
function direction(column) {
  const frames = Object.entries(FRAMES).filter(([, row]) => row[column] !== null).map(([name, row]) => ({ name, type: row[0], flags: row[column], fields: row.slice(3).map((kind) => KINDS[kind]) }));
  const byType = new Map(frames.map((frame) => [frame.type, frame]));
  const byName = new Map(frames.map((frame) => [frame.name, frame]));

  /* One frame as a Buffer. */
  function encode(name, flags, connection, ...values) {
    const { type, fields } = byName.get(name);
    const length = fields.reduce((sum, field, i) => sum + field.size(values[i]), 0);
    const out = Buffer.allocUnsafe(HEAD + length);
    out.writeUInt32LE(length, 0);
    out.writeUInt32LE(type | (flags << 8), 4);
    KINDS.u64.write(out, 8, connection);
    fields.reduce((at, field, i) => field.write(out, at, values[i]), HEAD);
    return out;
  }

  /* One frame: { type, name, flags, connection, values }. */
  function decode(head, payload) {
    const [type, flags] = [head[4], head[5]];
    const frame = byType.get(type);
    if (!frame) throw new Broken(`a frame of type ${type}`);
    if (flags & ~frame.flags || head.readUInt16LE(6) !== 0) throw new Broken(`flags ${flags} of ${frame.name}`);
    const connection = KINDS.u64.read(new Cursor(head.subarray(8)));
    const cursor = new Cursor(payload);
    const values = frame.fields.map((field) => field.read(cursor));
    if (cursor.at !== payload.length) throw new Broken(`${frame.name} is longer than its fields`);
    return { type, name: frame.name, flags, connection, values };
  }

  /* Cuts a stream into frames. At most one frame is held, of at most `max` bytes. */
  class Reader {
    constructor(max = FRAME_MAX) {
      this.max = max;
      this.chunks = [];
      this.have = 0;
      this.need = HEAD;
    }

    /* Frames that are whole with this chunk, one by one. */
    *read(chunk) {
      this.chunks.push(chunk);
      this.have += chunk.length;
      while (this.have >= this.need) {
        const bytes = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks, this.have);
        const length = bytes.readUInt32LE(0);
        if (length > this.max) throw new Broken(`a frame of ${length} bytes`);
        const end = HEAD + length;
        const whole = bytes.length >= end;
        const rest = whole ? bytes.subarray(end) : bytes;
        this.chunks = rest.length > 0 ? [rest] : [];
        this.have = rest.length;
        this.need = whole ? HEAD : end;
        if (whole) yield decode(bytes.subarray(0, HEAD), bytes.subarray(HEAD, end));
      }
    }
  }

  return { encode, Reader };
}

module.exports = { FLAGS, FRAME_MAX, HEAD, LIST_MAX, OPEN, RECEIPT, Broken, broker: direction(1), application: direction(2), toBuffer };
