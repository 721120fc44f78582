// Types of scorewire.js.

/** Where a connection stands. `offline`: no network, or no server for 20 s; attempts go on unless there is no network. */
export type State = "connecting" | "live" | "reconnecting" | "offline" | "closed";

export type TransportName = "websocket" | "sse";

export interface StateDetail {
  /** Close code of docs/PROTOCOL.md, where the connection ended with one. */
  code?: number;
  /** Why, as a slug: `first`, `lost`, `refused`, `silent`, `online`, `offline`, `no-token`, or a reason of the close table. */
  reason?: string;
  /** Milliseconds until the next attempt; 0 while one is under way. */
  retryIn?: number;
  transport?: TransportName;
  /** What the `token` callback threw. */
  error?: unknown;
}

export interface Message<Data = unknown> {
  /** `snapshot`, `top`, `update`, of a feed `value`, … */
  event: string;
  /** `<epoch>:<offset>`; conflated messages but the last of a batch have none. */
  id?: string;
  data: Data;
}

export interface Reset {
  /** `too-old`, `epoch-changed`, `ahead-of-topic`, `unknown-cursor`, or `interrupted` (cut off before there was a place). */
  reason: string;
  id?: string;
}

export interface Handlers<Data = any> {
  message?(message: Message<Data>): void;
  /** Messages may be missing before this point. A `snapshot` message follows where the topic has one. */
  reset?(reset: Reset): void;
  subscribed?(subscribed: { id?: string; recovered: boolean }): void;
  /** With this the topic is no longer followed, unless the error is about the whole connection. */
  error?(error: { code: string; message: string }): void;
}

/** Where to begin: nowhere named is the state of now. */
export interface Start {
  /** Unix seconds, inclusive. */
  since?: number;
  /** `<epoch>:<offset>`: everything after it. */
  lastEventId?: string;
}

export interface Subscription {
  readonly topic: string;
  close(): void;
}

/** Called before each attempt to connect; `reason` is `first`, or why the last connection ended. */
export type TokenSource = (why: { reason?: string }) => string | Promise<string>;

export interface Options {
  /** In order of preference; by default WebSocket, then server-sent events. */
  transports?: TransportName[];
  /** Sent as `access_token`. Only a function can be asked anew when a token runs out. */
  token?: string | TokenSource;
  /** At most one batch of messages per topic in this time: milliseconds, or a text like "500ms". */
  every?: number | string;
  /** `false`: every message, none merged. */
  conflate?: boolean;
  /** Milliseconds without a sign of life after which the connection counts as lost; 37,500 by default. */
  silence?: number;
  /** Constructors, where the platform has none: `ws` and `eventsource` in Node. */
  WebSocket?: unknown;
  EventSource?: unknown;
}

export interface Live {
  readonly state: State;
  onstate: ((state: State, detail: StateDetail) => void) | null;
  subscribe<Data = any>(topic: string, handlers: Handlers<Data>, start?: Start): Subscription;
  close(): void;
}

export function connect(url?: string | URL, options?: Options): Live;
export function connect(options: Options): Live;
