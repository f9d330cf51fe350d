/** The nouns of the fake Heroku: an app and all that belongs to it. */

import type { Clock } from "../../src/clock.ts";

/** `dyno.state`, as documented. */
export type DynoState = "crashed" | "down" | "idle" | "starting" | "up";

/** `release.status`, as documented. */
export type ReleaseStatus = "pending" | "succeeded" | "failed" | "expired";

/** `build.status`, as documented. */
export type BuildStatus = "pending" | "succeeded" | "failed";

/** `error.id` of refusals that a test may ask for; each has its status. */
export type RefusalId =
  | "delinquent"
  | "forbidden"
  | "suspended"
  | "two_factor"
  | "verification_needed";

/** One entry of the formation. */
export interface ProcessType {
  readonly id: string;
  readonly type: string;
  readonly command: string;
  readonly createdAtMs: number;
  quantity: number;
  size: string;
  updatedAtMs: number;
}

export interface Release {
  readonly id: string;
  readonly version: number;
  readonly description: string;
  readonly createdAtMs: number;
  status: ReleaseStatus;
  updatedAtMs: number;
}

export interface Build {
  readonly id: string;
  readonly createdAtMs: number;
  status: BuildStatus;
  /** `null`: it has not come so far. */
  release: Release | null;
  updatedAtMs: number;
}

export interface Dyno {
  readonly id: string;
  readonly type: string;
  /** From 1. */
  readonly index: number;
  readonly size: string;
  readonly command: string;
  readonly release: Release;
  readonly createdAtMs: number;
  state: DynoState;
  updatedAtMs: number;
  /** It has got its SIGTERM: listed, but no requests go there. */
  isStopping: boolean;
  /** From when on the router sends it requests; `Infinity` while it is not up. */
  servesFromMs: number;
  /** How often it has crashed so far. */
  crashes: number;
  /**
   * Grows with each change of state, so that what was planned for an earlier one does not happen.
   */
  turn: number;
}

export interface Domain {
  readonly id: string;
  /** Without port. */
  readonly hostname: string;
}

/** How the dynos of one start come up. */
export interface Boot {
  /**
   * From `starting` to `up`; default the fake's `bootMs`. A `web` that takes longer than
   * `bootLimitMs` crashes then.
   */
  readonly ms?: number;
  /**
   * `crashes`: instead of being up, it is `crashed`; Heroku tries again after a while, with the
   * next boot. Default `ok`.
   */
  readonly outcome?: "ok" | "crashes";
  /** The second dyno of a type is so much later than the first, and so on; default 0. */
  readonly staggerMs?: number;
  /** The router queues requests for so long after the dyno is `up`; default 0. */
  readonly routerLagMs?: number;
  /** So long after it was up, it crashes; left out: never. */
  readonly crashesAfterMs?: number;
}

export interface HerokuApp {
  readonly id: string;
  readonly createdAtMs: number;
  readonly region: string;
  /** Name of the team that owns it; `null`: a person does. */
  readonly team: string | null;
  readonly processTypes: Map<string, ProcessType>;
  /** Oldest first. */
  readonly releases: Release[];
  /** Oldest first. */
  readonly builds: Build[];
  /** Custom ones. */
  readonly domains: Domain[];
  readonly nextBoots: Boot[];
  name: string;
  /** First label of its own hostname; `null`: it has none that can be reached from outside. */
  label: string | null;
  dynos: Dyno[];
  isMaintained: boolean;
  updatedAtMs: number;
  releasedAtMs: number | null;
  /** For boots beyond `nextBoots`. */
  usualBoot: Boot;
  /** From SIGTERM to the end of a dyno, at most 30 s. */
  stopMs: number;
  /** When the router had its last request for it; or when it came up, if that is later. */
  lastRequestMs: number;
  isWatchedForIdling: boolean;
  refusal: { readonly id: RefusalId; readonly calls: "all" | "scale-up" } | null;
}

/** What apps need of the platform around them. */
export interface World {
  readonly clock: Clock;
  readonly bootMs: number;
  readonly bootLimitMs: number;
  readonly appearMs: number;
  readonly stopMs: number;
  readonly lingersAs: "up" | "down";
  readonly ecoIdleMs: number;
  /**
   * How long crashed dynos wait for their next start; the last one counts for all further. Empty:
   * they stay crashed.
   */
  readonly crashBackoffMs: readonly number[];
  readonly makesReleaseOnScale: boolean;
  /** A UUID; in no order. */
  nextId(): string;
  later(delayMs: number, action: () => void): void;
  /** What requests lead to may have changed. */
  changed(): void;
}

/** A change of one process type, as it was asked for. */
export interface Change {
  readonly type: string;
  readonly quantity: number;
  /** Empty: as it is. */
  readonly size: string;
}
