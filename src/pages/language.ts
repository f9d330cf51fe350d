/** Which language a page is in (RFC 9110, section 12.5.4). */

/** The languages our pages speak; the first is that of whoever asks for none of them. */
export const LANGUAGES = ["en", "fr", "de", "es"] as const;

export type Language = (typeof LANGUAGES)[number];

/** What we look at; no browser sends nearly as much. */
const CHARS_MAX = 1_000;

interface Range {
  /** The primary subtag in lower case, or `*`: `fr` for `fr-CA`. */
  readonly language: string;
  readonly quality: number;
}

/**
 * The language with the highest quality; on a tie the one that is named first. A range names its language whatever
 * region follows (RFC 4647, section 3.4: `fr-CA` finds `fr`); `*` is any language that is not named. English where
 * nothing fits: a page in the wrong language says more than none. Pure.
 * @param accepted the `Accept-Language` header; `null` when there is none
 */
export function languageFor(accepted: string | null): Language {
  if (accepted === null) return LANGUAGES[0];
  const ranges = readRanges(accepted);
  const named = new Set(ranges.map(({ language }) => language));
  const wanted = ranges
    .filter(({ quality }) => quality > 0)
    .toSorted((a, b) => b.quality - a.quality);
  for (const { language } of wanted) {
    const found = LANGUAGES.find((known) =>
      language === "*" ? !named.has(known) : known === language,
    );
    if (found !== undefined) return found;
  }
  return LANGUAGES[0];
}

/** The ranges of a header. What cannot be read is passed over. */
function readRanges(accepted: string): readonly Range[] {
  return accepted
    .slice(0, CHARS_MAX)
    .toLowerCase()
    .split(",")
    .flatMap((part) => {
      const [tag = "", ...parameters] = part.split(";").map((piece) => piece.trim());
      if (!/^(?:\*|[a-z]{1,8}(?:-[a-z0-9]{1,8})*)$/.test(tag)) return [];
      const quality = qualityOf(parameters);
      return quality === null ? [] : [{ language: tag.split("-", 1)[0] ?? tag, quality }];
    });
}

/** 0 to 1 with at most three decimals; 1 when there is none; `null` when it cannot be read. */
function qualityOf(parameters: readonly string[]): number | null {
  const [first] = parameters;
  if (first === undefined || first === "") return 1;
  const value = /^q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.exec(first)?.[1];
  return value === undefined ? null : Number(value);
}
