// Real clients of four makers, plain and over TLS, with and without permessage-deflate, directly, through nginx and through HAProxy.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { startBroker } from "./lib/broker.mjs";
import { Chromium, findChromium } from "./lib/chromium.mjs";
import { connect } from "./lib/client.mjs";
import { PROXY, adapt, haproxy, nginx, shipped, withHaproxy, withNginx } from "./lib/proxy.mjs";
import { CA, CA_FILE, FOLDER, certificate } from "./lib/tls.mjs";
import { freePort, program, within } from "./lib/util.mjs";

const server = certificate("interop");
const SIZES = [1, 1000, 20000, 150000]; // characters of two bytes each, below and above every frame length and record size

/* --- clients: each connects twice, subscribes with one, publishes with the other --- */

/* npm ws; `offer` says whether the client offers permessage-deflate. */
async function checkWs({ url, deflate }) {
  for (const offer of [true, false]) {
    const options = { perMessageDeflate: offer, ca: CA, family: 4 };
    const [one, two] = [await connect(url, options), await connect(url, options)];
    assert.equal(one.socket.extensions, deflate && offer ? "permessage-deflate" : "", `what was agreed upon with an offer: ${offer}`);
    await one.subscribe("interop");
    for (const size of SIZES) {
      await two.publish("interop", "é".repeat(size));
      assert.ok((await one.next("message")).data === "é".repeat(size));
    }
    for (const client of [one, two]) assert.equal((await client.close()).code, 1000);
  }
}

const PYTHON = `
import asyncio, json, ssl, sys, websockets
async def main(url, ca, deflate, sizes):
    options = {"max_size": None}
    if url.startswith("wss:"):
        options["ssl"] = ssl.create_default_context(cafile=ca)
    for offer in ("deflate", None):
        async with websockets.connect(url, compression=offer, **options) as one, websockets.connect(url, compression=offer, **options) as two:
            # websockets 14 moved it.
            agreed = [e.name for e in (one.extensions if hasattr(one, "extensions") else one.protocol.extensions)]
            assert agreed == (["permessage-deflate"] if offer and deflate else []), agreed
            assert json.loads(await one.recv())["type"] == "welcome"
            assert json.loads(await two.recv())["type"] == "welcome"
            await one.send(json.dumps({"type": "subscribe", "channel": "python", "id": 1}))
            assert json.loads(await one.recv())["type"] == "subscribed"
            for size in sizes:
                await two.send(json.dumps({"type": "publish", "channel": "python", "data": "é" * size}))
                assert json.loads(await one.recv())["data"] == "é" * size
            await (await one.ping())
    print("content")
asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] == "true", json.loads(sys.argv[4])))
`;

async function checkPython({ url, deflate }) {
  const result = await program("/usr/bin/python3", ["-c", PYTHON, url, CA_FILE, String(deflate), JSON.stringify(SIZES)], { timeout: 30000 });
  assert.equal(result.stdout.trim(), "content", result.stderr);
}

async function checkCurl({ url, deflate }) {
  const base = url.replace(/^ws/, "http").replace(/\/ws$/, "");
  const curl = (...args) => program("curl", ["-sS", "--max-time", "10", "--ipv4", "--http1.1", "--cacert", CA_FILE, ...args]);
  const health = await curl("-w", "\n%{http_code}", `${base}/health`);
  assert.match(health.stdout, /\n200$/, health.stderr);
  const upgrade = await curl("-i", "--no-buffer", "-m", "2", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13",
    "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "-H", "Sec-WebSocket-Extensions: permessage-deflate", `${base}/ws`);
  assert.match(upgrade.stdout, /^HTTP\/1\.1 101 /, upgrade.stderr);
  assert.match(upgrade.stdout, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
  assert.equal(/sec-websocket-extensions: permessage-deflate/i.test(upgrade.stdout), deflate);
}

const BROWSER = (url, sizes) => `new Promise((done, failed) => {
  const [one, two] = [new WebSocket(${JSON.stringify(url)}), new WebSocket(${JSON.stringify(url)})];
  const sizes = ${JSON.stringify(sizes)};
  const opened = Promise.all([one, two].map((socket) => new Promise((open) => { socket.onopen = open; })));
  for (const socket of [one, two]) socket.onerror = () => failed(new Error("a WebSocket failed"));
  let next = 0;
  const publish = () => two.send(JSON.stringify({ type: "publish", channel: "chromium", data: "é".repeat(sizes[next]) }));
  one.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "subscribed") publish();
    if (message.type !== "message") return;
    if (message.data !== "é".repeat(sizes[next])) failed(new Error("a message of " + sizes[next] + " came otherwise"));
    if (++next < sizes.length) return publish();
    const agreed = one.extensions;
    let closed = 0;
    for (const socket of [one, two]) {
      socket.onclose = ({ code, wasClean }) => {
        if (code !== 1000 || !wasClean) failed(new Error("closed with " + code));
        if (++closed === 2) done(agreed);
      };
      socket.close(1000);
    }
  };
  opened.then(() => one.send(JSON.stringify({ type: "subscribe", channel: "chromium", id: 1 })));
})`;

async function checkChromium({ url, deflate, chromium, page: from }) {
  const page = await chromium.open(from); // a page of another origin than the WebSocket's
  await page.call("Security.setIgnoreCertificateErrors", { ignore: true });
  const agreed = await within(20000, page.evaluate(BROWSER(url, SIZES)), `Chromium is done with ${url}`);
  assert.equal(agreed.startsWith("permessage-deflate"), deflate);
  assert.deepEqual(page.errors, []);
}

const browser = findChromium();
const python = existsSync("/usr/bin/python3") && (await program("/usr/bin/python3", ["-c", "import websockets"])).code === 0;
// curl, which stays for two seconds, beside the others.
const clients = [
  ["curl", checkCurl, existsSync("/usr/bin/curl")],
  ["npm ws", checkWs, true],
  ["python3-websockets", checkPython, python],
  ["Chromium", checkChromium, Boolean(browser)],
];

/* --- routes --- */

/* route(broker, tlsPort, body): body(url) once for every way that it has. */
const routes = [
  ["directly", true, async (broker, tlsPort, body) => {
    await body(`ws://localhost:${broker.port}/ws`);
    await body(`wss://localhost:${tlsPort}/ws`);
  }],
  ["through nginx", Boolean(nginx), async (broker, tlsPort, body) => {
    const [port, plain] = [await freePort(), await freePort()];
    const text = adapt(shipped("nginx/ringcast.conf"), [
      ["server 127.0.0.1:8080 max_fails=3 fail_timeout=5s;", `server ${broker.host} max_fails=3 fail_timeout=5s;`],
      ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl; listen 127.0.0.1:${plain}; proxy_bind ${PROXY};`],
      ["/etc/nginx/ringcast.crt", join(FOLDER, "interop.crt")],
      ["/etc/nginx/ringcast.key", join(FOLDER, "interop.key")],
    ]);
    await withNginx("http", text, [port, plain], async () => {
      await body(`ws://localhost:${plain}/ws`);
      await body(`wss://localhost:${port}/ws`);
    });
  }],
  ["through HAProxy", Boolean(haproxy), async (broker, tlsPort, body) => {
    const [port, plain, passed] = [await freePort(), await freePort(), await freePort()];
    const text = adapt(shipped("haproxy/ringcast.cfg"), [
      ["    server one 127.0.0.1:8080 check inter 2s", `    server one ${broker.host} check inter 2s source ${PROXY}`],
      ["bind :443 ssl", `bind 127.0.0.1:${plain}\n    bind 127.0.0.1:${port} ssl`],
      ["bind :8443", `bind 127.0.0.1:${passed}`],
      ["/etc/haproxy/ringcast.pem", server.path],
      ["maxconn 100000", "maxconn 1000"],
    ]);
    await withHaproxy(text, [port, plain], async () => {
      await body(`ws://localhost:${plain}/ws`);
      await body(`wss://localhost:${port}/ws`);
    });
  }],
];

for (const deflate of [true, false]) {
  for (const [way, there, route] of routes) {
    test(`${way}, compression ${deflate ? "on" : "off"}`, { skip: there ? false : `no program for ${way}`, concurrency: 2 }, async (t) => {
      const tlsPort = await freePort();
      const chromium = browser ? new Chromium() : null;
      const broker = await startBroker({ workers: 2, config: {
        "tls.listen": [`127.0.0.1:${tlsPort}`], "tls.certificates": [server.path], "compression.enabled": deflate, "compression.threshold": "64B",
        "http.trusted_proxies": [PROXY], "http.allowed_origins": ["*"], namespace: [{ name: "default", publish: "anyone" }],
      } });
      try {
        await chromium?.start(browser);
        await route(broker, tlsPort, async (url) => {
          const beside = [];
          for (const [name, check, installed] of clients) {
            const checked = t.test(`${name}, ${url.slice(0, url.indexOf(":"))}`, { skip: installed ? false : `${name} is not installed` }, () => check({ url, deflate, chromium, page: `http://${broker.host}/` }));
            beside.push(checked);
            if (name !== "curl") await checked;
          }
          await Promise.all(beside);
        });
        await chromium?.stop();
        await broker.stop();
      } finally {
        await chromium?.stop();
        await broker.destroy();
      }
    });
  }
}
