/** The part of the configuration that is about webhooks. */

import type { Config } from "./config.ts";
import type { EnvironmentValues } from "./environment.ts";
import type { EventName } from "./events.ts";

/** Who is told of events by HTTP. */
export interface WebhookConfig {
  /** `http` or `https`, at least one, each once. Secret: never logged as they are. */
  readonly urls: readonly string[];
  /** What deliveries are signed with; `null`: they are not. */
  readonly secret: string | null;
  /** At least one. */
  readonly events: readonly EventName[];
}

/** `null`: nobody is told. */
export function webhookConfigOf({
  webhookUrls: urls,
  webhookSecret: secret,
  webhookEvents: events,
}: EnvironmentValues): Pick<Config, "webhooks"> {
  return { webhooks: urls.length === 0 ? null : { urls, secret, events } };
}

/** Variables that other programs know too, but that are this one's alone as it is set up. */
export function webhooksHideFromApps({ webhookUrls }: EnvironmentValues): readonly string[] {
  return webhookUrls.length === 0 ? [] : ["WEBHOOK_SECRET"];
}
