/** What the provider remembers of containers between its calls: nothing of it survives Paastis. */

import type { Clock } from "../clock.ts";
import type { DockerApp } from "./docker-groups.ts";
import type { Container, ContainerDetails } from "./docker-json.ts";
import { createRuns, type DockerRuns } from "./docker-runs.ts";
import { needsDetails } from "./docker-state.ts";

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
  /** Takes over what a list says; containers that are gone are forgotten. */
  seen(apps: readonly DockerApp[]): void;
  /** Id of the app that a container belongs to; `null`: not known. */
  appOf(containerId: string): string | null;
  /** An app that was listed at some time; `null`: never. */
  known(appId: string): KnownApp | null;
  /** Ids of all apps of the latest list. */
  appIds(): readonly string[];
  /** `null`: it was never looked at. */
  fixedOf(containerId: string): Fixed | null;
  /** How a container ended, while nothing can have happened to it since; `null`: not known. */
  endingOf(container: Container): ContainerDetails | null;
  /** A look at a container. */
  looked(details: ContainerDetails): void;
  /** Whether the engine tells of every change: without that a look is good for one time only. */
  setInformed(isInformed: boolean): void;
  readonly isInformed: boolean;
  /** Longest that a sleep of an app may take, ms. */
  readonly longestStopMs: number;
  /** An app's containers may take so long to stop, one after the other. */
  stopTakes(stopMs: number): void;
  /** Whether this is news, of which the log is to hear. */
  isNews(appId: string, text: string): boolean;
}

/** So long what was removed may come back, re-created, ms. */
export const RECREATION_MS = 10_000;
/** An app that is gone is known for so long, ms. */
const KNOWN_MS_MAX = 60 * 60_000;
/** More sentences about labels than these are forgotten, and said again. */
const NEWS_MAX = 2_000;

/** Nothing is known yet. */
export function createMemory(clock: Clock): DockerMemory {
  const runs = createRuns(clock);
  let apps = new Map<string, string>();
  const known = createKnownApps(clock);
  const fixed = new Map<string, Fixed>();
  const endings = new Map<string, ContainerDetails>();
  const said = new Set<string>();
  let isInformed = false;
  let longestStopMs = 0;
  return {
    ...runs,
    seen(listed) {
      apps = new Map(
        listed.flatMap(({ id, members }) =>
          members.map(({ container }) => [container.id, id] as const),
        ),
      );
      known.seen(listed);
      runs.keepOnly(apps);
      for (const remembered of [fixed, endings]) {
        for (const id of remembered.keys()) if (!apps.has(id)) remembered.delete(id);
      }
    },
    appOf: (containerId) => apps.get(containerId) ?? null,
    known: known.find,
    appIds: () => [...new Set(apps.values())],
    ended(containerId) {
      runs.ended(containerId);
      endings.delete(containerId);
    },
    started(containerId) {
      runs.started(containerId);
      endings.delete(containerId);
    },
    fixedOf: (containerId) => fixed.get(containerId) ?? null,
    endingOf: ({ id, status }) =>
      isInformed && status === "exited" ? (endings.get(id) ?? null) : null,
    looked(details) {
      const { id, ports, status, stopTimeoutMs } = details;
      fixed.set(id, { ports, stopTimeoutMs });
      if (status === "exited" && needsDetails(details, { isEndedOnPurpose: false })) {
        endings.set(id, details);
      }
    },
    setInformed(value) {
      isInformed = value;
      endings.clear();
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
  readonly seen: (listed: readonly DockerApp[]) => void;
  readonly find: (appId: string) => KnownApp | null;
} {
  const known = new Map<string, KnownApp>();
  return {
    seen(listed) {
      for (const { id, key } of listed) known.set(id, { key, goneMs: null });
      const ids = new Set(listed.map(({ id }) => id));
      for (const [id, { key, goneMs }] of known) {
        if (ids.has(id)) continue;
        if (goneMs === null) known.set(id, { key, goneMs: clock.now() });
        else if (clock.now() - goneMs > KNOWN_MS_MAX) known.delete(id);
      }
    },
    find: (appId) => known.get(appId) ?? null,
  };
}
