// The token a client shows, and where a new one comes from.

import { SeenbyError } from "./errors.js";

/** A token, or what fetches one. */
export type Token = string | (() => string | Promise<string>);

export class Credentials {
  #last: string | undefined;
  #asking: Promise<string> | undefined;

  constructor(private readonly source: Token | undefined) {
    if (typeof source === "string") this.#last = source;
  }

  /** Whether asking again may bring another token. */
  get renewable(): boolean {
    return typeof this.source === "function";
  }

  /** The token to show; undefined where there is none. Rejects with a SeenbyError. */
  async current(): Promise<string | undefined> {
    return this.#last ?? this.renew();
  }

  /**
   * A token fetched now.
   *
   * @param refused what was shown in vain: where somebody has fetched another since, that will do
   */
  async renew(refused?: string): Promise<string | undefined> {
    const { source } = this;
    if (typeof source !== "function") return source;
    if (refused !== undefined && this.#last !== refused) return this.current();
    this.#asking ??= this.#ask(source);
    return this.#asking;
  }

  async #ask(source: () => string | Promise<string>): Promise<string> {
    await undefined; // A source that throws at once does so when #asking is known.
    try {
      return (this.#last = await source());
    } catch (error) {
      if (error instanceof SeenbyError) throw error;
      throw new SeenbyError("unreachable", `a token cannot be fetched: ${error}`);
    } finally {
      this.#asking = undefined;
    }
  }
}
