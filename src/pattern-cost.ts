/** Measures how long a pattern can take on a host name that somebody made up to be slow. */

/** Longest DNS label (RFC 1035, section 2.3.4): what a pattern is run on is never longer. */
const LABEL_MAX = 63;
/** Letters of the pattern itself that are tried, one probe each. */
const LETTERS_MAX = 4;
/** What is repeated: letters, words, digits and a mixture. */
const REPEATED = ["a", "a-", "1", "a1-"] as const;

/**
 * The longest time a match against one of a handful of labels took, the better of two runs each, in ms. It ends
 * at the first that takes longer than `limitMs`, whose time it returns. The labels end with what seldom matches,
 * because a pattern that nests repetitions tries every way to divide the text before it gives up.
 * @param timeMs any clock, in ms
 */
export function slowestMatchMs(pattern: RegExp, limitMs: number, timeMs: () => number): number {
  let slowestMs = 0;
  for (const label of probesFor(pattern.source)) {
    let tookMs = matchMs(pattern, label, timeMs);
    // A pause of the machine is no fault of the pattern.
    if (tookMs > limitMs) tookMs = Math.min(tookMs, matchMs(pattern, label, timeMs));
    slowestMs = Math.max(slowestMs, tookMs);
    if (slowestMs > limitMs) break;
  }
  return slowestMs;
}

function matchMs(pattern: RegExp, label: string, timeMs: () => number): number {
  const beganMs = timeMs();
  pattern.exec(label);
  return timeMs() - beganMs;
}

/** Labels of 63 characters, in lower case, as hosts are when they are looked up. */
function probesFor(source: string): Set<string> {
  const plain = plainStart(source);
  const letters = new Set(source.replaceAll(/\\.|\[[^\]]*\]/g, "").match(/[a-z0-9]/g));
  const starts = new Set(["", literalStart(source), literalStart(plain)]);
  const probes = new Set<string>();
  for (const start of starts) {
    for (const text of REPEATED) probes.add(probe(start, text));
  }
  for (const letter of [...letters].slice(0, LETTERS_MAX)) probes.add(probe("", letter));
  return probes;
}

function probe(start: string, text: string): string {
  return `${(start + text.repeat(LABEL_MAX)).slice(0, LABEL_MAX - 1)}_`;
}

/** The pattern with an example in place of simple parts: `^(app|web)-pr(\d+)-` becomes `^app-pr1-`. */
function plainStart(source: string): string {
  return source
    .replaceAll(/\\d(?:[+*]|\{[\d,]+\})?/g, "1")
    .replaceAll(/(?:\\w|\[[^\]]*\])(?:[+*]|\{[\d,]+\})?/g, "a")
    .replaceAll(/\((?:\?:|\?<\w+>)?([\w-]+)(?:\|[\w-]*)*\)(?![*+?{])/g, "$1");
}

/** The text that a match begins with: `review-` of `^review-(\w+)$`. */
function literalStart(source: string): string {
  // The last character belongs to what is repeated when a quantifier follows it.
  const start = /^\^?((?:[a-z0-9_-](?![*+?{]))*)/.exec(source)?.[1] ?? "";
  return start.slice(0, LABEL_MAX / 2);
}
