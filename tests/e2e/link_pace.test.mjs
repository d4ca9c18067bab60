// What a process says to the other ones (CLUSTER), on the application's side: who hears it at once, what waits, for whom, in which order, and when it goes on.
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import test from "node:test";
import { requireIn } from "./lib/link.mjs";
import { until } from "./lib/util.mjs";

const require = await requireIn();
const { CLUSTER, HEAD, broker } = require(join(dirname(require.resolve("ringcast-socket.io")), "frames.js"));
const { Pace } = require(join(dirname(require.resolve("ringcast-socket.io")), "bus.js"));
const { Links } = require(join(dirname(require.resolve("ringcast-socket.io")), "links.js"));

const WINDOW = 10; // less than a frame: one fills it

/* This process, with lines whose other ends are in the test's hands; `backMs`: how long it waits for the one that speaks; `said()`: what they have been told since ("worker to what"). */
function bench({ resume = true, backMs = 600000, ...hello } = {}) {
  const links = new Links({ secrets: ["x"], resume });
  links.backMs = backMs;
  const sent = [];
  const reports = [];
  links.engine = { asks: false };
  links.report = (why) => reports.push(why);
  const linkOf = (line) => ({
    hello: line.hello, asks: false, unwritten: 0, end() {}, refuse() {}, send: () => true,
    write(frame) {
      if (frame.length > HEAD + (line.hello.frame_max ?? Infinity)) return false;
      if (frame[4] !== CLUSTER) return true;
      for (const { values } of new broker.Reader().read(frame)) sent.push(`${line.hello.worker} ${values[2] || "all"} ${values[3].length > 100 ? values[3].length : values[3]}`);
      return true;
    },
  });
  // ENTER and EXIT are no frames of the broker's.
  const quiet = (line) => Object.assign(line, { enter: (adapter) => line.entered.add(adapter), exit: (adapter) => (line.peers.delete(adapter.key), line.entered.delete(adapter)) });
  const attach = (line, carriedOut) => {
    line.attach(linkOf(line), carriedOut);
    links.onAttached(line, true);
    return line;
  };
  const make = (worker = 0, more = {}) => attach(quiet(links.make({ instance: "a", name: "x", worker, grace: 600000, cluster_window: WINDOW, features: resume ? ["resume"] : [], ...hello, ...more }, resume)));
  /* Its link ends; whoever is there is known by another one, or as it was. */
  const cut = (line) => links.onEnd(line.link, null);
  const enter = (key) => {
    const adapter = {
      key, uid: links.bus.uid, nsp: { name: key }, nodesMap: new Map(), // as LinkAdapter does it
      onPeers(uids) {
        for (const uid of [...this.nodesMap.keys()]) if (!uids.includes(uid) && this.nodesMap.delete(uid)) links.bus.leaves(this, uid);
        for (const uid of uids) this.nodesMap.set(uid, 0), links.bus.comes(this, uid);
      },
    };
    links.enter(adapter);
    return adapter;
  };
  const say = (adapter, what, to = "") => links.bus.say(adapter, to, Buffer.isBuffer(what) ? what : Buffer.from(what));
  const peers = (line, adapter, ...uids) => links.onPeers(line, adapter.key, uids);
  const end = () => [...links.lines.values()].forEach((line) => line.end());
  return { links, reports, make, attach, cut, enter, say, peers, end, said: () => sent.splice(0), bus: links.bus };
}

test("what another process has taken is known by the number of the frame", () => {
  const pace = new Pace();
  assert.equal(pace.takes("a", undefined), true, "a broker that says nothing of a pace");
  pace.say(["a.0", "b.0"], 60);
  pace.say(["a.1"], 60);
  pace.say(["0123456789abcdef"], 1000); // of another package: nothing is known of it
  const takes = () => ["a", "b", "0123456789abcdef"].map((process) => pace.takes(process, 100));
  assert.deepEqual(takes(), [false, true, true]);
  pace.taken("a", 1);
  assert.deepEqual(takes(), [true, true, true]);
  pace.taken("nobody", 7);
  pace.taken("a", 2);
  pace.taken("b", 2);
  assert.equal(pace.untaken.size, 0);
});

test("what waits for a process goes to it alone, in order, by whichever line speaks; when it is away for a while, then; when it has gone, nowhere", () => {
  const { links, bus, make, cut, enter, say, peers, said, end } = bench();
  const adapter = enter("/");
  const first = make(0);
  const other = make(1);
  for (const line of [first, other]) peers(line, adapter, "a.0", "b.0");
  for (const what of ["1", "2", "3"]) assert.equal(say(adapter, what), undefined);
  assert.deepEqual(said(), ["0 all 1"], "a window is full behind the first one");
  bus.onTaken(first, 1, ["b"]);
  assert.deepEqual(said(), ["0 b.0 2"]);
  bus.onTaken(first, 2, ["b"]);
  assert.deepEqual(said(), ["0 b.0 3"]);
  cut(first);
  assert.equal(say(adapter, "to b", "b.0"), undefined);
  assert.deepEqual(said(), [], "its worker may be back at once, and has what they have yet to take");
  first.end();
  assert.deepEqual(said(), ["1 a.0 2", "1 b.0 to b"], "the other worker has been told nothing yet");

  peers(other, adapter, "b.0");
  bus.onTaken(other, 2, ["a", "b"]);
  assert.equal(say(adapter, "4"), undefined);
  assert.deepEqual(said(), ["1 b.0 4"]);
  peers(other, adapter, "a.0", "b.0");
  assert.deepEqual(said(), ["1 a.0 3"], "nothing that it was told before is on its way");
  bus.onTaken(other, 4, ["a"]);
  assert.deepEqual(said(), ["1 a.0 4"]);

  assert.equal(say(adapter, "5"), undefined);
  assert.deepEqual([...bus.others.values()].map(({ ready }) => ready.size), [1, 1]);
  bus.onTaken(other, 9, ["a", "b"]);
  said();
  other.peers.clear(); // its worker has another link, and has not said yet who is there
  assert.equal(say(adapter, "6"), undefined);
  bus.onTaken(other, 9, ["a", "b"]);
  assert.deepEqual(said(), []);
  peers(other, adapter, "a.0", "b.0");
  assert.deepEqual(said().sort(), ["1 a.0 6", "1 b.0 6"]);
  assert.deepEqual([say(adapter, "7"), say(adapter, "8")], [undefined, undefined]);
  links.exit(adapter);
  assert.deepEqual([bus.others.size, bus.hearers.size, other.pace.untaken.size], [0, 0, 0]);
  end();
});

test("who speaks is the same worker when its link is another one; one that does not come back is waited for for a while", async () => {
  const { links, bus, make, attach, cut, enter, say, peers, said, end } = bench({ backMs: 50 });
  const adapter = enter("/");
  const [first, other] = [make(0), make(1)];
  for (const line of [first, other]) peers(line, adapter, "a.0");
  for (const what of ["1", "2"]) say(adapter, what);
  cut(first);
  links.backMs = 600000;
  attach(first, 1);
  peers(first, adapter); // a.0 stands still, and what it has yet to take waits there
  say(adapter, "3");
  assert.deepEqual(said(), ["0 all 1"]);
  peers(first, adapter, "a.0");
  bus.onTaken(first, 1, ["a"]);
  assert.deepEqual(said(), ["0 a.0 2", "0 a.0 3"]);

  links.backMs = 50;
  say(adapter, "4");
  cut(first);
  assert.deepEqual([links.primary, said()], [first, []]);
  await until("the other one speaks", () => links.primary === other);
  assert.deepEqual(said(), ["1 a.0 4"]);
  attach(first, 3);
  peers(first, adapter, "a.0");
  bus.onTaken(other, 1, ["a"]);
  say(adapter, "5");
  assert.deepEqual(said(), ["1 all 5"], "and goes on speaking");
  end();
});

test("when all were away who spoke goes on, whoever is back first; who is not back for a while does not", async () => {
  const { links, make, attach, cut, enter, say, peers, said, end } = bench();
  const adapter = enter("/");
  const [first, other] = [make(0), make(1)];
  for (const line of [first, other]) peers(line, adapter, "a.0");
  say(adapter, "1");
  for (const line of [first, other]) cut(line);
  say(adapter, "2");
  attach(other);
  peers(other, adapter, "a.0");
  assert.deepEqual([links.primary, said()], [first, ["0 all 1"]]);
  attach(first);
  peers(first, adapter, "a.0");
  assert.deepEqual(said(), ["0 a.0 1"], "again, and then the window is full");

  for (const line of [first, other]) cut(line);
  links.backMs = 50;
  attach(other);
  peers(other, adapter, "a.0");
  assert.equal(links.primary, first);
  await until("the other one speaks", () => links.primary === other);
  assert.deepEqual(said(), ["1 a.0 2"], "what the first one has not carried out waits for it");
  end();
});

test("more than is kept for a process, and a message that is more than a link carries, is refused", () => {
  const { make, enter, say, peers } = bench({ frame_max: 1 << 20 });
  const adapter = enter("/");
  peers(make(), adapter, "a.0");
  assert.match(say(adapter, Buffer.alloc(1 << 20)), /more than a link carries/);
  const bytes = Buffer.alloc(1 << 19);
  for (let i = 0; i < 1 + 128; i++) assert.equal(say(adapter, bytes), undefined, `${i}`);
  assert.match(say(adapter, bytes), /does not take what is said to it/);
  assert.match(say(adapter, Buffer.alloc(1 << 20)), /more than a link carries/, "also when it would have to wait");
});

test("an adapter that is not there keeps nothing from the others of its process", () => {
  const { bus, make, enter, say, peers, said, end } = bench({ frame_max: 1 << 27 });
  const [root, dyn] = [enter("/"), enter("/dyn")];
  const line = make();
  peers(line, root, "a.0");
  peers(line, dyn, "a.1");
  peers(line, dyn); // EXIT, or its link was cut: nobody knows yet
  assert.deepEqual([say(dyn, "to nobody"), say(root, "1"), say(root, "2")], [undefined, undefined, undefined]);
  assert.deepEqual(said(), ["0 all 1"]);
  bus.onTaken(line, 1, ["a"]);
  assert.deepEqual(said(), ["0 a.0 2"]);
  bus.onTaken(line, 2, ["a"]);
  // It uses up nothing of what may wait for the others, either.
  assert.equal(say(dyn, Buffer.alloc((64 << 20) - "to nobody".length)), undefined);
  assert.match(say(dyn, "more"), /does not take what is said to it/);
  for (const what of ["3", "4"]) assert.equal(say(root, what), undefined);
  bus.onTaken(line, 3, ["a"]);
  assert.deepEqual(said(), ["0 all 3", "0 a.0 4"]);
  peers(line, dyn, "a.1");
  bus.onTaken(line, 4, ["a"]);
  assert.deepEqual(said(), ["0 a.1 to nobody"], "it was its link, and it is back");
  end();
});

test("of what waits for several adapters of a process none waits for all that is for another one", () => {
  const { bus, make, enter, say, peers, said, end } = bench();
  const adapters = [enter("/"), enter("/dyn")];
  const line = make();
  for (const [i, adapter] of adapters.entries()) peers(line, adapter, `a.${i}`);
  for (const adapter of adapters) for (const what of ["1", "2", "3"]) say(adapter, what);
  for (let number = 1; number < 6; number++) bus.onTaken(line, number, ["a"]);
  assert.deepEqual(said(), ["0 all 1", "0 a.0 2", "0 a.1 1", "0 a.0 3", "0 a.1 2", "0 a.1 3"]);
  end();
});

test("an adapter that ends here leaves nobody waiting for it", () => {
  const { links, bus, make, enter, say, peers, said, end } = bench();
  const [root, dyn] = [enter("/"), enter("/dyn")];
  const line = make();
  peers(line, root, "a.0");
  peers(line, dyn, "a.1");
  for (const adapter of [root, dyn, root, dyn]) say(adapter, adapter.key);
  peers(line, dyn); // what is for it is before what is for the other one
  bus.onTaken(line, 1, ["a"]);
  links.exit(dyn);
  assert.deepEqual(said(), ["0 all /", "0 a.0 /"]);
  assert.deepEqual([bus.others.get("a").bytes, bus.hearers.size, bus.others.get("a").timer], [0, 1, undefined]);
  end();
});

test("what a worker has been told of a process is forgotten when none of its adapters is there any more; one timer waits for all of them", async () => {
  const { links, bus, make, enter, say, peers, end } = bench({ grace: 5 });
  const adapters = Array.from({ length: 50 }, (_, i) => enter(`/${i}`));
  const line = make();
  for (const [i, adapter] of adapters.entries()) peers(line, adapter, `a.${i}`, `b.${i}`);
  say(adapters[0], "1");
  const other = bus.others.get("a");
  assert.deepEqual([other.there, line.pace.untaken.size], [50, 2]);
  for (const [i, adapter] of adapters.entries()) {
    assert.ok(line.pace.untaken.has("a"), `${i}`);
    peers(line, adapter, `b.${i}`);
  }
  assert.deepEqual([other.there, [...line.pace.untaken.keys()]], [0, ["b"]]);
  assert.equal(typeof other.timer, "object");
  for (const adapter of adapters) assert.equal(say(adapter, "2"), undefined);
  await until("nothing waits for it any more", () => !bus.others.has("a"));
  assert.deepEqual([other.bytes, other.away.size, other.timer, bus.others.get("b").hearers], [0, 0, undefined, 50]);
  for (const adapter of adapters) links.exit(adapter);
  assert.equal(bus.others.size, 0);
  end();
});

test("what is said while there is no line waits as what was said before, in order", () => {
  const { bus, make, cut, enter, say, peers, said, end, links } = bench();
  const adapter = enter("/");
  const line = make();
  peers(line, adapter, "a.0", "of another package");
  for (const what of ["1", "2"]) say(adapter, what);
  assert.deepEqual(said(), ["0 all 1", "0 of another package 2"]);
  cut(line);
  line.end(); // longer than that: its worker does not come back
  assert.equal(links.primary, undefined);
  assert.equal(say(adapter, "3"), undefined);
  const next = make();
  assert.equal(say(adapter, "4"), undefined);
  assert.deepEqual(said(), [], "nobody knows yet who is there");
  peers(next, adapter, "a.0", "of another package");
  for (let number = 1; number < 9; number++) bus.onTaken(next, number, ["a"]);
  assert.deepEqual(said().filter((what) => / a\.0 /.test(what)), ["0 a.0 2", "0 a.0 3", "0 a.0 4"]);
  end();
});

test("what is said while there is no line does not wait for ever", () => {
  const { bus, make, cut, enter, say, peers, end } = bench();
  const adapter = enter("/");
  const line = make();
  peers(line, adapter, "a.0", "b.0");
  cut(line);
  const waits = () => [...bus.others.values()].map(({ away, timer }) => [away.size, timer !== undefined]);
  assert.deepEqual(waits(), [[0, false], [0, false]], "its worker may be back, and then nothing has changed");
  line.end();
  assert.deepEqual(waits(), [[1, true], [1, true]]);
  say(adapter, "1");
  assert.deepEqual([...bus.hearers.get(adapter).values()].map(({ until }) => until > performance.now()), [true, true]);
  peers(make(), adapter, "b.0");
  assert.deepEqual(waits(), [[1, true], [0, false]]);
  bus.ends(adapter);
  end();
});

test("where ringcast keeps nobody an answer still waits for who is there", () => {
  const { bus, make, enter, say, peers, end } = bench({ resume: false, grace: 0 });
  const adapter = enter("/");
  const line = make();
  assert.equal(say(adapter, "answer", "a.0"), undefined);
  assert.ok(bus.hearers.get(adapter).get("a.0").until > performance.now() + 1000);
  peers(line, adapter, "a.0");
  assert.deepEqual([bus.others.get("a").bytes, bus.others.get("a").away.size], [0, 0], "it has been said");
  end();
});

test("who is away and speaks at the same time hears what is said to all once", () => {
  const { make, enter, say, peers, said, bus, end } = bench();
  const adapter = enter("/");
  const line = make();
  peers(line, adapter, "a.0");
  peers(line, adapter);
  adapter.nodesMap.set("a.0", 0); // as onMessage() does for the moment
  say(adapter, "once");
  adapter.nodesMap.delete("a.0");
  peers(line, adapter, "a.0");
  bus.onTaken(line, 1, ["a"]);
  assert.deepEqual(said(), ["0 a.0 once"]);
  end();
});

test("what waits and has become more than a link carries is reported", () => {
  const { make, cut, enter, say, peers, said, reports, end } = bench({ frame_max: 1000 });
  const adapter = enter("/");
  const line = make(0);
  const other = make(1, { frame_max: 100 });
  for (const one of [line, other]) peers(one, adapter, "a.0");
  for (const what of ["1", "x".repeat(200), "2"]) assert.equal(say(adapter, what), undefined);
  cut(line);
  line.end();
  assert.deepEqual(said(), ["0 all 1", "1 a.0 2"]);
  assert.ok(reports.some((why) => /of 200 bytes is more than a link carries/.test(why)), reports);
  end();
});

test("of a backlog that never empties nothing is kept but what is still to be said", () => {
  const { bus, make, enter, say, peers, end } = bench();
  const adapter = enter("/");
  const line = make();
  peers(line, adapter, "a.0");
  for (let i = 0; i < 10; i++) say(adapter, String(i));
  const its = bus.hearers.get(adapter).get("a.0");
  for (let i = 1; i <= 20000; i++) {
    say(adapter, String(i));
    bus.onTaken(line, i, ["a"]);
  }
  assert.ok(its.messages.length < 3000, `${its.messages.length}`);
  assert.equal(its.messages.length - its.at, 9);
  end();
});

test("beside an older broker, which says nothing of what is taken, nothing is kept of what was said", () => {
  const { bus, make, attach, cut, enter, say, peers, said, end } = bench({ cluster_window: undefined });
  const adapter = enter("/");
  const line = make();
  peers(line, adapter, "a.0");
  for (let i = 0; i < 5; i++) assert.equal(say(adapter, String(i)), undefined);
  assert.deepEqual([said().length, line.pace.said, line.pace.untaken.size], [5, 0, 0]);
  cut(line); // it is replaced by a newer one, which has carried out all of it
  line.hello.cluster_window = WINDOW;
  attach(line, 5);
  peers(line, adapter, "a.0");
  for (const what of ["5", "6"]) say(adapter, what);
  bus.onTaken(line, 1, ["a"]);
  assert.deepEqual(said(), ["0 all 5", "0 a.0 6"]);
  end();
});

test("what a worker has not carried out is said again when it is known who is there, before what came behind it, once", () => {
  const { bus, make, attach, cut, enter, say, peers, said, end } = bench({ cluster_window: 1 << 20 });
  const [root, gone] = [enter("/"), enter("/gone")];
  const line = make();
  for (const adapter of [root, gone]) peers(line, adapter, `a.${adapter.key}`, `b.${adapter.key}`);
  for (const what of ["1", "2", "3"]) say(root, what);
  say(root, "4", "a./");
  say(gone, "5");
  line.send("BROADCAST", 0, 0, "/", [], [], "", ["2[]"]);
  assert.equal(said().length, 5);
  cut(line);
  say(root, "6");
  bus.links.exit(gone);
  attach(line, 2);
  say(root, "7");
  assert.deepEqual(said(), [], "its worker has said nothing yet");
  assert.deepEqual([line.kept.length, line.keptBytes, line.pace.said], [1, line.kept[0].length, 0]);
  peers(line, root, "b./"); // the other one has no link yet
  assert.deepEqual(said(), ["0 b./ 3", "0 b./ 6", "0 b./ 7"]);
  say(root, "8");
  assert.deepEqual(said(), ["0 b./ 8"]);
  peers(line, root, "a./", "b./");
  assert.deepEqual(said(), ["0 a./ 3", "0 a./ 4", "0 a./ 6", "0 a./ 7", "0 a./ 8"]);
  cut(line);
  attach(line, 2 + 1 + 9); // the BROADCAST, and all of that
  peers(line, root, "a./", "b./");
  assert.deepEqual([said(), line.kept.length], [[], 0]);
  end();
});

test("what was said to all when nobody was known, and was not carried out, is said again to whoever is there, in order", () => {
  const { bus, make, attach, cut, enter, say, peers, said, end } = bench({ cluster_window: 1 << 20 });
  const [root, crowded] = [enter("/"), enter("/crowded")];
  const line = make();
  line.entered.delete(crowded); // it has no place
  say(root, "1");
  say(crowded, "of nobody");
  assert.deepEqual(said(), ["0 all 1", "0 all of nobody"]);
  cut(line);
  attach(line);
  say(root, "2");
  assert.deepEqual([said(), line.kept.length], [[], 0], "its worker has said nothing yet");
  peers(line, root, "a.0", "of another package");
  assert.deepEqual(said(), ["0 a.0 1", "0 a.0 2", "0 of another package 1", "0 of another package 2"]);
  assert.equal(bus.unheard.size, 0);
  say(root, "3");
  assert.deepEqual(said(), ["0 all 3"]);
  cut(line);
  attach(line, 4);
  peers(line, root, "a.0", "of another package");
  assert.deepEqual(said(), ["0 a.0 3", "0 of another package 3"]);
  end();
});

test("what a worker that is not the one that speaks now has not carried out goes by that one", async () => {
  const { links, make, attach, cut, enter, say, peers, said, end } = bench({ cluster_window: 1 << 20, backMs: 50 });
  const adapter = enter("/");
  const [first, other] = [make(0), make(1)];
  for (const line of [first, other]) peers(line, adapter, "a.0");
  say(adapter, "1");
  cut(first);
  await until("the other one speaks", () => links.primary === other);
  attach(first);
  assert.deepEqual(said(), ["0 all 1", "1 a.0 1"]);
  end();
});

test("what a worker has not carried out when it is gone for good is reported", () => {
  const { make, cut, enter, say, peers, reports } = bench();
  const adapter = enter("/");
  const line = make();
  peers(line, adapter, "a.0");
  say(adapter, "1");
  cut(line);
  line.end();
  assert.match(reports.at(-1), /has not said that it has carried out 1 messages to other servers/);
});
