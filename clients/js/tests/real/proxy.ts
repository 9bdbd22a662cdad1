// A network that can be broken: a TCP proxy to one port of this machine. It says that the gateway's
// heart beats every 5 seconds and not every 30, so that a test need not wait so long to see a dead
// network noticed.

import { connect, createServer, type Server, type Socket } from "node:net";

export class Proxy {
  #server: Server;
  #sockets = new Set<Socket>();
  #silent = false;
  #away = false;
  #port = 0;
  /** Connections that were opened so far. */
  opened = 0;

  private constructor(private readonly target: number) {
    this.#server = createServer((near) => this.#accept(near));
  }

  static async to(target: number): Promise<Proxy> {
    const proxy = new Proxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    const address = proxy.#server.address();
    if (typeof address === "object" && address) proxy.#port = address.port;
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size / 2;
  }

  /** Every connection is reset in the middle of whatever is on its way. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Nothing passes any more, and nobody is told: no FIN, no RST. New connections hang as well. */
  swallow(): void {
    this.#silent = true;
  }

  /** Every connection is reset, and so is each new one. */
  leave(): void {
    this.#away = true;
    this.cut();
  }

  /** New connections pass again; those that were swallowed stay so. */
  heal(): void {
    this.#silent = false;
    this.#away = false;
  }

  async end(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(near: Socket): void {
    this.opened += 1;
    near.on("error", () => undefined);
    if (this.#away) return void near.resetAndDestroy();
    const far = connect(this.target, "127.0.0.1");
    let dead = this.#silent;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("data", (bytes: Buffer) => {
        dead ||= this.#silent;
        if (!dead) to.write(from === far ? faster(bytes) : bytes);
      });
      from.on("end", () => dead || to.end());
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        if (!dead || from === near) to.destroy();
      });
    }
  }
}

/** The welcome is one small packet, and what is written into it is as long as what was there. */
function faster(bytes: Buffer): Buffer {
  const text = bytes.toString("latin1");
  return Buffer.from(text.replace('"heartbeat":30', '"heartbeat": 5'), "latin1");
}
