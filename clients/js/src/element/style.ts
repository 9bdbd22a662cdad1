// Owns the element's looks. A constructed sheet, shared by all elements, because a strict
// Content-Security-Policy allows no inline style. Directions are logical, so that it works from
// right to left; colours follow the page's color-scheme, and system colours in forced colours.

const CSS = `
:host {
  --_color: var(--seen-by-color, light-dark(#57606a, #a9b3be));
  --_read: var(--seen-by-read-color, light-dark(#0a5cad, #7cb8ff));
  /* The names lie on a ground of their own, and so do not follow the colours above. */
  --_muted: var(--seen-by-muted-color, light-dark(#57606a, #a9b3be));
  --_size: var(--seen-by-size, 1em);
  display: inline-block;
  vertical-align: baseline;
  font-size: var(--seen-by-font-size, 0.8125rem);
  line-height: 1.4;
}
:host([hidden]) { display: none; }
[hidden] { display: none !important; }
[part~="summary"] {
  display: inline-flex;
  align-items: center;
  gap: 0.3em;
  margin: 0;
  padding: 0.15em 0.3em;
  border: 0;
  border-radius: 0.3em;
  background: none;
  color: var(--_color);
  font: inherit;
  line-height: inherit;
  white-space: nowrap;
}
button { cursor: pointer; }
button[part~="summary"] {
  text-decoration: underline dotted;
  text-underline-offset: 0.2em;
  min-block-size: 24px;
}
button:hover { text-decoration-style: solid; }
:focus-visible { outline: 2px solid currentColor; outline-offset: 1px; }
[part~="summary"]:is([data-state="read"], [data-state="all"]) { color: var(--_read); }
svg {
  inline-size: calc(var(--_size) * 1.5);
  block-size: var(--_size);
  flex: none;
  fill: none;
  stroke: currentColor;
  stroke-width: 1.75;
  stroke-linecap: round;
  stroke-linejoin: round;
}
[data-state="sent"] path { translate: 4px; }
[data-state="sent"] path + path { display: none; }
[popover] {
  position: fixed;
  inset: auto;
  margin: 0;
  box-sizing: border-box;
  inline-size: max-content;
  min-inline-size: min(14rem, 100vw - 1rem);
  max-inline-size: min(22rem, 100vw - 1rem);
  max-block-size: min(24rem, 100vh - 1rem);
  overflow: auto;
  overscroll-behavior: contain;
  padding: 0;
  border: 1px solid var(--seen-by-border-color, light-dark(#c4cad1, #4b5561));
  border-radius: 0.5rem;
  background: var(--seen-by-background, light-dark(#fff, #1d2126));
  color: var(--seen-by-text-color, light-dark(#1b1f24, #e8ebef));
  box-shadow: 0 6px 24px rgb(0 0 0 / 0.2);
  font-size: 0.875rem;
  text-align: start;
  white-space: normal;
}
header {
  position: sticky;
  inset-block-start: 0;
  background: inherit;
  display: flex;
  align-items: center;
  justify-content: space-between;
  gap: 0.75rem;
  padding: 0.5rem 0.75rem;
}
h2 { margin: 0; font: inherit; font-weight: 600; }
[part="body"] { padding: 0 0.75rem 0.5rem; }
ul { list-style: none; margin: 0; padding: 0; }
li { display: flex; justify-content: space-between; gap: 1rem; padding: 0.25rem 0; }
bdi { overflow-wrap: anywhere; min-inline-size: 0; }
time, p { color: var(--_muted); }
time { flex: none; }
/* A page from right to left may have words from left to right: "5 of 10" is not "of 10 5". */
[part="text"], h2, p, time { unicode-bidi: plaintext; }
p { margin: 0; padding: 0.25rem 0; }
p:empty { display: none; }
[part="more"], [part="close"] {
  font: inherit;
  color: inherit;
  background: none;
  border: 1px solid var(--_muted);
  border-radius: 0.3rem;
  padding: 0.2rem 0.6rem;
  min-block-size: 24px;
}
[part="close"] { border-color: transparent; min-inline-size: 28px; padding: 0; }
[part="close"] svg { inline-size: 1em; block-size: 1em; vertical-align: middle; }
[role="status"].said {
  position: absolute;
  inline-size: 1px;
  block-size: 1px;
  margin: -1px;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}
@media (prefers-reduced-motion: no-preference) {
  [part~="summary"] { transition: color 0.3s; }
  [popover] { transition: opacity 0.12s; }
  @starting-style { [popover]:popover-open { opacity: 0; } }
}
@media (forced-colors: active) {
  [part~="summary"]:is([data-state="read"], [data-state="all"]) { font-weight: 600; }
}
`;

let made: CSSStyleSheet | undefined;

export function sheet(): CSSStyleSheet {
  if (made === undefined) {
    made = new CSSStyleSheet();
    made.replaceSync(CSS);
  }
  return made;
}
