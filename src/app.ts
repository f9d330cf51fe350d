/** The nouns: an app, its target, its policy, its state, and the pure `transition` between states. */

import type { ForceSleepWindow } from "./app-schedule.ts";
import type { Settings } from "./config.ts";
import type { AppHooks } from "./hooks.ts";
import type { KeepAwakeOrder, OwnWord } from "./overrides.ts";
import type { TimeWindow } from "./time-windows.ts";
import type { Traffic } from "./traffic.ts";
import type { IgnoreRule } from "./wake-policy.ts";

/** Identity of an app: the provider it lives on, and that provider's own id for it (opaque to us). */
export interface AppRef {
  readonly provider: string;
  readonly id: string;
}

/** A map key for an `AppRef`; the separator cannot occur in a provider's name. */
export function refKey(ref: AppRef): string {
  return `${ref.provider}/${ref.id}`;
}

/** Where requests for an app go. */
export interface Target {
  /** Scheme, host and port without a trailing slash: `http://127.0.0.1:8081`. */
  readonly origin: string;
  /** The `Host` header the target expects: `127.0.0.1:8081`, `x.osc-fr1.scalingo.io`. */
  readonly host: string;
  /** Absolute path of the unix socket it listens on; `origin` is `http://localhost` then. */
  readonly socketPath?: string;
}

const UNIX = "unix:";

/**
 * @param address an absolute `http:` or `https:` URL, whose path, query and credentials are dropped; or
 *   `unix:` and the absolute path of a socket
 */
export function targetOf(address: string): Target {
  if (address.startsWith(UNIX)) {
    return {
      origin: "http://localhost",
      host: "localhost",
      socketPath: address.slice(UNIX.length),
    };
  }
  const url = new URL(address);
  return { origin: url.origin, host: url.host };
}

/** What a target is called: no two have the same, and `targetOf` gives it back. */
export function addressOf({ origin, socketPath }: Target): string {
  return socketPath === undefined ? origin : UNIX + socketPath;
}

/** How to find out whether a target answers. */
export interface HealthCheck {
  /** Path that must answer 2xx; `null`: any HTTP answer of the app itself to `/` will do. */
  readonly path: string | null;
}

/** What configuration and rules say about one app. Replaced as a whole when the rules change. */
export interface Policy {
  /** Idle time after which a sweep puts the app to sleep, in ms; 0: at once; `null`: never. */
  readonly maxIdleMs: number | null;
  /** Keys of the apps woken together with this one; its own key never appears here. */
  readonly linkedKeys: readonly string[];
  readonly health: HealthCheck;
  /** Time a wake may take, hooks included, until the first healthy answer, in ms; `null`: the provider's own. */
  readonly wakeTimeoutMs: number | null;
  /** Send the client's `Host` to the target instead of the target's own. */
  readonly preserveHost: boolean;
  /** Whether the certificate of an `https` target must be good. */
  readonly tlsVerify: boolean;
  /** Certificates that vouch for an `https` target besides the system's, PEM; `null`: none. */
  readonly tlsCa: string | null;
  /** Listed in `REGISTRY_IGNORED_APPS`: reachable and woken, but never put to sleep. */
  readonly ignored: boolean;
  /** Requests that neither wake it nor count as its use; `null`: there are none, at least one otherwise. */
  readonly ignore: readonly IgnoreRule[] | null;
  /** When it is kept awake, and woken ahead; `null`: never. */
  readonly keepAwake: readonly TimeWindow[] | null;
  /** When it sleeps; `null`: never because of the time. */
  readonly forceSleep: readonly ForceSleepWindow[] | null;
  /** Where it is asked before a stop whether it is busy: a path of its own, or a URL; `null`: nowhere. */
  readonly busyUrl: string | null;
  /** Longest that it may stay awake by its own header `Keep-Awake`, in ms; `null`: the header says nothing. */
  readonly keepAwakeHeaderMaxMs: number | null;
  /** After so long without a message a WebSocket is no use of the app, in ms; `null`: it always is. */
  readonly websocketMaxQuietMs: number | null;
  /** Hooks of its own; `null`: none. */
  readonly hooks: AppHooks | null;
}

/** What a provider needs to bring an app back exactly as it was. `none`: the provider remembers by itself. */
export type Snapshot =
  | { readonly kind: "none" }
  | {
      readonly kind: "quantities";
      readonly processes: readonly { type: string; quantity: number; size?: string }[];
    }
  | {
      readonly kind: "replicas";
      readonly workloads: readonly {
        id: string;
        replicas: number;
        /** The size that was written on the workload itself then; `null`: none. Left out: nobody looked. */
        written?: number | null;
      }[];
    }
  | {
      readonly kind: "members";
      readonly ids: readonly string[];
      readonly mode: "stop" | "suspend" | "pause";
    };

/**
 * Where an app is in its life. `fence` is the token of the transition in flight: what another
 * transition started cannot be finished by this one.
 */
export type AppState =
  | { readonly kind: "unknown"; readonly sinceMs: number }
  | { readonly kind: "asleep"; readonly sinceMs: number }
  | { readonly kind: "waking"; readonly sinceMs: number; readonly fence: number }
  | { readonly kind: "awake"; readonly sinceMs: number; readonly target: Target }
  | {
      readonly kind: "draining";
      readonly sinceMs: number;
      /** Since when it has been awake: a drain that is called off does not make it younger. */
      readonly awakeSinceMs: number;
      readonly fence: number;
      readonly target: Target;
    }
  | { readonly kind: "stopping"; readonly sinceMs: number; readonly fence: number }
  | (Failure & { readonly kind: "failed"; readonly sinceMs: number });

/** What went wrong with an app. */
export interface Failure {
  /** For whoever runs Paastis. */
  readonly why: string;
  /** For whoever visits the app; left out: that the log says why is all they may know. */
  readonly publicWhy?: string;
  /** Id of the event that told of it; left out: it was told here, or nowhere. */
  readonly reference?: string;
  /** It was up and ended by itself; left out: it could not be woken. */
  readonly hasCrashed?: boolean;
  /** It has left its platform meanwhile, so that there is no such app any more; left out: it may be tried again. */
  readonly isGone?: boolean;
  /** Before this time a request is told why; from it on, a request tries a wake again. */
  readonly retryAtMs: number;
}

/**
 * What can happen to an app. Everything but `observed`, `swapped` and `told` belongs to a transition and carries its
 * fence. `told`: by another instance, which has changed it, or is about to.
 */
export type Happening =
  | { readonly kind: "wake-begun"; readonly fence: number }
  | { readonly kind: "wake-done"; readonly fence: number; readonly target: Target }
  | (Failure & { readonly kind: "wake-failed"; readonly fence: number })
  | { readonly kind: "drain-begun"; readonly fence: number }
  | { readonly kind: "drain-cancelled"; readonly fence: number }
  | { readonly kind: "stop-begun"; readonly fence: number }
  | { readonly kind: "stop-done"; readonly fence: number }
  | {
      readonly kind: "stop-failed";
      readonly fence: number;
      readonly target: Target | null;
      /** Nothing was done: it has been up since then, ms since the epoch. Left out: it may have come up anew. */
      readonly awakeSinceMs?: number;
    }
  | { readonly kind: "swapped"; readonly target: Target }
  | { readonly kind: "observed"; readonly as: "asleep" }
  | { readonly kind: "observed"; readonly as: "awake"; readonly target: Target }
  | (Failure & { readonly kind: "observed"; readonly as: "failed" })
  | { readonly kind: "told"; readonly as: "unknown" | "asleep" }
  | { readonly kind: "told"; readonly as: "waking" | "stopping"; readonly fence: number }
  | { readonly kind: "told"; readonly as: "awake"; readonly target: Target }
  | (Failure & { readonly kind: "told"; readonly as: "failed" });

/**
 * The next state, or `null` when the happening is stale (another fence) or not possible here.
 * Pure. Observations never interrupt a transition in flight: whoever runs it looks for itself.
 */
export function transition(state: AppState, happening: Happening, nowMs: number): AppState | null {
  switch (happening.kind) {
    case "wake-begun":
      return mayBeginWake(state, happening.fence)
        ? { kind: "waking", sinceMs: nowMs, fence: happening.fence }
        : null;
    case "wake-done":
      return isInFlight(state, "waking", happening.fence)
        ? { kind: "awake", sinceMs: nowMs, target: happening.target }
        : null;
    case "wake-failed":
      return isInFlight(state, "waking", happening.fence) ? failed(happening, nowMs) : null;
    case "drain-begun":
      return state.kind === "awake" ? draining(state, happening.fence, nowMs) : null;
    case "drain-cancelled":
      return state.kind === "draining" && state.fence === happening.fence
        ? { kind: "awake", sinceMs: state.awakeSinceMs, target: state.target }
        : null;
    case "stop-begun":
      return isInFlight(state, "draining", happening.fence)
        ? { kind: "stopping", sinceMs: nowMs, fence: happening.fence }
        : null;
    case "stop-done":
      return isInFlight(state, "stopping", happening.fence)
        ? { kind: "asleep", sinceMs: nowMs }
        : null;
    case "stop-failed":
      if (!isInFlight(state, "stopping", happening.fence)) return null;
      return happening.target === null
        ? { kind: "unknown", sinceMs: nowMs }
        : {
            kind: "awake",
            sinceMs: happening.awakeSinceMs ?? nowMs,
            target: happening.target,
          };
    case "swapped":
      return swapped(state, happening.target, nowMs);
    case "observed":
      return observed(state, happening, nowMs);
    case "told":
      return told(state, happening, nowMs);
  }
}

/** The new target has just proved to be healthy: whatever a wake was about to find out, it is awake. */
function swapped(state: AppState, target: Target, nowMs: number): AppState | null {
  if (state.kind === "stopping") return null;
  return { kind: "awake", sinceMs: state.kind === "awake" ? state.sinceMs : nowMs, target };
}

/** True while a wake or a sleep of ours is under way, so that no other may begin. */
export function isInTransit(state: AppState): boolean {
  return state.kind === "waking" || state.kind === "draining" || state.kind === "stopping";
}

/**
 * An awake app is woken again when its target turned out to be down: the wake verifies, then repairs. Whoever has a newer
 * fence than a wake or a stop under way has taken over from an instance that is gone.
 */
function mayBeginWake(state: AppState, fence: number): boolean {
  if (state.kind === "waking" || state.kind === "stopping") return state.fence < fence;
  return !isInTransit(state);
}

function isInFlight(
  state: AppState,
  kind: "waking" | "draining" | "stopping",
  fence: number,
): boolean {
  return state.kind === kind && state.fence === fence;
}

function draining(
  { sinceMs, target }: Extract<AppState, { kind: "awake" }>,
  fence: number,
  nowMs: number,
): AppState {
  return { kind: "draining", sinceMs: nowMs, awakeSinceMs: sinceMs, fence, target };
}

function failed(failure: Failure, nowMs: number): AppState {
  const { why, publicWhy, reference, hasCrashed, retryAtMs } = failure;
  return {
    ...{ kind: "failed", sinceMs: nowMs, why, retryAtMs },
    ...(publicWhy === undefined ? {} : { publicWhy }),
    ...(reference === undefined ? {} : { reference }),
    ...(hasCrashed === undefined ? {} : { hasCrashed }),
  };
}

function observed(
  state: AppState,
  happening: Extract<Happening, { kind: "observed" }>,
  nowMs: number,
): AppState | null {
  if (isInTransit(state)) return null;
  switch (happening.as) {
    case "asleep":
      // A failure keeps its reason until a wake is tried again: "asleep" would hide why.
      return state.kind === "asleep" || state.kind === "failed"
        ? null
        : { kind: "asleep", sinceMs: nowMs };
    case "awake":
      return state.kind === "awake" && addressOf(state.target) === addressOf(happening.target)
        ? null
        : { kind: "awake", sinceMs: nowMs, target: happening.target };
    case "failed":
      return state.kind === "failed" ? null : failed(happening, nowMs);
  }
}

/** `null`: nothing is new. */
function told(
  state: AppState,
  happening: Extract<Happening, { kind: "told" }>,
  nowMs: number,
): AppState | null {
  switch (happening.as) {
    case "unknown":
    case "asleep":
      return state.kind === happening.as ? null : { kind: happening.as, sinceMs: nowMs };
    case "waking":
    case "stopping":
      return isInFlight(state, happening.as, happening.fence)
        ? null
        : { kind: happening.as, sinceMs: nowMs, fence: happening.fence };
    case "awake":
      return state.kind === "awake" && addressOf(state.target) === addressOf(happening.target)
        ? null
        : { kind: "awake", sinceMs: nowMs, target: happening.target };
    case "failed":
      return state.kind === "failed" && state.retryAtMs === happening.retryAtMs
        ? null
        : failed(happening, nowMs);
  }
}

/**
 * Requests are kept from an app on purpose, whatever its state: they wait, or are told that it is being worked on.
 * Both until somebody says so.
 */
export type Pause =
  | { readonly kind: "paused"; readonly sinceMs: number }
  | { readonly kind: "maintenance"; readonly sinceMs: number; readonly message: string };

/**
 * One app as we hold it in memory. Each mutable field has one owner: `state`, `fence` and `snapshot` belong
 * to the lifecycle, as does `runsAt`; `leases`, `leasesElsewhere`, `idleSinceMs` and `lastUsedMs` to activity; `waiting` to admission; `key`, `policy`, `links`
 * and `linkedFrom` to the app table; `sleepsByItself` and `settings` to reconciling; `pause` to the switchboard; `keepAwake`
 * to operators; `ownWord` to those who hear the app say it; `traffic` counts by itself.
 */
export interface App {
  readonly ref: AppRef;
  /** What users see and what the Host's first label is compared with; lower case. */
  key: string;
  /** The platform puts it to sleep and wakes it by itself: it is never stopped by us. */
  sleepsByItself: boolean;
  readonly firstSeenMs: number;
  /** What its platform's list says of how to treat it, as labels do; `null`: nothing. */
  settings: Settings | null;
  policy: Policy;
  state: AppState;
  pause: Pause | null;
  /** An operator wants it awake; `null`: not in particular. */
  keepAwake: KeepAwakeOrder | null;
  /** It says itself that it has something to do; `null`: it does not. */
  ownWord: OwnWord | null;
  readonly traffic: Traffic;
  /** Token of the newest transition of this app; only grows. */
  fence: number;
  snapshot: Snapshot | null;
  /** The last target known to have answered; kept while asleep. */
  lastTarget: Target | null;
  /** The instance that it runs at, as a child of that process; `null`: nobody's, or nobody knows. */
  runsAt: string | null;
  /** Requests and sockets that use the app now, held ones included. */
  leases: number;
  /** The same at other instances, as they last said. */
  leasesElsewhere: number;
  /** Requests among them that are held. */
  waiting: number;
  /** When the idle clock was last started: last lease released, first seen, or our own start. */
  idleSinceMs: number;
  /** Last use by a client, kept over restarts; `null`: never. */
  lastUsedMs: number | null;
  /** Durations of this app's latest wakes, newest last, in ms; at most `WAKE_HISTORY_MAX`. */
  wakeHistoryMs: readonly number[];
  /** Apps woken with this one, directly or through others; never itself. */
  links: readonly App[];
  /** Apps whose use counts as use of this one. */
  linkedFrom: readonly App[];
}

/** Stands between the reason of a failure and the app's own last words, which not every visitor may read. */
export const LAST_OUTPUT = "; last output: ";

/** Stands between the reason of a failure and what the last probe saw where: for operators, like the above. */
export const LAST_PROBE = "; last probe: ";

/** How many past wakes the estimate of the next one is made from. */
export const WAKE_HISTORY_MAX = 20;
