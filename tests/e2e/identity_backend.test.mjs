// [[identity]] kind = "backend": the application's own server says who a client is, by the call `connect`. Rows S1.3, S4.1, S4.8.
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { startBackend, table } from "./lib/backend.mjs";
import { testBroker } from "./lib/broker.mjs";
import { upgradeRequest, upgraded } from "./lib/raw.mjs";
import { until, within } from "./lib/util.mjs";

const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

async function come(broker, options) {
  const socket = io(`http://127.0.0.1:${broker.port}`, { forceNew: true, reconnection: false, ...options });
  const said = [];
  socket.onAny((...event) => said.push(event));
  const outcome = await within(10000, new Promise((done) => {
    socket.once("connect", () => done({ connected: true }));
    socket.once("connect_error", (error) => done({ refused: error.message, data: error.data }));
  }), "the connect ends");
  return { socket, said, ...outcome };
}

const users = { s1: { userId: "u1", user: { id: "u1", name: "Ann", tier: { level: 2 } } }, s2: { userId: "u2", user: { id: "u2" } } };

/* As S4's server: its own store of sessions, whose user must be the one that the client says it is. */
function decide({ auth, headers, query }) {
  const session = users[auth?.sessionID ?? headers.cookie?.match(/sid=(\w+)/)?.[1] ?? query.sid];
  if (session?.userId !== (auth?.userId ?? session?.userId) || !session) return { status: 401, body: JSON.stringify({ message: "Unauthorized", data: { code: 7 } }) };
  return { user: session.user, client: { from: "backend" }, join: ["vip"], emit: [{ event: "hello", args: [1] }] };
}

const setUp = (backend, { row, ...more } = {}) => ({
  "socketio.path": "/socket.io/",
  backend: [table(backend, { forward: ["cookie", "user-agent"], timeout: "2s", ...more })],
  identity: [{ kind: "backend", backend: "app", from: ["auth.sessionID", "cookie.sid", "query.sid"], ...row }],
  event: [{ on: "who", ack: ["{user}", "{client.from}"] }, { on: "vip", emit: [{ to: "vip", event: "seen" }] }],
});

const withBackend = (name, { workers = 1, timeout, ...options }, config, body) => {
  let backend;
  testBroker(name, {
    workers,
    timeout,
    async config() {
      backend = await startBackend(options);
      return setUp(backend, config);
    },
  }, async (broker) => {
    try {
      await body(broker, backend);
    } finally {
      await backend.stop();
    }
  });
};

withBackend("the application's server says who a client is, over every protocol", { answer: decide }, {}, async (broker, backend) => {
  for (const transports of TRANSPORTS) {
    const { socket, said } = await come(broker, { transports, auth: { sessionID: "s1", userId: "u1" } });
    const answer = await within(5000, new Promise((done) => socket.emit("who", (...args) => done(args))), "an answer");
    assert.deepEqual(answer, [{ id: "u1", name: "Ann", tier: { level: 2 } }, "backend"]);
    await until("what it wanted done is done", () => said.some(([event, n]) => event === "hello" && n === 1));
    socket.emit("vip");
    await until("it is in the room", () => said.some(([event]) => event === "seen"));
    socket.close();
    const call = backend.calls.at(-1);
    assert.deepEqual([call.call, call.nsp, call.auth, call.user], ["connect", "/", { sessionID: "s1", userId: "u1" }, null]);
    if (transports.length === 1) assert.equal(call.transport, transports[0]);
    for (const auth of [{ sessionID: "s1", userId: "u2" }, { sessionID: "s9" }]) {
      const refused = await come(broker, { transports, auth });
      assert.deepEqual([refused.refused, refused.data], ["Unauthorized", { code: 7 }]);
      refused.socket.close();
    }
  }
  assert.equal((await broker.connect({ headers: { Cookie: "a=b; sid=s2", "User-Agent": "Firefox" } })).welcome.user, "u2");
  assert.equal(backend.calls.at(-1).headers.cookie, "a=b; sid=s2");
  assert.equal(backend.calls.at(-1).headers_.cookie, "a=b; sid=s2", "as a header, too");
  assert.equal(backend.calls.at(-1).headers_["user-agent"], "Firefox", "one user agent: the client's");
  assert.equal(await upgraded(broker, "/ws?sid=s9", {}), 401);
  const before = backend.calls.length;
  assert.equal(await upgraded(broker, "/ws", {}), 101, "it may still say who it is: nobody is asked");
  assert.equal(backend.calls.length, before);
  assert.match((await broker.get("/health/database")).body, /"backend":"app","status":"healthy"/);
});

withBackend("a backend that ends while nobody asks it is found to have ended", { answer: decide, workers: 3, timeout: 90000 }, {}, async (broker, backend) => {
  const says = (status) => until(`it says ${status}`, async () => (await broker.get("/health/database")).status === status, { timeout: 30000 });
  await says(200);
  await until("it is looked for, and again", () => backend.looks.length >= 2, { timeout: 40000 });
  // One worker does it for all of them, once in ten seconds; this began when the backend did.
  const seconds = (performance.now() - backend.since) / 1000;
  assert.ok(backend.looks.length <= 1 + Math.floor(seconds / 10), `${backend.looks.length} in ${seconds} s`);
  await says(200);
  backend.server.closeAllConnections();
  await new Promise((done) => backend.server.close(done));
  await says(503);
  await new Promise((done) => backend.server.listen(backend.port, "127.0.0.1", done));
  await says(200);
  assert.deepEqual(backend.calls, []);
});

withBackend("a storm of reconnects is one call; who is gone meanwhile is no matter", {
  answer: (call) => new Promise((done) => setTimeout(done, 300, { ...decide(call), ttl: 60 })),
}, {}, async (broker, backend) => {
  const clients = await Promise.all(Array.from({ length: 100 }, () => broker.connect({ path: "/ws?sid=s1" })));
  for (const client of clients) assert.equal(client.welcome.user, "u1");
  assert.equal(backend.calls.length, 1);
  const gone = await broker.raw();
  gone.write(upgradeRequest("/ws?sid=s2"));
  await until("it is asked", () => backend.calls.length === 2);
  gone.end();
  assert.equal((await broker.connect({ path: "/ws?sid=s2" })).welcome.user, "u2");
});

withBackend("a credential ends when the backend says", {
  answer: () => ({ user: { id: "7" }, expire_at: Math.ceil(Date.now() / 1000) + 4 }),
}, {}, async (broker) => {
  const client = await broker.connect({ path: "/ws?sid=s1" });
  assert.equal((await within(10000, client.closed, "it is closed")).code, 4401);
});

for (const [failure, status] of [["deny", 503], ["allow", 101]]) {
  withBackend(`a backend that fails: ${failure}`, { answer: () => ({ status: 500, body: "" }) }, { on_failure: failure, breaker: "" }, async (broker, backend) => {
    assert.equal(await upgraded(broker, "/ws?sid=s1", {}), status);
    const { refused, socket } = await come(broker, { auth: { sessionID: "s1" } });
    assert.equal(refused, status === 503 ? "Service unavailable" : undefined);
    socket.close();
    backend.answer = () => ({ status: 200, body: "no JSON" });
    assert.equal(await upgraded(broker, "/ws?sid=s2", {}), status);
    backend.answer = () => ({ user: { name: "without an id" } });
    assert.equal(await upgraded(broker, "/ws?sid=s3", {}), status);
    assert.equal((await broker.get("/health/database")).status, 503);
    backend.answer = decide;
    assert.equal((await broker.connect({ path: "/ws?sid=s1" })).welcome.user, "u1");
    assert.equal((await broker.get("/health/database")).status, 200);
  });
}

/* Whoever heeds /health/database sends nobody to an instance that says 503: it must not take somebody to say 200 again. */
withBackend("a backend that failed is found to answer again though nobody comes, also by a worker's successor", {
  answer: () => ({ status: 500, body: "" }),
}, { breaker: "1/10s" }, async (broker, backend) => {
  const health = async () => (await broker.get("/health/database")).status;
  const gauge = async (name) => (await broker.metrics())(name);
  for (const ends of [() => {}, () => broker.kill("SIGKILL", 0)]) {
    backend.look = () => ({ status: 500, body: "" });
    assert.equal(await upgraded(broker, "/ws?sid=s1", {}), 503);
    assert.deepEqual([await health(), await gauge("ringcast_backend_breaker_open"), await gauge("ringcast_session_backends_failing")], [503, 1, 1]);
    ends();
    const before = backend.looks.length;
    await until("it is looked for, and still fails", () => backend.looks.length > before, { timeout: 15000 });
    await until("the broker is there", async () => (await health()) === 503);
    backend.look = () => ({ status: 404, body: "" }); // it does not know this call: it answers
    await until("it answers", async () => (await health()) === 200, { timeout: 15000 });
    assert.deepEqual([await gauge("ringcast_backend_breaker_open"), await gauge("ringcast_session_backends_failing")], [0, 0]);
    for (const { headers_, ...call } of backend.looks.slice(before)) {
      assert.deepEqual(call, { call: "health", id: call.id, instance: "test", user: null, client: {} });
    }
  }
  const ids = [...backend.calls, ...backend.looks].map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(!broker.log.some((line) => /backend_fails .*call="health"/.test(line)), "who looks in vain does not fill the log");
});
