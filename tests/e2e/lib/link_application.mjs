// An application with a Socket.IO server, in a process of its own (see link.mjs): its handlers are a function of the test's, and the test
// may call others in it. With `link` its clients are ringcast's, else it is an ordinary server.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { options, more, port, setup, link, register } = JSON.parse(process.argv[2]);
const require = createRequire(`${process.cwd()}/`);
const functionOf = (source) => new Function(`return (${source})`)();
const { Server } = require("socket.io");
const parser = options.parser && require(options.parser);
const server = createServer((_, response) => response.writeHead(404).end());
const context = { require, state: {}, server };
Object.assign(options, functionOf(more)(context));

if (register) {
  context.io = new Server(server, options);
} else {
  context.io = new Server({ ...options, ...(parser && { parser }) });
  if (link) context.links = require("ringcast-socket.io").attach(context.io, server, link);
  else context.io.attach(server);
}
functionOf(setup)(context);
process.on("message", async ({ id, source, args }) => {
  let reply;
  try {
    reply = { id, value: await functionOf(source)(context, ...args) };
  } catch (error) {
    reply = { id, error: error.stack };
  }
  // What it said by links has left when it is answered: a test may kill this process then.
  setImmediate(() => process.send(reply));
});
server.listen(port, "127.0.0.1", () => process.send({ listening: true }));
