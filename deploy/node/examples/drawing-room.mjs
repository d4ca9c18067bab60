// Rooms of people who draw together: the server hands encrypted scenes on and cannot read them, says who is in a room, and knows who follows
// whom. Clients of Socket.IO 2 may come, too (`allowEIO3` here, `socketio.allow_eio3` at ringcast).
import { createServer } from "node:http";
import { Server } from "socket.io";
import { attach } from "ringcast-socket.io";

const { PORT = 3000, RINGCAST_LINK_SECRET: secret } = process.env;
const server = createServer((_, response) => response.end("people draw here"));
const io = new Server({ allowEIO3: true, transports: ["websocket", "polling"] });
if (secret) attach(io, server, { secret });
else io.attach(server);

const followersOf = (id) => `follow@${id}`;
const tellWhoIsThere = async (room, without) => {
  const there = (await io.in(room).fetchSockets()).map(({ id }) => id).filter((id) => id !== without);
  io.to(room).emit("room changed", there);
};

io.on("connection", (socket) => {
  socket.emit("ready");
  socket.on("join", async (room) => {
    await socket.join(room);
    const { length } = await io.in(room).fetchSockets();
    if (length <= 1) socket.emit("first in room");
    else socket.broadcast.to(room).emit("new user", socket.id);
    await tellWhoIsThere(room);
  });
  socket.on("scene", (room, encrypted, iv) => socket.broadcast.to(room).emit("scene", encrypted, iv));
  socket.on("pointer", (room, encrypted, iv) => socket.volatile.broadcast.to(room).emit("pointer", encrypted, iv));
  socket.on("follow", async (id, on) => {
    await (on ? socket.join(followersOf(id)) : socket.leave(followersOf(id)));
    const followers = await io.in(followersOf(id)).fetchSockets();
    io.to(id).emit("followers", followers.map((one) => one.id));
  });
  socket.on("disconnecting", () => {
    for (const room of socket.rooms) if (room !== socket.id && !room.startsWith("follow@")) tellWhoIsThere(room, socket.id);
  });
});

server.listen(PORT, () => console.log("listening"));
