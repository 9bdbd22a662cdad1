// Owns the popover with the readers' names: its pages, its words while it loads or cannot, and the
// keyboard's way in and out. It is a native popover: Esc, a click outside and another popover close
// it, and the browser gives the focus back.

import { drawing, make } from "./dom.js";
import type { CountEvent, LoadNames, Receipts } from "./source.js";
import { seconds } from "./tally.js";
import type { Texts, Writing } from "./texts.js";

/** Names in a page. */
const LIMIT = 20;
/** Between the button and the popover, and from there to the window's edge, in px. */
const GAP = 4;

/** A person's name. */
export type NameOf = (userId: string) => string | Promise<string>;

/** What the popover is about; asked anew for each opening. */
export interface Subject {
  msgId: string;
  load: LoadNames;
  nameOf: NameOf | undefined;
  texts: Texts;
  writing: Writing;
}

export class Names {
  readonly element: HTMLElement;
  readonly #button: HTMLElement;
  readonly #heading = make("h2", { part: "heading", id: "heading" });
  readonly #list = make("ul", { part: "list", role: "list" });
  readonly #note = make("p", { part: "note", role: "status" });
  readonly #more = make("button", { part: "more", type: "button" });
  readonly #close = make("button", { part: "close", type: "button" });
  readonly #rows = new Map<string, HTMLElement>();
  #subject: Subject | undefined;
  #cursor: string | undefined;
  #loading = false;
  /** Whether the last page is there. */
  #whole = false;
  #total = 0;
  /** Events since the page that is loading was asked for, each with the count after it. */
  #since: [CountEvent, number][] = [];
  /** Ends the following of the button; undefined: it is closed. */
  #gone: AbortController | undefined;
  /** Grows with each opening: an answer for an earlier one is dropped. */
  #opening = 0;

  /** @param button opens it; it is placed beside it. */
  constructor(button: HTMLElement) {
    this.#button = button;
    this.#close.append(drawing("0 0 16 16", "M4 4l8 8M12 4l-8 8"));
    // The popover takes the focus itself, so that its heading is read and arrow keys scroll it.
    this.element = make(
      "div",
      { part: "popover", popover: "auto", role: "dialog", tabindex: "-1", autofocus: "" },
      make("header", {}, this.#heading, this.#close),
      make("div", { part: "body" }, this.#list, this.#note, this.#more),
    );
    this.element.setAttribute("aria-labelledby", "heading");
    this.#close.addEventListener("click", () => {
      this.hide();
    });
    this.#more.addEventListener("click", () => {
      if (!this.#loading) void this.#page(true);
    });
    this.element.addEventListener("toggle", (event) => {
      if (event.newState === "open") this.#follow();
      else this.#gone?.abort();
    });
    // Whoever tabs on has left it.
    this.element.addEventListener("focusout", (event) => {
      const to = event.relatedTarget;
      if (to instanceof Node && to !== this.#button && !this.element.contains(to)) this.hide();
    });
  }

  get shown(): boolean {
    return this.element.matches(":popover-open");
  }

  hide(): void {
    if (this.shown) this.element.hidePopover();
  }

  /** Leaves the page with its button: then no event tells that it is closed. */
  remove(): void {
    this.#gone?.abort();
    this.element.remove();
  }

  /** Begins with the first page. */
  start(subject: Subject, label: string): void {
    this.#subject = subject;
    this.#opening += 1;
    this.#cursor = undefined;
    this.#loading = false;
    this.#whole = false;
    this.#total = 0;
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#close.setAttribute("aria-label", subject.texts.close);
    this.label(label);
    void this.#page(false);
  }

  /** The heading, such as "Read by 5 of 10". */
  label(text: string): void {
    if (this.#heading.textContent !== text) this.#heading.textContent = text;
  }

  /** An event while it is open: whoever has read it just now is shown without loading anew. */
  event(event: CountEvent, read: number): void {
    if (this.#loading) this.#since.push([event, read]);
    if (!this.#whole || this.#subject === undefined) return;
    this.#total = read;
    if (event.type === "read_receipt") this.#add(event.reader_id, event.read_at, this.#subject);
    if (event.type === "read_withdrawn") {
      this.#rows.get(event.reader_id)?.remove();
      this.#rows.delete(event.reader_id);
    }
    this.#end(this.#subject.texts, true);
  }

  async #page(asked: boolean): Promise<void> {
    const subject = this.#subject;
    if (subject === undefined) return;
    const { texts } = subject;
    const opening = this.#opening;
    this.#loading = true;
    this.#since = [];
    this.#note.textContent = texts.loading;
    this.#more.hidden = !asked;
    try {
      const page: { limit: number; cursor?: string } = { limit: LIMIT };
      if (this.#cursor !== undefined) page.cursor = this.#cursor;
      const answer = await subject.load(subject.msgId, page);
      if (opening === this.#opening) this.#show(answer, subject, asked);
    } catch {
      if (opening !== this.#opening) return;
      this.#loading = false;
      this.#note.textContent = texts.failed;
      this.#more.textContent = texts.again;
      this.#more.hidden = false;
    }
    this.#place();
  }

  #show(answer: Receipts, subject: Subject, asked: boolean): void {
    this.#loading = false;
    this.#total = answer.count;
    this.#cursor = answer.next_cursor;
    const added = answer.receipts.map(({ reader_id, read_at }) =>
      this.#add(reader_id, seconds(read_at), subject),
    );
    // A full page may be the last one: then the names are as many as the count.
    this.#whole = answer.next_cursor === undefined || this.#rows.size >= answer.count;
    this.#end(subject.texts, answer.names !== false);
    // The answer may be older than these; if it is not, they change nothing.
    for (const [event, read] of this.#since) this.event(event, read);
    // The button that was pressed may be gone: the reading goes on with the first new name.
    if (asked && this.shown) (added.find((row) => row !== undefined) ?? this.element).focus();
  }

  /** What stands below the names. */
  #end(texts: Texts, named: boolean): void {
    const others = this.#total - this.#rows.size;
    this.#more.textContent = texts.more;
    this.#more.hidden = this.#whole;
    if (!this.#whole) this.#note.textContent = "";
    else if (this.#rows.size === 0) {
      this.#note.textContent = named && this.#total === 0 ? texts.sent : texts.nameless;
    } else {
      const writing = this.#subject?.writing;
      this.#note.textContent =
        others > 0 && writing ? texts.unnamed(writing.number(others), others) : "";
    }
  }

  /** A row for a reader who has none yet. */
  #add(reader: string, at: number | undefined, subject: Subject): HTMLElement | undefined {
    if (this.#rows.has(reader)) return undefined;
    const name = make("bdi", { part: "name" });
    const row = make("li", { part: "reader", tabindex: "-1" }, name);
    if (at !== undefined) {
      const iso = new Date(at * 1000).toISOString();
      row.append(make("time", { part: "time", datetime: iso }, subject.writing.time(at)));
    }
    void write(name, reader, subject.nameOf);
    this.#rows.set(reader, row);
    this.#list.append(row);
    return row;
  }

  /** Stays beside the button while the page scrolls. */
  #follow(): void {
    const place = (): void => {
      this.#place();
    };
    this.#gone = new AbortController();
    const options = { signal: this.#gone.signal, passive: true, capture: true };
    window.addEventListener("scroll", place, options);
    window.addEventListener("resize", place, options);
    place();
  }

  /** Below the button, or above it where there is more room; its ends in line with the text's. */
  #place(): void {
    if (!this.shown) return;
    const { style } = this.element;
    const button = this.#button.getBoundingClientRect();
    const { width, height } = this.element.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    const rtl = getComputedStyle(this.#button).direction === "rtl";
    const below = button.bottom + GAP;
    const above = button.top - GAP - height;
    const fits = below + height <= clientHeight || clientHeight - below >= button.top;
    const left = rtl ? button.left : button.right - width;
    style.left = `${clamp(left, GAP, clientWidth - width - GAP)}px`;
    style.top = `${clamp(fits ? below : above, GAP, clientHeight - height - GAP)}px`;
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.round(Math.max(least, Math.min(value, most)));
}

/** Writes the name when it is known; the id where there is none. */
async function write(
  place: HTMLElement,
  userId: string,
  nameOf: NameOf | undefined,
): Promise<void> {
  let name: string | Promise<string> = userId;
  try {
    name = nameOf?.(userId) ?? userId;
    if (typeof name !== "string") name = (await name) || userId;
  } catch {
    name = userId;
  }
  place.textContent = name;
}
