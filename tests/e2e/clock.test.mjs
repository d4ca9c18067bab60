// Somebody sets the clock while the broker runs: CLOCK_REALTIME steps by a day, forward and back, which libfaketime does for its processes alone.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { run, testBroker } from "./lib/broker.mjs";
import { NO_FAKE_CLOCK, fakeClock } from "./lib/clock.mjs";
import { until, within } from "./lib/util.mjs";

const jwt = createRequire(import.meta.url)("jsonwebtoken");
const SECRET = "a-secret-of-at-least-thirty-two-bytes";
const KEY = "key-of-the-tests";
const DAY = 86400;
const clock = fakeClock();

testBroker("nothing but credentials goes by a clock that is set: they end by the new time, and all else goes on", {
  skip: NO_FAKE_CLOCK,
  workers: 2,
  config: {
    "http.api_keys": [KEY],
    namespace: [{ name: "log", history: 100, history_ttl: "10m" }, { name: "kept", retain: "anyone" }],
    identity: [{ kind: "jwt", from: ["query.token"], secret: SECRET, required: false }],
  },
  env: clock.env,
  timeout: 90000,
}, async (broker) => {
  const api = async (path) => JSON.parse((await broker.get(`/api/${path}`, { headers: { Authorization: `Bearer ${KEY}` } })).body);
  const as = (expiresIn) => broker.connect({ path: `/ws?token=${jwt.sign({ sub: `for ${expiresIn}` }, SECRET, { expiresIn })}` });
  const [plain, hour, days] = [await broker.connect(), await as("1h"), await as("2d")];
  const stay = [plain, days];
  for (const client of [plain, hour, days]) await client.subscribe("log:1");
  const said = [];
  const say = async (data, hearers) => {
    await plain.publish("log:1", data);
    await plain.publish("kept:1", data, { retain: true });
    for (const client of hearers) assert.equal((await client.next("message")).data, data);
    said.push(data);
    // Nothing is too old, and the newest value is the one that holds.
    assert.deepEqual((await api("history?channel=log:1")).messages.map((message) => message.data), said);
    const late = await broker.connect();
    late.send({ type: "subscribe", channel: "kept:1", retained: true, id: 1 });
    assert.equal((await late.next((message) => message.retained === true)).data, data);
    late.socket.close();
    const [self] = (await api("instances")).instances;
    assert.ok(self.uptime_s < 80, `up for ${self.uptime_s} s`);
    assert.ok((await api("clients")).clients.every(({ age_ms }) => age_ms < 80000));
  };
  const told = (days) => until("it is told", () => broker.log.some((line) => {
    const by = Number(/clock_set by_ms=(-?\d+)/.exec(line)?.[1]);
    return Math.abs(by - days * DAY * 1000) < 5000;
  }), { timeout: 20000 });
  await say("before", [plain, hour, days]);

  clock.set(-DAY);
  await told(-1);
  await say("a day earlier", [plain, hour, days]);
  assert.equal((await broker.metrics())("ringcast_identity_expired_total"), 0);

  clock.set(DAY);
  await told(2);
  assert.equal((await within(20000, hour.closed, "whose token has expired is closed")).code, 4401);
  await say("two days later", stay);
  assert.equal((await broker.metrics())("ringcast_identity_expired_total"), 1);
  const { code, stdout, stderr } = await run(["top", "--once", "--interval", "0.2", "--json", "-c", broker.configPath], { env: broker.env });
  assert.equal(code, 0, stderr);
  assert.ok(JSON.parse(stdout).processes.every(({ cpu_percent }) => cpu_percent >= 0 && cpu_percent < 1000));
  clock.set(0);
  await told(-1);
  for (const client of stay) await client.ping();
});
