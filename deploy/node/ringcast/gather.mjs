// What `npm pack` takes from elsewhere in the repository: the client, which is the one that the broker serves, and the licence. Afterwards
// (--clean) they are gone again, so that there is one of each.
import { copyFileSync, rmSync } from "node:fs";

const here = (name) => new URL(name, import.meta.url);
const gathered = { "ringcast.js": "../../../worker/http/ringcast.js", LICENSE: "../../../LICENSE" };

for (const [name, source] of Object.entries(gathered)) {
  if (process.argv.includes("--clean")) rmSync(here(name), { force: true });
  else copyFileSync(here(source), here(name));
}
