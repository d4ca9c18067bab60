// What the files of Engine.IO cases (engineio*.test.mjs) share: the settings and targets that all run with, and what their answers look like.
import { ask, askUpgrade, assert, delay, targetsOf } from "./socketio.mjs";

export const PING_INTERVAL = 300;
export const PING_TIMEOUT = 200;
export const LIFE = PING_INTERVAL + PING_TIMEOUT; // of who answers no ping
export const UPGRADE_TIMEOUT = 700;
export const MAX_PAYLOAD = 1000000;
export const options = { pingInterval: PING_INTERVAL, pingTimeout: PING_TIMEOUT, upgradeTimeout: UPGRADE_TIMEOUT };
/* For cases that are of no time: none is there long enough for a ping, which some do not answer, and which others would take for an answer of theirs. */
export const patient = { ...options, pingInterval: 25000, pingTimeout: 20000 };
export const targets = targetsOf("engineio");

const MESSAGES = [
  "Transport unknown", "Session ID unknown", "Bad handshake method", "Bad request", "Forbidden", "Unsupported protocol version",
];

/* An answer that is an error of this code. */
export function isError(answer, code) {
  assert.equal(answer.status, code === 4 ? 403 : 400, answer.body);
  assert.match(answer.headers["content-type"], /^application\/json/);
  assert.deepEqual(JSON.parse(answer.body), { code, message: MESSAGES[code] });
}

export const get = (server, query, more) => ask(server, "GET", `${server.path}?${query}`, more);

/* The next message that is no ping; pings are answered. */
export async function echo(socket, message) {
  socket.answerPings = true;
  socket.send(message);
  assert.deepEqual(await socket.next(), message);
}

/* A refused upgrade: 400 with the message as its body, and no connection any more. */
export async function isRefused(server, query, code) {
  const { raw, response } = await askUpgrade(server, query);
  assert.equal(response.status, 400);
  assert.equal(response.body, MESSAGES[code]);
  await raw.rest();
}

/* By now the server has what another connection sent, or that it ended: there is no answer that would tell. */
export const settle = () => delay(30);
