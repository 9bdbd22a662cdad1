// @ts-check
// The demo page: puts people, devices and chats together, and says when seenby is away.

import "/page/seenby-element.js";

import { advice } from "./demo-advice.js";
import { Backend } from "./demo-backend.js";
import { Card, copyOf, one } from "./demo-card.js";
import { Chat } from "./demo-chat.js";
import { Crowd } from "./demo-crowd.js";
import { Device } from "./demo-device.js";
import { Frames } from "./demo-frames.js";
import { Tour } from "./demo-tour.js";
import { Visit } from "./demo-visit.js";

/** Below this nobody is told that a connection is being made. */
const PATIENCE_MS = 2_500;

const visit = new Visit();
const frames = new Frames();
const backend = new Backend(frames);
/** @type {Map<string, string>} */
const names = new Map();
/** @type {Device[]} */
const devices = [];

/** @param {string} user_id */
function nameOf(user_id) {
  return names.get(user_id) ?? user_id;
}

/**
 * @param {string} place the element's id, and the conversation's name
 * @param {"private" | "group"} type
 * @param {string[]} people
 * @param {string} first what the first of them has written already
 */
function populate(place, type, people, first) {
  const chat = new Chat(place, type, visit, backend);
  for (const person of people) {
    names.set(visit.idOf(person), person);
    const column = copyOf("person-template");
    column.setAttribute("aria-label", person);
    one(column, ".avatar").textContent = person.slice(0, 1);
    one(column, ".person-name").textContent = person;
    for (const kind of /** @type {const} */ (["Phone", "Laptop"])) {
      const device = new Device(
        { person, kind },
        chat,
        visit,
        frames,
        (gateway) => (missing = gateway),
      );
      chat.devices.push(device);
      devices.push(device);
      one(column, ".devices").append(new Card(device, nameOf).element);
    }
    one(document, `#${place}`).append(column);
  }
  if (!chat.messages.length) chat.send(visit.idOf(people[0] ?? ""), first);
  return chat;
}

function begin() {
  one(document, "#chats").hidden = one(document, "#passing").hidden = false;
  const couple = populate(
    "private",
    "private",
    ["Ann", "Bob"],
    "Hi Bob, are you coming on Friday?",
  );
  const group = populate(
    "group",
    "group",
    ["Cleo", "Dan", "Eve", "Finn", "Gina"],
    "Pizza on Friday, who is in?",
  );
  const hall = populate("hall", "group", ["Hana"], "Good morning all! News today at ten.");
  couple.open();
  group.open();
  const [sender] = hall.devices;
  if (sender) {
    const crowd = new Crowd(hall, sender, visit, backend);
    hall.open(() => crowd.register());
  }
  new Tour(couple, group, visit);
  one(document, "#anew").addEventListener("click", () => {
    visit.end();
    location.reload();
  });
  for (const device of devices) device.start();
  setInterval(tellWhoIsAway, 1_000);
}

/** @type {string | undefined} the gateway that cannot be reached */
let missing;
let awaySince = Infinity;

/** seenby is away when no device that has a network gets through. */
function tellWhoIsAway() {
  const trying = devices.filter(({ network }) => network.on);
  const away = trying.length > 0 && trying.every(({ client }) => client.status !== "online");
  awaySince = away ? Math.min(awaySince, Date.now()) : Infinity;
  const place = one(document, "#away");
  const told = !place.hidden;
  place.hidden = Date.now() < awaySince + PATIENCE_MS;
  const text = place.hidden ? "" : sentence();
  if (place.textContent !== text) place.textContent = text;
  if (told && place.hidden) hurry();
  else if (!place.hidden && missing === undefined) void hurryBack();
}

/**
 * Devices wait longer and longer between attempts, and nobody who looks on wants to wait for that.
 * A browser says this of its own network, and clients listen to it.
 */
function hurry() {
  dispatchEvent(new Event("online"));
}

async function hurryBack() {
  try {
    if ((await fetch("/health")).ok) hurry();
  } catch {
    // It is still away.
  }
}

function sentence() {
  const again = "This page goes on trying by itself.";
  if (missing === undefined) return `seenby does not answer. Is it running? ${again}`;
  return `The gateway at ${missing} does not answer this page. ${advice(new URL(missing), location)}`;
}

/** @returns {Promise<{ version: string, auth: "off" | "jwt" }>} */
async function about() {
  for (;;) {
    try {
      return await (await fetch("/page/about.json")).json();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

const { auth } = await about();
if (auth === "off") {
  begin();
} else {
  one(document, "#closed").hidden = false;
}
