import { describe, expect, test } from "bun:test";

import type { App, AppState, Happening } from "../src/app.ts";
import { isInTransit, refKey, targetOf, transition } from "../src/app.ts";

const FENCE = 5;
const NOW_MS = 9_000;
const OLD = targetOf("http://old.test:8080");
const NEW = targetOf("http://new.test:8080");

/** `down`: a failure that may not be tried again yet; `due`: one that may. */
const STATES = {
  unknown: { kind: "unknown", sinceMs: 1 },
  asleep: { kind: "asleep", sinceMs: 1 },
  waking: { kind: "waking", sinceMs: 1, fence: FENCE },
  awake: { kind: "awake", sinceMs: 1, target: OLD },
  draining: { kind: "draining", sinceMs: 2, awakeSinceMs: 1, fence: FENCE, target: OLD },
  stopping: { kind: "stopping", sinceMs: 1, fence: FENCE },
  down: { kind: "failed", sinceMs: 1, why: "old", retryAtMs: NOW_MS + 1 },
  due: { kind: "failed", sinceMs: 1, why: "old", retryAtMs: NOW_MS },
} as const satisfies Readonly<Record<string, AppState>>;

const HAPPENINGS = {
  "wake-begun": { kind: "wake-begun", fence: FENCE },
  "wake-done": { kind: "wake-done", fence: FENCE, target: NEW },
  "wake-failed": { kind: "wake-failed", fence: FENCE, why: "new", retryAtMs: 1 },
  "drain-begun": { kind: "drain-begun", fence: FENCE },
  "drain-cancelled": { kind: "drain-cancelled", fence: FENCE },
  "stop-begun": { kind: "stop-begun", fence: FENCE },
  "stop-done": { kind: "stop-done", fence: FENCE },
  "stop-failed, up": { kind: "stop-failed", fence: FENCE, target: NEW },
  "stop-failed, unclear": { kind: "stop-failed", fence: FENCE, target: null },
  "seen asleep": { kind: "observed", as: "asleep" },
  "seen awake": { kind: "observed", as: "awake", target: NEW },
  "seen awake as before": { kind: "observed", as: "awake", target: OLD },
  "seen failed": { kind: "observed", as: "failed", why: "new", retryAtMs: 1 },
  "told unknown": { kind: "told", as: "unknown" },
  "told asleep": { kind: "told", as: "asleep" },
  "told waking": { kind: "told", as: "waking", fence: FENCE },
  "told stopping": { kind: "told", as: "stopping", fence: FENCE },
  "told awake": { kind: "told", as: "awake", target: NEW },
  "told awake as before": { kind: "told", as: "awake", target: OLD },
  "told failed": { kind: "told", as: "failed", why: "new", retryAtMs: 1 },
} as const satisfies Readonly<Record<string, Happening>>;

/** What each comes to. */
const RESULTS = {
  waking: { kind: "waking", sinceMs: NOW_MS, fence: FENCE },
  awakeNew: { kind: "awake", sinceMs: NOW_MS, target: NEW },
  awakeOld: { kind: "awake", sinceMs: NOW_MS, target: OLD },
  awakeStill: { kind: "awake", sinceMs: 1, target: OLD },
  draining: { kind: "draining", sinceMs: NOW_MS, awakeSinceMs: 1, fence: FENCE, target: OLD },
  stopping: { kind: "stopping", sinceMs: NOW_MS, fence: FENCE },
  asleep: { kind: "asleep", sinceMs: NOW_MS },
  failed: { kind: "failed", sinceMs: NOW_MS, why: "new", retryAtMs: 1 },
  unknown: { kind: "unknown", sinceMs: NOW_MS },
  "-": null,
} as const satisfies Readonly<Record<string, AppState | null>>;

/* biome-ignore format: a table */
const TABLE: Readonly<
  Record<keyof typeof HAPPENINGS, readonly (keyof typeof RESULTS)[]>
> = {
  // from:                 unknown     asleep      waking      awake       draining    stopping    down        due
  "wake-begun":           ["waking",   "waking",   "-",        "waking",   "-",        "-",        "waking",   "waking"],
  "wake-done":            ["-",        "-",        "awakeNew", "-",        "-",        "-",        "-",        "-"],
  "wake-failed":          ["-",        "-",        "failed",   "-",        "-",        "-",        "-",        "-"],
  "drain-begun":          ["-",        "-",        "-",        "draining", "-",        "-",        "-",        "-"],
  "drain-cancelled":      ["-",        "-",        "-",        "-",        "awakeStill", "-",      "-",        "-"],
  "stop-begun":           ["-",        "-",        "-",        "-",        "stopping", "-",        "-",        "-"],
  "stop-done":            ["-",        "-",        "-",        "-",        "-",        "asleep",   "-",        "-"],
  "stop-failed, up":      ["-",        "-",        "-",        "-",        "-",        "awakeNew", "-",        "-"],
  "stop-failed, unclear": ["-",        "-",        "-",        "-",        "-",        "unknown",  "-",        "-"],
  "seen asleep":          ["asleep",   "-",        "-",        "asleep",   "-",        "-",        "-",        "-"],
  "seen awake":           ["awakeNew", "awakeNew", "-",        "awakeNew", "-",        "-",        "awakeNew", "awakeNew"],
  "seen awake as before": ["awakeOld", "awakeOld", "-",        "-",        "-",        "-",        "awakeOld", "awakeOld"],
  "seen failed":          ["failed",   "failed",   "-",        "failed",   "-",        "-",        "-",        "-"],
  "told unknown":         ["-",        "unknown",  "unknown",  "unknown",  "unknown",  "unknown",  "unknown",  "unknown"],
  "told asleep":          ["asleep",   "-",        "asleep",   "asleep",   "asleep",   "asleep",   "asleep",   "asleep"],
  "told waking":          ["waking",   "waking",   "-",        "waking",   "waking",   "waking",   "waking",   "waking"],
  "told stopping":        ["stopping", "stopping", "stopping", "stopping", "stopping", "-",        "stopping", "stopping"],
  "told awake":           ["awakeNew", "awakeNew", "awakeNew", "awakeNew", "awakeNew", "awakeNew", "awakeNew", "awakeNew"],
  "told awake as before": ["awakeOld", "awakeOld", "awakeOld", "-",        "awakeOld", "awakeOld", "awakeOld", "awakeOld"],
  "told failed":          ["failed",   "failed",   "failed",   "failed",   "failed",   "failed",   "failed",   "failed"],
};

const stateNames = Object.keys(STATES) as (keyof typeof STATES)[]; // Its own keys.
const happeningNames = Object.keys(HAPPENINGS) as (keyof typeof HAPPENINGS)[]; // Likewise.

describe("transition", () => {
  for (const happeningName of happeningNames) {
    test(`transition: ${happeningName}, from every state`, () => {
      const found = stateNames.map((name) =>
        transition(STATES[name], HAPPENINGS[happeningName], NOW_MS),
      );
      expect(found).toEqual(TABLE[happeningName].map((result) => RESULTS[result]));
    });
  }

  test("transition: with another fence nothing but a beginning is possible, and a newer wake takes over", () => {
    const possible = [FENCE - 1, FENCE + 1].flatMap((fence) =>
      happeningNames.flatMap((happeningName) => {
        const happening = HAPPENINGS[happeningName];
        if (happening.kind === "observed" || happening.kind === "told") return [];
        return stateNames
          .filter((name) => transition(STATES[name], { ...happening, fence }, NOW_MS) !== null)
          .map((name) => `${happening.kind} from ${name}`);
      }),
    );
    const begun = (states: readonly string[]) => [
      ...states.map((at) => `wake-begun from ${at}`),
      "drain-begun from awake",
    ];
    const older = begun(["unknown", "asleep", "awake", "down", "due"]);
    const newer = begun(["unknown", "asleep", "waking", "awake", "stopping", "down", "due"]);
    expect(possible).toEqual([...older, ...newer]);
  });

  test("transition: a state is replaced, never changed", () => {
    const frozen = structuredClone(STATES);
    for (const happening of Object.values(HAPPENINGS)) {
      for (const state of Object.values(STATES)) {
        const next = transition(state, happening, NOW_MS);
        expect(next).not.toBe(state);
      }
    }
    expect(STATES).toEqual(frozen);
  });

  test("transition: exactly the states that carry a fence are in transit", () => {
    const inTransit = stateNames.filter((name) => isInTransit(STATES[name]));
    expect(inTransit).toEqual(stateNames.filter((name) => "fence" in STATES[name]));
  });
});

describe("nouns", () => {
  test("targetOf: path, query and credentials are dropped, a port that says nothing too", () => {
    const cases: Record<string, [origin: string, host: string]> = {
      "http://127.0.0.1:8081": ["http://127.0.0.1:8081", "127.0.0.1:8081"],
      "http://127.0.0.1:80/": ["http://127.0.0.1", "127.0.0.1"],
      "https://user:secret@X.example:443/a/b?c=d#e": ["https://x.example", "x.example"],
      "http://[::1]:3000/": ["http://[::1]:3000", "[::1]:3000"],
    };
    for (const [url, [origin, host]] of Object.entries(cases)) {
      expect(targetOf(url)).toEqual({ origin, host });
    }
    expect(() => targetOf("not a url")).toThrow();
  });

  test("refKey: two apps have one key only when provider and id are the same", () => {
    const refs: App["ref"][] = [
      { provider: "a", id: "b/c" },
      { provider: "a", id: "b" },
      { provider: "ab", id: "c" },
      { provider: "a", id: "" },
    ];
    expect(new Set(refs.map(refKey)).size).toBe(refs.length);
  });
});
