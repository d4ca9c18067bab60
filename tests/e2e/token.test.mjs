// `ringcast token`: what others sign is verified, what is signed here others verify, and keys come from files and from real servers.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import { createServer as createTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";
import * as jose from "jose";
import jsonwebtoken from "jsonwebtoken";
import { run } from "./lib/broker.mjs";
import { CA_FILE, certificate } from "./lib/tls.mjs";
import { BIN_DIR, freePort } from "./lib/util.mjs";

const folder = mkdtempSync(join(tmpdir(), "ringcast-token-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const file = (name, text) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

const SECRET = randomBytes(64).toString("hex");
const secretFile = file("secret", `${SECRET}\n`);
const pairs = {
  RSA: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  "P-256": generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "P-384": generateKeyPairSync("ec", { namedCurve: "P-384" }),
  "P-521": generateKeyPairSync("ec", { namedCurve: "P-521" }),
  Ed25519: generateKeyPairSync("ed25519"),
};
const TYPES = { RS: "RSA", PS: "RSA", ES256: "P-256", ES384: "P-384", ES512: "P-521", Ed: "Ed25519" };
const typeOf = (alg) => TYPES[alg] ?? TYPES[alg.slice(0, 2)];
const ALGORITHMS = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
for (const [name, pair] of Object.entries(pairs)) {
  pair.publicFile = file(`${name}.pub`, pair.publicKey.export({ type: "spki", format: "pem" }));
  pair.privateFile = file(`${name}.key`, pair.privateKey.export({ type: "pkcs8", format: "pem" }));
}
const jwk = (name, more = {}) => ({ ...pairs[name].publicKey.export({ format: "jwk" }), ...more });
const jwksFile = file("jwks.json", JSON.stringify({ keys: Object.keys(pairs).map((name) => jwk(name, { kid: name, use: "sig" })) }));

const token = (...args) => run(["token", ...args], { timeout: 30000 });
const verified = async (...args) => {
  const result = await token("verify", ...args);
  assert.equal(result.code, 0, result.stderr);
  return JSON.parse(result.stdout);
};
const refused = async (text, ...args) => {
  const result = await token("verify", ...args);
  assert.equal(result.code, 1, result.stdout);
  assert.match(result.stderr, text);
};

test("what jsonwebtoken signs is verified", async () => {
  for (const algorithm of ALGORITHMS.filter((name) => name !== "EdDSA")) {
    const hmac = algorithm.startsWith("HS");
    const made = jsonwebtoken.sign({ sub: "42", tier: "premium" }, hmac ? SECRET : pairs[typeOf(algorithm)].privateKey, { algorithm, expiresIn: 60, issuer: "https://a.example", audience: ["x", "ringcast"] });
    const claims = await verified(...(hmac ? ["--secret-file", secretFile] : ["--key", pairs[typeOf(algorithm)].publicFile]), "--issuer", "https://a.example", "--audience", "ringcast", made);
    assert.deepEqual(claims, jsonwebtoken.decode(made), algorithm);
  }
});

test("what jose signs is verified, keys chosen by kid in a JWK Set", async () => {
  for (const alg of ALGORITHMS.filter((name) => !name.startsWith("HS"))) {
    const made = await new jose.SignJWT({ sub: "42", text: "grüße \u{1f680}" }).setProtectedHeader({ alg, kid: typeOf(alg), typ: "at+jwt" }).setIssuedAt().setExpirationTime("1m").sign(pairs[typeOf(alg)].privateKey);
    assert.deepEqual(await verified("--jwks", jwksFile, made), jose.decodeJwt(made), alg);
  }
});

test("what is made here, jose and jsonwebtoken verify", async () => {
  for (const alg of ALGORITHMS) {
    const hmac = alg.startsWith("HS");
    const result = await token("make", ...(hmac ? ["--secret-file", secretFile] : ["--key", pairs[typeOf(alg)].privateFile]), "--alg", alg, "--kid", "k1", "--user", "42", "--claim", "admin=true", "--claim", "tier=premium", "--ttl", "2m");
    assert.equal(result.code, 0, result.stderr);
    const made = result.stdout.trim();
    const { payload, protectedHeader } = await jose.jwtVerify(made, hmac ? Buffer.from(SECRET) : pairs[typeOf(alg)].publicKey);
    assert.deepEqual(protectedHeader, { alg, typ: "JWT", kid: "k1" });
    assert.deepEqual({ ...payload, iat: 0, exp: payload.exp - payload.iat }, { sub: "42", iat: 0, exp: 120, admin: true, tier: "premium" });
    if (alg !== "EdDSA") assert.equal(jsonwebtoken.verify(made, hmac ? SECRET : pairs[typeOf(alg)].publicKey, { algorithms: [alg] }).sub, "42");
  }
});

test("what the libraries refuse is refused here, and why", async () => {
  const now = Math.floor(Date.now() / 1000);
  const sign = (claims, options = {}) => jsonwebtoken.sign(claims, SECRET, options);
  const secret = ["--secret-file", secretFile];
  await refused(/refused: expired/, ...secret, sign({ exp: now - 61 }));
  await refused(/refused: expired/, ...secret, "--leeway", "0s", sign({ exp: now - 1 }));
  await verified(...secret, sign({ exp: now - 1 }));
  await refused(/refused: nbf is in the future/, ...secret, sign({ nbf: now + 600 }));
  await refused(/refused: signature is wrong/, ...secret, jsonwebtoken.sign({}, "another secret of more than 32 bytes"));
  await refused(/refused: iss is another/, ...secret, "--issuer", "joe", sign({ iss: "jim" }));
  await refused(/refused: aud is another/, ...secret, "--audience", "me", sign({ aud: "you" }));
  await refused(/refused: alg is none/, ...secret, jsonwebtoken.sign({ sub: "1" }, "", { algorithm: "none" }));
  // The public key, taken for a secret.
  const pem = pairs.RSA.publicKey.export({ type: "spki", format: "pem" });
  const parts = [{ alg: "HS256", typ: "JWT" }, { sub: "1" }].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const forged = `${parts}.${createHmac("sha256", pem).update(parts).digest("base64url")}`;
  await refused(/refused: no key for that alg/, "--key", pairs.RSA.publicFile, forged);
  const encrypted = await new jose.EncryptJWT({}).setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM" }).encrypt(pairs.RSA.publicKey);
  await refused(/refused: encrypted/, "--key", pairs.RSA.publicFile, encrypted);
  await refused(/refused: no key with that kid/, "--jwks", jwksFile, jsonwebtoken.sign({}, pairs["P-256"].privateKey, { algorithm: "ES256", keyid: "other" }));
});

test("a token comes by standard input, and never goes into an error", async () => {
  const made = jsonwebtoken.sign({ sub: "42" }, SECRET);
  for (const [input, code] of [[`${made}\n`, 0], [`${made.slice(0, -2)}\n`, 1]]) {
    const child = spawn(join(BIN_DIR, "ringcast"), ["token", "verify", "--secret-file", secretFile], { stdio: ["pipe", "pipe", "pipe"] });
    let text = "";
    child.stdout.on("data", (bytes) => (text += bytes));
    child.stderr.on("data", (bytes) => (text += bytes));
    child.stdin.end(input);
    assert.deepEqual(await once(child, "close"), [code, null], text);
    assert.ok(code === 0 ? text.includes('"sub":"42"') : !text.includes(made.slice(0, 20)), text);
  }
});

test("wrong usage is 2, and says what to do", async () => {
  for (const args of [[], ["x"], ["make"], ["verify", "--ttl", "1h"], ["verify", "a.b.c"], ["make", "--secret-file", secretFile, "--claim", "x"], ["make", "--secret-file", secretFile, "--alg", "none"], ["verify", "--jwks-url", "http://a.example/", "x"]]) {
    const { code, stderr } = await token(...args);
    assert.equal(code, 2, `${args}: ${stderr}`);
    assert.match(stderr, /^ringcast token: /);
  }
  const { code, stdout } = await token("--help");
  assert.equal(code, 0);
  assert.match(stdout, /token make/);
  const short = await token("make", "--secret-file", file("short", "too short"));
  assert.equal(short.code, 1);
  assert.match(short.stderr, /the secret has 9 bytes: 32 to 1024 are taken/);
  const weak = file("weak.pub", generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ type: "spki", format: "pem" }));
  assert.match((await token("keys", "--key", weak)).stderr, /an RSA key of 1024 bits/);
});

test("--json is an answer for programs", async () => {
  const secret = file("json-secret", SECRET);
  const made = await token("make", "--secret-file", secret, "--user", "ada", "--json");
  const verified = await token("verify", "--secret-file", secret, "--json", JSON.parse(made.stdout).token);
  assert.equal(JSON.parse(verified.stdout).sub, "ada");
  const refused = await token("verify", "--secret-file", secret, "--json", "a.b.c");
  assert.deepEqual([refused.code, refused.stderr], [1, ""]);
  assert.equal(typeof JSON.parse(refused.stdout).refused, "string");
  const keys = JSON.parse((await token("keys", "--jwks", jwksFile, "--json")).stdout);
  assert.deepEqual(keys.map(({ kid }) => kid), Object.keys(pairs));
  for (const { type, algorithms } of keys) assert.ok(typeof type === "string" && algorithms.length > 0);
  assert.deepEqual(JSON.parse((await token("keys", "--secret-file", secret, "--json")).stdout), [{ kid: null, type: "secret", algorithms: ["HS256", "HS384", "HS512"] }]);
});

test("an [[identity]] of a configuration, by name", async () => {
  const config = file("identity.toml", `[[identity]]\nname = "app"\nkind = "jwt"\nfrom = ["query.token"]\nsecret_file = "${secretFile}"\nissuer = ["joe"]\naudience = ["ringcast"]\n`);
  const made = await token("make", "-c", config, "--identity", "app", "--user", "7");
  assert.equal(made.code, 0, made.stderr);
  const claims = await verified("-c", config, made.stdout.trim());
  assert.deepEqual([claims.sub, claims.iss, claims.aud], ["7", "joe", "ringcast"]);
  await refused(/refused: exp is missing/, "-c", config, jsonwebtoken.sign({ iss: "joe", aud: "ringcast" }, SECRET));
  const none = await token("make", "-c", config, "--identity", "other");
  assert.equal(none.code, 2);
});

/* A JWK Set from a real server. */
const set = JSON.stringify({ keys: [jwk("P-256", { kid: "a", alg: "ES256" }), { kty: "oct", k: Buffer.from(SECRET).toString("base64url") }, jwk("RSA", { use: "enc" })] });

async function served(handler, { secure = true, names, options = {} } = {}) {
  const server = secure ? createHttps({ ...certificate(names ? "wrong" : "localhost", names ? { names } : {}), ...options }, handler) : createHttp(handler);
  const port = await freePort();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return { port, url: `${secure ? "https" : "http"}://localhost:${port}/jwks?a=b`, close: () => new Promise((done) => (server.closeAllConnections(), server.close(done))) };
}

const keysOf = (url, ...args) => token("keys", "--jwks-url", url, ...args);

test("keys of a URL, over TLS with a given authority", async () => {
  let seen;
  const server = await served((request, response) => {
    seen = request;
    response.setHeader("transfer-encoding", "chunked");
    response.end(set);
  });
  try {
    const result = await keysOf(server.url, "--jwks-ca", CA_FILE);
    assert.equal(result.stdout, '"a" P-256 ES256\n', result.stderr);
    assert.equal(seen.url, "/jwks?a=b");
    assert.equal(seen.headers.host, `localhost:${server.port}`);
    assert.match(seen.headers["user-agent"], /^ringcast\//);
    const made = jsonwebtoken.sign({ sub: "1" }, pairs["P-256"].privateKey, { algorithm: "ES256", keyid: "a" });
    assert.equal((await verified("--jwks-url", server.url, "--jwks-ca", CA_FILE, made)).sub, "1");
    // Its authority is none of the system's.
    const foreign = await keysOf(server.url);
    assert.equal(foreign.code, 1);
    assert.match(foreign.stderr, /the TLS handshake failed: /);
    // By an address that the certificate has.
    assert.equal((await keysOf(`https://127.0.0.1:${server.port}/`, "--jwks-ca", CA_FILE)).code, 0);
  } finally {
    await server.close();
  }
});

test("a certificate for another name is refused", async () => {
  const server = await served((request, response) => response.end(set), { names: ["DNS:other.example"] });
  try {
    for (const url of [server.url, `https://127.0.0.1:${server.port}/`]) assert.match((await keysOf(url, "--jwks-ca", CA_FILE)).stderr, /mismatch/);
  } finally {
    await server.close();
  }
});

test("answers that are none", async () => {
  const answers = {
    "/404": [404, {}, "", /it answered 404/],
    "/redirect": [302, { location: "/good" }, "", /a redirect, which is not followed/],
    "/html": [200, {}, "<html>", /not a JSON object/],
    "/empty": [200, {}, '{"keys":[]}', /no key in it/],
    "/secret": [200, {}, JSON.stringify({ keys: [{ kty: "oct", k: Buffer.from(SECRET).toString("base64url") }] }), /no key in it/],
    "/huge": [200, {}, Buffer.alloc(300 * 1024, " "), /longer than 256 KiB/],
    "/headers": [200, { "x-large": "x".repeat(100000) }, set, /not HTTP|longer/],
  };
  const server = await served((request, response) => {
    const [code, headers, body] = answers[request.url];
    response.writeHead(code, headers).end(body);
  }, { secure: false });
  try {
    for (const [path, [, , , text]] of Object.entries(answers)) {
      const result = await keysOf(`http://localhost:${server.port}${path}`);
      assert.equal(result.code, 1, path);
      assert.match(result.stderr, text, path);
    }
  } finally {
    await server.close();
  }
});

test("what everybody would not read as the same is not made", async () => {
  for (const args of [["--user", "u", "--claim", "sub=v"], ["--claim", "a=1", "--claim", "a=2"], ["--claim", "exp=1", "--claim", "exp=2"]]) {
    const result = await token("make", "--secret-file", secretFile, ...args);
    assert.equal(result.code, 2, result.stdout);
    assert.match(result.stderr, /name twice/);
    assert.equal(result.stdout, "");
  }
});

test("a server that is down, speaks something else, or ends in the middle", async () => {
  const port = await freePort();
  assert.match((await keysOf(`http://127.0.0.1:${port}/`)).stderr, /cannot connect to 127\.0\.0\.1 port/);
  for (const [answer, text] of [["SSH-2.0-x\r\n", /not HTTP/], ["", /ended before it was complete/], [`HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n${set}`, /ended before it was complete/]]) {
    const server = createTcp((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end(answer));
    });
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    assert.match((await keysOf(`http://127.0.0.1:${port}/`)).stderr, text);
    await new Promise((done) => server.close(done));
  }
});

test("a server that never answers is given up", { timeout: 40000 }, async () => {
  const server = createTcp((socket) => socket.on("error", () => {}));
  const port = await freePort();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const result = await keysOf(`http://127.0.0.1:${port}/`);
  assert.equal(result.code, 1);
  assert.match(result.stderr, /did not come|no answer within/);
  server.close();
});
