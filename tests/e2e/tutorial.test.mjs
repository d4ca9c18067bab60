// docs/tutorial.md as it stands there: its files, its commands, its page in Chromium, on its ports, in a network namespace of its own.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { Chromium, findChromium } from "./lib/chromium.mjs";
import { inNetwork, NO_NETWORK, Running } from "./lib/network.mjs";
import { BIN_DIR, ROOT, until } from "./lib/util.mjs";

const INSIDE = "RINGCAST_TUTORIAL_INSIDE";
const chromium = findChromium();

if (process.env[INSIDE]) {
  test("the tutorial", { timeout: 240000 }, tutorial);
} else {
  test("every command and file of docs/tutorial.md does what it says there", { skip: NO_NETWORK || (!chromium && "Chromium is not installed") }, async () => {
    const inside = inNetwork([process.execPath, "--test", fileURLToPath(import.meta.url)], { env: { ...process.env, [INSIDE]: "1", NODE_TEST_CONTEXT: undefined } });
    await inside.exited;
    assert.equal(inside.exit.code, 0, inside.said);
  });
}

async function tutorial() {
  const page = readFileSync(join(ROOT, "docs/tutorial.md"), "utf8");
  const pieces = [...page.matchAll(/^```(toml|html|sh)\n([^]*?)^```$/gm)].map(([, kind, text]) => ({ kind, text }));
  assert.deepEqual(pieces.map(({ kind }) => kind), ["toml", "sh", "html", "sh", "sh", "sh", "toml", "sh", "sh"], "what this test knows of");
  const [config, start, html, serve, publish, change, identity, tokens, look] = pieces.map(({ text }) => text);
  const folder = mkdtempSync(join(tmpdir(), "ringcast-tutorial-"));
  const env = { ...process.env, PATH: `${BIN_DIR}${delimiter}${process.env.PATH}`, RUNTIME_DIRECTORY: folder };
  const begin = (command) => new Running("bash", ["-c", `exec ${command}`], { cwd: folder, env });
  const run = async (text) => {
    const running = new Running("bash", ["-euo", "pipefail", "-c", text], { cwd: folder, env });
    await running.exited;
    assert.equal(running.exit.code, 0, `${text}\n${running.said}`);
    return running.said;
  };
  const started = [];
  const browser = new Chromium();
  try {
    writeFileSync(join(folder, "chat.toml"), config);
    writeFileSync(join(folder, "chat.html"), html);
    const [check, runBroker] = start.trim().split("\n");
    await run(check);
    started.push(begin(runBroker), begin(serve.trim()));
    const answers = (url) => until(`${url} answers`, async () => {
      for (const { exit, said } of started) assert.ok(!exit, said);
      return (await fetch(url)).ok;
    });
    await answers("http://127.0.0.1:8080/health");
    await answers("http://127.0.0.1:3000/chat.html");
    await browser.start(chromium);
    const open = (hash = "") => browser.open(`http://127.0.0.1:3000/chat.html${hash}`);
    const lines = (of) => of.evaluate('[...document.querySelectorAll("#messages li")].map((line) => line.textContent)');
    const hears = (of, wanted) => until(`it hears ${wanted}`, async () => assert.deepEqual(await lines(of), wanted) ?? true);
    const say = async (from, text) => {
      await until("it is connected", () => from.evaluate('client.state === "open"'));
      await from.type("#text", text);
      await from.click("#form button");
    };

    const first = await open();
    const second = await open();
    await until("both are here", async () => (await first.text("#here")) === "2 (anonymous)");
    await say(first, "hello");
    for (const one of [first, second]) await hears(one, ["somebody: hello"]); // a line that comes moves the button
    await say(second, "hello yourself");
    for (const one of [first, second]) await hears(one, ["somebody: hello", "somebody: hello yourself"]);
    // Opened again: history.
    const third = await open();
    await hears(third, ["somebody: hello", "somebody: hello yourself"]);

    await run(publish);
    await hears(first, ["somebody: hello", "somebody: hello yourself", "server: The kitchen closes at ten"]);

    const ids = await Promise.all([first, second].map((one) => one.evaluate("client.client")));
    await run(change);
    await say(first, "still here");
    await until("the other one hears it", async () => (await lines(second)).at(-1) === "somebody: still here");
    assert.deepEqual(await Promise.all([first, second].map((one) => one.evaluate("client.client"))), ids, "nobody noticed");

    writeFileSync(join(folder, "chat.toml"), `${config}\n${identity}`);
    await run(tokens);
    const token = (name) => readFileSync(join(folder, `${name}.token`), "utf8").trim();
    const ada = await until("ada is let in", async () => {
      const one = await open(`#${token("ada")}`);
      await until("she is connected", () => one.evaluate('client.state === "open"'), { timeout: 4000 });
      return (await one.evaluate("client.welcome.user")) === "ada" && one;
    }, { timeout: 30000 });
    await until("she sees what was said", async () => (await lines(ada)).at(-1) === "somebody: still here");
    await say(ada, "it is me");
    await until("with her name", async () => (await lines(ada)).at(-1) === "ada: it is me");
    await until("she is in the list", async () => (await ada.text("#here")).includes("ada"));
    const nobody = await open();
    await until("without a token it is refused", () => nobody.evaluate('client.welcome === null && ["waiting", "closed"].includes(client.state)'));

    const said = await run(look);
    assert.match(said, /worker/);
    assert.match(said, /room:lobby/);
    assert.match(said, /"user":"ada"/);
    assert.match(said, /^ws_connections_total\{/m);
    const admin = await browser.open("http://127.0.0.1:8080/admin");
    await admin.type("#key", "tutorial-key");
    await admin.click("#sign-in button");
    await until("the dashboard shows her", async () => (await admin.text("#clients")).includes("ada"));
  } finally {
    await browser.stop();
    for (const one of started.reverse()) await one.end("SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  }
}
