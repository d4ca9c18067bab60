// bench/dashboard.mjs URL KEY [TIMES]: looks at the dashboard in headless Chromium until it is told to end; a line when it shows something. With
// TIMES Chromium looks once, and what it has asked for is asked for so many times as often as one dashboard does, without it. For bench/watched.
import { Agent, get } from "node:http";
import { Chromium, findChromium } from "../tests/e2e/lib/chromium.mjs";
import { until } from "../tests/e2e/lib/util.mjs";

const [url, key, times] = process.argv.slice(2);
const EVERY_MS = 2000; // worker/http/admin.js

const chromium = await new Chromium().start(findChromium());
process.on("SIGTERM", async () => {
  await chromium.stop();
  process.exit(0);
});
const page = await chromium.open(url);
const looks = () => page.evaluate("Number(document.body.dataset.looks || 0)");
await until("it asks for a key", () => page.evaluate(`document.querySelector("#key") !== null`), { timeout: 20000 });
await page.type("#key", key);
await page.click("#sign-in button");
await until("it has looked", async () => (await looks()) > 0, { timeout: 20000 });
if (times !== undefined) {
  // What it asks for in one look is what comes between two.
  const before = page.requested.length;
  const seen = await looks();
  await until("it has looked again", async () => (await looks()) > seen, { timeout: 20000 });
  const asked = page.requested.slice(before);
  await chromium.stop();
  const agent = new Agent({ keepAlive: true });
  const ask = (one) => new Promise((done, failed) => {
    get(one, { agent, headers: { Authorization: `Bearer ${key}` } }, (answer) => {
      answer.resume();
      answer.once("end", () => (answer.statusCode === 200 ? done() : failed(new Error(`${one}: ${answer.statusCode}`))));
    }).once("error", failed);
  });
  const look = async () => {
    for (const one of asked) await ask(one);
    setTimeout(look, EVERY_MS);
  };
  for (let i = 0; i < Number(times); i++) setTimeout(look, (EVERY_MS / times) * i);
}
console.log("looks");
setInterval(() => {}, 1 << 30);
