// Workers that are killed at every place of a packet of a Socket.IO client, over WebSocket and in a POST: it is carried out once, and nobody notices
// anything. Builds with the address sanitizer can be told where (RINGCAST_DIES_FILE).
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBackend, table } from "./lib/backend.mjs";
import { testBroker } from "./lib/broker.mjs";
import { openPolling, openSocket } from "./lib/socketio.mjs";
import { killSteps } from "./lib/crowd.mjs";
import { SANITIZED, until } from "./lib/util.mjs";

const folder = mkdtempSync(join(tmpdir(), "ringcast-dies-"));
const file = join(folder, "steps");
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const MARK = "dies here"; // from this packet on so many steps are counted
const ROWS = [
  ...["/", "/own"].flatMap((nsp) => [
    { on: "join", nsp, join: ["{args.0}"], ack: ["joined"] },
    { on: "say", nsp, emit: [{ to: "{args.0}", others: true, event: "said", args: ["{args.1..}"] }] },
  ]),
  { on: "quiet", ack: ["quiet"] },
  { on: "many", emit: [{ to: "room", others: true, event: "first", args: ["{args.1}"] }, { event: "own", args: ["{args.1}"] }, { to: "room", others: true, event: "last", args: ["{args.1}"] }], ack: ["{args.1}"] },
  { on: "enter", leave: ["{args.1}"], join: ["{args.2}"], set: { n: "{args.3}", was: "{client.n}" }, emit: [{ to: "room", others: true, event: "entered", args: ["{args.2}", "{client.was}"] }], ack: ["{client.n}"] },
  { on: "connect", nsp: "/own", set: { who: "{auth.who}" }, join: ["own:{auth.who}"], emit: [{ event: "welcome", args: ["{auth.who}"] }, { to: "room", others: true, event: "came", args: ["{auth.who}"] }] },
  { on: "tell", nsp: "/own", emit: [{ to: "own:{args.0}", others: true, event: "told", args: ["{args.1}"] }] },
  { on: "who", nsp: "/own", emit: [{ event: "is", args: ["{client.who}", "{auth.who}"] }] },
];
const ASKS = { on: "ask", emit: [{ to: "room", others: true, event: "asks", args: ["{args.1}"] }], ask: "app" };
const config = (more = {}) => ({ "debug.adopt_verify": true, "limits.close_timeout": "100ms", "socketio.path": "/socket.io/", "socketio.namespaces": ["/", "/own"], "socketio.ping_interval": "1h", "socketio.ping_timeout": "1h", event: ROWS, ...more });

/* A client with these two alone: send(...packets), and packets(count), the next ones. */
async function come(broker, transport) {
  const server = { host: broker.host, port: broker.port, path: "/socket.io/" };
  let client;
  if (transport === "websocket") {
    const socket = await openSocket(server);
    client = {
      send: async (...packets) => socket.send(...packets),
      packets: async (count) => {
        const seen = [];
        while (seen.length < count) seen.push(await socket.next(60000) ?? assert.fail("it was disconnected"));
        return seen;
      },
    };
  } else {
    const session = await openPolling(server);
    const raw = await broker.raw();
    client = {
      send: async (...packets) => {
        const body = packets.join("\x1e");
        raw.write(`POST ${session.url()} HTTP/1.1\r\nHost: a\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
        const answer = await raw.response(60000);
        assert.deepEqual([answer.status, answer.body], [200, "ok"]);
      },
      packets: (count) => session.packets(count),
    };
  }
  await client.send("40");
  assert.match((await client.packets(1))[0], /^40\{"sid":/);
  return client;
}

/*
 * Packet after packet, whose worker is killed a step later each time, until none kills it. `what(n, speaker, listener)`: { packet, answers,
 * heard }: it is sent by the speaker, who is answered just that, and the listener hears just that. Strings or expressions, in any order.
 */
async function sweep(broker, transport, prepare, what, after = () => {}, asked) {
  const stride = Number(process.env.CRASH_STRIDE ?? 23);
  const [speaker, listener] = [await come(broker, transport), await come(broker, "websocket")];
  await listener.send('421["join","room"]');
  assert.deepEqual(await listener.packets(1), ['431["joined"]']);
  await prepare(speaker, listener);
  const worker = () => broker.pids().workers[0];
  let kills = 0;
  const check = (got, wanted, at) => {
    const left = [...got];
    for (const one of wanted) {
      const i = left.findIndex((packet) => one instanceof RegExp ? one.test(packet) : packet === one);
      assert.ok(i >= 0, `${at}: ${got} and not ${wanted}`);
      left.splice(i, 1);
    }
    assert.deepEqual(left, [], at);
  };
  let n = 0;
  for (const steps of killSteps(stride)) {
    const at = `killed after ${steps} steps`;
    const { packet, answers, heard } = await what(n, speaker, listener);
    const before = worker();
    try {
      writeFileSync(file, String(steps));
      const sent = speaker.send(packet); // a POST is answered behind what its packet waits for
      if (asked !== undefined) {
        await until("it has begun", () => !existsSync(file));
        await asked(n);
        writeFileSync(file, "never");
        await listener.send(`427["quiet","${MARK}"]`);
        check(await listener.packets(heard.length + 1), [...heard, '437["quiet"]'], at);
        heard.splice(0);
        asked.release();
      }
      await sent;
      await until("it has begun", () => !existsSync(file));
      if (transport === "websocket") check(await speaker.packets(answers.length), answers, at);
      writeFileSync(file, "never");
      await speaker.send(`427["quiet","${MARK}"]`);
      check(await speaker.packets(transport === "websocket" ? 1 : answers.length + 1), [...transport === "websocket" ? [] : answers, '437["quiet"]'], at); // and nothing came twice
      check(await listener.packets(heard.length), heard, at);
      await listener.send('428["quiet"]');
      check(await listener.packets(1), ['438["quiet"]'], at);
    } catch (error) {
      error.message = `${at}: ${error.message}\n${broker.log.filter((line) => /client_|adopt|damaged|differs/.test(line)).slice(-5).join("\n")}`;
      throw error;
    }
    await after(speaker, listener, n);
    if (worker() === before && !broker.log.some((line) => line.includes("child_died") && line.includes(`pid=${before} `))) break;
    await until("a successor serves", async () => ![undefined, before].includes(worker()) && (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 60000 });
    kills++;
    n++;
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), kills);
  assert.equal(metrics("ringcast_not_adopted_sockets_total"), 0);
  assert.equal(metrics("ringcast_adopt_differences_total"), 0);
  assert.ok(kills > 0, "nobody died of a step");
}

const skip = SANITIZED ? false : "only builds with the address sanitizer can do it";
const both = (name, more, body) => {
  for (const transport of ["websocket", "polling"]) {
    testBroker(`${name}, ${transport}`, { workers: 1, config: config(more.config), env: { RINGCAST_DIES_FILE: file }, timeout: 480000, skip, ...more.options }, (broker) => body(broker, transport));
  }
};

both("an event that is several steps", {}, (broker, transport) => sweep(broker, transport, () => {}, (n) => ({
  packet: `425["many","${MARK}",${n}]`,
  answers: [`42["own",${n}]`, `435[${n}]`],
  heard: [`42["first",${n}]`, `42["last",${n}]`],
})));

both("an event that leaves, joins, sets and is acknowledged when it is in", {}, (broker, transport) => {
  return sweep(broker, transport, async (speaker) => {
    await speaker.send('426["join","r-1"]');
    assert.deepEqual(await speaker.packets(1), ['436["joined"]']);
  }, (n) => ({
    packet: `425["enter","${MARK}","r${n - 1}","r${n}",${n}]`,
    answers: [`435[${n}]`],
    heard: [`42["entered","r${n}",${n === 0 ? null : n - 1}]`],
  }), async (speaker, listener, n) => {
    await listener.send(`42["say","r${n - 1}","left"]`, `42["say","r${n}","joined"]`);
    assert.deepEqual(await speaker.packets(1), ['42["said","joined"]']);
  });
});

both("a CONNECT, with rows", {}, (broker, transport) => sweep(broker, transport, async (_, listener) => {
  await listener.send("40/own,{\"who\":\"listener\"}");
  assert.equal((await listener.packets(2))[1], '42/own,["welcome","listener"]');
  await listener.send('42/own,1["join","room"]');
  assert.deepEqual(await listener.packets(1), ['43/own,1["joined"]']);
}, (n) => ({
  packet: `40/own,{"mark":"${MARK}","who":${n}}`,
  answers: [/^40\/own,\{"sid":/, `42/own,["welcome",${n}]`],
  heard: [`42/own,["came",${n}]`],
}), async (speaker, listener, n) => {
  await speaker.send('42/own,["who"]');
  assert.deepEqual(await speaker.packets(1), [`42/own,["is",${n},${n}]`]);
  await listener.send(`42/own,["tell","${n}","joined"]`);
  assert.deepEqual(await speaker.packets(1), ['42/own,["told","joined"]']);
  await speaker.send("41/own,");
}));

/*
 * Backends whose answers to calls of a kind are held until nobody dies any more: what becomes of an answer is another story. body(broker, asked,
 * calls): `asked` is sweep's; calls(): arguments of those that came, by their ids, as they may have come twice.
 */
function asking(name, transport, kind, { reply, row }, body) {
  const held = [];
  let released = -1; // until this one calls are answered at once
  let backend;
  const begin = async () => (backend = await startBackend({ answer: (call) => call.call !== kind ? reply(call) : new Promise((done) => {
    const answer = () => done(reply(call));
    call.args[1] <= released ? answer() : held.push(answer);
  }) }));
  testBroker(`${name}, ${transport}`, {
    workers: 1, timeout: 480000, skip, env: { RINGCAST_DIES_FILE: file },
    config: async () => config({ backend: [table(await begin(), { ask_again: true })], event: [...ROWS, row] }),
  }, async (broker) => {
    const asked = (n) => until("the backend is asked", () => backend.calls.some(({ call, args }) => call === kind && args[1] === n), { timeout: 60000 });
    asked.release = () => {
      released++;
      for (const answer of held.splice(0)) answer();
    };
    await body(broker, asked, () => [...new Map(backend.calls.filter(({ call }) => call === kind).map(({ id, args }) => [id, args[1]])).values()].sort((a, b) => a - b));
    await backend.stop();
  });
}

const once = (calls, count) => assert.deepEqual(calls, Array.from({ length: count }, (_, n) => n), "each was asked once");

for (const transport of ["websocket", "polling"]) {
  asking("an event that a backend is asked about", transport, "event", { reply: (call) => ({ ack: [call.args[1]] }), row: ASKS }, async (broker, asked, calls) => {
    let sent = 0;
    await sweep(broker, transport, () => {}, (n) => {
      sent = n + 1;
      return { packet: `425["ask","${MARK}",${n}]`, answers: [`435[${n}]`], heard: [`42["asks",${n}]`] };
    }, () => {}, asked);
    once(calls(), sent);
  });

  // Who wants it is a backend, by an emit of its reply.
  const reply = (call) => call.call === "event" ? { emit: [{ event: "question", to: "asked", args: call.args, ack: "question" }] } : {};
  asking("an acknowledgement of a client", transport, "ack", { reply, row: { on: "wonder", ask: "app" } }, async (broker, asked, calls) => {
    await sweep(broker, transport, async (speaker) => {
      await speaker.send('426["join","asked"]');
      assert.deepEqual(await speaker.packets(1), ['436["joined"]']);
    }, async (n, speaker, listener) => {
      await listener.send(`42["wonder",${n}]`);
      const [question] = await speaker.packets(1);
      const [, id] = question.match(/^42(\d+)\["question",(\d+)\]$/) ?? assert.fail(question);
      return { packet: `43${id}["${MARK}",${n}]`, answers: [], heard: [] };
    }, (speaker, listener, n) => once(calls(), n + 1), asked);
  });
}
