// A broker, its tools and tests/e2e/older_kernel under the distribution's own kernel, in a virtual machine (tests/kernel): on Debian 12 that is
// Linux 6.1, the oldest that ringcast supports. The first time, the kernel's package is downloaded.
// Environment: RINGCAST_BIN_DIR, KERNEL_PARTS=core,older (only those), KERNEL_PACKAGE (linux-image-amd64), KERNEL_TIMEOUT for each part (1800 s),
// RINGCAST_SLOWER: how many times as long as here a test may take there (15).
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { relative } from "node:path";
import { BIN_DIR, ROOT } from "../e2e/lib/util.mjs";

const programs = relative(ROOT, BIN_DIR);
const slower = process.env.RINGCAST_SLOWER ?? "15";

/* Each is a machine of its own. */
const PARTS = {
  core: ["env", `BIN=${programs}`, "tests/support/kernel_core"],
  older: ["env", `RINGCAST_SLOWER=${slower}`, `RINGCAST_BIN_DIR=${programs}`, "node", "--test", "--test-force-exit", "--test-reporter=spec", "tests/e2e/older_kernel.test.mjs"],
};

if (process.getuid() !== 0 || ["qemu-system-x86_64", "busybox", "cpio"].some((name) => spawnSync("which", [name]).status !== 0)) {
  console.log("skipped: it needs root, and apt-get install qemu-system-x86 busybox-static cpio");
  process.exit(0);
}
let failed = 0;
for (const part of process.env.KERNEL_PARTS?.split(",") ?? Object.keys(PARTS)) {
  assert.ok(PARTS[part], `KERNEL_PARTS: ${part} is none of ${Object.keys(PARTS)}`);
  console.log(`== ${part}`);
  const words = [...(process.env.KERNEL_PACKAGE ? ["--package", process.env.KERNEL_PACKAGE] : []), ...PARTS[part]];
  const { status } = spawnSync("tests/kernel", words, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, KERNEL_TIMEOUT: process.env.KERNEL_TIMEOUT ?? "1800" } });
  console.log(`${part}: exit code ${status}`);
  failed += status === 0 ? 0 : 1;
}
process.exit(failed > 0 ? 1 : 0);
