// Wait for a condition, never for a duration.

const PATIENCE = 30_000;
const PAUSE = 20;

/** Resolves as soon as the condition holds; rejects after 30 s with what was waited for. */
export async function until(
  what: string,
  condition: () => unknown | Promise<unknown>,
): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}
