// Calls of backends that wait for their answer when their worker is killed, or handed over: made again where the backend says that it can tell,
// else the client is told that nobody knows. Never silence.
import assert from "node:assert/strict";
import { startBackend } from "./lib/backend.mjs";
import { run } from "./lib/broker.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { ask, come, testHook } from "./lib/hook.mjs";
import { handedOver, handover, quiet } from "./lib/outlive.mjs";
import { until, within } from "./lib/util.mjs";

const ROWS = [{ on: "ask", ask: "app" }, { on: "begin", ask: "app" }];
const TRANSPORTS = [["websocket"], ["polling"]];
const hook = (name, { table, config, ...options }, body) => testHook(name, {
  timeout: 120000, table: { timeout: "30s", ...table }, config: { event: ROWS, "socketio.ping_interval": "1h", ...config }, ...options,
}, body);

/* Answers of a backend that are held back until they are let go; those of events that a test names. */
function holding(backend, which = ({ call, event }) => call === "event" && event === "ask") {
  const held = [];
  backend.answer = (call, request, response) => {
    if (!which(call)) return { ack: ["at once"] };
    held.push({ call, answer: (reply) => {
      if (response.destroyed) return;
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(reply));
    } });
    return undefined;
  };
  return { held, come: (count) => until(`${count} calls are held`, () => held.length >= count, { timeout: 30000 }) };
}

async function clients(broker) {
  const sockets = [];
  for (const transports of TRANSPORTS) {
    const socket = await come(broker, { transports });
    assert.equal(socket.outcome, "connected");
    sockets.push(socket);
  }
  return sockets;
}

hook("kill -9: whoever may not be asked again is told so, and goes on", {}, async (broker, backend) => {
  const holds = holding(backend);
  const sockets = await clients(broker);
  const asked = sockets.map((socket, i) => ask(socket, "ask", i));
  await holds.come(2);
  const after = sockets.map((socket) => ask(socket, "begin")); // waits behind it
  await quiet(broker, 2); // a GET, and that POST
  await killWorker(broker, 0);
  for (const answer of await Promise.all(asked)) {
    assert.equal(answer[0].error?.code, 503, JSON.stringify(answer));
    assert.match(answer[0].error.message, /answer was lost/);
  }
  assert.deepEqual(await Promise.all(after), [["at once"], ["at once"]]);
  assert.deepEqual(sockets.map(({ connected }) => connected), [true, true]);
  assert.equal(holds.held.length, 2, "nobody was asked twice");
  const metrics = await broker.metrics();
  assert.deepEqual(["asked_again", "answers_lost"].map((what) => metrics(`ringcast_backend_${what}_total`)), [0, 2]);
  assert.equal(metrics("ringcast_not_adopted_sockets_total"), 0);
  for (const socket of sockets) socket.close();
});

hook("kill -9: who may is asked again, with the same id, and what the reply says is done once", { table: { ask_again: true } }, async (broker, backend) => {
  const holds = holding(backend);
  const sockets = await clients(broker);
  const asked = sockets.map((socket, i) => ask(socket, "ask", i, { data: "x".repeat(3000) }));
  await holds.come(2);
  const after = sockets.map((socket) => ask(socket, "begin"));
  await quiet(broker, 2);
  await killWorker(broker, 0);
  await holds.come(4);
  const bodies = holds.held.map(({ call: { headers_, ...call } }) => call);
  const byId = (a, b) => (a.id < b.id ? -1 : 1);
  assert.deepEqual(bodies.slice(2).sort(byId), bodies.slice(0, 2).sort(byId), "the same calls");
  const calls = backend.calls.filter(({ event }) => event === "ask");
  assert.deepEqual(calls.map(({ headers_ }) => headers_["ringcast-attempt"]), [undefined, undefined, "2", "2"]);
  for (const { call, answer } of holds.held.slice(2)) answer({ ack: ["again", call.args[0]], emit: [{ event: "told", args: [call.args[0]] }] });
  assert.deepEqual(await Promise.all(asked), [["again", 0], ["again", 1]]);
  assert.deepEqual(await Promise.all(after), [["at once"], ["at once"]]);
  await until("both are told", () => sockets.every(({ heard }) => heard.length > 0));
  assert.deepEqual(sockets.map(({ heard }) => heard), [[["told", 0]], [["told", 1]]]);
  const metrics = await broker.metrics();
  assert.deepEqual(["asked_again", "answers_lost"].map((what) => metrics(`ringcast_backend_${what}_total`)), [2, 0]);
  for (const socket of sockets) socket.close();
});

hook("kill -9 behind a reload: it is the same backend that is asked again, and no other when that is gone", { table: { ask_again: true } }, async (broker, backend) => {
  const other = await startBackend();
  const holds = holding(backend);
  const { backend: [app], event, ...rest } = broker.config;
  const reload = async (more) => {
    broker.writeConfig({ ...rest, ...more });
    const { code, stderr } = await run(["reload", "-c", broker.configPath]);
    assert.equal(code, 0, stderr);
  };
  try {
    const before = { ...app, name: "before", url: [other.url] };
    const socket = await come(broker);
    const asked = ask(socket, "ask", 1);
    await holds.come(1);
    await reload({ backend: [before, app], event });
    await killWorker(broker, 0);
    await holds.come(2);
    assert.equal(holds.held[1].call.id, holds.held[0].call.id);
    holds.held[1].answer({ ack: ["again"] });
    assert.deepEqual(await asked, ["again"]);
    const gone = ask(socket, "ask", 2);
    await holds.come(3);
    await reload({ backend: [before] });
    await killWorker(broker, 0);
    const [{ error }] = await gone;
    assert.equal(error.code, 503);
    assert.match(error.message, /answer was lost/);
    assert.equal(holds.held.length, 3);
    assert.equal(other.calls.length, 0, "what the one was asked is nothing of the other's");
    socket.close();
  } finally {
    await other.stop();
  }
});

hook("kill -9, again and again: after three processes nobody asks any more", { table: { ask_again: true } }, async (broker, backend) => {
  const holds = holding(backend);
  const socket = await come(broker);
  const asked = ask(socket, "ask", 1);
  for (let i = 1; i <= 3; i++) {
    await holds.come(i);
    await killWorker(broker, 0);
  }
  const [{ error }] = await asked;
  assert.equal(error.code, 503);
  assert.equal(holds.held.length, 3);
  assert.deepEqual(await ask(socket, "begin"), ["at once"]);
  socket.close();
});

hook("kill -9 while a reply waits for a room: it is carried out from where it was", {}, async (broker, backend) => {
  backend.answer = ({ sid }) => ({ do: [{ emit: [{ event: "first" }] }, { join: [`room:${sid}`] }, { emit: [{ event: "second", to: `room:${sid}` }] }], ack: ["done"] });
  const sockets = await clients(broker);
  await quiet(broker, 1);
  broker.kill("SIGSTOP", "relay"); // what joins it waits for
  const asked = sockets.map((socket) => ask(socket, "ask"));
  await until("the replies are carried out as far as they can be", () => sockets[0].heard.length === 1);
  await backend.asked("event", 2);
  const before = broker.kill("SIGKILL", 0);
  await until("there is a successor", () => ![undefined, before].includes(broker.pids().workers[0]), { timeout: 20000, every: 2 });
  broker.kill("SIGCONT", "relay");
  const answers = await Promise.all(asked);
  assert.deepEqual(answers[0], ["done"]);
  assert.ok(answers[1][0] === "done" || answers[1][0].error?.code === 503, `the other's reply may not have come: ${JSON.stringify(answers[1])}`);
  await until("they are told", () => sockets[0].heard.length >= 2);
  assert.deepEqual(sockets[0].heard, [["first"], ["second"]]);
  for (const socket of sockets) socket.close();
});

hook("kill -9: what clients answer is told again", { table: { ask_again: true } }, async (broker, backend) => {
  const holds = holding(backend, ({ call }) => call === "ack");
  const first = backend.answer;
  backend.answer = (call, ...rest) => (call.event === "begin" ? { ack: [], emit: [{ event: "question", ack: "T", timeout: 60000 }] } : first(call, ...rest));
  const socket = await come(broker);
  socket.on("question", (done) => done("yes"));
  await ask(socket, "begin");
  await holds.come(1);
  await killWorker(broker, 0);
  await holds.come(2);
  const [one, two] = backend.calls.filter(({ call }) => call === "ack");
  assert.deepEqual([two.id, two.token, two.args, two.headers_["ringcast-attempt"]], [one.id, "T", ["yes"], "2"]);
  holds.held[1].answer({ emit: [{ event: "thanks" }] });
  await until("the client is thanked", () => socket.heard.some(([event]) => event === "thanks"));
  socket.close();
});

hook("kill -9: whether a client may subscribe, and who comes, is asked anew", { table: { calls: ["subscribe", "connect"] } }, async (broker, backend) => {
  const holds = holding(backend, ({ call }) => call !== "event");
  const connecting = come(broker);
  await holds.come(1);
  await killWorker(broker, 0);
  await holds.come(2);
  holds.held[1].answer({});
  const socket = await connecting;
  assert.equal(socket.outcome, "connected");
  const connected = broker.connect();
  await holds.come(3);
  holds.held[2].answer({});
  const client = await connected;
  const subscribed = client.subscribe("news");
  await holds.come(4);
  await killWorker(broker, 0);
  await holds.come(5);
  holds.held[4].answer({ allow: true });
  await within(10000, subscribed, "it is subscribed");
  await client.publish("news", 1).catch(() => {});
  socket.close();
});

hook("a hand-over does not wait for who can be asked again", { table: { ask_again: true } }, async (broker, backend) => {
  const holds = holding(backend);
  const sockets = await clients(broker);
  const asked = sockets.map((socket, i) => ask(socket, "ask", i));
  await holds.come(2);
  await handedOver(broker, "0");
  await holds.come(4);
  for (const { answer } of holds.held) answer({ ack: ["again"] });
  assert.deepEqual(await Promise.all(asked), [["again"], ["again"]]);
  assert.equal((await broker.metrics())("ringcast_backend_asked_again_total"), 2);
  for (const socket of sockets) socket.close();
});

hook("a hand-over is given up for who cannot, and its answer comes as ever; one that comes in time is waited for", {}, async (broker, backend) => {
  const holds = holding(backend);
  const socket = await come(broker);
  const asked = ask(socket, "ask", 1);
  await holds.come(1);
  const result = await handover(broker, "0");
  assert.equal(result.code, 1);
  await until("the log says why", () => broker.log.some((line) => /worker_not_parked.*backends are being asked/.test(line)));
  holds.held[0].answer({ ack: ["late"] });
  assert.deepEqual(await asked, ["late"]);
  const again = ask(socket, "ask", 2);
  await holds.come(2);
  const handing = handedOver(broker, "0");
  holds.held[1].answer({ ack: ["in time"] });
  await handing;
  assert.deepEqual(await again, ["in time"]);
  assert.deepEqual(await ask(socket, "begin"), ["at once"]);
  assert.equal(holds.held.length, 2);
  socket.close();
});

hook("kill -9: who went is told by the successor, once it can be", { table: { calls: ["disconnect"], breaker: "" } }, async (broker, backend) => {
  let status = 500;
  backend.answer = (call) => (call.calls ? { status, body: "{}" } : { ack: [] });
  const gone = [];
  for (let i = 0; i < 3; i++) {
    const socket = await come(broker);
    gone.push(socket.id);
    const before = backend.calls.length;
    socket.close();
    await until("it was tried", () => backend.calls.length > before);
    await killWorker(broker, 0);
  }
  status = 200;
  const last = backend.calls.length;
  await until("all are told", () => backend.calls.slice(last).flatMap(({ calls }) => calls).length >= 3, { timeout: 30000 });
  assert.deepEqual(backend.calls.slice(last).flatMap(({ calls }) => calls).map(({ sid }) => sid), gone);
});
