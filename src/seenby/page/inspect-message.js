// @ts-check
// A message: each of its receipts, and where it is for each device of the sender.

import {
  after,
  age,
  badge,
  counted,
  fact,
  id,
  make,
  moment,
  row,
  wideTable,
} from "./inspect-parts.js";

/** @import { DeviceStep, MessageSight, ReceiptSight } from "./inspect-api.js" */

/** @type {Record<string, [string, "good" | "warn" | "bad" | ""]>} */
const STATES = {
  acknowledged: ["acknowledged", "good"],
  pushed: ["pushed", ""],
  on_its_way: ["on its way", "warn"],
  offline: ["offline", "warn"],
  before: ["had it before, or loaded anew", ""],
  came_later: ["came later", ""],
  other_epoch: ["of another epoch", "warn"],
};

/**
 * @param {MessageSight} message
 * @param {string} now
 * @param {(user_id: string) => Node} link leads to a user
 */
export function messagePart(message, now, link) {
  const { registered } = message;
  const facts = make(
    "dl",
    { class: "card facts" },
    fact("Message", id(message.msg_id)),
    ...(registered
      ? [
          fact("From", link(registered.sender_id)),
          fact("In", id(registered.conversation_id)),
          fact("Sent", moment(registered.sent_at)),
          fact("Read by", `${registered.readers} of ${registered.member_count}`),
        ]
      : [fact("Read by", String(message.count)), fact("Registered", "no")]),
  );
  return [facts, ...message.receipts.map((receipt) => receiptPart(receipt, now, link))];
}

/** @param {MessageSight} message */
export function messageInWords(message) {
  const { receipts, registered, count } = message;
  if (!receipts.length) {
    if (count) return "Only readers who are not named.";
    return registered
      ? "Nobody has read it yet."
      : "Nothing is known of this message: nobody has read it, and it was not registered.";
  }
  const waiting = receipts.filter((each) => each.published.state === "waiting").length;
  const devices = receipts.flatMap((each) => each.devices);
  const done = devices.filter((each) => each.state === "acknowledged").length;
  return (
    `${counted(receipts.length, "receipt", "receipts")}, acknowledged by ${done} of ` +
    `${counted(devices.length, "device", "devices")}` +
    `${waiting ? `; ${waiting} waiting to be published` : ""}.`
  );
}

/** @param {ReceiptSight} receipt @param {string} now @param {(user_id: string) => Node} link */
function receiptPart(receipt, now, link) {
  const { recorded_at, seq } = receipt;
  const title = make(
    "h2",
    {},
    "Read by ",
    link(receipt.reader_id),
    make("span", { class: "muted" }, " for "),
    link(receipt.sender_id),
  );
  const place =
    seq === null ? [] : [make("span", { class: "muted" }, `number ${seq} of the stream`)];
  const way = make(
    "ol",
    { class: "way", "aria-label": "Its way" },
    make("li", {}, make("strong", {}, "Recorded"), moment(recorded_at)),
    make("li", {}, ...published(receipt, now)),
  );
  const card = make("article", { class: "card receipt" }, make("header", {}, title, ...place), way);
  if (seq === null)
    card.append(
      make(
        "p",
        { class: "muted" },
        "No event tells the sender this name: it is no longer kept, or the sender is told a count.",
      ),
    );
  else if (!receipt.devices.length)
    card.append(make("p", { class: "muted" }, "The sender has no device that is known."));
  else {
    const devices = wideTable(
      "Devices of the sender",
      ["Device", "State", "Pushed", "Acknowledged", "Where"],
      receipt.devices.map((step) => stepRow(step, recorded_at, now)),
    );
    card.append(devices);
  }
  return card;
}

/** @param {ReceiptSight} receipt @param {string} now @returns {(Node | string)[]} */
function published({ published: { state, at, since, by }, recorded_at }, now) {
  if (state === "waiting")
    return [
      badge("waiting in the outbox", "warn"),
      make(
        "span",
        {},
        ...(since === null ? [] : ["since ", moment(since), ", for ", age(since, now)]),
        by ? `; ${by} has it` : "",
      ),
    ];
  if (state === "no_bus") return [make("strong", {}, "Not published:"), "there is no bus"];
  if (state === "unknown") return [make("strong", {}, "Published:"), "not known"];
  return [
    make("strong", {}, "Published"),
    at === null ? "at a time no longer known" : after(at, recorded_at),
  ];
}

/** @param {DeviceStep} step @param {string} recorded_at @param {string} now */
function stepRow(step, recorded_at, now) {
  const [said, mood] = STATES[step.state] ?? [step.state, ""];
  const behind = step.behind ? `, ${step.behind} behind` : "";
  const { pushed, acknowledged } = step;
  return row(
    step.device_id ? id(step.device_id) : make("em", {}, "without a name"),
    badge(said + (step.state === "offline" ? behind : ""), mood),
    pushed === null ? "–" : after(pushed.at, recorded_at, pushed.exact),
    acknowledged === null
      ? "–"
      : make(
          "span",
          {},
          after(acknowledged.at, recorded_at, acknowledged.exact),
          step.by_ping ? ", by answering a ping" : "",
        ),
    step.node === null
      ? step.last_seen_at === null
        ? "–"
        : make("span", {}, "seen ", age(step.last_seen_at, now), " ago")
      : id(step.node),
  );
}
