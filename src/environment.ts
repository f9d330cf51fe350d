/** The table of environment variables, and how they become typed values. */

import { PROVIDER_NAMES, type ProviderName } from "./config.ts";
import { nearest } from "./nearest.ts";
import {
  addressRanges,
  cronExpression,
  hostAddress,
  key,
  keys,
  milliseconds,
  millisecondsOrOff,
  minutes,
  oneOf,
  onOff,
  type Parser,
  someOf,
  text,
  wholeNumber,
} from "./setting-parsers.ts";

/** One environment variable. */
export interface Variable<T> {
  readonly name: string;
  /** Other names it may be given by. */
  readonly aliases: readonly string[];
  /** The flag that wins over it; `null`: none. */
  readonly flag: string | null;
  readonly parser: Parser<T>;
  /** The value when it is not set. */
  readonly fallback: T;
  /** The default as the README shows it. */
  readonly defaultText: string;
  /** It must be set. */
  readonly required: boolean;
  /** Its value may hold a secret and never appears in a message. */
  readonly secret: boolean;
  /** One sentence: what for, in which unit. */
  readonly doc: string;
}

/** Words that are planned, so that they get a better answer than a typing mistake. */
const LATER_PROVIDERS = [
  ...["ports", "docker", "kubernetes", "heroku", "scalingo", "clever-cloud", "render", "fly"],
  "upsun",
];
const COUNT_MAX = 1_000_000;

/** Every variable there is, in the order of the README's table. */
export const VARIABLES = {
  providers: variable<readonly ProviderName[]>({
    name: "PROVIDER_NAME",
    parser: someOf(PROVIDER_NAMES, LATER_PROVIDERS),
    fallback: [],
    defaultText: "none",
    required: true,
    doc: "The providers whose apps are looked after, one or several.",
  }),
  providerRegion: variable<string | null>({
    name: "PROVIDER_REGION",
    parser: text("the name of a region"),
    fallback: null,
    doc: "The region of the provider's API, where it has several.",
  }),
  host: variable({
    name: "HOST",
    flag: "--host",
    parser: hostAddress(),
    fallback: "0.0.0.0",
    doc: "The address to listen on.",
  }),
  port: variable({
    name: "PORT",
    aliases: ["LISTEN_PORT"],
    flag: "--port",
    parser: wholeNumber(0, 65_535),
    fallback: 3000,
    doc: "The port to listen on; 0: any free one.",
  }),
  configFile: variable<string | null>({
    name: "PAASTIS_CONFIG",
    flag: "--config",
    parser: text("a path"),
    fallback: null,
    defaultText: "`paastis.yml`, if there is one",
    doc: "The file with apps and rules; a relative path counts from the working directory.",
  }),
  maxIdleMs: variable({
    name: "START_AND_STOP_MAX_IDLE_TIME",
    flag: "--max-idle-time",
    parser: minutes(),
    fallback: 15 * 60_000,
    defaultText: "`15`",
    doc: "How long an app must be unused before it is put to sleep, in minutes; 0: as soon as a sweep finds it unused.",
  }),
  sweepCron: variable({
    name: "START_AND_STOP_CHECKING_INTERVAL_CRON",
    parser: cronExpression(),
    fallback: "* * * * *",
    doc: "When to look for idle apps: five cron fields, or six with seconds first.",
  }),
  defaultApp: variable<string | null>({
    name: "DEFAULT_APP",
    parser: key(),
    fallback: null,
    doc: "The key of the app that answers for addresses and for hosts whose first label is no app.",
  }),
  ignoredApps: variable<readonly string[]>({
    name: "REGISTRY_IGNORED_APPS",
    parser: keys(),
    fallback: [],
    defaultText: "none",
    doc: "Keys of apps that are never put to sleep, separated by commas.",
  }),
  dataDir: variable({
    name: "DATA_DIR",
    parser: text("a path"),
    fallback: ".paastis",
    doc: "The folder for what must survive a restart; a relative path counts from the working directory.",
  }),
  registryType: variable<"sqlite" | "in-memory">({
    name: "REGISTRY_TYPE",
    parser: oneOf(["sqlite", "in-memory"], ["redis"]),
    fallback: "sqlite",
    doc: "Where the state of the apps is kept.",
  }),
  registryRedisUrl: variable<string | null>({
    name: "REGISTRY_REDIS_URL",
    aliases: ["REDIS_URL"],
    parser: text("a Redis URL"),
    fallback: null,
    secret: true,
    doc: "The Redis server of a `redis` registry; unused otherwise.",
  }),
  eventsStoreType: variable<"sqlite" | "in-memory" | null>({
    name: "EVENTS_STORE_TYPE",
    parser: oneOf(["sqlite", "in-memory"], ["postgres"]),
    fallback: null,
    defaultText: "as `REGISTRY_TYPE`",
    doc: "Where events are kept.",
  }),
  hookBeforeStart: hook(
    "HOOKS_BEFORE_START",
    "before an app is woken; when it fails, so does the wake",
  ),
  hookAfterStart: hook("HOOKS_AFTER_START", "after an app was woken"),
  hookBeforeStop: hook(
    "HOOKS_BEFORE_STOP",
    "before an app is put to sleep; when it fails, the app stays awake",
  ),
  hookAfterStop: hook("HOOKS_AFTER_STOP", "after an app was put to sleep"),
  hooksTimeoutMs: variable({
    name: "HOOKS_TIMEOUT_MS",
    parser: milliseconds(1),
    fallback: 30_000,
    doc: "Longest a hook may run before it is killed and counts as failed, in milliseconds.",
  }),
  engine: variable<"fetch" | "socket">({
    name: "ENGINE",
    parser: oneOf(["fetch", "socket"]),
    fallback: "fetch",
    doc: "What carries the bytes: fetch, the runtime's own server, or socket, byte-exact and still on trial.",
  }),
  holdMaxMs: variable({
    name: "HOLD_MAX_MS",
    parser: milliseconds(0),
    fallback: 25_000,
    doc: "Longest a request waits for its app to wake before it is told to come back, in milliseconds.",
  }),
  holdGraceMs: variable({
    name: "HOLD_GRACE_MS",
    parser: milliseconds(0),
    fallback: 1000,
    doc: "How long a browser's navigation waits before it gets the waiting page, in milliseconds.",
  }),
  holdMaxPerApp: variable({
    name: "HOLD_MAX_PER_APP",
    parser: wholeNumber(0, COUNT_MAX),
    fallback: 10_000,
    doc: "How many requests may wait for one app at a time.",
  }),
  holdMaxTotal: variable({
    name: "HOLD_MAX_TOTAL",
    parser: wholeNumber(0, COUNT_MAX),
    fallback: 20_000,
    doc: "How many requests may wait for all apps together.",
  }),
  holdMaxUploads: variable({
    name: "HOLD_MAX_UPLOADS",
    parser: wholeNumber(0, COUNT_MAX),
    fallback: 100,
    doc: "How many requests with a body above 64 KB may wait; about 2 MB of each are in memory.",
  }),
  showAppOutput: variable<"local" | "always" | "never">({
    name: "SHOW_APP_OUTPUT",
    parser: oneOf(["local", "always", "never"]),
    fallback: "local",
    doc: "Who sees the last output of an app that failed; local: clients on this machine, not through a proxy.",
  }),
  upstreamConnectTimeoutMs: variable({
    name: "UPSTREAM_CONNECT_TIMEOUT_MS",
    parser: milliseconds(1),
    fallback: 5000,
    doc: "Longest to wait for a connection to an app, in milliseconds.",
  }),
  upstreamTimeoutMs: variable<number | null>({
    name: "UPSTREAM_TIMEOUT_MS",
    parser: millisecondsOrOff(),
    fallback: null,
    defaultText: "no limit",
    doc: "Longest to wait for an app to begin its answer, in milliseconds; 0: no limit.",
  }),
  forwardedEnabled: variable({
    name: "ENABLE_XFWD",
    parser: onOff(),
    fallback: true,
    defaultText: "`1`",
    doc: "Whether apps are told about the client by `X-Forwarded-*` and `Via`.",
  }),
  trustedProxies: variable<readonly string[]>({
    name: "TRUSTED_PROXIES",
    parser: addressRanges(),
    fallback: [],
    defaultText: "none",
    doc: "Addresses and ranges of the proxies in front whose own `X-Forwarded-*` are believed.",
  }),
  shutdownTimeoutMs: variable({
    name: "SHUTDOWN_TIMEOUT_MS",
    parser: milliseconds(0),
    fallback: 10_000,
    doc: "How long requests under way may take to finish at shutdown, in milliseconds.",
  }),
  logLevel: variable<"trace" | "debug" | "info" | "warn" | "error" | "silent">({
    name: "LOGGING_LEVEL",
    aliases: ["LOG_LEVEL"],
    parser: oneOf(["trace", "debug", "info", "warn", "error", "silent"]),
    fallback: "info",
    doc: "How much is logged.",
  }),
} as const;

/** The value of every variable. */
export type EnvironmentValues = {
  readonly [K in keyof typeof VARIABLES]: (typeof VARIABLES)[K]["fallback"];
};

/** One place that variables come from. Earlier layers win over later ones. */
export interface Layer {
  readonly kind: "flags" | "environment" | ".env";
  /** By variable name, for flags too. Empty strings count as not set. */
  readonly values: Readonly<Record<string, string | undefined>>;
}

/** What reading all variables gave. A variable with a problem has its default. */
export interface EnvironmentReading {
  readonly values: EnvironmentValues;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** One row of the README's table. */
export interface VariableRow {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly flag: string | null;
  /** Completes "must be …". */
  readonly allowed: string;
  /** Markdown. */
  readonly defaultText: string;
  readonly doc: string;
}

/** Reads every variable of the table. Pure: never throws, collects all problems. */
export function readEnvironment(layers: readonly Layer[]): EnvironmentReading {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [field, row] of Object.entries(VARIABLES)) {
    // The rows differ in their value's type only, and nothing here looks at values.
    values[field] = readVariable(row as Variable<unknown>, layers, problems);
  }
  const warnings = layers.flatMap((layer) => (layer.kind === "flags" ? [] : misspelt(layer)));
  // Each field was read by its own row's parser, or is that row's fallback.
  return { values: values as EnvironmentValues, problems, warnings };
}

/** The table, for documentation. */
export function describeVariables(): readonly VariableRow[] {
  return rows().map((row) => ({
    name: row.name,
    aliases: row.aliases,
    flag: row.flag,
    allowed: row.parser.allowed,
    defaultText: row.required ? "required" : row.defaultText,
    doc: row.doc,
  }));
}

/** Every name that is ours, aliases included. */
export function ownNames(): ReadonlySet<string> {
  return new Set(rows().flatMap((row) => [row.name, ...row.aliases]));
}

function rows(): readonly Variable<unknown>[] {
  // As above: only what does not depend on the value's type is looked at.
  return Object.values(VARIABLES) as readonly Variable<unknown>[];
}

function variable<T>(
  row: Pick<Variable<T>, "name" | "parser" | "fallback" | "doc"> & Partial<Variable<T>>,
): Variable<T> {
  return {
    aliases: [],
    flag: null,
    required: false,
    secret: false,
    defaultText: row.fallback === null ? "none" : `\`${String(row.fallback)}\``,
    ...row,
  };
}

function hook(name: string, when: string): Variable<string | null> {
  return variable<string | null>({
    name,
    parser: text("a shell command"),
    fallback: null,
    secret: true,
    doc: `A shell command to run ${when}.`,
  });
}

function readVariable<T>(row: Variable<T>, layers: readonly Layer[], problems: string[]): T {
  for (const layer of layers) {
    const given = givenIn(layer, row);
    const [first, ...others] = given;
    if (first === undefined) continue;
    const other = others.find((candidate) => candidate.value !== first.value);
    if (other !== undefined) {
      problems.push(conflict(row, first, other));
      return row.fallback;
    }
    const parsed = row.parser.parse(first.value);
    if (parsed.ok) return parsed.value;
    problems.push(refusal(row, first, parsed.why));
    return row.fallback;
  }
  if (row.required) problems.push(`${row.name} is required: set it to ${row.parser.allowed}`);
  return row.fallback;
}

/** A variable as somebody gave it. */
interface Given {
  /** How to call it towards the person who gave it. */
  readonly label: string;
  readonly value: string;
}

function givenIn(layer: Layer, row: Variable<unknown>): Given[] {
  return [row.name, ...row.aliases].flatMap((name) => {
    const value = layer.values[name]?.trim() ?? "";
    return value === "" ? [] : [{ label: labelOf(layer, row, name), value }];
  });
}

function labelOf(layer: Layer, row: Variable<unknown>, name: string): string {
  if (layer.kind === "flags") return row.flag ?? name;
  return layer.kind === ".env" ? `${name} (in .env)` : name;
}

function conflict(row: Variable<unknown>, first: Given, other: Given): string {
  const values = row.secret ? "" : `: ${show(first.value)} and ${show(other.value)}`;
  return `${first.label} and ${other.label} mean the same but have different values${values}`;
}

function refusal(row: Variable<unknown>, given: Given, why: string): string {
  const value = row.secret ? "" : `: it is ${show(given.value)}`;
  const more = why === "" ? "" : ` (${why})`;
  return `${given.label} must be ${row.parser.allowed}${value}${more}`;
}

function show(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 79)}…` : value);
}

/** Variables that nobody reads, but whose names are nearly ours. Those of other programs stay unmentioned. */
function misspelt(layer: Layer): string[] {
  const ours = ownNames();
  const names = rows().map((row) => row.name);
  return Object.keys(layer.values).flatMap((name) => {
    if (ours.has(name) || !name.includes("_")) return [];
    const prefix = name.slice(0, name.indexOf("_") + 1);
    const meant = nearest(
      name,
      names.filter((candidate) => candidate.startsWith(prefix)),
      2,
    );
    return meant === null ? [] : [`${name} is not a variable of Paastis: did you mean ${meant}?`];
  });
}
