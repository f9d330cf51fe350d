/** Every call that a fake platform received, and how many there were of which kind. */

/** One call, as it came and as it was answered. */
export interface JournalEntry {
  /** The route's: `apps.list`; `unknown` for what is no route. */
  readonly kind: string;
  readonly method: string;
  /** Name of the host that was called, in lower case, without the port. */
  readonly host: string;
  /** As sent, without the query. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Names in lower case. Credentials included. */
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed where it is JSON, else as text; `null`: none. */
  readonly body: unknown;
  /** When its head arrived, by the fake's clock, in ms. */
  readonly atMs: number;
  /** `null`: not answered, or not yet. */
  status: number | null;
  /** When the answer was sent; `null` likewise. */
  answeredAtMs: number | null;
}

/** What a pattern means: an exact kind, all kinds below one (`apps.*`), or all (`*`). */
export function matchesKind(pattern: string, kind: string): boolean {
  if (pattern === "*") return true;
  return pattern.endsWith(".*") ? kind.startsWith(pattern.slice(0, -1)) : kind === pattern;
}

/** The calls whose kind matches, oldest first. */
export function callsOf(journal: readonly JournalEntry[], pattern: string): JournalEntry[] {
  return journal.filter(({ kind }) => matchesKind(pattern, kind));
}

/** How often each kind was called; only kinds that were. For one `expect` about the whole cost of a story. */
export function countsOf(journal: readonly JournalEntry[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of journal) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** The most calls of a kind that arrived within any span of `windowMs`: what a rate limit sees. */
export function densestOf(entries: readonly JournalEntry[], windowMs: number): number {
  const times = entries.map(({ atMs }) => atMs).toSorted((a, b) => a - b);
  let densest = 0;
  for (let first = 0, last = 0; last < times.length; last += 1) {
    while ((times[last] ?? 0) - (times[first] ?? 0) >= windowMs) first += 1;
    densest = Math.max(densest, last - first + 1);
  }
  return densest;
}
