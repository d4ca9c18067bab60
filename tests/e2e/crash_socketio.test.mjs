// Workers that are killed: Socket.IO clients over every transport stay connected, and what they are told is whole.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { quiet } from "./lib/outlive.mjs";
import { CROWD_SOCKETIO, SocketioCrowd } from "./lib/socketio_crowd.mjs";
import { random, until } from "./lib/util.mjs";

const KINDS = [{ transports: ["polling"] }, { transports: ["websocket"] }];

testBroker("in the middle of traffic, again and again: whoever is not just being worked for stays, and nothing is lost or doubled", {
  workers: 2, timeout: 180000, config: CROWD_SOCKETIO,
}, async (broker) => {
  const chance = random();
  const crowd = new SocketioCrowd(broker.port, Array.from({ length: 8 }, (_, i) => KINDS[i % 2]));
  await crowd.begin();
  const kills = 8;
  for (let i = 0; i < kills; i++) {
    await crowd.more(10 + chance.below(30));
    await killWorker(broker, chance.below(2));
  }
  await crowd.more(20);
  await crowd.end();
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), kills);
  assert.equal(metrics("ringcast_worker_adoptions_failed_total"), 0);
  // A process works for one at a time, and says whom it could not go on with.
  const told = `${crowd.disconnects.length} of 8 clients were disconnected by ${kills} kills: ${crowd.disconnects}`;
  assert.ok(crowd.disconnects.length <= Math.min(kills, metrics("ringcast_not_adopted_sockets_total")), told);
});

testBroker("quiet ones, over every transport: their sessions, pings and acknowledgements go on", {
  workers: 1, timeout: 120000, config: { ...CROWD_SOCKETIO, "socketio.ping_interval": "10s" },
}, async (broker) => {
  const crowd = new SocketioCrowd(broker.port, [...KINDS, {}, ...KINDS]);
  await crowd.begin();
  await until("who may upgrade has", () => crowd.members[2].socket.io.engine.transport.name === "websocket");
  crowd.ending = true;
  await Promise.all(crowd.running);
  crowd.ending = false;
  for (let i = 0; i < 5; i++) {
    await quiet(broker, 2);
    await killWorker(broker, 0);
  }
  await quiet(broker, 2);
  const before = (await broker.metrics())("ringcast_pongs_received_total");
  await until("they are pinged on", async () => (await broker.metrics())("ringcast_pongs_received_total") >= before + 5, { timeout: 60000, every: 50 });
  for (const life of crowd.lives) {
    assert.equal(life.reason, undefined, `${life.id}, ${life.socket.io.engine.transport?.name}`);
    await life.round();
  }
  await crowd.end();
  assert.deepEqual(crowd.disconnects, []);
  assert.equal((await broker.metrics())("ringcast_not_adopted_sockets_total"), 0);
});
