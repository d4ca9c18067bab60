// Who takes nothing is ended by limits.write_timeout, and who takes little is not: the same over every transport.
import assert from "node:assert/strict";
import { until } from "./util.mjs";

const MESSAGES = 60;
const BYTES = 200000; // of each: 12 MB
const SIP = 64 * 1024; // all of it takes 37 s
const EVERY = 200;

/*
 * One client takes little; one that takes nothing is ended, and then another one whose flood begins only behind that: so it is longer than the
 * time-out twice that the first one is behind. Then it takes all, and has all. The time-out is looked at when
 * pings and pongs are due (limits.pong_timeout is the longer one), so the slow one says all the time that it is there.
 */
export async function takesLittle(broker, publisher, connect) {
  const [slow, ...stalled] = [await connect(), await connect(), await connect()];
  await slow.subscribe("flood-0");
  const all = slow.sips(SIP, EVERY);
  const lives = setInterval(() => slow.socket.pong(), EVERY);
  try {
    for (const [i, client] of stalled.entries()) {
      await client.subscribe(`flood-${i}`);
      client.socket.pause();
      for (let n = 0; n < MESSAGES; n++) await publisher.publish(`flood-${i}`, `${n}:${"x".repeat(BYTES)}`);
      await until("who takes nothing is ended", async () => (await broker.metrics())('ringcast_timeouts_total{reason="write"}') === i + 1);
      assert.ok(slow.inbox.length < MESSAGES, "who takes little has not all of it yet");
      await until("and who takes little is behind", async () => (await broker.metrics())("ringcast_subscriptions_behind") === 1);
    }
    assert.ok(slow.inbox.length > 0 && !slow.isClosed);
  } finally {
    clearInterval(lives);
    all();
    for (const client of stalled) client.terminate();
  }
  for (let n = 0; n < MESSAGES; n++) assert.ok((await slow.next("message", 30000)).data.startsWith(`${n}:`));
  await slow.ping();
  assert.equal((await broker.metrics())('ringcast_timeouts_total{reason="write"}'), stalled.length, "it was never ended");
}
