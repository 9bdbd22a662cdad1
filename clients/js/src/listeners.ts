// Who listens to what. Errors of listeners go to the listeners of "error", and to the console where
// there are none.

import type {
  Mark,
  Position,
  ReadCount,
  ReadReceipt,
  ReadSelf,
  ReadWithdrawn,
  Receipt,
  UnreadSelf,
} from "./wire.js";

export type Status = "idle" | "connecting" | "online" | "waiting" | "closed";

/** The types of events, and what a listener is given. */
export interface Events {
  read_receipt: ReadReceipt;
  read_count: ReadCount;
  read_withdrawn: ReadWithdrawn;
  read_self: ReadSelf;
  unread_self: UnreadSelf;
  /** The stream has a gap: load anew what is shown. It goes on after this position. */
  reset: Position;
  /** `code` and `reason` of the close; `retry_in`: seconds until the next attempt. */
  status: { status: Status; code?: number; reason?: string; retry_in?: number };
  marked: Receipt;
  /** A mark was refused for good. */
  refused: { mark: Mark; code: string; error: string };
  /** Each raw frame; `at` in milliseconds since the Unix epoch. */
  frame: { direction: "in" | "out"; text: string; at: number };
  error: Error;
}

export type Listener<T> = (event: T) => unknown;

export class Listeners {
  #of = new Map<keyof Events, Set<Listener<never>>>();

  add<K extends keyof Events>(type: K, listener: Listener<Events[K]>): () => void {
    const own: Listener<Events[K]> = (event) => listener(event);
    let all = this.#of.get(type);
    if (!all) this.#of.set(type, (all = new Set()));
    all.add(own);
    return () => void this.#of.get(type)?.delete(own);
  }

  has(type: keyof Events): boolean {
    return !!this.#of.get(type)?.size;
  }

  /** Tells everyone at once. */
  tell<K extends keyof Events>(type: K, event: Events[K]): void {
    for (const listener of this.#all(type)) {
      try {
        Promise.resolve(listener(event)).catch((error: unknown) => this.#threw(type, error));
      } catch (error) {
        this.#threw(type, error);
      }
    }
  }

  /** Tells one after the other, and waits for each. */
  async tellInTurn<K extends keyof Events>(type: K, event: Events[K]): Promise<void> {
    for (const listener of this.#all(type)) {
      try {
        await listener(event);
      } catch (error) {
        this.#threw(type, error);
      }
    }
  }

  /** Something went wrong that the application should know of. */
  report(error: unknown): void {
    if (this.has("error")) {
      this.tell("error", error instanceof Error ? error : new Error(String(error)));
    } else {
      console.error("seenby:", error);
    }
  }

  #all<K extends keyof Events>(type: K): Listener<Events[K]>[] {
    return [...(this.#of.get(type) ?? [])] as Listener<Events[K]>[];
  }

  #threw(type: keyof Events, error: unknown): void {
    if (type === "error") console.error("seenby:", error);
    else this.report(error);
  }
}
