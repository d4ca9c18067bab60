// The pages of the documentation: links lead somewhere, the index has them all, and what they name (commands, metrics, log lines) is there.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import test from "node:test";
import { run, testBroker } from "./lib/broker.mjs";
import { program, ROOT } from "./lib/util.mjs";

const PAGES = ["README.md", "deploy/node/ringcast/README.md", ...readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)];
const textOf = (page) => readFileSync(join(ROOT, page), "utf8");
const withoutCode = (text) => text.replace(/^```[^]*?^```$/gm, "").replace(/`[^`\n]*`/g, "");

/* As GitHub makes them of headings. */
function anchorsOf(text) {
  const seen = new Map();
  return new Set([...text.replace(/^```[^]*?^```$/gm, "").matchAll(/^#+ (.*)$/gm)].map(([, heading]) => {
    const anchor = heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-");
    const count = seen.get(anchor) ?? 0;
    seen.set(anchor, count + 1);
    return count === 0 ? anchor : `${anchor}-${count}`;
  }));
}

/* Links of these pages below `top` that lead nowhere. */
function wrongLinks(top, pages) {
  const text = (page) => readFileSync(join(top, page), "utf8");
  const wrong = [];
  for (const page of pages) {
    for (const [, target] of withoutCode(text(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path, anchor] = target.split("#");
      const file = path === "" ? page : relative(top, join(top, dirname(page), path));
      if (file.startsWith("..") || !existsSync(join(top, file))) wrong.push(`${page}: ${target}`);
      else if (anchor && !anchorsOf(text(file)).has(anchor)) wrong.push(`${page}: ${target}: no such heading`);
    }
  }
  return wrong;
}

test("every link of a page leads to a file, and to a heading in it", () => {
  assert.deepEqual(wrongLinks(ROOT, PAGES), []);
});

test("so does every link of a page that is installed: by `make install`, the package, the image", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-installed-"));
  try {
    // This may run below another make.
    const make = (goal) => program("env", ["-u", "MAKEFLAGS", "-u", "MFLAGS", "-u", "MAKELEVEL", "make", "-C", ROOT, goal, `DESTDIR=${folder}`, "PREFIX=/usr"]);
    const { code, stdout, stderr } = await make("install-data");
    assert.equal(code, 0, stdout + stderr);
    const top = join(folder, "usr/share/doc/ringcast");
    const pages = readdirSync(top, { recursive: true }).filter((name) => name.endsWith(".md"));
    assert.ok(pages.includes("README.md") && pages.includes("docs/CHANGELOG.md") && pages.includes("deploy/examples/README.md"), pages.join(" "));
    assert.deepEqual(wrongLinks(top, pages), []);
    const left = await make("uninstall");
    assert.equal(left.code, 0, left.stderr);
    assert.ok(!existsSync(top), "and nothing of it stays");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("the package of npm has no link out of itself", () => {
  assert.deepEqual(wrongLinks(join(ROOT, "deploy/node/ringcast"), ["README.md"]), []);
  assert.deepEqual(wrongLinks(join(ROOT, "deploy/node/socket.io"), ["README.md"]), []);
});

test("the index has every page", () => {
  const linked = new Set([...textOf("docs/README.md").matchAll(/\]\(([\w-]+\.md)\)/g)].map(([, name]) => name));
  const pages = PAGES.filter((page) => page.startsWith("docs/") && page !== "docs/README.md").map((page) => page.slice(5));
  assert.deepEqual(pages.filter((name) => !linked.has(name)), []);
});

test("the page of symptoms has every code that closes a connection", () => {
  const codes = (text) => [...text.matchAll(/^\| ([\d, ]+) \|/gm)].flatMap(([, cell]) => cell.split(", "));
  const told = codes(textOf("docs/protocol.md").split("## Closing and reconnecting")[1].split("\n## ")[0]).filter((code) => code !== "1000");
  const explained = codes(textOf("docs/troubleshooting.md").split("## Clients are disconnected")[1].split("\n## ")[0]);
  assert.ok(told.length >= 16, `${told}`);
  assert.deepEqual(told.filter((code) => !explained.includes(code)), []);
});

testBroker("what the page of symptoms names is there: commands, paths of the API, metrics, log lines", { config: { "http.api_keys": ["key-of-the-docs"], namespace: [{ name: "room", history: 5 }] }, workers: 1 }, async (broker) => {
  const page = textOf("docs/troubleshooting.md") + textOf("docs/faq.md");
  const { stdout } = await run(["help"]);
  const commands = new Set([...stdout.matchAll(/^ {2}ringcast ([\w-]+)/gm)].map(([, name]) => name));
  for (const [, command] of page.matchAll(/`ringcast ([\w-]+)/g)) assert.ok(commands.has(command), `ringcast ${command}`);
  const client = await broker.connect();
  await client.subscribe("room:1");
  for (const [, line] of page.matchAll(/`ringcast ((?:clients|channels|status)(?: [^`|]*)?)`/g)) {
    if (line.includes("FILE")) continue;
    const words = line.split(" ");
    const result = await run([...words, "-c", broker.configPath], { env: broker.env });
    assert.equal(result.code, 0, `ringcast ${line}: ${result.stderr}`);
  }
  const metrics = await broker.metrics();
  for (const [, name] of page.matchAll(/`((?:ringcast|ws|process)_\w+)/g)) assert.match(metrics.text, new RegExp(`^# TYPE ${name} `, "m"), name);
  for (const [, command] of page.matchAll(/`curl ([^`]*\$URL[^`]*)`/g)) {
    const [, path] = /\$URL([^\s"']*)/.exec(command);
    if (path === "/ws" || path === "") continue;
    const answer = await broker.get(path, { headers: { Authorization: "Bearer key-of-the-docs" } });
    assert.equal(answer.status, 200, `${path}: ${answer.body}`);
  }
  const sources = ["acceptor", "worker", "relay", "common"].flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true }).filter((name) => name.endsWith(".c")).map((name) => readFileSync(join(ROOT, folder, name), "utf8"))).join("\n");
  for (const [, cell] of page.slice(page.indexOf("## The log")).matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)) {
    for (const [, name] of cell.matchAll(/`(\w+)`/g)) assert.ok(sources.includes(`"${name}"`), `log line ${name}`);
  }
});
