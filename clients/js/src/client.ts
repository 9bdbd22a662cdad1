// The client: puts the parts together. What each part promises is said there.

import { Calls } from "./calls.js";
import type { SocketConstructor } from "./connection.js";
import { SeenbyError } from "./errors.js";
import { Listeners, type Events, type Listener, type Status } from "./listeners.js";
import { checkId, Marks } from "./marks.js";
import { realPace, type Pace } from "./pace.js";
import { browserStorage, isPromise, Shelf, type KeyValue } from "./storage.js";
import { Stream } from "./stream.js";
import { Credentials, type Token } from "./token.js";
import type {
  Mark,
  MessageReceipts,
  Position,
  Preferences,
  Receipt,
  Unread,
  UnreadCounts,
} from "./wire.js";

export interface Options {
  userId: string;
  /** The base address of the API; default: the page's origin. */
  api?: string | undefined;
  /** The gateway's ws(s) address with its path; default: the API is asked before each connect. */
  gateway?: string | undefined;
  /** Default: a random one, made once and kept in the storage. "": no device, nothing resumes. */
  deviceId?: string | undefined;
  /** A token, or a function that fetches one: before each connect, and when one has expired. */
  token?: Token | undefined;
  /** Default: localStorage, or memory where there is none. */
  storage?: KeyValue | undefined;
  /** How marks go. auto: over the socket while online, else by HTTP. */
  via?: "auto" | "socket" | "http" | undefined;
  /** Default: the global one. Node 20 has none: give that of the package ws. */
  WebSocket?: SocketConstructor | undefined;
  fetch?: typeof globalThis.fetch | undefined;
  pace?: Pace | undefined;
}

/**
 * Marks messages as read, and follows who has read those of one user.
 *
 * An event is handled when all its listeners have returned, promises awaited, one after the other;
 * then its position is stored and acknowledged. A listener that throws is reported as "error", and
 * the event counts as handled all the same: it would throw again, and hold up the rest for ever.
 */
export class Seenby {
  readonly userId: string;
  /**
   * Resolves when the storage has been read, and never rejects: from then on `deviceId`, `position`
   * and `pending` are what was kept. Those of a synchronous storage are so at once.
   */
  readonly ready: Promise<void>;
  #deviceId = "";
  #listeners = new Listeners();
  #storage: KeyValue;
  #shelf: Shelf;
  #calls: Calls;
  #stream: Stream;
  #marks: Marks;
  #via: "auto" | "socket" | "http";
  #closed = false;
  #storing: Position | undefined;
  #movesBack = false;
  #forget: (() => void) | undefined;

  constructor(options: Options) {
    const { userId, deviceId, token, gateway } = options;
    checkId("userId", userId, 64);
    if (deviceId !== undefined) checkId("deviceId", deviceId, 64, 0);
    if (gateway !== undefined && !/^(ws|http)s?:\/\/[^#]+$/.test(gateway)) {
      throw new SeenbyError("bad_request", "gateway must be such as wss://chat.example.com/ws");
    }
    const api = options.api ?? globalThis.location?.origin;
    // A page from a file, or in a sandbox, has an origin that is none.
    if (!api || api === "null")
      throw new SeenbyError("bad_request", "api must be given outside a browser");
    this.userId = userId;
    this.#via = options.via ?? "auto";
    const pace = options.pace ?? realPace;
    const credentials = new Credentials(token);
    const fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
    this.#calls = new Calls(api.replace(/\/+$/, ""), fetch, credentials, pace);
    this.#storage = options.storage ?? browserStorage();
    // Told a moment later, when whoever makes this client listens.
    this.#shelf = new Shelf(this.#storage, (error) =>
      queueMicrotask(() => this.#listeners.report(error)),
    );
    const shared = {
      userId,
      deviceId: () => this.#deviceId,
      calls: this.#calls,
      listeners: this.#listeners,
      pace,
    };
    const ready = () => this.ready;
    this.#marks = new Marks({
      ...shared,
      shelf: this.#shelf,
      ready,
      lock: this.#storage.lock?.bind(this.#storage),
      road: () => this.#road(),
    });
    this.#stream = new Stream({
      ...shared,
      gateway,
      credentials,
      WebSocket: () => {
        const found = options.WebSocket ?? (globalThis.WebSocket as SocketConstructor | undefined);
        if (!found) throw new SeenbyError("bad_request", "WebSocket must be given: there is none");
        return found;
      },
      ready,
      store: (position, reset) => this.#store(position, reset),
      marked: (ref, result) => this.#marks.answered(ref, result),
      turned: () => this.#turned(),
    });
    this.ready = this.#load(deviceId);
  }

  /** "" where there is none, and with an asynchronous storage until the client is `ready`. */
  get deviceId(): string {
    return this.#deviceId;
  }

  get status(): Status {
    return this.#stream.status;
  }

  /** The last event that the application has handled. */
  get position(): Position | undefined {
    return this.#stream.cursor.handled;
  }

  /** Marks that are not answered yet. */
  get pending(): Mark[] {
    return this.#marks.pending;
  }

  /** Listens; the returned function ends that. */
  on<K extends keyof Events>(type: K, listener: Listener<Events[K]>): () => void {
    return this.#listeners.add(type, listener);
  }

  /**
   * Connects and stays connected; also after close(), and after an end for good. While it waits for
   * the next attempt, that is made now.
   */
  connect(): void {
    this.#closed = false;
    this.#forget ??= this.#watch();
    this.#stream.connect();
    void this.ready.then(() => this.#marks.resume());
  }

  /**
   * Acknowledges what is handled, and disconnects. Events that no listener has got yet come again
   * after the next connect(), and marks wait for it.
   */
  async close(): Promise<void> {
    this.#closed = true;
    this.#forget?.();
    this.#forget = undefined;
    this.#marks.rest();
    await this.#stream.close();
  }

  /**
   * Marks a message as read. Resolves when that is durable, and rejects when it is refused for good;
   * until then it is kept, also over a reload, and tried again. Of a message that is marked again
   * meanwhile the fields given last count.
   */
  mark(mark: Mark): Promise<Receipt> {
    return this.#marks.add(mark);
  }

  /** Who has read these messages, the first 100 of each; a request for each 100 of them. */
  async receipts(msg_ids: readonly string[]): Promise<MessageReceipts[]> {
    const found: MessageReceipts[] = [];
    for (const msg_id of inAddresses(msg_ids)) {
      const answer = await this.#calls.call<MessageReceipts | { messages: MessageReceipts[] }>(
        "GET",
        "/api/v1/messages/receipts",
        { query: { msg_id, user_id: this.userId } },
      );
      found.push(...("messages" in answer ? answer.messages : [answer]));
    }
    return found;
  }

  /** One page of who has read a message. */
  receiptsOf(
    msg_id: string,
    page: { limit?: number | undefined; cursor?: string | undefined } = {},
  ): Promise<MessageReceipts> {
    const { limit, cursor } = page;
    return this.#calls.call("GET", "/api/v1/messages/receipts", {
      query: { msg_id, limit, cursor, user_id: this.userId },
    });
  }

  /** Reads a conversation up to a message, or all of it; resolves to how many that were. */
  async readConversation(conversation_id: string, up_to_msg_id?: string): Promise<number> {
    const answer = await this.#calls.call<{ rows_affected: number }>(
      "POST",
      "/api/v1/conversations/read",
      // A long conversation takes its time.
      { body: { user_id: this.userId, conversation_id, up_to_msg_id }, within: 60_000 },
    );
    return answer.rows_affected;
  }

  /** Takes the receipt of a message back; resolves to the receipt that is gone. */
  async unmark(msg_id: string): Promise<Receipt> {
    await this.#marks.takeOut(msg_id);
    const answer = await this.#calls.call<{ receipt: Receipt }>("DELETE", "/api/v1/messages/read", {
      body: { msg_id, reader_id: this.userId },
    });
    return answer.receipt;
  }

  unreadCounts(): Promise<UnreadCounts> {
    return this.#calls.call("GET", "/api/v1/messages/unread/count", {
      query: { user_id: this.userId },
    });
  }

  unread(
    page: {
      limit?: number | undefined;
      offset?: number | undefined;
      conversation_id?: string | undefined;
    } = {},
  ): Promise<Unread> {
    const { limit, offset, conversation_id } = page;
    return this.#calls.call("GET", "/api/v1/messages/unread", {
      query: { user_id: this.userId, limit, offset, conversation_id },
    });
  }

  /** Whether senders are told the user's name: in general, or in one conversation. */
  setPreferences(wish: {
    send_receipts: boolean | null;
    conversation_id?: string | undefined;
  }): Promise<Preferences> {
    const { send_receipts, conversation_id } = wish;
    const user = encodeURIComponent(this.userId);
    return this.#calls.call("PUT", `/api/v1/users/${user}/settings`, {
      body: { send_receipts, conversation_id },
    });
  }

  #road() {
    const { connection } = this.#stream;
    if (this.#closed) return undefined;
    if (this.#via !== "http" && connection?.welcomed) return connection;
    if (this.#via === "socket" || (this.#via === "auto" && this.status === "connecting")) {
      return undefined;
    }
    return "http" as const;
  }

  #turned(): void {
    if (this.status === "online") {
      // Also for what a tab that is gone has left behind.
      void this.#marks.load().then(() => this.#marks.resume());
    } else {
      this.#marks.lost();
      this.#marks.pump();
    }
  }

  /** Looks at the network, the page and the other tabs; the returned function ends that. */
  #watch(): () => void {
    const unwatch = this.#storage.watch?.((key, value) => this.#marks.changed(key, value));
    const page = globalThis.document;
    const online = () => {
      this.#stream.hurry();
      this.#marks.resume();
    };
    // A page that was put to sleep may have missed that its connection broke.
    const shown = () => {
      if (page.visibilityState === "visible") online();
    };
    const offline = () => this.#stream.lost("the browser is offline");
    if (page) {
      addEventListener("online", online);
      addEventListener("offline", offline);
      page.addEventListener("visibilitychange", shown);
    }
    return () => {
      unwatch?.();
      if (!page) return;
      removeEventListener("online", online);
      removeEventListener("offline", offline);
      page.removeEventListener("visibilitychange", shown);
    };
  }

  // What is kept. Ids hold no spaces, so no two keys are alike.

  get #positionKey(): string {
    return `seenby ${this.userId} ${this.#deviceId} position`;
  }

  /** Runs to its end at once where the storage is synchronous. */
  async #load(given: string | undefined): Promise<void> {
    const key = `seenby ${this.userId} device`;
    if (given === undefined) {
      const got = this.#shelf.get(key);
      const known = isPromise(got) ? await got : got;
      this.#deviceId = known || randomId();
      if (!known) void this.#shelf.set(key, this.#deviceId);
    } else {
      this.#deviceId = given;
    }
    const got = this.#shelf.get(this.#positionKey);
    this.#stream.cursor.handled = positionIn(isPromise(got) ? await got : got);
    await this.#marks.load();
  }

  /** Another tab may be further already; only a reset moves back what is stored. */
  #store(position: Position, reset: boolean): void {
    const busy = this.#storing;
    this.#storing = position;
    this.#movesBack ||= reset;
    if (!busy) void this.#write();
  }

  async #write(): Promise<void> {
    let position: Position | undefined;
    while (position !== this.#storing && (position = this.#storing)) {
      const got = this.#shelf.get(this.#positionKey);
      const stored = positionIn(isPromise(got) ? await got : got);
      const further = stored?.epoch === position.epoch && stored.seq >= position.seq;
      if (further && !this.#movesBack) continue;
      this.#movesBack = false;
      const set = this.#shelf.set(this.#positionKey, JSON.stringify(position));
      if (isPromise(set)) await set;
    }
    this.#storing = undefined;
  }
}

/** Works on a page without TLS as well, where randomUUID() does not. */
function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Pieces of up to 100 that fit into an address: servers take 8 KiB, and an id may need 192. */
function inAddresses(msg_ids: readonly string[]): string[][] {
  const pieces: string[][] = [];
  let room = 0;
  for (const msg_id of new Set(msg_ids)) {
    const length = encodeURIComponent(msg_id).length + "&msg_id=".length;
    if (room < length || pieces.at(-1)?.length === 100) {
      pieces.push([]);
      room = 7000;
    }
    pieces.at(-1)?.push(msg_id);
    room -= length;
  }
  return pieces;
}

function positionIn(text: string | null): Position | undefined {
  try {
    const { epoch, seq } = JSON.parse(text ?? "null") as Position;
    return typeof epoch === "string" && Number.isSafeInteger(seq) ? { epoch, seq } : undefined;
  } catch {
    return undefined;
  }
}
