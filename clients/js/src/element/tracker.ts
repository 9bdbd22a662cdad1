// Owns what all elements of one client share: one tally per message that is shown, one load for
// all that appear together, and the client's events.

import type { CountEvent, Receipts, Source } from "./source.js";
import { Tally, type Known } from "./tally.js";

/** The API answers for up to so many messages at once. */
const IDS_MAX = 100;
/** Pauses between loads that fail, in ms: the first, and the longest. */
const PAUSE_MS = 2_000;
const PAUSE_MAX_MS = 60_000;
/** What the API takes as an id. Another one would spoil the load of all others. */
const ID = /^[\x21-\x7e]{1,64}$/;

/** Told what is known of a message; with the event, if one changed it, and without after a load. */
export type Watcher = (known: Known, event?: CountEvent) => void;

interface Watched {
  tally: Tally;
  watchers: Set<Watcher>;
}

/** Calls back after so many ms; returns what cancels it. */
export type After = (ms: number, call: () => void) => () => void;

const after: After = (ms, call) => {
  const timer = setTimeout(call, ms);
  return () => {
    clearTimeout(timer);
  };
};

export class Tracker {
  readonly #client: Source;
  readonly #after: After;
  readonly #messages = new Map<string, Watched>();
  /** To be loaded, in this order. */
  readonly #wanted = new Set<string>();
  #loading = false;
  #pause = PAUSE_MS;
  #cancel: (() => void) | undefined;
  #unfollow: (() => void)[] = [];

  constructor(client: Source, timer: After = after) {
    this.#client = client;
    this.#after = timer;
  }

  /**
   * Follows a message. `read` and `of` are what the page says of it, until it is loaded.
   *
   * @returns what ends it.
   */
  watch(msgId: string, read: number, of: number | undefined, watcher: Watcher): () => void {
    if (!ID.test(msgId)) return () => undefined;
    this.#follow();
    let message = this.#messages.get(msgId);
    if (message === undefined) {
      message = { tally: new Tally(read, of), watchers: new Set() };
      this.#messages.set(msgId, message);
      this.#want(msgId);
    }
    const { tally, watchers } = message;
    watchers.add(watcher);
    watcher(tally.known);
    return () => {
      watchers.delete(watcher);
      // An element that is moved leaves and comes back at once: nothing is forgotten by that.
      queueMicrotask(() => {
        if (watchers.size === 0) this.#forget(msgId, watchers);
      });
    };
  }

  #forget(msgId: string, watchers: Set<Watcher>): void {
    if (this.#messages.get(msgId)?.watchers !== watchers) return;
    this.#messages.delete(msgId);
    this.#wanted.delete(msgId);
    if (this.#messages.size > 0) return;
    for (const end of this.#unfollow.splice(0)) end();
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #follow(): void {
    if (this.#unfollow.length > 0) return;
    const client = this.#client;
    const event = (frame: CountEvent): void => {
      this.#event(frame);
    };
    this.#unfollow = [
      client.on("read_receipt", event),
      client.on("read_count", event),
      client.on("read_withdrawn", event),
      client.on("reset", () => {
        for (const msgId of this.#messages.keys()) this.#want(msgId);
      }),
      client.on("status", ({ status }) => {
        if (status === "online") this.#resume();
      }),
    ];
  }

  #event(frame: CountEvent): void {
    const message = this.#messages.get(frame.msg_id);
    if (message === undefined) return;
    if (message.tally.event(frame)) this.#want(frame.msg_id);
    tell(message, frame);
  }

  #want(msgId: string): void {
    this.#wanted.add(msgId);
    // While a pause lasts, it waits with the others.
    if (!this.#loading && this.#cancel === undefined) void this.#load();
  }

  async #load(): Promise<void> {
    this.#loading = true;
    // All that is asked for in one task goes together.
    await Promise.resolve();
    while (this.#wanted.size > 0 && this.#cancel === undefined) {
      const asked = new Map<string, Watched>();
      for (const msgId of this.#wanted) {
        const message = this.#messages.get(msgId);
        if (asked.size === IDS_MAX) break;
        this.#wanted.delete(msgId);
        if (message === undefined) continue;
        message.tally.asked();
        asked.set(msgId, message);
      }
      try {
        const answers = await this.#client.receipts([...asked.keys()]);
        this.#pause = PAUSE_MS;
        for (const answer of answers) this.#answered(asked, answer);
        // Whatever is not in the answer stays as it is.
        for (const message of asked.values()) message.tally.failed();
      } catch (error) {
        this.#failed(asked, error);
      }
    }
    this.#loading = false;
  }

  #answered(asked: Map<string, Watched>, answer: Receipts): void {
    const message = asked.get(answer.msg_id);
    if (message === undefined) return;
    asked.delete(answer.msg_id);
    if (message.tally.answered(answer)) this.#wanted.add(answer.msg_id);
    tell(message);
  }

  #failed(asked: Map<string, Watched>, error: unknown): void {
    const again = (error as { retriable?: boolean } | undefined)?.retriable !== false;
    for (const [msgId, message] of asked) {
      message.tally.failed();
      if (again && this.#messages.get(msgId) === message) this.#wanted.add(msgId);
    }
    if (!again || this.#messages.size === 0) return;
    this.#cancel = this.#after(this.#pause, () => {
      this.#resume();
    });
    this.#pause = Math.min(this.#pause * 2, PAUSE_MAX_MS);
  }

  #resume(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (!this.#loading) void this.#load();
  }
}

function tell(message: Watched, event?: CountEvent): void {
  for (const watcher of [...message.watchers]) watcher(message.tally.known, event);
}

const trackers = new WeakMap<Source, Tracker>();

/** The tracker that all elements of this client share. */
export function trackerOf(client: Source): Tracker {
  let tracker = trackers.get(client);
  if (tracker === undefined) {
    tracker = new Tracker(client);
    trackers.set(client, tracker);
  }
  return tracker;
}
