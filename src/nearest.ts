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

/** The same for one of a few fixed words: a part of one, or more than one, will do: `memory` for `in-memory`. */
export function nearestWord(word: string, candidates: readonly string[]): string | null {
  const text = word.toLowerCase();
  const isPart = (candidate: string) => candidate.includes(text) || text.includes(candidate);
  const likely = text.length < SHORT_NAME ? undefined : candidates.find(isPart);
  return nearest(word, candidates, Math.max(1, Math.floor(word.length / 3))) ?? likely ?? null;
}

/**
 * The same for names of words joined by `_`. Candidates that begin with the same word go before all others, and one
 * that has every word of the name, or none besides, is meant however much that is: `HEROKU_TOKEN` for
 * `HEROKU_API_TOKEN`, `CERT_FILE` for `CERT`.
 */
export function nearestName(name: string, candidates: readonly string[]): string | null {
  const words = wordsOf(name);
  const siblings = candidates.filter((candidate) => wordsOf(candidate)[0] === words[0]);
  const likely = siblings.length > 0 ? siblings : candidates;
  const related = likely.filter((candidate) => {
    const others = wordsOf(candidate);
    const isPart = others.every((word) => words.includes(word));
    return isPart || words.every((word) => others.includes(word));
  });
  // A single word that several names have, such as TOKEN, tells nothing.
  if (related.length === 1 || siblings.length > 0) {
    const found = nearest(name, related, Number.POSITIVE_INFINITY);
    if (found !== null) return found;
  }
  return nearest(name, likely, name.length <= SHORT_NAME ? 1 : undefined);
}

/** Two mistakes make any other word of so few letters. */
const SHORT_NAME = 3;

function wordsOf(name: string): readonly string[] {
  return name.toUpperCase().split("_");
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
