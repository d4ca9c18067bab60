// The application that ringcast-bench's protocol "socketio" expects: rooms as channels, and an event for one client.
// usage: node socketio.mjs PORT [REDIS_URL]       with a Redis URL: several instances, one application
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(`${process.cwd()}/build/bench/`);
const { Server } = require('socket.io');
const [port, redisUrl] = process.argv.slice(2);

const http = createServer();
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false });
if (redisUrl) {
    const { createAdapter } = require('@socket.io/redis-adapter');
    const { createClient } = require('redis');
    const publisher = createClient({ url: redisUrl });
    const subscriber = publisher.duplicate();
    await Promise.all([publisher.connect(), subscriber.connect()]);
    io.adapter(createAdapter(publisher, subscriber));
}
io.on('connection', (socket) => {
    socket.on('subscribe', async (channel, acknowledge) => {
        await socket.join(channel);
        acknowledge('ok');
    });
    socket.on('publish', (channel, data) => io.to(channel).emit('message', data));
    socket.on('direct', (id, data) => io.to(id).emit('message', data));
});
http.listen({ port: Number(port), host: '127.0.0.1', backlog: 65535 });
