import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configInvalid, type Environment, loadConfig } from "../src/load-config.ts";
import { PRIVATE_CA, STRANGER_CA } from "./support/private-ca.ts";

const SAMPLE = join(import.meta.dir, "..", "paastis.yml.sample");

function folder(files: Readonly<Record<string, string>> = {}) {
  const path = mkdtempSync(join(tmpdir(), "paastis-config-"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

function load(path: string, environment: Environment = {}, flags: Environment = {}) {
  return loadConfig({
    environment: { PROVIDER_NAME: "process", ...environment },
    flags,
    workingDirectory: path,
  });
}

function usable(...given: Parameters<typeof load>) {
  const reading = load(...given);
  if (reading.kind === "invalid") throw configInvalid(reading.problems);
  return reading;
}

function problemsOf(...given: Parameters<typeof load>): readonly string[] {
  const reading = load(...given);
  return reading.kind === "invalid" ? reading.problems : [];
}

test("config: no file and no .env is fine", () => {
  using there = folder();
  const { config, warnings, watchedFile } = usable(there.path);
  expect(config).toMatchObject({
    file: null,
    apps: { apps: [], rules: [] },
    dataDir: join(there.path, ".paastis"),
    eventsStoreType: "sqlite",
    upstream: { connectTimeoutMs: 5000, timeoutMs: null },
    hold: { maxMs: 25_000, graceMs: 1000, maxPerApp: 10_000, maxTotal: 20_000 },
  });
  expect(warnings).toEqual([]);
  expect(watchedFile).toBe(join(there.path, "paastis.yml"));
});

test("config: the sample loads as it stands", () => {
  using there = folder();
  const { config } = usable(there.path, {}, { PAASTIS_CONFIG: SAMPLE });
  expect(config.apps.rules.map(({ pattern }) => pattern.source)).toEqual([
    "app-review-pr(\\d+)-(back|front)",
    "hello-fastify",
    "hello-fastify-2",
    ".*fastify.*",
  ]);
  expect(config.apps.apps.map(({ key, provider }) => [key, provider])).toEqual([
    ["shop", "process"],
    ["legacy", "http"],
    ["hellofastifydeux", "http"],
  ]);
});

test("config: providers that apps need are added after those named", () => {
  using there = folder({ "paastis.yml": "apps: { a: { targets: [http://a] } }" });
  expect(usable(there.path).config.providers).toEqual(["process", "http"]);
  expect(usable(there.path, { PROVIDER_NAME: "http" }).config.providers).toEqual(["http"]);
  expect(problemsOf(there.path, { PROVIDER_NAME: "" })).toHaveLength(1);
});

test("config: the event store follows the registry unless it is told otherwise", () => {
  using there = folder();
  const memory = { REGISTRY_TYPE: "in-memory" };
  expect(usable(there.path, memory).config.eventsStoreType).toBe("in-memory");
  expect(
    usable(there.path, { ...memory, EVENTS_STORE_TYPE: "sqlite" }).config.eventsStoreType,
  ).toBe("sqlite");
});

const POSTGRES = { EVENTS_STORE_TYPE: "postgres" };

test("config: events in Postgres need a URL that is one, and no part of it is in a message", () => {
  using there = folder();
  const allowed = "a URL such as postgres://user:password@host:5432/database";
  expect(problemsOf(there.path, POSTGRES)).toEqual([
    `DATABASE_URL is required with EVENTS_STORE_TYPE=postgres: set it to ${allowed}`,
  ]);
  const wrong = {
    "mysql://me:s3cret@db/x": "it is one of another kind",
    "postgres://me:s3/cret@db/x": "characters such as",
    "postgres://me:s3%cret@db/x": "% stands before two hexadecimal digits",
    "postgres://me:s3cret@db/x?sslmode=strict": "sslmode must be one of disable, allow",
    "postgres://me:s3cret@one:5432,two:5432/x": "characters such as",
  };
  for (const [url, why] of Object.entries(wrong)) {
    const [problem = "", ...others] = problemsOf(there.path, { ...POSTGRES, DATABASE_URL: url });
    expect(problem).toStartWith(`DATABASE_URL must be ${allowed}, with EVENTS_STORE_TYPE=postgres`);
    expect(problem).toContain(why);
    expect(problem).not.toContain("cret");
    expect(others).toEqual([]);
  }
});

test("config: an app's DATABASE_URL of any kind is its own, unless events go there", () => {
  using there = folder();
  const url = "mysql://me:s3cret@db/x";
  const { config, warnings } = usable(there.path, { DATABASE_URL: url });
  expect([config.eventsDatabase, warnings]).toEqual([null, []]);
  expect(config.childEnvironment.DATABASE_URL).toBe(url);
  const ours = { ...POSTGRES, DATABASE_URL: "postgresql://me:s3%2Fcret@db/x" };
  const { config: taken, given } = usable(there.path, ours);
  expect(taken.eventsDatabase).toMatchObject({ host: "db", port: 5432, password: "s3/cret" });
  expect(taken.childEnvironment.DATABASE_URL).toBeUndefined();
  expect(JSON.stringify([...given])).not.toContain("cret");
});

test("config: a redis registry needs a URL, under either name, and nothing of it is shown", () => {
  using there = folder();
  const type = { REGISTRY_TYPE: "redis" };
  const allowed = "a URL such as redis://user:password@host:6379, rediss:// for TLS, unix:/path";
  expect(problemsOf(there.path, type)).toEqual([
    expect.stringContaining(
      `REGISTRY_REDIS_URL (or REDIS_URL) is required with REGISTRY_TYPE=redis: set it to ${allowed}`,
    ),
  ]);
  const wrong = {
    "mysql://me:s3cret@db/x": "it is one of another kind",
    "redis://me:s3cret@a,b": "several hosts need redis+sentinel:// or redis+cluster://",
    "rediss://me:s3cret@a?ca=gone.pem": `${there.path}/gone.pem, must be a file that exists`,
  };
  for (const [url, why] of Object.entries(wrong)) {
    const [problem = "", ...others] = problemsOf(there.path, { ...type, REDIS_URL: url });
    expect(problem).toStartWith("REGISTRY_REDIS_URL (or REDIS_URL)");
    expect(problem).toContain(why);
    expect(problem).not.toContain("cret");
    expect(others).toEqual([]);
  }
});

test("config: where the registry is shared, and under which name", () => {
  using there = folder({ "ca.pem": "" });
  const REGISTRY_REDIS_URL = "rediss://me:s3%2Fcret@db/2?ca=ca.pem";
  const shared = { REGISTRY_TYPE: "redis", INSTANCE_NAME: "Blue", REGISTRY_REDIS_URL };
  const { config, given, warnings } = usable(there.path, shared);
  expect(config).toMatchObject({
    registryType: "redis",
    registryRedis: { shown: "db:6379, database 2", password: "s3/cret" },
    instanceName: "blue",
    eventsStoreType: "sqlite",
  });
  expect(config.registryRedis?.tls?.caFile).toBe(`${there.path}/ca.pem`);
  expect([warnings, JSON.stringify([...given]).includes("cret")]).toEqual([[], false]);
  expect(config.childEnvironment.REGISTRY_REDIS_URL).toBeUndefined();
  const { config: own } = usable(there.path, { REDIS_URL: "no URL, but an app's" });
  expect([own.registryRedis, own.instanceName]).toEqual([null, "default"]);
});

test("config: problems of flags, environment, .env and file come together", () => {
  using there = folder({
    "paastis.yml": "ruls: []\nfoo: 1\n",
    ".env": "HOST=a b\nbroken s3cret\n",
  });
  const problems = problemsOf(there.path, { LOG_LEVEL: "loud" }, { PORT: "80a" });
  expect(problems).toHaveLength(6);
  const text = problems.join("\n");
  for (const part of ["--port must", "HOST (in .env)", "LOG_LEVEL", ".env, line 2:"]) {
    expect(text).toContain(part);
  }
  expect(text).toContain("paastis.yml, line 1: ruls is not a known key: did you mean rules?");
  expect(text).toContain("paastis.yml, line 2: foo");
  expect(text).not.toContain("s3cret");
  expect(configInvalid(problems).message).toContain("it has 6 problems:\n  - ");
});

describe("config: the file", () => {
  test("a named file wins over the default, by flag over PAASTIS_CONFIG, relative to the folder", () => {
    const rule = (name: string) => `rules: [{ pattern: ${name} }]`;
    using there = folder({ "paastis.yml": rule("a"), "b.yml": rule("b"), "c.yml": rule("c") });
    const named = (environment: Environment, flags: Environment = {}) =>
      usable(there.path, environment, flags).config;
    expect(named({}).apps.rules[0]?.pattern.source).toBe("a");
    expect(named({ PAASTIS_CONFIG: "b.yml" }).apps.rules[0]?.pattern.source).toBe("b");
    const both = named({ PAASTIS_CONFIG: "b.yml" }, { PAASTIS_CONFIG: "./c.yml" });
    expect(both.apps.rules[0]?.pattern.source).toBe("c");
    expect(both.file).toBe(join(there.path, "c.yml"));
  });

  test("a relative cwd counts from the file's folder", () => {
    using there = folder();
    mkdirSync(join(there.path, "etc"));
    writeFileSync(join(there.path, "etc", "p.yml"), "apps: { a: { command: x, cwd: w } }");
    const { config, warnings } = usable(there.path, {}, { PAASTIS_CONFIG: "etc/p.yml" });
    expect(config.apps.apps[0]).toMatchObject({ cwd: join(there.path, "etc", "w") });
    expect(warnings).toEqual([
      `apps.a: its folder ${join(there.path, "etc", "w")} does not exist yet`,
    ]);
  });

  test("a named file that is missing, a folder, too large or not UTF-8 is a problem", () => {
    using there = folder({ large: " ".repeat(1024 * 1024 + 1) });
    writeFileSync(join(there.path, "binary"), new Uint8Array([0x61, 0xff, 0xfe]));
    const problem = (file: string) => problemsOf(there.path, { PAASTIS_CONFIG: file });
    expect(problem("nope.yml")).toEqual(["nope.yml must be a file that exists"]);
    expect(problem(".")[0]).toContain("must be a file: it is a folder");
    expect(problem("large")).toEqual(["large is too large: 1048577 bytes, at most 1048576"]);
    expect(problem("binary")).toEqual(["binary is not UTF-8 text"]);
  });

  test("a default file that is a dangling link counts as none", () => {
    using there = folder();
    symlinkSync("nowhere", join(there.path, "paastis.yml"));
    expect(usable(there.path).config.file).toBeNull();
  });

  test.skipIf(process.getuid?.() === 0)("a file that may not be read is a problem", () => {
    using there = folder({ "paastis.yml": "" });
    chmodSync(join(there.path, "paastis.yml"), 0);
    expect(problemsOf(there.path)).toEqual(["paastis.yml cannot be read: permission denied"]);
  });
});

describe("config: .env", () => {
  test("only our variables are taken, the real environment wins, nothing is changed", () => {
    using there = folder({ ".env": "PORT=4000\nHOST='::1'\nDATABASE_URL=postgres://x\n" });
    const environment = { HOST: "127.0.0.1", PATH: "/bin" };
    const before = structuredClone(environment);
    const { config } = usable(there.path, environment);
    expect(config).toMatchObject({ port: 4000, host: "127.0.0.1" });
    expect(config.childEnvironment).toEqual({ PATH: "/bin" });
    expect(environment).toEqual(before);
    expect(process.env.DATABASE_URL).toBeUndefined();
  });

  test("a folder called .env is something else", () => {
    using there = folder();
    mkdirSync(join(there.path, ".env"));
    expect(problemsOf(there.path)).toEqual([]);
  });
});

test("config: apps inherit neither our variables nor those of our runtime", () => {
  using there = folder();
  const { config } = usable(there.path, {
    ...{ PORT: "1", REDIS_URL: "redis://:s3cret@x", HOOKS_AFTER_STOP: "x", LOG_LEVEL: "info" },
    ...{ BUN_CONFIG_MAX_HTTP_REQUESTS: "65535", BUN_CONFIG_DNS_TIME_TO_LIVE_SECONDS: "5" },
    ...{ PATH: "/bin", DATABASE_URL: "kept", UNSET: undefined },
  });
  expect(config.childEnvironment).toEqual({ PATH: "/bin", DATABASE_URL: "kept" });
});

test("config: it is frozen to the bottom, and its patterns still match", () => {
  using there = folder({ "paastis.yml": "rules: [{ pattern: 'a(b)', linked_apps: [c] }]" });
  const { config } = usable(there.path);
  const [rule] = config.apps.rules;
  for (const part of [config, config.apps, config.apps.rules, rule, rule?.settings.linkedApps]) {
    expect(Object.isFrozen(part)).toBe(true);
  }
  for (let round = 0; round < 3; round++) expect(rule?.pattern.exec("xab")?.[1]).toBe("b");
  expect(rule?.pattern.exec("x")).toBeNull();
});

test("config: doubtful settings are warnings", () => {
  using there = folder({
    "paastis.yml": "apps: { a: { command: x, port: 81 }, b: { command: x, port: 81 } }",
  });
  expect(usable(there.path, { PORT: "81", DEFAULT_APP: "c" }).warnings).toEqual([
    'DEFAULT_APP is "c", but no app of that key is declared',
    "apps.a: its port 81 is also that of Paastis itself",
    "apps.b: its port 81 is also that of Paastis itself",
  ]);
  expect(usable(there.path).warnings).toEqual(["apps.b: its port 81 is also that of a"]);
});

test("config: names of apps that are not declared are warnings, but for those made of groups", () => {
  using there = folder({
    "paastis.yml": `
apps:
  a: { targets: [http://a], linked_apps: [A, gone] }
rules:
  - { pattern: '(x)', app_name: nobody }
  - { pattern: '(x)', app_name: 'y-$1', linked_apps: ['z-$1', a, b] }
`,
  });
  expect(usable(there.path, { REGISTRY_IGNORED_APPS: "a,c" }).warnings).toEqual([
    'REGISTRY_IGNORED_APPS names "c", but no app of that key is declared',
    'rules[0].app_name names "nobody", but no app of that key is declared',
    'rules[1].linked_apps names "b", but no app of that key is declared',
    'apps.a.linked_apps names "gone", but no app of that key is declared',
  ]);
});

test("config: where a platform lists apps, only names that none can have are doubted", () => {
  using there = folder({ "paastis.yml": "rules: [{ pattern: x, linked_apps: [gone] }]" });
  const platform = { PROVIDER_NAME: "heroku", PROVIDER_HEROKU_API_TOKEN: "t" };
  const named = { DEFAULT_APP: "shop", REGISTRY_IGNORED_APPS: "shop,a.b" };
  expect(usable(there.path, { ...platform, ...named }).warnings).toEqual([
    'REGISTRY_IGNORED_APPS names "a.b", which can be no key of an app',
  ]);
});

describe("config: of several problems with one cause, the cause is told", () => {
  const TOKEN = "PROVIDER_SCALINGO_API_TOKEN";
  const scalingo = { PROVIDER_NAME: "scalingo" };

  test("a value that was refused is not missing as well", () => {
    using there = folder();
    expect(problemsOf(there.path, { ...scalingo, [TOKEN]: "tk us" })).toEqual([
      `${TOKEN} must be an API token: one word without spaces`,
    ]);
    const clever = { PROVIDER_NAME: "clever-cloud", PROVIDER_CLEVER_SECRET: "a b" };
    expect(problemsOf(there.path, clever)).toEqual([
      expect.stringMatching(/^PROVIDER_CLEVER_SECRET must be /),
    ]);
  });

  test("a missing one is told together with the name that was mistaken for it", () => {
    using there = folder();
    const reading = load(there.path, { ...scalingo, PROVIDER_SCALINGO_API_TOKN: "x", HOLD_X: "1" });
    expect(reading).toMatchObject({
      problems: [
        `${TOKEN} is required, as PROVIDER_NAME has scalingo (did you mean it by PROVIDER_SCALINGO_API_TOKN, which is no variable of Paastis?)`,
      ],
      warnings: ["HOLD_X is not a variable of Paastis, and changes nothing"],
    });
    expect(problemsOf(there.path, { PROVIDER_NAME: "", PROVIDER_NAM: "process" })).toEqual([
      expect.stringMatching(/^PROVIDER_NAME is required: .*did you mean it by PROVIDER_NAM,/),
    ]);
    expect(problemsOf(there.path, { TLS_KEY: "k", TLS_CRET: "c", HTTP2: "1" })).toEqual([
      expect.stringMatching(/^TLS_CERT is required with TLS_KEY: .*by TLS_CRET,/),
    ]);
  });

  test("what stands in a broken line of .env is not missing as well", () => {
    using there = folder({ ".env": `PROVIDER_NAME="scalingo\n${TOKEN} tk-us-1\n` });
    expect(problemsOf(there.path, { PROVIDER_NAME: "" })).toEqual([
      '.env, line 1: the value of PROVIDER_NAME begins with " and must end with one',
    ]);
    writeFileSync(join(there.path, ".env"), `PROVIDER_NAME=scalingo\n${TOKEN} tk-us-1\n`);
    expect(problemsOf(there.path, { PROVIDER_NAME: "" })).toEqual([
      ".env, line 2: must be KEY=value or a comment beginning with #",
    ]);
  });

  test("nobody knows what is missing while .env cannot be read", () => {
    using there = folder();
    symlinkSync(".env", join(there.path, ".env"));
    const problems = problemsOf(there.path, { PROVIDER_NAME: "", PORT: "x" });
    expect(problems).toHaveLength(2);
    expect(problems[0]).toStartWith("PORT must be");
    expect(problems[1]).toStartWith(".env cannot be read: ");
  });

  test("a tab in the file is told once, and so is a key with a slip", () => {
    using there = folder({ "paastis.yml": "apps: 1\n\trules: 2\n  c: 3\n" });
    expect(problemsOf(there.path)).toEqual([
      "paastis.yml, line 2: Tabs are not allowed as indentation",
    ]);
    writeFileSync(join(there.path, "paastis.yml"), "rules:\n  - patern: x\n");
    expect(problemsOf(there.path)).toEqual([
      "paastis.yml, line 2: rules[0].patern is not a known key: did you mean pattern?",
    ]);
  });
});

describe("config: what changes nothing is a warning", () => {
  const HEROKU = { PROVIDER_NAME: "heroku", PROVIDER_HEROKU_API_TOKEN: "t" };
  const cases: readonly (readonly [string, Environment, readonly string[]])[] = [
    [
      "variables of providers that are not named",
      { PROVIDER_HEROKU_API_TOKEN: "t", PROVIDER_FLY_API_TOKEN: "t", PROVIDER_FLY_SLEEP_MODE: "" },
      [
        "PROVIDER_HEROKU_API_TOKEN has no effect: PROVIDER_NAME does not have heroku",
        "PROVIDER_FLY_API_TOKEN has no effect: PROVIDER_NAME does not have fly",
      ],
    ],
    [
      "several of one provider",
      { PROVIDER_CLEVER_TOKEN: "t", PROVIDER_CLEVER_SECRET: "s", PROVIDER_CLEVER_API_TOKEN: "t" },
      [
        "PROVIDER_CLEVER_API_TOKEN, PROVIDER_CLEVER_TOKEN and PROVIDER_CLEVER_SECRET have no effect: PROVIDER_NAME does not have clever-cloud",
      ],
    ],
    [
      "regions of those that have none",
      { ...HEROKU, PROVIDER_REGION: "osc-fr1" },
      ["PROVIDER_REGION has no effect: no provider in PROVIDER_NAME has regions to choose from"],
    ],
    [
      "what only the socket engine does",
      { ENGINE: "fetch", UPSTREAM_MAX_SOCKETS: "9", MAX_HEADER_SIZE: "8kb" },
      ["MAX_HEADER_SIZE and UPSTREAM_MAX_SOCKETS have no effect with the engine fetch"],
    ],
    [
      "what it does there, and is given with it",
      { ENGINE: "socket", UPSTREAM_MAX_SOCKETS: "9", SERVER_KEEPALIVE_TIMEOUT: "9" },
      [],
    ],
    [
      "a keep-alive time below what the fetch engine can",
      { HTTP2: "1", TLS_CERT: "c", TLS_KEY: "k", SERVER_KEEPALIVE_TIMEOUT: "9000" },
      [
        "SERVER_KEEPALIVE_TIMEOUT is 9000: with the engine fetch, which HTTP2 needs, it is 60000 at least",
      ],
    ],
    [
      "limits behind others",
      { HOLD_GRACE_MS: "5", HOLD_MAX_MS: "4", HOLD_MAX_PER_APP: "3", HOLD_MAX_TOTAL: "2" },
      [
        "HOLD_GRACE_MS is 5, more than HOLD_MAX_MS, which is 4 and comes first",
        "HOLD_MAX_PER_APP is 3, more than HOLD_MAX_TOTAL, which is 2 and comes first",
      ],
    ],
    ["but not when they are defaults", { HOLD_MAX_MS: "0", HOLD_MAX_TOTAL: "1" }, []],
    [
      "a time for hooks, of connections that are not kept, and a Redis that is not asked",
      {
        ...{ HOOKS_TIMEOUT_MS: "1", UPSTREAM_KEEPALIVE: "0", UPSTREAM_KEEPALIVE_MSECS: "1" },
        REGISTRY_REDIS_URL: "redis://x",
      },
      [
        "HOOKS_TIMEOUT_MS has no effect: there is no hook",
        "UPSTREAM_KEEPALIVE_MSECS has no effect: UPSTREAM_KEEPALIVE is off",
        "REGISTRY_REDIS_URL has no effect: REGISTRY_TYPE is sqlite",
      ],
    ],
    ["but not REDIS_URL, which others have too", { REDIS_URL: "redis://x" }, []],
  ];
  for (const [name, environment, warnings] of cases) {
    test(name, () => {
      using there = folder();
      expect(usable(there.path, environment).warnings).toEqual(warnings);
    });
  }

  const APPS = `
apps:
  own: { command: x }
  plain: { targets: ['http://a'] }
  safe: { targets: ['http://a', 'https://b'] }
`;

  test("a rule's provider that is not named", () => {
    using there = folder({
      "paastis.yml": "rules: [{ pattern: x, provider: heroku }, { pattern: x, provider: process }]",
    });
    expect(usable(there.path).warnings).toEqual([
      "rules[0].provider has no effect: it is heroku, which PROVIDER_NAME does not have",
    ]);
    expect(usable(there.path, HEROKU).warnings).toEqual([
      "rules[1].provider has no effect: it is process, which PROVIDER_NAME does not have",
    ]);
  });

  test("TLS settings of apps that are not reached by https, in rules and in their own entries", () => {
    using there = folder({
      "paastis.yml": `${APPS}rules:
  - { pattern: 'plain|own', tls_verify: false }
  - { pattern: 'plain|safe', tls_verify: false }
  - { pattern: 'nobody', tls_verify: false }
  - { pattern: 'nobody', tls_verify: false, app_name: Plain }
`,
    });
    const told = [0, 3].map(
      (index) =>
        `rules[${index}].tls_verify has no effect: no app that it matches has an https target`,
    );
    expect(usable(there.path).warnings).toEqual(told);
    expect(usable(there.path, HEROKU).warnings).toEqual([]);
    const verify = "tls_verify: false }";
    writeFileSync(join(there.path, "paastis.yml"), APPS.replaceAll(" }", `, ${verify}`));
    expect(usable(there.path).warnings).toEqual([
      "apps.own.tls_verify has no effect: an app of this machine is not reached by https",
      "apps.plain.tls_verify has no effect: no target is https",
    ]);
  });

  test("an idle time of an app that sleeps by itself, and PORT in the env of a process", () => {
    using there = folder({
      "paastis.yml": `
apps:
  own: { command: x, env: { PORT: 80 } }
  plain: { targets: ['http://a'], app_max_idle_time: 5 }
`,
    });
    expect(usable(there.path).warnings).toEqual([
      "paastis.yml, line 3: apps.own.env.PORT has no effect: Paastis sets PORT itself; `port` says which",
      "apps.plain.app_max_idle_time has no effect: the app sleeps by itself, or never",
    ]);
  });
});

test("config: tls_ca is read from beside the file, and a socket's path counts from there", () => {
  using there = folder();
  mkdirSync(join(there.path, "etc"));
  writeFileSync(join(there.path, "etc", "ca.pem"), PRIVATE_CA);
  writeFileSync(
    join(there.path, "etc", "p.yml"),
    "apps: { a: { targets: ['unix:a.sock'], tls_ca: ca.pem } }",
  );
  const { config, reload } = usable(there.path, {}, { PAASTIS_CONFIG: "etc/p.yml" });
  expect(config.apps.apps).toMatchObject([
    {
      targets: [{ socketPath: join(there.path, "etc", "a.sock") }],
      settings: { tlsCa: PRIVATE_CA },
    },
  ]);
  writeFileSync(join(there.path, "etc", "ca.pem"), STRANGER_CA);
  expect(reload().apps[0]?.settings.tlsCa).toBe(STRANGER_CA);
  rmSync(join(there.path, "etc", "ca.pem"));
  mkdirSync(join(there.path, "etc", "ca.pem"));
  const path = join(there.path, "etc", "ca.pem");
  expect(reload).toThrow(
    `etc/p.yml, line 1: apps.a.tls_ca must be a file: it is a folder (${path})`,
  );
});

describe("config: reload", () => {
  test("gives what the file says now", () => {
    using there = folder({ "paastis.yml": "rules: [{ pattern: a }]" });
    const { reload } = usable(there.path);
    writeFileSync(join(there.path, "paastis.yml"), "rules: [{ pattern: b }]");
    expect(reload().rules[0]?.pattern.source).toBe("b");
    expect(Object.isFrozen(reload().rules)).toBe(true);
  });

  test("a broken file and one that is gone are errors with code config_invalid", () => {
    using there = folder({ "paastis.yml": "" });
    const { reload } = usable(there.path);
    writeFileSync(join(there.path, "paastis.yml"), "ruls: 1\nfoo: 2");
    expect(reload).toThrow(expect.objectContaining({ code: "config_invalid" }));
    expect(reload).toThrow("paastis.yml, line 2: foo");
    rmSync(join(there.path, "paastis.yml"));
    expect(reload).toThrow("paastis.yml must be a file that exists");
  });

  test("a default file that came later is read, and none is still fine", () => {
    using there = folder();
    const { reload } = usable(there.path);
    expect(reload()).toEqual({ apps: [], rules: [] });
    writeFileSync(join(there.path, "paastis.yml"), "rules: [{ pattern: b }]");
    expect(reload().rules).toHaveLength(1);
  });
});
