import { expect, test } from "bun:test";

import { ANSWER_CODES, explanationOf, PaastisError } from "../src/errors.ts";
import { configInvalid } from "../src/load-config.ts";

test("errors: what to do follows the reason as a sentence of its own, and no stop stands alone", () => {
  expect(configInvalid(["PORT is wrong"]).message).toBe(
    "This configuration cannot be used: PORT is wrong. Fix it, then run `paastis check`",
  );
  const { message } = configInvalid(["PORT is wrong", "HOST is wrong"]);
  expect(message).toEndWith("\n  - HOST is wrong\nFix it, then run `paastis check`");
  expect(message).not.toMatch(/^\s*\./m);
});

test("errors: what was thrown unexpectedly explains itself by its message alone", () => {
  const explanation = { what: "a", why: "b", next: "c" };
  expect(explanationOf(new PaastisError("usage", explanation))).toEqual(explanation);
  expect(explanationOf(new Error("oops"))).toEqual({ what: "", why: "oops", next: "" });
});

test("errors: an answer about a limit names the setting", () => {
  expect(ANSWER_CODES.body_too_large.remedy).toContain("`MAX_BODY_SIZE`");
  expect(ANSWER_CODES.head_too_large.remedy).toContain("`MAX_HEADER_SIZE`");
  expect(ANSWER_CODES.request_timeout.remedy).toContain("`SERVER_HEADERS_TIMEOUT`");
});
