/** The table of environment variables: names, defaults, what is allowed, and what each is for. */

import { PROVIDER_NAMES, type ProviderName } from "./config.ts";
import { EVENT_VARIABLES } from "./event-variables.ts";
import { PAGE_VARIABLES } from "./page-variables.ts";
import { PRICE_VARIABLES } from "./price-variables.ts";
import { PROVIDER_VARIABLES } from "./provider-variables.ts";
import { REDIS_URL_ALLOWED } from "./redis/redis-url.ts";
import {
  addressRanges,
  bytes,
  bytesOrOff,
  cronExpression,
  hostAddress,
  key,
  keys,
  milliseconds,
  millisecondsOrOff,
  minutes,
  oneOf,
  onOff,
  someOf,
  text,
  wholeNumber,
} from "./setting-parsers.ts";
import { SWITCH_VARIABLES } from "./switch-variables.ts";
import { SYSTEM_VARIABLES } from "./system-variables.ts";
import { type Variable, variable } from "./variable.ts";
import { WEBHOOK_VARIABLES } from "./webhook-variables.ts";

const COUNT_MAX = 1_000_000;
/** More than any server takes; a head is in memory as a whole. */
const HEAD_BYTES_MAX = 1024 * 1024;

/** Every variable there is, in the order of the README's table. */
export const VARIABLES = {
  providers: variable<readonly ProviderName[]>({
    name: "PROVIDER_NAME",
    parser: someOf(PROVIDER_NAMES),
    fallback: [],
    required: true,
    unless: "INITIAL_TARGET_PORT",
    doc: "The providers whose apps are looked after, one or several.",
  }),
  ...PROVIDER_VARIABLES,
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
  ...SWITCH_VARIABLES,
  ...SYSTEM_VARIABLES,
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
  ...PRICE_VARIABLES,
  dataDir: variable({
    name: "DATA_DIR",
    parser: text("a path"),
    fallback: ".paastis",
    doc: "The folder for what must survive a restart; a relative path counts from the working directory.",
  }),
  registryType: variable<"sqlite" | "in-memory" | "redis">({
    name: "REGISTRY_TYPE",
    parser: oneOf(["sqlite", "in-memory", "redis"]),
    fallback: "sqlite",
    doc: "Where the state of the apps is kept; `redis`: several instances with one `INSTANCE_NAME` share it and act as one.",
  }),
  registryRedisUrl: variable<string | null>({
    name: "REGISTRY_REDIS_URL",
    aliases: ["REDIS_URL"],
    parser: text(REDIS_URL_ALLOWED),
    fallback: null,
    secret: true,
    doc: "The Redis of a `redis` registry: a server, Sentinels or a Cluster, with `rediss` for TLS. Unused with another registry.",
  }),
  ...EVENT_VARIABLES,
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
  ...WEBHOOK_VARIABLES,
  tlsCert: variable<string | null>({
    name: "TLS_CERT",
    parser: text("a path"),
    fallback: null,
    doc: "The PEM file with the certificate, and those between it and its root, to speak TLS with clients.",
  }),
  tlsKey: variable<string | null>({
    name: "TLS_KEY",
    parser: text("a path"),
    fallback: null,
    doc: "The PEM file with the certificate's private key. Both files are read again when they change.",
  }),
  http2: variable({
    name: "HTTP2",
    parser: onOff(),
    fallback: false,
    defaultText: "`0`",
    doc: "Whether clients may speak HTTP/2 over TLS; the fetch engine only.",
  }),
  engine: variable<"fetch" | "socket" | null>({
    name: "ENGINE",
    parser: oneOf(["fetch", "socket"]),
    fallback: null,
    defaultText: "`socket`; with `HTTP2`: `fetch`",
    doc: "What carries the bytes: socket, byte-exact, or fetch, the runtime's own server, for HTTP/2 and as the fallback.",
  }),
  keepAliveMs: variable({
    name: "SERVER_KEEPALIVE_TIMEOUT",
    parser: milliseconds(1),
    fallback: 5000,
    doc: "How long a client's connection may be idle between two requests, in milliseconds.",
  }),
  headersTimeoutMs: variable({
    name: "SERVER_HEADERS_TIMEOUT",
    parser: milliseconds(1),
    fallback: 6000,
    doc: "How long a client may take to send the head of a request, in milliseconds.",
  }),
  headBytesMax: variable({
    name: "MAX_HEADER_SIZE",
    parser: bytes(1024, HEAD_BYTES_MAX),
    fallback: 64 * 1024,
    defaultText: "`64kb`",
    doc: "How large the head of a request may be.",
  }),
  bodyBytesMax: variable<number | null>({
    name: "MAX_BODY_SIZE",
    parser: bytesOrOff(),
    fallback: null,
    defaultText: "no limit",
    doc: "How large the body of a request may be.",
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
    doc: "Who reads the whole reason when an app cannot be woken: what its platform said, the last probe, its last output; local: clients on this machine, not through a proxy.",
  }),
  ...PAGE_VARIABLES,
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
    doc: "Longest to wait for an app to begin its answer, in milliseconds since the client sent something; 0: no limit.",
  }),
  upstreamKeepAlive: variable({
    name: "UPSTREAM_KEEPALIVE",
    parser: onOff(),
    fallback: true,
    defaultText: "`1`",
    doc: "Whether connections to apps are kept for the next request.",
  }),
  upstreamKeepAliveMs: variable({
    name: "UPSTREAM_KEEPALIVE_MSECS",
    parser: milliseconds(1),
    fallback: 1000,
    doc: "How long a connection to an app is kept unused, in milliseconds: less than the app keeps it.",
  }),
  upstreamSocketsMax: variable({
    name: "UPSTREAM_MAX_SOCKETS",
    parser: wholeNumber(1, COUNT_MAX),
    fallback: 1024,
    doc: "How many requests may be under way to one app; more wait their turn. WebSockets do not count.",
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
  restartTimeoutMs: variable({
    name: "RESTART_TIMEOUT_MS",
    parser: milliseconds(0),
    fallback: 600_000,
    doc: "How long requests and sockets under way may take to finish when another process has taken over, in milliseconds.",
  }),
  logLevel: variable<"trace" | "debug" | "info" | "warn" | "error" | "silent">({
    name: "LOGGING_LEVEL",
    aliases: ["LOG_LEVEL"],
    parser: oneOf(["trace", "debug", "info", "warn", "error", "silent"]),
    fallback: "info",
    doc: "How much is logged.",
  }),
} as const;

function hook(name: string, when: string): Variable<string | null> {
  return variable<string | null>({
    name,
    parser: text("a shell command"),
    fallback: null,
    secret: true,
    doc: `A shell command to run ${when}.`,
  });
}
