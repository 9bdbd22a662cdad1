// Marks a message as read when a person has had it before their eyes for a while: enough of it is
// on the screen, the page is shown, and its window has the focus. Whoever opens a conversation and
// looks away at once has read nothing.

import { realPace, type Pace } from "./pace.js";
import type { Mark } from "./wire.js";

// Of a page, and nothing where the types of the DOM are not there: a bot imports the package as well.
type PageElement = typeof globalThis extends { Element: { prototype: infer E } } ? E : never;
type PageDocument = typeof globalThis extends { Document: { prototype: infer D } } ? D : never;

export interface WatchOptions {
  /** What an element stands for; undefined: nothing is to be marked. */
  mark: (element: PageElement) => Mark | undefined;
  /** Milliseconds for which it must be seen without a break; default 1000. */
  dwell?: number | undefined;
  /** The part of it, or of what fits on the screen, that must be seen; default 0.6. */
  threshold?: number | undefined;
  /** What it scrolls in; default: the viewport. */
  root?: PageElement | PageDocument | null | undefined;
  pace?: Pace | undefined;
}

export interface Watcher {
  observe(element: PageElement): void;
  unobserve(element: PageElement): void;
  /** Looks at nothing any more; observe() may follow. */
  disconnect(): void;
}

interface Watched {
  seen: boolean;
  callOff?: (() => void) | undefined;
}

// Fine enough for elements of a hundred screens, of which a screen shows a hundredth.
const STEPS = [
  ...Array.from({ length: 10 }, (_, step) => step / 1000),
  ...Array.from({ length: 100 }, (_, step) => (step + 1) / 100),
];

/** Watches elements; each is marked once, and looked at no more then. */
export function readOnVisible(
  seenby: { mark(mark: Mark): Promise<unknown> },
  options: WatchOptions,
): Watcher {
  const { dwell = 1000, threshold = 0.6, root = null, pace = realPace } = options;
  const watched = new Map<Element, Watched>();
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        const one = watched.get(entry.target);
        if (one) one.seen = entry.isIntersecting && shown(entry) >= threshold - 1e-6;
      }
      follow();
    },
    { root, threshold: STEPS },
  );

  function attentive(): boolean {
    return document.visibilityState === "visible" && document.hasFocus();
  }

  function follow(): void {
    const eyes = attentive();
    for (const [element, one] of watched) {
      if (one.seen && eyes) {
        one.callOff ??= pace.after(dwell, () => done(element, one));
      } else {
        one.callOff?.();
        one.callOff = undefined;
      }
    }
  }

  function done(element: Element, one: Watched): void {
    one.callOff = undefined;
    // A focus that is lost without an event: whoever comes back brings one.
    if (!attentive()) return;
    unobserve(element);
    const mark = options.mark(element);
    // A refusal is told by the client's "refused".
    if (mark) seenby.mark(mark).catch(() => undefined);
  }

  function unobserve(element: Element): void {
    watched.get(element)?.callOff?.();
    watched.delete(element);
    observer.unobserve(element);
    if (!watched.size) listen(false);
  }

  function listen(on: boolean): void {
    const change = on ? "addEventListener" : "removeEventListener";
    document[change]("visibilitychange", follow);
    window[change]("focus", follow);
    window[change]("blur", follow);
  }

  return {
    observe(element) {
      if (watched.has(element)) return;
      if (!watched.size) listen(true);
      watched.set(element, { seen: false });
      observer.observe(element);
    },
    unobserve,
    disconnect() {
      for (const element of [...watched.keys()]) unobserve(element);
      observer.disconnect();
    },
  };
}

/** How much of what can be shown of an element is: 1 also where it fills a smaller screen. */
function shown({
  boundingClientRect: all,
  intersectionRect: part,
  rootBounds,
}: Readonly<IntersectionObserverEntry>): number {
  // A page in a frame of another origin is not told its bounds.
  const width = Math.min(all.width, rootBounds?.width ?? window.innerWidth);
  const height = Math.min(all.height, rootBounds?.height ?? window.innerHeight);
  return width * height ? (part.width * part.height) / (width * height) : 0;
}
