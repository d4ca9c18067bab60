// tests/e2e/stray_writes.test.mjs and scribbled_truth.test.mjs with forty times as many writes, of a new seed each time.
process.env.RINGCAST_STRAY ??= "40";
await import("../e2e/stray_writes.test.mjs");
await import("../e2e/scribbled_truth.test.mjs");
