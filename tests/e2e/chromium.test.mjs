// The page at / and the reference client in a real browser.
import assert from "node:assert/strict";
import { run, testBroker } from "./lib/broker.mjs";
import { Chromium, SCREENS, findChromium, keep } from "./lib/chromium.mjs";
import { Running } from "./lib/network.mjs";
import { until } from "./lib/util.mjs";

const program = findChromium();

/* body(page, other): a page on the broker, and another client of it. */
function testPage(name, options, body) {
  testBroker(name, { timeout: 90000, ...options, skip: program ? false : "Chromium is not installed" }, async (broker) => {
    const chromium = new Chromium();
    try {
      await chromium.start(program);
      const page = await chromium.open(`http://${broker.host}/`);
      const shows = (selector, wanted) => until(`${selector} shows ${wanted}`, async () => {
        const text = await page.text(selector);
        return wanted instanceof RegExp ? wanted.test(text) : text === wanted;
      });
      await shows("#status", "connected");
      await body(broker, page, shows);
    } finally {
      await chromium.stop();
    }
  });
}

testPage("the page connects, subscribes, publishes and shows what arrives", {}, async (broker, page, shows) => {
  const other = await broker.connect();
  await other.subscribe("room:é 1");
  await shows("#client", /^test~/);
  await shows("#instance", "test");
  await shows("#user", "anonymous");
  await shows("#latency", /^\d+\.\d ms$/);

  await page.type("#subscribe-channel", "room:é 1");
  await page.click("#subscribe");
  await shows("#channels", /room:é 1/);
  await page.type("#publish-channel", "room:é 1");
  await page.type("#data", '{"grüße": "<b>&\\u2028😀"}');
  await page.click("#publish");
  assert.deepEqual(await other.next("message"), { type: "message", channel: "room:é 1", data: { grüße: "<b>&\u2028😀" } });
  await shows("#log", /grüße":"<b>&/);
  await shows("#sent", "1");

  await other.publish("room:é 1", "from another client", { echo: false });
  await shows("#log li:last-child .what", "from another client");
  await shows("#log li:last-child .where", "room:é 1");
  await shows("#received", "2");
  await shows("#publish-note", /^Sent/);

  await page.click("#as-text");
  await page.type("#data", "not JSON {");
  await page.click("#broadcast");
  assert.deepEqual(await other.next("message"), { type: "message", channel: "*", data: "not JSON {" });
  await shows("#log li:last-child .where", "*");
  await page.click("#as-text");
  await page.click("#publish");
  await shows("#publish-note", /not JSON/);

  await page.click("#channels .leave");
  await shows("#channels", "");
  await page.type("#subscribe-channel", "user:7");
  await page.click("#subscribe");
  await until("the refusal is shown", () => page.evaluate('document.querySelector("#subscribe-note.bad") !== null'));

  await page.click("#connect");
  await shows("#status", "not connected");
  await page.click("#connect");
  await shows("#status", "connected");
  assert.deepEqual(page.errors, []);
  for (const url of page.requested) assert.ok(url.startsWith(`http://${broker.host}/`) || url.startsWith("data:") || url.startsWith("ws:"), `only this host is asked: ${url}`);
});

testPage("the page shows who is there, code that works, and comes back at once when asked", {
  config: { namespace: [{ name: "room", presence: true }, { name: "log", history: 10 }], "debug.user_query": "user" },
}, async (broker, page, shows) => {
  await broker.connect({ path: "/ws?user=ada" }).then((client) => client.subscribe("room:1"));
  await page.click("#subscribe");
  await shows("#channels", /room:1/);
  await until("who is there is shown", async () => {
    await page.click("#channels .who");
    return (await page.text("#present")).includes("ada");
  }, { every: 100 });
  await shows("#subscribe-note", /^In room:1: 2 clients, 1 user\b/);
  await page.type("#subscribe-channel", "log:1");
  await page.click("#subscribe");
  await shows("#channels", /log:1/);
  await page.click('#channels [data-channel="log:1"] .who');
  await shows("#subscribe-note", /presence of its \[\[namespace\]\]/);

  // Each piece of code has the address, the channel and the data of the page; those for a page and for a shell are run.
  await page.type("#publish-channel", "log:it's");
  await page.type("#data", '{"n": 1}');
  const code = async (name) => {
    await page.evaluate(`[...document.querySelectorAll("#tabs button")].find((tab) => tab.textContent === ${JSON.stringify(name)}).click()`);
    return page.text("#code");
  };
  assert.match(await code("Node"), /^import Ringcast from "ringcast";[^]*publish\("log:it's", \{"n":1\}\);$/);
  const other = await broker.connect();
  await other.subscribe("log:it's");
  const [, script] = /<script type="module">([^]*)<\/script>$/.exec(await code("page"));
  await page.evaluate(`(async () => { ${script} })()`);
  assert.deepEqual((await other.next("message")).data, { n: 1 });
  const listening = new Running("bash", ["-c", (await code("curl, listen")).replace("curl ", "exec curl -s ")]);
  await until("curl hears", async () => {
    await other.publish("log:it's", "heard");
    return listening.said.includes("heard");
  }, { every: 50 });
  await listening.end("SIGKILL");
  assert.match(await code("curl, publish"), /\{"channel":"log:it'\\''s","data":\{"n":1\}\}/);
  await page.call("Browser.grantPermissions", { permissions: ["clipboardReadWrite"] }).catch(() => {});
  await page.click("#copy");
  await shows("#copy-note", /Copied|Selected/);

  // A new connection, subscribed again, with what was missed; and in the middle of a wait for the next attempt.
  const id = await page.text("#client");
  await page.click("#reconnect");
  await until("another client", async () => (await page.text("#client")) !== id && (await page.text("#status")) === "connected");
  await shows("#log", /log:1: what was missed comes now/);
  await page.evaluate("broker.options.reconnectMin = broker.options.reconnectMax = 3600000");
  await page.evaluate("broker._lost(broker.socket, 1006, 'as if lost')");
  await shows("#status", /^lost/);
  await page.click("#reconnect");
  await shows("#status", "connected");
  assert.deepEqual(page.errors, []);
});

for (const [width, height, dark] of SCREENS) {
  testPage(`the page fits ${width} × ${height}, ${dark ? "dark" : "light"}`, { config: { namespace: [{ name: "room", presence: true }] } }, async (broker, page, shows) => {
    await page.device({ width, height, dark });
    await page.click("#subscribe");
    await shows("#channels", /room:1/);
    await page.click("#publish");
    await shows("#log", /"hello":"world"/);
    await page.click("#channels .who");
    await shows("#subscribe-note", /^In room:1/);
    assert.deepEqual(await page.misfits(), []);
    keep(`page-${width}-${dark ? "dark" : "light"}`, await page.screenshot({ whole: true }));
  });
}

testPage("the page comes back after its worker dies", { workers: 1, config: { "server.adopt_crashed": false } }, async (broker, page, shows) => {
  await page.click("#subscribe");
  await shows("#channels", /room:1/);
  broker.kill("SIGKILL", 0);
  await shows("#reconnects", "1");
  await shows("#status", "connected");
  const other = await broker.connect();
  await other.publish("room:1", "after the death");
  await shows("#log li:last-child .what", "after the death");
});

testPage("the reference client sends and gets bytes, excludes, and rejects what fails", {}, async (broker, page) => {
  const other = await broker.connect();
  await other.subscribe("bin:1");
  const result = await page.evaluate(`(async () => {
    const client = new Ringcast();
    const got = [];
    await client.subscribe("bin:1", (data) => got.push(data instanceof Uint8Array ? Array.from(data) : data));
    await client.publish("bin:1", new Uint8Array([0, 255, 7]));
    await client.publish("bin:1", "not to me", { echo: false });
    await client.publish("bin:1", new Uint8Array([9]).buffer, { exclude: [client.client] });
    await client.direct(client.client, new Uint8Array([5]));
    await client.publish("bin:1", { end: true });
    const failures = [];
    for (const wrong of [() => client.subscribe("*"), () => client.direct("nobody", 1), () => client.publish("bin:1")]) {
      await wrong().catch((error) => failures.push(error.code));
    }
    while (got.length < 2) await new Promise((done) => client.on("message", done));
    const took = await client.ping();
    client.close();
    await client.publish("bin:1", 1).catch((error) => failures.push(error.reason));
    return { got, failures, took: took >= 0 };
  })()`);
  assert.deepEqual(result, { got: [[0, 255, 7], { end: true }], failures: [403, 404, 400, "closed"], took: true });
  const seen = [];
  for (let i = 0; i < 4; i++) seen.push((await other.next("message")).data);
  assert.deepEqual(seen, [Buffer.from([0, 255, 7]), "not to me", Buffer.from([9]), { end: true }]);
  assert.deepEqual(page.errors, []);
});

const KEY = "page-key-1";

testPage("recovery in a page: what was missed comes once and in order, and where there is no history it is told", {
  workers: 1, config: { "http.api_keys": [KEY], namespace: [{ name: "log", history: 100 }, { name: "plain" }] },
}, async (broker, page) => {
  await page.evaluate(`(async () => {
    window.seen = [];
    window.client = new Ringcast(undefined, { reconnectMin: 50 });
    client.on("recover", (channel, complete) => seen.push(["recover", channel, complete]));
    client.on("open", () => seen.push(["open"]));
    await client.subscribe("log:a", (data, message) => seen.push(["message", data instanceof Uint8Array ? [...data] : data, message.offset]));
    await client.subscribe("plain:a");
  })()`);
  const seen = (kind) => page.evaluate("seen").then((all) => all.filter(([what]) => what === kind).map(([, ...rest]) => rest));
  const cut = async () => {
    const opened = (await seen("open")).length;
    const answer = await broker.get("/api/disconnect", { method: "POST", headers: { Authorization: `Bearer ${KEY}` }, body: JSON.stringify({ client: await page.evaluate("client.client"), code: 3000 }) });
    assert.equal(answer.status, 200, answer.body);
    return () => until("it has come back", async () => (await seen("open")).length === opened + 1 && (await page.evaluate("client.channels.get('log:a').confirmed")));
  };
  const other = await broker.connect();
  await other.publish("log:a", 1);
  await until("the first", async () => (await seen("message")).length === 1);
  const back = await cut();
  await other.publish("log:a", 2);
  await page.evaluate(`(async () => {
    const sender = new Ringcast();
    await sender.publish("log:a", new Uint8Array([3, 255]));
    sender.close();
  })()`);
  await back();
  await other.publish("log:a", 4);
  await until("all of it", async () => (await seen("message")).length === 4);
  assert.deepEqual(await seen("message"), [[1, 1], [2, 2], [[3, 255], 3], [4, 4]]);
  assert.deepEqual((await seen("recover")).sort(), [["log:a", true], ["plain:a", false]]);
  const deleted = await broker.get("/api/history?channel=log:a", { method: "DELETE", headers: { Authorization: `Bearer ${KEY}` } });
  assert.equal(deleted.status, 200);
  await (await cut())();
  await until("it cannot have all", async () => (await seen("recover")).some(([channel, complete]) => channel === "log:a" && !complete));
  assert.equal((await seen("message")).length, 4);
});

testPage("a page of another origin reads and calls what CORS lets it, and no more", { config: { "http.api_keys": [KEY] } }, async (broker, page) => {
  const attempt = (base) => page.evaluate(`(async () => {
    const outcome = (promise) => promise.then(async (answer) => [answer.status, (await answer.json()).status ?? "done"], (error) => error.name);
    const publish = (headers, body) => outcome(fetch(${JSON.stringify(base)} + "/api/publish", { method: "POST", headers, body: JSON.stringify(body) }));
    return [
      await outcome(fetch(${JSON.stringify(base)} + "/health")),
      await publish({ Authorization: "Bearer ${KEY}", "Content-Type": "application/json" }, { channel: "a:1", data: "page" }),
      await publish({ Authorization: "Bearer ${KEY}", "X-Other": "1" }, { channel: "a:1", data: "never" }),
      await publish({ "Content-Type": "text/plain" }, { channel: "a:1", data: "never" }),
    ];
  })()`);
  // localhost is another origin than 127.0.0.1, and the same broker.
  const client = await broker.connect();
  await client.subscribe("a:1");
  assert.deepEqual(await attempt(`http://localhost:${broker.port}`), ["TypeError", "TypeError", "TypeError", "TypeError"]);
  broker.writeConfig({ ...broker.config, "http.allowed_origins": [`http://${broker.host}`], "http.cors_max_age": "0s" });
  assert.equal((await run(["reload", "-c", broker.configPath])).code, 0);
  const lines = await until("the reload is in force", async () => {
    const seen = await attempt(`http://localhost:${broker.port}`);
    return seen[0] !== "TypeError" && seen;
  });
  assert.deepEqual([lines[0], lines[1][0], lines[2], lines[3][0]], [[200, "ok"], 200, "TypeError", 401]);
  assert.equal((await client.next("message")).data, "page");
});
