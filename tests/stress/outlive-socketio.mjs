// kill -9 of a random worker, OUTLIVE_KILLS times (200), while socket.io-client talks over polling and WebSocket: what was acknowledged is
// heard once and in order; who was disconnected is counted, and few are.
// Environment: RINGCAST_BIN_DIR, OUTLIVE_KILLS, OUTLIVE_WORKERS (2), OUTLIVE_CLIENTS (24), STRESS_SEED.
import assert from "node:assert/strict";
import { startBroker } from "../e2e/lib/broker.mjs";
import { killWorker } from "../e2e/lib/crowd.mjs";
import { CROWD_SOCKETIO, SocketioCrowd } from "../e2e/lib/socketio_crowd.mjs";
import { SEED, random } from "../e2e/lib/util.mjs";

const number = (name, or) => Number(process.env[name] ?? or);
const kills = number("OUTLIVE_KILLS", 200);
const workers = number("OUTLIVE_WORKERS", 2);
const ROUND = 20; // kills between two comparisons
const KINDS = [{ transports: ["polling"] }, { transports: ["websocket"] }, {}];

const chance = random(SEED);
const broker = await startBroker({ workers, config: { ...CROWD_SOCKETIO, "log.level": "info" } });
let disconnects = 0;
try {
  console.log(`${kills} kills, seed ${SEED}`);
  for (let done = 0; done < kills;) {
    const crowd = new SocketioCrowd(broker.port, Array.from({ length: number("OUTLIVE_CLIENTS", 24) }, (_, i) => KINDS[i % KINDS.length]));
    await crowd.begin();
    for (let i = 0; i < ROUND && done < kills; i++, done++) {
      await crowd.more(1 + chance.below(100));
      await killWorker(broker, chance.below(workers));
    }
    await crowd.more(20);
    await crowd.end();
    disconnects += crowd.disconnects.length;
    const metrics = await broker.metrics();
    const [adoptions, failed, ended] = ["ringcast_worker_adoptions_total", "ringcast_worker_adoptions_failed_total", "ringcast_not_adopted_sockets_total"].map((name) => metrics(name));
    console.log(`${done} kills: ${adoptions} adoptions, ${failed} failed, ${disconnects} clients disconnected (${[...new Set(crowd.disconnects)]}), ${ended} connections ended`);
    assert.equal(failed, 0, "no worker lost all its clients");
    assert.equal(adoptions, done);
    assert.ok(disconnects <= 2 * done, "few are disconnected");
  }
} finally {
  await broker.stop();
  await broker.destroy();
}
