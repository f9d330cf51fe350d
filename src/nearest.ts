/** Finds the known word that somebody probably meant. */

/**
 * The candidate with the fewest typing mistakes, or `null` when none is near enough.
 * @param mistakesMax insertions, deletions, replacements and swaps of neighbours; without it, two, or more
 *   for long words (a third of their length)
 */
export function nearest(
  word: string,
  candidates: readonly string[],
  mistakesMax = Math.max(2, Math.floor(word.length / 3)),
): string | null {
  let best: string | null = null;
  let bestMistakes = mistakesMax + 1;
  for (const candidate of candidates) {
    const mistakes = mistakesBetween(word.toLowerCase(), candidate.toLowerCase());
    if (mistakes < bestMistakes) {
      best = candidate;
      bestMistakes = mistakes;
    }
  }
  return best;
}

/** Optimal string alignment distance, row by row. */
function mistakesBetween(from: string, to: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current[column] = Math.min(
        at(previous, column) + 1,
        at(current, column - 1) + 1,
        at(previous, column - 1) + (same ? 0 : 1),
        swapped ? at(beforePrevious, column - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    beforePrevious = previous;
    previous = current;
  }
  return at(previous, to.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
