/** The variables of switches and of the admin endpoints. */

import {
  addressRanges,
  hosts,
  key,
  milliseconds,
  onOff,
  path,
  text,
  wholeNumber,
} from "./setting-parsers.ts";
import { variable } from "./variable.ts";

const THRESHOLD_MAX = 1000;
const RATE_MAX = 10_000;

/** In the order of the README's table. */
export const SWITCH_VARIABLES = {
  instanceName: variable({
    name: "INSTANCE_NAME",
    parser: key(),
    fallback: "default",
    doc: "What this instance is called, and the key of the app that `INITIAL_TARGET_PORT` makes. Instances that share a `redis` registry have the same name; those with another one have nothing to do with them.",
  }),
  initialTargetPort: variable<number | null>({
    name: "INITIAL_TARGET_PORT",
    parser: wholeNumber(1, 65_535),
    fallback: null,
    doc: "One app without a `paastis.yml`: the port on 127.0.0.1 that every host leads to until the first switch.",
  }),
  stateFile: variable<string | null>({
    name: "STATE_FILE",
    parser: text("a path"),
    fallback: null,
    defaultText: "`switches.json` in `DATA_DIR`",
    doc: "The JSON file that remembers switches; a relative path counts from the working directory.",
  }),
  healthPath: variable({
    name: "HEALTH_PATH",
    parser: path(),
    fallback: "/health",
    doc: "The path that a new target must answer with 2xx before it is switched to, and the active one is watched by.",
  }),
  healthTimeoutMs: variable({
    name: "HEALTH_TIMEOUT_MS",
    parser: milliseconds(1),
    fallback: 5000,
    doc: "How long a new target may take to become healthy, all attempts together, in milliseconds.",
  }),
  drainMs: variable({
    name: "DRAIN_MS",
    parser: milliseconds(0),
    fallback: 30_000,
    doc: "How long what is under way on the old target may go on after a switch, in milliseconds.",
  }),
  rollbackWindowMs: variable({
    name: "ROLLBACK_WINDOW_MS",
    parser: milliseconds(0),
    fallback: 60_000,
    doc: "How long after a switch it is taken back by itself when the new target fails, in milliseconds; 0: never.",
  }),
  rollbackCheckEveryMs: variable({
    name: "ROLLBACK_CHECK_EVERY_MS",
    parser: milliseconds(10),
    fallback: 5000,
    doc: "How often the active target's health is looked at, in milliseconds.",
  }),
  rollbackFailThreshold: variable({
    name: "ROLLBACK_FAIL_THRESHOLD",
    parser: wholeNumber(1, THRESHOLD_MAX),
    fallback: 3,
    doc: "How many looks in a row must fail before a switch is taken back.",
  }),
  adminToken: variable<string | null>({
    name: "ADMIN_TOKEN",
    parser: text("a token"),
    fallback: null,
    secret: true,
    defaultText: "a random one for each start",
    doc: "What the header `x-admin-token`, or `Authorization: Bearer`, must hold for the admin endpoints, and what one logs in with at `/__/`. Without it the log has the one of this start, and this machine may read `/__status`, `/__metrics` and `/__health` without any.",
  }),
  adminHosts: variable<readonly string[]>({
    name: "ADMIN_HOST",
    parser: hosts(),
    fallback: [],
    defaultText: "none",
    doc: "Hosts on which all that begins with `/__` is Paastis' own, besides those that lead to no app.",
  }),
  adminAllowlist: variable<readonly string[]>({
    name: "ADMIN_ALLOWLIST",
    parser: addressRanges(),
    fallback: ["127.0.0.1", "::1"],
    defaultText: "`127.0.0.1,::1`",
    doc: "Addresses and ranges that may use the admin endpoints at all.",
  }),
  adminRateLimit: variable({
    name: "ADMIN_RATE_LIMIT",
    parser: wholeNumber(1, RATE_MAX),
    fallback: 10,
    doc: "How many wrong tokens, and how many changes by the admin endpoints, may come from one address within a minute; the unix socket has no limit.",
  }),
  adminUnixSocket: variable<string | null>({
    name: "ADMIN_UNIX_SOCKET",
    parser: text("a path"),
    fallback: null,
    defaultText: "`admin.sock` in `DATA_DIR`",
    doc: "The unix socket of the admin endpoints, for this user alone: no token is asked for there.",
  }),
  fastPath: variable({
    name: "FAST_PATH",
    parser: onOff(),
    fallback: false,
    defaultText: "`0`",
    doc: "Whether `/__metrics` counts the essentials only.",
  }),
  debugUpstream: variable({
    name: "DEBUG_UPSTREAM",
    parser: onOff(),
    fallback: false,
    defaultText: "`0`",
    doc: "Whether `/__metrics` tells how many connections to apps were made.",
  }),
  accessLog: variable({
    name: "ACCESS_LOG",
    parser: onOff(),
    fallback: false,
    defaultText: "`0`",
    doc: "Whether each request has a line in the log: app, status, how long and for what it waited, how long the app took, and the code of an answer of Paastis' own.",
  }),
  verboseErrors: variable({
    name: "VERBOSE_ERRORS",
    parser: onOff(),
    fallback: false,
    defaultText: "`0`",
    doc: "Whether a 502 or 504 tells every client the cause and the app's address, and not the log alone.",
  }),
} as const;
