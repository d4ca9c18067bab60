// A gateway as frameworks have them (NestJS does): a class whose methods are bound to events, what they return is the acknowledgement, what they
// throw goes to the client as `exception`. The framework makes the server itself, so there is no line to change:
//   RINGCAST_LINK_SECRET=… node -r ringcast-socket.io/register gateway.mjs
import { createServer } from "node:http";
import { Server } from "socket.io";

/* --- the framework ----------------------------------------------------------------------------------------------------- */

class Failure extends Error {}

function serve(gateway, server) {
  const { namespace, guard, handlers, ...options } = gateway.constructor.gateway;
  const io = new Server(server, options);
  gateway.server = io.of(namespace);
  gateway.afterInit?.();
  gateway.server.use((socket, next) => next(guard(socket.handshake) ? undefined : new Error("the guard says no")));
  gateway.server.on("connection", (socket) => {
    gateway.handleConnection?.(socket);
    socket.on("disconnect", () => gateway.handleDisconnect?.(socket));
    for (const [event, method] of Object.entries(handlers)) {
      socket.on(event, async (body, done) => {
        try {
          const result = await gateway[method](socket, body);
          if (result !== undefined) typeof done === "function" ? done(result) : socket.emit(event, result);
        } catch (error) {
          socket.emit("exception", { status: "error", message: error instanceof Failure ? error.message : "Internal server error" });
        }
      });
    }
  });
}

/* --- the application --------------------------------------------------------------------------------------------------- */

class ShopGateway {
  static gateway = {
    namespace: "/shop",
    guard: ({ query }) => query.key === "a key",
    handlers: { watch: "watch", bid: "bid", broken: "broken" },
  };

  #highest = new Map();

  afterInit() {
    this.server.on("connection", () => this.server.emit("visitors", this.server.sockets.size));
  }

  handleConnection(client) {
    client.data.bids = 0;
  }

  handleDisconnect(client) {
    this.server.emit("went", client.data.bids);
  }

  watch(client, item) {
    client.join(item);
    return { highest: this.#highest.get(item) ?? 0 };
  }

  async bid(client, { item, amount }) {
    if (!(amount > (this.#highest.get(item) ?? 0))) throw new Failure("too little");
    this.#highest.set(item, amount);
    client.data.bids++;
    client.to(item).emit("highest", { item, amount });
    return { bids: client.data.bids };
  }

  broken() {
    throw new TypeError("nobody is to see this");
  }
}

const server = createServer();
serve(new ShopGateway(), server);
server.listen(process.env.PORT ?? 3000, () => console.log("listening"));
