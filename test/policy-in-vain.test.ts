import { expect, test } from "bun:test";
import type { Config } from "../src/config.ts";
import { parsePaastisYml } from "../src/paastis-yml.ts";
import { policiesInVain } from "../src/policy-in-vain.ts";

const NOW_MS = Date.parse("2026-06-15T10:00:00Z");

function doubts(
  text: string,
  providers: Config["providers"] = ["process", "http"],
): readonly string[] {
  const { apps, problems } = parsePaastisYml(text, {
    folder: "/base",
    readText: () => ({ why: "must be a file that exists" }),
  });
  expect(problems).toEqual([]);
  // All that is looked at.
  return policiesInVain({ apps, providers } as Config, NOW_MS);
}

const SHOP = "apps: { shop: { command: ./shop } }\n";

test.each([
  [
    "an app that is never put to sleep by us",
    "apps: { legacy: { targets: ['http://10.0.0.5'], keep_awake: [{ days: mon }], hooks: { after_stop: x } } }",
    [
      "apps.legacy.keep_awake has no effect: the app sleeps by itself, or never",
      "apps.legacy.hooks has no effect: the app sleeps by itself, or never",
    ],
  ],
  [
    "a rule for such apps only",
    "apps: { legacy: { targets: ['http://10.0.0.5'] } }\nrules: [{ pattern: leg, websocket_max_quiet_time: 5 }]",
    [
      "rules[0].websocket_max_quiet_time has no effect: no app that it matches is put to sleep by Paastis",
    ],
  ],
  [
    "bots that prefetch",
    `${SHOP}rules: [{ pattern: s, wake: { ignore: [{ bots: true, prefetch: true }] } }]`,
    [
      "rules[0].wake.ignore[0] is for bots that prefetch, which hardly any does: make two entries of it",
    ],
  ],
  [
    "every request",
    `${SHOP}rules: [{ pattern: s, wake: { ignore: [{ paths: ['/*'] }] } }]`,
    ["rules[0].wake.ignore[0] is for every request (for /*): no request will wake the app"],
  ],
  [
    "a window that is over for good",
    `${SHOP}rules: [{ pattern: s, keep_awake: [{ time_zone: UTC, except: [01-01..12-31] }] }]`,
    [
      "rules[0].keep_awake[0] has no effect: it does not open within a year " +
        "(mon-sun 00:00-24:00 UTC except 01-01..12-31)",
    ],
  ],
  [
    "windows that contradict each other",
    `${SHOP}rules: [{ pattern: s, keep_awake: [{ hours: 8-21, time_zone: UTC }], force_sleep: [{ hours: 20-7, time_zone: UTC }] }]`,
    [
      "rules[0]: its keep_awake (mon-sun 08:00-21:00 UTC) and its force_sleep (mon-sun 20:00-07:00 UTC) overlap: " +
        "force_sleep goes first",
    ],
  ],
  [
    "an app that is never asked",
    "apps: { shop: { command: ./shop, app_max_idle_time: never, busy: { url: /busy } } }",
    ["apps.shop.busy.url has no effect: with app_max_idle_time: never it is never asked"],
  ],
])("doubts: %s", (_, text, expected) => {
  expect(doubts(text)).toEqual(expected);
});

test("doubts: settings that do what they say raise none", () => {
  const text = `${SHOP}rules:
  - pattern: s
    wake: { ignore: [{ bots: true }, { paths: ['/*'], methods: [HEAD] }] }
    keep_awake: [{ days: mon-fri, hours: 8-19, time_zone: UTC, except: [12-25] }]
    force_sleep: [{ hours: 20-7, time_zone: UTC }]
    busy: { url: /busy, header: true }
    websocket_max_quiet_time: 5
    hooks: { after_start: x }
`;
  expect(doubts(text)).toEqual([]);
});

test("doubts: what a platform's apps are is not known beforehand", () => {
  const text =
    "apps: { legacy: { targets: ['http://10.0.0.5'] } }\nrules: [{ pattern: leg, busy: { url: /b } }]";
  expect(doubts(text, ["http", "docker"])).toEqual([]);
});
