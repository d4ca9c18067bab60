// Socket.IO v5, case by case, at the level of bytes: against socket.io itself, and against ringcast with the same rows.
import { randomBytes } from "node:crypto";
import { testBroker } from "./lib/broker.mjs";
import {
  SEPARATOR, ask, askUpgrade, assert, delay, describeCases, joinNamespace, openPolling, openSocket, openSocketIo, openUpgrade, targetsOf, tookBetween, until,
} from "./lib/socketio.mjs";

const CONNECT_TIMEOUT = 1000;
const both = (row) => [row, { ...row, nsp: "/custom" }];
const rows = [
  ...both({ on: "connect", emit: [{ event: "auth", args: ["{auth}"] }] }),
  ...both({ on: "disconnect", emit: [{ to: "watchers", event: "gone", args: ["{sid}"] }] }),
  ...both({ on: "message", emit: [{ event: "message-back", args: ["{args}"] }] }),
  ...both({ on: "message-with-ack", ack: ["{args}"] }),
  ...both({ on: "join", join: ["{args.0}"], ack: ["joined", "{args.0}"] }),
  ...both({ on: "leave", leave: ["{args.0}"], ack: ["left"] }),
  ...both({ on: "say", emit: [{ to: "{args.0}", event: "said", args: ["{args.1..}"] }] }),
  ...both({ on: "say-others", emit: [{ to: "{args.0}", others: true, event: "said", args: ["{args.1..}"] }] }),
  ...both({ on: "everybody", emit: [{ to: "*", event: "to all", args: ["{args}"] }] }),
  ...both({ on: "everybody else", emit: [{ to: "*", others: true, event: "to all", args: ["{args}"] }] }),
  { on: "two answers", ack: ["{args.1}"], emit: [{ event: "first", args: ["{args.0}"] }, { event: "second", args: [{ was: "{args.0}", by: "{sid}", text: "<{args.1}>" }, 7, true] }] },
  { on: "one each", ack: ["{args.1}"], emit: [{ event: "first", args: ["{args.0}"] }] },
  { on: "without arguments", emit: [{ event: "bare", args: [] }] },
  { on: "forwarded", emit: [{}] },
  { on: "message", nsp: "/room-*", emit: [{ event: "message-back", args: ["{nsp}", "{args}"] }] },
];
// Pings come often, and are answered when a case reads on: on a machine that is busy that may take a while.
const options = { pingInterval: 300, pingTimeout: 2000, upgradeTimeout: 700, connectTimeout: CONNECT_TIMEOUT, namespaces: ["/", "/custom", "/room-*"], rows };
const targets = targetsOf("socketio");

const event = (name, ...args) => `42${JSON.stringify([name, ...args])}`;
const placeholder = (num) => ({ _placeholder: true, num });
const back = (...args) => event("message-back", ...args);

/* A connection in "/", its greeting read. */
const connected = (server, more) => openSocketIo(server, { greeting: ['42["auth",{}]'], ...more });

/* Says a disconnect, which has no answer, and waits until it has been carried out, of which others are told: the reference does so a moment later, and
 * closes whoever is faster. */
async function leaves(server, socket, packet = "41", sid = socket.sid) {
  const watcher = await connected(server);
  await request(watcher, 1, "join", "watchers");
  socket.send(packet);
  await watcher.expect(event("gone", sid));
  watcher.end();
}

/* What was sent before had no effect that is heard here. */
let fences = 0;
async function nothingElse(socket) {
  const fence = `fence ${++fences}`;
  socket.send(event("message", fence));
  await socket.expect(back(fence));
}

/* Each of these messages closes a new connection, without another word. */
async function closes(server, messages, { behind = () => {}, open = connected } = {}) {
  for (const message of messages) {
    const socket = await open(server);
    await behind(server, socket);
    const since = performance.now();
    socket.send(message);
    assert.deepEqual(await socket.closed(), [], `after ${message}`);
    tookBetween(performance.now() - since, 0, CONNECT_TIMEOUT / 2, `an end behind ${message}`); // and not because time ran out
    socket.end();
  }
}

const bare = async (server) => {
  const socket = await openSocket(server);
  socket.answerPings = true;
  return socket;
};

async function request(socket, id, name, ...args) {
  socket.send(`42${id}${JSON.stringify([name, ...args])}`);
  const answer = await socket.next();
  assert.ok(answer.startsWith(`43${id}[`), answer);
  return JSON.parse(answer.slice(`43${id}`.length));
}

/* --- connect ------------------------------------------------------------------------------------------------------------- */

const connect = [
  ["the main namespace", async (server) => {
    const socket = await bare(server);
    socket.send("40");
    const answer = await socket.next();
    assert.match(answer, /^40\{"sid":"[A-Za-z0-9_-]{20}"\}$/);
    await socket.expect('42["auth",{}]');
    assert.notEqual(JSON.parse(answer.slice(2)).sid, socket.handshake.sid, "the secret of the transport is not the public id");
    socket.end();
  }],

  ["the main namespace with a payload", async (server) => {
    const socket = await openSocketIo(server, { auth: { token: "123" }, greeting: ['42["auth",{"token":"123"}]'] });
    socket.end();
  }],

  ["payloads of every kind of JSON", async (server) => {
    const auth = { "é": "😀", list: [1, { a: null }], "a\"b": true, "": -1.5 };
    const socket = await openSocketIo(server, { auth });
    assert.deepEqual(JSON.parse((await socket.next()).slice(2)), ["auth", auth]);
    socket.end();
  }],

  ["a custom namespace", async (server) => {
    const socket = await openSocketIo(server, { nsp: "/custom", greeting: ['42/custom,["auth",{}]'] });
    socket.end();
  }],

  ["a custom namespace with a payload", async (server) => {
    const socket = await openSocketIo(server, { nsp: "/custom", auth: { token: "abc" }, greeting: ['42/custom,["auth",{"token":"abc"}]'] });
    socket.end();
  }],

  ["a custom namespace without the comma", async (server) => {
    const socket = await bare(server);
    socket.send("40/custom");
    assert.match(await socket.next(), /^40\/custom,\{"sid":"[^"]{20}"\}$/);
    await socket.expect('42/custom,["auth",{}]');
    socket.end();
  }],

  ["the main namespace written out", async (server) => {
    const socket = await bare(server);
    socket.send("40/,");
    assert.match(await socket.next(), /^40\{"sid":"[^"]{20}"\}$/);
    await socket.expect('42["auth",{}]');
    socket.end();
  }],

  ["namespaces by a pattern", async (server) => {
    const socket = await bare(server);
    await joinNamespace(socket, "/room-1");
    await joinNamespace(socket, "/room-");
    socket.send('42/room-1,["message","x"]');
    await socket.expect('42/room-1,["message-back","/room-1","x"]');
    socket.send("40/rooms,");
    await socket.expect('44/rooms,{"message":"Invalid namespace"}');
    socket.end();
  }],

  ["an unknown namespace is refused, the connection stays", async (server) => {
    const socket = await bare(server);
    socket.send("40/random", "40/random,", '40/random,{"token":1}', "40/Custom,", "40/custom/,");
    for (const name of ["/random", "/random", "/random", "/Custom", "/custom/"]) await socket.expect(`44${name},{"message":"Invalid namespace"}`);
    await joinNamespace(socket);
    await socket.expect('42["auth",{}]');
    await nothingElse(socket);
    socket.end();
  }],

  ["a query is part of the name", async (server) => {
    const socket = await bare(server);
    socket.send("40/custom?x=1,");
    await socket.expect('44/custom?x=1,{"message":"Invalid namespace"}');
    socket.end();
  }],

  ["several namespaces over one connection", async (server) => {
    const socket = await connected(server);
    const custom = await joinNamespace(socket, "/custom");
    assert.notEqual(custom, socket.sid);
    await socket.expect('42/custom,["auth",{}]');
    socket.send('42/custom,["message",1]', event("message", 2), '42/custom,7["message-with-ack",3]');
    await socket.expect('42/custom,["message-back",1]', back(2), "43/custom,7[3]");
    socket.end();
  }],

  ["a second CONNECT for a namespace that is joined closes", async (server) => {
    await closes(server, ["40", '40{"a":1}', "40/,"]);
  }],

  ["payloads that are no object close", async (server) => {
    const broken = ['40"x"', "40[1]", "40null", "40true", "40{", '40{"a":}', "40{}x", "40/custom,[]", '40/custom,"x"', "40/custom,x"];
    await closes(server, broken, { open: bare });
  }],

  ["nobody who joins no namespace stays", async (server) => {
    const socket = await bare(server);
    socket.send("40/random,");
    await socket.expect('44/random,{"message":"Invalid namespace"}');
    assert.deepEqual(await socket.closed(), []);
    tookBetween(performance.now() - socket.opened, CONNECT_TIMEOUT - 50, CONNECT_TIMEOUT + 300, "an end");
  }],

  ["who has joined one stays", async (server) => {
    const socket = await connected(server);
    const since = performance.now();
    while (performance.now() - since < CONNECT_TIMEOUT + 200 || socket.pings < 3) {
      await delay(200);
      await nothingElse(socket);
    }
    socket.end();
  }],

  ["polling: joined, and greeted in order", async (server) => {
    const session = await openPolling(server);
    await session.send("40", '40/custom,{"a":1}');
    const packets = (await session.packets(4)).map((packet) => packet.replace(/"sid":"[A-Za-z0-9_-]{20}"/, '"sid":"…"'));
    assert.deepEqual(packets.filter((packet) => packet.startsWith("40{") || packet.startsWith("42[")), ['40{"sid":"…"}', '42["auth",{}]']);
    assert.deepEqual(packets.filter((packet) => packet.includes("/")), ['40/custom,{"sid":"…"}', '42/custom,["auth",{"a":1}]']);
  }],
];

/* --- disconnect ---------------------------------------------------------------------------------------------------------- */

const disconnect = [
  ["from the main namespace: the connection stays", async (server) => {
    const socket = await connected(server);
    socket.answerPings = false;
    socket.send("41");
    await socket.expect("2");
    socket.end();
  }],

  ["from a custom namespace: the main one goes on", async (server) => {
    const socket = await connected(server);
    await joinNamespace(socket, "/custom");
    await socket.expect('42/custom,["auth",{}]');
    socket.send("41/custom", event("message", "message to main namespace"));
    await socket.expect(back("message to main namespace"));
    socket.end();
  }],

  ["and joined again, with a sid of its own", async (server) => {
    const socket = await connected(server);
    let sid = socket.sid;
    for (const packet of ["41", "41/,"]) {
      await leaves(server, socket, packet, sid);
      const again = await joinNamespace(socket);
      assert.notEqual(again, sid);
      sid = again;
      await socket.expect('42["auth",{}]');
      await nothingElse(socket);
    }
    socket.end();
  }],

  ["an event after it closes, and so does a second one", async (server) => {
    await closes(server, [event("message", 1), "41"], { behind: leaves });
  }],

  ["payloads of a disconnect close", async (server) => {
    await closes(server, ["41{}", "41[1]", '41"x"', "41null", "41x"]);
  }],

  ["others hear of it, however it comes", async (server) => {
    const watcher = await connected(server);
    assert.deepEqual(await request(watcher, 1, "join", "watchers"), ["joined", "watchers"]);
    for (const leave of [(socket) => socket.send("41"), (socket) => socket.send("1"), (socket) => socket.end(), (socket) => socket.send("4x"), (socket) => (socket.answerPings = false)]) {
      const socket = await connected(server);
      leave(socket);
      await watcher.expect(event("gone", socket.sid));
      socket.end();
    }
    const session = await openPolling(server);
    await session.send("40");
    const [joined] = await session.packets(2);
    await session.send("1");
    await watcher.expect(event("gone", JSON.parse(joined.slice(2)).sid));
    watcher.end();
  }],
];

/* --- events -------------------------------------------------------------------------------------------------------------- */

const message = [
  ["plain text", async (server) => {
    const socket = await connected(server);
    socket.send('42["message",1,"2",{"3":[true]}]');
    await socket.expect('42["message-back",1,"2",{"3":[true]}]');
    socket.end();
  }],

  ["no arguments, and events that nobody has", async (server) => {
    const socket = await connected(server);
    socket.send('42["message"]', '42["nobody has this",1]', '42[""]', '42[1,"a number is a name"]', '425["nor this"]');
    await socket.expect('42["message-back"]');
    await nothingElse(socket);
    socket.end();
  }],

  ["values of every kind come back exact", async (server) => {
    const socket = await connected(server);
    const values = [0, -1, 1.5, 1e21, 9007199254740991, -0.001, "", "é€😀\u2028", "\"\\/\b\f\n\r\t\u0000\u007f", true, false, null, [], {}, [[[1]]], { a: { b: [{}] }, "": 1, "é": 2 }];
    socket.send(event("message", ...values));
    assert.deepEqual(JSON.parse((await socket.next()).slice(2)), ["message-back", ...values]);
    socket.end();
  }],

  ["arguments go through as they were written", async (server) => {
    const socket = await connected(server);
    const args = '1e400,-0,1.0,123456789012345678901234567890,"\\u00e9\\/",{"b":1,"a":2,"b":3},[ 1 , 2 ]';
    socket.send(`42["message",${args}]`);
    assert.equal(await socket.next(), `42["message-back",${args}]`);
    socket.end();
  }, "ringcast"],

  ["names with escapes, and long ones", async (server) => {
    const socket = await connected(server);
    socket.send('42["me\\u0073sage","x"]', '42[ "message" , "y" ]', `42[${JSON.stringify("n".repeat(255))}]`);
    assert.deepEqual(JSON.parse((await socket.next()).slice(2)), ["message-back", "x"]);
    assert.deepEqual(JSON.parse((await socket.next()).slice(2)), ["message-back", "y"]);
    await nothingElse(socket);
    socket.end();
  }],

  ["many events in order, sent at once", async (server) => {
    const socket = await connected(server);
    const count = 500;
    for (let i = 0; i < count; i++) socket.send(i % 5 === 4 ? `42${i}["message-with-ack",${i}]` : event("message", i));
    for (let i = 0; i < count; i++) await socket.expect(i % 5 === 4 ? `43${i}[${i}]` : back(i));
    socket.end();
  }],

  ["acknowledgements", async (server) => {
    const socket = await connected(server);
    socket.send('42456["message-with-ack",1,"2",{"3":[false]}]');
    await socket.expect('43456[1,"2",{"3":[false]}]');
    for (const id of [0, 1, 4294967296, 9007199254740991]) assert.deepEqual(await request(socket, id, "message-with-ack", id), [id]);
    socket.send('427["message-with-ack"]');
    await socket.expect("437[]");
    socket.end();
  }],

  ["an acknowledgement comes once for each packet that wants one", async (server) => {
    const socket = await connected(server);
    socket.send('423["message-with-ack","a"]', '423["message-with-ack","b"]', '42["message-with-ack","none"]', '424["message","no ack row"]');
    await socket.expect('433["a"]', '433["b"]', back("no ack row"));
    await nothingElse(socket);
    socket.end();
  }],

  ["several answers of one event", async (server) => {
    const socket = await connected(server);
    socket.send('42["two answers",{"a":1},"t"]', '42["without arguments",1,2]', '42["forwarded",1,[2]]');
    await socket.expect('42["first",{"a":1}]', event("second", { was: { a: 1 }, by: socket.sid, text: "<t>" }, 7, true), '42["bare"]', '42["forwarded",1,[2]]');
    socket.send('429["two answers",null,"ack"]');
    const seen = [await socket.next(), await socket.next(), await socket.next()];
    assert.deepEqual(seen.sort(), ['42["first",null]', event("second", { was: null, by: socket.sid, text: "<ack>" }, 7, true), '439["ack"]'].sort());
    socket.end();
  }],

  ["acknowledgements that nobody waits for are ignored", async (server) => {
    const socket = await connected(server);
    socket.send("430[1]", "4399[]", "43[1]", `461-5${JSON.stringify([placeholder(0)])}`, Buffer.from([1]));
    await nothingElse(socket);
    socket.end();
  }],

  ["binary attachments", async (server) => {
    const socket = await connected(server);
    socket.send(`452-${JSON.stringify(["message", placeholder(0), placeholder(1)])}`, Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6]));
    await socket.expect(`452-${JSON.stringify(["message-back", placeholder(0), placeholder(1)])}`, Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6]));
    socket.end();
  }],

  ["binary attachments and an acknowledgement", async (server) => {
    const socket = await connected(server);
    socket.send(`452-789${JSON.stringify(["message-with-ack", placeholder(0), placeholder(1)])}`, Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6]));
    await socket.expect(`462-789${JSON.stringify([placeholder(0), placeholder(1)])}`, Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6]));
    socket.end();
  }],

  ["binary attachments in a namespace", async (server) => {
    const socket = await openSocketIo(server, { nsp: "/custom", greeting: ['42/custom,["auth",{}]'] });
    socket.send(`451-/custom,${JSON.stringify(["message", placeholder(0)])}`, Buffer.from([7]));
    await socket.expect(`451-/custom,${JSON.stringify(["message-back", placeholder(0)])}`, Buffer.from([7]));
    socket.send(`451-/custom,5${JSON.stringify(["message-with-ack", placeholder(0)])}`, Buffer.from([8]));
    await socket.expect(`461-/custom,5${JSON.stringify([placeholder(0)])}`, Buffer.from([8]));
    socket.end();
  }],

  ["binary deep inside, empty, large, and as many as are allowed", async (server) => {
    const socket = await connected(server);
    const attachments = Array.from({ length: 10 }, (_, i) => randomBytes(i * i * 900));
    const args = [{ a: [placeholder(0), { b: placeholder(1) }] }, "text", [[placeholder(2)]], ...attachments.slice(3).map((_, i) => placeholder(i + 3))];
    socket.send(`4510-${JSON.stringify(["message", ...args])}`, ...attachments);
    await socket.expect(`4510-${JSON.stringify(["message-back", ...args])}`, ...attachments);
    socket.end();
  }],

  ["only the arguments that are used bring their attachments along", async (server) => {
    const socket = await connected(server);
    const attachments = [Buffer.from([1]), Buffer.from([2, 3])];
    socket.send(`452-9${JSON.stringify(["one each", placeholder(0), placeholder(1)])}`, ...attachments);
    const seen = [];
    for (let i = 0; i < 4; i++) seen.push(await socket.next());
    for (const [head, bytes] of [[`451-${JSON.stringify(["first", placeholder(0)])}`, attachments[0]], [`461-9${JSON.stringify([placeholder(0)])}`, attachments[1]]]) {
      assert.ok(seen.includes(head), head);
      assert.deepEqual(seen[seen.indexOf(head) + 1], bytes);
    }
    socket.end();
  }],

  ["packets of the transport among the attachments", async (server) => {
    const socket = await connected(server);
    socket.send(`452-${JSON.stringify(["message", placeholder(0), placeholder(1)])}`, "3", Buffer.from([1]), "6", Buffer.from([2]));
    await socket.expect(`452-${JSON.stringify(["message-back", placeholder(0), placeholder(1)])}`, Buffer.from([1]), Buffer.from([2]));
    socket.end();
  }],

  ["polling: events, acknowledgements and binary", async (server) => {
    const session = await openPolling(server);
    await session.send("40");
    await session.packets(2);
    await session.send(event("message", "é", 1), '425["message-with-ack",[2]]');
    assert.deepEqual(await session.packets(2), [back("é", 1), "435[[2]]"]);
    const head = JSON.stringify(["message", placeholder(0), placeholder(1)]);
    await session.send(`452-${head}`, "bAQID", "b");
    const wanted = [`452-${head.replace("message", "message-back")}`, "bAQID", "b"];
    assert.deepEqual(await session.packets(3), wanted);
    // The attachments by later posts.
    await session.send(`452-${head}`);
    await session.send("bAQID");
    await session.send("b");
    assert.deepEqual(await session.packets(3), wanted);
  }],

  ["polling, then WebSocket: nothing is lost, nothing comes twice", async (server) => {
    const session = await openPolling(server);
    await session.send("40");
    await session.packets(2);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    await session.send(event("message", 1), `451-${JSON.stringify(["message", placeholder(0)])}`);
    const early = (await session.get()).body.split(SEPARATOR).filter((packet) => packet !== "6" && packet !== "2");
    // The attachment comes by the other transport.
    socket.answerPings = true;
    socket.send("5", Buffer.from([9]), event("message", 2));
    const wanted = [back(1), `451-${JSON.stringify(["message-back", placeholder(0)])}`, Buffer.from([9]), back(2)];
    assert.deepEqual(early, wanted.slice(0, early.length));
    await socket.expect(...wanted.slice(early.length));
    socket.end();
  }],
];

/* --- rooms --------------------------------------------------------------------------------------------------------------- */

const rooms = [
  ["who has joined hears, the sender too or not, until it leaves", async (server) => {
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => connected(server)));
    for (const socket of [one, two]) assert.deepEqual(await request(socket, 1, "join", "r1"), ["joined", "r1"]);
    one.send(event("say", "r1", "to both", { n: 1 }));
    for (const socket of [one, two]) await socket.expect(event("said", "to both", { n: 1 }));
    one.send(event("say-others", "r1", "to the other"), event("say", "r1", "fence"));
    await two.expect(event("said", "to the other"), event("said", "fence"));
    await one.expect(event("said", "fence"));
    three.send(event("say-others", "r1", "from outside"));
    for (const socket of [one, two]) await socket.expect(event("said", "from outside"));
    assert.deepEqual(await request(two, 2, "leave", "r1"), ["left"]);
    one.send(event("say", "r1", "to one"), event("everybody", "fence"));
    await one.expect(event("said", "to one"), event("to all", "fence"));
    for (const socket of [two, three]) await socket.expect(event("to all", "fence"));
    for (const socket of [one, two, three]) socket.end();
  }],

  ["everybody, or everybody else", async (server) => {
    const sockets = await Promise.all([1, 2, 3, 4].map(() => connected(server)));
    const [one, ...others] = sockets;
    one.send(event("everybody else", 1), event("everybody", 2));
    await one.expect(event("to all", 2));
    for (const socket of others) await socket.expect(event("to all", 1), event("to all", 2));
    for (const socket of sockets) socket.end();
  }],

  ["a room with the name of a sid is that client", async (server) => {
    const [one, two] = await Promise.all([1, 2].map(() => connected(server)));
    one.send(event("say", two.sid, "you"));
    await two.expect(event("said", "you"));
    await nothingElse(one);
    for (const socket of [one, two]) socket.end();
  }],

  ["rooms of two namespaces have nothing in common", async (server) => {
    const main = await connected(server);
    const custom = await openSocketIo(server, { nsp: "/custom", greeting: ['42/custom,["auth",{}]'] });
    await request(main, 1, "join", "same");
    custom.send('42/custom,1["join","same"]');
    await custom.expect('43/custom,1["joined","same"]');
    custom.send('42/custom,["say","same","x"]', '42/custom,["everybody","y"]');
    await custom.expect('42/custom,["said","x"]', '42/custom,["to all","y"]');
    main.send(event("say", "same", "z"));
    await main.expect(event("said", "z"));
    custom.send('42/custom,["say","same","fence"]');
    await custom.expect('42/custom,["said","fence"]');
    for (const socket of [main, custom]) socket.end();
  }],

  ["binary to a room, by WebSocket and by polling", async (server) => {
    const [one, two] = await Promise.all([1, 2].map(() => connected(server)));
    const session = await openPolling(server);
    await session.send("40");
    await session.packets(2);
    await session.send('421["join","bin"]');
    assert.equal(await session.packet(), '431["joined","bin"]');
    await request(two, 1, "join", "bin");
    const bytes = randomBytes(3000);
    one.send(`451-${JSON.stringify(["say", "bin", { b: placeholder(0) }])}`, bytes);
    const head = `451-${JSON.stringify(["said", { b: placeholder(0) }])}`;
    await two.expect(head, bytes);
    assert.deepEqual(await session.packets(2), [head, `b${bytes.toString("base64")}`]);
    for (const socket of [one, two]) socket.end();
  }],

  ["who leaves the namespace leaves its rooms", async (server) => {
    const [one, two] = await Promise.all([1, 2].map(() => connected(server)));
    await request(one, 1, "join", "left");
    await leaves(server, one);
    await joinNamespace(one);
    await one.expect('42["auth",{}]');
    two.send(event("say", "left", "x"), event("everybody", "fence"));
    for (const socket of [one, two]) await socket.expect(event("to all", "fence"));
    for (const socket of [one, two]) socket.end();
  }],

  ["names of rooms: numbers count as their text, all of Unicode", async (server) => {
    const socket = await connected(server);
    for (const room of ["42", "é 😀", "a".repeat(200), "x:y:z"]) {
      await request(socket, 1, "join", room);
      socket.send(event("say", room, "x"));
      await socket.expect(event("said", "x"));
    }
    socket.end();
  }],
];

/* --- what is broken ------------------------------------------------------------------------------------------------------ */

const broken = [
  ["what is no packet", async (server) => {
    await closes(server, ["4", "4abc", "47", "49", "4-1", "4 2", "4\"", "4é", "4{}", "4[]"]);
    await closes(server, ["4", "4abc", "47", '42["message",1]'], { open: bare });
  }],

  ["events that are no array with a name", async (server) => {
    await closes(server, ["42{}", "42[]", "42[true]", "42[null]", "42[{}]", "42[[]]", '42"message"', "42null", "42true"]);
  }],

  ["broken JSON", async (server) => {
    await closes(server, ['42["message"', '42["message",]', "42[", '42["message"]x', '42["message",1}', '42["a\nb"]', "42['message']", '42["message",01]', '42["\\x"]']);
  }],

  ["ack ids that are none", async (server) => {
    await closes(server, ['42abc["message-with-ack",1]', '42-1["message"]', '421x["message"]', '421.5["message"]']);
  }],

  ["reserved names", async (server) => {
    await closes(server, ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((name) => event(name)));
    await closes(server, ['42["conn\\u0065ct"]', '421["disconnect"]']);
  }],

  ["namespaces that are not joined", async (server) => {
    await closes(server, [event("message", 1), "421[\"message\"]", "41", "430[]"], { open: bare });
    await closes(server, ['42/custom,["message",1]', "41/custom", "41/random,", '42/random,["message"]', "43/custom,0[]"]);
  }],

  ["a CONNECT_ERROR from a client", async (server) => {
    await closes(server, ['44{"message":"x"}', '44"x"', '44/custom,{"message":"x"}']);
  }],

  ["acknowledgements that are no array", async (server) => {
    await closes(server, ["431{}", '431"x"', "431null", "431["]);
  }],

  ["counts of attachments", async (server) => {
    const list = JSON.stringify(["message", placeholder(0)]);
    await closes(server, [`45${list}`, `45-${list}`, `450-${list}`, `451${list}`, `45-1-${list}`, `451.5-${list}`, `45x-${list}`, `4511-${list}`, `4599999999999-${list}`, "45", "451", `46${list}`, `460-${list}`, `4611-1${list}`]);
  }],

  ["text where an attachment belongs", async (server) => {
    const announced = `451-${JSON.stringify(["message", placeholder(0)])}`;
    await closes(server, [event("message", 1), "40/custom,", "41", announced], { behind: (_, socket) => socket.send(announced) });
  }],

  ["placeholders out of range", async (server) => {
    for (const num of [1, 2, -1, 1.5, "0", null, 4294967296]) {
      const socket = await connected(server);
      socket.send(`451-${JSON.stringify(["message", placeholder(num)])}`, Buffer.from([1]));
      assert.deepEqual(await socket.closed(), [], `num ${num}`);
    }
  }],

  ["binary that no packet announced", async (server) => {
    await closes(server, [Buffer.from([1, 2, 3]), Buffer.alloc(0)]);
    await closes(server, [Buffer.from([1])], { open: bare });
    const socket = await connected(server);
    socket.send(`451-${JSON.stringify(["message", placeholder(0)])}`, Buffer.from([1]));
    await socket.expect(`451-${JSON.stringify(["message-back", placeholder(0)])}`, Buffer.from([1]));
    socket.send(Buffer.from([2]));
    assert.deepEqual(await socket.closed(), []);
  }],

  ["a client's ping, and what Engine.IO does not know", async (server) => {
    await closes(server, ["2", "2probe", "abc", "7"]);
  }],

  ["by polling, the session is gone", async (server) => {
    for (const packet of ["4x", "42{}", "bAQID", '42/custom,["message",1]']) {
      const session = await openPolling(server);
      await session.send("40");
      await session.packets(2);
      await session.post(packet).catch((error) => assert.equal(error.code, "ECONNRESET"));
      await until("the session is gone", async () => (await session.get()).status === 400);
      await session.isGone();
    }
  }],
];

for (const [title, cases] of Object.entries({ connect, disconnect, message, rooms, broken })) describeCases(title, targets, options, cases);

/* --- ringcast alone ------------------------------------------------------------------------------------------------------ */

const alone = { "socketio.path": "/socket.io/", "socketio.max_attachments": 2, event: rows.filter(({ nsp }) => nsp === "/" || nsp === undefined) };

testBroker("max_attachments: so many, and one more closes, in either parser's packets", { config: alone }, async (broker) => {
  const server = { port: broker.port, host: broker.host, path: "/socket.io/" };
  const socket = await connected(server);
  const bytes = Buffer.from([1]);
  const list = (count) => JSON.stringify(["message", ...Array.from({ length: count }, (_, i) => placeholder(i))]);
  socket.send(`452-${list(2)}`, bytes, bytes);
  await socket.expect(`452-${list(2).replace("message", "message-back")}`, bytes, bytes);
  socket.send(`453-${list(3)}`);
  assert.deepEqual(await socket.closed(), []);
  const packed = async (count) => {
    const other = await bare(server);
    // {type: 0, nsp: "/"}, then {type: 2, nsp: "/", data: ["message", <bytes>…]}
    const text = (value) => Buffer.concat([Buffer.from([0xa0 | value.length]), Buffer.from(value)]);
    const packet = (type, data) => Buffer.concat([Buffer.from([0x82 + (data ? 1 : 0)]), text("type"), Buffer.from([type]), text("nsp"), text("/"), ...(data ? [text("data"), data] : [])]);
    other.send(packet(0));
    assert.ok(Buffer.isBuffer(await other.next()), "it is answered in its own encoding");
    await other.next(); // the greeting
    other.send(packet(2, Buffer.concat([Buffer.from([0x91 + count]), text("message"), ...Array.from({ length: count }, () => Buffer.from([0xc4, 1, 7]))])));
    return other;
  };
  const two = await packed(2);
  assert.ok((await two.next()).includes(Buffer.from([0xc4, 1, 7, 0xc4, 1, 7])));
  two.end();
  assert.deepEqual(await (await packed(3)).closed(), []);
});

testBroker("handshakes of Engine.IO 3 are refused, and counted", { config: alone }, async (broker) => {
  const server = { port: broker.port, host: broker.host, path: "/socket.io/" };
  const count = async () => (await broker.metrics())("ringcast_engineio_revision_refused_total");
  assert.equal(await count(), 0);
  for (const query of ["EIO=3&transport=polling", "transport=polling", "EIO=3&transport=polling&b64=1&t=x", "EIO=5&transport=polling"]) {
    const { status, body } = await ask(server, "GET", `${server.path}?${query}`);
    assert.deepEqual([status, body], [400, '{"code":5,"message":"Unsupported protocol version"}'], query);
  }
  const { raw, response } = await askUpgrade(server, { EIO: "3", transport: "websocket" });
  assert.deepEqual([response.status, response.body], [400, "Unsupported protocol version"]);
  raw.end();
  assert.equal(await count(), 5);
  await ask(server, "GET", `${server.path}?EIO=4&transport=x`); // refused for another reason
  (await openSocket(server)).end();
  assert.equal(await count(), 5);
});
