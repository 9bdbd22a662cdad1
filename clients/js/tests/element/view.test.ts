// The words for each state, in English and in other ways of writing.

import { describe, expect, test } from "vitest";

import { Announcer } from "../../src/element/announcer.js";
import { seconds, type Known } from "../../src/element/tally.js";
import { ENGLISH, Writing } from "../../src/element/texts.js";
import { viewOf } from "../../src/element/view.js";

const NOON = Date.UTC(2026, 10, 24, 12) / 1000;
const none: Known = { read: 0, of: undefined, at: undefined, personal: undefined };

function view(known: Partial<Known>, locale = "en-GB"): string[] {
  const { state, text, label } = viewOf({ ...none, ...known }, ENGLISH, new Writing(locale));
  return [state, text, label];
}

describe("the state", () => {
  test.each<[Partial<Known>, string[]]>([
    [{}, ["sent", "Sent", "Sent"]],
    [{ read: 0, of: 10 }, ["sent", "Sent", "Sent"]],
    [{ read: 0, of: 0 }, ["sent", "Sent", "Sent"]],
    [{ read: 1, of: 1 }, ["read", "Read", "Read"]],
    [{ read: 1 }, ["read", "Read", "Read"]],
    [{ read: 1, personal: false }, ["some", "Read by 1", "Read by 1"]],
    [{ read: 3 }, ["some", "Read by 3", "Read by 3"]],
    [{ read: 5, of: 10 }, ["some", "5 of 10", "Read by 5 of 10"]],
    [{ read: 1, of: 10 }, ["some", "1 of 10", "Read by 1 of 10"]],
    [{ read: 10, of: 10 }, ["all", "Read by all", "Read by all 10"]],
    [{ read: 11, of: 10 }, ["all", "Read by all", "Read by all 10"]],
    [{ read: 1_234, of: 4_000 }, ["some", "1,234 of 4,000", "Read by 1,234 of 4,000"]],
  ])("%o is %o", (known, expected) => {
    expect(view(known)).toEqual(expected);
  });

  test("what is seen is part of what is said, so that it can be called by what is seen", () => {
    for (const known of [
      { read: 3 },
      { read: 5, of: 10 },
      { read: 10, of: 10 },
      { read: 1, of: 1 },
    ]) {
      const [, text = "", label] = view(known);
      expect(label).toContain(text);
    }
  });

  test("a label without what is seen gives way to it", () => {
    const texts = { ...ENGLISH, all: (of: string) => `Read by ${of} of ${of}` };
    const known = { ...none, read: 4, of: 4 };
    expect(viewOf(known, texts, new Writing("en")).label).toBe("Read by 4 of 4");
  });

  test("numbers are written as in the locale", () => {
    expect(view({ read: 1_234, of: 4_000 }, "de")[1]).toBe("1.234 of 4.000");
    expect(view({ read: 5, of: 10 }, "ar-EG")[1]).toBe("٥ of ١٠");
  });

  test("a locale that nobody knows is the browser's own", () => {
    expect(view({ read: 5, of: 10 }, "no such locale")[1]).toBe(view({ read: 5, of: 10 }, "")[1]);
  });
});

describe("the time", () => {
  const writing = new Writing("en-GB");

  test("of today it is the time alone, and else with the day", () => {
    const now = new Date(2026, 10, 24, 18, 0);
    const then = new Date(2026, 10, 24, 9, 5).getTime() / 1000;
    expect(writing.time(then, now)).toBe("09:05");
    expect(writing.time(then - 24 * 3600, now)).toBe("23 Nov 2026, 09:05");
  });

  test("it stands with the one reader's receipt", () => {
    const [state, text] = view({ read: 1, of: 1, at: NOON });
    expect([state, text]).toEqual(["read", `Read ${writing.time(NOON)}`]);
  });

  test.each([
    ["2026-11-24T12:00:00Z", NOON],
    ["2026-11-24T13:00:00+01:00", NOON],
    [String(NOON), NOON],
    [NOON, NOON],
    ["yesterday", undefined],
    ["1e20", undefined],
    [Infinity, undefined],
    ["", undefined],
    [null, undefined],
  ])("%o is %o in unix seconds", (given, expected) => {
    expect(seconds(given)).toBe(expected);
  });
});

test("on a server the module is imported without elements, and defines nothing", async () => {
  expect(globalThis.HTMLElement).toBeUndefined();
  const { SeenByElement } = await import("../../src/element/index.js");
  expect(SeenByElement).toBeTypeOf("function");
});

test("announcements: the first at once, and of what follows only the newest, in quiet intervals", async () => {
  const { vi } = await import("vitest");
  vi.useFakeTimers();
  try {
    const said: string[] = [];
    const region = {
      set textContent(text: string) {
        if (text !== "") said.push(text);
      },
    } as unknown as HTMLElement;
    const announcer = new Announcer(5_000);
    for (const text of ["1 of 10", "2 of 10", "3 of 10"]) announcer.say(region, text);
    expect(said).toEqual(["1 of 10"]);
    vi.advanceTimersByTime(4_999);
    expect(said).toEqual(["1 of 10"]);
    vi.advanceTimersByTime(1);
    expect(said).toEqual(["1 of 10", "3 of 10"]);
    vi.advanceTimersByTime(20_000);
    announcer.say(region, "4 of 10");
    expect(said).toEqual(["1 of 10", "3 of 10", "4 of 10"]);
  } finally {
    vi.useRealTimers();
  }
});
