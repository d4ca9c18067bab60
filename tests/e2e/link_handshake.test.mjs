// What an application does with handshakes, and what else is at its port: middlewares of the engine, allowRequest, headers, cookies,
// connection_error, beside an ordinary server; files of the client, other upgrades.
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { io as connectClient } from "socket.io-client";
import WebSocket from "ws";
import { Application, testLink } from "./lib/link.mjs";
import { until, within } from "./lib/util.mjs";

const more = () => ({
  cookie: { name: "io", sameSite: "strict", maxAge: 60 },
  allowRequest: (req, done) => (req.url.includes("refused") ? done("no thanks", false) : setTimeout(done, 5, null, !req.url.includes("forbidden"))),
});

function setup({ io, state }) {
  state.errors = [];
  io.engine.on("connection_error", ({ req, code, message, context }) => state.errors.push([code, message, context.name ?? context.message ?? null, req.method, req.url.replace(/&t=.*|&sid=.*/, "")]));
  io.engine.on("initial_headers", (headers, req) => {
    headers["x-initial"] = req.headers["x-name"] ?? "nobody";
  });
  io.engine.use((req, res, next) => {
    if (req._query.sid) return next();
    res.setHeader("x-used", req.method);
    res.setHeader("set-cookie", "used=1");
    if (req.url.includes("own")) return res.writeHead(401, { "content-type": "text/x-own" }).end("my own answer");
    next(req.url.includes("broken") ? new Error("broken") : undefined);
  });
  io.on("connection", (socket) => socket.on("echo", (value, done) => done(value)));
}

const SHOWN = ["x-initial", "x-used", "set-cookie", "content-type"];

/* The answer to a request: status, what it says, those of its headers. */
async function answer(url, query, { upgrade = false, method = "GET", path = "" } = {}) {
  const headers = { "x-name": "ann", ...(upgrade && { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" }) };
  const out = request(`${url}/socket.io/${path}?EIO=4&transport=${upgrade ? "websocket" : "polling"}${query}`, { method, agent: false, headers });
  out.on("error", () => {});
  out.end();
  const [response, socket] = await within(15000, Promise.race([once(out, "response"), once(out, "upgrade")]), query);
  let body = "";
  if (response.statusCode === 101) socket.destroy();
  else for await (const part of response) body += part;
  const shown = Object.fromEntries(SHOWN.filter((name) => name in response.headers).map((name) => [name, response.headers[name]]));
  if (shown["set-cookie"]) shown["set-cookie"] = shown["set-cookie"].map((value) => value.replace(/^io=[^;]+/, "io=SID")).sort();
  return { status: response.statusCode, body: body.startsWith("0{") ? Object.keys(JSON.parse(body.slice(1))).sort() : body, ...shown };
}

const REQUESTS = [
  ["", {}], ["&refused", {}], ["&forbidden", {}], ["&broken", {}], ["&own", {}], ["&sid=unknown", {}], ["", { method: "POST" }], ["", { upgrade: true }], ["&refused", { upgrade: true }], ["&forbidden", { upgrade: true }], ["&broken", { upgrade: true }],
  ["", { path: "default/" }], ["", { path: "default/deeper", upgrade: true }], ["&sid=unknown", { path: "x" }],
];

testLink("handshakes: middlewares, allowRequest, headers and cookies as of an ordinary server", { application: { setup, more }, timeout: 60000 }, async ({ broker, app }) => {
  const plain = await new Application({ setup, more, link: false }).start();
  try {
    for (const [query, how] of REQUESTS) {
      const [expected, seen] = [await answer(plain.url, query, how), await answer(`http://${broker.host}`, query, how)];
      // What a middleware had set before the refusal of an upgrade is not in engine.io's answer; here it is. What is no handshake is refused here.
      if (how.upgrade && expected.status !== 101) for (const name of ["x-used", "set-cookie"]) delete seen[name];
      if (how.method) for (const name of ["x-used", "set-cookie"]) delete expected[name];
      assert.deepEqual(seen, expected, `${how.method ?? "GET"} ${query} ${how.upgrade ? "websocket" : ""}`);
    }
    const errors = ([code, message, , method, url]) => JSON.stringify([code, message, method, url]);
    // Of its own refusals; what ringcast refuses by itself it does not hear of.
    const own = ([code]) => code === 3 || code === 4;
    const wanted = (await plain.call(({ state }) => state.errors)).filter(own).map(errors).sort();
    assert.equal(wanted.length, 6, `${wanted}`);
    assert.deepEqual((await app.call(({ state }) => state.errors)).filter(own).map(errors).sort(), wanted);
    for (const transports of [["polling"], ["websocket"]]) {
      const socket = connectClient(`http://${broker.host}`, { transports, forceNew: true });
      assert.equal(await within(15000, new Promise((done, failed) => socket.once("connect_error", failed).emit("echo", "x", done)), "an answer"), "x");
      socket.disconnect();
    }
  } finally {
    await plain.stop();
  }
});

testLink("handshakes: who begins to ask later is asked from then on", { application: { setup: () => {} }, timeout: 30000 }, async ({ broker, app }) => {
  assert.equal((await answer(`http://${broker.host}`, "")).status, 200);
  await app.call(({ io }) => io.engine.use((req, res, next) => res.writeHead(403).end("closed")));
  await until("it is asked", async () => (await answer(`http://${broker.host}`, "")).body === "closed");
});

function port({ io, server, state, require }) {
  const { WebSocketServer } = require("ws");
  state.upgrades = 0;
  server.on("upgrade", () => state.upgrades++);
  new WebSocketServer({ server, path: "/own" }).on("connection", (socket) => socket.on("message", (data) => socket.send(`own ${data}`)));
  io.on("connection", (socket) => socket.on("echo", (value, done) => done(value)));
}

testLink("the application's port: its own WebSockets, pages and the client's files are there as before", { application: { setup: port }, timeout: 30000 }, async ({ broker, app }) => {
  const socket = connectClient(`http://${broker.host}`, { transports: ["websocket"], forceNew: true });
  assert.equal(await within(15000, new Promise((done) => socket.emit("echo", 1, done)), "an answer"), 1);
  assert.equal(await app.call(({ state }) => state.upgrades), 0, "other listeners do not see the links");
  const own = new WebSocket(`${app.url.replace("http", "ws")}/own`);
  await within(15000, once(own, "open"), "its own WebSocket");
  own.send("socket");
  assert.equal(String((await within(15000, once(own, "message"), "its answer"))[0]), "own socket");
  own.close();
  const file = await fetch(`${app.url}/socket.io/socket.io.js`);
  assert.equal(file.status, 200);
  assert.match(await file.text(), /Socket\.IO v4/);
  assert.equal((await fetch(`${app.url}/elsewhere`)).status, 404);
  socket.disconnect();
});
