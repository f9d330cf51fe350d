/** What the provider remembers of containers between its calls: nothing of it survives Paastis. */

import type { Clock } from "../clock.ts";
import type { DockerApp } from "./docker-groups.ts";
import type { ContainerDetails } from "./docker-json.ts";
import { createLooks, type DockerLooks } from "./docker-looks.ts";
import { createRuns, type DockerRuns } from "./docker-runs.ts";

/** An app that was listed at some time. */
export interface KnownApp {
  readonly key: string;
  /** When it was first missing in a list since, ms since the epoch; `null`: it is there. */
  readonly goneMs: number | null;
}

/** What does not change while a container exists. */
export type Fixed = Pick<ContainerDetails, "ports" | "stopTimeoutMs">;

/** What is remembered. */
export interface DockerMemory extends Omit<DockerRuns, "forgetEnding" | "keepOnly"> {
  readonly looks: DockerLooks;
  /**
   * Takes over what a list says; containers that are gone are forgotten.
   * @returns ids of apps that are missing for the first time
   */
  seen(apps: readonly DockerApp[]): readonly string[];
  /** Id of the app that a container belongs to; `null`: not known. */
  appOf(containerId: string): string | null;
  /** An app that was listed at some time; `null`: never. */
  known(appId: string): KnownApp | null;
  /** Ids of all apps of the latest list. */
  appIds(): readonly string[];
  /** `null`: it was never looked at. */
  fixedOf(containerId: string): Fixed | null;
  /** A look at a container. @param before what `looks.mark` gave before it was asked for */
  looked(details: ContainerDetails, before: object | null): void;
  /** An earlier run had the app asleep by then, or was about to; ms since the epoch. */
  wasAsleep(appId: string, atMs: number): void;
  /** Whether a container of the app had ended by then: that was a sleep, whatever its exit status. */
  hadEnded(appId: string, details: ContainerDetails): boolean;
  /** Whether the engine tells of every change: otherwise who was told to end may have ended since. */
  setInformed(isInformed: boolean): void;
  readonly isInformed: boolean;
  /** Longest that a sleep of an app may take, ms. */
  readonly longestStopMs: number;
  /** An app's containers may take so long to stop, one after the other. */
  stopTakes(stopMs: number): void;
  /** Whether this is news, of which the log is to hear. */
  isNews(appId: string, text: string): boolean;
}

/** So long a container may stand beside its successor, ms: the old one is given its time to stop. */
export const REPLACEMENT_MS_MAX = 10_000;
/** So long what was removed may come back, re-created, before whoever waits for it is told that it is gone, ms. */
export const RECREATION_MS = 1_500;
/** So long lists that leave it out are not believed, ms: the second after that takes it off the table. */
export const UNLISTED_MS = 400;
/** An app that is gone is known for so long, ms. */
const KNOWN_MS_MAX = 60 * 60_000;
/** So long after a stop was begun a container may have ended because of it, ms. */
const STOP_MS_MAX = 2 * 60_000;
/** More sentences about labels than these are forgotten, and said again. */
const NEWS_MAX = 2_000;

/** Nothing is known yet. */
export function createMemory(clock: Clock): DockerMemory {
  const runs = createRuns(clock);
  const looks = createLooks(clock);
  let apps = new Map<string, string>();
  const known = createKnownApps(clock);
  const fixed = new Map<string, Fixed>();
  const asleep = new Map<string, number>();
  const said = new Set<string>();
  let isInformed = false;
  let longestStopMs = 0;
  return {
    ...runs,
    looks,
    seen(listed) {
      const containers = listed.flatMap(({ id, members }) =>
        members.map(({ container }) => ({ appId: id, container })),
      );
      apps = new Map(containers.map(({ appId, container }) => [container.id, appId]));
      looks.listed(containers.map(({ container }) => container));
      runs.keepOnly(apps);
      for (const id of fixed.keys()) if (!apps.has(id)) fixed.delete(id);
      return known.seen(listed);
    },
    appOf: (containerId) => apps.get(containerId) ?? null,
    known: known.find,
    appIds: () => [...new Set(apps.values())],
    ended(containerId) {
      runs.ended(containerId);
      looks.changed(containerId);
    },
    started(containerId) {
      runs.started(containerId);
      looks.changed(containerId);
    },
    fixedOf: (containerId) => fixed.get(containerId) ?? null,
    looked(details, before) {
      const { id, ports, stopTimeoutMs } = details;
      fixed.set(id, { ports, stopTimeoutMs });
      looks.looked(details, before);
    },
    wasAsleep: (appId, atMs) => void asleep.set(appId, atMs),
    hadEnded(appId, { finishedMs, status }) {
      const atMs = asleep.get(appId);
      if (atMs === undefined || status !== "exited") return false;
      return finishedMs === null || finishedMs <= atMs + STOP_MS_MAX;
    },
    setInformed(value) {
      isInformed = value;
      if (!value) runs.forgetEnding();
    },
    get isInformed() {
      return isInformed;
    },
    get longestStopMs() {
      return longestStopMs;
    },
    stopTakes(stopMs) {
      longestStopMs = Math.max(longestStopMs, stopMs);
    },
    isNews(appId, text) {
      const news = `${appId}\n${text}`;
      if (said.has(news)) return false;
      if (said.size >= NEWS_MAX) said.clear();
      said.add(news);
      return true;
    },
  };
}

function createKnownApps(clock: Clock): {
  readonly seen: (listed: readonly DockerApp[]) => readonly string[];
  readonly find: (appId: string) => KnownApp | null;
} {
  const known = new Map<string, KnownApp>();
  return {
    seen(listed) {
      for (const { id, key } of listed) known.set(id, { key, goneMs: null });
      const ids = new Set(listed.map(({ id }) => id));
      const missing: string[] = [];
      for (const [id, { key, goneMs }] of known) {
        if (ids.has(id)) continue;
        if (goneMs === null) {
          known.set(id, { key, goneMs: clock.now() });
          missing.push(id);
        } else if (clock.now() - goneMs > KNOWN_MS_MAX) known.delete(id);
      }
      return missing;
    },
    find: (appId) => known.get(appId) ?? null,
  };
}
