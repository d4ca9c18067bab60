// `ringcast check --explain-event`: the example of docs/rules.md, its exit codes, and that it says what a real broker does.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { io } from "socket.io-client";
import { run, testBroker } from "./lib/broker.mjs";
import { ROOT, within } from "./lib/util.mjs";

const explain = async (file, event, ...options) => {
  const { code, stdout, stderr } = await run(["check", file, "--explain-event", event, "--json", ...options], { cwd: ROOT });
  return { code, stderr, ...(stdout === "" ? {} : JSON.parse(stdout)) };
};

test("the example of docs/rules.md is what it says", async () => {
  const [, command, output] = /^\$ ringcast (check .*--explain-event.*)\n([^]*?)^```$/m.exec(readFileSync(join(ROOT, "docs/rules.md"), "utf8"));
  const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word);
  const { code, stdout, stderr } = await run(words, { cwd: ROOT });
  assert.equal(stdout, output);
  assert.deepEqual([code, stderr], [1, ""]);
});

test("exit codes: carried out, refused, wrong", async () => {
  const s4 = "deploy/examples/s4.toml";
  assert.deepEqual((({ code, outcome }) => [code, outcome])(await explain(s4, "subscribe:portfolio", "--as", "user:42")), [0, "done"]);
  assert.deepEqual((({ code, outcome }) => [code, outcome])(await explain(s4, "subscribe:portfolio")), [1, "refused"]);
  assert.deepEqual((({ code, outcome }) => [code, outcome])(await explain(s4, "nobody knows it")), [1, "refused"]);
  for (const [wrong, text] of [[["--as", "alice"], /--as takes anonymous, user:ID/], [["--as", 'user:42 {"id":"7"}'], /attributes, without `id`/], [["--as", 'user:42 {"a":1,"\\u0069d":"7"}'], /attributes, without `id`/], [["--args", "{}"], /--args takes the event's arguments as a JSON array/], [["--frobnicate", "x"], /unknown argument: --frobnicate/]]) {
    const { code, stderr } = await explain(s4, "subscribe:portfolio", ...wrong);
    assert.equal(code, 2);
    assert.match(stderr, text);
  }
  const folder = mkdtempSync(join(tmpdir(), "ringcast-explain-"));
  try {
    writeFileSync(join(folder, "wrong.toml"), "[[event]]\njoin = [\"a\"]\n");
    const { code, correct, errors } = await explain(join(folder, "wrong.toml"), "x");
    assert.deepEqual([code, correct], [2, false]);
    assert.match(errors[0], /wrong\.toml:1:/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/* What the examples' clients say: the event, who says it (--as, and what else), its arguments, and the first thing that is done with it or that they
 * are told. */
const USER = ["--as", "user:42"];
const as = (attributes) => ["--as", `user:42 ${JSON.stringify(attributes)}`];
const error = (code, message) => ({ event: "error", args: [{ code, message }] });
const s4 = [
  ...["portfolio", "trades"].flatMap((kind) => [
    [`subscribe:${kind}`, USER, [], { join: `${kind}:42` }], [`subscribe:${kind}`, [], [], error("SUBSCRIPTION_ERROR", "Authentication required")],
    [`unsubscribe:${kind}`, USER, [{ userId: "7" }], { leave: `${kind}:42` }], [`unsubscribe:${kind}`, [], [], error("SUBSCRIPTION_ERROR", "Authentication required")],
  ]),
  ["subscribe:watchlist", as({ tier: "premium" }), [{ symbol: "AAPL" }], { join: "watchlist:AAPL" }],
  ["subscribe:watchlist", as({ tier: "free" }), [{ symbol: "AAPL" }], error("SUBSCRIPTION_ERROR", "Premium required")],
  ["subscribe:watchlist", as({ tier: "enterprise" }), [{}], error("SUBSCRIPTION_ERROR", "Symbol required")],
  ["unsubscribe:watchlist", as({ tier: "free" }), [{ symbol: "AAPL" }], { leave: "watchlist:AAPL" }],
  ["admin:broadcast", as({ admin: true }), ["x"], { emit: "admin:broadcast", to: "*", args: ["x"] }],
  ["admin:broadcast", as({ admin: "true" }), ["x"], error("FORBIDDEN", "Admin required")],
  ["connect", [], [], { join: "market:status" }],
];
const IN_CHAT = ["--in", "#chat", "--client", '{"username":"Ann"}'];
const follow = (action) => [{ userToFollow: { socketId: "x".repeat(20), username: "b" }, action }];
const EXAMPLES = {
  "chat.toml": [
    ["add user", [], ["Ann"], { set: { username: "Ann" } }],
    ["new message", [], ["hi"], error(403, "you are not in this room")],
    ...[["new message", ["hi"], [{ username: "Ann", message: "hi" }]], ["typing", [], [{ username: "Ann" }]], ["stop typing", [], [{ username: "Ann" }]]]
      .map(([event, args, told]) => [event, IN_CHAT, args, { emit: event, to: "*", others: true, args: told }]),
    ["disconnect", IN_CHAT, [], { emit: "user left", to: "*", args: [{ username: "Ann", numUsers: 0 }] }],
  ],
  "whiteboard.toml": [["drawing", [], [{ x0: 1 }], { emit: "drawing", to: "*", others: true, args: [{ x0: 1 }] }]],
  "excalidraw.toml": [
    ["connect", [], [], { emit: "init-room" }], ["join-room", [], ["r1"], { join: "r1" }], ["join-room", [], ["user:42"], error(403, "a user's own room")],
    ["server-broadcast", ["--in", "r1"], ["r1", "a", "b"], { emit: "client-broadcast", to: ["r1"], others: true, args: ["a", "b"] }],
    ["server-volatile-broadcast", ["--in", "r1"], ["r1", "a", "b"], { emit: "client-broadcast", to: ["r1"], others: true, args: ["a", "b"] }],
    ["user-follow", [], follow("FOLLOW"), { join: `follow@${"x".repeat(20)}` }], ["user-follow", [], follow("UNFOLLOW"), { leave: `follow@${"x".repeat(20)}` }],
    ["disconnect", ["--in", "r1"], [], { emit: "room-user-change", to: ["r1"] }],
  ],
  "s3.toml": [
    ["leaderboard:subscribe", USER, [], { join: "leaderboard:global" }], ["leaderboard:unsubscribe", USER, [], { leave: "leaderboard:global" }],
    ["leaderboard:subscribe", USER, [{}], error(400)],
  ],
  "s4.toml": s4,
  "s4-backend.toml": s4,
};

/* The members that are expected, whatever else is there. */
const part = (all, wanted) => Object.fromEntries(Object.keys(wanted).map((name) => [name, all[name]]));

test("every event of every example, as its clients say it: what is done, and what they are told", async () => {
  const folder = "deploy/examples";
  for (const file of readdirSync(join(ROOT, folder)).filter((name) => name.endsWith(".toml"))) {
    const events = [...readFileSync(join(ROOT, folder, file), "utf8").matchAll(/^on = "(.*?)"/gm)].map(([, on]) => on);
    assert.deepEqual([...new Set((EXAMPLES[file] ?? []).map(([event]) => event))].sort(), [...new Set(events)].sort(), file);
    for (const [event, options, args, expected] of EXAMPLES[file] ?? []) {
      const said = await explain(`${folder}/${file}`, event, ...options, "--args", JSON.stringify(args));
      const what = `${file}: ${event} ${options.join(" ")}: ${JSON.stringify(said)}`;
      const refused = expected.event === "error";
      assert.deepEqual([said.outcome, said.code], refused ? ["refused", 1] : ["done", 0], what);
      const row = said.rows.find(({ does, told }) => (refused ? told : does?.length > 0));
      const first = refused ? row.told : row.does[0];
      if (refused && expected.args[0].message === undefined) assert.equal(first.args[0].code, expected.args[0].code, what);
      else assert.deepEqual(part(first, expected), expected, what);
    }
  }
});

const config = {
  "socketio.path": "/socket.io/", "debug.user_query": "user",
  namespace: [{ name: "closed", subscribe: "none" }, { name: "open", subscribe: "anyone", publish: "member" }],
  event: [
    { on: "who", who: "user", ack: ["{user.id}", "{event}", "{nsp}"], refuse: { code: "WHO", who: "Users only" } },
    { on: "alice", who: { id: ["alice", "anna"] }, ack: ["hello"] },
    { on: "pick", match: { "args.0.kind": ["a", 7] }, ack: ["first", "{args.0.kind}"] },
    { on: "pi*", ack: ["second", "{args.1..}"] },
    { on: "join", join: ["{args.0}"], ack: ["in {args.0}"] },
    { on: "mine", join: ["mine:{user.id}"], ack: ["mine"] },
    { on: "set", set: { name: "{args.0}", n: 1 }, ack: ["{client}"] },
    { on: "inside", inside: "open:{args.0}", ack: ["is in"], refuse: { inside: "Join first", ack: [false, "{error.message}"] } },
    { on: "text", ack: ["a {args.0} b", "{args.0}"] },
  ],
};

/* What a client is told by the broker, and what the tool says that it is told: the same, word for word. */
testBroker("it says what the broker does", { workers: 1, config }, async (broker) => {
  for (const user of [undefined, "alice", "bob"]) {
    const socket = io(`http://${broker.host}/`, { transports: ["websocket"], query: user ? { user } : {}, forceNew: true, reconnection: false });
    try {
      await within(5000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "it connects");
      const as = user ? ["--as", `user:${user}`] : [];
      for (const [event, ...args] of [
        ["who"], ["alice"], ["pick", { kind: "a" }], ["pick", { kind: 7.0 }], ["pick", { kind: "7" }, 1, [2]], ["pick"],
        ["join", "open:1"], ["join", "closed:1"], ["join", "user:bob"], ["join", "*"], ["join", "mine:bob"], ["join"], ["join", ["x"]], ["join", 5],
        ["mine"], ["set", "Zoë"], ["set", "x".repeat(1100)], ["inside", 2], ["inside"], ["text", 1.5], ["text", { no: "text" }], ["text", "\u{1f680} \""],
      ]) {
        const said = await explain(broker.configPath, event, ...as, "--args", JSON.stringify(args));
        const heard = await within(5000, new Promise((done) => socket.emit(event, ...args, (...answer) => done(answer))), `an answer to ${event}`);
        const row = said.rows.at(-1);
        const told = said.outcome === "done" ? row.does.find(({ ack }) => ack).ack : row.told.ack;
        assert.deepEqual(told, heard, `${event} ${JSON.stringify(args)} of ${user}`);
        assert.equal(said.code, said.outcome === "done" ? 0 : 1);
        assert.equal(readFileSync(broker.configPath, "utf8").split("\n")[row.line - 1], "[[event]]");
        if (event === "join" && said.outcome === "done") assert.deepEqual(row.does[0], { join: String(args[0]) });
      }
      const { rows: [{ told, result }] } = await explain(broker.configPath, "alice", ...as);
      assert.equal(result, "takes it");
      if (user !== "alice") {
        assert.equal(told.event, "error");
        const error = await within(5000, new Promise((done) => {
          socket.once("error", done);
          socket.emit("alice", "without an acknowledgement");
        }), "it hears the error");
        assert.deepEqual([error], told.args);
      }
    } finally {
      socket.close();
    }
  }
});
