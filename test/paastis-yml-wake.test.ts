import { describe, expect, test } from "bun:test";
import { Check } from "typebox/schema";
import { parsePaastisYml } from "../src/paastis-yml.ts";
import { PAASTIS_YML_SCHEMA } from "../src/paastis-yml-schema.ts";
import { machineZone } from "../src/time-words.ts";

const parse = (text: string) =>
  parsePaastisYml(text, {
    folder: "/base",
    readText: () => ({ why: "must be a file that exists" }),
  });
/** A rule with these lines. */
const ruleOf = (...lines: readonly string[]) =>
  parse(["rules:", "  - pattern: x", ...lines.map((line) => `    ${line}`), ""].join("\n"));
const settingsOf = (...lines: readonly string[]) => {
  const { apps, problems } = ruleOf(...lines);
  expect(problems).toEqual([]);
  return apps.rules[0]?.settings;
};

test("paastis.yml: wake.ignore keeps its entries", () => {
  expect(
    settingsOf(
      "wake:",
      "  ignore:",
      "    - user_agents: [UptimeRobot]",
      "      status: 200",
      "    - { bots: true }",
      "    - { paths: [/healthz, '/static/*'], methods: [get, HEAD], prefetch: true }",
    ),
  ).toEqual({
    ignore: [
      {
        userAgents: ["uptimerobot"],
        paths: null,
        methods: null,
        bots: false,
        prefetch: false,
        status: 200,
      },
      { userAgents: null, paths: null, methods: null, bots: true, prefetch: false, status: 503 },
      {
        userAgents: null,
        paths: ["/healthz", "/static/*"],
        methods: ["GET", "HEAD"],
        bots: false,
        prefetch: true,
        status: 503,
      },
    ],
  });
});

test("paastis.yml: windows keep days, hours, zone and dates off", () => {
  expect(
    settingsOf(
      "keep_awake:",
      "  - days: mon-fri",
      "    hours: 08:00-19:00",
      "    time_zone: Europe/Paris",
      "    except: [2026-12-25, 12-24..01-02]",
      "  - days: [sat, 'sun']",
      "force_sleep:",
      "  - hours: 22-6",
      "    time_zone: UTC",
      "    wake: true",
    ),
  ).toEqual({
    keepAwake: [
      {
        days: [1, 2, 3, 4, 5],
        fromMinute: 480,
        toMinute: 1140,
        zone: "Europe/Paris",
        except: [
          { from: "2026-12-25", to: "2026-12-25", isYearly: false },
          { from: "12-24", to: "01-02", isYearly: true },
        ],
      },
      { days: [0, 6], fromMinute: 0, toMinute: 1440, zone: machineZone(), except: [] },
    ],
    forceSleep: [
      {
        days: [0, 1, 2, 3, 4, 5, 6],
        fromMinute: 1320,
        toMinute: 1800,
        zone: "UTC",
        except: [],
        mayBeWoken: true,
      },
    ],
  });
});

test("paastis.yml: busy, quiet WebSockets and hooks", () => {
  expect(
    settingsOf(
      "busy: { url: '/busy?app=$1', header: true, header_max: 30 }",
      "websocket_max_quiet_time: 0.5",
      "hooks: { before_start: a, after_start: b, before_stop: c, after_stop: d, timeout: 1.5 }",
    ),
  ).toEqual({
    busyUrl: "/busy?app=$1",
    keepAwakeHeaderMaxMinutes: 30,
    websocketMaxQuietMinutes: 0.5,
    hooks: { beforeStart: "a", afterStart: "b", beforeStop: "c", afterStop: "d", timeoutMs: 1500 },
  });
  expect(settingsOf("busy: { header: true }")).toEqual({ keepAwakeHeaderMaxMinutes: 1440 });
  expect(settingsOf("busy: { header: false }")).toEqual({ keepAwakeHeaderMaxMinutes: "never" });
  expect(settingsOf("busy: { url: https://jobs.example/busy }")).toEqual({
    busyUrl: "https://jobs.example/busy",
  });
  expect(settingsOf("websocket_max_quiet_time: never")).toEqual({
    websocketMaxQuietMinutes: "never",
  });
});

describe("paastis.yml: what is wrong is said, with its line, its value and what is allowed", () => {
  test.each([
    [
      ["wake: { ignore: { bots: true } }"],
      "line 3: rules[0].wake.ignore must be a list, such as - bots: true: it is a map",
    ],
    [
      ["wake: { ignored: [] }"],
      "line 3: rules[0].wake.ignored is not a known key: did you mean ignore?",
    ],
    [
      ["wake:", "  ignore:", "    - { bots: false }"],
      "line 5: rules[0].wake.ignore[0] needs one of user_agents, paths, methods, bots: true or prefetch: true",
    ],
    [
      ["wake:", "  ignore:", "    - paths: [healthz]"],
      "line 5: rules[0].wake.ignore[0].paths must be a list of paths that begin with /, without a query; * stands for anything: it is a list",
    ],
    [
      ["wake:", "  ignore:", "    - { bots: true, status: 99 }"],
      "line 5: rules[0].wake.ignore[0].status must be a status from 200 to 599 that has a body (not 204, 205 or 304): it is 99",
    ],
    [
      ["wake:", "  ignore:", "    - { bots: true, status: 204 }"],
      "line 5: rules[0].wake.ignore[0].status must be a status from 200 to 599 that has a body (not 204, 205 or 304): it is 204",
    ],
    [
      ["keep_awake: { days: mon }"],
      "line 3: rules[0].keep_awake must be a list of windows, such as - days: mon-fri: it is a map",
    ],
    [
      ["keep_awake:", "  - days: mon-fry"],
      'line 4: rules[0].keep_awake[0].days must be days such as mon or mon-fri (mon, tue, wed, thu, fri, sat, sun): it is "mon-fry"',
    ],
    [
      ["keep_awake:", "  - hours: 8 to 19"],
      'line 4: rules[0].keep_awake[0].hours must be hours such as 08:00-19:00, or 22:00-06:00 over midnight: it is "8 to 19"',
    ],
    [
      ["keep_awake:", "  - time_zone: Europe/Pariss"],
      'line 4: rules[0].keep_awake[0].time_zone must be a time zone such as Europe/Paris: it is "Europe/Pariss": did you mean Europe/Paris?',
    ],
    [
      ["force_sleep:", "  - except: [2026-02-30]"],
      'line 4: rules[0].force_sleep[0].except[0] must be a date such as 2026-12-25, or 12-25 for every year, or two of a kind with .. between them: it is "2026-02-30"',
    ],
    [
      ["keep_awake:", "  - wake: true"],
      "line 4: rules[0].keep_awake[0].wake is not a known key: known are days, hours, time_zone, except",
    ],
    [
      ["busy: { url: busy }"],
      'line 3: rules[0].busy.url must be a path of the app that begins with /, or a URL with http or https: it is "busy"',
    ],
    [
      ["busy: { url: 'http://$1/busy' }"],
      'line 3: rules[0].busy.url must be a path of the app that begins with /, or a URL with http or https: it is "http://$1/busy"',
    ],
    [
      ["busy: { url: 'http://u:p@host/busy' }"],
      'line 3: rules[0].busy.url must be a path of the app that begins with /, or a URL with http or https: it is "http://u:p@host/busy"',
    ],
    [
      ["websocket_max_quiet_time: 0"],
      "line 3: rules[0].websocket_max_quiet_time must be a number of minutes above 0, at most 5256000, or never: it is 0",
    ],
    [
      ["hooks: { before_stopp: x }"],
      "line 3: rules[0].hooks.before_stopp is not a known key: did you mean before_stop?",
    ],
  ])("%j", (lines, problem) => {
    expect(ruleOf(...lines).problems).toEqual([problem]);
  });

  test("header_max without header, and groups that the pattern does not have", () => {
    expect(ruleOf("busy: { header_max: 5 }").warnings).toEqual([
      "line 3: rules[0].busy.header_max has no effect without header: true",
    ]);
    expect(ruleOf("busy: { url: '/b/$1' }").warnings).toEqual([
      "line 3: rules[0].busy.url uses $1, but the pattern has 0 groups: nothing will stand there",
    ]);
  });
});

test("paastis.yml: an app may say all of it, too; and the schema knows it", () => {
  const file = {
    apps: {
      shop: {
        command: "./shop",
        wake: { ignore: [{ bots: true }] },
        keep_awake: [{ days: "mon-fri" }],
        force_sleep: [{ hours: "22:00-06:00", wake: true }],
        busy: { url: "/busy" },
        websocket_max_quiet_time: 5,
        hooks: { after_start: "true" },
      },
    },
  };
  expect(parse(JSON.stringify(file)).problems).toEqual([]);
  expect(Check(PAASTIS_YML_SCHEMA, file)).toBe(true);
  expect(Check(PAASTIS_YML_SCHEMA, { apps: { shop: { command: "x", keep_awake: 1 } } })).toBe(
    false,
  );
});
