// The real nginx and HAProxy, with the files of deploy/ or others, for tests.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectRaw } from "./raw.mjs";
import { FOLDER } from "./tls.mjs";
import { ROOT, delay, until } from "./util.mjs";

const find = (name) => [`/usr/sbin/${name}`, `/usr/bin/${name}`, `/usr/local/sbin/${name}`].find(existsSync);
export const nginx = find("nginx");
export const haproxy = find("haproxy");
export const streamModule = ["/usr/lib/nginx/modules/ngx_stream_module.so"].find(existsSync);
export const PROXY = "127.0.0.2"; // from where the proxies come to the brokers: trusted, unlike 127.0.0.1

export const shipped = (file) => readFileSync(join(ROOT, "deploy", file), "utf8");

/* Each [from, to] must occur: the test would not be of the shipped file otherwise. */
export function adapt(text, changes) {
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `the file has "${from}"`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/* A proxy in the foreground, gone when the body is done. `ports`: one, or all on which it is to listen first. */
async function withProxy(program, args, ports, body) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (bytes) => (output += bytes));
  child.stderr.on("data", (bytes) => (output += bytes));
  const exited = new Promise((done) => child.once("exit", done));
  const kill = () => child.kill("SIGKILL");
  process.on("exit", kill);
  try {
    await until(`${program} listens`, async () => {
      assert.equal(child.exitCode, null, output);
      for (const port of [ports].flat()) (await connectRaw({ host: "127.0.0.1", port })).end();
      return true;
    });
    await body();
  } catch (error) {
    error.message += `\n--- ${program} said\n${output.slice(-3000)}`;
    throw error;
  } finally {
    child.kill("SIGTERM");
    await Promise.race([exited, delay(3000).then(kill)]);
    process.off("exit", kill);
  }
}

let count = 0;
/* nginx as whoever runs the tests, everything it writes in a folder of its own. */
export function withNginx(context, text, ports, body) {
  const folder = join(FOLDER, `nginx-${count++}`);
  mkdirSync(folder);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ");
  const modules = context === "stream" ? `load_module ${streamModule};\n` : "";
  writeFileSync(join(folder, "nginx.conf"), `${modules}daemon off; master_process off; pid ${folder}/pid; error_log stderr notice;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
${context} {
${context === "http" ? `access_log off; ${temporary}` : ""}
${text}
}
`);
  return withProxy(nginx, ["-p", folder, "-e", "stderr", "-c", join(folder, "nginx.conf")], ports, body);
}

export function withHaproxy(text, ports, body) {
  const file = join(FOLDER, `haproxy-${count++}.cfg`);
  writeFileSync(file, text);
  return withProxy(haproxy, ["-db", "-f", file], ports, body);
}
