import { describe, expect, test } from "bun:test";
import { parseDotenv } from "../src/dotenv-file.ts";
import {
  describeVariables,
  type EnvironmentValues,
  type Layer,
  providerVariables,
  readEnvironment,
} from "../src/environment.ts";

const REQUIRED = { PROVIDER_NAME: "process" };

function read(values: Record<string, string>, more: readonly Layer[] = []) {
  return readEnvironment([...more, { kind: "environment", values: { ...REQUIRED, ...values } }]);
}

test("environment: with nothing but PROVIDER_NAME every default holds", () => {
  const { values, problems, unknown } = read({});
  expect({ problems, unknown }).toEqual({ problems: [], unknown: [] });
  expect(values).toEqual({
    providers: ["process"],
    instanceName: "default",
    initialTargetPort: null,
    stateFile: null,
    healthPath: "/health",
    healthTimeoutMs: 5000,
    drainMs: 30_000,
    rollbackWindowMs: 60_000,
    rollbackCheckEveryMs: 5000,
    rollbackFailThreshold: 3,
    adminToken: null,
    adminAllowlist: ["127.0.0.1", "::1"],
    accessLog: false,
    adminHosts: [],
    adminRateLimit: 10,
    adminUnixSocket: null,
    fastPath: false,
    debugUpstream: false,
    verboseErrors: false,
    systemApiEnabled: false,
    systemApiToken: null,
    dockerHost: "unix:///var/run/docker.sock",
    dockerTlsVerify: false,
    dockerCertPath: null,
    dockerNetwork: null,
    dockerPublishedHost: null,
    dockerStopTimeoutMs: 10_000,
    kubeconfig: null,
    kubernetesContext: null,
    kubernetesNamespaces: null,
    kubernetesReach: null,
    kubernetesClusterDomain: "cluster.local",
    kubernetesServiceHost: null,
    kubernetesServicePort: 443,
    kubernetesServiceAccountDir: "/var/run/secrets/kubernetes.io/serviceaccount",
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
    renderToken: null,
    renderOperationTimeoutMs: 60_000,
    renderCallsPerMinute: 120,
    renderApiUrl: "https://api.render.com/v1",
    flyToken: null,
    flyOrganization: "personal",
    flySleepMode: "suspend",
    flyOperationTimeoutMs: 60_000,
    flyCallsPerMinute: 120,
    flyApiUrl: "https://api.machines.dev",
    flyAppUrl: "https://{app}.fly.dev",
    upsunToken: null,
    upsunProjects: null,
    upsunOperationTimeoutMs: 60_000,
    upsunCallsPerMinute: 60,
    upsunApiUrl: "https://api.upsun.com",
    upsunAuthUrl: "https://auth.upsun.com",
    host: "0.0.0.0",
    port: 3000,
    configFile: null,
    maxIdleMs: 900_000,
    sweepCron: "* * * * *",
    defaultApp: null,
    ignoredApps: [],
    pricePerHour: null,
    priceCurrency: "EUR",
    dataDir: ".paastis",
    registryType: "sqlite",
    registryRedisUrl: null,
    eventsStoreType: null,
    databaseUrl: null,
    eventsKept: 100_000,
    eventsKeptDays: 0,
    hookBeforeStart: null,
    hookAfterStart: null,
    hookBeforeStop: null,
    hookAfterStop: null,
    hooksTimeoutMs: 30_000,
    webhookUrls: [],
    webhookSecret: null,
    webhookEvents: [
      "APP_STARTED",
      "APP_START_FAILED",
      "APP_STOPPED",
      "APP_STOP_FAILED",
      "APP_CRASHED",
      "APP_SWITCHED",
      "APP_SWITCH_REFUSED",
      "APP_ROLLED_BACK",
      "APP_ROLLBACK_FAILED",
      "APP_UNHEALTHY",
      "APP_HEALTHY",
    ],
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
    waitingPageDir: null,
    upstreamConnectTimeoutMs: 5000,
    upstreamTimeoutMs: null,
    upstreamKeepAlive: true,
    upstreamKeepAliveMs: 1000,
    upstreamSocketsMax: 1024,
    forwardedEnabled: true,
    trustedProxies: [],
    shutdownTimeoutMs: 10_000,
    restartTimeoutMs: 600_000,
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
  [{ REGISTRY_TYPE: "Redis" }, { registryType: "redis", eventsStoreType: null }],
  [{ REGISTRY_TYPE: "in-memory" }, { registryType: "in-memory", eventsStoreType: null }],
  [{ EVENTS_STORE_TYPE: "sqlite" }, { eventsStoreType: "sqlite" }],
  [{ EVENTS_STORE_TYPE: "Postgres" }, { eventsStoreType: "postgres" }],
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
  [{ PROVIDER_NAME: "nomad" }, "one or several of process, ports, http"],
  [{ PROVIDER_NAME: "process,dock" }, '"dock" is none of them'],
  [{ PROVIDER_NAME: "procss" }, '"procss" is none of them: did you mean process?'],
  [{ PROVIDER_NAME: "Clever,http" }, '"clever" is none of them: did you mean clever-cloud?'],
  [{ PROVIDER_NAME: "sclingo,x,http" }, '"sclingo" (scalingo?), "x" are none of them'],
  [{ PROVIDER_NAME: "," }, "PROVIDER_NAME must be"],
  [{ PROVIDER_NAME: "" }, "PROVIDER_NAME is required"],
  [{ EVENTS_STORE_TYPE: "mysql" }, "EVENTS_STORE_TYPE must be sqlite, in-memory or postgres"],
  [{ EVENTS_STORE_KEEP: "0" }, "EVENTS_STORE_KEEP must be a whole number from 1 to 1000000"],
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
  [{ LOGGING_LEVEL: "warning" }, '"warning" (did you mean warn?)'],
  [{ REGISTRY_TYPE: "memory" }, '"memory" (did you mean in-memory?)'],
  [{ ENGINE: "sockt" }, '"sockt" (did you mean socket?)'],
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

describe("environment: a variable called", () => {
  test.each([
    ["HOOKS_BEFORE_STRAT", "HOOKS_BEFORE_START"],
    ["START_AND_STOP_MAX_IDLE_TIMES", "START_AND_STOP_MAX_IDLE_TIME"],
    ["START_AND_STOP_IDLE_TIME", "START_AND_STOP_MAX_IDLE_TIME"],
    ["PROVIDER_NAMES", "PROVIDER_NAME"],
    ["PROVIDER_HEROKU_TOKEN", "PROVIDER_HEROKU_API_TOKEN"],
    ["PROVIDER_RENDER_TOKEN", "PROVIDER_RENDER_API_TOKEN"],
    ["HOLD_MAX", "HOLD_MAX_MS"],
    ["hold_max_ms", "HOLD_MAX_MS"],
    ["UPSTREAM_CONNECT_TIMEOUT", "UPSTREAM_CONNECT_TIMEOUT_MS"],
    ["REGISTRY_URL", "REGISTRY_REDIS_URL"],
    ["EVENTS_TYPE", "EVENTS_STORE_TYPE"],
    ["TLS_CERT_FILE", "TLS_CERT"],
    ["SHUTDOWN_TIMEOUT", "SHUTDOWN_TIMEOUT_MS"],
  ])("%s is taken for %s", (name, meant) => {
    const { unknown, problems } = read({ [name]: "x" });
    expect(problems).toEqual([]);
    expect(unknown).toEqual([
      { name, meant, warning: `${name} is not a variable of Paastis: did you mean ${meant}?` },
    ]);
  });

  test.each([
    "PROVIDER_KOYEB_TOKEN",
    "PROVIDER_TOKEN",
    "HOLD_DOOR",
    "UPSTREAM_X",
    "REGISTRY_MIRROR",
    "START_AND_STOP_AT",
    "EVENTS_STORE_URL",
  ])("%s is unknown, and like none of ours", (name) => {
    const warning = `${name} is not a variable of Paastis, and changes nothing`;
    expect(read({ [name]: "x" }).unknown).toEqual([{ name, meant: null, warning }]);
  });

  test.each([
    ...["HTTP_PROXY", "HOSTS", "REDIS_URI", "DATABASE_URL", "DATA_URI", "START_TIME"],
    ...["SERVER_NAME", "SERVER_PORT", "MAX_CONNECTIONS", "TLS_CA", "PAASTIS_APP", "LOG_FORMAT"],
    ...["DOCKER_HOSTS", "KUBECONFIG_DIR", "KUBERNETES_SERVICE_PORT_HTTPS"],
    ...["REGISTRY_SERVICE_HOST", "REGISTRY_PORT_5000_TCP_ADDR", "UPSTREAM_SERVICE_PORT_HTTP"],
  ])("%s is somebody else's", (name) => {
    expect(read({ [name]: "x" }).unknown).toEqual([]);
  });
});

test("environment: services of a cluster and empty variables are not taken for ours", () => {
  const unknown = (values: Record<string, string>) => read(values).unknown.map(({ name }) => name);
  expect(unknown({ UPSTREAM_PORT: "tcp://10.0.0.1:80", HOLD_X: " " })).toEqual([]);
  expect(unknown({ UPSTREAM_PORT: "80" })).toEqual(["UPSTREAM_PORT"]);
});

test("environment: an unknown variable is told once, and with .env where it stands there", () => {
  const layers: readonly Layer[] = [
    { kind: "flags", values: { HOLD_FLAG: "x" } },
    { kind: "environment", values: { ...REQUIRED, HOLD_MAX: "1" } },
    { kind: ".env", values: { HOLD_MAX: "2", HOLD_GRACE: "3" } },
  ];
  expect(readEnvironment(layers).unknown.map(({ warning }) => warning)).toEqual([
    "HOLD_MAX is not a variable of Paastis: did you mean HOLD_MAX_MS?",
    "HOLD_GRACE (in .env) is not a variable of Paastis: did you mean HOLD_GRACE_MS?",
  ]);
});

test("environment: what has a value is known by the name it was given by, secrets without it", () => {
  const { given } = readEnvironment([
    { kind: "flags", values: { PORT: "1" } },
    { kind: "environment", values: { ...REQUIRED, REDIS_URL: "s3cret", HOST: " " } },
    { kind: ".env", values: { PORT: "2", OTHER: "x" } },
  ]);
  expect(Object.fromEntries(given)).toEqual({ PROVIDER_NAME: "process", PORT: "1", REDIS_URL: "" });
});

test("environment: variables of providers are found by their names", () => {
  const ofCleverCloud = providerVariables().filter(({ provider }) => provider === "clever-cloud");
  expect(ofCleverCloud).toContainEqual({
    name: "PROVIDER_CLEVER_API_TOKEN",
    provider: "clever-cloud",
    isSecret: true,
  });
  const names = providerVariables().map(({ name }) => name);
  expect(names).not.toContain("PROVIDER_NAME");
  expect(names).not.toContain("PROVIDER_REGION");
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

  const FORM = "must be KEY=value or a comment beginning with #";
  test.each<[string, readonly (readonly [number, string | null, string])[]]>([
    ["A=1\nnonsense s3cret\nB=2", [[2, "nonsense", FORM]]],
    ["A='open\nB=2", [[1, "A", "the value of A begins with ' and must end with one"]]],
    ['A= "s3cret\nB="2"', [[1, "A", 'the value of A begins with " and must end with one']]],
    ['A="s3cret\\"', [[1, "A", 'the value of A begins with " and must end with one']]],
    [
      'A="x"y',
      [
        [
          1,
          "A",
          'after the " that ends the value of A only a comment may follow; for a " inside it write \\"',
        ],
      ],
    ],
    [
      "A = 's3cret's",
      [
        [
          1,
          "A",
          "after the ' that ends the value of A only a comment may follow; if it has a ' inside, put \" around it",
        ],
      ],
    ],
    [
      "1A=x\n=y",
      [
        [1, null, FORM],
        [2, null, FORM],
      ],
    ],
    ["export A: x", [[1, "A", FORM]]],
  ])("%j is broken: %j", (text, broken) => {
    const { brokenLines } = parseDotenv(text);
    expect(brokenLines).toEqual(broken.map(([line, name, why]) => ({ line, name, why })));
    expect(JSON.stringify(brokenLines)).not.toContain("s3cret");
  });

  test("lines after a broken one still count, and those of a value without an end are told once", () => {
    expect(parseDotenv("A='open\nB=2").values).toEqual({ B: "2" });
    const key = 'KEY="-----BEGIN\nabc/def\n-----END\nPORT=3\nA="x" y\n';
    expect(parseDotenv(key).brokenLines.map(({ line }) => line)).toEqual([1, 5]);
    expect(parseDotenv(key).values.PORT).toBe("3");
  });
});
