// A whiteboard: a room for each board, strokes relayed and kept, pictures as bytes, a middleware that asks for a token. The one line that
// is another than without ringcast is that with attach().
import { createServer } from "node:http";
import { Server } from "socket.io";
import { attach } from "ringcast-socket.io";

const { PORT = 3000, RINGCAST_LINK_SECRET: secret } = process.env;
const server = createServer();
const io = new Server({ connectionStateRecovery: {} });
if (secret) attach(io, server, { secret });
else io.attach(server);
const boards = new Map(); // name: what was drawn

io.use((socket, next) => (socket.handshake.auth.token === "let me in" ? next() : next(new Error("no token"))));

io.on("connection", (socket) => {
  socket.on("open", (name, done) => {
    socket.join(name);
    if (!boards.has(name)) boards.set(name, []);
    done(boards.get(name), io.sockets.adapter.rooms.get(name).size);
    socket.to(name).emit("joined", socket.handshake.query.who);
  });
  socket.on("draw", (name, stroke) => {
    if (!socket.rooms.has(name)) return;
    boards.get(name).push(stroke);
    socket.to(name).emit("drawn", stroke);
  });
  socket.on("cursor", (name, at) => socket.to(name).volatile.emit("cursor", socket.handshake.query.who, at));
  socket.on("picture", (name, bytes, done) => {
    socket.to(name).emit("picture", bytes);
    done(bytes.length);
  });
  socket.on("wipe", (name) => {
    boards.set(name, []);
    io.to(name).emit("wiped");
  });
  socket.on("disconnecting", () => {
    for (const name of socket.rooms) if (name !== socket.id) socket.to(name).emit("gone", socket.handshake.query.who);
  });
});

server.listen(PORT, () => console.log("listening"));
