// The files of deploy/nginx and deploy/haproxy, with the real nginx and HAProxy, in front of real brokers.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import test from "node:test";
import { run, startBroker, testBroker } from "./lib/broker.mjs";
import { Chromium, findChromium } from "./lib/chromium.mjs";
import { connect } from "./lib/client.mjs";
import { PROXY, adapt, haproxy, nginx, shipped, streamModule, withHaproxy, withNginx } from "./lib/proxy.mjs";
import { connectFrames, connectRaw } from "./lib/raw.mjs";
import { CA, FOLDER, certificate } from "./lib/tls.mjs";
import { delay, freePort, until, within } from "./lib/util.mjs";

const server = certificate("proxy");

/* Two brokers: body({ one, two }). */
async function withBrokers(options, body) {
  const brokers = [];
  try {
    for (const id of ["one", "two"]) {
      brokers.push(await startBroker({ workers: 2, ...options, config: { "server.instance_id": id, "http.trusted_proxies": [PROXY], "log.level": "debug", ...options.config } }));
    }
    await within(90000, body(...brokers), "the whole test");
    for (const broker of brokers) await broker.stop();
  } catch (error) {
    error.message += brokers.map((broker) => `\n--- a broker's log\n${broker.log.slice(-20).join("\n")}`).join("");
    throw error;
  } finally {
    for (const broker of brokers) await broker.destroy();
  }
}

const secure = (port, more = {}) => connect(`wss://localhost:${port}${more.path ?? "/ws"}`, { ca: CA, family: 4, ...more });

const get = (port, path, headers = {}) => within(5000, new Promise((done, failed) => {
  const out = request({ host: "127.0.0.1", servername: "localhost", ca: CA, port, path, headers: { Host: "localhost", ...headers } }, (response) => {
    let body = "";
    response.on("data", (part) => (body += part));
    response.on("end", () => done({ status: response.statusCode, body }));
  });
  out.on("error", failed);
  out.end();
}), `GET ${path}`);

/* The address that the broker took a new client's to be. */
async function addressSeen(brokers, connecting) {
  const before = brokers.map((broker) => broker.log.length);
  const client = await connecting;
  const seen = await until("a line about the client", () => {
    for (const [i, broker] of brokers.entries()) {
      const line = broker.log.slice(before[i]).find((text) => / client slot=/.test(text));
      if (line) return { ...Object.fromEntries([.../(\w+)=(\S+)/g[Symbol.matchAll](line)].map(([, key, value]) => [key, value])), instance: client.welcome.instance };
    }
    return undefined;
  });
  client.terminate();
  return seen;
}

/* What holds behind every proxy that ends TLS. */
async function checkTermination(brokers, port) {
  const [one] = brokers;
  const clients = [];
  for (let i = 0; i < 8; i++) clients.push(await secure(port));
  const instances = clients.map((client) => client.welcome.instance);
  assert.deepEqual([...new Set(instances)].sort(), ["one", "two"], "both brokers get clients");

  const local = clients.filter((client) => client.welcome.instance === "one");
  for (const client of local) await client.subscribe("news");
  const direct = await one.connect();
  for (let i = 0; i < 50; i++) await local[0].publish("news", { i, pad: "x".repeat(i * 1000) });
  await direct.publish("news", "from a client without proxy");
  for (const client of local) {
    for (let i = 0; i < 50; i++) assert.equal((await client.next("message")).data.i, i);
    assert.equal((await client.next("message")).data, "from a client without proxy");
  }
  const big = "é".repeat(200000);
  await local[0].publish("news", big);
  for (const client of local) assert.ok((await client.next("message")).data === big);
  for (const client of clients) assert.equal((await client.close()).code, 1000, "the closing handshake comes through");

  assert.deepEqual({ ...(await addressSeen(brokers, secure(port, { localAddress: "127.0.0.9" }))), slot: 0, instance: 0 },
    { slot: 0, address: "127.0.0.9", peer: PROXY, tls: "0", instance: 0 });
  const forged = { headers: { "X-Forwarded-For": "192.0.2.1", "X-Real-IP": "192.0.2.2", Forwarded: "for=192.0.2.3" } };
  assert.equal((await addressSeen(brokers, secure(port, { localAddress: "127.0.0.9", ...forged }))).address, "127.0.0.9", "what the client says of itself is not believed");
  assert.equal((await addressSeen(brokers, one.connect(forged))).address, "127.0.0.1", "nor without a proxy");

  assert.equal((await get(port, "/health")).status, 200);
  assert.equal((await get(port, "/metrics")).status, 403);
  assert.equal((await get(port, "/api/x")).status, 403);
  assert.equal((await get(port, "/ws")).status, 426);
  const origin = { headers: { Origin: `https://localhost:${port}` } };
  (await secure(port, origin)).terminate(); // the page's own origin is known through the proxy
  await assert.rejects(secure(port, { headers: { Origin: "https://elsewhere.example" } }), /403/);
}

/* The page in a browser, through the proxy. */
async function checkBrowser(port) {
  const browser = findChromium();
  if (!browser) return;
  const chromium = new Chromium();
  try {
    await chromium.start(browser);
    const page = await chromium.open("about:blank");
    await page.call("Security.setIgnoreCertificateErrors", { ignore: true });
    await page.call("Page.navigate", { url: `https://localhost:${port}/` });
    await until("the page says connected", async () => (await page.text("#status")) === "connected", { timeout: 20000 });
  } finally {
    await chromium.stop();
  }
}

/* /socket.io/ goes where the client's address says. There is an end point of ours at that path for the test. */
async function checkSticky(port) {
  const instances = async (localAddress, number) => {
    const seen = new Set();
    for (let i = 0; i < number; i++) {
      const client = await secure(port, { path: "/socket.io/", localAddress });
      seen.add(client.welcome.instance);
      client.terminate();
    }
    return [...seen];
  };
  const homes = new Set();
  for (let net = 1; net < 20 && homes.size < 2; net++) {
    const home = await instances(`127.${net * 11}.${net}.7`, 4);
    assert.equal(home.length, 1, "one client, one broker");
    homes.add(home[0]);
  }
  assert.equal(homes.size, 2, "different clients, different brokers");
}

/* Behind a proxy only who is told so may publish. */
const writable = { namespace: [{ name: "default", publish: "anyone" }] };
const endpoint = { ...writable, endpoint: [{ path: "/socket.io/", protocol: "native" }] };

test("nginx ends TLS: addresses, fan-out, stickiness", { skip: nginx ? false : "nginx is not installed" }, async () => {
  const port = await freePort();
  await withBrokers({ config: endpoint }, async (...brokers) => {
    const servers = brokers.map((broker) => `server ${broker.host} max_fails=3 fail_timeout=5s;`).join("\n    ");
    const text = adapt(shipped("nginx/ringcast.conf"), [
      ["    server 127.0.0.1:8080 max_fails=3 fail_timeout=5s;", `    ${servers}`],
      ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl; proxy_bind ${PROXY};`],
      ["/etc/nginx/ringcast.crt", join(FOLDER, "proxy.crt")],
      ["/etc/nginx/ringcast.key", join(FOLDER, "proxy.key")],
    ]);
    await withNginx("http", text, port, async () => {
      await checkTermination(brokers, port);
      await checkBrowser(port);
      await checkSticky(port);
    });
  });
});

test("HAProxy ends TLS: addresses, fan-out, stickiness", { skip: haproxy ? false : "HAProxy is not installed" }, async () => {
  const port = await freePort();
  const passed = await freePort();
  await withBrokers({ config: endpoint }, async (...brokers) => {
    const servers = brokers.map((broker, i) => `server s${i} ${broker.host} check inter 2s source ${PROXY}`).join("\n    ");
    const text = adapt(shipped("haproxy/ringcast.cfg"), [
      ["    server one 127.0.0.1:8080 check inter 2s", `    ${servers}`],
      ["bind :443 ssl", `bind 127.0.0.1:${port} ssl`],
      ["bind :8443", `bind 127.0.0.1:${passed}`],
      ["/etc/haproxy/ringcast.pem", server.path],
      ["maxconn 100000", "maxconn 1000"],
    ]);
    await withHaproxy(text, port, async () => {
      await checkTermination(brokers, port);
      await checkBrowser(port);
      await checkSticky(port);
    });
  });
});

const tlsPort = await freePort();
const passing = {
  "tls.listen": [`127.0.0.1:${tlsPort}`], "tls.certificates": [server.path], "server.proxy_protocol": true, "http.trusted_proxies": [PROXY], "log.level": "debug", ...writable,
};

/* What holds behind every proxy that passes TLS through and tells the address by the PROXY protocol. */
async function checkPassthrough(broker, port) {
  const clients = [await secure(port), await secure(port, { localAddress: "127.0.0.9" }), await broker.connect()];
  for (const client of clients) await client.subscribe("news");
  for (let i = 0; i < 20; i++) await clients[i % 3].publish("news", { i, pad: "x".repeat(i * 5000) });
  for (const client of clients) for (let i = 0; i < 20; i++) assert.equal((await client.next("message")).data.i, i);
  const seen = await addressSeen([broker], secure(port, { localAddress: "127.0.0.9", headers: { "X-Forwarded-For": "192.0.2.1" } }));
  assert.deepEqual([seen.address, seen.tls], ["127.0.0.9", "1"], "the PROXY header's source; it is no proxy itself");
  for (const client of clients) assert.equal((await client.close()).code, 1000);
}

testBroker("HAProxy passes TLS through with PROXY v2", { config: passing, skip: haproxy ? false : "HAProxy is not installed", timeout: 60000 }, async (broker) => {
  const [port, unused] = [await freePort(), await freePort()];
  const text = adapt(shipped("haproxy/ringcast.cfg"), [
    ["server one 127.0.0.1:9443 send-proxy-v2", `server one 127.0.0.1:${tlsPort} source ${PROXY} send-proxy-v2`],
    ["bind :443 ssl", `bind 127.0.0.1:${unused} ssl`],
    ["bind :8443", `bind 127.0.0.1:${port}`],
    ["/etc/haproxy/ringcast.pem", server.path],
    ["maxconn 100000", "maxconn 1000"],
  ]);
  await withHaproxy(text, port, async () => {
    await checkPassthrough(broker, port);
    const accepted = async () => (await broker.metrics())("ringcast_connections_accepted_total");
    const before = await accepted();
    let asked = 0; // each question is a connection too
    await until("another health check with TLS and PROXY header has been there", async () => (await accepted()) > before + ++asked, { every: 100 });
    (await secure(port)).terminate();
    assert.equal((await broker.metrics())("ringcast_proxy_errors_total"), 0);
  });
});

testBroker("nginx passes TLS through with PROXY v1", { config: passing, skip: nginx && streamModule ? false : "nginx or its stream module is not installed", timeout: 60000 }, async (broker) => {
  const port = await freePort();
  const text = adapt(shipped("nginx/ringcast-passthrough.conf"), [
    ["    server 127.0.0.1:8443 max_fails=3 fail_timeout=5s;", `    server 127.0.0.1:${tlsPort};`],
    ["listen 443;", `listen 127.0.0.1:${port}; proxy_bind ${PROXY};`],
  ]);
  await withNginx("stream", text, port, () => checkPassthrough(broker, port));
});

/* A socket from a chosen address. */
const from = (localAddress, port) => connectRaw({ host: "127.0.0.1", port, localAddress });

testBroker("PROXY headers: from whom, in pieces, and wrong ones", { config: passing }, async (broker) => {
  const { port } = broker;
  const request = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  const v2 = Buffer.concat([Buffer.from("0d0a0d0a000d0a515549540a2111000c", "hex"), Buffer.from([192, 0, 2, 7, 192, 0, 2, 8, 0x12, 0x34, 0, 80])]);
  for (const header of [Buffer.from("PROXY TCP4 192.0.2.7 192.0.2.8 4660 80\r\n"), Buffer.from("PROXY UNKNOWN\r\n"), v2, Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex")]) {
    const whole = await from(PROXY, port);
    whole.write(Buffer.concat([header, Buffer.from(request)]));
    assert.equal((await whole.response()).status, 200);
    const all = Buffer.concat([header, Buffer.from(request)]);
    const pieces = await from(PROXY, port);
    for (let at = 0; at < all.length; at += 7) {
      pieces.write(all.subarray(at, at + 7));
      await delay(1);
    }
    assert.equal((await pieces.response()).status, 200);
  }
  // From elsewhere such a header is no request.
  const stranger = await from("127.0.0.1", port);
  stranger.write(`PROXY TCP4 192.0.2.7 192.0.2.8 4660 80\r\n${request}`);
  assert.equal((await stranger.response()).status, 400);
  // A trusted proxy without one, or with a wrong one, is not answered.
  for (const wrong of [request, "PROXY TCP4 192.0.2.7\r\n", "PROXY TCP4 x y 1 2\r\n", `PROXY ${"x".repeat(200)}`, Buffer.from("0d0a0d0a000d0a515549540a21ff000c", "hex")]) {
    const raw = await from(PROXY, port);
    raw.write(wrong);
    assert.equal((await raw.rest().catch(() => "")).length, 0);
    raw.end();
  }
  assert.equal((await broker.metrics())("ringcast_proxy_errors_total"), 5);
  // Who never finishes its header has the time of a request.
  assert.equal((await connectFrames({ host: "127.0.0.1", port })).welcome.type, "welcome");
});

/* As the shipped file says, and nothing else: the broker's listener is loopback, but who comes through the proxy may be anybody. */
const asShipped = (text, broker, port, more = []) => adapt(text, [
  ["    server 127.0.0.1:8080 max_fails=3 fail_timeout=5s;", `    server ${broker.host};`],
  ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`],
  ["/etc/nginx/ringcast.crt", join(FOLDER, "proxy.crt")],
  ["/etc/nginx/ringcast.key", join(FOLDER, "proxy.key")],
  ...more,
]);

testBroker("behind the shipped nginx nobody may write unless told so", { config: { "http.trusted_proxies": ["127.0.0.1"] }, skip: nginx ? false : "nginx is not installed", timeout: 60000 }, async (broker) => {
  const port = await freePort();
  await withNginx("http", asShipped(shipped("nginx/ringcast.conf"), broker, port), port, async () => {
    const client = await secure(port);
    await client.subscribe("news");
    await client.refused(403, { type: "publish", channel: "news", data: 1 });
    await client.refused(403, { type: "broadcast", data: 1 });
    await client.refused(403, { type: "direct", to: client.id, data: 1 });
    assert.equal((await client.close()).code, 1000);
  });
  await until("the log says so", () => broker.log.some((line) => / permissions /.test(line) && /auto=none.*http\.trusted_proxies/.test(line)));
  const checked = await run(["check", broker.configPath]);
  assert.deepEqual([checked.code, /"auto" permissions are none: http\.trusted_proxies is set/.test(checked.stdout)], [0, true], checked.stdout);
  // The other way round: without the key, everybody on this machine may.
  const { "http.trusted_proxies": none, ...open } = broker.config;
  broker.writeConfig(open);
  assert.match((await run(["check", broker.configPath])).stdout, /"auto" permissions are anyone/);
  assert.equal((await run(["reload", "-c", broker.configPath])).code, 0);
  const client = await broker.connect();
  await until("it is in force", async () => (await client.request({ type: "publish", channel: "news", data: 1 })).type === "published");
});

/* The lines of a recipe that the shipped files have in comments. */
const withRecipe = (text) => adapt(text, [["    #auth ", "    "]]);
const believing = { "http.trusted_proxies": ["127.0.0.1"], "auth.user_header": "x-user" };
const forged = { "X-User": "admin", x_user: "admin", "x-USER": "admin" };

testBroker("nginx deletes what the broker believes of a user, and asks an application for it", { workers: 1, config: believing, skip: nginx ? false : "nginx is not installed", timeout: 60000 }, async (broker) => {
  const port = await freePort();
  await withNginx("http", asShipped(shipped("nginx/ringcast.conf"), broker, port), port, async () => {
    for (const path of ["/ws", "/ws?x=1"]) assert.equal((await secure(port, { path, headers: forged })).welcome.user, null, `${path}: what a client says of itself`);
  });
  assert.equal((await broker.connect({ headers: { "X-User": "told" } })).welcome.user, "told", "the broker itself believes it");
  const asked = [];
  const application = createServer((incoming, answer) => {
    asked.push(incoming);
    const user = { "session=1": "alice", "session=2": "zo\u00eb" }[incoming.headers.cookie];
    answer.writeHead(user ? 200 : 401, user ? { "X-User": Buffer.from(user).toString("latin1") } : {}).end();
  });
  await new Promise((done) => application.listen(0, "127.0.0.1", done));
  const other = await freePort();
  try {
    const text = withRecipe(asShipped(shipped("nginx/ringcast.conf"), broker, other, [["http://127.0.0.1:3000/auth", `http://127.0.0.1:${application.address().port}/auth`]]));
    await withNginx("http", text, other, async () => {
      assert.equal((await secure(other, { headers: { Cookie: "session=1", ...forged } })).welcome.user, "alice");
      assert.equal((await secure(other, { headers: { Cookie: "session=2" } })).welcome.user, "zo\u00eb");
      await assert.rejects(secure(other, { headers: { Cookie: "session=3", ...forged } }), /401/);
      await assert.rejects(secure(other, { headers: forged }), /401/);
      assert.equal((await get(other, "/health", forged)).status, 200);
    });
    for (const { headers, url } of asked) {
      assert.deepEqual([url, headers["x-user"], headers.upgrade, headers["x-original-uri"]], ["/auth", undefined, undefined, "/ws"]);
    }
    assert.equal(asked.length, 4);
  } finally {
    application.close();
    application.closeAllConnections();
  }
});

/* A JWT as applications sign them. */
function token(claims, { secret = "a secret that the application signs with", header = { alg: "HS256", typ: "JWT" } } = {}) {
  const body = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
}

testBroker("HAProxy deletes what the broker believes of a user, and reads it from a signed token", { workers: 1, config: believing, skip: haproxy ? false : "HAProxy is not installed", timeout: 60000 }, async (broker) => {
  const file = (port, passed) => adapt(shipped("haproxy/ringcast.cfg"), [
    ["    server one 127.0.0.1:8080 check inter 2s", `    server one ${broker.host} check inter 2s`],
    ["bind :443 ssl", `bind 127.0.0.1:${port} ssl`],
    ["bind :8443", `bind 127.0.0.1:${passed}`],
    ["/etc/haproxy/ringcast.pem", server.path],
    ["maxconn 100000", "maxconn 1000"],
  ]);
  const port = await freePort();
  await withHaproxy(file(port, await freePort()), port, async () => {
    assert.equal((await secure(port, { headers: forged })).welcome.user, null, "what a client says of itself");
  });
  const other = await freePort();
  await withHaproxy(withRecipe(file(other, await freePort())), other, async () => {
    const soon = Math.floor(Date.now() / 1000) + 60;
    const withToken = (text) => secure(other, { headers: { Cookie: `a=b; token=${text}`, ...forged } });
    assert.equal((await withToken(token({ sub: "alice", exp: soon }))).welcome.user, "alice");
    assert.equal((await withToken(token({ exp: soon }))).welcome.user, null, "a token without a user");
    const bad = [token({ sub: "admin", exp: soon }, { secret: "guessed" }), token({ sub: "admin", exp: soon - 120 }), token({ sub: "admin" }), "", "x.y.z",
      `${token({ sub: "admin", exp: soon }, { header: { alg: "none" } }).replace(/[^.]*$/, "")}`];
    for (const text of bad) await assert.rejects(withToken(text), /401/, text);
    await assert.rejects(secure(other, { headers: forged }), /401/);
    assert.equal((await get(other, "/health", forged)).status, 200);
  });
});
