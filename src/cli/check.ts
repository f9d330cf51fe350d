/** The verb `check`: says what the configuration means, or everything that is wrong with it. */

import { shelterFor } from "../admin-socket.ts";
import { addressOf, type Target } from "../app.ts";
import type { Config, Declaration, Rule, Settings } from "../config.ts";
import { EXIT_CONFIG } from "../errors.ts";
import { describeAddress } from "../event-store/postgres-url.ts";
import { EVENT_NAMES } from "../events.ts";
import type { LoadedConfig } from "../load-config.ts";
import { listsItsOwn } from "../provider-kinds.ts";
import { policyFor } from "../rules.ts";
import { fitsSocket } from "../socket-path.ts";
import { certificateDoubts } from "./check-certificate.ts";
import {
  type ConfigFlags,
  configFrom,
  describeProblems,
  describeWarnings,
} from "./config-flags.ts";
import { complain, type Surroundings, tell } from "./surroundings.ts";
import { count, inWords, type Row, section, table } from "./table.ts";

/** Flags of `check`. */
export interface CheckFlags extends ConfigFlags {
  /** Try the credentials of platforms, too. */
  readonly online?: true;
}

const USABLE = "This configuration can be used.\n";

/** @returns the exit status: 0 when the configuration can be used, 78 when not, 1 when an account cannot */
export async function runCheck(flags: CheckFlags, surroundings: Surroundings): Promise<number> {
  const loaded = configFrom(flags, surroundings);
  if (typeof loaded === "number") return loaded;
  const { problem, warnings } = certificateDoubts(loaded.config);
  complain(surroundings, describeWarnings(warnings));
  if (problem !== null) {
    complain(surroundings, describeProblems([problem]));
    return EXIT_CONFIG;
  }
  if (flags.online === true) return await checkOnline(loaded, surroundings);
  tell(surroundings, USABLE + summaryOf(loaded.config, { isOnline: false }));
  return 0;
}

/** Whether the configuration can be used is only known once the accounts were tried. */
async function checkOnline(loaded: LoadedConfig, surroundings: Surroundings): Promise<number> {
  const { config } = loaded;
  const { eventsDatabase, registryRedis } = config;
  const hasAccounts = config.providers.some(listsItsOwn);
  if (!hasAccounts && eventsDatabase === null && registryRedis === null) {
    const summary = summaryOf(config, { isOnline: true });
    tell(surroundings, USABLE + summary + section("No accounts: no platform is named", []));
    return 0;
  }
  const tried = triedOf(config);
  tell(surroundings, `This configuration is complete. Now its ${tried} tried.\n`);
  tell(surroundings, summaryOf(config, { isOnline: true }));
  // Only this needs the platforms, the database and Redis.
  const { tryAccounts } = await import("./check-online.ts");
  const { tryDatabase } = await import("./check-database.ts");
  const { tryRedis } = await import("./check-redis.ts");
  const areGood = !hasAccounts || (await tryAccounts(loaded, surroundings));
  const isDatabaseGood =
    eventsDatabase === null || (await tryDatabase(eventsDatabase, surroundings));
  const isRedisGood =
    registryRedis === null || (await tryRedis(registryRedis, config.instanceName, surroundings));
  const isGood = areGood && isDatabaseGood && isRedisGood;
  if (isGood) tell(surroundings, `\n${USABLE}`);
  return isGood ? 0 : 1;
}

function triedOf({ eventsDatabase, providers, registryRedis }: Config): string {
  const things = [
    providers.some(listsItsOwn) ? ["accounts"] : [],
    eventsDatabase === null ? [] : ["database"],
    registryRedis === null ? [] : ["Redis"],
  ].flat();
  return `${inWords(things)} ${things.length > 1 || things[0] === "accounts" ? "are" : "is"}`;
}

function summaryOf(config: Config, { isOnline }: { readonly isOnline: boolean }): string {
  const { apps, rules } = config.apps;
  const platforms = config.providers.filter(listsItsOwn);
  // Where a platform lists apps, those of the file are not all there are.
  const place = platforms.length === 0 ? "" : " in paastis.yml";
  return [
    table(mainSettings(config)),
    section(
      `${count(apps.length, "app")}${place}`,
      apps.map((app) => describeApp(app, config)),
    ),
    isOnline ? "" : listedElsewhere(platforms),
    section(count(rules.length, "rule"), rules.map(describeRule)),
  ].join("");
}

function listedElsewhere(platforms: readonly string[]): string {
  if (platforms.length === 0) return "";
  const [lister, it] = platforms.length === 1 ? ["platform", "it"] : ["platforms", "them"];
  return `  The apps of ${inWords(platforms)} are listed by the ${lister}: \`paastis check --online\` asks ${it}.\n`;
}

/** No hook's command: it may hold a secret. */
function mainSettings(config: Config): Row[] {
  const hooks = Object.values(config.hooks).filter((hook) => typeof hook === "string");
  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  return [
    ["listens on", config.port === 0 ? `${host}, any free port` : `${host}:${config.port}`],
    ["speaks", spoken(config)],
    ["file", config.file ?? "none (no paastis.yml here)"],
    ["providers", config.providers.join(", ")],
    ["sleeps", `${idle(config.maxIdleMs)}; sweeps at "${config.sweepCron}"`],
    ["registry", storedIn(config.registryType, config)],
    ["events", eventsStoredIn(config)],
    ["default app", config.defaultApp ?? "none"],
    ["ignored apps", config.ignoredApps.join(", ") || "none"],
    ["admin", adminText(config)],
    ...(config.providers.includes("ports") ? [["switches", switchesText(config)] as const] : []),
    ["pages", pagesText(config)],
    ["hooks", hooks.length === 0 ? "none" : `${hooks.length} of 4`],
    ["webhooks", webhooksText(config)],
  ];
}

/** Only what receivers are called in the log. To try one would be to send it something that has not happened. */
function webhooksText({ webhooks }: Config): string {
  if (webhooks === null) return "none";
  const { events, secret, urls } = webhooks;
  const receivers = urls.map((url) => new URL(url).origin).join(", ");
  const kinds = `${events.length} of ${EVENT_NAMES.length} kinds of events`;
  const signed = secret === null ? "not signed" : "signed";
  return `${kinds} to ${receivers}, ${signed}; a check sends nothing`;
}

function adminText({ admin, dataDir, named }: Config): string {
  const tcp =
    admin.token === null
      ? "over TCP with a token that each start makes up (no ADMIN_TOKEN)"
      : "over TCP with a token";
  const { socketPath } = admin;
  if (socketPath !== null && (named.adminSocket || fitsSocket(socketPath))) {
    return `${socketPath}; ${tcp}`;
  }
  const why = socketPath === null ? "" : `, as ${socketPath} is too long for a socket`;
  return `${shelterFor(dataDir)}${why}; ${tcp}`;
}

function pagesText({ pages }: Config): string {
  if (pages === null) return "Paastis' own look";
  const names = [...pages.theme.keys()].map((name) => `${name}.html`).join(", ");
  return `${names} of ${pages.folder}`;
}

function switchesText({ stateFile }: Config): string {
  return stateFile === null ? "in memory, gone after a restart" : `remembered in ${stateFile}`;
}

function spoken({ engine, listener }: Config): string {
  const http = listener.http2 ? "HTTP/1.1 and HTTP/2" : "HTTP/1.1";
  return `${listener.tls === null ? http : `${http} over TLS`} (engine ${engine})`;
}

function storedIn(type: Config["registryType"], config: Config): string {
  const { instanceName, registryRedis } = config;
  if (type === "redis" && registryRedis !== null) {
    return `redis at ${registryRedis.shown}, shared by all instances called ${instanceName}`;
  }
  return type === "in-memory" ? "in memory, gone after a restart" : `sqlite in ${config.dataDir}`;
}

function eventsStoredIn(config: Config): string {
  const { eventsStoreType, eventsDatabase } = config;
  if (eventsDatabase !== null) return `postgres at ${describeAddress(eventsDatabase)}`;
  return storedIn(eventsStoreType === "in-memory" ? "in-memory" : "sqlite", config);
}

function describeApp(app: Declaration, config: Config): Row {
  const policy = policyFor(
    { key: app.key, declared: app.settings },
    { rules: config.apps.rules, maxIdleMs: config.maxIdleMs, ignoredApps: config.ignoredApps },
  );
  const never = policy.ignored || policy.maxIdleMs === null;
  const sleeps = never ? "never sleeps" : `sleeps ${idle(policy.maxIdleMs ?? 0)}`;
  const links = policy.linkedKeys.length === 0 ? "" : `, wakes ${policy.linkedKeys.join(", ")}`;
  if (app.provider === "process") return [app.key, app.provider, `${sleeps}${links}`];
  if (app.provider === "ports") {
    const where = `${addressOf(app.target)} until the first switch`;
    return [app.key, app.provider, `${where}, never put to sleep${links}`];
  }
  const trust = describeTrust(policy.tlsVerify, policy.tlsCa);
  const where = app.targets.map((target) => describeTarget(target, trust)).join(", ");
  return [app.key, app.provider, `${where}, sleeps by itself${links}`];
}

function describeTarget(target: Target, trust: string | null): string {
  const address = addressOf(target);
  return trust === null || !address.startsWith("https:") ? address : `${address} (${trust})`;
}

/** `null`: as everywhere else. */
function describeTrust(verify: Settings["tlsVerify"], ca: string | null | undefined) {
  if (verify === false) return "accepts any certificate";
  return typeof ca === "string" ? "its own CA vouches too" : null;
}

function describeRule(rule: Rule): Row {
  const { appName, maxIdleMinutes, linkedApps, health, wakeTimeoutSeconds } = rule.settings;
  const { preserveHost, tlsVerify, tlsCa } = rule.settings;
  const trust = describeTrust(tlsVerify, tlsCa);
  const parts = [
    appName !== undefined && `answered by ${appName}`,
    maxIdleMinutes === "never" && "never sleeps",
    typeof maxIdleMinutes === "number" && `sleeps ${idle(maxIdleMinutes * 60_000)}`,
    linkedApps !== undefined && `wakes ${linkedApps.join(", ") || "no other"}`,
    health !== undefined && `ready when ${health} answers 2xx`,
    wakeTimeoutSeconds !== undefined && `wakes within ${wakeTimeoutSeconds} s`,
    preserveHost !== undefined && (preserveHost ? "keeps the client's Host" : "own Host"),
    trust ?? (tlsVerify === true && "verifies certificates"),
  ];
  return [rule.pattern.source, parts.filter((part) => part !== false).join("; ") || "no settings"];
}

function idle(ms: number): string {
  if (ms === 0) return "as soon as a sweep finds it unused";
  return ms < 60_000 ? `after ${ms / 1000} s` : `after ${ms / 60_000} min`;
}
