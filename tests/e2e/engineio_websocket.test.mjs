// Engine.IO v4, case by case, at the level of bytes: messages by WebSocket.
// Against engine.io itself and ringcast; what is sent is echoed.
import { randomBytes } from "node:crypto";
import { MAX_PAYLOAD, patient as options, targets } from "./lib/engineio.mjs";
import { OP, frame } from "./lib/raw.mjs";
import { SEPARATOR, assert, describeCases, openSocket } from "./lib/socketio.mjs";

const websocket = [
  ["a text packet", async (server) => {
    const socket = await openSocket(server);
    socket.send("4hello");
    await socket.expect("4hello");
    socket.end();
  }],

  ["a binary packet", async (server) => {
    const socket = await openSocket(server);
    socket.send(Buffer.from([1, 2, 3, 4]));
    await socket.expect(Buffer.from([1, 2, 3, 4]));
    socket.end();
  }],

  ["many packets, one message each, in order", async (server) => {
    const socket = await openSocket(server);
    socket.answerPings = true;
    const messages = Array.from({ length: 300 }, (_, i) => (i % 3 ? `4${"é".repeat(i)}` : randomBytes(i)));
    socket.send(...messages);
    await socket.expect(...messages);
    socket.end();
  }],

  ["empty messages, and the separator within one", async (server) => {
    const socket = await openSocket(server);
    const messages = ["4", Buffer.alloc(0), `4a${SEPARATOR}4b`, `4${SEPARATOR}`];
    socket.send(...messages);
    await socket.expect(...messages);
    socket.end();
  }],

  ["a message in fragments, pings of RFC 6455 among them", async (server) => {
    const socket = await openSocket(server);
    socket.raw.send({ payload: "4hel", fin: false });
    socket.raw.send({ opcode: OP.PING, payload: "p" });
    socket.raw.send({ opcode: OP.CONTINUATION, payload: "lo", fin: false });
    socket.raw.send({ opcode: OP.CONTINUATION, payload: " you" });
    const pong = await socket.raw.frame();
    assert.deepEqual([pong.opcode, pong.payload.toString()], [OP.PONG, "p"]);
    await socket.expect("4hello you");
    socket.end();
  }],

  ["almost a megabyte each way", async (server) => {
    const socket = await openSocket(server);
    socket.answerPings = true;
    for (const message of [`4${"z".repeat(MAX_PAYLOAD - 1)}`, randomBytes(MAX_PAYLOAD)]) {
      socket.send(message);
      assert.ok(Buffer.from(await socket.next()).equals(Buffer.from(message)));
    }
    socket.end();
  }],

  ["a message over the largest size closes", async (server) => {
    const socket = await openSocket(server);
    socket.send(`4${"z".repeat(MAX_PAYLOAD)}`);
    assert.deepEqual(await socket.closed(), []);
  }],

  ["what is no packet closes", async (server) => {
    for (const text of ["abc", "", "7", " 4", "b", "bAQID", "é", "{}"]) {
      const socket = await openSocket(server);
      socket.send(text);
      // "b..." is a binary packet's form for polling: the reference takes it here as well.
      if (text.startsWith("b")) await socket.expect(Buffer.from(text.slice(1), "base64"));
      else assert.deepEqual(await socket.closed(), [], text);
      socket.end();
    }
  }],

  ["a client's ping closes", async (server) => {
    for (const text of ["2", "2probe"]) {
      const socket = await openSocket(server);
      socket.send(text);
      assert.deepEqual(await socket.closed(), []);
    }
  }],

  ["packets without a meaning here change nothing", async (server) => {
    const socket = await openSocket(server);
    socket.send("6", "5", "0", "4x");
    await socket.expect("4x");
    socket.end();
  }],

  ["frames that are not masked close, as RFC 6455 wants", async (server) => {
    const socket = await openSocket(server);
    socket.raw.write(frame({ payload: "4x", masked: false }));
    assert.deepEqual(await socket.closed(), []);
  }],
];

describeCases("websocket", targets, options, websocket);
