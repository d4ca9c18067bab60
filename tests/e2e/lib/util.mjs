// Small things that all end-to-end tests use. No sleep stands for "by now it must have happened": until() polls for
// what was expected and fails with its name when the time is up.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const BIN_DIR = resolve(ROOT, process.env.RINGCAST_BIN_DIR || "build");
// Programs built with a sanitizer are several times slower; only time limits and rates look at this, never what is checked.
export const SANITIZED = /^(asan|tsan)$/.test(basename(BIN_DIR));
// RINGCAST_SLOWER: where the machine is (tests/kernel).
export const SLOWER = Number(process.env.RINGCAST_SLOWER) || (SANITIZED ? 4 : 1);

export const delay = (ms) => new Promise((done) => setTimeout(done, ms));

/* Rejects when the promise takes longer than ms (stretched for sanitized programs). */
export function within(ms, promise, what) {
  let timer;
  const limit = ms * SLOWER;
  const late = new Promise((_, reject) => {
    // The stack of the caller, not of the timer.
    const error = new Error(`not within ${limit} ms: ${what}`);
    timer = setTimeout(() => reject(error), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/* Calls check() until it gives something truthy, which is returned. What it throws counts as "not yet". */
export async function until(what, check, options = {}) {
  const { timeout = 10000, every = 10, ...rest } = options;
  if (typeof options !== "object" || Object.keys(rest).length > 0) throw new TypeError(`until: no options: ${JSON.stringify(options)}`);
  const error = new Error();
  const deadline = performance.now() + timeout * SLOWER;
  let last;
  for (;;) {
    try {
      const value = await check();
      if (value) return value;
      last = `last: ${JSON.stringify(value)}`;
    } catch (failure) {
      last = `last: ${failure.message}`;
    }
    if (performance.now() > deadline) {
      error.message = `not within ${timeout * SLOWER} ms: ${what} (${last})`;
      throw error;
    }
    await delay(every);
  }
}

/*
 * Ports. Below what the kernel gives to outgoing connections (ip_local_port_range begins at 32768), so that none of these takes one
 * between the choice and the listening, and in blocks: each test process holds the first port of a block for as long as it lives, and
 * the others of that block are its own. 10,000 above each of them is free as well: the bus of a Redis Cluster's node.
 */
const PORT_FIRST = 10240;
const PORT_END = 20240;
const PORT_BLOCK = 50;
let block = { next: 0, end: 0 };
let picking = Promise.resolve();

function listens(port, host) {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(null));
    server.listen({ port, host, exclusive: true }, () => done(server));
  });
}

async function takeBlock() {
  const count = (PORT_END - PORT_FIRST) / PORT_BLOCK;
  const from = Math.floor(Math.random() * count);
  for (let i = 0; i < count; i++) {
    const first = PORT_FIRST + ((from + i) % count) * PORT_BLOCK;
    const holder = await listens(first, "127.0.0.1");
    if (holder) {
      holder.unref();
      holder.on("connection", (socket) => socket.destroy());
      block = { next: first + 1, end: first + PORT_BLOCK };
      return;
    }
  }
  throw new Error("no free block of ports");
}

async function pickPort() {
  for (;;) {
    if (block.next === block.end) await takeBlock();
    const port = block.next++;
    const probe = await listens(port, "127.0.0.1"); // something that is no test of ours may be there
    if (probe) {
      await new Promise((done) => probe.close(done));
      return port;
    }
  }
}

/* A port that nobody listens on and nobody else will. Never the same one twice. */
export function freePort() {
  picking = picking.then(pickPort, pickPort);
  return picking;
}

/* A small repeatable random generator (mulberry32), so that a failure's seed can be tried again: RINGCAST_SEED=n. */
export const SEED = Number(process.env.RINGCAST_SEED || Date.now() % 1000000007);
export function random(seed = SEED) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
  next.below = (limit) => Math.floor(next() * limit);
  next.pick = (list) => list[next.below(list.length)];
  return next;
}

/* The text of a member of a JSON object exactly as written, or undefined: what JSON.parse would lose (1e400, white space). */
export function rawMember(json, name) {
  let at = json.indexOf("{") + 1;
  const skipString = () => {
    for (at++; json[at] !== '"'; at++) if (json[at] === "\\") at++;
    at++;
  };
  const skipValue = () => {
    let depth = 0;
    for (; at < json.length; ) {
      const c = json[at];
      if (c === '"') {
        skipString();
        continue;
      }
      if (depth === 0 && (c === "," || c === "}" || c === "]")) return;
      if (c === "{" || c === "[") depth++;
      if (c === "}" || c === "]") depth--;
      at++;
    }
  };
  const skipSpace = () => {
    while (" \t\r\n".includes(json[at])) at++;
  };
  for (;;) {
    skipSpace();
    if (json[at] !== '"') return undefined;
    const keyFrom = at;
    skipString();
    const key = JSON.parse(json.slice(keyFrom, at));
    skipSpace();
    at++; // the colon
    skipSpace();
    const from = at;
    skipValue();
    if (key === name) return json.slice(from, at).trimEnd();
    at++; // the comma
  }
}

/* Runs a program to its end: { code, stdout, stderr }. */
export function program(command, args, { input = "", timeout = 15000 } = {}) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
  const result = { stdout: "", stderr: "" };
  child.stdout.on("data", (bytes) => (result.stdout += bytes));
  child.stderr.on("data", (bytes) => (result.stderr += bytes));
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const ended = new Promise((done, failed) => {
    child.once("error", failed);
    child.once("close", (code) => done({ ...result, code }));
  });
  return within(timeout, ended, `${command} ${args.join(" ")} ends`).finally(() => child.kill("SIGKILL"));
}
