// What is shipped beside programs: the container recipe and its seccomp profile, the bill of materials, versions from tags.
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { run, startBroker, testBroker } from "./lib/broker.mjs";
import { certificate } from "./lib/tls.mjs";
import { BIN_DIR, freePort, program, ROOT, SANITIZED, until } from "./lib/util.mjs";

const PROFILE = join(ROOT, "deploy/container/seccomp.json");
const SECCOMP = join(ROOT, "tests/e2e/lib/seccomp.py");
// What sanitizers call besides.
const ALSO = SANITIZED ? ["+personality", "+ptrace"] : [];
const env = SANITIZED ? { ASAN_OPTIONS: "detect_leaks=0:abort_on_error=1:disable_coredump=1" } : {};
const NOT_HERE = process.arch !== "x64" && "seccomp.py knows the numbers of x86-64";

testBroker("a broker does all that it does under the container's seccomp profile", {
  workers: 2, skip: NOT_HERE, prefix: ["python3", SECCOMP, PROFILE, ...ALSO, "--"], env,
  config: async () => ({ "tls.listen": [`127.0.0.1:${await freePort()}`], "tls.certificates": [certificate("localhost").path], namespace: [{ name: "room", history: 10 }] }),
}, async (broker) => {
  assert.equal(Number(/^Seccomp:\s+(\d)$/m.exec(readFileSync(`/proc/${broker.pid}/status`, "utf8"))[1]), 2, "the profile is in force");
  const clients = await broker.connectMany([1, 1]);
  for (const client of clients) await client.subscribe("room:1");
  await clients[0].publish("room:1", "under the profile");
  for (const client of clients) assert.equal((await client.next("message")).data, "under the profile");
  for (const command of ["reload", "handover"]) {
    const result = await run([command, "-c", broker.configPath], { env: broker.env, timeout: 30000 });
    assert.equal(result.code, 0, `${command}: ${result.stderr}`);
  }
  await clients[1].publish("room:1", "after the hand-over");
  assert.equal((await clients[0].next("message")).data, "after the hand-over");
  await broker.killRelay();
  await clients[1].publish("room:1", "after the relay's death");
  assert.equal((await clients[0].next("message")).data, "after the relay's death");
  const { workers: [, victim] } = broker.pids();
  broker.kill("SIGKILL", 1);
  await until("another worker", () => ![0, undefined, victim].includes(broker.pids().workers[1]));
  await broker.isReady();
});

test("the unit's SystemCallFilter allows all that the container's profile allows", async () => {
  const { code, stdout } = await program("systemd-analyze", ["--no-pager", "syscall-filter"]).catch(() => ({ code: 1 }));
  const unit = readFileSync(join(ROOT, "deploy/systemd/ringcast.service"), "utf8");
  const [, filter] = /^SystemCallFilter=(.*)$/m.exec(unit);
  const sets = {};
  if (code === 0) {
    let set;
    for (const line of stdout.split("\n").map((one) => one.trim())) {
      if (line.startsWith("@") && sets[line] === undefined && !set?.open) set = { open: true, names: (sets[line] = []) };
      else if (line === "") set = undefined;
      else if (!line.startsWith("#")) set?.names.push(line);
    }
  }
  const expand = (name) => (name.startsWith("@") ? (sets[name] ?? []).flatMap(expand) : [name]);
  const allowed = new Set(filter.split(" ").flatMap(expand));
  const needed = JSON.parse(readFileSync(PROFILE, "utf8")).syscalls.filter(({ action }) => action === "SCMP_ACT_ALLOW").flatMap(({ names }) => names);
  const missing = needed.filter((name) => !allowed.has(name));
  // Without systemd here what its set has is not known: then it is only looked at what stands beside the set.
  if (code === 0) assert.deepEqual(missing, []);
  for (const name of ["io_uring_setup", "io_uring_enter", "io_uring_register", "bpf"]) assert.ok(allowed.has(name), name);
});

test("without io_uring it does not start, and says why", { skip: NOT_HERE }, async () => {
  const broker = await startBroker({ ready: false, prefix: ["python3", SECCOMP, PROFILE, "-io_uring_setup", ...ALSO, "--"], env });
  try {
    const exit = await broker.exited;
    assert.equal(exit.code, 1);
    assert.match(broker.log.join("\n"), /io_uring/);
  } finally {
    await broker.destroy();
  }
});

test("the recipe copies what is there, and its configuration is one", async () => {
  const recipe = readFileSync(join(ROOT, "deploy/container/Containerfile"), "utf8");
  const lines = recipe.replace(/\\\n/g, " ").split("\n").filter((line) => line && !line.startsWith("#"));
  const known = new Set(["FROM", "ARG", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"]);
  for (const line of lines) assert.ok(known.has(line.split(" ")[0]), line);
  for (const [, sources] of recipe.matchAll(/^COPY (?!--from)(.*) \S+$/gm)) {
    for (const source of sources.split(" ")) assert.ok(existsSync(join(ROOT, source)), source);
  }
  assert.ok(lines.findLastIndex?.((line) => line.startsWith("USER ")) ?? true, "it does not run as root");
  for (const line of lines.filter((one) => /^(ENTRYPOINT|CMD|HEALTHCHECK)/.test(one))) JSON.parse(line.slice(line.indexOf("[")));
  for (const line of lines.filter((one) => one.startsWith("RUN "))) {
    const checked = await program("bash", ["-n", "-c", line.slice(4)]);
    assert.equal(checked.code, 0, `${line}: ${checked.stderr}`);
  }
  const { code, stderr } = await run(["check", join(ROOT, "deploy/container/ringcast.toml")], { env: { RINGCAST_API_KEY: "a-key-of-the-tests" } });
  assert.equal(code, 0, stderr);
});

/* Does .dockerignore leave the file out? The last pattern that fits counts; one of a folder is one of all below it. */
function isLeftOut(file, patterns) {
  let out = false;
  for (const pattern of patterns) {
    const text = pattern.replace(/^!/, "").replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*\*\//g, "\0").replace(/\*/g, "[^/]*").replace(/\0/g, "(?:.*/)?");
    if (new RegExp(`^${text}(?:/.*)?$`).test(file)) out = !pattern.startsWith("!");
  }
  return out;
}

test("what is sent to the builder is enough to install", { timeout: 60000 }, async () => {
  const patterns = readFileSync(join(ROOT, ".dockerignore"), "utf8").split("\n").filter((line) => line && !line.startsWith("#"));
  const { stdout } = await program("git", ["-C", ROOT, "ls-files"]);
  const folder = mkdtempSync(join(tmpdir(), "ringcast-context-"));
  try {
    const sent = stdout.trim().split("\n").filter((file) => existsSync(join(ROOT, file)) && !isLeftOut(file, patterns));
    assert.ok(sent.includes("worker/main.c") && !sent.some((file) => /^tests\/|^bench\/.*\.c$/.test(file)), "sources of programs, and no others");
    for (const file of sent) {
      mkdirSync(join(folder, file, ".."), { recursive: true });
      copyFileSync(join(ROOT, file), join(folder, file));
    }
    const installed = await program("make", ["-C", folder, "install-data", `DESTDIR=${folder}/out`], { env: { ...process.env, MAKEFLAGS: "", MAKELEVEL: "" } });
    assert.equal(installed.code, 0, installed.stderr);
    assert.ok(existsSync(join(folder, "out/usr/local/share/doc/ringcast/bench/README.md")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/* Where a container tool is there and works, the image is built and run; elsewhere the tests above say what can be said. */
const tool = await (async () => {
  for (const name of ["podman", "docker", "buildah"]) {
    const probe = await program(name, [name === "buildah" ? "version" : "info"], { timeout: 20000 }).catch(() => ({ code: 1 }));
    if (probe.code === 0) return name;
  }
})();
test("the image is built", { skip: tool ? process.env.RINGCAST_IMAGE !== "1" && "takes minutes: RINGCAST_IMAGE=1" : "no podman, docker or buildah that works" }, async () => {
  const built = await program(tool, [tool === "buildah" ? "bud" : "build", "-f", join(ROOT, "deploy/container/Containerfile"), "-t", "ringcast:test", ROOT], { timeout: 1800000 });
  assert.equal(built.code, 0, built.stderr.slice(-4000));
});

test("the bill of materials names what the programs are linked with", async () => {
  const programs = ["ringcast", "ringcast-worker", "ringcast-relay"].map((name) => join(BIN_DIR, name));
  const { code, stdout, stderr } = await program(join(ROOT, "deploy/sbom"), ["1.2.3", ...programs], { timeout: 60000 });
  assert.equal(code, 0, stderr);
  const bill = JSON.parse(stdout);
  assert.deepEqual([bill.bomFormat, bill.specVersion, bill.version], ["CycloneDX", "1.5", 1]);
  assert.match(bill.serialNumber, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(bill.metadata.component.version, "1.2.3");
  const refs = bill.components.map((component) => component["bom-ref"]);
  assert.equal(new Set(refs).size, refs.length);
  for (const { type, name, version, purl } of bill.components) {
    assert.ok(["application", "library"].includes(type) && name && version, JSON.stringify(name));
    if (type === "library") assert.match(purl, /^pkg:(deb\/[a-z]+|generic)\/[\w.+-]+@/);
  }
  const known = new Set([...refs, bill.metadata.component["bom-ref"]]);
  for (const { ref, dependsOn } of bill.dependencies) for (const one of [ref, ...dependsOn]) assert.ok(known.has(one), one);
  const names = bill.components.map(({ name }) => name).join(" ");
  for (const wanted of [/\blibssl3/, /\blibjansson4\b/, /\bliburing/, /hiredis/, /\blibtomlplusplus-dev\b/, /\blibc6\b/]) assert.match(names, wanted);
  // What deploy/deps has built is here with its pinned version and checksum.
  const pinned = [...readFileSync(join(ROOT, "deploy/deps"), "utf8").matchAll(/^ {4}"(\w+)\|[^|]+\|[^|]+\|[^|]+\|([^|]+)\|([0-9a-f]{64})"$/gm)];
  assert.ok(pinned.length >= 2);
  for (const [, name, version, checksum] of pinned) {
    if (!existsSync(join(ROOT, `build/deps/inst/lib/${name.startsWith("lib") ? name : `lib${name}`}.a`))) continue;
    const found = bill.components.find((component) => component.name === name);
    assert.deepEqual([found?.version, found?.hashes[0].content], [version, checksum], name);
  }
  // And every library that a program needs is behind one of its dependencies.
  const again = await program(join(ROOT, "deploy/sbom"), ["1.2.3", ...programs], { timeout: 60000 });
  assert.equal(again.stdout, stdout, "the same build, the same bill");
});

test("a version is its tag, and a tag that the Makefile does not know is refused", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-version-"));
  const git = async (...args) => {
    const { code, stderr } = await program("git", ["-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", ...args]);
    assert.equal(code, 0, stderr);
  };
  const version = () => program(join(folder, "deploy/version"), ["0.1.0"]);
  try {
    mkdirSync(join(folder, "deploy"));
    copyFileSync(join(ROOT, "deploy/version"), join(folder, "deploy/version"));
    assert.deepEqual(await version(), { code: 0, stdout: "0.1.0\n", stderr: "" }, "an archive");
    await git("init", "-q");
    await git("add", ".");
    await git("commit", "-qm", "one");
    assert.match((await version()).stdout, /^0\.1\.0\+git1\.[0-9a-f]{9}\n$/);
    await git("tag", "v0.1.0");
    assert.equal((await version()).stdout, "0.1.0\n");
    await git("commit", "-q", "--allow-empty", "-m", "two");
    assert.match((await version()).stdout, /^0\.1\.0\+git1\.[0-9a-f]{9}\n$/);
    await git("tag", "v0.2.0");
    const wrong = await version();
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /v0\.2\.0.*0\.1\.0/);
    await git("tag", "-d", "v0.2.0");
    await git("tag", "v2-as-we-run-it");
    assert.match((await version()).stdout, /^0\.1\.0\+git1\.[0-9a-f]{9}\n$/, "a tag that is no release's");
    // What is built says the same, and builds without tags, without git, and within somebody else's checkout.
    const built = async (from, ...args) => {
      copyFileSync(join(ROOT, "Makefile"), join(from, "Makefile"));
      const { code, stderr } = await program("env", ["-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", "-C", from, "build/release/gen/version.h", "VERSION=0.1.0", ...args]);
      assert.equal(code, 0, stderr);
      return /RC_VERSION "(.*)"/.exec(readFileSync(join(from, "build/release/gen/version.h"), "utf8"))[1];
    };
    assert.equal(await built(folder), (await version()).stdout.trim());
    assert.equal(await built(folder, "BUILD_VERSION=0.1.0+git7.abc"), "0.1.0+git7.abc");
    await git("tag", "-d", "v0.1.0", "v2-as-we-run-it");
    assert.match(await built(folder), /^0\.1\.0\+git2\.[0-9a-f]{9}$/);
    const archive = join(folder, "archive");
    mkdirSync(join(archive, "deploy"), { recursive: true });
    copyFileSync(join(ROOT, "deploy/version"), join(archive, "deploy/version"));
    assert.equal(await built(archive), "0.1.0");
  } finally {
    rmSync(folder, { recursive: true });
  }
  const [, released] = /^VERSION := (.*)$/m.exec(readFileSync(join(ROOT, "Makefile"), "utf8"));
  assert.match(readFileSync(join(ROOT, "docs/CHANGELOG.md"), "utf8"), new RegExp(`^## ${released.replaceAll(".", "\\.")} \\(\\d{4}-\\d\\d-\\d\\d\\)$`, "m"), "it says what is new in it");
});
