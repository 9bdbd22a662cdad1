// Where a client stands in its stream: no I/O, only rules.
//
// - `received` is the last event that came over the socket. The next hello says it, and what is not
//   after it is a repeat and dropped.
// - `handled` is the last one that the application is done with: what is stored and acknowledged. It
//   moves back only by a reset, or into another epoch.
// - Without a device and a position a client stands at the head of its first welcome, so that what
//   comes while it is away is not lost.

import type { Position, StreamEvent } from "./wire.js";

export class Cursor {
  handled: Position | undefined;
  /** Of the connection that is open, or was last. */
  epoch = "";
  #received: Position | undefined;
  #welcomedAt: Position | undefined;
  #head = 0;
  #acknowledged = 0;

  /** Whether the gateway keeps a position for this client. */
  device = true;

  /** A stream begins where the application stands: what it has not handled comes again. */
  begin(): void {
    this.#received = this.handled;
  }

  /** The position for the next hello; undefined leaves it to the gateway. */
  get said(): Position | undefined {
    return this.#received ?? this.#welcomedAt;
  }

  welcome(at: Position): void {
    this.epoch = at.epoch;
    this.#head = at.seq;
    this.#acknowledged = 0;
    if (!this.said && !this.device) this.#welcomedAt = { epoch: at.epoch, seq: at.seq };
  }

  /** Whether an event is news, and not a repeat. */
  take(event: StreamEvent): boolean {
    if (!event.seq) return true;
    const last = this.said;
    if (last && last.epoch === this.epoch && event.seq <= last.seq) return false;
    this.#received = { epoch: this.epoch, seq: event.seq };
    this.#head = Math.max(this.#head, event.seq);
    return true;
  }

  reset(to: Position): void {
    this.epoch = to.epoch;
    this.#received = to;
    this.#head = to.seq;
  }

  /** The seq to acknowledge now on the connection that is open; undefined: nothing new. */
  toAcknowledge(): number | undefined {
    const { handled } = this;
    if (!this.device || !handled || handled.epoch !== this.epoch) return undefined;
    // A database that was restored may be behind what was handled: a reset is on its way then.
    if (handled.seq <= this.#acknowledged || handled.seq > this.#head) return undefined;
    this.#acknowledged = handled.seq;
    return handled.seq;
  }
}
