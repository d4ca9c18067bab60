// What README promises of `make test`.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { fileURLToPath } from "node:url";

const top = fileURLToPath(new URL("../..", import.meta.url));

test("the last line of `make test` is the count, also when a test fails", () => {
  const env = { ...process.env };
  // This may run below a make: another one must not take part in its jobs.
  for (const name of Object.keys(env)) if (/^(MAKE|MFLAGS|GNUMAKE)/.test(name)) delete env[name];
  // A name that no test has is a failed test.
  const { status, stdout } = spawnSync("bash", ["-c", "make test T=no-test-has-this-name 2>&1"], { cwd: top, env, encoding: "utf8" });
  assert.notEqual(status, 0);
  assert.equal(stdout.trimEnd().split("\n").at(-1), "0 passed, 1 failed", stdout);
});
