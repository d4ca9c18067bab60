// An event that a row of [[event]] relays to a room costs at most 1.2 times a native publish of the same size, in the worker, from the client's
// bytes to the record in the up ring. Instructions are counted, by valgrind (a package of the distribution): they do not depend on what else the
// machine does. Environment: RINGCAST_BIN_DIR (of the flavour stress), MESSAGES (2000).
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { BIN_DIR } from "../e2e/lib/util.mjs";

const MESSAGES = Number(process.env.MESSAGES ?? 2000);
const COUNTED = ["rc_client_operations", "rc_engine_packet"].map((name) => `--toggle-collect=${name}`);

function instructions(mode) {
  const { status, stderr, error } = spawnSync("valgrind", ["--tool=callgrind", "--callgrind-out-file=/dev/null", ...COUNTED, join(BIN_DIR, "tests/stress/rule_cost"), String(MESSAGES), mode], { encoding: "utf8" });
  assert.equal(status, 0, error?.code === "ENOENT" ? "valgrind is not installed" : stderr);
  return Number(/Collected : (\d+)/.exec(stderr)[1]) / MESSAGES;
}

const native = instructions("native");
assert.ok(native > 500, `${native} instructions of a native publish: it was not counted`);
for (const [mode, most] of [["event", 1.2], ["guarded", Infinity]]) {
  const its = instructions(mode);
  console.log(`rule_cost: ${mode}: ${its.toFixed(0)} instructions, ${(its / native).toFixed(2)} of a native publish (${native.toFixed(0)})`);
  assert.ok(its <= most * native, `${mode}: at most ${most} times a native publish`);
}
console.log("rule_cost: ok");
