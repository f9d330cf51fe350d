import { describe, expect, test } from "bun:test";
import { parsePaastisYml } from "../src/paastis-yml.ts";
import { PAASTIS_YML_SCHEMA } from "../src/paastis-yml-schema.ts";
import { slowestMatchMs } from "../src/pattern-cost.ts";
import { within } from "./support/pace.ts";

const BASE = { folder: "/base", readText: () => ({ why: "must be a file that exists" }) };
const parse = (text: string) => parsePaastisYml(text, BASE);
const ruleOf = (text: string) => parse(`rules:\n  - pattern: x\n    ${text}\n`);
const appOf = (text: string) => parse(`apps:\n  shop:\n    ${text.replaceAll("; ", "\n    ")}\n`);

/** What is looked at of the generated schema. */
interface Entry {
  readonly description?: string;
  readonly $comment?: string;
  readonly additionalProperties?: boolean;
  readonly properties?: Readonly<Record<string, Entry>>;
}

const KEY_SENTENCE =
  "must be the key of an app (letters, digits and hyphens, at most 63, with no hyphen at either end)";

test.each(["", "\n", "# nothing\n", "---\n", "{}", "rules:\napps:\n", "rules: []\napps: {}"])(
  "paastis.yml: %j is fine and empty",
  (text) => {
    expect(parse(text)).toEqual({ apps: { apps: [], rules: [] }, problems: [], warnings: [] });
  },
);

test("paastis.yml: a rule keeps every setting", () => {
  const { apps, problems } = parse(`
rules:
  - pattern: '^a(\\d+)$'
    app_name: Shop
    app_max_idle_time: 0.5
    linked_apps: ['DB-$1', api]
    health: /up?x=$1
    wake_timeout: 2.5
    preserve_host: true
    provider: http
  - pattern: b
    app_max_idle_time: never
`);
  expect(problems).toEqual([]);
  expect(apps.rules).toEqual([
    {
      pattern: /^a(\d+)$/,
      settings: {
        appName: "Shop",
        maxIdleMinutes: 0.5,
        linkedApps: ["DB-$1", "api"],
        health: "/up?x=$1",
        wakeTimeoutSeconds: 2.5,
        preserveHost: true,
        provider: "http",
      },
    },
    { pattern: /b/, settings: { maxIdleMinutes: "never" } },
  ]);
});

test("paastis.yml: a process app, complete and with nothing but a command", () => {
  const { apps, problems } = parse(`
apps:
  Shop:
    provider: process
    command: node server.js
    cwd: ./shop
    env: { NODE_ENV: production, VERSION: 1.10, DEBUG: true, EMPTY: '' }
    port: 8081
    stop_signal: SIGINT
    stop_timeout: 0.25
    health: /healthz
    app_max_idle_time: 30
  api: { command: ./api }
`);
  expect(problems).toEqual([]);
  expect(apps.apps).toEqual([
    {
      provider: "process",
      key: "shop",
      command: "node server.js",
      cwd: "/base/shop",
      env: { NODE_ENV: "production", VERSION: "1.10", DEBUG: "true", EMPTY: "" },
      port: 8081,
      stopSignal: "SIGINT",
      stopTimeoutMs: 250,
      settings: { health: "/healthz", maxIdleMinutes: 30 },
    },
    {
      provider: "process",
      key: "api",
      command: "./api",
      cwd: "/base",
      env: {},
      port: null,
      stopSignal: "SIGTERM",
      stopTimeoutMs: 10_000,
      settings: {},
    },
  ]);
});

test("paastis.yml: an http app", () => {
  const { apps, problems } = parse(`
apps:
  legacy:
    targets: ['http://10.0.0.5:8080/', 'https://x.example.com', 'http://[::1]:81']
`);
  expect(problems).toEqual([]);
  expect(apps.apps).toEqual([
    {
      provider: "http",
      key: "legacy",
      targets: [
        { origin: "http://10.0.0.5:8080", host: "10.0.0.5:8080" },
        { origin: "https://x.example.com", host: "x.example.com" },
        { origin: "http://[::1]:81", host: "[::1]:81" },
      ],
      settings: {},
    },
  ]);
});

test("paastis.yml: anchors and merge keys share settings between apps", () => {
  const { apps, problems } = parse(`
apps:
  a: &a { command: x, env: { V: 1.0 } }
  b: { <<: *a, port: 81 }
  c: *a
`);
  expect(problems).toEqual([]);
  expect(apps.apps.map(({ key }) => key)).toEqual(["a", "b", "c"]);
  expect(apps.apps[1]).toMatchObject({ command: "x", port: 81 });
  expect(apps.apps[2]).toMatchObject({ command: "x", env: { V: "1.0" } });
});

describe("paastis.yml: problems of rules", () => {
  test.each([
    [
      "app_max_idle_tim: 3",
      "rules[0].app_max_idle_tim is not a known key: did you mean app_max_idle_time?",
    ],
    [
      "max_idle_time: 3",
      "rules[0].max_idle_time is not a known key: did you mean app_max_idle_time?",
    ],
    ["constructor: 3", "rules[0].constructor is not a known key: known are pattern, app_name,"],
    ["__proto__: 3", "rules[0].__proto__ is not a known key: known are pattern, app_name,"],
    [
      "app_max_idle_time: soon",
      'rules[0].app_max_idle_time must be a number of minutes from 0 to 5256000, or never: it is "soon"',
    ],
    ["app_max_idle_time: -1", "or never: it is -1"],
    ["app_max_idle_time: .inf", "or never: it is Infinity"],
    ["app_max_idle_time:", "or never: it is empty"],
    [
      "wake_timeout: 0",
      "rules[0].wake_timeout must be a number of seconds above 0, at most 86400: it is 0",
    ],
    ["preserve_host: yes", 'rules[0].preserve_host must be true or false: it is "yes"'],
    ["linked_apps: x", 'rules[0].linked_apps must be a list of keys of apps: it is "x"'],
    ["linked_apps: [a_b]", `rules[0].linked_apps[0] ${KEY_SENTENCE}: it is "a_b"`],
    ["app_name: a.b", `rules[0].app_name ${KEY_SENTENCE}: it is "a.b"`],
    ["health: up", 'rules[0].health must be a path that begins with /: it is "up"'],
  ])("%s: %s", (text, expected) => {
    const { problems } = ruleOf(text);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toStartWith("line 3: ");
    expect(problems[0]).toContain(expected);
  });

  test("a pattern that is no regular expression names its line", () => {
    const { problems } = parse("rules:\n  - app_max_idle_time: 1\n    pattern: '(a'\n");
    expect(problems).toHaveLength(1);
    expect(problems[0]).toStartWith('line 3: rules[0].pattern must be a regular expression: "(a"');
  });

  test("a rule needs a pattern, and must be a map", () => {
    expect(parse("rules:\n  - app_max_idle_time: 1\n  - 3\n").problems).toEqual([
      "line 2: rules[0] needs `pattern`",
      "line 3: rules[1] must be a rule with a pattern and settings: it is 3",
    ]);
  });

  test("a group that the pattern does not have is a warning", () => {
    const { problems, warnings } = parse("rules:\n  - pattern: '(a)|b'\n    app_name: x$1$2\n");
    expect(problems).toEqual([]);
    expect(warnings).toEqual([
      "line 3: rules[0].app_name uses $2, but the pattern has 1 group: nothing will stand there",
    ]);
  });
});

describe("paastis.yml: problems of apps", () => {
  test.each([
    ["provider: http; command: x", "apps.shop needs `targets` (provider http)", 2],
    [
      "provider: http; targets: [http://a]; command: x",
      "apps.shop.command does not apply to provider http",
      1,
    ],
    ["targets: [http://a]; cwd: x", "apps.shop.cwd does not apply to provider http", 1],
    [
      "provider: process; command: x; targets: [http://a]",
      "apps.shop.targets does not apply to provider process",
      1,
    ],
    ["targets: [http://a]; command: x", "apps.shop has both command and targets", 1],
    ["port: 80", "apps.shop needs `command` (Paastis starts and stops it) or `targets`", 1],
    ["provider: process", "apps.shop needs `command` (provider process)", 1],
    [
      "provider: docker",
      'apps.shop.provider must be one of process, ports, http: it is "docker"',
      1,
    ],
    ["comand: x", "apps.shop.comand is not a known key: did you mean command?", 1],
    ["command: x; app_name: y", "apps.shop.app_name is not a known key", 1],
    ["command: [x]", "apps.shop.command must be a shell command: it is a list", 1],
    ["command: x; port: 0", "apps.shop.port must be a whole number from 1 to 65535: it is 0", 1],
    ["command: x; port: 80.5", "must be a whole number from 1 to 65535: it is 80.5", 1],
    ["command: x; stop_signal: TERM", "must be one of SIGTERM, SIGINT, SIGQUIT", 1],
    ["command: x; stop_timeout: -1", "must be a number of seconds from 0 to 86400: it is -1", 1],
    [
      "command: x; env: [A=1]",
      "apps.shop.env must be a map of environment variables: it is a list",
      1,
    ],
    [
      "command: x; env: { A: [s3cret] }",
      "apps.shop.env.A must be a text, a number, true or false: it is a list",
      1,
    ],
    ["command: x; env: { A-B: 1 }", "apps.shop.env.A-B is not a valid name here", 1],
    [
      "command: x; linked_apps: [db-$1]",
      `apps.shop.linked_apps[0] ${KEY_SENTENCE}: it is "db-$1"`,
      1,
    ],
    ["targets: []", "apps.shop.targets must be a list of at least one origin", 1],
    ["targets: [ftp://a]", "apps.shop.targets[0] must be an origin", 1],
    ["targets: [http://a/x]", 'it is "http://a/x"', 1],
    ["targets: [http://a?x]", 'it is "http://a?x"', 1],
    ["targets: [http://a:99999]", 'it is "http://a:99999"', 1],
    ["targets: ['http://me:s3cret@a']", 'it is "http://…@a"', 1],
  ])("%s: %s", (text, expected, count) => {
    const { problems } = appOf(text);
    expect(problems).toHaveLength(count);
    expect(problems.join("\n")).toContain(expected);
    expect(problems.join("\n")).not.toContain("s3cret");
  });

  test.each(["a.b", "a_b", "-a", "a-", "é", "x".repeat(64)])("%s is no key", (key) => {
    const { problems } = parse(`apps:\n  ${key}: { command: x }\n`);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(
      "is not a valid name here: it must be letters, digits and hyphens",
    );
  });

  test.each(["a", "7", "A-1", "x".repeat(63)])("%s is a key", (key) => {
    const { problems, apps } = parse(`apps:\n  ${key}: { command: x }\n`);
    expect(problems).toEqual([]);
    expect(apps.apps[0]?.key).toBe(key.toLowerCase());
  });

  test("two keys that differ only in case are the same app", () => {
    expect(parse("apps:\n  Shop: { command: x }\n  shop: { command: y }\n").problems).toEqual([
      "line 3: apps.shop is the same app as apps.Shop: case does not matter",
    ]);
  });
});

describe("paastis.yml: problems of the text", () => {
  test.each([
    ["rules: []\nrules: []\n", "line 2: Map keys must be unique"],
    ["apps:\n  a: {command: x}\n  a: {command: y}\n", "line 3: Map keys must be unique"],
    ["rules:\n\t- pattern: x\n", "line 2: "],
    ["rules: [\n", "line 2: "],
    ["a: 1\n---\nb: 2\n", "multiple documents"],
    ["rules: !!js/function x\n", "line 1: Unresolved tag"],
    ["apps: *nobody\n", "line 1: Unresolved alias"],
    ["- 1\n", "line 1: the file must be a map with apps and rules: it is a list"],
    ["hello\n", 'line 1: the file must be a map with apps and rules: it is "hello"'],
    ["ruls: []\n", "line 1: ruls is not a known key: did you mean rules?"],
  ])("%j: %s", (text, expected) => {
    expect(parse(text).problems.join("\n")).toContain(expected);
  });

  test("all problems are reported, in the order of their lines", () => {
    const { problems } = parse("apps:\n  a: { port: x }\nrules:\n  - {}\nfoo: 1\n");
    expect(problems.map((problem) => problem.slice(0, 7))).toEqual([
      "line 2:",
      "line 2:",
      "line 4:",
      "line 5:",
    ]);
  });

  test("aliases that multiply are refused at once", () => {
    const levels = "bcdefghij".split("").map((name, index) => {
      const below = `*${String.fromCharCode(97 + index)}`;
      return `${name}: &${name} [${Array(10).fill(below).join(", ")}]`;
    });
    const { problems } = parse(["a: &a [x, x, x]", ...levels].join("\n"));
    expect(problems.join()).toContain("Excessive alias count");
  });

  test("brackets nested beyond reason are a problem, not a crash", () => {
    const { problems } = parse("[".repeat(20_000));
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.length).toBeLessThanOrEqual(10);
  });
});

test("paastis.yml: the schema says the same as the checks, and every setting is described", () => {
  const schema = JSON.parse(JSON.stringify(PAASTIS_YML_SCHEMA));
  const app = Object.values<Entry>(schema.properties.apps.patternProperties)[0] ?? {};
  const rule = schema.properties.rules.items;
  expect(schema.additionalProperties || app.additionalProperties || rule.additionalProperties).toBe(
    false,
  );
  expect(rule.required).toEqual(["pattern"]);
  for (const [name, entry] of Object.entries<Entry>({ ...app.properties, ...rule.properties })) {
    expect(`${name}: ${entry.description}`).toMatch(/^\w+: [A-Za-z].*\.$/);
    expect(`${name}: ${entry.$comment}`).toMatch(/^\w+: [a-z]/);
  }
});

/** Of this process alone: others on the machine do not count. */
function processorMs(work: () => unknown): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Some of these patterns take seconds, as they are meant to; more on a busy machine. */
const SLOW_PATTERN_MS = 60_000;

describe("paastis.yml: patterns that strangers can make slow", () => {
  const named = (patterns: readonly string[]) =>
    parse(
      `rules:\n${patterns.map((text) => `  - { pattern: '${text}', app_name: x }\n`).join("")}`,
    );

  test(
    "paastis.yml: with app_name, a slow pattern is refused, with its line and its time",
    () => {
      const { problems } = named(["^a$", "(x+x+)+y"]);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toMatch(/^line 3: rules\[1\]\.pattern must be simpler: .* took \d+ ms/);
      expect(problems[0]).toContain("anybody can send such hosts");
    },
    SLOW_PATTERN_MS,
  );

  // On labels cut off there, each takes some 40 ms instead of a second.
  test.each([
    ["^review-((\\w|-)+)+-front$", 34],
    ["^(app|web)-review-((\\w|-)+)+-front$", 38],
    ["^pr(\\d+)-(([a-z]|-)+)+-front$", 31],
    ["(x+x+)+y", 24],
    ["^(\\w+-?)+!$", 24],
  ])("paastis.yml: among the labels that are tried one is slow for %s", (text, characters) => {
    const whole = new RegExp(text);
    const pattern = Object.assign(new RegExp(text), {
      exec: (label: string) => whole.exec(`${label.slice(0, characters - 1)}_`),
    });
    expect(slowestMatchMs(pattern, 5, () => performance.now())).toBeGreaterThan(5);
  });

  test("paastis.yml: without app_name nobody can choose what a pattern is matched with", () => {
    expect(
      parse("rules:\n  - { pattern: '^([a-z]+)*$', app_max_idle_time: 1 }\n").problems,
    ).toEqual([]);
  });

  test("paastis.yml: a hundred good patterns are measured in no time, and none is refused", () => {
    const patterns = Array.from(
      { length: 100 },
      (_, n) => `^app${n}-(\\w+)-pr(\\d+)-(back|front)$`,
    );
    expect(named(patterns).problems).toEqual([]);
    const plain = patterns.map((text) => `  - { pattern: '${text}', health: /x }\n`).join("");
    const bestOf = (work: () => unknown) =>
      Math.min(...Array.from({ length: 3 }, () => processorMs(work)));
    const measuredMs = bestOf(() => named(patterns));
    expect(measuredMs - bestOf(() => parse(`rules:\n${plain}`))).toBeLessThan(within(40));
  });

  test("paastis.yml: one pause of the machine refuses nothing, and a file of slow ones is soon over", () => {
    let nowMs = 0;
    let reads = 0;
    const once = {
      now() {
        reads += 1;
        // In the middle of the first match.
        if (reads === 4) nowMs += 1000;
        return nowMs;
      },
    };
    const text = "rules:\n  - { pattern: '^a$', app_name: x }\n";
    expect(parsePaastisYml(text, { ...BASE, clock: once }).problems).toEqual([]);
    expect(reads).toBeGreaterThan(4);
    const slow = {
      now() {
        nowMs += 60;
        return nowMs;
      },
    };
    const many = `rules:\n${"  - { pattern: '^a$', app_name: x }\n".repeat(150)}`;
    const { problems } = parsePaastisYml(many, { ...BASE, clock: slow });
    expect(problems.length).toBeGreaterThan(3);
    expect(problems.length).toBeLessThan(12);
  });
});

test("paastis.yml: a rule names one of the providers there are, and no other", () => {
  const { problems } = ruleOf("provider: podman");
  expect(problems).toHaveLength(1);
  expect(problems[0]).toStartWith("line 3: rules[0].provider must be one of process, ports, http");
  // Beside a command it says what the app is; that is no setting.
  expect(appOf("provider: process; command: x").apps.apps[0]?.settings).toEqual({});
});

test.each([
  [
    "0",
    "rules[0].switch.health_timeout must be a number of seconds above 0, at most 86400: it is 0",
  ],
  ["0.001", null],
])("paastis.yml: a health gate of %s seconds", (seconds, problem) => {
  const { problems } = ruleOf(`switch: { health_timeout: ${seconds} }`);
  expect(problems.map((text) => text.replace(/^line \d+: /, ""))).toEqual(
    problem === null ? [] : [problem],
  );
});
