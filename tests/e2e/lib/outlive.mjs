// What outlives a process: workers are handed over, and whoever listens hears each message once and in order.
import assert from "node:assert/strict";
import { run } from "./broker.mjs";
import { until } from "./util.mjs";

export function handover(broker, ...words) {
  return run(["handover", ...words, "-c", broker.configPath], { env: broker.env, timeout: 60000 });
}

/* It must succeed; what the command said. */
export async function handedOver(broker, ...words) {
  const result = await handover(broker, ...words);
  assert.equal(result.code, 0, `${result.stdout}${result.stderr}\n${broker.log.slice(-20).join("\n")}`);
  return result.stdout;
}

/*
 * Nothing of polling clients is under way that a killed worker would take with it, as whoever it is just working for: `polls` requests wait (the next one of
 * each client, and others that are held), and between two questions of ours there was no other request, such as that of a client which had just got an answer.
 */
export function quiet(broker, polls) {
  return until(`${polls} requests wait, and no other comes`, async () => {
    const [first, second] = [await broker.metrics(), await broker.metrics()];
    const grown = second("ringcast_http_requests_total") - first("ringcast_http_requests_total");
    return [first, second].every((now) => now("ringcast_http_waiting") === polls) && grown === 1;
  }, { timeout: 30000 });
}

/* Each client has got all that two publishers sent, sent[who] messages { who, i }, and is still there. */
export async function heardInOrder(clients, sent) {
  for (const client of clients) {
    const next = [0, 0];
    for (let i = 0; i < sent[0] + sent[1]; i++) {
      const { data } = await client.next("message");
      assert.equal(data.i, next[data.who]++, "in order, each once");
    }
    assert.equal(client.isClosed, false);
  }
}
