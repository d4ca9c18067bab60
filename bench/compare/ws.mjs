// A broker as one writes it by hand with ws: ringcast's native JSON protocol in the parts that the load generator uses,
// channels in a Map, each message turned into text once. Also /echo, and /live as in ws's own broadcast example.
// usage: node ws.mjs PORT        environment: BENCH_TLS=FOLDER with cert.pem and key.pem, BENCH_DEFLATE=1
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { createRequire } from 'node:module';

const require = createRequire(`${process.cwd()}/build/bench/`);
const { WebSocketServer } = require('ws');

const { BENCH_TLS: tls, BENCH_DEFLATE: deflate } = process.env;
const http = tls
    ? createSecureServer({ cert: readFileSync(`${tls}/cert.pem`), key: readFileSync(`${tls}/key.pem`) })
    : createServer((request, response) => response.end());
const perMessageDeflate = deflate ? { serverNoContextTakeover: true } : false;
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate, clientTracking: false });
const channels = new Map();
const clients = new Map();
const live = new Set();
let next = 0;

function nativeClient(socket) {
    const id = `ws~${next++}`;
    const joined = new Set();
    clients.set(id, socket);
    socket.send(JSON.stringify({ type: 'welcome', client: id }));
    socket.on('message', (text) => {
        const message = JSON.parse(text);
        if (message.type === 'subscribe') {
            if (!channels.has(message.channel)) channels.set(message.channel, new Set());
            channels.get(message.channel).add(socket);
            joined.add(message.channel);
            socket.send(JSON.stringify({ type: 'subscribed', channel: message.channel, id: message.id }));
        } else if (message.type === 'publish') {
            const out = JSON.stringify({ type: 'message', channel: message.channel, data: message.data });
            for (const other of channels.get(message.channel) ?? []) other.send(out);
        } else if (message.type === 'direct') {
            clients.get(message.to)?.send(JSON.stringify({ type: 'direct', data: message.data }));
        }
    });
    socket.on('close', () => {
        clients.delete(id);
        for (const channel of joined) {
            channels.get(channel).delete(socket);
            if (channels.get(channel).size === 0) channels.delete(channel);
        }
    });
}

function liveClient(socket) {
    live.add(socket);
    socket.on('message', (text, isBinary) => {
        for (const other of live) other.send(text, { binary: isBinary });
    });
    socket.on('close', () => live.delete(socket));
}

http.on('upgrade', (request, stream, head) => {
    sockets.handleUpgrade(request, stream, head, (socket) => {
        socket.on('error', () => {}); // the load generator closes with RST
        if (request.url === '/echo') socket.on('message', (text, isBinary) => socket.send(text, { binary: isBinary }));
        else if (request.url === '/live') liveClient(socket);
        else nativeClient(socket);
    });
});
http.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 65535 });
