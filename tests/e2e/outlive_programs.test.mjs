// A package upgrade replaces the programs on disk under a running broker: whatever dies then comes back as what it was.
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { testBroker } from "./lib/broker.mjs";
import { BIN_DIR, until } from "./lib/util.mjs";

const PROGRAMS = ["ringcast", "ringcast-worker", "ringcast-relay"];
const folder = mkdtempSync(join(tmpdir(), "ringcast-outlive-"));
const bin = join(folder, "bin");
mkdirSync(bin);
for (const name of PROGRAMS) copyFileSync(join(BIN_DIR, name), join(bin, name));
after(() => rmSync(folder, { recursive: true, force: true }));

// In place of the one that was built, the copy: "$1" is where the built one is.
const prefix = ["sh", "-c", 'shift; exec "$0" "$@"', join(bin, "ringcast")];

const comm = (pid) => readFileSync(`/proc/${pid}/comm`, "latin1").trim();
const programOf = (pid) => readlinkSync(`/proc/${pid}/exe`);

testBroker("what died comes back as the same build, its file replaced or gone, and nothing drains", { prefix, workers: 2, timeout: 60000 }, async (broker) => {
  assert.equal(programOf(broker.pid), join(bin, "ringcast"));
  const first = broker.pids();
  assert.equal(comm(first.relay), "ringcast-relay");
  assert.deepEqual(first.workers.map(comm), ["ringcast-worker", "ringcast-worker"]);
  const stays = await broker.connectToWorker(1);
  await broker.closeSpares();
  await stays.subscribe("news");

  // As package managers do it. What the new ones say is what a build says that shares other memory: it is of no use to start them.
  for (const name of PROGRAMS) {
    writeFileSync(join(bin, `${name}.new`), "#!/bin/sh\nexit 78\n");
    chmodSync(join(bin, `${name}.new`), 0o755);
    renameSync(join(bin, `${name}.new`), join(bin, name));
  }
  const isBack = (who, before) => until(`${who} is back`, async () => {
    const now = who === "relay" ? broker.pids().relay : broker.pids().workers[0];
    const { processes } = await broker.status();
    return now && now !== before && processes.every((row) => row.state === "ready") && now;
  }, { every: 20 });
  const works = async (text) => {
    const client = await broker.connectToWorker(0);
    await broker.closeSpares();
    await client.publish("news", text);
    assert.equal((await stays.next("message")).data, text);
    await client.close();
  };

  const worker = await isBack("worker 0", broker.kill("SIGKILL", 0));
  await works("after a worker");
  const relay = await isBack("relay", broker.kill("SIGKILL", "relay"));
  await works("after the relay");
  assert.equal(comm(worker), "ringcast-worker");
  assert.equal(comm(relay), "ringcast-relay");
  assert.match(programOf(worker), /ringcast-worker \(deleted\)$/);

  // The package is removed: no file at all.
  for (const name of PROGRAMS) unlinkSync(join(bin, name));
  await isBack("worker 0", broker.kill("SIGKILL", 0));
  await works("without any file");
  assert.equal(broker.log.some((line) => /\b(draining|child_given_up|child_start_failed)\b/.test(line)), false, "nobody was sent away");
  assert.equal(stays.isClosed, false);
});

