// Wait for a condition, never for a duration.

/** Nobody is measured by this: a machine that is busy with other things takes its time. */
const PATIENCE = 120_000;
const PAUSE = 20;

/** Resolves as soon as the condition holds; rejects after two minutes with what was waited for. */
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
