// The dashboard behind /admin: who gets it, what it shows of a real broker, what it does, and that it can be read on phones and by night.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { startBroker, testBroker } from "./lib/broker.mjs";
import { Chromium, SCREENS, findChromium, keep } from "./lib/chromium.mjs";
import { NO_REDIS, startRedis } from "./lib/redis.mjs";
import { ROOT, freePort, until } from "./lib/util.mjs";

const program = findChromium();
const KEY = "dashboard-key-1";
const SECRETS = { "log.redact_key": "a-secret-redact-key", "http.api_keys": [KEY, "another-secret-key"] };
const config = {
  ...SECRETS, "debug.user_query": "user", "limits.max_channels": 77, "http.allowed_origins": ["https://app.example"],
  namespace: [{ name: "room", presence: true }],
  identity: [{ kind: "jwt", from: ["auth.token"], secret: "a-secret-of-at-least-thirty-two-bytes", required: false }],
};

testBroker("the dashboard's files are for this machine, say what they may ask, and are no one else's", { config: SECRETS, workers: 1 }, async (broker) => {
  for (const [path, file, type] of [["/admin", "admin.html", /^text\/html/], ["/admin.js", "admin.js", /^text\/javascript/], ["/admin.css", "admin.css", /^text\/css/]]) {
    const answer = await broker.get(path);
    assert.equal(answer.status, 200, path);
    assert.match(answer.headers["content-type"], type);
    assert.equal(answer.body, readFileSync(join(ROOT, "worker/http", file), "utf8"));
    const policy = answer.headers["content-security-policy"];
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|http:/);
    assert.match(answer.headers.etag, /^"/);
    assert.doesNotMatch(answer.body, /https?:\/\/(?!www\.w3\.org\/)/, "no resources of others");
  }
  // Nothing is told without a key.
  for (const path of ["/api/config", "/api/stats", "/api/clients"]) assert.equal((await broker.get(path)).status, 401, path);
  const { status, body } = await broker.get("/api/config", { headers: { Authorization: `Bearer ${KEY}` } });
  assert.equal(status, 200);
  const shown = JSON.parse(body);
  assert.equal(shown.instance, "test");
  assert.match(shown.toml, /^workers = 1$/m);
  for (const secret of [...SECRETS["http.api_keys"], SECRETS["log.redact_key"]]) assert.ok(!body.includes(secret), `${secret} is not shown`);
  assert.match(shown.toml, /^redact_key = "\*\*\*"$/m);
});

test("who comes by a public listener does not get the dashboard, who comes by http.admin_listen does", async () => {
  // A forwarded client is not this machine.
  const port = await freePort();
  const broker = await startBroker({ workers: 1, config: { ...SECRETS, "http.trusted_proxies": ["127.0.0.1"], "http.admin_listen": `127.0.0.1:${port}` } });
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/admin`, { headers: { "X-Forwarded-For": "203.0.113.9" } });
    assert.equal(answer.status, 200);
    assert.match(await answer.text(), /<title>ringcast<\/title>/);
    for (const path of ["/admin", "/admin.js", "/admin.css"]) {
      const answer = await broker.get(path, { headers: { "X-Forwarded-For": "203.0.113.9" } });
      assert.equal(answer.status, 404, path);
      assert.match(answer.body, /http\.admin_listen/);
    }
    await broker.stop();
  } finally {
    await broker.destroy();
  }
});

/* A broker with some traffic, and the dashboard signed in. body({ broker, page, shows, clients }). */
function testDashboard(name, options, body) {
  test(name, { skip: !program ? "Chromium is not installed" : options.redis && NO_REDIS }, async () => {
    const redis = options.redis ? await startRedis() : undefined;
    let chromium;
    let broker;
    try {
      broker = await startBroker({ workers: 2, config: { ...config, ...(redis ? { "redis.url": redis.url } : {}) } });
      chromium = await new Chromium().start(program);
      const clients = await Promise.all(["ada", "bob", "<b>&eve"].map((user) => broker.connect({ path: `/ws?user=${encodeURIComponent(user)}` })));
      for (const client of clients) await client.subscribe("room:hot");
      await clients[0].subscribe("room:cold & <i>quiet</i>");
      const page = await chromium.open(`http://${broker.host}/admin`);
      if (options.device) await page.device(options.device);
      const shows = (selector, wanted) => until(`${selector} shows ${wanted}`, async () => wanted.test(await page.text(selector)), { timeout: 20000, every: 50 });
      await body({ broker, page, shows, clients, redis });
      assert.deepEqual(page.errors.filter((line) => !/status of (400|401|409|503) /.test(line)), []);
      for (const url of page.requested) assert.ok(url.startsWith(`http://${broker.host}/`) || url.startsWith("data:"), `only this host is asked: ${url}`);
      await broker.stop();
    } catch (error) {
      console.error(broker?.log.slice(-40).join("\n"));
      throw error;
    } finally {
      await chromium?.stop();
      await broker?.destroy();
      await redis?.destroy();
    }
  });
}

async function signIn(page, key = KEY) {
  await page.type("#key", key);
  await page.click("#sign-in button");
}

/* Messages all the while, until stop(). */
function traffic(client) {
  let going = true;
  const done = (async () => {
    while (going) await client.publish("room:hot", { n: 1 });
  })();
  return () => {
    going = false;
    return done;
  };
}

testDashboard("it asks for a key, shows rates, processes, channels and clients, publishes and disconnects", { redis: true }, async ({ broker, page, shows, clients, redis }) => {
  assert.equal(await page.evaluate('document.querySelector("#board").hidden'), true);
  await signIn(page, "not-the-key");
  await shows("#sign-in-note", /not one of those in http\.api_keys/);
  await signIn(page);
  await shows("#status", /^serving$/);
  const stop = traffic(clients[0]);
  try {
    const tile = (name) => page.evaluate(`document.querySelector('[data-tile=${JSON.stringify(name)}] b').textContent`);
    await until("connections", async () => (await tile("connections")) === "3");
    await until("messages go in and three times as many out", async () => Number.parseFloat((await tile("messages in / s")).replace(",", "")) > 0 && (await tile("messages out / s")) !== "0", { timeout: 20000 });
    await until("a latency", async () => Number.parseFloat(await tile("p99, last minute")) > 0, { timeout: 20000 });
    assert.equal(await tile("Redis"), "connected");
    await shows("#processes", /acceptor.*relay.*worker 0.*worker 1/);
    await until("the hottest channel is the first", () => page.evaluate(`document.querySelectorAll("#channels tr")[1].querySelector("td").textContent === "room:hot" && Number.parseFloat(document.querySelectorAll("#channels tr")[1].children[2].textContent) > 0`), { timeout: 20000 });
    await shows("#channels", /room:cold & <i>quiet<\/i>/);
    await shows("#clients", /<b>&eve/);
    assert.equal(await page.evaluate('document.querySelectorAll("main b b, main i i").length'), 0, "names are text");
    assert.ok((await page.evaluate('document.querySelectorAll("#chart-latency path").length')) === 3);
    await until("a line is drawn", () => page.evaluate('document.querySelector("#chart-messages path").getAttribute("d").includes("L")'), { timeout: 20000 });
  } finally {
    await stop();
  }
  await until("nothing is overloaded", async () => (await page.evaluate('document.querySelector(\'[data-tile="overload"] b\').textContent')) === "none", { timeout: 30000 });

  await page.type("#clients-user", "bob");
  await page.click("#clients-form button");
  await until("one client", () => page.evaluate('document.querySelectorAll("#clients td.name").length === 2'));
  await shows("#clients", /bob/);
  await page.click("#clients td button");
  await until("it is gone", () => clients[1].isClosed);
  await shows("#clients-note", /is disconnected$/);
  await page.type("#clients-user", "");
  await page.evaluate('document.querySelector("#clients-user").value = ""');
  await page.type("#clients-address", "nonsense");
  await page.click("#clients-form button");
  await until("what is wrong is said", () => page.evaluate('document.querySelector("#clients-note.bad") !== null'));

  await page.type("#publish-channel", "room:cold & <i>quiet</i>");
  await page.type("#publish-event", "news");
  await page.type("#publish-data", '{"from": "the dashboard"}');
  await page.click("#publish-form button");
  const message = await until("it arrives", async () => {
    for (;;) {
      const next = await clients[0].next("message"); // behind all that the traffic was
      if (next.channel.startsWith("room:cold")) return next;
    }
  });
  assert.deepEqual([message.event, message.data], ["news", { from: "the dashboard" }]);
  await page.type("#publish-data", "{");
  await page.click("#publish-form button");
  await shows("#publish-note", /not JSON/);

  await shows("#config", /max_channels = 77/);
  const whole = await page.text("body");
  for (const secret of ["another-secret-key", "a-secret-redact-key", "a-secret-of-at-least"]) assert.ok(!whole.includes(secret), secret);
  await page.type("#config-only", "max_channels");
  await shows("#config", /^\[limits\]\nmax_channels = 77/);

  // A trace: each stage with its time, and why somebody does not get it; the next one takes its place.
  await page.type("#trace-channel", "room:hot");
  await page.type("#trace-user", "ada");
  await page.click("#trace-begin");
  await until("the trace runs", async () => /clients on this worker/.test(await page.text("#trace")), { timeout: 30000 });
  await clients[2].publish("room:hot", 1);
  await until("each stage is there", async () => {
    const rows = await page.evaluate('[...document.querySelectorAll("#trace tr")].slice(1).map((row) => [...row.children].map((cell) => cell.textContent))');
    const of = (stage) => rows.find((row) => row[1] === stage);
    for (const stage of ["received", "up", "sequenced", "down", "sent"]) if (!of(stage)) return false;
    const times = ["received", "up", "sequenced", "down", "sent"].map((stage) => Number(of(stage)[0]));
    assert.ok(times.every((time, i) => i === 0 || time >= times[i - 1]), times.join());
    assert.equal(of("sent")[7], clients[0].id);
    return true;
  }, { timeout: 30000 });
  keep("admin-trace", await page.screenshot({ whole: true }));
  await page.type("#trace-user", "<b>&eve");
  await page.click("#trace-begin");
  await until("the one before has ended, and another trace runs", async () => await page.evaluate('!document.querySelector("#trace-end").disabled') && /<b>&eve|connected, and subscribed/.test(await page.text("#trace")), { timeout: 30000 });
  await page.click("#trace-end");
  await shows("#trace-note", /^stopped$/);
  await shows("#memory", /subscriptions/);

  // Redis goes away: the page says so.
  await redis.kill();
  await until("Redis is away", () => page.evaluate(`document.querySelector('[data-tile="Redis"]').dataset.state === "bad"`), { timeout: 30000 });
  await page.click("#leave");
  await shows("#status", /^not signed in$/);
  assert.equal(await page.evaluate('sessionStorage.length'), 0);
});

testDashboard("a broker that hangs is said not to answer, a key that can be none is told so, and a list that is not all says so", {}, async ({ broker, page, shows, clients }) => {
  for (const key of ["a key", "“dashboard-key-1”", "schlüssel-1"]) {
    await signIn(page, key);
    await shows("#sign-in-note", /visible ASCII characters/);
    await page.evaluate('document.querySelector("#sign-in-note").textContent = ""');
  }
  await signIn(page, ` ${KEY} `); // as it comes from a terminal
  await shows("#status", /^serving$/);
  await shows("#clients", /ada/);
  assert.equal(await page.text("#clients-missing"), "");
  for (let i = 0; i < 30; i++) clients.push(await broker.connect({ path: "/ws?user=many" }));
  await shows("#clients-missing", /^these are 25 of them/);
  await page.type("#clients-user", "ada");
  await page.click("#clients-form button");
  await until("one is all of them", async () => (await page.text("#clients-missing")) === "");
  for (const worker of [0, 1]) broker.kill("SIGSTOP", worker);
  try {
    await shows("#status", /^does not answer$/);
  } finally {
    for (const worker of [0, 1]) broker.kill("SIGCONT", worker);
  }
  await shows("#status", /^serving$/);
});

testDashboard("a name that somebody made long pushes nobody from a phone's screen", { device: { width: 390, height: 844 } }, async ({ broker, page, shows }) => {
  const client = await broker.connect({ path: `/ws?user=${"n".repeat(200)}` });
  await client.subscribe(`room:${"w".repeat(200)}`);
  await signIn(page);
  await shows("#channels", /w{200}/);
  await shows("#clients", /n{200}/);
  const highest = await page.evaluate('Math.max(...[...document.querySelectorAll("#channels tr, #clients tr")].map((row) => row.getBoundingClientRect().height))');
  assert.ok(highest < 100, `a row is ${highest} high`);
  assert.deepEqual(await page.misfits(), []);
});

for (const [width, height, dark] of SCREENS) {
  testDashboard(`it fits ${width} × ${height}, ${dark ? "dark" : "light"}`, { device: { width, height, dark } }, async ({ page, shows, clients }) => {
    keep(`admin-sign-in-${width}-${dark ? "dark" : "light"}`, await page.screenshot());
    await signIn(page);
    const stop = traffic(clients[0]);
    try {
      await shows("#clients", /ada/);
      await until("it has looked a few times", () => page.evaluate("Number(document.body.dataset.looks) >= 4"), { timeout: 30000, every: 100 });
      assert.deepEqual(await page.misfits(), []);
      keep(`admin-${width}-${dark ? "dark" : "light"}`, await page.screenshot({ whole: true }));
    } finally {
      await stop();
    }
  });
}
