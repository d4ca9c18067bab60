// Bun's own WebSocket server and its native publish, as a broker that speaks ringcast's native JSON protocol in the parts that the
// load generator uses: a topic for each channel, and one for each client. Also /echo.
// usage: bun bun.mjs PORT        environment: BENCH_TLS=FOLDER with cert.pem and key.pem, BENCH_DEFLATE=1
const { BENCH_TLS: tls, BENCH_DEFLATE: deflate } = process.env;
let next = 0;

const server = Bun.serve({
    hostname: '127.0.0.1',
    port: Number(process.argv[2]),
    tls: tls && { cert: Bun.file(`${tls}/cert.pem`), key: Bun.file(`${tls}/key.pem`) },
    fetch(request, own) {
        const path = new URL(request.url).pathname;
        if (own.upgrade(request, { data: { echo: path === '/echo', id: `bun~${next++}` } })) return undefined;
        return new Response('upgrade wanted', { status: 426 });
    },
    websocket: {
        idleTimeout: 0,
        maxPayloadLength: 16 << 20,
        backpressureLimit: 64 << 20,
        publishToSelf: true,
        perMessageDeflate: deflate ? { compress: 'shared', decompress: 'shared' } : false,
        open(socket) {
            if (socket.data.echo) return;
            socket.subscribe(`client:${socket.data.id}`);
            socket.send(JSON.stringify({ type: 'welcome', client: socket.data.id }));
        },
        message(socket, text) {
            if (socket.data.echo) {
                socket.send(text);
                return;
            }
            const message = JSON.parse(text);
            if (message.type === 'subscribe') {
                socket.subscribe(message.channel);
                socket.send(JSON.stringify({ type: 'subscribed', channel: message.channel, id: message.id }));
            } else if (message.type === 'publish') {
                const out = JSON.stringify({ type: 'message', channel: message.channel, data: message.data });
                server.publish(message.channel, out, Boolean(deflate));
            } else if (message.type === 'direct') {
                server.publish(`client:${message.to}`, JSON.stringify({ type: 'direct', data: message.data }));
            }
        },
    },
});
