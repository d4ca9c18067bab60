// More of attackers.mjs: who only listens, by server-sent events, and clients of the Pusher Channels protocol without, or with somebody
// else's, signatures.
import { createHmac } from "node:crypto";
import { request } from "node:http";
import WebSocket from "ws";
import { Attacker, isName, written } from "./attackers.mjs";
import { DIARY, PUSHER_APP, PUSHER_PRIVATE } from "./tenants.mjs";
import { until, within } from "./util.mjs";

/* --- server-sent events ---------------------------------------------------------------------------------------------------- */

const WISHES = ["", "&retained=true", "&last=5", "&format=data", "&retained=true&last=1"];

export class SseAttacker extends Attacker {
  listens = true; // it can say nothing

  one({ name, wish = "", since }) {
    const value = JSON.parse(name.json === "1e400" ? "1" : name.json);
    const channel = encodeURIComponent(isName(value) ? value : name.json);
    const headers = since ? { "last-event-id": since } : {};
    return new Promise((done) => {
      const out = request({ host: "127.0.0.1", port: this.broker.port, path: `/sse?channel=${channel}${wish}${this.token ? `&token=${this.token}` : ""}`, agent: false, headers }, (response) => {
        response.on("data", (bytes) => this.look(bytes));
        response.on("error", () => {});
        response.on("end", () => done(response.statusCode));
        if (response.statusCode === 200) { // what it is told at once comes with the head
          response.once("data", () => setImmediate(() => (response.destroy(), done("done"))));
        }
      });
      out.on("error", () => done("cut"));
      out.end();
    });
  }

  run(requests) {
    return within(60000, Promise.all(requests.map((each) => this.one(each))), `${this.who} is answered`);
  }

  sweep(places) {
    return [
      ...[...places, ...PUSHER_PRIVATE].flatMap((name) => WISHES.map((wish) => ({ name: written(name), wish, exact: true }))),
      { name: written(DIARY), wish: "&last=5", exact: true },
    ];
  }

  requests(name, next) {
    return [{ name, wish: next.pick(WISHES), ...(next.below(3) === 0 ? { since: "5f3a1c9e22d0b417:0" } : {}), exact: name.exact !== undefined }];
  }

  async close() {}
}

/* --- Pusher Channels ------------------------------------------------------------------------------------------------------- */

const sign = (text, secret = PUSHER_APP.secret) => createHmac("sha256", secret).update(text).digest("hex");
const MEMBER = JSON.stringify({ user_id: "bob" });
const USER = JSON.stringify({ id: "bob" });
/* What somebody may have who has no signature of the app for this: nothing, nonsense, one by another secret, one for another socket, one for another
 * channel of its own. */
const SIGNATURES = [
  () => undefined,
  () => "",
  () => `${PUSHER_APP.key}:`,
  () => `${PUSHER_APP.key}:${"0".repeat(64)}`,
  (socket, what) => `${PUSHER_APP.key}:${sign(`${socket}:${what}`, "another-secret")}`,
  (socket, what) => `${PUSHER_APP.key}:${sign(`1.1:${what}`)}`,
  (socket) => `${PUSHER_APP.key}:${sign(`${socket}:private-alice`)}`,
  (socket, what) => `other-key:${sign(`${socket}:${what}`)}`,
];
const NAMES = ["private-bob", "presence-bob", "private-cache-bob", "private-encrypted-bob", "#server-to-user-bob"];

export class PusherAttacker extends Attacker {
  listens = true; // the plaza is no channel of its app

  async connect() {
    const ws = new WebSocket(`ws://${this.broker.host}/app/${PUSHER_APP.key}?protocol=7${this.token ? `&token=${this.token}` : ""}`);
    this.ws = ws;
    this.answered = () => {};
    ws.on("error", () => {});
    ws.on("close", () => {
      this.answered("cut");
      if (this.ws === ws) this.ws = undefined;
    });
    const established = new Promise((done) => ws.on("message", (bytes) => {
      const text = bytes.toString();
      this.look(text);
      const { event, data } = JSON.parse(text);
      if (event === "pusher:connection_established") done(JSON.parse(data).socket_id);
      else if (event === "pusher_internal:subscription_succeeded" || event === "pusher:signin_success") this.answered("done");
      else if (event === "pusher:subscription_error" || event === "pusher:error") this.answered(Number(data.status ?? data.code ?? 0));
      else if (event === "pusher:pong") this.answered("none");
    }));
    this.socketId = await within(10000, established, `${this.who} connects`);
  }

  text({ kind, channel, signature }) {
    const auth = (what) => SIGNATURES[signature](this.socketId, what);
    if (kind === "signin") return { event: "pusher:signin", data: { auth: auth(`:user::${USER}`), user_data: USER } };
    if (kind === "event") return { event: "client-said", channel, data: "forged" };
    const member = channel.startsWith("presence-") ? MEMBER : undefined;
    return { event: "pusher:subscribe", data: { channel, auth: auth(member ? `${channel}:${member}` : channel), ...(member ? { channel_data: member } : {}) } };
  }

  async run(requests) {
    const outcomes = [];
    for (const each of requests) {
      if (!this.ws) await this.connect();
      const answered = new Promise((done) => (this.answered = done));
      this.ws.send(JSON.stringify(this.text(each)));
      outcomes.push(await within(10000, answered, `${this.who} is answered ${JSON.stringify(each)}`));
    }
    return outcomes;
  }

  sweep() {
    return [
      ...NAMES.flatMap((channel) => SIGNATURES.map((_, signature) => ({ kind: "subscribe", channel, signature, exact: true }))),
      ...NAMES.map((channel) => ({ kind: "event", channel, exact: true })),
      ...SIGNATURES.map((_, signature) => ({ kind: "signin", signature, exact: true, mayCut: true })),
      ...NAMES.map((channel) => ({ kind: "event", channel, exact: true })), // not as bob either
    ];
  }

  requests(name, next) {
    const value = JSON.parse(name.json === "1e400" ? "1" : name.json);
    const channel = next.below(2) === 0 || !isName(value) ? next.pick(NAMES) : value;
    const exact = NAMES.includes(channel);
    return [{ kind: next.pick(["subscribe", "event", "signin"]), channel, signature: next.below(SIGNATURES.length), exact }];
  }

  async close() {
    this.ws?.terminate();
    this.ws = undefined;
  }
}

/* --- what a channel has had ------------------------------------------------------------------------------------------------ */

/* Everybody hears the diary, and only bob reads what was written there: who has its epoch from hearing it asks for all since its beginning, by the
 * native protocol, as a stream that comes back, and as a raw client that an end point joins. What is published afterwards comes behind all of that.
 * Told if somebody gets it. */
export async function pried(bob, user, token, Native) {
  const { broker } = bob;
  const attacker = new Native(broker, user, token);
  const query = token ? `&token=${token}` : "";
  await attacker.connect();
  const { client } = attacker;
  const { epoch } = await client.expect("subscribed", { type: "subscribe", channel: DIARY });
  await client.expect("unsubscribed", { type: "unsubscribe", channel: DIARY });
  if (!epoch) attacker.wrongs.push("the diary has no history: this proves nothing");
  await client.request({ type: "subscribe", channel: DIARY, recover: { epoch, offset: 0 } });
  const stream = new SseAttacker(broker, user, token);
  await stream.run([{ name: written(DIARY), since: `${epoch}:0` }]);
  const raw = await broker.connect({ path: `/diary?since=last%20900${query}`, welcome: false });
  const heard = [];
  const hears = ({ bytes }) => (heard.push(bytes.toString("latin1")), attacker.look(bytes));
  raw.ondelivery = hears;
  raw.inbox.splice(0).forEach(hears); // what came with the handshake
  const mark = `page ${Math.random()}`;
  const told = new Promise((done) => (client.ondelivery = ({ data }) => data === mark && done()));
  await until("the end point's client is in the diary", async () => {
    await bob.api("/api/publish", { channel: DIARY, data: mark });
    return heard.some((text) => text.includes(mark));
  });
  await within(10000, told, "the native client is in the diary");
  await attacker.close();
  raw.terminate();
  return [...attacker.wrongs, ...stream.wrongs];
}
