// ringcast-bench counts what it is here to count: against servers that lose nothing it finds nothing lost. Small runs; what a
// figure is worth is not the question.
import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { NO_REDIS, startRedis, testRedis } from "./lib/redis.mjs";
import { BIN_DIR, program, until } from "./lib/util.mjs";

/* The results of a run, which must have gone well. */
async function bench(...args) {
  const timing = ["--duration", "1", "--warmup", "0.2", "--cpu", "none", "--server-cpu", "none", "--quiet"];
  const { code, stdout, stderr } = await program(join(BIN_DIR, "ringcast-bench"), [...args, ...timing, "--json", "-"], { timeout: 60000 });
  assert.equal(code, 0, `${args.join(" ")}\n${stdout}\n${stderr}`);
  const { results } = JSON.parse(stdout.slice(stdout.indexOf("\n{") + 1));
  for (const result of results) {
    for (const what of ["lost", "duplicated", "reordered", "corrupted", "connections_failed", "connections_closed"]) {
      assert.equal(result[what], 0, `${args.join(" ")}: ${what}`);
    }
    assert.ok(result.deliveries > 0 && !result.broken_off, JSON.stringify(result));
  }
  return results;
}

// Thousands of answers in one go, more than a submission queue takes (test_bench_conn proves it with certainty).
for (const engine of ["uring", "epoll"]) {
  test(`floor echo, 3,000 connections, ${engine}: what was sent comes back`, async () => {
    const [result] = await bench("floor", "echo", "--connections", "3000", "--engine", engine);
    assert.equal(result.connections, 3000);
    assert.ok(result.deliveries >= 3000, "each has had one at least");
  });
}

async function withRedis(body) {
  // Clients come from many loopback addresses, which protected mode takes for foreign ones.
  const options = { args: ["--protected-mode", "no"] };
  const servers = [await startRedis(options)];
  try {
    servers.push(await startRedis({ args: [...options.args, "--replicaof", "127.0.0.1", String(servers[0].port)] }));
    await until("the replica follows", async () => (await servers[1].command("INFO", "replication")).includes("master_link_status:up"));
    await body(...servers.map(({ port }) => `ws://127.0.0.1:${port}`));
  } finally {
    for (const server of servers) await server.destroy();
  }
}

test("fanout and cross over a bare Redis", { skip: NO_REDIS }, () => withRedis(async (first, replica) => {
  const common = ["--protocol", "redis", "--url", first];
  const [fanout] = await bench("fanout", ...common, "--connections", "60", "--channels", "6", "--publishers", "3", "--window", "16", "--payload", "300");
  assert.equal(fanout.connections, 63);
  assert.equal(fanout.deliveries, fanout.published * 10, "ten subscribers to each channel");
  // Publishers here, subscribers at its replica.
  const [cross] = await bench("cross", ...common, "--subscribe-url", replica, "--connections", "20", "--rate", "2000", "--payload", "64");
  assert.equal(cross.deliveries, cross.published * 20);
}));

testRedis("cross over two brokers", { brokers: 2, workers: 1, timeout: 60000 }, async ({ brokers: [a, b] }) => {
  const [cross] = await bench("cross", "--url", `ws://${a.host}`, "--subscribe-url", `ws://${b.host}`, "--connections", "40", "--channels", "4", "--rate", "400");
  assert.equal(cross.deliveries, cross.published * 10);
});
