/** From names on platforms, which may be any text, to keys, which are labels of host names. */

/** Longest label of a host name, in characters. Source: RFC 1035, 2.3.4. */
const LABEL_CHARS_MAX = 63;

/** Letters that are no letter with an accent, and what people write instead. */
const SPELLINGS: Readonly<Record<string, string>> = {
  ß: "ss",
  æ: "ae",
  œ: "oe",
  ø: "o",
  ł: "l",
  đ: "d",
  ð: "d",
  þ: "th",
  ı: "i",
};

/** Pure. `Été à Paris (2)` is `ete-a-paris-2`; empty when the name has no letter or digit that can be kept. */
export function slugOf(name: string): string {
  const plain = name
    .normalize("NFKD")
    .toLowerCase()
    .replaceAll(/\p{M}/gu, "")
    .replaceAll(/[ßæœøłđðþı]/g, (letter) => SPELLINGS[letter] ?? letter);
  const label = plain.replaceAll(/[^a-z0-9]+/g, "-").slice(0, LABEL_CHARS_MAX + 1);
  return label.replace(/^-/, "").slice(0, LABEL_CHARS_MAX).replace(/-$/, "");
}

/** Pure. The key by which an app can always be reached: `app_0210ab5c-…` is `app-0210ab5c-…`. */
export function aliasOf(appId: string): string {
  return slugOf(appId);
}
