// Headless Chromium, driven over its DevTools protocol with ws.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { until, within } from "./util.mjs";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage", "--mute-audio",
  "--remote-debugging-port=0", "--hide-scrollbars", // a picture of the whole page has none, and is as wide as without
];

/* The program, or undefined: RINGCAST_CHROMIUM, or the first one in PATH. */
export function findChromium() {
  if (process.env.RINGCAST_CHROMIUM) return process.env.RINGCAST_CHROMIUM;
  return ["chromium", "chromium-browser", "google-chrome"].find((name) => spawnSync("which", [name]).status === 0);
}

export class Chromium {
  async start(program) {
    this.folder = mkdtempSync(join(tmpdir(), "ringcast-chromium-"));
    // A process group of its own: Chromium is many processes.
    this.child = spawn(program, [...FLAGS, `--user-data-dir=${this.folder}`, "about:blank"], { stdio: "ignore", detached: true });
    this.killNow = () => {
      try {
        process.kill(-this.child.pid, "SIGKILL");
      } catch {
        // gone already
      }
    };
    process.on("exit", this.killNow);
    const portFile = join(this.folder, "DevToolsActivePort");
    const [port, path] = await until("Chromium listens", () => {
      const lines = existsSync(portFile) && readFileSync(portFile, "latin1").trim().split("\n");
      return lines.length === 2 && lines;
    }, { timeout: 30000, every: 50 });
    this.socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { perMessageDeflate: false });
    this.calls = new Map();
    this.pages = new Map(); // sessionId -> Page
    this.nextId = 1;
    this.socket.on("message", (bytes) => this.received(JSON.parse(bytes)));
    await within(10000, new Promise((done, failed) => this.socket.once("open", done).once("error", failed)), "DevTools");
    return this;
  }

  received(message) {
    if (message.id) {
      const { done, failed } = this.calls.get(message.id);
      this.calls.delete(message.id);
      message.error ? failed(new Error(message.error.message)) : done(message.result);
    } else {
      this.pages.get(message.sessionId)?.event(message);
    }
  }

  call(method, params = {}, sessionId) {
    const id = this.nextId++;
    const answer = new Promise((done, failed) => this.calls.set(id, { done, failed }));
    this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    return within(20000, answer, `DevTools ${method}`);
  }

  async open(url) {
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId);
    this.pages.set(sessionId, page);
    for (const domain of ["Runtime", "Log", "Page", "Network"]) await page.call(`${domain}.enable`);
    const loaded = new Promise((done) => (page.onload = done));
    await page.call("Page.navigate", { url });
    await within(20000, loaded, `${url} loads`);
    return page;
  }

  async stop() {
    this.killNow();
    await new Promise((done) => (this.child.exitCode !== null || this.child.signalCode !== null ? done() : this.child.once("exit", done)));
    process.off("exit", this.killNow);
    this.socket?.terminate();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

/* Runs in the page. */
function findMisfits() {
  const found = [];
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} wide, the screen ${width}`);
  const numbers = (color) => (color.match(/[\d.]+/g) || []).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const groundOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      const [, , , alpha = 1] = numbers(color);
      if (alpha > 0.5) return color;
    }
    return "rgb(255, 255, 255)";
  };
  for (const element of document.body.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    const name = element.tagName.toLowerCase() + (element.id ? `#${element.id}` : "") + ` "${element.textContent.trim().slice(0, 20)}"`;
    const scrolls = (at) => at && (/auto|scroll|hidden/.test(getComputedStyle(at).overflowX) || scrolls(at.parentElement));
    if ((box.right > width + 1 || box.left < -1) && !scrolls(element.parentElement)) found.push(`${name} sticks out: ${Math.round(box.left)} to ${Math.round(box.right)}`);
    const ownText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim() !== "");
    const style = getComputedStyle(element);
    if (!ownText || element.disabled || element.closest("svg") || Number(style.opacity) < 1) continue;
    const [a, b] = [light(style.color), light(groundOf(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${name} is hard to read: ${style.color} on ${groundOf(element)}`);
    if (parseFloat(style.fontSize) < 11) found.push(`${name} is small: ${style.fontSize}`);
  }
  return found;
}

/* What pages are looked at on: a phone and a desk, as [width, height, dark]. */
export const SCREENS = [[390, 844], [1440, 900]].flatMap(([width, height]) => [[width, height, false], [width, height, true]]);

/* Screenshots to look at: in the folder RINGCAST_SCREENSHOTS, if there is one. */
export function keep(name, png) {
  if (process.env.RINGCAST_SCREENSHOTS) writeFileSync(join(process.env.RINGCAST_SCREENSHOTS, `${name}.png`), png);
}

class Page {
  constructor(chromium, sessionId) {
    this.chromium = chromium;
    this.sessionId = sessionId;
    this.errors = []; // what a person would see red in the console
    this.requested = []; // every URL the page asked for
  }

  call(method, params) {
    return this.chromium.call(method, params, this.sessionId);
  }

  event({ method, params }) {
    if (method === "Page.loadEventFired") this.onload?.();
    if (method === "Network.requestWillBeSent") this.requested.push(params.request.url);
    if (method === "Runtime.exceptionThrown") this.errors.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === "Log.entryAdded" && params.entry.level === "error") this.errors.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    if (method === "Runtime.consoleAPICalled" && params.type === "error") this.errors.push(JSON.stringify(params.args));
  }

  /* The value of an expression, awaited. */
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  text(selector) {
    return this.evaluate(`document.querySelector(${JSON.stringify(selector)}).textContent`);
  }

  /* A real click, where the element is. */
  async click(selector) {
    const point = await this.evaluate(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center" });
      const box = element.getBoundingClientRect();
      return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    })()`);
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.call("Input.dispatchMouseEvent", { type, ...point, button: "left", clickCount: 1 });
    }
  }

  /* Types over what is in a field. */
  async type(selector, text) {
    await this.evaluate(`(() => { const field = document.querySelector(${JSON.stringify(selector)}); field.focus(); field.select(); })()`);
    await this.call("Input.insertText", { text });
  }

  /* A screen of this size, and what its owner prefers. */
  async device({ width, height, dark = false }) {
    await this.call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
    await this.call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
  }

  /* What a person could not read or reach: elements that stick out of the page or of what cuts them off, text that is hardly different
   * from its ground (WCAG 2 asks for 4.5:1), the page itself when it is wider than the screen. Empty: all is well. */
  misfits() {
    return this.evaluate(`(${findMisfits})()`);
  }

  /* whole: the whole page, not only what the screen shows. */
  async screenshot({ whole = false } = {}) {
    return Buffer.from((await this.call("Page.captureScreenshot", { format: "png", captureBeyondViewport: whole })).data, "base64");
  }
}
