// Who is logged in over HTTP is known to the sockets: express-session as a middleware of the handshake. The log-in stays at this server's
// port, sockets are ringcast's. Linked without a changed line: see chat.mjs.
import { createServer } from "node:http";
import session from "express-session";
import { Server } from "socket.io";

const sessions = session({ secret: "only an example", name: "sid", resave: false, saveUninitialized: true });
const server = createServer((request, response) => sessions(request, response, () => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  if (pathname === "/login") request.session.user = searchParams.get("user");
  response.end(request.session.user ?? "nobody");
}));
const io = new Server(server);

io.engine.use(sessions);
io.use((socket, next) => (socket.request.session.user ? next() : next(new Error("log in first"))));

io.on("connection", (socket) => {
  const { request } = socket;
  socket.join(request.session.id);
  socket.on("whoami", (done) => done(request.session.user));
  socket.on("count", (done) => request.session.reload((failed) => {
    if (failed) return socket.disconnect();
    request.session.count = (request.session.count ?? 0) + 1;
    request.session.save(() => done(request.session.count));
  }));
  socket.on("log out", () => io.in(request.session.id).disconnectSockets());
});

server.listen(process.env.PORT ?? 3000, () => console.log("listening"));
