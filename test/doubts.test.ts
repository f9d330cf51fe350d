/** How often an app is looked at whose answers may be its platform's. */

import { describe, expect, test } from "bun:test";
import type { App } from "../src/app.ts";
import { afterwards, createDoubts } from "../src/doubts.ts";
import type { Exchange } from "../src/engines/engine.ts";
import type { Phase } from "../src/providers/provider.ts";
import { recordingLog } from "./support/recording-log.ts";
import { createStubProvider } from "./support/stub-provider.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

/** One app, of which its platform says `phase`; 503 is in doubt. */
function world() {
  const clock = createVirtualClock();
  const stub = createStubProvider();
  const said: { phase: Phase | "nothing" } = { phase: "awake" };
  let looks = 0;
  stub.script.observe = async () => {
    looks += 1;
    if (said.phase === "nothing") throw new Error("no answer");
    return { phase: said.phase, target: null };
  };
  const provider = { ...stub, mayBeDownAnswer: (status: number) => status === 503 };
  const doubts = createDoubts({ clock, log: recordingLog().log, providerOf: () => provider });
  // Only what a look goes by.
  const app = { key: "shop", ref: { provider: "stub", id: "shop" }, state: {} } as unknown as App;
  return { clock, said, app, look: (status = 503) => doubts.look(app, status), looks: () => looks };
}

describe("doubts", () => {
  test("an answer that is not in doubt costs no look", () => {
    const { look, looks } = world();
    expect([look(500), look(200), looks()]).toEqual([null, null, 0]);
  });

  for (const [phase, isDown] of [
    ["awake", false],
    ["deploying", false],
    ["unknown", false],
    ["nothing", false],
    ["asleep", true],
    ["failed", true],
    ["stopping", true],
    ["waking", true],
  ] as const) {
    test(`of what its platform says "${phase}" ${isDown ? "makes it down" : "changes nothing"}`, async () => {
      const { look, said } = world();
      said.phase = phase;
      expect(await look()).toBe(isDown);
    });
  }

  test("who comes while it is looked at waits for the same look", async () => {
    const { look, looks } = world();
    const answers = await Promise.all([look(), look(), look()]);
    expect([answers, looks()]).toEqual([[false, false, false], 1]);
  });

  test("an app whose own answers are such is looked at every five seconds at first, and every 30 in the end", async () => {
    const { clock, look, looks } = world();
    for (let seconds = 0; seconds < 155; seconds += 1) {
      await look();
      await clock.advance(1_000);
    }
    // At 0, 5, 15, 35, 65, 95 and 125 s.
    expect(looks()).toBe(7);
  });

  test("one that was woken anew is looked at at once", async () => {
    const { app, look, looks } = world();
    await look();
    expect(look()).toBeNull();
    app.state = { ...app.state };
    await look();
    expect(looks()).toBe(2);
  });
});

describe("a request that waits for a look", () => {
  // Only that it is one.
  const exchange = { kind: "forward" } as Exchange;

  test("goes on when it is over", async () => {
    const held = afterwards(Promise.resolve(), { admit: () => exchange, leave: () => undefined });
    expect(await held.decision).toBe(exchange);
  });

  test("and whose client leaves gives its lease back, once, whenever that is", async () => {
    let left = 0;
    let admitted = 0;
    const waiting = {
      admit() {
        admitted += 1;
        return exchange;
      },
      leave() {
        left += 1;
      },
    };
    const early = afterwards(Promise.resolve(), waiting);
    early.abandon();
    early.abandon();
    await Bun.sleep(0);
    expect([left, admitted]).toEqual([1, 0]);
    const late = afterwards(Promise.resolve(), waiting);
    await late.decision;
    late.abandon();
    late.abandon();
    expect([left, admitted]).toEqual([2, 1]);
  });
});
