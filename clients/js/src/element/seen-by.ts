// The element itself: its attributes and properties, and what it draws of them.
//
// What the page gives as attributes is never changed: it belongs to the page or its framework. What
// a client knows is shown instead of it as soon as it is known.

import { Announcer } from "./announcer.js";
import { drawing, make } from "./dom.js";
import { Names, type NameOf } from "./names.js";
import type { LoadNames, Source } from "./source.js";
import { sheet } from "./style.js";
import { seconds, type Known } from "./tally.js";
import { ENGLISH, writingOf, type Texts } from "./texts.js";
import { trackerOf } from "./tracker.js";
import { viewOf, type State } from "./view.js";

// On a server there are no elements: the module can be imported there, and does nothing.
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

const announcer = new Announcer();

/** What `seen-by-open` and `seen-by-close` carry. */
export interface NamesToggled {
  msg_id: string;
}

export class SeenByElement extends Base {
  static readonly observedAttributes = ["msg-id", "read", "of", "read-at", "announce", "locale"];

  #client: Source | undefined;
  #load: LoadNames | undefined;
  #nameOf: NameOf | undefined;
  #texts: Partial<Texts> | undefined;

  readonly #root = this.attachShadow({ mode: "open" });
  readonly #internals = this.attachInternals();
  readonly #ticks = drawing("0 0 24 16", "M2 9l4 4L14.5 4", "M10.5 11.5L12 13l8.5-9");
  readonly #text = make("span", { part: "text" });
  #summary: HTMLElement | undefined;
  #names: Names | undefined;
  #region: HTMLElement | undefined;

  /** What the client knows; undefined: nothing yet. */
  #known: Known | undefined;
  #unwatch: (() => void) | undefined;
  #watched: [Source, string] | undefined;
  #state: State | undefined;
  #label = "";
  /** Whether the last change came by an event: only those are announced. */
  #live = false;
  #due = false;

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [sheet()];
  }

  /** The message. */
  get msgId(): string {
    return this.getAttribute("msg-id") ?? "";
  }
  set msgId(value: string | null | undefined) {
    this.#reflect("msg-id", value);
  }

  /** So many have read it, as the page knows it. */
  get read(): number {
    return whole(this.getAttribute("read")) ?? 0;
  }
  set read(value: number | string | null | undefined) {
    this.#reflect("read", value);
  }

  /** To so many it was sent; undefined: not known. */
  get of(): number | undefined {
    return whole(this.getAttribute("of"));
  }
  set of(value: number | string | null | undefined) {
    this.#reflect("of", value);
  }

  /** When the one reader read it: unix seconds. ISO 8601 may be given as well. */
  get readAt(): number | undefined {
    return seconds(this.getAttribute("read-at"));
  }
  set readAt(value: number | string | null | undefined) {
    this.#reflect("read-at", value);
  }

  /** Whether changes are told to screen readers. */
  get announce(): boolean {
    return this.hasAttribute("announce");
  }
  set announce(value: boolean) {
    this.toggleAttribute("announce", Boolean(value));
  }

  /** A BCP 47 tag; without one the nearest `lang`, and then the browser's. */
  get locale(): string {
    const own = this.getAttribute("locale") ?? this.closest("[lang]")?.getAttribute("lang");
    return own || document.documentElement.lang;
  }
  set locale(value: string | null | undefined) {
    this.#reflect("locale", value);
  }

  /** A client that is followed, such as a Seenby. */
  get client(): Source | undefined {
    return this.#client;
  }
  set client(value: Source | null | undefined) {
    this.#client = value ?? undefined;
    this.#update();
  }

  /** Loads pages of names where there is no client, or instead of it. */
  get load(): LoadNames | undefined {
    return this.#load;
  }
  set load(value: LoadNames | null | undefined) {
    this.#load = value ?? undefined;
    this.#update();
  }

  /** A person's name; without it ids are shown. */
  get nameOf(): NameOf | undefined {
    return this.#nameOf;
  }
  set nameOf(value: NameOf | null | undefined) {
    this.#nameOf = value ?? undefined;
  }

  /** Words in another language; whatever is left out stays English. */
  get texts(): Readonly<Texts> {
    return { ...ENGLISH, ...this.#texts };
  }
  set texts(value: Partial<Texts> | null | undefined) {
    this.#texts = value ?? undefined;
    this.#update();
  }

  connectedCallback(): void {
    this.#upgrade();
    // At once: an element that was moved is back before its message is forgotten.
    this.#follow();
    this.#update();
  }

  disconnectedCallback(): void {
    this.#follow();
    this.#dropNames();
  }

  attributeChangedCallback(): void {
    this.#update();
  }

  /** Properties that were set before the element was defined lie on top of the real ones. */
  #upgrade(): void {
    for (const name of Object.keys(this)) {
      if (!(name in SeenByElement.prototype)) continue;
      const value: unknown = Reflect.get(this, name);
      Reflect.deleteProperty(this, name);
      Reflect.set(this, name, value);
    }
  }

  #reflect(name: string, value: string | number | null | undefined): void {
    if (value === null || value === undefined) this.removeAttribute(name);
    else this.setAttribute(name, String(value));
  }

  /** Draws once for all that changes in one task, before the browser paints. */
  #update(): void {
    if (this.#due || !this.isConnected) return;
    this.#due = true;
    queueMicrotask(() => {
      if (this.isConnected) this.#follow();
      this.#due = false;
      if (this.isConnected) this.#draw();
    });
  }

  /** Follows the client and the message that are given now. */
  #follow(): void {
    const { msgId } = this;
    const client = this.isConnected && msgId ? this.#client : undefined;
    const [before, watched] = this.#watched ?? [];
    if (client === before && (client === undefined || msgId === watched)) return;
    // A message that is left only for a moment, because the element is moved, is not forgotten.
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#watched = undefined;
    this.#names?.hide();
    if (!this.isConnected) return;
    this.#known = undefined;
    this.#label = "";
    if (client === undefined) return;
    this.#watched = [client, msgId];
    this.#unwatch = trackerOf(client).watch(msgId, this.read, this.of, (known, event) => {
      this.#known = known;
      this.#live = event !== undefined;
      if (event !== undefined && this.#names?.shown) this.#names.event(event, known.read);
      this.#update();
    });
  }

  #draw(): void {
    const known = this.#known ?? { read: this.read, of: undefined, at: undefined };
    const view = viewOf(
      {
        read: known.read,
        of: known.of ?? this.of,
        at: known.at ?? this.readAt,
        personal: this.#known?.personal,
      },
      this.texts,
      writingOf(this.locale),
    );
    const opens = view.state !== "sent" && this.msgId !== "" && this.#loader !== undefined;
    const summary = this.#drawn(opens);
    summary.dataset["state"] = view.state;
    summary.setAttribute("aria-label", view.label);
    if (this.#text.textContent !== view.text) this.#text.textContent = view.text;
    if (this.#names?.shown) this.#names.label(view.label);
    this.#setState(view.state);
    this.#say(view.label);
  }

  get #loader(): LoadNames | undefined {
    const client = this.#client;
    return this.#load ?? (client && ((msgId, page) => client.receiptsOf(msgId, page)));
  }

  /** The summary: a button where there are names to show, and else a picture with a label. */
  #drawn(opens: boolean): HTMLElement {
    const tag = opens ? "button" : "span";
    const before = this.#summary;
    if (before?.localName === tag) return before;
    const inside = [this.#ticks, this.#text];
    this.#ticks.setAttribute("part", "ticks");
    const summary = opens
      ? make("button", { part: "summary button", type: "button" }, ...inside)
      : make("span", { part: "summary", role: "img" }, ...inside);
    this.#dropNames();
    if (summary instanceof HTMLButtonElement) {
      summary.setAttribute("aria-haspopup", "dialog");
      summary.setAttribute("aria-expanded", "false");
      // Most popovers are never opened, so each is made at the first click, before it takes effect.
      summary.addEventListener("click", () => (this.#names ??= this.#popover(summary)));
    }
    if (before === undefined) this.#root.prepend(summary);
    else before.replaceWith(summary);
    this.#summary = summary;
    return summary;
  }

  #dropNames(): void {
    this.#names?.remove();
    this.#names = undefined;
    if (this.#summary?.localName === "button") this.#summary.setAttribute("aria-expanded", "false");
  }

  #popover(button: HTMLButtonElement): Names {
    const names = new Names(button);
    names.element.addEventListener("beforetoggle", (event) => {
      const load = this.#loader;
      if (event.newState !== "open" || load === undefined) return;
      const { msgId, nameOf, texts, locale } = this;
      names.start({ msgId, load, nameOf, texts, writing: writingOf(locale) }, this.#label);
    });
    names.element.addEventListener("toggle", (event) => {
      const open = event.newState === "open";
      button.setAttribute("aria-expanded", String(open));
      // Not every browser gives the focus back into a shadow tree, and a click on nothing leaves it
      // nowhere. Where the reader has gone elsewhere it stays there.
      const focused = this.#root.activeElement ?? document.activeElement;
      if (!open && (focused === document.body || names.element.contains(focused))) {
        button.focus({ preventScroll: true });
      }
      const detail: NamesToggled = { msg_id: this.msgId };
      const type = open ? "seen-by-open" : "seen-by-close";
      this.dispatchEvent(new CustomEvent(type, { bubbles: true, composed: true, detail }));
    });
    button.after(names.element);
    button.popoverTargetElement = names.element;
    return names;
  }

  #setState(state: State): void {
    if (state === this.#state) return;
    // jsdom, in which applications test themselves, has none.
    const states = this.#internals.states as CustomStateSet | undefined;
    if (this.#state !== undefined) states?.delete(this.#state);
    states?.add(state);
    this.#state = state;
  }

  /** Announces a change that has come live, where the page asks for it. */
  #say(label: string): void {
    if (this.announce && this.#region === undefined) {
      // It has to be there before there is anything to say.
      this.#region = make("span", { role: "status", class: "said" });
      this.#root.append(this.#region);
    }
    const changed = this.#label !== "" && this.#label !== label;
    this.#label = label;
    if (changed && this.#live && this.announce && this.#region !== undefined) {
      announcer.say(this.#region, label);
    }
    this.#live = false;
  }
}

/** A number of people; undefined for what is none. */
function whole(text: string | null): number | undefined {
  const value = text === null || text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) && value >= 0 ? Math.floor(value) : undefined;
}
