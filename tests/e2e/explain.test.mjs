// `ringcast check --explain-event`: the example of docs/rules.md, its exit codes, and that it says what a real broker does.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
