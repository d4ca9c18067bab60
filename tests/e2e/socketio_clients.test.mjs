// socket.io-client, unchanged, of three ages and over every transport, python-socketio and Chromium: against socket.io and against
// ringcast with the same rows.
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io as io48 } from "socket.io-client";
import { io as io31 } from "socket.io-client-3.1";
import { io as io40 } from "socket.io-client-4.0";
import parser from "socket.io-msgpack-parser";
import { Chromium, findChromium } from "./lib/chromium.mjs";
import { NO_REDIS, startRedis, subscribers } from "./lib/redis.mjs";
import { Relay, assert, describeCases, targetsOf, until } from "./lib/socketio.mjs";
import { program, within } from "./lib/util.mjs";

const CLIENTS = { "4.8": io48, "4.0": io40, "3.1": io31 };
const TRANSPORTS = { polling: { transports: ["polling"] }, websocket: { transports: ["websocket"] }, upgrade: {} };

const both = (row) => [row, { ...row, nsp: "/custom" }];
const rows = [
  ...both({ on: "connect", emit: [{ event: "auth", args: ["{auth}"] }] }),
  ...both({ on: "disconnect", emit: [{ to: "watchers", event: "gone", args: ["{sid}"] }] }),
  ...both({ on: "echo", emit: [{ event: "echo", args: ["{args}"] }], ack: ["{args}"] }),
  ...both({ on: "join", join: ["{args.0}"], ack: ["{args.0}"] }),
  ...both({ on: "leave", leave: ["{args.0}"], ack: ["{args.0}"] }),
  ...both({ on: "say", emit: [{ to: "{args.0}", others: true, event: "said", args: ["{args.1..}"] }] }),
  ...both({ on: "say to all", emit: [{ to: "{args.0}", event: "said", args: ["{args.1..}"] }] }),
];
// Heartbeats that a busy machine cannot miss; those cases that are about them have a server with short ones.
const options = { pingInterval: 5000, pingTimeout: 5000, maxPayload: 2000000, namespaces: ["/", "/custom"], rows };
const short = { ...options, pingInterval: 300, pingTimeout: 4000 };
const targets = targetsOf("socketio");

/* --- clients in a test --------------------------------------------------------------------------------------------------- */

/* A case with clients that are closed when it is over: body({ open, server }); open(nsp, options) gives a client before it connects. */
function withClients(make, settings, body) {
  return async (server) => {
    const opened = [];
    const open = (nsp = "/", more = {}) => {
      const { port = server.port, ...rest } = more;
      const socket = make(`http://127.0.0.1:${port}${nsp === "/" ? "" : nsp}`, { forceNew: true, reconnection: false, ...settings, ...rest });
      socket.log = []; // [event, ...args], disconnects too
      const take = socket.onevent;
      socket.onevent = function (packet) {
        socket.log.push(packet.data.slice());
        take.call(this, packet);
      };
      socket.on("disconnect", (reason) => socket.log.push(["disconnect", reason]));
      opened.push(socket);
      return socket;
    };
    try {
      await body({ open, server });
    } finally {
      for (const socket of opened) socket.disconnect();
    }
  };
}

const event = (socket, name) => within(5000, new Promise((done) => socket.once(name, (...args) => done(args))), `a client gets "${name}"`);
const ask = (socket, name, ...args) => within(5000, new Promise((done) => socket.emit(name, ...args, (...answer) => done(answer))), `an acknowledgement of "${name}"`);

/* Connected, its greeting taken, and over WebSocket if it may upgrade. */
async function ready(socket) {
  const failed = new Promise((_, reject) => socket.once("connect_error", reject));
  failed.catch(() => {});
  await Promise.race([event(socket, "auth"), failed]);
  const { engine } = socket.io;
  if (engine.opts.upgrade !== false && engine.opts.transports?.length !== 1) {
    await until("it has upgraded", () => engine.transport.name === "websocket");
  }
  socket.log.length = 0;
  return socket;
}

/* The next entry of its log that this fits. */
const heard = (socket, name) => until(`"${name}" is heard`, () => {
  const at = socket.log.findIndex((entry) => entry[0] === name);
  return at >= 0 && socket.log.splice(at, 1)[0].slice(1);
}, { timeout: 10000, every: 2 });

/* Of this client's; those of cases before may still be dying. */
const hearsOfTheEnd = (watcher, id) => until("the others hear of it", () => watcher.log.some(([name, who]) => name === "gone" && who === id), { timeout: 10000, every: 2 });

/* Buffers, views and ArrayBuffers as arrays of numbers, so that values compare. */
function plain(value) {
  if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)] };
  if (ArrayBuffer.isView(value)) return { bytes: [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)] };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
  return value;
}

async function echoes(socket, ...args) {
  const [answer, echo] = await Promise.all([ask(socket, "echo", ...args), event(socket, "echo")]);
  assert.deepEqual(plain(answer), plain(args));
  assert.deepEqual(plain(echo), plain(args));
}

/* --- cases for every client and transport --------------------------------------------------------------------------------- */

const CASES = {
  "text and acknowledgements": async ({ open }) => {
    const socket = await ready(open());
    assert.match(socket.id, /^[A-Za-z0-9_-]{20}$/);
    await echoes(socket, "text é😀", 1, -0.5, true, null, { a: [1, { b: "c" }], "": [] });
    await echoes(socket);
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(socket, "echo", i)));
    assert.deepEqual(answers, Array.from({ length: 50 }, (_, i) => [i]));
  },

  "binary and nested binary": async ({ open }) => {
    const socket = await ready(open());
    await echoes(socket, Buffer.from([0, 1, 255]));
    await echoes(socket, "mixed", { a: [randomBytes(1000), { b: new Uint8Array([1, 2, 3]) }], c: "text" }, new Uint8Array(0), [[new Uint8Array([9]).buffer]]);
  },

  "a megabyte, text and binary": async ({ open }) => {
    const socket = await ready(open());
    const text = "megabyte".repeat(125000);
    assert.ok((await ask(socket, "echo", text))[0] === text);
    const bytes = randomBytes(1000000);
    assert.ok(bytes.equals(Buffer.from((await ask(socket, "echo", bytes))[0])));
  },

  "payload, namespaces on one connection, and one that is not there": async ({ open }) => {
    const auth = { token: "é", list: [1] };
    const main = open("/", { auth });
    assert.deepEqual(await event(main, "auth"), [auth]);
    const custom = main.io.socket("/custom", { auth: { other: true } });
    assert.deepEqual(await event(custom, "auth"), [{ other: true }]);
    assert.notEqual(custom.id, main.id);
    assert.deepEqual(await ask(custom, "echo", "custom"), ["custom"]);
    assert.deepEqual(await ask(main, "echo", "main"), ["main"]);
    const unknown = main.io.socket("/unknown");
    const [error] = await event(unknown, "connect_error");
    assert.ok(error instanceof Error);
    assert.equal(error.message, "Invalid namespace");
    custom.disconnect();
    assert.deepEqual(await ask(main, "echo", "still here"), ["still here"]);
    custom.connect();
    await event(custom, "auth");
    assert.deepEqual(await ask(custom, "echo", "again"), ["again"]);
  },

  "rooms": async ({ open }) => {
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => ready(open())));
    for (const socket of [one, two]) assert.deepEqual(await ask(socket, "join", "room"), ["room"]);
    one.emit("say", "room", "from one", Buffer.from([1]));
    three.emit("say to all", "room", "from three");
    const said = [await heard(two, "said"), await heard(two, "said")];
    assert.deepEqual(plain(said).sort(), [["from one", { bytes: [1] }], ["from three"]].sort());
    assert.deepEqual(await heard(one, "said"), ["from three"]);
    await ask(two, "leave", "room");
    one.emit("say to all", "room", "one alone");
    assert.deepEqual(await heard(one, "said"), ["one alone"]);
    one.emit("say to all", three.id, "its sid is a room");
    assert.deepEqual(await heard(three, "said"), ["its sid is a room"]);
    assert.deepEqual([...one.log, ...two.log, ...three.log], []);
  },

  "it leaves, others hear": async ({ open }) => {
    const [watcher, socket] = [await ready(open()), await ready(open())];
    await ask(watcher, "join", "watchers");
    const { id, io: { engine } } = socket;
    socket.disconnect();
    assert.deepEqual(await heard(socket, "disconnect"), ["io client disconnect"]);
    // 4.0 gets lost when it connects again while it still closes.
    await until("its connection is closed", () => engine.readyState === "closed", { every: 2 });
    await hearsOfTheEnd(watcher, id);
    socket.connect();
    await ready(socket);
    assert.notEqual(socket.id, id);
    await echoes(socket, "again");
  },

  "events both ways while it connects and upgrades: all, once, in order": async ({ open }) => {
    const socket = open();
    const echoed = [];
    socket.on("echo", (n) => echoed.push(n));
    const count = 200;
    const connected = ready(socket);
    for (let n = 0; n < count; n++) {
      socket.emit("echo", n); // the first ones wait for the connection
      if (n % 10 === 9) await new Promise(setImmediate);
    }
    await connected;
    for (let n = count; n < 2 * count; n++) socket.emit("echo", n);
    await until("all came back", () => echoed.length >= 2 * count, { every: 2 });
    assert.deepEqual(echoed, Array.from({ length: 2 * count }, (_, n) => n));
  },

  "the connection is cut: it comes back": async ({ open, server }) => {
    const relay = await new Relay().start(server);
    try {
      const watcher = await ready(open());
      await ask(watcher, "join", "watchers");
      const socket = await ready(open("/", { port: relay.port, reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 }));
      const { id } = socket;
      await ask(socket, "echo", "and the server knows that it has upgraded");
      // Between two polls there is nothing to notice, and the next one simply takes a new connection.
      const [, reason] = await until("it is cut off", () => {
        const entry = socket.log.find(([name]) => name === "disconnect");
        if (!entry) relay.cut();
        return entry;
      });
      // A poll that fails is an error to the library, a WebSocket that ends is not.
      assert.ok(["transport close", "transport error"].includes(reason), reason);
      if (socket.io.opts.transports?.[0] === "websocket") assert.equal(reason, "transport close");
      await event(socket, "auth");
      assert.notEqual(socket.id, id);
      await hearsOfTheEnd(watcher, id);
      assert.deepEqual(await ask(socket, "echo", "back"), ["back"]);
    } finally {
      await relay.stop();
    }
  },

};

const HEARTBEATS = {
  "nothing passes any more: both sides notice": async ({ open, server }) => {
    const relay = await new Relay().start(server);
    try {
      const watcher = await ready(open());
      await ask(watcher, "join", "watchers");
      const socket = await ready(open("/", { port: relay.port }));
      const { id } = socket;
      relay.hold();
      assert.deepEqual(await heard(socket, "disconnect"), ["ping timeout"]);
      await hearsOfTheEnd(watcher, id);
    } finally {
      await relay.stop();
    }
  },

  "heartbeats keep it": async ({ open }) => {
    const socket = await ready(open());
    const { id } = socket;
    let pings = 0;
    socket.io.engine.on("packet", ({ type }) => (pings += type === "ping"));
    await until("three heartbeats", () => pings >= 3);
    assert.equal(socket.id, id);
    assert.deepEqual(socket.log, []);
    await echoes(socket, "alive");
  },
};

/* 4.x alone. */
const NEWER = {
  "acknowledgements with a time-out": async ({ open }) => {
    const socket = await ready(open());
    assert.equal(await socket.timeout(15000).emitWithAck("echo", "in time"), "in time");
    await assert.rejects(socket.timeout(100).emitWithAck("nobody answers"), /timed out/);
    await assert.rejects(socket.timeout(100).emitWithAck("say", "nowhere", 1), /timed out/);
    await echoes(socket, "goes on");
  },

  "several in line, volatile and with retries": async ({ open }) => {
    const socket = open("/", { retries: 2, ackTimeout: 15000 });
    await ready(socket);
    const answers = await Promise.all([1, 2, 3].map((n) => socket.emitWithAck("echo", n)));
    assert.deepEqual(answers, [1, 2, 3]);
    await until("what is volatile can be sent at once", () => socket.io.engine.transport.writable); // its last POST may not be answered yet
    socket.volatile.emit("echo", "volatile");
    assert.deepEqual((await until("the volatile one is back", () => socket.log.find((entry) => entry[1] === "volatile"))).slice(1), ["volatile"]);
  },
};

function casesOf(settings, only, newer = {}) {
  const list = [];
  for (const [version, make] of Object.entries(CLIENTS)) {
    for (const [transport, transports] of Object.entries(TRANSPORTS)) {
      const all = version === "4.8" ? { ...only, ...newer } : only;
      for (const [name, body] of Object.entries(all)) list.push([`${version}, ${transport}: ${name}`, withClients(make, { ...transports, ...settings }, body)]);
    }
  }
  return list;
}

describeCases("socket.io-client", targets, options, casesOf({}, CASES, NEWER));
describeCases("socket.io-client's heartbeats", targets, short, casesOf({}, HEARTBEATS), { beside: true });

const { "text and acknowledgements": text, "binary and nested binary": binary, "payload, namespaces on one connection, and one that is not there": namespaces, rooms, ...rest } = CASES;
describeCases("socket.io-msgpack-parser", targets, { ...options, msgpack: true }, casesOf({ parser }, {
  text, binary, namespaces, rooms, "events both ways": rest["events both ways while it connects and upgrades: all, once, in order"], megabyte: rest["a megabyte, text and binary"],
}));

/* --- the server ends ------------------------------------------------------------------------------------------------------ */

for (const target of targets) {
  for (const [transport, transports] of Object.entries(TRANSPORTS)) {
    test(`${target.name} ends, ${transport}: the client says how`, async () => {
      const server = await target.start(options);
      try {
        await withClients(io48, transports, async ({ open }) => {
          const socket = await ready(open());
          await server.stop();
          const [reason] = await heard(socket, "disconnect");
          assert.ok((transport === "polling" ? ["transport close", "transport error"] : ["transport close"]).includes(reason), reason);
        })(server);
      } finally {
        await server.destroy();
      }
    });
  }
}

/* --- beside a Node server with the Redis adapter -------------------------------------------------------------------------- */

for (const target of targets) {
  describe(`beside a Node server, ${target.name}`, { skip: NO_REDIS }, () => {
    let redis;
    let server;
    let backend; // a Node server without clients of its own
    const connections = [];
    before(async () => {
      redis = await startRedis();
      server = await target.start({ ...options, redis: redis.url });
      for (let i = 0; i < 2; i++) connections.push(await createClient({ url: redis.url }).on("error", () => {}).connect());
      backend = new Server();
      backend.adapter(createAdapter(...connections, { requestsTimeout: 15000 }));
      for (const nsp of options.namespaces) {
        await until(`both have subscribed ${nsp}`, async () => (await backend.of(nsp).adapter.serverCount()) === 2);
      }
    });
    after(async () => {
      await Promise.all(connections.map((connection) => connection.close()));
      await server?.stop();
      await redis?.destroy();
    });

    // An acknowledgement of ringcast's may come before Redis has heard of the room; a Node server has all of them.
    const isHeard = async (...rooms) => {
      if (target.name !== "ringcast") return;
      for (const room of ["", ...rooms.map((name) => `${name}#`)]) await until(`Redis has "${room}"`, async () => (await subscribers(redis, `socket.io#/#${room}`)) > 0);
    };
    const answers = async (socket, room) => {
      socket.on("question", (n, bytes, answer) => answer({ n, by: socket.id, bytes }));
      await ask(socket, "join", room);
    };
    // Each has a room of its own, and all let the same seven seconds go by.
    test("it is asked, and does not answer in time: every version and transport", async () => {
      const kinds = Object.entries(CLIENTS).flatMap(([version, make]) => Object.entries(TRANSPORTS).map(([transport, transports]) => [`${version}, ${transport}`, make, transports]));
      await Promise.all(kinds.map(([kind, make, transports]) => withClients(make, transports, async ({ open }) => {
        const [one, two] = await Promise.all([1, 2].map(() => ready(open())));
        for (const socket of [one, two]) await answers(socket, kind);
        await isHeard(kind);
        two.off("question");
        await assert.rejects(backend.timeout(15000).to(kind).emitWithAck("question", 8, Buffer.from([3])), (error) => {
          assert.deepEqual(error.responses.map(({ by }) => by), [one.id], kind);
          return true;
        });
      })(server)));
    });
    for (const [version, make] of Object.entries(CLIENTS)) {
      for (const [transport, transports] of Object.entries(TRANSPORTS)) {
        const beside = (name, body) => test(`${version}, ${transport}: ${name}`, () => withClients(make, transports, body)(server));

        beside("events to all, a room, a client, and without somebody", async ({ open }) => {
          const [one, two] = await Promise.all([1, 2].map(() => ready(open())));
          await ask(one, "join", "news");
          await isHeard("news");
          backend.emit("to all", 1, { a: Buffer.from([1]) });
          for (const socket of [one, two]) assert.deepEqual(plain(await heard(socket, "to all")), [1, { a: { bytes: [1] } }]);
          backend.to("news").emit("to a room", 2);
          assert.deepEqual(await heard(one, "to a room"), [2]);
          backend.to(two.id).emit("to a client", 3);
          assert.deepEqual(await heard(two, "to a client"), [3]);
          backend.except("news").emit("without", 4);
          assert.deepEqual(await heard(two, "without"), [4]);
          backend.emit("fence");
          for (const socket of [one, two]) await heard(socket, "fence");
          assert.deepEqual([...one.log, ...two.log], []);
        });

        beside("it is asked, and answers in time", async ({ open }) => {
          const [one, two] = await Promise.all([1, 2].map(() => ready(open())));
          for (const socket of [one, two]) await answers(socket, "asked");
          await isHeard("asked");
          const given = await backend.timeout(15000).to("asked").emitWithAck("question", 7, Buffer.from([1, 2]));
          assert.deepEqual(plain(given.sort((a, b) => (a.by < b.by ? -1 : 1))), [one.id, two.id].sort().map((by) => ({ n: 7, by, bytes: { bytes: [1, 2] } })));
        });

        beside("it is disconnected", async ({ open }) => {
          const socket = await ready(open("/", { reconnection: true, reconnectionDelay: 10 }));
          const custom = socket.io.socket("/custom");
          await event(custom, "auth");
          backend.in(socket.id).disconnectSockets();
          assert.deepEqual(await heard(socket, "disconnect"), ["io server disconnect"]);
          assert.deepEqual(await ask(custom, "echo", "the other namespace stays"), ["the other namespace stays"]);
          socket.connect(); // it does not by itself
          await event(socket, "auth");
          backend.in(socket.id).disconnectSockets(true);
          assert.deepEqual(await heard(socket, "disconnect"), ["io server disconnect"]);
          await until("and the connection with it", () => custom.disconnected);
        });

        beside("it is put into rooms, out of them, and found", async ({ open }) => {
          const socket = await ready(open());
          await isHeard();
          backend.in(socket.id).socketsJoin(["a", "b"]);
          await until("it is in both", async () => {
            const found = await backend.in("a").fetchSockets();
            return found.length === 1 && found[0].id === socket.id && found[0].rooms.has("b");
          });
          backend.in("a").socketsLeave("b");
          await until("it has left one", async () => !(await backend.in("a").fetchSockets())[0].rooms.has("b"));
          await isHeard("a");
          backend.to("b").to("a").emit("once");
          await heard(socket, "once");
          const [found] = await backend.in(socket.id).fetchSockets();
          assert.ok(found.handshake.headers && found.handshake.query && typeof found.handshake.time === "string");
        });
      }
    }
  });
}

/* --- python-socketio ------------------------------------------------------------------------------------------------------ */

const PYTHON = String.raw`
import json, os, sys, time
import socketio

def failed(*what):
    sys.__excepthook__(*what)
    os._exit(1)  # threads of the library would keep the program

sys.excepthook = failed

url, transports = sys.argv[1], json.loads(sys.argv[2])
client = socketio.Client(reconnection=False)
greeted, echoed, said = [], [], []
client.on("auth", lambda data: greeted.append(data))
client.on("auth", lambda data: greeted.append(("custom", data)), namespace="/custom")
client.on("echo", lambda *args: echoed.append(args))
client.on("said", lambda *args: said.append(args))
client.connect(url, auth={"token": "py"}, transports=transports, namespaces=["/", "/custom"], wait_timeout=10)

def until(what, check):
    deadline = time.monotonic() + 10
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)

until("greetings", lambda: len(greeted) == 2)
assert {"token": "py"} in greeted and ("custom", {"token": "py"}) in greeted, greeted
if transports is None:
    until("upgrade", lambda: client.transport() == "websocket")
assert client.call("echo", "text \u00e9", timeout=10) == "text \u00e9"
assert list(client.call("echo", ("a", 1, None, {"b": [True]}), timeout=10)) == ["a", 1, None, {"b": [True]}]
binary = {"list": [bytes(range(256)), {"deep": b""}]}
assert client.call("echo", binary, timeout=10) == binary
assert client.call("echo", "x" * 900000, timeout=10) == "x" * 900000
assert client.call("echo", "custom", namespace="/custom", timeout=10) == "custom"
until("echoes", lambda: len(echoed) == 4)
assert echoed[1] == ("a", 1, None, {"b": [True]}), echoed[1]
assert client.call("join", "py", timeout=10) == "py"
client.emit("say to all", ("py", "hello", b"\x00\x01"))
until("said", lambda: len(said) == 1)
assert said[0] == ("hello", b"\x00\x01"), said
client.disconnect()

other = socketio.Client(reconnection=False)
refused = []
other.on("connect_error", lambda data: refused.append(data), namespace="/unknown")
try:
    other.connect(url, transports=transports, namespaces=["/unknown"], wait_timeout=1)
    raise AssertionError("connected to an unknown namespace")
except socketio.exceptions.ConnectionError:
    pass
assert "Invalid namespace" in json.dumps(refused), refused
other.disconnect()
print("all good")
`;

const PYTHON_PINGS = String.raw`
import json, sys, time
import socketio

client = socketio.Client(reconnection=False)
client.connect(sys.argv[1], transports=json.loads(sys.argv[2]), wait_timeout=10)
time.sleep(float(sys.argv[3]))
assert client.call("echo", "alive", timeout=10) == "alive"
client.disconnect()
print("all good")
`;

/* A program of python-socketio against a server; it says when it has come to its end. */
const runsPython = (text, transports, ...more) => async (server) => {
  const { code, stdout, stderr } = await program("/usr/bin/python3", ["-c", text, `http://127.0.0.1:${server.port}`, JSON.stringify(transports ?? null), ...more], { timeout: 40000 });
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "all good\n");
};

const python = existsSync("/usr/bin/python3") && (await program("/usr/bin/python3", ["-c", "import socketio, requests, websocket"])).code === 0;
// Its thread answers pings only when it has read what stands before them: 900 KB take what time the machine has for them.
describeCases("python-socketio", targets, { ...options, pingInterval: 25000, pingTimeout: 20000, timeout: 40000 }, python
  ? Object.entries(TRANSPORTS).map(([name, { transports }]) => [name, runsPython(PYTHON, transports)]) : []);
// Who is there after more than interval and time-out has answered pings.
describeCases("python-socketio's heartbeats", targets, { ...options, pingInterval: 300, pingTimeout: 2500, timeout: 40000 }, python
  ? Object.entries(TRANSPORTS).map(([name, { transports }]) => [name, runsPython(PYTHON_PINGS, transports, "3.2")]) : [], { beside: true });

/* --- Chromium ------------------------------------------------------------------------------------------------------------- */

const browser = findChromium();
describeCases("Chromium, with the script that the server has", targets, { ...options, timeout: 60000 }, browser ? [
  ["every file of the client, and every transport", async (server) => {
    const chromium = new Chromium();
    try {
      await chromium.start(browser);
      const page = await chromium.open(`http://${server.host}/health`); // any page of this origin
      for (const file of ["socket.io.js", "socket.io.min.js", "socket.io.msgpack.min.js", "socket.io.esm.min.js"]) {
        for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
          if (file.includes("msgpack")) continue; // its server speaks JSON here
          const result = await page.evaluate(`(async () => {
            let io;
            if (${file.includes(".esm.")}) {
              ({ io } = await import("/socket.io/${file}"));
            } else {
              const script = document.createElement("script");
              script.src = "/socket.io/${file}";
              await new Promise((done, failed) => { script.onload = done; script.onerror = failed; document.head.append(script); });
              io = window.io;
            }
            const socket = io({ transports: ${JSON.stringify(transports)}, forceNew: true, auth: { page: true } });
            const [auth] = await new Promise((done, failed) => { socket.once("auth", (...args) => done(args)); socket.once("connect_error", failed); });
            while (socket.io.engine.transport.name !== ${JSON.stringify(transports.at(-1))}) await new Promise((done) => setTimeout(done, 5));
            const [text, bytes] = await new Promise((done) => socket.emit("echo", "é😀", new Uint8Array([1, 2, 255]), (...args) => done(args)));
            const unknown = io("/unknown", { transports: ${JSON.stringify(transports)}, forceNew: true });
            const error = await new Promise((done) => unknown.once("connect_error", (error) => done(error.message)));
            unknown.close();
            const reason = new Promise((done) => socket.once("disconnect", done));
            socket.close();
            return { auth, text, bytes: [...new Uint8Array(bytes)], error, reason: await reason };
          })()`);
          assert.deepEqual(result, { auth: { page: true }, text: "é😀", bytes: [1, 2, 255], error: "Invalid namespace", reason: "io client disconnect" }, `${file} ${transports}`);
        }
      }
      assert.deepEqual(page.errors.filter((line) => !/favicon|400 .*transport=polling/.test(line)), []);
    } finally {
      await chromium.stop();
    }
  }],
] : []);
