// What README promises of `make test`.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { fileURLToPath } from "node:url";

const top = fileURLToPath(new URL("../..", import.meta.url));

/* Of a name that no test has: that is a failed test. */
function failing(before) {
  const env = { ...process.env };
  // This may run below a make: another one must not take part in its jobs.
  for (const name of Object.keys(env)) if (/^(MAKE|MFLAGS|GNUMAKE)/.test(name)) delete env[name];
  return spawnSync("bash", ["-c", `${before} make test T=no-test-has-this-name 2>&1`], { cwd: top, env, encoding: "utf8" });
}

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
