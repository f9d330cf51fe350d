/** Finds what a configuration allows but its author can hardly have meant. Pure. */

import { createSystemClock } from "./clock.ts";
import type { AppsConfig, Config } from "./config.ts";
import { policiesInVain } from "./policy-in-vain.ts";
import { listsItsOwn } from "./provider-kinds.ts";
import { keyOf } from "./setting-parsers.ts";
import { settingsInVain } from "./settings-in-vain.ts";

/**
 * One sentence each.
 * @param given names of our variables that have a value
 * @param nowMs ms since the epoch, as windows of time are looked at from now on
 */
export function doubtsAbout(
  config: Config,
  given: ReadonlySet<string>,
  nowMs = createSystemClock().wallMs(),
): string[] {
  return [
    ...strangers(config),
    ...impossibleKeys(config),
    ...sharedPorts(config),
    ...oddRegions(config),
    ...weakTokens(config),
    ...settingsInVain(config, given),
    ...policiesInVain(config, nowMs),
  ];
}
/** With fewer characters it can be tried out. */
const TOKEN_CHARACTERS_MIN = 16;

function weakTokens({ admin, webhooks }: Config): string[] {
  const tokens = [
    ["ADMIN_TOKEN", admin.token],
    ["ROUTING_SYSTEM_API_TOKEN", admin.systemToken],
    ["WEBHOOK_SECRET", webhooks?.secret ?? null],
  ] as const;
  return tokens.flatMap(([name, token]) => {
    const length = token?.length ?? TOKEN_CHARACTERS_MIN;
    if (length >= TOKEN_CHARACTERS_MIN) return [];
    return `${name} has ${length} characters, which can be guessed: take at least ${TOKEN_CHARACTERS_MIN}, by chance`;
  });
}

/** New regions come without notice, but all names so far have this form. */
function oddRegions({ scalingo }: Config): string[] {
  const odd = (scalingo?.regions ?? []).filter((region) => !/^[a-z]+-[a-z0-9-]+$/.test(region));
  return odd.map((region) => `PROVIDER_REGION has "${region}": is it a region, such as osc-fr1?`);
}

/** Names of apps that do not exist. */
function strangers(config: Config): string[] {
  const { defaultApp, providers } = config;
  const keys = new Set(config.apps.apps.map(({ key }) => key));
  const doubts: string[] = [];
  if (providers.some(listsItsOwn)) return doubts;
  if (defaultApp !== null && !keys.has(defaultApp)) {
    doubts.push(`DEFAULT_APP is "${defaultApp}", but no app of that key is declared`);
  }
  for (const key of config.ignoredApps) {
    if (keys.has(key)) continue;
    doubts.push(`REGISTRY_IGNORED_APPS names "${key}", but no app of that key is declared`);
  }
  for (const { where, name } of mentions(config.apps)) {
    if (keys.has(name.toLowerCase())) continue;
    doubts.push(`${where} names "${name}", but no app of that key is declared`);
  }
  return doubts;
}

/** No app will ever have such a key. Others than these are only doubted where all apps are known. */
function impossibleKeys({ ignoredApps, providers }: Config): string[] {
  if (!providers.some(listsItsOwn)) return [];
  return ignoredApps
    .filter((name) => keyOf(name) === null)
    .map((name) => `REGISTRY_IGNORED_APPS names "${name}", which can be no key of an app`);
}

interface Mention {
  readonly where: string;
  readonly name: string;
}

/** Names that stand in the file as they are: what `$1` will be, only a request can say. */
function mentions({ apps, rules }: AppsConfig): readonly Mention[] {
  const all = [
    ...rules.flatMap(({ settings }, index) => [
      ...named(`rules[${index}].app_name`, settings.appName),
      ...named(`rules[${index}].linked_apps`, ...(settings.linkedApps ?? [])),
    ]),
    ...apps.flatMap(({ key, settings }) =>
      named(`apps.${key}.linked_apps`, ...(settings.linkedApps ?? [])),
    ),
  ];
  return all.filter(({ name }) => !name.includes("$"));
}

function named(where: string, ...names: readonly (string | undefined)[]): Mention[] {
  return names.flatMap((name) => (name === undefined ? [] : { where, name }));
}

function sharedPorts(config: Config): string[] {
  const doubts: string[] = [];
  const users = new Map<number, string>();
  for (const app of config.apps.apps) {
    if (app.provider !== "process" || app.port === null) continue;
    const other = app.port === config.port ? "Paastis itself" : users.get(app.port);
    if (other !== undefined) {
      doubts.push(`apps.${app.key}: its port ${app.port} is also that of ${other}`);
    }
    users.set(app.port, app.key);
  }
  return doubts;
}
