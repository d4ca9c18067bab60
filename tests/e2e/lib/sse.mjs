// A reader of server-sent events over plain HTTP, as the standard has it (HTML, 9.2.6), that keeps what it gets, for tests.
import { request } from "node:http";
import { request as requestTls } from "node:https";
import { within } from "./util.mjs";

class Stream {
  constructor(response) {
    this.status = response.statusCode;
    this.headers = response.headers;
    this.response = response;
    this.text = ""; // all of the body
    this.inbox = []; // events not taken by next()
    this.comments = 0;
    this.retry = null; // the newest
    this.lastEventId = "";
    this.rest = "";
    this.fields = { data: [], type: "" };
    this.isClosed = false;
    this.closed = new Promise((done) => {
      this.markClosed = done;
    });
    response.setEncoding("utf8");
    response.on("data", (part) => this.received(part));
    response.on("error", (error) => (this.error = error));
    response.on("close", () => {
      this.isClosed = true;
      this.markClosed({ whole: response.complete });
      this.waiting?.();
    });
  }

  received(part) {
    this.text += part;
    const lines = (this.rest + part).split("\n"); // the broker writes no "\r": that is looked at by the unit tests
    this.rest = lines.pop();
    for (const line of lines) this.line(line);
    this.waiting?.();
  }

  line(line) {
    if (line === "") {
      const { data, type } = this.fields;
      this.fields = { data: [], type: "" };
      if (data.length > 0) this.inbox.push({ type: type || "message", data: data.join("\n"), id: this.lastEventId });
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) {
      this.comments++;
      return;
    }
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.fields.data.push(value);
    if (name === "event") this.fields.type = value;
    if (name === "id") this.lastEventId = value;
    if (name === "retry") this.retry = Number(value);
  }

  /* The next event that has arrived, or arrives; of this type, if one is given: others stay. */
  async next(type, timeout = 5000) {
    const taken = (async () => {
      for (;;) {
        const at = this.inbox.findIndex((event) => type === undefined || event.type === type);
        if (at >= 0) return this.inbox.splice(at, 1)[0];
        if (this.isClosed) throw new Error(`the stream ended before an event; it said ${JSON.stringify(this.text.slice(-500))}`);
        await new Promise((done) => (this.waiting = done));
      }
    })();
    return within(timeout, taken, `an event${type ? ` "${type}"` : ""}`);
  }

  /* What the next one says, out of its JSON. */
  async message(type) {
    return JSON.parse((await this.next(type)).data);
  }

  terminate() {
    this.response.destroy();
  }
}

/* An answer of any status, as a stream: options.tls: of node:https; agent, method, headers, localAddress. */
export async function openStream(broker, path, { tls, port = broker.port, host = "127.0.0.1", ...options } = {}) {
  const answered = new Promise((done, failed) => {
    const out = (tls ? requestTls : request)({ host, port, path, agent: false, headers: {}, ...tls, ...options }, (response) => done(new Stream(response)));
    out.on("error", failed);
    out.end();
  });
  return broker.keep(await within(20000, answered, `GET ${path}`));
}

/* One that was not opened: its status and what it says is wrong. */
export async function refusedStream(broker, path, options) {
  const stream = await openStream(broker, path, options);
  await within(5000, stream.closed, `the answer to ${path}`);
  return { status: stream.status, headers: stream.headers, ...(stream.text.startsWith("{") ? JSON.parse(stream.text).error : {}) };
}
