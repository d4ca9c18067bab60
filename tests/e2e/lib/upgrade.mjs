// Second builds for tests of `ringcast upgrade`: copies of the programs in folders of their own.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./broker.mjs";
import { BIN_DIR, ROOT, until } from "./util.mjs";

const PROGRAMS = ["ringcast", "ringcast-worker", "ringcast-relay"];
const folders = [];
process.on("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/* A folder with all programs. `fails`: where those of a debug build fail (common/base/fail.h). */
export function buildCopy({ fails, from = BIN_DIR } = {}) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "ringcast-build-")));
  folders.push(folder);
  for (const name of PROGRAMS) copyFileSync(join(from, name), join(folder, name));
  if (fails !== undefined) writeFileSync(join(folder, "fails"), fails);
  return folder;
}

/* The same of another build: it has the keys server.variant_fixed and limits.variant_only and the metric ringcast_variant_total more, in front
 * of all others (tests/support/variant.awk). They fail where it is wanted, whatever the others are. */
export function buildVariant(options = {}) {
  const from = join(ROOT, "build/variant");
  assert.ok(existsSync(join(from, "ringcast")), "make FLAVOUR=variant broker-programs comes first");
  return buildCopy({ ...options, from });
}

export const upgrade = (broker, folder) => run(["upgrade", "--binary-dir", folder, "-c", broker.configPath], { env: broker.env, timeout: 60000 });

/* What it says; it went well. */
export async function upgraded(broker, folder) {
  const result = await upgrade(broker, folder);
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}\n${broker.log.slice(-30).join("\n")}`);
  return result.stdout;
}

/* A service manager's socket (sd_notify): `env` for the broker, and all that it was told. Node has no datagrams of this kind. */
export async function startManager() {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-notify-"));
  folders.push(folder);
  const path = join(folder, "notify");
  const program = "import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\nprint('bound',flush=True)\nwhile True: print(s.recv(4096).decode(),flush=True)";
  const child = spawn("python3", ["-c", program, path], { stdio: ["ignore", "pipe", "inherit"] });
  const manager = { env: { NOTIFY_SOCKET: path }, text: "", end: () => child.kill("SIGKILL") };
  child.stdout.on("data", (bytes) => (manager.text += bytes));
  await until("the socket is there", () => manager.text.includes("bound"));
  return manager;
}
