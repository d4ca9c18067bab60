// Engine.IO v4, case by case, at the level of bytes: from polling to WebSocket.
// Against engine.io itself and ringcast; what is sent is echoed.
import { PING_INTERVAL, UPGRADE_TIMEOUT, echo, isError, options, patient, settle, targets } from "./lib/engineio.mjs";
import { EngineSocket, Late, askUpgrade, assert, describeCases, openPolling, openSocket, openUpgrade, tookBetween, until } from "./lib/socketio.mjs";

/* A session whose probe was answered, the waiting poll ended, and which is a WebSocket now. */
async function upgraded(server) {
  const polling = await openPolling(server);
  const socket = await openUpgrade(server, polling.sid);
  socket.send("2probe");
  await socket.expect("3probe");
  socket.send("5");
  return { polling, socket };
}

const upgrade = [
  ["from polling to WebSocket, the next poll is ended by a noop", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    const answer = await session.get();
    assert.deepEqual([answer.status, answer.body], [200, "6"]);
    socket.send("5", "4hello");
    await socket.expect("4hello");
    socket.end();
  }],

  ["a poll that waits is ended by a noop", async (server) => {
    const session = await openPolling(server);
    const waiting = session.get();
    await settle();
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    const answer = await waiting;
    assert.deepEqual([answer.status, answer.body], [200, "6"]);
    socket.send("5");
    await echo(socket, "4hello");
    socket.end();
  }],

  ["polls and posts are refused after it", async (server) => {
    const { polling: session, socket } = await upgraded(server);
    await echo(socket, "4first"); // the 5 has been seen
    isError(await session.get(), 3);
    isError(await session.post("4x"), 3);
    await echo(socket, "4hello");
    socket.end();
  }],

  ["probe and upgrade in one go", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe", "5", "4hello");
    await socket.expect("3probe", "4hello");
    assert.equal((await session.get()).status, 400);
    socket.end();
  }],

  ["another WebSocket with the sid is closed, the first one unharmed", async (server) => {
    const { polling: session, socket } = await upgraded(server);
    await echo(socket, "4first");
    const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "websocket", sid: session.sid });
    if (response?.status === 101) assert.deepEqual(await new EngineSocket(server, raw, response).closed(), []);
    else await raw.rest();
    await echo(socket, "4hello");
    socket.end();
  }],

  ["a second probe while one is there is closed, the first one upgrades", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "websocket", sid: session.sid });
    if (response?.status === 101) assert.deepEqual(await new EngineSocket(server, raw, response).closed(), []);
    else await raw.rest();
    socket.send("5");
    await echo(socket, "4hello");
    socket.end();
  }],

  ["a session that began as a WebSocket has none to upgrade to", async (server) => {
    const socket = await openSocket(server);
    const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "websocket", sid: socket.handshake.sid });
    // The reference keeps that one open and mute until the time for upgrades is over.
    if (response?.status === 101) assert.deepEqual(await new EngineSocket(server, raw, response).closed(), []);
    else await raw.rest();
    socket.end();
  }],

  ["messages before it come by polling, those that wait by WebSocket, none twice, in order", async (server) => {
    const session = await openPolling(server);
    await session.send("41", "42");
    assert.equal((await session.get()).body, "41\x1e42");
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    assert.equal((await session.get()).body, "6");
    await session.send("43", "44");
    await session.send("bAQID");
    socket.send("5", "45");
    await socket.expect("43", "44", Buffer.from([1, 2, 3]), "45");
    socket.end();
  }],

  ["polling goes on while the probe is there", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    await session.send("41");
    assert.equal((await session.get()).body, "41");
    socket.send("2probe");
    await socket.expect("3probe");
    await session.send("42");
    assert.deepEqual((await session.packets(1)).at(-1), "42");
    socket.send("5");
    await echo(socket, "43");
    socket.end();
  }],

  ["a probe's socket that says something else is closed, polling goes on", async (server) => {
    for (const wrong of ["4hello", "2", "2prob", "1", "3probe", "abc", Buffer.from([1])]) {
      const session = await openPolling(server);
      const socket = await openUpgrade(server, session.sid);
      socket.send(wrong);
      assert.deepEqual(await socket.closed(), [], `after ${wrong}`);
      await session.send("4on");
      assert.equal((await session.packets(1)).at(-1), "4on");
    }
  }],

  ["a probe's socket that ends leaves polling as it was, and another may come", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    socket.end();
    await session.send("4on");
    assert.equal((await session.packets(1)).at(-1), "4on");
    const again = await until("another may come", async () => { // once it is seen that the first one has ended
      const next = await openUpgrade(server, session.sid);
      next.send("2probe");
      await next.expect("3probe");
      return next;
    });
    again.send("5");
    await echo(again, "4hello");
    again.end();
  }],

  ["a session that is closed by POST takes its probe along", async (server) => {
    const session = await openPolling(server);
    const socket = await openUpgrade(server, session.sid);
    socket.send("2probe");
    await socket.expect("3probe");
    await session.send("1");
    assert.deepEqual(await socket.closed(), []);
    await session.isGone();
  }],
];

/* Those are about times. */
const timed = [
  ["not completed in time: the probe's socket is closed, polling goes on", async (server) => {
    for (const probe of [["2probe"], []]) {
      const session = await openPolling(server);
      const since = performance.now();
      const socket = await openUpgrade(server, session.sid);
      socket.send(...probe);
      let ended = false;
      const closing = socket.closed().then((messages) => {
        ended = true;
        return messages;
      });
      while (!ended) {
        const { body } = await session.get();
        if (body === "2") await session.send("3");
        else assert.equal(body, "6");
      }
      assert.deepEqual(await closing, probe.length ? ["3probe"] : []);
      tookBetween(performance.now() - since, UPGRADE_TIMEOUT - 50, UPGRADE_TIMEOUT + PING_INTERVAL + 200, "an end");
      await session.send("4on");
      assert.equal((await session.packets(1)).at(-1), "4on");
    }
  }],

  ["the heartbeat goes on over the WebSocket", async (server) => {
    const { socket } = await upgraded(server);
    for (let i = 0; i < 3; i++) {
      const message = await socket.next();
      if (message === null) throw new Late("its answer");
      assert.equal(message, "2");
      socket.send("3");
    }
    assert.deepEqual(await socket.closed(), ["2"]);
  }],
];

describeCases("upgrade", targets, { ...patient, upgradeTimeout: 3000 }, upgrade);
describeCases("upgrade, in time", targets, options, timed);
