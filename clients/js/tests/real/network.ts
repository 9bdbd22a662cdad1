// Clients of one test, and between them and seenby a network of the test's own that can be broken.
// Tests that run side by side harm each other in nothing.

import { memoryStorage, Seenby, type Options } from "../../src/index.js";
import { fastPace } from "../fake/pace.js";
import { Proxy } from "./proxy.js";
import type { Server } from "./seenby.js";

export class Network {
  #clients: Seenby[] = [];

  private constructor(
    readonly toGateway: Proxy,
    readonly toApi: Proxy,
  ) {}

  static async to(server: Server): Promise<Network> {
    return new Network(await Proxy.to(server.gatewayPort), await Proxy.to(server.apiPort));
  }

  /** A client of this network, for which time runs fast. */
  client(userId: string, more: Partial<Options> = {}): Seenby {
    const made = new Seenby({
      userId,
      api: `http://127.0.0.1:${this.toApi.port}`,
      gateway: `ws://127.0.0.1:${this.toGateway.port}/ws`,
      storage: memoryStorage(),
      pace: fastPace(8),
      ...more,
    });
    this.#clients.push(made);
    return made;
  }

  cut(): void {
    this.toGateway.cut();
    this.toApi.cut();
  }

  /** There is none until heal(). */
  leave(): void {
    this.toGateway.leave();
    this.toApi.leave();
  }

  heal(): void {
    this.toGateway.heal();
    this.toApi.heal();
  }

  async end(): Promise<void> {
    await Promise.all(this.#clients.map((made) => made.close()));
    await Promise.all([this.toGateway.end(), this.toApi.end()]);
  }
}
