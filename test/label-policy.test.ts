/** What labels and annotations may say about when an app wakes and sleeps. */

import { describe, expect, test } from "bun:test";
import { readLabels } from "../src/providers/docker-labels.ts";
import { readMarks } from "../src/providers/kubernetes-annotations.ts";

const docker = (name: string, text: string) => {
  const { settings, problems } = readLabels({ [`paastis.${name.replaceAll("-", "_")}`]: text });
  return { settings, problems };
};
const kubernetes = (name: string, text: string) => {
  const { settings, problems } = readMarks({}, { [`paastis.dev/${name}`]: text });
  return { settings, problems };
};

describe.each([
  ["docker", docker],
  ["kubernetes", kubernetes],
])("%s labels about wakes and sleeps", (_, read) => {
  const nobody = { userAgents: null, paths: null, methods: null, bots: false, prefetch: false };
  const window = { fromMinute: 480, toMinute: 1140, zone: "Europe/Paris" };

  test.each([
    [
      "wake-ignore",
      "bots, prefetch, agent:Uptime Robot=200, path:/static/*, method:head = 404",
      {
        ignore: [
          { ...nobody, bots: true, status: 503 },
          { ...nobody, prefetch: true, status: 503 },
          { ...nobody, userAgents: ["uptime robot"], status: 200 },
          { ...nobody, paths: ["/static/*"], status: 503 },
          { ...nobody, methods: ["HEAD"], status: 404 },
        ],
      },
    ],
    [
      "keep-awake",
      "mon-fri 08:00-19:00 Europe/Paris except 12-25; sat 8-19 Europe/Paris",
      {
        keepAwake: [
          {
            ...window,
            days: [1, 2, 3, 4, 5],
            except: [{ from: "12-25", to: "12-25", isYearly: true }],
          },
          { ...window, days: [6], except: [] },
        ],
      },
    ],
    [
      "force-sleep",
      "sat,sun UTC",
      {
        forceSleep: [
          {
            days: [0, 6],
            fromMinute: 0,
            toMinute: 1440,
            zone: "UTC",
            except: [],
            mayBeWoken: false,
          },
        ],
      },
    ],
    ["busy", "/jobs/busy?all=1", { busyUrl: "/jobs/busy?all=1" }],
    ["keep-awake-header-max", "90", { keepAwakeHeaderMaxMinutes: 90 }],
    ["websocket-max-quiet-time", "0.5", { websocketMaxQuietMinutes: 0.5 }],
    ["websocket-max-quiet-time", "never", { websocketMaxQuietMinutes: "never" }],
  ])("%s: %j", (name, text, settings) => {
    expect(read(name, text)).toEqual({ settings, problems: [] } as never);
  });

  test.each([
    ["wake-ignore", "robots"],
    ["wake-ignore", "agent:"],
    ["wake-ignore", "bots=204"],
    ["wake-ignore", "path:healthz"],
    ["wake-ignore", ","],
    ["keep-awake", "someday 8-19"],
    ["keep-awake", "mon 8-19 Europe/Nowhere"],
    ["keep-awake", "mon except someday"],
    ["force-sleep", ""],
    // An app's owner may not have Paastis ask other machines.
    ["busy", "http://169.254.169.254/"],
    ["websocket-max-quiet-time", "0"],
  ])("%s: %j cannot be used, and that is said", (name, text) => {
    const { settings, problems } = read(name, text);
    expect(settings).toEqual({});
    expect(problems).toHaveLength(1);
  });

  test("hooks are no business of labels: they run with our rights", () => {
    const { settings, problems } = read("hooks", "rm -rf /");
    expect(settings).toEqual({});
    expect(problems).toHaveLength(1);
  });
});
