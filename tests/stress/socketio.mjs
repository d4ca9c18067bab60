// tests/e2e/socketio_many.test.mjs at its full size: 1,000 polling clients and 1,000 upgrading ones, four workers, 60 s, to the server itself
// and through nginx and HAProxy. Environment: RINGCAST_BIN_DIR, STRESS_SECONDS (60 at most), STRESS_CLIENTS (of each kind; 1000).
process.env.RINGCAST_SCALE = "full";
await import("../e2e/socketio_many.test.mjs");
