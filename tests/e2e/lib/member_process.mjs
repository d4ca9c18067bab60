// A Node server of member_kinds.mjs in a process of its own, so that it can be killed: forked by NodeProcess (mixed.mjs) with the name of its
// kind and where Redis is. It does what it is sent: { id, does, ...arguments }, and answers { id, result }.
import { KINDS, startNode } from "./member_kinds.mjs";

const { kind, redis, name } = JSON.parse(process.argv[2]);
const { io, port } = await startNode(KINDS[kind], redis);
let sent = 0;
let timer;

const does = {
  /* Messages to a room from now on, so many milliseconds apart; stop(): how many they were. */
  talk: ({ room, every }) => {
    timer = setInterval(() => io.to(room).emit("said", name, ++sent), every);
  },
  count: () => sent,
  stop: () => {
    clearInterval(timer);
    return sent;
  },
  emit: ({ nsp = "/", rooms = [], except = [], event, args = [] }) => {
    let to = io.of(nsp).except(except);
    for (const room of rooms) to = to.to(room);
    to.emit(event, ...args);
  },
  fetch: async ({ rooms = [] }) => {
    let from = io.of("/");
    for (const room of rooms) from = from.in(room);
    return (await from.fetchSockets()).map(({ id }) => id).sort();
  },
  join: ({ from, room }) => io.in(from).socketsJoin(room),
  leave: ({ from, room }) => io.in(from).socketsLeave(room),
  disconnect: ({ from }) => io.in(from).disconnectSockets(),
  ask: ({ rooms = [], args = [], timeout = 4000 }) => {
    let to = io.of("/");
    for (const room of rooms) to = to.to(room);
    return to.timeout(timeout).emitWithAck("question", ...args);
  },
  askServers: ({ args }) => io.serverSideEmitWithAck("tell", ...args),
};

process.on("message", async ({ id, does: what, ...given }) => {
  try {
    process.send({ id, result: (await does[what](given)) ?? null });
  } catch (error) {
    process.send({ id, error: error.message });
  }
});
process.on("disconnect", () => process.exit(0));
// What a library lets go unheard while Redis is away is no reason to end.
process.on("unhandledRejection", () => {});
process.send({ port });
