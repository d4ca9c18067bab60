// Hand-made bytes over a socket: HTTP requests and WebSocket frames that no library would send.
import { createHash, randomBytes } from "node:crypto";
import { connect as connectSocket } from "node:net";
import { within } from "./util.mjs";

export const OP = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 };
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export const acceptOf = (key) => createHash("sha1").update(key + GUID).digest("base64");

/* A frame; length: how the length is written, 7, 16 or 64 bits, the shortest unless given. */
export function frame({ opcode = OP.TEXT, payload = "", fin = true, rsv = 0, masked = true, mask = randomBytes(4), length, declared }) {
  const bytes = Buffer.from(payload);
  const size = declared ?? bytes.length;
  const form = length ?? (size < 126 ? 7 : size < 65536 ? 16 : 64);
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode, (masked ? 0x80 : 0) | (form === 7 ? size : form === 16 ? 126 : 127)];
  const extended = Buffer.alloc(form === 7 ? 0 : form === 16 ? 2 : 8);
  if (form === 16) extended.writeUInt16BE(size);
  if (form === 64) extended.writeBigUInt64BE(BigInt(size));
  if (!masked) return Buffer.concat([Buffer.from(head), extended, bytes]);
  const body = Buffer.from(bytes);
  for (let i = 0; i < body.length; i++) body[i] ^= mask[i & 3];
  return Buffer.concat([Buffer.from(head), extended, mask, body]);
}

export function closeFrame(code, reason = "") {
  const payload = Buffer.alloc(2);
  if (code !== undefined) payload.writeUInt16BE(code);
  return frame({ opcode: OP.CLOSE, payload: code === undefined ? Buffer.alloc(0) : Buffer.concat([payload, Buffer.from(reason)]) });
}

export class RawConnection {
  constructor(socket) {
    this.socket = socket;
    this.buffer = Buffer.alloc(0);
    this.ended = false;
    socket.setNoDelay(true);
    socket.on("data", (bytes) => {
      this.buffer = Buffer.concat([this.buffer, bytes]);
      this.wake?.();
    });
    for (const event of ["end", "close", "error"]) {
      socket.on(event, (error) => {
        if (error instanceof Error) this.error = error;
        this.ended = true;
        this.wake?.();
      });
    }
  }

  write(bytes) {
    this.socket.write(bytes);
  }

  /* Resolves when enough() gives something but undefined. */
  async #read(what, enough, timeout) {
    const read = async () => {
      for (;;) {
        const value = enough();
        if (value !== undefined) return value;
        if (this.ended) throw new Error(`the connection ended${this.error ? ` (${this.error.code})` : ""} while waiting for ${what}`);
        await new Promise((done) => {
          this.wake = done;
        });
      }
    };
    return within(timeout, read(), what);
  }

  #take(count) {
    const bytes = this.buffer.subarray(0, count);
    this.buffer = this.buffer.subarray(count);
    return bytes;
  }

  bytes(count, timeout = 5000) {
    return this.#read(`${count} bytes`, () => (this.buffer.length >= count ? this.#take(count) : undefined), timeout);
  }

  /* Everything until the end of the connection. */
  rest(timeout = 10000) {
    return this.#read("the end of the connection", () => (this.ended ? this.#take(this.buffer.length) : undefined), timeout);
  }

  /* An HTTP response: status, headers (lower case; repeated ones joined), body (and bytes) by Content-Length. noBody: to a HEAD. */
  async response({ noBody = false, timeout = 5000 } = {}) {
    const head = await this.#read(
      "an HTTP response",
      () => {
        const end = this.buffer.indexOf("\r\n\r\n");
        return end < 0 ? undefined : this.#take(end + 4).toString("latin1");
      },
      timeout,
    );
    const [statusLine, ...lines] = head.slice(0, -4).split("\r\n");
    const match = /^HTTP\/1\.[01] (\d{3}) (.*)$/.exec(statusLine);
    if (!match) throw new Error(`not a status line: ${statusLine}`);
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(":");
      const name = line.slice(0, colon).toLowerCase();
      headers[name] = name in headers ? `${headers[name]}, ${line.slice(colon + 1).trim()}` : line.slice(colon + 1).trim();
    }
    const status = Number(match[1]);
    const count = noBody || status < 200 || status === 204 ? 0 : Number(headers["content-length"] ?? 0);
    const bytes = await this.bytes(count, timeout);
    return { status, text: match[2], headers, bytes, body: bytes.toString() };
  }

  /* A frame from the server: { fin, rsv, opcode, payload, code, reason }. */
  frame(timeout = 5000) {
    const next = () => {
      const { buffer } = this;
      if (buffer.length < 2) return undefined;
      let length = buffer[1] & 127;
      let at = 2;
      if (buffer[1] & 0x80) throw new Error("the server masked a frame");
      if (length === 126) {
        if (buffer.length < 4) return undefined;
        [length, at] = [buffer.readUInt16BE(2), 4];
        if (length < 126) throw new Error("the length is not in its shortest form");
      } else if (length === 127) {
        if (buffer.length < 10) return undefined;
        [length, at] = [Number(buffer.readBigUInt64BE(2)), 10];
        if (length < 65536) throw new Error("the length is not in its shortest form");
      }
      if (buffer.length < at + length) return undefined;
      const head = this.#take(at + length);
      const payload = head.subarray(at);
      const opcode = head[0] & 15;
      const isClose = opcode === OP.CLOSE && length >= 2;
      return {
        fin: head[0] >> 7 === 1,
        rsv: (head[0] >> 4) & 7,
        opcode,
        payload,
        code: isClose ? payload.readUInt16BE() : undefined,
        reason: isClose ? payload.subarray(2).toString() : undefined,
      };
    };
    return this.#read("a frame", next, timeout);
  }

  /* The next text message (frames in between are errors), parsed. */
  async message(timeout) {
    const { opcode, payload } = await this.frame(timeout);
    if (opcode !== OP.TEXT) throw new Error(`frame with opcode ${opcode} (${payload.toString("latin1").slice(0, 100)}), expected text`);
    return JSON.parse(payload.toString());
  }

  send(options) {
    this.write(frame(options));
  }

  json(operation) {
    this.write(frame({ payload: JSON.stringify(operation) }));
  }

  end() {
    this.socket.destroy();
  }
}

/* to: { host, port } or { path } of a Unix socket. */
export function connectRaw(to, { timeout = 5000 } = {}) {
  return within(timeout, new Promise((done, failed) => {
    const socket = connectSocket(to);
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      done(new RawConnection(socket));
    });
  }), "a TCP connection");
}

export const upgradeRequest = (path = "/ws", headers = {}) => {
  const all = {
    Host: "localhost",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
};

/* The status with which a broker answers an upgrade. */
export async function upgraded(broker, path, headers) {
  const raw = await broker.raw();
  raw.write(upgradeRequest(path, headers));
  const { status } = await raw.response({ timeout: 10000 });
  raw.end();
  return status;
}

/* A WebSocket whose welcome was read. `timeout`, where it is given, is that of each step. */
export async function connectFrames(to, path, headers, times = {}) {
  const raw = await connectRaw(to, times);
  raw.write(upgradeRequest(path, headers));
  const response = await raw.response(times);
  if (response.status !== 101) throw new Error(`the handshake was answered ${response.status} ${response.body}`);
  raw.handshake = response;
  raw.welcome = await raw.message(times.timeout);
  return raw;
}
