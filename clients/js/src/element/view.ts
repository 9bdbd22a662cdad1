// Owns what is shown of a count: which of the four states it is, and its words.

import type { Known } from "./tally.js";
import type { Texts, Writing } from "./texts.js";

/**
 * `sent`: nobody has read it. `read`: the one person has. `some` of several, `all` of them.
 * CSS finds them as `seen-by:state(some)`.
 */
export type State = "sent" | "read" | "some" | "all";

export interface View {
  state: State;
  /** What is seen. */
  text: string;
  /** What is said, and stands above the names. It contains the text. */
  label: string;
}

export function viewOf(known: Known, texts: Texts, writing: Writing): View {
  const { read, of, at, personal } = known;
  if (read <= 0) return view("sent", texts.sent, texts.sent);
  // Without an audience one reader of what may be a private message is that person.
  if (of === 1 || personal === true || (of === undefined && read === 1 && personal !== false)) {
    const text = texts.read(at === undefined ? "" : writing.time(at));
    return view("read", text, text);
  }
  const count = writing.number(read);
  if (of === undefined) return view("some", texts.some(count), texts.someLabel(count));
  const audience = writing.number(of);
  return read >= of
    ? view("all", texts.all(audience), texts.allLabel(audience))
    : view("some", texts.some(count, audience), texts.someLabel(count, audience));
}

/** Who speaks to the computer names a button by what is seen on it (WCAG 2.2, 2.5.3). */
function view(state: State, text: string, label: string): View {
  return { state, text, label: label.includes(text) ? label : text };
}
