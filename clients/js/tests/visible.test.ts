// @vitest-environment jsdom
// What counts as read before somebody's eyes. jsdom lays nothing out, so the test says what is seen.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { readOnVisible, type Mark, type Watcher, type WatchOptions } from "../src/index.js";
import { FakePace } from "./fake/pace.js";

const SCREEN = { width: 400, height: 800 };

class FakeObserver {
  static last: FakeObserver;
  readonly observed = new Set<Element>();

  constructor(
    private readonly callback: IntersectionObserverCallback,
    readonly options: IntersectionObserverInit,
  ) {
    FakeObserver.last = this;
  }

  observe(element: Element): void {
    this.observed.add(element);
  }

  unobserve(element: Element): void {
    this.observed.delete(element);
  }

  disconnect(): void {
    this.observed.clear();
  }

  /** So many pixels of an element's height are on the screen. */
  see(element: Element, pixels: number, height = 100): void {
    const rect = (width: number, high: number) => ({ width, height: high }) as DOMRectReadOnly;
    const entry = {
      target: element,
      isIntersecting: pixels > 0,
      intersectionRatio: pixels / height,
      boundingClientRect: rect(300, height),
      intersectionRect: rect(pixels ? 300 : 0, pixels),
      rootBounds: rect(SCREEN.width, SCREEN.height),
      time: 0,
    };
    this.callback([entry], this as unknown as IntersectionObserver);
  }
}

let pace: FakePace;
let marks: Mark[];
let focused: boolean;
let visible: DocumentVisibilityState;
let watcher: Watcher;

beforeEach(() => {
  pace = new FakePace();
  marks = [];
  focused = true;
  visible = "visible";
  vi.stubGlobal("IntersectionObserver", FakeObserver);
  vi.spyOn(document, "hasFocus").mockImplementation(() => focused);
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() => visible);
});
afterEach(() => {
  watcher.disconnect();
  expect(pace.waits).toEqual([]);
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

function watch(options: Partial<WatchOptions> = {}): Element {
  const seenby = {
    mark: (mark: Mark) => {
      marks.push(mark);
      return Promise.reject(new Error("refused"));
    },
  };
  watcher = readOnVisible(seenby, { mark: ({ id }) => ({ msg_id: id }), pace, ...options });
  return observed("m1");
}

function observed(id: string): Element {
  const element = document.createElement("p");
  element.id = id;
  watcher.observe(element);
  return element;
}

const see = (element: Element, pixels: number, height?: number) =>
  FakeObserver.last.see(element, pixels, height);
const focus = (now: boolean) => {
  focused = now;
  window.dispatchEvent(new Event(now ? "focus" : "blur"));
};

test("a message that is seen for the whole dwell is marked once, and looked at no more", async () => {
  const element = watch();
  see(element, 60);
  await pace.pass(999);
  expect(marks).toEqual([]);
  await pace.pass(1);
  expect(marks).toEqual([{ msg_id: "m1" }]);
  expect(FakeObserver.last.observed.size).toBe(0);
  see(element, 100);
  await pace.pass(10_000);
  expect(marks).toHaveLength(1);
});

test("opening a conversation and scrolling on reads nothing: the dwell begins anew", async () => {
  const element = watch();
  for (let look = 0; look < 5; look++) {
    see(element, 100);
    await pace.pass(900);
    see(element, 59);
    await pace.pass(900);
  }
  expect(marks).toEqual([]);
});

test("more of it coming into sight does not begin the dwell anew", async () => {
  const element = watch();
  for (const pixels of [60, 70, 80, 90, 100]) {
    see(element, pixels);
    await pace.pass(200);
  }
  expect(marks).toHaveLength(1);
});

test("nothing is read while the window has no focus or the page is hidden", async () => {
  const element = watch();
  focused = false;
  see(element, 100);
  await pace.pass(5000);
  focus(true);
  await pace.pass(500);
  focus(false);
  await pace.pass(5000);
  focus(true);
  await pace.pass(500);
  visible = "hidden";
  document.dispatchEvent(new Event("visibilitychange"));
  await pace.pass(5000);
  expect(marks).toEqual([]);
  visible = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  await pace.pass(999);
  expect(marks).toEqual([]);
  await pace.pass(1);
  expect(marks).toHaveLength(1);
});

test("a focus that went without a word is noticed at the end of the dwell", async () => {
  const element = watch();
  see(element, 100);
  focused = false;
  await pace.pass(5000);
  expect(marks).toEqual([]);
  focus(true);
  await pace.pass(1000);
  expect(marks).toHaveLength(1);
});

test("a message larger than the screen counts by the part of the screen that it fills", async () => {
  const element = watch();
  see(element, 479, 80_000);
  await pace.pass(5000);
  expect(marks).toEqual([]);
  see(element, 480, 80_000);
  await pace.pass(1000);
  expect(marks).toHaveLength(1);
});

test("steps are fine enough to be told of a hundredth of an element", () => {
  watch();
  const steps = FakeObserver.last.options.threshold as number[];
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
  expect([steps[0], steps.at(-1)]).toEqual([0, 1]);
  for (const [index, step] of steps.entries()) {
    expect(step - (steps[index - 1] ?? 0)).toBeLessThan(0.0101);
  }
  expect(steps.filter((step) => step > 0 && step < 0.01)).toHaveLength(9);
});

test("dwell, threshold and root are the application's to say", async () => {
  const root = document.createElement("main");
  const element = watch({ dwell: 50, threshold: 1, root });
  expect(FakeObserver.last.options.root).toBe(root);
  see(element, 99);
  await pace.pass(1000);
  expect(marks).toEqual([]);
  see(element, 100);
  await pace.pass(50);
  expect(marks).toHaveLength(1);
});

test("what stands for no message is looked at no more, and nothing is marked", async () => {
  const element = watch({ mark: () => undefined });
  see(element, 100);
  await pace.pass(1000);
  expect([marks, FakeObserver.last.observed.size]).toEqual([[], 0]);
});

test("unobserve() and disconnect() leave no timer and no listener; observe() may follow", async () => {
  const added = vi.spyOn(window, "addEventListener");
  const removed = vi.spyOn(window, "removeEventListener");
  const element = watch();
  const other = observed("m2");
  see(element, 100);
  see(other, 100);
  watcher.unobserve(element);
  await pace.pass(0);
  expect(pace.waits).toEqual([1000]);
  watcher.disconnect();
  expect(pace.waits).toEqual([]);
  expect(removed.mock.calls).toEqual(added.mock.calls);
  watcher.observe(element);
  see(element, 100);
  await pace.pass(1000);
  expect(marks).toEqual([{ msg_id: "m1" }]);
});

test("what is exactly the threshold is enough, however it was computed", async () => {
  const element = watch({ threshold: 0.6 });
  see(element, 18 * 0.6, 18);
  await pace.pass(1000);
  expect(marks).toHaveLength(1);
});

test("an element that takes no room is not seen", async () => {
  const element = watch();
  see(element, 0, 0);
  await pace.pass(5000);
  expect(marks).toEqual([]);
});
