// The examples of docs/redis.md, run as they stand there.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { confirmed, testRedis, until } from "./lib/redis.mjs";
import { ROOT } from "./lib/util.mjs";

const run = promisify(execFile);
const page = readFileSync(join(ROOT, "docs/redis.md"), "utf8");
const examples = (tag) => [...page.matchAll(/^```(\S+) (\S+(?: calls)?)\n([\s\S]*?)^```$/gm)].filter(([, , name]) => name === tag).map(([, , , text]) => text);

testRedis("every example reaches the clients", { brokers: 2, config: { "server.path": "/ws" } }, async ({ brokers, redis }) => {
  const clients = await Promise.all(brokers.map((broker) => broker.connect()));
  for (const client of clients) await confirmed(client, "prices:BTC");
  const env = { ...process.env, REDIS_PORT: String(redis.port) };
  const expect = async (channel, data) => {
    for (const client of clients) {
      const message = await client.next("message");
      assert.equal(message.channel, channel);
      assert.deepEqual(message.data, data);
    }
  };
  const [lines, binary] = examples("redis-cli");
  const shell = (text) => run("sh", ["-e", "-c", text.replaceAll("redis-cli ", `redis-cli -p ${redis.port} `)]);
  await shell(lines);
  await expect("*", { type: "chat", message: "hello" });
  await expect("prices:BTC", { price: 42000.5 });
  await shell(binary);
  await expect("prices:BTC", Buffer.from([255, 254]));
  const file = (name, text) => {
    writeFileSync(join(redis.folder, name), text);
    return join(redis.folder, name);
  };
  await run(process.execPath, [file("example.mjs", examples("node")[0])], { env });
  await expect("prices:BTC", { price: 42001 });
  await run("python3", [file("example.py", examples("python")[0])], { env });
  await expect("prices:BTC", { price: 42002 });
});

testRedis("every call reaches the user's connections", { brokers: 2, config: { "debug.user_query": "user" } }, async ({ brokers, redis }) => {
  const clients = await Promise.all(brokers.map((broker) => broker.connect({ path: "/ws?user=42" })));
  const [subscribe, unsubscribe, disconnect] = examples("redis-cli calls")[0].trim().split("\n");
  const shell = (text) => run("sh", ["-e", "-c", text.replaceAll("redis-cli ", `redis-cli -p ${redis.port} `)]);
  const subscribed = (count) => until(`${count} are subscribed`, async () => (await redis.command("SCARD", "subs:prices:BTC")) === count);
  await shell(subscribe);
  await subscribed(2);
  await shell(unsubscribe);
  await subscribed(0);
  await shell(disconnect);
  for (const client of clients) assert.deepEqual(await client.closed, { code: 4400, reason: "moved" });
});
