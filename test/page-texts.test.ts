import { describe, expect, test } from "bun:test";
import { blockedBecause, nothingToWake } from "../src/last-word.ts";
import { LANGUAGES, type Language } from "../src/pages/language.ts";
import { reasonIn, reasonNames } from "../src/pages/reasons.ts";
import { fill, TEXTS, type Texts, timeText } from "../src/pages/texts.ts";
import { ProviderError, type ProviderErrorKind } from "../src/providers/provider.ts";
import { PUBLIC_WHY_DEFAULT, publicWhyOf } from "../src/public-why.ts";

const OTHERS: readonly Language[] = LANGUAGES.filter((language) => language !== "en");

/** Every text, by where it stands. */
function textsOf(value: unknown, path = ""): [path: string, text: string][] {
  if (typeof value === "string") return [[path, value]];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => textsOf(inner, `${path}.${name}`));
}

/** Its words in braces, sorted. */
function slotsOf(text: string): string[] {
  return [...text.matchAll(/\{\w+\}/g)].map(([slot]) => slot).toSorted();
}

describe("texts of pages", () => {
  const english = new Map(textsOf({ ...TEXTS.en, reasons: {}, errors: {} }));

  test.each(OTHERS)("in %s have the words to be filled in that English has", (language) => {
    const texts: Texts = { ...TEXTS[language], reasons: {} as never, errors: {} as never };
    for (const [path, text] of textsOf(texts)) {
      expect([path, ...slotsOf(text)]).toEqual([path, ...slotsOf(english.get(path) ?? "")]);
    }
  });

  test.each(OTHERS)("in %s are translated, and none is empty", (language) => {
    const same = textsOf(TEXTS[language])
      .filter(([path, text]) => text === "" || text === english.get(path))
      .map(([path]) => path);
    expect(same).toEqual([".direction"]);
  });

  test("words are filled in as they are, also such as mean something to a replacement", () => {
    expect(fill("{app}: {time}, {other}", { app: "$& {time}", time: "3 s" })).toBe(
      "$& {time}: 3 s, {other}",
    );
  });

  test("times are for people", () => {
    expect([0, 7, 99, 100, 120, 125].map(timeText)).toEqual([
      ...["0 s", "7 s", "99 s"],
      ...["1 min 40 s", "2 min", "2 min 5 s"],
    ]);
  });
});

describe("reasons on pages", () => {
  const observation = { phase: "blocked", target: null } as const;
  const KINDS: readonly ProviderErrorKind[] = [
    ...(["auth", "busy", "failed", "forbidden", "invalid", "network"] as const),
    ...(["not-found", "payment", "protocol", "rate-limited", "unavailable"] as const),
  ];
  /** What visitors are told, as the code that tells them writes it. */
  const SAID: readonly string[] = [
    ...KINDS.map((kind) => publicWhyOf(new ProviderError(kind, "details"))),
    publicWhyOf(new Error(blockedBecause(observation))),
    publicWhyOf(new Error(nothingToWake(observation))),
    PUBLIC_WHY_DEFAULT,
    "it did not answer within 20 s",
    "exited with status 1 after 0.3 s",
    "exited with status 137 (SIGKILL) after 2 min",
    "no connection could be made for 10 s",
    "100 requests wait for this app already",
    "too many requests wait for it already",
    "it was down; its wake has begun",
  ];

  test.each(OTHERS)("what visitors are told is told in %s", (language) => {
    for (const why of SAID) {
      const said = reasonIn(language, why);
      expect([why, said.language]).toEqual([why, language]);
      expect(said.text).not.toContain("{");
      expect(said.text).not.toContain("Paastis says");
    }
  });

  test("figures are kept", () => {
    expect(reasonIn("de", "it did not answer within 20 s").text).toBe(
      "Sie hat innerhalb von 20 s nicht geantwortet",
    );
    expect(reasonIn("fr", 'there is no app with the key "shopp"').text).toContain("shopp");
  });

  test("what an app or somebody else has said stays as it is, and counts as English", () => {
    const why = "exited with status 1 after 0.3 s; last output:\nboom";
    for (const language of LANGUAGES) {
      expect(reasonIn(language, why)).toEqual({ text: why, language: "en" });
    }
  });

  test("every reason has a word for each language", () => {
    for (const language of OTHERS) {
      expect(Object.keys(TEXTS[language].reasons ?? {}).toSorted()).toEqual(
        reasonNames().toSorted(),
      );
    }
  });
});
