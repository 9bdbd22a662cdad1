// One socket, from its opening to its end, and how a dead network is noticed: browsers show a page
// no WebSocket pings, so the client asks for a word when it has heard nothing for a heartbeat.

import { endingOf, LOST, SeenbyError, type Ending } from "./errors.js";
import type { Pace } from "./pace.js";
import { SUBPROTOCOL, type Frame } from "./wire.js";

/** A frame to the gateway. */
export interface Outgoing {
  readonly type: string;
  readonly token?: string | undefined;
  readonly [field: string]: unknown;
}

/** The part of the standard WebSocket that is used; that of `ws` will do. */
export interface Socket {
  readonly protocol: string;
  readonly readyState: number;
  onopen: ((event: never) => unknown) | null;
  onmessage: ((event: never) => unknown) | null;
  onclose: ((event: never) => unknown) | null;
  onerror: ((event: never) => unknown) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  /** Of `ws`: leaves without waiting for the other side. */
  terminate?(): void;
}

export type SocketConstructor = new (url: string, protocol: string) => Socket;

/** For the handshake and the welcome together. */
const OPEN_WITHIN = 10_000;

/** For the other side's part of a clean close. */
const CLOSE_WITHIN = 2000;

/** For a word after a ping. */
const PONG_WITHIN = 10_000;

export interface Ears {
  /** The socket is open: what is said first. */
  opened(): Outgoing;
  frame(frame: Frame): void;
  raw(direction: "in" | "out", text: string): void;
  /** Said once, and the last thing to be said. */
  ended(ending: Ending): void;
}

export class Connection {
  #socket: Socket;
  #heardAt: number;
  #heartbeat = 0;
  #asked = false;
  #callOff: () => void;
  #over = false;

  constructor(
    make: SocketConstructor,
    url: string,
    private readonly pace: Pace,
    private readonly ears: Ears,
  ) {
    const socket = (this.#socket = new make(url, SUBPROTOCOL));
    this.#heardAt = pace.now();
    this.#callOff = pace.after(OPEN_WITHIN, () => this.end("there was no welcome in time"));
    socket.onopen = () => {
      if (socket.protocol === SUBPROTOCOL) this.send(ears.opened());
      else this.#end(notSeenby(url));
    };
    socket.onmessage = (event: { data: unknown }) => this.#hear(event.data);
    socket.onclose = (event: { code: number; reason: string }) =>
      this.#end(endingOf(event.code || LOST, event.reason));
    socket.onerror = () => undefined; // A close follows.
  }

  /** Whether the gateway has said welcome. */
  get welcomed(): boolean {
    return this.#heartbeat > 0 && !this.#over;
  }

  send(frame: Outgoing): void {
    if (this.#over || this.#socket.readyState !== 1) return;
    const text = JSON.stringify(frame);
    // Who looks on sees no token.
    this.ears.raw("out", frame.token ? JSON.stringify({ ...frame, token: "..." }) : text);
    this.#socket.send(text);
  }

  /** Asks for a word now; without one in time the connection is lost. */
  probe(): void {
    if (!this.welcomed || this.#asked) return;
    this.#callOff();
    this.#asked = true;
    this.send({ type: "ping" });
    this.#callOff = this.pace.after(PONG_WITHIN, () => {
      if (this.#asked) this.end("nothing was heard from the gateway");
      else this.#listen();
    });
  }

  /** The connection is given up. */
  end(reason: string): void {
    this.#end({ code: LOST, reason });
  }

  /** A clean close by the application; `ended` is not called any more. */
  close(): Promise<void> {
    const left = new Promise<void>((resolve) => {
      if (this.#over || this.#socket.readyState !== 1) return resolve();
      const callOff = this.pace.after(CLOSE_WITHIN, resolve);
      this.#leave(1000, () => {
        callOff();
        resolve();
      });
    });
    this.#leave();
    return left;
  }

  #hear(data: unknown): void {
    this.#heardAt = this.pace.now();
    this.#asked = false;
    const text = String(data);
    this.ears.raw("in", text);
    try {
      const frame = JSON.parse(text) as Frame;
      if (typeof frame.type !== "string") throw new TypeError("it has no type");
      if (frame.type === "welcome") {
        this.#heartbeat = (Number(frame.heartbeat) || 30) * 1000;
        this.#listen();
      }
      this.ears.frame(frame);
    } catch (error) {
      // To pass over it could be a silent hole.
      this.end(`a frame cannot be understood: ${error}`);
    }
  }

  #listen(): void {
    this.#callOff();
    if (this.#over) return;
    const left = this.#heardAt + this.#heartbeat - this.pace.now();
    if (left <= 0) this.probe();
    else this.#callOff = this.pace.after(left, () => this.#listen());
  }

  #end(ending: Ending): void {
    if (this.#over) return;
    this.#leave();
    this.ears.ended(ending);
  }

  #leave(code?: number, left: (() => void) | null = null): void {
    if (this.#over) return;
    this.#over = true;
    this.#callOff();
    const socket = this.#socket;
    socket.onopen = socket.onmessage = null;
    socket.onclose = left;
    try {
      socket.close(code);
      // A network that is gone will never answer the close.
      if (!code) socket.terminate?.();
    } catch {
      // It has never been open.
    }
  }
}

function notSeenby(url: string): Ending {
  const reason = `the server at ${url} does not speak ${SUBPROTOCOL}`;
  return { code: 1002, reason, final: new SeenbyError("refused", reason) };
}
