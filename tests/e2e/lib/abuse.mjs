// Hostile clients. As a program: node abuse.mjs ATTACK '{"host", "port", "tlsPort", "count", "ms", "seed"}' abuses a broker
// for that long, with so many connections at a time, prints what it did as JSON, and leaves no connection open.
import { randomBytes } from "node:crypto";
import { connect as connectSocket } from "node:net";
import { setPriority } from "node:os";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { OP, frame, upgradeRequest } from "./raw.mjs";

const delay = (ms) => new Promise((done) => setTimeout(done, ms));

class Attack {
  constructor({ host, port, tlsPort, count, ms, seed }) {
    Object.assign(this, { host, port, tlsPort, count, ms, seed });
    this.sockets = new Set();
    this.did = { connections: 0, refused: 0, ended: 0, writes: 0 };
    this.end = performance.now() + ms;
  }

  get over() {
    return performance.now() >= this.end;
  }

  random(below) {
    this.seed = (Math.imul(this.seed, 1664525) + 1013904223) >>> 0;
    return this.seed % below;
  }

  /* A connection, or undefined when there is none. From many addresses: one has no more ports than 28,000. */
  open(port = this.port) {
    const local = `127.0.${1 + this.random(8)}.${1 + this.random(200)}`;
    return new Promise((done) => {
      const socket = connectSocket({ host: this.host, port, localAddress: local });
      socket.setNoDelay(true);
      this.sockets.add(socket);
      socket.once("connect", () => {
        this.did.connections++;
        done(socket);
      });
      socket.on("error", () => done(undefined));
      socket.on("close", () => {
        this.did.ended++;
        this.sockets.delete(socket);
        done(undefined);
        socket.freed?.();
      });
    });
  }

  /* One that is a WebSocket: what arrives afterwards is thrown away, or not read at all. */
  async upgrade({ read = true, headers = {} } = {}) {
    const socket = await this.open();
    if (!socket) return undefined;
    socket.write(upgradeRequest("/ws", headers));
    const good = await new Promise((done) => {
      let head = "";
      const look = (bytes) => {
        head += bytes.toString("latin1");
        if (head.length >= 12) {
          socket.off("data", look);
          done(head.startsWith("HTTP/1.1 101"));
        }
      };
      socket.on("data", look);
      socket.once("close", () => done(false));
    });
    if (!good) {
      this.did.refused++;
      socket.destroy();
      return undefined;
    }
    if (read) socket.resume();
    else socket.pause();
    return socket;
  }

  /* Resolves when the bytes have left the process, or the connection is gone. False: it is over. */
  async write(socket, bytes) {
    if (socket.destroyed || this.over) return false;
    this.did.writes++;
    if (socket.write(bytes)) return true;
    await new Promise((done) => {
      socket.freed = done;
      socket.once("drain", done);
      setTimeout(done, Math.max(1, this.end - performance.now()));
    });
    return !socket.destroyed && !this.over;
  }

  /* `count` at a time, each again and again until the time is up. */
  async crowd(one) {
    await Promise.all(Array.from({ length: this.count }, async (_, i) => {
      while (!this.over) {
        await one(i);
        await delay(0);
      }
    }));
  }

  async finish() {
    for (const socket of this.sockets) socket.destroy();
    while (this.sockets.size > 0) await delay(5);
    return this.did;
  }
}

const attacks = {
  /* Connections that begin a request, or nothing at all, and leave it there. */
  async half_open(attack) {
    const rows = Array.from({ length: 64 }, async (_, row) => {
      for (let i = row; i < attack.count && !attack.over; i += 64) {
        const socket = await attack.open();
        if (socket && i % 3 > 0) socket.write(i % 3 === 1 ? "GET /ws HTTP/1.1\r\nHost: x\r\nUpgr" : "\r\n");
        socket?.resume();
      }
    });
    await Promise.all(rows);
    while (!attack.over && attack.sockets.size > 0) await delay(50);
  },

  /* Requests that arrive a byte at a time, for ever. */
  slow_loris: (attack) => attack.crowd(async () => {
    const socket = await attack.open();
    if (!socket) return;
    socket.resume();
    socket.write("GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    while (!socket.destroyed && !attack.over) {
      attack.did.writes++;
      socket.write("x");
      await delay(200);
    }
  }),

  /* Messages in fragments of one byte, the most that a message may have and then too many; empty ones among them. */
  fragments: (attack) => attack.crowd(async () => {
    const socket = await attack.upgrade();
    if (!socket) return;
    const middle = Buffer.concat(Array.from({ length: 1024 }, (_, i) => frame({ opcode: OP.CONTINUATION, fin: false, payload: i % 7 === 0 ? "" : " " })));
    if (!(await attack.write(socket, frame({ fin: false, payload: "{" })))) return;
    while (await attack.write(socket, middle));
    socket.destroy();
  }),

  /* Pings that nobody reads the pongs of, and pings that are answered. */
  pings: (attack) => attack.crowd(async (i) => {
    const socket = await attack.upgrade({ read: i % 2 === 0 });
    if (!socket) return;
    const many = Buffer.concat(Array.from({ length: 256 }, () => frame({ opcode: OP.PING, payload: randomBytes(125) })));
    while (await attack.write(socket, many));
    socket.destroy();
  }),

  /* The smallest messages there are: each is an error to be answered. */
  tiny_frames: (attack) => attack.crowd(async (i) => {
    const socket = await attack.upgrade({ read: i % 2 === 0 });
    if (!socket) return;
    const many = Buffer.concat(Array.from({ length: 1024 }, (_, n) => frame({ payload: n % 2 ? "" : "x" })));
    while (await attack.write(socket, many));
    socket.destroy();
  }),

  /* Frames that promise 2^63 bytes, and other sizes that nobody has. */
  lengths: (attack) => attack.crowd(async (i) => {
    const socket = await attack.upgrade();
    if (!socket) return;
    const sizes = [1n << 63n, (1n << 63n) - 1n, (1n << 64n) - 1n, 1n << 32n, (1n << 31n) - 1n, 1n << 40n];
    const size = sizes[i % sizes.length];
    const head = frame({ opcode: i % 2 ? OP.TEXT : OP.BINARY, length: 64, declared: 0 });
    head.writeBigUInt64BE(size, 2);
    await attack.write(socket, Buffer.concat([head, randomBytes(1000)]));
    await new Promise((done) => {
      socket.once("close", done);
      setTimeout(done, 500);
    });
    socket.destroy();
  }),

  /* Resets in the middle of a request, of a handshake, of a frame, of a message that is being sent to the client. */
  resets: (attack) => attack.crowd(async (i) => {
    const kind = i % 6;
    const socket = kind < 2 ? await attack.open() : kind === 5 ? await attack.open(attack.tlsPort) : await attack.upgrade({ read: kind !== 4 });
    if (!socket) return;
    if (kind === 0) socket.write("GET /ws HTTP/1.1\r\nHo");
    if (kind === 1) socket.write(upgradeRequest("/ws")); // gone before its answer
    if (kind === 2) socket.write(frame({ payload: "x".repeat(500) }).subarray(0, 100 + attack.random(300)));
    if (kind === 3) socket.write(frame({ payload: JSON.stringify({ type: "subscribe", channel: "good:1", id: 1 }) }));
    if (kind === 4) socket.write(Buffer.concat([0, 1, 2, 3].map((n) => frame({ payload: JSON.stringify({ type: "subscribe", channel: n ? `reset:${attack.random(50)}` : "good:1" }) }))));
    if (kind === 5) socket.write(randomBytes(1 + attack.random(300)));
    attack.did.writes++;
    await delay(attack.random(kind >= 3 ? 60 : 5));
    socket.resetAndDestroy();
  }),

  /* Whatever is not TLS on a TLS port, records that are cut or too long, and garbage behind a good handshake. */
  tls_garbage: (attack) => attack.crowd(async (i) => {
    const socket = await attack.open(attack.tlsPort);
    if (!socket) return;
    const ended = new Promise((done) => socket.once("close", done));
    const kind = i % 6;
    if (kind === 0) socket.write(randomBytes(1 + attack.random(2000)));
    if (kind === 1) socket.write(Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0]), randomBytes(attack.random(5000))]));
    if (kind === 2) socket.write(Buffer.concat([Buffer.from([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]), randomBytes(400)]));
    if (kind === 3) socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    if (kind === 4) socket.write(Buffer.from([22, 3, 1, 2])); // and no more
    if (kind === 5) {
      const secure = connectTls({ socket, rejectUnauthorized: false });
      secure.on("error", () => {});
      await new Promise((done) => {
        secure.once("secureConnect", () => {
          socket.write(Buffer.concat([Buffer.from([23, 3, 3, 0x20, 0]), randomBytes(0x2000)]));
          done();
        });
        socket.once("close", done);
        setTimeout(done, 1000);
      });
    }
    socket.resume();
    attack.did.writes++;
    await Promise.race([ended, delay(200 + attack.random(300))]);
    socket.destroy();
  }),
};

export const ATTACKS = Object.keys(attacks);
export const PROGRAM = fileURLToPath(import.meta.url);

if (process.argv[1] === PROGRAM) {
  // The broker and its good clients are what is looked at; the attacker gets what they leave of the CPUs.
  setPriority(10);
  const attack = new Attack(JSON.parse(process.argv[3]));
  await attacks[process.argv[2]](attack);
  process.stdout.write(JSON.stringify(await attack.finish()));
  process.exit(0);
}
