// FLAVOUR=asan
// `ringcast upgrade` for STRESS_SECONDS, to a copy, to a build with other keys and metrics (if there is one: make FLAVOUR=variant broker-programs),
// to programs that fail on the way, and back, while publishers count and listeners keep every byte: nobody is disconnected, nothing is lost, twice
// or out of order; what fails leaves the old ones in place.
// Environment: RINGCAST_BIN_DIR, and as in tests/e2e/lib/trials.mjs.
import assert from "node:assert/strict";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "../e2e/lib/broker.mjs";
import { oneOf, trials } from "../e2e/lib/trials.mjs";
import { buildCopy, buildVariant } from "../e2e/lib/upgrade.mjs";
import { BIN_DIR, ROOT } from "../e2e/lib/util.mjs";

const POINTS = ["check", "exec", "exec late", "relay standby", "standby", "adopting"];

/* By its socket: the file may have keys that the caller's program does not know. */
const upgrade = (broker, folder) => run(["upgrade", "--binary-dir", folder, "--socket", broker.config["server.control_socket"]], { env: broker.env, timeout: 120000 });

async function goes(broker, folder) {
  const result = await upgrade(broker, folder);
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}\n${broker.log.slice(-30).join("\n")}`);
}

const EVENTS = {
  "to a copy": (broker) => goes(broker, buildCopy()),
  "back": (broker) => goes(broker, BIN_DIR),
  "to one that fails, and then does not": async (broker, chance) => {
    const folder = buildCopy({ fails: POINTS[chance.below(POINTS.length)] });
    const result = await upgrade(broker, folder);
    assert.equal(result.code, 1, result.stdout);
    rmSync(join(folder, "fails"));
    await goes(broker, folder);
  },
};
if (existsSync(join(ROOT, "build/variant/ringcast"))) EVENTS["to other keys and metrics"] = (broker) => goes(broker, buildVariant());

await trials({}, async (broker, chance) => {
  const [what, happens] = oneOf(EVENTS, chance);
  await happens(broker, chance);
  return { what };
});
