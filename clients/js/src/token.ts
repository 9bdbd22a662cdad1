// The token a client shows, and where a new one comes from.

/** A token, or what fetches one. */
export type Token = string | (() => string | Promise<string>);

export class Credentials {
  #last: string | undefined;

  constructor(private readonly source: Token | undefined) {}

  /** The token to show; undefined where there is none. Rejects with what the source throws. */
  async current(): Promise<string | undefined> {
    return this.#last ?? this.renew();
  }

  /** A token fetched now. */
  async renew(): Promise<string | undefined> {
    const { source } = this;
    this.#last = typeof source === "function" ? await source() : source;
    return this.#last;
  }

  /** Whether asking again may bring another token. */
  get renewable(): boolean {
    return typeof this.source === "function";
  }
}
