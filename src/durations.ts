/** Durations in words. */

/** Pure. A duration for people: `812 ms`, `6.2 s`, `15 min`, `2 h 5 min`. */
export function durationText(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 10_000) return `${Number((durationMs / 1000).toFixed(1))} s`;
  if (durationMs < 60_000) return `${Math.round(durationMs / 1000)} s`;
  const minutes = Math.round(durationMs / 60_000);
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return rest === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${rest} min`;
}
