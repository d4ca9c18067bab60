// Clients that come and go: WebSocket handshakes by hand, as many at a time as there are lanes, each closed when it was answered.
import { connectRaw, upgradeRequest } from "./raw.mjs";

/* { count, statuses: { 101: n }, ms }; until so many were answered, or, without `count`, until it is time. done(): so many so far. */
export function storm(broker, { count = Infinity, lanes, until = () => false, path }) {
  const statuses = {};
  let begun = 0;
  let done = 0;
  const since = performance.now();
  const lane = async () => {
    while (begun < count && !until()) {
      begun++;
      const raw = await connectRaw(broker.address);
      raw.write(upgradeRequest(path()));
      const { status } = await raw.response({ timeout: 20000 });
      statuses[status] = (statuses[status] ?? 0) + 1;
      done++;
      raw.end();
    }
  };
  const all = Promise.all(Array.from({ length: lanes }, lane)).then(() => ({ count: done, statuses, ms: performance.now() - since }));
  return Object.assign(all, { done: () => done });
}
