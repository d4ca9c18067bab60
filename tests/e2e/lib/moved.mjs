// A bare WebSocket connection that keeps all bytes that it gets, for tests that move it.
import { frame } from "./raw.mjs";

/* Subscribed to the channel; `worker`: on which it has to be. */
export async function connectMoved(broker, channel, worker) {
  const others = [];
  let raw = await broker.frames("/ws");
  while (worker !== undefined && raw.worker !== worker) {
    others.push(raw);
    raw = await broker.frames("/ws");
  }
  for (const other of others) other.end();
  raw.write(frame({ payload: JSON.stringify({ type: "subscribe", channel, id: 1 }) }));
  await raw.message();
  return {
    write: (bytes) => raw.write(bytes),
    /* All bytes from its first message on up to the frame with this text. */
    async until(text, timeout = 30000) {
      const parts = [];
      for (;;) {
        const { payload } = await raw.frame(timeout);
        parts.push(payload);
        if (payload.toString() === text) return Buffer.concat(parts);
      }
    },
  };
}
