// tests/e2e/stray_writes.test.mjs with forty times as many writes, of a new seed each time.
process.env.RINGCAST_STRAY ??= "40";
await import("../e2e/stray_writes.test.mjs");
