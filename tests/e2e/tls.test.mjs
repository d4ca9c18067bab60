// TLS in the broker itself: real clients, fan-out mixed with plain ones, slow readers, hostile peers, certificates and their reload.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { connect as connectTls } from "node:tls";
import { run, testBroker, toToml } from "./lib/broker.mjs";
import { Chromium, findChromium } from "./lib/chromium.mjs";
import { connectRaw, frame, upgradeRequest } from "./lib/raw.mjs";
import { takesLittle } from "./lib/slow.mjs";
import { CA, CA_FILE, FOLDER, certificate, connectRawTls, connectSecure, ocspResponse } from "./lib/tls.mjs";
import { delay, freePort, program, random, until, within } from "./lib/util.mjs";

const server = certificate("server");
const port = await freePort();
const secure = (config = {}) => ({ "tls.listen": [`127.0.0.1:${port}`], "tls.certificates": [server.path], ...config });
const url = `wss://localhost:${port}/ws`;

/* A native client over TLS. */
const connectWss = (broker, options = {}) => broker.connect({ url, ca: CA, lookup: undefined, family: 4, ...options });

/* No TLS connection is left, and as many sockets as before. */
const settled = (broker, sockets = 1) => until("every connection is gone", async () => {
  const metrics = await broker.metrics();
  return metrics("ringcast_tls_connections") === 0 && metrics("ringcast_sockets") <= sockets;
}, { every: 50 });

/* --- real clients --- */

testBroker("curl: https, its upgrade, and plain HTTP on the TLS port", { config: secure() }, async (broker) => {
  const curl = (...args) => program("curl", ["-sS", "--max-time", "10", "--cacert", CA_FILE, ...args]);
  for (const version of ["--tls-max=1.2", "--tlsv1.3"]) {
    const flags = version.startsWith("--tls-max") ? ["--tls-max", "1.2"] : [version];
    const health = await curl(...flags, `https://localhost:${port}/health`);
    assert.equal(JSON.parse(health.stdout).status, "ok", health.stderr);
  }
  const page = await curl(`https://localhost:${port}/`);
  assert.match(page.stdout, /<\/html>\s*$/);
  const upgrade = await curl("-i", "--http1.1", "-m", "4", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13",
    "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", `https://localhost:${port}/ws`);
  assert.match(upgrade.stdout, /^HTTP\/1.1 101 [^]*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=[^]*"type":"welcome"/);
  const plain = await curl("-i", `http://localhost:${port}/health`);
  assert.match(plain.stdout, /^HTTP\/1.1 400 [^]*this port speaks TLS/);
  const old = await curl("--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0", `https://localhost:${port}/health`);
  assert.notEqual(old.code, 0, "TLS 1.1 is refused");
  await settled(broker);
});

const PYTHON = `
import asyncio, json, ssl, sys, websockets
async def main(port, ca):
    context = ssl.create_default_context(cafile=ca)
    for deflate in ("deflate", None):
        async with websockets.connect(f"wss://localhost:{port}/ws", ssl=context, compression=deflate, max_size=None) as one, \\
                   websockets.connect(f"wss://localhost:{port}/ws", ssl=context, compression=deflate) as two:
            assert json.loads(await one.recv())["type"] == "welcome"
            assert json.loads(await two.recv())["type"] == "welcome"
            await one.send(json.dumps({"type": "subscribe", "channel": "py", "id": 1}))
            assert json.loads(await one.recv())["type"] == "subscribed"
            for size in (1, 1000, 20000, 150000):
                await two.send(json.dumps({"type": "publish", "channel": "py", "data": "é" * size}))
                assert json.loads(await one.recv())["data"] == "é" * size
            await (await one.ping())
    print("python is content")
asyncio.run(main(sys.argv[1], sys.argv[2]))
`;
const python = existsSync("/usr/bin/python3") && (await program("/usr/bin/python3", ["-c", "import websockets"])).code === 0;
testBroker("python3-websockets over wss", { config: secure(), skip: python ? false : "python3-websockets is not installed" }, async () => {
  const result = await program("/usr/bin/python3", ["-c", PYTHON, String(port), CA_FILE], { timeout: 30000 });
  assert.equal(result.stdout.trim(), "python is content", result.stderr);
});

const browser = findChromium();
testBroker("Chromium: the page over https, its WebSocket over wss", { config: secure(), timeout: 90000, skip: browser ? false : "Chromium is not installed" }, async () => {
  const chromium = new Chromium();
  try {
    await chromium.start(browser);
    const page = await chromium.open("about:blank");
    await page.call("Security.setIgnoreCertificateErrors", { ignore: true });
    await page.call("Page.navigate", { url: `https://localhost:${port}/` });
    await until("the page says connected", async () => (await page.text("#status")) === "connected", { timeout: 20000 });
    assert.equal(await page.evaluate("location.protocol"), "https:");
  } finally {
    await chromium.stop();
  }
});

/* --- fan-out --- */

testBroker("TLS and plain clients in the same channels get everything in one order", { config: secure({ "limits.channel_log": "32MiB" }), workers: 2, timeout: 60000 }, async (broker) => {
  const CHANNELS = 5;
  const PUBLISHERS = 4;
  const EACH = 120;
  const clients = [];
  for (let i = 0; i < 24; i++) clients.push(await (i % 2 ? broker.connect() : connectWss(broker, { maxVersion: i % 4 ? "TLSv1.2" : "TLSv1.3" })));
  assert.equal(new Set(clients.filter((_, i) => i % 2 === 0).map((client) => client.worker)).size, 2, "TLS clients on both workers");
  for (const [i, client] of clients.entries()) {
    client.got = new Map();
    client.ondelivery = ({ channel, data }) => {
      if (!client.got.has(channel)) client.got.set(channel, []);
      client.got.get(channel).push(data);
    };
    for (let c = 0; c < CHANNELS; c++) if (i % 3 !== c % 3 || i < 6) await client.subscribe(`c${c}`);
  }
  const next = random();
  const texts = new Map();
  await Promise.all(Array.from({ length: PUBLISHERS }, async (_, p) => {
    const publisher = await (p % 2 ? broker.connect() : connectWss(broker));
    const waiting = [];
    for (let n = 0; n < EACH; n++) {
      const pad = next.pick([0, 10, 100, 1000, 16300, 16384, 40000]);
      const data = { p, n, pad: randomBytes(pad / 2).toString("hex") };
      texts.set(`${p}.${n}`, data.pad);
      waiting.push(publisher.publish(`c${n % CHANNELS}`, data));
    }
    await Promise.all(waiting);
  }));
  const orders = new Map();
  for (const [i, client] of clients.entries()) {
    for (let c = 0; c < CHANNELS; c++) {
      const channel = `c${c}`;
      if (!(i % 3 !== c % 3 || i < 6)) {
        assert.equal(client.got.has(channel), false);
        continue;
      }
      const wanted = PUBLISHERS * (EACH / CHANNELS);
      await until(`client ${i} has all of ${channel}`, () => client.got.get(channel)?.length >= wanted);
      const got = client.got.get(channel);
      assert.equal(got.length, wanted);
      for (const { p, n, pad } of got) assert.ok(texts.get(`${p}.${n}`) === pad, `${p}.${n} is as it was sent`);
      const order = got.map(({ p, n }) => `${p}.${n}`).join(" ");
      if (orders.has(channel)) assert.equal(order, orders.get(channel), `client ${i} has ${channel} in the order of all`);
      orders.set(channel, order);
    }
  }
});

testBroker("frames of a megabyte, exclusions and binary data through records of 16 KiB", { config: secure({ "limits.channel_log": "16MiB" }), workers: 2, timeout: 60000 }, async (broker) => {
  const readers = [await connectWss(broker), await connectWss(broker), await broker.connect(), await connectWss(broker, { protocols: ["ringcast.v1.bin"] }).catch(() => null)].filter(Boolean);
  const left = await connectWss(broker);
  for (const reader of [...readers, left]) {
    if (reader.socket.protocol.includes("bin")) continue;
    await reader.subscribe("big");
  }
  const publisher = await connectWss(broker);
  await publisher.subscribe("big");
  const sent = [];
  for (let i = 0; i < 12; i++) {
    const data = `${i}:${randomBytes(i % 3 === 0 ? 490000 : 5000).toString("hex")}`;
    const excluded = i % 2 === 0;
    sent.push({ data, excluded });
    await publisher.publish("big", data, { echo: false, ...(excluded ? { exclude: [left.id] } : {}) });
  }
  for (const reader of readers) {
    if (reader.socket.protocol.includes("bin")) continue;
    for (const { data } of sent) assert.ok((await reader.next("message", 20000)).data === data);
  }
  for (const { data, excluded } of sent) if (!excluded) assert.ok((await left.next("message", 20000)).data === data);
  assert.deepEqual([left.inbox, publisher.inbox], [[], []]);
});

testBroker("a TLS client that stops reading gets everything later, in order, from several channels", {
  config: secure({ "limits.channel_log": "32MiB", "limits.worker_log": "128MiB", "limits.ping_interval": "0s" }), workers: 1, timeout: 90000,
}, async (broker) => {
  const slow = await connectWss(broker);
  const quick = await connectWss(broker);
  for (const client of [slow, quick]) for (const channel of ["x", "y", "z"]) await client.subscribe(channel);
  slow.socket._socket.pause();
  const publisher = await broker.connect();
  const sent = [];
  for (let i = 0; i < 150; i++) {
    const data = `${i}:${"0123456789abcdef".repeat(i % 10 === 0 ? 12000 : i % 7 === 0 ? 2000 : 20)}`;
    sent.push({ channel: "xyz"[i % 3], data });
    await publisher.publish("xyz"[i % 3], data);
  }
  for (const { channel, data } of sent) {
    const got = await quick.next("message", 20000);
    assert.ok(got.channel === channel && got.data === data);
  }
  // While it is blocked: a direct message, a request's answer, and an unsubscribe that drops what is unsent of a channel.
  assert.ok((await broker.metrics())("ringcast_subscriptions_behind") > 0, "it is behind");
  await publisher.direct(slow.id, "direct");
  const pong = slow.ping();
  slow.socket._socket.resume();
  await pong;
  const got = [];
  let direct = 0;
  while (got.length < sent.length) {
    const message = await slow.next(undefined, 20000);
    if (message.type === "direct") direct++;
    else got.push(message);
  }
  for (const [i, { channel, data }] of sent.entries()) assert.ok(got[i].channel === channel && got[i].data === data, `message ${i}`);
  if (direct === 0) await slow.next("direct");
  await until("nobody is behind", async () => (await broker.metrics())("ringcast_subscriptions_behind") === 0);
});

testBroker("TLS clients that end, or are ended, with a record under way leave nothing behind", {
  config: secure({ "limits.channel_log": "1MiB", "limits.channel_log_messages": 0, "limits.close_timeout": "500ms", "limits.ping_interval": "0s", "http.allowed_origins": [] }), workers: 2, timeout: 60000,
}, async (broker) => {
  const publisher = await broker.connect();
  for (const way of ["reset", "cut off by the hub", "half closed"]) {
    const stuck = [];
    for (let i = 0; i < 10; i++) {
      const client = await connectWss(broker);
      client.socket.on("error", () => {});
      await client.subscribe("flood");
      client.socket._socket.pause();
      stuck.push(client);
    }
    for (let i = 0; i < (way === "cut off by the hub" ? 60 : 20); i++) await publisher.publish("flood", "x".repeat(200000));
    for (const client of stuck) {
      if (way === "reset") client.socket._socket.destroy();
      if (way === "half closed") client.socket._socket.end();
    }
    if (way === "cut off by the hub") await until("all were cut off", async () => (await broker.metrics())("ringcast_slow_disconnected_total") >= 10);
    await until(`the sockets are gone (${way})`, async () => {
      const metrics = await broker.metrics();
      return metrics("ringcast_tls_connections") === 0 && metrics("ringcast_subscriptions") === 0;
    }, { every: 50 });
    for (const client of stuck) client.terminate();
  }
});

testBroker("the write timeout ends a TLS client that takes nothing, and not one that takes little", {
  config: secure({ "limits.write_timeout": "3s", "limits.ping_interval": "200ms", "limits.pong_timeout": "7s", "limits.send_buffer": "256KiB", "limits.channel_log": "64MiB", "limits.worker_log": "256MiB" }), workers: 1, timeout: 90000,
}, async (broker) => {
  await takesLittle(broker, await broker.connect(), () => connectWss(broker));
});

testBroker("a large page to a slow reader arrives whole, then close_notify", { config: secure() }, async () => {
  const socket = await connectSecure(port, { highWaterMark: 1 });
  let bytes = 0;
  let ended = false;
  socket.pause();
  socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  socket.on("end", () => (ended = true));
  await delay(700); // longer than the broker lingers for a plain connection
  let head = "";
  socket.on("data", (part) => {
    if (head.length < 4000) head += part;
    bytes += part.length;
  });
  socket.resume();
  await until("the end", () => ended);
  const length = Number(/content-length: (\d+)/i.exec(head)[1]);
  assert.equal(bytes, head.indexOf("\r\n\r\n") + 4 + length);
});

testBroker("publishing fast over TLS: pauses and partial records lose nothing", {
  config: secure({ "limits.max_replies": "1KiB", "limits.send_buffer": "4KiB", "limits.notsent_lowat": "1KiB", "limits.channel_log": "16MiB" }), workers: 1, timeout: 60000,
}, async (broker) => {
  const reader = await broker.connect();
  await reader.subscribe("in");
  const raw = await connectRawTls(port);
  raw.write(upgradeRequest());
  assert.equal((await raw.response()).status, 101);
  raw.socket.pause(); // its answers pile up: the broker stops reading, with input in hand
  const frames = [];
  const id = (i) => `${i}-${"p".repeat(50)}`;
  for (let i = 0; i < 20000; i++) frames.push(frame({ payload: JSON.stringify({ type: "publish", id: id(i), channel: "in", data: i }) }));
  const bytes = Buffer.concat(frames);
  const next = random();
  for (let at = 0; at < bytes.length; ) {
    const part = 1 + next.below(9000);
    raw.write(bytes.subarray(at, at + part));
    at += part;
  }
  await until("it was paused", async () => (await broker.metrics())("ringcast_read_pauses_total") > 0);
  raw.socket.resume();
  for (let i = 0; i < 20000; i++) assert.equal((await reader.next("message", 20000)).data, i);
  raw.end();
});

testBroker("closing: Close, close_notify, and drain with 1012", { config: secure({ "server.drain_timeout": "300ms" }) }, async (broker) => {
  const raw = await connectRawTls(port);
  raw.write(upgradeRequest());
  assert.equal((await raw.response()).status, 101);
  assert.equal((await raw.message()).type, "welcome");
  raw.write(frame({ opcode: 8, payload: Buffer.from([0x03, 0xe8]) }));
  assert.equal((await raw.frame()).code, 1000);
  await raw.rest();
  assert.equal(raw.error, undefined, "an orderly end, not a reset");
  const client = await connectWss(broker);
  process.kill(broker.pid, "SIGTERM");
  const { code } = await within(5000, client.closed, "the drain reaches TLS clients");
  assert.equal(code, 1012);
  await broker.exited;
});

/* --- hostile peers --- */

testBroker("a thousand garbage connections while a client goes on", { config: secure({ "limits.handshake_timeout": "3s" }), workers: 2, timeout: 90000 }, async (broker) => {
  const client = await connectWss(broker);
  await client.subscribe("calm");
  let hello;
  {
    const { createServer } = await import("node:net");
    const { connect } = await import("node:tls");
    const catcher = createServer((socket) => socket.once("data", (bytes) => (hello = bytes)));
    await new Promise((done) => catcher.listen(0, "127.0.0.1", done));
    const socket = connect({ port: catcher.address().port, host: "127.0.0.1", rejectUnauthorized: false });
    socket.on("error", () => {});
    await until("a ClientHello", () => hello);
    socket.destroy();
    catcher.close();
  }
  const next = random();
  const kinds = [
    () => randomBytes(1 + next.below(4000)),
    () => Buffer.concat([Buffer.from([22, 3, 1, 2, 0]), randomBytes(512)]),
    () => hello.subarray(0, 1 + next.below(hello.length - 1)),
    () => { const bytes = Buffer.from(hello); bytes[next.below(bytes.length)] ^= 1 + next.below(255); return bytes; },
    () => Buffer.concat([hello, randomBytes(100)]),
    () => "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    () => Buffer.from("160301000100", "hex"),
    () => Buffer.alloc(0),
  ];
  for (let round = 0; round < 10; round++) {
    await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      const raw = await connectRaw({ host: "127.0.0.1", port });
      raw.socket.on("error", () => {});
      raw.write(kinds[(round + i) % kinds.length]());
      if (i % 3 === 0) raw.socket.resetAndDestroy();
      else if (i % 3 === 1) raw.socket.end();
      else setTimeout(() => raw.end(), 50 + next.below(200));
    }));
    await client.publish("calm", round);
    assert.equal((await client.next("message")).data, round);
  }
  await until("the garbage is gone", async () => {
    const metrics = await broker.metrics();
    return metrics("ringcast_tls_connections") === 1 && metrics("ringcast_sockets") === 2;
  }, { every: 50 });
  assert.ok((await broker.metrics())("ringcast_tls_errors_total") > 100);
  assert.ok(broker.log.length < 100, "the log stays readable");
});

testBroker("the handshake timeout covers TLS", { config: secure({ "limits.handshake_timeout": "2s" }) }, async (broker) => {
  const silent = await connectRaw({ host: "127.0.0.1", port });
  const begun = await connectRaw({ host: "127.0.0.1", port });
  begun.write(Buffer.from("16030102000100", "hex"));
  const shaken = await connectRawTls(port); // and no request
  const trickling = await connectRaw({ host: "127.0.0.1", port });
  const drip = setInterval(() => trickling.write(Buffer.from([22])), 50);
  trickling.socket.on("error", () => {});
  await Promise.all([silent.rest(10000), begun.rest(10000), shaken.rest(10000), trickling.rest(10000).catch(() => {})]);
  clearInterval(drip);
  assert.ok((await broker.metrics())('ringcast_timeouts_total{reason="handshake"}') >= 3);
  await settled(broker);
});

testBroker("a key update or renegotiation flood does not pile up", { config: secure(), timeout: 60000 }, async (broker) => {
  // openssl s_client renegotiates on a line "R" (TLS 1.2), updates keys on "K" (TLS 1.3).
  for (const [flag, line] of [["-tls1_2", "R\n"], ["-tls1_3", "K\n"]]) {
    const result = await program("openssl", ["s_client", "-connect", `localhost:${port}`, flag, "-CAfile", CA_FILE], { input: line.repeat(50), timeout: 20000 });
    if (flag === "-tls1_2") assert.match(result.stdout + result.stderr, /no renegotiation|Secure Renegotiation/);
  }
  await settled(broker);
});

testBroker("a full server says 503 over TLS too", { config: secure({ "server.max_connections": 2 }), workers: 1 }, async (broker) => {
  const clients = [await broker.connect(), await connectWss(broker)];
  const raw = await connectRawTls(port);
  raw.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
  const response = await raw.response();
  assert.equal(response.status, 503);
  assert.ok(Number(response.headers["retry-after"]) > 0);
  await raw.rest();
  assert.equal(raw.error, undefined);
  for (const client of clients) await client.ping();
});

/* --- sessions and certificates --- */

testBroker("sessions resume, on any worker", { config: secure(), workers: 2, timeout: 60000 }, async (broker) => {
  for (const version of ["TLSv1.2", "TLSv1.3"]) {
    let session;
    const first = await connectSecure(port, { minVersion: version, maxVersion: version });
    first.on("session", (ticket) => (session = ticket));
    first.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    await until("a session ticket", () => session ?? (version === "TLSv1.2" ? (session = first.getSession()) : undefined));
    first.destroy();
    const workers = new Set();
    for (let i = 0; i < 30 && workers.size < 2; i++) {
      const client = await connectWss(broker, { session, minVersion: version, maxVersion: version });
      assert.ok(client.socket._socket.isSessionReused(), `${version} resumes on worker ${client.worker}`);
      workers.add(client.worker);
    }
    assert.equal(workers.size, 2);
  }
});

const other = certificate("other", { names: ["DNS:other.example", "DNS:*.wild.example"], kind: "rsa" });
testBroker("SNI chooses among certificates, ALPN is http/1.1", { config: secure({ "tls.certificates": [server.path, other.path] }) }, async () => {
  const subject = async (servername, more) => {
    const socket = await connectSecure(port, { servername, checkServerIdentity: () => undefined, ...more });
    const { CN } = socket.getPeerCertificate().subject;
    const { alpnProtocol } = socket;
    socket.destroy();
    return [CN, alpnProtocol];
  };
  assert.deepEqual(await subject("localhost", { ALPNProtocols: ["h2", "http/1.1"] }), ["server", "http/1.1"]);
  assert.deepEqual(await subject("other.example"), ["other", false]);
  assert.deepEqual(await subject("a.wild.example"), ["other", false]);
  assert.deepEqual(await subject("unknown.example"), ["server", false]);
  assert.deepEqual(await subject(""), ["server", false]);
  await assert.rejects(connectSecure(port, { ALPNProtocols: ["h2"] }), /no application protocol/i);
});

const rolling = certificate("rolling");
testBroker("certificates are reloaded without dropping anybody; a bad file changes nothing", { config: secure({ "tls.certificates": [rolling.path] }), workers: 2, timeout: 60000 }, async (broker) => {
  const subject = async () => {
    const socket = await connectSecure(port);
    const { CN } = socket.getPeerCertificate().subject;
    socket.destroy();
    return CN;
  };
  const clients = [];
  for (let i = 0; i < 10; i++) clients.push(await connectWss(broker));
  await clients[0].subscribe("kept");
  for (const name of ["second", "third"]) {
    writeFileSync(rolling.path, certificate(name).pem);
    if (name === "second") {
      const { code, stdout, stderr } = await run(["reload", "-c", broker.configPath]);
      assert.equal(code, 0, stdout + stderr);
      assert.match(stdout, /changed: no key\nchanged files, read again: \S*\/rolling\.pem\n/);
    } else {
      broker.kill("SIGHUP", "acceptor");
    }
    await until(`${name} is served`, async () => (await Promise.all([subject(), subject(), subject(), subject()])).every((CN) => CN === name));
    await clients[9].publish("kept", name);
    assert.equal((await clients[0].next("message")).data, name);
  }
  const said = () => broker.log.filter((line) => /files_read_again changed=1 files=\S*rolling\.pem/.test(line)).length;
  await until("the log says so", () => said() >= 2);
  assert.equal(said(), 2);
  assert.match((await run(["reload", "-c", broker.configPath])).stdout, /changed: nothing\n$/, "the same certificate is no change");
  writeFileSync(rolling.path, "this is no certificate\n");
  const refused = await run(["reload", "-c", broker.configPath]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stdout + refused.stderr, /rolling\.pem: no certificate chain can be read/);
  assert.equal(await subject(), "third");
  for (const client of clients) await client.ping();
  writeFileSync(rolling.path, rolling.pem);
});

const dying = certificate("dying", { days: 1 });
testBroker("a certificate that expires soon is told by check, log, status and top until it is renewed", { config: secure({ "tls.certificates": [dying.path] }) }, async (broker) => {
  const soon = /dying\.pem expires in 2[34] hours/;
  const told = async (...args) => (await run([...args, "-c", broker.configPath], { env: broker.env })).stdout;
  const checked = await run(["check", broker.configPath]);
  assert.equal(checked.code, 0, "it is right for now");
  assert.match(checked.stderr, soon);
  await until("it was said at the start", () => broker.log.some((line) => /config_warning/.test(line) && soon.test(line)));
  assert.match(await told("status"), soon);
  assert.match(await told("top", "--once", "--interval", "0.1"), soon);
  const [{ file, not_after_s }] = JSON.parse(await told("status", "--json")).certificates;
  assert.equal(file, dying.path);
  assert.ok(Math.abs(not_after_s - Date.now() / 1000 - 86400) < 3600, String(not_after_s));
  writeFileSync(dying.path, certificate("renewed").pem);
  assert.match(await told("status"), soon, "what is in force, and not what lies in the file");
  assert.doesNotMatch(await told("reload"), /expires/);
  assert.match(await told("status"), /dying\.pem expires in (29|30) days/);
  assert.doesNotMatch(await told("top", "--once", "--interval", "0.1"), /expires/);
});

const old = certificate("an old authority", { days: 2 });
const authorities = join(FOLDER, "authorities.pem"), backendCa = join(FOLDER, "backend-ca.pem");
writeFileSync(authorities, Buffer.concat([CA, old.cert]));
writeFileSync(backendCa, CA);
testBroker("authorities that expire soon are told as certificates are: the first of a file, which several keys may name", {
  config: secure({
    "tls.client_ca": authorities,
    backend: [{ name: "one", url: ["https://127.0.0.1:9"], tls_ca: authorities }, { name: "other", url: ["https://127.0.0.1:9"], tls_ca: backendCa }],
  }),
}, async (broker) => {
  const daysLeft = async () => Object.fromEntries([...(await broker.get("/metrics")).body.matchAll(/^ringcast_certificate_not_after_seconds\{certificate="(.*)"\} (\d+)$/mg)]
    .map(([, file, at]) => [file, Math.round((at - Date.now() / 1000) / 86400)]));
  const told = async (...args) => (await run([...args, "-c", broker.configPath], { env: broker.env })).stdout;
  assert.deepEqual(await daysLeft(), { [server.path]: 30, [authorities]: 2, [backendCa]: 30 });
  const soon = /authorities\.pem expires in (2 days|47 hours)/;
  const checked = await run(["check", broker.configPath]);
  for (const key of ["tls\\.client_ca", "backend\\.tls_ca"]) assert.match(checked.stderr, new RegExp(`${key}: \\S*${soon.source}: renew it`));
  assert.doesNotMatch(checked.stderr, /backend-ca\.pem/);
  assert.match(await told("status"), soon);
  writeFileSync(authorities, CA);
  assert.match(await told("reload"), /changed files, read again: \S*authorities\.pem/);
  assert.deepEqual(await daysLeft(), { [server.path]: 30, [authorities]: 30, [backendCa]: 30 });
  assert.doesNotMatch(await told("status"), soon);
});

const stapled = certificate("stapled");
testBroker("an OCSP response beside the certificate is stapled for those who ask, and reloaded", {
  config: secure({ "tls.certificates": [stapled.path, other.path] }), workers: 2, timeout: 60000,
}, async (broker) => {
  const staple = async (options = {}) => {
    const socket = connectTls({ host: "127.0.0.1", port, ca: CA, servername: "localhost", requestOCSP: true, ...options });
    let answer = null;
    socket.on("OCSPResponse", (bytes) => (answer = bytes));
    await within(5000, new Promise((done, failed) => socket.once("secureConnect", done).once("error", failed)), "the handshake");
    socket.destroy();
    return answer;
  };
  const reload = () => run(["reload", "-c", broker.configPath]);
  assert.equal(await staple(), null, "there is none yet");
  const [first, second] = [ocspResponse("stapled"), ocspResponse("stapled", { days: 2 })];
  for (const response of [first, second]) {
    writeFileSync(`${stapled.path}.ocsp`, response);
    const { code, stderr } = await reload();
    assert.equal(code, 0, stderr);
    await until("it is stapled", async () => (await Promise.all([staple(), staple(), staple(), staple()])).every((bytes) => bytes?.equals(response)));
  }
  assert.deepEqual(await staple({ maxVersion: "TLSv1.2" }), second);
  assert.equal(await staple({ servername: "other.example" }), null, "another certificate has none");
  const client = await connectWss(broker); // asks for none
  await client.ping();
  const rows = [
    ["not DER\n", /stapled\.pem\.ocsp: it is no OCSP response/],
    [second.subarray(0, 100), /it is no OCSP response/],
    [Buffer.alloc(20000), /larger than 16384 bytes/],
    [Buffer.from([0x30, 3, 0x0a, 1, 6]), /not a successful OCSP response/], // unauthorized
    [ocspResponse("stapled", { status: "revoked" }), /does not say that the certificate is good/],
    [ocspResponse("other"), /about another certificate/],
  ];
  for (const [bytes, says] of rows) {
    writeFileSync(`${stapled.path}.ocsp`, bytes);
    const { code, stdout, stderr } = await reload();
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, says);
    assert.deepEqual(await staple(), second, "nothing has changed");
  }
  // Past its next update it is not sent.
  const old = Buffer.from(first.toString("latin1").replaceAll(/20\d{12}Z/g, "20200101000000Z"), "latin1");
  assert.notDeepEqual(old, first);
  writeFileSync(`${stapled.path}.ocsp`, old);
  assert.equal((await reload()).code, 0);
  await until("the old one is left out", async () => (await Promise.all([staple(), staple(), staple(), staple()])).every((bytes) => bytes === null));
  await client.ping();
});

const alice = certificate("alice", { names: [] });
const control = certificate("control", { names: [], subject: "/CN=a\u0085b" });
testBroker("client certificates name the user, where they are optional", { config: secure({ "tls.client_ca": CA_FILE }) }, async (broker) => {
  for (const version of ["TLSv1.2", "TLSv1.3"]) {
    const client = await connectWss(broker, { cert: alice.cert, key: alice.key, minVersion: version, maxVersion: version });
    assert.equal(client.welcome.user, "alice");
    const unnamed = await connectWss(broker, { cert: control.cert, key: control.key, minVersion: version, maxVersion: version });
    assert.equal(unnamed.welcome.user, null, "no channel can be called so");
    const anonymous = await connectWss(broker, { minVersion: version, maxVersion: version });
    assert.equal(anonymous.welcome.user, null);
  }
});

testBroker("client certificates are required where told so", { config: secure({ "tls.client_ca": CA_FILE, "tls.client_required": true }) }, async (broker) => {
  assert.equal((await connectWss(broker, { cert: alice.cert, key: alice.key })).welcome.user, "alice");
  for (const version of ["TLSv1.2", "TLSv1.3"]) {
    await assert.rejects(connectWss(broker, { minVersion: version, maxVersion: version }), /certificate|ECONNRESET|socket hang up|disconnected|EPROTO/i);
  }
  await until("only alice is left", async () => (await broker.metrics())("ringcast_tls_connections") === 1);
});

test("certificates that cannot be used are one clear line and exit code 2, also before workers start", async () => {
  const mixed = join(FOLDER, "mixed.pem");
  writeFileSync(mixed, Buffer.concat([server.cert, other.key]));
  const lone = join(FOLDER, "lone.pem");
  writeFileSync(lone, server.cert);
  const config = join(FOLDER, "bad.toml");
  const rows = [
    [{ "tls.certificates": [join(FOLDER, "missing.pem")] }, /missing\.pem: No such file/],
    [{ "tls.certificates": [mixed] }, /mixed\.pem: its private key does not belong/],
    [{ "tls.certificates": [lone] }, /lone\.pem: no private key/],
    [{ "tls.certificates": [server.path, lone] }, /lone\.pem: no private key/],
    [{ "tls.client_ca": join(FOLDER, "nobody.pem") }, /nobody\.pem: No such file/],
    [{ "tls.client_required": true }, /tls\.client_required needs tls\.client_ca/],
    [{ "tls.certificates": [] }, /tls\.listen needs tls\.certificates/],
  ];
  for (const [wrong, says] of rows) {
    writeFileSync(config, toToml({ "server.listen": [], ...secure(), ...wrong }));
    for (const args of [["check", config], ["run", "-c", config]]) {
      const { code, stderr } = await run(args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, says);
      assert.equal(stderr.trim().split("\n").length, 1, stderr);
    }
  }
});
