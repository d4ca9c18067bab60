// The application that ringcast-bench's protocol "socketio" expects: rooms as channels, and an event for one client.
// usage: node socketio.mjs PORT|/PATH [REDIS_URL]       with a Redis URL: several instances, one application
// environment: BENCH_TLS=FOLDER with cert.pem and key.pem, BENCH_DEFLATE=1; BENCH_LINK=SECRET: behind ringcast (docs/link.md),
// BENCH_RESUME=1: with connectionStateRecovery
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { createRequire } from 'node:module';

const require = createRequire(`${process.cwd()}/build/bench/`);
const { Server } = require('socket.io');
const [port, redisUrl] = process.argv.slice(2);

const { BENCH_TLS: tls, BENCH_DEFLATE: deflate, BENCH_LINK: secret, BENCH_RESUME: resume } = process.env;
const http = tls
    ? createSecureServer({ cert: readFileSync(`${tls}/cert.pem`), key: readFileSync(`${tls}/key.pem`) })
    : createServer();
const perMessageDeflate = deflate ? { serverNoContextTakeover: true } : false;
const io = new Server({ perMessageDeflate, ...(resume && { connectionStateRecovery: {} }) });
if (secret) require('ringcast-socket.io').attach(io, http, { secret });
else io.attach(http);
if (redisUrl) {
    const { createAdapter } = require('@socket.io/redis-adapter');
    const { createClient } = require('redis');
    const publisher = createClient({ url: redisUrl });
    const subscriber = publisher.duplicate();
    await Promise.all([publisher.connect(), subscriber.connect()]);
    io.adapter(createAdapter(publisher, subscriber));
}
io.on('connection', (socket) => {
    socket.on('echo', (data, acknowledge) => acknowledge(data));
    socket.on('hello', (acknowledge) => acknowledge('ok'));
    socket.on('subscribe', async (channel, acknowledge) => {
        await socket.join(channel);
        acknowledge('ok');
    });
    socket.on('publish', (channel, data) => io.to(channel).emit('message', data));
    socket.on('direct', (id, data) => io.to(id).emit('message', data));
});
http.listen(port.startsWith('/') ? { path: port } : { port: Number(port), host: '127.0.0.1', backlog: 65535 });
