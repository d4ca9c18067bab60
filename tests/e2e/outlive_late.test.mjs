// A worker that was started while memory was short for what keeps its connections asks for it again: from then on they outlive it.
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, testBroker } from "./lib/broker.mjs";
import { handedOver, handover } from "./lib/outlive.mjs";
import { buildCopy } from "./lib/upgrade.mjs";
import { SANITIZED, until } from "./lib/util.mjs";

/* Programs that cannot make one as long as a file says so (common/base/fail.h). */
const folder = buildCopy({ fails: "vault" });
const prefix = ["sh", "-c", `shift; exec ${join(folder, "ringcast")} "$@"`, "sh"];
const lines = (broker, event) => broker.log.filter((line) => line.includes(` ${event} `)).length;
const kept = async (broker) => (await broker.metrics())("ringcast_kept_sockets");
const isShort = (yes) => (yes ? writeFileSync(join(folder, "fails"), "vault") : rmSync(join(folder, "fails")));

for (const keep of ["all", "websocket"]) {
  const skip = SANITIZED ? false : "only debug builds fail so";
  testBroker(`begun without, kept from when there is enough (${keep})`, { workers: 2, prefix, timeout: 120000, skip, config: { "server.keep": keep } }, async (broker) => {
    await until("both are without", () => lines(broker, "connections_not_kept") === 2);
    const clients = await broker.connectMany([6, 6]);
    for (const client of clients) await client.subscribe("news");
    const raw = keep === "all" && (await broker.raw());
    assert.equal(await kept(broker), 0);
    const refused = await run(["handover", "0", "-c", broker.configPath], { env: broker.env, timeout: 30000 });
    assert.equal(refused.code, 1);
    assert.match(refused.stdout + refused.stderr, /connections are not kept/);
    isShort(false);
    // Of "all" the raw one, and the request that asks, too.
    await until("all are kept", async () => (await kept(broker)) >= (keep === "all" ? 14 : 12));
    await until("the log says so of both", () => lines(broker, "connections_kept_again") === 2);
    for (const worker of ["0", "1"]) await until(`all of worker ${worker} is put`, async () => (await handover(broker, worker)).code === 0, { timeout: 30000 });
    broker.kill("SIGKILL", 0);
    await until("it was adopted", async () => (await broker.metrics())("ringcast_worker_adoptions_total") === 1);
    await handedOver(broker, "all");
    await clients[11].publish("news", 1);
    for (const client of clients) assert.equal((await client.next("message")).data, 1);
    if (raw) {
      raw.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
      assert.equal((await raw.response()).status, 200);
    }
    const metrics = await broker.metrics();
    assert.equal(metrics("ringcast_not_adopted_sockets_total"), 0);
    assert.equal(metrics("ringcast_keep_failed_total"), 0);
    isShort(true);
  });
}
