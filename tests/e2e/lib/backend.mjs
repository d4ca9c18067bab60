// A backend for the HTTP hook: a real server whose answers the test decides, which keeps what it was asked.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { until } from "./util.mjs";

export const SECRET = "a-secret-for-tests-only";

/* As docs/hook.md tells receivers to check it. */
export function checkSignature(request, body, secret) {
  const time = request.headers["ringcast-time"];
  assert.ok(Math.abs(Date.now() / 1000 - Number(time)) < 300, "the time is now");
  assert.equal(request.headers["ringcast-signature"], `v1=${createHmac("sha256", secret).update(`${time}.`).update(body).digest("hex")}`);
}

/* What the broker asks of its own accord, when nobody comes, is in `looks` and answered by `look`; all else is in `calls`. `answer(call, request, response)` gives an object to answer with, or { status, body }, or answers by itself (undefined). */
export async function startBackend({ answer = () => ({}), secret = SECRET, tls, path } = {}) {
  const backend = { calls: [], looks: [], answer, look: () => ({}), connections: 0, problems: [], since: performance.now() };
  const serve = (request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", async () => {
      const body = Buffer.concat(pieces);
      try {
        assert.equal(request.method, "POST");
        assert.equal(request.headers["content-type"], "application/json");
        assert.match(request.headers.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
        if (secret) checkSignature(request, body, secret);
        const call = JSON.parse(body);
        if (!call.calls) {
          assert.equal(request.headers["ringcast-call"], call.call);
          assert.equal(request.headers["ringcast-id"], call.id);
        }
        const looks = call.call === "health";
        (looks ? backend.looks : backend.calls).push({ ...call, headers_: request.headers });
        const reply = await (looks ? backend.look : backend.answer)(call, request, response);
        if (reply === undefined || response.writableEnded || response.destroyed) return;
        const { status = 200, body: text = JSON.stringify(reply) } = "status" in reply || "body" in reply ? reply : {};
        response.writeHead(status, { "content-type": "application/json" });
        response.end(text);
      } catch (error) {
        backend.problems.push(error);
        response.writeHead(500);
        response.end();
      }
    });
  };
  backend.server = tls ? createSecureServer({ cert: tls.cert, key: tls.key }, serve) : createServer(serve);
  backend.server.on("connection", () => backend.connections++);
  await new Promise((done) => backend.server.listen(path ?? { port: 0, host: "127.0.0.1" }, done));
  backend.port = path ? 0 : backend.server.address().port;
  backend.url = path ? `unix:${path}:/ringcast` : `http${tls ? "s" : ""}://127.0.0.1:${backend.port}/ringcast`;
  /* Resolves with the calls of a kind when so many have come. */
  backend.asked = async (call, count = 1) => {
    await until(`${count} calls of ${call}`, () => backend.calls.filter((each) => each.call === call).length >= count);
    return backend.calls.filter((each) => each.call === call);
  };
  backend.stop = () => {
    backend.server.closeAllConnections();
    const closed = new Promise((done) => backend.server.close(done));
    assert.deepEqual(backend.problems, []);
    return closed;
  };
  return backend;
}

/* A [[backend]] table for it. */
export const table = (backend, more = {}) => ({ name: "app", url: [backend.url], secrets: [SECRET], ...more });
