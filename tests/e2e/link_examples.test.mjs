// The applications of deploy/node/examples, and one of NestJS: their clients see the same, line by line, of an ordinary server and of one behind a
// link, which some of them do not know of (node -r, node --import), and one of which is two processes then.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { startBroker } from "./lib/broker.mjs";
import { NEST, Run, STORIES } from "./lib/example_stories.mjs";
import { SECRET, SKIP, folderOf, hasLinks, linkConfig } from "./lib/link.mjs";
import { ROOT, freePort, within } from "./lib/util.mjs";

const EXAMPLES = join(ROOT, "deploy/node/examples");
const TRANSPORTS = [["polling"], ["websocket"]];
const WORKERS = 2;

/* One of them, running: { url, end() }. */
async function startExample(name, { linked, flag, from = EXAMPLES }) {
  const folder = await folderOf();
  copyFileSync(join(from, `${name}.mjs`), join(folder, `${name}.mjs`));
  const port = await freePort();
  const { RINGCAST_LINK_SECRET, ...env } = process.env;
  const args = [...(linked && flag ? [flag, "ringcast-socket.io/register"] : []), `${name}.mjs`];
  const child = spawn(process.execPath, args, { cwd: folder, env: { ...env, PORT: String(port), ...(linked && { RINGCAST_LINK_SECRET: SECRET }) }, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "close");
  await within(20000, Promise.race([once(child.stdout, "data"), exited.then(([code]) => assert.fail(`${name} ended with ${code}`))]), `${name} listens`);
  return { url: `http://127.0.0.1:${port}`, end: () => (child.kill("SIGKILL"), exited) };
}

/* What clients see over these transports, with ringcast or without. */
async function tell(name, { tell: story, flag, from, processes = 1, config }, transports, linked) {
  const examples = [];
  let broker;
  try {
    for (let i = 0; i < (linked ? processes : 1); i++) examples.push(await startExample(name, { linked, flag, from }));
    const [{ url }] = examples;
    if (linked) {
      broker = await startBroker({ workers: WORKERS, config: linkConfig(examples, config) });
      await hasLinks(broker, WORKERS * processes);
    }
    const run = new Run(linked ? `http://${broker.host}` : url, url, transports);
    try {
      await within(60000, story(run), `${name} over ${transports}`);
    } finally {
      run.end();
    }
    await broker?.stop();
    return run.story;
  } finally {
    await broker?.destroy();
    for (const example of examples) await example.end();
  }
}

const ALL = { ...STORIES, nest_gateway: { ...NEST, from: join(ROOT, "tests/e2e/lib") } };
for (const [name, story] of Object.entries(ALL)) {
  for (const transports of TRANSPORTS) {
    test(`${name} over ${transports}: the same lines, with ringcast and without`, { skip: SKIP }, async () => {
      const plain = await tell(name, story, transports, false);
      assert.ok(plain.length > 8, "there was something to see");
      assert.deepEqual(await tell(name, story, transports, true), plain);
    });
  }
}

test("each example has a story", () => {
  assert.deepEqual(readdirSync(EXAMPLES).map((file) => file.replace(/\.mjs$/, "")).sort(), Object.keys(STORIES).sort());
});
