/** Waiting in tests: for a condition, never for a time. */

/** How long a condition may take before the test fails, in ms. */
const PATIENCE_MS = 5_000;

/** Resolves as soon as `condition` holds; rejects with its source when it does not in time. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  patienceMs: number = PATIENCE_MS,
): Promise<void> {
  const startMs = performance.now();
  while (!(await condition())) {
    if (performance.now() - startMs > patienceMs) {
      throw new Error(`Not within ${patienceMs} ms: ${condition}`);
    }
    await Bun.sleep(2);
  }
}
