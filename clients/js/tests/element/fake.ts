// A client without a server: it keeps messages and their receipts, answers as the API does, and
// tells events when the test delivers them. Answers can be held, so that a test decides what comes
// first.

import type { CountEvent, Page, Receipts, Source } from "../../src/element/source.js";

interface Message {
  /** The audience; undefined: not registered. */
  of: number | undefined;
  type: "private" | "group";
  /** In the order of reading: the time in unix seconds. */
  readers: Map<string, number>;
  /** Counted without a name. */
  hidden: number;
  names: boolean;
}

/** A load: at first asked, then served (its answer is fixed), then answered. */
interface Load {
  ids: string[];
  answer: Receipts[] | undefined;
  resolve: (answer: Receipts[]) => void;
  reject: (error: unknown) => void;
}

export class FakeClient implements Source {
  readonly messages = new Map<string, Message>();
  /** The ids of each load, in order. */
  readonly asked: string[][] = [];
  /** Loads that wait for `serve` and `answer`; only with `hold`. */
  readonly loads: Load[] = [];
  /** Events that are not delivered yet. */
  readonly stream: CountEvent[] = [];
  hold = false;
  /** What every call ends with, if anything. */
  failure: unknown;
  /** Names in the answer to a load of several messages. */
  namesMax = 100;
  now = Date.UTC(2026, 10, 24, 12, 0, 0) / 1000;
  readonly #listeners = new Map<string, Set<(event: never) => void>>();

  message(msgId: string, of?: number, type: Message["type"] = "group"): Message {
    const message: Message = { of, type, readers: new Map(), hidden: 0, names: true };
    this.messages.set(msgId, message);
    return message;
  }

  /** Somebody reads it; the event waits for `deliver`. */
  mark(msgId: string, reader: string): void {
    const message = this.#message(msgId);
    if (message.readers.has(reader)) return;
    this.now += 60;
    message.readers.set(reader, this.now);
    this.stream.push({
      type: "read_receipt",
      msg_id: msgId,
      reader_id: reader,
      read_at: this.now,
      ...this.#count(message),
    });
  }

  withdraw(msgId: string, reader: string): void {
    const message = this.#message(msgId);
    if (!message.readers.delete(reader)) return;
    this.stream.push({
      type: "read_withdrawn",
      msg_id: msgId,
      reader_id: reader,
      ...this.#count(message),
    });
  }

  /** Somebody reads it who is counted without a name. */
  markHidden(msgId: string, many = 1): void {
    const message = this.#message(msgId);
    message.hidden += many;
    this.stream.push({ type: "read_count", msg_id: msgId, ...this.#count(message) });
  }

  /** Tells the next events, or all of them. */
  deliver(events = this.stream.length): void {
    for (const event of this.stream.splice(0, events)) this.emit(event.type, event);
  }

  emit(type: string, event: unknown): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) listener(event as never);
  }

  get listening(): number {
    return [...this.#listeners.values()].reduce((sum, some) => sum + some.size, 0);
  }

  on(type: string, listener: (event: never) => void): () => void {
    const some = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, some.add(listener));
    return () => some.delete(listener);
  }

  receipts(ids: string[]): Promise<Receipts[]> {
    this.asked.push(ids);
    return new Promise((resolve, reject) => {
      const load: Load = { ids, answer: undefined, resolve, reject };
      if (this.failure !== undefined) reject(this.failure);
      else if (this.hold) this.loads.push(load);
      else resolve(ids.map((id) => this.#receipts(id, this.namesMax)));
    });
  }

  receiptsOf(msgId: string, { limit = 100, cursor = "0" }: Page): Promise<Receipts> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return Promise.resolve(this.#receipts(msgId, limit, Number(cursor)));
  }

  /** The server looks: what is read afterwards is not in the answer. */
  serve(load = this.loads.find(({ answer }) => answer === undefined)): void {
    if (load) load.answer = load.ids.map((id) => this.#receipts(id, this.namesMax));
  }

  /** The answer of the first load arrives. */
  answer(): void {
    const load = this.loads.shift();
    if (load === undefined) return;
    if (load.answer === undefined) this.serve(load);
    load.resolve(load.answer ?? []);
  }

  #message(msgId: string): Message {
    return this.messages.get(msgId) ?? this.message(msgId);
  }

  #count(message: Message): { read: number; of: number } | Record<string, never> {
    const { of } = message;
    return of === undefined ? {} : { read: message.readers.size + message.hidden, of };
  }

  #receipts(msgId: string, limit: number, after = 0): Receipts {
    const message = this.#message(msgId);
    const all = message.names ? [...message.readers] : [];
    const page = all.slice(after, after + limit);
    return {
      msg_id: msgId,
      count: message.readers.size + message.hidden,
      ...(message.of === undefined ? {} : { member_count: message.of }),
      ...(message.names ? {} : { names: false }),
      receipts: page.map(([reader_id, at]) => ({
        reader_id,
        read_at: new Date(at * 1000).toISOString(),
        conversation_type: message.type,
      })),
      ...(page.length === limit ? { next_cursor: String(after + limit) } : {}),
    };
  }
}
