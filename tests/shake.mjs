// Runs end-to-end files while their processes are held at random: what a test takes for granted of who is first, or how soon, shows here long before it
// does on a machine that is busy otherwise. A fault of a test is mended in the test; a fault of ringcast is one that users have.
//
//   node tests/shake.mjs [--times N] [--seconds S] [--most MS] [--rate R] [--busy N] tests/e2e/X.test.mjs...
//
// Each file runs N times (3), for S seconds at the most (300), with another seed each time. A process of its - the broker's, servers', clients', the test's
// own - is stopped R times a second (8), each for up to MS milliseconds (150); N processes that only use what processor there is run beside it (0). What the
// test itself stopped stays so. Prints one line for each run and, for what failed, where its output is; exit 1 if any did. The folder of the programs is
// RINGCAST_BIN_DIR (build/asan).
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";

const { values, positionals: files } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries([["times", "3"], ["seconds", "300"], ["most", "150"], ["rate", "8"], ["busy", "0"]].map(([name, value]) => [name, { type: "string", default: value }])),
});
const { times, seconds, most, rate, busy } = Object.fromEntries(Object.entries(values).map(([name, text]) => [name, Number(text)]));
if (files.length === 0 || ![times, seconds, most, rate, busy].every((value) => value >= 0)) {
  console.error("usage: node tests/shake.mjs [--times N] [--seconds S] [--most MS] [--rate R] [--busy N] FILE...");
  process.exit(2);
}

const delay = (ms) => new Promise((done) => setTimeout(done, ms));
const folder = mkdtempSync(join(tmpdir(), "ringcast-shake-"));

/* Name, state, parent and start of a process, or undefined: proc(5); the name may have any bytes in it. */
function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { name: text.slice(text.indexOf("(") + 1, text.lastIndexOf(")")), state: fields[0], parent: Number(fields[1]), start: fields[19] };
  } catch {
    return undefined;
  }
}

/* Was it stopped once more while it was? That one is pending then, as the first is until it stands, and SIGCONT would end both: proc(5), signal(7). */
function stoppedAgain(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const pending = BigInt(`0x${/^ShdPnd:\s*(\w+)/m.exec(status)[1]}`);
    return /^State:\s*T/m.test(status) && ((pending >> BigInt(constants.signals.SIGSTOP - 1)) & 1n) === 1n;
  } catch {
    return false;
  }
}

/* Everybody below `root`. */
function family(root) {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((name) => ({ pid: Number(name), ...stat(name) }));
  const children = new Map();
  for (const one of all) children.set(one.parent, [...(children.get(one.parent) ?? []), one]);
  const found = [];
  for (let next = [root]; next.length > 0; ) {
    const below = children.get(next.pop()) ?? [];
    found.push(...below);
    next.push(...below.map(({ pid }) => pid));
  }
  return found;
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // It has just ended.
  }
}

/* Holds one at a time. Whom the test stops, before or meanwhile, stays so. */
async function hold(root, ended) {
  let held = 0;
  while (!ended()) {
    await delay(Math.random() * (2000 / rate));
    const all = family(root);
    for (const { name, state, pid } of all) if (name === "script" && state === "T") signal(pid, "SIGCONT"); // script(1) stops when its child does, maybe later
    const there = all.filter(({ state }) => state !== undefined && !"TtZX".includes(state));
    if (there.length === 0 || ended()) continue;
    const { pid, start } = there[Math.floor(Math.random() * there.length)];
    signal(pid, "SIGSTOP");
    await delay(Math.random() ** 2 * most); // many short ones, some long ones
    if (stat(pid)?.start === start && !stoppedAgain(pid)) signal(pid, "SIGCONT");
    held++;
  }
  return held;
}

async function run(file, n) {
  const log = join(folder, `${basename(file)}.${n}.log`);
  const seed = Math.floor(Math.random() * 1e9);
  const env = { ...process.env, RINGCAST_BIN_DIR: process.env.RINGCAST_BIN_DIR || "build/asan", RINGCAST_SEED: String(seed) };
  const force = Number(process.versions.node.split(".")[0]) >= 20 ? ["--test-force-exit"] : [];
  const child = spawn(process.execPath, ["--test", ...force, "--test-reporter=spec", file], { env, stdio: ["ignore", "pipe", "pipe"] });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => output.push(bytes));
  let code;
  const closed = new Promise((done) => child.once("close", (status) => done((code = status ?? 1))));
  const holding = hold(child.pid, () => code !== undefined);
  const timer = setTimeout(() => {
    output.push(Buffer.from(`\nnot within ${seconds} s\n`));
    for (const { pid } of family(child.pid)) signal(pid, "SIGKILL");
    child.kill("SIGKILL");
  }, seconds * 1000);
  const since = performance.now();
  await closed;
  clearTimeout(timer);
  const held = await holding;
  const took = ((performance.now() - since) / 1000).toFixed(0);
  if (code !== 0) writeFileSync(log, Buffer.concat(output));
  console.log(`${code === 0 ? "ok    " : "FAILED"} ${basename(file)} ${n}: ${took} s, held ${held} times, seed ${seed}${code === 0 ? "" : `: ${log}`}`);
  return code === 0;
}

const spinners = Array.from({ length: busy }, () => spawn("sh", ["-c", "while :; do :; done"], { stdio: "ignore" }));
process.on("exit", () => spinners.forEach((child) => child.kill("SIGKILL")));
for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => process.exit(130));
let failed = 0;
for (let n = 1; n <= times; n++) for (const file of files) failed += (await run(file, n)) ? 0 : 1;
if (failed === 0) rmSync(folder, { recursive: true });
console.log(`${times * files.length} runs, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
