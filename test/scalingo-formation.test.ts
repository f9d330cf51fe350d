/** Which amounts a wake and a sleep ask Scalingo for, and what its answers are taken for. */

import { describe, expect, test } from "bun:test";
import type { Snapshot } from "../src/app.ts";
import { sleepChanges, snapshotOf, wakeChanges } from "../src/providers/scalingo-formation.ts";
import {
  observationOf,
  readApp,
  readApps,
  readAutoscaledTypes,
  readFormation,
  readOperation,
  readRunningDeployment,
  type ScalingoType,
} from "../src/providers/scalingo-state.ts";

function formation(amounts: Readonly<Record<string, number>>): readonly ScalingoType[] {
  return Object.entries(amounts).map(([name, amount]) => ({ name, amount, size: "M" }));
}

type Amounts = Readonly<Record<string, number>>;

const wakes: readonly {
  readonly what: string;
  readonly now: Amounts;
  readonly stored: Amounts | null;
  readonly asked: Amounts;
}[] = [
  {
    what: "everything that ran, and nothing else",
    now: { web: 0, worker: 0, clock: 0 },
    stored: { web: 2, worker: 3, clock: 0 },
    asked: { web: 2, worker: 3 },
  },
  {
    what: "web alone without a snapshot",
    now: { web: 0, worker: 0 },
    stored: null,
    asked: { web: 1 },
  },
  {
    what: "nothing that runs",
    now: { web: 1, worker: 4 },
    stored: { web: 2, worker: 1 },
    asked: {},
  },
  {
    what: "what is at 0 beside what runs",
    now: { web: 1, worker: 0 },
    stored: { web: 2, worker: 3 },
    asked: { worker: 3 },
  },
  {
    what: "web even where it did not run",
    now: { web: 0, worker: 0 },
    stored: { web: 0, worker: 1 },
    asked: { web: 1, worker: 1 },
  },
  { what: "no type that is gone", now: { web: 0 }, stored: { web: 1, gone: 2 }, asked: { web: 1 } },
  {
    what: "no web that never was",
    now: { worker: 0 },
    stored: { worker: 2 },
    asked: { worker: 2 },
  },
];

describe("scalingo formation", () => {
  for (const { what, now, stored, asked } of wakes) {
    test(`a wake asks for ${what}`, () => {
      const snapshot: Snapshot | null = stored && snapshotOf(formation(stored));
      const changes = wakeChanges(formation(now), snapshot);
      expect(Object.fromEntries(changes.map(({ name, amount }) => [name, amount]))).toEqual(asked);
    });
  }

  test("a sleep takes down what runs, and sends no size", () => {
    expect(sleepChanges(formation({ web: 2, worker: 0 }))).toEqual([{ name: "web", amount: 0 }]);
  });

  test("a snapshot of the platform's `none` asks as if there were none", () => {
    expect(wakeChanges(formation({ web: 0 }), { kind: "none" })).toEqual([
      { name: "web", amount: 1 },
    ]);
  });
});

describe("scalingo answers", () => {
  test("the phase of an app that runs depends on its web", () => {
    const app = readApp({ app: { id: "1", name: "demo", status: "running" } });
    const phase = (amounts: Amounts) => observationOf(app, formation(amounts)).phase;
    expect(observationOf(app, null).phase).toBe("awake");
    expect(phase({ web: 1 })).toBe("awake");
    expect(phase({ web: 0, worker: 1 })).toBe("asleep");
    expect(phase({ worker: 1 })).toBe("unmanaged");
    expect(phase({ web: 0 })).toBe("asleep");
  });

  test("a scale goes up or down, as the formation says", () => {
    const app = readApp({ app: { id: "1", name: "demo", status: "scaling" } });
    expect(observationOf(app, null).phase).toBe("unknown");
    expect(observationOf(app, formation({ web: 1 })).phase).toBe("waking");
    expect(observationOf(app, formation({ web: 0 })).phase).toBe("stopping");
  });

  test("an unknown word is named in the reason, and no exception", () => {
    const app = readApp({ app: { id: "1", name: "demo", status: "hiber\nnating" } });
    expect(observationOf(app, null)).toEqual({
      phase: "unknown",
      target: null,
      reason: 'Scalingo says that it is "hiber nating"',
    });
  });

  test("entries that make no sense are left out, lists that are none are refused", () => {
    const apps = [
      null,
      1,
      {},
      { id: "1" },
      { id: "", name: "x" },
      { id: "2", name: "demo", url: 7 },
    ];
    expect(readApps({ apps, more: 1 }).map(({ name, target }) => [name, target])).toEqual([
      ["demo", null],
    ]);
    for (const body of [null, "text", [], {}, { apps: {} }]) {
      expect(() => readApps(body)).toThrow('Scalingo\'s answer has no "apps" in it');
    }
    expect(readFormation({ containers: [{ name: "web" }, { name: "web", amount: 2 }] })).toEqual([
      { name: "web", amount: 2, size: "" },
    ]);
  });

  test("an address is the platform's, the custom one where there is no other, and HTTP always", () => {
    const target = (fields: object) =>
      readApp({ app: { id: "1", name: "demo", ...fields } }).target?.origin ?? null;
    expect(target({ base_url: "https://a.test", url: "https://b.test" })).toBe("https://a.test");
    expect(target({ url: "https://b.test/path" })).toBe("https://b.test");
    expect(target({ base_url: "javascript:alert(1)" })).toBeNull();
    expect(target({ base_url: "nonsense", url: "http://b.test" })).toBe("http://b.test");
  });

  test("an operation with a word of tomorrow goes on", () => {
    const progress = (status: string) => readOperation({ operation: { status } }).progress;
    expect(["pending", "running", "thinking", "done", "error"].map(progress)).toEqual([
      "going-on",
      "going-on",
      "going-on",
      "done",
      "error",
    ]);
  });

  test("a deployment runs in its first four states; the newest one counts", () => {
    const running = (...statuses: string[]) =>
      readRunningDeployment({ deployments: statuses.map((status) => ({ status })) });
    expect(running()).toBeNull();
    expect(running("building", "success")).toBe("building");
    expect(running("build-error", "building")).toBeNull();
    for (const word of ["queued", "pushing", "starting"]) expect(running(word)).toBe(word);
  });

  test("an autoscaler is enabled unless it says otherwise", () => {
    const autoscalers = [
      { container_type: "web" },
      { container_type: "worker", disabled: true },
      { container_type: "clock", disabled: false },
    ];
    expect(readAutoscaledTypes({ autoscalers })).toEqual(["web", "clock"]);
  });
});
