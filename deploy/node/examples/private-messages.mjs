// Messages from one person to another, on all tabs of both. Several processes behind one ringcast know each other's people, without an adapter
// and without sticky sessions: everything that they share is asked of fetchSockets(). Linked by one changed line.
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { Server } from "socket.io";
import { attach } from "ringcast-socket.io";

const { PORT = 3000, RINGCAST_LINK_SECRET: secret } = process.env;
const server = createServer();
const io = new Server();
if (secret) attach(io, server, { secret });
else io.attach(server);

const sign = (user) => `${user}.${createHmac("sha256", "only an example").update(user).digest("hex").slice(0, 16)}`;
const userOf = (session) => [String(session).split(".")[0]].find((user) => sign(user) === session);
const users = async () => [...new Set((await io.fetchSockets()).map(({ data }) => data.user))].sort();

io.use((socket, next) => {
  const { session, user } = socket.handshake.auth;
  socket.data.user = session ? userOf(session) : user;
  next(/^\w+$/.test(socket.data.user ?? "") ? undefined : new Error("who are you?"));
});

io.on("connection", async (socket) => {
  const { user } = socket.data;
  socket.on("private message", (to, text) => socket.to(to).to(user).emit("private message", { from: user, to, text }));
  socket.on("disconnect", async () => {
    const others = await io.in(user).fetchSockets();
    if (others.length === 0) io.emit("user went", user);
  });
  socket.join(user);
  socket.emit("session", sign(user));
  socket.emit("users", await users());
  socket.broadcast.emit("user came", user);
});

server.listen(PORT, () => console.log("listening"));
