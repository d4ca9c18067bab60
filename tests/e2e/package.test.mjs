// The npm package: what is in it, that it loads wherever it says, its types, its size; recovery through it; and README's own words.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { gzipSync } from "node:zlib";
import { minify } from "terser";
import typescript from "typescript";
import Ringcast from "../../worker/http/ringcast.js";
import { Broker, testBroker } from "./lib/broker.mjs";
import { Network, NO_NETWORK, Running } from "./lib/network.mjs";
import { installPackage, SOURCE } from "./lib/node_package.mjs";
import { ROOT, until } from "./lib/util.mjs";

const client = readFileSync(join(ROOT, "worker/http/ringcast.js"), "utf8");
const NODE_MAJOR = Number(process.versions.node.split(".")[0]);
// Node 20 and 21 have a WebSocket behind an option, later ones without.
const OWN_WEBSOCKET = NODE_MAJOR >= 22 ? [] : NODE_MAJOR >= 20 ? ["--experimental-websocket"] : undefined;

let bare; // without ws
let withWs;
before(async () => {
  bare = await installPackage();
  withWs = await installPackage({ ws: true });
});
after(() => {
  bare?.remove();
  withWs?.remove();
});

/* Runs a module in the folder where the package is installed; resolves with what it said. */
async function runThere({ folder }, name, text, options = []) {
  writeFileSync(join(folder, name), text);
  const running = new Running(process.execPath, [...options, join(folder, name)], { cwd: folder });
  await running.exited;
  assert.equal(running.exit.code, 0, running.said);
  return running.said;
}

test("the package is the client that brokers serve, and nothing is left in the repository", async () => {
  assert.deepEqual(bare.files.sort(), ["LICENSE", "README.md", "index.d.mts", "index.mjs", "node.cjs", "node.mjs", "package.json", "ringcast.d.ts", "ringcast.js"]);
  assert.equal(readFileSync(join(bare.folder, "node_modules/ringcast/ringcast.js"), "utf8"), client);
  assert.ok(!readdirSync(SOURCE).includes("ringcast.js"), "one source");
  const { version, peerDependenciesMeta } = JSON.parse(readFileSync(join(SOURCE, "package.json"), "utf8"));
  assert.equal(version, /^VERSION := (.*)$/m.exec(readFileSync(join(ROOT, "Makefile"), "utf8"))[1], "versions go together");
  assert.deepEqual(peerDependenciesMeta, { ws: { optional: true } });
});

test("it is under 6 KB, minified and compressed", async () => {
  const { code } = await minify(client, { compress: true, mangle: true });
  const bytes = gzipSync(code, { level: 9 }).length;
  assert.ok(bytes < 6000, `${bytes} bytes`);
});

test("import, require, a browser's module and a script are the same class", async () => {
  const said = await runThere(bare, "import.mjs", `
    import Ringcast, { RingcastError } from "ringcast";
    import { createRequire } from "node:module";
    const required = createRequire(import.meta.url)("ringcast");
    console.log(Ringcast === required, RingcastError === Ringcast.Error, new RingcastError(1, "x") instanceof Error);
  `);
  assert.equal(said, "true true true\n");
  // As a bundler for browsers resolves it, and as a browser runs a script.
  const said2 = await runThere(bare, "browser.mjs", `
    import Ringcast, { RingcastError } from "./node_modules/ringcast/index.mjs";
    import { readFileSync } from "node:fs";
    import { runInNewContext } from "node:vm";
    const page = { TextEncoder, TextDecoder };
    page.globalThis = page;
    runInNewContext(readFileSync("node_modules/ringcast/ringcast.js", "utf8"), page);
    console.log(typeof Ringcast, RingcastError === Ringcast.Error, typeof page.Ringcast);
  `);
  assert.equal(said2, "function true function\n");
});

test("where there is no WebSocket it says what is missing", { skip: NODE_MAJOR >= 22 && "this Node has one" }, async () => {
  const said = await runThere(bare, "none.mjs", `
    import Ringcast from "ringcast";
    try {
      new Ringcast("ws://127.0.0.1:1/ws");
    } catch (error) {
      console.log(error.message);
    }
  `);
  assert.match(said, /^no WebSocket here: .*npm install ws/);
});

/* Subscribes, says so, and prints what comes; the connection is lost when the broker says so, not when the client wants. */
const RECOVER = `
  import Ringcast from "ringcast";
  const client = new Ringcast(process.argv[2], { reconnectMin: 50, heartbeat: 0 });
  const say = (...words) => console.log(words.join(" "));
  client.on("recover", (channel, complete) => say("recover", channel, complete));
  client.on("open", (welcome) => say("open", welcome.client));
  await client.subscribe("log:a", (data, message) => say("message", data, message.offset));
  await client.subscribe("plain:a", (data) => say("plain", data));
  say("subscribed", globalThis.WebSocket ? "own" : "ws");
`;
const history = { "http.api_keys": ["package-key"], namespace: [{ name: "log", history: 100 }, { name: "plain" }] };

for (const [what, wanted, options] of [["Node's own WebSocket", "own", OWN_WEBSOCKET], ["ws", "ws", NODE_MAJOR < 22 ? [] : ["--no-experimental-websocket"]]]) {
  testBroker(`recovery in Node, with ${what}: what was missed comes once and in order, and where there is no history it is told`, {
    workers: 1, config: history, skip: options === undefined && "this Node has no WebSocket of its own",
  }, async (broker) => {
    const { folder } = wanted === "own" ? bare : withWs;
    writeFileSync(join(folder, "recover.mjs"), RECOVER);
    const running = new Running(process.execPath, [...options, join(folder, "recover.mjs"), broker.url], { cwd: folder });
    const lines = () => running.said.split("\n").filter((line) => line && !/Warning|--trace-warnings/.test(line));
    try {
      await until("it is subscribed", () => lines().includes(`subscribed ${wanted}`));
      const other = await broker.connect();
      await other.publish("log:a", 1);
      await until("the first arrives", () => lines().includes("message 1 1"));
      // Cut off, and messages published before it is back: both in one batch that the worker carries out in order.
      const id = lines().find((line) => line.startsWith("open ")).slice(5);
      const post = (path, body) => broker.get(`/api/${path}`, { method: "POST", headers: { Authorization: "Bearer package-key" }, body: JSON.stringify(body) });
      const cut = await post("disconnect", { client: id, code: 3000 });
      assert.equal(cut.status, 200, cut.body);
      for (const n of [2, 3]) await other.publish("log:a", n);
      await until("it has come back", () => lines().filter((line) => line.startsWith("open ")).length === 2 && lines().includes("message 3 3"));
      await other.publish("log:a", 4);
      await until("what is new comes after what was missed", () => lines().includes("message 4 4"));
      assert.deepEqual(lines().filter((line) => line.startsWith("message")), ["message 1 1", "message 2 2", "message 3 3", "message 4 4"]);
      assert.deepEqual(lines().filter((line) => line.startsWith("recover")).sort(), ["recover log:a true", "recover plain:a false"]);
      // A history that is gone: another epoch.
      const deleted = await broker.get("/api/history?channel=log:a", { method: "DELETE", headers: { Authorization: "Bearer package-key" } });
      assert.equal(deleted.status, 200, deleted.body);
      await post("disconnect", { client: lines().filter((line) => line.startsWith("open "))[1].slice(5), code: 3000 });
      await until("it is told that it cannot have all", () => lines().includes("recover log:a false"));
    } finally {
      await running.end("SIGKILL");
    }
  });
}

/* --- types --- */

test("the types say what the client has, and the other way round", () => {
  const types = readFileSync(join(SOURCE, "ringcast.d.ts"), "utf8");
  const shown = Object.getOwnPropertyNames(Ringcast.prototype).filter((name) => name !== "constructor" && !name.startsWith("_"));
  const body = types.slice(types.indexOf("declare class Ringcast"));
  const declared = [...body.matchAll(/^ {2}(?:readonly )?(\w+)(?:<[^>]*>)?[(:]/gm)].map(([, name]) => name).filter((name) => name !== "constructor");
  assert.deepEqual([...new Set(declared)].sort(), [...shown, "url", "state", "welcome"].sort());
  const { options } = new Ringcast("ws://127.0.0.1:1", { connect: false });
  const optionsOf = types.slice(types.indexOf("interface Options"), types.indexOf("interface Welcome"));
  assert.deepEqual([...optionsOf.matchAll(/^ {4}(\w+)\?:/gm)].map(([, name]) => name).sort(), Object.keys(options).sort());
  const members = (of) => [...types.slice(types.indexOf(`interface ${of} {`)).split("\n  }")[0].matchAll(/^ {4}(\w+)\??:/gm)].map(([, name]) => name).sort();
  const taken = (text, pattern) => [...new Set([...text.matchAll(pattern)].map(([, name]) => name))].sort();
  const [, subscribed] = /const \{ ([\w, ]+) \} = entry\.options/.exec(client);
  assert.deepEqual(members("SubscribeOptions"), subscribed.split(", ").sort());
  const request = client.slice(client.indexOf("    _request(request, options) {"), client.indexOf("    _timedOut("));
  assert.deepEqual(members("PublishOptions"), taken(request, /(?<!this\.)\boptions\.(\w+)/g));
  const events = types.slice(types.indexOf("interface Events"), types.indexOf("/** What promises"));
  assert.deepEqual([...events.matchAll(/^ {4}(\w+):/gm)].map(([, name]) => name).sort(), [...new Set([...client.matchAll(/this\._emit\("(\w+)"/g)].map(([, name]) => name))].sort());
});

test("TypeScript takes a program that is right, and refuses one that is wrong, however modules are resolved", () => {
  const right = {
    "esm.mts": 'import Ringcast, { RingcastError } from "ringcast";\nconst c = new Ringcast("ws://x/ws", { delta: true });\nc.on("close", ({ reconnectMs }) => reconnectMs?.toFixed());\nconst n: Promise<number> = c.ping();\nc.subscribe("a", (data, message) => message.offset, { last: 5 }).catch((error: RingcastError) => error.code);\nexport { n };\n',
    "cjs.cts": 'import Ringcast = require("ringcast");\nconst c = new Ringcast();\nc.publish("a", new Uint8Array(3), { exclude: ["x"] }).then(({ offset }) => offset);\nexport = c;\n',
  };
  const wrong = { "wrong.mts": 'import Ringcast from "ringcast";\nnew Ringcast("x").on("opened", () => {});\nnew Ringcast("x", { reconnect: 5 });\n' };
  const check = (files, options) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(bare.folder, name), text);
    const program = typescript.createProgram(Object.keys(files).map((name) => join(bare.folder, name)), { strict: true, noEmit: true, types: [], lib: ["lib.es2022.d.ts"], target: typescript.ScriptTarget.ES2022, ...options });
    return typescript.getPreEmitDiagnostics(program).map(({ code, messageText }) => `${code} ${typescript.flattenDiagnosticMessageText(messageText, "\n")}`);
  };
  const node16 = { module: typescript.ModuleKind.Node16, moduleResolution: typescript.ModuleResolutionKind.Node16 };
  const bundler = { module: typescript.ModuleKind.ESNext, moduleResolution: typescript.ModuleResolutionKind.Bundler };
  assert.deepEqual(check(right, node16), []);
  assert.deepEqual(check({ "esm.mts": right["esm.mts"] }, bundler), []);
  for (const options of [node16, bundler]) assert.deepEqual(check(wrong, options).map((line) => line.slice(0, 4)).sort(), ["2345", "2561"]);
});

/* --- README --- */

test("README's commands and snippet run as they stand there", { skip: NO_NETWORK }, async () => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const [, command, snippet] = /\*\*From Node\*\*[^]*?```sh\n([^]*?)```\n\n```js\n([^]*?)```/.exec(readme);
  const folder = mkdtempSync(join(tmpdir(), "ringcast-readme-"));
  const network = await new Network().start();
  const broker = new Broker();
  try {
    // `make run` is `ringcast run` without a file, on 127.0.0.1:8080.
    writeFileSync(join(folder, "package.json"), '{"private":true}');
    const place = new Running("bash", ["-c", command.replaceAll("~/ringcast/", ROOT)], { cwd: folder, env: { ...process.env, npm_config_offline: "true", npm_config_omit: "peer" } });
    await place.exited;
    assert.equal(place.exit.code, 0, place.said);
    await broker.start({ text: "", ready: false, prefix: network.prefix, env: { PORT: "8080", RINGCAST_QUICKSTART: "1" } });
    const ask = (path) => new Running(network.prefix[0], [...network.prefix.slice(1), "curl", "-sf", `http://127.0.0.1:8080${path}`]);
    await until("it serves", async () => {
      const asked = ask("/health");
      return (await asked.exited).code === 0;
    });
    writeFileSync(join(folder, "snippet.mjs"), snippet);
    // As it says: older Nodes have ws beside it.
    if (NODE_MAJOR < 22) symlinkSync(join(ROOT, "tests/node_modules/ws"), join(folder, "node_modules/ws"));
    const running = new Running(network.prefix[0], [...network.prefix.slice(1), process.execPath, join(folder, "snippet.mjs")]);
    try {
      await until("it prints what it published", () => {
        assert.ok(!running.exit, running.said);
        return running.said.includes("{ price: 97000 }");
      });
    } finally {
      await running.end("SIGKILL");
    }
  } finally {
    await broker.destroy();
    await network.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
