// tests/e2e/socketio_many.test.mjs at its full size: 1,000 polling clients and 1,000 upgrading ones, four workers, 60 s, to the server itself
// and through nginx and HAProxy.
process.env.RINGCAST_SCALE = "full";
await import("../e2e/socketio_many.test.mjs");
