/** What was said last about something, so that it is said again only when it changes. */

/** Keeps the log from repeating itself. */
export interface LastSaid {
  /** Notes it. @returns whether it differs from what was said last */
  isNews(about: string, text: string): boolean;
  /** It is over. @returns whether anything was said about it */
  isOver(about: string): boolean;
  /** Forgets what is in nobody's list any more: should it come back, it is news. */
  keepOnly(about: ReadonlySet<string>): void;
}

/** Nothing has been said yet. */
export function createLastSaid(): LastSaid {
  const last = new Map<string, string>();
  return {
    isNews(about, text) {
      const isNews = last.get(about) !== text;
      last.set(about, text);
      return isNews;
    },
    isOver: (about) => last.delete(about),
    keepOnly(about) {
      for (const known of last.keys()) if (!about.has(known)) last.delete(known);
    },
  };
}

/** A reason without figures and identifiers: what differs in those alone is the same reason. Pure. */
export function withoutFigures(text: string): string {
  return text.replaceAll(/[\w-]*\d[\w-]*/g, "#");
}
