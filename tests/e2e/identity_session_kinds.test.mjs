// [[identity]] kind = "session" with sessions that Django and PHP write, by what docs/auth.md says, as it stands there.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { io } from "socket.io-client";
import { testRedis } from "./lib/redis.mjs";
import { upgraded } from "./lib/raw.mjs";
import { ROOT, freePort, program, until, within } from "./lib/util.mjs";

const TEXT = readFileSync(join(ROOT, "docs/auth.md"), "utf8");
const block = (language) => TEXT.split(`\`\`\`${language}\n`)[1].split("\n```")[0] + "\n";
/* The system's: what a package of the distribution brings, no other one has. */
const PYTHON3 = "/usr/bin/python3";
const has = async (command, ...args) => (existsSync(command) ? (await program(command, args)).code === 0 : false);
const django = await has(PYTHON3, "-c", "import django_redis");
const php = await has("/usr/bin/php", "-r", "exit(extension_loaded('redis') ? 0 : 1);");

/* A site with users of its own, who log in and out as in any. */
const site = (redis) => `
import sys
from wsgiref.simple_server import make_server
import django
from django.conf import settings
${block("python").replace("redis://127.0.0.1:6379/0", redis.url)}
settings.configure(CACHES=CACHES, SESSION_ENGINE=SESSION_ENGINE, SECRET_KEY="x", ROOT_URLCONF="__main__", ALLOWED_HOSTS=["*"], USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, DEFAULT_AUTO_FIELD="django.db.models.AutoField")
django.setup()
from django.contrib import auth
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
def login(request):
    if request.GET.get("user"):
        auth.login(request, auth.get_user_model().objects.get(username=request.GET["user"]))
    request.session["theme"] = "d\u00e4rk"
    return HttpResponse(str(request.user.pk))
def logout(request):
    auth.logout(request)
    return HttpResponse()
urlpatterns = [path("login", login), path("logout", logout)]
call_command("migrate", verbosity=0)
for name in ["root", "ann"]:
    auth.get_user_model().objects.create_user(name)
make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application()).serve_forever()
`;

const page = (redis) => `${block("php").replace('"127.0.0.1", 6379', `"127.0.0.1", ${redis.port}`)}
session_start();
if (isset($_GET["user"])) {
    $_SESSION["user"] = ["id" => $_GET["user"] === "ann" ? 2 : 1];
}
$_SESSION["theme"] = "d\u{e4}rk";
if ($_SERVER["SCRIPT_NAME"] === "/logout") {
    session_destroy();
}
echo $_SESSION["user"]["id"] ?? "None";
`;

const KINDS = [
  { name: "Django", there: django, file: "site.py", text: site, command: (file, port) => [PYTHON3, file, port], cookie: "sessionid", key: ":1:django.contrib.sessions.cache{id}", user: "{session._auth_user_id}", package: "python3-django-redis" },
  { name: "PHP", there: php, file: "page.php", text: page, command: (file, port) => ["/usr/bin/php", "-S", `127.0.0.1:${port}`, file], cookie: "PHPSESSID", key: "sess:{id}", user: "{session.user.id}", package: "php-redis" },
];

const listens = (port) => new Promise((done) => {
  const socket = connect(port, "127.0.0.1", () => (socket.destroy(), done(true)));
  socket.on("error", () => done(false));
});

async function startSite(kind, redis) {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-sessions-"));
  const port = await freePort();
  const [command, ...args] = kind.command(join(folder, kind.file), String(port));
  writeFileSync(join(folder, kind.file), kind.text(redis));
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  const errors = [];
  child.stderr.on("data", (bytes) => errors.push(bytes));
  const ended = new Promise((done) => child.once("close", done));
  await until(`${kind.name} listens`, async () => (await listens(port)) || (child.exitCode !== null && assert.fail(Buffer.concat(errors).toString())), { timeout: 30000 });
  return {
    async get(path, cookie) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: cookie ? { cookie } : {} });
      assert.equal(answer.status, 200, Buffer.concat(errors).toString());
      return { cookie: answer.headers.get("set-cookie")?.split(";")[0], text: await answer.text() };
    },
    async end() {
      child.kill("SIGKILL");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

for (const kind of KINDS) {
  const { name, cookie, key, user } = kind;
  testRedis(`${name} says who is logged in, who is not, and who has logged out`, {
    brokers: 1, workers: 2, timeout: 60000, skip: kind.there ? false : `${kind.package} is not installed`,
    config: { "socketio.path": "/socket.io/", identity: [{ kind: "session", from: [`cookie.${cookie}`], key, user, attributes: { theme: "{session.theme}" } }], event: [{ on: "who", ack: ["{user}"] }] },
  }, async ({ brokers: [broker], redis }) => {
    assert.ok(TEXT.includes(`from = ["cookie.${cookie}"]`) && TEXT.includes(`key = "${key}"`), "docs/auth.md says so");
    const its = await startSite(kind, redis);
    try {
      const ann = await its.get("/login?user=ann");
      assert.equal(ann.text, "2");
      const nobody = await its.get("/login");
      assert.equal(nobody.text, "None");
      const client = await broker.connect({ headers: { Cookie: `lang=de; ${ann.cookie}` } });
      assert.equal(client.welcome.user, "2");
      for (const transports of [["polling"], ["websocket"]]) {
        const socket = io(`http://127.0.0.1:${broker.port}`, { transports, forceNew: true, reconnection: false, extraHeaders: { cookie: ann.cookie } });
        await within(10000, new Promise((done, failed) => socket.once("connect", done).once("connect_error", failed)), "it connects");
        assert.deepEqual(await socket.emitWithAck("who"), { id: "2", theme: "d\u00e4rk" });
        socket.close();
      }
      assert.equal(await upgraded(broker, "/ws", { Cookie: nobody.cookie }), 401, "nobody is logged in");
      assert.equal(await upgraded(broker, "/ws", { Cookie: `${cookie}=${"a".repeat(32)}` }), 401, "no such session");
      assert.equal((await its.get("/login", ann.cookie)).text, "2", "the site reads what it wrote");
      await its.get("/logout", ann.cookie);
      assert.deepEqual(await within(10000, client.closed, "who logs out is sent away"), { code: 4401, reason: "unauthorized" });
      // The other worker is told as well, by itself.
      await until("the session is over everywhere", async () => (await upgraded(broker, "/ws", { Cookie: ann.cookie })) === 401);
    } finally {
      await its.end();
    }
  });
}
