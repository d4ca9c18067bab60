// What log lines show of people ([log] redact) and of credentials. Each kind of line that names a client is made by a real one.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { join } from "node:path";
import test from "node:test";
import { io } from "socket.io-client";
import { run, startBroker, testBroker } from "./lib/broker.mjs";
import { upgraded } from "./lib/raw.mjs";
import { ROOT, freePort, until } from "./lib/util.mjs";

const USER = "anna-7f3c";
const ADDRESS = "203.0.113.77";
const SILENT = "127.0.0.77"; // comes by itself, without a proxy that says who it is
const KEY = "the-api-key-of-this-test";
const COOKIE = "session=the-cookie-of-this-test";
const TOKEN = "the-token-of-this-test";
const SIGNED = "a-secret-of-this-test-that-signs-tokens";
const jwt = createRequire(import.meta.url)("jsonwebtoken");
const HEADERS = { "X-User": USER, "X-Forwarded-For": ADDRESS, Cookie: COOKIE, Authorization: `Bearer ${TOKEN}` };

const config = {
  "http.trusted_proxies": ["127.0.0.1"], "auth.user_header": "X-User", "http.api_keys": [KEY], "log.level": "debug",
  "limits.channel_log": "8KiB", "limits.channel_log_messages": 0, "limits.send_buffer": "4KiB", "limits.notsent_lowat": "1KiB",
  "limits.byte_rate": "2KiB", "limits.rate_policy": "close", "limits.max_connections_per_address": 8,
  "limits.handshake_timeout": "4s", "limits.ping_interval": "1s", "limits.pong_timeout": "500ms",
  namespace: [{ name: "portfolio", subscribe: "owner" }],
};

const publish = (broker, channel, data) => broker.get("/api/publish", { method: "POST", headers: { Authorization: `Bearer ${KEY}` }, body: JSON.stringify({ channel, data }) });
const lines = (broker, event) => broker.log.filter((line) => line.includes(event));
const line = (broker, event) => until(`there is a line ${event}`, () => lines(broker, event)[0]);

/* Everything that a client can have logged about itself. */
async function makeLines(broker) {
  const open = async () => broker.frames(`/ws?token=${TOKEN}`, HEADERS);
  (await open()).send({ opcode: 3, payload: "" }); // there is no such opcode
  await line(broker, "protocol_error");
  await open(); // answers no ping
  await line(broker, "pong_timeout");
  const fast = await open();
  for (let i = 0; i < 20; i++) fast.json({ type: "publish", channel: "x", data: "x".repeat(1000) });
  await line(broker, "rate_closed");
  // It answers no ping either: if that ends it before it has fallen behind, another one does.
  let ended = -1;
  await until("it falls off", async () => {
    if (ended !== lines(broker, "pong_timeout").length) {
      ended = lines(broker, "pong_timeout").length;
      const slow = await open();
      slow.json({ type: "subscribe", channel: `portfolio:${USER}`, id: 1 });
      slow.socket.pause();
    }
    await publish(broker, `portfolio:${USER}`, "x".repeat(8000));
    return lines(broker, "slow_consumer_disconnected")[0];
  }, { every: 1, timeout: 20000 });
  const silent = connect({ port: broker.port, host: "127.0.0.1", localAddress: SILENT });
  silent.on("error", () => {});
  await line(broker, "handshake_timeout");
  silent.destroy();
  // All at once: they answer no ping, and have to be there together.
  await until("one is refused", async () => (await Promise.all(Array.from({ length: 12 }, async () => {
    const raw = await broker.raw();
    raw.write(`GET /ws HTTP/1.1\r\nHost: ${broker.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-User: ${USER}\r\nX-Forwarded-For: ${ADDRESS}\r\n\r\n`);
    return (await raw.response()).status;
  }))).includes(429));
  await line(broker, "address_refused");
}

const EVENTS = ["protocol_error", "pong_timeout", "rate_closed", "slow_consumer_disconnected"];

const shows = (broker, text) => broker.log.filter((row) => row.includes(text));

function noCredentials(broker) {
  for (const secret of [KEY, TOKEN, COOKIE, "the-cookie-of-this-test"]) assert.deepEqual(shows(broker, secret), []);
}

testBroker("S4.9: without redaction the lines name user and address, never a credential", { config, timeout: 60000 }, async (broker) => {
  await makeLines(broker);
  for (const event of EVENTS) assert.match(lines(broker, event)[0], new RegExp(`address=${ADDRESS} user="${USER}"`));
  assert.match(lines(broker, "slow_consumer_disconnected")[0], new RegExp(`channel="portfolio:${USER}"`));
  assert.match(lines(broker, "handshake_timeout")[0], new RegExp(`address=${SILENT}`));
  noCredentials(broker);
});

testBroker("S4.9: hashed, neither appears, and one user's lines are found together, on every worker", {
  config: { ...config, "log.redact": "hash" }, timeout: 60000,
}, async (broker) => {
  await makeLines(broker);
  assert.deepEqual([...shows(broker, USER), ...shows(broker, ADDRESS), ...shows(broker, SILENT)], []);
  const of = (pattern) => new Set(broker.log.map((row) => pattern.exec(row)?.[1]).filter(Boolean));
  const users = of(/ user="(#[0-9a-f]{16})"/);
  assert.equal(users.size, 1, [...users].join());
  for (const event of EVENTS) assert.match(lines(broker, event)[0], new RegExp(`address=#[0-9a-f]{16} user="${[...users][0]}"`));
  assert.match(lines(broker, "slow_consumer_disconnected")[0], new RegExp(`channel="portfolio:${[...users][0]}"`));
  assert.match(lines(broker, "address_refused")[0], /address=#[0-9a-f]{16} /);
  assert.match(lines(broker, " listening")[0], /address=127\.0\.0\.1:\d+/, "the operator's own is shown");
  // The other worker says the same of the same client.
  const told = new Map();
  await until("both workers have had the client", async () => {
    await broker.frames("/ws", HEADERS).then((raw) => raw.end(), () => {});
    for (const row of broker.log) {
      const match = / DEBUG (worker\/\d) client slot=\d+ address=(#[0-9a-f]{16}) peer=#/.exec(row);
      if (match && row.includes("peer=")) told.set(match[1], [...(told.get(match[1]) ?? []), match[2]]);
    }
    return told.size === 2;
  });
  const [one, two] = [...told.values()].map((hashes) => new Set(hashes));
  assert.ok([...one].some((hash) => two.has(hash)));
  noCredentials(broker);
});

testBroker("S4.9: removed, neither appears, by a reload too, and each kind for itself", {
  config: { ...config, "log.redact": "remove", "log.format": "json" }, timeout: 60000,
}, async (broker) => {
  await makeLines(broker);
  assert.deepEqual([...shows(broker, USER), ...shows(broker, ADDRESS), ...shows(broker, SILENT)], []);
  for (const event of EVENTS) {
    const fields = JSON.parse(lines(broker, event)[0]);
    assert.deepEqual([fields.address, fields.user], [undefined, undefined], event);
  }
  assert.equal(JSON.parse(lines(broker, "slow_consumer_disconnected")[0]).channel, "portfolio:");
  noCredentials(broker);
  broker.writeConfig({ ...broker.config, "log.redact_users": "none" });
  assert.equal((await run(["reload", "-c", broker.configPath], { env: broker.env })).code, 0);
  const protocol = () => lines(broker, "protocol_error").map((row) => JSON.parse(row)).find(({ user }) => user === USER);
  const fields = await until("users are shown again", async () => {
    (await broker.frames("/ws", HEADERS)).send({ opcode: 3, payload: "" });
    return protocol();
  }, { every: 300 });
  assert.equal(fields.address, undefined, "addresses are not");
  assert.deepEqual(shows(broker, ADDRESS), []);
});

const SECRETS = ["pass-of-redis", "key-of-hashes", "key-of-an-api"];

test("S4.9: no credential of the configuration is in any line, also of a file that is wrong", async () => {
  const broker = await startBroker({ env: { LOG_LEVEL: "debug" }, config: {
    "redis.url": `redis://app:${SECRETS[0]}@127.0.0.1:${await freePort()}`, "log.redact_key": SECRETS[1], "http.api_keys": [SECRETS[2]],
  } });
  try {
    await until("it has tried to connect", () => broker.log.some((row) => row.includes("redis_connection_lost")));
    for (const [before, after] of [[/url = .*/, 'url = "redis://app:pass-of-redis@:x"'], [/api_keys = .*/, 'api_keys = ["key-of-an-api", "key-of-an-api"]'],
      [/redact_key = .*/, 'redact_key = "key-of-hashes\u0001"'], [/redact_key = .*/, 'redact_key = "key-of-hashes'], [/api_keys = .*/, 'api_keys = ["key-of-an-api" "x"]']]) {
      const good = readFileSync(broker.configPath, "utf8");
      writeFileSync(broker.configPath, good.replace(before, after));
      const seen = lines(broker, "reload_refused").length;
      const result = await run(["reload", "-c", broker.configPath, "--socket", broker.config["server.control_socket"]], { env: broker.env });
      assert.notEqual(result.code, 0, after);
      await until("it is refused", () => lines(broker, "reload_refused").length > seen);
      for (const secret of SECRETS) assert.ok(!(result.stdout + result.stderr).includes(secret), result.stdout + result.stderr);
      writeFileSync(broker.configPath, good);
    }
    assert.ok(broker.log.some((row) => / DEBUG /.test(row)), "LOG_LEVEL is in force");
    for (const secret of SECRETS) assert.deepEqual(shows(broker, secret), []);
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});

/* Right ones and wrong ones, by every way in: of a token each part, of the others the whole. */
testBroker("S4.9: what clients say who they are is in no line, whichever way it came, right, wrong or broken, over every protocol", {
  timeout: 90000,
  config: {
    "log.level": "debug", "socketio.path": "/socket.io/", endpoint: [{ path: "/live", protocol: "raw" }], "http.api_keys": [KEY],
    identity: [{ name: "all", from: ["auth.token", "query.token", "header.authorization", "cookie.jwt", "header.sec-websocket-protocol"], secret: SIGNED, required: false }],
    event: [{ on: "login", identify: "all", ack: ["in"] }, { on: "never", who: { admin: true }, ack: [1] }],
  },
}, async (broker) => {
  const parts = [];
  const credential = (text) => {
    parts.push(...text.split(".").filter((part) => part.length > 20).slice(-2));
    return text;
  };
  const token = (secret, more) => credential(jwt.sign({ sub: "ann", jti: randomUUID() }, secret, { expiresIn: "1h", ...more }));
  const kinds = [() => token(SIGNED), () => token(`another ${SIGNED}`), () => token(SIGNED, { expiresIn: "-2h" }), () => `${token(SIGNED)}=`, () => credential(`no-token-${randomUUID()}`)];
  let refused = 0;
  for (const make of kinds) {
    for (const path of ["/ws", "/live", "/sse?channel=x", "/socket.io/?EIO=4&transport=websocket", "/nothing"]) {
      const query = `${path}${path.includes("?") ? "&" : "?"}token=${make()}`;
      for (const [target, headers] of [[query, {}], [`${query}%zz`, {}], [path, { Authorization: `Bearer ${make()}` }], [path, { Cookie: `jwt=${make()}` }], [path, { "Sec-WebSocket-Protocol": `ringcast.v1, bearer.${make()}` }], [path, { Cookie: `jwt=${make().repeat(60)}` }]]) {
        const status = await upgraded(broker, target, headers);
        refused += status !== 101;
      }
    }
    const text = make();
    for (const said of [JSON.stringify({ type: "auth", token: text }), `{"type":"auth","token":"${text}`, JSON.stringify({ type: "auth", token: [text] }), JSON.stringify({ type: "refresh", token: text }), JSON.stringify({ type: text }), text]) {
      const frames = await broker.frames("/ws");
      frames.send({ opcode: 1, payload: said });
      frames.send({ opcode: 3, payload: text.slice(0, 100) }); // there is no such opcode: it is closed, and logged
      await frames.rest();
    }
    for (const transports of [["polling"], ["websocket"]]) {
      for (const auth of [{ token: text }, { token: { x: text } }]) {
        const socket = io(`http://${broker.host}`, { forceNew: true, reconnection: false, transports, auth });
        const connected = await new Promise((done) => socket.once("connect", () => done(true)).once("connect_error", () => done(false)));
        if (connected) for (const event of [["login", { token: make() }], ["login", make()], ["never", text]]) await socket.emitWithAck(...event);
        socket.close();
      }
    }
    for (const headers of [{ Authorization: `Bearer ${text}` }, { Authorization: `Basic ${text}` }]) assert.equal((await broker.get("/api/clients", { headers })).status, 401);
  }
  assert.ok(refused > 60 && parts.length > 100, `${refused} of them were refused, ${parts.length} parts`);
  assert.ok(lines(broker, "identity_refused").length > 0 && lines(broker, "protocol_error").length > 0);
  for (const part of [SIGNED, ...parts]) assert.deepEqual(shows(broker, part), []);
});

/* A line that is written tomorrow must not get past: what its key says it holds is known to the logger, or is nobody's. */
test("S4.9: every key of a log line that may hold personal data is known", () => {
  const known = new Set([...readFileSync(join(ROOT, "common/base/log.c"), "utf8").matchAll(/\.key = "(\w+)", \.kind/g)].map(([, key]) => key));
  assert.ok(known.has("user") && known.has("address"));
  const harmless = new Set(["namespace", "namespaces", "room", "name", "sessions", "client"]); // of the configuration, how many, and an id that is of one connection
  const suspicious = /user|addr|peer|mail|name|client|person|session|token|channel$|room$/;
  const found = [];
  for (const folder of ["acceptor", "worker", "relay", "common"]) {
    for (const file of readdirSync(join(ROOT, folder), { recursive: true }).filter((name) => /\.[ch]$/.test(name))) {
      const text = readFileSync(join(ROOT, folder, file), "utf8");
      for (const [call] of text.matchAll(/rc_(?:named_)?log_\w+\([^;]*?\);/gs)) {
        const format = [...call.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, part], i) => (i === 0 ? `${part} ` : part)).join("");
        for (const [, key] of format.matchAll(/(?:^|[ "])(\w+)=(?:\\")?%/g)) {
          if (suspicious.test(key) && !known.has(key) && !harmless.has(key)) found.push(`${folder}/${file}: ${key}=`);
        }
      }
    }
  }
  assert.deepEqual(found, []);
});
