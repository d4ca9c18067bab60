// bench/dashboard.mjs URL KEY: looks at the dashboard in headless Chromium until it is told to end; a line when it shows something. For bench/watched.
import { Chromium, findChromium } from "../tests/e2e/lib/chromium.mjs";
import { until } from "../tests/e2e/lib/util.mjs";

const [url, key] = process.argv.slice(2);
const chromium = await new Chromium().start(findChromium());
process.on("SIGTERM", async () => {
  await chromium.stop();
  process.exit(0);
});
const page = await chromium.open(url);
await until("it asks for a key", () => page.evaluate(`document.querySelector("#key") !== null`), { timeout: 20000 });
await page.type("#key", key);
await page.click("#sign-in button");
await until("it has looked", () => page.evaluate("Number(document.body.dataset.looks || 0) > 0"), { timeout: 20000 });
console.log("looks");
setInterval(() => {}, 1 << 30);
