"use strict";
// node -r ringcast-socket.io/register app.js, or node --import ringcast-socket.io/register app.js: every copy of the package socket.io
// that the application loads is attached to ringcast where it would have made an engine. RINGCAST_LINK_SECRET is needed,
// RINGCAST_LINK_DIAL (where the broker listens for links) and RINGCAST_LINK_RESUME=1 if wanted.
const Module = require("node:module");
const { attach } = require("./index.js");

const MAIN = /[\\/]socket\.io[\\/]dist[\\/]index\.js$/;
const { RINGCAST_LINK_RESUME: resume } = process.env;

// Not in Module._extensions, which loaders of TypeScript (tsx, ts-node) put their own into: this is behind them all.
const { load } = Module.prototype;
Module.prototype.load = function (filename) {
  load.call(this, filename);
  const { Server } = MAIN.test(filename) ? this.exports : {};
  if (!Server?.prototype?.initEngine) return;
  Server.prototype.initEngine = function (server, opts) {
    attach(this, server, { engine: opts, ...(resume !== undefined && { resume: resume === "1" }) });
  };
};
