// Brokers that run the files of deploy/examples as they stand there: what an operator says by the environment (port, name, Redis) is said
// so here, too, and what the files tell to change is the only thing that a test may change in them.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { io } from "socket.io-client";
import { ROOMS_LATE, attempts, startBroker } from "./broker.mjs";
import { NO_REDIS, redisHealth, startRedis } from "./redis.mjs";
import { ROOT, SEED, until, within } from "./util.mjs";

export const FOLDER = join(ROOT, "deploy/examples");
export const example = (name) => readFileSync(join(FOLDER, name), "utf8");

/* The one value of a key in a file, as text: where tests have to know a secret. */
export function valueOf(name, key) {
  const found = [...example(name).matchAll(new RegExp(`^${key} = \\[?"([^"]*)"`, "gm"))];
  assert.equal(found.length, 1, `${name} has one ${key}`);
  return found[0][1];
}

/*
 * testExample(name, { file: "s1.toml", brokers: 1, redis: true, changes: (text) => text, env: (i) => ({ … }), timeout }, async ({ brokers, redis, connect }) => …)
 * `before` and `after`: what runs beside it. `connect(broker, options)`: a Socket.IO client with what it has heard so far, as [name, ...args] each; its connect_error is thrown.
 */
export function testExample(name, options, body) {
  const wanted = options.redis ?? true;
  test(name, { skip: options.skip || (wanted && NO_REDIS) }, () => attempts(ROOMS_LATE, async (failed) => {
    const redis = wanted ? await startRedis() : undefined;
    const brokers = [];
    const sockets = [];
    const connect = async (broker, { nsp = "/", ...more } = {}) => {
      const socket = io(`http://${broker.host}${nsp}`, { forceNew: true, reconnection: false, ...more });
      sockets.push(socket);
      socket.heard = [];
      socket.onAny((...event) => socket.heard.push(event));
      await within(10000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "it connects");
      return socket;
    };
    try {
      await options.before?.();
      for (let i = 0; i < (options.brokers ?? 1); i++) {
        const id = `server-${i + 1}`;
        const env = { INSTANCE_ID: id, ...(redis ? { REDIS_URL: redis.url } : {}), ...options.env?.(i) };
        const text = options.changes ? options.changes(example(options.file)) : example(options.file);
        brokers.push(await startBroker({ text, config: { "server.instance_id": id }, workers: availableParallelism(), env }));
      }
      if (redis) await Promise.all(brokers.map((broker) => redisHealth(broker, 200, 10000)));
      await within(options.timeout ?? 60000, Promise.resolve(body({ brokers, redis, connect })), `the whole test "${name}"`);
      for (const socket of sockets) socket.close();
      for (const broker of brokers) await broker.stop();
    } catch (error) {
      await failed(error, brokers, () => {
        for (const broker of brokers) {
          console.error(`--- ${name} failed (RINGCAST_SEED=${SEED}). The log of ${broker.config["server.instance_id"]}:\n${broker.log.slice(-60).join("\n")}\n---`);
        }
      });
    } finally {
      for (const socket of sockets) socket.close();
      for (const broker of brokers) await broker.destroy();
      await redis?.destroy();
      await options.after?.();
    }
  }));
}

/* The arguments of the first such event that it hears, or has heard. */
export const hears = (socket, name) => until(`it hears ${name}`, () => socket.heard.find((event) => event[0] === name)?.slice(1), { every: 5 });
/* The next one: what it heard before is forgotten. */
export async function told(socket, name, say) {
  const from = socket.heard.length;
  await say();
  return until(`it hears ${name}`, () => socket.heard.slice(from).find((event) => event[0] === name)?.slice(1), { every: 5 });
}
/* How a connect was refused: { message, data }. */
export const refusal = async (connecting) => {
  try {
    await connecting;
  } catch (error) {
    return { message: error.message, data: error.data };
  }
  throw new assert.AssertionError({ message: "it was let in" });
};
/* Says a thing on Redis until everybody hears it: a subscription may reach Redis a moment after it was answered. */
export async function publishUntilHeard(redis, channel, message, heard) {
  await until(`${channel} is heard`, async () => {
    await redis.publish(channel, message);
    return heard();
  }, { every: 20 });
}
