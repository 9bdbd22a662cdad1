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
  /** What is said, and stands above the names. It contains the text, so that both can be named. */
  label: string;
}

export function viewOf(known: Known, texts: Texts, writing: Writing): View {
  const { read, of, at, personal } = known;
  if (read <= 0) return { state: "sent", text: texts.sent, label: texts.sent };
  // Without an audience one reader of what may be a private message is that person.
  if (of === 1 || personal === true || (of === undefined && read === 1 && personal !== false)) {
    const text = texts.read(at === undefined ? "" : writing.time(at));
    return { state: "read", text, label: text };
  }
  const count = writing.number(read);
  if (of === undefined) {
    return { state: "some", text: texts.some(count), label: texts.someLabel(count) };
  }
  const audience = writing.number(of);
  return read >= of
    ? { state: "all", text: texts.all(audience), label: texts.allLabel(audience) }
    : { state: "some", text: texts.some(count, audience), label: texts.someLabel(count, audience) };
}
