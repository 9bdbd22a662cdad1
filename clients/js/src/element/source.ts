// What the element needs of a client: a Seenby has it, and so has anything of the same shape. Only
// types, so that the element's bundle holds nothing of the client.

import type * as wire from "../wire.js";

/** A receipt of which only this is looked at; `read_at` is ISO 8601 or unix seconds. */
export interface Named {
  readonly reader_id: string;
  readonly read_at: string | number;
  readonly conversation_type?: "private" | "group";
}

/** What is known of one message, as GET /api/v1/messages/receipts answers it. */
export interface Receipts extends Omit<wire.MessageReceipts, "receipts"> {
  readonly receipts: readonly Named[];
}

type Of<T, K extends keyof T> = Pick<T, K | Extract<"type" | "msg_id" | "read" | "of", keyof T>>;

/** An event that changes how many have read a message. */
export type CountEvent =
  | Of<wire.ReadReceipt, "reader_id" | "read_at">
  | Of<wire.ReadCount, never>
  | Of<wire.ReadWithdrawn, "reader_id">;

/** Up to `limit` names, after the page that ended with `cursor`. */
export interface Page {
  limit?: number;
  cursor?: string;
}

/** Loads one page of a message's names, as `receiptsOf` of a client does. */
export type LoadNames = (msgId: string, page: Page) => Promise<Receipts>;

/** What a client tells, of which the element listens to this. */
interface Told {
  read_receipt: Extract<CountEvent, { type: "read_receipt" }>;
  read_count: Extract<CountEvent, { type: "read_count" }>;
  read_withdrawn: Extract<CountEvent, { type: "read_withdrawn" }>;
  reset: unknown;
  status: { status: string };
}

/** A client that can be followed. `on` returns a function that removes the listener. */
export interface Source {
  on<K extends keyof Told>(type: K, listener: (event: Told[K]) => void): () => void;
  /** For up to 100 messages. */
  receipts(msgIds: string[]): Promise<readonly Receipts[]>;
  receiptsOf: LoadNames;
}
