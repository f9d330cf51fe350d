/** The settings of an app with where each comes from, for people. Pure. */

import type { Policy } from "../app.ts";
import type { ForceSleepWindow } from "../app-schedule.ts";
import type { Settings } from "../config.ts";
import type { AppHooks } from "../hooks.ts";
import { cleanText } from "../log-safety.ts";
import type { ExplainedPolicy, PolicySource } from "../rules.ts";
import { windowText } from "../time-words.ts";
import { type IgnoreRule, ignoreText } from "../wake-policy.ts";
import type { ShownSetting } from "./views.ts";

type Value = ShownSetting["value"];

/** As `paastis.yml` calls them, in the order of its table. */
const SETTINGS: Readonly<
  Record<keyof Policy, readonly [name: string, value: (policy: Policy) => Value]>
> = {
  maxIdleMs: ["app_max_idle_time", ({ maxIdleMs }) => minutesOf(maxIdleMs)],
  ignored: ["REGISTRY_IGNORED_APPS", ({ ignored }) => ignored],
  linkedKeys: ["linked_apps", ({ linkedKeys }) => linkedKeys],
  health: ["health", ({ health }) => withoutQuery(health.path)],
  wakeTimeoutMs: ["wake_timeout", ({ wakeTimeoutMs }) => inUnits(wakeTimeoutMs, 1000)],
  preserveHost: ["preserve_host", ({ preserveHost }) => preserveHost],
  tlsVerify: ["tls_verify", ({ tlsVerify }) => tlsVerify],
  tlsCa: ["tls_ca", ({ tlsCa }) => (tlsCa === null ? null : "certificates of its own")],
  ignore: ["wake.ignore", ({ ignore }) => ignore?.map(ignoredText) ?? null],
  keepAwake: ["keep_awake", ({ keepAwake }) => keepAwake?.map(windowText) ?? null],
  forceSleep: ["force_sleep", ({ forceSleep }) => forceSleep?.map(forceText) ?? null],
  busyUrl: ["busy.url", ({ busyUrl }) => withoutQuery(busyUrl)],
  keepAwakeHeaderMaxMs: [
    "busy.header_max",
    ({ keepAwakeHeaderMaxMs }) => inUnits(keepAwakeHeaderMaxMs, 60_000),
  ],
  websocketMaxQuietMs: [
    "websocket_max_quiet_time",
    ({ websocketMaxQuietMs }) => minutesOf(websocketMaxQuietMs),
  ],
  hooks: ["hooks", ({ hooks }) => (hooks === null ? null : hookNames(hooks))],
};

/** What entries of the file say, as the file calls it. */
const NAMES: Readonly<Record<keyof Settings, string>> = {
  appName: "app_name",
  provider: "provider",
  maxIdleMinutes: "app_max_idle_time",
  linkedApps: "linked_apps",
  health: "health",
  wakeTimeoutSeconds: "wake_timeout",
  preserveHost: "preserve_host",
  tlsVerify: "tls_verify",
  tlsCa: "tls_ca",
  switching: "switch",
  ignore: "wake.ignore",
  keepAwake: "keep_awake",
  forceSleep: "force_sleep",
  busyUrl: "busy.url",
  keepAwakeHeaderMaxMinutes: "busy.header_max",
  websocketMaxQuietMinutes: "websocket_max_quiet_time",
  hooks: "hooks",
};

/** Names of the settings that a rule has. */
export function settingNamesOf(settings: Settings): readonly string[] {
  // The table has the fields of settings.
  return Object.keys(settings).map((field) => NAMES[field as keyof Settings]);
}

/** All settings of an app. */
export function shownSettings({ policy, sources }: ExplainedPolicy): readonly ShownSetting[] {
  return Object.entries(SETTINGS).map(([field, [name, read]]) => {
    // The table has the fields of a policy.
    const source = sources[field as keyof Policy];
    return { name, value: read(policy), from: sourceText(source) };
  });
}

/** `default`, `START_AND_STOP_MAX_IDLE_TIME`, `apps`, `rules[2] (pr-*)`, `label`. */
export function sourceText(source: PolicySource): string {
  switch (source.kind) {
    case "default":
      return "default";
    case "label":
      return "label";
    case "variable":
      return source.name;
    case "rule":
      return `rules[${source.index}] (${source.pattern})`;
    case "app":
      return "apps";
  }
}

function minutesOf(ms: number | null): Value {
  return ms === null ? "never" : ms / 60_000;
}

function inUnits(ms: number | null, unitMs: number): Value {
  return ms === null ? null : ms / unitMs;
}

/** What comes after `?` may be a secret. */
function withoutQuery(text: string | null): Value {
  if (text === null) return null;
  const query = text.indexOf("?");
  return query === -1 ? cleanText(text) : `${cleanText(text.slice(0, query))}?…`;
}

function ignoredText(rule: IgnoreRule): string {
  return `${ignoreText(rule)}: status ${rule.status}`;
}

function forceText(window: ForceSleepWindow): string {
  return `${windowText(window)}${window.mayBeWoken ? " (requests wake it)" : ""}`;
}

/** A command may hold a secret. */
function hookNames(hooks: AppHooks): readonly string[] {
  const { timeoutMs: _limit, ...commands } = hooks;
  return Object.keys(commands).map((name) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`));
}
