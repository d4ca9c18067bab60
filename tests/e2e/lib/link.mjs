// Applications behind a link: the package ringcast-socket.io as `npm pack` makes it, in a folder of its own beside the package socket.io
// of the version that is wanted, and the processes that run there.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { testBroker } from "./broker.mjs";
import { BIN_DIR, ROOT, freePort, program, until, within } from "./util.mjs";

const SHIM = join(ROOT, "deploy/node/socket.io");
const MODULES = join(ROOT, "tests/node_modules");
const folders = new Map(); // version -> promise of its folder
const made = [];

const running = new Set();

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

/* What npm packs of the package, in a file called after what it was packed of: dozens of test processes need it, and npm takes a second of a processor for it.
 * Some may make it at the same time; it is there when it is whole. */
async function packedShim() {
  const files = readdirSync(SHIM, { recursive: true }).map(String).sort().map((name) => join(SHIM, name)).filter((path) => statSync(path).isFile());
  const sum = createHash("sha256").update(process.version);
  for (const path of files) sum.update(`\0${path}\0${statSync(path).mode}\0`).update(readFileSync(path));
  const folder = join(ROOT, "build/packed");
  const packed = join(folder, `${sum.digest("hex").slice(0, 32)}.tgz`);
  if (existsSync(packed)) return packed;
  mkdirSync(folder, { recursive: true });
  const making = mkdtempSync(join(folder, "making-"));
  try {
    const { code, stderr } = await program("npm", ["pack", SHIM, "--silent", "--pack-destination", making], { timeout: 60000 });
    const [name] = readdirSync(making).filter((file) => file.endsWith(".tgz"));
    if (code !== 0 || !name) throw new Error(`npm pack: ${stderr}`);
    renameSync(join(making, name), packed);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return packed;
}

async function makeFolder(version) {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-link-"));
  made.push(folder);
  const modules = join(folder, "node_modules");
  mkdirSync(modules);
  for (const name of readdirSync(MODULES)) if (!name.startsWith(".") && name !== "socket.io") symlinkSync(join(MODULES, name), join(modules, name));
  symlinkSync(join(MODULES, version), join(modules, "socket.io"));
  const unpacked = await program("tar", ["-xzf", await packedShim(), "-C", folder]);
  if (unpacked.code !== 0) throw new Error(`tar: ${unpacked.stderr}`);
  symlinkSync(join(folder, "package"), join(modules, "ringcast-socket.io"));
  return folder;
}

/* A folder with node_modules: everything that tests have, `socket.io` of this version (a name in tests/package.json), and the package. Who asks while it
 * is being made gets it when it is. */
export function folderOf(version = "socket.io") {
  if (!folders.has(version)) folders.set(version, makeFolder(version));
  return folders.get(version);
}

/* What require() gives in that folder. */
export const requireIn = async (version) => createRequire(join(await folderOf(version), "index.js"));

const APPLICATION = join(ROOT, "tests/e2e/lib/link_application.mjs");
export const SECRET = "what-both-ends-know";

/* One process of an application. */
export class Application {
  /* `options`: of the Server; `more`: a function that gives others, which are no JSON; `setup`: a function of { io, state, links, server, require }, run there; `link`: options of attach(), or
   * false: an ordinary server; `register`: attached by `node -r` alone; a list: with these behind it. */
  constructor({ version, options = {}, more = () => ({}), setup = () => {}, link = {}, register = false, env = {} } = {}) {
    Object.assign(this, { version, env, register, asked: new Map(), output: "" });
    this.config = { options, more: String(more), setup: String(setup), link: link && { secret: SECRET, ...link }, register: Boolean(register) };
  }

  /* Again, at the same port, when it has ended. */
  async start() {
    const folder = await folderOf(this.version);
    this.port ??= await freePort();
    const before = this.register ? ["ringcast-socket.io/register", ...(this.register === true ? [] : this.register)].flatMap((name) => ["-r", name]) : [];
    const env = { ...process.env, ...(this.register && { RINGCAST_LINK_SECRET: SECRET }), ...this.env };
    this.child = spawn(process.execPath, [...before, APPLICATION, JSON.stringify({ ...this.config, port: this.port })], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe", "ipc"] });
    running.add(this.child);
    const ready = once(this.child, "message");
    this.exited = once(this.child, "close").then(([code, signal]) => {
      running.delete(this.child);
      for (const { failed } of this.asked.values()) failed(new Error(`the application ended (${code ?? signal}):\n${this.output}`));
      this.asked.clear();
      return { code, signal };
    });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (bytes) => (this.output += bytes));
    this.child.on("message", ({ id, value, error }) => {
      const { done, failed } = this.asked.get(id) ?? {};
      this.asked.delete(id);
      if (error !== undefined) failed?.(new Error(error));
      else done?.(value);
    });
    await within(20000, Promise.race([ready, this.exited.then(() => Promise.reject(new Error(`it did not start:\n${this.output}`)))]), "the application listens");
    return this;
  }

  /* What the function gives there, called with { io, state, links, server, require } and these. */
  call(what, ...args) {
    const id = (this.lastId = (this.lastId ?? 0) + 1);
    const asked = new Promise((done, failed) => this.asked.set(id, { done, failed }));
    this.child.send({ id, source: String(what), args });
    return within(20000, asked, `the application answers ${String(what).slice(0, 200)}`);
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get dials() {
    return Boolean(this.config.link.dial);
  }

  /* All of `count` links are there, and their workers have said so: READY was read there, clients can come. */
  isLinked(count) {
    return until(`${count} links are up`, async () => (await this.call(({ links }) => [...links.links].filter(({ unheard }) => !unheard).length)) === count);
  }

  kill(signal = "SIGKILL") {
    this.child.kill(signal);
    return within(15000, this.exited, `the application ends after ${signal}`);
  }

  async stop() {
    if (this.child && this.child.exitCode === null && this.child.signalCode === null) await this.kill();
  }
}

/* Why tests of links do not run: the broker that is tested is of a build without them. */
const { stdout: keys } = await program(join(BIN_DIR, "ringcast"), ["--help-config"]);
export const SKIP = keys.includes("max_unsent") ? false : "this broker has no links";

/* What a broker needs to hold the clients of these. */
export const linkConfig = (applications, more = {}, table = {}) => ({
  "socketio.path": "/socket.io/",
  "socketio.link": "app",
  backend: [{ name: "app", kind: "link", ...(applications.some(({ dials }) => !dials) && { url: applications.filter(({ dials }) => !dials).map(({ url }) => url) }), secrets: [SECRET], ...table }],
  ...more,
});

/*
 * A test with a broker and `applications` processes behind it: body({ broker, app, apps }). All are ended. `config`: more of the broker's; `table`: of
 * its [[backend]]; `needs`: what the broker has to say in HELLO (docs/link.md, features); else the test is skipped.
 */
export function testLink(name, { applications = 1, application = {}, config = {}, table = {}, workers = 2, needs, ...options }, body) {
  const apps = Array.from({ length: applications }, (_, i) => new Application(typeof application === "function" ? application(i) : application));
  after(() => Promise.all(apps.map((app) => app.stop()))); // also where no broker came to be
  testBroker(name, {
    workers,
    skip: SKIP,
    ...options,
    config: async () => {
      for (const app of apps) await app.start();
      return linkConfig(apps, config, table);
    },
  }, async (broker, t) => {
    try {
      for (const app of apps) await app.isLinked(workers);
      if (needs && !(await apps[0].call(({ links }, feature) => [...links.links][0].has(feature), needs))) return t.skip(`this broker does not offer ${needs}`);
      await body({ broker, apps, app: apps[0], t });
    } catch (error) {
      error.message += apps.map(({ output }, i) => (output ? `\n--- application ${i}:\n${output}` : "")).join("");
      throw error;
    } finally {
      for (const app of apps) await app.stop();
    }
  });
}

/* So many links of the broker's are up, as its log says. */
export const hasLinks = (broker, count) => until(`the log speaks of ${count} links`, () => broker.log.filter((line) => /\blink_ready\b/.test(line)).length >= count);
