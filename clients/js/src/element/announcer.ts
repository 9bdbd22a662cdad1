// Owns the quiet of the live regions: all elements of a page together say at most one thing in some
// seconds. What comes meanwhile is said afterwards, and only the newest of it.

/** So long nothing more is said, in ms. */
const QUIET_MS = 5_000;

export class Announcer {
  readonly #quiet: number;
  #busy = false;
  #next: (() => void) | undefined;

  constructor(quiet = QUIET_MS) {
    this.#quiet = quiet;
  }

  /** Puts the text into the region: now, or when it has been quiet for long enough. */
  say(region: HTMLElement, text: string): void {
    const speak = (): void => {
      region.textContent = text;
      this.#busy = true;
      setTimeout(() => {
        // Said is said: whoever reads on through the page does not meet it again.
        region.textContent = "";
        this.#busy = false;
        const next = this.#next;
        this.#next = undefined;
        next?.();
      }, this.#quiet);
    };
    if (this.#busy) this.#next = speak;
    else speak();
  }
}
