// Owns every word the element says, and how numbers and times are written. Numbers come written
// for the locale already, and as numbers where a language needs to count.

/** What is shown and said; give other functions for other languages. */
export interface Texts {
  /** Nobody has read it yet. */
  sent: string;
  /** The one person it was sent to has read it; `time` is "" where it is not known. */
  read(time: string): string;
  /** Some have read it, in short: what is seen. Without `of` it is not known of how many. */
  some(read: string, of?: string): string;
  /** Everyone has. */
  all(of: string): string;
  /** The same in full: what a screen reader says, and the heading of the names. */
  someLabel(read: string, of?: string): string;
  allLabel(of: string): string;
  /** After the last name: so many have read it who are not named. */
  unnamed(others: string, count: number): string;
  /** There are no names at all. */
  nameless: string;
  loading: string;
  failed: string;
  more: string;
  again: string;
  close: string;
}

export const ENGLISH: Readonly<Texts> = Object.freeze<Texts>({
  sent: "Sent",
  read: (time) => (time === "" ? "Read" : `Read ${time}`),
  some: (read, of) => (of === undefined ? `Read by ${read}` : `${read} of ${of}`),
  all: () => "Read by all",
  someLabel: (read, of) => (of === undefined ? `Read by ${read}` : `Read by ${read} of ${of}`),
  allLabel: (of) => `Read by all ${of}`,
  unnamed: (others) => `and ${others} more`,
  nameless: "For this message only the number is known, not the names.",
  loading: "Loading names …",
  failed: "The names could not be loaded.",
  more: "Show more",
  again: "Try again",
  close: "Close",
});

/** Writes numbers and times as people of a locale do. */
export class Writing {
  readonly #number: Intl.NumberFormat;
  readonly #time: Intl.DateTimeFormat;
  readonly #day: Intl.DateTimeFormat;

  /** @param locale a BCP 47 tag; one that no browser knows gives the browser's own. */
  constructor(locale?: string) {
    const tag = known(locale);
    this.#number = new Intl.NumberFormat(tag);
    this.#time = new Intl.DateTimeFormat(tag, { timeStyle: "short" });
    this.#day = new Intl.DateTimeFormat(tag, { dateStyle: "medium", timeStyle: "short" });
  }

  number(value: number): string {
    return this.#number.format(value);
  }

  /** Unix seconds: the time alone where it is of today. */
  time(at: number, now: Date = new Date()): string {
    const then = new Date(at * 1000);
    const today = then.toDateString() === now.toDateString();
    return (today ? this.#time : this.#day).format(then);
  }
}

function known(locale: string | undefined): string | undefined {
  try {
    return locale === undefined ? undefined : Intl.getCanonicalLocales(locale)[0];
  } catch {
    return undefined;
  }
}

const writings = new Map<string | undefined, Writing>();

/** The same for all elements of a locale: Intl's formats are dear to make. */
export function writingOf(locale: string | undefined): Writing {
  let writing = writings.get(locale);
  if (writing === undefined) {
    writing = new Writing(locale);
    writings.set(locale, writing);
  }
  return writing;
}
