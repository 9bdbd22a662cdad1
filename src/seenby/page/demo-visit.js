// @ts-check
// One visit of the demo: ids that nobody else uses, and what is kept over a reload. Kept per tab, so
// that two visitors, or two tabs, do not disturb each other.

import { memoryStorage } from "/page/seenby.js";

const VISIT = "demo visit";

/**
 * @typedef {object} TabStorage
 * @property {(key: string) => string | null} getItem
 * @property {(key: string, value: string) => void} setItem
 * @property {(key: string) => void} removeItem
 * @property {() => string[]} keys
 */

/** @returns {TabStorage} */
function tabStorage() {
  try {
    const storage = sessionStorage;
    return {
      getItem: (key) => storage.getItem(key),
      setItem: (key, value) => storage.setItem(key, value),
      removeItem: (key) => storage.removeItem(key),
      keys: () => Object.keys(storage),
    };
  } catch {
    // The browser keeps nothing for this page: it works until it is left.
    return /** @type {any} */ (memoryStorage());
  }
}

/** @param {number} bytes @returns {string} hexadecimal */
export function randomId(bytes) {
  // Not randomUUID(): browsers have that on https and localhost only.
  const all = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(all, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Visit {
  storage = tabStorage();
  id = this.storage.getItem(VISIT) ?? randomId(4);
  #ended = false;

  constructor() {
    this.storage.setItem(VISIT, this.id);
  }

  /** An id of this visit: `ann` becomes `ann-5f3a91c0`. @param {string} name */
  idOf(name) {
    return `${name.toLowerCase()}-${this.id}`;
  }

  /** @template T @param {string} key @param {T} otherwise @returns {T} what was kept under it */
  load(key, otherwise) {
    const text = this.storage.getItem(`demo ${key}`);
    return text === null ? otherwise : JSON.parse(text);
  }

  /** @param {string} key @param {unknown} value */
  save(key, value) {
    if (this.#ended) return;
    try {
      this.storage.setItem(`demo ${key}`, JSON.stringify(value));
    } catch {
      // The tab's storage is full: after a reload the page knows less.
    }
  }

  /** The next load of the page is a first one. */
  end() {
    this.#ended = true;
    for (const key of this.storage.keys()) {
      if (key.startsWith("demo ") || key.startsWith("seenby ")) this.storage.removeItem(key);
    }
  }
}
