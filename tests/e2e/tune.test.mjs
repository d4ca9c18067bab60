// ringcast tune: what this machine lacks, for people and programs; it changes nothing.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { run } from "./lib/broker.mjs";

const sysctl = (name) => readFileSync(`/proc/sys/${name.replaceAll(".", "/")}`, "latin1").trim();

test("tune says what is there, what is short, and why", async () => {
  const before = sysctl("net.core.somaxconn");
  const json = await run(["tune", "--json"]);
  assert.equal(json.stderr, "");
  const report = JSON.parse(json.stdout);
  const short = report.checks.filter(({ state }) => state === "short");
  assert.equal(report.short, short.length);
  assert.equal(json.code, short.length === 0 ? 0 : 1);
  for (const check of report.checks) {
    assert.match(check.state, /^(ok|note|short)$/);
    for (const member of ["name", "found", "wanted", "why", "remedy"]) assert.ok(check[member].length > 0, `${member} of ${check.name}`);
  }
  const somaxconn = report.checks.find(({ name }) => name === "net.core.somaxconn");
  assert.equal(somaxconn.found, before);
  assert.equal(somaxconn.state, Number(before) >= 65535 ? "ok" : "short");
  const descriptors = report.checks.find(({ name }) => name === "RLIMIT_NOFILE");
  assert.equal(descriptors.found, readFileSync("/proc/self/limits", "latin1").match(/^Max open files +\S+ +(\S+)/m)[1]);

  const text = await run(["tune"]);
  assert.equal(text.code, json.code);
  for (const { name, why } of short) {
    assert.ok(text.stdout.includes(`SHORT  ${name}`), name);
    assert.ok(text.stdout.includes(`why: ${why}`), why);
  }
  assert.equal(sysctl("net.core.somaxconn"), before);
});

test("tune refuses what is no configuration", async () => {
  assert.equal((await run(["tune", "-c", "/does/not/exist.toml"])).code, 2);
  assert.equal((await run(["tune", "--now"])).code, 2);
});
