// What real applications put beside Socket.IO, behind a link: passport over express-session; and loaders that `register` has to live with. Clients
// see what they see without ringcast. Whole applications: link_examples.test.mjs.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { io as connectClient } from "socket.io-client";
import { Application, folderOf, testLink } from "./lib/link.mjs";
import { until, within } from "./lib/util.mjs";

/* As tsx and ts-node do: their own way of loading .js, put in place behind `register`. */
const LOADER = `
const Module = require("node:module");
const { readFileSync } = require("node:fs");
Module._extensions[".js"] = (module, filename) => module._compile(readFileSync(filename, "utf8"), filename);
`;
const loader = join(await folderOf(), "late_loader.cjs");
writeFileSync(loader, LOADER);

const connected = (url, options) => {
  const socket = connectClient(url, { transports: ["websocket"], forceNew: true, reconnection: false, ...options });
  return within(15000, new Promise((done) => socket.once("connect", () => done(socket)).once("connect_error", ({ message }) => (socket.disconnect(), done(message)))), "a client comes");
};

/* The same of a plain server and of one behind ringcast. */
function same(name, { application, timeout = 60000 }, story) {
  testLink(`${name}: the same as without ringcast`, { application, timeout }, async ({ broker, app }) => {
    const plain = await new Application({ ...application, link: false }).start();
    try {
      const expected = await story(plain.url, plain.url);
      assert.ok(expected.length > 3, "there was something to see");
      assert.deepEqual(await story(`http://${broker.host}`, app.url), expected);
    } finally {
      await plain.stop();
    }
  });
}

function withPassport({ io, require, server }) {
  const session = require("express-session")({ secret: "s", resave: false, saveUninitialized: false });
  const passport = new (require("passport").Passport)();
  passport.serializeUser((user, done) => done(null, user.name));
  passport.deserializeUser((name, done) => done(null, { name, of: "the store" }));
  passport.use("name", Object.assign(new (require("passport").Strategy)(), {
    authenticate({ headers }) {
      if (headers["x-name"]) this.success({ name: headers["x-name"] });
      else this.fail(401);
    },
  }));
  const chain = [session, passport.initialize(), passport.session()];
  const run = (list, request, response, then) => (list.length === 0 ? then() : list[0](request, response, (error) => (error ? then(error) : run(list.slice(1), request, response, then))));
  const before = server.listeners("request");
  server.removeAllListeners("request");
  server.on("request", (request, response) => {
    if (!request.url.startsWith("/login")) return before.forEach((listener) => listener.call(server, request, response));
    run([...chain, passport.authenticate("name")], request, response, (error) => response.writeHead(error ? 500 : 200).end("in"));
  });
  for (const handler of chain) io.engine.use((request, response, next) => handler(request, response, next));
  io.use(({ request }, next) => (request.isAuthenticated() ? next() : next(new Error("not logged in"))));
  io.on("connection", (socket) => {
    const { session: its, user } = socket.request;
    socket.on("who", (done) => done(user, its.passport));
    socket.on("count", (done) => its.reload(() => {
      its.count = (its.count ?? 0) + 1;
      its.save(() => done(its.count));
    }));
  });
}

same("passport and express-session", { application: { setup: withPassport } }, async (url, loginUrl) => {
  const seen = [await connected(url)];
  const response = await fetch(`${loginUrl}/login`, { headers: { "x-name": "ann" } });
  const cookie = response.headers.get("set-cookie")?.split(";")[0];
  seen.push(response.status, (await fetch(`${loginUrl}/login`)).status);
  for (const transports of [["websocket"], ["polling"]]) {
    const socket = await connected(url, { transports, extraHeaders: { cookie } });
    const ask = (name) => within(10000, new Promise((done) => socket.emit(name, (...answer) => done(answer))), name);
    seen.push(await ask("who"), await ask("count"), await ask("count"));
    socket.disconnect();
  }
  return seen;
});

function echoes({ io }) {
  io.on("connection", (socket) => socket.on("echo", (value, done) => done(value)));
}

testLink("register works beside loaders that come later", { application: { setup: (context) => (context.links = context.io.engine.links), register: [loader] } }, async ({ broker, app }) => {
  await app.call(String(echoes));
  const socket = await connected(`http://${broker.host}`);
  assert.equal(await within(10000, new Promise((done) => socket.emit("echo", 1, done)), "an answer"), 1);
  assert.equal(await app.call(({ io }) => io.engine.clientsCount), 1);
  socket.disconnect();
});

testLink("who comes to the application's own port is told so, where nobody else answers", {}, async ({ app }) => {
  const port = await app.call(({ require, state }) => {
    const { Server } = require("socket.io");
    state.server = require("node:http").createServer();
    require("ringcast-socket.io").attach(new Server(), state.server, { secret: "another-one-of-16" });
    return new Promise((done) => state.server.listen(0, "127.0.0.1", () => done(state.server.address().port)));
  });
  const ask = (path) => fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(10000) });
  const answer = await ask("/socket.io/?EIO=4&transport=polling");
  assert.deepEqual([answer.status, (await answer.json()).code], [400, 3]);
  assert.equal((await ask("/socket.io/socket.io.js")).status, 200, "client files are there");
  await app.call(({ state }) => void state.server.on("request", (_, response) => response.end("the application")));
  assert.equal(await (await ask("/another")).text(), "the application");
});

/* Clients may come as soon as `attach` is said. */
function withOwnAdapter({ io, links, state }) {
  state.attached = 0;
  links.on("attach", () => state.attached++);
  io.on("connection", (socket) => {
    socket.join("room");
    socket.on("say", (what, done) => (io.to("room").except(socket.id).emit("said", what), done()));
  });
}
const ownAdapter = ({ require }) => ({ adapter: class extends require("socket.io-adapter").Adapter {} });

testLink("an adapter of the application's own", { application: { setup: withOwnAdapter, more: ownAdapter } }, async ({ broker, app }) => {
  await until("ringcast has said so, of each worker", async () => (await app.call(({ state }) => state.attached)) === 2);
  const [ann, bob] = [await connected(`http://${broker.host}`), await connected(`http://${broker.host}`, { transports: ["polling"] })];
  const heard = within(10000, new Promise((done) => bob.once("said", done)), "bob hears it");
  await within(10000, new Promise((done) => ann.emit("say", "hello", done)), "ann is answered");
  assert.equal(await heard, "hello");
  assert.equal((await broker.metrics())("ringcast_link_adapters"), 0, "nothing of ours is in a namespace");
  for (const socket of [ann, bob]) socket.disconnect();
});
