// @ts-check
// Small parts of the operators' page: elements, and times and spans in words.

/**
 * An element with attributes and children. Texts become text, never markup.
 *
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {string} id */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no ${id}`);
  return found;
}

/**
 * @param {string} text
 * @param {"good" | "warn" | "bad" | ""} mood
 */
export function badge(text, mood = "") {
  return make("span", { class: mood ? `badge ${mood}` : "badge" }, text);
}

/** @param {string} text */
export function id(text) {
  return make("span", { class: "id" }, text);
}

/**
 * A term and its value, for a list of facts.
 *
 * @param {string} term
 * @param {...(Node | string)} value
 */
export function fact(term, ...value) {
  return make("div", {}, make("dt", {}, term), make("dd", {}, ...value));
}

/**
 * A table.
 *
 * @param {string} title
 * @param {string[]} heads
 * @param {HTMLElement[]} rows
 */
function table(title, heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  return make(
    "table",
    {},
    make("caption", {}, title),
    make("thead", {}, head),
    make("tbody", {}, ...rows),
  );
}

/**
 * A table that scrolls by itself where the window is narrow, also by keyboard.
 *
 * @param {string} title
 * @param {string[]} heads
 * @param {HTMLElement[]} rows
 */
export function wideTable(title, heads, rows) {
  const frame = { class: "wide", tabindex: "0", role: "group", "aria-label": title };
  return make("div", frame, table(title, heads, rows));
}

/**
 * One row; the first cell heads it.
 *
 * @param {Node | string} first
 * @param {...(Node | string)} others
 */
export function row(first, ...others) {
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, first),
    ...others.map((each) => make("td", {}, each)),
  );
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * A span of time in words that are as exact as one can use.
 *
 * @param {number} ms
 * @returns {string}
 */
export function span(ms) {
  if (ms < 0) return `−${span(-ms)}`;
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < MINUTE) return `${Math.round(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.round(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${Math.round(ms / HOUR)} h`;
  return `${Math.round(ms / DAY)} days`;
}

/**
 * A moment, to the millisecond, in the reader's own time; the date where it is not today's.
 *
 * @param {string} iso
 */
export function moment(iso) {
  const at = new Date(iso);
  const clock = `${at.toTimeString().slice(0, 8)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  const today = new Date().toDateString() === at.toDateString();
  const shown = today ? clock : `${at.toLocaleDateString()} ${clock}`;
  return make("time", { datetime: iso, title: iso }, shown);
}

/**
 * How long something has been so, by the server's clock; see grow().
 *
 * @param {string} iso
 * @param {string} now
 */
export function age(iso, now) {
  return make("time", { datetime: iso, title: iso, "data-age": "" }, ageInWords(iso, now));
}

/**
 * Bring all ages up to date.
 *
 * @param {Element} place
 * @param {string} now
 */
export function grow(place, now) {
  for (const each of place.querySelectorAll("time[data-age]"))
    each.textContent = ageInWords(each.getAttribute("datetime") ?? now, now);
}

/** @param {string} iso @param {string} now */
function ageInWords(iso, now) {
  return span(Math.max(0, Date.parse(now) - Date.parse(iso)));
}

/**
 * How long after something else it was.
 *
 * @param {string} iso
 * @param {string} since
 * @param {boolean} exact false: it was then or before
 */
export function after(iso, since, exact = true) {
  const ms = Date.parse(iso) - Date.parse(since);
  const shown = ms < 0 ? span(ms) : `+${span(ms)}`;
  return make("time", { datetime: iso, title: iso }, exact ? shown : `not later than ${shown}`);
}

/** @param {number} count @param {string} one @param {string} many */
export function counted(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
