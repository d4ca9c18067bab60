// What RFC 7515, 7519 and 8725 warn of, against a running broker by every way in: each token is refused, with the same words, nothing of it
// is fetched, and a good one is taken beside it. And the life of keys and tokens under load: storms, rotation, the second of the end.
import assert from "node:assert/strict";
import { constants, createHmac, createSign, generateKeyPairSync, sign as signWith } from "node:crypto";
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { io } from "socket.io-client";
import { testBroker } from "./lib/broker.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { storm } from "./lib/storm.mjs";
import { SANITIZED, until, within } from "./lib/util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const folder = mkdtempSync(join(tmpdir(), "ringcast-pitfalls-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
const ed = generateKeyPairSync("ed25519");
const strangers = { rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }), ec: generateKeyPairSync("ec", { namedCurve: "P-256" }), k1: generateKeyPairSync("ec", { namedCurve: "secp256k1" }) };
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
const jwks = join(folder, "jwks.json");
writeFileSync(jwks, JSON.stringify({ keys: [["rsa", rsa], ["ec", p256], ["ec384", p384], ["ed", ed]].map(([kid, { publicKey }]) => ({ ...publicKey.export({ format: "jwk" }), kid })) }));

const now = () => Math.floor(Date.now() / 1000);
const part = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const CLAIMS = () => ({ sub: "42", exp: now() + 3600 });
/* A token of these texts, signed by whoever: (bytes) => signature. */
const token = (header, claims, sign) => {
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${Buffer.from(sign(signed)).toString("base64url")}`;
};
const hs = (secret, digest = "sha256") => (text) => createHmac(digest, secret).update(text).digest();
const rs = ({ privateKey }, digest = "sha256") => (text) => createSign(digest).update(text).sign(privateKey);
const es = ({ privateKey }, digest = "sha256") => (text) => signWith(digest, Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" });
const ps = ({ privateKey }) => (text) => signWith("sha256", Buffer.from(text), { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 });
const good = () => token({ alg: "ES256", kid: "ec" }, CLAIMS(), es(p256));

/* Each is one way in which libraries were broken; `url` is a server that nobody must ask. */
function pitfalls(url) {
  const pem = rsa.publicKey.export({ type: "spki", format: "pem" });
  const der = rsa.publicKey.export({ type: "spki", format: "der" });
  const jwk = strangers.ec.publicKey.export({ format: "jwk" });
  const [header, claims, signature] = good().split(".");
  const last = signature.at(-1);
  const order = Buffer.from("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551", "hex");
  const raw = Buffer.from(signature, "base64url");
  const both = (r, s) => `${header}.${claims}.${Buffer.concat([r, s]).toString("base64url")}`;
  return {
    "alg none": token({ alg: "none" }, CLAIMS(), () => ""),
    "alg NONE": token({ alg: "nOnE" }, CLAIMS(), () => ""),
    "alg none with a signature": token({ alg: "none", kid: "ec" }, CLAIMS(), es(p256)),
    "no alg": token({ kid: "ec" }, CLAIMS(), es(p256)),
    "alg of another type": token({ alg: ["ES256"], kid: "ec" }, CLAIMS(), es(p256)),
    "alg in other letters": token({ alg: "es256", kid: "ec" }, CLAIMS(), es(p256)),
    "public key as a secret, PEM": token({ alg: "HS256", kid: "rsa" }, CLAIMS(), hs(pem)),
    "public key as a secret, PEM without its end": token({ alg: "HS256" }, CLAIMS(), hs(pem.trimEnd())),
    "public key as a secret, DER": token({ alg: "HS256", kid: "rsa" }, CLAIMS(), hs(der)),
    "public key as a secret, of another alg": token({ alg: "HS512" }, CLAIMS(), hs(pem, "sha512")),
    "an empty secret": token({ alg: "HS256" }, CLAIMS(), hs("")),
    "an empty secret for an RSA key without alg": token({ alg: "HS256", kid: "rsa" }, CLAIMS(), hs("")), // CVE-2026-44699
    "the key of another algorithm": token({ alg: "RS256", kid: "ec" }, CLAIMS(), rs(rsa)),
    "another curve": token({ alg: "ES256", kid: "ec384" }, CLAIMS(), es(p384)),
    "another curve's algorithm": token({ alg: "ES384", kid: "ec" }, CLAIMS(), es(p256, "sha384")),
    "a curve that is none of JOSE": token({ alg: "ES256K", kid: "ec" }, CLAIMS(), es(strangers.k1)),
    "a signature in DER": token({ alg: "ES256", kid: "ec" }, CLAIMS(), (text) => signWith("sha256", Buffer.from(text), p256.privateKey)),
    "R and S of zeros": both(Buffer.alloc(32), Buffer.alloc(32)),
    "R of the order": both(order, raw.subarray(32)),
    "S of the order": both(raw.subarray(0, 32), order),
    "R and S of the order": both(order, order),
    "no signature": `${header}.${claims}.`,
    "no signature and no dot": `${header}.${claims}`,
    "half a signature": both(raw.subarray(0, 32), Buffer.alloc(0)),
    "a longer signature": both(raw, Buffer.alloc(1)),
    "a stranger's key": token({ alg: "ES256", kid: "ec" }, CLAIMS(), es(strangers.ec)),
    "a stranger's RSA key": token({ alg: "RS256" }, CLAIMS(), rs(strangers.rsa)),
    "a key in the header": token({ alg: "ES256", jwk }, CLAIMS(), es(strangers.ec)),
    "a key in the header under a known name": token({ alg: "ES256", kid: "ec", jwk: { ...jwk, kid: "ec" } }, CLAIMS(), es(strangers.ec)),
    "jku": token({ alg: "ES256", kid: "theirs", jku: `${url}/jku` }, CLAIMS(), es(strangers.ec)),
    "jku under a known name": token({ alg: "ES256", kid: "ec", jku: `${url}/jku` }, CLAIMS(), es(strangers.ec)),
    "x5u": token({ alg: "RS256", x5u: `${url}/x5u`, x5c: ["MIIB"], x5t: "AA" }, CLAIMS(), rs(strangers.rsa)),
    "kid is a path": token({ alg: "HS256", kid: "../../../../../../dev/null" }, CLAIMS(), hs("")),
    "kid is SQL": token({ alg: "HS256", kid: "x' UNION SELECT 'AAAA" }, CLAIMS(), hs("AAAA")),
    "kid is a URL": token({ alg: "ES256", kid: `${url}/kid` }, CLAIMS(), es(strangers.ec)),
    "kid with a NUL": token({ alg: "ES256", kid: "ec\u0000" }, CLAIMS(), es(p256)),
    "kid is a number": token({ alg: "ES256", kid: 1 }, CLAIMS(), es(p256)),
    "crit": token({ alg: "ES256", kid: "ec", crit: ["exp"], exp: 1 }, CLAIMS(), es(p256)),
    "an empty crit": token({ alg: "ES256", kid: "ec", crit: [] }, CLAIMS(), es(p256)),
    "b64": token({ alg: "ES256", kid: "ec", b64: false, crit: ["b64"] }, CLAIMS(), es(p256)),
    "alg twice": token('{"alg":"none","kid":"ec","alg":"ES256"}', CLAIMS(), es(p256)),
    "alg twice, escaped": token('{"alg":"ES256","kid":"ec","\\u0061lg":"none"}', CLAIMS(), es(p256)),
    "sub twice": token({ alg: "ES256", kid: "ec" }, `{"sub":"42","exp":${now() + 3600},"sub":"43"}`, es(p256)),
    "exp twice": token({ alg: "ES256", kid: "ec" }, `{"exp":${now() - 3600},"sub":"42","exp":${now() + 3600}}`, es(p256)),
    "padding": `${header}.${claims}.${signature}==`,
    "padding in the middle": `${header}=.${claims}.${signature}`,
    "base64 of the other alphabet": `${header}.${claims}.${signature.slice(0, -2)}+/`,
    "bits behind the last byte": `${header}.${claims}.${signature.slice(0, -1)}${last === "9" ? "-" : String.fromCharCode(last.charCodeAt(0) + 1)}`,
    "a space": `${header}. ${claims}.${signature}`,
    "another header": `${part({ kid: "ec", alg: "ES256" })}.${claims}.${signature}`,
    "other claims": `${header}.${part({ ...CLAIMS(), sub: "43" })}.${signature}`,
    "four parts": `${good()}.AAAA`,
    "encrypted": `${part({ alg: "dir", enc: "A256GCM" })}....`,
    "a token in a token": token({ alg: "ES256", kid: "ec", cty: "JWT" }, good(), es(p256)),
    "claims that are a list": token({ alg: "ES256", kid: "ec" }, [CLAIMS()], es(p256)),
    "claims that are no UTF-8": token({ alg: "ES256", kid: "ec" }, Buffer.concat([Buffer.from('{"sub":"42","x":"'), Buffer.from([0xff]), Buffer.from('"}')]).toString("latin1"), es(p256)),
    "no exp": token({ alg: "ES256", kid: "ec" }, { sub: "42" }, es(p256)),
    "exp over": token({ alg: "ES256", kid: "ec" }, { sub: "42", exp: now() - 3600 }, es(p256)),
    "exp is text": token({ alg: "ES256", kid: "ec" }, { sub: "42", exp: String(now() + 3600) }, es(p256)),
    "exp is too large": token({ alg: "ES256", kid: "ec" }, '{"sub":"42","exp":1e300}', es(p256)),
    "exp beyond 2^64": token({ alg: "ES256", kid: "ec" }, '{"sub":"42","exp":18446744073709551617}', es(p256)),
    "exp is negative": token({ alg: "ES256", kid: "ec" }, { sub: "42", exp: -1 }, es(p256)),
    "exp is null": token({ alg: "ES256", kid: "ec" }, { sub: "42", exp: null }, es(p256)),
    "nbf is later": token({ alg: "ES256", kid: "ec" }, { ...CLAIMS(), nbf: now() + 3600 }, es(p256)),
    "iat is later": token({ alg: "ES256", kid: "ec" }, { ...CLAIMS(), iat: now() + 3600 }, es(p256)),
    "no sub": token({ alg: "ES256", kid: "ec" }, { exp: now() + 3600 }, es(p256)),
    "sub is an object": token({ alg: "ES256", kid: "ec" }, { ...CLAIMS(), sub: { id: "42" } }, es(p256)),
    "sub with a NUL": token({ alg: "ES256", kid: "ec" }, { ...CLAIMS(), sub: "42\u0000" }, es(p256)),
    "another algorithm than is listed": token({ alg: "PS256", kid: "rsa" }, { ...CLAIMS(), iss: "https://login.example", aud: "ringcast" }, ps(rsa)),
    "a header of an encrypted one": token({ alg: "ES256", kid: "ec", enc: "A256GCM" }, CLAIMS(), es(p256)),
    "another issuer": token({ alg: "ES256", kid: "ec" }, { ...CLAIMS(), iss: "https://other.example", aud: "ringcast" }, es(p256)),
    "another audience": token({ alg: "ES256", kid: "ec" }, { ...CLAIMS(), iss: "https://login.example", aud: "billing" }, es(p256)),
    "too long": token({ alg: "ES256", kid: "ec" }, { ...CLAIMS(), x: "x".repeat(8192) }, es(p256)),
  };
}

async function upgraded(broker, text, headers = {}, name = "token") {
  const raw = await broker.raw();
  raw.write(upgradeRequest(`/ws${text === undefined ? "" : `?${name}=${encodeURIComponent(text)}`}`, headers));
  const { status, body } = await raw.response({ timeout: 10000 });
  raw.end();
  return [status, body];
}

async function connectError(broker, text) {
  const socket = io(`http://${broker.host}`, { transports: ["websocket"], forceNew: true, reconnection: false, auth: { token: text } });
  const outcome = await within(10000, new Promise((done) => socket.once("connect", () => done(undefined)).once("connect_error", ({ message }) => done(message))), "the connect ends");
  socket.close();
  return outcome;
}

/* What is only wrong for a table that says which algorithms, issuers and audiences are right. */
const NARROW = new Set(["another algorithm than is listed", "another issuer", "another audience"]);
const CLAIMED = { issuer: ["https://login.example"], audience: ["ringcast"] };
const valid = (more) => token({ alg: "ES256", kid: "ec" }, { ...CLAIMS(), iss: "https://login.example", aud: ["ringcast"], ...more }, es(p256));

testBroker("each pitfall of RFC 8725 is refused by every way in, all in the same words, and nothing is fetched", {
  workers: 2, timeout: 60000,
  config: { "socketio.path": "/socket.io/", identity: [{ from: ["auth.token", "query.token", "header.authorization"], jwks_file: jwks, algorithms: ["ES256", "ES384", "RS256", "EdDSA"], ...CLAIMED }, { from: ["query.open"], jwks_file: jwks }] },
}, async (broker) => {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    response.end(JSON.stringify({ keys: [{ ...strangers.ec.publicKey.export({ format: "jwk" }), kid: "theirs" }] }));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    const all = Object.entries(pitfalls(`http://127.0.0.1:${server.address().port}`)).map(([name, text]) => [name, text]);
    // Those that are wrong in one thing alone are right in the others.
    for (const [i, [name, text]] of all.entries()) {
      const parts = text.split(".");
      if (parts.length === 3 && /^(exp|nbf|iat|sub|no exp|no sub)/.test(name) && !/twice/.test(name)) {
        const claims = JSON.parse(Buffer.from(parts[1], "base64url").toString().replace(/"exp":(1e300|18446744073709551617)/, '"exp":"$1"'));
        const textOf = JSON.stringify({ ...claims, iss: "https://login.example", aud: "ringcast" }).replace(/"exp":"(1e300|18446744073709551617)"/, '"exp":$1');
        all[i][1] = token({ alg: "ES256", kid: "ec" }, textOf, es(p256));
      }
    }
    const words = new Set();
    for (const [name, text] of all) {
      const [status, body] = await upgraded(broker, text);
      assert.equal(status, name === "too long" ? 414 : 401, name);
      if (status === 401) words.add(body);
      assert.equal((await upgraded(broker, text, {}, "open"))[0], NARROW.has(name) ? 101 : status, `${name}, of a table that says nothing but the keys`);
      if (name !== "too long") assert.equal((await upgraded(broker, undefined, { Authorization: `Bearer ${text}` }))[0], 401, name);
      assert.equal(await connectError(broker, text), "Authentication failed", name);
      const client = await broker.connect();
      client.send({ type: "auth", token: text, id: 1 });
      words.add(JSON.stringify(await client.next("error").then(({ message, code }) => [code, message])));
      assert.deepEqual(await within(5000, client.closed, "it is closed"), { code: 4401, reason: "unauthorized" }, name);
    }
    assert.equal(words.size, 2, `who is refused does not learn why: ${[...words]}`);
    assert.equal(asked, 0, "nobody was asked for keys");
    assert.deepEqual((await upgraded(broker, valid()))[0], 101);
    assert.equal(await connectError(broker, valid()), undefined);
    for (const text of [token({ alg: "RS256", kid: "rsa" }, { ...CLAIMS(), iss: "https://login.example", aud: "ringcast" }, rs(rsa)), token({ alg: "EdDSA", kid: "ed" }, { ...CLAIMS(), iss: "https://login.example", aud: "ringcast" }, (bytes) => signWith(null, Buffer.from(bytes), ed.privateKey)), valid({ exp: now() + 3600.5 }), valid({ jku: "x" })]) assert.equal((await upgraded(broker, text))[0], 101);
    for (const line of broker.log) assert.ok(!all.some(([, text]) => text.length > 40 && line.includes(text)), line);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

testBroker("a storm of reconnects with one token", {
  workers: 2, timeout: 60000, config: { identity: [{ from: ["query.token"], secret: SECRET }] },
}, async (broker) => {
  const result = await storm(broker, { count: SANITIZED ? 400 : 1000, lanes: 40, path: () => `/ws?token=${jwt.sign({ sub: "42" }, SECRET, { expiresIn: "1h", noTimestamp: true })}` });
  assert.deepEqual(result.statuses, { 101: result.count });
  assert.equal((await broker.metrics())("ringcast_identity_refused_total"), 0);
});

testBroker("keys are changed under clients that come all the time, and none of them is refused", {
  workers: 2, timeout: 60000,
  config: () => {
    writeFileSync(join(folder, "rotating.json"), JSON.stringify({ keys: [{ ...p256.publicKey.export({ format: "jwk" }), kid: "1" }] }));
    return { identity: [{ from: ["query.token"], jwks_file: join(folder, "rotating.json") }] };
  },
}, async (broker) => {
  const pairs = [p256, ...Array.from({ length: 4 }, () => generateKeyPairSync("ec", { namedCurve: "P-256" }))];
  let issuer = 0;
  const fresh = () => token({ alg: "ES256", kid: String(issuer + 1) }, { sub: "42", exp: now() + 3600, jti: Math.random() }, es(pairs[issuer]));
  const publish = async (...which) => {
    writeFileSync(join(folder, "rotating.json"), JSON.stringify({ keys: which.map((i) => ({ ...pairs[i].publicKey.export({ format: "jwk" }), kid: String(i + 1) })) }));
    const from = broker.log.length;
    process.kill(broker.pid, "SIGHUP");
    await until("it is read again", () => broker.log.slice(from).some((line) => line.includes("files_read_again")));
  };
  const here = await broker.connect({ path: `/ws?token=${fresh()}` });
  let going = true;
  const coming = storm(broker, { lanes: 8, until: () => !going, path: () => `/ws?token=${fresh()}` });
  for (let next = 1; next < pairs.length; next++) {
    await publish(next - 1, next);
    const old = issuer;
    issuer = next;
    const before = token({ alg: "ES256", kid: String(old + 1) }, { sub: "42", exp: now() + 3600 }, es(pairs[old]));
    assert.equal((await upgraded(broker, before))[0], 101, "of before");
    // Requests that were on their way with a token of the old key have come.
    await until("more have come", ((count) => () => coming.done() > count + 16)(coming.done()));
    await publish(next);
    await until("the old key counts no more", async () => (await upgraded(broker, before))[0] === 401);
  }
  going = false;
  const { count, statuses } = await coming;
  assert.deepEqual(statuses, { 101: count });
  assert.ok(count > 50, `${count} came`);
  await here.request({ type: "ping" });
});

testBroker("until its last second a token is good, and from then on it is not, verified before or never", {
  workers: 1, timeout: 60000, config: { identity: [{ from: ["query.token"], secret: SECRET, leeway: "0s" }] },
}, async (broker) => {
  const exp = now() + 5;
  const text = jwt.sign({ sub: "42", exp }, SECRET);
  const other = () => jwt.sign({ sub: "42", exp, jti: String(Math.random()) }, SECRET);
  let [before, behind] = [0, 0];
  while (Date.now() < exp * 1000 + 500 || behind <= 10) {
    for (const one of [text, other()]) {
      const asked = Date.now();
      const [status] = await upgraded(broker, one);
      const answered = Date.now();
      if (answered < exp * 1000) assert.equal(status, 101, `${exp * 1000 - answered} ms before the end`);
      if (asked >= exp * 1000) assert.equal(status, 401, `${asked - exp * 1000} ms behind it`);
      before += answered < exp * 1000;
      behind += asked >= exp * 1000;
    }
  }
  assert.ok(before > 1, `${before} before, ${behind} behind`);
});
