// Second builds for tests of `ringcast upgrade`: copies of the programs in folders of their own.
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./broker.mjs";
import { BIN_DIR } from "./util.mjs";

const PROGRAMS = ["ringcast", "ringcast-worker", "ringcast-relay"];
const folders = [];
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/* A folder with all programs. `fails`: where those of a debug build fail (common/base/fail.h). */
export function buildCopy({ fails } = {}) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "ringcast-build-")));
  folders.push(folder);
  for (const name of PROGRAMS) copyFileSync(join(BIN_DIR, name), join(folder, name));
  if (fails !== undefined) writeFileSync(join(folder, "fails"), fails);
  return folder;
}

export const upgrade = (broker, folder) => run(["upgrade", "--binary-dir", folder, "-c", broker.configPath], { env: broker.env, timeout: 60000 });

/* What it says; it went well. */
export async function upgraded(broker, folder) {
  const result = await upgrade(broker, folder);
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}\n${broker.log.slice(-30).join("\n")}`);
  return result.stdout;
}
