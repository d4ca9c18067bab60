// HTTP/1.1 message by message (RFC 9112, and RFC 9110 where it speaks of the wire), over bare sockets. What two servers could
// understand differently is refused, and nothing behind it is taken for a request.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { upgradeRequest } from "./lib/raw.mjs";

const HOST = "Host: a\r\n";
const KEY = "a-key-of-the-api";
const NEXT = `GET /ringcast.js HTTP/1.1\r\n${HOST}\r\n`;
const bytes = (text) => Buffer.from(text, "latin1");
const get = (headers, target = "/health") => `GET ${target} HTTP/1.1\r\n${headers}\r\n`;
const line = (text) => `${text}\r\n${HOST}\r\n`;

/* Each is answered with its status, however it is cut; the connection ends and what stood behind it was not looked at. */
const refused = {
  // 2.2 Message parsing
  "lines end with LF alone": [400, "GET /health HTTP/1.1\nHost: a\n\n"],
  "a header ends with LF alone": [400, "GET /health HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"],
  "the head ends with LF alone": [400, "GET /health HTTP/1.1\r\nHost: a\r\n\n"],
  "bare CR in the request line": [400, line("GET /health\r HTTP/1.1")],
  "bare CR in a value": [400, get(`${HOST}X: a\rb\r\n`)],
  "bare CR for a line's end": [400, get(`${HOST}X: a\rY: b\r\n`)],
  "white space before the first header": [400, get(` X: 1\r\n${HOST}`)],
  "two empty lines first": [400, `\r\n\r\n${get(HOST)}`],
  "LF first": [400, `\n${get(HOST)}`],
  // 2.3 HTTP version
  "HTTP/0.9": [400, "GET /health\r\n"],
  "HTTP/2.0": [505, line("GET /health HTTP/2.0")],
  "HTTP/2's preface": [505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  "HTTP/0.9, written out": [505, line("GET /health HTTP/0.9")],
  "a version in small letters": [400, line("GET /health http/1.1")],
  "a version with too many digits": [400, line("GET /health HTTP/1.10")],
  "a version with too few": [400, line("GET /health HTTP/1")],
  "another protocol": [400, line("GET /health ICY/1.1")],
  // 3 Request line
  "two spaces behind the method": [400, line("GET  /health HTTP/1.1")],
  "two spaces behind the target": [400, line("GET /health  HTTP/1.1")],
  "a space at the end": [400, line("GET /health HTTP/1.1 ")],
  "a space first": [400, line(" GET /health HTTP/1.1")],
  "a tab for a space": [400, line("GET\t/health HTTP/1.1")],
  "white space in the target": [400, line("GET /hea lth HTTP/1.1")],
  "no target": [400, line("GET HTTP/1.1")],
  "a method that is no token": [400, line("GE(T /health HTTP/1.1")],
  "a method that nobody knows": [501, line("BREW /health HTTP/1.1")],
  "a method in small letters": [501, line("get /health HTTP/1.1")],
  "CONNECT": [501, line("CONNECT a:80 HTTP/1.1")],
  "a method of 33 letters": [501, line(`${"M".repeat(33)} /health HTTP/1.1`)],
  // 3.2 Request target
  "a target without a slash": [400, line("GET health HTTP/1.1")],
  "a fragment": [400, line("GET /health#top HTTP/1.1")],
  "a target that is not ASCII": [400, line("GET /h\xe9alth HTTP/1.1")],
  "NUL in the target": [400, line("GET /health\0 HTTP/1.1")],
  "an asterisk for GET": [400, line("GET * HTTP/1.1")],
  "a foreign scheme": [400, line("GET ftp://a/health HTTP/1.1")],
  "user information in the target": [400, line("GET http://user@a/health HTTP/1.1")],
  "no authority in the target": [400, line("GET http:///health HTTP/1.1")],
  "a broken percent-encoding": [400, line("GET /health%2 HTTP/1.1")],
  "NUL, percent-encoded": [400, line("GET /health%00 HTTP/1.1")],
  "a target that is too long": [414, line(`GET /${"x".repeat(20000)} HTTP/1.1`)],
  // 3.2 Host
  "no Host": [400, get("")],
  "two Hosts": [400, get(`${HOST}${HOST}`)],
  "two Hosts, one in the target": [400, get(`${HOST}${HOST}`, "http://a/health")],
  "two Hosts in a line": [400, get("Host: a, b\r\n")],
  "white space in Host": [400, get("Host: a b\r\n")],
  "a path in Host": [400, get("Host: a/b\r\n")],
  "user information in Host": [400, get("Host: user@a\r\n")],
  "a port that is no number": [400, get("Host: a:b\r\n")],
  "brackets without an end": [400, get("Host: [::1\r\n")],
  // 5 Header lines
  "white space before the colon": [400, get(`${HOST}X : 1\r\n`)],
  "a name with a space": [400, get(`${HOST}X Y: 1\r\n`)],
  "no name": [400, get(`${HOST}: 1\r\n`)],
  "no colon": [400, get(`${HOST}X\r\n`)],
  "a name that is no token": [400, get(`${HOST}X(1): 1\r\n`)],
  "a folded line": [400, get(`${HOST}X: 1\r\n 2\r\n`)],
  "a folded line, with a tab": [400, get(`${HOST}X: 1\r\n\t2\r\n`)],
  "NUL in a value": [400, get(`${HOST}X: a\0b\r\n`)],
  "a control character in a value": [400, get(`${HOST}X: a\x01b\r\n`)],
  "DEL in a value": [400, get(`${HOST}X: a\x7fb\r\n`)],
  "a head that is too long": [431, get(`${HOST}X: ${"x".repeat(20000)}\r\n`)],
  "too many headers": [431, get(`${HOST}${"X: 1\r\n".repeat(101)}`)],
  // 6 Message body
  "a length with a sign": [400, get(`${HOST}Content-Length: +5\r\n`)],
  "a negative length": [400, get(`${HOST}Content-Length: -5\r\n`)],
  "a length in hexadecimal": [400, get(`${HOST}Content-Length: 0x5\r\n`)],
  "no length": [400, get(`${HOST}Content-Length:\r\n`)],
  "a length beyond 64 bits": [400, get(`${HOST}Content-Length: 18446744073709551616\r\n`)],
  "a length that wraps around": [400, get(`${HOST}Content-Length: 184467440737095516160\r\n`)],
  "a length with a fraction": [400, get(`${HOST}Content-Length: 5.0\r\n`)],
  "two lengths": [400, get(`${HOST}Content-Length: 5\r\nContent-Length: 6\r\n`)],
  "two lengths that are the same": [400, get(`${HOST}Content-Length: 5\r\nContent-Length: 5\r\n`)],
  "two lengths in a line": [400, get(`${HOST}Content-Length: 5, 5\r\n`)],
  "a length and chunks": [400, get(`${HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`)],
  "chunks and a length": [400, get(`${HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n`)],
  "chunks in HTTP/1.0": [400, `GET /health HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`],
  "a coding that nobody knows": [501, get(`${HOST}Transfer-Encoding: gzip\r\n`)],
  "a coding before chunks": [501, get(`${HOST}Transfer-Encoding: gzip, chunked\r\n`)],
  "a coding behind chunks": [501, get(`${HOST}Transfer-Encoding: chunked, identity\r\n`)],
  "chunks twice": [501, get(`${HOST}Transfer-Encoding: chunked, chunked\r\n`)],
  "chunks twice, in two lines": [501, get(`${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n`)],
  "a coding that only looks like chunks": [501, get(`${HOST}Transfer-Encoding: xchunked\r\n`)],
  "chunked in quotes": [501, get(`${HOST}Transfer-Encoding: "chunked"\r\n`)],
  // RFC 9110 10.1.1
  "an expectation that nobody knows": [417, get(`${HOST}Expect: 200-ok\r\n`)],
};

testBroker(`what is refused (${Object.keys(refused).length} cases)`, { workers: 1, timeout: 60000 }, async (broker) => {
  // At once with a request behind it, and cut in the middle. Beside each other: the server waits a moment before it ends each connection.
  for (const half of [0, 1]) {
    await Promise.all(Object.entries(refused).map(async ([what, [status, text]]) => {
      const cut = (text.length * half) >> 1;
      const raw = await broker.raw();
      raw.write(bytes(text.slice(0, cut)));
      raw.write(bytes(text.slice(cut) + NEXT));
      const answer = await raw.response();
      assert.equal(answer.status, status, `${what}: ${answer.status} ${answer.body}`);
      assert.equal(answer.headers.connection, "close", what);
      assert.equal(JSON.parse(answer.body).error.code, status, what);
      assert.ok(answer.headers.date, what);
      assert.equal((await raw.rest()).length, 0, `${what}: nothing behind it is answered`);
    }));
  }
});

const accepted = {
  "an empty line first": `\r\n${get(HOST)}`,
  "the absolute form, whose authority counts": get(HOST, "http://b:80/health"),
  "the absolute form of https, in capitals": get(HOST, "HTTPS://b/health"),
  "the absolute form and a query": get(HOST, "http://b/health?x=1"),
  "a minor version of the future": `GET /health HTTP/1.2\r\n${HOST}\r\n`,
  "a Host with a port": get("Host: a:8080\r\n"),
  "a Host with an empty port": get("Host: a:\r\n"),
  "an IPv6 Host": get("Host: [::1]:8080\r\n"),
  "names in any case": get("hOsT: a\r\nX-y: 1\r\n"),
  "no white space, and much": get("Host:a\r\nX: \t 1 \t \r\n"),
  "an empty value": get(`${HOST}X:\r\n`),
  "bytes above ASCII in a value": get(`${HOST}X: \xe9\xff\x80\r\n`),
  "every character of a token in a name": get(`${HOST}!#$%&'*+-.^_\`|~09azAZ: 1\r\n`),
  "an expectation that nothing waits for": get(`${HOST}Expect: 100-Continue\r\n`),
  "a length of nothing": get(`${HOST}Content-Length: 0\r\n`),
  "a length with leading zeros": get(`${HOST}Content-Length: 000\r\n`),
  "another upgrade": get(`${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n`),
  "a percent-encoded path": get(HOST, "/%68ealth"),
  "many headers": get(`${HOST}${"X: 1\r\n".repeat(99)}`),
};

testBroker(`what is taken (${Object.keys(accepted).length} cases)`, { workers: 1, timeout: 60000 }, async (broker) => {
  for (const [what, text] of Object.entries(accepted)) {
    const raw = await broker.raw();
    raw.write(bytes(text + NEXT));
    for (const byte of bytes(text)) raw.write(Buffer.from([byte]));
    for (let i = 0; i < 3; i++) {
      const answer = await raw.response();
      assert.deepEqual([answer.status, answer.headers.connection], [200, "keep-alive"], `${what}, answer ${i}: ${answer.status} ${answer.body.slice(0, 200)}`);
      assert.match(answer.headers["content-type"], i === 1 ? /javascript/ : /json/, what);
    }
    raw.end();
  }
});

const post = (body) => `POST /api/publish HTTP/1.1\r\n${HOST}Authorization: Bearer ${KEY}\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
const json = JSON.stringify({ channel: "room:1", data: "abcdefghijkl" });
const size = json.length.toString(16);
const goodChunks = {
  "one chunk": `${size}\r\n${json}\r\n0\r\n\r\n`,
  "a chunk for each byte": `${Array.from(json, (byte) => `1\r\n${byte}\r\n`).join("")}0\r\n\r\n`,
  "sizes in capitals, with zeros first": `000${size.toUpperCase()}\r\n${json}\r\n000\r\n\r\n`,
  "extensions": `${size};name;other=1;third="a b"\r\n${json}\r\n0;last\r\n\r\n`,
  "white space behind the size": `${size} \r\n${json}\r\n0\t \r\n\r\n`,
  "white space before an extension": `${size} ;a=b\r\n${json}\r\n0\r\n\r\n`,
  "trailers": `${size}\r\n${json}\r\n0\r\nX-One: 1\r\nContent-Length: 5\r\n\r\n`,
};
const badChunks = {
  "no size": "\r\n",
  "a size that is none": "xyz\r\n",
  "a negative size": "-1\r\n",
  "a size with a prefix": `0x${size}\r\n`,
  "white space within the size": `${size} ${size}\r\n`,
  "white space before the size": ` ${size}\r\n`,
  "LF behind the size": `${size}\n${json}`,
  "CR in an extension": `${size};a\rb\r\n${json}`,
  "NUL in an extension": `${size};a\0\r\n${json}`,
  "a chunk that is longer than it says": `5\r\n${json}`,
  "LF behind a chunk": `${size}\r\n${json}\n0\r\n\r\n`,
  "LF behind the last": `${size}\r\n${json}\r\n0\n\r\n`,
  "a trailer that begins with a space": `${size}\r\n${json}\r\n0\r\n X: 1\r\n\r\n`,
  "a trailer that ends with LF": `${size}\r\n${json}\r\n0\r\nX: 1\n\r\n`,
  "an end without its LF": `${size}\r\n${json}\r\n0\r\n\rX`,
};

testBroker("bodies in chunks", { workers: 1, timeout: 60000, config: { "http.api_keys": [KEY] } }, async (broker) => {
  const client = await broker.connect();
  await client.subscribe("room:1");
  for (const [what, body] of Object.entries(goodChunks)) {
    const raw = await broker.raw();
    raw.write(post(body) + post(body) + NEXT);
    for (const byte of post(body)) raw.write(byte);
    for (let i = 0; i < 4; i++) {
      const answer = await raw.response();
      assert.equal(answer.status, 200, `${what}, answer ${i}: ${answer.body}`);
      if (i !== 2) assert.equal((await client.next("message")).data, "abcdefghijkl", what);
    }
    raw.end();
  }
  for (const [what, body] of Object.entries(badChunks)) {
    const raw = await broker.raw();
    raw.write(bytes(post(body) + NEXT));
    const answer = await raw.response();
    assert.deepEqual([answer.status, answer.headers.connection], [400, "close"], `${what}: ${answer.status} ${answer.body}`);
    assert.equal((await raw.rest()).length, 0, what);
  }
  for (const body of ["fffffffffffffffff\r\n", "ffffffffffffffff\r\n", "7fffffff\r\n"]) {
    const raw = await broker.raw();
    raw.write(post(body));
    assert.ok([400, 413].includes((await raw.response()).status), body);
    await raw.rest();
  }
  await client.ping();
  assert.equal(client.inbox.length, 0, "of what was refused nothing was published");
});

testBroker("how connections end, and what answers say of themselves", { workers: 1 }, async (broker) => {
  const ask = async (text, options) => {
    const raw = await broker.raw();
    raw.write(text);
    const answer = await raw.response(options);
    answer.raw = raw;
    return answer;
  };
  // 9.3, 9.6: HTTP/1.0 ends unless it asks not to, HTTP/1.1 stays unless it asks to end.
  for (const [head, connection] of [
    ["GET /health HTTP/1.0\r\n", "close"],
    ["GET /health HTTP/1.0\r\nConnection: Keep-Alive\r\n", "keep-alive"],
    ["GET /health HTTP/1.0\r\nConnection: keep-alive, close\r\n", "close"],
    [`GET /health HTTP/1.1\r\n${HOST}`, "keep-alive"],
    [`GET /health HTTP/1.1\r\n${HOST}Connection: Close\r\n`, "close"],
    [`GET /health HTTP/1.1\r\n${HOST}Connection: x, close\r\n`, "close"],
    [`GET /health HTTP/1.1\r\n${HOST}Connection: x\r\nConnection: close\r\n`, "close"],
  ]) {
    const answer = await ask(`${head}\r\n${NEXT}`);
    assert.deepEqual([answer.status, answer.headers.connection], [200, connection], head);
    if (connection === "close") assert.equal((await answer.raw.rest()).length, 0, head);
    else assert.match((await answer.raw.response()).headers["content-type"], /javascript/, head);
  }
  // RFC 9110 9.3.2: HEAD has GET's headers and no body, and the next answer follows.
  for (const path of ["/health", "/ringcast.js", "/nothing", "/ws"]) {
    const whole = await ask(`GET ${path} HTTP/1.1\r\n${HOST}\r\n`);
    const head = await ask(`HEAD ${path} HTTP/1.1\r\n${HOST}\r\n${NEXT}`, { noBody: true });
    const fields = ({ headers }) => Object.keys(headers).filter((name) => name !== "content-length");
    assert.deepEqual([head.status, fields(head)], [whole.status, fields(whole)], path);
    assert.ok(Number(head.headers["content-length"]) > 0, path);
    assert.match((await head.raw.response()).headers["content-type"], /javascript/, path);
  }
  // RFC 9110 15.5.6, 15.5.22, 7.8.
  assert.match((await ask(`PUT /health HTTP/1.1\r\n${HOST}\r\n`)).headers.allow, /^GET, HEAD/);
  for (const text of [get(HOST, "/ws"), upgradeRequest("/ws", { "Sec-WebSocket-Version": "14" }), upgradeRequest("/ws", { "Sec-WebSocket-Version": null })]) {
    const { status, headers } = await ask(text);
    assert.deepEqual([status, headers.upgrade, headers.connection, headers["sec-websocket-version"]], [426, "websocket", "keep-alive, Upgrade", "13"]);
  }
  // RFC 9110 7.8: in HTTP/1.0 Upgrade is not there.
  const old = "HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
  assert.equal((await ask(`GET /health ${old}`)).status, 200);
  const refusedOld = await ask(`GET /ws ${old}`);
  assert.deepEqual([refusedOld.status, refusedOld.headers.connection], [426, "close, Upgrade"]);
  // A body that nobody asked for does not become a request.
  const odd = await ask(`GET /health HTTP/1.1\r\n${HOST}Content-Length: ${NEXT.length}\r\n\r\n${NEXT}`);
  assert.deepEqual([odd.status, odd.headers.connection], [200, "close"]);
  assert.equal((await odd.raw.rest()).length, 0);
});
