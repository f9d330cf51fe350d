/** Waiting in tests: for a condition, never for a time. */

/** How long a condition may take before the test fails, in ms. */
const PATIENCE_MS = 30_000;
/** Longest pause between two looks, in ms: whoever looks all the time keeps those from the cores for whom it waits. */
const PAUSE_MAX_MS = 20;

/** Resolves as soon as `condition` holds; rejects with its source when it does not in time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  patienceMs: number = PATIENCE_MS,
): Promise<void> {
  const startMs = performance.now();
  while (!(await condition())) {
    const waitedMs = performance.now() - startMs;
    if (waitedMs > patienceMs) throw new Error(`Not within ${patienceMs} ms: ${condition}`);
    // Soon after its beginning, later less and less often.
    await Bun.sleep(Math.min(PAUSE_MAX_MS, 1 + waitedMs / 20));
  }
}
