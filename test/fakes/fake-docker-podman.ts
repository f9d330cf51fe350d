/** What Podman says instead, where it speaks Docker's API. Pure. Source: podman 4.3.1, asked by `fake-docker-truth.test.ts`. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import type { NewEvent } from "./fake-docker-model.ts";

/** Its events have other names and another order, and nothing tells that a program was sent a signal by a stop. */
export function podmanEvents(event: NewEvent): readonly NewEvent[] {
  const { type, action, attributes } = event;
  if (type === "network" || action.startsWith("exec_")) return [];
  const as = (name: string): NewEvent => ({
    ...event,
    action: name,
    attributes: { ...attributes, podId: "" },
  });
  switch (action) {
    case "kill":
      return attributes.signal === "15" ? [as("stop")] : [as("kill")];
    case "stop":
      return [];
    case "start":
      return [as("init"), as("start")];
    case "die":
      return [as("die"), as("cleanup")];
    case "destroy":
      return [as("remove")];
    default:
      return [as(action.split(":")[0] ?? action)];
  }
}

/** A state that does not fit is 500 for it, and it says everything twice. */
export function podmanRefusal(status: number, message: string): FakeAnswer {
  const isState = status === 409 || /is not paused/.test(message);
  const cause = isState ? "container state improper" : message;
  const response = isState ? 500 : status;
  return json({ cause, message: `${message}: ${cause}`, response }, response);
}

/** Its lists leave out how a container is networked. */
export function podmanSummary(summary: object): object {
  const { HostConfig: _left, ...rest } = summary as { HostConfig: unknown }; // As `summaryOf` makes it.
  return { ...rest, Platform: null, Config: null };
}

/** What has no health check has an empty one. */
export function podmanDetails(details: object): object {
  const { State: state } = details as { State: object }; // As `detailsOf` makes it.
  const Health = { Status: "", FailingStreak: 0, Log: null };
  return { ...details, State: { Health, ...state } };
}
