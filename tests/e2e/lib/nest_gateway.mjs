// A gateway of NestJS, which makes its Socket.IO server itself (another copy of the package than the tests'): guards, pipes, exceptions, several
// namespaces, providers. Decorators are called by their names, as this is no TypeScript.
import "reflect-metadata";
import { BadRequestException, Injectable, Module, ParseIntPipe, UseFilters, UseGuards } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { BaseWsExceptionFilter, ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway, WebSocketServer, WsException } from "@nestjs/websockets";

const decorate = (target, decorators, name) => Reflect.decorate(decorators, ...(name === undefined ? [target] : [target.prototype, name, Object.getOwnPropertyDescriptor(target.prototype, name)]));
const inject = (target, ...types) => Reflect.defineMetadata("design:paramtypes", types, target);
/* A method of a gateway: the event that it is for, its parameters, what stands around it. */
function handles(Gateway, method, event, parameters, ...around) {
  parameters.forEach((parameter, i) => parameter(Gateway.prototype, method, i));
  decorate(Gateway, [...around, SubscribeMessage(event)], method);
}

class Prices {
  #highest = new Map();

  highest(item) {
    return this.#highest.get(item) ?? 0;
  }

  bid(item, amount) {
    if (!(amount > this.highest(item))) throw new WsException("too little");
    this.#highest.set(item, amount);
  }
}
decorate(Prices, [Injectable()]);

class MemberGuard {
  canActivate(context) {
    return context.switchToWs().getClient().data.member === true;
  }
}
decorate(MemberGuard, [Injectable()]);

class ShopGateway {
  constructor(prices) {
    this.prices = prices;
  }

  afterInit(server) {
    server.use((socket, next) => next(socket.handshake.query.key === "a key" ? undefined : new Error("no key")));
  }

  handleConnection(client) {
    client.data = { bids: 0, member: client.handshake.auth.member === true };
    this.server.emit("visitors", this.server.sockets.size);
  }

  handleDisconnect(client) {
    this.server.emit("went", client.data.bids);
  }

  watch(client, item) {
    client.join(item);
    return { event: "watched", data: { item, highest: this.prices.highest(item) } };
  }

  bid(client, { item, amount }) {
    this.prices.bid(item, amount);
    client.data.bids++;
    client.to(item).emit("highest", { item, amount });
    return { bids: client.data.bids };
  }

  double(number) {
    return number * 2;
  }

  async everybody() {
    return (await this.server.fetchSockets()).length;
  }

  bytes(_, bytes) {
    return { event: "bytes", data: bytes };
  }

  broken() {
    throw new TypeError("nobody is to see this");
  }
}
inject(ShopGateway, Prices);
decorate(ShopGateway, [UseFilters(new BaseWsExceptionFilter()), WebSocketGateway({ namespace: "/shop" })]);
WebSocketServer()(ShopGateway.prototype, "server");
const both = [ConnectedSocket(), MessageBody()];
handles(ShopGateway, "watch", "watch", both);
handles(ShopGateway, "bid", "bid", both, UseGuards(MemberGuard));
handles(ShopGateway, "double", "double", [MessageBody(new ParseIntPipe({ exceptionFactory: (message) => new WsException(message) }))]);
handles(ShopGateway, "everybody", "everybody", []);
handles(ShopGateway, "bytes", "bytes", both);
handles(ShopGateway, "broken", "broken", []);

class HelpGateway {
  ask(question) {
    if (!question) throw new BadRequestException("a question is needed");
    return `why ${question}?`;
  }
}
decorate(HelpGateway, [WebSocketGateway({ namespace: "/help" })]);
handles(HelpGateway, "ask", "ask", [MessageBody()]);

class Application {}
decorate(Application, [Module({ providers: [Prices, MemberGuard, ShopGateway, HelpGateway] })]);

const application = await NestFactory.create(Application, { logger: false });
await application.listen(process.env.PORT ?? 3000, "127.0.0.1");
console.log("listening");
