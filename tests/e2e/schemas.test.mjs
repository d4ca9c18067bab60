// [schemas]: what a row's schema asks for, told where it is wrong; and the same answers as Ajv, on random schemas and values.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import Ajv2020 from "ajv/dist/2020.js";
import { io } from "socket.io-client";
import { run, testBroker } from "./lib/broker.mjs";
import { within } from "./lib/util.mjs";

const symbol = { type: "array", prefixItems: [{ type: "object", required: ["symbol"], properties: { symbol: { type: "string", minLength: 1, maxLength: 16 } } }], minItems: 1 };

async function connect(broker) {
  const socket = io(`http://${broker.host}`, { transports: ["websocket"], forceNew: true, reconnection: false });
  socket.errors = [];
  socket.on("error", (error) => socket.errors.push(error));
  await within(5000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "it connects");
  return socket;
}

const ask = (socket, event, ...args) => within(10000, new Promise((done) => socket.emit(event, ...args, done)), `${event} is acknowledged`);

async function reload(broker) {
  const { code, stderr } = await run(["reload", "-c", broker.configPath, "--socket", broker.config["server.control_socket"]]);
  assert.equal(code, 0, stderr);
}

const counted = async (broker, name) => (await broker.metrics())(name);

testBroker("an event that its schema does not take is refused, and says why", {
  workers: 1,
  config: {
    "socketio.path": "/socket.io/",
    "schemas.symbol": JSON.stringify(symbol),
    "schemas.name": '{"type":"string","pattern":"^(a+)+$"}',
    event: [
      { on: "subscribe", schema: "symbol", ack: ["{args.0.symbol}"] },
      { on: "name", schema: "name", ack: ["{args.0}"] },
      { on: "free", ack: ["free"] },
    ],
  },
}, async (broker) => {
  const socket = await connect(broker);
  const refused = (message) => ({ error: { code: 400, message } });
  try {
    assert.equal(await ask(socket, "subscribe", { symbol: "BTC" }), "BTC");
    assert.deepEqual(await ask(socket, "subscribe", { symbol: "" }), refused("args.0.symbol: must be at least 1 character"));
    assert.deepEqual(await ask(socket, "subscribe", {}), refused('args.0: must have a member "symbol"'));
    assert.deepEqual(await ask(socket, "subscribe"), refused("args: must have at least 1 element"));
    assert.deepEqual(await ask(socket, "name", 1), refused("args.0: must be string"));
    assert.deepEqual(await ask(socket, "name"), refused("args.0: must be there"));
    assert.equal(await ask(socket, "free", 1), "free");
    // what would take a backtracking engine for ever
    assert.equal(await ask(socket, "name", "a".repeat(3000)), "a".repeat(3000));
    assert.deepEqual(await ask(socket, "name", `${"a".repeat(3000)}b`), refused("args.0: must match the pattern ^(a+)+$"));
    // without an acknowledgement the error is an event
    socket.emit("name", { quotes: '"'.repeat(500) });
    await ask(socket, "free");
    assert.deepEqual(socket.errors, [{ code: 400, message: "args.0: must be string" }]);
    assert.equal(await counted(broker, 'ringcast_socketio_events_refused_total{reason="schema"}'), 7);
    assert.equal(await counted(broker, 'ringcast_socketio_events_refused_total{reason="unchecked"}'), 0);
  } finally {
    socket.close();
  }
});

testBroker("a schema in a file of its own is read again by a reload", {
  workers: 1,
  config: { "socketio.path": "/socket.io/" },
}, async (broker) => {
  const file = join(broker.folder, "schema.json");
  const config = { ...broker.config, "schemas.it": { file }, event: [{ on: "say", schema: "it", ack: ["ok"] }] };
  writeFileSync(file, '{"type":"string"}');
  broker.writeConfig(config);
  await reload(broker);
  const socket = await connect(broker);
  try {
    assert.equal(await ask(socket, "say", "a"), "ok");
    assert.equal((await ask(socket, "say", 1)).error.code, 400);
    writeFileSync(file, '{"type":"number"}');
    await reload(broker);
    assert.equal((await ask(socket, "say", "a")).error.code, 400);
    assert.equal(await ask(socket, "say", 1), "ok");
  } finally {
    socket.close();
  }
});

/* --- against Ajv ------------------------------------------------------------------------------------------------------------- */

/* The same every time: xorshift32. */
function randomOf(seed) {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const names = ["a", "b", "cc", "d/e", "é", "_", "0"];
const texts = ["", "a", "ab", "abc", "0", "12", "é", "😀", "a b", "\n", '"\\', "AAPL", "x-1"];
const numbers = [0, 1, -1, 2, 3, 10, 1.5, -0.25, 1e3, 1e-3, 123456, 9007199254740991];
const patterns = ["^a", "b$", "^[a-c]*$", "\\d", "^\\w+$", "^.$", "a|0", "^(?:ab?)+$", "^(?=.*b)a", "[^a-z]", "^\\s*$", "^x-", "^.{1,2}$"];

function anyValue(random, depth) {
  const kind = random(depth > 0 ? 8 : 5);
  const pick = (list) => list[random(list.length)];
  if (kind === 0) return pick([null, true, false]);
  if (kind < 3) return pick(texts);
  if (kind < 5) return pick(numbers);
  if (kind === 5) return Array.from({ length: random(5) }, () => anyValue(random, depth - 1));
  return Object.fromEntries(Array.from({ length: random(5) }, () => [pick(names), anyValue(random, depth - 1)]));
}

function anySchema(random, depth) {
  const pick = (list) => list[random(list.length)];
  const some = (most, make) => Array.from({ length: 1 + random(most) }, make);
  const sub = () => (depth > 0 ? anySchema(random, depth - 1) : random(8) > 0 ? { type: pick(["string", "number", "integer", "array", "object", "boolean", "null"]) } : random(3) > 0);
  const named = (make) => Object.fromEntries(some(3, () => [pick(names), make()]));
  const unique = (list) => [...new Set(list)];
  const kinds = [
    () => ({ type: unique(some(4, () => pick(["string", "number", "integer", "array", "object", "boolean", "null"]))) }),
    () => ({ enum: [...new Map(some(4, () => anyValue(random, 2)).map((value) => [JSON.stringify(value), value])).values()] }),
    () => ({ const: anyValue(random, 2) }),
    () => ({ minimum: pick(numbers) }),
    () => ({ maximum: pick(numbers) }),
    () => ({ exclusiveMinimum: pick(numbers) }),
    () => ({ exclusiveMaximum: pick(numbers) }),
    () => ({ multipleOf: pick([1, 2, 3, 0.5]) }),
    () => ({ minLength: random(3), maxLength: 1 + random(4) }),
    () => ({ pattern: pick(patterns) }),
    () => ({ items: sub() }),
    () => ({ prefixItems: some(3, sub), items: sub() }),
    () => ({ contains: sub(), minContains: random(3), maxContains: 1 + random(3) }),
    () => ({ contains: sub() }),
    () => ({ minItems: random(3), maxItems: 1 + random(4) }),
    () => ({ uniqueItems: true }),
    () => ({ properties: named(sub) }),
    () => ({ properties: named(sub), additionalProperties: sub() }),
    () => ({ patternProperties: { [pick(patterns)]: sub(), [pick(patterns)]: sub() }, additionalProperties: sub() }),
    () => ({ propertyNames: sub() }),
    () => ({ propertyNames: { pattern: pick(patterns) } }),
    () => ({ minProperties: random(3), maxProperties: 1 + random(4) }),
    () => ({ required: unique(some(3, () => pick(names))) }),
    () => ({ dependentRequired: named(() => unique(some(2, () => pick(names)))) }),
    () => ({ dependentSchemas: named(sub) }),
    () => ({ if: sub(), then: sub(), else: sub() }),
    () => ({ not: sub() }),
    () => ({ allOf: some(3, sub) }),
    () => ({ anyOf: some(3, sub) }),
    () => ({ oneOf: some(3, sub) }),
  ];
  if (depth > 0) kinds.push(() => ({ $ref: "#/$defs/leaf" }), () => ({ properties: { a: { $ref: "#" } }, items: { $ref: "#/$defs/leaf" } }));
  const schema = Object.assign({}, ...some(depth > 1 ? 3 : 2, () => pick(kinds)()));
  if (schema.prefixItems) delete schema.contains; // beside each other Ajv 8.20 takes an empty array, which contains nothing
  return schema;
}

for (const seed of [1, 2, 3]) {
  const random = randomOf(seed * 7919);
  const schemas = Array.from({ length: 60 }, () => ({ ...anySchema(random, 3), $defs: { leaf: anySchema(random, 0) } }));
  const config = {
    "socketio.path": "/socket.io/",
    ...Object.fromEntries(schemas.map((schema, i) => [`schemas.s${i}`, JSON.stringify({ properties: { v: { $ref: "#/$defs/it" } }, $defs: { it: JSON.parse(JSON.stringify(schema).replaceAll('"#', '"#/$defs/it')) } })])),
    event: schemas.map((_, i) => ({ on: `e${i}`, schema: `s${i}`, ack: ["ok"] })),
  };
  testBroker(`random schemas and values are judged as Ajv does, seed ${seed}`, { workers: 1, config, timeout: 120000 }, async (broker) => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false, logger: false });
    const socket = await connect(broker);
    const answers = { valid: 0, invalid: 0 };
    try {
      for (const [i, schema] of schemas.entries()) {
        const validate = ajv.compile(schema);
        const values = Array.from({ length: 40 }, () => anyValue(random, 3));
        const acks = await Promise.all(values.map((v) => ask(socket, `e${i}`, { v })));
        for (const [at, v] of values.entries()) {
          const valid = validate(v);
          answers[valid ? "valid" : "invalid"]++;
          assert.equal(acks[at] === "ok", valid, `${JSON.stringify(schema)}\n${JSON.stringify(v)}\n${JSON.stringify(acks[at])}\n${JSON.stringify(validate.errors)}`);
          if (!valid) assert.match(acks[at].error.message, /^args\.0.*: must /s);
        }
      }
      assert.ok(answers.valid > 300 && answers.invalid > 300, JSON.stringify(answers));
    } finally {
      socket.close();
    }
  });
}
