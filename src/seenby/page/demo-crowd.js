// @ts-check
// The crowd of the town hall: registered in pieces, and reading in batches over some seconds, as
// people do who are notified at the same time.

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

const MADE = "crowd made";

const number = new Intl.NumberFormat("en");

export class Crowd {
  #go = /** @type {HTMLButtonElement} */ (one(document, "#crowd-go"));
  #state = one(document, "#crowd-state");
  #made = one(document, "#crowd-made");
  #chat;
  #backend;
  #readers;
  #sender;
  #visit;

  /**
   * @param {Chat} chat
   * @param {Device} sender
   * @param {Visit} visit
   * @param {Backend} backend
   */
  constructor(chat, sender, visit, backend) {
    this.#chat = chat;
    this.#sender = sender;
    this.#visit = visit;
    this.#backend = backend;
    this.#readers = Array.from({ length: SIZE }, (_, n) => visit.idOf(`crowd-${n + 1}`));
    for (const place of document.querySelectorAll(".crowd-size")) {
      place.textContent = number.format(SIZE);
    }
    this.#go.textContent = `Let ${number.format(SIZE)} people read`;
    this.#go.addEventListener("click", () => void this.#gather());
    this.#show(visit.load(MADE, 0));
  }

  /** Tells seenby who is in the crowd, in pieces. */
  async register() {
    const first = [this.#sender.userId, ...this.#readers.slice(0, PIECE)];
    await this.#backend.open(this.#chat.id, this.#chat.type, first);
    for (let n = PIECE; n < SIZE; n += PIECE) {
      await this.#backend.add(this.#chat.id, this.#readers.slice(n, n + PIECE));
    }
  }

  async #gather() {
    this.#go.disabled = true;
    this.#state.textContent = "A hundred marks at a time, and Hana is told once a second.";
    try {
      for (const message of this.#unread()) await this.#read(message);
      this.#state.textContent = "All have read it. Write again as Hana, and they will read that.";
    } catch (error) {
      this.#state.textContent = `It did not work: ${error instanceof Error ? error.message : error}`;
    }
    this.#go.disabled = false;
  }

  /** What not all have read; where there is nothing, Hana writes once more. */
  #unread() {
    const left = this.#chat.messages.filter(({ msg_id }) => this.#sender.count(msg_id).read < SIZE);
    return left.length ? left : [this.#chat.send(this.#sender.userId, "A reminder: today at ten.")];
  }

  /** @param {Message} message */
  async #read({ msg_id, sender_id, conversation_id }) {
    await this.#chat.told();
    for (let n = 0; n < SIZE; n += BATCH) {
      this.#show(n);
      const readers = this.#readers.slice(n, n + BATCH);
      await this.#backend.read(
        readers.map((reader_id) => ({ msg_id, reader_id, sender_id, conversation_id })),
      );
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    this.#show(SIZE);
  }

  /** @param {number} made how many of the crowd have read the last message */
  #show(made) {
    this.#made.textContent = number.format(made);
    this.#visit.save(MADE, made);
  }
}
