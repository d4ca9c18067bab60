// syntax FILE...: what `node --check` says of each file, in one process: it takes as long to start as to read them all.
import { readFileSync } from "node:fs";
import Module from "node:module";
import { Script, SourceTextModule } from "node:vm";

for (const file of process.argv.slice(2)) {
  const text = readFileSync(file, "utf8").replace(/^#!.*/, "");
  try {
    if (file.endsWith(".mjs")) new SourceTextModule(text, { identifier: file });
    else new Script(Module.wrap(text), { filename: file });
  } catch (error) {
    const [place] = error.stack.split("\n");
    console.log(`${place.startsWith(file) ? place : file}: ${error}`);
  }
}
