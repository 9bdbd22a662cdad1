// Time and chance, as a client sees them; a test brings its own.

export interface Pace {
  /** Milliseconds of any steady clock. */
  now(): number;
  /** Calls back once after so many milliseconds; the returned function calls it off. */
  after(milliseconds: number, callback: () => void): () => void;
  /** A number from 0 up to 1. */
  random(): number;
}

export const realPace: Pace = {
  now: () => performance.now(),
  after: (milliseconds, callback) => {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
  random: () => Math.random(),
};

/**
 * Milliseconds to wait before trying again: full jitter, so that many clients spread out.
 *
 * @param failures attempts that have failed before, from 0
 * @param first the longest wait after the first failure; it doubles with each one
 * @param most the longest wait ever
 */
export function jittered(pace: Pace, failures: number, first = 1000, most = 30_000): number {
  return pace.random() * Math.min(most, first * 2 ** Math.min(failures, 32));
}
