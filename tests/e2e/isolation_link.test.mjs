// Processes of a linked application as attackers of each other: what one has, another one can neither reach, take, end nor speak for, also if it
// knows the secret (docs/link.md, "Who may say what"). Clients of the broker's own and strangers reach none of it. tests/stress/isolation.mjs takes
// each guard away and expects this to fail.
import assert from "node:assert/strict";
import { Application, FLAGS, SECRET, client, linkConfig, list, messages, testLink, text } from "./lib/application.mjs";
import { testBroker } from "./lib/broker.mjs";
import { hasLinks } from "./lib/link.mjs";
import { until } from "./lib/util.mjs";

const NSP = "/";
const ROOM = "sroom of bob";
const SID = "sid-of-bob";
const session = (nsp, sid, data) => Buffer.concat([text(nsp), text(sid), text("pid"), ...["{}", JSON.stringify(data)].flatMap((json) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(json.length);
  return [bytes, Buffer.from(json)];
})]);
const cluster = (nsp, from, to, rest) => Buffer.concat([text(nsp), text(from), text(to), Buffer.from(rest)]);
const resumes = (link) => link.ready({ resume: true, frames: 0 });

/* Of two processes, one with bob's client and one with a client of its own. */
class Neighbours {
  constructor(broker, owner, other) {
    Object.assign(this, { broker, owner, other });
  }

  async meet() {
    const sockets = [client(this.broker), client(this.broker)];
    for (const socket of sockets) await socket.opening;
    await this.owner.connected(1), await this.other.connected(1);
    const of = (application) => sockets.find(({ id }) => id === application.conns[0].open.sid);
    [this.bob, this.mallory] = [of(this.owner), of(this.other)];
    [this.bobs, this.own] = [this.owner.conns[0], this.other.conns[0]];
    this.bobs.join(NSP, SID, [ROOM]);
    this.bobs.link.send("SESSION", { connection: this.bobs.id, payload: session(NSP, SID, { of: "bob" }) });
    this.bobs.link.send("ENTER", { payload: Buffer.concat([text(NSP), text("uid of bob")]) });
    this.own.join(NSP, "sid-of-mallory", ["sroom of mallory"]);
    await this.carriedOut(this.bobs, this.bob);
    await this.carriedOut(this.own, this.mallory);
    return this;
  }

  /* All that the process has said for the connection's link is carried out. */
  async carriedOut(connection, socket) {
    const mark = `mark ${(this.marks = (this.marks ?? 0) + 1)}`;
    connection.text(mark);
    await until(`${mark} is heard`, () => socket.heard.includes(mark));
  }

  /* Bob is where he was, hears what is for him, and nothing else. */
  async unharmed(what) {
    const before = this.bob.heard.length;
    this.owner.broadcast(NSP, { rooms: ["sforged"] }, "forged: to a room that bob is not in");
    this.owner.broadcast("/forged", {}, "forged: to a namespace that bob is not in");
    this.owner.broadcast(NSP, { rooms: [ROOM] }, "to the room");
    this.owner.broadcast(NSP, {}, "to all");
    this.owner.broadcast(NSP, { rooms: [`s${SID}`] }, "to himself");
    await this.carriedOut(this.bobs, this.bob);
    assert.deepEqual(this.bob.heard.slice(before, before + 3), ["to the room", "to all", "to himself"], what);
    assert.deepEqual(this.bob.heard.filter((message) => /forged/.test(message)), [], what);
    assert.deepEqual([this.bob.closed, this.bobs.closed, this.bobs.link.ended], [undefined, undefined, false], what);
    this.bob.send(`after ${what}`);
    await until("his process hears him", () => this.bobs.heard.includes(`after ${what}`));
    for (const { heard } of this.other.conns) assert.ok(!heard.some((message) => /^after/.test(message)), what);
  }
}

const second = {};
const two = { workers: 1, timeout: 60000, backend: { grace: "20s" }, application: { greet: resumes }, config: async () => {
  second.application = await new Application({ greet: resumes }).listen();
  return {};
} };
/* Both processes are linked, and know nothing of each other. */
async function neighbours(broker, application) {
  broker.writeConfig({ ...broker.config, backend: [{ ...broker.config.backend[0], url: [application.url, second.application.url] }] });
  broker.child.kill("SIGHUP");
  await until("both are linked", async () => (await broker.metrics())("ringcast_links") === 2);
  await until("by the new table", () => [application, second.application].every(({ links }) => links.size === 1 && [...links][0].of("RECEIPT").length === 1));
  return new Neighbours(broker, application, second.application).meet();
}
/* The link of a process ends, and with it its client goes to bob's; it comes again, and gets another client. */
async function again(all, ended) {
  const { other } = all;
  await until("its link has ended", ended);
  all.mallory.close();
  await until("it is there again", () => other.links.size === 1 && [...other.links].every((link) => link.of("RECEIPT").length === 1));
  all.mallory = await until("it has a client", async () => {
    const socket = client(all.broker);
    await socket.opening;
    const its = await until("some process has it", () => [...other.conns, ...all.owner.conns].find(({ open, link }) => open.sid === socket.id && !link.ended));
    all.own = its;
    if (other.conns.includes(its)) return socket;
    socket.close();
    return false;
  });
}

testLink("nothing of bob's connection is reached by a process that does not have it", two, async (broker, application) => {
  try {
    const all = await neighbours(broker, application);
    const { own, other, bobs } = all;
    const says = (type, options = {}) => own.link.send(type, { connection: bobs.id, ...options });
    const attacks = {
      TEXT: () => says("TEXT", { payload: Buffer.from("forged text") }),
      "half a packet": () => says("TEXT", { flags: FLAGS.MORE, payload: Buffer.from("forged half") }),
      BINARY: () => says("BINARY", { payload: Buffer.from("forged bytes") }),
      JOIN: () => says("JOIN", { payload: Buffer.concat([text(NSP), text("another sid"), list(["sforged"])]) }),
      "JOIN of a namespace": () => says("JOIN", { payload: Buffer.concat([text("/forged"), text("another sid"), list([])]) }),
      "LEAVE of a room": () => says("LEAVE", { payload: Buffer.concat([text(NSP), text(SID), list([ROOM])]) }),
      "LEAVE of all": () => says("LEAVE", { flags: FLAGS.ALL, payload: Buffer.concat([text(NSP), text(SID), list([])]) }),
      SESSION: () => says("SESSION", { payload: session(NSP, SID, { of: "forged" }) }),
      RESUMED: () => says("RESUMED"),
      ACCEPT: () => says("ACCEPT", { payload: Buffer.from("{}") }),
      REJECT: () => says("REJECT", { payload: Buffer.from("{}") }),
      CLOSE: () => says("CLOSE"),
      "CLOSE at once": () => says("CLOSE", { flags: FLAGS.DISCARD }),
      // By the id of a socket, over its own connection.
      "LEAVE of his socket": () => own.leave(NSP, SID),
      "SESSION of his socket": () => own.link.send("SESSION", { connection: own.id, payload: session(NSP, SID, { of: "forged" }) }),
    };
    for (const [what, attack] of Object.entries(attacks)) {
      attack();
      await all.carriedOut(own, all.mallory);
      await all.unharmed(what);
    }
    assert.equal((await broker.metrics())("ringcast_link_broken_total"), 0, "it is passed over: the connection might have been its own before");
    // To have the id of his socket, and with it what is for it.
    own.join(NSP, SID, ["sforged"]);
    await until("its client is closed", () => all.mallory.closed && own.closed);
    await until("the log says so", () => broker.log.some((line) => /link_message_refused .*another connection's/.test(line)));
    assert.equal((await broker.metrics())("ringcast_link_broken_total"), 0, "who had it first need not be who has a right to it");
    await all.unharmed("JOIN with the id of his socket");
    // What is known of him when his own process is gone is what that has said.
    const links = application.all.length;
    await application.close();
    const moved = await until("bob is opened at the other one", () => other.conns.find(({ open, link }) => open.sid === all.bob.id && !link.ended));
    const [socket] = moved.open.resume;
    assert.deepEqual([moved.open.resume.length, socket.nsp, socket.sid, socket.data, socket.rooms], [1, NSP, SID, { of: "bob" }, [ROOM]]);
    assert.equal(application.all.length, links);
  } finally {
    await second.application.close();
  }
});

testLink("nothing of bob's process is said or heard by another one in its place", two, async (broker, application) => {
  const peers = (link) => link.of("PEERS").map(({ payload }) => payload.subarray(2 + NSP.length + 2).toString());
  const told = (link) => link.of("CLUSTER").map(({ payload }) => payload.toString("latin1"));
  try {
    const all = await neighbours(broker, application);
    const { other, bobs } = all;
    // In a namespace that it has not entered it hears nothing, whoever speaks.
    all.own.link.send("ENTER", { payload: Buffer.concat([text("/mallory"), text("uid of mallory")]) });
    bobs.link.send("CLUSTER", { payload: cluster(NSP, "uid of bob", "", "secret") });
    bobs.link.send("CLUSTER", { payload: cluster(NSP, "uid of bob", "uid of mallory", "secret") });
    all.own.link.send("CLUSTER", { payload: cluster("/mallory", "uid of mallory", "", "forged") });
    all.own.link.send("CLUSTER", { payload: cluster("/mallory", "uid of mallory", "uid of bob", "forged") });
    await all.carriedOut(bobs, all.bob);
    await all.carriedOut(all.own, all.mallory);
    assert.deepEqual([told(all.own.link), told(bobs.link), peers(bobs.link).length], [[], [], 1]);
    // His adapter stays his.
    all.own.link.send("EXIT", { payload: Buffer.concat([text(NSP), text("uid of bob")]) });
    all.own.link.send("ENTER", { payload: Buffer.concat([text(NSP), text("uid of mallory")]) });
    await all.carriedOut(all.own, all.mallory);
    assert.match(peers(all.own.link).at(-1), /uid of bob/);
    bobs.link.send("CLUSTER", { payload: cluster(NSP, "uid of bob", "", "for all") });
    await until("it hears what is for it", () => told(all.own.link).some((message) => message.endsWith("for all")));
    for (const [what, type, payload] of [
      ["his uid", "ENTER", Buffer.concat([text(NSP), text("uid of bob")])],
      ["his word", "CLUSTER", cluster(NSP, "uid of bob", "", "forged")],
      ["his word to himself", "CLUSTER", cluster(NSP, "uid of bob", "uid of bob", "forged")],
    ]) {
      const before = (await broker.metrics())("ringcast_link_cluster_dropped_total") + (await broker.metrics())("ringcast_link_adapters_refused_total");
      all.own.link.send(type, { payload });
      await all.carriedOut(all.own, all.mallory);
      const after = (await broker.metrics())("ringcast_link_cluster_dropped_total") + (await broker.metrics())("ringcast_link_adapters_refused_total");
      assert.equal(after, before + 1, what);
      assert.ok(!told(bobs.link).some((message) => /forged/.test(message)), what);
      await all.unharmed(what);
    }
    // Nor does his link end because another one has taken his uid, or the id of his socket, before he said it.
    all.own.link.send("ENTER", { payload: Buffer.concat([text(NSP), text("bob's next uid")]) });
    all.own.join(NSP, "bob's next sid", []);
    await all.carriedOut(all.own, all.mallory);
    bobs.link.send("ENTER", { payload: Buffer.concat([text(NSP), text("bob's next uid")]) });
    bobs.link.send("CLUSTER", { payload: cluster(NSP, "bob's next uid", "", "of bob") });
    const guest = client(broker);
    await guest.opening;
    const its = await until("some process has it", () => [...other.conns, ...application.conns].find(({ open }) => open.sid === guest.id));
    its.join(NSP, its.link === bobs.link ? "bob's next sid" : SID, []);
    await until("it is closed", () => guest.closed);
    await all.unharmed("what another one has taken first");
    // Nor is it his process: neither with his name, nor before it has said who it is, nor without the secret.
    for (const [what, greet] of Object.entries({
      "his name": (link) => link.ready({ process: application.process, resume: true, frames: 0 }),
      "before READY": (link) => {
        link.send("BROADCAST", { payload: Buffer.concat([text(NSP), list([]), list([]), text(""), messages(["forged"])]) });
        resumes(link);
      },
      "another secret": (link) => {
        link.ready({ secret: `not ${SECRET}`, resume: true, frames: 0 });
        link.send("BROADCAST", { payload: Buffer.concat([text(NSP), list([]), list([]), text(""), messages(["forged"])]) });
      },
    })) {
      const before = other.all.length;
      other.greet = greet;
      const { link } = all.own;
      link.socket.destroy();
      await until(`${what}: it is refused`, () => other.all.slice(before).some((one) => one.ended && one.of("ERROR").length === 1));
      other.greet = resumes;
      await all.unharmed(what);
      await again(all, () => link.ended);
    }
  } finally {
    await second.application.close();
  }
});

/* What is said in rooms of an application is in channels of names that no client can say. */
const KEY = "key-of-the-tests";
const linked = new Application();
testBroker("nothing of bob's rooms is a channel of anybody else", { workers: 1, config: async () => {
  await linked.listen();
  return { "socketio.path": "/socket.io/", "http.api_keys": [KEY], ...linkConfig(linked) };
} }, async (broker) => {
  try {
    await hasLinks(broker, 1); // who comes before is sent away
    const bob = client(broker);
    await bob.opening;
    const [connection] = await linked.connected(1);
    connection.join(NSP, SID, [ROOM]);
    const native = await broker.connect();
    const names = ["", ROOM, `s${SID}`].map((room) => `\u0001\u0001${NSP}${room}`);
    for (const channel of names) {
      for (const type of ["subscribe", "publish"]) await native.refused(400, { type, channel, data: "forged" });
      const { status } = await broker.get("/api/publish", { method: "POST", headers: { authorization: `Bearer ${KEY}` }, body: JSON.stringify({ channel, data: "forged" }) });
      assert.equal(status, 400);
    }
    // Without the byte it is another channel.
    for (const channel of [ROOM, `s${SID}`, NSP, "/#"]) {
      await native.request({ type: "publish", channel, data: "forged" });
      await native.request({ type: "subscribe", channel });
    }
    for (const data of ["forged"]) await broker.get("/api/broadcast", { method: "POST", headers: { authorization: `Bearer ${KEY}` }, body: JSON.stringify({ data }) });
    linked.broadcast(NSP, {}, "secret to all");
    linked.broadcast(NSP, { rooms: [ROOM] }, "secret to the room");
    await until("bob hears it", () => bob.heard.length >= 2);
    await native.ping();
    assert.deepEqual(bob.heard, ["secret to all", "secret to the room"]);
    assert.ok(!JSON.stringify(native.inbox).includes("secret"));
    bob.close();
  } finally {
    await linked.close();
  }
});

testLink("nothing of bob's process is displaced by one that is in too many namespaces: it has its share", two, async (broker, application) => {
  try {
    const all = await neighbours(broker, application);
    const { own, bobs } = all;
    const most = own.link.hello.namespaces_max;
    const beyond = 20;
    const entry = (nsp, uid) => ({ payload: Buffer.concat([text(nsp), text(uid)]) });
    const metric = (name) => broker.metrics().then((value) => value(`ringcast_link_adapters${name}`));
    for (let i = 0; i < most + beyond; i++) own.link.send("ENTER", entry(`/many ${i}`, "uid of mallory"));
    await until("it has its share", async () => (await metric("_refused_total")) === beyond);
    assert.equal(await metric(""), most + 1, "and bob's process has its own");
    await until("the log says so", () => broker.log.some((line) => /link_adapter_refused.*cleanupEmptyChildNamespaces/.test(line)));

    // What bob's process enters has its place, and is heard of where mallory's got one.
    bobs.link.send("ENTER", entry("/bob's", "uid of bob"));
    bobs.link.send("ENTER", entry("/many 0", "uid of bob"));
    await until("it is told who is there", () => bobs.link.of("PEERS").some(({ payload }) => payload.includes("/many 0") && payload.includes("uid of mallory")));
    own.link.send("ENTER", entry("/many 0", "another uid"));
    await all.unharmed("too many namespaces");
    assert.equal(own.link.of("ERROR").length, 0, "nor does it end");

    // A place that is given back is there for the next one.
    own.link.send("EXIT", entry("/many 1", "uid of mallory"));
    own.link.send("ENTER", entry("/the next", "uid of mallory"));
    await until("it is told of that one", () => own.link.of("PEERS").some(({ payload }) => payload.includes("/the next")));
    own.link.socket.destroy();
    await until("all of its are gone with it", async () => (await metric("")) === 3);
  } finally {
    await second.application.close();
  }
});

testLink("nothing of bob's process is flooded by one with too many adapters in one namespace: each is told to everybody who is there", two, async (broker, application) => {
  try {
    const { own, bobs } = await neighbours(broker, application);
    for (let i = 0; i < 100; i++) own.link.send("ENTER", { payload: Buffer.concat([text(NSP), text(`uid ${i}`)]) });
    await until("the others are refused", async () => (await broker.metrics())("ringcast_link_adapters_refused_total") === 84);
    await until("bob's process was told", () => bobs.link.of("PEERS").length >= 17);
    assert.equal(bobs.link.of("PEERS").length, 17, "bob's process was told of 16, and of nobody at first");
  } finally {
    await second.application.close();
  }
});
