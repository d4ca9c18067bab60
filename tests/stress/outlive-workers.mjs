// The number of workers changes by chance, OUTLIVE_CHANGES times (60), first 2, 6, 3, while publishers count and listeners keep every byte, and
// Socket.IO clients ask, echo and talk: nobody is disconnected, nothing is lost, twice or out of order, no stream has a wrong byte.
// Environment: RINGCAST_BIN_DIR, OUTLIVE_CHANGES, OUTLIVE_LISTENERS (120), OUTLIVE_PUBLISHERS (6), OUTLIVE_SOCKETS (24), OUTLIVE_WINDOW (8), STRESS_SEED.
import assert from "node:assert/strict";
import { run, startBroker } from "../e2e/lib/broker.mjs";
import { CROWD_CONFIG, Crowd } from "../e2e/lib/crowd.mjs";
import { CROWD_SOCKETIO, SocketioCrowd } from "../e2e/lib/socketio_crowd.mjs";
import { SEED, random } from "../e2e/lib/util.mjs";

const number = (name, or) => Number(process.env[name] ?? or);
const changes = number("OUTLIVE_CHANGES", 60);
const ROUND = 6; // changes between two comparisons of all streams
const first = [2, 6, 3];

const chance = random(SEED);
const broker = await startBroker({ workers: 2, config: { ...CROWD_CONFIG, ...CROWD_SOCKETIO, "server.max_workers": 6, "log.level": "info" } });
try {
  console.log(`${changes} changes, seed ${SEED}`);
  for (let done = 0; done < changes;) {
    const crowd = new Crowd(broker, { listeners: number("OUTLIVE_LISTENERS", 120), publishers: number("OUTLIVE_PUBLISHERS", 6), random: chance, window: number("OUTLIVE_WINDOW", 8), channel: `crowd${done}` });
    const sockets = new SocketioCrowd(broker.port, Array.from({ length: number("OUTLIVE_SOCKETS", 24) }, (_, i) => ({ transports: [i % 3 === 0 ? "polling" : "websocket"] })));
    await crowd.begin();
    await sockets.begin();
    for (let i = 0; i < ROUND && done < changes; i++, done++) {
      await crowd.more(1 + chance.below(200));
      const wanted = first.shift() ?? 1 + chance.below(6);
      const result = await run(["workers", String(wanted), "-c", broker.configPath], { env: broker.env, timeout: 120000 });
      assert.equal(result.code, 0, result.stdout);
    }
    await crowd.more(20);
    await sockets.end();
    const closed = (await crowd.end()) + crowd.closedPublishers + sockets.disconnects.length;
    crowd.leave();
    const metrics = await broker.metrics();
    const [moved, taken, stayed, lost] = ["moved", "taken", "not_moved", "not_taken"].map((what) => metrics(`ringcast_clients_${what}_total`));
    console.log(`${done} changes: ${moved} clients moved, ${stayed} times one stayed, ${lost} lost, ${closed} closed`);
    assert.deepEqual([closed, lost, taken], [0, 0, moved]);
  }
} finally {
  await broker.stop();
  await broker.destroy();
}
