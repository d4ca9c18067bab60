// kill -9 of a worker, hand-overs and `ringcast upgrade` by chance for STRESS_SECONDS, while pages in a browser (headless Chromium) talk by WebSocket
// and Socket.IO (but for the moment of a kill), beside a crowd: no page is disconnected, and what each says is heard once and in order.
// Environment: RINGCAST_BIN_DIR, and as in tests/e2e/lib/trials.mjs.
import assert from "node:assert/strict";
import { run } from "../e2e/lib/broker.mjs";
import { findChromium } from "../e2e/lib/chromium.mjs";
import { killWorker } from "../e2e/lib/crowd.mjs";
import { PAGES_CONFIG, Pages } from "../e2e/lib/pages.mjs";
import { oneOf, trials } from "../e2e/lib/trials.mjs";
import { buildCopy } from "../e2e/lib/upgrade.mjs";
import { BIN_DIR } from "../e2e/lib/util.mjs";

const WORKERS = 2;
const program = findChromium();
if (!program) {
  console.log("skipped: Chromium is not installed");
  process.exit(0);
}

async function commanded(broker, words) {
  const result = await run([...words, "-c", broker.configPath], { env: broker.env, timeout: 120000 });
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}\n${broker.log.slice(-30).join("\n")}`);
}

const folders = [buildCopy(), BIN_DIR];
let upgrades = 0;
const EVENTS = {
  "kill of the first page's worker": async (broker, chance, pages) => pages.quietly(async () => killWorker(broker, (await pages.workers())[0])),
  "kill": (broker, chance, pages) => pages.quietly(() => killWorker(broker, chance.below(WORKERS))),
  "hand-over": (broker) => commanded(broker, ["handover", "all"]),
  "upgrade": (broker) => commanded(broker, ["upgrade", "--binary-dir", folders[upgrades++ % 2]]),
};

let pages;
try {
  await trials({ workers: WORKERS, config: PAGES_CONFIG }, async (broker, chance) => {
    if (pages === undefined) {
      pages = new Pages(broker);
      await pages.begin(program);
    }
    await pages.more(1 + chance.below(10));
    const [what, happens] = oneOf(EVENTS, chance);
    await happens(broker, chance, pages);
    await pages.more(1);
    return { what, closes: what.startsWith("kill") ? 1 : 0 };
  }, async () => pages?.end().then((said) => console.log(`pages have said ${said}, each heard by all of its kind`)));
} finally {
  await pages?.stop();
}
