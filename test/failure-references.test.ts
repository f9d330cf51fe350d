import { expect, test } from "bun:test";
import { createEventBus, type EventName } from "../src/events.ts";
import { createFailureReferences } from "../src/failure-references.ts";
import { sampleApp } from "./support/sample-app.ts";

function world() {
  const bus = createEventBus({
    now: () => 1000,
    random: () => 0.5,
    onListenerError(error) {
      throw error;
    },
  });
  const references = createFailureReferences(bus);
  const ids: string[] = [];
  bus.subscribe(({ id }) => ids.push(id));
  const app = sampleApp("shop");
  const tell = (name: EventName, reason: string, ref = app.ref) => {
    bus.emit({ name, app: app.key, ref, cause: { kind: "request", detail: "GET /" }, reason });
    return ids.at(-1) ?? "";
  };
  return { references, app, tell };
}

test("references: a failure is named by the id of its event, until the app has come up", () => {
  const { references, app, tell } = world();
  expect(references.of(app, { why: "it fell" })).toBeNull();
  tell("APP_WAKING", "");
  const first = tell("APP_START_FAILED", "it fell");
  expect(references.of(app, { why: "it fell" })).toBe(first);
  const second = tell("APP_CRASHED", "it fell again");
  expect(references.of(app, { why: "it fell again" })).toBe(second);
  tell("APP_STARTED", "");
  expect(references.of(app, { why: "it fell again" })).toBeNull();
});

test("references: a failure that was told elsewhere, or of another app, is not named by ours", () => {
  const { references, app, tell } = world();
  tell("APP_START_FAILED", "it fell", { provider: "stub", id: "another" });
  expect(references.of(app, { why: "it fell" })).toBeNull();
  tell("APP_START_FAILED", "it fell");
  expect(references.of(app, { why: "it fell at another instance" })).toBeNull();
});
