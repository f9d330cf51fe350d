import { describe, expect, test } from "bun:test";

import { LAST_OUTPUT, LAST_PROBE } from "../src/app.ts";
import { blockedBecause, nothingToWake } from "../src/last-word.ts";
import type { ProviderErrorKind } from "../src/providers/provider.ts";
import { ProviderError } from "../src/providers/provider.ts";
import { PUBLIC_WHY_DEFAULT, publicWhyOf } from "../src/public-why.ts";

const DETAILS = "could not read shop: 401 from api.cloud.test [request 5d02c1]";
const LOG = "; the log of Paastis says why";

describe("what anybody may read of a failure", () => {
  const KINDS: readonly (readonly [ProviderErrorKind, string])[] = [
    ["auth", "its platform refused the call"],
    ["busy", "its platform is busy with it"],
    ["failed", "it could not be started"],
    ["forbidden", "its platform refused the call"],
    ["invalid", "its platform refused the call"],
    ["network", "its platform cannot be reached at the moment"],
    ["not-found", "its platform does not know it"],
    ["payment", "its platform refused the call"],
    ["protocol", "its platform gave an answer that Paastis does not understand"],
    ["rate-limited", "its platform takes no more calls at the moment"],
    ["unavailable", "its platform cannot be reached at the moment"],
  ];
  test.each(KINDS)("public: of a platform's %s, that %s", (kind, words) => {
    expect(publicWhyOf(new ProviderError(kind, DETAILS))).toBe(words + LOG);
  });

  test("public: a sentence of our own, without an app's words and without our addresses", () => {
    for (const [said, shown] of [
      ["it did not answer within 20 s", "it did not answer within 20 s"],
      [`it timed out${LAST_PROBE}http://127.0.0.1:27051: refused`, "it timed out"],
      [`exited with status 1${LAST_OUTPUT}the secret word`, "exited with status 1"],
      [`exited${LAST_PROBE}http://a${LAST_OUTPUT}b`, "exited"],
    ] as const) {
      expect(publicWhyOf(new Error(said))).toBe(shown);
    }
  });

  test("public: that a platform blocks an app or has nothing to wake, and not why", () => {
    const observation = { phase: "blocked", target: null, reason: "an invoice is unpaid" } as const;
    for (const why of [blockedBecause(observation), nothingToWake(observation)]) {
      expect(why).toContain("invoice");
      for (const error of [new Error(why), new ProviderError("failed", why)]) {
        expect(publicWhyOf(error)).not.toContain("invoice");
        expect(publicWhyOf(error)).toEndWith(LOG);
        expect(why).toStartWith(publicWhyOf(error).replace(LOG, ""));
      }
    }
  });

  test("public: a mistake of ours is told in no words of its own", () => {
    for (const thrown of [new TypeError("undefined is not /srv/secret"), "a text", null]) {
      expect(publicWhyOf(thrown)).toBe(PUBLIC_WHY_DEFAULT);
    }
  });
});
