// Applications behind a link: the package ringcast-socket.io as `npm pack` makes it, in a folder of its own beside the package socket.io
// of the version that is wanted, and the processes that run there.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT, program } from "./util.mjs";

const SHIM = join(ROOT, "deploy/node/socket.io");
const MODULES = join(ROOT, "tests/node_modules");
const folders = new Map();

process.on("exit", () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/* A folder with node_modules: everything that tests have, `socket.io` of this version (a name in tests/package.json), and the package. */
export async function folderOf(version = "socket.io") {
  if (folders.has(version)) return folders.get(version);
  const folder = mkdtempSync(join(tmpdir(), "ringcast-link-"));
  folders.set(version, folder);
  const modules = join(folder, "node_modules");
  mkdirSync(modules);
  for (const name of readdirSync(MODULES)) if (!name.startsWith(".") && name !== "socket.io") symlinkSync(join(MODULES, name), join(modules, name));
  symlinkSync(join(MODULES, version), join(modules, "socket.io"));
  const packed = await program("npm", ["pack", SHIM, "--silent", "--pack-destination", folder], { timeout: 60000 });
  const [name] = readdirSync(folder).filter((file) => file.endsWith(".tgz"));
  if (packed.code !== 0 || !name) throw new Error(`npm pack: ${packed.stderr}`);
  const unpacked = await program("tar", ["-xzf", join(folder, name), "-C", folder]);
  if (unpacked.code !== 0) throw new Error(`tar: ${unpacked.stderr}`);
  symlinkSync(join(folder, "package"), join(modules, "ringcast-socket.io"));
  return folder;
}

/* What require() gives in that folder. */
export const requireIn = async (version) => createRequire(join(await folderOf(version), "index.js"));
