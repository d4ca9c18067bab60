// The npm package `ringcast` as others get it: packed by npm out of deploy/node/ringcast, installed into a folder of its own.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { program, ROOT } from "./util.mjs";

export const SOURCE = join(ROOT, "deploy/node/ringcast");

/* { folder, tarball, files, remove }. `ws`: the optional peer is there, too. */
export async function installPackage({ ws = false } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-package-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const packed = await program("npm", ["pack", "--json", "--pack-destination", folder, SOURCE], { timeout: 60000 });
    assert.equal(packed.code, 0, packed.stderr);
    const [{ filename, files }] = JSON.parse(packed.stdout);
    const tarball = join(folder, filename);
    writeFileSync(join(folder, "package.json"), '{"private":true}');
    const installed = await program("npm", ["install", "--prefix", folder, "--offline", "--omit=peer", "--no-audit", "--no-fund", tarball], { timeout: 60000 });
    assert.equal(installed.code, 0, installed.stderr);
    mkdirSync(join(folder, "node_modules"), { recursive: true });
    if (ws) symlinkSync(join(ROOT, "tests/node_modules/ws"), join(folder, "node_modules/ws"));
    return { folder, tarball, files: files.map(({ path }) => path), remove };
  } catch (error) {
    remove();
    throw error;
  }
}
