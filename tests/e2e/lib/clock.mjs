// A clock of a broker's own (libfaketime): CLOCK_REALTIME alone, which a test sets while the broker runs.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BIN_DIR } from "./util.mjs";

const LIBRARY = readdirSync("/usr/lib").map((name) => `/usr/lib/${name}/faketime/libfaketimeMT.so.1`).find(existsSync);

/* Why there is none, for `skip`; false: there is. */
export const NO_FAKE_CLOCK = LIBRARY === undefined && "libfaketime is not installed";

/* { env, set }: what a broker has to be started with, and how many seconds its clock is ahead of everybody's from now on. */
export function fakeClock(seconds = 0) {
  const folder = mkdtempSync(join(tmpdir(), "ringcast-clock-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const offset = join(folder, "offset");
  // A sanitizer's run time has to be the first library.
  const sanitizer = /lib[au]san\.so\S* => (\S+)/.exec(spawnSync("ldd", [join(BIN_DIR, "ringcast")]).stdout)?.[1];
  const set = (ahead) => writeFileSync(offset, `${ahead >= 0 ? "+" : ""}${ahead}`);
  set(seconds);
  return {
    set,
    env: {
      LD_PRELOAD: [sanitizer, LIBRARY].filter(Boolean).join(":"), FAKETIME_TIMESTAMP_FILE: offset, FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1", DONT_FAKE_MONOTONIC: "1", // of newer and older versions
    },
  };
}
