// A server that is looked at with @socket.io/admin-ui in development mode: every connection, room and event is shown there, and an administrator
// may emit, join and disconnect. Linked by one changed line.
import { createServer } from "node:http";
import { instrument } from "@socket.io/admin-ui";
import { Server } from "socket.io";
import { attach } from "ringcast-socket.io";

const { PORT = 3000, RINGCAST_LINK_SECRET: secret } = process.env;
const server = createServer();
const io = new Server();
if (secret) attach(io, server, { secret });
else io.attach(server);
instrument(io, { auth: false, mode: "development", serverId: "one" });

io.on("connection", (socket) => {
  socket.on("join", (room, done) => (socket.join(room), done()));
  socket.on("say", (room, what) => io.to(room).emit("said", what));
});

server.listen(PORT, () => console.log("listening"));
