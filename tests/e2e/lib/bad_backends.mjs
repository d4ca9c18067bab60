// Backends as no backend should be: servers of raw bytes, for the hook's tests. Each answers every request in its own way.
import { createServer } from "node:net";

const MIB = Buffer.alloc(1 << 20, "x");

/* Sends so many bytes as fast as they are taken, until the other side has enough. */
function pour(socket, bytes, piece = MIB) {
  let left = bytes;
  const more = () => {
    while (left > 0 && !socket.destroyed) {
      left -= piece.length;
      if (!socket.write(piece)) return;
    }
  };
  socket.on("drain", more);
  more();
}

const head = (...lines) => `HTTP/1.1 ${lines.join("\r\n")}\r\n\r\n`;

/* What a client is told (code), and how the failure is counted (reason of ringcast_backend_failures_total). */
export const BAD = {
  slow: { code: 503, reason: "timeout", answer: (socket) => setTimeout(() => socket.end(head("200 OK", "Content-Length: 2") + "{}"), 3000) },
  silent: { code: 503, reason: "timeout", answer: () => {} },
  closing: { code: 503, reason: "lost", answer: (socket) => socket.destroy() },
  garbage: { code: 503, reason: "garbage", answer: (socket) => socket.end(Buffer.from("what?\0\xff\r\n\r\n".repeat(100), "latin1")) },
  half: { code: 503, reason: "lost", answer: (socket) => socket.end(head("200 OK", "Content-Length: 1000") + '{"ack":[') },
  "half a head": { code: 503, reason: "lost", answer: (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Le") },
  "1 GB that it announces": { code: 503, reason: "size", answer: (socket) => (socket.write(head("200 OK", `Content-Length: ${1 << 30}`)), pour(socket, 1 << 30)) },
  "1 GB in chunks": { code: 503, reason: "size", answer: (socket) => (socket.write(head("200 OK", "Transfer-Encoding: chunked")), pour(socket, 1 << 30, Buffer.concat([Buffer.from("100000\r\n"), MIB, Buffer.from("\r\n")]))) },
  "1 GB without an end": { code: 503, reason: "size", answer: (socket) => (socket.write(head("200 OK", "Connection: close")), pour(socket, 1 << 30)) },
  "1 GB of headers": { code: 503, reason: "size", answer: (socket) => (socket.write("HTTP/1.1 200 OK\r\n"), pour(socket, 1 << 30, Buffer.from(`x-header: ${"y".repeat(1000)}\r\n`.repeat(1000)))) },
  redirects: { code: 503, reason: "status", answer: (socket, backend) => socket.write(head("302 Found", `Location: http://127.0.0.1:${backend.port}/again/${backend.asked}`, "Content-Length: 0")) },
  "a clock that is wrong": { code: 503, reason: "status", answer: (socket) => socket.write(head("401 Unauthorized", "Content-Length: 0")) },
};

/* A backend that answers as `backend.how` says. `asked` counts requests. */
export async function startBadBackend(port = 0) {
  const backend = { how: "silent", asked: 0, open: new Set(), good: (body) => ({ ack: [JSON.parse(body).args?.[0] ?? null] }) };
  const server = createServer((socket) => {
    let bytes = Buffer.alloc(0);
    backend.open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => backend.open.delete(socket));
    socket.on("data", (piece) => {
      bytes = Buffer.concat([bytes, piece]);
      for (;;) {
        const text = bytes.toString("latin1");
        const end = text.indexOf("\r\n\r\n");
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? NaN);
        if (end < 0 || bytes.length < end + 4 + length) return;
        const body = bytes.subarray(end + 4, end + 4 + length).toString();
        bytes = bytes.subarray(end + 4 + length);
        backend.asked++;
        if (backend.how === "good") {
          const answer = Buffer.from(JSON.stringify(backend.good(body)));
          socket.write(head("200 OK", "Content-Type: application/json", `Content-Length: ${answer.length}`));
          socket.write(answer);
        } else {
          BAD[backend.how].answer(socket, backend);
        }
      }
    });
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  backend.port = server.address().port;
  /* Nobody listens there any more. */
  backend.stop = async () => {
    const closed = new Promise((done) => server.close(done));
    for (const socket of backend.open) socket.destroy();
    await closed;
  };
  return backend;
}
