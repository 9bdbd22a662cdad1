// @ts-check
// The operators' page: what is looked for stands in the address, what is known comes every two
// seconds. It only reads.

import { Api, Trouble } from "./inspect-api.js";
import { messageInWords, messagePart } from "./inspect-message.js";
import { OverviewPart } from "./inspect-overview.js";
import { byId, grow, make } from "./inspect-parts.js";
import { userInWords, userPart } from "./inspect-user.js";

/** @import { MessageSight, Missing, UserSight } from "./inspect-api.js" */

const EVERY_MS = 2_000;

const TITLE = document.title;

const api = new Api();
const overview = new OverviewPart();

const kindField = /** @type {HTMLSelectElement} */ (byId("search-kind"));
const idField = /** @type {HTMLInputElement} */ (byId("search-id"));
const tokenField = /** @type {HTMLInputElement} */ (byId("token"));

/** @typedef {{kind: "message" | "user", id: string, cursor: string}} Wanted */

/** What the address asks for. @returns {Wanted | null} */
function wanted() {
  const query = new URLSearchParams(location.search);
  for (const kind of /** @type {const} */ (["message", "user"])) {
    const id = query.get(kind);
    if (id) return { kind, id, cursor: query.get("cursor") ?? "" };
  }
  return null;
}

/** @param {string} kind @param {string} id @param {string} cursor */
function addressOf(kind, id, cursor = "") {
  const query = new URLSearchParams({ [kind]: id, ...(cursor && { cursor }) });
  return `/inspect?${query}`;
}

/** A link that is followed without loading the page. @param {string} kind @param {string} text */
function link(kind, text) {
  return make("a", { href: addressOf(kind, text), class: "id", "data-here": "" }, text);
}

/** @param {string} address */
function go(address) {
  history.pushState(null, "", address);
  begin();
}

// What is shown now; what has not changed is left alone, with what is selected in it.
let shown = "";

/** @param {Wanted} sought @param {MessageSight | UserSight} found @param {string} now */
function show(sought, found, now) {
  const same = JSON.stringify(found);
  if (same === shown) {
    grow(byId("found"), now);
    return;
  }
  shown = same;
  const message = "receipts" in found;
  say("search-status", message ? messageInWords(found) : userInWords(found));
  const parts = !isKnown(found)
    ? [otherKind(sought)]
    : message
      ? messagePart(found, now, (user_id) => link("user", user_id))
      : userPart(found, now, (msg_id) => link("message", msg_id));
  const more =
    message && found.next_cursor !== null
      ? [
          make(
            "p",
            {},
            make(
              "a",
              { href: addressOf("message", sought.id, found.next_cursor), "data-here": "" },
              "The next receipts",
            ),
          ),
        ]
      : [];
  const place = byId("found");
  const focused = place.contains(document.activeElement)
    ? [...place.querySelectorAll("a, [tabindex]")].indexOf(
        /** @type {HTMLElement} */ (document.activeElement),
      )
    : -1;
  place.replaceChildren(...missingPart(found.missing), ...parts, ...more);
  const again = place.querySelectorAll("a, [tabindex]")[focused];
  if (again instanceof HTMLElement) again.focus();
}

/** Whether anything is there to show. @param {MessageSight | UserSight} found */
function isKnown(found) {
  return "receipts" in found
    ? found.count > 0 || found.registered !== null
    : found.head > 0 || found.devices.length > 0;
}

/** Perhaps it is the other one's id. @param {Wanted} sought */
function otherKind({ kind, id }) {
  const other = kind === "message" ? "user" : "message";
  const href = addressOf(other, id);
  return make("p", {}, make("a", { href, "data-here": "" }, `Is it a ${other}’s id?`));
}

/** @param {Missing[]} missing */
function missingPart(missing) {
  if (!missing.length) return [];
  const names = missing.map(({ node, role, why }) => `${node} (${role}): ${why}`).join("; ");
  return [make("p", { class: "notice warn" }, `Something may be missing. Not asked: ${names}.`)];
}

function clear() {
  shown = "";
  byId("search-status").textContent = "";
  byId("found").replaceChildren();
}

/** Say something that screen readers read out: once, while it stays the same.
 *
 * @param {string} place
 * @param {string} text
 */
function say(place, text) {
  if (byId(place).textContent !== text) byId(place).textContent = text;
}

/** @param {string} text "": none */
function tell(text) {
  say("trouble", text);
  byId("trouble").hidden = !text;
}

let turn = 0;
let timer = 0;

/** Look now, and again and again. */
async function begin() {
  const mine = ++turn;
  clearTimeout(timer);
  const sought = wanted();
  document.title = sought ? `seenby: ${sought.kind} ${sought.id}` : TITLE;
  byId("search-hint").hidden = sought !== null;
  if (sought) {
    kindField.value = sought.kind;
    idField.value = sought.id;
  }
  clear();
  // Nobody looks at a hidden page.
  const look = async () => {
    if (!document.hidden) await once(sought, () => mine === turn);
    if (mine === turn) timer = setTimeout(look, EVERY_MS);
  };
  await look();
}

/** @param {Wanted | null} sought @param {() => boolean} current */
async function once(sought, current) {
  if (api.locked && !api.token) {
    tell("");
    return;
  }
  try {
    const [glance, found] = await Promise.all([
      api.overview(),
      sought &&
        (sought.kind === "user" ? api.user(sought.id) : api.message(sought.id, sought.cursor)),
    ]);
    if (!current()) return;
    overview.show(glance);
    if (sought && found) show(sought, found, glance.at);
    tell("");
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    if (!current()) return;
    tell(error.message);
    if (error.status !== 401 && error.status !== 403) return;
    // A token that does not hold will not hold in two seconds either.
    turn++;
    api.locked = true;
    byId("token-form").hidden = false;
  }
}

byId("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = idField.value.trim();
  if (id) go(addressOf(kindField.value, id));
  else idField.focus();
});

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.token = tokenField.value.trim();
  tokenField.value = "";
  begin();
});

byId("token-forget").addEventListener("click", () => {
  api.token = "";
  byId("overview").hidden = true;
  tokenField.focus();
  begin();
});

document.addEventListener("click", (event) => {
  const plain = !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  const target = event.target instanceof Element && event.target.closest("a[data-here]");
  if (!target || !plain || event.button) return;
  event.preventDefault();
  go(target.getAttribute("href") ?? "/inspect");
});

addEventListener("popstate", () => {
  idField.value = "";
  begin();
});

try {
  await api.begin();
} catch (error) {
  tell(error instanceof Trouble ? error.message : String(error));
}
byId("token-form").hidden = !api.locked;
begin();
