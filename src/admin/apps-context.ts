/** What the admin endpoints about apps are made of. */

import type { App, Target } from "../app.ts";
import type { AskBusy } from "../busy.ts";
import type { Clock } from "../clock.ts";
import type { AppsConfig, Config } from "../config.ts";
import type { Core } from "../core.ts";
import type { Carried } from "../engines/carrier.ts";
import type { EventStore } from "../event-store/event-store.ts";
import type { EventBus } from "../events.ts";
import type { Log } from "../log.ts";
import { type ExplainedPolicy, explainPolicy } from "../rules.ts";
import type { Switchboard } from "../switchboard.ts";
import type { AppsWatch } from "./apps-watch.ts";

/** Everything they need from outside. */
export interface AppsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly config: Config;
  /** Variables that have a value, by the name it was given by; secrets without their value. */
  readonly given: ReadonlyMap<string, string>;
  /** What `paastis.yml` says now. */
  readonly live: { readonly apps: AppsConfig };
  readonly core: Pick<Core, "lifecycle" | "sweeper" | "table">;
  readonly switchboard: Pick<Switchboard, "deskOf" | "setPause" | "whyAwake">;
  /** Asks apps whether they are busy. Left out: over HTTP. */
  readonly askBusy?: AskBusy;
  readonly events: EventBus;
  readonly eventStore: EventStore;
  readonly watch: AppsWatch;
  /** What the engine carries to a target of an app. Left out or `null`: nobody knows. */
  readonly carried?: (app: App, target: Target) => Carried | null;
  /** Aborted when streams are to end, as the program stops. */
  readonly stopping: AbortSignal;
}

/** The policy of an app as it is now, and where each part comes from. */
export function explainedPolicyOf(
  { config, live }: Pick<AppsDeps, "config" | "live">,
  app: Pick<App, "key" | "ref" | "settings">,
): ExplainedPolicy {
  const { apps, rules } = live.apps;
  const entry = apps.find((one) => one.provider === app.ref.provider && one.key === app.key);
  const declared = entry?.settings ?? null;
  const { maxIdleMs, ignoredApps } = config;
  const subject = { key: app.key, declared, labelled: app.settings };
  return explainPolicy(subject, { rules, maxIdleMs, ignoredApps });
}
