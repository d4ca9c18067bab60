// Real clients and server SDKs of the Pusher Channels protocol for tests: pusher-js, and npm's `pusher`.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { until, within } from "./util.mjs";

const require = createRequire(import.meta.url);
export const PusherClient = require("pusher-js");
export const PusherServer = require("pusher");
export const nacl = require("tweetnacl");

export const APP = { id: "7", key: "app-key", secret: "app-secret-of-the-tests" };
export const OTHER = { id: "8", key: "other-key", secret: "other-secret-of-tests" };
/* A configuration with an end point /app and these apps. */
export const pusherConfig = (apps = [{ ...APP, client_events: true }], more = {}) => ({ endpoint: [{ path: "/app", protocol: "pusher" }], pusher_app: apps, ...more });

/* npm's `pusher` for the app. */
export function sdk(broker, app = APP, options = {}) {
  return new PusherServer({ appId: app.id, key: app.key, secret: app.secret, host: "127.0.0.1", port: String(broker.port), useTLS: false, ...options });
}

/* Which worker has the client, as its socket id says. */
export const workerOf = (socketId) => Number((BigInt(socketId.split(".")[1]) >> 32n) & 0xffffn);

/* A pusher-js client: `user` is who it is in presence channels and signs in as; `info` what is known of it. */
export function makeClient(broker, { app = APP, user, info, ...options } = {}) {
  const server = sdk(broker, app, options.server ?? {});
  const client = new PusherClient(app.key, {
    cluster: "",
    wsHost: "127.0.0.1",
    wsPort: broker.port,
    forceTLS: false,
    enabledTransports: ["ws"],
    disableStats: true,
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, done) =>
        done(null, server.authorizeChannel(socketId, channelName, channelName.startsWith("presence-") ? { user_id: user, ...(info === undefined ? {} : { user_info: info }) } : undefined)),
    },
    userAuthentication: { customHandler: ({ socketId }, done) => done(null, server.authenticateUser(socketId, { id: user, ...info })) },
    ...options,
  });
  client.seen = []; // of all channels: [channel, event, data]
  client.errors = [];
  client.bind_global((event, data) => client.seen.push([event, data]));
  client.connection.bind("error", (error) => client.errors.push(error));
  client.closed = new Promise((done) => client.connection.bind("disconnected", done));
  client.terminate = () => client.disconnect();
  broker.keep(client);
  return client;
}

export async function connected(client) {
  await within(10000, new Promise((done) => (client.connection.state === "connected" ? done() : client.connection.bind("connected", done))), "the client is connected");
  return client;
}

export const connectPusher = (broker, options) => connected(makeClient(broker, options));

/* One on that worker. Those that came to others stay until then. */
export async function connectPusherTo(broker, worker, options) {
  const others = [];
  for (let i = 0; i < 200; i++) {
    const client = await connectPusher(broker, options);
    if (workerOf(client.connection.socket_id) === worker) {
      for (const other of others) other.disconnect();
      return client;
    }
    others.push(client);
  }
  assert.fail(`no connection came to worker ${worker}`);
}

/* Subscribes, and waits for the answer; what comes on the channel afterwards is in channel.got: [event, data]. */
export async function subscribe(client, name) {
  const channel = client.subscribe(name);
  channel.got ??= [];
  channel.bind_global((event, data) => channel.got.push([event, data]));
  await within(10000, new Promise((done, failed) => {
    channel.bind("pusher:subscription_succeeded", done);
    channel.bind("pusher:subscription_error", (error) => failed(new Error(JSON.stringify(error))));
  }), `subscribed to ${name}`);
  return channel;
}

/* The error that a subscription is answered with. */
export function refused(client, name) {
  const channel = client.subscribe(name);
  return within(10000, new Promise((done, failed) => {
    channel.bind("pusher:subscription_error", done);
    channel.bind("pusher:subscription_succeeded", () => failed(new Error("it succeeded")));
  }), `${name} is refused`);
}

/* The first event of that name on the channel, from `from` on. */
export async function event(channel, name, from = 0) {
  const found = await until(`${name} on ${channel.name}`, () => channel.got.slice(from).find(([event]) => event === name));
  return found[1];
}
