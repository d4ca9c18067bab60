// Tenant isolation as an attack: 10,000 requests of users and of nobody, over every protocol, while bob's private messages go on. Nothing
// of his is read, written into, counted or told apart from what does not exist. tests/stress/isolation.mjs takes each guard away and
// expects this to fail.
import assert from "node:assert/strict";
import test from "node:test";
import { createHash, createHmac } from "node:crypto";
import { createRequire } from "node:module";
import { io } from "socket.io-client";
import { startBroker, testBroker } from "./lib/broker.mjs";
import { ATTACKERS as PLAIN, NativeAttacker, RawAttacker, isName, isSocketIo, names, requestsFor, sweepFor } from "./lib/attackers.mjs";
import { PusherAttacker, SseAttacker, pried } from "./lib/attackers_more.mjs";
import { GUARDS, NO_GUARDS, sourceOf, unguarded } from "./lib/guards.mjs";
import { KINDS, startNode } from "./lib/member_kinds.mjs";
import { MEMBER_CONFIG, heardEverywhere, memberClient } from "./lib/members.mjs";
import { upgradeRequest } from "./lib/raw.mjs";
import { testRedis } from "./lib/redis.mjs";
import { openSocket, openSocketIo } from "./lib/socketio.mjs";
import { SEED, random, until, within } from "./lib/util.mjs";
import { API_KEY, Bob, PRIVATE, PUSHER_APP, RINGS, TENANTS_CONFIG, tokenOf } from "./lib/tenants.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const REQUESTS = Number(process.env.ISOLATION_REQUESTS ?? 10000);
const CHUNK = 24;
const ATTACKERS = { ...PLAIN, SseAttacker, PusherAttacker };
/* Who can say something in the plaza, and is answered. */
const talks = (attacker) => !(attacker instanceof RawAttacker) && !attacker.listens;
/* Users who would like to be taken for bob, and nobody. */
const USERS = ["alice", "bobby", "bo", "Bob", "BOB", "bob ", " bob", "b\u00f6b", "bo\u0062\u0301", "bob:x", "bob#", "bob,", "user:bob", "*", "/any#bob", "b%6fb", null];

/* What must not be said of what happened to requests. */
function wrongsOf(attacker, requests, outcomes) {
  return requests.flatMap((request, i) => (request.exact && outcomes[i] === "done"
    ? [`${attacker.who} was not refused: ${JSON.stringify({ ...request, name: request.name?.json })}`] : []));
}

async function swept(attacker, bob) {
  const wrongs = [];
  const sweep = attacker.sweep?.(PRIVATE) ?? sweepFor(attacker, PRIVATE, bob);
  const cuts = [];
  for (let at = 0; at < sweep.length; at += CHUNK) {
    const some = sweep.slice(at, at + CHUNK);
    const outcomes = await attacker.run(some, { batch: at % 2 === 0 });
    wrongs.push(...wrongsOf(attacker, some, outcomes));
    cuts.push(...some.filter(({ mayCut }, i) => !mayCut && outcomes[i] === "cut"));
  }
  assert.deepEqual(cuts, [], "every plain request is answered");
  await attacker.close(); // rows of its end run now
  let count = sweep.length;
  if (isSocketIo(attacker)) {
    for (const room of [...PRIVATE, "*"]) {
      const some = ["/", "/any"].flatMap((nsp) => ["by auth", "by query", "by header", "by cookie"].map((event) => ({ nsp, event, exact: true, place: room })));
      wrongs.push(...wrongsOf(attacker, some, await attacker.run(some, { room })));
      count += some.length;
    }
    await attacker.close();
  }
  return { wrongs, count };
}

/* A chunk of requests by chance. */
async function tried(attacker, next) {
  const requests = [];
  for (const count = 1 + next.below(CHUNK); requests.length < count; ) {
    const name = names(next, PRIVATE);
    requests.push(...(attacker.requests?.(name, next) ?? requestsFor(attacker, name, next)));
  }
  const room = isSocketIo(attacker) && next.below(8) === 0 ? JSON.parse(names(next, PRIVATE).json) : undefined;
  const usable = isName(room) && room.length < 256 && !/[\u0000-\u001f]/.test(room);
  const outcomes = await attacker.run(requests, { batch: next.below(2) === 0, ...(usable ? { room } : {}) });
  if (next.below(10) === 0) await attacker.close();
  return { wrongs: wrongsOf(attacker, requests, outcomes), count: requests.length, cut: outcomes.filter((outcome) => outcome === "cut").length };
}

/* Who rings as often as he can, by a row with a rate and by a namespace with one: by rows, too, whose room he names. */
async function rung(attacker) {
  if (!talks(attacker)) return;
  const words = JSON.stringify(`bell of ${attacker.user}`);
  const ways = isSocketIo(attacker) ? [{ nsp: "/", event: "ring" }, { nsp: "/", event: "say", args: ['"bell:bob"', words] }] : [{ type: "publish", field: "channel", name: { json: '"bell:bob"' }, more: `,"data":${words}` }];
  for (const way of ways) {
    const outcomes = await attacker.run(Array.from({ length: 3 * RINGS }, () => way));
    const done = outcomes.filter((outcome) => outcome === "done").length;
    assert.ok(done <= (attacker.user === null ? 0 : RINGS), `${attacker.who} rang ${done} times: ${outcomes}`);
  }
}

/* One public place, where the attack would be seen if it were one. */
async function control(attackers, bob) {
  const before = bob.hellos;
  const talkers = attackers.filter(talks);
  for (const attacker of talkers) {
    const requests = isSocketIo(attacker) ? [{ event: "join", args: ['"plaza"'] }, { event: "say", args: ['"plaza"', '"hello"'] }]
      : [{ type: "subscribe", field: "channel", name: { json: '"plaza"' } }, { type: "publish", field: "channel", name: { json: '"plaza"' }, more: ',"data":"hello"' }];
    assert.deepEqual(await attacker.run(requests), ["done", "done"], attacker.who);
  }
  await bob.json.publish("plaza", "for all in the plaza");
  await until("all hear each other in the plaza", async () => {
    for (const attacker of talkers) if (attacker.poll && attacker.session && attacker.seen.plaza === 0) await attacker.poll();
    return talkers.every(({ seen }) => seen.plaza > 0) && bob.hellos >= before + talkers.length;
  });
}

/* What is there is answered as what is not. */
async function alike(attacker, bob) {
  const pairs = [
    ...["portfolio:bob", "own:bob", "user:bob", "team:blue", "/any#portfolio:bob"].map((name) => [name, `${name.slice(0, -1)}#`]),
    ...bob.sids.map((sid) => [sid, `${sid.slice(0, 5)}${[...sid.slice(5)].reverse().join("")}`]),
    ...(isSocketIo(attacker) ? [] : bob.clientIds.map((id) => [id, `${id.slice(0, -4)}AAAA`])),
  ];
  const data = ',"data":"forged"';
  for (const [there, nowhere] of pairs) {
    const said = [];
    for (const name of [there, nowhere]) {
      const json = JSON.stringify(name);
      const requests = isSocketIo(attacker) ? ["join", "say", "look", "leave"].map((event) => ({ event, args: [json, '"forged"'] }))
        : bob.clientIds.includes(there) ? [{ type: "direct", field: "to", name: { json }, more: data }]
          : ["subscribe", "publish", "presence", "unsubscribe", "history"].map((type) => ({ type, field: "channel", name: { json }, more: type === "publish" ? data : "" }));
      const outcomes = await attacker.run(requests);
      said.push([...outcomes, ...attacker.said.map((text) => text.replaceAll(name, "NAME")).sort()]);
    }
    assert.deepEqual(said[0], said[1], `${attacker.who}: ${there} and ${nowhere}`);
  }
}

/* Being bob, or having his session, without his token. */
async function impersonated(broker, bob) {
  const forged = [tokenOf("pusher-7/bob"), tokenOf("bob", {}, "another-secret-of-thirty-two-bytes!!"), jwt.sign({ sub: "bob", exp: 9999999999 }, "", { algorithm: "none" }), `${tokenOf("alice").split(".")[0]}.${tokenOf("bob").split(".")[1]}.${tokenOf("alice").split(".")[2]}`];
  for (const token of forged) {
    const raw = await broker.raw();
    raw.write(upgradeRequest(`/ws?token=${token}`));
    assert.equal((await raw.response()).status, 401);
    raw.end();
  }
  const client = await broker.connect();
  for (const body of [...forged.map((token) => ({ token })), { session: tokenOf("alice"), userId: "bob" }, { session: tokenOf("alice") }, { userId: "bob" }, { user: "bob", id_user: "bob" }]) {
    const answer = await client.request({ type: "auth", ...body });
    assert.equal(answer.type, "error", JSON.stringify(body));
  }
  assert.equal((await client.request({ type: "auth", session: tokenOf("alice"), userId: "alice" })).user, "alice");
  await client.refused(409, { type: "auth", session: tokenOf("carol"), userId: "carol" });
  for (const auth of [...forged.map((token) => ({ token })), { session: tokenOf("alice"), userId: "bob" }]) {
    const socket = io(`http://${broker.host}`, { transports: ["websocket"], forceNew: true, reconnection: false, auth });
    const outcome = await new Promise((done) => socket.once("connect", () => done("connected")).once("connect_error", (error) => done(error.message)));
    socket.close();
    assert.equal(outcome, "Authentication failed");
  }
  for (const [auth, tokens] of [[{}, forged], [{ token: tokenOf("alice") }, [...forged, tokenOf("carol")]]]) {
    const socket = io(`http://${broker.host}`, { transports: ["websocket"], forceNew: true, reconnection: false, auth });
    for (const token of tokens) {
      assert.ok((await within(5000, socket.emitWithAck("login", token), "login")).error, "login as somebody else");
    }
    assert.equal((await within(5000, socket.emitWithAck("join", "club:bob"), "join")).error.code, 403);
    socket.close();
  }
  // Whoever has a session's id may poll: it is none of the ids that others are told.
  const engine = bob.polling["/"].io.engine.id;
  const cut = (id) => [id, `${id.slice(0, -1)}${id.at(-1) === "A" ? "B" : "A"}`, `${id.slice(0, 9)}${"A".repeat(11)}`, id.toLowerCase(), `${id}A`, id.slice(0, -1)];
  for (const sid of [...bob.sids.flatMap(cut), ...cut(engine).slice(1)]) {
    for (const method of ["GET", "POST"]) {
      const answer = await broker.get(`/socket.io/?EIO=4&transport=polling&sid=${encodeURIComponent(sid)}`, { method, body: method === "POST" ? '42["say","plaza","forged"]' : undefined });
      assert.deepEqual([answer.status, answer.body], [400, '{"code":1,"message":"Session ID unknown"}'], sid);
    }
    const raw = await broker.raw();
    raw.write(upgradeRequest(`/socket.io/?EIO=4&transport=websocket&sid=${encodeURIComponent(sid)}`));
    assert.equal((await raw.response()).status, 400, sid);
    raw.end();
  }
  for (const [path, body] of [["/api/publish", { channel: "own:bob", data: "forged" }], ["/api/broadcast", { data: "forged" }], ["/api/direct", { client: bob.clientIds[0], data: "forged" }], ["/api/subscribe", { user: "alice", channel: "own:bob" }], ["/api/disconnect", { user: "bob" }], ["/api/do", { client: bob.clientIds[0], emit: [{ event: "said", args: ["forged"] }] }], ["/api/retain", { channel: "board:bob", data: "forged" }], ["/api/unsubscribe", { user: "bob", channel: "own:bob" }], ["/api/revoke", { user: "bob" }]]) {
    for (const headers of [{}, { authorization: `Bearer ${tokenOf("alice")}` }, { authorization: "Bearer key-of-the-test" }, { authorization: "Bearer " }]) {
      assert.equal((await broker.get(path, { method: "POST", headers, body: JSON.stringify(body) })).status, 401, path);
    }
  }
  for (const path of ["/api/presence?user=bob", "/api/channels", "/api/channels?sort=rate", "/api/clients?user=bob&names=true", "/api/presence?channel=own:bob", "/api/history?channel=own:bob", "/api/config", "/api/stats", "/api/instances"]) assert.equal((await broker.get(path)).status, 401, path);
}

/* The app's HTTP API without its signature, or with one of something else. */
async function unsigned(broker) {
  const signed = (path, body, app = PUSHER_APP) => `${path}?${createSignedQuery({ method: "POST", path, body, app })}`;
  const body = JSON.stringify({ name: "told", channels: ["private-bob"], data: "forged" });
  const harmless = JSON.stringify({ name: "told", channels: ["elsewhere"], data: "harmless" });
  assert.equal((await broker.get(signed("/apps/7/events", harmless), { method: "POST", body: harmless })).status, 200, "so it would be signed");
  for (const path of ["/apps/7/events", signed("/apps/7/events", harmless), signed("/apps/7/events", body, { ...PUSHER_APP, secret: "another" }), signed("/apps/7/batch_events", body).replace("batch_events", "events")]) {
    assert.equal((await broker.get(path, { method: "POST", body })).status, 401, path);
  }
  for (const path of ["/apps/7/channels", "/apps/7/channels/presence-bob/users", "/apps/7/channels/private-bob"]) assert.equal((await broker.get(path)).status, 401, path);
  assert.equal((await broker.get("/apps/7/users/bob/terminate_connections", { method: "POST", body: "{}" })).status, 401);
}

/* As docs/pusher.md and pusher.com/docs/channels/library_auth_reference say. */
function createSignedQuery({ method, path, body, app }) {
  const query = `auth_key=${app.key}&auth_timestamp=${Math.floor(Date.now() / 1000)}&auth_version=1.0&body_md5=${createHash("md5").update(body).digest("hex")}`;
  return `${query}&auth_signature=${createHmac("sha256", app.secret).update(`${method}\n${path}\n${query}`).digest("hex")}`;
}

/* A session that waits for bob is had by nobody else, whatever he knows of it. */
async function returned(broker, bob) {
  const connects = (token) => io(`http://${broker.host}`, { transports: ["websocket"], forceNew: true, reconnection: false, auth: { token } });
  const socket = connects(bob.token);
  const came = () => within(10000, new Promise((done) => socket.once("connect", done)), "bob's connects");
  await came();
  socket.onAny(() => {}); // an offset is taken off what it hears
  const heard = new Promise((done) => socket.once("said", done));
  await within(5000, socket.emitWithAck("join", "plaza"), "join");
  socket.emit("say", "plaza", "something");
  await within(5000, heard, "it is heard");
  const [id, pid, offset] = [socket.id, socket._pid, socket._lastOffset];
  assert.ok(pid && offset, "it may come back");
  socket.io.engine.close();
  for (const token of [tokenOf("alice"), tokenOf("carol"), undefined]) {
    const engine = await openSocket({ port: broker.port, host: broker.host, path: "/socket.io/" });
    engine.answerPings = true;
    engine.send(`40${JSON.stringify({ token, pid, offset })}`);
    assert.notEqual(JSON.parse((await engine.next(20000)).slice(2)).sid, id, "the session is bob's");
    engine.end();
  }
  const again = came();
  socket.connect();
  await again;
  assert.deepEqual([socket.recovered, socket.id], [true, id]);
  socket.close();
}

/* Who has to say who it is hears and does nothing before. */
async function nameless() {
  const broker = await startBroker({ workers: 1, config: { "http.api_keys": [API_KEY], identity: [{ from: ["auth.token"], secret: TENANTS_CONFIG.identity[1].secret }] } });
  try {
    const told = async (data) => assert.equal((await broker.get("/api/broadcast", { method: "POST", headers: { authorization: `Bearer ${API_KEY}` }, body: JSON.stringify({ data }) })).status, 200);
    const client = await broker.connect();
    for (const type of ["subscribe", "publish"]) await client.refused(401, { type, channel: "plaza", data: 1 });
    await told("before");
    await client.ping();
    assert.deepEqual(client.inbox.map(({ data }) => data), [], "it hears nothing before");
    assert.equal((await client.request({ type: "auth", token: tokenOf("alice") })).user, "alice");
    await client.subscribe("plaza");
    await told("after");
    await until("it hears it", () => client.inbox.some(({ data }) => data === "after"));
  } finally {
    await broker.destroy();
  }
}

testBroker(`nothing of bob's is reached by ${REQUESTS} requests over every protocol`, { workers: 2, config: TENANTS_CONFIG, timeout: 120000, logLines: 20 }, async (broker) => {
  const bob = await new Bob(broker).start();
  const next = random();
  const attackers = [];
  try {
    const telling = bob.tell();
    telling.catch(() => {});
    const wrongs = [];
    let count = 0;
    let cut = 0;
    for (const Kind of Object.values(ATTACKERS)) {
      for (const user of ["alice", null]) {
        const attacker = new Kind(broker, user, user === null ? undefined : tokenOf(user));
        attacker.bobs = bob.sids;
        const { wrongs: some, count: more } = await swept(attacker, bob);
        wrongs.push(...some, ...attacker.wrongs);
        assert.deepEqual([...wrongs, ...bob.wrongs].slice(0, 10), [], `RINGCAST_SEED=${SEED}`);
        count += more;
      }
    }
    for (const user of ["alice", null]) wrongs.push(...await pried(bob, user, user === null ? undefined : tokenOf(user), NativeAttacker));
    assert.deepEqual([...wrongs, ...bob.wrongs].slice(0, 10), [], "the diary");
    await impersonated(broker, bob);
    await unsigned(broker);
    await returned(broker, bob);
    await nameless();
    for (const [i, Kind] of Object.values(ATTACKERS).entries()) {
      for (let j = 0; j < 3; j++) {
        const user = USERS[(3 * i + j + next.below(USERS.length)) % USERS.length];
        attackers.push(new Kind(broker, user, user === null ? undefined : tokenOf(user)));
        attackers.at(-1).bobs = bob.sids;
      }
    }
    await control(attackers, bob);
    const share = Math.ceil(Math.max(REQUESTS - count, REQUESTS / 2) / attackers.length); // what is plainly said may be as many already
    const shares = await Promise.all(attackers.map(async (attacker, i) => {
      const own = random(SEED + i);
      let its = 0;
      await rung(attacker);
      while (its < share && wrongs.length + bob.wrongs.length === 0) {
        const result = await tried(attacker, own);
        wrongs.push(...result.wrongs, ...attacker.wrongs);
        its += result.count;
        cut += result.cut;
      }
      return its;
    }));
    count = shares.reduce((sum, its) => sum + its, count);
    await control(attackers, bob);
    for (const attacker of attackers.filter(talks)) await alike(attacker, bob);
    for (const attacker of attackers) await attacker.close();
    bob.stop();
    await telling;
    await bob.check();
    wrongs.push(...attackers.flatMap((attacker) => attacker.wrongs));
    assert.deepEqual([...wrongs, ...bob.wrongs].slice(0, 10), [], `RINGCAST_SEED=${SEED}`);
    console.log(`${count} requests (${cut} of them cut off), ${bob.told.length} canaries, RINGCAST_SEED=${SEED}`);
  } finally {
    for (const attacker of attackers) await attacker.close();
    bob.close();
  }
});

// What servers beside it send to one socket is that socket's, whoever it is; and its answers are its own.
testRedis("sockets of Node servers and what these send to one socket are nobody else's", { brokers: 1, workers: 2, config: { ...MEMBER_CONFIG, "permissions.direct": "none", "socketio.adapter": "classic" } }, async ({ brokers: [broker], redis }) => {
  const node = await startNode(KINDS.classic, redis);
  const victims = [];
  const native = await broker.connect();
  const socket = await memberClient(broker.port);
  const engine = await openSocketIo({ port: broker.port, host: broker.host, path: "/socket.io/" });
  const heard = [];
  const take = native.received.bind(native);
  native.received = (bytes, isBinary) => {
    heard.push(bytes.toString("latin1"));
    take(bytes, isBinary);
  };
  try {
    for (const port of [broker.port, node.port]) victims.push(await memberClient(port));
    for (const victim of victims) victim.on("question", (n, answer) => setTimeout(() => answer(`answer ${n}`), 20));
    for (const { id } of victims) {
      for (const type of ["subscribe", "publish"]) await native.refused(403, { type, channel: id, event: "said", data: "forged" });
      socket.emit("say", id, "forged");
      // No answer is a refusal of the join: the row has none for it but the error.
      assert.equal((await within(5000, new Promise((done) => socket.emit("join", id, done)), "an answer")).error?.code, 403, id);
    }
    await heardEverywhere([node], [...victims, socket].map((one) => Object.assign(one, { nsp: "/" })));
    for (const victim of victims) {
      node.io.to(victim.id).emit("for one", "secret-abcdefabcdef");
      await until("it is heard", () => victim.got.some(([event]) => event === "for one"));
      // Others answer at once, and in vain, whatever numbers they think of.
      const asked = Promise.all(Array.from({ length: 8 }, (_, n) => node.io.to(victim.id).timeout(5000).emitWithAck("question", n)));
      for (let n = 0; n < 64; n++) engine.send(`43${n}["forged"]`, `43${2 ** 30 + n}["forged"]`);
      assert.deepEqual(await within(10000, asked, "all answers"), Array.from({ length: 8 }, (_, n) => [`answer ${n}`]));
    }
    node.io.emit("end");
    await until("the end", () => [...victims, socket].every(({ got }) => got.some(([event]) => event === "end")));
    assert.ok(!heard.some((text) => text.includes("secret-")) && !socket.got.some((got) => JSON.stringify(got).includes("secret-")), "nobody else heard it");
    for (const { got } of victims) assert.ok(!JSON.stringify(got).includes("forged"), JSON.stringify(got));
  } finally {
    for (const one of [...victims, socket]) one.disconnect();
    engine.end();
    await node.stop();
  }
});

test("each guard that is taken away by tests/stress/isolation.mjs is in the sources", () => {
  for (const guard of GUARDS) assert.ok(sourceOf(guard).length > 0, guard.name);
  assert.equal(new Set(GUARDS.map(({ name }) => name)).size, GUARDS.length, "each has a name of its own");
});

test("whatever refuses somebody is a guard of the list, or no guard for a reason that is told", () => {
  assert.deepEqual(unguarded().sort(), Object.keys(NO_GUARDS).sort());
});
