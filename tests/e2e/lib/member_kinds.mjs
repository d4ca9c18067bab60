// The three adapters of Node's servers, each over the Redis that it is made for: how a server is started with them.
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient, createCluster } from "redis";
import { startMember } from "./members.mjs";
import { startCluster, startRedis } from "./redis.mjs";

const quiet = (client) => client.on("error", () => {});
const single = async (redis) => quiet(createClient({ url: redis.url })).connect();
async function cluster(redis) {
  const client = quiet(createCluster({ rootNodes: redis.nodes.map((node) => ({ url: `redis://127.0.0.1:${node.port}` })) }));
  await client.connect();
  // The library throws when two subscriptions that are given back at a time were the last ones of a master: some stay on every one.
  for (let i = 0; i < 32; i++) await client.sSubscribe(`kept ${i}`, () => {});
  return client;
}

/* What a Node is given: two connections, or one that the adapter makes others from. */
export const KINDS = {
  classic: { config: "classic", start: startRedis, connect: single, connections: 2, adapter: createAdapter },
  sharded: { config: "sharded", start: startRedis, connect: single, connections: 2, adapter: createShardedAdapter },
  "sharded over a Cluster": { config: "sharded", start: startCluster, connect: cluster, connections: 2, adapter: createShardedAdapter },
  streams: { config: "streams", start: startRedis, connect: single, connections: 1, adapter: createStreamsAdapter },
  "streams over a Cluster": { config: "streams", start: startCluster, connect: cluster, connections: 1, adapter: createStreamsAdapter },
};

export async function startNode(kind, redis) {
  const connections = [];
  for (let i = 0; i < kind.connections; i++) connections.push(await kind.connect(redis));
  const member = await startMember(kind.adapter(...connections));
  return {
    ...member,
    async stop() {
      await member.stop();
      for (const connection of connections) await connection.close();
    },
  };
}
