// Owns the count of one message: how the answer of a load and the events of the stream, which may
// come in any order, become one number that does not jump back.
//
// - Of a registered message an event says the count itself. One that is not higher is older than
//   what is shown (a load is ahead of the stream), and changes nothing.
// - Only a withdrawal or a load lowers the count.
// - Of other messages an event names a reader; it counts if that reader is new.
// - What came while an answer was under way is applied once more on top of it: the answer may be
//   older than that, and when it is newer nothing changes.

import type { CountEvent, Receipts } from "./source.js";

/** What is known of a message. */
export interface Known {
  /** So many have read it. */
  read: number;
  /** Of so many; undefined: not known. */
  of: number | undefined;
  /** When the only reader read it, in unix seconds; undefined: not known, or there are more. */
  at: number | undefined;
  /** Whether it was sent to one person; undefined: not known. */
  personal: boolean | undefined;
}

/** The last moment that a Date can be, in unix seconds. */
const LATEST = 8.64e12;

/** ISO 8601 or unix seconds, in unix seconds; undefined for what is neither. */
export function seconds(time: string | number | null | undefined): number | undefined {
  if (time === null || time === undefined || time === "") return undefined;
  const number = Number(time);
  const value = Number.isNaN(number) ? Date.parse(String(time)) / 1000 : number;
  return Math.abs(value) <= LATEST ? value : undefined;
}

export class Tally {
  #read: number;
  #of: number | undefined;
  #personal: boolean | undefined;
  /** Readers by name, with the time; all of them where `#whole`. */
  #readers = new Map<string, number | undefined>();
  #whole = false;
  /** Events since the load that is under way began; undefined: none is. */
  #since: CountEvent[] | undefined;

  /** Begins with what the page says, until more is known. */
  constructor(read = 0, of?: number) {
    this.#read = read;
    this.#of = of;
  }

  get known(): Known {
    const [at] = this.#readers.values();
    const alone = this.#read === 1 && this.#readers.size === 1;
    return {
      read: this.#read,
      of: this.#of,
      at: alone ? at : undefined,
      personal: this.#personal,
    };
  }

  /** A load begins. */
  asked(): void {
    this.#since = [];
  }

  /** The load has failed. */
  failed(): void {
    this.#since = undefined;
  }

  /**
   * The load has been answered.
   *
   * @returns whether it must be asked again: an event names a reader of a message that is not
   * registered, and the answer does not tell whether that reader is counted.
   */
  answered(answer: Receipts): boolean {
    this.#read = answer.count;
    this.#of = answer.member_count ?? this.#of;
    this.#readers = new Map(
      answer.receipts.map((receipt) => [receipt.reader_id, seconds(receipt.read_at)]),
    );
    this.#whole = this.#readers.size >= answer.count;
    const [first] = answer.receipts;
    if (first?.conversation_type !== undefined) {
      this.#personal = first.conversation_type === "private";
    }
    const since = this.#since ?? [];
    this.#since = undefined;
    return since.map((event) => this.#apply(event)).includes(true);
  }

  /** An event has come; returns as `answered`. */
  event(event: CountEvent): boolean {
    this.#since?.push(event);
    // While a load is under way its answer decides whether to ask again.
    return this.#apply(event) && this.#since === undefined;
  }

  #apply(event: CountEvent): boolean {
    const withdrawn = event.type === "read_withdrawn";
    let unsure = false;
    if (event.read !== undefined) {
      if (withdrawn || event.read > this.#read) {
        this.#read = event.read;
        this.#of = event.of ?? this.#of;
      }
    } else {
      const known = event.type !== "read_count" && this.#readers.has(event.reader_id);
      if (withdrawn === known) this.#read = Math.max(0, this.#read + (withdrawn ? -1 : 1));
      // A reader who is not among those known may have been counted all the same.
      unsure = !known && !this.#whole;
    }
    if (event.type === "read_receipt") this.#readers.set(event.reader_id, event.read_at);
    if (withdrawn) this.#readers.delete(event.reader_id);
    return unsure;
  }
}
