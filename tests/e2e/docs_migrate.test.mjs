// The pages for who comes from `ws`, nchan and Centrifugo: what they show is run as it stands there, but for addresses.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import WebSocket from "ws";
import Ringcast from "../../worker/http/ringcast.js";
import { run, startBroker } from "./lib/broker.mjs";
import { adapt, nginx, withNginx } from "./lib/proxy.mjs";
import { openStream } from "./lib/sse.mjs";
import { freePort, program, ROOT, until } from "./lib/util.mjs";

Ringcast.WebSocket = WebSocket; // as the package does where Node has none
const KEY = "key-of-the-migration-pages";
const AsyncFunction = (async () => {}).constructor;

/* The pieces of a page in that language. */
function pieces(page, language, count) {
  const all = [...readFileSync(join(ROOT, "docs", page), "utf8").matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))].map(([, text]) => text);
  assert.equal(all.length, count, `${page}: what this test knows of`);
  return all;
}

/* Runs a piece of JavaScript with these variables; the value of `then`, an expression behind it. */
const runs = (text, variables, then = "undefined") => new AsyncFunction(...Object.keys(variables), `${text}\nreturn ${then};`)(...Object.values(variables));

async function withBroker(text, env, body) {
  const broker = await startBroker({ text, env });
  try {
    await body(broker);
    await broker.stop();
  } finally {
    await broker.destroy();
  }
}

test("from ws: clients that stay as they are, a broadcast, and the reference client", async () => {
  const [config] = pieces("migrate-ws.md", "toml", 1);
  const [page, broadcast, client] = pieces("migrate-ws.md", "js", 3);
  await withBroker(config, { RINGCAST_API_KEY: KEY }, async (broker) => {
    const shown = [];
    const heard = [];
    const socket = await runs(adapt(page, [["wss://example.com", `ws://${broker.host}`]]), { WebSocket, show: (data) => shown.push(data) }, "socket");
    await until("it is connected", () => socket.readyState === WebSocket.OPEN);
    const reference = await runs(adapt(client, [["wss://example.com", `ws://${broker.host}`]]), {
      Ringcast,
      show: (data) => heard.push(data),
    }, "client");
    try {
      await runs(adapt(broadcast, [["127.0.0.1:8080", broker.host]]), { message: { n: 1 }, process: { env: { RINGCAST_API_KEY: KEY } } });
      await until("both have it", () => shown.length === 1 && heard.length === 1);
      assert.deepEqual([shown, heard], [[{ n: 1 }], [{ n: 1 }]]);
      // What such a page sends goes where the table says.
      const inbox = [];
      await reference.subscribe("inbox", (data) => inbox.push(data));
      socket.send('{"from":"a page"}');
      await until("it is in the inbox", () => inbox.length === 1);
      assert.deepEqual(inbox, [{ from: "a page" }]);
    } finally {
      reference.close();
      socket.terminate();
    }
  });
});

test("from nchan: the old address of an EventSource behind nginx, and publishing", { skip: !nginx && "nginx is not installed" }, async () => {
  const [config] = pieces("migrate-nchan.md", "toml", 1);
  const [location] = pieces("migrate-nchan.md", "nginx", 1);
  const [publish] = pieces("migrate-nchan.md", "sh", 1);
  const admin = await freePort();
  const port = await freePort();
  const text = adapt(config, [["127.0.0.1:9464", `127.0.0.1:${admin}`], ["a-long-random-text", KEY]]);
  await withBroker(text, {}, async (broker) => {
    const say = async (price) => {
      const command = adapt(publish, [["127.0.0.1:9464", `127.0.0.1:${admin}`], ["97000", String(price)]]);
      const { code, stdout, stderr } = await program("env", [`KEY=${KEY}`, "bash", "-c", `${command.trimEnd()} -sSf`]);
      assert.equal(code, 0, stdout + stderr);
    };
    await withNginx("http", `server { listen 127.0.0.1:${port};\n${adapt(location, [["127.0.0.1:8080", broker.host]])}\n}`, port, async () => {
      const open = (headers = {}) => openStream(broker, "/sub?id=BTC", { port, headers });
      const stream = await open();
      assert.equal(stream.status, 200, stream.text);
      await say(1);
      assert.equal((await stream.next()).data, '{"price":1}', "the payload alone");
      const { lastEventId } = stream;
      stream.response.destroy();
      await say(2);
      // As an EventSource comes back.
      const again = await open({ "Last-Event-ID": lastEventId });
      assert.equal((await again.next()).data, '{"price":2}', "what it missed");
      again.response.destroy();
    });
    // Only by the API.
    const client = await broker.connect();
    await client.refused(403, { type: "publish", channel: "prices:BTC", data: 1 });
  });
});

test("from Centrifugo: the configuration and the client", async () => {
  const [config] = pieces("migrate-centrifugo.md", "toml", 1);
  const [client] = pieces("migrate-centrifugo.md", "js", 1);
  const identity = '\n[[identity]]\nkind = "jwt"\nfrom = ["query.token"]\nrequired = false\nsecret = "which-your-application-has-too-32-bytes-or-more"\n';
  await withBroker(config + identity, {}, async (broker) => {
    const { stdout: token, code, stderr } = await run(["token", "make", "-c", broker.configPath, "--user", "ada"], { env: broker.env });
    assert.equal(code, 0, stderr);
    const shown = [];
    const ada = await runs(client, {
      url: `ws://${broker.host}/ws`,
      token: token.trim(),
      Ringcast,
      show: (data) => shown.push(data),
    }, "client");
    try {
      await ada.publish("news:one", { n: 1 });
      await until("it comes", () => shown.length === 1);
      assert.deepEqual(shown, [{ n: 1 }]);
      assert.equal((await ada.presence("news:one")).clients, 1);
      const stranger = await broker.connect();
      await stranger.refused(401, { type: "subscribe", channel: "news:one" });
    } finally {
      ada.close();
    }
  });
});
