// deploy/examples/pusher.toml as it stands there: pusher-js, a server SDK, webhooks.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { example, testExample, valueOf } from "./lib/examples.mjs";
import { PusherServer, connectPusher, event, sdk, subscribe } from "./lib/pusher.mjs";
import { subscribers } from "./lib/redis.mjs";
import { until } from "./lib/util.mjs";

const APP = { id: "7", key: "app-key", secret: valueOf("pusher.toml", "secret") };
const webhooks = [];
let server;

/* The only thing that is another one here: where the application's server listens. */
const changes = (text) => {
  assert.match(text, /url = \["http:\/\/127\.0\.0\.1:8000\/pusher\/webhooks"\]/);
  return text.replace("127.0.0.1:8000/pusher", `127.0.0.1:${server.address().port}/pusher`);
};

testExample("pusher.toml: what a Laravel application does", {
  file: "pusher.toml",
  brokers: 2,
  changes,
  before: async () => {
    server = createServer((request, response) => {
      let body = "";
      request.on("data", (part) => (body += part));
      request.on("end", () => {
        const webhook = new PusherServer({ appId: APP.id, key: APP.key, secret: APP.secret, host: "x" }).webhook({ headers: request.headers, rawBody: body });
        if (request.url === "/pusher/webhooks" && webhook.isValid()) webhooks.push(...webhook.getEvents());
        response.end();
      });
    });
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
  },
  after: async () => void server.close(),
}, async ({ brokers: [first, second], redis }) => {
  const [ann, bob] = [await connectPusher(first, { app: APP, user: "1", info: { name: "Ann" } }), await connectPusher(second, { app: APP, user: "2", info: { name: "Bob" } })];
  const [chat, too] = [await subscribe(ann, "presence-chat.1"), await subscribe(bob, "presence-chat.1")];
  assert.deepEqual(await event(chat, "pusher:member_added"), { id: "2", info: { name: "Bob" } });
  await until("Redis has confirmed it to both", async () => (await subscribers(redis, "ws:channel:pusher-7:presence-chat.1")) === 2);
  await sdk(first, APP).trigger("presence-chat.1", "App\\Events\\Said", { text: "hello" }, { socket_id: ann.connection.socket_id });
  assert.deepEqual(await event(too, "App\\Events\\Said"), { text: "hello" });
  too.trigger("client-typing", { who: 2 });
  assert.deepEqual(await event(chat, "client-typing"), { who: 2 });
  bob.disconnect();
  ann.disconnect();
  const names = () => webhooks.map(({ name, user_id: user }) => [name, user].filter(Boolean).join(" ")).sort();
  const expected = ["channel_occupied", "channel_vacated", "member_added 1", "member_added 2", "member_removed 1", "member_removed 2"];
  await until("all webhooks", () => names().length >= expected.length);
  assert.deepEqual(names(), expected);
  assert.match(example("pusher.toml"), /protocol = "pusher"/);
});
