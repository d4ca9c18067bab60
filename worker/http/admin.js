// The dashboard behind /admin: what the HTTP API says (docs/api.md), looked at every two seconds while the page is seen. The API key is
// kept for this tab alone; nothing is asked of anybody else.
"use strict";

const EVERY_MS = 2000;
const PATIENCE_MS = 10000; // a worker that hangs answers nothing, and its connection stays open
const CLIENTS_SHOWN = 25;
const SAMPLES_MAX = 150; // of a chart: five minutes
const TRACE_EVERY_MS = 500;
const STAGES_MAX = 500; // that are shown
const KEY_NAME = "ringcast.key";
const byId = (id) => document.getElementById(id);

let key = sessionStorage.getItem(KEY_NAME);
let paused = false;
let timer = null;
let before = null; // the sample before, of which rates are made
const samples = [];
let clientsAsked = new URLSearchParams({ limit: CLIENTS_SHOWN });
let configText = "";
let memoryBefore = null; // bytes by what they were held for, at the look before
let traceAsked = null; // what is followed, and how far it was read; null = nothing
let traceTimer = null;
const stages = [];

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/* What the API answers; a Refused when that is an error. */
async function ask(path, options = {}) {
  const signal = AbortSignal.timeout ? AbortSignal.timeout(PATIENCE_MS) : undefined;
  const response = await fetch(path, { cache: "no-store", signal, ...options, headers: { Authorization: "Bearer " + key, ...options.headers } });
  const text = await response.text();
  let body = null;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new Refused(response.status, "the answer is no JSON: is there a proxy in between?");
  }
  if (!response.ok && !path.startsWith("health")) throw new Refused(response.status, body.error ? body.error.message : String(response.status));
  return body;
}

// --- numbers for people ---

function compact(number, digits = 1) {
  if (number === null || number === undefined || Number.isNaN(number)) return "–";
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (Math.abs(number) >= size) return (number / (unit === "k" ? 1e3 : size)).toFixed(digits) + " " + unit;
  }
  return Number.isInteger(number) || Math.abs(number) >= 100 ? Math.round(number).toLocaleString("en") : number.toFixed(digits);
}

function bytes(number) {
  if (number === null || number === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; number >= 1024 && at < units.length - 1; at++) number /= 1024;
  return (at === 0 ? Math.round(number) : number.toFixed(1)) + " " + units[at];
}

function span(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return seconds + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min";
  if (seconds < 86400) return Math.floor(seconds / 3600) + " h " + Math.floor((seconds % 3600) / 60) + " min";
  return Math.floor(seconds / 86400) + " d " + Math.floor((seconds % 86400) / 3600) + " h";
}

// --- pieces of the page ---

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function note(id, text, kind) {
  byId(id).textContent = text;
  byId(id).className = "note " + (kind || "");
}

/* columns: [title, (row) => text or element, kind]; kind "number" or "name". */
function fill(id, columns, rows, nothing) {
  const head = make("tr");
  for (const [title, , kind] of columns) head.append(make("th", title, kind));
  const lines = rows.map((row) => {
    const line = make("tr");
    for (const [, value, kind] of columns) {
      const cell = make("td", undefined, kind);
      const shown = value(row);
      // Of a name that somebody made long a phone shows some lines: those are a box's of its own.
      cell.append(shown instanceof Node ? shown : kind === "name" ? make("div", String(shown)) : String(shown));
      if (kind === "name") cell.title = cell.textContent;
      line.append(cell);
    }
    return line;
  });
  if (rows.length === 0) {
    const cell = make("td", nothing, "nothing");
    cell.colSpan = columns.length;
    lines.push(make("tr"));
    lines[0].append(cell);
  }
  byId(id).replaceChildren(head, ...lines);
}

/* lines: [name, (sample) => number]. */
function chart(id, lines, format) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const most = Math.max(1e-9, ...samples.flatMap((sample) => lines.map(([, value]) => value(sample) || 0))) * 1.1;
  svg.setAttribute("viewBox", "0 0 " + (SAMPLES_MAX - 1) + " 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  for (const height of [0, 50, 100]) {
    const line = document.createElementNS(space, "line");
    for (const [name, value] of [["x1", 0], ["x2", SAMPLES_MAX - 1], ["y1", height], ["y2", height]]) line.setAttribute(name, value);
    svg.append(line);
  }
  const legend = make("div", undefined, "legend");
  for (const [i, [name, value]] of lines.entries()) {
    const path = document.createElementNS(space, "path");
    const from = SAMPLES_MAX - samples.length;
    path.setAttribute("class", "line-" + i);
    path.setAttribute("d", samples.map((sample, at) => (at === 0 ? "M" : "L") + (from + at) + " " + (100 - ((value(sample) || 0) / most) * 100).toFixed(2)).join(""));
    svg.append(path);
    const entry = make("span");
    entry.append(make("i", undefined, "dot-" + i), name + " ", make("b", format(value(samples.at(-1)))));
    legend.append(entry);
  }
  const top = make("span", "top line: " + format(most));
  legend.append(top);
  svg.setAttribute("aria-label", lines.map(([name, value]) => name + " " + format(value(samples.at(-1)))).join(", "));
  byId(id).replaceChildren(svg, legend);
}

function tile(name, value, state) {
  const element = make("div", undefined, "tile");
  element.append(make("b", value), make("span", name.replace(" / ", "\u00a0/\u00a0"))); // "/ s" is not left alone on a line
  element.dataset.tile = name;
  if (state) element.dataset.state = state;
  return element;
}

// --- what is looked at ---

/* Counters of before and now as rates. A broker that was started again counts from 0: no rate then. */
function sampleOf(stats) {
  stats.taken = performance.now(); // and not the broker's clock, which somebody may set
  const seconds = before ? (stats.taken - before.taken) / 1000 : 0;
  const rate = (of) => (seconds > 0 && of(stats) >= of(before) ? (of(stats) - of(before)) / seconds : 0);
  const cpu = new Map((before ? before.processes : []).map((row) => [row.pid, row.cpu_seconds]));
  return {
    connections: stats.connections.total,
    received: rate((of) => of.messages.received),
    delivered: rate((of) => of.messages.delivered),
    failed: rate((of) => of.messages.failed),
    sentBytes: rate((of) => of.bytes.sent),
    receivedBytes: rate((of) => of.bytes.received),
    p50: stats.latency_ms.p50, p95: stats.latency_ms.p95, p99: stats.latency_ms.p99,
    cpuOf: (row) => (seconds > 0 && cpu.has(row.pid) ? Math.max(0, ((row.cpu_seconds - cpu.get(row.pid)) / seconds) * 100) : null),
  };
}

function showStats(stats, health, redis) {
  const sample = sampleOf(stats);
  before = stats;
  samples.push(sample);
  if (samples.length > SAMPLES_MAX) samples.shift();
  byId("instance").textContent = stats.instance + " · up " + span(stats.uptime_s * 1000);
  const memory = stats.processes.reduce((sum, row) => sum + row.memory_bytes, 0);
  const redisState = redis.redis === "disabled" ? ["not used"] : redis.healthy ? ["connected"] : [redis.redis === "refused" ? "id taken" : "away", "bad"];
  byId("tiles").replaceChildren(
    tile("connections", compact(stats.connections.total)),
    tile("users", compact(stats.users)),
    tile("channels", compact(stats.channels)),
    tile("subscriptions", compact(stats.subscriptions)),
    tile("messages in / s", compact(sample.received)),
    tile("messages out / s", compact(sample.delivered)),
    tile("bytes out / s", bytes(sample.sentBytes)),
    tile("bytes in / s", bytes(sample.receivedBytes)),
    tile("p99, last minute", compact(stats.latency_ms.p99, 2) + " ms", stats.latency_ms.p99 > 500 ? "bad" : ""),
    tile("errors / min", compact(stats.errors_per_minute), stats.errors_per_minute > 0 ? "wait" : ""),
    tile("not delivered / s", compact(sample.failed), sample.failed > 0 ? "wait" : ""),
    tile("CPU of one core", compact(stats.cpu_percent) + " %"),
    tile("memory", bytes(memory)),
    tile("Redis", ...redisState),
    tile("overload", health.overload, health.overload === "none" ? "" : health.overload === "paused" ? "wait" : "bad"),
  );
  chart("chart-messages", [["in", (of) => of.received], ["out", (of) => of.delivered]], compact);
  chart("chart-latency", [["p50", (of) => of.p50], ["p95", (of) => of.p95], ["p99", (of) => of.p99]], (number) => compact(number, 2));
  chart("chart-connections", [["connections", (of) => of.connections]], compact);
  fill("processes", [
    ["process", (row) => row.process + (row.worker === undefined ? "" : " " + row.worker)],
    ["pid", (row) => row.pid || "not there", "number"],
    ["CPU", (row) => (sample.cpuOf(row) === null ? "–" : sample.cpuOf(row).toFixed(0) + " %"), "number"],
    ["memory", (row) => bytes(row.memory_bytes), "number"],
    ["connections", (row) => (row.connections === undefined ? "" : compact(row.connections)), "number"],
    ["subscriptions", (row) => (row.subscriptions === undefined ? "" : compact(row.subscriptions)), "number"],
    ["channels", (row) => (row.channels === undefined ? "" : compact(row.channels)), "number"],
    ["restarts", (row) => row.starts - 1, "number"],
  ], stats.processes, "");
  status(health.healthy ? "good" : "wait", health.healthy ? "serving" : health.status);
}

/* Of an answer that is not all: whose part is missing. */
function missing({ incomplete, silent }) {
  if (!incomplete) return "";
  return (silent ? "worker " + silent.join(", ") + " does not answer" : "another instance does not answer") + ": what is there is missing here";
}

async function showChannels() {
  const { channels, more, ...rest } = await ask("api/channels?" + new URLSearchParams({ sort: byId("channels-sort").value, limit: "15" }));
  fill("channels", [
    ["channel", (row) => row.channel, "name"],
    ["subscribers", (row) => compact(row.subscribers), "number"],
    ["messages / s", (row) => compact(row.rate), "number"],
    ["bytes / s", (row) => bytes(row.bytes), "number"],
    ["out / s", (row) => bytes(row.out_bytes), "number"],
    ["kept", (row) => bytes(row.log_bytes), "number"],
    ["behind", (row) => compact(row.behind), "number"],
  ], channels, "no channel has subscribers");
  note("channels-note", missing(rest) || (more ? "there are more" : ""), missing(rest) ? "bad" : "");
}

function dropButton(row) {
  const button = make("button", "Disconnect");
  button.type = "button";
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await ask("api/disconnect", { method: "POST", body: JSON.stringify({ client: row.client }) });
      note("clients-note", row.client + " is disconnected", "good");
      await showClients();
    } catch (error) {
      note("clients-note", error.message, "bad");
      button.disabled = false;
    }
  });
  return button;
}

async function showClients() {
  const { clients, more, ...rest } = await ask("api/clients?" + clientsAsked);
  fill("clients", [
    ["client", (row) => row.client, "name"],
    ["user", (row) => row.user ?? "–", "name"],
    ["address", (row) => row.address],
    ["protocol", (row) => row.protocol + (row.transport === "websocket" ? "" : ", " + row.transport)],
    ["since", (row) => span(row.age_ms), "number"],
    ["channels", (row) => row.channels, "number"],
    ["behind", (row) => bytes(row.behind_bytes), "number"],
    ["blocked", (row) => (row.blocked_ms > 0 ? span(row.blocked_ms) : ""), "number"],
    ["sent", (row) => bytes(row.sent_bytes), "number"],
    ["received", (row) => bytes(row.received_bytes), "number"],
    ["", dropButton],
  ], clients, "nobody, so asked");
  note("clients-missing", missing(rest) || (more ? "these are " + clients.length + " of them: who is looked for is found by the fields above" : ""), missing(rest) ? "bad" : "");
}

/* What holds nothing is left out. */
async function showMemory() {
  const memory = await ask("api/memory");
  const grown = (row) => (memoryBefore ? row.bytes - (memoryBefore.get(row.what) ?? 0) : 0);
  const rows = memory.holders.filter((row) => row.bytes > 0 || grown(row) !== 0).sort((a, b) => b.bytes - a.bytes);
  fill("memory", [
    ["held for", (row) => row.what.replaceAll("_", " ")],
    ["bytes", (row) => bytes(row.bytes), "number"],
    ["since the last look", (row) => (grown(row) === 0 ? "" : (grown(row) > 0 ? "+" : "−") + bytes(Math.abs(grown(row)))), "number"],
    ["at the most", (row) => (row.bytes_max === null ? "" : bytes(row.bytes_max)), "number"],
    ["what it is", (row) => row.why],
    ["who", (row) => row.look],
  ], rows, "nothing is held");
  memoryBefore = new Map(memory.holders.map((row) => [row.what, row.bytes]));
  note("memory-note", bytes(memory.used_bytes) + " of " + bytes(memory.limit_bytes) + " are in use, by all that shares the limit");
}

// --- the trace: one at a time; it ends by itself when nobody reads it ---

function showStages() {
  const first = stages.length > 0 ? stages[0].time_ms : 0;
  fill("trace", [
    ["ms", (row) => (row.time_ms - first).toFixed(3), "number"],
    ["stage", (row) => row.stage],
    ["why", (row) => (row.code ? row.code + " " : "") + row.why], // what is asked for: not behind what a phone shows
    ["process", (row) => row.process],
    ["number", (row) => row.sequence || "", "number"],
    ["channel", (row) => row.channel, "name"],
    ["event", (row) => row.event, "name"],
    ["client", (row) => row.client, "name"],
    ["bytes", (row) => row.bytes || "", "number"],
    ["of", (row) => row.count || "", "number"],
    ["behind", (row) => row.behind || "", "number"],
  ], stages, "nothing yet");
}

/* Of a trace of somebody: has each worker said that it has nobody? `next` has a number for each worker and the relay. */
function nobodyIsThere(asked) {
  const states = stages.filter((row) => row.stage === "state" && row.process.startsWith("worker/"));
  const workers = new Set(states.filter((row) => row.client === "").map((row) => row.process));
  return (asked.has("client") || asked.has("user")) && workers.size >= asked.get("next").split(".").length - 2 && states.every((row) => row.client === "");
}

async function readTrace() {
  clearTimeout(traceTimer);
  const asked = traceAsked;
  if (!asked || !key) return;
  let again = TRACE_EVERY_MS;
  try {
    const answer = await ask("api/trace?" + asked);
    if (asked !== traceAsked) return;
    if (answer.state === "running") {
      asked.set("next", answer.next);
      stages.push(...answer.stages);
      stages.splice(0, stages.length - STAGES_MAX);
      if (answer.stages.length > 0) showStages();
      if (answer.more) again = 0;
      if (nobodyIsThere(asked)) note("trace-note", "no worker of this instance has such a client, so nothing is sent to it here", "bad");
      else note("trace-note", answer.lost > 0 ? answer.lost + " stages were lost: there are more than can be read" : "following", "good");
    } else {
      note("trace-note", "beginning");
    }
  } catch (error) {
    if (asked !== traceAsked) return; // it was ended meanwhile, and that is what is said
    note("trace-note", error.message, "bad");
    if (error instanceof Refused && error.status !== 409) { // another one may be just ending
      forgetTrace();
      return;
    }
  }
  traceTimer = setTimeout(readTrace, again);
}

function forgetTrace() {
  clearTimeout(traceTimer);
  traceAsked = null;
  byId("trace-end").disabled = true;
}

async function endTrace() {
  const asked = traceAsked;
  forgetTrace();
  if (!asked) return;
  asked.delete("next");
  try {
    await ask("api/trace?" + asked, { method: "DELETE" });
    note("trace-note", "stopped");
  } catch (error) {
    note("trace-note", error.message, "bad");
  }
}

async function beginTrace() {
  const wanted = new URLSearchParams();
  for (const name of ["client", "user", "channel", "event"]) {
    const value = byId("trace-" + name).value.trim();
    if (value !== "") wanted.set(name, value);
  }
  await endTrace();
  stages.length = 0;
  showStages();
  traceAsked = wanted;
  byId("trace-end").disabled = false;
  readTrace();
}

async function showConfig() {
  configText = (await ask("api/config")).toml;
  filterConfig();
}

/* The whole file, or the lines that contain the text, each with its table's heading. */
function filterConfig() {
  const wanted = byId("config-only").value.trim().toLowerCase();
  if (wanted === "") {
    byId("config").textContent = configText;
    return;
  }
  const shown = [];
  let heading = "";
  let all = false;
  for (const line of configText.split("\n")) {
    if (/^\[/.test(line)) {
      heading = line;
      all = line.toLowerCase().includes(wanted);
      if (all) shown.push(line);
    } else if (all || line.toLowerCase().includes(wanted)) {
      if (heading !== "" && !all) shown.push(heading);
      if (!all) heading = "";
      shown.push(line);
    }
  }
  byId("config").textContent = shown.join("\n") || "nothing there says " + wanted;
}

// --- the loop ---

function status(state, text) {
  byId("status").dataset.state = state;
  byId("status").textContent = text;
}

/* One after the other, so that a slow broker is asked less, not more. */
async function look() {
  clearTimeout(timer);
  if (!key) return;
  if (!paused && !document.hidden) {
    try {
      const [stats, health, redis] = await Promise.all([ask("api/stats"), ask("health"), ask("health/redis")]);
      showStats(stats, health, redis);
      await showChannels();
      await showClients();
      await showMemory();
      document.body.dataset.looks = String(Number(document.body.dataset.looks || 0) + 1);
    } catch (error) {
      if (error.status === 401 || error.status === 403) {
        signOut(error.message);
        return;
      }
      status("bad", error instanceof Refused ? error.message : "does not answer");
    }
  }
  timer = setTimeout(look, EVERY_MS);
}

function signOut(why) {
  clearTimeout(timer);
  forgetTrace();
  key = null;
  before = memoryBefore = null;
  samples.length = 0;
  sessionStorage.removeItem(KEY_NAME);
  for (const id of ["board", "pause", "leave"]) byId(id).hidden = true;
  byId("sign-in").hidden = false;
  byId("key").value = "";
  status("off", "not signed in");
  if (why) note("sign-in-note", why, "bad");
}

async function signIn() {
  try {
    await showConfig();
  } catch (error) {
    signOut(error instanceof Refused ? error.message : "the broker does not answer");
    return;
  }
  sessionStorage.setItem(KEY_NAME, key);
  byId("sign-in").hidden = true;
  for (const id of ["board", "pause", "leave"]) byId(id).hidden = false;
  look();
}

async function publish() {
  const body = { channel: byId("publish-channel").value };
  try {
    body.data = JSON.parse(byId("publish-data").value);
  } catch (error) {
    note("publish-note", "This is not JSON: " + error.message, "bad");
    return;
  }
  if (byId("publish-event").value !== "") body.event = byId("publish-event").value;
  try {
    await ask("api/publish", { method: "POST", body: JSON.stringify(body) });
    note("publish-note", "Published to " + body.channel + " at " + new Date().toTimeString().slice(0, 8), "good");
  } catch (error) {
    note("publish-note", error.message, "bad");
  }
}

function onSubmit(id, run) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
}

onSubmit("sign-in", () => {
  key = byId("key").value.trim();
  // Of another one no request could be made (RFC 9110, 5.5), which would be taken for a broker that does not answer.
  if (/^[\x21-\x7e]+$/.test(key)) signIn();
  else signOut("a key has visible ASCII characters, without spaces: this one was changed on its way here");
});
onSubmit("publish-form", publish);
onSubmit("trace-form", beginTrace);
byId("trace-end").addEventListener("click", endTrace);
onSubmit("clients-form", () => {
  clientsAsked = new URLSearchParams({ limit: CLIENTS_SHOWN });
  for (const name of ["user", "channel", "address", "behind"]) {
    const value = byId("clients-" + name).value.trim();
    if (value !== "") clientsAsked.set(name, value);
  }
  showClients().then(() => note("clients-note", ""), (error) => {
    note("clients-note", error.message, "bad");
    clientsAsked = new URLSearchParams({ limit: CLIENTS_SHOWN });
  });
});
byId("channels-sort").addEventListener("change", () => showChannels().catch(() => {}));
byId("config-only").addEventListener("input", filterConfig);
byId("leave").addEventListener("click", () => signOut(""));
byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").textContent = paused ? "Go on" : "Pause";
  byId("pause").setAttribute("aria-pressed", String(paused));
  look();
});
document.addEventListener("visibilitychange", () => document.hidden || look());
if (key) signIn();
