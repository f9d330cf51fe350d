import { describe, expect, test } from "bun:test";
import { parseDotenv } from "../src/dotenv-file.ts";
import {
  describeVariables,
  type EnvironmentValues,
  type Layer,
  readEnvironment,
} from "../src/environment.ts";

const REQUIRED = { PROVIDER_NAME: "process" };

function read(values: Record<string, string>, more: readonly Layer[] = []) {
  return readEnvironment([...more, { kind: "environment", values: { ...REQUIRED, ...values } }]);
}

test("environment: with nothing but PROVIDER_NAME every default holds", () => {
  const { values, problems, warnings } = read({});
  expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
  expect(values).toEqual({
    providers: ["process"],
    regions: ["osc-fr1"],
    scalingoToken: null,
    scalingoOperationTimeoutMs: 30_000,
    scalingoCallsPerMinute: 40,
    scalingoApiUrl: null,
    scalingoAuthUrl: "https://auth.scalingo.com",
    herokuToken: null,
    herokuOperationTimeoutMs: 30_000,
    herokuCallsPerMinute: 60,
    herokuApiUrl: "https://api.heroku.com",
    cleverToken: null,
    cleverConsumerKey: null,
    cleverConsumerSecret: null,
    cleverOauthToken: null,
    cleverOauthSecret: null,
    cleverOperationTimeoutMs: 60_000,
    cleverCallsPerMinute: 60,
    cleverApiUrl: null,
    host: "0.0.0.0",
    port: 3000,
    configFile: null,
    maxIdleMs: 900_000,
    sweepCron: "* * * * *",
    defaultApp: null,
    ignoredApps: [],
    dataDir: ".paastis",
    registryType: "sqlite",
    registryRedisUrl: null,
    eventsStoreType: null,
    hookBeforeStart: null,
    hookAfterStart: null,
    hookBeforeStop: null,
    hookAfterStop: null,
    hooksTimeoutMs: 30_000,
    tlsCert: null,
    tlsKey: null,
    http2: false,
    engine: null,
    keepAliveMs: 5000,
    headersTimeoutMs: 6000,
    headBytesMax: 65_536,
    bodyBytesMax: null,
    holdMaxMs: 25_000,
    holdGraceMs: 1000,
    holdMaxPerApp: 10_000,
    holdMaxTotal: 20_000,
    holdMaxUploads: 100,
    showAppOutput: "local",
    upstreamConnectTimeoutMs: 5000,
    upstreamTimeoutMs: null,
    upstreamKeepAlive: true,
    upstreamKeepAliveMs: 4000,
    upstreamSocketsMax: 1024,
    forwardedEnabled: true,
    trustedProxies: [],
    shutdownTimeoutMs: 10_000,
    logLevel: "info",
  });
});

const ACCEPTED: readonly [Record<string, string>, Partial<EnvironmentValues>][] = [
  [{ PORT: "0" }, { port: 0 }],
  [{ LISTEN_PORT: "8080" }, { port: 8080 }],
  [{ PORT: "80", LISTEN_PORT: "80" }, { port: 80 }],
  [{ PORT: " 80 " }, { port: 80 }],
  [{ PORT: "" }, { port: 3000 }],
  [{ HOST: "::1" }, { host: "::1" }],
  [{ HOST: "[::]" }, { host: "::" }],
  [{ HOST: "localhost" }, { host: "localhost" }],
  [{ PROVIDER_NAME: " http, Process,http" }, { providers: ["http", "process"] }],
  [{ START_AND_STOP_MAX_IDLE_TIME: "0.5" }, { maxIdleMs: 30_000 }],
  [{ START_AND_STOP_MAX_IDLE_TIME: "0" }, { maxIdleMs: 0 }],
  [{ START_AND_STOP_CHECKING_INTERVAL_CRON: "*/10 * * * * *" }, { sweepCron: "*/10 * * * * *" }],
  [{ REGISTRY_IGNORED_APPS: " Shop ,,api, shop" }, { ignoredApps: ["shop", "api"] }],
  [{ REDIS_URL: "redis://x" }, { registryRedisUrl: "redis://x" }],
  [{ REGISTRY_TYPE: "in-memory" }, { registryType: "in-memory", eventsStoreType: null }],
  [{ EVENTS_STORE_TYPE: "sqlite" }, { eventsStoreType: "sqlite" }],
  [{ UPSTREAM_TIMEOUT_MS: "0" }, { upstreamTimeoutMs: null }],
  [{ UPSTREAM_TIMEOUT_MS: "1500" }, { upstreamTimeoutMs: 1500 }],
  [{ MAX_BODY_SIZE: "0" }, { bodyBytesMax: null }],
  [{ MAX_BODY_SIZE: "10mb" }, { bodyBytesMax: 10_485_760 }],
  [{ MAX_BODY_SIZE: "2 GB" }, { bodyBytesMax: 2_147_483_648 }],
  [{ MAX_HEADER_SIZE: "16384" }, { headBytesMax: 16_384 }],
  [{ MAX_HEADER_SIZE: "16k" }, { headBytesMax: 16_384 }],
  [{ HTTP2: "1" }, { http2: true }],
  [{ ENABLE_XFWD: "0" }, { forwardedEnabled: false }],
  [{ ENABLE_XFWD: "Yes" }, { forwardedEnabled: true }],
  [
    { TRUSTED_PROXIES: "10.0.0.0/8, ::1,fd00::/8" },
    { trustedProxies: ["10.0.0.0/8", "::1", "fd00::/8"] },
  ],
  [{ DEFAULT_APP: "Shop" }, { defaultApp: "shop" }],
  [{ LOG_LEVEL: "DEBUG" }, { logLevel: "debug" }],
];

describe("environment: accepted", () => {
  test.each(ACCEPTED)("%j gives %j", (given, expected) => {
    const { values, problems } = read(given);
    expect(problems).toEqual([]);
    expect(values).toMatchObject(expected);
  });
});

const REFUSED: readonly [Record<string, string>, string][] = [
  [{ PORT: "80a" }, 'PORT must be a whole number from 0 to 65535: it is "80a"'],
  [{ PORT: "65536" }, 'PORT must be a whole number from 0 to 65535: it is "65536"'],
  [{ PORT: "-1" }, "PORT must be a whole number"],
  [{ LISTEN_PORT: "x" }, "LISTEN_PORT must be a whole number"],
  [
    { PORT: "80", LISTEN_PORT: "81" },
    'PORT and LISTEN_PORT mean the same but have different values: "80" and "81"',
  ],
  [{ HOST: "0.0.0" }, "HOST must be an IP address or a host name"],
  [{ HOST: "http://x" }, "HOST must be an IP address or a host name"],
  [{ PROVIDER_NAME: "docker" }, "one or several of process, http"],
  [{ PROVIDER_NAME: "docker" }, 'this version cannot do "docker" yet'],
  [{ PROVIDER_NAME: "process,dock" }, '"dock" is none of them'],
  [{ PROVIDER_NAME: "," }, "PROVIDER_NAME must be"],
  [{ PROVIDER_NAME: "" }, "PROVIDER_NAME is required"],
  [{ REGISTRY_TYPE: "redis" }, 'must be sqlite or in-memory: it is "redis" (this version cannot'],
  [{ EVENTS_STORE_TYPE: "postgres" }, "EVENTS_STORE_TYPE must be sqlite or in-memory"],
  [{ START_AND_STOP_MAX_IDLE_TIME: "soon" }, "a number of minutes"],
  [{ START_AND_STOP_MAX_IDLE_TIME: "1e3" }, "a number of minutes"],
  [{ START_AND_STOP_MAX_IDLE_TIME: "-1" }, "a number of minutes"],
  [{ START_AND_STOP_CHECKING_INTERVAL_CRON: "* * *" }, "(it has 3 fields)"],
  [{ START_AND_STOP_CHECKING_INTERVAL_CRON: "@hourly" }, "(it has 1 field)"],
  [{ START_AND_STOP_CHECKING_INTERVAL_CRON: "61 * * * *" }, "out of range"],
  [{ START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 30 2 *" }, "(no date ever fits it)"],
  [{ HOOKS_TIMEOUT_MS: "0" }, "HOOKS_TIMEOUT_MS must be a whole number from 1"],
  [{ HOLD_MAX_MS: "2147483648" }, "HOLD_MAX_MS must be a whole number from 0 to 2147483647"],
  [{ TRUSTED_PROXIES: "10.0.0.0/33" }, '"10.0.0.0/33" is none'],
  [{ TRUSTED_PROXIES: "10.0.0.1/" }, '"10.0.0.1/" is none'],
  [{ TRUSTED_PROXIES: "proxy.local" }, '"proxy.local" is none'],
  [{ ENABLE_XFWD: "maybe" }, "ENABLE_XFWD must be 1 or 0"],
  [{ DEFAULT_APP: "a.b" }, "DEFAULT_APP must be the key of an app"],
  [{ LOGGING_LEVEL: "loud" }, "trace, debug, info, warn, error or silent"],
];

describe("environment: refused", () => {
  test.each(REFUSED)("%j is refused: %s", (given, expected) => {
    const { problems } = read(given);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(expected);
  });
});

test("environment: all problems are reported together", () => {
  expect(read({ PORT: "x", HOST: "a b", PROVIDER_NAME: "" }).problems).toHaveLength(3);
});

test("environment: values that may be secrets never appear in a message", () => {
  const { problems } = read({ REGISTRY_REDIS_URL: "redis://:s3cret@a", REDIS_URL: "redis://b" });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain("REGISTRY_REDIS_URL and REDIS_URL");
  expect(problems[0]).not.toMatch(/s3cret|redis:\/\//);
});

test("environment: flags win over variables, variables over .env, an alias included", () => {
  const layers = (flag: string, variable: string): readonly Layer[] => [
    { kind: "flags", values: { PORT: flag } },
    { kind: "environment", values: { ...REQUIRED, LISTEN_PORT: variable } },
    { kind: ".env", values: { PORT: "3" } },
  ];
  expect(readEnvironment(layers("1", "2")).values.port).toBe(1);
  expect(readEnvironment(layers("", "2")).values.port).toBe(2);
  expect(readEnvironment(layers("", "")).values.port).toBe(3);
});

test("environment: a problem names the flag or .env where the value came from", () => {
  const flags = readEnvironment([
    { kind: "flags", values: { PORT: "x" } },
    { kind: "environment", values: REQUIRED },
    { kind: ".env", values: { HOST: "a b" } },
  ]);
  expect(flags.problems).toHaveLength(2);
  expect(flags.problems[0]).toStartWith("HOST (in .env) must be");
  expect(flags.problems[1]).toStartWith("--port must be");
});

test.each([
  ["HOOKS_BEFORE_STRAT", "HOOKS_BEFORE_START"],
  ["START_AND_STOP_MAX_IDLE_TIMES", "START_AND_STOP_MAX_IDLE_TIME"],
  ["HTTP_PROXY", null],
  ["HOSTS", null],
  ["REDIS_URI", null],
  ["DATABASE_URL", null],
])("environment: a variable called %s is taken for %p", (name, meant) => {
  const { warnings, problems } = read({ [name]: "x" });
  expect(problems).toEqual([]);
  expect(warnings).toEqual(
    meant === null ? [] : [`${name} is not a variable of Paastis: did you mean ${meant}?`],
  );
});

test("environment: every row of the table has a sentence, a default and what is allowed", () => {
  const rows = describeVariables();
  expect(rows.length).toBeGreaterThan(25);
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
  for (const row of rows) {
    expect(row.doc).toMatch(/^[A-Z].*\.$/);
    expect(row.allowed).not.toBe("");
    expect(row.defaultText).not.toBe("");
    if (row.name.endsWith("_MS")) expect(row.doc).toContain("milliseconds");
  }
});

describe(".env", () => {
  test.each<[string, Record<string, string>]>([
    ["A=1\nB=two words\n", { A: "1", B: "two words" }],
    ["export A=1", { A: "1" }],
    ["# note\n\n  \nA=1 # note\nB=x#y\nC=#note", { A: "1", B: "x#y", C: "" }],
    ["A='#1 $B \\n'", { A: "#1 $B \\n" }],
    ['A="a\\n\\"b\\"" # note', { A: 'a\n"b"' }],
    ["A='one\ntwo'\nB=3", { A: "one\ntwo", B: "3" }],
    ["\uFEFFA=1\r\nB = 2 \r\n", { A: "1", B: "2" }],
    ["A=1\nA=2", { A: "2" }],
    ["A=", { A: "" }],
    ["", {}],
  ])("%j holds %j", (text, values) => {
    expect(parseDotenv(text)).toEqual({ values, brokenLines: [] });
  });

  test.each<[string, number[]]>([
    ["A=1\nnonsense\nB=2", [2]],
    ["A='open\nB=2", [1]],
    ['A="x"y', [1]],
    ["1A=x\n=y", [1, 2]],
  ])("%j is broken at lines %j", (text, lines) => {
    expect(parseDotenv(text).brokenLines).toEqual(lines);
  });

  test("lines after a broken one still count", () => {
    expect(parseDotenv("A='open\nB=2").values).toEqual({ B: "2" });
  });
});
