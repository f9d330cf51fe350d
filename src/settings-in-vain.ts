/** Finds settings that change nothing, because of others or of what there is. Pure. */

import type { AppsConfig, Config, Declaration, Rule, Settings } from "./config.ts";
import { providerVariables } from "./environment.ts";
import { listsItsOwn, regionsOf } from "./provider-kinds.ts";

/** What only the socket engine does. Source: the runtime's server and client have no such settings, or fixed ones. */
const SOCKET_ONLY = [
  "SERVER_HEADERS_TIMEOUT",
  "MAX_HEADER_SIZE",
  "UPSTREAM_KEEPALIVE_MSECS",
  "UPSTREAM_MAX_SOCKETS",
];
/** Shortest that the fetch engine keeps a client's connection, in ms. */
const FETCH_KEEP_ALIVE_MIN_MS = 60_000;

/** One sentence each. @param given names of our variables that have a value */
export function settingsInVain(config: Config, given: ReadonlySet<string>): string[] {
  return [
    ...ofProviders(config, given),
    ...ofRegions(config, given),
    ...ofEngine(config, given),
    ...ofLimits(config, given),
    ...ofOthers(config, given),
    ...config.apps.rules.flatMap((rule, index) => ofRule(rule, `rules[${index}]`, config)),
    ...config.apps.apps.flatMap(ofApp),
  ];
}

function ofProviders({ providers }: Config, given: ReadonlySet<string>): string[] {
  const unused = providerVariables().filter(
    ({ name, provider }) => given.has(name) && !providers.includes(provider),
  );
  return [...Map.groupBy(unused, ({ provider }) => provider)].map(([provider, variables]) => {
    const names = variables.map(({ name }) => name);
    return noEffect(names, `: PROVIDER_NAME does not have ${provider}`);
  });
}

function ofRegions(config: Config, given: ReadonlySet<string>): string[] {
  if (regionsOf(config).length > 0 || !given.has("PROVIDER_REGION")) return [];
  return ["PROVIDER_REGION has no effect: no provider in PROVIDER_NAME has regions to choose from"];
}

function ofEngine({ engine, listener }: Config, given: ReadonlySet<string>): string[] {
  if (engine !== "fetch") return [];
  const names = SOCKET_ONLY.filter((name) => given.has(name));
  const why = given.has("ENGINE") ? "" : ", which HTTP2 needs";
  const doubts = names.length === 0 ? [] : [noEffect(names, ` with the engine fetch${why}`)];
  const { keepAliveMs } = listener;
  if (given.has("SERVER_KEEPALIVE_TIMEOUT") && keepAliveMs < FETCH_KEEP_ALIVE_MIN_MS) {
    doubts.push(
      `SERVER_KEEPALIVE_TIMEOUT is ${keepAliveMs}: with the engine fetch${why}, it is ` +
        `${FETCH_KEEP_ALIVE_MIN_MS} at least`,
    );
  }
  return doubts;
}

/** Limits that lie behind others. Defaults do so now and then, and are nobody's mistake. */
function ofLimits({ hold }: Config, given: ReadonlySet<string>): string[] {
  const limits = [
    ["HOLD_GRACE_MS", hold.graceMs, "HOLD_MAX_MS", hold.maxMs],
    ["HOLD_MAX_PER_APP", hold.maxPerApp, "HOLD_MAX_TOTAL", hold.maxTotal],
    ["HOLD_MAX_UPLOADS", hold.maxUploads, "HOLD_MAX_TOTAL", hold.maxTotal],
  ] as const;
  return limits
    .filter(([name, value, , other]) => given.has(name) && value > other)
    .map(([name, value, otherName, other]) => {
      return `${name} is ${value}, more than ${otherName}, which is ${other} and comes first`;
    });
}

function ofOthers(config: Config, given: ReadonlySet<string>): string[] {
  const { hooks, registryType, upstream } = config;
  const doubts: string[] = [];
  const hasHook = Object.values(hooks).some((command) => typeof command === "string");
  if (given.has("HOOKS_TIMEOUT_MS") && !hasHook) {
    doubts.push("HOOKS_TIMEOUT_MS has no effect: there is no hook");
  }
  const ofWebhooks = ["WEBHOOK_SECRET", "WEBHOOK_EVENTS"].filter((name) => given.has(name));
  if (config.webhooks === null && ofWebhooks.length > 0) {
    doubts.push(noEffect(ofWebhooks, ": there are no WEBHOOK_URLS"));
  }
  if (given.has("UPSTREAM_KEEPALIVE_MSECS") && !upstream.keepAlive) {
    doubts.push("UPSTREAM_KEEPALIVE_MSECS has no effect: UPSTREAM_KEEPALIVE is off");
  }
  if (given.has("ROUTING_SYSTEM_API_TOKEN") && config.admin.systemToken === null) {
    const off =
      "ROUTING_SYSTEM_API_ENABLED is off: what is sent to the system API goes to the apps";
    doubts.push(`ROUTING_SYSTEM_API_TOKEN has no effect: ${off}, with the token`);
  }
  const isQuiet = ["warn", "error", "silent"].includes(config.logLevel);
  if (given.has("ACCESS_LOG") && config.insight.logsRequests && isQuiet) {
    doubts.push(
      `ACCESS_LOG has no effect: LOG_LEVEL is ${config.logLevel}, and its lines are info`,
    );
  }
  // Its other name, REDIS_URL, is there for others too.
  if (given.has("REGISTRY_REDIS_URL") && registryType !== "redis") {
    doubts.push(`REGISTRY_REDIS_URL has no effect: REGISTRY_TYPE is ${registryType}`);
  }
  return doubts;
}

function ofRule(rule: Rule, where: string, { apps, providers }: Config): string[] {
  const { provider } = rule.settings;
  const doubts: string[] = [];
  if (provider !== undefined && !providers.includes(provider)) {
    doubts.push(
      `${where}.provider has no effect: it is ${provider}, which PROVIDER_NAME does not have`,
    );
  }
  // What a platform's app is reached by, only the platform knows.
  if (providers.some(listsItsOwn)) return doubts;
  const subjects = subjectsOf(rule, apps);
  if (subjects.length > 0 && !subjects.some(speaksTls)) {
    const why = "no app that it matches has an https target";
    doubts.push(
      ...tlsKeysOf(rule.settings).map((key) => noEffect([`${where}.${key}`], `: ${why}`)),
    );
  }
  return doubts;
}

/** A rule with a fixed `app_name` applies to the app it names, too. */
function subjectsOf({ pattern, settings }: Rule, { apps }: AppsConfig): readonly Declaration[] {
  return apps.filter(({ key }) => pattern.test(key) || settings.appName?.toLowerCase() === key);
}

function ofApp(app: Declaration): string[] {
  const where = `apps.${app.key}`;
  const doubts: string[] = [];
  if (app.provider !== "process" && app.settings.maxIdleMinutes !== undefined) {
    doubts.push(`${where}.app_max_idle_time has no effect: the app sleeps by itself, or never`);
  }
  if (app.provider === "http" && app.settings.switching !== undefined) {
    doubts.push(`${where}.switch has no effect: only apps of process and ports are switched`);
  }
  if (speaksTls(app)) return doubts;
  const why =
    app.provider === "http"
      ? "no target is https"
      : "an app of this machine is not reached by https";
  return [
    ...doubts,
    ...tlsKeysOf(app.settings).map((key) => noEffect([`${where}.${key}`], `: ${why}`)),
  ];
}

function speaksTls(app: Declaration): boolean {
  return app.provider === "http" && app.targets.some(({ origin }) => origin.startsWith("https:"));
}

function tlsKeysOf({ tlsCa, tlsVerify }: Settings): readonly string[] {
  return [
    ...(tlsCa === undefined ? [] : ["tls_ca"]),
    ...(tlsVerify === undefined ? [] : ["tls_verify"]),
  ];
}

/** @param why goes on after it */
function noEffect(names: readonly string[], why: string): string {
  const all = new Intl.ListFormat("en-GB").format(names);
  return `${all} ${names.length < 2 ? "has" : "have"} no effect${why}`;
}
