// A chat as Socket.IO servers are written: it knows nothing of ringcast. Linked without a changed line:
//   RINGCAST_LINK_SECRET=… node --import ringcast-socket.io/register chat.mjs
import { createServer } from "node:http";
import { Server } from "socket.io";

const server = createServer();
const io = new Server(server);
let people = 0;

io.on("connection", (socket) => {
  let name; // what a closure keeps, which no rule could

  socket.on("enter", (wanted, done) => {
    if (name || typeof wanted !== "string" || wanted.length === 0) return done({ error: "once, and with a name" });
    name = wanted;
    done({ people: ++people });
    socket.broadcast.emit("entered", { name, people });
  });
  socket.on("say", (text) => name && socket.broadcast.emit("said", { name, text }));
  socket.on("typing", (on) => name && socket.broadcast.volatile.emit("typing", { name, on }));
  socket.on("disconnect", () => name && io.emit("left", { name, people: --people }));
});

server.listen(process.env.PORT ?? 3000, () => console.log("listening"));
