// Who has no valid token is refused at the handshake, by passport as a middleware of the engine; who has one is known to the handlers, and all of
// a person's sockets are one room. Linked without a changed line: see chat.mjs.
import { createServer } from "node:http";
import jwt from "jsonwebtoken";
import passport from "passport";
import { Server } from "socket.io";

const KEY = "only an example";

class BearerStrategy extends passport.Strategy {
  name = "bearer";

  authenticate({ headers }) {
    try {
      this.success(jwt.verify(headers.authorization?.replace(/^Bearer /, "") ?? "", KEY));
    } catch {
      this.fail(401);
    }
  }
}
passport.use(new BearerStrategy());

const server = createServer((request, response) => {
  const user = new URL(request.url, "http://localhost").searchParams.get("user");
  response.end(jwt.sign({ user }, KEY, { expiresIn: "1h" }));
});
const io = new Server(server);

io.engine.use((request, response, next) => {
  const isHandshake = request._query.sid === undefined;
  if (isHandshake) passport.authenticate("bearer", { session: false })(request, response, next);
  else next();
});

io.on("connection", (socket) => {
  const { user } = socket.request.user;
  socket.join(`user:${user}`);
  socket.on("whoami", (done) => done(user));
  socket.on("tell", (to, text) => io.to(`user:${to}`).emit("told", { by: user, text }));
  socket.on("log out", () => io.in(`user:${user}`).disconnectSockets(true));
});

server.listen(process.env.PORT ?? 3000, () => console.log("listening"));
