// Paces for tests: one whose time stands still until it is told, and one whose time runs faster.

import type { Pace } from "../../src/index.js";

interface Timer {
  at: number;
  milliseconds: number;
  callback: () => void;
}

/** Time passes only by `pass()`; chance is what the test says. */
export class FakePace implements Pace {
  chance = 0.5;
  #now = 0;
  #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  random(): number {
    return this.chance;
  }

  after(milliseconds: number, callback: () => void): () => void {
    const timer = { at: this.#now + milliseconds, milliseconds, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** What is waited for, in milliseconds as it was asked, the nearest first. */
  get waits(): number[] {
    return [...this.#timers].sort((a, b) => a.at - b.at).map((timer) => timer.milliseconds);
  }

  /** Lets so many milliseconds pass, and whatever is due in between happen. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      await settled();
      const due = [...this.#timers].sort((a, b) => a.at - b.at)[0];
      if (!due || due.at > end) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
    }
    this.#now = end;
    await settled();
  }
}

/** Everything that waits for nothing but its turn has had it. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A clock that runs so many times faster: a dead network is noticed sooner. */
export function fastPace(times: number): Pace {
  return {
    now: () => performance.now() * times,
    random: Math.random,
    after: (milliseconds, callback) => {
      const timer = setTimeout(callback, milliseconds / times);
      return () => clearTimeout(timer);
    },
  };
}
