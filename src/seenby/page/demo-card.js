// @ts-check
// What a person sees of a device, and does with it. One device at a time is looked at: only there
// does a message count as read by being seen.

import { readOnVisible } from "/page/seenby.js";

/** @typedef {import("./demo-chat.js").Message} Message */
/** @typedef {import("./demo-device.js").Device} Device */

/** From so many on a bar is shown as well. */
const CROWD = 100;

const FATES = { own: "", unread: "unread", waiting: "read, waits for the network", read: "read" };

const STATUS = {
  idle: "Connecting",
  connecting: "Connecting",
  online: "Network on",
  waiting: "Connecting",
  closed: "Closed",
};

/** Words for <seen-by>, as long as there is room for them. */
const TEXTS = {
  /** @param {string} read @param {string} [of] */
  some: (read, of) => (of === undefined ? `Read by ${read}` : `Read by ${read} of ${of}`),
  /** @param {string} of */
  all: (of) => `Read by ${of} of ${of}`,
};

/** @type {Card | undefined} */
let looking;

export class Card {
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  /** @type {Map<string, number>} how many have read it, as it was shown last */
  #shown = new Map();
  #device;
  #named;
  #part;
  #drawn = false;

  /** @param {Device} device @param {(user_id: string) => string} nameOf */
  constructor(device, nameOf) {
    this.#device = device;
    this.#named = nameOf;
    this.element = copyOf("device-template");
    this.#part = partsOf(this.element);
    const { kind, name } = device;
    const part = this.#part;
    this.element.setAttribute("aria-label", name);
    this.element.classList.add(kind.toLowerCase());
    part.title.textContent = kind;
    part.switch.setAttribute("aria-label", `Network of ${name}`);
    part.screen.setAttribute("aria-label", `Messages on ${name}`);
    part.text.setAttribute("aria-label", `Write as ${device.person}, on ${name}`);
    this.watcher = readOnVisible(device, {
      mark: (row) => ({ msg_id: row.getAttribute("data-message") ?? "" }),
      root: part.screen,
    });
    // Whoever scrolls away looks away.
    new IntersectionObserver(([seen]) => {
      if (looking === this && !seen?.isIntersecting) look(undefined);
    }).observe(part.screen);
    part.look.addEventListener("click", () => look(looking === this ? undefined : this));
    part.mark.addEventListener("click", () => device.markAll());
    part.switch.addEventListener("click", () => device.turn(!device.network.on));
    part.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = part.text.value.trim();
      if (!text || !device.network.on) return;
      part.text.value = "";
      device.write(text);
    });
    device.changed = () => this.#plan();
    this.#draw();
  }

  /** All changes of one moment are drawn at once. */
  #plan() {
    if (!this.#drawn) return;
    this.#drawn = false;
    queueMicrotask(() => this.#draw());
  }

  #draw() {
    this.#drawn = true;
    const device = this.#device;
    const part = this.#part;
    const { on } = device.network;
    for (const message of device.messages) this.#drawMessage(message);
    const unread = device.unread.length;
    part.badge.hidden = !unread;
    part.badge.replaceChildren(String(unread), unseen(" unread"));
    part.mark.disabled = !unread;
    part.switch.setAttribute("aria-checked", String(on));
    part.text.disabled = part.send.disabled = !on;
    this.element.classList.toggle("off", !on);
    this.element.classList.toggle("looking", looking === this);
    part.look.setAttribute("aria-pressed", String(looking === this));
    part.look.textContent = looking === this ? "Looking" : "Look";
    part.state.textContent = this.#state();
  }

  #state() {
    const { network, status, waiting } = this.#device;
    if (!network.on) {
      const marks = waiting === 1 ? "1 mark waits" : `${waiting} marks wait`;
      return waiting ? `Network off, ${marks}` : "Network off";
    }
    const word = STATUS[/** @type {keyof typeof STATUS} */ (status.status)];
    return status.status === "closed" && status.reason ? `${word}: ${status.reason}` : word;
  }

  /** @param {Message} message */
  #drawMessage(message) {
    const fate = this.#device.fate(message);
    const known = this.#rows.get(message.msg_id);
    const row = known ?? this.#newRow(message, fate);
    if (fate === "own") {
      this.#drawTicks(message, row);
      one(row, ".fate").textContent = message.of === undefined ? "Sending …" : "";
    } else if (row.dataset["fate"] !== fate) {
      row.dataset["fate"] = fate;
      one(row, ".fate").textContent = FATES[fate];
      if (looking === this) this.watch();
    }
    if (message.refused) one(row, ".fate").textContent = `Not taken: ${message.refused}`;
    if (!known) this.#part.screen.scrollTop = this.#part.screen.scrollHeight;
  }

  /** @param {Message} message @param {string} fate */
  #newRow(message, fate) {
    const row = copyOf("message-template");
    row.dataset["message"] = message.msg_id;
    row.classList.toggle("own", fate === "own");
    const from = fate === "own" ? "You" : this.#named(message.sender_id);
    one(row, ".from").textContent = from;
    one(row, ".bubble").textContent = message.text;
    if (fate === "own") {
      const ticks = document.createElement("seen-by");
      const { read, at } = this.#device.count(message.msg_id);
      // What is known before the client has asked.
      ticks.msgId = message.msg_id;
      ticks.read = read;
      ticks.readAt = at;
      ticks.texts = TEXTS;
      // One of the two is enough for whoever listens.
      ticks.announce = this.#device.kind === "Phone";
      ticks.nameOf = this.#named;
      ticks.client = this.#device.client;
      one(row, ".mine").append(ticks);
    }
    this.#rows.set(message.msg_id, row);
    this.#part.list.append(row);
    return row;
  }

  /** @param {Message} message @param {HTMLElement} row */
  #drawTicks({ msg_id, of }, row) {
    const ticks = row.querySelector("seen-by");
    if (!ticks) return;
    ticks.hidden = of === undefined;
    if (of === undefined) return;
    ticks.of = of;
    const { read } = this.#device.count(msg_id);
    if (read > (this.#shown.get(msg_id) ?? read)) flash(one(row, ".mine"));
    this.#shown.set(msg_id, read);
    if (of < CROWD) return;
    const bar = row.querySelector("progress") ?? document.createElement("progress");
    bar.max = of;
    bar.value = read;
    bar.setAttribute("aria-label", "Read by");
    if (!bar.parentElement) one(row, ".mine").append(bar);
  }

  /** As chats do, it begins at the first message that is unread. */
  begin() {
    const first = one(this.element, "ol").querySelector('[data-fate="unread"]');
    if (first instanceof HTMLElement) this.#part.screen.scrollTop = first.offsetTop;
    this.watch();
  }

  /** Looks at what is unread here. */
  watch() {
    for (const row of this.#rows.values()) {
      if (row.dataset["fate"] === "unread") this.watcher.observe(row);
    }
  }

  redraw() {
    this.#plan();
  }
}

/** @param {Card | undefined} card */
function look(card) {
  const before = looking;
  looking = card;
  before?.watcher.disconnect();
  before?.redraw();
  card?.begin();
  card?.redraw();
}

/** What has changed is seen from afar, unless motion is unwelcome. @param {HTMLElement} element */
function flash(element) {
  element.classList.remove("told");
  // Its style is computed in between: an animation begins where a class is new.
  void element.offsetWidth;
  element.classList.add("told");
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") look(undefined);
});

/** @param {HTMLElement} card */
function partsOf(card) {
  return {
    title: one(card, "h4"),
    badge: one(card, ".badge"),
    switch: one(card, ".switch"),
    screen: one(card, ".screen"),
    list: one(card, "ol"),
    state: one(card, ".state"),
    look: one(card, ".look"),
    mark: /** @type {HTMLButtonElement} */ (one(card, ".mark")),
    form: one(card, "form"),
    text: /** @type {HTMLInputElement} */ (one(card, "input")),
    send: /** @type {HTMLButtonElement} */ (one(card, ".send")),
  };
}

/** @param {ParentNode} within @param {string} selector @returns {HTMLElement} */
export function one(within, selector) {
  const found = within.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`there is no ${selector}`);
  return found;
}

/** @param {string} id @returns {HTMLElement} */
export function copyOf(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  const copy = document.importNode(template.content, true).firstElementChild;
  return /** @type {HTMLElement} */ (copy);
}

/** @param {string} text read by screen readers, seen by nobody */
function unseen(text) {
  const made = document.createElement("span");
  made.className = "unseen";
  made.textContent = text;
  return made;
}
