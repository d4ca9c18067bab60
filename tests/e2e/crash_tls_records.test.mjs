// Workers that are killed at every place of TLS 1.3 input of other kinds than small messages: KeyUpdates, records of 16 KiB, the end of what a client says,
// and records that are wrong. Who cannot be gone on with ends (docs/outlive.md); what was carried out was so once, in order, and nobody else notices.
// Builds with the address sanitizer can be told where (RINGCAST_DIES_FILE).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testBroker } from "./lib/broker.mjs";
import { killSteps, killWorker } from "./lib/crowd.mjs";
import { CA_FILE, certificate } from "./lib/tls.mjs";
import { ROOT, SANITIZED, freePort, until, within } from "./lib/util.mjs";

const folder = mkdtempSync(join(tmpdir(), "ringcast-dies-"));
const file = join(folder, "steps");
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const server = certificate("server");
const port = await freePort();
const config = { "debug.adopt_verify": true, "tls.listen": [`127.0.0.1:${port}`], "tls.certificates": [server.path], "limits.ping_interval": "1h" };
const skip = SANITIZED ? false : "only builds with the address sanitizer can do it";

/* What it prints, from "open" on. */
async function speak(begins, answers, actions) {
  const child = spawn("python3", [join(ROOT, "tests/e2e/lib/tls_records.py"), String(port), CA_FILE, String(answers), ...actions]);
  let text = "";
  let wrong = "";
  child.stdout.on("data", (bytes) => (text += bytes));
  child.stderr.on("data", (bytes) => (wrong += bytes));
  const ended = new Promise((done) => child.once("close", done));
  try {
    await until("it is open", () => text.includes("open\n") || child.exitCode !== null, { timeout: 60000 });
    begins();
    child.stdin.end("\n");
    assert.equal(await within(60000, ended, `an end of ${text}`), 0, wrong);
  } finally {
    child.kill("SIGKILL");
  }
  return text.split("\n").slice(1, -1);
}

const publish = (n, which, more = "") => `text:${JSON.stringify({ type: "publish", channel: "news", id: which, data: { n, which, more } })}`;
const MARK = "dies here"; // from this message on so many steps are counted
const LARGE = "x".repeat(16000);

/* `said` messages. `ends`: its connection has an end in any case; `wrong`: counted as an error of TLS. */
const KINDS = {
  "a KeyUpdate": { actions: (n) => [publish(n, 1, MARK), "update", publish(n, 2)], said: 2 },
  "a KeyUpdate that asks for one": { actions: (n) => [publish(n, 1, MARK), "update-asks", publish(n, 2)], said: 2 },
  "a record of 16 KiB": { actions: (n) => [publish(n, 1, MARK), publish(n, 2, LARGE), publish(n, 3)], said: 3 },
  "a message of 16 KiB": { actions: (n) => [publish(n, 1), publish(n, 2, MARK + LARGE), publish(n, 3)], said: 3 },
  "its end": { actions: (n) => [publish(n, 1, MARK), publish(n, 2), "end"], said: 2, ends: true },
  "a record that nobody has sealed": { actions: (n) => [publish(n, 1, MARK), publish(n, 2), "damaged"], said: 2, ends: true, wrong: true },
};

for (const [kind, { actions, said, ends = false, wrong = false }] of Object.entries(KINDS)) testBroker(`${kind}, behind a message`, { workers: 1, config, env: { RINGCAST_DIES_FILE: file }, timeout: 400000, skip }, async (broker) => {
  const worker = () => broker.pids().workers[0];
  const died = (pid) => broker.log.some((line) => line.includes("child_died") && line.includes(`pid=${pid} `));
  const stride = Number(process.env.CRASH_STRIDE ?? 7);
  const listener = await broker.connect();
  await listener.subscribe("news");
  let [kills, closed, over] = [0, 0, false];
  for (const n of killSteps(stride)) {
    if (over) break;
    const before = worker();
    const at = `killed after ${n} steps`;
    const lines = await speak(() => writeFileSync(file, String(n)), ends ? said + 1 : said, actions(n));
    const answered = lines.filter((line) => line.includes('"published"')).length;
    const whole = lines.at(-1) === (ends ? "closed" : "pong");
    await broker.metrics().catch(() => undefined); // what comes next
    over = worker() === before && !died(before);
    if (over) await killWorker(broker, 0); // who outlives it dies of nothing later
    await until("a successor serves", async () => ![undefined, before].includes(worker()) && (await broker.status()).processes.every((row) => row.state === "ready"), { timeout: 60000 });
    kills++;
    closed += whole ? 0 : 1;
    assert.ok(whole || lines.at(-1) === "closed", `${at}: ${lines}`);
    const speaker = await broker.connect();
    await speaker.publish("news", "the end");
    let heard = 0;
    for (;;) {
      const { data } = await listener.next("message", 60000);
      if (data === "the end") break;
      assert.deepEqual([data.n, data.which], [n, ++heard], `${at}: in order, each once`);
    }
    await speaker.close();
    assert.ok(whole ? heard === said : heard >= answered, `${at}: ${answered} answered, ${heard} heard, ${lines}`);
    assert.equal(listener.isClosed, false, at);
  }
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), kills);
  assert.equal(metrics("ringcast_adopt_differences_total"), 0);
  if (!wrong) assert.equal(metrics("ringcast_tls_errors_total"), 0);
  assert.ok(closed <= metrics("ringcast_not_adopted_sockets_total"), `${closed} closed, and ${metrics("ringcast_not_adopted_sockets_total")} counted`);
  assert.ok(kills > 1, "nobody died of a step");
});
