// The library's own client, which asks one question after the other: an event that is acknowledged. Writes JSON as ringcast-bench does.
// usage: node ask.mjs URL SECONDS FILE
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { io } = createRequire(`${process.cwd()}/build/bench/`)('socket.io-client');
const [url, seconds, file] = process.argv.slice(2);
const socket = io(url, { transports: ['websocket'] });
const payload = 'x'.repeat(128);
const took = [];
const WARM_MS = 1000;
socket.once('connect', () => {
    const began = performance.now();
    const ask = () => {
        const asked = performance.now();
        socket.emit('echo', payload, () => {
            const now = performance.now();
            if (asked - began > WARM_MS) took.push(now - asked);
            if (now - began < WARM_MS + seconds * 1000) return ask();
            took.sort((a, b) => a - b);
            const at = (share) => took[Math.floor(took.length * share)] * 1e6;
            writeFileSync(file, JSON.stringify({ results: [{ latency_p50_ns: at(0.5), latency_p99_ns: at(0.99) }] }));
            socket.disconnect();
        });
    };
    ask();
});
