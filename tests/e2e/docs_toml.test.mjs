// Every configuration that the documentation shows is one: `ringcast check` takes it as it stands there.
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { run } from "./lib/broker.mjs";
import { CA_FILE, certificate } from "./lib/tls.mjs";
import { ROOT } from "./lib/util.mjs";

/* What a piece leaves out because another one on its page has it. */
const app = '[[backend]]\nname = "app"\nurl = ["http://127.0.0.1:3000/ringcast"]\n';

test("every piece of TOML in README.md and docs is taken by `ringcast check`, and asks for nothing that is not built", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-docs-"));
  try {
    writeFileSync(join(folder, "order.json"), '{"type":"object"}');
    writeFileSync(join(folder, "secret"), "a secret of at least thirty-two bytes");
    writeFileSync(join(folder, "pusher-secret"), "a-secret-of-an-application", { mode: 0o600 });
    copyFileSync(certificate("docs").path, join(folder, "server.pem"));
    copyFileSync(CA_FILE, join(folder, "clients-ca.pem"));
    const pages = ["README.md", ...readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)];
    let count = 0;
    for (const page of pages) {
      for (const [, block] of readFileSync(join(ROOT, page), "utf8").matchAll(/^```toml\n([^]*?)^```$/gm)) {
        const file = join(folder, "piece.toml");
        const text = block.replaceAll("/etc/ringcast/", `${folder}/`);
        const asks = /"app"|backend:app/.test(text) && !text.includes("[[backend]]");
        writeFileSync(file, `${text}\n${asks ? app : ""}`);
        const { code, stderr } = await run(["check", file], { env: { REDIS_URL: "redis://127.0.0.1:6379" } });
        assert.equal(code, 0, `${page}:\n${block}\n${stderr}`);
        assert.doesNotMatch(stderr, /not built/, page);
        count++;
      }
    }
    assert.ok(count >= 14, `${count} pieces`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
