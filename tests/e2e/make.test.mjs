// What README promises of `make test`.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { fileURLToPath } from "node:url";

const top = fileURLToPath(new URL("../..", import.meta.url));

/* This may run below a make: another one must not take part in its jobs. */
function outside() {
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (/^(MAKE|MFLAGS|GNUMAKE)/.test(name)) delete env[name];
  return env;
}

/* Of a name that no test has: that is a failed test. */
function failing(before) {
  return spawnSync("bash", ["-c", `${before} make test T=no-test-has-this-name 2>&1`], { cwd: top, env: outside(), encoding: "utf8" });
}

// A walk through all connections after each pass of the loop, programs that fail where a test wants it: for debug builds alone.
test("what debug builds look at is not in a release build", () => {
  const object = "build/release/obj/worker/main.o";
  const made = spawnSync("make", ["FLAVOUR=release", object], { cwd: top, env: outside(), encoding: "utf8" });
  assert.equal(made.status, 0, made.stdout + made.stderr);
  const { stdout } = spawnSync("nm", [object], { cwd: top, encoding: "utf8" });
  assert.match(stdout, /\brc_hub_turn\b/);
  assert.doesNotMatch(stdout, /\brc_truth_watch\b|\brc_fail_here\b/);
});

test("the last line of `make test` is the count, also when a test fails", () => {
  const { status, stdout } = failing("");
  assert.notEqual(status, 0);
  assert.equal(stdout.trimEnd().split("\n").at(-1), "0 passed, 1 failed", stdout);
});

// What a shell starts in the background ignores SIGQUIT, and so does what that starts.
test("`make test` fails when a test does, also where signals are ignored", () => {
  const { status, stdout } = failing("trap '' QUIT INT;");
  assert.notEqual(status, 0, stdout);
  assert.match(stdout, /^0 passed, 1 failed$/m);
});
