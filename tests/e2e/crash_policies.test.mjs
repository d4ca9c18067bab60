// Workers that are killed while some read too slowly, are throttled, or do not want to hear themselves: each is treated as without kills.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { random, until } from "./lib/util.mjs";

const KINDS = {
  disconnect: { slow_consumer: "disconnect" },
  skip: { slow_consumer: "skip" },
  latest: { slow_consumer: "latest" },
  critical: { slow_consumer: "skip", priority: "critical" },
  slowly: { min_interval: "40ms" },
};
const CHANNELS = Object.keys(KINDS).map((name) => `${name}:1`);
const KILLS = 6;
const PAD = "p".repeat(20000);

/* What a client has heard in each channel, in order: numbers, and "gap". */
function hears(client) {
  const heard = Object.fromEntries(CHANNELS.map((channel) => [channel, []]));
  client.ondelivery = ({ type, channel, data }) => heard[channel]?.push(type === "gap" ? "gap" : data.n);
  return heard;
}

const increases = (numbers) => numbers.every((n, i) => i === 0 || n > numbers[i - 1]);

testBroker("policies of slow readers, min_interval, critical channels and echo, while workers are killed", {
  workers: 2, timeout: 240000,
  config: {
    namespace: Object.entries(KINDS).map(([name, keys]) => ({ name, ...keys })),
    "limits.channel_log": "256KiB", "limits.channel_log_messages": 0, "limits.send_buffer": "16KiB", "limits.close_timeout": "10m", "debug.adopt_verify": true,
  },
}, async (broker) => {
  const chance = random();
  const publisher = await broker.connectToWorker(1);
  const fast = await broker.connectToWorker(0);
  const slow = {};
  for (const channel of CHANNELS.slice(0, 3)) slow[channel] = await broker.connectToWorker(0);
  await broker.closeSpares();
  const all = hears(fast);
  const late = Object.fromEntries(Object.entries(slow).map(([channel, client]) => [channel, hears(client)[channel]]));
  const own = hears(publisher);
  for (const channel of CHANNELS) {
    await fast.subscribe(channel);
    await publisher.subscribe(channel);
  }
  for (const [channel, client] of Object.entries(slow)) {
    await client.subscribe(channel);
    client.socket.pause();
  }
  let n = 0;
  const publish = async (count) => {
    for (const end = n + count; n < end; n++) {
      for (const channel of CHANNELS) await publisher.publish(channel, { n, pad: PAD.slice(chance.below(PAD.length)) }, { echo: false });
    }
  };
  for (let kills = 0; kills < KILLS; kills++) {
    for (let i = 0; i < 6; i++) { // more than the log and the kernel hold for who does not read
      await publish(8);
      await until("who reads has all", () => CHANNELS.every((channel) => all[channel].at(-1) === n - 1), { every: 2 });
    }
    const killed = killWorker(broker, 0); // whose readers are behind; the publisher's is the other one
    await publish(4); // less than the log holds, for who reads
    await killed;
  }
  for (const client of Object.values(slow)) client.socket.resume();
  const last = n - 1;
  await until("all have the last", () => CHANNELS.every((channel) => all[channel].at(-1) === last) && ["skip:1", "latest:1"].every((channel) => late[channel].at(-1) === last), { timeout: 30000 });

  for (const channel of CHANNELS) {
    assert.deepEqual(own[channel], [], `${channel}: nobody hears what it has said`);
    const numbers = all[channel].filter((n) => n !== "gap");
    assert.ok(increases(numbers), `${channel}: once, and in order`);
    assert.equal(fast.isClosed, false);
  }
  assert.ok(all["slowly:1"].length < n, "it is throttled");
  // Who reads too slowly is told what is missing, where its policy says that; who is sent away has heard all that was before.
  const skipped = late["skip:1"];
  assert.ok(increases(skipped.filter((n) => n !== "gap")) && skipped.includes("gap"));
  for (const [i, n] of skipped.entries()) if (i > 0 && n !== "gap" && skipped[i - 1] !== "gap") assert.equal(n, skipped[i - 1] + 1, "what is missing is told");
  assert.ok(increases(late["latest:1"]) && late["latest:1"].length < n);
  assert.equal((await slow["disconnect:1"].closed).code, 4000);
  for (const [i, n] of late["disconnect:1"].entries()) assert.equal(n, i, "nothing is left out before the end");
  const metrics = await broker.metrics();
  assert.equal(metrics("ringcast_worker_adoptions_total"), KILLS);
  assert.equal(metrics("ringcast_not_adopted_sockets_total"), 0);
  assert.equal(metrics("ringcast_adopt_differences_total"), 0, broker.log.filter((line) => / adopted_d/.test(line)).join("\n"));
});
