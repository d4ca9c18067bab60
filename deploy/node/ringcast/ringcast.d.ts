// Types of ringcast.js. What each thing does is said there, and in docs/protocol.md.

declare namespace Ringcast {
  /** JSON, or bytes. */
  type Data = string | number | boolean | null | object | ArrayBuffer | ArrayBufferView;

  interface Options {
    /** Subprotocols asked for. Default ["ringcast.v1"]. */
    protocols?: string[];
    /** A class with the browser's interface; null is the environment's own. */
    WebSocket?: (new (url: string, protocols?: string[]) => unknown) | null;
    /** Connect at once. Default true. */
    connect?: boolean;
    /** Milliseconds until a request without an answer is rejected. Default 10000. */
    requestTimeout?: number;
    /** Milliseconds until an attempt without a welcome is given up. Default 15000. */
    connectTimeout?: number;
    /** Requests that wait for a connection. Default 1000. */
    queueMax?: number;
    /** Milliseconds before the first attempt to connect again ... Default 1000. */
    reconnectMin?: number;
    /** ... and at most. Default 30000. */
    reconnectMax?: number;
    /** What the delay grows by. Default 1.5. */
    reconnectFactor?: number;
    /** Of messages only what they are more than the one before them, where the server has that. Default false. */
    delta?: boolean;
    /** Milliseconds of silence before a ping asks whether anybody is there; 0 is never. Default 25000. */
    heartbeat?: number;
  }

  interface Welcome {
    type: "welcome";
    protocol: number;
    client: string;
    instance: string;
    user: string | null;
    ping_interval: number;
    max_message_size: number;
    [member: string]: unknown;
  }

  interface Message {
    type: "message" | "direct";
    /** Not of a direct. */
    channel?: string;
    /** Bytes arrive as Uint8Array. */
    data: any;
    event?: string;
    args?: any[];
    from?: string;
    offset?: number;
    epoch?: string;
    key?: string;
    retained?: boolean;
    [member: string]: unknown;
  }

  interface Close {
    code: number;
    reason: string;
    /** Milliseconds until it connects again; null: it stays closed. */
    reconnectMs: number | null;
  }

  interface SubscribeOptions {
    /** So many of the newest messages first. */
    last?: number;
    /** The retained values first. */
    retained?: boolean;
    /** The newest message of each key first: the channel's state. */
    snapshot?: boolean;
    /** false: never what was missed during a loss. */
    recover?: boolean;
    /** Who comes and goes ("presence"). */
    presence?: boolean;
  }

  interface PublishOptions {
    /** false: resolves as soon as it is handed to the connection; errors come as events. */
    ack?: boolean;
    /** false: not to ourselves. */
    echo?: boolean;
    /** Client ids that do not get it. */
    exclude?: string[];
    /** A newer message of the same key may replace this one. */
    key?: string;
    /** Milliseconds. */
    timeout?: number;
    event?: string;
    args?: any[];
  }

  interface Answer {
    type?: string;
    id?: number;
    channel?: string;
    /** "local": other hosts do not take part for now. */
    scope?: string;
    recovered?: boolean;
    epoch?: string;
    offset?: number;
    [member: string]: unknown;
  }

  interface Presence {
    clients: number;
    users: number;
    members: { user: string; clients: number; instances: number }[];
    more: boolean;
    scope: string;
    [member: string]: unknown;
  }

  interface PresenceChange {
    /** Ids of users; null: those who have none. */
    joined: (string | null)[];
    left: (string | null)[];
    /** All who are there now. */
    members: (string | null)[];
    clients: number;
    users: number;
    /** There are too many to be named: members is empty. */
    more: boolean;
  }

  interface Events {
    open: (welcome: Welcome) => void;
    reconnect: (welcome: Welcome) => void;
    recover: (channel: string, complete: boolean) => void;
    close: (close: Close) => void;
    message: (message: Message) => void;
    direct: (data: any, message: Message) => void;
    gap: (channel: string | undefined) => void;
    presence: (channel: string, change: PresenceChange) => void;
    error: (error: RingcastError) => void;
  }

  /** What promises are rejected with: the code of an error answer (403 ...), or 0 for what happened on this side. */
  class RingcastError extends Error {
    constructor(code: number, reason: string, message?: string, channel?: string);
    readonly name: "RingcastError";
    readonly code: number;
    readonly reason: string;
    readonly channel: string | undefined;
  }
}

declare class Ringcast {
  constructor(url?: string, options?: Ringcast.Options);

  readonly url: string;
  readonly state: "connecting" | "open" | "waiting" | "closed";
  readonly welcome: Ringcast.Welcome | null;
  /** This connection's client id; null while there is none. */
  readonly client: string | null;

  on<E extends keyof Ringcast.Events>(event: E, handler: Ringcast.Events[E]): this;
  off<E extends keyof Ringcast.Events>(event: E, handler: Ringcast.Events[E]): this;

  /** After close(), or with { connect: false }; while it waits for the next attempt, at once. */
  connect(): void;
  /** For good, until connect(). */
  close(): void;

  subscribe(channel: string, handler?: ((data: any, message: Ringcast.Message) => void) | null, options?: Ringcast.SubscribeOptions): Promise<Ringcast.Answer>;
  unsubscribe(channel: string, handler?: (data: any, message: Ringcast.Message) => void): Promise<Ringcast.Answer>;
  publish(channel: string, data: Ringcast.Data | undefined, options?: Ringcast.PublishOptions): Promise<Ringcast.Answer>;
  emit(channel: string, event: string, ...args: any[]): Promise<Ringcast.Answer>;
  broadcast(data: Ringcast.Data | undefined, options?: Ringcast.PublishOptions): Promise<Ringcast.Answer>;
  direct(to: string, data: Ringcast.Data | undefined, options?: Ringcast.PublishOptions): Promise<Ringcast.Answer>;
  presence(channel: string, options?: { limit?: number; timeout?: number }): Promise<Ringcast.Presence>;
  /** The milliseconds that an answer took. */
  ping(options?: { timeout?: number }): Promise<number>;

  static Error: typeof Ringcast.RingcastError;
  /** What is used where there is no WebSocket of the environment; null: nothing. */
  static WebSocket: Ringcast.Options["WebSocket"];
  /** What a delta in Fossil's format makes of `base`. */
  static applyDelta(base: Uint8Array, delta: Uint8Array): Uint8Array;
}

export = Ringcast;
