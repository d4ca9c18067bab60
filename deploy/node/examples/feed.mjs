// News in rooms, with another parser (msgpack) and with connection state recovery: whose connection broke comes back as who it was, and gets what
// was said meanwhile. Linked by one changed line.
import { createServer } from "node:http";
import { Server } from "socket.io";
import parser from "socket.io-msgpack-parser";
import { attach } from "ringcast-socket.io";

const { PORT = 3000, RINGCAST_LINK_SECRET: secret } = process.env;
const server = createServer();
const io = new Server({ parser, connectionStateRecovery: {} });
if (secret) attach(io, server, { secret });
else io.attach(server);

io.on("connection", (socket) => {
  if (!socket.recovered) socket.data.heard = 0;
  socket.on("subscribe", (topics, done) => {
    socket.join(topics);
    socket.data.topics = topics;
    done({ topics, since: new Date(0) });
  });
  socket.on("publish", (topic, news) => io.to(topic).emit("news", topic, news));
  socket.on("what do you know", (done) => done({ recovered: socket.recovered, topics: socket.data.topics, rooms: socket.rooms.size }));
  socket.on("disconnect", () => socket.broadcast.emit("somebody went", 1));
});

server.listen(PORT, () => console.log("listening"));
