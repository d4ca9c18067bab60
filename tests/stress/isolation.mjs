// Do the tests see that a guard is gone? Each of tests/e2e/lib/guards.mjs is taken out of a copy of the tree, in build/isolation, which is then
// built and attacked by the guard's own test: the attack must succeed. Prints a table; a quarter of a minute for each guard on two CPUs, so half
// an hour for all. Environment: GUARD=a regular expression for guards' names, PART=2/6 for the second sixth of them, KEEP=1 to leave the copy
// as it is for the next part, which takes it when it is there, ISOLATION_FLAVOUR (stress; variant is built fastest).
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { GUARDS, sourceOf, without } from "../e2e/lib/guards.mjs";
import { ROOT } from "../e2e/lib/util.mjs";

const FLAVOUR = process.env.ISOLATION_FLAVOUR ?? "stress";
const TREE = join(ROOT, "build/isolation");
const BOB = "nothing of bob";
const begun = performance.now();
const seconds = (since) => ((performance.now() - since) / 1000).toFixed(0);

/* What git knows of, or would; dependencies are the tree's own. */
function copy() {
  rmSync(TREE, { recursive: true, force: true });
  const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "-z"], { cwd: ROOT, maxBuffer: 1 << 26 }).toString().split("\0").filter(Boolean);
  for (const file of files) {
    if (!existsSync(join(ROOT, file)) || /^(bench|docs|deploy\/(?!deps))/.test(file)) continue;
    mkdirSync(dirname(join(TREE, file)), { recursive: true });
    cpSync(join(ROOT, file), join(TREE, file));
  }
  for (const [from, to] of [["build/deps", "build/deps"], ["tests/node_modules", "tests/node_modules"]]) {
    mkdirSync(dirname(join(TREE, to)), { recursive: true });
    if (existsSync(join(ROOT, from))) symlinkSync(join(ROOT, from), join(TREE, to));
  }
}

function run(command, args, more = {}) {
  const env = { ...process.env, ...more };
  for (const name of ["MAKEFLAGS", "MAKELEVEL", "MFLAGS", "NODE_TEST_CONTEXT"]) delete env[name];
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: TREE, env, maxBuffer: 1 << 26, timeout: 600000 });
  return { status, text: `${stdout}${stderr}${error?.message ?? ""}` };
}

function build() {
  const { status, text } = run("make", [`FLAVOUR=${FLAVOUR}`, "JOBS=2", "programs"]);
  if (status !== 0) throw new Error(`it does not build:\n${text.slice(-3000)}`);
}

/* "seen" or "not seen", and by what: the tests of the file whose names begin so. */
function attack(requests, { test = "isolation", named = BOB } = {}) {
  const { status, text } = run("node", ["--test", "--test-reporter=tap", `--test-name-pattern=^${named}`, `tests/e2e/${test}.test.mjs`], { RINGCAST_BIN_DIR: `build/${FLAVOUR}`, ISOLATION_REQUESTS: String(requests) });
  const ends = (how) => new RegExp(`^${how} \\d+ - ${named}(?!.*# SKIP)`, "m").test(text);
  const seen = ends("not ok");
  if (!seen && !ends("ok")) throw new Error(`the attack did not run (${status}):\n${text.slice(-3000)}`);
  const why = /^ *\+ +'(.*)',?$/m.exec(text)?.[1] ?? /^ *error: (?:\|-\n *)?(.*)$/m.exec(text)?.[1] ?? "";
  return { seen, why: why.slice(0, 100) };
}

let status = 0;
if (!process.env.KEEP || !existsSync(TREE)) copy();
build();
const [part, parts] = (process.env.PART ?? "1/1").split("/").map(Number);
const named = GUARDS.filter(({ name }) => new RegExp(process.env.GUARD ?? "").test(name));
const guards = named.slice(Math.floor(((part - 1) * named.length) / parts), Math.floor((part * named.length) / parts));
for (const [what, one] of new Map(guards.map((guard) => [`${guard.test ?? "isolation"}: ${guard.named ?? BOB}`, guard]))) {
  const clean = attack(10000, one);
  console.log(`${`with all guards, ${what}`.padEnd(70)} ${clean.seen ? `FAILED: ${clean.why}` : "nothing is reached"} (${seconds(begun)} s)`);
  status ||= clean.seen ? 1 : 0;
}
for (const guard of guards) {
  const since = performance.now();
  const path = sourceOf(guard);
  const text = readFileSync(join(TREE, path), "utf8"); // as it was copied, whatever is edited meanwhile
  writeFileSync(join(TREE, path), without(guard, text));
  try {
    build();
    // What is plainly said comes first, and is enough for most; other tests than the first have no other requests.
    const { seen, why } = (guard.test ? [1] : [1, 10000]).reduce((result, requests) => (result.seen ? result : attack(requests, guard)), { seen: false });
    console.log(`${guard.name.padEnd(42)} ${seen ? "seen" : "NOT SEEN"} (${seconds(since)} s) ${path} ${why}`);
    if (!seen) status = 1;
  } catch (error) {
    console.log(`${guard.name.padEnd(42)} ${error.message}`);
    status = 1;
  }
  writeFileSync(join(TREE, path), text);
}
if (!process.env.KEEP) rmSync(TREE, { recursive: true, force: true });
console.log(`isolation: ${status === 0 ? "ok" : "FAILED"}, ${guards.length} guards, ${seconds(begun)} s`);
process.exit(status);
