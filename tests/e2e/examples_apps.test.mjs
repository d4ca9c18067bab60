// deploy/examples/chat.toml, whiteboard.toml and excalidraw.toml: the official applications' clients by their calls, and pages in Chromium
// behind nginx as deploy/examples/README.md shows it.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Chromium, findChromium } from "./lib/chromium.mjs";
import { example, hears, testExample, told } from "./lib/examples.mjs";
import { adapt, nginx, withNginx } from "./lib/proxy.mjs";
import { CLIENT_FILES } from "./lib/socketio.mjs";
import { FOLDER } from "./lib/tls.mjs";
import { freePort, until } from "./lib/util.mjs";

const TRANSPORTS = [undefined, ["websocket"], ["polling"]];
const ALONE = { redis: false };

testExample("chat.toml: what its page says and is told, on every transport", { ...ALONE, file: "chat.toml" }, async ({ brokers: [broker], connect }) => {
  const people = [];
  for (let i = 0; i < 6; i++) {
    const socket = await connect(broker, { transports: TRANSPORTS[i % 3] });
    socket.emit("add user", `user ${i}`);
    assert.deepEqual(await hears(socket, "login"), [{ numUsers: i + 1 }]);
    for (const other of people) {
      await until("they hear who joined", () => other.heard.some(([name, data]) => name === "user joined" && data.username === `user ${i}` && data.numUsers === i + 1));
    }
    people.push(socket);
  }
  const [first, ...others] = people;
  for (const [event, args, wanted] of [
    ["typing", [], { username: "user 0" }],
    ["new message", ["<b>hi</b> \u{1f44b}"], { username: "user 0", message: "<b>hi</b> \u{1f44b}" }],
    ["stop typing", [], { username: "user 0" }],
  ]) {
    first.emit(event, ...args);
    for (const other of others) assert.deepEqual(await hears(other, event), [wanted]);
  }
  assert.deepEqual(first.heard.filter(([name]) => ["typing", "new message", "stop typing"].includes(name)), [], "but not to who said it");
  // Who has not said a name says nothing.
  const stranger = await connect(broker);
  assert.deepEqual(await told(stranger, "error", () => stranger.emit("new message", "spam")), [{ code: 403, message: "you are not in this room" }]);
  first.close();
  for (const other of others) assert.deepEqual(await hears(other, "user left"), [{ username: "user 0", numUsers: 5 }]);
  stranger.close();
  const left = (socket) => socket.heard.filter(([name]) => name === "user left");
  people[1].close();
  await until("the next one is told", () => left(people[2]).length === 2);
  assert.deepEqual(left(people[2])[1], ["user left", { username: "user 1", numUsers: 4 }], "a stranger's end is nobody's business");
});

testExample("whiteboard.toml: what one draws the others see", { ...ALONE, file: "whiteboard.toml" }, async ({ brokers: [broker], connect }) => {
  const boards = [];
  for (const transports of TRANSPORTS) boards.push(await connect(broker, { transports }));
  const line = { x0: 0.1, y0: 1 / 3, x1: 0.25, y1: 1e-7, color: "black" };
  boards[0].emit("drawing", line);
  for (const other of boards.slice(1)) assert.deepEqual(await hears(other, "drawing"), [line]);
  boards[2].emit("drawing", { ...line, color: "red" });
  assert.deepEqual(await hears(boards[0], "drawing"), [{ ...line, color: "red" }]);
});

/* excalidraw-app/collab/Portal.tsx: join on init-room; encrypted data and its IV, binary both; to the room, or to one's followers. */
testExample("excalidraw.toml: rooms, binary and volatile changes, followers", { ...ALONE, file: "excalidraw.toml", env: () => ({ CORS_ORIGIN: "http://localhost:3000" }) }, async ({ brokers: [broker], connect }) => {
  const ROOM = "0a1b2c3d4e5f60718293"; // ROOM_ID_BYTES = 10, as hexadecimal digits: as long as a socket's id
  const portal = async (room = ROOM) => {
    const socket = await connect(broker, { transports: ["websocket", "polling"] });
    await hears(socket, "init-room");
    socket.emit("join-room", room);
    return socket;
  };
  const members = (socket, list, name = "room-user-change") => until(`it hears of ${list.length} in ${name}`, () => {
    const [, last] = socket.heard.filter(([event]) => event === name).at(-1) ?? [];
    return last && JSON.stringify([...last].sort()) === JSON.stringify(list.map(({ id }) => id).sort());
  });
  const a = await portal();
  assert.deepEqual(await hears(a, "first-in-room"), []);
  await members(a, [a]);
  const b = await portal();
  assert.deepEqual(await hears(a, "new-user"), [b.id]);
  const c = await portal();
  for (const socket of [a, b, c]) await members(socket, [a, b, c]);
  assert.ok(![b, c].some(({ heard }) => heard.some(([name]) => name === "first-in-room")));
  const elsewhere = await portal("another-room");
  await members(elsewhere, [elsewhere]);

  const data = Buffer.from([0, 255, 1, 128]);
  const iv = new Uint8Array([9, 8, 7]);
  for (const event of ["server-broadcast", "server-volatile-broadcast"]) {
    a.emit(event, ROOM, data, iv);
    for (const socket of [b, c]) {
      const [gotData, gotIv] = await until("they get it", () => socket.heard.filter(([name]) => name === "client-broadcast").at(event === "server-broadcast" ? 0 : 1)?.slice(1));
      assert.deepEqual([Buffer.from(gotData), Buffer.from(gotIv)], [data, Buffer.from(iv)], event);
    }
  }
  // b and c follow a, who is told by whom, and tells them where it looks in the room follow@a.
  const follow = (socket, action) => socket.emit("user-follow", { userToFollow: { socketId: a.id, username: "a" }, action });
  follow(b, "FOLLOW");
  await members(a, [b], "user-follow-room-change");
  follow(c, "FOLLOW");
  await members(a, [b, c], "user-follow-room-change");
  const before = b.heard.length;
  a.emit("server-volatile-broadcast", `follow@${a.id}`, Buffer.from("bounds"), iv);
  await until("a follower sees where a looks", () => b.heard.slice(before).some(([name, bytes]) => name === "client-broadcast" && Buffer.from(bytes).equals(Buffer.from("bounds"))));
  follow(b, "UNFOLLOW");
  await members(a, [c], "user-follow-room-change");
  c.close();
  assert.deepEqual(await hears(a, "broadcast-unfollow"), []);
  for (const socket of [a, b]) await members(socket, [a, b]);
  assert.deepEqual(elsewhere.heard.map(([name]) => name), ["init-room", "first-in-room", "room-user-change"], "another room hears nothing");
});

/* --- in a browser -------------------------------------------------------------------------------------------------------- */

const program = findChromium();
const skip = !program ? "Chromium is not installed" : !nginx ? "nginx is not installed" : false;

/* Pages of a folder behind nginx as README.md shows it, and the broker of an example behind /socket.io/. body(open): a page each. */
function testPages(name, file, pages, body) {
  testExample(name, {
    ...ALONE, file, skip, timeout: 90000,
    changes: (text) => adapt(text, [[/^# client_files = .*$/m.exec(text)[0], `client_files = ${JSON.stringify(CLIENT_FILES)}`]]),
  }, async ({ brokers: [broker] }) => {
    const folder = join(FOLDER, name.replaceAll(/\W+/g, "-"));
    mkdirSync(folder, { recursive: true }); // it may be there, of a run before
    for (const [path, text] of Object.entries(pages)) writeFileSync(join(folder, path), text);
    const port = await freePort();
    const snippet = /```nginx\n([^]*?)```/.exec(example("README.md"))[1];
    const conf = adapt(snippet, [["listen 8000;", `listen 127.0.0.1:${port};`], ["/srv/chat/public", folder], ["http://127.0.0.1:3000", `http://127.0.0.1:${broker.port}`]]);
    const chromium = new Chromium();
    await withNginx("http", `types { text/html html; text/javascript js; }\n${conf}`, port, async () => {
      try {
        await chromium.start(program);
        const opened = [];
        await body(async () => {
          const page = await chromium.open(`http://127.0.0.1:${port}/index.html`);
          opened.push(page);
          return page;
        });
        for (const page of opened) {
          assert.deepEqual(page.errors, []);
          assert.ok(page.requested.includes(`http://127.0.0.1:${port}/socket.io/socket.io.js`), page.requested.join(" "));
          assert.ok(page.requested.some((url) => url.includes("/socket.io/?EIO=4&transport=polling")), "it began by polling");
        }
        const metrics = await broker.metrics();
        assert.ok(metrics("ringcast_engineio_upgrades_total") >= opened.length, "and went over to a WebSocket");
      } finally {
        await chromium.stop();
      }
    });
  });
}

const html = (body, script) => `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">${body}
<script src="/socket.io/socket.io.js"></script><script>${script}</script>`;

const chatPage = html('<input id="name"><input id="say"><ul id="log"></ul>', `
  const socket = io();
  const field = (id) => document.getElementById(id);
  const log = (text) => { field("log").append(Object.assign(document.createElement("li"), { textContent: text })); };
  let name;
  field("name").addEventListener("change", (event) => socket.emit("add user", (name = event.target.value)));
  field("say").addEventListener("input", () => socket.emit("typing"));
  field("say").addEventListener("change", (event) => {
    log(name + ": " + event.target.value);
    socket.emit("new message", event.target.value);
    socket.emit("stop typing");
  });
  socket.on("login", ({ numUsers }) => log("there are " + numUsers));
  socket.on("user joined", ({ username, numUsers }) => log(username + " joined, there are " + numUsers));
  socket.on("user left", ({ username, numUsers }) => log(username + " left, there are " + numUsers));
  socket.on("new message", ({ username, message }) => log(username + ": " + message));
  socket.on("typing", ({ username }) => log(username + " is typing"));
  socket.on("stop typing", ({ username }) => log(username + " stopped"));
`);

testPages("a chat page as the official one, in Chromium", "chat.toml", { "index.html": chatPage }, async (open) => {
  const [ann, bob] = [await open(), await open()];
  const shows = (page, text) => until(`the page shows "${text}"`, async () => (await page.evaluate('[...document.querySelectorAll("#log li")].map((item) => item.textContent)')).includes(text));
  const enter = async (page, selector, text) => {
    await page.type(selector, text);
    await page.evaluate(`document.querySelector(${JSON.stringify(selector)}).dispatchEvent(new Event("change"))`);
  };
  await enter(ann, "#name", "Ann");
  await shows(ann, "there are 1");
  await enter(bob, "#name", "Bøb");
  await shows(bob, "there are 2");
  await shows(ann, "Bøb joined, there are 2");
  await enter(bob, "#say", "<i>grüße</i>");
  for (const text of ["Bøb is typing", "Bøb: <i>grüße</i>", "Bøb stopped"]) await shows(ann, text);
  await bob.call("Page.close"); // as somebody closes a tab
  await shows(ann, "Bøb left, there are 1");
});

const whiteboardPage = html('<canvas id="board" width="200" height="100"></canvas>', `
  const socket = io();
  const board = document.getElementById("board");
  const context = board.getContext("2d");
  let from = null;
  function line({ x0, y0, x1, y1, color }) {
    context.beginPath();
    context.moveTo(x0 * board.width, y0 * board.height);
    context.lineTo(x1 * board.width, y1 * board.height);
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.stroke();
  }
  board.addEventListener("mousedown", (event) => { from = [event.offsetX / board.width, event.offsetY / board.height]; });
  board.addEventListener("mouseup", (event) => {
    const data = { x0: from[0], y0: from[1], x1: event.offsetX / board.width, y1: event.offsetY / board.height, color: "red" };
    line(data);
    socket.emit("drawing", data);
  });
  socket.on("drawing", line);
`);

testPages("a whiteboard page as the official one, in Chromium", "whiteboard.toml", { "index.html": whiteboardPage }, async (open) => {
  const [one, other] = [await open(), await open()];
  for (const page of [one, other]) await until("it is connected", () => page.evaluate("socket.connected"));
  const { x, y } = await one.evaluate('(({ x, y }) => ({ x, y }))(document.getElementById("board").getBoundingClientRect())');
  for (const [type, dx, dy] of [["mousePressed", 20, 50], ["mouseReleased", 180, 50]]) {
    await one.call("Input.dispatchMouseEvent", { type, x: x + dx, y: y + dy, button: "left", clickCount: 1 });
  }
  await until("the other page has the line", async () => {
    const [red, , , alpha] = await other.evaluate("[...context.getImageData(100, 50, 1, 1).data]");
    return red > 200 && alpha > 200;
  });
});
