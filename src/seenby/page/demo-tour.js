// @ts-check
// What to try, one thing after the other: a button for each, of which the next one stands out, and a
// sentence on what has happened. It does nothing that cannot be done on the devices themselves, and
// it notices what was done there.

import { one } from "./demo-card.js";

/** @typedef {import("./demo-chat.js").Chat} Chat */
/** @typedef {import("./demo-device.js").Device} Device */
/** @typedef {import("./demo-visit.js").Visit} Visit */

/** One thing is seen after the other. */
const PAUSE_MS = 700;

/** In the order in which they are offered: the ids of their buttons. */
const STEPS = ["try-read", "try-offline", "try-group", "crowd-go"];

const DONE = "tour";
const AWAY = "tour away";

export class Tour {
  #visit;
  #couple;
  #group;
  /** @type {Set<string>} */
  #done;
  /** Whether Ann's phone has been away since Bob was told to read. */
  #away;

  /** @param {Chat} couple @param {Chat} group @param {Visit} visit */
  constructor(couple, group, visit) {
    this.#visit = visit;
    this.#couple = couple;
    this.#group = group;
    this.#done = new Set(visit.load(DONE, []));
    this.#away = visit.load(AWAY, false);
    onClick("try-read", () => this.#read());
    onClick("try-offline", () => this.#offline());
    onClick("try-group", () => this.#readAll());
    onClick("crowd-go", async () => this.#did("crowd-go"));
    for (const device of couple.devices) follow(device, () => this.#tellOfCouple());
    for (const device of group.devices) follow(device, () => this.#tellOfGroup());
    this.#tellOfCouple();
    this.#tellOfGroup();
    this.#offer();
  }

  async #read() {
    this.#remember(false);
    const [, laptop, bob] = this.#couple.devices;
    await exchange(laptop, bob, "And will you bring cake?");
  }

  async #offline() {
    const [phone, laptop, bob] = this.#couple.devices;
    if (!phone) return;
    if (!phone.network.on) {
      phone.turn(true);
      return;
    }
    phone.turn(false);
    await pause();
    await exchange(laptop, bob, "My phone has no network here.");
  }

  async #readAll() {
    const [cleo, ...others] = this.#group.devices.filter(({ kind }) => kind === "Phone");
    if (!cleo || others.every((device) => !device.unread.length)) cleo?.write("And at what time?");
    for (const device of others) {
      await pause();
      device.markAll();
    }
  }

  #tellOfCouple() {
    const [phone, laptop] = this.#couple.devices;
    if (!phone || !laptop) return;
    const on = phone.network.on;
    if (!on) this.#remember(true);
    say("try-offline", on ? "Take Ann’s phone offline" : "Bring Ann’s phone back");
    const level = phone.status.status === "online" && readOn(phone) >= readOn(laptop);
    if (!on) {
      say("private-story", "Ann’s phone is offline. What Bob reads now, only her laptop is told.");
    } else if (this.#away && level) {
      say("private-story", "Ann’s phone is back and has caught up: it knows all that was read.");
      this.#did("try-offline");
    } else if (readOn(phone) && !this.#away) {
      say("private-story", "Bob has read it, and both of Ann’s devices were told.");
      this.#did("try-read");
    } else if (!this.#away) {
      say("private-story", "Ann has written to Bob, who has not read it yet.");
    }
  }

  #tellOfGroup() {
    const [cleo] = this.#group.devices;
    if (!cleo) return;
    if (readOn(cleo)) {
      say("group-story", "Press “Read by …” on Cleo’s phone to see who it was, and when.");
      this.#did("try-group");
    } else {
      say("group-story", "Cleo has asked four people: how many have read it?");
    }
  }

  /** @param {boolean} away */
  #remember(away) {
    if (away === this.#away) return;
    this.#away = away;
    this.#visit.save(AWAY, away);
  }

  /** @param {string} step */
  #did(step) {
    if (this.#done.has(step)) return;
    this.#done.add(step);
    this.#visit.save(DONE, [...this.#done]);
    this.#offer();
  }

  #offer() {
    const next = STEPS.find((step) => !this.#done.has(step));
    for (const step of STEPS) one(document, `#${step}`).classList.toggle("primary", step === next);
  }
}

/**
 * Something is written, where all else is read, and then it is read.
 *
 * @param {Device | undefined} writer
 * @param {Device | undefined} reader
 * @param {string} text
 */
async function exchange(writer, reader, text) {
  if (!writer || !reader) return;
  for (const device of [writer, reader]) if (!device.network.on) device.turn(true);
  if (!reader.unread.length) {
    writer.write(text);
    await pause();
  }
  reader.markAll();
}

/** How often a device's own messages were read, as far as it knows. @param {Device} device */
function readOn(device) {
  return device.messages.reduce((sum, { msg_id }) => sum + device.count(msg_id).read, 0);
}

/** @param {Device} device @param {() => void} changed called after what it calls already */
function follow(device, changed) {
  const before = device.changed;
  device.changed = () => {
    before();
    changed();
  };
}

/** Presses while it still goes on are none. @param {string} id @param {() => Promise<void>} act */
function onClick(id, act) {
  let busy = false;
  one(document, `#${id}`).addEventListener("click", async () => {
    if (busy) return;
    busy = true;
    await act();
    busy = false;
  });
}

/** What is said already is not read out again. @param {string} id @param {string} text */
function say(id, text) {
  const place = one(document, `#${id}`);
  if (place.textContent !== text) place.textContent = text;
}

function pause() {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
