import { describe, expect, test } from "bun:test";
import type { Form } from "../src/accept.ts";
import { formFor } from "../src/accept.ts";

const FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const CHROME =
  "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";

const CASES: readonly [accept: string | null, form: Form, why: string][] = [
  [null, "json", "no header accepts everything"],
  ["", "json", "an empty header says nothing"],
  ["*/*", "json", "curl, fetch"],
  [FIREFOX, "html", "a browser"],
  [CHROME, "html", "a browser"],
  ["application/json, text/plain, */*", "json", "axios"],
  ["text/html, */*; q=0.01", "html", "jQuery that wants HTML"],
  ["image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "json", "an image"],
  ["text/css,*/*;q=0.1", "json", "a style sheet"],
  ["text/event-stream", "json", "nothing we have"],
  ["application/json", "json", "named"],
  ["APPLICATION/JSON", "json", "types have no case"],
  ["application/vnd.api+json", "json", "a kind of JSON"],
  ["application/graphql-response+json, application/json;q=0.9", "json", "a kind of JSON"],
  ["application/*", "json", "covers JSON only"],
  ["text/plain", "text", "named"],
  ["text/*", "text", "HTML must be named"],
  ["text/plain, */*", "text", "named more exactly than JSON"],
  ["text/html", "html", "named"],
  ["text/html, application/json", "json", "a tie is ours to break"],
  ["application/json, text/html", "json", "the order means nothing"],
  ["text/html;q=0.9, application/json", "json", "JSON is preferred"],
  ["text/html, application/json;q=0.9", "html", "HTML is preferred"],
  ["text/html;q=0.4, */*;q=0.5", "json", "HTML is worth less than the rest"],
  ["text/html;q=0", "json", "HTML is refused"],
  ["text/html;q=0, */*", "json", "HTML is refused"],
  ["application/json;q=0, */*", "text", "the exact range wins over the wide one"],
  ["application/json;q=0, text/html;q=0.1, */*;q=0", "html", "the only one left"],
  ["*/*;q=0", "json", "nothing is accepted: better that than nothing"],
  ["text/html;level=1;q=0.2, text/plain;q=0.3", "text", "other parameters"],
  ["text/html;charset=utf-8", "html", "other parameters"],
  ['text/html;x="a,b;q=0";q=1, application/json;q=0.5', "html", "quoted commas and semicolons"],
  ["text/html ; q = 0.2 , text/plain ; q=0.1", "html", "blanks"],
  ["text/html;q=high, text/plain", "text", "an unreadable quality"],
  ["text/html;q=2, text/plain;q=0.1", "text", "a quality out of range"],
  ["text/html;q=1.000", "html", "three decimals"],
  [",,;;,text/html,;q=1", "html", "empty parts"],
  ['text/html, "', "html", "an open quote"],
];

describe("accept", () => {
  for (const [accept, form, why] of CASES) {
    test(`${JSON.stringify(accept)} gets ${form}: ${why}`, () => {
      expect(formFor(accept)).toBe(form);
    });
  }

  test("a header of a megabyte is read no further than a browser's would be", () => {
    expect(formFor(`text/html${',"\\'.repeat(300_000)}`)).toBe("html");
    expect(formFor(`${" ,".repeat(500_000)}text/html`)).toBe("json");
  });
});
