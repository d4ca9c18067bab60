// tests/e2e/redis_scale.test.mjs at its full size: 3,000 clients, 1,000 of them on a broker that is killed, 10,000 rounds.
process.env.RINGCAST_SCALE = "full";
await import("../e2e/redis_scale.test.mjs");
