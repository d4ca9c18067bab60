// socketio.python_channel: what backends with python-socketio publish through Redis reaches clients of ringcast. With python-socketio 5.14
// or later at hand its RedisManager publishes; else, the same messages byte for byte as that one makes them.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { io as connectClient } from "socket.io-client";
import { subscribers, testRedis, until } from "./lib/redis.mjs";
import { program, within } from "./lib/util.mjs";

const CONFIG = {
  "socketio.python_channel": "socketio",
  "socketio.namespaces": ["/", "/admin"],
  event: ["/", "/admin"].map((nsp) => ({ on: "join", nsp, join: ["{args.0}"], ack: [] })),
};

/* --- python-socketio ------------------------------------------------------------------------------------------------------ */

/* Steps are [method, keyword arguments]; {"bytes": base64} is bytes, {"tuple": [...]} a tuple. */
const PYTHON = `
import base64, json, sys, socketio
def value(it):
    if isinstance(it, list):
        return [value(one) for one in it]
    if isinstance(it, dict):
        if "bytes" in it:
            return base64.b64decode(it["bytes"])
        if "tuple" in it:
            return tuple(value(one) for one in it["tuple"])
        return {name: value(one) for name, one in it.items()}
    return it
manager = socketio.RedisManager(sys.argv[1], write_only=True)
for method, arguments in json.loads(sys.argv[2]):
    getattr(manager, method)(**value(arguments))
`;
const PYTHON3 = "/usr/bin/python3";
const VERSION = 'import redis, importlib.metadata, socketio; print(hasattr(socketio.packet.Packet, "deconstruct_binary"))';
const probed = existsSync(PYTHON3) ? await program(PYTHON3, ["-c", VERSION]) : { code: 1 };
const installed = probed.code === 0;
const speaksJson = installed && probed.stdout.trim() === "True";

/* json.dumps(value) */
function dumps(value) {
  if (Array.isArray(value)) return `[${value.map(dumps).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    return `{${Object.entries(value).map(([name, one]) => `${dumps(name)}: ${dumps(one)}`).join(", ")}}`;
  }
  return JSON.stringify(value ?? null).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/* PubSubManager.emit and so on, of 5.16. */
function messageOf(method, { event, data, namespace = "/", room = null, skip_sid = null, sid }) {
  const host_id = "0123456789abcdef0123456789abcdef";
  if (method !== "emit") return dumps({ method, ...(sid ? { sid } : {}), ...(room ? { room } : {}), namespace, host_id });
  const attachments = [];
  const taken = (it) => {
    if (Array.isArray(it)) return it.map(taken);
    if (it === null || typeof it !== "object") return it;
    if ("bytes" in it) return { _placeholder: true, num: attachments.push(it.bytes) - 1 };
    return Object.fromEntries(Object.entries(it).map(([name, one]) => [name, taken(one)]));
  };
  const args = taken(data?.tuple ?? [data ?? null]);
  const binary = attachments.length > 0;
  return dumps({ method, event, data: binary ? [args, ...attachments] : args, binary, namespace, room, skip_sid, callback: null, host_id });
}

/* A backend: python(...steps) returns when all are published. */
async function backend(redis) {
  const publisher = await redis.connect();
  return {
    publish: (bytes) => publisher.command("PUBLISH", "socketio", bytes),
    async python(...steps) {
      if (speaksJson) {
        const { code, stderr } = await program(PYTHON3, ["-c", PYTHON, redis.url, JSON.stringify(steps)]);
        assert.equal(code, 0, stderr);
        return;
      }
      for (const [method, options] of steps) await this.publish(messageOf(method, options));
    },
    end: () => publisher.end(),
  };
}

/* --- clients -------------------------------------------------------------------------------------------------------------- */

async function client(port, nsp = "/") {
  const socket = connectClient(`http://127.0.0.1:${port}${nsp}`, { transports: ["websocket"], forceNew: true, reconnection: false });
  socket.got = [];
  socket.onAny((...all) => socket.got.push(all));
  await within(5000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "connected");
  socket.joined = (room) => within(5000, new Promise((done) => socket.emit("join", room, done)), `joined ${room}`);
  return socket;
}

/* Runs `body(connect, backend)`; connect keeps clients, which are disconnected in the end. */
async function scene(redis, body) {
  const sockets = [];
  const python = await backend(redis);
  const connect = async (...args) => {
    sockets.push(await client(...args));
    return sockets.at(-1);
  };
  try {
    await body(connect, python);
  } finally {
    for (const socket of sockets) socket.disconnect();
    python.end();
  }
}

/* What each of them has got, in order and nothing else: when the mark is there, so is all before it. */
async function got(python, sockets, nsps = ["/"]) {
  await python.python(...nsps.map((namespace) => ["emit", { event: "mark", data: null, namespace }]));
  await until("the mark", () => sockets.every((socket) => socket.got.some(([event]) => event === "mark")));
  return sockets.map((socket) => socket.got.splice(0).filter(([event]) => event !== "mark"));
}

const bytes = (...values) => ({ bytes: Buffer.from(values).toString("base64") });

testRedis("emits of python-socketio reach everybody, rooms, one client, and not who is left out", { brokers: 2, workers: 2, config: CONFIG }, async ({ brokers, redis }) => {
  await scene(redis, async (connect, python) => {
    const [a, b] = [await connect(brokers[0].port), await connect(brokers[1].port)];
    const admin = await connect(brokers[1].port, "/admin");
    await a.joined("red");
    await b.joined("red");
    await b.joined("blue");
    await admin.joined("red");
    await python.python(
      ["emit", { event: "all", data: 1 }],
      ["emit", { event: "red", data: 2, room: "red" }],
      ["emit", { event: "blue", data: 3, room: "blue" }],
      ["emit", { event: "rooms", data: 4, room: ["red", "blue", "green"] }],
      ["emit", { event: "others", data: 5, skip_sid: a.id }],
      ["emit", { event: "others", data: 6, room: "red", skip_sid: [b.id, "nobody"] }],
      ["emit", { event: "direct", data: 7, room: b.id }],
      ["emit", { event: "nobody", data: 8, room: "green" }],
      ["emit", { event: "admin", data: 9, namespace: "/admin", room: "red" }],
      ["emit", { event: "admin", data: 10, namespace: "/admin" }],
    );
    const [gotA, gotB, gotAdmin] = await got(python, [a, b, admin], ["/", "/admin"]);
    const sorted = (events) => events.sort((one, other) => one[1] - other[1]); // order is kept within a channel
    assert.deepEqual(sorted(gotA), [["all", 1], ["red", 2], ["rooms", 4], ["others", 6]]);
    assert.deepEqual(sorted(gotB), [["all", 1], ["red", 2], ["blue", 3], ["rooms", 4], ["others", 5], ["direct", 7]]);
    assert.deepEqual(sorted(gotAdmin), [["admin", 9], ["admin", 10]]);
    assert.ok((await brokers[0].metrics())("ringcast_socketio_python_received_total") >= 6);
  });
});

testRedis("arguments of every kind arrive as python-socketio's own server sends them", { brokers: 1, workers: 2, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await scene(redis, async (connect, python) => {
    const a = await connect(broker.port);
    const native = await broker.connect();
    await a.joined("red");
    await native.subscribe("red");
    const room = "red";
    await python.python(
      ["emit", { event: "none", data: null, room }],
      ["emit", { event: "none", data: { tuple: [] }, room }],
      ["emit", { event: "list", data: [1, 2], room }],
      ["emit", { event: "tuple", data: { tuple: [1, [2], null, "é\n😀"] }, room }],
      ["emit", { event: "object", data: { a: { b: [1.5, true, null] } }, room }],
      ["emit", { event: "bytes", data: bytes(1, 2, 255), room }],
      ["emit", { event: "deep", data: { tuple: [{ x: [bytes(), 7] }, bytes(9)] }, room }],
    );
    const [events] = await got(python, [a]);
    assert.deepEqual(events, [
      ["none"],
      ["none"],
      ["list", [1, 2]],
      ["tuple", 1, [2], null, "é\n😀"],
      ["object", { a: { b: [1.5, true, null] } }],
      ["bytes", Buffer.from([1, 2, 255])],
      ["deep", { x: [Buffer.alloc(0), 7] }, Buffer.from([9])],
    ]);
    const seen = [];
    for (let i = 0; i < events.length; i++) seen.push(await native.next());
    assert.deepEqual(seen.map(({ channel, event }) => [channel, event]), events.map(([event]) => ["red", event]));
    assert.deepEqual(seen[3].args, [1, [2], null, "é\n😀"]);
    assert.deepEqual(seen[5].attachments, [Buffer.from([1, 2, 255]).toString("base64")]);

    // 5.14.0 to 5.15.0, where the data was not in a list.
    for (const [data, binary] of [['{"a": 1}', false], ['"text"', false], ["null", false], ['[{"_placeholder": true, "num": 0}, "AQ=="]', true]]) {
      await python.publish(`{"method": "emit", "event": "old", "data": ${data}, "binary": ${binary}, "namespace": "/", "room": "red", "skip_sid": null, "callback": null, "host_id": "1"}`);
    }
    assert.deepEqual((await got(python, [a]))[0], [["old", { a: 1 }], ["old", "text"], ["old"], ["old", Buffer.from([1])]]);
    native.close();
  });
});

testRedis("Python servers let clients of ringcast enter and leave rooms, and disconnect them", { brokers: 2, workers: 2, config: CONFIG }, async ({ brokers, redis }) => {
  await scene(redis, async (connect, python) => {
    const [a, b] = [await connect(brokers[0].port), await connect(brokers[1].port)];
    const red = async (event, ...who) => {
      await until(`${event} reaches ${who.length}`, async () => {
        await python.python(["emit", { event, data: null, room: "red" }]);
        const [gotA, gotB] = await got(python, [a, b]);
        return (gotA.length > 0) === who.includes(a) && (gotB.length > 0) === who.includes(b);
      });
    };
    await red("nobody is in it");
    await python.python(["enter_room", { sid: a.id, namespace: "/", room: "red" }], ["enter_room", { sid: b.id, namespace: "/", room: "red" }]);
    await red("both are in it", a, b);
    await python.python(["leave_room", { sid: a.id, namespace: "/", room: "red" }]);
    await red("one has left", b);
    await python.python(["enter_room", { sid: a.id, namespace: "/", room: "red" }]);
    await red("it is back", a, b);
    await python.python(["close_room", { room: "red", namespace: "/" }]);
    await red("it is closed");

    const reasons = [];
    a.on("disconnect", (reason) => reasons.push(reason));
    // A write-only manager cannot say this: servers do.
    await python.publish(messageOf("disconnect", { sid: a.id }));
    await until("a is away", () => reasons.length === 1);
    assert.deepEqual(reasons, ["io server disconnect"]);
    assert.ok(b.connected);
    // Nobody waits for the workers' replies to these, and nobody takes them for broken records.
    for (const broker of brokers) assert.equal((await broker.metrics())("ringcast_ring_corrupt_total"), 0);
  });
});

/* A Python server whose emit has a callback; the messages of 5.16, and what comes back for it. */
testRedis("what clients answer is the callback of a Python server", { brokers: 2, workers: 2, config: CONFIG }, async ({ brokers, redis }) => {
  await scene(redis, async (connect, python) => {
    const [a, b] = [await connect(brokers[0].port), await connect(brokers[1].port)];
    const admin = await connect(brokers[1].port, "/admin");
    const sockets = [a, b, admin];
    for (const socket of sockets) {
      await socket.joined("red");
      socket.on("question", (...args) => args.pop()(socket.id, { args }, null));
    }
    const listener = await redis.connect();
    const heard = [];
    listener.onmessage = ({ message }) => {
      const value = JSON.parse(message);
      if (value.method === "callback") heard.push(value);
    };
    await listener.command("SUBSCRIBE", "socketio");
    const host_id = "0123456789abcdef0123456789abcdef";
    const ask = (room, id, { namespace = "/", data = [7, "\u00e9"], ...more } = {}) =>
      python.publish(dumps({ method: "emit", event: "question", data, binary: false, namespace, room, skip_sid: null, callback: [room, namespace, id], host_id, ...more }));
    const answers = (namespace, room, id, ...who) => who.map((socket) => ({ method: "callback", host_id, sid: room, namespace, id, args: [socket.id, { args: [7, "\u00e9"] }, null] }));
    const sorted = (list) => list.sort((one, other) => (one.args[0] < other.args[0] ? -1 : 1));

    await ask(a.id, 1);
    await until("its answer", () => heard.length === 1);
    assert.deepEqual(heard.splice(0), answers("/", a.id, 1, a));
    await ask("red", 2);
    await until("both answers", () => heard.length === 2);
    assert.deepEqual(sorted(heard.splice(0)), sorted(answers("/", "red", 2, a, b)));
    await ask("red", 3, { namespace: "/admin" });
    await until("the answer in its namespace", () => heard.length === 1);
    assert.deepEqual(heard.splice(0), answers("/admin", "red", 3, admin));
    await ask("red", 4, { skip_sid: a.id });
    await until("the answer of who was not left out", () => heard.length === 1);
    assert.deepEqual(heard.splice(0), answers("/", "red", 4, b));

    // Binary in an answer has no form in JSON, and python-socketio itself cannot send it.
    b.off("question").on("question", (...args) => args.pop()(Buffer.from([1])));
    await ask(b.id, 5);
    await until("it is counted", async () => (await brokers[1].metrics())("ringcast_socketio_python_answers_dropped_total") === 1);
    await ask("green", 6); // nobody is there
    await ask(a.id, 7);
    await until("the next answer", () => heard.length === 1);
    assert.deepEqual(heard, answers("/", a.id, 7, a));
    listener.end();
  });
});

testRedis("pickles and whatever else makes no sense are counted, and never read", { brokers: 1, config: CONFIG }, async ({ brokers: [broker], redis }) => {
  await scene(redis, async (connect, python) => {
    const a = await connect(broker.port);
    const before = (await broker.metrics())("ringcast_redis_malformed_total");
    const wrong = [
      "\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x06method\x94\x8c\x04emit\x94u.",
      "(dp0\nVmethod\np1\nVemit\np2\ns.",
      "",
      "[]",
      "{}",
      '{"method": "emit"}',
      '{"method": "emit", "event": "connect", "data": [1]}',
      '{"method": "emit", "event": "e", "data": [NaN]}',
      '{"method": "emit", "event": "e", "data": [[], "?"], "binary": true}',
      '{"method": "emit", "event": "e", "data": [[{"_placeholder": true, "num": 1}], "AQ=="], "binary": true}',
      `{"method": "emit", "event": "e", "data": ${"[".repeat(1000)}`,
    ];
    for (const text of wrong) await python.publish(Buffer.from(text, "latin1"));
    await until("all are counted", async () => (await broker.metrics())("ringcast_redis_malformed_total") === before + wrong.length);
    assert.deepEqual(await got(python, [a]), [[]]);
    await until("the log says so", () => broker.log.some((line) => /redis_message_dropped.*reason="a pickle: /.test(line)));
  });
});

testRedis("the python-socketio of the distribution", { brokers: 1, config: CONFIG, skip: installed ? false : "python3-socketio or python3-redis is not installed" }, async ({ brokers: [broker], redis }) => {
  await scene(redis, async (connect) => {
    const a = await connect(broker.port);
    const steps = [["emit", { event: "e", data: { a: 1 } }]];
    const { code, stderr } = await program(PYTHON3, ["-c", PYTHON, redis.url, JSON.stringify(steps)]);
    assert.equal(code, 0, stderr);
    if (speaksJson) {
      await until("the event", () => a.got.length === 1);
      assert.deepEqual(a.got, [["e", { a: 1 }]]);
    } else {
      await until("its pickle is refused", async () => (await broker.metrics())("ringcast_redis_malformed_total") === 1);
      assert.deepEqual(a.got, []);
    }
  });
});

testRedis("the channel has the name that the file gives it", { brokers: 1, config: { "socketio.python_channel": "flask-socketio" } }, async ({ brokers: [broker], redis }) => {
  await scene(redis, async (connect) => {
    const a = await connect(broker.port);
    await until("it is subscribed", async () => (await subscribers(redis, "flask-socketio")) === 1);
    assert.equal(await subscribers(redis, "socketio"), 0);
    const publisher = await redis.connect();
    await publisher.command("PUBLISH", "flask-socketio", messageOf("emit", { event: "e", data: 1 }));
    await until("the event", () => a.got.length === 1);
    publisher.end();
  });
});

testRedis("off unless configured", { brokers: 1, config: { "socketio.namespaces": ["/"] } }, async ({ redis }) => {
  assert.equal(await subscribers(redis, "socketio"), 0);
});
