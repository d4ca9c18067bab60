// What tests/fresh asks where the Debian package is installed and its service runs (systemd, node, Chromium are there):
//
//   node --test tests/installed.mjs     environment: RINGCAST_NEXT, the package of the next version; RINGCAST_KEY, an API key in force
//
// The dashboard is seen; then the next version is installed while 1,000 clients are connected and told things, and nobody is disconnected.
import assert from "node:assert/strict";
import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import test from "node:test";
import { Chromium, findChromium } from "./e2e/lib/chromium.mjs";
import { connect } from "./e2e/lib/client.mjs";
import { program, until } from "./e2e/lib/util.mjs";

const URL = "ws://127.0.0.1:8080/ws";
const CLIENTS = 1000;
const SENDERS = 4;
const ROOMS = 10;
const { RINGCAST_NEXT: next, RINGCAST_KEY: key } = process.env;

/* A command that must succeed; what it said. */
async function run(command, ...args) {
  const { code, stdout, stderr } = await program(command, args, { timeout: 600000 });
  assert.equal(code, 0, `${command} ${args.join(" ")}: ${stderr}${stdout}`);
  return stdout;
}

const status = async () => JSON.parse(await run("ringcast", "status", "--json"));
const mainPid = async () => Number((await run("systemctl", "show", "--property", "MainPID", "--value", "ringcast")).trim());
const children = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ").map(Number);

test("the service runs the package's program as its user, under the unit's filter", async () => {
  assert.equal((await run("systemctl", "is-active", "ringcast")).trim(), "active");
  const pid = await mainPid();
  assert.equal(readlinkSync(`/proc/${pid}/exe`), "/usr/bin/ringcast");
  for (const one of [pid, ...children(pid)]) {
    const said = readFileSync(`/proc/${one}/status`, "latin1");
    assert.match(said, /^Seccomp:\s+2$/m, "SystemCallFilter is in force");
    assert.match(said, /^NoNewPrivs:\s+1$/m);
    assert.equal(/^Uid:\s+(\d+)/m.exec(said)[1], (await run("id", "-u", "ringcast")).trim());
  }
});

test("the dashboard is seen", async () => {
  const chromium = await new Chromium().start(findChromium());
  try {
    const page = await chromium.open("http://127.0.0.1:8080/admin");
    await page.type("#key", key);
    await page.click("#sign-in button");
    await until("it says that the broker serves", async () => (await page.text("#status")) === "serving", { timeout: 60000 });
    await until("it shows the processes", async () => /acceptor.*relay.*worker 0/.test(await page.text("#processes")), { timeout: 60000 });
    writeFileSync("/src/dashboard.png", await page.screenshot({ whole: true }));
    assert.deepEqual(page.errors, []);
  } finally {
    await chromium.stop();
  }
});

/* Numbers without an end into every room, by a client for each few rooms, until stop(); how many each room had. */
async function talk() {
  const said = new Array(ROOMS).fill(0);
  let going = true;
  const all = Promise.all(Array.from({ length: SENDERS }, async (_, first) => {
    const sender = await connect(URL, { timeout: 60000 });
    while (going) {
      for (let room = first; room < ROOMS; room += SENDERS) await sender.publish(`room:${room}`, said[room]++);
    }
    return sender;
  }));
  return { said, stop: () => ((going = false), all) };
}

test("the next version is installed under 1,000 clients, and nobody is disconnected, nothing is lost", async () => {
  const before = { pid: await mainPid(), version: (await status()).version };
  const children0 = children(before.pid);
  const clients = [];
  for (let i = 0; i < CLIENTS; i++) {
    const client = await connect(URL, { timeout: 60000 });
    Object.assign(client, { heard: 0, wrong: [], room: i % ROOMS });
    client.ondelivery = (message) => {
      if (message.type === "message" && message.data === client.heard) client.heard++;
      else client.wrong.push(message);
    };
    await client.subscribe(`room:${client.room}`);
    clients.push(client);
  }
  const talking = await talk();
  await until("they are told things", () => clients.every(({ heard }) => heard > 3), { timeout: 120000 });
  const said = await run("apt-get", "-qq", "-y", "--no-install-recommends", "install", next);
  assert.match(said, /went over to this version; its clients have stayed/);
  const heard = clients.map((client) => client.heard);
  await until("they are told things by the new version", () => clients.every((client, i) => client.heard > heard[i] + 3), { timeout: 120000 });
  const senders = await talking.stop();
  await until("all that was said has come", () => clients.every((client) => client.heard === talking.said[client.room]), { timeout: 120000 });
  assert.deepEqual([...clients, ...senders].filter(({ isClosed }) => isClosed).map(({ id, closeCode }) => `${id} ${closeCode}`), []);
  assert.deepEqual(clients.flatMap(({ wrong }) => wrong), []);

  const now = await status();
  assert.notEqual(now.version, before.version);
  assert.match(await run("ringcast", "version"), new RegExp(now.version.replaceAll(".", "\\.").replaceAll("+", "\\+")));
  assert.equal(await mainPid(), before.pid, "the service is the same process");
  assert.equal((await run("systemctl", "is-active", "ringcast")).trim(), "active");
  const children1 = children(before.pid);
  assert.deepEqual(children1.filter((pid) => children0.includes(pid)), [], "every child is a new one");
  for (const pid of [before.pid, ...children1]) assert.match(readlinkSync(`/proc/${pid}/exe`), /^\/usr\/bin\/ringcast(-worker|-relay)?$/, "and runs a program that is there");
  console.log(`${before.version} to ${now.version}: ${CLIENTS} clients, ${talking.said.reduce((sum, count) => sum + count, 0)} messages, ${clients.reduce((sum, client) => sum + client.heard, 0)} deliveries`);
  for (const client of [...clients, ...senders]) client.socket.terminate();
});
