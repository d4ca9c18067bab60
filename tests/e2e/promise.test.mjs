// `subscribed` is a promise: what is published after it, on whichever worker, arrives.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { within } from "./lib/util.mjs";

const ROUNDS = 10000;
const LANES = 20; // pairs of a subscriber and a publisher, each on another worker than the other

testBroker("10,000 times: subscribe on one worker, publish on another, nothing is missed", { workers: 4, timeout: 120000 }, async (broker) => {
  const lanes = [];
  for (let lane = 0; lane < LANES; lane++) {
    lanes.push({ subscriber: await broker.connectToWorker(lane % 4), publisher: await broker.connectToWorker((lane + 1 + (lane % 3)) % 4) });
  }
  await broker.closeSpares();
  let rounds = 0;
  const run = async ({ subscriber, publisher }, lane) => {
    assert.notEqual(subscriber.worker, publisher.worker);
    for (let i = 0; i < ROUNDS / LANES; i++) {
      // New channels, one that is left and joined again and again, and one that all lanes share: the relay's damping of
      // interest changes sees all of them.
      const channel = i % 3 === 0 ? `new:${lane}:${i}` : i % 3 === 1 ? `mine:${lane}` : "shared";
      await subscriber.subscribe(channel);
      publisher.send({ type: "publish", channel, data: [lane, i] });
      const message = await subscriber.next(({ type, data }) => type === "message" && data[0] === lane && data[1] === i, 10000);
      assert.equal(message.channel, channel);
      await subscriber.unsubscribe(channel);
      subscriber.inbox.length = 0; // of other lanes on "shared"
      rounds++;
    }
  };
  await within(110000, Promise.all(lanes.map(run)), "all rounds");
  assert.equal(rounds, ROUNDS);
});

testBroker("a publish of the own connection right after subscribed arrives", {}, async (broker) => {
  const client = await broker.connect();
  for (let i = 0; i < 200; i++) {
    await client.subscribe(`own:${i}`);
    client.send({ type: "publish", channel: `own:${i}`, data: i });
    assert.equal((await client.next("message")).data, i);
    if (i % 100 === 99) for (let k = i - 99; k <= i; k++) await client.unsubscribe(`own:${k}`);
  }
});
