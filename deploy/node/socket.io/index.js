"use strict";
// ringcast-socket.io: an existing Socket.IO server keeps its code, ringcast holds its clients. attach(io, httpServer, { secret }) takes
// the place of io.attach(httpServer): see README.md.
const { createServer } = require("node:http");
const { adapterOf } = require("./adapter.js");
const { Engine } = require("./engine.js");
const { Links } = require("./links.js");

const RECOVERY_MS = 2 * 60 * 1000; // socket.io's own
const DRAIN_MS = 2000; // for answers that clients wait for, when this process ends in good order

function settingsOf(io, { secret = process.env.RINGCAST_LINK_SECRET, path, resume, drain = DRAIN_MS, dial, tls, backend }) {
  const secrets = [secret ?? []].flat().filter(Boolean);
  if (secrets.length === 0) throw new Error("ringcast-socket.io: a secret is needed, the same as in [[backend]]: attach(io, server, { secret }) or RINGCAST_LINK_SECRET");
  const recovery = io.opts.connectionStateRecovery;
  const canResume = typeof io.sockets._createSocket === "function"; // socket.io 4.6
  if (resume && !canResume) throw new Error("ringcast-socket.io: resume needs socket.io 4.6 or later");
  return {
    secrets, path, backend, tls, drain,
    dial: [dial ?? process.env.RINGCAST_LINK_DIAL?.split(",") ?? []].flat(),
    resume: resume ?? Boolean(recovery && canResume),
    recovery: recovery ? recovery.maxDisconnectionDuration ?? RECOVERY_MS : 0,
  };
}

/* Has the application chosen an adapter, by its options or by io.adapter()? What socket.io itself takes is none: another server of its copy has
 * it, too. (By no name: bundlers change those.) */
function hasOwnAdapter(io) {
  let Server; // socket.io's own class, whatever the application derives from it
  for (let its = Object.getPrototypeOf(io); its !== null; its = Object.getPrototypeOf(its)) {
    if (Object.hasOwn(its, "adapter")) Server = its.constructor;
  }
  const { connectionStateRecovery } = io.opts;
  if (io.opts.adapter) return true;
  try {
    return io.adapter() !== new Server(undefined, { connectionStateRecovery }).adapter();
  } catch {
    // Bun's EventEmitter lists its constructor among its methods, and socket.io puts those over Server's own: then only names are left.
    return !["Adapter", "SessionAwareAdapter"].includes(io.adapter().name);
  }
}

/* Whatever adapter the application chooses later has all namespaces from there on: other processes do not wait for answers of ours. Nor does it say
 * what sockets are in: no client can be resumed. */
function giveWay(io, links, engine) {
  const { adapter } = io;
  io.adapter = function (...args) {
    const result = adapter.apply(io, args);
    if (args.length === 0) return result;
    links.settings.resume = false;
    engine.neverResume();
    for (const own of [...links.adapters.values()]) if (own.nsp.adapter !== own) own.close();
    return result;
  };
}

/* Binds the application's `io` (a Server of the package socket.io, 3.1.2 or later) to clients that ringcast holds. Returns what watches
 * the links: `links.size` of them, events `attach` and `detach`. */
function attach(io, server, options = {}) {
  if (typeof server === "function") throw new Error("ringcast-socket.io: attach needs an http.Server, not a request handler");
  const settings = settingsOf(io, options);
  const own = hasOwnAdapter(io);
  if (own && options.resume) throw new Error("ringcast-socket.io: resume needs its own adapter, and the application has chosen another one");
  settings.resume &&= !own;
  const links = new Links(settings);
  const engine = new Engine(io, links, { path: io.path(), ...io.opts, ...options.engine });
  links.engine = engine;
  // Another adapter that the application has chosen goes on working: each receiver is a frame then, not each broadcast.
  if (!own) io.adapter(adapterOf(links));
  giveWay(io, links, engine);
  if (server !== undefined && server !== null) {
    const httpServer = Number(server) == server ? createServer((_, response) => response.writeHead(404).end()).listen(Number(server)) : server;
    links.listen(httpServer);
    if (io.serveClient()) io.attachServe(httpServer);
    io.httpServer = httpServer;
  }
  for (const url of settings.dial) links.dial(url, settings.backend);
  io.eio = engine;
  io.bind(engine);
  if (settings.resume) {
    // A process that ends in good order leaves its clients to the next one.
    const { close } = io;
    io.close = async (...args) => {
      await links.drain();
      links.detach();
      return close.apply(io, args);
    };
  }
  return links;
}

module.exports = { attach };
