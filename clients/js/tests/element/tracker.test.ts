// What elements of one client share: loads that go together, and counts that come out right
// whatever comes first, the answer or the event.

import { describe, expect, test } from "vitest";

import { SeenbyError } from "../../src/errors.js";
import type { CountEvent } from "../../src/element/source.js";
import type { Known } from "../../src/element/tally.js";
import { Tracker, trackerOf, type Watcher } from "../../src/element/tracker.js";
import { FakeClient } from "./fake.js";

/** Lets everything happen that needs no time. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** Time that passes only when the test says so. */
class Timers {
  readonly waiting: { ms: number; call: () => void }[] = [];
  readonly after = (ms: number, call: () => void): (() => void) => {
    const timer = { ms, call };
    this.waiting.push(timer);
    return () => {
      const at = this.waiting.indexOf(timer);
      if (at >= 0) this.waiting.splice(at, 1);
    };
  };

  pass(): void {
    for (const { call } of this.waiting.splice(0)) call();
  }
}

/** What an element would show, one entry for each change. */
function look(tracker: Tracker, msgId: string, read = 0, of?: number): Known[] {
  const shown: Known[] = [];
  tracker.watch(msgId, read, of, (known) => shown.push(known));
  return shown;
}

const ignore: Watcher = () => undefined;

describe("loading", () => {
  test("messages that appear together are loaded together, a hundred at a time", async () => {
    const client = new FakeClient();
    const tracker = new Tracker(client);
    for (let n = 0; n < 250; n += 1) look(tracker, `m${n}`);
    look(tracker, "m0");
    await settle();
    expect(client.asked.map((ids) => ids.length)).toEqual([100, 100, 50]);
    expect(new Set(client.asked.flat()).size).toBe(250);
  });

  test("what the page says is shown until the answer is there, and the answer then counts", async () => {
    const client = new FakeClient();
    client.message("m1", 10);
    client.mark("m1", "bob");
    const shown = look(new Tracker(client), "m1", 4, 9);
    expect(shown.at(-1)).toMatchObject({ read: 4, of: 9 });
    await settle();
    expect(shown.at(-1)).toMatchObject({ read: 1, of: 10 });
  });

  test("the audience that the page knows stays where the message is not registered", async () => {
    const client = new FakeClient();
    client.mark("m1", "bob");
    const shown = look(new Tracker(client), "m1", 0, 3);
    await settle();
    expect(shown.at(-1)).toMatchObject({ read: 1, of: 3 });
  });

  test("an id that the API refuses spoils nobody else's load", async () => {
    const client = new FakeClient();
    const tracker = new Tracker(client);
    for (const id of ["", "two words", "é", "x".repeat(65), "m1"]) look(tracker, id);
    await settle();
    expect(client.asked).toEqual([["m1"]]);
  });

  test("a reset loads everything anew, and may lower a count", async () => {
    const client = new FakeClient();
    const message = client.message("m1", 10);
    for (const reader of ["ann", "bob", "cas"]) client.mark("m1", reader);
    const shown = look(new Tracker(client), "m1");
    await settle();
    message.readers.delete("bob");
    client.emit("reset", { epoch: "e2", seq: 0 });
    await settle();
    expect(shown.map(({ read }) => read)).toEqual([0, 3, 2]);
    expect(client.asked).toHaveLength(2);
  });

  test("a reset while a load is under way loads once more", async () => {
    const client = new FakeClient();
    client.message("m1", 10);
    client.hold = true;
    const shown = look(new Tracker(client), "m1");
    await settle();
    client.serve();
    client.mark("m1", "bob");
    client.stream.length = 0;
    client.emit("reset", { epoch: "e2", seq: 1 });
    client.answer();
    await settle();
    client.answer();
    await settle();
    expect(client.asked).toHaveLength(2);
    expect(shown.at(-1)?.read).toBe(1);
  });

  test("a load that fails is tried again, after longer and longer pauses", async () => {
    const client = new FakeClient();
    const timers = new Timers();
    client.failure = new SeenbyError("unreachable", "seenby does not answer");
    const shown = look(new Tracker(client, timers.after), "m1", 2);
    const pauses: (number | undefined)[] = [];
    for (let turn = 0; turn < 7; turn += 1) {
      await settle();
      pauses.push(timers.waiting[0]?.ms);
      timers.pass();
    }
    expect(pauses).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    await settle();
    client.failure = undefined;
    client.mark("m1", "bob");
    timers.pass();
    await settle();
    expect(timers.waiting).toEqual([]);
    expect(shown.at(-1)?.read).toBe(1);
  });

  test("messages that appear during a pause wait for its end", async () => {
    const client = new FakeClient();
    const timers = new Timers();
    client.failure = new SeenbyError("unreachable", "seenby does not answer");
    const tracker = new Tracker(client, timers.after);
    look(tracker, "m1");
    await settle();
    look(tracker, "m2");
    await settle();
    expect(client.asked).toEqual([["m1"]]);
    client.failure = undefined;
    timers.pass();
    await settle();
    expect(client.asked.at(-1)?.toSorted()).toEqual(["m1", "m2"]);
  });

  test("a client that is online again ends the pause", async () => {
    const client = new FakeClient();
    const timers = new Timers();
    client.failure = new SeenbyError("unreachable", "seenby does not answer");
    look(new Tracker(client, timers.after), "m1");
    await settle();
    client.failure = undefined;
    client.emit("status", { status: "waiting" });
    await settle();
    expect(client.asked).toHaveLength(1);
    client.emit("status", { status: "online" });
    await settle();
    expect(client.asked).toHaveLength(2);
    expect(timers.waiting).toEqual([]);
  });

  test("a refusal that would be repeated is not tried again", async () => {
    const client = new FakeClient();
    const timers = new Timers();
    client.failure = new SeenbyError("forbidden", "not yours", 403);
    look(new Tracker(client, timers.after), "m1");
    await settle();
    expect(timers.waiting).toEqual([]);
  });
});

describe("who watches", () => {
  test("all elements of a client share one tracker, and other clients have others", () => {
    const [one, two] = [new FakeClient(), new FakeClient()];
    expect(trackerOf(one)).toBe(trackerOf(one));
    expect(trackerOf(one)).not.toBe(trackerOf(two));
  });

  test("with the last element gone nothing listens and nothing waits", async () => {
    const client = new FakeClient();
    const timers = new Timers();
    client.failure = new SeenbyError("unreachable", "seenby does not answer");
    const tracker = new Tracker(client, timers.after);
    const ends = ["m1", "m1", "m2"].map((id) => tracker.watch(id, 0, undefined, ignore));
    await settle();
    expect(client.listening).toBeGreaterThan(0);
    for (const end of ends) end();
    await settle();
    expect(client.listening).toBe(0);
    expect(timers.waiting).toEqual([]);
  });

  test("an element that is moved keeps what is known, and asks nothing", async () => {
    const client = new FakeClient();
    client.message("m1", 10);
    client.mark("m1", "bob");
    const tracker = new Tracker(client);
    const end = tracker.watch("m1", 0, undefined, ignore);
    await settle();
    end();
    const shown = look(tracker, "m1");
    await settle();
    expect(shown.map(({ read }) => read)).toEqual([1]);
    expect(client.asked).toHaveLength(1);
  });

  test("an answer for an element that is gone does no harm to the one that came after it", async () => {
    const client = new FakeClient();
    client.message("m1", 10);
    client.hold = true;
    const tracker = new Tracker(client);
    const end = tracker.watch("m1", 0, undefined, ignore);
    await settle();
    client.serve();
    end();
    await settle();
    client.mark("m1", "bob");
    const shown = look(tracker, "m1");
    client.answer();
    await settle();
    client.answer();
    await settle();
    expect(shown.at(-1)?.read).toBe(1);
  });
});

describe("an answer and an event that cross", () => {
  test("an event that came during the load is not lost to the older answer", async () => {
    const client = new FakeClient();
    client.message("m1", 10);
    client.hold = true;
    const shown = look(new Tracker(client), "m1");
    await settle();
    client.serve();
    client.mark("m1", "bob");
    client.deliver();
    client.answer();
    await settle();
    expect(shown.map(({ read }) => read)).toEqual([0, 1, 1]);
  });

  test("a withdrawal that came during the load is not undone by the older answer", async () => {
    const client = new FakeClient();
    client.message("m1", 10);
    client.mark("m1", "bob");
    client.deliver();
    client.hold = true;
    const shown = look(new Tracker(client), "m1");
    await settle();
    client.serve();
    client.withdraw("m1", "bob");
    client.deliver();
    client.answer();
    await settle();
    expect(shown.at(-1)?.read).toBe(0);
  });

  test("an event that the answer has counted already counts nothing twice", async () => {
    for (const of of [10, undefined]) {
      const client = new FakeClient();
      client.message("m1", of);
      client.mark("m1", "ann");
      client.mark("m1", "bob");
      const shown = look(new Tracker(client), "m1");
      await settle();
      client.deliver();
      expect(shown.map(({ read }) => read)).toEqual([0, 2, 2, 2]);
    }
  });

  test("an event during a load asks for no other load when the answer settles it", async () => {
    const client = new FakeClient();
    client.hold = true;
    const shown = look(new Tracker(client), "m1");
    await settle();
    client.mark("m1", "bob");
    client.deliver();
    client.answer();
    await settle();
    expect(shown.at(-1)?.read).toBe(1);
    expect(client.asked).toHaveLength(1);
  });

  test("where not all readers are known by name an unknown one is asked for", async () => {
    const client = new FakeClient();
    client.namesMax = 1;
    for (const reader of ["ann", "bob", "cas"]) client.mark("m1", reader);
    const shown = look(new Tracker(client), "m1");
    await settle();
    client.deliver();
    await settle();
    expect(shown.at(-1)?.read).toBe(3);
    expect(client.asked.length).toBeGreaterThan(1);
  });
});

test("the time of the only reader is known, and no longer that of one of two", async () => {
  const client = new FakeClient();
  client.message("m1", undefined, "private");
  const shown = look(new Tracker(client), "m1");
  await settle();
  client.mark("m1", "bob");
  const at = client.now;
  client.deliver();
  expect(shown.at(-1)).toMatchObject({ read: 1, at });
  client.mark("m1", "eve");
  client.deliver();
  expect(shown.at(-1)).toMatchObject({ read: 2, at: undefined });
});

/** Numbers from 0 to below `under`, the same ones for the same seed (xorshift). */
function chance(seed: number): (under: number) => number {
  let state = seed * 2_654_435_761 || 1;
  return (under) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % under;
  };
}

const MESSAGES = {
  registered: { of: 12, namesMax: 100 },
  "registered, with more readers than names": { of: 12, namesMax: 2 },
  "not registered": { of: undefined, namesMax: 100 },
  "not registered, with more readers than names": { of: undefined, namesMax: 2 },
};

describe.each(Object.entries(MESSAGES))("in any order: %s", (_, { of, namesMax }) => {
  test("the count ends right, and only jumps back for a reason", async () => {
    for (let seed = 1; seed <= 250; seed += 1) await play(seed, of, namesMax);
  });
});

/** A story of marks, withdrawals, loads and events, told in an order of chance. */
async function play(seed: number, of: number | undefined, namesMax: number): Promise<void> {
  const next = chance(seed);
  const client = new FakeClient();
  client.hold = true;
  client.namesMax = namesMax;
  client.message("m1", of);
  const shown: { read: number; event: CountEvent | undefined }[] = [];
  const tracker = new Tracker(client);
  tracker.watch("m1", 0, of, ({ read }, event) => shown.push({ read, event }));
  const reader = (): string => `reader${next(12)}`;
  const steps = [
    () => client.mark("m1", reader()),
    () => client.mark("m1", reader()),
    () => client.withdraw("m1", reader()),
    () => client.deliver(1),
    () => client.deliver(1),
    () => client.serve(),
    () => client.answer(),
    () => next(4) === 0 && client.emit("reset", {}),
    settle,
  ];
  for (let step = 0; step < 60; step += 1) await steps[next(steps.length)]?.();
  client.deliver();
  await settle();
  while (client.loads.length > 0) {
    client.answer();
    await settle();
  }
  const truth = client.messages.get("m1")?.readers.size;
  expect({ seed, read: shown.at(-1)?.read }).toEqual({ seed, read: truth });
  for (const [at, { read, event }] of shown.entries()) {
    const before = shown[at - 1]?.read ?? 0;
    const reason = event === undefined || event.type === "read_withdrawn";
    expect({ seed, at, fine: read >= before || reason }).toEqual({ seed, at, fine: true });
  }
}
