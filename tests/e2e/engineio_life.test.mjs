// Engine.IO v4, case by case, at the level of bytes: heartbeats, and how sessions end.
// Against engine.io itself and ringcast; what is sent is echoed.
import { LIFE, PING_INTERVAL, PING_TIMEOUT, get, isError, options, patient, settle, targets } from "./lib/engineio.mjs";
import { OP } from "./lib/raw.mjs";
import { Late, assert, delay, describeCases, openPolling, openSocket, passed, tookBetween, until } from "./lib/socketio.mjs";

/* --- heartbeat ------------------------------------------------------------------------------------------------------------ */

/* Its time is over. What timers of Node are late by is no fault of it; ringcast looks at the time itself when it is asked, but for a moment in which the
 * machine stood still: then the GET is answered by the close itself, at once. */
async function isOver(session) {
  const since = performance.now();
  const { status, body } = await session.get();
  if (status === 200 && body === "1" && performance.now() - since < 150) await session.isGone();
  else if (status !== 400) throw new Late(`it is answered ${status} ${body}`);
  else isError({ status, body, headers: { "content-type": "application/json" } }, 1);
}

/* The next ping, in time: who hears of it too late has had no time to answer it. */
async function isPinged(one) {
  if (one.get) {
    const { status, body } = await one.get();
    if (status === 400) throw new Late("it is asked for");
    assert.deepEqual([status, body], [200, "2"]);
  } else {
    const message = await one.next();
    if (message === null) throw new Late("its answer");
    assert.equal(message, "2");
  }
}

/* Its answer, in time as well. */
async function pong(session) {
  const { status, body } = await session.post("3");
  if (status === 400) throw new Late("the pong");
  assert.deepEqual([status, body], [200, "ok"]);
}

/* So long after a session began: at the earliest when it was asked for, at the latest when that was answered. */
function sinceIts({ opening, opened }, from, to, what) {
  tookBetween(performance.now() - opening, from, Infinity, what);
  tookBetween(performance.now() - opened, -Infinity, to, what);
}

const heartbeat = [
  ["polling: pings come every interval, pongs keep the session", async (server) => {
    const session = await openPolling(server);
    let since = session;
    for (let i = 0; i < 3; i++) {
      await isPinged(session);
      sinceIts(since, PING_INTERVAL - 50, PING_INTERVAL + 150, `ping ${i}`);
      since = { opening: performance.now(), opened: performance.now() };
      await pong(session);
    }
  }],

  ["polling: a session that is not polled has its ping waiting, and lives until the time is over", async (server) => {
    const session = await openPolling(server);
    await passed(session.opening, LIFE - 80);
    const answer = await session.get();
    if (answer.status === 400 || performance.now() - session.opening >= LIFE) throw new Late("its ping is asked for");
    assert.equal(answer.body, "2");
    await pong(session);
    const answered = performance.now();
    await passed(session.opening, LIFE + 60);
    const { status, body } = await session.post("4alive");
    if (status === 400 && performance.now() - answered >= PING_INTERVAL) throw new Late("the next ping is over, too");
    assert.deepEqual([status, body], [200, "ok"]);
    assert.equal(await session.packet(), "4alive");
  }],

  ["polling: closed at interval and timeout, not a tick later", async (server) => {
    const sessions = await Promise.all(Array.from({ length: 5 }, () => openPolling(server)));
    for (const session of sessions) {
      await passed(session.opened, LIFE + server.late);
      await isOver(session);
    }
  }],

  ["polling: a pong after an answered ping counts from then on", async (server) => {
    const session = await openPolling(server);
    await isPinged(session);
    await pong(session);
    const answered = performance.now();
    await passed(answered, LIFE + server.late);
    await isOver(session);
  }],

  ["polling: the poll that waits when the time is over gets a close", async (server) => {
    const session = await openPolling(server);
    await isPinged(session);
    const answer = await session.get();
    if (answer.status === 400) throw new Late("the poll came behind the close");
    assert.deepEqual([answer.status, answer.body], [200, "1"]);
    sinceIts(session, LIFE - 50, LIFE + 150, "a close");
    await session.isGone();
  }],

  ["polling: messages are no pongs", async (server) => {
    const session = await openPolling(server);
    await isPinged(session);
    // One packet may lengthen the wait once (newer references do so): never for ever.
    const sending = (async () => {
      for (;;) {
        const answer = await session.post("4x").catch(() => ({ status: 0 }));
        if (answer.status !== 200) return;
        await delay(50);
      }
    })();
    await sending;
    tookBetween(performance.now() - session.opened, 0, LIFE + PING_TIMEOUT + 200, "an end");
    await session.isGone();
  }],

  ["WebSocket: pings come every interval, pongs keep the session", async (server) => {
    const socket = await openSocket(server);
    let since = socket;
    for (let i = 0; i < 3; i++) {
      await isPinged(socket);
      sinceIts(since, PING_INTERVAL - 50, PING_INTERVAL + 150, `ping ${i}`);
      since = { opening: performance.now(), opened: performance.now() };
      socket.send("3");
    }
    socket.end();
  }],

  ["WebSocket: closed at interval and timeout", async (server) => {
    const sockets = await Promise.all(Array.from({ length: 5 }, () => openSocket(server)));
    await Promise.all(sockets.map(async (socket) => {
      assert.deepEqual(await socket.closed(), ["2"]);
      sinceIts(socket, LIFE - 50, LIFE + 150, "an end");
    }));
  }],

  ["WebSocket: pongs of RFC 6455 are none of Engine.IO", async (server) => {
    const socket = await openSocket(server);
    await socket.expect("2");
    socket.raw.send({ opcode: OP.PONG, payload: "" });
    assert.deepEqual(await socket.closed(), []);
  }],
];

/* --- close ---------------------------------------------------------------------------------------------------------------- */

/* The session of a WebSocket that has ended is gone, as soon as the server has seen that. */
const isForgotten = (server, socket) => until("the session is gone", async () => {
  const answer = await get(server, `EIO=4&transport=polling&sid=${socket.handshake.sid}`);
  isError(answer, 1);
  return true;
});

const close = [
  ["polling: a close packet ends the poll that waits with a noop, and the session", async (server) => {
    const session = await openPolling(server);
    const waiting = session.get();
    await settle();
    const posted = await session.post("1");
    assert.deepEqual([posted.status, posted.body], [200, "ok"]);
    const answer = await waiting;
    if (answer.status === 400) throw new Late("the poll came behind the close");
    assert.deepEqual([answer.status, answer.body], [200, "6"]);
    await session.isGone();
  }],

  ["polling: a close packet without a poll", async (server) => {
    const session = await openPolling(server);
    await session.send("1");
    await session.isGone();
  }],

  ["WebSocket: a close packet", async (server) => {
    const socket = await openSocket(server);
    socket.send("1");
    // The reference does so when no pong comes: nothing but the ping is heard until then.
    assert.deepEqual((await socket.closed()).filter((message) => message !== "2"), []);
    await isForgotten(server, socket);
  }],
];

/* Nobody is given up for its silence here: what ends ends by what the client does. */
const ends = [
  ["WebSocket: the closing handshake of RFC 6455", async (server) => {
    const socket = await openSocket(server);
    socket.raw.send({ opcode: OP.CLOSE, payload: Buffer.from([3, 232]) });
    assert.deepEqual(await socket.closed(), []);
    await isForgotten(server, socket);
  }],

  ["WebSocket: a connection that just ends", async (server) => {
    const socket = await openSocket(server);
    socket.end();
    await isForgotten(server, socket);
  }],
];

describeCases("heartbeat", targets, options, heartbeat, { beside: true });
describeCases("close", targets, options, close);
describeCases("ends", targets, patient, ends);
