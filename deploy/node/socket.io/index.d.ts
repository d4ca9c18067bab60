import type { EventEmitter } from "node:events";
import type { Server as HttpServer } from "node:http";

export interface LinkOptions {
  /** The secret of `[[backend]]`; several while one is changed. Without it: RINGCAST_LINK_SECRET. */
  secret?: string | string[];
  /** The path of `url` in `[[backend]]`, where several servers share one port. Without it: any. */
  path?: string;
  /** Where the broker listens for links ([link] listen), for processes that dial out: `tcp://10.0.0.1:7000`, `tls://…`, `unix:/run/ringcast/link.sock`. */
  dial?: string | string[];
  /** What `tls://` is dialled with: options of node:tls' connect(), such as `ca`. */
  tls?: import("node:tls").ConnectionOptions;
  /** The name of the `[[backend]]` when dialling. Without it: the first of kind "link". */
  backend?: string;
  /** Do clients outlive this process, where the broker offers that? Without it: if `connectionStateRecovery` is on. */
  resume?: boolean;
  /** With `resume`: for how many milliseconds `io.close()` waits for answers that clients have asked for. Without it: 2000. */
  drain?: number;
  /** Options of the engine in place of those of the server. */
  engine?: Record<string, unknown>;
}

export interface Link {
  /** instance/worker */
  readonly name: string;
}

export interface Links extends EventEmitter {
  /** Clients stay at ringcast for the next process from here on; `io.close()` does it. */
  detach(): void;
  readonly links: ReadonlySet<Link>;
  on(event: "attach", listener: (link: Link) => void): this;
  on(event: "detach", listener: (link: Link, error: Error | null) => void): this;
}

/** Takes the place of `io.attach(httpServer)`. `io` is the application's own Server of the package socket.io. */
export function attach(io: object, server?: HttpServer | number | string | null, options?: LinkOptions): Links;
