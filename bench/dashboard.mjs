// bench/dashboard.mjs URL KEY [TIMES]: the dashboard in headless Chromium, for bench/watched. It says "ready" when it is signed in, and looks
// while SIGUSR1 has come an odd number of times. With TIMES Chromium looks twice, and what it has asked for in between is asked for as
// often as by so many dashboards, without it.
import { Agent, get } from "node:http";
import { Chromium, findChromium } from "../tests/e2e/lib/chromium.mjs";
import { until } from "../tests/e2e/lib/util.mjs";

const [url, key, times] = process.argv.slice(2);
const EVERY_MS = 2000; // worker/http/admin.js
const PATIENT = { timeout: 60000 };

const chromium = await new Chromium().start(findChromium());
process.on("SIGTERM", async () => {
  await chromium.stop();
  process.exit(0);
});
const page = await chromium.open(url);
const looks = () => page.evaluate("Number(document.body.dataset.looks || 0)");
await until("it asks for a key", () => page.evaluate(`document.querySelector("#key") !== null`), PATIENT);
await page.type("#key", key);
await page.click("#sign-in button");
await until("it has looked", async () => (await looks()) > 0, PATIENT);
let toggle;
if (times === undefined) {
  toggle = () => page.click("#pause");
  await toggle();
} else {
  const before = page.requested.length;
  const seen = await looks();
  await until("it has looked again", async () => (await looks()) > seen, PATIENT);
  const asked = page.requested.slice(before);
  await chromium.stop();
  const agent = new Agent({ keepAlive: true });
  const ask = (one) => new Promise((done, failed) => {
    get(one, { agent, headers: { Authorization: `Bearer ${key}` } }, (answer) => {
      answer.resume();
      answer.once("end", () => (answer.statusCode === 200 ? done() : failed(new Error(`${one}: ${answer.statusCode}`))));
    }).once("error", failed);
  });
  let looking = false;
  const look = async () => {
    if (looking) for (const one of asked) await ask(one);
    setTimeout(look, EVERY_MS);
  };
  for (let i = 0; i < Number(times); i++) setTimeout(look, (EVERY_MS / times) * i);
  toggle = () => (looking = !looking);
}
process.on("SIGUSR1", toggle);
console.log("ready");
setInterval(() => {}, 1 << 30);
