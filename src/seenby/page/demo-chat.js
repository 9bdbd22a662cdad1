// @ts-check
// One conversation: its messages, and how they get from device to device. In a real chat that is
// the chat's work; here the page does it. seenby is told of each message, and carries none.

import { randomId } from "./demo-visit.js";

/** @typedef {import("./demo-backend.js").Backend} Backend */
/** @typedef {import("./demo-device.js").Device} Device */
/** @typedef {import("./demo-visit.js").Visit} Visit */

/**
 * @typedef {object} Message
 * @property {string} msg_id
 * @property {string} conversation_id
 * @property {string} sender_id
 * @property {number} sent_at unix seconds
 * @property {string} text
 * @property {number} [of] to how many it was sent; missing until seenby has been told of it
 * @property {string} [refused] why seenby does not take it
 */

export class Chat {
  /** @type {Device[]} */
  devices = [];
  #visit;
  #backend;
  /** @type {Message[]} */
  #messages;
  /** @type {Promise<void>} all that seenby is to be told, in order */
  #telling = Promise.resolve();
  /** @type {(() => Promise<void>) | undefined} */
  #open;
  /** How often all of it is being said. */
  #busy = 0;

  /**
   * @param {string} name
   * @param {"private" | "group"} type
   * @param {Visit} visit
   * @param {Backend} backend
   */
  constructor(name, type, visit, backend) {
    this.name = name;
    this.type = type;
    this.id = visit.idOf(name);
    this.#visit = visit;
    this.#backend = backend;
    this.#messages = visit.load(`chat ${name}`, []);
  }

  get messages() {
    return this.#messages;
  }

  /**
   * Tells seenby who is in it, and of all messages so far: once more after a reload, which does no
   * harm.
   *
   * @param {() => Promise<void>} [open] says who
   */
  open(open = () => this.#backend.open(this.id, this.type, this.members)) {
    this.#open = open;
    this.#busy++;
    // If that is refused so is each message, and then it is seen why.
    this.#telling = this.#telling.then(open).catch(() => undefined);
    for (const message of this.#messages) this.#tell(message);
    this.#telling = this.#telling.then(() => {
      this.#busy--;
    });
  }

  /** seenby has lost its place, perhaps with its database: all of it is said again. */
  again() {
    if (this.#open && !this.#busy) this.open(this.#open);
    return this.#telling;
  }

  /** When seenby knows all that was written so far. */
  told() {
    return this.#telling;
  }

  get members() {
    return [...new Set(this.devices.map((device) => device.userId))];
  }

  /** @param {string} sender_id @param {string} text */
  send(sender_id, text) {
    const msg_id = `m-${randomId(8)}`;
    const sent_at = Math.floor(Date.now() / 1000);
    const message = { msg_id, conversation_id: this.id, sender_id, sent_at, text };
    this.#messages.push(message);
    this.#save();
    for (const device of this.devices) this.deliver(device);
    if (this.#open) this.#tell(message);
    return message;
  }

  /** All that a device has missed, if it can be reached. @param {Device} device */
  deliver(device) {
    if (device.network.on) device.receive(this.#messages);
  }

  /** @param {Message} message */
  #tell(message) {
    this.#telling = this.#telling.then(() => this.#register(message));
  }

  /** @param {Message} message */
  async #register(message) {
    const { msg_id, conversation_id, sender_id, sent_at } = message;
    try {
      message.of = await this.#backend.register({ msg_id, conversation_id, sender_id, sent_at });
    } catch (error) {
      message.refused = error instanceof Error ? error.message : String(error);
    }
    this.#save();
    for (const device of this.devices) device.changed();
  }

  #save() {
    this.#visit.save(`chat ${this.name}`, this.#messages);
  }
}
