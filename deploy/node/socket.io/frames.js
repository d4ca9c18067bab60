"use strict";
// Frames of the link between ringcast and this process (docs/link.md), to bytes and back. What comes from the broker is bounded and
// checked here: whatever is not exactly a frame throws Broken, and the link ends.

const HEAD = 16;
const FRAME_MAX = 16 << 20; // bytes of a payload, unless HELLO says otherwise
const LIST_MAX = 4096; // entries of a list
const SLAB = 64 << 10; // bytes of a buffer that small frames are made in
const SMALL_MAX = 4096; // bytes of a small frame

const FLAGS = { HELD: 1, VOLATILE: 1, PLAIN: 2, MORE: 4, DISCARD: 1, ALL: 1, LOCAL: 8, PRIMARY: 16, CONTINUES: 1, HOLD: 1 };

/* type; flags that it may have when ringcast sends it, and when this process does (null: it does not); fields in order. */
const FRAMES = {
  HELLO: [1, 0, null, "signature", "rest"],
  READY: [2, null, 0, "signature", "rest"],
  PING: [3, 0, null, "rest"],
  PONG: [4, null, 0, "rest"],
  ERROR: [5, 0, 0, "string"],
  ASKS: [6, null, 0, "u8"],
  TAKEN: [7, 0, null, "u64", "list"],
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
const CLUSTER = FRAMES.CLUSTER[0];
const BROADCAST = FRAMES.BROADCAST[0];

/* The link cannot go on: what came is not what docs/link.md says. */
class Broken extends Error {}

const bytesOf = (value) => (typeof value === "string" ? Buffer.byteLength(value) : value.byteLength);

/* Any of what parsers make of binary data, as one Buffer over the same bytes. */
function toBuffer(value) {
  if (Buffer.isBuffer(value)) return value;
  return ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : Buffer.from(value);
}

/* Is it a BROADCAST that the broker keeps for clients that come back? */
function isKept(frame) {
  if (frame[4] !== BROADCAST || !(frame[5] & FLAGS.PRIMARY)) return false;
  let at = HEAD + 2 + frame.readUInt16LE(HEAD);
  for (let list = 0; list < 2; list++) {
    let count = frame.readUInt16LE(at);
    for (at += 2; count > 0; count--) at += 2 + frame.readUInt16LE(at);
  }
  return frame.readUInt16LE(at) > 0; // has it an offset?
}

/* Writes the text or bytes at `at`; returns the position behind. */
function write(out, at, value) {
  if (typeof value === "string") return at + out.write(value, at);
  out.set(value, at);
  return at + value.byteLength;
}

/* Reads fields of one payload, which is bytes[at, end); each read says how much it takes before it takes it. Where frames are read by the
 * hundred thousand in a second, objects for parts of them are what costs: texts are made of `bytes` itself. */
class Cursor {
  constructor(bytes, at, end) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get left() {
    return this.end - this.at;
  }

  take(count) {
    const from = this.at;
    if (count > this.end - from) throw new Broken("a field is longer than its frame");
    this.at = from + count;
    return from;
  }

  slice(count) {
    const from = this.take(count);
    return this.bytes.subarray(from, from + count);
  }

  text(count) {
    const from = this.take(count);
    return this.bytes.toString("utf8", from, from + count);
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
  write: (out, at, value) => write(out, length.write(out, at, bytesOf(value)), value),
  read: (cursor) => (text ? cursor.text(length.read(cursor)) : cursor.slice(length.read(cursor))),
});
const listed = (kind) => ({
  size: (values) => values.reduce((sum, value) => sum + kind.size(value), 2),
  write: (out, at, values) => values.reduce((to, value) => kind.write(out, to, value), out.writeUInt16LE(values.length, at)),
  read: (cursor) => cursor.many(() => kind.read(cursor)),
});
const last = (read) => ({ size: bytesOf, write, read });

function readU64(bytes, at) {
  const high = bytes.readUInt32LE(at + 4);
  if (high >= 1 << 21) throw new Broken("a number of more than 53 bits");
  return high * 2 ** 32 + bytes.readUInt32LE(at);
}

const KINDS = {
  u8: number(1, "writeUInt8", "readUInt8"),
  u16: number(2, "writeUInt16LE", "readUInt16LE"),
  u32: number(4, "writeUInt32LE", "readUInt32LE"),
  u64: {
    size: () => 8,
    write: (out, at, value) => out.writeUInt32LE(Math.floor(value / 2 ** 32), out.writeUInt32LE(value >>> 0, at)),
    read: (cursor) => readU64(cursor.bytes, cursor.take(8)),
  },
  signature: { size: () => 64, write, read: (cursor) => cursor.slice(64).toString("latin1") },
  rest: last((cursor) => cursor.slice(cursor.left)),
  string: last((cursor) => cursor.text(cursor.left)),
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
    if (cursor.left === 0) return null;
    const [sid, data, rooms] = [KINDS.text, KINDS.bytes, KINDS.list].map((kind) => kind.read(cursor));
    return { sid, data: data.toString(), rooms, missed: KINDS.missed.read(cursor) };
  },
};

/* A coder of one direction, whose flags are in that column: encode() makes frames of its own, Reader reads them. */
function direction(column) {
  const frames = Object.entries(FRAMES).filter(([, row]) => row[column] !== null).map(([name, row]) => ({ name, type: row[0], flags: row[column], fields: row.slice(3).map((kind) => KINDS[kind]) }));
  const byType = new Map(frames.map((frame) => [frame.type, frame]));
  const byName = new Map(frames.map((frame) => [frame.name, frame]));

  function payloadBytes({ fields }, values) {
    let bytes = 0;
    for (let i = 0; i < fields.length; i++) bytes += fields[i].size(values[i]);
    return bytes;
  }

  function put(out, at, { type, fields }, length, flags, connection, values) {
    out.writeUInt32LE(length, at);
    out.writeUInt32LE(type | (flags << 8), at + 4);
    let to = KINDS.u64.write(out, at + 8, connection);
    for (let i = 0; i < fields.length; i++) to = fields[i].write(out, to, values[i]);
    return to;
  }

  /* One frame as a Buffer. */
  function encode(name, flags, connection, ...values) {
    const frame = byName.get(name);
    const length = payloadBytes(frame, values);
    const out = Buffer.allocUnsafe(HEAD + length);
    put(out, 0, frame, length, flags, connection, values);
    return out;
  }

  /* What is to be written: small frames are made one behind the other in a large buffer, which leaves as it is. */
  class Writer {
    constructor() {
      this.slab = Buffer.alloc(0);
      this.from = 0; // of the slab: what has not been taken, up to `at`
      this.at = 0;
      this.parts = []; // before that
      this.bytes = 0; // in all
    }

    /* Encodes a frame; false: its payload is larger than `max`, and it is not to be written. */
    put(max, name, flags, connection, values) {
      const frame = byName.get(name);
      const length = payloadBytes(frame, values);
      if (length > max) return false;
      if (HEAD + length > SMALL_MAX) {
        this.add(encode(name, flags, connection, ...values));
        return true;
      }
      if (HEAD + length > this.slab.length - this.at) {
        this.cut();
        this.slab = Buffer.allocUnsafeSlow(SLAB);
        this.from = this.at = 0;
      }
      this.at = put(this.slab, this.at, frame, length, flags, connection, values);
      this.bytes += HEAD + length;
      return true;
    }

    /* One that is made already. */
    add(frame) {
      this.cut();
      this.parts.push(frame);
      this.bytes += frame.length;
    }

    cut() {
      if (this.at > this.from) this.parts.push(this.slab.subarray(this.from, this.at));
      this.from = this.at;
    }

    /* All of it, as Buffers. */
    take() {
      this.cut();
      this.bytes = 0;
      return this.parts.splice(0);
    }
  }

  /* The frame that begins at `at`, whose payload ends at `end`: { type, name, flags, connection, values }. */
  function decode(bytes, at, end) {
    const type = bytes[at + 4];
    const flags = bytes[at + 5];
    const frame = byType.get(type);
    if (!frame) throw new Broken(`a frame of type ${type}`);
    if (flags & ~frame.flags || bytes[at + 6] !== 0 || bytes[at + 7] !== 0) throw new Broken(`flags ${flags} of ${frame.name}`);
    const connection = readU64(bytes, at + 8);
    const cursor = new Cursor(bytes, at + HEAD, end);
    const values = [];
    for (const field of frame.fields) values.push(field.read(cursor));
    if (cursor.left !== 0) throw new Broken(`${frame.name} is longer than its fields`);
    return { type, name: frame.name, flags, connection, values };
  }

  /* Cuts a stream into frames. At most one frame is held, of at most `max` bytes, and what came with its end. */
  class Reader {
    constructor(max = FRAME_MAX) {
      this.max = max;
      this.bytes = Buffer.alloc(0);
      this.at = 0; // of `bytes`: what is before it has been read
      this.more = []; // chunks behind them: a large frame is put together once
      this.moreBytes = 0;
      this.need = HEAD;
    }

    /* Takes a chunk; how many bytes there are in a row. */
    take(chunk) {
      if (this.at === this.bytes.length) {
        this.bytes = chunk;
        this.at = 0;
      } else if (chunk.length > 0) {
        this.more.push(chunk);
        this.moreBytes += chunk.length;
      }
      if (this.moreBytes > 0 && this.bytes.length - this.at + this.moreBytes >= this.need) {
        this.bytes = Buffer.concat([this.bytes.subarray(this.at), ...this.more]);
        this.at = 0;
        this.more = [];
        this.moreBytes = 0;
      }
      return this.bytes.length - this.at;
    }

    /* Frames that are whole with this chunk, one by one. */
    *read(chunk) {
      if (this.take(chunk) < this.need) return;
      while (this.bytes.length - this.at >= HEAD) {
        const { bytes, at } = this;
        const length = bytes.readUInt32LE(at);
        if (length > this.max) throw new Broken(`a frame of ${length} bytes`);
        const end = at + HEAD + length;
        if (end > bytes.length) {
          this.need = HEAD + length;
          return;
        }
        this.at = end;
        this.need = HEAD;
        yield decode(bytes, at, end);
      }
    }
  }

  return { encode, Reader, Writer };
}

module.exports = { CLUSTER, FLAGS, FRAME_MAX, HEAD, LIST_MAX, OPEN, RECEIPT, Broken, broker: direction(1), application: direction(2), isKept, toBuffer };
