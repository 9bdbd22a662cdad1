// @ts-check
// The chat's own backend, which in a real chat is a server: it tells seenby who is in a
// conversation, and which messages were sent there. All of it may be said twice without harm, so
// what could not be said is said again until it is heard.

/** @typedef {import("./demo-frames.js").Frames} Frames */

const PAUSE_MS = 500;
const PAUSE_MAX_MS = 4_000;

/** What seenby will never accept. */
export class Refused extends Error {}

export class Backend {
  #frames;

  /** @param {Frames} frames */
  constructor(frames) {
    this.#frames = frames;
  }

  /** @param {string} conversation_id @param {"private" | "group"} type @param {string[]} members */
  async open(conversation_id, type, members) {
    const path = `/api/v1/conversations/${encodeURIComponent(conversation_id)}`;
    await this.#insist("PUT", path, { type, members });
  }

  /** @param {string} conversation_id @param {string[]} members who come */
  async add(conversation_id, members) {
    const path = `/api/v1/conversations/${encodeURIComponent(conversation_id)}/members`;
    await this.#insist("POST", path, { add: members });
  }

  /**
   * @param {{ msg_id: string, conversation_id: string, sender_id: string, sent_at: number }} message
   * @returns {Promise<number>} to how many it was sent
   */
  async register(message) {
    return (await this.#insist("POST", "/api/v1/messages", message)).member_count;
  }

  /** Some readers, each on a device of their own. @param {{ msg_id: string, reader_id: string }[]} receipts */
  async read(receipts) {
    await this.#insist("POST", "/api/v1/messages/read/batch", { receipts });
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} body
   * @returns {Promise<any>} the answer; throws Refused
   */
  async #insist(method, path, body) {
    this.#frames.asked(`${method} ${path}`, body);
    for (let pause = PAUSE_MS; ; pause = Math.min(pause * 2, PAUSE_MAX_MS)) {
      try {
        const response = await fetch(path, {
          method,
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(body),
        });
        const answer = await response.json();
        if (response.ok) return answer;
        if (response.status < 500 && response.status !== 429) throw new Refused(answer.error);
      } catch (error) {
        if (error instanceof Refused) throw error;
        // seenby is away: it will be back.
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}
