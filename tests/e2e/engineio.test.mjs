// Engine.IO v4, case by case, at the level of bytes: how sessions are opened, and what options change.
// Against engine.io itself and ringcast; what is sent is echoed.
import { MAX_PAYLOAD, echo, get, isError, isRefused, patient as options, targets } from "./lib/engineio.mjs";
import { EngineSocket, Polling, ask, askUpgrade, assert, describeCases, openPolling, openSocket } from "./lib/socketio.mjs";

const KEYS = ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"];

/* --- handshake ----------------------------------------------------------------------------------------------------------- */

const handshake = [
  ["polling: a GET opens a session", async (server) => {
    const polling = new Polling(server);
    const answer = await polling.open();
    assert.match(answer.headers["content-type"], /^text\/plain; charset=utf-8$/i);
    assert.equal(Number(answer.headers["content-length"]), answer.bytes.length);
    assert.equal(answer.headers["cache-control"], "no-store");
    assert.equal(answer.headers["set-cookie"], undefined);
    const { handshake: value } = polling;
    assert.deepEqual(Object.keys(value).sort(), KEYS);
    assert.match(value.sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual(value, { sid: value.sid, upgrades: ["websocket"], pingInterval: options.pingInterval, pingTimeout: options.pingTimeout, maxPayload: MAX_PAYLOAD });
    assert.doesNotMatch(answer.body.replace(value.sid, ""), /[.\s]/, "whole numbers, no white space");
    assert.deepEqual(polling.early, []);
  }],

  ["polling: every session has an id of its own", async (server) => {
    const sids = await Promise.all(Array.from({ length: 20 }, async () => (await openPolling(server)).sid));
    assert.equal(new Set(sids).size, 20);
  }],

  ["polling: EIO is missing or another", async (server) => {
    for (const eio of ["", "EIO=abc&", "EIO=3&", "EIO=5&", "EIO=&", "EIO=44&", "eio=4&"]) isError(await get(server, `${eio}transport=polling`), 5);
  }],

  ["polling: transport is missing or another", async (server) => {
    for (const transport of ["", "&transport=", "&transport=abc", "&transport=webtransport", "&transport=Polling", "&transport=__proto__"]) {
      isError(await get(server, `EIO=4${transport}`), 0);
    }
    isError(await get(server, "EIO=3&transport=abc"), 0); // looked at first
  }],

  ["polling: other methods than GET without a sid", async (server) => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) isError(await ask(server, method, `${server.path}?EIO=4&transport=polling`), 2);
    isError(await ask(server, "POST", `${server.path}?EIO=4&transport=polling`, { body: "4hello" }), 2);
  }],

  ["polling: transport=websocket by a plain GET", async (server) => {
    isError(await get(server, "EIO=4&transport=websocket"), 3);
  }],

  ["polling: sids that are none", async (server) => {
    const unknown = ["abc", "__proto__", "constructor", "toString", "hasOwnProperty", "A".repeat(20), "A".repeat(2000), "%00", "..%2f", "%c3%a9", "%zz"];
    for (const sid of unknown) isError(await get(server, `EIO=4&transport=polling&sid=${sid}`), 1);
    isError(await ask(server, "POST", `${server.path}?EIO=4&transport=polling&sid=__proto__`, { body: "4x" }), 1);
    isError(await get(server, "EIO=4&transport=websocket&sid=abc"), 1);
  }],

  ["polling: a sid with one character changed is unknown", async (server) => {
    const { sid } = await openPolling(server);
    for (const at of [0, 5, 10, 19]) {
      const other = sid.slice(0, at) + (sid[at] === "A" ? "B" : "A") + sid.slice(at + 1);
      isError(await get(server, `EIO=4&transport=polling&sid=${other}`), 1);
    }
  }],

  ["polling: an empty sid is none", async (server) => {
    const answer = await get(server, "EIO=4&transport=polling&sid=");
    assert.equal(answer.status, 200);
    assert.match(answer.body, /^0\{/);
  }],

  ["polling: with a sid, another protocol or transport", async (server) => {
    const polling = await openPolling(server);
    isError(await get(server, `transport=polling&sid=${polling.sid}`), 3);
    isError(await get(server, `EIO=3&transport=polling&sid=${polling.sid}`), 3);
    isError(await get(server, `EIO=4&transport=abc&sid=${polling.sid}`), 0);
    isError(await get(server, `EIO=4&transport=websocket&sid=${polling.sid}`), 3);
    await polling.send("4still here");
    assert.equal(await polling.packet(), "4still here");
  }],

  ["polling: parameters in any order, encoded, with others among them", async (server) => {
    const answer = await get(server, "t=abc&transport=%70olling&b64=1&EIO=%34&x=%zz&flag");
    assert.match(answer.body, /^0\{/);
    const { sid } = JSON.parse(answer.body.slice(1));
    const posted = await ask(server, "POST", `${server.path}?sid=${sid}&t=1&transport=polling&EIO=4`, { body: "4ok" });
    assert.equal(posted.body, "ok");
    assert.equal((await get(server, `sid=${sid}&EIO=4&transport=polling&t=2`)).body, "4ok");
  }],

  ["polling: other methods with a sid are answered 500 and harm nothing", async (server) => {
    const polling = await openPolling(server);
    assert.equal((await polling.request("PUT", { body: "4x" })).status, 500);
    assert.equal((await polling.request("DELETE")).status, 500);
    await polling.send("4y");
    assert.equal(await polling.packet(), "4y");
  }],

  ["the slash at the end of the path makes no difference", async (server) => {
    const answer = await ask(server, "GET", `${server.path.slice(0, -1)}?EIO=4&transport=polling`);
    assert.match(answer.body, /^0\{/);
    const { sid } = JSON.parse(answer.body.slice(1));
    assert.equal((await ask(server, "POST", `${server.path.slice(0, -1)}?EIO=4&transport=polling&sid=${sid}`, { body: "4x" })).body, "ok");
    assert.equal((await get(server, `EIO=4&transport=polling&sid=${sid}`)).body, "4x");
  }, "ringcast"],

  ["WebSocket: opens a session", async (server) => {
    const socket = await openSocket(server);
    assert.deepEqual(Object.keys(socket.handshake).sort(), KEYS);
    const { sid } = socket.handshake;
    assert.match(sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual(socket.handshake, { sid, upgrades: [], pingInterval: options.pingInterval, pingTimeout: options.pingTimeout, maxPayload: MAX_PAYLOAD });
    assert.doesNotMatch(socket.open.replace(sid, ""), /[.\s]/);
    isError(await get(server, `EIO=4&transport=polling&sid=${sid}`), 3);
    socket.end();
  }],

  ["WebSocket: EIO is missing or another", async (server) => {
    for (const query of [{}, { EIO: "abc" }, { EIO: "3" }]) {
      // The reference has accepted the WebSocket by then, and ends it in an unclean way.
      const { raw, response } = await askUpgrade(server, { ...query, transport: "websocket" });
      assert.ok([101, 400].includes(response?.status));
      assert.doesNotMatch((await raw.rest()).toString(), /"sid"/);
    }
  }],

  ["WebSocket: transport is missing or another", async (server) => {
    await isRefused(server, { EIO: "4" }, 0);
    await isRefused(server, { EIO: "4", transport: "abc" }, 0);
    await isRefused(server, { EIO: "4", transport: "webtransport" }, 0);
  }],

  ["WebSocket: an unknown sid", async (server) => {
    for (const sid of ["abc", "__proto__", "B".repeat(20)]) await isRefused(server, { EIO: "4", transport: "websocket", sid }, 1);
  }],

  ["WebSocket: an upgrade request for transport=polling opens nothing", async (server) => {
    const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "polling" });
    assert.ok([101, 400].includes(response?.status));
    if (response.status === 101) assert.deepEqual(await new EngineSocket(server, raw, response).closed(), []);
    else await raw.rest();
  }],
];

describeCases("handshake", targets, options, handshake);

/* --- options -------------------------------------------------------------------------------------------------------------- */

describeCases("no compression of polls", targets, { ...options, httpCompression: false }, [
  ["answers leave as they are", async (server) => {
    const session = await openPolling(server);
    const text = `4${"abc ".repeat(2000)}`;
    await session.send(text);
    const answer = await session.get({ headers: { "Accept-Encoding": "gzip" } });
    assert.equal(answer.headers["content-encoding"], undefined);
    assert.equal(answer.body, text);
  }],
]);

describeCases("cookie", targets, { ...options, cookie: { name: "io" } }, [
  ["the handshake sets it, and nothing else does", async (server) => {
    const session = new Polling(server);
    const answer = await session.open();
    assert.deepEqual(answer.headers["set-cookie"], [`io=${session.sid}; Path=/; HttpOnly; SameSite=Lax`]);
    const posted = await session.post("4x");
    assert.equal(posted.headers["set-cookie"], undefined);
    assert.equal((await session.get()).headers["set-cookie"], undefined);
  }],
]);

const PAGE = "https://app.example";
describeCases("CORS", targets, { ...options, cors: { origin: PAGE, credentials: true } }, [
  ["pages of the origin may read, with credentials; pages of others may not", async (server) => {
    const session = new Polling(server, { headers: { Origin: PAGE } });
    const opened = await session.open();
    const posted = await session.post("4x");
    for (const answer of [opened, posted, await session.get(), await get(server, "EIO=4&transport=abc", { headers: { Origin: PAGE } })]) {
      assert.equal(answer.headers["access-control-allow-origin"], PAGE);
      assert.equal(answer.headers["access-control-allow-credentials"], "true");
    }
    const other = await get(server, "EIO=4&transport=polling", { headers: { Origin: "https://evil.example" } });
    assert.notEqual(other.headers["access-control-allow-origin"], "https://evil.example");
    assert.notEqual(other.headers["access-control-allow-origin"], "*");
  }],
  ["preflight", async (server) => {
    const answer = await ask(server, "OPTIONS", `${server.path}?EIO=4&transport=polling`, {
      headers: { Origin: PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type" },
    });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers["access-control-allow-origin"], PAGE);
    assert.equal(answer.headers["access-control-allow-credentials"], "true");
    assert.match(answer.headers["access-control-allow-methods"], /\bPOST\b/);
    assert.match(answer.headers["access-control-allow-headers"], /content-type/i);
  }],
]);

describeCases("only WebSocket", targets, { ...options, transports: ["websocket"] }, [
  ["polling is an unknown transport", async (server) => {
    isError(await get(server, "EIO=4&transport=polling"), 0);
    const socket = await openSocket(server);
    await echo(socket, "4x");
    socket.end();
  }],
]);

describeCases("only polling", targets, { ...options, transports: ["polling"] }, [
  ["nothing to upgrade to, and no WebSocket", async (server) => {
    const session = await openPolling(server);
    assert.deepEqual(session.handshake.upgrades, []);
    await session.send("4x");
    assert.equal(await session.packet(), "4x");
    const { raw, response } = await askUpgrade(server, { EIO: "4", transport: "websocket" });
    assert.notEqual(response?.status, 101);
    raw.end();
  }],
]);

describeCases("a small max_payload", targets, { ...options, maxPayload: 1000 }, [
  ["is told, and kept", async (server) => {
    const session = await openPolling(server);
    assert.equal(session.handshake.maxPayload, 1000);
    await session.send(`4${"x".repeat(999)}`);
    assert.equal((await session.packet()).length, 1000);
    assert.equal((await session.post(`4${"x".repeat(1000)}`)).status, 413);
    const socket = await openSocket(server);
    await echo(socket, `4${"x".repeat(999)}`);
    socket.send(`4${"x".repeat(1000)}`);
    assert.deepEqual((await socket.closed()).filter((message) => message !== "2"), []);
  }],
]);
