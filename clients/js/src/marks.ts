// Marks that are not answered yet: kept in storage, sent over the socket or by HTTP, and sent again
// until they are answered. A mark twice is a mark once, so nothing is lost or doubled by that.

import type { Calls } from "./calls.js";
import type { Connection } from "./connection.js";
import { SeenbyError } from "./errors.js";
import type { Listeners } from "./listeners.js";
import { jittered, type Pace } from "./pace.js";
import { isPromise, type KeyValue, type Shelf } from "./storage.js";
import type { Mark, MarkResult, Receipt } from "./wire.js";

/** The gateway takes no more at once on one socket. */
const UNDER_WAY_LIMIT = 100;

/** The API takes no more in one request. As ids are bounded, they are far below its 1 MiB; a proxy
 * may take less. */
const BATCH_LIMIT = 1000;

/** An answer over the socket that takes longer makes the client ask whether anybody is there. */
const ANSWER_SOON = 10_000;

/** Milliseconds that a mark of another tab's may stand in the storage before this one sends it. */
const ADOPT_AFTER = 5000;

/** Milliseconds in which a browser tells a tab's processes what another has stored. */
const CATCH_UP = 1000;

interface Entry {
  /** With the fields that were given last. */
  mark: Mark;
  /** Somebody here waits for the answer, and it is not only in the storage. */
  asked: boolean;
  /** The mark as it was sent last. */
  sent?: Mark;
  /** The number of its read frame, or 0 while a request has it. */
  ref?: number | undefined;
  readonly promise: Promise<Receipt>;
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (error: SeenbyError) => void;
}

export interface Surroundings {
  userId: string;
  deviceId(): string;
  calls: Calls;
  listeners: Listeners;
  pace: Pace;
  shelf: Shelf;
  /** Resolves when the storage has been read. */
  ready(): Promise<void>;
  /** One tab at a time; undefined: the storage cannot see to that. */
  lock: KeyValue["lock"];
  /** How marks go now. */
  road(): Connection | "http" | undefined;
}

export class Marks {
  #entries = new Map<string, Entry>();
  #refs = new Map<number, Entry>();
  #nextRef = 1;
  #requesting = false;
  #most = BATCH_LIMIT;
  #failures = 0;
  #pause: (() => void) | undefined;
  #pausedByNetwork = false;
  #refused = false;
  #watch: (() => void) | undefined;
  #adopt: (() => void) | undefined;
  #planned = false;
  #loaded = false;
  #turnAsked = false;
  #endTurn: (() => void) | undefined;
  #lockless = false;

  constructor(private readonly around: Surroundings) {}

  get pending(): Mark[] {
    return [...this.#entries.values()].map((entry) => entry.mark);
  }

  add(given: Mark): Promise<Receipt> {
    let mark: Mark;
    try {
      mark = checked(given);
    } catch (error) {
      return quiet(Promise.reject(error as SeenbyError));
    }
    const entry = this.#entries.get(mark.msg_id) ?? this.#enter(mark);
    entry.mark = mark;
    entry.asked = true;
    if (this.#loaded) this.#keep(entry.mark);
    this.#refused = false;
    this.pump();
    return entry.promise;
  }

  /** A mark that waits is not sent any more; one that is under way has its answer first. */
  async takeOut(msg_id: string): Promise<void> {
    if (!this.#loaded) await this.around.ready();
    const entry = this.#entries.get(msg_id);
    if (!entry) {
      // A tab that is gone may have left one.
      void this.around.shelf.remove(this.#key(msg_id));
    } else if (entry.ref === undefined) {
      this.#remove(entry.mark);
      entry.reject(new SeenbyError("not_found", "the mark was taken back before it was sent"));
    } else {
      await entry.promise.catch(() => undefined);
    }
  }

  /**
   * Takes over what the storage holds: from before a reload, or of another tab that is gone. What
   * another tab has got answered is gone from there, and from here.
   */
  async load(): Promise<void> {
    const { shelf } = this.around;
    if (!this.#loaded) {
      this.#loaded = true;
      for (const mark of this.pending) this.#keep(mark);
      if (this.#entries.size) this.pump();
    }
    const prefix = this.#key("");
    const asked = shelf.keys(prefix);
    const keys = isPromise(asked) ? await asked : asked;
    if (!keys) return;
    const kept = new Set(keys);
    for (const [msg_id, entry] of this.#entries) {
      if (!kept.has(prefix + msg_id)) this.#drop(entry);
    }
    for (const key of keys) {
      const got = shelf.get(key);
      const text = isPromise(got) ? await got : got;
      if (text === null) continue;
      try {
        const mark = checked(JSON.parse(text) as Mark);
        const entry = this.#entries.get(mark.msg_id) ?? this.#enter(mark);
        if (!entry.asked && entry.ref === undefined) entry.mark = mark;
      } catch {
        void shelf.remove(key); // Somebody else's writing.
      }
    }
  }

  /** The connection is new, or the application asks: what held marks back does so no more. */
  resume(): void {
    this.#refused = false;
    if (this.#pausedByNetwork) this.#unpause();
    this.pump();
  }

  /** Another tab has changed the storage: it has an answer, or a mark that it may not live to send. */
  changed(key: string, value: string | null): void {
    const prefix = this.#key("");
    if (!this.#loaded || !key.startsWith(prefix)) return;
    const entry = this.#entries.get(key.slice(prefix.length));
    if (value !== null) {
      if (entry) return;
      const { pace } = this.around;
      this.#adopt ??= pace.after(ADOPT_AFTER * (1 + pace.random()), () => {
        this.#adopt = undefined;
        void this.load().then(() => this.pump());
      });
    } else if (entry) {
      this.#drop(entry);
    }
  }

  /** Nothing is sent until resume(). */
  rest(): void {
    this.#unpause();
    this.#adopt?.();
    this.#adopt = undefined;
    this.lost();
    this.pump();
  }

  /** What was under way over a socket that is gone is to be sent again. */
  lost(): void {
    this.#watch?.();
    this.#watch = undefined;
    for (const entry of this.#refs.values()) entry.ref = undefined;
    this.#refs.clear();
  }

  /** Sends what can be sent now. Marks of the same moment go together. */
  pump(): void {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      this.#send();
    });
  }

  answered(ref: number, result: MarkResult): void {
    const entry = this.#refs.get(ref);
    if (!entry) return;
    this.#refs.delete(ref);
    entry.ref = undefined;
    this.#watchAnswers();
    this.#settle(entry, result);
    this.pump();
  }

  #send(): void {
    const ready = this.#loaded && !this.#pause && !this.#refused;
    const road = ready ? this.around.road() : undefined;
    if (road === "http") {
      const some = this.#requesting ? [] : this.#waiting(this.#most);
      if (some.length) void this.#request(some);
    } else if (road) {
      for (const entry of this.#waiting(UNDER_WAY_LIMIT - this.#refs.size)) {
        const ref = (entry.ref = this.#nextRef++);
        this.#refs.set(ref, entry);
        road.send({ type: "read", ref, ...this.#fields(entry) });
      }
      if (!this.#watch) this.#watchAnswers();
    }
    if (this.#endTurn && !this.#usesTurn(!!road)) {
      this.#endTurn();
      this.#endTurn = undefined;
    }
  }

  /** The oldest that are not under way; those that are stand before them, mostly. */
  #waiting(most: number): Entry[] {
    const found: Entry[] = [];
    for (const entry of this.#entries.values()) {
      if (found.length >= most) break;
      if (entry.ref === undefined && (entry.asked || this.#hasTurn())) found.push(entry);
    }
    return found;
  }

  /**
   * Whether this tab may send what nobody here waits for. All tabs have loaded the same, and so one
   * of them at a time does; when its turn ends, or the tab dies, the next one looks what is left.
   */
  #hasTurn(): boolean {
    const { lock, pace } = this.around;
    if (!lock || this.#lockless || this.#endTurn) return true;
    if (!this.#turnAsked) {
      this.#turnAsked = true;
      const since = pace.now();
      const turn = async () => {
        // Somebody else had it: what is gone from localStorage there is gone here a little later.
        if (pace.now() > since + 50) {
          await new Promise<void>((resolve) => pace.after(CATCH_UP, resolve));
        }
        await this.load();
        await new Promise<void>((resolve) => {
          this.#endTurn = resolve;
          this.pump();
        });
        this.#turnAsked = false;
        this.pump();
      };
      const locked = Promise.resolve().then(() => lock(this.#key(""), turn));
      locked.catch(() => {
        // A page that may not, or a lock that was taken away: better twice than never.
        this.#lockless = true;
        this.#turnAsked = false;
        this.pump();
      });
    }
    return false;
  }

  /** A turn ends when nothing is left of what it was for, or nothing of it can be sent now. */
  #usesTurn(sending: boolean): boolean {
    for (const { asked, ref } of this.#entries.values()) {
      if (!asked && (sending || ref !== undefined)) return true;
    }
    return false;
  }

  #watchAnswers(): void {
    this.#watch?.();
    this.#watch = undefined;
    if (!this.#refs.size) return;
    this.#watch = this.around.pace.after(ANSWER_SOON, () => {
      this.#watch = undefined;
      const road = this.around.road();
      if (typeof road === "object") road.probe();
    });
  }

  async #request(entries: Entry[]): Promise<void> {
    this.#requesting = true;
    for (const entry of entries) entry.ref = 0;
    try {
      const receipts = entries.map((entry) => this.#fields(entry));
      const { results } = await this.around.calls.call<{ results: MarkResult[] }>(
        "POST",
        "/api/v1/messages/read/batch",
        { body: { receipts }, attempts: 1 },
      );
      entries.forEach((entry, index) => {
        entry.ref = undefined;
        const result = results[index];
        // What is not answered is asked again, but not at once.
        if (result) this.#settle(entry, result);
        else this.#wait(0, false);
      });
    } catch (error) {
      for (const entry of entries) entry.ref = undefined;
      const { code, message, status, retriable, retryAfter } = error as SeenbyError;
      const [first, second] = entries;
      if (retriable) {
        this.#wait(retryAfter * 1000, code === "unreachable");
      } else if (status === 413 && first) {
        // A proxy takes less than the API: half of it, down to the one mark that is too large.
        if (second) this.#most = Math.ceil(entries.length / 2);
        else this.#settle(first, { success: false, code, error: message });
      } else {
        // That says nothing about a mark, so all are kept: until the next connect() or mark().
        this.#refused = true;
        this.around.listeners.report(error);
      }
    } finally {
      this.#requesting = false;
    }
    this.pump();
  }

  #settle(entry: Entry, result: MarkResult): void {
    const { mark } = entry;
    if (!result.success) {
      const error = new SeenbyError(result.code, result.error);
      // A token's end says nothing about the mark.
      if (error.retriable || ["token_expired", "unauthenticated"].includes(error.code)) {
        return this.#wait(0, false);
      }
      // It was marked anew meanwhile: that may say what this one lacked.
      if (entry.sent !== mark) return;
      this.#remove(mark);
      entry.reject(error);
      return this.around.listeners.tell("refused", {
        mark,
        code: error.code,
        error: error.message,
      });
    }
    this.#failures = 0;
    this.#remove(mark);
    entry.resolve(result.receipt);
    this.around.listeners.tell("marked", result.receipt);
  }

  #wait(least: number, network: boolean): void {
    if (this.#pause) return;
    const wait = least + jittered(this.around.pace, this.#failures++);
    this.#pausedByNetwork = network;
    this.#pause = this.around.pace.after(wait, () => {
      this.#unpause();
      this.pump();
    });
  }

  #unpause(): void {
    this.#pause?.();
    this.#pause = undefined;
    this.#pausedByNetwork = false;
  }

  #enter(mark: Mark): Entry {
    let resolve!: Entry["resolve"];
    let reject!: Entry["reject"];
    const promise = quiet(
      new Promise<Receipt>((done, failed) => {
        resolve = done;
        reject = failed;
      }),
    );
    const entry: Entry = { mark, asked: false, promise, resolve, reject };
    this.#entries.set(mark.msg_id, entry);
    return entry;
  }

  #keep(mark: Mark): void {
    void this.around.shelf.set(this.#key(mark.msg_id), JSON.stringify(mark));
  }

  #remove(mark: Mark): void {
    this.#entries.delete(mark.msg_id);
    void this.around.shelf.remove(this.#key(mark.msg_id));
  }

  /** Nobody here waits for it, and it is not kept any more. */
  #drop(entry: Entry): void {
    if (!entry.asked && entry.ref === undefined) this.#entries.delete(entry.mark.msg_id);
  }

  #fields(entry: Entry): object {
    const mark = (entry.sent = entry.mark);
    return { ...mark, reader_id: this.around.userId, device_id: this.around.deviceId() };
  }

  // Ids hold no spaces, so no two of these are alike.
  #key(msg_id: string): string {
    return `seenby ${this.around.userId} ${this.around.deviceId()} mark ${msg_id}`;
  }
}

/** Whoever does not look at the promise learns of a refusal by the event. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** A mark with nothing but its fields; throws a SeenbyError that names the one that is wrong. */
function checked(given: Mark): Mark {
  const { msg_id, sender_id, conversation_id, conversation_type } = given;
  checkId("msg_id", msg_id, 64);
  if (sender_id !== undefined) checkId("sender_id", sender_id, 64);
  if (conversation_id !== undefined) checkId("conversation_id", conversation_id, 128);
  if (conversation_type !== undefined && !["private", "group"].includes(conversation_type)) {
    throw new SeenbyError("bad_request", "conversation_type must be private or group");
  }
  // Undefined fields are left out by JSON.
  return { msg_id, sender_id, conversation_id, conversation_type };
}

export function checkId(name: string, value: unknown, most: number, least = 1): void {
  const form = new RegExp(`^[!-~]{${least},${most}}$`);
  if (typeof value !== "string" || !form.test(value)) {
    throw new SeenbyError(
      "bad_request",
      `${name} must be ${least} to ${most} printable ASCII characters without spaces`,
    );
  }
}
