// Which process of an application a client comes to, as processes come and go (docs/link.md, `balance`).
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { Application, SECRET, client, testLink } from "./lib/application.mjs";
import { run } from "./lib/broker.mjs";
import { ask } from "./lib/socketio.mjs";
import { until } from "./lib/util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const secret = "a-secret-for-tokens-of-thirty-two-bytes-or-more";
const identity = [{ kind: "jwt", at: "handshake", from: ["query.token"], secret, algorithms: ["HS256"], user: "{claims.sub}", required: false }];
const config = { identity };
const tokenOf = (user) => jwt.sign({ sub: user }, secret, { algorithm: "HS256", expiresIn: "1h" });

/* Applications `count`; the first is testLink's own. */
async function others(first, count) {
  const all = [first];
  while (all.length < count) all.push(await new Application().listen());
  return all;
}

const tableOf = (applications, more) => [{ name: "app", kind: "link", url: applications.map(({ url }) => url), secrets: [SECRET], ...more }];

async function reload(broker, table) {
  broker.writeConfig({ ...broker.config, backend: table });
  const result = await run(["reload", "-c", broker.configPath]);
  assert.equal(result.code, 0, result.stderr);
}

const hasLinks = (broker, count) => until(`${count} links`, async () => (await broker.metrics())("ringcast_links") === count);

/* A client of that user (none: anonymous), and which of the applications has it. */
async function comes(broker, applications, user, transports = ["websocket"]) {
  const socket = client(broker, transports, user ? { query: { token: tokenOf(user) } } : {});
  await socket.opening;
  const at = await until("its connection", () => {
    const found = applications.findIndex((application) => application.conns.some(({ open }) => open.sid === socket.id));
    return found < 0 ? false : { found };
  });
  return { socket, at: at.found };
}

testLink("least: clients come to the process with the fewest, one that comes gets the next ones, one that goes gets none", { config }, async (broker, first) => {
  const applications = await others(first, 3);
  const sockets = [];
  const come = async (count) => {
    const got = [0, 0, 0];
    for (let i = 0; i < count; i++) {
      const { socket, at } = await comes(broker, applications, i % 2 === 0 ? "somebody" : undefined);
      got[at]++;
      sockets.push(socket);
    }
    return got;
  };
  try {
    assert.deepEqual(await come(4), [4, 0, 0]);
    await reload(broker, tableOf(applications));
    // Another table: its links are made anew, and who was there is closed as with Node.
    await until("all are closed", () => sockets.every((socket) => socket.closed));
    await hasLinks(broker, 3);
    assert.deepEqual(await come(6), [2, 2, 2]);
    await applications[2].close();
    await hasLinks(broker, 2);
    assert.deepEqual(await come(4), [2, 2, 0]);
    await applications[2].listen({ port: applications[2].port });
    await hasLinks(broker, 3);
    assert.deepEqual(await come(3), [0, 0, 3], "it has none yet");
  } finally {
    for (const socket of sockets) socket.close();
    for (const application of applications) await application.close();
  }
});

testLink("user: all of one user come to one process, on every worker; only the users of one that goes have another", { config, workers: 2, timeout: 120000 }, async (broker, first) => {
  const applications = await others(first, 3);
  const sockets = [];
  const users = Array.from({ length: 24 }, (_, i) => `user ${i}`);
  const places = async () => {
    const found = [];
    for (const [i, user] of users.entries()) {
      const { socket, at } = await comes(broker, applications, user, i % 3 === 0 ? ["polling"] : ["websocket"]);
      sockets.push(socket);
      found.push(at);
    }
    return found;
  };
  try {
    await reload(broker, tableOf(applications, { balance: "user" }));
    await hasLinks(broker, 6);
    const before = await places();
    assert.equal(new Set(before).size, 3, `each process has some: ${before}`);
    assert.deepEqual(await places(), before);
    assert.deepEqual(await places(), before);
    const workers = new Set(applications.flatMap(({ conns }) => conns.map(({ link }) => link.hello.worker)));
    assert.equal(workers.size, 2, "both workers had clients");
    await applications[1].close();
    await hasLinks(broker, 4);
    const without = await places();
    for (const [i, at] of without.entries()) assert.equal(at, before[i] === 1 ? at : before[i], users[i]);
    assert.ok(without.every((at) => at !== 1));
    // Who has no user comes to the one with the fewest.
    const anonymous = [];
    for (let i = 0; i < 8; i++) {
      const { socket, at } = await comes(broker, applications);
      sockets.push(socket);
      anonymous.push(at);
    }
    assert.ok(anonymous.every((at) => at !== 1), `${anonymous}`);
    await applications[1].listen({ port: applications[1].port });
    await hasLinks(broker, 6);
    assert.deepEqual(await places(), before, "the same process has its users again");
  } finally {
    for (const socket of sockets) socket.close();
    for (const application of applications) await application.close();
  }
});

testLink("a process that stands still is found out, and its clients go to another", { config, timeout: 120000 }, async (broker, first) => {
  const applications = await others(first, 2);
  try {
    await reload(broker, tableOf(applications, { max_unsent: "64KiB" }));
    await hasLinks(broker, 2);
    const { socket, at } = await comes(broker, applications);
    const [link] = applications[at].links;
    link.socket.pause(); // it does not read: nothing is lost, and nobody else comes to it
    const SENT = 600; // of 50 KB: more than the kernel takes for a socket
    const filling = "x".repeat(50000);
    for (let i = 0; i < SENT; i++) socket.send(filling);
    // Full is when nothing more goes there in passes of the worker's loop, of which each question needs one.
    let [last, same] = [-1, 0];
    await until("its client is not read", async () => {
      const metric = await broker.metrics();
      const sent = metric("ringcast_link_frames_out_total");
      same = sent === last ? same + 1 : 0;
      last = sent;
      return metric("ringcast_link_waits_total") >= 1 && same >= 20;
    }, { timeout: 30000 });
    for (let i = 0; i < 4; i++) assert.equal((await comes(broker, applications)).at, 1 - at);
    assert.equal((await ask(broker, "GET", "/socket.io/?EIO=4&transport=polling")).status, 200);
    link.socket.resume();
    const connection = applications[at].conns.find(({ open }) => open.sid === socket.id);
    await until("it has got all", () => connection.heard.length === SENT, { timeout: 40000 });
    assert.ok(connection.heard.every((message) => message === filling));
    socket.close();
  } finally {
    for (const application of applications) await application.close();
  }
});
