// In Node: its own WebSocket (Node 22 and later have one), else that of the package ws, where it is installed.
"use strict";
const Ringcast = require("./ringcast.js");

if (!globalThis.WebSocket) {
  try {
    Ringcast.WebSocket = require("ws").WebSocket;
  } catch (error) {
    // Without it the first connect() says what is missing.
    if (error.code !== "MODULE_NOT_FOUND") throw error;
  }
}
module.exports = Ringcast;
