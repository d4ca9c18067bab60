// Many Socket.IO clients at once, half of them polling for good, the others upgrading, with a new TCP connection for every request,
// so that the requests of a session come to all workers: nothing is lost, doubled or out of order, and nobody is sent away. To the
// server itself, and through nginx and HAProxy, which keep their connections to it and know no stickiness. tests/stress/socketio.mjs is
// the same with a thousand of each.
import assert from "node:assert/strict";
import test from "node:test";
import { haproxy, nginx, withHaproxy, withNginx } from "./lib/proxy.mjs";
import { targetsOf, until } from "./lib/socketio.mjs";
import { FULL, PER_KIND, SECONDS, rows, talk } from "./lib/talk.mjs";
import { SLOWER, freePort, within } from "./lib/util.mjs";

const NGINX = (front, back) => `
map $http_upgrade $to_upgrade { default upgrade; '' ''; }
upstream servers { server 127.0.0.1:${back}; keepalive 16; }
server {
  listen 127.0.0.1:${front};
  location / {
    proxy_pass http://servers;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $to_upgrade;
  }
}`;

const HAPROXY = (front, back) => `
global
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  option http-keep-alive
  http-reuse always
frontend clients
  bind 127.0.0.1:${front}
  default_backend servers
backend servers
  server one 127.0.0.1:${back}
`;

const ways = {
  "to the server itself": { skip: false, through: (port, body) => body(port) },
  "through nginx": {
    skip: nginx ? false : "nginx is not installed",
    through: async (port, body) => {
      const front = await freePort();
      return withNginx("http", NGINX(front, port), front, () => body(front));
    },
  },
  "through HAProxy": {
    skip: haproxy ? false : "HAProxy is not installed",
    through: async (port, body) => {
      const front = await freePort();
      return withHaproxy(HAPROXY(front, port), front, () => body(front));
    },
  },
};

for (const target of targetsOf("socketio")) {
  for (const [name, { skip, through }] of Object.entries(ways)) {
    if (FULL && name !== "to the server itself" && target.name !== "ringcast") continue; // what Node can do is known then
    test(`${target.name}, ${name}: ${PER_KIND} clients poll, ${PER_KIND} upgrade`, { skip, timeout: (SECONDS + 180) * 1000 * SLOWER }, async () => {
      // Heartbeats of the default: a client that waits for one processor with a thousand others is not to be given up.
      const server = await target.start({ rows, workers: FULL ? 4 : 3 });
      try {
        await through(server.port, talk);
        await server.stop();
      } finally {
        await server.destroy();
      }
    });
  }
}
