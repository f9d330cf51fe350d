/** Rules of `paastis.yml` to the policy of one app, with the reason for each part. Pure. */

import type { Policy } from "./app.ts";
import type { Rule, Settings } from "./config.ts";
import type { SeatRule } from "./seats.ts";

/** The app that a policy is asked for. */
export interface PolicySubject {
  /** Lower case. */
  readonly key: string;
  /** Settings of its entry in `apps`; `null` when it has none. */
  readonly declared: Settings | null;
  /** What its platform says of it, as labels do. */
  readonly labelled?: Settings | null;
}

/** What holds for every app. */
export interface PolicyContext {
  readonly rules: readonly Rule[];
  /** Default idle time. */
  readonly maxIdleMs: number;
  /** Keys in lower case. */
  readonly ignoredApps: readonly string[];
}

/** Where a field of a policy comes from. */
export type PolicySource =
  /** Nobody said anything. */
  | { readonly kind: "default" }
  /** What is written on the app at its platform. */
  | { readonly kind: "label" }
  /** An environment variable, or its flag. */
  | { readonly kind: "variable"; readonly name: string }
  /** `index` counts from 0, in the order of the file. */
  | { readonly kind: "rule"; readonly index: number; readonly pattern: string }
  /** The app's own entry in `apps`. */
  | { readonly kind: "app" };

/** A policy that can say why it is as it is. */
export interface ExplainedPolicy {
  readonly policy: Policy;
  /** Whose app has the key where several claim it; `null`: the order of providers and of their lists decides. */
  readonly provider: string | null;
  readonly sources: Readonly<Record<keyof Policy | "provider", PolicySource>>;
}

/**
 * The policy of one app. All rules that match apply in order, later ones win field by field; what is written on the
 * app itself comes after them, at its platform or in its own entry. A rule with a fixed `app_name` also applies to the app it names.
 */
export function policyFor(app: PolicySubject, context: PolicyContext): Policy {
  return explainPolicy(app, context).policy;
}

/** Like `policyFor`, and which rule gave each field. */
export function explainPolicy(app: PolicySubject, context: PolicyContext): ExplainedPolicy {
  let explained = defaultPolicy(app, context);
  context.rules.forEach((rule, index) => {
    const groups = rule.pattern.exec(app.key);
    if (groups === null && !names(rule, app.key)) return;
    const source: PolicySource = { kind: "rule", index, pattern: rule.pattern.source };
    const fill = (text: string) => interpolate(text, groups);
    explained = overlay(explained, partOf(rule.settings, app.key, fill), source);
    explained = overlayProvider(explained, rule.settings, source);
  });
  explained = overlayOwn(explained, app, { kind: "label" });
  return overlayOwn(explained, app, { kind: "app" });
}

/**
 * The key of the app that a Host's first label stands for: what the last matching rule with an `app_name`
 * says, otherwise the label itself. Not applied again to its own result.
 */
export function resolveLabel(label: string, rules: readonly Rule[]): string {
  const key = label.toLowerCase();
  let resolved = key;
  for (const { pattern, settings } of rules) {
    if (settings.appName === undefined) continue;
    const groups = pattern.exec(key);
    if (groups !== null) resolved = interpolate(settings.appName, groups).toLowerCase() || key;
  }
  return resolved;
}

/** What the rules say about whose app has a key: the last one that matches and names a provider; `null`: nothing. */
export function seatRuleFor(key: string, rules: readonly Rule[]): SeatRule | null {
  const index = rules.findLastIndex(
    (rule) => rule.settings.provider !== undefined && appliesTo(rule, key),
  );
  const rule = rules[index];
  if (rule?.settings.provider === undefined) return null;
  return { provider: rule.settings.provider, rule: `rules[${index}] (${rule.pattern.source})` };
}

function defaultPolicy(app: PolicySubject, context: PolicyContext): ExplainedPolicy {
  const nobody: PolicySource = { kind: "default" };
  const ignored = context.ignoredApps.includes(app.key);
  return {
    policy: {
      maxIdleMs: context.maxIdleMs,
      linkedKeys: [],
      health: { path: null },
      wakeTimeoutMs: null,
      preserveHost: false,
      tlsVerify: true,
      tlsCa: null,
      ignored,
      ...NOTHING_SAID,
    },
    provider: null,
    sources: {
      maxIdleMs: { kind: "variable", name: "START_AND_STOP_MAX_IDLE_TIME" },
      linkedKeys: nobody,
      health: nobody,
      wakeTimeoutMs: nobody,
      preserveHost: nobody,
      tlsVerify: nobody,
      tlsCa: nobody,
      ignored: ignored ? { kind: "variable", name: "REGISTRY_IGNORED_APPS" } : nobody,
      ignore: nobody,
      keepAwake: nobody,
      forceSleep: nobody,
      busyUrl: nobody,
      keepAwakeHeaderMaxMs: nobody,
      websocketMaxQuietMs: nobody,
      hooks: nobody,
      provider: nobody,
    },
  };
}

/** What only settings can say. */
const NOTHING_SAID = {
  ignore: null,
  keepAwake: null,
  forceSleep: null,
  busyUrl: null,
  keepAwakeHeaderMaxMs: null,
  websocketMaxQuietMs: null,
  hooks: null,
} as const satisfies Partial<Policy>;

/** Whether a rule says something about the app with this key. */
export function appliesTo(rule: Rule, key: string): boolean {
  return rule.pattern.test(key) || names(rule, key);
}

/** A fixed name only: one with `$1` names no app until a label matches. */
function names(rule: Rule, key: string): boolean {
  const { appName } = rule.settings;
  return appName !== undefined && !appName.includes("$") && appName.toLowerCase() === key;
}

/** The fields of a policy that some settings say something about. */
function partOf(
  settings: Settings,
  ownKey: string,
  fill: (text: string) => string,
): Partial<Policy> {
  const { maxIdleMinutes, linkedApps, health, wakeTimeoutSeconds } = settings;
  const { preserveHost, tlsVerify, tlsCa } = settings;
  return {
    ...(maxIdleMinutes !== undefined && { maxIdleMs: idleMs(maxIdleMinutes) }),
    ...(linkedApps !== undefined && { linkedKeys: linkedKeys(linkedApps.map(fill), ownKey) }),
    ...(health !== undefined && { health: { path: fill(health) } }),
    ...(wakeTimeoutSeconds !== undefined && {
      wakeTimeoutMs: Math.round(wakeTimeoutSeconds * 1000),
    }),
    ...(preserveHost !== undefined && { preserveHost }),
    ...(tlsVerify !== undefined && { tlsVerify }),
    ...sleepPartOf(settings, fill),
    // Who names an authority wants it to be asked, whatever an earlier rule said.
    ...(tlsCa !== undefined && { tlsCa, tlsVerify: tlsVerify ?? true }),
  };
}

/** What says when it sleeps and wakes, besides its idle time. */
function sleepPartOf(settings: Settings, fill: (text: string) => string): Partial<Policy> {
  const { ignore, keepAwake, forceSleep, busyUrl, hooks } = settings;
  const { keepAwakeHeaderMaxMinutes, websocketMaxQuietMinutes } = settings;
  return {
    ...(ignore !== undefined && { ignore: unlessEmpty(ignore) }),
    ...(keepAwake !== undefined && { keepAwake: unlessEmpty(keepAwake) }),
    ...(forceSleep !== undefined && { forceSleep: unlessEmpty(forceSleep) }),
    ...(busyUrl !== undefined && { busyUrl: fill(busyUrl) }),
    ...(keepAwakeHeaderMaxMinutes !== undefined && {
      keepAwakeHeaderMaxMs: idleMs(keepAwakeHeaderMaxMinutes),
    }),
    ...(websocketMaxQuietMinutes !== undefined && {
      websocketMaxQuietMs: idleMs(websocketMaxQuietMinutes),
    }),
    ...(hooks !== undefined && { hooks }),
  };
}

function unlessEmpty<T>(list: readonly T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}

function overlay(
  below: ExplainedPolicy,
  part: Partial<Policy>,
  source: PolicySource,
): ExplainedPolicy {
  const fields = Object.keys(part).map((field) => [field, source] as const);
  // Hook by hook: who names one says nothing about the others.
  const hooks = part.hooks && { hooks: { ...below.policy.hooks, ...part.hooks } };
  return {
    ...below,
    policy: { ...below.policy, ...part, ...hooks },
    sources: { ...below.sources, ...Object.fromEntries(fields) },
  };
}

function overlayOwn(
  below: ExplainedPolicy,
  { key, labelled, declared }: PolicySubject,
  source: { readonly kind: "label" | "app" },
): ExplainedPolicy {
  const settings = source.kind === "label" ? labelled : declared;
  if (settings === undefined || settings === null) return below;
  return overlay(
    below,
    partOf(settings, key, (text) => text),
    source,
  );
}

function overlayProvider(
  below: ExplainedPolicy,
  { provider }: Settings,
  source: PolicySource,
): ExplainedPolicy {
  if (provider === undefined) return below;
  return { ...below, provider, sources: { ...below.sources, provider: source } };
}

function idleMs(minutes: number | "never"): number | null {
  return minutes === "never" ? null : Math.round(minutes * 60_000);
}

function linkedKeys(texts: readonly string[], ownKey: string): readonly string[] {
  const found = new Set(texts.map((text) => text.toLowerCase()));
  // Its own key comes from patterns that match several apps; nothing, from a group that took no part.
  found.delete(ownKey);
  found.delete("");
  return [...found];
}

/** One digit after `$`, 1 to 9; a group that took no part gives nothing. */
function interpolate(text: string, groups: RegExpExecArray | null): string {
  return text.replace(/\$([1-9])/g, (_, digit: string) => groups?.[Number(digit)] ?? "");
}
