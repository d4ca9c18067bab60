// What `tests/fresh --container` asks of the container image, in a network namespace of its own:
//
//   node --test tests/image.mjs     environment: RINGCAST_PODMAN, podman and its options, as JSON; RINGCAST_IMAGE, the image
//
// It is run as its recipe says: with the shipped seccomp profile it serves, and does all that asks the kernel for something; with podman's own
// it does not start, and says why.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { connect } from "./e2e/lib/client.mjs";
import { program, ROOT, until, within } from "./e2e/lib/util.mjs";

const [podman, ...options] = JSON.parse(process.env.RINGCAST_PODMAN);
const IMAGE = process.env.RINGCAST_IMAGE;
const PROFILE = join(ROOT, "deploy/container/seccomp.json");
const KEY = "a-key-of-the-image-test";
const NAME = "ringcast-image-test";
// What this machine may lack has nothing to do with the image: rules for packets (the network is that of this test alone), a systemd for the
// timer of a healthcheck, the right to raise limits.
const RUN = ["run", "--network=host", "--health-interval=disable", "--ulimit=host", "--name", NAME, "-e", `RINGCAST_API_KEY=${KEY}`];

const tell = (args, timeout = 300000) => program(podman, [...options, ...args], { timeout });
async function ask(...args) {
  const { code, stdout, stderr } = await tell(args);
  assert.equal(code, 0, `podman ${args.join(" ")}: ${stderr}${stdout}`);
  return stdout;
}
const logs = async () => {
  const { stdout, stderr } = await tell(["logs", NAME]);
  return stdout + stderr;
};
const remove = () => tell(["rm", "--force", "--time", "0", "--ignore", NAME]);

const post = async (path, body) => {
  const response = await fetch(`http://127.0.0.1:8080${path}`, { method: "POST", headers: { Authorization: `Bearer ${KEY}` }, body: JSON.stringify(body) });
  return { status: response.status, body: await response.text() };
};

test("under the shipped profile it serves, hands over, lives through a death, and drains", { timeout: 900000 }, async () => {
  try {
    await ask(...RUN, "--detach", "--security-opt", `seccomp=${PROFILE}`, IMAGE);
    await until("it is healthy", async () => (await fetch("http://127.0.0.1:8080/health").catch(() => ({}))).ok, { timeout: 60000 }).catch(async (error) => assert.fail(`${error.message}\n${await logs()}`));
    const acceptor = Number((await ask("inspect", "--format", "{{.State.Pid}}", NAME)).trim());
    const children = () => readFileSync(`/proc/${acceptor}/task/${acceptor}/children`, "latin1").trim().split(" ").map(Number);
    for (const pid of [acceptor, ...children()]) {
      const said = readFileSync(`/proc/${pid}/status`, "latin1");
      assert.match(said, /^Seccomp:\s+2$/m, "the profile is in force");
      assert.notEqual(/^Uid:\s+(\d+)/m.exec(said)[1], "0", "not as root");
    }
    // The healthcheck is in the image, and says so.
    await ask("healthcheck", "run", NAME);

    const client = await connect("ws://127.0.0.1:8080/ws", { timeout: 30000 });
    await client.subscribe("room:1");
    const hears = async (data) => {
      assert.equal((await post("/api/publish", { channel: "room:1", data })).status, 200);
      assert.equal((await client.next("message", 30000)).data, data);
    };
    await hears("under the profile");
    // Clients from outside publish nothing unless a file says so; the dashboard is on the port of its own.
    await client.refused(403, { type: "publish", channel: "room:1", data: 1 });
    assert.equal((await fetch("http://127.0.0.1:8080/admin")).status, 404);
    assert.equal((await fetch("http://127.0.0.1:9464/admin")).status, 200);

    const before = children();
    await ask("exec", NAME, "ringcast", "handover");
    await hears("after the hand-over");
    assert.ok(children().some((pid) => !before.includes(pid)), "there are other workers");
    await ask("exec", NAME, "ringcast", "upgrade");
    await hears("after an upgrade");
    assert.equal(JSON.parse(await ask("exec", NAME, "ringcast", "status", "--json")).processes.length >= 3, true);
    process.kill(children()[0], "SIGKILL");
    await hears("after a death");

    await ask("stop", "--time", "75", NAME);
    assert.equal((await within(30000, client.closed, "the client is sent away")).code, 1012);
    assert.equal((await ask("inspect", "--format", "{{.State.ExitCode}}", NAME)).trim(), "0");
  } finally {
    await remove();
  }
});

test("without the profile io_uring is forbidden: it does not start, and says what to do", { timeout: 600000 }, async () => {
  try {
    const child = spawn(podman, [...options, ...RUN, IMAGE], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (said += bytes));
    const code = await within(300000, new Promise((done) => child.once("close", done)), "it ends");
    assert.equal(code, 1, said);
    assert.match(said, /io_uring/);
    assert.match(said, /seccomp/);
  } finally {
    await remove();
  }
});

test("a configuration that is mounted is the one that is used, and a wrong one is told with its line", { timeout: 600000 }, async () => {
  const wrong = await tell([...RUN, "--rm", "--security-opt", `seccomp=${PROFILE}`, "-v", `${join(ROOT, "tests/image.mjs")}:/etc/ringcast/ringcast.toml:ro`, IMAGE]);
  assert.equal(wrong.code, 2, wrong.stderr);
  assert.match(wrong.stderr, /\/etc\/ringcast\/ringcast\.toml:1:/);
  const right = await tell([...RUN, "--rm", "--security-opt", `seccomp=${PROFILE}`, "-v", `${join(ROOT, "deploy/examples/chat.toml")}:/etc/ringcast/ringcast.toml:ro`, IMAGE, "check", "/etc/ringcast/ringcast.toml"]);
  assert.equal(right.code, 0, right.stderr);
  assert.match(right.stdout, /correct/);
});
