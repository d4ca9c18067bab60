// A network namespace: commands of the documentation run as they stand there, ports included, beside whatever else this machine runs.
import { spawn, spawnSync } from "node:child_process";
import { within } from "./util.mjs";

export const UNSHARE = process.getuid() === 0 ? ["unshare", "-n"] : ["unshare", "-rn"];

/* Why there can be none; false: there can. */
export const NO_NETWORK = (() => {
  const { status } = spawnSync(UNSHARE[0], [...UNSHARE.slice(1), "ip", "link", "set", "lo", "up"], { stdio: "ignore" });
  return status === 0 ? false : "this process may make no network namespace (unshare -n)";
})();

export class Network {
  async start() {
    this.child = spawn(UNSHARE[0], [...UNSHARE.slice(1), "bash", "-c", "ip link set lo up && echo up && exec sleep infinity"], { stdio: ["ignore", "pipe", "inherit"] });
    this.killNow = () => this.child.kill("SIGKILL");
    process.on("exit", this.killNow);
    const up = new Promise((done, failed) => {
      this.child.once("error", failed);
      this.child.stdout.once("data", done);
      this.child.once("exit", () => failed(new Error("the namespace is gone")));
    });
    await within(10000, up, "a network namespace");
    return this;
  }

  /* What comes before a command so that it runs in there, in the caller's place (no process in between). */
  get prefix() {
    const target = ["-t", String(this.child.pid), "-n"];
    return ["nsenter", ...target, ...(process.getuid() === 0 ? [] : ["-U", "--preserve-credentials"])];
  }

  stop() {
    process.off("exit", this.killNow);
    const gone = new Promise((done) => this.child.once("exit", done));
    this.child.kill("SIGKILL");
    return gone;
  }
}

/* The program with all that it starts in a namespace of its own: a Running. */
export function inNetwork(command, options) {
  return new Running(UNSHARE[0], [...UNSHARE.slice(1), "bash", "-c", 'ip link set lo up && exec "$@"', "bash", ...command], options);
}

/* A running program and what it said: `said` grows; end() ends it with a signal. */
export class Running {
  constructor(command, args, options = {}) {
    this.said = "";
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    this.killNow = () => this.child.kill("SIGKILL");
    process.on("exit", this.killNow);
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (bytes) => (this.said += bytes));
    this.exited = new Promise((done) => {
      this.child.once("error", (error) => done({ code: null, error }));
      this.child.once("close", (code, signal) => done({ code, signal }));
    });
    this.exited.then((exit) => {
      this.exit = exit;
      process.off("exit", this.killNow);
    });
  }

  async end(signal = "SIGTERM") {
    if (!this.exit) this.child.kill(signal);
    return within(20000, this.exited, `${this.child.spawnargs.join(" ")} ends`);
  }
}
