// @ts-check
// A user: the stream, each device and how far it is, and the newest events.

import { age, badge, counted, fact, id, make, moment, row, wideTable } from "./inspect-parts.js";

/** @import { DeviceSight, EventSight, SessionSight, UserSight } from "./inspect-api.js" */

/** @type {Record<string, string>} */
const TOLD = {
  read_receipt: "read",
  read_count: "a count of readers",
  read_withdrawn: "made unread again",
  read_self: "for the own devices",
  unread_self: "for the own devices",
  erased: "erased",
};

/**
 * @param {UserSight} user
 * @param {string} now
 * @param {(msg_id: string) => Node} link leads to a message
 */
export function userPart(user, now, link) {
  const facts = make(
    "dl",
    { class: "card facts" },
    fact("User", id(user.user_id)),
    fact("Newest event", String(user.head)),
    fact("Kept from", String(user.floor + 1)),
    fact("Partition", String(user.partition)),
    fact("Epoch", id(user.epoch)),
  );
  const devices = wideTable(
    counted(user.devices.length, "device", "devices"),
    ["Device", "Acknowledged", "Behind", "Connected to", "Last seen"],
    user.devices.map((device) => deviceRow(device, now)),
  );
  const events = wideTable(
    "Newest events",
    ["Number", "What", "Message", "Reader", "When"],
    user.recent.map((event) => eventRow(event, link)),
  );
  return [
    facts,
    make("div", { class: "card" }, devices),
    ...(user.recent.length ? [make("div", { class: "card" }, events)] : []),
  ];
}

/** @param {UserSight} user */
export function userInWords(user) {
  const online = user.devices.filter((device) => device.sessions.length).length;
  const behind = user.devices.filter((device) => device.behind).length;
  if (!user.head && !user.devices.length) return "Nothing is known of this user.";
  return (
    `${counted(user.devices.length, "device", "devices")}: ${online} connected, ` +
    `${behind} behind.`
  );
}

/** @param {DeviceSight} device @param {string} now */
function deviceRow(device, now) {
  const { device_id, seq, behind, sessions } = device;
  return row(
    device_id ? id(device_id) : make("em", {}, "without a name"),
    seq === null ? "–" : String(seq),
    behind === null ? "–" : behind ? badge(String(behind), "warn") : badge("nothing", "good"),
    sessions.length
      ? make("ul", { class: "sessions" }, ...sessions.map((each) => sessionItem(each, now)))
      : badge("offline"),
    device.last_seen_at === null ? "–" : make("span", {}, age(device.last_seen_at, now), " ago"),
  );
}

/** @param {SessionSight} session @param {string} now */
function sessionItem(session, now) {
  return make(
    "li",
    {},
    id(session.node),
    " for ",
    age(session.connected_at, now),
    `, pushed up to ${session.position}`,
    session.state === "live" ? "" : `, ${session.state.replace("_", " ")}`,
    session.silent ? ", silent" : "",
  );
}

/** @param {EventSight} event @param {(msg_id: string) => Node} link */
function eventRow(event, link) {
  return row(
    String(event.seq),
    TOLD[event.type] ?? event.type,
    event.msg_id === null ? "–" : link(event.msg_id),
    event.reader_id === null ? "–" : id(event.reader_id),
    moment(event.at),
  );
}
