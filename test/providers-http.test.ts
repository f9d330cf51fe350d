/** The provider `http`: the contract, and that it never stops anything. */

import { expect, test } from "bun:test";

import { targetOf } from "../src/app.ts";
import type { HttpDeclaration } from "../src/config.ts";
import { createHttpProvider } from "../src/providers/http.ts";
import { describeProvider, patient, rejection } from "./contract/provider.ts";

function declare(key: string, ...origins: readonly string[]): HttpDeclaration {
  return { provider: "http", key, targets: origins.map(targetOf), settings: {} };
}

const never = "its apps sleep by themselves: a sleep is never asked for";

describeProvider(
  "http",
  async () => ({
    provider: createHttpProvider({
      declarations: () => [
        declare("legacy", "http://10.0.0.5:8080"),
        declare("other", "http://10.0.0.6"),
      ],
    }),
    appId: "legacy",
    [Symbol.asyncDispose]: async () => undefined,
  }),
  {
    skip: [
      "a sleep takes the app down",
      "a sleep is safe to repeat",
      "a sleep of an app that is asleep is done",
      "a wake after a sleep comes back with the snapshot",
      "a wake right after a sleep was begun comes up in the end",
      "a sleep of an unknown app is not-found",
    ].map((name) => ({ test: name, because: never })),
  },
);

test("http: an app is listed as awake at its first target, sleeping by itself", async () => {
  const provider = createHttpProvider({
    declarations: () => [declare("legacy", "http://10.0.0.5:8080", "http://10.0.0.6:8080")],
  });
  const target = { origin: "http://10.0.0.5:8080", host: "10.0.0.5:8080" };
  expect(await provider.list(patient())).toEqual([
    {
      id: "legacy",
      key: "legacy",
      observation: { phase: "awake", target },
      sleepsByItself: true,
    },
  ]);
  expect(await provider.wake("legacy", null, patient())).toEqual({ done: true, target });
});

test("http: a sleep is refused as invalid", async () => {
  const provider = createHttpProvider({ declarations: () => [declare("legacy", "http://a.test")] });
  const error = await rejection(provider.sleep("legacy", { kind: "none" }, patient()));
  expect(error.kind).toBe("invalid");
  expect(error.message).toContain("legacy");
});

test("http: a reload is seen at the next call", async () => {
  let declared = [declare("legacy", "http://a.test")];
  const provider = createHttpProvider({ declarations: () => declared });
  declared = [declare("legacy", "http://b.test"), declare("new", "http://c.test")];
  expect((await provider.list(patient())).map((listing) => listing.key)).toEqual(["legacy", "new"]);
  expect((await provider.observe("legacy", patient())).target?.host).toBe("b.test");
});
