// HTTP connections outlive their worker: those of Socket.IO by polling, requests whose body is coming, answers that are leaving.
import assert from "node:assert/strict";
import { testBroker } from "./lib/broker.mjs";
import { killWorker } from "./lib/crowd.mjs";
import { handedOver } from "./lib/outlive.mjs";
import { openPolling } from "./lib/socketio.mjs";
import { CROWD_ROWS, CROWD_SOCKETIO, SocketioCrowd } from "./lib/socketio_crowd.mjs";
import { openStream } from "./lib/sse.mjs";
import { until, within } from "./lib/util.mjs";

const POLLING = { "socketio.path": "/socket.io/", event: CROWD_ROWS };

const ways = {
  "a planned hand-over": (broker) => handedOver(broker, "0"),
  "kill -9": (broker) => killWorker(broker, 0),
};

testBroker("socket.io-client by polling alone, and streams, while all workers are handed over again and again: nobody notices", {
  workers: 2, timeout: 180000, config: { ...CROWD_SOCKETIO, "socketio.ping_interval": "1s" },
}, async (broker) => {
  const crowd = new SocketioCrowd(broker.port, Array(8).fill({ transports: ["polling"] }));
  await crowd.begin();
  const publisher = await broker.connect();
  const streams = await Promise.all(Array.from({ length: 4 }, () => openStream(broker, "/sse?channel=news")));
  let published = 0;
  let ending = false;
  const publishing = (async () => {
    while (!ending) await publisher.publish("news", published++);
  })();
  try {
    for (let i = 0; i < 6; i++) {
      await crowd.more(20);
      await handedOver(broker, "all");
    }
    await crowd.more(20);
  } finally {
    ending = true;
  }
  await publishing;
  await crowd.end();
  assert.deepEqual(crowd.disconnects, []);
  for (const stream of streams) {
    for (let i = 0; i < published; i++) assert.equal((await stream.message()).data, i);
    stream.terminate();
  }
  assert.equal((await broker.metrics())("ringcast_worker_takeovers_total"), 12);
});

for (const [name, replace] of Object.entries(ways)) {
  testBroker(`a GET that waits goes on to wait in the successor, and gets what comes: ${name}`, { workers: 1, config: POLLING, timeout: 60000 }, async (broker) => {
    const session = await openPolling({ port: broker.port, path: "/socket.io/" });
    await session.send("40");
    assert.match(await session.packet(), /^40\{"sid":/);
    let answered = false;
    const waits = session.get();
    waits.finally(() => (answered = true)).catch(() => {});
    await until("it waits", async () => (await broker.metrics())("ringcast_http_waiting") === 1);
    await replace(broker);
    await until("it waits again", async () => (await broker.metrics())("ringcast_http_waiting") === 1);
    assert.equal(answered, false);
    await session.send('420["echo",7]');
    const { status, body } = await waits;
    assert.equal(status, 200);
    assert.equal(body, '430[7]\x1e42["echo",7]');
  });

  testBroker(`a POST whose body is coming is put together by the successor, wherever it was cut: ${name}`, { workers: 1, config: { ...POLLING, "limits.max_body": "1MiB" }, timeout: 120000 }, async (broker) => {
    const session = await openPolling({ port: broker.port, path: "/socket.io/" });
    await session.send("40");
    assert.match(await session.packet(), /^40\{"sid":/);
    const raw = await broker.raw();
    const pad = "x".repeat(40000);
    const body = `420["echo","${pad}"]`;
    for (const chunked of [false, true]) {
      const payload = chunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
      const length = chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${body.length}`;
      const head = `POST ${session.url()} HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n${length}\r\n\r\n`;
      const bytes = Buffer.from(head + payload);
      const cuts = [10, head.length, head.length + 3, 30000, bytes.length - 1, bytes.length];
      let at = 0;
      for (const cut of cuts) {
        raw.write(bytes.subarray(at, cut));
        at = cut;
        if (cut < bytes.length) {
          await broker.metrics(); // of the same worker: what came before was read
          await replace(broker);
        }
      }
      const answer = await raw.response(20000);
      assert.deepEqual([answer.status, answer.body], [200, "ok"]);
      const got = await session.packets(2);
      assert.ok(got[0] === `430["${pad}"]` && got[1] === `42["echo","${pad}"]`, `${got.map((packet) => packet.slice(0, 20))}`);
    }
  });

  testBroker(`an answer that is leaving leaves whole, and the connection takes the next request: ${name}`, { workers: 1, config: { ...POLLING, "limits.send_buffer": "8KiB" }, timeout: 60000 }, async (broker) => {
    const session = await openPolling({ port: broker.port, path: "/socket.io/" });
    await session.send("40");
    assert.match(await session.packet(), /^40\{"sid":/);
    const pad = "y".repeat(300000);
    await session.send(`42["echo","${pad}"]`);
    const raw = await broker.raw();
    raw.socket.pause();
    const ask = () => raw.write(`GET ${session.url()} HTTP/1.1\r\nHost: a\r\n\r\n`);
    ask();
    await until("its answer is on its way", async () => (await broker.metrics())("ringcast_reply_bytes") > 0);
    await replace(broker);
    raw.socket.resume();
    const first = await raw.response(20000);
    assert.equal(first.body, `42["echo","${pad}"]`);
    ask();
    await broker.metrics(); // of the same worker: the request was read, and waits
    await replace(broker);
    await session.send('42["echo",2]');
    assert.equal((await raw.response(20000)).body, '42["echo",2]');
  });

  testBroker(`a packet of a POST that waits is carried out once, those before it not again: ${name}`, {
    workers: 1, timeout: 60000, config: { ...POLLING, "limits.message_rate": 1, "limits.rate_policy": "delay" },
  }, async (broker) => {
    const session = await openPolling({ port: broker.port, path: "/socket.io/" });
    await session.send("40");
    assert.match(await session.packet(), /^40\{"sid":/);
    const sent = session.send(...[1, 2, 3, 4, 5].map((n) => `42["echo",${n}]`));
    const got = [...await session.packets(1)];
    await replace(broker);
    await within(30000, sent, "the POST is answered");
    while (got.length < 5) got.push(...await session.packets(1));
    assert.deepEqual(got, [1, 2, 3, 4, 5].map((n) => `42["echo",${n}]`));
  });
}
