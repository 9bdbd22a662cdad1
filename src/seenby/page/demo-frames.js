// @ts-check
// The list of frames as they pass: bounded, and still while it is paused. Nothing of it is read out
// unasked: it is a log that is not live.

const MOST = 200;
const SHOWN_CHARACTERS = 400;

/**
 * @typedef {object} Frame
 * @property {"in" | "out"} direction as the device sees it
 * @property {string} who the device
 * @property {string} type
 * @property {string} text
 * @property {number} at milliseconds since the Unix epoch
 */

export class Frames {
  /** @type {Frame[]} the newest last; what waits while the list is paused */
  #waiting = [];
  #paused = false;
  #planned = false;
  #count = 0;
  #list = /** @type {HTMLElement} */ (document.getElementById("frames-list"));
  #name = /** @type {HTMLElement} */ (document.querySelector(".frames-name"));
  #last = /** @type {HTMLElement} */ (document.querySelector(".frames-last"));

  constructor() {
    const pause = /** @type {HTMLElement} */ (document.getElementById("frames-pause"));
    pause.addEventListener("click", () => {
      this.#paused = !this.#paused;
      pause.setAttribute("aria-pressed", String(this.#paused));
      this.#plan();
    });
  }

  /** A frame of a socket. @param {string} who @param {{ direction: "in" | "out", text: string, at: number }} frame */
  passed(who, { direction, text, at }) {
    this.#add({ direction, who, type: typeOf(text), text, at });
  }

  /** A request of the chat's backend. @param {string} what @param {unknown} body */
  asked(what, body) {
    const text = JSON.stringify(body);
    this.#add({ direction: "out", who: "The chat", type: what, text, at: Date.now() });
  }

  /** @param {Frame} frame */
  #add(frame) {
    this.#count++;
    this.#waiting.push(frame);
    if (this.#waiting.length > MOST) this.#waiting.shift();
    this.#plan();
  }

  /** Many frames of one moment are drawn at once. */
  #plan() {
    if (this.#planned || this.#paused) return;
    this.#planned = true;
    requestAnimationFrame(() => {
      this.#planned = false;
      if (!this.#paused) this.#draw();
    });
  }

  #draw() {
    const last = this.#waiting.at(-1);
    if (!last) return;
    this.#list.prepend(...this.#waiting.splice(0).reverse().map(row));
    while (this.#list.childElementCount > MOST) this.#list.lastElementChild?.remove();
    this.#name.textContent = `Frames (${this.#count.toLocaleString("en")})`;
    this.#last.replaceChildren(...parts(last));
  }
}

/** @param {Frame} frame */
function row(frame) {
  const item = document.createElement("li");
  item.append(span("frame-time", new Date(frame.at).toLocaleTimeString("en-GB")), ...parts(frame));
  return item;
}

/** @param {Frame} frame */
function parts({ direction, who, type, text }) {
  const arrow = span(`frame-arrow ${direction}`, direction === "in" ? "←" : "→");
  arrow.setAttribute("aria-hidden", "true");
  const way = span("unseen", direction === "in" ? "received by" : "sent by");
  const short = text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)} …` : text;
  return [arrow, way, span("frame-who", who), span("frame-type", type), span("frame-text", short)];
}

/** @param {string} name @param {string} text */
function span(name, text) {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}

/** @param {string} text */
function typeOf(text) {
  try {
    return String(JSON.parse(text).type);
  } catch {
    return "?";
  }
}
