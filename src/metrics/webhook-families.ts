/** What is exposed of webhooks. */

import type { WebhookState } from "../webhook-queue.ts";
import type { Family, Sample } from "./family.ts";

const OUTCOMES = {
  delivered: "delivered",
  refused: "refused",
  givenUp: "given_up",
  dropped: "dropped",
} as const satisfies Readonly<Record<keyof WebhookState["outcomes"], string>>;

/** At most 20 receivers, called as in the log. */
export function webhookFamilies(read: () => readonly WebhookState[]): readonly Family[] {
  return [
    {
      name: "paastis_webhook_events_total",
      help: "Events for a webhook by what became of them; refused, given_up and dropped ones were never taken.",
      type: "counter",
      *samples() {
        for (const one of read()) yield* outcomesOf(one);
      },
    },
    {
      name: "paastis_webhook_attempts_total",
      help: "Requests sent to a webhook, tries that were repeated included.",
      type: "counter",
      samples: () => each(read(), ({ attempts }) => attempts),
    },
    {
      name: "paastis_webhook_waiting",
      help: "Events that wait for a webhook.",
      type: "gauge",
      samples: () => each(read(), ({ waiting }) => waiting),
    },
    {
      name: "paastis_webhook_last_failure_timestamp_seconds",
      help: "When a webhook last failed to take an event; left out where it never did.",
      type: "gauge",
      samples: () =>
        each(
          read().filter(({ lastFailure }) => lastFailure !== null),
          ({ lastFailure }) => (lastFailure?.atMs ?? 0) / 1000,
        ),
    },
  ];
}

function* outcomesOf({ webhook, outcomes }: WebhookState): Generator<Sample> {
  for (const [field, outcome] of Object.entries(OUTCOMES)) {
    // The table has the fields of the outcomes.
    const value = outcomes[field as keyof typeof OUTCOMES];
    yield { labels: { webhook, outcome }, value };
  }
}

function each(
  webhooks: readonly WebhookState[],
  numberOf: (state: WebhookState) => number,
): readonly Sample[] {
  return webhooks.map((one) => ({ labels: { webhook: one.webhook }, value: numberOf(one) }));
}
