// The public surface of `seenby/element`. To import it is to define <seen-by>.

import { SeenByElement, type NamesToggled } from "./seen-by.js";

export { SeenByElement, type NamesToggled };
export type { NameOf } from "./names.js";
export type { CountEvent, LoadNames, Named, Page, Receipts, Source } from "./source.js";
export { ENGLISH, type Texts } from "./texts.js";
export type { State } from "./view.js";

declare global {
  interface HTMLElementTagNameMap {
    "seen-by": SeenByElement;
  }
  interface HTMLElementEventMap {
    "seen-by-open": CustomEvent<NamesToggled>;
    "seen-by-close": CustomEvent<NamesToggled>;
  }
}

// Two copies of this module may be in one page; the first one defines the element.
if (globalThis.customElements && !customElements.get("seen-by")) {
  customElements.define("seen-by", SeenByElement);
}
