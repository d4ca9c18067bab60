// The compact binary form of docs/protocol.md, written from that document alone.
const OPERATIONS = { subscribe: 0x01, unsubscribe: 0x02, publish: 0x03, broadcast: 0x04, direct: 0x05, presence: 0x06, history: 0x07, ping: 0x08 };
const PUBLISH_RETAIN = 0x0b;
const EVENTS = { 0x41: "subscribed", 0x42: "unsubscribed", 0x43: "published", 0x44: "broadcasted", 0x45: "sent", 0x46: "presence", 0x48: "pong" };

export function number(value) {
  const bytes = [];
  for (let rest = BigInt(value); ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 127n) | 0x80);
  }
}

export function text(value) {
  const bytes = Buffer.from(value);
  return Buffer.concat([number(bytes.length), bytes]);
}

function requestId(id) {
  if (id === undefined) return [0, []];
  if (typeof id === "number" && Number.isSafeInteger(id) && id >= 0) return [1, [number(id)]];
  if (typeof id === "string" && !/["\\\u0000-\u001f]/.test(id)) return [2, [text(id)]];
  return [3, [text(JSON.stringify(id))]];
}

/* An operation as in the JSON form; `data` is a Buffer (bytes), or any value that becomes JSON, or { json: "text" }. */
export function encode(operation) {
  const type = operation.retain ? PUBLISH_RETAIN : OPERATIONS[operation.type];
  const [idFlags, idFields] = requestId(operation.id);
  const exclude = operation.exclude;
  const isBytes = Buffer.isBuffer(operation.data) || operation.data instanceof Uint8Array;
  let flags = idFlags;
  const parts = [...idFields];
  if (operation.channel !== undefined) parts.push(text(operation.channel));
  if (operation.to !== undefined) parts.push(text(operation.to));
  if (operation.echo === false || operation.retained) flags |= 0x08;
  if (operation.key !== undefined) {
    flags |= 0x40;
    parts.push(text(operation.key));
  }
  if (exclude) {
    flags |= 0x10;
    parts.push(number(exclude.length), ...exclude.map(text));
  }
  if (operation.limit !== undefined) {
    flags |= 0x20;
    parts.push(number(operation.limit));
  }
  if (operation.recover) {
    const { epoch, offset, client } = operation.recover;
    flags |= client === undefined ? 0x10 : 0x50;
    parts.push(text(epoch), number(offset), ...(client === undefined ? [] : [text(client)]));
  }
  if (operation.since !== undefined) {
    const isLast = operation.type === "subscribe";
    flags |= isLast ? 0x20 : 0x08;
    parts.push(number(isLast ? operation.since.replace("last ", "") : operation.since));
  }
  if (isBytes) {
    flags |= 0x04;
    parts.push(Buffer.from(operation.data));
  } else if (operation.data !== undefined) {
    parts.push(Buffer.from(operation.data?.json ?? JSON.stringify(operation.data)));
  }
  return Buffer.concat([Buffer.from([type, flags]), ...parts]);
}

export function encodeBatch(operations) {
  const parts = operations.map(encode).flatMap((bytes) => [number(bytes.length), bytes]);
  return Buffer.concat([Buffer.from([0x0f]), ...parts]);
}

/* An answer or delivery as an object of the JSON form. Binary data comes as Buffer in `data`; JSON data also as `raw`. */
export function decode(bytes) {
  let at = 2;
  const readNumber = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= bytes.length) throw new Error(`a binary message is cut off: ${bytes.toString("hex")}`);
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  const readText = () => {
    const count = readNumber();
    if (at + count > bytes.length) throw new Error(`a binary message is cut off: ${bytes.toString("hex")}`);
    return bytes.subarray(at, (at += count)).toString();
  };
  const [type, flags] = bytes;
  const message = {};
  const readId = () => {
    if ((flags & 3) === 1) message.id = readNumber();
    if ((flags & 3) === 2) message.id = readText();
    if ((flags & 3) === 3) message.id = JSON.parse(readText());
  };
  if (EVENTS[type]) {
    message.type = EVENTS[type];
    readId();
    if (type === 0x41 || type === 0x42) message.channel = readText();
    if (type === 0x46) {
      message.channel = readText();
      message.clients = readNumber();
      message.users = readNumber();
      message.members = Array.from({ length: readNumber() }, () => {
        const user = readText();
        const clients = readNumber();
        return { user: user === "" ? null : user, clients, instances: Array.from({ length: readNumber() }, readText) };
      });
      message.more = (flags & 0x10) !== 0;
    }
    if (type === 0x41 && flags & 0x60) message.recovered = (flags & 0x20) !== 0;
    if ((type === 0x41 || type === 0x43) && flags & 0x10) {
      message.epoch = readText();
      message.offset = readNumber();
    }
    if ((type === 0x41 || type === 0x46) && flags & 0x08) message.scope = "local";
    if (at !== bytes.length) throw new Error(`bytes left over: ${bytes.toString("hex")}`);
  } else if (type === 0x50) {
    message.type = "welcome";
    message.protocol = readNumber();
    message.client = readText();
    message.instance = readText();
    message.ping_interval = readNumber();
    message.max_message_size = readNumber();
    message.user = flags & 0x40 ? readText() : null;
  } else if (type === 0x51) {
    message.type = "error";
    readId();
    message.code = readNumber();
    message.reason = readText();
    if (flags & 0x10) message.channel = readText();
    message.message = bytes.subarray(at).toString();
  } else if (type === 0x81 || type === 0x82 || type === 0x84) {
    message.type = type === 0x82 ? "direct" : "message";
    if (type === 0x84) message.offset = readNumber();
    if (type === 0x84 && flags & 0x10) message.epoch = readText();
    if (type !== 0x82) message.channel = readText();
    if (flags & 0x20) message.from = readText();
    if (flags & 0x80) message.event = readText();
    if (flags & 0x40) {
      const attachments = Array.from({ length: readNumber() }, () => {
        const count = readNumber();
        return bytes.subarray(at, (at += count));
      });
      message.args = JSON.parse(bytes.subarray(at).toString());
      if (attachments.length > 0) message.attachments = attachments.map((attachment) => attachment.toString("base64"));
      return message;
    }
    const data = bytes.subarray(at);
    if (flags & 0x04) message.data = data;
    else [message.data, message.raw] = [JSON.parse(data.toString()), data.toString()];
  } else if (type === 0x83) {
    message.type = "gap";
    const channel = readText();
    if (channel !== "") message.channel = channel;
  } else {
    throw new Error(`unknown binary type ${type}`);
  }
  return message;
}
