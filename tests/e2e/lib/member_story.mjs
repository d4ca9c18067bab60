// Every call of the adapters of Node's servers, from servers and from clients, in a cluster of several: what a cluster with ringcast in it and
// one of Nodes alone are compared by.
import { heardEverywhere, memberClient, settled } from "./members.mjs";
import { until } from "./redis.mjs";
import { within } from "./util.mjs";

/* What two runs are compared by: names of clients in place of their ids, in the order of the text. */
function comparable(clients, list) {
  const named = (text) => Object.entries(clients).reduce((all, [name, { sid }]) => all.replaceAll(sid, name), text);
  return list.map((one) => named(JSON.stringify(one))).sort();
}

/* Every call, from two Nodes and from clients of the other servers. What came of it, to be compared with what comes of it elsewhere. */
export async function story(nodes, thirdPort, fourthPort = thirdPort) {
  const [a, b] = nodes.map(({ io }) => io);
  const names = { a: [nodes[0].port], b: [nodes[1].port], c: [thirdPort], d: [fourthPort], adminA: [nodes[0].port, "/admin"], adminC: [fourthPort, "/admin"] };
  const clients = {};
  const results = {};
  try {
    for (const [name, where] of Object.entries(names)) {
      clients[name] = await memberClient(...where);
      clients[name].nsp = where[1] ?? "/";
      clients[name].on("question", (...args) => args.pop()({ by: name, args }));
      clients[name].sid = clients[name].id; // it has none any more when it is away
    }
    const all = Object.values(clients);
    for (const [name, rooms] of Object.entries({ a: ["red"], b: ["red", "blue"], c: ["red", "a room of its own é"], d: ["blue"], adminA: ["red"], adminC: ["red"] })) {
      for (const room of rooms) await clients[name].joined(room);
    }
    await heardEverywhere(nodes, all);
    const { c, d } = clients;

    // Events, from a Node.
    for (const [i, io] of [a, b].entries()) {
      io.emit("1 all", i, "é\n", { a: [1.5, null, true, -7, 2 ** 40, 0.1, { b: {} }] });
      io.to("red").emit("2 red", i);
      io.to("red").to("blue").emit("3 red and blue", i);
      io.except("red").emit("4 not red", i);
      io.to(["red", "nobody"]).except(["blue", c.id]).emit("5 red, not blue, not c", i);
      io.to(d.id).emit("6 d", i);
      io.to("red").emit("7 binary", i, Buffer.from([1, 2, 3]), { deep: [Buffer.alloc(0)] });
      io.emit("8 binary", i, Buffer.from([4]));
      io.of("/admin").emit("9 admin", i);
      io.of("/admin").to("red").emit("10 admin red", i);
      io.emit("11 odd", i, new Date(0), undefined, { left: undefined, kept: NaN });
      io.local.emit("12 local", i);
      io.to("a room of its own é").emit("14 only c", i);
    }
    // From a socket of the third server, and of a Node.
    for (const name of ["c", "a"]) {
      const socket = clients[name];
      socket.emit("say", "red", "15 said in red", name, { x: [0.1, 2 ** 52, "\u2028"] });
      socket.emit("say", "red", "16 binary", name, Buffer.from([9, 8]), [Buffer.from([7])]);
      socket.emit("shout", "17 shouted", name);
      socket.emit("say", clients.b.id, "18 to b alone", name);
      socket.emit("say", d.id, "19 to d alone", name);
      socket.emit("say", "nobody", "20 to nobody", name);
    }
    for (const name of ["adminC", "adminA"]) clients[name].emit("shout", "21 shouted in admin", name);
    await until("the last of all", () => [...all].every((client) => client.got.filter((got) => String(got[1]).startsWith(client.nsp === "/" ? "17" : "21")).length === 2));

    // Requests.
    const sockets = async (operator) => comparable(clients, (await operator.fetchSockets()).map(({ id, rooms }) => [id, comparable(clients, [...rooms])]));
    for (const [i, io] of [a, b].entries()) {
      results[`fetch ${i}`] = [await sockets(io), await sockets(io.in("red").except("blue")), await sockets(io.in(c.id)), await sockets(io.of("/admin")), await sockets(io.in("nobody"))];
      results[`ack ${i}`] = comparable(clients, await within(4000, io.serverSideEmitWithAck("tell", c.id, { x: i }), "all servers' answers"));
      const bytes = Buffer.from([5, i]);
      const asked = async (operator, ...args) => comparable(clients, await within(6000, operator.timeout(5000).emitWithAck("question", ...args), "all clients' answers"));
      results[`clients ${i}`] = [
        await asked(io, i, "é"), await asked(io.in("red").except("blue"), bytes, { deep: [bytes] }), await asked(io.to(c.id), i),
        await asked(io.of("/admin"), i), await asked(io.to("nobody"), i),
      ];
      io.serverSideEmit("tell", clients.b.id, `22 told by ${i}`, [i]);
    }
    results.remote = comparable(clients, await Promise.all((await a.in(d.id).fetchSockets()).map(async (remote) => {
      remote.emit("23 remote", 1);
      remote.join("joined by remote");
      await until("d has joined", async () => (await a.in("joined by remote").fetchSockets()).length === 1);
      return [remote.id, comparable(clients, [...remote.rooms])];
    })));
    b.in("blue").socketsJoin(["green", "lime"]);
    await until("both are in green", async () => (await a.in("green").fetchSockets()).length === 2);
    for (const name of ["b", "d"]) clients[name].rooms.push("green");
    await heardEverywhere(nodes, all);
    a.to("green").emit("24 green", 1);
    results.green = await sockets(a.in("lime"));
    a.in("blue").socketsLeave("green");
    await until("nobody is in green", async () => (await b.in("green").fetchSockets()).length === 0);
    for (const name of ["b", "d"]) clients[name].rooms.splice(clients[name].rooms.indexOf("green"), 1);
    a.to("green").to("red").emit("25 red, green is empty", 1);
    await settled(nodes, all, "end");
    a.to("red").volatile.emit("26 volatile", 1); // behind the rest: a Node drops it while it has something else to write
    await until("it has arrived", () => ["a", "b", "c"].every((name) => clients[name].got.some(([event]) => event === "26 volatile")));
    a.of("/admin").in("red").disconnectSockets();
    b.in("blue").disconnectSockets(true);
    await until("they are away", () => ["b", "d", "adminA", "adminC"].every((name) => clients[name].disconnected));
    await until("nobody else is there", async () => (await a.fetchSockets()).length === 2);
    results.left = await sockets(b);
    for (const [name, client] of Object.entries(clients)) results[name] = comparable(clients, client.got.filter(([event]) => !event.startsWith("warm")));
    return results;
  } finally {
    for (const client of Object.values(clients)) client.disconnect();
  }
}
