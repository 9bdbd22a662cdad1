// @ts-check
// One device of one person: its client, its network, and what it knows. Everything it knows of
// receipts has come through its own client; what the other devices know is not looked at.

import { Seenby } from "/page/seenby.js";

import { Network } from "./demo-network.js";

/** @typedef {import("./demo-chat.js").Chat} Chat */
/** @typedef {import("./demo-chat.js").Message} Message */
/** @typedef {import("./demo-frames.js").Frames} Frames */
/** @typedef {import("./demo-visit.js").Visit} Visit */
/** @typedef {"own" | "unread" | "waiting" | "read"} Fate of a message on this device */

/**
 * What is kept over a reload: a device without a network cannot ask.
 *
 * @typedef {object} Kept
 * @property {boolean} on
 * @property {string[]} received ids of messages
 * @property {string[]} read those of others that this user has read
 * @property {Record<string, { read: number, at?: number }>} counts by own message
 */

/** @type {Kept} */
const NEW = { on: true, received: [], read: [], counts: {} };

export class Device {
  /** Called when there is something new to show. */
  changed = () => {};
  /** @type {{ status: string, reason?: string }} */
  status = { status: "idle" };
  #visit;
  #chat;
  #received;
  #read;
  #counts;
  #asked = false;
  /** @type {Set<string>} what was read since the last question */
  #since = new Set();

  /**
   * @param {{ person: string, kind: "Phone" | "Laptop" }} who
   * @param {Chat} chat
   * @param {Visit} visit
   * @param {Frames} frames
   * @param {(gateway: string | undefined) => void} missed see Network
   */
  constructor({ person, kind }, chat, visit, frames, missed) {
    this.person = person;
    this.kind = kind;
    this.name = `${person}'s ${kind.toLowerCase()}`;
    this.userId = visit.idOf(person);
    this.#visit = visit;
    this.#chat = chat;
    const kept = visit.load(this.name, NEW);
    this.#received = new Set(kept.received);
    this.#read = new Set(kept.read);
    this.#counts = new Map(Object.entries(kept.counts));
    this.network = new Network(kept.on, missed);
    this.client = new Seenby({
      userId: this.userId,
      deviceId: kind.toLowerCase(),
      storage: visit.storage,
      WebSocket: this.network.WebSocket,
      fetch: this.network.fetch,
    });
    this.#listen(frames);
  }

  start() {
    this.client.connect();
  }

  /** @param {boolean} on */
  turn(on) {
    this.network.turn(on);
    if (on) {
      this.#chat.deliver(this);
      // The client may be waiting for its next attempt: a real device would tell it, too.
      if (this.client.status === "waiting") void this.client.close().then(() => this.start());
    }
    this.#save();
  }

  /** @param {readonly Message[]} messages */
  receive(messages) {
    for (const { msg_id } of messages) this.#received.add(msg_id);
    this.#save();
  }

  /** The messages that have arrived here, in order. */
  get messages() {
    return this.#chat.messages.filter(({ msg_id }) => this.#received.has(msg_id));
  }

  get unread() {
    return this.messages.filter((message) => this.fate(message) === "unread");
  }

  /** How many marks wait for the network. */
  get waiting() {
    return this.client.pending.length;
  }

  /** @param {Message} message @returns {Fate} */
  fate({ msg_id, sender_id }) {
    if (sender_id === this.userId) return "own";
    if (this.#read.has(msg_id)) return "read";
    return this.client.pending.some((mark) => mark.msg_id === msg_id) ? "waiting" : "unread";
  }

  /** How many have read an own message, as far as this device knows. @param {string} msg_id */
  count(msg_id) {
    return this.#counts.get(msg_id) ?? { read: 0 };
  }

  /** Marks one message as read; may be asked again. @param {Pick<Message, "msg_id">} mark */
  mark({ msg_id }) {
    const message = this.#chat.messages.find((one) => one.msg_id === msg_id);
    const { sender_id, conversation_id } = /** @type {Message} */ (message);
    const conversation_type = this.#chat.type;
    const marked = this.client.mark({ msg_id, sender_id, conversation_id, conversation_type });
    this.changed();
    return marked;
  }

  markAll() {
    for (const message of this.unread) void this.mark(message);
  }

  /** @param {string} text */
  write(text) {
    return this.#chat.send(this.userId, text);
  }

  /** @param {Frames} frames */
  #listen(frames) {
    const { client } = this;
    client.on("frame", (frame) => frames.passed(this.name, frame));
    client.on("status", (status) => {
      this.status = status;
      if (status.status === "online" && !this.#asked) void this.#ask();
      this.changed();
    });
    client.on("reset", async () => {
      await this.#chat.again();
      await this.#ask();
    });
    client.on("marked", ({ msg_id }) => this.#know(msg_id));
    client.on("read_self", ({ msg_id }) => this.#know(msg_id));
    client.on("read_receipt", ({ msg_id, read, read_at }) => this.#counted(msg_id, read, read_at));
    client.on("read_count", ({ msg_id, read }) => this.#counted(msg_id, read));
    // What went wrong for good is shown by the status, and everything else is tried again.
    client.on("error", () => this.changed());
    client.on("refused", () => this.changed());
  }

  /** @param {string} msg_id of a message that this user has read, here or elsewhere */
  #know(msg_id) {
    this.#read.add(msg_id);
    this.#since.add(msg_id);
    this.#save();
  }

  /** @param {string} msg_id @param {number} [read] @param {number} [at] */
  #counted(msg_id, read = 0, at) {
    if (read <= this.count(msg_id).read) return;
    this.#counts.set(msg_id, { read, ...(at !== undefined && { at }) });
    this.#save();
  }

  /** What is true now: for the beginning, and where the stream has a gap. */
  async #ask() {
    this.#asked = false;
    const since = (this.#since = new Set());
    // What seenby has not been told of yet is in none of its answers.
    const told = this.#chat.messages.filter(({ of }) => of !== undefined);
    const own = told.filter(({ sender_id }) => sender_id === this.userId);
    const others = told.filter(({ sender_id }) => sender_id !== this.userId);
    try {
      const [counts, unread] = await Promise.all([
        this.client.receipts(own.slice(-100).map(({ msg_id }) => msg_id)),
        others.length ? this.client.unread({ conversation_id: this.#chat.id, limit: 1000 }) : null,
      ]);
      this.#asked = true;
      for (const { msg_id, count } of counts) {
        if (count !== this.count(msg_id).read) this.#counts.set(msg_id, { read: count });
      }
      const left = new Set(unread?.messages.map(({ msg_id }) => msg_id));
      for (const { msg_id } of others) {
        if (!left.has(msg_id)) this.#read.add(msg_id);
        // An answer may be older than what has come meanwhile.
        else if (!since.has(msg_id)) this.#read.delete(msg_id);
      }
      this.#save();
    } catch {
      // Asked again with the next connection.
    }
  }

  #save() {
    this.#visit.save(this.name, {
      on: this.network.on,
      received: [...this.#received],
      read: [...this.#read],
      counts: Object.fromEntries(this.#counts),
    });
    this.changed();
  }
}
