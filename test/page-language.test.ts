import { describe, expect, test } from "bun:test";
import { LANGUAGES, type Language, languageFor } from "../src/pages/language.ts";

describe("the language of a page", () => {
  const CASES: readonly (readonly [accepted: string | null, language: Language, why: string])[] = [
    [null, "en", "nothing is asked for"],
    ["", "en", "nothing is named"],
    ["fr", "fr", "it is named"],
    ["FR-CA", "fr", "its region does not matter, nor its case"],
    ["de-CH-1996", "de", "further parts do not matter"],
    ["de-CH,de;q=0.9,en;q=0.8", "de", "what browsers send"],
    ["en;q=0.5, es;q=0.7", "es", "the highest quality wins"],
    ["es;q=0.7, fr;q=0.7", "es", "the first wins on a tie"],
    ["pt-BR, pt;q=0.9, es;q=0.5", "es", "the best that we speak"],
    ["zh-Hans-CN, ja", "en", "none that we speak"],
    ["*", "en", "any will do"],
    ["pt, *;q=0.5", "en", "any will do in the end"],
    ["en;q=0, *", "fr", "any but one"],
    ["fr;q=0", "en", "one is refused"],
    ["en;q=0", "en", "a page in the wrong language says more than none"],
    ["*;q=0", "en", "all are refused"],
    ["en-GB;q=0.2, *;q=0.9", "fr", "what is named is not any"],
    ["fr ; q = 0.3 , de ;q=0.4", "de", "white space is allowed"],
    ["fr;q=1.000, de;q=0.999", "fr", "three decimals count"],
    ["fr;q=2, de", "de", "a quality above 1 cannot be read"],
    ["fr;q=0.1234, de;q=0.01", "de", "a quality with four decimals cannot be read"],
    ["fr;level=1, de", "de", "other parameters cannot be read"],
    ["<script>, es", "es", "what is no language is passed over"],
    ["french, german", "en", "names of languages are no tags of ours"],
    ["fra", "en", "codes of three letters are others"],
    [",,;q=1,fr", "fr", "empty parts are passed over"],
    [`${"pt, ".repeat(500)}fr`, "en", "nobody sends so many"],
  ];
  for (const [accepted, language, why] of CASES) {
    test(`${JSON.stringify(accepted?.slice(0, 30) ?? null)} is ${language}: ${why}`, () => {
      expect(languageFor(accepted)).toBe(language);
    });
  }

  test("every language of ours is found by its own name", () => {
    for (const language of LANGUAGES) expect(languageFor(language)).toBe(language);
  });
});
