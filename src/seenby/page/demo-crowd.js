// @ts-check
// The crowd of the town hall: registered when it is first needed, and reading in batches over some
// seconds, as people do who get a notification at the same time.

import { one } from "./demo-card.js";

/** @typedef {import("./demo-backend.js").Backend} Backend */
/** @typedef {import("./demo-chat.js").Chat} Chat */
/** @typedef {import("./demo-chat.js").Message} Message */
/** @typedef {import("./demo-device.js").Device} Device */
/** @typedef {import("./demo-visit.js").Visit} Visit */

const SIZE = 2_000;
const PIECE = 500;
const BATCH = 100;
const PAUSE_MS = 200;

const number = new Intl.NumberFormat("en");

export class Crowd {
  #go = /** @type {HTMLButtonElement} */ (one(document, "#crowd-go"));
  #state = one(document, "#crowd-state");
  #made = one(document, "#crowd-made");
  #chat;
  #backend;
  #readers;
  #sender;

  /**
   * @param {Chat} chat
   * @param {Device} sender
   * @param {Visit} visit
   * @param {Backend} backend
   */
  constructor(chat, sender, visit, backend) {
    this.#chat = chat;
    this.#sender = sender;
    this.#backend = backend;
    this.#readers = Array.from({ length: SIZE }, (_, n) => visit.idOf(`crowd-${n + 1}`));
    one(document, ".crowd-size").textContent = number.format(SIZE);
    this.#go.textContent = `Let ${number.format(SIZE)} people read`;
    this.#go.addEventListener("click", () => void this.#gather());
    // Hana's messages of before a reload are known to seenby only if the crowd is.
    if (chat.messages.some(({ of }) => of !== undefined)) void chat.open(() => this.#register());
  }

  async #gather() {
    this.#go.disabled = true;
    try {
      await this.#chat.open(() => this.#register());
      for (const message of await this.#unread()) await this.#read(message);
      this.#state.textContent = `All ${number.format(SIZE)} have read it. Write again as Hana, and they will read that.`;
    } catch (error) {
      this.#state.textContent = `It did not work: ${error instanceof Error ? error.message : error}`;
    }
    this.#go.disabled = false;
  }

  async #register() {
    const first = [this.#sender.userId, ...this.#readers.slice(0, PIECE)];
    await this.#backend.open(this.#chat.id, this.#chat.type, first);
    for (let n = PIECE; n < SIZE; n += PIECE) {
      this.#state.textContent = `Registered: ${number.format(n)} of ${number.format(SIZE)} members.`;
      await this.#backend.add(this.#chat.id, this.#readers.slice(n, n + PIECE));
    }
  }

  /** What not all have read; where there is nothing, Hana writes once more. */
  async #unread() {
    const { messages } = this.#chat;
    const all = () =>
      messages.filter(({ msg_id }) => this.#sender.count(msg_id).read < SIZE);
    if (!all().length) this.#chat.send(this.#sender.userId, "A reminder: today at ten.");
    return all();
  }

  /** @param {Message} message */
  async #read({ msg_id, sender_id, conversation_id }) {
    this.#state.textContent = "A hundred marks at a time, and Hana is told once a second.";
    this.#made.textContent = "0";
    for (let n = 0; n < SIZE; n += BATCH) {
      const readers = this.#readers.slice(n, n + BATCH);
      await this.#backend.read(
        readers.map((reader_id) => ({
          msg_id,
          reader_id,
          sender_id,
          conversation_id,
          conversation_type: "group",
        })),
      );
      this.#made.textContent = number.format(n + readers.length);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
